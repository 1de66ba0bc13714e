"""Billing compared with the database, both ways: what one side has and the other does not, and what is there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from desktop_app.association.ports import BillingServiceFound


class KnownService(NamedTuple):
    """A billing service as the database knows it; ``billing_customer_id`` is what billing calls the customer."""

    service_id: str
    billing_customer_id: str | None
    customer: str
    iccid: str
    number: str
    reference: str | None
    is_active: bool


class Sender(NamedTuple):
    """The work order that a reference was made for; ``is_open``: it is still being worked on."""

    tracking_number: str
    iccid: str
    is_open: bool = False


_NOBODY = Sender("", "")


@dataclass(frozen=True, slots=True)
class Orphan:
    """An active billing service that the database does not know.

    Attributes:
        tracking_number, iccid: of the work order whose reference it carries; "" where it was made outside the program.
    """

    service_id: str
    billing_customer_id: str
    number: str
    reference: str
    tracking_number: str
    iccid: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Several active billing services for one reference, or for one number of one customer."""

    reference: str
    number: str
    service_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A billing service that is active in the database and not at billing.

    Attributes:
        at_billing: ``absent``, ``ended``, or ``of another customer``.
    """

    service_id: str
    customer: str
    iccid: str
    number: str
    at_billing: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the comparison found.

    Attributes:
        at_billing, in_database: active services on either side.
    """

    at_billing: int
    in_database: int
    orphans: tuple[Orphan, ...]
    duplicates: tuple[Duplicate, ...]
    missing: tuple[Missing, ...]

    @property
    def agree(self) -> bool:
        """Whether both sides hold the same; services that were made outside the program do not count against it."""
        return not self.duplicates and not self.missing and not any(orphan.tracking_number for orphan in self.orphans)


def reconcile(
    found: Iterable[BillingServiceFound],
    known_before: Iterable[KnownService],
    known_after: Iterable[KnownService],
    senders: Mapping[str, Sender],
) -> Reconciliation:
    """Compares every service that billing lists with every one that the database knows.

    While billing is asked, jobs may go on: missing is only what was known before, orphaned only what is not known after
    and is nobody's open work.

    Args:
        known_before, known_after: as the database stood before billing was asked, and after it.
        senders: reference → the work order that it was made for.
    """
    at_billing = {service.service_id: service for service in found}
    in_database = {service.service_id: service for service in known_before}
    known = {service.service_id for service in known_after} | in_database.keys()
    active = [service for service in at_billing.values() if service.is_active]
    return Reconciliation(
        at_billing=len(active),
        in_database=sum(service.is_active for service in in_database.values()),
        orphans=tuple(
            Orphan(
                service.service_id,
                service.billing_customer_id,
                service.number,
                service.reference,
                *senders.get(service.reference, _NOBODY)[:2],
            )
            for service in active
            if service.service_id not in known and not senders.get(service.reference, _NOBODY).is_open
        ),
        duplicates=_duplicates(active),
        missing=tuple(
            Missing(service.service_id, service.customer, service.iccid, service.number, what)
            for service in in_database.values()
            if service.is_active and (what := _at_billing(service, at_billing.get(service.service_id)))
        ),
    )


def _at_billing(service: KnownService, found: BillingServiceFound | None) -> str:
    if found is None:
        return "absent"
    if not found.is_active:
        return "ended"
    return "" if found.billing_customer_id == service.billing_customer_id else "of another customer"


def _duplicates(active: Iterable[BillingServiceFound]) -> tuple[Duplicate, ...]:
    """By reference first; by number only what is not one of those."""
    by_reference: dict[str, list[str]] = defaultdict(list)
    by_number: dict[tuple[str, str], list[BillingServiceFound]] = defaultdict(list)
    for service in active:
        if service.reference:
            by_reference[service.reference].append(service.service_id)
        if service.number:
            by_number[service.billing_customer_id, service.number].append(service)
    found = [Duplicate(reference, "", tuple(ids)) for reference, ids in by_reference.items() if len(ids) > 1]
    for (_, number), services in by_number.items():
        same_reference = len({service.reference for service in services}) == 1 and services[0].reference
        if len(services) > 1 and not same_reference:
            found.append(Duplicate("", number, tuple(service.service_id for service in services)))
    return tuple(found)
