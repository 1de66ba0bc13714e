"""Which devices and customers of the demo data show which case of the check.

Cases are found by what is in the database now, not by what was once written: a device that a job has associated since
is no longer ``ready``. A case counts for the demo's usual request: the customer *Larkmoor Fleet Ltd*, its default site,
a billing service, both plans, the activation date, no reassigning, no service provider named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import ColumnElement, func, select, true

from db.demo import identifiers
from db.demo.master_data import SPECIAL
from db.demo.names import CARRIERS
from db.facts import Facts
from db.schema import customer, device, site
from desktop_app.association.errors import NotFound
from desktop_app.association.facts import DeviceFacts
from desktop_app.association.model import (
    ASSIGNABLE_STATUSES,
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
)

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: A carrier rate plan that every carrier offers and billing knows.
CARRIER_PLAN = "IOT-1MB-POOL"
_MAIN = SPECIAL[0]
#: Devices that are looked at in one go.
_CHUNK = 20_000


class View(NamedTuple):
    """From where a device is looked at.

    Attributes:
        customer_id: of the customer that is asked for.
        default_site_id: of that customer; None: it has none.
        twin_iccids, twin_eids: those that several devices bear.
    """

    customer_id: int
    default_site_id: int | None
    twin_iccids: frozenset[str]
    twin_eids: frozenset[str]


#: A device, the one thing that is wrong with it ("": nothing; "several": more than one), from where it is looked at.
Condition = Callable[[DeviceFacts, str, View], bool]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the check.

    Attributes:
        description: which devices.
        code: of the first finding that the check has for them; None: none.
        blocked: whether they are blocked.
        holds: whether a device is such a case.
    """

    description: str
    code: str | None
    blocked: bool
    holds: Condition


# --- what the conditions are made of ---------------------------------------------------------------------------------


def _wrong(device: DeviceFacts, view: View) -> str:
    """What is wrong with the device, whoever asks for it."""
    activated, ended = device.situation.activated_on, device.situation.previous_end
    wrong = [
        name
        for name, is_wrong in (
            ("deleted", device.situation.is_deleted),
            ("archived", device.situation.is_archived),
            ("status", device.situation.status not in ASSIGNABLE_STATUSES),
            ("msisdn", device.msisdn is None),
            ("activated", activated is None),
            ("open", device.situation.open_tracking_number is not None),
            ("scheduled", device.situation.scheduled_from is not None),
            ("ended", ended is not None and activated is not None and ended > activated),
            ("iccid", device.iccid in view.twin_iccids),
        )
        if is_wrong
    ]
    return "several" if len(wrong) > 1 else "".join(wrong)


def _free(but: str = "", status: str = "") -> Condition:
    """Nobody's, and in order but for one thing."""
    return lambda device, wrong, _: (
        wrong == but
        and device.situation.owner_id is None
        and not device.situation.services
        and status in {"", device.situation.status}
    )


def _billed_to_others(device: DeviceFacts, view: View) -> bool:
    return any(service.customer_id != view.customer_id for service in device.situation.services)


def _of_others(*, billed: bool) -> Condition:
    return lambda device, wrong, view: (
        not wrong
        and device.situation.owner_id not in {None, view.customer_id}
        and _billed_to_others(device, view) is billed
    )


def _mine(*, at_default_site: bool, billed: bool) -> Condition:
    return lambda device, wrong, view: (
        not wrong
        and device.situation.owner_id == view.customer_id
        and (device.situation.owner_site_id == view.default_site_id) is at_default_site
        and bool(device.situation.services) is billed
        and not _billed_to_others(device, view)
    )


def _still_billed(device: DeviceFacts, wrong: str, view: View) -> bool:
    return not wrong and device.situation.owner_id is None and _billed_to_others(device, view)


def _same_eid(device: DeviceFacts, wrong: str, view: View) -> bool:
    return device.eid in view.twin_eids and _free()(device, wrong, view)


# --- the cases -------------------------------------------------------------------------------------------------------

