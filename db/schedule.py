"""What was written down for a day ahead and is due now: ownerships that begin, and rate plans that change.

Applied once, by whichever engine comes first: the first statement takes what is still ``scheduled`` or ``pending``, and
if another engine has some of it the whole is rolled back. Days on which no engine ran are caught up, in the order of
their dates. A plan change applies only to the ownership that it was made for; if that has ended, it is dropped, and the
history says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

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
    or_,
    select,
    true,
    update,
)

from db.effects import HISTORY_COLUMNS
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
    work_order,
)
from db.taking_back import TakenByAnother
from db.work import is_state, parts

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_own = device_ownership.c
_change = scheduled_plan_change.c

#: Ownerships that begin in one transaction, and plan changes: the rest comes in the next.
MOST_AT_ONCE = 2_000
#: Handles in one statement, which may name them three times: SQL Server takes 2,100 parameters.
_IN_ONE_STATEMENT = 600
#: Who did what nobody asked for through a job, such as a change that was imported.
_NOBODY = "(schedule)"


@dataclass(frozen=True, slots=True)
class Applied:
    """What was due. ``more``: there is more of it."""

    ownerships: int
    plan_changes: int
    dropped: int
    more: bool

    @property
    def count(self) -> int:
        """All of it."""
        return self.ownerships + self.plan_changes + self.dropped

    def __add__(self, other: Applied) -> Applied:
        return Applied(
            self.ownerships + other.ownerships,
            self.plan_changes + other.plan_changes,
            self.dropped + other.dropped,
            self.more or other.more,
        )


def any_due(uow: UnitOfWork) -> bool:
    """Whether anything is due: read before anything is written for it."""
    due = (_begins(uow), _changes(uow.today()))
    return any(uow.connection.execute(query.limit(1)).first() is not None for query in due)


def apply_due(uow: UnitOfWork) -> Applied:
    """Begins ownerships and changes plans whose day has come; the caller commits.

    Raises:
        TakenByAnother: another engine is at it; the caller rolls back.
    """
    applied = Applied(0, 0, 0, more=False)
    for do in _in_order(uow):
        applied += do()
        if applied.more or applied.count >= MOST_AT_ONCE:
            applied = replace(applied, more=True)
            break
    if applied.count:
        record_across_providers(uow, at=uow.now())
    return applied


def _in_order(uow: UnitOfWork) -> Iterator[Callable[[], Applied]]:
    """Day by day: what was due while the owner before still stood is done to it, not dropped with it."""
    days = uow.connection.scalars(_begins(uow).with_only_columns(_own.effective_from).distinct()).all()
    for day in sorted(days):
        yield partial(_change_plans, uow, day - timedelta(days=1))
        yield partial(_begin_ownerships, uow, day)
    yield partial(_change_plans, uow, uow.today())


def _begins(uow: UnitOfWork) -> Select[Any]:
    return select(_own.id).where(
        is_state(_own.state, "scheduled"), _own.is_deleted == false(), _own.effective_from <= uow.today()
    )


def _changes(until: date) -> Select[Any]:
    return (
        select(_change.id, _change.kind, _own.state, _own.is_deleted)
        .join(device_ownership, _own.id == _change.device_ownership_id)
        .where(is_state(_change.state, "pending"), _change.due_on <= until, _own.state != "scheduled")
    )


# --- ownerships ------------------------------------------------------------------------------------------------------


def _begin_ownerships(uow: UnitOfWork, day: date) -> Applied:
    due = _begins(uow).where(_own.effective_from == day).order_by(_own.id).limit(MOST_AT_ONCE)
    ids = list(uow.connection.scalars(due))
    for part in parts(ids, _IN_ONE_STATEMENT):
        _Beginning(uow, part).apply()
    return Applied(len(ids), 0, 0, more=len(ids) == MOST_AT_ONCE)


class _Beginning:
    """Scheduled ownerships that begin, and those that they follow."""

    def __init__(self, uow: UnitOfWork, ids: Sequence[int]) -> None:
        self.uow = uow
        self.connection = uow.connection
        self.now = uow.now()
        self.ids = ids
        taken = self.connection.execute(
            update(device_ownership)
            .where(_own.id.in_(ids), _own.state == "scheduled", _own.is_deleted == false())
            .values(changed_at=self.now)
        ).rowcount
        if taken != len(ids):
            raise TakenByAnother
        old, new = device_ownership.alias("old"), device_ownership.alias("new")
        follows = and_(old.c.device_id == new.c.device_id, old.c.state == "active", old.c.is_deleted == false())
        pairs = self.connection.execute(
            select(old.c.id, old.c.customer_id, new.c.customer_id).join(new, follows).where(new.c.id.in_(ids))
        ).all()
        #: Those that end: of other customers, and of the same one at another site.
        self.others = [ended for ended, before, after in pairs if before != after]
        self.same = [ended for ended, before, after in pairs if before == after]

    def apply(self) -> None:
        new = device_ownership.alias("new")
        successor = and_(new.c.id.in_(self.ids), new.c.device_id == _own.device_id)
        if self.same:
            self._take_plans_along()
        self._write_history()
        if self.others:
            self._drop_changes()
            self._close_links()
        begins = select(new.c.effective_from).where(successor).scalar_subquery()
        ended = {"state": "ended", "effective_to": begins, "changed_at": self.now}
        for ids, cleared in (
            (self.same, {}),
            (self.others, {"customer_rate_plan_id": None, "data_limit_bytes": None, "data_pool": None}),
        ):
            if ids:
                self.connection.execute(update(device_ownership).where(_own.id.in_(ids)).values(**ended, **cleared))
        # Only now: no device ever has two owners.
        self.connection.execute(update(device_ownership).where(_own.id.in_(self.ids)).values(state="active"))
        self.connection.execute(
            update(device)
            .where(device.c.id.in_(select(_own.device_id).where(_own.id.in_(self.ids))))
            .values(changed_at=self.now, revision=device.c.revision + 1)
        )

    def _take_plans_along(self) -> None:
        """The same customer's plan, and its plan changes to come, go along to its new site."""
        old = device_ownership.alias("old")
        followed = and_(old.c.id.in_(self.same), old.c.device_id == _own.device_id)
        columns = ("customer_rate_plan_id", "data_limit_bytes", "data_pool")
        self.connection.execute(
            update(device_ownership)
            .where(_own.id.in_(self.ids), exists().where(followed))
            .values({column: select(old.c[column]).where(followed).scalar_subquery() for column in columns})
        )
        new = device_ownership.alias("new")
        successor = (
            select(new.c.id).where(new.c.id.in_(self.ids), new.c.device_id == _change.device_id).scalar_subquery()
        )
        self.connection.execute(
            update(scheduled_plan_change)
            .where(_change.state == "pending", _change.device_ownership_id.in_(self.same))
            .values(device_ownership_id=successor)
        )

    def _drop_changes(self) -> None:
        """Another customer's plan changes end with its ownership."""
        pending = and_(_change.state == "pending", _change.device_ownership_id.in_(self.others))
        ids = list(self.connection.scalars(select(_change.id).where(pending).order_by(_change.id)))
        for part in parts(ids, _IN_ONE_STATEMENT):
            _settle(self.uow, part, "cancelled")
            _history_of_changes(self.uow, "plan_change_dropped", ", the device was reassigned", _change.id.in_(part))

    def _close_links(self) -> None:
        """The link to the billing service of a customer whose ownership ends is closed."""
        link = device_service_link.c
        of_ended = exists().where(
            billing_service.c.id == link.billing_service_id,
            _own.id.in_(self.others),
            _own.device_id == link.device_id,
            _own.customer_id == billing_service.c.customer_id,
        )
        self.connection.execute(
            update(device_service_link)
            .where(
                link.closed_at.is_(None),
                link.device_id.in_(select(_own.device_id).where(_own.id.in_(self.others))),  # the way in, by an index
                of_ended,
            )
            .values(closed_at=self.now)
        )

    def _write_history(self) -> None:
        """What ended, and what began; before it is changed."""
        old, new = device_ownership.alias("old"), device_ownership.alias("new")
        asked = (
            new.outerjoin(work_order, work_order.c.id == new.c.work_order_id)
            .outerjoin(job, job.c.id == work_order.c.job_id)
            .outerjoin(
                old, and_(old.c.device_id == new.c.device_id, old.c.state == "active", old.c.is_deleted == false())
            )
        )
        began = case(
            (old.c.id.is_(None), "assigned"), (old.c.customer_id == new.c.customer_id, "moved"), else_="reassigned"
        )
        ends = asked.join(customer, customer.c.id == new.c.customer_id)
        taken_over = literal("Taken over by ") + func.coalesce(customer.c.account_number, customer.c.name)
        since = new.c.effective_from
        facts = [
            select(new.c.device_id, old.c.customer_id, *_who(self.uow, literal("ended"), taken_over, since))
            .select_from(ends)
            .where(new.c.id.in_(self.ids), old.c.customer_id != new.c.customer_id),
            select(new.c.device_id, new.c.customer_id, *_who(self.uow, began, literal("As scheduled"), since))
            .select_from(asked)
            .where(new.c.id.in_(self.ids)),
        ]
        for fact in facts:
            self.connection.execute(insert(device_history).from_select(HISTORY_COLUMNS, fact))


