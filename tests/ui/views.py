"""Every page of the window in the states that differ in what they show, and every dialog, brought about one by one.

Names, sizes, order, contrast and layout are judged over all of them (``test_accessibility.py``, ``test_layout.py``,
``test_contrast.py``), and the pictures of the window are taken of the same desk. A dialog that is not brought about
here fails ``test_every_dialog_is_among_the_views``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDateEdit, QDialog, QFileDialog, QMenu, QPushButton, QTabWidget, QWidget

from db.engines import RESTORE_FILE
from desktop_app.association.errors import EnvironmentFault, Problem
from desktop_app.association.model import AtBilling, OrphanService
from desktop_app.association.states import JobState, PauseCause, WorkOrderState
from desktop_app.desk.machine import DatabaseForm, DatabaseKind, Verdict
from desktop_app.desk.protocol import JobProgress, NotificationRow, Outcomes
from desktop_app.ui.main_window import ASSOCIATE, HISTORY, SETTINGS
from desktop_app.ui.pages.history import BY_DEVICE, BY_JOB
from tests.ui.conftest import Ui
from tests.ui.fake_desk import NOW, FakeDesk, iccid_of
from tests.ui.fake_machine import FakeMachine

_W = WorkOrderState
#: The jobs of :func:`desk_with_jobs`.
DONE, FAILED, CANCELLED, PAUSED, RUNNING, UNDECIDED = (f"AJ-20261124-{place:04d}" for place in range(1, 7))

#: Few things that go wrong have more to say.
LONG_TROUBLE = EnvironmentFault(
    "DATABASE_RESTORED",
    "The database C:\\ProgramData\\Association Desk\\desk.db is a backup that was put in its place. What was ordered "
    "at billing since it was made would be ordered again. Nothing was changed.",
    RESTORE_FILE,
)


def desk_with_jobs(devices: int = 20_000) -> FakeDesk:
    """A desk with a job in every state."""
    desk = FakeDesk(devices)
    unanswered = Problem("BILLING_OUTCOME_UNKNOWN", "Billing gave no clear answer.", "It is asked again by itself.")
    done = desk.add_job("Tailspin Security Inc", [device for device in range(1, 53) if device % 25])
    desk.advance(done.row.tracking_number)
    action = "Associate + service + carrier plan + customer plan"
    failed = desk.add_job("Fabrikam Water SA", range(401, 601), action=action)
    desk.advance(failed.row.tracking_number, fail=12)
    cancelled = desk.add_job("Wingtip Retail Ltd", range(601, 1_501), action="Associate + service")
    desk.set_orders(cancelled.row.tracking_number, {_W.SUCCEEDED: 310})
    desk.cancel(cancelled.row.tracking_number)
    paused = desk.add_job("Contoso Energy GmbH", range(1_501, 1_901), action="Associate + service")
    desk.set_orders(paused.row.tracking_number, {_W.SUCCEEDED: 118, _W.OUTCOME_UNKNOWN: 3}, unanswered)
    desk.set_job(
        paused.row.tracking_number,
        state=JobState.PAUSED,
        pause_cause=PauseCause.ENVIRONMENT,
        pause_reason="Billing at 127.0.0.1:8085 does not answer.",
        needs_attention=True,
    )
    running = desk.add_job("Northwind Fleet Ltd", range(2_001, 4_501), action="Associate + service + carrier plan")
    desk.set_orders(
        running.row.tracking_number,
        {_W.SUCCEEDED: 1_486, _W.FAILED: 6, _W.RUNNING: 16},
        Problem("BILLING_REFUSED", "Billing refused it: no package for account 20317 (400).", "Choose another plan."),
    )
    desk.set_job(running.row.tracking_number, state=JobState.RUNNING, started_at=NOW, needs_attention=True)
    desk.progress[running.row.tracking_number] = JobProgress(
        NOW, 5, tuple(Outcomes(20 + 37 * place % 23, int(place % 13 == 9)) for place in range(45))
    )
    undecided = desk.add_job("Litware Health SA", range(1_921, 1_981), action="Associate + service")
    number, now = undecided.row.tracking_number, datetime.now(UTC)
    several = Problem(
        "BILLING_SERVICES_AMBIGUOUS", "Billing has several services that may be this one: 71201, 71877.", "Look there."
    )
    desk.set_orders(number, {_W.SUCCEEDED: 50, _W.OUTCOME_UNKNOWN: 2}, several)
    desk.set_orders(number, {_W.OUTCOME_UNKNOWN: 6}, unanswered)
    waits = {"undecided": 2, "asks_at": now + timedelta(days=1)}  # with the day, which is longer, at whatever hour
    desk.set_job(number, state=JobState.RUNNING, started_at=NOW, needs_attention=True, **waits)
    desk.notifications[failed.row.tracking_number] = NotificationRow("dead", 1, 40, "HTTP 500", None, None)
    return desk


def use_server(machine: FakeMachine) -> None:
    """Makes it the machine of a department, whose server does not answer."""
    machine.form = DatabaseForm(
        DatabaseKind.SQL_SERVER, "sql01.example", None, "association", False, "desk", "ODBC Driver 18 for SQL Server"
    )
    machine.verdict = Verdict(
        False,
        "The server sql01.example does not answer on port 1433.",
        "Look whether it runs, and whether a firewall lets this machine through.",
    )


@dataclass(frozen=True)
class View:
    """One state: ``root`` is the window, a dialog or a menu that shows it."""

    name: str
    root: QWidget


def views(ui: Ui) -> Iterator[View]:
    """Brings about one state after the other, over :func:`desk_with_jobs`, and cleans up after each."""
    use_server(ui.machine)
    yield from associate_views(ui)
    yield from jobs_views(ui)
    yield from history_views(ui)
    yield from settings_views(ui)
    yield from window_views(ui)


def settle(ui: Ui) -> None:
    """Waits until what was answered last is laid out too: some of it is, a turn of the event loop later."""
    ui.idle()
    for _ in range(5):
        ui.qtbot.wait(1)


def _dialog(ui: Ui, name: str) -> QWidget:
    ui.until(lambda: any(one.isVisible() for one in ui.window.findChildren(QDialog, name)))
    ui.idle()
    return next(one for one in ui.window.findChildren(QDialog, name) if one.isVisible())


def _open(ui: Ui, name: str, *, button: str = "", run: Callable[[], object] | None = None) -> Iterator[View]:
    """Opens a dialog by a button or a call, and closes it afterwards."""
    if run is not None:
        run()
    else:
        ui.press(button)
    dialog = _dialog(ui, name)
    yield View(name, dialog)
    assert isinstance(dialog, QDialog)
    dialog.reject()
    ui.until(lambda: not any(one.isVisible() for one in ui.window.findChildren(QDialog, name)))


def _menu(ui: Ui, button: str) -> Iterator[View]:
    menu = ui.find(QPushButton, button).menu()
    assert isinstance(menu, QMenu)
    menu.popup(ui.window.mapToGlobal(QPoint(200, 120)))
    ui.until(menu.isVisible)
    yield View(f"{button}-menu", menu)
    menu.close()


# ----------------------------------------------------------------------------------------------------------- Associate


def associate_views(ui: Ui) -> Iterator[View]:
    page = ui.associate
    ui.window.show_page(ASSOCIATE)
    ui.idle()
    yield View("associate-start", ui.window)
    for button in ("columnsButton", "carrierFilterButton", "statusFilterButton"):
        yield from _menu(ui, button)

    page.list.search.setText("8944 0000 77")
    page.list.chips.chip("active").click()
    ui.until(lambda: page.list.model.row_total() == 0)
    ui.idle()
    yield View("associate-nomatch", ui.window)
    page.list.search.clear()
    page.list._clear_chips()
    ui.until(lambda: page.list.model.row_total() > 0)

    lines = [iccid_of(number) for number in (*range(3, 40), 8, 9)]
    QGuiApplication.clipboard().setText("\n".join([*lines, "8944000000000000077", "rubbish"]))
    for view in _open(ui, "pasteDialog", button="pasteIdsButton"):
        yield view
        ui.press("pasteFind")
    ui.until(lambda: len(page.list.model.checks) == 37)
    combo = page.request.customer_combo
    ui.window.activateWindow()
    ui.until(ui.window.isActiveWindow)
    combo.setFocus()
    ui.type("fleet")
    ui.until(lambda: combo.list_view().isVisible())
    yield View("associate-customers", ui.window)
    combo.clearEditText()  # the list closes where the window changes its size
    combo.setFocus()
    ui.type("fleet")
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: page.request.customer is not None)
    ui.until_checked()
    ui.idle()
    yield View("associate-pasted", ui.window)
    yield from _open(ui, "linesDialog", button="showLinesButton")

    page.list.info.hide()
    page.list.show_all()
    page.request.carrier_check.setChecked(True)
    page.request.customer_check.setChecked(True)
    page.request.on_date_radio.setChecked(True)
    ui.until(lambda: len(page.request._carrier_plans._combos) > 1)
    for plans in page.request._carrier_plans._combos.values():
        plans.setCurrentIndex(1)
    page.request.customer_plan_combo.setCurrentIndex(0)
    ui.until_checked()
    ui.idle()
    yield View("associate-options", ui.window)
    yield from _calendar(ui, page.request.date_edit)

    ui.desk.at_billing = {25: AtBilling.ENDED}
    ui.desk.orphans = (OrphanService(iccid_of(25), "88001", "12745550001", ""),)
    ui.press("reread_BILLED_TO_ANOTHER")
    yield from _open(ui, "rereadDialog", button="showRereadButton")
    page.list.info.hide()
    yield from _open(ui, "deviceRecordDialog", run=lambda: page._open_device(402))

    page.list.model.check_all_listed()
    ui.until(lambda: not page.list.model.check_all_waits)
    ui.until_checked()
    ui.idle()
    yield from _open(ui, "confirmDialog", run=page.submit)
    page.list.model.uncheck_everything()
    ui.idle()


def _calendar(ui: Ui, edit: QDateEdit) -> Iterator[View]:
    edit.setFocus()
    ui.qtbot.mouseClick(edit, Qt.MouseButton.LeftButton, pos=QPoint(edit.width() - 12, edit.height() // 2))
    ui.until(edit.calendarWidget().isVisible)
    popup = edit.calendarWidget().window()
    yield View("calendar", popup)
    popup.close()


# ---------------------------------------------------------------------------------------------------------------- Jobs


def _show_job(ui: Ui, number: str) -> None:
    ui.window.show_job(number)
    ui.until(lambda: ui.jobs.detail._number.text() == number)
    ui.idle()


def jobs_views(ui: Ui) -> Iterator[View]:
    for name, number in (
        ("jobs-running", RUNNING),
        ("jobs-paused", PAUSED),
        ("jobs-undecided", UNDECIDED),
        ("jobs-cancelled", CANCELLED),
    ):
        _show_job(ui, number)
        yield View(name, ui.window)
    _show_job(ui, UNDECIDED)
    yield from _open(ui, "resolveDialog", run=ui.jobs.detail.resolve)
    _show_job(ui, RUNNING)
    yield from _open(ui, "confirmDialog", run=ui.jobs.detail.cancel)

    _show_job(ui, FAILED)
    ui.until(lambda: len(ui.jobs.detail.causes.bars) == 2)
    yield View("jobs-with-failures", ui.window)
    ui.jobs.detail.device_opened.emit(200)
    ui.until(ui.jobs.device.isVisible)
    ui.idle()
    yield View("jobs-device", ui.window)
    ui.jobs.device.close_panel()
    yield from _file_dialog(ui, "exportCsvButton")

    ui.jobs.search.setText("nobody")
    ui.until(lambda: ui.jobs.model.row_total() == 0)
    ui.idle()
    yield View("jobs-none", ui.window)
    ui.jobs.search.clear()
    ui.until(lambda: ui.jobs.model.row_total() > 0)


def _file_dialog(ui: Ui, button: str) -> Iterator[View]:
    """Qt's own dialog of files, as it is where the system has none."""
    ui.press(button)
    ui.until(lambda: ui.window.findChildren(QFileDialog))
    dialog = ui.window.findChildren(QFileDialog)[0]
    ui.idle()
    yield View("fileDialog", dialog)
    dialog.reject()
    ui.until(lambda: not ui.window.findChildren(QFileDialog))


