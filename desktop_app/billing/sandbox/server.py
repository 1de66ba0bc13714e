"""Runs the sandbox: its folder, its lock, its port, its address file, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
import uvicorn.lifespan.off  # imported by its name at run time: a frozen program has to see it here
from starlette.applications import Starlette

from desktop_app.billing.sandbox import api
from desktop_app.billing.sandbox.books import Books
from desktop_app.billing.sandbox.control import Control
from desktop_app.billing.sandbox.faults import Faults
from desktop_app.billing.sandbox.journal import Journal, JournalDamaged
from desktop_app.billing.sandbox.users import Users
from desktop_app.billing.sandbox.wire import CuttableProtocol

#: Exit codes: a clean end; the machine or the folder does not let it run; another sandbox holds the folder.
OK, CANNOT_RUN, FOLDER_IN_USE = 0, 3, 75

#: Where it listens stands in this file of the data folder while it runs.
ADDRESS_FILE = "sandbox.json"
_FOLDER = "billing-sandbox"
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a sandbox.

    Attributes:
        data_dir: folder of ``sandbox.json``; the journal goes into a folder below it.
        port: 0 for the port of the last run in this folder if it is free, else any.
        parent_pid: the sandbox ends when this process (and every later user) is gone; None: it runs until stopped.
        accept_any: ids that the catalogue does not know are accepted.
        reference_field: the field of a service that carries the client's reference.
        product_reference_field: the same for a product.
        faults: settings of misbehaviour and speed, see :class:`Faults`.
    """

    data_dir: Path
    port: int = 0
    parent_pid: int | None = None
    accept_any: bool = False
    reference_field: str = "number2"
    product_reference_field: str = "code_2"
    faults: dict[str, Any] = field(default_factory=dict)


def serve(options: Options) -> int:
    """Runs a sandbox until it is stopped by a signal, over HTTP, or by the end of its users. Returns an exit code.

    What hinders it from running is said in one sentence on standard error.

    Raises:
        BadFault: ``options.faults`` are not valid.
    """
    folder = options.data_dir / _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / "lock") as alone:
            if not alone:
                return _say(FOLDER_IN_USE, f"Another billing sandbox runs on {options.data_dir}.")
            return _serve_alone(options, folder)
    except (OSError, JournalDamaged) as error:
        return _say(CANNOT_RUN, f"The billing sandbox cannot run: {error}")


def _serve_alone(options: Options, folder: Path) -> int:
    books = Books(reference_field=options.reference_field, product_reference_field=options.product_reference_field)
    journal = Journal(folder / "journal.jsonl")
    for entry in journal.replay():
        books.replay(entry)
    faults = Faults()
    faults.change(options.faults)
    users = Users(needs_users=options.parent_pid is not None)
    if options.parent_pid is not None:
        try:
            users.add(options.parent_pid)
        except ValueError:
            return OK  # whoever wanted it has gone already
    address = _AddressFile(options.data_dir / ADDRESS_FILE, folder / "last-port")
    listener = _listen(options.port or address.last_port(), exactly=bool(options.port))
    try:
        asyncio.run(_run(options, books, journal, faults, users, address, listener))
    finally:
        listener.close()
        users.close()
        journal.close()
    return OK


async def _run(
    options: Options,
    books: Books,
    journal: Journal,
    faults: Faults,
    users: Users,
    address: _AddressFile,
    listener: socket.socket,
) -> None:
    instance = secrets.token_hex(16)
    served = api.Api(books, journal, faults, accept_any=options.accept_any)

    def stop() -> None:
        server.should_exit = True

    control = Control(
        instance=instance, api=served, books=books, journal=journal, faults=faults, users=users, stop=stop
    )
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[*served.routes(), *control.routes()], exception_handlers={404: api.not_found}),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
    )
    with _quiet_signals():
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        address.write(instance, listener.getsockname()[1])
        try:
            while not serving.done():
                await asyncio.wait([serving], timeout=0.5)
                if users.all_gone():
                    stop()
        finally:
            address.remove(instance)
        await serving


def _listen(port: int, *, exactly: bool) -> socket.socket:
    """A listening socket on loopback; another port if ``port`` is taken, unless it has to be that one."""
    for wanted in dict.fromkeys((port, port if exactly else 0)):
        # the protocol by name: asyncio turns off the delaying of small packets only where it reads it
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if sys.platform != "win32":  # there it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, wanted))
            listener.listen(1024)
        except OSError:
            listener.close()
            if exactly or not wanted:
                raise
        else:
            return listener
    raise OSError(f"port {port} on {_HOST} is taken")


@dataclass(frozen=True, slots=True)
class _AddressFile:
    """``sandbox.json``: where a sandbox listens, as long as it does."""

    path: Path
    port_path: Path

    def last_port(self) -> int:
        """The port of the last run in this folder, or 0. Clients that knew it find us again there."""
        try:
            return int(self.port_path.read_text())
        except (OSError, ValueError):
            return 0

    def write(self, instance: str, port: int) -> None:
        content = {
            "url": f"http://{_HOST}:{port}/v1",
            "control_url": f"http://{_HOST}:{port}/_sandbox",
            "pid": os.getpid(),
            "instance": instance,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "login": api.LOGIN,
            "password": api.PASSWORD,
            "subscription_key": api.SUBSCRIPTION_KEY,
        }
        _replace(self.port_path, str(port))
        _replace(self.path, json.dumps(content, indent=2))

    def remove(self, instance: str) -> None:
        """Removes the file, unless it tells of another sandbox by now."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(self.path.read_text())["instance"] == instance:
                self.path.unlink()


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    for _ in range(50):  # on Windows a reader that has the file open makes this fail for a moment
        try:
            temporary.replace(path)
            return
        except PermissionError:
            time.sleep(0.02)
    temporary.replace(path)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[bool]:
    """Holds an exclusive lock that ends with the process, however it ends; gives False if another one holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _lock(fd)
    finally:
        os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more when it is done; by then it has had its effect."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), lambda *_: None) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _say(code: int, sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code
