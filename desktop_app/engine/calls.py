"""Calls that may be made: work orders whose intent is committed, handed out no faster than the quota lets them.

A thread of the pool waits here without a work order and without a right to call; it gets both at once, so that no work
order's lease runs out, and no right grows old, in the hands of a sleeping thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from db.work import Held
from desktop_app.association.ports import RateGovernor
from desktop_app.association.steps import POSTS
from desktop_app.engine.leases import Lease
from desktop_app.engine.orders import OrderInHand

#: Seconds after which a thread that waits for the quota asks again at the latest: somebody else may have more room.
LONGEST_WAIT_S = 1.0


class Calls:
    """The queue between the recorder thread and the pool. Thread-safe."""

    def __init__(self, governor: Callable[[int], RateGovernor], timeout_s: float) -> None:
        """
        Args:
            governor: of a billing credential, by its handle.
            timeout_s: wall-clock seconds of one call; a call whose lease does not outlive it is not handed out.
        """
        self._governor = governor
        self._timeout_s = timeout_s
        #: By credential and job; the one that was served last is the last one, and no job is without any.
        self._orders: dict[int, dict[int, deque[OrderInHand]]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._somebody_waits_for_quota = False
        self._closed = False
        self._waits: dict[int, float] = {}
        #: The leases of searches that were handed out and are not answered yet: one of many pages outlasts its lease.
        self._searches: dict[Held, Lease] = {}
        #: Called by a thread that finds no call to make; waits for nothing.
        self.on_dry: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """How many calls wait to be handed out."""
        return self._count

    # --- the pool's threads ------------------------------------------------------------------------------------------

    def get(self) -> OrderInHand | None:
        """The next work order, with the right to make its call; waits for both. None: there will be no more."""
        with self._lock:
            while not self._closed:
                order, wait_s = self._next()
                if order is not None:
                    if self._count:  # this one may have been the one that waited for the quota: somebody has to
                        self._changed.notify()
                    return order
                if wait_s is None or self._somebody_waits_for_quota:
                    if not self._count:
                        self.on_dry()
                    self._changed.wait()
                else:
                    self._somebody_waits_for_quota = True
                    self._changed.wait(min(wait_s, LONGEST_WAIT_S))
                    self._somebody_waits_for_quota = False
            return None

    def get_nowait(self) -> OrderInHand | None:
        """The next work order that may be called right now; None: there is none."""
        with self._lock:
            return self._next()[0]

    def answered(self, order: OrderInHand) -> None:
        """Its call is over, and its outcome is about to be brought."""
        if order.call is not None and order.call.kind not in POSTS:
            with self._lock:
                self._searches.pop(order.held, None)

    def _next(self) -> tuple[OrderInHand | None, float | None]:
        """A work order, or how long to wait for the quota; neither: there is nothing to call."""
        shortest: float | None = None
        for credential_id, jobs in self._orders.items():
            for job_id, orders in jobs.items():  # noqa: B007 - used behind the loop
                if orders[0].lease.outlives(self._timeout_s):
                    break
            else:  # the recorder renews the leases, or gives them back
                continue
            wait_s = self._governor(credential_id).try_take()
            if wait_s <= 0:
                self._waits.pop(credential_id, None)
                self._count -= 1
                # In turns between credentials, and between their jobs: the one that was served goes to the end.
                self._orders[credential_id] = self._orders.pop(credential_id)
                del jobs[job_id]
                order = orders.popleft()
                if orders:
                    jobs[job_id] = orders
                if order.call is not None and order.call.kind not in POSTS:
                    self._searches[order.held] = order.lease
                return order, None
            self._waits[credential_id] = wait_s
            shortest = wait_s if shortest is None else min(shortest, wait_s)
        return None, shortest

    # --- the recorder thread -----------------------------------------------------------------------------------------

    def put(self, orders: Iterable[OrderInHand]) -> None:
        """Work orders whose intent is committed (or whose call needs none)."""
        # Sorted before the lock is taken, for which every thread of the pool waits.
        of_jobs: dict[tuple[int, int], list[OrderInHand]] = {}
        for order in orders:
            credential_id = order.job.billing_credential_id
            assert credential_id is not None
            of_jobs.setdefault((credential_id, order.order.job_id), []).append(order)
        with self._lock:
            for (credential_id, job_id), some in of_jobs.items():
                self._orders.setdefault(credential_id, {}).setdefault(job_id, deque()).extend(some)
                self._count += len(some)
                self._changed.notify(len(some))

    def take_back(
        self, which: Callable[[OrderInHand], bool], job_ids: Collection[int] | None = None
    ) -> list[OrderInHand]:  # fmt: skip
        """Takes out the work orders that are not handed out and fulfil the condition.

        Args:
            job_ids: handles of the jobs that are looked at; None: all.
        """
        taken: list[OrderInHand] = []
        with self._lock:
            for credential_id, jobs in self._orders.items():
                for job_id in list(jobs) if job_ids is None else jobs.keys() & job_ids:
                    orders = jobs[job_id]
                    out = [order for order in orders if which(order)]
                    if out:
                        taken += out
                        del jobs[job_id]
                    if out and (left := deque(order for order in orders if not which(order))):
                        jobs[job_id] = left
                if not jobs:  # nobody asks any more: what was said would grow old, and be believed of the next ones
                    self._waits.pop(credential_id, None)
            self._count -= len(taken)
        return taken

    def searches(self, renew_below_s: float) -> list[Held]:
        """Searches that are being made, of whose lease no more than that is left.

        Never a POST: it ends within its deadline, which its lease outlives, or it is not begun.
        """
        with self._lock:
            return [held for held, lease in self._searches.items() if not lease.outlives(renew_below_s)]

    def renewed(self, asked: Iterable[Held], leases: Mapping[Held, Lease]) -> None:
        """Of these searches the leases are renewed now; those that are without have lost theirs."""
        with self._lock:
            for held in asked:
                if self._searches.pop(held, None) is not None and held in leases:
                    self._searches[held] = leases[held]

    def jobs(self) -> set[int]:
        """Handles of the jobs whose calls wait here."""
        with self._lock:
            return {job_id for jobs in self._orders.values() for job_id in jobs}

    def at_quota(self) -> dict[int, int]:
        """For each credential whose quota was used up at the last look: how many calls wait for it."""
        with self._lock:
            return {one: sum(map(len, self._orders[one].values())) for one in self._waits if one in self._orders}

    def waits(self) -> dict[int, float]:
        """For each credential whose quota was used up at the last look: seconds until it is worth asking again."""
        with self._lock:
            return dict(self._waits)

    def close(self) -> None:
        """No call is handed out any more; every thread that waits is told so."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
