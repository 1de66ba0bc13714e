"""Buttons whose icon follows the theme."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.palette import Tone


class Button(QPushButton):
    """A push button. ``kind`` is its role in the style sheet: ``normal, primary, danger, link, icon``.

    A button without text must get an accessible name.
    """

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        kind: str = "normal",
        icon: str = "",
        name: str = "",
        accessible: str = "",
        tip: str = "",
    ) -> None:
        super().__init__(text, parent)
        assert text or accessible, "a button without text needs an accessible name"
        self._icon_name = icon
        self.setProperty("kind", kind)
        self.setAutoDefault(False)
        self.setIconSize(QSize(20, 16) if text else QSize(16, 16))  # a little air between icon and text
        if name:
            self.setObjectName(name)
        if accessible:
            self.setAccessibleName(accessible)
        if tip:
            self.setToolTip(tip)
        if kind in {"link", "icon"}:
            self.setCursor(Qt.CursorShape.PointingHandCursor)
            self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._recolour()

    def show_text(self, text: str) -> None:
        """Shows this beside its icon, or the icon alone; the accessible name stays."""
        if text == self.text():
            return
        self.setText(text)
        self.setIconSize(QSize(20, 16) if text else QSize(16, 16))
        self.setProperty("kind", "normal" if text else "icon")
        self.style().unpolish(self)
        self.style().polish(self)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._recolour()

    def _recolour(self) -> None:
        name = getattr(self, "_icon_name", "")  # Qt sends the first change events before __init__ has run
        if not name:
            return
        colours = theme.active()
        kind = self.property("kind")
        colour = {"primary": colours.on_accent, "link": colours.accent, "danger": colours.error}.get(kind, colours.text)
        self.setIcon(icons.icon(name, colour))


class CountButton(QPushButton):
    """A line of the check: icon, bold number, word, and what becomes of them at the right. Pressed, it filters."""

    def __init__(self, icon: str, tone: Tone, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "count")
        self.setCheckable(True)
        self.setAutoDefault(False)
        self.setObjectName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(28)
        self._icon, self._tone = icon, tone
        self._count, self._word, self._note = "", "", ""

    def show_count(self, count: str, word: str, note: str, *, enabled: bool) -> None:
        """Sets the texts; the whole is its accessible name."""
        self._count, self._word, self._note = count, word, note
        self.setAccessibleName(" ".join(filter(None, (count, word, note))))
        self.setEnabled(enabled)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        colours = theme.active()
        painter = QPainter(self)
        ratio = self.devicePixelRatioF()
        middle = self.height() // 2
        painter.drawPixmap(8, middle - 8, icons.pixmap(self._icon, colours.ink(self._tone), 16, ratio))
        text = colours.selection_text if self.isChecked() else colours.text
        left = 34
        strong = self.font()
        strong.setWeight(strong.Weight.DemiBold)
        for words, face, colour in ((self._count, strong, text), (self._word, self.font(), text)):
            painter.setFont(face)
            painter.setPen(QColor(colour))
            width = painter.fontMetrics().horizontalAdvance(words)
            painter.drawText(left, 0, width + 4, self.height(), Qt.AlignmentFlag.AlignVCenter, words)
            left += width + 6
        right = self.width() - 10
        if self.isEnabled():
            painter.drawPixmap(right - 14, middle - 7, icons.pixmap("chevron-right", colours.muted, 14, ratio))
        right -= 22
        painter.setPen(QColor(colours.muted))
        painter.drawText(
            left,
            0,
            max(0, right - left),
            self.height(),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight,
            painter.fontMetrics().elidedText(self._note, Qt.TextElideMode.ElideRight, max(0, right - left)),
        )
        painter.end()
