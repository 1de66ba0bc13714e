"""Jobs of the past: finished ones of every kind, and one that a person paused, so that its devices are in open work.

They are planned before the devices are written, since what a job did decides what its devices look like: owner, site,
plans, billing service. The rows are those that the engine would have left.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, update

from db.bulk import explicit_ids, insert_rows
from db.demo.devices import LEAST, Assignment, DeviceDraft, Ownership, instant
from db.demo.master_data import (
    MAIN_CREDENTIAL,
    SERVICE_TYPE_ID,
    CustomerDraft,
    MasterDraft,
    billing_address_id,
    billing_customer_id,
    mapping,
)
from db.demo.names import CARRIERS
from db.effects import HISTORY_COLUMNS
from db.schema import billing_service, device_history, job, job_log, outbox_event, work_order, work_order_step
from desktop_app.association.completion import Cause, RunFacts, final_state, statistics
from desktop_app.association.facts import ProviderMapping
from desktop_app.association.model import BillingAction, OwnershipAction
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState
from desktop_app.association.work_orders import BillingInstructions, Instructions, PlanInstructions

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class JobSpec(NamedTuple):
    """A job that there was.

    Attributes:
        days_ago: when it was submitted and took effect.
        customer: index among the customers.
        size: devices that succeed, if there are so many.
        carrier_plan: code; None: not asked for.
        customer_plan: whether the customer's first plan was asked for.
        failed, rejected, cancelled, queued: further devices, which ended (or stand) so.
    """

    days_ago: int
    customer: int
    size: int
    billed: bool = False
    carrier_plan: str | None = None
    customer_plan: bool = False
    failed: int = 0
    rejected: int = 0
    cancelled: int = 0
    queued: int = 0
    operator: str = "operator"
    reason: str = ""


PAST_JOBS: tuple[JobSpec, ...] = (
    JobSpec(58, 0, 310, reason="Start of contract"),
    JobSpec(52, 1, 240, billed=True, carrier_plan="IOT-1MB-POOL", customer_plan=True, reason="Roll-out, first part"),
    JobSpec(45, 2, 120, customer_plan=True, reason="Roll-out of the western pumps"),
    JobSpec(41, 0, 180, billed=True, carrier_plan="TELEMETRY-500KB", reason="Ticket 20417"),
    JobSpec(37, 13, 25, customer_plan=True),
    JobSpec(33, 14, 18, billed=True, reason="New customer"),
    JobSpec(30, 15, 12, failed=3, rejected=4, billed=True, carrier_plan="IOT-1MB-POOL", reason="Ticket 20588"),
    JobSpec(26, 1, 90, carrier_plan="LTEM-10MB", operator="limited", reason="Roll-out, second part"),
    JobSpec(21, 16, 14, reason="Ticket 20702"),
    JobSpec(17, 0, 0, failed=15, billed=True, carrier_plan="LTEM-10MB", reason="Wrong address at billing"),
    JobSpec(12, 2, 60, cancelled=36, customer_plan=True, reason="Cancelled: wrong list"),
    JobSpec(9, 17, 20, billed=True, customer_plan=True),
    JobSpec(6, 0, 130, failed=6, rejected=8, billed=True, carrier_plan="IOT-1MB-POOL", customer_plan=True,
            reason="Northern yard, trackers"),
    JobSpec(4, 1, 45, operator="limited", reason="Ticket 21044"),
    JobSpec(2, 2, 75, carrier_plan="TELEMETRY-500KB", customer_plan=True),
    JobSpec(1, 0, 0, queued=60, billed=True, carrier_plan="IOT-1MB-POOL", customer_plan=True,
            reason="Waits for the customer's go-ahead"),
)  # fmt: skip

#: Of devices that are taken for a customer's jobs, at most this share of those it owns.
_MOST_OF_OWNED = 3
_BAD_ADDRESS = "The address on file is not valid for this customer."


@dataclass(slots=True)
class PlannedLine:
    """One work order: which device, and how it ended. ``at``: when; for a queued one when it was submitted."""

    work_order_id: int
    line: int
    position: int
    state: WorkOrderState
    at: datetime


@dataclass(slots=True)
class PlannedJob:
    """One job with its work orders."""

    job_id: int
    tracking_number: str
    spec: JobSpec
    customer: CustomerDraft
    instructions: Instructions
    carrier_plan_ids: dict[str, int]
    submitted_at: datetime
    lines: list[PlannedLine] = field(default_factory=list)

    @property
    def site_id(self) -> int:
        return self.instructions.site_id

    @property
    def customer_plan_id(self) -> int | None:
        plan = self.instructions.customer_rate_plan
        return None if plan is None else plan.rate_plan_id

    @property
    def finished_at(self) -> datetime:
        return max((line.at for line in self.lines), default=self.submitted_at) + timedelta(seconds=1)

    def reference(self, line: PlannedLine) -> str:
        return self.instructions.reference(self.tracking_number, line.line)


# --- the plan --------------------------------------------------------------------------------------------------------


class _Pool:
    """Devices that several jobs take from; where there are few, each job still gets its share."""

    def __init__(self, positions: Sequence[int]) -> None:
        self._positions = deque(positions)
        self.users = 0

    def take(self, count: int) -> list[int]:
        if not count:
            return []
        share = -(-len(self._positions) // max(1, self.users))
        self.users -= 1
        return [self._positions.popleft() for _ in range(min(count, share))]


class _Pools:
    """Where the devices of each job come from."""

    def __init__(self, draft: DeviceDraft) -> None:
        owned: dict[tuple[str, int], list[int]] = defaultdict(list)
        for position, kind in enumerate(draft.kinds):
            if kind.owned:
                owned[kind.name, draft.owners[position]].append(position)
        self._owned = {key: _Pool(positions[: len(positions) // _MOST_OF_OWNED]) for key, positions in owned.items()}
        ready = draft.of_kind("ready")
        first, second = max(LEAST, len(ready) // 50), len(ready) // 8
        self._waiting, self._not_done = _Pool(ready[:first]), _Pool(ready[first:second])
        self._blocked = _Pool(draft.of_kind("retired"))
        for spec in PAST_JOBS:
            for pool, count, _state in self.of(spec):
                pool.users += bool(count)

    def of(self, spec: JobSpec) -> tuple[tuple[_Pool, int, WorkOrderState], ...]:
        """Pool, how many devices are wanted from it, and how they end."""
        owned = self._owned.get(("owned_billed" if spec.billed else "owned", spec.customer), _Pool(()))
        return (
            (owned, spec.size, WorkOrderState.SUCCEEDED),
            (self._not_done, spec.failed, WorkOrderState.FAILED),
            (self._not_done, spec.cancelled, WorkOrderState.CANCELLED),
            (self._waiting, spec.queued, WorkOrderState.QUEUED),
            (self._blocked, spec.rejected, WorkOrderState.REJECTED),
        )


def plan_jobs(rng: Random, master: MasterDraft, draft: DeviceDraft, today: date) -> list[PlannedJob]:
    """Chooses devices for every job of the past, and notes in ``draft`` what became of them."""
    pools = _Pools(draft)
    jobs: list[PlannedJob] = []
    work_order_id = 0
    for spec in PAST_JOBS:
        planned = _planned(rng, master, spec, len(jobs) + 1, today)
        taken = [(position, state) for pool, count, state in pools.of(spec) for position in pool.take(count)]
        if not taken:
            continue  # so few devices that nothing is left for it
        rng.shuffle(taken)
        for line, (position, state) in enumerate(taken, 1):
            work_order_id += 1
            at = planned.submitted_at + timedelta(seconds=2 + line * 0.37)
            planned.lines.append(PlannedLine(work_order_id, line, position, state, at))
            if state is WorkOrderState.SUCCEEDED:
                draft.assignments[position] = Assignment(
                    work_order_id, planned.submitted_at.date(), at, planned.site_id, planned.carrier_plan_ids,
                    planned.customer_plan_id, planned.reference(planned.lines[-1]) if spec.billed else None,
                )  # fmt: skip
        jobs.append(planned)
    return jobs


def _planned(rng: Random, master: MasterDraft, spec: JobSpec, job_id: int, today: date) -> PlannedJob:
    customer = master.customers[spec.customer]
    day = today.toordinal() - spec.days_ago
    at_billing = mapping()["plans"]
    carrier_plans = {
        carrier.code: _plan(plan_id, plan, at_billing.get(f"carrier:{carrier.code}:{plan.code}"), spec.billed)
        for carrier in CARRIERS
        for plan_id, plan in master.carrier_plans[carrier.code]
        if plan.code == spec.carrier_plan
    }
    customer_plan_id = customer.plan_ids[0]
    customer_plan = master.customer_plans[customer_plan_id]
    instructions = Instructions(
        customer_id=customer.customer_id,
        customer_name=customer.name,
        account_number=customer.account_number,
        site_id=customer.site_ids[0],
        site_code=customer.site_codes[0],
        site_name=customer.site_names[0],
        billing=_billing(master, customer) if spec.billed else None,
        service_providers={master.provider_ids[carrier.code]: (carrier.code, carrier.name) for carrier in CARRIERS},
        carrier_rate_plans={master.provider_ids[code]: plan for code, plan in carrier_plans.items()},
        customer_rate_plan=_plan(
            customer_plan_id, customer_plan, at_billing.get(f"customer:{customer_plan.code}"), spec.billed
        )
        if spec.customer_plan
        else None,
        service_provider=None,
        effective_date=date.fromordinal(day),
        reassign=False,
        reason=spec.reason,
        operator_login=spec.operator,
        acting_login=spec.operator,
        reference_mark=f"{rng.getrandbits(32):08x}",
    )
    return PlannedJob(
        job_id=job_id,
        tracking_number=f"AJ-{date.fromordinal(day):%Y%m%d}-{1 + spec.customer % 7:04}",
        spec=spec,
        customer=customer,
        instructions=instructions,
        carrier_plan_ids={code: plan.rate_plan_id for code, plan in carrier_plans.items()},
        submitted_at=instant(day, 28_800 + rng.randrange(28_800)),
    )


def _plan(plan_id: int, plan: Any, at_billing: dict[str, str] | None, billed: bool) -> PlanInstructions:
    ids = at_billing if billed and at_billing else {}
    return PlanInstructions(
        plan_id, plan.code, plan.name, ids.get("product_id"), ids.get("package_id"), plan.data_limit_bytes,
        plan.data_pool,
    )  # fmt: skip


def _billing(master: MasterDraft, customer: CustomerDraft) -> BillingInstructions:
    return BillingInstructions(
        billing_credential_id=customer.credential_id or master.credential_ids[MAIN_CREDENTIAL],
        credential_code=MAIN_CREDENTIAL,
        billing_customer_id=billing_customer_id(customer.customer_id),
        address_id=billing_address_id(customer.site_ids[0]),
        providers={
            master.provider_ids[carrier.code]: ProviderMapping(str(carrier.billing_provider_id), str(SERVICE_TYPE_ID))
            for carrier in CARRIERS
        },
        description=f"Connected device, {customer.site_names[0]}",
    )


# --- jobs and work orders --------------------------------------------------------------------------------------------


def write_jobs(uow: UnitOfWork, master: MasterDraft, draft: DeviceDraft, jobs: Sequence[PlannedJob]) -> None:
    """Writes jobs and work orders; the work orders' services come later, see :func:`write_record`."""
    columns = (
        "id", "tracking_number", "submission_key", "state", "pause_cause", "pause_reason", "customer_id", "site_id",
        "account_number", "billing_credential_id", "customer_rate_plan_id", "data_limit_bytes", "data_pool",
        "operator_id", "operator_login", "reason", "fingerprint", "instructions", "cancel_requested", "total",
        *(state.value for state in WorkOrderState), "statistics", "submitted_at", "started_at", "finished_at",
        "changed_at",
    )  # fmt: skip
    with explicit_ids(uow, job):
        insert_rows(uow, job, columns, [_job_row(master, one) for one in jobs])
    of_work_order = (
        "id", "job_id", "line", "asked_for", "device_id", "state", "service_provider_id", "iccid", "imei", "msisdn",
        "eid", "effective_date", "ownership_action", "carrier_rate_plan_id", "billing_action", "reference", "before",
        "lease_epoch", "attempts", "error_kind", "error_code", "error_message", "what_to_do", "billing_answer",
        "started_at", "completed_at", "changed_at",
    )  # fmt: skip
    rows = (_work_order_row(master, draft, one, line) for one in jobs for line in one.lines)
    with explicit_ids(uow, work_order):
        insert_rows(uow, work_order, of_work_order, rows)


