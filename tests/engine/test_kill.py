"""The ``work`` process is killed at any moment, over the real billing sandbox: nothing is billed twice, none is lost.

The sandbox cuts connections, answers 500 after it has made what was asked for, makes things late, and its search lags
behind. A kill counts only if an intent of the process was open: something may have been on its way to billing. What
the kills met is said at the end of the run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, FromClause, func, select

from db.integrity import check
from db.schema import engine, job, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association.states import FINAL_JOBS, OPEN_WORK_ORDERS, StepState, WorkOrderState
from desktop_app.association.steps import PRODUCT_STEPS
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, read_ledger, set_faults, stop
from tests.engine.conftest import World
from tests.helpers.desks import ADMINISTRATOR
from tests.helpers.kills import PROPERTY, Kills, Moment
from tests.helpers.leaping_clock import LeapingClock, Leaps

ROOT = Path(__file__).parents[2]
#: Fifteen kills on each kind of database for each seed; ``make soak`` asks for many more.
SEEDS = int(os.environ.get("ASSOCIATION_TEST_KILL_SEEDS", "1"))
ROUNDS, DEVICES = 15, 270
#: Seconds after which the last life, which nobody ends, should have come to its end.
LAST_LIFE_S = 600
#: Billing is late by up to 0.4 s: it comes into being 0.2 s after the call, and is found 0.2 s after that.
LATENESS_S = 0.4
#: Settle time and leases are on a clock that leaps, and longer than any machine stands still.
SETTLE_S, TIMEOUT_S, LEASE_S = 120.0, 2.0, 1_800.0
#: Seconds after which a process that begins nothing waits for what one before it has left open: it is leapt.
IDLE_S = 5.0
FAULTS = {
    "rates": {
        "500-after": 0.06,
        "cut-after": 0.06,
        "500-before": 0.04,
        "cut-before": 0.04,
        "429": 0.04,
        "appears-late": 0.04,
        "late": 0.02,
    },
    "get_rates": {"429": 0.02, "500-before": 0.02},
    "appears_late_ms": 200,
    "search_lag_ms": 200,
    "late_ms": 4_000,
    "latency_ms": 50,
    "retry_after_s": 0,
}


#: Exit codes of a process that has done what it could. 1: not every device succeeded. The demo data keep services that
#: this sandbox has never heard of.
ORDERLY = {0, 1}


@dataclass
class Killer:
    """Starts the program's ``work`` command as a process and kills it while an intent of its own is open."""

    store: Store
    leaps: Leaps
    data_dir: Path
    rng: random.Random
    kills: Kills = field(default_factory=Kills)

    @contextmanager
    def process(self) -> Iterator[subprocess.Popen[bytes]]:
        environment = {
            "DATABASE_URL": self.store.url,
            "DATA_DIR": str(self.data_dir),
            "BILLING_URL": self.leaps.sandbox.url,
            "BILLING_TIMEOUT_S": str(TIMEOUT_S),
            "BILLING_SETTLE_S": str(SETTLE_S),
            "LEASE_S": str(LEASE_S),
            "WORKERS": "3",
        }
        command = [sys.executable, "-m", "tests.helpers.leaping_clock", str(self.leaps.clock.file)]
        command += ["work", "--until-idle"]
        given = {f"ASSOCIATION_{name}": value for name, value in environment.items()}
        given["PYTHONFAULTHANDLER"] = "1"  # so that it says where it stands when it is aborted
        given["LOGNAME"] = ADMINISTRATOR  # who may open the database is whoever is logged in
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **given})
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def kill_once(self) -> None:
        """One life of the process.

        It may have done all there was before it was looked at, or before it was killed: that is no kill, or none that
        counts.
        """
        with self.process() as process:
            idle_at, end = time.monotonic() + IDLE_S, time.monotonic() + 240
            while not self._moment(process.pid).steps[StepState.INTENT]:
                if process.poll() is not None:
                    assert process.returncode in ORDERLY
                    return
                assert time.monotonic() < end, "work began nothing"
                if time.monotonic() > idle_at:
                    self.leaps.leap(SETTLE_S)
                time.sleep(0.005)
            time.sleep(self.rng.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.kills.met(self._moment(process.pid), self._moment())
        self.leaps.leap(LEASE_S + 1, nobody_calls=True)

    def finish(self) -> None:
        """The last life, which nobody ends."""
        with self.process() as process:
            if not self.leaps.until(lambda: process.poll() is not None, SETTLE_S, LAST_LIFE_S):
                process.send_signal(signal.SIGABRT)
                process.wait()
                raise AssertionError(f"it never ended; left are {self._moment()}")
            assert process.returncode in ORDERLY

    def _moment(self, process_id: int | None = None) -> Moment:
        """What there is of work orders that are not final, or of those alone that this process holds."""
        which: ColumnElement[bool] = work_order.c.state.in_(OPEN_WORK_ORDERS)
        if process_id is not None:
            which = which & work_order.c.engine_id.in_(select(engine.c.id).where(engine.c.process_id == process_id))
        steps = work_order.join(work_order_step, work_order_step.c.work_order_id == work_order.c.id)
        with self.store.read() as uow:

            def count(rows: FromClause, state: ColumnElement[str]) -> Counter[str]:
                counts = select(state, func.count()).select_from(rows).where(which).group_by(state)
                return Counter(dict(uow.connection.execute(counts).all()))

            return Moment(count(work_order, work_order.c.state), count(steps, work_order_step.c.state))


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxAddress]:
    command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
    address = ensure_sandbox(
        tmp_path, command=command, accept_any=True, search_lag_ms=FAULTS["search_lag_ms"], start_timeout_s=60.0
    )
    set_faults(address, **FAULTS)
    yield address
    stop(address)


