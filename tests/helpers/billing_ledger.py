"""A billing company in memory: keeps a ledger, and answers as a test tells it to."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from desktop_app.association.ports import (
    BillingProductFound,
    BillingServiceFound,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ProductOrder,
    ServiceLookup,
    ServiceOrder,
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one POST.

    Attributes:
        verdict: what the client says of it.
        made: whether it was made all the same.
        http_status: what was answered; None: nothing was.
        takes_s: seconds until the client has its verdict, where there is a clock for it.
        appears_s: seconds after the call at which it comes into being, where there is a clock for it.
    """

    verdict: PostVerdict
    made: bool = False
    retry_after_s: float | None = None
    http_status: int | None = None
    takes_s: float = 0.0
    appears_s: float = 0.0


CUT_AFTER = Fault(PostVerdict.UNKNOWN, made=True)
CUT_BEFORE = Fault(PostVerdict.UNKNOWN, made=False)
FAILED_AFTER = Fault(PostVerdict.UNKNOWN, made=True, http_status=500)
FAILED_BEFORE = Fault(PostVerdict.UNKNOWN, made=False, http_status=500)
#: It is made at once, but the answer would come after the deadline.
TOO_LATE = Fault(PostVerdict.UNKNOWN, made=True, takes_s=5.0)
#: It is not there yet when billing answers that it failed.
APPEARS_LATE = Fault(PostVerdict.UNKNOWN, made=True, http_status=500, appears_s=0.8)
BUSY = Fault(PostVerdict.NOT_SENT, retry_after_s=0.0, http_status=429)
REFUSED = Fault(PostVerdict.REFUSED, http_status=400)
GONE = Fault(PostVerdict.ENVIRONMENT)


class BillingLedger:
    """Implements ``BillingPort``.

    Attributes:
        faults: of the next POSTs, in order; None: none.
        no_answers: what the next searches for services are answered with, in order.
    """

    def __init__(self) -> None:
        self.faults: deque[Fault | None] = deque()
        self.services: dict[str, ServiceOrder] = {}
        self.products: dict[str, ProductOrder] = {}
        self.posts = 0
        self.searches = 0
        self.is_there = True
        self.finds_by_number = True
        self.disconnected: set[str] = set()
        self.no_answers: deque[ServiceLookup] = deque()
        self.hides_references = False
        self.on_post: Callable[[], None] = lambda: None
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    # --- what is asserted --------------------------------------------------------------------------------------------

    def services_of_reference(self) -> Counter[str]:
        """How many services were made for each reference."""
        with self._lock:  # an engine may be at work
            return Counter(order.reference for order in self.services.values())

    def products_of_reference(self) -> Counter[str]:
        """How many products were made for each reference."""
        with self._lock:
            return Counter(order.reference for order in self.products.values())

    def twice(self) -> list[str]:
        """References that something was made for more than once."""
        counts = self.services_of_reference() + self.products_of_reference()
        return [reference for reference, count in counts.items() if count > 1]

    # --- what people do at billing -----------------------------------------------------------------------------------

    def add_service(self, service_id: str, billing_customer_id: str, number: str, reference: str = "") -> None:
        """A service that was made outside the program, or before the test."""
        self.services[service_id] = ServiceOrder(reference, billing_customer_id, "12", number, date(2026, 11, 1))

    def disconnect(self, service_id: str) -> None:
        """Ends a service."""
        assert service_id in self.services
        self.disconnected.add(service_id)

    # --- BillingPort -------------------------------------------------------------------------------------------------

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        return self._post(order, self.services, may_send)

    def add_product(self, order: ProductOrder, may_send: Callable[[], bool]) -> PostResult:
        return self._post(order, self.products, may_send)

    def _post(self, order: Any, book: dict[str, Any], may_send: Callable[[], bool]) -> PostResult:
        if not self.is_there:
            return PostResult(PostVerdict.ENVIRONMENT, reason="There is no billing server.")
        if not may_send():
            return PostResult(PostVerdict.NOT_SENT, reason="It might not have been sent in time.")
        self.on_post()
        with self._lock:
            self.posts += 1
            fault = self.faults.popleft() if self.faults else None
            if fault is not None and not fault.made:
                return self._went_wrong(fault)
            made = str(next(self._ids))
            book[made] = order
        if fault is not None:
            return self._went_wrong(fault)
        return PostResult(PostVerdict.CREATED, made, 201, '{"ok":true}')

    @staticmethod
    def _went_wrong(fault: Fault) -> PostResult:
        answer = "" if fault.http_status is None else '{"ok":false}'
        return PostResult(fault.verdict, None, fault.http_status, answer, "As the test asked.", fault.retry_after_s)

    def find_services(self, billing_customer_id: str, *, reference: str = "", number: str = "") -> ServiceLookup:
        assert reference or number

        def fits(found: BillingServiceFound, order: ServiceOrder) -> bool:
            is_theirs = found.billing_customer_id == billing_customer_id
            has_reference = reference != "" and order.reference == reference
            return has_reference or (number != "" and order.number == number and is_theirs)

        return self._search(fits)

    def customer_services(self, billing_customer_id: str) -> ServiceLookup:
        return self._search(lambda found, _order: found.billing_customer_id == billing_customer_id)

    def _search(self, fits: Callable[[BillingServiceFound, ServiceOrder], bool]) -> ServiceLookup:
        with self._lock:
            self.searches += 1
            if not self.is_there:
                return ServiceLookup(LookupVerdict.ENVIRONMENT, reason="There is no billing server.")
            if self.no_answers:
                return self.no_answers.popleft()
            return ServiceLookup(
                LookupVerdict.ANSWERED,
                tuple(found for made, order in self.services.items() if fits(found := self._found(made, order), order)),
            )

    def _found(self, made: str, order: ServiceOrder) -> BillingServiceFound:
        reference = "" if self.hides_references else order.reference
        is_active = made not in self.disconnected
        return BillingServiceFound(made, order.billing_customer_id, order.number, reference, is_active=is_active)

    def find_products(self, service_id: str) -> ProductLookup:
        with self._lock:
            self.searches += 1
            return ProductLookup(
                LookupVerdict.ANSWERED,
                tuple(
                    BillingProductFound(made, order.service_id, order.product_id, order.reference, is_active=True)
                    for made, order in self.products.items()
                    if order.service_id == service_id
                ),
            )

    def list_services(self) -> ServiceLookup:
        return ServiceLookup(LookupVerdict.ANSWERED)

    def ping(self) -> LookupVerdict:
        return LookupVerdict.ANSWERED if self.is_there else LookupVerdict.ENVIRONMENT

    def close(self) -> None:
        return


@dataclass
class NoLimit:
    """A governor that lets every call through, or (with ``wait_s``) none."""

    wait_s: float = 0.0
    back_offs: list[float] = field(default_factory=list)

    def try_take(self, calls: int = 1) -> float:
        return self.wait_s

    def backed_off(self, retry_after_s: float) -> None:
        self.back_offs.append(retry_after_s)


class OneLedger:
    """A gateway that gives the same ledger for every credential."""

    def __init__(self, ledger: BillingLedger) -> None:
        self.ledger = ledger
        self.limit = NoLimit()
        self.closed: set[int] = set()

    def unopened(self) -> Collection[int]:
        return self.closed

    def client(self, billing_credential_id: int) -> BillingLedger:
        return self.ledger

    def governor(self, billing_credential_id: int) -> NoLimit:
        return self.limit
