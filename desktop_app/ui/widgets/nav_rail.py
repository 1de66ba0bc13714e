"""The rail at the left edge: the pages, and Settings at the bottom."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QVBoxLayout, QWidget

from desktop_app.ui import fonts, icons, theme

WIDTH = 84


class NavButton(QAbstractButton):
    """One page's button: icon above its name, with a number behind it where there is something to see."""

    def __init__(self, key: str, icon: str, word: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self._icon, self._word, self._count = icon, word, 0
        self.setObjectName(name)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self._write()

    def set_count(self, count: int) -> None:
        """The number behind the name; 0 shows none."""
        if count != self._count:
            self._count = count
            self._write()

    def _write(self) -> None:
        self.setText(f"{self._word} · {self._count}" if self._count else self._word)
        self.setAccessibleName(self.text())
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH - 16, 58)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.active()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect()
        if self.isChecked() or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.selection if self.isChecked() else colours.hover))
            painter.drawRoundedRect(box, 8, 8)
        ink = colours.selection_text if self.isChecked() else colours.muted
        ratio = self.devicePixelRatioF()
        painter.drawPixmap((box.width() - 22) // 2, 10, icons.pixmap(self._icon, ink, 22, ratio))
        painter.setFont(fonts.font(fonts.SMALL, strong=self.isChecked()))
        painter.setPen(QColor(ink))
        painter.drawText(QRect(0, 34, box.width(), 18), Qt.AlignmentFlag.AlignCenter, self.text())
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colours.accent), 2))
            painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 7, 7)
        painter.end()


class NavRail(QFrame):
    """The rail.

    Signals:
        picked(str): the key of the page that a person chose.
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "rail")
        self.setFixedWidth(WIDTH)
        self.setAccessibleName(self.tr("Pages"))
        self._buttons: dict[str, NavButton] = {}
        self._group = QButtonGroup(self)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(8, 10, 7, 10)
        self._layout.setSpacing(6)

    def add(self, key: str, icon: str, word: str, name: str) -> NavButton:
        """Adds a page's button at the end."""
        button = NavButton(key, icon, word, name, self)
        button.clicked.connect(lambda: self.picked.emit(key))
        self._buttons[key] = button
        self._group.addButton(button)
        self._layout.addWidget(button)
        return button

    def add_stretch(self) -> None:
        """What is added from now on stands at the bottom."""
        self._layout.addStretch(1)

    def button(self, key: str) -> NavButton:
        """The button of that page."""
        return self._buttons[key]

    def show_current(self, key: str) -> None:
        """Marks the page that is shown."""
        self._buttons[key].setChecked(True)
