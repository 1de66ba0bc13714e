"""From the request to the job, on real databases: check, submit, what may race, who may do it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db.schema import (
    audit_entry,
    customer,
    device,
    installation_setting,
    job,
    job_log,
    operator,
    operator_grant,
    work_order,
)
from db.submission import Submission
from desktop_app.association.errors import Cancelled, NotFound, RequestRefused
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
    CheckReport,
    DeviceFilter,
    DeviceSelection,
    FilteredDevices,
    PickedDevices,
    Submitted,
    pack,
)
from desktop_app.association.work_orders import Instructions, build
from desktop_app.desk.requests import check_request, locate_lines, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.databases import Databases
from tests.helpers.stores import fresh_store
from tests.helpers.world import (
    CREDENTIAL,
    CUSTOMER_PLAN,
    FABRIKAM,
    HARBOR,
    HEAD_OFFICE,
    NORTHSTAR,
    NORTHWIND,
    NOW,
    TODAY,
    World,
)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def seat(world: World) -> Seat:
    return Seat(world.store, "admin")


def lines(*asked: str) -> AssociationRequest:
    return AssociationRequest(AskedLines(asked), "10482", effective_date=TODAY, reason="contract 7")


def request_for(world: World, *devices: int) -> AssociationRequest:
    return lines(*(world.iccid_of(key) for key in devices))


def submit(seat: Seat, request: AssociationRequest, key: str = "key-1") -> Submitted:
    return submit_request(seat, request, check_request(seat, request).fingerprint, key)


def counts(report: CheckReport) -> tuple[int, int, int]:
    return report.ready, report.warnings, report.blocked


# --- check -----------------------------------------------------------------------------------------------------------


def test_a_check_says_everything_at_once_and_changes_nothing(world: World, seat: Seat) -> None:
    ready, moves, theirs = world.device(), world.device(), world.device()
    world.own(moves, site_id=None)
    world.own(theirs, FABRIKAM)
    same = world.device(imei="490154203237518")
    request = lines(
        world.iccid_of(ready), world.iccid_of(moves), world.iccid_of(theirs), "8901260000000000001", "",
        "490154203237518", world.iccid_of(same), f"ICCID {world.iccid_of(same)}",
    )  # fmt: skip
    report = check_request(seat, request)
    assert counts(report) == (2, 1, 2)
    assert report.duplicates == 2
    assert [(finding.line, finding.code) for finding in report.findings] == [
        (2, "MOVES_SITE"), (3, "OWNED_BY_ANOTHER"), (4, "NOT_FOUND"),
    ]  # fmt: skip
    assert report.findings[1].message == "It belongs to Fabrikam Water."
    for table in (job, work_order, audit_entry, job_log):
        assert world.rows(table) == []


@pytest.mark.parametrize("by", ["lines", "picked", "filtered"])
def test_the_three_ways_to_choose_devices_say_the_same(world: World, seat: Seat, by: str) -> None:
    devices = [world.device() for _ in range(3)]
    left_out = world.device()
    gone = world.device(is_deleted=True)
    selections: dict[str, DeviceSelection] = {
        "lines": AskedLines(tuple(world.iccid_of(key) for key in devices)),
        "picked": PickedDevices(pack(devices)),
        "filtered": FilteredDevices(DeviceFilter(), pack([left_out])),
    }
    report = check_request(seat, replace(request_for(world, gone), devices=selections[by]))
    assert counts(report) == (3, 0, 0)
    assert report.fingerprint == check_request(seat, request_for(world, *devices)).fingerprint
    submitted = submit(seat, replace(request_for(world, gone), devices=selections[by]))
    assert submitted.submitted == 3
    assert [(row.line, row.asked_for, row.device_id) for row in world.rows(work_order)] == [
        (line, world.iccid_of(key), key) for line, key in enumerate(devices, 1)
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"devices": AskedLines(("8.90126E+18",))}, "ROUNDED_BY_SPREADSHEET"),
        ({"devices": AskedLines(("x", "8.90126E+18"))}, "LINES_UNREADABLE"),
        ({"devices": AskedLines(())}, "NO_DEVICES"),
        ({"devices": PickedDevices(b"")}, "NO_DEVICES"),
        ({"devices": FilteredDevices(DeviceFilter(text="nothing has this"))}, "NO_DEVICES"),
        ({"customer": "99999"}, "CUSTOMER_UNKNOWN"),
        ({"site": "nowhere"}, "SITE_UNKNOWN"),
        ({"service_provider": "NOBODY"}, "SERVICE_PROVIDER_UNKNOWN"),
        ({"carrier_rate_plans": (CarrierPlanChoice("IOT5"),)}, "CARRIER_PLAN_AMBIGUOUS"),
        ({"carrier_rate_plans": (CarrierPlanChoice("PACK5", "HARBOR"),)}, "CARRIER_PLAN_OF_ANOTHER_PROVIDER"),
        ({"customer_rate_plan": "FLEAT"}, "CUSTOMER_PLAN_UNKNOWN"),
        ({"reason": "x" * 401}, "REASON_TOO_LONG"),
    ],
)
def test_wrong_input_is_refused(world: World, seat: Seat, change: dict[str, Any], code: str) -> None:
    request = replace(request_for(world, world.device()), **change)
    with pytest.raises(RequestRefused) as refused:
        check_request(seat, request)
    assert refused.value.code == code
    with pytest.raises(RequestRefused) as refused:
        submit_request(seat, request, "f", "key-1")
    assert refused.value.code == code
    assert world.rows(job) == []


def test_a_check_can_be_cancelled(world: World, seat: Seat) -> None:
    request = request_for(world, world.device())
    with pytest.raises(Cancelled):
        check_request(seat, request, lambda: True)
    assert counts(check_request(seat, request)) == (1, 0, 0)


# --- submit ----------------------------------------------------------------------------------------------------------


def test_a_submit_registers_the_job_with_every_device_that_was_asked_for(world: World, seat: Seat) -> None:
    ready, theirs = world.device(carrier_rate_plan_id=41), world.device()
    world.own(theirs, FABRIKAM)
    request = replace(
        lines(world.iccid_of(ready), world.iccid_of(theirs), "+1 999 555 0001"),
        create_billing_service=True,
        carrier_rate_plans=(CarrierPlanChoice("IOT5", "NORTHSTAR"),),
        customer_rate_plan="FLEET",
    )
    submitted = submit(seat, request)
    assert submitted == Submitted("AJ-20261124-0001", 1, 2, "queued", True)

    (row,) = world.rows(job)
    assert (row.tracking_number, row.state, row.run_no, row.submission_key) == (
        "AJ-20261124-0001",
        "queued",
        1,
        "key-1",
    )
    assert (row.total, row.queued, row.rejected, row.failed, row.succeeded) == (3, 1, 2, 0, 0)
    assert (row.customer_id, row.site_id, row.account_number) == (NORTHWIND, HEAD_OFFICE, "10482")
    assert (row.billing_credential_id, row.customer_rate_plan_id) == (CREDENTIAL, CUSTOMER_PLAN)
    assert (row.data_limit_bytes, row.data_pool) == (5_000_000_000, "north")
    assert (row.operator_login, row.reason, row.submitted_at) == ("admin", "contract 7", NOW)
    frozen = Instructions.from_document(row.instructions)
    assert frozen.billing is not None
    assert frozen.billing.address_id == "700"
    assert frozen.carrier_rate_plans[NORTHSTAR].product_id == "101"

    first, second, third = world.rows(work_order, job_id=row.id)
    assert (first.line, first.state, first.device_id, first.iccid) == (1, "queued", ready, world.iccid_of(ready))
    assert (first.ownership_action, first.billing_action, first.carrier_rate_plan_id) == ("assign", "create", 40)
    assert first.reference == frozen.reference("AJ-20261124-0001", 1)
    assert first.before == {"carrier_rate_plan_id": 41, "ownership": None}
    assert (first.effective_date, first.attempts, first.error_code) == (TODAY, 0, None)
    assert (second.line, second.state, second.error_code, second.device_id) == (
        2,
        "rejected",
        "OWNED_BY_ANOTHER",
        theirs,
    )
    assert (third.line, third.state, third.error_code, third.device_id) == (3, "rejected", "NOT_FOUND", None)
    assert (third.asked_for, third.iccid, third.error_kind) == ("+1 999 555 0001", "", "permanent")
    assert all((order.error_message, order.what_to_do) for order in (second, third))

    (log,) = world.rows(job_log)
    assert (log.job_id, log.run_no, log.event) == (row.id, 1, "submitted")
    assert log.data == {"submitted": 1, "rejected": 2, "fingerprint": row.fingerprint}
    (audited,) = world.rows(audit_entry)
    assert (audited.operator_login, audited.acting_login, audited.action) == ("admin", "admin", "submit")
    assert audited.subject == "AJ-20261124-0001"


def test_a_job_of_which_nothing_can_run_is_registered_too(world: World, seat: Seat) -> None:
    submitted = submit(seat, lines("8901260000000000001"))
    assert (submitted.submitted, submitted.rejected) == (0, 1)
    (row,) = world.rows(job)
    assert (row.total, row.queued, row.rejected) == (1, 0, 1)


def test_reassigning_is_audited_as_such_with_who_sat_there(world: World) -> None:
    device_id = world.device()
    world.own(device_id, FABRIKAM)
    request = replace(request_for(world, device_id), reassign=True)
    submit(Seat(world.store, "admin", "boss"), request)
    (audited,) = world.rows(audit_entry)
    assert (audited.action, audited.operator_login, audited.acting_login) == ("reassign", "admin", "boss")
    (row,) = world.rows(job)
    frozen = Instructions.from_document(row.instructions)
    assert (frozen.operator_login, frozen.acting_login) == ("admin", "boss")


def test_the_count_that_is_shown_is_the_count_that_is_submitted(world: World, seat: Seat) -> None:
    request = request_for(world, world.device(), taken := world.device())
    shown = check_request(seat, request)
    world.own(taken, FABRIKAM)
    with pytest.raises(RequestRefused) as refused:
        submit_request(seat, request, shown.fingerprint, "key-1")
    assert refused.value.code == "CHECK_CHANGED"
    assert "1 ready, 0 with a warning and 1 blocked" in refused.value.message
    assert world.rows(job) == []
    assert world.rows(work_order) == []
    assert submit(seat, request).rejected == 1


def test_what_changed_but_changes_no_verdict_does_not_stop_a_submit(world: World, seat: Seat) -> None:
    request = request_for(world, device_id := world.device())
    shown = check_request(seat, request)
    world.change(device, device_id, name="another name", imei="490154203237518")
    assert submit_request(seat, replace(request, reason="typed later"), shown.fingerprint, "k").submitted == 1


def test_a_request_that_is_blocked_as_a_whole_is_refused(world: World, seat: Seat) -> None:
    request = request_for(world, world.device())
    world.change(customer, NORTHWIND, is_active=False)
    report = check_request(seat, request)
    assert report.request_blocked
    with pytest.raises(RequestRefused) as refused:
        submit_request(seat, request, report.fingerprint, "key-1")
    assert refused.value.code == "CUSTOMER_INACTIVE"
    assert world.rows(job) == []


def test_a_device_in_an_open_work_order_is_blocked_by_name(world: World, seat: Seat) -> None:
    request = request_for(world, world.device())
    submit(seat, request)
    report = check_request(seat, request)
    assert [finding.code for finding in report.findings] == ["IN_OPEN_WORK_ORDER"]
    assert "AJ-20261124-0001" in report.findings[0].message


# --- keys and races --------------------------------------------------------------------------------------------------


def test_the_same_key_again_returns_the_first_job(world: World, seat: Seat) -> None:
    request = request_for(world, world.device())
    first = submit(seat, request)
    again = submit_request(seat, request, "whatever was shown then", "key-1")
    assert again == replace(first, is_new=False)
    assert len(world.rows(job)) == 1
    assert submit(seat, request_for(world, world.device()), "key-2").tracking_number == "AJ-20261124-0002"


@pytest.mark.parametrize("key", ["", "x" * 65])
def test_a_key_of_the_wrong_length_is_refused(world: World, seat: Seat, key: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        submit(seat, request_for(world, world.device()), key)
    assert refused.value.code == "SUBMISSION_KEY_INVALID"


def at_the_same_moment(monkeypatch: pytest.MonkeyPatch, *calls: Callable[[], Any]) -> list[Any]:
    """Runs the calls in threads, each stopped between its check and its writing until all have come so far.

    On SQLite one writes after the other from the beginning: there nobody waits for longer than half a second.
    """
    meet = threading.Barrier(len(calls))

    def build_together(*arguments: Any) -> Any:
        try:
            meet.wait(0.5)
        except threading.BrokenBarrierError:
            pass
        return build(*arguments)

    monkeypatch.setattr("desktop_app.desk.requests.build", build_together)
    answers: list[Any] = [None] * len(calls)

    def run(position: int) -> None:
        try:
            answers[position] = calls[position]()
        except RequestRefused as refused:
            answers[position] = refused

    threads = [threading.Thread(target=run, args=(position,)) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_double_submit_makes_one_job(world: World, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(world, world.device())
    shown = check_request(seat, request).fingerprint
    answers = at_the_same_moment(monkeypatch, *[lambda: submit_request(seat, request, shown, "key-1")] * 2)
    assert len(world.rows(job)) == 1
    assert len({answer.tracking_number for answer in answers}) == 1
    assert sorted(answer.is_new for answer in answers) == [False, True]


def test_of_two_jobs_for_one_device_one_is_told(world: World, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(world, world.device())
    shown = check_request(seat, request).fingerprint
    answers = at_the_same_moment(
        monkeypatch,
        lambda: submit_request(seat, request, shown, "key-1"),
        lambda: submit_request(seat, request, shown, "key-2"),
    )
    (refused,) = [answer for answer in answers if isinstance(answer, RequestRefused)]
    assert refused.code == "CHECK_CHANGED"
    assert len(world.rows(job)) == 1
    assert len(world.rows(work_order)) == 1


def test_tracking_numbers_are_never_given_twice(world: World) -> None:
    def draw() -> str:
        return world.store.run(lambda uow: Submission(uow).next_tracking_number())

    numbers: list[str] = []
    threads = [threading.Thread(target=lambda: numbers.extend(draw() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [f"AJ-20261124-{number:04}" for number in range(1, 21)]


def test_tracking_numbers_begin_anew_each_business_day_and_grow_beyond_four_digits(world: World) -> None:
    def draw() -> str:
        return world.store.run(lambda uow: Submission(uow).next_tracking_number())

    assert draw() == "AJ-20261124-0001"
    world.store.clock = lambda _connection: NOW + timedelta(days=1)
    assert draw() == "AJ-20261125-0001"
    with world.store.begin() as uow:
        counter = installation_setting.c.name == "tracking_number.20261125"
        uow.connection.execute(installation_setting.update().where(counter).values(value="9999"))
        uow.commit()
    assert draw() == "AJ-20261125-10000"


# --- rights ----------------------------------------------------------------------------------------------------------


def test_an_operator_without_the_right_is_told(world: World) -> None:
    seat = Seat(world.store, "viewer")
    request = request_for(world, world.device())
    report = check_request(seat, request)
    assert [finding.code for finding in report.findings] == ["NOT_PERMITTED"]
    with pytest.raises(RequestRefused) as refused:
        submit_request(seat, request, report.fingerprint, "key-1")
    assert refused.value.code == "NOT_PERMITTED"


def test_an_operator_of_some_customers_works_on_those_alone(world: World) -> None:
    seat = Seat(world.store, "limited")
    device_id = world.device()
    assert submit(seat, request_for(world, device_id)).submitted == 1
    with pytest.raises(NotFound) as refused:
        check_request(seat, replace(request_for(world, device_id), customer="20317"))
    assert refused.value.code == "CUSTOMER_UNKNOWN"


def test_an_operator_of_some_customers_is_not_told_who_owns_what(world: World) -> None:
    theirs = world.device()
    world.own(theirs, FABRIKAM)
    report = check_request(Seat(world.store, "limited"), request_for(world, theirs))
    assert [(finding.code, finding.message) for finding in report.findings] == [
        ("OWNED_BY_ANOTHER", "It belongs to another customer.")
    ]


def test_a_right_that_was_taken_away_counts_at_once(world: World) -> None:
    seat = Seat(world.store, "limited")
    request = request_for(world, world.device())
    shown = check_request(seat, request).fingerprint
    with world.store.begin() as uow:
        uow.connection.execute(operator_grant.update().values(right="view"))
        uow.commit()
    with pytest.raises(RequestRefused) as refused:
        submit_request(seat, request, shown, "key-1")
    assert refused.value.code == "NOT_PERMITTED"
    world.change(operator, 71, is_active=False)
    with pytest.raises(RequestRefused) as refused:
        check_request(seat, request)
    assert refused.value.code == "OPERATOR_UNKNOWN"


def test_a_filter_takes_only_what_may_be_seen(world: World) -> None:
    world.device()
    theirs = world.device()
    world.own(theirs, FABRIKAM)
    request = replace(lines("x"), devices=FilteredDevices(DeviceFilter()))
    assert counts(check_request(Seat(world.store, "limited"), request)) == (1, 0, 0)
    assert counts(check_request(Seat(world.store, "admin"), request)) == (1, 0, 1)


# --- lines before there is a request ---------------------------------------------------------------------------------


def test_pasted_lines_are_located(world: World, seat: Seat) -> None:
    one, two = world.device(imei="490154203237518"), world.device()
    twin = world.device(iccid=world.iccid_of(two), service_provider_id=HARBOR)
    pasted = [
        world.iccid_of(one), "", "rubbish", "8901260000000000001", world.iccid_of(two), "490154203237518",
        world.iccid_of(one),
    ]  # fmt: skip
    located = locate_lines(seat, pasted)
    assert located.asked == 6
    assert located.packed == pack([one])
    assert [(line.line, line.problem and line.problem.code, line.device_id) for line in located.lines] == [
        (3, "UNREADABLE", None),
        (4, "NOT_FOUND", None),
        (5, "AMBIGUOUS", None),
        (6, "DUPLICATE", one),
        (7, "DUPLICATE", one),
    ]
    assert located.lines[2].candidates == ("HARBOR", "NORTHSTAR")
    assert [located.count(code) for code in ("NOT_FOUND", "DUPLICATE", "AMBIGUOUS")] == [1, 2, 1]
    here = locate_lines(seat, pasted, "HARBOR")
    assert here.packed == pack([twin])
    assert here.count("NOT_FOUND") == 3  # and of these two are on Northstar only
    with pytest.raises(NotFound):
        locate_lines(seat, pasted, "NOBODY")


def test_devices_of_customers_that_may_not_be_seen_are_not_located(world: World) -> None:
    mine, theirs = world.device(), world.device()
    world.own(mine)
    world.own(theirs, FABRIKAM)
    pasted = [world.iccid_of(mine), world.iccid_of(theirs)]
    assert locate_lines(Seat(world.store, "limited"), pasted).packed == pack([mine])
    assert locate_lines(Seat(world.store, "viewer"), pasted).packed == pack([mine, theirs])
