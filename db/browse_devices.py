"""Devices as a person looks at them: lists that hold a million of them, counts for a filter's chips, one device whole.

A list is read in two steps: the handles of everything that matches, in order, 8 bytes each; then the rows of the few
that are on the screen.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, false, func, literal_column, or_, select, true

from db import device_filter
from db.cancelling import all_ids, cancellable
from db.operators import sees
from db.schema import (
    billing_credential,
    billing_service,
    customer,
    device,
    device_ownership,
    job,
    rate_plan,
    scheduled_plan_change,
    service_provider,
    site,
    work_order,
)
from db.temporary import temporary_ids
from desktop_app.association.facts import OperatorRights
from desktop_app.association.model import DeviceFilter, IdentifierKind, Reading
from desktop_app.association.states import OPEN_WORK_ORDERS

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Rows that are read at a time: SQL Server takes 2,100 parameters.
MOST_ROWS = 1_000

_OWNED = and_(
    device_ownership.c.device_id == device.c.id,
    device_ownership.c.state == "active",
    device_ownership.c.is_deleted == false(),
)
_WITH_OWNER = device.outerjoin(device_ownership, _OWNED)
_WITH_NAMES = (
    _WITH_OWNER.join(service_provider, service_provider.c.id == device.c.service_provider_id)
    .outerjoin(rate_plan, rate_plan.c.id == device.c.carrier_rate_plan_id)
    .outerjoin(customer, customer.c.id == device_ownership.c.customer_id)
    .outerjoin(site, site.c.id == device_ownership.c.site_id)
)


class DeviceRecord(NamedTuple):
    """One device in a list."""

    device_id: int
    iccid: str
    imei: str | None
    msisdn: str | None
    eid: str | None
    name: str | None
    status: str
    service_provider: str
    carrier_rate_plan: str | None
    customer: str | None
    site: str | None
    activated_on: date | None
    is_deleted: bool
    is_archived: bool
    carrier_rate_plan_name: str | None


class FacetRecord(NamedTuple):
    """Counts of devices.

    Attributes:
        total: of all that may be seen, deleted and archived ones not counted.
        by: how many have this status, this service provider and this ownership, within the filter's text and customer.
    """

    total: int
    by: Mapping[tuple[str, str, bool], int]


class OwnershipRecord(NamedTuple):
    """One ownership of a device, past, present or to come."""

    state: str
    customer: str
    account_number: str | None
    site: str | None
    effective_from: date
    effective_to: date | None
    customer_rate_plan: str | None
    data_limit_bytes: int | None
    data_pool: str | None
    customer_rate_plan_name: str | None


class BillingServiceRecord(NamedTuple):
    """One billing service of a device."""

    service_id: str
    customer: str
    number: str
    is_active: bool
    effective_date: date
    ended_on: date | None
    credential: str
    reference: str | None


class ScheduledChangeRecord(NamedTuple):
    """One plan change that is to come, was applied or was cancelled."""

    kind: str
    rate_plan: str
    due_on: date
    state: str
    tracking_number: str | None
    rate_plan_name: str


# --- lists -----------------------------------------------------------------------------------------------------------

_SORTS: Mapping[str, ColumnElement[Any]] = {
    "iccid": device.c.iccid,
    "imei": device.c.imei,
    "msisdn": device.c.msisdn,
    "eid": device.c.eid,
    "name": device.c.name,
    "status": device.c.status,
    "service_provider": service_provider.c.code,
    "carrier_rate_plan": rate_plan.c.name,
    "customer": customer.c.search_name,
    "site": site.c.name,
    "activated": device.c.activated_on,
}
_NEVER_NULL = frozenset({"iccid", "status", "service_provider"})
#: Orders in which an index holds the devices.
_INDEXED = frozenset({"iccid", "msisdn", "eid"})


def device_ids(
    uow: UnitOfWork,
    rights: OperatorRights,
    wanted: DeviceFilter,
    sort: str,
    descending: bool,
    cancelled: Callable[[], bool],
    among: Sequence[int] | None = None,
) -> array[int]:
    """Handles of all devices that the filter matches and the operator may see, in order.

    Args:
        among: only these, which the filter matches; None: all of them.
        sort: ``iccid``, ``imei``, ``msisdn``, ``eid``, ``name``, ``status``, ``service_provider``,
            ``carrier_rate_plan`` (by name), ``customer``, ``site`` or ``activated``; what has no value comes last,
            equals go by ICCID.

    Raises:
        Cancelled: while it was read.
    """
    order = _order(sort, descending)
    if sort not in _NEVER_NULL:
        order.insert(0, case((_SORTS[sort].is_(None), 1), else_=0))
    source = _joined_for(sort, rights)
    condition = device_filter.matches(wanted)
    if among is not None:
        chosen = temporary_ids(uow, among, "among")
        source, condition = source.join(chosen, chosen.c.id == device.c.id), true()
    statement = select(device.c.id).select_from(source).where(condition, _seen(rights)).order_by(*order)
    return all_ids(uow, statement, cancelled)


def first_ids(
    uow: UnitOfWork,
    rights: OperatorRights,
    wanted: DeviceFilter,
    sort: str,
    descending: bool,
    limit: int,
    cancelled: Callable[[], bool],
) -> array[int] | None:
    """The first ``limit`` of the handles that :func:`device_ids` gives, read without the others; None: there is no
    index in that order, so that they would take as long as all of them.

    Raises:
        Cancelled: while it was read.
    """
    if sort not in _INDEXED:
        return None
    column, ids = _SORTS[sort], array("q")
    source = _joined_for(sort, rights)
    found = select(device.c.id).select_from(source).where(device_filter.matches(wanted), _seen(rights))
    # "no value comes last" in ORDER BY would keep the index from being used: those with one are read, then the others
    parts = [found.order_by(*_order(sort, descending))]
    if sort not in _NEVER_NULL:
        parts = [parts[0].where(column.is_not(None)), found.where(column.is_(None)).order_by(*_order("iccid", False))]
    for part in parts:
        if len(ids) < limit:
            ids.extend(all_ids(uow, part.limit(limit - len(ids)), cancelled))
    return ids


def _order(sort: str, descending: bool) -> list[ColumnElement[Any]]:
    """By the column, then by ICCID, then by handle."""
    column = _SORTS[sort]
    order: list[ColumnElement[Any]] = [column.desc() if descending else column.asc()]
    if sort != "iccid":
        order.append(device.c.iccid)
    order.append(device.c.id.desc() if descending and sort == "iccid" else device.c.id)
    return order


def device_rows(uow: UnitOfWork, rights: OperatorRights, ids: Sequence[int]) -> list[DeviceRecord]:
    """The rows of these handles, in their order; what is gone or may not be seen is left out.

    Raises:
        ValueError: more than 1,000.
    """
    if len(ids) > MOST_ROWS:
        raise ValueError(f"{len(ids)} rows at a time are too many; at most {MOST_ROWS}")
    rows = uow.connection.execute(_rows().where(device.c.id.in_(list(ids)), _seen(rights)))
    by_id = {row[0]: DeviceRecord._make(row) for row in rows}
    return [by_id[key] for key in ids if key in by_id]


def device_facets(
    uow: UnitOfWork, rights: OperatorRights, wanted: DeviceFilter, cancelled: Callable[[], bool]
) -> FacetRecord:
    """Counts for the filter's chips: one pass over what matches its text and customer.

    Raises:
        Cancelled: while it was counted.
    """
    # written out: SQL Server takes no parameter in GROUP BY for the same expression as in SELECT
    owned = case((device_ownership.c.id.is_(None), literal_column("0")), else_=literal_column("1"))
    within = DeviceFilter(text=wanted.text, customer=wanted.customer, include_deleted=wanted.include_deleted)
    with cancellable(uow, cancelled):
        providers = dict(uow.connection.execute(select(service_provider.c.id, service_provider.c.code)).all())
        rows = uow.connection.execute(
            select(device.c.status, device.c.service_provider_id, owned, func.count())
            .select_from(_WITH_OWNER)
            .where(device_filter.matches(within), _seen(rights))
            .group_by(device.c.status, device.c.service_provider_id, owned)
        ).all()
        by = {(status, providers[provider], bool(is_owned)): count for status, provider, is_owned, count in rows}
        if within == DeviceFilter():
            return FacetRecord(sum(by.values()), by)
        everything = select(func.count()).where(device_filter.matches(DeviceFilter()), _seen(rights))
        source: FromClause = device if rights.visible_customers is None else _WITH_OWNER
        return FacetRecord(uow.connection.execute(everything.select_from(source)).scalar_one(), by)


def any_device(uow: UnitOfWork) -> bool:
    """Whether there is a device at all."""
    return uow.connection.execute(select(device.c.id).limit(1)).first() is not None


def newest_change(uow: UnitOfWork, since: datetime) -> tuple[datetime | None, int]:
    """When any device changed last, and the revisions summed of those that did at ``since`` or later.

    Each change is in the sum: that of a device which had changed a moment before, too, and one with an older instant
    that became visible later.
    """
    newest, revisions = uow.connection.execute(
        select(func.max(device.c.changed_at), func.coalesce(func.sum(device.c.revision), 0)).where(
            device.c.changed_at >= since
        )
    ).one()
    return newest, int(revisions)


def _joined_for(sort: str, rights: OperatorRights) -> FromClause:
    """Only the tables that the order and the operator's rights need."""
    source: FromClause = device
    if sort in {"customer", "site"} or rights.visible_customers is not None:
        source = _WITH_OWNER
    if sort == "service_provider":
        return source.join(service_provider, service_provider.c.id == device.c.service_provider_id)
    if sort == "carrier_rate_plan":
        return source.outerjoin(rate_plan, rate_plan.c.id == device.c.carrier_rate_plan_id)
    if sort == "site":
        return source.outerjoin(site, site.c.id == device_ownership.c.site_id)
    if sort == "customer":
        return source.outerjoin(customer, customer.c.id == device_ownership.c.customer_id)
    return source


