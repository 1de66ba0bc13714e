"""Two scrolled parts under each other, of which the lower one is never out of sight."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from desktop_app.ui.widgets.card import Line

#: The lower part gets at least this share of the height, if it has use for it.
SHARE = 0.42


class TwoScrolls(QWidget):
    """The lower part is as high as its content; where the upper one has no room for its own then, the lower one is cut
    to its share, and each is scrolled by itself."""

    def __init__(self, upper: QScrollArea, lower: QScrollArea) -> None:
        super().__init__()
        self._upper, self._lower = upper, lower
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(upper, 1)
        column.addWidget(Line())
        column.addWidget(lower)
        for content in (upper.widget(), lower.widget()):
            if content is not None:
                content.installEventFilter(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_out()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest:
            self._share_out()
        return super().eventFilter(watched, event)

    def _share_out(self) -> None:
        room = self.height() - 1
        wanted = _height_of(self._lower)
        least = int(room * SHARE)
        given = min(wanted, max(least, room - _height_of(self._upper)))
        if given != self._lower.height():
            self._lower.setFixedHeight(max(0, given))


def _height_of(scroll: QScrollArea) -> int:
    """What its content needs at the width that it has."""
    content = scroll.widget()
    if content is None:
        return 0
    layout = content.layout()
    width = scroll.viewport().width()
    if layout is not None and layout.hasHeightForWidth():
        return layout.totalHeightForWidth(width)
    return content.sizeHint().height()
