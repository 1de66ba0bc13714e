"""``requests``, made fit for calls that must not be made twice.

Its parts are replaced by stricter ones:

- *Sockets* give every operation the time that is left of the exchange, on a clock that goes on while the machine
  sleeps. The library's own time-outs are per read: a server that drips one byte at a time keeps such a call alive for
  ever. And they let nothing of a request pass that the exchange has not permitted: the last word is theirs, whatever a
  later release of the library does above them.
- *Connections* send a request as one, and take a head that breaks off for no answer.
- *Pools* ask the exchange for its permission when the connection stands, and keep the connection if it is refused.
- *Sessions* repeat nothing, follow nothing, remember nothing, and take nothing from the environment.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import re
import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import EmptyPoolError, HTTPError
from urllib3.util.retry import Retry
from urllib3.util.wait import wait_for_read, wait_for_write

from desktop_app.billing.exchange import CURRENT, CallFailed, Stage

#: What the libraries raise for whatever the other side does.
FAILURES = (OSError, http.client.HTTPException, HTTPError, ValueError)

# Its messages hold whole addresses, and those may hold a key.
logging.getLogger("urllib3").propagate = False


# -- sockets ----------------------------------------------------------------------------------------------------------

#: A socket that is being closed may not be cut just then: its number may already be another file's. Re-entrant, since a
#: collected connection may close in the middle of it.
_ENDING = threading.RLock()


class _Socket(socket.socket):
    """Works for the exchange of its thread: no operation outlives it, and nothing is sent that it does not permit."""

    carries_request = True  #: False below TLS, where only the word to the proxy passes

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(CURRENT.get().left())
        return super().recv_into(*args, **kwargs)

    def send(self, data: Any, *args: Any) -> int:
        """Nothing waits between the last look at the time and the kernel. A send with a time-out would, for room and
        then for the interpreter's lock, and so does the setting of a time-out. A program that is stopped in such a
        wait sends when it is woken, whenever that is."""
        exchange = CURRENT.get()
        while True:
            self.settimeout(0)
            if self.carries_request:
                exchange.before_sending(self)
            left = exchange.left()
            try:
                return super().send(data, *args)
            except (BlockingIOError, ssl.SSLWantWriteError):
                wait_for_write(self, left)
            except ssl.SSLWantReadError:
                wait_for_read(self, left)

    def sendall(self, data: Any, *args: Any) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, *args) :]

    def close(self) -> None:
        with _ENDING:
            super().close()

    def cut(self) -> None:
        """Ends the connection under whoever uses it. The object itself stays open: its user closes it."""
        with _ENDING, contextlib.suppress(OSError):
            # Not a TLS socket's own shutdown: after that, it would go on in clear.
            socket.socket.shutdown(self, socket.SHUT_RDWR)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(CURRENT.get().left())  # holds for the handshake as a whole
        super().do_handshake(block)


class _WholeLines(io.BufferedReader):
    """Refuses a head that breaks off: the standard library takes the end of the connection for the end of the head."""

    _is_first = True

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and not (self._is_first and not line):
            raise http.client.IncompleteRead(line)
        self._is_first = False
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = _WholeLines(self.fp.detach())


# -- connections ------------------------------------------------------------------------------------------------------


class _Connection(HTTPConnection):
    auto_open = 0  # never by itself, in the middle of a request
    _last: _Response | None = None
    _held: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Head and body leave as one: nothing has left if there is anything wrong with either."""
        self._held = []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._held)
        finally:
            self._held = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def response_class(self, *args: Any, **kwargs: Any) -> _Response:  # type: ignore[override]
        self._last = _Response(*args, **kwargs)
        return self._last

    def getresponse(self) -> Any:
        try:
            return super().getresponse()
        except BaseException:
            if self._last is not None:  # the library leaves it open if it has read it and can make no sense of it
                self._last.close()
            raise

    def _new_conn(self) -> socket.socket:
        return _connect_tcp(self._dns_host, self.port, carries_request=True)

    def connect(self) -> None:
        """Raises CallFailed (``UNREACHED``)."""
        try:
            super().connect()
        except TimeoutError as error:
            raise CallFailed(Stage.UNREACHED, "could not be reached in time") from error
        except ssl.SSLError as error:
            raise CallFailed(Stage.UNREACHED, f"has no trusted TLS connection ({cause(error)})") from error
        except socket.gaierror as error:
            raise CallFailed(Stage.UNREACHED, "has no known network address") from error
        except ConnectionRefusedError as error:
            raise CallFailed(Stage.UNREACHED, "refused the connection: no server listens there") from error
        except FAILURES as error:
            raise CallFailed(Stage.UNREACHED, f"could not be reached ({cause(error)})") from error


class _TlsConnection(_Connection, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_tcp(self._dns_host, self.port, carries_request=False)


def _connect_tcp(host: str, port: int, *, carries_request: bool) -> _Socket:
    """A connection to the first address of the host that answers; each one has its share of the time."""
    exchange = CURRENT.get()
    addresses = exchange.addresses.of(host, port, exchange.left())
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = _Socket(family, kind, protocol)
            try:
                sock.carries_request = carries_request
                sock.settimeout(exchange.left() / (len(addresses) - position))  # the last one gets all that is left
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except BaseException:
                sock.close()
                raise
        except OSError:
            if position == len(addresses) - 1:
                exchange.addresses.forget(host, port)
                raise
    raise OSError("no address")


# -- pools and sessions -----------------------------------------------------------------------------------------------


class Untouched(EmptyPoolError):
    """Not sent, and the connection stays. To the library it says: no connection was handed out, there is none to close.

    Attributes:
        error: why.
    """

    def __init__(self, pool: HTTPConnectionPool, error: Exception) -> None:
        super().__init__(pool, "not permitted")
        self.error = error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if conn.is_closed:
            conn.connect()
        assert isinstance(conn.sock, _Socket)
        try:
            CURRENT.get().permit(conn.sock)
        except Exception as error:  # whoever was asked may break in any way; the caller gets to see it
            self._put_conn(conn)
            raise Untouched(self, error) from error
        return super()._make_request(conn, *args, **kwargs)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """One connection at a time, for one thread at a time; nothing is tried again."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=Retry(False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, tls = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {**tls, "ssl_context": self._tls}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the context says whom to trust, and the library's own list of authorities is not added to it."""


class Session(requests.Session):
    """For one thread at a time. Its exchange stands in ``CURRENT`` of that thread."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        """``tls`` is made by :func:`tls_context`; None for a server without TLS."""
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("http://", _Adapter(None))
        self.mount("https://", _Adapter(tls))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, ever. Asked also where redirects are not followed: the whole body would be read, however long."""


def tls_context(given: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """The context, or one that trusts what the machine trusts, so that its connections keep the deadline."""
    context = given or ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    return context


def cause(error: BaseException) -> str:
    """What went wrong, without anything that was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if refused := re.match(r"Tunnel connection failed: (\d+)", str(error)):
        return f"the proxy answered {refused[1]}"
    return type(error).__name__


def unwrapped(error: BaseException) -> BaseException:
    """What happened, below what the libraries made of it."""
    while isinstance(error, requests.RequestException | HTTPError) and error.__context__ is not None:
        error = error.__context__
    return error
