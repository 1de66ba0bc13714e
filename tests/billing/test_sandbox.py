"""The sandbox as a billing company: what it accepts and refuses, how it misbehaves, and that it forgets nothing."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop_app.billing.launcher import SandboxAddress, find_sandbox, read_ledger, seed_catalogue, set_faults
from desktop_app.billing.sandbox import api
from desktop_app.billing.sandbox.__main__ import main
from desktop_app.billing.sandbox.faults import BadFault, Faults
from desktop_app.billing.transport import Answer, CallFailed, Transport
from tests.helpers.ports import port_of_its_own
from tests.helpers.sandboxes import sandbox_of

CREDENTIAL = {
    "Authorization": "Basic " + b64encode(f"{api.LOGIN}:{api.PASSWORD}".encode()).decode(),
    "Ocp-Apim-Subscription-Key": api.SUBSCRIPTION_KEY,
}
CATALOGUE: dict[str, list[dict[str, Any]]] = {
    "customers": [{"customer_id": 1, "name": "Alder"}, {"customer_id": "2", "name": "Birch"}],
    "providers": [{"provider_id": 10}, {"provider_id": 11}],
    "service_types": [{"service_type_id": 20}],
    "products": [{"product_id": 30, "provider_id": 10}, {"product_id": 31, "provider_id": 11}, {"product_id": 32}],
    "packages": [{"package_id": 40, "provider_id": 10}],
    "package_products": [
        {"package_id": 40, "product_id": 30, "description": "Data"},
        {"package_id": 40, "product_id": 32, "description": "Pool"},
    ],
    "addresses": [{"address_id": 50, "customer_id": 1}],
}
SERVICE = {"customer_id": 1, "provider_id": 10, "number": "+491701", "number2": "AJ-1"}


class Company:
    """A sandbox as its customer's program sees it."""

    def __init__(self, address: SandboxAddress) -> None:
        self.address = address
        self.transport = Transport(address.url, timeout_s=60, headers=CREDENTIAL)

    def get(self, path: str, **query: str | int) -> Answer:
        return self.transport.call("GET", path, query=query)

    def list(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        query = {name.replace("search_", "search."): value for name, value in query.items()}
        return list(self.transport.call("GET", path, query=query).json()["records"])

    def post(self, path: str, body: object, fault: str = "") -> Answer:
        headers = {"X-Sandbox-Fault": fault} if fault else {}
        return self.transport.call("POST", path, body=json.dumps(body).encode(), headers=headers)

    def put(self, path: str, body: object) -> Answer:
        return self.transport.call("PUT", path, body=json.dumps(body).encode())

    def create(self, path: str, body: object) -> int:
        got = self.post(path, body)
        assert got.status == 201, got.body
        return int(got.json()["id"])


@pytest.fixture
def company(start_sandbox: Callable[..., SandboxAddress]) -> Iterator[Company]:
    """A sandbox of its own, with a catalogue."""
    made = Company(start_sandbox())
    seed_catalogue(made.address, CATALOGUE)
    yield made
    made.transport.close()


@pytest.fixture(scope="module")
def catalogued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A sandbox with a catalogue, for tests that only ask what it accepts."""
    from desktop_app.billing.launcher import ensure_sandbox, stop
    from tests.billing.conftest import COMMAND

    made = Company(ensure_sandbox(tmp_path_factory.mktemp("catalogued"), command=COMMAND, start_timeout_s=100))
    seed_catalogue(made.address, CATALOGUE)
    yield made
    made.transport.close()
    stop(made.address)


# --- what it accepts


def test_a_service_is_made_listed_and_read(company: Company) -> None:
    got = company.post(
        "/Services",
        {**SERVICE, "service_type_id": 20, "address_id": 50, "description": "Car", "effective_date": "2027-01-02"},
    )
    service_id = got.json()["id"]
    assert (got.status, got.json()) == (201, {"ok": True, "id": service_id})
    assert got.headers["location"] == f"/v1/Services/{service_id}"
    expected = {
        "service_id": service_id, "customer_id": 1, "provider_id": 10, "service_type_id": 20, "package_id": None,
        "number": "+491701", "number2": "AJ-1", "description": "Car", "usage_plan_group_id": None,
        "provider_account_id": None, "address_id": 50, "effective_date": "2027-01-02", "activated_date": "2027-01-02",
        "disconnected_date": None,
    }  # fmt: skip
    assert company.get(f"/Services/{service_id}").json() == {"ok": True, **expected}
    assert company.list("/Services") == [expected]


def test_a_package_brings_its_products(company: Company) -> None:
    service_id = company.create("/Services", {**SERVICE, "package_id": 40})
    products = company.list("/ServiceProduct", search_service_id=service_id)
    assert [(each["product_id"], each["package_id"], each["description"]) for each in products] == [
        (30, 40, "Data"),
        (32, 40, "Pool"),
    ]
    ledger = read_ledger(company.address)
    assert ledger["references"]["AJ-1"]["package_products"] == 2
    assert ledger["duplicates"] == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"customer_id": None}, "customer_id is required."),
        ({"customer_id": 3}, "Customer 3 does not exist."),
        ({"customer_id": [1]}, "customer_id is not an id."),
        ({"customer_id": True}, "customer_id is not an id."),
        ({"customer_id": 0}, "customer_id is not an id."),
        ({"customer_id": -1}, "customer_id is not an id."),
        ({"number": "\ud800"}, "The body is not JSON."),
        ({"provider_id": ""}, "provider_id is required."),
        ({"provider_id": 12}, "Provider 12 does not exist."),
        ({"service_type_id": 21}, "Service type 21 does not exist."),
        ({"package_id": 41}, "Package 41 does not exist."),
        ({"package_id": 40, "provider_id": 11}, "Package 40 belongs to provider 10, not to provider 11."),
        ({"address_id": 51}, "Address 51 does not exist."),
        ({"address_id": 50, "customer_id": 2}, "Address 50 does not belong to customer 2."),
        ({"number": "1" * 256}, "number is longer than 255 characters."),
        ({"number2": "1" * 256}, "number2 is longer than 255 characters."),
        ({"number": 17}, "number has to be text."),
        ({"provider_account_id": "AJ-1"}, "provider_account_id has to be a whole number."),
        ({"effective_date": "tomorrow"}, "effective_date is not a date such as 2026-11-24."),
        ({"effective_date": 20261124}, "effective_date is not a date such as 2026-11-24."),
    ],
)
def test_a_service_that_is_refused(catalogued: Company, change: dict[str, Any], sentence: str) -> None:
    before = read_ledger(catalogued.address)["totals"]
    got = catalogued.post("/Services", {**SERVICE, **change})
    assert (got.status, got.json()) == (400, {"ok": False, "message": sentence})
    assert read_ledger(catalogued.address)["totals"] == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"[" * 100_000, b'{"a": "' + b"x" * 1_000_000 + b'"}'])
def test_a_body_that_is_none(catalogued: Company, body: bytes) -> None:
    assert catalogued.transport.call("POST", "/Services", body=body).status == 400


@pytest.mark.parametrize("number", ["1" * 255, "", None])
def test_a_number_may_be_long_or_missing(catalogued: Company, number: str | None) -> None:
    catalogued.create("/Services", {**SERVICE, "number": number})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"service_id": None}, "service_id is required."),
        ({"service_id": 99}, "Service 99 does not exist."),
        ({"product_id": 39}, "Product 39 does not exist."),
        ({"product_id": 31}, "Product 31 belongs to provider 11, not to provider 10."),
        ({"generate_proration": None}, "generate_proration is required, true or false."),
        ({"rate": -1}, "rate has to be a number, 0 or more."),
        ({"status": "GONE"}, "status has to be one of PENDING, ACTIVE, DENIED, DISCONNECTED."),
    ],
)
def test_a_product_that_is_refused(catalogued: Company, change: dict[str, Any], sentence: str) -> None:
    service_id = catalogued.create("/Services", SERVICE)
    body = {"service_id": service_id, "product_id": 30, "generate_proration": True, **change}
    got = catalogued.post("/ServiceProduct", body)
    assert (got.status, got.json()["message"]) == (400, sentence)


def test_a_service_is_ended(catalogued: Company) -> None:
    service_id = catalogued.create("/Services", SERVICE)
    body = {"service_id": service_id, "product_id": 30, "generate_proration": True}
    product_id = catalogued.create("/ServiceProduct", body)
    ended = {"disconnected_date": "2026-01-31"}
    refused = catalogued.put(f"/Services/{service_id}", ended)
    assert refused.status == 400
    assert "hold the same date" in refused.json()["message"]
    assert catalogued.put(f"/ServiceProduct/{product_id}", {**body, "canceled_date": "2026-01-31"}).status == 200
    assert catalogued.put(f"/Services/{service_id}", ended).status == 200
    assert catalogued.get(f"/Services/{service_id}").json()["disconnected_date"] == "2026-01-31"
    refused = catalogued.post("/ServiceProduct", body)
    assert refused.json()["message"] == f"Service {service_id} is disconnected; products cannot be added to it."


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"rate": 5}, 200),
        ({"status": "DENIED"}, 200),
        ({"status": "ACTIVE", "rate": 6}, 200),  # the status it has is no change
        ({"status": "PENDING", "rate": 6}, 400),
        ({"status": "DISCONNECTED"}, 400),
        ({"rate": -1}, 400),
        ({"product_id": 32}, 400),
        ({"generate_proration": None}, 400),
        ({"service_id": 10_001}, 400),
    ],
)
def test_a_product_is_changed(catalogued: Company, change: dict[str, Any], status: int) -> None:
    body = {"service_id": catalogued.create("/Services", SERVICE), "product_id": 30, "generate_proration": False}
    product_id = catalogued.create("/ServiceProduct", body)
    assert catalogued.put(f"/ServiceProduct/{product_id}", {**body, **change}).status == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Services/1", 404),
        ("GET", "/Services/x", 404),
        ("PUT", "/Services/1", 404),
        ("GET", "/Customers/3", 404),
        ("GET", "/Nothing", 404),
        ("DELETE", "/Services", 405),
        ("PUT", "/Services", 405),
        ("POST", "/Customers", 405),
        ("PATCH", "/Services/1", 405),
        ("OPTIONS", "/Services/1", 405),
    ],
)
def test_what_does_not_exist(catalogued: Company, method: str, path: str, status: int) -> None:
    got = catalogued.transport.call(method, path, body=b"{}")
    assert (got.status, got.json()["ok"]) == (status, False)


@pytest.mark.parametrize("missing", ["Authorization", "Ocp-Apim-Subscription-Key"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_halves_of_the_credential_are_needed(sandbox: SandboxAddress, missing: str, method: str) -> None:
    transport = Transport(sandbox.url, timeout_s=60)
    for wrong in ({}, {missing: "wrong"}, {missing: "wörng"}):
        headers = {name: value for name, value in CREDENTIAL.items() if name != missing} | wrong
        assert transport.call(method, "/Services", body=b"{}", headers=headers).status == 401
    transport.close()


# --- lists


def test_lists_come_in_pages(company: Company) -> None:
    ids = [company.create("/Services", {**SERVICE, "customer_id": 1 + each % 2}) for each in range(25)]
    first = company.get("/Services").json()
    assert (first["has_more"], first["record_count"]) == (True, 10)
    assert [row["service_id"] for row in company.list("/Services", page=2, page_size=20)] == ids[20:]
    assert company.get("/Services", page=2, page_size=20).json()["has_more"] is False
    assert company.list("/Services", page=9) == []
    for name, value in (("page", 0), ("page_size", 0), ("page_size", 501), ("page", "x"), ("page", -1)):
        assert company.get("/Services", **{name: value}).status == 400


def test_lists_are_filtered(company: Company) -> None:
    one = company.create("/Services", {**SERVICE, "number": "111"})
    two = company.create("/Services", {**SERVICE, "number": "222", "number2": "AJ-2"})
    three = company.create("/Services", {**SERVICE, "number": "222", "customer_id": 2})

    def ids(**search: str | int) -> list[int]:
        return [row["service_id"] for row in company.list("/Services", **search)]

    assert ids(search_number="222") == [two, three]
    assert ids(search_customer_id=1) == [one, two]
    assert ids(search_customer_id=1, search_number="222") == [two]
    assert ids(search_number2="AJ-2") == [two]
    assert ids(search_number="333") == []
    assert company.list("/Products", search_provider_id=11) == [{"product_id": 31, "provider_id": 11}]
    assert company.get("/Customers/2").json() == {"ok": True, "customer_id": "2", "name": "Birch"}


def test_the_catalogue_is_added_to(company: Company) -> None:
    counts = seed_catalogue(company.address, {"customers": [{"customer_id": 2, "name": "Beech"}, {"customer_id": 3}]})
    assert (counts["customers"], counts["products"]) == (3, 3)
    assert company.get("/Customers/2").json()["name"] == "Beech"


# --- faults


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [("429", 429, 0), ("500-before", 500, 0), ("500-after", 500, 1), ("cut-before", None, 0), ("cut-after", None, 1)],
)
def test_a_fault_on_demand(company: Company, fault: str, status: int | None, made: int) -> None:
    if status is None:
        with pytest.raises(CallFailed):
            company.post("/Services", SERVICE, fault)
    else:
        got = company.post("/Services", SERVICE, fault)
        assert got.status == status
        assert ("retry-after" in got.headers) == (fault == "429")
    ledger = read_ledger(company.address)
    assert ledger["totals"]["services"] == made
    assert ledger["calls"]["faults"] == {fault: 1}


@pytest.mark.parametrize(("latest", "status"), [("500", 500), ("cut", None), ("late", 201)])
def test_what_appears_late_is_counted_at_once_and_seen_later(company: Company, latest: str, status: int | None) -> None:
    set_faults(company.address, appears_late_ms=3_600_000, appears_late_answer=latest, late_ms=50)
    try:
        got: int | None = company.post("/Services", SERVICE, "appears-late").status
    except CallFailed:
        got = None
    assert got == status
    assert company.list("/Services") == []
    ledger = read_ledger(company.address)
    assert (ledger["totals"]["services"], ledger["totals"]["not_yet_visible"]) == (1, 1)
    service_id = ledger["references"]["AJ-1"]["service_ids"][0]
    assert company.get(f"/Services/{service_id}").status == 404


def test_a_service_can_be_made_after_the_client_has_left(company: Company) -> None:
    set_faults(company.address, process_delay_ms=3_600_000)
    impatient = Transport(company.address.url, timeout_s=60, headers=CREDENTIAL)

    def post() -> None:
        with pytest.raises(CallFailed):
            impatient.call("POST", "/Services", body=json.dumps(SERVICE).encode())

    thread = threading.Thread(target=post)
    thread.start()
    while read_ledger(company.address)["calls"]["POST"] == 0:  # until it has been read
        time.sleep(0.02)
    impatient.close()
    thread.join()
    assert read_ledger(company.address)["totals"]["services"] == 0
    set_faults(company.address, process_delay_ms=0)
    while read_ledger(company.address)["totals"]["services"] == 0:
        time.sleep(0.02)


def test_a_get_cannot_have_a_fault_that_makes_something(company: Company) -> None:
    got = company.transport.call("GET", "/Services", headers={"X-Sandbox-Fault": "cut-after"})
    assert got.status == 400


def test_the_rate_limit_says_when_to_come_back(company: Company) -> None:
    set_faults(company.address, rate_per_minute=3)
    began = time.monotonic()
    answers = [company.post("/Services", SERVICE) for _ in range(5)]
    passed = time.monotonic() - began
    assert [got.status for got in answers] == [201, 201, 201, 429, 429]
    assert 60 - passed <= int(answers[-1].headers["retry-after"]) <= 60
    assert read_ledger(company.address)["calls"]["429"] == 2


def test_the_same_seed_gives_the_same_faults() -> None:
    def sequence(seed: int) -> list[str]:
        faults = Faults()
        faults.change({"rates": {"429": 0.2, "cut-after": 0.3}, "seed": seed})
        return [faults.draw(is_get=False, header="") for _ in range(400)]

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)
    assert 0.15 < sequence(1).count("429") / 400 < 0.25
    assert 0.25 < sequence(1).count("cut-after") / 400 < 0.35


def test_the_limit_counts_any_sixty_seconds() -> None:
    faults = Faults(rate_per_minute=2)
    assert [faults.over_limit(at) for at in (0.0, 30.0, 59.5, 60.0, 60.1, 89.9, 90.0)] == [0, 0, 1, 0, 30, 1, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": {}},
        {"rates": {"explode": 0.1}},
        {"rates": {"429": 1.5}},
        {"rates": {"429": 0.6, "late": 0.6}},
        {"rates": {"429": True}},
        {"rates": []},
        {"get_rates": {"cut-after": 0.1}},
        {"next": "429"},
        {"next": ["explode"]},
        {"seed": 1.5},
        {"latency_ms": -1},
        {"latency_ms": "1"},
        {"refuse_logins": 500},
        {"appears_late_answer": "later"},
        {"ignore_filters": 1},
    ],
)
def test_settings_that_are_none_change_nothing(settings: dict[str, Any]) -> None:
    faults = Faults()
    before = faults.settings()
    with pytest.raises(BadFault):
        faults.change({"latency_ms": 5, **settings})
    assert faults.settings() == before


def test_bad_faults_are_refused_over_http_and_on_the_command_line(
    sandbox: SandboxAddress, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transport = Transport(sandbox.control_url, timeout_s=60)
    refused = [
        ("/faults", b"[]"),
        ("/faults", b"{"),
        ("/catalogue", b"[]"),
        ("/catalogue", b'{"planets": []}'),
        ("/catalogue", b'{"customers": [{}]}'),
        ("/users", b"{}"),
        ("/users", b'{"pid": -1}'),
    ]
    for path, body in refused:
        assert transport.call("POST", path, body=body).status == 400
    transport.close()
    for bad in ("explode=1", "429", "429=x", "429=2"):
        assert main(["--data-dir", str(tmp_path), "--fault", bad]) == 2
    assert "429=0.02" in capsys.readouterr().err


# --- ledger


def test_the_ledger_lists_what_was_made_twice(company: Company) -> None:
    twice = [company.create("/Services", SERVICE) for _ in range(2)]
    once = company.create("/Services", {**SERVICE, "number2": "AJ-2"})
    product = {"service_id": once, "product_id": 30, "generate_proration": True, "code_2": "AJ-2"}
    products = [company.create("/ServiceProduct", product) for _ in range(2)]
    company.create("/ServiceProduct", {**product, "product_id": 32})  # another plan under the same reference
    company.create("/Services", {**SERVICE, "number2": ""})
    ledger = read_ledger(company.address)
    assert ledger["duplicates"] == [
        {"kind": "service", "reference": "AJ-1", "ids": twice},
        {"kind": "product", "reference": "AJ-2", "ids": products},
    ]
    assert ledger["totals"] == {"services": 4, "products": 3, "not_yet_visible": 0, "without_reference": 1}
    assert ledger["references"]["AJ-1"]["service_ids"] == twice
    assert (ledger["calls"]["POST"], ledger["calls"]["GET"]) == (7, 0)
    assert read_ledger(company.address, reference="AJ-1")["totals"]["services"] == 2


def test_the_reference_can_stand_in_another_field(start_sandbox: Callable[..., SandboxAddress]) -> None:
    address = start_sandbox(accept_any=True, reference_field="description")
    company = Company(address)
    company.create("/Services", {**SERVICE, "description": "AJ-9"})
    company.transport.close()
    assert list(read_ledger(address)["references"]) == ["AJ-9"]


# --- memory


def test_everything_is_known_again_after_a_kill(start_sandbox: Callable[..., SandboxAddress]) -> None:
    company = Company(start_sandbox(port=port_of_its_own()))
    seed_catalogue(company.address, CATALOGUE)
    service_id = company.create("/Services", {**SERVICE, "package_id": 40})
    body = {"service_id": service_id, "product_id": 30, "generate_proration": True, "code_2": "AJ-1"}
    product_id = company.create("/ServiceProduct", body)
    company.put(f"/ServiceProduct/{product_id}", {**body, "rate": 7})
    company.put(f"/Services/{service_id}", {"description": "changed"})
    services, products = company.list("/Services"), company.list("/ServiceProduct")
    ledger = read_ledger(company.address)
    kill(company.address)
    again = Company(start_sandbox())
    assert again.address.instance != company.address.instance
    assert again.address.url == company.address.url  # clients find it where it was
    assert (again.list("/Services"), again.list("/ServiceProduct")) == (services, products)
    for part in ("references", "totals", "duplicates"):
        assert read_ledger(again.address)[part] == ledger[part]
    assert again.create("/Services", SERVICE) > service_id
    for each in (company, again):
        each.transport.close()


def test_what_was_answered_survives_a_kill_in_the_middle_of_it(
    company: Company, start_sandbox: Callable[..., SandboxAddress]
) -> None:
    answered: list[int] = []

    def post_until_it_breaks() -> None:
        with contextlib.suppress(CallFailed):
            while (got := company.post("/Services", SERVICE)).is_complete:  # the kill may come between head and body
                answered.append(int(got.json()["id"]))

    threads = [threading.Thread(target=post_until_it_breaks) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(answered) < 60:
        time.sleep(0.005)
    kill(company.address)
    for thread in threads:
        thread.join()
    again = Company(start_sandbox())
    pages = (again.list("/Services", page=page, page_size=500) for page in itertools.count(1))
    kept = [row["service_id"] for rows in itertools.takewhile(bool, pages) for row in rows]
    assert len(answered) == len(set(answered))
    assert set(answered) <= set(kept)
    assert len(kept) <= len(answered) + len(threads)  # at most what was under way
    again.transport.close()


def journal(tmp_path: Path) -> Path:
    return tmp_path / "data" / "billing-sandbox" / "journal.jsonl"


@pytest.mark.parametrize("torn", [b'{"op":"make","service":[{"id"', b"\x00\x00", b"not json\n"])
def test_a_torn_last_line_is_dropped(
    company: Company, start_sandbox: Callable[..., SandboxAddress], tmp_path: Path, torn: bytes
) -> None:
    company.create("/Services", SERVICE)
    kill(company.address)
    with journal(tmp_path).open("ab") as file:
        file.write(torn)
    again = Company(start_sandbox())
    assert len(again.list("/Services")) == 1
    again.create("/Services", SERVICE)
    kill(again.address)
    once_more = Company(start_sandbox())
    assert len(once_more.list("/Services")) == 2
    for each in (again, once_more):
        each.transport.close()


def test_a_damaged_journal_is_not_taken_for_an_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal(tmp_path).parent.mkdir(parents=True)
    journal(tmp_path).write_bytes(b'garbage\n{"op":"catalogue","sections":{}}\n')
    assert main(["--data-dir", str(tmp_path / "data")]) == 3
    assert "line 1 is damaged" in capsys.readouterr().err


# --- its life


def test_only_one_runs_on_a_folder(company: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data-dir", str(tmp_path / "data")]) == 75
    assert "Another billing sandbox runs" in capsys.readouterr().err
    assert sandbox_of(tmp_path / "data") == company.address


def test_a_port_that_is_taken(company: Company, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = company.address.url.split(":")[2].split("/")[0]
    assert main(["--data-dir", str(tmp_path / "other"), "--port", port]) == 3
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["terminate", "stop"])
def test_a_clean_end_removes_the_address(tmp_path: Path, how: str) -> None:
    child = subprocess.Popen([sys.executable, "-m", "desktop_app.billing.sandbox", "--data-dir", str(tmp_path)])
    try:
        while (address := find_sandbox(tmp_path)) is None:
            assert child.poll() is None
            time.sleep(0.02)
        if how == "terminate":
            child.terminate()
        else:
            transport = Transport(address.control_url, timeout_s=60)
            transport.call("POST", "/stop", body=b"{}")
            transport.close()
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert not (tmp_path / "sandbox.json").exists()


def test_it_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    command = [sys.executable, "-m", "desktop_app.billing.sandbox", "--data-dir", str(tmp_path)]
    child = subprocess.Popen([*command, "--parent-pid", str(parent.pid)])
    try:
        while find_sandbox(tmp_path) is None:
            assert child.poll() is None
            time.sleep(0.02)
        parent.communicate(b"\n")
        assert child.wait(60) == 0
    finally:
        for process in (parent, child):
            process.kill()
            process.wait()


def test_it_does_not_start_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert main(["--data-dir", str(tmp_path), "--parent-pid", str(gone.pid)]) == 0
    assert not (tmp_path / "sandbox.json").exists()


def test_it_listens_on_this_machine_alone(sandbox: SandboxAddress) -> None:
    assert sandbox.url.startswith("http://127.0.0.1:")


def kill(address: SandboxAddress) -> None:
    assert address.process is not None
    address.process.kill()
    address.process.wait()


def test_kill_is_a_kill(company: Company) -> None:
    """The helper itself: the process had no chance to tidy up."""
    kill(company.address)
    assert company.address.process is not None
    assert company.address.process.returncode == (1 if os.name == "nt" else -9)