def _who(
    uow: UnitOfWork, event: ColumnElement[Any], detail: ColumnElement[Any], effective_date: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ...]:
    """The columns of a history row after device and customer, by whoever's job asked for it."""
    return (
        job.c.id,
        work_order.c.id,
        literal(uow.now(), device_history.c.at.type),
        event,
        detail,
        effective_date,
        func.coalesce(job.c.operator_login, _NOBODY),
        func.coalesce(job.c.reason, ""),
        true(),
    )


# --- rate plans ------------------------------------------------------------------------------------------------------

_KINDS = ("carrier", "customer")


def _change_plans(uow: UnitOfWork, until: date) -> Applied:
    """Changes plans of ownerships that stand, and drops those of ownerships that have ended."""
    rows = uow.connection.execute(_changes(until).order_by(_change.due_on, _change.id).limit(MOST_AT_ONCE)).all()
    gone = [row.id for row in rows if row.state == "ended" or row.is_deleted]
    is_gone = set(gone)
    for part in parts(gone, _IN_ONE_STATEMENT):
        _settle(uow, part, "cancelled")
        _history_of_changes(uow, "plan_change_dropped", ", its ownership has ended", _change.id.in_(part))
    for kind in _KINDS:
        ids = [row.id for row in rows if row.kind == kind and row.id not in is_gone]
        for part in parts(ids, _IN_ONE_STATEMENT):
            _settle(uow, part, "applied")
            _history_of_changes(uow, "plan_change_applied", "", _change.id.in_(part))
            _apply(uow, kind, part)
    return Applied(0, len(rows) - len(gone), len(gone), more=len(rows) == MOST_AT_ONCE)


