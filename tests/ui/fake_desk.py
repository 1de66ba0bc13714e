"""A small desk in memory: enough devices, customers, checks and jobs to drive the whole window without a database.

What a real desk decides by rules is decided here by the device's place in the list, so that a test can say beforehand
what will come out. Jobs get on when a test says so (:meth:`FakeDesk.advance`).
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from desktop_app.association.errors import AssociationError, Cancelled, NotFound, Problem, RequestRefused
from desktop_app.association.identifiers import LONGEST_LINE
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    AtBilling,
    CheckReport,
    DeviceFilter,
    DeviceSelection,
    DeviceStatus,
    FilteredDevices,
    Finding,
    FindingGroup,
    OrphanService,
    PickedDevices,
    PlanKind,
    Proof,
    Proofs,
    Reread,
    RereadService,
    Severity,
    Submitted,
    pack,
    unpack,
)
from desktop_app.association.states import (
    FINAL_JOBS,
    JobState,
    PauseCause,
    Step,
    StepState,
    WorkOrderState,
)
from desktop_app.desk.protocol import (
    DRAFTED,
    BillingServiceRow,
    Capabilities,
    CauseGroup,
    Changes,
    CustomerRow,
    DeviceColumn,
    DeviceFacets,
    DeviceRecord,
    DeviceRow,
    DeviceWorkOrderRow,
    FirstDevices,
    HistoryFilter,
    HistoryRow,
    IsCancelled,
    JobCounts,
    JobDetail,
    JobFilter,
    JobLogRow,
    JobProgress,
    JobRow,
    Located,
    LocatedLine,
    NotificationRow,
    Outcomes,
    OwnershipRow,
    RatePlanRow,
    RequestDraft,
    Retried,
    ScheduledChangeRow,
    ServiceProviderRow,
    SiteRow,
    StepRow,
    WorkOrderDetail,
    WorkOrderRow,
    never,
)

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 14, 5, tzinfo=UTC)
PROVIDERS = (
    ("NORTHSTAR", "Northstar Mobile"),
    ("HARBOR", "Harbor Wireless"),
    ("ATLAS", "Atlas Cellular IoT"),
    ("POLAR", "Polar Telecom"),
)
PLANS = ("IoT 1 MB Pool", "IoT 5 MB Pool", "IoT 25 MB Flex", "LTE-M 10 MB", "Telemetry 500 KB")
CUSTOMERS = (
    ("10482", "Northwind Fleet Ltd", "fleet"),
    ("10844", "Adatum Fleet B.V.", "fleet"),
    ("11629", "Adatum Fleet GmbH", "fleet"),
    ("16373", "Adatum Fleet Inc", "fleet"),
    ("12202", "Adatum Fleet Ltd", "fleet"),
    ("20317", "Fabrikam Water SA", "utility"),
    ("20455", "Contoso Energy GmbH", "utility"),
    ("13370", "Alpine Agri B.V.", "agri"),
    ("14810", "Tailspin Security Inc", ""),
    ("15002", "Wingtip Retail Ltd", "retail"),
    ("16990", "Litware Health SA", ""),
)
STATUSES = (DeviceStatus.ACTIVE,) * 6 + (DeviceStatus.INVENTORY,) * 2 + (DeviceStatus.SUSPENDED, DeviceStatus.RETIRED)
_W = WorkOrderState


def iccid_of(number: int) -> str:
    """The ICCID of device ``number``."""
    return f"89012600000{number:08d}"


def service_id_of(device: int) -> str:
    """Billing's id of the service of device ``device``."""
    return str(71_199 + device)


@dataclass(slots=True)
class FakeOrder:
    """A work order that a test moves."""

    line: int
    device_id: int
    state: WorkOrderState
    error: Problem | None = None
    attempts: int = 0
    at: datetime = NOW


@dataclass(slots=True)
class FakeJob:
    """A job that a test moves."""

    row: JobRow
    orders: list[FakeOrder] = field(default_factory=list)
    request: AssociationRequest | None = None

    def recount(self) -> JobCounts:
        """The counters from the work orders."""
        counted = Counter(str(order.state) for order in self.orders)
        return JobCounts(total=len(self.orders), **counted)


