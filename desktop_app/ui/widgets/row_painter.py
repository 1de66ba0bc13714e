"""Paints the rows of a table, all that are in sight in one go.

Qt paints a table cell by cell through a delegate: for each cell an option and an index are made for Python, and text is
laid out in a rectangle. That is most of what a frame costs, and a frame that takes long takes several times as long
beside a job, whose threads want the interpreter too. So a row is painted here as a whole: its ground once, words as
they were laid out when they came into sight, check boxes and icons as pictures that are kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPen, QPixmap, QStaticText

from desktop_app.ui import fonts, icons, theme
from desktop_app.ui.palette import Palette, Tone
from desktop_app.ui.widgets.rows import EMPTY_CELL, ICON_ROOM, PADDING, ROW_HEIGHT, Cell
from desktop_app.ui.widgets.segmented_bar import paint_bar

if TYPE_CHECKING:
    from desktop_app.ui.widgets.table import TableView

CHECK_BOX, ICON = 16, 16
_BAR_TEXT = 52  # what a bar leaves for its words
_TEXTS_KEPT = 2_048  # some screens full of them


class _Place(NamedTuple):
    """A column in sight: its number, where it begins and ends, and on which side its words stand."""

    column: int
    left: int
    right: int
    is_right: bool


class RowPainter:
    """Paints for one view: zebra, the current row, the focus ring, and what the cells say."""

    def __init__(self, view: TableView) -> None:
        self._view = view
        self._fonts = {False: fonts.font(), True: fonts.font(strong=True)}
        self._metrics = {strong: QFontMetrics(font) for strong, font in self._fonts.items()}
        self._above = {strong: (ROW_HEIGHT - one.height()) // 2 for strong, one in self._metrics.items()}
        self._laid_out = lru_cache(_TEXTS_KEPT)(self._lay_out)
        self._inks: dict[str, QColor] = {}
        self._boxes: dict[tuple[Qt.CheckState, str, float], QPixmap] = {}

    def paint(self, painter: QPainter, exposed: QRect) -> None:
        """Paints the rows and columns of which some part is in that rectangle of the viewport."""
        view, model = self._view, self._view.row_model()
        first, last = view.rowAt(exposed.top()), view.rowAt(exposed.bottom())
        if first < 0:
            return
        last = last if last >= 0 else model.row_total() - 1
        places = self._places(exposed)
        if not places:
            return
        colours, current, ratio = theme.active(), view.current_row(), view.devicePixelRatioF()
        left, width = places[0].left, places[-1].right - places[0].left
        top = view.rowViewportPosition(first)
        for row in range(first, last + 1):
            ground = ""
            if row == current:
                ground = colours.selection
            elif row == view.hovered_row:
                ground = colours.hover
            elif row % 2:
                ground = colours.zebra
            if ground:
                painter.fillRect(left, top, width, ROW_HEIGHT, self._colour(ground))
            for place in places:
                cell = model.cell(row, place.column)
                if cell.checked is not None:
                    state = Qt.CheckState.Checked if cell.checked else Qt.CheckState.Unchecked
                    box = self._box(state, colours, ratio)
                    painter.drawPixmap(place.left + 13, top + (ROW_HEIGHT - CHECK_BOX) // 2, box)
                elif cell is not EMPTY_CELL:
                    self._words(painter, place, top, cell, colours, row == current, ratio)
            if row == current and view.hasFocus():
                self._ring(painter, top)
            top += ROW_HEIGHT

    def _places(self, exposed: QRect) -> list[_Place]:
        view = self._view
        places = []
        for column, spec in enumerate(view.row_model().columns):
            width = view.columnWidth(column)  # 0: it is hidden
            if width:
                left = view.columnViewportPosition(column)
                if left <= exposed.right() and left + width > exposed.left():
                    places.append(_Place(column, left, left + width, spec.right))
        return places

    def _words(
        self, painter: QPainter, place: _Place, top: int, cell: Cell, colours: Palette, current: bool, ratio: float
    ) -> None:
        left, right = place.left + PADDING, place.right - PADDING
        if cell.bar is not None:
            room = right - left - (_BAR_TEXT if cell.text else 0)
            middle = top + (ROW_HEIGHT - 1) // 2
            paint_bar(painter, QRectF(left, middle - 3.5, room, 8), cell.bar, cell.bar_total)
            left += room + 8
        if cell.icon:
            picture = icons.pixmap(cell.icon, colours.ink(cell.tone), ICON, ratio)
            painter.drawPixmap(left, top + (ROW_HEIGHT - ICON) // 2, picture)
            left += ICON_ROOM
        if not cell.text:
            return
        if cell.strong and cell.tone is not Tone.NEUTRAL:
            ink = colours.ink(cell.tone)
        elif current:
            ink = colours.selection_text
        else:
            ink = colours.muted if cell.muted else colours.text
        text, taken = self._laid_out(cell.text, cell.strong, right - left)
        if place.is_right or cell.bar is not None:
            left = right - taken
        painter.setPen(self._colour(ink))
        painter.setFont(self._fonts[cell.strong])
        painter.drawStaticText(left, top + self._above[cell.strong], text)

    def _lay_out(self, text: str, strong: bool, room: int) -> tuple[QStaticText, int]:
        """The text on one line, cut so that it fits; and how wide it is then."""
        metrics = self._metrics[strong]
        line = " ".join(text.splitlines())
        if metrics.horizontalAdvance(line) > room:
            line = metrics.elidedText(line, Qt.TextElideMode.ElideRight, room)
        laid_out = QStaticText(line)
        laid_out.setTextFormat(Qt.TextFormat.PlainText)
        return laid_out, metrics.horizontalAdvance(line)

    def _colour(self, name: str) -> QColor:
        kept = self._inks.get(name)
        if kept is None:
            kept = self._inks[name] = QColor(name)
        return kept

    def _box(self, state: Qt.CheckState, colours: Palette, ratio: float) -> QPixmap:
        """A picture of a check box, sharp on this screen."""
        key = state, colours.name, ratio
        kept = self._boxes.get(key)
        if kept is None:
            edge = round(CHECK_BOX * ratio)
            kept = self._boxes[key] = QPixmap(edge, edge)
            kept.fill(Qt.GlobalColor.transparent)
            kept.setDevicePixelRatio(ratio)
            painter = QPainter(kept)
            paint_check_box(painter, QRect(0, 0, CHECK_BOX, CHECK_BOX), state)
            painter.end()
        return kept

    def _ring(self, painter: QPainter, top: int) -> None:
        """The focus ring around a whole row, and where the table is wider than its viewport, of what is to be seen."""
        view = self._view
        first, last = view.outer_columns()
        left = view.columnViewportPosition(first)
        right = view.columnViewportPosition(last) + view.columnWidth(last)
        pen = QPen(self._colour(theme.active().accent), 2)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.save()
        painter.setPen(pen)
        painter.drawRect(left + 1, top + 1, right - left - 2, ROW_HEIGHT - 2)
        painter.restore()

    def cut_text(self, row: int, column: int) -> str:
        """The whole text of a cell whose column is too narrow for it, else ""."""
        cell = self._view.row_model().cell(row, column)
        room = self._view.columnWidth(column) - 2 * PADDING - (ICON_ROOM if cell.icon else 0)
        return cell.text if self._metrics[cell.strong].horizontalAdvance(cell.text) > room else ""


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
