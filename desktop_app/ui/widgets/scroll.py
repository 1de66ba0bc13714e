"""Scroll areas whose content keeps its width when the scroll bar comes and goes."""

from __future__ import annotations

from PySide6.QtWidgets import QLayout, QScrollArea

BAR_WIDTH = 12


def keep_margins(area: QScrollArea, content: QLayout, right: int) -> None:
    """The margin at the right is ``right`` pixels with and without the vertical scroll bar."""
    bar = area.verticalScrollBar()

    def fit() -> None:
        margins = content.contentsMargins()
        margins.setRight(right - BAR_WIDTH if bar.maximum() > 0 else right)
        if margins != content.contentsMargins():
            content.setContentsMargins(margins)

    bar.rangeChanged.connect(fit)
    fit()
