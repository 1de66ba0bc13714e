"""The list of jobs, kept up to date from the desk's changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from PySide6.QtCore import QObject

from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause
from desktop_app.desk.protocol import JobFilter, JobRow, JobsDesk
from desktop_app.ui import words
from desktop_app.ui.background import Background, Cancel
from desktop_app.ui.models.paged import GrowingModel
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.rows import Cell, Column, width_of

PAGE = 200
#: Time left is reckoned from what was done within this time.
RATE_WINDOW_S = 30.0


#: Pauses that end by themselves.
GOES_ON = frozenset({PauseCause.ENVIRONMENT, PauseCause.QUOTA})


def waits_until(job: JobRow) -> datetime | None:
    """When a running job goes on of which nothing can be done now; None: it is under way, or a person decides."""
    counts = job.counts
    waiting = counts.outcome_unknown - job.undecided + counts.waiting_retry
    if not waiting or waiting + job.undecided < counts.open:
        return None
    return min((at for at in (job.asks_at, job.retries_at) if at is not None), default=None)


def job_state(job: JobRow) -> words.Status:
    """How a job stands; one that runs and cannot end without a person says so."""
    if job.state is JobState.RUNNING and job.undecided:
        return words.Status("help-circle-filled", words.translate("words", "Needs decision"), Tone.WARNING)
    return words.job_status(job)


class Rates:
    """How fast jobs get on, by their own recent progress: a pause or a slow start does not spoil the time left."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def note(self, job: JobRow, now: float) -> None:
        """Takes down how far the job is; ``now`` in seconds of any steady clock."""
        if job.state is not JobState.RUNNING:
            self._seen.pop(job.tracking_number, None)
            return
        seen = self._seen.setdefault(job.tracking_number, deque())
        if seen and job.counts.done < seen[-1][1]:
            seen.clear()  # a retry has reopened devices
        seen.append((now, job.counts.done))
        while len(seen) > 2 and now - seen[0][0] > RATE_WINDOW_S:
            seen.popleft()

    def per_second(self, tracking_number: str, now: float | None = None) -> float:
        """Devices a second; 0.0 where nothing is known yet.

        Args:
            now: of the same clock: since the last progress nothing was done, which counts; None: at the last progress.
        """
        seen = self._seen.get(tracking_number)
        if not seen:
            return 0.0
        until = seen[-1][0] if now is None else max(now, seen[-1][0])
        if until - seen[-1][0] > RATE_WINDOW_S or seen[-1][0] - seen[0][0] < 0.5:
            return 0.0
        return (seen[-1][1] - seen[0][1]) / (until - seen[0][0])

    def seconds_left(self, job: JobRow, now: float | None = None) -> float | None:
        """Time until the job is through at its present speed, or None."""
        speed = self.per_second(job.tracking_number, now)
        return job.counts.open / speed if speed > 0 else None


