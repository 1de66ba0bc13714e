"""Another database that existing data are read from: one SELECT for each table, row by row, and nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from db.engines import DEFAULT_DRIVER, as_environment_fault, first_line, open_source, shown
from desktop_app.association.errors import EnvironmentFault, RequestRefused

#: Rows that are fetched at a time.
_FETCHED = 5_000
_ONE_SELECT = re.compile(r"\s*(select|with)\b", re.IGNORECASE)


class SourceDatabase:
    """Another database, opened for reading when its first row is asked for."""

    def __init__(self, url: str, password: str | None) -> None:
        """
        Args:
            url: SQLAlchemy's, of any kind of database whose driver is installed; without password.
            password: the login's; None: it needs none.

        Raises:
            RequestRefused: the URL cannot be read, or holds a password; its driver is not there.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise RequestRefused(
                "IMPORT_SOURCE_INVALID", "The source in the mapping file is no database URL.", _URL_ADVICE
            ) from error
        if parsed.password is not None or "PWD=" in url.upper() or "PASSWORD=" in url.upper():
            raise RequestRefused(
                "IMPORT_SOURCE_HAS_PASSWORD",
                "The source in the mapping file holds a password, which does not belong into a file.",
                "Take it out, change it, and give the new one in the environment variable ASSOCIATION_IMPORT_PASSWORD.",
            )
        if password and parsed.username is not None:
            parsed = parsed.set(password=password)
        self._url = parsed.render_as_string(hide_password=False)  # to leave the password out of what is said
        self.name = shown(url)
        try:
            self._engine = open_source(parsed)
        except (ImportError, SQLAlchemyError) as error:
            raise RequestRefused(
                "IMPORT_SOURCE_INVALID",
                f"The source {self.name} cannot be opened: {error}.",
                _URL_ADVICE,
            ) from error

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def rows(self, statement: str) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
        """The columns' names, and the rows; the connection is closed behind the last one.

        Raises:
            RequestRefused: it is no SELECT, or the source cannot execute it.
            EnvironmentFault: the source cannot be reached.
        """
        if not _ONE_SELECT.match(statement):
            raise RequestRefused(
                "IMPORT_SELECT_INVALID",
                "A statement of the mapping file is no SELECT; an import changes nothing in its source.",
                "Write one SELECT for each table.",
            )
        rows = self._rows(statement)
        return next(rows), rows

    def _rows(self, statement: str) -> Iterator[Sequence[Any]]:
        """First the names, then the rows."""
        try:
            with self._engine.connect() as connection:
                # The colons of a foreign statement are its own.
                escaped = text(statement.replace(":", "\\:"))
                result = connection.execution_options(yield_per=_FETCHED).execute(escaped)
                yield tuple(result.keys())
                yield from result
        except DBAPIError as error:
            fault = as_environment_fault(error, self._url)
            if fault is not None:
                raise EnvironmentFault(
                    f"IMPORT_SOURCE_{fault.code}",
                    f"The source of the import: {fault.message}",
                    _ADVICE.get(fault.code, fault.what_to_do),
                ) from error
            why = first_line(error.orig)
            raise RequestRefused(
                "IMPORT_SELECT_FAILED",
                f"The source {self.name} cannot execute a statement of the mapping file: {why}.",
                "Correct the statement; try it in a tool of that database first.",
            ) from error


#: What to do where a fault of the program's own database would be mended elsewhere.
_ADVICE = {
    "DATABASE_MISSING": "Correct the path of the source in the mapping file.",
    "DATABASE_NOT_OPENED": "Correct the path of the source in the mapping file; this user must be able to read it.",
    "DATABASE_NOT_A_DATABASE": "Correct the path of the source in the mapping file.",
    "DATABASE_DAMAGED": "Have it mended, or name a sound copy of it as the source in the mapping file.",
    "DATABASE_NOT_THERE": "Correct the name of the database of the source in the mapping file.",
    "DATABASE_LOGIN_REFUSED": (
        "Correct the user of the source in the mapping file, and give its password in the environment variable "
        "ASSOCIATION_IMPORT_PASSWORD."
    ),
    "DATABASE_DRIVER_MISSING": (
        f"Install Microsoft's {DEFAULT_DRIVER}, or name the driver that is there as driver=… in the source."
    ),
    "DATABASE_CERTIFICATE_REFUSED": (
        "Have it signed by an authority that this machine trusts, or add TrustServerCertificate=yes to the source."
    ),
}
_URL_ADVICE = "Write it as sqlite:///PATH, postgresql+psycopg://USER@HOST/NAME or mssql+pyodbc://USER@HOST/NAME."
