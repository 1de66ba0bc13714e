"""The statements of the local effects, built once for each shape of a batch and run with its token.

They are ``INSERT … SELECT`` and ``UPDATE … FROM`` over the work orders that carry the commit token ``token``; ``now``
is the instant of the transaction and ``today`` its date in the business time zone. See :mod:`db.effects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    Executable,
    Select,
    Unicode,
    and_,
    bindparam,
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
    update,
)

from db.dialects import is_any_of
from db.procedures import across_providers
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
from db.types import UtcDateTime
from desktop_app.association.model import BillingAction, OwnershipAction
from desktop_app.association.states import Step, StepState, WorkOrderState

_wo = work_order.c
_own = device_ownership.c
_ASSIGN, _KEEP, _MOVE, _REASSIGN = (
    OwnershipAction.ASSIGN, OwnershipAction.KEEP, OwnershipAction.MOVE, OwnershipAction.REASSIGN,
)  # fmt: skip
_BILLED = (BillingAction.CREATE, BillingAction.KEEP)

#: The columns of a history row, in the order in which its statements fill them.
HISTORY_COLUMNS = (
    "device_id", "customer_id", "job_id", "work_order_id", "at", "event", "detail", "effective_date",
    "operator_login", "reason", "is_complete",
)  # fmt: skip

NOW = bindparam("now", type_=UtcDateTime())
TODAY = bindparam("today", type_=Date())
IN_BATCH = _wo.commit_token == bindparam("token", type_=Unicode(36))
_OF_JOB = _wo.job_id == job.c.id
_IS_AHEAD = _wo.effective_date > TODAY
_IS_NOW = _wo.effective_date <= TODAY


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is in a batch, so that nothing is executed in vain.

    Attributes:
        actions: which ownership actions, each with whether its date is still ahead.
        billed: a billing service was made or kept.
        carrier_plan, customer_plan: a plan is to be added.
    """

    actions: frozenset[tuple[OwnershipAction, bool]]
    billed: bool
    carrier_plan: bool
    customer_plan: bool

    @property
    def ahead(self) -> bool:
        """Whether anything is for a day ahead."""
        return any(is_ahead for _, is_ahead in self.actions)

    def any_of(self, *actions: OwnershipAction, ahead: bool) -> bool:
        """Whether one of these actions occurs, ahead or not."""
        return any((action, ahead) in self.actions for action in actions)


@lru_cache(maxsize=128)
def statements(shape: Shape) -> tuple[Executable, ...]:
    """What is executed for a batch of this shape, in order, with the parameters ``token``, ``now`` and ``today``."""
    return tuple(_Builder(shape).build())


