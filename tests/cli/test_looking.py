"""``jobs``, ``show``, ``device``, ``export`` and what steers jobs, on demo data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sqlalchemy import select

from db import finishing, outbox
from db.demo.cases import DemoJob, find_case
from db.schema import job
from desktop_app.association.result_csv import COLUMNS
from tests.cli.conftest import Program

PROOFS = [
    "device_found", "operator_permitted", "billing_service_created", "ownership_updated", "rate_plans_assigned",
    "history_recorded", "processing_completed",
]  # fmt: skip
COUNTS = [
    "total", "rejected", "queued", "running", "waiting_retry", "outcome_unknown", "succeeded", "failed", "cancelled",
]  # fmt: skip


def number_of(program: Program, state: str) -> str:
    """Tracking number of a job in this state."""
    jobs = program("jobs", "--json").json["jobs"]
    return str(next(job["tracking_number"] for job in jobs if job["state"] == state))


def test_jobs_are_listed_and_filtered(demo: Program) -> None:
    everything = demo("jobs", "--json").json["jobs"]
    assert len(everything) > 10
    assert list(everything[0]["counts"]) == COUNTS
    attention = demo("jobs", "--only", "attention", "--json").json["jobs"]
    assert attention == [job for job in everything if job["needs_attention"]]
    shown = demo("jobs", "--limit", 3).out.splitlines()
    assert len(shown) == 4
    assert everything[0]["tracking_number"] in shown[1]
    assert "no such jobs" in demo("jobs", "--search", "nobody").out


def test_show_has_the_keys_that_others_read(demo: Program) -> None:
    number = number_of(demo, "completed")
    result = demo("show", number, "--json")
    assert result.code == 0
    assert list(result.json) == ["tracking_number", "state", "run_no", "counts", "work_orders"]
    assert list(result.json["counts"]) == COUNTS
    assert result.json["counts"]["total"] == len(result.json["work_orders"])
    for order in result.json["work_orders"]:
        assert list(order) == ["iccid", "state", "proofs", "steps", "error"]
        assert list(order["proofs"]) == PROOFS
        assert order["proofs"]["processing_completed"] == "yes"
        assert order["error"] is None
        assert order["steps"]


def test_show_tells_errors_and_ends_with_1(demo: Program) -> None:
    number = number_of(demo, "failed")
    result = demo("show", number.lower(), "--json")
    assert result.code == 1
    errors = [order["error"] for order in result.json["work_orders"] if order["error"]]
    assert errors
    assert {tuple(error) for error in errors} == {("code", "message", "what_to_do")}
    for_people = demo("show", number)
    assert for_people.code == 1
    assert errors[0]["message"] in for_people.out
    assert "Proofs, in order" in for_people.out


def test_a_notification_that_nobody_took_is_told_and_sent_again(demo: Program) -> None:
    number = number_of(demo, "completed")
    assert "Notification" not in demo("show", number).out
    with demo.store as store, store.begin() as uow:
        job_id, run_no = uow.connection.execute(
            select(job.c.id, job.c.run_no).where(job.c.tracking_number == number)
        ).one()
        finishing.add_event(uow, job_id, run_no, f"{number}/{run_no}", {})
        (event,) = outbox.claim_due_events(uow, uow.now())
        outbox.mark_not_sent(uow, event, "It answered 404.", None)
        uow.commit()
    shown = " ".join(demo("show", number.lower()).out.split())
    assert f"{number} completed (not announced)" in shown
    assert "Notification tries: 1; it is not sent any more (It answered 404); notify-again sends it again" in shown
    listed = demo("jobs", "--only", "attention", "--search", number)
    assert "completed (not announced) !" in listed.out
    assert [job["not_announced"] for job in demo("jobs", "--search", number, "--json").json["jobs"]] == [True]

    again = demo("notify-again", number.lower(), "--json")
    assert again.code == 0
    assert again.json == {"tracking_number": number, "state": "completed", "not_announced": False}
    assert "Notification" not in demo("show", number).out
    refused = demo("notify-again", number, "--json")
    assert (refused.code, refused.error["code"]) == (2, "NOTIFICATION_NOT_DEAD")
    assert demo("jobs", "--only", "attention", "--search", number, "--json").json["jobs"] == []


def test_show_of_some_states_alone(demo: Program) -> None:
    number = number_of(demo, "failed")
    rejected = demo("show", number, "--state", "rejected", "--json").json["work_orders"]
    assert {order["state"] for order in rejected} <= {"rejected"}


def test_device_with_everything_that_is_known(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        (iccid,) = find_case(uow, "service_kept", 1)
    record = demo("device", iccid, "--json").json
    assert record["device"]["iccid"] == iccid
    assert [one for one in record["ownerships"] if one["state"] == "active"]
    assert record["billing_services"]
    assert record["history"]
    shown = demo("device", iccid).out
    for heading in ("Owners", "Billing services", "History"):
        assert f"\n{heading}\n" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "AJ-20260101-9999"], "JOB_NOT_FOUND"),
        (["export", "AJ-20260101-9999", "-o", "x.csv"], "JOB_NOT_FOUND"),
        (["pause", "AJ-20260101-9999"], "JOB_NOT_FOUND"),
        (["retry", "AJ-20260101-9999"], "JOB_NOT_FOUND"),
        (["notify-again", "AJ-20260101-9999"], "JOB_NOT_FOUND"),
        (["device", "89999990000000000003"], "DEVICE_NOT_FOUND"),
        (["device", "8.90126E+18"], "ROUNDED_BY_SPREADSHEET"),
        (["resolve", "AJ-20260101-9999", "89999990000000000003"], "RESOLVE_HOW"),
        (["resolve", "AJ-20260101-9999", "89999990000000000003", "--absent", "--exists", "1"], "RESOLVE_HOW"),
        (["resolve", "AJ-20260101-9999", "89999990000000000003", "--absent"], "JOB_NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_said(demo: Program, arguments: list[str], code: str) -> None:
    result = demo(*arguments, "--json")
    assert (result.code, result.error["code"]) == (2, code)


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_export_is_written_and_read_back(demo: Program, tmp_path: Path, ending: str) -> None:
    number = number_of(demo, "completed")
    path = tmp_path / f"result{ending}"
    result = demo("export", number, "-o", path, "--json")
    assert result.code == 0
    assert result.json == {"tracking_number": number, "path": str(path), "rows": result.json["rows"]}
    total = demo("show", number, "--json").json["counts"]["total"]
    assert result.json["rows"] == total
    again = demo("check", "--devices", path, "--customer", "10482", "--json").json
    assert again["ready"] + again["warnings"] + again["blocked"] == total
    if ending == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            assert tuple(next(csv.reader(file))) == COLUMNS


def test_export_to_what_cannot_be(demo: Program, tmp_path: Path) -> None:
    number = number_of(demo, "completed")
    assert demo("export", number, "-o", tmp_path / "x.doc", "--json").error["code"] == "EXPORT_KIND_UNKNOWN"
    assert demo("export", number, "-o", tmp_path / "no" / "x.csv", "--json").error["code"] == "FOLDER_NOT_FOUND"


def test_pause_resume_cancel(listed: tuple[Program, Path, DemoJob]) -> None:
    program, path, job = listed
    number = program("associate", "--devices", path, "--customer", job.customer, "--json").json["tracking_number"]
    assert program("pause", number, "--json").json == {"tracking_number": number, "state": "paused"}
    assert program("pause", number, "--json").error["code"] == "NOT_PAUSED"
    assert program("resume", number, "--json").json == {"tracking_number": number, "state": "queued"}
    assert program("resume", number, "--json").error["code"] == "NOT_RESUMED"
    cancelled = program("cancel", number)
    assert cancelled.code == 0
    assert number in cancelled.out
    assert program("show", number, "--json").json["counts"]["cancelled"] == 36
    assert program("cancel", number, "--json").error["code"] == "NOT_CANCELLED"


def test_nobody_steers_without_the_right(demo: Program) -> None:
    for command, state in {"pause": "paused", "resume": "paused", "cancel": "paused", "retry": "failed"}.items():
        number = number_of(demo, state)
        result = demo(command, number, "--operator", "viewer", "--json")
        assert (command, result.code, result.error["code"]) == (command, 2, "NOT_PERMITTED")
