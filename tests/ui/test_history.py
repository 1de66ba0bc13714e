"""History: filtered, exported, and one device with all that ever happened to it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QLabel, QTabWidget

from desktop_app.ui.files import ask_save
from desktop_app.ui.pages.device_record import DeviceRecordDialog
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.table import TableView
from tests.ui.fake_desk import iccid_of

CTRL = Qt.KeyboardModifier.ControlModifier
ALL_OF_THE_TIME = 4
REFUSED = "Billing refused the product of “IoT 5 MB Pool”: no package for account 20317 (400)."


@pytest.fixture
def page(ui):
    """The History page, over all of the time; two customers have a finished job."""
    for customer, devices in (("Fabrikam Water SA", [1, 2]), ("Contoso Energy GmbH", [2, 3, 4])):
        ui.desk.advance(ui.desk.add_job(customer, devices).row.tracking_number, fail=1)
    ui.press("navHistory")
    ui.history.period.setCurrentIndex(ALL_OF_THE_TIME)
    ui.until(lambda: ui.history.jobs.row_total() == 2)
    ui.until(lambda: len(ui.window._finished) == 2)  # told, so that no toast comes over that of a test
    ui.idle()
    return ui.history


def choose(ui, page, text):
    """Types into the customer box and picks the first."""
    ui.window.activateWindow()
    ui.until(ui.window.isActiveWindow)
    page.customer.setFocus()
    ui.key(Qt.Key.Key_A, CTRL)
    ui.type(text)
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: page.customer.choice() is not None)


def save_as(ui, path):
    """Answers the question for a file."""
    dialog = ui.find(QFileDialog, "fileDialog")
    dialog.fileSelected.emit(str(path))
    dialog.reject()


def test_one_customers_jobs_and_facts_alone(ui, page):
    choose(ui, page, "conto")
    ui.until(lambda: page.jobs.row_total() == 1)
    assert page.jobs.cell(0, 3).text == "Contoso Energy GmbH"
    ui.click(page.chips.chip("device"))
    ui.until(lambda: page.devices.row_total() == 2)
    choose(ui, page, "alpine")
    ui.until(page._empty.isVisible)
    assert page._empty.texts() == ("Nothing found", "Nothing of this customer or operator happened in this period.")
    assert not page.export_button.isEnabled()
    ui.press("clearHistory")
    ui.until(lambda: page.devices.row_total() == 4 and page.table.isVisible())
    assert page.customer.choice() is None


def test_what_is_shown_is_exported_with_its_filter(ui, page, tmp_path):
    choose(ui, page, "conto")
    ui.until(lambda: page.jobs.row_total() == 1)
    page.table.setFocus()
    ui.key(Qt.Key.Key_E, CTRL)
    save_as(ui, tmp_path / "jobs.xlsx")
    ui.until(lambda: ui.toast() == "1 row written to jobs.xlsx")
    ui.click(page.chips.chip("device"))
    ui.until(lambda: page.devices.row_total() == 2)
    ui.press("exportHistoryButton")
    save_as(ui, tmp_path / "facts.csv")
    ui.until(lambda: ui.toast() == "2 rows written to facts.csv")
    (jobs, jobs_filter), (facts, facts_filter) = ui.desk.exported
    assert (jobs, facts) == ("jobs.xlsx", "facts.csv")
    assert jobs_filter == facts_filter == page._filter()
    assert page._filter().customer is not None


def test_the_ending_follows_the_kind_of_file(qtbot, ui, page):
    dialog = ask_save(page, "Export", "CSV (*.csv);;Excel (*.xlsx)", "history.csv", print)
    dialog.filterSelected.emit("Excel (*.xlsx)")
    assert dialog.selectedFiles()[0].endswith("history.xlsx")
    assert dialog.defaultSuffix() == "xlsx"
    dialog.reject()


def test_everything_that_happened_to_a_device_is_on_one_page(ui, page, tmp_path):
    ui.click(page.chips.chip("device"))
    page.search.setFocus()
    ui.type(iccid_of(2))
    ui.until(lambda: page.devices.row_total() == 4 and page.devices.cell(0, 1).text == iccid_of(2))
    page.table.setFocus()
    page.table.set_current_row(0)
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.window.findChildren(DeviceRecordDialog))
    dialog = ui.window.findChildren(DeviceRecordDialog)[0]
    tabs = dialog.findChild(QTabWidget, "deviceRecordTabs")
    assert tabs.tabText(0) == "Everything · 9"
    assert tabs.tabText(4) == "Work orders · 2"
    table = dialog.findChild(TableView, "recordTable")
    model = table.row_model()
    cells = [[model.cell(row, column).text for column in range(6)] for row in range(9)]
    assert [row[0] for row in cells] == sorted((row[0] for row in cells), reverse=True)
    assert cells[0][:3] == ["2027-01-01", "Scheduled", "Plan change pending: Water 25"]
    assert {(row[1], row[2], row[4]) for row in cells[1:3]} == {
        ("Done", "Work order: Associate", "AJ-20261124-0002"),
        (
            "Failed",
            f"Work order: Associate. {REFUSED}",
            "AJ-20261124-0001",
        ),
    }
    assert ["2026-03-12", "On record", "Owned by Contoso Energy GmbH, Main depot"] in [row[:3] for row in cells]
    plans = {
        view.objectName(): view.row_model().cell(0, place).text
        for view, place in ((tabs.widget(1), 6), (tabs.widget(3), 2))
    }
    assert plans == {"ownershipTable": "Water 5 · 5 MB", "scheduledTable": "Water 25"}  # their names, not their codes
    assert f"Carrier rate plan: {ui.desk.row(2).carrier_rate_plan_name}" in [
        one.accessibleName() for one in dialog.findChildren(QLabel)
    ]
    ui.press("exportRecordButton")
    save_as(ui, tmp_path / "record.csv")
    ui.until(lambda: ui.desk.exported)
    name, (titles, rows) = ui.desk.exported[0]
    assert (name, titles[0], titles[-1], len(rows)) == ("record.csv", "When", "Reason", 9)
    table.set_current_row(1)
    ui.qtbot.keyClick(table, Qt.Key.Key_Return)
    ui.until(lambda: ui.jobs.isVisible() and ui.jobs.detail._number.text() == cells[1][4])


def test_a_period_begins_at_midnight_of_the_business_day(ui, page):
    page.period.setCurrentIndex(1)
    since = page._filter().since
    local = ui.window._context.clock.local(since)
    assert (local.hour, local.minute) == (0, 0)


def test_where_nothing_is_recorded_about_a_device_its_record_says_so(ui):
    ui.associate.list.focus_table()
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.window.findChildren(DeviceRecordDialog))
    tabs = ui.find(QTabWidget, "deviceRecordTabs")
    assert tabs.tabText(4) == "Work orders · 0"
    tabs.setCurrentIndex(4)
    nothing = tabs.currentWidget()
    assert isinstance(nothing, EmptyState)
    assert nothing.accessibleName() == "Nothing yet. Nothing of this kind is recorded about this device."
    assert isinstance(tabs.widget(1), TableView)  # its owner is known
