"""The queue: claiming work orders under a lease, and recording what became of them.

The database is the queue. Every change is a compare-and-set on state, lease holder and lease epoch: an engine whose
lease was taken over (a zombie) changes nothing. Locking hints only make it faster. Nothing here decides what an answer
means; that is done by pure functions, whose decisions are written down here in sets.

A caller writes in this order, so that two engines never wait for each other in a circle: work orders and what hangs on
them first, then claims, and the jobs' counters by ascending job; a pause of one of these jobs comes after them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)

from db.bulk import Row, insert_rows, update_rows
from db.dialects import is_among, is_any_of, locking
from db.open_jobs import IS_OPEN, is_open
from db.schema import billing_service, device_history, job, work_order, work_order_step
from desktop_app.association.errors import Problem
from desktop_app.association.states import FINAL_WORK_ORDERS, Step, StepState, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Work orders in one ``IN (…)``: SQL Server takes 2,100 parameters a statement.
MOST_IDS = 1_000

_wo = work_order.c


def is_state(column: ColumnElement[Any], state: str) -> ColumnElement[bool]:
    """``column = 'state'`` as literal text: a filtered index is not used for a bound value."""
    return column == literal_column(f"'{state}'", String)


def of_those(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """All of the conditions, tested on rows that something else has found: no index is gone into by them.

    Rows that are named by their handles are found by these. A planner that does not know how many of them are running
    would rather read all that are, with every version of them that nobody has swept away yet.
    """
    return case((and_(*conditions), 1), else_=0) == 1


def leads_to(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The handle in a row that is found already, which leads to another table's row, and never back from there."""
    return column + literal_column("0", column.type)


# --- jobs that have something to do ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job of which work orders may be claimed now.

    Attributes:
        job_id, tracking_number, run_no: which.
        billing_credential_id: None where it needs none.
        cancel_requested: nothing more is posted for it; what is open is still resolved.
        total: all its work orders.
        queued, waiting_retry, outcome_unknown: its counters.
    """

    job_id: int
    tracking_number: str
    run_no: int
    billing_credential_id: int | None
    cancel_requested: bool
    total: int
    queued: int
    waiting_retry: int
    outcome_unknown: int


def due_jobs(uow: UnitOfWork, unopened: Collection[int] = (), limit: int = 20) -> list[DueJob]:
    """Jobs that are neither paused nor over and have work that is due, the one whose last turn is longest ago first.

    Args:
        unopened: handles of the billing credentials that this engine cannot open; of their jobs only work that needs
            no billing is due here.
        limit: most jobs.
    """
    statement = _DUE_JOBS
    if unopened:
        statement = statement.where(
            or_(
                job.c.billing_credential_id.is_(None),
                job.c.billing_credential_id.not_in(sorted(unopened)),
                _FIRST_ACTION == "none",
            )
        )
    rows = uow.connection.execute(statement, {"now": uow.now(), "most": limit})
    return [DueJob(*row) for row in rows]


def _due_jobs() -> Select[Any]:
    now = bindparam("now", type_=_wo.changed_at.type)
    retry = exists().where(
        _wo.job_id == job.c.id, is_state(_wo.state, WorkOrderState.WAITING_RETRY), _wo.next_attempt_at <= now
    )
    check = exists().where(
        _wo.job_id == job.c.id, is_state(_wo.state, WorkOrderState.OUTCOME_UNKNOWN), _wo.check_at <= now
    )
    return (
        select(
            job.c.id, job.c.tracking_number, job.c.run_no, job.c.billing_credential_id, job.c.cancel_requested,
            job.c.total, job.c.queued, job.c.waiting_retry, job.c.outcome_unknown,
        )
        .where(
            IS_OPEN,
            is_any_of(job.c.state, "queued", "running"),
            or_(
                job.c.queued > 0,
                and_(job.c.waiting_retry > 0, retry),
                and_(job.c.outcome_unknown > 0, check),
            ),
        )
        .order_by(case((job.c.turn_at.is_(None), 0), else_=1), job.c.turn_at, job.c.id)
        .limit(bindparam("most"))
    )  # fmt: skip


_DUE_JOBS = _due_jobs()
#: What the next queued work order of a job does at billing; all of a job do something there, or none does.
_FIRST_ACTION = (
    select(_wo.billing_action)
    .where(_wo.job_id == job.c.id, _wo.state == WorkOrderState.QUEUED)
    .order_by(_wo.line)
    .limit(1)
    .scalar_subquery()
)


def left_alone(uow: UnitOfWork, unopened: Collection[int], since: datetime) -> list[int]:
    """Jobs that have had due work at billing for a while, and no engine does anything for their billing credential.

    Which credentials an engine can open is known to it alone. That nobody opens one is seen by what is done: nothing of
    the job has changed, and no other job of the credential has had a turn or has anything under way.

    Args:
        unopened: handles of the billing credentials that this engine cannot open; only their jobs are looked at.
        since: nothing has been done since this instant.

    Returns:
        Handles, ascending.
    """
    another = job.alias()
    is_served = exists().where(
        another.c.billing_credential_id == job.c.billing_credential_id,
        is_open(another),
        or_(another.c.running > 0, another.c.turn_at >= since),
    )
    statement = _DUE_JOBS.where(
        job.c.billing_credential_id.in_(sorted(unopened)),
        func.coalesce(_FIRST_ACTION, "") != "none",
        job.c.changed_at < since,
        ~is_served,
    )
    return sorted(row.id for row in uow.connection.execute(statement, {"now": uow.now(), "most": 20}))


def instructions(uow: UnitOfWork, job_id: int) -> Mapping[str, Any]:
    """The job's frozen instructions, as a JSON document."""
    document: Mapping[str, Any] = uow.connection.execute(
        select(job.c.instructions).where(job.c.id == job_id)
    ).scalar_one()
    return document


