"""Runs the window: the application, its look, the desk behind it, and the order in which all of it is closed."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QByteArray, QSettings, QTimer
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from desktop_app import __version__
from desktop_app.ui.background import Background, Cancel, Lane
from desktop_app.ui.bridge import POLL_KEY
from desktop_app.ui.interpreter import share_the_interpreter
from desktop_app.ui.main_window import MainWindow
from desktop_app.ui.single_instance import Place, SingleInstance

if TYPE_CHECKING:
    from desktop_app.desk.machine import Machine
    from desktop_app.desk.protocol import Capabilities, Desk
    from desktop_app.ui.theme import Theme, ThemeMode

THEME_KEY, GEOMETRY_KEY = "theme", "geometry"
#: How often, in milliseconds, garbage is looked for among all that lives, where nothing else is under way.
COLLECT_MS = 60_000


class Opened(Protocol):
    """A desk that is open, and what a person should be told about the opening."""

    @property
    def desk(self) -> Desk:
        """The desk."""

    @property
    def notices(self) -> Sequence[str]:
        """Sentences, such as that a new database was made."""


OpenDesk = Callable[[], AbstractContextManager[Opened]]


class Program:
    """The window and what belongs to it. The window is shown first, empty; what stands in it is made when it is
    painted (:meth:`show`, or :meth:`open` at the latest), and the desk is opened behind it."""

    def __init__(
        self,
        app: QApplication,
        open_desk: OpenDesk,
        state_file: Path | None = None,
        machine: Machine | None = None,
    ) -> None:
        """Args:
        open_desk: opens the desk; entered off the UI thread, so that imports and migrations do not hold the window
            up, and left when the window is closed.
        state_file: where the window keeps what a person chose, such as the theme; None: nowhere.
        machine: the settings of this machine; None: they can only be read.
        """
        self._app, self._open_desk = app, open_desk
        self._opened = ExitStack()
        self._state = QSettings(str(state_file), QSettings.Format.IniFormat) if state_file is not None else None
        self.background = Background(app)
        self.window = MainWindow(self.background, machine)
        self.window.state = self._state
        self.window.try_again.connect(self.open)
        self.window.theme_picked.connect(self._keep_mode)
        if self._state is not None:
            kept = self._state.value(GEOMETRY_KEY)
            if isinstance(kept, QByteArray):
                self.window.restoreGeometry(kept)
            self._ground()

        self._collect_timer = QTimer(self.window)
        self._collect_timer.setInterval(COLLECT_MS)
        self._collect_timer.timeout.connect(self._collect)
        self._collect_timer.start()

    def _collect(self) -> None:
        if self.background.is_idle(but=POLL_KEY) and gc.get_count()[2]:
            gc.collect()

    def _ground(self) -> None:
        """The empty window is as light or dark as a person chose, where the system is not followed."""
        kept = self._kept_mode()
        if kept in {"light", "dark"}:
            from desktop_app.ui.palette import DARK, LIGHT

            self.window.setPalette(QPalette(QColor((DARK if kept == "dark" else LIGHT).window)))

    @cached_property
    def theme(self) -> Theme:
        """The look; from now on it is the application's, and the window has its parts."""
        from desktop_app.ui.theme import Theme, ThemeMode

        kept = self._kept_mode()
        theme = Theme(self._app, ThemeMode(kept) if kept in set(ThemeMode) else ThemeMode.SYSTEM)
        self.window.setPalette(QPalette())
        self.window.build(theme)
        return theme

    def furnish(self) -> None:
        """Makes what stands in the window. Safe to call twice."""
        _ = self.theme

    def show(self) -> None:
        """Shows the window and makes what stands in it; each part is on the screen before more is imported."""
        for step in (self.window.show, self.furnish, self.window.furnish):
            step()
            _let_paint(self._app)

    def open(self) -> None:
        """Opens the desk; the window says what is the matter if that fails."""
        self.furnish()
        self.window.furnish()
        self.window.show_opening()
        self.background.run(
            self._enter, done=self._entered, failed=self.window.show_trouble, key="open", lane=Lane.LONG
        )
        QTimer.singleShot(0, _meet_widgets)

    def _enter(self, cancel: Cancel) -> tuple[Desk, Capabilities, str, tuple[str, ...]]:
        # what the pages are made of is imported here, where nobody waits for it
        from desktop_app.ui.pages import associate, history, jobs, settings  # noqa: F401

        with ExitStack() as stack:
            opened = stack.enter_context(self._open_desk())
            desk = opened.desk
            answer = desk, desk.capabilities(), desk.changes().cursor, tuple(opened.notices)
            self._opened = stack.pop_all()
        # All that was imported stays: without it a full collection, which holds the UI thread up, takes a fraction.
        # None is made before: it would be the longest of all, to find a few dozen of 140,000 objects.
        gc.freeze()
        return answer

    def _entered(self, answer: tuple[Desk, Capabilities, str, tuple[str, ...]]) -> None:
        self.window.open_desk(*answer)

    def close(self) -> None:
        """Closes in this order: no more questions, no more answers, then the desk and what runs behind it."""
        if self._state is not None:
            self._state.setValue(GEOMETRY_KEY, self.window.saveGeometry())
        self.window.stop()
        self.background.close()
        self._opened.close()

    def _kept_mode(self) -> str:
        return str(self._state.value(THEME_KEY, "")) if self._state is not None else ""

    def _keep_mode(self, mode: ThemeMode) -> None:
        if self._state is not None:
            self._state.setValue(THEME_KEY, str(mode))


