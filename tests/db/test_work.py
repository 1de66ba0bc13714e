"""The queue, on both kinds of database: who may claim what, and that nobody writes without the lease."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from db import work
from db.counters import Counters, any_to_finish, send_to_finishing
from db.integrity import check
from db.schema import billing_service, device_history, job, work_order, work_order_step
from db.taking_back import TakenByAnother, any_expired, take_back
from db.unit_of_work import Store, UnitOfWork
from db.work import ClaimedOrder, Held, OrderWrite, StepRow, StepWrite
from desktop_app.association.errors import ErrorKind, Problem
from desktop_app.association.states import Step, StepState, WorkOrderState
from tests.helpers.jobs import ENGINE, assert_counters_equal_rows, claim, submit, write_step
from tests.helpers.stores import wait_for_a_lock
from tests.helpers.world import CREDENTIAL, FABRIKAM, NORTHWIND, NOW, World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
PROBLEM = Problem("BILLING_OUTCOME_UNKNOWN", "Nobody knows.", "Wait.", ErrorKind.UNKNOWN)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def job_of(world: World, count: int = 1, **options: Any) -> tuple[int, list[int]]:
    """A job with billing for so many new devices: its handle, and those of its work orders."""
    devices = [world.device() for _ in range(count)]
    job_id = submit(world, *devices, **{"create_billing_service": True, **options})
    return job_id, [row.id for row in world.rows(work_order, job_id=job_id)]


def set_state(world: World, job_id: int, work_order_id: int, state: str, **values: Any) -> None:
    """Puts one work order into a state by hand, and the counters with it."""
    before = world.rows(work_order, id=work_order_id)[0].state
    world.change(work_order, work_order_id, state=state, **values)
    (row,) = world.rows(job, id=job_id)
    world.change(
        job, job_id, **{before: row._mapping[before] - 1, state: row._mapping[state] + (1 if state != before else 0)}
    )


def due(world: World, unopened: tuple[int, ...] = ()) -> list[int]:
    with world.store.read() as uow:
        return [one.job_id for one in work.due_jobs(uow, unopened)]


def order(world: World, work_order_id: int) -> Any:
    return world.rows(work_order, id=work_order_id)[0]


# --- which jobs are due ----------------------------------------------------------------------------------------------


def test_the_job_whose_last_turn_is_longest_ago_comes_first(world: World) -> None:
    never, long_ago, just_now = (job_of(world)[0] for _ in range(3))
    world.change(job, just_now, turn_at=NOW)
    world.change(job, long_ago, turn_at=NOW - 5 * SECOND)
    assert due(world) == [never, long_ago, just_now]


@pytest.mark.parametrize("state", ["paused", "finishing", "completed", "cancelled"])
def test_jobs_that_may_not_go_on_are_not_due(world: World, state: str) -> None:
    job_id, _ = job_of(world)
    world.change(job, job_id, state=state)
    assert due(world) == []
    assert claim(world) == []


@pytest.mark.parametrize(
    ("state", "column", "offset", "is_due"),
    [
        ("waiting_retry", "next_attempt_at", 0, True),
        ("waiting_retry", "next_attempt_at", 1, False),
        ("outcome_unknown", "check_at", 0, True),
        ("outcome_unknown", "check_at", 1, False),
        ("outcome_unknown", "check_at", None, False),
    ],
)
def test_what_waits_is_due_from_its_instant_on(
    world: World, state: str, column: str, offset: int | None, is_due: bool
) -> None:
    job_id, (one,) = job_of(world)
    set_state(world, job_id, one, state, **{column: None if offset is None else NOW + offset * SECOND})
    assert due(world) == ([job_id] if is_due else [])
    assert [claimed.was for claimed in claim(world)] == ([WorkOrderState(state)] if is_due else [])


def test_a_credential_that_cannot_be_opened_leaves_its_jobs_to_other_engines(world: World) -> None:
    billed, _ = job_of(world)
    local = submit(world, world.device())
    assert due(world, (CREDENTIAL,)) == [local]
    assert due(world, (CREDENTIAL + 1,)) == [billed, local]


def test_standings_say_whether_a_job_may_go_on(world: World) -> None:
    running, paused, cancelled = (job_of(world)[0] for _ in range(3))
    world.change(job, paused, state="paused", pause_cause="operator")
    world.change(job, cancelled, cancel_requested=True)
    with world.store.read() as uow:
        found = work.standings(uow, [running, paused, cancelled])
    assert {key: (s.may_go_on, s.cancel_requested) for key, s in found.items()} == {
        running: (True, False), paused: (False, False), cancelled: (True, True),
    }  # fmt: skip


# --- claiming --------------------------------------------------------------------------------------------------------


def test_a_claim_takes_the_lease_and_carries_everything_that_is_needed(world: World) -> None:
    job_id, (one, _two) = job_of(world, 2)
    (claimed,) = claim(world, 1, lease=30 * SECOND)
    row = order(world, one)
    assert (row.state, row.engine_id, row.lease_epoch, row.lease_until) == ("running", ENGINE, 1, NOW + 30 * SECOND)
    assert row.started_at == NOW
    assert (claimed.work_order_id, claimed.job_id, claimed.epoch, claimed.was) == (one, job_id, 1, "queued")
    assert (claimed.iccid, claimed.msisdn, claimed.reference) == (row.iccid, row.msisdn, row.reference)
    assert (claimed.billing_action, claimed.kept_service_id, claimed.steps) == ("create", None, {})
    (the_job,) = world.rows(job)
    assert (the_job.state, the_job.started_at, the_job.turn_at) == ("running", NOW, NOW)
    assert_counters_equal_rows(world)


def test_what_one_engine_holds_no_other_claims(world: World) -> None:
    job_of(world, 3)
    first, second = claim(world, 2, engine="one"), claim(world, 9, engine="two")
    assert len(first) == 2
    assert len(second) == 1
    assert claim(world, 9, engine="three") == []


def test_how_long_it_has_been_tried_begins_with_a_try(world: World) -> None:
    """A job whose billing company was gone for days has not tried its devices for days."""
    job_id, (one, other) = job_of(world, 2)
    claim(world)
    set_state(world, job_id, one, "queued", engine_id=None, lease_until=None)
    set_state(world, job_id, other, "queued", engine_id=None, lease_until=None, attempts=1)
    now = NOW + timedelta(days=2)
    world.store.clock = lambda _connection: now
    began = {claimed.work_order_id: claimed.started_at for claimed in claim(world)}
    assert began == {one: now, other: NOW} == {row.id: row.started_at for row in world.rows(work_order)}


def test_an_ended_lease_is_not_claimed_but_taken_back_first(world: World) -> None:
    job_of(world)
    claim(world, lease=-SECOND)
    assert claim(world) == []


def test_unknown_outcomes_retries_and_new_work_take_turns(world: World) -> None:
    job_id, orders = job_of(world, 6)
    for one in orders[:2]:
        set_state(world, job_id, one, "outcome_unknown", check_at=NOW)
    for one in orders[2:4]:
        set_state(world, job_id, one, "waiting_retry", next_attempt_at=NOW)
    assert sorted(claimed.was for claimed in claim(world, 3)) == ["outcome_unknown", "queued", "waiting_retry"]
    assert_counters_equal_rows(world)


def test_a_claim_knows_the_steps_that_were_written_before(world: World) -> None:
    _, (one,) = job_of(world)
    world.put(
        work_order_step,
        {"work_order_id": one, "step": "billing_service", "state": "unknown", "attempts": 2, "reference": "R",
         "intent_at": NOW - SECOND},
    )  # fmt: skip
    (claimed,) = claim(world)
    assert claimed.steps == {Step.BILLING_SERVICE: StepRow(StepState.UNKNOWN, 2, "R", intent_at=NOW - SECOND)}


def test_work_without_billing_is_not_claimed_device_by_device(world: World) -> None:
    submit(world, world.device())
    assert claim(world) == []


def _claim_at_once(world: World, engines: int, limit: int) -> list[tuple[str, ClaimedOrder]]:
    together = threading.Barrier(engines)
    won: list[tuple[str, ClaimedOrder]] = []
    broken: list[BaseException] = []

    def engine(name: str) -> None:
        def take(uow: UnitOfWork) -> list[ClaimedOrder]:
            counters = Counters()
            taken = []
            for due in work.due_jobs(uow):
                for order in work.claim(uow, name, due, limit, uow.now() + MINUTE):
                    taken.append(order)
                    counters.moved(due.job_id, order.was, WorkOrderState.RUNNING)
            counters.write(uow)
            return taken

        try:
            together.wait()
            for _ in range(3):
                won.extend((name, order) for order in world.store.run(take))
        except BaseException as error:  # a thread's error is told by the test
            broken.append(error)

    threads = [threading.Thread(target=engine, args=(f"engine-{number}",)) for number in range(engines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    return won


def test_engines_that_claim_at_once_never_get_the_same_work_order(world: World) -> None:
    job_id, _ = job_of(world, 40)
    won = _claim_at_once(world, 4, 5)
    taken = [order.work_order_id for _, order in won]
    assert len(taken) == len(set(taken)) == 40
    holders = {order.id: order.engine_id for order in world.rows(work_order, job_id=job_id)}
    assert {order.work_order_id: name for name, order in won} == holders
    assert {order.lease_epoch for order in world.rows(work_order)} == {1}
    assert_counters_equal_rows(world)


@pytest.mark.postgres
def test_the_compare_and_set_alone_tells_who_was_faster(postgres_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hint that skips locked rows: both engines have seen the same candidates, and the second one waits."""
    world = World(postgres_store)
    job_of(world, 4)
    unlocked = tuple(statement._clone() for statement in work._CANDIDATES)
    for statement in unlocked:
        statement._for_update_arg = None
    monkeypatch.setattr(work, "_CANDIDATES", unlocked)
    has_claimed = threading.Event()
    fast_won: list[ClaimedOrder] = []

    def fast() -> None:
        with world.store.begin() as uow:
            (due,) = work.due_jobs(uow)
            fast_won.extend(work.claim(uow, "fast", due, 2, uow.now() + MINUTE))
            has_claimed.set()
            wait_for_a_lock(world.store)
            uow.commit()

    thread = threading.Thread(target=fast)
    thread.start()
    assert has_claimed.wait(60)
    with world.store.begin() as uow:
        (due,) = work.due_jobs(uow)
        won = work.claim(uow, "slow", due, 4, uow.now() + MINUTE)
        uow.commit()
    thread.join()
    assert len(fast_won) == 2
    assert len(won) == 2, "the two that are left of the four that it saw"
    assert {one.work_order_id for one in won}.isdisjoint(one.work_order_id for one in fast_won)
    assert sorted(row.engine_id for row in world.rows(work_order)) == ["fast", "fast", "slow", "slow"]


