"""An engine that a test moves by hand, in virtual time: what it holds in memory lies open, and is gone when it ends.

The real recorder, queue of calls, runner and housekeeping do the work, and what an engine holds is held by its own
:class:`~desktop_app.engine.hand.Hand`; only the threads between them are left out, so that a test says who does what
when, and two engines can take turns in every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from random import Random

from desktop_app.association.ports import LookupVerdict, ProductLookup, ServiceLookup, always
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.engine.calls import Calls
from desktop_app.engine.group import Recorded
from desktop_app.engine.hand import Hand
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

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        if self._is_silent():
            return ServiceLookup(LookupVerdict.RETRY, reason="No answer, as the test asked.")
        return super().find_services(billing_customer_id, reference=reference, number=number)

    def find_products(self, service_id: str, *, may_go_on: Callable[[], bool] = always) -> ProductLookup:
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
    """One process that works off the database."""

    def __init__(
        self, world: World, time: Time, ledger: LaggingLedger, name: str, *, lookup_first: bool = False
    ) -> None:
        self.name = name
        self._ledger = ledger
        gateway = OneLedger(ledger)
        # However little is left of a lease: whoever makes a call may have slept since it was handed out.
        self._calls = Calls(gateway.governor, timeout_s=-math.inf)
        self._hand = Hand(self._calls, (LEASE_S + TIMEOUT_S) / 2)
        self.recorder = Recorder(
            world.store, name, RULES, lease_s=LEASE_S, lookup_first=lookup_first, new_lease=time.lease, rng=Random(1)
        )  # fmt: skip
        self._housekeeping = Housekeeping(
            world.store, gateway, RULES, engine_id=name, send=self._send, rng=Random(1)
        )  # fmt: skip

    # --- what it does ------------------------------------------------------------------------------------------------

    def record(self, room: int) -> Recorded:
        """One group: what is pending is recorded, up to ``room`` work orders are claimed; then work without billing."""
        self._hand.renew()
        items = tuple(self._hand.pending)
        recorded = self.recorder.record(items, room, (), self._calls.jobs())
        self._hand.follow(recorded, len(items))
        for job_id in recorded.bulk:
            self.recorder.apply_bulk(job_id)
        return recorded

    def call(self, faults: Sequence[Fault | None]) -> None:
        """Calls billing for the next work orders, one for each fault; their outcomes are pending then."""
        for fault in faults:
            order = self._calls.get_nowait()
            if order is None:
                return
            self._ledger.faults.clear()
            self._ledger.faults.append(fault)
            outcome = run(order, self._ledger, TIMEOUT_S, lambda: False)
            self._calls.answered(order)
            self._hand.bring([outcome])
            self._ledger.faults.clear()

    @property
    def to_call(self) -> list[OrderInHand]:
        """Work orders whose call may be made."""
        return [one for jobs in self._calls._orders.values() for orders in jobs.values() for one in orders]

    def keep_house(self) -> int:
        """Whatever is due beside work orders; how many things were done."""
        return self._housekeeping.run_once(RULES)

    def held(self) -> Collection[int]:
        """Handles of the work orders that it believes to hold."""
        pending = [item if isinstance(item, OrderInHand) else item.in_hand for item in self._hand.pending]
        return {one.order.work_order_id for one in [*self.to_call, *pending]}

    @staticmethod
    def _send(_event_id: str, _body: bytes) -> Sent:
        return Sent(taken=True)
