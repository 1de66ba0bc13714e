"""Labels."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.palette import Tone


def label(text: str = "", kind: str = "", parent: QWidget | None = None, *, wrap: bool = False) -> QLabel:
    """A label in a role of the style sheet: ``title, heading, muted, small, warn, error``."""
    made = QLabel(text, parent)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if kind:
        made.setProperty("kind", kind)
    if wrap:
        made.setWordWrap(True)
        made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return made


def field_label(text: str, buddy: QWidget) -> QLabel:
    """The label above a field; its mnemonic goes to ``buddy``, and its text is the field's accessible name."""
    made = QLabel(text)
    made.setProperty("kind", "heading")
    made.setBuddy(buddy)
    if not buddy.accessibleName():
        buddy.setAccessibleName(text.replace("&", ""))
    return made


class ElidedLabel(QLabel):
    """One line that ends in "…" where it does not fit; the whole text is its tool tip then."""

    def __init__(self, text: str = "", parent: QWidget | None = None, *, kind: str = "") -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        if kind:
            self.setProperty("kind", kind)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._full = ""
        self.setText(text)

    def setText(self, text: str) -> None:
        self._full = text
        self.setAccessibleName(text)
        self._elide()
        self.updateGeometry()

    def full_text(self) -> str:
        """The text before it was cut."""
        return self._full

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return QSize(self.fontMetrics().horizontalAdvance(self._full) + 4, hint.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(24, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._elide()

    def _elide(self) -> None:
        full = getattr(self, "_full", "")
        shown = self.fontMetrics().elidedText(full, Qt.TextElideMode.ElideRight, max(self.width(), 24))
        if shown != super().text():
            super().setText(shown)
        self.setToolTip(full if shown != full else "")


class StatusLabel(QWidget):
    """A status as icon shape, word and colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._word, self._tone, self._strong = "", "", Tone.NEUTRAL, False
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_status(self, icon: str, word: str, tone: Tone, *, strong: bool = False) -> None:
        """Sets all of it; ``strong`` writes the word semi-bold in the tone's colour."""
        self._icon, self._word, self._tone, self._strong = icon, word, tone, strong
        self.setAccessibleName(word)
        self.updateGeometry()
        self.update()

    def word(self) -> str:
        """The word shown."""
        return self._word

    def sizeHint(self) -> QSize:
        return QSize(24 + self.fontMetrics().horizontalAdvance(self._word) + 10, 24)

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.active()
        painter = QPainter(self)
        picture = icons.pixmap(self._icon, colours.ink(self._tone), 16, self.devicePixelRatioF())
        painter.drawPixmap(0, (self.height() - 16) // 2, picture)
        painter.setPen(colours.ink(self._tone) if self._strong else colours.text)
        if self._strong:
            face = self.font()
            face.setWeight(face.Weight.DemiBold)
            painter.setFont(face)
        painter.drawText(QRect(22, 0, self.width() - 22, self.height()), Qt.AlignmentFlag.AlignVCenter, self._word)
        painter.end()
