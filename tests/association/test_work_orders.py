"""Work orders: what the check said, frozen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from desktop_app.association.check import check
from desktop_app.association.errors import ErrorKind
from desktop_app.association.model import BillingAction, OwnershipAction
from desktop_app.association.states import WorkOrderState
from desktop_app.association.steps import REFERENCE_LENGTH
from desktop_app.association.work_orders import LONGEST_MESSAGE, Instructions, build, instructions_for
from tests.helpers.facts import (
    CARRIER_PLAN,
    CREDENTIAL,
    CUSTOMER,
    CUSTOMER_FACTS,
    CUSTOMER_PACKAGE,
    CUSTOMER_PLAN,
    DEPOT,
    HEAD_OFFICE,
    NORTHSTAR,
    OTHER_CUSTOMER,
    PROVIDERS,
    a_billed_request,
    a_device,
    a_request,
    asked,
    own,
    owned,
    service,
)

NUMBER, KEY = "AJ-20261124-0042", "key-1"
FULL = a_billed_request(
    carrier_rate_plans={NORTHSTAR: CARRIER_PLAN},
    customer_rate_plan=CUSTOMER_PLAN,
    service_provider=PROVIDERS[NORTHSTAR],
    effective_date=date(2026, 12, 1),
    reassign=True,
    reason="contract 7",
)


def instructions(request=FULL) -> Instructions:
    return instructions_for(request, "boss", "7f3a9c")


def test_what_all_devices_share_is_frozen_once() -> None:
    frozen = instructions()
    assert (frozen.customer_id, frozen.customer_name, frozen.account_number) == (CUSTOMER, "Northwind Fleet", "10482")
    assert (frozen.site_id, frozen.site_code, frozen.site_name) == (HEAD_OFFICE, "HO", "Head office")
    assert (frozen.operator_login, frozen.acting_login, frozen.reason) == ("admin", "boss", "contract 7")
    assert (frozen.service_provider, frozen.effective_date, frozen.reassign) == ("NORTHSTAR", date(2026, 12, 1), True)
    billing = frozen.billing
    assert billing is not None
    assert (billing.billing_credential_id, billing.credential_code) == (CREDENTIAL, "main")
    assert (billing.billing_customer_id, billing.address_id) == ("500", "700")
    assert {handle: one.provider_id for handle, one in billing.providers.items()} == {NORTHSTAR: "12", 2: "13"}
    carrier, customer = frozen.carrier_rate_plans[NORTHSTAR], frozen.customer_rate_plan
    assert (carrier.code, carrier.product_id, carrier.package_id) == ("IOT5", "101", None)
    assert customer is not None
    assert (customer.product_id, customer.data_limit_bytes, customer.data_pool) == ("103", 5_000_000, "north")


@pytest.mark.parametrize("request_facts", [FULL, a_request(), a_billed_request(customer_rate_plan=CUSTOMER_PACKAGE)])
def test_instructions_come_back_from_json_as_they_were(request_facts) -> None:
    frozen = instructions(request_facts)
    document = json.loads(json.dumps(frozen.to_document()))
    assert document["version"] == 1
    assert Instructions.from_document(document) == frozen


def test_instructions_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="version 2"):
        Instructions.from_document({**instructions().to_document(), "version": 2})


@pytest.mark.parametrize("changed", [{"customer": None}, {"carrier_rate_plans": []}, {"site": {}}])
def test_instructions_that_cannot_be_read_are_refused(changed) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        Instructions.from_document({**instructions().to_document(), **changed})


def test_no_secret_and_no_billing_where_it_was_not_asked() -> None:
    frozen = instructions(a_request(customer_rate_plan=CUSTOMER_PLAN))
    assert frozen.billing is None
    assert frozen.customer_rate_plan is not None
    assert frozen.customer_rate_plan.product_id is None


@pytest.mark.parametrize(
    ("msisdn", "iccid_as_number", "number"), [("1274", False, "1274"), ("1274", True, "1274"), (None, True, "8901")]
)
def test_the_number_that_is_billed(msisdn: str | None, iccid_as_number: bool, number: str) -> None:
    billing = instructions().billing
    assert billing is not None
    assert replace(billing, iccid_as_number=iccid_as_number).number(msisdn, "8901") == number


def test_a_work_order_freezes_its_device_and_what_is_to_be_done() -> None:
    device = owned(carrier_rate_plan_id=44, customer_rate_plan_id=55, data_limit_bytes=9, data_pool="p",
                   owner_account_number="20317", owner_credential_id=31)  # fmt: skip
    job = build(check(FULL, [asked(device, line=3)]), instructions(), NUMBER, KEY)
    assert (job.tracking_number, job.submission_key, job.customer_id, job.site_id) == (NUMBER, KEY, CUSTOMER, 20)
    assert (job.billing_credential_id, job.customer_rate_plan_id, job.data_limit_bytes) == (CREDENTIAL, 50, 5_000_000)
    (order,) = job.work_orders
    assert (order.line, order.device_id, order.iccid, order.msisdn) == (3, 1000, device.iccid, "12745550005")
    assert (order.state, order.error_code) == (WorkOrderState.QUEUED, None)
    assert (order.ownership_action, order.prior_ownership_id) == (OwnershipAction.REASSIGN, 60)
    assert (order.billing_action, order.billing_service_id) == (BillingAction.CREATE, None)
    assert (order.effective_date, order.carrier_rate_plan_id) == (date(2026, 12, 1), 40)
    assert order.before == {
        "carrier_rate_plan_id": 44,
        "ownership": {
            "id": 60,
            "customer_id": OTHER_CUSTOMER,
            "site_id": 25,
            "account_number": "20317",
            "billing_credential_id": 31,
            "effective_from": "2026-05-01",
            "customer_rate_plan_id": 55,
            "data_limit_bytes": 9,
            "data_pool": "p",
        },
    }


def test_references_are_the_same_in_every_run_and_never_another_jobs() -> None:
    frozen = instructions()
    reference = frozen.reference(NUMBER, 100_000)
    assert reference == frozen.reference(NUMBER, 100_000)
    others = {
        frozen.reference(NUMBER, 10_000),
        frozen.reference("AJ-20261124-0043", 100_000),
        replace(frozen, reference_mark="7f3a9d").reference(NUMBER, 100_000),
    }
    assert len(others) == 3
    assert reference not in others
    assert len(frozen.reference("AJ-20261124-1000000", 10_000_000)) <= REFERENCE_LENGTH


@pytest.mark.parametrize(
    ("request_facts", "device", "has_reference"),
    [
        (a_billed_request(), a_device(), True),
        (FULL, own(services=(service(),)), True),  # the plans' products are posted onto the kept service
        (a_billed_request(), own(services=(service(),)), False),
        (a_request(), a_device(), False),
    ],
)
def test_a_reference_only_where_something_is_posted(request_facts, device, has_reference: bool) -> None:
    (order,) = build(check(request_facts, [asked(device)]), instructions(request_facts), NUMBER, KEY).work_orders
    assert (order.reference is not None) == has_reference


def test_a_kept_service_stands_in_the_work_order() -> None:
    (order,) = build(check(FULL, [asked(own(services=(service(4),)))]), instructions(), NUMBER, KEY).work_orders
    assert (order.billing_action, order.billing_service_id) == (BillingAction.KEEP, 904)


def test_blocked_devices_get_a_rejected_work_order_with_their_first_finding() -> None:
    request = a_request()
    outcome = check(request, [asked(own(owner_site_id=DEPOT, is_deleted=True, is_archived=True)), asked(line=2)])
    found, unknown = build(outcome, instructions(request), NUMBER, KEY).work_orders
    assert (found.state, found.device_id, found.error_kind, found.error_code) == (
        WorkOrderState.REJECTED, 1000, ErrorKind.PERMANENT, "DELETED",
    )  # fmt: skip
    assert (found.ownership_action, found.billing_action, found.reference, found.before) == (None, None, None, None)
    assert (unknown.state, unknown.device_id, unknown.iccid, unknown.error_code) == (
        WorkOrderState.REJECTED, None, "", "NOT_FOUND",
    )  # fmt: skip
    assert unknown.asked_for
    assert unknown.what_to_do


def test_a_sentence_with_long_names_is_cut_to_what_is_kept() -> None:
    request = a_request(customer=replace(CUSTOMER_FACTS, name="N" * 200, starts_on=date(2027, 1, 1)))
    outcome = check(request, [asked(owned(owner_name="Ü" * 500))])
    (order,) = build(outcome, instructions(request), NUMBER, KEY).work_orders
    assert order.error_message is not None
    assert len(order.error_message) == LONGEST_MESSAGE
    assert order.error_message.endswith("Ü…")
