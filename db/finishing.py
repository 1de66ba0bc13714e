"""The end of a job's run: what its statistics are made from, its job log, and the last transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from db.schema import customer, job, job_log, outbox_event, work_order, work_order_step
from desktop_app.association.states import JobState, Step, StepState, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_wo = work_order.c


@dataclass(frozen=True, slots=True)
class FinishingJob:
    """A job whose work orders are all final, and what is needed to finish it.

    Attributes:
        job_id, tracking_number, run_no: which.
        cancel_requested: a person cancelled it in this run.
        customer, account_number, operator, reason: for the notification.
        counts: work orders in each state, from the counters.
        submitted_at, started_at: instants.
    """

    job_id: int
    tracking_number: str
    run_no: int
    cancel_requested: bool
    customer: str
    account_number: str | None
    operator: str
    reason: str
    counts: Mapping[WorkOrderState, int]
    submitted_at: datetime
    started_at: datetime | None


def jobs_to_finish(uow: UnitOfWork, limit: int = 20) -> list[int]:
    """Handles of jobs that wait to be finished, the oldest first."""
    return list(
        uow.connection.scalars(
            select(job.c.id).where(job.c.state == JobState.FINISHING).order_by(job.c.submitted_at).limit(limit)
        )
    )


def begin_finishing(uow: UnitOfWork, job_id: int) -> FinishingJob | None:
    """The job, locked for this transaction; None where it is not to be finished (any more).

    The compare-and-set comes first: two engines that finish the same job wait here, and the second finds nothing to do.
    """
    claimed = uow.connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state == JobState.FINISHING)
        .values(changed_at=uow.now(), revision=job.c.revision + 1)
    ).rowcount
    if not claimed:
        return None
    counters = [job.c[state] for state in WorkOrderState]
    row = uow.connection.execute(
        select(
            job.c.tracking_number,
            job.c.run_no,
            job.c.cancel_requested,
            customer.c.name,
            job.c.account_number,
            job.c.operator_login,
            job.c.reason,
            job.c.submitted_at,
            job.c.started_at,
            *counters,
        ).where(job.c.id == job_id, customer.c.id == job.c.customer_id)
    ).one()
    return FinishingJob(
        job_id=job_id,
        tracking_number=row.tracking_number,
        run_no=row.run_no,
        cancel_requested=row.cancel_requested,
        customer=row.name,
        account_number=row.account_number,
        operator=row.operator_login,
        reason=row.reason,
        counts={state: row._mapping[job.c[state]] for state in WorkOrderState},
        submitted_at=row.submitted_at,
        started_at=row.started_at,
    )


def counts_of_rows(uow: UnitOfWork, job_id: int) -> dict[WorkOrderState, int]:
    """Work orders of the job in each state, counted."""
    rows = uow.connection.execute(select(_wo.state, func.count()).where(_wo.job_id == job_id).group_by(_wo.state))
    return {WorkOrderState(state): count for state, count in rows}


def step_counts(uow: UnitOfWork, job_id: int) -> tuple[dict[tuple[Step, StepState], int], int]:
    """How many steps of the job stand in each state, and how many POSTs were intended in all."""
    step = work_order_step.c
    rows = uow.connection.execute(
        select(step.step, step.state, func.count(), func.sum(step.attempts), func.count(step.intent_at))
        .where(step.work_order_id == _wo.id, _wo.job_id == job_id)
        .group_by(step.step, step.state)
    )
    counts: dict[tuple[Step, StepState], int] = {}
    calls = 0
    for name, state, count, attempts, intents in rows:
        counts[Step(name), StepState(state)] = count
        calls += int(attempts) if intents else 0
    return counts, calls


def ended_before(uow: UnitOfWork, job_id: int, begun_at: datetime) -> int:
    """How many work orders of the job, the rejected ones not counted, ended before an instant: in an earlier run."""
    return int(
        uow.connection.execute(
            select(func.count()).where(
                _wo.job_id == job_id, _wo.state != WorkOrderState.REJECTED, _wo.completed_at < begun_at
            )
        ).scalar_one()
    )


def cause_counts(uow: UnitOfWork, job_id: int) -> list[tuple[WorkOrderState, str, str, int]]:
    """Why work orders of the job did not succeed: state, error code, what to do, how many."""
    rows = uow.connection.execute(
        select(_wo.state, _wo.error_code, func.max(_wo.what_to_do), func.count())
        .where(_wo.job_id == job_id, _wo.state != WorkOrderState.SUCCEEDED)
        .group_by(_wo.state, _wo.error_code)
    )
    return [(WorkOrderState(state), code or "", what_to_do or "", count) for state, code, what_to_do, count in rows]


def end_job(uow: UnitOfWork, job_id: int, state: JobState, statistics: Mapping[str, Any]) -> None:
    """The last transition: finishing → final. The row is locked by :func:`begin_finishing`."""
    uow.connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state == JobState.FINISHING)
        .values(state=state, statistics=dict(statistics), finished_at=uow.now())
    )


def write_log(
    uow: UnitOfWork,
    job_id: int,
    run_no: int,
    event: str,
    message: str,
    *,
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """One line in the job's log. ``level``: info, warning, error."""
    uow.connection.execute(
        insert(job_log).values(
            job_id=job_id,
            run_no=run_no,
            at=uow.now(),
            level=level,
            event=event,
            message=message[:400],
            data=None if data is None else dict(data),
        )
    )


def add_event(uow: UnitOfWork, job_id: int, run_no: int, event_id: str, payload: Mapping[str, Any]) -> None:
    """A notification in the outbox, due at once. The event id tells the receiver what it has seen."""
    now = uow.now()
    uow.connection.execute(
        insert(outbox_event).values(
            event_id=event_id,
            job_id=job_id,
            run_no=run_no,
            payload=dict(payload),
            state="pending",
            next_attempt_at=now,
            created_at=now,
        )
    )


def correct_counters(uow: UnitOfWork, job_id: int, counts: Mapping[WorkOrderState, int]) -> None:
    """Sets the job's counters to what was counted."""
    uow.connection.execute(
        update(job).where(job.c.id == job_id).values({job.c[state]: counts.get(state, 0) for state in WorkOrderState})
    )