CASES: Mapping[str, Case] = {
    "ready": Case("Nobody's, and nothing is wrong with them.", None, False, _free()),
    "active": Case("The same, in use.", None, False, _free(status="active")),
    "suspended": Case("The same, barred for a time.", None, False, _free(status="suspended")),
    "test_ready": Case("The same, ready for tests.", None, False, _free(status="test_ready")),
    "inventory": Case(
        "In stock: not activated, hence without an activation date.",
        "NO_ACTIVATION_DATE",
        True,
        _free("activated", "inventory"),
    ),
    "never_activated": Case(
        "Ready for tests, with a number, never activated.",
        "NO_ACTIVATION_DATE",
        True,
        _free("activated", "test_ready"),
    ),
    "retired": Case("Taken out of use.", "STATUS_NOT_ASSIGNABLE", True, _free("status", "retired")),
    "purged": Case("Deleted at the carrier.", "STATUS_NOT_ASSIGNABLE", True, _free("status", "purged")),
    "replaced": Case("Their number lives on another SIM.", "STATUS_NOT_ASSIGNABLE", True, _free("status", "replaced")),
    "deleted": Case("Deleted here.", "DELETED", True, _free("deleted")),
    "archived": Case("Archived here.", "ARCHIVED", True, _free("archived")),
    "without_msisdn": Case("In use, without a number to bill.", "MSISDN_MISSING", True, _free("msisdn")),
    "owned_by_another": Case("Another customer's, not billed.", "OWNED_BY_ANOTHER", True, _of_others(billed=False)),
    "owned_and_billed_by_another": Case(
        "Another customer's, and billed to it.", "OWNED_BY_ANOTHER", True, _of_others(billed=True)
    ),
    "billed_to_another": Case(
        "Nobody's, but another customer is still billed for them.", "BILLED_TO_ANOTHER", True, _still_billed
    ),
    "kept": Case(
        "The customer's at the same site already, not billed.", None, False, _mine(at_default_site=True, billed=False)
    ),
    "moves_site": Case(
        "The customer's at another site, not billed.", "MOVES_SITE", False, _mine(at_default_site=False, billed=False)
    ),
    "service_kept": Case(
        "The customer's at the same site, with a billing service.",
        "BILLING_SERVICE_KEPT",
        False,
        _mine(at_default_site=True, billed=True),
    ),
    "in_open_work_order": Case("In a job that a person paused.", "IN_OPEN_WORK_ORDER", True, _free("open")),
    "previous_ownership": Case(
        "Nobody's; their last owner's time ended after they were activated.",
        "BEFORE_PREVIOUS_OWNERSHIP",
        True,
        _free("ended"),
    ),
    "ownership_scheduled": Case("Somebody is going to own them.", "OWNERSHIP_SCHEDULED", True, _free("scheduled")),
    "on_two_providers": Case(
        "The same SIM, under the same ICCID, on two service providers.", "AMBIGUOUS", True, _free("iccid")
    ),
    "same_eid": Case("The same SIM, under one EID and two ICCIDs, on two service providers.", None, False, _same_eid),
}


def find_case(uow: UnitOfWork, name: str, limit: int = 10, *, account_number: str | None = None) -> tuple[str, ...]:
    """ICCIDs of devices that show a case, in the database's order.

    Args:
        name: of :data:`CASES`.
        account_number: of the customer that is asked for; None: the demo's usual one.

    Raises:
        KeyError: there is no such case.
    """
    found = _find(uow, {name: limit}, _view(uow, customer_id(uow, account_number)))
    return tuple(one.iccid for one in found[name])


def _find(uow: UnitOfWork, wanted: Mapping[str, int], view: View) -> dict[str, list[DeviceFacts]]:
    """Devices of several cases, at most so many of each; looks no further than it has to.

    Cases are told by the same facts that the check is given.
    """
    found: dict[str, list[DeviceFacts]] = {name: [] for name in wanted}
    missing = {name: CASES[name].holds for name, limit in wanted.items() if limit > 0}
    last = uow.connection.scalar(select(func.max(device.c.id))) or 0
    for first in range(1, last + 1, _CHUNK):
        for asked in Facts(uow).picked(range(first, min(first + _CHUNK, last + 1)), lambda: False):
            for one in asked.candidates:
                wrong = _wrong(one, view)
                for name in [name for name, holds in missing.items() if holds(one, wrong, view)]:
                    found[name].append(one)
                    if len(found[name]) >= wanted[name]:
                        del missing[name]
        if not missing:
            break
    return found


def _view(uow: UnitOfWork, mine: int) -> View:
    def borne_by_several(column: ColumnElement[str]) -> frozenset[str]:
        rows = select(column).where(column.is_not(None)).group_by(column).having(func.count() > 1)
        return frozenset(uow.connection.execute(rows).scalars())

    default_site = select(site.c.id).where(site.c.customer_id == mine, site.c.is_default == true())
    return View(
        mine,
        uow.connection.scalar(default_site),
        borne_by_several(device.c.iccid),
        borne_by_several(device.c.eid),
    )


def customer_id(uow: UnitOfWork, account_number: str | None = None) -> int:
    """Handle of a customer; None: of the demo's usual one.

    Raises:
        NotFound: these are no demo data.
    """
    wanted = account_number or _MAIN.account_number
    found = uow.connection.scalar(select(customer.c.id).where(customer.c.account_number == wanted))
    if found is None:
        raise _no_demo_data()
    return int(found)


