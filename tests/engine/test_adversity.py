"""What an engine does while its surroundings fail it: the database is gone or locked, the quota is used up."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from db.engines import sqlite_path
from db.schema import job, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import JobState, PauseCause
from desktop_app.engine.calls import Calls
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.group import Recorded
from desktop_app.engine.pool import ThreadPool
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.rounds import Rounds
from desktop_app.engine.runner import run
from tests.engine.conftest import LEASE_S, PATIENCE_S, World, only, wait_for
from tests.helpers.billing_ledger import CUT_AFTER
from tests.helpers.postgres import PostgresServer
from tests.helpers.virtual_time import Time


def code_of(fault: EnvironmentFault | None) -> str:
    return "" if fault is None else fault.code


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


@pytest.mark.postgres
@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_database_that_goes_and_comes_back_loses_nothing(world: World, postgres_server: PostgresServer) -> None:
    number = world.submit(world.request(40))
    world.ledger.faults.extend([None, None, CUT_AFTER] * 5)
    going, gone = threading.Lock(), threading.Event()

    def on_post() -> None:
        if world.ledger.posts >= 12 and going.acquire(blocking=False):
            postgres_server.stop()
            gone.set()  # not before: the server may only be started again once it has stopped

    world.ledger.on_post = on_post
    with running(world.engine()) as engine:
        assert gone.wait(PATIENCE_S)
        try:
            wait_for(lambda: code_of(engine.fault) == "DATABASE_UNREACHABLE")
        finally:
            postgres_server.start()
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
        wait_for(lambda: engine.fault is None)
    assert world.job(number).job.counts.succeeded == 40
    world.assert_sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_database_that_another_program_locks_is_waited_for(world: World) -> None:
    number = world.submit(world.request(8))
    impatient = Store(world.store.url, lock_timeout_s=0.1)
    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=30.0, first_wait_s=0.05)
    path = sqlite_path(world.store.url)
    assert path is not None
    other = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
    locking, locked = threading.Lock(), threading.Event()

    def on_post() -> None:
        with locking:  # what becomes of any call is still to be recorded
            if not locked.is_set():
                other.execute("BEGIN EXCLUSIVE")
                locked.set()

    world.ledger.on_post = on_post
    with running(Engine(impatient, world.gateway, ThreadPool(2), config)) as engine:
        try:
            assert locked.wait(2 * PATIENCE_S)
            wait_for(lambda: code_of(engine.fault) == "DATABASE_LOCKED")
            assert world.job(number).job.counts.succeeded == 0
        finally:
            other.close()
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
    impatient.close()
    world.assert_sound()


def test_leases_are_renewed_while_calls_wait_for_the_quota(world: World) -> None:
    number = world.submit(world.request(3))
    world.gateway.limit.wait_s = 50.0
    time = Time()  # that of the leases: it stands still, however long a thread takes
    world.store.clock = lambda _connection: time.now
    # A call may take most of the lease: it is renewed before it is too short for one.
    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=3.5)
    with running(Engine(world.store, world.gateway, ThreadPool(2), config, new_lease=time.lease)):
        wait_for(lambda: world.job(number).job.counts.running == 3)
        for _ in range(3):
            before = max(row.lease_until for row in leases(world, number))
            time.pass_by(1.0)
            wait_for(lambda before=before: all(row.lease_until > before for row in leases(world, number)))  # type: ignore[misc]
        assert world.job(number).job.state is JobState.RUNNING
        assert world.ledger.posts == 0
        world.gateway.limit.wait_s = 0.0
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
    assert {row.lease_epoch for row in leases(world, number)} == {1}, "nothing was taken back and claimed again"
    world.assert_sound()


def leases(world: World, number: str) -> list[Any]:
    with world.store.read() as uow:
        return list(
            uow.connection.execute(
                select(work_order.c.lease_until, work_order.c.lease_epoch)
                .join(job, job.c.id == work_order.c.job_id)
                .where(job.c.tracking_number == number, work_order.c.device_id.is_not(None))
            )
        )


@pytest.mark.parametrize("what", ["pause", "cancel"])
def test_what_was_not_called_yet_is_given_back_at_once(world: World, what: str) -> None:
    number = world.submit(world.request(4))
    world.gateway.limit.wait_s = 50.0
    with running(world.engine()) as engine:
        wait_for(lambda: world.job(number).job.counts.running == 4)
        getattr(world.desk, what)(number)
        engine.wake()
        wait_for(lambda: world.job(number).job.counts.running == 0)
        counts = world.job(number).job.counts
        assert world.ledger.posts == 0
        if what == "pause":
            assert counts.queued == 4
            with world.store.read() as uow:
                states = uow.connection.scalars(
                    select(work_order_step.c.state)
                    .join(work_order, work_order.c.id == work_order_step.c.work_order_id)
                    .join(job, job.c.id == work_order.c.job_id)
                    .where(job.c.tracking_number == number)
                )
                assert set(states) == {"not_sent"}
            world.gateway.limit.wait_s = 0.0
            world.desk.resume(number)
            wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
        else:
            wait_for(lambda: world.job(number).job.state is JobState.CANCELLED)
            assert world.job(number).job.counts.cancelled == 4
    world.assert_sound()


@pytest.mark.parametrize("what", ["pause", "cancel"])
def test_what_another_desk_says_is_heard_while_calls_wait(world: World, what: str) -> None:
    """Nobody wakes this engine: nothing comes back from billing, nothing is left to be claimed, no lease is renewed."""
    number = world.submit(world.request(4))
    world.gateway.limit.wait_s = 50.0
    with running(world.engine(lease_s=600.0)):
        wait_for(lambda: world.job(number).job.counts.running == 4)
        getattr(world.desk, what)(number)
        wait_for(lambda: world.job(number).job.counts.running == 0)
        world.gateway.limit.wait_s = 0.0
        if what == "pause":
            assert world.job(number).job.counts.queued == 4
            world.desk.resume(number)
            wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
        else:
            wait_for(lambda: world.job(number).job.state is JobState.CANCELLED)
            assert world.ledger.posts == 0
    world.assert_sound()


class RecorderWithCalls(Recorder):
    """A recorder before each group of which calls are made: how fast they are does not depend on any thread."""

    before_group: Callable[[], None]

    def record(self, *group: Any, **options: Any) -> Recorded:
        self.before_group()
        return super().record(*group, **options)


@pytest.mark.parametrize("calls_in_a_group", [2, 10_000], ids=["few calls", "all calls that wait"])
def test_a_small_job_does_not_wait_for_a_large_one(world: World, calls_in_a_group: int) -> None:
    request = world.request(206)
    lines = request.devices.lines  # type: ignore[union-attr]
    large = world.submit(only(lines[:200], request), "large")
    small = world.submit(only(lines[200:], request), "small")
    rules = ProcessingRules(timedelta(seconds=0.2))
    recorder = RecorderWithCalls(world.store, "an-engine", rules, lease_s=LEASE_S)
    calls = Calls(world.gateway.governor, 2.0)
    rounds = Rounds(recorder, calls, world.gateway, size=2, lease_s=LEASE_S, timeout_s=2.0)
    small_is_done = threading.Event()

    def call() -> None:
        if not world.job(small).job.counts.open:
            small_is_done.set()
            return
        for _ in range(calls_in_a_group):
            if (order := calls.get_nowait()) is None:
                break
            rounds.outcomes.put(run(order, world.ledger, 2.0, lambda: False))

    recorder.before_group = call
    rounds.run(small_is_done)
    assert world.job(large).job.counts.succeeded < 100, "the six were done before half of the large job was"


def test_instructions_that_cannot_be_read_pause_their_job_and_no_other(world: World) -> None:
    request = world.request(6)
    lines = request.devices.lines  # type: ignore[union-attr]
    strange = [world.submit(only((line,), request), f"strange {line}") for line in lines[:4]]
    plain = world.submit(only(lines[4:], request), "plain")
    with world.store.begin() as uow:
        document = uow.connection.scalars(select(job.c.instructions).where(job.c.tracking_number == plain)).one()
        without_reason = {name: value for name, value in document.items() if name != "reason"}
        kinds = [
            {"version": 99},
            without_reason,
            {**document, "customer": None},
            {**document, "carrier_rate_plans": []},
        ]
        for number, instructions in zip(strange, kinds, strict=True):
            uow.connection.execute(
                update(job).where(job.c.tracking_number == number).values(instructions=instructions)
            )  # fmt: skip
        uow.commit()
    paused: list[Any] = []

    def are_all_paused() -> bool:  # they try again by themselves, now and then
        with world.store.read() as uow:
            columns = select(job.c.state, job.c.pause_cause, job.c.pause_reason)
            paused[:] = uow.connection.execute(columns.where(job.c.tracking_number.in_(strange))).all()
        return {row.state for row in paused} == {JobState.PAUSED}

    with running(world.engine()):
        wait_for(lambda: world.job(plain).job.state is JobState.COMPLETED)
        wait_for(are_all_paused)
    assert {row.pause_cause for row in paused} == {PauseCause.ENVIRONMENT}
    assert all("newer program" in row.pause_reason for row in paused)
    assert sum("cannot be read" in row.pause_reason for row in paused) == 3