@dataclass(frozen=True, slots=True)
class JobStanding:
    """Whether work on a job may go on.

    Attributes:
        may_go_on: neither paused nor over.
        cancel_requested: nothing new may be begun.
    """

    may_go_on: bool
    cancel_requested: bool


def standings(uow: UnitOfWork, job_ids: Collection[int]) -> dict[int, JobStanding]:
    """How these jobs stand, by handle."""
    found: dict[int, JobStanding] = {}
    for part in parts(sorted(job_ids)):
        rows = uow.connection.execute(_STANDINGS, {"ids": part})
        for job_id, state, cancel_requested in rows:
            found[job_id] = JobStanding(state in {"queued", "running"}, cancel_requested)
    return found


_STANDINGS = select(job.c.id, job.c.state, job.c.cancel_requested).where(is_among(job.c.id, "ids"))


# --- claiming --------------------------------------------------------------------------------------------------------


class StepRow(NamedTuple):
    """What is written of one step of a work order; the columns of its row."""

    state: StepState
    attempts: int = 0
    reference: str | None = None
    intent_at: datetime | None = None
    finished_at: datetime | None = None
    http_status: int | None = None
    billing_id: str | None = None
    answer: str | None = None


class ClaimedOrder(NamedTuple):
    """A work order under this engine's lease, with all that is needed to work on it.

    Attributes:
        work_order_id, job_id: handles.
        epoch: of the lease; every write carries it.
        was: the state that it was claimed from.
        iccid, msisdn, service_provider_id, effective_date, billing_action, reference: frozen facts.
        kept_service_id: billing's id of the service that is kept or was made before.
        attempts: tries so far in this run of the job.
        started_at: of the first try in this run, or since its job went on after a pause; a claim on which nothing came
            to be tried (its job was paused, perhaps for days) is none.
        steps: the steps that have a row.
    """

    work_order_id: int
    job_id: int
    epoch: int
    was: WorkOrderState
    iccid: str
    msisdn: str | None
    service_provider_id: int | None
    effective_date: date
    billing_action: str
    reference: str
    kept_service_id: str | None
    attempts: int
    started_at: datetime
    steps: Mapping[Step, StepRow]


def claim(uow: UnitOfWork, engine_id: str, due: DueJob, limit: int, lease_until: datetime) -> list[ClaimedOrder]:
    """Takes up to ``limit`` work orders of the job under this engine's lease.

    Unknown outcomes that may be asked for, retries that are due, and queued work take turns, so that none of them keeps
    the others waiting. Work that needs no billing at all is left to :func:`db.effects.apply_effects`.

    Returns:
        What this engine holds now; fewer than asked for where another engine was faster.
    """
    # Rows here are tuples, not dataclasses: thousands of them are made a second.
    candidates = _candidates(uow, due, limit)
    won = _take(uow, engine_id, candidates, lease_until)
    if not won:
        return []
    steps = _steps_of(uow, [row.id for row in won])
    now = uow.now()
    return [
        # By position, in the order of _CANDIDATES and of the fields: by name it takes four times as long.
        ClaimedOrder(
            key, due.job_id, epoch + 1, WorkOrderState(state), iccid, msisdn, service_provider_id, effective_date,
            billing_action, reference or "", service_id, attempts, (started_at if attempts else None) or now,
            steps.get(key, {}),
        )
        for key, state, epoch, iccid, msisdn, service_provider_id, effective_date, billing_action, reference, attempts,
        started_at, service_id in won
    ]  # fmt: skip


