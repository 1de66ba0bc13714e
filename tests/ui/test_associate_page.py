"""Associate: from finding devices to one job, by mouse and keyboard."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date

import pytest
from PySide6.QtCore import QDate, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QFileDialog, QLabel, QPlainTextEdit, QScrollArea, QWidget

from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import CarrierPlanChoice, DeviceStatus, PickedDevices, pack, unpack
from desktop_app.desk.protocol import DeviceColumn
from desktop_app.ui.models.devices import Verdict
from desktop_app.ui.pages.associate.check_flow import CheckState
from desktop_app.ui.pages.associate.paste import LinesDialog, PasteDialog
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.table import TableView
from tests.ui.conftest import opened
from tests.ui.fake_desk import FakeDesk, environment_fault, iccid_of

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
TOO_MANY = 1_500


def model(ui):
    return ui.associate.list.model


def checked(ui):
    return set(model(ui).checks)


def info(ui):
    bar = ui.find(InfoBar, "deviceInfo")
    return " ".join(filter(None, bar.texts())) if bar.isVisible() else ""


# ---------------------------------------------------------------------------------------------------------- the list


def test_first_picture(ui):
    assert ui.window.findChild(QWidget, "pageTitle").text() == "Associate devices to a customer"
    assert ui.window.badge.text() == "SANDBOX"
    assert model(ui).row_total() == 2_000
    ui.until(lambda: model(ui).cell(0, 2).text == iccid_of(1))
    assert model(ui).cell(0, 4).text == "Harbor Wireless"
    assert not ui.associate.submit_button.isEnabled()
    assert ui.associate.summary.text() == "Select devices and a customer to continue"
    assert ui.find(QWidget, "deviceSearch").hasFocus()


def test_only_painted_pages_are_fetched(ui):
    assert model(ui).rows_kept <= 200
    table = ui.associate.list.table
    for part in range(1, 21):
        table.verticalScrollBar().setValue(table.verticalScrollBar().maximum() * part // 20)
        ui.idle()
    ui.until(lambda: model(ui).cell(1_999, 2).text == iccid_of(2_000))
    assert not any(name.startswith("MainThread") for name in ui.desk.threads)


def test_searching_rests_then_lists(ui):
    before = ui.desk.calls["first_devices"]
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.type("0000000017")
    ui.until(lambda: model(ui).row_total() < 2_000)
    assert model(ui).row_total() == 1 + 10 + 100  # 17, 170 to 179, 1700 to 1799
    assert ui.desk.calls["first_devices"] == before + 1


def test_nothing_found_says_so_and_leads_out(ui):
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.type("8944 0000 77")
    ui.press("deviceFilter_active")
    ui.until(lambda: model(ui).row_total() == 0)
    ui.idle()
    title, sentence = ui.associate.list._empty.texts()
    assert title == "No devices match “8944 0000 77”"
    assert "2,000 devices" in sentence
    assert "Active" in sentence
    ui.click(ui.associate.list._clear_filters_button)
    ui.idle()
    ui.click(ui.associate.list._clear_search_button)
    ui.until(lambda: model(ui).row_total() == 2_000)


def test_chips_filter_and_count(ui):
    chips = ui.associate.list.chips
    assert chips.chip("active").text() == "Active  1,200"
    ui.press("deviceFilter_active")
    ui.until(lambda: model(ui).row_total() == 1_200)
    assert set(chips.on()) == {"active"}
    ui.press("deviceFilter_unowned")
    ui.until(lambda: model(ui).row_total() == 900)
    ui.press("clearFiltersButton")
    ui.until(lambda: model(ui).row_total() == 2_000)
    assert chips.on() == ("all",)


def test_menus_filter_by_carrier_and_rare_status(ui):
    menu = ui.associate.list._carrier_menu
    ui.until(lambda: any(action.text().startswith("Atlas Cellular IoT") for action in menu.actions()))
    action = next(action for action in menu.actions() if action.text().startswith("Atlas Cellular IoT"))
    action.trigger()
    ui.until(lambda: any(a.text().startswith("Retired") for a in ui.associate.list._status_menu.actions()))
    ui.until(lambda: model(ui).row_total() == 500)
    assert ui.associate.list._carrier_button.text() == "Carrier: Atlas Cellular IoT"
    status = next(a for a in ui.associate.list._status_menu.actions() if a.text().startswith("Retired"))
    status.trigger()
    ui.until(lambda: model(ui).row_total() < 500)
    ui.idle()
    assert all(ui.desk.row(device).status is DeviceStatus.RETIRED for device in model(ui).ids)


def test_sorting_by_header(ui):
    table = ui.associate.list.table
    header = table.horizontalHeader()

    def press(key):
        section = [spec.key for spec in model(ui).columns].index(key)
        at = QPoint(header.sectionViewportPosition(section) + 20, 12)
        ui.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)

    press("activated_on")
    ui.until(lambda: table.sort_column is DeviceColumn.ACTIVATED)
    ui.idle()
    first = model(ui).device_at(0)
    press("activated_on")
    ui.until(lambda: table.sort_descending)
    ui.until(lambda: model(ui).device_at(0) != first)


def test_columns_are_chosen(ui):
    table = ui.associate.list.table
    keys = [spec.key for spec in model(ui).columns]
    assert table.isColumnHidden(keys.index("customer"))
    menu = ui.associate.list._columns.menu()
    next(action for action in menu.actions() if action.data() == "customer").trigger()
    assert not table.isColumnHidden(keys.index("customer"))
    assert not table.isColumnHidden(keys.index("iccid"))


# ------------------------------------------------------------------------------------------ a list that comes in parts


def half_listed(ui):
    """The active devices are asked for; the first ones are there, and the gate before the others."""
    gate, asked = threading.Event(), ui.desk.calls["device_ids"]
    ui.desk.list_gate = gate
    ui.press("deviceFilter_active")
    ui.until(lambda: model(ui).row_total() == 200 and ui.desk.calls["device_ids"] == asked + 1)
    assert not model(ui).is_whole
    return gate


def band(ui):
    panel = ui.associate.list
    return panel._rest.text(), panel._select_all.text()


def test_the_first_devices_are_shown_before_all_are_known(ui):
    fetched, table = ui.desk.calls["device_rows"], ui.associate.list.table
    gate = half_listed(ui)
    assert all(model(ui).cell(row, 2).text for row in range(200))
    assert ui.desk.calls["device_rows"] == fetched  # they came with the handles
    assert band(ui) == ("… of 2,000 devices match  ·  none selected", "Select all …")
    ui.check_rows(3, 150)
    table.set_current_row(150)
    table.verticalScrollBar().setValue(4_000)
    before, shown = checked(ui), table.rowAt(10)
    with ui.qtbot.assertNotEmitted(model(ui).modelReset):
        gate.set()
        ui.until(lambda: model(ui).row_total() == 1_200)
    assert model(ui).is_whole
    assert (table.verticalScrollBar().value(), table.rowAt(10), table.current_row()) == (4_000, shown, 150)
    assert checked(ui) == before
    assert len(before) == 2
    ui.until(lambda: ui.associate.list.facets.matching == 1_200)
    assert band(ui) == ("of 1,200 matching", "Select all 1,200")
    ui.until(lambda: model(ui).cell(1_199, 2).text)
    assert list(model(ui).ids) == [device for device in range(1, 2_001) if ui.desk.row(device).status == "active"]


def test_what_has_no_more_is_whole_at_once(ui):
    ui.desk.list_gate = threading.Event()
    asked = ui.desk.calls["device_ids"]
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.type("0000000017")
    ui.until(lambda: model(ui).row_total() == 111)
    assert model(ui).is_whole
    ui.idle()
    assert ui.desk.calls["device_ids"] == asked


def press_header_box(ui):
    header = ui.associate.list.table.horizontalHeader()
    ui.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 12))


def press_select_all(ui):
    ui.press("selectAllButton")


def press_ctrl_a(ui):
    ui.associate.list.focus_table()
    ui.key(Qt.Key.Key_A, CTRL)


@pytest.mark.parametrize("select_all", [press_header_box, press_select_all, press_ctrl_a])
def test_select_all_waits_for_the_whole_list(ui, select_all):
    gate = half_listed(ui)
    select_all(ui)
    assert not checked(ui)
    assert model(ui).header_state() is Qt.CheckState.Unchecked
    assert band(ui)[1] == "Selecting all…"
    gate.set()
    ui.until(lambda: len(model(ui).checks))
    assert checked(ui) == set(model(ui).ids)
    assert len(checked(ui)) == 1_200
    assert model(ui).header_state() is Qt.CheckState.Checked


def press_escape(ui):
    ui.key(Qt.Key.Key_Escape)


@pytest.mark.parametrize("take_back", [press_header_box, press_escape])
def test_select_all_that_waits_can_be_taken_back(ui, take_back):
    gate = half_listed(ui)
    press_select_all(ui)
    take_back(ui)
    assert band(ui)[1] == "Select all …"
    gate.set()
    ui.until(lambda: model(ui).is_whole)
    ui.idle()
    assert not checked(ui)


def test_a_half_list_is_never_all_of_it(ui):
    gate = half_listed(ui)
    model(ui).set_checked(0, 199, True)
    assert len(checked(ui)) == 200
    assert model(ui).header_state() is Qt.CheckState.PartiallyChecked
    assert ui.associate.list._select_all.isVisible()
    assert band(ui)[0] == "of … matching"
    model(ui).uncheck_all_listed()
    assert len(checked(ui)) == 200
    gate.set()
    ui.until(lambda: model(ui).is_whole)
    assert model(ui).header_state() is Qt.CheckState.PartiallyChecked


def test_another_filter_drops_the_rest_and_what_waits_for_it(ui):
    gate = half_listed(ui)
    press_select_all(ui)
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.type("0000000017")
    ui.until(lambda: model(ui).row_total() < 111)
    found = list(model(ui).ids)
    gate.set()
    ui.idle()
    assert list(model(ui).ids) == found
    assert not checked(ui)
    ui.until(lambda: ui.associate.list.facets.matching == len(found))


def test_show_selected_only_and_back_while_the_rest_is_on_its_way(ui):
    gate = half_listed(ui)
    ui.check_rows(0, 4)
    ui.press("showSelectedButton")
    only = list(model(ui).ids)
    assert len(only) == 2
    gate.set()
    ui.idle()
    assert list(model(ui).ids) == only
    ui.associate.list.show_all()
    ui.until(lambda: model(ui).row_total() == 1_200 and model(ui).is_whole)


def test_devices_that_change_between_the_parts_move_nothing(ui):
    table, header = ui.associate.list.table, ui.associate.list.table.horizontalHeader()
    gate = ui.desk.list_gate = threading.Event()
    at = QPoint(header.sectionViewportPosition(2) + 20, 12)
    ui.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)  # ICCID, descending
    ui.until(lambda: model(ui).row_total() == 200 and model(ui).device_at(0) == 2_000)
    table.set_current_row(50)
    table.verticalScrollBar().setValue(1_000)
    press_select_all(ui)
    ui.desk.count = 1_990
    gate.set()
    ui.until(lambda: model(ui).is_whole)
    assert list(model(ui).ids) == list(range(1_990, 0, -1))
    assert table.verticalScrollBar().value() == 1_000
    assert model(ui).device_at(table.current_row()) == 1_950
    assert len(checked(ui)) == 1_990


def test_nothing_is_submitted_while_all_are_being_selected(ui):
    model(ui).check_devices([1])
    ui.choose_customer()
    ui.until_checked()
    gate = half_listed(ui)
    assert ui.associate.submit_button.isEnabled()
    press_select_all(ui)
    assert not ui.associate.submit_button.isEnabled()
    assert ui.associate.summary.text() == "Selecting all…"
    ui.associate.submit()
    gate.set()
    ui.until(ui.associate.submit_button.isEnabled)
    assert len(checked(ui)) == 1_201  # device 1 is not active
    assert ui.desk.calls["submit"] == 0
    assert "1,201" in ui.associate._selected.text()


def test_a_rest_that_cannot_be_read_is_asked_for_again(ui):
    gate = half_listed(ui)
    press_select_all(ui)
    ui.desk.fail_with = environment_fault()
    gate.set()
    ui.until(lambda: not model(ui).check_all_waits)
    ui.until(lambda: ui.toast() == "The database cannot be reached. Look at the network.")
    assert not model(ui).is_whole
    assert not checked(ui)
    ui.desk.fail_with = None
    press_select_all(ui)
    ui.until(lambda: len(model(ui).checks) == 1_200)


def test_refreshing_does_not_begin_the_rest_anew(ui):
    gate = half_listed(ui)
    asked = ui.desk.calls["device_ids"]
    for _ in range(3):
        ui.associate.list.refresh()
    ui.qtbot.wait(30)
    assert ui.desk.calls["device_ids"] == asked
    gate.set()
    ui.until(lambda: ui.desk.calls["device_ids"] == asked + 1)
    ui.idle()
    assert ui.desk.calls["device_ids"] == asked + 1
    assert model(ui).row_total() == 1_200


# ----------------------------------------------------------------------------------------------------------- checking


def test_check_boxes_by_mouse(ui):
    ui.check_rows(0, 2, 4)
    assert checked(ui) == {1, 3, 5}
    ui.check_rows(2)
    assert checked(ui) == {1, 5}


def test_shift_checks_all_between(ui):
    ui.check_rows(1)
    table = ui.associate.list.table
    at = table.visualRect(model(ui).index(5, 0)).center()
    ui.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, SHIFT, at)
    assert checked(ui) == {2, 3, 4, 5, 6}


def test_keyboard_checks(ui):
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.key(Qt.Key.Key_Down)
    table = ui.associate.list.table
    assert table.hasFocus()
    ui.key(Qt.Key.Key_Space)
    ui.key(Qt.Key.Key_Down)
    ui.key(Qt.Key.Key_Space)
    assert checked(ui) == {1, 2}
    ui.key(Qt.Key.Key_A, CTRL)
    assert len(checked(ui)) == 2_000
    ui.key(Qt.Key.Key_Escape)
    assert not checked(ui)


def test_header_box_has_three_states(ui):
    header = ui.associate.list.table.horizontalHeader()

    def press():
        ui.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 12))

    assert model(ui).header_state() is Qt.CheckState.Unchecked
    ui.check_rows(3)
    assert model(ui).header_state() is Qt.CheckState.PartiallyChecked
    press()
    assert model(ui).header_state() is Qt.CheckState.Checked
    assert len(checked(ui)) == 2_000
    press()
    assert not checked(ui)


def test_selection_survives_filtering(ui):
    ui.check_rows(1)
    ui.press("deviceFilter_inventory")
    ui.until(lambda: model(ui).row_total() == 400)
    ui.press("selectAllButton")
    assert len(checked(ui)) == 401
    ui.press("clearFiltersButton")
    ui.until(lambda: model(ui).row_total() == 2_000)
    assert len(checked(ui)) == 401
    assert ui.associate.list._strong.text() == "401 selected"


def test_show_selected_only_and_back(ui):
    ui.check_rows(0, 4, 9)
    ui.press("showSelectedButton")
    assert list(model(ui).ids) == [1, 5, 10]
    ui.key(Qt.Key.Key_Escape)
    ui.until(lambda: model(ui).row_total() == 2_000)
    assert checked(ui) == {1, 5, 10}


# ------------------------------------------------------------------------------------------------------ paste, import


def paste(ui, *lines):
    QGuiApplication.clipboard().setText("\n".join(lines))
    ui.qtbot.keyClick(ui.associate, Qt.Key.Key_V, CTRL | SHIFT)
    dialog = ui.find(PasteDialog, "pasteDialog")
    ui.until(dialog.isActiveWindow)
    assert dialog.findChild(QPlainTextEdit, "pasteEdit").toPlainText() == "\n".join(lines)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_Return, CTRL)
    ui.until(lambda: info(ui) and "Looking" not in info(ui))


def test_paste_tells_found_unknown_double_ambiguous_unreadable(ui):
    paste(ui, iccid_of(7), iccid_of(9), "8944000000000000077", iccid_of(7), "ambiguous1", "rubbish")
    assert info(ui) == ("Pasted 6 IDs: 2 found and selected 1 not found · 1 ambiguous · 1 not readable · 1 duplicate")
    assert checked(ui) == {7, 9}
    assert list(model(ui).ids) == [7, 9]
    ui.press("showLinesButton")
    dialog = ui.find(LinesDialog, "linesDialog")
    table = dialog.findChild(TableView, "linesTable")
    listed = [[table.row_model().cell(row, column).text for column in range(3)] for row in range(4)]
    assert listed == [
        ["3", "8944000000000000077", "Not found"],
        ["4", iccid_of(7), "Duplicate"],
        ["5", "ambiguous1", "Ambiguous"],
        ["6", "rubbish", "Not readable"],
    ]
    ui.click(dialog.findChild(QWidget, "copyLinesButton"))
    assert QGuiApplication.clipboard().text().splitlines()[0] == "8944000000000000077"
    ui.click(dialog.findChild(QWidget, "linesClose"))
    ui.until(lambda: not ui.window.findChildren(LinesDialog))


def test_paste_of_nothing_known(ui):
    paste(ui, "8944000000000000077")
    assert info(ui) == "Pasted 1 ID: 0 found and selected 1 not found"
    assert not checked(ui)
    assert model(ui).row_total() == 2_000


def choose_file(ui, path):
    dialog = ui.find(QFileDialog, "fileDialog")
    dialog.fileSelected.emit(str(path))
    dialog.reject()


def test_a_very_long_list_does_not_go_through_the_field(ui):
    """Half a million lines in a text field hold the window up for seconds; all of them are looked for all the same."""
    known = [iccid_of(number) for number in range(1, 1_001)]
    QGuiApplication.clipboard().setText("\n".join([*known, *(f"89449{number:014d}" for number in range(30_000))]))
    ui.press("pasteIdsButton")
    edit = ui.find(QPlainTextEdit, "pasteEdit")
    assert edit.isReadOnly()
    assert edit.blockCount() == 200
    told = [label.text() for label in ui.find(QWidget, "pasteDialog").findChildren(QLabel)]
    assert "31,000 lines will be looked for; the beginning is shown." in told
    ui.until(edit.isActiveWindow)
    ui.qtbot.keyClick(edit, Qt.Key.Key_Return, CTRL)
    ui.until(lambda: len(ui.associate.list.model.checks) == 1_000)
    assert info(ui) == "Pasted 31,000 IDs: 1,000 found and selected 30,000 not found"


def paste_into_the_open_dialog(ui, typed, pasted):
    """Opens the dialog empty, types a line, and pastes behind it."""
    QGuiApplication.clipboard().clear()
    ui.press("pasteIdsButton")
    dialog = ui.find(PasteDialog, "pasteDialog")
    ui.until(dialog.edit.isActiveWindow)
    ui.qtbot.keyClicks(dialog.edit, typed)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_Return)
    QGuiApplication.clipboard().setText(pasted)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_V, CTRL)
    return dialog


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_line_of_a_million_characters_is_not_laid_out(ui, when):
    line = "9" * 1_000_000
    if when == "before":
        QGuiApplication.clipboard().setText(line)
        ui.press("pasteIdsButton")
        dialog = ui.find(PasteDialog, "pasteDialog")
    else:
        dialog = paste_into_the_open_dialog(ui, iccid_of(4), line)
    longest = max(len(shown) for shown in dialog.edit.toPlainText().split("\n"))
    assert 19 < longest <= 200
    ui.until(dialog.edit.isActiveWindow)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_Return, CTRL)
    ui.until(lambda: info(ui).startswith("Pasted"))
    ids, found = ("1 ID", "0 found and selected") if when == "before" else ("2 IDs", "1 found and selected")
    assert info(ui).startswith(f"Pasted {ids}: {found}")


def test_what_is_pasted_into_the_open_dialog_goes_where_the_cursor_is(ui):
    dialog = paste_into_the_open_dialog(ui, iccid_of(4), iccid_of(6))
    assert dialog.edit.toPlainText() == f"{iccid_of(4)}\n{iccid_of(6)}"
    dialog.edit.moveCursor(dialog.edit.textCursor().MoveOperation.Start)
    many = "\n".join(iccid_of(number) for number in range(10, 1_000)) + "\n" + "\n" * 400_000
    QGuiApplication.clipboard().setText(many)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_V, CTRL)
    assert dialog.edit.isReadOnly()
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_Return, CTRL)
    ui.until(lambda: info(ui).startswith("Pasted"))
    assert checked(ui) == {4, 6, *range(10, 1_000)}


def test_import_of_a_file(ui, tmp_path):
    ui.desk.files["list.csv"] = (iccid_of(3), iccid_of(4), "rubbish")
    ui.press("importCsvButton")
    choose_file(ui, tmp_path / "list.csv")
    ui.until(lambda: info(ui).startswith("Imported"))
    assert info(ui) == "Imported 3 IDs: 2 found and selected 1 not readable"
    assert checked(ui) == {3, 4}


def test_import_of_a_file_that_cannot_be_read(ui, tmp_path):
    ui.press("importCsvButton")
    choose_file(ui, tmp_path / "none.csv")
    ui.until(lambda: info(ui).startswith("none.csv"))
    assert info(ui) == "none.csv cannot be read. Choose another file."
    assert not checked(ui)


# ------------------------------------------------------------------------------------------------------- the request


def cut_rows(ui):
    """What of the request is cut in half by the lower edge of its part of the side, before anything is scrolled."""
    scroll = ui.find(QScrollArea, "requestScroll")
    edge = scroll.viewport().height()
    assert scroll.verticalScrollBar().value() == 0
    found = []
    for part in ui.associate.request.findChildren(QWidget):
        if part.isVisible() and not part.findChildren(QWidget):
            top = part.mapTo(scroll.viewport(), QPoint()).y()
            if top < edge < top + part.height():
                found.append(part.objectName() or part.text())
    return found


@pytest.mark.parametrize("height", [700, 742, 800])
def test_the_edge_between_request_and_check_cuts_no_row(ui, height):
    ui.window.resize(1100, height)
    scrolls = [ui.find(QScrollArea, name) for name in ("requestScroll", "checkScroll")]
    for state in ("start", "options", "devices"):
        if state == "options":
            ui.associate.request.carrier_check.setChecked(True)
            ui.associate.request.customer_check.setChecked(True)
        elif state == "devices":
            model(ui).check_all_listed()
        ui.idle()
        ui.qtbot.wait(30)
        assert cut_rows(ui) == []
        upper, lower = (scroll.height() for scroll in scrolls)
        assert upper > 0.4 * (upper + lower)
    assert scrolls[0].verticalScrollBar().maximum() > 0


@pytest.mark.parametrize("typed", ["con", "204", "uti"])
def test_a_customer_in_three_key_strokes(ui, typed):
    ui.choose_customer(typed)
    found = ui.associate.request.customer
    assert any(typed in value for value in (found.name.casefold(), found.account_number, found.tag))
    assert "1,912 devices · contract until 30 Jun 2027" in ui.associate.request._facts.text()
    ui.until(lambda: ui.find(QComboBox, "siteCombo").currentData() == "MAIN")


def test_unknown_customer_says_so(ui):
    ui.associate.request.customer_combo.setFocus()
    ui.type("zzz")
    ui.until(lambda: ui.associate.request._facts.text() == "No customer matches “zzz”.")


def test_carrier_plans_one_row_for_each_provider(ui):
    ui.check_rows(0, 1, 2)
    ui.choose_customer()
    ui.press("addCarrierRatePlanCheck")
    ui.until(lambda: ui.window.findChildren(QComboBox, "carrierRatePlanCombo_POLAR"))
    ui.idle()
    combos = {name: ui.find(QComboBox, name) for name in ("carrierRatePlanCombo", "carrierRatePlanCombo_POLAR")}
    assert combos["carrierRatePlanCombo"].accessibleName() == "Carrier rate plan for Harbor Wireless"
    assert ui.associate.summary.text() == "Choose the carrier rate plan for Harbor Wireless"
    assert ui.associate.flow.state is CheckState.WAITING
    combos["carrierRatePlanCombo"].setCurrentIndex(1)
    ui.find(QComboBox, "carrierRatePlanCombo_ATLAS").setCurrentIndex(5)  # none
    combos["carrierRatePlanCombo_POLAR"].setCurrentIndex(2)
    ui.until_checked()
    assert ui.desk.checked[-1].carrier_rate_plans == (
        CarrierPlanChoice("HARBOR-2", "HARBOR"),
        CarrierPlanChoice("POLAR-3", "POLAR"),
    )


def test_a_chosen_plan_is_kept_when_devices_are_added(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.press("addCarrierRatePlanCheck")
    ui.until(lambda: ui.find(QComboBox, "carrierRatePlanCombo").count() == 5)
    ui.find(QComboBox, "carrierRatePlanCombo").setCurrentIndex(1)
    ui.until_checked()
    ui.check_rows(4)
    ui.until_checked()
    assert ui.find(QComboBox, "carrierRatePlanCombo").currentData() == "HARBOR-2"
    assert ui.desk.checked[-1].carrier_rate_plans == (CarrierPlanChoice("HARBOR-2", "HARBOR"),)


def test_customer_plan_takes_the_customers_default(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.press("addCustomerRatePlanCheck")
    ui.until(lambda: ui.find(QComboBox, "customerRatePlanCombo").currentData() == "C5")
    assert ui.find(QComboBox, "customerRatePlanCombo").currentText() == "Water 5 · 5 MB"
    ui.until_checked()
    assert ui.desk.checked[-1].customer_rate_plan == "C5"


def test_the_whole_request(ui):
    ui.check_rows(0, 1)
    ui.choose_customer()
    ui.until(lambda: ui.find(QComboBox, "siteCombo").count() == 2)
    ui.find(QComboBox, "siteCombo").setCurrentIndex(1)
    ui.find(QComboBox, "serviceProviderCombo").setCurrentIndex(2)
    ui.press("createBillingServiceCheck")
    assert not ui.find(QWidget, "effectiveDateEdit").isEnabled()
    ui.press("effectiveOnDateRadio")
    ui.associate.request.date_edit.setDate(QDate(2026, 12, 1))
    ui.press("reassignCheck")
    ui.find(QWidget, "reasonEdit").setFocus()
    ui.type("Contract 17")
    ui.until_checked()
    request = ui.desk.checked[-1]
    assert list(unpack(request.devices.packed)) == [1, 2]
    assert (request.customer, request.site, request.service_provider) == (1, "NORTH", "HARBOR")
    assert request.create_billing_service
    assert request.effective_date == date(2026, 12, 1)
    assert request.reassign
    assert request.reason == "Contract 17"


def test_activation_date_is_preselected(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.until_checked()
    assert ui.find(QWidget, "effectiveOnActivationRadio").isChecked()
    assert ui.desk.checked[-1].effective_date is None


# ---------------------------------------------------------------------------------------------------------- the check


def test_the_check_runs_by_itself_and_shows_verdicts(ui):
    model(ui).check_devices(range(1, 51))
    ui.choose_customer()
    ui.until_checked()
    assert ui.associate.submit_button.text() == "Submit 48 devices…"
    assert ui.associate.summary.text() == "44 ready + 4 with a warning\n2 blocked are skipped · Ctrl+Enter"
    verdicts = model(ui)._verdicts
    assert [verdicts.of(device) for device in (1, 10, 25, 51)] == [
        Verdict.READY,
        Verdict.WARNING,
        Verdict.BLOCKED,
        None,
    ]
    assert model(ui).cell(24, 1).text == "Blocked"
    assert not ui.associate.list.table.isColumnHidden(1)


def test_the_check_goes_stale_and_runs_again(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.until_checked()
    ui.desk.check_gate = threading.Event()
    ui.press("createBillingServiceCheck")
    ui.until(lambda: ui.associate.flow.state is CheckState.STALE)
    assert not ui.associate.submit_button.isEnabled()
    assert ui.associate.summary.text() == "Checking…"
    ui.until(lambda: ui.associate.flow.state is CheckState.RUNNING)
    assert ui.associate.check._when.text() == "out of date, checking again…"
    ui.desk.check_gate.set()
    ui.until_checked()
    assert ui.desk.checked[-1].create_billing_service


def test_only_the_newest_check_counts(ui):
    ui.desk.check_gate = threading.Event()
    ui.check_rows(0)
    ui.choose_customer()
    ui.until(lambda: ui.associate.flow.state is CheckState.RUNNING and ui.desk.calls["check"])
    asked = ui.desk.calls["check"]
    ui.press("createBillingServiceCheck")
    ui.until(lambda: ui.desk.calls["check"] > asked)
    ui.desk.check_gate.set()
    ui.until_checked()
    assert [request.create_billing_service for request in ui.desk.checked][-1]
    assert ui.associate.flow.answer.request.create_billing_service


def test_problems_are_grouped_and_filter_the_list(ui):
    model(ui).check_devices(range(1, 51))
    ui.choose_customer()
    ui.until_checked()
    said = [bar.texts() for bar in ui.associate.check._bars]
    assert said == [
        ("2 devices are billed to another customer", "Have the service ended at billing, then re-read."),
        ("4 devices have a billing service already", "It is kept; no second one is made."),
    ]
    ui.press("show_BILLED_TO_ANOTHER")
    assert list(model(ui).ids) == [25, 50]
    ui.press("showAllButton")
    ui.until(lambda: model(ui).row_total() == 2_000)
    ui.press("check_warning")
    assert list(model(ui).ids) == [10, 20, 30, 40]
    ui.press("check_warning")
    ui.until(lambda: model(ui).row_total() == 2_000)


def test_a_check_that_fails_says_why_and_can_be_made_again(ui):
    ui.check_rows(0)
    ui.desk.fail_with = environment_fault()
    ui.associate.flow.request_changed(lambda: ui.associate.request.request(model(ui).checks.packed()))
    ui.desk.fail_with = None
    ui.choose_customer()
    ui.until_checked()
    ui.desk.fail_with = RequestRefused("CUSTOMER_UNKNOWN", "There is no such customer.", "Choose another one.")
    ui.associate.flow.run_now()
    ui.until(lambda: ui.associate.flow.state is CheckState.FAILED)
    ui.desk.fail_with = None
    assert ui.associate.check._bars[0].texts() == ("There is no such customer.", "Choose another one.")
    assert not ui.associate.submit_button.isEnabled()
    ui.press("checkAgainButton")
    ui.until_checked()


def test_everything_blocked_cannot_be_submitted(ui):
    model(ui).check_devices([25, 50])
    ui.choose_customer()
    ui.until_checked()
    assert not ui.associate.submit_button.isEnabled()
    assert ui.associate.summary.text() == "Every device is blocked; nothing to submit"


def test_export_of_the_check(ui, tmp_path):
    model(ui).check_devices([24, 25])
    ui.choose_customer()
    ui.until_checked()
    ui.press("exportCheckButton")
    choose_file(ui, tmp_path / "check.csv")
    ui.until(lambda: "exported" in ui.toast())
    assert ui.toast() == "Check exported: 1 rows in check.csv"
    assert (tmp_path / "check.csv").is_file()


# ------------------------------------------------------------------------------------------------------------- submit


def test_submit_by_keyboard_makes_one_job(ui):
    ui.check_rows(0, 1, 2)
    ui.choose_customer()
    ui.until_checked()
    ui.key(Qt.Key.Key_Return, CTRL)
    ui.key(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: info(ui).startswith("AJ-20261124-0001 submitted"))
    assert len(ui.desk.jobs_by_number) == 1
    assert len(ui.desk.submitted) == 1
    assert info(ui) == "AJ-20261124-0001 submitted: 3 devices"
    assert not checked(ui)
    ui.press("copySubmittedButton")
    assert QGuiApplication.clipboard().text() == "AJ-20261124-0001"
    ui.press("showSubmittedButton")
    ui.until(lambda: ui.jobs.table.current_row() == 0)
    assert ui.jobs.isVisible()


def test_the_jobs_page_opens_at_a_job_that_was_submitted_and_not_looked_at(ui):
    def jobs_page():
        ui.key(Qt.Key.Key_J, CTRL)
        assert ui.jobs.isVisible()
        ui.qtbot.wait(400)  # longer than anything rests
        ui.idle()
        return ui.jobs.detail._number.text()

    def submit(row):
        ui.key(Qt.Key.Key_1, CTRL)
        ui.check_rows(row)
        if ui.associate.request.customer is None:
            ui.choose_customer()
        ui.until_checked()
        ui.until(ui.associate.submit_button.isEnabled)
        ui.associate.submit()
        ui.until(lambda: not checked(ui))

    submit(0)
    assert jobs_page() == "AJ-20261124-0001"
    submit(1)
    assert jobs_page() == "AJ-20261124-0002"
    row = ui.jobs.model.row_of("AJ-20261124-0001")
    ui.jobs.table.set_current_row(row)
    assert ui.jobs.detail._number.text() == "AJ-20261124-0001"
    ui.key(Qt.Key.Key_1, CTRL)
    assert jobs_page() == "AJ-20261124-0001"  # the newer one was looked at
    submit(2)
    ui.window.show_job("AJ-20261124-0002")
    ui.until(lambda: ui.jobs.detail._number.text() == "AJ-20261124-0002")
    ui.key(Qt.Key.Key_1, CTRL)
    assert jobs_page() == "AJ-20261124-0003"


def test_submit_names_the_exact_count_and_the_rejected(ui):
    model(ui).check_devices(range(20, 31))
    ui.choose_customer()
    ui.until_checked()
    assert ui.associate.submit_button.text() == "Submit 10 devices…"
    ui.press("submitButton")
    ui.until(lambda: info(ui))
    assert info(ui) == "AJ-20261124-0001 submitted: 10 devices 1 blocked ones are recorded as rejected."
    assert ui.desk.submitted[0][1] == ui.desk.submitted[0][1]


def test_trying_again_after_an_error_makes_no_second_job(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.until_checked()
    ui.desk.fail_submit_with = [environment_fault()]
    ui.press("submitButton")
    ui.until(lambda: "cannot be reached" in ui.toast())
    key = ui.associate.flow._submission_key
    assert key
    ui.press("submitButton")
    ui.until(lambda: info(ui))
    assert ui.desk.submitted[0][2] == key
    assert len(ui.desk.jobs_by_number) == 1


def test_another_request_gets_another_key(ui):
    ui.check_rows(0)
    ui.choose_customer()
    for place in (1, 2):
        ui.until_checked()
        ui.press("submitButton")
        ui.until(lambda place=place: len(ui.desk.submitted) == place and not checked(ui))
        ui.check_rows(place)
    first, second = (key for _, _, key in ui.desk.submitted)
    assert first != second


def test_a_changed_check_is_not_submitted_but_made_again(ui):
    ui.check_rows(0)
    ui.choose_customer()
    ui.until_checked()
    checks = ui.desk.calls["check"]
    ui.desk.fail_submit_with = [RequestRefused("CHECK_CHANGED", "The check has changed.", "Look at it again.")]
    ui.press("submitButton")
    ui.until(lambda: ui.desk.calls["check"] == checks + 1)
    ui.until_checked()
    assert ui.toast() == "The check has changed. Look at it again."
    assert not ui.desk.jobs_by_number


def confirmation(ui):
    return ui.find(Dialog, "confirmDialog")


@pytest.mark.parametrize("desk", [FakeDesk(TOO_MANY)], ids=["1500"])
def test_above_1000_devices_it_asks_first(ui):
    model(ui).check_all_listed()
    ui.choose_customer()
    ui.until_checked()
    ui.press("submitButton")
    ui.qtbot.keyClick(confirmation(ui), Qt.Key.Key_Return)  # the default is Cancel
    ui.until(lambda: not ui.window.findChildren(Dialog))
    assert not ui.desk.submitted
    ui.press("submitButton")
    ui.click(confirmation(ui).findChild(QWidget, "confirmYes"))
    ui.until(lambda: info(ui))
    assert len(ui.desk.submitted) == 1


def test_production_always_asks(qtbot, qapp):
    with opened(qtbot, qapp, FakeDesk(50, environment="PRODUCTION")) as ui:
        assert ui.window.badge.text() == "PRODUCTION"
        ui.check_rows(0)
        ui.choose_customer()
        ui.until_checked()
        ui.press("submitButton")
        confirmation(ui).reject()
        ui.until(lambda: not ui.window.findChildren(Dialog))
        assert not ui.desk.submitted


def test_who_may_only_look_is_told(qtbot, qapp):
    with opened(qtbot, qapp, FakeDesk(50, may_associate=False)) as ui:
        ui.check_rows(0)
        ui.choose_customer()
        assert ui.associate.summary.text() == "You may look, but you have no right to associate devices."
        assert not ui.associate.submit_button.isEnabled()
        assert not ui.desk.calls["check"]


# -------------------------------------------------------------------------------------------------------- one device


def test_enter_opens_the_record_of_a_device(ui):
    ui.associate.list.focus_table()
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.window.findChildren(Dialog, "deviceRecordDialog"))
    dialog = ui.find(Dialog, "deviceRecordDialog")
    table = dialog.findChild(TableView, "billingServiceTable")
    assert table.row_model().cell(0, 1).text == "71200"
    history = dialog.findChild(TableView, "deviceHistoryTable")
    assert history.row_model().cell(0, 1).text == "Assigned: Fabrikam Water SA, Main depot"
    ui.click(dialog.findChild(QWidget, "deviceRecordClose"))
    ui.until(lambda: not ui.window.findChildren(Dialog))


def test_devices_that_change_are_read_again(ui):
    ui.check_rows(0)
    table = ui.associate.list.table
    table.verticalScrollBar().setValue(5_000)
    ui.idle()
    fetched = ui.desk.calls["device_rows"]
    job = ui.desk.add_job("Northwind Fleet Ltd", [2])
    ui.desk.advance(job.row.tracking_number)
    ui.until(lambda: ui.desk.calls["device_rows"] > fetched)
    assert table.verticalScrollBar().value() == 5_000
    assert checked(ui) == {1}


def test_escape_first_closes_and_clears_what_is_open(ui):
    ui.check_rows(0)
    combo = ui.associate.request.customer_combo
    combo.setFocus()
    ui.type("fle")
    ui.until(lambda: combo.list_view().isVisible())
    ui.key(Qt.Key.Key_Escape)
    assert not combo.list_view().isVisible()
    assert checked(ui) == {1}
    ui.find(QWidget, "deviceSearch").setFocus()
    ui.type("000")
    ui.key(Qt.Key.Key_Escape)
    assert not ui.associate.list.search.text()
    assert checked(ui) == {1}
    ui.key(Qt.Key.Key_Escape)
    assert not checked(ui)


def test_the_list_of_customers_does_not_hang_in_the_air(ui):
    combo = ui.associate.request.customer_combo
    combo.setFocus()
    ui.type("fle")
    ui.until(lambda: combo.list_view().isVisible())
    ui.window.resize(1200, 800)
    ui.until(lambda: not combo.list_view().isVisible())


# ---------------------------------------------------------------------------------------------------- edit and resubmit


def test_a_jobs_failed_devices_are_filled_in_with_what_was_asked(ui):
    panel = ui.associate.request
    ui.check_rows(3, 7, 11, 15)  # all on one service provider
    ui.choose_customer()
    for check in (panel.billing_check, panel.carrier_check, panel.customer_check):
        check.setChecked(True)
    ui.until(lambda: ui.find(QComboBox, "carrierRatePlanCombo").count() > 0)
    ui.find(QComboBox, "carrierRatePlanCombo").setCurrentIndex(2)
    panel.site_combo.setCurrentIndex(1)
    ui.until(lambda: panel.customer_plan_combo.count() == 2)
    panel.customer_plan_combo.setCurrentIndex(1)
    panel.on_date_radio.setChecked(True)
    panel.date_edit.setDate(QDate(2026, 11, 30))
    panel.reassign_check.setChecked(True)
    panel.reason_edit.setText("ticket 4711")
    ui.until_checked()
    ui.press("submitButton")
    ui.until(lambda: ui.desk.submitted)
    asked = ui.desk.submitted[0][0]
    ui.desk.advance("AJ-20261124-0001", fail=2)
    ui.until(lambda: not checked(ui))
    panel.customer_combo.choose(None)
    panel.billing_check.setChecked(False)
    panel.carrier_check.setChecked(False)
    panel.reason_edit.clear()
    ui.check_rows(0)

    ui.window.show_page("jobs")
    ui.window.fill_in(ui.desk.draft("AJ-20261124-0001"))
    assert ui.associate.isVisible()
    ui.until_checked()
    failed = list(unpack(asked.devices.packed))[-2:]
    assert checked(ui) == set(failed)
    assert list(model(ui).ids) == failed
    assert "2 devices of AJ-20261124-0001" in info(ui)
    assert ui.associate.flow.answer.request == replace(asked, devices=PickedDevices(pack(failed)))
    assert panel.customer_combo.hasFocus()


def test_what_there_is_no_longer_is_left_to_be_chosen(ui):
    job = ui.desk.add_job("Northwind Fleet Ltd", [4, 8])
    ui.desk.advance(job.row.tracking_number, fail=2)
    plans = (CarrierPlanChoice("GONE", "NORTHSTAR"),)
    draft = replace(ui.desk.draft(job.row.tracking_number), site="GONE", carrier_rate_plans=plans, left_out=1)
    ui.associate.fill_in(draft)
    ui.until(lambda: "NORTHSTAR" not in ui.associate.request._carrier_plans._chosen)
    ui.until(lambda: ui.associate.summary.text() == "Choose the carrier rate plan for Northstar Mobile")
    ui.idle()
    assert ui.associate.request.site_combo.currentText() == "Main depot"
    assert "1 line that names no device" in info(ui)


# ----------------------------------------------------------------------------------------------------- what is in sight


def test_toast_covers_neither_the_selection_bar_nor_submit(ui):
    ui.window.resize(1100, 700)
    for text in ("AJ-20261124-0001 finished: 33 of 37 done", "word " * 60):
        ui.window.toast.show_message(text, action="Show job", run=lambda: None)
        ui.qtbot.wait(20)
        toast = ui.window.toast
        covered = toast.geometry().translated(toast.parentWidget().mapToGlobal(QPoint()) - QPoint())
        for part in (ui.associate.list.band, ui.associate.submit_button, ui.window.status, ui.window.rail):
            there = part.rect().translated(part.mapToGlobal(QPoint()))
            assert not covered.intersects(there), (text, part.objectName())
        assert toast.width() >= toast.minimumSizeHint().width()
        assert toast.height() >= toast._text.heightForWidth(toast._text.width())


def test_check_stays_in_sight_in_a_small_window_with_many_plans(ui):
    ui.window.resize(1100, 700)
    model(ui).check_all_listed()
    ui.choose_customer()
    ui.associate.request.carrier_check.setChecked(True)
    ui.idle()
    for combo in ui.window.findChildren(QComboBox):
        if combo.objectName().startswith("carrierRatePlanCombo"):
            ui.until(lambda combo=combo: combo.count() > 0)
            combo.setCurrentIndex(0)
    ui.until_checked()
    ui.qtbot.wait(50)
    for name in ("check_ready", "check_warning", "check_blocked", "submitButton", "customerCombo"):
        widget = ui.find(QWidget, name)
        assert widget.visibleRegion().boundingRect().height() == widget.height(), name


def test_columns_stay_as_a_person_left_them(qtbot, qapp, desk, tmp_path):
    with opened(qtbot, qapp, desk, tmp_path / "window.ini") as ui:
        for action in ui.associate.list._columns.menu().actions():
            if action.data() in {"imei", "activated_on"}:
                action.trigger()
        before = ui.associate.list.table.hidden_by_person()
        assert "imei" not in before
        assert "activated_on" in before
    with opened(qtbot, qapp, desk, tmp_path / "window.ini") as ui:
        assert ui.associate.list.table.hidden_by_person() == before
        shown = {action.data() for action in ui.associate.list._columns.menu().actions() if action.isChecked()}
        assert "imei" in shown
        assert "activated_on" not in shown


def test_rate_plan_is_shown_by_name(ui):
    place = next(place for place, spec in enumerate(model(ui).columns) if spec.key == "carrier_rate_plan")
    ui.until(lambda: model(ui).cell(0, place).text == ui.desk.row(1).carrier_rate_plan_name)
