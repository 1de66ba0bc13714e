"""One group of the recorder: everything that one transaction writes, collected first and written in sets.

Decisions are made by pure functions (:mod:`desktop_app.association.processing`, :mod:`~desktop_app.association.steps`);
here they become rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from db import effects, steering, work
from db.counters import Counters
from db.unit_of_work import UnitOfWork
from db.work import DueJob, JobStanding, OrderWrite, StepRow, StepWrite
from desktop_app.association.errors import NUMBER_TAKEN, Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.processing import (
    CallResult,
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
from desktop_app.engine.leases import Lease
from desktop_app.engine.orders import JobInHand, OrderInHand
from desktop_app.engine.runner import NotCalled, Outcome

_log = logging.getLogger(__name__)

Item = Outcome | OrderInHand


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which an engine writes its groups.

    Attributes:
        engine_id: who holds the leases.
        rules: limits and waits.
        lease: how long a work order is held without renewing.
        new_lease: a lease that begins now, on this machine's clocks.
        rng: source of jitter.
    """

    engine_id: str
    rules: ProcessingRules
    lease: timedelta
    new_lease: Callable[[], Lease]
    rng: Random


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a group came to, after its commit.

    Attributes:
        to_call: work orders whose intent is committed; their call is due now.
        settled: claimed work orders that need no call any more; they go into the next group.
        bulk: handles of jobs that have due work orders without billing.
        stopped: of the jobs that were looked at, those of which no further call may be made.
        claimed: how many work orders came into this engine's hand.
        is_full: as many were claimed as there was room for; there may be more.
        ended: how many work orders left it.
        to_finish: how many jobs have no open work order any more.
    """

    to_call: tuple[OrderInHand, ...] = ()
    settled: tuple[OrderInHand, ...] = ()
    bulk: tuple[int, ...] = ()
    stopped: frozenset[int] = frozenset()
    claimed: int = 0
    is_full: bool = False
    ended: int = 0
    to_finish: int = 0

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(
            self.to_call + other.to_call,
            self.settled + other.settled,
            self.bulk + other.bulk,
            self.stopped | other.stopped,
            self.claimed + other.claimed,
            self.is_full or other.is_full,
            self.ended + other.ended,
            self.to_finish + other.to_finish,
        )


@dataclass(slots=True)
class _Pause:
    reason: str
    cause: PauseCause = PauseCause.ENVIRONMENT
    wait_s: float | None = None


@dataclass(slots=True)
class Draft:
    """One work order while its group is written: its steps as they will be, and which of them change."""

    in_hand: OrderInHand
    steps: dict[Step, StepRow]
    answer: str | None = None
    changed: dict[Step, StepRow] = field(default_factory=dict)

    def set(self, step: Step, row: StepRow) -> None:
        self.steps[step] = row
        self.changed[step] = row


class Group:
    """One transaction of the recorder: collects what is to be written, then writes it in sets."""

    def __init__(
        self, conditions: Conditions, uow: UnitOfWork, *, with_effects: bool = True, with_service: bool = True
    ) -> None:
        """
        Args:
            with_effects: False: work orders whose billing is settled fail, and nothing local is written for them.
            with_service: False: billing services are not written either, but for their id on the step.
        """
        # The lease's end on this machine is read before the database's instant: it never outlasts the stored one.
        self.lease = conditions.new_lease()
        self.conditions = conditions
        self.uow = uow
        self.engine_id = conditions.engine_id
        self.now: datetime = uow.now()
        self.lease_until = self.now + conditions.lease
        self.with_effects = with_effects
        self.with_service = with_service
        self.counters = Counters()
        self.standings: dict[int, JobStanding] = {}
        self.drafts: list[Draft] = []
        self.orders: list[OrderWrite] = []
        self.services: list[int] = []
        self.to_apply: list[Draft] = []
        self.to_call: list[tuple[Draft, NextCall]] = []
        self.settled: list[OrderInHand] = []
        self.bulk: list[int] = []
        self.pauses: dict[int, _Pause] = {}
        self.ended = self.claimed = 0
        self.is_full = False

    # --- what became of calls ----------------------------------------------------------------------------------------

    def look_at(self, job_ids: Iterable[int]) -> None:
        """Reads whether work on these jobs may go on."""
        missing = {job_id for job_id in job_ids if job_id not in self.standings}
        if missing:
            self.standings.update(work.standings(self.uow, missing))

    def record(self, items: Sequence[Item]) -> None:
        """What became of work orders in hand.

        Args:
            items: outcomes of calls; a work order itself, where its call has still to be made (its lease is renewed, or
                it is given back if its job may not go on) or where only its local effects are left.
        """
        in_hand = [item.in_hand if isinstance(item, Outcome) else item for item in items]
        self.look_at(one.order.job_id for one in in_hand)
        leases = [one.held for one in in_hand]
        held = work.hold(self.uow, self.engine_id, leases, self.lease_until)
        for item, one, lease in zip(items, in_hand, leases, strict=True):
            if lease not in held:
                # It ended, and whoever has the work order now (this engine again, perhaps) goes by what the database
                # says of it. Nothing may be written here.
                _log.warning("The lease on device %s was lost; its outcome is dropped", one.order.iccid)
                self.ended += 1
                continue
            draft = Draft(one, dict(one.steps))
            self.drafts.append(draft)
            if isinstance(item, Outcome):
                self._decide(draft, item.result)
            elif one.call is None:
                self.to_apply.append(draft)
            elif self._is_stopped(one.order.job_id):
                self._decide(draft, NotCalled())
            else:
                self.to_call.append((draft, one.call))

    def _is_stopped(self, job_id: int) -> bool:
        standing = self.standings[job_id]
        return standing.cancel_requested or not standing.may_go_on or job_id in self.pauses

    def _decide(self, draft: Draft, result: CallResult | NotCalled) -> None:
        one = draft.in_hand
        call = one.call
        assert call is not None
        if isinstance(result, NotCalled):
            if result.wait_s is not None:
                reason = "The quota of the billing credential is used up."
                self.pauses[one.order.job_id] = _Pause(reason, PauseCause.QUOTA, result.wait_s)
            decision = released(one.attempt())
        else:
            decision = settle(one.attempt(), result, self.now, self.conditions.rules, self.conditions.rng)
            if decision.work_order_state is WorkOrderState.OUTCOME_UNKNOWN and _is_only_found(one, decision):
                # Nothing of ours is open: a cancelled job has nothing to wait for, and an earlier intent is over.
                if self.standings[one.order.job_id].cancel_requested:
                    decision = cancelled_between_steps(None)
                elif call.step in draft.steps:
                    draft.steps[call.step] = draft.steps[call.step]._replace(intent_at=None)
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
            self._go_on(draft, next_call(one.terms, draft.steps, one.not_sent_before))

    def _write_step(self, draft: Draft, step: Step, decision: Decision) -> None:
        state = decision.step_state
        assert state is not None
        before = draft.steps.get(step) or StepRow(state)
        is_over = state in SETTLED_STEPS or state is StepState.REFUSED
        draft.set(
            step,
            StepRow(
                state,
                before.attempts,
                before.reference,
                before.intent_at,
                self.now if is_over else None,
                decision.http_status if decision.http_status is not None else before.http_status,
                decision.billing_id or before.billing_id,
                decision.answer or before.answer,
            ),
        )
        if state is StepState.DONE:
            self.counters.progressed(draft.in_hand.order.job_id)
            if step is Step.BILLING_SERVICE and decision.billing_id is not None and self.with_service:
                self.services.append(draft.in_hand.order.work_order_id)

    def _settle_without_call(self, draft: Draft) -> None:
        for step, record in settled_without_call(draft.in_hand.terms, draft.steps).items():
            row = StepRow(record.state, billing_id=record.billing_id, finished_at=self.now)
            draft.set(step, row)

    def _go_on(self, draft: Draft, call: NextCall | None) -> None:
        """The next call of a work order that this engine holds; its intent is committed with this group."""
        one = draft.in_hand
        if call is None:
            self.to_apply.append(draft)
            return
        standing = self.standings[one.order.job_id]
        is_post = call.kind in POSTS
        if standing.cancel_requested and (is_post or not _is_open(draft.steps.get(call.step))):
            row = draft.steps.get(Step.BILLING_SERVICE)
            made = row.billing_id if row is not None and row.state is StepState.DONE else None
            self._end(draft, cancelled_between_steps(made))
        elif not standing.may_go_on or one.order.job_id in self.pauses:
            self._end(draft, released(one.going_on(draft.steps, call, one.lease).attempt()))
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

    def _end(self, draft: Draft, decision: Decision) -> None:
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

    def claim(
        self,
        room: int,
        unopened: Collection[int],
        job_in_hand: Callable[[UnitOfWork, DueJob], JobInHand],
        newcomers: int = 0,
        at_quota: Collection[int] = (),
    ) -> None:
        """Takes work orders from all due jobs in fair turns.

        Args:
            room: for how many there is room, with those that go on from this group.
            unopened: handles of billing credentials that this engine cannot open.
            job_in_hand: reads a job's instructions.
            newcomers: how many may be taken of each job that was not looked at so far, room or not: where the quota is
                small, a job would wait until room was made by all that is held of another one.
            at_quota: handles of billing credentials for which enough calls wait already: there is room for others only.
        """
        room -= len(self.to_call)
        if room <= 0 and not newcomers:
            self.is_full = True
            return
        in_hand = set(self.standings)
        due_jobs = [due for due in work.due_jobs(self.uow, unopened) if due.job_id not in self.pauses]
        self.look_at(due.job_id for due in due_jobs)
        for index, due in enumerate(due_jobs):
            try:
                job = job_in_hand(self.uow, due)
            except ValueError as error:
                self.pauses[due.job_id] = _Pause(f"{error} Run it with a newer program.")
                continue
            if job.instructions.billing is None:
                self.bulk.append(due.job_id)
                continue
            share = -(-(room - self.claimed) // (len(due_jobs) - index))
            if due.billing_credential_id in at_quota:
                share = 0
            if due.job_id not in in_hand:
                share = max(share, newcomers)
            if share <= 0:
                continue
            claimed = work.claim(self.uow, self.engine_id, due, share, self.lease_until)
            for was, count in Counter(order.was for order in claimed).items():
                self.counters.moved(due.job_id, was, WorkOrderState.RUNNING, count)
                self.counters.took_turn(due.job_id)
            self.claimed += len(claimed)
            for order in claimed:
                self._begin(job, order)
        self.is_full = self.claimed >= room

    def _begin(self, job: JobInHand, order: work.ClaimedOrder) -> None:
        try:
            terms = job.terms(order)
            problem = refusal(terms, order.steps)
        except ValueError as error:
            terms = BillingTerms(BillingAction(order.billing_action))
            problem = Problem(
                "INSTRUCTIONS_INCOMPLETE",
                f"Device {order.iccid} cannot be billed: {error}.",
                "Complete the mapping of the billing credential, then submit the device again.",
            )
        one = OrderInHand(job, order, terms, order.steps, self.lease, None, order.attempts + 1)
        draft = Draft(one, dict(order.steps))
        self.drafts.append(draft)
        if problem is not None:
            self._end(draft, Decision(work_order_state=WorkOrderState.FAILED, problem=problem))
            return
        self._settle_without_call(draft)
        call = next_call(terms, draft.steps, one.not_sent_before)
        if call is None:
            # Applied in the next group: a group with effects that fails on its data must be able to leave it out.
            self.settled.append(one.going_on(draft.steps, None, self.lease))
        else:
            self._go_on(draft, call)

    # --- writing -----------------------------------------------------------------------------------------------------

    def finish(self) -> Recorded:
        """Writes the group; the caller commits."""
        work.write_steps(self.uow, list(self._step_writes()))
        work.record_services(self.uow, self.services)
        self._apply()
        work.write_orders(self.uow, self.engine_id, self.orders, self.lease_until)
        # One order of the jobs' rows for everybody, or two engines wait for each other: the counters go through all of
        # them, ascending, and what pauses holds their locks by then.
        self.counters.will_change(self.pauses)
        to_finish = self.counters.write(self.uow)
        for job_id in sorted(self.pauses):
            self._pause(job_id)
        return Recorded(
            to_call=tuple(draft.in_hand.going_on(draft.steps, call, self.lease) for draft, call in self.to_call),
            settled=tuple(self.settled),
            bulk=tuple(self.bulk),
            stopped=frozenset(job_id for job_id in self.standings if self._is_stopped(job_id)),
            claimed=self.claimed,
            is_full=self.is_full,
            ended=self.ended,
            to_finish=to_finish,
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
        held = [draft.in_hand.held for draft in self.to_apply]
        applied = effects.apply_effects(self.uow, effects.HeldBatch(self.engine_id, held))
        for job_id, count in applied.succeeded.items():
            self.counters.moved(job_id, WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED, count)
            self.ended += count
        for refused in applied.refused:
            self._fail(by_id[refused.work_order_id], refused.reason)

    def _fail(self, draft: Draft, reason: str) -> None:
        one = draft.in_hand
        row = draft.steps.get(Step.BILLING_SERVICE)
        service_id = row.billing_id if row is not None and row.state is StepState.DONE else None
        problem = not_associated(one.order.iccid, reason, service_id)
        self._end(draft, Decision(work_order_state=WorkOrderState.FAILED, problem=problem))

    def _pause(self, job_id: int) -> None:
        pause = self.pauses[job_id]
        if pause.wait_s is None:
            resume_at = probe_at(steering.resume_attempts(self.uow, job_id), self.now, self.conditions.rng)
        else:
            resume_at = self.now + timedelta(seconds=pause.wait_s)
        steering.pause_for_environment(self.uow, job_id, pause.reason, resume_at, pause.cause)


def _is_only_found(one: OrderInHand, decision: Decision) -> bool:
    """A look before a POST of ours found a service, and none of ours made it."""
    return one.open_since is None and decision.problem is not None and decision.problem.code == NUMBER_TAKEN


def _is_open(row: StepRow | None) -> bool:
    return row is not None and row.state in {StepState.INTENT, StepState.UNKNOWN}


def not_associated(device: str, reason: str, service_id: str | None = None) -> Problem:
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
