"""Many rows at once, by each server's fastest road: COPY on PostgreSQL, the driver's executemany elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Insert, Table, Update, bindparam, insert, update
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
    if not dialects.takes_values_of_the_driver(connection):
        return _execute_many(connection, insert(table), columns, rows)
    return dialects.insert_values(connection, table, columns, _converted(connection, table, columns, rows), _CHUNK)


def update_rows(
    uow: UnitOfWork, table: Table, keys: Sequence[str], columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Updates rows, each by its key; as fast as :func:`insert_rows`, for the same reasons.

    How many rows were met is not known: whoever needs that has to lock or to count them before.

    Args:
        keys: names of the columns that name a row.
        columns: names of the columns that are set.
        rows: one tuple for each row: the values of ``columns``, then those of ``keys``.
    """
    connection = uow.connection
    if not dialects.takes_values_of_the_driver(connection):
        names = [*(f"to_{name}" for name in columns), *(f"of_{name}" for name in keys)]
        statement = (
            update(table)
            .where(*(table.c[name] == bindparam(f"of_{name}") for name in keys))
            .values({name: bindparam(f"to_{name}", type_=table.c[name].type) for name in columns})
        )
        _execute_many(connection, statement, names, rows)
        return
    converted = _converted(connection, table, [*columns, *keys], rows)
    dialects.update_values(connection, table, keys, columns, converted, _CHUNK)


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


def _execute_many(connection: Connection, statement: Insert | Update, names: Sequence[str], rows: Iterable[Row]) -> int:
    """Chunk by chunk; SQLAlchemy converts the values."""
    count = 0
    remaining = iter(rows)
    while chunk := [dict(zip(names, row, strict=True)) for row in islice(remaining, _CHUNK)]:
        connection.execute(statement, chunk)
        count += len(chunk)
    return count


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
