"""What happened, newest first: over all devices, and to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, or_, select, union

from db.operators import sees
from db.schema import (
    cross_provider_device_history,
    customer,
    device,
    device_history,
    job,
    service_provider,
)
from db.searching import contains
from desktop_app.association.facts import OperatorRights

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Customers whose name may hold the searched text; more than that is no search but a list.
_MOST_CUSTOMERS = 500


class HistoryRecord(NamedTuple):
    """One fact of one device's history."""

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


def history(
    uow: UnitOfWork,
    rights: OperatorRights,
    *,
    device_ids: Sequence[int] | None = None,
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    operator_login: str = "",
    before: int | None = None,
    limit: int = 200,
) -> list[HistoryRecord]:
    """Facts, newest first.

    Args:
        device_ids: only of these devices; None: whatever ``text`` names.
        text: a tracking number, or a part of a customer's name; "": everything.
        since, until: instants, ``until`` not included.
        before: only facts older than the one of this ``history_id``.
    """
    statement = _facts().where(sees(rights, device_history.c.customer_id, or_nobody=True))
    if device_ids is not None:
        statement = statement.where(device_history.c.device_id.in_(list(device_ids)))
    elif text.strip():
        statement = statement.where(_named(uow, text.strip()))
    if since is not None:
        statement = statement.where(device_history.c.at >= since)
    if until is not None:
        statement = statement.where(device_history.c.at < until)
    if operator_login:
        statement = statement.where(device_history.c.operator_login == operator_login)
    if before is not None:
        statement = statement.where(device_history.c.id < before)
    # The key grows with time; facts of one transaction have the same instant.
    rows = uow.connection.execute(statement.order_by(device_history.c.id.desc()).limit(limit))
    return [HistoryRecord._make(row) for row in rows]


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
        .order_by(device_history.c.id.desc())
        .limit(limit)
    )
    return [HistoryRecord._make(row) for row in rows]


def operators(uow: UnitOfWork) -> tuple[str, ...]:
    """Logins that appear in the history or have submitted a job, in order."""
    logins = union(select(device_history.c.operator_login).distinct(), select(job.c.operator_login).distinct())
    return tuple(sorted(uow.connection.execute(logins).scalars()))


def _named(uow: UnitOfWork, text: str) -> ColumnElement[bool]:
    """What the text names: a job by its whole number, else customers and jobs that hold the text."""
    job_id = uow.connection.execute(select(job.c.id).where(job.c.tracking_number == text.upper())).scalar_one_or_none()
    if job_id is not None:
        named: ColumnElement[bool] = device_history.c.job_id == job_id
        return named
    customers = select(customer.c.id).where(contains(customer.c.search_name, text.casefold())).limit(_MOST_CUSTOMERS)
    jobs = select(job.c.id).where(contains(job.c.tracking_number, text.upper()))
    return or_(device_history.c.customer_id.in_(customers), device_history.c.job_id.in_(jobs))


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
    ).select_from(
        device_history.join(device, device.c.id == device_history.c.device_id)
        .join(service_provider, service_provider.c.id == device.c.service_provider_id)
        .outerjoin(customer, customer.c.id == device_history.c.customer_id)
        .outerjoin(job, job.c.id == device_history.c.job_id)
    )
