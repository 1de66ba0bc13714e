"""Taking back what an ended engine held. One path: what is taken back is queued work, or an unknown outcome."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import exists, select, update

from db.counters import Counters
from db.dialects import locking
from db.schema import work_order, work_order_step
from db.work import is_state, parts
from desktop_app.association.errors import Problem
from desktop_app.association.states import StepState, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Work orders of an ended engine that are taken back in one unit of work.
MOST_TAKEN_BACK = 2_000

_wo = work_order.c


class TakenByAnother(Exception):
    """Another engine is at the same rows: this transaction is rolled back, and looks again later."""


def any_expired(uow: UnitOfWork) -> bool:
    """Whether a lease has ended: read before anything is written for it."""
    return (
        uow.connection.execute(
            select(_wo.id).where(is_state(_wo.state, WorkOrderState.RUNNING), _wo.lease_until < uow.now()).limit(1)
        ).first()
        is not None
    )


def take_back(uow: UnitOfWork, check_at: datetime, problem: Problem, limit: int = MOST_TAKEN_BACK) -> int:
    """Work orders whose lease has ended become queued work, or an unknown outcome where an intent was open.

    An open intent means that billing may have acted: it is asked at ``check_at``, and nothing is posted before.

    Args:
        check_at: now and the settle time, at the least.
        problem: what is shown of an unknown outcome.
        limit: most work orders at once.

    Returns:
        How many.

    Raises:
        TakenByAnother: another engine takes the same ones back.
    """
    now = uow.now()
    expired = (is_state(_wo.state, WorkOrderState.RUNNING), _wo.lease_until < now)
    rows = uow.connection.execute(
        locking(
            select(_wo.id, _wo.job_id).where(*expired).order_by(_wo.lease_until).limit(limit),
            work_order,
            skip_locked=True,
        )
    ).all()
    counters = Counters()
    open_steps = (StepState.INTENT, StepState.UNKNOWN)
    is_open = exists().where(work_order_step.c.work_order_id == _wo.id, work_order_step.c.state.in_(open_steps))
    for part in parts(rows):
        job_of = {row.id: row.job_id for row in part}
        ids = list(job_of)
        unknown = (
            update(work_order)
            .where(_wo.id.in_(ids), *expired, is_open)
            .values(
                state=WorkOrderState.OUTCOME_UNKNOWN, check_at=check_at, engine_id=None, lease_until=None,
                error_kind=problem.kind, error_code=problem.code, error_message=problem.message,
                what_to_do=problem.what_to_do, lease_epoch=_wo.lease_epoch + 1, changed_at=now,
                revision=_wo.revision + 1,
            )
        )  # fmt: skip
        queued = (
            update(work_order)
            .where(_wo.id.in_(ids), *expired)
            .values(
                state=WorkOrderState.QUEUED, engine_id=None, lease_until=None, lease_epoch=_wo.lease_epoch + 1,
                changed_at=now, revision=_wo.revision + 1,
            )
        )  # fmt: skip
        changed = uow.connection.execute(unknown).rowcount + uow.connection.execute(queued).rowcount
        if changed != len(ids):
            raise TakenByAnother
        uow.connection.execute(
            update(work_order_step)
            .where(work_order_step.c.work_order_id.in_(ids), work_order_step.c.state == StepState.INTENT)
            .values(state=StepState.UNKNOWN)
        )
        states = uow.connection.execute(select(_wo.id, _wo.state).where(_wo.id.in_(ids)))
        for work_order_id, state in states:
            counters.moved(job_of[work_order_id], WorkOrderState.RUNNING, WorkOrderState(state))
    counters.write(uow)
    return len(rows)
