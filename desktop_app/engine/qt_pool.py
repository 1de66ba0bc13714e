"""The window's driver: a ``QThreadPool``. The only Qt in the engine; no QObject but the pool crosses a thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QThreadPool


class QtPool:
    """A pool of its own (not Qt's global one, which the window uses)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(size)
        # A thread that ended and came back would open its connection to billing anew.
        self._pool.setExpiryTimeout(-1)

    def submit(self, task: Callable[[], None]) -> None:
        """Runs the task as soon as a thread is free."""
        self._pool.start(task)

    def wait(self) -> None:
        """Waits until every task has ended, and ends the threads."""
        self._pool.waitForDone()
