"""A watchdog over a UI thread: how long it did not turn its event loop, and what it was doing then."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from types import TracebackType

from PySide6.QtCore import QObject, Qt, QTimer

BEAT_MS = 4
#: A stop that is longer than this is looked into, in seconds.
SUSPICIOUS_S = 0.04
_FRAMES = 6


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the event loop did not turn.

    Attributes:
        seconds: by the clock.
        held_s: of them those in which this process had a core, on any thread: on a busy machine the rest was the
            machine's.
        phase: what was going on.
        where: what the UI thread was doing, outermost call first; "" where nobody looked in time.
    """

    seconds: float
    held_s: float
    phase: str
    where: str


class Watchdog:
    """Used as ``with Watchdog(parent) as dog`` on the UI thread; that thread beats, another one looks at it."""

    def __init__(self, parent: QObject) -> None:
        self._timer = QTimer(parent)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._at, self._cpu = time.perf_counter(), time.process_time()
        self._thread = threading.Thread(target=self._look, name="watchdog")
        self._over = threading.Event()
        self._ui_thread = threading.get_ident()
        self._seen = ""
        self.phase = ""
        self.gaps: list[Gap] = []

    def __enter__(self) -> Watchdog:
        self._at, self._cpu = time.perf_counter(), time.process_time()
        self._timer.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.stop()
        self._over.set()
        self._thread.join()

    def worst(self, phase: str = "") -> Gap:
        """The longest stop by :attr:`Gap.held_s`, of one phase or of all."""
        some = [gap for gap in self.gaps if not phase or gap.phase == phase]
        return max(some, key=lambda gap: gap.held_s, default=Gap(0.0, 0.0, phase, ""))

    def skip(self) -> None:
        """What was done since the last beat is not the window's doing."""
        self._at, self._cpu = time.perf_counter(), time.process_time()

    def _beat(self) -> None:
        now, cpu = time.perf_counter(), time.process_time()
        seconds = now - self._at - BEAT_MS / 1000
        if seconds > 0:
            held = min(seconds, cpu - self._cpu)
            self.gaps.append(Gap(seconds, held, self.phase, self._seen if seconds > SUSPICIOUS_S else ""))
        self._seen = ""
        self._at, self._cpu = now, cpu

    def _look(self) -> None:
        while not self._over.wait(SUSPICIOUS_S / 4):
            if time.perf_counter() - self._at > SUSPICIOUS_S and not self._seen:
                frame = sys._current_frames().get(self._ui_thread)
                if frame is not None:
                    stack = traceback.extract_stack(frame)[-_FRAMES:]
                    self._seen = " > ".join(
                        f"{one.filename.rpartition('/')[2]}:{one.lineno} {one.name}" for one in stack
                    )
