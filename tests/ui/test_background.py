"""The one door to the background."""

from __future__ import annotations

import sys
import threading

import pytest
from PySide6.QtCore import QObject

from desktop_app.association.errors import Cancelled
from desktop_app.ui.background import Background, Lane
from tests.ui.conftest import LONG_S, bury


class Answers:
    """What was delivered, and on which thread."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.failed: list[Exception] = []
        self.threads: set[threading.Thread] = set()

    def take(self, result: object) -> None:
        self.threads.add(threading.current_thread())
        self.done.append(result)

    def fail(self, error: Exception) -> None:
        self.threads.add(threading.current_thread())
        self.failed.append(error)


@pytest.fixture
def answers():
    return Answers()


def test_works_elsewhere_and_answers_here(qtbot, background, answers):
    background.run(lambda cancel: threading.current_thread(), done=answers.take, failed=answers.fail)
    qtbot.waitUntil(lambda: bool(answers.done))
    assert answers.done[0] is not threading.main_thread()
    assert answers.threads == {threading.main_thread()}
    assert background.pending == 0


def test_an_error_is_an_answer(qtbot, background, answers):
    background.run(lambda cancel: 1 / 0, done=answers.take, failed=answers.fail)
    qtbot.waitUntil(lambda: bool(answers.failed))
    assert isinstance(answers.failed[0], ZeroDivisionError)
    assert not answers.done
    assert answers.threads == {threading.main_thread()}


def test_the_newest_of_a_key_wins(qtbot, background, answers):
    gate, begun, cancelled = threading.Event(), threading.Event(), threading.Event()

    def old(cancel):
        begun.set()
        gate.wait(LONG_S)
        if cancel():
            cancelled.set()
        return "old"

    background.run(old, done=answers.take, failed=answers.fail, key="search")
    assert begun.wait(LONG_S)
    background.run(lambda cancel: "new", done=answers.take, failed=answers.fail, key="search")
    qtbot.waitUntil(lambda: bool(answers.done))
    gate.set()
    qtbot.waitUntil(lambda: background.pending == 0)
    assert cancelled.is_set()
    assert answers.done == ["new"]


def test_other_keys_do_not_disturb_each_other(qtbot, background, answers):
    for key in "abc":
        background.run(lambda cancel, key=key: key, done=answers.take, failed=answers.fail, key=key)
    qtbot.waitUntil(lambda: len(answers.done) == 3)
    assert sorted(map(str, answers.done)) == ["a", "b", "c"]


@pytest.mark.parametrize("how", ["call", "key", "owner"])
def test_nothing_is_delivered_after_a_cancel(qtbot, background, answers, how):
    gate, owner = threading.Event(), QObject()
    call = background.run(
        lambda cancel: gate.wait(LONG_S), done=answers.take, failed=answers.fail, key="k", owner=owner
    )
    {"call": call.cancel, "key": lambda: background.drop("k"), "owner": lambda: bury(owner)}[how]()
    gate.set()
    qtbot.waitUntil(lambda: background.pending == 0)
    assert not answers.done
    assert not answers.failed


def test_a_call_that_says_it_was_cancelled_is_silent(qtbot, background, answers):
    def work(cancel):
        raise Cancelled

    background.run(work, done=answers.take, failed=answers.fail)
    qtbot.waitUntil(lambda: background.pending == 0)
    assert not answers.done
    assert not answers.failed


def test_long_calls_leave_room_for_quick_ones(qtbot, background, answers):
    gate = threading.Event()
    for _ in range(20):
        background.run(lambda cancel: gate.wait(LONG_S), done=lambda _: None, failed=answers.fail, lane=Lane.LONG)
    background.run(lambda cancel: "quick", done=answers.take, failed=answers.fail)
    qtbot.waitUntil(lambda: answers.done == ["quick"])
    gate.set()
    qtbot.waitUntil(lambda: background.pending == 0)


def test_a_fault_of_the_window_is_reported_and_the_door_stays_open(qtbot, background, answers, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "excepthook", lambda *what: reported.append(what[0]))
    background.run(lambda cancel: 1, done=lambda _: 1 / 0, failed=answers.fail)
    background.run(lambda cancel: 2, done=answers.take, failed=answers.fail)
    qtbot.waitUntil(lambda: answers.done == [2] and bool(reported))
    assert reported == [ZeroDivisionError]


def test_closing_cancels_waits_and_delivers_nothing(qapp, answers):
    door = Background(qapp)
    before = set(threading.enumerate())
    begun, ended = threading.Event(), threading.Event()

    def work(cancel):
        begun.set()
        while not cancel():
            ended.wait(0.001)
        ended.set()

    door.run(work, done=answers.take, failed=answers.fail)
    waiting = [door.run(lambda cancel: 1, done=answers.take, failed=answers.fail) for _ in range(50)]
    assert begun.wait(LONG_S)
    door.close()
    door.close()
    qapp.processEvents()
    assert ended.is_set()
    assert all(call.dropped for call in waiting)
    assert not answers.done
    assert not answers.failed
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="closed"):
        door.run(lambda cancel: 1, done=answers.take, failed=answers.fail)


def test_it_is_idle_while_nothing_but_the_poll_is_under_way(qtbot, background, answers):
    poll, page = threading.Event(), threading.Event()
    assert background.is_idle(but="poll")
    background.run(lambda cancel: page.wait(LONG_S), done=answers.take, failed=answers.fail)
    assert not background.is_idle(but="poll")  # one call, and it is not the poll
    background.run(lambda cancel: poll.wait(LONG_S), done=answers.take, failed=answers.fail, key="poll")
    assert not background.is_idle(but="poll")
    page.set()
    qtbot.waitUntil(lambda: background.is_idle(but="poll"))
    assert answers.done == [True]
    assert background.pending == 1
    poll.set()
    qtbot.waitUntil(lambda: background.pending == 0)
    assert background.is_idle(but="poll")
