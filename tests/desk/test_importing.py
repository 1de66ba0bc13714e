"""Existing data from files and from another database: what is written, what is listed, what is left alone."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db import operators
from db.integrity import check
from db.schema import (
    audit_entry,
    billing_credential,
    billing_service,
    cross_provider_device_history,
    customer,
    device,
    device_history,
    device_ownership,
    device_service_link,
    rate_plan,
    service_provider,
    site,
)
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.association.model import ImportTable
from desktop_app.desk.import_files import PASSWORD_VARIABLE, find_sources
from desktop_app.desk.importing import REJECT_COLUMNS, ImportReport, import_data
from desktop_app.desk.seat import Seat
from tests.helpers.databases import Databases
from tests.helpers.jobs import day, submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import (
    ALPINE,
    CREDENTIAL,
    CUSTOMER_PLAN,
    DEPOT,
    FABRIKAM,
    HARBOR,
    HEAD_OFFICE,
    NORTHWIND,
    NOW,
    World,
    iccid,
)

DEVICES = "service_provider,iccid,status,name,activated_on,carrier_rate_plan,msisdn,imei\n"
OWNERSHIPS = "service_provider,iccid,account_number,site,effective_from,customer_rate_plan\n"
SERVICES = "billing_credential,service_id,service_provider,iccid,account_number,effective_date,ended_on\n"

Do = Callable[..., ImportReport]


@pytest.fixture
def store(databases: Databases) -> Iterator[Store]:
    """A database with the schema and no rows, on SQLite and on PostgreSQL in turn."""
    with fresh_store(databases) as opened:
        yield opened


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def do(world: World, tmp_path: Path) -> Do:
    """Imports files given as ``table="text"``, as the administrator, in batches of three rows."""

    def run(*paths: Path, login: str = "admin", dry_run: bool = False, batch: int = 3, **tables: str) -> ImportReport:
        files = [*paths]
        for name, text in tables.items():
            files.append(tmp_path / f"{name}.csv")
            files[-1].write_text(text, encoding="utf-8")
        with ExitStack() as opened:
            sources = find_sources(files, None, opened)
            seat = Seat(world.store, login)
            return import_data(
                seat, sources, tmp_path / "rejects.csv", dry_run=dry_run, batch=batch, reason="from the old system"
            )

    return run


def counts(report: ImportReport) -> dict[str, tuple[int, int, int, int]]:
    """New, changed, same and wrong rows of each table."""
    return {str(one.table): (one.new, one.changed, one.same, one.wrong) for one in report.tables}


def wrong(report: ImportReport) -> list[tuple[int, str, str]]:
    return [(one.line, one.column, one.code) for one in report.wrong]


def is_sound(world: World) -> bool:
    return check(world.store) == ()


# --- into an empty database, and again -------------------------------------------------------------------------------

WHOLE = {
    "service_providers": "code,name\nN,Northstar\nH,\n",
    "billing_credentials": 'code,is_default,mapping\nold,yes,"{""plans"": {""customer:F"": {""product_id"": 7}}}"\n',
    "customers": "account number,name,billing_credential,default_customer_rate_plan\n1,Äcker,old,F\n2,Bold,,\n",
    "sites": "account_number,code,is_default\n1,HO,yes\n1,DEPOT,no\n2,HO,yes\n",
    "rate_plans": "kind,service_provider,code,data_limit_bytes,account_number\ncarrier,N,C,,\ncustomer,,F,500,1\n",
    "devices": DEVICES
    + "".join(
        f"N,{iccid(number)},Active,D{number},2026-11-0{number},C,1274555000{number},\n" for number in range(1, 6)
    ),
    "ownerships": OWNERSHIPS + f"N,{iccid(1)},1,DEPOT,,F\nN,{iccid(2)},2,,2026-11-20,\n",
    "billing_services": SERVICES + f"old,S1,N,{iccid(1)},1,,\nold,S2,N,{iccid(3)},2,2026-01-05,2026-02-01\n",
}


def import_whole(store: Store, folder: Path, tables: dict[str, str]) -> ImportReport:
    """Imports whole files in batches of two rows, as an administrator."""
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    with ExitStack() as opened:
        return import_data(Seat(store, "admin"), find_sources([folder], None, opened), folder / "r", batch=2)


def test_everything_goes_into_an_empty_database_and_a_second_run_changes_nothing(store: Store, tmp_path: Path) -> None:
    store.run(lambda uow: operators.add_administrator(uow, "admin", "Ada"))

    def run() -> ImportReport:
        return import_whole(store, tmp_path, WHOLE)

    assert counts(run()) == {
        "service_providers": (2, 0, 0, 0),
        "billing_credentials": (1, 0, 0, 0),
        "customers": (2, 0, 0, 0),
        "sites": (3, 0, 0, 0),
        "rate_plans": (2, 0, 0, 0),
        "customer_defaults": (0, 1, 1, 0),
        "devices": (5, 0, 0, 0),
        "ownerships": (2, 0, 0, 0),
        "billing_services": (2, 0, 0, 0),
    }
    assert check(store) == ()
    again = run()
    assert {(new, changed, wrong) for new, changed, _, wrong in counts(again).values()} == {(0, 0, 0)}
    assert again.rejects is None
    with store.read() as uow:
        owned = uow.connection.execute(device_ownership.select().order_by(device_ownership.c.id)).first()
        assert owned is not None
        assert owned.effective_from == date(2026, 11, 1), "none given: the activation date"
        assert (owned.data_limit_bytes, owned.account_number) == (500, "1")
        services = uow.connection.execute(billing_service.select().order_by(billing_service.c.id)).all()
        assert [(one.number, one.is_active) for one in services] == [("12745550001", True), ("12745550003", False)]
        links = uow.connection.execute(device_service_link.select()).all()
        assert [one.billing_service_id for one in links] == [services[0].id]
        (found,) = uow.connection.execute(customer.select().where(customer.c.account_number == "1")).all()
        assert (found.search_name, found.default_customer_rate_plan_id is not None) == ("äcker", True)
        (credential,) = uow.connection.execute(billing_credential.select()).all()
        assert credential.mapping["plans"] == {"customer:F": {"product_id": 7}}


def test_what_differs_in_capitals_alone_is_the_same_thing(store: Store, tmp_path: Path) -> None:
    """On every server as on SQL Server: no second site ``depot`` beside ``DEPOT``; a name may change its capitals."""
    store.run(lambda uow: operators.add_administrator(uow, "admin", "Ada"))
    import_whole(store, tmp_path / "first", WHOLE)
    again = import_whole(
        store,
        tmp_path / "again",
        {
            "service_providers": "code,name\nn,NORTHSTAR\n",
            "billing_credentials": "code,is_default\nOLD,yes\n",
            "customers": "account_number,name,billing_credential,default_customer_rate_plan\n1,Äcker,Old,f\n",
            "sites": "account_number,code,name\n1,depot,depot\n",
            "rate_plans": "kind,service_provider,code,account_number\ncarrier,n,c,\ncustomer,,f,1\n",
            "devices": DEVICES + f"n,{iccid(1)},active,D1,2026-11-01,c,12745550001,\n",
            "ownerships": OWNERSHIPS + f"n,{iccid(1)},1,depot,2026-11-01,f\n",
            "billing_services": SERVICES + f"OLD,S1,n,{iccid(1)},1,,\n",
        },
    )
    assert counts(again) == {
        "service_providers": (0, 1, 0, 0),
        "billing_credentials": (0, 0, 1, 0),
        "customers": (0, 0, 1, 0),
        "sites": (0, 1, 0, 0),
        "rate_plans": (0, 0, 2, 0),
        "customer_defaults": (0, 0, 1, 0),
        "devices": (0, 0, 1, 0),
        "ownerships": (0, 0, 1, 0),
        "billing_services": (0, 0, 1, 0),
    }
    with store.read() as uow:
        assert set(uow.connection.scalars(select(service_provider.c.name))) == {"NORTHSTAR", "H"}
        assert set(uow.connection.scalars(select(site.c.code))) == {"HO", "DEPOT"}
        assert set(uow.connection.scalars(select(site.c.name))) == {"HO", "depot"}


def test_only_what_the_file_says_and_only_what_differs_is_changed(world: World, do: Do) -> None:
    one, other = world.device(name="Old", imei="490154203237518"), world.device(name="Same")
    text = f"iccid,service_provider,status,name\n{world.iccid_of(one)},NORTHSTAR,suspended,\n"
    report = do(devices=text + f"{world.iccid_of(other)},NORTHSTAR,active,Same\n")
    assert counts(report) == {"devices": (0, 1, 1, 0)}
    changed, same = world.rows(device, id=one)[0], world.rows(device, id=other)[0]
    assert (changed.status, changed.name, changed.imei, changed.revision) == ("suspended", None, "490154203237518", 2)
    assert same.revision == 1


def test_a_trial_says_the_same_and_keeps_nothing(world: World, do: Do) -> None:
    tables = {
        "customers": "account_number,name\n77,New\n",
        "sites": "account_number,code\n77,HO\n78,HO\n",
        "devices": DEVICES + f"NORTHSTAR,{iccid(900)},active,,,,,\nNOBODY,{iccid(901)},active,,,,,\n",
    }
    tried = do(dry_run=True, **tables)
    assert counts(tried) == {"customers": (1, 0, 0, 0), "sites": (1, 0, 0, 1), "devices": (1, 0, 0, 1)}
    assert world.rows(customer, account_number="77") == []
    assert world.rows(audit_entry) == []
    assert counts(do(**tables)) == counts(tried)
    (written,) = world.rows(audit_entry)
    assert (written.action, written.operator_login) == ("import", "admin")


# --- wrong rows ------------------------------------------------------------------------------------------------------


def test_wrong_rows_are_listed_with_line_value_and_advice_and_the_rest_is_kept(
    world: World, do: Do, tmp_path: Path
) -> None:
    good = [iccid(number) for number in range(900, 904)]
    report = do(
        devices=DEVICES
        + f"NORTHSTAR,{good[0]},active,,,IOT5,,\n"
        + "\n"
        + "NORTHSTAR,8.90126E+18,active,,,,,\n"
        + f"NORTHSTAR,{good[1]},lost,,31.02.2026,,12,\n"
        + f'NORTHSTAR,{good[2]},active,"two\nlines",,,,\n'
        + f"HARBOR,{good[3]},active,,,PACK5,,\n"
        + f"NORTHSTAR,{good[0]},active,,,,,\n"
        + f"=NOBODY,{good[3]},active,,,,,\n"
    )
    assert counts(report) == {"devices": (2, 0, 0, 5)}
    assert wrong(report) == [
        (4, "iccid", "ROUNDED_BY_SPREADSHEET"),
        (5, "msisdn", "MSISDN_IMPOSSIBLE"),
        (5, "status", "VALUE_UNKNOWN"),
        (5, "activated_on", "DATE_UNREADABLE"),
        (9, "service_provider, iccid", "ROW_TWICE"),
        (8, "carrier_rate_plan", "CARRIER_RATE_PLAN_UNKNOWN"),
        (10, "service_provider", "SERVICE_PROVIDER_UNKNOWN"),
    ]
    assert report.rejects == tmp_path / "rejects.csv"
    with report.rejects.open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    assert list(listed[0]) == list(REJECT_COLUMNS)
    assert [(int(one["line"]), one["column"], one["code"]) for one in listed] == wrong(report)
    assert listed[-1]["value"] == "'=NOBODY", "no spreadsheet runs it"
    assert all(one["message"] and one["what_to_do"] for one in listed)


def test_what_the_database_refuses_is_found_row_by_row(world: World, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of the schema that no row rule knows of: here, a kind of rate plan that the reader lets through."""
    from desktop_app.association import import_rows

    columns = list(import_rows.COLUMNS[ImportTable.RATE_PLANS])
    columns[0] = import_rows.ImportColumn("kind", str, needed=True)
    monkeypatch.setitem(import_rows.COLUMNS, ImportTable.RATE_PLANS, tuple(columns))
    report = do(batch=10, rate_plans="kind,code\ncustomer,A\ncustomer,B\nstrange,C\ncustomer,D\n")
    assert counts(report) == {"rate_plans": (3, 0, 0, 1)}
    assert wrong(report) == [(4, "", "REFUSED_BY_DATABASE")]


