"""How jobs end, and what can be proved of each device."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest

from desktop_app.association.completion import Cause, RunFacts, WorkOrderFacts, final_state, proofs, statistics
from desktop_app.association.model import BillingAction, Proof, Proofs
from desktop_app.association.states import OPEN_WORK_ORDERS, JobState, Step, StepState, WorkOrderState

W = WorkOrderState
J = JobState
S = StepState
CARRIER, CUSTOMER = Step.CARRIER_RATE_PLAN, Step.CUSTOMER_RATE_PLAN


@pytest.mark.parametrize(
    ("counts", "cancel_requested", "state"),
    [
        ({W.SUCCEEDED: 3}, False, J.COMPLETED),
        ({W.SUCCEEDED: 3, W.FAILED: 1}, False, J.PARTIALLY_COMPLETED),
        ({W.SUCCEEDED: 3, W.REJECTED: 1}, False, J.PARTIALLY_COMPLETED),
        ({W.SUCCEEDED: 1, W.CANCELLED: 1}, False, J.PARTIALLY_COMPLETED),
        ({W.FAILED: 2}, False, J.FAILED),
        ({W.REJECTED: 2}, False, J.FAILED),
        ({W.CANCELLED: 2}, False, J.FAILED),
        ({}, False, J.FAILED),
        ({W.SUCCEEDED: 2, W.CANCELLED: 1}, True, J.CANCELLED),
        ({W.CANCELLED: 3}, True, J.CANCELLED),
        # cancelled when nothing was left to cancel
        ({W.SUCCEEDED: 3}, True, J.COMPLETED),
        ({W.SUCCEEDED: 1, W.FAILED: 1}, True, J.PARTIALLY_COMPLETED),
        ({W.FAILED: 1}, True, J.FAILED),
    ],
)
def test_the_final_state_of_a_job(counts: Mapping[W, int], cancel_requested: bool, state: J) -> None:
    assert final_state(counts, cancel_requested=cancel_requested) is state


@pytest.mark.parametrize("state", sorted(OPEN_WORK_ORDERS))
def test_a_job_with_open_work_has_no_final_state(state: W) -> None:
    with pytest.raises(ValueError, match=state):
        final_state({W.SUCCEEDED: 1, state: 1})


YES, NO, KEPT, SCHEDULED, NOT_ASKED = Proof.YES, Proof.NO, Proof.KEPT, Proof.SCHEDULED, Proof.NOT_REQUESTED


def of(
    state: W = W.SUCCEEDED,
    billing: BillingAction | None = BillingAction.NONE,
    plans: Sequence[Step] = (),
    steps: Mapping[str, StepState] = MappingProxyType({}),
    *,
    found: bool = True,
    permitted: bool = True,
) -> Proofs:
    rows = {Step(name): step_state for name, step_state in steps.items()}
    return proofs(WorkOrderFacts(state, found, permitted, billing, plans, rows))


LOCAL = {"ownership": S.DONE, "history": S.DONE}


def test_proofs_of_a_device_with_everything() -> None:
    done = of(billing=BillingAction.CREATE, plans=(CARRIER, CUSTOMER), steps=dict.fromkeys(Step, S.DONE))
    assert done == Proofs(YES, YES, YES, YES, YES, YES, YES)


def test_proofs_of_a_device_that_was_only_assigned() -> None:
    assert of(steps=LOCAL) == Proofs(YES, YES, NOT_ASKED, YES, NOT_ASKED, YES, YES)


def test_a_rejected_device_proves_nothing_but_what_was_found_out() -> None:
    assert of(W.REJECTED, None, (CARRIER,)) == Proofs(YES, YES, NOT_ASKED, NO, NO, NO, NO)
    unknown = of(W.REJECTED, None, found=False, permitted=False)
    assert unknown == Proofs(NO, NO, NOT_ASKED, NO, NOT_ASKED, NO, NO)


@pytest.mark.parametrize(
    ("step_state", "proof"),
    [
        (S.DONE, YES), (S.KEPT, KEPT), (S.SCHEDULED, SCHEDULED), (S.NOT_REQUESTED, NOT_ASKED),
        (S.INTENT, NO), (S.NOT_SENT, NO), (S.UNKNOWN, NO), (S.REFUSED, NO),
    ],
)  # fmt: skip
def test_a_proof_says_what_its_step_says_and_is_never_a_promise(step_state: StepState, proof: Proof) -> None:
    assert of(W.RUNNING, BillingAction.CREATE, steps={"billing_service": step_state}).billing_service_created is proof
    assert of(W.RUNNING, steps={"ownership": step_state}).ownership_updated is proof
    assert of(W.RUNNING, steps={"history": step_state}).history_recorded is proof


@pytest.mark.parametrize("state", sorted(set(W) - {W.SUCCEEDED}))
def test_only_a_work_order_that_succeeded_is_complete(state: W) -> None:
    assert of(state, steps=LOCAL).processing_completed is NO


@pytest.mark.parametrize(
    ("billing", "plans", "steps", "proof"),
    [
        # two plans asked for: yes only if both are done
        ("none", (CARRIER, CUSTOMER), {"carrier_rate_plan": S.DONE, "customer_rate_plan": S.DONE}, YES),
        ("none", (CARRIER, CUSTOMER), {"carrier_rate_plan": S.DONE}, NO),
        ("none", (CARRIER, CUSTOMER), {"customer_rate_plan": S.DONE}, NO),
        ("none", (CARRIER, CUSTOMER), {"carrier_rate_plan": S.DONE, "customer_rate_plan": S.KEPT}, YES),
        ("none", (CARRIER, CUSTOMER), {"carrier_rate_plan": S.KEPT, "customer_rate_plan": S.KEPT}, KEPT),
        ("none", (CARRIER, CUSTOMER), {"carrier_rate_plan": S.SCHEDULED, "customer_rate_plan": S.KEPT}, SCHEDULED),
        ("none", (CUSTOMER,), {"customer_rate_plan": S.SCHEDULED}, SCHEDULED),
        # with billing, billing has to have the products too
        ("create", (CARRIER,), {"carrier_rate_plan": S.DONE}, NO),
        ("create", (CARRIER,), {"carrier_rate_plan": S.DONE, "carrier_plan_product": S.UNKNOWN}, NO),
        ("create", (CARRIER,), {"carrier_rate_plan": S.DONE, "carrier_plan_product": S.DONE}, YES),
        ("create", (CARRIER,), {"carrier_plan_product": S.DONE}, NO),
        ("keep", (CARRIER,), {"carrier_rate_plan": S.KEPT, "carrier_plan_product": S.KEPT}, KEPT),
        ("keep", (CARRIER,), {"carrier_rate_plan": S.KEPT, "carrier_plan_product": S.DONE}, YES),
        ("create", (CUSTOMER,), {"customer_rate_plan": S.SCHEDULED, "customer_plan_product": S.DONE}, SCHEDULED),
    ],
)
def test_rate_plans_are_assigned_only_where_every_one_is(
    billing: str, plans: Sequence[Step], steps: Mapping[str, StepState], proof: Proof
) -> None:
    assert of(billing=BillingAction(billing), plans=plans, steps=steps).rate_plans_assigned is proof


AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def run(**changes: object) -> RunFacts:
    facts: dict[str, object] = {
        "run_no": 2,
        "counts": {W.SUCCEEDED: 6, W.FAILED: 2, W.REJECTED: 1},
        "steps": {
            (Step.HISTORY, S.DONE): 6, (Step.BILLING_SERVICE, S.KEPT): 1, (Step.BILLING_SERVICE, S.DONE): 5,
        },
        "causes": [
            Cause(W.REJECTED, "UNKNOWN", "Look.", 1), Cause(W.FAILED, "B", "Do.", 1), Cause(W.FAILED, "A", "Do.", 1),
            Cause(W.FAILED, "C", "Do.", 3),
        ],
        "billing_calls": 9,
        "submitted_at": AT - timedelta(hours=1),
        "started_at": AT,
        "finished_at": AT + timedelta(seconds=30),
        **changes,
    }  # fmt: skip
    return RunFacts(**facts)  # type: ignore[arg-type]


def test_statistics_are_plain_json_and_add_up() -> None:
    said = statistics(run())
    assert json.loads(json.dumps(said)) == said
    assert (said["run_no"], said["total"], said["billing_calls"]) == (2, 9, 9)
    assert {state: said[state] for state in W if said[state]} == {"succeeded": 6, "failed": 2, "rejected": 1}
    assert said["steps"] == {"billing_service": {"done": 5, "kept": 1}, "history": {"done": 6}}
    assert [(cause["code"], cause["count"]) for cause in said["causes"]] == [  # type: ignore[attr-defined]
        ("C", 3), ("A", 1), ("B", 1), ("UNKNOWN", 1),
    ]  # fmt: skip
    assert said["seconds"] == 30.0
    assert said["devices_per_minute"] == 16.0, "rejected devices are not worked on"


def test_a_later_run_counts_what_it_did_itself() -> None:
    first, again = statistics(run()), statistics(run(run_no=2, ended_before=1))
    assert first["devices_per_minute"] != again["devices_per_minute"]
    assert statistics(run(run_no=2, started_at=None))["seconds"] == 0.0


def test_statistics_of_a_job_of_which_nothing_ran() -> None:
    said = statistics(run(counts={W.REJECTED: 4}, started_at=None, finished_at=AT - timedelta(hours=1)))
    assert (said["total"], said["seconds"], said["devices_per_minute"]) == (4, 0.0, None)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert statistics(run(finished_at=AT - timedelta(seconds=5)))["seconds"] == 0.0
