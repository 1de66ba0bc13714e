"""The view of a table: its columns fit its width, its rows are painted as a whole, and one of them is current.

Bulk selection is no business of the view. What a row shows is :mod:`~desktop_app.ui.widgets.rows`, how it is painted
:mod:`~desktop_app.ui.widgets.row_painter`.
"""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QEvent, QItemSelectionModel, QModelIndex, Qt, Signal
from PySide6.QtGui import (
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QToolTip, QWidget

from desktop_app.ui.interpreter import painting
from desktop_app.ui.widgets.row_painter import RowPainter
from desktop_app.ui.widgets.rows import ROW_HEIGHT, Column, Index, RowModel


class TableView(QTableView):
    """A table of a :class:`RowModel`: rows of 34 pixels, zebra, one current row, no grid.

    Signals:
        current_changed(int): another row is current; -1: none.
        opened(int): Enter, or a double click on the row.
    """

    current_changed = Signal(int)
    opened = Signal(int)

    def __init__(self, name: str, accessible: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hovered_row = -1
        self._hidden_by_person: set[str] = set()
        self.setObjectName(name)
        self.setAccessibleName(accessible)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows = self.verticalHeader()
        rows.setVisible(False)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        head = self.horizontalHeader()
        head.setFixedHeight(36)
        head.setMinimumSectionSize(28)
        head.setHighlightSections(False)
        head.setSectionsClickable(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setAccessibleName(accessible)
        self.painter = RowPainter(self)
        self.doubleClicked.connect(lambda index: self.opened.emit(index.row()))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def setModel(self, model: QAbstractItemModel | None) -> None:
        """Takes the model; nothing of bulk is ever put into the view's own selection model."""
        assert isinstance(model, RowModel)
        older = self.selectionModel()
        super().setModel(model)
        if older is not None:
            older.deleteLater()
        # Qt selects whole columns for the header of a table; with a selection model of its own, which stays empty, a
        # change of a million rows costs the header nothing.
        self.horizontalHeader().setSelectionModel(QItemSelectionModel(model, self.horizontalHeader()))
        self.fit_columns()

    def row_model(self) -> RowModel:
        """The model."""
        model = self.model()
        assert isinstance(model, RowModel)
        return model

    def current_row(self) -> int:
        """The current row, or -1."""
        return self.currentIndex().row()

    def set_current_row(self, row: int) -> None:
        """Makes a row current and scrolls to it; -1: none."""
        if row < 0:
            self.setCurrentIndex(QModelIndex())
            return
        first, _ = self.outer_columns()
        self.setCurrentIndex(self.row_model().index(row, max(first, 0)))

    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        if current.row() != previous.row():
            for index in (current, previous):
                self._repaint_row(index.row())
            self.current_changed.emit(current.row())

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting():
            painter = QPainter(self.viewport())
            self.painter.paint(painter, event.rect())
            painter.end()

    def _repaint_row(self, row: int) -> None:
        if row >= 0:
            self.viewport().update(0, self.rowViewportPosition(row), self.viewport().width(), ROW_HEIGHT)

    # --- columns ------------------------------------------------------------------------------------------------------

    def outer_columns(self) -> tuple[int, int]:
        """The first and the last column that are shown."""
        shown = [place for place in range(len(self.row_model().columns)) if not self.isColumnHidden(place)]
        return (shown[0], shown[-1]) if shown else (-1, -1)

    def hidden_by_person(self) -> frozenset[str]:
        """Keys of the columns that a person has hidden."""
        return frozenset(self._hidden_by_person)

    def set_hidden_by_person(self, keys: set[str]) -> None:
        """Hides these columns and shows the others."""
        self._hidden_by_person = set(keys)
        self.fit_columns()

    def fit_columns(self) -> None:
        """Gives every column its width; where they do not fit, those of the highest rank are hidden."""
        if not isinstance(self.model(), RowModel):
            return
        columns = self.row_model().columns
        room = self.viewport().width()
        shown = [place for place, spec in enumerate(columns) if self.column_wanted(spec)]
        while sum(columns[place].width for place in shown) > room:
            droppable = [place for place in shown if self.may_drop(columns[place])]
            if not droppable:
                break
            shown.remove(max(droppable, key=lambda place: (columns[place].rank, place)))
        spare = max(0, room - sum(columns[place].width for place in shown))
        parts = sum(columns[place].stretch for place in shown)
        for place, spec in enumerate(columns):
            self.setColumnHidden(place, place not in shown)
            if place in shown:
                self.setColumnWidth(place, spec.width + (spare * spec.stretch // parts if parts else 0))

    def column_wanted(self, spec: Column) -> bool:
        """Whether the column is shown where there is room."""
        return spec.key not in self._hidden_by_person

    def may_drop(self, spec: Column) -> bool:
        """Whether the column may be hidden where there is no room for it."""
        return spec.rank > 0

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit_columns()

    # --- mouse, keys, tips --------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._hover(self.rowAt(event.position().toPoint().y()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(-1)

    def _hover(self, row: int) -> None:
        if row != self.hovered_row:
            older, self.hovered_row = self.hovered_row, row
            self._repaint_row(older)
            self._repaint_row(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter} and self.current_row() >= 0:
            if not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
                self.opened.emit(self.current_row())
                return
        elif event.matches(QKeySequence.StandardKey.Copy) and self.current_row() >= 0:
            QGuiApplication.clipboard().setText(self.row_text(self.current_row()))
            return
        super().keyPressEvent(event)

    def row_text(self, row: int) -> str:
        """The row's words with tabs between, for the clipboard."""
        model = self.row_model()
        cells = (model.cell(row, place) for place in range(len(model.columns)) if not self.isColumnHidden(place))
        return "\t".join(cell.text for cell in cells if cell.checked is None)

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            index = self.indexAt(event.pos())
            text = self.painter.cut_text(index.row(), index.column()) if index.isValid() else ""
            if text:
                QToolTip.showText(event.globalPos(), text, self)
            else:
                QToolTip.hideText()
            return True
        return super().viewportEvent(event)
