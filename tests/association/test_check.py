"""The check as a whole: counts, groups, duplicates, fingerprint."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from desktop_app.association.check import check, refuse_blocked, refuse_blocked_request
from desktop_app.association.errors import Cancelled, RequestRefused
from desktop_app.association.facts import AskedDevice
from desktop_app.association.model import Identifier, IdentifierKind, Severity, unpack
from tests.helpers.facts import (
    CARRIER_PLAN,
    CUSTOMER_FACTS,
    CUSTOMER_PLAN,
    DEPOT,
    HARBOR,
    ICCID,
    NORTHSTAR,
    PROVIDERS,
    SITES,
    a_billed_request,
    a_device,
    a_request,
    asked,
    own,
    owned,
    service,
)

REQUEST = a_request(effective_date=date(2026, 11, 24))
READY = a_device(device_id=1)
WARNED = own(device_id=2, owner_site_id=DEPOT)
BLOCKED = owned(device_id=3)
GONE = a_device(device_id=4, is_deleted=True)


def test_counts_and_handles() -> None:
    report = check(REQUEST, [asked(READY, line=1), asked(WARNED, line=2), asked(BLOCKED, line=3), asked(line=4)]).report
    assert (report.ready, report.warnings, report.blocked, report.submittable) == (1, 1, 2, 2)
    assert list(unpack(report.ready_ids)) == [1]
    assert list(unpack(report.warning_ids)) == [2]
    assert list(unpack(report.blocked_ids)) == [3]
    assert [(f.line, f.code, f.device_id) for f in report.findings] == [
        (2, "MOVES_SITE", 2),
        (3, "OWNED_BY_ANOTHER", 3),
        (4, "NOT_FOUND", None),
    ]


def test_a_device_with_a_warning_and_a_block_counts_as_blocked_once() -> None:
    device = own(device_id=9, owner_site_id=DEPOT, is_deleted=True)
    report = check(REQUEST, [asked(device)]).report
    assert (report.ready, report.warnings, report.blocked) == (0, 0, 1)
    assert [finding.code for finding in report.findings] == ["DELETED", "MOVES_SITE"]


def test_groups_put_what_blocks_first_then_what_is_many() -> None:
    devices = [GONE, BLOCKED, BLOCKED._replace(device_id=30), WARNED]
    report = check(REQUEST, [asked(device, line=line) for line, device in enumerate(devices, 1)]).report
    assert [(g.code, g.severity, g.count, g.lines) for g in report.groups] == [
        ("OWNED_BY_ANOTHER", Severity.BLOCKED, 2, (2, 3)),
        ("DELETED", Severity.BLOCKED, 1, (1,)),
        ("MOVES_SITE", Severity.WARNING, 1, (4,)),
    ]
    assert unpack(report.groups[0].packed) == array("q", [3, 30])


def test_a_finding_on_the_request_blocks_every_device_and_comes_first() -> None:
    request = replace(REQUEST, site=None)
    outcome = check(request, [asked(READY), asked(GONE, line=2), asked(BLOCKED, line=3)])
    report = outcome.report
    assert (report.ready, report.warnings, report.blocked) == (0, 0, 3)
    assert report.request_blocked
    assert [(group.code, group.count) for group in report.groups] == [
        ("SITE_MISSING", 1), ("DELETED", 1), ("OWNED_BY_ANOTHER", 1),
    ]  # fmt: skip
    for refuse in (lambda: refuse_blocked(report), lambda: refuse_blocked_request(request)):
        with pytest.raises(RequestRefused) as refused:
            refuse()
        assert refused.value.code == "SITE_MISSING"
    refuse_blocked(check(REQUEST, [asked(BLOCKED)]).report)  # blocked devices do not refuse the request


def test_several_findings_on_the_request_are_told_together() -> None:
    request = replace(REQUEST, site=None, customer=replace(CUSTOMER_FACTS, is_active=False))
    with pytest.raises(RequestRefused) as refused:
        refuse_blocked_request(request)
    assert refused.value.code == "CUSTOMER_INACTIVE"
    assert "is not active" in refused.value.message
    assert "no default site" in refused.value.message


def test_the_same_device_under_two_identifiers_is_one_device() -> None:
    by_imei = Identifier(IdentifierKind.IMEI, "35500000000001")
    outcome = check(
        REQUEST,
        [asked(READY, line=1), asked(READY, line=2, identifier=by_imei), asked(GONE, line=3), asked(GONE, line=5)],
        duplicates=[(4, 1)],
    )
    assert [verdict.line for verdict in outcome.verdicts] == [1, 3]
    assert outcome.report.duplicates == 3
    assert (outcome.report.ready, outcome.report.blocked) == (1, 1)


def test_unknown_lines_are_not_merged() -> None:
    other = Identifier(IdentifierKind.ICCID, "8901260000000000000")
    assert check(REQUEST, [asked(line=1), asked(line=2, identifier=other)]).report.blocked == 2


def test_no_device_is_an_empty_report() -> None:
    report = check(REQUEST, []).report
    assert (report.ready, report.warnings, report.blocked, report.findings) == (0, 0, 0, ())


def test_it_can_be_cancelled() -> None:
    answers = iter([False, True])
    with pytest.raises(Cancelled):
        check(REQUEST, (asked(a_device(device_id=n), line=n) for n in range(1, 20_000)), (), lambda: next(answers))


# --- fingerprint -----------------------------------------------------------------------------------------------------


def fingerprint(*devices: AskedDevice, **changes: Any) -> str:
    return check(replace(REQUEST, **changes), devices or [asked(READY), asked(BLOCKED, line=2)]).report.fingerprint


def test_the_fingerprint_does_not_depend_on_what_changes_nothing() -> None:
    assert len(fingerprint()) == 64
    assert fingerprint() == fingerprint(asked(BLOCKED, line=7), asked(READY, line=3))
    assert fingerprint() == fingerprint(reason="because")
    assert fingerprint() == fingerprint(asked(READY), asked(READY, line=5), asked(BLOCKED, line=2))
    known = a_device(device_id=1, imei="1", carrier_rate_plan_id=7)  # facts that no verdict rests on
    assert fingerprint() == fingerprint(asked(known), asked(BLOCKED, line=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"site": SITES[DEPOT]},
        {"customer": replace(CUSTOMER_FACTS, customer_id=77)},
        {"service_provider": PROVIDERS[NORTHSTAR]},
        {"effective_date": date(2026, 11, 25)},
        {"effective_date": None},
        {"reassign": True},
        {"create_billing_service": True, "credential": a_billed_request().credential},
        {"carrier_rate_plans": {NORTHSTAR: CARRIER_PLAN}},
        {"customer_rate_plan": CUSTOMER_PLAN},
    ],
)
def test_the_fingerprint_tells_requests_apart(changes: dict[str, Any]) -> None:
    assert fingerprint(**changes) != fingerprint()


@pytest.mark.parametrize(
    "devices",
    [
        [asked(READY)],
        [asked(READY), asked(GONE, line=2)],
        [asked(READY), asked(line=2)],
        [asked(READY), asked(owned(device_id=3, is_archived=True), line=2)],
        [asked(READY), asked(owned(device_id=3, owner_id=12), line=2)],
        [asked(own(device_id=1)), asked(BLOCKED, line=2)],
        [asked(a_device(device_id=1, service_provider_id=HARBOR, scheduled_from=date(2027, 1, 1))), asked(BLOCKED)],
    ],
)
def test_the_fingerprint_tells_verdicts_apart(devices: list[AskedDevice]) -> None:
    assert fingerprint(*devices) != fingerprint()


def test_the_fingerprint_tells_kept_services_apart() -> None:
    one, other = (
        check(a_billed_request(), [asked(own(services=(service(number),)))]).report.fingerprint for number in (1, 2)
    )
    assert one != other


def test_the_fingerprint_tells_unknown_lines_apart() -> None:
    other = Identifier(IdentifierKind.ICCID, f"{ICCID}8")
    assert fingerprint(asked()) != fingerprint(asked(identifier=other))


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    code = "from tests.association.test_check import fingerprint\nprint(fingerprint())"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == fingerprint()
