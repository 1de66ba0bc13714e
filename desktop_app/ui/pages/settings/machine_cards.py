"""The parts of the Settings page that change this machine: the database, billing and work, files for support."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop_app.desk.machine import CredentialRow, DatabaseForm, DatabaseKind, Machine, SettingRow, Verdict
from desktop_app.ui.background import Lane
from desktop_app.ui.context import Context
from desktop_app.ui.files import ask_save
from desktop_app.ui.pages.settings.connection import ConnectionDialog
from desktop_app.ui.pages.settings.credential import CredentialDialog
from desktop_app.ui.pages.settings.form import SettingsForm
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.card import Card
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import StatusLabel, label
from desktop_app.ui.widgets.tab_order import join
from desktop_app.ui.widgets.toast import announce


def _buttons(*buttons: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for button in buttons:
        row.addWidget(button)
    row.addStretch(1)
    return row


class DatabaseCard(Card):
    """Which database is connected to, and the dialog to another.

    Signals:
        saved(): another connection is kept for the next start.
    """

    saved = Signal()

    def __init__(self, context: Context, machine: Machine) -> None:
        super().__init__(padding=16)
        self._context, self._machine = context, machine
        self.body.addWidget(label(self.tr("Database"), "heading"))
        self._where = label("", wrap=True)
        self._where.setObjectName("databaseWhere")
        self.body.addWidget(self._where)
        self.test_button = Button(self.tr("Test connection"), icon="plug-connected", name="testDatabaseButton")
        self.test_button.clicked.connect(self.test)
        self.change_button = Button(self.tr("Change…"), icon="database", name="changeDatabaseButton")
        self.change_button.clicked.connect(self.change)
        self.body.addLayout(_buttons(self.change_button, self.test_button))
        self._answer = InfoBar(Tone.INFO)
        self._answer.hide()
        self.body.addWidget(self._answer)

    def show_form(self, form: DatabaseForm) -> None:
        """Says where the database is."""
        if form.kind is DatabaseKind.EMBEDDED:
            text = self.tr("A file on this machine: {name}").format(name=self._context.capabilities.database)
        else:
            kind = "SQL Server" if form.kind is DatabaseKind.SQL_SERVER else "PostgreSQL"
            who = self.tr("as the Windows user") if form.windows_login else self.tr("as {user}").format(user=form.user)
            text = self.tr("{database} on {server} ({kind}), {who}").format(
                database=form.database, server=form.server, kind=kind, who=who
            )
        self._where.setText(text)
        self._where.setAccessibleName(text)

    def change(self) -> None:
        """Opens the dialog."""
        ConnectionDialog.open_for(
            self.window(), self._machine, self._context.background, self.saved.emit, self._context.complain
        )

    def test(self) -> None:
        """Tries out the connection that is kept."""
        machine = self._machine
        self._say(Verdict(True, self.tr("Connecting…")), Tone.INFO)
        self._context.background.run(
            lambda cancel: machine.test_database(machine.database_form(), ""),
            done=self._say,
            failed=self._context.complain,
            key="test_database",
            owner=self,
            lane=Lane.LONG,
        )

    def _say(self, verdict: Verdict, tone: Tone | None = None) -> None:
        self._answer.show_message(verdict.message, verdict.what_to_do, tone or (Tone.OK if verdict.ok else Tone.ERROR))
        self._answer.show()
        announce(self._answer, f"{verdict.message} {verdict.what_to_do}")


class WorkCard(Card):
    """Billing and work: the settings that a person changes, the billing credentials, and what becomes of a test.

    Signals:
        saved(): settings are kept for the next start.
    """

    saved = Signal()

    def __init__(self, context: Context, machine: Machine) -> None:
        super().__init__(padding=16)
        self._context, self._machine = context, machine
        self.body.addWidget(label(self.tr("Billing and work"), "heading"))
        self.form = SettingsForm(self)
        self._build_fields()
        self.body.addLayout(
            self.form.place(
                (
                    "billing_kind",
                    "billing_url",
                    "billing_timeout_s",
                    "workers",
                    "rate_per_minute",
                    "rate_per_day",
                    "notify_url",
                    "log_level",
                )
            )
        )
        self.body.addWidget(self.form.widget("billing_lookup_first"))
        self._credentials = QVBoxLayout()
        self._credentials.setSpacing(4)
        self.body.addLayout(self._credentials)
        self.test_button = Button(self.tr("Test billing"), icon="plug-connected", name="testBillingButton")
        self.test_button.clicked.connect(self.test)
        self.save_button = Button(self.tr("Save"), kind="primary", name="saveSettingsButton")
        self.save_button.clicked.connect(self.save)
        self.undo_button = Button(self.tr("Undo changes"), name="undoSettingsButton")
        self.undo_button.clicked.connect(self.read)
        self.form.edited.connect(self._edited)
        self.body.addLayout(_buttons(self.save_button, self.undo_button, self.test_button))
        self._answers = QVBoxLayout()
        self.body.addLayout(self._answers)
        self._edited()

    def _build_fields(self) -> None:
        form = self.form
        form.choice(
            "billing_kind",
            self.tr("Billing company"),
            (("sandbox", self.tr("Sandbox: nothing is billed")), ("revio", self.tr("Rev.io: production"))),
        )
        form.text("billing_url", self.tr("Address of its API"), self.tr("its usual address"))
        form.number("billing_timeout_s", self.tr("Longest wait for an answer, in seconds"), 300)
        form.number("workers", self.tr("Calls to billing at a time"), 64)
        form.number("rate_per_minute", self.tr("Calls a minute at most"), 1_000_000, empty=self.tr("no limit"))
        form.number("rate_per_day", self.tr("Calls a day at most"), 100_000_000, empty=self.tr("no limit"))
        form.text("notify_url", self.tr("Announce finished jobs to"), self.tr("nowhere"))
        form.choice(
            "log_level",
            self.tr("Log"),
            [(level, level.capitalize()) for level in ("DEBUG", "INFO", "WARNING", "ERROR")],
        )
        form.check("billing_lookup_first", self.tr("Search billing for the number first (jobs of up to 500 devices)"))

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Shows what is in force, and drops what was not saved."""
        machine = self._machine
        self._context.background.run(
            lambda cancel: (machine.settings(), machine.credentials()),
            done=lambda found: self._show(*found),
            failed=self._context.complain,
            key="machine_settings",
            owner=self,
        )

    def read_unless_edited(self) -> None:
        """The same where nothing would be dropped."""
        if not self.form.changes():
            self.read()

    def _show(self, rows: Mapping[str, SettingRow], credentials: tuple[CredentialRow, ...]) -> None:
        self.form.show_values(rows, self.tr("Set by the {by}; it cannot be changed here."))
        self._edited()
        _clear(self._credentials)
        is_sandbox = rows["billing_kind"].value == "sandbox"
        lines = [self._credential_line(one) for one in (() if is_sandbox else credentials)]
        for line in lines:
            self._credentials.addWidget(line)
        join(self.save_button, (button for line in lines for button in line.findChildren(Button)))

    def _credential_line(self, one: CredentialRow) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        status = StatusLabel()
        if one.can_open:
            status.show_status(
                "circle-check-filled", self.tr("Credential {code}: secret is here").format(code=one.code), Tone.OK
            )
        else:
            status.show_status(
                "alert-triangle-filled",
                self.tr("Credential {code}: no secret here").format(code=one.code),
                Tone.WARNING,
            )
        row.addWidget(status)
        button = Button(
            self.tr("Store secret…"),
            kind="link",
            accessible=self.tr("Store the secret of {code}").format(code=one.code),
        )
        button.clicked.connect(
            lambda: CredentialDialog(
                self.window(), self._machine, self._context.background, one.code, self.read_unless_edited
            ).open()
        )
        row.addWidget(button)
        row.addStretch(1)
        return line

    # --- testing and saving -------------------------------------------------------------------------------------------

    def _edited(self) -> None:
        changed = bool(self.form.changes())
        self.save_button.setEnabled(changed)
        self.undo_button.setEnabled(changed)

    def test(self) -> None:
        """Signs in at billing with what is filled in."""
        machine, changes = self._machine, self.form.changes()
        self._say((Verdict(True, self.tr("Asking billing…")),), Tone.INFO)
        self._context.background.run(
            lambda cancel: machine.test_billing(changes),
            done=self._say,
            failed=self._fail,
            key="test_billing",
            owner=self,
            lane=Lane.LONG,
        )

    def save(self) -> None:
        """Keeps what was changed."""
        machine, changes = self._machine, self.form.changes()

        def kept(_: object) -> None:
            _clear(self._answers)
            self.saved.emit()
            self.form.accept()
            self._edited()

        self._context.background.run(
            lambda cancel: machine.save_settings(changes), done=kept, failed=self._fail, key="save_settings", owner=self
        )

    def _say(self, verdicts: tuple[Verdict, ...], tone: Tone | None = None) -> None:
        _clear(self._answers)
        for verdict in verdicts:
            bar = InfoBar(tone or (Tone.OK if verdict.ok else Tone.ERROR))
            bar.setObjectName("billingAnswer")
            bar.show_message(verdict.message, verdict.what_to_do)
            self._answers.addWidget(bar)
            announce(bar, f"{verdict.message} {verdict.what_to_do}")

    def _fail(self, error: Exception) -> None:
        _clear(self._answers)
        self._context.complain(error)


