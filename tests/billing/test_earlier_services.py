"""Services that the sandbox's billing company had before: ordinary ones, that no ledger counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import PostVerdict
from desktop_app.billing.client import BillingClient
from desktop_app.billing.launcher import SandboxAddress, read_ledger, seed_catalogue
from tests.billing.conftest import product_order, yes

EARLIER: list[dict[str, Any]] = [
    {"service_id": "71201", "customer_id": "17", "provider_id": "3", "number": "12745550005"},
    {"service_id": "71202", "customer_id": "17", "provider_id": "3", "number": "12745550006",
     "number2": "AJ-20261001-0001-1", "disconnected_date": "2026-10-02"},
]  # fmt: skip


def test_they_are_found_and_take_products(
    start_sandbox: Callable[..., SandboxAddress], make_client: Callable[..., BillingClient]
) -> None:
    sandbox = start_sandbox(accept_any=True)
    assert seed_catalogue(sandbox, {"services": EARLIER})["services"] == 2
    client = make_client(sandbox.url)
    (found,) = client.find_services("17", number="12745550005").services
    assert (found.service_id, found.is_active, found.reference) == ("71201", True, "")
    (ended,) = client.find_services("17", reference="AJ-20261001-0001-1").services
    assert (ended.service_id, ended.is_active) == ("71202", False)
    assert client.add_product(product_order("71201"), yes).verdict is PostVerdict.CREATED
    assert client.add_product(product_order("71202"), yes).verdict is PostVerdict.REFUSED
    ledger = read_ledger(sandbox)
    assert (ledger["totals"]["services"], ledger["totals"]["products"]) == (0, 1)
    seed_catalogue(sandbox, {"services": EARLIER})  # again: nothing is lost, nothing comes twice
    assert len(client.find_services("17", number="12745550005").services) == 1
    assert len(client.find_products("71201").products) == 1


@pytest.mark.parametrize("wrong", [{"service_id": "A-1"}, {"customer_id": ""}])
def test_one_that_makes_no_sense_is_refused(sandbox: SandboxAddress, wrong: dict[str, Any]) -> None:
    with pytest.raises(EnvironmentFault):
        seed_catalogue(sandbox, {"services": [{**EARLIER[0], **wrong}]})
