"""The network addresses of a name, within a deadline, and remembered for a while."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

_KEPT_S = 30.0


class Addresses:
    """What names resolve to. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, list[Any]]] = {}

    def of(self, host: str, port: int, within_s: float) -> list[Any]:
        """Rows of :func:`socket.getaddrinfo`, for streams.

        Raises:
            TimeoutError, socket.gaierror, UnicodeError: there is none, or not in time.
        """
        at, known = self._known.get((host, port), (0.0, []))
        if known and self._clock() - at <= _KEPT_S:
            return known
        found = _resolve(host, port, within_s)
        self._known[host, port] = (self._clock(), found)
        return found

    def forget(self, host: str, port: int) -> None:
        """Nobody was met there: the name may have moved."""
        self._known.pop((host, port), None)


def _resolve(host: str, port: int, within_s: float) -> list[Any]:
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
    thread.join(within_s)
    if thread.is_alive():
        raise TimeoutError("the name was not resolved in time")
    if failed:
        raise failed[0]
    return found