def _candidates(uow: UnitOfWork, due: DueJob, limit: int) -> list[Any]:
    counts = (due.outcome_unknown, due.waiting_retry, due.queued)
    parameters = {"of_job": due.job_id, "now": uow.now(), "most": limit}
    found = [
        uow.connection.execute(statement, parameters).all()
        for statement, count in zip(_CANDIDATES, counts, strict=True)
        if count
    ]
    in_turn = [row for rows in zip_longest(*found) for row in rows if row is not None]
    return in_turn[:limit]


_NOW = bindparam("now", type_=_wo.changed_at.type)
_IS_GIVEN = is_among(_wo.id, "ids")
_CANDIDATES = tuple(
    locking(
        select(
            _wo.id, _wo.state, _wo.lease_epoch, _wo.iccid, _wo.msisdn, _wo.service_provider_id, _wo.effective_date,
            _wo.billing_action, _wo.reference, _wo.attempts, _wo.started_at, billing_service.c.service_id,
        )
        .select_from(work_order.outerjoin(billing_service, billing_service.c.id == _wo.billing_service_id))
        .where(_wo.job_id == bindparam("of_job"), state, when)
        .order_by(order)
        .limit(bindparam("most")),
        work_order,
        skip_locked=True,
    )
    for state, when, order in (
        (is_state(_wo.state, WorkOrderState.OUTCOME_UNKNOWN), _wo.check_at <= _NOW, _wo.check_at),
        (is_state(_wo.state, WorkOrderState.WAITING_RETRY), _wo.next_attempt_at <= _NOW, _wo.next_attempt_at),
        (_wo.state == WorkOrderState.QUEUED, _wo.billing_action != "none", _wo.line),
    )
)  # fmt: skip


def _take(uow: UnitOfWork, engine_id: str, rows: Sequence[Any], lease_until: datetime) -> list[Any]:
    """The compare-and-set; the rows that were won."""
    now = uow.now()
    won: list[Any] = []
    for (state, epoch), group in grouped(rows, lambda row: (row.state, row.lease_epoch)):
        for part in parts(group):
            ids = [row.id for row in part]
            parameters = {
                "ids": ids, "from_state": state, "epoch": epoch, "engine": engine_id, "until": lease_until, "now": now,
            }  # fmt: skip
            taken = uow.connection.execute(_TAKE, parameters).rowcount
            if taken == len(ids):
                won.extend(part)
            elif taken:
                mine = _held(uow, engine_id, epoch + 1, ids)
                won.extend(row for row in part if row.id in mine)
    return won


_UNTIL = bindparam("until", type_=_wo.lease_until.type)
_TAKE = (
    update(work_order)
    .where(_IS_GIVEN, of_those(_wo.state == bindparam("from_state"), _wo.lease_epoch == bindparam("epoch")))
    .values(
        state=WorkOrderState.RUNNING,
        engine_id=bindparam("engine"),
        lease_epoch=_wo.lease_epoch + 1,
        lease_until=_UNTIL,
        started_at=case((and_(_wo.attempts > 0, _wo.started_at.is_not(None)), _wo.started_at), else_=_NOW),
        next_attempt_at=None,
        check_at=None,
        changed_at=_NOW,
        revision=_wo.revision + 1,
    )
)


def _steps_of(uow: UnitOfWork, ids: Sequence[int]) -> dict[int, dict[Step, StepRow]]:
    steps: dict[int, dict[Step, StepRow]] = defaultdict(dict)
    for part in parts(ids):
        for work_order_id, step, state, *rest in uow.connection.execute(_STEPS_OF, {"ids": part}):
            steps[work_order_id][Step(step)] = StepRow(StepState(state), *rest)
    return steps


_step = work_order_step.c
_STEPS_OF = select(
    _step.work_order_id, _step.step, _step.state, _step.attempts, _step.reference, _step.intent_at, _step.finished_at,
    _step.http_status, _step.billing_id, _step.answer,
).where(is_among(_step.work_order_id, "ids"))  # fmt: skip


# --- recording -------------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """This engine's lease on one work order."""

    work_order_id: int
    job_id: int
    epoch: int


