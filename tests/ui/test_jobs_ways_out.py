"""What leads out of a job that did not go well: by cause, by a decision, by waiting; and what is told of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QHelpEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QRadioButton, QWidget

from desktop_app.association.errors import Problem, RequestRefused
from desktop_app.association.states import JobState, PauseCause, WorkOrderState
from desktop_app.desk.protocol import JobProgress, NotificationRow, Outcomes
from desktop_app.ui import theme as look
from desktop_app.ui.models.jobs import RATE_WINDOW_S, Rates, waits_until
from desktop_app.ui.pages.jobs.resolve import ResolveDialog
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.outcome_chart import Bar, OutcomeChart
from tests.ui.fake_desk import NOW, iccid_of

_W = WorkOrderState
#: Not today: a time of today is written otherwise when midnight has passed.
FAR_OFF = timedelta(days=3)
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NO_ANSWER = Problem("NO_ANSWER", "Billing did not answer.", "Usually passes by itself.")
SEVERAL = Problem("BILLING_SERVICES_AMBIGUOUS", "Billing has several services: 71201, 71877.", "Look it up there.")
UNKNOWN = Problem("BILLING_OUTCOME_UNKNOWN", "Billing gave no clear answer.", "It is asked again by itself.")


@pytest.fixture
def number(desk):
    """A job of 40 devices, of which number 25 is rejected."""
    return desk.add_job("Fabrikam Water SA", range(1, 41)).row.tracking_number


@pytest.fixture
def page(number, ui):
    """The Jobs page at that job."""
    ui.press("navJobs")
    ui.until(lambda: ui.jobs.table.current_row() == 0)
    ui.idle()
    return ui.jobs


def running(ui, number, **changed):
    ui.desk.set_job(number, state=JobState.RUNNING, started_at=NOW, **changed)


def undecided(ui, page, number, count=2):
    """Devices 1, 2, … of the job wait for a person."""
    ui.desk.set_orders(number, {_W.OUTCOME_UNKNOWN: count}, SEVERAL)
    running(ui, number, undecided=count, needs_attention=True)
    ui.until(lambda: page.detail.notices.unknown.isVisible())


# ----------------------------------------------------------------------------------------------------------- by cause


def test_one_cause_is_retried_alone(ui, page, number):
    ui.desk.advance(number, fail=5)
    for order in ui.desk.jobs_by_number[number].orders[-2:]:
        order.error = NO_ANSWER
    ui.desk.set_job(number)
    ui.press("retry_NO_ANSWER")
    ui.until(lambda: ui.desk.retried == [(number, "NO_ANSWER")])
    ui.until(lambda: ui.toast().startswith(f"{number}: 2 devices queued again"))


def test_what_must_be_changed_opens_associate_filled_in(ui, page, number):
    ui.desk.advance(number, fail=3)
    ui.press("resubmit_BILLING_REFUSED")
    ui.until(lambda: ui.associate.isVisible())
    assert ui.desk.drafted == [(number, "BILLING_REFUSED")]
    ui.until(lambda: len(ui.associate.list.model.checks) == 3)
    assert ui.associate.request.customer is not None
    assert ui.associate.request.customer.name == "Fabrikam Water SA"


def test_who_may_only_look_is_offered_nothing_else(qtbot, qapp):
    from tests.ui.conftest import opened
    from tests.ui.fake_desk import FakeDesk

    desk = FakeDesk(100, may_associate=False)
    number = desk.add_job("Fabrikam Water SA", range(1, 41)).row.tracking_number
    desk.advance(number, fail=3)
    with opened(qtbot, qapp, desk) as ui:
        ui.window.show_job(number)
        ui.until(lambda: len(ui.jobs.detail.causes.bars) == 2)
        assert not ui.window.findChildren(QWidget, "resubmit_BILLING_REFUSED")
        assert ui.jobs.detail.retry_button.isVisible()
        assert not ui.jobs.detail.retry_button.isEnabled()
        assert "no right" in ui.jobs.detail.retry_button.toolTip()
        assert ui.jobs.detail.export_button.isEnabled()


# --- unknown outcomes ---


def test_a_job_says_when_billing_is_asked_next(ui, page, number):
    at = datetime.now(UTC) + FAR_OFF
    ui.desk.set_orders(number, {_W.SUCCEEDED: 36, _W.OUTCOME_UNKNOWN: 3}, UNKNOWN)
    running(ui, number, asks_at=at)
    bar = page.detail.notices.unknown
    ui.until(bar.isVisible)
    when = ui.window._context.clock.soon(at, datetime.now(UTC))
    assert bar.texts() == (
        "3 outcomes are unknown.",
        f"Billing is asked about 3 at {when}; nothing is ordered again before that.",
    )
    assert not ui.find(QWidget, "resolveButton").isVisible()
    assert page.detail.progress.text.full_text() == f"92 % · 37 of 40 · waiting for billing until {when}"
    assert page.model.cell(0, 7).text == f"Until {when}"
    assert not page.detail.causes.bars[0].texts()[0].startswith("3 ")  # the notice tells of them


def test_unknown_outcomes_are_settled_by_a_person_with_the_keyboard(ui, page, number):
    undecided(ui, page, number)
    assert page.model.cell(0, 0).text == "Needs decision"
    assert ui.toast() == f"{number} needs your decision on 2 devices"
    ui.press("resolveButton")
    dialog = found(ui)
    assert f"Device {iccid_of(1)} · 1 of 2" in said(dialog)
    assert f"Our reference: {number}-1" in said(dialog)
    assert "What billing has: Billing has several services: 71201, 71877." in said(dialog)
    settle = dialog.findChild(QWidget, "resolveSettle")
    assert not settle.isEnabled()
    assert settle.toolTip() == "Say whether it exists at billing"
    ui.until(dialog.isActiveWindow)
    ui.key(Qt.Key.Key_Space)  # it exists
    assert dialog.findChild(QRadioButton, "resolveExists").isChecked()
    for words in ("resolveServiceId", "resolveReason"):
        while QApplication.focusWidget() is not dialog.findChild(QLineEdit, words):
            ui.key(Qt.Key.Key_Tab)
        ui.type("71877" if words == "resolveServiceId" else "ticket 4711")
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: ui.desk.resolved == [(number, iccid_of(1), "71877", "ticket 4711")])
    ui.until(lambda: f"Device {iccid_of(2)}" in said(dialog))
    ui.click(dialog.findChild(QWidget, "resolveAbsent"))
    dialog.findChild(QLineEdit, "resolveReason").setText("nothing there")
    ui.click(settle)
    ui.until(lambda: not ui.window.findChildren(ResolveDialog))
    assert ui.desk.resolved[1] == (number, iccid_of(2), None, "nothing there")
    ui.until(lambda: not page.detail.notices.unknown.isVisible())


def test_a_decision_that_is_refused_is_said_in_the_dialog(ui, page, number):
    undecided(ui, page, number, 1)
    ui.desk.fail_resolve_with = RequestRefused("NOT_PERMITTED", "You do not hold the right.", "Ask for it.")
    ui.press("resolve_BILLING_SERVICES_AMBIGUOUS")
    dialog = found(ui)
    ui.click(dialog.findChild(QWidget, "resolveAbsent"))
    dialog.findChild(QLineEdit, "resolveReason").setText("looked")
    ui.click(dialog.findChild(QWidget, "resolveSettle"))
    ui.until(lambda: dialog._said.isVisible())
    assert dialog._said.texts() == ("You do not hold the right.", "Ask for it.")
    assert dialog._settle.isEnabled()
    dialog.reject()


def test_one_device_is_settled_from_its_panel_and_copied_raw(ui, page, number):
    undecided(ui, page, number)
    page.detail.device_opened.emit(2)
    ui.press("copyRawButton")
    raw = json.loads(QGuiApplication.clipboard().text())
    assert (raw["tracking_number"], raw["work_order"]["line"]) == (number, 2)
    assert raw["steps"][0]["reference"] == f"{number}-2"
    ui.press("resolveDeviceButton")
    assert f"Device {iccid_of(2)}" in said(found(ui))
    found(ui).reject()
    ui.until(lambda: not ui.window.findChildren(ResolveDialog))
    ui.press("deviceRecordButton")
    ui.press("deviceRecordClose")


def found(ui):
    ui.until(lambda: ui.window.findChildren(ResolveDialog))
    return ui.window.findChildren(ResolveDialog)[0]


def said(dialog):
    """All texts of the dialog."""
    return "\n".join(
        text for part in dialog.findChildren(QWidget) for text in (part.accessibleName(), getattr(part, "text", str)())
    )


# ---------------------------------------------------------------------------------------------- pauses, notification


def test_a_job_that_paused_itself_is_announced_and_says_when_it_looks_again(ui, page, number):
    at = datetime.now(UTC) + FAR_OFF
    paused = {"state": JobState.PAUSED, "pause_cause": PauseCause.ENVIRONMENT, "resume_at": at}
    ui.desk.set_job(number, pause_reason="Billing does not answer.", **paused)
    ui.until(lambda: ui.toast() == f"{number} paused itself: billing or the database cannot be reached")
    when = ui.window._context.clock.soon(at, datetime.now(UTC))
    assert page.detail.notices.pause.texts()[1] == (
        f"Billing does not answer. It goes on by itself and looks again at {when}."
    )
    assert page.detail.progress.text.full_text().endswith(f"paused, looks again at {when}")
    ui.window.toast.hide()
    ui.desk.set_job(number, pause_reason="Billing still does not answer.")
    ui.until(lambda: page.detail.notices.pause.texts()[1].startswith("Billing still"))
    assert not ui.toast()  # once is enough


def test_a_notification_that_nobody_took_is_sent_again(ui, page, number):
    ui.desk.advance(number)
    ui.until(lambda: "finished: 39 of 40 done" in ui.toast())
    ui.window.toast.hide()
    ui.desk.notifications[number] = NotificationRow("dead", 1, 40, "HTTP 500.", None, None)
    ui.desk.set_job(number, needs_attention=True, not_announced=True)
    ui.until(lambda: ui.toast() == f"{number}: the other system was not told that it ended")
    time_column = [column.key for column in page.model.columns].index("time")
    assert page.model.cell(0, time_column).text == "Not announced"
    ui.until(lambda: page.chips.chip("attention").text() == "Needs attention  1")
    ui.until(lambda: page.detail.notices.notification.isVisible())
    assert "40 times and is not sent any more (HTTP 500)." in page.detail.notices.notification.texts()[1]
    ui.press("notifyAgainButton")
    ui.until(lambda: ui.toast() == f"{number}: the notification is sent again")
    ui.until(lambda: not page.detail.notices.notification.isVisible())
    ui.until(lambda: page.model.cell(0, time_column).text not in {"Not announced", ""})
    ui.until(lambda: page.chips.chip("attention").text() == "Needs attention  0")


def test_what_became_of_a_notification_is_not_told_as_the_end_of_its_job(ui, page, number):
    """It is given up days later, in a window that was opened after the job had ended."""
    ended_at = NOW - timedelta(days=3)
    over = {"state": JobState.COMPLETED, "finished_at": ended_at, "changed_at": NOW}
    ui.desk.set_job(number, needs_attention=True, not_announced=True, **over)
    ui.until(lambda: ui.toast() == f"{number}: the other system was not told that it ended")
    ui.window.toast.hide()
    ui.desk.set_job(number, needs_attention=False, not_announced=False, **over)  # somebody else had it sent again
    ui.until(lambda: page.chips.chip("attention").text() == "Needs attention  0")
    assert not ui.toast()


# --- copied, by the keyboard ---


def test_a_summary_for_a_ticket(ui, page, number):
    ui.desk.advance(number, fail=12)
    ui.until(lambda: page.detail.retry_button.isVisible())
    page.table.setFocus()
    ui.key(Qt.Key.Key_S, CTRL | SHIFT)
    ui.until(lambda: ui.toast() == f"Summary of {number} copied")
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[:2] == [f"Job: {number}, Partly completed", "Customer: Fabrikam Water SA (10482), Main depot"]
    assert "Devices: 40 (27 done, 12 failed, 1 rejected)" in lines
    at = lines.index("- 12 devices were refused by billing (BILLING_REFUSED). Choose another plan, then resubmit.")
    assert lines[at + 1].strip().startswith(iccid_of(29))
    assert lines[at + 1].endswith(" and 2 more")


def test_a_job_is_steered_by_keys(ui, page, number):
    page.table.setFocus()
    ui.key(Qt.Key.Key_C, CTRL | SHIFT)
    assert QGuiApplication.clipboard().text() == number
    ui.key(Qt.Key.Key_P, CTRL)
    ui.until(lambda: page.model.cell(0, 0).text == "Paused")
    ui.key(Qt.Key.Key_P, CTRL | SHIFT)
    ui.until(lambda: page.model.cell(0, 0).text == "Running")
    ui.key(Qt.Key.Key_R, CTRL)  # nothing to retry yet: nothing happens
    ui.idle()
    assert not ui.desk.retried


# --- speed and chart ---


def test_speed_falls_when_nothing_is_done_any_more(desk, number):
    rates, job = Rates(), desk.jobs_by_number[number]
    running_desk = desk
    running_desk.set_job(number, state=JobState.RUNNING)
    rates.note(job.row, 100.0)
    running_desk.set_orders(number, {_W.SUCCEEDED: 10})
    rates.note(job.row, 102.0)
    assert rates.per_second(number, 102.0) == pytest.approx(5.0)
    assert rates.per_second(number, 110.0) == pytest.approx(1.0)
    assert rates.per_second(number, 103.0 + RATE_WINDOW_S) == 0.0


def test_a_job_waits_only_if_nothing_can_be_done_now(desk, number):
    job = desk.jobs_by_number[number]
    desk.set_orders(number, {_W.SUCCEEDED: 36, _W.WAITING_RETRY: 2})
    desk.set_job(number, state=JobState.RUNNING, retries_at=NOW, asks_at=None)
    assert waits_until(job.row) is None  # one is queued
    desk.set_orders(number, {_W.OUTCOME_UNKNOWN: 1}, UNKNOWN)
    desk.set_job(number, asks_at=NOW - timedelta(seconds=5))
    assert waits_until(job.row) == NOW - timedelta(seconds=5)
    desk.set_job(number, undecided=1, asks_at=None)
    assert waits_until(job.row) == NOW


def test_outcomes_over_time_are_painted_and_told(ui, page, number):
    ui.desk.progress[number] = JobProgress(NOW, 5, (Outcomes(20), Outcomes(), Outcomes(9, 1)))
    running(ui, number)
    chart = page.detail.progress.chart
    ui.until(chart.isVisible)
    assert [bar.total for bar in chart.bars()] == [20, 0, 10]
    assert chart.bars()[2].spoken == "15:05:10, 5 s: 9 done, 1 failed"
    assert chart.accessibleDescription() == "From 15:05:00 on: 29 done, 1 failed, at most 240 a minute"
    ui.desk.advance(number, fail=1)
    ui.until(lambda: "took 1 min 12 s" in page.detail.progress.text.full_text())


def test_one_failure_among_many_is_seen_in_the_chart(qtbot, theme):
    chart = OutcomeChart("Outcomes")
    qtbot.addWidget(chart)
    chart.resize(240, 48)
    chart.show_bars([Bar(((Tone.OK, 10_000), (Tone.ERROR, 1)), "many")] * 12, "Peak 10,001 a minute", "all")
    image = chart.grab().toImage()
    ratio = image.width() / chart.width()
    column = [image.pixelColor(round(10 * ratio), y).name().upper() for y in range(image.height())]
    colours = look.active()
    assert colours.bar_error in column
    assert colours.bar_ok in column
    assert column.index(colours.bar_error) < column.index(colours.bar_ok)
    told = QHelpEvent(QHelpEvent.Type.ToolTip, QPoint(5, 30), chart.mapToGlobal(QPoint(5, 30)))
    assert chart.event(told)
