"""Shows a window and says how long that took: ``python -m bench.first_paint bare|program BEGAN FOLDER``.

``BEGAN`` is the parent's monotonic clock right before it started this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NoReturn


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


def program(folder: str) -> None:
    """The program as a person starts it, on the data folder."""
    # In its own order: PySide looks through the source of every module that is imported after it.
    import desktop_app.bootstrap.machine
    import desktop_app.cli.desktop
    import desktop_app.folders  # noqa: F401

    from PySide6.QtCore import QTimer
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QWidget

    from desktop_app.cli import main
    from desktop_app.ui.main_window import MainWindow

    def paint(_window: QWidget, _event: QPaintEvent) -> None:
        QTimer.singleShot(0, _painted)

    MainWindow.paintEvent = paint  # type: ignore[method-assign]
    main(["--data-dir", folder])


if __name__ == "__main__":
    bare() if sys.argv[1] == "bare" else program(sys.argv[3])
