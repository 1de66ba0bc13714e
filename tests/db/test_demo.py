"""The demo data: the same every time, right in every digit, and each case of the check is really that case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from sqlalchemy import func, select
from stdnum import imei as stdnum_imei
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from db import work
from db.demo import identifiers
from db.demo.billing import billing_catalogue
from db.demo.cases import CARRIER_PLAN, CASES, find_case, find_customer, pick_for_demo_job
from db.demo.devices import KINDS
from db.demo.generate import generate
from db.demo.names import CARRIERS
from db.maintenance import upgrade
from db.schema import (
    billing_service,
    cross_provider_device_history,
    customer,
    device,
    device_history,
    device_ownership,
    job,
    metadata,
    operator,
    work_order,
)
from db.unit_of_work import Store
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
    CheckReport,
    DeviceStatus,
    Severity,
)
from desktop_app.association.states import JobState, WorkOrderState
from desktop_app.association.work_orders import Instructions
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.databases import Databases
from tests.helpers.stores import DEMO_DEVICES, demo_store


@pytest.fixture
def demo(databases: Databases) -> Iterator[Store]:
    with demo_store(databases) as store:
        with store.read() as uow:
            at = uow.now()
        store.clock = lambda _: at  # no midnight lies within a test
        yield store


def today(store: Store) -> date:
    with store.read() as uow:
        return uow.today()


def usual_request(lines: tuple[str, ...], who: str = "main", **changes: Any) -> AssociationRequest:
    asked: dict[str, Any] = {
        "devices": AskedLines(lines),
        "customer": find_customer(who),
        "create_billing_service": True,
        "carrier_rate_plans": tuple(CarrierPlanChoice(CARRIER_PLAN, carrier.code) for carrier in CARRIERS),
        "customer_rate_plan": "FLEET-50MB" if who == "main" else "DATA-5MB",
    }
    return AssociationRequest(**{**asked, **changes})


def findings_by_device(report: CheckReport) -> dict[str, list[tuple[str, Severity]]]:
    found: dict[str, list[tuple[str, Severity]]] = {}
    for finding in report.findings:
        found.setdefault(finding.asked_for, []).append((finding.code, finding.severity))
    return found


# --- what is there ---------------------------------------------------------------------------------------------------


def test_every_table_of_the_story_has_rows(demo: Store) -> None:
    empty = {"audit_entry", "engine", "quota_window", "scheduled_plan_change"}
    with demo.read() as uow:
        counts = {
            name: uow.connection.scalar(select(func.count()).select_from(table))
            for name, table in metadata.tables.items()
        }
        statuses = set(uow.connection.execute(select(device.c.status)).scalars())
    assert counts["device"] == DEMO_DEVICES
    assert {name for name, count in counts.items() if not count} <= empty
    assert statuses == set(DeviceStatus)


def test_identifiers_are_right_in_every_digit(demo: Store) -> None:
    with demo.read() as uow:
        rows = uow.connection.execute(
            select(device.c.iccid, device.c.imei, device.c.imei_14, device.c.msisdn, device.c.eid)
        ).all()
    for iccid, imei, imei_14, msisdn, eid in rows:
        assert iccid.startswith("89")
        assert len(iccid) in {19, 20}
        luhn.validate(iccid)
        if imei is not None:
            stdnum_imei.validate(imei)
            assert imei_14 == imei[:14]
        if msisdn is not None:
            assert phonenumbers.is_possible_number(phonenumbers.parse(f"+{msisdn}"))
            assert msisdn[4:7] == "555", "an exchange that no carrier gives away"
        if eid is not None:
            assert len(eid) == 32
            mod_97_10.validate(eid)
    assert sum(1 for row in rows if row.eid) > DEMO_DEVICES // 5


def test_identifiers_do_not_repeat() -> None:
    numbers = range(0, 1_000_000, 7)
    for name, made in {
        "iccid 19": {identifiers.iccid("8901990", 19, number) for number in numbers},
        "iccid 20": {identifiers.iccid("8947993", 20, number) for number in numbers},
        "imei": {identifiers.imei(number) for number in numbers},
        "msisdn": {identifiers.msisdn(number) for number in numbers},
        "eid": {identifiers.eid(number) for number in numbers},
    }.items():
        assert len(made) == len(numbers), name


def _everything(path: Path, seed: int) -> dict[str, list[tuple[Any, ...]]]:
    with Store(f"sqlite:///{path}") as store:
        store.clock = lambda _: datetime(2026, 11, 24, 12, tzinfo=UTC)
        upgrade(store)
        generate(store, 600, seed=seed)
        with store.read() as uow:
            return {
                name: [tuple(row) for row in uow.connection.execute(select(table).order_by(*table.primary_key))]
                for name, table in metadata.tables.items()
                if name != "installation_setting"
            }


def test_the_same_seed_gives_the_same_data(tmp_path: Path) -> None:
    first = _everything(tmp_path / "1.db", 1)
    assert first == _everything(tmp_path / "2.db", 1)
    other = _everything(tmp_path / "3.db", 2)
    for name in ("device", "customer", "device_ownership", "job"):
        assert first[name] != other[name], name


def test_shares_are_those_that_were_meant(demo: Store) -> None:
    assert sum(kind.share for kind in KINDS) == 1000
    with demo.read() as uow:
        count = select(func.count())
        owned = uow.connection.scalar(count.where(device_ownership.c.state == "active"))
        active = uow.connection.scalar(count.where(device.c.status == "active"))
    assert owned is not None
    assert active is not None
    assert 0.5 < owned / DEMO_DEVICES < 0.7
    assert 0.5 < active / DEMO_DEVICES < 0.8


def test_numbering_goes_on_behind_the_demo_data(demo: Store) -> None:
    with demo.begin() as uow:
        for table in (customer, operator, job, work_order, billing_service, device):
            row = uow.connection.execute(select(table).limit(1)).mappings().one()
            taken = {column.name for column in table.c if column.unique} | {"id", "account_number", "iccid", "line"}
            values = {name: f"new-{name}" if name in taken else value for name, value in row.items() if name != "id"}
            values |= {"line": 9_999} if table is work_order else {}
            values |= {"reference": "new", "service_id": "new"} if table is billing_service else {}
            highest = uow.connection.scalar(select(func.max(table.c.id)))
            made = uow.connection.execute(table.insert().values(**values)).inserted_primary_key
            assert made is not None
            assert made[0] == (highest or 0) + 1, table.name


def test_a_database_that_is_in_use_is_refused(demo: Store) -> None:
    with pytest.raises(RequestRefused) as caught:
        generate(demo, 600)
    assert caught.value.code == "DATABASE_NOT_EMPTY"
    with demo.read() as uow:
        assert uow.connection.scalar(select(func.count()).select_from(device)) == DEMO_DEVICES


@pytest.mark.parametrize(("devices", "customers"), [(499, 40), (500, 39)])
def test_too_few_to_show_every_case_is_refused(store: Store, devices: int, customers: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate(store, devices, customers=customers)
    with store.read() as uow:
        assert uow.connection.scalar(select(func.count()).select_from(customer)) == 0


# --- the cases -------------------------------------------------------------------------------------------------------


def test_each_case_is_what_the_check_says(demo: Store) -> None:
    with demo.read() as uow:
        chosen = {name: find_case(uow, name, 4) for name in CASES}
    assert {name for name, iccids in chosen.items() if not iccids} == set()
    lines = tuple(dict.fromkeys(iccid for iccids in chosen.values() for iccid in iccids))
    report = check_request(Seat(demo, "operator"), usual_request(lines))
    assert not report.request_blocked
    found = findings_by_device(report)
    for name, iccids in chosen.items():
        for iccid in iccids:
            first = next(iter(found.get(iccid, ())), (None, Severity.WARNING))
            assert first == (
                CASES[name].code,
                Severity.BLOCKED if CASES[name].blocked else Severity.WARNING,
            ), f"{name} {iccid}: {found.get(iccid)}"


def test_a_case_of_another_customer_is_seen_from_there(demo: Store) -> None:
    with demo.read() as uow:
        iccids = find_case(uow, "kept", 5, account_number=find_customer("second"))
    assert iccids
    seat = Seat(demo, "operator")
    theirs = usual_request(iccids, "second", create_billing_service=False, effective_date=today(demo))
    assert check_request(seat, theirs).ready == len(iccids)
    found = findings_by_device(check_request(seat, usual_request(iccids)))
    assert {codes[0][0] for codes in found.values()} == {"OWNED_BY_ANOTHER"}


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("main", None),
        ("second", None),
        ("third", None),
        ("inactive", "CUSTOMER_INACTIVE"),
        ("without_site", "SITE_MISSING"),
        ("without_default_site", "SITE_MISSING"),
        ("without_account_number", "ACCOUNT_NUMBER_MISSING"),
        ("not_at_billing", "BILLING_CUSTOMER_MISSING"),
        ("without_address", "BILLING_ADDRESS_MISSING"),
        ("mapping_with_gaps", "CUSTOMER_PLAN_NOT_MAPPED"),
        ("credential_closed", "BILLING_CREDENTIAL_INACTIVE"),
        ("default_credential", None),
        ("starts_later", None),
    ],
)
def test_each_special_customer_is_there_for_its_reason(demo: Store, who: str, code: str | None) -> None:
    with demo.read() as uow:
        ready = find_case(uow, "ready", 20)
    report = check_request(Seat(demo, "operator"), usual_request(ready, who))
    about_the_request = [finding.code for finding in report.findings if finding.line == 0]
    assert about_the_request == ([] if code is None else [code])
    of_devices = {finding.code for finding in report.findings if finding.line and finding.severity is Severity.BLOCKED}
    expected = {"starts_later": {"BEFORE_CUSTOMER_START"}, "mapping_with_gaps": {"PROVIDER_NOT_MAPPED"}}
    assert of_devices == expected.get(who, set())


def test_a_gap_in_the_mapping_blocks_its_devices(demo: Store) -> None:
    with demo.read() as uow:
        ready = find_case(uow, "ready", 60)
    request = usual_request(ready, "mapping_with_gaps", customer_rate_plan=None)
    report = check_request(Seat(demo, "operator"), request)
    assert 0 < report.blocked < len(ready)
    assert {finding.code for finding in report.findings if finding.severity is Severity.BLOCKED} == {
        "PROVIDER_NOT_MAPPED"
    }


def test_what_the_operators_may(demo: Store) -> None:
    with demo.read() as uow:
        ready = find_case(uow, "ready", 2)
        of_second = find_case(uow, "kept", 2, account_number=find_customer("second"))
        of_third = find_case(uow, "kept", 2, account_number=find_customer("third"))

    def codes(login: str, lines: tuple[str, ...], who: str = "main", **changes: Any) -> set[str]:
        report = check_request(Seat(demo, login), usual_request(lines, who, **changes))
        return {finding.code for finding in report.findings if finding.severity is Severity.BLOCKED}

    def taken_over(login: str, lines: tuple[str, ...]) -> set[str]:
        return codes(login, lines, reassign=True, effective_date=today(demo))

    assert codes("operator", ready) == codes("limited", ready) == set()
    assert codes("viewer", ready) == {"NOT_PERMITTED"}
    with pytest.raises(NotFound):
        codes("limited", ready, "third")
    assert taken_over("operator", of_second) == taken_over("operator", of_third) == set()
    assert taken_over("limited", of_second) == set()
    assert taken_over("limited", of_third) == {"REASSIGN_NOT_PERMITTED"}


# --- a job to show ---------------------------------------------------------------------------------------------------


def test_the_demo_job_is_blocked_as_it_says(demo: Store) -> None:
    with demo.read() as uow:
        picked = pick_for_demo_job(uow, 160, 0.15)
        assert pick_for_demo_job(uow, 160, 0.15) == picked
    seat = Seat(demo, "operator")
    report = check_request(seat, picked.request)
    assert (report.blocked, report.ready + report.warnings) == (picked.blocked, 160 - picked.blocked)
    assert picked.blocked == 24
    assert report.duplicates == 0
    assert report.warnings > 0
    causes = {group.code for group in report.groups if group.severity is Severity.BLOCKED}
    assert causes == {case.code for case in CASES.values() if case.blocked} | {"NOT_FOUND"}
    written = {len(line.replace(" ", "")) for line in picked.lines}
    assert {12, 15, 19, 20, 32} <= written, "identifiers of all four kinds"

    submitted = submit_request(seat, picked.request, report.fingerprint, "demo")
    assert (submitted.submitted, submitted.rejected) == (160 - picked.blocked, picked.blocked)
    with demo.read() as uow:
        again = pick_for_demo_job(uow, 50)
    assert check_request(seat, again.request).blocked == again.blocked, "what is in a job now is not picked as ready"


def test_a_demo_job_that_is_too_large_is_refused(demo: Store) -> None:
    with demo.read() as uow, pytest.raises(NotFound) as caught:
        pick_for_demo_job(uow, DEMO_DEVICES)
    assert caught.value.code == "TOO_FEW_READY"


def test_without_demo_data_nothing_is_picked(store: Store) -> None:
    with store.read() as uow, pytest.raises(NotFound) as caught:
        pick_for_demo_job(uow)
    assert caught.value.code == "NO_DEMO_DATA"


# --- the past --------------------------------------------------------------------------------------------------------


def test_jobs_of_the_past_are_over_and_nothing_is_left_to_do(demo: Store) -> None:
    with demo.read() as uow:
        states = set(uow.connection.execute(select(job.c.state)).scalars())
        documents = list(uow.connection.execute(select(job.c.instructions)).scalars())
        due = work.due_jobs(uow)
        work_order_states = set(uow.connection.execute(select(work_order.c.state)).scalars())
    final = {JobState.COMPLETED, JobState.PARTIALLY_COMPLETED, JobState.FAILED, JobState.CANCELLED}
    assert states == {JobState.PAUSED, *final}
    assert not due, "no engine finds anything to do in fresh demo data"
    assert work_order_states == {
        WorkOrderState.SUCCEEDED, WorkOrderState.FAILED, WorkOrderState.REJECTED, WorkOrderState.CANCELLED,
        WorkOrderState.QUEUED,
    }  # fmt: skip
    for document in documents:
        assert Instructions.from_document(document).to_document() == document


def test_history_knows_the_same_sim_on_another_provider(demo: Store) -> None:
    with demo.read() as uow:
        noted = uow.connection.execute(
            select(device_history.c.event, cross_provider_device_history.c.matched_by).join(
                device_history, device_history.c.id == cross_provider_device_history.c.device_history_id
            )
        ).all()
    assert {row.matched_by for row in noted} == {"eid"}
    assert {row.event for row in noted} == {"assigned", "ended"}


# --- billing ---------------------------------------------------------------------------------------------------------


def test_the_billing_company_knows_all_that_the_database_refers_to(demo: Store) -> None:
    with demo.read() as uow:
        catalogue = billing_catalogue(uow)
        services = uow.connection.execute(
            select(billing_service.c.service_id, billing_service.c.is_active, billing_service.c.reference)
        ).all()
        credentials = uow.connection.execute(select(billing_service.c.billing_credential_id).distinct()).scalars().all()
    assert credentials == [1], (
        "one sandbox plays the billing company of every credential, so only one has services there"
    )
    sections = {
        name: {str(row[key]) for row in catalogue[name]}
        for name, key in {
            "customers": "customer_id", "addresses": "address_id", "providers": "provider_id",
            "service_types": "service_type_id", "products": "product_id", "packages": "package_id",
        }.items()
    }  # fmt: skip
    assert len(sections["products"]) == len(catalogue["products"]), "each id stands for one product"
    for entry in (entry for name in catalogue for entry in catalogue[name]):
        for section, key in (("customers", "customer_id"), ("providers", "provider_id"), ("products", "product_id")):
            assert key not in entry or entry[key] in sections[section]
    known = {row["service_id"]: row for row in catalogue["services"]}
    assert {row.service_id for row in services} == set(known)
    for row in services:
        assert (known[row.service_id]["disconnected_date"] is None) == row.is_active
        assert known[row.service_id]["number2"] == (row.reference or "")
