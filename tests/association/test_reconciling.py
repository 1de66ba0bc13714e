"""Billing compared with the database: each way in which the two can differ, and none where they agree."""

from __future__ import annotations

from desktop_app.association.ports import BillingServiceFound
from desktop_app.association.reconciling import (
    Duplicate,
    KnownService,
    Missing,
    Orphan,
    Reconciliation,
    Sender,
    reconcile,
)

SENDERS = {"AJ-1-1-x": Sender("AJ-1", "8988303000000012345"), "AJ-1-2-x": Sender("AJ-1", "8988303000000012353")}


def at_billing(
    service_id: str, *, reference: str = "", number: str = "", customer: str = "77", is_active: bool = True
) -> BillingServiceFound:
    return BillingServiceFound(service_id, customer, number, reference, is_active)


def known(service_id: str, *, customer: str | None = "77", is_active: bool = True) -> KnownService:
    return KnownService(service_id, customer, "Northwind", "8988303000000012345", "491701", "AJ-1-1-x", is_active)


def differences(found: list[BillingServiceFound], held: list[KnownService]) -> Reconciliation:
    return reconcile(found, held, held, SENDERS)


def test_same_on_both_sides() -> None:
    result = differences(
        [at_billing("1", reference="AJ-1-1-x"), at_billing("2", is_active=False)],
        [known("1"), known("2", is_active=False), known("3", is_active=False)],
    )
    assert result == Reconciliation(1, 1, (), (), ())
    assert result.agree


def test_service_of_ours_that_the_database_does_not_know() -> None:
    result = differences([at_billing("9", reference="AJ-1-2-x", number="49")], [])
    assert result.orphans == (Orphan("9", "77", "49", "AJ-1-2-x", "AJ-1", "8988303000000012353"),)
    assert not result.agree


def test_service_made_outside_is_listed_and_no_disagreement() -> None:
    result = differences([at_billing("9", number="49")], [])
    assert result.orphans == (Orphan("9", "77", "49", "", "", ""),)
    assert result.agree


def test_ended_service_that_nobody_knows_is_nothing() -> None:
    assert differences([at_billing("9", is_active=False)], []).orphans == ()


def test_missing_at_billing_with_what_is_there_instead() -> None:
    found = [at_billing("2", is_active=False), at_billing("3", customer="78")]
    result = differences(found, [known("1"), known("2"), known("3")])
    assert [(one.service_id, one.at_billing) for one in result.missing] == [
        ("1", "absent"),
        ("2", "ended"),
        ("3", "of another customer"),
    ]
    assert result.missing[0] == Missing("1", "Northwind", "8988303000000012345", "491701", "absent")
    assert not result.agree


def test_two_services_for_one_reference_are_told_once() -> None:
    found = [
        at_billing("1", reference="AJ-1-1-x", number="49"),
        at_billing("2", reference="AJ-1-1-x", number="49"),
        at_billing("3", reference="AJ-1-1-x", number="49", is_active=False),
    ]
    result = differences(found, [known("1"), known("2")])
    assert result.duplicates == (Duplicate("AJ-1-1-x", "", ("1", "2")),)
    assert not result.agree


def test_two_services_for_one_number_of_one_customer() -> None:
    found = [
        at_billing("1", reference="AJ-1-1-x", number="49"),
        at_billing("2", number="49"),
        at_billing("3", number="49", customer="78"),
    ]
    assert differences(found, [known("1")]).duplicates == (Duplicate("", "49", ("1", "2")),)


def test_what_happens_while_billing_is_asked_is_no_difference() -> None:
    senders = {**SENDERS, "AJ-1-3-x": Sender("AJ-1", "8988303000000012361", is_open=True)}
    found = [at_billing("7", reference="AJ-1-1-x"), at_billing("8", reference="AJ-1-3-x")]
    result = reconcile(found, [], [known("7"), known("9")], senders)
    assert (result.orphans, result.missing) == ((), ())
