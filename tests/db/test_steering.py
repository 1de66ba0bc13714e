"""Steering jobs, on both kinds of database: pause, resume, cancel, what a person settles, and pauses of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from db import steering, work
from db.counters import Counters
from db.integrity import check
from db.schema import billing_service, job, job_log, work_order, work_order_step
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import ASKED_IN_VAIN, AssociationError, NotFound
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState
from tests.helpers.jobs import assert_counters_equal_rows, claim, submit
from tests.helpers.stores import wait_for_a_lock
from tests.helpers.world import CREDENTIAL, FABRIKAM, HARBOR, NORTHWIND, NOW, World

NUMBER = "AJ-20261124-0001"
SECOND = timedelta(seconds=1)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def billed(world: World, *devices: int, **options: Any) -> int:
    return submit(world, *devices, create_billing_service=True, **options)


def put(world: World, device_id: int, state: str, *steps: tuple[str, str], **values: Any) -> None:
    """Puts the device's work order into a state by hand, with these steps, and the counters with it."""
    order = world.order_of(device_id)
    world.change(work_order, order.id, state=state, **values)
    (row,) = world.rows(job, id=order.job_id)
    counts = {name: row._mapping[name] for name in {order.state, state}}
    counts[order.state] -= 1
    counts[state] += 1
    world.change(job, order.job_id, **counts)
    for step, step_state in steps:
        sent = {"intent_at": NOW, "attempts": 1} if step_state in {"intent", "unknown", "done", "refused"} else {}
        world.put(work_order_step, {"work_order_id": order.id, "step": step, "state": step_state, **sent})


def do(world: World, work_: Callable[[UnitOfWork], Any]) -> Any:
    return world.store.run(work_)


def pause(world: World) -> None:
    do(world, lambda uow: steering.pause_job(uow, NUMBER, "ada"))


def resume(world: World) -> None:
    do(world, lambda uow: steering.resume_job(uow, NUMBER, "ada"))


def cancel(world: World) -> int:
    cancelled: int = do(world, lambda uow: steering.cancel_job(uow, NUMBER, "ada"))
    return cancelled


def resolve(world: World, device_id: int, service_id: str | None) -> None:
    do(world, lambda uow: steering.resolve(uow, NUMBER, world.iccid_of(device_id), service_id, "ada"))


def refused(action: Callable[[], object]) -> AssociationError:
    """What the action is refused with; nothing has changed by it, and there is something to do."""
    with pytest.raises(AssociationError) as error:
        action()
    assert error.value.what_to_do
    return error.value


def the_job(world: World) -> Any:
    return world.rows(job)[0]


def last_log(world: World) -> str:
    return str(world.rows(job_log)[-1].message)


# --- pause and resume ------------------------------------------------------------------------------------------------


def test_a_person_pauses_and_resumes(world: World) -> None:
    billed(world, world.device())
    before = the_job(world)
    pause(world)
    row = the_job(world)
    assert (row.state, row.pause_cause, row.pause_reason) == ("paused", "operator", "Paused by ada.")
    assert row.revision == before.revision + 1
    assert last_log(world) == "Paused by ada."
    assert claim(world) == []
    assert refused(lambda: pause(world)).code == "NOT_PAUSED"

    resume(world)
    row = the_job(world)
    assert (row.state, row.pause_cause, row.pause_reason) == ("queued", None, None)
    assert last_log(world) == "Resumed by ada."
    assert refused(lambda: resume(world)).code == "NOT_RESUMED"
    assert len(claim(world)) == 1


def test_what_is_tried_again_is_no_older_for_a_pause(world: World) -> None:
    """Else a device that billing had put off once would be given up at the first busy answer after a weekend."""
    one, other, third = world.device(), world.device(), world.device()
    billed(world, one, other, third)
    for device in (one, other):
        put(world, device, "waiting_retry", attempts=2, started_at=NOW - timedelta(days=2), next_attempt_at=NOW)
    (before,) = claim(world, 1)
    assert before.started_at == NOW - timedelta(days=2)
    put(world, third, "queued", attempts=2, started_at=NOW - timedelta(days=2))  # it met no billing: its job paused
    pause(world)
    resume(world)
    after = claim(world)
    assert [(one.started_at, one.attempts) for one in after] == [(NOW, 2)] * 2
    assert [row.started_at for row in world.rows(work_order)].count(NOW) == 2
    assert_counters_equal_rows(world)


