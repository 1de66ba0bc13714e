"""What an engine does beside its work orders: takes back, probes, schedules, finishes and announces.

Each of these reads first whether there is anything to do, so that an idle program writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import timedelta
from random import Random
from typing import Protocol

from db import installation, schedule, steering, work
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import EnvironmentFault, ErrorKind, Problem
from desktop_app.association.ports import BillingPort, LookupVerdict, RateGovernor
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules, probe_at
from desktop_app.engine.crash_points import reached
from desktop_app.engine.finishing import finish_due
from desktop_app.engine.outbox import Send, send_due

_log = logging.getLogger(__name__)

#: What is shown of a work order whose engine ended while billing may have acted.
_LEFT_OPEN = Problem(
    "BILLING_OUTCOME_UNKNOWN",
    "The engine that worked on it ended before billing's answer was recorded; billing may have acted.",
    "Nothing to do now: billing is asked by itself as soon as its search can be trusted.",
    ErrorKind.UNKNOWN,
)


class BillingGateway(Protocol):
    """The billing companies, by the handle of their credential. Thread-safe."""

    def unopened(self) -> Collection[int]:
        """Handles of the credentials whose secret is not on this machine."""

    def client(self, billing_credential_id: int) -> BillingPort:
        """The billing company as this credential sees it.

        Raises:
            EnvironmentFault: it cannot be opened now.
        """

    def governor(self, billing_credential_id: int) -> RateGovernor:
        """How many calls the credential may make from this process."""


class Housekeeping:
    """Everything beside work orders; one thread of the process uses it."""

    def __init__(
        self,
        store: Store,
        gateway: BillingGateway,
        rules: ProcessingRules,
        *,
        send: Send | None = None,
        on_found: Callable[[], None] = lambda: None,
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            rules: of the engine; limits are those of the installation where they say something else.
            send: announces finished jobs; None: nobody wants to know.
            on_found: called when there may be new work to claim.
        """
        self._store = store
        self._gateway = gateway
        self._settings_rules = rules
        self._send = send
        self._on_found = on_found
        self._rng = rng or Random()

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
        return ProcessingRules(settle, retry)

    def run_once(self, rules: ProcessingRules) -> int:
        """Does whatever is due; how many things were done."""
        done = self._take_back(rules) + self._probe() + self._schedule()
        if done:
            self._on_found()
        done += finish_due(self._store, notify=self._send is not None)
        if self._send is not None:
            done += send_due(self._store, self._send, self._rng)
        return done

    def _take_back(self, rules: ProcessingRules) -> int:
        """One path: what an ended engine held is queued work, or an unknown outcome to be asked for."""
        with self._store.read() as uow:
            if not work.any_expired(uow):
                return 0

        def take_back(uow: UnitOfWork) -> int:
            taken = work.take_back(uow, uow.now() + rules.settle, _LEFT_OPEN)
            if taken is None:
                raise _OthersAreAtIt
            reached("before-commit:take-back")
            return taken

        try:
            taken = self._store.run(take_back)
        except _OthersAreAtIt:
            return 0
        reached("after-commit:take-back")
        _log.info("%d work orders of ended leases were taken back", taken)
        return taken

    def _probe(self) -> int:
        """Jobs that paused themselves look whether billing is back."""
        with self._store.read() as uow:
            if not steering.any_probe_due(uow):
                return 0
        unopened = self._gateway.unopened()
        # Nobody else looks for the next while; a process that dies here leaves a look that is due again then.
        probes = self._store.run(lambda uow: steering.claim_probes(uow, unopened, probe_at(5, uow.now(), self._rng)))
        for probe in probes:
            reason = None if probe.billing_credential_id is None else self._what_is_wrong(probe.billing_credential_id)

            def end(uow: UnitOfWork, probe: steering.Probe = probe, reason: str | None = reason) -> None:
                again = None if reason is None else probe_at(probe.attempts, uow.now(), self._rng)
                steering.end_probe(uow, probe.job_id, again, reason or "")
                reached("before-commit:probe")

            self._store.run(end)
            reached("after-commit:probe")
        return len(probes)

    def _what_is_wrong(self, billing_credential_id: int) -> str | None:
        if self._gateway.governor(billing_credential_id).try_take() > 0:
            return "The quota of the billing credential is used up."
        try:
            verdict = self._gateway.client(billing_credential_id).ping()
        except EnvironmentFault as fault:
            return fault.message
        if verdict is LookupVerdict.ANSWERED:
            return None
        return "Billing cannot be reached, or refuses the credential."

    def _schedule(self) -> int:
        done = 0
        while True:
            with self._store.read() as uow:
                if not schedule.any_due(uow):
                    return done

            def apply(uow: UnitOfWork) -> schedule.Applied:
                applied = schedule.apply_due(uow)
                reached("before-commit:schedule")
                return applied

            applied = self._store.run(apply)
            reached("after-commit:schedule")
            count = applied.ownerships + applied.plan_changes + applied.dropped
            done += count
            if not count:  # nothing could be done about what is due: not again in this round
                return done


class _OthersAreAtIt(Exception):
    """Another engine takes back the same work orders: this transaction is rolled back."""
