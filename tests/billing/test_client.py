"""The client against the real sandbox process, and against bare sockets for what no sandbox would send."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import QUOTA_USED_UP, LookupVerdict, PostVerdict
from desktop_app.billing import wire
from desktop_app.billing.client import BillingClient
from desktop_app.billing.exchange import CURRENT
from desktop_app.billing.launcher import SandboxAddress, read_ledger, set_faults
from desktop_app.billing.secrets import SANDBOX_LOGIN, BillingLogin
from desktop_app.billing.shapes import ReferenceFields
from desktop_app.billing.transport import Answer, Transport
from tests.billing.conftest import a_second_each_look, product_order, service_order, stands_still, yes
from tests.billing.raw_server import RawServer, answer
from tests.helpers.ports import closed_port

MakeClient = Callable[..., BillingClient]


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def made(sandbox: SandboxAddress, reference: str) -> int:
    """How many services the sandbox ever made for the reference."""
    found: dict[str, Any] = read_ledger(sandbox, reference=reference)["references"]
    return int(found.get(reference, {"services": 0})["services"])


def made_in_the_end(sandbox: SandboxAddress, reference: str, kind: str, count: int) -> bool:
    """Whether the sandbox made so many; what a client no longer waits for may take a moment."""
    while True:
        found = read_ledger(sandbox, reference=reference)["references"].get(reference, {"services": 0, "products": 0})
        if found[kind] >= count:
            return bool(found[kind] == count)
        time.sleep(0.02)


class TooLate:
    """A client whose deadline passes while it waits for an answer: when what it asked for has been made.

    Attributes:
        client: of the shared sandbox.
        once: what becomes true before the deadline of the call under way passes; None: it does not pass.
    """

    def __init__(self, make_client: MakeClient, url: str) -> None:
        self._now = 1000.0
        self.clock = lambda: self._now
        self.client = make_client(url, transport=Transport(url, timeout_s=60, clock=self.clock))
        self.once: Callable[[], bool] | None = None

    def before_reading(self) -> None:
        """Called by each socket before it looks for an answer."""
        if self.once is not None and CURRENT.get()._clock is self.clock:
            assert self.once()
            self.once = None
            self._now += 61


@pytest.fixture
def too_late(monkeypatch: pytest.MonkeyPatch, make_client: MakeClient, sandbox: SandboxAddress) -> TooLate:
    made = TooLate(make_client, sandbox.url)

    class Socket(wire._Socket):
        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            made.before_reading()
            return super().recv_into(*args, **kwargs)

    monkeypatch.setattr(wire, "_Socket", Socket)
    return made


# -------------------------------------------------------------------------------------------------------- what happened

FAULTS = [
    # fault, verdict, status, made
    ("", PostVerdict.CREATED, 201, 1),
    ("429", PostVerdict.BUSY, 429, 0),
    ("500-before", PostVerdict.UNKNOWN, 500, 0),
    ("500-after", PostVerdict.UNKNOWN, 500, 1),
    ("cut-before", PostVerdict.UNKNOWN, None, 0),
    ("cut-after", PostVerdict.UNKNOWN, None, 1),
    ("late", PostVerdict.UNKNOWN, None, 1),
    ("appears-late", PostVerdict.UNKNOWN, 500, 1),
]


@pytest.mark.parametrize(("fault", "verdict", "status", "count"), FAULTS)
def test_each_fault_gets_its_verdict(
    sandbox: SandboxAddress, too_late: TooLate, fault: str, verdict: PostVerdict, status: int | None, count: int
) -> None:
    client = too_late.client
    set_faults(sandbox, next=[fault])
    order = service_order()
    if fault == "late":
        too_late.once = lambda: made_in_the_end(sandbox, order.reference, "services", count)
    result = client.create_service(order, yes)
    assert (result.verdict, result.http_status) == (verdict, status)
    assert made_in_the_end(sandbox, order.reference, "services", count)
    assert (result.billing_id is not None) == (verdict is PostVerdict.CREATED)
    assert bool(result.reason) == (verdict is not PostVerdict.CREATED)
    assert result.retry_after_s == (1.0 if fault == "429" else None)
    # the client made one call and no second one, and goes on working
    assert client.create_service(service_order(), yes).verdict is PostVerdict.CREATED


@pytest.mark.parametrize(("fault", "verdict", "status", "count"), FAULTS)
def test_the_same_holds_for_products(
    sandbox: SandboxAddress, too_late: TooLate, fault: str, verdict: PostVerdict, status: int | None, count: int
) -> None:
    client = too_late.client
    service_id = client.create_service(service_order(), yes).billing_id
    assert service_id is not None
    set_faults(sandbox, next=[fault])
    order = product_order(service_id)
    if fault == "late":
        too_late.once = lambda: made_in_the_end(sandbox, order.reference, "products", count)
    result = client.add_product(order, yes)
    assert (result.verdict, result.http_status) == (verdict, status)
    assert made_in_the_end(sandbox, order.reference, "products", count)


def test_a_lease_that_ran_out_sends_nothing(client: BillingClient, sandbox: SandboxAddress) -> None:
    order = service_order()
    result = client.create_service(order, lambda: False)
    assert (result.verdict, result.http_status) == (PostVerdict.NOT_SENT, None)
    assert made(sandbox, order.reference) == 0


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_the_environment(client: BillingClient, sandbox: SandboxAddress, status: int) -> None:
    set_faults(sandbox, refuse_logins=status)
    result = client.create_service(service_order(), yes)
    assert (result.verdict, result.http_status) == (PostVerdict.ENVIRONMENT, status)
    assert "credential" in result.reason
    assert client.find_products("1").verdict is LookupVerdict.ENVIRONMENT
    assert client.ping() is LookupVerdict.ENVIRONMENT
    set_faults(sandbox, refuse_logins=0)
    assert client.ping() is LookupVerdict.ANSWERED


def test_a_wrong_password_is_the_environment(sandbox: SandboxAddress) -> None:
    wrong = BillingClient("sandbox", sandbox.url, BillingLogin("demo@sandbox", "no", "no"), timeout_s=60)
    assert wrong.create_service(service_order(), yes).http_status == 401
    wrong.close()


def test_a_server_that_is_not_there_is_the_environment(make_client: MakeClient) -> None:
    with closed_port() as port:
        client = make_client(f"http://127.0.0.1:{port}/v1")
        assert client.create_service(service_order(), yes).verdict is PostVerdict.ENVIRONMENT
        assert client.find_services("17", number="1").verdict is LookupVerdict.ENVIRONMENT
        assert client.ping() is LookupVerdict.ENVIRONMENT


def test_refused_data_says_why(client: BillingClient) -> None:
    result = client.create_service(service_order(number="1" * 256), yes)
    assert (result.verdict, result.http_status) == (PostVerdict.REFUSED, 400)
    assert result.answer == "number is longer than 255 characters."
    assert result.reason == "Billing at 127.0.0.1 refused it: number is longer than 255 characters."


ANSWERS = [
    # what a server may answer to a POST, verdict, id
    (answer("201 Created", b'{"ok": true, "id": 7}'), PostVerdict.CREATED, "7"),
    (answer("200 OK", b'{"ok": true, "id": "S-7"}'), PostVerdict.CREATED, "S-7"),
    (answer("201 Created", b'{"id": 7}'), PostVerdict.CREATED, "7"),
    (answer("201 Created", b'{"ok": false, "id": 7}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true}', "Location: /v1/Services/7"), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true, "id": null}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true, "id": true}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true, "id": 0}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true, "id": ""}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b'{"ok": true, "id": "see other"}'), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b"[7]"), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b"[" * 100_000), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b"<html>created</html>"), PostVerdict.UNKNOWN, None),
    (answer("201 Created", b"\xff\xfe\x00"), PostVerdict.UNKNOWN, None),
    (answer("204 No Content"), PostVerdict.UNKNOWN, None),
    (b'HTTP/1.1 201 Created\r\nContent-Length: 90\r\n\r\n{"ok": true, "id": 7}', PostVerdict.UNKNOWN, None),
    (answer("302 Found", b"", "Location: /elsewhere"), PostVerdict.UNKNOWN, None),
    (answer("400 Bad Request", b"Customer 17 is closed."), PostVerdict.REFUSED, None),
    (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 90\r\n\r\nCustomer", PostVerdict.REFUSED, None),
    (answer("404 Not Found"), PostVerdict.REFUSED, None),
    (answer("405 Method Not Allowed"), PostVerdict.REFUSED, None),
    (answer("408 Request Timeout"), PostVerdict.UNKNOWN, None),
    (answer("409 Conflict"), PostVerdict.REFUSED, None),
    (answer("418 I'm a teapot"), PostVerdict.UNKNOWN, None),
    (answer("422 Unprocessable"), PostVerdict.REFUSED, None),
    (answer("500 Internal Server Error"), PostVerdict.UNKNOWN, None),
    (answer("502 Bad Gateway", b"<html><h1>Bad gateway</h1></html>"), PostVerdict.UNKNOWN, None),
    (answer("503 Service Unavailable", b"", "Retry-After: 5"), PostVerdict.UNKNOWN, None),
    (answer("504 Gateway Timeout"), PostVerdict.UNKNOWN, None),
    (answer("599 Whatever"), PostVerdict.UNKNOWN, None),
]


@pytest.mark.parametrize(("raw", "verdict", "billing_id"), ANSWERS)
def test_each_answer_gets_its_verdict(
    server: RawServer, make_client: MakeClient, raw: bytes, verdict: PostVerdict, billing_id: str | None
) -> None:
    server.use(server.answers(raw))
    result = make_client(server.url).create_service(service_order(), yes)
    assert (result.verdict, result.billing_id) == (verdict, billing_id)
    assert result.http_status == int(raw[9:12])
    assert server.requests == 1


def test_what_is_posted(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.answers(*[answer("201 Created", b'{"ok": true, "id": 7}')] * 2))
    client = make_client(server.url)
    client.create_service(
        service_order(
            reference="AJ-1",
            number="+49170",
            service_type_id="4",
            package_id="P-5",
            address_id="006",
            description="Line of car 7",
            effective_date=date(2027, 1, 2),
        ),
        yes,
    )
    client.add_product(product_order("12", reference="AJ-2"), yes)
    heads, bodies = zip(*(request.split(b"\r\n\r\n", 1) for request in server.received), strict=True)
    assert json.loads(bodies[0]) == {
        "customer_id": 17, "provider_id": 3, "service_type_id": 4, "package_id": "P-5", "address_id": "006",
        "number": "+49170", "number2": "AJ-1", "description": "Line of car 7", "effective_date": "2027-01-02",
    }  # fmt: skip
    assert json.loads(bodies[1]) == {
        "service_id": 12, "product_id": 501, "generate_proration": True, "effective_date": "2026-11-24",
        "code_2": "AJ-2",
    }  # fmt: skip
    assert b"POST /v1/Services HTTP/1.1" in heads[0]
    assert b"POST /v1/ServiceProduct HTTP/1.1" in heads[1]
    for head in heads:
        assert b"\r\nOcp-Apim-Subscription-Key: sandbox-subscription-key\r\n" in head
        assert b"\r\nAuthorization: Basic " + b64encode(b"demo@sandbox:sandbox-password") + b"\r\n" in head


def test_the_reference_can_stand_in_the_description(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.answers(*[answer("201 Created", b'{"ok": true, "id": 7}')] * 2))
    client = make_client(server.url, references=ReferenceFields(service="description", product=""))
    client.create_service(service_order(reference="AJ-1", description="for the bill"), yes)
    client.add_product(product_order("12", reference="AJ-2"), yes)
    service, product = (json.loads(request.split(b"\r\n\r\n", 1)[1]) for request in server.received)
    assert service["description"] == "AJ-1"
    assert "number2" not in service
    assert "AJ-2" not in product.values()


# -------------------------------------------------------------------------------------------------------------- lookups


def test_finds_by_reference_and_by_number(client: BillingClient) -> None:
    order, other = service_order(), service_order()
    first = client.create_service(order, yes)
    client.create_service(other, yes)
    client.create_service(service_order(billing_customer_id="18", number=order.number), yes)
    by_reference = client.find_services("17", reference=order.reference)
    assert by_reference.verdict is LookupVerdict.ANSWERED
    assert [service.service_id for service in by_reference.services] == [first.billing_id]
    assert client.find_services("17", number=order.number) == by_reference
    found = by_reference.services[0]
    assert (found.billing_customer_id, found.number, found.reference, found.is_active) == (
        "17", order.number, order.reference, True,
    )  # fmt: skip
    assert client.find_services("17", reference="AJ-none").services == ()
    assert client.find_services("999", number=order.number).services == ()


def test_what_carries_our_reference_is_never_left_out(server: RawServer, make_client: MakeClient) -> None:
    rows = [
        {"service_id": 1, "customer_id": 17, "number": "1", "number2": ""},
        {"service_id": 2, "customer_id": 18, "number": "1", "number2": ""},
        {"service_id": 3, "customer_id": 18, "number": "2", "number2": "R"},
        {"service_id": 4, "number": "2", "number2": "R", "disconnected_date": "2020-01-01"},
        {"service_id": 5, "customer_id": 17, "number": None, "number2": None},
    ]
    listed = answer("200 OK", json.dumps({"ok": True, "has_more": False, "records": rows}).encode())
    server.use(server.answers(listed))
    found = make_client(server.url).find_services("017", reference="R", number="1").services
    # billing's 17 is our 017; the reference counts whoever's it is said to be
    assert [(each.service_id, each.billing_customer_id, each.is_active) for each in found] == [
        ("1", "017", True),
        ("3", "18", True),
        ("4", "", False),
    ]


@pytest.mark.parametrize("kind", ["sandbox", "revio"])
def test_a_server_that_ignores_filters_changes_nothing(
    sandbox: SandboxAddress, make_client: MakeClient, kind: str
) -> None:
    client = make_client(sandbox.url, kind=kind)
    order = service_order()
    first = client.create_service(order, yes)
    client.create_service(service_order(), yes)
    assert first.billing_id is not None
    client.add_product(product_order(first.billing_id), yes)
    set_faults(sandbox, ignore_filters=True)
    found = client.find_services("17", reference=order.reference, number=order.number)
    assert [service.service_id for service in found.services] == [first.billing_id]
    assert {product.service_id for product in client.find_products(first.billing_id).products} == {first.billing_id}


def test_all_services_of_a_customer_and_of_no_other(server: RawServer, make_client: MakeClient) -> None:
    rows = [
        {"service_id": 1, "customer_id": 17, "number": "1"},
        {"service_id": 2, "customer_id": 18, "number": "1"},
        {"service_id": 3, "customer_id": 17, "disconnected_date": "2020-01-01"},
    ]
    pages = [
        answer("200 OK", json.dumps({"ok": True, "has_more": more, "records": part}).encode())
        for part, more in ((rows[:2], True), (rows[2:], False))
    ]
    server.use(server.answers(*pages))
    found = make_client(server.url).customer_services("017")
    assert found.verdict is LookupVerdict.ANSWERED
    assert [(each.service_id, each.billing_customer_id, each.is_active) for each in found.services] == [
        ("1", "017", True),
        ("3", "017", False),
    ]
    paths = [request.split(b" ")[1] for request in server.received]
    assert paths[0] == b"/v1/Services?search.customer_id=017&page=1&page_size=500"


def test_a_customer_that_could_not_be_read_to_the_end_has_no_services(
    sandbox: SandboxAddress, make_client: MakeClient
) -> None:
    set_faults(sandbox, refuse_logins=403)
    found = make_client(sandbox.url).customer_services("17")
    assert (found.verdict, found.services) == (LookupVerdict.ENVIRONMENT, ())
    assert "refused the credential" in found.reason


def test_an_unproven_number_filter_is_not_trusted(server: RawServer, make_client: MakeClient) -> None:
    empty = answer("200 OK", b'{"ok": true, "has_more": false, "record_count": 0, "records": []}')
    server.use(server.answers(empty, empty))
    by_kind = make_client(server.url, kind="revio")
    proven = make_client(server.url, kind="revio", number_filter=True)
    assert (by_kind.finds_by_number, proven.finds_by_number) == (False, True)
    for client in (by_kind, proven):
        client.find_services("17", number="+49")
    paths = [request.split(b" ")[1] for request in server.received]
    assert paths == [
        b"/v1/Services?search.customer_id=17&page=1&page_size=500",
        b"/v1/Services?search.customer_id=17&search.number=%2B49&page=1&page_size=500",
    ]


def test_products_of_a_service(client: BillingClient) -> None:
    service = client.create_service(service_order(), yes).billing_id
    assert service is not None
    order = product_order(service, product_id="502")
    product = client.add_product(order, yes)
    found = client.find_products(service).products
    assert [(each.service_product_id, each.service_id, each.product_id, each.reference) for each in found] == [
        (product.billing_id, service, "502", order.reference)
    ]
    assert found[0].is_active
    assert client.find_products("999999").products == ()


def test_all_pages_are_read(sandbox: SandboxAddress, make_client: MakeClient) -> None:
    pauses: list[None] = []

    def before_further_page(_may_go_on: Callable[[], bool]) -> float:
        pauses.append(None)
        return 0.0

    client = make_client(sandbox.url, before_further_page=before_further_page)
    ids = {client.create_service(service_order(billing_customer_id="77"), yes).billing_id for _ in range(501)}
    listed = client.list_services()
    assert listed.verdict is LookupVerdict.ANSWERED
    assert {each.service_id for each in listed.services if each.billing_customer_id == "77"} == ids
    assert len(pauses) == (len(listed.services) - 1) // 500


def page_of(*ids: int, has_more: bool, count: object = None, reference: str = "R") -> bytes:
    records = [{"service_id": each, "customer_id": 17, "number": "1", "number2": reference} for each in ids]
    counted = {} if count is None else {"record_count": count}
    return answer("200 OK", json.dumps({"ok": True, "has_more": has_more, "records": records} | counted).encode())


LISTS = [
    # pages, verdict, ids that are found
    ([page_of(1, 2, has_more=False)], LookupVerdict.ANSWERED, ["1", "2"]),
    ([page_of(1, has_more=True), page_of(2, has_more=False)], LookupVerdict.ANSWERED, ["1", "2"]),
    # has_more stays true on the last page: an empty one ends the list
    (
        [page_of(1, has_more=True), page_of(2, has_more=True), page_of(has_more=True)],
        LookupVerdict.ANSWERED,
        ["1", "2"],
    ),
    # an empty first page that goes on says nothing of what is there
    ([page_of(has_more=True)], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=True, count=7), page_of(has_more=True, count=7)], LookupVerdict.RETRY, []),
    # nor does one that counts what it does not have
    ([page_of(has_more=False, count=37)], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=False, count=2)], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=True, count=1), page_of(has_more=False, count=37)], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=True, count=2), page_of(2, 3, has_more=True, count=1)], LookupVerdict.RETRY, []),
    # counted are the entries of the page, or of all pages; what is no number counts nothing
    ([page_of(1, 2, has_more=False, count=2)], LookupVerdict.ANSWERED, ["1", "2"]),
    ([page_of(1, has_more=True, count=1), page_of(2, has_more=False, count=1)], LookupVerdict.ANSWERED, ["1", "2"]),
    ([page_of(1, has_more=True, count=2), page_of(2, has_more=False, count=2)], LookupVerdict.ANSWERED, ["1", "2"]),
    ([page_of(1, has_more=False, count="many")], LookupVerdict.ANSWERED, ["1"]),
    # a server that ignores the page would be asked for ever
    ([page_of(1, has_more=True), page_of(1, has_more=True)], LookupVerdict.RETRY, []),
    # what is incomplete is no answer: the missing page could hold our service
    ([page_of(1, has_more=True), answer("500 Oops")], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=True), answer("429 Too Many")], LookupVerdict.BUSY, []),
    ([page_of(1, has_more=True), b""], LookupVerdict.RETRY, []),
    ([page_of(1, has_more=True), answer("401 Unauthorized")], LookupVerdict.ENVIRONMENT, []),
    ([answer("200 OK", b'{"ok": true, "records": []}')], LookupVerdict.RETRY, []),
    ([answer("200 OK", b'{"ok": false, "has_more": false, "records": []}')], LookupVerdict.RETRY, []),
    ([answer("200 OK", b'{"ok": true, "has_more": false, "records": [1]}')], LookupVerdict.RETRY, []),
    ([answer("200 OK", b'{"ok": true, "has_more": false, "records": [{}]}')], LookupVerdict.RETRY, []),
    ([answer("200 OK", b"[]")], LookupVerdict.RETRY, []),
    ([answer("200 OK", b"not JSON")], LookupVerdict.RETRY, []),
    ([answer("302 Found")], LookupVerdict.RETRY, []),
    ([answer("404 Not Found")], LookupVerdict.RETRY, []),
    ([b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"ok": true'], LookupVerdict.RETRY, []),
]


@pytest.mark.parametrize(("pages", "verdict", "ids"), LISTS)
def test_a_list_is_complete_or_no_answer(
    server: RawServer, make_client: MakeClient, pages: list[bytes], verdict: LookupVerdict, ids: list[str]
) -> None:
    server.use(server.answers(*pages))
    found = make_client(server.url).find_services("17", reference="R")
    assert (found.verdict, [service.service_id for service in found.services]) == (verdict, ids)
    assert bool(found.reason) == (verdict is not LookupVerdict.ANSWERED)
    assert server.requests == len(pages)


TWO_PAGES = [page_of(1, has_more=True), page_of(2, has_more=False)]


def test_a_search_that_may_not_go_on_asks_for_no_further_page(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.answers(*TWO_PAGES))
    found = make_client(server.url).find_services("17", reference="R", may_go_on=lambda: False)
    assert (found.verdict, found.services, server.requests) == (LookupVerdict.NOT_ASKED, (), 1)
    assert "was not asked for the rest of its list" in found.reason


def test_a_quota_that_is_used_up_between_two_pages_is_no_answer(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.answers(*TWO_PAGES))
    found = make_client(server.url, before_further_page=lambda _may_go_on: 3_600.0).find_services("17", reference="R")
    assert (found.verdict, found.services, server.requests) == (LookupVerdict.NOT_ASKED, (), 1)
    assert (found.reason, found.retry_after_s) == (QUOTA_USED_UP, 3_600.0)


class Shrinking:
    """A list of two pages, which the server gives from its records as they are at each call."""

    host = "billing"

    def __init__(self, *leave: str, number: str = "1") -> None:
        self.records: list[dict[str, Any]] = [
            {"service_id": each, "customer_id": 17, "number": number, "number2": f"R{each}"} for each in range(1, 502)
        ]
        self.leave = list(leave)
        self.pages: list[int] = []

    def call(self, _method: str, _path: str, *, query: dict[str, Any], headers: object) -> Answer:
        number = query["page"]
        self.pages.append(number)
        shown = self.records[(number - 1) * 500 : number * 500]
        body = {"ok": True, "has_more": len(self.records) > number * 500, "records": shown}
        if self.leave:
            gone = self.leave.pop(0)
            self.records = [record for record in self.records if record["number2"] != gone]
        return Answer(200, {}, json.dumps(body).encode(), is_complete=True)

    def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("reference", "leave", "pages", "found"),
    [
        ("R501", ("R4",), [1, 2, 2, 1], ["501"]),  # it moved onto the first page after that had been read
        ("R501", ("",), [1, 2], ["501"]),
        ("R3", ("",), [1, 2], ["3"]),
        ("other", ("",), [1, 2, 2, 1], []),
    ],
)
def test_what_leaves_a_list_while_it_is_read_hides_nothing(
    reference: str, leave: tuple[str, ...], pages: list[int], found: list[str]
) -> None:
    """Only where nothing of ours was found is it read a second time, and from its end."""
    list_of_two = Shrinking(*leave)
    asked: list[object] = []

    def a_page_more(may_go_on: object) -> float:
        asked.append(may_go_on)
        return 0.0

    client = BillingClient(
        "revio", "https://billing/v1", SANDBOX_LOGIN, timeout_s=1.0, transport=list_of_two,  # type: ignore[arg-type]
        before_further_page=a_page_more,
    )  # fmt: skip
    services = client.find_services("17", reference=reference).services
    assert ([one.service_id for one in services], list_of_two.pages) == (found, pages)
    assert len(asked) == len(pages) - 1, "each page but the first is taken from the quota"


def test_what_has_ended_under_the_same_number_does_not_stand_for_ours() -> None:
    """SIMs go from hand to hand: that the number was billed before says nothing of what left its place in the list."""
    list_of_two = Shrinking("R4", number="1")
    list_of_two.records[0] |= {"number": "2", "disconnected_date": "2026-01-31"}
    client = BillingClient(
        "revio", "https://billing/v1", SANDBOX_LOGIN, timeout_s=1.0, transport=list_of_two,  # type: ignore[arg-type]
    )  # fmt: skip
    services = client.find_services("17", reference="R501", number="2").services
    assert {(one.service_id, one.is_active) for one in services} == {("501", True), ("1", False)}


def test_a_lookup_that_gets_429_says_when_to_ask_again(client: BillingClient, sandbox: SandboxAddress) -> None:
    set_faults(sandbox, get_rates={"429": 1}, retry_after_s=7)
    found = client.find_services("17", reference="R")
    assert (found.verdict, found.retry_after_s) == (LookupVerdict.BUSY, 7.0)


def test_a_lookup_keeps_its_deadline(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.drips(b"HTTP/1.1 200 OK\r\n\r\n", b" "))
    transport = Transport(server.url, timeout_s=40, clock=a_second_each_look())
    assert make_client(server.url, transport=transport).find_products("1").verdict is LookupVerdict.RETRY


def test_search_lags_behind(client: BillingClient, sandbox: SandboxAddress) -> None:
    set_faults(sandbox, search_lag_ms=3_600_000)
    order = service_order()
    client.create_service(order, yes)
    assert client.find_services("17", reference=order.reference).services == ()
    set_faults(sandbox, search_lag_ms=0)
    assert len(client.find_services("17", reference=order.reference).services) == 1


def test_a_service_that_appears_late(client: BillingClient, sandbox: SandboxAddress) -> None:
    set_faults(sandbox, next=["appears-late"], appears_late_ms=300)
    order = service_order()
    assert client.create_service(order, yes).verdict is PostVerdict.UNKNOWN
    while not client.find_services("17", reference=order.reference).services:
        time.sleep(0.05)  # it has to come, or the test never ends
    assert made(sandbox, order.reference) == 1


def test_a_search_needs_something_to_look_for(client: BillingClient) -> None:
    with pytest.raises(ValueError, match="reference or a number"):
        client.find_services("17")


# -------------------------------------------------------------------------------------------------------------- secrets

SECRET = BillingLogin("me@company", 'p"ä&ss/wörd', "key+0123456789")


@pytest.mark.parametrize("status", ["201 Created", "400 Bad Request", "401 Unauthorized", "429 Too Many", "500 Oops"])
def test_secrets_that_a_server_sends_back_are_hidden(server: RawServer, status: str) -> None:
    basic = b64encode(f"{SECRET.login}:{SECRET.password}".encode()).decode()
    echoes = [
        SECRET.password, SECRET.subscription_key, basic, json.dumps(SECRET.password), f"me@company:{SECRET.password}",
        "p%22%C3%A4%26ss%2Fw%C3%B6rd", "p&quot;ä&amp;ss/wörd", "key%2B0123456789",
    ]  # fmt: skip
    body = json.dumps({"ok": True, "id": 7, "echo": echoes}, ensure_ascii=False).encode()
    for sent in (body, "; ".join(echoes).encode(), json.dumps({"message": " ".join(echoes)}).encode()):
        server.use(server.answers(answer(status, sent)))
        client = BillingClient("sandbox", server.url, SECRET, timeout_s=60)
        result = client.create_service(service_order(), yes)
        found = client.find_products("1")
        client.close()
        for text in (repr(result), repr(found), repr(client), repr(SECRET)):
            assert not any(secret in text for secret in (*echoes, "wörd", "w\\u00f6rd", "0123456789", basic[4:]))
        server.connections = 0


def test_an_answer_is_one_short_line(server: RawServer, make_client: MakeClient) -> None:
    server.use(server.answers(answer("400 Bad Request", b"first line\r\n\t\x00second " + b"x" * 100_000)))
    result = make_client(server.url).create_service(service_order(), yes)
    assert result.answer.startswith("first line second xxx")
    assert len(result.answer) == 400
    assert len(result.reason) <= 400


# ------------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "url", ["", "billing", "ftp://billing", "https://", "https://me:pw@billing/v1", "https://b:x/v1"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        BillingClient("sandbox", url, SANDBOX_LOGIN, timeout_s=1)
    assert caught.value.code == "BILLING_URL_BAD"
    assert "pw" not in f"{caught.value} {caught.value.what_to_do}"


@pytest.mark.parametrize(
    ("kind", "url", "is_safe"),
    [
        ("revio", "http://api.revioapi.com/v1", False),
        ("revio", "https://api.revioapi.com/v1", True),
        ("revio", "http://127.0.0.1:1/v1", True),
        ("revio", "http://localhost:1/v1", True),
        ("sandbox", "http://billing.lan/v1", True),
    ],
)
def test_a_real_password_does_not_travel_in_clear(kind: str, url: str, is_safe: bool) -> None:
    if is_safe:
        BillingClient(kind, url, SANDBOX_LOGIN, timeout_s=1).close()
        return
    with pytest.raises(EnvironmentFault) as caught:
        BillingClient(kind, url, SANDBOX_LOGIN, timeout_s=1)
    assert caught.value.code == "BILLING_URL_UNSAFE"


# --- everything at once


def test_no_verdict_is_ever_a_lie(sandbox: SandboxAddress, make_client: MakeClient) -> None:
    """Many threads, every fault, a rate limit: what the verdict says was made was made, once; what not, never."""
    # each answer is waited for so long, and nothing else: who stands still meanwhile has not failed to reach billing
    client = make_client(sandbox.url, transport=Transport(sandbox.url, timeout_s=1.0, clock=stands_still))
    rates = dict.fromkeys(("429", "500-before", "500-after", "cut-before", "cut-after", "appears-late"), 0.06)
    set_faults(sandbox, rates={**rates, "late": 0.01}, appears_late_ms=50, seed=7)
    orders = [service_order(number="1" * 256) if each % 25 == 0 else service_order() for each in range(400)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda order: client.create_service(order, yes), orders))
    set_faults(sandbox, reset=True)
    references = read_ledger(sandbox)["references"]
    for order, result in zip(orders, results, strict=True):
        ids = [str(each) for each in references.get(order.reference, {"service_ids": []})["service_ids"]]
        match result.verdict:
            case PostVerdict.CREATED:
                assert ids == [result.billing_id]
            case PostVerdict.UNKNOWN:
                assert len(ids) <= 1
            case _:
                assert ids == []
    verdicts = Counter(result.verdict for result in results)
    assert set(verdicts) == {PostVerdict.CREATED, PostVerdict.UNKNOWN, PostVerdict.BUSY, PostVerdict.REFUSED}
