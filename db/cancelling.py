"""Reads that their caller may cancel while they run."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select

from db.dialects import Interrupted, interruptible
from db.engines import as_wrapped
from desktop_app.association.errors import Cancelled

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Rows that are fetched between two questions.
_CHUNK = 20_000


@contextmanager
def cancellable(uow: UnitOfWork, cancelled: Callable[[], bool]) -> Iterator[None]:
    """What is read inside ends soon after ``cancelled`` says so: at once on SQLite, between its parts elsewhere.

    Raises:
        Cancelled: it was.
    """
    if cancelled():
        raise Cancelled
    try:
        with interruptible(uow.connection, lambda: not cancelled()):
            yield
    except Interrupted as interrupted:
        raise Cancelled from interrupted


def all_ids(uow: UnitOfWork, statement: Select[tuple[int]], cancelled: Callable[[], bool]) -> array[int]:
    """The one column of whole numbers that the statement selects, in its order.

    Raises:
        Cancelled: while it was read.
    """
    ids = array("q")
    with cancellable(uow, cancelled), uow.connection.execute(statement) as result:
        # From the driver: a million objects for rows, of which nothing but the number is wanted, take as long again.
        cursor: Any = result.cursor
        try:
            while rows := cursor.fetchmany(_CHUNK):
                ids.extend(map(itemgetter(0), rows))
                if cancelled():
                    raise Cancelled
        except uow.connection.dialect.loaded_dbapi.Error as error:
            raise as_wrapped(uow.connection, str(statement), error) from error
    return ids
