"""A machine in memory, for tests and pictures of the window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from desktop_app.association.errors import RequestRefused
from desktop_app.desk.machine import CredentialRow, DatabaseForm, SettingRow, SettingType, Verdict


class FakeMachine:
    """Implements :class:`desktop_app.desk.machine.Machine`.

    Attributes:
        rows: settings in force.
        saved: what was saved of them.
        form: the database's connection; ``password`` was given with it.
        verdict: what a try of a database comes to.
        stored: secrets, by credential.
    """

    def __init__(self, folder: Path = Path("/nowhere")) -> None:
        self.folder = folder
        self.rows: dict[str, SettingRow] = {
            "billing_kind": SettingRow("revio"),
            "billing_url": SettingRow("https://api.revioapi.com/v1"),
            "billing_timeout_s": SettingRow(10.0),
            "billing_lookup_first": SettingRow(False),
            "workers": SettingRow(16, "environment variable ASSOCIATION_WORKERS"),
            "rate_per_minute": SettingRow(450),
            "rate_per_day": SettingRow(0),
            "notify_url": SettingRow(""),
            "log_level": SettingRow("WARNING"),
        }
        self.saved: dict[str, SettingType] = {}
        self.form = DatabaseForm()
        self.password = ""
        self.tried: list[tuple[DatabaseForm, str]] = []
        self.verdict = Verdict(True, "The database answers and is up to date.")
        self.billing = (Verdict(True, "Billing answers and accepts the credential 'main'."),)
        self.stored: dict[str, tuple[str, str, str]] = {}
        self.bundles: list[Path] = []

    def settings(self) -> Mapping[str, SettingRow]:
        return dict(self.rows)

    def save_settings(self, changes: Mapping[str, SettingType]) -> None:
        if changes.get("notify_url") == "nonsense":
            raise RequestRefused("SETTING_INVALID", "NOTIFY_URL is no address.", "Correct its value.")
        self.saved.update(changes)

    def folders(self) -> Mapping[str, Path]:
        return dict.fromkeys(("data", "logs", "settings"), self.folder)

    def drivers(self) -> tuple[str, ...]:
        return ("ODBC Driver 18 for SQL Server", "FreeTDS")

    def database_form(self) -> DatabaseForm:
        return self.form

    def test_database(self, form: DatabaseForm, password: str) -> Verdict:
        self.tried.append((form, password))
        return self.verdict

    def save_database(self, form: DatabaseForm, password: str) -> None:
        self.form, self.password = form, password

    def credentials(self) -> tuple[CredentialRow, ...]:
        return (
            CredentialRow("main", is_default=True, can_open=True),
            CredentialRow("north", is_default=False, can_open="north" in self.stored),
        )

    def store_credential(self, code: str, login: str, password: str, subscription_key: str) -> None:
        self.stored[code] = (login, password, subscription_key)

    def test_billing(self, changes: Mapping[str, SettingType]) -> tuple[Verdict, ...]:
        return self.billing

    def support_bundle(self, path: Path) -> int:
        self.bundles.append(path)
        return path.write_bytes(b"bundle")
