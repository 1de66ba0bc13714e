"""Filter chips: round buttons with a count, in a row that wraps."""

from __future__ import annotations

from PySide6.QtCore import QMargins, QSize, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from desktop_app.ui import fonts
from desktop_app.ui.widgets.flow import FlowLayout


class Chip(QPushButton):
    """A chip that is on or off. Its size is that of its bold text, so that nothing moves when it is pressed."""

    def __init__(self, key: str, word: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self._word = word
        self._count: int | None = None
        self.setProperty("kind", "chip")
        self.setCheckable(True)
        self.setAutoDefault(False)
        self.setObjectName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._write()

    def set_count(self, count: int | None) -> None:
        """How many it stands for; None shows no number."""
        if count != self._count:
            self._count = count
            self._write()

    def _write(self) -> None:
        shown = self._word if self._count is None else f"{self._word}  {self._count:,}"
        self.setText(shown.replace("&", "&&"))
        self.setAccessibleName(shown.replace("  ", " "))

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(fonts.font(strong=True))
        return QSize(metrics.horizontalAdvance(self.text()) + 26, 30)

    minimumSizeHint = sizeHint


class ChipRow(QWidget):
    """Chips, of which at most one (``exclusive``) or any number are on.

    Signals:
        picked(str): the key of the chip that a person pressed.
    """

    picked = Signal(str)

    def __init__(self, name: str, accessible: str, parent: QWidget | None = None, *, exclusive: bool = False) -> None:
        """``name`` is its object name; its chips are called ``name_key``."""
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(accessible)
        self._exclusive = exclusive
        self._chips: dict[str, Chip] = {}
        # as high as a search field beside it
        self._flow = FlowLayout(self, spacing=6, margins=QMargins(0, 2, 0, 2))

    def add(self, key: str, word: str, *, on: bool = False) -> Chip:
        """Adds a chip at the end."""
        chip = Chip(key, word, f"{self.objectName()}_{key}", self)
        chip.setChecked(on)
        chip.clicked.connect(lambda: self._pressed(chip))
        self._chips[key] = chip
        self._flow.addWidget(chip)
        return chip

    def add_widget(self, widget: QWidget) -> None:
        """Adds something that is no chip at the end."""
        self._flow.addWidget(widget)

    def chip(self, key: str) -> Chip:
        """The chip with that key."""
        return self._chips[key]

    def keys(self) -> tuple[str, ...]:
        """All keys in order."""
        return tuple(self._chips)

    def on(self) -> tuple[str, ...]:
        """The keys of the chips that are on."""
        return tuple(key for key, chip in self._chips.items() if chip.isChecked())

    def set_on(self, *keys: str) -> None:
        """Turns exactly these on, without a signal."""
        for key, chip in self._chips.items():
            chip.setChecked(key in keys)

    def show_only(self, *keys: str) -> None:
        """Shows these chips and hides the others; a hidden one leaves no gap."""
        for key, chip in self._chips.items():
            chip.setVisible(key in keys)

    def set_counts(self, counts: dict[str, int]) -> None:
        """Writes the counts that are given."""
        for key, count in counts.items():
            if key in self._chips:
                self._chips[key].set_count(count)
        self._flow.invalidate()

    def _pressed(self, chip: Chip) -> None:
        if self._exclusive:
            self.set_on(chip.key)
        self.picked.emit(chip.key)
