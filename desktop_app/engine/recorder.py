"""Recording: what became of calls, and what is claimed next, written in groups by ONE thread of the process.

A group is one transaction: the outcomes of steps, the billing services that were made, the intents of the POSTs that
come next, the local effects of work orders whose billing is settled, new claims, and the jobs' counters last. Nothing
is sent before its intent is committed, and nothing in memory changes before the commit has succeeded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from random import Random

from db import effects, steering, work
from db.counters import Counters
from db.engines import is_data_error
from db.unit_of_work import Store, UnitOfWork
from db.work import DueJob, OrderWrite
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import WorkOrderState
from desktop_app.engine.crash_points import commit
from desktop_app.engine.group import Conditions, Group, Item, Recorded, not_associated
from desktop_app.engine.leases import Lease
from desktop_app.engine.orders import MOST_LOOKED_UP_FIRST, JobInHand

_log = logging.getLogger(__name__)

#: Work orders without billing that are claimed, done and finished in one transaction.
BULK = 5_000
#: Jobs whose instructions are kept in memory.
MOST_JOBS = 64


class Recorder:
    """Writes groups. Not thread-safe: one thread of the process uses it."""

    def __init__(
        self,
        store: Store,
        engine_id: str,
        rules: ProcessingRules,
        *,
        lease_s: float,
        lookup_first: bool = False,
        new_lease: Callable[[float], Lease] = Lease.lasting,
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            engine_id: who holds the leases.
            rules: limits and waits; may be replaced at any time (:attr:`rules`).
            lease_s: how long a work order is held without renewing.
            lookup_first: search number and customer before the first POST, in jobs that are not too large for it.
            new_lease: a lease of so many seconds that begins now.
            rng: source of jitter.
        """
        self.rules = rules
        self._store = store
        self._engine_id = engine_id
        self._lease_s = lease_s
        self._lookup_first = lookup_first
        self._new_lease = new_lease
        self._rng = rng or Random()
        self._jobs: dict[tuple[int, int], JobInHand] = {}

    # --- groups ------------------------------------------------------------------------------------------------------

    def any_due(self, unopened: Collection[int] = ()) -> bool:
        """Whether there is anything to claim; only reads."""
        with self._store.read() as uow:
            return bool(work.due_jobs(uow, unopened, limit=1))

    def record(
        self,
        items: Sequence[Item],
        room: int,
        unopened: Collection[int] = (),
        watched: Collection[int] = (),
        *,
        newcomers: int = 0,
        at_quota: Collection[int] = (),
    ) -> Recorded:
        """One group.

        A group that fails on its data is halved until the culprit stands alone; that one's billing is recorded without
        its local effects.

        Args:
            items: see :meth:`Group.record`.
            room: for how many work orders there is room, those that go on from this group included; 0: none is claimed.
            unopened: handles of the billing credentials that this engine cannot open.
            watched: handles of further jobs that are in hand: whether they may go on is asked, too.
            newcomers: how many work orders may be claimed of each job of which none is in hand, room or not.
            at_quota: handles of the billing credentials for which enough calls wait already: of their jobs none but
                those of newcomers are claimed.

        Raises:
            EnvironmentFault: the database cannot be used; nothing of the group is written, it may come again whole.
        """
        try:
            return self._write(items, room, unopened, watched, newcomers=newcomers, at_quota=at_quota)
        except Exception as error:
            if not is_data_error(error) or not items:
                raise
            _log.warning("A group of %d outcomes broke a rule of the data: %s", len(items), type(error).__name__)
        recorded = self._halved(items)
        left = room - len(recorded.to_call)
        return recorded + self._write((), left, unopened, watched, newcomers=newcomers, at_quota=at_quota)

    def _halved(self, items: Sequence[Item]) -> Recorded:
        if len(items) > 1:
            middle = len(items) // 2
            return self._halved(items[:middle]) + self._halved(items[middle:])
        for with_effects, with_service in ((True, True), (False, True), (False, False)):
            try:
                return self._write(items, 0, (), (), with_effects=with_effects, with_service=with_service)
            except Exception as error:
                if not is_data_error(error) or not with_service:
                    raise
        raise AssertionError("unreachable: the last try raises")

    def _write(
        self,
        items: Sequence[Item],
        room: int,
        unopened: Collection[int],
        watched: Collection[int],
        *,
        newcomers: int = 0,
        at_quota: Collection[int] = (),
        with_effects: bool = True,
        with_service: bool = True,
    ) -> Recorded:
        conditions = Conditions(
            self._engine_id,
            self.rules,
            timedelta(seconds=self._lease_s),
            lambda: self._new_lease(self._lease_s),
            self._rng,
        )

        def write(uow: UnitOfWork) -> Recorded:
            uow.go_by_indexes()
            group = Group(conditions, uow, with_effects=with_effects, with_service=with_service)
            group.look_at(watched)
            if items:
                group.record(items)
            if room > 0 or newcomers:
                group.claim(room, unopened, self._job_in_hand, newcomers, at_quota)
            return group.finish()

        return commit(self._store, "record", write)

    # --- work without billing ----------------------------------------------------------------------------------------

    def apply_bulk(self, job_id: int, most: int = BULK) -> int:
        """Claims, does and finishes the next few thousand work orders of a job that need no billing.

        What a cancelled job has queued still is cancelled.

        Returns:
            How many were finished; 0: there is nothing left, or another engine was faster.
        """
        with self._store.read() as uow:
            lines = effects.due_lines(uow, job_id, most)
        return 0 if lines is None else self._apply_lines(job_id, *lines)

    def _apply_lines(self, job_id: int, first: int, last: int) -> int:
        def write(uow: UnitOfWork) -> int:
            uow.go_by_indexes()
            standing = work.standings(uow, [job_id]).get(job_id)
            if standing is None or not standing.may_go_on:
                return 0
            if standing.cancel_requested:
                return steering.cancel_rest(uow, job_id)
            applied = effects.apply_effects(uow, effects.DueBatch(job_id, first, last))
            counters = Counters()
            counters.took_turn(job_id)
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.SUCCEEDED, applied.succeeded.get(job_id, 0))
            refused = [
                OrderWrite(one.work_order_id, WorkOrderState.FAILED, 1, problem=not_associated(one.device, one.reason))
                for one in applied.refused
            ]
            work.write_orders(uow, self._engine_id, refused, uow.now())
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.FAILED, len(refused))
            counters.write(uow)
            return applied.claimed

        try:
            return commit(self._store, "bulk", write)
        except Exception as error:
            if not is_data_error(error):
                raise
            _log.warning("Lines %d to %d of a job broke a rule of the data: %s", first, last, type(error).__name__)
        if first < last:
            middle = (first + last) // 2
            return self._apply_lines(job_id, first, middle) + self._apply_lines(job_id, middle + 1, last)
        return self._fail_line(job_id, first)

    def _fail_line(self, job_id: int, line: int) -> int:
        def write(uow: UnitOfWork) -> int:
            device = work.fail_queued(
                uow, job_id, line, lambda iccid: not_associated(iccid, "its data breaks a rule of the database")
            )
            counters = Counters()
            counters.took_turn(job_id)
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.FAILED, int(device))
            counters.write(uow)
            return int(device)

        return commit(self._store, "bulk", write)

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _job_in_hand(self, uow: UnitOfWork, due: DueJob) -> JobInHand:
        """The job's frozen instructions, read once.

        Raises:
            ValueError: of another version.
        """
        key = (due.job_id, due.run_no)
        known = self._jobs.get(key)
        if known is None:
            lookup_first = self._lookup_first and due.total <= MOST_LOOKED_UP_FIRST
            known = JobInHand.read(due, work.instructions(uow, due.job_id), lookup_first=lookup_first)
            if len(self._jobs) >= MOST_JOBS:
                self._jobs.pop(next(iter(self._jobs)))
            self._jobs[key] = known
        return known