def _counts(one: PlannedJob) -> Counter[WorkOrderState]:
    return Counter(line.state for line in one.lines)


def _job_row(master: MasterDraft, one: PlannedJob) -> tuple[Any, ...]:
    counts = _counts(one)
    waits = counts[WorkOrderState.QUEUED] > 0
    cancelled = counts[WorkOrderState.CANCELLED] > 0
    plan, billing, spec = one.instructions.customer_rate_plan, one.instructions.billing, one.spec
    return (
        one.job_id, one.tracking_number, f"demo-{one.tracking_number}",
        JobState.PAUSED if waits else final_state(counts, cancel_requested=cancelled),
        PauseCause.OPERATOR if waits else None, f"Paused by {spec.operator}." if waits else None,
        one.customer.customer_id, one.site_id, one.customer.account_number,
        None if billing is None else billing.billing_credential_id, one.customer_plan_id,
        None if plan is None else plan.data_limit_bytes, None if plan is None else plan.data_pool,
        master.operator_ids[spec.operator], spec.operator, spec.reason, f"demo-{one.job_id}",
        one.instructions.to_document(), cancelled, len(one.lines), *(counts[state] for state in WorkOrderState),
        None if waits else _statistics(one), one.submitted_at,
        None if waits else one.submitted_at + timedelta(seconds=1), None if waits else one.finished_at,
        one.submitted_at if waits else one.finished_at,
    )  # fmt: skip


