"""The threshold: a job of which too many devices fail pauses itself and says why."""

from __future__ import annotations

from typing import Any

import pytest

from db import installation, steering
from db.counters import Counters
from db.schema import job, job_log, work_order
from db.unit_of_work import Store
from desktop_app.association.states import PauseCause, WorkOrderState
from tests.helpers.jobs import submit
from tests.helpers.world import NOW, World

FAILED, SUCCEEDED = WorkOrderState.FAILED, WorkOrderState.SUCCEEDED


@pytest.fixture
def world(store: Store) -> World:
    found = World(store)
    with store.begin() as uow:
        installation.write(uow, "abort_failed_percent", 25)
        installation.write(uow, "abort_least_done", 4)
        uow.commit()
    submit(found, *(found.device() for _ in range(20)))
    return found


def end(world: World, state: WorkOrderState, count: int, code: str = "BILLING_REFUSED") -> Any:
    """Ends the next queued devices in one unit of work; the job afterwards."""
    ids = [row.id for row in world.rows(work_order, state="queued")[:count]]
    for one in ids:
        error = {"error_code": code} if state is FAILED else {}
        world.change(work_order, one, state=state, completed_at=NOW, **error)
    with world.store.begin() as uow:
        counters = Counters()
        counters.took_turn(world.rows(job)[0].id)
        counters.moved(world.rows(job)[0].id, WorkOrderState.QUEUED, state, count)
        counters.write(uow)
        uow.commit()
    return world.rows(job)[0]


def test_over_the_threshold_the_job_pauses_and_names_the_causes(world: World) -> None:
    end(world, SUCCEEDED, 6)
    end(world, FAILED, 1, "BILLING_BUSY")
    paused = end(world, FAILED, 2)
    assert (paused.state, paused.pause_cause, paused.resume_at) == ("paused", "threshold", None)
    assert paused.pause_reason.startswith(
        "3 of 9 finished devices failed, more than 25 %: BILLING_REFUSED 2, BILLING_BUSY 1."
    )
    assert [row.event for row in world.rows(job_log)] == ["submitted", "paused"]


def test_exactly_the_threshold_is_not_over_it(world: World) -> None:
    end(world, SUCCEEDED, 6)
    assert end(world, FAILED, 2).state == "running"
    assert end(world, FAILED, 1).state == "paused"


def test_a_few_first_failures_mean_nothing_yet(world: World) -> None:
    assert end(world, FAILED, 3).state == "running"
    assert end(world, FAILED, 1).state == "paused"


def test_a_person_who_resumes_is_not_asked_again(world: World) -> None:
    paused = end(world, FAILED, 5)
    world.store.run(lambda uow: steering.resume_job(uow, paused.tracking_number, "admin"))
    assert end(world, FAILED, 5).state == "running"


@pytest.mark.parametrize("cause", list(PauseCause))
def test_what_fails_while_it_is_paused_counts_too(world: World, cause: PauseCause) -> None:
    """Otherwise it would go on by itself, and a wrong plan fail all that is left."""
    end(world, SUCCEEDED, 1)
    job_id = world.rows(job)[0].id
    world.change(job, job_id, state="paused", pause_cause=cause, pause_reason="Before", resume_at=NOW)
    paused = end(world, FAILED, 5)
    assert (paused.state, paused.pause_cause, paused.resume_at) == ("paused", "threshold", None)
    assert paused.pause_reason.startswith("5 of 6 finished devices failed, more than 25 %")
    with world.store.read() as uow:
        assert not steering.any_probe_due(uow)
    world.store.run(lambda uow: steering.resume_job(uow, paused.tracking_number, "admin"))
    assert end(world, FAILED, 5).state == "running"


def test_a_cancelled_job_does_not_pause(world: World) -> None:
    """What is open is asked for, and nothing is begun."""
    world.change(job, world.rows(job)[0].id, cancel_requested=True)
    assert end(world, FAILED, 5).state == "running"


def test_a_job_of_which_nothing_is_left_is_finished_instead(world: World) -> None:
    assert end(world, FAILED, 20).state == "finishing"


def test_100_percent_never_pauses(world: World) -> None:
    with world.store.begin() as uow:
        installation.write(uow, "abort_failed_percent", 100)
        uow.commit()
    assert end(world, FAILED, 19).state == "running"
