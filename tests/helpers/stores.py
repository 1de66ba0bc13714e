"""Stores for tests: a database with the schema in it, copied for every test that wants one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from db.maintenance import upgrade
from db.unit_of_work import Store
from tests.helpers.databases import Databases


def migrated(url: str) -> None:
    """Brings the database up to the schema's head, and closes every connection."""
    with Store(url) as store:
        upgrade(store)


@contextmanager
def fresh_store(databases: Databases) -> Iterator[Store]:
    """A store on a database with the schema and no rows; it is gone when the block ends."""
    with databases.copy_of("migrated", migrated) as url, Store(url) as store:
        yield store


#: Devices in the demo data of tests: few, but every case is there.
DEMO_DEVICES = 2_000


def with_demo_data(url: str) -> None:
    """The schema and :data:`DEMO_DEVICES` demo devices; every connection is closed."""
    from db.demo.generate import generate

    with Store(url) as store:
        upgrade(store)
        generate(store, DEMO_DEVICES)


@contextmanager
def demo_store(databases: Databases) -> Iterator[Store]:
    """A store on a database with demo data; it is gone when the block ends."""
    with databases.copy_of("demo", with_demo_data) as url, Store(url) as store:
        yield store


def wait_for_a_lock(store: Store) -> None:
    """Until somebody waits for somebody else's lock on PostgreSQL.

    Raises:
        AssertionError: nobody did, for a long time.
    """
    is_over = time.monotonic() + 60
    while True:
        with store.read() as uow:
            if uow.connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        assert time.monotonic() < is_over, "nobody waits"
        time.sleep(0.01)
