"""Recording: what became of calls, and what is claimed next, written in groups by ONE thread of the process.

A group is one transaction: the outcomes of steps, the billing services that were made, the intents of the POSTs that
come next, the local effects of work orders whose billing is settled, new claims, and the jobs' counters last. Nothing
is sent before the intent is committed, and nothing in memory changes before the commit has succeeded.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from db import effects, steering, work
from db.engines import is_data_error
from db.unit_of_work import Store, UnitOfWork
from db.work import Counters, DueJob, JobStanding, OrderWrite, ServiceMade, StepRow, StepWrite
from desktop_app.association.errors import Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.processing import (
    Decision,
    ProcessingRules,
    cancelled_between_steps,
    released,
    settle,
)
from desktop_app.association.retry import probe_at
from desktop_app.association.states import SETTLED_STEPS, PauseCause, Step, StepState, WorkOrderState
from desktop_app.association.steps import (
    POSTS,
    BillingTerms,
    NextCall,
    next_call,
    post_of,
    refusal,
    settled_without_call,
)
from desktop_app.engine.crash_points import reached
from desktop_app.engine.leases import Lease, LeaseClock, lease_clock
from desktop_app.engine.orders import MOST_LOOKED_UP_FIRST, JobInHand, OrderInHand, records
from desktop_app.engine.runner import NotCalled, Outcome

_log = logging.getLogger(__name__)

#: Work orders without billing that are claimed, done and finished in one transaction.
BULK = 5_000
#: Jobs whose instructions are kept in memory.
MOST_JOBS = 64


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a group came to, after its commit.

    Attributes:
        to_call: work orders whose intent is committed; their call is due now.
        settled: claimed work orders that need no call any more; they go into the next group.
        bulk: handles of jobs that have due work orders without billing.
        paused: handles of jobs that paused themselves.
        ended: how many work orders left this engine's hand.
        claimed: how many came into it.
    """

    to_call: tuple[OrderInHand, ...] = ()
    settled: tuple[OrderInHand, ...] = ()
    bulk: tuple[int, ...] = ()
    paused: frozenset[int] = frozenset()
    ended: int = 0
    claimed: int = 0

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(
            self.to_call + other.to_call,
            self.settled + other.settled,
            self.bulk + other.bulk,
            self.paused | other.paused,
            self.ended + other.ended,
            self.claimed + other.claimed,
        )