def test_a_job_that_has_begun_goes_on_as_running(world: World) -> None:
    billed(world, world.device(), world.device())
    claim(world, 1)
    pause(world)
    resume(world)
    assert the_job(world).state == "running"


@pytest.mark.parametrize("cause", [PauseCause.ENVIRONMENT, PauseCause.QUOTA, PauseCause.THRESHOLD])
def test_a_pause_of_its_own_becomes_the_persons(world: World, cause: PauseCause) -> None:
    job_id = billed(world, world.device())
    world.change(job, job_id, state="paused", pause_cause=cause, pause_reason="Gone.", resume_at=NOW)
    pause(world)
    row = the_job(world)
    assert (row.pause_cause, row.pause_reason, row.resume_at) == ("operator", "Paused by ada.", None)
    do(world, lambda uow: steering.end_probe(uow, job_id, None))
    assert the_job(world).state == "paused", "only a person ends it now"
    resume(world)


@pytest.mark.parametrize("state", ["finishing", "completed", "partially_completed", "failed", "cancelled"])
def test_a_job_that_is_over_is_not_steered(world: World, state: str) -> None:
    job_id = billed(world, world.device())
    world.change(job, job_id, state=state)
    before = the_job(world)
    for action in (pause, resume, cancel):
        assert state in refused(lambda action=action: action(world)).message  # type: ignore[misc]
    assert the_job(world) == before
    assert world.rows(work_order)[0].state == "queued"


def test_a_job_that_does_not_exist_is_not_found(world: World) -> None:
    for action in (
        lambda uow: steering.pause_job(uow, "AJ-1", "ada"),
        lambda uow: steering.resume_job(uow, "AJ-1", "ada"),
        lambda uow: steering.cancel_job(uow, "AJ-1", "ada"),
        lambda uow: steering.resolve(uow, "AJ-1", "89", None, "ada"),
    ):
        assert isinstance(refused(lambda action=action: do(world, action)), NotFound)  # type: ignore[misc]


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_what_is_not_at_billing_and_leaves_the_rest_to_an_engine(world: World) -> None:
    """Where billing made nothing, there is nothing to wait for; where it may have, an engine looks and says so."""
    names = ("queued", "busy", "refused", "kept", "billed", "billed and busy", "unknown", "running")
    devices = {name: world.device() for name in names}
    billed(world, *devices.values())
    later = NOW + timedelta(minutes=10)
    put(world, devices["busy"], "waiting_retry", ("billing_service", "not_sent"), next_attempt_at=later)
    put(world, devices["refused"], "queued", ("billing_service", "refused"))
    put(world, devices["kept"], "queued", ("billing_service", "kept"))
    put(world, devices["billed"], "queued", ("billing_service", "done"))
    done = (("billing_service", "done"), ("carrier_plan_product", "not_sent"))
    put(world, devices["billed and busy"], "waiting_retry", *done, next_attempt_at=later)
    put(world, devices["unknown"], "outcome_unknown", ("billing_service", "unknown"), check_at=later)
    put(world, devices["running"], "running", engine_id="e", lease_until=later)

    assert cancel(world) == 4
    states = {name: world.order_of(device).state for name, device in devices.items()}
    assert states == {
        "queued": "cancelled", "busy": "cancelled", "refused": "cancelled", "kept": "cancelled",
        "billed": "queued", "billed and busy": "waiting_retry", "unknown": "outcome_unknown", "running": "running",
    }  # fmt: skip
    row = world.order_of(devices["busy"])
    assert (row.error_code, row.completed_at, row.next_attempt_at) == ("CANCELLED", NOW, None)
    assert "ada" in row.error_message
    assert world.order_of(devices["billed and busy"]).next_attempt_at == NOW, "an engine ends it now, not later"
    assert world.order_of(devices["unknown"]).check_at == later, "billing is still asked when its search can be trusted"
    assert (the_job(world).cancel_requested, the_job(world).state) == (True, "queued")
    assert last_log(world).startswith("Cancelled by ada: 4 devices were not begun")
    assert_counters_equal_rows(world)
    assert refused(lambda: cancel(world)).code == "NOT_CANCELLED"


