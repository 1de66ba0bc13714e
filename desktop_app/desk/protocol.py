"""The desk's protocols: one desk, many doors.

A desk is synchronous, thread-safe and cancellable: any thread may call any method, and a long call asks ``cancelled``
between its parts and raises :class:`~desktop_app.association.errors.Cancelled`. It hands out frozen rows, never
sessions, queries or callbacks into the business. Rights are checked behind it. Every method may raise
:class:`~desktop_app.association.errors.EnvironmentFault` (database or billing unreachable) and
:class:`~desktop_app.association.errors.RequestRefused` (bad input, no right); both carry code, message and what to do.
Whether it works in this process or over HTTP cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from desktop_app.association.errors import Problem
from desktop_app.association.model import (
    AssociationRequest,
    CarrierPlanChoice,
    CheckReport,
    DeviceFilter,
    DeviceSelection,
    DeviceStatus,
    PlanKind,
    Proofs,
    Reread,
    Submitted,
)
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState

#: Asked between the parts of a long call; True: raise ``Cancelled``.
IsCancelled = Callable[[], bool]


def never() -> bool:
    """An :data:`IsCancelled` that never cancels."""
    return False


# --- devices ---------------------------------------------------------------------------------------------------------


class DeviceColumn(StrEnum):
    """What a list of devices can be sorted by."""

    ICCID = "iccid"
    IMEI = "imei"
    MSISDN = "msisdn"
    EID = "eid"
    NAME = "name"
    STATUS = "status"
    SERVICE_PROVIDER = "service_provider"
    CARRIER_RATE_PLAN = "carrier_rate_plan"
    CUSTOMER = "customer"
    SITE = "site"
    ACTIVATED = "activated"


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device in a list. Texts are "" where nothing is known."""

    device_id: int
    iccid: str
    imei: str
    msisdn: str
    eid: str
    name: str
    status: DeviceStatus
    service_provider: str
    carrier_rate_plan: str
    customer: str
    site: str
    activated_on: date | None
    is_deleted: bool = False
    is_archived: bool = False
    carrier_rate_plan_name: str = ""  #: for people; ``carrier_rate_plan`` is its code


@dataclass(frozen=True, slots=True)
class DeviceFacets:
    """How many devices each chip of the filter would show, within the filter's text (and its other chips).

    Attributes:
        total: all devices that may be seen, unfiltered (deleted and archived ones not counted).
        matching: what the whole filter matches.
        by_status: for each status.
        by_service_provider: for each service provider's code.
        without_customer: not owned.
    """

    total: int
    matching: int
    by_status: Mapping[DeviceStatus, int]
    by_service_provider: Mapping[str, int]
    without_customer: int


@dataclass(frozen=True, slots=True)
class FirstDevices:
    """The beginning of a list of devices.

    Attributes:
        packed: packed handles, in order: all that the filter matches, or its first ones only.
        rows: of the first handles; a device that is gone is left out.
        is_all: whether ``packed`` holds all of them.
    """

    packed: bytes
    rows: tuple[DeviceRow, ...]
    is_all: bool


@dataclass(frozen=True, slots=True)
class LocatedLine:
    """What became of one asked line.

    Attributes:
        line: from 1.
        asked_for: as asked.
        problem: None where one device was found; else code ``UNREADABLE``, ``NOT_FOUND``, ``AMBIGUOUS``, ``DUPLICATE``.
        device_id: the device found (also for a duplicate).
        candidates: for ``AMBIGUOUS``: service providers' codes on which it was found.
    """

    line: int
    asked_for: str
    problem: Problem | None = None
    device_id: int | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Located:
    """What became of pasted or imported lines.

    Attributes:
        asked: number of lines.
        packed: packed handles of the devices found, each once, in the lines' order.
        lines: only the lines with a problem.
    """

    asked: int
    packed: bytes
    lines: tuple[LocatedLine, ...]

    def count(self, code: str) -> int:
        """How many lines have the problem of this code."""
        return sum(1 for line in self.lines if line.problem is not None and line.problem.code == code)


@dataclass(frozen=True, slots=True)
class OwnershipRow:
    """One ownership of a device, past, present or to come."""

    state: str
    customer: str
    account_number: str
    site: str
    effective_from: date
    effective_to: date | None
    customer_rate_plan: str
    data_limit_bytes: int | None
    data_pool: str
    customer_rate_plan_name: str = ""  #: for people; ``customer_rate_plan`` is its code


@dataclass(frozen=True, slots=True)
class BillingServiceRow:
    """One billing service of a device."""

    service_id: str
    customer: str
    number: str
    is_active: bool
    effective_date: date
    ended_on: date | None
    credential: str
    reference: str


