"""Bars of several segments: progress and proportions, painted here."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop_app.ui import theme
from desktop_app.ui.palette import Tone

Segments = Sequence[tuple[Tone, int]]


def paint_bar(painter: QPainter, rect: QRectF, segments: Segments, total: int) -> None:
    """Paints a round bar: each segment as wide as its share of ``total``, the rest as track.

    A segment that is not empty is at least 3 pixels wide, so that one failure in ten thousand is seen; gaps of 2 pixels
    tell segments apart without colour.
    """
    colours = theme.active()
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    shape = QPainterPath()
    radius = rect.height() / 2
    shape.addRoundedRect(rect, radius, radius)
    painter.setClipPath(shape)
    painter.fillRect(rect, QColor(colours.bar_track))
    shares = [(tone, count) for tone, count in segments if count > 0]
    if total > 0 and shares:
        left, end = rect.left(), rect.right() + (0 if rect.right() > rect.left() else 1)
        full = sum(count for _, count in shares) >= total
        for place, (tone, count) in enumerate(shares):
            width = max(3.0, rect.width() * count / total)
            last = place == len(shares) - 1
            right = end if last and full else min(left + width, end)
            right = min(right, end - 5.0 * (len(shares) - 1 - place))
            painter.fillRect(QRectF(left, rect.top(), max(0.0, right - left), rect.height()), QColor(colours.bar(tone)))
            left = right
            if not last:
                painter.fillRect(QRectF(left, rect.top(), 2, rect.height()), QColor(colours.surface))
                left += 2
    painter.restore()


class SegmentedBar(QWidget):
    """A bar of several segments."""

    def __init__(self, parent: QWidget | None = None, *, height: int = 8) -> None:
        super().__init__(parent)
        self._segments: tuple[tuple[Tone, int], ...] = ()
        self._total = 0
        self._bar_height = height
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def show_segments(self, segments: Segments, total: int, spoken: str) -> None:
        """Shows the segments of ``total``; ``spoken`` says the same in words, for a screen reader."""
        self._segments, self._total = tuple(segments), total
        self.setAccessibleName(spoken)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(160, self._bar_height)

    def minimumSizeHint(self) -> QSize:
        return QSize(40, self._bar_height)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        top = (self.height() - self._bar_height) / 2
        paint_bar(painter, QRectF(0, top, self.width(), self._bar_height), self._segments, self._total)
        painter.end()