class Recorder:
    """Writes groups. Not thread-safe: one thread of the process uses it."""

    def __init__(
        self,
        store: Store,
        engine_id: str,
        rules: ProcessingRules,
        *,
        lease: timedelta,
        lookup_first: bool = False,
        clock: LeaseClock = lease_clock,
        rng: Random | None = None,
    ) -> None:
        """
        Args:
            engine_id: who holds the leases.
            rules: limits and waits; may be replaced at any time (:attr:`rules`).
            lease: how long a work order is held without renewing.
            lookup_first: search number and customer before the first POST, in jobs that are not too large for it.
            clock: tells the lease on this machine; counts suspension.
            rng: source of jitter.
        """
        self.rules = rules
        self._store = store
        self._engine_id = engine_id
        self._lease = lease
        self._lookup_first = lookup_first
        self._clock = clock
        self._rng = rng or Random()
        self._jobs: dict[tuple[int, int], JobInHand] = {}

    # --- groups ------------------------------------------------------------------------------------------------------

    def record(self, outcomes: Sequence[Outcome | OrderInHand], room: int, unopened: Collection[int] = ()) -> Recorded:
        """One group.

        A group that fails on its data is halved until the culprit stands alone; that one's billing is recorded without
        its local effects.

        Args:
            outcomes: of calls; a work order itself: it needs no call any more.
            room: how many work orders may be claimed.
            unopened: handles of the billing credentials that this engine cannot open.

        Raises:
            EnvironmentFault: the database cannot be used; nothing of the group is written, it may come again whole.
        """
        try:
            return self._commit(outcomes, room, unopened)
        except Exception as error:
            if not is_data_error(error) or not outcomes:
                raise
            _log.warning("A group of %d outcomes broke a rule of the data: %s", len(outcomes), type(error).__name__)
        return self._halved(outcomes) + self._commit((), room, unopened)

    def _halved(self, outcomes: Sequence[Outcome | OrderInHand]) -> Recorded:
        if len(outcomes) > 1:
            middle = len(outcomes) // 2
            return self._halved(outcomes[:middle]) + self._halved(outcomes[middle:])
        for with_effects, with_service in ((True, True), (False, True), (False, False)):
            try:
                return self._commit(outcomes, 0, (), with_effects=with_effects, with_service=with_service)
            except Exception as error:
                if not is_data_error(error) or not with_service:
                    raise
        raise AssertionError("unreachable: the last try raises")

    def _commit(
        self,
        outcomes: Sequence[Outcome | OrderInHand],
        room: int,
        unopened: Collection[int],
        *,
        with_effects: bool = True,
        with_service: bool = True,
    ) -> Recorded:
        def write(uow: UnitOfWork) -> Recorded:
            group = _Group(self, uow, with_effects=with_effects, with_service=with_service)
            if outcomes:
                group.record(outcomes)
            if room > 0:
                group.claim(room, unopened)
            recorded = group.finish()
            reached("before-commit:record")
            return recorded

        recorded = self._store.run(write)
        reached("after-commit:record")
        return recorded

    # --- work without billing ----------------------------------------------------------------------------------------

    def apply_bulk(self, job_id: int) -> int:
        """Claims, does and finishes the next few thousand work orders of a job that need no billing.

        Returns:
            How many were finished; 0: there is nothing left, or another engine was faster.
        """
        with self._store.read() as uow:
            lines = effects.due_lines(uow, job_id, BULK)
        return 0 if lines is None else self._apply_lines(job_id, *lines)

    def _apply_lines(self, job_id: int, first: int, last: int) -> int:
        def write(uow: UnitOfWork) -> int:
            standing = work.standings(uow, [job_id]).get(job_id)
            if standing is None or not standing.may_go_on or standing.cancel_requested:
                return 0
            applied = effects.apply_effects(uow, effects.DueBatch(self._engine_id, job_id, first, last))
            counters = Counters()
            counters.took_turn(job_id)
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.SUCCEEDED, applied.succeeded.get(job_id, 0))
            refused = [
                OrderWrite(one.work_order_id, WorkOrderState.FAILED, 1, problem=_not_associated(one.device, one.reason))
                for one in applied.refused
            ]
            work.write_orders(uow, self._engine_id, refused, uow.now())
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.FAILED, len(refused))
            counters.write(uow)
            reached("before-commit:bulk")
            return applied.claimed

        try:
            done = self._store.run(write)
            reached("after-commit:bulk")
            return done
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
                uow, job_id, line, lambda iccid: _not_associated(iccid, "its data breaks a rule of the database")
            )
            counters = Counters()
            counters.took_turn(job_id)
            counters.moved(job_id, WorkOrderState.QUEUED, WorkOrderState.FAILED, int(device))
            counters.write(uow)
            reached("before-commit:bulk")
            return int(device)

        done = self._store.run(write)
        reached("after-commit:bulk")
        return done

    # --- jobs --------------------------------------------------------------------------------------------------------

    def job_in_hand(self, uow: UnitOfWork, due: DueJob) -> JobInHand:
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


@dataclass(slots=True)
class _Pause:
    reason: str
    cause: PauseCause = PauseCause.ENVIRONMENT
    wait_s: float | None = None


@dataclass(slots=True)
class _Draft:
    """One work order while its group is written: its steps as they will be, and which of them change."""

    in_hand: OrderInHand
    steps: dict[Step, StepRow]
    attempts: int
    answer: str | None = None
    changed: dict[Step, StepRow] = field(default_factory=dict)

    def set(self, step: Step, row: StepRow) -> None:
        self.steps[step] = row
        self.changed[step] = row


