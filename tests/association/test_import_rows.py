"""Rows of existing data, judged by what stands in them alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from desktop_app.association import import_values as values
from desktop_app.association.check_digits import luhn_check_digit
from desktop_app.association.import_faults import FAULTS, database_fault
from desktop_app.association.import_rows import COLUMNS, KEYS, RowReader
from desktop_app.association.import_values import WrongValue
from desktop_app.association.model import ImportTable

SHORT = "890126000000000900"
ICCID = SHORT + luhn_check_digit(SHORT)


@pytest.mark.parametrize(
    ("read", "cell", "value"),
    [
        (values.flag, "Yes", True),
        (values.flag, "0", False),
        (values.day, "2026-11-24", date(2026, 11, 24)),
        (values.day, "2026-11-24 08:00:00.000", date(2026, 11, 24)),
        (values.day, "2026/1/2", date(2026, 1, 2)),
        (values.day, "24.11.2026", date(2026, 11, 24)),
        (values.whole(1, 28), "28", 28),
        (values.whole(0, 2**63 - 1), "5000000000.0", 5_000_000_000),
        (values.choice("test_ready", "active"), "Test Ready", "test_ready"),
        (values.text(3), "Äé", "Äé"),
        (values.key(40), "00-1/a", "00-1/a"),
        (values.imei, "49-015420-323751-8", "490154203237518"),
        (values.msisdn, "+1 274 555 0005", "12745550005"),
        (values.msisdn, "12745550005", "12745550005"),
        (values.eid, "8904 9032 0000 0100 0000 0012 3456 7801", "89049032000001000000001234567801"),
        (values.iccid, f"{ICCID}F", (ICCID, SHORT, ICCID + luhn_check_digit(ICCID))),
    ],
)
def test_values_are_read(read: Any, cell: str, value: object) -> None:
    assert read(cell) == value


@pytest.mark.parametrize(
    ("read", "cell", "code"),
    [
        (values.flag, "maybe", "FLAG_UNREADABLE"),
        (values.day, "11/24/2026", "DATE_UNREADABLE"),
        (values.day, "2026-02-30", "DATE_UNREADABLE"),
        (values.day, "0001-01-01", "DATE_UNREADABLE"),
        (values.whole(1, 28), "29", "NUMBER_UNREADABLE"),
        (values.whole(0, 9), "-1", "NUMBER_UNREADABLE"),
        (values.whole(0, 9), "²", "NUMBER_UNREADABLE"),
        (values.choice("active"), "lost", "VALUE_UNKNOWN"),
        (values.text(3), "four", "TEXT_TOO_LONG"),
        (values.text(3), "\x00", "TEXT_UNREADABLE"),
        (values.key(40), "a\nb", "CODE_UNREADABLE"),
        (values.key(40), "1.04E+15", "ROUNDED_BY_SPREADSHEET"),
        (values.imei, "123", "IMEI_UNREADABLE"),
        (values.msisdn, "12", "MSISDN_IMPOSSIBLE"),
        (values.eid, "1", "EID_UNREADABLE"),
        (values.iccid, "12745550005", "ICCID_UNREADABLE"),
        (values.iccid, "8901260000000000000", "ROUNDED_BY_SPREADSHEET"),
        (values.mapping, "{", "MAPPING_UNREADABLE"),
        (values.mapping, "[]", "MAPPING_UNREADABLE"),
        (values.mapping, '{"password": "x"}', "MAPPING_UNREADABLE"),
        (values.mapping, '{"providers": {"N": {"login": "x"}}}', "MAPPING_UNREADABLE"),
        (values.mapping, '{"version": 2}', "MAPPING_UNREADABLE"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_do(read: Any, cell: str, code: str) -> None:
    with pytest.raises(WrongValue) as wrong:
        read(cell)
    found, message, what_to_do = wrong.value.args
    assert found == code
    assert message.endswith(".")
    assert what_to_do.endswith(".")


def test_a_plan_belongs_to_its_provider_by_its_kind() -> None:
    reader = RowReader(ImportTable.RATE_PLANS, ["Kind", "code", "service provider"])
    assert reader.read(2, ["carrier", "A", "N"]) == ("carrier", "N", "A")
    for line, row, code in (
        (3, ["carrier", "B", ""], "VALUE_MISSING"),
        (4, ["customer", "C", "N"], "VALUE_OUT_OF_PLACE"),
    ):
        (fault,) = reader.read(line, row)
        assert (fault.line, fault.column, fault.code) == (line, "service_provider", code)


def test_short_rows_have_empty_cells_and_needed_ones_are_missed() -> None:
    reader = RowReader(ImportTable.CUSTOMERS, ["account_number", "name", "tag"])
    assert reader.read(2, ["1", "Straße"]) == ("1", "Straße", None, "strasse")
    (fault,) = reader.read(3, ["", "x", "y"])
    assert (fault.column, fault.code) == ("account_number", "VALUE_MISSING")


def test_every_fault_of_the_database_is_about_a_column_and_says_what_to_do() -> None:
    known = {column.name for columns in COLUMNS.values() for column in columns}
    for code, (column, message, what_to_do) in FAULTS.items():
        fault = database_fault(7, code, "somebody", lambda name: f"<{name}>")
        assert column in known or column == "", code
        assert fault.value == (f"<{column}>" if column else "")
        assert "{" not in fault.message
        assert message
        assert what_to_do.endswith(".")
    for table, names in KEYS.items():
        assert set(names) <= {column.name for column in COLUMNS[table]}
