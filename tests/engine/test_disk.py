"""The disk of the database is full, or does not keep what it is told to: no false success, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from db.schema import work_order_step
from db.unit_of_work import Store
from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, read_ledger, set_faults, stop
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool
from tests.engine.conftest import World, wait_for
from tests.helpers.billing_ledger import CUT_AFTER
from tests.helpers.leaping_clock import LeapingClock, Leaps

ROOT = Path(__file__).parents[2]
#: Settle time and leases are on a clock that leaps, and longer than any machine stands still.
SETTLE_S, TIMEOUT_S, LEASE_S = 120.0, 1.5, 1_800.0
LATENCY_MS, SEARCH_LAG_MS = 50, 200
PATIENCE_S = 120.0
#: Pages of a database that may grow; SQLite's own limit.
UNLIMITED = 4_294_967_294
SAYS = {"full": "is full", "sync": "cannot be read or written"}


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_an_engine_waits_for_room_on_the_disk_and_goes_on(world: World) -> None:
    number = world.submit(world.request(30))
    world.ledger.faults.extend([None, None, CUT_AFTER] * 5)
    store = Store(world.store.url)
    pages = [UNLIMITED]

    @event.listens_for(store.engines.write, "begin")
    def _limit(connection: Connection) -> None:
        # Not below what the file has already: from then on whatever needs a further page finds the disk full.
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages[0]}")

    def on_post() -> None:
        if world.ledger.posts == 8:  # most of them are still to be recorded
            pages[0] = 1

    def says_full() -> bool:
        fault = engine.fault
        return fault is not None and fault.code == "DISK_FULL" and "Make some room" in fault.what_to_do

    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=600.0, first_wait_s=0.05)
    engine = Engine(store, world.gateway, ThreadPool(4), config)
    world.ledger.on_post = on_post
    engine.start()
    try:
        wait_for(says_full)
        world.ledger.on_post = lambda: None
        assert_an_intent_for_all_that_was_made(world.store, world.ledger.services_of_reference())
        pages[0] = UNLIMITED
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
        wait_for(lambda: engine.fault is None)
    finally:
        engine.stop()
        store.close()
    assert world.job(number).job.counts.succeeded == 30
    world.assert_sound()


def assert_an_intent_for_all_that_was_made(store: Store, references: Any) -> None:
    """What was sent while the disk failed was sent with a committed intent."""
    with store.read() as uow:
        intended = set(uow.connection.scalars(select(work_order_step.c.reference)))
    assert set(references) <= intended


# --- a process of its own --------------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxAddress]:
    command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
    address = ensure_sandbox(tmp_path, command=command, accept_any=True, start_timeout_s=60.0)
    set_faults(address, latency_ms=LATENCY_MS, search_lag_ms=SEARCH_LAG_MS)
    yield address
    stop(address)


def start(store: Store, leaps: Leaps, said: Path, module: str, *first: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", f"tests.helpers.{module}", *first, store.url, leaps.sandbox.url,
        f"--timeout-s={TIMEOUT_S}", f"--settle-s={SETTLE_S}", f"--lease-s={LEASE_S}", f"--clock={leaps.clock.file}",
    ]  # fmt: skip
    with said.open("w") as errors:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors)


def wait_long_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", ["full", "sync"])
def test_a_process_whose_disk_fails_it_sends_nothing_more_and_the_next_one_finishes(
    world: World, sandbox: SandboxAddress, tmp_path: Path, fault: str
) -> None:
    leaps = Leaps(LeapingClock(tmp_path / "clock"), sandbox, TIMEOUT_S, (LATENCY_MS + SEARCH_LAG_MS) / 1_000)
    world.store.clock = leaps.clock.now
    number = world.submit(world.request(60))
    said = tmp_path / "said.log"

    def posts() -> int:
        return int(read_ledger(sandbox)["calls"]["POST"])

    process = start(world.store, leaps, said, "failing_disk", fault)
    try:
        wait_long_for(lambda: SAYS[fault] in said.read_text())
        # The calls that were handed out already are made; after them it has nothing that it may send.
        seen = [-1]

        def has_stopped() -> bool:
            seen.append(posts())
            time.sleep(1.0)
            return seen[-1] == seen[-2]

        wait_long_for(has_stopped)
        assert process.poll() is None, "it waits for its disk"
    finally:
        process.kill()
        process.wait()
    ledger = read_ledger(sandbox)
    made = {reference for reference, row in ledger["references"].items() if row["services"] or row["products"]}
    assert made
    assert_an_intent_for_all_that_was_made(world.store, made)
    assert world.job(number).job.counts.open > 0

    leaps.leap(LEASE_S + 1, nobody_calls=True)
    second = start(world.store, leaps, tmp_path / "second.log", "engine_process")
    try:
        assert leaps.until(lambda: second.poll() is not None, SETTLE_S, PATIENCE_S), "it does not end"
        assert second.returncode == 0
    finally:
        second.kill()
        second.wait()
    job = world.job(number).job
    assert job.state in FINAL_JOBS
    assert job.counts.open == 0
    assert read_ledger(sandbox)["duplicates"] == []
    world.assert_sound()
