"""The queue, on both kinds of database: claims, leases, what is recorded under them, what a lost one may not do."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from db import integrity, work
from db.counters import Counters
from db.schema import billing_service, device_history, job, work_order, work_order_step
from db.unit_of_work import Store, UnitOfWork
from db.work import ClaimedOrder, DueJob, Held, OrderWrite, ServiceMade, StepRow, StepWrite
from desktop_app.association.errors import ErrorKind, Problem
from desktop_app.association.states import Step, StepState, WorkOrderState
from tests.helpers.jobs import ENGINE, assert_counters_equal_rows, claim, submit, write_step
from tests.helpers.world import CREDENTIAL, FABRIKAM, NORTHWIND, NOW, World

LEASE = timedelta(minutes=1)
PROBLEM = Problem("BILLING_BUSY", "Billing took no further call.", "Nothing to do now.", ErrorKind.TRANSIENT)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def wait(world: World, how_long: timedelta) -> None:
    now = NOW + how_long
    world.store.clock = lambda _connection: now


def due_jobs(world: World, *unopened: int) -> list[DueJob]:
    with world.store.read() as uow:
        return work.due_jobs(uow, unopened)


def submit_billed(world: World, *devices: int, **options: Any) -> int:
    return submit(world, *devices, create_billing_service=True, **options)


def set_states(world: World, job_id: int, states: Mapping[int, Mapping[str, Any]]) -> None:
    """Puts work orders of a job into states by hand, by device, and the counters with them."""
    for order in world.rows(work_order, job_id=job_id):
        if order.device_id in states:
            world.change(work_order, order.id, **states[order.device_id])
    counts = Counter(order.state for order in world.rows(work_order, job_id=job_id))
    world.change(job, job_id, **{state.value: counts[state.value] for state in WorkOrderState})


def held(order: ClaimedOrder) -> Held:
    return Held(order.work_order_id, order.job_id, order.epoch)


def run(world: World, work_: Callable[[UnitOfWork], Any]) -> Any:
    return world.store.run(work_)


# --- which jobs are due ----------------------------------------------------------------------------------------------


def test_a_job_is_due_while_it_has_work_that_is_due(world: World) -> None:
    one = world.device()
    job_id = submit_billed(world, one)
    (due,) = due_jobs(world)
    assert (due.job_id, due.tracking_number, due.run_no) == (job_id, "AJ-20261124-0001", 1)
    assert (due.total, due.queued, due.billing_credential_id, due.cancel_requested) == (1, 1, CREDENTIAL, False)

    later = NOW + timedelta(seconds=1)
    for values, is_due in (
        ({"state": "queued"}, True),
        ({"state": "running", "engine_id": ENGINE, "lease_until": NOW}, False),
        ({"state": "waiting_retry", "next_attempt_at": later}, False),
        ({"state": "waiting_retry", "next_attempt_at": NOW}, True),
        ({"state": "outcome_unknown", "check_at": later}, False),
        ({"state": "outcome_unknown", "check_at": NOW}, True),
        ({"state": "outcome_unknown", "check_at": None}, False),
        ({"state": "failed"}, False),
    ):
        set_states(world, job_id, {one: values})
        assert bool(due_jobs(world)) == is_due, values


@pytest.mark.parametrize(
    ("state", "is_due"),
    [("queued", True), ("running", True), ("paused", False), ("finishing", False), ("failed", False)],
)
def test_a_job_that_is_paused_or_over_is_not_due(world: World, state: str, is_due: bool) -> None:
    job_id = submit_billed(world, world.device())
    world.change(job, job_id, state=state)
    assert bool(due_jobs(world)) == is_due
    with world.store.read() as uow:
        assert work.standings(uow, [job_id]) == {job_id: work.JobStanding(is_due, False)}


def test_the_job_whose_turn_is_longest_ago_comes_first(world: World) -> None:
    first, second, third = (submit_billed(world, world.device()) for _ in range(3))
    world.change(job, first, turn_at=NOW)
    world.change(job, second, turn_at=NOW - timedelta(minutes=1))
    assert [due.job_id for due in due_jobs(world)] == [third, second, first]


def test_work_whose_credential_cannot_be_opened_here_is_left_to_others(world: World) -> None:
    billed, free = submit_billed(world, world.device()), submit(world, world.device())
    assert {due.job_id for due in due_jobs(world)} == {billed, free}
    assert [due.job_id for due in due_jobs(world, CREDENTIAL)] == [free]


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_claim_gives_the_lease_and_what_was_frozen(world: World) -> None:
    one = world.device()
    submit_billed(world, one)
    before = world.order_of(one)
    (order,) = claim(world)
    after = world.order_of(one)
    assert (after.state, after.engine_id, after.lease_until) == ("running", ENGINE, NOW + LEASE)
    assert (after.lease_epoch, after.started_at, after.revision) == (1, NOW, before.revision + 1)
    assert (order.work_order_id, order.epoch, order.was, order.attempts) == (before.id, 1, WorkOrderState.QUEUED, 0)
    assert (order.iccid, order.msisdn, order.billing_action) == (before.iccid, before.msisdn, "create")
    assert (order.reference, order.effective_date) == (before.reference, before.effective_date)
    assert (order.kept_service_id, dict(order.steps)) == (None, {})
    assert world.rows(job)[0].state == "running"
    assert claim(world) == []
    assert_counters_equal_rows(world)


def test_a_claim_of_a_retry_brings_its_steps_and_clears_its_time(world: World) -> None:
    one = world.device()
    job_id = submit_billed(world, one)
    (order,) = claim(world)
    write_step(
        world, order, Step.BILLING_SERVICE, StepState.NOT_SENT, at=NOW, attempts=2, reference="R", http_status=429
    )
    values = {"state": "waiting_retry", "next_attempt_at": NOW, "engine_id": None, "lease_until": None, "attempts": 2}
    set_states(world, job_id, {one: values})
    wait(world, timedelta(hours=1))
    (again,) = claim(world)
    assert (again.was, again.epoch, again.attempts, again.started_at) == (WorkOrderState.WAITING_RETRY, 2, 2, NOW)
    step = again.steps[Step.BILLING_SERVICE]
    assert (step.state, step.attempts, step.reference, step.http_status) == (StepState.NOT_SENT, 2, "R", 429)
    assert (step.intent_at, step.finished_at, step.billing_id) == (NOW, None, None)
    assert world.order_of(one).next_attempt_at is None


def test_unknown_outcomes_retries_and_new_work_take_turns(world: World) -> None:
    devices = [world.device() for _ in range(9)]
    job_id = submit_billed(world, *devices)
    unknown, again = {"state": "outcome_unknown", "check_at": NOW}, {"state": "waiting_retry", "next_attempt_at": NOW}
    set_states(world, job_id, dict.fromkeys(devices[:3], unknown) | dict.fromkeys(devices[3:6], again))
    first = claim(world, 3)
    assert sorted(order.was for order in first) == ["outcome_unknown", "queued", "waiting_retry"]
    claim(world, 4)
    claim(world, 100)
    assert {order.state for order in world.rows(work_order)} == {"running"}
    assert_counters_equal_rows(world)


def test_what_is_not_due_yet_and_what_a_person_decides_is_not_claimed(world: World) -> None:
    later, parked, ready = (world.device() for _ in range(3))
    job_id = submit_billed(world, later, parked, ready)
    set_states(
        world,
        job_id,
        {
            later: {"state": "waiting_retry", "next_attempt_at": NOW + timedelta(seconds=1)},
            parked: {"state": "outcome_unknown", "check_at": None},
        },
    )
    assert [order.iccid for order in claim(world)] == [world.iccid_of(ready)]


def test_work_without_billing_is_not_claimed_but_done_in_sets(world: World) -> None:
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
                for order in work.claim(uow, name, due, limit, uow.now() + LEASE):
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
    job_id = submit_billed(world, *(world.device() for _ in range(40)))
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
    submit_billed(world, *(world.device() for _ in range(4)))
    candidates = work._candidates

    def unlocked(uow: UnitOfWork, due: DueJob, limit: int) -> list[Any]:
        with world.store.read() as other:  # another transaction's eyes: nothing is locked
            return candidates(other, due, limit)

    monkeypatch.setattr(work, "_candidates", unlocked)
    has_claimed, may_commit = threading.Event(), threading.Event()
    slow_won: list[ClaimedOrder] = []

    def fast() -> None:
        with world.store.begin() as uow:
            (due,) = work.due_jobs(uow)
            slow_won.extend(work.claim(uow, "fast", due, 2, uow.now() + LEASE))
            has_claimed.set()
            may_commit.wait(10)
            uow.commit()

    thread = threading.Thread(target=fast)
    thread.start()
    assert has_claimed.wait(10)
    threading.Timer(0.2, may_commit.set).start()
    with world.store.begin() as uow:
        (due,) = work.due_jobs(uow)
        won = work.claim(uow, "slow", due, 4, uow.now() + LEASE)
        uow.commit()
    thread.join()
    assert len(slow_won) == 2
    assert len(won) == 2, "the two that are left of the four that it saw"
    assert {one.work_order_id for one in won}.isdisjoint(one.work_order_id for one in slow_won)
    assert sorted(row.engine_id for row in world.rows(work_order)) == ["fast", "fast", "slow", "slow"]


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_lease_that_is_held_is_renewed(world: World) -> None:
    submit_billed(world, world.device(), world.device())
    orders = claim(world)
    until = NOW + timedelta(hours=1)
    kept = run(world, lambda uow: work.hold(uow, ENGINE, [held(order) for order in orders], until))
    assert kept == {order.work_order_id for order in orders}
    assert {row.lease_until for row in world.rows(work_order)} == {until}


@pytest.mark.parametrize(
    "lost",
    [
        {"engine_id": "another"},
        {"lease_epoch": 2},
        {"state": "queued", "engine_id": None},
        {"state": "outcome_unknown"},
        {"state": "succeeded"},
    ],
    ids=lambda values: "-".join(values),
)
def test_a_lease_that_was_lost_is_not_held_whoever_lost_it(world: World, lost: dict[str, Any]) -> None:
    mine, theirs = world.device(), world.device()
    submit_billed(world, mine, theirs)
    orders = claim(world)
    world.change(work_order, world.order_of(theirs).id, **lost)
    before = world.order_of(theirs)
    kept = run(world, lambda uow: work.hold(uow, ENGINE, [held(order) for order in orders], NOW + LEASE * 2))
    assert kept == {world.order_of(mine).id}
    assert world.order_of(theirs) == before


def test_each_lease_is_held_under_its_own_epoch(world: World) -> None:
    submit_billed(world, world.device(), world.device())
    first, second = claim(world)
    world.change(work_order, second.work_order_id, lease_epoch=7)
    leases = [held(first), Held(second.work_order_id, second.job_id, 7), Held(second.work_order_id, second.job_id, 1)]
    kept = run(world, lambda uow: work.hold(uow, ENGINE, leases, NOW + LEASE))
    assert kept == {first.work_order_id, second.work_order_id}


# --- what is recorded ------------------------------------------------------------------------------------------------


def test_steps_are_written_and_written_again(world: World) -> None:
    submit_billed(world, world.device())
    (order,) = claim(world)
    intent = StepRow(StepState.INTENT, attempts=1, reference="R-1", intent_at=NOW)
    done = StepRow(
        StepState.DONE, attempts=1, reference="R-1", intent_at=NOW, finished_at=NOW, http_status=201, billing_id="S1",
        answer="ok",
    )  # fmt: skip
    for row, is_new in ((intent, True), (done, False)):
        write = StepWrite(order.work_order_id, Step.BILLING_SERVICE, row, order.epoch, is_new)
        run(world, partial(work.write_steps, writes=[write]))
    (row,) = world.rows(work_order_step)
    assert (row.state, row.attempts, row.reference, row.intent_at) == ("done", 1, "R-1", NOW)
    assert (row.finished_at, row.http_status, row.billing_id, row.answer) == (NOW, 201, "S1", "ok")
    assert row.lease_epoch == 1


def test_a_work_order_is_written_with_its_error_and_leaves_the_lease(world: World) -> None:
    one = world.device()
    submit_billed(world, one)
    (order,) = claim(world)
    at = NOW + timedelta(minutes=5)
    waits = OrderWrite(
        order.work_order_id, WorkOrderState.WAITING_RETRY, 1, next_attempt_at=at, problem=PROBLEM, billing_answer="429"
    )
    before = world.order_of(one)
    run(world, lambda uow: work.write_orders(uow, ENGINE, [waits], NOW + LEASE))
    row = world.order_of(one)
    assert (row.state, row.attempts, row.next_attempt_at, row.engine_id) == ("waiting_retry", 1, at, None)
    assert (row.lease_until, row.completed_at, row.billing_answer) == (None, None, "429")
    assert (row.error_kind, row.error_code, row.error_message, row.what_to_do) == (
        "transient", PROBLEM.code, PROBLEM.message, PROBLEM.what_to_do,
    )  # fmt: skip
    assert row.revision == before.revision + 1, "whoever looks at revisions sees that it changed"
    assert world.rows(device_history) == []


def test_a_work_order_that_goes_on_keeps_its_lease_and_loses_its_error(world: World) -> None:
    one = world.device()
    submit_billed(world, one)
    (order,) = claim(world)
    world.change(work_order, order.work_order_id, error_code="OLD", error_message="Old.", billing_answer="before")
    goes_on = OrderWrite(order.work_order_id, WorkOrderState.RUNNING, 1)
    run(world, lambda uow: work.write_orders(uow, ENGINE, [goes_on], NOW + LEASE * 3))
    row = world.order_of(one)
    assert (row.state, row.engine_id, row.lease_until) == ("running", ENGINE, NOW + LEASE * 3)
    assert (row.error_code, row.error_message, row.billing_answer) == (None, None, "before")


def test_a_failure_stands_in_the_history(world: World) -> None:
    one, other = world.device(), world.device()
    submit_billed(world, one, other, reason="contract 7")
    order = next(order for order in claim(world) if order.iccid == world.iccid_of(one))
    failed = OrderWrite(order.work_order_id, WorkOrderState.FAILED, 1, problem=PROBLEM)
    run(world, lambda uow: work.write_orders(uow, ENGINE, [failed], NOW + LEASE))
    (fact,) = world.rows(device_history)
    assert (fact.device_id, fact.customer_id, fact.work_order_id) == (one, NORTHWIND, order.work_order_id)
    assert (fact.event, fact.detail, fact.reason) == ("failed", PROBLEM.message, "contract 7")
    assert world.order_of(one).completed_at == NOW


def _made(order: ClaimedOrder, service_id: str = "S1", **changes: Any) -> ServiceMade:
    values: dict[str, Any] = {
        "work_order_id": order.work_order_id, "billing_credential_id": CREDENTIAL, "customer_id": NORTHWIND,
        "service_id": service_id, "number": order.msisdn, "reference": order.reference, **changes,
    }  # fmt: skip
    return ServiceMade(**values)


def test_a_service_that_was_made_is_recorded_once(world: World) -> None:
    one = world.device()
    submit_billed(world, one)
    (order,) = claim(world)
    for _ in range(2):
        run(world, lambda uow: work.record_services(uow, [_made(order)]))
    (service,) = world.rows(billing_service)
    assert (service.service_id, service.reference, service.device_id) == ("S1", order.reference, one)
    assert (service.customer_id, service.number, service.is_active) == (NORTHWIND, order.msisdn, True)
    assert (service.effective_date, service.work_order_id) == (order.effective_date, order.work_order_id)
    assert world.order_of(one).billing_service_id == service.id


def test_a_service_of_the_device_that_was_known_already_is_linked(world: World) -> None:
    one = world.device()
    submit_billed(world, one)
    (order,) = claim(world)
    known = world.service(one, service_id="S9")
    run(world, lambda uow: work.record_services(uow, [_made(order, "S9")]))
    assert len(world.rows(billing_service)) == 1
    assert world.order_of(one).billing_service_id == known


@pytest.mark.parametrize(
    "known", [{"device": "another"}, {"customer_id": FABRIKAM}, {"reference": "AJ-20260101-0001-1-aaaaaa"}],
    ids=lambda known: next(iter(known)),
)  # fmt: skip
def test_a_service_that_is_known_for_something_else_is_never_taken(world: World, known: dict[str, Any]) -> None:
    """Billing gave an id twice: the device would be associated with somebody else's bill."""
    one, another = world.device(), world.device()
    submit_billed(world, one)
    (order,) = claim(world)
    of_device = another if "device" in known else one
    values = {"customer_id": NORTHWIND, **known}
    values.pop("device", None)
    world.service(of_device, service_id="S9", **values)
    with pytest.raises(IntegrityError):
        run(world, lambda uow: work.record_services(uow, [_made(order, "S9")]))
    assert world.order_of(one).billing_service_id is None