def hold(uow: UnitOfWork, engine_id: str, leases: Sequence[Held], lease_until: datetime) -> set[Held]:
    """The compare-and-set before anything is recorded: renews the leases that this engine still holds.

    Returns:
        The leases that it still holds. Of all others nothing may be written: another engine has the work orders, or
        this one has them anew.
    """
    now = uow.now()
    kept: set[Held] = set()
    for epoch, group in grouped(leases, lambda lease: lease.epoch):
        for part in parts(group):
            ids = [lease.work_order_id for lease in part]
            parameters = {"ids": ids, "epoch": epoch, "engine": engine_id, "until": lease_until, "now": now}
            renewed = uow.connection.execute(_HOLD, parameters).rowcount
            if renewed == len(ids):
                kept.update(part)
            elif renewed:
                mine = _held(uow, engine_id, epoch, ids)
                kept.update(lease for lease in part if lease.work_order_id in mine)
    return kept


def _held(uow: UnitOfWork, engine_id: str, epoch: int, ids: Sequence[int]) -> set[int]:
    return set(uow.connection.scalars(_HELD, {"ids": ids, "epoch": epoch, "engine": engine_id}))


_MINE = (
    _IS_GIVEN,
    of_those(
        _wo.state == WorkOrderState.RUNNING,
        _wo.engine_id == bindparam("engine"),
        _wo.lease_epoch == bindparam("epoch"),
    ),
)
_HELD = select(_wo.id).where(*_MINE)
_HOLD = update(work_order).where(*_MINE).values(lease_until=_UNTIL, changed_at=_NOW, revision=_wo.revision + 1)


class StepWrite(NamedTuple):
    """One step's row as it is to be. ``is_new``: there is none yet."""

    work_order_id: int
    step: Step
    row: StepRow
    epoch: int
    is_new: bool


def write_steps(uow: UnitOfWork, writes: Sequence[StepWrite]) -> None:
    """Writes steps of work orders that this engine holds (see :func:`hold` and :func:`claim`)."""
    new: list[Row] = []
    old: list[Row] = []
    for write in writes:
        row = write.row
        (new if write.is_new else old).append(
            (
                row.state,
                row.attempts,
                row.reference,
                write.epoch,
                row.intent_at,
                row.finished_at,
                row.http_status,
                row.billing_id,
                row.answer,
                write.work_order_id,
                write.step,
            )
        )
    if new:
        insert_rows(uow, work_order_step, (*_STEP_COLUMNS, *_STEP_KEYS), new)
    if old:
        update_rows(uow, work_order_step, _STEP_KEYS, _STEP_COLUMNS, old)


_STEP_KEYS = ("work_order_id", "step")
_STEP_COLUMNS = (
    "state", "attempts", "reference", "lease_epoch", "intent_at", "finished_at", "http_status", "billing_id", "answer",
)  # fmt: skip


class OrderWrite(NamedTuple):
    """One work order as it is to be.

    Attributes:
        state: ``RUNNING``: it goes on under the same lease. Any other ends the lease.
        attempts: tries so far in this run.
        next_attempt_at, check_at: see the schema.
        problem: its error; None: none.
        billing_answer: what billing said last; None: what it said before stands.
    """

    work_order_id: int
    state: WorkOrderState
    attempts: int
    next_attempt_at: datetime | None = None
    check_at: datetime | None = None
    problem: Problem | None = None
    billing_answer: str | None = None


def write_orders(uow: UnitOfWork, engine_id: str, writes: Sequence[OrderWrite], lease_until: datetime) -> None:
    """Writes work orders that this engine holds, and a history row for each that failed."""
    if not writes:
        return
    now = uow.now()
    uow.connection.execute(
        update(work_order)
        .where(_wo.id == bindparam("of_order"))
        .values(
            billing_answer=func.coalesce(bindparam("said", type_=_wo.billing_answer.type), _wo.billing_answer),
            revision=_wo.revision + 1,
        ),
        [
            {
                "of_order": write.work_order_id,
                "said": write.billing_answer,
                "state": write.state,
                "engine_id": engine_id if write.state is WorkOrderState.RUNNING else None,
                "lease_until": lease_until if write.state is WorkOrderState.RUNNING else None,
                "attempts": write.attempts,
                "next_attempt_at": write.next_attempt_at,
                "check_at": write.check_at,
                "error_kind": write.problem and write.problem.kind,
                "error_code": write.problem and write.problem.code,
                "error_message": write.problem and write.problem.message,
                "what_to_do": write.problem and write.problem.what_to_do,
                "completed_at": now if write.state in FINAL_WORK_ORDERS else None,
                "changed_at": now,
            }
            for write in writes
        ],
    )
    record_failures(uow, [write.work_order_id for write in writes if write.state is WorkOrderState.FAILED])


