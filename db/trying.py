"""Tries a connection out, and says in words what is in the way; nothing is changed."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from db import dialects
from db.engines import DEFAULT_DRIVER, best_driver, shown, sqlite_path
from db.maintenance import Standing, require_current, state
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault

_PORTS = {"postgresql": 5432, "mssql": 1433}
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ConnectionVerdict:
    """What became of a trial.

    Attributes:
        code: ``OK``, or what is in the way, in capitals.
        message: one sentence.
        what_to_do: one sentence; "" where nothing has to be done.
        works: the program can work with this database as it is.
        wants_upgrade: it would work after ``db upgrade``, and this login may do that.
    """

    code: str
    message: str
    what_to_do: str = ""
    works: bool = False
    wants_upgrade: bool = False


def test_connection(url: str) -> ConnectionVerdict:
    """Tries a database URL out, with the password in it where one is needed; takes half a minute at the very most.

    Looked at in turn: the URL, the ODBC driver, the server's name, its port, encryption and certificate, login,
    database, tables and their version, rights.
    """
    try:
        store = Store(url, pool_size=1)
    except EnvironmentFault as fault:
        return _of(fault)
    with store:
        try:
            return _file(store) if sqlite_path(url) is not None else _server(store)
        except EnvironmentFault as fault:
            return _of(fault)


def _of(fault: EnvironmentFault) -> ConnectionVerdict:
    return ConnectionVerdict(fault.code, fault.message, fault.what_to_do)


def _file(store: Store) -> ConnectionVerdict:
    path = sqlite_path(store.url)
    assert path is not None
    found = state(store)
    where = path if path.exists() else _nearest_folder(path)
    if not os.access(where, os.W_OK):
        return ConnectionVerdict(
            "DATABASE_READ_ONLY",
            f"This user may not write to {where}.",
            "Give this user the right to write the file and its folder, or name another place.",
        )
    return _standing(store, found.standing, may_create=True)


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.exists())


def _server(store: Store) -> ConnectionVerdict:
    if (in_the_way := _driver(store.url) or _network(store.url)) is not None:
        return in_the_way
    found = state(store)
    with store.read() as uow:
        may_create = dialects.may_create_tables(uow.connection)
        if found.standing is Standing.CURRENT and (missing := dialects.missing_rights(uow.connection)):
            return ConnectionVerdict(
                "DATABASE_RIGHT_MISSING",
                f"The login has not the right to {missing[0]} at {shown(store.url)}.",
                "Ask the administrator of the database for the operator role of this program.",
            )
    return _standing(store, found.standing, may_create=may_create)


def _driver(url: str) -> ConnectionVerdict | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "mssql" or "odbc_connect" in parsed.query or "dsn" in parsed.query:
        return None
    import pyodbc  # type: ignore[import-not-found]

    installed = pyodbc.drivers()
    driver = str(parsed.query.get("driver") or best_driver(installed))
    if driver in installed or Path(driver).is_file():
        return None
    there = f" There are: {', '.join(installed)}." if installed else ""
    return ConnectionVerdict(
        "DATABASE_DRIVER_MISSING",
        f"The ODBC driver {driver} is not on this machine.{there}",
        f"Install Microsoft's {DEFAULT_DRIVER}, or choose a driver that is there.",
    )


def _network(url: str) -> ConnectionVerdict | None:
    """Whether the server can be reached at all: drivers only say that they waited in vain."""
    parsed = make_url(url)
    host, _, instance = (parsed.host or "").partition("\\")
    host, _, port_of_host = host.removeprefix("tcp:").partition(",")
    if not host or host in {".", "(local)"} or host.startswith(("/", "(localdb)")):
        return None  # this machine, by no port
    port = parsed.port or int(str(parsed.query.get("port") or port_of_host or _PORTS[parsed.get_backend_name()]))
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ConnectionVerdict(
            "DATABASE_HOST_UNKNOWN",
            f"There is no server {host}: this machine cannot find its name.",
            "Check the name of the server; away from the office, check the VPN.",
        )
    if instance and parsed.port is None:
        return None  # its port is asked of the server's browser service, by the driver
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_S).close()
    except TimeoutError:
        return ConnectionVerdict(
            "DATABASE_UNREACHABLE",
            f"The server {host} did not answer on port {port} for {_TIMEOUT_S:g} seconds.",
            "Check that it runs, and that no firewall stands between; away from the office, check the VPN.",
        )
    except OSError as error:
        return ConnectionVerdict(
            "DATABASE_PORT_CLOSED",
            f"Nothing answers on port {port} of {host} ({error.strerror or error}).",
            "Check the port, that the database server runs, and that it listens to the network (TCP/IP).",
        )
    return None


def _standing(store: Store, standing: Standing, *, may_create: bool) -> ConnectionVerdict:
    if standing is Standing.CURRENT:
        return ConnectionVerdict("OK", f"The database {shown(store.url)} can be used.", works=True)
    try:
        require_current(store)
    except EnvironmentFault as fault:
        if standing not in {Standing.NOTHING, Standing.OLD}:
            return _of(fault)
        is_empty = standing is Standing.NOTHING
        code = "DATABASE_EMPTY" if is_empty else fault.code
        message = f"The database {shown(store.url)} has no tables of this program yet." if is_empty else fault.message
        if may_create:
            what_to_do = "Make its tables, or bring them up to date, with: db upgrade"
            return ConnectionVerdict(code, message, what_to_do, wants_upgrade=True)
        what_to_do = "Have an administrator of the database run: db upgrade"
        return ConnectionVerdict(code, f"{message} This login may not change that.", what_to_do)
    raise AssertionError("unreachable: only a current database is not refused")
