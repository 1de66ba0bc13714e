"""Tables: a view and a delegate that paint what a model's cells say, fast and the same on every page.

A cell is asked for once per paint (:meth:`RowModel.cell`), not once per role: Qt asks ``data`` for seven roles a cell,
of which six would be empty. Bulk selection is no business of the view; it knows one current row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QToolTip,
    QWidget,
)

from desktop_app.ui import fonts, icons, theme
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.segmented_bar import Segments, paint_bar

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT = 34
PADDING = 12


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell shows.

    Attributes:
        text: the words.
        icon: an icon's name, before the words.
        tone: colours the icon, and the words too if ``strong``.
        strong: semi-bold words.
        muted: words that matter less.
        checked: a check box instead of words.
        bar, bar_total: a segmented bar before the words.
    """

    text: str = ""
    icon: str = ""
    tone: Tone = Tone.NEUTRAL
    strong: bool = False
    muted: bool = False
    checked: bool | None = None
    bar: Segments | None = None
    bar_total: int = 0


EMPTY_CELL = Cell()


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: stable name.
        title: header text, translated.
        width: in pixels; the smallest one where it stretches.
        stretch: takes what is left of the width.
        right: right-aligned.
        rank: columns of the highest rank are hidden first where the table is too narrow; 0 is never hidden.
        elide_middle: cut in the middle instead of at the end.
    """

    key: str
    title: str
    width: int
    stretch: int = 0
    right: bool = False
    rank: int = 0


class RowModel(QAbstractTableModel):
    """A table model of :class:`Cell`. Subclasses give the columns, the number of rows, and the cells."""

    def __init__(self, columns: tuple[Column, ...], parent: QObject) -> None:
        super().__init__(parent)
        self.columns = columns

    def cell(self, row: int, column: int) -> Cell:
        """What the cell shows; called while painting, so it must be quick."""
        raise NotImplementedError

    def row_total(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def key_of(self, row: int) -> object:
        """What identifies the row when rows move; None if nothing does."""
        return None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else self.row_total()

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole}:
            return self.cell(index.row(), index.column()).text
        if role == Qt.ItemDataRole.CheckStateRole:
            checked = self.cell(index.row(), index.column()).checked
            if checked is None:
                return None
            return Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation is Qt.Orientation.Horizontal:
            if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole}:
                return self.columns[section].title
            if role == Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignRight if self.columns[section].right else Qt.AlignmentFlag.AlignLeft
                return side | Qt.AlignmentFlag.AlignVCenter
        return None


class RowDelegate(QStyledItemDelegate):
    """Paints cells. Zebra, the current row and the focus ring are its work too; it never asks the style."""

    def __init__(self, view: TableView) -> None:
        super().__init__(view)
        self._view = view
        self._plain, self._strong = fonts.font(), fonts.font(strong=True)
        self._metrics = {False: QFontMetrics(self._plain), True: QFontMetrics(self._strong)}

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        if not isinstance(model, RowModel):
            return
        colours = theme.active()
        rect: QRect = option.rect
        row, column = index.row(), index.column()
        current = row == self._view.current_row()
        if current:
            painter.fillRect(rect, QColor(colours.selection))
        elif row == self._view.hovered_row:
            painter.fillRect(rect, QColor(colours.hover))
        elif row % 2:
            painter.fillRect(rect, QColor(colours.zebra))
        cell = model.cell(row, column)
        if cell.checked is not None:
            state = Qt.CheckState.Checked if cell.checked else Qt.CheckState.Unchecked
            paint_check_box(painter, _check_rect(rect), state)
        elif cell is not EMPTY_CELL:
            self._words(painter, rect, cell, model.columns[column], current)
        if current and self._view.hasFocus():
            self._ring(painter, rect, column)

    def _words(self, painter: QPainter, rect: QRect, cell: Cell, spec: Column, current: bool) -> None:
        colours = theme.active()
        left, right = rect.left() + PADDING, rect.right() - PADDING + 1
        if cell.bar is not None:
            room = right - left - (52 if cell.text else 0)
            paint_bar(painter, QRectF(left, rect.center().y() - 3.5, room, 8), cell.bar, cell.bar_total)
            left += room + 8
        if cell.icon:
            picture = icons.pixmap(cell.icon, colours.ink(cell.tone), 16, self._view.devicePixelRatioF())
            painter.drawPixmap(left, rect.top() + (rect.height() - 16) // 2, picture)
            left += 23
        if not cell.text:
            return
        if cell.strong and cell.tone is not Tone.NEUTRAL:
            ink = colours.ink(cell.tone)
        elif current:
            ink = colours.selection_text
        else:
            ink = colours.muted if cell.muted else colours.text
        painter.setPen(QColor(ink))
        painter.setFont(self._strong if cell.strong else self._plain)
        metrics = self._metrics[cell.strong]
        room = right - left
        text = cell.text
        if metrics.horizontalAdvance(text) > room:
            text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        side = Qt.AlignmentFlag.AlignRight if spec.right or cell.bar is not None else Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRect(left, rect.top(), room, rect.height()), side | Qt.AlignmentFlag.AlignVCenter, text)

    def _ring(self, painter: QPainter, rect: QRect, column: int) -> None:
        first, last = self._view.outer_columns()
        pen = QPen(QColor(theme.active().accent), 2)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.save()
        painter.setPen(pen)
        top, bottom, left, right = rect.top() + 1, rect.bottom(), rect.left() + 1, rect.right()
        painter.drawLine(rect.left(), top, rect.right() + 1, top)
        painter.drawLine(rect.left(), bottom, rect.right() + 1, bottom)
        if column == first:
            painter.drawLine(left, rect.top(), left, rect.bottom() + 1)
        if column == last:
            painter.drawLine(right, rect.top(), right, rect.bottom() + 1)
        painter.restore()

    def needs_tip(self, model: RowModel, row: int, column: int, width: int) -> str:
        """The whole text of a cell that is cut at that width, else ""."""
        cell = model.cell(row, column)
        room = width - 2 * PADDING - (23 if cell.icon else 0)
        return cell.text if self._metrics[cell.strong].horizontalAdvance(cell.text) > room else ""


def _check_rect(rect: QRect) -> QRect:
    return QRect(rect.left() + 13, rect.top() + (rect.height() - 16) // 2, 16, 16)


def paint_check_box(painter: QPainter, box: QRect, state: Qt.CheckState) -> None:
    """Paints a check box of 16 × 16 as the style sheet paints the others."""
    colours = theme.active()
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    on = state is not Qt.CheckState.Unchecked
    painter.setPen(QPen(QColor(colours.accent if on else colours.edge), 1))
    painter.setBrush(QColor(colours.accent if on else colours.surface))
    painter.drawRoundedRect(QRectF(box).adjusted(1.5, 1.5, -1.5, -1.5), 2.5, 2.5)
    if on:
        pen = QPen(QColor(colours.on_accent), 2)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        x, y = box.left(), box.top()
        if state is Qt.CheckState.Checked:
            painter.drawPolyline([QPoint(x + 5, y + 8), QPoint(x + 7, y + 10), QPoint(x + 11, y + 6)])
        else:
            painter.drawLine(x + 5, y + 8, x + 11, y + 8)
    painter.restore()


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
        self.setItemDelegate(RowDelegate(self))
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
            delegate = self.itemDelegate()
            if index.isValid() and isinstance(delegate, RowDelegate):
                width = self.columnWidth(index.column())
                text = delegate.needs_tip(self.row_model(), index.row(), index.column(), width)
                if text:
                    QToolTip.showText(event.globalPos(), text, self)
                else:
                    QToolTip.hideText()
                return True
        return super().viewportEvent(event)


def width_of(sample: str, *, strong: bool = False, icon: bool = False) -> int:
    """The width of a column in which ``sample`` is not cut."""
    metrics = QFontMetrics(fonts.font(strong=strong))
    return metrics.horizontalAdvance(sample) + 2 * PADDING + 2 + (23 if icon else 0)


RowText = Callable[[int], str]
