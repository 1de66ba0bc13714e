"""Work right after a large submission: the server has not counted what came in, and takes the tables for empty."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

from bench.billing import ANSWER
from bench.world import World, build
from db import engine_rows
from db.unit_of_work import Store
from desktop_app.association.ports import PostResult, PostVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import Outcome
from tests.helpers.databases import Databases, PostgresDatabases
from tests.helpers.plans import LARGE, Plans, explained
from tests.helpers.postgres import PostgresServer

BILLED, NOT_BILLED = 1_600, 400
GROUP, GROUPS = 200, 4


def a_fleet(url: str) -> None:
    build(url, BILLED + NOT_BILLED)


@contextmanager
def not_counted(databases: Databases) -> Iterator[World]:
    """Two jobs that nobody has worked on; tables of work were last counted when they were empty."""
    with databases.copy_of("counted_when_empty", a_fleet) as url:
        with Store(url) as store:
            world = World(store, BILLED + NOT_BILLED)
            world.submit(world.request(BILLED, billing=True))
            world.submit(world.request(NOT_BILLED, plans=True, first=BILLED + 1))
        with Store(url) as store:
            yield World(store, BILLED + NOT_BILLED)


def work(world: World) -> Plans:
    """Some groups of the first job, each claimed, answered and recorded, then the second job at once."""
    engine_id = str(uuid.uuid4())
    with Store(world.store.url) as store:
        store.run(lambda uow: engine_rows.register(uow, engine_id, "test", 1, "work"))
        recorder = Recorder(store, engine_id, ProcessingRules(timedelta(seconds=3)), lease_s=600.0)
        numbers = itertools.count(1)
        bulk: set[int] = set()
        with explained(store.engines.write) as plans:
            for _ in range(GROUPS):
                claimed = recorder.record((), GROUP)
                bulk.update(claimed.bulk)
                answers = [PostResult(PostVerdict.CREATED, str(next(numbers)), 201, ANSWER) for _ in claimed.to_call]
                outcomes = [Outcome(*pair) for pair in zip(claimed.to_call, answers, strict=True)]
                assert recorder.record(outcomes, 0).ended == len(outcomes) > 0
            assert [recorder.apply_bulk(job_id) for job_id in bulk] == [NOT_BILLED]
    return plans


def test_work_reads_no_table_from_end_to_end_before_the_server_has_counted(databases: Databases) -> None:
    with not_counted(databases) as world:
        plans = work(world)
    assert plans.statements
    assert plans.scans == []


@pytest.mark.postgres
def test_nor_do_the_tests_of_foreign_keys(postgres_server: PostgresServer) -> None:
    """PostgreSQL plans them once in a session, out of sight, and runs them for each row that is written."""
    with not_counted(PostgresDatabases(postgres_server)) as world:
        before = whole_reads(world.store)
        work(world)
        after = whole_reads(world.store)
    assert {table: after[table] - before[table] for table in LARGE} == dict.fromkeys(LARGE, 0)


def whole_reads(store: Store) -> dict[str, int]:
    """How often each large table was read from end to end; sessions that are over have told the server."""
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    counts = text("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(:tables)")
    give_up_at = time.monotonic() + 60
    while True:
        with store.begin() as uow:
            if not uow.connection.scalar(others):
                return {row.relname: row.seq_scan for row in uow.connection.execute(counts, {"tables": sorted(LARGE)})}
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
