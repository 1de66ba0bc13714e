"""The dialog that connects the program to another database, and says in words what is wrong with a connection."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from desktop_app.desk.machine import DatabaseForm, DatabaseKind, Machine, Verdict
from desktop_app.ui import words
from desktop_app.ui.background import Background, Lane
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.combo import combo_box
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import field_label, label
from desktop_app.ui.widgets.toast import announce

_PORTS = {DatabaseKind.SQL_SERVER: 1433, DatabaseKind.POSTGRESQL: 5432}


class ConnectionDialog(Dialog):
    """Where the database is. A connection can be tried out before it is kept; nothing is kept before Save."""

    def __init__(
        self,
        parent: QWidget,
        machine: Machine,
        background: Background,
        form: DatabaseForm,
        drivers: tuple[str, ...],
        saved: Callable[[], None],
    ) -> None:
        """Args:
        form: as it is now.
        drivers: ODBC drivers on this machine.
        saved: called when another connection was kept.
        """
        super().__init__(parent, _tr("Database connection"), "connectionDialog", width=560)
        self._machine, self._background, self._saved = machine, background, saved
        self._build_kind()
        self._build_server(drivers)
        self._build_login()
        self._build_safety()
        self._answer = InfoBar(Tone.INFO, stacked=True)
        self._answer.setObjectName("connectionAnswer")
        self._answer.setMinimumHeight(40)  # its own hint is that of a narrower dialog
        self._answer.hide()
        self.body.addWidget(self._answer)
        self.body.addStretch(1)
        self.test_button = self.add_button(_tr("Test connection"), self.test, name="testConnectionButton")
        self.add_button(_tr("Cancel"), self.reject, name="cancelConnectionButton")
        self.save_button = self.add_button(
            _tr("Save"), self.save, kind="primary", default=True, name="saveConnectionButton"
        )
        self._show(form)
        self.kind.currentIndexChanged.connect(self._kind_changed)
        self.windows_login.toggled.connect(self._adapt)
        self._adapt()
        self.kind.setFocus()

    @classmethod
    def open_for(
        cls,
        parent: QWidget,
        machine: Machine,
        background: Background,
        saved: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Reads how the database is connected to now and opens the dialog."""
        background.run(
            lambda cancel: (machine.database_form(), machine.drivers()),
            done=lambda found: cls(parent, machine, background, *found, saved).open(),
            failed=failed,
            key="connection_form",
            owner=parent,
        )

    # --- building -----------------------------------------------------------------------------------------------------

    def _build_kind(self) -> None:
        self.kind = combo_box("databaseKindCombo")
        self.kind.addItem(_tr("A file on this machine, for one person"), DatabaseKind.EMBEDDED)
        self.kind.addItem(_tr("Microsoft SQL Server, for a department"), DatabaseKind.SQL_SERVER)
        self.kind.addItem(_tr("PostgreSQL, for a department"), DatabaseKind.POSTGRESQL)
        self.body.addWidget(field_label(_tr("Where the &database is"), self.kind))
        self.body.addWidget(self.kind)

    def _build_server(self, drivers: tuple[str, ...]) -> None:
        self._server_part = QWidget()
        column = _column(self._server_part)
        row = QHBoxLayout()
        self.server, self.port = _line("databaseServerEdit"), _line("databasePortEdit")
        self.port.setValidator(QIntValidator(1, 65_535, self.port))
        self.port.setFixedWidth(130)
        row.addLayout(_labelled(_tr("&Server"), self.server), 1)
        row.addLayout(_labelled(_tr("&Port"), self.port))
        column.addLayout(row)
        self.database = _line("databaseNameEdit")
        column.addLayout(_labelled(_tr("Database &name"), self.database))
        self.driver = combo_box("databaseDriverCombo")
        for driver in drivers:
            self.driver.addItem(driver, driver)
        self._driver_part = QWidget()
        inside = _column(self._driver_part)
        inside.addLayout(_labelled(_tr("ODBC d&river"), self.driver))
        if not drivers:
            self.driver.setEnabled(False)
            inside.addWidget(
                label(
                    _tr("No ODBC driver for SQL Server is installed here. Install ODBC Driver 18."), "warn", wrap=True
                )
            )
        column.addWidget(self._driver_part)
        self.body.addWidget(self._server_part)

    def _build_login(self) -> None:
        self._login_part = QWidget()
        column = _column(self._login_part)
        self.windows_login = QCheckBox(_tr("Sign in as the &Windows user of this machine"))
        self.windows_login.setObjectName("windowsLoginCheck")
        column.addWidget(self.windows_login)
        self._user_part = QWidget()
        row = QHBoxLayout(self._user_part)
        row.setContentsMargins(0, 0, 0, 0)
        self.user, self.password = _line("databaseUserEdit"), _line("databasePasswordEdit")
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.password.setPlaceholderText(_tr("as kept, if it is left empty"))
        row.addLayout(_labelled(_tr("&Login"), self.user))
        row.addLayout(_labelled(_tr("Pass&word"), self.password))
        column.addWidget(self._user_part)
        self._keeps = label(
            _tr("The password is kept in the keyring of your user, never in a file."), "small", wrap=True
        )
        column.addWidget(self._keeps)
        self.body.addWidget(self._login_part)

    def _build_safety(self) -> None:
        self._safety_part = QWidget()
        column = _column(self._safety_part)
        self.encrypt = QCheckBox(_tr("&Encrypt the connection"))
        self.encrypt.setObjectName("encryptCheck")
        self.trust = QCheckBox(_tr("&Take a certificate that nobody vouches for"))
        self.trust.setObjectName("trustCertificateCheck")
        column.addWidget(self.encrypt)
        column.addWidget(self.trust)
        self.body.addWidget(self._safety_part)

    # --- the form -----------------------------------------------------------------------------------------------------

    def _show(self, form: DatabaseForm) -> None:
        self.kind.setCurrentIndex(self.kind.findData(form.kind))
        self.server.setText(form.server)
        self.port.setText(str(form.port or ""))
        self.database.setText(form.database)
        self.windows_login.setChecked(form.windows_login)
        self.user.setText(form.user)
        self.driver.setCurrentIndex(max(0, self.driver.findData(form.driver)))
        self.encrypt.setChecked(form.encrypt)
        self.trust.setChecked(form.trust_certificate)

    def form(self) -> DatabaseForm:
        """What is filled in."""
        kind = DatabaseKind(self.kind.currentData())
        if kind is DatabaseKind.EMBEDDED:
            return DatabaseForm()
        is_mssql = kind is DatabaseKind.SQL_SERVER
        by_windows = is_mssql and self.windows_login.isChecked()
        return DatabaseForm(
            kind,
            self.server.text().strip(),
            int(self.port.text() or 0) or None,
            self.database.text().strip(),
            by_windows,
            "" if by_windows else self.user.text().strip(),
            (self.driver.currentData() or "") if is_mssql else "",
            self.encrypt.isChecked(),
            self.trust.isChecked(),
        )

    def _kind_changed(self) -> None:
        self._answer.hide()
        self._adapt()

    def _adapt(self) -> None:
        """Shows what the kind of database needs."""
        kind = DatabaseKind(self.kind.currentData())
        on_server, is_mssql = kind is not DatabaseKind.EMBEDDED, kind is DatabaseKind.SQL_SERVER
        for part in (self._server_part, self._login_part, self._safety_part):
            part.setVisible(on_server)
        for widget in (self._driver_part, self.windows_login):
            widget.setVisible(is_mssql)
        signs_in = not (is_mssql and self.windows_login.isChecked())
        self._user_part.setVisible(signs_in)
        self._keeps.setVisible(signs_in)
        self.port.setPlaceholderText(str(_PORTS.get(kind, "")))
        self._fit()

    def _fit(self) -> None:
        """As high as what is shown needs at this width; Qt's own adjustment reckons with a narrower one."""
        layout = self.layout()
        if layout is not None:
            layout.activate()
            self.resize(self.width(), layout.totalHeightForWidth(self.width()))

    def _missing(self) -> str:
        form = self.form()
        if form.kind is DatabaseKind.EMBEDDED:
            return ""
        if not form.server:
            return _tr("Name the server.")
        if not form.database:
            return _tr("Name the database on the server.")
        if not form.windows_login and not form.user:
            return _tr("Name the login.")
        return ""

    # --- testing and saving -------------------------------------------------------------------------------------------

    def test(self) -> None:
        """Tries the connection out."""
        if missing := self._missing():
            self._say(Verdict(False, missing))
            return
        form, password, machine = self.form(), self.password.text(), self._machine
        self._wait(_tr("Connecting…"))
        self._background.run(
            lambda cancel: machine.test_database(form, password),
            done=self._say,
            failed=self._fail,
            key="connection",
            owner=self,
            lane=Lane.LONG,
        )

    def save(self) -> None:
        """Keeps the connection for the next start, tried out or not: the server may be down just now."""
        if missing := self._missing():
            self._say(Verdict(False, missing))
            return
        form, password, machine = self.form(), self.password.text(), self._machine

        def keep() -> None:
            machine.save_database(form, password)

        self._wait(_tr("Saving…"))
        self._background.run(
            lambda cancel: keep(), done=lambda _: self._kept(), failed=self._fail, key="connection", owner=self
        )

    def _kept(self) -> None:
        self.accept()
        self._saved()

    def _wait(self, text: str) -> None:
        self._answer.show_message("", text, Tone.INFO)
        self._answer.show()
        for button in (self.test_button, self.save_button):
            button.setEnabled(False)

    def _say(self, verdict: Verdict) -> None:
        self._answer.show_message(verdict.message, verdict.what_to_do, Tone.OK if verdict.ok else Tone.ERROR)
        self._answer.show()
        for button in (self.test_button, self.save_button):
            button.setEnabled(True)
        announce(self._answer, f"{verdict.message} {verdict.what_to_do}")
        self._fit()

    def _fail(self, error: Exception) -> None:
        trouble = words.trouble(error)
        self._say(Verdict(False, trouble.message, trouble.what_to_do))


def _tr(text: str) -> str:
    return QCoreApplication.translate("ConnectionDialog", text)


def _line(name: str) -> QLineEdit:
    edit = QLineEdit()
    edit.setObjectName(name)
    return edit


def _column(widget: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(8)
    return column


def _labelled(text: str, field: QWidget) -> QVBoxLayout:
    column = QVBoxLayout()
    column.setSpacing(4)
    column.addWidget(field_label(text, field))
    column.addWidget(field)
    return column
