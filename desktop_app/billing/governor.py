"""How many calls one billing credential may make: evenly paced, never more than the server allows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from desktop_app.association.ports import RateGovernor, always

Clock = Callable[[], float]

_MINUTE_S = 60.0
_DAY_S = 86_400.0
#: Calls reach the server some time after they were taken here, and not all equally late. So the window that is kept
#: here is this share longer than the server's; it costs as much of the rate.
_MARGIN = 0.01
#: A caller that woke up late may catch up this many seconds' worth of calls at once.
_CATCH_UP_S = 0.25
#: A call is never promised later than this: the clock may have jumped, or the limit may have been raised.
_LONGEST_WAIT_S = 3_600.0
#: Between two pages of a list nobody waits longer than this; and seconds between two looks whether to wait on.
_LONGEST_PAUSE_S = 120.0
_LOOK_UP_S = 0.5


class PacedGovernor:
    """Keeps the limits of one credential within one process; implements :class:`RateGovernor`.

    In every window of a minute (and a little) at most ``per_minute`` calls are given, and in every day at most
    ``per_day``; between them they are spread evenly, so that the first seconds of a minute do not use it up.
    """

    def __init__(self, *, per_minute: int = 0, per_day: int = 0, clock: Clock = time.monotonic) -> None:
        """Limits of 0 are none.

        Args:
            per_minute: calls in any 60 s.
            per_day: calls in any 24 h; counted in steps of a minute, in favour of the server.
            clock: seconds, never running backwards.

        Raises:
            ValueError: a limit below 0.
        """
        if per_minute < 0 or per_day < 0:
            raise ValueError("a limit cannot be below 0")
        self._per_minute = per_minute
        self._per_day = per_day
        self._clock = clock
        self._lock = threading.Lock()
        self._window_s = _MINUTE_S * (1 + _MARGIN)
        self._interval_s = self._window_s / per_minute if per_minute else 0.0
        self._taken: deque[float] = deque(maxlen=per_minute or 1)  # the last calls: as many as fit into one window
        self._due_at = clock()  # when the next call would come if all came evenly
        self._days: deque[tuple[float, int]] = deque()  # start of a minute, calls in it
        self._in_day = 0
        self._blocked_until = clock()

    def try_take(self, calls: int = 1) -> float:
        """Take the right to make ``calls`` calls: 0.0 if taken, else the seconds until it is worth asking again.

        Raises:
            ValueError: fewer than one call, or more than a minute or a day allows at all.
        """
        if calls < 1 or any(0 < limit < calls for limit in (self._per_minute, self._per_day)):
            raise ValueError(f"{calls} calls can never be taken at once")
        with self._lock:
            now = self._clock()
            wait = max(self._blocked_until - now, self._minute_wait(now, calls), self._day_wait(now, calls), 0.0)
            if wait > 0:
                return min(wait, _LONGEST_WAIT_S)
            if self._per_minute:
                self._taken.extend([now] * calls)
                self._due_at = max(self._due_at, now - _CATCH_UP_S) + calls * self._interval_s
            if self._per_day:
                minute = now - now % _MINUTE_S
                if self._days and self._days[-1][0] == minute:
                    self._days[-1] = (minute, self._days[-1][1] + calls)
                else:
                    self._days.append((minute, calls))
                self._in_day += calls
            return 0.0

    def backed_off(self, retry_after_s: float) -> None:
        """Billing said 429: nobody calls for that many seconds. What is no number of seconds counts as one second."""
        wait = retry_after_s if 0 <= retry_after_s < float("inf") else 1.0
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._clock() + min(wait, _DAY_S))

    def _minute_wait(self, now: float, calls: int) -> float:
        if not self._per_minute:
            return 0.0
        wait = self._due_at - now
        oldest = len(self._taken) + calls - self._per_minute  # so many of the last calls have to be out of the window
        if oldest > 0:
            wait = max(wait, self._taken[oldest - 1] + self._window_s - now)
        return wait

    def _day_wait(self, now: float, calls: int) -> float:
        while self._days and self._days[0][0] + _MINUTE_S + _DAY_S <= now:
            self._in_day -= self._days.popleft()[1]
        if not self._per_day or self._in_day + calls <= self._per_day:
            return 0.0
        too_many = self._in_day + calls - self._per_day
        for minute, count in self._days:
            too_many -= count
            if too_many <= 0:
                return minute + _MINUTE_S + _DAY_S - now
        return 0.0


def take(
    governor: RateGovernor,
    may_go_on: Callable[[], bool] = always,
    calls: int = 1,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Waits until the calls are taken; for the further pages of a list, which belong to a call that has begun.

    Args:
        may_go_on: asked again and again while it waits.
        sleep: of so many seconds.

    Returns:
        0.0: they are taken. Else the seconds until it is worth asking again, where that is too long, or where nobody
        wants to wait any more.
    """
    while (wait := governor.try_take(calls)) > 0:
        if wait > _LONGEST_PAUSE_S or not may_go_on():
            return wait
        sleep(min(wait, _LOOK_UP_S))
    return 0.0
