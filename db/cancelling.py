"""Reads that their caller may cancel while they run."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select
from sqlalchemy.exc import DBAPIError

from db.engines import as_wrapped
from desktop_app.association.errors import Cancelled

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: SQLite asks after so many of its instructions: every few milliseconds.
_INSTRUCTIONS = 100_000
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
    driver: Any = uow.connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.set_progress_handler(lambda: 1 if cancelled() else 0, _INSTRUCTIONS)
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise Cancelled from error
        raise
    finally:
        driver.set_progress_handler(None, 0)


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