@dataclass(frozen=True, slots=True)
class ScheduledChangeRow:
    """One plan change that is to come, was applied or was cancelled."""

    kind: PlanKind
    rate_plan: str
    due_on: date
    state: str
    tracking_number: str
    rate_plan_name: str = ""  #: for people; ``rate_plan`` is its code


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One fact of a device's history."""

    history_id: int
    at: datetime
    iccid: str
    event: str
    detail: str
    customer: str
    tracking_number: str
    operator: str
    reason: str
    effective_date: date | None
    service_provider: str = ""
    is_cross_provider: bool = False  #: happened to the same SIM on another service provider
    told: str = ""  #: ``detail`` for people: a rate plan has its name there, as far as it is known; "": as ``detail``


@dataclass(frozen=True, slots=True)
class DeviceWorkOrderRow:
    """One work order of a device, whatever its job."""

    tracking_number: str
    line: int
    state: WorkOrderState
    customer: str
    action: str  #: of the job, such as "Associate + service"
    operator: str
    error: Problem | None
    submitted_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """Everything that is known of one device. ``work_orders``: of all jobs, the newest first."""

    device: DeviceRow
    ownerships: tuple[OwnershipRow, ...]
    billing_services: tuple[BillingServiceRow, ...]
    scheduled_changes: tuple[ScheduledChangeRow, ...]
    history: tuple[HistoryRow, ...]
    open_tracking_number: str = ""
    work_orders: tuple[DeviceWorkOrderRow, ...] = ()


