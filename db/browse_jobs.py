"""Jobs and their work orders as a person looks at them: lists, details, causes, and what changed lately.

Everything here only reads. What may be seen is what belongs to customers that the operator may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select
from sqlalchemy.sql.elements import UnaryExpression

from db import outbox
from db.dialects import whole_seconds
from db.open_jobs import IS_OPEN
from db.operators import sees
from db.schema import (
    billing_service,
    customer,
    job,
    job_log,
    rate_plan,
    service_provider,
    site,
    work_order,
    work_order_step,
)
from db.searching import contains
from db.types import UtcDateTime
from db.work import is_state
from desktop_app.association.facts import OperatorRights
from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Stands first among what needs attention: billing charges for a device that is not the customer's yet.
BILLED_NOT_ASSOCIATED = "BILLED_NOT_ASSOCIATED"

_FINAL = tuple(sorted(state.value for state in FINAL_JOBS))
_COUNTERS = (
    "total", "rejected", "queued", "running", "waiting_retry", "outcome_unknown", "succeeded", "failed", "cancelled",
)  # fmt: skip

#: Built once: it is read many times a second.
_ACTIVE_SUMS = select(func.count(), *(func.coalesce(func.sum(job.c[name]), 0) for name in _COUNTERS)).where(IS_OPEN)


class JobRecord(NamedTuple):
    """One job."""

    job_id: int
    tracking_number: str
    state: str
    pause_cause: str | None
    pause_reason: str | None
    run_no: int
    customer_id: int
    customer: str
    account_number: str | None
    site: str | None
    instructions: Any
    counts: tuple[int, ...]  #: in the order of the table's counters: total, rejected, queued, … cancelled
    operator_login: str
    reason: str
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    needs_attention: bool
    changed_at: datetime
    revision: int
    statistics: Any
    resume_at: datetime | None
    asks_at: datetime | None  #: the first instant at which billing is asked about an unknown outcome
    retries_at: datetime | None  #: the first instant at which a device that waits is tried again
    undecided: int  #: unknown outcomes that a person must decide
    not_announced: bool  #: nobody took the notification of its last end, and it is not sent any more


class OutcomeRecord(NamedTuple):
    """How many work orders of a job reached one final state within one slot of time."""

    slot: int  #: from 0
    state: str
    devices: int


class DeviceWorkOrderRecord(NamedTuple):
    """One work order of a device, with what is told of its job."""

    tracking_number: str
    line: int
    state: str
    customer: str
    instructions: Any
    operator_login: str
    error_kind: str | None
    error_code: str | None
    error_message: str | None
    what_to_do: str | None
    submitted_at: datetime
    completed_at: datetime | None


class CauseRecord(NamedTuple):
    """Work orders of one job with the same state and error."""

    state: str
    code: str
    kind: str | None
    message: str  #: of one of them
    what_to_do: str
    devices: int
    undecided: int  #: of unknown outcomes: those that a person must decide
    with_device: int  #: those of which a device was found


class JobLogRecord(NamedTuple):
    """One line of a job's log."""

    at: datetime
    run_no: int
    level: str
    event: str
    message: str


class WorkOrderRecord(NamedTuple):
    """One work order, with the names of what it refers to."""

    work_order_id: int
    line: int
    asked_for: str
    device_id: int | None
    state: str
    service_provider: str | None
    iccid: str
    imei: str | None
    msisdn: str | None
    eid: str | None
    effective_date: date | None
    ownership_action: str | None
    billing_action: str | None
    billing_service_id: str | None
    carrier_rate_plan: str | None
    attempts: int
    next_attempt_at: datetime | None
    check_at: datetime | None
    error_kind: str | None
    error_code: str | None
    error_message: str | None
    what_to_do: str | None
    billing_answer: str | None
    started_at: datetime | None
    completed_at: datetime | None


class StepRecord(NamedTuple):
    """One step of a work order."""

    work_order_id: int
    step: str
    state: str
    attempts: int
    reference: str | None
    billing_id: str | None
    http_status: int | None
    answer: str | None
    intent_at: datetime | None
    finished_at: datetime | None


# --- jobs ------------------------------------------------------------------------------------------------------------


