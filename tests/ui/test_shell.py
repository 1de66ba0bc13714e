"""The window as a whole: command box, page of shortcuts, closing with jobs at work, what is kept, the one window."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from desktop_app.association.states import JobState
from desktop_app.ui import theme as look
from desktop_app.ui.main_window import ASSOCIATE, HISTORY, JOBS
from desktop_app.ui.palette import DARK
from desktop_app.ui.single_instance import Place, SingleInstance
from desktop_app.ui.taskbar import ButtonState, Taskbar
from tests.ui.conftest import LONG_S, Ui, opened
from tests.ui.fake_desk import FakeDesk, environment_fault, iccid_of

CTRL = Qt.KeyboardModifier.ControlModifier

# --------------------------------------------------------------------------------------------------------- command box


def run_command(ui: Ui, text: str) -> None:
    """Ctrl+K, the text, Enter."""
    ui.window.activateWindow()
    ui.qtbot.keyClick(ui.window, Qt.Key.Key_K, CTRL)
    ui.until(ui.window.commands.hasFocus)
    ui.type(text)
    ui.key(Qt.Key.Key_Return)


def listed(ui: Ui) -> list[str]:
    model = ui.window.commands.list_view().model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_a_command_is_run_by_its_words(ui):
    run_command(ui, "history")
    ui.until(ui.history.isVisible)
    run_command(ui, "dark")
    ui.until(lambda: look.active() is DARK)
    assert not ui.window.commands.currentText()


def test_an_empty_box_lists_what_can_be_done(ui):
    ui.qtbot.keyClick(ui.window, Qt.Key.Key_K, CTRL)
    ui.until(lambda: ui.window.commands.list_view().isVisible())
    assert "Go to Jobs" in listed(ui)
    assert "Keyboard shortcuts and terms" in listed(ui)


def test_escape_gives_the_focus_back(ui):
    ui.associate.list.search.setFocus()
    ui.qtbot.keyClick(ui.window, Qt.Key.Key_K, CTRL)
    ui.until(lambda: ui.window.commands.list_view().isVisible())
    ui.key(Qt.Key.Key_Escape)
    assert not ui.window.commands.list_view().isVisible()
    assert ui.window.commands.hasFocus()
    ui.key(Qt.Key.Key_Escape)
    assert ui.associate.list.search.hasFocus()


def test_a_job_is_found_by_its_number(ui):
    job = ui.desk.add_job("Fabrikam Water SA", [1, 2])
    number = job.row.tracking_number
    run_command(ui, number)
    ui.until(lambda: ui.jobs.isVisible() and ui.jobs.detail._number.text() == number)


def test_a_customer_is_found_and_chosen(ui):
    ui.window.show_page(HISTORY)
    run_command(ui, "northwind")
    ui.until(lambda: ui.associate.isVisible() and ui.associate.request.customer is not None)
    assert "Northwind" in ui.associate.request.customer.name


def test_a_device_is_found_and_shown_whole(ui):
    run_command(ui, iccid_of(7))
    ui.until(lambda: ui.window.findChild(QWidget, "deviceRecordDialog") is not None)
    assert iccid_of(7) in ui.window.findChild(QWidget, "deviceRecordDialog").windowTitle()


def test_commands_are_there_when_the_desk_does_not_answer(ui):
    ui.desk.fail_with = environment_fault()
    run_command(ui, "keyboard")
    ui.until(lambda: ui.window.findChild(QWidget, "helpDialog") is not None)
    ui.desk.fail_with = None


# ----------------------------------------------------------------------------------------------------------- shortcuts


def test_the_page_of_shortcuts_names_every_key(ui):
    ui.qtbot.keyClick(ui.window, Qt.Key.Key_F1)
    dialog = ui.window.findChild(QWidget, "helpDialog")
    assert dialog is not None
    texts = {found.accessibleName() for found in dialog.findChildren(QLabel)}
    for page in (ui.associate, ui.jobs, ui.history, ui.settings):
        for command in page.commands():
            if command.keys:
                assert f"{', '.join(command.all_keys)}: {command.explains or command.text}" in texts
    assert {"Ctrl+K: Search, or run a command", "F1: Keyboard shortcuts and terms"} <= texts
    assert {"Ctrl+2, Ctrl+J: Go to Jobs", "Ctrl+Enter: Submit"} <= texts
    caps = [found.text() for found in dialog.findChildren(QLabel) if found.property("kind") == "key"]
    assert {"Ctrl+J", "Ctrl+,"} <= set(caps)
    ui.qtbot.keyClick(dialog, Qt.Key.Key_Escape)


# ------------------------------------------------------------------------------------------------------------- closing


def closing(ui: Ui) -> QWidget | None:
    return next((found for found in ui.window.findChildren(QWidget, "closingDialog") if found.isVisible()), None)


def close_with_a_job_at_work(ui: Ui) -> str:
    job = ui.desk.add_job("Fabrikam Water SA", range(1, 11))
    ui.until(lambda: ui.window._last is not None and ui.window._last.active_jobs == 1)
    ui.window.close()
    ui.until(lambda: closing(ui) is not None)
    assert ui.window.isVisible()
    return job.row.tracking_number


def test_closing_with_a_job_at_work_asks_and_enter_keeps_it_open(ui):
    number = close_with_a_job_at_work(ui)
    dialog = closing(ui)
    assert dialog is not None
    texts = [found.text() for found in dialog.findChildren(QLabel)]
    assert "1 job is running" in texts
    assert f"{number} · Fabrikam Water SA · 0 of 10 done" in texts
    ui.qtbot.keyClick(dialog, Qt.Key.Key_Return)
    ui.until(lambda: closing(ui) is None)
    assert ui.window.isVisible()
    assert not ui.desk.closed


def test_closing_now(ui):
    close_with_a_job_at_work(ui)
    ui.press("closeNowButton")
    ui.until(lambda: not ui.window.isVisible())


def test_closing_when_the_job_is_done(ui):
    number = close_with_a_job_at_work(ui)
    ui.press("closeLaterButton")
    ui.until(lambda: "closes when done" in ui.window.windowTitle())
    ui.idle()
    assert ui.window.isVisible()
    ui.desk.advance(number)
    ui.until(lambda: not ui.window.isVisible())


def test_closing_later_can_be_taken_back(ui):
    number = close_with_a_job_at_work(ui)
    ui.press("closeLaterButton")
    ui.press("toastAction")
    assert "closes when done" not in ui.window.windowTitle()
    ui.desk.advance(number)
    ui.until(lambda: ui.window.windowTitle() == "Device Association Desk")
    ui.idle()
    assert ui.window.isVisible()


def test_an_answer_on_its_way_does_not_close_what_is_kept_open(ui, monkeypatch):
    number = close_with_a_job_at_work(ui)
    jobs, asked, done = ui.desk.jobs, threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        asked.set()
        assert done.wait(LONG_S)
        return jobs(*args)

    monkeypatch.setattr(ui.desk, "jobs", slow)
    ui.press("closeLaterButton")
    ui.until(asked.is_set)
    ui.press("toastAction")
    ui.desk.advance(number)
    done.set()
    ui.idle()
    assert ui.window.isVisible()


def test_closing_again_is_not_lost_among_looks_whether_jobs_are_done(ui, monkeypatch):
    close_with_a_job_at_work(ui)
    ui.press("closeLaterButton")
    ui.until(lambda: closing(ui) is None)
    ui.idle()
    jobs, asked, answer = ui.desk.jobs, threading.Semaphore(0), threading.Event()

    def slow(*args: Any) -> Any:
        asked.release()
        assert answer.wait(LONG_S)
        return jobs(*args)

    monkeypatch.setattr(ui.desk, "jobs", slow)
    ui.window.close()
    ui.until(lambda: asked.acquire(blocking=False))
    ui.window._show_progress(ui.window._last)  # the job has got on meanwhile
    ui.until(lambda: asked.acquire(blocking=False))
    answer.set()
    ui.until(lambda: closing(ui) is not None)
    assert ui.window.isVisible()


def test_a_paused_job_does_not_keep_the_window_open(ui):
    job = ui.desk.add_job("Fabrikam Water SA", [1, 2])
    ui.desk.set_job(job.row.tracking_number, state=JobState.PAUSED)
    ui.until(lambda: ui.window._last is not None and ui.window._last.active_jobs == 1)
    ui.window.close()
    ui.until(lambda: not ui.window.isVisible())


def test_an_end_of_the_session_asks_nothing(ui):
    ui.desk.add_job("Fabrikam Water SA", [1, 2])
    ui.until(lambda: ui.window._last is not None and ui.window._last.active_jobs == 1)
    ui.window.allow_close()
    assert ui.window.close()


# --------------------------------------------------------------------------------------------------- title and task bar


class Button:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[ButtonState, int, int]] = []

    def show(self, state: ButtonState, done: int, total: int) -> None:
        self.shown.append((state, done, total))


def test_progress_stands_in_the_title(ui):
    job = ui.desk.add_job("Fabrikam Water SA", range(1, 11))
    ui.until(lambda: ui.window.windowTitle() == "0 % of 1 job · Device Association Desk")
    ui.desk.add_job("Contoso Energy GmbH", range(11, 21))
    ui.until(lambda: ui.window.windowTitle() == "0 % of 2 jobs · Device Association Desk")
    ui.desk.advance(job.row.tracking_number)
    ui.until(lambda: ui.window.windowTitle() == "0 % of 1 job · Device Association Desk")


def test_progress_stands_on_the_button_of_the_task_bar(qapp):
    button = Button()
    bar = Taskbar(lambda: 1, button)
    bar.show_jobs(0, 0, 0, 0)
    bar.show_jobs(1, 3, 10, 0)
    bar.show_jobs(1, 3, 10, 0)
    bar.show_jobs(1, 4, 10, 1)
    bar.show_jobs(0, 0, 0, 0)
    assert button.shown == [(ButtonState.NORMAL, 3, 10), (ButtonState.ERROR, 4, 10), (ButtonState.NONE, 0, 0)]


# ------------------------------------------------------------------------------------------------------- what is kept


def test_size_of_the_window_is_kept(qtbot, qapp, tmp_path):
    state = tmp_path / "window.ini"
    with opened(qtbot, qapp, FakeDesk(10), state) as ui:
        ui.window.resize(1100, 760)  # the screen of the tests is no higher than 800
        ui.idle()
    with opened(qtbot, qapp, FakeDesk(10), state) as ui:
        assert (ui.window.width(), ui.window.height()) == (1100, 760)


# ------------------------------------------------------------------------------------------------------ the one window


def test_a_second_window_asks_the_first_to_come_to_the_front(qtbot, qapp, tmp_path):
    first = SingleInstance(tmp_path, ["desk.db"])
    asked = []
    first.asked_for.connect(lambda: asked.append(1))
    assert first.take(0) is Place.MINE
    first.listen()
    code = _SECOND.format(folder=str(tmp_path), name="desk.db", wait=LONG_S)
    # asked once: this window may not answer at once, and then it would be asked again
    code = f"from desktop_app.ui import single_instance\nsingle_instance._ANSWER_MS = {1_000 * LONG_S:.0f}\n{code}"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as second:
        qtbot.waitUntil(lambda: second.poll() is not None)
        assert second.communicate()[0].strip() == "TAKEN"
    assert asked == [1]
    first.release()


def test_another_desk_has_a_window_of_its_own(qapp, tmp_path):
    first, other = SingleInstance(tmp_path, ["desk.db"]), SingleInstance(tmp_path, ["other.db"])
    assert first.take(0) is Place.MINE
    assert other.take(0) is Place.MINE
    first.release()
    other.release()


def test_a_killed_window_leaves_its_place(qapp, tmp_path):
    code = _SECOND.format(folder=str(tmp_path), name="desk.db", wait=0) + "\nimport sys; sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline().strip() == "MINE"
        mine = SingleInstance(tmp_path, ["desk.db"])
        assert mine.take(0) is Place.SILENT  # it does not run an event loop
        first.kill()
        first.wait()
    assert mine.take(5) is Place.MINE
    mine.release()


_SECOND = """
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from desktop_app.ui.single_instance import SingleInstance
app = QCoreApplication([])
instance = SingleInstance(Path({folder!r}), [{name!r}])
print(instance.take({wait}).name, flush=True)
"""


@pytest.mark.parametrize("page", [ASSOCIATE, JOBS, HISTORY])
def test_coming_to_the_front_keeps_the_page(ui, page):
    ui.window.show_page(page)
    ui.window.showMinimized()
    ui.window.show_in_front()
    assert not ui.window.isMinimized()
    assert ui.window.page(page).isVisible()
