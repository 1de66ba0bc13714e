"""What the pool's threads bring to the recorder thread, and how it is woken."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

from desktop_app.engine.runner import Outcome


class Outcomes:
    """Any thread puts, one thread waits and takes.

    A thread that brings an outcome waits for nobody, and wakes the recorder only if that many were asked for: woken for
    each, it would take the interpreter from those who have calls to make.
    """

    def __init__(self) -> None:
        self._brought: deque[Outcome] = deque()  # its methods are atomic
        self._enough = 1
        self._is_woken = False
        # Held while there is nothing to tell; who has something to tell lets it go. A lock, whose wait with a time-out
        # can be relied on: that of a SimpleQueue, on CPython 3.11, may last for ever where its time is over before it
        # begins, and nobody would look for parked work any more.
        self._bell = threading.Lock()
        self._bell.acquire()

    def __len__(self) -> int:
        """How many wait to be taken."""
        return len(self._brought)

    # --- any thread --------------------------------------------------------------------------------------------------

    def put(self, outcome: Outcome) -> None:
        """What became of a call."""
        self._brought.append(outcome)
        if len(self._brought) >= self._enough:
            self.ring()

    def wake(self) -> None:
        """There may be new work: look at once."""
        self._is_woken = True
        self.ring()

    def ring(self) -> None:
        """A wait that is going on ends, whether there is enough or not."""
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    # --- the recorder thread -----------------------------------------------------------------------------------------

    def wait(self, enough: int, timeout_s: float) -> None:
        """Waits until so many are there, somebody rings, or the time is over; sometimes for less."""
        self._enough = enough
        if len(self._brought) < enough:  # asked after it was said how many are enough: whoever comes now rings
            self._bell.acquire(timeout=max(0.0, timeout_s))

    def take(self) -> list[Outcome]:
        """All that are there, the oldest first."""
        return [self._brought.popleft() for _ in range(len(self._brought))]

    def was_woken(self) -> bool:
        """Whether somebody woke the recorder since this was asked last."""
        if not self._is_woken:
            return False
        self._is_woken = False  # before it is looked for work: whoever wakes it from now on is heard
        return True