class FilesCard(Card):
    """Folders to open, and the bundle for whoever helps."""

    def __init__(self, context: Context, machine: Machine) -> None:
        super().__init__(padding=16)
        self._context, self._machine = context, machine
        self.body.addWidget(label(self.tr("Files"), "heading"))
        row = []
        for folder, text, name in (
            ("data", self.tr("Open data folder"), "openDataFolderButton"),
            ("logs", self.tr("Open logs"), "openLogsButton"),
            ("settings", self.tr("Open settings folder"), "openSettingsFolderButton"),
        ):
            button = Button(text, icon="folder", name=name)
            button.clicked.connect(lambda _=False, folder=folder: self._open(folder))
            row.append(button)
        self.bundle_button = Button(self.tr("Save support bundle…"), icon="file-export", name="supportBundleButton")
        self.bundle_button.clicked.connect(self.save_bundle)
        self.body.addLayout(_buttons(*row, self.bundle_button))
        self.body.addWidget(
            label(
                self.tr(
                    "The support bundle holds versions, settings, what the database check finds, the newest jobs’ logs "
                    "and the files of the log. Secrets are left out, and all but the last four digits of a device’s "
                    "identifiers."
                ),
                "small",
                wrap=True,
            )
        )

    def _open(self, folder: str) -> None:
        machine = self._machine
        self._context.background.run(
            lambda cancel: machine.folders()[folder],
            done=_show_folder,
            failed=self._context.complain,
            key="folders",
            owner=self,
        )

    def save_bundle(self) -> None:
        """Asks where, and writes it."""
        today = self._context.clock.local(datetime.now(UTC))
        proposed = f"association-desk-support-{today:%Y%m%d}.zip"
        ask_save(self.window(), self.tr("Save support bundle"), self.tr("Archives (*.zip)"), proposed, self._write)

    def _write(self, path: Path) -> None:
        machine = self._machine
        self.bundle_button.setEnabled(False)

        def written(size: int) -> None:
            self.bundle_button.setEnabled(True)
            self._context.notify(
                self.tr("The support bundle was saved: {path} ({size} KB)").format(
                    path=path, size=f"{size / 1000:,.0f}"
                ),
                Tone.OK,
            )

        def failed(error: Exception) -> None:
            self.bundle_button.setEnabled(True)
            self._context.complain(error)

        self._context.background.run(
            lambda cancel: machine.support_bundle(path),
            done=written,
            failed=failed,
            key="support_bundle",
            owner=self,
            lane=Lane.LONG,
        )


def _show_folder(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _clear(layout: QVBoxLayout) -> None:
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.setObjectName("")
            widget.deleteLater()
