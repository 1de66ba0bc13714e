"""States and figures in the words of the window, each status with its icon and tone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from desktop_app.association.errors import AssociationError
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState
from desktop_app.ui.palette import Tone

if TYPE_CHECKING:
    from datetime import date, datetime, tzinfo

    from desktop_app.association.model import DeviceStatus, Proof
    from desktop_app.desk.protocol import HistoryRow, JobCounts, JobRow

translate = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class Status:
    """A status as it is shown: icon shape, word and tone; ``strong`` ones stand out."""

    icon: str
    word: str
    tone: Tone

    @property
    def strong(self) -> bool:
        """Whether the word is written semi-bold and in colour."""
        return self.tone in {Tone.WARNING, Tone.ERROR}


def ready() -> Status:
    """A device without a finding."""
    return Status("circle-check-filled", translate("words", "Ready"), Tone.OK)


def warning() -> Status:
    """A device with warnings only."""
    return Status("alert-triangle-filled", translate("words", "Warning"), Tone.WARNING)


def blocked() -> Status:
    """A device with a blocking finding."""
    return Status("circle-x-filled", translate("words", "Blocked"), Tone.ERROR)


def work_order_status(state: WorkOrderState) -> Status:
    """How a device of a job stands."""
    match state:
        case WorkOrderState.REJECTED:
            return Status("ban", translate("words", "Rejected"), Tone.WARNING)
        case WorkOrderState.QUEUED:
            return Status("clock", translate("words", "Queued"), Tone.NEUTRAL)
        case WorkOrderState.RUNNING:
            return Status("progress", translate("words", "Running"), Tone.INFO)
        case WorkOrderState.WAITING_RETRY:
            return Status("refresh", translate("words", "Waits to retry"), Tone.INFO)
        case WorkOrderState.OUTCOME_UNKNOWN:
            return Status("help-circle-filled", translate("words", "Outcome unknown"), Tone.WARNING)
        case WorkOrderState.SUCCEEDED:
            return Status("circle-check-filled", translate("words", "Done"), Tone.OK)
        case WorkOrderState.FAILED:
            return Status("circle-x-filled", translate("words", "Failed"), Tone.ERROR)
        case WorkOrderState.CANCELLED:
            return Status("ban", translate("words", "Cancelled"), Tone.NEUTRAL)


def job_status(job: JobRow) -> Status:
    """How a job stands. A finished job with failures, and one that paused by itself, say that somebody should look."""
    match job.state:
        case JobState.QUEUED:
            return Status("clock", translate("words", "Queued"), Tone.NEUTRAL)
        case JobState.RUNNING:
            return Status("progress", translate("words", "Running"), Tone.INFO)
        case JobState.PAUSED:
            tone = Tone.NEUTRAL if job.pause_cause is PauseCause.OPERATOR else Tone.WARNING
            return Status("player-pause-filled", translate("words", "Paused"), tone)
        case JobState.FINISHING:
            return Status("progress", translate("words", "Finishing"), Tone.INFO)
        case JobState.COMPLETED:
            return Status("circle-check-filled", translate("words", "Completed"), Tone.OK)
        case JobState.PARTIALLY_COMPLETED:
            return Status("alert-triangle-filled", translate("words", "Partly completed"), Tone.WARNING)
        case JobState.FAILED:
            return Status("circle-x-filled", translate("words", "Failed"), Tone.ERROR)
        case JobState.CANCELLED:
            return Status("ban", translate("words", "Cancelled"), Tone.NEUTRAL)


def pause_cause(cause: PauseCause | None) -> str:
    """Why a job is paused."""
    match cause:
        case PauseCause.OPERATOR:
            return translate("words", "an operator has paused it")
        case PauseCause.ENVIRONMENT:
            return translate("words", "billing or the database cannot be reached")
        case PauseCause.QUOTA:
            return translate("words", "the day's quota at billing is used up")
        case PauseCause.THRESHOLD:
            return translate("words", "too many devices failed")
        case None:
            return ""


def device_status(status: DeviceStatus) -> str:
    """Status of a device at its carrier."""
    from desktop_app.association.model import DeviceStatus  # the first window does not wait for it

    match status:
        case DeviceStatus.INVENTORY:
            return translate("words", "Inventory")
        case DeviceStatus.TEST_READY:
            return translate("words", "Test ready")
        case DeviceStatus.ACTIVE:
            return translate("words", "Active")
        case DeviceStatus.SUSPENDED:
            return translate("words", "Suspended")
        case DeviceStatus.RETIRED:
            return translate("words", "Retired")
        case DeviceStatus.PURGED:
            return translate("words", "Purged")
        case DeviceStatus.REPLACED:
            return translate("words", "Replaced")


def step_name(step: Step) -> str:
    """A step of a work order."""
    match step:
        case Step.BILLING_SERVICE:
            return translate("words", "Billing service")
        case Step.CARRIER_PLAN_PRODUCT:
            return translate("words", "Carrier plan at billing")
        case Step.CUSTOMER_PLAN_PRODUCT:
            return translate("words", "Customer plan at billing")
        case Step.OWNERSHIP:
            return translate("words", "Ownership")
        case Step.CARRIER_RATE_PLAN:
            return translate("words", "Carrier rate plan (recorded; no carrier is called)")
        case Step.CUSTOMER_RATE_PLAN:
            return translate("words", "Customer rate plan")
        case Step.HISTORY:
            return translate("words", "History")


def step_status(state: StepState) -> Status:
    """How a step stands."""
    match state:
        case StepState.INTENT:
            return Status("progress", translate("words", "Being sent"), Tone.INFO)
        case StepState.NOT_SENT:
            return Status("refresh", translate("words", "Not sent yet"), Tone.INFO)
        case StepState.UNKNOWN:
            return Status("help-circle-filled", translate("words", "No clear answer"), Tone.WARNING)
        case StepState.DONE:
            return Status("circle-check-filled", translate("words", "Done"), Tone.OK)
        case StepState.KEPT:
            return Status("circle-check-filled", translate("words", "Kept as it was"), Tone.OK)
        case StepState.SCHEDULED:
            return Status("clock", translate("words", "Scheduled"), Tone.INFO)
        case StepState.NOT_REQUESTED:
            return Status("circle-dashed", translate("words", "Not requested"), Tone.NEUTRAL)
        case StepState.REFUSED:
            return Status("circle-x-filled", translate("words", "Refused"), Tone.ERROR)


def proof_status(proof: Proof) -> Status:
    """What a proof says."""
    from desktop_app.association.model import Proof

    match proof:
        case Proof.YES:
            return Status("circle-check-filled", translate("words", "Yes"), Tone.OK)
        case Proof.NO:
            return Status("circle-x-filled", translate("words", "No"), Tone.ERROR)
        case Proof.KEPT:
            return Status("circle-check-filled", translate("words", "Kept"), Tone.OK)
        case Proof.SCHEDULED:
            return Status("clock", translate("words", "Scheduled"), Tone.INFO)
        case Proof.NOT_REQUESTED:
            return Status("circle-dashed", translate("words", "Not requested"), Tone.NEUTRAL)


def proof_names() -> tuple[tuple[str, str], ...]:
    """The seven proofs in the order of the export: field of ``Proofs`` and its name."""
    return (
        ("device_found", translate("words", "Device found and accessible")),
        ("operator_permitted", translate("words", "Operator permitted")),
        ("billing_service_created", translate("words", "Billing service created")),
        ("ownership_updated", translate("words", "Ownership updated")),
        ("rate_plans_assigned", translate("words", "Rate plans assigned")),
        ("history_recorded", translate("words", "History recorded")),
        ("processing_completed", translate("words", "Processing completed")),
    )


def job_segments(counts: JobCounts) -> tuple[tuple[Tone, int], ...]:
    """The segments of a job's bar: done, rejected or cancelled, failed, under way."""
    return (
        (Tone.OK, counts.succeeded),
        (Tone.WARNING, counts.rejected + counts.outcome_unknown),
        (Tone.ERROR, counts.failed),
        (Tone.INFO, counts.running + counts.waiting_retry),
    )