def jobs(uow: UnitOfWork, rights: OperatorRights, which: str, text: str, limit: int, offset: int) -> list[JobRecord]:
    """Jobs, newest first; of those that need attention the ones that are billed but not associated come first.

    Args:
        which: ``all``, ``active``, ``attention`` or ``finished``.
        text: searched in tracking number and customer's name; "": every job.
    """
    statement = _jobs().where(sees(rights, job.c.customer_id), _which(which)).limit(limit).offset(offset)
    if text.strip():
        statement = statement.where(
            or_(
                contains(job.c.tracking_number, text.strip().upper()), contains(customer.c.search_name, text.casefold())
            )
        )
    newest: list[UnaryExpression[Any]] = [job.c.submitted_at.desc(), job.c.id.desc()]
    if which == "attention":
        newest.insert(0, case((_has_work_orders(work_order.c.error_code == BILLED_NOT_ASSOCIATED), 1), else_=0).desc())
    return _job_records(uow, statement.order_by(*newest))


def job_counts(uow: UnitOfWork, rights: OperatorRights) -> dict[str, int]:
    """How many jobs each of ``all``, ``active``, ``attention`` and ``finished`` shows."""
    names = ("all", "active", "attention", "finished")
    # SQL Server sums up no subquery: which job is in what is told first.
    told = (
        select(*(case((_which(name), 1), else_=0).label(f"in_{name}") for name in names))
        .select_from(job)
        .where(sees(rights, job.c.customer_id))
        .subquery()
    )
    row = uow.connection.execute(select(*(func.coalesce(func.sum(column), 0) for column in told.c))).one()
    return {name: int(count) for name, count in zip(names, row, strict=True)}


def find_job(uow: UnitOfWork, rights: OperatorRights, tracking_number: str) -> JobRecord | None:
    """The job of this tracking number; None where there is none, or it may not be seen."""
    found = _job_records(uow, _jobs().where(job.c.tracking_number == tracking_number, sees(rights, job.c.customer_id)))
    return found[0] if found else None


def finished_jobs(
    uow: UnitOfWork,
    rights: OperatorRights,
    *,
    text: str = "",
    device_ids: Sequence[int] | None = None,
    customer_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    operator_login: str = "",
    before: str | None = None,
    limit: int = 200,
) -> list[JobRecord]:
    """Jobs that are over, the last finished first.

    Args:
        text: searched in tracking number and customer's name; "": every job.
        device_ids: only jobs about one of these devices; None: about any.
        since, until: instants of their end, ``until`` not included.
        before: only those behind the job of this tracking number: the last one of the page before.
    """
    statement = _jobs().where(sees(rights, job.c.customer_id), job.c.state.in_(_FINAL))
    if text.strip():
        statement = statement.where(
            or_(
                contains(job.c.tracking_number, text.strip().upper()),
                contains(customer.c.search_name, text.strip().casefold()),
            )
        )
    if device_ids is not None:
        about = select(work_order.c.job_id).where(work_order.c.device_id.in_(list(device_ids)))
        statement = statement.where(job.c.id.in_(about))
    if customer_id is not None:
        statement = statement.where(job.c.customer_id == customer_id)
    if since is not None:
        statement = statement.where(job.c.finished_at >= since)
    if until is not None:
        statement = statement.where(job.c.finished_at < until)
    if operator_login:
        statement = statement.where(job.c.operator_login == operator_login)
    if before is not None:
        last = uow.connection.execute(
            select(job.c.finished_at, job.c.id).where(job.c.tracking_number == before)
        ).one_or_none()
        if last is None or last.finished_at is None:
            return []  # it was reopened meanwhile: whoever asks reads the list again
        # The first condition is what an index is read by; several jobs may have the same instant.
        statement = statement.where(
            job.c.finished_at <= last.finished_at, or_(job.c.finished_at < last.finished_at, job.c.id < last.id)
        )
    return _job_records(uow, statement.order_by(job.c.finished_at.desc(), job.c.id.desc()).limit(limit))


