"""Bringing a database up to this program: where it stands, a backup before, the migration itself.

A start must be quick, and nearly every start finds a database that is up to date: finding that out costs one query, and
Alembic is imported only when there is something for it to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from db.dialects import (
    BACKUP_MARK,
    foreign_keys_at_rest,
    is_shared_with_others,
    is_untold_backup,
    rows_without_parent,
    wait_for_migrations,
)
from db.engines import RESTORE_FILE, as_environment_fault, shown, sqlite_path
from db.schema import metadata
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault

if TYPE_CHECKING:
    from alembic.config import Config

#: Every revision of the chain, oldest first.
REVISIONS: tuple[str, ...] = ("0001", "0002")
#: The revision that this program works with.
HEAD: str = REVISIONS[-1]

_VERSION_TABLE = "alembic_version"


class Standing(StrEnum):
    """How a database stands to this program."""

    NOTHING = "nothing"  #: no file, or nothing in it: an upgrade creates the tables
    OLD = "old"  #: made by an older version of this program: an upgrade brings it up to date
    CURRENT = "current"  #: up to date
    NEW = "new"  #: made by a newer version of this program
    FOREIGN = "foreign"  #: holds tables of another program


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """Where a database stands.

    Attributes:
        standing: see :class:`Standing`.
        revision: of its schema; None where it has none.
    """

    standing: Standing
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did.

    Attributes:
        before: revision before; None where there was nothing.
        after: revision now.
        backup_path: the copy that was made before anything was changed; None where nothing was changed, where there was
            nothing to lose, and on a server, whose backups are its administrator's.
    """

    before: str | None
    after: str
    backup_path: Path | None = None


def state(store: Store) -> DatabaseState:
    """Where the database stands. One query where it is up to date.

    Raises:
        EnvironmentFault: it cannot be reached, is damaged, locked, or no database at all. A missing file is no fault.
    """
    path = sqlite_path(store.url)
    if path is not None and not path.exists():
        return DatabaseState(Standing.NOTHING)
    try:
        with store.waiting(), store.engines.read.connect() as connection:
            return _state(connection)
    except DBAPIError as error:
        raise as_environment_fault(error, store.url) or error from error


def require_current(store: Store) -> None:
    """Refuses to work on a database that this program does not fit.

    Raises:
        EnvironmentFault: it is missing, too old, too new, or another program's; says what to do.
    """
    _refuse(store, state(store), old_is_fine=False)


def upgrade(store: Store) -> Upgraded:
    """Creates the database or brings it up to date; does nothing where it is.

    A SQLite file with something in it is copied first, next to itself. On servers a lock lets one desktop migrate while
    others wait. A migration is there as a whole or not at all.

    Raises:
        EnvironmentFault: the database is newer than this program, another program's, damaged, locked or unreachable; it
            is as it was.
    """
    found = state(store)
    if found.standing is Standing.CURRENT:
        return Upgraded(HEAD, HEAD)
    _refuse(store, found, old_is_fine=True)
    path = sqlite_path(store.url)
    if path is not None:
        _make_file(path)
        _refuse_damaged(path)
    with _migrating(store) as connection:
        # Another desktop may have migrated it while this one waited, and it may be newer than this one.
        found = _state(connection)
        _refuse(store, found, old_is_fine=True)
        backup_path = None
        if path is not None and found.standing is Standing.OLD:
            # Whoever writes waits for the lock that is held here: the copy is what the migration begins with.
            backup_path = backup(store, _backup_name(path, found.revision))
        if found.standing is not Standing.CURRENT:
            _migrate(connection, found.revision, HEAD)
    return Upgraded(found.revision, HEAD, backup_path)


def migrate(store: Store, to: str) -> str | None:
    """Runs the migrations up or down to a revision (``base``: nothing), without a backup; see :func:`upgrade`.

    Returns:
        The revision before.
    """
    path = sqlite_path(store.url)
    if path is not None:
        _make_file(path)
    with _migrating(store) as connection:
        before = _state(connection).revision
        if before != to:
            _migrate(connection, before, to)
        return before


def _migrate(connection: Connection, before: str | None, to: str) -> None:
    from alembic import command

    goes_down = to == "base" or (before is not None and REVISIONS.index(to) < REVISIONS.index(before))
    (command.downgrade if goes_down else command.upgrade)(_config(connection), to)


