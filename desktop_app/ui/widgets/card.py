"""Cards, lines and bands: the surfaces that a page is laid out on."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget


class Card(QFrame):
    """A white surface with a thin border and round corners; its content goes into :attr:`body`."""

    def __init__(self, parent: QWidget | None = None, *, padding: int = 12, spacing: int = 8) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(padding, padding, padding, padding)
        self.body.setSpacing(spacing)


class Line(QFrame):
    """A thin horizontal line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "line")
        self.setFixedHeight(1)


class Band(QFrame):
    """A strip along the lower edge of a card; ``set_selected`` gives it the colour of a selection."""

    def __init__(self, parent: QWidget | None = None, *, height: int = 40) -> None:
        super().__init__(parent)
        self.setProperty("kind", "band")
        self.setProperty("selected", "false")
        self.setFixedHeight(height)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(14, 0, 8, 0)
        self.row.setSpacing(8)

    def set_selected(self, selected: bool) -> None:
        """Whether it stands for a selection."""
        word = "true" if selected else "false"
        if self.property("selected") != word:
            self.setProperty("selected", word)
            self.style().unpolish(self)
            self.style().polish(self)
