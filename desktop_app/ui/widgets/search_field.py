"""A line to search with: a magnifying glass, a cross that clears it, and Down that leads to the list."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QToolButton, QWidget

from desktop_app.ui import icons, theme

#: What is pressed is at least so large.
TARGET = QSize(24, 24)


class SearchField(QLineEdit):
    """A search line.

    Signals:
        down_pressed(): the list should take the focus.
    """

    down_pressed = Signal()

    def __init__(self, placeholder: str, accessible: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(accessible)
        self._glass = QAction(self)
        self.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        self._cross = QAction(self.tr("Clear search"), self)
        self._cross.triggered.connect(self.clear)
        self.addAction(self._cross, QLineEdit.ActionPosition.TrailingPosition)
        self._cross.setVisible(False)
        self.textChanged.connect(lambda text: self._cross.setVisible(bool(text)))
        for button in self.findChildren(QToolButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            is_cross = button.defaultAction() is self._cross
            button.setAccessibleName(self.tr("Clear search") if is_cross else accessible)
            if is_cross:
                button.installEventFilter(self)
        self._recolour()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # Qt places the button, and makes it smaller than a target may be
        if event.type() in {QEvent.Type.Move, QEvent.Type.Resize} and isinstance(watched, QWidget):
            wanted = QRect(QPoint(0, 0), TARGET)
            wanted.moveCenter(QRect(watched.x(), 0, watched.width(), self.height()).center())
            if watched.geometry() != wanted:
                watched.setGeometry(wanted)
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        if (
            isinstance(event, QKeyEvent)
            and event.type() is QEvent.Type.ShortcutOverride
            and event.key() == Qt.Key.Key_Escape
            and self.text()
        ):
            event.accept()  # it clears the search, and is no shortcut of the page
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Down:
            self.down_pressed.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._recolour()

    def _recolour(self) -> None:
        if getattr(self, "_cross", None) is not None:
            self._glass.setIcon(icons.icon("search", theme.active().muted))
            self._cross.setIcon(icons.icon("x", theme.active().muted))
