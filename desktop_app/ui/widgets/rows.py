"""What a table shows, whoever paints it: cells, columns, and a model of them.

A cell is asked for once per paint (:meth:`RowModel.cell`), not once per role: Qt asks ``data`` for seven roles a cell,
of which six would be empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QFontMetrics

from desktop_app.ui import fonts
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.segmented_bar import Segments

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT = 34
PADDING = 12
ICON_ROOM = 23  # an icon and the gap behind it


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


def width_of(sample: str, *, strong: bool = False, icon: bool = False) -> int:
    """The width of a column in which ``sample`` is not cut."""
    metrics = QFontMetrics(fonts.font(strong=strong))
    return metrics.horizontalAdvance(sample) + 2 * PADDING + 2 + (ICON_ROOM if icon else 0)
