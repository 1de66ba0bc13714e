"""After a backup was put in the place of the database: what was done at billing since then is asked for, not repeated.

A backup knows nothing of what came after it. What is open in it may have been ordered meanwhile, under the references
that it holds: these are made when a job is submitted and stay the same, so that one search tells. What is retried in
jobs of the backup may have been retried before, so every step of theirs is looked up before its first POST from now on
(:func:`is_from_before`), and none is retried before billing's search can be trusted (:func:`not_found_before`): what
was ordered just before the damage is not in it yet. Jobs that were submitted after the backup are gone: only
``reconcile`` finds what they made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, exists, func, insert, literal, not_, select, update

from db import installation
from db.counters import Counters
from db.dialects import backup_is_told
from db.finishing import write_log
from db.open_jobs import IS_OPEN
from db.schema import installation_setting, job, work_order, work_order_step
from db.submission import Submission
from desktop_app.association.errors import ErrorKind, Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.states import (
    BILLING_STEPS,
    OPEN_WORK_ORDERS,
    JobState,
    Step,
    StepState,
    WorkOrderState,
)

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: The last restored backup stands among the installation's settings, under a name that no setting has: in which minute
#: (since :data:`_MINUTES_FROM`; a later one where that was taken) and since when this one is in its place.
_MARK = "restored"
#: Until when billing's search may not show yet what was ordered before it was put in its place; as ISO text.
_ASKED_IN_VAIN_UNTIL = "restored.until"
_MINUTES_FROM = datetime(2026, 1, 1, tzinfo=UTC)
#: For each minute there are so many tracking numbers of the day and runs of a job: nobody submits so many jobs in one,
#: or retries one so often. The minute is in both, since what a backup knows is the same whenever it is put in place.
_NUMBERS, _RUNS = 1_000, 10
#: What a lease is moved on by: an engine that was left running holds none that could be given again.
_EPOCHS = 1_000

_ASKED = Problem(
    "BILLING_OUTCOME_UNKNOWN",
    "The database is a restored backup; billing may have acted for this device since it was made.",
    "Nothing to do now: billing is asked by itself as soon as its search can be trusted.",
    ErrorKind.UNKNOWN,
)
_WAITS = Problem(
    "DATABASE_RESTORED",
    "The database is a restored backup; what comes next for this device may be at billing already.",
    "Nothing to do now: it goes on by itself, and billing is asked first.",
    ErrorKind.TRANSIENT,
)

_wo, _step, _setting = work_order.c, work_order_step.c, installation_setting.c


@dataclass(frozen=True, slots=True)
class AfterRestore:
    """What was done.

    Attributes:
        jobs: jobs that were open in the backup, by tracking number.
        asked: work orders of which billing is asked whether it has what they were about to order.
        waits: work orders that go on after the same time; what is next for them is looked up first.
        last_number: tracking numbers of today go on behind it.
    """

    jobs: tuple[str, ...]
    asked: int
    waits: int
    last_number: str


def after_restore(uow: UnitOfWork, settle: timedelta, by: str) -> AfterRestore:
    """Makes what is open wait until billing can be asked for it, and moves numbers on, so that none is given twice.

    It may be done again: work orders are then as before but for how long they wait, and numbers move on further.

    Args:
        settle: how long after a POST billing's search can be trusted.
        by: who does it, for the jobs' logs.
    """
    counters = Counters()
    backup_is_told(uow.connection)
    _open_what_is_next(uow)
    at = uow.now() + settle
    is_unknown = _has_step(_step.state == StepState.UNKNOWN)
    asked = _park(uow, counters, WorkOrderState.OUTCOME_UNKNOWN, _ASKED, is_unknown, check_at=at, next_attempt_at=None)
    waits = _park(
        uow, counters, WorkOrderState.WAITING_RETRY, _WAITS, not_(is_unknown), check_at=None, next_attempt_at=at
    )
    last_number = Submission(uow).move_on_tracking_numbers(_NUMBERS)
    _mark(uow, at)
    jobs = _move_on_runs(uow, by)
    counters.write(uow)
    return AfterRestore(jobs, asked, waits, last_number)


def is_from_before(uow: UnitOfWork, job_id: int) -> bool:
    """Whether the job comes from a restored backup: what it is about to order may be at billing already."""
    found = select(job.c.id).where(
        job.c.id == job_id, exists().where(_setting.name == _MARK, _setting.changed_at >= job.c.submitted_at)
    )
    return uow.connection.execute(found).first() is not None


def not_found_before(uow: UnitOfWork, job_id: int) -> datetime | None:
    """Until when nothing more may be ordered for a job of a restored backup; None: it may.

    What was ordered just before the damage is not in billing's search until then: that nothing is found says nothing.
    """
    if not is_from_before(uow, job_id):
        return None
    value = uow.connection.scalar(select(_setting.value).where(_setting.name == _ASKED_IN_VAIN_UNTIL))
    until = None if value is None else datetime.fromisoformat(value)
    return until if until is not None and until > uow.now() else None


def next_run(uow: UnitOfWork, run_no: int) -> int:
    """The number of a job's next run: never given before, even after the backup was made.

    Args:
        run_no: of its present one.
    """
    return max(run_no + 1, _first_run(uow))


# --- work orders -----------------------------------------------------------------------------------------------------


def _is_open_at_billing() -> ColumnElement[bool]:
    return _wo.state.in_(sorted(OPEN_WORK_ORDERS)) & _wo.billing_action.in_((BillingAction.CREATE, BillingAction.KEEP))


def _has_step(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(_step.work_order_id == _wo.id, *conditions)


def _open_what_is_next(uow: UnitOfWork) -> None:
    """Every billing step that was begun and is not settled, and each service that was not begun, may be done by now.

    A product that was not begun has no row: it is looked up before its first POST (:func:`is_from_before`).
    """
    now = uow.now()
    uow.connection.execute(
        update(work_order_step)
        .where(
            _step.step.in_(BILLING_STEPS),
            _step.state.in_((StepState.INTENT, StepState.UNKNOWN, StepState.NOT_SENT, StepState.REFUSED)),
            exists().where(_wo.id == _step.work_order_id, _is_open_at_billing()),
        )
        .values(state=StepState.UNKNOWN, intent_at=func.coalesce(_step.intent_at, now), finished_at=None)
    )
    service = Step.BILLING_SERVICE
    not_begun = select(
        _wo.id,
        literal(service.value),
        literal(StepState.UNKNOWN.value),
        _wo.reference,
        literal(0),
        _wo.lease_epoch,
        literal(now, _step.intent_at.type),
    ).where(_is_open_at_billing(), _wo.billing_action == BillingAction.CREATE, not_(_has_step(_step.step == service)))
    columns = ["work_order_id", "step", "state", "reference", "attempts", "lease_epoch", "intent_at"]
    uow.connection.execute(insert(work_order_step).from_select(columns, not_begun))


def _park(
    uow: UnitOfWork,
    counters: Counters,
    state: WorkOrderState,
    problem: Problem,
    condition: ColumnElement[bool],
    **until: datetime | None,
) -> int:
    """Puts open work orders into a state in which they wait; how many."""
    which = (_is_open_at_billing(), condition)
    counts = uow.connection.execute(
        select(_wo.job_id, _wo.state, func.count()).where(*which).group_by(_wo.job_id, _wo.state)
    )
    for job_id, was, count in counts.all():
        if was != state:
            counters.moved(job_id, WorkOrderState(was), state, count)
    return uow.connection.execute(
        update(work_order)
        .where(*which)
        .values(
            state=state, engine_id=None, lease_until=None, lease_epoch=_wo.lease_epoch + _EPOCHS, attempts=0,
            error_kind=problem.kind, error_code=problem.code, error_message=problem.message,
            what_to_do=problem.what_to_do, changed_at=uow.now(), revision=_wo.revision + 1, **until,
        )
    ).rowcount  # fmt: skip


# --- numbers ---------------------------------------------------------------------------------------------------------


def _mark(uow: UnitOfWork, until: datetime) -> None:
    minutes = (uow.now() - _MINUTES_FROM) // timedelta(minutes=1)
    minute = max((_first_run(uow) - 1) // _RUNS + 1, minutes)
    installation.put(uow, _MARK, str(minute))
    installation.put(uow, _ASKED_IN_VAIN_UNTIL, until.isoformat())


def _first_run(uow: UnitOfWork) -> int:
    """Runs that begin now have this number at the least."""
    minute = uow.connection.scalar(select(_setting.value).where(_setting.name == _MARK))
    return 1 if minute is None else int(minute) * _RUNS + 1


def _move_on_runs(uow: UnitOfWork, by: str) -> tuple[str, ...]:
    """The end of a run may have been announced since the backup was made: what is open ends in another one."""
    first = _first_run(uow)
    is_open = (IS_OPEN, job.c.state != JobState.FINISHING)
    rows = uow.connection.execute(select(job.c.id, job.c.tracking_number).where(*is_open).order_by(job.c.id)).all()
    uow.connection.execute(update(job).where(*is_open).values(run_no=first))
    for job_id, _number in rows:
        write_log(
            uow, job_id, first, "restored",
            f"The database was put back from a backup, says {by}: billing is asked before anything more is ordered.",
            level="warning",
        )  # fmt: skip
    return tuple(number for _job_id, number in rows)
