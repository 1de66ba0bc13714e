"""A short message over the window that goes away by itself, and is read out."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.info_bar import TONE_ICONS

SHOWN_MS = 8000
#: What a toast never covers, in pixels: the rail at the left, the request at the right, and the bars at the lower edge.
LEFT, RIGHT, BELOW = 100, 416, 100
LEAST = 320  #: in a window that leaves it less than this it has the whole width


def announce(widget: QObject, text: str) -> None:
    """Has a screen reader say ``text``."""
    QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


class Toast(QWidget):
    """The one toast of a window, low over its list, where it covers no button.

    It stays as long as the mouse is on it or the focus is in it.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("toast")
        self._above = parent
        self._tone = Tone.OK
        row = QHBoxLayout(self)
        row.setContentsMargins(40, 8, 8, 8)
        row.setSpacing(8)
        self._text = QLabel()
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        row.addWidget(self._text, 1)
        self._action = Button(self.tr("Show"), self, kind="link", name="toastAction")
        row.addWidget(self._action)
        self._close = Button("", self, kind="icon", icon="x", accessible=self.tr("Close this message"))
        self._close.clicked.connect(self.hide)
        row.addWidget(self._close)
        self._run: Callable[[], None] | None = None
        self._action.clicked.connect(self._act)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SHOWN_MS)
        self._timer.timeout.connect(self._expire)
        parent.installEventFilter(self)
        self.hide()

    def text(self) -> str:
        """The message."""
        return self._text.text()

    def show_message(
        self, text: str, tone: Tone = Tone.OK, *, action: str = "", run: Callable[[], None] | None = None
    ) -> None:
        """Shows and announces ``text``; ``action`` is the word on its button, ``run`` what that does."""
        self._tone = tone
        self._text.setText(text)
        self._action.setText(action)
        self._action.setVisible(bool(action))
        self._run = run
        self.setAccessibleName(text)
        self.show()
        self.raise_()
        self._place()
        self._timer.start()
        announce(self, text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        left, room, layout = LEFT, self._above.width() - LEFT - RIGHT, self.layout()
        if room < LEAST:
            left, room = 0, self._above.width()
        assert layout is not None
        self._text.setWordWrap(False)
        layout.invalidate()
        size = layout.totalSizeHint()
        if size.width() > room:
            self._text.setWordWrap(True)
            layout.invalidate()
            size = QSize(room, layout.totalHeightForWidth(room))
        self.setGeometry(
            left + max(0, (room - size.width()) // 2),
            self._above.height() - size.height() - BELOW,
            size.width(),
            size.height(),
        )

    def _expire(self) -> None:
        if self.underMouse() or self._action.hasFocus() or self._close.hasFocus():
            self._timer.start()
        else:
            self.hide()

    def _act(self) -> None:
        self.hide()
        if self._run is not None:
            self._run()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.active()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(colours.ground(self._tone)))
        painter.setPen(QPen(QColor(colours.ink(self._tone)), 1))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        picture = icons.pixmap(TONE_ICONS[self._tone], colours.ink(self._tone), 16, self.devicePixelRatioF())
        painter.drawPixmap(14, (self.height() - 16) // 2, picture)
        painter.end()