def test_a_second_service_of_one_reference_is_never_recorded(world: World) -> None:
    submit_billed(world, world.device())
    (order,) = claim(world)
    run(world, lambda uow: work.record_services(uow, [_made(order)]))
    with pytest.raises(IntegrityError):
        run(world, lambda uow: work.record_services(uow, [_made(order, "S2")]))


def test_queued_work_fails_without_a_claim_only_while_it_is_queued(world: World) -> None:
    one = world.device()
    job_id = submit(world, one)
    problem = Problem("NOT_ASSOCIATED", "Not associated.", "Look.")
    seen: list[str] = []

    def problem_of(iccid: str) -> Problem:
        seen.append(iccid)
        return problem

    assert run(world, lambda uow: work.fail_queued(uow, job_id, 1, problem_of))
    assert not run(world, lambda uow: work.fail_queued(uow, job_id, 1, problem_of))
    row = world.order_of(one)
    assert (row.state, row.attempts, row.error_code, row.completed_at) == ("failed", 1, "NOT_ASSOCIATED", NOW)
    assert seen[0] == row.iccid
    assert [fact.event for fact in world.rows(device_history)] == ["failed"]


# --- counters --------------------------------------------------------------------------------------------------------


def test_counters_change_by_what_moved_and_the_last_one_sends_the_job_on(world: World) -> None:
    job_id = submit_billed(world, world.device(), world.device())
    world.change(job, job_id, resume_attempts=4)
    counters = Counters()
    counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.RUNNING)
    counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED)
    counters.took_turn(job_id)
    run(world, counters.write)
    (row,) = world.rows(job)
    assert (row.queued, row.running, row.succeeded, row.state) == (1, 0, 1, "running")
    assert (row.turn_at, row.started_at, row.resume_attempts) == (NOW, NOW, 4)

    counters = Counters()
    counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.FAILED)
    counters.progressed(job_id)
    run(world, counters.write)
    (row,) = world.rows(job)
    assert (row.queued, row.failed, row.state, row.resume_attempts) == (0, 1, "finishing", 0)


def test_a_paused_job_whose_last_device_comes_to_an_end_is_finished(world: World) -> None:
    job_id = submit_billed(world, world.device())
    claim(world)
    world.change(job, job_id, state="paused", pause_cause="operator", pause_reason="Paused.", resume_at=NOW)
    counters = Counters()
    counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED)
    run(world, counters.write)
    (row,) = world.rows(job)
    assert (row.state, row.pause_cause, row.pause_reason, row.resume_at) == ("finishing", None, None, None)


def test_a_turn_does_not_wake_a_paused_job(world: World) -> None:
    job_id = submit_billed(world, world.device())
    world.change(job, job_id, state="paused", pause_cause="operator")
    counters = Counters()
    counters.took_turn(job_id)
    run(world, counters.write)
    assert world.rows(job)[0].state == "paused"


def test_nothing_here_breaks_a_rule_of_the_database(world: World) -> None:
    submit_billed(world, *(world.device() for _ in range(3)))
    claim(world, 2)
    assert integrity.check(world.store) == ()
