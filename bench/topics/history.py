"""The history on SQLite and PostgreSQL side by side, as long as it gets in years: a page by whatever is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import Random
from statistics import median

from sqlalchemy.schema import CreateIndex, DropIndex

from bench import large
from bench.measure import Figure, in_turns
from bench.run import Run
from bench.servers import DURABLE, side_by_side
from bench.world import MakesWorlds, World
from db.demo import identifiers
from db.dialects import count_rows_for_plans
from db.schema import device_history
from db.unit_of_work import UnitOfWork
from desktop_app.desk.history import LocalHistory
from desktop_app.desk.protocol import HistoryFilter

TOPIC = "history, PostgreSQL beside SQLite"
#: Facts that one transaction makes.
PART = 1_000_000
#: Pages of each kind, each about somebody or something else; the figure is their median.
PAGES = 25
PAGE = 200
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Past:
    """How much has happened."""

    devices: int
    rows: int
    customers: int = 1_000
    jobs: int = 20_000


QUICK, FULL = Past(10_000, 200_000, 100, 2_000), Past(1_000_000, 10_000_000)
#: Reads a page; the handles of its facts.
Ask = Callable[[LocalHistory], list[int]]


def measure(run: Run) -> list[Figure]:
    """Milliseconds of a page as the window reads it."""
    past = QUICK if run.quick else FULL
    with (
        side_by_side(run) as (postgres, sqlite),
        _with_past(run, postgres, past) as one,
        _with_past(run, sqlite, past) as other,
    ):
        run.say(f"pages of a history of {past.rows:,} facts")
        return [_figure(one, other, past, name) for name in asked(past, Random(1))]


def _figure(one: World, other: World, past: Past, name: str) -> Figure:
    desks = [LocalHistory(world.seat) for world in (one, other)]
    pages, same_pages = ([ask(desk) for ask in _questions(past, name)] for desk in desks)
    assert pages == same_pages, name
    assert all(pages), name
    mine, theirs = in_turns(REPEATS, *(partial(_median_ms, desk, past, name) for desk in desks))
    return Figure(
        TOPIC, f"{name}, {past.rows:,} facts", "ms", mine, "the same on SQLite", theirs,
        note=f"median of {PAGES} pages of {PAGE} facts, all of them read before; {DURABLE}",
    )  # fmt: skip


def _median_ms(desk: LocalHistory, past: Past, name: str) -> float:
    taken = []
    for ask in _questions(past, name):
        began = time.perf_counter()
        ask(desk)
        taken.append(time.perf_counter() - began)
    return median(taken) * 1000


def _questions(past: Past, name: str) -> list[Ask]:
    """The same ones each time."""
    random = Random(2)
    return [asked(past, random)[name] for _ in range(PAGES)]


def asked(past: Past, random: Random) -> Mapping[str, Ask]:
    """What is asked of the history, by its name, about somebody or something by chance."""
    device, job = random.randint(1, past.devices), random.randint(1, past.jobs)
    customer, operator = random.randint(1, past.customers), f"operator-{random.randrange(large.OPERATORS)}"
    since = large.BEGAN + timedelta(days=random.randint(0, large.SPAN.days - 60))
    period = HistoryFilter(since=since, until=since + timedelta(days=60))
    # The newest fact has the highest number.
    deep = random.randint(2 * PAGE, past.rows // 2)

    def page(filter: HistoryFilter, before: int | None = None) -> Ask:
        return lambda desk: [row.history_id for row in desk.history(filter, PAGE, before)]

    return {
        "newest page": page(HistoryFilter()),
        "a page deep in the past": page(HistoryFilter(), deep),
        "a device by its ICCID": page(HistoryFilter(identifiers.iccid("890126", 19, device))),
        "a job by its tracking number": page(HistoryFilter(f"AJ-20240101-{10_000 + job}")),
        "a customer": page(HistoryFilter(customer=customer)),
        "a customer, sixty days": page(replace(period, customer=customer)),
        "an operator": page(HistoryFilter(operator=operator)),
        "an operator, sixty days": page(replace(period, operator=operator)),
        "sixty days": page(period),
    }


@contextmanager
def _with_past(run: Run, worlds: MakesWorlds, past: Past) -> Iterator[World]:
    with worlds.fresh(past.devices) as world:
        run.say(f"{past.rows:,} facts are made on {world.store.url.partition(':')[0]}")
        make(world, past)
        yield world


def make(world: World, past: Past) -> None:
    """Lets it have happened: in several transactions, so that none of them takes as much disk again."""

    def whom(uow: UnitOfWork) -> None:
        large.customers(uow, 2, past.customers - 1)
        large.past_jobs(uow, past.jobs, customers=past.customers, orders=1, devices=past.devices)
        for index in device_history.indexes:
            uow.connection.execute(DropIndex(index))

    def facts(uow: UnitOfWork, begin: int) -> None:
        part = (begin, min(begin + PART, past.rows))
        large.past_history(uow, past.rows, jobs=past.jobs, customers=past.customers, devices=past.devices, part=part)

    world.store.run(whom)
    for begin in range(0, past.rows, PART):
        world.store.run(lambda uow, begin=begin: facts(uow, begin))  # type: ignore[misc]
    for index in sorted(device_history.indexes, key=lambda one: str(one.name)):
        world.store.run(lambda uow, index=index: uow.connection.execute(CreateIndex(index)))  # type: ignore[misc]
    # As after a large import.
    world.store.run(lambda uow: count_rows_for_plans(uow.connection))