def run(
    open_desk: OpenDesk,
    state_file: Path | None = None,
    names: Sequence[str] = (),
    machine: Machine | None = None,
) -> int:
    """Shows the window and returns when it is closed.

    Where a window for the same desk is open already, that one comes to the front instead.

    Args:
        open_desk: see :class:`Program`.
        state_file: see :class:`Program`; beside it stands what proves that a window is open. None: any number may be.
        names: what tells this desk from another: folder of data, database, operator.
        machine: see :class:`Program`.

    Returns:
        The exit code: 0, or 3 where another process has the place of the window and does not answer.
    """
    app = QApplication(sys.argv[:1])
    app.setApplicationName("device-association-desk")
    app.setApplicationDisplayName("Device Association Desk")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("device-association-desk")  # by which a Linux desktop finds the badge and the icon
    share_the_interpreter()
    instance = SingleInstance(state_file.parent, names) if state_file is not None else None
    place = instance.take() if instance is not None else Place.MINE
    if place is not Place.MINE:
        return 0 if place is Place.TAKEN else _say_silent()
    program = Program(app, open_desk, state_file, machine)
    if instance is not None:
        instance.asked_for.connect(program.window.show_in_front)
    _end_on_signals(app, program.window)
    app.commitDataRequest.connect(program.window.allow_close)
    try:
        program.show()
        if instance is not None:
            instance.listen()
        program.open()
        return program.background.run_until_quit()
    finally:
        program.close()
        if instance is not None:
            instance.release()
        from desktop_app.ui import icons

        icons.forget_cached()
        if program.window.restarts:
            import subprocess

            subprocess.Popen(_this_command())


def _meet_widgets() -> None:
    """PySide makes every class of widgets, with its enumerations, when Qt first hands it a widget that Qt has made.

    That takes as long as the largest part of a page: it is done while the desk is opened, in a turn of its own.
    """
    from PySide6.QtWidgets import QScrollArea

    QScrollArea().viewport()


def _let_paint(app: QApplication) -> None:
    """What is there is on the screen before anything else is imported."""
    for _ in range(2):
        app.processEvents()


def _this_command() -> list[str]:
    """What started this process."""
    is_frozen = getattr(sys, "frozen", False)
    return [sys.executable, *(sys.argv[1:] if is_frozen else sys.orig_argv[1:])]


def _say_silent() -> int:
    from PySide6.QtWidgets import QMessageBox

    QMessageBox.warning(
        None,
        QApplication.applicationDisplayName(),
        QApplication.translate(
            "Program",
            "The program is running already, but its window does not answer. It may be finishing calls to billing "
            "before it ends: wait a minute and start it again. If that does not help, end it in the task manager; "
            "nothing is lost.",
        ),
    )
    return 3


def _end_on_signals(app: QApplication, window: MainWindow) -> None:
    """Ctrl+C in the terminal, or a polite end of the process, closes the window without a question.

    Python looks at signals between two of its instructions; the window's polling sees to it that there are some.
    """

    def end(*_: object) -> None:
        window.allow_close()
        app.quit()

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
