"""Everything that is known of one device: owner, billing services, scheduled changes, history."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QGridLayout, QTabWidget, QWidget

from desktop_app.desk.protocol import DeviceRecord, DeviceRow
from desktop_app.ui import words
from desktop_app.ui.context import Context
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.table import Cell, Column, RowModel, TableView, width_of


class _Rows(RowModel):
    """Rows of cells that are all there."""

    def __init__(self, columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]], parent: QObject) -> None:
        super().__init__(columns, parent)
        self._cells = rows

    def row_total(self) -> int:
        return len(self._cells)

    def cell(self, row: int, column: int) -> Cell:
        return self._cells[row][column]


class DeviceRecordDialog(Dialog):
    """One device, whole."""

    @classmethod
    def open_for(cls, parent: QWidget, context: Context, device: object) -> None:
        """Fetches the record of a :class:`DeviceRow` and shows it."""
        if not isinstance(device, DeviceRow):
            return
        desk = context.desk
        context.background.run(
            lambda cancel: desk.device(device.iccid, device.service_provider),
            done=lambda record: cls(parent, context, record).open(),
            failed=context.complain,
            key="device_record",
            owner=parent,
        )

    def __init__(self, parent: QWidget, context: Context, record: DeviceRecord) -> None:
        device = record.device
        super().__init__(parent, self.tr("Device {iccid}").format(iccid=device.iccid), "deviceRecordDialog", width=880)
        self._context, self._clock = context, context.clock
        self.setMinimumHeight(500)
        self.body.addLayout(self._facts(record))
        tabs = QTabWidget()
        tabs.setObjectName("deviceRecordTabs")
        tabs.setAccessibleName(self.tr("Parts of the record"))
        tabs.setDocumentMode(True)
        for title, view in (
            (self.tr("Owners · {n}").format(n=len(record.ownerships)), self._ownerships(record)),
            (self.tr("Billing services · {n}").format(n=len(record.billing_services)), self._services(record)),
            (self.tr("Scheduled changes · {n}").format(n=len(record.scheduled_changes)), self._scheduled(record)),
            (self.tr("History · {n}").format(n=len(record.history)), self._history(record)),
        ):
            tabs.addTab(view, title)
        self.body.addWidget(tabs, 1)
        number = record.open_tracking_number
        if number:
            text = self.tr("Show job {number}").format(number=number)
            self.add_button(text, lambda: self._show_job(context, number))
        self.add_button(self.tr("Close"), self.accept, kind="primary", default=True, name="deviceRecordClose")

    def _show_job(self, context: Context, number: str) -> None:
        self.accept()
        context.show_job(number)

    def _facts(self, record: DeviceRecord) -> QGridLayout:
        device = record.device
        status = words.device_status(device.status)
        if device.is_deleted:
            status = self.tr("{status}, deleted").format(status=status)
        if device.is_archived:
            status = self.tr("{status}, archived").format(status=status)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(4)
        facts = (
            (self.tr("ICCID"), device.iccid),
            (self.tr("MSISDN"), words.msisdn(device.msisdn)),
            (self.tr("IMEI"), device.imei),
            (self.tr("EID"), device.eid),
            (self.tr("Name"), device.name),
            (self.tr("Status"), status),
            (self.tr("Service provider"), self._context.provider_name(device.service_provider)),
            (self.tr("Carrier rate plan"), device.carrier_rate_plan),
            (self.tr("Activated"), words.day(device.activated_on)),
            (self.tr("Customer"), " · ".join(filter(None, (device.customer, device.site)))),
        )
        for place, (name, value) in enumerate(facts):
            row, column = place // 2, 2 * (place % 2)
            grid.addWidget(label(name, "small"), row, column)
            shown = label(value or "–")
            shown.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            shown.setAccessibleName(f"{name}: {value or '–'}")
            grid.addWidget(shown, row, column + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return grid

    def _table(self, name: str, title: str, columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]]) -> TableView:
        view = TableView(name, title)
        view.setModel(_Rows(columns, rows, view))
        return view

    def _ownerships(self, record: DeviceRecord) -> TableView:
        columns = (
            Column("state", self.tr("State"), 110),
            Column("customer", self.tr("Customer"), 150, stretch=2),
            Column("account", self.tr("Account"), 90),
            Column("site", self.tr("Site"), 110, stretch=1),
            Column("from", self.tr("From"), width_of("2026-11-24")),
            Column("to", self.tr("Until"), width_of("2026-11-24")),
            Column("plan", self.tr("Customer rate plan"), 140, stretch=1),
        )
        rows = [
            (
                Cell(owner.state.capitalize()),
                Cell(owner.customer),
                Cell(owner.account_number, muted=True),
                Cell(owner.site, muted=True),
                Cell(words.iso_day(owner.effective_from)),
                Cell(words.iso_day(owner.effective_to)),
                Cell(" · ".join(filter(None, (owner.customer_rate_plan, words.data_size(owner.data_limit_bytes))))),
            )
            for owner in record.ownerships
        ]
        return self._table("ownershipTable", self.tr("Owners"), columns, rows)

    def _services(self, record: DeviceRecord) -> TableView:
        columns = (
            Column("state", self.tr("State"), width_of("Ended", icon=True)),
            Column("service", self.tr("Service"), 110),
            Column("customer", self.tr("Customer"), 150, stretch=2),
            Column("number", self.tr("Number"), 150, stretch=1),
            Column("from", self.tr("From"), width_of("2026-11-24")),
            Column("to", self.tr("Ended"), width_of("2026-11-24")),
            Column("reference", self.tr("Our reference"), 140, stretch=1),
        )
        rows = [
            (
                Cell(self.tr("Active"), icon="circle-check-filled", tone=Tone.OK)
                if service.is_active
                else Cell(self.tr("Ended"), icon="ban"),
                Cell(service.service_id),
                Cell(service.customer),
                Cell(words.msisdn(service.number) if len(service.number) < 16 else service.number),
                Cell(words.iso_day(service.effective_date)),
                Cell(words.iso_day(service.ended_on)),
                Cell(service.reference, muted=True),
            )
            for service in record.billing_services
        ]
        return self._table("billingServiceTable", self.tr("Billing services"), columns, rows)

    def _scheduled(self, record: DeviceRecord) -> TableView:
        columns = (
            Column("due", self.tr("Due"), width_of("2026-11-24")),
            Column("state", self.tr("State"), 110),
            Column("plan", self.tr("Rate plan"), 160, stretch=1),
            Column("kind", self.tr("Kind"), 110),
            Column("tracking", self.tr("Tracking no."), width_of("AJ-20261124-0000")),
        )
        rows = [
            (
                Cell(words.iso_day(change.due_on)),
                Cell(change.state.capitalize()),
                Cell(change.rate_plan),
                Cell(change.kind.capitalize(), muted=True),
                Cell(change.tracking_number),
            )
            for change in record.scheduled_changes
        ]
        return self._table("scheduledTable", self.tr("Scheduled changes"), columns, rows)

    def _history(self, record: DeviceRecord) -> TableView:
        columns = (
            Column("at", self.tr("When"), width_of("2026-11-24 00:00")),
            Column("what", self.tr("What"), 180, stretch=3),
            Column("customer", self.tr("Customer"), 130, stretch=1),
            Column("tracking", self.tr("Tracking no."), width_of("AJ-20261124-0000")),
            Column("operator", self.tr("Operator"), 100),
        )
        rows = [
            (
                Cell(self._clock.minute(fact.at)),
                Cell(words.history_event(fact)),
                Cell(fact.customer),
                Cell(fact.tracking_number),
                Cell(fact.operator, muted=True),
            )
            for fact in record.history
        ]
        return self._table("deviceHistoryTable", self.tr("History"), columns, rows)
