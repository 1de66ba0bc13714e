"""The one door to the database: a store that begins units of work.

Leaving a unit of work without ``commit()`` rolls it back. Nothing but the unit of work commits; no HTTP happens inside
one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from types import TracebackType
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from db import installation
from db.dialects import database_clock, drop_temporary, go_by_indexes, keeps_temporary_tables, may_be_idle
from db.engines import IDLE_TIMEOUT_S, LOCK_TIMEOUT_S, Engines, as_environment_fault, is_retryable, open_engines
from desktop_app.association.model import InstallationSettings

T = TypeVar("T")

#: A transaction that is older has another instant at its end than at its beginning.
LONG_S = 2.0
#: Seconds after which it is said that somebody else's transaction is waited for.
WAIT_IS_SAID_S = 2.0
#: How often a whole unit of work is done again after a deadlock or a busy database.
MOST_TRIES = 8


def _nothing(_side: str) -> None:
    return


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
        self._now_was = 0.0
        self._settings: InstallationSettings | None = None
        self._committed = False
        self.connection = connection
        self.dialect = store.engines.dialect
        self.temporary_tables: dict[str, Table] = {}

    def now(self) -> datetime:
        """The instant of this transaction, in UTC, by the database's clock; read once."""
        if self._now is None:
            self._now = self._store.clock(self.connection)
            self._now_was = time.monotonic()
        return self._now

    def latest(self) -> datetime:
        """The instant for ``changed_at`` of what is written last; read anew where :meth:`now` is seconds ago.

        Desks ask for what changed in the last seconds. A submission of very many devices lasts longer: with the instant
        at which it began, no other desk would ever be told of the job.
        """
        now = self.now()
        return now if time.monotonic() - self._now_was < LONG_S else self._store.clock(self.connection)

    def settings(self) -> InstallationSettings:
        """What all engines of this database agree on, as it stands in this transaction; read once."""
        if self._settings is None:
            self._settings = installation.read(self)
        return self._settings

    def today(self) -> date:
        """The calendar date of :meth:`now` in the business time zone."""
        return self.now().astimezone(ZoneInfo(self.settings().time_zone)).date()

    def go_by_indexes(self) -> None:
        """To be called first where work is done on rows that are named by their keys: they are found by indexes alone.

        It holds until the end of the unit of work; whatever reads much of a table is slow in it.
        """
        go_by_indexes(self.connection)

    def may_be_idle(self) -> None:
        """To be called first where something else is read, or much is computed, between two statements: minutes of it.

        Else PostgreSQL ends the session (:data:`db.engines.IDLE_TIMEOUT_S`). Nobody but a person who sits before it may
        need this: whatever is locked in such a unit of work stays locked if its process is stopped.
        """
        may_be_idle(self.connection)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is done inside is undone alone if it raises; the unit of work goes on."""
        with self.connection.begin_nested():
            yield

    def commit(self) -> None:
        """Commits. Once, as the last thing that is done in the unit of work.

        Raises:
            RuntimeError: it is committed already.
        """
        if self._committed:
            raise RuntimeError("This unit of work is committed already.")
        if self.temporary_tables and keeps_temporary_tables(self.connection):
            for table in self.temporary_tables.values():
                drop_temporary(self.connection, table)
        self._store.on_commit("before")
        self.connection.commit()
        self._committed = True
        self._store.on_commit("after")


class Store:
    """A database, opened. Thread-safe.

    Attributes:
        engines: for the modules of ``db`` alone.
        url: the database URL, with its password: never shown.
        clock: reads the instant of a transaction; replaced in tests.
        on_wait: called, from another thread, where somebody else's transaction is waited for longer than a moment;
            None: nobody is told. Only what is waited for at the beginning is noticed, which is all there is on SQLite.
        on_commit: called right before (``before``) and right after (``after``) every commit there is; only tests
            replace it, to end the process there.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        """Opens nothing yet.

        Args:
            url: ``sqlite:///PATH``, ``postgresql+psycopg://…`` or ``mssql+pyodbc://…``.
            pool_size: connections that are kept open.
            lock_timeout_s: seconds that a write waits for another one.
            idle_timeout_s: seconds that a transaction may say nothing before PostgreSQL ends it.

        Raises:
            EnvironmentFault: the URL cannot be read, or names another kind of database.
        """
        self.url = url
        self.engines: Engines = open_engines(
            url, pool_size=pool_size, lock_timeout_s=lock_timeout_s, idle_timeout_s=idle_timeout_s
        )
        self.clock: Callable[[Connection], datetime] = database_clock
        self.on_wait: Callable[[], None] | None = None
        self.on_commit: Callable[[str], None] = _nothing
        self._patience_s = lock_timeout_s
        self._writing = threading.local()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """A unit of work that may write.

        Raises:
            EnvironmentFault: the database is missing, locked, damaged, unreachable, or its disk is full.
            RuntimeError: this thread is inside a unit of work that may write already; they would wait for each other.
        """
        with self._translating(), self._transaction(writes=True) as uow:
            yield uow

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A unit of work that only reads, from one snapshot, and is rolled back in the end.

        On SQL Server each statement has a snapshot of its own: what was read is tested again where it is written.
        Temporary tables may be made in it.

        Raises:
            EnvironmentFault: as for :meth:`begin`.
        """
        with self._translating(), self._transaction(writes=False) as uow:
            yield uow

    def run(self, work: Callable[[UnitOfWork], T]) -> T:
        """Does ``work`` in a unit of work and commits; does all of it again after a deadlock or serialisation failure.

        Args:
            work: may be called several times, so it must not change anything but the database.

        Returns:
            What the call that was committed returned.

        Raises:
            EnvironmentFault: as for :meth:`begin`; ``DATABASE_BUSY`` or ``DATABASE_LOCKED`` where doing it again did
                not help either.
        """
        give_up_at = time.monotonic() + self._patience_s
        with self._translating():
            for attempt in range(1, MOST_TRIES + 1):
                try:
                    with self._transaction(writes=True) as uow:
                        result = work(uow)
                        uow.commit()
                        return result
                except DBAPIError as error:
                    # A lock that was waited for in vain is not waited for eight times.
                    if not is_retryable(error) or attempt == MOST_TRIES or time.monotonic() > give_up_at:
                        raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable: the last try raises")

    def close(self) -> None:
        """Closes every connection."""
        self.engines.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[UnitOfWork]:
        if not writes:
            engine = self.engines.read
        elif getattr(self._writing, "here", False):
            raise RuntimeError("This thread is inside a unit of work that may write already.")
        else:
            engine = self.engines.write
            self._writing.here = True
        try:
            with ExitStack() as opened:
                with self.waiting():
                    connection = opened.enter_context(engine.connect())
                    transaction = opened.enter_context(connection.begin())
                uow = UnitOfWork(self, connection)
                yield uow
                if not uow._committed:
                    transaction.rollback()
        finally:
            if writes:
                self._writing.here = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """For the modules of ``db`` alone: what is done inside may wait for others, and that is told (``on_wait``)."""
        if self.on_wait is None:
            yield
            return
        timer = threading.Timer(WAIT_IS_SAID_S, self.on_wait)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            fault = as_environment_fault(error, self.url)
            if fault is None:
                raise
            raise fault from error
