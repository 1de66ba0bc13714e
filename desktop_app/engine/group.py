"""One group of the recorder: everything that one transaction writes, collected first and written in sets.

Decisions are made by pure functions (:mod:`desktop_app.association.processing`, :mod:`~desktop_app.association.steps`);
here they become rows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from db import effects, steering, work
from db.counters import Counters
from db.unit_of_work import UnitOfWork
from db.work import DueJob, Held, JobStanding, OrderWrite, StepRow, StepWrite
from desktop_app.association.errors import NUMBER_TAKEN, Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import QUOTA_USED_UP
from desktop_app.association.processing import (
    CallResult,
    Decision,
    Made,
    ProcessingRules,
    cancelled_between_steps,
    made_at_billing,
    not_answering,
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
from desktop_app.engine.breaker import Breakers
from desktop_app.engine.leases import Lease
from desktop_app.engine.orders import JobInHand, OrderInHand, is_open
from desktop_app.engine.runner import NotCalled, Outcome

_log = logging.getLogger(__name__)

_TO_BE_TRIED_AGAIN = frozenset({WorkOrderState.QUEUED, WorkOrderState.WAITING_RETRY})

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
        breakers: what was heard of each billing credential so far.
    """

    engine_id: str
    rules: ProcessingRules
    lease: timedelta
    new_lease: Callable[[], Lease]
    rng: Random
    breakers: Breakers


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a group came to, after its commit.

    Attributes:
        to_call: work orders whose intent is committed; their call is due now.
        settled: claimed work orders that need no call any more; they go into the next group.
        bulk: handles of jobs that have due work orders without billing.
        stopped: of the jobs that were looked at, those of which no further call may be made.
        cancelled: those of which only what is open may still be asked for.
        claimed: how many work orders came into this engine's hand.
        is_full: as many were claimed as there was room for; there may be more.
        ended: how many work orders left it.
        to_finish: how many jobs have no open work order any more.
        renewed: the leases of searches that are being made, and go on.
    """

    to_call: tuple[OrderInHand, ...] = ()
    settled: tuple[OrderInHand, ...] = ()
    bulk: tuple[int, ...] = ()
    stopped: frozenset[int] = frozenset()
    cancelled: frozenset[int] = frozenset()
    claimed: int = 0
    is_full: bool = False
    ended: int = 0
    to_finish: int = 0
    renewed: Mapping[Held, Lease] = field(default_factory=dict)

    def __add__(self, other: Recorded) -> Recorded:
        return Recorded(
            self.to_call + other.to_call,
            self.settled + other.settled,
            self.bulk + other.bulk,
            self.stopped | other.stopped,
            self.cancelled | other.cancelled,
            self.claimed + other.claimed,
            self.is_full or other.is_full,
            self.ended + other.ended,
            self.to_finish + other.to_finish,
            {**self.renewed, **other.renewed},
        )

    def must_not_call(self, one: OrderInHand) -> bool:
        """Whether the call of this work order may not be made any more, as its job stands."""
        job_id = one.order.job_id
        return job_id in self.stopped or (job_id in self.cancelled and not one.asks_what_is_open)


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
        self.breakers = conditions.breakers.copy()
        self.ended = self.claimed = 0
        self.is_full = False
        self.renewed: dict[Held, Lease] = {}

    # --- what became of calls ----------------------------------------------------------------------------------------

    def look_at(self, job_ids: Iterable[int]) -> None:
        """Reads whether work on these jobs may go on."""
        missing = {job_id for job_id in job_ids if job_id not in self.standings}
        if missing:
            self.standings.update(work.standings(self.uow, missing))

    def renew(self, searches: Sequence[Held]) -> None:
        """The leases of searches that are being made, and last for longer than they would."""
        held = work.hold(self.uow, self.engine_id, searches, self.lease_until)
        self.renewed = dict.fromkeys(held, self.lease)

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
            elif self._must_not_call(one):
                self._decide(draft, NotCalled())
            else:
                self.to_call.append((draft, one.call))

    def _is_stopped(self, job_id: int) -> bool:
        return not self.standings[job_id].may_go_on or job_id in self.pauses

    def _is_cancelled(self, job_id: int) -> bool:
        return self.standings[job_id].cancel_requested

    def _must_not_call(self, one: OrderInHand) -> bool:
        job_id = one.order.job_id
        return self._is_stopped(job_id) or (self._is_cancelled(job_id) and not one.asks_what_is_open)

    def _decide(self, draft: Draft, result: CallResult | NotCalled) -> None:
        one = draft.in_hand
        call, credential_id = one.call, one.job.billing_credential_id
        assert call is not None
        assert credential_id is not None
        if isinstance(result, NotCalled):
            self.breakers.not_tried(credential_id, one.order.work_order_id)
            if result.wait_s is not None:
                self.pauses[one.order.job_id] = _Pause(QUOTA_USED_UP, PauseCause.QUOTA, result.wait_s)
            decision = released(one.attempt())
        else:
            decision = settle(one.attempt(), result, self.now, self.conditions.rules, self.conditions.rng)
            if decision.work_order_state is WorkOrderState.OUTCOME_UNKNOWN and _is_only_found(one, decision):
                # Nothing of ours is open: a cancelled job has nothing to wait for, and an earlier intent is over.
                if self.standings[one.order.job_id].cancel_requested:
                    decision = cancelled_between_steps(None)
                elif call.step in draft.steps:
                    draft.steps[call.step] = draft.steps[call.step]._replace(intent_at=None)
            if self.breakers.heard(credential_id, one.order.work_order_id, result, self.now):
                decision = not_answering(decision, result.reason, self.breakers.devices(credential_id))
        # A step that was only searched for, and was never begun or was refused, is not marked as not sent: it would be
        # posted at the next claim without a search.
        before = draft.steps.get(call.step)
        is_begun = call.kind in POSTS or (before is not None and before.state is not StepState.REFUSED)
        if decision.step_state is not None and (is_begun or decision.step_state is not StepState.NOT_SENT):
            self._write_step(draft, call.step, decision)
        if decision.answer:
            draft.answer = decision.answer
        if decision.pause_reason is not None:
            cause = PauseCause.ENVIRONMENT if decision.quota_wait_s is None else PauseCause.QUOTA
            self.pauses.setdefault(one.order.job_id, _Pause(decision.pause_reason, cause, decision.quota_wait_s))
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
        job_id = one.order.job_id
        is_post = call.kind in POSTS
        if self._is_cancelled(job_id) and (is_post or not is_open(draft.steps.get(call.step))):
            self._end(draft, cancelled_between_steps(made_at_billing(draft.steps)))
        elif self._is_stopped(job_id):
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
        if (
            state in _TO_BE_TRIED_AGAIN
            and self._is_cancelled(one.order.job_id)
            and not any(map(is_open, draft.steps.values()))
        ):
            # It would only wait to be cancelled, for a whole day where the quota is used up.
            self._end(draft, cancelled_between_steps(made_at_billing(draft.steps)))
            return
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
        if self.breakers.any_open(self.now):
            for draft, _ in self.to_call:  # who is tried goes on from a search to its order
                self._is_tried(draft.in_hand)
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
            except ValueError as error:  # this job waits; all others go on
                _log.warning("Job %s cannot be worked on: %s", due.tracking_number, error)
                what_to_do = "Run it with a newer program, or cancel it and submit its devices again."
                self.pauses[due.job_id] = _Pause(f"{error} {what_to_do}")
                continue
            if job.instructions.billing is None:
                self.bulk.append(due.job_id)
                continue
            share = -(-(room - self.claimed) // (len(due_jobs) - index))
            if due.billing_credential_id in at_quota:
                share = 0
            if due.job_id not in in_hand:
                share = max(share, newcomers)
            tried = self._tried_one_by_one(due)
            if tried is not None:
                share = min(share, int(self.breakers.may_try(tried, self.now)))
            if share <= 0:
                continue
            # Rather a new one is tried: it may be that only those that were tried so far get no clear answer.
            which = due if tried is None or not due.queued else replace(due, waiting_retry=0, outcome_unknown=0)
            claimed = work.claim(self.uow, self.engine_id, which, share, self.lease_until)
            for was, count in Counter(order.was for order in claimed).items():
                self.counters.moved(due.job_id, was, WorkOrderState.RUNNING, count)
                self.counters.took_turn(due.job_id)
            self.claimed += len(claimed)
            called = len(self.to_call)
            for order in claimed:
                self._begin(job, order)
            for draft, _ in self.to_call[called:] if tried is not None else ():
                self._is_tried(draft.in_hand)
        self.is_full = self.claimed >= room

    def _is_tried(self, one: OrderInHand) -> None:
        credential_id = one.job.billing_credential_id
        if credential_id is not None and self.breakers.is_open(credential_id):
            self.breakers.tries(credential_id, one.order.work_order_id, self.lease_until)

    def _tried_one_by_one(self, due: DueJob) -> int | None:
        """The job's billing credential, where its breaker is open."""
        one = due.billing_credential_id
        return one if one is not None and self.breakers.is_open(one) else None

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
            cancelled=frozenset(job_id for job_id in self.standings if self._is_cancelled(job_id)),
            claimed=self.claimed,
            is_full=self.is_full,
            ended=self.ended,
            to_finish=to_finish,
            renewed=self.renewed,
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
        problem = not_associated(draft.in_hand.order.iccid, reason, made_at_billing(draft.steps))
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


def not_associated(device: str, reason: str, made: Made | None = None) -> Problem:
    """The local effects of a work order could not be applied; ``made``: what it made at billing."""
    if made is None:
        return Problem(
            "NOT_ASSOCIATED",
            f"Device {device} was not associated: {reason}.",
            "Look at the device, then retry the job: it is checked again.",
        )
    what = made.what[0].upper() + made.what[1:]
    return Problem(
        "BILLED_NOT_ASSOCIATED",
        f"{what} {made.verb} made for device {device}, but it was not associated: {reason}.",
        "Look at the device, then retry the job: it goes on from there and makes nothing twice.",
    )