def test_a_file_that_cannot_be_understood_is_refused_before_anything_is_written(world: World, do: Do) -> None:
    for table, text, code in (
        ("devices", "iccid,status\n", "IMPORT_COLUMN_MISSING"),
        ("devices", "service_provider,iccid,ICCID,status\n", "IMPORT_COLUMN_TWICE"),
        ("devices", "", "FILE_EMPTY"),
        ("gadgets", "a,b\n", "IMPORT_TABLE_UNKNOWN"),
    ):
        with pytest.raises(RequestRefused) as refused:
            do(**{"customers": "account_number,name\n77,New\n", table: text})
        assert refused.value.code == code
    assert world.rows(customer, account_number="77") == []


def test_only_an_administrator_imports(do: Do) -> None:
    with pytest.raises(RequestRefused) as refused:
        do(login="limited", customers="account_number,name\n77,New\n")
    assert refused.value.code == "NOT_PERMITTED"


def test_secrets_are_not_taken_over(world: World, do: Do) -> None:
    report = do(
        billing_credentials="code,password,mapping\nsecond,hush,\n"
        'third,hush,"{""plans"": {""customer:F"": {""password"": ""hush""}}}"\n'
    )
    assert report.tables[0].ignored_columns == ("password",)
    assert wrong(report) == [(3, "mapping", "MAPPING_UNREADABLE")]
    assert "hush" not in str([row._mapping for row in world.rows(billing_credential)])


