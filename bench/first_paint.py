"""Shows a window and says how long that took: ``python -m bench.first_paint bare|program|furnished BEGAN FOLDER``.

``BEGAN`` is the parent's monotonic clock right before it started this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from desktop_app.ui.theme import Theme


def _painted() -> NoReturn:
    seconds = time.monotonic() - float(sys.argv[2])
    sys.stdout.write(json.dumps({"seconds": seconds}))
    sys.stdout.flush()
    os._exit(0)  # what is still being opened behind the window is of no interest


def bare() -> None:
    """A main window with nothing in it."""
    from PySide6.QtCore import QTimer
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QApplication, QMainWindow

    class Window(QMainWindow):
        def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
            QTimer.singleShot(0, _painted)  # the turn after the one in which everything is drawn

    app = QApplication(sys.argv[:1])
    window = Window()
    window.resize(1440, 900)
    window.show()
    app.exec()


def program(folder: str, *, furnished: bool) -> None:
    """The program as a person starts it, on the data folder.

    Args:
        furnished: until rail, header and what is being done are painted; False: until the window is.
    """
    # In its own order: PySide looks through the source of every module that is imported after it.
    for name in ("bootstrap.machine", "cli.desktop", "folders"):
        import_module(f"desktop_app.{name}")

    from PySide6.QtCore import QTimer
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QWidget

    from desktop_app.cli import main
    from desktop_app.ui.main_window import MainWindow

    def paint(_window: QWidget, _event: QPaintEvent) -> None:
        QTimer.singleShot(0, _painted)

    def build(self: MainWindow, theme: Theme) -> None:
        from desktop_app.ui.widgets.nav_rail import NavRail

        NavRail.paintEvent = paint  # type: ignore[method-assign]
        built(self, theme)

    built = MainWindow.build
    if furnished:
        MainWindow.build = build  # type: ignore[method-assign]
    else:
        MainWindow.paintEvent = paint  # type: ignore[method-assign]
    main(["--data-dir", folder])


if __name__ == "__main__":
    bare() if sys.argv[1] == "bare" else program(sys.argv[3], furnished=sys.argv[1] == "furnished")