# --- recording -------------------------------------------------------------------------------------------------------


def holding(world: World, *leases: Held, engine: str = ENGINE) -> set[Held]:
    with world.store.begin() as uow:
        held = work.hold(uow, engine, leases, NOW + 99 * SECOND)
        uow.commit()
    return held


def test_hold_renews_what_is_held_and_nothing_else(world: World) -> None:
    job_id, (mine, others, stale, ended) = job_of(world, 4)
    claim(world)
    world.change(work_order, others, engine_id="somebody")
    world.change(work_order, stale, lease_epoch=2)
    world.change(work_order, ended, state="succeeded")
    assert holding(world, *(Held(one, job_id, 1) for one in (mine, others, stale, ended))) == {Held(mine, job_id, 1)}
    assert order(world, mine).lease_until == NOW + 99 * SECOND
    assert order(world, others).lease_until == NOW + 60 * SECOND
    assert order(world, stale).lease_until == NOW + 60 * SECOND


def test_hold_tells_leases_of_several_epochs_apart(world: World) -> None:
    job_id, (first, second) = job_of(world, 2)
    claim(world)
    world.change(work_order, second, lease_epoch=7)
    both = {Held(first, job_id, 1), Held(second, job_id, 7)}
    assert holding(world, *both) == both
    assert holding(world, Held(first, job_id, 7), Held(second, job_id, 1)) == set()


