"""How many calls one billing credential may make: evenly paced, never more than the server allows.

Several engines, and other vendors' programs, may share one account, and none of them knows of the others. So the limit
that is set here is only the most: where the server says that there were too many calls, all calls stop for a while, for
twice as long each time that it says so again, and then go on at a lower pace, which rises slowly. What the engines make
together settles at what the account may make.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from random import Random

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
#: What several threads are told at about the same time is said once.
_ONCE_S = 1.0
#: A server that says how long to wait is believed; when it has said so often in a row, the waits double all the same.
_BELIEVED = 3
#: So many times in a row it may be the limit of a minute that is used up.
_A_MINUTES = 10
#: Calls that go through so many seconds after a wait show that there is room again; so many of them, whenever, make up
#: for one that was refused.
_ROOM_S = 5.0
_ROOM_CALLS = 5
#: A call that was one too many takes away the pace of so many; but no more than this share of the pace is lost in a
#: minute: the server counts what was in the last one.
_WEIGHT = 10
_SLOWER = 0.75
#: What is added each second to the share of the pace: a twenty-fifth a minute.
_FASTER_A_S = 0.04 / _MINUTE_S
_LEAST_SHARE = 0.05


class PacedGovernor:
    """Keeps the limits of one credential within one process; implements :class:`RateGovernor`.

    In every window of a minute (and a little) at most ``per_minute`` calls are given, and in every day at most
    ``per_day``; between them they are spread evenly, so that the first seconds of a minute do not use it up.
    """

    def __init__(
        self, *, per_minute: int = 0, per_day: int = 0, clock: Clock = time.monotonic, rng: Random | None = None
    ) -> None:
        """Limits of 0 are none.

        Args:
            per_minute: calls in any 60 s.
            per_day: calls in any 24 h; counted in steps of a minute, in favour of the server.
            clock: seconds, never running backwards.
            rng: source of jitter: engines that were told the same at once do not come back at once.

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
        self._rng = rng or Random()
        self._blocked_until = clock()
        self._too_many = 0  # how often the server said so since there was room
        self._through = 0  # calls that went through since the last wait, and made up for none yet
        self._said_until = clock()  # what it says until then is the same once more
        self._share = 1.0  # of the pace, at the instant below
        self._share_at = clock()
        self._slower_at = clock() - _MINUTE_S
        self._least = 1.0  # share of the pace that is left for this minute

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
                self._due_at = max(self._due_at, now - _CATCH_UP_S) + calls * self._interval_s / self._pace(now)
            if self._per_day:
                minute = now - now % _MINUTE_S
                if self._days and self._days[-1][0] == minute:
                    self._days[-1] = (minute, self._days[-1][1] + calls)
                else:
                    self._days.append((minute, calls))
                self._in_day += calls
            return 0.0

    def backed_off(self, retry_after_s: float | None) -> float:
        """Billing said 429: nobody calls for as long as it asks, or, where it asks for nothing, for longer each time.

        Args:
            retry_after_s: what it asks for; None, or what is no number of seconds: it does not say.

        Returns:
            For how many seconds nobody calls.
        """
        is_said = retry_after_s is not None and 0 <= retry_after_s < float("inf")
        asked = min(retry_after_s, _DAY_S) if is_said and retry_after_s is not None else 0.0
        with self._lock:
            now = self._clock()
            own = 0.0
            self._slow_down(now)
            self._through = 0
            if now >= self._said_until:
                self._too_many += 1
                own = self._own_wait(self._too_many - (_BELIEVED if is_said else 0))
            self._blocked_until = max(self._blocked_until, now + max(asked, own))
            self._said_until = max(self._said_until, self._blocked_until, now + _ONCE_S)
            return max(0.0, self._blocked_until - now)

    def went_through(self) -> None:
        """Billing took a call: it has room again."""
        if self._too_many:
            with self._lock:
                # One alone was begun before billing said that it has none, or had the only room that there was.
                since = self._clock() - self._blocked_until
                self._through += since >= 0
                if since >= _ROOM_S:
                    self._too_many = 0
                elif self._through >= _ROOM_CALLS:
                    self._too_many, self._through = self._too_many - 1, 0

    def _own_wait(self, times: int) -> float:
        """Seconds to wait where the server said so many times in a row that there were too many calls."""
        if times < 1:
            return 0.0
        # For some times it may be the limit of a minute that is used up, by others perhaps; then it is the day's.
        wait = min(2.0 ** min(times - 1, 20), _MINUTE_S) * 2.0 ** min(max(0, times - _A_MINUTES), 20)
        return min(wait * (1 + self._rng.random() / 2), _LONGEST_WAIT_S)

    def _slow_down(self, now: float) -> None:
        pace = self._pace(now)
        if now - self._slower_at >= _MINUTE_S:
            self._slower_at, self._least = now, max(_LEAST_SHARE, pace * _SLOWER)
        while self._taken and self._taken[0] <= now - self._window_s:
            self._taken.popleft()
        self._share = max(self._least, pace * (1 - min(1.0, _WEIGHT / max(1, len(self._taken)))))
        self._share_at = now

    def _pace(self, now: float) -> float:
        """The share of the pace that may be used now."""
        return min(1.0, self._share + (now - self._share_at) * _FASTER_A_S)

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
