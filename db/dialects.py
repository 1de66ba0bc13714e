"""What SQLite, PostgreSQL and SQL Server do not say in the same words: the one module that tells them apart.

Everything else in ``db`` is written once, in SQLAlchemy's expressions, and asks here. Beside it stand only what is of a
server itself: how it is connected to and what its errors mean (:mod:`db.engines`, :mod:`db.connections`,
:mod:`db.trying`), and the texts for its administrator (:mod:`db.roles`, :mod:`db.site_procedures`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Unicode,
    UnicodeText,
    bindparam,
    false,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import mssql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

#: Instructions of SQLite between two questions whether a statement is still wanted: some milliseconds.
_INSTRUCTIONS = 100_000
#: Of an index in SQLite's statistics ("ROWS ROWS_OF_EACH_VALUE …"): most of its rows have the same value.
_FORGET_WHAT_IS_ALIKE = (
    "DELETE FROM sqlite_stat1 WHERE CAST(stat AS INTEGER) > 2"
    " AND 2 * CAST(substr(stat, instr(stat, ' ') + 1) AS INTEGER) > CAST(stat AS INTEGER)"
)
#: Any number will do, as long as nobody else's program locks the same one ("asso" in ASCII).
_MIGRATION_LOCK = 0x6173736F
#: One of each kind of what an operator's login does, see the operator role.
_OPERATORS_RIGHTS = (
    ("SELECT", "device"),
    ("INSERT", "job"),
    ("UPDATE", "work_order"),
    ("INSERT", "device_history"),
    ("INSERT", "audit_entry"),
)


#: Primary and foreign keys. SQLite only numbers rows of an INTEGER key by itself.
KEY = BigInteger().with_variant(Integer, "sqlite")


# --- how it is stored ------------------------------------------------------------------------------------------------


def instant(dialect: Dialect) -> TypeEngine[Any]:
    """The type of an instant in UTC with microseconds: ``DATETIME2(6)``, ``timestamptz``, or SQLite's text."""
    if dialect.name == "mssql":
        return mssql.DATETIME2(precision=6)  # type: ignore[no-untyped-call]
    if dialect.name == "postgresql":
        return postgresql.TIMESTAMP(timezone=True, precision=6)
    return DateTime()


def knows_time_zones(dialect: Dialect) -> bool:
    """Whether the driver takes instants with their time zone."""
    return dialect.name == "postgresql"


def long_text(dialect: Dialect) -> TypeEngine[Any]:
    """The type of a text of any length."""
    # NVARCHAR(max): NTEXT, which SQLAlchemy takes for old servers, can neither be compared nor cut.
    return mssql.NVARCHAR() if dialect.name == "mssql" else UnicodeText()


def filtered(condition: ColumnElement[bool]) -> dict[str, Any]:
    """Options of an index over the rows alone for which the condition holds."""
    return {"sqlite_where": condition, "postgresql_where": condition, "mssql_where": condition}


