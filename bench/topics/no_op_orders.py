"""Durable work orders whose call to billing costs nothing: what the engine itself can do."""

from __future__ import annotations

from bench import raw
from bench.billing import BillingOfLatency
from bench.measure import Figure, Target, timed
from bench.run import Run

TOPIC = "work orders"
THREADS = 16


def measure(run: Run) -> list[Figure]:
    """Work orders a second, against a loop of raw SQL that commits the same rows in groups."""
    count = 5_000 if run.quick else 20_000
    ours, theirs = [], []
    for _ in range(run.repeats):
        run.say(f"{count:,} work orders over a billing company that answers at once")
        with run.worlds.fresh(count) as mine, run.worlds.fresh(count) as other:
            request = mine.request(count, billing=True)
            tracking_number = mine.submit(request)
            ours.append(count / mine.work_off(tracking_number, BillingOfLatency(0.0), THREADS))
            by_hand = other.submit(request)
            theirs.append(count / timed(raw.work_off_in_groups, other.path, by_hand))
            raw.same_rows(mine.path, other.path)
    return [
        Figure(
            TOPIC,
            f"durable work orders with a no-op billing call, {count:,} devices",
            "a second",
            tuple(ours),
            f"one loop of raw SQL, {raw.GROUP} work orders a commit, same rows",
            tuple(theirs),
            Target(at_least=0.3),
            f"{THREADS} threads; engine from start to the job's final state, finishing procedures included",
        )
    ]
