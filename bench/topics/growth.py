"""What a device costs in a small job and in a large one."""

from __future__ import annotations

import time

from bench.billing import BillingOfLatency
from bench.measure import Figure, timed
from bench.run import Run

TOPIC = "growth"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: A small job is done several times: what is done once weighs more in it, and noise does too.
REPEATS = {1_000: 5, 10_000: 3}
PARTS = ("check", "submit", "job without billing")


def measure(run: Run) -> list[Figure]:
    """Microseconds a device of check, submit and a job without billing, beside those in the smallest job."""
    costs = {size: _costs(run, size) for size in (SIZES[:2] if run.quick else SIZES)}
    smallest = costs[SIZES[0]]
    return [
        Figure(
            TOPIC, f"{part}, {size:,} devices", "µs a device", (of_size[part],),
            f"the same with {SIZES[0]:,} devices", (smallest[part],),
        )
        for part in PARTS
        for size, of_size in costs.items()
    ]  # fmt: skip


def _costs(run: Run, size: int) -> dict[str, float]:
    """The smallest of the repeats for each part, in microseconds a device."""
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(REPEATS.get(size, 1)):
        run.say(f"check, submit and a job of {size:,} devices")
        with run.worlds.fresh(size) as world:
            request = world.request(size, plans=True)
            seconds["check"].append(timed(world.check, request))
            fingerprint = world.check(request)
            start = time.perf_counter()
            tracking_number = world.submit(request, fingerprint)
            seconds["submit"].append(time.perf_counter() - start)
            seconds["job without billing"].append(world.work_off(tracking_number, BillingOfLatency(0.0), 1))
    return {part: min(taken) / size * 1e6 for part, taken in seconds.items()}
