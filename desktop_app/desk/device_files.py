"""Lists of devices in files: text, CSV in any of its dialects, or .xlsx, from wherever they come.

A file becomes lines of one identifier each, and line 7 of the answer is line 7 of the file: headings and blank lines
become blank lines, so that a person finds the line that a message names.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from desktop_app.association.errors import RequestRefused
from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.association.model import IdentifierKind
from desktop_app.association.result_csv import identifier_columns, plain

#: No list of devices is larger; a file that is was picked by mistake.
MOST_BYTES = 500_000_000
_DELIMITERS = (",", ";", "\t", "|")
#: Rows that are looked at to find out how a table is made.
_SAMPLE = 50
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"})


def read_devices_file(path: Path) -> tuple[str, ...]:
    """The identifiers in a file, one a line; "" for lines that hold none.

    Args:
        path: ``.xlsx`` (and its kin) is read as a workbook's first sheet with something in it, all else as text. The
            column is found by its heading (``iccid``, ``imei``, ``msisdn``, ``eid``, …), else by what its cells hold.

    Raises:
        RequestRefused: no such file, not readable as a list, or nothing in it.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RequestRefused(
                "FILE_TOO_LARGE", f"The file {path} is too large for a list of devices.", "Name another file."
            )
        rows = _sheet(path) if path.suffix.lower() in _WORKBOOKS else _table(_text(path))
    except FileNotFoundError as error:
        raise RequestRefused("FILE_NOT_FOUND", f"There is no file {path}.", "Check the name of the file.") from error
    except IsADirectoryError as error:
        raise RequestRefused("FILE_NOT_FOUND", f"{path} is a folder.", "Name a file in it.") from error
    except OSError as error:
        raise RequestRefused(
            "FILE_UNREADABLE",
            f"The file {path} cannot be read ({error.strerror or type(error).__name__}).",
            "Check that this user may read it and that no other program holds it.",
        ) from error
    lines = identifiers(rows)
    if not any(lines):
        raise RequestRefused(
            "NO_DEVICES", f"The file {path} names no device.", "Write one ICCID, IMEI, phone number or EID a line."
        )
    return lines


def identifiers(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One identifier for each row; "" for rows that hold none."""
    first = next((number for number, row in enumerate(rows) if any(cell.strip() for cell in row)), None)
    if first is None:
        return ()
    columns = identifier_columns(rows[first])
    if columns:
        return tuple("" if number <= first else _first_of(row, columns) for number, row in enumerate(rows))
    if max(len(row) for row in rows[first : first + _SAMPLE]) == 1:
        return tuple(_first_of(row, (0,)) for row in rows)
    column = _fullest(rows[first : first + _SAMPLE])
    has_heading = not any(character.isdigit() for character in _first_of(rows[first], (column,)))
    return tuple("" if number == first and has_heading else _one_of(row, column) for number, row in enumerate(rows))


def _first_of(row: Sequence[str], columns: Iterable[int]) -> str:
    """The first cell of these columns that is not empty."""
    return next((text for column in columns if column < len(row) and (text := plain(row[column].strip()))), "")


def _one_of(row: Sequence[str], column: int) -> str:
    """The cell of this column; a row that names several SIMs is given whole, to be refused as such and not cut."""
    kinds = Counter(read.kind for cell in row if not isinstance(read := read_line(plain(cell.strip())), Unreadable))
    if any(kinds[kind] > 1 for kind in (IdentifierKind.ICCID, IdentifierKind.EID)):
        return ", ".join(cell.strip() for cell in row)
    return _first_of(row, (column,))


def _fullest(rows: Sequence[Sequence[str]]) -> int:
    """The column that holds the most identifiers, the first of equals."""
    readable: Counter[int] = Counter({0: 0})
    for row in rows:
        for column, cell in enumerate(row):
            text = plain(cell.strip())
            if text and not isinstance(read_line(text), Unreadable):
                readable[column] += 1
    return max(sorted(readable), key=lambda column: readable[column])


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content[:4096]:
        raise RequestRefused(
            "FILE_NOT_A_LIST",
            f"The file {path} is neither text nor a workbook.",
            "Name a text or CSV file with one identifier a line, or an .xlsx workbook.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")  # what Excel calls CSV in western countries


def _table(text: str) -> list[list[str]]:
    """The text as rows of cells; one row for each line, also where a quoted cell holds several of them."""
    sample = [line for line in text.splitlines()[:_SAMPLE] if line.strip()]
    counts = {delimiter: sum(delimiter in line for line in sample) for delimiter in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda one: counts[one])
    if not sample or counts[delimiter] < len(sample) / 2:
        return [[line] for line in text.splitlines()]
    rows: list[list[str]] = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in reader:
            rows.extend([""] for _ in range(reader.line_num - len(rows) - 1))
            rows.append(row)
    except csv.Error as error:
        raise RequestRefused(
            "FILE_NOT_A_LIST",
            f"The file cannot be read as CSV from line {reader.line_num} on: {error}.",
            "Save it again as CSV, or write one identifier a line.",
        ) from error
    return rows


def _sheet(path: Path) -> list[list[str]]:
    import python_calamine

    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        for name in workbook.sheet_names:
            rows = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if any(cell not in {"", None} for row in rows for cell in row):
                return [[_cell(cell) for cell in row] for row in rows]
    except (python_calamine.CalamineError, python_calamine.ZipError) as error:
        raise RequestRefused(
            "FILE_NOT_A_LIST",
            f"The file {path} cannot be read as a workbook ({error}).",
            "Open it in a spreadsheet and save it again, or save the list as CSV.",
        ) from error
    return []


def _cell(value: object) -> str:
    """A cell as text. A number of more digits than a spreadsheet keeps is shown as what it is: rounded."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.5E}"
    return "" if value is None else str(value)
