"""Re-reading from billing: what was ended there is ended here, with rights, and written down.

First billing is asked about every service, outside any transaction; then all answers are written in one. Whatever goes
wrong before that has changed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from db import browse_devices, operators, rereading
from db.facts import Facts
from desktop_app.association.errors import Cancelled, EnvironmentFault, RequestRefused
from desktop_app.association.facts import OperatorRights, Right
from desktop_app.association.identifiers import read_lines, refuse_unreadable
from desktop_app.association.model import (
    AskedLines,
    AtBilling,
    DeviceSelection,
    FilteredDevices,
    OrphanService,
    PickedDevices,
    Reread,
    RereadService,
    unpack,
)
from desktop_app.association.ports import BillingPort, BillingServiceFound, LookupVerdict, RateGovernor, ServiceLookup
from desktop_app.association.rereading import SoughtService, concerning, judge, orphans
from desktop_app.desk.protocol import MOST_REREAD, IsCancelled, never
from desktop_app.desk.seat import Seat
from desktop_app.engine.gateway import BillingGateway

if TYPE_CHECKING:
    from db.rereading import ServiceRecord
    from db.unit_of_work import UnitOfWork

#: How often billing is asked for the same thing before it counts as too busy.
_MOST_TRIES = 3
#: A person waits in front of this: so long for the right to make one call, and no longer.
_LONGEST_WAIT_S = 90.0
#: Between two questions whether the caller still wants the answer.
_NAP_S = 0.2
#: Services that are named in the audit; the device history has them all.
_MOST_NAMED = 50


def reread_billing(
    seat: Seat,
    billing: BillingGateway,
    devices: DeviceSelection,
    cancelled: IsCancelled = never,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Reread:
    """Asks billing for the devices' active billing services and ends here those that were ended there.

    A service whose device is being worked on by a job is left alone, and so is one of a customer that the operator may
    not associate for.

    Args:
        devices: at most :data:`~desktop_app.desk.protocol.MOST_REREAD`; a line that names nothing is passed over, one
            that names devices on several service providers stands for all of them.
        sleep: waits so many seconds.

    Raises:
        RequestRefused: too many devices, a line that cannot be read, or no right on any of the services.
        EnvironmentFault: billing or database cannot be reached, the credential cannot be opened, the quota is used up.
            Nothing was changed.
        Cancelled: ``cancelled`` said so. Nothing was changed.
    """
    with seat.store.read() as uow:
        rights = seat.rights(uow)
        known = rereading.active_services(uow, _device_ids(uow, rights, devices, cancelled))
    permitted = [one for one in known if rights.may(Right.ASSOCIATE, one.customer_id)]
    if known and not permitted:
        raise RequestRefused(
            "NOT_PERMITTED",
            "You do not hold the right to associate devices for the customers that are billed for these devices.",
            "Ask an administrator for the right, or somebody who holds it to re-read them from billing.",
        )
    looked_up = _Asking(billing, cancelled, sleep).ask([one for one in permitted if one.tracking_number is None])
    written = seat.store.run(lambda uow: _write(uow, seat, looked_up)) if looked_up else _Written()
    answered = {one.record.billing_service_id: one.at_billing for one in looked_up}
    return Reread(
        services=tuple(_row(one, answered.get(one.billing_service_id), written.held) for one in permitted),
        orphans=written.orphans,
        not_permitted=len(known) - len(permitted),
    )


# --- which devices ---------------------------------------------------------------------------------------------------


def _device_ids(
    uow: UnitOfWork, rights: OperatorRights, devices: DeviceSelection, cancelled: IsCancelled
) -> Sequence[int]:
    ids: Sequence[int]
    match devices:
        case PickedDevices(packed):
            ids = list(dict.fromkeys(unpack(packed)))
        case FilteredDevices(wanted, minus):
            left_out = set(unpack(minus))
            found = browse_devices.device_ids(uow, rights, wanted, "iccid", False, cancelled)
            ids = [key for key in found if key not in left_out]
        case AskedLines(lines):
            read = read_lines(lines)
            refuse_unreadable(read)
            asked = Facts(uow).asked(read.asked, cancelled)
            ids = list(dict.fromkeys(device.device_id for one in asked for device in one.candidates))
    if len(ids) > MOST_REREAD:
        raise RequestRefused(
            "TOO_MANY_TO_REREAD",
            f"{len(ids):,} devices are too many to re-read at once: billing is asked about every one of them.",
            f"Choose at most {MOST_REREAD:,} devices, and go on with the others then.",
        )
    return ids


# --- billing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """A billing service that billing was asked for, and what of its answer concerns it."""

    record: ServiceRecord
    sought: SoughtService
    listed: tuple[BillingServiceFound, ...]

    @property
    def at_billing(self) -> AtBilling:
        return judge(self.sought, self.listed)


@dataclass(frozen=True, slots=True)
class _Asking:
    """Asks billing, one call after the other, each with the right to make it."""

    billing: BillingGateway
    cancelled: IsCancelled
    sleep: Callable[[float], None]

    def ask(self, services: Iterable[ServiceRecord]) -> list[_LookedUp]:
        """What billing lists for each of them, customer by customer."""
        by_customer: dict[tuple[int, str], dict[SoughtService, ServiceRecord]] = {}
        for one in services:
            _refuse_closed(one)
            key = (one.billing_credential_id, one.billing_customer_id or "")
            sought = SoughtService(one.service_id, one.number, one.reference or "")
            by_customer.setdefault(key, {})[sought] = one
        looked_up: list[_LookedUp] = []
        for (credential_id, customer_id), records in by_customer.items():
            found = self._find(credential_id, customer_id, list(records)) if customer_id else []
            listed = concerning(list(records), found)
            looked_up += [_LookedUp(record, sought, listed[sought]) for sought, record in records.items()]
        return looked_up

    def _find(
        self, credential_id: int, customer_id: str, services: Sequence[SoughtService]
    ) -> Sequence[BillingServiceFound]:
        # Where billing cannot search for a number, each search would read all services of the customer anew.
        if not self.billing.client(credential_id).finds_by_number:
            return self._call(credential_id, lambda client: client.customer_services(customer_id))
        found: dict[str, BillingServiceFound] = {}
        for one in services:
            listed = self._call(credential_id, partial(_search, customer_id, one))
            found.update((service.service_id, service) for service in listed)
        return list(found.values())

    def _call(self, credential_id: int, call: Callable[[BillingPort], ServiceLookup]) -> Sequence[BillingServiceFound]:
        governor = self.billing.governor(credential_id)
        answer = ServiceLookup(LookupVerdict.RETRY)
        for tries in range(1, _MOST_TRIES + 1):
            self._take(governor)
            answer = call(self.billing.client(credential_id))
            if answer.verdict is LookupVerdict.ANSWERED:
                return answer.services
            if answer.verdict is LookupVerdict.ENVIRONMENT:
                raise EnvironmentFault(
                    "BILLING_UNREACHABLE",
                    f"{answer.reason or 'Billing cannot be reached.'} Nothing was changed.",
                    "Check address, network and credential, then re-read from billing again.",
                )
            if answer.verdict is LookupVerdict.BUSY:
                governor.backed_off(answer.retry_after_s)
            elif tries < _MOST_TRIES:
                self._rest(float(tries))
        raise EnvironmentFault(
            "BILLING_BUSY",
            f"{answer.reason or 'Billing gave no answer.'} Nothing was changed.",
            "Re-read from billing again in a while.",
        )

    def _take(self, governor: RateGovernor) -> None:
        """Waits for the right to make one call."""
        waited = 0.0
        while True:
            if self.cancelled():
                raise Cancelled
            wait = governor.try_take()
            if wait <= 0:
                return
            if waited + wait > _LONGEST_WAIT_S:
                raise EnvironmentFault(
                    "BILLING_QUOTA_USED_UP",
                    f"The calls that billing takes are used up for about {max(1, round(wait / 60)):,} minutes. "
                    "Nothing was changed.",
                    "Re-read from billing again then, or choose fewer devices.",
                )
            nap = min(wait, 1.0)  # somebody else may leave room sooner
            self._rest(nap)
            waited += nap

    def _rest(self, seconds: float) -> None:
        while seconds > 0:
            if self.cancelled():
                raise Cancelled
            self.sleep(min(seconds, _NAP_S))
            seconds -= _NAP_S


def _refuse_closed(service: ServiceRecord) -> None:
    if not service.credential_in_use:
        raise EnvironmentFault(
            "BILLING_CREDENTIAL_CLOSED",
            f"Billing service {service.service_id} of device {service.iccid} is billed through the credential "
            f"{service.credential!r}, which is not in use any more. Nothing was changed.",
            "Have the credential put to use again, or re-read the other devices only.",
        )


def _search(customer_id: str, one: SoughtService, client: BillingPort) -> ServiceLookup:
    return client.find_services(customer_id, reference=one.reference, number=one.number)


# --- the database ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Written:
    """What the one transaction came to.

    Attributes:
        held: services that a job has taken in hand since: handle → tracking number.
        orphans: active at billing and not in the database.
    """

    held: Mapping[int, str] = field(default_factory=dict)
    orphans: tuple[OrphanService, ...] = ()


def _write(uow: UnitOfWork, seat: Seat, looked_up: Sequence[_LookedUp]) -> _Written:
    rights = seat.rights(uow)
    over = [one.record.billing_service_id for one in looked_up if one.at_billing is AtBilling.ENDED]
    ended = rereading.end_services(uow, over, rights.login)
    held = rereading.held_by_jobs(uow, over)
    alone = _orphans(uow, looked_up)
    devices = sorted({one.record.iccid for one in looked_up})
    operators.audit(
        uow,
        rights,
        seat.acting,
        "reread_billing",
        devices[0] if len(devices) == 1 else f"{len(devices):,} devices",
        {
            "services": len(looked_up),
            "ended": _named(list(ended.values())),
            "absent": _named([one.sought.service_id for one in looked_up if one.at_billing is AtBilling.ABSENT]),
            "orphans": _named([one.service_id for one in alone]),
        },
    )
    return _Written(held, alone)


def _orphans(uow: UnitOfWork, looked_up: Sequence[_LookedUp]) -> tuple[OrphanService, ...]:
    by_credential: dict[int, list[_LookedUp]] = {}
    for one in looked_up:
        by_credential.setdefault(one.record.billing_credential_id, []).append(one)
    found: list[OrphanService] = []
    for credential_id, of_credential in by_credential.items():
        here = rereading.active_here(
            uow, credential_id, {service.service_id for one in of_credential for service in one.listed}
        )
        iccids = {one.sought: one.record.iccid for one in of_credential}
        found += [
            OrphanService(iccids[beside], service.service_id, service.number, service.reference)
            for beside, service in orphans({one.sought: one.listed for one in of_credential}, here)
        ]
    return tuple(found)


def _named(service_ids: Sequence[str]) -> list[str]:
    more = len(service_ids) - _MOST_NAMED
    return [*service_ids[:_MOST_NAMED], *([f"and {more:,} more"] if more > 0 else [])]


def _row(one: ServiceRecord, at_billing: AtBilling | None, held: Mapping[int, str]) -> RereadService:
    number = one.tracking_number or held.get(one.billing_service_id)
    return RereadService(
        one.iccid,
        one.service_provider,
        one.service_id,
        one.customer,
        one.number,
        AtBilling.IN_WORK if number or at_billing is None else at_billing,
        number or "",
    )
