"""Two engine processes on one database, one of them stopped until its leases are over, and then woken.

When it is stopped it has calls on their way to billing, and their answers lie in its memory when it wakes: by then the
other process has asked billing for them. Whatever the woken one still wants to write or to send, it may not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.integrity import check
from db.schema import engine, job, metadata, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association.states import FINAL_JOBS, StepState, WorkOrderState
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, read_ledger, set_faults, stop
from tests.engine.conftest import World
from tests.helpers.leaping_clock import LeapingClock, Leaps

ROOT = Path(__file__).parents[2]
#: Settle time and leases are on a clock that leaps, and longer than any machine stands still.
SETTLE_S, TIMEOUT_S, LEASE_S = 120.0, 1.5, 1_800.0
LATENCY_MS, SEARCH_LAG_MS = 150, 200
PATIENCE_S = 120.0
#: Where it is stopped: some calls were answered, and what became of this one is not recorded.
IN_THE_MIDDLE = ("after-post", 12)

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxAddress]:
    command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
    address = ensure_sandbox(tmp_path, command=command, accept_any=True, start_timeout_s=60.0)
    set_faults(address, latency_ms=LATENCY_MS, search_lag_ms=SEARCH_LAG_MS)
    yield address
    stop(address)


@dataclass
class Processes:
    """Starts engine processes on one database and one billing company."""

    store: Store
    sandbox: SandboxAddress
    folder: Path

    def __post_init__(self) -> None:
        self.clock = LeapingClock(self.folder / "clock")
        self.store.clock = self.clock.now
        self.leaps = Leaps(self.clock, self.sandbox, TIMEOUT_S, (LATENCY_MS + SEARCH_LAG_MS) / 1_000)
        with self.store.read() as uow:
            self.since = uow.now()
        self.stopped_at = 0.0

    @contextmanager
    def engine(self, name: str, stop_at: str = "", time_: int = 1, workers: int = 8) -> Iterator[subprocess.Popen[str]]:
        """A process; it stops itself where it reaches that crash point for that time, unless there is none."""
        command = [
            sys.executable, "-m", "tests.helpers.engine_process", self.store.url, self.sandbox.url,
            f"--timeout-s={TIMEOUT_S}", f"--settle-s={SETTLE_S}", f"--lease-s={LEASE_S}",
            f"--clock={self.clock.file}", f"--workers={workers}", f"--stop-at={stop_at}", f"--stop-time={time_}",
        ]  # fmt: skip
        with self.said_by(name).open("w") as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()
            process.communicate()

    def ended(self, name: str, process: subprocess.Popen[str]) -> None:
        """Leaps until the process has ended in order; if it does not, says where each of its threads is."""
        if not self.leaps.until(lambda: process.poll() is not None, SETTLE_S, PATIENCE_S):
            process.send_signal(signal.SIGUSR2)
            time.sleep(1)
            raise AssertionError(f"{name} does not end:\n{self.said_by(name).read_text()}")
        assert process.returncode == 0, self.said_by(name).read_text()

    def stopped(self, process: subprocess.Popen[str]) -> None:
        """Waits until the process has stopped itself."""
        end = time.monotonic() + PATIENCE_S
        while not (found := os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG))[0]:
            assert time.monotonic() < end, "it did not stop"
            time.sleep(0.02)
        assert os.WIFSTOPPED(found[1])
        self.stopped_at = time.monotonic()

    def wake(self, *processes: subprocess.Popen[str]) -> None:
        """Lets them go on, when the deadlines of their calls are over: those are on the machine's own clock."""
        time.sleep(max(0.0, self.stopped_at + 1.1 * TIMEOUT_S - time.monotonic()))
        for process in processes:
            process.send_signal(signal.SIGCONT)

    def said_by(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def held_by(self, process: subprocess.Popen[str]) -> set[int]:
        """Work orders under a lease of the process that have an open intent."""
        open_intents = (
            select(work_order.c.id)
            .join(work_order_step, work_order_step.c.work_order_id == work_order.c.id)
            .join(engine, engine.c.id == work_order.c.engine_id)
            .where(
                engine.c.process_id == process.pid,
                work_order.c.state == WorkOrderState.RUNNING,
                work_order_step.c.state == StepState.INTENT,
            )
        )
        with self.store.read() as uow:
            return set(uow.connection.scalars(open_intents))

    def recorded(self) -> int:
        """How many services and products were recorded as made, by POSTs of this test."""
        made = select(func.count()).where(
            work_order_step.c.state == StepState.DONE, work_order_step.c.intent_at > self.since
        )
        with self.store.read() as uow:
            return int(uow.connection.execute(made).scalar_one())

    def stop_with_unread_answers(self, process: subprocess.Popen[str]) -> dict[int, int]:
        """Waits until the process has stopped itself, with an answer that is not recorded; then its leases end.

        Returns:
            The work orders that it holds with an intent open, and the epochs of its leases.
        """
        self.stopped(process)
        assert made(self.sandbox) > self.recorded()
        held = self.epochs(self.held_by(process))
        assert held
        self.leaps.leap(LEASE_S + 1)
        return held

    def everything(self) -> dict[str, list[Any]]:
        """All that the database holds, but for the engines' signs of life."""
        with self.store.read() as uow:
            return {
                table.name: sorted(map(repr, uow.connection.execute(select(table)).all()))
                for table in metadata.sorted_tables
                if table is not engine
            }

    def took_over(self, before: dict[int, int]) -> bool:
        """Whether each of these leases was taken over since."""
        return all(epoch > before[order] for order, epoch in self.epochs(before).items())

    def epochs(self, ids: Collection[int]) -> dict[int, int]:
        with self.store.read() as uow:
            rows = uow.connection.execute(
                select(work_order.c.id, work_order.c.lease_epoch).where(work_order.c.id.in_(ids))
            )
            return dict(rows.all())


def made(sandbox: SandboxAddress) -> int:
    totals = read_ledger(sandbox)["totals"]
    return int(totals["services"] + totals["products"])


def posts(sandbox: SandboxAddress) -> int:
    return int(read_ledger(sandbox)["calls"]["POST"])


def assert_sound(world: World, number: str, sandbox: SandboxAddress) -> None:
    ledger = read_ledger(sandbox)
    assert ledger["duplicates"] == []
    row = world.job(number).job
    assert row.state in FINAL_JOBS
    assert row.counts.open == 0
    with world.store.read() as uow:
        lost = uow.connection.execute(
            select(work_order.c.iccid, work_order.c.state, work_order.c.billing_action, work_order.c.error_code)
            .join(job, job.c.id == work_order.c.job_id)
            .where(job.c.tracking_number == number, work_order.c.state != WorkOrderState.SUCCEEDED)
        ).all()
    # The demo data keep services that this sandbox has never heard of: nothing else may fail.
    assert {(order.state, order.billing_action) for order in lost} <= {("failed", "keep"), ("rejected", None)}, lost
    billed = {row.line: world.desk.work_order(number, row.line) for row in world.orders(number)}
    assert sum(row["services"] for row in ledger["references"].values()) == sum(
        1
        for one in billed.values()
        if any(step.step == "billing_service" and step.state == "done" for step in one.steps)
    )
    assert check(world.store) == ()


def test_a_zombie_that_wakes_when_all_is_done_writes_nothing_and_posts_nothing(
    world: World, sandbox: SandboxAddress, tmp_path: Path
) -> None:
    processes = Processes(world.store, sandbox, tmp_path)
    number = world.submit(world.request(40))
    # The only thread that calls stops itself. Another one might be stopped between its last look at the time and the
    # kernel: no program can rule that out, and it is one reason for the settle time.
    with processes.engine("zombie", *IN_THE_MIDDLE, workers=1) as zombie:
        before = processes.stop_with_unread_answers(zombie)
        with processes.engine("other") as other:
            processes.ended("other", other)
        assert processes.took_over(before), "nothing was taken over"
        assert_sound(world, number, sandbox)
        everything, posted = processes.everything(), posts(sandbox)
        processes.wake(zombie)
        processes.ended("zombie", zombie)
    assert processes.everything() == everything
    assert posts(sandbox) == posted
    assert_sound(world, number, sandbox)
    assert "was lost; its outcome is dropped" in processes.said_by("zombie").read_text(), "it had nothing to write"


def test_a_zombie_that_wakes_in_the_middle_does_no_harm(world: World, sandbox: SandboxAddress, tmp_path: Path) -> None:
    processes = Processes(world.store, sandbox, tmp_path)
    number = world.submit(world.request(60))
    with processes.engine("zombie", *IN_THE_MIDDLE) as zombie:
        before = processes.stop_with_unread_answers(zombie)
        with processes.engine("other", "after-commit:take-back") as other:
            processes.stopped(other)
            assert processes.took_over(before)
            assert world.job(number).job.counts.open
            processes.wake(zombie, other)
            processes.ended("zombie", zombie)
            processes.ended("other", other)
    assert_sound(world, number, sandbox)
    assert "was lost; its outcome is dropped" in processes.said_by("zombie").read_text(), "it had nothing to write"
