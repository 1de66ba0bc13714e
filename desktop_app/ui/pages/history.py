"""What happened: by job, and by device."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.desk.protocol import CustomerRow, HistoryFilter
from desktop_app.ui import words
from desktop_app.ui.background import Lane
from desktop_app.ui.commands import Command, bind
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_save
from desktop_app.ui.models.history import DeviceHistoryModel, JobHistoryModel
from desktop_app.ui.pages.device_record import DeviceRecordDialog
from desktop_app.ui.pages.page import Page
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.combo import combo_box
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.rows import RowModel
from desktop_app.ui.widgets.search_combo import Choice, SearchCombo
from desktop_app.ui.widgets.search_field import SearchField
from desktop_app.ui.widgets.table import TableView

SEARCH_DEBOUNCE_MS = 250
#: From this width on (pixels) search and filters stand in one row.
ONE_ROW = 1_100
BY_JOB, BY_DEVICE = "job", "device"


class HistoryPage(Page):
    """Search what happened, by job or by device, within a period and of one operator."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._is_started = False
        self._filters_in: QHBoxLayout | None = None
        self.jobs = JobHistoryModel(context.desk, context.background, context.clock, self)
        self.devices = DeviceHistoryModel(context.desk, context.background, context.clock, self)
        for model in (self.jobs, self.devices):
            model.loaded.connect(self._loaded)
            model.load_failed.connect(context.complain)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DEBOUNCE_MS)
        self._timer.timeout.connect(self.reload)

    def build(self) -> Iterator[None]:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        card = Card(padding=0, spacing=0)
        column.addWidget(card)
        self._build_top(card)
        yield
        self._stack = QStackedWidget()
        card.body.addWidget(self._stack, 1)
        around = QWidget()
        self._stack.addWidget(around)
        inside = QVBoxLayout(around)
        inside.setContentsMargins(1, 0, 1, 6)
        self.table = TableView("historyTable", self.tr("History"))
        inside.addWidget(self.table)
        self.table.setModel(self.jobs)
        self.table.opened.connect(self._open)
        self._empty = EmptyState("history")
        self._stack.addWidget(self._empty)
        self._associate = self._empty.add_button(
            self.tr("Associate devices"), self._context.show_associate, icon="device-sim"
        )
        self._any_time = self._empty.add_button(self.tr("Search all of the time"), self._search_all_time)
        self._clear = self._empty.add_button(self.tr("Clear the filters"), self._clear_filters, name="clearHistory")
        bind(self, self.commands())

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(self.tr("Search the history"), self._focus_search, ("Ctrl+F",)),
            Command(self.tr("Export the history…"), self.export, ("Ctrl+E",), can_run=self.export_button.isEnabled),
        )

    def _build_top(self, card: Card) -> None:
        both = QVBoxLayout()
        both.setContentsMargins(12, 12, 12, 4)
        both.setSpacing(8)
        card.body.addLayout(both)
        self._first, self._second = QHBoxLayout(), QHBoxLayout()
        top = self._first
        for row in (self._first, self._second):
            row.setSpacing(8)
            both.addLayout(row)
        self.chips = ChipRow("historyMode", self.tr("History by"), exclusive=True)
        self.chips.add(BY_JOB, self.tr("By job"), on=True)
        self.chips.add(BY_DEVICE, self.tr("By device"))
        self.chips.picked.connect(self._mode_picked)
        self.chips.setFixedWidth(
            self.chips.chip(BY_JOB).sizeHint().width() + self.chips.chip(BY_DEVICE).sizeHint().width() + 8
        )
        top.addWidget(self.chips)
        top.addSpacing(8)
        self.search = SearchField("", self.tr("Search the history"), "historySearch")
        self.search.textChanged.connect(lambda: self._timer.start())
        self.search.down_pressed.connect(lambda: self.table.setFocus())
        top.addWidget(self.search, 1)
        self.customer = SearchCombo(
            placeholder=self.tr("All customers"), accessible=self.tr("Customer"), name="historyCustomer"
        )
        self.customer.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.customer.setFixedWidth(170)
        self.customer.set_list_width(360)
        self.customer.searched.connect(self._search_customers)
        self.customer.chosen.connect(lambda _: self.reload())
        self.period = combo_box("historyPeriod", self.tr("Period"), width=152)
        for text, days in (
            (self.tr("Today"), 1),
            (self.tr("Last 7 days"), 7),
            (self.tr("Last 30 days"), 30),
            (self.tr("Last 12 months"), 366),
            (self.tr("All of the time"), 0),
        ):
            self.period.addItem(text, days)
        self.period.setCurrentIndex(2)
        self.period.currentIndexChanged.connect(self.reload)
        self.operator = combo_box("historyOperator", self.tr("Operator"), width=140)
        self.operator.addItem(self.tr("All operators"), "")
        self.operator.currentIndexChanged.connect(self.reload)
        self.export_button = Button(self.tr("Export…"), icon="file-export", name="exportHistoryButton")
        self.export_button.setAccessibleName(self.tr("Export what is shown…"))
        self.export_button.setEnabled(False)
        self.export_button.clicked.connect(self.export)
        self._place_filters(self._first)
        self._write_placeholder()

    def _place_filters(self, row: QHBoxLayout) -> None:
        for part in (self.customer, self.period, self.operator):
            row.addWidget(part)
        if row is self._second:
            row.addStretch(1)
        row.addWidget(self.export_button)
        self._filters_in = row

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where the window is narrow the filters stand under the search, which has room for an ICCID then."""
        super().resizeEvent(event)
        row = self._first if self.width() >= ONE_ROW else self._second
        if row is self._filters_in:
            return
        while self._second.count():
            self._second.takeAt(0)
        for part in (self.customer, self.period, self.operator, self.export_button):
            self._first.removeWidget(part)
        self._place_filters(row)

    # --- what others call ---------------------------------------------------------------------------------------------

    def title(self) -> str:
        return self.tr("History")

    def refresh(self) -> None:
        self.reload()

    def shown(self) -> None:
        self._is_started = True
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.operators(),
            done=self._operators_found,
            failed=self._context.complain,
            key="operators",
            owner=self,
        )
        self.reload()

    def reload(self) -> None:
        """Reads the rows again."""
        self._timer.stop()
        if self._is_started:
            (self.jobs if self._by_job() else self.devices).show(self._filter())

    # --- filter -------------------------------------------------------------------------------------------------------

    def _by_job(self) -> bool:
        return BY_JOB in self.chips.on()

    def _filter(self) -> HistoryFilter:
        days = int(self.period.currentData())
        since = None
        if days:
            today = self._context.clock.local(datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
            since = (today - timedelta(days=days - 1)).astimezone(UTC)
        chosen = self.customer.choice()
        customer = chosen.key.customer_id if chosen is not None and isinstance(chosen.key, CustomerRow) else None
        operator = str(self.operator.currentData() or "")
        return HistoryFilter(self.search.text().strip(), since, None, operator, customer)

    def _search_customers(self, text: str) -> None:
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.customers(text),
            done=lambda rows: self.customer.show_choices(
                text, [Choice(row, row.name, row.account_number, row.tag) for row in rows]
            ),
            failed=self._context.complain,
            key="history/customers",
            owner=self,
        )

    def _is_filtered(self) -> bool:
        wanted = self._filter()
        return bool(wanted.text or wanted.operator or wanted.customer)

    def _clear_filters(self) -> None:
        self.search.clear()
        self.operator.setCurrentIndex(0)
        self.customer.choose(None)
        self.reload()
        self.search.setFocus()

    # --- export -------------------------------------------------------------------------------------------------------

    def export(self) -> None:
        """Asks for a file and writes all that the filter lets through, not only what is scrolled to."""
        desk, context, wanted, by_job = self._context.desk, self._context, self._filter(), self._by_job()

        def write(path: Path) -> None:
            work = desk.export_job_history if by_job else desk.export_history
            context.notify(self.tr("Writing {file}…").format(file=path.name), Tone.INFO)
            context.background.run(
                lambda cancel: work(wanted, path, cancel),
                done=lambda rows: context.notify(words.rows_written(rows, path.name)),
                failed=context.complain,
                owner=self,
                lane=Lane.LONG,
            )

        name = "jobs.csv" if by_job else "history.csv"
        ask_save(self, self.tr("Export the history"), self.tr("CSV (*.csv);;Excel (*.xlsx)"), name, write)

    def _mode_picked(self) -> None:
        model: RowModel = self.jobs if self._by_job() else self.devices
        self.table.setModel(model)
        self._write_placeholder()
        self.reload()

    def _write_placeholder(self) -> None:
        self.search.setPlaceholderText(
            self.tr("Tracking no., customer, ICCID…")
            if self._by_job()
            else self.tr("ICCID, IMEI, MSISDN, EID or tracking no.")
        )

    def _search_all_time(self) -> None:
        self.period.setCurrentIndex(self.period.count() - 1)

    def _focus_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    def _operators_found(self, logins: tuple[str, ...]) -> None:
        known = [self.operator.itemData(place) for place in range(1, self.operator.count())]
        for login in logins:
            if login not in known:
                self.operator.addItem(login, login)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _loaded(self) -> None:
        model: RowModel = self.jobs if self._by_job() else self.devices
        has_rows = model.row_total() > 0
        self._stack.setCurrentIndex(0 if has_rows else 1)
        self.export_button.setEnabled(has_rows)
        if has_rows:
            return
        text, is_all_time = self.search.text().strip(), not self.period.currentData()
        self._any_time.setVisible(not is_all_time)
        is_filtered = self._is_filtered()
        self._clear.setVisible(is_filtered)
        self._associate.setVisible(not is_filtered)
        if is_filtered and not text:
            self._empty.show_texts(
                self.tr("Nothing found"),
                self.tr("Nothing of this customer or operator happened in this period."),
                "search-off",
            )
        elif text:
            title = self.tr("Nothing found for “{text}”").format(text=text)
            self._empty.show_texts(title, self.tr("Nothing like it happened in this period."), "search-off")
        elif self._by_job():
            self._empty.show_texts(
                self.tr("No finished jobs in this period"),
                self.tr("Jobs stay here with every device’s result when they are finished."),
                "history",
            )
        else:
            self._empty.show_texts(
                self.tr("Nothing happened in this period"),
                self.tr("Everything that happens to a device is kept here."),
                "history",
            )

    def _open(self, row: int) -> None:
        if self._by_job():
            self._context.show_job(self.jobs.row_at(row).tracking_number)
            return
        fact = self.devices.row_at(row)
        DeviceRecordDialog.open_named(self, self._context, fact.iccid, fact.service_provider or None)