# --- ownerships ------------------------------------------------------------------------------------------------------


def own(world: World, do: Do, device_id: int, rest: str) -> ImportReport:
    return do(ownerships=OWNERSHIPS + f"NORTHSTAR,{world.iccid_of(device_id)},{rest}\n")


def test_a_new_ownership_is_recorded_and_told_to_the_same_sim_elsewhere(world: World, do: Do) -> None:
    one = world.device()
    twin = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR)
    assert counts(own(world, do, one, "10482,DEPOT,2026-06-01,FLEET")) == {"ownerships": (1, 0, 0, 0)}
    (row,) = world.rows(device_ownership, device_id=one)
    assert (row.customer_id, row.site_id, row.state, row.billing_credential_id) == (
        NORTHWIND,
        DEPOT,
        "active",
        CREDENTIAL,
    )
    assert (row.customer_rate_plan_id, row.data_limit_bytes, row.data_pool) == (CUSTOMER_PLAN, 5_000_000_000, "north")
    facts = [(one.event, one.detail, one.reason, one.is_complete) for one in world.rows(device_history, device_id=one)]
    assert facts == [
        ("assigned", "Imported: Site Depot", "from the old system", True),
        ("customer_plan_changed", "Imported: Customer rate plan FLEET", "from the old system", True),
    ]
    assert {row.device_id for row in world.rows(cross_provider_device_history)} == {twin}
    assert world.rows(device, id=one)[0].revision == 2, "desks that show the device hear of it"
    assert is_sound(world)


