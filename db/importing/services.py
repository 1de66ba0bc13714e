"""Billing services that were made before, or outside the program: known by their credential and billing's own id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Date, Unicode, and_, case, false, func, literal, true

from db.importing import spelling
from db.importing.devices import DEVICE_KEY_TYPES, find_devices
from db.importing.ownerships import after_writing, known_as, with_open_job
from db.importing.shape import Import, Part, Resolved, Settling, Staged, Wrong
from db.schema import billing_credential, billing_service, customer, device

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


def _billing_services(uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    found = find_devices(staged)
    of_device, owner, holder = found.device, customer.alias("owner"), customer.alias("holder")
    target, other_device = billing_service.alias("target"), device.alias("other_device")
    rows = (
        found.rows.outerjoin(owner, owner.c.account_number == staged["account_number"])
        .outerjoin(billing_credential, billing_credential.c.code == staged["billing_credential"])
        .outerjoin(
            target,
            and_(
                target.c.billing_credential_id == billing_credential.c.id, target.c.service_id == staged["service_id"]
            ),
        )
        .outerjoin(other_device, other_device.c.id == target.c.device_id)
        .outerjoin(holder, holder.c.id == target.c.customer_id)
    )
    every_row, in_open_job = with_open_job(rows, of_device.c.id)
    begins = func.coalesce(staged["effective_date"], target.c.effective_date, of_device.c.activated_on, type_=Date())
    ends = staged["ended_on"] if staged.has("ended_on") else target.c.ended_on
    values = Settling(staged, target)
    values.inserted |= {
        "billing_credential_id": billing_credential.c.id,
        "service_id": staged["service_id"],
        "device_id": of_device.c.id,
        "customer_id": owner.c.id,
    }
    number = func.coalesce(staged["number"], target.c.number, of_device.c.msisdn, of_device.c.iccid, type_=Unicode(40))
    values.settled |= {"number": number, "effective_date": begins}
    values.free("ended_on")
    # Whoever says on which day it ended need not say besides that it is over.
    today = literal(uow.today(), Date())
    if staged.has("ended_on"):
        by_its_end = case((ends <= today, false()), else_=true())
        values.settled["is_active"] = func.coalesce(staged["is_active"], by_its_end, type_=target.c.is_active.type)
    else:
        values.kept("is_active", True)
    now = literal(uow.now(), billing_service.c.created_at.type)
    return Resolved(
        staged,
        every_row,
        target,
        values.inserted,
        values.settled,
        (
            *found.wrong,
            Wrong("CUSTOMER_UNKNOWN", owner.c.id.is_(None)),
            Wrong("BILLING_CREDENTIAL_UNKNOWN", billing_credential.c.id.is_(None)),
            Wrong("SERVICE_OF_ANOTHER_DEVICE", target.c.device_id != of_device.c.id, other_device.c.iccid),
            Wrong("SERVICE_OF_ANOTHER_CUSTOMER", target.c.customer_id != owner.c.id, known_as(holder)),
            in_open_job,
            Wrong("EFFECTIVE_DATE_MISSING", begins.is_(None)),
            Wrong("ENDS_BEFORE_IT_BEGINS", begins > ends, begins),
        ),
        on_insert={"created_at": now},
        extras={"of_device": of_device.c.id},
        after=after_writing,
    )


BILLING_SERVICES = Part(
    billing_service,
    {
        **DEVICE_KEY_TYPES,
        "billing_credential": Unicode(60),
        "service_id": Unicode(40),
        "account_number": Unicode(40),
        "number": Unicode(40),
        "is_active": Boolean(create_constraint=False),
        "effective_date": Date(),
        "ended_on": Date(),
    },
    _billing_services,
    [spelling.service_providers(), spelling.billing_credentials(), spelling.customers()],
)
