"""One call at a time against servers that misbehave on the level of bytes: what was sent, and when does it end?"""

from __future__ import annotations

import gc
import itertools
import logging
import random
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.util.retry import Retry

from desktop_app.billing import wire
from desktop_app.billing.addresses import Addresses
from desktop_app.billing.exchange import CURRENT, Exchange
from desktop_app.billing.transport import MAX_ANSWER_BYTES, MAX_IDLE_S, CallFailed, Stage, Transport
from tests.billing.conftest import a_second_each_look, stands_still
from tests.billing.raw_server import RawServer, answer, hang_up, reset
from tests.helpers.ports import closed_port

CREATED = answer("201 Created", b'{"ok": true, "id": 12}', "Content-Type: application/json")


@pytest.fixture
def make_transport() -> Iterator[Callable[..., Transport]]:
    """Makes transports. Unless the test has a clock of its own no time passes for them: no connection was idle for too
    long and no deadline has passed because the test, or its server, stood still for a while."""
    made: list[Transport] = []

    def make(
        url: str, timeout_s: float = 60.0, clock: Callable[[], float] = stands_still, **options: object
    ) -> Transport:
        made.append(Transport(url, timeout_s=timeout_s, clock=clock, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


MakeTransport = Callable[..., Transport]


def fails(transport: Transport, method: str = "POST", **options: object) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        transport.call(method, "/Services", body=b"{}", **options)  # type: ignore[arg-type]
    return caught.value


def never_asked() -> bool:
    raise AssertionError("may_send was asked")


# ----------------------------------------------------------------------------------------------- what is sent, and read


def test_sends_one_request_and_reads_its_answer(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.answers(CREATED))
    got = make_transport(server.url, headers={"X-One": "1"}).call(
        "POST", "/Services", query={"a b": "ü&", "n": 2}, body=b'{"x":1}', headers={"X-Two": "2"}
    )
    assert (got.status, got.body, got.is_complete) == (201, b'{"ok": true, "id": 12}', True)
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {"ok": True, "id": 12}
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/Services?a+b=%C3%BC%26&n=2 HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}".encode(),
        b"Accept-Encoding: identity",
        b"X-One: 1",
        b"X-Two: 2",
        b"Content-Type: application/json",
        b"Content-Length: 7",
    ]
    assert body == b'{"x":1}'


@pytest.mark.parametrize(
    ("address", "target"),
    [("", "/"), ("/", "/"), ("/hook/", "/hook/"), ("/hook?key=1", "/hook?key=1"), ("?key=1", "/?key=1")],
)
def test_an_address_is_called_as_it_stands(
    server: RawServer, make_transport: MakeTransport, address: str, target: str
) -> None:
    server.use(server.answers(answer("200 OK")))
    make_transport(f"http://127.0.0.1:{server.port}{address}").call("GET", "")
    assert server.received[0].split(b" ")[1].decode() == target


def test_calls_share_a_connection_one_after_the_other(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.answers(*[CREATED] * 3))
    transport = make_transport(server.url)
    for _ in range(3):
        transport.call("POST", "/Services", body=b"{}")
    assert (server.connections, server.requests) == (1, 3)


def test_a_connection_that_the_server_ends_is_not_used_again(server: RawServer, make_transport: MakeTransport) -> None:
    closing = answer("201 Created", b"{}", "Connection: close")
    server.use(server.answers(closing, closing))
    transport = make_transport(server.url)
    transport.call("POST", "/Services", body=b"{}")
    transport.call("POST", "/Services", body=b"{}")
    assert (server.connections, server.requests) == (2, 2)


def test_a_kept_connection_that_died_meanwhile_is_replaced_before_anything_is_sent(
    server: RawServer, make_transport: MakeTransport
) -> None:
    server.use(server.answers(CREATED))  # closes after one answer, without having said so
    transport = make_transport(server.url)
    transport.call("POST", "/Services", body=b"1")
    _until_the_idle_connection_is_dead(transport)
    transport.call("POST", "/Services", body=b"2")
    assert [request[-1:] for request in server.received] == [b"1", b"2"]
    assert server.connections == 2


