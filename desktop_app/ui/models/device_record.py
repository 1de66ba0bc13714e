"""Everything that ever happened to one device, in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from PySide6.QtCore import QObject

from desktop_app.desk.protocol import DeviceRecord
from desktop_app.ui import words
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.rows import Cell, Column, RowModel, width_of
from desktop_app.ui.words import translate


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the list.

    Attributes:
        at: when it happened, or is to happen; UTC.
        is_day: only the day of ``at`` is meant.
        status: of a work order or a scheduled change.
        tracking_number: of the job that did it, else "".
    """

    at: datetime
    what: str
    customer: str = ""
    tracking_number: str = ""
    operator: str = ""
    reason: str = ""
    status: words.Status | None = None
    is_day: bool = False


def happenings(record: DeviceRecord) -> tuple[Happening, ...]:
    """Facts, also of the same SIM on other service providers, work orders of all jobs, scheduled changes, and what is
    on record from before the history; newest first."""
    found = [
        Happening(
            fact.at, words.history_event(fact), fact.customer, fact.tracking_number, fact.operator, fact.reason,
            words.Status("circle-dashed", translate("record", "Elsewhere"), Tone.NEUTRAL)
            if fact.is_cross_provider
            else words.Status("circle-check-filled", translate("record", "Done"), Tone.OK),
        )
        for fact in record.history
    ]  # fmt: skip
    for order in record.work_orders:
        what = translate("record", "Work order: {action}").format(action=order.action)
        if order.error is not None:
            what += f". {order.error.message}"
        found.append(
            Happening(
                order.completed_at or order.submitted_at, what, order.customer, order.tracking_number,
                order.operator, "", words.work_order_status(order.state),
            )
        )  # fmt: skip
    for change in record.scheduled_changes:
        what = translate("record", "Plan change {state}: {plan}").format(
            state=change.state, plan=change.rate_plan_name or change.rate_plan
        )
        at = datetime.combine(change.due_on, time(), UTC)
        status = words.Status("clock", translate("record", "Scheduled"), Tone.INFO)
        if change.state != "pending":
            status = words.Status("circle-dashed", change.state.capitalize(), Tone.NEUTRAL)
        found.append(Happening(at, what, "", change.tracking_number, "", "", status, is_day=True))
    found += _not_told(record)
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _not_told(record: DeviceRecord) -> list[Happening]:
    """Owners and billing services of which no fact tells: they were there before the history began."""
    facts = [fact for fact in record.history if not fact.is_cross_provider]
    owners = {fact.customer for fact in facts if fact.event in _OWNED}
    services = " ".join(fact.detail for fact in facts if fact.event.startswith("billing_service"))
    found = []
    for owner in record.ownerships:
        if owner.customer not in owners:
            where = ", ".join(filter(None, (owner.customer, owner.site)))
            what = translate("record", "Owned by {where}").format(where=where)
            found.append(_on_day(owner.effective_from, what, owner.customer))
            if owner.effective_to is not None:
                ended = translate("record", "Ownership of {where} ended").format(where=where)
                found.append(_on_day(owner.effective_to, ended, owner.customer))
    for service in record.billing_services:
        if service.service_id not in services.split():
            what = translate("record", "Billing service {id} began").format(id=service.service_id)
            found.append(_on_day(service.effective_date, what, service.customer))
            if service.ended_on is not None:
                ended = translate("record", "Billing service {id} ended").format(id=service.service_id)
                found.append(_on_day(service.ended_on, ended, service.customer))
    return found


def _on_day(day: date, what: str, customer: str) -> Happening:
    status = words.Status("circle-check-filled", translate("record", "On record"), Tone.NEUTRAL)
    return Happening(datetime.combine(day, time(), UTC), what, customer, status=status, is_day=True)


#: Facts that tell who owns the device.
_OWNED = frozenset({"assigned", "kept", "moved", "reassigned", "scheduled"})


class RecordModel(RowModel):
    """What happened to a device."""

    def __init__(self, found: Sequence[Happening], clock: words.Clock, parent: QObject) -> None:
        columns = (
            Column("when", self.tr("When"), width_of("2026-11-24 00:00")),
            Column("status", self.tr("Result"), width_of("Outcome unknown", strong=True, icon=True)),
            Column("what", self.tr("What"), 200, stretch=4),
            Column("customer", self.tr("Customer"), 180, stretch=1, rank=2),
            Column("tracking_number", self.tr("Tracking no."), width_of("AJ-20261124-0000"), rank=1),
            Column("operator", self.tr("Operator"), 90, rank=3),
        )
        super().__init__(columns, parent)
        self.happenings = tuple(found)
        self._clock = clock

    def row_total(self) -> int:
        return len(self.happenings)

    def when(self, one: Happening) -> str:
        """The instant, or the day."""
        return words.iso_day(one.at.date()) if one.is_day else self._clock.minute(one.at)

    def cell(self, row: int, column: int) -> Cell:
        one = self.happenings[row]
        match self.columns[column].key:
            case "when":
                return Cell(self.when(one))
            case "status":
                status = one.status
                if status is None:
                    return Cell()
                return Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong)
            case key:
                return Cell(str(getattr(one, key)), muted=key == "operator")

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Titles and rows for an export; it has the reason too."""
        titles = (*(column.title for column in self.columns), self.tr("Reason"))
        rows = [
            (*(self.cell(row, column).text for column in range(len(self.columns))), one.reason)
            for row, one in enumerate(self.happenings)
        ]
        return titles, rows