def test_hold_tells_two_leases_on_one_work_order_apart(world: World) -> None:
    """What an engine brings of a lease that it has lost is not held because it has the work order anew."""
    job_id, (one, other) = job_of(world, 2)
    claim(world)
    world.change(work_order, one, lease_epoch=3)
    now, before = Held(one, job_id, 3), Held(one, job_id, 1)
    assert holding(world, before, now, Held(other, job_id, 1)) == {now, Held(other, job_id, 1)}


def test_a_step_is_written_and_written_over(world: World) -> None:
    job_of(world)
    (claimed,) = claim(world)
    write_step(world, claimed, Step.BILLING_SERVICE, StepState.INTENT, attempts=1, reference="R")
    with world.store.begin() as uow:
        done = StepRow(StepState.DONE, 1, "R", NOW, NOW, 201, "S1", "ok")
        work.write_steps(uow, [StepWrite(claimed.work_order_id, Step.BILLING_SERVICE, done, 1, is_new=False)])
        uow.commit()
    (row,) = world.rows(work_order_step)
    assert (row.state, row.attempts, row.reference, row.billing_id) == ("done", 1, "R", "S1")
    assert (row.http_status, row.answer, row.lease_epoch) == (201, "ok", 1)
    assert (row.intent_at, row.finished_at) == (NOW, NOW)


