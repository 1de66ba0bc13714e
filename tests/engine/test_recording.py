"""What a group of the recorder writes, where the order in which it does so matters."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import text, update

from db import steering, unit_of_work
from db.integrity import check
from db.schema import job, work_order, work_order_step
from db.taking_back import take_back
from desktop_app.association.errors import Problem
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.desk.requests import retry_job
from desktop_app.desk.seat import Seat
from desktop_app.engine.finishing import finish_due
from desktop_app.engine.group import Item
from desktop_app.engine.orders import OrderInHand
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import run
from tests.helpers.billing_ledger import BUSY, NOT_REACHED, BillingLedger
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store, wait_for_a_lock
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, TIMEOUT_S, Time
from tests.helpers.world import World

LEFT_OPEN = Problem("BILLING_OUTCOME_UNKNOWN", "It is not known.", "Wait.")


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


def recorder_on(world: World, time: Time, **options: bool) -> Recorder:
    """A recorder that gives up after one try."""
    world.store.clock = lambda _connection: time.now
    rules = ProcessingRules(timedelta(seconds=SETTLE_S), RetryRules(max_attempts=1, first_wait_s=0.5))
    return Recorder(
        world.store, "an-engine", rules, lease_s=LEASE_S, new_lease=time.lease, rng=Random(1), **options
    )  # fmt: skip


def work_off(recorder: Recorder, ledger: BillingLedger, to_call: Sequence[OrderInHand] = ()) -> None:
    """Rounds until nothing is due, beginning with the calls of a group before."""
    items: list[Item] = [run(order, ledger, TIMEOUT_S, lambda: False) for order in to_call]
    for _ in range(50):
        recorded = recorder.record(items, 10)
        items = [run(order, ledger, TIMEOUT_S, lambda: False) for order in recorded.to_call]
        items += recorded.settled
        if not items:
            return
    raise AssertionError("something never came to an end")


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_retry_looks_again_for_services_made_outside_the_program(world: World) -> None:
    """What was looked up before a call that billing did not take is an answer of another day."""
    time, ledger = Time(), BillingLedger()
    submit(world, device_id := world.device(), create_billing_service=True)
    number = world.rows(job)[0].tracking_number
    recorder = recorder_on(world, time, lookup_first=True)
    ledger.faults.append(NOT_REACHED)
    work_off(recorder, ledger)
    (order,) = world.rows(work_order)
    assert (order.state, order.error_code, ledger.searches, ledger.posts) == ("failed", "BILLING_NOT_REACHED", 1, 1)
    finish_due(world.store, notify=False)

    # Somebody makes the service by hand.
    ledger.add_service("S77", "500", order.msisdn)
    time.pass_by(3_600)
    retry_job(Seat(world.store, "admin"), number)
    work_off(recorder, ledger)
    order = world.order_of(device_id)
    assert (order.state, order.error_code) == ("outcome_unknown", "BILLING_NUMBER_TAKEN")
    assert ledger.posts == 1


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_a_person_says_is_absent_is_not_looked_up_again(world: World) -> None:
    time, ledger = Time(), BillingLedger()
    submit(world, device_id := world.device(), create_billing_service=True)
    order = world.order_of(device_id)
    ledger.add_service("S77", "500", order.msisdn)
    recorder = recorder_on(world, time, lookup_first=True)
    work_off(recorder, ledger)
    assert world.order_of(device_id).error_code == "BILLING_NUMBER_TAKEN"

    number = world.rows(job)[0].tracking_number
    world.store.run(lambda uow: steering.resolve(uow, number, order.iccid, None, "ada"))
    work_off(recorder, ledger)
    assert world.order_of(device_id).state == "succeeded"
    assert ledger.searches == 1
    assert check(world.store) == ()


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_group_that_pauses_one_job_and_counts_another_does_not_wait_in_a_circle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else goes through both jobs in their order, as everybody does."""
    monkeypatch.setattr(unit_of_work, "MOST_TRIES", 1)  # a deadlock is told, and not done again
    time, ledger = Time(), BillingLedger()
    for _ in range(2):
        submit(world, world.device(), create_billing_service=True)
    counted, paused = (row.id for row in world.rows(job))
    recorder = recorder_on(world, time)
    by_job = {order.order.job_id: order for order in recorder.record((), 2).to_call}
    items = [run(by_job[counted], ledger, TIMEOUT_S, lambda: False)]
    ledger.is_there = False
    items.append(run(by_job[paused], ledger, TIMEOUT_S, lambda: False))

    recorded: list[object] = []

    def record() -> None:
        try:
            recorded.append(recorder.record(items, 0).ended)
        except Exception as error:  # told by the test
            recorded.append(error)

    thread = threading.Thread(target=record)
    with world.store.begin() as uow:
        uow.connection.execute(update(job).where(job.c.id == counted).values(changed_at=uow.now()))
        thread.start()
        wait_for_a_lock(world.store)
        uow.connection.execute(update(job).where(job.c.id == paused).values(changed_at=uow.now()))
        uow.commit()
    thread.join()
    assert recorded == [2]
    assert [row.state for row in world.rows(job)] == ["finishing", "paused"]
    assert_counters_equal_rows(world)


