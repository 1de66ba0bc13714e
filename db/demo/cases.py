"""Which devices and customers of the demo data show which case of the check.

Cases are found by what is in the database now, not by what was once written: a device that a job has associated since
is no longer ``ready``. A case counts for the demo's usual request: the customer *Larkmoor Fleet Ltd*, its default site,
a billing service, both plans, the activation date, no reassigning, no service provider named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_, select, true

from db.demo import identifiers
from db.demo.master_data import SPECIAL
from db.demo.names import CARRIERS
from db.schema import billing_service, customer, device, device_ownership, site, work_order
from desktop_app.association.errors import NotFound
from desktop_app.association.model import AskedLines, AssociationRequest, CarrierPlanChoice
from desktop_app.association.states import OPEN_WORK_ORDERS

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: A carrier rate plan that every carrier offers and billing knows.
CARRIER_PLAN = "IOT-1MB-POOL"
_MAIN = SPECIAL[0]
_own, _service = device_ownership.c, billing_service.c

Condition = Callable[[int], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the check.

    Attributes:
        description: which devices.
        code: of the first finding that the check has for them; None: none.
        blocked: whether they are blocked.
        condition: on ``device``, given the handle of the customer that is asked for.
    """

    description: str
    code: str | None
    blocked: bool
    condition: Condition


# --- what the conditions are made of ---------------------------------------------------------------------------------


def _owned(customer_id: int | None = None, *, state: str = "active") -> ColumnElement[bool]:
    """Somebody (or: this customer) owns the device."""
    mine = true() if customer_id is None else _own.customer_id == customer_id
    return exists().where(_own.device_id == device.c.id, _own.state == state, _own.is_deleted == false(), mine)


