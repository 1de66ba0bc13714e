"""Tries out the window by itself: whether it can be made, opens its desk and lists devices. For the self-test."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QAbstractItemView, QApplication, QPushButton

from desktop_app.ui.app import OpenDesk, Program
from desktop_app.ui.main_window import MainWindow

#: How long opening and listing may take.
TIMEOUT_S = 60.0
_LOOK_MS = 50


@dataclass(frozen=True, slots=True)
class Tried:
    """What was seen of the window.

    Attributes:
        devices: rows of the table of devices; 0: it did not list any in time.
        width, height: in pixels.
        colours: different colours in a picture of it; a window that was not drawn has one.
        trouble: what it said, where it could not open its desk; else "".
    """

    devices: int
    width: int
    height: int
    colours: int
    trouble: str

    @property
    def is_good(self) -> bool:
        """Whether everything was there."""
        return bool(self.devices) and self.colours > 1 and not self.trouble


def try_window(open_desk: OpenDesk, timeout_s: float = TIMEOUT_S) -> Tried:
    """Shows the window where nobody sees it, waits until it lists devices, and closes it.

    Args:
        open_desk: as for :func:`desktop_app.ui.app.run`.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    program = Program(app, open_desk)
    window = program.window
    until = time.monotonic() + timeout_s
    seen = Tried(0, 0, 0, 0, "")

    def look() -> None:
        nonlocal seen
        seen = _look_at(window)
        if seen.is_good or seen.trouble or time.monotonic() > until:
            timer.stop()
            window.close()

    timer = QTimer(window)
    timer.setInterval(_LOOK_MS)
    timer.timeout.connect(look)
    try:
        window.show()
        program.open()
        timer.start()
        program.background.run_until_quit()
        return seen
    finally:
        timer.stop()
        program.close()


def _look_at(window: MainWindow) -> Tried:
    table = window.findChild(QAbstractItemView, "deviceTable")
    model = table.model() if table is not None else None
    devices = model.rowCount() if model is not None else 0
    again = window.findChild(QPushButton, "tryAgainButton")
    trouble = "The window could not open its desk." if again is not None and again.isVisible() else ""
    image = window.grab().toImage() if devices else None
    colours = 0
    if image is not None:
        colours = len({image.pixel(x, y) for x in range(0, image.width(), 16) for y in range(0, image.height(), 16)})
    return Tried(devices, window.width(), window.height(), colours, trouble)