def test_a_job_of_which_nothing_was_begun_goes_to_its_end_at_once(world: World) -> None:
    billed(world, world.device(), world.device())
    assert cancel(world) == 2
    assert the_job(world).state == "finishing"
    assert_counters_equal_rows(world)
    assert check(world.store) == ()


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (PauseCause.OPERATOR, "running"),
        (PauseCause.THRESHOLD, "running"),
        (PauseCause.ENVIRONMENT, "paused"),
        (PauseCause.QUOTA, "paused"),
    ],
)
def test_cancel_ends_a_pause_that_only_a_person_ends(world: World, cause: PauseCause, state: str) -> None:
    """Otherwise nobody would ask for the unknown outcomes; a pause of its own ends when billing is back."""
    queued, unknown = world.device(), world.device()
    job_id = billed(world, queued, unknown)
    put(world, unknown, "outcome_unknown", ("billing_service", "unknown"), check_at=NOW)
    world.change(job, job_id, state="paused", pause_cause=cause, resume_at=NOW + SECOND)
    assert cancel(world) == 1
    assert the_job(world).state == state
    assert [order.was for order in claim(world)] == (["outcome_unknown"] if state == "running" else [])


@pytest.mark.postgres
def test_cancelling_and_claiming_at_once_do_not_wait_for_each_other(postgres_store: Store) -> None:
    world = World(postgres_store)
    job_id = billed(world, world.device(), world.device())
    cancelled: list[object] = []

    def cancel_once() -> None:
        try:
            with world.store.begin() as uow:  # once: not done again after a deadlock
                cancelled.append(steering.cancel_job(uow, NUMBER, "ada"))
                uow.commit()
        except Exception as error:  # told by the test
            cancelled.append(error)

    thread = threading.Thread(target=cancel_once)
    with world.store.begin() as uow:
        (due,) = work.due_jobs(uow)
        assert len(work.claim(uow, "engine", due, 1, NOW + timedelta(minutes=1))) == 1
        thread.start()
        wait_for_a_lock(world.store)
        counters = Counters()
        counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.RUNNING)
        counters.write(uow)  # a deadlock, if the other one held the job
        uow.commit()
    thread.join()
    assert cancelled == [1]
    assert sorted(row.state for row in world.rows(work_order)) == ["cancelled", "running"]
    assert_counters_equal_rows(world)


# --- what a person settles -------------------------------------------------------------------------------------------


def unknown_service(world: World, **device: Any) -> int:
    """A device of which nobody knows whether its billing service was made."""
    one = world.device(**device)
    billed(world, one)
    put(
        world, one, "outcome_unknown", ("billing_service", "unknown"), check_at=None, error_code="BILLING_NUMBER_TAKEN",
        error_kind="unknown", error_message="Two of them.", what_to_do="Look.",
    )  # fmt: skip
    return one


def test_what_exists_is_done_and_goes_on_from_there(world: World) -> None:
    one = unknown_service(world)
    resolve(world, one, "S77")
    order = world.order_of(one)
    assert (order.state, order.check_at, order.error_code, order.error_message) == ("queued", None, None, None)
    assert order.billing_action == "create"
    (service,) = world.rows(billing_service)
    assert (service.service_id, service.device_id, service.customer_id) == ("S77", one, NORTHWIND)
    assert (service.reference, service.number, service.id) == (order.reference, order.msisdn, order.billing_service_id)
    (step,) = world.rows(work_order_step)
    assert (step.state, step.billing_id, step.finished_at) == ("done", "S77", NOW)
    assert step.answer == "S77 exists, says ada"
    assert last_log(world) == f"Device {order.iccid}, billing_service: S77 exists, says ada."
    assert_counters_equal_rows(world)
    (claimed,) = claim(world)
    assert claimed.steps[Step.BILLING_SERVICE].state is StepState.DONE
    assert refused(lambda: resolve(world, one, "S77")).code == "OUTCOME_NOT_UNKNOWN"


def test_what_is_absent_is_posted_again(world: World) -> None:
    one = unknown_service(world)
    resolve(world, one, None)
    (step,) = world.rows(work_order_step)
    assert (step.state, step.billing_id) == ("not_sent", None)
    assert world.rows(billing_service) == []
    assert world.order_of(one).state == "queued"
    assert_counters_equal_rows(world)


def asked_again_at(world: World, at: datetime) -> None:
    world.store.run(lambda uow: uow.connection.execute(update(work_order).values(check_at=at)))


def test_nothing_is_absent_before_billing_could_be_asked(world: World) -> None:
    """It would be posted again at once, and what was sent first may come into being a second later."""
    one = unknown_service(world)
    asked_again_at(world, NOW + timedelta(seconds=30))
    refusal = refused(lambda: resolve(world, one, None))
    assert refusal.code == "OUTCOME_TOO_FRESH"
    assert f"before {NOW + timedelta(seconds=30):%Y-%m-%d %H:%M:%S} UTC" in refusal.message
    asked_again_at(world, NOW)
    resolve(world, one, None)
    assert world.rows(work_order_step)[0].state == "not_sent"


