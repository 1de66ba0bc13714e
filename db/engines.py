"""Connections: how each of the three servers is opened, and which of their errors mean what.

Everything that differs between the servers' drivers stands here.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, PoolResetState, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from desktop_app.association.errors import EnvironmentFault

#: Seconds that a statement waits for somebody else's lock. Writes here are short; a longer wait means a hung process.
LOCK_TIMEOUT_S = 30.0
#: Seconds that a transaction may say nothing before PostgreSQL ends its session: who was stopped inside one (a laptop
#: that sleeps, a process that hangs) keeps what it locked from everybody else. Far longer than what is computed between
#: two statements; what reads somewhere else in between says so, see `UnitOfWork.may_be_idle`.
IDLE_TIMEOUT_S = 300.0

_RETRYABLE_STATES = frozenset({"40001", "40P01", "55P03"})  # serialisation failure, deadlock, lock not available
_RETRYABLE_NUMBERS = frozenset({1205, 1222, 3960, 3961})  # deadlock, lock time-out, snapshot conflicts
#: SQL Server's numbers for a connection that is gone or not to be had: cut by the network (10053 …), the session ended
#: by an administrator (596), the server stopping (6005, 17142), a failover (976, 983), no room for connections (17809),
#: Azure moving or throttling the database (4221, 40143 … 49920), FreeTDS' own (20002 … 20047).
_LOST_NUMBERS = frozenset(
    {596, 976, 983, 4221, 6005, 10053, 10054, 10060, 10928, 10929, 17142, 17809}
    | {20002, 20003, 20004, 20006, 20009, 20012, 20013, 20047}
    | {40143, 40166, 40197, 40501, 40540, 40613, 42108, 42109, 49918, 49919, 49920}
)

#: The ODBC driver to install.
DEFAULT_DRIVER = "ODBC Driver 18 for SQL Server"
MICROSOFT_DRIVER = re.compile(r"ODBC Driver (\d+) for SQL Server")

_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@dataclass(frozen=True, slots=True)
class Engines:
    """Two engines for one database.

    Attributes:
        write: begins transactions that may write. On SQLite ``BEGIN IMMEDIATE``: a deferred transaction that reads and
            then writes fails, or loses an update.
        read: begins transactions that only read, each from one snapshot; they never wait for a writer. On SQLite the
            file is opened read-only for them.
    """

    write: Engine
    read: Engine

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` or ``mssql``."""
        return self.write.dialect.name

    def dispose(self) -> None:
        """Closes every pooled connection."""
        # The readers first: on SQLite the last one that closes folds the log into the file, which needs the right to.
        self.read.dispose()
        self.write.dispose()


def open_engines(
    url: str, *, pool_size: int = 8, lock_timeout_s: float = LOCK_TIMEOUT_S, idle_timeout_s: float = IDLE_TIMEOUT_S
) -> Engines:
    """Engines for a database URL; nothing is connected yet, and no file is ever made.

    Args:
        url: ``sqlite:///PATH``, ``postgresql+psycopg://…`` or ``mssql+pyodbc://…``.
        pool_size: connections that are kept open.
        lock_timeout_s: seconds that a statement waits for somebody else's lock.
        idle_timeout_s: seconds that a transaction may say nothing; PostgreSQL alone can tell.

    Raises:
        EnvironmentFault: the URL cannot be read, or names another kind of database.
    """
    parsed = parsed_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return Engines(
            write=_sqlite(parsed, "rw", "IMMEDIATE", pool_size, lock_timeout_s),
            read=_sqlite(parsed, "ro", "DEFERRED", pool_size, lock_timeout_s),
        )
    if backend == "postgresql":
        engine = _postgresql(parsed, pool_size, lock_timeout_s, idle_timeout_s)
        return Engines(write=engine, read=engine.execution_options(isolation_level="REPEATABLE READ"))
    engine = _mssql(parsed, pool_size, lock_timeout_s)
    return Engines(write=engine, read=engine)


