"""Engines that say that they are there, and whether anything is left for them: on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from db import engine_rows, finishing
from db.schema import engine, job, outbox_event, work_order
from desktop_app.association.states import JobState, PauseCause
from tests.helpers.databases import Databases
from tests.helpers.jobs import submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import NOW, World

NUMBER = "AJ-20261124-0001"


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


def is_idle(world: World, **options: Any) -> bool:
    with world.store.read() as uow:
        return engine_rows.is_idle(uow, **options)


def test_an_engine_says_that_it_is_there_and_that_it_has_stopped(world: World) -> None:
    world.store.run(lambda uow: engine_rows.register(uow, "engine-1", "h" * 200, 4_711, "work"))
    (row,) = world.rows(engine)
    assert (row.host, row.process_id, row.kind) == ("h" * 120, 4_711, "work")
    assert (row.started_at, row.seen_at, row.stopped_at) == (NOW, NOW, None)

    later = NOW + timedelta(minutes=1)
    world.store.clock = lambda _connection: later
    world.store.run(lambda uow: engine_rows.seen(uow, "engine-1"))
    (row,) = world.rows(engine)
    assert (row.started_at, row.seen_at, row.stopped_at) == (NOW, later, None)
    world.store.run(lambda uow: engine_rows.seen(uow, "engine-1", stopped=True))
    assert world.rows(engine)[0].stopped_at == later


def test_an_engine_that_was_seen_just_now_runs_and_was_not_left(world: World) -> None:
    def was_left() -> bool:
        with world.store.read() as uow:
            return engine_rows.was_left_running(uow)

    assert not was_left(), "there was none"
    world.store.run(lambda uow: engine_rows.register(uow, "engine-1", "here", 1, "work"))
    assert not was_left()
    world.store.clock = lambda _connection: NOW + engine_rows.RUNS
    assert was_left()
    world.store.run(lambda uow: engine_rows.seen(uow, "engine-1"))
    assert not was_left()
    world.store.run(lambda uow: engine_rows.seen(uow, "engine-1", stopped=True))
    world.store.clock = lambda _connection: NOW + 3 * engine_rows.RUNS
    assert not was_left()


def test_the_state_of_a_job(world: World) -> None:
    job_id = submit(world, world.device())
    with world.store.read() as uow:
        assert engine_rows.job_state(uow, NUMBER) == (JobState.QUEUED, None, 1)
        assert engine_rows.job_state(uow, "AJ-20261124-9999") is None
    world.change(job, job_id, state="paused", pause_cause="quota", run_no=3)
    with world.store.read() as uow:
        assert engine_rows.job_state(uow, NUMBER) == (JobState.PAUSED, PauseCause.QUOTA, 3)


def test_an_empty_database_is_idle(world: World) -> None:
    assert is_idle(world)


def test_whether_anything_is_left_for_an_engine(world: World) -> None:
    """One job, put into every state that matters."""
    device = world.device()
    job_id = submit(world, device)
    order = world.order_of(device)

    def stands(state: str, counter: str = "", cause: str | None = None, **order_values: Any) -> bool:
        counts = {name: int(name == counter) for name in ("queued", "running", "waiting_retry", "outcome_unknown")}
        world.change(job, job_id, state=state, pause_cause=cause, **counts)
        values = {"state": counter or "succeeded", "check_at": None, "engine_id": None, "lease_until": None}
        world.change(work_order, order.id, **{**values, **order_values})
        return is_idle(world)

    # what an engine can do, now or later
    assert not stands("queued", "queued")
    assert not stands("running", "running")
    assert not stands("running", "waiting_retry")
    assert not stands("running", "outcome_unknown", check_at=NOW + timedelta(hours=9))
    assert not stands("queued"), "a job of which nothing can run still has to be finished"
    assert not stands("finishing")
    # a pause that ends by itself
    assert not stands("paused", "queued", "environment")
    assert not stands("paused", "queued", "quota")
    assert not stands("paused", "outcome_unknown", "environment", check_at=NOW)
    # what only a person can move
    assert stands("paused", "queued", "operator")
    assert stands("paused", "queued", "threshold")
    assert stands("running", "outcome_unknown")
    assert stands("paused", "outcome_unknown", "environment")
    for state in ("completed", "partially_completed", "failed", "cancelled"):
        assert stands(state)


def test_one_question_to_a_person_does_not_hide_the_others(world: World) -> None:
    first, second = world.device(), world.device()
    job_id = submit(world, first, second)
    world.change(job, job_id, state="running", queued=0, outcome_unknown=2)
    world.change(work_order, world.order_of(first).id, state="outcome_unknown", check_at=None)
    world.change(work_order, world.order_of(second).id, state="outcome_unknown", check_at=NOW)
    assert not is_idle(world)
    world.change(work_order, world.order_of(second).id, check_at=None)
    assert is_idle(world)


def test_a_notification_is_waited_for_until_it_was_tried_once(world: World) -> None:
    """A receiver that is down for days keeps no worker; the next one that runs sends it."""
    job_id = submit(world, world.device())
    world.change(job, job_id, state="completed", queued=0, succeeded=1)
    world.store.run(lambda uow: finishing.add_event(uow, job_id, 1, f"{NUMBER}/1", {}))
    (event,) = world.rows(outbox_event)
    assert not is_idle(world)
    assert is_idle(world, announces=False), "an engine that announces nothing would wait for ever"
    world.change(outbox_event, event.id, attempts=1, next_attempt_at=NOW + timedelta(minutes=10))
    assert is_idle(world)
    world.change(outbox_event, event.id, attempts=0, state="sent")
    assert is_idle(world)
