"""Notifications that wait until the other system took them: on both kinds of database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from db import finishing, outbox
from db.outbox import DueEvent
from db.schema import outbox_event
from db.unit_of_work import UnitOfWork
from tests.helpers.databases import Databases
from tests.helpers.jobs import submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import NOW, World

CLAIM = timedelta(minutes=2)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def job_id(world: World) -> int:
    return submit(world, world.device())


def announce(world: World, job_id: int, *run_numbers: int) -> None:
    def add(uow: UnitOfWork) -> None:
        for run_no in run_numbers:
            finishing.add_event(uow, job_id, run_no, f"event/{run_no}", {"run": run_no})

    world.store.run(add)


def claim(world: World, limit: int = 10) -> list[DueEvent]:
    return world.store.run(lambda uow: outbox.claim_due_events(uow, uow.now() + CLAIM, limit))


def any_due(world: World) -> bool:
    with world.store.read() as uow:
        return outbox.any_due(uow)


def wait(world: World, how_long: timedelta) -> datetime:
    now = NOW + how_long
    world.store.clock = lambda _connection: now
    return now


def the_row(world: World) -> Any:
    (row,) = world.rows(outbox_event)
    return row


def test_an_event_is_due_at_once_and_is_sent_by_one(world: World, job_id: int) -> None:
    assert not any_due(world)
    assert claim(world) == []
    announce(world, job_id, 1)
    assert any_due(world)
    (event,) = claim(world)
    assert (event.event_id, event.job_id, event.run_no) == ("event/1", job_id, 1)
    assert (event.payload, event.attempts, event.created_at) == ({"run": 1}, 0, NOW)
    assert not any_due(world)
    assert claim(world) == []

    world.store.run(lambda uow: outbox.mark_sent(uow, event))
    row = the_row(world)
    assert (row.state, row.attempts, row.sent_at, row.claimed_until) == ("sent", 1, NOW, None)
    wait(world, timedelta(days=9))
    assert not any_due(world)


def test_the_same_run_of_a_job_is_announced_once(world: World, job_id: int) -> None:
    announce(world, job_id, 1)
    with pytest.raises(IntegrityError):
        announce(world, job_id, 1)


def test_the_longest_due_come_first_and_only_so_many(world: World, job_id: int) -> None:
    announce(world, job_id, 1, 2, 3)
    oldest = world.rows(outbox_event)[2]
    world.change(outbox_event, oldest.id, next_attempt_at=NOW - timedelta(hours=1))
    assert [event.event_id for event in claim(world, limit=2)] == ["event/3", "event/1"]
    assert [event.event_id for event in claim(world, limit=2)] == ["event/2"]


def test_an_event_whose_sender_died_is_sent_again_when_its_claim_has_run_out(world: World, job_id: int) -> None:
    announce(world, job_id, 1)
    (dead,) = claim(world)
    wait(world, CLAIM)
    assert claim(world) == [], "to its last instant the claim stands"
    wait(world, CLAIM + timedelta(microseconds=1))
    assert any_due(world)
    (again,) = claim(world)
    assert again == dead, "it is the same event with the same body"


def test_what_was_not_taken_waits_for_its_time(world: World, job_id: int) -> None:
    announce(world, job_id, 1)
    (event,) = claim(world)
    at = NOW + timedelta(seconds=40)
    world.store.run(lambda uow: outbox.mark_not_sent(uow, event, "Status 503. " + "x" * 500, at))
    row = the_row(world)
    assert (row.state, row.attempts, row.next_attempt_at, row.claimed_until) == ("pending", 1, at, None)
    assert len(row.last_error) == 400
    assert not any_due(world)
    wait(world, timedelta(seconds=40))
    (event,) = claim(world)
    assert event.attempts == 1
    world.store.run(lambda uow: outbox.mark_sent(uow, event))
    assert (the_row(world).attempts, the_row(world).last_error) == (2, None)


def test_what_is_given_up_is_dead_and_stays_to_be_seen(world: World, job_id: int) -> None:
    announce(world, job_id, 1)
    (event,) = claim(world)
    world.store.run(lambda uow: outbox.mark_not_sent(uow, event, "Status 410.", None))
    row = the_row(world)
    assert (row.state, row.last_error) == ("dead", "Status 410.")
    wait(world, timedelta(days=9))
    assert not any_due(world)
    assert claim(world) == []


def test_a_late_sender_does_not_undo_that_it_was_taken(world: World, job_id: int) -> None:
    """Two engines sent it, since the first one was suspended: what one of them brought through counts."""
    announce(world, job_id, 1)
    (late,) = claim(world)
    wait(world, timedelta(minutes=5))
    (event,) = claim(world)
    world.store.run(lambda uow: outbox.mark_sent(uow, event))
    taken = the_row(world)
    world.store.run(lambda uow: outbox.mark_not_sent(uow, late, "Status 503.", None))
    world.store.run(lambda uow: outbox.mark_sent(uow, late))
    assert the_row(world) == taken


def test_engines_at_once_share_the_events(world: World, job_id: int) -> None:
    announce(world, job_id, *range(1, 13))
    together = threading.Barrier(3)
    taken: list[str] = []

    def engine() -> None:
        together.wait()
        for _ in range(4):
            taken.extend(event.event_id for event in claim(world, limit=4))

    threads = [threading.Thread(target=engine) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"event/{run_no}" for run_no in range(1, 13))
