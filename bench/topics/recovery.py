"""Recovery: the program is launched on work orders that a dead engine left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import raw
from bench.machine import ROOT
from bench.measure import Figure, Target, in_turns
from bench.run import Run

TOPIC = "recovery"
OPEN = 10_000
PATIENCE_S = 60.0


def measure(run: Run) -> list[Figure]:
    """Seconds from the launch of ``main.py work`` until it has claimed its first work order."""
    run.say(f"a worker is launched on {OPEN:,} open work orders")
    many, one = in_turns(run.repeats, lambda: _launch(run, OPEN), lambda: _launch(run, 1))
    return [
        Figure(
            TOPIC,
            f"{OPEN:,} open work orders of a dead engine, until the first is claimed",
            "s",
            many,
            "the same with one open work order",
            one,
            Target(at_most=2.0, of_ratio=False),
            "half of them with an intent that was never answered; the process starts inside this time",
        )
    ]


def _launch(run: Run, count: int) -> float:
    with run.worlds.fresh(OPEN) as world:
        tracking_number = world.submit(world.request(count, billing=True))
        _leave_behind(world.path, tracking_number)
        # What it says goes nowhere; its log is in the folder.
        command = [sys.executable, str(ROOT / "main.py"), "work", "--data-dir", str(world.path.parent)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            return _until_claimed(world.path, process) - start
        finally:
            process.terminate()
            process.wait()


def _leave_behind(path: Path, tracking_number: str) -> None:
    """As if the engine that held every work order of the job had been killed a minute ago."""
    with raw.connected(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        (job_id,) = connection.execute("SELECT id FROM job WHERE tracking_number = ?", [tracking_number]).fetchone()
        connection.execute(
            "UPDATE work_order SET state = 'running', engine_id = 'dead', lease_epoch = 1,"
            " lease_until = datetime('now', '-1 minute') || '.000000', started_at = changed_at WHERE job_id = ?",
            [job_id],
        )
        connection.execute(
            "INSERT INTO work_order_step (work_order_id, step, state, reference, attempts, lease_epoch, intent_at)"
            " SELECT id, 'billing_service', 'intent', reference, 1, 1, changed_at FROM work_order"
            " WHERE job_id = ? AND line % 2 = 0",
            [job_id],
        )
        connection.execute("UPDATE job SET state = 'running', running = queued, queued = 0 WHERE id = ?", [job_id])
        connection.execute("COMMIT")


def _until_claimed(path: Path, process: subprocess.Popen[bytes]) -> float:
    # by the index of leases: looking must cost nothing
    claimed = "SELECT 1 FROM work_order WHERE state = 'running' AND lease_until > ? LIMIT 1"
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    give_up_at = time.monotonic() + PATIENCE_S
    with raw.connected(path) as connection:
        while connection.execute(claimed, [began]).fetchone() is None:
            assert process.poll() is None, f"the worker ended with {process.returncode}"
            assert time.monotonic() < give_up_at, "nothing was claimed"
            time.sleep(0.005)
    return time.perf_counter()
