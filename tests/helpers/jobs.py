"""Jobs in a small world: submitted as a desk does it, worked on as an engine does it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from db import effects, work
from db.counters import Counters
from db.schema import job, work_order
from db.work import ClaimedOrder, StepRow, StepWrite
from desktop_app.association.model import AssociationRequest, PickedDevices, pack
from desktop_app.association.states import Step, StepState, WorkOrderState
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.world import TODAY, World

COUNTERS = ("rejected", "queued", "running", "waiting_retry", "outcome_unknown", "succeeded", "failed", "cancelled")
ENGINE = "engine-1"


def submit(world: World, *devices: int, customer: str | int = "10482", key: str = "", **options: Any) -> int:
    """Submits a job for these devices; its handle. By default effective today, without billing."""
    options.setdefault("effective_date", TODAY)
    request = AssociationRequest(PickedDevices(pack(devices)), customer, **options)
    seat = Seat(world.store, "admin")
    report = check_request(seat, request)
    assert not report.request_blocked, report.findings
    number = submit_request(seat, request, report.fingerprint, key or str(uuid4())).tracking_number
    return int(world.rows(job, tracking_number=number)[0].id)


def apply_all(world: World, job_id: int) -> effects.Applied:
    """The local effects of every queued work order of a job without billing, in one batch."""
    with world.store.begin() as uow:
        lines = effects.due_lines(uow, job_id, 5_000)
        assert lines is not None
        applied = effects.apply_effects(uow, effects.DueBatch(job_id, *lines))
        counters = Counters()
        counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.SUCCEEDED, applied.succeeded.get(job_id, 0))
        counters.write(uow)
        uow.commit()
    return applied


def claim(
    world: World, limit: int = 100, *, engine: str = ENGINE, lease: timedelta = timedelta(minutes=1)
) -> list[ClaimedOrder]:
    """Claims from every due job, as an engine does it; the counters are written."""
    claimed: list[ClaimedOrder] = []
    with world.store.begin() as uow:
        counters = Counters()
        for due in work.due_jobs(uow):
            for order in work.claim(uow, engine, due, limit, uow.now() + lease):
                claimed.append(order)
                counters.moved(due.job_id, order.was, WorkOrderState.RUNNING)
                counters.took_turn(due.job_id)
        counters.write(uow)
        uow.commit()
    return claimed


def write_step(
    world: World, order: ClaimedOrder, step: Step, state: StepState, *, at: datetime | None = None, **row: Any
) -> None:
    """Writes one step of a claimed work order, and nothing else."""
    with world.store.begin() as uow:
        intent_at = at or (uow.now() if state in {StepState.INTENT, StepState.UNKNOWN} else None)
        is_new = step not in order.steps
        work.write_steps(
            uow, [StepWrite(order.work_order_id, step, StepRow(state, intent_at=intent_at, **row), order.epoch, is_new)]
        )
        uow.commit()


def assert_counters_equal_rows(world: World) -> None:
    """The counters of every job equal its work orders."""
    for row in world.rows(job):
        states = [order.state for order in world.rows(work_order, job_id=row.id)]
        assert {name: row._mapping[name] for name in COUNTERS} == {name: states.count(name) for name in COUNTERS}
        assert row.total == len(states)


def day(offset: int) -> date:
    """So many days from the business date of the world."""
    return TODAY + timedelta(days=offset)