def test_what_billing_was_asked_for_in_vain_may_be_absent_at_any_time(world: World) -> None:
    """It was asked when the settle time was over; that it is asked again in ten minutes makes nothing fresher."""
    one = unknown_service(world)
    asked_again_at(world, NOW + timedelta(minutes=10))
    world.change(work_order, world.order_of(one).id, error_code=ASKED_IN_VAIN)
    resolve(world, one, None)
    assert world.rows(work_order_step)[0].state == "not_sent"


def test_what_is_seen_at_billing_is_there_at_any_time(world: World) -> None:
    one = unknown_service(world)
    asked_again_at(world, NOW + timedelta(seconds=30))
    resolve(world, one, "S77")
    assert world.rows(work_order_step)[0].state == "done"


def test_a_service_that_nobody_here_asked_for_is_kept_as_any_other(world: World) -> None:
    """It was found before the first POST. Products may be on it: as a kept one it is looked at before any POST."""
    one = world.device()
    billed(world, one)
    put(world, one, "outcome_unknown")
    order_id = world.order_of(one).id
    world.put(work_order_step, {"work_order_id": order_id, "step": "billing_service", "state": "unknown"})
    resolve(world, one, "S77")
    (service,) = world.rows(billing_service)
    assert service.reference is None, "it does not carry ours"
    assert world.rows(work_order_step)[0].state == "kept"
    (claimed,) = claim(world)
    assert (claimed.billing_action, claimed.kept_service_id) == ("keep", "S77")