class _Error(NamedTuple):
    kind: str | None
    code: str
    message: str
    what_to_do: str


def _error(one: PlannedJob, line: PlannedLine, iccid: str) -> _Error | None:
    match line.state:
        case WorkOrderState.FAILED:
            return _Error(
                "permanent",
                "BILLING_REFUSED",
                f"Billing refused the service for device {iccid}: {_BAD_ADDRESS}",
                "Correct what billing names (at billing, or in the credential's mapping), then retry the job.",
            )
        case WorkOrderState.REJECTED:
            return _Error(
                "permanent",
                "STATUS_NOT_ASSIGNABLE",
                "Its status is retired.",
                "Take it out of the list; only inventory, test ready, active and suspended devices can be associated.",
            )
        case WorkOrderState.CANCELLED:
            return _Error(
                None, "CANCELLED", f"Cancelled by {one.spec.operator} before it was done.", "Retry the job to do it."
            )
        case _:
            return None


def _statistics(one: PlannedJob) -> dict[str, object]:
    counts = _counts(one)
    causes = Counter(
        (line.state, error.code, error.what_to_do) for line in one.lines if (error := _error(one, line, "")) is not None
    )
    steps: Counter[tuple[Step, StepState]] = Counter()
    for line in one.lines:
        steps.update(_step_states(one, line).items())
    billed = counts[WorkOrderState.SUCCEEDED] if one.instructions.billing is not None else 0
    return statistics(
        RunFacts(
            run_no=1,
            counts=counts,
            steps=steps,
            causes=[Cause(*cause, count=count) for cause, count in causes.items()],
            billing_calls=billed + counts[WorkOrderState.FAILED],
            submitted_at=one.submitted_at,
            started_at=one.submitted_at + timedelta(seconds=1),
            finished_at=one.finished_at,
        )
    )


