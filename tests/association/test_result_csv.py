"""The result as a table: columns, characters, formulas, and that it can be fed back."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_app.association.model import Finding, Proof, Severity
from desktop_app.association.result_csv import (
    COLUMNS,
    ResultRow,
    cells,
    defused,
    identifier_columns,
    plain,
    write_csv,
    write_findings_csv,
)
from desktop_app.association.states import WorkOrderState

SPECIFIED = (
    "tracking_number, line, asked_for, iccid, imei, msisdn, service_provider, customer, account_number, site, state, "
    "device_found, operator_permitted, billing_service_created, ownership_updated, rate_plans_assigned, "
    "history_recorded, processing_completed, billing_service_id, effective_date, attempts, error_code, "
    "error_message, what_to_do, started_at, completed_at, eid, carrier_rate_plan, customer_rate_plan, operator, "
    "reason, billing_answer"
)


def a_row(**values: object) -> ResultRow:
    texts = {field.name: "" for field in fields(ResultRow)}
    proofs = dict.fromkeys(COLUMNS[11:18], Proof.YES)
    usual = {
        **texts, **proofs, "line": 7, "attempts": 2, "state": WorkOrderState.SUCCEEDED,
        "effective_date": date(2026, 11, 24), "started_at": datetime(2026, 11, 24, 9, 5, 7, 123456, UTC),
        "completed_at": None,
    }  # fmt: skip
    return ResultRow(**{**usual, **values})  # type: ignore[arg-type]


def test_columns_are_the_specified_ones_in_their_order() -> None:
    assert ", ".join(COLUMNS) == SPECIFIED


def test_file_is_rfc_4180() -> None:
    out = io.StringIO(newline="")
    assert write_csv(COLUMNS, [cells(a_row(customer='Said "so", Ltd', billing_answer="two\nlines"))], out) == 1
    heading, row, end = out.getvalue().split("\r\n")
    assert heading == ",".join(COLUMNS)
    assert '"Said ""so"", Ltd"' in row
    assert '"two\nlines"' in row
    assert end == ""


def test_values_are_written_as_other_programs_read_them() -> None:
    row = dict(zip(COLUMNS, cells(a_row(service_provider="NORTHSTAR", device_found=Proof.NOT_REQUESTED)), strict=True))
    assert row["line"] == 7
    assert row["attempts"] == 2
    assert row["state"] == "succeeded"
    assert row["effective_date"] == "2026-11-24"
    assert row["started_at"] == "2026-11-24T09:05:07Z"
    assert row["completed_at"] == ""
    assert row["device_found"] == "not requested"
    assert all(type(cell) in {str, int} for cell in row.values())


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_defused(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    (reason,) = (cell for name, cell in zip(COLUMNS, cells(a_row(reason=text)), strict=True) if name == "reason")
    assert reason == f"'{text}"
    assert plain(str(reason)) == text


@given(st.text())
def test_what_was_defused_is_read_back_as_it_was(text: str) -> None:
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    if not text.startswith("'"):
        assert plain(defused(text)) == text


def test_own_columns_are_found_by_the_heading() -> None:
    assert [COLUMNS[column] for column in identifier_columns(COLUMNS)] == [
        "iccid",
        "eid",
        "imei",
        "msisdn",
        "asked_for",
    ]
    assert identifier_columns(["\ufeff ICCID ", "Name"]) == (0,)
    assert identifier_columns(["Name", "Device"]) == (1,)
    assert identifier_columns(["8988303000000012345"]) == ()


def test_findings_of_a_check() -> None:
    finding = Finding(3, "+49170", "", "NOT_FOUND", Severity.BLOCKED, "No device.", "=compare", None)
    out = io.StringIO(newline="")
    assert write_findings_csv([finding], out) == 1
    heading, row = csv.reader(io.StringIO(out.getvalue()))
    assert heading == ["line", "asked_for", "iccid", "code", "severity", "message", "what_to_do"]
    assert row == ["3", "'+49170", "", "NOT_FOUND", "blocked", "No device.", "'=compare"]
