"""Which database: the fields of a form to a URL and back, and a trial that says in words what is in the way.

The URL never holds the password; :func:`with_password` puts it in, right before connecting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from db.engines import MICROSOFT_DRIVER, best_driver, is_freetds, parsed_url
from desktop_app.association.errors import RequestRefused


class DatabaseKind(StrEnum):
    """The kinds of database that the program works with."""

    SQLITE = "sqlite"  #: a file of this machine
    POSTGRESQL = "postgresql"
    MSSQL = "mssql"  #: SQL Server


class LoginKind(StrEnum):
    """How a server is told who comes."""

    WINDOWS = "windows"  #: as the user of this machine (SQL Server with a Windows domain or Kerberos)
    PASSWORD = "password"  #: with a user and a password of the server


@dataclass(frozen=True, slots=True)
class DatabaseConnection:
    """What a person says of a database.

    Attributes:
        kind: of database.
        path: of a SQLite file; "" for servers.
        server: its name or address; "" for SQLite.
        instance: of SQL Server, where it has several: ``SERVER\\INSTANCE``; "" without.
        port: None: the usual one (5432, 1433), or whatever the instance's name leads to.
        database: its name.
        login: how the server is told who comes.
        user: with :attr:`LoginKind.PASSWORD`.
        driver: ODBC driver for SQL Server; "": the best of this machine.
        encrypt: whether the connection must be encrypted.
        trust_certificate: take whatever certificate the server shows. Only in a network that is trusted.
        more: further options, as the URL has them; they are kept as they are.
    """

    kind: DatabaseKind
    path: str = ""
    server: str = ""
    instance: str = ""
    port: int | None = None
    database: str = ""
    login: LoginKind = LoginKind.PASSWORD
    user: str = ""
    driver: str = ""
    encrypt: bool = True
    trust_certificate: bool = False
    more: dict[str, str] = field(default_factory=dict)


def connection_url(form: DatabaseConnection) -> str:
    """The database URL that says the same, without a password.

    Raises:
        RequestRefused: something is missing, or does not go together; it says what.
    """
    if form.kind is DatabaseKind.SQLITE:
        _need(form.path, "the file")
        return URL.create("sqlite", database=form.path, query=form.more).render_as_string()
    _need(form.server or form.more.get("host", ""), "the server")  # PostgreSQL's socket stands among the options
    _need(form.database, "the database")
    by_password = form.login is LoginKind.PASSWORD
    if by_password:
        _need(form.user, "the user")
    if form.port is not None and not 0 < form.port < 65_536:
        raise _incomplete(f"There is no port {form.port}.", "Ports go from 1 to 65535.")
    user = form.user if by_password else None
    if form.kind is DatabaseKind.POSTGRESQL:
        query = {"sslmode": _sslmode(form), **form.more}
        made = URL.create("postgresql+psycopg", user, None, form.server, form.port, form.database, query)
        return made.render_as_string()
    if form.instance and form.port is not None:
        raise _incomplete(
            "An instance and a port were named; the driver goes by one of them.",
            "Name the port alone: it is quicker, and the browser service of the server need not run.",
        )
    host = f"{form.server}\\{form.instance}" if form.instance else form.server
    query = {**({"driver": form.driver} if form.driver else {}), **_mssql_options(form), **form.more}
    return URL.create("mssql+pyodbc", user, None, host, form.port, form.database, query).render_as_string()


def connection_form(url: str) -> DatabaseConnection:
    """The fields that a URL says the same with. A password in it is left out: it is never shown.

    Raises:
        RequestRefused: it is no URL of a database that the program works with.
    """
    try:
        parsed = make_url(url)
        kind = DatabaseKind(parsed.get_backend_name())
    except (ArgumentError, ValueError) as error:
        raise RequestRefused(
            "DATABASE_URL_INVALID",
            "The database URL cannot be read.",
            "Fill in the connection anew.",
        ) from error
    query: dict[str, str] = {
        name: value if isinstance(value, str) else value[-1] for name, value in parsed.query.items()
    }
    if kind is DatabaseKind.SQLITE:
        return DatabaseConnection(kind, path=parsed.database or "", more=query)
    server, _, instance = (parsed.host or "").partition("\\")
    common: dict[str, Any] = {
        "server": server,
        "instance": instance,
        "port": parsed.port,
        "database": parsed.database or "",
        "user": parsed.username or "",
        "login": LoginKind.PASSWORD if parsed.username else LoginKind.WINDOWS,
    }
    if kind is DatabaseKind.POSTGRESQL:
        mode = query.pop("sslmode", "prefer")
        encrypt, trust = mode not in {"disable", "allow", "prefer"}, mode == "require"
        return DatabaseConnection(kind, **common, encrypt=encrypt, trust_certificate=trust, more=query)
    query = {_SPELLING.get(name.lower(), name): value for name, value in query.items()}
    driver = query.pop("driver", "")
    encryption = query.pop("Encryption", query.pop("Encrypt", "yes")).lower()
    trust = is_freetds(driver) or query.pop("TrustServerCertificate", "no").lower() in {"yes", "true", "1"}
    if query.get("Trusted_Connection", "").lower() in {"yes", "true"}:
        del query["Trusted_Connection"]
    encrypt = encryption not in {"no", "false", "optional", "0", "off", "request"}
    return DatabaseConnection(kind, **common, driver=driver, encrypt=encrypt, trust_certificate=trust, more=query)


def drivers() -> tuple[str, ...]:
    """The ODBC drivers for SQL Server on this machine, the best first; none: empty."""
    import pyodbc  # type: ignore[import-not-found]

    left = [name for name in pyodbc.drivers() if is_freetds(name) or MICROSOFT_DRIVER.fullmatch(name)]
    found: list[str] = []
    while left:
        found.append(best_driver(left))
        left.remove(found[-1])
    return tuple(found)


def needs_password(url: str) -> bool:
    """Whether the URL names a user of a server but no password, which then has to come from somewhere.

    Raises:
        EnvironmentFault: the URL cannot be read, or names another kind of database.
    """
    parsed = parsed_url(url)
    return parsed.username is not None and parsed.password is None and "odbc_connect" not in parsed.query


def login_shown(url: str) -> str:
    """Whose login where: user, server, port and database; the same whatever the driver and its options."""
    parsed = parsed_url(url)
    port = "" if parsed.port is None else f":{parsed.port}"
    return f"{parsed.username}@{parsed.host or ''}{port}/{parsed.database or ''}"


def with_password(url: str, password: str) -> str:
    """The URL with the password in it, to connect with. Never shown, never stored."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)


#: ODBC's keywords are read without regard to case.
_SPELLING = {
    name.lower(): name for name in ("driver", "Encrypt", "Encryption", "TrustServerCertificate", "Trusted_Connection")
}


def _mssql_options(form: DatabaseConnection) -> dict[str, str]:
    if is_freetds(form.driver):  # it checks a certificate where its own freetds.conf names authorities
        return {"Encryption": "require" if form.encrypt else "off"}
    options = {"Encrypt": "yes" if form.encrypt else "no"}
    return {**options, "TrustServerCertificate": "yes"} if form.trust_certificate else options


def _sslmode(form: DatabaseConnection) -> str:
    if not form.encrypt:
        return "prefer"
    return "require" if form.trust_certificate else "verify-full"


def _need(value: str, what: str) -> None:
    if not value.strip():
        raise _incomplete(f"The connection has no name for {what}.", f"Fill in {what}.")


def _incomplete(message: str, what_to_do: str) -> RequestRefused:
    return RequestRefused("DATABASE_CONNECTION_INCOMPLETE", message, what_to_do)
