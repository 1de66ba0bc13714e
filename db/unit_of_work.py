"""The one door to the database: a store that begins units of work.

Leaving a unit of work without ``commit()`` rolls it back. Nothing but the unit of work commits; no HTTP happens inside
one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from db.engines import Engines, as_environment_fault, is_retryable, open_engines
from db.temporary import drop

T = TypeVar("T")

#: How often a whole unit of work is done again after a deadlock or a busy database.
MOST_TRIES = 8


class UnitOfWork:
    """One transaction.

    Attributes:
        connection: for the modules of ``db`` alone.
        dialect: ``sqlite``, ``postgresql`` or ``mssql``.
        temporary_tables: those made in this unit of work, by name; kept by :mod:`db.temporary`.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self._now: datetime | None = None
        self._committed = False
        self.connection = connection
        self.dialect = store.engines.dialect
        self.temporary_tables: dict[str, Table] = {}

    def now(self) -> datetime:
        """The instant of this transaction, in UTC, by the database's clock; read once."""
        if self._now is None:
            self._now = self._store.clock(self.connection)
        return self._now

    def today(self) -> date:
        """The calendar date of :meth:`now` in the business time zone."""
        return self.now().astimezone(self._store.time_zone).date()

    def commit(self) -> None:
        """Commits. Once, as the last thing that is done in the unit of work.

        Raises:
            RuntimeError: it is committed already.
        """
        if self._committed:
            raise RuntimeError("This unit of work is committed already.")
        if self.dialect != "postgresql":  # which drops them itself; a rollback undoes them everywhere
            for table in self.temporary_tables.values():
                drop(self, table)
        self.connection.commit()
        self._committed = True


class Store:
    """A database, opened.

    Attributes:
        engines: for the modules of ``db`` alone.
        url: the database URL, with its password: never shown.
        time_zone: the business time zone, in which effective dates are calendar dates.
        clock: reads the instant of a transaction; replaced in tests.
    """

    def __init__(self, url: str, *, time_zone: str = "UTC", pool_size: int = 8) -> None:
        self.url = url
        self.engines: Engines = open_engines(url, pool_size=pool_size)
        self.time_zone = ZoneInfo(time_zone)
        self.clock: Callable[[Connection], datetime] = database_clock

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """A unit of work that may write.

        Raises:
            EnvironmentFault: the database is missing, locked, damaged, unreachable, or its disk is full.
        """
        with self._transaction(writes=True) as uow:
            yield uow

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A unit of work that only reads; it is rolled back in the end.

        Raises:
            EnvironmentFault: as for :meth:`begin`.
        """
        with self._transaction(writes=False) as uow:
            yield uow

    def run(self, work: Callable[[UnitOfWork], T]) -> T:
        """Does ``work`` in a unit of work and commits; does all of it again after a deadlock or serialisation failure.

        Args:
            work: may be called several times, so it must not change anything but the database.
        """
        for attempt in range(1, MOST_TRIES + 1):
            try:
                with self._transaction(writes=True, translate=attempt == MOST_TRIES) as uow:
                    result = work(uow)
                    uow.commit()
                    return result
            except DBAPIError as error:
                if not is_retryable(error):
                    raise self._translated(error) from error
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable: the last try raises")

    def close(self) -> None:
        """Closes every connection."""
        self.engines.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool, translate: bool = True) -> Iterator[UnitOfWork]:
        engine = self.engines.write if writes else self.engines.read
        try:
            with engine.connect() as connection, connection.begin():
                uow = UnitOfWork(self, connection)
                yield uow
                if not uow._committed:
                    connection.rollback()
        except DBAPIError as error:
            if not translate:
                raise
            raise self._translated(error) from error

    def _translated(self, error: DBAPIError) -> Exception:
        return as_environment_fault(error, self.url) or error


def database_clock(connection: Connection) -> datetime:
    """The database's own clock, in UTC; the process's on SQLite, which has none of its own."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return datetime.now(UTC)
    statement = "SELECT clock_timestamp()" if dialect == "postgresql" else "SELECT SYSUTCDATETIME()"
    value: datetime = connection.execute(text(statement)).scalar_one()
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
