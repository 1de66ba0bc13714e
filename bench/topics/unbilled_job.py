"""A job without billing: ownership, both plans and the record, for many devices."""

from __future__ import annotations

from bench import raw
from bench.billing import BillingOfLatency
from bench.measure import Figure, Target, timed
from bench.run import Run

TOPIC = "job without billing"


def measure(run: Run) -> list[Figure]:
    """Seconds of the job, against the same rows written by a handful of statements in one transaction."""
    count = 20_000 if run.quick else 100_000
    ours, theirs = [], []
    for _ in range(run.repeats):
        run.say(f"a job of {count:,} devices without billing")
        with run.worlds.fresh(count) as mine, run.worlds.fresh(count) as other:
            request = mine.request(count, plans=True)
            tracking_number = mine.submit(request)
            ours.append(mine.work_off(tracking_number, BillingOfLatency(0.0), 1))
            by_hand = other.submit(request)
            theirs.append(timed(raw.work_off_at_once, other.path, by_hand))
            raw.same_rows(mine.path, other.path)
    return [
        Figure(
            TOPIC,
            f"job without billing, both plans, {count:,} devices",
            "s",
            tuple(ours),
            "set-based SQL by hand, one transaction, same rows",
            tuple(theirs),
            Target(at_most=3.0),
            "engine from start to the job's final state, in batches that let others write between them",
        )
    ]
