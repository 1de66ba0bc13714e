"""Calls to one server, with a deadline over all of each and exact knowledge of whether a byte was sent.

Made for calls that must not be made twice. ``requests`` makes them, on sockets, connections and sessions that keep what
is promised here (:mod:`desktop_app.billing.wire`). Nothing is retried, no redirect is followed, and nothing is taken
from the environment but the machine's proxy, see :func:`_proxies_for`.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import requests
from urllib3.util import SKIP_HEADER

from desktop_app.billing.addresses import Addresses
from desktop_app.billing.exchange import CURRENT, CallFailed, Clock, Exchange, Stage, awake_or_asleep
from desktop_app.billing.wire import FAILURES, Session, Untouched, cause, tls_context, unwrapped

__all__ = ["MAX_ANSWER_BYTES", "MAX_IDLE_S", "Answer", "CallFailed", "Stage", "Transport", "is_loopback"]

#: No answer is read beyond this many bytes.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
#: A kept connection that was idle for longer is not used again: the other side may be closing it just then, and a
#: request that meets a closing connection has an unknown outcome.
MAX_IDLE_S = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: at least the status line and all headers.

    Attributes:
        status: the status code.
        headers: by their names in lower case.
        body: what could be read of it.
        is_complete: the whole body was read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_complete: bool

    def json(self) -> Any:
        """The body as JSON; None if it is incomplete or none."""
        if not self.is_complete:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Transport:
    """Calls to one server. Thread-safe.

    A call takes the session that was used last, for its thread alone, and gives it back. So there are never more
    connections than there were calls at once, and what idles for long is closed, whichever threads live or die.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock = awake_or_asleep,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: ``http`` or ``https``; its path is put before each call's.
            timeout_s: deadline of each call, over resolving the name, connecting, sending and reading.
            headers: sent with each call.
            tls: for ``https``; the default trusts what the machine trusts.

        Raises:
            ValueError: the address is none.
        """
        self._address = _parsed(url)
        self.host = self._address.hostname or ""
        self._timeout_s = timeout_s
        self._clock = clock
        self._tls = tls_context(tls) if self._address.scheme == "https" else None
        self._proxies = _proxies_for(self._address)
        self._headers = {"User-Agent": SKIP_HEADER, "Accept-Encoding": "identity", **(headers or {})}
        self._addresses = Addresses(clock)
        self._lock = threading.Lock()
        self._idle: deque[tuple[Session, float]] = deque()
        self._under_way: set[Exchange] = set()
        self._closed = False

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        may_send: Callable[[], bool] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request and its answer, whatever the status.

        Args:
            path: below the address' own path, starting with "/"; "" for the address itself.
            body: JSON, or None.
            may_send: asked when the connection stands, right before the first byte; False gives ``NOT_SENT``.
            timeout_s: another deadline than the transport's.

        Raises:
            CallFailed: there was no answer; its stage says how far the call came.
        """
        seconds = self._timeout_s if timeout_s is None else timeout_s
        exchange = Exchange(self._addresses, seconds, self._clock, may_send)
        request = self._request(method, path, query or {}, body, headers or {})
        _refuse_unfit(self._proxies)
        session = self._session_for(exchange)
        before = CURRENT.set(exchange)
        try:
            with session.send(
                request, stream=True, allow_redirects=False, timeout=seconds, proxies=self._proxies
            ) as response:
                return _answer(response)
        except Untouched as untouched:
            raise untouched.error from untouched.error.__cause__
        except FAILURES as error:
            happened = unwrapped(error)
            if exchange.stage is not Stage.SENT:
                raise CallFailed(exchange.stage, f"could not be asked ({cause(happened)})") from error
            if isinstance(happened, TimeoutError):
                raise CallFailed(Stage.SENT, "did not answer in time") from error
            raise CallFailed(Stage.SENT, f"broke the connection ({cause(happened)})") from error
        finally:
            CURRENT.reset(before)
            self._give_back(session, exchange)

    def close(self) -> None:
        """Closes every connection, those in use too: their calls fail with ``SENT``. Later calls are not sent."""
        with self._lock:
            self._closed = True
            idle = [session for session, _ in self._idle]
            self._idle.clear()
            for exchange in self._under_way:
                exchange.cut()  # wakes its thread, which closes its session
        for session in idle:
            session.close()

    def _request(
        self, method: str, path: str, query: Mapping[str, str | int], body: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Prepared by hand as far as the address goes: that was done once, and costs more than all the rest."""
        address = self._address
        parameters = "&".join(filter(None, (address.query, urlencode(query))))
        target = address.path.rstrip("/") + path if path else address.path
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = address._replace(path=target, query=parameters).geturl()
        named = {**self._headers, **headers, **({} if body is None else {"Content-Type": "application/json"})}
        try:
            request.prepare_headers({name: value.strip(" \t") for name, value in named.items()})
            "".join(named.values()).encode("latin-1")
        except ValueError:  # quotes the value, which may be a secret
            raise ValueError("a header cannot hold a line break, nor what Latin-1 has no character for") from None
        request.prepare_body(body, None)
        return request

    # -- sessions ---------------------------------------------------------------------------------------------------

    def _session_for(self, exchange: Exchange) -> Session:
        """The session that was used last, without its connection if that was idle for too long, or a new one.

        Raises:
            CallFailed: ``NOT_SENT`` after :meth:`close`.
        """
        with self._lock:
            if self._closed:
                raise CallFailed(Stage.NOT_SENT, "was not asked: the connection has been closed")
            self._under_way.add(exchange)
            session, since = self._idle.pop() if self._idle else (None, 0.0)
        if session is None:
            return Session(self._tls)
        if self._clock() - since > MAX_IDLE_S:
            session.close()  # its connection; the session itself lives on
        return session

    def _give_back(self, session: Session, exchange: Exchange) -> None:
        done_with: list[Session] = []
        with self._lock:
            self._under_way.discard(exchange)
            now = self._clock()
            if self._closed:
                done_with.append(session)
            else:
                self._idle.append((session, now))
            while self._idle and now - self._idle[0][1] > MAX_IDLE_S:  # left over from a time with more calls at once
                done_with.append(self._idle.popleft()[0])
        for each in done_with:
            each.close()


def _answer(response: requests.Response) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    if response.status_code < 200:  # no answer to anything, and the real one may follow: not one byte more is read
        response.raw.close()
        return Answer(response.status_code, headers, b"", True)
    body = bytearray()
    complete = False
    with contextlib.suppress(*FAILURES):
        while len(body) <= MAX_ANSWER_BYTES:
            chunk = response.raw.read(65_536)
            body += chunk
            if not chunk:
                complete = True
                break
    return Answer(response.status_code, headers, bytes(body), complete)


def _parsed(url: str) -> SplitResult:
    """The address as ``requests`` writes it, without login and fragment."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
            return urlsplit(requests.Request("GET", plain.geturl()).prepare().url or "")
    except ValueError:
        pass
    raise ValueError("the address does not start with http:// or https:// and a host")


def _proxies_for(address: SplitResult) -> dict[str, str]:
    """The machine's proxy (``HTTPS_PROXY``, or what its settings say), for addresses over TLS that are not its own.

    A department may have no other way to the billing company. It is safe there: the proxy is asked for a tunnel, all
    that it learns is the host, and the request, its first byte and its deadline stay between this program and the
    server. Without TLS a proxy would hold the request itself and could send it twice, so none is used.
    """
    host = address.hostname or ""
    if address.scheme != "https" or is_loopback(host) or proxy_bypass(host):
        return {}
    proxy = getproxies().get("https", "")
    return {"https": proxy if "://" in proxy else f"http://{proxy}"} if proxy else {}


def _refuse_unfit(proxies: Mapping[str, str]) -> None:
    """TLS to the proxy itself, and SOCKS, would come with sockets that keep no deadline and ask nobody."""
    for proxy in proxies.values():
        try:
            parts = urlsplit(proxy)
            fit = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fit = False
        if not fit:
            raise CallFailed(
                Stage.UNREACHED, "could not be reached: the proxy of this machine (HTTPS_PROXY) is no http://HOST:PORT"
            )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
