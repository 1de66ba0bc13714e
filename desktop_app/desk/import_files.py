"""Where existing data come from: CSV files, workbooks, or another database by a mapping file.

A CSV file is named after its table (``devices.csv``), a sheet of a workbook too; the mapping file is TOML::

    source = "mssql+pyodbc://reader@old-server/Legacy"
    [tables]
    customers = "SELECT AccountNo AS account_number, Name AS name FROM dbo.Customer"

CSV is read row by row, since a table may have a million of them; line 7 in a message is line 7 of the file.
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from db.importing.source import SourceDatabase
from desktop_app.association.errors import RequestRefused
from desktop_app.association.import_rows import plain_name
from desktop_app.association.import_values import as_cell
from desktop_app.association.model import ImportTable
from desktop_app.association.result_csv import plain

#: The environment variable with the password of a source database.
PASSWORD_VARIABLE = "ASSOCIATION_IMPORT_PASSWORD"
_DELIMITERS = ",;\t|"
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})
_TEXTS = frozenset({".csv", ".txt", ".tsv"})
#: Number and cells of each row.
Lines = Generator[tuple[int, Sequence[str]], None, None]


class ImportSource(Protocol):
    """Rows for one table.

    Attributes:
        table: which.
        name: of the file (with its sheet), or of the database, as people are shown it.
    """

    @property
    def table(self) -> ImportTable: ...

    @property
    def name(self) -> str: ...

    def lines(self) -> Lines:
        """The rows with their numbers, the header first; blank rows are left out."""


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file in any of its dialects."""

    table: ImportTable
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def lines(self) -> Lines:
        with self.path.open(encoding=_encoding(self.path), errors="replace", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter)
            line = 1
            try:
                for row in reader:
                    if any(cell.strip() for cell in row):
                        yield line, [plain(cell) for cell in row]
                    line = reader.line_num + 1
            except csv.Error as error:
                raise RequestRefused(
                    "FILE_NOT_A_TABLE",
                    f"The file {self.path} cannot be read as CSV from line {reader.line_num} on: {error}.",
                    "Save it again as CSV; rows before that line may have been imported already.",
                ) from error


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a workbook."""

    table: ImportTable
    path: Path
    sheet: str

    @property
    def name(self) -> str:
        return f"{self.path.name}, {self.sheet}"

    def lines(self) -> Lines:
        rows = _workbook(self.path).get_sheet_by_name(self.sheet).to_python(skip_empty_area=False)
        for line, row in enumerate(rows, 1):
            cells = [plain(as_cell(cell)) for cell in row]
            if any(cell.strip() for cell in cells):
                yield line, cells


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """What a SELECT of the mapping file gives; its rows are counted from 1."""

    table: ImportTable
    database: SourceDatabase
    statement: str

    @property
    def name(self) -> str:
        return f"{self.database.name}, {self.table}"

    def lines(self) -> Lines:
        names, rows = self.database.rows(self.statement)
        yield 0, names
        for line, row in enumerate(rows, 1):
            yield line, [as_cell(value) for value in row]


def find_sources(paths: Iterable[Path], table: ImportTable | None, opened: ExitStack) -> list[ImportSource]:
    """What the paths hold: files, workbooks, mapping files, or folders of files.

    Args:
        table: what a single CSV file or workbook is for, where its name does not say so.
        opened: closes connections to other databases in the end.

    Returns:
        One source for each table and file, in the order in which tables refer to one another.

    Raises:
        RequestRefused: a file that is not there, cannot be read, or is for no table.
    """
    found: list[ImportSource] = []
    for path in paths:
        try:
            found += _sources(path, table, opened)
        except OSError as error:
            raise RequestRefused(
                "FILE_UNREADABLE",
                f"{path} cannot be read ({error.strerror or type(error).__name__}).",
                "Check the name, that this user may read it and that no other program holds it.",
            ) from error
    if not found:
        raise RequestRefused(
            "NOTHING_TO_IMPORT",
            "No file is named after a table.",
            f"Name the files (or sheets) after their tables: {', '.join(ImportTable)}.",
        )
    order = list(ImportTable)
    return sorted(found, key=lambda source: order.index(source.table))


def _sources(path: Path, table: ImportTable | None, opened: ExitStack) -> list[ImportSource]:
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in _TEXTS and table_named(one.stem))
        return [CsvFile(_known(one.stem), one) for one in files]
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _mapped(path, opened)
    if suffix in _WORKBOOKS:
        return _sheets(path, table)
    with path.open("rb"):  # told now, and not when its turn comes
        pass
    return [CsvFile(table or _known(path.stem), path)]


def table_named(name: str) -> ImportTable | None:
    """The table of this name in any spelling, or None."""
    plain_word = plain_name(name)
    return ImportTable(plain_word) if plain_word in set(ImportTable) else None


def _known(name: str) -> ImportTable:
    table = table_named(name)
    if table is None:
        raise RequestRefused(
            "IMPORT_TABLE_UNKNOWN",
            f"{name!r} is no table.",
            f"Name the file after its table, or name the table with --table: {', '.join(ImportTable)}.",
        )
    return table


# --- workbooks -------------------------------------------------------------------------------------------------------


def _sheets(path: Path, table: ImportTable | None) -> list[ImportSource]:
    names = _workbook(path).sheet_names
    if table is not None:
        return [Sheet(table, path, names[0])]
    named = [(found, name) for name in names if (found := table_named(name)) is not None]
    if not named and table_named(path.stem) is not None:
        return [Sheet(_known(path.stem), path, names[0])]
    return [Sheet(found, path, name) for found, name in named]


def _workbook(path: Path) -> Any:
    import python_calamine

    with path.open("rb"):  # the library's own words for a missing file say less
        pass
    try:
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except (python_calamine.CalamineError, python_calamine.ZipError) as error:
        raise RequestRefused(
            "FILE_NOT_A_TABLE",
            f"The file {path} cannot be read as a workbook ({error}).",
            "Open it in a spreadsheet and save it again, or save its sheets as CSV.",
        ) from error


# --- text ------------------------------------------------------------------------------------------------------------


def _encoding(path: Path) -> str:
    """UTF-8 where all of it is, else what spreadsheets of western countries write."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


# --- another database ------------------------------------------------------------------------------------------------


def _mapped(path: Path, opened: ExitStack) -> list[ImportSource]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(
            "IMPORT_MAPPING_INVALID", f"The mapping file {path} cannot be read: {error}.", "Correct it."
        ) from error
    source, tables = document.get("source"), document.get("tables")
    if not isinstance(source, str) or not isinstance(tables, dict) or set(document) - {"source", "tables"}:
        raise RequestRefused(
            "IMPORT_MAPPING_INVALID",
            f"The mapping file {path} has a source (a database URL) and a section [tables], and nothing else.",
            "Write it as docs/importing.md shows it.",
        )
    database = SourceDatabase(source, os.environ.get(PASSWORD_VARIABLE))
    opened.callback(database.close)
    found: list[ImportSource] = []
    for name, statement in tables.items():
        if not isinstance(statement, str):
            raise RequestRefused(
                "IMPORT_MAPPING_INVALID", f"In the mapping file {path}, {name} is no statement.", "Write one SELECT."
            )
        found.append(SelectedRows(_known(name), database, statement))
    return found
