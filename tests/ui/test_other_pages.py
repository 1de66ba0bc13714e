"""History, settings, and the window around the pages."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from desktop_app.association.errors import EnvironmentFault
from desktop_app.ui import theme as look
from desktop_app.ui.app import Program
from desktop_app.ui.main_window import ASSOCIATE, HISTORY, JOBS, SETTINGS
from desktop_app.ui.palette import DARK, LIGHT
from desktop_app.ui.theme import ThemeMode
from tests.ui.conftest import LONG_S, OpenedDesk, Ui, bury, just_opened, opened
from tests.ui.fake_desk import FakeDesk, environment_fault, iccid_of

CTRL = Qt.KeyboardModifier.ControlModifier

# ------------------------------------------------------------------------------------------------------------ history


def test_history_by_job(ui):
    done = ui.desk.add_job("Fabrikam Water SA", [1, 2])
    ui.desk.advance(done.row.tracking_number)
    ui.desk.add_job("Contoso Energy GmbH", [3])
    ui.press("navHistory")
    model = ui.history.jobs
    ui.until(lambda: model.row_total() == 1)
    assert [model.cell(0, column).text for column in range(1, 9)] == [
        "Completed",
        "AJ-20261124-0001",
        "Fabrikam Water SA",
        "2",
        "0",
        "2026-11-24 15:05",
        "op-01",
        "1 min 12 s",
    ]
    ui.history.table.setFocus()
    ui.history.table.set_current_row(0)
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.jobs.isVisible() and ui.jobs.detail._number.text() == "AJ-20261124-0001")


def test_history_by_device(ui):
    ui.press("navHistory")
    ui.idle()
    ui.history.period.setCurrentIndex(4)
    ui.click(ui.history.chips.chip("device"))
    ui.history.search.setFocus()
    ui.type(iccid_of(7))
    model = ui.history.devices
    ui.until(lambda: model.row_total() == 4 and model.cell(0, 1).text == iccid_of(7))
    assert model.cell(0, 2).text == "Assigned: Fabrikam Water SA, Main depot"
    assert model.cell(2, 2).text == "Ownership ended"
    ui.history.operator.setCurrentIndex(2)
    ui.until(lambda: model.row_total() == 1)


def test_history_of_nothing(ui):
    ui.press("navHistory")
    ui.until(lambda: ui.history._empty.isVisible())
    assert ui.history._empty.texts()[0] == "No finished jobs in this period"
    ui.history.search.setFocus()
    ui.type("zzz")
    ui.until(lambda: ui.history._empty.texts()[0] == "Nothing found for “zzz”")
    ui.click(ui.history._any_time)
    ui.idle()
    assert ui.history.period.currentText() == "All of the time"
    ui.until(lambda: not ui.history._any_time.isVisible())


# ----------------------------------------------------------------------------------------------------------- settings


def test_settings_show_what_is_in_force(ui):
    ui.press("navSettings")
    ui.until(lambda: ui.settings._in_force.isVisible())
    said = {label.accessibleName() for label in ui.settings.findChildren(QLabel)}
    assert {
        "Operator: op-01",
        "Rights: administrator, may associate, may reassign",
        "Environment: Sandbox",
        "Database: sandbox.db",
        "Billing: http://127.0.0.1:8085/v1",
        "Workers: 16",
    } <= said
    assert ui.find(QWidget, "openDataFolderButton").isVisible()


def test_theme_is_switched_live_and_kept(qtbot, qapp, tmp_path):
    state = tmp_path / "window.ini"
    with opened(qtbot, qapp, FakeDesk(10), state) as ui:
        ui.press("navSettings")
        ui.press("theme_dark")
        assert look.active() is DARK
        image = ui.window.grab().toImage()
        assert image.pixelColor(image.width() - 4, image.height() // 2).name().upper() == DARK.window
    with opened(qtbot, qapp, FakeDesk(10), state) as ui:
        assert look.active() is DARK
        assert ui.settings.themes.on() == ("dark",)
        ui.press("navSettings")
        ui.press("theme_light")
        assert look.active() is LIGHT


# --------------------------------------------------------------------------------------------------------- the window


@pytest.mark.parametrize(
    ("name", "key", "page"),
    [
        ("navAssociate", Qt.Key.Key_1, ASSOCIATE),
        ("navJobs", Qt.Key.Key_2, JOBS),
        ("navHistory", Qt.Key.Key_3, HISTORY),
        ("navSettings", Qt.Key.Key_4, SETTINGS),
    ],
)
def test_pages_by_mouse_and_keyboard(ui, name, key, page):
    other = JOBS if page == ASSOCIATE else ASSOCIATE
    ui.window.show_page(other)
    ui.press(name)
    assert ui.window.page(page).isVisible()
    assert ui.find(QWidget, name).isChecked()
    ui.window.show_page(other)
    ui.qtbot.keyClick(ui.window, key, CTRL)
    assert ui.window.page(page).isVisible()


def test_status_bar_sums_up_what_runs(ui):
    work = ui.find(QLabel, "workLabel")
    assert work.text() == "No jobs running"
    first = ui.desk.add_job("Fabrikam Water SA", range(1, 11))
    ui.desk.add_job("Contoso Energy GmbH", range(11, 15))
    ui.until(lambda: work.text() == "2 jobs active · 0 of 14 done")
    ui.desk.advance(first.row.tracking_number)
    ui.until(lambda: work.text() == "1 job active · 0 of 4 done")
    ui.press("showJobsButton")
    assert ui.jobs.isVisible()


def test_a_lost_desk_is_said_and_found_again(ui):
    connection = ui.find(QLabel, "connectionLabel")
    assert connection.text() == "Connected · sandbox.db"
    ui.desk.fail_with = environment_fault()
    ui.until(lambda: connection.text() == "Not connected")
    assert ui.toast() == "The database cannot be reached. Look at the network."
    ui.desk.fail_with = None
    ui.until(lambda: connection.text() == "Connected · sandbox.db")


def test_a_worse_fault_takes_the_place_of_the_one_that_was_said(ui):
    connection = ui.find(QLabel, "connectionLabel")
    ui.desk.fail_with = EnvironmentFault("DATABASE_LOCKED", "It is locked.", "The work goes on where it stood.")
    ui.until(lambda: connection.toolTip() == "It is locked.")
    ui.desk.fail_with = EnvironmentFault("DATABASE_DAMAGED", "It is damaged.", "Put the backup in its place.")
    ui.until(lambda: connection.toolTip() == "It is damaged.")
    assert ui.toast() == "It is damaged. Put the backup in its place."
    ui.desk.fail_with = None
    ui.until(lambda: connection.text() == "Connected · sandbox.db")


def test_jobs_of_before_are_there_and_are_not_announced(qtbot, qapp):
    desk = FakeDesk(10)
    old = desk.add_job("Fabrikam Water SA", [1])
    desk.advance(old.row.tracking_number)
    desk.add_job("Contoso Energy GmbH", [2])
    with opened(qtbot, qapp, desk) as ui:
        ui.until(lambda: ui.jobs.model.row_total() == 2)
        assert not ui.toast()


def test_a_job_that_comes_after_the_list_was_read_and_before_the_first_poll_is_listed(qtbot, qapp):
    told = threading.Event()

    class SlowToTell(FakeDesk):
        def changes(self, cursor=""):
            assert not threading.current_thread().name.startswith("ui-quick") or told.wait(LONG_S)
            return super().changes(cursor)

    desk = SlowToTell(10)
    try:
        with just_opened(qtbot, qapp, desk) as ui:
            assert ui.jobs.model.row_total() == 0
            ui.idle()
            assert desk.calls["jobs"] == 1
            desk.add_job("Contoso Energy GmbH", [2])
            told.set()
            ui.until(lambda: ui.jobs.model.row_total() == 1)
    finally:
        told.set()


def test_refresh_reads_again(ui):
    before = ui.desk.calls["device_ids"]
    ui.qtbot.keyClick(ui.window, Qt.Key.Key_F5)
    ui.until(lambda: ui.desk.calls["device_ids"] == before + 1)


def test_the_desk_is_closed_last(qtbot, qapp):
    desk = FakeDesk(10)
    with opened(qtbot, qapp, desk):
        assert not desk.closed
    assert desk.closed


def test_nothing_is_asked_on_the_ui_thread(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.until_checked()
    ui.press("submitButton")
    ui.until(lambda: ui.desk.submitted)
    ui.press("navHistory")
    ui.press("navSettings")
    ui.idle()
    assert all(name.startswith("ui-") for name in ui.desk.threads)


def test_a_desk_that_cannot_be_opened_says_why_and_can_be_tried_again(qtbot, qapp):
    tries = []

    @contextmanager
    def open_desk():
        tries.append(1)
        if len(tries) == 1:
            raise EnvironmentFault("DATABASE_DAMAGED", "The database desk.db is damaged.", "Put the copy back.")
        yield OpenedDesk(FakeDesk(10), ("You are the administrator of this database.",))

    program = Program(qapp, open_desk)
    ui = Ui(qtbot, FakeDesk(0), program)
    try:
        program.window.show()
        program.furnish()
        assert program.window._opening.texts()[0] == "Opening the database…"
        program.open()
        ui.until(lambda: program.window._again.isVisible())
        assert program.window._opening.texts() == ("The database desk.db is damaged.", "Put the copy back.")
        assert not program.window.rail.isEnabled()
        ui.press("tryAgainButton")
        ui.until(lambda: program.window.rail.isEnabled())
        assert ui.toast() == "You are the administrator of this database."
        ui.idle()
    finally:
        program.window.close()
        program.close()
        bury(program.window, program.theme)


def test_closing_in_the_middle_leaves_nothing(qtbot, qapp):
    desk = FakeDesk(2_000)
    with opened(qtbot, qapp, desk) as ui:
        ui.associate.list.model.check_all_listed()
        ui.associate.request.customer_combo.setFocus()
        ui.type("fleet")
        ui.window.show_page(HISTORY)
        ui.program.theme.set_mode(ThemeMode.LIGHT)
