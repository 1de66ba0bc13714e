"""Engines that work on this database, and whether there is anything left for them to do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, insert, or_, select, update

from db.open_jobs import IS_OPEN
from db.schema import engine, job, outbox_event, work_order
from db.work import is_state
from desktop_app.association.states import JobState, PauseCause, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Within this time an engine that runs has said several times that it is there.
RUNS = timedelta(minutes=1)


def register(uow: UnitOfWork, engine_id: str, host: str, process_id: int, kind: str) -> None:
    """An engine has started. ``kind``: desktop, work, wait."""
    now = uow.now()
    uow.connection.execute(
        insert(engine).values(
            id=engine_id, host=host[:120], process_id=process_id, kind=kind, started_at=now, seen_at=now
        )
    )


def seen(uow: UnitOfWork, engine_id: str, *, stopped: bool = False) -> None:
    """The engine is alive, or has stopped in order."""
    now = uow.now()
    values = {"seen_at": now, "stopped_at": now} if stopped else {"seen_at": now}
    uow.connection.execute(update(engine).where(engine.c.id == engine_id).values(**values))


def was_left_running(uow: UnitOfWork) -> bool:
    """Whether the engine that was seen last has not stopped in order; one seen within :data:`RUNS` runs now."""
    last = select(engine.c.stopped_at, engine.c.seen_at).order_by(engine.c.seen_at.desc()).limit(1)
    row = uow.connection.execute(last).first()
    return row is not None and row.stopped_at is None and abs(uow.now() - row.seen_at) >= RUNS


def is_idle(uow: UnitOfWork, *, announces: bool = True) -> bool:
    """Whether no job has anything left that an engine could do, now or later, and no notification has yet to be tried.

    Left out is what only a person can move: jobs that a person (or the threshold) paused, and unknown outcomes that
    billing cannot tell; and notifications that nobody took so far: they are sent by whichever engine runs when they are
    due again, in minutes or in days.

    Args:
        announces: whether the engine that asks sends notifications at all.
    """
    waits_for_a_person = or_(
        and_(job.c.state == JobState.PAUSED, job.c.pause_cause.in_((PauseCause.OPERATOR, PauseCause.THRESHOLD))),
        and_(
            job.c.state != JobState.FINISHING,
            job.c.queued == 0,
            job.c.running == 0,
            job.c.waiting_retry == 0,
            job.c.outcome_unknown > 0,
            ~exists().where(
                work_order.c.job_id == job.c.id,
                work_order.c.state == WorkOrderState.OUTCOME_UNKNOWN,
                work_order.c.check_at.is_not(None),
            ),
        ),
    )
    open_job = select(job.c.id).where(IS_OPEN, ~waits_for_a_person).limit(1)
    if uow.connection.execute(open_job).first() is not None:
        return False
    untried = select(outbox_event.c.id).where(is_state(outbox_event.c.state, "pending"), outbox_event.c.attempts == 0)
    return not announces or uow.connection.execute(untried.limit(1)).first() is None


def job_state(uow: UnitOfWork, tracking_number: str) -> tuple[JobState, PauseCause | None, int] | None:
    """State, cause of its pause and number of the job's run; None: there is no such job."""
    row = uow.connection.execute(
        select(job.c.state, job.c.pause_cause, job.c.run_no).where(job.c.tracking_number == tracking_number)
    ).first()
    if row is None:
        return None
    return JobState(row.state), None if row.pause_cause is None else PauseCause(row.pause_cause), row.run_no
