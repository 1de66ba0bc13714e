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
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    update,
)

from db.procedures import record_across_providers
from db.schema import (
    billing_service,
    customer,
    device,
    device_history,
    device_ownership,
    device_service_link,
    job,
    rate_plan,
    scheduled_plan_change,
    site,
    work_order,
    work_order_step,
)
from db.work import Held
from desktop_app.association.model import BillingAction, OwnershipAction
from desktop_app.association.states import Step, StepState, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_wo = work_order.c
_own = device_ownership.c
_ASSIGN, _KEEP, _MOVE, _REASSIGN = (
    OwnershipAction.ASSIGN, OwnershipAction.KEEP, OwnershipAction.MOVE, OwnershipAction.REASSIGN,
)  # fmt: skip
_BILLED = (BillingAction.CREATE, BillingAction.KEEP)

#: The columns of a history row, in the order in which :func:`_history` fills them.
HISTORY_COLUMNS = (
    "device_id", "customer_id", "job_id", "work_order_id", "at", "event", "detail", "effective_date",
    "operator_login", "reason", "is_complete",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """Work orders that this engine holds and whose billing is settled. At most a few hundred."""

    engine_id: str
    leases: Sequence[Held]


@dataclass(frozen=True, slots=True)
class DueBatch:
    """Queued work orders of one job that need no billing, by their lines (first and last included).

    They are claimed and finished in the same transaction. By lines, since a batch of thousands that fails on its data
    is halved until the culprit stands alone.
    """

    engine_id: str
    job_id: int
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A work order whose frozen facts are not true any more; it is still under the lease, nothing of it was applied."""

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
    a deleted device) is refused and left under the lease for the caller to fail. The jobs' counters are the caller's.

    Raises:
        sqlalchemy.exc.IntegrityError: the data of one of them breaks a rule; the caller rolls back and halves.
    """
    token = str(uuid4())
    _stamp(uow, batch, token)
    refused = _refuse(uow, token)
    effects = _Effects(uow, token)
    if effects.jobs:
        effects.apply()
    return Applied(token, effects.jobs, refused)


# --- which ones ------------------------------------------------------------------------------------------------------


def _stamp(uow: UnitOfWork, batch: HeldBatch | DueBatch, token: str) -> None:
    now = uow.now()
    if isinstance(batch, DueBatch):
        uow.connection.execute(
            update(work_order)
            .where(
                _wo.job_id == batch.job_id,
                _wo.line.between(batch.first_line, batch.last_line),
                _wo.state == WorkOrderState.QUEUED,
                _wo.billing_action == BillingAction.NONE,
            )
            .values(
                commit_token=token,
                state=WorkOrderState.RUNNING,
                engine_id=batch.engine_id,
                lease_epoch=_wo.lease_epoch + 1,
                lease_until=now,
                started_at=func.coalesce(_wo.started_at, now),
                attempts=_wo.attempts + 1,
                changed_at=now,
            )
        )
        return
    by_epoch: dict[int, list[int]] = {}
    for lease in batch.leases:
        by_epoch.setdefault(lease.epoch, []).append(lease.work_order_id)
    for epoch, ids in sorted(by_epoch.items()):
        uow.connection.execute(
            update(work_order)
            .where(
                _wo.id.in_(ids),
                _wo.state == WorkOrderState.RUNNING,
                _wo.engine_id == batch.engine_id,
                _wo.lease_epoch == epoch,
            )
            .values(commit_token=token, attempts=_wo.attempts + 1)
        )


def _refuse(uow: UnitOfWork, token: str) -> tuple[Refused, ...]:
    """Takes the token away from work orders whose frozen facts are not true any more."""
    owned = exists().where(_own.device_id == _wo.device_id, _own.state == "active", _own.is_deleted == false())
    prior_stands = exists().where(
        _own.id == _wo.prior_ownership_id, _own.device_id == _wo.device_id, _own.state == "active",
        _own.is_deleted == false(),
    )  # fmt: skip
    is_gone = or_(device.c.is_deleted == true(), device.c.is_archived == true())
    owner_changed = or_(
        and_(_wo.ownership_action == _ASSIGN, owned),
        and_(_wo.ownership_action != _ASSIGN, not_(prior_stands)),
    )
    reason = case((is_gone, "it was deleted or archived"), (owner_changed, "it has another owner"), else_=None)
    rows = uow.connection.execute(
        select(_wo.id, _wo.job_id, _wo.iccid, reason)
        .join(device, device.c.id == _wo.device_id)
        .where(_wo.commit_token == token, or_(is_gone, owner_changed))
    ).all()
    if rows:
        uow.connection.execute(update(work_order).where(_wo.id.in_([row.id for row in rows])).values(commit_token=None))
    return tuple(Refused(*row) for row in rows)


# --- what is done to them --------------------------------------------------------------------------------------------


class _Effects:
    """All effects of the work orders that carry one token."""

    def __init__(self, uow: UnitOfWork, token: str) -> None:
        self.uow = uow
        self.connection = uow.connection
        self.now: datetime = uow.now()
        today: date = uow.today()
        self.token = token
        self.in_batch = _wo.commit_token == token
        self.of_job = _wo.job_id == job.c.id
        self.is_ahead = _wo.effective_date > today
        self.is_now = _wo.effective_date <= today
        self.at = literal(self.now, device_history.c.at.type)
        self.jobs: Counter[int] = Counter()
        self.actions: set[tuple[str, bool]] = set()
        self.billing: set[str] = set()
        self.carrier_plan = self.customer_plan = self.ahead = False
        self._look()

    def _look(self) -> None:
        """What there is in the batch, so that nothing is executed in vain."""
        ahead = case((self.is_ahead, 1), else_=0)
        carrier = case((_wo.carrier_rate_plan_id.is_not(None), 1), else_=0)
        plan = case((job.c.customer_rate_plan_id.is_not(None), 1), else_=0)
        facts = (_wo.job_id, _wo.ownership_action, _wo.billing_action, ahead, carrier, plan)
        rows = self.connection.execute(select(*facts, func.count()).where(self.in_batch, self.of_job).group_by(*facts))
        for job_id, action, billing, is_ahead, has_carrier, has_plan, count in rows:
            self.jobs[job_id] += count
            self.actions.add((action, bool(is_ahead)))
            self.billing.add(billing)
            self.ahead = self.ahead or bool(is_ahead)
            self.carrier_plan = self.carrier_plan or bool(has_carrier)
            self.customer_plan = self.customer_plan or bool(has_plan)

    def apply(self) -> None:
        self._steps()
        self._ownership()
        self._plans()
        self._links()
        self._history()
        record_across_providers(self.uow, commit_token=self.token)
        self._succeed()

    def _any(self, *actions: OwnershipAction, ahead: bool) -> bool:
        return any((action, ahead) in self.actions for action in actions)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _steps(self) -> None:
        """Rows of the local steps. First, while what was there before can still be seen."""
        done, kept = literal(StepState.DONE), literal(StepState.KEPT)
        scheduled = (self.is_ahead, literal(StepState.SCHEDULED))
        ownership = case((_wo.ownership_action == _KEEP, kept), scheduled, else_=done)
        self._insert_steps(Step.OWNERSHIP, select(ownership).select_from(work_order))
        self._insert_steps(Step.HISTORY, select(done).select_from(work_order))
        if self.carrier_plan:
            same = device.c.carrier_rate_plan_id == _wo.carrier_rate_plan_id
            self._insert_steps(
                Step.CARRIER_RATE_PLAN,
                select(case(scheduled, (same, kept), else_=done))
                .select_from(work_order.join(device, device.c.id == _wo.device_id))
                .where(_wo.carrier_rate_plan_id.is_not(None)),
            )
        if self.customer_plan:
            same = and_(
                _wo.ownership_action.in_((_KEEP, _MOVE)),
                _own.customer_rate_plan_id == job.c.customer_rate_plan_id,
                _same(_own.data_limit_bytes, job.c.data_limit_bytes),
                _same(_own.data_pool, job.c.data_pool),
            )
            self._insert_steps(
                Step.CUSTOMER_RATE_PLAN,
                select(case(scheduled, (same, kept), else_=done))
                .select_from(
                    work_order.join(job, self.of_job).outerjoin(device_ownership, _own.id == _wo.prior_ownership_id)
                )
                .where(job.c.customer_rate_plan_id.is_not(None)),
            )

    def _insert_steps(self, step: Step, states: Select[Any]) -> None:
        table = work_order_step.c
        self.connection.execute(
            insert(work_order_step).from_select(
                ["state", "work_order_id", "step", "attempts", "lease_epoch", "finished_at"],
                states.add_columns(
                    _wo.id, literal(step), literal(1, table.attempts.type), _wo.lease_epoch, self.at
                ).where(self.in_batch),
            )
        )

    # --- ownership ---------------------------------------------------------------------------------------------------

    def _ownership(self) -> None:
        if self._any(_REASSIGN, ahead=False):
            self._end_prior()
        if self._any(_REASSIGN, _MOVE, ahead=True):
            self.connection.execute(
                update(device_ownership)
                .where(
                    self.in_batch, self.is_ahead, _wo.ownership_action.in_((_REASSIGN, _MOVE)),
                    _own.id == _wo.prior_ownership_id,
                )
                .values(effective_to=_wo.effective_date, changed_at=self.now)
            )  # fmt: skip
        if self._any(_MOVE, ahead=False):
            self.connection.execute(
                update(device_ownership)
                .where(
                    self.in_batch, self.is_now, self.of_job, _wo.ownership_action == _MOVE,
                    _own.id == _wo.prior_ownership_id,
                )
                .values(
                    site_id=job.c.site_id,
                    account_number=job.c.account_number,
                    billing_credential_id=job.c.billing_credential_id,
                    changed_at=self.now,
                )
            )  # fmt: skip
        if self._any(_ASSIGN, _REASSIGN, ahead=False) or self._any(_ASSIGN, _REASSIGN, _MOVE, ahead=True):
            self._insert_ownership()

    def _end_prior(self) -> None:
        """Reassigning ends the old ownership: its plan is cleared, its plan changes are dropped, its links closed."""
        reassigned = and_(self.in_batch, self.is_now, _wo.ownership_action == _REASSIGN)
        change = scheduled_plan_change.c
        dropped = and_(reassigned, change.device_ownership_id == _wo.prior_ownership_id, change.state == "pending")
        self._write_history(
            event=literal("plan_change_dropped"),
            detail=literal("Rate plan ") + rate_plan.c.code + literal(", the device was reassigned"),
            rows=work_order.join(job, self.of_job)
            .join(scheduled_plan_change, dropped)
            .join(rate_plan, rate_plan.c.id == change.rate_plan_id)
            .join(device_ownership, _own.id == change.device_ownership_id),
            customer_id=_own.customer_id,
            effective_date=change.due_on,
        )
        self.connection.execute(
            update(scheduled_plan_change).where(dropped).values(state="cancelled", settled_at=self.now)
        )
        self._write_history(
            event=literal("ended"),
            detail=literal("Taken over by ") + func.coalesce(customer.c.account_number, customer.c.name),
            rows=work_order.join(job, self.of_job)
            .join(customer, customer.c.id == job.c.customer_id)
            .join(device_ownership, _own.id == _wo.prior_ownership_id),
            where=reassigned,
            customer_id=_own.customer_id,
        )
        # An ownership never ends before it began, whatever date the devices were activated on.
        ends_on = case((_wo.effective_date < _own.effective_from, _own.effective_from), else_=_wo.effective_date)
        self.connection.execute(
            update(device_ownership)
            .where(reassigned, _own.id == _wo.prior_ownership_id)
            .values(
                state="ended",
                effective_to=ends_on,
                customer_rate_plan_id=None,
                data_limit_bytes=None,
                data_pool=None,
                changed_at=self.now,
            )
        )
        link = device_service_link.c
        of_another = exists().where(
            billing_service.c.id == link.billing_service_id, billing_service.c.customer_id != job.c.customer_id
        )
        self.connection.execute(
            update(device_service_link)
            .where(
                link.closed_at.is_(None),
                exists().where(reassigned, self.of_job, link.device_id == _wo.device_id, of_another),
            )
            .values(closed_at=self.now)
        )

    def _insert_ownership(self) -> None:
        def unless_ahead(column: ColumnElement[Any]) -> ColumnElement[Any]:
            return case((self.is_now, column), else_=null())

        self.connection.execute(
            insert(device_ownership).from_select(
                ["device_id", "customer_id", "site_id", "account_number", "billing_credential_id", "state",
                 "is_deleted", "effective_from", "customer_rate_plan_id", "data_limit_bytes", "data_pool",
                 "work_order_id", "created_at", "changed_at"],
                select(
                    _wo.device_id,
                    job.c.customer_id,
                    job.c.site_id,
                    job.c.account_number,
                    job.c.billing_credential_id,
                    case((self.is_ahead, "scheduled"), else_="active"),
                    false(),
                    _wo.effective_date,
                    unless_ahead(job.c.customer_rate_plan_id),
                    unless_ahead(job.c.data_limit_bytes),
                    unless_ahead(job.c.data_pool),
                    _wo.id,
                    self.at,
                    self.at,
                ).where(
                    self.in_batch,
                    self.of_job,
                    or_(
                        _wo.ownership_action.in_((_ASSIGN, _REASSIGN)),
                        and_(_wo.ownership_action == _MOVE, self.is_ahead),
                    ),
                ),
            )
        )  # fmt: skip

    # --- plans -------------------------------------------------------------------------------------------------------

    def _plans(self) -> None:
        plan_now: dict[str, Any] = {}
        if self.carrier_plan:
            plan_now["carrier_rate_plan_id"] = case(
                (and_(self.is_now, _wo.carrier_rate_plan_id.is_not(None)), _wo.carrier_rate_plan_id),
                else_=device.c.carrier_rate_plan_id,
            )
        self.connection.execute(
            update(device)
            .where(self.in_batch, device.c.id == _wo.device_id)
            .values(**plan_now, changed_at=self.now, revision=device.c.revision + 1)
        )
        if self.customer_plan and self._any(_KEEP, _MOVE, ahead=False):
            self.connection.execute(
                update(device_ownership)
                .where(
                    self.in_batch, self.is_now, self.of_job, job.c.customer_rate_plan_id.is_not(None),
                    _wo.ownership_action.in_((_KEEP, _MOVE)), _own.id == _wo.prior_ownership_id,
                )
                .values(
                    customer_rate_plan_id=job.c.customer_rate_plan_id,
                    data_limit_bytes=job.c.data_limit_bytes,
                    data_pool=job.c.data_pool,
                    changed_at=self.now,
                )
            )  # fmt: skip
        if self.ahead and self.carrier_plan:
            self._schedule("carrier", _wo.carrier_rate_plan_id, null(), null())
        if self.ahead and self.customer_plan:
            self._schedule("customer", job.c.customer_rate_plan_id, job.c.data_limit_bytes, job.c.data_pool)

    def _schedule(
        self, kind: str, plan: ColumnElement[Any], limit: ColumnElement[Any], pool: ColumnElement[Any]
    ) -> None:
        """Plan changes for a day ahead, bound to the ownership they are made for: the kept one, or the one to come."""
        change = scheduled_plan_change.c
        the_ownership = or_(
            and_(_wo.ownership_action == _KEEP, _own.id == _wo.prior_ownership_id),
            and_(_wo.ownership_action != _KEEP, _own.work_order_id == _wo.id, _own.state == "scheduled"),
        )
        self.connection.execute(
            insert(scheduled_plan_change).from_select(
                ["device_id", "device_ownership_id", "kind", "rate_plan_id", "data_limit_bytes", "data_pool", "due_on",
                 "state", "work_order_id", "created_at"],
                select(
                    _wo.device_id, _own.id, literal(kind), plan, limit, pool, _wo.effective_date, literal("pending"),
                    _wo.id, literal(self.now, change.created_at.type),
                ).where(
                    self.in_batch, self.is_ahead, self.of_job, plan.is_not(None), _own.device_id == _wo.device_id,
                    the_ownership,
                ),
            )
        )  # fmt: skip

    # --- billing -----------------------------------------------------------------------------------------------------

    def _links(self) -> None:
        if self.billing.isdisjoint(_BILLED):
            return
        link = device_service_link.c
        is_linked = exists().where(
            link.device_id == _wo.device_id, link.billing_service_id == _wo.billing_service_id, link.closed_at.is_(None)
        )
        self.connection.execute(
            insert(device_service_link).from_select(
                ["device_id", "billing_service_id", "linked_at"],
                select(_wo.device_id, _wo.billing_service_id, self.at).where(
                    self.in_batch, _wo.billing_action.in_(_BILLED), _wo.billing_service_id.is_not(None), not_(is_linked)
                ),
            )
        )

    # --- history -----------------------------------------------------------------------------------------------------

    def _history(self) -> None:
        """One row a fact: who owns it now (or will), the billing service, each plan that changed (or will)."""
        with_job = work_order.join(job, self.of_job)
        self._write_history(
            event=case(
                (_wo.ownership_action == _KEEP, "kept"),
                (self.is_ahead, "scheduled"),
                (_wo.ownership_action == _ASSIGN, "assigned"),
                (_wo.ownership_action == _MOVE, "moved"),
                else_="reassigned",
            ),
            detail=func.coalesce(literal("Site ") + site.c.name, ""),
            rows=with_job.outerjoin(site, site.c.id == job.c.site_id),
        )
        if not self.billing.isdisjoint(_BILLED):
            of_step = work_order_step.c
            self._write_history(
                event=case((of_step.state == StepState.KEPT, "billing_service_kept"), else_="billing_service_created"),
                detail=literal("Billing service ") + billing_service.c.service_id,
                rows=with_job.join(billing_service, billing_service.c.id == _wo.billing_service_id).join(
                    work_order_step, and_(of_step.work_order_id == _wo.id, of_step.step == Step.BILLING_SERVICE)
                ),
            )
        if self.carrier_plan:
            self._plan_history(Step.CARRIER_RATE_PLAN, "carrier_plan_changed", "Carrier", _wo.carrier_rate_plan_id)
        if self.customer_plan:
            self._plan_history(
                Step.CUSTOMER_RATE_PLAN, "customer_plan_changed", "Customer", job.c.customer_rate_plan_id
            )

    def _plan_history(self, step: Step, event: str, kind: str, plan: ColumnElement[Any]) -> None:
        of_step = work_order_step.c
        self._write_history(
            event=case((of_step.state == StepState.SCHEDULED, "plan_change_scheduled"), else_=event),
            detail=literal(f"{kind} rate plan ") + rate_plan.c.code,
            rows=work_order.join(job, self.of_job)
            .join(rate_plan, rate_plan.c.id == plan)
            .join(work_order_step, and_(of_step.work_order_id == _wo.id, of_step.step == step)),
            where=of_step.state.in_((StepState.DONE, StepState.SCHEDULED)),
        )

    def _write_history(
        self,
        *,
        event: ColumnElement[Any],
        detail: ColumnElement[Any],
        rows: Any,
        where: ColumnElement[bool] | None = None,
        customer_id: ColumnElement[Any] | None = None,
        effective_date: ColumnElement[Any] | None = None,
    ) -> None:
        self.connection.execute(
            insert(device_history).from_select(
                HISTORY_COLUMNS,
                select(
                    _wo.device_id,
                    job.c.customer_id if customer_id is None else customer_id,
                    job.c.id,
                    _wo.id,
                    self.at,
                    event,
                    detail,
                    _wo.effective_date if effective_date is None else effective_date,
                    job.c.operator_login,
                    job.c.reason,
                    false(),
                )
                .select_from(rows)
                .where(self.in_batch, *(() if where is None else (where,))),
            )
        )

    # --- the work orders themselves ----------------------------------------------------------------------------------

    def _succeed(self) -> None:
        billed: dict[str, Any] = {}
        if not self.billing.isdisjoint(_BILLED):
            said = select(work_order_step.c.answer).where(
                work_order_step.c.work_order_id == _wo.id, work_order_step.c.step == Step.BILLING_SERVICE
            )
            billed["billing_answer"] = func.coalesce(said.scalar_subquery(), _wo.billing_answer)
        self.connection.execute(
            update(work_order)
            .where(self.in_batch, _wo.state == WorkOrderState.RUNNING)
            .values(
                **billed,
                state=WorkOrderState.SUCCEEDED,
                engine_id=None,
                lease_until=None,
                next_attempt_at=None,
                check_at=None,
                error_kind=None,
                error_code=None,
                error_message=None,
                what_to_do=None,
                completed_at=self.now,
                changed_at=self.now,
                revision=_wo.revision + 1,
            )
        )


def _same(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[bool]:
    """Equal, or both unknown."""
    return or_(one == other, and_(one.is_(None), other.is_(None)))
