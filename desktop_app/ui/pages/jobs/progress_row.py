"""How far a job is: bar, share, speed, time left, and what came of its devices when."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from PySide6.QtCore import QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.desk.protocol import JobProgress, JobRow
from desktop_app.ui import words
from desktop_app.ui.context import Context
from desktop_app.ui.models.jobs import GOES_ON, Rates, waits_until
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.labels import ElidedLabel, label
from desktop_app.ui.widgets.outcome_chart import Bar, OutcomeChart
from desktop_app.ui.widgets.segmented_bar import SegmentedBar

#: The chart of a job that runs is read again so often, or more rarely where reading takes long.
REFRESH_MS = 2_000
#: A reading may take this share of the time.
SHARE = 0.05
#: From this width on (pixels) there is room for the chart.
WIDE = 620


class ProgressRow(QWidget):
    """Facts and bar at the left, the chart at the right."""

    def __init__(self, context: Context, rates: Rates, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._rates = context, rates
        self._job: JobRow | None = None
        self._asked_at = 0.0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(16)
        left = QVBoxLayout()
        left.setSpacing(6)
        self.facts = label(kind="muted", wrap=True)
        left.addWidget(self.facts)
        line = QHBoxLayout()
        line.setSpacing(10)
        self.bar = SegmentedBar(height=10)
        self.bar.setMinimumWidth(90)
        self.bar.setMaximumWidth(380)
        line.addWidget(self.bar, 2)
        self.text = ElidedLabel()
        self.text.setObjectName("progressText")
        line.addWidget(self.text, 3)
        left.addLayout(line)
        row.addLayout(left, 1)
        self.chart = OutcomeChart(self.tr("Outcomes over time"))
        self.chart.hide()
        row.addWidget(self.chart)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._fetch)

    # --- what others call ---------------------------------------------------------------------------------------------

    def show_job(self, job: JobRow | None) -> None:
        """Shows another job, or the same one at another moment."""
        is_other = job is None or self._job is None or job.tracking_number != self._job.tracking_number
        is_news = is_other or job != self._job
        ended = not is_other and job is not None and self._job is not None and job.state is not self._job.state
        self._job = job
        if is_other:
            self._timer.stop()
            self._timer.setInterval(REFRESH_MS)
            self._context.background.drop("job/progress")
            self.chart.show_bars((), "", "")
            self._show_chart()
        if job is None:
            return
        self.tick()
        if is_other or ended:
            self._fetch()
        elif is_news and not self._timer.isActive():
            self._timer.start()

    def tick(self) -> None:
        """Time has passed, or the job has moved on."""
        job = self._job
        if job is None:
            return
        counts = job.counts
        parts = [
            f"{words.percent(counts.done - counts.cancelled, counts.total)} %",
            self.tr("{done} of {total}").format(
                done=words.number(counts.done - counts.cancelled), total=words.number(counts.total)
            ),
            *self._pace(job),
        ]
        text = " · ".join(parts)
        self.text.setText(text)
        self.bar.show_segments(words.job_segments(counts), counts.total, text)
        self.bar.setToolTip(self._segments_in_words(job))

    # --- words --------------------------------------------------------------------------------------------------------

    def _pace(self, job: JobRow) -> list[str]:
        """How fast it is and what it waits for."""
        clock, now = self._context.clock, datetime.now(UTC)
        if job.state in FINAL_JOBS:
            if job.started_at is None or job.finished_at is None:
                return []
            took = (job.finished_at - job.started_at).total_seconds()
            return [self.tr("took {time}").format(time=words.duration(took))]
        if job.state is JobState.PAUSED:
            if job.resume_at is not None and job.pause_cause in GOES_ON:
                return [self.tr("paused, looks again at {time}").format(time=clock.soon(job.resume_at, now))]
            return [self.tr("paused")]
        if job.state is not JobState.RUNNING:
            return [self.tr("waits for its turn") if job.state is JobState.QUEUED else self.tr("being finished")]
        waits = waits_until(job)
        if waits is not None:
            for_billing = job.counts.outcome_unknown > job.undecided
            text = self.tr("waiting for billing until {time}") if for_billing else self.tr("tries again at {time}")
            return [text.format(time=clock.soon(waits, now))]
        if job.undecided and job.undecided == job.counts.open:
            return [self.tr("waits for your decision")]
        speed = self._rates.per_second(job.tracking_number, time.monotonic())
        if speed <= 0:
            return []
        return [
            self.tr("{n} a minute").format(n=_rate(speed * 60)),
            self.tr("{time} left").format(time=words.about(job.counts.open / speed)),
        ]

    def _segments_in_words(self, job: JobRow) -> str:
        counts = job.counts
        told = (
            (counts.succeeded, self.tr("done")),
            (counts.failed, self.tr("failed")),
            (counts.rejected, self.tr("rejected")),
            (counts.outcome_unknown, self.tr("outcome unknown")),
            (counts.running + counts.waiting_retry, self.tr("under way")),
            (counts.queued, self.tr("queued")),
            (counts.cancelled, self.tr("cancelled")),
        )
        return " · ".join(f"{words.number(count)} {word}" for count, word in told if count)

    # --- chart --------------------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        if self._job is None:
            return
        desk, number = self._context.desk, self._job.tracking_number
        self._asked_at = time.monotonic()
        self._context.background.run(
            lambda cancel: desk.job_progress(number),
            done=self._fetched,
            failed=lambda error: None,  # the bar tells the same; who loses the desk is told so by the window
            key="job/progress",
            owner=self,
        )

    def _fetched(self, progress: JobProgress) -> None:
        if self._job is None:
            return
        bars = tuple(self._bar(progress, place) for place in range(len(progress.slots)))
        peak = max((bar.total for bar in bars), default=0) * 60 / progress.slot_s
        done = sum(slot.succeeded for slot in progress.slots)
        failed = sum(slot.failed for slot in progress.slots)
        spoken = ""
        if bars and progress.begun_at is not None:
            spoken = self.tr("From {time} on: {done} done, {failed} failed, at most {peak} a minute").format(
                time=self._context.clock.second(progress.begun_at),
                done=words.number(done),
                failed=words.number(failed),
                peak=_rate(peak),
            )
        self.chart.show_bars(bars, self.tr("Peak {n} a minute").format(n=_rate(peak)), spoken)
        self._show_chart()
        if self._job.state not in FINAL_JOBS:
            took_ms = 1_000 * (time.monotonic() - self._asked_at)
            self._timer.setInterval(max(REFRESH_MS, round(took_ms / SHARE)))

    def _bar(self, progress: JobProgress, place: int) -> Bar:
        slot = progress.slots[place]
        begun = progress.begun_at
        assert begun is not None
        at = self._context.clock.second(begun + timedelta(seconds=place * progress.slot_s))
        told = (
            (slot.succeeded, self.tr("done")),
            (slot.failed, self.tr("failed")),
            (slot.cancelled, self.tr("cancelled")),
        )
        counts = ", ".join(f"{words.number(count)} {word}" for count, word in told if count) or self.tr("nothing")
        spoken = self.tr("{time}, {seconds}: {counts}").format(
            time=at, seconds=words.duration(progress.slot_s), counts=counts
        )
        return Bar(((Tone.OK, slot.succeeded), (Tone.ERROR, slot.failed), (Tone.NEUTRAL, slot.cancelled)), spoken)

    def _show_chart(self) -> None:
        self.chart.setVisible(self.width() >= WIDE and any(bar.total for bar in self.chart.bars()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_chart()


def _rate(per_minute: float) -> str:
    """A rate with as many digits as it deserves."""
    return words.number(round(per_minute)) if per_minute >= 10 else f"{per_minute:.1f}"
