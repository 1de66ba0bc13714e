"""The recorder thread's rounds: gather outcomes, write a group, hand out what may be called next.

A group is written when 256 outcomes are there, 50 ms after its first one, or when there is no call left to hand out:
the pool would wait for it. So that it does not come to that, more work orders are held than are called at a time: as
many as are called while a few groups are written. That is little where calls are slow or the quota is small.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from db.work import Held
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.processing import QUOTA_PAUSE_S
from desktop_app.engine.calls import Calls
from desktop_app.engine.damage import Damage
from desktop_app.engine.gateway import BillingGateway
from desktop_app.engine.group import Item
from desktop_app.engine.hand import Hand
from desktop_app.engine.interpreter import share_the_interpreter
from desktop_app.engine.outcomes import Outcomes
from desktop_app.engine.recorder import BULK, Recorder
from desktop_app.engine.runner import NotCalled

_log = logging.getLogger(__name__)

#: Outcomes in one group.
MOST_IN_GROUP = 256
#: Seconds that a group waits for further outcomes.
LINGER_S = 0.05
#: Most work orders that one engine holds at a time.
MOST_HELD = 1_000
#: Fewest work orders that are held beside those that are called.
LEAST_RESERVE = 2
#: For how many groups there are work orders in reserve: one is written, one is gathered, one is called.
GROUPS_AHEAD = 3
#: Work orders that are claimed of a job of which none is held, whatever is held of others.
FOR_NEWCOMERS = 5
#: Seconds between looks for due work while nothing was found; a wake cuts it short.
POLL_S = 0.5
#: Seconds between looks at the leases of what waits to be called.
RENEW_S = 1.0
#: Work orders without billing that are done at a time while billing is called for others.
SMALL_BULK = 1_000
#: Seconds to wait after the database could not be used; doubled up to the second figure.
FAULT_WAIT_S = (0.25, 10.0)


class Rounds:
    """What the recorder thread does and holds. One thread calls :meth:`run`; :attr:`outcomes` is filled by any."""

    def __init__(
        self,
        recorder: Recorder,
        calls: Calls,
        gateway: BillingGateway,
        *,
        size: int,
        lease_s: float,
        timeout_s: float = 0.0,
        on_ended: Callable[[], None] = lambda: None,
        damage: Damage | None = None,
    ) -> None:
        """
        Args:
            recorder: writes the groups.
            calls: where work orders wait to be called.
            gateway: says which credentials cannot be opened here.
            size: calls at a time.
            lease_s: how long a work order is held without renewing.
            timeout_s: wall-clock seconds of one call: a lease is renewed before it is too short for one.
            on_ended: called when a job may have to be finished.
            damage: of the database; once it is found, by whichever thread, the rounds end.
        """
        #: What the pool's threads bring.
        self.outcomes = Outcomes()
        #: Why the database cannot be used now; None: it can.
        self.fault: EnvironmentFault | None = None
        self._recorder = recorder
        self._calls = calls
        self._gateway = gateway
        self._size = size
        self._on_ended = on_ended
        self._damage = damage or Damage()
        self._renew_below_s = (lease_s + timeout_s) / 2
        self._hand = Hand(calls, self._renew_below_s)
        self._searches: list[Held] = []  # whose leases the next group renews
        self._bulk: deque[int] = deque()
        self._pace = 4.0 * size  # calls that are handed out from one group to the next
        self._left = 0  # calls that were to be handed out when the last group was written, its own included
        self._more = True
        self._poll_at = time.monotonic()
        self._renew_at = time.monotonic() + RENEW_S
        self._failures = 0
        #: Set once the first round is over: what is due was claimed.
        self.has_begun = threading.Event()

    @property
    def held(self) -> int:
        """How many work orders this engine holds."""
        return len(self._hand)

    def run(self, stopping: threading.Event) -> None:
        """Rounds until ``stopping`` is set and everything that was begun is recorded. Never raises."""
        share_the_interpreter()
        while self._damage.fault is None:
            try:
                self._gather(is_stopping=stopping.is_set())
                if stopping.is_set():
                    self._hand.give_back()
                    if not self.held:
                        return
                self._write(stopping)
                self._failures, self.fault = 0, None
            except EnvironmentFault as fault:
                self.fault = fault
                if self._damage.is_meant_by(fault):
                    break
                _log.error("The database cannot be used: %s", fault.message)
                if stopping.is_set():
                    # What was called cannot be recorded: the leases end, and the next engine asks billing.
                    self._hand.pending.clear()
                self._wait_longer(stopping)
            except Exception:  # noqa: BLE001 - the thread must outlive a bug; the leases save the work
                _log.exception("The recorder failed; what it held is taken back when its leases end")
                self._hand.pending.clear()
                self._bulk.clear()
                self._wait_longer(stopping)
            finally:
                self.has_begun.set()
        # Nothing more is called, nor written: what was called is asked for once the database is sound again.
        self._calls.close()

    def _wait_longer(self, stopping: threading.Event) -> None:
        self._failures += 1
        stopping.wait(min(FAULT_WAIT_S[1], FAULT_WAIT_S[0] * 2.0 ** min(self._failures, 10)))

    # --- gathering ---------------------------------------------------------------------------------------------------

    def _gather(self, *, is_stopping: bool) -> None:
        """Waits for something to do, then a little for more of it."""
        self.outcomes.wait(1, self._longest_wait_s(is_stopping=is_stopping))
        self._take()
        linger_until = time.monotonic() + LINGER_S
        # Nobody waits for company while the pool has nothing to call.
        while self._hand.pending and not self._bulk and len(self._calls):
            missing, wait_s = MOST_IN_GROUP - len(self._hand.pending), linger_until - time.monotonic()
            if missing <= 0 or wait_s <= 0:
                break
            self.outcomes.wait(missing, wait_s)
            self._take()

    def _longest_wait_s(self, *, is_stopping: bool) -> float:
        """Seconds until there is something to do at the latest."""
        if self._hand.pending:
            return 0.0
        if is_stopping:  # only calls in flight are waited for; what was not handed out is given back first
            return POLL_S if self._hand.out and not len(self._calls) else 0.0
        has_work = self._bulk or (self._more and self._room(sum(self._calls.at_quota().values())) > 0)
        return 0.0 if has_work else max(0.0, self._poll_at - time.monotonic())

    def _take(self) -> None:
        self._more = self.outcomes.was_woken() or self._more
        self._hand.bring(self.outcomes.take())

    def _room(self, at_quota: int) -> int:
        """For how many more work orders there is room in hand.

        Args:
            at_quota: calls that wait for a quota: they keep no thread busy, and nobody else's calls waiting.
        """
        reserve = max(LEAST_RESERVE, round(GROUPS_AHEAD * self._pace))
        if not self.held:  # the pool has nothing to do: it begins with a few, and the next group brings the others
            reserve = min(reserve, 2 * self._size)
        return min(MOST_HELD - self.held, self._size + reserve - (self.held - at_quota))

    # --- writing -----------------------------------------------------------------------------------------------------

    def _write(self, stopping: threading.Event) -> None:
        self._look_at_waiting()
        is_due = not stopping.is_set() and (self._more or time.monotonic() >= self._poll_at)
        if is_due:
            self._poll_at = time.monotonic() + POLL_S
        items = tuple(self._hand.pending[:MOST_IN_GROUP])
        if items or self._searches or (is_due and self._is_anything_due()):
            self._write_group(items, claim=is_due)
        elif is_due:
            self._more = False
        if self._bulk and not stopping.is_set():
            self._write_bulk()

    def _is_anything_due(self) -> bool:
        if self._recorder.any_due(self._gateway.unopened()):
            return True
        return bool(self._calls.jobs())  # one of them may have been paused

    def _write_group(self, items: tuple[Item, ...], *, claim: bool) -> None:
        # What is recorded now leaves the hand, or is counted anew inside.
        at_quota = self._calls.at_quota()
        room = max(0, self._room(sum(at_quota.values())) + len(items)) if claim else 0
        unopened = self._gateway.unopened() if claim else ()
        newcomers = FOR_NEWCOMERS if claim else 0
        recorded = self._recorder.record(
            items, room, unopened, self._calls.jobs(), newcomers=newcomers,
            at_quota={one for one, waiting in at_quota.items() if waiting > LEAST_RESERVE}, searches=self._searches,
        )  # fmt: skip
        if self._searches:
            self._calls.renewed(self._searches, recorded.renewed)
            self._searches = []
        self._fit_reserve(left=len(self._calls), more=len(recorded.to_call))
        self._left -= self._hand.follow(recorded, len(items))  # nobody called them
        if claim:
            self._more = recorded.is_full or not room
        self._bulk.extend(job_id for job_id in recorded.bulk if job_id not in self._bulk)
        if recorded.to_finish:
            self._on_ended()

    def _fit_reserve(self, left: int, more: int) -> None:
        """``left``: calls that were still to be handed out when the group was written; ``more`` came of it."""
        if left:
            self._pace = max(1.0, self._left - left, 0.9 * self._pace)
        elif self._left and more:  # the pool would have made more
            self._pace = min(MOST_HELD, max(2 * self._pace, self._left))
        self._left = left + more

    def _write_bulk(self) -> None:
        job_id = self._bulk.popleft()
        if self._recorder.apply_bulk(job_id, SMALL_BULK if self._hand.out else BULK):
            self._bulk.append(job_id)
            self._on_ended()

    # --- what waits to be called -------------------------------------------------------------------------------------

    def _look_at_waiting(self) -> None:
        """Leases are renewed before they end, and what the quota lets nobody call for long is given back.

        Searches that are being made are among them: such a one may have many pages, and wait for the quota at each.
        """
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_S
        back = 0
        for credential_id, wait_s in self._calls.waits().items():
            if wait_s > QUOTA_PAUSE_S:
                back += self._hand.give_up(
                    lambda one, used_up=credential_id: one.job.billing_credential_id == used_up,  # type: ignore[misc]
                    NotCalled(wait_s),
                )
        self._left -= back + self._hand.renew()  # nobody called them
        self._searches = self._calls.searches(self._renew_below_s)
