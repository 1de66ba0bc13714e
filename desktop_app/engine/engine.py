"""The engine of one process: two threads of its own, and a pool in which billing is called.

The *recorder* thread alone writes outcomes and claims work (:mod:`~desktop_app.engine.recorder`); the *housekeeping*
thread does the rest (:mod:`~desktop_app.engine.housekeeping`). Pool threads do HTTP and nothing else. The database is
the queue: whatever this process holds in memory it may lose at any instruction.

Shutdown: stop claiming → no further call is begun → wait for the calls in flight → record them → end the threads.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TypeVar

from db import engine_rows
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import LookupVerdict, PostResult, PostVerdict, ProductLookup, ServiceLookup
from desktop_app.association.processing import CallResult, ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause
from desktop_app.association.steps import CallKind
from desktop_app.engine.housekeeping import BillingGateway, Housekeeping
from desktop_app.engine.leases import LeaseClock, lease_clock
from desktop_app.engine.orders import OrderInHand
from desktop_app.engine.outbox import Send
from desktop_app.engine.pool import Pool
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import NotCalled, Outcome, run

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Outcomes in one group.
MOST_IN_GROUP = 256
#: Seconds between looks for due work while nothing was found; a wake cuts it short.
POLL_S = 0.25
#: Seconds between two rounds of housekeeping.
HOUSEKEEPING_S = 0.25
#: Seconds between signs of life in the database.
SEEN_S = 15.0
#: Seconds to wait after the database could not be used; doubled up to the second figure.
FAULT_WAIT_S = (0.5, 10.0)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How an engine works.

    Attributes:
        kind: ``desktop``, ``work`` or ``wait``; for people.
        timeout_s: wall-clock seconds of one call.
        settle_s: how long after an unanswered POST billing is asked, unless the installation says something else.
        lease_s: how long a work order is held without renewing; must outlast a call by far.
        lookup_first: search number and customer before the first POST, for services made outside this program.
        first_wait_s: upper bound of the first wait before a retry.
    """

    kind: str
    timeout_s: float
    settle_s: float
    lease_s: float
    lookup_first: bool = False
    first_wait_s: float = 1.0

    def __post_init__(self) -> None:
        if self.lease_s < 2 * self.timeout_s:
            raise ValueError("A lease must last at least twice as long as a call may take.")


@dataclass(slots=True)
class _InHand:
    """What the recorder thread holds between two groups."""

    ready: dict[int, deque[OrderInHand]] = field(default_factory=lambda: defaultdict(deque))
    outcomes: list[Outcome | OrderInHand] = field(default_factory=list)  #: to be recorded
    bulk: deque[int] = field(default_factory=deque)  #: jobs with due work orders without billing
    calling: int = 0  #: given to the pool, no outcome yet
    more: bool = False  #: the last claim found work, so that there may be more

    @property
    def count(self) -> int:
        return self.calling + len(self.outcomes) + sum(len(orders) for orders in self.ready.values())


