"""Names, sizes and order of everything that takes the focus, and the names by which people and tests find it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from desktop_app.ui.main_window import ASSOCIATE, HISTORY, JOBS, SETTINGS

NAMES = (
    "deviceTable",
    "deviceSearch",
    "pasteIdsButton",
    "importCsvButton",
    "serviceProviderCombo",
    "customerCombo",
    "siteCombo",
    "reassignCheck",
    "reasonEdit",
    "createBillingServiceCheck",
    "addCarrierRatePlanCheck",
    "carrierRatePlanCombo",
    "addCustomerRatePlanCheck",
    "customerRatePlanCombo",
    "effectiveOnDateRadio",
    "effectiveOnActivationRadio",
    "effectiveDateEdit",
    "submitButton",
    "checkSummary",
    "exportCheckButton",
    "jobsTable",
    "workOrdersTable",
    "retryFailedButton",
    "pauseJobButton",
    "resumeJobButton",
    "cancelJobButton",
    "exportCsvButton",
    "historyTable",
    "historySearch",
    "navAssociate",
    "navJobs",
    "navHistory",
    "navSettings",
)


def test_every_name_is_there_once(ui):
    ui.until(lambda: not ui.window._build_timer.isActive())
    for name in NAMES:
        ui.find(QWidget, name)


def prepare(ui, page):
    """Brings the page into a state in which it shows all of its controls."""
    if page == ASSOCIATE:
        ui.associate.list.model.check_devices(range(1, 51))
        ui.choose_customer()
        ui.associate.request.carrier_check.setChecked(True)
        ui.associate.request.customer_check.setChecked(True)
        ui.until(lambda: ui.associate.request._carrier_plans._combos)
        ui.idle()
    if page == JOBS:
        job = ui.desk.add_job("Fabrikam Water SA", range(1, 41))
        ui.desk.advance(job.row.tracking_number, fail=3)
        ui.window.show_job(job.row.tracking_number)
        ui.until(lambda: len(ui.jobs.detail.causes.bars) == 2)
        ui.jobs.detail.device_opened.emit(40)
        ui.until(lambda: ui.jobs.device.isVisible())
    ui.window.show_page(page)
    ui.idle()


def focusable(ui):
    return [
        widget
        for widget in ui.window.findChildren(QWidget)
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled()
    ]


@pytest.mark.parametrize("page", [ASSOCIATE, JOBS, HISTORY, SETTINGS])
def test_what_takes_the_focus_has_a_name_and_a_size(ui, page):
    prepare(ui, page)
    found = focusable(ui)
    assert len(found) >= 5
    nameless = [repr(widget) for widget in found if not (widget.accessibleName() or getattr(widget, "text", str)())]
    assert not nameless
    small = [
        f"{widget!r} {widget.width()}×{widget.height()}"
        for widget in ui.window.findChildren(QAbstractButton)
        if widget.isVisible()
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and (widget.width() < 24 or widget.height() < 24)
    ]
    assert not small


@pytest.mark.parametrize("page", [ASSOCIATE, JOBS, HISTORY])
def test_tab_reaches_everything(ui, page):
    prepare(ui, page)
    count = len(focusable(ui))
    start = QApplication.focusWidget() or ui.find(QWidget, "navAssociate")
    start.setFocus()
    reached = {start}
    for _ in range(count + 5):
        ui.key(Qt.Key.Key_Tab)
        focus = QApplication.focusWidget()
        assert focus is not None
        reached.add(focus)
    # of buttons of which one is on Tab reaches that one, arrows the others; these have lost their place by now
    missed = {widget for widget in focusable(ui) if widget not in reached and widget.focusProxy() not in reached}
    assert not missed


def test_texts_are_whole_in_the_smallest_window(ui):
    ui.window.resize(1100, 700)
    prepare(ui, ASSOCIATE)
    ui.idle()
    cut = [
        f"{button.objectName()} {button.text()!r}: {button.width()} < {button.sizeHint().width()}"
        for button in ui.window.findChildren(QAbstractButton)
        if button.isVisible() and button.text() and button.width() < button.sizeHint().width() - 2
    ]
    assert not cut


def test_tab_order_is_the_visual_order(ui):
    prepare(ui, ASSOCIATE)
    ui.associate.request.customer_combo.setFocus()
    seen = []
    while (focus := QApplication.focusWidget()) is not None and (name := focus.objectName()) not in seen:
        seen.append(name)
        ui.key(Qt.Key.Key_Tab)
    assert seen[: seen.index("reasonEdit") + 1] == [
        "customerCombo",
        "siteCombo",
        "serviceProviderCombo",
        "createBillingServiceCheck",
        "addCarrierRatePlanCheck",
        "carrierRatePlanCombo",
        "carrierRatePlanCombo_HARBOR",
        "carrierRatePlanCombo_ATLAS",
        "carrierRatePlanCombo_POLAR",
        "addCustomerRatePlanCheck",
        "customerRatePlanCombo",
        "effectiveOnActivationRadio",
        "reassignCheck",
        "reasonEdit",
    ]


@pytest.mark.parametrize("page", [ASSOCIATE, JOBS, HISTORY, SETTINGS])
@pytest.mark.parametrize("size", [(1440, 900), (1100, 700)], ids=["1440x900", "1100x700"])
def test_no_control_is_cut_off_by_what_it_stands_in(ui, page, size):
    """But for what is scrolled, which is as large as it wants to be in a view that shows a part of it."""
    ui.window.resize(*size)
    prepare(ui, page)
    cut = [
        f"{widget.objectName()} {widget.geometry()} in {widget.parentWidget().size()}"
        for widget in focusable(ui)
        if widget.parentWidget() is not None
        and widget.parentWidget().objectName() != "qt_scrollarea_viewport"
        and not widget.parentWidget().rect().contains(widget.geometry())
    ]
    assert cut == []