def _settle(uow: UnitOfWork, ids: Sequence[int], state: str) -> None:
    settled = uow.connection.execute(
        update(scheduled_plan_change)
        .where(_change.id.in_(ids), _change.state == "pending")
        .values(state=state, settled_at=uow.now())
    ).rowcount
    if settled != len(ids):
        raise TakenByAnother


def _apply(uow: UnitOfWork, kind: str, ids: Sequence[int]) -> None:
    """Several changes of one plan: the one that is due last stands."""
    later = scheduled_plan_change.alias("later")
    comes_later = or_(later.c.due_on > _change.due_on, and_(later.c.due_on == _change.due_on, later.c.id > _change.id))
    is_last = and_(
        _change.id.in_(ids),
        not_(
            exists().where(later.c.id.in_(ids), later.c.device_ownership_id == _change.device_ownership_id, comes_later)
        ),
    )

    def of_last(column: str, of: ColumnElement[bool]) -> Any:
        return select(_change[column]).where(is_last, of).scalar_subquery()

    of_device = _change.device_id == device.c.id
    plan = {"carrier_rate_plan_id": of_last("rate_plan_id", of_device)} if kind == "carrier" else {}
    uow.connection.execute(
        update(device)
        .where(device.c.id.in_(select(_change.device_id).where(_change.id.in_(ids))))
        .values(**plan, changed_at=uow.now(), revision=device.c.revision + 1)
    )
    if kind == "customer":
        of_ownership = _change.device_ownership_id == _own.id
        uow.connection.execute(
            update(device_ownership)
            .where(_own.id.in_(select(_change.device_ownership_id).where(_change.id.in_(ids))))
            .values(
                customer_rate_plan_id=of_last("rate_plan_id", of_ownership),
                data_limit_bytes=of_last("data_limit_bytes", of_ownership),
                data_pool=of_last("data_pool", of_ownership),
                changed_at=uow.now(),
            )
        )


def _history_of_changes(uow: UnitOfWork, event: str, why: str, which: ColumnElement[bool]) -> None:
    """A history row for each of these plan changes."""
    kind = case((_change.kind == "carrier", "Carrier"), else_="Customer")
    detail = kind + literal(" rate plan ") + rate_plan.c.code + literal(why)
    uow.connection.execute(
        insert(device_history).from_select(
            HISTORY_COLUMNS,
            select(_change.device_id, _own.customer_id, *_who(uow, literal(event), detail, _change.due_on))
            .select_from(
                scheduled_plan_change.join(rate_plan, rate_plan.c.id == _change.rate_plan_id)
                .join(device_ownership, _own.id == _change.device_ownership_id)
                .outerjoin(work_order, work_order.c.id == _change.work_order_id)
                .outerjoin(job, job.c.id == work_order.c.job_id)
            )
            .where(which),
        )
    )
