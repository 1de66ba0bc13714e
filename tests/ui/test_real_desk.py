"""The whole flow through the real window, on a real SQLite file, with the real billing sandbox and the real engine."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QFileDialog

from desktop_app import settings
from desktop_app.association.states import JobState, WorkOrderState
from desktop_app.bootstrap import database, demonstration
from desktop_app.bootstrap.desk import Opened, open_desk
from desktop_app.ui.app import Program
from desktop_app.ui.pages.associate.paste import PasteDialog
from tests.ui.conftest import Ui, bury

DEVICES = 20
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.mark.timeout(600)
def test_from_a_pasted_list_to_the_result(qtbot, qapp, data_dir, tmp_path):
    in_force = demonstration.demo_settings(settings.load(), data_dir)
    database.make_demo_data(in_force, 1_000)
    opened: list[Opened] = []

    @contextmanager
    def open_for_window() -> Iterator[Opened]:
        with open_desk(in_force, engine="desktop") as it:
            it.start_engine()
            opened.append(it)
            try:
                yield it
            finally:
                demonstration.stop_sandbox(it)

    program = Program(qapp, open_for_window)
    ui = Ui(qtbot, None, program)  # type: ignore[arg-type]
    try:
        with qtbot.waitExposed(program.window):
            program.window.show()
        program.open()
        ui.until(lambda: program.window.rail.isEnabled())
        ui.until(lambda: ui.associate.list.model.row_total() > 900)
        tracking_number = associate(ui, opened[0])
        follow(ui, opened[0], tracking_number, tmp_path)
    finally:
        program.window.close()
        program.close()
        bury(program.window, program.theme)


def associate(ui: Ui, opened: Opened) -> str:
    """Pastes a list, asks for everything, submits; the tracking number."""
    job = demonstration.pick_demo_job(opened, DEVICES, 0.2)
    lines, customer = job.request.devices.lines, job.request.customer  # type: ignore[union-attr]
    assert isinstance(customer, str)
    QGuiApplication.clipboard().setText("\n".join([*lines, "8944000000000000077"]))
    ui.qtbot.keyClick(ui.associate, Qt.Key.Key_V, CTRL | SHIFT)
    dialog = ui.find(PasteDialog, "pasteDialog")
    ui.until(dialog.isActiveWindow)
    ui.qtbot.keyClick(dialog.edit, Qt.Key.Key_Return, CTRL)
    ui.until(lambda: ui.associate.list.info.texts()[0] == f"Pasted {DEVICES + 1} IDs: {DEVICES} found and selected")
    assert ui.associate.list.info.texts()[1] == "1 not found"
    ui.choose_customer(customer)
    request = ui.associate.request
    ui.press("createBillingServiceCheck")
    ui.press("addCarrierRatePlanCheck")
    combos = request._carrier_plans._combos
    ui.until(lambda: combos and all(combo.count() for combo in combos.values()))
    for combo in combos.values():
        places = [combo.findData(choice.plan) for choice in job.request.carrier_rate_plans]
        combo.setCurrentIndex(max([*places, 0]))
    ui.press("addCustomerRatePlanCheck")
    plan = ui.find(QComboBox, "customerRatePlanCombo")
    ui.until(lambda: plan.findData(job.request.customer_rate_plan) >= 0)
    plan.setCurrentIndex(plan.findData(job.request.customer_rate_plan))
    ui.until_checked()
    answer = ui.associate.flow.answer
    assert answer is not None
    report = answer.report
    assert report.ready + report.warnings + report.blocked == DEVICES
    assert 0 < report.submittable < DEVICES
    assert ui.associate.submit_button.text() == f"Submit {report.submittable} devices…"
    ui.key(Qt.Key.Key_Return, CTRL)
    ui.until(lambda: "submitted" in ui.associate.list.info.texts()[0])
    number = ui.associate.list.info.texts()[0].split()[0]
    assert opened.desk.job(number).job.counts.total == DEVICES
    return number


def follow(ui: Ui, opened: Opened, number: str, tmp_path) -> None:
    """Watches the job to its end, looks at one device, exports the result, finds it in the history."""
    ui.press("showSubmittedButton")
    ui.until(lambda: ui.jobs.detail._number.text() == number)
    row = ui.jobs.model.row_of(number)
    # a call that its billing did not answer in time is asked about later, and that may not be answered either
    ui.qtbot.waitUntil(lambda: ui.jobs.model.cell(row, 0).text == "Partly completed", timeout=300_000)
    counts = opened.desk.job(number).job.counts
    assert counts.succeeded == counts.total - counts.rejected
    assert ui.jobs.model.row_at(row).state is JobState.PARTIALLY_COMPLETED
    ledger = demonstration.read_ledger(opened)
    assert ledger["totals"]["services"] >= 1
    assert not ledger["duplicates"]

    done = opened.desk.work_orders(number, (WorkOrderState.SUCCEEDED,), limit=1)[0]
    ui.jobs.detail.device_opened.emit(done.line)
    ui.until(ui.jobs.device.isVisible)
    assert ui.jobs.device._title.text() == done.iccid

    path = tmp_path / "result.csv"
    ui.press("exportCsvButton")
    dialog = ui.find(QFileDialog, "fileDialog")
    dialog.fileSelected.emit(str(path))
    dialog.reject()
    ui.until(lambda: ui.toast() == f"Result exported: {DEVICES} devices in result.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == DEVICES
    assert {row["tracking_number"] for row in rows} == {number}

    ui.press("navHistory")
    ui.until(lambda: ui.history.jobs.row_total() > 0 and ui.history.jobs.cell(0, 2).text == number)
