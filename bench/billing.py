"""A billing company that takes a known time for each call, and nothing else: what waits is the job, not the network."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection

from desktop_app.association.ports import (
    BillingPort,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ProductOrder,
    RateGovernor,
    ServiceLookup,
    ServiceOrder,
    always,
)

ANSWER = '{"ok":true}'


class BillingOfLatency:
    """Implements ``BillingPort``: every POST is answered with 201 after ``latency_s`` seconds of sleep."""

    finds_by_number = True

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._ids = itertools.count(1)  # counts without a lock: one call of C code

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        return self._post(may_send)

    def add_product(self, order: ProductOrder, may_send: Callable[[], bool]) -> PostResult:
        return self._post(may_send)

    def _post(self, may_send: Callable[[], bool]) -> PostResult:
        if not may_send():
            return PostResult(PostVerdict.NOT_SENT, reason="It might not have been sent in time.")
        if self._latency_s:
            time.sleep(self._latency_s)
        return PostResult(PostVerdict.CREATED, str(next(self._ids)), 201, ANSWER)

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        return ServiceLookup(LookupVerdict.ANSWERED)

    def customer_services(self, billing_customer_id: str) -> ServiceLookup:
        return ServiceLookup(LookupVerdict.ANSWERED)

    def find_products(self, service_id: str, *, may_go_on: Callable[[], bool] = always) -> ProductLookup:
        return ProductLookup(LookupVerdict.ANSWERED)

    def list_services(self) -> ServiceLookup:
        return ServiceLookup(LookupVerdict.ANSWERED)

    def ping(self) -> LookupVerdict:
        return LookupVerdict.ANSWERED

    def close(self) -> None:
        return


class NoLimit:
    """A governor that lets every call through."""

    def try_take(self, calls: int = 1) -> float:
        return 0.0

    def backed_off(self, retry_after_s: float | None) -> float:
        return retry_after_s or 0.0

    def went_through(self) -> None:
        return


class OneCompany:
    """A gateway with the same company for every credential."""

    def __init__(self, billing: BillingPort) -> None:
        self._billing = billing
        self._governor = NoLimit()

    def unopened(self) -> Collection[int]:
        return ()

    def client(self, billing_credential_id: int) -> BillingPort:
        return self._billing

    def governor(self, billing_credential_id: int) -> RateGovernor:
        return self._governor


def bare_pool(call: Callable[[], object], calls: int, threads: int) -> float:
    """The same calls by so many threads that do nothing else: what a job can reach at best.

    Returns:
        Calls a second.

    Raises:
        RuntimeError: a call failed; what was measured would be worth nothing.
    """
    numbers = iter(range(calls))
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in numbers:  # threads share it; a range's iterator gives each number once
                call()
        except Exception as error:  # noqa: BLE001 - it would be lost in its thread
            errors.append(error)

    pool = [threading.Thread(target=work) for _ in range(threads)]
    start = time.perf_counter()
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    taken = time.perf_counter() - start
    if errors:
        raise RuntimeError("A call of the bare pool failed.") from errors[0]
    return calls / taken
