"""What the pool brings to the recorder: nothing is lost, and nobody is woken for nothing or waits for ever."""

from __future__ import annotations

import threading
import time
from typing import Any

from desktop_app.engine.outcomes import Outcomes

#: What no wait that is ended by somebody comes near, on a machine that stands still for a while neither. A wait that
#: lasts so long is ended by the time-out of its test before.
PATIENCE_S = 600.0


def waited(outcomes: Outcomes, enough: int, timeout_s: float) -> float:
    """Seconds that a wait took."""
    start = time.monotonic()
    outcomes.wait(enough, timeout_s)
    return time.monotonic() - start


def after_a_moment(call: Any, *arguments: Any) -> threading.Timer:
    timer = threading.Timer(0.05, call, arguments)
    timer.start()
    return timer


def test_what_is_there_is_not_waited_for_and_comes_in_order() -> None:
    outcomes: Any = Outcomes()
    for number in range(3):
        outcomes.put(number)
    assert len(outcomes) == 3
    assert waited(outcomes, 3, PATIENCE_S) < PATIENCE_S / 2
    assert outcomes.take() == [0, 1, 2]
    assert outcomes.take() == []
    assert not outcomes.was_woken()


def test_a_wait_goes_on_until_enough_are_there() -> None:
    outcomes: Any = Outcomes()
    waited(outcomes, 1, 0.0)
    outcomes.put("first")
    outcomes.take()
    waited(outcomes, 2, 0.0)  # who rang for the first one is forgotten
    first = after_a_moment(outcomes.put, "one")
    assert waited(outcomes, 2, 0.3) >= 0.29
    first.join()  # it may be late itself
    after_a_moment(outcomes.put, "two")
    assert waited(outcomes, 2, PATIENCE_S) < PATIENCE_S / 2
    assert outcomes.take() == ["one", "two"]


def test_ringing_ends_a_wait_and_waking_is_told_once() -> None:
    outcomes = Outcomes()
    after_a_moment(outcomes.ring)
    assert waited(outcomes, 9, PATIENCE_S) < PATIENCE_S / 2
    assert not outcomes.was_woken()
    after_a_moment(outcomes.wake)
    assert waited(outcomes, 9, PATIENCE_S) < PATIENCE_S / 2
    assert outcomes.was_woken()
    assert not outcomes.was_woken()
    outcomes.ring()
    outcomes.ring()
    assert waited(outcomes, 9, PATIENCE_S) < PATIENCE_S / 2
    assert waited(outcomes, 9, 0.05) >= 0.04


def test_a_wait_of_next_to_nothing_comes_to_an_end() -> None:
    """The recorder waits until some instant, which may be now; then it has to look for work whose time has come."""
    outcomes: Any = Outcomes()

    def wait_often() -> None:
        for _ in range(10_000):
            outcomes.put(None)
            outcomes.wait(1, PATIENCE_S)
            outcomes.take()
            outcomes.wait(1, PATIENCE_S)  # it rings still
            for timeout_s in (1e-6, 1e-9, 0.0, -1.0):
                outcomes.wait(1, timeout_s)

    thread = threading.Thread(target=wait_often, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_many_threads_bring_each_of_theirs_once() -> None:
    outcomes: Any = Outcomes()
    threads, each = 8, 3_000

    def bring(thread: int) -> None:
        for number in range(each):
            outcomes.put((thread, number))

    pool = [threading.Thread(target=bring, args=(thread,)) for thread in range(threads)]
    for one in pool:
        one.start()
    taken: list[tuple[int, int]] = []
    give_up_at = time.monotonic() + PATIENCE_S
    while len(taken) < threads * each and time.monotonic() < give_up_at:
        # The last ones are fewer than are asked for here: the wait has to end by its time.
        outcomes.wait(250, 0.05)
        taken += outcomes.take()
    for one in pool:
        one.join()
    assert sorted(taken) == [(thread, number) for thread in range(threads) for number in range(each)]
    assert all([n for t, n in taken if t == thread] == list(range(each)) for thread in range(threads))
