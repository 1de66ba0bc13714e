"""The dialog that puts the secret of a billing credential into the keyring of this user."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QLineEdit, QWidget

from desktop_app.desk.machine import Machine
from desktop_app.ui import words
from desktop_app.ui.background import Background
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.labels import field_label, label


class CredentialDialog(Dialog):
    """Takes login, password and subscription key. What is stored already is not shown."""

    def __init__(
        self, parent: QWidget, machine: Machine, background: Background, code: str, stored: Callable[[], None]
    ) -> None:
        super().__init__(parent, _tr("Secret of the credential {code}").format(code=code), "credentialDialog")
        self._machine, self._background, self._code, self._stored = machine, background, code, stored
        self.login = self._field(_tr("&Login, such as user@clientcode"), "credentialLoginEdit")
        self.password = self._field(_tr("&Password"), "credentialPasswordEdit", hidden=True)
        self.key = self._field(_tr("&Subscription key"), "credentialKeyEdit", hidden=True)
        self.body.addWidget(
            label(
                _tr("They are kept in the keyring of your user, never in a file or the database."), "small", wrap=True
            )
        )
        self._trouble = InfoBar(Tone.ERROR, stacked=True)
        self._trouble.hide()
        self.body.addWidget(self._trouble)
        self.add_button(_tr("Cancel"), self.reject, name="cancelCredentialButton")
        self._store_button = self.add_button(
            _tr("Store"), self._store, kind="primary", default=True, name="storeCredentialButton"
        )
        self._adapt()
        self.login.setFocus()

    def _field(self, text: str, name: str, *, hidden: bool = False) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName(name)
        if hidden:
            edit.setEchoMode(QLineEdit.EchoMode.Password)
        edit.textChanged.connect(self._adapt)
        self.body.addWidget(field_label(text, edit))
        self.body.addWidget(edit)
        return edit

    def _adapt(self) -> None:
        button = getattr(self, "_store_button", None)
        if button is not None:
            button.setEnabled(all(edit.text() for edit in (self.login, self.password, self.key)))

    def _store(self) -> None:
        machine, code = self._machine, self._code
        values = (self.login.text().strip(), self.password.text(), self.key.text())

        def done(_: object) -> None:
            self.accept()
            self._stored()

        self._background.run(
            lambda cancel: machine.store_credential(code, *values),
            done=done,
            failed=self._fail,
            key="store_credential",
            owner=self,
        )

    def _fail(self, error: Exception) -> None:
        trouble = words.trouble(error)
        self._trouble.show_message(trouble.message, trouble.what_to_do)
        self._trouble.show()


def _tr(text: str) -> str:
    return QCoreApplication.translate("CredentialDialog", text)