def _work_order_row(master: MasterDraft, draft: DeviceDraft, one: PlannedJob, line: PlannedLine) -> tuple[Any, ...]:
    position, state = line.position, line.state
    iccid, carrier = draft.iccids[position], CARRIERS[draft.carriers[position]].code
    error = _error(one, line, iccid) or _Error(None, "", "", "")
    rejected, worked_on = state is WorkOrderState.REJECTED, state in {WorkOrderState.SUCCEEDED, WorkOrderState.FAILED}
    billed = one.instructions.billing is not None
    return (
        line.work_order_id, one.job_id, line.line, iccid, position + 1, state, master.provider_ids[carrier], iccid,
        draft.imeis[position] or None, draft.msisdns[position] or None, draft.eids[position] or None,
        one.instructions.effective_date, None if rejected else OwnershipAction.ASSIGN,
        None if rejected else one.carrier_plan_ids.get(carrier),
        None if rejected else BillingAction.CREATE if billed else BillingAction.NONE,
        one.reference(line) if billed and not rejected else None,
        None if rejected else {"carrier_rate_plan_id": None, "ownership": None},
        int(worked_on), int(worked_on), error.kind, error.code or None, error.message or None,
        error.what_to_do or None, _BAD_ADDRESS if state is WorkOrderState.FAILED else None,
        line.at - timedelta(seconds=0.4) if worked_on else None,
        line.at if worked_on or state is WorkOrderState.CANCELLED else None, line.at,
    )  # fmt: skip