def _seen(rights: OperatorRights) -> ColumnElement[bool]:
    return sees(rights, device_ownership.c.customer_id, or_nobody=True)


def _rows() -> Select[Any]:
    return select(
        device.c.id,
        device.c.iccid,
        device.c.imei,
        device.c.msisdn,
        device.c.eid,
        device.c.name,
        device.c.status,
        service_provider.c.code,
        rate_plan.c.code,
        customer.c.name,
        site.c.name,
        device.c.activated_on,
        device.c.is_deleted,
        device.c.is_archived,
        rate_plan.c.name,
    ).select_from(_WITH_NAMES)


# --- one device ------------------------------------------------------------------------------------------------------


def find(uow: UnitOfWork, rights: OperatorRights, readings: Iterable[Reading]) -> list[DeviceRecord]:
    """The devices that the first of the readings to find any finds; one for each service provider, mostly."""
    for reading in readings:
        rows = uow.connection.execute(
            _rows().where(_column_of(reading.kind) == reading.value, _seen(rights)).order_by(service_provider.c.code)
        ).all()
        if rows:
            return [DeviceRecord._make(row) for row in rows]
    return []


def ids_of(uow: UnitOfWork, readings: Iterable[Reading]) -> list[int]:
    """Handles of the devices that any of the readings names."""
    named = or_(*(_column_of(reading.kind) == reading.value for reading in readings))
    return list(uow.connection.execute(select(device.c.id).where(named).order_by(device.c.id)).scalars())


