"""The result of a job as a table: one row for each device that was asked for, with its seven proofs.

As CSV it follows RFC 4180 and is UTF-8 with a byte order mark, so that spreadsheets read it right. Its columns, their
names and their order are fixed: other programs read this file. It can be fed back to a request: see
:func:`identifier_columns` and :func:`plain`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import TextIO

from desktop_app.association.model import Finding, Proof
from desktop_app.association.states import WorkOrderState

#: Characters that make a spreadsheet run a cell as a formula when they come first.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
#: Put before such a cell; spreadsheets show the cell as text, and :func:`plain` takes it off again.
_DEFUSE = "'"

#: What a file of devices may call its column, the surest first.
IDENTIFIER_COLUMNS: tuple[str, ...] = ("iccid", "eid", "imei", "msisdn", "identifier", "device", "sim", "asked_for")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One device of a job. The fields are the columns, in their order.

    Identifiers are texts of digits; ``msisdn`` is E.164 without the plus, which a spreadsheet would take for a formula.
    ``effective_date`` is a calendar date in the business time zone, the instants are UTC.
    """

    tracking_number: str
    line: int
    asked_for: str
    iccid: str
    imei: str
    msisdn: str
    service_provider: str
    customer: str
    account_number: str
    site: str
    state: WorkOrderState
    device_found: Proof
    operator_permitted: Proof
    billing_service_created: Proof
    ownership_updated: Proof
    rate_plans_assigned: Proof
    history_recorded: Proof
    processing_completed: Proof
    billing_service_id: str
    effective_date: date | None
    attempts: int
    error_code: str
    error_message: str
    what_to_do: str
    started_at: datetime | None
    completed_at: datetime | None
    eid: str
    carrier_rate_plan: str
    customer_rate_plan: str
    operator: str
    reason: str
    billing_answer: str


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ResultRow))
_values = attrgetter(*COLUMNS)


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return _DEFUSE + text if text.startswith(_FORMULA_STARTS) else text


def plain(cell: str) -> str:
    """What was defused, as it was before; any other cell as it is."""
    return cell[1:] if cell.startswith(_DEFUSE) and cell[1:].startswith(_FORMULA_STARTS) else cell


def cells(row: ResultRow) -> tuple[str | int, ...]:
    """The row's cells: whole numbers as numbers, all else as text that is safe in a spreadsheet."""
    return tuple([value if isinstance(value, int) else defused(as_text(value)) for value in _values(row)])


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str | int]], out: TextIO) -> int:
    """Writes header and rows.

    Args:
        rows: cells that are safe in a spreadsheet; see :func:`cells`.
        out: opened with ``newline=""`` and the encoding ``utf-8-sig``, which writes the byte order mark.

    Returns:
        The number of rows, without the header.
    """
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    return count


#: The columns of a check's findings as a table.
FINDING_COLUMNS: tuple[str, ...] = ("line", "asked_for", "iccid", "code", "severity", "message", "what_to_do")


def write_findings_csv(findings: Iterable[Finding], out: TextIO) -> int:
    """Writes a check's findings, one a row; ``out`` as for :func:`write_csv`. Returns the number of rows."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(FINDING_COLUMNS)
    count = 0
    for finding in findings:
        texts = (getattr(finding, name) for name in FINDING_COLUMNS[1:])
        writer.writerow([finding.line, *(defused(as_text(text)) for text in texts)])
        count += 1
    return count


def identifier_columns(header: Sequence[str]) -> tuple[int, ...]:
    """Which columns of a table hold its devices' identifiers, by its header; empty: the header names none.

    The first of them that is not empty in a row is that row's identifier. So a result's row is read back by its ICCID,
    and by what was asked for where no device was found.
    """
    names = [name.strip().lstrip("\ufeff").strip().casefold().replace(" ", "_").replace("-", "_") for name in header]
    return tuple(names.index(name) for name in IDENTIFIER_COLUMNS if name in names)


def as_text(value: object) -> str:
    """A value as it stands in a cell: nothing for None, an instant in UTC."""
    if isinstance(value, str):  # an Enum of texts too: it is its value
        return str(value)
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)
