"""A layout that fills rows from left to right and goes on in the next one where there is no more room."""

from __future__ import annotations

from PySide6.QtCore import QMargins, QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget


class FlowLayout(QLayout):
    """Widgets in rows; hidden ones take no room. (The library that has one costs 0.15 s before the first window.)"""

    def __init__(self, parent: QWidget, *, spacing: int, margins: QMargins) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setSpacing(spacing)
        self.setContentsMargins(margins)

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # Qt asks until there is none
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        self._place(rect, move=True)

    def sizeHint(self) -> QSize:
        """All in one row."""
        margins, shown = self.contentsMargins(), [item.sizeHint() for item in self._items if not item.isEmpty()]
        width = sum(size.width() for size in shown) + self.spacing() * max(0, len(shown) - 1)
        height = max((size.height() for size in shown), default=0)
        return QSize(width + margins.left() + margins.right(), height + margins.top() + margins.bottom())

    def minimumSize(self) -> QSize:
        """The widest alone in its row."""
        margins, shown = self.contentsMargins(), [item.minimumSize() for item in self._items if not item.isEmpty()]
        width = max((size.width() for size in shown), default=0)
        height = max((size.height() for size in shown), default=0)
        return QSize(width + margins.left() + margins.right(), height + margins.top() + margins.bottom())

    def _place(self, rect: QRect, *, move: bool) -> int:
        """Lays the items out in ``rect``; the height that they take."""
        inner = rect.marginsRemoved(self.contentsMargins())
        shown = [(item, item.sizeHint()) for item in self._items if not item.isEmpty()]
        row_height = max((size.height() for _, size in shown), default=0)
        left, top = inner.left(), inner.top()
        for item, size in shown:
            if left > inner.left() and left + size.width() > inner.left() + inner.width():
                left, top = inner.left(), top + row_height + self.spacing()
            if move:
                item.setGeometry(QRect(QPoint(left, top + (row_height - size.height()) // 2), size))
            left += size.width() + self.spacing()
        return top + row_height - rect.top() + self.contentsMargins().bottom()