def write(world: World, *writes: OrderWrite) -> None:
    with world.store.begin() as uow:
        work.write_orders(uow, ENGINE, writes, NOW + 60 * SECOND)
        uow.commit()


def test_a_work_order_that_fails_gives_up_its_lease_and_leaves_a_history_row(world: World) -> None:
    _, (one,) = job_of(world, reason="New fleet")
    claim(world)
    before = order(world, one)
    problem = Problem("BILLING_REFUSED", "Refused.", "Correct it.")
    write(world, OrderWrite(one, WorkOrderState.FAILED, 3, problem=problem, billing_answer="No."))
    row = order(world, one)
    assert (row.state, row.engine_id, row.lease_until, row.completed_at) == ("failed", None, None, NOW)
    assert (row.error_kind, row.error_code, row.error_message, row.what_to_do) == (
        "permanent", "BILLING_REFUSED", "Refused.", "Correct it.",
    )  # fmt: skip
    assert (row.attempts, row.billing_answer) == (3, "No.")
    assert row.revision == before.revision + 1, "whoever looks at revisions sees that it changed"
    (fact,) = world.rows(device_history)
    assert (fact.event, fact.detail, fact.reason, fact.customer_id) == ("failed", "Refused.", "New fleet", NORTHWIND)


def test_a_work_order_that_goes_on_keeps_its_lease_and_what_billing_said(world: World) -> None:
    _, (one,) = job_of(world)
    claim(world)
    write(world, OrderWrite(one, WorkOrderState.RUNNING, 1, billing_answer="First."))
    write(world, OrderWrite(one, WorkOrderState.RUNNING, 1))
    row = order(world, one)
    assert (row.state, row.engine_id, row.lease_until) == ("running", ENGINE, NOW + 60 * SECOND)
    assert (row.billing_answer, row.completed_at) == ("First.", None)
    assert world.rows(device_history) == []


@pytest.mark.parametrize(
    ("state", "values"),
    [
        (WorkOrderState.WAITING_RETRY, {"next_attempt_at": NOW + SECOND}),
        (WorkOrderState.OUTCOME_UNKNOWN, {"check_at": NOW + SECOND}),
        (WorkOrderState.QUEUED, {}),
    ],
)
def test_a_parked_work_order_holds_no_lease(world: World, state: WorkOrderState, values: dict[str, Any]) -> None:
    _, (one,) = job_of(world)
    claim(world)
    write(world, OrderWrite(one, state, 1, **values))
    row = order(world, one)
    assert (row.state, row.engine_id, row.lease_until, row.completed_at) == (state, None, None, None)
    assert (row.next_attempt_at, row.check_at) == (values.get("next_attempt_at"), values.get("check_at"))


# --- billing services ------------------------------------------------------------------------------------------------


def record(world: World, *made: tuple[int, str], state: StepState = StepState.DONE) -> None:
    """Writes that these work orders have these services, and records the services."""
    world.put(
        work_order_step,
        *(
            {"work_order_id": one, "step": "billing_service", "state": state, "billing_id": service_id}
            for one, service_id in made
        ),
    )
    with world.store.begin() as uow:
        work.record_services(uow, [one for one, _ in made])
        uow.commit()


def test_a_made_service_is_written_and_linked_to_its_work_order(world: World) -> None:
    _, orders = job_of(world, 2)
    world.change(work_order, orders[0], msisdn=None)  # billed under its ICCID
    rows = [order(world, one) for one in orders]
    record(world, *((row.id, f"S{row.id}") for row in rows))
    for row in rows:
        (service,) = world.rows(billing_service, service_id=f"S{row.id}")
        assert (service.device_id, service.customer_id, service.work_order_id) == (row.device_id, NORTHWIND, row.id)
        assert (service.reference, service.number, service.is_active) == (row.reference, row.msisdn or row.iccid, True)
        assert service.effective_date == row.effective_date
        assert order(world, row.id).billing_service_id == service.id


def test_a_service_that_is_known_already_is_only_linked(world: World) -> None:
    _, (one,) = job_of(world)
    row = order(world, one)
    known = world.service(row.device_id, service_id="S1")
    record(world, (one, "S1"))
    assert [service.id for service in world.rows(billing_service)] == [known]
    assert order(world, one).billing_service_id == known


