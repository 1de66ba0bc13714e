"""The engine of one process: two threads of its own, and a pool in which billing is called.

The *recorder* thread alone writes outcomes and claims work (:mod:`~desktop_app.engine.rounds`); the *housekeeping*
thread does the rest (:mod:`~desktop_app.engine.housekeeping`). Pool threads do HTTP and nothing else. The database is
the queue: whatever this process holds in memory it may lose at any instruction.

Shutdown: stop claiming → no further call is begun → wait for the calls in flight → record them → end the threads.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from db import engine_rows, maintenance
from db.engines import sqlite_path
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import LookupVerdict, PostVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.engine.calls import Calls
from desktop_app.engine.crash_points import commit
from desktop_app.engine.damage import Damage
from desktop_app.engine.gateway import BillingGateway
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.leases import Lease
from desktop_app.engine.orders import OrderInHand
from desktop_app.engine.outbox import Send
from desktop_app.engine.pool import Pool
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.rounds import Rounds
from desktop_app.engine.runner import NotCalled, Outcome, run, unreachable

_log = logging.getLogger(__name__)

#: The largest SQLite file that each start looks through, and the largest where the last engine has not ended in order:
#: a window's first rows wait for it. On two cores 34 MB (100,000 devices) took 0.07 s, 342 MB (a million) 0.7 s, both
#: from memory. ``db check`` looks through any.
LOOKED_AT_BYTES = 64 * 1024**2
LOOKED_AT_AFTER_CRASH_BYTES = 512 * 1024**2
#: Seconds that the first claim may take before everything else begins, too.
HEAD_START_S = 0.5
#: What billing says of a call that it took.
_TAKEN = (PostVerdict.CREATED, PostVerdict.REFUSED, LookupVerdict.ANSWERED)
#: Seconds of one wait for a thread that ends.
JOIN_S = 0.5


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
        if self.lease_s <= self.timeout_s:
            raise ValueError("A lease must outlast a call.")


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
        new_lease: Callable[[float], Lease] = Lease.lasting,
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            store: the database.
            gateway: the billing companies.
            pool: where billing is called; this engine alone uses it, and ends it.
            send: announces finished jobs; None: they are not announced.
            new_lease: a lease of so many seconds that begins now, on this machine's clocks.
            rng: source of jitter.
        """
        self.engine_id = str(uuid.uuid4())
        self._store = store
        self._gateway = gateway
        self._pool = pool
        self._config = config
        rng = rng or Random()
        own = ProcessingRules(timedelta(seconds=config.settle_s), RetryRules(first_wait_s=config.first_wait_s))
        self._recorder = Recorder(
            store,
            self.engine_id,
            own,
            lease_s=config.lease_s,
            lookup_first=config.lookup_first,
            new_lease=new_lease,
            rng=rng,
        )
        self._damage = Damage()
        self._calls = Calls(gateway.governor, config.timeout_s)
        self._housekeeping = Housekeeping(
            store, gateway, own, engine_id=self.engine_id, send=send, on_found=self._wake_recorder,
            on_rules=self._use_rules, rng=Random(rng.random()), damage=self._damage,
        )  # fmt: skip
        self._rounds = Rounds(
            self._recorder, self._calls, gateway, size=pool.size, lease_s=config.lease_s,
            timeout_s=config.timeout_s,
            on_ended=self._housekeeping.wake, damage=self._damage,
        )  # fmt: skip
        self._calls.on_dry = self._rounds.outcomes.ring
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    # --- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to work.

        Raises:
            EnvironmentFault: the database cannot be used, is damaged, or is a backup that was not told so; nothing was
                started.
        """
        maintenance.refuse_untold_backup(self._store)
        self._refuse_damaged()
        host, kind = platform.node(), self._config.kind
        commit(self._store, "start", lambda uow: engine_rows.register(uow, self.engine_id, host, os.getpid(), kind))
        self._use_rules(self._housekeeping.rules())
        for name, target in (("recorder", self._rounds.run), ("housekeeping", self._keep_house)):
            thread = threading.Thread(target=target, args=(self._stopping,), name=name)
            self._threads.append(thread)
            thread.start()
        for _ in range(self._pool.size):
            self._pool.submit(self._call_all)

    def stop(self) -> None:
        """Ends in order: nothing new is begun, calls in flight are waited for and recorded. Nothing is lost.

        It lasts as long as one call to billing may take, at the most; a search of many calls ends after the one that
        it is at. May be called again, and without a start.
        """
        if self._stopping.is_set() or not self._threads:
            return
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            # Not in one wait: some C libraries lose a wake-up of the interpreter's lock now and then, and the next
            # thread that takes it makes up for that. Here it may be the only one that is left to do so.
            while thread.is_alive():
                thread.join(JOIN_S)
        self._pool.wait()
        if self._damage.fault is not None:
            return
        try:
            commit(self._store, "stop", lambda uow: engine_rows.seen(uow, self.engine_id, stopped=True))
        except EnvironmentFault:
            _log.warning("The database is not there to be told that this engine has stopped")

    def wake(self) -> None:
        """There may be new work, or a job was paused, resumed or cancelled: look at once."""
        self._wake_recorder()
        self._housekeeping.wake()

    @property
    def damage(self) -> EnvironmentFault | None:
        """That the database is damaged: this engine does nothing more; None: nothing of that was seen."""
        return self._damage.fault

    @property
    def fault(self) -> EnvironmentFault | None:
        """Why the database cannot be used now; None: it can."""
        return self._rounds.fault or self._housekeeping.fault

    def _refuse_damaged(self) -> None:
        """Looks at a file before anything is billed on it; the larger it is, the less without a cause."""
        most = LOOKED_AT_BYTES
        # A command does not wait for a long look, and a server sees to its own files.
        if self._config.kind != "wait" and sqlite_path(self._store.url) is not None:
            with self._store.read() as uow:
                if engine_rows.was_left_running(uow):
                    most = LOOKED_AT_AFTER_CRASH_BYTES
        maintenance.require_sound(self._store, most)

    # --- between the threads -----------------------------------------------------------------------------------------

    def _wake_recorder(self) -> None:
        self._rounds.outcomes.wake()

    def _use_rules(self, rules: ProcessingRules) -> None:
        self._recorder.rules = rules

    def _keep_house(self, stopping: threading.Event) -> None:
        """What is there to be claimed is claimed first: both at once would take the interpreter from one another."""
        self._rounds.has_begun.wait(HEAD_START_S)
        self._housekeeping.run(stopping)

    def _call_all(self) -> None:
        """What each thread of the pool does: call after call, until there will be no more."""
        while (order := self._calls.get()) is not None:
            outcome = self._call(order)
            self._calls.answered(order)
            self._rounds.outcomes.put(outcome)

    def _call(self, order: OrderInHand) -> Outcome:
        credential_id = order.job.billing_credential_id
        assert credential_id is not None
        try:
            billing = self._gateway.client(credential_id)
        except EnvironmentFault as fault:
            return Outcome(order, unreachable(order, fault.message))
        except Exception:  # noqa: BLE001 - nothing may leave a pool's thread
            _log.exception("Billing could not be opened for device %s", order.order.iccid)
            return Outcome(order, unreachable(order, "The program failed while it opened billing; its log says more."))
        outcome = run(order, billing, self._config.timeout_s, self._stopping.is_set)
        result = outcome.result
        if not isinstance(result, NotCalled):
            verdict = result.verdict
            if verdict is PostVerdict.BUSY or verdict is LookupVerdict.BUSY:
                wait_s = self._gateway.governor(credential_id).backed_off(result.retry_after_s)
                return Outcome(order, replace(result, retry_after_s=wait_s))
            if verdict in _TAKEN:
                self._gateway.governor(credential_id).went_through()
        return outcome
