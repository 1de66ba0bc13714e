"""Every rule of the check, one row for the rule and one for its border."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from desktop_app.association.check import CheckOutcome, Judge, Settled, check
from desktop_app.association.facts import AskedDevice, DeviceFacts, PlanMapping, ProviderMapping, Right
from desktop_app.association.model import (
    BillingAction,
    DeviceStatus,
    Identifier,
    IdentifierKind,
    IdentifierWarning,
    InstallationSettings,
    OwnershipAction,
    Reading,
    Severity,
)
from desktop_app.association.request import RequestFacts
from desktop_app.association.request_rules import REQUEST_RULES
from desktop_app.association.rules import DEVICE_RULES
from tests.helpers.facts import (
    CARRIER_PACKAGE,
    CARRIER_PLAN,
    CREDENTIAL_FACTS,
    CUSTOMER,
    CUSTOMER_FACTS,
    CUSTOMER_PACKAGE,
    CUSTOMER_PLAN,
    DEPOT,
    HARBOR,
    HARBOR_PLAN,
    HEAD_OFFICE,
    ICCID,
    NORTHSTAR,
    OTHER_CUSTOMER,
    PROVIDERS,
    SITES,
    a_billed_request,
    a_device,
    a_request,
    asked,
    operator,
    own,
    owned,
    service,
)

FINE: tuple[str, ...] = ()


def codes(request: RequestFacts, *devices: AskedDevice) -> tuple[str, ...]:
    return tuple(finding.code for finding in check(request, devices or [asked(a_device())]).report.findings)


def customer(**changes: Any) -> Any:
    return replace(CUSTOMER_FACTS, **changes)


def credential(**changes: Any) -> Any:
    return replace(CREDENTIAL_FACTS, **changes)


# --- the request as a whole ------------------------------------------------------------------------------------------

REQUESTS = [
    (a_request(), FINE),
    (a_billed_request(), FINE),
    # the operator may do this, and for this customer
    (a_request(operator=operator()), ("NOT_PERMITTED",)),
    (a_request(operator=operator((Right.VIEW, None))), ("NOT_PERMITTED",)),
    (a_request(operator=operator((Right.REASSIGN, None))), ("NOT_PERMITTED",)),
    (a_request(operator=operator((Right.ASSOCIATE, OTHER_CUSTOMER))), ("NOT_PERMITTED",)),
    (a_request(operator=operator((Right.ASSOCIATE, CUSTOMER))), FINE),
    (a_request(operator=operator((Right.ASSOCIATE, None))), FINE),
    # the customer is active and has the site
    (a_request(customer=customer(is_active=False)), ("CUSTOMER_INACTIVE",)),
    (a_request(site=None), ("SITE_MISSING",)),
    (a_request(site=None, sites={}), ("SITE_MISSING",)),
    (a_request(site=replace(SITES[HEAD_OFFICE], is_active=False)), ("SITE_INACTIVE",)),
    # the customer rate plan
    (a_request(customer_rate_plan=CUSTOMER_PLAN), FINE),
    (a_request(customer_rate_plan=replace(CUSTOMER_PLAN, is_active=False)), ("CUSTOMER_PLAN_INACTIVE",)),
    (a_request(customer_rate_plan=replace(CUSTOMER_PLAN, customer_id=CUSTOMER)), FINE),
    (a_request(customer_rate_plan=replace(CUSTOMER_PLAN, customer_id=OTHER_CUSTOMER)), ("CUSTOMER_PLAN_OF_ANOTHER",)),
    # what billing needs, where it is asked, and only there
    (a_billed_request(customer=customer(account_number=None)), ("ACCOUNT_NUMBER_MISSING",)),
    (a_request(customer=customer(account_number=None)), FINE),
    (a_billed_request(credential=None), ("BILLING_CREDENTIAL_MISSING",)),
    (a_billed_request(credential=credential(is_active=False)), ("BILLING_CREDENTIAL_INACTIVE",)),
    (a_billed_request(customer=customer(billing_customer_id=None)), ("BILLING_CUSTOMER_MISSING",)),
    (a_request(customer=customer(billing_customer_id=None)), FINE),
    (a_billed_request(site=replace(SITES[HEAD_OFFICE], billing_address_id=None)), ("BILLING_ADDRESS_MISSING",)),
    (a_request(site=replace(SITES[HEAD_OFFICE], billing_address_id=None)), FINE),
    (a_billed_request(customer_rate_plan=CUSTOMER_PLAN), FINE),
    (
        a_billed_request(customer_rate_plan=CUSTOMER_PLAN, credential=credential(plans={})),
        ("CUSTOMER_PLAN_NOT_MAPPED",),
    ),
    (
        a_billed_request(
            customer_rate_plan=CUSTOMER_PLAN, credential=credential(plans={"customer:FLEET": PlanMapping()})
        ),
        ("CUSTOMER_PLAN_NOT_MAPPED",),
    ),
    # all at once
    (
        a_billed_request(customer=customer(is_active=False, account_number=None), site=None, operator=operator()),
        ("NOT_PERMITTED", "CUSTOMER_INACTIVE", "SITE_MISSING", "ACCOUNT_NUMBER_MISSING"),
    ),
]


@pytest.mark.parametrize(("request_facts", "expected"), REQUESTS)
def test_rules_on_the_request(request_facts: RequestFacts, expected: tuple[str, ...]) -> None:
    # billing of the device itself is another matter, and so is its site
    device = a_device()
    outcome = check(request_facts, [asked(device)])
    assert tuple(f.code for f in outcome.report.findings if f.line == 0) == expected
    assert outcome.report.request_blocked == bool(expected)
    assert outcome.report.blocked == (1 if expected else 0)


# --- finding the device ----------------------------------------------------------------------------------------------

ON_HARBOR = a_device(device_id=1001, service_provider_id=HARBOR)
GONE_ON_HARBOR = a_device(device_id=1001, service_provider_id=HARBOR, is_archived=True)
ASK_HARBOR = a_request(service_provider=PROVIDERS[HARBOR])
NO_CHECK_DIGIT = a_device(device_id=1002, iccid=ICCID[:-1])
ON_HARBOR_NO_CHECK_DIGIT = ON_HARBOR._replace(iccid=ICCID[:-1])
BY_IMEI = Identifier(IdentifierKind.IMEI, "35500000000001")

LOCATING = [
    (a_request(), asked(a_device()), FINE),
    (a_request(), asked(), ("NOT_FOUND",)),
    (a_request(), AskedDevice(1, "", None, ()), ("NOT_FOUND",)),
    # on the asked service provider, or on exactly one
    (a_request(), asked(a_device(), ON_HARBOR), ("AMBIGUOUS",)),
    (ASK_HARBOR, asked(a_device(), ON_HARBOR), FINE),
    (ASK_HARBOR, asked(ON_HARBOR), FINE),
    (ASK_HARBOR, asked(a_device()), ("NOT_ON_SERVICE_PROVIDER",)),
    (ASK_HARBOR, AskedDevice(1, ICCID, None, (a_device(),)), ("NOT_ON_SERVICE_PROVIDER",)),
    # what is gone on one provider does not hide the same SIM on another
    (a_request(), asked(a_device(is_deleted=True), ON_HARBOR), FINE),
    (a_request(), asked(a_device(is_archived=True), ON_HARBOR), FINE),
    (a_request(), asked(a_device(is_deleted=True), GONE_ON_HARBOR), ("AMBIGUOUS",)),
    (a_request(), asked(a_device(status="retired"), ON_HARBOR), ("AMBIGUOUS",)),
    # exactly the asked ICCID goes before one with or without a check digit
    (a_request(), asked(NO_CHECK_DIGIT), FINE),
    (a_request(), asked(a_device(), NO_CHECK_DIGIT), FINE),
    (a_request(), asked(a_device(), ON_HARBOR_NO_CHECK_DIGIT), FINE),
    (ASK_HARBOR, asked(a_device(), ON_HARBOR_NO_CHECK_DIGIT), FINE),
    (a_request(), asked(NO_CHECK_DIGIT, ON_HARBOR_NO_CHECK_DIGIT), ("AMBIGUOUS",)),
    # an IMEI may be in two SIMs of one provider
    (a_request(), asked(a_device(), a_device(device_id=1003, iccid="1"), identifier=BY_IMEI), ("AMBIGUOUS",)),
]


@pytest.mark.parametrize(("request_facts", "one", "expected"), LOCATING)
def test_finding_the_device(request_facts: RequestFacts, one: AskedDevice, expected: tuple[str, ...]) -> None:
    assert codes(request_facts, one) == expected


# --- the device ------------------------------------------------------------------------------------------------------

REASSIGN = a_request(reassign=True)
BILLED = a_billed_request()
WITH_CARRIER_PLAN = a_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN})
PLANS_BILLED = a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN}, customer_rate_plan=CUSTOMER_PLAN)
NO_MSISDN = a_device(msisdn=None)
WRONG_CHECK_DIGIT = Identifier(IdentifierKind.ICCID, ICCID, (), IdentifierWarning.CHECK_DIGIT)


def on(day: date | None, **changes: Any) -> RequestFacts:
    return a_request(effective_date=day, **changes)


def may(*grants: tuple[Right, int | None]) -> RequestFacts:
    return a_request(reassign=True, operator=operator((Right.ASSOCIATE, None), *grants))


DEVICES: list[tuple[RequestFacts, DeviceFacts, tuple[str, ...]]] = [
    # deleted, archived, status
    (a_request(), a_device(is_deleted=True), ("DELETED",)),
    (a_request(), a_device(is_archived=True), ("ARCHIVED",)),
    (a_request(), a_device(status=DeviceStatus.INVENTORY.value), FINE),
    (a_request(), a_device(status=DeviceStatus.TEST_READY.value), FINE),
    (a_request(), a_device(status=DeviceStatus.ACTIVE.value), FINE),
    (a_request(), a_device(status=DeviceStatus.SUSPENDED.value), FINE),
    (a_request(), a_device(status=DeviceStatus.RETIRED.value), ("STATUS_NOT_ASSIGNABLE",)),
    (a_request(), a_device(status=DeviceStatus.PURGED.value), ("STATUS_NOT_ASSIGNABLE",)),
    (a_request(), a_device(status=DeviceStatus.REPLACED.value), ("STATUS_NOT_ASSIGNABLE",)),
    (a_request(), a_device(status="of a newer carrier"), ("STATUS_NOT_ASSIGNABLE",)),
    # its owner
    (a_request(), owned(), ("OWNED_BY_ANOTHER",)),
    (REASSIGN, owned(), ("TAKEN_OVER",)),
    (REASSIGN, a_device(), FINE),
    (may((Right.REASSIGN, None)), owned(), ("TAKEN_OVER",)),
    (may((Right.REASSIGN, CUSTOMER), (Right.REASSIGN, OTHER_CUSTOMER)), owned(), ("TAKEN_OVER",)),
    (may((Right.REASSIGN, CUSTOMER)), owned(), ("REASSIGN_NOT_PERMITTED", "TAKEN_OVER")),
    (may((Right.REASSIGN, OTHER_CUSTOMER)), owned(), ("REASSIGN_NOT_PERMITTED", "TAKEN_OVER")),
    (may(), a_device(), FINE),
    (a_request(), own(), FINE),
    (REASSIGN, own(), FINE),
    (a_request(), own(owner_site_id=DEPOT), ("MOVES_SITE",)),
    (a_request(), own(owner_site_id=None), ("MOVES_SITE",)),
    (a_request(), a_device(scheduled_from=date(2026, 12, 1)), ("OWNERSHIP_SCHEDULED",)),
    (a_request(), a_device(open_tracking_number="AJ-20261124-0001"), ("IN_OPEN_WORK_ORDER",)),
    # billing services that there are
    (BILLED, own(services=(service(),)), ("BILLING_SERVICE_KEPT",)),
    (BILLED, a_device(services=(service(),)), ("BILLING_SERVICE_KEPT",)),
    (a_request(), own(services=(service(),)), FINE),
    (BILLED, own(services=(service(1), service(2))), ("SEVERAL_BILLING_SERVICES", "BILLING_SERVICE_KEPT")),
    (a_request(), own(services=(service(1), service(2))), FINE),
    (BILLED, a_device(services=(service(1, OTHER_CUSTOMER),)), ("BILLED_TO_ANOTHER",)),
    (a_request(), a_device(services=(service(1, OTHER_CUSTOMER),)), ("BILLED_TO_ANOTHER",)),
    (
        BILLED,
        a_device(services=(service(1, OTHER_CUSTOMER), service(2))),
        ("BILLED_TO_ANOTHER", "BILLING_SERVICE_KEPT"),
    ),
    (PLANS_BILLED, own(services=(service(credential=31),)), ("SERVICE_OF_ANOTHER_CREDENTIAL", "BILLING_SERVICE_KEPT")),
    (BILLED, own(services=(service(credential=31),)), ("BILLING_SERVICE_KEPT",)),  # nothing is posted onto it
    # what a new one needs
    (BILLED, NO_MSISDN, ("MSISDN_MISSING",)),
    (a_request(), NO_MSISDN, FINE),
    (BILLED, a_device(msisdn=None, services=(service(),)), ("BILLING_SERVICE_KEPT",)),
    (a_billed_request(settings=InstallationSettings(iccid_as_number=True)), NO_MSISDN, FINE),
    (a_billed_request(credential=credential(providers={})), a_device(), ("PROVIDER_NOT_MAPPED",)),
    (
        a_billed_request(credential=credential(providers={"NORTHSTAR": ProviderMapping("12", None)})),
        a_device(),
        ("PROVIDER_NOT_MAPPED",),
    ),
    (
        a_billed_request(credential=credential(providers={"NORTHSTAR": ProviderMapping(None, "3")})),
        a_device(),
        ("PROVIDER_NOT_MAPPED",),
    ),
    # the carrier rate plan belongs to the device's service provider
    (WITH_CARRIER_PLAN, a_device(), FINE),
    (WITH_CARRIER_PLAN, ON_HARBOR, ("CARRIER_PLAN_NOT_OFFERED",)),
    (a_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN, HARBOR: HARBOR_PLAN}), ON_HARBOR, FINE),
    (
        a_request(carrier_rate_plans={NORTHSTAR: replace(CARRIER_PLAN, is_active=False)}),
        a_device(),
        ("CARRIER_PLAN_INACTIVE",),
    ),
    (PLANS_BILLED, a_device(), FINE),
    (
        a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN}, credential=credential(plans={})),
        a_device(),
        ("CARRIER_PLAN_NOT_MAPPED",),
    ),
    (a_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN}, credential=None), a_device(), FINE),
    # packages: one in a POST, and none on a service that is kept
    (
        a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PACKAGE}, customer_rate_plan=CUSTOMER_PACKAGE),
        a_device(),
        ("TWO_PACKAGES",),
    ),
    (
        a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PACKAGE}, customer_rate_plan=CUSTOMER_PLAN),
        a_device(),
        FINE,
    ),
    (a_request(carrier_rate_plans={NORTHSTAR: CARRIER_PACKAGE}, customer_rate_plan=CUSTOMER_PACKAGE), a_device(), FINE),
    (
        a_billed_request(customer_rate_plan=CUSTOMER_PACKAGE),
        own(services=(service(),)),
        ("PACKAGE_NEEDS_NEW_SERVICE", "BILLING_SERVICE_KEPT"),
    ),
    (
        a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PACKAGE}),
        own(services=(service(),)),
        ("PACKAGE_NEEDS_NEW_SERVICE", "BILLING_SERVICE_KEPT"),
    ),
    (PLANS_BILLED, own(services=(service(),)), ("BILLING_SERVICE_KEPT",)),
    # the effective date: the chosen one, or the activation date
    (on(None), a_device(activated_on=None), ("NO_ACTIVATION_DATE",)),
    (on(date(2026, 11, 24)), a_device(activated_on=None), FINE),
    # … not before the previous ownership's end: the first day on which it no longer stood
    (on(date(2026, 3, 31)), a_device(previous_end=date(2026, 4, 1)), ("BEFORE_PREVIOUS_OWNERSHIP",)),
    (on(date(2026, 4, 1)), a_device(previous_end=date(2026, 4, 1)), FINE),
    (
        on(None),
        a_device(activated_on=date(2026, 3, 31), previous_end=date(2026, 4, 1)),
        ("BEFORE_PREVIOUS_OWNERSHIP",),
    ),
    (on(date(2026, 3, 31)), own(previous_end=date(2026, 4, 1)), ("BEFORE_PREVIOUS_OWNERSHIP",)),
    # … nor before the owner got it from whom it is taken; on the same day is a correction
    (on(date(2026, 4, 30), reassign=True), owned(), ("BEFORE_PREVIOUS_OWNERSHIP", "TAKEN_OVER")),
    (on(date(2026, 5, 1), reassign=True), owned(), ("TAKEN_OVER",)),
    (on(date(2026, 4, 30)), owned(), ("OWNED_BY_ANOTHER",)),  # where nothing is taken over, the date is not the matter
    (on(date(2026, 4, 30)), own(), FINE),
    # … nor before the customer's own start
    (on(date(2026, 3, 31), customer=customer(starts_on=date(2026, 4, 1))), a_device(), ("BEFORE_CUSTOMER_START",)),
    (on(date(2026, 4, 1), customer=customer(starts_on=date(2026, 4, 1))), a_device(), FINE),
    # … before the current bill cycle with a warning
    (on(date(2026, 11, 15), customer=customer(bill_cycle_day=15)), a_device(), FINE),
    (on(date(2026, 11, 14), customer=customer(bill_cycle_day=15)), a_device(), ("BEFORE_BILL_CYCLE",)),
    (on(date(2026, 12, 14), customer=customer(bill_cycle_day=15)), a_device(), FINE),
    (on(date(2026, 10, 28), customer=customer(bill_cycle_day=28)), a_device(), FINE),
    (on(date(2026, 10, 27), customer=customer(bill_cycle_day=28)), a_device(), ("BEFORE_BILL_CYCLE",)),
    (on(date(2020, 1, 1)), a_device(), FINE),  # no bill cycle is known
    # … nor further ahead than the installation allows
    (on(date(2026, 12, 4), limit_days=10), a_device(), FINE),
    (on(date(2026, 12, 5), limit_days=10), a_device(), ("TOO_FAR_AHEAD",)),
    (a_request(limit_days=10), a_device(activated_on=date(2026, 12, 5)), ("TOO_FAR_AHEAD",)),
    # everything that is wrong with a device is said at once
    (
        a_billed_request(carrier_rate_plans={NORTHSTAR: CARRIER_PLAN}),
        owned(
            service_provider_id=HARBOR, is_deleted=True, status="retired", msisdn=None, activated_on=None,
            open_tracking_number="AJ-20261124-0001", scheduled_from=date(2026, 12, 1),
        ),
        (
            "DELETED", "STATUS_NOT_ASSIGNABLE", "OWNED_BY_ANOTHER", "IN_OPEN_WORK_ORDER", "OWNERSHIP_SCHEDULED",
            "MSISDN_MISSING", "CARRIER_PLAN_NOT_OFFERED", "NO_ACTIVATION_DATE",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("request_facts", "device", "expected"), DEVICES)
def test_rules_on_the_device(request_facts: RequestFacts, device: DeviceFacts, expected: tuple[str, ...]) -> None:
    assert codes(request_facts, asked(device)) == expected


IDENTIFIERS = [
    (WRONG_CHECK_DIGIT, a_device(), ("CHECK_DIGIT",)),
    (WRONG_CHECK_DIGIT._replace(warning=IdentifierWarning.ROUNDED), a_device(), ("CHECK_DIGIT",)),
    (
        WRONG_CHECK_DIGIT,
        a_device(iccid=ICCID + "8"),
        FINE,
    ),
    (BY_IMEI._replace(warning=IdentifierWarning.CHECK_DIGIT), a_device(), ("CHECK_DIGIT",)),
    (BY_IMEI, a_device(), FINE),
]


@pytest.mark.parametrize(("identifier", "device", "expected"), IDENTIFIERS)
def test_a_wrong_check_digit_warns_where_the_device_exists(
    identifier: Identifier, device: DeviceFacts, expected: tuple[str, ...]
) -> None:
    assert codes(a_request(), asked(device, identifier=identifier)) == expected


# --- a work order that has settled something at billing already ------------------------------------------------------

MADE = Settled(901, BillingAction.CREATE, date(2026, 11, 2))
KEPT = Settled(901, BillingAction.KEEP, date(2026, 11, 2))

SETTLED = [
    # its own service is neither one from before nor a second one
    (BILLED, MADE, a_device(services=(service(1, by=5),)), FINE),
    (BILLED, MADE, a_device(msisdn=None, services=(service(1, by=5),)), FINE),
    (a_billed_request(customer_rate_plan=CUSTOMER_PACKAGE), MADE, a_device(services=(service(1, by=5),)), FINE),
    (BILLED, MADE, a_device(services=(service(1, by=5), service(2))), ("SEVERAL_BILLING_SERVICES",)),
    (BILLED, MADE, a_device(services=(service(1), service(2, OTHER_CUSTOMER))), ("BILLED_TO_ANOTHER",)),
    (BILLED, KEPT, a_device(services=(service(1),)), FINE),
    (
        a_billed_request(customer_rate_plan=CUSTOMER_PACKAGE), KEPT, a_device(services=(service(1),)),
        ("PACKAGE_NEEDS_NEW_SERVICE",),
    ),
    # and is missed where it was ended since: no second one is made in its place
    (BILLED, MADE, a_device(), ("BILLING_SERVICE_ENDED",)),
    (BILLED, KEPT, a_device(services=(service(2),)), ("SEVERAL_BILLING_SERVICES", "BILLING_SERVICE_ENDED")),
]  # fmt: skip


@pytest.mark.parametrize(("request_facts", "settled", "device", "expected"), SETTLED)
def test_what_is_settled_at_billing_stays(
    request_facts: RequestFacts, settled: Settled, device: DeviceFacts, expected: tuple[str, ...]
) -> None:
    verdict = Judge(request_facts).asked(asked(device), settled)
    assert tuple(finding.code for finding in verdict.findings) == expected
    assert verdict.billing is settled.billing
    assert verdict.billing_service_id == 901
    assert verdict.effective_date == date(2026, 11, 2)


# --- what is to be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_facts", "device", "ownership", "billing"),
    [
        (a_request(), a_device(), OwnershipAction.ASSIGN, BillingAction.NONE),
        (a_request(), own(), OwnershipAction.KEEP, BillingAction.NONE),
        (a_request(), own(owner_site_id=DEPOT), OwnershipAction.MOVE, BillingAction.NONE),
        (REASSIGN, owned(), OwnershipAction.REASSIGN, BillingAction.NONE),
        (BILLED, a_device(), OwnershipAction.ASSIGN, BillingAction.CREATE),
        (BILLED, a_device(services=(service(),)), OwnershipAction.ASSIGN, BillingAction.KEEP),
        (a_request(), a_device(services=(service(),)), OwnershipAction.ASSIGN, BillingAction.NONE),
    ],
)
def test_actions(
    request_facts: RequestFacts, device: DeviceFacts, ownership: OwnershipAction, billing: BillingAction
) -> None:
    verdict = check(request_facts, [asked(device)]).verdicts[0]
    assert (verdict.ownership, verdict.billing) == (ownership, billing)


# --- words -----------------------------------------------------------------------------------------------------------


def all_findings() -> list[CheckOutcome]:
    return [
        *(check(request, [asked(a_device())]) for request, _ in REQUESTS),
        *(check(request, [one]) for request, one, _ in LOCATING),
        *(check(request, [asked(device)]) for request, device, _ in DEVICES),
        *(check(a_request(), [asked(device, identifier=identifier)]) for identifier, device, _ in IDENTIFIERS),
    ]


def test_each_rule_has_a_row_above() -> None:
    seen = {finding.code for outcome in all_findings() for finding in outcome.report.findings}
    seen |= {code for *_, expected in SETTLED for code in expected}
    rules = {rule.code for rule in REQUEST_RULES} | {rule.code for rule in DEVICE_RULES}
    assert seen - rules == {"NOT_FOUND", "AMBIGUOUS", "NOT_ON_SERVICE_PROVIDER"}
    assert rules - seen == set()


def test_each_finding_is_a_sentence_that_fits_into_a_work_order_and_says_what_to_do() -> None:
    for outcome in all_findings():
        for finding in outcome.report.findings:
            for text in (finding.message, finding.what_to_do):
                assert text[0].isupper() or text[0] == "“", text
                assert text.endswith("."), text
                assert len(text) <= 400, text
        for group in outcome.report.groups:
            assert group.title
            assert not group.title.endswith(".")


def test_blocking_rules_stand_before_warnings() -> None:
    severities = [rule.severity for rule in DEVICE_RULES]
    assert severities == sorted(severities)  # "blocked" before "warning"


@pytest.mark.parametrize(
    ("day", "months"),
    [(date(2026, 11, 14), "1 month "), (date(2026, 9, 15), "2 months "), (date(2025, 11, 14), "13 months ")],
)
def test_the_bill_cycle_warning_counts_months(day: date, months: str) -> None:
    request = on(day, customer=customer(bill_cycle_day=15))
    finding = check(request, [asked(a_device())]).report.findings[0]
    assert finding.severity is Severity.WARNING
    assert f"lies {months}before the customer's current bill cycle, which began on 2026-11-15" in finding.message


def test_an_owner_who_may_not_be_seen_is_not_named() -> None:
    seen = check(a_request(), [asked(owned())]).report.findings[0].message
    unseen = (
        check(a_request(operator=operator((Right.ASSOCIATE, CUSTOMER))), [asked(owned())]).report.findings[0].message
    )
    assert seen == "It belongs to Fabrikam Water."
    assert unseen == "It belongs to another customer."


def test_the_other_job_is_named() -> None:
    finding = check(a_request(), [asked(a_device(open_tracking_number="AJ-20261124-0042"))]).report.findings[0]
    assert "AJ-20261124-0042" in finding.message


def test_a_mistyped_identifier_is_guessed_where_nothing_is_found() -> None:
    plain, digit, rounded = (
        check(a_request(), [asked(identifier=Identifier(IdentifierKind.ICCID, ICCID, (), warning))]).report.findings[0]
        for warning in (None, IdentifierWarning.CHECK_DIGIT, IdentifierWarning.ROUNDED)
    )
    assert plain.message == "No device has this ICCID."
    assert "mistyped" in digit.message
    assert "spreadsheet" in rounded.message
    either = Identifier(IdentifierKind.IMEI, "1", (Reading(IdentifierKind.MSISDN, "2"),))
    assert (
        check(a_request(), [asked(identifier=either)]).report.findings[0].message
        == "No device has this IMEI or MSISDN."
    )
