"""The rate governor on a clock of its own: never over the limit, and hardly below it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_app.association.processing import QUOTA_PAUSE_S
from desktop_app.billing.governor import PacedGovernor, take


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Server:
    """Counts calls as billing would: in any 60 s."""

    def __init__(self, per_minute: int) -> None:
        self._recent: deque[float] = deque()
        self._per_minute = per_minute
        self.refused = 0

    def call(self, at: float) -> None:
        while self._recent and self._recent[0] <= at - 60:
            self._recent.popleft()
        if len(self._recent) >= self._per_minute:
            self.refused += 1
        else:
            self._recent.append(at)


def test_no_limit_is_no_wait() -> None:
    governor = PacedGovernor(clock=Clock())
    assert [governor.try_take(1000) for _ in range(100)] == [0.0] * 100


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60, 450, 500, 3000])
def test_the_rate_is_used_and_never_exceeded(per_minute: int) -> None:
    clock, server = Clock(), Server(per_minute)
    governor = PacedGovernor(per_minute=per_minute, clock=clock)
    start, taken = clock.now, 0
    while clock.now < start + 1200:
        if wait := governor.try_take():
            clock.sleep(wait)
        else:
            server.call(clock.now)
            taken += 1
    assert server.refused == 0
    assert taken >= 0.98 * per_minute * 20


@pytest.mark.parametrize("lateness", [0.002, 0.05])
def test_waking_up_late_does_not_cost_the_rate(lateness: float) -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=450, clock=clock)
    start, taken = clock.now, 0
    while clock.now < start + 1200:
        if wait := governor.try_take():
            clock.sleep(wait + lateness)
        else:
            taken += 1
    assert taken >= 0.98 * 450 * 20


def test_calls_are_spread_over_the_minute() -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=600, clock=clock)
    start = clock.now
    in_seconds: dict[int, int] = {}
    while clock.now < start + 30:
        if wait := governor.try_take():
            clock.sleep(wait)
        else:
            second = int(clock.now - start)
            in_seconds[second] = in_seconds.get(second, 0) + 1
    assert set(in_seconds) == set(range(30))
    assert max(in_seconds.values()) <= 13  # ten a second, and at most a quarter of a second caught up


def test_after_a_long_pause_the_first_second_does_not_use_up_the_minute() -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=600, clock=clock)
    clock.now += 3600
    at_once = 0
    while governor.try_take() == 0:
        at_once += 1
    assert at_once <= 4


def test_several_calls_at_once_count_as_several() -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=10, clock=clock)
    assert governor.try_take(10) == 0
    clock.now += 60.0
    assert governor.try_take() > 0  # the window is a little longer than the server's
    clock.now += 0.7
    assert governor.try_take(10) == 0
    for impossible in (0, -1, 11):
        with pytest.raises(ValueError, match="at once"):
            governor.try_take(impossible)


def test_the_day_has_a_limit_of_its_own() -> None:
    clock = Clock()
    governor = PacedGovernor(per_day=5, clock=clock)
    assert governor.try_take(4) == 0
    clock.now += 3600
    assert governor.try_take(2) > 0
    assert governor.try_take(1) == 0
    wait = governor.try_take()
    assert wait == 3600.0  # asked again in an hour, not in twenty-three
    clock.now += 23 * 3600 - 1
    assert governor.try_take() > 0
    clock.now += 120
    assert governor.try_take(4) == 0  # the first four are more than a day old
    assert governor.try_take() > 0


class Dice(Random):
    """Always throws the same."""

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self._share = share

    def random(self) -> float:
        return self._share


def governor_on(clock: Clock, share: float = 0.0, **limits: int) -> PacedGovernor:
    return PacedGovernor(clock=clock, rng=Dice(share), **limits)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(5.0, 5.0), (0.0, 0.0), (7200.0, 3600.0), (-3.0, 1.0), (float("nan"), 1.0), (float("inf"), 1.0)],
)
def test_retry_after_is_obeyed(asked: float, wait: float) -> None:
    governor = governor_on(Clock())
    governor.backed_off(asked)
    assert governor.try_take() == wait


def test_the_longest_retry_after_counts() -> None:
    clock = Clock()
    governor = PacedGovernor(clock=clock)
    assert governor.backed_off(30) == 30
    assert governor.backed_off(2) == 30
    assert governor.try_take() == 30
    clock.now += 30
    assert governor.try_take() == 0


def refused_again_and_again(governor: PacedGovernor, clock: Clock, times: int, asked: float | None) -> list[float]:
    """Calls as soon as it may, and each call is one too many; what is waited for each time."""
    waits = []
    for _ in range(times):
        waits.append(governor.backed_off(asked))
        clock.now += max(waits[-1], 1.0)
        while (wait := governor.try_take()) > 0:
            clock.now += wait
    return waits


def test_who_is_not_told_how_long_to_wait_waits_longer_each_time() -> None:
    """First for what a minute's limit may take, and in the end as for a day's that is used up."""
    clock = Clock()
    waits = refused_again_and_again(governor_on(clock), clock, 17, None)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock = Clock()
    assert refused_again_and_again(governor_on(clock, share=1.0), clock, 3, None) == [1.5, 3, 6], "with jitter"


def test_who_is_told_the_same_short_time_again_and_again_waits_longer_all_the_same() -> None:
    clock = Clock()
    assert refused_again_and_again(governor_on(clock), clock, 6, 1.0) == [1, 1, 1, 1, 2, 4]


def test_what_many_threads_are_told_at_once_is_said_once() -> None:
    clock = Clock()
    governor = governor_on(clock)
    assert [governor.backed_off(None) for _ in range(8)] == [1.0] * 8
    clock.now += 1.0
    assert governor.backed_off(None) == 2.0


def test_calls_that_go_through_end_the_doubling_unless_they_began_before() -> None:
    clock = Clock()
    governor = governor_on(clock)
    refused_again_and_again(governor, clock, 4, None)
    assert governor.backed_off(None) == 16
    governor.went_through()  # it was begun before the last refusal
    clock.now += 16.0
    governor.went_through()  # the only one for which there was room, perhaps
    assert governor.backed_off(None) == 32
    clock.now += 32.0 + 5.0
    governor.went_through()
    assert governor.backed_off(None) == 1


def test_after_too_many_calls_the_pace_is_lower_and_comes_back() -> None:
    clock = Clock()
    governor = governor_on(clock, per_minute=600)

    def in_a_minute() -> int:
        taken, end = 0, clock.now + 60
        while clock.now < end:
            if wait := governor.try_take():
                clock.sleep(wait)
            else:
                taken += 1
        return taken

    full = in_a_minute()
    for _ in range(200):  # many calls were one too many: a quarter of the pace is lost in a minute, and no more
        governor.backed_off(0.0)
    slower = in_a_minute()
    assert 0.65 * full <= slower <= 0.8 * full
    assert all(in_a_minute() <= full for _ in range(10))
    assert in_a_minute() >= 0.99 * full


def test_one_call_too_many_in_a_minute_costs_hardly_any_pace() -> None:
    """Others, who share the account, may be many for a moment; it would not help to be slower for it."""
    clock = Clock()
    governor = governor_on(clock, per_minute=450)
    taken = 0
    for _ in range(60):
        end, said = clock.now + 60, False
        while clock.now < end:
            if wait := governor.try_take():
                clock.sleep(wait)
                continue
            taken += 1
            if clock.now > end - 30 and not said:
                said = True
                governor.backed_off(1.0)
            else:
                governor.went_through()
    assert taken >= 0.9 * 60 * 450


@pytest.mark.parametrize("tells", [True, False], ids=["Retry-After", "no Retry-After"])
@pytest.mark.parametrize("share", [0.0015, 0.01, 0.05])
def test_a_few_refusals_among_many_calls_do_not_add_up(share: float, tells: bool) -> None:
    """Hundreds of calls a second, of which a few are refused by chance: it is never the quota that is used up."""
    clock, chance = Clock(), Random(1)
    governor = PacedGovernor(clock=clock, rng=Random(2))
    longest = 0.0
    due = [(clock.now + number / 100, number, False) for number in range(16)]
    numbers = itertools.count(len(due))
    for _ in range(20_000):
        clock.now, _, is_answer = heapq.heappop(due)
        if is_answer and chance.random() < share:
            longest = max(longest, governor.backed_off(1.0 if tells else None))
        elif is_answer:
            governor.went_through()
        wait = governor.try_take()
        heapq.heappush(due, (clock.now + (wait or 0.05), next(numbers), not wait))
    assert longest < QUOTA_PAUSE_S, "no job pauses for it"


@pytest.mark.parametrize("tells", [True, False], ids=["Retry-After", "no Retry-After"])
@pytest.mark.parametrize("engines", [2, 3, 5])
def test_engines_that_share_an_account_find_their_shares(engines: int, tells: bool) -> None:
    """Each is set to nearly all of it and knows of no other; half an hour of 500 calls a minute."""
    clock, allowed, latency = Clock(), 500, 0.2
    start = clock.now
    governors = [PacedGovernor(per_minute=450, clock=clock, rng=Random(number)) for number in range(engines)]
    recent: deque[float] = deque()
    taken, refused = [0] * engines, 0
    # Each engine calls with four threads: when, which engine, and what it was answered (its Retry-After).
    due: list[tuple[float, int, int, float | None]] = [
        (start + number / 100, number, number % engines, None) for number in range(4 * engines)
    ]
    numbers = itertools.count(len(due))
    while due[0][0] < start + 1_800:
        clock.now, _, engine, answer = heapq.heappop(due)
        governor = governors[engine]
        if answer is not None and answer >= 0:
            governor.backed_off(answer if tells else None)
        elif answer is not None:
            governor.went_through()
        if wait := governor.try_take():
            heapq.heappush(due, (clock.now + wait, next(numbers), engine, None))
            continue
        while recent and recent[0] <= clock.now - 60:
            recent.popleft()
        answer = -1.0
        if len(recent) < allowed:
            recent.append(clock.now)
            taken[engine] += 1
        else:
            answer = recent[0] + 60 - clock.now
            refused += 1
        heapq.heappush(due, (clock.now + latency, next(numbers), engine, answer))
    assert sum(taken) >= 0.9 * allowed * 30
    assert refused <= 0.05 * sum(taken)
    assert min(taken) >= 0.5 * max(taken), "nobody starves"


@pytest.mark.parametrize(("per_minute", "per_day"), [(-1, 0), (0, -1)])
def test_a_limit_below_zero(per_minute: int, per_day: int) -> None:
    with pytest.raises(ValueError, match="below 0"):
        PacedGovernor(per_minute=per_minute, per_day=per_day)


def test_take_waits_until_it_has_them() -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=6, clock=clock)
    for _ in range(7):
        assert take(governor, sleep=clock.sleep) == 0.0
    assert 1060.0 < clock.now <= 1062.0


def test_take_gives_up_what_would_last_too_long_and_what_nobody_waits_for_any_more() -> None:
    clock = Clock()
    governor = PacedGovernor(clock=clock)
    governor.backed_off(3_000)
    assert take(governor, sleep=clock.sleep) == 3_000
    clock.now += 2_900
    begun, looks = clock.now, iter([True] * 10)
    assert 90 < take(governor, lambda: next(looks, False), sleep=clock.sleep) < 100
    assert 0 < clock.now - begun < 10, "it was asked in between"
    assert take(governor, sleep=clock.sleep) == 0.0


@given(
    per_minute=st.integers(1, 40),
    steps=st.lists(
        st.tuples(
            st.floats(0, 20, allow_nan=False), st.integers(1, 5), st.floats(0, 0.5), st.none() | st.floats(0, 30)
        ),
        max_size=300,
    ),
)
def test_no_pattern_of_asking_gets_more_than_the_limit(
    per_minute: int, steps: list[tuple[float, int, float, float | None]]
) -> None:
    """However it is asked, and however late (up to half a second) each call arrives, billing refuses none."""
    clock = Clock()
    governor = PacedGovernor(per_minute=per_minute, clock=clock)
    arrivals: list[float] = []
    not_before = 0.0
    for pause, wanted, delay, retry_after in steps:
        clock.now += pause
        calls = min(wanted, per_minute)
        if retry_after is not None:
            governor.backed_off(retry_after)
            not_before = max(not_before, clock.now + retry_after)
        wait = governor.try_take(calls)
        if wait == 0:
            assert clock.now >= not_before
            arrivals += [clock.now + delay] * calls
        else:
            clock.now += wait  # what it promises holds: then it gives them
            assert governor.try_take(calls) < 1e-6
            arrivals += [clock.now + delay] * calls
    server = Server(per_minute)
    for arrival in sorted(arrivals):
        server.call(arrival)
    assert server.refused == 0


def test_threads_share_one_limit() -> None:
    clock = Clock()
    governor = PacedGovernor(per_minute=500, per_day=40, clock=clock)
    taken: list[float] = []

    def run() -> None:
        for _ in range(100):
            if governor.try_take() == 0:
                taken.append(1)
            else:
                clock.now += 0.2

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40
