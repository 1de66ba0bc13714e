"""What was written down for a day ahead and is due now: ownerships that begin, and rate plans that change.

Applied once, by whichever engine comes first: each statement takes only what is still ``scheduled`` or ``pending``, and
all of them are one transaction. Days on which no engine ran are caught up, in the order of their dates. A plan change
applies only to the ownership that it was made for; if that has ended, it is dropped, and the history says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, exists, false, func, insert, literal, not_, or_, select, update

from db.effects import HISTORY_COLUMNS
from db.procedures import sync_device_service_links
from db.schema import (
    customer,
    device,
    device_history,
    device_ownership,
    job,
    rate_plan,
    scheduled_plan_change,
    work_order,
)
from db.work import is_state

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_own = device_ownership.c
_change = scheduled_plan_change.c

#: Ownerships that begin in one transaction, and plan changes: the rest comes in the next.
MOST_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What was due. ``more``: there is more of it."""

    ownerships: int
    plan_changes: int
    dropped: int
    more: bool


def apply_due(uow: UnitOfWork) -> Applied:
    """Begins ownerships and changes plans whose day has come; the caller commits."""
    begun = _begin_ownerships(uow)
    changed, dropped = _change_plans(uow)
    return Applied(begun, changed, dropped, MOST_AT_ONCE in (begun, changed + dropped))


def any_due(uow: UnitOfWork) -> bool:
    """Whether anything is due: read before anything is written for it."""
    today = uow.today()
    begins = select(_own.id).where(
        is_state(_own.state, "scheduled"), _own.is_deleted == false(), _own.effective_from <= today
    )
    changes = (
        select(_change.id)
        .join(device_ownership, _own.id == _change.device_ownership_id)
        .where(is_state(_change.state, "pending"), _change.due_on <= today, _own.state != "scheduled")
    )
    return any(uow.connection.execute(query.limit(1)).first() is not None for query in (begins, changes))


# --- ownerships ------------------------------------------------------------------------------------------------------


def _begin_ownerships(uow: UnitOfWork) -> int:
    now, today = uow.now(), uow.today()
    ids = list(
        uow.connection.scalars(
            select(_own.id)
            .where(_own.state == "scheduled", _own.is_deleted == false(), _own.effective_from <= today)
            .order_by(_own.effective_from, _own.id)
            .limit(MOST_AT_ONCE)
        )
    )
    begun = 0
    for part in _parts(ids):
        begun += _begin(uow, part, now)
    if begun:
        sync_device_service_links(uow)
    return begun


def _begin(uow: UnitOfWork, ids: list[int], now: Any) -> int:
    old, new = device_ownership.alias("old"), device_ownership.alias("new")
    standing = and_(old.c.device_id == new.c.device_id, old.c.state == "active", old.c.is_deleted == false())
    due = and_(new.c.id.in_(ids), new.c.state == "scheduled")
    another = and_(standing, due, old.c.customer_id != new.c.customer_id)
    # Another customer's plan changes end with its ownership; the same customer's go on at its new site.
    dropped = exists().where(another, _change.device_ownership_id == old.c.id, _change.state == "pending")
    _history_of_changes(
        uow, "plan_change_dropped", ", the device was reassigned", and_(_change.state == "pending", dropped)
    )
    uow.connection.execute(
        update(scheduled_plan_change)
        .where(_change.state == "pending", exists().where(another, _change.device_ownership_id == old.c.id))
        .values(state="cancelled", settled_at=now)
    )
    successor = (
        select(new.c.id)
        .where(standing, due, old.c.id == _change.device_ownership_id, old.c.customer_id == new.c.customer_id)
        .scalar_subquery()
    )
    uow.connection.execute(
        update(scheduled_plan_change)
        .where(_change.state == "pending", exists(successor))
        .values(device_ownership_id=successor)
    )
    # The same customer's plan goes along.
    for column in ("customer_rate_plan_id", "data_limit_bytes", "data_pool"):
        value = (
            select(old.c[column])
            .where(
                old.c.device_id == _own.device_id, old.c.state == "active", old.c.is_deleted == false(),
                old.c.customer_id == _own.customer_id,
            )
            .scalar_subquery()
        )  # fmt: skip
        uow.connection.execute(
            update(device_ownership)
            .where(_own.id.in_(ids), _own.state == "scheduled", exists(value))
            .values({column: value})
        )
    _history_of_ownerships(uow, ids, "ended")
    begins = select(new.c.effective_from).where(due, new.c.device_id == _own.device_id).scalar_subquery()
    has_other_owner = exists().where(due, new.c.device_id == _own.device_id, new.c.customer_id != _own.customer_id)
    uow.connection.execute(
        update(device_ownership)
        .where(_own.state == "active", _own.is_deleted == false(), exists(begins))
        .values(
            state="ended",
            effective_to=begins,
            customer_rate_plan_id=case((has_other_owner, None), else_=_own.customer_rate_plan_id),
            data_limit_bytes=case((has_other_owner, None), else_=_own.data_limit_bytes),
            data_pool=case((has_other_owner, None), else_=_own.data_pool),
            changed_at=now,
        )
    )
    _history_of_ownerships(uow, ids, "assigned")
    begun = uow.connection.execute(
        update(device_ownership)
        .where(_own.id.in_(ids), _own.state == "scheduled")
        .values(state="active", changed_at=now)
    ).rowcount
    uow.connection.execute(
        update(device)
        .where(device.c.id.in_(select(_own.device_id).where(_own.id.in_(ids))))
        .values(changed_at=now, revision=device.c.revision + 1)
    )
    return begun


