"""Watching jobs: rows and details as a person sees them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db import browse_jobs, outbox
from db.browse_jobs import JobRecord, StepRecord, WorkOrderRecord
from desktop_app.association.completion import WorkOrderFacts, proofs
from desktop_app.association.errors import ErrorKind, NotFound, Problem, RequestRefused
from desktop_app.association.model import BillingAction, Proofs
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState
from desktop_app.association.work_orders import Instructions
from desktop_app.desk import causes
from desktop_app.desk.protocol import (
    CauseGroup,
    DeviceWorkOrderRow,
    JobCounts,
    JobDetail,
    JobFilter,
    JobLogRow,
    JobProgress,
    JobRow,
    NotificationRow,
    Outcomes,
    StepRow,
    WorkOrderDetail,
    WorkOrderRow,
)
from desktop_app.desk.seat import Seat, job_not_found

#: Work orders that are read at a time by whoever reads all of them.
PAGE = 5_000

_STEP_ORDER = {step.value: number for number, step in enumerate(Step)}


class LocalJobs:
    """The looking half of :class:`desktop_app.desk.protocol.JobsDesk`, on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def jobs(
        self, filter: JobFilter = JobFilter.ALL, text: str = "", limit: int = 200, offset: int = 0
    ) -> tuple[JobRow, ...]:
        """Jobs, newest first; ``text`` is searched in tracking number and customer."""
        with self._seat.store.read() as uow:
            records = browse_jobs.jobs(uow, self._seat.rights(uow), filter.value, text, limit, offset)
        return tuple(job_row(record) for record in records)

    def job_filter_counts(self) -> Mapping[JobFilter, int]:
        """How many jobs each filter shows."""
        with self._seat.store.read() as uow:
            counts = browse_jobs.job_counts(uow, self._seat.rights(uow))
        return {JobFilter(name): count for name, count in counts.items()}

    def job(self, tracking_number: str) -> JobDetail:
        """One job.

        Raises:
            NotFound: there is none of this number, or it may not be seen.
        """
        with self._seat.store.read() as uow:
            record = self._find(uow, tracking_number)
            found = browse_jobs.causes(uow, record.job_id)
            log = browse_jobs.job_log_of(uow, record.job_id)
            event = outbox.last_event_of(uow, record.job_id, record.tracking_number, record.run_no)
        return JobDetail(
            job=job_row(record),
            site=record.site or "",
            options=_options(_instructions(record)),
            causes=tuple(
                CauseGroup(
                    code=cause.code,
                    title=causes.title(cause.code, cause.message),
                    what_to_do=cause.what_to_do,
                    count=cause.devices,
                    state=WorkOrderState(cause.state),
                    retryable=causes.may_pass_by_itself(cause.code, cause.kind),
                    undecided=int(cause.undecided),
                    with_device=cause.with_device,
                )
                for cause in found
            ),
            log=tuple(JobLogRow(*line) for line in log),
            statistics=record.statistics or {},
            notification=None if event is None else _notification_row(event),
        )

    def job_progress(self, tracking_number: str) -> JobProgress:
        """How many devices reached their end when, in the present or last run."""
        with self._seat.store.read() as uow:
            job = self._find(uow, tracking_number)
            if job.started_at is None:
                return JobProgress()
            seconds = ((job.finished_at or uow.now()) - job.started_at).total_seconds()
            slot_s = slot_of(seconds)
            found = browse_jobs.outcomes(uow, job.job_id, job.started_at, slot_s)
        counts: dict[int, dict[str, int]] = {}
        for record in found:
            counts.setdefault(record.slot, {})[record.state] = record.devices
        last = max([int(max(0.0, seconds) // slot_s), *counts])
        return JobProgress(job.started_at, slot_s, tuple(Outcomes(**counts.get(slot, {})) for slot in range(last + 1)))

    def work_orders(
        self,
        tracking_number: str,
        states: Sequence[WorkOrderState] = (),
        error_code: str = "",
        limit: int = 500,
        offset: int = 0,
    ) -> tuple[WorkOrderRow, ...]:
        """Work orders of a job by line; none named: all states."""
        with self._seat.store.read() as uow:
            records = browse_jobs.work_orders(
                uow,
                self._find(uow, tracking_number).job_id,
                states=[state.value for state in states],
                error_code=error_code,
                limit=limit,
                offset=offset,
            )
        return tuple(_work_order_row(record) for record in records)

    def work_order(self, tracking_number: str, line: int) -> WorkOrderDetail:
        """One work order with its proofs, steps and billing's answer."""
        with self._seat.store.read() as uow:
            job = self._find(uow, tracking_number)
            record = browse_jobs.work_order_by_line(uow, job.job_id, line)
            if record is None:
                raise NotFound(
                    "LINE_NOT_FOUND", f"Job {tracking_number} has no line {line}.", "Name a line that the job shows."
                )
            steps = browse_jobs.steps_between(uow, job.job_id, line, line)
        return work_order_detail(record, steps.get(record.work_order_id, ()), terms_of(job))

    def work_order_details(
        self, tracking_number: str, limit: int = 500, offset: int = 0
    ) -> tuple[WorkOrderDetail, ...]:
        """Work orders by line, each whole."""
        with self._seat.store.read() as uow:
            job = self._find(uow, tracking_number)
            records = browse_jobs.work_orders(uow, job.job_id, limit=limit, offset=offset)
            if not records:
                return ()
            steps = browse_jobs.steps_between(uow, job.job_id, records[0].line, records[-1].line)
        terms = terms_of(job)
        return tuple(work_order_detail(record, steps.get(record.work_order_id, ()), terms) for record in records)

    def _find(self, uow: Any, tracking_number: str) -> JobRecord:
        return find_job(self._seat, uow, tracking_number)


#: Seconds of a slot; the smallest with which a run fits into :data:`MOST_SLOTS`.
_SLOTS_S = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)
MOST_SLOTS = 60


def slot_of(seconds: float) -> int:
    """How many seconds of a run make one slot of its progress, so that there are at most :data:`MOST_SLOTS`."""
    fitting = (width for width in _SLOTS_S if seconds < width * (MOST_SLOTS - 1))
    return next(fitting, math.ceil(seconds / (MOST_SLOTS - 1)))


def find_job(seat: Seat, uow: Any, tracking_number: str) -> JobRecord:
    """The job of this tracking number, in whatever case it is written.

    Raises:
        NotFound: there is none, or it may not be seen.
    """
    number = tracking_number.strip().upper()
    record = browse_jobs.find_job(uow, seat.rights(uow), number)
    if record is None:
        raise job_not_found(tracking_number)
    return record


def frozen_instructions(tracking_number: str, document: Mapping[str, Any]) -> Instructions:
    """What the job is to do, for what cannot be done without it.

    Raises:
        RequestRefused: the instructions are of another version, or cannot be read.
    """
    try:
        return Instructions.from_document(document)
    except ValueError as error:
        raise RequestRefused(
            "INSTRUCTIONS_UNREADABLE",
            f"What job {tracking_number} asked for cannot be read: {error}",
            "Do it with a newer program, or submit its devices again.",
        ) from error


def every_work_order(
    uow: Any, job: JobRecord, page: int = PAGE
) -> Iterator[list[tuple[WorkOrderRecord, Sequence[StepRecord]]]]:
    """All work orders of a job by line with their steps, page after page."""
    after_line = 0
    while records := browse_jobs.work_orders(uow, job.job_id, after_line=after_line, limit=page):
        steps = browse_jobs.steps_between(uow, job.job_id, records[0].line, records[-1].line)
        yield [(record, steps.get(record.work_order_id, ())) for record in records]
        after_line = records[-1].line


# --- rows ------------------------------------------------------------------------------------------------------------


def job_row(record: JobRecord) -> JobRow:
    """A stored job as it is listed."""
    instructions = _instructions(record)
    return JobRow(
        tracking_number=record.tracking_number,
        state=JobState(record.state),
        pause_cause=PauseCause(record.pause_cause) if record.pause_cause else None,
        pause_reason=record.pause_reason or "",
        run_no=record.run_no,
        customer=record.customer,
        account_number=record.account_number or "",
        action=_action(instructions),
        counts=JobCounts(*record.counts),
        operator=record.operator_login,
        reason=record.reason,
        effective_date=None if instructions is None else instructions.effective_date,
        submitted_at=record.submitted_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        needs_attention=record.needs_attention,
        revision=record.revision,
        resume_at=record.resume_at if record.state == JobState.PAUSED else None,
        asks_at=record.asks_at,
        retries_at=record.retries_at,
        undecided=record.undecided,
        not_announced=record.not_announced,
        changed_at=record.changed_at,
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """What a job asks for all its devices.

    Attributes:
        billed: a billing service.
        plans: of ``CARRIER_RATE_PLAN`` and ``CUSTOMER_RATE_PLAN`` those that are asked for; None: the instructions
            cannot be read, and each work order's steps tell it.
        customer_rate_plan: code; "" where none is asked for.
    """

    billed: bool
    plans: tuple[Step, ...] | None
    customer_rate_plan: str


def terms_of(job: JobRecord) -> Terms:
    """What the job asks for."""
    instructions = _instructions(job)
    if instructions is None:
        return Terms(billed=False, plans=None, customer_rate_plan="")
    plan = instructions.customer_rate_plan
    asked = ((Step.CARRIER_RATE_PLAN, instructions.carrier_rate_plans), (Step.CUSTOMER_RATE_PLAN, plan))
    return Terms(
        billed=instructions.billing is not None,
        plans=tuple(step for step, is_asked in asked if is_asked),
        customer_rate_plan="" if plan is None else plan.code,
    )


def work_order_detail(record: WorkOrderRecord, steps: Sequence[StepRecord], terms: Terms) -> WorkOrderDetail:
    """A stored work order, whole."""
    return WorkOrderDetail(
        work_order=_work_order_row(record),
        imei=record.imei or "",
        eid=record.eid or "",
        effective_date=record.effective_date,
        billing_service_id=record.billing_service_id or "",
        carrier_rate_plan=record.carrier_rate_plan or "",
        customer_rate_plan=terms.customer_rate_plan,
        proofs=proofs_of(record, steps, terms),
        steps=tuple(
            StepRow(
                step=Step(step.step),
                state=StepState(step.state),
                attempts=step.attempts,
                reference=step.reference or "",
                billing_id=step.billing_id or "",
                http_status=step.http_status,
                answer=step.answer or "",
                intent_at=step.intent_at,
                finished_at=step.finished_at,
            )
            for step in sorted(steps, key=lambda step: _STEP_ORDER[step.step])
        ),
        billing_answer=record.billing_answer or "",
    )


def proofs_of(record: WorkOrderRecord, steps: Sequence[StepRecord], terms: Terms) -> Proofs:
    """The seven proofs of a stored work order.

    One that was rejected has no billing action and no plan of its own: what the job asks for was asked for it too.
    """
    action = BillingAction(record.billing_action) if record.billing_action else None
    if action is None and terms.billed:
        action = BillingAction.CREATE
    states = {Step(step.step): StepState(step.state) for step in steps}
    plans = terms.plans
    if plans is None:
        plans = tuple(step for step in (Step.CARRIER_RATE_PLAN, Step.CUSTOMER_RATE_PLAN) if step in states)
    return proofs(
        WorkOrderFacts(
            state=WorkOrderState(record.state),
            found=record.device_id is not None and record.error_code not in causes.NOT_TO_BE_WORKED_ON,
            permitted=record.error_code not in causes.NOT_PERMITTED,
            billing_action=action,
            plans_asked=plans,
            steps=states,
        )
    )


def _notification_row(event: outbox.EventOfJob) -> NotificationRow:
    return NotificationRow(
        state=event.state,
        run_no=event.run_no,
        attempts=event.attempts,
        last_error=event.last_error or "",
        due_at=event.next_attempt_at if event.state == "pending" else None,
        sent_at=event.sent_at,
    )


def device_work_order_row(record: browse_jobs.DeviceWorkOrderRecord) -> DeviceWorkOrderRow:
    """A work order of a device as it is shown among those of its other jobs."""
    return DeviceWorkOrderRow(
        tracking_number=record.tracking_number,
        line=record.line,
        state=WorkOrderState(record.state),
        customer=record.customer,
        action=_action(_instructions(record)),
        operator=record.operator_login,
        error=_problem(record),
        submitted_at=record.submitted_at,
        completed_at=record.completed_at,
    )


def _work_order_row(record: WorkOrderRecord) -> WorkOrderRow:
    return WorkOrderRow(
        line=record.line,
        asked_for=record.asked_for,
        iccid=record.iccid,
        msisdn=record.msisdn or "",
        service_provider=record.service_provider or "",
        state=WorkOrderState(record.state),
        error=_problem(record),
        attempts=record.attempts,
        started_at=record.started_at,
        completed_at=record.completed_at,
        due_at=record.check_at if record.state == WorkOrderState.OUTCOME_UNKNOWN else record.next_attempt_at,
    )


def _problem(record: WorkOrderRecord | browse_jobs.DeviceWorkOrderRecord) -> Problem | None:
    if record.error_code is None:
        return None
    return Problem(
        record.error_code,
        record.error_message or "",
        record.what_to_do or "",
        ErrorKind(record.error_kind) if record.error_kind else ErrorKind.PERMANENT,
    )


def _instructions(record: JobRecord | browse_jobs.DeviceWorkOrderRecord) -> Instructions | None:
    """What the job is to do; None: it cannot be read. Such a job is shown too, so that it can be cancelled."""
    try:
        return Instructions.from_document(record.instructions)
    except ValueError:
        return None


def _action(instructions: Instructions | None) -> str:
    if instructions is None:
        return "Cannot be read"
    parts = ["Reassign" if instructions.reassign else "Associate"]
    parts += ["service"] if instructions.billing is not None else []
    parts += ["carrier plan"] if instructions.carrier_rate_plans else []
    parts += ["customer plan"] if instructions.customer_rate_plan is not None else []
    return " + ".join(parts)


def _options(instructions: Instructions | None) -> tuple[str, ...]:
    if instructions is None:
        return ()
    options = []
    if instructions.billing is not None:
        options.append("Create billing service")
    providers: dict[str, list[str]] = {}
    for provider, plan in instructions.carrier_rate_plans.items():
        providers.setdefault(plan.code, []).append(instructions.service_providers[provider][0])
    for code, names in providers.items():
        options.append(f"Add carrier rate plan {code} ({', '.join(names)}; recorded here, no carrier is called)")
    if instructions.customer_rate_plan is not None:
        options.append(f"Add customer rate plan {instructions.customer_rate_plan.code}")
    if instructions.reassign:
        options.append("Take devices over from other customers")
    return tuple(options)
