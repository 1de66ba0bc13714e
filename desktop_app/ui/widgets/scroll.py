"""Scroll areas whose content keeps its width when the scroll bar comes and goes."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

BAR_WIDTH = 12


class PageScroll(QScrollArea):
    """Scrolls a page vertically; the page's margin at the right is the same with and without the scroll bar."""

    def __init__(self, accessible: str, parent: QWidget | None = None, *, right: int = 16) -> None:
        super().__init__(parent)
        self._right = right
        self.setAccessibleName(accessible)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().rangeChanged.connect(self._fit)

    def show_page(self, page: QWidget) -> None:
        """Shows another page; the one before is deleted."""
        page.setProperty("kind", "page")
        self.setWidget(page)
        self._fit()

    def _fit(self) -> None:
        page = self.widget()
        layout = page.layout() if page is not None else None
        if layout is None:
            return
        margins = layout.contentsMargins()
        margins.setRight(max(0, self._right - BAR_WIDTH) if self.verticalScrollBar().maximum() > 0 else self._right)
        if margins != layout.contentsMargins():
            layout.setContentsMargins(margins)
