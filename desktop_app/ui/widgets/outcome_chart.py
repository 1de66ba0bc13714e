"""A small chart of what came of devices over time: one bar for each slot, painted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from desktop_app.ui import fonts, theme
from desktop_app.ui.palette import Tone

HEIGHT = 48
_TEXT = 14  #: pixels at the top for the peak
_LEAST_SLOTS = 12  #: fewer than these do not fill the width: one bar of a short job is no wall
_GAP = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One slot of time.

    Attributes:
        parts: counts by tone, from the bottom up.
        spoken: the same in words, for the tool tip.
    """

    parts: tuple[tuple[Tone, int], ...]
    spoken: str

    @property
    def total(self) -> int:
        """All of them."""
        return sum(count for _, count in self.parts)


class OutcomeChart(QWidget):
    """Stacked bars from left to right; the highest one is as high as the chart, and its rate stands above."""

    def __init__(self, accessible: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("outcomeChart")
        self.setAccessibleName(accessible)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._bars: tuple[Bar, ...] = ()
        self._peak = ""

    def show_bars(self, bars: Sequence[Bar], peak: str, spoken: str) -> None:
        """Shows other bars.

        Args:
            peak: what stands above, such as "Peak 412 a minute".
            spoken: the whole chart in a sentence, for a screen reader.
        """
        self._bars, self._peak = tuple(bars), peak
        self.setAccessibleDescription(spoken)
        self.update()

    def bars(self) -> tuple[Bar, ...]:
        """What is shown."""
        return self._bars

    def sizeHint(self) -> QSize:
        return QSize(240, HEIGHT)

    minimumSizeHint = sizeHint

    def _slot_width(self) -> float:
        return self.width() / max(_LEAST_SLOTS, len(self._bars))

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() is QEvent.Type.ToolTip:
            place = int(event.pos().x() / self._slot_width())
            if 0 <= place < len(self._bars):
                QToolTip.showText(event.globalPos(), self._bars[place].spoken, self)
            else:
                QToolTip.hideText()
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme.active()
        painter = QPainter(self)
        bottom = self.height() - 1.5
        highest = max((bar.total for bar in self._bars), default=0)
        if highest:
            painter.setFont(fonts.font(fonts.SMALL))
            painter.setPen(QColor(colours.muted))
            painter.drawText(0, 0, self.width(), _TEXT, Qt.AlignmentFlag.AlignLeft, self._peak)
            room, width = bottom - _TEXT - 3, self._slot_width()
            for place, bar in enumerate(self._bars):
                self._paint_bar(painter, bar, place * width, max(1.0, width - _GAP), bottom, room / highest)
        painter.setPen(QPen(QColor(colours.edge), 1))
        painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        painter.end()

    def _paint_bar(
        self, painter: QPainter, bar: Bar, left: float, width: float, bottom: float, pixels_each: float
    ) -> None:
        """A part that is not empty is at least 2 pixels high, so that one failure among thousands is seen."""
        top = bottom
        for tone, count in bar.parts:
            if count:
                height = max(2.0, count * pixels_each)
                top -= height
                painter.fillRect(QRectF(left, top, width, height), QColor(self._colour(tone)))

    @staticmethod
    def _colour(tone: Tone) -> str:
        colours = theme.active()
        return colours.edge if tone is Tone.NEUTRAL else colours.bar(tone)
