"""Settings: what can be changed here, connections that are tried out and kept, secrets, the support bundle."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QWidget

from desktop_app.association.errors import EnvironmentFault
from desktop_app.desk.machine import DatabaseForm, DatabaseKind, Verdict
from desktop_app.ui import theme as look
from desktop_app.ui.app import Program
from desktop_app.ui.main_window import SETTINGS
from desktop_app.ui.palette import DARK
from desktop_app.ui.widgets.info_bar import InfoBar
from tests.ui.conftest import OpenedDesk, Ui, bury
from tests.ui.fake_desk import FakeDesk
from tests.ui.fake_machine import FakeMachine


@pytest.fixture
def page(ui: Ui) -> Ui:
    """The window at its Settings page, filled."""
    ui.window.show_page(SETTINGS)
    ui.until(lambda: ui.find(QComboBox, "billingKindField").currentData() == "revio")
    ui.idle()
    return ui


def told(ui: Ui) -> str:
    """What the connection dialog says."""
    title, text = ui.find(InfoBar, "connectionAnswer").texts()
    return f"{title} {text}".strip()


def write(ui: Ui, name: str, text: str) -> None:
    field = ui.find(QLineEdit, name)
    field.setFocus()
    field.selectAll()
    ui.qtbot.keyClicks(field, text)


# ------------------------------------------------------------------------------------------------------------ settings


def test_what_is_changed_is_saved_and_nothing_else(page):
    save = page.find(QWidget, "saveSettingsButton")
    assert not save.isEnabled()
    write(page, "notifyUrlField", "https://newer.example/jobs")
    write(page, "ratePerDayField", "90000")
    page.find(QCheckBox, "billingLookupFirstField").setChecked(True)
    page.press("saveSettingsButton")
    page.until(lambda: page.machine.saved)
    assert page.machine.saved == {
        "notify_url": "https://newer.example/jobs",
        "rate_per_day": 90_000,
        "billing_lookup_first": True,
    }
    page.until(lambda: page.find(QWidget, "restartBar").isVisible())
    assert not save.isEnabled()


def test_what_is_fixed_cannot_be_changed_and_says_by_what(page):
    workers = page.find(QLineEdit, "workersField")
    assert not workers.isEnabled()
    assert "environment variable ASSOCIATION_WORKERS" in workers.toolTip()


def test_a_value_that_cannot_be_used_is_said_and_kept_in_the_form(page):
    write(page, "notifyUrlField", "nonsense")
    page.press("saveSettingsButton")
    page.until(lambda: page.toast() == "NOTIFY_URL is no address. Correct its value.")
    assert page.find(QLineEdit, "notifyUrlField").text() == "nonsense"
    page.press("undoSettingsButton")
    page.until(lambda: page.find(QLineEdit, "notifyUrlField").text() == "")
    assert page.machine.saved == {}


def test_a_visit_elsewhere_keeps_what_was_typed(page):
    write(page, "notifyUrlField", "https://newer.example")
    page.press("navJobs")
    page.press("navSettings")
    page.idle()
    assert page.find(QLineEdit, "notifyUrlField").text() == "https://newer.example"


def test_starting_again_closes_the_window(page):
    write(page, "notifyUrlField", "https://newer.example")
    page.press("saveSettingsButton")
    page.press("restartButton")
    page.until(lambda: not page.window.isVisible())
    assert page.window.restarts


def test_a_window_that_is_kept_open_does_not_start_again_later(page):
    page.desk.add_job("Fabrikam Water SA", range(1, 11))
    page.until(lambda: page.window._last is not None and page.window._last.active_jobs == 1)
    write(page, "notifyUrlField", "https://newer.example")
    page.press("saveSettingsButton")
    page.press("restartButton")
    page.press("keepOpenButton")
    assert page.window.isVisible()
    assert not page.window.restarts


# ------------------------------------------------------------------------------------------------------------- billing


def test_billing_is_tried_out_with_each_credential(page):
    page.machine.billing = (
        Verdict(True, "Billing accepts 'main'."),
        Verdict(False, "The keyring holds no 'north'.", "Store its secret."),
    )
    page.press("testBillingButton")
    page.until(lambda: len(page.window.findChildren(InfoBar, "billingAnswer")) == 2)
    assert [bar.texts() for bar in page.window.findChildren(InfoBar, "billingAnswer")] == [
        ("Billing accepts 'main'.", ""),
        ("The keyring holds no 'north'.", "Store its secret."),
    ]


def test_a_secret_is_stored_and_never_shown(page):
    found = page.settings.work.findChildren(QWidget)
    store = next(one for one in found if one.accessibleName() == "Store the secret of north")
    page.click(store)
    page.until(lambda: page.window.findChild(QObject, "credentialDialog") is not None)
    button = page.find(QWidget, "storeCredentialButton")
    assert not button.isEnabled()
    write(page, "credentialLoginEdit", "us@north")
    write(page, "credentialPasswordEdit", "pw")
    write(page, "credentialKeyEdit", "key")
    assert page.find(QLineEdit, "credentialPasswordEdit").echoMode() is QLineEdit.EchoMode.Password
    page.click(button)
    page.until(lambda: page.machine.stored == {"north": ("us@north", "pw", "key")})
    page.until(
        lambda: (
            "Credential north: secret is here"
            in [one.accessibleName() for one in page.settings.work.findChildren(QWidget)]
        )
    )


# ------------------------------------------------------------------------------------------------------------ database


def test_a_connection_is_tried_out_and_kept(page):
    page.press("changeDatabaseButton")
    page.until(lambda: page.window.findChild(QObject, "connectionDialog") is not None)
    kind = page.find(QComboBox, "databaseKindCombo")
    assert not page.find(QLineEdit, "databaseServerEdit").isVisible()
    kind.setCurrentIndex(1)
    page.press("testConnectionButton")
    assert told(page) == "Name the server."
    write(page, "databaseServerEdit", "sql01.example")
    write(page, "databaseNameEdit", "association")
    page.press("testConnectionButton")
    assert told(page) == "Name the login."
    write(page, "databaseUserEdit", "desk")
    write(page, "databasePasswordEdit", "hush")
    page.machine.verdict = Verdict(False, "The server sql01.example is not known.", "Look at its name.")
    page.press("testConnectionButton")
    page.until(lambda: told(page) == "The server sql01.example is not known. Look at its name.")
    wanted = DatabaseForm(
        DatabaseKind.SQL_SERVER,
        "sql01.example",
        None,
        "association",
        False,
        "desk",
        "ODBC Driver 18 for SQL Server",
        True,
        False,
    )
    assert page.machine.tried == [(wanted, "hush")]
    page.press("saveConnectionButton")
    page.until(lambda: page.machine.form == wanted)
    assert page.machine.password == "hush"
    page.until(lambda: page.find(QWidget, "restartBar").isVisible())


def test_a_windows_login_asks_for_no_password(page):
    page.machine.form = DatabaseForm(DatabaseKind.SQL_SERVER, "sql01", None, "association", False, "desk")
    page.press("changeDatabaseButton")
    page.until(lambda: page.window.findChild(QObject, "connectionDialog") is not None)
    assert page.find(QLineEdit, "databasePasswordEdit").isVisible()
    box = page.find(QCheckBox, "windowsLoginCheck")
    box.setFocus()
    page.qtbot.keyClick(box, Qt.Key.Key_Space)
    assert not page.find(QLineEdit, "databasePasswordEdit").isVisible()
    page.press("saveConnectionButton")
    page.until(lambda: page.machine.form.windows_login)
    assert page.machine.form.user == ""


def test_postgresql_needs_no_driver(page):
    page.press("changeDatabaseButton")
    page.until(lambda: page.window.findChild(QObject, "connectionDialog") is not None)
    page.find(QComboBox, "databaseKindCombo").setCurrentIndex(2)
    assert not page.find(QComboBox, "databaseDriverCombo").isVisible()
    assert not page.find(QCheckBox, "windowsLoginCheck").isVisible()
    page.press("cancelConnectionButton")
    assert page.machine.form == DatabaseForm()


def test_the_connection_in_force_is_tried_out(page):
    page.press("testDatabaseButton")
    page.until(lambda: page.machine.tried == [(DatabaseForm(), "")])


def test_a_connection_can_be_mended_where_the_desk_does_not_open(qtbot, qapp):
    machine, opened = FakeMachine(), []

    @contextmanager
    def open_desk():
        opened.append(1)
        if machine.form.kind is DatabaseKind.EMBEDDED:
            raise EnvironmentFault("DATABASE_DAMAGED", "The database desk.db is damaged.", "Put the copy back.")
        yield OpenedDesk(FakeDesk(10))

    program = Program(qapp, open_desk, machine=machine)
    ui = Ui(qtbot, FakeDesk(0), program, machine)
    try:
        program.window.show()
        program.window.activateWindow()
        program.open()
        ui.press("changeConnectionButton")
        ui.until(lambda: ui.window.findChild(QObject, "connectionDialog") is not None)
        ui.find(QComboBox, "databaseKindCombo").setCurrentIndex(2)
        for name, text in (
            ("databaseServerEdit", "pg01"),
            ("databaseNameEdit", "association"),
            ("databaseUserEdit", "desk"),
        ):
            write(ui, name, text)
        ui.press("saveConnectionButton")
        ui.until(lambda: program.window.rail.isEnabled())
        assert opened == [1, 1]
        ui.idle()
    finally:
        program.window.close_now()
        program.close()
        bury(program.window, program.theme)


# --------------------------------------------------------------------------------------------------------------- files


def test_a_support_bundle_is_saved(page, tmp_path):
    page.press("supportBundleButton")
    page.until(lambda: page.window.findChild(QFileDialog) is not None)
    dialog = page.window.findChild(QFileDialog)
    assert dialog is not None
    target = tmp_path / "bundle.zip"
    dialog.fileSelected.emit(str(target))
    dialog.reject()
    page.until(lambda: page.machine.bundles == [target])
    page.until(lambda: page.toast().startswith("The support bundle was saved"))


# ---------------------------------------------------------------------------------------------------------------- look


def test_a_theme_chosen_by_a_command_is_marked_here(page):
    page.qtbot.keyClick(page.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    page.until(page.window.commands.hasFocus)
    page.type("dark")
    page.key(Qt.Key.Key_Return)
    page.until(lambda: look.active() is DARK)
    assert page.settings.themes.on() == ("dark",)