def test_an_outcome_of_an_earlier_lease_of_ones_own_is_dropped(world: World) -> None:
    """A machine that slept: the engine took the work order back and claimed it anew before it read the old answer."""
    time, ledger = Time(), BillingLedger()
    submit(world, world.device(), create_billing_service=True)
    recorder = recorder_on(world, time)
    (posted,) = recorder.record((), 1).to_call
    ledger.faults.append(BUSY)
    answered_late = run(posted, ledger, TIMEOUT_S, lambda: False)
    time.pass_by(LEASE_S + 1)
    assert world.store.run(lambda uow: take_back(uow, uow.now() + timedelta(seconds=SETTLE_S), LEFT_OPEN)) == 1
    time.pass_by(SETTLE_S + 1)
    (asked,) = recorder.record((), 1).to_call
    assert asked.order.epoch > posted.order.epoch

    (going_on,) = recorder.record([answered_late, asked], 0).to_call
    assert going_on.order.epoch == asked.order.epoch
    work_off(recorder, ledger, [going_on])
    assert [row.state for row in world.rows(work_order)] == ["succeeded"]
    assert ledger.posts == 2, "the one that was refused as busy, and the one after billing was asked"
    assert check(world.store) == ()


def test_a_pause_between_two_steps_is_obeyed(world: World) -> None:
    """The call in flight is recorded, the next one is not made; after the pause the work order goes on from there."""
    time, ledger = Time(), BillingLedger()
    submit(world, world.device(), create_billing_service=True, customer_rate_plan="FLEET")
    number = world.rows(job)[0].tracking_number
    recorder = recorder_on(world, time)
    (posted,) = recorder.record((), 1).to_call
    made = run(posted, ledger, TIMEOUT_S, lambda: False)
    world.store.run(lambda uow: steering.pause_job(uow, number, "ada"))

    recorded = recorder.record([made], 1)
    assert (recorded.to_call, recorded.ended) == ((), 1)
    (order,) = world.rows(work_order)
    assert (order.state, order.engine_id) == ("queued", None)
    (step,) = world.rows(work_order_step)
    assert (step.step, step.state) == ("billing_service", "done")
    assert check(world.store) == ()

    world.store.run(lambda uow: steering.resume_job(uow, number, "ada"))
    work_off(recorder, ledger)
    assert [row.state for row in world.rows(work_order)] == ["succeeded"]
    assert (len(ledger.services), len(ledger.products)) == (1, 1)
    assert check(world.store) == ()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ends", ["cancelled", "failed"])
def test_what_was_made_on_a_service_that_is_kept_is_told_where_it_ends_there(world: World, ends: str) -> None:
    time, ledger = Time(), BillingLedger()
    device_id = world.device()
    world.own(device_id)
    world.service(device_id, service_id="S1")
    carrier = (CarrierPlanChoice("IOT5", "NORTHSTAR"),)
    submit(
        world, device_id, create_billing_service=True, carrier_rate_plans=carrier, customer_rate_plan="FLEET"
    )  # fmt: skip
    number = world.rows(job)[0].tracking_number
    recorder = recorder_on(world, time)
    searches = recorder.record((), 1).to_call  # whether the first product is there already
    (posted,) = recorder.record([run(one, ledger, TIMEOUT_S, lambda: False) for one in searches], 0).to_call
    if ends == "cancelled":
        world.store.run(lambda uow: steering.cancel_job(uow, number, "ada"))
    else:
        with world.store.begin() as uow:
            refuse = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            uow.connection.execute(text(f"CREATE TRIGGER refuse BEFORE UPDATE ON device_ownership {refuse}"))
            uow.commit()
    work_off(recorder, ledger, [posted])
    (order,) = world.rows(work_order)
    first, *others = ledger.products
    made = f"roduct {first} " if ends == "cancelled" else f"roducts {first} and {others[0]} "
    assert len(others) == (ends == "failed")
    assert order.state == ends
    assert order.error_code == ("CANCELLED" if ends == "cancelled" else "BILLED_NOT_ASSOCIATED")
    assert f"{made}on billing service S1" in order.error_message
    assert ("at billing" if ends == "cancelled" else "makes nothing twice") in order.what_to_do
