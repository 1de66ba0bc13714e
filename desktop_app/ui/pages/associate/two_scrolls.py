"""Two scrolled parts under each other, of which the lower one is never out of sight."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop_app.ui.widgets.card import Line

#: The lower part gets at least this share of the height, if it has use for it.
SHARE = 0.42
#: What is not to be cut in half by the edge between the two.
_ROWS = (QLabel, QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit)


class TwoScrolls(QWidget):
    """The lower part is as high as its content; where the upper one has no room for its own then, the lower one is cut
    to its share, and each is scrolled by itself. The edge between the two is moved up to where it cuts no row of the
    upper one, as long as that is not scrolled."""

    def __init__(self, upper: QScrollArea, lower: QScrollArea) -> None:
        super().__init__()
        self._upper, self._lower = upper, lower
        self._later = QTimer(self)  # when everything in the two is in its place
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._share_out)
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
        self._later.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest:
            self._share_out()
            self._later.start()
        return super().eventFilter(watched, event)

    def _share_out(self) -> None:
        room = self.height() - 1
        wanted = _height_of(self._lower)
        least = int(room * SHARE)
        asked = _height_of(self._upper)
        given = min(wanted, max(least, room - asked))
        if asked > room - given:
            given = room - _whole_rows(self._upper, room - given)
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


def _whole_rows(scroll: QScrollArea, most: int) -> int:
    """The greatest height up to ``most`` at which no row of its content is cut, a field and its label being one row."""
    content = scroll.widget()
    if content is None:
        return most
    rows = []
    for part in content.findChildren(QWidget):
        if isinstance(part, _ROWS) and part.isVisibleTo(content):
            last = (part.buddy() if isinstance(part, QLabel) else None) or part
            rows.append((part.mapTo(content, QPoint()).y(), last.mapTo(content, QPoint(0, last.height())).y()))
    edge = most
    while cut := [top for top, bottom in rows if top < edge < bottom]:
        edge = min(cut)
    return edge if edge > most // 2 else most
