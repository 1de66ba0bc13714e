"""Many rows at once, by each server's fastest road: COPY on PostgreSQL, the driver's executemany elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, insert, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, DropIndex

from db import dialects
from db.types import UtcDateTime

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Rows that are handed to the driver at once: enough to forget the cost of a call, few enough to forget their memory.
_CHUNK = 10_000

Row = tuple[Any, ...]


def insert_rows(uow: UnitOfWork, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Inserts rows, in order.

    Several times faster than an ordinary insert: values go to the driver as they are, only the column types' own
    conversions (UTC, JSON, dates) are applied. Python-side defaults of columns are not.

    Args:
        uow: a unit of work; nothing is committed here.
        table: a table of the schema, or a temporary one.
        columns: names of the columns, in the order of the values.
        rows: one tuple for each row; may be a generator, which is drawn from as the rows go in.

    Returns:
        How many rows went in.

    Raises:
        sqlalchemy.exc.IntegrityError: a row breaks a constraint. On PostgreSQL and SQLite no row has gone in then, as
            soon as the unit of work (or the savepoint around the call) is rolled back.
    """
    connection = uow.connection
    converted = _converted(connection, table, columns, rows)
    if uow.dialect == "postgresql":
        return _copy(connection, table, columns, converted)
    if uow.dialect == "sqlite":
        return _execute_many(connection, table, columns, converted)
    count = 0
    # The dialect converts values itself here; fast_executemany is switched on for the engine.
    remaining = iter(rows)
    while chunk := [dict(zip(columns, row, strict=True)) for row in islice(remaining, _CHUNK)]:
        connection.execute(insert(table), chunk)
        count += len(chunk)
    return count


def update_rows(
    uow: UnitOfWork, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Updates rows one by one, each by its key; as fast as :func:`insert_rows`, for the same reasons.

    How many rows were met is not known: whoever needs that has to lock or to count them before.

    Args:
        keys: names of the columns that name a row.
        columns: names of the columns that are set.
        rows: one tuple for each row: the values of ``columns``, then those of ``keys``.
    """
    connection = uow.connection
    if uow.dialect == "mssql":
        # The dialect converts values itself here.
        names = [*(f"to_{name}" for name in columns), *(f"of_{name}" for name in keys)]
        statement = (
            update(table)
            .where(*(table.c[name] == bindparam(f"of_{name}") for name in keys))
            .values({name: bindparam(f"to_{name}", type_=table.c[name].type) for name in columns})
        )
        remaining = iter(rows)
        while chunk := [dict(zip(names, row, strict=True)) for row in islice(remaining, _CHUNK)]:
            connection.execute(statement, chunk)
        return
    mark = "?" if uow.dialect == "sqlite" else "%s"
    quote = connection.dialect.identifier_preparer.quote
    name = connection.dialect.identifier_preparer.format_table(table)
    sets = ", ".join(f"{quote(column)} = {mark}" for column in columns)
    where = " AND ".join(f"{quote(key)} = {mark}" for key in keys)
    remaining = iter(_converted(connection, table, [*columns, *keys], rows))
    while chunk_of_rows := list(islice(remaining, _CHUNK)):
        connection.exec_driver_sql(f"UPDATE {name} SET {sets} WHERE {where}", chunk_of_rows)  # noqa: S608 - our own names


@contextmanager
def explicit_ids(uow: UnitOfWork, table: Table) -> Iterator[None]:
    """Inside, rows may be inserted into ``table`` with ids of their own; numbering goes on behind the highest one."""
    with dialects.explicit_ids(uow.connection, table):
        yield


@contextmanager
def indexes_at_rest(uow: UnitOfWork, table: Table) -> Iterator[None]:
    """Inside, an empty table is filled without its indexes; they are built at once at the end, which is much faster.

    Only for a table that nobody else uses meanwhile: on SQL Server and PostgreSQL it is locked until the end.
    """
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    for index in indexes:
        uow.connection.execute(DropIndex(index))
    yield
    for index in indexes:
        uow.connection.execute(CreateIndex(index))


def _converted(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> Iterable[Row]:
    """The rows as the driver takes them."""
    dialect = connection.dialect
    converters: list[tuple[int, Callable[[Any], Any]]] = []
    for position, name in enumerate(columns):
        processor = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        if processor is not None:
            is_instant = isinstance(table.c[name].type, UtcDateTime)
            converters.append((position, _remembering(processor) if is_instant else processor))
    if not converters:
        return rows
    return _convert(rows, converters)


def _remembering(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same conversion, not done again for the very same value: most rows of a transaction share its instant."""
    last: Any = None
    converted: Any = None

    def remembered(value: Any) -> Any:
        nonlocal last, converted
        if value is not last:
            last, converted = value, convert(value)
        return converted

    return remembered


def _convert(rows: Iterable[Row], converters: list[tuple[int, Callable[[Any], Any]]]) -> Iterator[Row]:
    for row in rows:
        values = list(row)
        for position, convert in converters:
            values[position] = convert(values[position])
        yield tuple(values)


def _names(connection: Connection, table: Table, columns: Sequence[str]) -> tuple[str, str]:
    preparer = connection.dialect.identifier_preparer
    return preparer.format_table(table), ", ".join(preparer.quote(table.c[name].name) for name in columns)


def _execute_many(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> int:
    name, names = _names(connection, table, columns)
    statement = f"INSERT INTO {name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own names
    count = 0
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        connection.exec_driver_sql(statement, chunk)
        count += len(chunk)
    return count


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> int:
    name, names = _names(connection, table, columns)
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
