"""What happened: by job and by device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject

from desktop_app.desk.protocol import HistoryDesk, HistoryFilter, HistoryRow, JobRow
from desktop_app.ui import words
from desktop_app.ui.background import Background, Cancel
from desktop_app.ui.models.paged import GrowingModel
from desktop_app.ui.widgets.rows import Cell, Column, width_of

PAGE = 200


class JobHistoryModel(GrowingModel[JobRow]):
    """Finished jobs, the last finished first."""

    def __init__(self, desk: HistoryDesk, background: Background, clock: words.Clock, parent: QObject) -> None:
        columns = (
            Column("finished", self.tr("Finished"), width_of("2026-11-24 00:00")),
            Column("result", self.tr("Result"), width_of("Partly completed", strong=True, icon=True)),
            Column("tracking_number", self.tr("Tracking no."), width_of("AJ-20261124-0000")),
            Column("customer", self.tr("Customer"), 150, stretch=1),
            Column("devices", self.tr("Devices"), width_of("1,000,000"), right=True),
            Column("failed", self.tr("Failed"), width_of("100,000"), right=True),
            Column("submitted", self.tr("Submitted"), width_of("2026-11-24 00:00"), rank=3),
            Column("operator", self.tr("Operator"), 120, rank=2),
            Column("took", self.tr("Took"), width_of("00 min 00 s"), rank=1),
        )
        super().__init__(columns, background, parent, page_size=PAGE)
        self._desk, self._clock = desk, clock
        self._filter = HistoryFilter()

    def show(self, filter: HistoryFilter) -> None:
        """Lists what the filter lets through."""
        self._filter = filter
        self.reload()

    def loader(self, rows: Sequence[JobRow], count: int) -> Callable[[Cancel], Sequence[JobRow]]:
        desk, filter = self._desk, self._filter
        before = rows[-1].tracking_number if rows else None
        return lambda cancel: desk.job_history(filter, count, before)

    def key_of_row(self, row: JobRow) -> object:
        return row.tracking_number

    def cell(self, row: int, column: int) -> Cell:
        job = self._rows[row]
        match self.columns[column].key:
            case "finished":
                return Cell(self._clock.minute(job.finished_at))
            case "submitted":
                return Cell(self._clock.minute(job.submitted_at), muted=True)
            case "result":
                status = words.job_status(job)
                return Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong)
            case "devices":
                return Cell(words.number(job.counts.total))
            case "failed":
                return Cell(words.number(job.counts.failed))
            case "took":
                if job.started_at is None or job.finished_at is None:
                    return Cell()
                return Cell(words.duration((job.finished_at - job.started_at).total_seconds()), muted=True)
            case key:
                return Cell(str(getattr(job, key)), muted=key == "operator")


class DeviceHistoryModel(GrowingModel[HistoryRow]):
    """Facts of devices' histories, newest first."""

    def __init__(self, desk: HistoryDesk, background: Background, clock: words.Clock, parent: QObject) -> None:
        columns = (
            Column("when", self.tr("When"), width_of("2026-11-24 00:00")),
            Column("iccid", self.tr("ICCID"), width_of("0" * 20)),
            Column("what", self.tr("What"), 250, stretch=8),
            Column("tracking_number", self.tr("Tracking no."), width_of("AJ-20261124-0000"), rank=2),
            Column("customer", self.tr("Customer"), 170, stretch=1, rank=1),
            Column("reason", self.tr("Reason"), 110, stretch=1, rank=4),
            Column("operator", self.tr("Operator"), 110, rank=3),
        )
        super().__init__(columns, background, parent, page_size=PAGE)
        self._desk, self._clock = desk, clock
        self._filter = HistoryFilter()

    def show(self, filter: HistoryFilter) -> None:
        """Lists what the filter lets through."""
        self._filter = filter
        self.reload()

    def loader(self, rows: Sequence[HistoryRow], count: int) -> Callable[[Cancel], Sequence[HistoryRow]]:
        desk, filter = self._desk, self._filter
        before = rows[-1].history_id if rows else None
        return lambda cancel: desk.history(filter, count, before)

    def key_of_row(self, row: HistoryRow) -> object:
        return row.history_id

    def cell(self, row: int, column: int) -> Cell:
        fact = self._rows[row]
        match self.columns[column].key:
            case "when":
                return Cell(self._clock.minute(fact.at))
            case "what":
                return Cell(words.history_event(fact))
            case key:
                return Cell(str(getattr(fact, key)), muted=key in {"reason", "operator"})
