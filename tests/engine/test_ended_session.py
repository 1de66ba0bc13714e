"""An engine that is stopped inside a transaction does not stop the others: the server ends its session."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from db.schema import job, work_order
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.states import FINAL_JOBS
from desktop_app.engine import crash_points
from tests.helpers.databases import PostgresDatabases
from tests.helpers.jobs import submit
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import LEASE_S, Time
from tests.helpers.world import World

pytestmark = pytest.mark.postgres
PATIENCE_S = 60.0


@pytest.fixture
def world(postgres_server: PostgresServer) -> Iterator[World]:
    with fresh_store(PostgresDatabases(postgres_server)) as store:
        yield World(store)


class Stopped:
    """An engine that is stopped between the last statement of a group and its commit, as a laptop that sleeps."""

    def __init__(self, engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.faults: list[EnvironmentFault] = []
        self._inside, self._wakes = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._record, args=(engine,))
        monkeypatch.setattr(crash_points, "on_reached", self._reached)
        self._thread.start()
        assert self._inside.wait(PATIENCE_S)

    def wake(self) -> None:
        self._wakes.set()
        self._thread.join(PATIENCE_S)

    def _record(self, engine: VirtualEngine) -> None:
        while not self.faults:
            try:
                engine.record(0)
            except EnvironmentFault as fault:
                if self._inside.is_set():  # before, it was the machine that took so long
                    self.faults.append(fault)

    def _reached(self, point: str) -> None:
        if threading.current_thread() is self._thread and point == "before-commit:record":
            self._inside.set()
            self._wakes.wait(PATIENCE_S)


def test_an_engine_stopped_inside_a_transaction_loses_its_session_and_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time()
    ledger = SilentLedger(time)
    world.store.clock = lambda _connection: time.now
    submit(world, *(world.device() for _ in range(6)), create_billing_service=True)
    submit(world, *(world.device() for _ in range(2)), create_billing_service=True)
    one, other = (VirtualEngine(world, time, ledger, name) for name in ("one", "other"))
    one.record(3)
    one.call([None] * 3)
    with Store(world.store.url, idle_timeout_s=1.0) as impatient:
        impatient.clock = world.store.clock
        one.recorder._store = impatient
        stopped = Stopped(one, monkeypatch)
        try:
            time.pass_by(LEASE_S + 1)
            # What the stopped engine has locked is waited for until the server ends that session.
            work(other, time)
            assert {row.state for row in world.rows(work_order)} == {"succeeded"}
        finally:
            stopped.wake()
        assert [fault.code for fault in stopped.faults] == ["DATABASE_UNREACHABLE"]
        work(one, time)  # on another connection; what it brings so late is nobody's any more
    assert {row.state for row in world.rows(job)} <= FINAL_JOBS
    assert ledger.posts == 8
    assert ledger.twice() == []


def work(engine: VirtualEngine, time: Time) -> None:
    for _ in range(20):
        engine.keep_house()
        engine.record(8)
        engine.call([None] * 8)
        time.pass_by(1)
