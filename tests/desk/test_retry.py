"""Retrying a job, on real databases: what is checked again, what is kept, what the job looks like then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from db.schema import (
    audit_entry,
    billing_credential,
    billing_service,
    customer,
    device,
    device_ownership,
    job,
    job_log,
    operator_grant,
    work_order,
)
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.model import AskedLines, AssociationRequest
from desktop_app.association.work_orders import Instructions
from desktop_app.desk.protocol import Retried
from desktop_app.desk.requests import check_request, retry_job, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.databases import Databases
from tests.helpers.stores import fresh_store
from tests.helpers.world import CREDENTIAL, FABRIKAM, MAPPING, NORTHWIND, NOW, TODAY, World, iccid

NUMBER = "AJ-20261124-0001"


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def seat(world: World) -> Seat:
    return Seat(world.store, "admin")


def submit(seat: Seat, *lines: str, **changes: Any) -> None:
    request = AssociationRequest(AskedLines(lines), "10482", effective_date=TODAY, create_billing_service=True)
    request = replace(request, **changes)
    submit_request(seat, request, check_request(seat, request).fingerprint, "key-1")


def failed_job(world: World, seat: Seat, *devices: int, **changes: Any) -> None:
    """A job that is over, in which every one of the devices failed."""
    submit(seat, *(world.iccid_of(key) for key in devices), **changes)
    world.finish_job("failed", **{f"d{key}": "failed" for key in devices})
    for key in devices:
        world.change(
            work_order, world.order_of(key).id, attempts=3, error_kind="permanent", error_code="BILLING_REFUSED",
            error_message="Refused.", what_to_do="Correct it.", started_at=NOW, lease_epoch=4,
        )  # fmt: skip


def counters_are_the_rows(world: World) -> bool:
    (row,) = world.rows(job)
    states = [order.state for order in world.rows(work_order)]
    names = ("rejected", "queued", "running", "waiting_retry", "outcome_unknown", "succeeded", "failed", "cancelled")
    return row.total == len(states) and all(row._mapping[name] == states.count(name) for name in names)


def test_what_passes_is_queued_again_as_if_it_were_new(world: World, seat: Seat) -> None:
    failed, fine = world.device(), world.device()
    failed_job(world, seat, failed, fine)
    world.finish_job("partially_completed", **{f"d{fine}": "succeeded"})
    before = world.order_of(failed)
    ownership = world.own(failed)
    world.change(device, failed, imei="490154203237518", carrier_rate_plan_id=41)
    world.store.clock = lambda _connection: NOW + timedelta(hours=1)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 1, 0, 2)

    order = world.order_of(failed)
    assert (order.state, order.attempts, order.error_kind, order.error_code) == ("queued", 0, None, None)
    assert (order.error_message, order.what_to_do, order.started_at, order.completed_at) == (None, None, None, None)
    assert (order.lease_epoch, order.revision) == (4, before.revision + 1)
    assert order.reference == before.reference
    # facts are frozen anew
    assert (order.imei, order.ownership_action, order.prior_ownership_id) == ("490154203237518", "keep", ownership)
    assert order.before["carrier_rate_plan_id"] == 41
    assert order.changed_at == NOW + timedelta(hours=1)
    assert world.order_of(fine).state == "succeeded"

    (row,) = world.rows(job)
    assert (row.state, row.run_no, row.finished_at, row.cancel_requested) == ("queued", 2, None, False)
    assert counters_are_the_rows(world)
    log = world.rows(job_log)[-1]
    assert (log.run_no, log.event, log.data) == (2, "retried", {"requeued": 1, "still_blocked": 0, "run_no": 2})
    audited = world.rows(audit_entry)[-1]
    assert (audited.action, audited.subject, audited.operator_login) == ("retry", NUMBER, "admin")


def test_what_the_check_does_not_let_through_stays_failed_with_the_finding(world: World, seat: Seat) -> None:
    blocked, passes = world.device(), world.device()
    failed_job(world, seat, blocked, passes)
    world.own(blocked, FABRIKAM)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 1, 1, 2)
    order = world.order_of(blocked)
    assert (order.state, order.error_code, order.error_message) == (
        "failed", "OWNED_BY_ANOTHER", "It belongs to Fabrikam Water.",
    )  # fmt: skip
    assert order.what_to_do
    assert world.order_of(passes).state == "queued"
    assert counters_are_the_rows(world)


def test_where_nothing_passes_the_job_stays_over(world: World, seat: Seat) -> None:
    blocked = world.device()
    failed_job(world, seat, blocked)
    world.change(device, blocked, is_deleted=True)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 0, 1, 1)
    (row,) = world.rows(job)
    assert (row.state, row.run_no, row.finished_at) == ("failed", 1, NOW)
    assert world.order_of(blocked).error_code == "DELETED"
    assert counters_are_the_rows(world)


def test_rejected_devices_are_looked_at_again_unknown_ones_too(world: World, seat: Seat) -> None:
    theirs = world.device()
    key = world.own(theirs, FABRIKAM)
    unknown = iccid(777)
    submit(seat, world.iccid_of(theirs), unknown, f"ICCID: {unknown[:-1]}", "8901260000000000001")
    world.finish_job("failed")
    world.change(device_ownership, key, state="ended", effective_to=TODAY)
    found = world.device(iccid=unknown)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 2, 2, 2)
    orders = world.rows(work_order)
    assert [(order.line, order.state, order.device_id, order.error_code) for order in orders] == [
        (1, "queued", theirs, None),
        (2, "queued", found, None),
        (3, "rejected", None, "DUPLICATE"),
        (4, "rejected", None, "NOT_FOUND"),
    ]
    assert (orders[1].iccid, orders[1].ownership_action, orders[1].billing_action) == (unknown, "assign", "create")
    assert orders[1].reference
    assert counters_are_the_rows(world)


def test_a_cancelled_job_goes_on(world: World, seat: Seat) -> None:
    device_id = world.device()
    submit(seat, world.iccid_of(device_id))
    world.finish_job("cancelled", **{f"d{device_id}": "cancelled"})
    world.change(job, world.rows(job)[0].id, cancel_requested=True)
    assert retry_job(seat, NUMBER).requeued == 1
    (row,) = world.rows(job)
    assert (row.state, row.cancel_requested, row.queued, row.cancelled) == ("queued", False, 1, 0)


# --- billing ---------------------------------------------------------------------------------------------------------


def test_a_service_that_was_made_is_kept_and_does_not_count_as_one_from_before(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id)
    order = world.order_of(device_id)
    made = world.service(device_id, reference=order.reference, work_order_id=order.id)
    world.change(work_order, order.id, billing_service_id=made, error_code="BILLED_NOT_ASSOCIATED")
    world.settle(order.id, "billing_service", "done")
    world.change(customer, NORTHWIND, bill_cycle_day=1)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 1, 0, 2)
    after = world.order_of(device_id)
    assert (after.state, after.billing_action, after.billing_service_id) == ("queued", "create", made)
    assert after.reference == order.reference


def test_a_service_that_was_made_and_is_ended_since_is_not_made_again(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id)
    order = world.order_of(device_id)
    made = world.service(device_id, reference=order.reference, work_order_id=order.id)
    world.change(work_order, order.id, billing_service_id=made)
    world.settle(order.id, "billing_service", "done")
    world.change(billing_service, made, is_active=False, ended_on=TODAY)
    assert retry_job(seat, NUMBER).requeued == 0
    assert world.order_of(device_id).error_code == "BILLING_SERVICE_ENDED"


def test_a_service_that_appeared_meanwhile_is_kept_instead_of_a_second_one(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id)
    there = world.service(device_id)
    assert retry_job(seat, NUMBER).requeued == 1
    after = world.order_of(device_id)
    assert (after.billing_action, after.billing_service_id, after.reference) == ("keep", there, None)


def test_a_mapping_that_was_corrected_counts(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id, customer_rate_plan="FLEET")
    mark = Instructions.from_document(world.rows(job)[0].instructions).reference_mark
    corrected = {**MAPPING, "plans": {**MAPPING["plans"], "customer:FLEET": {"product_id": "999"}}}  # type: ignore[dict-item]
    world.change(billing_credential, CREDENTIAL, mapping=corrected)
    world.change(customer, NORTHWIND, account_number="10483")
    assert retry_job(seat, NUMBER).requeued == 1
    (row,) = world.rows(job)
    frozen = Instructions.from_document(row.instructions)
    assert frozen.customer_rate_plan is not None
    assert frozen.customer_rate_plan.product_id == "999"
    assert (frozen.account_number, row.account_number, frozen.reference_mark) == ("10483", "10483", mark)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_running_job_takes_back_what_failed_without_a_new_run(world: World, seat: Seat) -> None:
    failed, runs = world.device(), world.device()
    failed_job(world, seat, failed, runs)
    world.change(work_order, world.order_of(runs).id, state="running")
    world.change(job, world.rows(job)[0].id, state="running", failed=1, running=1)
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 1, 0, 1)
    (row,) = world.rows(job)
    assert (row.state, row.run_no, row.queued, row.running, row.failed) == ("running", 1, 1, 1, 0)
    assert world.order_of(runs).state == "running"


def test_a_running_job_is_not_given_new_instructions(world: World, seat: Seat) -> None:
    failed, runs = world.device(), world.device()
    failed_job(world, seat, failed, runs)
    world.change(work_order, world.order_of(runs).id, state="running")
    world.change(job, world.rows(job)[0].id, state="running", failed=1, running=1)
    world.change(customer, NORTHWIND, account_number="10483")
    with pytest.raises(RequestRefused) as refused:
        retry_job(seat, NUMBER)
    assert refused.value.code == "JOB_STILL_RUNNING"
    assert world.order_of(failed).state == "failed"


def test_a_job_that_is_just_being_finished_is_retried_in_a_moment(world: World, seat: Seat) -> None:
    failed_job(world, seat, world.device())
    world.change(job, world.rows(job)[0].id, state="finishing")
    with pytest.raises(RequestRefused) as refused:
        retry_job(seat, NUMBER)
    assert refused.value.code == "JOB_FINISHING"


def test_a_job_that_is_being_cancelled_is_retried_when_it_is_over(world: World, seat: Seat) -> None:
    """An engine would cancel again what a person was told is queued."""
    failed, runs = world.device(), world.device()
    failed_job(world, seat, failed, runs)
    world.change(work_order, world.order_of(runs).id, state="running")
    world.change(job, world.rows(job)[0].id, state="running", failed=1, running=1, cancel_requested=True)
    with pytest.raises(RequestRefused) as refused:
        retry_job(seat, NUMBER)
    assert refused.value.code == "JOB_BEING_CANCELLED"
    assert refused.value.what_to_do
    assert world.order_of(failed).state == "failed"


def test_nothing_to_retry_changes_nothing(world: World, seat: Seat) -> None:
    device_id = world.device()
    submit(seat, world.iccid_of(device_id))
    world.finish_job("completed", **{f"d{device_id}": "succeeded"})
    assert retry_job(seat, NUMBER) == Retried(NUMBER, 0, 0, 1)
    assert [log.event for log in world.rows(job_log)] == ["submitted"]


def test_a_request_that_is_blocked_as_a_whole_now_is_refused(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id)
    world.change(customer, NORTHWIND, is_active=False)
    with pytest.raises(RequestRefused) as refused:
        retry_job(seat, NUMBER)
    assert refused.value.code == "CUSTOMER_INACTIVE"
    assert world.order_of(device_id).error_code == "BILLING_REFUSED"


@pytest.mark.parametrize(
    ("login", "code"), [("viewer", "NOT_PERMITTED"), ("limited", "JOB_NOT_FOUND"), ("nobody", "OPERATOR_UNKNOWN")]
)
def test_who_may_retry(world: World, seat: Seat, login: str, code: str) -> None:
    failed_job(world, seat, world.device())
    with world.store.begin() as uow:
        limited = operator_grant.c.customer_id == NORTHWIND
        uow.connection.execute(operator_grant.update().where(limited).values(customer_id=FABRIKAM))
        uow.commit()
    with pytest.raises(RequestRefused) as refused:
        retry_job(Seat(world.store, login), NUMBER)
    assert refused.value.code == code


def test_an_unknown_job(seat: Seat) -> None:
    with pytest.raises(NotFound):
        retry_job(seat, "AJ-20261124-0099")


def test_a_device_that_another_job_took_meanwhile_is_told(world: World, seat: Seat) -> None:
    device_id = world.device()
    failed_job(world, seat, device_id)
    request = AssociationRequest(AskedLines((world.iccid_of(device_id),)), "10482", effective_date=date(2026, 12, 1))
    submit_request(seat, request, check_request(seat, request).fingerprint, "key-2")
    assert retry_job(seat, NUMBER).requeued == 0
    first, second = world.rows(work_order)
    assert (first.state, first.error_code, second.state) == ("failed", "IN_OPEN_WORK_ORDER", "queued")
