"""A job whose billing credential no engine can open says so, and goes on where one comes that can."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from db import steering
from db.integrity import check
from db.schema import job, job_log
from db.unit_of_work import Store
from desktop_app.engine.housekeeping import Housekeeping
from tests.helpers.billing_ledger import CUT_BEFORE, OneLedger
from tests.helpers.databases import Databases, PostgresDatabases
from tests.helpers.gates import PATIENCE_S, gate_before
from tests.helpers.jobs import submit
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import RULES, SilentLedger, VirtualEngine
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, Crashed, Time, crashing_at
from tests.helpers.world import CREDENTIAL, World

NUMBER = "AJ-20261124-0001"
MINUTE_S = steering.PATIENCE.total_seconds()
NOBODY = "No engine that runs can open the billing credential main: none of them has its secret."


class Scene:
    """An engine without the secret, and one that has it; both moved by the test."""

    def __init__(self, store: Store, of_poor: Store | None = None) -> None:
        self.world, self.time = World(store), Time()
        self.ledger = SilentLedger(self.time)
        self.rich = VirtualEngine(self.world, self.time, self.ledger, "rich")
        gateway = OneLedger(self.ledger)
        gateway.closed = {CREDENTIAL}
        self.poor = Housekeeping(of_poor or store, gateway, RULES, engine_id="poor", rng=Random(1))
        for one in (store, of_poor or store):
            one.clock = lambda _connection: self.time.now

    @property
    def job(self) -> Any:
        return self.world.rows(job)[0]

    def told(self) -> list[str]:
        return [row.message for row in self.world.rows(job_log) if row.event == "paused"]

    def poor_waits(self, seconds: float) -> int:
        """Time passes, and the engine without the secret looks at what is due; how many things it did."""
        self.time.pass_by(seconds)
        return self.poor.run_once(RULES)

    def assert_it_goes_on(self) -> None:
        """With an engine that has the secret everything comes to its end."""
        self.time.pass_by(MINUTE_S)
        for _ in range(20):
            self.rich.keep_house()
            self.rich.record(4)
            self.rich.call([None] * 4)
            if self.job.state == "completed":
                break
            self.time.pass_by(SETTLE_S)
        assert self.job.state == "completed"
        assert self.ledger.twice() == []
        assert check(self.world.store) == ()


@pytest.fixture
def scene(databases: Databases) -> Iterator[Scene]:
    with fresh_store(databases) as store:
        yield Scene(store)


def billed(scene: Scene) -> None:
    submit(scene.world, scene.world.device(), scene.world.device(), create_billing_service=True)


def test_a_job_that_nobody_can_open_says_so_after_a_minute(scene: Scene) -> None:
    billed(scene)
    assert scene.poor_waits(0) == 0
    assert scene.poor_waits(MINUTE_S) == 0, "an engine that can open it may be about to take its turn"
    assert scene.poor_waits(1) == 1
    row = scene.job
    assert (row.state, row.pause_cause) == ("paused", "environment")
    assert row.pause_reason.startswith(NOBODY)
    assert row.resume_at == scene.time.now + timedelta(seconds=MINUTE_S)
    assert len(scene.told()) == 1
    # Nobody looks when it is due to look: it says when the next look is due, and the log is not filled with it.
    assert scene.poor_waits(MINUTE_S) == 0
    assert scene.poor_waits(MINUTE_S + 1) == 1
    assert scene.job.resume_at > scene.time.now
    assert scene.poor_waits(0) == 0
    assert len(scene.told()) == 1
    scene.assert_it_goes_on()


def test_a_person_who_resumes_it_in_vain_is_told_again(scene: Scene) -> None:
    billed(scene)
    scene.poor_waits(MINUTE_S + 1)
    scene.world.store.run(lambda uow: steering.resume_job(uow, NUMBER, "ada"))
    assert scene.poor_waits(MINUTE_S) == 0
    assert scene.poor_waits(1) == 1
    assert scene.job.pause_reason.startswith(NOBODY)


def test_an_open_question_that_nobody_can_ask_is_told_too(scene: Scene) -> None:
    billed(scene)
    scene.rich.record(2)
    scene.rich.call([CUT_BEFORE, CUT_BEFORE])
    scene.rich.record(0)  # and it is switched off
    assert scene.poor_waits(MINUTE_S + SETTLE_S) == 1
    assert (scene.job.outcome_unknown, scene.job.pause_cause) == (2, "environment")
    scene.assert_it_goes_on()


@pytest.mark.parametrize("busy_with", ["this job", "another one"])
def test_a_job_waits_for_its_turn_while_another_engine_serves_its_credential(scene: Scene, busy_with: str) -> None:
    billed(scene)
    if busy_with == "another one":
        submit(scene.world, scene.world.device(), create_billing_service=True)
        scene.world.change(job, scene.job.id, turn_at=scene.time.now)  # it comes after the other one
        scene.time.pass_by(1)
    scene.rich.record(1)
    for _ in range(5):
        assert scene.poor_waits(LEASE_S / 2 - 1) == 0
        scene.rich.record(0)  # renews what it holds
    assert {row.state for row in scene.world.rows(job)} <= {"queued", "running"}


def test_a_job_without_billing_is_not_waited_for(scene: Scene) -> None:
    submit(scene.world, scene.world.device())
    assert scene.poor_waits(2 * MINUTE_S) == 0
    assert scene.job.state == "queued"


def test_a_pause_that_nobody_can_look_at_says_so(scene: Scene) -> None:
    """Billing was away, and the engine that had the secret is switched off: it would not go on by itself."""
    billed(scene)
    job_id = scene.job.id
    again = scene.time.now + timedelta(seconds=5)
    scene.world.store.run(lambda uow: steering.pause_for_environment(uow, job_id, "Billing is gone.", again))
    assert scene.poor_waits(5 + MINUTE_S) == 0
    assert scene.job.pause_reason == "Billing is gone."
    assert scene.poor_waits(1) == 1
    assert scene.job.pause_reason.startswith(NOBODY)
    scene.assert_it_goes_on()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_that_ends_when_it_is_told(scene: Scene, side: str) -> None:
    billed(scene)
    with crashing_at(f"{side}-commit:left-alone", 1), pytest.raises(Crashed):
        scene.poor_waits(MINUTE_S + 1)
    assert len(scene.told()) == (0 if side == "before" else 1)
    scene.poor_waits(0)
    assert (scene.job.state, len(scene.told())) == ("paused", 1)
    scene.assert_it_goes_on()


@pytest.mark.postgres
def test_an_engine_that_takes_it_at_this_very_moment_is_not_stopped(postgres_server: PostgresServer) -> None:
    with fresh_store(PostgresDatabases(postgres_server)) as store, Store(store.url) as of_poor:
        scene = Scene(store, of_poor)
        billed(scene)
        scene.time.pass_by(MINUTE_S + 1)
        with ThreadPoolExecutor(1) as pool, gate_before(of_poor, "UPDATE job ") as gate:
            try:
                looking = pool.submit(scene.poor.run_once, RULES)
                gate.wait()
                scene.rich.record(1)
            finally:
                gate.open()
            assert looking.result(PATIENCE_S) == 0
        assert scene.job.state == "running"
        scene.assert_it_goes_on()
