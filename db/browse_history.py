"""What happened, newest first: over all devices, and to one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, Subquery, Table, and_, func, or_, select, union

from db.operators import sees
from db.schema import (
    cross_provider_device_history,
    customer,
    device,
    device_history,
    job,
    rate_plan,
    service_provider,
    work_order,
)
from db.searching import contains
from desktop_app.association.facts import OperatorRights
from desktop_app.association.model import PlanKind

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Customers whose name, and newest jobs whose number may hold the searched text; more is no search but a list.
_MOST_NAMED = 500
#: Customers, jobs or devices of which each is read by an index of its own.
_MOST_WAYS = 50
#: So many handles are named in one statement.
_MOST_HANDLES = 500
#: What a tracking number is made of; for anything else jobs need not be searched.
_PART_OF_A_NUMBER = re.compile("[AJ0-9-]+")

_fact = device_history.c
_NEWEST = (_fact.at.desc(), _fact.id.desc())


class HistoryRecord(NamedTuple):
    """One fact of one device's history. ``rate_plans``, of a fact about plans: kind, code and name of those that its
    work order asked for."""

    history_id: int
    at: datetime
    iccid: str
    event: str
    detail: str
    customer: str | None
    tracking_number: str | None
    operator_login: str
    reason: str
    effective_date: date | None
    service_provider: str
    rate_plans: tuple[tuple[PlanKind, str, str], ...]


def history(
    uow: UnitOfWork,
    rights: OperatorRights,
    *,
    device_ids: Sequence[int] | None = None,
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    operator_login: str = "",
    customer_id: int | None = None,
    before: int | None = None,
    limit: int = 200,
) -> list[HistoryRecord]:
    """Facts, newest first.

    Args:
        device_ids: only of these devices; None: whatever ``text`` names.
        text: a tracking number, or a part of a customer's name; "": everything.
        since, until: instants, ``until`` not included.
        customer_id: only what was done for this customer.
        before: only facts older than the one of this ``history_id``.
    """
    conditions = [sees(rights, _fact.customer_id, or_nobody=True)]
    if since is not None:
        conditions.append(_fact.at >= since)
    if until is not None:
        conditions.append(_fact.at < until)
    if operator_login:
        conditions.append(_fact.operator_login == operator_login)
    if customer_id is not None:
        conditions.append(_fact.customer_id == customer_id)
    if before is not None:
        conditions.append(_is_before(uow, before))
    ways: list[ColumnElement[bool]] | None
    if device_ids is not None:
        ways = _one_by_one(_fact.device_id, device_ids)
    elif text.strip():
        ways = _named(uow, text.strip())
    else:
        ways = _visible(rights)
    if ways == []:
        return []
    if ways is None or len(ways) == 1:
        statement = _facts().where(*conditions, *(ways or ()))
    else:
        newest = _first_of(ways, conditions, limit)
        statement = _facts().join(newest, newest.c.id == _fact.id)
    return _records(uow, uow.connection.execute(statement.order_by(*_NEWEST).limit(limit)))


def _first_of(ways: Sequence[ColumnElement[bool]], conditions: Sequence[ColumnElement[bool]], limit: int) -> Subquery:
    """The newest facts that any of the ways leads to: the first page of each is read by an index, then they are merged.

    One condition with all of them would have every fact of all of them be read and sorted.
    """
    pages = [
        select(_fact.id, _fact.at).where(way, *conditions).order_by(*_NEWEST).limit(limit).subquery() for way in ways
    ]
    merged = union(*(select(page.c.id, page.c.at) for page in pages)).subquery()
    return select(merged.c.id).order_by(merged.c.at.desc(), merged.c.id.desc()).limit(limit).subquery()


def _is_before(uow: UnitOfWork, history_id: int) -> ColumnElement[bool]:
    """Older than this fact; those of one transaction have the same instant."""
    at = uow.connection.execute(select(_fact.at).where(_fact.id == history_id)).scalar_one_or_none()
    if at is None:
        return _fact.id < history_id
    # The first of the two is what an index is read by.
    return and_(_fact.at <= at, or_(_fact.at < at, _fact.id < history_id))


def _one_by_one(column: ColumnElement[Any], keys: Sequence[int]) -> list[ColumnElement[bool]]:
    """A way for each key; where there are too many for that, one that goes through all facts, newest first.

    An index by key would have all facts of all these keys be read and sorted for one page.
    """
    if len(keys) <= _MOST_WAYS:
        return [column == key for key in keys]
    return [(column + 0).in_(list(keys))]


def _visible(rights: OperatorRights) -> list[ColumnElement[bool]] | None:
    """Ways to what an operator may see who sees a few customers only; None: the newest facts will do."""
    visible = rights.visible_customers
    if visible is None or len(visible) > _MOST_WAYS:
        return None
    return [*_one_by_one(_fact.customer_id, sorted(visible)), _fact.customer_id.is_(None)]


def elsewhere(uow: UnitOfWork, rights: OperatorRights, device_id: int, limit: int = 200) -> list[HistoryRecord]:
    """Facts of the same SIM on other service providers, recorded for this device; newest first."""
    rows = uow.connection.execute(
        _facts()
        .join(
            cross_provider_device_history,
            cross_provider_device_history.c.device_history_id == device_history.c.id,
        )
        .where(
            cross_provider_device_history.c.device_id == device_id,
            sees(rights, device_history.c.customer_id, or_nobody=True),
        )
        .order_by(*_NEWEST)
        .limit(limit)
    )
    return _records(uow, rows)


def operators(uow: UnitOfWork) -> tuple[str, ...]:
    """Logins that appear in the history or have submitted a job, in order."""
    return tuple(sorted({*_logins(uow, _fact.operator_login), *_logins(uow, job.c.operator_login)}))


def _logins(uow: UnitOfWork, column: ColumnElement[str]) -> Iterator[str]:
    """Each login once, from one to the next by the index: ``DISTINCT`` would read every row there ever was."""
    login = uow.connection.execute(select(func.min(column))).scalar()
    while login is not None:
        yield login
        login = uow.connection.execute(select(func.min(column)).where(column > login)).scalar()


def _named(uow: UnitOfWork, text: str) -> list[ColumnElement[bool]]:
    """Ways to what the text names: a job by its whole number, else customers and jobs that hold the text."""
    job_id = uow.connection.execute(select(job.c.id).where(job.c.tracking_number == text.upper())).scalar_one_or_none()
    if job_id is not None:
        return [_fact.job_id == job_id]
    customers = select(customer.c.id).where(contains(customer.c.search_name, text.casefold())).limit(_MOST_NAMED)
    ways = _one_by_one(_fact.customer_id, list(uow.connection.execute(customers).scalars()))
    if _PART_OF_A_NUMBER.fullmatch(text.upper()):
        jobs = select(job.c.id).where(contains(job.c.tracking_number, text.upper()))
        newest = jobs.order_by(job.c.submitted_at.desc()).limit(_MOST_NAMED)
        ways += _one_by_one(_fact.job_id, list(uow.connection.execute(newest).scalars()))
    return ways


def _facts() -> Select[Any]:
    return select(
        device_history.c.id,
        device_history.c.at,
        device.c.iccid,
        device_history.c.event,
        device_history.c.detail,
        customer.c.name,
        job.c.tracking_number,
        device_history.c.operator_login,
        device_history.c.reason,
        device_history.c.effective_date,
        service_provider.c.code,
        device_history.c.work_order_id,
        device_history.c.job_id,
    ).select_from(
        device_history.join(device, device.c.id == device_history.c.device_id)
        .join(service_provider, service_provider.c.id == device.c.service_provider_id)
        .outerjoin(customer, customer.c.id == device_history.c.customer_id)
        .outerjoin(job, job.c.id == device_history.c.job_id)
    )


def _records(uow: UnitOfWork, found: Iterable[Row[Any]]) -> list[HistoryRecord]:
    """The facts with the names of their plans, which are asked for by handle: a join would lead some databases to read
    all work orders."""
    rows = list(found)
    about_plans = [row for row in rows if "plan" in row.event]
    carrier = _plans(uow, work_order, work_order.c.carrier_rate_plan_id, (row.work_order_id for row in about_plans))
    customers = _plans(uow, job, job.c.customer_rate_plan_id, (row.job_id for row in about_plans))
    records = []
    for row in rows:
        plans = ((PlanKind.CARRIER, carrier.get(row.work_order_id)), (PlanKind.CUSTOMER, customers.get(row.job_id)))
        named = tuple((kind, *plan) for kind, plan in plans if plan is not None)
        records.append(HistoryRecord._make((*row[:-2], named)))
    return records


def _plans(
    uow: UnitOfWork, asked: Table, plan_id: ColumnElement[Any], handles: Iterable[int | None]
) -> dict[int | None, tuple[str, str]]:
    """Code and name of the rate plan that each of these work orders or jobs asked for."""
    known = sorted({handle for handle in handles if handle is not None})
    found: dict[int | None, tuple[str, str]] = {}
    for start in range(0, len(known), _MOST_HANDLES):
        rows = uow.connection.execute(
            select(asked.c.id, rate_plan.c.code, rate_plan.c.name)
            .join_from(asked, rate_plan, rate_plan.c.id == plan_id)
            .where(asked.c.id.in_(known[start : start + _MOST_HANDLES]))
        )
        found |= {handle: (code, name) for handle, code, name in rows}
    return found
