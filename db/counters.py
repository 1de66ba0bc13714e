"""The counters of jobs: work orders in each state. They change last in each transaction, and equal the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Update, and_, bindparam, case, false, func, or_, select, update

from db.dialects import is_among, is_any_of
from db.finishing import write_log
from db.open_jobs import IS_OPEN
from db.schema import job, work_order
from db.work import parts
from desktop_app.association.states import (
    JobState,
    PauseCause,
    WorkOrderState,
    jobs_before,
    work_order_may_become,
)

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class Counters:
    """How many work orders of each job changed from which state to which, in one unit of work."""

    def __init__(self) -> None:
        self._changes: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._turns: set[int] = set()
        self._progressed: set[int] = set()

    def moved(self, job_id: int, before: WorkOrderState, after: WorkOrderState, count: int = 1) -> None:
        """``count`` work orders of the job changed their state.

        Raises:
            ValueError: the table of transitions does not have this one; the unit of work must not be committed.
        """
        if not work_order_may_become(before, after):
            raise ValueError(f"A work order may not go from {before} to {after}.")
        change = self._changes[job_id]
        change[before] -= count
        change[after] += count

    def took_turn(self, job_id: int) -> None:
        """The job had its turn: others come first now."""
        self._turns.add(job_id)
        _ = self._changes[job_id]

    def will_change(self, job_ids: Iterable[int]) -> None:
        """Something else is written of these jobs after the counters: their rows are locked in the same order."""
        for job_id in job_ids:
            _ = self._changes[job_id]

    def progressed(self, job_id: int) -> None:
        """Billing did something for the job: its next pause begins with a short one."""
        self._progressed.add(job_id)
        _ = self._changes[job_id]

    @property
    def jobs(self) -> list[int]:
        """The jobs that changed, ascending."""
        return sorted(self._changes)

    def write(self, uow: UnitOfWork) -> int:
        """Writes the counters, and sends jobs without an open work order on to be finished. The last thing written.

        Returns:
            How many jobs have to be finished now.
        """
        now, changed_at = uow.now(), uow.latest()
        for job_id in self.jobs:
            by = {_BY.format(state): count for state, count in self._changes[job_id].items() if count}
            statement = _written(frozenset(by), job_id in self._progressed, job_id in self._turns)
            uow.connection.execute(statement, {"of_job": job_id, "now": now, "changed_at": changed_at, **by})
        to_finish = send_to_finishing(uow, self.jobs)
        for job_id in self.jobs:
            change = self._changes[job_id]
            failed = change[WorkOrderState.FAILED]
            if failed > 0:
                _pause_over_threshold(uow, job_id, failed, failed + change[WorkOrderState.SUCCEEDED])
        return to_finish


#: The parameter by which the counter of a state changes.
_BY = "{}_by"


@lru_cache(maxsize=256)
def _written(changed: frozenset[str], progressed: bool, had_turn: bool) -> Update:
    """The statement that writes the counters of one job, built once for each kind of change.

    Args:
        changed: names of the parameters that change a counter.
    """
    values: dict[str, Any] = {}
    for state in WorkOrderState:
        if (name := _BY.format(state)) in changed:
            values[state] = job.c[state] + bindparam(name, type_=job.c[state].type)
    now = bindparam("now", type_=job.c.turn_at.type)
    if progressed:
        values["resume_attempts"] = 0
    if had_turn:
        values["turn_at"] = now
        values["started_at"] = func.coalesce(job.c.started_at, now)
        values["state"] = case((job.c.state == "queued", "running"), else_=job.c.state)
    return (
        update(job)
        .where(job.c.id == bindparam("of_job"))
        .values(**values, changed_at=bindparam("changed_at", type_=now.type), revision=job.c.revision + 1)
    )


def _pause_over_threshold(uow: UnitOfWork, job_id: int, failed: int, done: int) -> None:
    """Pauses a job that just went over the installation's threshold, before one wrong plan fails ten thousand devices.

    Only where it was not over it before: a person who resumes it has decided, and is not asked again. A job that is
    paused already (calls in flight ended meanwhile) is from now on paused for this: otherwise it would go on by itself,
    and nobody would ever have been asked. A cancelled one begins nothing more anyway.

    Args:
        failed, done: devices that failed, and that were finished at all, in this unit of work.
    """
    settings = uow.settings()
    percent, least = settings.abort_failed_percent, settings.abort_least_done
    all_done = job.c.succeeded + job.c.failed
    is_open = job.c.queued + job.c.running + job.c.waiting_retry + job.c.outcome_unknown > 0
    was_below = or_(
        all_done - done < least,
        (job.c.failed - failed) * 100 <= (all_done - done) * percent,
    )
    paused = uow.connection.execute(
        update(job)
        .where(
            job.c.id == job_id, job.c.state.in_((*jobs_before(JobState.PAUSED), JobState.PAUSED)),
            job.c.cancel_requested == false(), is_open, all_done >= least, job.c.failed * 100 > all_done * percent,
            was_below,
        )
        .values(state=JobState.PAUSED, pause_cause=PauseCause.THRESHOLD, resume_at=None)
    ).rowcount  # fmt: skip
    if not paused:
        return
    row = uow.connection.execute(select(job.c.run_no, job.c.failed, all_done).where(job.c.id == job_id)).one()
    causes = uow.connection.execute(
        select(work_order.c.error_code, func.count())
        .where(work_order.c.job_id == job_id, work_order.c.state == WorkOrderState.FAILED)
        .group_by(work_order.c.error_code)
        .order_by(func.count().desc(), work_order.c.error_code)
        .limit(3)
    )
    reason = (
        f"{row.failed:,} of {row[2]:,} finished devices failed, more than {percent} %: "
        f"{', '.join(f'{code} {count:,}' for code, count in causes)}. Correct the cause, then resume or cancel the job."
    )
    uow.connection.execute(update(job).where(job.c.id == job_id).values(pause_reason=reason[:400]))
    write_log(uow, job_id, row.run_no, "paused", f"Paused by itself: {reason}", level="warning")


def _nothing_open() -> ColumnElement[bool]:
    return and_(
        IS_OPEN,
        is_any_of(job.c.state, *jobs_before(JobState.FINISHING)),
        job.c.queued == 0,
        job.c.running == 0,
        job.c.waiting_retry == 0,
        job.c.outcome_unknown == 0,
    )


def any_to_finish(uow: UnitOfWork) -> bool:
    """Whether a job waits to be finished; also one of which nothing could ever run."""
    waiting = select(job.c.id).where(IS_OPEN, or_(job.c.state == JobState.FINISHING, _nothing_open())).limit(1)
    return uow.connection.execute(waiting).first() is not None


def send_to_finishing(uow: UnitOfWork, job_ids: Sequence[int] | None = None) -> int:
    """Jobs of which every work order is final go on to be finished.

    Args:
        job_ids: only these are looked at; None: all (a job of which nothing could ever run).

    Returns:
        How many.
    """
    if job_ids is None:
        return uow.connection.execute(_SEND_TO_FINISHING, {"now": uow.now()}).rowcount
    return sum(uow.connection.execute(_SEND_THOSE, {"now": uow.now(), "ids": part}).rowcount for part in parts(job_ids))


_SEND_TO_FINISHING = (
    update(job)
    .where(_nothing_open())
    .values(
        state=JobState.FINISHING,
        pause_cause=None,
        pause_reason=None,
        resume_at=None,
        changed_at=bindparam("now", type_=job.c.changed_at.type),
        revision=job.c.revision + 1,
    )
)
_SEND_THOSE = _SEND_TO_FINISHING.where(is_among(job.c.id, "ids"))
