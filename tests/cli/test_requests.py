"""``check`` and ``associate``: what goes in, what comes out, how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.demo.cases import DemoJob, find_case
from tests.cli.conftest import Program

Listed = tuple[Program, Path, DemoJob]


def plans(job: DemoJob) -> list[str]:
    """The flags for everything that the demo job asks for."""
    carrier = [f"--carrier-rate-plan={one.service_provider}={one.plan}" for one in job.carrier_rate_plans]
    return ["--create-billing-service", *carrier, f"--customer-rate-plan={job.customer_rate_plan}"]


def test_check_says_of_every_device_what_it_is(listed: Listed) -> None:
    program, path, job = listed
    result = program("check", "--devices", path, "--customer", job.customer, *plans(job), "--json")
    assert result.code == 1
    answer = result.json
    assert list(answer) == ["ready", "warnings", "blocked", "fingerprint", "findings"]
    assert answer["ready"] + answer["warnings"] + answer["blocked"] == 40
    assert answer["blocked"] == job.blocked == 4
    assert {tuple(finding) for finding in answer["findings"]} == {
        ("line", "asked_for", "iccid", "code", "severity", "message", "what_to_do")
    }
    assert {finding["severity"] for finding in answer["findings"]} <= {"blocked", "warning"}
    assert all(path.read_text().splitlines()[one["line"] - 1] == one["asked_for"] for one in answer["findings"])


def test_check_for_people_groups_causes_and_names_lines(listed: Listed) -> None:
    program, path, job = listed
    result = program("check", "--devices", path, "--customer", job.customer, *plans(job))
    assert result.code == 1
    assert "40 devices: " in result.out
    assert "4 blocked" in result.out
    assert "lines " in result.out


def test_check_of_ready_devices_ends_with_0_and_changes_nothing(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        lines = find_case(uow, "ready", 5)
    before = demo("jobs", "--json").json
    result = demo("check", "--devices", "-", "--customer", "10482", "--json", stdin="\n".join(lines).encode())
    assert (result.code, result.json["ready"], result.json["findings"]) == (0, 5, [])
    assert demo("jobs", "--json").json == before


def test_associate_submits_what_the_check_shows(listed: Listed) -> None:
    program, path, job = listed
    result = program(
        "associate", "--devices", path, "--customer", job.customer, *plans(job), "--reason", "why", "--json"
    )
    assert result.code == 1  # some were rejected
    assert list(result.json) == ["tracking_number", "submitted", "rejected", "state"]
    assert (result.json["submitted"], result.json["rejected"], result.json["state"]) == (36, 4, "queued")
    shown = program("show", result.json["tracking_number"], "--json").json
    assert shown["counts"]["queued"] == 36
    assert len(shown["work_orders"]) == 40


def test_associate_says_how_to_go_on(listed: Listed) -> None:
    program, path, job = listed
    result = program("associate", "--devices", path, "--customer", job.customer)
    assert "36 devices submitted, 4 rejected" in result.out
    assert "work" in result.out


def test_same_submission_key_makes_one_job(listed: Listed) -> None:
    program, path, job = listed
    call = ("associate", "--devices", path, "--customer", job.customer, "--submission-key", "once", "--json")
    first = program(*call).json
    again = program("associate", "--devices", "-", "--customer", job.customer, "--submission-key", "once", "--json",
                    stdin=path.read_bytes())  # fmt: skip
    assert again.json["tracking_number"] == first["tracking_number"]
    assert sum(one["counts"]["total"] == 40 for one in program("jobs", "--json").json["jobs"]) == 1


def test_customer_by_name_and_site_and_provider(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        lines = find_case(uow, "on_two_providers", 1)
    both = demo("check", "--devices", "-", "--customer", "Larkmoor Fleet Ltd", "--json", stdin=lines[0].encode())
    assert [finding["code"] for finding in both.json["findings"]] == ["AMBIGUOUS"]
    on_one = demo(
        "check", "--devices", "-", "--customer", "larkmoor fleet ltd", "--site", "Head office",
        "--service-provider", "NORTHSTAR", "--json", stdin=lines[0].encode(),
    )  # fmt: skip
    assert "AMBIGUOUS" not in [finding["code"] for finding in on_one.json["findings"]]


REFUSED = [
    (["--devices", "-"], b"", "NO_DEVICES", "ICCID"),
    (["--devices", "-"], b"rubbish\n", "NOT_DIGITS", "line 1"),
    (["--devices", "-"], b"8988303000000012345\n8.90126E+18\n", "ROUNDED_BY_SPREADSHEET", "line 2"),
    (["--devices", "missing.csv"], b"", "FILE_NOT_FOUND", "missing.csv"),
    (["--devices", "-", "--customer", "Larkmor Fleet Ltd"], b"8988303000000012345", None, "Larkmoor Fleet Ltd"),
    (["--devices", "-", "--site", "Nowhere"], b"8988303000000012345", None, "MAIN"),
    (["--devices", "-", "--service-provider", "NORTHSTR"], b"8988303000000012345", None, "NORTHSTAR"),
    (["--devices", "-", "--carrier-rate-plan", "NORTHSTAR=NONE"], b"8988303000000012345", None, "NONE"),
    (["--devices", "-", "--customer-rate-plan", "NONE"], b"8988303000000012345", None, "NONE"),
    (["--devices", "-", "--effective-date", "31.02.2026"], b"8988303000000012345", "DATE_INVALID", "2026-11-24"),
    (["--devices", "-", "--effective-date", "2026-02-31"], b"8988303000000012345", "DATE_INVALID", "2026-02-31"),
    (["--devices", "-", "--reason", "x" * 401], b"8988303000000012345", "REASON_TOO_LONG", "400"),
]


@pytest.mark.parametrize("command", ["check", "associate"])
@pytest.mark.parametrize(("flags", "stdin", "code", "said"), REFUSED)
def test_wrong_input_is_refused_with_what_and_what_to_do(
    demo: Program, command: str, flags: list[str], stdin: bytes, code: str | None, said: str
) -> None:
    before = demo("jobs", "--json").out
    customer = [] if "--customer" in flags else ["--customer", "10482"]
    result = demo(command, *flags, *customer, "--json", stdin=stdin)
    assert result.code == 2
    assert code is None or result.error["code"] == code
    assert said in result.error["message"] + result.error["what_to_do"]
    assert demo("jobs", "--json").out == before
    for_people = demo(command, *flags, *customer, stdin=stdin)
    assert (for_people.code, for_people.out) == (2, "")
    assert for_people.err.startswith("Error: ")
    assert len(for_people.err.splitlines()) == 2


def test_request_that_is_blocked_as_a_whole_is_refused(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        lines = find_case(uow, "ready", 2)
    stdin = "\n".join(lines).encode()
    check = demo("check", "--devices", "-", "--customer", "10482", "--operator", "viewer", "--json", stdin=stdin)
    assert check.code == 2
    assert check.json["findings"][0]["code"] == "NOT_PERMITTED"
    assert check.json["blocked"] == 2
    submit = demo("associate", "--devices", "-", "--customer", "10482", "--operator", "viewer", "--json", stdin=stdin)
    assert (submit.code, submit.error["code"]) == (2, "NOT_PERMITTED")
    for_people = demo("check", "--devices", "-", "--customer", "10482", "--operator", "viewer", stdin=stdin).out
    assert for_people.count("blocked  ") == 1, "the cause is said once"
    assert "(lines )" not in for_people


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--customer", "1"], "--devices"),
        (["check", "--devices", "-", "--customer", "1", "--colour", "red"], "--colour"),
        (["chek"], "chek"),
        (["show"], "TRACKING"),
        (["jobs", "--limit", "many"], "--limit"),
    ],
)
def test_what_cannot_be_understood_ends_with_2(program: Program, arguments: list[str], said: str) -> None:
    result = program(*arguments)
    assert result.code == 2
    assert said in result.err
    assert "--help" in result.err
    as_json = program(*arguments, "--json")
    assert as_json.code == 2
    assert said in as_json.error["message"]
