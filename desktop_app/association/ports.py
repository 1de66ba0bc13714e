"""What the business needs from the outside: the billing company, its rate limit, and what a database knows and keeps.

The database itself is :mod:`db.unit_of_work`; it is reached through the store that ``bootstrap`` builds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from desktop_app.association.errors import ErrorKind
from desktop_app.association.facts import (
    CredentialFacts,
    CustomerFacts,
    RatePlanFacts,
    ServiceProviderFacts,
    SiteFacts,
)
from desktop_app.association.model import BillingAction, OwnershipAction, PlanKind
from desktop_app.association.states import WorkOrderState


class PostVerdict(StrEnum):
    """What one POST to the billing company came to."""

    CREATED = "created"  #: billing says that it made it, and under which id
    REFUSED = "refused"  #: billing read it and refused its data (400, 404, 405, 409, 422): nothing was made
    NOT_SENT = "not_sent"  #: nothing was made, a later try may work: the lease, no connection at the first byte
    BUSY = "busy"  #: 429: nothing was made, and it says nothing of the device: the account made too many calls
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
        retry_after_s: seconds that billing asked to wait (429), or None; from an engine: for which nobody calls.
    """

    verdict: PostVerdict
    billing_id: str | None = None
    http_status: int | None = None
    answer: str = ""
    reason: str = ""
    retry_after_s: float | None = None


#: Why nothing more was asked, where it was that.
QUOTA_USED_UP = "The quota of the billing credential is used up."


class LookupVerdict(StrEnum):
    """What one search at the billing company came to."""

    ANSWERED = "answered"  #: the complete list (all pages) is there
    RETRY = "retry"  #: 5xx, time-out: ask again later
    BUSY = "busy"  #: 429: the account made too many calls; ask again later
    ENVIRONMENT = "environment"  #: no server reached, or the credential refused
    NOT_ASKED = "not_asked"  #: this program did not go on to the further pages: it stops, or the quota is used up


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


def always() -> bool:
    """Nothing speaks against it."""
    return True


class BillingPort(Protocol):
    """One login at the billing company. Thread-safe; each thread has its own connection.

    No call raises for what the network or the server does: that is in the answer's verdict. Every call ends within the
    wall-clock deadline over connect, send and read; a list of several pages is a call for each. No call is repeated
    inside. ``may_go_on`` is asked before each further page: False ends the search as ``NOT_ASKED``.
    """

    @property
    def finds_by_number(self) -> bool:
        """Whether a search for one number costs one call; else it reads all services of the customer."""

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one service. ``may_send`` is asked right before the first byte; False gives ``NOT_SENT``."""

    def add_product(self, order: ProductOrder, may_send: Callable[[], bool]) -> PostResult:
        """POST one product onto a service. ``may_send`` as above."""

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        """Services of the customer that carry the reference or the number, active or not, matched on our side."""

    def customer_services(self, billing_customer_id: str) -> ServiceLookup:
        """Every service of the customer (all pages), active or not."""

    def find_products(self, service_id: str, *, may_go_on: Callable[[], bool] = always) -> ProductLookup:
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

    def backed_off(self, retry_after_s: float | None) -> float:
        """Billing said 429: nobody calls for that many seconds; None: it does not say for how many.

        Returns:
            For how many seconds nobody calls.
        """

    def went_through(self) -> None:
        """Billing took a call: it has room again."""


# --- the database's side: phases 1 to 3 ------------------------------------------------------------------------------


class MasterDataPort(Protocol):
    """Customers, sites, plans and credentials, as they stand in one unit of work."""

    def customer(self, customer_id: int) -> CustomerFacts | None:
        """One customer by handle."""

    def customers_called(self, name: str) -> list[CustomerFacts]:
        """Customers of this account number, or of this name in any case of its letters."""

    def customers_like(self, name: str) -> list[CustomerFacts]:
        """Some customers whose name or account number begins alike, for a suggestion."""

    def sites(self, customer_id: int) -> list[SiteFacts]:
        """All sites of the customer."""

    def service_providers(self) -> list[ServiceProviderFacts]:
        """All service providers."""

    def rate_plans(self, kind: PlanKind, code: str | None = None) -> list[RatePlanFacts]:
        """Plans of the kind (and, in any case of its letters, of the code)."""

    def rate_plan(self, rate_plan_id: int) -> RatePlanFacts | None:
        """One plan by handle."""

    def credential(self, billing_credential_id: int | None) -> CredentialFacts | None:
        """The billing credential; None as handle: the default one."""


class WorkOrderDraft(NamedTuple):
    """One work order, to be written; the fields are columns.

    Attributes:
        before: what was there before, for an undo; None where nothing is done.
        error_kind … what_to_do: the finding of a rejected one.
    """

    line: int
    asked_for: str
    device_id: int | None
    state: WorkOrderState
    service_provider_id: int | None
    iccid: str
    imei: str | None
    msisdn: str | None
    eid: str | None
    effective_date: date | None
    ownership_action: OwnershipAction | None
    prior_ownership_id: int | None
    carrier_rate_plan_id: int | None
    billing_action: BillingAction | None
    billing_service_id: int | None
    reference: str | None
    before: Mapping[str, Any] | None
    error_kind: ErrorKind | None
    error_code: str | None
    error_message: str | None
    what_to_do: str | None


@dataclass(frozen=True, slots=True)
class JobDraft:
    """One job with its work orders, to be written.

    Attributes:
        instructions: the document that all its work orders share.
        work_orders: one for each device that was asked for, by line.
    """

    tracking_number: str
    submission_key: str
    fingerprint: str
    customer_id: int
    site_id: int
    account_number: str | None
    billing_credential_id: int | None
    customer_rate_plan_id: int | None
    data_limit_bytes: int | None
    data_pool: str | None
    operator_id: int
    operator_login: str
    reason: str
    instructions: Mapping[str, Any]
    work_orders: Sequence[WorkOrderDraft]


class DeviceIsTaken(Exception):
    """Somebody else was faster: a device is in an open work order by now, or the submission key was used by now.

    Nothing is wrong with the request. The unit of work has to be rolled back and done again, with its check.
    """


class FailedOrder(NamedTuple):
    """A work order that a retry looks at again.

    Attributes:
        device_id: None: no device was found.
        state: failed, rejected or cancelled.
        billing_action, effective_date: frozen when it was built; None for a rejected one.
        settled_service_id: handle of the billing service that it made or kept already; None: that step is not settled.
    """

    work_order_id: int
    line: int
    asked_for: str
    device_id: int | None
    state: WorkOrderState
    billing_action: BillingAction | None
    effective_date: date | None
    settled_service_id: int | None