def find_customer(case: str) -> str:
    """Account number (or, without one, the name) of the customer that is there for a case.

    Args:
        case: ``main, second, third, inactive, without_site, without_default_site, without_account_number,
            not_at_billing, without_address, mapping_with_gaps, credential_closed, default_credential, starts_later``.

    Raises:
        KeyError: there is no such case.
    """
    special = {one.case: one for one in SPECIAL}[case]
    return special.account_number or special.name


# --- a job to show ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DemoJob:
    """What a demonstration asks for.

    Attributes:
        lines: identifiers of all four kinds, one for each device.
        blocked: how many of them the check blocks.
        customer: account number.
        carrier_rate_plans: one for each service provider.
        customer_rate_plan: code.
    """

    lines: tuple[str, ...]
    blocked: int
    customer: str
    carrier_rate_plans: tuple[CarrierPlanChoice, ...]
    customer_rate_plan: str

    @property
    def request(self) -> AssociationRequest:
        """All of it: default site, billing service, both plans, each device's activation date."""
        return AssociationRequest(
            devices=AskedLines(self.lines),
            customer=self.customer,
            create_billing_service=True,
            carrier_rate_plans=self.carrier_rate_plans,
            customer_rate_plan=self.customer_rate_plan,
            reason="Demonstration",
        )


#: Cases of the blocked devices of a demo job, besides those that are well formed but nowhere.
_BLOCKED = tuple(name for name, case in CASES.items() if case.blocked)
#: Devices with a warning, or with something to keep, in a hundred.
_KEPT = {"service_kept": 2, "moves_site": 2, "kept": 1}


def pick_for_demo_job(uow: UnitOfWork, count: int = 2_000, blocked_share: float = 0.05, *, seed: int = 1) -> DemoJob:
    """Picks devices for a job that shows something: most are ready, some warn, some are blocked, each for its reason.

    Args:
        count: how many devices.
        blocked_share: of them the share that is blocked, 0 to 1.

    Raises:
        NotFound: these are no demo data, or too few devices are ready for such a job.
    """
    rng = Random(seed)
    view = _view(uow, customer_id(uow))
    blocked_count = round(count * blocked_share)
    wanted = {name: count * share // 100 for name, share in _KEPT.items()}
    # Both devices of a SIM on two providers have the same line: a few more, then each line once.
    wanted |= {name: 2 + 2 * blocked_count // len(_BLOCKED) for name in _BLOCKED}
    wanted["ready"] = count - blocked_count
    found = _find(uow, wanted, view)
    blocked = _in_turn([list(dict.fromkeys(one.iccid for one in found[name])) for name in _BLOCKED], blocked_count)
    good = [one for name in (*_KEPT, "ready") for one in found[name]][: count - len(blocked)]
    if len(blocked) + len(good) < count:
        raise NotFound(
            "TOO_FEW_READY",
            f"Only {len(good):,} devices of the demo data are ready for a job of {count:,}.",
            "Ask for fewer devices, or start from a fresh folder with more demo devices.",
        )
    lines = [*blocked, *(_written(rng.random(), one, view) for one in good)]
    rng.shuffle(lines)
    assert _MAIN.account_number is not None
    assert _MAIN.plan is not None
    return DemoJob(
        lines=tuple(lines),
        blocked=len(blocked),
        customer=_MAIN.account_number,
        carrier_rate_plans=tuple(CarrierPlanChoice(CARRIER_PLAN, carrier.code) for carrier in CARRIERS),
        customer_rate_plan=_MAIN.plan.code,
    )


def _in_turn(cases: list[list[str]], count: int) -> list[str]:
    """So many lines, from every case in turn, and from ICCIDs that no device has."""
    nowhere = [identifiers.iccid("8999999", 19, number) for number in range(count)]
    turns = zip_longest(*cases, nowhere)
    return [line for turn in turns for line in turn if line is not None][:count]


def _written(chance: float, one: DeviceFacts, view: View) -> str:
    """A device as somebody would write it: mostly by its ICCID, but by its number, IMEI or EID too."""
    if chance < 0.06 and one.msisdn:
        number = one.msisdn
        return f"+{number[0]} {number[1:4]} {number[4:7]} {number[7:]}"
    if chance < 0.10 and one.imei:
        return one.imei
    if chance < 0.22 and one.eid and one.eid not in view.twin_eids:  # of two devices with one EID it would name both
        return one.eid
    return one.iccid


def _no_demo_data() -> NotFound:
    return NotFound(
        "NO_DEMO_DATA",
        "The database does not hold the demo data.",
        "Make some in a new database with: db demo",
    )
