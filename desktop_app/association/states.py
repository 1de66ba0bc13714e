"""States of jobs, work orders and steps, and the one table of allowed transitions.

Each state is explained on the line that declares it. A transition is always a compare-and-set in the database
(``UPDATE … WHERE id = :id AND state = :from``); the tables here say which pairs may be written at all.
"""

from __future__ import annotations

from enum import StrEnum


class WorkOrderState(StrEnum):
    """Where one device of a job stands."""

    REJECTED = "rejected"  #: blocked by the check at submit; never runs, kept so that the job accounts for the device
    QUEUED = "queued"  #: ready to be claimed by any engine
    RUNNING = "running"  #: an engine holds its lease and is working on it
    WAITING_RETRY = "waiting_retry"  #: a transient failure; may be claimed again from ``next_attempt_at``
    OUTCOME_UNKNOWN = "outcome_unknown"  #: billing may have acted; parked until ``check_at``, then billing is asked
    SUCCEEDED = "succeeded"  #: every requested step is done, kept or scheduled
    FAILED = "failed"  #: a permanent failure, with its error; a retry of the job may reopen it
    CANCELLED = "cancelled"  #: cancelled by a person before it was finished


class JobState(StrEnum):
    """Where one submitted request stands."""

    QUEUED = "queued"  #: submitted, no work order claimed yet
    RUNNING = "running"  #: work orders are being worked on
    PAUSED = "paused"  #: no work order is claimed; ``pause_cause`` says why
    FINISHING = "finishing"  #: all work orders are final; the maintenance procedures have still to run
    COMPLETED = "completed"  #: every device that was asked for succeeded
    PARTIALLY_COMPLETED = "partially_completed"  #: some devices succeeded, others failed, were rejected or cancelled
    FAILED = "failed"  #: no device succeeded
    CANCELLED = "cancelled"  #: cancelled by a person; what was done before stays done


class PauseCause(StrEnum):
    """Why a job is paused."""

    OPERATOR = "operator"  #: a person paused it; only a person ends it
    ENVIRONMENT = "environment"  #: billing or database unreachable, or the credential refused; ends by itself
    QUOTA = "quota"  #: the day's quota of the billing credential is used up; ends by itself
    THRESHOLD = "threshold"  #: too many of its devices failed; only a person ends it


class Step(StrEnum):
    """One effect of a work order, in the order in which they happen."""

    BILLING_SERVICE = "billing_service"  #: the billing service is created (or kept) at the billing company
    CARRIER_PLAN_PRODUCT = "carrier_plan_product"  #: the carrier rate plan's product is put on that service
    CUSTOMER_PLAN_PRODUCT = "customer_plan_product"  #: the customer rate plan's product is put on that service
    OWNERSHIP = "ownership"  #: the device belongs to the customer and the site
    CARRIER_RATE_PLAN = "carrier_rate_plan"  #: the carrier rate plan is recorded (no carrier is called)
    CUSTOMER_RATE_PLAN = "customer_rate_plan"  #: the customer rate plan, its data limit and pool are recorded
    HISTORY = "history"  #: the device history says what was done, when, by whom and why


#: The steps that call the billing company, in order. Each makes at most one POST.
BILLING_STEPS: tuple[Step, ...] = (Step.BILLING_SERVICE, Step.CARRIER_PLAN_PRODUCT, Step.CUSTOMER_PLAN_PRODUCT)


class StepState(StrEnum):
    """Where one step of a work order stands. A row exists from the step's intent or outcome on, not before."""

    INTENT = "intent"  #: committed before the POST: from here on billing may have acted
    NOT_SENT = "not_sent"  #: the last try ended before billing could act; the next claim renews the intent
    UNKNOWN = "unknown"  #: sent, no clear answer; billing is asked after the settle time
    DONE = "done"  #: done by this work order
    KEPT = "kept"  #: it was so before; nothing was changed
    SCHEDULED = "scheduled"  #: written for a future date
    NOT_REQUESTED = "not_requested"  #: the operator did not ask for it
    REFUSED = "refused"  #: refused for its data; nothing was made


#: Step states after which the step is never run again.
SETTLED_STEPS: frozenset[StepState] = frozenset(
    {StepState.DONE, StepState.KEPT, StepState.SCHEDULED, StepState.NOT_REQUESTED}
)

#: Work orders that are not final. At most one of them per device (a filtered unique index holds it).
OPEN_WORK_ORDERS: frozenset[WorkOrderState] = frozenset(
    {WorkOrderState.QUEUED, WorkOrderState.RUNNING, WorkOrderState.WAITING_RETRY, WorkOrderState.OUTCOME_UNKNOWN}
)
#: Work orders that no engine will touch again by itself.
FINAL_WORK_ORDERS: frozenset[WorkOrderState] = frozenset(WorkOrderState) - OPEN_WORK_ORDERS
#: Jobs that are over, until a retry reopens them.
FINAL_JOBS: frozenset[JobState] = frozenset(
    {JobState.COMPLETED, JobState.PARTIALLY_COMPLETED, JobState.FAILED, JobState.CANCELLED}
)

_W = WorkOrderState
WORK_ORDER_TRANSITIONS: dict[WorkOrderState, frozenset[WorkOrderState]] = {
    _W.REJECTED: frozenset({_W.QUEUED}),  # a retry that passes the check now
    # to succeeded or failed at once: work without billing is claimed and done in one transaction; to waiting or unknown
    # (and from waiting to unknown): the database is a restored backup, which knows nothing of what came after it
    _W.QUEUED: frozenset({_W.RUNNING, _W.CANCELLED, _W.SUCCEEDED, _W.FAILED, _W.WAITING_RETRY, _W.OUTCOME_UNKNOWN}),
    _W.RUNNING: frozenset(
        # back to queued: the lease ended with no intent open, or the environment failed before anything was sent
        {_W.QUEUED, _W.WAITING_RETRY, _W.OUTCOME_UNKNOWN, _W.SUCCEEDED, _W.FAILED, _W.CANCELLED}
    ),
    _W.WAITING_RETRY: frozenset({_W.RUNNING, _W.CANCELLED, _W.FAILED, _W.OUTCOME_UNKNOWN}),
    _W.OUTCOME_UNKNOWN: frozenset({_W.RUNNING, _W.QUEUED, _W.FAILED}),  # queued: a person resolved it
    _W.SUCCEEDED: frozenset(),
    _W.FAILED: frozenset({_W.QUEUED}),
    _W.CANCELLED: frozenset({_W.QUEUED}),
}

_J = JobState
JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _J.QUEUED: frozenset({_J.RUNNING, _J.PAUSED, _J.FINISHING}),
    _J.RUNNING: frozenset({_J.PAUSED, _J.FINISHING}),
    _J.PAUSED: frozenset({_J.QUEUED, _J.RUNNING, _J.FINISHING}),
    _J.FINISHING: FINAL_JOBS,
    _J.COMPLETED: frozenset({_J.QUEUED}),
    _J.PARTIALLY_COMPLETED: frozenset({_J.QUEUED}),
    _J.FAILED: frozenset({_J.QUEUED}),
    _J.CANCELLED: frozenset({_J.QUEUED}),
}


def work_order_may_become(before: WorkOrderState, after: WorkOrderState) -> bool:
    """Whether a work order in the one state may be written into the other."""
    return after in WORK_ORDER_TRANSITIONS[before]


def jobs_before(after: JobState) -> tuple[JobState, ...]:
    """The states from which a job may be written into this one: what its compare-and-set asks for."""
    return tuple(before for before in JobState if after in JOB_TRANSITIONS[before])
