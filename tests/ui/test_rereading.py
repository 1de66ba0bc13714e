"""Re-reading from billing: from the check's problem, and from the record of a device."""

from __future__ import annotations

import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QTabWidget, QWidget

from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.association.model import AtBilling, OrphanService
from desktop_app.ui.pages.associate.check_flow import CheckState
from desktop_app.ui.pages.rereading import RereadDialog
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.info_bar import InfoBar
from desktop_app.ui.widgets.table import TableView
from tests.ui.conftest import opened
from tests.ui.fake_desk import FakeDesk, iccid_of, service_id_of

REREAD = "reread_BILLED_TO_ANOTHER"


def said(ui, name="deviceInfo"):
    bar = ui.find(InfoBar, name)
    return " ".join(filter(None, bar.texts())) if bar.isVisible() else ""


def reread_button(ui):
    """The button of the problem; the one of the check before it may be still there, and is going."""
    ui.until(lambda: len(ui.window.findChildren(QWidget, REREAD)) == 1)
    return ui.find(QWidget, REREAD)


def check_first(ui, count=50):
    """Selects the first ``count`` devices and a customer; each 25th is billed to another one."""
    ui.associate.list.model.check_devices(range(1, count + 1))
    ui.choose_customer()
    ui.until_checked()


# -------------------------------------------------------------------------------------------------- from the check


def test_what_was_ended_at_billing_passes_the_next_check(ui):
    check_first(ui)
    assert ui.associate.flow.answer.report.blocked == 2
    button = reread_button(ui)
    assert (button.text(), button.accessibleName()) == (
        "Re-read 2",
        "Re-read 2 from billing: are billed to another customer",
    )
    ui.desk.at_billing = {25: AtBilling.ENDED}
    checks = ui.desk.calls["check"]
    ui.click(reread_button(ui))
    ui.until(lambda: said(ui) == "Re-read from billing, 2 services: 1 ended · 1 still active")
    ui.until(lambda: ui.desk.calls["check"] == checks + 1)
    ui.until(lambda: ui.associate.flow.answer.report.blocked == 1)
    ui.until_checked()
    assert reread_button(ui).text() == "Re-read 1"
    assert ui.associate.check._bars[0].texts()[0] == "1 device is billed to another customer"

    ui.desk.at_billing[50] = AtBilling.ENDED
    ui.click(reread_button(ui))
    ended = f"Billing service {service_id_of(50)} was ended at billing From now on it is ended here too."
    ui.until(lambda: said(ui) == ended)
    ui.until(lambda: ui.associate.flow.answer.report.blocked == 0)
    ui.until_checked()
    assert not any(button.isVisible() for button in ui.window.findChildren(QWidget, REREAD))


def test_while_billing_is_asked_it_is_not_asked_again(ui):
    check_first(ui)
    ui.desk.reread_gate = threading.Event()
    ui.click(reread_button(ui))
    assert said(ui) == "Asking the billing company…"
    assert not reread_button(ui).isEnabled()
    ui.associate.list.model.check_devices([75])  # the check runs, and its problems are listed anew
    ui.until(lambda: ui.associate.flow.answer.report.blocked == 3)
    ui.until_checked()
    assert not reread_button(ui).isEnabled()
    ui.desk.reread_gate.set()
    ui.until(lambda: "2 still active" in said(ui))
    ui.until_checked()
    assert reread_button(ui).isEnabled()
    assert ui.desk.calls["reread_billing"] == 1


def test_nothing_is_checked_when_nothing_is_asked_any_more(ui):
    check_first(ui)
    ui.desk.reread_gate = threading.Event()
    ui.click(reread_button(ui))
    ui.associate.list.model.uncheck_everything()
    ui.until(lambda: ui.associate.flow.state is CheckState.WAITING)
    checks = ui.desk.calls["check"]
    ui.desk.reread_gate.set()
    ui.until(lambda: "2 still active" in said(ui))
    ui.idle()
    assert (ui.desk.calls["check"], ui.associate.flow.state) == (checks, CheckState.WAITING)


def test_a_refusal_says_what_to_do(ui):
    check_first(ui)
    ui.desk.fail_reread_with = RequestRefused(
        "TOO_MANY_TO_REREAD", "501 devices are too many to re-read at once.", "Choose at most 500 devices."
    )
    ui.click(reread_button(ui))
    ui.until(lambda: said(ui) == "501 devices are too many to re-read at once. Choose at most 500 devices.")
    assert ui.find(InfoBar, "deviceInfo")._tone is Tone.ERROR
    assert reread_button(ui).isEnabled()


