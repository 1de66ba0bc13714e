"""One job in a process of its own: ``python -m bench.one_job FOLDER LATENCY_MS CONCURRENCY CALLS DEVICES``; JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.billing import BillingOfLatency
from bench.machine import sync_seconds
from bench.world import Worlds


def job_rate(worlds: Worlds, latency_s: float, concurrency: int, calls: int, count: int) -> float:
    """Devices a second of a job with billing, from the engine's start to the job's final state.

    Args:
        calls: to billing, for each device: 1, the service; or 3, the service and two products.
    """
    with worlds.fresh(count) as world:
        tracking_number = world.submit(world.request(count, billing=True, plans=calls == 3))
        return count / world.work_off(tracking_number, BillingOfLatency(latency_s), concurrency)


if __name__ == "__main__":
    here = Path(sys.argv[1])
    ms, threads, a_device, devices = map(int, sys.argv[2:])
    rate = job_rate(Worlds(here), ms / 1000, threads, a_device, devices)
    sys.stdout.write(json.dumps({"rate": rate, "sync_s": sync_seconds(here)}))
