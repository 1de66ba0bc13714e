"""A process that works off a database, to be killed: ``python -m tests.helpers.engine_process DATABASE BILLING …``."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.ports import RateGovernor
from desktop_app.billing.client import BillingClient
from desktop_app.billing.governor import PacedGovernor
from desktop_app.billing.secrets import SANDBOX_LOGIN
from desktop_app.engine import crash_points, outbox
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.outbox import Sent
from desktop_app.engine.pool import ThreadPool
from tests.helpers.leaping_clock import LeapingClock, install
from tests.helpers.rest import wait_until_idle

#: Exit code of a process that ended itself where a test asked for it.
ENDED_ITSELF = 77


class OneServer:
    """A gateway to one billing server, whatever the credential."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = BillingClient("sandbox", url, SANDBOX_LOGIN, timeout_s=timeout_s)
        self._governor = PacedGovernor()

    def unopened(self) -> Collection[int]:
        return ()

    def client(self, billing_credential_id: int) -> BillingClient:
        return self._client

    def governor(self, billing_credential_id: int) -> RateGovernor:
        return self._governor

    def close(self) -> None:
        self._client.close()


class StoppableStore(Store):
    """A store of which a thread can say that nobody is in the middle of writing."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.writing = threading.Lock()

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[UnitOfWork]:
        with self.writing if writes else nullcontext(), super()._transaction(writes=writes) as uow:
            yield uow


def at(point: str, time_: int, do: Callable[[], None]) -> None:
    """Does something when this process reaches the crash point for that time, from 1, in any of its threads; once."""
    counting = threading.Lock()
    left = time_

    def on_reached(where: str) -> None:
        nonlocal left
        if where != point:
            return
        with counting:
            left -= 1
            is_now = left == 0
        if is_now:
            do()

    crash_points.on_reached = on_reached


def stop_here(store: StoppableStore) -> None:
    """Stops this process until it is told to go on, in no transaction: nobody else has to wait for it."""
    with store.writing:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.5)  # the kernel stops all threads within it


def _take(_event_id: str, _body: bytes) -> Sent:
    return Sent(taken=True)


def live(arguments: Sequence[str], end_at: str | None = None, behind: str | None = None) -> None:
    """One life of such a process.

    Args:
        arguments: of its command line.
        end_at: the crash point at which it ends itself, at once, with :data:`ENDED_ITSELF`; None: it does not.
        behind: only after it has come by this one; None: the first time.
    """
    has_passed = behind is None

    def on_reached(point: str) -> None:
        nonlocal has_passed
        if point == end_at and has_passed:
            os._exit(ENDED_ITSELF)
        has_passed = has_passed or point == behind

    crash_points.on_reached = on_reached
    main(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    parser.add_argument("billing_url")
    parser.add_argument("--timeout-s", type=float, required=True)
    parser.add_argument("--settle-s", type=float, required=True)
    parser.add_argument("--lease-s", type=float, required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--clock", type=Path, help="of leases and of the database; the machine's by default")
    parser.add_argument("--stop-at", metavar="POINT", default="", help="stops itself there; empty: nowhere")
    parser.add_argument("--stop-time", type=int, default=1, help="when it is reached for that time, from 1")
    parser.add_argument("--announce", action="store_true", help="finished jobs are announced, and taken")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    faulthandler.register(signal.SIGUSR2)  # where every thread is, for a test that waits in vain
    if asked.clock is not None:
        install(LeapingClock(asked.clock))
    gateway = OneServer(asked.billing_url, asked.timeout_s)
    config = EngineConfig("work", asked.timeout_s, asked.settle_s, asked.lease_s, first_wait_s=0.2)
    with StoppableStore(asked.database_url) if asked.stop_at else Store(asked.database_url) as store:
        if isinstance(store, StoppableStore):
            at(asked.stop_at, asked.stop_time, partial(stop_here, store))
        send = _take if asked.announce else None
        outbox.CLAIM = timedelta(seconds=asked.lease_s)  # no test waits as long as a slow receiver may take
        engine = Engine(store, gateway, ThreadPool(asked.workers), config, send=send)
        engine.start()
        print("working", flush=True)
        try:
            wait_until_idle(store, announces=send is not None)
        finally:
            engine.stop()
            gateway.close()


if __name__ == "__main__":
    main()
