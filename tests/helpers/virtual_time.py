"""Engines in virtual time: the only clock is the test's, and a process ends where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from sqlalchemy import func, select

from db.integrity import check
from db.schema import job, outbox_event, work_order
from desktop_app.association.ports import (
    BillingProductFound,
    BillingServiceFound,
    PostResult,
    ProductLookup,
    ServiceLookup,
    always,
)
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.association.states import FINAL_JOBS
from desktop_app.engine import crash_points
from desktop_app.engine.group import Item
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.leases import Lease
from desktop_app.engine.outbox import Sent
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import run
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.jobs import assert_counters_equal_rows
from tests.helpers.world import NOW, World

LAG_S, SETTLE_S, LEASE_S, TIMEOUT_S = 2.0, 3.0, 30.0, 5.0
#: More rounds than any life needs; one that goes on is one that has lost something.
MOST_ROUNDS = 300
#: Seconds that pass at most in a round in which nothing happens.
LONGEST_STEP_S = 5.0


class Crashed(BaseException):
    """The process has ended here. No ``except Exception`` of the program may live on after it."""


@dataclass
class Time:
    """The only clock: of the database, of leases, of the billing company."""

    now: datetime = NOW

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def seconds(self) -> float:
        return self.now.timestamp()

    def lease(self, seconds: float) -> Lease:
        return Lease.lasting(seconds, self.seconds, self.seconds)


class LaggingLedger(BillingLedger):
    """A billing company whose search does not show what is younger than ``lag_s``."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time = time
        self.lag_s = LAG_S
        self.made_at: dict[str, datetime] = {}

    def _post(self, order: Any, book: dict[str, Any], may_send: Callable[[], bool]) -> PostResult:
        before = set(book)
        fault = self.faults[0] if self.faults else None
        result = super()._post(order, book, may_send)
        if fault is not None and result.verdict is fault.verdict:
            self.made_at.update(dict.fromkeys(set(book) - before, self.time.now + timedelta(seconds=fault.appears_s)))
            self.time.pass_by(fault.takes_s)
        self.made_at.update(dict.fromkeys(set(book) - before - set(self.made_at), self.time.now))
        return result

    def _shows(self, made: str) -> bool:
        return self.time.now - self.made_at[made] >= timedelta(seconds=self.lag_s)

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        found = super().find_services(billing_customer_id, reference=reference, number=number)
        services: Sequence[BillingServiceFound] = found.services
        return ServiceLookup(found.verdict, tuple(one for one in services if self._shows(one.service_id)))

    def find_products(self, service_id: str, *, may_go_on: Callable[[], bool] = always) -> ProductLookup:
        found = super().find_products(service_id)
        products: Sequence[BillingProductFound] = found.products
        return ProductLookup(found.verdict, tuple(one for one in products if self._shows(one.service_product_id)))


@dataclass
class Scene:
    """A world in virtual time, and the lives of the processes that work on it."""

    world: World
    settle_s: float = SETTLE_S
    time: Time = field(default_factory=Time)
    lives: int = 0
    announced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = LaggingLedger(self.time)
        self.world.store.clock = lambda _connection: self.time.now

    def live(self) -> None:
        """One process, from its start until every job is over (or it crashes)."""
        self.lives += 1
        engine_id = f"engine-{self.lives}"
        recorder, rules = self.recorder(engine_id), self.rules()
        housekeeping = Housekeeping(
            self.world.store, OneLedger(self.ledger), rules, engine_id=engine_id, send=self._send, rng=Random(1)
        )
        items: list[Item] = []
        for _ in range(MOST_ROUNDS):
            housekeeping.run_once(rules)
            recorded = recorder.record(items, 3)
            for job_id in recorded.bulk:
                while recorder.apply_bulk(job_id):
                    pass
            items = [run(order, self.ledger, TIMEOUT_S, lambda: False) for order in recorded.to_call]
            items += recorded.settled
            self.time.pass_by(0.1 if items else self._until_something_is_due())
            if not items and self._is_over():
                housekeeping.run_once(rules)
                return
        raise AssertionError("something never came to an end")

    def rules(self) -> ProcessingRules:
        return ProcessingRules(timedelta(seconds=self.settle_s), RetryRules(first_wait_s=0.5))

    def recorder(self, engine_id: str) -> Recorder:
        return Recorder(
            self.world.store, engine_id, self.rules(), lease_s=LEASE_S, new_lease=self.time.lease, rng=Random(1)
        )

    def live_until_over(self) -> int:
        """Lives until no process crashes any more; how many crashed."""
        for crashes in count():
            try:
                self.live()
            except Crashed:
                continue
            return crashes
        raise AssertionError("unreachable")

    def _send(self, event_id: str, _body: bytes) -> Sent:
        self.announced.append(event_id)
        return Sent(taken=True)

    def _until_something_is_due(self) -> float:
        """Seconds until the next instant for which something is stored; a little where that is now, or nothing is."""
        instants = (
            (work_order, ("next_attempt_at", "check_at", "lease_until")),
            (outbox_event, ("next_attempt_at", "claimed_until")),
        )
        with self.world.store.read() as uow:
            found = [
                uow.connection.scalar(select(func.min(table.c[name])).where(table.c[name] > self.time.now))
                for table, names in instants
                for name in names
            ]
        waits = [(at - self.time.now).total_seconds() for at in found if at is not None]
        return min([*waits, LONGEST_STEP_S]) + 0.01

    def _is_over(self) -> bool:
        is_announced = all(event.state == "sent" for event in self.world.rows(outbox_event))
        return is_announced and all(row.state in FINAL_JOBS for row in self.world.rows(job))

    def assert_sound(self) -> None:
        """Each device is done, each was billed once, and the database keeps its promises."""
        orders = self.world.rows(work_order)
        assert {order.state for order in orders} == {"succeeded"}
        assert self.ledger.twice() == []
        billed = [order.reference for order in orders if order.billing_action == "create"]
        assert sorted(self.ledger.services_of_reference()) == sorted(billed)
        assert sum(self.ledger.products_of_reference().values()) == 2 * len(billed)
        assert set(self.announced) == {f"{row.tracking_number}/1" for row in self.world.rows(job)}
        assert_counters_equal_rows(self.world)
        assert check(self.world.store) == ()


def crash(point: str, time: int) -> Callable[[str], None]:
    """What is called at each point, and ends the process when it is this one for that time, from 1; once."""
    reached = 0

    def on_reached(where: str) -> None:
        nonlocal reached
        reached += where == point
        if where == point and reached == time:
            raise Crashed(f"{point}, time {time}")

    return on_reached


@contextmanager
def crashing_at(point: str, time: int) -> Iterator[None]:
    """The process ends when it reaches the point for that time, from 1; once."""
    crash_points.on_reached = crash(point, time)
    try:
        yield
    finally:
        crash_points.on_reached = crash_points._nothing
