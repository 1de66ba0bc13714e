"""Jobs over a billing company that takes its time: how much of the pool's time is spent in calls.

The ideal is ``C / (k · L)`` devices a second: every one of C threads is in a call all the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

from bench.billing import BillingOfLatency, bare_pool
from bench.machine import ROOT
from bench.measure import Figure, Target
from bench.one_job import job_rate
from bench.run import Run
from bench.slow_sync import WAIT_S, library
from bench.world import ACTIVATED_ON
from desktop_app.association.ports import ServiceOrder

TOPIC = "job with billing"
SLOW_TOPIC = "job with billing, slow disk"
LATENCIES_MS = (20, 50, 200)
CONCURRENCIES = (8, 16, 32)
#: Devices of the smallest job.
LEAST = 1_000
#: A job lasts this long at the least; one that lasts longer than the second figure is measured once.
LASTS_S, LONG_S = 4.0, 10.0
#: Where a call is as short as this, a thread that is woken a little late is a part of it: measured more often.
SHORT_MS, SHORT_REPEATS = 20, 5
#: A bare pool need not go on for longer: nothing in it changes.
POOL_S = 3.0
#: Latency in ms, concurrency, calls a device.
QUICK = ((20, 8, 1), (20, 32, 1), (50, 16, 1), (50, 32, 3))
SLOW = ((20, 32, 1), (50, 16, 1), (200, 32, 1), (50, 32, 3))
TARGET = Target(at_least=0.93)
#: The cell of which the very first job of an engine is measured, too.
FIRST_JOB = (20, 32, 1)


def measure(run: Run) -> list[Figure]:
    """Devices a second for each latency, concurrency and number of calls a device."""
    cells = QUICK if run.quick else [(ms, c, k) for k in (1, 3) for ms in LATENCIES_MS for c in CONCURRENCIES]
    slow = library(run.folder)
    if slow is None:
        run.say("No slow disk can be played here (it takes Linux and a C compiler): left out")
    figures = [figure for cell in cells for figure in _cell(run, *cell)]
    figures.append(_first_job(run, *FIRST_JOB))
    if slow is not None:
        figures += [_slow_cell(run, str(slow), *cell) for cell in (SLOW[:1] if run.quick else SLOW)]
    return figures


def _cell(run: Run, latency_ms: int, concurrency: int, calls: int) -> list[Figure]:
    latency_s, (ideal, count, name) = latency_ms / 1000, _sizes(run, latency_ms, concurrency, calls)
    repeats = max(run.repeats, SHORT_REPEATS) if latency_ms <= SHORT_MS else run.repeats
    if run.quick or count / ideal > LONG_S:
        repeats = 1
    jobs, pools = [], []
    for _ in range(repeats):
        run.say(name)
        jobs.append(job_rate(run.worlds, latency_s, concurrency, calls, count))
        pools.append(_pool_rate(latency_s, concurrency) / calls)
    return [
        Figure(TOPIC, name, "a second", tuple(jobs), "C / (k · L)", (ideal,) * repeats, TARGET),
        Figure(TOPIC, name, "a second", tuple(jobs), "bare pool of the same calls", tuple(pools)),
    ]


def _first_job(run: Run, latency_ms: int, concurrency: int, calls: int) -> Figure:
    ideal, count, name = _sizes(run, latency_ms, concurrency, calls)
    repeats = 1 if run.quick else run.repeats
    rates = []
    for _ in range(repeats):
        run.say(f"{name}, just started")
        rates.append(job_rate(run.worlds, latency_ms / 1000, concurrency, calls, count, just_started=True))
    return Figure(
        TOPIC, f"{name}, first job of an engine that starts", "a second", tuple(rates), "C / (k · L)",
        (ideal,) * repeats, note="its start and the making of its statements, once in a process, are in it",
    )  # fmt: skip


def _sizes(run: Run, latency_ms: int, concurrency: int, calls: int) -> tuple[float, int, str]:
    """Devices a second at best, how many devices, and what that is called."""
    ideal = concurrency * 1000 / (calls * latency_ms)
    count = max(LEAST, round(ideal * (2.0 if run.quick else LASTS_S)))
    return ideal, count, f"L = {latency_ms} ms, C = {concurrency}, k = {calls}, {count:,} devices"


def _pool_rate(latency_s: float, concurrency: int) -> float:
    """Calls a second of as many threads that do nothing else."""
    billing = BillingOfLatency(latency_s)
    order = ServiceOrder("reference", "500", "12", "12015550271", ACTIVATED_ON)
    calls = round(POOL_S * concurrency / latency_s)
    return bare_pool(lambda: billing.create_service(order, lambda: True), calls, concurrency)


def _slow_cell(run: Run, preload: str, latency_ms: int, concurrency: int, calls: int) -> Figure:
    ideal, count, name = _sizes(run, latency_ms, concurrency, calls)
    told = []
    for _ in range(1 if run.quick else run.repeats):
        run.say(f"{name}, slow disk")
        folder = run.folder / uuid.uuid4().hex
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "bench.one_job", str(folder), *map(str, (latency_ms, concurrency, calls, count))],
            cwd=ROOT, env={**os.environ, "LD_PRELOAD": preload}, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        told.append(json.loads(done.stdout))
    assert min(one["sync_s"] for one in told) >= WAIT_S, "the slow disk was not slow"
    return Figure(
        SLOW_TOPIC, name, "a second", tuple(one["rate"] for one in told), "C / (k · L)", (ideal,) * len(told), TARGET,
        f"each fsync and fdatasync of the process waits {WAIT_S * 1000:.0f} ms longer",
    )  # fmt: skip
