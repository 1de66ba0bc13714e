"""How a job ended, and what can be proved of each of its devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from desktop_app.association.model import BillingAction, Proof, Proofs
from desktop_app.association.states import SETTLED_STEPS, JobState, Step, StepState, WorkOrderState

_PRODUCT_OF = {
    Step.CARRIER_RATE_PLAN: Step.CARRIER_PLAN_PRODUCT,
    Step.CUSTOMER_RATE_PLAN: Step.CUSTOMER_PLAN_PRODUCT,
}
_PROOF_OF_STATE = {
    StepState.DONE: Proof.YES,
    StepState.KEPT: Proof.KEPT,
    StepState.SCHEDULED: Proof.SCHEDULED,
    StepState.NOT_REQUESTED: Proof.NOT_REQUESTED,
}


def final_state(counts: Mapping[WorkOrderState, int], *, cancel_requested: bool = False) -> JobState:
    """The final state of a job whose work orders are all final.

    A job that was cancelled in time is ``CANCELLED``, whatever was done before; a cancel that came when nothing was
    left to cancel changes nothing. A job without any device that succeeded has failed.

    Args:
        counts: work orders in each state; a state that is missing counts 0.
        cancel_requested: whether a person cancelled the job in this run.

    Raises:
        ValueError: a work order is still open.
    """
    still_open = [
        state
        for state in (
            WorkOrderState.QUEUED,
            WorkOrderState.RUNNING,
            WorkOrderState.WAITING_RETRY,
            WorkOrderState.OUTCOME_UNKNOWN,
        )
        if counts.get(state, 0)
    ]
    if still_open:
        raise ValueError(f"Work orders are still open: {', '.join(still_open)}.")
    succeeded = counts.get(WorkOrderState.SUCCEEDED, 0)
    if cancel_requested and counts.get(WorkOrderState.CANCELLED, 0):
        return JobState.CANCELLED
    if succeeded == sum(counts.values()):
        return JobState.COMPLETED if succeeded else JobState.FAILED
    return JobState.PARTIALLY_COMPLETED if succeeded else JobState.FAILED


@dataclass(frozen=True, slots=True)
class WorkOrderFacts:
    """What the proofs of one device are made from.

    Attributes:
        state: of its work order.
        found: one device was found for the line, and it may be worked on (not deleted, not archived).
        permitted: the operator holds the rights that it takes.
        billing_action: None for a work order that was rejected.
        plans_asked: of ``CARRIER_RATE_PLAN`` and ``CUSTOMER_RATE_PLAN`` those that were asked for.
        steps: states of the steps that have a row.
    """

    state: WorkOrderState
    found: bool
    permitted: bool
    billing_action: BillingAction | None
    plans_asked: Sequence[Step]
    steps: Mapping[Step, StepState]


def proofs(facts: WorkOrderFacts) -> Proofs:
    """The seven proofs of one device. What was not done, or not yet, is ``NO``: a proof is never a promise."""
    billed = facts.billing_action not in (None, BillingAction.NONE)
    return Proofs(
        device_found=_yes(facts.found),
        operator_permitted=_yes(facts.permitted),
        billing_service_created=_of(facts.steps.get(Step.BILLING_SERVICE)) if billed else Proof.NOT_REQUESTED,
        ownership_updated=_of(facts.steps.get(Step.OWNERSHIP)),
        rate_plans_assigned=_rate_plans(facts, billed=billed),
        history_recorded=_of(facts.steps.get(Step.HISTORY)),
        processing_completed=_yes(facts.state is WorkOrderState.SUCCEEDED),
    )


def _rate_plans(facts: WorkOrderFacts, *, billed: bool) -> Proof:
    """``YES`` only if every plan that was asked for is done, here and (where billing was asked) there."""
    if not facts.plans_asked:
        return Proof.NOT_REQUESTED
    needed = list(facts.plans_asked)
    if billed:
        needed += [_PRODUCT_OF[step] for step in facts.plans_asked]
    states = [facts.steps.get(step) for step in needed]
    if not all(state in SETTLED_STEPS for state in states):
        return Proof.NO
    if StepState.SCHEDULED in states:
        return Proof.SCHEDULED
    return Proof.KEPT if all(state is StepState.KEPT for state in states) else Proof.YES


def _of(state: StepState | None) -> Proof:
    return Proof.NO if state is None else _PROOF_OF_STATE.get(state, Proof.NO)


def _yes(value: bool) -> Proof:
    return Proof.YES if value else Proof.NO


@dataclass(frozen=True, slots=True)
class Cause:
    """Why work orders of a job did not succeed.

    Attributes:
        state: of these work orders.
        code: of their error.
        what_to_do: one sentence.
        count: how many.
    """

    state: WorkOrderState
    code: str
    what_to_do: str
    count: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the statistics of one run of a job are made from.

    Attributes:
        run_no: from 1.
        counts: work orders in each state.
        steps: how many steps stand in each state, over the whole job.
        causes: why work orders did not succeed.
        billing_calls: POSTs that were intended, over the whole job.
        submitted_at, started_at, finished_at: instants; a run is not started where nothing could run.
        ended_before: how many of the counted ended in a run before this one.
    """

    run_no: int
    counts: Mapping[WorkOrderState, int]
    steps: Mapping[tuple[Step, StepState], int]
    causes: Sequence[Cause]
    billing_calls: int
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime
    ended_before: int = 0


def statistics(facts: RunFacts) -> dict[str, object]:
    """The statistics of a job as they are stored, logged and sent: plain JSON values, stable keys."""
    begun = facts.started_at or (facts.submitted_at if facts.run_no == 1 else facts.finished_at)
    seconds = max(0.0, (facts.finished_at - begun).total_seconds())
    worked_on = sum(facts.counts.values()) - facts.counts.get(WorkOrderState.REJECTED, 0) - facts.ended_before
    causes = sorted(facts.causes, key=lambda cause: (-cause.count, cause.state, cause.code))
    return {
        "run_no": facts.run_no,
        "total": sum(facts.counts.values()),
        **{str(state): facts.counts.get(state, 0) for state in WorkOrderState},
        "billing_calls": facts.billing_calls,
        "steps": {
            str(step): {str(state): count for (of, state), count in sorted(facts.steps.items()) if of is step}
            for step in Step
            if any(of is step for of, _ in facts.steps)
        },
        "causes": [
            {"state": str(c.state), "code": c.code, "what_to_do": c.what_to_do, "count": c.count} for c in causes
        ],
        "seconds": round(seconds, 3),
        "devices_per_minute": round(worked_on * 60 / seconds, 1) if seconds and worked_on else None,
    }
