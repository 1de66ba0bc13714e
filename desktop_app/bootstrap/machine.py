"""This machine, as the window sees it: settings, connections, secrets, the support bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop_app.association.errors import AssociationError, RequestRefused

if TYPE_CHECKING:
    from db.browse_billing import CredentialRecord
    from desktop_app.desk.machine import CredentialRow, DatabaseForm, SettingRow, SettingType, Verdict
    from desktop_app.settings import Settings

#: Settings that a person may look at, and change where nothing fixes them, in the window.
SHOWN = (
    "billing_kind",
    "billing_url",
    "billing_timeout_s",
    "billing_lookup_first",
    "workers",
    "rate_per_minute",
    "rate_per_day",
    "notify_url",
    "log_level",
)


class LocalMachine:
    """Implements :class:`desktop_app.desk.machine.Machine`."""

    def __init__(self, flags: Mapping[str, Any]) -> None:
        """Args:
        flags: settings that the command line named; they go over whatever is saved.
        """
        self._flags = dict(flags)

    def _settings(self, changes: Mapping[str, SettingType] | None = None) -> Settings:
        from desktop_app import settings

        return settings.load({**(changes or {}), **{name: v for name, v in self._flags.items() if v is not None}})

    # --- settings -----------------------------------------------------------------------------------------------------

    def settings(self) -> Mapping[str, SettingRow]:
        """The settings in force, by name."""
        from desktop_app.desk.machine import SettingRow
        from desktop_app.settings import fixed_by

        loaded = self._settings().model_dump(mode="json")
        return {name: SettingRow(loaded[name], fixed_by(name, self._flags)) for name in SHOWN}

    def save_settings(self, changes: Mapping[str, SettingType]) -> None:
        """Writes them into the user's file."""
        from desktop_app import settings

        settings.save(changes)

    def folders(self) -> Mapping[str, Path]:
        """``data``, ``logs`` and ``settings``."""
        from desktop_app.folders import config_file

        data = self._settings().data_dir
        return {"data": data, "logs": data / "logs", "settings": config_file().parent}

    # --- database -----------------------------------------------------------------------------------------------------

    def drivers(self) -> tuple[str, ...]:
        """ODBC drivers for SQL Server on this machine, the best first."""
        from db.connections import drivers

        return drivers()

    def database_form(self) -> DatabaseForm:
        """How the database of the settings is connected to."""
        from db.connections import DatabaseKind as Kind
        from db.connections import LoginKind, connection_form
        from desktop_app.desk.machine import DatabaseForm, DatabaseKind

        found = connection_form(self._settings().database_url)
        if found.kind is Kind.SQLITE:
            return DatabaseForm()
        return DatabaseForm(
            DatabaseKind(found.kind.value),
            f"{found.server}\\{found.instance}" if found.instance else found.server,
            found.port,
            found.database,
            found.login is LoginKind.WINDOWS,
            found.user,
            found.driver,
            found.encrypt,
            found.trust_certificate,
        )

    def test_database(self, form: DatabaseForm, password: str) -> Verdict:
        """Tries out a connection and changes nothing. An empty password: the one that is kept."""
        from db import trying
        from db.connections import with_password
        from desktop_app.bootstrap.database_password import kept_password
        from desktop_app.desk.machine import Verdict

        try:
            url = self._url(form)
            secret = password or kept_password(url)
            tried = trying.test_connection(with_password(url, secret) if secret and _has_user(form) else url)
        except AssociationError as error:
            return Verdict(False, error.message, error.what_to_do)
        return Verdict(tried.works or tried.wants_upgrade, tried.message, tried.what_to_do)

    def save_database(self, form: DatabaseForm, password: str) -> None:
        """Keeps the connection for the next start: its address in the file, its password in the keyring."""
        from desktop_app import settings
        from desktop_app.bootstrap.database_password import keep_password
        from desktop_app.desk.machine import DatabaseKind
        from desktop_app.settings import fixed_by

        by = fixed_by("database_url", self._flags)
        if by:
            raise RequestRefused(
                "SETTING_FIXED",
                f"The database is set by {by}, which goes over whatever is saved here.",
                "Take it out there, start the program again, and change the connection here.",
            )
        if form.kind is DatabaseKind.EMBEDDED:
            if self.database_form().kind is not DatabaseKind.EMBEDDED:  # else it stays the file that it is
                settings.save({"database_url": None})
            return
        url = self._url(form)
        if password and _has_user(form):
            keep_password(url, password)
        settings.save({"database_url": url})

    def _url(self, form: DatabaseForm) -> str:
        """The URL that says the same, without a password; options that the form does not show are kept."""
        from db.connections import DatabaseConnection, LoginKind, connection_form, connection_url
        from db.connections import DatabaseKind as Kind
        from desktop_app.desk.machine import DatabaseKind

        settings = self._settings()
        if form.kind is DatabaseKind.EMBEDDED:
            embedded = settings.uses_embedded_default or not settings.database_url.startswith("sqlite")
            path = (settings.data_dir / "desk.db").as_posix()
            return f"sqlite:///{path}" if embedded else settings.database_url
        server, _, instance = form.server.partition("\\")
        now = connection_form(settings.database_url)
        return connection_url(
            DatabaseConnection(
                Kind(form.kind.value),
                server=server,
                instance=instance,
                port=form.port,
                database=form.database,
                login=LoginKind.WINDOWS if form.windows_login else LoginKind.PASSWORD,
                user=form.user,
                driver=form.driver,
                encrypt=form.encrypt,
                trust_certificate=form.trust_certificate,
                more=now.more if now.kind.value == form.kind.value else {},
            )
        )

    # --- billing ------------------------------------------------------------------------------------------------------

    def credentials(self) -> tuple[CredentialRow, ...]:
        """The billing credentials of the database in force, the default first."""
        from desktop_app.billing.secrets import can_open
        from desktop_app.desk.machine import CredentialRow

        kind = self._settings().billing_kind
        return tuple(
            CredentialRow(one.code, one.is_default, can_open(kind, one.code, is_default=one.is_default))
            for one in self._credential_records()
        )

    def _credential_records(self) -> list[CredentialRecord]:
        from db import browse_billing, maintenance
        from db.unit_of_work import Store
        from desktop_app.bootstrap.database_password import connect_url

        with Store(connect_url(self._settings())) as store:
            maintenance.require_current(store)
            with store.read() as uow:
                return browse_billing.credentials(uow)

    def store_credential(self, code: str, login: str, password: str, subscription_key: str) -> None:
        """Keeps the secret of a billing credential in the keyring of this user."""
        from desktop_app.billing.secrets import BillingLogin, store_login

        store_login(code, BillingLogin(login, password, subscription_key))

    def test_billing(self, changes: Mapping[str, SettingType]) -> tuple[Verdict, ...]:
        """Signs in at billing with each credential; asks for one entry of a list and makes nothing."""
        from desktop_app.desk.machine import Verdict

        try:
            settings = self._settings(changes)
            records = self._credential_records()
        except AssociationError as error:
            return (Verdict(False, error.message, error.what_to_do),)
        if settings.billing_kind == "sandbox" and not settings.billing_url:
            return (Verdict(True, "The sandbox of this machine is started when it is needed."),)
        if not records:
            return (
                Verdict(False, "The database holds no billing credential.", "Import one; see the page on importing."),
            )
        return tuple(_tried(settings, one) for one in records)

    # --- support ------------------------------------------------------------------------------------------------------

    def support_bundle(self, path: Path) -> int:
        """Writes what somebody who helps has to know into one .zip."""
        from desktop_app.bootstrap.support import write_bundle

        return write_bundle(self._settings(), path)


def _has_user(form: DatabaseForm) -> bool:
    from desktop_app.desk.machine import DatabaseKind

    return form.kind is not DatabaseKind.EMBEDDED and not form.windows_login


def _tried(settings: Settings, credential: CredentialRecord) -> Verdict:
    from desktop_app.association.ports import LookupVerdict
    from desktop_app.billing.client import BillingClient
    from desktop_app.billing.secrets import open_login
    from desktop_app.desk.machine import Verdict

    try:
        login = open_login(settings.billing_kind, credential.code, is_default=credential.is_default)
        client = BillingClient(settings.billing_kind, settings.billing_url, login, timeout_s=settings.billing_timeout_s)
    except AssociationError as error:
        return Verdict(False, error.message, error.what_to_do)
    try:
        answer = client.try_out()
    finally:
        client.close()
    if answer.verdict is LookupVerdict.ANSWERED:
        return Verdict(True, f"Billing answers and accepts the credential {credential.code!r}.")
    if answer.verdict in (LookupVerdict.RETRY, LookupVerdict.BUSY):
        return Verdict(False, answer.reason, "Try again in a minute; if it stays so, ask the billing company.")
    return Verdict(False, answer.reason, "Look at the address, the network and the secret of the credential.")