def ownerships(uow: UnitOfWork, rights: OperatorRights, device_id: int) -> list[OwnershipRecord]:
    """Who owned the device, owns it and is to own it; the latest first."""
    rows = uow.connection.execute(
        select(
            device_ownership.c.state,
            customer.c.name,
            device_ownership.c.account_number,
            site.c.name,
            device_ownership.c.effective_from,
            device_ownership.c.effective_to,
            rate_plan.c.code,
            device_ownership.c.data_limit_bytes,
            device_ownership.c.data_pool,
            rate_plan.c.name,
        )
        .select_from(
            device_ownership.join(customer, customer.c.id == device_ownership.c.customer_id)
            .outerjoin(site, site.c.id == device_ownership.c.site_id)
            .outerjoin(rate_plan, rate_plan.c.id == device_ownership.c.customer_rate_plan_id)
        )
        .where(
            device_ownership.c.device_id == device_id,
            device_ownership.c.is_deleted == false(),
            sees(rights, device_ownership.c.customer_id),
        )
        .order_by(device_ownership.c.effective_from.desc(), device_ownership.c.id.desc())
    )
    return [OwnershipRecord._make(row) for row in rows]


def billing_services(uow: UnitOfWork, rights: OperatorRights, device_id: int) -> list[BillingServiceRecord]:
    """The device's billing services; the latest first."""
    rows = uow.connection.execute(
        select(
            billing_service.c.service_id,
            customer.c.name,
            billing_service.c.number,
            billing_service.c.is_active,
            billing_service.c.effective_date,
            billing_service.c.ended_on,
            billing_credential.c.code,
            billing_service.c.reference,
        )
        .select_from(
            billing_service.join(customer, customer.c.id == billing_service.c.customer_id).join(
                billing_credential, billing_credential.c.id == billing_service.c.billing_credential_id
            )
        )
        .where(billing_service.c.device_id == device_id, sees(rights, billing_service.c.customer_id))
        .order_by(billing_service.c.id.desc())
    )
    return [BillingServiceRecord._make(row) for row in rows]


