"""The jobs, live: master above, detail below, one device at the right."""

from __future__ import annotations

import time
from collections.abc import Iterator

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.association.states import JobState, PauseCause
from desktop_app.desk.protocol import Changes, JobFilter, JobRow
from desktop_app.ui import words
from desktop_app.ui.commands import Command, bind
from desktop_app.ui.context import Context
from desktop_app.ui.models.jobs import JobTableModel
from desktop_app.ui.pages.jobs.detail import JobDetailPanel
from desktop_app.ui.pages.jobs.device_panel import DevicePanel
from desktop_app.ui.pages.page import Page
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.search_field import SearchField
from desktop_app.ui.widgets.table import TableView

SEARCH_DEBOUNCE_MS = 200
RELOAD_MS = 300
TICK_MS = 1_000


class JobsPage(Page):
    """Watch and steer jobs."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._shown = ""  # tracking number of the job in the detail
        self._troubles: dict[str, tuple[str, bool, bool]] = {}  # of each job, what was told of it
        self._wanted = ""  # a job that is to be chosen as soon as it is listed
        self._new = ""  # the job that was submitted last in this window, until somebody looks at it
        self.model = JobTableModel(context.desk, context.background, context.clock, self)
        self.model.loaded.connect(self._loaded)
        self.model.load_failed.connect(context.complain)
        self.model.dataChanged.connect(self._rows_changed)

    def build(self) -> Iterator[None]:
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.setHandleWidth(12)
        self._split.setChildrenCollapsible(False)
        row.addWidget(self._split, 1)
        master = Card(padding=0, spacing=0)
        master.setMinimumHeight(180)
        self._split.addWidget(master)
        self._build_head(master)
        yield
        self._build_list(master)
        yield
        self.detail = JobDetailPanel(self._context, self.model.rates)
        self._split.addWidget(self.detail)
        self.detail.device_opened.connect(self._open_device)
        self.detail.steered.connect(self._reload_soon)
        yield from self.detail.build()
        self._split.setStretchFactor(0, 2)
        self._split.setStretchFactor(1, 3)
        self._split.setSizes([330, 470])
        self.device = DevicePanel(self._context)
        self.device.hide()
        self.device.closed.connect(self._device_closed)
        self.device.resolve_pressed.connect(lambda line: self.detail.resolve(line=line))
        row.addWidget(self.device)
        yield
        self._search_timer = self._timer(SEARCH_DEBOUNCE_MS, self._apply_filter)
        self._reload_timer = self._timer(RELOAD_MS, self.reload)
        ticker = self._timer(TICK_MS, self._tick)
        ticker.setSingleShot(False)
        ticker.start()
        bind(self, self.commands())
        self.reload()

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(self.tr("Search jobs"), self._focus_search, ("Ctrl+F",)),
            Command("", self.device.close_panel, ("Escape",), explains=self.tr("Close the panel of the device")),
            self._command(self.tr("Retry what failed"), self.detail.retry_button, "Ctrl+R"),
            self._command(self.tr("Pause the job"), self.detail.pause_button, "Ctrl+P"),
            self._command(self.tr("Resume the job"), self.detail.resume_button, "Ctrl+Shift+P"),
            self._command(self.tr("Cancel the job…"), self.detail.cancel_button),
            self._command(self.tr("Export the result…"), self.detail.export_button, "Ctrl+E"),
            self._command(self.tr("Copy the tracking number"), self.detail.copy_button, "Ctrl+Shift+C"),
            self._command(
                self.tr("Copy a summary of the job for a ticket"), self.detail.summary_button, "Ctrl+Shift+S"
            ),
        )

    @staticmethod
    def _command(text: str, button: Button, *keys: str) -> Command:
        """What a button does, by a key too; it can be done while the button could be pressed."""
        return Command(text, button.click, keys, can_run=lambda: button.isVisible() and button.isEnabled())

    def _timer(self, after_ms: int, run: object) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(after_ms)
        timer.timeout.connect(run)
        return timer

    def _build_head(self, master: Card) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(12, 12, 12, 4)
        top.setSpacing(8)
        master.body.addLayout(top)
        self.chips = ChipRow("jobFilter", self.tr("Which jobs"), exclusive=True)
        top.addWidget(self.chips, 1)
        for key, word in (
            (JobFilter.ALL, self.tr("All")),
            (JobFilter.ACTIVE, self.tr("Active")),
            (JobFilter.ATTENTION, self.tr("Needs attention")),
            (JobFilter.FINISHED, self.tr("Finished")),
        ):
            self.chips.add(key, word, on=key is JobFilter.ALL)
        self.chips.picked.connect(self._apply_filter)
        self.search = SearchField(self.tr("Search tracking no. or customer"), self.tr("Search jobs"), "jobSearch")
        self.search.setFixedWidth(270)
        self.search.textChanged.connect(lambda: self._search_timer.start())
        top.addWidget(self.search)

    def _build_list(self, master: Card) -> None:
        self._stack = QStackedWidget()
        master.body.addWidget(self._stack, 1)
        around = QWidget()
        self._stack.addWidget(around)
        inside = QVBoxLayout(around)
        inside.setContentsMargins(1, 0, 1, 6)
        self.table = TableView("jobsTable", self.tr("Jobs"))
        inside.addWidget(self.table)
        self.table.setModel(self.model)
        self.table.current_changed.connect(self._chosen)
        self.search.down_pressed.connect(self.table.setFocus)
        self._empty = EmptyState("progress-check")
        self._stack.addWidget(self._empty)
        self._associate = self._empty.add_button(
            self.tr("Associate devices"), self._context.show_associate, icon="device-sim"
        )

    # --- what others call ---------------------------------------------------------------------------------------------

    def title(self) -> str:
        return self.tr("Jobs")

    def shown(self) -> None:
        if self._new == self._shown:
            self._new = ""
        if self._new:
            self.show_job(self._new)

    def refresh(self) -> None:
        self.reload()

    def reload(self) -> None:
        """Reads list and counts again."""
        self._reload_timer.stop()
        self.model.reload()
        desk = self._context.desk
        self._context.background.run(
            lambda cancel: desk.job_filter_counts(),
            done=lambda counts: self.chips.set_counts({str(key): count for key, count in counts.items()}),
            failed=self._context.complain,
            key="jobs/counts",
            owner=self,
        )

    def submitted_here(self, tracking_number: str) -> None:
        """A job was submitted in this window: it is what is looked at when the page is shown next."""
        self._new = tracking_number

    def show_job(self, tracking_number: str) -> None:
        """Chooses a job, whatever the filter was."""
        self._wanted = tracking_number
        self.search.clear()
        self._search_timer.stop()
        self.chips.set_on(JobFilter.ALL)
        self._apply_filter()
        self.table.setFocus()

    def take_changes(self, changes: Changes) -> None:
        if not changes.jobs:
            return
        for job in changes.jobs:
            self._tell_trouble(job)
        is_filtered = self._filter() is not JobFilter.ALL
        if self.model.take_changes(changes.jobs, time.monotonic()) or is_filtered:
            self._reload_soon()
        elif not self._reload_timer.isActive() and any(job.needs_attention or job.finished_at for job in changes.jobs):
            self._reload_soon()  # the chips' counts
        for job in changes.jobs:
            if job.tracking_number == self._shown:
                self.detail.job_changed(job)
                self.device.job_changed()

    def _tick(self) -> None:
        """Speed and time left change while nothing else does."""
        if self.isVisible():
            self.model.tick(time.monotonic())
            self.detail.tick()

    def _tell_trouble(self, job: JobRow) -> None:
        """Says once that a job paused itself, cannot go on without a person, or that nobody was told of its end."""
        by_itself = job.state is JobState.PAUSED and job.pause_cause is not PauseCause.OPERATOR
        trouble = (str(job.pause_cause) if by_itself else "", job.undecided > 0, job.not_announced)
        before = self._troubles.get(job.tracking_number, ("", False, False))
        if trouble == before:
            return
        self._troubles[job.tracking_number] = trouble
        number = job.tracking_number
        if trouble[0] and trouble[0] != before[0]:
            text = self.tr("{number} paused itself: {cause}").format(
                number=number, cause=words.pause_cause(job.pause_cause)
            )
        elif trouble[1] and not before[1]:
            text = self.tr("{number} needs your decision on {devices}").format(
                number=number, devices=words.devices(job.undecided)
            )
        elif trouble[2] and not before[2]:
            text = self.tr("{number}: the other system was not told that it ended").format(number=number)
        else:
            return
        self._context.notify(text, Tone.WARNING, action=self.tr("Show job"), run=lambda: self._context.show_job(number))

    # --- list ---------------------------------------------------------------------------------------------------------

    def _filter(self) -> JobFilter:
        on = self.chips.on()
        return JobFilter(on[0]) if on else JobFilter.ALL

    def _apply_filter(self) -> None:
        self.model.show(self._filter(), self.search.text().strip())

    def _reload_soon(self) -> None:
        if not self._reload_timer.isActive():
            self._reload_timer.start()

    def _focus_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    def _loaded(self) -> None:
        has_rows = self.model.row_total() > 0
        self._stack.setCurrentIndex(0 if has_rows else 1)
        if not has_rows:
            self._write_empty()
        wanted = self._wanted or self._shown
        row = self.model.row_of(wanted) if wanted else -1
        if row >= 0:
            self._wanted = ""
            self.table.set_current_row(row)
        elif has_rows and not self._wanted:
            self.table.set_current_row(0)
        self._chosen(self.table.current_row())

    def _write_empty(self) -> None:
        text = self.search.text().strip()
        is_first = not text and self._filter() is JobFilter.ALL
        self._associate.setVisible(is_first)
        if is_first:
            self._empty.show_texts(
                self.tr("No jobs yet"), self.tr("What you submit is worked on in the background and shown here.")
            )
        elif text:
            self._empty.show_texts(
                self.tr("No job matches “{text}”").format(text=text), self.tr("Clear the search or choose All.")
            )
        else:
            self._empty.show_texts(self.tr("No jobs here"), self.tr("No job is in this state now."))

    def _rows_changed(self) -> None:
        row = self.table.current_row()
        if row >= 0:
            job = self.model.row_at(row)
            if job.tracking_number == self._shown:
                self.detail.job_changed(job)

    def _chosen(self, row: int) -> None:
        job: JobRow | None = self.model.row_at(row) if 0 <= row < self.model.row_total() else None
        number = job.tracking_number if job else ""
        if number == self._new and self.isVisible():
            self._new = ""
        if number == self._shown:
            if job is not None:
                self.detail.job_changed(job)
            return
        self._shown = number
        self.device.close_panel()
        self.detail.show_job(job)

    # --- device -------------------------------------------------------------------------------------------------------

    def _open_device(self, line: int) -> None:
        self.device.show_work_order(self._shown, line)

    def _device_closed(self) -> None:
        self.detail.table.setFocus()
