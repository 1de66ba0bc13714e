"""One HTTP call at a time, with a deadline over all of it and exact knowledge of whether a byte was sent.

Made for calls that must not be made twice. A general HTTP library hides what matters here: when the first byte leaves,
whether a connection from its pool was dead, and that its time-outs are per read (a server that drips one byte at a
time keeps such a call alive for ever). So requests are written and connections kept here; the standard library reads
the answers. Nothing is retried, no redirect is followed.

The deadline is kept by the socket itself: every operation that could block gets the time that is left, on a clock that
goes on while the machine sleeps.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import json
import select
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

#: No answer is read beyond this many bytes.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
#: A kept connection that was idle for longer is not used again: the other side may be closing it just then, and a
#: request that meets a closing connection has an unknown outcome.
MAX_IDLE_S = 4.0
_NAMES_KEPT_S = 30.0

Clock = Callable[[], float]

if sys.platform == "linux":

    def awake_or_asleep() -> float:
        """Monotonic seconds that go on while the machine sleeps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    awake_or_asleep = time.monotonic


class Stage(StrEnum):
    """How far a call came that got no answer."""

    UNREACHED = "unreached"  #: no connection: name, network, refused, TLS, or no time left for it
    NOT_SENT = "not_sent"  #: connected, and given up before the first byte of the request
    SENT = "sent"  #: at least one byte may have been sent


class CallFailed(Exception):
    """A call without an answer.

    Attributes:
        stage: see :class:`Stage`.
        reason: the end of a sentence, such as "refused the connection".
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


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


class _Deadline:
    """A point in time that no operation may outlive."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def left(self) -> float:
        """Seconds that are left, more than 0.

        Raises:
            TimeoutError: none are.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class _PlainSocket(socket.socket):
    """A socket that gives each operation the time that is left until its deadline, and no more."""

    deadline: _Deadline

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(self.deadline.left())
        super().sendall(*args, **kwargs)


class _TlsSocket(ssl.SSLSocket):
    """The same over TLS, where sending everything means several operations."""

    deadline: _Deadline

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.left())
        return super().send(*args, **kwargs)


_Socket = _PlainSocket | _TlsSocket


class _WholeLines(io.BufferedReader):
    """Refuses a head that breaks off: the standard library takes the end of the connection for the end of the head."""

    _is_first = True

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and not (self._is_first and not line):
            raise http.client.IncompleteRead(line)
        self._is_first = False
        return line


class _Source:
    """What the standard library's response reads from."""

    def __init__(self, sock: _Socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _WholeLines(self._sock.makefile("rb", buffering=0))


def _response(sock: _Socket, method: str) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Source(sock), method=method)  # type: ignore[arg-type]