def record_failures(uow: UnitOfWork, ids: Sequence[int]) -> None:
    """A history row for each of these work orders that failed: the record says what was tried, too."""
    for part in parts(ids):
        uow.connection.execute(
            insert(device_history).from_select(
                ["device_id", "customer_id", "job_id", "work_order_id", "at", "event", "detail", "effective_date",
                 "operator_login", "reason", "is_complete"],
                select(
                    _wo.device_id, job.c.customer_id, job.c.id, _wo.id, literal(uow.now(), device_history.c.at.type),
                    literal("failed"), func.coalesce(_wo.error_message, ""), _wo.effective_date, job.c.operator_login,
                    job.c.reason, false(),
                ).where(_wo.id.in_(part), job.c.id == leads_to(_wo.job_id), _wo.device_id.is_not(None)),
            )
        )  # fmt: skip


def record_services(uow: UnitOfWork, ids: Sequence[int]) -> None:
    """Writes the billing services of these work orders, as their steps say; one that is known already is only linked.

    Known is a service of the same device and customer, and of the same reference where both have one. A service that
    was made carries our reference; one that is kept (a person named it) was made by somebody else and carries none.

    Args:
        ids: work orders that this engine holds, or that a person settles; the step ``billing_service`` of each is
            settled and written.

    Raises:
        sqlalchemy.exc.IntegrityError: billing's id, or our reference, is known for something else.
    """
    for part in parts(ids):
        uow.connection.execute(_NEW_SERVICES, {"ids": part, "now": uow.now()})
        uow.connection.execute(_LINK_SERVICES, {"ids": part})


_service = billing_service.c
_REFERENCE = case((_step.state == StepState.DONE, _wo.reference), else_=None)
_OF_SERVICE_STEP = (
    _step.work_order_id == leads_to(_wo.id), _step.step == Step.BILLING_SERVICE, job.c.id == leads_to(_wo.job_id),
)  # fmt: skip
_KNOWN_SERVICE = (
    _service.billing_credential_id == job.c.billing_credential_id,
    _service.service_id == _step.billing_id,
    _service.customer_id == job.c.customer_id,
    _service.device_id == _wo.device_id,
    or_(_service.reference.is_(None), _step.state != StepState.DONE, _service.reference == _wo.reference),
)
_NEW_SERVICES = insert(billing_service).from_select(
    ["billing_credential_id", "service_id", "reference", "device_id", "customer_id", "number", "is_active",
     "effective_date", "work_order_id", "created_at"],
    select(
        job.c.billing_credential_id,
        _step.billing_id,
        _REFERENCE,
        _wo.device_id,
        job.c.customer_id,
        func.coalesce(_wo.msisdn, _wo.iccid),
        true(),
        _wo.effective_date,
        _wo.id,
        _NOW,
    ).where(_IS_GIVEN, *_OF_SERVICE_STEP, ~exists().where(*_KNOWN_SERVICE)),
)  # fmt: skip
_LINK_SERVICES = (
    update(work_order)
    .where(_IS_GIVEN)
    .values(
        billing_service_id=select(_service.id)
        .where(*_OF_SERVICE_STEP, *_KNOWN_SERVICE)
        .correlate(work_order)
        .scalar_subquery()
    )
)


def fail_queued(uow: UnitOfWork, job_id: int, line: int, problem_of: Callable[[str], Problem]) -> bool:
    """A queued work order that needs no billing fails without having been claimed.

    Args:
        problem_of: its ICCID → what is shown of it.

    Returns:
        False where it is not queued (any more).
    """
    row = uow.connection.execute(select(_wo.id, _wo.iccid).where(_wo.job_id == job_id, _wo.line == line)).one()
    problem = problem_of(row.iccid)
    now = uow.now()
    failed = uow.connection.execute(
        update(work_order)
        .where(_wo.id == row.id, _wo.state == WorkOrderState.QUEUED)
        .values(
            state=WorkOrderState.FAILED, error_kind=problem.kind, error_code=problem.code,
            error_message=problem.message, what_to_do=problem.what_to_do, attempts=_wo.attempts + 1,
            started_at=func.coalesce(_wo.started_at, now), completed_at=now, changed_at=now,
            revision=_wo.revision + 1,
        )
    ).rowcount  # fmt: skip
    if failed:
        record_failures(uow, [row.id])
    return bool(failed)


# --- small helpers ---------------------------------------------------------------------------------------------------


def parts(items: Sequence[Any], size: int = MOST_IDS) -> Iterator[Any]:
    """The items in pieces that fit into one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def grouped(items: Sequence[Any], key: Any) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return sorted(groups.items())
