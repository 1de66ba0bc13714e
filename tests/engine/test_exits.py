"""The engine's process ends itself at every crash point, over the real billing sandbox: nothing twice, nothing lost.

``os._exit``: no block is left, nothing is flushed, no transaction is ended. What :mod:`tests.engine.test_crash_points`
shows in virtual time is shown here of the real threads, files and connections.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from db import installation, steering
from db.integrity import check
from db.schema import (
    device_history,
    device_ownership,
    job,
    scheduled_plan_change,
    work_order,
    work_order_step,
)
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.states import FINAL_JOBS
from desktop_app.association.steps import PRODUCT_STEPS
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, read_ledger, set_faults, stop
from tests.engine.test_crash_points import COMMITS_BESIDE, POINTS, around
from tests.helpers.databases import Databases
from tests.helpers.engine_process import ENDED_ITSELF, live
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.leaping_clock import LeapingClock, Leaps
from tests.helpers.stores import fresh_store
from tests.helpers.world import World

#: Billing is late by up to 0.6 s: it comes into being 0.3 s after the call, and is found 0.3 s after that.
LATENESS_S = 0.6
#: Settle time and leases are on a clock that leaps, and longer than any machine stands still.
SETTLE_S, TIMEOUT_S, LEASE_S = 120.0, 0.5, 1_800.0
SLOWNESS = {"appears_late_ms": 300, "search_lag_ms": 300, "late_ms": 1_500, "retry_after_s": 0}
#: What the sandbox calls the answers; "" is 201.
ANSWERS = ("", "429", "500-before", "500-after", "cut-before", "cut-after", "late", "appears-late")
CARRIER_PLAN = (CarrierPlanChoice("IOT5", "NORTHSTAR"),)
#: The business time zones between which a day passes at once, whatever time it is: they are 26 hours apart.
WEST, EAST = "Etc/GMT+12", "Pacific/Kiritimati"
A_DAY = timedelta(days=1)
#: Seconds after which a life that neither ends itself nor comes to its end is a failure.
PATIENCE_S = 120

# A server that has imported everything forks each life in milliseconds, and has no threads of its own.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.helpers.engine_process"])


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxAddress]:
    command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
    address = ensure_sandbox(
        tmp_path, command=command, accept_any=True, search_lag_ms=SLOWNESS["search_lag_ms"], start_timeout_s=60.0
    )
    yield address
    stop(address)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


class Lives:
    """Processes, one after the other, on one database and one billing company."""

    def __init__(self, world: World, sandbox: SandboxAddress, folder: Path) -> None:
        self.world, self.sandbox = world, sandbox
        clock = LeapingClock(folder / "clock")
        world.store.clock = clock.now
        self._leaps = Leaps(clock, sandbox, TIMEOUT_S, LATENESS_S)
        self._arguments = [
            world.store.url, sandbox.url, f"--timeout-s={TIMEOUT_S}", f"--settle-s={SETTLE_S}", f"--lease-s={LEASE_S}",
            f"--clock={clock.file}", "--announce",
        ]  # fmt: skip

    def today(self) -> date:
        """In the business time zone."""
        with self.world.store.read() as uow:
            return uow.today()

    def submit(self) -> int:
        """Two devices with billing and both plans, and one without billing; the handle of the first job."""
        today = self.today()
        billed = [self.world.device(), self.world.device()]
        first = submit(
            self.world, *billed, create_billing_service=True, carrier_rate_plans=CARRIER_PLAN,
            customer_rate_plan="FLEET", effective_date=today,
        )  # fmt: skip
        submit(self.world, self.world.device(), carrier_rate_plans=CARRIER_PLAN, effective_date=today)
        return first

    def one(self, end_at: str | None, behind: str | None = None) -> int | None:
        """One life, after the leases of the one before; its exit code, or None if it does not come to an end."""
        self._leaps.leap(LEASE_S + 1, nobody_calls=True)
        process = _PROCESSES.Process(target=live, args=(self._arguments, end_at, behind))
        process.start()
        if not self._leaps.until(lambda: not process.is_alive(), SETTLE_S, PATIENCE_S):
            process.kill()
            process.join()
            return None
        return process.exitcode

    def assert_each_device_is_done_once(self) -> None:
        """The billing company's own ledger against the database."""
        set_faults(self.sandbox, reset=True)
        ledger = read_ledger(self.sandbox)
        orders = self.world.rows(work_order)
        assert {order.state for order in orders} == {"succeeded"}
        assert ledger["duplicates"] == []
        assert ledger["totals"]["without_reference"] == 0
        made = {reference: row["services"] for reference, row in ledger["references"].items() if row["services"]}
        assert made == {order.reference: 1 for order in orders if order.reference}
        products = [row for row in self.world.rows(work_order_step) if row.step in PRODUCT_STEPS]
        assert {row.state for row in products} == {"done"}
        assert sum(row["products"] for row in ledger["references"].values()) == len(products) == 2 * len(made)
        assert {row.state for row in self.world.rows(job)} <= FINAL_JOBS
        assert_counters_equal_rows(self.world)
        assert check(self.world.store) == ()


