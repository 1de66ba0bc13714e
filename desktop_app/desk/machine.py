"""What the window needs of this machine besides the desk: settings, connections, secrets, log.

It is there when the desk cannot be opened, which is when a connection has to be mended. As with the desk, everything is
synchronous, may be called from any thread, and hands out frozen values. A secret goes in and never comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

SettingType = str | int | float | bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting in force.

    Attributes:
        value: as it is in force.
        fixed_by: what sets it where the settings file cannot change it, such as "the environment variable
            ASSOCIATION_WORKERS"; "": it can be changed here.
    """

    value: SettingType
    fixed_by: str = ""


class DatabaseKind(StrEnum):
    """Where the database is."""

    EMBEDDED = "embedded"  #: a file in the data folder
    SQL_SERVER = "mssql"  #: Microsoft SQL Server, for a whole department
    POSTGRESQL = "postgresql"  #: PostgreSQL, for a whole department


@dataclass(frozen=True, slots=True)
class DatabaseForm:
    """What a person fills in to connect to a database.

    Attributes:
        server: host name or address; on SQL Server also ``HOST\\INSTANCE``.
        port: None: the server's usual one.
        database: its name on the server.
        windows_login: SQL Server only: sign in as the user of this machine.
        user: login name; "" with a Windows login.
        driver: SQL Server only: name of the ODBC driver.
        encrypt: the connection is encrypted.
        trust_certificate: a certificate that nobody vouches for is taken.
    """

    kind: DatabaseKind = DatabaseKind.EMBEDDED
    server: str = ""
    port: int | None = None
    database: str = ""
    windows_login: bool = False
    user: str = ""
    driver: str = ""
    encrypt: bool = True
    trust_certificate: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a connection that was tried out.

    Attributes:
        ok: it can be used as it is.
        message: what was found, in words.
        what_to_do: what mends it; "" where nothing needs to be mended.
    """

    ok: bool
    message: str
    what_to_do: str = ""


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One billing credential of the database, and whether this machine can open it.

    Attributes:
        code: its name.
        is_default: the one that is used where a customer has none of its own.
        can_open: the secret is here.
    """

    code: str
    is_default: bool
    can_open: bool


class Machine(Protocol):
    """This machine. Every method may raise :class:`~desktop_app.association.errors.EnvironmentFault` and
    :class:`~desktop_app.association.errors.RequestRefused`."""

    def settings(self) -> Mapping[str, SettingRow]:
        """The settings in force, by name, secrets left out."""

    def save_settings(self, changes: Mapping[str, SettingType]) -> None:
        """Writes settings into the user's file; they are in force when the program starts again.

        Raises:
            RequestRefused: a value cannot be used; nothing was written.
        """

    def folders(self) -> Mapping[str, Path]:
        """Folders that a person may want to open: ``data``, ``logs``, and ``settings`` with the settings file."""

    def drivers(self) -> tuple[str, ...]:
        """ODBC drivers for SQL Server on this machine, the best first."""

    def database_form(self) -> DatabaseForm:
        """How the database of the settings is connected to; the password is not told."""

    def test_database(self, form: DatabaseForm, password: str) -> Verdict:
        """Tries out a connection and changes nothing. An empty password: the one that is kept."""

    def save_database(self, form: DatabaseForm, password: str) -> None:
        """Keeps the connection for the next start: its address in the settings file, its password in the keyring of
        this user. An empty password: the one that is kept already."""

    def credentials(self) -> tuple[CredentialRow, ...]:
        """The billing credentials of the database in force, the default first."""

    def store_credential(self, code: str, login: str, password: str, subscription_key: str) -> None:
        """Keeps the secret of a billing credential in the keyring of this user."""

    def test_billing(self, changes: Mapping[str, SettingType]) -> tuple[Verdict, ...]:
        """Signs in at billing with each credential, with these settings in place of those in force; asks for one
        customer that is not there, and makes nothing."""

    def support_bundle(self, path: Path) -> int:
        """Writes what somebody who helps has to know into one .zip, whole or not at all: versions, settings, what the
        database check finds, sizes of tables, the newest jobs' logs, the log files.

        No secret stands in it, and of a device's identifiers the last four digits at most. Returns its size in bytes.
        """
