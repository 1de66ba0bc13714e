"""A bar with one message and the actions that go with it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.tab_order import join

TONE_ICONS = {
    Tone.OK: "circle-check-filled",
    Tone.INFO: "info-circle-filled",
    Tone.WARNING: "alert-triangle-filled",
    Tone.ERROR: "circle-x-filled",
    Tone.NEUTRAL: "info-circle-filled",
}


class InfoBar(QWidget):
    """A message with icon, title, sentence and link buttons, on the ground of its tone.

    Signals:
        closed(): a person closed it.
    """

    closed = Signal()

    def __init__(
        self,
        tone: Tone = Tone.INFO,
        parent: QWidget | None = None,
        *,
        closable: bool = False,
        stacked: bool = False,
        abreast: bool = False,
    ) -> None:
        """``stacked`` puts the sentence under the title, for narrow places, and the actions under each other;
        ``abreast`` leaves the actions beside each other."""
        super().__init__(parent)
        self._tone = tone
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(40, 8, 8, 8)
        self._row.setSpacing(8)
        self._is_stacked = stacked
        self._title, self._text = "", ""
        self._label = QLabel()
        self._label.setTextFormat(Qt.TextFormat.RichText)
        self._label.setWordWrap(True)
        self._label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._row.addWidget(self._label, 1)
        self._actions: list[Button] = []
        self._are_abreast = abreast or not stacked
        self._action_box: QVBoxLayout | QHBoxLayout = QHBoxLayout() if self._are_abreast else QVBoxLayout()
        self._action_box.setSpacing(4)
        self._row.addLayout(self._action_box)
        self._close: Button | None = None
        if closable:
            self._close = Button(
                "", self, kind="icon", icon="x", accessible=self.tr("Close this message"), tip=self.tr("Close")
            )
            self._close.clicked.connect(self._closed_by_person)
            self._row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_message(self, title: str, text: str = "", tone: Tone | None = None) -> None:
        """Sets the texts; an empty one takes no room."""
        if tone is not None:
            self._tone = tone
        self._title, self._text = title, text
        strong = f'<span style="font-weight:600">{escape(title)}</span>' if title else ""
        between = ("<br>" if self._is_stacked else "&nbsp; ") if title and text else ""
        self._label.setText(f"{strong}{between}{escape(text)}")
        self.setAccessibleName(" ".join(filter(None, (title, text))))
        self.updateGeometry()
        self.update()

    def texts(self) -> tuple[str, str]:
        """Title and sentence."""
        return self._title, self._text

    def actions_shown(self) -> tuple[Button, ...]:
        """The link buttons, in order."""
        return tuple(self._actions)

    def clear_actions(self) -> None:
        """Removes the link buttons."""
        for button in self._actions:
            self._action_box.removeWidget(button)
            button.hide()
            button.setObjectName("")  # it lives until the event loop turns; its name is free at once
            button.deleteLater()
        self._actions.clear()

    def add_action(self, text: str, run: Callable[[], None], name: str = "") -> Button:
        """Adds a link button at the right, under or beside those that are there."""
        button = Button(text, self, kind="link", name=name)
        button.clicked.connect(lambda: run())
        self._actions.append(button)
        side = Qt.AlignmentFlag.AlignVCenter if self._are_abreast else Qt.AlignmentFlag.AlignRight
        self._action_box.addWidget(button, 0, side)
        join(self, self._actions)
        button.show()
        return button

    def _closed_by_person(self) -> None:
        self.hide()
        self.closed.emit()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, max(40, super().minimumSizeHint().height()))

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        layout = self.layout()
        return max(40, layout.heightForWidth(width)) if layout is not None else 40

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.active()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(colours.ground(self._tone)))
        painter.setPen(QPen(QColor(colours.ink(self._tone)), 1))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        picture = icons.pixmap(TONE_ICONS[self._tone], colours.ink(self._tone), 16, self.devicePixelRatioF())
        top = (self.height() - 16) // 2 if self.height() <= 48 else 12
        painter.drawPixmap(12, top, picture)
        painter.end()
