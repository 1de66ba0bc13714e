"""Ports of this machine that no other process gets into the way of."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on: it is taken, so that nobody else does while the block lasts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def port_of_its_own() -> int:
    """A port that the system gives to nobody who asks for any, so that it is free again when its owner is gone."""
    for port in count(10_000 + os.getpid() % 20_000):
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("unreachable")
