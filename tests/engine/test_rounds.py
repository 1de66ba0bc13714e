"""The recorder thread's rounds: how many work orders are held, so that the pool always has something to call."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from desktop_app.association.processing import ProcessingRules
from desktop_app.engine.calls import Calls
from desktop_app.engine.group import Recorded
from desktop_app.engine.interpreter import SWITCH_S
from desktop_app.engine.outcomes import Outcomes
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.rounds import MOST_HELD, POLL_S, Rounds
from desktop_app.engine.runner import NotCalled, Outcome, run
from tests.engine.conftest import World, only
from tests.helpers.billing_ledger import BillingLedger, OneLedger

SIZE = 4


class EndlessQueue:
    """A recorder with as many work orders to claim as there is room for, each with one call.

    What the pool does meanwhile is done in here, so that nothing depends on time.
    """

    def __init__(self, groups: int, meanwhile: Callable[[], None]) -> None:
        self.held: list[int] = []
        self.stopping = threading.Event()
        self.rounds: Any = None
        self._groups = groups
        self._meanwhile = meanwhile

    def any_due(self, unopened: object) -> bool:
        return True

    def record(
        self, items: tuple[Any, ...], room: int, unopened: object, watched: object, *, newcomers: int, at_quota: object
    ) -> Recorded:  # fmt: skip
        if self.stopping.is_set():
            return Recorded(ended=len(items))
        self._meanwhile()
        self.held.append(self.rounds.held - len(items) + room)
        if len(self.held) == self._groups:
            self.stopping.set()
        return Recorded(to_call=tuple(an_order() for _ in range(room)), claimed=room, is_full=True, ended=len(items))


def an_order() -> Any:
    lease = SimpleNamespace(outlives=lambda _seconds: True)
    return SimpleNamespace(
        job=SimpleNamespace(billing_credential_id=1), order=SimpleNamespace(job_id=1), lease=lease, call=object()
    )


def held_over(groups: int, calls_meanwhile: int | None) -> list[int]:
    """How many work orders are held in each round, where the pool makes so many calls meanwhile (None: all)."""
    gateway = OneLedger(BillingLedger())
    calls = Calls(gateway.governor, timeout_s=1.0)

    def call() -> None:
        made = 0
        while (calls_meanwhile is None or made < calls_meanwhile) and (order := calls.get_nowait()) is not None:
            queue.rounds.outcomes.put(Outcome(order, NotCalled()))
            made += 1

    queue = EndlessQueue(groups, call)
    queue.rounds = Rounds(queue, calls, gateway, size=SIZE, lease_s=60.0)  # type: ignore[arg-type]
    queue.rounds.run(queue.stopping)
    return queue.held


def test_more_is_held_where_the_pool_runs_dry() -> None:
    held = held_over(12, None)
    assert held == sorted(held)
    assert held[0] > SIZE
    assert held[-1] == MOST_HELD


def test_little_is_held_where_calls_are_slow() -> None:
    held = held_over(60, 1)
    assert SIZE < held[-1] <= SIZE + 4


def test_the_first_claim_is_small_so_that_calls_begin_at_once() -> None:
    held = held_over(2, 1)
    assert SIZE < held[0] <= 3 * SIZE < held[1]


@pytest.mark.parametrize(("before", "after"), [(0.005, SWITCH_S), (SWITCH_S / 2, SWITCH_S / 2)])
def test_threads_that_wake_do_not_wait_long_for_the_recorder(before: float, after: float) -> None:
    usual = sys.getswitchinterval()
    try:
        sys.setswitchinterval(before)
        held_over(1, None)
        assert sys.getswitchinterval() == pytest.approx(after)
    finally:
        sys.setswitchinterval(usual)


class WatchedOutcomes(Outcomes):
    """Remembers how long was to be waited.

    Attributes:
        waits: seconds, of each wait.
        third: set before the third of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.third = threading.Event()

    def wait(self, enough: int, timeout_s: float) -> None:
        self.waits.append(timeout_s)
        if len(self.waits) == 3:
            self.third.set()
        super().wait(enough, timeout_s)