@pytest.mark.parametrize(
    "known",
    [{"device": "another"}, {"customer_id": FABRIKAM}, {"reference": "AJ-20260101-0001-1-aaaaaa"}],
    ids=lambda known: next(iter(known)),
)
def test_a_service_that_is_known_for_something_else_is_never_taken(world: World, known: dict[str, Any]) -> None:
    """Billing gave an id twice: the device would be associated with somebody else's bill."""
    _, (one,) = job_of(world)
    row = order(world, one)
    values = {"device": row.device_id, "customer_id": NORTHWIND, **known}
    device_id = world.device() if values.pop("device") == "another" else row.device_id
    world.service(device_id, service_id="S9", **values)
    with pytest.raises(IntegrityError):
        record(world, (one, "S9"))
    assert order(world, one).billing_service_id is None


def test_a_service_that_a_person_names_may_carry_any_reference(world: World) -> None:
    _, (one,) = job_of(world)
    known = world.service(order(world, one).device_id, service_id="S9", reference="AJ-20260101-0001-1-aaaaaa")
    record(world, (one, "S9"), state=StepState.KEPT)
    assert order(world, one).billing_service_id == known


def test_one_reference_never_names_two_services(world: World) -> None:
    _, (one,) = job_of(world)
    world.service(world.device(), service_id="S1", reference=order(world, one).reference)
    with pytest.raises(IntegrityError):
        record(world, (one, "S2"))
    assert len(world.rows(billing_service)) == 1


def test_queued_work_can_fail_without_a_claim_but_only_while_it_is_queued(world: World) -> None:
    job_id = submit(world, world.device())
    (row,) = world.rows(work_order)

    def problem_of(iccid: str) -> Problem:
        return Problem("NOT_ASSOCIATED", f"{iccid} was not.", "Look.")

    for is_first in (True, False):
        with world.store.begin() as uow:
            assert work.fail_queued(uow, job_id, 1, problem_of) is is_first
            uow.commit()
    after = order(world, row.id)
    assert (after.state, after.error_message) == ("failed", f"{row.iccid} was not.")
    assert len(world.rows(device_history)) == 1


# --- counters --------------------------------------------------------------------------------------------------------


def test_the_last_work_order_sends_its_job_to_be_finished(world: World) -> None:
    job_id, orders = job_of(world, 2)
    claim(world)
    for number, one in enumerate(orders):
        with world.store.begin() as uow:
            counters = Counters()
            work.write_orders(uow, ENGINE, [OrderWrite(one, WorkOrderState.FAILED, 1, problem=PROBLEM)], NOW)
            counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.FAILED)
            counters.write(uow)
            uow.commit()
        assert world.rows(job)[0].state == ("running", "finishing")[number]
        assert_counters_equal_rows(world)


def test_a_job_of_which_nothing_can_run_is_sent_to_be_finished(world: World) -> None:
    rejected = submit(world, world.device(is_deleted=True))
    job_of(world)
    with world.store.read() as uow:
        assert any_to_finish(uow)
    with world.store.begin() as uow:
        assert send_to_finishing(uow) == 1
        uow.commit()
    assert [row.state for row in world.rows(job)] == ["finishing", "queued"]
    assert world.rows(job)[0].id == rejected


def test_a_paused_job_whose_last_device_comes_to_an_end_is_finished(world: World) -> None:
    job_id, _ = job_of(world)
    claim(world)
    world.change(job, job_id, state="paused", pause_cause="operator", pause_reason="Paused.", resume_at=NOW)
    counters = Counters()
    counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED)
    world.store.run(counters.write)
    (row,) = world.rows(job)
    assert (row.state, row.pause_cause, row.pause_reason, row.resume_at) == ("finishing", None, None, None)


def test_a_turn_does_not_wake_a_paused_job_and_progress_shortens_its_next_pause(world: World) -> None:
    job_id, _ = job_of(world)
    world.change(job, job_id, state="paused", pause_cause="operator", resume_attempts=4)
    counters = Counters()
    counters.took_turn(job_id)
    world.store.run(counters.write)
    assert (world.rows(job)[0].state, world.rows(job)[0].resume_attempts) == ("paused", 4)
    counters.progressed(job_id)
    world.store.run(counters.write)
    assert world.rows(job)[0].resume_attempts == 0