class _Group:
    """One transaction of the recorder: collects what is to be written, then writes it in sets."""

    def __init__(self, recorder: Recorder, uow: UnitOfWork, *, with_effects: bool, with_service: bool) -> None:
        # The lease's end on this machine is read before the database's instant: it never outlasts the stored one.
        self.lease = Lease(recorder._clock() + recorder._lease.total_seconds(), recorder._clock)
        self.recorder = recorder
        self.uow = uow
        self.engine_id = recorder._engine_id
        self.now: datetime = uow.now()
        self.lease_until = self.now + recorder._lease
        self.with_effects = with_effects
        self.with_service = with_service
        self.counters = Counters()
        self.standings: dict[int, JobStanding] = {}
        self.drafts: list[_Draft] = []
        self.orders: list[OrderWrite] = []
        self.services: list[ServiceMade] = []
        self.to_apply: list[_Draft] = []
        self.to_call: list[tuple[_Draft, NextCall]] = []
        self.settled: list[OrderInHand] = []
        self.bulk: list[int] = []
        self.pauses: dict[int, _Pause] = {}
        self.ended = self.claimed = 0

    # --- what became of calls ----------------------------------------------------------------------------------------

    def record(self, outcomes: Sequence[Outcome | OrderInHand]) -> None:
        in_hand = [outcome.in_hand if isinstance(outcome, Outcome) else outcome for outcome in outcomes]
        self._read_standings(one.order.job_id for one in in_hand)
        held = work.hold(self.uow, self.engine_id, [one.held for one in in_hand], self.lease_until)
        for outcome, one in zip(outcomes, in_hand, strict=True):
            if one.order.work_order_id not in held:
                # Its lease ended and somebody else has it: whoever that is asks billing. Nothing may be written here.
                _log.warning("The lease on device %s was lost; its outcome is dropped", one.order.iccid)
                self.ended += 1
                continue
            draft = _Draft(one, dict(one.steps), one.tries)
            self.drafts.append(draft)
            if isinstance(outcome, Outcome):
                self._decide(draft, outcome)
            else:
                self.to_apply.append(draft)

    def _decide(self, draft: _Draft, outcome: Outcome) -> None:
        one, result = draft.in_hand, outcome.result
        call = one.call
        assert call is not None
        if isinstance(result, NotCalled):
            if result.wait_s is not None:
                reason = "The quota of the billing credential is used up."
                self.pauses[one.order.job_id] = _Pause(reason, PauseCause.QUOTA, result.wait_s)
            decision = released(one.attempt())
        else:
            decision = settle(one.attempt(), result, self.now, self.recorder.rules, self.recorder._rng)
        # A step that was only searched for, and was never begun, has no row to be marked as not sent: with one, it
        # would be posted at the next claim without a search.
        is_begun = call.kind in POSTS or call.step in draft.steps
        if decision.step_state is not None and (is_begun or decision.step_state is not StepState.NOT_SENT):
            self._write_step(draft, call.step, decision)
        if decision.answer:
            draft.answer = decision.answer
        if decision.pause_reason is not None:
            self.pauses.setdefault(one.order.job_id, _Pause(decision.pause_reason))
        if decision.work_order_state is not None:
            self._end(draft, decision)
        elif decision.post_again:
            self._go_on(draft, NextCall(post_of(call.step), call.step))
        else:
            self._settle_without_call(draft)
            self._go_on(draft, next_call(one.terms, records(draft.steps)))

    def _write_step(self, draft: _Draft, step: Step, decision: Decision) -> None:
        state = decision.step_state
        assert state is not None
        before = draft.steps.get(step) or StepRow(state)
        is_over = state in SETTLED_STEPS or state is StepState.REFUSED
        draft.set(
            step,
            replace(
                before,
                state=state,
                finished_at=self.now if is_over else None,
                http_status=decision.http_status if decision.http_status is not None else before.http_status,
                billing_id=decision.billing_id or before.billing_id,
                answer=decision.answer or before.answer,
            ),
        )
        if state is StepState.DONE:
            self.counters.progressed(draft.in_hand.order.job_id)
            if step is Step.BILLING_SERVICE and decision.billing_id is not None and self.with_service:
                self._made(draft.in_hand, decision.billing_id)

    def _made(self, one: OrderInHand, service_id: str) -> None:
        assert one.job.billing_credential_id is not None
        self.services.append(
            ServiceMade(
                one.order.work_order_id,
                one.job.billing_credential_id,
                one.job.instructions.customer_id,
                service_id,
                one.terms.number,
                one.terms.reference,
            )
        )

    def _settle_without_call(self, draft: _Draft) -> None:
        for step, record in settled_without_call(draft.in_hand.terms, records(draft.steps)).items():
            row = StepRow(record.state, billing_id=record.billing_id, finished_at=self.now)
            draft.set(step, row)

    def _go_on(self, draft: _Draft, call: NextCall | None) -> None:
        """The next call of a work order that this engine holds; its intent is committed with this group."""
        one = draft.in_hand
        if call is None:
            self.to_apply.append(draft)
            return
        standing = self.standings[one.order.job_id]
        is_post = call.kind in POSTS
        if is_post and standing.cancel_requested:
            row = draft.steps.get(Step.BILLING_SERVICE)
            made = row.billing_id if row is not None and row.state is StepState.DONE else None
            self._end(draft, cancelled_between_steps(made))
        elif not standing.may_go_on or one.order.job_id in self.pauses:
            self._end(draft, released(replace(one, call=call, steps=draft.steps).attempt()))
        else:
            if is_post:
                before = draft.steps.get(call.step)
                draft.set(
                    call.step,
                    StepRow(
                        StepState.INTENT,
                        attempts=(before.attempts if before else 0) + 1,
                        reference=one.terms.step_reference(call.step),
                        intent_at=self.now,
                    ),
                )
            self.to_call.append((draft, call))

    def _end(self, draft: _Draft, decision: Decision) -> None:
        """The work order leaves this engine's hand."""
        state = decision.work_order_state
        assert state is not None
        one = draft.in_hand
        self.orders.append(
            OrderWrite(
                one.order.work_order_id,
                state,
                one.tries if decision.counts else one.order.attempts,
                next_attempt_at=decision.next_attempt_at,
                check_at=decision.check_at,
                problem=decision.problem,
                billing_answer=draft.answer,
            )
        )
        self.counters.moved(one.order.job_id, WorkOrderState.RUNNING, state)
        self.ended += 1

    # --- claims ------------------------------------------------------------------------------------------------------

    def claim(self, room: int, unopened: Collection[int]) -> None:
        """Takes up to ``room`` work orders, from all due jobs in fair turns."""
        due_jobs = [due for due in work.due_jobs(self.uow, unopened) if due.job_id not in self.pauses]
        self._read_standings(due.job_id for due in due_jobs)
        for index, due in enumerate(due_jobs):
            try:
                job = self.recorder.job_in_hand(self.uow, due)
            except ValueError as error:
                self.pauses[due.job_id] = _Pause(f"{error} Run it with a newer program.")
                continue
            if job.instructions.billing is None:
                self.bulk.append(due.job_id)
                continue
            share = -(-(room - self.claimed) // (len(due_jobs) - index))
            for order in work.claim(self.uow, self.engine_id, due, share, self.lease_until) if share > 0 else ():
                self.claimed += 1
                self.counters.moved(due.job_id, order.was, WorkOrderState.RUNNING)
                self.counters.took_turn(due.job_id)
                self._begin(job, order)

    def _begin(self, job: JobInHand, order: work.ClaimedOrder) -> None:
        nothing_yet = BillingTerms(BillingAction(order.billing_action))
        one = OrderInHand(job, order, nothing_yet, order.steps, self.lease, None, order.attempts + 1)
        try:
            one = replace(one, terms=job.terms(order))
            problem = refusal(one.terms)
        except ValueError as error:
            problem = Problem(
                "INSTRUCTIONS_INCOMPLETE",
                f"Device {order.iccid} cannot be billed: {error}.",
                "Complete the mapping of the billing credential, then submit the device again.",
            )
        draft = _Draft(one, dict(order.steps), one.tries)
        self.drafts.append(draft)
        if problem is not None:
            self._end(draft, Decision(work_order_state=WorkOrderState.FAILED, problem=problem))
            return
        self._settle_without_call(draft)
        call = next_call(one.terms, records(draft.steps))
        if call is None:
            # Applied in the next group: a group with effects that fails on its data must be able to leave it out.
            self.settled.append(replace(one, steps=draft.steps))
        else:
            self._go_on(draft, call)

    # --- writing -----------------------------------------------------------------------------------------------------

    def finish(self) -> Recorded:
        """Writes the group; the caller commits."""
        work.write_steps(self.uow, list(self._step_writes()))
        work.record_services(self.uow, self.services)
        self._apply()
        work.write_orders(self.uow, self.engine_id, self.orders, self.lease_until)
        paused = [job_id for job_id in sorted(self.pauses) if self._pause(job_id)]
        self.counters.write(self.uow)
        return Recorded(
            to_call=tuple(draft.in_hand.going_on(draft.steps, call, self.lease) for draft, call in self.to_call),
            settled=tuple(self.settled),
            bulk=tuple(self.bulk),
            paused=frozenset(paused),
            ended=self.ended,
            claimed=self.claimed,
        )

    def _step_writes(self) -> Iterable[StepWrite]:
        for draft in self.drafts:
            order = draft.in_hand.order
            for step, row in draft.changed.items():
                yield StepWrite(order.work_order_id, step, row, order.epoch, step not in draft.in_hand.steps)

    def _apply(self) -> None:
        """The local effects of all whose billing is settled: one call for the whole group."""
        if not self.to_apply:
            return
        by_id = {draft.in_hand.order.work_order_id: draft for draft in self.to_apply}
        if not self.with_effects:
            for draft in self.to_apply:
                self._fail(draft, "its data breaks a rule of the database")
            return
        going = [
            OrderWrite(order_id, WorkOrderState.RUNNING, draft.attempts, billing_answer=draft.answer)
            for order_id, draft in by_id.items()
        ]
        work.write_orders(self.uow, self.engine_id, going, self.lease_until)
        held = [draft.in_hand.held for draft in self.to_apply]
        applied = effects.apply_effects(self.uow, effects.HeldBatch(self.engine_id, held))
        for job_id, count in applied.succeeded.items():
            self.counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED, count)
            self.ended += count
        for refused in applied.refused:
            self._fail(by_id[refused.work_order_id], refused.reason)

    def _fail(self, draft: _Draft, reason: str) -> None:
        one = draft.in_hand
        row = draft.steps.get(Step.BILLING_SERVICE)
        service_id = row.billing_id if row is not None and row.state is StepState.DONE else None
        problem = _not_associated(one.order.iccid, reason, service_id)
        self._end(draft, Decision(work_order_state=WorkOrderState.FAILED, problem=problem))

    def _pause(self, job_id: int) -> bool:
        pause = self.pauses[job_id]
        if pause.wait_s is None:
            resume_at = probe_at(steering.resume_attempts(self.uow, job_id), self.now, self.recorder._rng)
        else:
            resume_at = self.now + timedelta(seconds=pause.wait_s)
        return steering.pause_for_environment(self.uow, job_id, pause.reason, resume_at, pause.cause)

    def _read_standings(self, job_ids: Iterable[int]) -> None:
        missing = {job_id for job_id in job_ids if job_id not in self.standings}
        if missing:
            self.standings.update(work.standings(self.uow, missing))


def _not_associated(device: str, reason: str, service_id: str | None = None) -> Problem:
    """The local effects of a work order could not be applied."""
    if service_id is None:
        return Problem(
            "NOT_ASSOCIATED",
            f"Device {device} was not associated: {reason}.",
            "Look at the device, then retry the job: it is checked again.",
        )
    return Problem(
        "BILLED_NOT_ASSOCIATED",
        f"Billing service {service_id} was made for device {device}, but it was not associated: {reason}.",
        "Look at the device, then retry the job: it goes on from there and makes no second service.",
    )