def jobs_changed_since(uow: UnitOfWork, rights: OperatorRights, since: datetime) -> list[JobRecord]:
    """Jobs that changed at ``since`` or later, the last changed last."""
    return _job_records(
        uow, _jobs().where(job.c.changed_at >= since, sees(rights, job.c.customer_id)).order_by(job.c.changed_at)
    )


def job_revisions_since(uow: UnitOfWork, rights: OperatorRights, since: datetime) -> dict[str, int]:
    """Revision by tracking number of the jobs that changed at ``since`` or later."""
    rows = uow.connection.execute(
        select(job.c.tracking_number, job.c.revision).where(job.c.changed_at >= since, sees(rights, job.c.customer_id))
    )
    return dict(rows.all())


def active_sums(uow: UnitOfWork, rights: OperatorRights) -> tuple[int, tuple[int, ...]]:
    """How many jobs are not final, and their counters summed (in the order of :class:`JobRecord`)."""
    row = uow.connection.execute(_ACTIVE_SUMS.where(sees(rights, job.c.customer_id))).one()
    return int(row[0]), tuple(int(value) for value in row[1:])


def causes(uow: UnitOfWork, job_id: int) -> list[CauseRecord]:
    """What the job's work orders failed, were rejected or wait for, by cause; the most frequent first."""
    unknown = WorkOrderState.OUTCOME_UNKNOWN.value
    rows = uow.connection.execute(
        select(
            work_order.c.state,
            work_order.c.error_code,
            func.min(work_order.c.error_kind),
            func.min(work_order.c.error_message),
            func.min(work_order.c.what_to_do),
            func.count(),
            func.sum(case((and_(work_order.c.state == unknown, work_order.c.check_at.is_(None)), 1), else_=0)),
            func.count(work_order.c.device_id),
        )
        .where(
            work_order.c.job_id == job_id,
            work_order.c.error_code.is_not(None),
            work_order.c.state.in_(
                [
                    WorkOrderState.REJECTED.value,
                    WorkOrderState.FAILED.value,
                    WorkOrderState.WAITING_RETRY.value,
                    WorkOrderState.OUTCOME_UNKNOWN.value,
                ]
            ),
        )
        .group_by(work_order.c.state, work_order.c.error_code)
    )
    records = [
        CauseRecord(state, code, kind, text or "", to_do or "", count, undecided, with_device)
        for state, code, kind, text, to_do, count, undecided, with_device in rows
    ]
    return sorted(records, key=lambda cause: (cause.code != BILLED_NOT_ASSOCIATED, -cause.devices, cause.code))


def job_log_of(uow: UnitOfWork, job_id: int, limit: int = 500) -> list[JobLogRecord]:
    """The last lines of the job's log, oldest first."""
    rows = uow.connection.execute(
        select(job_log.c.at, job_log.c.run_no, job_log.c.level, job_log.c.event, job_log.c.message)
        .where(job_log.c.job_id == job_id)
        .order_by(job_log.c.id.desc())
        .limit(limit)
    ).all()
    return [JobLogRecord._make(row) for row in reversed(rows)]


