"""The tables of transitions: whole, and without a way out of what is over but a retry."""

from __future__ import annotations

import pytest

from db.counters import Counters
from desktop_app.association.states import (
    FINAL_JOBS,
    JOB_TRANSITIONS,
    WORK_ORDER_TRANSITIONS,
    JobState,
    WorkOrderState,
    jobs_before,
    work_order_may_become,
)


def test_each_state_has_its_line():
    assert set(WORK_ORDER_TRANSITIONS) == set(WorkOrderState)
    assert set(JOB_TRANSITIONS) == set(JobState)


def test_what_succeeded_is_never_touched_again():
    assert not any(work_order_may_become(WorkOrderState.SUCCEEDED, after) for after in WorkOrderState)


@pytest.mark.parametrize("before", [WorkOrderState.FAILED, WorkOrderState.REJECTED, WorkOrderState.CANCELLED])
def test_a_retry_alone_opens_what_is_over(before):
    assert WORK_ORDER_TRANSITIONS[before] == {WorkOrderState.QUEUED}


def test_an_unknown_outcome_is_never_cancelled_or_tried_again_without_a_question():
    assert not work_order_may_become(WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.CANCELLED)
    assert not work_order_may_become(WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.WAITING_RETRY)


@pytest.mark.parametrize("after", sorted(FINAL_JOBS))
def test_a_job_ends_through_its_finish_alone(after):
    assert jobs_before(after) == (JobState.FINISHING,)


def test_counters_refuse_a_transition_that_the_table_does_not_have():
    with pytest.raises(ValueError, match="from succeeded to queued"):
        Counters().moved(1, WorkOrderState.SUCCEEDED, WorkOrderState.QUEUED)