def test_the_same_owner_moves_and_changes_plan(world: World, do: Do) -> None:
    one = world.device()
    world.own(one, customer_rate_plan_id=None)
    assert counts(own(world, do, one, "10482,HO,,")) == {"ownerships": (0, 0, 1, 0)}
    assert counts(own(world, do, one, "10482,DEPOT,2026-06-01,FLEET")) == {"ownerships": (0, 1, 0, 0)}
    (row,) = world.rows(device_ownership, device_id=one)
    assert (row.site_id, row.effective_from, row.data_pool) == (DEPOT, date(2026, 6, 1), "north")
    assert [one.event for one in world.rows(device_history, device_id=one)] == ["moved", "customer_plan_changed"]


REFUSED_OWNERSHIPS: tuple[tuple[dict[str, Any] | None, str, str], ...] = (
    ({"customer_id": FABRIKAM, "site_id": None}, "10482,HO,,", "OWNED_BY_ANOTHER"),
    ({"customer_id": ALPINE, "site_id": None}, "10482,HO,,", "OWNED_BY_ANOTHER"),
    ({"state": "scheduled", "effective_from": day(5)}, "10482,HO,2026-06-01,", "OWNERSHIP_SCHEDULED"),
    ({"state": "ended", "effective_to": day(-5)}, "10482,HO,2026-06-01,", "BEGINS_BEFORE_PREVIOUS_END"),
    ({"effective_to": day(5)}, "10482,HO,2027-06-01,", "BEGINS_AHEAD"),
    ({"effective_from": day(-9), "effective_to": day(-5)}, f"10482,HO,{day(-2)},", "BEGINS_AFTER_ITS_END"),
    (None, "10482,NOWHERE,2026-06-01,", "SITE_UNKNOWN"),
    (None, "10482,WORKS,2026-06-01,", "SITE_UNKNOWN"),
    (None, "99999,,2026-06-01,", "CUSTOMER_UNKNOWN"),
    (None, "10482,,2026-06-01,NOPLAN", "CUSTOMER_RATE_PLAN_UNKNOWN"),
    (None, "10482,,2026-06-01,OWN", "CUSTOMER_RATE_PLAN_OF_ANOTHER"),
    (None, "10482,,2027-06-01,", "BEGINS_AHEAD"),
    (None, "10482,,,", "EFFECTIVE_FROM_MISSING"),
)


