"""Everything that is known of one device: owner, billing services, scheduled changes, history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QGridLayout, QTabWidget, QWidget

from desktop_app.association.model import PickedDevices, Reread, pack
from desktop_app.desk.protocol import DeviceRecord, DeviceRow, OwnershipRow
from desktop_app.ui import words
from desktop_app.ui.background import Cancel, Lane
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_save
from desktop_app.ui.models.device_record import RecordModel, happenings
from desktop_app.ui.pages.rereading import show_answer
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.rows import Cell, Column, RowModel, width_of
from desktop_app.ui.widgets.table import TableView
from desktop_app.ui.widgets.toast import announce


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
    def open_for(
        cls, parent: QWidget, context: Context, device: object, reread: Callable[[], None] | None = None
    ) -> None:
        """Fetches the record of a :class:`DeviceRow` and shows it; ``reread`` is called when billing was re-read."""
        if isinstance(device, DeviceRow):
            cls.open_named(parent, context, device.iccid, device.service_provider, reread)

    @classmethod
    def open_named(
        cls,
        parent: QWidget,
        context: Context,
        iccid: str,
        service_provider: str | None = None,
        reread: Callable[[], None] | None = None,
    ) -> None:
        """Fetches the record of the device of this ICCID, on this service provider, and shows it."""
        desk = context.desk
        context.background.run(
            lambda cancel: desk.device(iccid, service_provider),
            done=lambda record: cls(parent, context, record, reread).open(),
            failed=context.complain,
            key="device_record",
            owner=parent,
        )

    def __init__(
        self, parent: QWidget, context: Context, record: DeviceRecord, reread: Callable[[], None] | None = None
    ) -> None:
        device = record.device
        super().__init__(parent, self.tr("Device {iccid}").format(iccid=device.iccid), "deviceRecordDialog", width=1060)
        self._context, self._clock, self._record = context, context.clock, record
        self._was_reread = reread
        self.setMinimumHeight(560)
        self.body.addLayout(self._facts(record))
        self._said = InfoBar(closable=True, stacked=True)
        self._said.setObjectName("rereadSaid")
        self._said.hide()
        self.body.addWidget(self._said)
        self._tabs = QTabWidget()
        self._tabs.setObjectName("deviceRecordTabs")
        self._tabs.setAccessibleName(self.tr("Parts of the record"))
        self._tabs.setDocumentMode(True)
        self._tabs.tabBar().setDrawBase(False)
        self.body.addWidget(self._tabs, 1)
        self._show_parts()
        self._reread_button = Button(self.tr("Re-read from billing"), self, icon="refresh", name="rereadBillingButton")
        self._reread_button.clicked.connect(self._reread)
        self.buttons.insertWidget(0, self._reread_button)
        self._enable_reread()
        export = Button(self.tr("Export…"), self, icon="file-export", name="exportRecordButton")
        export.setAccessibleName(self.tr("Export everything that happened…"))
        export.clicked.connect(self._export)
        export.setEnabled(self._everything.row_total() > 0)
        self.buttons.insertWidget(1, export)
        number = record.open_tracking_number
        if number:
            text = self.tr("Show job {number}").format(number=number)
            self.add_button(text, lambda: self._show_job(context, number))
        self.add_button(self.tr("Close"), self.accept, kind="primary", default=True, name="deviceRecordClose")

    def _show_parts(self) -> None:
        """Fills the tabs from the record."""
        record, tabs = self._record, self._tabs
        current = max(0, tabs.currentIndex())
        while (before := tabs.widget(0)) is not None:
            tabs.removeTab(0)
            before.deleteLater()
        self._everything = RecordModel(happenings(record), self._clock, self)
        for title, view in (
            (self.tr("Everything · {n}").format(n=self._everything.row_total()), self._happenings()),
            (self.tr("Owners · {n}").format(n=len(record.ownerships)), self._ownerships(record)),
            (self.tr("Billing services · {n}").format(n=len(record.billing_services)), self._services(record)),
            (self.tr("Scheduled changes · {n}").format(n=len(record.scheduled_changes)), self._scheduled(record)),
            (self.tr("Work orders · {n}").format(n=len(record.work_orders)), self._work_orders(record)),
            (self.tr("History · {n}").format(n=len(record.history)), self._history(record)),
        ):
            tabs.addTab(view if view.row_model().row_total() else self._nothing(), title)
        tabs.setCurrentIndex(current)

    def _nothing(self) -> EmptyState:
        nothing = EmptyState("history")
        nothing.show_texts(self.tr("Nothing yet"), self.tr("Nothing of this kind is recorded about this device."))
        return nothing

    def _happenings(self) -> TableView:
        """The one page of all that happened; Enter or a double click leads to the job that did it."""
        view = TableView("recordTable", self.tr("Everything that happened"))
        model = self._everything
        view.setModel(model)
        view.opened.connect(lambda row: self._open_job(model.happenings[row].tracking_number))
        return view

    def _open_job(self, number: str) -> None:
        if number:
            self._show_job(self._context, number)

    def _export(self) -> None:
        context, (titles, rows), iccid = self._context, self._everything.table(), self._record.device.iccid
        desk = context.desk

        def write(path: Path) -> None:
            context.background.run(
                lambda cancel: desk.export_table(titles, rows, path, cancel),
                done=lambda count: context.notify(words.rows_written(count, path.name)),
                failed=context.complain,
                owner=self,
                lane=Lane.LONG,
            )

        ask_save(self, self.tr("Export the record"), self.tr("CSV (*.csv);;Excel (*.xlsx)"), f"{iccid}.csv", write)

    # --- billing ------------------------------------------------------------------------------------------------------

    def _enable_reread(self) -> None:
        """The button, or why it cannot be pressed."""
        if not any(service.is_active for service in self._record.billing_services):
            reason = self.tr("The device has no active billing service")
        elif not self._context.capabilities.may_associate:
            reason = self.tr("You may look, but you have no right to associate devices")
        else:
            reason = ""
        self._reread_button.setEnabled(not reason)
        tip = reason or self.tr("Asks the billing company whether its services were ended there")
        self._reread_button.setToolTip(tip)
        self._reread_button.setAccessibleDescription(tip)

    def _reread(self) -> None:
        desk, device = self._context.desk, self._record.device

        def work(cancel: Cancel) -> tuple[Reread, DeviceRecord]:
            answer = desk.reread_billing(PickedDevices(pack([device.device_id])), cancel)
            return answer, desk.device(device.iccid, device.service_provider)

        self._reread_button.setEnabled(False)
        self._said.clear_actions()
        self._said.show_message(self.tr("Asking the billing company…"), "", Tone.INFO)
        self._said.show()
        self._context.background.run(
            work, done=self._reread_done, failed=self._reread_failed, owner=self, lane=Lane.LONG
        )

    def _reread_done(self, result: tuple[Reread, DeviceRecord]) -> None:
        answer, self._record = result
        show_answer(self._said, answer, self)
        self._show_parts()
        self._enable_reread()
        if self._was_reread is not None:
            self._was_reread()

    def _reread_failed(self, error: Exception) -> None:
        trouble = words.trouble(error)
        self._said.show_message(trouble.message, trouble.what_to_do, Tone.ERROR)
        announce(self._said, f"{trouble.message} {trouble.what_to_do}")
        self._enable_reread()

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
            (self.tr("Carrier rate plan"), device.carrier_rate_plan_name or device.carrier_rate_plan),
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
                Cell(_plan_of(owner)),
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
                Cell(words.service_number(service.number)),
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
                Cell(change.rate_plan_name or change.rate_plan),
                Cell(change.kind.capitalize(), muted=True),
                Cell(change.tracking_number),
            )
            for change in record.scheduled_changes
        ]
        return self._table("scheduledTable", self.tr("Scheduled changes"), columns, rows)

    def _work_orders(self, record: DeviceRecord) -> TableView:
        columns = (
            Column("submitted", self.tr("Submitted"), width_of("2026-11-24 00:00")),
            Column("state", self.tr("Result"), width_of("Outcome unknown", strong=True, icon=True)),
            Column("tracking", self.tr("Tracking no."), width_of("AJ-20261124-0000")),
            Column("line", self.tr("Line"), width_of("100,000"), right=True),
            Column("customer", self.tr("Customer"), 130, stretch=1),
            Column("what", self.tr("What happened"), 160, stretch=3),
        )
        rows = []
        for order in record.work_orders:
            status = words.work_order_status(order.state)
            rows.append(
                (
                    Cell(self._clock.minute(order.submitted_at)),
                    Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong),
                    Cell(order.tracking_number),
                    Cell(words.number(order.line)),
                    Cell(order.customer),
                    Cell(order.error.message if order.error is not None else order.action, muted=order.error is None),
                )
            )
        view = self._table("deviceWorkOrders", self.tr("Work orders"), columns, rows)
        view.opened.connect(lambda row: self._open_job(record.work_orders[row].tracking_number))
        return view

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


def _plan_of(owner: OwnershipRow) -> str:
    """Name or code of the customer rate plan, and its limit."""
    plan = owner.customer_rate_plan_name or owner.customer_rate_plan
    return " · ".join(filter(None, (plan, words.data_size(owner.data_limit_bytes))))
