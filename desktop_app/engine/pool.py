"""Where calls to billing run: a pool takes plain callables, and a callable here never raises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol


class Pool(Protocol):
    """Threads that run callables. The driver without Qt is :class:`ThreadPool`; the window uses ``qt_pool.QtPool``."""

    @property
    def size(self) -> int:
        """How many callables run at the same time."""

    def submit(self, task: Callable[[], None]) -> None:
        """Runs the task as soon as a thread is free."""

    def wait(self) -> None:
        """Waits until every task has ended, and ends the threads."""


class ThreadPool:
    """A pool of the standard library's threads, for a process without a window."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="billing")

    def submit(self, task: Callable[[], None]) -> None:
        """Runs the task as soon as a thread is free."""
        self._executor.submit(task)

    def wait(self) -> None:
        """Waits until every task has ended, and ends the threads."""
        self._executor.shutdown(wait=True)