# --- steps, history, log ---------------------------------------------------------------------------------------------


def write_record(
    uow: UnitOfWork, draft: DeviceDraft, jobs: Sequence[PlannedJob], owned: Sequence[Ownership], master: MasterDraft
) -> None:
    """Writes what the jobs left behind, and what history knows of the time before them."""
    of_work_order = select(billing_service.c.id).where(billing_service.c.work_order_id == work_order.c.id)
    uow.connection.execute(
        update(work_order)
        .where(work_order.c.state == WorkOrderState.SUCCEEDED, work_order.c.billing_action == BillingAction.CREATE)
        .values(billing_service_id=of_work_order.scalar_subquery())
    )
    columns = (
        "work_order_id", "step", "state", "reference", "attempts", "lease_epoch", "intent_at", "finished_at",
        "http_status", "billing_id", "answer",
    )  # fmt: skip
    insert_rows(uow, work_order_step, columns, _step_rows(draft, jobs))
    rows = [*_history_before(master, owned), *_history_of_jobs(draft, jobs)]
    rows.sort(key=lambda row: row[4])  # newer rows have higher numbers, as in life
    insert_rows(uow, device_history, HISTORY_COLUMNS, rows)
    insert_rows(uow, job_log, ("job_id", "run_no", "at", "level", "event", "message", "data"), _log_rows(jobs))
    of_event = ("event_id", "job_id", "run_no", "payload", "state", "attempts", "created_at", "sent_at")
    events = (
        (
            f"{one.tracking_number}-1", one.job_id, 1, {"tracking_number": one.tracking_number, **_statistics(one)},
            "sent", 1, one.finished_at, one.finished_at + timedelta(seconds=1),
        )
        for one in jobs
        if not one.spec.queued
    )  # fmt: skip
    insert_rows(uow, outbox_event, of_event, events)


def _step_states(one: PlannedJob, line: PlannedLine) -> dict[Step, StepState]:
    if line.state is WorkOrderState.FAILED:
        return {Step.BILLING_SERVICE: StepState.REFUSED}
    if line.state is not WorkOrderState.SUCCEEDED:
        return {}
    carrier, plan = bool(one.carrier_plan_ids), one.instructions.customer_rate_plan is not None
    billed = one.instructions.billing is not None
    wanted = {
        Step.BILLING_SERVICE: billed,
        Step.CARRIER_PLAN_PRODUCT: billed and carrier,
        Step.CUSTOMER_PLAN_PRODUCT: billed and plan,
        Step.OWNERSHIP: True,
        Step.CARRIER_RATE_PLAN: carrier,
        Step.CUSTOMER_RATE_PLAN: plan,
        Step.HISTORY: True,
    }
    return {step: StepState.DONE for step, is_wanted in wanted.items() if is_wanted}


_ENDINGS = {Step.BILLING_SERVICE: "", Step.CARRIER_PLAN_PRODUCT: "-carrier", Step.CUSTOMER_PLAN_PRODUCT: "-customer"}
_FIRST_PRODUCT_ON_SERVICE = 30_000


