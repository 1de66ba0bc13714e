"""What the business needs from the outside: the billing company, its rate limit, and the clock.

The database's side is in :mod:`db.unit_of_work`; it is reached through the store that ``bootstrap`` builds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol


class PostVerdict(StrEnum):
    """What one POST to the billing company came to."""

    CREATED = "created"  #: billing says that it made it, and under which id
    REFUSED = "refused"  #: billing read it and refused its data (400, 404, 405, 409, 422): nothing was made
    NOT_SENT = "not_sent"  #: nothing was made and a later try may work: 429, a dead connection before the first byte, the lease
    UNKNOWN = "unknown"  #: time-out, broken connection or any 5xx after the first byte: billing may have acted
    ENVIRONMENT = "environment"  #: no server reached, or the credential refused (401, 403): nothing was made


@dataclass(frozen=True, slots=True)
class PostResult:
    """Outcome of one POST.

    Attributes:
        verdict: see :class:`PostVerdict`.
        billing_id: the id that billing gave, for ``CREATED``.
        http_status: status code, or None where there was no answer.
        answer: what billing said, redacted and cut to 400 characters; "" where there was no answer.
        reason: one sentence for a person, for everything but ``CREATED``.
        retry_after_s: seconds that billing asked to wait (429), or None.
    """

    verdict: PostVerdict
    billing_id: str | None = None
    http_status: int | None = None
    answer: str = ""
    reason: str = ""
    retry_after_s: float | None = None


class LookupVerdict(StrEnum):
    """What one search at the billing company came to."""

    ANSWERED = "answered"  #: the complete list (all pages) is there
    RETRY = "retry"  #: 429, 5xx, time-out: ask again later
    ENVIRONMENT = "environment"  #: no server reached, or the credential refused


@dataclass(frozen=True, slots=True)
class BillingServiceFound:
    """A billing service as billing lists it.

    Attributes:
        service_id: billing's id.
        billing_customer_id: billing's id of the customer that it belongs to.
        number: the phone number (or ICCID) on it.
        reference: our reference, read from the field that carries it; "" if none.
        is_active: not disconnected.
    """

    service_id: str
    billing_customer_id: str
    number: str
    reference: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class BillingProductFound:
    """A product on a billing service as billing lists it."""

    service_product_id: str
    service_id: str
    product_id: str
    reference: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class ServiceLookup:
    """Answer of :meth:`BillingPort.find_services`."""

    verdict: LookupVerdict
    services: tuple[BillingServiceFound, ...] = ()
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProductLookup:
    """Answer of :meth:`BillingPort.find_products`."""

    verdict: LookupVerdict
    products: tuple[BillingProductFound, ...] = ()
    reason: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """What is posted to make one billing service.

    Attributes:
        reference: made by us before the POST, unique for the work order, at most 60 characters.
        billing_customer_id: billing's id of the customer.
        provider_id: billing's id of the service provider.
        service_type_id: billing's service type, or None.
        number: MSISDN in E.164, or the ICCID; text.
        effective_date: the calendar date from which it is billed.
        package_id: billing's package of the plan, or None.
        address_id: billing's address of the site, or None.
        description: a sentence for the bill, or "".
    """

    reference: str
    billing_customer_id: str
    provider_id: str
    number: str
    effective_date: date
    service_type_id: str | None = None
    package_id: str | None = None
    address_id: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class ProductOrder:
    """What is posted to put one plan's product on a billing service."""

    reference: str
    service_id: str
    product_id: str
    effective_date: date
    generate_proration: bool = True


class BillingPort(Protocol):
    """One login at the billing company. Thread-safe; each thread has its own connection.

    No call raises for what the network or the server does: that is in the answer's verdict. Every call ends within the
    wall-clock deadline over connect, send and read. No call is repeated inside.
    """

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one service. ``may_send`` is asked right before the first byte; False gives ``NOT_SENT``."""

    def add_product(self, order: ProductOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one product onto a service. ``may_send`` as above."""

    def find_services(self, billing_customer_id: str, *, reference: str = "", number: str = "") -> ServiceLookup:
        """Services of the customer that carry the reference or the number, active or not, matched on our side."""

    def find_products(self, service_id: str) -> ProductLookup:
        """All products on the service, active or not."""

    def list_services(self) -> ServiceLookup:
        """Every service of the account (all pages), for a comparison of both sides."""

    def ping(self) -> LookupVerdict:
        """One cheap GET: is billing there and is the credential accepted?"""

    def close(self) -> None:
        """Closes every connection of every thread."""


class RateGovernor(Protocol):
    """How many calls one billing credential may make. Thread-safe; counts every call, searches too."""

    def try_take(self, calls: int = 1) -> float:
        """Take the right to make ``calls`` calls: 0.0 if taken, else the seconds until it is worth asking again."""

    def backed_off(self, retry_after_s: float) -> None:
        """Billing said 429: nobody calls for that many seconds."""