def assert_each_device_is_billed_once(world: World, sandbox: SandboxAddress, numbers: Sequence[str]) -> None:
    """The billing company's own ledger against the database."""
    set_faults(sandbox, reset=True)
    ledger = read_ledger(sandbox)
    assert ledger["duplicates"] == []
    with world.store.read() as uow:
        orders = uow.connection.execute(
            select(work_order.c.reference, work_order.c.state, work_order.c.billing_action, work_order.c.error_code)
            .join(job, job.c.id == work_order.c.job_id)
            .where(job.c.tracking_number.in_(numbers))
        ).all()
    # The demo data keep services that this sandbox has never heard of: nothing else may fail.
    lost = [order for order in orders if order.state != WorkOrderState.SUCCEEDED]
    assert {(order.state, order.billing_action) for order in lost} <= {("failed", "keep"), ("rejected", None)}, lost
    billed = [order.reference for order in orders if order.state == WorkOrderState.SUCCEEDED and order.reference]
    made = {reference: row["services"] for reference, row in ledger["references"].items() if row["services"]}
    assert made == dict.fromkeys(billed, 1)
    assert ledger["totals"]["without_reference"] == 0
    products = sum(row["products"] for row in ledger["references"].values())
    with world.store.read() as uow:
        done = uow.connection.execute(
            select(func.count())
            .select_from(work_order_step.join(work_order).join(job, job.c.id == work_order.c.job_id))
            .where(
                job.c.tracking_number.in_(numbers),
                work_order_step.c.step.in_(PRODUCT_STEPS),
                work_order_step.c.state == StepState.DONE,
            )
        ).scalar_one()
    assert done == products
    assert {world.job(number).job.state for number in numbers} <= FINAL_JOBS
    assert check(world.store) == ()


def kill_until(
    world: World,
    sandbox: SandboxAddress,
    data_dir: Path,
    *,
    devices: int,
    rounds: int,
    seed: int,
    say: Callable[[str, object], None],
) -> None:
    leaps = Leaps(LeapingClock(data_dir / "clock"), sandbox, TIMEOUT_S, LATENESS_S)
    world.store.clock = leaps.clock.now
    killer = Killer(world.store, leaps, data_dir, random.Random(seed))
    numbers: list[str] = []
    # However fast a life was, and however late it was looked at: there is something to do for the next one.
    while killer.kills.counted < rounds or len(killer.kills.kinds_of_steps) < 2:
        if not any(world.job(number).job.counts.open for number in numbers):
            numbers.append(world.submit(world.request(devices), f"key-{len(numbers)}"))
        killer.kill_once()
    # The longer a question is open, the longer is the wait after an answer that was none: the last life meets none.
    set_faults(sandbox, rates={}, get_rates={})
    killer.finish()
    say(PROPERTY, killer.kills.as_dict())
    assert_each_device_is_billed_once(world, sandbox, numbers)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_killed_process_bills_nothing_twice_and_loses_nothing(
    world: World, sandbox: SandboxAddress, data_dir: Path, record_property: Callable[[str, object], None]
) -> None:
    kill_until(world, sandbox, data_dir, devices=40, rounds=2, seed=1_000, say=record_property)


@pytest.mark.crash
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_many_kills_bill_nothing_twice_and_lose_nothing(
    world: World, sandbox: SandboxAddress, data_dir: Path, record_property: Callable[[str, object], None], seed: int
) -> None:
    kill_until(world, sandbox, data_dir, devices=DEVICES, rounds=ROUNDS, seed=seed, say=record_property)
