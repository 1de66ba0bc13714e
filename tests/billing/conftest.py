"""One real sandbox for all tests that only need a well-behaved start, and one on demand for those that kill it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from desktop_app.association.ports import ProductOrder, ServiceOrder
from desktop_app.billing.client import BillingClient
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, set_faults, stop
from desktop_app.billing.secrets import SANDBOX_LOGIN

COMMAND = [sys.executable, "-m", "desktop_app.billing.sandbox"]
TODAY = date(2026, 11, 24)
_numbers = itertools.count(1)


def service_order(**changes: object) -> ServiceOrder:
    """An order for a service of its own reference and number."""
    number = next(_numbers)
    fields: dict[str, object] = {
        "reference": f"AJ-20261124-{number:04d}-1",
        "billing_customer_id": "17",
        "provider_id": "3",
        "number": f"+4917{number:09d}",
        "effective_date": TODAY,
    }
    return ServiceOrder(**{**fields, **changes})  # type: ignore[arg-type]


def product_order(service_id: str, **changes: object) -> ProductOrder:
    """An order for a product with a reference of its own."""
    fields: dict[str, object] = {
        "reference": f"AJ-20261124-{next(_numbers):04d}-2",
        "service_id": service_id,
        "product_id": "501",
        "effective_date": TODAY,
    }
    return ProductOrder(**{**fields, **changes})  # type: ignore[arg-type]


def yes() -> bool:
    return True


def stands_still() -> float:
    """A clock on which no time passes."""
    return 1000.0


def a_second_each_look() -> Callable[[], float]:
    """A clock that is a second later each time that it is looked at, as a socket does before it reads."""
    return itertools.count(1000.0).__next__


@pytest.fixture(scope="session")
def _shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxAddress]:
    folder = tmp_path_factory.mktemp("sandbox")
    address = ensure_sandbox(folder, command=COMMAND, start_timeout_s=100, accept_any=True)
    yield address
    stop(address)


@pytest.fixture
def sandbox(_shared_sandbox: SandboxAddress) -> SandboxAddress:
    """A sandbox that behaves well and takes any id; what earlier tests made is still in it."""
    set_faults(_shared_sandbox, reset=True)
    return _shared_sandbox


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., SandboxAddress]]:
    """Starts a sandbox on a folder of its own (the same one each time), with the options given; all are stopped."""
    started: list[SandboxAddress] = []

    def start(**options: Any) -> SandboxAddress:
        started.append(ensure_sandbox(tmp_path / "data", command=COMMAND, start_timeout_s=100, **options))
        return started[-1]

    yield start
    for address in started:
        stop(address)


@pytest.fixture
def make_client() -> Iterator[Callable[..., BillingClient]]:
    """Makes clients, which are closed at the end of the test."""
    made: list[BillingClient] = []

    def make(url: str, *, kind: str = "sandbox", timeout_s: float = 60.0, **options: object) -> BillingClient:
        made.append(BillingClient(kind, url, SANDBOX_LOGIN, timeout_s=timeout_s, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(sandbox: SandboxAddress, make_client: Callable[..., BillingClient]) -> BillingClient:
    """A client of the shared sandbox."""
    return make_client(sandbox.url)
