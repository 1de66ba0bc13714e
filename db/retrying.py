"""Retries: what a job has to be looked at again, and queueing it again.

Only work orders that no engine touches are read and changed, each by a compare-and-set on its state; a retry that finds
one of them changed meanwhile is rolled back and done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Date, Table, Unicode, and_, case, exists, false, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from db.counters import Counters
from db.schema import job, work_order, work_order_step
from db.submission import refuse_ended_services
from db.temporary import lines_table
from db.types import JsonText, Key
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import DeviceIsTaken, FailedOrder, WorkOrderDraft
from desktop_app.association.states import FINAL_JOBS, JobState, Step, StepState, WorkOrderState, jobs_before

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_wo = work_order.c

#: What a retry looks at again.
RETRIED_STATES = (WorkOrderState.FAILED, WorkOrderState.REJECTED, WorkOrderState.CANCELLED)


class RetriedJob(NamedTuple):
    """A job that somebody wants to retry.

    Attributes:
        cancel_requested: a person cancelled it in this run.
        instructions: the document that its work orders share.
    """

    job_id: int
    tracking_number: str
    state: JobState
    run_no: int
    customer_id: int
    cancel_requested: bool
    instructions: Mapping[str, Any]

    @property
    def is_over(self) -> bool:
        """No engine works on it."""
        return self.state in FINAL_JOBS


def find_job(uow: UnitOfWork, tracking_number: str) -> RetriedJob | None:
    """The job of this tracking number, or None."""
    row = uow.connection.execute(
        select(
            job.c.id, job.c.tracking_number, job.c.state, job.c.run_no, job.c.customer_id, job.c.cancel_requested,
            job.c.instructions,
        ).where(job.c.tracking_number == tracking_number)
    ).one_or_none()  # fmt: skip
    return None if row is None else RetriedJob(row[0], row[1], JobState(row[2]), *row[3:])


def failed_orders(uow: UnitOfWork, job_id: int, error_code: str = "") -> list[FailedOrder]:
    """Work orders of the job that failed, were rejected or cancelled, by line.

    Args:
        error_code: only those with this error; "": all of them.
    """
    is_done = exists().where(
        work_order_step.c.work_order_id == _wo.id,
        work_order_step.c.step == Step.BILLING_SERVICE.value,
        work_order_step.c.state.in_([StepState.DONE.value, StepState.KEPT.value]),
    )
    settled = case((is_done, 1), else_=0)  # a condition is no value on SQL Server
    rows = uow.connection.execute(
        select(
            _wo.id,
            _wo.line,
            _wo.asked_for,
            _wo.device_id,
            _wo.state,
            _wo.billing_action,
            _wo.effective_date,
            _wo.billing_service_id,
            settled,
        )
        .where(
            _wo.job_id == job_id,
            _wo.state.in_([state.value for state in RETRIED_STATES]),
            _wo.error_code == error_code if error_code else true(),
        )
        .order_by(_wo.line)
    )
    return [
        FailedOrder(
            work_order_id,
            line,
            asked_for,
            device_id,
            WorkOrderState(state),
            None if billing_action is None else BillingAction(billing_action),
            effective_date,
            billing_service_id if is_settled else None,
        )
        for (
            work_order_id,
            line,
            asked_for,
            device_id,
            state,
            billing_action,
            effective_date,
            billing_service_id,
            is_settled,
        ) in rows
    ]


# --- writing ---------------------------------------------------------------------------------------------------------

#: What a work order is frozen with anew when it is queued again. State and error are not among them.
_FROZEN: dict[str, TypeEngine[Any] | type[TypeEngine[Any]]] = {
    "device_id": Key,
    "service_provider_id": Key,
    "iccid": Unicode(20),
    "imei": Unicode(16),
    "msisdn": Unicode(20),
    "eid": Unicode(32),
    "effective_date": Date,
    "ownership_action": Unicode(10),
    "prior_ownership_id": Key,
    "carrier_rate_plan_id": Key,
    "billing_action": Unicode(10),
    "billing_service_id": Key,
    "reference": Unicode(60),
    "before": JsonText,
}
_ERROR: dict[str, TypeEngine[Any] | type[TypeEngine[Any]]] = {
    "error_kind": Unicode(12),
    "error_code": Unicode(60),
    "error_message": Unicode(400),
    "what_to_do": Unicode(400),
}


def queue_again(
    uow: UnitOfWork, counters: Counters, job_id: int, passed: Sequence[tuple[FailedOrder, WorkOrderDraft]]
) -> None:
    """Queues work orders again, as if they were new, but for what they have settled at billing.

    Args:
        counters: of this unit of work; written by the caller, last.

    Raises:
        DeviceIsTaken: somebody else was faster; the unit of work has to be rolled back.
    """
    if not passed:
        return
    table = _changes(uow, "queued_again", _FROZEN, passed)
    values = {name: table.c[name] for name in _FROZEN}
    try:
        count = uow.connection.execute(
            update(work_order)
            .where(_is_unchanged(job_id, table))
            .values(
                **values,
                state=WorkOrderState.QUEUED.value,
                engine_id=None,
                lease_until=None,
                attempts=0,
                next_attempt_at=None,
                check_at=None,
                commit_token=None,
                **dict.fromkeys(_ERROR),
                started_at=None,
                completed_at=None,
                changed_at=uow.now(),
                revision=_wo.revision + 1,
            )
        ).rowcount
    except IntegrityError as error:
        raise DeviceIsTaken("a device of the retry") from error
    if count != len(passed):
        raise DeviceIsTaken("a work order of the retry")
    refuse_ended_services(uow, job_id)
    for state in RETRIED_STATES:
        moved = sum(1 for order, _draft in passed if order.state is state)
        if moved:
            counters.moved(job_id, state, WorkOrderState.QUEUED, moved)


def tell_again(uow: UnitOfWork, job_id: int, blocked: Sequence[tuple[FailedOrder, WorkOrderDraft]]) -> None:
    """Gives work orders that the check does not let through its finding as their error; they stay what they are.

    Raises:
        DeviceIsTaken: somebody else was faster; the unit of work has to be rolled back.
    """
    if not blocked:
        return
    table = _changes(uow, "told_again", _ERROR, blocked)
    count = uow.connection.execute(
        update(work_order)
        .where(_is_unchanged(job_id, table))
        .values(**{name: table.c[name] for name in _ERROR}, changed_at=uow.now(), revision=_wo.revision + 1)
    ).rowcount
    if count != len(blocked):
        raise DeviceIsTaken("a work order of the retry")


def tell_of(uow: UnitOfWork, job_id: int) -> None:
    """Has desks look at the job again: something about its work orders has changed that no counter shows."""
    uow.connection.execute(
        update(job).where(job.c.id == job_id).values(changed_at=uow.latest(), revision=job.c.revision + 1)
    )


def hold_open(uow: UnitOfWork, retried: RetriedJob) -> None:
    """Before a job that runs is given work again: it runs still, in the same run, and stays so until the commit.

    The job's row decides. Meanwhile its last device may have ended, and nobody claims what is queued in a job that is
    being finished; or a person may have cancelled it, who was told of all that is cancelled.

    Raises:
        DeviceIsTaken: it does not run any more; the unit of work has to be rolled back.
    """
    count = uow.connection.execute(
        update(job)
        .where(
            job.c.id == retried.job_id,
            job.c.state.in_(jobs_before(JobState.FINISHING)),
            job.c.run_no == retried.run_no,
            job.c.cancel_requested == false(),
        )
        .values(changed_at=uow.latest(), revision=job.c.revision + 1)
    ).rowcount
    if not count:
        raise DeviceIsTaken(retried.tracking_number)


def reopen(
    uow: UnitOfWork,
    retried: RetriedJob,
    instructions: Mapping[str, Any],
    *,
    account_number: str | None,
    data_limit_bytes: int | None,
    data_pool: str | None,
) -> int:
    """Brings a job that was over back into the queue, for its next run.

    Args:
        instructions: the document, renewed.
        account_number: of the customer, as it is now.
        data_limit_bytes, data_pool: of the customer rate plan, as they are now.

    Returns:
        The number of the new run.

    Raises:
        DeviceIsTaken: somebody else was faster; the unit of work has to be rolled back.
    """
    run_no = retried.run_no + 1
    count = uow.connection.execute(
        update(job)
        .where(job.c.id == retried.job_id, job.c.state == retried.state.value, job.c.run_no == retried.run_no)
        .values(
            state=JobState.QUEUED.value,
            run_no=run_no,
            cancel_requested=false(),
            pause_cause=None,
            pause_reason=None,
            resume_at=None,
            resume_attempts=0,
            started_at=None,
            finished_at=None,
            account_number=account_number,
            data_limit_bytes=data_limit_bytes,
            data_pool=data_pool,
            instructions=dict(instructions),
            changed_at=uow.now(),
        )
    ).rowcount
    if not count:
        raise DeviceIsTaken(retried.tracking_number)
    return run_no


def _changes(
    uow: UnitOfWork,
    name: str,
    columns: Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]],
    changes: Iterable[tuple[FailedOrder, WorkOrderDraft]],
) -> Table:
    """A temporary table: work order, the state it was read in, and the new values of ``columns``."""
    return lines_table(
        uow,
        name,
        [
            Column("id", Key, primary_key=True),
            Column("was", Unicode(20)),
            *(Column(column, kind) for column, kind in columns.items()),
        ],
        (
            (order.work_order_id, order.state.value, *(getattr(draft, column) for column in columns))
            for order, draft in changes
        ),
    )


def _is_unchanged(job_id: int, table: Table) -> ColumnElement[bool]:
    return and_(_wo.job_id == job_id, _wo.id == table.c.id, _wo.state == table.c.was)