def test_nothing_is_taken_from_anybody_and_nothing_is_made_that_cannot_be(world: World, do: Do) -> None:
    world.put(site, {"id": 29, "customer_id": FABRIKAM, "code": "WORKS", "name": "Works"})
    world.put(rate_plan, {"id": 59, "kind": "customer", "code": "OWN", "name": "Own", "customer_id": FABRIKAM})
    text = OWNERSHIPS
    for owner, row, _ in REFUSED_OWNERSHIPS:
        one = world.device(activated_on=None)
        text += f"NORTHSTAR,{world.iccid_of(one)},{row}\n"
        if owner is not None:
            world.own(one, **owner)
    before = world.rows(device_ownership)
    report = do(ownerships=text)
    assert [found for _, _, found in wrong(report)] == [code for _, _, code in REFUSED_OWNERSHIPS]
    assert world.rows(device_ownership) == before
    assert world.rows(device_history) == []


def test_another_owner_is_named(world: World, do: Do) -> None:
    one = world.device()
    world.own(one, FABRIKAM, None)
    (found,) = own(world, do, one, "10482,HO,,").wrong
    assert "20317" in found.message
    assert (found.line, found.value) == (2, "10482")


def test_a_device_that_a_job_works_on_is_listed_and_left_alone(world: World, do: Do) -> None:
    one = world.device()
    submit(world, one)
    (found,) = own(world, do, one, "10482,HO,2026-06-01,").wrong
    assert found.code == "IN_OPEN_JOB"
    assert "AJ-" in found.message
    assert world.rows(device_ownership) == []
    (found,) = do(billing_services=SERVICES + f"main,S1,NORTHSTAR,{world.iccid_of(one)},10482,2026-06-01,\n").wrong
    assert found.code == "IN_OPEN_JOB"


# --- billing services ------------------------------------------------------------------------------------------------


