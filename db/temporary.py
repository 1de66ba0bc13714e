"""Temporary tables: what a person asked for, brought into the database to be joined.

Thousands of identifiers do not go into ``IN (…)`` (SQL Server takes 2,100 parameters, and each length is another
statement to plan); they go into a table that lives as long as the unit of work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, Table, Unicode
from sqlalchemy.schema import CreateIndex, CreateTable

from db.bulk import Row, insert_rows
from db.dialects import count_rows_for_plans, drop_temporary, plans_by_itself, temporary_table
from db.types import Key

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: From so many rows on a server is told how many there are, where it does not look by itself.
_ANALYZE_FROM = 500

_IDS = (Column("id", Key, primary_key=True),)
_LINES = (Column("line", Integer, primary_key=True), Column("identifier", Unicode(64), index=True))

#: One table object for each dialect, name and set of columns, so that statements over it are compiled once.
_tables: dict[tuple[object, ...], Table] = {}


def lines_table(uow: UnitOfWork, name: str, columns: Sequence[Column[Any]], rows: Iterable[Row]) -> Table:
    """A temporary table with ``rows`` in it, to be joined; it is gone when the unit of work ends.

    Works in :meth:`Store.read` as well as in :meth:`Store.begin`. The same name may be used again in one unit of work:
    the table then holds the new rows only.

    Args:
        name: of letters, digits and underscores; the table's own name is made from it.
        columns: plain columns: name, type, and ``primary_key=True`` or ``index=True`` where it is joined on. Indexes
            are made after the rows are in.
        rows: tuples in the order of ``columns``; a generator will do.
    """
    table = _table(uow.dialect, name, columns)
    connection = uow.connection
    if name in uow.temporary_tables:
        drop_temporary(connection, uow.temporary_tables[name])
    connection.execute(CreateTable(table))
    uow.temporary_tables[name] = table
    count = insert_rows(uow, table, [column.name for column in table.columns], rows)
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        connection.execute(CreateIndex(index))
    if count >= _ANALYZE_FROM and not plans_by_itself(connection):
        count_rows_for_plans(connection, table)
    return table


def temporary_ids(uow: UnitOfWork, ids: Iterable[int], name: str = "ids") -> Table:
    """A temporary table with one column ``id`` (its primary key) of handles; those named twice stand in it once."""
    return lines_table(uow, name, _IDS, _each_once(ids))


def _each_once(ids: Iterable[int]) -> Iterator[Row]:
    """One by one: a million in one call would hold up every other thread of Python."""
    seen: set[int] = set()
    for key in ids:
        if key not in seen:
            seen.add(key)
            yield (key,)


def temporary_lines(uow: UnitOfWork, rows: Iterable[tuple[int, str]], name: str = "lines") -> Table:
    """A temporary table of lines as they were asked for: ``line`` (primary key) and ``identifier`` (indexed)."""
    return lines_table(uow, name, _LINES, rows)


def _table(dialect: str, name: str, columns: Sequence[Column[Any]]) -> Table:
    # A type's text stands for it in the key: two `Unicode(20)` are not equal as objects.
    key = (
        dialect,
        name,
        tuple((c.name, repr(c.type), c.primary_key, bool(c.index), bool(c.nullable)) for c in columns),
    )
    table = _tables.get(key)
    if table is None:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name for a temporary table")
        table = _tables[key] = temporary_table(dialect, name, columns)
    return table
