"""Notifications against a real HTTP server that checks the signature as a receiver would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_app.billing.notify import (
    EVENT_HEADER,
    SIGNATURE_HEADER,
    NotifyResult,
    NotifyVerdict,
    is_genuine,
    send_notification,
    signature,
)
from tests.billing.raw_server import RawServer, answer
from tests.helpers.ports import closed_port

SECRET = "shared-between-both"
BODY = '{"tracking_number": "AJ-20261124-0042", "customer": "Müller"}'.encode()
EVENT = "AJ-20261124-0042/1"


class Receiver:
    """The newer system: believes only what is genuine, and takes each event once."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.taken: dict[str, bytes] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = self.headers[EVENT_HEADER]
                receiver.seen.append((self.path, event, body))
                genuine = is_genuine(self.headers[SIGNATURE_HEADER], body, SECRET)
                if genuine:
                    receiver.taken[event] = body
                self.send_response(204 if genuine else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/associations?tenant=7"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def send(url: str, secret: str = SECRET, event: str = EVENT, timeout_s: float = 60) -> NotifyResult:
    return send_notification(url, BODY, secret, event, timeout_s)


def test_a_genuine_notification_is_taken_and_may_come_twice() -> None:
    with Receiver() as receiver:
        assert send(receiver.url) == NotifyResult(NotifyVerdict.TAKEN, http_status=204)
        assert send(receiver.url).verdict is NotifyVerdict.TAKEN
    assert receiver.seen == [("/hooks/associations?tenant=7", EVENT, BODY)] * 2
    assert receiver.taken == {EVENT: BODY}


def test_a_wrong_secret_is_noticed() -> None:
    with Receiver() as receiver:
        result = send(receiver.url, secret="another")
    assert (result.verdict, result.http_status) == (NotifyVerdict.AGAIN, 401)
    assert receiver.taken == {}


@pytest.mark.parametrize(
    ("raw", "verdict"),
    [
        (answer("200 OK"), NotifyVerdict.TAKEN),
        (answer("202 Accepted", b"queued"), NotifyVerdict.TAKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", NotifyVerdict.TAKEN),
        (answer("302 Found", b"", "Location: /login"), NotifyVerdict.AGAIN),
        (answer("400 Bad Request", b"unknown field"), NotifyVerdict.DEAD),
        (answer("401 Unauthorized"), NotifyVerdict.AGAIN),
        (answer("404 Not Found"), NotifyVerdict.AGAIN),
        (answer("409 Conflict"), NotifyVerdict.AGAIN),
        (answer("410 Gone"), NotifyVerdict.DEAD),
        (answer("413 Too Large"), NotifyVerdict.DEAD),
        (answer("422 Unprocessable"), NotifyVerdict.DEAD),
        (answer("429 Too Many"), NotifyVerdict.AGAIN),
        (answer("500 Oops"), NotifyVerdict.AGAIN),
        (answer("503 Unavailable"), NotifyVerdict.AGAIN),
        (b"", NotifyVerdict.AGAIN),
        (b"garbage\r\n\r\n", NotifyVerdict.AGAIN),
    ],
)
def test_each_answer_gets_its_verdict(server: RawServer, raw: bytes, verdict: NotifyVerdict) -> None:
    server.use(server.answers(raw))
    result = send(server.url)
    assert result.verdict is verdict
    assert bool(result.reason) == (verdict is not NotifyVerdict.TAKEN)
    assert server.requests == 1


def test_retry_after_is_passed_on(server: RawServer) -> None:
    server.use(server.answers(answer("503 Unavailable", b"", "Retry-After: 90")))
    assert send(server.url).retry_after_s == 90


def test_a_dripping_receiver_is_cut(server: RawServer) -> None:
    server.use(server.drips(b"HTTP/1.1 200 OK\r\nX: ", b"a"))
    assert send(server.url, timeout_s=0.3).verdict is NotifyVerdict.AGAIN


def test_nobody_there() -> None:
    with closed_port() as port:
        result = send(f"http://127.0.0.1:{port}/hook")
    assert (result.verdict, result.http_status) == (NotifyVerdict.AGAIN, None)


@pytest.mark.parametrize("url", ["", "notify", "ftp://x"])
def test_an_address_that_is_none(url: str) -> None:
    result = send(url)
    assert result.verdict is NotifyVerdict.AGAIN
    assert "NOTIFY_URL" in result.reason


def test_nothing_goes_out_unsigned(server: RawServer) -> None:
    result = send(server.url, secret="")
    assert result.verdict is NotifyVerdict.AGAIN
    assert "ASSOCIATION_NOTIFY_SECRET" in result.reason
    assert server.connections == 0


def test_an_event_id_that_is_no_header(server: RawServer) -> None:
    assert send(server.url, event="AJ-1\r\nX: 1").verdict is NotifyVerdict.DEAD
    assert server.connections == 0


def test_no_secret_stands_in_the_reason(server: RawServer) -> None:
    server.use(server.answers(answer("500 Oops", f"your secret is {SECRET}".encode())))
    result = send(f"{server.url}/hook?key=hush")
    assert SECRET not in repr(result)
    assert "hush" not in repr(result)


def test_the_format_of_the_signature() -> None:
    """A receiver in any language computes this (here: openssl dgst -sha256 -hmac s3cret); it may not change."""
    assert signature(b'{"a":1}', "s3cret", 1795555555) == (
        "t=1795555555,v1=cd074792e6b36164ca4b2b2b479a4d31f0d1361d7a73d5dc56423f14f6da4c0d"
    )


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40), st.integers(0, 2**40), st.integers(-300, 300))
def test_what_was_signed_is_genuine(body: bytes, secret: str, at: int, drift: int) -> None:
    header = signature(body, secret, at)
    assert is_genuine(header, body, secret, now=at + drift)
    assert not is_genuine(header, body + b" ", secret, now=at + drift)
    assert not is_genuine(header, body, secret + "x", now=at + drift)
    assert not is_genuine(header.replace("t=", "t=1"), body, secret, now=at + drift)


@pytest.mark.parametrize("drift", [-301, 301, 10**6])
def test_an_old_signature_is_not_believed(drift: int) -> None:
    assert not is_genuine(signature(b"{}", SECRET, 10_000_000), b"{}", SECRET, now=10_000_000 + drift)


@given(st.text(max_size=60))
def test_a_header_that_is_none_is_not_genuine(header: str) -> None:
    assert not is_genuine(header, b"{}", SECRET, now=0)