def temporary_table(dialect: str, name: str, columns: Iterable[Column[Any]]) -> Table:
    """A table that is gone when the session ends; on PostgreSQL when the transaction does.

    Args:
        columns: plain ones, of no other table: type, ``primary_key``, ``index`` and ``nullable`` are kept.
    """
    # No naming convention: SQL Server keeps the constraint names of all sessions' temporary tables in one place.
    return Table(
        f"#tmp_{name}" if dialect == "mssql" else f"tmp_{name}",
        MetaData(),
        *(_temporary_column(column) for column in columns),
        prefixes=[] if dialect == "mssql" else ["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def _temporary_column(column: Column[Any]) -> Column[Any]:
    kind = column.type
    if isinstance(kind, String):
        # tempdb has the server's collation, which need not be the database's; joining the two is an error.
        kind = kind.with_variant(Unicode(kind.length, collation="DATABASE_DEFAULT"), "mssql")
    return Column(
        column.name,
        kind,
        primary_key=column.primary_key,
        index=bool(column.index),
        nullable=bool(column.nullable),
        autoincrement=False,
    )


# --- how it is said --------------------------------------------------------------------------------------------------


class whole_seconds(FunctionElement[int]):  # noqa: N801 - it is written like the functions of the database
    """``whole_seconds(from, to)``: whole seconds from one stored instant to a later one."""

    name = "whole_seconds"
    type = BigInteger()
    inherit_cache = True

    def __init__(self, begin: ColumnElement[Any], end: ColumnElement[Any]) -> None:
        super().__init__(begin, end)


@compiles(whole_seconds)
def _seconds_on_sqlite(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"(CAST(strftime('%s', {end}) AS INTEGER) - CAST(strftime('%s', {begin}) AS INTEGER))"


@compiles(whole_seconds, "postgresql")
def _seconds_on_postgresql(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"CAST(floor(extract(epoch FROM ({end}) - ({begin}))) AS BIGINT)"


@compiles(whole_seconds, "mssql")
def _seconds_on_sql_server(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"DATEDIFF(second, {begin}, {end})"


class letter_by_letter(FunctionElement[Any]):  # noqa: N801 - as above
    """``letter_by_letter(text)``: the text, compared with regard to capitals, which SQL Server else takes for equal."""

    name = "letter_by_letter"
    inherit_cache = True

    def __init__(self, text: ColumnElement[Any]) -> None:
        super().__init__(text)
        self.type = text.type


@compiles(letter_by_letter)
def _as_it_is(element: letter_by_letter, compiler: Any, **given: Any) -> str:
    (clause,) = element.clauses
    return str(compiler.process(clause, **given))


@compiles(letter_by_letter, "mssql")
def _by_its_code(element: letter_by_letter, compiler: Any, **given: Any) -> str:
    (clause,) = element.clauses
    return f"({compiler.process(clause, **given)}) COLLATE Latin1_General_BIN2"


class _Handles(TypeDecorator[Any]):
    """A list of handles as one parameter: an array, or the text of a JSON array."""

    impl = UnicodeText
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.ARRAY(BigInteger) if dialect.name == "postgresql" else UnicodeText())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        handles = list(value)
        return handles if dialect.name == "postgresql" else str(handles)


class is_among(FunctionElement[Any]):  # noqa: N801 - as above
    """``is_among(handle, "ids")``: the handle is one of those that are given as ``ids`` when it is executed.

    Where a database takes them as one parameter, the text of the statement is the same for any number of them; as
    ``IN (…)`` it would be rendered anew each time. On SQL Server it is ``IN (…)``: at most 2,100 of them.
    """

    name = "is_among"
    # No type: a function that is a Boolean is compared with 1 where a database has no Booleans, and no index is used.
    inherit_cache = True

    def __init__(self, handle: ColumnElement[Any], given: str) -> None:
        super().__init__(handle, bindparam(given, type_=_Handles()))


@compiles(is_among)
def _among_json(element: is_among, compiler: Any, **given: Any) -> str:
    handle, handles = (compiler.process(clause, **given) for clause in element.clauses)
    return f"{handle} IN (SELECT value FROM json_each({handles}))"  # noqa: S608 - rendered by SQLAlchemy


@compiles(is_among, "postgresql")
def _among_array(element: is_among, compiler: Any, **given: Any) -> str:
    handle, handles = (compiler.process(clause, **given) for clause in element.clauses)
    return f"{handle} = ANY ({handles})"


@compiles(is_among, "mssql")
def _among_values(element: is_among, compiler: Any, **given: Any) -> str:
    # It plans by the number of values, which it does not know of a JSON array.
    handle, handles = element.clauses
    assert isinstance(handles, BindParameter)
    return str(compiler.process(handle.in_(bindparam(handles.key, type_=handle.type, expanding=True)), **given))


def is_any_of(column: ColumnElement[Any], *values: Any) -> ColumnElement[bool]:
    """The column is one of a few values; unlike ``column.in_(values)`` it is rendered once, not at each execution."""
    return column.in_([literal(value, column.type) for value in values])


def locking(statement: Select[Any], table: Table, *, skip_locked: bool = False) -> Select[Any]:
    """Rows of ``table`` locked until the end; it only makes a compare-and-set quicker, which decides alone.

    Args:
        skip_locked: leave out rows that somebody else has locked, instead of waiting for them.
    """
    # SQL Server's are hints of the table; SQLite has one writer at a time.
    hint = "WITH (UPDLOCK, READPAST)" if skip_locked else "WITH (UPDLOCK)"
    return statement.with_for_update(skip_locked=skip_locked, of=table).with_hint(table, hint, "mssql")


def database_clock(connection: Connection) -> datetime:
    """The database's own clock, in UTC; the process's on SQLite, which has none of its own."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return datetime.now(UTC)
    statement = "SELECT clock_timestamp()" if dialect == "postgresql" else "SELECT SYSUTCDATETIME()"
    value: datetime = connection.execute(text(statement)).scalar_one()
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def wait_for_migrations(connection: Connection) -> None:
    """Waits until no other desktop migrates; ends with the transaction. SQLite's BEGIN IMMEDIATE is that already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
    elif connection.dialect.name == "mssql":
        # The lock belongs to a transaction, and only a SELECT from a table begins one.
        connection.execute(
            text(
                "DECLARE @got int; SELECT @got = count(*) FROM sys.databases; "
                "EXEC @got = sp_getapplock @Resource = 'association-desk-migration', "
                "@LockMode = 'Exclusive', @LockTimeout = -1; IF @got < 0 THROW 50000, 'no migration lock', 1"
            )
        )


def count_rows_for_plans(connection: Connection, table: Table | None = None) -> None:
    """Tells the server how many rows there are, so that its next queries are planned for them.

    Args:
        table: None: all tables. SQL Server keeps count by itself.
    """
    if connection.dialect.name == "mssql":
        return
    name = "" if table is None else " " + connection.dialect.identifier_preparer.format_table(table)
    connection.execute(text(f"ANALYZE{name}"))
    if connection.dialect.name == "sqlite":
        # It takes NULL for a value like any other: an index of EIDs in a fleet without any is thought to be of no use,
        # and each look for one reads all devices. What it knows of such an index is better not known.
        connection.execute(text(_FORGET_WHAT_IS_ALIKE))
        connection.execute(text("ANALYZE sqlite_schema"))  # read again what is left


#: Of PostgreSQL's planner: what is left are loops that go into each table by an index.
_BY_INDEX = ", ".join(
    f"set_config('enable_{way}', 'off', true)" for way in ("seqscan", "hashjoin", "mergejoin", "material")
)


def go_by_indexes(connection: Connection) -> None:
    """Until the transaction ends, rows are looked for by their indexes alone, however few the server takes them for.

    For work on some hundreds or thousands of rows that are named by their keys. PostgreSQL counts its rows a minute
    after they came, or later; until then it would read tables from end to end that it takes for small, again and again
    as they grow. SQLite goes by indexes anyway, and SQL Server counts before it plans.
    """
    if connection.dialect.name != "postgresql":
        return
    if not connection.info.get(_BY_INDEX):
        # What tests foreign keys is planned once in a session, and may have been, when the tables were empty.
        connection.execute(text("DISCARD PLANS"))
        connection.info[_BY_INDEX] = True
    connection.execute(text(f"SELECT {_BY_INDEX}"))


def may_be_idle(connection: Connection) -> None:
    """Until the transaction ends, its session is not ended for saying nothing; only PostgreSQL would."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def plans_by_itself(connection: Connection) -> bool:
    """Whether a table that was just filled is planned for as it is; PostgreSQL takes it for a handful of rows."""
    return connection.dialect.name != "postgresql"


def keeps_temporary_tables(connection: Connection) -> bool:
    """Whether temporary tables outlive a commit; a rollback undoes them everywhere."""
    return connection.dialect.name != "postgresql"


def drop_temporary(connection: Connection, table: Table) -> None:
    """Drops a temporary table; no error where it is gone already."""
    connection.execute(text(f"DROP TABLE IF EXISTS {connection.dialect.identifier_preparer.format_table(table)}"))


@contextmanager
def explicit_ids(connection: Connection, table: Table) -> Iterator[None]:
    """Inside, rows may be inserted into ``table`` with ids of their own; numbering goes on behind the highest one."""
    if connection.dialect.name == "mssql":
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.execute(text(f"SET IDENTITY_INSERT {name} ON"))
        try:
            yield
        finally:  # it belongs to the session and would outlive a rollback
            connection.execute(text(f"SET IDENTITY_INSERT {name} OFF"))
        return
    yield
    if connection.dialect.name == "postgresql":
        highest = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
        connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), highest, false())))


def rows_without_parent(connection: Connection) -> list[str]:
    """Rows whose foreign key leads nowhere, as "TABLE NUMBER has no PARENT". Only SQLite can have them.

    It takes them from a program that has not switched foreign keys on.
    """
    if connection.dialect.name != "sqlite":
        return []
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return [f"{child} {number} has no {parent}" for child, number, parent, _ in rows]


def readers_wait_for_writers(connection: Connection) -> bool:
    """Whether READ_COMMITTED_SNAPSHOT is off in a database of SQL Server."""
    if connection.dialect.name != "mssql":
        return False
    is_on = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE database_id = DB_ID()"
    return not connection.scalar(text(is_on))


def may_lose_commits(connection: Connection) -> str | None:
    """The setting with which the server takes back what it has committed when it crashes; None: it does not.

    What a session can set for itself is set in each of ours (:mod:`db.engines`); this is what none can.
    """
    if connection.dialect.name == "postgresql" and connection.scalar(text("SHOW fsync")) == "off":
        return "fsync = off"
    if connection.dialect.name == "mssql":
        # ALLOWED is no matter: it must be asked for at each commit.
        asked = "SELECT delayed_durability_desc FROM sys.databases WHERE database_id = DB_ID()"
        if connection.scalar(text(asked)) == "FORCED":
            return "DELAYED_DURABILITY = FORCED"
    return None


#: What a copy that this program has made says of itself in its header; nobody has told it yet that it is in use.
BACKUP_MARK = 1


def is_untold_backup(connection: Connection) -> bool:
    """Whether this is a copy of a SQLite file that the program made, put in its place without ``db restored``."""
    if connection.dialect.name != "sqlite":
        return False
    return bool(connection.exec_driver_sql("PRAGMA user_version").scalar_one() == BACKUP_MARK)


def backup_is_told(connection: Connection) -> None:
    """Whether it was a copy or not: it is the database now."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA user_version=0")


def may_create_tables(connection: Connection) -> bool:
    """Whether the login may make tables where it is."""
    if connection.dialect.name == "postgresql":
        return bool(connection.scalar(text("SELECT has_schema_privilege(current_schema(), 'CREATE')")))
    if connection.dialect.name == "mssql":
        return bool(connection.scalar(text("SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE TABLE')")))
    return True


def missing_rights(connection: Connection) -> list[str]:
    """What an operator needs and the login has not got, as "SELECT on device"; empty: nothing."""
    if connection.dialect.name == "sqlite":
        return []
    asked = text(
        "SELECT has_table_privilege(:table, :right)"
        if connection.dialect.name == "postgresql"
        else "SELECT HAS_PERMS_BY_NAME(:table, 'OBJECT', :right)"
    )
    return [
        f"{right} on {table}"
        for right, table in _OPERATORS_RIGHTS
        if not connection.scalar(asked, {"table": table, "right": right})
    ]


def names_foreign_keys(connection: Connection) -> bool:
    """Whether one can be taken away, and told by its name, while its table stays."""
    return connection.dialect.name != "sqlite"


def is_shared_with_others(connection: Connection) -> bool:
    """Whether tables of other programs may live beside ours under names of their own; in a file there are only ours."""
    return connection.dialect.name != "sqlite"


@contextmanager
def foreign_keys_at_rest(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by building it anew; with foreign keys on, dropping the old one deletes others' rows."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.execute("PRAGMA foreign_keys=OFF")  # does nothing inside a transaction, so before it
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


class Interrupted(Exception):
    """A statement was ended because nobody waits for its rows any more."""


@contextmanager
def interruptible(connection: Connection, wanted: Callable[[], bool]) -> Iterator[None]:
    """Inside, a statement ends soon after ``wanted`` says no; on servers it goes on to its end.

    Raises:
        Interrupted: it was ended.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.set_progress_handler(lambda: 0 if wanted() else 1, _INSTRUCTIONS)
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise Interrupted from error
        raise
    finally:
        driver.set_progress_handler(None, 0)


# --- stored procedures -----------------------------------------------------------------------------------------------


def has_procedures(dialect: str) -> bool:
    """Whether there are stored procedures."""
    return dialect != "sqlite"


def call_of(connection: Connection, procedure: str) -> str:
    """The statement, in the driver's words, that calls a stored procedure with one argument.

    Args:
        procedure: letters, digits and underscores, with dots between its parts, each of which may be in quotes.
    """
    if connection.dialect.name == "mssql":
        return f"EXEC {'.'.join(f'[{part.strip(chr(34))}]' for part in procedure.split('.'))} ?"
    return f"CALL {procedure}(%s)"


# --- many rows -------------------------------------------------------------------------------------------------------


def takes_values_of_the_driver(connection: Connection) -> bool:
    """Whether many rows go quickest past SQLAlchemy; with SQL Server its own way is as quick, by fast_executemany."""
    return connection.dialect.name != "mssql"


def insert_values(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[tuple[Any, ...]], chunk: int
) -> int:
    """Inserts rows whose values are the driver's already, by the quickest road; how many went in.

    Args:
        chunk: rows that the driver is handed at once.
    """
    name, names = _names(connection, table, columns)
    if connection.dialect.name == "postgresql":
        return _copy(connection, name, names, rows)
    marks = ", ".join([_mark(connection)] * len(columns))
    return _many(connection, f"INSERT INTO {name} ({names}) VALUES ({marks})", rows, chunk)  # noqa: S608 - our own names


def update_values(
    connection: Connection,
    table: Table,
    keys: Sequence[str],
    columns: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    chunk: int,
) -> None:
    """Updates rows by their keys: the values of ``columns``, then those of ``keys``, the driver's already."""
    if connection.dialect.name == "postgresql":
        _update_from_arrays(connection, table, keys, columns, rows, chunk)
        return
    quote = connection.dialect.identifier_preparer.quote
    name = connection.dialect.identifier_preparer.format_table(table)
    mark = _mark(connection)
    sets = ", ".join(f"{quote(column)} = {mark}" for column in columns)
    where = " AND ".join(f"{quote(key)} = {mark}" for key in keys)
    _many(connection, f"UPDATE {name} SET {sets} WHERE {where}", rows, chunk)  # noqa: S608 - our own names


def _update_from_arrays(
    connection: Connection,
    table: Table,
    keys: Sequence[str],
    columns: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    chunk: int,
) -> None:
    """One statement for a whole chunk, of an array for each column: row by row, each one would be planned again."""
    quote = connection.dialect.identifier_preparer.quote
    name = connection.dialect.identifier_preparer.format_table(table)
    names = [*columns, *keys]
    sets = ", ".join(f"{quote(column)} = given.{quote(column)}" for column in columns)
    where = " AND ".join(f"{name}.{quote(key)} = given.{quote(key)}" for key in keys)
    arrays = ", ".join(f"%s::{_array_type(connection, table, column)}" for column in names)
    given = f"unnest({arrays}) AS given ({', '.join(map(quote, names))})"
    remaining = iter(rows)
    while part := list(islice(remaining, chunk)):
        values = tuple(map(list, zip(*part, strict=True)))
        connection.exec_driver_sql(f"UPDATE {name} SET {sets} FROM {given} WHERE {where}", values)  # noqa: S608 - our own names


def _array_type(connection: Connection, table: Table, column: str) -> str:
    """The array that a column's values are given in. Text without a length: a cast to one would cut what is longer."""
    type_ = table.c[column].type.dialect_impl(connection.dialect)
    kind = type_.impl_instance if isinstance(type_, TypeDecorator) else type_
    return f"{'TEXT' if isinstance(kind, String) else kind.compile(connection.dialect)}[]"


def _mark(connection: Connection) -> str:
    """What stands for a value in the driver's words."""
    return "?" if connection.dialect.name == "sqlite" else "%s"


def _many(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]], chunk: int) -> int:
    count = 0
    remaining = iter(rows)
    while part := list(islice(remaining, chunk)):
        connection.exec_driver_sql(statement, part)
        count += len(part)
    return count


def _names(connection: Connection, table: Table, columns: Sequence[str]) -> tuple[str, str]:
    preparer = connection.dialect.identifier_preparer
    return preparer.format_table(table), ", ".join(preparer.quote(table.c[name].name) for name in columns)


def _copy(connection: Connection, name: str, names: str, rows: Iterable[tuple[Any, ...]]) -> int:
    statement = f"COPY {name} ({names}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    count = 0
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
                count += 1
    except connection.dialect.loaded_dbapi.Error as error:
        # The driver is spoken to directly here: its errors are put into the same clothes as all others'.
        lost = bool(driver.closed)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            connection.dialect.loaded_dbapi.Error,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error
    return count