def outcomes(uow: UnitOfWork, job_id: int, begun_at: datetime, slot_s: int) -> list[OutcomeRecord]:
    """How many of the job's work orders reached a final state when; what was done before ``begun_at`` is left out.

    Args:
        begun_at: when the first slot begins.
        slot_s: seconds of a slot.
    """
    seconds = whole_seconds(literal(begun_at, UtcDateTime()), work_order.c.completed_at)
    states = [state.value for state in (WorkOrderState.SUCCEEDED, WorkOrderState.FAILED, WorkOrderState.CANCELLED)]
    ended = (
        select((seconds // slot_s).label("slot"), work_order.c.state)
        .where(work_order.c.job_id == job_id, work_order.c.state.in_(states), work_order.c.completed_at >= begun_at)
        .subquery()
    )
    rows = uow.connection.execute(
        select(ended.c.slot, ended.c.state, func.count()).group_by(ended.c.slot, ended.c.state)
    )
    return [OutcomeRecord(int(slot), state, count) for slot, state, count in rows]


# --- work orders -----------------------------------------------------------------------------------------------------


def work_orders(
    uow: UnitOfWork,
    job_id: int,
    *,
    states: Sequence[str] = (),
    error_code: str = "",
    after_line: int = 0,
    limit: int = 500,
    offset: int = 0,
) -> list[WorkOrderRecord]:
    """Work orders of a job by line.

    Args:
        states: only these; empty: all.
        error_code: only with this error.
        after_line: only lines after this one; the cheap way to read page after page.
        offset: how many of them are left out.
    """
    statement = _work_orders().where(work_order.c.job_id == job_id).order_by(work_order.c.line).limit(limit)
    if offset:
        statement = statement.offset(offset)
    if after_line:
        statement = statement.where(work_order.c.line > after_line)
    if states:
        statement = statement.where(work_order.c.state.in_(list(states)))
    if error_code:
        statement = statement.where(work_order.c.error_code == error_code)
    return [WorkOrderRecord._make(row) for row in uow.connection.execute(statement)]


def work_order_by_line(uow: UnitOfWork, job_id: int, line: int) -> WorkOrderRecord | None:
    """One work order of a job, or None."""
    row = uow.connection.execute(
        _work_orders().where(work_order.c.job_id == job_id, work_order.c.line == line)
    ).one_or_none()
    return None if row is None else WorkOrderRecord._make(row)


def work_order_lines_of(uow: UnitOfWork, job_id: int, iccid: str) -> list[WorkOrderRecord]:
    """The work orders of a job that are for this ICCID."""
    rows = uow.connection.execute(
        _work_orders().where(work_order.c.job_id == job_id, work_order.c.iccid == iccid).order_by(work_order.c.line)
    )
    return [WorkOrderRecord._make(row) for row in rows]


def work_orders_of_device(
    uow: UnitOfWork, rights: OperatorRights, device_id: int, limit: int = 200
) -> list[DeviceWorkOrderRecord]:
    """The device's work orders of all jobs, the newest first."""
    rows = uow.connection.execute(
        select(
            job.c.tracking_number,
            work_order.c.line,
            work_order.c.state,
            customer.c.name,
            job.c.instructions,
            job.c.operator_login,
            work_order.c.error_kind,
            work_order.c.error_code,
            work_order.c.error_message,
            work_order.c.what_to_do,
            job.c.submitted_at,
            work_order.c.completed_at,
        )
        .select_from(
            work_order.join(job, job.c.id == work_order.c.job_id).join(customer, customer.c.id == job.c.customer_id)
        )
        .where(work_order.c.device_id == device_id, sees(rights, job.c.customer_id))
        .order_by(work_order.c.id.desc())
        .limit(limit)
    )
    return [DeviceWorkOrderRecord._make(row) for row in rows]


def steps_between(uow: UnitOfWork, job_id: int, first_line: int, last_line: int) -> dict[int, list[StepRecord]]:
    """The steps of the job's work orders of these lines (both included), by work order."""
    rows = uow.connection.execute(
        select(
            work_order_step.c.work_order_id,
            work_order_step.c.step,
            work_order_step.c.state,
            work_order_step.c.attempts,
            work_order_step.c.reference,
            work_order_step.c.billing_id,
            work_order_step.c.http_status,
            work_order_step.c.answer,
            work_order_step.c.intent_at,
            work_order_step.c.finished_at,
        )
        .select_from(work_order.join(work_order_step, work_order_step.c.work_order_id == work_order.c.id))
        .where(work_order.c.job_id == job_id, work_order.c.line.between(first_line, last_line))
    )
    steps: dict[int, list[StepRecord]] = {}
    for row in rows:
        steps.setdefault(row[0], []).append(StepRecord._make(row))
    return steps


# --- how they are read -----------------------------------------------------------------------------------------------


def _which(which: str) -> ColumnElement[bool]:
    if which == "active":
        return IS_OPEN
    if which == "finished":
        return job.c.state.in_(_FINAL)
    if which == "attention":
        return _needs_attention()
    return job.c.id.is_not(None)


def _needs_attention() -> ColumnElement[bool]:
    """Failed devices, unknown outcomes that wait for a person, paused by itself, or not announced."""
    by_itself = [PauseCause.ENVIRONMENT.value, PauseCause.QUOTA.value, PauseCause.THRESHOLD.value]
    waits_for_a_person = _has_work_orders(
        and_(work_order.c.state == WorkOrderState.OUTCOME_UNKNOWN.value, work_order.c.check_at.is_(None))
    )
    return or_(
        job.c.failed > 0,
        and_(job.c.state == JobState.PAUSED.value, job.c.pause_cause.in_(by_itself)),
        and_(job.c.outcome_unknown > 0, waits_for_a_person),
        # Few notifications are ever given up: which ones is read once, and not asked of each job.
        and_(job.c.id.in_(outbox.jobs_with_a_dead_one()), outbox.is_given_up()),
    )


def _has_work_orders(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(work_order.c.job_id == job.c.id, condition)


def _jobs() -> Select[Any]:
    return select(
        job.c.id,
        job.c.tracking_number,
        job.c.state,
        job.c.pause_cause,
        job.c.pause_reason,
        job.c.run_no,
        job.c.customer_id,
        customer.c.name,
        job.c.account_number,
        site.c.name,
        job.c.instructions,
        *(job.c[name] for name in _COUNTERS),
        job.c.operator_login,
        job.c.reason,
        job.c.submitted_at,
        job.c.started_at,
        job.c.finished_at,
        case((_needs_attention(), 1), else_=0),
        job.c.changed_at,
        job.c.revision,
        job.c.statistics,
        job.c.resume_at,
        _where_any(job.c.outcome_unknown, func.min(work_order.c.check_at), WorkOrderState.OUTCOME_UNKNOWN),
        _where_any(job.c.waiting_retry, func.min(work_order.c.next_attempt_at), WorkOrderState.WAITING_RETRY),
        func.coalesce(
            _where_any(
                job.c.outcome_unknown, func.count(), WorkOrderState.OUTCOME_UNKNOWN, work_order.c.check_at.is_(None)
            ),
            0,
        ),
        case((outbox.is_given_up(), 1), else_=0),
    ).select_from(job.join(customer, customer.c.id == job.c.customer_id).outerjoin(site, site.c.id == job.c.site_id))


def _where_any(
    counter: ColumnElement[int], what: ColumnElement[Any], state: WorkOrderState, *conditions: ColumnElement[bool]
) -> ColumnElement[Any]:
    """Something about the job's work orders in a state; the counter saves looking for them where there are none."""
    found = select(what).where(work_order.c.job_id == job.c.id, is_state(work_order.c.state, state.value), *conditions)
    return case((counter > 0, found.scalar_subquery()))


def _job_records(uow: UnitOfWork, statement: Select[Any]) -> list[JobRecord]:
    first, last = 11, 11 + len(_COUNTERS)
    return [
        JobRecord._make(
            (
                *row[:first],
                tuple(row[first:last]),
                *row[last : last + 5],
                bool(row[last + 5]),
                *row[last + 6 : -1],
                bool(row[-1]),
            )
        )
        for row in uow.connection.execute(statement)
    ]


def _work_orders() -> Select[Any]:
    return select(
        work_order.c.id,
        work_order.c.line,
        work_order.c.asked_for,
        work_order.c.device_id,
        work_order.c.state,
        service_provider.c.code,
        work_order.c.iccid,
        work_order.c.imei,
        work_order.c.msisdn,
        work_order.c.eid,
        work_order.c.effective_date,
        work_order.c.ownership_action,
        work_order.c.billing_action,
        billing_service.c.service_id,
        rate_plan.c.code,
        work_order.c.attempts,
        work_order.c.next_attempt_at,
        work_order.c.check_at,
        work_order.c.error_kind,
        work_order.c.error_code,
        work_order.c.error_message,
        work_order.c.what_to_do,
        work_order.c.billing_answer,
        work_order.c.started_at,
        work_order.c.completed_at,
    ).select_from(
        work_order.outerjoin(service_provider, service_provider.c.id == work_order.c.service_provider_id)
        .outerjoin(rate_plan, rate_plan.c.id == work_order.c.carrier_rate_plan_id)
        .outerjoin(billing_service, billing_service.c.id == work_order.c.billing_service_id)
    )
