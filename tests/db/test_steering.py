"""Steering jobs, on both kinds of database: pause, resume, cancel, and what a person settles."""

from __future__ import annotations

import pytest

from db import steering
from db.schema import job
from db.unit_of_work import Store
from desktop_app.association.errors import RequestRefused
from tests.helpers.jobs import submit
from tests.helpers.world import World

NUMBER = "AJ-20261124-0001"


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def test_a_person_pauses_and_resumes(world: World) -> None:
    submit(world, world.device())
    world.store.run(lambda uow: steering.pause_job(uow, NUMBER, "ada"))
    (row,) = world.rows(job)
    assert (row.state, row.pause_cause, row.pause_reason) == ("paused", "operator", "Paused by ada.")
    with pytest.raises(RequestRefused):
        world.store.run(lambda uow: steering.pause_job(uow, NUMBER, "ada"))
    world.store.run(lambda uow: steering.resume_job(uow, NUMBER, "ada"))
    assert world.rows(job)[0].state == "queued"
