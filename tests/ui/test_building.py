"""Pages are built in parts, between which the window answers; how long one takes is judged by what it makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QWidget

from desktop_app.ui import main_window
from desktop_app.ui.main_window import ASSOCIATE, JOBS, PAGES, SETTINGS
from desktop_app.ui.pages.jobs import JobsPage
from desktop_app.ui.theme import ThemeMode
from tests.ui.conftest import just_opened
from tests.ui.fake_desk import FakeDesk

#: Widgets that one part may make; the pages have 60 to 210 each.
MOST_WIDGETS = 50
#: How often a widget may be told of its style while its page is built, on average. What is filled before it is put in
#: its place tells all that stands in it each time that it gets another parent: five times and more.
MOST_STYLES = 2.5


class Seen(QObject):
    """Counts events of the whole application."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[QEvent.Type] = Counter()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.counts[event.type()] += 1
        return False


@pytest.fixture
def ui(qtbot, qapp, desk, monkeypatch):
    """The window before a part of a page is built: by the test, or by the window's timer when the test starts it."""
    interval = main_window.BUILD_MS
    monkeypatch.setattr(main_window, "BUILD_MS", 3_600_000)
    with just_opened(qtbot, qapp, desk) as it:
        it.window._build_timer.stop()
        it.window._build_timer.setInterval(interval)
        assert not it.window._begun
        yield it


def widgets(ui) -> int:
    return len(ui.window.findChildren(QWidget))


def test_no_part_makes_much(ui):
    parts, before = [], widgets(ui)
    while not set(PAGES) <= set(ui.window._pages):
        ui.window._build_next()
        after = widgets(ui)
        parts.append(after - before)
        before = after
    assert sum(parts) > 300
    assert max(parts) <= MOST_WIDGETS, parts


@pytest.mark.parametrize("key", PAGES)
def test_a_widget_is_styled_when_it_is_in_its_place(ui, qapp, key):
    seen, before = Seen(), widgets(ui)
    qapp.installEventFilter(seen)
    ui.window.page(key)
    qapp.removeEventFilter(seen)
    made = widgets(ui) - before
    assert made > 60
    assert seen.counts[QEvent.Type.StyleChange] / made < MOST_STYLES


def test_the_window_turns_its_event_loop_between_the_parts(ui):
    stages: set[int] = set()
    turn = QTimer(ui.window)
    turn.setInterval(0)
    turn.timeout.connect(lambda: stages.add(widgets(ui)))
    turn.start()
    ui.window._build_timer.start()
    ui.until(lambda: not ui.window._build_timer.isActive())
    turn.stop()
    assert set(PAGES) == set(ui.window._pages)
    assert len(stages) >= 12, sorted(stages)


@pytest.mark.parametrize("parts", [0, 1, 3])
@pytest.mark.parametrize("key", PAGES)
def test_a_page_that_is_wanted_early_is_whole(ui, key, parts):
    for _ in range(parts):
        ui.window._build_part(key)
    ui.window.show_page(key)
    assert ui.window._page_in_sight() is ui.window.page(key)
    ui.window._build_timer.start()
    ui.until(lambda: not ui.window._build_timer.isActive())
    assert next(iter(ui.window._pages)) == key
    assert ui.window._page_in_sight() is ui.window.page(key)
    ui.until(lambda: ui.associate.list.model.row_total() == ui.desk.count)
    ui.idle()


def test_a_page_that_cannot_be_built_is_not_tried_without_end(qtbot, qapp, monkeypatch):
    tries = []

    def build(self):
        yield
        tries.append(self)
        raise RuntimeError

    monkeypatch.setattr(JobsPage, "build", build)
    with qtbot.captureExceptions() as caught, just_opened(qtbot, qapp, FakeDesk(20)) as ui:
        ui.until(lambda: caught)
        ui.qtbot.wait(50)
        assert len(tries) == len(caught) == 1
        assert ui.window._page_in_sight() is ui.associate


def test_what_changes_while_a_page_is_built_is_not_missed(ui):
    ui.window._build_part(ASSOCIATE)
    ui.window._build_part(JOBS)
    changes = replace(ui.desk.changes(), devices_changed=True)
    ui.window._take_changes(changes)
    assert ui.associate._reload_timer.isActive()


def test_a_look_that_is_chosen_while_the_settings_are_built_is_shown_there(ui):
    ui.window._build_part(SETTINGS)
    ui.window._theme_picked(ThemeMode.DARK)
    assert ui.settings.themes.on() == (ThemeMode.DARK,)
    ui.window._theme_picked(ThemeMode.LIGHT)
