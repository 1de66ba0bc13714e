"""One job: its numbers, what may be done with it, the causes of its failures, and its devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause, WorkOrderState
from desktop_app.desk.protocol import CauseGroup, JobCounts, JobDetail, JobRow, Retried
from desktop_app.ui import words
from desktop_app.ui.background import Lane
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_save
from desktop_app.ui.models.work_orders import WorkOrderTableModel
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.dialogs import confirm
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import ElidedLabel, label
from desktop_app.ui.widgets.table import TableView

_W = WorkOrderState
#: The chips over the devices: which states each shows.
GROUPS: dict[str, tuple[WorkOrderState, ...]] = {
    "failed": (_W.FAILED, _W.OUTCOME_UNKNOWN),
    "rejected": (_W.REJECTED,),
    "done": (_W.SUCCEEDED,),
    "open": (_W.QUEUED, _W.RUNNING, _W.WAITING_RETRY),
    "cancelled": (_W.CANCELLED,),
    "all": (),
}
#: Causes are shown side by side, two in a row, and no more than this.
MOST_CAUSES = 4
#: From this width on (pixels) each cause says what to do.
WIDE = 760
DETAIL_DEBOUNCE_MS = 250


def group_count(counts: JobCounts, key: str) -> int:
    """How many devices a chip stands for."""
    return {
        "failed": counts.failed + counts.outcome_unknown,
        "rejected": counts.rejected,
        "done": counts.succeeded,
        "open": counts.queued + counts.running + counts.waiting_retry,
        "cancelled": counts.cancelled,
        "all": counts.total,
    }[key]


def _urgency(cause: CauseGroup) -> tuple[int, int]:
    """What somebody should look at first comes first."""
    order = (WorkOrderState.FAILED, WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.REJECTED)
    return order.index(cause.state) if cause.state in order else len(order), -cause.count


class JobDetailPanel(Card):
    """The chosen job.

    Signals:
        device_opened(int): the line of the device that is to be shown.
        steered(): the job was paused, resumed, cancelled or retried from here.
    """

    device_opened = Signal(int)
    steered = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent, padding=0, spacing=0)
        self.setMinimumHeight(230)
        self._context = context
        self._job: JobRow | None = None
        self._causes: tuple[CauseGroup, ...] | None = None
        self._cause = ""  # code of the cause that the list is narrowed to
        self._cause_count = 0
        self.model = WorkOrderTableModel(context.desk, context.background, context.clock, self)
        self.model.load_failed.connect(context.complain)
        self._stack = QStackedWidget()
        self.body.addWidget(self._stack)
        empty = EmptyState("list-check")
        empty.show_texts(self.tr("No job chosen"), self.tr("Choose a job in the list above to see its devices."))
        self._stack.addWidget(empty)
        self._stack.addWidget(self._build())
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DETAIL_DEBOUNCE_MS)
        self._timer.timeout.connect(self._fetch)

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> QWidget:
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        top = QVBoxLayout()
        top.setContentsMargins(12, 12, 12, 4)
        top.setSpacing(8)
        top.addLayout(self._build_head())
        self._facts = ElidedLabel(kind="muted")
        top.addWidget(self._facts)
        self.chips = ChipRow("workOrderFilter", self.tr("Which devices"), exclusive=True)
        for key, word in (
            ("failed", self.tr("Failed")),
            ("rejected", self.tr("Rejected")),
            ("done", self.tr("Done")),
            ("open", self.tr("Open")),
            ("cancelled", self.tr("Cancelled")),
            ("all", self.tr("All")),
        ):
            self.chips.add(key, word)
        self.chips.picked.connect(self._chip_picked)
        top.addWidget(self.chips)
        self.pause_bar = InfoBar(Tone.WARNING)
        self.pause_bar.setObjectName("pauseBar")
        self.pause_bar.hide()
        top.addWidget(self.pause_bar)
        self._cause_area = QWidget()
        self._cause_grid = QGridLayout(self._cause_area)
        self._cause_grid.setContentsMargins(0, 0, 0, 0)
        self._cause_grid.setSpacing(8)
        self._cause_bars: list[InfoBar] = []
        self._shown_causes: list[CauseGroup] = []
        self._cause_area.hide()
        top.addWidget(self._cause_area)
        column.addLayout(top)
        self.table = TableView("workOrdersTable", self.tr("Devices of the job"))
        self.table.setModel(self.model)
        self.table.opened.connect(self._open_row)
        self.table.clicked.connect(lambda index: self._open_row(index.row()))
        inside = QHBoxLayout()
        inside.setContentsMargins(1, 0, 1, 6)
        inside.addWidget(self.table)
        column.addLayout(inside, 1)
        return whole

    def _build_head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(8)
        self._number = label("", "heading")
        self._number.setStyleSheet("font-size: 14px;")
        self._number.setObjectName("trackingNumber")
        head.addWidget(self._number)
        head.addStretch(1)
        self.copy_button = self._head_button("", "copy", "copyNumberButton", self._copy, self.tr("Copy number"))
        self.export_button = self._head_button(
            self.tr("Export result CSV…"), "file-export", "exportCsvButton", self._export
        )
        self.pause_button = self._head_button(self.tr("Pause"), "player-pause", "pauseJobButton", self._pause)
        self.resume_button = self._head_button(self.tr("Resume"), "player-play", "resumeJobButton", self._resume)
        self.cancel_button = self._head_button(self.tr("Cancel…"), "ban", "cancelJobButton", self._cancel)
        self.retry_button = self._head_button(
            self.tr("Retry failed"), "refresh", "retryFailedButton", self._retry, kind="primary"
        )
        for button in (
            self.copy_button,
            self.export_button,
            self.pause_button,
            self.resume_button,
            self.cancel_button,
            self.retry_button,
        ):
            head.addWidget(button)
        return head

    def _head_button(
        self, text: str, icon: str, name: str, run: Callable[[], None], tip: str = "", kind: str = "normal"
    ) -> Button:
        button = Button(text, icon=icon, name=name, accessible=tip or text, tip=tip, kind=kind)
        button.clicked.connect(lambda: run())
        return button

    # --- what others call ---------------------------------------------------------------------------------------------

    def show_job(self, job: JobRow | None) -> None:
        """Shows another job, or none."""
        self._job = job
        self._causes, self._cause = None, ""
        self._stack.setCurrentIndex(0 if job is None else 1)
        self._show_causes(())
        if job is None:
            self.model.start_over(0)
            return
        counts = job.counts
        first = next((key for key in ("failed", "rejected") if group_count(counts, key)), "all")
        self.chips.set_on(first)
        self._write(job)
        self._list()
        self._fetch()

    def job_changed(self, job: JobRow) -> None:
        """The job that is shown has moved on."""
        if self._job is None or job.tracking_number != self._job.tracking_number or job == self._job:
            return
        self._job = job
        self._write(job)
        self.model.counts_changed(self._total())
        if not self._timer.isActive():
            self._timer.start()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write(self, job: JobRow) -> None:
        counts, clock = job.counts, self._context.clock
        self._number.setText(job.tracking_number)
        facts = [
            job.customer,
            job.action,
            self.tr("submitted {time} by {operator}").format(
                time=clock.minute(job.submitted_at), operator=job.operator
            ),
            self.tr("effective {date}").format(date=words.day(job.effective_date))
            if job.effective_date
            else self.tr("effective on activation"),
        ]
        if job.run_no > 1:
            facts.append(self.tr("run {n}").format(n=job.run_no))
        if job.reason:
            facts.append(f"“{job.reason}”")
        self._facts.setText(" · ".join(facts))
        self.chips.set_counts({key: group_count(counts, key) for key in GROUPS})
        always = {"all", "done", *self.chips.on()}
        self.chips.show_only(*(key for key in GROUPS if key in always or group_count(counts, key)))
        is_final = job.state in FINAL_JOBS
        is_paused = job.state is JobState.PAUSED
        again = counts.failed + counts.rejected + counts.cancelled
        self.pause_button.setVisible(not is_final and not is_paused and job.state is not JobState.FINISHING)
        self.resume_button.setVisible(is_paused)
        self.cancel_button.setVisible(not is_final and job.state is not JobState.FINISHING)
        self.retry_button.setVisible(is_final and again > 0)
        self.retry_button.setText(self._retry_text(counts))
        self.retry_button.setAccessibleName(self.retry_button.text())
        self._write_pause(job)

    def _retry_text(self, counts: JobCounts) -> str:
        if counts.failed:
            return self.tr("Retry {n} failed").format(n=words.number(counts.failed))
        if counts.rejected:
            return self.tr("Retry {n} rejected").format(n=words.number(counts.rejected))
        return self.tr("Retry {n} cancelled").format(n=words.number(counts.cancelled))

    def _write_pause(self, job: JobRow) -> None:
        is_paused = job.state is JobState.PAUSED
        self.pause_bar.setVisible(is_paused)
        if is_paused:
            by_itself = job.pause_cause in {PauseCause.ENVIRONMENT, PauseCause.QUOTA}
            rest = self.tr("It goes on by itself.") if by_itself else self.tr("Resume it when it may go on.")
            title = self.tr("Paused: {cause}.").format(cause=words.pause_cause(job.pause_cause))
            tone = Tone.INFO if job.pause_cause is PauseCause.OPERATOR else Tone.WARNING
            self.pause_bar.show_message(title, " ".join(filter(None, (job.pause_reason, rest))), tone)

    # --- devices ------------------------------------------------------------------------------------------------------

    def _group(self) -> str:
        on = self.chips.on()
        return on[0] if on else "all"

    def _total(self) -> int:
        if self._cause:
            return self._cause_count
        return group_count(self._job.counts, self._group()) if self._job else 0

    def _list(self) -> None:
        if self._job is not None:
            states = () if self._cause else GROUPS[self._group()]
            self.model.show(self._job.tracking_number, states, self._total(), self._cause)

    def _chip_picked(self) -> None:
        self._cause = ""
        self._list()

    def _open_row(self, row: int) -> None:
        order = self.model.row_at(row)
        if order is not None:
            self.device_opened.emit(order.line)

    # --- causes -------------------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        if self._job is None:
            return
        desk, number = self._context.desk, self._job.tracking_number
        self._context.background.run(
            lambda cancel: desk.job(number), done=self._fetched, failed=self._context.complain, key="job", owner=self
        )

    def _fetched(self, detail: JobDetail) -> None:
        if self._job is None or detail.job.tracking_number != self._job.tracking_number:
            return
        if detail.causes != self._causes:
            self._causes = detail.causes
            self._show_causes(detail.causes)
            for cause in detail.causes:
                if cause.code == self._cause and cause.count != self._cause_count:
                    self._cause_count = cause.count
                    self.model.counts_changed(cause.count)

    def _show_causes(self, causes: tuple[CauseGroup, ...]) -> None:
        for bar in self._cause_bars:
            self._cause_grid.removeWidget(bar)
            bar.clear_actions()
            bar.hide()
            bar.deleteLater()
        self._cause_bars.clear()
        self._shown_causes.clear()
        for place, cause in enumerate(sorted(causes, key=_urgency)[:MOST_CAUSES]):
            tone = Tone.ERROR if cause.state is WorkOrderState.FAILED and not cause.retryable else Tone.WARNING
            bar = InfoBar(tone, self._cause_area, stacked=True)
            bar.setToolTip(cause.what_to_do)
            text = self.tr("Show {count}").format(count=words.number(cause.count))
            button = bar.add_action(text, partial(self._show_cause, cause), f"cause_{cause.code}")
            button.setAccessibleName(f"{text}: {cause.title}")
            self._cause_grid.addWidget(bar, place // 2, place % 2)
            bar.show()
            self._cause_bars.append(bar)
            self._shown_causes.append(cause)
        for column in (0, 1):
            self._cause_grid.setColumnStretch(column, 1 if column < len(causes) else 0)
        self._write_causes()
        self._cause_area.setVisible(bool(causes))

    def _write_causes(self) -> None:
        """Says what to do where there is room for it; else that is the tool tip, and stands in the list."""
        has_room = self.width() >= WIDE
        for bar, cause in zip(self._cause_bars, self._shown_causes, strict=True):
            bar.show_message(words.devices_that(cause.count, cause.title), cause.what_to_do if has_room else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._write_causes()

    def _show_cause(self, cause: CauseGroup) -> None:
        self._cause, self._cause_count = cause.code, cause.count
        self.chips.set_on()
        self._list()

    # --- steering -----------------------------------------------------------------------------------------------------

    def _copy(self) -> None:
        if self._job is not None:
            number = self._job.tracking_number
            QGuiApplication.clipboard().setText(number)
            self._context.notify(self.tr("{number} copied").format(number=number), Tone.INFO)

    def _export(self) -> None:
        if self._job is None:
            return
        desk, context, number = self._context.desk, self._context, self._job.tracking_number

        def write(path: Path) -> None:
            context.background.run(
                lambda cancel: desk.export(number, path, cancel),
                done=lambda rows: context.notify(
                    self.tr("Result exported: {count} devices in {file}").format(
                        count=words.number(rows), file=path.name
                    )
                ),
                failed=context.complain,
                owner=self,
                lane=Lane.LONG,
            )

        kinds = self.tr("CSV (*.csv);;Excel (*.xlsx)")
        ask_save(self, self.tr("Export result"), kinds, f"{number}.csv", write)

    def _steer(self, work: Callable[[str], object], said: str, button: Button) -> None:
        """Does something with the job; the button waits until it is done."""
        if self._job is None:
            return
        number = self._job.tracking_number
        button.setEnabled(False)

        def done(result: object) -> None:
            button.setEnabled(True)
            self._context.notify(self._said(said, number, result))
            self.steered.emit()

        def failed(error: Exception) -> None:
            button.setEnabled(True)
            self._context.complain(error)

        self._context.background.run(lambda cancel: work(number), done=done, failed=failed, owner=self, lane=Lane.LONG)

    def _said(self, said: str, number: str, result: object) -> str:
        text = said.format(number=number)
        if isinstance(result, Retried):
            text = self.tr("{number}: {devices} queued again").format(
                number=number, devices=words.devices(result.requeued)
            )
            if result.still_blocked:
                text += " · " + self.tr("{n} still blocked").format(n=words.number(result.still_blocked))
        return text

    def _pause(self) -> None:
        self._steer(self._context.desk.pause, self.tr("{number} paused"), self.pause_button)

    def _resume(self) -> None:
        self._steer(self._context.desk.resume, self.tr("{number} goes on"), self.resume_button)

    def _retry(self) -> None:
        self._steer(self._context.desk.retry, "{number}", self.retry_button)

    def _cancel(self) -> None:
        if self._job is None:
            return
        counts = self._job.counts
        text = self.tr(
            "{open} devices are not done yet: those not begun are cancelled, calls in flight finish. "
            "What is done stays done: {done} devices. Outcomes that are unknown are still resolved."
        ).format(open=words.number(counts.open), done=words.number(counts.succeeded))
        confirm(
            self,
            self.tr("Cancel {number}?").format(number=self._job.tracking_number),
            text,
            yes=self.tr("Cancel the job"),
            no=self.tr("Keep it running"),
            run=lambda: self._steer(self._context.desk.cancel, self.tr("{number} cancelled"), self.cancel_button),
            danger=True,
        )
