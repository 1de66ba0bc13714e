"""What happened: by job, and by device."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.desk.protocol import HistoryFilter
from desktop_app.ui.commands import Command, bind
from desktop_app.ui.context import Context
from desktop_app.ui.models.history import DeviceHistoryModel, JobHistoryModel
from desktop_app.ui.pages.page import Page
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.combo import combo_box
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.search_field import SearchField
from desktop_app.ui.widgets.table import RowModel, TableView

SEARCH_DEBOUNCE_MS = 250
BY_JOB, BY_DEVICE = "job", "device"


class HistoryPage(Page):
    """Search what happened, by job or by device, within a period and of one operator."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._is_started = False
        self.jobs = JobHistoryModel(context.desk, context.background, context.clock, self)
        self.devices = DeviceHistoryModel(context.desk, context.background, context.clock, self)
        for model in (self.jobs, self.devices):
            model.loaded.connect(self._loaded)
            model.load_failed.connect(context.complain)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        card = Card(padding=0, spacing=0)
        column.addWidget(card)
        card.body.addLayout(self._build_top())
        self.table = TableView("historyTable", self.tr("History"))
        self.table.setModel(self.jobs)
        self.table.opened.connect(self._open)
        self._empty = EmptyState("history")
        self._associate = self._empty.add_button(
            self.tr("Associate devices"), context.show_associate, icon="device-sim"
        )
        self._any_time = self._empty.add_button(self.tr("Search all of the time"), self._search_all_time)
        self._stack = QStackedWidget()
        around = QWidget()
        inside = QVBoxLayout(around)
        inside.setContentsMargins(1, 0, 1, 6)
        inside.addWidget(self.table)
        self._stack.addWidget(around)
        self._stack.addWidget(self._empty)
        card.body.addWidget(self._stack, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DEBOUNCE_MS)
        self._timer.timeout.connect(self.reload)
        bind(self, self.commands())

    def commands(self) -> tuple[Command, ...]:
        return (Command(self.tr("Search the history"), self._focus_search, ("Ctrl+F",)),)

    def _build_top(self) -> QHBoxLayout:
        top = QHBoxLayout()
        top.setContentsMargins(12, 12, 12, 4)
        top.setSpacing(8)
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
        self.period = combo_box("historyPeriod", self.tr("Period"), width=150)
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
        top.addWidget(self.period)
        self.operator = combo_box("historyOperator", self.tr("Operator"), width=150)
        self.operator.addItem(self.tr("All operators"), "")
        self.operator.currentIndexChanged.connect(self.reload)
        top.addWidget(self.operator)
        self._write_placeholder()
        return top

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
        return HistoryFilter(self.search.text().strip(), since, None, str(self.operator.currentData() or ""))

    def _mode_picked(self) -> None:
        model: RowModel = self.jobs if self._by_job() else self.devices
        self.table.setModel(model)
        self._write_placeholder()
        self.reload()

    def _write_placeholder(self) -> None:
        self.search.setPlaceholderText(
            self.tr("Tracking no. or customer…") if self._by_job() else self.tr("ICCID, IMEI, MSISDN or EID…")
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
        if has_rows:
            return
        text, is_all_time = self.search.text().strip(), not self.period.currentData()
        self._any_time.setVisible(not is_all_time)
        self._associate.setVisible(not text)
        if text:
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
        number = self.jobs.row_at(row).tracking_number if self._by_job() else self.devices.row_at(row).tracking_number
        if number:
            self._context.show_job(number)