# --- taking back -----------------------------------------------------------------------------------------------------


def taken_back(world: World) -> int:
    with world.store.begin() as uow:
        count = take_back(uow, NOW + 30 * SECOND, PROBLEM)
        uow.commit()
    return count


def test_an_ended_lease_with_an_open_intent_is_an_unknown_outcome_to_be_asked_for_later(world: World) -> None:
    job_id, (one,) = job_of(world)
    (claimed,) = claim(world, lease=-SECOND)
    write_step(world, claimed, Step.BILLING_SERVICE, StepState.INTENT, attempts=1)
    with world.store.read() as uow:
        assert any_expired(uow)
    assert taken_back(world) == 1
    row = order(world, one)
    assert (row.state, row.check_at, row.engine_id, row.lease_until) == (
        "outcome_unknown", NOW + 30 * SECOND, None, None,
    )  # fmt: skip
    assert (row.error_code, row.error_kind) == ("BILLING_OUTCOME_UNKNOWN", "unknown")
    assert world.rows(work_order_step)[0].state == "unknown"
    assert holding(world, Held(one, job_id, 1)) == set(), "whoever held it before writes nothing any more"
    assert_counters_equal_rows(world)
    with world.store.read() as uow:
        assert not any_expired(uow)


@pytest.mark.parametrize("step", [None, StepState.DONE, StepState.NOT_SENT])
def test_an_ended_lease_without_an_open_intent_is_queued_work(world: World, step: StepState | None) -> None:
    job_id, (one,) = job_of(world)
    (claimed,) = claim(world, lease=-SECOND)
    if step is not None:
        write_step(world, claimed, Step.BILLING_SERVICE, step, billing_id="S1")
    assert taken_back(world) == 1
    row = order(world, one)
    assert (row.state, row.engine_id, row.check_at) == ("queued", None, None)
    assert due(world) == [job_id]
    assert holding(world, Held(one, job_id, 1)) == set()
    assert_counters_equal_rows(world)


def test_a_lease_that_stands_is_not_taken_back(world: World) -> None:
    _, (one,) = job_of(world)
    claim(world, lease=timedelta(0))  # it ends now: not before now
    assert taken_back(world) == 0
    assert order(world, one).state == "running"


def test_leases_of_a_paused_job_are_taken_back_too(world: World) -> None:
    job_id, (one,) = job_of(world)
    claim(world, lease=-SECOND)
    world.change(job, job_id, state="paused", pause_cause="operator")
    assert taken_back(world) == 1
    assert order(world, one).state == "queued"
    assert world.rows(job)[0].state == "paused"


def test_engines_that_take_back_at_once_count_nothing_twice(world: World) -> None:
    _, orders = job_of(world, 20)
    for number, claimed in enumerate(claim(world, lease=-SECOND)):
        if number % 2:
            write_step(world, claimed, Step.BILLING_SERVICE, StepState.INTENT, attempts=1)
    together = threading.Barrier(3)
    counts: list[int] = []

    def engine() -> None:
        together.wait()
        try:
            counts.append(world.store.run(lambda uow: take_back(uow, NOW + 30 * SECOND, PROBLEM)))
        except TakenByAnother:
            counts.append(0)

    threads = [threading.Thread(target=engine) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 20
    rows = [order(world, one) for one in orders]
    assert sorted(row.state for row in rows) == ["outcome_unknown"] * 10 + ["queued"] * 10
    assert {row.lease_epoch for row in rows} == {2}
    assert_counters_equal_rows(world)
    assert check(world.store) == ()


@pytest.mark.postgres
def test_a_zombie_that_records_while_it_is_taken_back_writes_nothing(postgres_store: Store) -> None:
    """It waits for the other's transaction, and then finds that it holds nothing any more."""
    world = World(postgres_store)
    job_id, (one,) = job_of(world)
    claim(world, lease=-SECOND)
    is_taken, held_then = threading.Event(), []

    def zombie() -> None:
        assert is_taken.wait(60)
        held_then.append(holding(world, Held(one, job_id, 1)))

    thread = threading.Thread(target=zombie)
    thread.start()
    with world.store.begin() as uow:
        assert take_back(uow, NOW + 30 * SECOND, PROBLEM) == 1
        is_taken.set()
        wait_for_a_lock(world.store)
        assert held_then == [], "it waits"
        uow.commit()
    thread.join()
    assert held_then == [set()]
    assert order(world, one).state == "queued"
