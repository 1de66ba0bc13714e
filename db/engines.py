"""Connections: how each of the three servers is opened, and which of their errors mean what.

Everything that differs between the servers' drivers stands here.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from desktop_app.association.errors import EnvironmentFault

#: Milliseconds that a SQLite writer waits for another one. Writes here are short; a longer wait means a hung process.
SQLITE_BUSY_TIMEOUT_MS = 30_000

_SERIALISATION_CODES = frozenset({"40001", "40P01", "55P03", "1205", "3960", "1222"})


@dataclass(frozen=True, slots=True)
class Engines:
    """Two engines for one database. On the servers both are the same object.

    Attributes:
        write: begins transactions that may write (``BEGIN IMMEDIATE`` on SQLite: never read, then write, in a deferred
            transaction, which loses updates).
        read: begins transactions that only read; they never wait for a writer.
    """

    write: Engine
    read: Engine

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` or ``mssql``."""
        return self.write.dialect.name

    def dispose(self) -> None:
        """Closes every pooled connection."""
        self.write.dispose()
        self.read.dispose()


def open_engines(url: str, *, pool_size: int = 8) -> Engines:
    """Engines for a database URL; nothing is connected yet.

    Args:
        url: ``sqlite:///PATH``, ``postgresql+psycopg://…`` or ``mssql+pyodbc://…``.
        pool_size: connections that are kept open.

    Raises:
        EnvironmentFault: the URL cannot be read, or names another kind of database.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except Exception as error:
        raise EnvironmentFault(
            "DATABASE_URL_INVALID",
            "The database URL cannot be read.",
            "Write it as sqlite:///PATH, postgresql+psycopg://USER@HOST/NAME or mssql+pyodbc://… in the settings.",
        ) from error
    if backend == "sqlite":
        return Engines(_sqlite(parsed, "IMMEDIATE", pool_size), _sqlite(parsed, "DEFERRED", pool_size))
    if backend in {"postgresql", "mssql"}:
        engine = create_engine(parsed, pool_size=pool_size, max_overflow=8, pool_pre_ping=True)
        return Engines(engine, engine)
    raise EnvironmentFault(
        "DATABASE_KIND_UNKNOWN",
        f"A database of the kind {backend!r} is not supported.",
        "Use sqlite, postgresql+psycopg or mssql+pyodbc.",
    )


def _sqlite(url: URL, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=16,
        connect_args={"check_same_thread": False, "timeout": SQLITE_BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver begins transactions on its own, and late; here each begin is ours.
        connection.isolation_level = None
        cursor = connection.cursor()
        # FULL: a power cut in NORMAL may lose a committed intent, hence bill a device twice.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None for another server or an in-memory database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def _codes(error: DBAPIError) -> set[str]:
    original = error.orig
    codes = {str(getattr(original, "sqlstate", None) or "")}
    codes.update(str(argument) for argument in getattr(original, "args", ())[:1])
    native = getattr(original, "args", ())
    if len(native) > 1 and isinstance(native[1], str):
        codes.update(number for number in _SERIALISATION_CODES if f"({number})" in native[1])
    return codes


def is_retryable(error: BaseException) -> bool:
    """Whether the whole unit of work may simply be done again: deadlock, serialisation failure, SQLite busy.

    Matched by error code, since the exception class differs by driver: 1205, 1222, 3960, 40001, 40P01, 55P03,
    SQLITE_BUSY, SQLITE_LOCKED.
    """
    if not isinstance(error, DBAPIError):
        return False
    original = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return bool(_codes(error) & _SERIALISATION_CODES)


def as_environment_fault(error: DBAPIError, url: str) -> EnvironmentFault | None:
    """The fault in words, where the database (not the data, not the program) is what failed; else None.

    The text never holds the URL's password.
    """
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return _sqlite_fault(original, url)
    state = str(getattr(original, "sqlstate", None) or next(iter(getattr(original, "args", ())), "") or "")
    where = make_url(url).render_as_string(hide_password=True)
    if state.startswith("28"):
        return EnvironmentFault(
            "DATABASE_LOGIN_REFUSED", f"The database at {where} refused the login.", "Check user and password."
        )
    if error.connection_invalidated or state.startswith(("08", "57P", "53", "58", "HYT")) or not state:
        return EnvironmentFault(
            "DATABASE_UNREACHABLE",
            f"The database at {where} cannot be reached.",
            "Check that the server runs and that this machine may connect to it, then try again.",
        )
    return None


def _sqlite_fault(error: sqlite3.Error, url: str) -> EnvironmentFault | None:
    path = sqlite_path(url)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    faults = {
        sqlite3.SQLITE_BUSY: (
            "DATABASE_LOCKED",
            f"The database file {path} is locked by another program.",
            "Close the program that holds it (a backup, a database browser), then try again.",
        ),
        sqlite3.SQLITE_CORRUPT: (
            "DATABASE_DAMAGED",
            f"The database file {path} is damaged.",
            "Do not write to it. Copy it away, put the last backup in its place and start again.",
        ),
        sqlite3.SQLITE_NOTADB: (
            "DATABASE_NOT_A_DATABASE",
            f"The file {path} is not a database of this program.",
            "Name another file in DATABASE_URL, or move this one away and start again.",
        ),
        sqlite3.SQLITE_CANTOPEN: (
            "DATABASE_MISSING",
            f"The database file {path} cannot be opened.",
            "Check that its folder exists and may be written, or create it with: db upgrade",
        ),
        sqlite3.SQLITE_READONLY: (
            "DATABASE_READ_ONLY",
            f"The database file {path} may not be written.",
            "Give this user the right to write the file and its folder.",
        ),
        sqlite3.SQLITE_FULL: (
            "DISK_FULL",
            f"The disk that holds the database file {path} is full.",
            "Free some space; the work goes on where it stood.",
        ),
        sqlite3.SQLITE_IOERR: (
            "DISK_ERROR",
            f"The disk that holds the database file {path} cannot be read or written.",
            "Check the disk or the network drive; the work goes on where it stood.",
        ),
    }
    fault = faults.get(code)
    return None if fault is None else EnvironmentFault(*fault)
