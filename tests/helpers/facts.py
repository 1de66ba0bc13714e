"""Facts for tests of the business: everything fits, and each test changes what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from desktop_app.association.facts import (
    ActiveService,
    AskedDevice,
    CredentialFacts,
    CustomerFacts,
    DeviceFacts,
    OperatorRights,
    PlanMapping,
    ProviderMapping,
    RatePlanFacts,
    Right,
    ServiceProviderFacts,
    SiteFacts,
    Situation,
)
from desktop_app.association.model import Identifier, IdentifierKind, InstallationSettings, PlanKind
from desktop_app.association.request import RequestFacts

TODAY = date(2026, 11, 24)
NORTHSTAR, HARBOR = 1, 2
CUSTOMER, OTHER_CUSTOMER = 10, 11
HEAD_OFFICE, DEPOT = 20, 21
CREDENTIAL = 30
ICCID = "8901260000000039590"

PROVIDERS = {
    NORTHSTAR: ServiceProviderFacts(NORTHSTAR, "NORTHSTAR", "Northstar Mobile"),
    HARBOR: ServiceProviderFacts(HARBOR, "HARBOR", "Harbor Wireless"),
}
SITES = {
    HEAD_OFFICE: SiteFacts(HEAD_OFFICE, "HO", "Head office", is_default=True, billing_address_id="700"),
    DEPOT: SiteFacts(DEPOT, "DEPOT", "Depot", billing_address_id="701"),
}
CARRIER_PLAN = RatePlanFacts(40, PlanKind.CARRIER, "IOT5", "IoT 5 MB", service_provider_id=NORTHSTAR)
CARRIER_PACKAGE = RatePlanFacts(41, PlanKind.CARRIER, "PACK5", "Package 5 MB", service_provider_id=NORTHSTAR)
HARBOR_PLAN = RatePlanFacts(42, PlanKind.CARRIER, "IOT5", "IoT 5 MB", service_provider_id=HARBOR)
CUSTOMER_PLAN = RatePlanFacts(50, PlanKind.CUSTOMER, "FLEET", "Fleet", data_limit_bytes=5_000_000, data_pool="north")
CUSTOMER_PACKAGE = RatePlanFacts(51, PlanKind.CUSTOMER, "FLEETPACK", "Fleet package")

ADMINISTRATOR = OperatorRights(1, "admin", "Ada", True, frozenset())
CREDENTIAL_FACTS = CredentialFacts(
    CREDENTIAL,
    "main",
    "Main billing",
    True,
    {"NORTHSTAR": ProviderMapping("12", "3"), "HARBOR": ProviderMapping("13", "3")},
    {
        "carrier:NORTHSTAR:IOT5": PlanMapping(product_id="101"),
        "carrier:HARBOR:IOT5": PlanMapping(product_id="102"),
        "carrier:NORTHSTAR:PACK5": PlanMapping(package_id="7"),
        "customer:FLEET": PlanMapping(product_id="103"),
        "customer:FLEETPACK": PlanMapping(package_id="8"),
    },
)
CUSTOMER_FACTS = CustomerFacts(
    CUSTOMER, "Northwind Fleet", "10482", billing_credential_id=CREDENTIAL, billing_customer_id="500"
)


def operator(*grants: tuple[Right, int | None]) -> OperatorRights:
    """An operator who is no administrator."""
    return OperatorRights(2, "limited", "Lim", False, frozenset(grants))


def a_request(*, limit_days: int = 90, **changes: Any) -> RequestFacts:
    """A request of an administrator for the head office, without options, on each device's activation date."""
    request = RequestFacts(
        operator=ADMINISTRATOR,
        customer=CUSTOMER_FACTS,
        site=SITES[HEAD_OFFICE],
        sites=SITES,
        service_provider=None,
        service_providers=PROVIDERS,
        create_billing_service=False,
        carrier_rate_plans={},
        customer_rate_plan=None,
        credential=None,
        effective_date=None,
        reassign=False,
        reason="",
        settings=InstallationSettings(furthest_ahead_days=limit_days),
        today=TODAY,
        furthest_ahead=TODAY + timedelta(days=limit_days),
    )
    return replace(request, **changes)


def a_billed_request(**changes: Any) -> RequestFacts:
    """The same with a billing service."""
    return a_request(**{"create_billing_service": True, "credential": CREDENTIAL_FACTS, **changes})


def a_device(**changes: Any) -> DeviceFacts:
    """An active device of nobody on Northstar."""
    situation = {name: changes.pop(name) for name in Situation._fields if name in changes}
    return DeviceFacts(
        device_id=1000,
        iccid=ICCID,
        imei="355000000000017",
        msisdn="12745550005",
        eid=None,
        carrier_rate_plan_id=None,
        ownership_id=None,
        owner_account_number=None,
        owner_credential_id=None,
        customer_rate_plan_id=None,
        data_limit_bytes=None,
        data_pool=None,
        situation=Situation(
            service_provider_id=NORTHSTAR,
            status="active",
            activated_on=date(2026, 11, 1),
            is_deleted=False,
            is_archived=False,
            owner_id=None,
            owner_name=None,
            owner_site_id=None,
            owned_from=None,
            previous_end=None,
            scheduled_from=None,
            open_tracking_number=None,
        )._replace(**situation),
    )._replace(**changes)


def owned(**changes: Any) -> DeviceFacts:
    """A device that another customer owns."""
    return a_device(
        **{
            "ownership_id": 60,
            "owner_id": OTHER_CUSTOMER,
            "owner_name": "Fabrikam Water",
            "owner_site_id": 25,
            "owned_from": date(2026, 5, 1),
            **changes,
        }
    )


def own(**changes: Any) -> DeviceFacts:
    """A device that is the customer's at the head office already."""
    return owned(**{"owner_id": CUSTOMER, "owner_name": "Northwind Fleet", "owner_site_id": HEAD_OFFICE, **changes})


def service(number: int = 1, customer_id: int = CUSTOMER, credential: int = CREDENTIAL, by: int | None = None) -> Any:
    """An active billing service with the handle 900 + ``number``."""
    return ActiveService(900 + number, customer_id, credential, f"S{number}", by)


def asked(*candidates: DeviceFacts, line: int = 1, identifier: Identifier | None = None) -> AskedDevice:
    """A device that was asked for by ICCID."""
    identifier = identifier or Identifier(IdentifierKind.ICCID, ICCID)
    return AskedDevice(line, identifier.value, identifier, candidates)