def test_a_call_that_is_waited_for_at_the_end_is_not_waited_for_in_a_hurry() -> None:
    """An engine may be waiting for a call for seconds, in a process whose window is being closed."""
    gateway = OneLedger(BillingLedger())
    calls = Calls(gateway.governor, timeout_s=1.0)
    handed_out: list[Any] = []
    queue = EndlessQueue(1, lambda: None)
    queue.rounds = rounds = Rounds(queue, calls, gateway, size=SIZE, lease_s=60.0)  # type: ignore[arg-type]

    def first_group() -> None:
        calls.put([an_order()])
        rounds._out += 1
        assert rounds._longest_wait_s(is_stopping=True) == 0, "what nobody calls is waited for"
        handed_out.append(calls.get_nowait())

    queue._meanwhile = first_group
    rounds.outcomes = outcomes = WatchedOutcomes()
    thread = threading.Thread(target=rounds.run, args=(queue.stopping,))
    thread.start()
    waits_for_the_call = outcomes.third.wait(60)
    outcomes.put(Outcome(handed_out[0], NotCalled()))
    thread.join(60)
    assert waits_for_the_call
    assert queue.stopping.is_set()
    assert not thread.is_alive()
    assert not rounds.held
    # The group, what was not called is given back, looks that each wait as all others do, and the end.
    begin, looks, end = outcomes.waits[:2], outcomes.waits[2:-1], outcomes.waits[-1]
    assert (begin, set(looks), end) == ([0.0, 0.0], {POLL_S}, 0.0)


def test_a_pool_that_was_without_work_for_long_is_not_kept_short() -> None:
    gateway = OneLedger(BillingLedger())
    nobody: Any = EndlessQueue(1, lambda: None)
    rounds = Rounds(nobody, Calls(gateway.governor, timeout_s=1.0), gateway, size=SIZE, lease_s=60.0)
    for _ in range(1_000):
        rounds._fit_reserve(left=34, more=0)
    assert rounds._pace == 1
    rounds._fit_reserve(left=0, more=SIZE)
    assert rounds._pace == 34


def test_a_quota_that_is_used_up_leaves_room_for_the_jobs_of_others(world: World) -> None:
    request = world.request(12)
    lines = request.devices.lines  # type: ignore[union-attr]
    world.submit(only(lines[:8], request), "large")
    recorder = Recorder(world.store, "an-engine", ProcessingRules(timedelta(seconds=1)), lease_s=60.0)
    first = recorder.record((), 3)
    credential = first.to_call[0].job.billing_credential_id
    assert credential is not None
    large = {first.to_call[0].order.job_id}
    assert recorder.record((), 9, (), large, newcomers=2, at_quota={credential}).claimed == 0
    world.submit(only(lines[8:], request), "small")
    found = recorder.record((), 9, (), large, newcomers=2, at_quota={credential})
    assert found.claimed == 2, "a newcomer's first turn does not wait for the quota of the other"
    assert recorder.record((), 9, (), large, newcomers=2, at_quota={credential + 1}).claimed > 0


def test_calls_that_wait_for_a_quota_take_no_room() -> None:
    gateway = OneLedger(BillingLedger())
    nobody: Any = EndlessQueue(1, lambda: None)
    rounds = Rounds(nobody, Calls(gateway.governor, timeout_s=1.0), gateway, size=SIZE, lease_s=60.0)
    rounds._out = 100
    assert rounds._room(at_quota=0) < 0
    assert rounds._room(at_quota=100 - SIZE) > 0
    rounds._out = MOST_HELD
    assert rounds._room(at_quota=MOST_HELD) == 0


def test_a_group_without_room_says_that_there_may_be_more(world: World) -> None:
    world.submit(world.request(6))
    recorder = Recorder(world.store, "an-engine", ProcessingRules(timedelta(seconds=1)), lease_s=60.0)
    first = recorder.record((), 3)
    assert first.claimed == 3
    going_on = [run(order, world.ledger, 1.0, lambda: False) for order in first.to_call]
    second = recorder.record(going_on, 3)
    assert len(second.to_call) == 3
    assert second.claimed == 0
    assert second.is_full


def test_without_room_something_is_claimed_of_jobs_of_which_nothing_is_held(world: World) -> None:
    request = world.request(12)
    lines = request.devices.lines  # type: ignore[union-attr]
    world.submit(only(lines[:6], request), "large")
    recorder = Recorder(world.store, "an-engine", ProcessingRules(timedelta(seconds=1)), lease_s=60.0)
    large = {one.order.job_id for one in recorder.record((), 3).to_call}
    world.submit(only(lines[6:], request), "small")
    assert recorder.record((), 0, (), large).claimed == 0
    found = recorder.record((), 0, (), large, newcomers=2)
    assert found.claimed == len(found.to_call) == 2
    assert found.is_full
    small = {one.order.job_id for one in found.to_call}
    assert not small & large
    assert recorder.record((), 0, (), large | small, newcomers=2).claimed == 0
