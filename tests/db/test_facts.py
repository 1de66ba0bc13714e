"""What the check knows of devices, read from a real database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from db.facts import Facts
from db.schema import device as device_table
from db.schema import device_ownership, job, work_order
from db.unit_of_work import Store
from desktop_app.association.check_digits import luhn_check_digit
from desktop_app.association.errors import Cancelled
from desktop_app.association.facts import ActiveService, AskedDevice, DeviceFacts, Situation
from desktop_app.association.identifiers import read_lines
from desktop_app.association.model import DeviceFilter, DeviceStatus
from tests.helpers.databases import SqliteFiles
from tests.helpers.stores import fresh_store
from tests.helpers.world import (
    ADMIN,
    CREDENTIAL,
    CUSTOMER_PLAN,
    DEPOT,
    FABRIKAM,
    HARBOR,
    NORTHSTAR,
    NORTHWIND,
    NOW,
    World,
)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def never() -> bool:
    return False


def asked(world: World, *lines: str) -> list[AskedDevice]:
    read = read_lines(lines)
    assert not read.unreadable
    with world.store.read() as uow:
        return Facts(uow).asked(read.asked, never)


def found(world: World, line: str) -> list[int]:
    return sorted(device.device_id for device in asked(world, line)[0].candidates)


def facts_of(world: World, device_id: int) -> DeviceFacts:
    with world.store.read() as uow:
        return Facts(uow).picked([device_id], never)[0].candidates[0]


# --- finding ---------------------------------------------------------------------------------------------------------


def test_each_kind_of_identifier_finds_the_device(world: World) -> None:
    device = world.device(imei="490154203237518", msisdn="12745550005", eid="89049032123451234512345678901235")
    world.device()
    for line in (
        world.iccid_of(device),
        "490154203237518",
        "4901542032375101",  # IMEISV
        "490154203237517",  # a wrong check digit
        "+1 274 555 0005",
        "89049032123451234512345678901235",
    ):
        assert found(world, line) == [device], line


def test_what_nobody_has_is_not_found(world: World) -> None:
    world.device()
    assert found(world, "8901260000000000001") == []
    assert asked(world) == []


def test_an_iccid_is_found_with_and_without_its_check_digit(world: World) -> None:
    body = "8901260000000000777"
    short, long = world.device(iccid=body), world.device(iccid=f"{body[:-1]}11", service_provider_id=HARBOR)
    complete = body + luhn_check_digit(body)
    assert found(world, complete) == [short]
    assert found(world, body) == [short]
    assert found(world, f"{body[:-1]}11") == [long]
    world.change(device_table, long, iccid=complete)
    assert found(world, body) == [short, long]


def test_fifteen_digits_are_looked_for_as_imei_and_as_number(world: World) -> None:
    digits = "490154203237518"
    by_imei, by_number = world.device(imei=digits), world.device(msisdn=digits)
    assert found(world, digits) == [by_imei, by_number]


def test_one_device_by_two_readings_is_one_candidate(world: World) -> None:
    digits = "490154203237518"
    both = world.device(imei=digits, msisdn=digits)
    assert found(world, digits) == [both]


def test_the_same_sim_on_two_service_providers_is_two_candidates(world: World) -> None:
    one = world.device(eid="89049032123451234512345678901235")
    other = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR, eid="89049032123451234512345678901235")
    assert found(world, world.iccid_of(one)) == [one, other]
    assert found(world, "89049032123451234512345678901235") == [one, other]


def test_other_readings_are_not_looked_up_where_the_iccid_itself_is_on_a_provider_that_is_meant(world: World) -> None:
    body = "890126000000003959"
    complete = body + luhn_check_digit(body)
    exact, shorter = world.device(iccid=complete), world.device(iccid=body, service_provider_id=HARBOR)
    lines = read_lines([complete, world.iccid_of(world.device(imei="490154203237518")), "490154203237518"]).asked
    with world.store.read() as uow:
        for on, expected in (((), [exact, shorter]), ((NORTHSTAR, HARBOR), [exact]), ((HARBOR,), [exact, shorter])):
            answer = Facts(uow).asked(lines, never, on)
            assert sorted(one.device_id for one in answer[0].candidates) == sorted(expected)
            assert [len(one.candidates) for one in answer[1:]] == [1, 1]


def test_kinds_may_be_mixed_and_lines_keep_their_order_and_number(world: World) -> None:
    devices = [world.device(), world.device(imei="490154203237518"), world.device(msisdn="436641234567")]
    lines = ["+436641234567", "", "490154203237518", "8901260000000000001", world.iccid_of(devices[0])]
    answer = asked(world, *lines)
    assert [(one.line, one.asked_for) for one in answer] == [
        (1, "+436641234567"), (3, "490154203237518"), (4, "8901260000000000001"), (5, world.iccid_of(devices[0])),
    ]  # fmt: skip
    assert [[d.device_id for d in one.candidates] for one in answer] == [[devices[2]], [devices[1]], [], [devices[0]]]


# --- what is known ---------------------------------------------------------------------------------------------------


def test_a_device_of_nobody(world: World) -> None:
    device = world.device(imei="490154203237518", activated_on=None, status="inventory", carrier_rate_plan_id=40)
    assert facts_of(world, device) == DeviceFacts(
        device_id=device,
        iccid=world.iccid_of(device),
        imei="490154203237518",
        msisdn="12745550001",
        eid=None,
        carrier_rate_plan_id=40,
        ownership_id=None,
        owner_account_number=None,
        owner_credential_id=None,
        customer_rate_plan_id=None,
        data_limit_bytes=None,
        data_pool=None,
        situation=Situation(
            service_provider_id=NORTHSTAR,
            status="inventory",
            activated_on=None,
            is_deleted=False,
            is_archived=False,
            owner_id=None,
            owner_name=None,
            owner_site_id=None,
            owned_from=None,
            previous_end=None,
            scheduled_from=None,
            open_tracking_number=None,
            services=(),
        ),
    )


def test_the_ownership_that_stands(world: World) -> None:
    device = world.device()
    key = world.own(
        device, site_id=DEPOT, account_number="10482", billing_credential_id=CREDENTIAL, data_limit_bytes=9,
        customer_rate_plan_id=CUSTOMER_PLAN, data_pool="north",
    )  # fmt: skip
    world.own(device, FABRIKAM, is_deleted=True)
    facts = facts_of(world, device)
    situation = facts.situation
    assert (facts.ownership_id, situation.owner_id, situation.owner_name, situation.owner_site_id) == (
        key, NORTHWIND, "Northwind Fleet", DEPOT,
    )  # fmt: skip
    assert (facts.owner_account_number, facts.owner_credential_id) == ("10482", CREDENTIAL)
    assert (facts.customer_rate_plan_id, facts.data_limit_bytes, facts.data_pool) == (CUSTOMER_PLAN, 9, "north")
    assert situation.owned_from == date(2026, 5, 1)


def ended(world: World, device: int, customer_id: int, until: date, **values: Any) -> None:
    world.own(device, customer_id, state="ended", effective_to=until, **values)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (None, date(2026, 4, 1)),
        (NORTHWIND, date(2026, 3, 1)),  # its own former ownership ended with a move, nothing else
        (FABRIKAM, date(2026, 4, 1)),
    ],
)
def test_the_end_of_the_previous_ownership(world: World, owner: int | None, expected: date) -> None:
    device = world.device()
    ended(world, device, FABRIKAM, date(2026, 2, 1))
    ended(world, device, FABRIKAM, date(2026, 3, 1))
    ended(world, device, NORTHWIND, date(2026, 4, 1))
    ended(world, device, FABRIKAM, date(2026, 9, 1), is_deleted=True)
    if owner is not None:
        world.own(device, owner)
    assert facts_of(world, device).situation.previous_end == expected


def test_an_ownership_that_is_to_come(world: World) -> None:
    device = world.device()
    world.own(device, FABRIKAM, effective_to=date(2026, 12, 1))
    world.own(device, state="scheduled", effective_from=date(2026, 12, 1))
    facts = facts_of(world, device)
    assert (facts.situation.owner_id, facts.situation.scheduled_from) == (FABRIKAM, date(2026, 12, 1))


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        ("queued", True),
        ("running", True),
        ("waiting_retry", True),
        ("outcome_unknown", True),
        ("succeeded", False),
        ("failed", False),
        ("rejected", False),
        ("cancelled", False),
    ],
)
def test_an_open_work_order(world: World, state: str, is_open: bool) -> None:
    device = world.device()
    world.put(
        job,
        {
            "id": 1, "tracking_number": "AJ-20261124-0009", "submission_key": "k", "state": "running",
            "customer_id": NORTHWIND, "operator_id": ADMIN, "operator_login": "admin", "fingerprint": "f",
            "instructions": {}, "total": 1, "submitted_at": NOW, "changed_at": NOW,
        },
    )  # fmt: skip
    world.put(
        work_order,
        {"job_id": 1, "line": 1, "asked_for": "x", "device_id": device, "state": state, "changed_at": NOW},
    )
    assert facts_of(world, device).situation.open_tracking_number == ("AJ-20261124-0009" if is_open else None)


def test_active_billing_services(world: World) -> None:
    device = world.device()
    first, second = world.service(device), world.service(device, FABRIKAM)
    world.service(device, is_active=False, ended_on=date(2026, 11, 2))
    services = (
        ActiveService(first, NORTHWIND, CREDENTIAL, f"S{first}", None),
        ActiveService(second, FABRIKAM, CREDENTIAL, f"S{second}", None),
    )
    assert facts_of(world, device).situation.services == services
    assert asked(world, world.iccid_of(device))[0].candidates[0].situation.services == services


# --- from a list -----------------------------------------------------------------------------------------------------


def test_picked_devices_keep_their_order(world: World) -> None:
    first, second = world.device(), world.device()
    with world.store.read() as uow:
        answer = Facts(uow).picked([second, 99, first], never)
    assert [(one.line, one.asked_for, one.identifier) for one in answer] == [
        (1, world.iccid_of(second), None), (2, "", None), (3, world.iccid_of(first), None),
    ]  # fmt: skip
    assert [len(one.candidates) for one in answer] == [1, 0, 1]


def filtered(
    world: World, wanted: DeviceFilter, minus: Sequence[int] = (), visible: frozenset[int] | None = None
) -> list[int]:
    with world.store.read() as uow:
        answer = Facts(uow).filtered(wanted, minus, visible, never)
    assert [one.line for one in answer] == list(range(1, len(answer) + 1))
    return [one.candidates[0].device_id for one in answer]


def test_filtered_devices(world: World) -> None:
    active, suspended, mine, theirs = (
        world.device(), world.device(status="suspended"), world.device(), world.device(),
    )  # fmt: skip
    world.device(is_deleted=True)
    world.own(mine)
    world.own(theirs, FABRIKAM)
    everything = [active, suspended, mine, theirs]
    assert filtered(world, DeviceFilter()) == everything
    assert filtered(world, DeviceFilter(), minus=[suspended, theirs]) == [active, mine]
    assert filtered(world, DeviceFilter(statuses=(DeviceStatus.SUSPENDED,))) == [suspended]
    assert filtered(world, DeviceFilter(), visible=frozenset({NORTHWIND})) == [active, suspended, mine]
    assert filtered(world, DeviceFilter(text="nothing")) == []


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(world: World) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(world.store.engines.read, "before_cursor_execute", note)
    yield seen
    event.remove(world.store.engines.read, "before_cursor_execute", note)


def test_the_number_of_statements_does_not_depend_on_the_number_of_devices(world: World, statements: list[str]) -> None:
    lines = [world.iccid_of(world.device()) for _ in range(30)]
    statements.clear()
    asked(world, *lines[:2])
    few = len(statements)
    statements.clear()
    asked(world, *lines)
    assert len(statements) == few


def test_sqlite_uses_the_filtered_indexes(tmp_path: Path) -> None:
    plans: list[str] = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT tmp_picked"):
            driver: Any = connection.connection.driver_connection
            plans.extend(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    with fresh_store(SqliteFiles(tmp_path)) as store:
        world = World(store)
        event.listen(store.engines.read, "before_cursor_execute", explain)
        facts_of(world, world.device())
    used = " ".join(plans)
    for index in ("uq_device_ownership_active", "uq_device_ownership_scheduled", "uq_work_order_open_device"):
        assert index in used, used


def test_a_long_read_is_cancelled(world: World) -> None:
    device = world.device()
    with world.store.read() as uow, pytest.raises(Cancelled):
        Facts(uow).picked([device], lambda: True)
    assert world.rows(device_ownership) == []  # and the connection can be used again
