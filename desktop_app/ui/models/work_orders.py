"""The devices of one job."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject

from desktop_app.association.states import WorkOrderState
from desktop_app.desk.protocol import JobsDesk, WorkOrderRow
from desktop_app.ui import words
from desktop_app.ui.background import Background, Cancel
from desktop_app.ui.models.paged import Loader, PagedModel
from desktop_app.ui.widgets.rows import EMPTY_CELL, Cell, Column, width_of

PAGE, PAGES_KEPT = 100, 40


class WorkOrderTableModel(PagedModel[WorkOrderRow]):
    """Work orders of one job in some states, by line."""

    def __init__(self, desk: JobsDesk, background: Background, clock: words.Clock, parent: QObject) -> None:
        columns = (
            Column("state", self.tr("Result"), width_of("Outcome unknown", strong=True, icon=True)),
            Column("iccid", self.tr("ICCID"), width_of("0" * 20)),
            Column("message", self.tr("What happened"), 150, stretch=4, rank=1),
            Column("what_to_do", self.tr("What to do"), 150, stretch=3, rank=2),
            Column("attempts", self.tr("Attempts"), width_of("Attempts"), right=True, rank=4),
            Column("time", self.tr("Time"), width_of("00:00:00"), rank=3),
        )
        super().__init__(columns, background, parent, page_size=PAGE, pages_kept=PAGES_KEPT)
        self._desk = desk
        self._clock = clock
        self._tracking_number = ""
        self._states: tuple[WorkOrderState, ...] = ()
        self._error_code = ""

    def show(self, tracking_number: str, states: tuple[WorkOrderState, ...], total: int, error_code: str = "") -> None:
        """Lists the job's work orders in these states (none: all); ``total`` is how many there are."""
        self._tracking_number, self._states, self._error_code = tracking_number, states, error_code
        self.start_over(total)

    def counts_changed(self, total: int) -> None:
        """The job has moved on: the rows in sight are read again, and there are ``total`` of them now."""
        self.resize_rows(total)
        self.refresh()

    def loader(self, first: int, count: int) -> Loader[WorkOrderRow]:
        desk, number, states, code = self._desk, self._tracking_number, self._states, self._error_code

        def load(cancel: Cancel) -> Sequence[WorkOrderRow | None]:
            return desk.work_orders(number, states, code, PAGE, first)

        return load

    def cell(self, row: int, column: int) -> Cell:
        order = self.row_at(row)
        if order is None:
            return EMPTY_CELL
        match self.columns[column].key:
            case "state":
                status = words.work_order_status(order.state)
                return Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong)
            case "iccid":
                return Cell(order.iccid or order.asked_for)
            case "message":
                return Cell(self._message(order))
            case "what_to_do":
                return Cell(order.error.what_to_do if order.error else "", muted=True)
            case "attempts":
                return Cell(words.number(order.attempts))
            case _:
                return Cell(self._clock.second(order.completed_at or order.started_at), muted=True)

    def _message(self, order: WorkOrderRow) -> str:
        if order.error is not None:
            # the row says which device it is; what happened to it shall not be pushed out of sight
            text = order.error.message
            for named in (f" for device {order.iccid}", f" of device {order.iccid}"):
                text = text.replace(named, "")
            return text
        match order.state:
            case WorkOrderState.SUCCEEDED:
                return self.tr("Associated")
            case WorkOrderState.RUNNING:
                return self.tr("Being worked on")
            case WorkOrderState.QUEUED:
                return self.tr("Waits for its turn")
            case _ if order.due_at is not None:
                return self.tr("Goes on at {time}").format(time=self._clock.second(order.due_at))
            case _:
                return ""