def test_a_request_that_meets_a_closing_connection_is_not_sent_again(
    server: RawServer, make_transport: MakeTransport
) -> None:
    def one_then_swallow(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(CREATED)
        server.read(connection)
        reset(connection)

    server.use(one_then_swallow, server.answers(CREATED))
    transport = make_transport(server.url)
    transport.call("POST", "/Services", body=b"1")
    assert fails(transport).stage is Stage.SENT
    assert (server.connections, server.requests) == (1, 2)


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    server: RawServer, make_transport: MakeTransport
) -> None:
    now = [1000.0]
    server.use(server.answers(CREATED, CREATED))
    transport = make_transport(server.url, clock=lambda: now[0])
    transport.call("POST", "/Services", body=b"{}")
    now[0] += MAX_IDLE_S + 0.1
    transport.call("POST", "/Services", body=b"{}")
    assert server.connections == 2


def test_connections_that_are_no_longer_needed_are_closed(server: RawServer, make_transport: MakeTransport) -> None:
    now = [1000.0]
    together = threading.Barrier(3)
    gone = threading.Semaphore(0)

    def script(connection: socket.socket) -> None:
        server.read(connection)
        if server.connections <= 3:
            together.wait(60)
        connection.sendall(CREATED)
        server.read(connection)
        gone.release()

    server.use(script)
    transport = make_transport(server.url, clock=lambda: now[0])
    threads = [threading.Thread(target=transport.call, args=("GET", "/x")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now[0] += MAX_IDLE_S + 1
    transport.call("GET", "/x")
    for _ in range(3):
        gone.acquire()  # each of the three came to its end, though the transport lives on
    assert len(transport._idle) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_redirects_are_not_followed(server: RawServer, make_transport: MakeTransport, status: str) -> None:
    server.use(server.answers(answer(status, b"", f"Location: {server.url}/Elsewhere")))
    assert make_transport(server.url).call("POST", "/Services", body=b"{}").status == int(status[:3])
    assert server.requests == 1


def test_a_redirect_is_not_read_further_than_any_other_answer(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.drips(b"HTTP/1.1 302 Found\r\nLocation: http://[broken/\r\n\r\n", b" " * 4_000_000))
    got = make_transport(server.url).call("POST", "/Services", body=b"{}")
    assert (got.status, got.is_complete) == (302, False)
    assert len(got.body) < MAX_ANSWER_BYTES + 1_000_000


@pytest.mark.parametrize("value", ["1\r\nY: 2", "1\nY: 2", "€"])
def test_a_header_cannot_smuggle_another_one(server: RawServer, make_transport: MakeTransport, value: str) -> None:
    server.use(server.answers(CREATED))
    with pytest.raises(ValueError, match="line break") as caught:
        make_transport(server.url).call("POST", "/Services", headers={"X": value})
    assert value not in "".join(traceback.format_exception(caught.value)).replace(repr(value), "")
    assert server.connections == 0


def test_nothing_comes_from_the_environment(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    server.use(server.answers(CREATED))
    with closed_port() as port:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{port}")
        assert make_transport(server.url).call("POST", "/Services", body=b"{}").status == 201
    assert b"authorization" not in server.received[0].lower()


def test_no_cookie_is_kept(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.answers(*[answer("200 OK", b"", "Set-Cookie: a=1; Path=/")] * 2))
    transport = make_transport(server.url)
    for _ in range(2):
        transport.call("GET", "/Services")
    assert (server.connections, server.requests) == (1, 2)
    assert b"cookie" not in server.received[1].lower()
    ((session, _),) = transport._idle
    assert not session.cookies


def test_an_interim_answer_is_not_taken_for_the_next_requests(server: RawServer, make_transport: MakeTransport) -> None:
    def hints_and_answers_late(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        if server.read(connection):
            connection.sendall(answer("201 Created", b"of the first request"))

    server.use(hints_and_answers_late, server.answers(answer("201 Created", b"of the second")))
    transport = make_transport(server.url)
    assert transport.call("POST", "/Services", body=b"{}").status == 103
    assert transport.call("POST", "/Services", body=b"{}").body == b"of the second"


@pytest.mark.parametrize("status", ["429 Too Many", "503 Unavailable"])
def test_who_is_told_to_come_again_does_not(server: RawServer, make_transport: MakeTransport, status: str) -> None:
    server.use(server.answers(answer(status, b"", "Retry-After: 0")))
    assert make_transport(server.url).call("GET", "/Services").status == int(status[:3])
    assert server.requests == 1


def test_the_address_stands_in_no_log(
    server: RawServer, make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[logging.LogRecord] = []

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [Log()])
    # the library warns of such an answer
    server.use(server.answers(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n"))
    make_transport(f"{server.url}/hook?key=hush").call("POST", "", body=b"{}")
    assert not [record for record in records if "hush" in record.getMessage()]


# ------------------------------------------------------------------------------------------------------------ no answer


ENDLESS = {
    "status line": (b"HTTP/1.1 201 Cre", b"a"),
    "headers": (b"HTTP/1.1 201 Created\r\nX-Long: ", b"a"),
    "ever more headers": (b"HTTP/1.1 201 Created\r\n", b"X: 1\r\n"),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_dripping_server_is_cut_at_the_deadline(server: RawServer, make_transport: MakeTransport, name: str) -> None:
    server.use(server.drips(*ENDLESS[name]))
    transport = make_transport(server.url, timeout_s=40, clock=a_second_each_look())
    assert fails(transport).stage is Stage.SENT  # it would drip for ever
    assert server.requests == 1


def test_a_silent_server_is_left_at_the_deadline(server: RawServer, make_transport: MakeTransport) -> None:
    """In real time, which is asked for when the request has left."""
    server.use(server.drips(b"", b""))
    failed = fails(make_transport(server.url, timeout_s=0.3))
    assert (failed.stage, failed.reason) == (Stage.SENT, "did not answer in time")


@pytest.mark.parametrize(
    "start", [b"Content-Length: 1000000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n{"]
)
def test_a_dripping_body_is_cut_at_the_deadline(server: RawServer, make_transport: MakeTransport, start: bytes) -> None:
    drop = b"1\r\n \r\n" if b"chunked" in start else b" "
    server.use(server.drips(b"HTTP/1.1 201 Created\r\n" + start, drop))
    transport = make_transport(server.url, timeout_s=40, clock=a_second_each_look())
    got = transport.call("POST", "/Services", body=b"{}")
    assert (got.status, got.is_complete, got.json()) == (201, False, None)


def test_the_deadline_counts_the_time_that_the_machine_slept(server: RawServer, make_transport: MakeTransport) -> None:
    """The lid is closed while the answer is on its way: on waking no time is left, however much keeps coming in."""
    now = [1000.0]

    def falls_asleep(connection: socket.socket) -> None:
        server.read(connection)
        now[0] += 7200
        server.drip(connection, b"a")

    server.use(falls_asleep)
    assert fails(make_transport(server.url, timeout_s=3600, clock=lambda: now[0])).stage is Stage.SENT


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A clock; to connect takes ten seconds of it."""
    now = [1000.0]

    class Slow(wire._Socket):
        def connect(self, address: object) -> None:
            super().connect(address)  # type: ignore[arg-type]
            now[0] += 10

    monkeypatch.setattr(wire, "_Socket", Slow)
    return lambda: now[0]


def test_no_time_left_after_connecting_sends_nothing(
    server: RawServer, slow: Callable[[], float], make_transport: MakeTransport
) -> None:
    server.use(server.answers(CREATED))
    failed = fails(make_transport(server.url, timeout_s=6.0, clock=slow), may_send=never_asked)
    assert (failed.stage, server.requests) == (Stage.NOT_SENT, 0)


BROKEN: dict[str, Callable[[RawServer], Callable[[socket.socket], None]]] = {
    "closed without a byte": lambda server: server.answers(b""),
    "half a status line": lambda server: server.answers(b"HTTP/1.1 20"),
    "half the headers": lambda server: server.answers(b"HTTP/1.1 201 Created\r\nContent-Le"),
    "half of a refusal": lambda server: server.answers(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"),
    "a refusal without end of line": lambda server: server.answers(b"HTTP/1.1 400"),
    "no HTTP": lambda server: server.answers(b"\x16\x03\x01 garbage\r\n\r\n"),
    "a header line without end": lambda server: server.answers(b"HTTP/1.1 201 Created\r\nX: " + b"a" * 70_000),
    "a thousand headers": lambda server: server.answers(b"HTTP/1.1 201 Created\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"),
    "a status that is none": lambda server: server.answers(b"HTTP/1.1 abc Created\r\n\r\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_no_answer_and_nothing_is_sent_twice(
    server: RawServer, make_transport: MakeTransport, name: str
) -> None:
    server.use(BROKEN[name](server))
    assert fails(make_transport(server.url)).stage is Stage.SENT
    assert (server.connections, server.requests) == (1, 1)


def test_an_answer_of_two_lengths_is_no_answer_and_leaves_nothing_open(
    server: RawServer, make_transport: MakeTransport
) -> None:
    two = ("Content-Length: 3", "Connection: close")
    server.use(server.answers(answer("201 Created", b"{}", *two)))
    assert fails(make_transport(server.url)).stage is Stage.SENT
    gc.collect()  # a socket that nobody closed makes itself heard


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_reset_after_the_request_is_no_answer(server: RawServer, make_transport: MakeTransport, method: str) -> None:
    def script(connection: socket.socket) -> None:
        server.read(connection)
        reset(connection)

    server.use(script)
    assert fails(make_transport(server.url), method).stage is Stage.SENT
    assert (server.connections, server.requests) == (1, 1)


def test_a_reset_in_the_middle_of_the_request_counts_as_sent(server: RawServer, make_transport: MakeTransport) -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(10)
        reset(connection)

    server.use(script)
    with pytest.raises(CallFailed) as caught:
        make_transport(server.url).call("POST", "/Services", body=b" " * 20_000_000)
    assert caught.value.stage is Stage.SENT
    assert server.connections == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 22\r\n\r\n" + b'{"ok": true, "id": 1',
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n" + b'{"ok": true, "id": 1',
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_body_that_breaks_off_is_known_to_be_incomplete(
    server: RawServer, make_transport: MakeTransport, broken: bytes
) -> None:
    server.use(server.answers(broken))
    got = make_transport(server.url).call("POST", "/Services", body=b"{}")
    assert (got.status, got.is_complete, got.json()) == (201, False, None)


def test_a_huge_body_is_not_read_to_its_end(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.drips(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 4_000_000))
    got = make_transport(server.url).call("GET", "/Services")
    assert not got.is_complete
    assert MAX_ANSWER_BYTES < len(got.body) < MAX_ANSWER_BYTES + 1_000_000


# ------------------------------------------------------------------------------------------------ before the first byte


def test_may_send_is_asked_when_the_connection_stands_and_before_the_first_byte(
    server: RawServer, make_transport: MakeTransport
) -> None:
    accepted = threading.Event()
    seen: list[tuple[bool, int]] = []

    def script(connection: socket.socket) -> None:
        accepted.set()
        server.answers(CREATED)(connection)

    def may_send() -> bool:
        seen.append((accepted.wait(60), server.requests))
        return True

    server.use(script)
    make_transport(server.url).call("POST", "/Services", body=b"{}", may_send=may_send)
    assert seen == [(True, 0)]


def test_what_may_not_be_sent_is_not_sent_and_the_connection_stays(
    server: RawServer, make_transport: MakeTransport
) -> None:
    server.use(server.answers(CREATED, CREATED))
    transport = make_transport(server.url)
    transport.call("POST", "/Services", body=b"{}")
    assert fails(transport, may_send=lambda: False).stage is Stage.NOT_SENT
    transport.call("POST", "/Services", body=b"{}")
    assert (server.connections, server.requests) == (1, 2)


def test_a_permission_that_takes_all_the_time_sends_nothing(server: RawServer, make_transport: MakeTransport) -> None:
    now = [1000.0]

    def slow_yes() -> bool:
        now[0] += 10
        return True

    server.use(server.answers(CREATED))
    failed = fails(make_transport(server.url, timeout_s=6.0, clock=lambda: now[0]), may_send=slow_yes)
    assert (failed.stage, server.requests) == (Stage.NOT_SENT, 0)
    assert failed.reason == "was not asked: no time was left when the connection stood"


@pytest.mark.parametrize("kind", [RuntimeError, OSError, TimeoutError, ValueError])
def test_a_permission_that_breaks_sends_nothing(
    server: RawServer, make_transport: MakeTransport, kind: type[Exception]
) -> None:
    def broken() -> bool:
        raise kind("a bug")

    server.use(server.answers(CREATED))
    with pytest.raises(kind, match="a bug"):
        make_transport(server.url).call("POST", "/Services", may_send=broken)
    assert server.requests == 0


def test_what_was_closed_while_permission_was_asked_is_not_sent(
    server: RawServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(server.url)

    def closes() -> bool:
        transport.close()
        return True

    server.use(server.answers(CREATED))
    assert fails(transport, may_send=closes).stage is Stage.NOT_SENT
    assert server.requests == 0


def test_the_library_cannot_send_what_was_not_permitted(server: RawServer) -> None:
    """Whatever a later release of it does between its pool and the socket."""
    server.use(server.answers(CREATED))
    exchange = Exchange(Addresses(stands_still), 60, stands_still)
    before = CURRENT.set(exchange)
    connection = wire._Connection("127.0.0.1", server.port)
    try:
        connection.connect()
        with pytest.raises(RuntimeError, match="permitted"):
            connection.request("POST", "/v1/Services", body=b"{}")
    finally:
        connection.close()
        CURRENT.reset(before)
    assert server.requests == 0


def test_the_library_cannot_send_twice(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even told to."""

    def reads_and_resets(connection: socket.socket) -> None:
        server.read(connection)
        reset(connection)

    server.use(reads_and_resets)
    monkeypatch.setattr(wire, "Retry", lambda *_: Retry(5, backoff_factor=0, allowed_methods=None))
    transport = Transport(server.url, timeout_s=60)
    with pytest.raises(RuntimeError, match="once"):
        transport.call("POST", "/Services", body=b"{}")
    transport.close()
    assert server.requests == 1


def test_nobody_listens(make_transport: MakeTransport) -> None:
    with closed_port() as port:
        failed = fails(make_transport(f"http://127.0.0.1:{port}"))
    assert (failed.stage, failed.reason) == (Stage.UNREACHED, "refused the connection: no server listens there")


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failed = fails(make_transport("http://billing.example"))
    assert (failed.stage, failed.reason) == (Stage.UNREACHED, "has no known network address")


def test_a_resolver_that_hangs_does_not_hold_the_call(
    monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait() and [])
    try:
        assert fails(make_transport("http://billing.example", timeout_s=0.1)).stage is Stage.UNREACHED
    finally:
        over.set()


def test_the_next_address_of_a_name_is_tried(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport
) -> None:
    row = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    server.use(server.answers(CREATED))
    with closed_port() as dead:
        addresses = [(*row, ("127.0.0.1", port)) for port in (dead, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        assert make_transport("http://billing.example").call("POST", "/Services", body=b"{}").status == 201


def test_closing_ends_a_call_in_flight_and_refuses_later_ones(server: RawServer, make_transport: MakeTransport) -> None:
    transport = make_transport(server.url)

    def close_when_asked(connection: socket.socket) -> None:
        server.read(connection)
        transport.close()

    server.use(close_when_asked)
    assert fails(transport).stage is Stage.SENT
    assert fails(transport).stage is Stage.NOT_SENT
    assert server.connections == 1


def test_threads_use_connections_of_their_own(server: RawServer, make_transport: MakeTransport) -> None:
    together = threading.Barrier(4)

    def script(connection: socket.socket) -> None:
        server.read(connection)
        together.wait(60)  # passes only if four requests are under way at once
        connection.sendall(CREATED)

    server.use(script)
    transport = make_transport(server.url)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(transport.call("POST", "/x", body=b"{}").status))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 4


# ------------------------------------------------------------------------------------------------------------------ TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def over_tls(server: RawServer, authority: trustme.CA, script: Callable[[socket.socket], None]) -> RawServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            script(secure)

    return server.use(secured)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_calls_over_tls(server: RawServer, make_transport: MakeTransport, authority: trustme.CA) -> None:
    over_tls(server, authority, server.answers(CREATED, CREATED))
    trusted = trusting(authority)
    known = trusted.cert_store_stats()
    transport = make_transport(server.url.replace("http", "https"), tls=trusted)
    for _ in range(2):
        assert transport.call("POST", "/Services", body=b"{}").status == 201
    assert (server.connections, server.requests) == (1, 2)
    assert trusted.cert_store_stats() == known  # nobody else is trusted than before


@pytest.fixture(params=["http", "https"])
def serve(
    request: pytest.FixtureRequest, server: RawServer, make_transport: MakeTransport, authority: trustme.CA
) -> Callable[..., Transport]:
    """Has the server run a script, in clear or over TLS, and makes a transport that calls it."""

    def start(script: Callable[[socket.socket], None], **options: object) -> Transport:
        if request.param == "http":
            server.use(script)
            return make_transport(server.url, **options)
        over_tls(server, authority, script)
        return make_transport(server.url.replace("http", "https"), tls=trusting(authority), **options)

    return start


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What our sockets do, one after the other: set a time-out, look at the time, send (or are refused), wait."""
    taken: list[str] = []

    def watch(owner: Any, name: str, step: str, refused: str = "") -> None:
        original = getattr(owner, name)

        def watched(self: object, *args: Any) -> Any:
            is_ours = isinstance(self, wire._Socket | Exchange)
            if is_ours:
                taken.append(step.format(*args))
            try:
                return original(self, *args)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if is_ours:
                    taken.append(refused)
                raise

        monkeypatch.setattr(owner, name, watched)

    watch(wire._Socket, "settimeout", "time-out {}")
    watch(Exchange, "left", "look")
    watch(socket.socket, "send", "send", "refused")
    watch(ssl.SSLSocket, "send", "send", "refused")
    watch(wire, "wait_for_write", "wait")
    watch(wire, "wait_for_read", "wait")
    return taken


def before_each(step: str, steps: list[str]) -> set[str]:
    return {before for before, it in itertools.pairwise(steps) if it == step}


LARGE = random.Random(1).randbytes(20_000_000)


def takes_its_time(server: RawServer) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        time.sleep(0.3)
        server.answers(CREATED)(connection)

    return script


def test_nothing_waits_between_the_last_look_at_the_time_and_the_send(
    server: RawServer, serve: Callable[..., Transport], steps: list[str]
) -> None:
    """Whatever waits there, for room in the socket or for the interpreter's lock, leaves after any stop in between."""
    assert serve(takes_its_time(server)).call("POST", "/Services", body=LARGE).status == 201
    last_time_out = ""
    for step in steps:
        last_time_out = step if step.startswith("time-out") else last_time_out
        assert step != "send" or last_time_out == "time-out 0"
    assert before_each("send", steps) == {"look"}


def test_a_request_that_fills_the_socket_arrives_whole_and_waits_for_room(
    server: RawServer, serve: Callable[..., Transport], steps: list[str]
) -> None:
    assert serve(takes_its_time(server)).call("POST", "/Services", body=LARGE).status == 201
    assert server.received[0].endswith(b"\r\n\r\n" + LARGE)
    assert steps.count("refused") > 0
    assert steps.count("refused") == steps.count("wait")


def test_a_request_may_have_to_wait_for_something_to_read(
    server: RawServer, make_transport: MakeTransport, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TLS has it when the server wants to agree on new keys. There is something: it has sent its session tickets."""
    renewals = iter([ssl.SSLWantReadError()])
    send = ssl.SSLSocket.send

    def renew(self: ssl.SSLSocket, *args: Any) -> int:
        if isinstance(self, wire._TlsSocket):
            for renewal in renewals:
                raise renewal
        return send(self, *args)

    over_tls(server, authority, server.answers(CREATED))
    transport = make_transport(server.url.replace("http", "https"), tls=trusting(authority))
    monkeypatch.setattr(ssl.SSLSocket, "send", renew)
    assert transport.call("POST", "/Services", body=b"{}").status == 201
    assert (list(renewals), server.requests) == ([], 1)


def test_a_request_that_nobody_reads_ends_at_the_deadline(serve: Callable[..., Transport]) -> None:
    began: list[float] = []

    def goes_since_the_first_send() -> float:
        if not (exchange := CURRENT.get(None)) or exchange.stage is not Stage.SENT:
            return 0.0
        began.append(time.monotonic())
        return 59.5 + began[-1] - began[0]

    over = threading.Event()
    transport = serve(lambda _: over.wait(), timeout_s=60.0, clock=goes_since_the_first_send)
    try:
        with pytest.raises(CallFailed) as caught:
            transport.call("POST", "/Services", body=LARGE)
    finally:
        over.set()
    assert (caught.value.stage, caught.value.reason) == (Stage.SENT, "did not answer in time")


def test_a_certificate_that_nobody_vouches_for(
    server: RawServer, make_transport: MakeTransport, authority: trustme.CA
) -> None:
    over_tls(server, authority, server.answers(CREATED))
    failed = fails(make_transport(server.url.replace("http", "https")))
    assert failed.stage is Stage.UNREACHED
    assert "certificate" in failed.reason
    assert server.requests == 0


def test_a_server_that_speaks_no_tls(server: RawServer, make_transport: MakeTransport) -> None:
    server.use(server.answers(CREATED))
    assert fails(make_transport(server.url.replace("http", "https"), timeout_s=1)).stage is Stage.UNREACHED


def test_a_handshake_that_never_ends(server: RawServer, make_transport: MakeTransport) -> None:
    def listens_and_says_nothing(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    server.use(listens_and_says_nothing)
    failed = fails(make_transport(server.url.replace("http", "https"), timeout_s=0.4))
    assert (failed.stage, failed.reason) == (Stage.UNREACHED, "could not be reached in time")


def test_no_time_left_after_connecting_begins_no_handshake(
    server: RawServer, slow: Callable[[], float], make_transport: MakeTransport, authority: trustme.CA
) -> None:
    over_tls(server, authority, server.answers(CREATED))
    url = server.url.replace("http", "https")
    assert fails(make_transport(url, timeout_s=6.0, clock=slow, tls=trusting(authority))).stage is Stage.UNREACHED


def test_a_dripping_server_is_cut_over_tls_too(
    server: RawServer, make_transport: MakeTransport, authority: trustme.CA
) -> None:
    over_tls(server, authority, server.drips(b"HTTP/1.1 201 Created\r\nX: ", b"a"))
    url = server.url.replace("http", "https")
    transport = make_transport(url, timeout_s=40, tls=trusting(authority), clock=a_second_each_look())
    assert fails(transport).stage is Stage.SENT


def test_through_a_proxy(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport, authority: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("billing.example").configure_cert(context)

    def proxy(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as secure:
            server.answers(CREATED)(secure)

    server.use(proxy)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass%40word@127.0.0.1:{server.port}")
    transport = make_transport("https://billing.example/v1", tls=trusting(authority))
    assert transport.call("POST", "/Services", body=b"{}").status == 201
    assert server.received[0].startswith(b"CONNECT billing.example:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic bWU6cGFzc0B3b3Jk" in server.received[0]


def test_a_proxy_that_refuses(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport
) -> None:
    server.use(server.answers(answer("407 Proxy Authentication Required")))
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{server.port}")
    failed = fails(make_transport("https://billing.example/v1"))
    assert (failed.stage, failed.reason) == (Stage.UNREACHED, "could not be reached (the proxy answered 407)")


@pytest.mark.parametrize("proxy", ["https://127.0.0.1:1", "socks5://127.0.0.1:1"])
def test_a_proxy_that_would_bring_its_own_sockets_is_not_used(
    monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    failed = fails(make_transport("https://billing.example/v1"))
    assert failed.stage is Stage.UNREACHED
    assert "proxy" in failed.reason


def test_a_proxy_whose_address_is_none(monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@")
    failed = fails(make_transport("https://billing.example/v1"))
    assert failed.stage is Stage.UNREACHED
    assert "secret" not in failed.reason


def test_this_machine_is_not_reached_through_a_proxy(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport, authority: trustme.CA
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    over_tls(server, authority, server.answers(CREATED))
    transport = make_transport(server.url.replace("http", "https"), tls=trusting(authority))
    assert transport.call("POST", "/Services", body=b"{}").status == 201


def test_a_proxy_never_carries_a_request_in_clear(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    assert fails(make_transport("http://billing.example/v1")).stage is Stage.UNREACHED
    assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "https://", "host/v1", "http:///v1", "http://[::1/v1", "http://a:b/"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Transport(url, timeout_s=1)


def _until_the_idle_connection_is_dead(transport: Transport) -> None:
    ((session, _),) = transport._idle
    pools = session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    (key,) = pools.keys()
    (connection,) = pools[key].pool.queue
    while connection.is_connected:
        time.sleep(0.005)


def test_hang_up_is_orderly(server: RawServer) -> None:
    """The helper itself: bytes sent before still arrive."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"last words")
        hang_up(connection)

    server.use(script)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        assert sock.recv(100) == b"last words"
        assert sock.recv(100) == b""
