"""One job in a process of its own: ``python -m bench.one_job FOLDER LATENCY_MS CONCURRENCY CALLS DEVICES``; JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.billing import BillingOfLatency
from bench.machine import sync_seconds
from bench.world import Worlds

#: Devices of the job that an engine has done before the one that is measured.
BEFORE = 64


def job_rate(
    worlds: Worlds, latency_s: float, concurrency: int, calls: int, count: int, *, just_started: bool = False
) -> float:
    """Devices a second of a job with billing, until the job's final state.

    Args:
        calls: to billing, for each device: 1, the service; or 3, the service and two products.
        just_started: it is the engine's first job, and its start counts; else the engine has done a small one before,
            as one in a window or a worker has.
    """
    plans = calls == 3
    with worlds.fresh(count + BEFORE) as world:
        tracking_number = world.submit(world.request(count, billing=True, plans=plans))
        before = None
        if not just_started:
            before = world.submit(world.request(BEFORE, billing=True, plans=plans, first=count + 1))
        return count / world.work_off(tracking_number, BillingOfLatency(latency_s), concurrency, after=before)


if __name__ == "__main__":
    here = Path(sys.argv[1])
    ms, threads, a_device, devices = map(int, sys.argv[2:])
    rate = job_rate(Worlds(here), ms / 1000, threads, a_device, devices)
    sys.stdout.write(json.dumps({"rate": rate, "sync_s": sync_seconds(here)}))
