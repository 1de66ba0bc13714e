"""The queue between the recorder thread and the pool: a work order and the right to call are handed out together."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

from desktop_app.engine.calls import Calls
from desktop_app.engine.leases import Lease, lease_clock

TIMEOUT_S = 5.0


class Limits:
    """Governors by credential: each lets so many calls through and then asks to wait."""

    def __init__(self, **left: int) -> None:
        self.left = {int(name[1:]): count for name, count in left.items()}
        self.wait_s = 60.0
        self.asked = 0

    def __call__(self, credential_id: int) -> Any:
        return SimpleNamespace(try_take=lambda calls=1: self._take(credential_id), backed_off=lambda _seconds: None)

    def _take(self, credential_id: int) -> float:
        self.asked += 1
        if self.left.get(credential_id, 1_000) == 0:
            return self.wait_s
        self.left[credential_id] = self.left.get(credential_id, 1_000) - 1
        return 0.0


def order(name: str, *, credential: int = 1, job: int = 1, lease_s: float = 60.0) -> Any:
    lease = Lease(lease_s, lease_s, lambda: 0.0, lambda: 0.0)
    return SimpleNamespace(
        name=name, lease=lease, job=SimpleNamespace(billing_credential_id=credential), order=SimpleNamespace(job_id=job)
    )


def names(calls: Calls) -> list[str]:
    """All that can be called right now, in the order in which they are handed out."""
    found = []
    while (one := calls.get_nowait()) is not None:
        found.append(one.name)  # type: ignore[attr-defined]
    return found


def test_work_orders_are_handed_out_in_turn_between_credentials() -> None:
    calls = Calls(Limits(), TIMEOUT_S)
    calls.put([order("a1"), order("a2"), order("b1", credential=2), order("a3"), order("b2", credential=2)])
    assert len(calls) == 5
    assert names(calls) == ["a1", "b1", "a2", "b2", "a3"]
    assert len(calls) == 0


def test_jobs_of_one_credential_take_turns() -> None:
    calls = Calls(Limits(), TIMEOUT_S)
    calls.put(order(f"large {number}", job=1) for number in range(4))
    calls.put(order(f"small {number}", job=2) for number in range(2))
    assert calls.jobs() == {1, 2}
    assert calls.get_nowait().name == "large 0"  # type: ignore[union-attr]
    assert len(calls.take_back(lambda one: one.name == "large 1")) == 1  # type: ignore[attr-defined]
    assert names(calls) == ["small 0", "large 2", "small 1", "large 3"]
    assert calls.jobs() == set()


def test_a_job_whose_lease_is_too_short_for_a_call_does_not_hold_up_another() -> None:
    calls = Calls(Limits(), TIMEOUT_S)
    calls.put([order("short", lease_s=TIMEOUT_S), order("long", job=2)])
    assert names(calls) == ["long"]
    assert calls.jobs() == {1}


def test_without_the_right_to_call_nothing_is_handed_out() -> None:
    limits = Limits(c1=2)
    calls = Calls(limits, TIMEOUT_S)
    calls.put(order(name) for name in ("one", "two", "three"))
    assert names(calls) == ["one", "two"]
    assert calls.waits() == {1: 60.0}
    assert len(calls) == 1
    limits.left[1] = 1
    assert names(calls) == ["three"]
    assert calls.waits() == {}


def test_one_credential_that_has_to_wait_does_not_hold_up_another() -> None:
    calls = Calls(Limits(c1=0), TIMEOUT_S)
    calls.put([order("waits"), order("goes", credential=2)])
    assert names(calls) == ["goes"]


def test_no_right_is_spent_on_a_lease_that_does_not_outlive_the_call() -> None:
    limits = Limits()
    calls = Calls(limits, TIMEOUT_S)
    calls.put([order("too late", lease_s=TIMEOUT_S)])
    assert names(calls) == []
    assert limits.asked == 0
    assert [one.name for one in calls.take_back(lambda _one: True)] == ["too late"]  # type: ignore[attr-defined]


def test_what_was_not_handed_out_can_be_taken_back() -> None:
    calls = Calls(Limits(), TIMEOUT_S)
    calls.put([order("stays", job=1), order("back", job=2), order("back too", job=2, credential=2)])
    assert calls.jobs() == {1, 2}
    back = calls.take_back(lambda one: one.order.job_id == 2)
    assert sorted(one.name for one in back) == ["back", "back too"]  # type: ignore[attr-defined]
    assert (len(calls), calls.jobs()) == (1, {1})
    assert names(calls) == ["stays"]


class Waiters:
    """Threads that wait for a call each."""

    def __init__(self, calls: Calls, count: int) -> None:
        self.got: list[str | None] = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._get, args=(calls,)) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _get(self, calls: Calls) -> None:
        one = calls.get()
        with self.lock:
            self.got.append(None if one is None else one.name)  # type: ignore[attr-defined]

    def join(self) -> list[str | None]:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        return sorted(self.got, key=str)


def wait_until_asked(limits: Limits, times: int) -> None:
    give_up_at = time.monotonic() + 60
    while limits.asked < times:
        assert time.monotonic() < give_up_at, "nobody asked"
        time.sleep(0.005)


def test_threads_wait_for_work_and_get_one_each() -> None:
    calls = Calls(Limits(), TIMEOUT_S)
    waiters = Waiters(calls, 3)
    calls.put([order("one"), order("two"), order("three")])
    assert waiters.join() == ["one", "three", "two"]


def test_threads_that_wait_for_the_quota_all_get_theirs_when_there_is_room_again() -> None:
    limits = Limits(c1=0)
    limits.wait_s = 0.01
    calls = Calls(limits, TIMEOUT_S)
    calls.put([order("one"), order("two"), order("three")])
    waiters = Waiters(calls, 3)
    wait_until_asked(limits, 3)  # somebody waits, and asks again
    limits.left[1] = 3
    assert waiters.join() == ["one", "three", "two"]


def test_closing_sends_every_waiting_thread_home() -> None:
    limits = Limits(c1=0)
    calls = Calls(limits, TIMEOUT_S)
    calls.put([order("never")])
    waiters = Waiters(calls, 3)
    calls.close()
    assert waiters.join() == [None, None, None]
    assert calls.get() is None
    assert [one.name for one in calls.take_back(lambda _one: True)] == ["never"]  # type: ignore[attr-defined]


def test_a_thread_that_finds_nothing_to_call_says_so_and_one_that_waits_for_the_quota_does_not() -> None:
    said = threading.Event()
    dry = Calls(Limits(), TIMEOUT_S)
    dry.on_dry = said.set
    waiters = Waiters(dry, 1)
    assert said.wait(60)
    dry.close()
    waiters.join()
    said.clear()
    limits = Limits(c1=0)
    limits.wait_s = 0.01
    waiting = Calls(limits, TIMEOUT_S)
    waiting.on_dry = said.set
    waiting.put([order("one")])
    waiters = Waiters(waiting, 2)
    wait_until_asked(limits, 3)
    assert not said.is_set()
    assert waiting.at_quota() == {1: 1}
    waiting.close()
    waiters.join()


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_lease_outlives_what_is_shorter_than_the_rest_of_it() -> None:
    elapsed, wall = [100.0], [5_000.0]
    lease = Lease.lasting(60.0, lambda: elapsed[0], lambda: wall[0])
    assert lease.outlives(59.9)
    assert not lease.outlives(60.0)
    elapsed[0] += 50.0
    wall[0] += 50.0
    assert lease.outlives(9.9)
    assert not lease.outlives(10.0)


def test_a_machine_that_slept_has_no_lease_any_more() -> None:
    elapsed = [100.0]
    lease = Lease.lasting(60.0, lambda: elapsed[0], lambda: 5_000.0)  # the wall clock was not set yet after the sleep
    elapsed[0] += 3_600.0
    assert not lease.outlives(0.0)


def test_a_wall_clock_set_forward_ends_the_lease_and_one_set_back_does_not_lengthen_it() -> None:
    elapsed, wall = [100.0], [5_000.0]
    lease = Lease.lasting(60.0, lambda: elapsed[0], lambda: wall[0])
    wall[0] += 3_600.0  # other engines on this machine take the work over now
    assert not lease.outlives(1.0)
    wall[0] -= 7_200.0
    assert lease.outlives(1.0)
    elapsed[0] += 60.0
    assert not lease.outlives(0.0)


def test_the_lease_clock_never_runs_backwards() -> None:
    readings = [lease_clock() for _ in range(100)]
    assert readings == sorted(readings)
