"""Names that a request holds, found in the master data or refused with what is near to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.facts import (
    CredentialFacts,
    CustomerFacts,
    OperatorRights,
    RatePlanFacts,
    Right,
    ServiceProviderFacts,
    SiteFacts,
)
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
    InstallationSettings,
    PlanKind,
)
from desktop_app.association.request import RequestFacts, bill_cycle_start, bill_cycles_between, resolve
from tests.helpers.facts import (
    ADMINISTRATOR,
    CARRIER_PACKAGE,
    CARRIER_PLAN,
    CREDENTIAL_FACTS,
    CUSTOMER,
    CUSTOMER_FACTS,
    CUSTOMER_PLAN,
    DEPOT,
    HARBOR,
    HARBOR_PLAN,
    HEAD_OFFICE,
    NORTHSTAR,
    PROVIDERS,
    SITES,
    TODAY,
    operator,
)

TWIN_A = CustomerFacts(12, "Alpine Agri", "20001")
TWIN_B = CustomerFacts(13, "Alpine Agri", "20002")
NUMBER_AS_NAME = CustomerFacts(14, "10482", "30000")


class SomeMasterData:
    """Master data in memory."""

    def __init__(self, sites: list[SiteFacts] | None = None) -> None:
        self._customers = [CUSTOMER_FACTS, TWIN_A, TWIN_B, NUMBER_AS_NAME]
        self._sites = list(SITES.values()) if sites is None else sites
        self._plans = [CARRIER_PLAN, CARRIER_PACKAGE, HARBOR_PLAN, CUSTOMER_PLAN]

    def customer(self, customer_id: int) -> CustomerFacts | None:
        return next((customer for customer in self._customers if customer.customer_id == customer_id), None)

    def customers_called(self, name: str) -> list[CustomerFacts]:
        return [c for c in self._customers if c.account_number == name or c.name.casefold() == name.casefold()]

    def customers_like(self, name: str) -> list[CustomerFacts]:
        return [c for c in self._customers if c.name.casefold().startswith(name[:3].casefold())]

    def sites(self, customer_id: int) -> list[SiteFacts]:
        return self._sites

    def service_providers(self) -> list[ServiceProviderFacts]:
        return list(PROVIDERS.values())

    def rate_plans(self, kind: PlanKind, code: str | None = None) -> list[RatePlanFacts]:
        wanted = None if code is None else code.casefold()
        return [plan for plan in self._plans if plan.kind is kind and wanted in {None, plan.code.casefold()}]

    def rate_plan(self, rate_plan_id: int) -> RatePlanFacts | None:
        return next((plan for plan in self._plans if plan.rate_plan_id == rate_plan_id), None)

    def credential(self, billing_credential_id: int | None) -> CredentialFacts | None:
        return CREDENTIAL_FACTS


REQUEST = AssociationRequest(AskedLines(("x",)), "10482")


def resolved(request: AssociationRequest, rights: OperatorRights = ADMINISTRATOR, sites=None) -> RequestFacts:
    return resolve(request, SomeMasterData(sites), rights, InstallationSettings(furthest_ahead_days=10), TODAY)


def refusal(request: AssociationRequest, rights: OperatorRights = ADMINISTRATOR) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        resolved(request, rights)
    return refused.value


def plans(*choices: tuple[str, str | None]) -> tuple[CarrierPlanChoice, ...]:
    return tuple(CarrierPlanChoice(plan, provider) for plan, provider in choices)


# --- customer and site -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "customer_id"),
    [
        ("10482", CUSTOMER),  # an account number goes before a name that looks like one
        (" 10482 ", CUSTOMER),
        ("northwind FLEET", CUSTOMER),
        ("20002", 13),
        (13, 13),
    ],
)
def test_customers_are_found(wanted: str | int, customer_id: int) -> None:
    assert resolved(replace(REQUEST, customer=wanted)).customer.customer_id == customer_id


def test_a_name_that_several_bear_is_refused_with_their_account_numbers() -> None:
    refused = refusal(replace(REQUEST, customer="Alpine Agri"))
    assert refused.code == "CUSTOMER_AMBIGUOUS"
    assert "20001, 20002" in refused.message


def test_a_name_is_clear_where_only_one_may_be_seen() -> None:
    request = replace(REQUEST, customer="Alpine Agri")
    assert resolved(request, operator((Right.VIEW, 13))).customer.customer_id == 13


def test_unknown_customers_come_with_what_is_near() -> None:
    refused = refusal(replace(REQUEST, customer="Northwint Flet"))
    assert isinstance(refused, NotFound)
    assert refused.code == "CUSTOMER_UNKNOWN"
    assert "“Northwint Flet”" in refused.message
    assert refused.what_to_do.startswith("Did you mean “Northwind Fleet”?")
    assert "Did you mean" not in refusal(replace(REQUEST, customer="zzz")).what_to_do


@pytest.mark.parametrize("wanted", ["10482", "Northwind Fleet", CUSTOMER, "Northwind Fleed"])
def test_a_customer_that_may_not_be_seen_does_not_exist(wanted: str | int) -> None:
    refused = refusal(replace(REQUEST, customer=wanted), operator((Right.ASSOCIATE, 13)))
    assert refused.code == "CUSTOMER_UNKNOWN"
    assert "Northwind Fleet”?" not in refused.what_to_do


@pytest.mark.parametrize(
    ("wanted", "site_id"), [(None, HEAD_OFFICE), ("DEPOT", DEPOT), ("depot", DEPOT), ("Head Office", HEAD_OFFICE)]
)
def test_sites_are_found_by_code_or_name(wanted: str | None, site_id: int) -> None:
    site = resolved(replace(REQUEST, site=wanted)).site
    assert site is not None
    assert site.site_id == site_id


def test_without_a_default_site_none_is_chosen() -> None:
    assert resolved(REQUEST, sites=[SITES[DEPOT]]).site is None


def test_an_unknown_site_is_refused_with_the_sites_there_are() -> None:
    refused = refusal(replace(REQUEST, site="Depott"))
    assert refused.code == "SITE_UNKNOWN"
    assert "Northwind Fleet (10482) has no site “Depott”." in refused.message
    assert "Did you mean “DEPOT”" in refused.what_to_do or "Did you mean “Depot”" in refused.what_to_do
    assert "Its sites are: HO, DEPOT." in refused.what_to_do


def test_a_site_name_that_several_bear_is_refused() -> None:
    twins = [SiteFacts(1, "A", "Yard"), SiteFacts(2, "B", "Yard")]
    with pytest.raises(RequestRefused) as refused:
        resolved(replace(REQUEST, site="yard"), sites=twins)
    assert refused.value.code == "SITE_AMBIGUOUS"


# --- service provider and plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "found"), [(None, None), ("HARBOR", HARBOR), ("harbor wireless", HARBOR)])
def test_service_providers_are_found_by_code_or_name(wanted: str | None, found: int | None) -> None:
    provider = resolved(replace(REQUEST, service_provider=wanted)).service_provider
    assert (provider.service_provider_id if provider else None) == found


def test_an_unknown_service_provider_is_refused() -> None:
    refused = refusal(replace(REQUEST, service_provider="HARBUR"))
    assert refused.code == "SERVICE_PROVIDER_UNKNOWN"
    assert "Did you mean “HARBOR”" in refused.what_to_do


@pytest.mark.parametrize(
    ("choices", "provider", "chosen"),
    [
        ((), None, {}),
        (plans(("PACK5", None)), None, {NORTHSTAR: 41}),
        (plans(("pack5", None)), None, {NORTHSTAR: 41}),
        (plans(("IOT5", "HARBOR")), None, {HARBOR: 42}),
        (plans(("IOT5", "HARBOR"), ("IOT5", "NORTHSTAR")), None, {HARBOR: 42, NORTHSTAR: 40}),
        # of several the asked service provider's own is meant
        (plans(("IOT5", None)), "HARBOR", {HARBOR: 42}),
        # one of another provider is taken, and the check blocks the devices that it does not fit
        (plans(("PACK5", None)), "HARBOR", {NORTHSTAR: 41}),
        (plans(("IOT5", "HARBOR"), ("IOT5", "HARBOR")), None, {HARBOR: 42}),
    ],
)
def test_carrier_plans(choices: tuple[CarrierPlanChoice, ...], provider: str | None, chosen: dict[int, int]) -> None:
    facts = resolved(replace(REQUEST, carrier_rate_plans=choices, service_provider=provider))
    assert {handle: plan.rate_plan_id for handle, plan in facts.carrier_rate_plans.items()} == chosen


@pytest.mark.parametrize(
    ("choices", "code", "words"),
    [
        (plans(("IOT5", None)), "CARRIER_PLAN_AMBIGUOUS", "HARBOR=IOT5, NORTHSTAR=IOT5"),
        (plans(("IOT6", None)), "CARRIER_PLAN_UNKNOWN", "“IOT5”"),
        (plans(("IOT6", "HARBOR")), "CARRIER_PLAN_UNKNOWN", "The plans are: IOT5."),
        (plans(("PACK5", "HARBOR")), "CARRIER_PLAN_OF_ANOTHER_PROVIDER", "Choose a plan of Harbor Wireless: IOT5."),
        (plans(("IOT5", "NOBODY")), "SERVICE_PROVIDER_UNKNOWN", "NORTHSTAR, HARBOR"),
        (plans(("IOT5", "NORTHSTAR"), ("PACK5", None)), "TWO_CARRIER_PLANS", "one carrier rate plan for each"),
    ],
)
def test_carrier_plans_that_are_refused(choices: tuple[CarrierPlanChoice, ...], code: str, words: str) -> None:
    refused = refusal(replace(REQUEST, carrier_rate_plans=choices))
    assert refused.code == code
    assert words in refused.what_to_do


def test_customer_plans() -> None:
    plan = resolved(replace(REQUEST, customer_rate_plan="fleet")).customer_rate_plan
    assert plan is not None
    assert plan.rate_plan_id == CUSTOMER_PLAN.rate_plan_id
    refused = refusal(replace(REQUEST, customer_rate_plan="FLEAT"))
    assert refused.code == "CUSTOMER_PLAN_UNKNOWN"
    assert refused.what_to_do == "Did you mean “FLEET”? The plans are: FLEET."


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_credential_is_only_read_where_billing_is_asked() -> None:
    assert resolved(REQUEST).credential is None
    assert resolved(replace(REQUEST, create_billing_service=True)).credential is CREDENTIAL_FACTS


def test_a_reason_that_is_too_long_is_refused() -> None:
    assert resolved(replace(REQUEST, reason=f" {'x' * 398} ")).reason == "x" * 398
    assert refusal(replace(REQUEST, reason="x" * 401)).code == "REASON_TOO_LONG"


def test_dates() -> None:
    facts = resolved(replace(REQUEST, effective_date=date(2026, 12, 1)))
    assert facts.effective_date == date(2026, 12, 1)
    assert facts.furthest_ahead == date(2026, 12, 4)


@pytest.mark.parametrize(
    ("day", "is_taken"), [(date(1999, 12, 31), False), (date(206, 11, 24), False), (date(2000, 1, 1), True)]
)
def test_a_date_with_a_wrong_year_is_refused(day: date, is_taken: bool) -> None:
    request = replace(REQUEST, effective_date=day)
    if is_taken:
        assert resolved(request).effective_date == day
    else:
        assert refusal(request).code == "EFFECTIVE_DATE_IMPLAUSIBLE"


@pytest.mark.parametrize(
    ("day", "cycle_day", "start"),
    [
        (date(2026, 11, 24), 24, date(2026, 11, 24)),
        (date(2026, 11, 24), 25, date(2026, 10, 25)),
        (date(2026, 1, 1), 28, date(2025, 12, 28)),
        (date(2026, 3, 1), 28, date(2026, 2, 28)),
        (date(2026, 1, 1), 1, date(2026, 1, 1)),
    ],
)
def test_bill_cycles_begin_on_their_day(day: date, cycle_day: int, start: date) -> None:
    assert bill_cycle_start(day, cycle_day) == start


@pytest.mark.parametrize(
    ("early", "late", "cycles"),
    [
        (date(2026, 11, 15), date(2026, 11, 24), 0),
        (date(2026, 11, 14), date(2026, 11, 24), 1),
        (date(2025, 12, 15), date(2026, 1, 15), 1),
        (date(2024, 11, 15), date(2026, 11, 24), 24),
        (date.min, date(1, 1, 15), 1),
    ],
)
def test_months_are_counted_in_bill_cycles(early: date, late: date, cycles: int) -> None:
    assert bill_cycles_between(early, late, 15) == cycles
