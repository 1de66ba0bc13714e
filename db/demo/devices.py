"""The devices of the demo data, who owns them, and which billing services they have.

Each device is there for a reason, its *kind*. Kinds are drawn first, then everything else about a device follows from
its kind; rows are made while they are written, so that a million devices need no million rows in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from db.bulk import explicit_ids, indexes_at_rest, insert_rows
from db.demo import identifiers
from db.demo.master_data import CustomerDraft, MasterDraft
from db.demo.names import CARRIERS
from db.schema import billing_service, device, device_ownership, device_service_link

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class Kind(NamedTuple):
    """Why a device is there.

    Attributes:
        share: of all devices, in tenths of a percent.
        statuses: one of these.
        is_activated: whether it has an activation date.
        owned: whether somebody owns it.
        numbered: how many of ten have an MSISDN.
    """

    name: str
    share: float
    statuses: tuple[str, ...]
    is_activated: bool = True
    owned: bool = False
    numbered: int = 10


_IN_USE = ("active",) * 7 + ("suspended",)
_ANY_LIVE = ("active",) * 8 + ("suspended", "test_ready")
#: The common ones first. Of the others there are some even among few devices.
KINDS: tuple[Kind, ...] = (
    Kind("ready", 137, _ANY_LIVE),
    Kind("stock", 200, ("inventory",), is_activated=False, numbered=3),
    Kind("owned_billed", 80, _IN_USE, owned=True),
    Kind("owned", 510, ("active",) * 8 + ("suspended",), owned=True),
    Kind("retired", 20, ("retired",)),
    Kind("purged", 6, ("purged",)),
    Kind("replaced", 6, ("replaced",)),
    Kind("deleted", 4, _ANY_LIVE),
    Kind("archived", 6, _ANY_LIVE),
    Kind("no_msisdn", 6, ("active",), numbered=0),
    Kind("never_activated", 6, ("test_ready",), is_activated=False),
    Kind("billed_to_another", 4, ("active",)),
    Kind("ended_ownership", 6, ("active",)),
    Kind("scheduled_ownership", 1, ("active",)),
    Kind("twin_iccid", 4, ("active",)),
    Kind("twin_eid", 4, ("active",)),
)
#: Of each of the rare kinds there are at least so many.
LEAST = 4
#: Fewer devices than that cannot show every case.
LEAST_DEVICES = 500
#: Activations lie so many days back at the least: past jobs come after them.
NEWEST_ACTIVATION, OLDEST_ACTIVATION = 80, 1400
FIRST_SERVICE_ID = 71_200


@dataclass(slots=True)
class Assignment:
    """What a past job did to one device; it decides what the device looks like.

    Attributes:
        work_order_id: the work order that did it.
        on: effective date.
        at: when it was done.
        site_id: of the job.
        carrier_plan_ids: by carrier; empty: not asked for.
        customer_plan_id: None: not asked for.
        reference: of the billing service; None: none was made.
    """

    work_order_id: int
    on: date
    at: datetime
    site_id: int
    carrier_plan_ids: dict[str, int]
    customer_plan_id: int | None
    reference: str | None


@dataclass(slots=True)
class DeviceDraft:
    """Devices as far as they are drawn; device ``n`` of the database stands at ``n - 1`` in each list.

    Attributes:
        carriers: index in ``CARRIERS``.
        activated: ordinals of dates; 0: never.
        owners: index among the customers; -1: nobody.
        assignments: what past jobs did, by position.
        iccids, msisdns, imeis, eids: filled while device rows are made; "" for none.
        service_ids: billing's id of the service of a device that has one, by position.
    """

    kinds: list[Kind]
    carriers: array[int]
    activated: array[int]
    owners: array[int]
    assignments: dict[int, Assignment] = field(default_factory=dict)
    iccids: list[str] = field(default_factory=list)
    msisdns: list[str] = field(default_factory=list)
    imeis: list[str] = field(default_factory=list)
    eids: list[str] = field(default_factory=list)
    service_ids: dict[int, str] = field(default_factory=dict)

    def of_kind(self, name: str) -> list[int]:
        """Positions of the devices of a kind."""
        return [position for position, kind in enumerate(self.kinds) if kind.name == name]


def draw_devices(rng: Random, master: MasterDraft, count: int, today: date) -> DeviceDraft:
    """Draws kind, carrier, activation and owner of each device; writes nothing.

    Raises:
        ValueError: fewer than :data:`LEAST_DEVICES`.
    """
    if count < LEAST_DEVICES:
        raise ValueError(f"The demo data need at least {LEAST_DEVICES} devices to show every case, not {count}.")
    common, rare = KINDS[:4], KINDS[4:]
    kinds = [kind for kind in rare for _ in range(max(LEAST, round(count * kind.share / 1000) // 2 * 2))]
    kinds += rng.choices(common, [kind.share for kind in common], k=count - len(kinds))
    rng.shuffle(kinds)
    carriers = array("b", rng.choices(range(len(CARRIERS)), [carrier.share for carrier in CARRIERS], k=count))
    owners = array("i", rng.choices(range(len(master.customers)), [one.weight for one in master.customers], k=count))
    newest = today.toordinal() - NEWEST_ACTIVATION
    span = OLDEST_ACTIVATION - NEWEST_ACTIVATION
    activated = array("i", bytes(4 * count))
    for position, kind in enumerate(kinds):
        if kind.is_activated:
            activated[position] = newest - int(rng.random() ** 1.5 * span)
        if not kind.owned:
            owners[position] = -1
    return DeviceDraft(kinds, carriers, activated, owners)


# --- device rows -----------------------------------------------------------------------------------------------------


def write_devices(uow: UnitOfWork, rng: Random, master: MasterDraft, draft: DeviceDraft) -> None:
    """Writes every device."""
    columns = (
        "id", "service_provider_id", "iccid", "imei", "imei_14", "msisdn", "eid", "name", "status", "activated_on",
        "is_deleted", "is_archived", "carrier_rate_plan_id", "changed_at",
    )  # fmt: skip
    with indexes_at_rest(uow, device), explicit_ids(uow, device):
        insert_rows(uow, device, columns, _device_rows(rng, master, draft, uow.now()))


def _device_rows(rng: Random, master: MasterDraft, draft: DeviceDraft, at: datetime) -> Iterator[tuple[Any, ...]]:
    provider_ids = [master.provider_ids[carrier.code] for carrier in CARRIERS]
    plan_ids = [[plan_id for plan_id, _plan in master.carrier_plans[carrier.code]] for carrier in CARRIERS]
    retired_ids = [master.retired_plan_ids[carrier.code] for carrier in CARRIERS]
    twins: dict[str, tuple[int, str, str]] = {}
    for position, kind in enumerate(draft.kinds):
        carrier = draft.carriers[position]
        assignment = draft.assignments.get(position)
        iccid = identifiers.iccid(CARRIERS[carrier].iccid_prefix, CARRIERS[carrier].iccid_length, position)
        eid = identifiers.eid(position) if rng.random() < 0.3 or kind.name == "twin_eid" else ""
        if kind.name in {"twin_iccid", "twin_eid"}:
            # Every second one is the same SIM as the one before, on the next carrier.
            other = twins.pop(kind.name, None)
            if other is None:
                twins[kind.name] = carrier, iccid, eid
            else:
                carrier = draft.carriers[position] = (other[0] + 1) % len(CARRIERS)
                if kind.name == "twin_iccid":
                    iccid = other[1]
                else:
                    iccid = identifiers.iccid(CARRIERS[carrier].iccid_prefix, CARRIERS[carrier].iccid_length, position)
                    eid = other[2]
        imei = identifiers.imei(position) if kind.name != "stock" or rng.random() < 0.4 else ""
        msisdn = identifiers.msisdn(position) if kind.numbered == 10 or rng.random() * 10 < kind.numbered else ""
        draft.iccids.append(iccid)
        draft.imeis.append(imei)
        draft.msisdns.append(msisdn)
        draft.eids.append(eid)
        if assignment is not None and assignment.carrier_plan_ids:
            plan_id: int | None = assignment.carrier_plan_ids[CARRIERS[carrier].code]
        elif kind.name == "stock" and rng.random() < 0.5:
            plan_id = None
        else:
            plan_id = rng.choice(plan_ids[carrier]) if rng.random() < 0.97 else retired_ids[carrier]
        owner = draft.owners[position]
        activated = draft.activated[position]
        yield (
            position + 1, provider_ids[carrier], iccid, imei or None, imei[:14] or None, msisdn or None, eid or None,
            _name(rng, master.customers[owner]) if owner >= 0 else None, rng.choice(kind.statuses),
            date.fromordinal(activated) if activated else None, kind.name == "deleted", kind.name == "archived",
            plan_id, at,
        )  # fmt: skip


def _name(rng: Random, owner: CustomerDraft) -> str | None:
    number = int(rng.random() * 25_000)
    return None if number < 5_000 else f"{rng.choice(owner.industry.things)} {number:05}"


# --- owners ----------------------------------------------------------------------------------------------------------


class Ownership(NamedTuple):
    """One ownership, as it is written, and what history has to say of it."""

    position: int
    owner: int
    site_id: int | None
    state: str
    since: int
    until: int | None
    plan_id: int | None
    work_order_id: int | None


def ownerships(rng: Random, master: MasterDraft, draft: DeviceDraft, today: date) -> Iterator[Ownership]:
    """Every ownership: those that stand, those that ended, those to come."""
    day = today.toordinal()
    for position, kind in enumerate(draft.kinds):
        activated = draft.activated[position]
        assignment = draft.assignments.get(position)
        if assignment is not None:
            owner = draft.owners[position]
            yield Ownership(
                position, owner, assignment.site_id, "active", assignment.on.toordinal(), None,
                assignment.customer_plan_id, assignment.work_order_id,
            )  # fmt: skip
        elif kind.owned:
            since = activated + rng.randrange(40)
            if rng.random() < 0.05:
                yield _ended(rng, master, position, activated, since)
            yield _standing(rng, master, position, draft.owners[position], since)
        elif kind.name == "ended_ownership" or (kind.name == "twin_eid" and rng.random() < 0.5):
            yield _ended(rng, master, position, activated, min(activated + 40, day - 1))
        elif kind.name == "scheduled_ownership":
            owner = _somebody(rng, master)
            site_id = next(iter(master.customers[owner].site_ids), None)
            yield Ownership(position, owner, site_id, "scheduled", day + 20 + rng.randrange(20), None, None, None)


def _standing(rng: Random, master: MasterDraft, position: int, owner: int, since: int) -> Ownership:
    customer = master.customers[owner]
    site_id = rng.choice(customer.site_ids) if customer.site_ids else None
    plan_id = rng.choice(customer.plan_ids) if rng.random() < 0.6 else None
    return Ownership(position, owner, site_id, "active", since, None, plan_id, None)


def _ended(rng: Random, master: MasterDraft, position: int, since: int, until: int) -> Ownership:
    owner = _somebody(rng, master)
    site_id = next(iter(master.customers[owner].site_ids), None)
    return Ownership(position, owner, site_id, "ended", since, max(until, since), None, None)


def _somebody(rng: Random, master: MasterDraft) -> int:
    while True:
        owner = rng.randrange(len(master.customers))
        if master.customers[owner].weight > 0:
            return owner


def write_ownerships(uow: UnitOfWork, master: MasterDraft, owned: list[Ownership]) -> None:
    """Writes them, numbered from 1."""
    columns = (
        "id", "device_id", "customer_id", "site_id", "account_number", "billing_credential_id", "state",
        "effective_from", "effective_to", "customer_rate_plan_id", "data_limit_bytes", "data_pool", "work_order_id",
        "created_at", "changed_at",
    )  # fmt: skip
    with indexes_at_rest(uow, device_ownership), explicit_ids(uow, device_ownership):
        insert_rows(uow, device_ownership, columns, _ownership_rows(master, owned))


def _ownership_rows(master: MasterDraft, owned: list[Ownership]) -> Iterator[tuple[Any, ...]]:
    for number, one in enumerate(owned, 1):
        customer = master.customers[one.owner]
        plan = None if one.plan_id is None else master.customer_plans[one.plan_id]
        at = instant(one.since)
        yield (
            number, one.position + 1, customer.customer_id, one.site_id, customer.account_number,
            customer.credential_id, one.state, date.fromordinal(one.since),
            None if one.until is None else date.fromordinal(one.until), one.plan_id,
            None if plan is None else plan.data_limit_bytes, None if plan is None else plan.data_pool,
            one.work_order_id, at, at if one.until is None else instant(one.until),
        )  # fmt: skip


def instant(day: int, seconds: int = 36_000) -> datetime:
    """An instant on a day (an ordinal), in UTC."""
    return datetime.combine(date.fromordinal(day), time(tzinfo=UTC)) + timedelta(seconds=seconds)


# --- billing services ------------------------------------------------------------------------------------------------


def write_billing_services(
    uow: UnitOfWork, rng: Random, master: MasterDraft, draft: DeviceDraft, owned: list[Ownership]
) -> None:
    """Writes the services of devices that are billed, some that ended, and the links of those that stand."""
    rows = list(_service_rows(rng, master, draft, owned))
    columns = (
        "id", "billing_credential_id", "service_id", "reference", "device_id", "customer_id", "number", "is_active",
        "effective_date", "ended_on", "work_order_id", "created_at",
    )  # fmt: skip
    with explicit_ids(uow, billing_service):
        insert_rows(uow, billing_service, columns, rows)
    # A link is open while the service is active and its customer owns the device.
    owners = {one.position + 1: master.customers[one.owner].customer_id for one in owned if one.state == "active"}
    links = (
        (row[4], row[0], row[11], None if row[7] else instant(row[9].toordinal()))
        for row in rows
        if owners.get(row[4]) == row[5]
    )
    insert_rows(uow, device_service_link, ("device_id", "billing_service_id", "linked_at", "closed_at"), links)


def _service_rows(
    rng: Random, master: MasterDraft, draft: DeviceDraft, owned: list[Ownership]
) -> Iterator[tuple[Any, ...]]:
    main_credential = min(master.credential_ids.values())
    number = 0

    def row(position: int, owner: int, since: int, until: int | None) -> tuple[Any, ...]:
        nonlocal number
        number += 1
        customer = master.customers[owner]
        assignment = draft.assignments.get(position) if until is None else None
        service_id = str(FIRST_SERVICE_ID + number)
        if until is None:
            draft.service_ids[position] = service_id
        return (
            number, customer.credential_id or main_credential, service_id,
            None if assignment is None else assignment.reference, position + 1, customer.customer_id,
            draft.msisdns[position] or draft.iccids[position], until is None, date.fromordinal(since),
            None if until is None else date.fromordinal(until),
            None if assignment is None else assignment.work_order_id,
            instant(since) if assignment is None else assignment.at,
        )  # fmt: skip

    for one in owned:
        if not master.customers[one.owner].is_billed:
            continue
        if one.state == "active" and draft.kinds[one.position].name == "owned_billed":
            yield row(one.position, one.owner, one.since, None)
        elif one.state == "ended" and one.until is not None and rng.random() < 0.5:
            yield row(one.position, one.owner, one.since, one.until)
    for position in draft.of_kind("billed_to_another"):
        # The last of the customers: never the one that the demo's jobs are for.
        yield row(position, len(master.customers) - 1 - rng.randrange(10), draft.activated[position], None)
