"""A world to work in: demo data, a desk before it, a billing company in memory, and engines on both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from db.demo.cases import pick_for_demo_job
from db.integrity import check
from db.unit_of_work import Store
from desktop_app.association.model import AskedLines, AssociationRequest
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import JobDetail, WorkOrderRow
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import Pool, ThreadPool
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.desks import add_boss, desk_on
from tests.helpers.rest import wait_until_idle
from tests.helpers.stores import demo_store

#: Seconds after which a wait of these tests is a failure. What is waited for comes at once, on a machine that stands
#: still for a while too.
PATIENCE_S = 60.0
#: Leases of engines that no test stops past them: however slow a thread is, nobody takes its work away.
LEASE_S = 600.0


@dataclass
class World:
    """Everything that an engine needs, and what a person sees of it."""

    store: Store
    desk: LocalDesk
    ledger: BillingLedger
    gateway: OneLedger

    def request(self, count: int, *, billing: bool = True, blocked_share: float = 0.0) -> AssociationRequest:
        """A request for so many devices of the demo data."""
        with self.store.read() as uow:
            request = pick_for_demo_job(uow, count, blocked_share).request
        return request if billing else replace(request, create_billing_service=False)

    def submit(self, request: AssociationRequest, key: str = "the-key") -> str:
        """Checks and submits; the tracking number."""
        report = self.desk.check(request)
        return self.desk.submit(request, report.fingerprint, key).tracking_number

    def engine(
        self,
        *,
        settle_s: float = 0.2,
        lease_s: float = LEASE_S,
        lookup_first: bool = False,
        pool: Pool | None = None,
        **more: object,
    ) -> Engine:
        """An engine; whoever starts it stops it."""
        config = EngineConfig(
            "work", timeout_s=2.0, settle_s=settle_s, lease_s=lease_s, first_wait_s=0.05, lookup_first=lookup_first
        )
        return Engine(self.store, self.gateway, pool or ThreadPool(4), config, **more)  # type: ignore[arg-type]

    def work(self, **options: object) -> None:
        """Runs an engine until nothing is left to do."""
        engine = self.engine(**options)  # type: ignore[arg-type]
        engine.start()
        try:
            assert wait_until_idle(self.store, _out_of_patience()), "the engine did not come to rest"
        finally:
            engine.stop()

    def job(self, tracking_number: str) -> JobDetail:
        return self.desk.job(tracking_number)

    def orders(self, tracking_number: str) -> tuple[WorkOrderRow, ...]:
        return self.desk.work_orders(tracking_number, limit=10_000)

    def assert_sound(self) -> None:
        """Nothing was made twice, and the database keeps all its promises."""
        assert self.ledger.twice() == []
        assert check(self.store) == ()


def _out_of_patience() -> Callable[[], bool]:
    end = time.monotonic() + PATIENCE_S
    return lambda: time.monotonic() > end


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until the condition holds.

    Raises:
        AssertionError: it did not, for a long time.
    """
    is_over = _out_of_patience()
    while not condition():
        assert not is_over(), "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    """Demo data on both kinds of database in turn."""
    with demo_store(databases) as store:
        add_boss(store)
        ledger = BillingLedger()
        yield World(store, desk_on(store), ledger, OneLedger(ledger))


def only(lines: tuple[str, ...], request: AssociationRequest) -> AssociationRequest:
    """The same request for these devices."""
    return replace(request, devices=AskedLines(lines))
