"""Rows as they are painted: each cell asked for once, a part of the table the same as the whole, words that fit."""

from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication

from desktop_app.ui import theme
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.rows import EMPTY_CELL, PADDING, ROW_HEIGHT, Cell, Column, RowModel
from desktop_app.ui.widgets.table import TableView

pytestmark = pytest.mark.usefixtures("theme")

WIDE = "A sentence that is far too long for a column as narrow as this one is"


class Fleet(RowModel):
    """Forty rows; counts what is asked for."""

    def __init__(self, parent):
        columns = (
            Column("box", "", 42),
            Column("state", "State", 130),
            Column("name", "Name", 120),
            Column("devices", "Devices", 100, right=True),
            Column("nothing", "Nothing", 60),
        )
        super().__init__(columns, parent)
        self.asked: Counter[tuple[int, int]] = Counter()

    def row_total(self):
        return 40

    def cell(self, row, column):
        self.asked[row, column] += 1
        return (
            Cell(checked=row % 3 == 0),
            Cell("Failed", icon="circle-x-filled", tone=Tone.ERROR, strong=True),
            Cell(WIDE if row == 2 else f"Device {row}\nand more" if row == 3 else f"Device {row}"),
            Cell(f"{row:,}", muted=True),
            EMPTY_CELL,
        )[column]


@pytest.fixture
def table(qtbot):
    """In a window of its own; row 5 is current, and the mouse is over row 7."""
    view = TableView("fleet", "Fleet")
    view.setModel(Fleet(view))
    view.resize(520, 500)
    qtbot.addWidget(view)
    with qtbot.waitExposed(view):
        view.show()
    view.setCurrentIndex(view.model().index(5, 0))
    view.hovered_row = 7
    QApplication.processEvents()
    return view


def picture(table, part=None):
    """The viewport as it is painted where ``part`` is to be painted; None: all of it."""
    size = table.viewport().size()
    image = QImage(size, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    painter.setClipRect(part or table.viewport().rect())
    table.painter.paint(painter, part or table.viewport().rect())
    painter.end()
    return image


def test_each_cell_in_sight_is_asked_for_once(table):
    rows = range(table.rowAt(0), table.rowAt(table.viewport().height() - 1) + 1)
    assert len(rows) > 8
    table.setColumnHidden(3, True)
    table.model().asked.clear()
    table.viewport().repaint()
    assert table.model().asked == {(row, column): 1 for row in rows for column in (0, 1, 2, 4)}


@pytest.mark.parametrize("scrolled", [0, 50])
def test_a_part_is_painted_as_in_the_whole(table, scrolled):
    table.verticalScrollBar().setValue(scrolled)
    table.setFocus()
    part = QRect(100, 60, 150, 150)
    whole = picture(table)
    table.model().asked.clear()
    assert picture(table, part).copy(part) == whole.copy(part)
    assert {column for _, column in table.model().asked} == {1, 2}  # and no more is asked for than is in it


def test_grounds_tell_the_current_row_the_one_under_the_mouse_and_every_second(table):
    image, colours = picture(table), theme.active()

    def ground(row):
        return image.pixelColor(table.columnViewportPosition(4) + 20, table.rowViewportPosition(row) + 17).name()

    assert [ground(row).upper() for row in (5, 7, 9)] == [
        colours.selection.upper(),
        colours.hover.upper(),
        colours.zebra.upper(),
    ]
    assert ground(8) == "#ffffff"


def inked(image, left, right, row):
    """The columns of pixels between these where something was painted."""
    ground = image.pixel(left, row * ROW_HEIGHT + 1)
    lines = range(row * ROW_HEIGHT + 2, (row + 1) * ROW_HEIGHT - 2)
    return [x for x in range(left, right) if any(image.pixel(x, y) != ground for y in lines)]


def test_words_stay_within_their_column_and_are_whole_in_the_tip(table):
    image = picture(table)
    name = table.columnViewportPosition(2)
    drawn = inked(image, name, name + table.columnWidth(2), 2)
    assert drawn[0] >= name + PADDING - 1
    assert name + table.columnWidth(2) - PADDING - 20 < drawn[-1] < name + table.columnWidth(2) - PADDING + 1
    assert table.painter.cut_text(2, 2) == WIDE
    assert table.painter.cut_text(1, 2) == ""


def test_numbers_stand_at_the_right(table):
    image = picture(table)
    left = table.columnViewportPosition(3)
    right = left + table.columnWidth(3)
    for row in (1, 12):
        assert right - PADDING - 3 <= inked(image, left, right, row)[-1] <= right - PADDING


def test_a_text_of_two_lines_is_painted_on_one(table):
    image = picture(table)
    left = table.columnViewportPosition(2)
    ground = image.pixel(left, 3 * ROW_HEIGHT + 1)
    for edge in range(7):  # nothing above or below where a line stands
        for y in (3 * ROW_HEIGHT + 1 + edge, 4 * ROW_HEIGHT - 1 - edge):
            assert all(image.pixel(x, y) == ground for x in range(left, left + table.columnWidth(2)))
