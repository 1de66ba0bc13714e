"""An engine that a test moves by hand, in virtual time: what it holds in memory lies open, and is gone when it ends.

The real recorder, runner and housekeeping do the work; only the threads between them are left out, so that a test says
who does what when, and two engines can take turns in every order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from random import Random

from desktop_app.association.ports import LookupVerdict, ProductLookup, ServiceLookup
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.engine.group import Item, Recorded
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.orders import OrderInHand
from desktop_app.engine.outbox import Sent
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import run
from tests.helpers.billing_ledger import Fault, OneLedger
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, TIMEOUT_S, LaggingLedger, Time
from tests.helpers.world import World

RULES = ProcessingRules(timedelta(seconds=SETTLE_S), RetryRules(first_wait_s=0.5))


class SilentLedger(LaggingLedger):
    """A lagging billing company whose next searches stay without an answer.

    Attributes:
        silences: how many of them.
    """

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.silences = 0

    def find_services(self, billing_customer_id: str, *, reference: str = "", number: str = "") -> ServiceLookup:
        if self._is_silent():
            return ServiceLookup(LookupVerdict.RETRY, reason="No answer, as the test asked.")
        return super().find_services(billing_customer_id, reference=reference, number=number)

    def find_products(self, service_id: str) -> ProductLookup:
        if not self.is_there:
            return ProductLookup(LookupVerdict.ENVIRONMENT, reason="There is no billing server.")
        if self._is_silent():
            return ProductLookup(LookupVerdict.RETRY, reason="No answer, as the test asked.")
        return super().find_products(service_id)

    def _is_silent(self) -> bool:
        was_silent = self.silences > 0
        self.silences -= was_silent
        return was_silent


class VirtualEngine:
    """One process that works off the database.

    Attributes:
        to_call: work orders whose intent is committed.
        pending: what has to be recorded.
    """

    def __init__(
        self, world: World, time: Time, ledger: LaggingLedger, name: str, *, lookup_first: bool = False
    ) -> None:
        self.name = name
        self.to_call: list[OrderInHand] = []
        self.pending: list[Item] = []
        self._ledger = ledger
        self.recorder = Recorder(
            world.store, name, RULES, lease_s=LEASE_S, lookup_first=lookup_first, new_lease=time.lease, rng=Random(1)
        )  # fmt: skip
        self._housekeeping = Housekeeping(
            world.store, OneLedger(ledger), RULES, engine_id=name, send=self._send, rng=Random(1)
        )

    # --- what it does ------------------------------------------------------------------------------------------------

    def record(self, room: int) -> Recorded:
        """One group: what is pending is recorded, up to ``room`` work orders are claimed; then work without billing."""
        # As the rounds do it: a lease that would be too short for a call is renewed first.
        renew_below_s = (LEASE_S + TIMEOUT_S) / 2
        self.pending += [order for order in self.to_call if not order.lease.outlives(renew_below_s)]
        self.to_call = [order for order in self.to_call if order.lease.outlives(renew_below_s)]
        recorded = self.recorder.record(self.pending, room, (), {order.order.job_id for order in self.to_call})
        self.pending = [*recorded.settled, *(one for one in self.to_call if one.order.job_id in recorded.stopped)]
        self.to_call = [one for one in self.to_call if one.order.job_id not in recorded.stopped]
        self.to_call += recorded.to_call
        for job_id in recorded.bulk:
            self.recorder.apply_bulk(job_id)
        return recorded

    def call(self, faults: Sequence[Fault | None]) -> None:
        """Calls billing for the next work orders, one for each fault; their outcomes are pending then."""
        for fault in faults:
            if not self.to_call:
                return
            order = self.to_call.pop(0)
            self._ledger.faults.clear()
            self._ledger.faults.append(fault)
            self.pending.append(run(order, self._ledger, TIMEOUT_S, lambda: False))
            self._ledger.faults.clear()

    def keep_house(self) -> int:
        """Whatever is due beside work orders; how many things were done."""
        return self._housekeeping.run_once(RULES)

    def held(self) -> Collection[int]:
        """Handles of the work orders that it believes to hold."""
        waiting = [item if isinstance(item, OrderInHand) else item.in_hand for item in self.pending]
        return {order.order.work_order_id for order in [*self.to_call, *waiting]}

    @staticmethod
    def _send(_event_id: str, _body: bytes) -> Sent:
        return Sent(taken=True)
