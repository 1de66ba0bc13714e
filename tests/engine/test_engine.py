"""The engine of one process, over real databases and a billing company in memory that misbehaves on demand."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from desktop_app.association.model import AskedLines, Proof
from desktop_app.association.ports import LookupVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import JobState, PauseCause, StepState, WorkOrderState
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.leases import Lease
from desktop_app.engine.outbox import Sent
from desktop_app.engine.pool import ThreadPool
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import NotCalled, run
from tests.engine.conftest import PATIENCE_S, World, only, wait_for
from tests.helpers.billing_ledger import BUSY, CUT_AFTER, CUT_BEFORE, GONE, REFUSED
from tests.helpers.rest import wait_until_idle


def test_a_job_is_worked_off_and_each_device_is_billed_once(world: World) -> None:
    number = world.submit(world.request(30, blocked_share=0.1))
    world.work()

    counts = world.job(number).job.counts
    assert (counts.succeeded, counts.rejected, counts.open) == (27, 3, 0)
    assert world.job(number).job.state is JobState.PARTIALLY_COMPLETED
    for row in world.orders(number):
        if row.state is WorkOrderState.SUCCEEDED:
            detail = world.desk.work_order(number, row.line)
            assert detail.billing_service_id
            assert Proof.NO not in {getattr(detail.proofs, name) for name in detail.proofs.__slots__}
    world.assert_sound()


@pytest.mark.parametrize("fault", [CUT_AFTER, CUT_BEFORE], ids=["it was made", "it was not made"])
def test_an_unknown_outcome_is_asked_for_before_anything_is_posted_again(world: World, fault: object) -> None:
    number = world.submit(world.request(6))
    world.ledger.faults.extend([fault] * 6)  # type: ignore[list-item]
    world.work()

    assert world.job(number).job.state is JobState.COMPLETED
    assert world.ledger.searches >= 6
    world.assert_sound()


def test_a_call_that_billing_did_not_take_is_made_again_later(world: World) -> None:
    number = world.submit(world.request(4))
    world.ledger.faults.extend([BUSY] * 5)
    world.work()

    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()


def test_what_billing_refuses_fails_with_what_to_do_and_a_retry_goes_on_from_there(world: World) -> None:
    number = world.submit(world.request(5))
    world.ledger.faults.extend([REFUSED, None, REFUSED])
    world.work()

    failed = [row for row in world.orders(number) if row.state is WorkOrderState.FAILED]
    assert len(failed) == 2
    assert all(row.error is not None and row.error.what_to_do and row.iccid in row.error.message for row in failed)

    assert world.desk.retry(number).requeued == 2
    world.work()
    job = world.job(number).job
    assert (job.state, job.run_no, job.counts.succeeded) == (JobState.COMPLETED, 2, 5)
    world.assert_sound()


def test_without_a_billing_server_the_job_pauses_itself_says_why_and_goes_on_when_it_is_back(world: World) -> None:
    number = world.submit(world.request(8))
    world.ledger.is_there = False
    ping, may_look = world.ledger.ping, threading.Event()

    def look() -> LookupVerdict:
        """Whether billing is back; not before what is said now was read: then it says something else."""
        assert may_look.wait(PATIENCE_S)
        return ping()

    world.ledger.ping = look  # type: ignore[method-assign]
    engine = world.engine()
    engine.start()
    try:
        wait_for(lambda: world.job(number).job.state is JobState.PAUSED)
        job = world.job(number).job
        assert job.pause_cause is PauseCause.ENVIRONMENT
        assert "no billing server" in job.pause_reason
        assert job.counts.failed == 0
        world.ledger.is_there = True
        may_look.set()
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
    finally:
        may_look.set()
        engine.stop()
    world.assert_sound()


def test_a_quota_that_is_used_up_pauses_the_job_for_that_cause(world: World) -> None:
    number = world.submit(world.request(3))
    world.gateway.limit.wait_s = 3_600.0
    engine = world.engine()
    engine.start()
    try:
        wait_for(lambda: world.job(number).job.state is JobState.PAUSED)
        assert world.job(number).job.pause_cause is PauseCause.QUOTA
        wait_for(lambda: world.job(number).job.counts.running == 0)
    finally:
        engine.stop()
    assert world.ledger.posts == 0
    world.assert_sound()


def test_a_service_of_the_number_that_is_not_ours_is_a_persons_decision(world: World) -> None:
    number = world.submit(world.request(1))
    world.ledger.faults.append(CUT_AFTER)
    world.ledger.hides_references = True  # what billing has for the number could be anybody's
    world.work()

    row = world.orders(number)[0]
    assert row.state is WorkOrderState.OUTCOME_UNKNOWN
    assert row.error is not None
    assert row.error.code == "BILLING_NUMBER_TAKEN"
    assert row.due_at is None
    assert world.ledger.posts == 1

    made = next(iter(world.ledger.services))
    world.desk.resolve(number, row.iccid, made)
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()


def test_a_paused_job_is_left_alone_until_it_is_resumed(world: World) -> None:
    number = world.submit(world.request(5))
    world.desk.pause(number)
    world.work()
    assert world.ledger.posts == 0
    assert world.job(number).job.counts.queued == 5

    world.desk.resume(number)
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED


def test_cancel_ends_what_is_not_begun_and_says_what_stays_done(world: World) -> None:
    number = world.submit(world.request(20))

    # The first service is made while the job is being cancelled: its products are not posted any more.
    def cancel_once() -> None:
        if not world.ledger.posts:
            world.desk.cancel(number)

    world.ledger.on_post = cancel_once
    world.work(pool=ThreadPool(1))

    job = world.job(number).job
    assert job.state is JobState.CANCELLED
    assert job.counts.cancelled == 20
    begun = [row for row in world.orders(number) if row.error is not None and "was made" in row.error.message]
    assert len(begun) == len(world.ledger.services)
    assert world.ledger.products == {}
    world.ledger.on_post = lambda: None
    assert world.desk.retry(number).requeued == 20
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()


def test_a_job_without_billing_is_done_in_sets(world: World) -> None:
    number = world.submit(world.request(60, billing=False, blocked_share=0.1))
    world.work()
    assert world.job(number).job.counts.succeeded == 54
    assert world.ledger.posts == 0
    world.assert_sound()


def test_a_job_of_which_nothing_can_run_ends_in_a_final_state(world: World) -> None:
    request = world.request(20, blocked_share=1.0)
    number = world.submit(request)
    world.work()
    assert world.job(number).job.state is JobState.FAILED
    assert world.job(number).job.counts.rejected == 20


def _refuse(world: World, change: str, condition: str) -> None:
    """From now on the database refuses such a change, as a rule of its data would."""
    sqlite = f"CREATE TRIGGER refuse BEFORE {change} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END"
    postgres = f"""CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN
        IF {condition} THEN RAISE EXCEPTION 'refused' USING ERRCODE = '23514'; END IF; RETURN NEW; END
        $$ LANGUAGE plpgsql;
        CREATE TRIGGER refuse BEFORE {change} FOR EACH ROW EXECUTE FUNCTION refuse()"""
    with world.store.begin() as uow:
        uow.connection.execute(text(sqlite if uow.dialect == "sqlite" else postgres))
        uow.commit()


def _refuse_ownership_of(world: World, iccid: str) -> None:
    condition = f"NEW.device_id IN (SELECT id FROM device WHERE iccid = '{iccid}')"
    _refuse(world, "INSERT ON device_ownership", condition)


@pytest.mark.parametrize("billing", [True, False])
def test_one_device_whose_data_break_a_rule_fails_alone(world: World, billing: bool) -> None:
    number = world.submit(world.request(12, billing=billing))
    victim = world.orders(number)[5].iccid
    _refuse_ownership_of(world, victim)
    world.work()

    failed = [row for row in world.orders(number) if row.state is WorkOrderState.FAILED]
    assert [row.iccid for row in failed] == [victim]
    assert failed[0].error is not None
    assert failed[0].error.code == ("BILLED_NOT_ASSOCIATED" if billing else "NOT_ASSOCIATED")
    made = len(world.ledger.services)
    world.assert_sound()

    with world.store.begin() as uow:
        on = "" if uow.dialect == "sqlite" else " ON device_ownership"
        uow.connection.execute(text("DROP TRIGGER refuse" + on))
        uow.commit()
    assert world.desk.retry(number).requeued == 1
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    assert len(world.ledger.services) == made, "a retry after BILLED_NOT_ASSOCIATED makes no second service"
    world.assert_sound()


def test_stopping_in_the_middle_loses_nothing(world: World) -> None:
    number = world.submit(world.request(40))
    engine, in_the_middle = world.engine(), threading.Event()

    def on_post() -> None:
        if world.ledger.posts >= 10:
            in_the_middle.set()
            assert engine._stopping.wait(PATIENCE_S)

    world.ledger.on_post = on_post
    engine.start()
    try:
        assert in_the_middle.wait(PATIENCE_S)
    finally:
        engine.stop()
    counts = world.job(number).job.counts
    assert counts.running == 0, "a stop in order leaves no lease behind"
    assert counts.open > 0

    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()


def test_nothing_is_sent_on_a_lease_that_ends_before_the_deadline(world: World) -> None:
    world.submit(world.request(1))
    recorder = _recorder(world, "one")
    in_hand = recorder.record((), 1).to_call[0]
    assert in_hand.steps[in_hand.call.step].state is StepState.INTENT  # type: ignore[union-attr]

    def short() -> Lease:
        return Lease(100.0, 1_100.0, lambda: 98.5, lambda: 1_000.0)

    outcome = run(in_hand.going_on(in_hand.steps, in_hand.call, short()), world.ledger, 2.0, lambda: False)
    assert outcome.result == NotCalled()
    assert world.ledger.posts == 0


def _recorder(world: World, engine_id: str) -> Recorder:
    return Recorder(world.store, engine_id, ProcessingRules(timedelta(seconds=0.2)), lease_s=30.0)


def test_a_zombies_outcome_changes_nothing(world: World) -> None:
    """An engine whose lease has ended while it was stopped comes back with an answer: somebody else has the device."""
    number = world.submit(world.request(1))
    zombie = _recorder(world, "zombie")
    in_hand = zombie.record((), 1).to_call[0]
    late = run(in_hand, world.ledger, 2.0, lambda: False)
    assert world.ledger.posts == 1

    world.store.clock = lambda _connection: datetime.now(UTC) + timedelta(minutes=5)  # its lease is over
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    before = world.desk.work_order(number, 1)

    assert zombie.record([late], 0).to_call == ()
    assert world.desk.work_order(number, 1) == before
    world.assert_sound()


def test_two_engines_share_the_work_and_make_nothing_twice(world: World) -> None:
    number = world.submit(world.request(60))
    world.ledger.faults.extend([None, CUT_AFTER, None, None] * 10)
    engines = [world.engine(), world.engine()]
    for engine in engines:
        engine.start()
    try:
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
    finally:
        for engine in engines:
            engine.stop()
    world.assert_sound()


def test_a_finished_job_is_announced_until_somebody_takes_it(world: World) -> None:
    number = world.submit(world.request(2))
    seen: list[tuple[str, bytes]] = []

    def send(event_id: str, body: bytes) -> Sent:
        seen.append((event_id, body))
        return Sent(taken=len(seen) > 1, reason="busy")

    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=30.0)
    engine = Engine(world.store, world.gateway, ThreadPool(2), config, send=send)
    engine.start()
    try:
        wait_for(lambda: len(seen) >= 2)
        assert wait_until_idle(world.store, announces=True)
    finally:
        engine.stop()
    assert {event_id for event_id, _ in seen} == {f"{number}/1"}
    assert seen[0][1] == seen[1][1], "the same event has the same body whenever it is sent"


def test_the_environment_of_one_call_does_not_fail_a_device(world: World) -> None:
    number = world.submit(world.request(3))
    world.ledger.faults.append(GONE)
    world.work()
    job = world.job(number).job
    assert (job.state, job.counts.failed) == (JobState.COMPLETED, 0)


def test_a_job_that_cannot_be_finished_does_not_hold_up_the_one_behind_it(world: World) -> None:
    request = world.request(20, billing=False)
    assert isinstance(request.devices, AskedLines)
    lines = request.devices.lines
    first = world.submit(only(lines[:10], request))
    second = world.submit(only(lines[10:], request), key="another")
    _refuse(world, "UPDATE ON job", f"NEW.tracking_number = '{first}' AND NEW.state = 'completed'")
    engine = world.engine()
    engine.start()
    try:
        wait_for(lambda: world.job(second).job.state is JobState.COMPLETED)
        wait_for(lambda: world.job(first).job.state is JobState.FINISHING)
    finally:
        engine.stop()