class Transport:
    """Calls to one server. Thread-safe; a connection is used by one thread at a time and kept for the next call."""

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
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address does not start with http:// or https:// and a host")
        self.host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._path = parts.path or "/"
        self._query = parts.query
        self._timeout_s = timeout_s
        self._clock = clock
        self._tls = _tls_context(tls) if parts.scheme == "https" else None
        self._proxy = _proxy_for(parts)
        named = {"Host": parts.netloc.rpartition("@")[2], "Accept-Encoding": "identity", **(headers or {})}
        self._head = "".join(f"{name}: {_header(value)}\r\n" for name, value in named.items())
        self._lock = threading.Lock()
        self._idle: deque[tuple[_Socket, float]] = deque()
        self._open: set[_Socket] = set()
        self._names: tuple[float, list[Any]] = (-_NAMES_KEPT_S, [])
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
        deadline = _Deadline(self._timeout_s if timeout_s is None else timeout_s, self._clock)
        request = self._request(method, path, query or {}, body, headers or {})
        sock = self._connected(deadline)
        keep = False
        try:
            _refuse_if_late(deadline)
            if may_send is not None:
                if not may_send():
                    keep = True
                    raise CallFailed(Stage.NOT_SENT, "was not asked: this program may no longer send this request")
                _refuse_if_late(deadline)
            # From here on the server may have acted.
            try:
                sock.sendall(request)
                answer, keep = _read(sock, method)
            except TimeoutError as error:
                raise CallFailed(Stage.SENT, "did not answer in time") from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise CallFailed(Stage.SENT, f"broke the connection ({_cause(error)})") from error
            return answer
        finally:
            self._give_back(sock, keep=keep)

    def close(self) -> None:
        """Closes every connection, those in use too: their calls fail with ``SENT``. Later calls are not sent."""
        with self._lock:
            self._closed = True
            idle = [sock for sock, _ in self._idle]
            self._idle.clear()
            for sock in self._open.difference(idle):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
            self._open.difference_update(idle)
        for sock in idle:
            sock.close()

    def _request(
        self, method: str, path: str, query: Mapping[str, str | int], body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        target = self._path.rstrip("/") + path if path else self._path
        if parameters := "&".join(filter(None, (self._query, urlencode(query)))):
            target += f"?{parameters}"
        lines = [f"{method} {target} HTTP/1.1\r\n", self._head]
        lines += [f"{name}: {_header(value)}\r\n" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1") + (body or b"")

    # -- connections ------------------------------------------------------------------------------------------------

    def _connected(self, deadline: _Deadline) -> _Socket:
        """A kept connection that is alive, or a new one.

        Raises:
            CallFailed: ``UNREACHED``, or ``NOT_SENT`` after :meth:`close`.
        """
        while True:
            with self._lock:
                if self._closed:
                    raise CallFailed(Stage.NOT_SENT, "was not asked: the connection has been closed")
                sock, since = self._idle.pop() if self._idle else (None, 0.0)
            if sock is None:
                break
            if self._clock() - since <= MAX_IDLE_S and not _is_readable(sock):
                sock.deadline = deadline
                return sock
            self._give_back(sock, keep=False)  # dead, or about to be
        try:
            sock = self._connect(deadline)
        except TimeoutError as error:
            raise CallFailed(Stage.UNREACHED, "could not be reached in time") from error
        except ssl.SSLError as error:
            raise CallFailed(Stage.UNREACHED, f"has no trusted TLS connection ({_cause(error)})") from error
        except socket.gaierror as error:
            raise CallFailed(Stage.UNREACHED, "has no known network address") from error
        except ConnectionRefusedError as error:
            raise CallFailed(Stage.UNREACHED, "refused the connection: no server listens there") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CallFailed(Stage.UNREACHED, f"could not be reached ({_cause(error)})") from error
        if not self._registered(sock):
            sock.close()
            raise CallFailed(Stage.NOT_SENT, "was not asked: the connection has been closed")
        return sock

    def _registered(self, sock: _Socket) -> bool:
        with self._lock:
            if not self._closed:
                self._open.add(sock)
            return not self._closed

    def _give_back(self, sock: _Socket, *, keep: bool) -> None:
        done_with: list[_Socket] = []
        with self._lock:
            now = self._clock()
            if keep and not self._closed:
                self._idle.append((sock, now))
            else:
                done_with.append(sock)
            while self._idle and now - self._idle[0][1] > MAX_IDLE_S:  # left over from a time with more calls at once
                done_with.append(self._idle.popleft()[0])
            self._open.difference_update(done_with)
        for each in done_with:
            each.close()

    def _connect(self, deadline: _Deadline) -> _Socket:
        sock = self._connect_tcp(deadline)
        try:
            if self._proxy is not None:
                _tunnel(sock, self.host, self._port, self._proxy)
            if self._tls is None:
                return sock
            sock.settimeout(deadline.left())  # holds for the handshake as a whole
            secure = self._tls.wrap_socket(sock, server_hostname=self.host)
            assert isinstance(secure, _TlsSocket)
            secure.deadline = deadline
            return secure
        except BaseException:
            sock.close()
            raise

    def _connect_tcp(self, deadline: _Deadline) -> _PlainSocket:
        addresses = self._addresses(deadline)
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = _PlainSocket(family, kind, protocol)
            try:
                sock.deadline = deadline
                sock.settimeout(deadline.left() / (len(addresses) - position))  # the last one gets all that is left
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError:
                sock.close()
                if position == len(addresses) - 1:
                    with self._lock:
                        self._names = (-_NAMES_KEPT_S, [])  # the name may have moved
                    raise
        raise OSError("no address")

    def _addresses(self, deadline: _Deadline) -> list[Any]:
        host, port = (self._proxy.hostname or "", self._proxy.port or 80) if self._proxy else (self.host, self._port)
        with self._lock:
            at, known = self._names
        if known and self._clock() - at <= _NAMES_KEPT_S:
            return known
        found = _resolve(host, port, deadline)
        with self._lock:
            self._names = (self._clock(), found)
        return found


def _refuse_if_late(deadline: _Deadline) -> None:
    try:
        deadline.left()
    except TimeoutError:
        raise CallFailed(Stage.NOT_SENT, "was not asked: no time was left when the connection stood") from None


def _read(sock: _Socket, method: str) -> tuple[Answer, bool]:
    """The answer, and whether the connection can be used again."""
    with contextlib.closing(_response(sock, method)) as response:
        response.begin()
        body = bytearray()
        complete = False
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while len(body) <= MAX_ANSWER_BYTES:
                chunk = response.read(65_536)
                body += chunk
                if not chunk or response.length == 0:
                    complete = not response.length  # bytes that were announced and never came
                    break
        keep = complete and not response.will_close and response.status >= 200
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, bytes(body), complete), keep


def _resolve(host: str, port: int, deadline: _Deadline) -> list[Any]:
    """Addresses of a host. A resolver that hangs is left behind in its thread: nothing else can interrupt it."""
    with contextlib.suppress(ValueError):
        ip_address(host)
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: list[Any] = []
    failed: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    thread = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(deadline.left())
    if thread.is_alive():
        raise TimeoutError("the name was not resolved in time")
    if failed:
        raise failed[0]
    return found


def _tunnel(sock: _PlainSocket, host: str, port: int, proxy: SplitResult) -> None:
    login = ""
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        login = f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}\r\n"
    sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
    with contextlib.closing(_response(sock, "CONNECT")) as response:
        response.begin()
        if response.status != 200:
            raise OSError(errno.EPROTO, f"the proxy answered {response.status}")


def _proxy_for(parts: SplitResult) -> SplitResult | None:
    """The machine's proxy, for addresses over TLS that are not its own."""
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host) or proxy_bypass(host):
        return None
    proxy = getproxies().get("https", "")
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _tls_context(given: ssl.SSLContext | None) -> ssl.SSLContext:
    context = given or ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    return context


if sys.platform == "win32":

    def _is_readable(sock: _Socket) -> bool:
        """Whether an idle connection has something to read: its end, or bytes that nobody asked for."""
        return bool(select.select([sock], [], [], 0)[0])

else:

    def _is_readable(sock: _Socket) -> bool:
        """Whether an idle connection has something to read: its end, or bytes that nobody asked for."""
        poll = select.poll()  # select() refuses high descriptors
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))


def _header(value: str) -> str:
    if "\r" in value or "\n" in value:
        raise ValueError("a header cannot hold a line break")
    return value


def _cause(error: BaseException) -> str:
    """What went wrong, without anything that was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
