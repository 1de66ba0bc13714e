"""Billing services that are re-read from billing: what the database has as active, and how it is ended here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, exists, insert, literal, null, select, true, update

from db.dialects import locking
from db.effects import HISTORY_COLUMNS
from db.procedures import record_across_providers
from db.schema import (
    billing_credential,
    billing_service,
    customer,
    device,
    device_history,
    device_service_link,
    job,
    service_provider,
    work_order,
)
from db.temporary import temporary_ids
from db.work import parts
from desktop_app.association.states import OPEN_WORK_ORDERS

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_service, _wo = billing_service.c, work_order.c
_OPEN = sorted(OPEN_WORK_ORDERS)


class ServiceRecord(NamedTuple):
    """An active billing service of a device.

    Attributes:
        billing_service_id: handle.
        service_id: billing's id.
        billing_customer_id: what billing calls the customer; None: it has no id there.
        credential, credential_in_use: name of its billing credential, and whether that is in use.
        tracking_number: of the job that the device has an open work order in; None: it has none.
    """

    billing_service_id: int
    iccid: str
    service_provider: str
    service_id: str
    number: str
    reference: str | None
    customer_id: int
    customer: str
    billing_customer_id: str | None
    billing_credential_id: int
    credential: str
    credential_in_use: bool
    tracking_number: str | None


def active_services(uow: UnitOfWork, device_ids: Iterable[int]) -> list[ServiceRecord]:
    """The active billing services of these devices, by ICCID."""
    asked = temporary_ids(uow, device_ids, "reread")
    rows = uow.connection.execute(
        select(
            _service.id,
            device.c.iccid,
            service_provider.c.code,
            _service.service_id,
            _service.number,
            _service.reference,
            customer.c.id,
            customer.c.name,
            customer.c.billing_customer_id,
            billing_credential.c.id,
            billing_credential.c.name,
            billing_credential.c.is_active,
            job.c.tracking_number,
        )
        .select_from(
            asked.join(device, device.c.id == asked.c.id)
            .join(service_provider, service_provider.c.id == device.c.service_provider_id)
            .join(billing_service, and_(_service.device_id == device.c.id, _service.is_active == true()))
            .join(customer, customer.c.id == _service.customer_id)
            .join(billing_credential, billing_credential.c.id == _service.billing_credential_id)
            .outerjoin(work_order, and_(_wo.device_id == device.c.id, _wo.state.in_(_OPEN)))
            .outerjoin(job, job.c.id == _wo.job_id)
        )
        .order_by(device.c.iccid, service_provider.c.code, _service.id)
    )
    return [ServiceRecord._make(row) for row in rows]


def active_here(uow: UnitOfWork, billing_credential_id: int, service_ids: Collection[str]) -> set[str]:
    """Which of billing's ids are those of services that the database has as active, of whatever device."""
    found: set[str] = set()
    for part in parts(sorted(service_ids)):
        rows = uow.connection.execute(
            select(_service.service_id).where(
                _service.billing_credential_id == billing_credential_id,
                _service.service_id.in_(part),
                _service.is_active == true(),
            )
        )
        found.update(rows.scalars())
    return found


def held_by_jobs(uow: UnitOfWork, billing_service_ids: Collection[int]) -> dict[int, str]:
    """Handle of each service that is active and whose device has an open work order → tracking number of that job."""
    held: dict[int, str] = {}
    for part in parts(sorted(billing_service_ids)):
        rows = uow.connection.execute(
            select(_service.id, job.c.tracking_number)
            .select_from(
                billing_service.join(work_order, _wo.device_id == _service.device_id).join(job, job.c.id == _wo.job_id)
            )
            .where(_service.id.in_(part), _service.is_active == true(), _wo.state.in_(_OPEN))
        )
        held.update((row.id, row.tracking_number) for row in rows)
    return held


def end_services(uow: UnitOfWork, billing_service_ids: Collection[int], operator_login: str) -> dict[int, str]:
    """Ends billing services that were ended at billing: as of today, with their links, and with a row of history each.

    A service that is not active any more is left alone, and so is one whose device has an open work order by now.

    Args:
        billing_service_ids: handles.
        operator_login: on whose rights.

    Returns:
        Handle → billing's id of those that were ended.
    """
    ended: dict[int, str] = {}
    for part in parts(sorted(billing_service_ids)):
        ended |= _end(uow, part, operator_login)
    if ended:
        record_across_providers(uow, at=uow.now())
    return ended


def _end(uow: UnitOfWork, ids: Collection[int], operator_login: str) -> dict[int, str]:
    now, today = uow.now(), uow.today()
    in_work = exists().where(_wo.device_id == _service.device_id, _wo.state.in_(_OPEN))
    rows = uow.connection.execute(
        locking(  # somebody else may be re-reading the same one: it is ended once
            select(_service.id, _service.service_id)
            .where(_service.id.in_(ids), _service.is_active == true(), ~in_work)
            .order_by(_service.id),
            billing_service,
        )
    )
    found = {row.id: row.service_id for row in rows}
    # Whoever submitted one of these devices while the lock was waited for is seen only now.
    held = held_by_jobs(uow, list(found))
    ended = {key: service_id for key, service_id in found.items() if key not in held}
    if not ended:
        return ended
    of_ended = _service.id.in_(list(ended))
    uow.connection.execute(update(billing_service).where(of_ended).values(is_active=False, ended_on=today))
    link = device_service_link.c
    uow.connection.execute(
        update(device_service_link)
        .where(link.billing_service_id.in_(list(ended)), link.closed_at.is_(None))
        .values(closed_at=now)
    )
    uow.connection.execute(
        update(device)
        .where(device.c.id.in_(select(_service.device_id).where(of_ended)))
        .values(changed_at=now, revision=device.c.revision + 1)
    )
    row = device_history.c
    uow.connection.execute(
        insert(device_history).from_select(
            HISTORY_COLUMNS,
            select(
                _service.device_id,
                _service.customer_id,
                null(),
                null(),
                literal(now, row.at.type),
                literal("billing_service_ended"),
                literal("Billing service ") + _service.service_id + literal(", re-read from billing"),
                literal(today, row.effective_date.type),
                literal(operator_login),
                literal(""),
                true(),
            ).where(of_ended),
        )
    )
    return ended