def test_what_a_person_has_to_look_at_is_listed_first(ui):
    check_first(ui, 100)
    ui.desk.at_billing = {25: AtBilling.ENDED, 50: AtBilling.ABSENT, 75: AtBilling.IN_WORK}
    ui.desk.orphans = (OrphanService(iccid_of(25), "88001", "12745550001", ""),)
    ui.click(reread_button(ui))
    ui.until(
        lambda: (
            said(ui) == "Re-read from billing, 4 services: 1 ended · 1 still active · 1 not listed there · "
            "1 left alone, a job is working on them · 1 known to billing alone"
        )
    )
    assert ui.find(InfoBar, "deviceInfo")._tone is Tone.WARNING
    ui.press("showRereadButton")
    dialog = ui.find(RereadDialog, "rereadDialog")
    table = dialog.findChild(TableView, "rereadTable")
    model = table.row_model()
    listed = [[model.cell(row, column).text for column in (0, 1, 2)] for row in range(model.row_total())]
    assert listed == [
        ["Known to billing alone", "88001", iccid_of(25)],
        ["Not listed", service_id_of(50), iccid_of(50)],
        ["Left alone", service_id_of(75), iccid_of(75)],
        ["Active", service_id_of(100), iccid_of(100)],
        ["Ended", service_id_of(25), iccid_of(25)],
    ]
    follows = dialog.findChild(QLabel, "rereadFollows")
    assert follows.text() == "It is not taken over. Find out at billing what it is for."
    table.set_current_row(2)
    assert follows.text() == "Job AJ-20261124-0001 is working on its device. Re-read when that is finished."
    ui.click(dialog.findChild(QWidget, "rereadClose"))
    ui.until(lambda: not ui.window.findChildren(Dialog))


# ------------------------------------------------------------------------------------------- from the device's record


def open_record(ui, row=0):
    ui.window.activateWindow()
    ui.until(ui.window.isActiveWindow)
    ui.associate.list.focus_table()
    ui.associate.list.table.set_current_row(row)
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.window.findChildren(Dialog, "deviceRecordDialog"))
    return ui.find(Dialog, "deviceRecordDialog")


def close(ui, dialog):
    ui.click(dialog.findChild(QWidget, "deviceRecordClose"))
    ui.until(lambda: not ui.window.findChildren(Dialog))


def services(dialog):
    (table,) = (view for view in dialog.findChildren(TableView, "billingServiceTable") if view.isVisible())
    model = table.row_model()
    return [model.cell(row, 0).text for row in range(model.row_total())]


def test_the_record_is_reread_and_shows_what_changed(ui):
    check_first(ui)
    dialog = open_record(ui, 24)
    tabs = dialog.findChild(QTabWidget, "deviceRecordTabs")
    tabs.setCurrentIndex(2)
    assert services(dialog) == ["Active"]
    ui.press("rereadBillingButton")
    ui.until(lambda: said(ui, "rereadSaid").startswith("Billing service"))
    assert said(ui, "rereadSaid") == f"Billing service {service_id_of(25)} is active at billing Nothing was changed."
    assert services(dialog) == ["Active"]

    ui.desk.at_billing = {25: AtBilling.ENDED}
    ui.press("rereadBillingButton")
    ui.until(lambda: "was ended at billing" in said(ui, "rereadSaid"))
    assert tabs.currentIndex() == 2
    assert services(dialog) == ["Ended"]
    button = ui.find(QWidget, "rereadBillingButton")
    assert not button.isEnabled()
    assert button.accessibleDescription() == "The device has no active billing service"
    ui.until(lambda: ui.associate.flow.answer.report.blocked == 1)  # it was checked again behind the dialog
    close(ui, dialog)


def test_a_fault_is_said_in_the_record(ui):
    dialog = open_record(ui)
    ui.desk.fail_reread_with = EnvironmentFault("BILLING_UNREACHABLE", "Billing is not there.", "Look at the network.")
    ui.press("rereadBillingButton")
    ui.until(lambda: said(ui, "rereadSaid") == "Billing is not there. Look at the network.")
    assert ui.find(QWidget, "rereadBillingButton").isEnabled()
    assert not ui.desk.calls["check"]
    close(ui, dialog)


def test_a_record_that_is_closed_while_billing_is_asked(ui):
    dialog = open_record(ui)
    ui.desk.reread_gate = threading.Event()
    ui.press("rereadBillingButton")
    assert said(ui, "rereadSaid") == "Asking the billing company…"
    close(ui, dialog)
    ui.desk.reread_gate.set()
    ui.idle()
    close(ui, open_record(ui))


@pytest.mark.parametrize("may_associate", [True, False])
def test_who_may_reread(qtbot, qapp, may_associate):
    with opened(qtbot, qapp, FakeDesk(10, may_associate=may_associate)) as ui:
        dialog = open_record(ui)
        button = ui.find(QWidget, "rereadBillingButton")
        assert button.isEnabled() is may_associate
        if not may_associate:
            assert button.toolTip() == "You may look, but you have no right to associate devices"
        close(ui, dialog)
