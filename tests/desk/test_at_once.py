"""What people do while an engine ends a job, in each order: the job's row decides, and nobody is told what is not so.

On PostgreSQL, whose transactions see what others commit while they are under way; on SQLite they wait for each other.
Each has a store of its own, as on machines of their own, and waits where the test says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from db import steering
from db.integrity import check
from db.schema import job, job_log, work_order
from db.unit_of_work import Store
from desktop_app.association.errors import RequestRefused
from desktop_app.association.states import FINAL_JOBS
from desktop_app.desk.protocol import Retried
from desktop_app.desk.requests import retry_job
from desktop_app.desk.seat import Seat
from tests.helpers.billing_ledger import CUT_BEFORE, REFUSED
from tests.helpers.databases import PostgresDatabases
from tests.helpers.gates import PATIENCE_S, Gate, gate_before
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import SETTLE_S, Time
from tests.helpers.world import World

pytestmark = pytest.mark.postgres

NUMBER = "AJ-20261124-0001"


class Scene:
    """One job, an engine that the test moves, and a person with a connection of their own."""

    def __init__(self, store: Store, of_person: Store, pool: ThreadPoolExecutor) -> None:
        self.world = World(store)
        self.time = Time()
        for one in (store, of_person):
            one.clock = lambda _connection: self.time.now
        self.ledger = SilentLedger(self.time)
        self.engine = VirtualEngine(self.world, self.time, self.ledger, "engine")
        self.of_person = of_person
        self._pool = pool

    @contextmanager
    def person(self, does: Callable[[], Any], held_before: str = "UPDATE job ") -> Iterator[Gate]:
        """A person does it, and is held; afterwards ``answer`` is what they are told."""

        def told() -> Any:
            try:
                return does()
            except RequestRefused as refused:
                return refused

        with gate_before(self.of_person, held_before) as gate:
            doing: Future[Any] = self._pool.submit(told)
            try:
                gate.wait()
                yield gate
            finally:
                gate.open()
                self.answer = doing.result(PATIENCE_S)

    def retry(self) -> Retried:
        return retry_job(Seat(self.of_person, "admin"), NUMBER)

    def cancel(self) -> int:
        return self.of_person.run(lambda uow: steering.cancel_job(uow, NUMBER, "ada"))

    def pause(self) -> None:
        self.of_person.run(lambda uow: steering.pause_job(uow, NUMBER, "ada"))

    def resume(self) -> None:
        self.of_person.run(lambda uow: steering.resume_job(uow, NUMBER, "ada"))

    def resolve(self) -> None:
        iccid = self.world.rows(work_order, state="outcome_unknown")[0].iccid
        self.of_person.run(lambda uow: steering.resolve(uow, NUMBER, iccid, None, "ada"))

    @property
    def job(self) -> Any:
        return self.world.rows(job)[0]

    def states(self) -> list[str]:
        return [row.state for row in self.world.rows(work_order)]

    def end_the_last(self) -> None:
        """The call in flight is answered, and everything of it is recorded."""
        self.engine.call([None])
        for _ in range(3):
            self.engine.record(0)
        assert self.job.state == "finishing"

    def all_ends(self) -> None:
        """Engines go on until everything has come to its end, and the database keeps its promises."""
        for _ in range(20):
            self.engine.call([None] * 4)
            self.engine.record(4)
            self.engine.keep_house()
            if self.job.state in FINAL_JOBS:
                break
            self.time.pass_by(1)
        assert self.job.state in FINAL_JOBS
        assert self.ledger.twice() == []
        assert_counters_equal_rows(self.world)
        assert check(self.world.store) == ()


@pytest.fixture
def scene(postgres_server: PostgresServer) -> Iterator[Scene]:
    with (
        fresh_store(PostgresDatabases(postgres_server)) as store,
        Store(store.url) as of_person,
        ThreadPoolExecutor(1) as pool,
    ):
        yield Scene(store, of_person, pool)


def two_failed_and_the_last_is_called(scene: Scene) -> None:
    submit(scene.world, *(scene.world.device() for _ in range(3)), create_billing_service=True)
    scene.engine.record(3)
    scene.engine.call([REFUSED, REFUSED])
    scene.engine.record(0)
    assert scene.states() == ["failed", "failed", "running"]


def not_billed(scene: Scene, failed: int, queued: int) -> None:
    """A job without billing that runs: some have failed, the others are queued."""
    devices = [scene.world.device() for _ in range(failed + queued)]
    submit(scene.world, *devices)
    scene.world.finish_job("running", **{f"d{device}": "failed" for device in devices[:failed]})
    scene.world.change(job, scene.job.id, finished_at=None, started_at=scene.time.now)


# --- retry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [False, True], ids=["finishing", "finished"])
def test_a_retry_does_not_queue_in_a_job_whose_last_device_ends_meanwhile(scene: Scene, finished: bool) -> None:
    """Nobody would ever claim them, and their devices would stay in open work for good."""
    two_failed_and_the_last_is_called(scene)
    with scene.person(scene.retry):
        scene.end_the_last()
        if finished:
            scene.engine.keep_house()
            assert scene.job.state == "partially_completed"
    if finished:
        assert scene.answer == Retried(NUMBER, 2, 0, 2), "it is done again, as a run of its own"
    else:
        assert scene.answer.code == "JOB_FINISHING"
        assert scene.states() == ["failed", "failed", "succeeded"]
    scene.all_ends()
    assert scene.states() == (["succeeded"] * 3 if finished else ["failed", "failed", "succeeded"])


def test_a_retry_that_holds_the_job_keeps_it_from_being_finished(scene: Scene) -> None:
    two_failed_and_the_last_is_called(scene)
    with scene.person(scene.retry, held_before="INSERT INTO audit_entry") as gate:
        scene.engine.call([None])
        gate.open()  # the engine waits for the job's row from here on, however fast the person is
        for _ in range(3):
            scene.engine.record(0)
    assert scene.answer == Retried(NUMBER, 2, 0, 1)
    assert scene.job.state == "running"
    scene.all_ends()
    assert scene.states() == ["succeeded"] * 3


def test_a_retry_in_a_run_that_somebody_else_began_checks_again(scene: Scene) -> None:
    """What it read was the run before; another retry may have renewed what all devices of the job rest on."""
    two_failed_and_the_last_is_called(scene)
    first, second, _last = scene.world.rows(work_order)
    scene.world.change(work_order, second.id, error_code="OTHER")
    with scene.person(lambda: retry_job(Seat(scene.of_person, "admin"), NUMBER, first.error_code)):
        scene.end_the_last()
        scene.engine.keep_house()
        assert retry_job(Seat(scene.world.store, "admin"), NUMBER, "OTHER") == Retried(NUMBER, 1, 0, 2)
    assert scene.answer == Retried(NUMBER, 1, 0, 2)
    scene.all_ends()
    assert scene.states() == ["succeeded"] * 3


def test_a_retry_does_not_queue_in_a_job_that_is_cancelled_meanwhile(scene: Scene) -> None:
    two_failed_and_the_last_is_called(scene)
    with scene.person(scene.retry):
        assert scene.world.store.run(lambda uow: steering.cancel_job(uow, NUMBER, "ben")) == 0
    assert scene.answer.code == "JOB_BEING_CANCELLED"
    assert scene.states() == ["failed", "failed", "running"]
    scene.all_ends()
    assert scene.states() == ["failed", "failed", "succeeded"]


@pytest.mark.parametrize("billed", [True, False], ids=["billed", "not billed"])
def test_what_a_retry_queued_while_the_job_was_being_cancelled_is_cancelled(scene: Scene, billed: bool) -> None:
    """The cancel has looked at the devices, and has not marked the job: it does not see what is queued in between."""
    if billed:
        two_failed_and_the_last_is_called(scene)
    else:
        not_billed(scene, failed=2, queued=1)
    with scene.person(scene.cancel):
        assert retry_job(Seat(scene.world.store, "admin"), NUMBER).requeued == 2
    assert scene.answer == (0 if billed else 1)
    assert (scene.job.cancel_requested, scene.job.queued) == (True, 2)
    scene.all_ends()
    assert scene.states() == ["cancelled", "cancelled", "succeeded" if billed else "cancelled"]
    assert scene.ledger.posts == (3 if billed else 0), "nothing is posted again"


# --- cancel, pause, resume -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_who_comes_when_the_job_is_being_finished_is_told_so(scene: Scene, action: str) -> None:
    two_failed_and_the_last_is_called(scene)
    with scene.person(getattr(scene, action)):
        scene.end_the_last()
    assert scene.answer.message.startswith(f"Job {NUMBER} is finishing; ")
    assert not scene.job.cancel_requested
    scene.all_ends()
    assert scene.job.state == "partially_completed"


def test_a_resume_that_the_end_of_the_job_overtakes_is_told_so(scene: Scene) -> None:
    two_failed_and_the_last_is_called(scene)
    scene.pause()
    with scene.person(scene.resume):
        scene.end_the_last()
    assert scene.answer.message.startswith(f"Job {NUMBER} is finishing; ")
    assert [row.event for row in scene.world.rows(job_log)].count("resumed") == 0
    scene.all_ends()
    assert scene.job.state == "partially_completed"


def test_a_cancel_of_a_job_that_was_over_is_of_the_run_that_was_begun_meanwhile(scene: Scene) -> None:
    not_billed(scene, failed=2, queued=0)
    scene.world.change(job, scene.job.id, state="failed")
    with scene.person(scene.cancel):
        assert retry_job(Seat(scene.world.store, "admin"), NUMBER) == Retried(NUMBER, 2, 0, 2)
    assert scene.answer == 0
    log = scene.world.rows(job_log)[-1]
    assert (log.event, log.run_no) == ("cancel_requested", 2)
    scene.all_ends()
    assert (scene.job.state, scene.states()) == ("cancelled", ["cancelled", "cancelled"])


# --- resolve ---------------------------------------------------------------------------------------------------------


def unknown(scene: Scene) -> None:
    submit(scene.world, scene.world.device(), create_billing_service=True)
    scene.engine.record(1)
    scene.engine.call([CUT_BEFORE])
    scene.engine.record(0)
    scene.time.pass_by(SETTLE_S + 1)
    assert scene.states() == ["outcome_unknown"]


def test_what_is_settled_as_absent_while_the_job_is_cancelled_is_not_posted(scene: Scene) -> None:
    unknown(scene)
    with scene.person(scene.resolve, held_before="UPDATE job "):
        assert scene.world.store.run(lambda uow: steering.cancel_job(uow, NUMBER, "ben")) == 0
    assert scene.answer is None
    scene.all_ends()
    assert (scene.states(), scene.ledger.posts) == (["cancelled"], 1)


def test_a_cancel_that_is_held_while_the_outcome_is_settled(scene: Scene) -> None:
    unknown(scene)
    with scene.person(scene.cancel):
        iccid = scene.world.rows(work_order)[0].iccid
        scene.world.store.run(lambda uow: steering.resolve(uow, NUMBER, iccid, None, "ben"))
    assert scene.answer == 0
    scene.all_ends()
    assert (scene.states(), scene.ledger.posts) == (["cancelled"], 1)


def test_whoever_settles_what_an_engine_has_just_taken_is_told_so(scene: Scene) -> None:
    unknown(scene)
    with scene.person(scene.resolve, held_before="UPDATE work_order "):
        scene.engine.record(1)
        assert scene.states() == ["running"]
    assert "is running: nothing is open" in scene.answer.message
    scene.all_ends()
    assert scene.states() == ["succeeded"]
