"""Jobs: live, steered, and every device of them with its proofs."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QPlainTextEdit, QWidget

from desktop_app.association.errors import Problem
from desktop_app.association.states import JobState, PauseCause, WorkOrderState
from desktop_app.ui.models.jobs import Rates
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.dialogs import Dialog
from desktop_app.ui.widgets.labels import StatusLabel
from tests.ui.fake_desk import NOW, iccid_of

_W = WorkOrderState


@pytest.fixture
def job(desk):
    """A queued job of 40 devices, of which number 25 is rejected."""
    return desk.add_job("Fabrikam Water SA", range(1, 41))


@pytest.fixture
def number(job):
    return job.row.tracking_number


@pytest.fixture
def page(job, ui):
    """The Jobs page at that job."""
    ui.press("navJobs")
    ui.until(lambda: ui.jobs.table.current_row() == 0)
    ui.idle()
    return ui.jobs


def states(page):
    return [page.detail.model.cell(row, 0).text for row in range(page.detail.model.row_total())]


def test_list_and_detail(ui, page, number):
    assert [page.model.cell(0, column).text for column in (0, 1, 2, 4, 5, 6)] == [
        "Queued",
        number,
        "Fabrikam Water SA",
        "2 %",
        "1 / 40",
        "0",
    ]
    assert page.detail._number.text() == number
    assert page.detail.chips.chip("rejected").text() == "Rejected  1"
    assert page.chips.chip("all").text() == "All  1"
    assert ui.window.rail.button("jobs").text() == "Jobs · 1"


def test_it_lives(ui, page, number):
    page.detail.chips.chip("all").click()
    ui.idle()
    ui.desk.set_job(number, state=JobState.RUNNING, started_at=NOW)
    ui.desk.set_orders(number, {_W.RUNNING: 4})
    ui.until(lambda: page.model.cell(0, 0).text == "Running")
    ui.until(lambda: states(page)[:5] == ["Running"] * 4 + ["Queued"])
    ui.desk.advance(number, fail=2)
    ui.until(lambda: page.model.cell(0, 0).text == "Partly completed")
    assert page.model.cell(0, 5).text == "40 / 40"
    assert page.model.cell(0, 6).text == "2"
    ui.until(lambda: states(page).count("Done") == 37 and states(page).count("Failed") == 2)
    assert "finished: 37 of 40 done · 1 rejected · 2 failed" in ui.toast()


def test_a_new_job_appears_by_itself(ui, page):
    ui.desk.add_job("Contoso Energy GmbH", [1, 2])
    ui.until(lambda: page.model.row_total() == 2)
    assert page.model.cell(0, 2).text == "Contoso Energy GmbH"
    assert page.detail._number.text() == "AJ-20261124-0001"  # what is looked at stays


def test_retry_of_what_failed(ui, page, number):
    ui.desk.advance(number, fail=3)
    ui.until(lambda: page.detail.retry_button.isVisible())
    assert page.detail.retry_button.text() == "Retry 3 failed"
    ui.press("retryFailedButton")
    ui.until(lambda: ui.toast() == f"{number}: 3 devices queued again · 1 still blocked")
    ui.until(lambda: page.model.cell(0, 0).text == "Queued")
    assert not page.detail.retry_button.isVisible()
    assert "run 2" in page.detail.progress.facts.text()


def test_pause_and_resume(ui, page, number):
    ui.press("pauseJobButton")
    ui.until(lambda: page.detail.resume_button.isVisible())
    assert page.detail.notices.pause.texts()[0] == "Paused: an operator has paused it."
    assert page.model.cell(0, 0).text == "Paused"
    ui.press("resumeJobButton")
    ui.until(lambda: page.model.cell(0, 0).text == "Running")
    assert not page.detail.notices.pause.isVisible()
    assert (ui.desk.calls["pause"], ui.desk.calls["resume"]) == (1, 1)


def test_a_job_that_paused_by_itself_says_why(ui, page, number):
    ui.desk.set_job(
        number,
        state=JobState.PAUSED,
        pause_cause=PauseCause.ENVIRONMENT,
        pause_reason="Billing at 127.0.0.1 does not answer.",
        needs_attention=True,
    )
    ui.until(lambda: page.detail.notices.pause.isVisible())
    title, text = page.detail.notices.pause.texts()
    assert title == "Paused: billing or the database cannot be reached."
    assert text == "Billing at 127.0.0.1 does not answer. It goes on by itself."
    ui.until(lambda: page.chips.chip("attention").text() == "Needs attention  1")


def test_cancel_asks_and_says_what_stays(ui, page, number):
    ui.desk.set_orders(number, {_W.SUCCEEDED: 9})
    ui.until(lambda: page.detail.chips.chip("done").text() == "Done  9")
    ui.press("cancelJobButton")
    dialog = ui.find(Dialog, "confirmDialog")
    dialog.reject()
    ui.until(lambda: not ui.window.findChildren(Dialog))
    assert not ui.desk.calls["cancel"]
    ui.press("cancelJobButton")
    ui.click(ui.find(Dialog, "confirmDialog").findChild(QWidget, "confirmYes"))
    ui.until(lambda: page.model.cell(0, 0).text == "Cancelled")


def test_what_is_refused_is_said(ui, page, number):
    from desktop_app.association.errors import RequestRefused

    original = ui.desk.pause
    ui.desk.pause = lambda _: (_ for _ in ()).throw(RequestRefused("NO_RIGHT", "You may not pause it.", "Ask."))
    page.detail.show_job(page.model.row_at(0))
    ui.press("pauseJobButton")
    ui.until(lambda: ui.toast() == "You may not pause it. Ask.")
    assert page.detail.pause_button.isEnabled()
    ui.desk.pause = original


def test_causes_are_grouped_and_filter(ui, page, number):
    ui.desk.advance(number, fail=3)
    ui.until(lambda: len(page.detail.causes.bars) == 2)
    assert page.detail.causes.bars[0].texts() == (
        "3 devices were refused by billing",
        "Choose another plan, then resubmit.",
    )
    ui.press("cause_BILLING_REFUSED")
    ui.until(lambda: states(page) == ["Failed"] * 3)
    ui.press("cause_OTHER_CUSTOMER")
    ui.until(lambda: states(page) == ["Rejected"])


def test_device_chips(ui, page, number):
    ui.desk.advance(number, fail=3)
    ui.until(lambda: page.detail.chips.chip("failed").text() == "Failed  3")
    ui.click(page.detail.chips.chip("done"))
    ui.until(lambda: states(page) == ["Done"] * 36)
    ui.click(page.detail.chips.chip("all"))
    ui.until(lambda: page.detail.model.row_total() == 40)


def test_a_device_with_proofs_steps_and_answer(ui, page, number):
    ui.desk.advance(number, fail=1)
    ui.until(lambda: page.detail.chips.chip("failed").text() == "Failed  1")
    ui.click(page.detail.chips.chip("failed"))
    ui.until(lambda: states(page) == ["Failed"])
    page.detail.table.setFocus()
    page.detail.table.set_current_row(0)
    ui.key(Qt.Key.Key_Return)
    ui.until(lambda: page.device.isVisible())
    said = {label.accessibleName() for label in page.device.findChildren(StatusLabel)}
    assert {
        "Device found and accessible: Yes",
        "Operator permitted: Yes",
        "Billing service created: Yes",
        "Ownership updated: No",
        "Rate plans assigned: No",
        "History recorded: No",
        "Processing completed: No",
        "Billing service: Done",
        "Carrier plan at billing: Refused",
    } <= said
    answer = ui.find(QPlainTextEdit, "billingAnswer")
    assert answer.toPlainText() == '{"ok":false,"error":"no package for this account"}'
    ui.key(Qt.Key.Key_Escape)
    ui.until(lambda: not page.device.isVisible())
    assert page.detail.table.hasFocus()


def test_a_device_is_live_too(ui, page, number):
    ui.click(page.detail.chips.chip("all"))
    ui.until(lambda: states(page)[:2] == ["Queued"] * 2)
    table = page.detail.table
    at = table.visualRect(page.detail.model.index(0, 1)).center()
    ui.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    ui.until(lambda: page.device.isVisible())
    assert page.device._title.text() == iccid_of(1)
    ui.desk.advance(number)
    ui.until(
        lambda: any(
            label.accessibleName() == "Processing completed: Yes" for label in page.device.findChildren(StatusLabel)
        )
    )


def test_copy_and_export(ui, page, number, tmp_path):
    ui.press("copyNumberButton")
    assert QGuiApplication.clipboard().text() == number
    ui.press("exportCsvButton")
    dialog = ui.find(QFileDialog, "fileDialog")
    assert dialog.selectedFiles()[0].endswith(f"{number}.csv")
    dialog.fileSelected.emit(str(tmp_path / "result.csv"))
    dialog.reject()
    ui.until(lambda: ui.toast() == "Result exported: 40 devices in result.csv")
    assert len((tmp_path / "result.csv").read_text().splitlines()) == 40


def test_filters_and_search(ui, page, number):
    ui.desk.advance(number)
    ui.desk.add_job("Contoso Energy GmbH", [1, 2])
    ui.until(lambda: page.model.row_total() == 2)
    ui.click(page.chips.chip("active"))
    ui.until(lambda: page.model.row_total() == 1)
    assert page.model.cell(0, 2).text == "Contoso Energy GmbH"
    ui.click(page.chips.chip("all"))
    page.search.setFocus()
    ui.type("fabri")
    ui.until(lambda: page.model.row_total() == 1 and page.model.cell(0, 2).text == "Fabrikam Water SA")
    ui.type("zzz")
    ui.until(lambda: page._empty.isVisible())
    assert page._empty.texts()[0] == "No job matches “fabrizzz”"
    ui.window.show_job(number)
    ui.until(lambda: page.model.row_total() == 2 and page.detail._number.text() == number)


def test_no_jobs_leads_to_associate(ui):
    ui.press("navJobs")
    ui.idle()
    assert ui.jobs._empty.texts()[0] == "No jobs yet"
    ui.click(ui.jobs._associate)
    assert ui.associate.isVisible()


def test_many_devices_of_a_job_are_paged(ui):
    job = ui.desk.add_job("Fabrikam Water SA", range(1, 1_801))
    ui.window.show_job(job.row.tracking_number)
    ui.until(lambda: ui.jobs.detail.model.row_total() == 72)  # the rejected ones come first
    ui.click(ui.jobs.detail.chips.chip("all"))
    ui.until(lambda: ui.jobs.detail.model.row_total() == 1_800)
    ui.idle()
    assert ui.jobs.detail.model.rows_kept <= 200
    bar = ui.jobs.detail.table.verticalScrollBar()
    bar.setValue(bar.maximum())
    ui.until(lambda: ui.jobs.detail.model.cell(1_799, 1).text == iccid_of(1_800))


def test_an_outcome_that_is_unknown_is_shown(ui, page, number):
    unknown = Problem("BILLING_OUTCOME_UNKNOWN", "Billing gave no clear answer.", "It is asked again by itself.")
    ui.desk.set_orders(number, {_W.OUTCOME_UNKNOWN: 2}, unknown)
    ui.until(lambda: page.detail.chips.chip("unknown").text() == "Unknown  2")
    ui.click(page.detail.chips.chip("unknown"))
    ui.until(lambda: states(page) == ["Outcome unknown"] * 2)
    assert page.detail.model.cell(0, 3).text == "It is asked again by itself."


def test_time_left_is_reckoned_from_recent_progress(desk, job):
    rates = Rates()
    number = job.row.tracking_number
    desk.set_job(number, state=JobState.RUNNING)
    rates.note(job.row, 100.0)
    assert rates.seconds_left(job.row) is None
    desk.set_orders(number, {_W.SUCCEEDED: 10})
    rates.note(job.row, 102.0)
    assert rates.per_second(number) == pytest.approx(5.0)
    assert rates.seconds_left(job.row) == pytest.approx(29 / 5)
    desk.set_job(number, state=JobState.PAUSED, pause_cause=PauseCause.OPERATOR)
    rates.note(job.row, 103.0)
    assert rates.seconds_left(job.row) is None


def test_progress_is_painted_by_share(ui, page, number):
    ui.desk.advance(number, fail=2)
    ui.until(lambda: page.model.cell(0, 6).text == "2")
    cell = page.model.cell(0, 4)
    assert cell.bar == ((Tone.OK, 37), (Tone.WARNING, 1), (Tone.ERROR, 2), (Tone.INFO, 0))
    assert cell.bar_total == 40