def _history_of_ownerships(uow: UnitOfWork, ids: list[int], event: str) -> None:
    """``ended`` for the ownerships that stand, ``assigned`` for those that begin; before they change."""
    old, new = device_ownership.alias("old"), device_ownership.alias("new")
    rows = new.join(work_order, work_order.c.id == new.c.work_order_id).join(job, job.c.id == work_order.c.job_id)
    customer_id: ColumnElement[Any] = new.c.customer_id
    detail: ColumnElement[Any] = literal("As scheduled")
    if event == "ended":
        rows = rows.join(customer, customer.c.id == new.c.customer_id).join(
            old,
            and_(old.c.device_id == new.c.device_id, old.c.state == "active", old.c.is_deleted == false()),
        )
        customer_id = old.c.customer_id
        detail = literal("Taken over by ") + func.coalesce(customer.c.account_number, customer.c.name)
    uow.connection.execute(
        insert(device_history).from_select(
            HISTORY_COLUMNS,
            select(
                new.c.device_id, customer_id, job.c.id, work_order.c.id,
                literal(uow.now(), device_history.c.at.type), literal(event), detail, new.c.effective_from,
                job.c.operator_login, job.c.reason, literal(True, device_history.c.is_complete.type),
            ).select_from(rows).where(new.c.id.in_(ids), new.c.state == "scheduled"),
        )
    )  # fmt: skip


# --- rate plans ------------------------------------------------------------------------------------------------------


def _change_plans(uow: UnitOfWork) -> tuple[int, int]:
    now, today = uow.now(), uow.today()
    due = uow.connection.execute(
        select(_change.id, _change.kind, _own.state, _own.is_deleted)
        .join(device_ownership, _own.id == _change.device_ownership_id)
        .where(_change.state == "pending", _change.due_on <= today, _own.state != "scheduled")
        .order_by(_change.due_on, _change.id)
        .limit(MOST_AT_ONCE)
    ).all()
    gone = [row.id for row in due if row.state == "ended" or row.is_deleted]
    standing = {kind: [row.id for row in due if row.id not in set(gone) and row.kind == kind] for kind in _KINDS}
    for part in _parts(gone):
        _history_of_changes(uow, "plan_change_dropped", ", its ownership has ended", _change.id.in_(part))
        _settle(uow, part, "cancelled", now)
    for kind, ids in standing.items():
        for part in _parts(ids):
            _history_of_changes(uow, "plan_change_applied", "", _change.id.in_(part))
            _apply(uow, kind, part, now)
            _settle(uow, part, "applied", now)
    return sum(len(ids) for ids in standing.values()), len(gone)


_KINDS = ("carrier", "customer")


def _apply(uow: UnitOfWork, kind: str, ids: list[int], now: Any) -> None:
    """Several changes of one plan: the one that is due last stands."""
    later = scheduled_plan_change.alias("later")
    is_last = and_(
        _change.id.in_(ids),
        not_(
            exists().where(
                later.c.id.in_(ids),
                later.c.device_ownership_id == _change.device_ownership_id,
                or_(
                    later.c.due_on > _change.due_on,
                    and_(later.c.due_on == _change.due_on, later.c.id > _change.id),
                ),
            )
        ),
    )

    def of_last(column: str, *on: ColumnElement[bool]) -> Any:
        return select(_change[column]).where(is_last, *on).scalar_subquery()

    of_device = _change.device_id == device.c.id
    of_ownership = _change.device_ownership_id == _own.id
    plan = {"carrier_rate_plan_id": of_last("rate_plan_id", of_device)} if kind == "carrier" else {}
    uow.connection.execute(
        update(device)
        .where(device.c.id.in_(select(_change.device_id).where(_change.id.in_(ids))))
        .values(**plan, changed_at=now, revision=device.c.revision + 1)
    )
    if kind == "customer":
        uow.connection.execute(
            update(device_ownership)
            .where(_own.id.in_(select(_change.device_ownership_id).where(_change.id.in_(ids))))
            .values(
                customer_rate_plan_id=of_last("rate_plan_id", of_ownership),
                data_limit_bytes=of_last("data_limit_bytes", of_ownership),
                data_pool=of_last("data_pool", of_ownership),
                changed_at=now,
            )
        )


def _settle(uow: UnitOfWork, ids: list[int], state: str, now: Any) -> None:
    uow.connection.execute(
        update(scheduled_plan_change)
        .where(_change.id.in_(ids), _change.state == "pending")
        .values(state=state, settled_at=now)
    )


def _history_of_changes(uow: UnitOfWork, event: str, why: str, which: ColumnElement[bool]) -> None:
    """A history row for each of these plan changes; before they change."""
    rows = (
        scheduled_plan_change.join(rate_plan, rate_plan.c.id == _change.rate_plan_id)
        .join(device_ownership, _own.id == _change.device_ownership_id)
        .join(work_order, work_order.c.id == _change.work_order_id)
        .join(job, job.c.id == work_order.c.job_id)
    )
    kind = case((_change.kind == "carrier", "Carrier"), else_="Customer")
    uow.connection.execute(
        insert(device_history).from_select(
            HISTORY_COLUMNS,
            select(
                _change.device_id, _own.customer_id, job.c.id, work_order.c.id,
                literal(uow.now(), device_history.c.at.type), literal(event),
                kind + literal(" rate plan ") + rate_plan.c.code + literal(why), _change.due_on,
                job.c.operator_login, job.c.reason, literal(True, device_history.c.is_complete.type),
            ).select_from(rows).where(which, _change.state == "pending"),
        )
    )  # fmt: skip


def _parts(ids: list[int], size: int = 1_000) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