class Engine:
    """Works off whatever is due in the database. ``start`` and ``stop`` once each, all else from any thread."""

    def __init__(
        self,
        store: Store,
        gateway: BillingGateway,
        pool: Pool,
        config: EngineConfig,
        *,
        send: Send | None = None,
        clock: LeaseClock = lease_clock,
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            store: the database.
            gateway: the billing companies.
            pool: where billing is called; this engine alone uses it, and ends it.
            send: announces finished jobs; None: they are not announced.
            clock: tells leases on this machine.
            rng: source of jitter.
        """
        self.engine_id = str(uuid.uuid4())
        self._store = store
        self._gateway = gateway
        self._pool = pool
        self._config = config
        self._rng = rng or Random()
        own = ProcessingRules(timedelta(seconds=config.settle_s), RetryRules(first_wait_s=config.first_wait_s))
        self._recorder = Recorder(
            store,
            self.engine_id,
            own,
            lease=timedelta(seconds=config.lease_s),
            lookup_first=config.lookup_first,
            clock=clock,
            rng=self._rng,
        )
        self._housekeeping = Housekeeping(
            store, gateway, own, send=send, on_found=self.wake, rng=Random(self._rng.random())
        )
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._housekeeping_due = threading.Event()
        self._poll_now = threading.Event()
        self._threads: list[threading.Thread] = []
        self._fault: EnvironmentFault | None = None

    # --- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to work.

        Raises:
            EnvironmentFault: the database cannot be used.
        """
        host = socket.gethostname()
        self._store.run(lambda uow: engine_rows.register(uow, self.engine_id, host, os.getpid(), self._config.kind))
        self._recorder.rules = self._housekeeping.rules()
        for name, target in (("recorder", self._record_all), ("housekeeping", self._keep_house)):
            thread = threading.Thread(target=target, name=name)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends in order: nothing new is begun, calls in flight are waited for and recorded. Nothing is lost."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._pool.wait()
        try:
            self._store.run(lambda uow: engine_rows.seen(uow, self.engine_id, stopped=True))
        except EnvironmentFault:
            _log.warning("The database is not there to be told that this engine has stopped")

    def wake(self) -> None:
        """There may be new work: look at once."""
        self._poll_now.set()
        self._housekeeping_due.set()
        self._outcomes.put(None)

    @property
    def fault(self) -> EnvironmentFault | None:
        """Why the database cannot be used now; None: it can."""
        return self._fault

    def wait_until_idle(self, is_cancelled: Callable[[], bool] = lambda: False, poll_s: float = 0.1) -> bool:
        """Waits until nothing is left that an engine could do, parked work included.

        Returns:
            False: it was cancelled before.
        """
        while not is_cancelled():
            if self._look(engine_rows.is_idle):
                return True
            time.sleep(poll_s)
        return False

    def wait_until_job_ends(
        self, tracking_number: str, is_cancelled: Callable[[], bool] = lambda: False, poll_s: float = 0.1
    ) -> tuple[JobState, PauseCause | None] | None:
        """Waits until the job is over, or paused.

        Returns:
            Its state and the cause of its pause; None: it was cancelled before, or there is no such job.
        """
        while not is_cancelled():
            found = self._look(lambda uow: engine_rows.job_state(uow, tracking_number) or ())
            if found == ():
                return None
            if found and (found[0] in FINAL_JOBS or found[0] is JobState.PAUSED):
                return found[0], found[1]
            time.sleep(poll_s)
        return None

    def _look(self, query: Callable[[UnitOfWork], T]) -> T | None:
        """The query's answer; None while the database cannot be used."""
        try:
            with self._store.read() as uow:
                return query(uow)
        except EnvironmentFault as fault:
            self._fault = fault
            return None

    # --- the recorder thread -----------------------------------------------------------------------------------------

    def _record_all(self) -> None:
        hand = _InHand()
        poll_at = time.monotonic()
        failures = 0
        while True:
            self._gather(hand, poll_at)
            self._dispatch(hand)  # the threads that have become free go on while this one writes
            stopping = self._stopping.is_set()
            if stopping and not hand.count:
                return
            may_find = hand.more and self._room(hand) > 0
            is_due = not stopping and (may_find or self._poll_now.is_set() or time.monotonic() >= poll_at)
            if not hand.outcomes and not is_due and not hand.bulk:
                continue
            try:
                self._write(hand, claim=is_due)
                if is_due:
                    poll_at = time.monotonic() + POLL_S
                failures = 0
                self._fault = None
            except EnvironmentFault as fault:
                self._fault = fault
                failures += 1
                _log.error("The database cannot be used: %s", fault.message)
                if stopping:
                    # What was called is not recorded: the leases end, and the next engine asks billing.
                    hand.outcomes.clear()
                else:
                    self._stopping.wait(min(FAULT_WAIT_S[1], FAULT_WAIT_S[0] * 2**failures))
            except Exception:  # noqa: BLE001 - the thread must outlive a bug; the leases save the work
                failures += 1
                _log.exception("The recorder failed; what it held is taken back when its leases end")
                hand.outcomes.clear()
                hand.bulk.clear()
                self._stopping.wait(min(FAULT_WAIT_S[1], FAULT_WAIT_S[0] * 2**failures))

    def _gather(self, hand: _InHand, poll_at: float) -> None:
        """Waits for an outcome, a wake, a call that may be made now, or the next poll; takes what there is."""
        at_once = hand.outcomes or hand.bulk or (hand.more and self._room(hand) > 0)
        wait = 0.0 if at_once else max(0.0, poll_at - time.monotonic())
        if any(hand.ready.values()):
            wait = min(wait, 0.01)  # a call waits for its turn in the quota, or for a free thread
        try:
            if wait:
                self._take(hand, self._outcomes.get(timeout=wait))
            while len(hand.outcomes) < MOST_IN_GROUP:
                self._take(hand, self._outcomes.get_nowait())
        except queue.Empty:
            pass

    @staticmethod
    def _take(hand: _InHand, outcome: Outcome | None) -> None:
        if outcome is not None:
            hand.calling -= 1
            hand.outcomes.append(outcome)

    def _room(self, hand: _InHand) -> int:
        """For how many claims: as many as are called at a time, and as many again that wait with their intents."""
        return 2 * self._pool.size - hand.count + len(hand.outcomes)

    def _write(self, hand: _InHand, *, claim: bool) -> None:
        """One group, and one batch of work without billing."""
        if claim:
            self._poll_now.clear()
        outcomes = tuple(hand.outcomes)
        room = max(0, self._room(hand)) if claim else 0
        recorded = self._recorder.record(outcomes, room, self._gateway.unopened() if room else ())
        hand.outcomes = [*hand.outcomes[len(outcomes) :], *recorded.settled]
        if room:
            hand.more = recorded.claimed > 0
        for one in recorded.to_call:
            assert one.job.billing_credential_id is not None
            hand.ready[one.job.billing_credential_id].append(one)
        for job_id in recorded.paused:
            self._release(hand, lambda one, job_id=job_id: one.order.job_id == job_id)  # type: ignore[misc]
        self._dispatch(hand)
        hand.bulk.extend(job_id for job_id in recorded.bulk if job_id not in hand.bulk)
        done = 0
        if hand.bulk and not self._stopping.is_set():
            job_id = hand.bulk.popleft()
            done = self._recorder.apply_bulk(job_id)
            if done:
                hand.bulk.append(job_id)
        if recorded.ended or done:
            self._housekeeping_due.set()

    def _dispatch(self, hand: _InHand) -> None:
        """Gives calls to the pool, as fast as the quota lets it."""
        if self._stopping.is_set():
            self._release(hand, lambda _one: True)
            return
        for credential_id, orders in hand.ready.items():
            governor = self._gateway.governor(credential_id)
            while orders and hand.calling < self._pool.size + self._pool.size // 2:
                wait_s = governor.try_take()
                if wait_s > self._config.lease_s / 2:
                    mine = tuple(orders)
                    orders.clear()
                    hand.outcomes.extend(Outcome(one, NotCalled(wait_s)) for one in mine)
                if wait_s > 0:
                    break
                hand.calling += 1
                self._call(credential_id, orders.popleft())

    @staticmethod
    def _release(hand: _InHand, which: Callable[[OrderInHand], bool]) -> None:
        """Calls that are not made: their work orders go back into the queue."""
        for credential_id, orders in hand.ready.items():
            hand.outcomes.extend(Outcome(one, NotCalled()) for one in orders if which(one))
            hand.ready[credential_id] = deque(one for one in orders if not which(one))

    def _call(self, credential_id: int, one: OrderInHand) -> None:
        def call() -> None:
            outcome = Outcome(one, NotCalled())
            try:
                billing = self._gateway.client(credential_id)
                outcome = run(one, billing, self._config.timeout_s, self._stopping.is_set)
                self._back_off(credential_id, outcome)
            except EnvironmentFault as fault:
                outcome = Outcome(one, _unreachable(one, fault.message))
            except Exception:  # noqa: BLE001 - nothing may leave a pool's thread; not called is an outcome
                _log.exception("Billing could not be opened for device %s", one.order.iccid)
            finally:
                self._outcomes.put(outcome)

        self._pool.submit(call)

    def _back_off(self, credential_id: int, outcome: Outcome) -> None:
        result = outcome.result
        if not isinstance(result, NotCalled) and result.retry_after_s:
            self._gateway.governor(credential_id).backed_off(result.retry_after_s)

    # --- the housekeeping thread -------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        seen_at = time.monotonic()
        failures = 0
        while not self._stopping.is_set():
            wait = HOUSEKEEPING_S
            try:
                if time.monotonic() - seen_at > SEEN_S:
                    self._store.run(lambda uow: engine_rows.seen(uow, self.engine_id))
                    self._recorder.rules = self._housekeeping.rules()
                    seen_at = time.monotonic()
                self._housekeeping.run_once(self._recorder.rules)
                failures = 0
            except EnvironmentFault as fault:
                self._fault = fault
                failures += 1
                _log.error("The database cannot be used: %s", fault.message)
            except Exception:  # noqa: BLE001 - the thread must outlive a bug
                failures += 1
                _log.exception("Housekeeping failed")
            if failures:
                wait = min(FAULT_WAIT_S[1], FAULT_WAIT_S[0] * 2**failures)
                self._stopping.wait(wait)
            self._housekeeping_due.wait(wait)
            self._housekeeping_due.clear()


def _unreachable(one: OrderInHand, reason: str) -> CallResult:
    assert one.call is not None
    match one.call.kind:
        case CallKind.FIND_SERVICE:
            return ServiceLookup(LookupVerdict.ENVIRONMENT, reason=reason)
        case CallKind.FIND_PRODUCT:
            return ProductLookup(LookupVerdict.ENVIRONMENT, reason=reason)
        case _:
            return PostResult(PostVerdict.ENVIRONMENT, reason=reason)
