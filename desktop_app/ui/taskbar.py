"""How far the running jobs are, shown where the window is not in sight: on its button in the task bar.

Windows fills the button from the left (``ITaskbarList3``); other platforms get the number of jobs as a badge, where
their task bar or dock knows of badges.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

from PySide6.QtGui import QGuiApplication


class ButtonState(IntEnum):
    """Flags of ``ITaskbarList3::SetProgressState``."""

    NONE = 0
    NORMAL = 2
    ERROR = 4
    PAUSED = 8


class TaskbarButton(Protocol):
    """What the platform can show on the button."""

    def show(self, state: ButtonState, done: int, total: int) -> None:
        """Fills the button up to ``done`` of ``total``."""


class Taskbar:
    """The button of one window."""

    def __init__(self, window_id: Callable[[], int], button: TaskbarButton | None = None) -> None:
        """Args:
        window_id: the window's handle; asked for when there is something to show, since by then there is one.
        button: None: what this platform has.
        """
        self._window_id = window_id
        self._button = button
        self._shown: tuple[int, ButtonState, int, int] = (0, ButtonState.NONE, 0, 0)

    def show_jobs(self, jobs: int, done: int, total: int, failed: int) -> None:
        """So many jobs are active, and so far they are; 0 jobs clear the button."""
        if not jobs:
            state, done, total = ButtonState.NONE, 0, 0
        else:
            state = ButtonState.ERROR if failed else ButtonState.NORMAL
        wanted = (jobs, state, done, total)
        if wanted == self._shown:
            return
        app = QGuiApplication.instance()
        if jobs != self._shown[0] and isinstance(app, QGuiApplication):
            app.setBadgeNumber(jobs)
        self._shown = wanted
        if self._button is None:
            self._button = _platform_button(self._window_id)
        self._button.show(state, done, total)


class _NoButton:
    def show(self, state: ButtonState, done: int, total: int) -> None:
        """Nothing to fill here."""


def _platform_button(window_id: Callable[[], int]) -> TaskbarButton:
    if sys.platform == "win32" and QGuiApplication.platformName() == "windows":
        try:
            return _WindowsButton(window_id)
        except OSError:  # an old or stripped Windows: there is nothing to show it on, and no reason to stop
            pass
    return _NoButton()


class _WindowsButton:
    """``ITaskbarList3`` by its table of functions; its interface is fixed since Windows 7."""

    _CLASS = "{56FDF344-FD6D-11d0-958A-006097C9A090}"
    _INTERFACE = "{EA1AFB91-9E28-4B86-90E9-9E9F8A5EEFAF}"
    _IN_PROCESS = 1
    _HR_INIT, _SET_VALUE, _SET_STATE = 3, 9, 10  # places in the table, behind the three of IUnknown

    def __init__(self, window_id: Callable[[], int]) -> None:
        """Raises OSError where the interface cannot be had."""
        import ctypes

        self._window_id = window_id
        self._ctypes: Any = ctypes
        ole: Any = ctypes.OleDLL("ole32")  # type: ignore[attr-defined,unused-ignore]
        class_id, interface = (ctypes.c_byte * 16)(), (ctypes.c_byte * 16)()
        ole.CLSIDFromString(ctypes.c_wchar_p(self._CLASS), ctypes.byref(class_id))
        ole.CLSIDFromString(ctypes.c_wchar_p(self._INTERFACE), ctypes.byref(interface))
        self._list = ctypes.c_void_p()
        ole.CoCreateInstance(
            ctypes.byref(class_id), None, self._IN_PROCESS, ctypes.byref(interface), ctypes.byref(self._list)
        )
        self._call(self._HR_INIT, ())

    def show(self, state: ButtonState, done: int, total: int) -> None:
        c = self._ctypes
        window = c.c_void_p(self._window_id())
        try:
            self._call(self._SET_STATE, (c.c_void_p, c.c_int), window, int(state))
            if state is not ButtonState.NONE:
                self._call(self._SET_VALUE, (c.c_void_p, c.c_uint64, c.c_uint64), window, done, max(total, 1))
        except OSError:
            pass  # the task bar was restarted just now; the next change shows it again

    def _call(self, place: int, kinds: tuple[Any, ...], *values: Any) -> None:
        c = self._ctypes
        table = c.cast(self._list, c.POINTER(c.POINTER(c.c_void_p))).contents
        function = c.WINFUNCTYPE(c.HRESULT, c.c_void_p, *kinds)(table[place])
        function(self._list, *values)
