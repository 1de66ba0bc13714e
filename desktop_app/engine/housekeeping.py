"""What an engine does beside its work orders: takes back, probes, schedules, finishes and announces.

What there is to do is read first, in one go, so that an idle program writes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from db import counters, engine_rows, installation, outbox, schedule, steering, taking_back
from db.taking_back import TakenByAnother
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import EnvironmentFault, ErrorKind, Problem
from desktop_app.association.ports import QUOTA_USED_UP, LookupVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules, probe_at
from desktop_app.engine.crash_points import commit
from desktop_app.engine.damage import Damage
from desktop_app.engine.finishing import finish_due
from desktop_app.engine.gateway import BillingGateway
from desktop_app.engine.outbox import Send, send_due

_log = logging.getLogger(__name__)

#: Seconds between two rounds; a wake cuts it short.
ROUND_S = 1.0
#: A look whose turn would come within so many seconds is made at once.
_ITS_TURN_S = 2.0
#: Seconds between signs of life in the database, and looks at what all engines agree on.
SEEN_S = 15.0
#: Longest wait after the database could not be used.
LONGEST_FAULT_WAIT_S = 10.0

#: What is shown of a work order whose engine ended while billing may have acted.
_LEFT_OPEN = Problem(
    "BILLING_OUTCOME_UNKNOWN",
    "The engine that worked on it ended before billing's answer was recorded; billing may have acted.",
    "Nothing to do now: billing is asked by itself as soon as its search can be trusted.",
    ErrorKind.UNKNOWN,
)


class Housekeeping:
    """Everything beside work orders; one thread of the process uses it."""

    def __init__(
        self,
        store: Store,
        gateway: BillingGateway,
        rules: ProcessingRules,
        *,
        engine_id: str = "",
        send: Send | None = None,
        on_found: Callable[[], None] = lambda: None,
        on_rules: Callable[[ProcessingRules], None] = lambda _rules: None,
        rng: Random | None = None,
        damage: Damage | None = None,
    ) -> None:
        """
        Args:
            rules: of the engine; limits are those of the installation where they say something else.
            engine_id: whose signs of life are given.
            send: announces finished jobs; None: nobody wants to know.
            on_found: called when there may be new work to claim.
            on_rules: called with the rules in force whenever they were read again.
            damage: of the database; once it is found, by whichever thread, nothing more is done.
        """
        #: Why the database cannot be used now; None: it can.
        self.fault: EnvironmentFault | None = None
        self._engine_id = engine_id
        self._damage = damage or Damage()
        self._on_rules = on_rules
        self._due = threading.Event()
        self._store = store
        self._gateway = gateway
        self._settings_rules = rules
        self._send = send
        self._on_found = on_found
        self._rng = rng or Random()
        self._is_stopping: Callable[[], bool] = lambda: False
        self._rules: ProcessingRules | None = None

    def rules(self) -> ProcessingRules:
        """Limits and waits: what all engines of this database agree on, else this engine's own."""
        with self._store.read() as uow:
            agreed = installation.read(uow)
        settle = self._settings_rules.settle if agreed.settle_s is None else timedelta(seconds=agreed.settle_s)
        retry = RetryRules(
            max_attempts=agreed.max_attempts,
            max_age=timedelta(hours=agreed.max_age_h),
            first_wait_s=self._settings_rules.retry.first_wait_s,
        )
        self._rules = ProcessingRules(settle, retry)
        return self._rules

    def wake(self) -> None:
        """There may be something to do: look at once."""
        self._due.set()

    def run(self, stopping: threading.Event) -> None:
        """Does whatever is due, again and again, until ``stopping`` is set (and :meth:`wake` called). Never raises."""
        self._is_stopping = stopping.is_set
        # Who has just started has read the rules, and has given a sign of life.
        seen_at = time.monotonic() + SEEN_S
        failures = 0
        while not stopping.is_set() and self._damage.fault is None:
            try:
                if failures or self._rules is None or time.monotonic() >= seen_at:
                    self._on_rules(self.rules())
                    commit(self._store, "seen", lambda uow: engine_rows.seen(uow, self._engine_id))
                    seen_at = time.monotonic() + SEEN_S
                assert self._rules is not None
                self.run_once(self._rules)
                failures, self.fault = 0, None
            except EnvironmentFault as fault:
                self.fault = fault
                if self._damage.is_meant_by(fault):
                    return
                failures += 1
                _log.error("The database cannot be used: %s", fault.message)
            except Exception:  # noqa: BLE001 - the thread must outlive a bug
                failures += 1
                _log.exception("Housekeeping failed")
            if failures:
                stopping.wait(min(LONGEST_FAULT_WAIT_S, ROUND_S * 2.0 ** min(failures, 10)))
            self._due.wait(ROUND_S)
            self._due.clear()

    def run_once(self, rules: ProcessingRules) -> int:
        """Does whatever is due; how many things were done."""
        unopened = self._gateway.unopened()
        with self._store.read() as uow:
            is_due = _Due(
                leases=taking_back.any_expired(uow),
                probes=steering.any_probe_due(uow, unopened),
                left_alone=steering.any_left_alone(uow, unopened),
                scheduled=schedule.any_due(uow),
                finishing=counters.any_to_finish(uow),
                events=self._send is not None and outbox.any_due(uow),
            )
        done = 0
        if is_due.leases:
            done += self._take_back(rules)
        if is_due.probes:
            done += self._probe()
        if is_due.left_alone:
            done += commit(self._store, "left-alone", lambda uow: steering.tell_left_alone(uow, unopened))
        if is_due.scheduled:
            done += self._schedule()
        if done:
            self._on_found()
        if is_due.finishing:
            done += finish_due(self._store, notify=self._send is not None)
        if self._send is not None and (is_due.events or is_due.finishing):
            done += send_due(self._store, self._send, self._rng, self._is_stopping)
        return done

    def _take_back(self, rules: ProcessingRules) -> int:
        """One path: what an ended engine held is queued work, or an unknown outcome to be asked for."""
        try:
            taken = commit(
                self._store, "take-back", lambda uow: taking_back.take_back(uow, uow.now() + rules.settle, _LEFT_OPEN)
            )
        except TakenByAnother:
            return 0
        _log.info("%d work orders of ended leases were taken back", taken)
        return taken

    def _probe(self) -> int:
        """Jobs that paused themselves look whether billing is back: one look for all jobs of a credential.

        Each look may last as long as a call, and all else waits for it here.
        """
        unopened = self._gateway.unopened()
        # Nobody else looks for the next while; a process that dies here leaves a look that is due again then.
        probes = commit(
            self._store,
            "claim-probes",
            lambda uow: steering.claim_probes(uow, unopened, probe_at(5, uow.now(), self._rng)),
        )
        looks: dict[int, str | None] = {}
        for probe in probes:
            credential_id, reason = probe.billing_credential_id, None
            if credential_id is not None:
                if credential_id not in looks:
                    if self._is_stopping():
                        break
                    looks[credential_id] = self._what_is_wrong(credential_id)
                reason = looks[credential_id]

            def end(uow: UnitOfWork, probe: steering.Probe = probe, reason: str | None = reason) -> None:
                again = None if reason is None else probe_at(probe.attempts, uow.now(), self._rng)
                steering.end_probe(uow, probe.job_id, again, reason or "")

            commit(self._store, "probe", end)
        return len(probes)

    def _what_is_wrong(self, billing_credential_id: int) -> str | None:
        governor = self._gateway.governor(billing_credential_id)
        # Where others use the quota up as it comes, a look would never have its turn; one call is in the margin.
        if governor.try_take() > _ITS_TURN_S:
            return QUOTA_USED_UP
        try:
            verdict = self._gateway.client(billing_credential_id).ping()
        except EnvironmentFault as fault:
            return fault.message
        if verdict is LookupVerdict.ANSWERED:
            governor.went_through()
            return None
        if verdict is LookupVerdict.BUSY:
            governor.backed_off(None)
            return QUOTA_USED_UP
        return "Billing cannot be reached, or refuses the credential."

    def _schedule(self) -> int:
        """A part of what is due; the next round does the next."""
        try:
            applied = commit(self._store, "schedule", schedule.apply_due)
        except TakenByAnother:
            return 0
        if applied.more:
            self.wake()
        return applied.ownerships + applied.plan_changes + applied.dropped


@dataclass(frozen=True, slots=True)
class _Due:
    """What there is to do: read in one go, so that an idle program costs next to nothing."""

    leases: bool
    probes: bool
    left_alone: bool
    scheduled: bool
    finishing: bool
    events: bool