def end_at_each(lives: Lives, points: Sequence[str], answers: Sequence[str]) -> None:
    """A new job and a new process for each point; the work that one leaves behind is the next one's."""
    for point in points:
        lives.submit()
        set_faults(lives.sandbox, **SLOWNESS, next=list(islice(cycle(answers), 16)))
        if point.endswith("take-back"):  # which only comes where a process ended before
            assert lives.one("after-post") == ENDED_ITSELF
        assert lives.one(point) == ENDED_ITSELF, f"{point} was never reached"
    assert lives.one(None) == 0
    lives.assert_each_device_is_done_once()


ON_BOTH = pytest.mark.parametrize(
    "databases",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.crash])],
    indirect=True,
)


@pytest.mark.timeout(600)
@ON_BOTH
def test_a_process_that_ends_itself_around_a_commit_or_a_post(
    world: World, sandbox: SandboxAddress, tmp_path: Path
) -> None:
    end_at_each(Lives(world, sandbox, tmp_path), ["before-post", "after-post", *around(["record"])], ANSWERS)


@pytest.mark.timeout(600)
@ON_BOTH
def test_a_process_that_ends_itself_beside_its_work_orders(
    world: World, sandbox: SandboxAddress, tmp_path: Path
) -> None:
    """Around what was written down for a day that has come, and around each look whether billing is back."""
    lives = Lives(world, sandbox, tmp_path)
    set_agreed(world, "time_zone", WEST)
    tomorrows = world.device()
    plans: dict[str, Any] = {"carrier_rate_plans": CARRIER_PLAN, "customer_rate_plan": "FLEET"}
    submit(world, tomorrows, effective_date=lives.today() + A_DAY, **plans)
    assert lives.one(None) == 0
    assert {row.state for row in world.rows(scheduled_plan_change)} == {"pending"}

    set_agreed(world, "time_zone", EAST)
    paused = lives.submit()
    world.store.run(lambda uow: steering.pause_for_environment(uow, paused, "As the test asked.", uow.now() + A_DAY))
    # While the job is paused no process ends for want of work.
    for point in sorted(around(COMMITS_BESIDE), key=lambda point: "probe" in point):
        if "probe" in point:  # now is the time to look
            world.store.run(lambda uow: uow.connection.execute(update(job).values(resume_at=uow.now())))
        assert lives.one(point) == ENDED_ITSELF, f"{point} was never reached"
    assert lives.one(None) == 0

    lives.assert_each_device_is_done_once()
    assert {row.state for row in world.rows(scheduled_plan_change)} == {"applied"}
    assert [row.state for row in world.rows(device_ownership, device_id=tomorrows)] == ["active"]
    said = Counter(row.event for row in world.rows(device_history, device_id=tomorrows))
    assert (said["assigned"], said["plan_change_applied"]) == (1, 2)


def set_agreed(world: World, name: str, value: str) -> None:
    """What all engines agree on, from their next start on."""
    world.store.run(lambda uow: installation.write(uow, name, value))


@pytest.mark.crash
@pytest.mark.timeout(600)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer or "201")
def test_a_process_that_ends_itself_at_every_point(
    world: World, sandbox: SandboxAddress, tmp_path: Path, answer: str
) -> None:
    end_at_each(Lives(world, sandbox, tmp_path), POINTS, [answer, ""])


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer or "201")
def test_a_process_that_ends_itself_with_an_answer_in_hand(
    world: World, sandbox: SandboxAddress, tmp_path: Path, answer: str
) -> None:
    """Each of the first POSTs is answered so; it ends before, and after, that is recorded."""
    lives = Lives(world, sandbox, tmp_path)
    for point in ("before-post", "before-commit:record", "after-commit:record"):
        lives.submit()
        set_faults(sandbox, **SLOWNESS, next=[answer, answer])
        assert lives.one(point, behind="after-post") == ENDED_ITSELF, f"{point} was never reached"
    assert lives.one(None) == 0
    lives.assert_each_device_is_done_once()
