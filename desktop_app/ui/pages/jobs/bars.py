"""Room for the bars over the devices of a job."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QLayout, QScrollArea, QVBoxLayout, QWidget

from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.scroll import BAR_WIDTH

_SIDE = 12
_BELOW = 4
#: At least one bar is seen.
LEAST_BARS = 62


class JobBars(QScrollArea):
    """The bars over the devices: as high as they are, but never so high that no device is to be seen; then they are
    scrolled."""

    def __init__(self, accessible: str) -> None:
        super().__init__()
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.fit)
        self.setAccessibleName(accessible)
        self.setObjectName("jobBars")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what stands in it is reached by Tab, and scrolled into sight
        inside = QWidget()
        inside.setProperty("kind", "page")
        self._column = QVBoxLayout(inside)
        self._column.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        self._column.setSpacing(8)
        self.setWidget(inside)
        self._inside = inside
        self._parts: list[QWidget] = []
        self._most = 1_000

    def add(self, part: QWidget) -> None:
        """Adds bars at the end; they are shown and hidden by themselves."""
        self._column.addWidget(part)
        self._parts.append(part)
        part.installEventFilter(self)

    def allow(self, height: int) -> None:
        """How high they may be."""
        self._most = height
        self.fit()

    def fit(self) -> None:
        """Takes the height that is needed now; what is inside is laid out here, since only its width decides on it."""
        if all(part.isHidden() for part in self._parts):
            self.hide()
            return
        self.show()
        width = self.width()
        most = max(LEAST_BARS, self._most)
        self._column.invalidate()
        self._column.setContentsMargins(_SIDE, 4, _SIDE, 4)
        needed = self._column.heightForWidth(width)
        if needed > most:  # the scroll bar takes the place of the margin
            width -= BAR_WIDTH
            self._column.setContentsMargins(_SIDE, 4, _SIDE - BAR_WIDTH, 4)
            needed = self._column.heightForWidth(width)
        self._inside.resize(width, needed)
        self.setFixedHeight(needed if needed <= most else self._whole_bars(most))

    def _whole_bars(self, most: int) -> int:
        """So high that no bar is cut in the middle before anything is scrolled."""
        for layout in (self._column, *(part.layout() for part in self._parts)):
            if layout is not None:
                layout.activate()
        bars = [bar for bar in self._inside.findChildren(InfoBar) if not bar.isHidden()]
        ends = {bar.mapTo(self._inside, QPoint(0, bar.height())).y() + _BELOW for bar in bars}
        return max((end for end in ends if end <= most), default=most)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in {QEvent.Type.ShowToParent, QEvent.Type.HideToParent, QEvent.Type.LayoutRequest}:
            self._later.start()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._later.start()
