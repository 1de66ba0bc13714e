"""SQLite and PostgreSQL side by side: check, submit, claim and record, as the database grows."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

from bench.billing import ANSWER, BillingOfLatency
from bench.measure import Figure, in_turns
from bench.run import Run
from bench.servers import DURABLE, side_by_side
from bench.world import MakesWorlds, World
from db import engine_rows
from desktop_app.association.ports import PostResult, PostVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.rounds import MOST_IN_GROUP
from desktop_app.engine.runner import Outcome

TOPIC = "PostgreSQL beside SQLite"
SIZES = (10_000, 100_000, 1_000_000)
REPEATS = {10_000: 3, 100_000: 2}
#: Groups of :data:`MOST_IN_GROUP` work orders that are claimed and recorded of each job.
GROUPS = 30
PARTS = {
    "check": "µs a device",
    "submit": "µs a device",
    "claim": "µs a work order",
    "record": "µs a work order",
}
_NOTES = {
    "check": DURABLE,
    "submit": "the re-check before the rows are written is in the figure",
    "claim": f"{GROUPS} groups of {MOST_IN_GROUP}, each a commit with the intents of their calls",
    "record": f"{GROUPS} groups of {MOST_IN_GROUP}, each a commit with step, service, ownership, history and counters",
}
_BASELINE = "the same on SQLite"


def measure(run: Run) -> list[Figure]:
    """What a device costs on PostgreSQL and on SQLite, by size; and whole jobs on both."""
    with side_by_side(run) as (postgres, sqlite):
        costs = {size: _of_size(run, postgres, sqlite, size) for size in (SIZES[:1] if run.quick else SIZES)}
        figures = [
            Figure(
                TOPIC, f"{part}, {size:,} devices", unit, tuple(one[part] for one in costs[size][0]), _BASELINE,
                tuple(one[part] for one in costs[size][1]), note=_NOTES[part],
            )
            for part, unit in PARTS.items()
            for size in costs
        ]  # fmt: skip
        return figures + _jobs(run, postgres, sqlite)


def _of_size(run: Run, postgres: MakesWorlds, sqlite: MakesWorlds, size: int) -> list[list[dict[str, float]]]:
    """For PostgreSQL, then SQLite: microseconds a device of each part, one for each repeat."""
    costs: list[list[dict[str, float]]] = [[], []]
    for _ in range(1 if run.quick else REPEATS.get(size, 1)):
        run.say(f"check, submit, claim and record of {size:,} devices on PostgreSQL and SQLite")
        with postgres.fresh(size) as one, sqlite.fresh(size) as other:
            for mine, measured in zip(costs, _in_turns(one, other), strict=True):
                mine.append(measured)
    return costs


def _in_turns(*worlds: World) -> list[dict[str, float]]:
    costs = [_asked(world) for world in worlds]
    hands = [_Hand(world) for world in worlds]
    for _ in range(GROUPS):
        for hand in hands:
            hand.do_group()
    for cost, hand in zip(costs, hands, strict=True):
        of_groups = 1e6 / (GROUPS * MOST_IN_GROUP)
        cost |= {"claim": hand.claim_s * of_groups, "record": hand.record_s * of_groups}
    return costs


def _asked(world: World) -> dict[str, float]:
    """Check and submit of every device of the world."""
    request = world.request(world.devices, billing=True)
    began = time.perf_counter()
    fingerprint = world.check(request)
    checked = time.perf_counter()
    world.submit(request, fingerprint)
    submitted = time.perf_counter()
    a_device = 1e6 / world.devices
    return {"check": (checked - began) * a_device, "submit": (submitted - checked) * a_device}


class _Hand:
    """The recorder of an engine, whose calls are answered with 201 at once.

    Attributes:
        claim_s, record_s: seconds so far.
    """

    def __init__(self, world: World) -> None:
        engine_id = str(uuid.uuid4())
        world.store.run(lambda uow: engine_rows.register(uow, engine_id, "bench", 1, "work"))
        self._recorder = Recorder(world.store, engine_id, ProcessingRules(timedelta(seconds=3)), lease_s=600.0)
        self._ids = itertools.count(1)
        self.claim_s = self.record_s = 0.0

    def do_group(self) -> None:
        """Claims as many work orders as a group has, and records that all of them were created."""
        began = time.perf_counter()
        claimed = self._recorder.record((), MOST_IN_GROUP).to_call
        self.claim_s += time.perf_counter() - began
        assert len(claimed) == MOST_IN_GROUP, claimed
        outcomes = [Outcome(one, PostResult(PostVerdict.CREATED, str(next(self._ids)), 201, ANSWER)) for one in claimed]
        began = time.perf_counter()
        recorded = self._recorder.record(outcomes, 0)
        self.record_s += time.perf_counter() - began
        assert recorded.ended == MOST_IN_GROUP, recorded


def _jobs(run: Run, postgres: MakesWorlds, sqlite: MakesWorlds) -> list[Figure]:
    """Whole jobs: with a billing company that answers at once, and without billing."""
    with_billing, without = (5_000, 5_000) if run.quick else (20_000, 100_000)
    run.say(f"jobs of {with_billing:,} devices with and {without:,} without billing on PostgreSQL and SQLite")
    rates = in_turns(
        run.repeats,
        *(_job(worlds, with_billing, 16, billing=True) for worlds in (postgres, sqlite)),
    )  # fmt: skip
    seconds = in_turns(1, *(_job(worlds, without, 1, billing=False) for worlds in (postgres, sqlite)))
    return [
        Figure(
            TOPIC, f"durable work orders with a no-op billing call, {with_billing:,} devices", "a second",
            tuple(with_billing / one for one in rates[0]), _BASELINE, tuple(with_billing / one for one in rates[1]),
        ),
        Figure(
            TOPIC, f"job without billing, both plans, {without:,} devices", "s", seconds[0], _BASELINE, seconds[1],
        ),
    ]  # fmt: skip


def _job(worlds: MakesWorlds, count: int, threads: int, *, billing: bool) -> Callable[[], float]:
    def seconds() -> float:
        with worlds.fresh(count) as world:
            tracking_number = world.submit(world.request(count, billing=billing, plans=not billing))
            return world.work_off(tracking_number, BillingOfLatency(0.0), threads)

    return seconds