class _Builder:
    """Builds the statements for one shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.statements: list[Executable] = []

    def build(self) -> list[Executable]:
        self._steps()
        self._ownership()
        self._plans()
        self._links()
        self._history()
        self.statements += across_providers("commit_token")
        self._succeed()
        return self.statements

    # --- steps -------------------------------------------------------------------------------------------------------

    def _steps(self) -> None:
        """Rows of the local steps. First, while what was there before can still be seen."""
        done, kept = literal(StepState.DONE), literal(StepState.KEPT)
        scheduled = (_IS_AHEAD, literal(StepState.SCHEDULED))
        ownership = case((_wo.ownership_action == _KEEP, kept), scheduled, else_=done)
        self._insert_steps(Step.OWNERSHIP, select(ownership).select_from(work_order))
        self._insert_steps(Step.HISTORY, select(done).select_from(work_order))
        if self.shape.carrier_plan:
            same = device.c.carrier_rate_plan_id == _wo.carrier_rate_plan_id
            self._insert_steps(
                Step.CARRIER_RATE_PLAN,
                select(case(scheduled, (same, kept), else_=done))
                .select_from(work_order.join(device, device.c.id == _wo.device_id))
                .where(_wo.carrier_rate_plan_id.is_not(None)),
            )
        if self.shape.customer_plan:
            same = and_(
                is_any_of(_wo.ownership_action, _KEEP, _MOVE),
                _own.customer_rate_plan_id == job.c.customer_rate_plan_id,
                _same(_own.data_limit_bytes, job.c.data_limit_bytes),
                _same(_own.data_pool, job.c.data_pool),
            )
            self._insert_steps(
                Step.CUSTOMER_RATE_PLAN,
                select(case(scheduled, (same, kept), else_=done))
                .select_from(
                    work_order.join(job, _OF_JOB).outerjoin(device_ownership, _own.id == _wo.prior_ownership_id)
                )
                .where(job.c.customer_rate_plan_id.is_not(None)),
            )

    def _insert_steps(self, step: Step, states: Select[Any]) -> None:
        table = work_order_step.c
        self.statements.append(
            insert(work_order_step).from_select(
                ["state", "work_order_id", "step", "attempts", "lease_epoch", "finished_at"],
                states.add_columns(_wo.id, literal(step), literal(1, table.attempts.type), _wo.lease_epoch, NOW).where(
                    IN_BATCH
                ),
            )
        )

    # --- ownership ---------------------------------------------------------------------------------------------------

    def _ownership(self) -> None:
        if self.shape.any_of(_REASSIGN, ahead=False):
            self._end_prior()
        if self.shape.any_of(_REASSIGN, _MOVE, ahead=True):
            self.statements.append(
                update(device_ownership)
                .where(
                    IN_BATCH, _IS_AHEAD, is_any_of(_wo.ownership_action, _REASSIGN, _MOVE),
                    _own.id == _wo.prior_ownership_id,
                )
                .values(effective_to=_wo.effective_date, changed_at=NOW)
            )  # fmt: skip
        if self.shape.any_of(_MOVE, ahead=False):
            self.statements.append(
                update(device_ownership)
                .where(
                    IN_BATCH, _IS_NOW, _OF_JOB, _wo.ownership_action == _MOVE,
                    _own.id == _wo.prior_ownership_id,
                )
                .values(
                    site_id=job.c.site_id,
                    account_number=job.c.account_number,
                    billing_credential_id=job.c.billing_credential_id,
                    changed_at=NOW,
                )
            )  # fmt: skip
        if self.shape.any_of(_ASSIGN, _REASSIGN, ahead=False) or self.shape.any_of(
            _ASSIGN, _REASSIGN, _MOVE, ahead=True
        ):
            self._insert_ownership()

    def _end_prior(self) -> None:
        """Reassigning ends the old ownership: its plan is cleared, its plan changes are dropped, its links closed."""
        reassigned = and_(IN_BATCH, _IS_NOW, _wo.ownership_action == _REASSIGN)
        change = scheduled_plan_change.c
        of_prior = and_(reassigned, change.device_ownership_id == _wo.prior_ownership_id)
        # Dropped first, told then: what another engine applies at this very moment is not told as dropped.
        self.statements.append(
            update(scheduled_plan_change)
            .where(of_prior, change.state == "pending")
            .values(state="cancelled", settled_at=NOW)
        )
        dropped = and_(of_prior, change.state == "cancelled", change.settled_at == NOW)
        self._write_history(
            event=literal("plan_change_dropped"),
            detail=literal("Rate plan ") + rate_plan.c.code + literal(", the device was reassigned"),
            rows=work_order.join(job, _OF_JOB)
            .join(scheduled_plan_change, dropped)
            .join(rate_plan, rate_plan.c.id == change.rate_plan_id)
            .join(device_ownership, _own.id == change.device_ownership_id),
            customer_id=_own.customer_id,
            effective_date=change.due_on,
        )
        self._write_history(
            event=literal("ended"),
            detail=literal("Taken over by ") + func.coalesce(customer.c.account_number, customer.c.name),
            rows=work_order.join(job, _OF_JOB)
            .join(customer, customer.c.id == job.c.customer_id)
            .join(device_ownership, _own.id == _wo.prior_ownership_id),
            where=reassigned,
            customer_id=_own.customer_id,
        )
        # An ownership never ends before it began, whatever date the devices were activated on.
        ends_on = case((_wo.effective_date < _own.effective_from, _own.effective_from), else_=_wo.effective_date)
        self.statements.append(
            update(device_ownership)
            .where(reassigned, _own.id == _wo.prior_ownership_id)
            .values(
                state="ended",
                effective_to=ends_on,
                customer_rate_plan_id=None,
                data_limit_bytes=None,
                data_pool=None,
                changed_at=NOW,
            )
        )
        link = device_service_link.c
        of_another = (
            exists()
            .where(billing_service.c.id == link.billing_service_id, billing_service.c.customer_id != job.c.customer_id)
            .correlate(device_service_link, job)  # the link is that of the UPDATE, two levels up
        )
        self.statements.append(
            update(device_service_link)
            .where(
                link.closed_at.is_(None),
                link.device_id.in_(select(_wo.device_id).where(reassigned)),  # the way in, by an index
                exists().where(reassigned, _OF_JOB, link.device_id == _wo.device_id, of_another),
            )
            .values(closed_at=NOW)
        )

    def _insert_ownership(self) -> None:
        def unless_ahead(column: ColumnElement[Any]) -> ColumnElement[Any]:
            return case((_IS_NOW, column), else_=null())

        self.statements.append(
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
                    case((_IS_AHEAD, "scheduled"), else_="active"),
                    false(),
                    _wo.effective_date,
                    unless_ahead(job.c.customer_rate_plan_id),
                    unless_ahead(job.c.data_limit_bytes),
                    unless_ahead(job.c.data_pool),
                    _wo.id,
                    NOW,
                    NOW,
                ).where(
                    IN_BATCH,
                    _OF_JOB,
                    or_(
                        is_any_of(_wo.ownership_action, _ASSIGN, _REASSIGN),
                        and_(_wo.ownership_action == _MOVE, _IS_AHEAD),
                    ),
                ),
            )
        )  # fmt: skip

    # --- plans -------------------------------------------------------------------------------------------------------

    def _plans(self) -> None:
        plan_now: dict[str, Any] = {}
        if self.shape.carrier_plan:
            plan_now["carrier_rate_plan_id"] = case(
                (and_(_IS_NOW, _wo.carrier_rate_plan_id.is_not(None)), _wo.carrier_rate_plan_id),
                else_=device.c.carrier_rate_plan_id,
            )
        self.statements.append(
            update(device)
            .where(IN_BATCH, device.c.id == _wo.device_id)
            .values(**plan_now, changed_at=NOW, revision=device.c.revision + 1)
        )
        if self.shape.customer_plan and self.shape.any_of(_KEEP, _MOVE, ahead=False):
            self.statements.append(
                update(device_ownership)
                .where(
                    IN_BATCH, _IS_NOW, _OF_JOB, job.c.customer_rate_plan_id.is_not(None),
                    is_any_of(_wo.ownership_action, _KEEP, _MOVE), _own.id == _wo.prior_ownership_id,
                )
                .values(
                    customer_rate_plan_id=job.c.customer_rate_plan_id,
                    data_limit_bytes=job.c.data_limit_bytes,
                    data_pool=job.c.data_pool,
                    changed_at=NOW,
                )
            )  # fmt: skip
        if self.shape.ahead and self.shape.carrier_plan:
            self._schedule("carrier", _wo.carrier_rate_plan_id, null(), null())
        if self.shape.ahead and self.shape.customer_plan:
            self._schedule("customer", job.c.customer_rate_plan_id, job.c.data_limit_bytes, job.c.data_pool)

    def _schedule(
        self, kind: str, plan: ColumnElement[Any], limit: ColumnElement[Any], pool: ColumnElement[Any]
    ) -> None:
        """Plan changes for a day ahead, bound to the ownership they are made for: the kept one, or the one to come."""
        the_ownership = or_(
            and_(_wo.ownership_action == _KEEP, _own.id == _wo.prior_ownership_id),
            and_(_wo.ownership_action != _KEEP, _own.work_order_id == _wo.id, _own.state == "scheduled"),
        )
        self.statements.append(
            insert(scheduled_plan_change).from_select(
                ["device_id", "device_ownership_id", "kind", "rate_plan_id", "data_limit_bytes", "data_pool", "due_on",
                 "state", "work_order_id", "created_at"],
                select(
                    _wo.device_id, _own.id, literal(kind), plan, limit, pool, _wo.effective_date, literal("pending"),
                    _wo.id, NOW,
                ).where(
                    IN_BATCH, _IS_AHEAD, _OF_JOB, plan.is_not(None), _own.device_id == _wo.device_id,
                    the_ownership,
                ),
            )
        )  # fmt: skip

    # --- billing -----------------------------------------------------------------------------------------------------

    def _links(self) -> None:
        if not self.shape.billed:
            return
        link = device_service_link.c
        is_linked = exists().where(
            link.device_id == _wo.device_id, link.billing_service_id == _wo.billing_service_id, link.closed_at.is_(None)
        )
        self.statements.append(
            insert(device_service_link).from_select(
                ["device_id", "billing_service_id", "linked_at"],
                select(_wo.device_id, _wo.billing_service_id, NOW).where(
                    IN_BATCH,
                    is_any_of(_wo.billing_action, *_BILLED),
                    _wo.billing_service_id.is_not(None),
                    not_(is_linked),
                ),
            )
        )

    # --- history -----------------------------------------------------------------------------------------------------

    def _history(self) -> None:
        """One row a fact: who owns it now (or will), the billing service, each plan that changed (or will)."""
        with_job = work_order.join(job, _OF_JOB)
        self._write_history(
            event=case(
                (_wo.ownership_action == _KEEP, "kept"),
                (_IS_AHEAD, "scheduled"),
                (_wo.ownership_action == _ASSIGN, "assigned"),
                (_wo.ownership_action == _MOVE, "moved"),
                else_="reassigned",
            ),
            detail=func.coalesce(literal("Site ") + site.c.name, ""),
            rows=with_job.outerjoin(site, site.c.id == job.c.site_id),
        )
        if self.shape.billed:
            of_step = work_order_step.c
            self._write_history(
                event=case((of_step.state == StepState.KEPT, "billing_service_kept"), else_="billing_service_created"),
                detail=literal("Billing service ") + billing_service.c.service_id,
                rows=with_job.join(billing_service, billing_service.c.id == _wo.billing_service_id).join(
                    work_order_step, and_(of_step.work_order_id == _wo.id, of_step.step == Step.BILLING_SERVICE)
                ),
            )
        if self.shape.carrier_plan:
            self._plan_history(Step.CARRIER_RATE_PLAN, "carrier_plan_changed", "Carrier", _wo.carrier_rate_plan_id)
        if self.shape.customer_plan:
            self._plan_history(
                Step.CUSTOMER_RATE_PLAN, "customer_plan_changed", "Customer", job.c.customer_rate_plan_id
            )

    def _plan_history(self, step: Step, event: str, kind: str, plan: ColumnElement[Any]) -> None:
        of_step = work_order_step.c
        self._write_history(
            event=case((of_step.state == StepState.SCHEDULED, "plan_change_scheduled"), else_=event),
            detail=literal(f"{kind} rate plan ") + rate_plan.c.code,
            rows=work_order.join(job, _OF_JOB)
            .join(rate_plan, rate_plan.c.id == plan)
            .join(work_order_step, and_(of_step.work_order_id == _wo.id, of_step.step == step)),
            where=is_any_of(of_step.state, StepState.DONE, StepState.SCHEDULED),
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
        self.statements.append(
            insert(device_history).from_select(
                HISTORY_COLUMNS,
                select(
                    _wo.device_id,
                    job.c.customer_id if customer_id is None else customer_id,
                    job.c.id,
                    _wo.id,
                    NOW,
                    event,
                    detail,
                    _wo.effective_date if effective_date is None else effective_date,
                    job.c.operator_login,
                    job.c.reason,
                    false(),
                )
                .select_from(rows)
                .where(IN_BATCH, *(() if where is None else (where,))),
            )
        )

    # --- the work orders themselves ----------------------------------------------------------------------------------

    def _succeed(self) -> None:
        billed: dict[str, Any] = {}
        if self.shape.billed:
            said = select(work_order_step.c.answer).where(
                work_order_step.c.work_order_id == _wo.id, work_order_step.c.step == Step.BILLING_SERVICE
            )
            billed["billing_answer"] = func.coalesce(said.scalar_subquery(), _wo.billing_answer)
        self.statements.append(
            update(work_order)
            .where(IN_BATCH, is_any_of(_wo.state, WorkOrderState.RUNNING, WorkOrderState.QUEUED))
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
                completed_at=NOW,
                changed_at=NOW,
                revision=_wo.revision + 1,
            )
        )


def _same(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[bool]:
    """Equal, or both unknown."""
    return or_(one == other, and_(one.is_(None), other.is_(None)))