# ------------------------------------------------------------------------------------------------- History and Settings


def history_views(ui: Ui) -> Iterator[View]:
    page = ui.history
    ui.window.show_page(HISTORY)
    page.period.setCurrentIndex(page.period.count() - 1)
    ui.until(lambda: page.jobs.row_total() > 0)
    ui.idle()
    yield View("history-by-job", ui.window)
    page.chips.chip(BY_DEVICE).click()
    page.search.setText(iccid_of(402))
    ui.until(lambda: page.devices.row_total() > 0)
    ui.qtbot.wait(300)
    ui.idle()
    yield View("history-by-device", ui.window)
    page.search.setText("8944000077")
    page.period.setCurrentIndex(0)
    ui.until(lambda: page._empty.isVisible())
    ui.idle()
    yield View("history-none", ui.window)
    page.search.clear()
    page.chips.chip(BY_JOB).click()
    ui.idle()


def settings_views(ui: Ui) -> Iterator[View]:
    ui.window.show_page(SETTINGS)
    ui.idle()
    ui.press("testBillingButton")
    ui.idle()
    yield View("settings", ui.window)
    for view in _open(ui, "connectionDialog", button="changeDatabaseButton"):
        ui.press("testConnectionButton")
        ui.idle()
        yield view
    store = next(one for one in ui.window.findChildren(QPushButton) if one.text() == "Store secret…")
    yield from _open(ui, "credentialDialog", run=store.click)