class FakeDesk:
    """The desk. ``fail_with`` is raised by every call; a gate holds calls back until it is set."""

    def __init__(self, devices: int = 2_000, *, environment: str = "SANDBOX", may_associate: bool = True) -> None:
        self.count = devices
        self.environment = environment
        self.may_associate = may_associate
        self.fail_with: Exception | None = None
        self.fail_submit_with: list[Exception] = []
        self.check_gate: threading.Event | None = None
        self.list_gate: threading.Event | None = None  # set: lists come in two parts, the second one behind it
        self.reread_gate: threading.Event | None = None
        self.fail_reread_with: Exception | None = None
        self.at_billing: dict[int, AtBilling] = {}
        self.orphans: tuple[OrphanService, ...] = ()
        self.ended_services: set[int] = set()
        self.resolved: list[tuple[str, str, str | None, str]] = []
        self.fail_resolve_with: Exception | None = None
        self.retried: list[tuple[str, str]] = []
        self.drafted: list[tuple[str, str]] = []
        self.exported: list[tuple[str, object]] = []
        self.notifications: dict[str, NotificationRow] = {}
        self.progress: dict[str, JobProgress] = {}
        self.jobs_by_number: dict[str, FakeJob] = {}
        self.submissions: dict[str, str] = {}
        self.checked: list[AssociationRequest] = []
        self.submitted: list[tuple[AssociationRequest, str, str]] = []
        self.calls: Counter[str] = Counter()
        self.threads: set[str] = set()
        self.files: dict[str, tuple[str, ...]] = {}
        self.revision = 0
        self.devices_revision = 0
        self.closed = False
        self._lock = threading.RLock()
        self._owned_by: dict[int, str] = {}

    def _called(self, name: str) -> None:
        with self._lock:
            self.calls[name] += 1
            self.threads.add(threading.current_thread().name)
        if self.fail_with is not None:
            raise self.fail_with

    @staticmethod
    def _wait(gate: threading.Event, cancelled: IsCancelled) -> None:
        """Waits before the gate. Who was cancelled does not go through it, however late that is seen."""
        while not gate.wait(0.01) and not cancelled():
            pass
        if cancelled():
            raise Cancelled

    # --- devices ------------------------------------------------------------------------------------------------------

    def row(self, device: int) -> DeviceRow:
        """Device number ``device`` (from 1)."""
        code = PROVIDERS[device % len(PROVIDERS)][0]
        status = STATUSES[device * 7 % len(STATUSES)]
        is_activated = status is not DeviceStatus.INVENTORY
        return DeviceRow(
            device_id=device,
            iccid=iccid_of(device),
            imei=f"35{device:013d}",
            msisdn=f"1{200 + device * 37 % 700}555{device % 10_000:04d}",
            eid="",
            name=f"Tracker {device}" if device % 3 == 0 else "",
            status=status,
            service_provider=code,
            carrier_rate_plan=f"{code}-{device * 3 % len(PLANS) + 1}",
            carrier_rate_plan_name=PLANS[device * 3 % len(PLANS)],
            customer=self._owner(device),
            site="Main depot" if self._owner(device) else "",
            activated_on=date(2024, 1, 1) + timedelta(days=device * 13 % 900) if is_activated else None,
        )

    def _owner(self, device: int) -> str:
        return self._owned_by.get(device, CUSTOMERS[device % 5][1] if device % 4 == 1 else "")

    def _matches(self, row: DeviceRow, wanted: DeviceFilter) -> bool:
        text = wanted.text.casefold()
        hay = (row.iccid, row.imei, row.msisdn, row.msisdn.replace(" ", ""), row.name.casefold())
        return (
            (not text or any(text in value for value in hay))
            and (not wanted.statuses or row.status in wanted.statuses)
            and (not wanted.service_providers or row.service_provider in wanted.service_providers)
            and (wanted.owned is None or wanted.owned == bool(row.customer))
        )

    def _all(self) -> range:
        return range(1, self.count + 1)

    def device_ids(
        self, filter: DeviceFilter, sort: DeviceColumn, descending: bool = False, cancelled: IsCancelled = never
    ) -> bytes:
        self._called("device_ids")
        if self.list_gate is not None:
            self._wait(self.list_gate, cancelled)
            if self.fail_with is not None:
                raise self.fail_with
        return self._ids(filter, sort, descending)

    def first_devices(
        self,
        filter: DeviceFilter,
        sort: DeviceColumn,
        descending: bool = False,
        limit: int = 200,
        cancelled: IsCancelled = never,
    ) -> FirstDevices:
        self._called("first_devices")
        ids = unpack(self._ids(filter, sort, descending))
        is_all = self.list_gate is None or len(ids) < limit
        rows = tuple(self.row(device) for device in ids[:limit])
        return FirstDevices((ids if is_all else ids[:limit]).tobytes(), rows, is_all)

    def _ids(self, filter: DeviceFilter, sort: DeviceColumn, descending: bool) -> bytes:
        if filter == DeviceFilter() and sort is DeviceColumn.ICCID:
            ids = array("q", self._all())
            return (ids[::-1] if descending else ids).tobytes()
        field_of: dict[DeviceColumn, Callable[[DeviceRow], str]] = {
            DeviceColumn.ACTIVATED: lambda row: str(row.activated_on or ""),
            DeviceColumn.CUSTOMER: lambda row: row.customer,
            DeviceColumn.STATUS: lambda row: row.status,
            DeviceColumn.SERVICE_PROVIDER: lambda row: row.service_provider,
            DeviceColumn.CARRIER_RATE_PLAN: lambda row: row.carrier_rate_plan,
            DeviceColumn.MSISDN: lambda row: row.msisdn,
        }
        rows = [row for row in map(self.row, self._all()) if self._matches(row, filter)]
        rows.sort(key=field_of.get(sort, lambda row: row.iccid), reverse=descending)
        return pack(row.device_id for row in rows)

    def prepare_search(self, cancelled: IsCancelled = never) -> None:
        self._called("prepare_search")

    def device_rows(self, packed: bytes) -> tuple[DeviceRow, ...]:
        self._called("device_rows")
        return tuple(self.row(device) for device in unpack(packed) if device <= self.count)

    def device_facets(self, filter: DeviceFilter, cancelled: IsCancelled = never) -> DeviceFacets:
        self._called("device_facets")
        rows = [self.row(device) for device in self._all()]
        found = [row for row in rows if self._matches(row, replace(filter, statuses=(), service_providers=()))]
        return DeviceFacets(
            total=len(rows),
            matching=sum(self._matches(row, filter) for row in rows),
            by_status=Counter(row.status for row in found),
            by_service_provider=Counter(row.service_provider for row in found),
            without_customer=sum(not row.customer for row in found),
        )

    def locate(
        self, lines: Sequence[str], service_provider: str | None = None, cancelled: IsCancelled = never
    ) -> Located:
        """A line is an ICCID of a device, "ambiguous…", or unknown; letters alone cannot be read."""
        self._called("locate")
        by_iccid = {iccid_of(device): device for device in self._all()}
        found: dict[int, None] = {}
        problems = []
        for number, whole in enumerate(lines, start=1):
            line = whole[:LONGEST_LINE]
            device = by_iccid.get(line)
            if line.startswith("ambiguous"):
                problem = Problem("AMBIGUOUS", f"{line} is on 2 service providers.", "Choose the service provider.")
                problems.append(LocatedLine(number, line, problem, None, ("NORTHSTAR", "HARBOR")))
            elif line.isalpha():
                problem = Problem("UNREADABLE", f"“{line}” is no identifier.", "Give an ICCID, IMEI, MSISDN or EID.")
                problems.append(LocatedLine(number, line, problem))
            elif device is None:
                problem = Problem("NOT_FOUND", f"No device has {line}.", "Look at the number once more.")
                problems.append(LocatedLine(number, line, problem))
            elif device in found:
                problem = Problem("DUPLICATE", f"{line} was named before.", "Nothing; it is taken once.")
                problems.append(LocatedLine(number, line, problem, device))
            else:
                found[device] = None
        return Located(len(lines), pack(found), tuple(problems))

    def read_devices_file(self, path: Path) -> tuple[str, ...]:
        self._called("read_devices_file")
        if path.name not in self.files:
            raise RequestRefused("FILE_UNREADABLE", f"{path.name} cannot be read.", "Choose another file.")
        return self.files[path.name]

    def device(self, identifier: str, service_provider: str | None = None) -> DeviceRecord:
        self._called("device")
        number = int(identifier[11:]) if identifier.startswith("89012600000") else 0
        if not 1 <= number <= self.count:
            raise NotFound("DEVICE_UNKNOWN", f"No device has {identifier}.", "Look at the number once more.")
        row = self.row(number)
        customer = row.customer or CUSTOMERS[0][1]
        return DeviceRecord(
            row,
            (
                OwnershipRow(
                    "active", customer, "10482", "Main depot", date(2026, 3, 12), None, "C5", 5_000_000, "", "Water 5"
                ),
            ),
            (self._billing_service(number, customer),),
            (
                ScheduledChangeRow(
                    PlanKind.CUSTOMER, "C25", date(2027, 1, 1), "pending", "AJ-20261124-0040", "Water 25"
                ),
            ),
            tuple(self._history(row.iccid)),
            work_orders=tuple(
                DeviceWorkOrderRow(
                    job.row.tracking_number, order.line, order.state, job.row.customer, job.row.action,
                    job.row.operator, order.error, job.row.submitted_at, job.row.finished_at,
                )
                for job in reversed(self.jobs_by_number.values())
                for order in job.orders
                if order.device_id == number
            ),
        )  # fmt: skip

    def _billing_service(self, device: int, customer: str) -> BillingServiceRow:
        is_ended = device in self.ended_services
        return BillingServiceRow(
            service_id_of(device), customer, self.row(device).msisdn, not is_ended, date(2026, 3, 12),
            TODAY if is_ended else None, "default", "AJ-1-1",
        )  # fmt: skip

    # --- requests -----------------------------------------------------------------------------------------------------

    def customers(self, text: str, limit: int = 50) -> tuple[CustomerRow, ...]:
        self._called("customers")
        wanted = text.casefold()
        return tuple(
            CustomerRow(place, account, name, tag, True, 1912, date(2027, 6, 30), "MAIN", "C5" if place == 1 else None)
            for place, (account, name, tag) in enumerate(CUSTOMERS, start=1)
            if wanted in name.casefold() or wanted in account or wanted in tag
        )[:limit]

    def sites(self, customer: int) -> tuple[SiteRow, ...]:
        self._called("sites")
        return SiteRow("MAIN", "Main depot", True), SiteRow("NORTH", "North yard", False)

    def service_providers(self) -> tuple[ServiceProviderRow, ...]:
        self._called("service_providers")
        return tuple(ServiceProviderRow(code, name, self.count // 4) for code, name in PROVIDERS)

    def _selected(self, devices: DeviceSelection) -> list[int]:
        match devices:
            case PickedDevices(packed):
                return list(unpack(packed))
            case FilteredDevices(wanted, minus):
                left_out = set(unpack(minus))
                ids = unpack(self._ids(wanted, DeviceColumn.ICCID, False))
                return [device for device in ids if device not in left_out]
            case AskedLines(lines):
                return list(unpack(self.locate(lines).packed))

    def providers_of(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Mapping[str, int]:
        self._called("providers_of")
        by_code = Counter(PROVIDERS[device % len(PROVIDERS)][0] for device in self._selected(devices))
        return {code: by_code[code] for code, _ in PROVIDERS if code in by_code}

    def rate_plans(
        self, kind: PlanKind, service_provider: str | None = None, customer: int | None = None
    ) -> tuple[RatePlanRow, ...]:
        self._called("rate_plans")
        if kind is PlanKind.CARRIER:
            return tuple(
                RatePlanRow(kind, f"{service_provider}-{place}", name, service_provider or "", None, "")
                for place, name in enumerate(PLANS, start=1)
            )
        return (
            RatePlanRow(kind, "C5", "Water 5", "", 5_000_000, "pool 1"),
            RatePlanRow(kind, "C25", "Water 25", "", 25_000_000, ""),
        )

    def check(self, request: AssociationRequest, cancelled: IsCancelled = never) -> CheckReport:
        """Each 10th device has a warning; each 25th is blocked until its service was re-read as ended."""
        self._called("check")
        if self.check_gate is not None:
            self._wait(self.check_gate, cancelled)
        self.checked.append(request)
        ready, warned, blocked, findings = [], [], [], []
        for line, device in enumerate(self._selected(request.devices), start=1):
            if device % 25 == 0 and device not in self.ended_services:
                blocked.append(device)
                findings.append(self._finding(line, device, "BILLED_TO_ANOTHER", Severity.BLOCKED))
            elif device % 10 == 0:
                warned.append(device)
                findings.append(self._finding(line, device, "SERVICE_KEPT", Severity.WARNING))
            else:
                ready.append(device)
        return CheckReport(
            ready=len(ready),
            warnings=len(warned),
            blocked=len(blocked),
            fingerprint=f"f{hash((request, len(self._owned_by)))}",
            findings=tuple(findings),
            groups=tuple(self._groups(findings)),
            ready_ids=pack(ready),
            warning_ids=pack(warned),
            blocked_ids=pack(blocked),
        )

    def _finding(self, line: int, device: int, code: str, severity: Severity) -> Finding:
        iccid = iccid_of(device)
        said = {
            "BILLED_TO_ANOTHER": (f"{iccid} is billed to Contoso Energy GmbH.", "Have it ended, then re-read."),
            "SERVICE_KEPT": (f"{iccid} has a billing service already.", "Nothing: it is kept."),
        }[code]
        return Finding(line, iccid, iccid, code, severity, *said, device_id=device)

    def _groups(self, findings: list[Finding]) -> list[FindingGroup]:
        groups = []
        for code, title, what_to_do in (
            ("BILLED_TO_ANOTHER", "are billed to another customer", "Have the service ended at billing, then re-read."),
            ("SERVICE_KEPT", "have a billing service already", "It is kept; no second one is made."),
        ):
            of_it = [finding for finding in findings if finding.code == code]
            if of_it:
                packed = pack(finding.device_id or 0 for finding in of_it)
                lines = tuple(finding.line for finding in of_it)
                groups.append(FindingGroup(code, of_it[0].severity, title, what_to_do, len(of_it), packed, lines))
        return groups

    def export_check(self, report: CheckReport, path: Path) -> int:
        self._called("export_check")
        path.write_text("\n".join(finding.message for finding in report.findings), encoding="utf-8")
        return len(report.findings)

    def submit(self, request: AssociationRequest, fingerprint: str, submission_key: str) -> Submitted:
        self._called("submit")
        if self.fail_submit_with:
            raise self.fail_submit_with.pop(0)
        with self._lock:
            if submission_key in self.submissions:
                known = self.jobs_by_number[self.submissions[submission_key]]
                counts = known.row.counts
                return Submitted(
                    known.row.tracking_number, counts.total - counts.rejected, counts.rejected, known.row.state, False
                )
            self.submitted.append((request, fingerprint, submission_key))
            customer = CUSTOMERS[request.customer - 1] if isinstance(request.customer, int) else CUSTOMERS[0]
            job = self.add_job(customer[1], self._selected(request.devices), request=request)
            self.submissions[submission_key] = job.row.tracking_number
        counts = job.row.counts
        return Submitted(job.row.tracking_number, counts.total - counts.rejected, counts.rejected, job.row.state)

    # --- jobs: what a test does ---------------------------------------------------------------------------------------

    def add_job(
        self, customer: str, devices: Sequence[int], *, request: AssociationRequest | None = None, action: str = ""
    ) -> FakeJob:
        """A queued job; each 25th device is rejected."""
        with self._lock:
            number = f"AJ-20261124-{len(self.jobs_by_number) + 1:04d}"
            parts = ["Associate"]
            if request is not None:
                parts += ["service"] if request.create_billing_service else []
                parts += ["carrier plan"] if request.carrier_rate_plans else []
                parts += ["customer plan"] if request.customer_rate_plan else []
            rejected = Problem("OTHER_CUSTOMER", "Owned by Contoso Energy GmbH.", "Choose to take devices over.")
            orders = [
                FakeOrder(line, device, _W.REJECTED, rejected)
                if device % 25 == 0
                else FakeOrder(line, device, _W.QUEUED)
                for line, device in enumerate(devices, start=1)
            ]
            row = JobRow(
                tracking_number=number,
                state=JobState.QUEUED,
                pause_cause=None,
                pause_reason="",
                run_no=1,
                customer=customer,
                account_number="10482",
                action=action or " + ".join(parts),
                counts=JobCounts(),
                operator="op-01",
                reason=request.reason if request else "",
                effective_date=request.effective_date if request else None,
                submitted_at=NOW,
                started_at=None,
                finished_at=None,
                needs_attention=False,
                revision=0,
            )
            job = FakeJob(row, orders, request)
            self.jobs_by_number[number] = job
            self._touch(job)
            return job

    def _touch(self, job: FakeJob, **changed: object) -> None:
        with self._lock:
            self.revision += 1
            job.row = replace(job.row, counts=job.recount(), revision=self.revision, **changed)  # type: ignore[arg-type]

    def set_job(self, number: str, **changed: object) -> None:
        """Changes fields of a job's row."""
        self._touch(self.jobs_by_number[number], **changed)

    def set_orders(self, number: str, states: Mapping[WorkOrderState, int], error: Problem | None = None) -> None:
        """Puts the first queued or running work orders into these states."""
        job = self.jobs_by_number[number]
        open_orders = [order for order in job.orders if order.state in {_W.QUEUED, _W.RUNNING}]
        at = 0
        for state, count in states.items():
            for order in open_orders[at : at + count]:
                order.state = state
                order.attempts = 3 if state is _W.FAILED else 1
                order.error = error if state in {_W.FAILED, _W.OUTCOME_UNKNOWN} else None
            at += count
        self._touch(job)

    def advance(self, number: str, *, fail: int = 0) -> None:
        """Works the job off; the last ``fail`` devices fail."""
        job = self.jobs_by_number[number]
        queued = [order for order in job.orders if order.state in {_W.QUEUED, _W.RUNNING}]
        refused = Problem(
            "BILLING_REFUSED",
            "Billing refused the product of “IoT 5 MB Pool”: no package for account 20317 (400).",
            "Choose another plan, then resubmit.",
        )
        for place, order in enumerate(queued):
            is_failed = place >= len(queued) - fail
            order.state = _W.FAILED if is_failed else _W.SUCCEEDED
            order.error = refused if is_failed else None
            order.attempts += 1
            if not is_failed:
                self._owned_by[order.device_id] = job.row.customer
        counts = job.recount()
        if counts.succeeded == counts.total:
            state = JobState.COMPLETED
        else:
            state = JobState.PARTIALLY_COMPLETED if counts.succeeded else JobState.FAILED
        self.devices_revision += 1
        self._touch(
            job,
            state=state,
            started_at=NOW,
            finished_at=NOW + timedelta(seconds=72),
            needs_attention=counts.failed > 0,
        )

    # --- jobs: the desk -----------------------------------------------------------------------------------------------

    def _job(self, number: str) -> FakeJob:
        if number not in self.jobs_by_number:
            raise NotFound("JOB_UNKNOWN", f"There is no job {number}.", "Look at the tracking number once more.")
        return self.jobs_by_number[number]

    def _in_filter(self, row: JobRow, wanted: JobFilter) -> bool:
        is_final = row.state in FINAL_JOBS
        return {
            JobFilter.ALL: True,
            JobFilter.ACTIVE: not is_final,
            JobFilter.ATTENTION: row.needs_attention,
            JobFilter.FINISHED: is_final,
        }[wanted]

    def jobs(
        self, filter: JobFilter = JobFilter.ALL, text: str = "", limit: int = 200, offset: int = 0
    ) -> tuple[JobRow, ...]:
        self._called("jobs")
        with self._lock:
            rows = [job.row for job in reversed(self.jobs_by_number.values()) if self._in_filter(job.row, filter)]
        wanted = text.casefold()
        found = [row for row in rows if wanted in row.tracking_number.casefold() or wanted in row.customer.casefold()]
        return tuple(found[offset : offset + limit])

    def job_filter_counts(self) -> Mapping[JobFilter, int]:
        self._called("job_filter_counts")
        with self._lock:
            rows = [job.row for job in self.jobs_by_number.values()]
        return {wanted: sum(self._in_filter(row, wanted) for row in rows) for wanted in JobFilter}

    def draft(
        self, tracking_number: str, states: Sequence[WorkOrderState] = DRAFTED, error_code: str = ""
    ) -> RequestDraft:
        self._called("draft")
        self.drafted.append((tracking_number, error_code))
        job = self._job(tracking_number)
        asked = job.request or AssociationRequest(PickedDevices(b""), 1)
        wanted = [
            order.device_id
            for order in job.orders
            if order.state in states and error_code in {"", order.error.code if order.error else ""}
        ]
        return RequestDraft(
            tracking_number=tracking_number,
            packed=pack(wanted),
            left_out=0,
            customer=next(row for row in self.customers("") if row.name == job.row.customer),
            site=asked.site,
            service_provider=asked.service_provider,
            create_billing_service=asked.create_billing_service,
            carrier_rate_plans=asked.carrier_rate_plans,
            customer_rate_plan=asked.customer_rate_plan,
            effective_date=asked.effective_date,
            reassign=asked.reassign,
            reason=asked.reason,
        )

    def job(self, tracking_number: str) -> JobDetail:
        self._called("job")
        job = self._job(tracking_number)
        grouped: dict[tuple[str, WorkOrderState], list[Problem]] = {}
        for order in job.orders:
            if order.error is not None:
                grouped.setdefault((order.error.code, order.state), []).append(order.error)
        titles = {
            "BILLING_REFUSED": "were refused by billing",
            "BILLING_OUTCOME_UNKNOWN": "had no clear answer from billing",
            "NO_ANSWER": "had no clear answer from billing",
            "BILLING_SERVICES_AMBIGUOUS": "have several services at billing",
            "OTHER_CUSTOMER": "belong to another customer",
        }
        causes = tuple(
            CauseGroup(
                code,
                titles.get(code, code),
                found[0].what_to_do,
                len(found),
                state,
                code == "NO_ANSWER",
                len(found) if code == "BILLING_SERVICES_AMBIGUOUS" else 0,
                len(found),
            )
            for (code, state), found in grouped.items()
        )
        log = (JobLogRow(NOW, 1, "info", "submitted", "Submitted."),)
        notification = self.notifications.get(tracking_number)
        return JobDetail(job.row, "Main depot", ("Create billing service",), causes, log, {}, notification)

    def job_progress(self, tracking_number: str) -> JobProgress:
        self._called("job_progress")
        job = self._job(tracking_number)
        if tracking_number in self.progress or job.row.started_at is None:
            return self.progress.get(tracking_number, JobProgress())
        counts = job.row.counts
        return JobProgress(job.row.started_at, 60, (Outcomes(counts.succeeded, counts.failed, counts.cancelled),))

    def notify_again(self, tracking_number: str) -> None:
        self._called("notify_again")
        dead = self.notifications[tracking_number]
        self.notifications[tracking_number] = replace(dead, state="pending", attempts=0, due_at=NOW)
        job = self._job(tracking_number)
        self._touch(job, not_announced=False, needs_attention=job.row.counts.failed > 0)

    def _order_row(self, order: FakeOrder) -> WorkOrderRow:
        device = self.row(order.device_id)
        is_over = order.state in {_W.SUCCEEDED, _W.FAILED, _W.CANCELLED}
        return WorkOrderRow(
            line=order.line,
            asked_for=device.iccid,
            iccid=device.iccid,
            msisdn=device.msisdn,
            service_provider=device.service_provider,
            state=order.state,
            error=order.error,
            attempts=order.attempts,
            started_at=NOW if order.attempts else None,
            completed_at=NOW + timedelta(seconds=order.line % 60) if is_over else None,
            due_at=NOW + timedelta(seconds=30)
            if order.state in {_W.WAITING_RETRY, _W.OUTCOME_UNKNOWN}
            and not (order.error and order.error.code == "BILLING_SERVICES_AMBIGUOUS")
            else None,
        )

    def work_orders(
        self,
        tracking_number: str,
        states: Sequence[WorkOrderState] = (),
        error_code: str = "",
        limit: int = 500,
        offset: int = 0,
    ) -> tuple[WorkOrderRow, ...]:
        self._called("work_orders")
        found = [
            order
            for order in self._job(tracking_number).orders
            if (not states or order.state in states)
            and (not error_code or (order.error is not None and order.error.code == error_code))
        ]
        return tuple(self._order_row(order) for order in found[offset : offset + limit])

    def work_order(self, tracking_number: str, line: int) -> WorkOrderDetail:
        self._called("work_order")
        job = self._job(tracking_number)
        order = job.orders[line - 1]
        device = self.row(order.device_id)
        is_done, is_failed = order.state is _W.SUCCEEDED, order.state is _W.FAILED
        yes = Proof.YES if is_done else Proof.NO
        at = NOW + timedelta(seconds=3)
        billing = StepRow(
            Step.BILLING_SERVICE,
            StepState.DONE if is_done or is_failed else StepState.INTENT,
            1,
            f"{tracking_number}-{line}",
            "71200" if is_done or is_failed else "",
            201 if is_done or is_failed else None,
            '{"ok":true,"id":71200}',
            NOW,
            at if is_done or is_failed else None,
        )
        product = StepRow(
            Step.CARRIER_PLAN_PRODUCT,
            StepState.REFUSED if is_failed else StepState.DONE,
            3 if is_failed else 1,
            f"{tracking_number}-{line}-p",
            "" if is_failed else "90511",
            400 if is_failed else 201,
            '{"ok":false,"error":"no package for this account"}' if is_failed else '{"ok":true,"id":90511}',
            NOW,
            at,
        )
        unknown = replace(billing, state=StepState.UNKNOWN, answer="No answer within 10 s.", finished_at=None)
        local = tuple(
            StepRow(step, state, 1, "", "", None, "", None, at)
            for step, state in (
                (Step.OWNERSHIP, StepState.DONE),
                (Step.CARRIER_RATE_PLAN, StepState.DONE),
                (Step.CUSTOMER_RATE_PLAN, StepState.NOT_REQUESTED),
                (Step.HISTORY, StepState.DONE),
            )
        )
        steps = (billing, product, *local) if is_done else (billing, product) if is_failed else ()
        if order.state is _W.OUTCOME_UNKNOWN:
            steps = (unknown,)
        return WorkOrderDetail(
            work_order=self._order_row(order),
            imei=device.imei,
            eid=device.eid,
            effective_date=device.activated_on,
            billing_service_id="71200" if is_done or is_failed else "",
            carrier_rate_plan="IoT 5 MB Pool",
            customer_rate_plan="",
            proofs=Proofs(
                Proof.YES,
                Proof.YES,
                Proof.YES if is_failed else yes,
                yes,
                yes,
                yes,
                yes,
            ),
            steps=steps,
            billing_answer=(product.answer if is_failed else billing.answer) if steps else "",
        )

    def work_order_details(
        self, tracking_number: str, limit: int = 500, offset: int = 0
    ) -> tuple[WorkOrderDetail, ...]:
        orders = self._job(tracking_number).orders[offset : offset + limit]
        return tuple(self.work_order(tracking_number, order.line) for order in orders)

    def retry(self, tracking_number: str, error_code: str = "") -> Retried:
        self._called("retry")
        self.retried.append((tracking_number, error_code))
        job = self._job(tracking_number)
        again = [
            order
            for order in job.orders
            if order.state is _W.FAILED and error_code in {"", order.error.code if order.error else ""}
        ]
        blocked = sum(order.state is _W.REJECTED for order in job.orders)
        for order in again:
            order.state, order.error = _W.QUEUED, None
        self._touch(job, state=JobState.QUEUED, run_no=job.row.run_no + 1, needs_attention=False, finished_at=None)
        return Retried(tracking_number, len(again), blocked, job.row.run_no)

    def pause(self, tracking_number: str) -> None:
        self._called("pause")
        self._touch(self._job(tracking_number), state=JobState.PAUSED, pause_cause=PauseCause.OPERATOR)

    def resume(self, tracking_number: str) -> None:
        self._called("resume")
        self._touch(self._job(tracking_number), state=JobState.RUNNING, pause_cause=None, pause_reason="")

    def cancel(self, tracking_number: str) -> None:
        self._called("cancel")
        job = self._job(tracking_number)
        for order in job.orders:
            if order.state is _W.QUEUED:
                order.state = _W.CANCELLED
        self._touch(job, state=JobState.CANCELLED, finished_at=NOW)

    def resolve(self, tracking_number: str, iccid: str, service_id: str | None, reason: str = "") -> None:
        self._called("resolve")
        if self.fail_resolve_with is not None:
            raise self.fail_resolve_with
        self.resolved.append((tracking_number, iccid, service_id, reason))
        job = self._job(tracking_number)
        for order in job.orders:
            if order.state is _W.OUTCOME_UNKNOWN and iccid_of(order.device_id) == iccid:
                order.state, order.error = _W.QUEUED, None
        self._touch(job, undecided=max(0, job.row.undecided - 1))

    def export(self, tracking_number: str, path: Path, cancelled: IsCancelled = never) -> int:
        self._called("export")
        orders = self._job(tracking_number).orders
        path.write_text("\n".join(iccid_of(order.device_id) for order in orders), encoding="utf-8")
        return len(orders)

    # --- billing ------------------------------------------------------------------------------------------------------

    def reread_billing(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Reread:
        """Ended are the services that a test put into ``at_billing`` so; of which it says nothing, they are active."""
        self._called("reread_billing")
        if self.fail_reread_with is not None:
            raise self.fail_reread_with
        if self.reread_gate is not None:
            self._wait(self.reread_gate, cancelled)
        found = []
        for device in self._selected(devices):
            row, at_billing = self.row(device), self.at_billing.get(device, AtBilling.ACTIVE)
            number = "AJ-20261124-0001" if at_billing is AtBilling.IN_WORK else ""
            found.append(
                RereadService(
                    row.iccid, row.service_provider, service_id_of(device), "Contoso Energy GmbH", row.msisdn,
                    at_billing, number,
                )
            )  # fmt: skip
            if at_billing is AtBilling.ENDED:
                self.ended_services.add(device)
        return Reread(tuple(found), self.orphans)

    # --- history, administration --------------------------------------------------------------------------------------

    def _history(self, iccid: str) -> list[HistoryRow]:
        facts = (
            (
                "assigned",
                "Fabrikam Water SA, Main depot",
                "Fabrikam Water SA",
                "AJ-20261124-0040",
                "op-01",
                0,
            ),
            ("billing_service_created", "service 71200", "Fabrikam Water SA", "AJ-20261124-0040", "op-01", 0),
            ("ended", "", "Contoso Energy GmbH", "AJ-20261002-0007", "op-02", 20),
            ("carrier_plan_changed", "IoT 5 MB Pool", "Contoso Energy GmbH", "AJ-20260312-0015", "op-03", 25),
        )
        return [
            HistoryRow(
                1_000 - place, NOW - timedelta(days=days), iccid, event, detail, customer, tracking, operator, "", None
            )
            for place, (event, detail, customer, tracking, operator, days) in enumerate(facts)
        ]

    def history(self, filter: HistoryFilter, limit: int = 200, before: int | None = None) -> tuple[HistoryRow, ...]:
        self._called("history")
        facts = self._history(filter.text if filter.text.isdigit() else iccid_of(395950))
        return tuple(
            fact
            for fact in facts
            if (before is None or fact.history_id < before)
            and (filter.since is None or fact.at >= filter.since)
            and (not filter.operator or fact.operator == filter.operator)
            and (not filter.customer or fact.customer == CUSTOMERS[filter.customer - 1][1])
            and (not filter.text or filter.text in fact.iccid or filter.text in fact.tracking_number)
        )[:limit]

    def job_history(self, filter: HistoryFilter, limit: int = 200, before: str | None = None) -> tuple[JobRow, ...]:
        self._called("job_history")
        customer = CUSTOMERS[filter.customer - 1][1] if filter.customer else ""
        rows = [
            row
            for row in self.jobs(JobFilter.FINISHED, filter.text, 10_000)
            if filter.operator in {"", row.operator} and customer in {"", row.customer}
        ]
        first = 1 + [row.tracking_number for row in rows].index(before) if before else 0
        return tuple(rows[first : first + limit])

    def export_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        self._called("export_history")
        self.exported.append((path.name, filter))
        return len(self.history(filter, 10_000))

    def export_job_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        self._called("export_job_history")
        self.exported.append((path.name, filter))
        return len(self.job_history(filter, 10_000))

    def export_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str | int]], path: Path, cancelled: IsCancelled = never
    ) -> int:
        self._called("export_table")
        self.exported.append((path.name, (tuple(columns), tuple(map(tuple, rows)))))
        return len(rows)

    def operators(self) -> tuple[str, ...]:
        self._called("operators")
        return "op-01", "op-02", "op-03"

    def capabilities(self) -> Capabilities:
        self._called("capabilities")
        return Capabilities(
            operator="op-01",
            acting="",
            is_administrator=True,
            may_associate=self.may_associate,
            may_reassign=True,
            environment=self.environment,
            database="sandbox.db",
            billing="http://127.0.0.1:8085/v1",
            runs_engine=True,
            time_zone="Europe/Berlin",
            today=TODAY,
            version="0.1.0",
        )

    def changes(self, cursor: str = "") -> Changes:
        self._called("changes")
        with self._lock:
            seen, seen_devices = map(int, cursor.split("/")) if cursor else (self.revision, self.devices_revision)
            rows = [job.row for job in self.jobs_by_number.values()]
            active = [row for row in rows if row.state not in FINAL_JOBS]
            sums = JobCounts(**{name: sum(getattr(row.counts, name) for row in active) for name in JobCounts.__slots__})
            return Changes(
                cursor=f"{self.revision}/{self.devices_revision}",
                jobs=tuple(row for row in rows if row.revision > seen),
                devices_changed=self.devices_revision > seen_devices,
                active_jobs=len(active),
                active=sums,
            )

    def settings(self) -> Mapping[str, str]:
        self._called("settings")
        return {
            "data folder": "/home/op-01/.local/share/device-association-desk",
            "database": "sandbox.db",
            "billing": "sandbox",
            "workers": "16",
        }

    def close(self) -> None:
        self.closed = True


def environment_fault() -> AssociationError:
    """The database is gone."""
    from desktop_app.association.errors import EnvironmentFault

    return EnvironmentFault("DATABASE_UNREACHABLE", "The database cannot be reached.", "Look at the network.")
