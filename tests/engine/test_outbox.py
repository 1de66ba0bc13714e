"""How long a notification is sent before it is given up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest

from db import finishing
from db.schema import outbox_event
from desktop_app.engine.outbox import Sent, send_due
from tests.helpers.databases import Databases
from tests.helpers.jobs import submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_time import Time
from tests.helpers.world import NOW, World

DAYS = timedelta(days=3)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_receiver_that_is_away_for_days_is_told_when_it_is_back(world: World) -> None:
    """As the guide says it: three days, however many sends there is time for."""
    time = Time()
    world.store.clock = lambda _connection: time.now
    job_id = submit(world, world.device())
    with world.store.begin() as uow:
        finishing.add_event(uow, job_id, 1, "event/1", {})
        uow.commit()
    (event,) = world.rows(outbox_event)
    sends = 0

    def send(_event_id: str, _body: bytes) -> Sent:
        nonlocal sends
        sends += 1
        return Sent(taken=False, reason="Status 503.")

    # Ten minutes before the end, after as many sends as there was time for; then each next one.
    time.now = NOW + DAYS - timedelta(minutes=10)
    world.change(outbox_event, event.id, attempts=1_000, next_attempt_at=time.now)
    while world.rows(outbox_event)[0].state == "pending":
        (event,) = world.rows(outbox_event)
        assert event.next_attempt_at <= NOW + DAYS
        time.now = event.next_attempt_at
        assert send_due(world.store, send, Random(1)) == 1
    assert sends > 1
    assert world.rows(outbox_event)[0].state == "dead"