class JobTableModel(GrowingModel[JobRow]):
    """Jobs, newest first."""

    def __init__(self, desk: JobsDesk, background: Background, clock: words.Clock, parent: QObject) -> None:
        columns = (
            Column("state", self.tr("State"), width_of("Partly completed", strong=True, icon=True)),
            Column("tracking_number", self.tr("Tracking no."), width_of("AJ-20261124-0000")),
            Column("customer", self.tr("Customer"), 160, stretch=1, rank=2),
            Column("action", self.tr("Action"), width_of("Associate + service + carrier plan"), stretch=3, rank=5),
            Column("progress", self.tr("Progress"), 130, stretch=3, rank=1),
            Column("devices", self.tr("Devices"), width_of("10,000 / 10,000"), right=True, rank=3),
            Column("failed", self.tr("Failed"), width_of("Failed "), right=True),
            Column("time", self.tr("Time"), width_of("Until 20 May 00:00"), rank=4),
        )
        super().__init__(columns, background, parent, page_size=PAGE)
        self._desk = desk
        self._clock = clock
        self._filter, self._text = JobFilter.ALL, ""
        self.rates = Rates()
        self._now = 0.0  # of the clock of take_changes

    def show(self, filter: JobFilter, text: str) -> None:
        """Lists the jobs of this filter that hold the text."""
        self._filter, self._text = filter, text
        self.reload()

    def loader(self, rows: Sequence[JobRow], count: int) -> Callable[[Cancel], Sequence[JobRow]]:
        desk, filter, text, offset = self._desk, self._filter, self._text, len(rows)
        return lambda cancel: desk.jobs(filter, text, count, offset)

    def key_of_row(self, row: JobRow) -> object:
        return row.tracking_number

    def row_of(self, tracking_number: str) -> int:
        """The row of a job, or -1."""
        for place, row in enumerate(self._rows):
            if row.tracking_number == tracking_number:
                return place
        return -1

    def take_changes(self, jobs: Iterable[JobRow], now: float) -> bool:
        """Puts changed jobs in their rows with one signal. True: some are not listed, the list must be read again."""
        self._now = now
        places = {row.tracking_number: place for place, row in enumerate(self._rows)}
        touched, unknown = [], False
        for job in jobs:
            self.rates.note(job, now)
            place = places.get(job.tracking_number)
            if place is None:
                unknown = True
            elif job.revision >= self._rows[place].revision:
                self._rows[place] = job
                touched.append(place)
        if touched:
            self.dataChanged.emit(self.index(min(touched), 0), self.index(max(touched), len(self.columns) - 1))
        return unknown

    def tick(self, now: float) -> None:
        """Time has passed: what is told of running jobs' time left is painted again."""
        self._now = now
        running = [place for place, row in enumerate(self._rows) if row.state is JobState.RUNNING]
        if running:
            column = next(place for place, spec in enumerate(self.columns) if spec.key == "time")
            self.dataChanged.emit(self.index(running[0], column), self.index(running[-1], column))

    def cell(self, row: int, column: int) -> Cell:
        job = self._rows[row]
        counts = job.counts
        match self.columns[column].key:
            case "state":
                status = job_state(job)
                return Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong)
            case "progress":
                share = f"{words.percent(counts.done - counts.cancelled, counts.total)} %"
                return Cell(share, bar=words.job_segments(counts), bar_total=counts.total)
            case "devices":
                return Cell(f"{counts.done - counts.cancelled:,} / {counts.total:,}")
            case "failed":
                return Cell(words.number(counts.failed))
            case "time":
                return Cell(self._time(job), muted=job.state in FINAL_JOBS and not job.not_announced)
            case "action":
                return Cell(job.action.replace("carrier plan + customer plan", self.tr("both plans")), muted=True)
            case key:
                return Cell(str(getattr(job, key)))

    def _time(self, job: JobRow) -> str:
        clock = self._clock
        today = clock.local(datetime.now(UTC)).date()
        if job.state in FINAL_JOBS:
            if job.not_announced:
                return self.tr("Not announced")
            at = clock.short(job.finished_at, today)
            if job.finished_at is not None and clock.local(job.finished_at).year != today.year:
                return at  # the state says how it ended; with a word a whole date would not fit
            word = self.tr("Cancelled {time}") if job.state is JobState.CANCELLED else self.tr("Finished {time}")
            return word.format(time=at)
        if job.state is JobState.RUNNING:
            waits = waits_until(job)
            if waits is not None:
                return self.tr("Until {time}").format(time=clock.soon(waits, datetime.now(UTC)))
            left = self.rates.seconds_left(job, self._now)
            return self.tr("{time} left").format(time=words.about(left)) if left is not None else ""
        if job.state is JobState.PAUSED:
            if job.resume_at is not None and job.pause_cause in GOES_ON:
                return self.tr("Until {time}").format(time=clock.soon(job.resume_at, datetime.now(UTC)))
            return {
                PauseCause.OPERATOR: self.tr("By an operator"),
                PauseCause.ENVIRONMENT: self.tr("No connection"),
                PauseCause.QUOTA: self.tr("Quota used up"),
                PauseCause.THRESHOLD: self.tr("Too many failed"),
                None: "",
            }[job.pause_cause]
        return self.tr("Waits its turn") if job.state is JobState.QUEUED else ""
