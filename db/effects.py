"""The local effects of work orders: ownership, rate plans, history, and what hangs on them.

:func:`apply_effects` is the one implementation, for 1 work order or 5,000. Its first statement is the compare-and-set
(state, lease holder, epoch) that stamps a commit token; everything after it is ``INSERT … SELECT`` and ``UPDATE …
FROM`` over the work orders that carry the token, in the caller's one transaction.

A date that is still ahead, in the business time zone, is not done but written down: the ownership is ``scheduled`` and
the old owner stands until then, plan changes wait as ``scheduled_plan_change`` bound to the ownership they were made
for. :mod:`db.schedule` does them when their day comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import Select, and_, bindparam, case, exists, false, func, not_, or_, select, true, update

from db import effect_statements
from db.dialects import is_among
from db.effect_statements import IN_BATCH, NOW, TODAY, Shape, statements
from db.schema import device, device_ownership, job, work_order
from db.work import Held, grouped, of_those, parts
from desktop_app.association.model import BillingAction, OwnershipAction
from desktop_app.association.states import WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

HISTORY_COLUMNS = effect_statements.HISTORY_COLUMNS

_wo = work_order.c


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """Work orders that this engine holds and whose billing is settled. At most a few hundred."""

    engine_id: str
    leases: Sequence[Held]


@dataclass(frozen=True, slots=True)
class DueBatch:
    """Queued work orders of one job that need no billing, by their lines (first and last included).

    They are claimed and finished in the same transaction, so that nobody ever sees them running. By lines, since a
    batch of thousands that fails on its data is halved until the culprit stands alone.
    """

    job_id: int
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A work order whose frozen facts are not true any more; nothing of it was applied, its state is as it was."""

    work_order_id: int
    job_id: int
    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to.

    Attributes:
        token: the commit token of this batch.
        succeeded: for each job how many work orders succeeded.
        refused: those of which nothing was applied.
    """

    token: str
    succeeded: Mapping[int, int]
    refused: tuple[Refused, ...]

    @property
    def claimed(self) -> int:
        """How many work orders the batch took."""
        return sum(self.succeeded.values()) + len(self.refused)


def due_lines(uow: UnitOfWork, job_id: int, limit: int) -> tuple[int, int] | None:
    """First and last line of the next ``limit`` queued work orders of a job that need no billing; None: none left."""
    lines = (
        select(_wo.line)
        .where(_wo.job_id == job_id, _wo.state == WorkOrderState.QUEUED, _wo.billing_action == BillingAction.NONE)
        .order_by(_wo.line)
        .limit(limit)
        .subquery()
    )
    first, last = uow.connection.execute(select(func.min(lines.c.line), func.max(lines.c.line))).one()
    return None if first is None else (first, last)


def apply_effects(uow: UnitOfWork, batch: HeldBatch | DueBatch) -> Applied:
    """Applies every local effect of the batch and makes its work orders ``succeeded``; the caller commits.

    A work order that another engine has is left alone. One whose frozen facts have become untrue (another owner since,
    a deleted device) is refused and left to the caller to fail. The jobs' counters are the caller's.

    Raises:
        sqlalchemy.exc.IntegrityError: the data of one of them breaks a rule; the caller rolls back and halves.
    """
    token = str(uuid4())
    _stamp(uow, batch, token)
    refused = _refuse(uow, token)
    parameters = {"token": token, "now": uow.now(), "today": uow.today()}
    shape, jobs = _look(uow, parameters)
    if jobs:
        for statement in statements(shape):
            uow.connection.execute(statement, parameters)
    return Applied(token, jobs, refused)


# --- which ones ------------------------------------------------------------------------------------------------------


def _stamp(uow: UnitOfWork, batch: HeldBatch | DueBatch, token: str) -> None:
    if isinstance(batch, DueBatch):
        uow.connection.execute(
            _STAMP_DUE,
            {
                "token": token, "now": uow.now(), "of_job": batch.job_id, "first": batch.first_line,
                "last": batch.last_line,
            },
        )  # fmt: skip
        return
    for epoch, group in grouped(batch.leases, lambda lease: lease.epoch):
        for part in parts(group):
            ids = [lease.work_order_id for lease in part]
            uow.connection.execute(_STAMP_HELD, {"token": token, "ids": ids, "engine": batch.engine_id, "epoch": epoch})


_STAMP_DUE = (
    update(work_order)
    .where(
        _wo.job_id == bindparam("of_job"),
        _wo.line.between(bindparam("first"), bindparam("last")),
        _wo.state == WorkOrderState.QUEUED,
        _wo.billing_action == BillingAction.NONE,
    )
    .values(
        commit_token=bindparam("token"),
        lease_epoch=_wo.lease_epoch + 1,
        started_at=func.coalesce(_wo.started_at, NOW),
        attempts=_wo.attempts + 1,
        changed_at=NOW,
    )
)
_STAMP_HELD = (
    update(work_order)
    .where(
        is_among(_wo.id, "ids"),
        of_those(
            _wo.state == WorkOrderState.RUNNING,
            _wo.engine_id == bindparam("engine"),
            _wo.lease_epoch == bindparam("epoch"),
        ),
    )
    .values(commit_token=bindparam("token"), attempts=_wo.attempts + 1)
)


def _refuse(uow: UnitOfWork, token: str) -> tuple[Refused, ...]:
    """Takes the token away from work orders whose frozen facts are not true any more."""
    rows = uow.connection.execute(_UNTRUE, {"token": token}).all()
    for part in parts(rows):
        uow.connection.execute(update(work_order).where(_wo.id.in_([row.id for row in part])).values(commit_token=None))
    return tuple(Refused(*row) for row in rows)


_own = device_ownership.c
_STANDS = (_own.device_id == _wo.device_id, _own.state == "active", _own.is_deleted == false())
_IS_GONE = or_(device.c.is_deleted == true(), device.c.is_archived == true())
_OWNER_CHANGED = or_(
    and_(_wo.ownership_action == OwnershipAction.ASSIGN, exists().where(*_STANDS)),
    and_(
        _wo.ownership_action != OwnershipAction.ASSIGN,
        not_(exists().where(_own.id == _wo.prior_ownership_id, *_STANDS)),
    ),
)
_UNTRUE = (
    select(
        _wo.id,
        _wo.job_id,
        _wo.iccid,
        case((_IS_GONE, "it was deleted or archived"), (_OWNER_CHANGED, "it has another owner"), else_=None),
    )
    .join(device, device.c.id == _wo.device_id)
    .where(IN_BATCH, or_(_IS_GONE, _OWNER_CHANGED))
)


# --- what there is in the batch ---------------------------------------------------------------------------------------


def _look(uow: UnitOfWork, parameters: Mapping[str, Any]) -> tuple[Shape, Counter[int]]:
    """The batch's shape, and for each job how many work orders it has in it."""
    jobs: Counter[int] = Counter()
    actions: set[tuple[OwnershipAction, bool]] = set()
    billed = carrier_plan = customer_plan = False
    for job_id, action, billing, is_ahead, has_carrier, has_plan, count in uow.connection.execute(_LOOK, parameters):
        jobs[job_id] += count
        actions.add((OwnershipAction(action), bool(is_ahead)))
        billed = billed or billing != BillingAction.NONE
        carrier_plan = carrier_plan or bool(has_carrier)
        customer_plan = customer_plan or bool(has_plan)
    return Shape(frozenset(actions), billed, carrier_plan, customer_plan), jobs


def _look_statement() -> Select[Any]:
    # Grouped outside: SQL Server takes an expression with parameters in GROUP BY for another one than in SELECT.
    facts = (
        select(
            _wo.job_id,
            _wo.ownership_action,
            _wo.billing_action,
            case((_wo.effective_date > TODAY, 1), else_=0).label("is_ahead"),
            case((_wo.carrier_rate_plan_id.is_not(None), 1), else_=0).label("has_carrier_plan"),
            case((job.c.customer_rate_plan_id.is_not(None), 1), else_=0).label("has_customer_plan"),
        )
        .join(job, job.c.id == _wo.job_id)
        .where(IN_BATCH)
        .subquery()
    )
    return select(*facts.c, func.count()).group_by(*facts.c)


_LOOK = _look_statement()