# ---------------------------------------------------------------------------------------------------------- the window


def window_views(ui: Ui) -> Iterator[View]:
    ui.window.show_page(ASSOCIATE)
    box = ui.window.commands
    ui.window.activateWindow()
    ui.until(ui.window.isActiveWindow)
    box.begin()
    ui.until(lambda: box.list_view().isVisible())
    yield View("command-box", ui.window)
    QApplication.processEvents()
    ui.key(Qt.Key.Key_Escape)
    for view in _open(ui, "helpDialog", run=ui.window.show_help):
        yield view
        ui.find(QTabWidget, "helpTabs").setCurrentIndex(1)
        yield replace(view, name="helpDialog-terms")
    yield from _open(ui, "closingDialog", run=ui.window.close)
    ui.window.toast.show_message(
        "The database cannot be reached. Look at the network; it goes on by itself.", ui.window.toast._tone
    )
    ui.idle()
    yield View("toast", ui.window)
    ui.window.toast.hide()
    shown = ui.window.page(ASSOCIATE)
    ui.window.show_trouble(LONG_TROUBLE)
    ui.window._stack.setCurrentWidget(ui.window._opening)
    ui.idle()
    yield View("database-trouble", ui.window)
    ui.window._stack.setCurrentWidget(shown)
    ui.window.status.show_connection(True, "")
