"""Devices, and how a row of another table finds its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Boolean, Date, FromClause, Unicode, and_, func, literal

from db.importing import spelling
from db.importing.shape import Import, Part, Resolved, Settling, Staged, Wrong
from db.schema import device, rate_plan, service_provider

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: How a row names a device.
DEVICE_KEY_TYPES = {
    "service_provider": Unicode(40),
    "iccid": Unicode(20),
    "iccid_shorter": Unicode(20),
    "iccid_longer": Unicode(20),
}


class Found(NamedTuple):
    """The rows with their devices.

    Attributes:
        rows: the staged rows, outer-joined with provider and device.
        device: the device; ``id`` is NULL where there is none.
        wrong: the reasons why there is none.
    """

    rows: FromClause
    device: Any
    wrong: tuple[Wrong, ...]


def find_devices(staged: Staged, name: str = "device_of_row") -> Found:
    """Joins each row with its device: by its ICCID as it is written, else without, else with its check digit."""
    written, shorter, longer = (device.alias(f"{name}_{how}") for how in ("written", "shorter", "longer"))
    found = device.alias(name)
    rows: FromClause = staged.table.outerjoin(service_provider, service_provider.c.code == staged["service_provider"])
    for alias, column in ((written, "iccid"), (shorter, "iccid_shorter"), (longer, "iccid_longer")):
        rows = rows.outerjoin(
            alias,
            and_(alias.c.service_provider_id == service_provider.c.id, alias.c.iccid == staged[column]),
        )
    rows = rows.outerjoin(found, found.c.id == func.coalesce(written.c.id, shorter.c.id, longer.c.id))
    return Found(
        rows,
        found,
        (
            Wrong("SERVICE_PROVIDER_UNKNOWN", service_provider.c.id.is_(None)),
            Wrong("DEVICE_UNKNOWN", found.c.id.is_(None)),
        ),
    )


def _devices(uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    found = find_devices(staged, "target")
    values = Settling(staged, found.device)
    values.inserted |= {"service_provider_id": service_provider.c.id, "iccid": staged["iccid"]}
    values.free("imei", "imei_14", "msisdn", "eid", "name", "activated_on")
    values.kept("status", staged["status"])
    values.kept("is_deleted", False)
    values.kept("is_archived", False)
    rows = found.rows
    wrong = [found.wrong[0]]
    if staged.has("carrier_rate_plan"):
        rows = rows.outerjoin(
            rate_plan,
            and_(
                rate_plan.c.kind == "carrier",
                rate_plan.c.service_provider_id == service_provider.c.id,
                rate_plan.c.code == staged["carrier_rate_plan"],
            ),
        )
        wrong.append(
            Wrong("CARRIER_RATE_PLAN_UNKNOWN", and_(staged["carrier_rate_plan"].is_not(None), rate_plan.c.id.is_(None)))
        )
        values.reference("carrier_rate_plan_id", "carrier_rate_plan", rate_plan.c.id)
    now = literal(uow.now(), device.c.changed_at.type)
    return Resolved(
        staged,
        rows,
        found.device,
        values.inserted,
        values.settled,
        wrong,
        on_insert={"changed_at": now},
        on_change={"changed_at": now, "revision": device.c.revision + 1},
    )


_FLAG = Boolean(create_constraint=False)
DEVICES = Part(
    device,
    {
        **DEVICE_KEY_TYPES,
        "imei": Unicode(16),
        "imei_14": Unicode(14),
        "msisdn": Unicode(20),
        "eid": Unicode(32),
        "name": Unicode(120),
        "status": Unicode(12),
        "activated_on": Date(),
        "is_deleted": _FLAG,
        "is_archived": _FLAG,
        "carrier_rate_plan": Unicode(60),
    },
    _devices,
    [spelling.service_providers(), spelling.carrier_rate_plans("carrier_rate_plan")],
)
