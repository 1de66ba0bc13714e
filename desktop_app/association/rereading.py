"""What billing says of billing services that the database has as active: pure decisions, nothing is asked here.

Ended here is only what billing itself lists as ended. A service that it does not list at all may have been moved to
another customer or given another number there, or its search may lag behind: to take that for ended would let the check
pass and the device be billed twice. So it stays what it is and a person looks it up. Likewise, what billing has and the
database has not is told and never adopted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from desktop_app.association.model import AtBilling
from desktop_app.association.ports import BillingServiceFound


class SoughtService(NamedTuple):
    """A billing service that the database has as active.

    Attributes:
        service_id: billing's id.
        number: that it is billed under; "" if none is known.
        reference: ours, sent with the POST; "" for one that was made outside this program.
    """

    service_id: str
    number: str
    reference: str


def concerning(
    sought: Sequence[SoughtService], found: Iterable[BillingServiceFound]
) -> dict[SoughtService, tuple[BillingServiceFound, ...]]:
    """What of billing's list concerns each of the services: what has its id, its number or its reference.

    Args:
        found: everything that billing listed in answer, such as all services of a customer.
    """
    by_key: dict[tuple[str, str], list[SoughtService]] = defaultdict(list)
    for service in sought:
        for key in service._asdict().items():
            by_key[key].append(service)
    listed: dict[SoughtService, list[BillingServiceFound]] = {service: [] for service in sought}
    for other in found:
        keys = (("service_id", other.service_id), ("number", other.number), ("reference", other.reference))
        for service in dict.fromkeys(service for key in keys if key[1] for service in by_key.get(key, ())):
            listed[service].append(other)
    return {service: tuple(others) for service, others in listed.items()}


def judge(sought: SoughtService, listed: Iterable[BillingServiceFound]) -> AtBilling:
    """What billing says of the service, by its id alone: a number may have been given to another service since."""
    same = [service.is_active for service in listed if service.service_id == sought.service_id]
    if not same:
        return AtBilling.ABSENT
    return AtBilling.ACTIVE if any(same) else AtBilling.ENDED


def orphans(
    listed: Mapping[SoughtService, Iterable[BillingServiceFound]], active_here: Collection[str]
) -> list[tuple[SoughtService, BillingServiceFound]]:
    """Services that are active at billing beside those that were sought, and not so here.

    Args:
        listed: see :func:`concerning`.
        active_here: billing's ids of the services that the database has as active, of whatever device.

    Returns:
        Each once, with the service that it was found beside.
    """
    beside: dict[str, tuple[SoughtService, BillingServiceFound]] = {}
    for service, others in listed.items():
        for other in others:
            if other.is_active and other.service_id not in active_here:
                beside.setdefault(other.service_id, (service, other))
    return list(beside.values())