def _step_rows(draft: DeviceDraft, jobs: Sequence[PlannedJob]) -> Iterator[tuple[Any, ...]]:
    product = _FIRST_PRODUCT_ON_SERVICE
    for one in jobs:
        for line in one.lines:
            for number, (step, state) in enumerate(_step_states(one, line).items()):
                if step not in _ENDINGS:
                    yield line.work_order_id, step, state, None, 1, 1, None, line.at, None, None, None
                    continue
                refused = state is StepState.REFUSED
                if step is Step.BILLING_SERVICE:
                    billing_id = None if refused else draft.service_ids[line.position]
                else:
                    product += 1
                    billing_id = str(product)
                yield (
                    line.work_order_id, step, state, f"{one.reference(line)}{_ENDINGS[step]}", 1, 1,
                    line.at - timedelta(seconds=0.3 - number * 0.1), line.at - timedelta(seconds=0.2 - number * 0.1),
                    400 if refused else 201, billing_id, _BAD_ADDRESS if refused else None,
                )  # fmt: skip


def _history_of_jobs(draft: DeviceDraft, jobs: Sequence[PlannedJob]) -> Iterator[tuple[Any, ...]]:
    for one in jobs:
        spec, plan = one.spec, one.instructions.customer_rate_plan
        for line in one.lines:
            events: list[tuple[str, str]] = []
            if line.state is WorkOrderState.FAILED:
                error = _error(one, line, draft.iccids[line.position])
                events.append(("failed", "" if error is None else error.message))
            elif line.state is WorkOrderState.SUCCEEDED:
                events.append(("assigned", f"Site {one.instructions.site_name}"))
                if spec.billed:
                    service_id = draft.service_ids[line.position]
                    events.append(("billing_service_created", f"Billing service {service_id}"))
                if spec.carrier_plan:
                    events.append(("carrier_plan_changed", f"Carrier rate plan {spec.carrier_plan}"))
                if plan is not None:
                    events.append(("customer_plan_changed", f"Customer rate plan {plan.code}"))
            for event, detail in events:
                yield (
                    line.position + 1, one.customer.customer_id, one.job_id, line.work_order_id, line.at, event, detail,
                    one.instructions.effective_date, spec.operator, spec.reason, True,
                )  # fmt: skip


def _history_before(master: MasterDraft, owned: Sequence[Ownership]) -> Iterator[tuple[Any, ...]]:
    """Every tenth owner is older than this program and was taken over with its history."""
    for one in owned:
        if one.work_order_id is not None or (one.state != "ended" and one.position % 10):
            continue
        customer_id = master.customers[one.owner].customer_id
        facts = [(one.since, "scheduled" if one.state == "scheduled" else "assigned")]
        if one.until is not None:
            facts.append((one.until, "ended"))
        for day, event in facts:
            at = instant(day - 50 if event == "scheduled" else day)
            yield (
                one.position + 1, customer_id, None, None, at, event, "", date.fromordinal(day), "migration",
                "Taken over from the system before", True,
            )  # fmt: skip


def _log_rows(jobs: Sequence[PlannedJob]) -> Iterator[tuple[Any, ...]]:
    for one in jobs:
        counts, by = _counts(one), one.spec.operator
        rejected = counts[WorkOrderState.REJECTED]
        submitted = len(one.lines) - rejected
        yield (
            one.job_id, 1, one.submitted_at, "info", "submitted",
            f"{by} submitted {submitted:,} devices; {rejected:,} were rejected by the check.",
            {"submitted": submitted, "rejected": rejected},
        )  # fmt: skip
        if one.spec.queued:
            yield one.job_id, 1, one.submitted_at, "info", "paused", f"Paused by {by}.", None
            continue
        if one.spec.cancelled:
            not_begun = counts[WorkOrderState.CANCELLED]
            message = (
                f"Cancelled by {by}: {not_begun:,} devices were not begun; calls in flight finish, what was done stays "
                f"done."
            )
            yield one.job_id, 1, one.finished_at - timedelta(seconds=1), "info", "cancel_requested", message, None
        yield (
            one.job_id, 1, one.finished_at, "info", "finished",
            f"{counts[WorkOrderState.SUCCEEDED]:,} of {len(one.lines):,} devices succeeded.", _statistics(one),
        )  # fmt: skip