def scheduled_changes(uow: UnitOfWork, rights: OperatorRights, device_id: int) -> list[ScheduledChangeRecord]:
    """The device's scheduled plan changes; the last due first."""
    rows = uow.connection.execute(
        select(
            scheduled_plan_change.c.kind,
            rate_plan.c.code,
            scheduled_plan_change.c.due_on,
            scheduled_plan_change.c.state,
            job.c.tracking_number,
            rate_plan.c.name,
        )
        .select_from(
            scheduled_plan_change.join(rate_plan, rate_plan.c.id == scheduled_plan_change.c.rate_plan_id)
            .join(device_ownership, device_ownership.c.id == scheduled_plan_change.c.device_ownership_id)
            .outerjoin(work_order, work_order.c.id == scheduled_plan_change.c.work_order_id)
            .outerjoin(job, job.c.id == work_order.c.job_id)
        )
        .where(scheduled_plan_change.c.device_id == device_id, sees(rights, device_ownership.c.customer_id))
        .order_by(scheduled_plan_change.c.due_on.desc(), scheduled_plan_change.c.id.desc())
    )
    return [ScheduledChangeRecord._make(row) for row in rows]


def ids_in_job(uow: UnitOfWork, job_id: int, states: Sequence[str], error_code: str) -> tuple[array[int], int]:
    """Handles of a job's devices by line, and the number of lines of which no device was found.

    Args:
        states: of the work orders.
        error_code: only those with this error; "": all of them.
    """
    statement = (
        select(work_order.c.device_id)
        .where(work_order.c.job_id == job_id, work_order.c.state.in_(list(states)))
        .order_by(work_order.c.line)
    )
    if error_code:
        statement = statement.where(work_order.c.error_code == error_code)
    found = uow.connection.execute(statement).scalars().all()
    ids = array("q", (handle for handle in found if handle is not None))
    return ids, len(found) - len(ids)


def open_tracking_number(uow: UnitOfWork, device_id: int) -> str:
    """Tracking number of the job that the device has an open work order in; "" where it has none."""
    states = sorted(state.value for state in OPEN_WORK_ORDERS)
    return (
        uow.connection.execute(
            select(job.c.tracking_number)
            .select_from(work_order.join(job, job.c.id == work_order.c.job_id))
            .where(work_order.c.device_id == device_id, work_order.c.state.in_(states))
        ).scalar_one_or_none()
        or ""
    )


def _column_of(kind: IdentifierKind) -> ColumnElement[Any]:
    return {
        IdentifierKind.ICCID: device.c.iccid,
        IdentifierKind.IMEI: device.c.imei_14,
        IdentifierKind.MSISDN: device.c.msisdn,
        IdentifierKind.EID: device.c.eid,
    }[kind]
