"""One job: its numbers, what may be done with it, the causes of its failures, and its devices."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.association.states import FINAL_JOBS, JobState, WorkOrderState
from desktop_app.desk.protocol import CauseGroup, JobCounts, JobDetail, JobRow, Retried, WorkOrderDetail
from desktop_app.ui import words
from desktop_app.ui.background import Lane
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_save
from desktop_app.ui.models.jobs import Rates
from desktop_app.ui.models.work_orders import WorkOrderTableModel
from desktop_app.ui.pages.jobs.bars import JobBars
from desktop_app.ui.pages.jobs.causes import CauseArea
from desktop_app.ui.pages.jobs.notices import Notices
from desktop_app.ui.pages.jobs.progress_row import ProgressRow
from desktop_app.ui.pages.jobs.resolve import ResolveDialog, undecided
from desktop_app.ui.pages.jobs.summary import summary
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.chips import ChipRow
from desktop_app.ui.widgets.dialogs import confirm
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.table import TableView

_W = WorkOrderState
#: The chips over the devices: which states each shows.
GROUPS: dict[str, tuple[WorkOrderState, ...]] = {
    "failed": (_W.FAILED,),
    "unknown": (_W.OUTCOME_UNKNOWN,),
    "rejected": (_W.REJECTED,),
    "done": (_W.SUCCEEDED,),
    "open": (_W.QUEUED, _W.RUNNING, _W.WAITING_RETRY),
    "cancelled": (_W.CANCELLED,),
    "all": (),
}
DETAIL_DEBOUNCE_MS = 250
#: What is above the bars, and the head of the list with two devices below them, in pixels.
AROUND_BARS = 272
#: From this width on (pixels) what is copied is said beside its icon.
WIDE_HEAD = 760
#: So much of a job's reason is shown, the whole is a tool tip.
MOST_OF_REASON = 60
#: From this room on the causes say what to do; else that is their tool tip, and stands in the list.
ROOM_FOR_ADVICE = 110


def group_count(counts: JobCounts, key: str) -> int:
    """How many devices a chip stands for."""
    return {
        "failed": counts.failed,
        "unknown": counts.outcome_unknown,
        "rejected": counts.rejected,
        "done": counts.succeeded,
        "open": counts.queued + counts.running + counts.waiting_retry,
        "cancelled": counts.cancelled,
        "all": counts.total,
    }[key]


class JobDetailPanel(Card):
    """The chosen job; what stands in the panel is made by :meth:`build`.

    Signals:
        device_opened(int): the line of the device that is to be shown.
        steered(): the job was paused, resumed, cancelled or retried from here.
    """

    device_opened = Signal(int)
    steered = Signal()

    def __init__(self, context: Context, rates: Rates, parent: QWidget | None = None) -> None:
        """``rates``: how fast jobs get on."""
        super().__init__(parent, padding=0, spacing=0)
        self.setMinimumHeight(260)
        self._context, self._rates = context, rates
        self._job: JobRow | None = None
        self._cause = ""  # code of the cause that the list is narrowed to
        self._cause_count = 0
        self._busy: set[Button | None] = set()  # buttons whose work is under way
        self.model = WorkOrderTableModel(context.desk, context.background, context.clock, self)
        self.model.load_failed.connect(context.complain)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DETAIL_DEBOUNCE_MS)
        self._timer.timeout.connect(self._fetch)

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self) -> Iterator[None]:
        """Fills the panel in parts; see :meth:`desktop_app.ui.pages.page.Page.build`."""
        self._stack = QStackedWidget()
        self.body.addWidget(self._stack)
        empty = EmptyState("list-check")
        self._stack.addWidget(empty)
        empty.show_texts(self.tr("No job chosen"), self.tr("Choose a job in the list above to see its devices."))
        whole = QWidget()
        self._stack.addWidget(whole)
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        top = QVBoxLayout()
        top.setContentsMargins(12, 12, 12, 4)
        top.setSpacing(8)
        column.addLayout(top)
        self._build_head(top)
        yield
        self.progress = ProgressRow(self._context, self._rates)
        top.addWidget(self.progress)
        self._build_chips(top)
        yield
        self._build_bars(column)
        yield
        self._build_table(column)
        yield

    def _build_chips(self, top: QVBoxLayout) -> None:
        self.chips = ChipRow("workOrderFilter", self.tr("Which devices"), exclusive=True)
        top.addWidget(self.chips)
        for key, word in (
            ("failed", self.tr("Failed")),
            ("unknown", self.tr("Unknown")),
            ("rejected", self.tr("Rejected")),
            ("done", self.tr("Done")),
            ("open", self.tr("Open")),
            ("cancelled", self.tr("Cancelled")),
            ("all", self.tr("All")),
        ):
            self.chips.add(key, word)
        self.chips.picked.connect(self._chip_picked)

    def _build_bars(self, column: QVBoxLayout) -> None:
        self._bars = JobBars(self.tr("What to know of this job"))
        column.addWidget(self._bars)
        may_act = self._context.capabilities.may_associate
        self.notices = Notices(self._context.clock, may_act=may_act)
        self.notices.resolve_pressed.connect(self.resolve)
        self.notices.notify_pressed.connect(self._notify_again)
        self._bars.add(self.notices)
        self.causes = CauseArea()
        self.causes.show_pressed.connect(self._show_cause)
        self.causes.retry_pressed.connect(self._retry_cause)
        self.causes.edit_pressed.connect(self._edit_cause)
        self.causes.resolve_pressed.connect(lambda cause: self.resolve(cause.code))
        self._bars.add(self.causes)
        self._bars.add(self.notices.notification)

    def _build_table(self, column: QVBoxLayout) -> None:
        inside = QHBoxLayout()
        inside.setContentsMargins(1, 0, 1, 6)
        column.addLayout(inside, 1)
        self.table = TableView("workOrdersTable", self.tr("Devices of the job"))
        inside.addWidget(self.table)
        self.table.setModel(self.model)
        self.table.opened.connect(self._open_row)
        self.table.clicked.connect(lambda index: self._open_row(index.row()))

    def _build_head(self, top: QVBoxLayout) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        top.addLayout(head)
        self._number = label("", "heading")
        self._number.setStyleSheet("font-size: 14px;")
        self._number.setObjectName("trackingNumber")
        head.addWidget(self._number)
        self.copy_button = self._icon_button("copy", "copyNumberButton", self.copy_number, self.tr("Copy number"))
        self.summary_button = self._icon_button(
            "clipboard-list", "copySummaryButton", self.copy_summary, self.tr("Copy a summary for a ticket")
        )
        for button in (self.copy_button, self.summary_button):
            head.addWidget(button)
        head.addStretch(1)
        self.export_button = self._head_button(self.tr("Export…"), "file-export", "exportCsvButton", self.export)
        self.export_button.setAccessibleName(self.tr("Export result…"))
        self.pause_button = self._head_button(self.tr("Pause"), "player-pause", "pauseJobButton", self.pause)
        self.resume_button = self._head_button(self.tr("Resume"), "player-play", "resumeJobButton", self.resume)
        self.cancel_button = self._head_button(self.tr("Cancel…"), "ban", "cancelJobButton", self.cancel)
        self.retry_button = self._head_button(
            self.tr("Retry failed"), "refresh", "retryFailedButton", self.retry, kind="primary"
        )
        for button in (
            self.export_button,
            self.pause_button,
            self.resume_button,
            self.cancel_button,
            self.retry_button,
        ):
            head.addWidget(button)

    def _icon_button(self, icon: str, name: str, run: Callable[[], None], said: str) -> Button:
        button = Button(kind="icon", icon=icon, name=name, accessible=said, tip=said)
        button.clicked.connect(lambda: run())
        return button

    def _head_button(self, text: str, icon: str, name: str, run: Callable[[], None], kind: str = "normal") -> Button:
        button = Button(text, icon=icon, name=name, accessible=text, kind=kind)
        button.clicked.connect(lambda: run())
        return button

    # --- what others call ---------------------------------------------------------------------------------------------

    def show_job(self, job: JobRow | None) -> None:
        """Shows another job, or none."""
        self._job = job
        self._cause = ""
        self._stack.setCurrentIndex(0 if job is None else 1)
        self.causes.show_causes((), may_act=False)
        self.notices.show_notification(None)
        self.progress.show_job(None)
        if job is None:
            self.model.start_over(0)
            return
        counts = job.counts
        first = next((key for key in ("failed", "unknown", "rejected") if group_count(counts, key)), "all")
        self.chips.set_on(first)
        self._write(job)
        self._list()
        self._fetch()

    def job_changed(self, job: JobRow) -> None:
        """The job that is shown has moved on."""
        if self._job is None or job.tracking_number != self._job.tracking_number or job == self._job:
            return
        moved = job.counts != self._job.counts
        self._job = job
        self._write(job)
        if moved:
            self.model.counts_changed(self._total())
        if not self._timer.isActive():
            self._timer.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        is_wide = self.width() >= WIDE_HEAD
        for button, text in (
            (self.copy_button, self.tr("Copy number")),
            (self.summary_button, self.tr("Copy summary")),
        ):
            button.show_text(text if is_wide else "")
        self._fit_bars()

    def _fit_bars(self) -> None:
        """Gives the bars what room there is; the facts above them take one line or two."""
        facts = self.progress.facts
        more = max(0, facts.heightForWidth(facts.width()) - facts.fontMetrics().height())
        room = self.height() - AROUND_BARS - more
        self.causes.set_brief(room < ROOM_FOR_ADVICE)
        self._bars.allow(room)

    def tick(self) -> None:
        """Time has passed: speed and time left of a job that runs are told anew."""
        if self._job is not None and self._job.state not in FINAL_JOBS:
            self.progress.tick()

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
            facts.append(f"“{textwrap.shorten(job.reason, MOST_OF_REASON, placeholder='…')}”")
        self.progress.facts.setText(" · ".join(facts))
        self.progress.facts.setToolTip(job.reason)
        self.progress.show_job(job)
        self.chips.set_counts({key: group_count(counts, key) for key in GROUPS})
        always = {"all", "done", *self.chips.on()}
        self.chips.show_only(*(key for key in GROUPS if key in always or group_count(counts, key)))
        is_final, may_act = job.state in FINAL_JOBS, self._context.capabilities.may_associate
        is_paused = job.state is JobState.PAUSED
        again = counts.failed + counts.rejected + counts.cancelled
        self.pause_button.setVisible(not is_final and not is_paused and job.state is not JobState.FINISHING)
        self.resume_button.setVisible(is_paused)
        self.cancel_button.setVisible(not is_final and job.state is not JobState.FINISHING)
        self.retry_button.setVisible(is_final and again > 0)
        self.retry_button.setText(self._retry_text(counts))
        self.retry_button.setAccessibleName(self.retry_button.text())
        self._fit_bars()
        for button in (self.pause_button, self.resume_button, self.cancel_button, self.retry_button):
            button.setEnabled(may_act and button not in self._busy)
            button.setToolTip("" if may_act else self.tr("You may look, but you have no right to associate devices"))
        self.notices.show_job(job)

    def _retry_text(self, counts: JobCounts) -> str:
        if counts.failed:
            return self.tr("Retry {n} failed").format(n=words.number(counts.failed))
        if counts.rejected:
            return self.tr("Retry {n} rejected").format(n=words.number(counts.rejected))
        return self.tr("Retry {n} cancelled").format(n=words.number(counts.cancelled))

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

    # --- causes -----------------------------------------------------------------------------------------------------

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
        may_act = self._context.capabilities.may_associate and detail.job.state is not JobState.FINISHING
        self.causes.show_causes(detail.causes, may_act=may_act)
        self.notices.show_notification(detail.notification)
        for cause in detail.causes:
            if cause.code == self._cause and cause.count != self._cause_count:
                self._cause_count = cause.count
                self.model.counts_changed(cause.count)

    def _show_cause(self, cause: CauseGroup) -> None:
        self._cause, self._cause_count = cause.code, cause.count
        self.chips.set_on()
        self._list()

    def _retry_cause(self, cause: CauseGroup) -> None:
        desk, code = self._context.desk, cause.code
        self._steer(lambda number: desk.retry(number, code), "{number}", self.retry_button)

    def _edit_cause(self, cause: CauseGroup) -> None:
        """Opens the request anew with the devices of this cause."""
        if self._job is None:
            return
        desk, number, context = self._context.desk, self._job.tracking_number, self._context
        states, code = (cause.state,), cause.code
        context.background.run(
            lambda cancel: desk.draft(number, states, code),
            done=context.fill_in,
            failed=context.complain,
            key="draft",
            owner=self,
        )

    # --- unknown outcomes, notification -------------------------------------------------------------------------------

    def resolve(self, error_code: str = "", line: int = 0) -> None:
        """Asks a person about the devices that billing cannot tell of: those of a cause, or the one of a line."""
        if self._job is None:
            return
        desk, number = self._context.desk, self._job.tracking_number

        def ask(details: tuple[WorkOrderDetail, ...]) -> None:
            if not details:
                self._context.notify(self.tr("Nothing waits for a decision any more"), Tone.INFO)
                return
            dialog = ResolveDialog(self, self._context, number, details)
            dialog.resolved.connect(self._resolved)
            dialog.open()

        self._context.background.run(
            lambda cancel: undecided(desk, number, error_code, line),
            done=ask,
            failed=self._context.complain,
            key="undecided",
            owner=self,
        )

    def _resolved(self, iccid: str) -> None:
        self._context.notify(self.tr("{iccid} is settled and goes on").format(iccid=iccid))
        self.steered.emit()

    def _notify_again(self) -> None:
        desk = self._context.desk
        self._steer(desk.notify_again, self.tr("{number}: the notification is sent again"), None)

    # --- steering -----------------------------------------------------------------------------------------------------

    def copy_number(self) -> None:
        """Puts the tracking number into the clipboard."""
        if self._job is not None:
            number = self._job.tracking_number
            QGuiApplication.clipboard().setText(number)
            self._context.notify(self.tr("{number} copied").format(number=number), Tone.INFO)

    def copy_summary(self) -> None:
        """Puts the job in a few lines of text into the clipboard."""
        if self._job is None:
            return
        desk, clock, number = self._context.desk, self._context.clock, self._job.tracking_number

        def copy(text: str) -> None:
            QGuiApplication.clipboard().setText(text)
            self._context.notify(self.tr("Summary of {number} copied").format(number=number), Tone.INFO)

        self._context.background.run(
            lambda cancel: summary(desk, number, clock),
            done=copy,
            failed=self._context.complain,
            key="summary",
            owner=self,
        )

    def export(self) -> None:
        """Asks for a file and writes the result."""
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

    def _steer(self, work: Callable[[str], object], said: str, button: Button | None) -> None:
        """Does something with the job; the button waits until it is done."""
        if self._job is None or button in self._busy:
            return
        number = self._job.tracking_number
        if button is not None:
            self._busy.add(button)
            button.setEnabled(False)

        def over() -> None:
            if button is not None:
                self._busy.discard(button)
                button.setEnabled(True)

        def done(result: object) -> None:
            over()
            self._context.notify(self._said(said, number, result))
            self._fetch()
            self.steered.emit()

        def failed(error: Exception) -> None:
            over()
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

    def pause(self) -> None:
        """Has nothing more of the job begun."""
        self._steer(self._context.desk.pause, self.tr("{number} paused"), self.pause_button)

    def resume(self) -> None:
        """Ends a pause."""
        self._steer(self._context.desk.resume, self.tr("{number} goes on"), self.resume_button)

    def retry(self) -> None:
        """Tries again all that failed, was rejected or was cancelled."""
        self._steer(self._context.desk.retry, "{number}", self.retry_button)

    def cancel(self) -> None:
        """Asks, and says what stays done."""
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
