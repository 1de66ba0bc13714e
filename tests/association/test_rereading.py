"""What billing says of services that the database has as active: the table, and what is told besides."""

from __future__ import annotations

import pytest

from desktop_app.association.model import REREAD_FINDINGS, AtBilling, Reread, RereadService
from desktop_app.association.ports import BillingServiceFound
from desktop_app.association.rereading import SoughtService, concerning, judge, orphans
from desktop_app.association.rules import DEVICE_RULES

OURS = SoughtService("71200", "12745550001", "AJ-20261001-0001-1")
OUTSIDE = SoughtService("71300", "12745550002", "")


def found(service_id: str, number: str = "", reference: str = "", *, active: bool = True) -> BillingServiceFound:
    return BillingServiceFound(service_id, "500", number, reference, active)


ACTIVE = found("71200", "12745550001", "AJ-20261001-0001-1")
ENDED = found("71200", "12745550001", "AJ-20261001-0001-1", active=False)
ANOTHER = found("88000", "12745550001")


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ((ACTIVE,), AtBilling.ACTIVE),
        ((ENDED,), AtBilling.ENDED),
        ((), AtBilling.ABSENT),
        # its id decides: neither the same number nor the same reference on another service says that it has ended
        ((ANOTHER,), AtBilling.ABSENT),
        ((found("88000", reference="AJ-20261001-0001-1", active=False),), AtBilling.ABSENT),
        ((ENDED, ANOTHER), AtBilling.ENDED),
        # number and reference may have been changed at billing
        ((found("71200", "19995550000"),), AtBilling.ACTIVE),
        ((found("71200", active=False),), AtBilling.ENDED),
        # a list of several pages may have it twice, from before and after: not for certain over
        ((ENDED, ACTIVE), AtBilling.ACTIVE),
    ],
)
def test_what_billing_says_of_a_service(listed: tuple[BillingServiceFound, ...], says: AtBilling) -> None:
    assert judge(OURS, listed) is says


def test_what_of_a_long_list_concerns_each_service() -> None:
    by_reference = found("3", "9", "AJ-20261001-0001-1")
    of_nobody = found("4")
    listed = concerning([OURS, OUTSIDE], [ENDED, ANOTHER, by_reference, found("71300"), found("5", "7"), of_nobody])
    assert listed == {OURS: (ENDED, ANOTHER, by_reference), OUTSIDE: (found("71300"),)}
    assert concerning([], [ACTIVE]) == {}
    # no number and no reference are in common with nobody
    assert concerning([SoughtService("1", "", "")], [of_nobody]) == {SoughtService("1", "", ""): ()}


def test_two_services_under_one_number_are_each_told_of_both() -> None:
    second = SoughtService("88000", "12745550001", "")
    assert concerning([OURS, second], [ACTIVE, ANOTHER]) == {OURS: (ACTIVE, ANOTHER), second: (ACTIVE, ANOTHER)}


@pytest.mark.parametrize(
    ("others", "active_here", "told"),
    [
        ([ENDED, ANOTHER], set(), [ANOTHER]),
        ([ENDED, ANOTHER], {"88000"}, []),
        ([found("88000", "12745550001", active=False)], set(), []),
        ([ACTIVE, ANOTHER, ANOTHER], {"71200"}, [ANOTHER]),
        ([], set(), []),
    ],
)
def test_what_is_active_at_billing_alone(
    others: list[BillingServiceFound], active_here: set[str], told: list[BillingServiceFound]
) -> None:
    assert orphans({OURS: others}, active_here) == [(OURS, service) for service in told]


def test_one_that_is_found_beside_two_is_told_once() -> None:
    second = SoughtService("71201", "12745550001", "")
    assert orphans({OURS: [ANOTHER], second: [ANOTHER]}, {"71200", "71201"}) == [(OURS, ANOTHER)]


def test_the_findings_that_a_reread_may_settle_are_findings() -> None:
    assert {rule.code for rule in DEVICE_RULES} >= REREAD_FINDINGS


def row(at_billing: AtBilling) -> RereadService:
    return RereadService("89", "NORTHSTAR", "1", "Fabrikam Water", "12745550001", at_billing)


@pytest.mark.parametrize(
    ("reread", "whole"),
    [
        (Reread(), True),
        (Reread((row(AtBilling.ACTIVE), row(AtBilling.ENDED))), True),
        (Reread((row(AtBilling.ENDED), row(AtBilling.ABSENT))), False),
        (Reread((row(AtBilling.IN_WORK),)), False),
        (Reread((row(AtBilling.ENDED),), not_permitted=1), False),
    ],
)
def test_a_reread_is_whole_when_billing_told_of_every_service(reread: Reread, whole: bool) -> None:
    assert reread.is_whole is whole
    assert reread.count(AtBilling.ENDED) == sum(one.at_billing is AtBilling.ENDED for one in reread.services)