def test_a_service_is_linked_with_its_owner_and_ends(world: World, do: Do) -> None:
    one = world.device()
    world.own(one)
    row = f"main,S1,NORTHSTAR,{world.iccid_of(one)},10482,2026-06-01,"
    assert counts(do(billing_services=SERVICES + row + "\n")) == {"billing_services": (1, 0, 0, 0)}
    (link,) = world.rows(device_service_link)
    assert link.closed_at is None
    assert is_sound(world)
    assert counts(do(billing_services=SERVICES + row + "2026-07-01\n")) == {"billing_services": (0, 1, 0, 0)}
    (service,) = world.rows(billing_service)
    assert (service.is_active, service.ended_on) == (False, date(2026, 7, 1))
    (link,) = world.rows(device_service_link)
    assert link.closed_at == NOW
    assert is_sound(world)


def test_a_service_stays_with_its_device_and_customer(world: World, do: Do) -> None:
    one, other = world.device(activated_on=None), world.device()
    known = world.service(one)
    for row, code in (
        ("main,S{known},NORTHSTAR,{other},10482,2026-06-01,", "SERVICE_OF_ANOTHER_DEVICE"),
        ("main,S{known},NORTHSTAR,{one},20317,2026-06-01,", "SERVICE_OF_ANOTHER_CUSTOMER"),
        ("none,S1,NORTHSTAR,{one},10482,2026-06-01,", "BILLING_CREDENTIAL_UNKNOWN"),
        ("main,S1,HARBOR,{one},10482,2026-06-01,", "DEVICE_UNKNOWN"),
        ("main,S1,NORTHSTAR,{one},10482,,", "EFFECTIVE_DATE_MISSING"),
        ("main,S1,NORTHSTAR,{one},10482,2026-06-01,2026-05-01", "ENDS_BEFORE_IT_BEGINS"),
        ("main,S{known},NORTHSTAR,{one},10482,,2026-05-01", "ENDS_BEFORE_IT_BEGINS"),
    ):
        text = row.format(known=known, one=world.iccid_of(one), other=world.iccid_of(other))
        assert [found for _, _, found in wrong(do(billing_services=SERVICES + text + "\n"))] == [code]
    assert len(world.rows(billing_service)) == 1


# --- one SIM, however written; one default ---------------------------------------------------------------------------


def test_a_sim_is_found_however_its_iccid_is_written(world: World, do: Do) -> None:
    one = world.device(name="Old")
    written = world.iccid_of(one)
    report = do(devices=f"service_provider,iccid,status,name\nNORTHSTAR,{written[:-1]},active,New\n")
    assert counts(report) == {"devices": (0, 1, 0, 0)}
    (row,) = world.rows(device)
    assert (row.iccid, row.name) == (written, "New")
    report = do(
        devices=f"service_provider,iccid,status\nNORTHSTAR,{iccid(900)},active\nNORTHSTAR,{iccid(900)[:-1]},active\n"
    )
    assert wrong(report) == [(3, "service_provider, iccid", "ROW_TWICE")]


def test_the_default_site_moves_only_where_the_file_says_so(world: World, do: Do) -> None:
    head = "account_number,code,is_default\n"
    report = do(sites=head + "10482,DEPOT,yes\n")
    assert wrong(report) == [(2, "is_default", "DEFAULT_TAKEN")]
    assert "HO" in report.wrong[0].message
    assert counts(do(sites=head + "10482,DEPOT,yes\n10482,HO,no\n")) == {"sites": (0, 2, 0, 0)}
    assert {row.id: row.is_default for row in world.rows(site, customer_id=NORTHWIND)} == {
        HEAD_OFFICE: False,
        DEPOT: True,
    }
    report = do(sites=head + "20317,HO,no\n20317,A,yes\n20317,B,yes\n")
    assert wrong(report) == [(4, "is_default", "DEFAULT_TWICE")]