def _billed(condition: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """There is an active billing service (for which the condition holds)."""
    which = true() if condition is None else condition
    return exists().where(_service.device_id == device.c.id, _service.is_active == true(), which)


def _at_default_site(customer_id: int) -> ColumnElement[bool]:
    return exists().where(
        _own.device_id == device.c.id, _own.state == "active", _own.customer_id == customer_id,
        site.c.id == _own.site_id, site.c.is_default == true(),
    )  # fmt: skip


def _in_open_work() -> ColumnElement[bool]:
    states = [state.value for state in OPEN_WORK_ORDERS]
    return exists().where(work_order.c.device_id == device.c.id, work_order.c.state.in_(states))


def _ended_after_activation() -> ColumnElement[bool]:
    return exists().where(
        _own.device_id == device.c.id, _own.state == "ended", _own.effective_to > device.c.activated_on
    )


def _twin(column: ColumnElement[Any], other_column: str) -> ColumnElement[bool]:
    other = device.alias("other")
    return exists().where(other.c[other_column] == column, other.c.id != device.c.id)


def _in_order(*, but: str = "") -> ColumnElement[bool]:
    """Nothing is wrong with the device itself; ``but``: except, perhaps, for this."""
    conditions = {
        "deleted": device.c.is_deleted == false(),
        "archived": device.c.is_archived == false(),
        "status": device.c.status.in_(("active", "suspended", "test_ready", "inventory")),
        "msisdn": device.c.msisdn.is_not(None),
        "activated": device.c.activated_on.is_not(None),
        "open": not_(_in_open_work()),
        "scheduled": not_(_owned(state="scheduled")),
        "ended": not_(_ended_after_activation()),
        "iccid": not_(_twin(device.c.iccid, "iccid")),
    }
    return and_(*(condition for name, condition in conditions.items() if name != but))


def _free(*, but: str = "") -> ColumnElement[bool]:
    """In order, and nobody's."""
    return and_(_in_order(but=but), not_(_owned()), not_(_billed()))


def _status(status: str) -> Condition:
    if status in {"retired", "purged", "replaced"}:
        return lambda _: and_(_free(but="status"), device.c.status == status)
    return lambda _: and_(_free(), device.c.status == status)


# --- the cases -------------------------------------------------------------------------------------------------------

CASES: Mapping[str, Case] = {
    "ready": Case("Nobody's, and nothing is wrong with them.", None, False, lambda _: _free()),
    "active": Case("The same, in use.", None, False, _status("active")),
    "suspended": Case("The same, barred for a time.", None, False, _status("suspended")),
    "test_ready": Case("The same, ready for tests.", None, False, _status("test_ready")),
    "inventory": Case(
        "In stock: not activated, hence without an activation date.",
        "NO_ACTIVATION_DATE",
        True,
        lambda _: and_(_free(but="activated"), device.c.status == "inventory", device.c.activated_on.is_(None)),
    ),
    "never_activated": Case(
        "Ready for tests, with a number, never activated.",
        "NO_ACTIVATION_DATE",
        True,
        lambda _: and_(_free(but="activated"), device.c.status == "test_ready", device.c.activated_on.is_(None)),
    ),
    "retired": Case("Taken out of use.", "STATUS_NOT_ASSIGNABLE", True, _status("retired")),
    "purged": Case("Deleted at the carrier.", "STATUS_NOT_ASSIGNABLE", True, _status("purged")),
    "replaced": Case("Their number lives on another SIM.", "STATUS_NOT_ASSIGNABLE", True, _status("replaced")),
    "deleted": Case(
        "Deleted here.", "DELETED", True, lambda _: and_(_free(but="deleted"), device.c.is_deleted == true())
    ),
    "archived": Case(
        "Archived here.", "ARCHIVED", True, lambda _: and_(_free(but="archived"), device.c.is_archived == true())
    ),
    "without_msisdn": Case(
        "In use, without a number to bill.",
        "MSISDN_MISSING",
        True,
        lambda _: and_(_free(but="msisdn"), device.c.msisdn.is_(None)),
    ),
    "owned_by_another": Case(
        "Another customer's, not billed.",
        "OWNED_BY_ANOTHER",
        True,
        lambda mine: and_(_in_order(), _owned(), not_(_owned(mine)), not_(_billed())),
    ),
    "owned_and_billed_by_another": Case(
        "Another customer's, and billed to it.",
        "OWNED_BY_ANOTHER",
        True,
        lambda mine: and_(_in_order(), _owned(), not_(_owned(mine)), _billed(_service.customer_id != mine)),
    ),
    "billed_to_another": Case(
        "Nobody's, but another customer is still billed for them.",
        "BILLED_TO_ANOTHER",
        True,
        lambda mine: and_(_in_order(), not_(_owned()), _billed(_service.customer_id != mine)),
    ),
    "kept": Case(
        "The customer's at the same site already, not billed.",
        None,
        False,
        lambda mine: and_(_in_order(), _owned(mine), _at_default_site(mine), not_(_billed())),
    ),
    "moves_site": Case(
        "The customer's at another site, not billed.",
        "MOVES_SITE",
        False,
        lambda mine: and_(_in_order(), _owned(mine), not_(_at_default_site(mine)), not_(_billed())),
    ),
    "service_kept": Case(
        "The customer's at the same site, with a billing service.",
        "BILLING_SERVICE_KEPT",
        False,
        lambda mine: and_(_in_order(), _at_default_site(mine), _billed(_service.customer_id == mine)),
    ),
    "in_open_work_order": Case(
        "In a job that a person paused.",
        "IN_OPEN_WORK_ORDER",
        True,
        lambda _: and_(_free(but="open"), _in_open_work()),
    ),
    "previous_ownership": Case(
        "Nobody's; their last owner's time ended after they were activated.",
        "BEFORE_PREVIOUS_OWNERSHIP",
        True,
        lambda _: and_(_free(but="ended"), _ended_after_activation()),
    ),
    "ownership_scheduled": Case(
        "Somebody is going to own them.",
        "OWNERSHIP_SCHEDULED",
        True,
        lambda _: and_(_free(but="scheduled"), _owned(state="scheduled")),
    ),
    "on_two_providers": Case(
        "The same SIM, under the same ICCID, on two service providers.",
        "AMBIGUOUS",
        True,
        lambda _: and_(_free(but="iccid"), _twin(device.c.iccid, "iccid")),
    ),
    "same_eid": Case(
        "The same SIM, under one EID and two ICCIDs, on two service providers.",
        None,
        False,
        lambda _: and_(_free(), _twin(device.c.eid, "eid")),
    ),
}


def find_case(uow: UnitOfWork, name: str, limit: int = 10, *, account_number: str | None = None) -> tuple[str, ...]:
    """ICCIDs of devices that show a case, in the database's order.

    Args:
        name: of :data:`CASES`.
        account_number: of the customer that is asked for; None: the demo's usual one.

    Raises:
        KeyError: there is no such case.
    """
    mine = customer_id(uow, account_number)
    statement = select(device.c.iccid).where(CASES[name].condition(mine)).order_by(device.c.id).limit(limit)
    return tuple(uow.connection.execute(statement).scalars())


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


#: Cases of the blocked devices of a demo job; ``unknown`` are well formed but nowhere.
_BLOCKED = (*(name for name, case in CASES.items() if case.blocked), "unknown")
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
    mine = customer_id(uow)
    blocked_count = round(count * blocked_share)
    blocked = _pick_blocked(uow, mine, blocked_count)
    kept = [line for name, share in _KEPT.items() for line in _lines(uow, mine, name, count * share // 100, rng)]
    kept = kept[: count - len(blocked)]
    ready = _lines(uow, mine, "ready", count - len(blocked) - len(kept), rng)
    if len(blocked) + len(kept) + len(ready) < count:
        raise NotFound(
            "TOO_FEW_READY",
            f"Only {len(ready):,} devices of the demo data are ready for a job of {count:,}.",
            "Ask for fewer devices, or start from a fresh folder with more demo devices.",
        )
    lines = [*blocked, *kept, *ready]
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


def _pick_blocked(uow: UnitOfWork, mine: int, count: int) -> list[str]:
    """So many lines, from every case in turn; each ICCID once."""
    found: dict[str, list[str]] = {}
    for name in _BLOCKED:
        if name == "unknown":
            found[name] = [identifiers.iccid("8999999", 19, number) for number in range(count)]
        else:
            statement = select(device.c.iccid).where(CASES[name].condition(mine)).order_by(device.c.id).limit(count * 2)
            found[name] = list(dict.fromkeys(uow.connection.execute(statement).scalars()))
    lines: list[str] = []
    for number in range(count):
        lines += [names[number] for names in found.values() if number < len(names)]
        if len(lines) >= count:
            break
    return lines[:count]


def _lines(uow: UnitOfWork, mine: int, name: str, count: int, rng: Random) -> list[str]:
    """Devices of a case as somebody would write them: mostly ICCIDs, but numbers, IMEIs and EIDs too."""
    statement: Select[Any] = (
        select(device.c.iccid, device.c.msisdn, device.c.imei, device.c.eid)
        # A device that shares its EID is named by its ICCID alone, so that it is not named twice.
        .where(CASES[name].condition(mine), or_(device.c.eid.is_(None), not_(_twin(device.c.eid, "eid"))))
        .order_by(device.c.id)
        .limit(count)
    )
    return [_written(rng.random(), *row) for row in uow.connection.execute(statement)]


def _written(chance: float, iccid: str, msisdn: str, imei: str | None, eid: str | None) -> str:
    if chance < 0.06:
        return f"+{msisdn[0]} {msisdn[1:4]} {msisdn[4:7]} {msisdn[7:]}"
    if chance < 0.10 and imei:
        return imei
    if chance < 0.22 and eid:
        return eid
    return iccid


def _no_demo_data() -> NotFound:
    return NotFound(
        "NO_DEMO_DATA",
        "The database does not hold the demo data.",
        "Make some in a new database with: db demo",
    )