class DevicesDesk(Protocol):
    """Finding devices."""

    def device_ids(
        self, filter: DeviceFilter, sort: DeviceColumn, descending: bool = False, cancelled: IsCancelled = never
    ) -> bytes:
        """Packed handles of all devices that the filter matches, in order."""

    def first_devices(
        self,
        filter: DeviceFilter,
        sort: DeviceColumn,
        descending: bool = False,
        limit: int = 200,
        cancelled: IsCancelled = never,
    ) -> FirstDevices:
        """What a list begins with, as soon as that is known, with its rows.

        Where all handles are known as soon as the first ones (few match, they are searched in memory, or the order
        takes reading all of them) the answer holds all; else ``limit`` of them, and :meth:`device_ids` is to be asked
        for the rest. Devices may change between the two: then that list need not begin with these.

        Args:
            limit: of the rows, and of the handles where these are not all; at most 1,000.
        """

    def prepare_search(self, cancelled: IsCancelled = never) -> None:
        """Makes searching, filtering and counting quick, which takes seconds where there are many devices; they work
        without it. Called again, it does only what has become necessary."""

    def device_rows(self, packed: bytes) -> tuple[DeviceRow, ...]:
        """The rows of these handles, in their order; a handle that is gone is left out. At most 1,000 at a time."""

    def device_facets(self, filter: DeviceFilter, cancelled: IsCancelled = never) -> DeviceFacets:
        """Counts for the filter's chips."""

    def locate(
        self, lines: Sequence[str], service_provider: str | None = None, cancelled: IsCancelled = never
    ) -> Located:
        """Finds devices by pasted or imported lines. Bad lines are answered, not raised."""

    def read_devices_file(self, path: Path) -> tuple[str, ...]:
        """The identifiers in a text, CSV or .xlsx file, one a line; the result CSV can be fed back."""

    def device(self, identifier: str, service_provider: str | None = None) -> DeviceRecord:
        """One device by any identifier.

        Raises:
            NotFound: unknown, or on several service providers and none was named.
        """


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomerRow:
    """One customer in a search box, with the facts that are shown under it."""

    customer_id: int
    account_number: str
    name: str
    tag: str
    is_active: bool
    devices: int
    contract_until: date | None
    default_site: str | None  #: code
    default_customer_rate_plan: str | None  #: code


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site of a customer."""

    code: str
    name: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class ServiceProviderRow:
    """One service provider."""

    code: str
    name: str
    devices: int


@dataclass(frozen=True, slots=True)
class RatePlanRow:
    """One rate plan."""

    kind: PlanKind
    code: str
    name: str
    service_provider: str  #: code; "" for a customer rate plan
    data_limit_bytes: int | None
    data_pool: str


class RequestsDesk(Protocol):
    """From the request to the job."""

    def customers(self, text: str, limit: int = 50) -> tuple[CustomerRow, ...]:
        """Customers whose name, account number or tag holds the text, best first; only those that may be seen."""

    def sites(self, customer: int) -> tuple[SiteRow, ...]:
        """The customer's active sites, the default first."""

    def service_providers(self) -> tuple[ServiceProviderRow, ...]:
        """All active service providers."""

    def providers_of(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Mapping[str, int]:
        """How many devices of the selection live on each service provider (by code)."""

    def rate_plans(
        self, kind: PlanKind, service_provider: str | None = None, customer: int | None = None
    ) -> tuple[RatePlanRow, ...]:
        """Active plans that fit the service provider, or the customer."""

    def check(self, request: AssociationRequest, cancelled: IsCancelled = never) -> CheckReport:
        """Every rule on every device, all findings at once; changes nothing.

        Raises:
            RequestRefused: a line that cannot be read, an unknown customer, plan or site.
        """

    def export_check(self, report: CheckReport, path: Path) -> int:
        """Writes the findings of a check as CSV (UTF-8 with BOM), one a row, whole or not at all.

        Columns: ``line, asked_for, iccid, code, severity, message, what_to_do``; cells that a spreadsheet would run as
        a formula are defused. Returns the number of findings.

        Raises:
            EnvironmentFault: the file cannot be written.
        """

    def submit(self, request: AssociationRequest, fingerprint: str, submission_key: str) -> Submitted:
        """Re-checks and registers the job, all or nothing.

        Args:
            fingerprint: of the check whose count was shown.
            submission_key: made by the caller, once for each intention; the same key again returns the first job.

        Raises:
            RequestRefused: code ``CHECK_CHANGED`` where the answer of the check is another one now.
        """


# --- jobs ------------------------------------------------------------------------------------------------------------


#: What changes of a job so long after its end is not that it ended.
LONG_AFTER = timedelta(minutes=1)


class JobFilter(StrEnum):
    """Which jobs a list shows."""

    ALL = "all"
    ACTIVE = "active"  #: not final
    ATTENTION = "attention"  #: failed devices, unknown outcomes that wait for a person, paused by itself, not announced
    FINISHED = "finished"  #: final


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The counters of a job; they equal its work orders."""

    total: int = 0
    rejected: int = 0
    queued: int = 0
    running: int = 0
    waiting_retry: int = 0
    outcome_unknown: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def open(self) -> int:
        """Not final."""
        return self.queued + self.running + self.waiting_retry + self.outcome_unknown

    @property
    def done(self) -> int:
        """Final."""
        return self.total - self.open


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job in a list. Its instants but the first are those of its present, or last, run."""

    tracking_number: str
    state: JobState
    pause_cause: PauseCause | None
    pause_reason: str
    run_no: int
    customer: str
    account_number: str
    action: str  #: such as "Associate + service + carrier plan"
    counts: JobCounts
    operator: str
    reason: str
    effective_date: date | None  #: None: each device's activation date
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    needs_attention: bool
    revision: int
    resume_at: datetime | None = None  #: when a job that paused by itself looks whether it can go on
    asks_at: datetime | None = None  #: when billing is asked next about an unknown outcome
    retries_at: datetime | None = None  #: when the next device that waits is tried again
    undecided: int = 0  #: unknown outcomes that a person must decide
    not_announced: bool = False  #: nobody took the notification of its last end, and it is not sent any more
    changed_at: datetime | None = None  #: last; by the same clock as the other instants

    @property
    def ended_long_ago(self) -> bool:
        """It was over long before its last change, which told of something else, such as its notification."""
        finished, changed = self.finished_at, self.changed_at
        return finished is not None and changed is not None and changed - finished > LONG_AFTER


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Work orders of a job that failed, were rejected or wait, by cause."""

    code: str
    title: str  #: what happened, without the count
    what_to_do: str
    count: int
    state: WorkOrderState
    retryable: bool  #: a retry may help without a change of the data
    undecided: int = 0  #: of unknown outcomes: those that a person must decide
    with_device: int = 0  #: those of which a device was found, which can be asked for again


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """The notification of a job's end to the other system.

    Attributes:
        state: ``pending``, ``sent`` or ``dead``: nobody took it, and it is not sent any more.
        last_error: why it was not taken; "" where it was.
        due_at: when it is sent next.
    """

    state: str
    run_no: int
    attempts: int
    last_error: str
    due_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many devices of a job reached their end within one slot of time."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Outcomes over time, of a job's present or last run.

    Attributes:
        begun_at: when the first slot begins; None: nothing was done yet.
        slot_s: seconds of a slot.
        slots: by time, without a gap.
    """

    begun_at: datetime | None = None
    slot_s: int = 60
    slots: tuple[Outcomes, ...] = ()


@dataclass(frozen=True, slots=True)
class JobLogRow:
    """One line of a job's log."""

    at: datetime
    run_no: int
    level: str
    event: str
    message: str


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job, whole, but for its work orders."""

    job: JobRow
    site: str
    options: tuple[str, ...]  #: in words, such as "Create billing service"
    causes: tuple[CauseGroup, ...]
    log: tuple[JobLogRow, ...]
    statistics: Mapping[str, object]
    notification: NotificationRow | None = None  #: of its last run that ended


@dataclass(frozen=True, slots=True)
class WorkOrderRow:
    """One device of a job in a list."""

    line: int
    asked_for: str
    iccid: str
    msisdn: str
    service_provider: str
    state: WorkOrderState
    error: Problem | None
    attempts: int
    started_at: datetime | None
    completed_at: datetime | None
    due_at: datetime | None  #: when it is tried or asked again


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a work order."""

    step: Step
    state: StepState
    attempts: int
    reference: str
    billing_id: str
    http_status: int | None
    answer: str
    intent_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkOrderDetail:
    """One device of a job, whole."""

    work_order: WorkOrderRow
    imei: str
    eid: str
    effective_date: date | None
    billing_service_id: str
    carrier_rate_plan: str
    customer_rate_plan: str
    proofs: Proofs
    steps: tuple[StepRow, ...]
    billing_answer: str


@dataclass(frozen=True, slots=True)
class Retried:
    """Answer of a retry: devices queued again, and devices that the check still blocks."""

    tracking_number: str
    requeued: int
    still_blocked: int
    run_no: int


@dataclass(frozen=True, slots=True)
class RequestDraft:
    """What a job asked, for some of its devices: to be changed and submitted again, as a job of its own.

    Attributes:
        tracking_number: of the job.
        packed: packed handles of the devices, by line.
        left_out: lines of which no device was found; they cannot be asked for again by a handle.
        customer, site, service_provider, …: as the job has them; see
            :class:`~desktop_app.association.model.AssociationRequest`.
    """

    tracking_number: str
    packed: bytes
    left_out: int
    customer: CustomerRow
    site: str | None
    service_provider: str | None
    create_billing_service: bool
    carrier_rate_plans: tuple[CarrierPlanChoice, ...]
    customer_rate_plan: str | None
    effective_date: date | None
    reassign: bool
    reason: str


#: Work orders whose devices a person may want to ask for once more, changed.
DRAFTED = (WorkOrderState.FAILED, WorkOrderState.REJECTED)


class JobsDesk(Protocol):
    """Watching and steering jobs."""

    def jobs(
        self, filter: JobFilter = JobFilter.ALL, text: str = "", limit: int = 200, offset: int = 0
    ) -> tuple[JobRow, ...]:
        """Jobs, newest first; ``text`` is searched in tracking number and customer."""

    def job_filter_counts(self) -> Mapping[JobFilter, int]:
        """How many jobs each filter shows."""

    def job(self, tracking_number: str) -> JobDetail:
        """One job.

        Raises:
            NotFound: there is none of this number, or it may not be seen.
        """

    def work_orders(
        self,
        tracking_number: str,
        states: Sequence[WorkOrderState] = (),
        error_code: str = "",
        limit: int = 500,
        offset: int = 0,
    ) -> tuple[WorkOrderRow, ...]:
        """Work orders of a job by line; none named: all states."""

    def work_order(self, tracking_number: str, line: int) -> WorkOrderDetail:
        """One work order with its proofs, steps and billing's answer."""

    def work_order_details(
        self, tracking_number: str, limit: int = 500, offset: int = 0
    ) -> tuple[WorkOrderDetail, ...]:
        """Work orders by line, each whole."""

    def job_progress(self, tracking_number: str) -> JobProgress:
        """How many devices reached their end when, in the present or last run; at most 60 slots."""

    def retry(self, tracking_number: str, error_code: str = "") -> Retried:
        """Re-checks what failed or was rejected and queues again what passes, under the same tracking number.

        Args:
            error_code: only what failed, or was rejected, for this cause; "": all of it.
        """

    def draft(
        self, tracking_number: str, states: Sequence[WorkOrderState] = DRAFTED, error_code: str = ""
    ) -> RequestDraft:
        """The job's request for those of its devices that are in these states (and, where one is named, failed or were
        rejected for this cause), to be changed and submitted again. It changes nothing.

        Raises:
            NotFound: there is no such job, or it may not be seen.
            RequestRefused: what the job asked for cannot be read.
        """

    def pause(self, tracking_number: str) -> None:
        """No further work order of the job is begun; calls in flight finish."""

    def resume(self, tracking_number: str) -> None:
        """Ends a pause of any cause."""

    def cancel(self, tracking_number: str) -> None:
        """Cancels what is not begun. What was done stays done; unknown outcomes are still resolved."""

    def resolve(self, tracking_number: str, iccid: str, service_id: str | None, reason: str = "") -> None:
        """A person settles an unknown outcome: the id that exists at billing, or None: nothing was made.

        Args:
            reason: how the person knows; it is written down.
        """

    def notify_again(self, tracking_number: str) -> None:
        """Sends the notification of the job's end again, of which everybody thought that nobody takes it.

        Raises:
            RequestRefused: the job has none that is dead.
        """

    def export(self, tracking_number: str, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the job's result (.csv or .xlsx by the ending), whole or not at all. Returns the number of rows."""


# --- billing ---------------------------------------------------------------------------------------------------------

#: Devices that can be re-read from billing at once: it is asked about every one of them while a person waits.
MOST_REREAD = 500


class BillingDesk(Protocol):
    """What the billing company says."""

    def reread_billing(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Reread:
        """Asks billing for the devices' active billing services and ends here those that were ended there.

        Nothing is ever ended at billing, and nothing that billing has besides is adopted. A device that a job is
        working on is left alone. Takes the right ``associate`` on the customers of the services.

        Raises:
            RequestRefused: more than :data:`MOST_REREAD` devices, or no right on any of the services.
            EnvironmentFault: billing cannot be reached, or takes no more calls; nothing was changed.
        """


# --- history, administration -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which history rows are shown. Empty fields do not filter.

    Attributes:
        text: an identifier of a device, a tracking number, or part of a customer's name.
        since, until: instants, ``until`` not included. A job lies where it was finished.
        operator: login.
        customer: handle of the customer that a job, or a fact, is about.
    """

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    operator: str = ""
    customer: int | None = None


class HistoryDesk(Protocol):
    """What happened."""

    def history(self, filter: HistoryFilter, limit: int = 200, before: int | None = None) -> tuple[HistoryRow, ...]:
        """Facts, newest first, by device. ``before``: the last ``history_id`` of the page before."""

    def job_history(self, filter: HistoryFilter, limit: int = 200, before: str | None = None) -> tuple[JobRow, ...]:
        """Finished jobs, the last finished first. ``before``: the last tracking number of the page before."""

    def export_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the facts that the filter lets through (.csv or .xlsx), whole or not at all; the number of rows."""

    def export_job_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the finished jobs that the filter lets through, as :meth:`export_history` does."""

    def export_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str | int]], path: Path, cancelled: IsCancelled = never
    ) -> int:
        """Writes a table that is shown, as :meth:`export_history` does."""

    def operators(self) -> tuple[str, ...]:
        """Logins that appear in the history."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this operator may do at this desk, and what the window shows of the installation.

    Attributes:
        operator: login of whose rights are used.
        acting: who sits at the desk, where that is another one.
        is_administrator: may do all.
        may_associate, may_reassign: on at least one customer.
        environment: "SANDBOX" or "PRODUCTION".
        database: what the status bar shows, such as a file's name; no secret.
        billing: address of the billing API.
        runs_engine: whether work is done in this process.
        time_zone: the business time zone.
        today: the business date.
    """

    operator: str
    acting: str
    is_administrator: bool
    may_associate: bool
    may_reassign: bool
    environment: str
    database: str
    billing: str
    runs_engine: bool
    time_zone: str
    today: date
    version: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a cursor.

    Attributes:
        cursor: for the next call.
        jobs: the jobs that changed, whole rows.
        devices_changed: whether any device changed (lists of devices may be read again).
        active_jobs: jobs that are not final.
        active: counters summed over them.
    """

    cursor: str
    jobs: tuple[JobRow, ...]
    devices_changed: bool
    active_jobs: int
    active: JobCounts


class AdministrationDesk(Protocol):
    """The desk itself."""

    def capabilities(self) -> Capabilities:
        """What may be done here."""

    def changes(self, cursor: str = "") -> Changes:
        """What changed since the cursor; an empty one: nothing but a fresh cursor and the sums.

        Cheap: it is called 10 to 20 times a second.
        """

    def settings(self) -> Mapping[str, str]:
        """The settings in force, in words, without secrets."""


class Desk(DevicesDesk, RequestsDesk, JobsDesk, BillingDesk, HistoryDesk, AdministrationDesk, Protocol):
    """All of it."""

    def close(self) -> None:
        """Ends what the desk runs. Nothing is lost: the database is the queue."""