def parsed_url(url: str) -> URL:
    """A database URL in its parts.

    Raises:
        EnvironmentFault: it cannot be read, or names another kind of database.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise EnvironmentFault(
            "DATABASE_URL_INVALID",
            "The database URL cannot be read.",
            "Write it as sqlite:///PATH, postgresql+psycopg://USER@HOST/NAME or mssql+pyodbc://… in the settings.",
        ) from error
    if backend not in {"sqlite", "postgresql", "mssql"}:
        raise EnvironmentFault(
            "DATABASE_KIND_UNKNOWN",
            f"A database of the kind {backend!r} is not supported.",
            "Use sqlite, postgresql+psycopg or mssql+pyodbc.",
        )
    if backend == "sqlite" and sqlite_path(url) is None:
        raise EnvironmentFault(
            "DATABASE_URL_INVALID",
            "The database URL names no file; a database in memory would be lost at the end, and its jobs with it.",
            "Write it as sqlite:///PATH in the settings.",
        )
    return parsed


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL, as an absolute path; None for another server or a database in memory."""
    parsed = make_url(url)
    name = parsed.database
    if parsed.get_backend_name() != "sqlite" or not name or name.startswith((":memory:", "file:")):
        return None
    return Path(name).absolute()


def shown(url: str) -> str:
    """The URL as people may see it: without its password."""
    path = sqlite_path(url)
    return str(path) if path is not None else make_url(url).render_as_string(hide_password=True)


def open_source(url: URL) -> Engine:
    """Another database, of any kind whose driver is there, to read from; on SQLite its file is opened read-only.

    Args:
        url: with its password, where it needs one; readable, as :func:`sqlalchemy.engine.make_url` gives it.

    Raises:
        ImportError: its driver is not there.
        SQLAlchemyError: no such kind of database.
    """
    backend = url.get_backend_name()
    if backend == "sqlite" and (path := sqlite_path(url.render_as_string())) is not None:
        # A mistyped path must not become an empty database.
        url = url.set(database=f"{path.as_uri()}?mode=ro", query={"uri": "true"})
    elif backend == "mssql" and url.get_driver_name() == "pyodbc":
        import pyodbc  # type: ignore[import-not-found]

        url = with_driver(url, pyodbc.drivers)
    return create_engine(url)


# --- how each is opened ----------------------------------------------------------------------------------------------


def _sqlite(url: URL, mode: str, begin: str, pool_size: int, lock_timeout_s: float) -> Engine:
    path = Path(str(url.database)).absolute()

    def connect() -> sqlite3.Connection:
        # By URI: the plain call makes an empty file where there is none; a mistyped path must not become a database.
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            timeout=lock_timeout_s,
            check_same_thread=False,
            # The driver would begin transactions on its own, and late; here each begin is ours.
            isolation_level=None,
            cached_statements=256,
        )
        # FULL: a power cut in NORMAL may lose a committed intent, hence bill a device twice. The log goes into the file
        # every 16 MB: that takes two more waits for the disk, which at the usual 4 MB come with nearly every group.
        pragmas = [
            "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-32000", "wal_autocheckpoint=4000",
        ]  # fmt: skip
        try:
            if mode == "rw":
                _keep_a_log(connection, lock_timeout_s)
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(url, creator=connect, pool_size=pool_size, max_overflow=32)

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine


def _keep_a_log(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switches the file to write-ahead logging, if it was not done yet.

    Where two processes switch a new file at the same moment, SQLite gives up at once, whatever its time-out says: each
    would wait for the other. So it is tried again for as long as a lock is waited for.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


#: What a session is told once. Of a server, a database or a role that gives up commits for speed, a crash of the server
#: takes back committed intents, hence a device is billed twice; and a stricter limit of its own stays.
_POSTGRESQL_SESSION = (
    "SET lock_timeout = {lock_ms}",
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    (
        "SELECT set_config('idle_in_transaction_session_timeout', '{idle_ms}', false) WHERE current_setting("
        "'idle_in_transaction_session_timeout')::interval NOT BETWEEN interval '1 ms' AND interval '{idle_ms} ms'"
    ),
)


def _postgresql(url: URL, pool_size: int, lock_timeout_s: float, idle_timeout_s: float) -> Engine:
    defaults: dict[str, Any] = {
        "application_name": "association-desk",
        "connect_timeout": 10,
        # A server that is gone without a word (cable, firewall) is noticed within a minute or so.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        # A statement that is prepared keeps the plan of its first times. Where tables were empty then, it would read
        # them from end to end until the server has looked at them anew, which may be minutes later.
        "prepare_threshold": None,
    }
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=8,
        pool_pre_ping=True,
        connect_args={name: value for name, value in defaults.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in _POSTGRESQL_SESSION:
                cursor.execute(
                    statement.format(lock_ms=round(lock_timeout_s * 1000), idle_ms=round(idle_timeout_s * 1000))
                )
        connection.commit()

    return engine


def _mssql(url: URL, pool_size: int, lock_timeout_s: float) -> Engine:
    import pyodbc

    # One pool is enough: the driver manager's own would keep connections that ours has thrown away as broken.
    pyodbc.pooling = False
    engine = create_engine(
        with_driver(url, pyodbc.drivers),
        pool_size=pool_size,
        max_overflow=8,
        pool_pre_ping=True,
        pool_reset_on_return=None,  # see _on_reset
        fast_executemany=True,
        connect_args={"timeout": 15},  # seconds for the login
    )
    lock_timeout = f"SET LOCK_TIMEOUT {round(lock_timeout_s * 1000)}"

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        _at_once(connection, lock_timeout)

    @event.listens_for(engine, "reset")
    def _on_reset(connection: Any, _record: Any, state: PoolResetState) -> None:
        """What a unit of work may leave in its session (isolation level, IDENTITY_INSERT) outlives a rollback there."""
        connection.rollback()
        if not state.terminate_only:
            _at_once(connection, f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {lock_timeout}")

    @event.listens_for(engine, "handle_error")
    def _on_error(context: ExceptionContext) -> None:
        if _numbers(context.original_exception) & _LOST_NUMBERS:
            context.is_disconnect = True  # SQLAlchemy knows the codes of the network alone

    return engine


def _at_once(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()


def with_driver(url: URL, installed: Callable[[], list[str]]) -> URL:
    """The URL with what it leaves out of the ODBC driver and its options.

    Args:
        installed: the names of the drivers of this machine.

    Returns:
        With the newest of Microsoft's drivers that is there, else with FreeTDS, where the URL names none; encrypted
        unless it says otherwise; with this program's name, which the server's administrator sees.
    """
    query = {name.lower(): value for name, value in url.query.items()}
    more: dict[str, str] = {}
    if "odbc_connect" in query or "dsn" in query or not url.host:
        return url
    driver = str(query.get("driver", ""))
    if not driver:
        driver = more["driver"] = best_driver(installed())
    if is_freetds(driver):
        more |= {"Encryption": "require", "TDS_Version": "7.4", "ClientCharset": "UTF-8"}
        if url.port is not None:  # it does not know Server=HOST,PORT
            more["port"] = str(url.port)
    else:
        more["Encrypt"] = "yes"  # the default of driver 18 only
        more["UseFMTONLY"] = "yes"  # the other way of describing parameters finds no temporary tables
    more["APP"] = "association-desk"
    return url.update_query_dict({name: value for name, value in more.items() if name.lower() not in query})


def best_driver(installed: Iterable[str]) -> str:
    """The ODBC driver that is taken where none is named: Microsoft's newest, else FreeTDS; 18 where there is none."""
    names = list(installed)
    numbered = [(int(found[1]), found[0]) for name in names if (found := MICROSOFT_DRIVER.fullmatch(name))]
    others = [name for name in names if is_freetds(name)]
    return max(numbered)[1] if numbered else next(iter(others), DEFAULT_DRIVER)


def is_freetds(driver: str) -> bool:
    """Whether an ODBC driver, by its name or its file, is FreeTDS, which has other keywords than Microsoft's."""
    return "freetds" in driver.lower() or "tdsodbc" in driver.lower()


# --- what their errors mean ------------------------------------------------------------------------------------------


def is_data_error(error: BaseException) -> bool:
    """Whether the data broke a rule of the schema: a constraint, a length, a range. Doing it again would not help."""
    return isinstance(error, IntegrityError | DataError)


def is_retryable(error: BaseException) -> bool:
    """Whether the whole unit of work may simply be done again: deadlock, serialisation failure, SQLite busy.

    Matched by error code, since the exception class differs by driver: 1205, 1222, 3960, 40001, 40P01, 55P03,
    SQLITE_BUSY, SQLITE_LOCKED.
    """
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) in _SQLITE_BUSY
    return _state(error.orig) in _RETRYABLE_STATES or bool(_numbers(error.orig) & _RETRYABLE_NUMBERS)


def as_wrapped(connection: Connection, statement: str, error: Exception) -> DBAPIError:
    """An error of a driver that was spoken to directly, in the clothes of all others; a connection that is gone is
    not used again."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    lost = lost or bool(_numbers(error) & _LOST_NUMBERS)
    if lost:
        connection.invalidate(error)
    wrapped = DBAPIError.instance(
        statement, None, error, dialect.loaded_dbapi.Error, connection_invalidated=lost, dialect=dialect
    )
    assert isinstance(wrapped, DBAPIError)
    return wrapped


def as_environment_fault(error: SQLAlchemyError, url: str) -> EnvironmentFault | None:
    """The fault in words, where the database (not the data, not the program) is what failed; else None.

    The text never holds the URL's password.
    """
    if isinstance(error, PoolTimeoutError):
        return _fault("DATABASE_BUSY", url, "")
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_fault(error.orig, url)
    if is_retryable(error):
        return _fault("DATABASE_BUSY", url, "")
    reason = _reason(error.orig, url)
    state, numbers = _state(error.orig), _numbers(error.orig)
    for fault, words in _WORDS_BEFORE_CODE.items():
        if not isinstance(error, IntegrityError | DataError) and any(word in reason for word in words):
            return _fault(fault, url, reason)
    for fault, states, of_sql_server in _SERVER_FAULTS:
        if state.startswith(states) or numbers & of_sql_server:
            return _fault(fault, url, reason)
    if error.connection_invalidated:
        return _fault("DATABASE_UNREACHABLE", url, reason)
    if not state and isinstance(error, OperationalError | InterfaceError):
        # Where psycopg gets no connection it has no code to give, only the server's or the system's words.
        for fault, words in _WORDS_WITHOUT_CODE.items():
            if any(word in reason for word in words):
                return _fault(fault, url, reason)
        return _fault("DATABASE_UNREACHABLE", url, reason)
    return None


#: Fault, beginnings of the SQLSTATE (PostgreSQL, ODBC), numbers of SQL Server. The first that fits is it.
_SERVER_FAULTS: tuple[tuple[str, tuple[str, ...], frozenset[int]], ...] = (
    ("DATABASE_NOT_THERE", ("3D000",), frozenset({911, 4060, 4063})),
    ("DATABASE_LOGIN_REFUSED", ("28",), frozenset({18452, 18456, 18470, 18486, 18487, 18488})),
    ("DATABASE_RIGHT_MISSING", ("42501",), frozenset({229, 230, 262, 297, 300, 916, 2760, 3704, 15247})),
    ("DISK_FULL", ("53100",), frozenset({1105, 9002})),
    ("DATABASE_READ_ONLY", ("25006",), frozenset({3906})),
    ("DATABASE_DAMAGED", ("XX001", "XX002"), frozenset({605, 823, 824})),
    ("DATABASE_DRIVER_MISSING", ("IM002", "IM003", "IM004"), frozenset()),
    ("DATABASE_UNREACHABLE", ("08", "25P03", "57P", "53", "58", "HYT"), _LOST_NUMBERS),
)
#: Where the code says no more than that there is no connection.
_WORDS_BEFORE_CODE: dict[str, tuple[str, ...]] = {
    "DATABASE_DRIVER_MISSING": ("[Driver Manager]Can't open lib",),
    "DATABASE_CERTIFICATE_REFUSED": (
        "certificate verify failed",
        "certificate chain was issued by an authority that is not trusted",
        "The target principal name is incorrect",
        "root certificate file",
    ),
    "DATABASE_ENCRYPTION_FAILED": ("SSL Provider", "server does not support SSL", "no encryption)"),
}
_WORDS_WITHOUT_CODE: dict[str, tuple[str, ...]] = {
    "DATABASE_LOGIN_REFUSED": ("authentication failed", "no password supplied", "FATAL:  role "),
    "DATABASE_NOT_THERE": ('FATAL:  database "',),
}
_SENTENCES: dict[str, tuple[str, str]] = {
    "DATABASE_BUSY": (
        "The database at {where} is busy: others held what this needed for too long.",
        "Try again; if it goes on, look for a program that keeps a transaction open.",
    ),
    "DATABASE_LOGIN_REFUSED": (
        "The database at {where} refused the login{reason}.",
        "Check user and password in DATABASE_URL.",
    ),
    "DATABASE_DRIVER_MISSING": (
        "The ODBC driver for the database at {where} is not on this machine{reason}.",
        f"Install Microsoft's {DEFAULT_DRIVER}, or name the driver that is there as driver=… in DATABASE_URL.",
    ),
    "DATABASE_CERTIFICATE_REFUSED": (
        "The certificate of the database at {where} is not trusted{reason}.",
        "Have it signed by an authority that this machine trusts, or add TrustServerCertificate=yes to DATABASE_URL.",
    ),
    "DATABASE_ENCRYPTION_FAILED": (
        "No encrypted connection to the database at {where} came about{reason}.",
        "Have the server's administrator switch encryption (TLS 1.2 or later) on.",
    ),
    "DATABASE_NOT_THERE": (
        "There is no such database at {where}{reason}.",
        "Check the name in DATABASE_URL, or have an administrator create the database, then run: db upgrade",
    ),
    "DATABASE_RIGHT_MISSING": (
        "The login has not the right to do this at {where}{reason}.",
        "Ask the administrator of the database for the right that is named.",
    ),
    "DATABASE_READ_ONLY": (
        "The database at {where} takes no writes{reason}.",
        "Connect to the primary server, or ask its administrator to end the read-only state.",
    ),
    "DATABASE_DAMAGED": (
        "The database at {where} is damaged{reason}.",
        "Have its administrator restore the last backup; before anything else is started on that, run: db restored",
    ),
    "DISK_FULL": (
        "The disk of the database at {where} is full{reason}.",
        "Have its administrator make room; the work goes on where it stood.",
    ),
    "DATABASE_UNREACHABLE": (
        "The database at {where} cannot be reached{reason}.",
        "Check that the server runs and that this machine may connect to it, then try again.",
    ),
}


def _fault(code: str, url: str, reason: str) -> EnvironmentFault:
    message, what_to_do = _SENTENCES[code]
    return EnvironmentFault(code, message.format(where=shown(url), reason=f" ({reason})" if reason else ""), what_to_do)


def _state(original: BaseException | None) -> str:
    """The SQLSTATE; "" where the driver has none."""
    if hasattr(original, "sqlstate"):  # psycopg
        return str(getattr(original, "sqlstate", None) or "")
    arguments: tuple[object, ...] = getattr(original, "args", ())
    return str(arguments[0]) if len(arguments) > 1 else ""  # pyodbc: (state, text)


def _numbers(original: BaseException | None) -> set[int]:
    """SQL Server's own numbers, which pyodbc has in its text alone: "… (1205) (SQLExecDirectW); [state] … (3621)".

    A number in brackets anywhere else may be of the data: "The duplicate key value is (1205). … (2627)".
    """
    arguments: tuple[object, ...] = getattr(original, "args", ())
    if hasattr(original, "sqlstate") or len(arguments) < 2:
        return set()
    return {int(number) for number in re.findall(r"\((\d+)\)(?: \(SQL\w+\))?(?=$|; \[)", str(arguments[1]))}


def first_line(original: BaseException | None) -> str:
    """The first line of what the driver says; "" where it says nothing."""
    arguments: tuple[object, ...] = getattr(original, "args", ())
    of_pyodbc = len(arguments) > 1 and not hasattr(original, "sqlstate")  # (state, text), shown as a tuple
    return next(iter(str(arguments[1] if of_pyodbc else original or "").strip().splitlines()), "")


def _reason(original: BaseException | None, url: str) -> str:
    """The driver's first line, without what must not be seen."""
    said = first_line(original)
    password = make_url(url).password
    return said.replace(str(password), "***") if password else said


def _sqlite_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _sqlite_fault(error: sqlite3.Error, url: str) -> EnvironmentFault | None:
    fault = _SQLITE_FAULTS.get(_sqlite_code(error))
    if fault is None:
        return None
    path = sqlite_path(url)
    if path is not None and (path.is_dir() or (fault[0] == "DATABASE_MISSING" and path.exists())):
        fault = _SQLITE_NOT_OPENED
    code, message, what_to_do = fault
    return EnvironmentFault(code, message.format(path=path), what_to_do)


#: What is done with a damaged file. Its log, left beside another file, would be taken for that one's and spoil it; and
#: what a backup has in its queue may be done at billing already.
RESTORE_FILE = (
    "Close every program that uses it. Move it away, together with the files -wal and -shm beside it, put the last "
    "backup in its place, and before anything else run: db restored"
)
_SQLITE_LOCKED = (
    "DATABASE_LOCKED",
    "The database file {path} is locked by another program.",
    "Close the program that holds it (a backup, a database browser), then try again.",
)
_SQLITE_NOT_OPENED = (
    "DATABASE_NOT_OPENED",
    "The database file {path} cannot be opened.",
    "Check that it is a file, and that this user may read and write it and its folder.",
)
_SQLITE_FAULTS: dict[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_BUSY: _SQLITE_LOCKED,
    sqlite3.SQLITE_LOCKED: _SQLITE_LOCKED,
    sqlite3.SQLITE_CORRUPT: (
        "DATABASE_DAMAGED",
        "The database file {path} is damaged.",
        RESTORE_FILE,
    ),
    sqlite3.SQLITE_NOTADB: (
        "DATABASE_NOT_A_DATABASE",
        "The file {path} is not a database of this program.",
        f"If it never was one, name another file in DATABASE_URL. If it was, it is damaged. {RESTORE_FILE}",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "DATABASE_MISSING",
        "There is no database file {path}.",
        "Check the path in DATABASE_URL, or create the database with: db upgrade",
    ),
    sqlite3.SQLITE_READONLY: (
        "DATABASE_READ_ONLY",
        "The database file {path} may not be written.",
        "Give this user the right to write the file and its folder.",
    ),
    sqlite3.SQLITE_FULL: (
        "DISK_FULL",
        "The disk that holds the database file {path} is full.",
        "Make some room; the work goes on where it stood.",
    ),
    sqlite3.SQLITE_IOERR: (
        "DISK_ERROR",
        "The disk that holds the database file {path} cannot be read or written.",
        "Check the disk or the network drive; the work goes on where it stood.",
    ),
}
