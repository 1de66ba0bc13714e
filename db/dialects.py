"""What SQLite, PostgreSQL and SQL Server do not say in the same words.

Everything else in ``db`` is written once, in SQLAlchemy's expressions. How the servers are opened and what their errors
mean is in :mod:`db.engines`, how values are stored in :mod:`db.types`, many rows at once in :mod:`db.bulk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, false, func, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: Hints for SQL Server's reads before a compare-and-set; they only make it quicker, as SKIP LOCKED does on PostgreSQL.
LOCK_FREE_ROWS = "WITH (UPDLOCK, READPAST)"
LOCK_ROWS = "WITH (UPDLOCK)"

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
    if connection.dialect.name != "mssql":
        name = "" if table is None else " " + connection.dialect.identifier_preparer.format_table(table)
        connection.execute(text(f"ANALYZE{name}"))


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