def percent(part: int, whole: int) -> int:
    """Rounded down, so that 100 means all."""
    return 100 * part // whole if whole else 0


def number(value: int) -> str:
    """With a comma between thousands."""
    return f"{value:,}"


def devices(count: int) -> str:
    """ "1 device", "2 devices"."""
    if count == 1:
        return translate("words", "1 device")
    return translate("words", "{count} devices").format(count=number(count))


def rows_written(count: int, file: str) -> str:
    """ "1 row written to history.csv"."""
    if count == 1:
        return translate("words", "1 row written to {file}").format(file=file)
    return translate("words", "{count} rows written to {file}").format(count=number(count), file=file)


def devices_that(count: int, title: str) -> str:
    """ "2 devices have no MSISDN", "1 device has no MSISDN"."""
    from desktop_app.association.model import title_for

    return f"{devices(count)} {title_for(count, title)}"


def day(value: date | None) -> str:
    """A date for running text, such as 24 Nov 2026."""
    return f"{value.day} {_month(value.month)} {value.year}" if value else ""


def _month(month: int) -> str:
    names = translate("words", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split()
    return names[month - 1]


def msisdn(value: str) -> str:
    """A phone number as it is read: +1 274 555 0005; other countries' numbers only get their plus sign."""
    if not value.isdigit():
        return value
    if len(value) == 11 and value.startswith("1"):
        return f"+1 {value[1:4]} {value[4:7]} {value[7:]}"
    return f"+{value}"


def service_number(value: str) -> str:
    """What a billing service is billed under: a phone number, or the ICCID of a device that has none."""
    return msisdn(value) if len(value) < 16 else value


def iso_day(value: date | None) -> str:
    """A date for a column."""
    return value.isoformat() if value else ""


def history_event(fact: HistoryRow) -> str:
    """What happened, in a line; what happened to the same SIM elsewhere says where."""
    event = {
        "assigned": translate("words", "Assigned"),
        "kept": translate("words", "Kept"),
        "moved": translate("words", "Moved to another site"),
        "reassigned": translate("words", "Taken over"),
        "scheduled": translate("words", "Ownership scheduled"),
        "ended": translate("words", "Ownership ended"),
        "billing_service_created": translate("words", "Billing service created"),
        "billing_service_kept": translate("words", "Billing service kept"),
        "billing_service_ended": translate("words", "Billing service ended"),
        "carrier_plan_changed": translate("words", "Carrier rate plan changed"),
        "customer_plan_changed": translate("words", "Customer rate plan changed"),
        "plan_change_scheduled": translate("words", "Plan change scheduled"),
        "plan_change_dropped": translate("words", "Plan change dropped"),
    }.get(fact.event, fact.event.replace("_", " ").capitalize())
    detail = fact.told or fact.detail
    for prefix in ("Billing service ", "Carrier rate plan ", "Customer rate plan "):
        if event.startswith(prefix):
            detail = detail.removeprefix(prefix)  # it is said already
    if fact.is_cross_provider:
        event = translate("words", "{event} on {provider}").format(event=event, provider=fact.service_provider)
    return ": ".join(filter(None, (event, detail)))


class Clock:
    """Shows instants in the business time zone."""

    def __init__(self, zone: str) -> None:
        from datetime import UTC  # there is no clock before the desk is open
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        self._zone: tzinfo = UTC
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            pass

    def local(self, instant: datetime) -> datetime:
        """The instant on the business clock."""
        return instant.astimezone(self._zone)

    def minute(self, instant: datetime | None) -> str:
        """2026-11-24 14:01"""
        return self.local(instant).strftime("%Y-%m-%d %H:%M") if instant else ""

    def second(self, instant: datetime | None) -> str:
        """14:01:04"""
        return self.local(instant).strftime("%H:%M:%S") if instant else ""

    def full(self, instant: datetime | None) -> str:
        """2026-11-24 14:01:04"""
        return self.local(instant).strftime("%Y-%m-%d %H:%M:%S") if instant else ""

    def soon(self, instant: datetime, now: datetime) -> str:
        """14:01, with seconds where it is within two minutes, with the day where it is not today."""
        local = self.local(instant)
        if abs((instant - now).total_seconds()) < 120:
            return local.strftime("%H:%M:%S")
        if local.date() == self.local(now).date():
            return local.strftime("%H:%M")
        return f"{local.day} {_month(local.month)} {local:%H:%M}"

    def short(self, instant: datetime | None, today: date) -> str:
        """14:01 where it was today, else 23 Nov, or 2025-11-23 where it was in another year."""
        if instant is None:
            return ""
        local = self.local(instant)
        if local.date() == today:
            return local.strftime("%H:%M")
        return f"{local.day} {_month(local.month)}" if local.year == today.year else local.strftime("%Y-%m-%d")


def duration(seconds: float) -> str:
    """ "48 s", "6 min 03 s", "2 h 05 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return translate("words", "{s} s").format(s=whole)
    if whole < 3600:
        return translate("words", "{m} min {s:02d} s").format(m=whole // 60, s=whole % 60)
    return translate("words", "{h} h {m:02d} min").format(h=whole // 3600, m=whole % 3600 // 60)


def about(seconds: float) -> str:
    """ "~ 40 s", "~ 3 min", "~ 2 h"."""
    if seconds < 90:
        return translate("words", "~ {s} s").format(s=max(5, round(seconds / 5) * 5))
    if seconds < 5400:
        return translate("words", "~ {m} min").format(m=round(seconds / 60))
    return translate("words", "~ {h} h").format(h=round(seconds / 3600))


def data_size(size: int | None) -> str:
    """A data limit, such as 500 MB; "" where there is none."""
    if size is None:
        return ""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size} B"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as it is shown: what happened and what to do now."""

    message: str
    what_to_do: str
    code: str


def trouble(error: Exception) -> Trouble:
    """What a person is told about an error of a desk call."""
    if isinstance(error, AssociationError):
        return Trouble(error.message, error.what_to_do, error.code)
    return Trouble(
        translate("words", "The program met a fault of its own ({kind}).").format(kind=type(error).__name__),
        translate("words", "Try again. If it happens again, send the log file to support."),
        "INTERNAL",
    )