def backup(store: Store, to: Path) -> Path:
    """Copies a SQLite database, while others may go on using it; the copy is tested.

    Args:
        to: a file that is not there yet.

    Returns:
        ``to``.

    Raises:
        EnvironmentFault: the copy could not be made, or is not sound; nothing is left of it.
        ValueError: the database is no SQLite file; or ``to`` is there.
    """
    path = sqlite_path(store.url)
    if path is None or to.exists():
        raise ValueError(f"cannot copy {shown(store.url)} to {to}")
    part = to.with_name(f"{to.name}.part")  # a copy that was broken off must not be taken for one
    try:
        with closing(_plain(path, "ro")) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
            # A copy of its own, without a log beside it: one file that can be carried away.
            target.execute("PRAGMA journal_mode=DELETE")
            target.execute(f"PRAGMA user_version={BACKUP_MARK}")
            sound = target.execute("PRAGMA quick_check").fetchone() == ("ok",)
        if sound:
            part.replace(to)
    except (sqlite3.Error, OSError) as error:
        raise EnvironmentFault(
            "BACKUP_FAILED",
            f"The database file {path} could not be copied to {to}: {error}. It is as it was.",
            "See that there is room on the disk and that this user may write to the folder, then try again.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    if not sound:
        raise _damaged(path)
    return to


def refuse_untold_backup(store: Store) -> None:
    """Refuses to work on a copy that this program made, before it was told what that means.

    Copies that were made otherwise cannot be told from the database itself.

    Raises:
        EnvironmentFault: it is one; says what to do.
    """
    with store.read() as uow:
        if not is_untold_backup(uow.connection):
            return
    raise EnvironmentFault(
        "DATABASE_RESTORED",
        f"The database {shown(store.url)} is a backup that was put in its place. What was ordered at billing since it "
        "was made would be ordered again. Nothing was changed.",
        "Close every program that uses it, then run: db restored",
    )


def require_sound(store: Store, most_bytes: int | None = None) -> None:
    """Refuses a damaged SQLite file; a server sees to its own files.

    Args:
        most_bytes: a larger file is not looked at; None: any is.

    It reads all of the file, and does not compare indexes with tables (:func:`damage` does by default).

    Raises:
        EnvironmentFault: it is damaged, or cannot be opened.
    """
    path = sqlite_path(store.url)
    if path is None or not path.exists() or (most_bytes is not None and path.stat().st_size > most_bytes):
        return
    if damage(path, most=1, quick=True):
        raise _damaged(path)


def damage(path: Path, most: int = 20, *, quick: bool = False) -> tuple[str, ...]:
    """What is wrong inside a SQLite file, in SQLite's own words, at most so many lines; empty where it is sound.

    Args:
        quick: indexes are not compared with their tables: a fifth of the time.

    Raises:
        EnvironmentFault: it cannot be opened or is locked.
    """
    question = "quick_check" if quick else "integrity_check"
    try:
        with closing(_plain(path, "ro")) as connection:
            lines = tuple(str(row[0]) for row in connection.execute(f"PRAGMA {question}({most})"))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return (str(error),)
        wrapped = DBAPIError(f"PRAGMA {question}", None, error)
        raise as_environment_fault(wrapped, f"sqlite:///{path}") or error from error
    return () if lines == ("ok",) else lines


# --- where it stands -------------------------------------------------------------------------------------------------


def _state(connection: Connection) -> DatabaseState:
    # On PostgreSQL a statement that fails spoils the transaction, so the table is looked for before it is read.
    names = set(inspect(connection).get_table_names())
    if _VERSION_TABLE not in names:
        strange = names & set(metadata.tables) if is_shared_with_others(connection) else names
        return DatabaseState(Standing.FOREIGN if strange else Standing.NOTHING)
    revision = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    if revision is None and len(names) == 1:
        return DatabaseState(Standing.NOTHING)  # brought down to nothing
    if "work_order" not in names or revision is None or len(revision) != len(HEAD) or not revision.isdigit():
        return DatabaseState(Standing.FOREIGN, revision)
    if revision == HEAD:
        return DatabaseState(Standing.CURRENT, revision)
    return DatabaseState(Standing.OLD if revision in REVISIONS else Standing.NEW, revision)


def _refuse(store: Store, found: DatabaseState, *, old_is_fine: bool) -> None:
    where = shown(store.url)
    match found.standing:
        case Standing.NEW:
            raise EnvironmentFault(
                "DATABASE_TOO_NEW",
                f"The database {where} was made by a newer version of this program (its schema is {found.revision}, "
                f"this program knows up to {HEAD}). Nothing was changed.",
                "Install the newer version on this machine too.",
            )
        case Standing.FOREIGN:
            raise EnvironmentFault(
                "DATABASE_NOT_A_DATABASE",
                f"The database {where} holds the tables of another program. Nothing was changed.",
                "Name another database in DATABASE_URL.",
            )
        case Standing.OLD if not old_is_fine:
            raise EnvironmentFault(
                "DATABASE_TOO_OLD",
                f"The database {where} was made by an older version of this program (its schema is {found.revision}, "
                f"this program needs {HEAD}).",
                "Bring it up to date with: db upgrade",
            )
        case Standing.NOTHING if not old_is_fine:
            raise EnvironmentFault(
                "DATABASE_MISSING",
                f"There is no database at {where} yet.",
                "Check DATABASE_URL, or create the database with: db upgrade",
            )
        case _:
            return


def _refuse_damaged(path: Path) -> None:
    if damage(path, most=1):
        raise _damaged(path)


def _damaged(path: Path) -> EnvironmentFault:
    return EnvironmentFault(
        "DATABASE_DAMAGED",
        f"The database file {path} is damaged. Nothing was changed.",
        RESTORE_FILE,
    )


# --- files -----------------------------------------------------------------------------------------------------------


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            "DATABASE_NOT_MADE",
            f"The database file {path} cannot be made: {error.strerror}.",
            "Name another place in DATABASE_URL or DATA_DIR, or give this user the right to write there.",
        ) from error


def _backup_name(path: Path, revision: str | None) -> Path:
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return path.with_name(f"{path.stem}.schema-{revision}.{at}{path.suffix}")


def _plain(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)


# --- the migration ---------------------------------------------------------------------------------------------------


@contextmanager
def _migrating(store: Store) -> Iterator[Connection]:
    """A transaction that nobody else's migration runs beside; commits."""
    try:
        with ExitStack() as opened:
            with store.waiting():
                connection = opened.enter_context(store.engines.write.connect())
                opened.enter_context(foreign_keys_at_rest(connection))
                transaction = opened.enter_context(connection.begin())
                wait_for_migrations(connection)
            yield connection
            left = rows_without_parent(connection)
            assert not left, f"the migration leaves a row without its parent: {left[0]}"
            store.on_commit("before")
            transaction.commit()
            store.on_commit("after")
    except DBAPIError as error:
        raise as_environment_fault(error, store.url) or error from error


def _config(connection: Connection) -> Config:
    """Alembic's configuration, without a file: the same from source and from a frozen program."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "db:migrations")
    config.attributes["connection"] = connection
    return config