def test_a_product_that_exists_settles_its_step_alone(world: World) -> None:
    one = world.device()
    billed(world, one)
    put(world, one, "outcome_unknown", ("billing_service", "done"), ("customer_plan_product", "unknown"))
    resolve(world, one, "P5")
    states = {row.step: (row.state, row.billing_id) for row in world.rows(work_order_step)}
    assert states == {"billing_service": ("done", None), "customer_plan_product": ("done", "P5")}
    assert world.rows(billing_service) == []


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"device": "another"}, "SERVICE_OF_ANOTHER_DEVICE"),
        ({"customer_id": FABRIKAM}, "SERVICE_OF_ANOTHER_CUSTOMER"),
        ({"is_active": False}, "SERVICE_ENDED"),
        ({"reference": "AJ-20260101-0001-1-aaaaaa"}, "SERVICE_OF_ANOTHER_WORK_ORDER"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_service_that_is_known_as_something_else_is_refused(world: World, known: dict[str, Any], code: str) -> None:
    one = unknown_service(world)
    values = {"device": one, "customer_id": NORTHWIND, **known}
    of_device = world.device() if values["device"] == "another" else one
    del values["device"]
    world.service(of_device, service_id="S77", billing_credential_id=CREDENTIAL, **values)
    before = (world.order_of(one), world.rows(work_order_step), world.rows(billing_service))
    assert refused(lambda: resolve(world, one, "S77")).code == code
    assert (world.order_of(one), world.rows(work_order_step), world.rows(billing_service)) == before


def test_a_service_of_the_device_that_was_read_from_billing_is_taken(world: World) -> None:
    one = unknown_service(world)
    known = world.service(one, service_id="S77")
    resolve(world, one, "S77")
    assert world.order_of(one).billing_service_id == known
    assert len(world.rows(billing_service)) == 1


@pytest.mark.parametrize("state", ["queued", "running", "waiting_retry", "succeeded", "failed", "cancelled"])
def test_only_an_unknown_outcome_can_be_settled(world: World, state: str) -> None:
    one = world.device()
    billed(world, one)
    put(world, one, state, ("billing_service", "unknown"))
    assert state in refused(lambda: resolve(world, one, "S77")).message
    assert world.rows(billing_service) == []


def test_a_device_that_the_job_has_not_is_not_found(world: World) -> None:
    unknown_service(world)
    other = world.device()
    assert refused(lambda: resolve(world, other, None)).code == "DEVICE_NOT_IN_JOB"


def test_the_same_sim_on_two_providers_is_told_apart_by_what_is_open(world: World) -> None:
    first = world.device()
    second = world.device(iccid=world.iccid_of(first), service_provider_id=HARBOR)
    billed(world, first, second)
    put(world, first, "succeeded")
    put(world, second, "outcome_unknown", ("billing_service", "unknown"))
    resolve(world, first, "S77")
    assert world.order_of(second).state == "queued"
    assert world.rows(billing_service)[0].device_id == second


def test_two_open_outcomes_of_one_sim_are_not_settled_at_random(world: World) -> None:
    first = world.device()
    second = world.device(iccid=world.iccid_of(first), service_provider_id=HARBOR)
    billed(world, first, second)
    for one in (first, second):
        put(world, one, "outcome_unknown", ("billing_service", "unknown"))
    assert refused(lambda: resolve(world, first, "S77")).code == "DEVICE_AMBIGUOUS"
    assert {row.state for row in world.rows(work_order)} == {"outcome_unknown"}


# --- pauses of their own ---------------------------------------------------------------------------------------------


def pause_itself(world: World, job_id: int, cause: PauseCause = PauseCause.ENVIRONMENT) -> bool:
    paused: bool = do(
        world, lambda uow: steering.pause_for_environment(uow, job_id, "Billing is gone.", NOW + 2 * SECOND, cause)
    )
    return paused


def probes(world: World, *unopened: int) -> list[steering.Probe]:
    found: list[steering.Probe] = do(
        world, lambda uow: steering.claim_probes(uow, unopened, uow.now() + timedelta(minutes=1))
    )
    return found


def test_a_job_pauses_itself_says_why_and_looks_again(world: World) -> None:
    job_id = billed(world, world.device())
    assert pause_itself(world, job_id)
    row = the_job(world)
    assert (row.state, row.pause_cause, row.pause_reason) == ("paused", "environment", "Billing is gone.")
    assert (row.resume_at, row.resume_attempts) == (NOW + 2 * SECOND, 1)
    assert last_log(world) == "Paused by itself: Billing is gone."
    assert not pause_itself(world, job_id), "somebody was faster"
    assert probes(world) == []

    world.store.clock = lambda _connection: NOW + 2 * SECOND
    with world.store.read() as uow:
        assert steering.any_probe_due(uow)
    assert probes(world) == [steering.Probe(job_id, CREDENTIAL, 1)]
    assert probes(world) == [], "one engine looks"

    again = NOW + timedelta(minutes=5)
    do(world, lambda uow: steering.end_probe(uow, job_id, again, "Still gone."))
    row = the_job(world)
    assert (row.state, row.resume_at, row.resume_attempts, row.pause_reason) == ("paused", again, 2, "Still gone.")
    do(world, lambda uow: steering.end_probe(uow, job_id, again))
    assert the_job(world).pause_reason == "Still gone."
    with world.store.read() as uow:
        assert steering.resume_attempts(uow, job_id) == 3
    do(world, lambda uow: steering.end_probe(uow, job_id, None))
    assert (the_job(world).state, the_job(world).pause_cause) == ("queued", None)
    assert last_log(world).startswith("Goes on by itself")


def test_a_look_that_died_is_due_again(world: World) -> None:
    job_id = billed(world, world.device())
    pause_itself(world, job_id, PauseCause.QUOTA)
    world.store.clock = lambda _connection: NOW + 2 * SECOND
    assert len(probes(world)) == 1
    world.store.clock = lambda _connection: NOW + timedelta(minutes=2)
    assert len(probes(world)) == 1


def test_a_credential_that_cannot_be_opened_here_is_looked_at_by_others(world: World) -> None:
    pause_itself(world, billed(world, world.device()))
    world.store.clock = lambda _connection: NOW + 2 * SECOND
    assert probes(world, CREDENTIAL) == []
    assert len(probes(world)) == 1


@pytest.mark.parametrize("cause", [PauseCause.OPERATOR, PauseCause.THRESHOLD])
def test_a_look_does_not_touch_a_pause_that_only_a_person_ends(world: World, cause: PauseCause) -> None:
    job_id = billed(world, world.device())
    world.change(job, job_id, state="paused", pause_cause=cause, pause_reason="So many failed.", resume_at=NOW)
    before = the_job(world)
    assert probes(world) == []
    do(world, lambda uow: steering.end_probe(uow, job_id, NOW + SECOND, "Still gone."))
    do(world, lambda uow: steering.end_probe(uow, job_id, None))
    assert the_job(world) == before


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.FINISHING, JobState.COMPLETED])
def test_a_job_that_is_not_running_does_not_pause_itself(world: World, state: JobState) -> None:
    job_id = billed(world, world.device())
    world.change(job, job_id, state=state)
    assert not pause_itself(world, job_id)
    assert the_job(world).state == state