def test_two_who_import_the_same_at_once_make_nothing_twice(world: World, tmp_path: Path) -> None:
    (tmp_path / "devices.csv").write_text(
        "service_provider,iccid,status\n" + "".join(f"NORTHSTAR,{iccid(n)},active\n" for n in range(900, 960)),
        encoding="utf-8",
    )

    def one(number: int) -> tuple[int, int, int, int]:
        with ExitStack() as opened:
            sources = find_sources([tmp_path / "devices.csv"], None, opened)
            return counts(import_data(Seat(world.store, "admin"), sources, tmp_path / f"{number}", batch=7))["devices"]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(one, range(2)))
    assert [sum(column) for column in zip(*done, strict=True)] == [60, 0, 60, 0]
    assert len(world.rows(device)) == 60


# --- where it comes from ---------------------------------------------------------------------------------------------


def test_an_old_database_is_read_by_a_mapping_file(world: World, do: Do, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("CREATE TABLE sim (carrier TEXT, icc TEXT, since TEXT, gone INTEGER)")
        old.executemany(
            "INSERT INTO sim VALUES (?, ?, ?, ?)",
            [("NORTHSTAR", iccid(number), "2026-10-01 08:15:00", number % 2) for number in range(900, 905)],
        )
    old.close()
    mapping = tmp_path / "old.toml"
    select = (
        "SELECT carrier AS service_provider, icc AS iccid, 'active' AS status, since AS activated_on, "
        "gone AS is_archived, ':x' AS name FROM sim"
    )
    mapping.write_text(f'source = "sqlite:///{tmp_path}/old.db"\n[tables]\ndevices = "{select}"\n', encoding="utf-8")
    assert counts(do(mapping)) == {"devices": (5, 0, 0, 0)}
    assert [(row.activated_on, row.is_archived, row.name) for row in world.rows(device)][:2] == [
        (date(2026, 10, 1), False, ":x"),
        (date(2026, 10, 1), True, ":x"),
    ]
    assert counts(do(mapping)) == {"devices": (0, 0, 5, 0)}


def test_a_statement_of_another_server_is_taken_as_it_is(world: World, do: Do, tmp_path: Path) -> None:
    """Colons and percent signs are the statement's own, and mean nothing to us."""
    for _ in range(4):
        world.device()
    statement = (
        "WITH mine AS (SELECT iccid, status FROM device WHERE iccid LIKE '89%') "
        "SELECT 'HARBOR' AS service_provider, iccid, status, '12:30 %s :x' AS name FROM mine"
    )
    mapping = tmp_path / "other.toml"
    mapping.write_text(f'source = "{world.store.url}"\n[tables]\ndevices = "{statement}"\n', encoding="utf-8")
    assert counts(do(mapping, batch=100)) == {"devices": (4, 0, 0, 0)}
    assert {row.name for row in world.rows(device, service_provider_id=HARBOR)} == {"12:30 %s :x"}


def test_a_mapping_file_that_cannot_be_used_is_refused(do: Do, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("CREATE TABLE sim (icc TEXT)")
    old.close()
    for text, code in (
        ('source = "postgresql+psycopg://me:hush@host/old"\n[tables]\n', "IMPORT_SOURCE_HAS_PASSWORD"),
        ('source = "sqlite:///{old}"\n[tables]\ndevices = "DELETE FROM sim"\n', "IMPORT_SELECT_INVALID"),
        ('source = "sqlite:///{old}"\n[tables]\ndevices = "SELECT nothing FROM sim"\n', "IMPORT_SELECT_FAILED"),
        ('source = "sqlite:///{old}"\n[tables]\ngadgets = "SELECT 1"\n', "IMPORT_TABLE_UNKNOWN"),
        ('source = "sqlite:///{old}"\npassword = "hush"\n[tables]\n', "IMPORT_MAPPING_INVALID"),
        ("source = \n", "IMPORT_MAPPING_INVALID"),
    ):
        (tmp_path / "old.toml").write_text(text.replace("{old}", str(tmp_path / "old.db")), encoding="utf-8")
        with pytest.raises(RequestRefused) as refused:
            do(tmp_path / "old.toml")
        assert refused.value.code == code
        assert "hush" not in f"{refused.value.message}{refused.value.what_to_do}"


def test_a_source_that_cannot_be_opened_is_named_with_what_mends_it(
    do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.db").write_text("no database at all", encoding="utf-8")
    monkeypatch.setenv(PASSWORD_VARIABLE, "hush")
    for source, code, words in (
        (f"sqlite:///{tmp_path}/gone.db", "DATABASE_MISSING", (f"{tmp_path}/gone.db", "mapping file")),
        (f"sqlite:///{tmp_path}/none.db", "DATABASE_NOT_A_DATABASE", (f"{tmp_path}/none.db", "mapping file")),
        ("postgresql+psycopg://me@127.0.0.1:1/old", "DATABASE_UNREACHABLE", ("me:***@127.0.0.1",)),
        ("mssql+pyodbc://me@127.0.0.1:1/old?driver=none", "DATABASE_DRIVER_MISSING", ("none", "in the source")),
    ):
        (tmp_path / "old.toml").write_text(
            f'source = "{source}"\n[tables]\ndevices = "SELECT iccid FROM sim"\n', encoding="utf-8"
        )
        with pytest.raises(EnvironmentFault) as fault:
            do(tmp_path / "old.toml")
        said = f"{fault.value.message} {fault.value.what_to_do}"
        assert fault.value.code == f"IMPORT_SOURCE_{code}"
        assert not [word for word in words if word not in said], said
        assert not [word for word in ("hush", "DATABASE_URL", "db upgrade", "('") if word in said], said


def test_a_workbook_has_a_sheet_for_each_table(world: World, do: Do, tmp_path: Path) -> None:
    import xlsxwriter

    path = tmp_path / "all.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Devices")
        dates = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["Service Provider", "ICCID", "Status", "Activated on", "MSISDN"])
        sheet.write_row(1, 0, ["NORTHSTAR", iccid(900), "test ready"])
        sheet.write_datetime(1, 3, date(2026, 11, 3), dates)
        sheet.write_number(1, 4, 12745550900)
        sheet.write_row(2, 0, ["NORTHSTAR", float(iccid(901)), "active"])
        book.add_worksheet("Notes").write(0, 0, "not a table")
        book.add_worksheet("customers").write_row(0, 0, ["account_number", "name"])
    report = do(path)
    assert counts(report) == {"customers": (0, 0, 0, 0), "devices": (1, 0, 0, 1)}
    assert wrong(report) == [(3, "iccid", "ROUNDED_BY_SPREADSHEET")]
    (row,) = world.rows(device)
    assert (row.status, row.activated_on, row.msisdn) == ("test_ready", date(2026, 11, 3), "12745550900")


def test_files_of_any_spreadsheet_are_read(world: World, do: Do, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    for number, (encoding, mark) in enumerate((("utf-8-sig", ","), ("cp1252", ";"), ("utf-16", "\t"))):
        path.write_text(f"account_number{mark}name\n7{number}{mark}Bäcker\n", encoding=encoding)
        assert counts(do(path)) == {"customers": (1, 0, 0, 0)}
        (row,) = world.rows(customer, account_number=f"7{number}")
        assert row.name == "Bäcker"


def test_columns_are_those_of_the_database_and_of_the_page() -> None:
    """What the reader gives is what the statements know; the page for people lists all of it."""
    from db.importing.batch import PARTS
    from desktop_app.association.import_rows import COLUMNS, DERIVED

    page = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")
    for table in ImportTable:
        given = {one.name for one in COLUMNS[table]} | {name for name, _ in DERIVED.get(table, ())}
        assert given == set(PARTS[table].types), table
        section = page.partition(f"### {table}\n")[2].partition("\n#")[0]
        assert {one.name for one in COLUMNS[table]} <= set(section.replace("`", " ").split()), table
