"""The two drivers: the standard library's threads, and the window's pool. The engine does the same on both."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from desktop_app.association.states import JobState
from desktop_app.engine.pool import Pool, ThreadPool
from desktop_app.engine.qt_pool import QtPool
from tests.engine.conftest import World
from tests.helpers.billing_ledger import CUT_AFTER

POOLS = [ThreadPool, QtPool]


@pytest.mark.parametrize("make", POOLS)
def test_so_many_tasks_run_at_a_time_as_the_pool_is_large(make: Callable[[int], Pool]) -> None:
    pool = make(3)
    assert pool.size == 3
    together = threading.Barrier(3, timeout=60)
    done: list[int] = []

    def task() -> None:
        done.append(together.wait())

    for _ in range(3):
        pool.submit(task)
    pool.wait()
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("make", POOLS)
def test_a_job_is_worked_off_on_either_pool(world: World, make: Callable[[int], Pool]) -> None:
    number = world.submit(world.request(12))
    world.ledger.faults.extend([None, CUT_AFTER])
    world.work(pool=make(3))
    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()
