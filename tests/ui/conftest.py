"""The real window over a desk in memory, driven by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from desktop_app.desk.protocol import Desk
from desktop_app.ui.app import Program
from desktop_app.ui.background import Background
from desktop_app.ui.bridge import POLL_KEY
from desktop_app.ui.main_window import ASSOCIATE, HISTORY, JOBS, SETTINGS, MainWindow
from desktop_app.ui.pages.associate import AssociatePage
from desktop_app.ui.pages.associate.check_flow import CheckState
from desktop_app.ui.pages.history import HistoryPage
from desktop_app.ui.pages.jobs import JobsPage
from desktop_app.ui.pages.settings import SettingsPage
from desktop_app.ui.theme import Theme, ThemeMode
from desktop_app.ui.widgets import toast
from tests.ui.fake_desk import FakeDesk
from tests.ui.fake_machine import FakeMachine

W = TypeVar("W", bound=QObject)

#: Seconds that a test waits for what comes at once where nobody disturbs; a process may stand still for many of them.
LONG_S = 60.0
_LONG_MS = int(1_000 * LONG_S)
#: Turns of the event loop after which nothing that follows from what was done is left to be done: laying out, painting,
#: asking for what was painted, each a turn after the other.
_TURNS = 10
#: Calls whose answers fill in the request: it is checked again when they come.
_FILL_IN = ("providers", "sites", "customer_plans", "carrier_plans/")


class PatientBot(QtBot):
    """Waits long, and turns the event loop often even if its time is over at the first turn."""

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = _LONG_MS) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: Any, *, timeout: int = _LONG_MS, **how: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **how)

    def waitExposed(self, widget: QWidget, *, timeout: int = _LONG_MS) -> Any:
        return super().waitExposed(widget, timeout=timeout)

    def wait(self, ms: int) -> None:
        super().wait(ms)
        for _ in range(_TURNS):
            QApplication.processEvents()


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> QtBot:
    """pytest-qt's, patient."""
    return PatientBot(request)


@pytest.fixture(autouse=True)
def toasts_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is there until a test looks at it, however late that is."""
    monkeypatch.setattr(toast, "SHOWN_MS", 3_600_000)


@dataclass
class OpenedDesk:
    """What opening gives."""

    desk: Desk
    notices: tuple[str, ...] = ()


def bury(*objects: QObject) -> None:
    """Deletes objects of Qt now, so that none of them lives into the next test."""
    for thing in objects:
        thing.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


class Ui:
    """A window that is open, and what a test does with it."""

    def __init__(self, qtbot: QtBot, desk: FakeDesk, program: Program, machine: FakeMachine | None = None) -> None:
        self.qtbot, self.desk, self.program = qtbot, desk, program
        self.machine = machine or FakeMachine()

    @property
    def window(self) -> MainWindow:
        return self.program.window

    @property
    def associate(self) -> AssociatePage:
        page = self.window.page(ASSOCIATE)
        assert isinstance(page, AssociatePage)
        return page

    @property
    def jobs(self) -> JobsPage:
        page = self.window.page(JOBS)
        assert isinstance(page, JobsPage)
        return page

    @property
    def history(self) -> HistoryPage:
        page = self.window.page(HISTORY)
        assert isinstance(page, HistoryPage)
        return page

    @property
    def settings(self) -> SettingsPage:
        page = self.window.page(SETTINGS)
        assert isinstance(page, SettingsPage)
        return page

    def find(self, kind: type[W], name: str) -> W:
        """The one widget of that object name."""
        found = list(self.window.findChildren(kind, name))
        assert len(found) == 1, f"{len(found)} of {name}"
        return found[0]

    def until(self, condition: Callable[[], object]) -> None:
        """Waits until the condition holds."""
        self.qtbot.waitUntil(lambda: bool(condition()))

    def idle(self) -> None:
        """Waits until nothing is asked of the desk but for the poll, and no answer leads to another question."""
        self.until(self._stays_idle)

    def _stays_idle(self) -> bool:
        for _ in range(_TURNS):
            QApplication.processEvents()
            if not self.program.background.is_idle(but=POLL_KEY):
                return False
        return True

    def click(self, widget: QWidget) -> None:
        """A press of the left mouse button."""
        assert widget.isVisible(), widget.objectName()
        assert widget.isEnabled(), widget.objectName()
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)

    def press(self, name: str) -> None:
        """A click on the one widget of that object name, as soon as it is there, and one before it is gone."""
        self.until(lambda: [one.isVisible() for one in self.window.findChildren(QWidget, name)] == [True])
        self.click(self.find(QWidget, name))

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """A key for whatever has the focus."""
        focus = QApplication.focusWidget()
        assert focus is not None
        self.qtbot.keyClick(focus, key, modifier)

    def type(self, text: str) -> None:
        """Keys for whatever has the focus."""
        focus = QApplication.focusWidget()
        assert focus is not None
        self.qtbot.keyClicks(focus, text)

    def toast(self) -> str:
        """The message over the window; "" if there is none."""
        return self.window.toast.text() if self.window.toast.isVisible() else ""

    # --- what most tests begin with -----------------------------------------------------------------------------------

    def check_rows(self, *rows: int) -> None:
        """Checks the devices in these rows with the mouse."""
        table = self.associate.list.table
        for row in rows:
            index = self.associate.list.model.index(row, 0)
            table.scrollTo(index)
            at = table.visualRect(index).center()
            self.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)

    def choose_customer(self, text: str = "northw") -> None:
        """Types into the customer box and picks the first."""
        self.window.activateWindow()
        self.until(self.window.isActiveWindow)
        self.associate.request.customer_combo.setFocus()
        self.type(text)
        self.key(Qt.Key.Key_Return)
        self.until(lambda: self.associate.request.customer is not None and self._is_filled_in())

    def until_checked(self) -> None:
        """Waits for the check's answer, where nothing is on its way that makes the request another one."""
        self.until(lambda: self.associate.flow.state is CheckState.FRESH and self._is_filled_in())

    def _is_filled_in(self) -> bool:
        return not any(key.startswith(_FILL_IN) for key in self.program.background.keys)


@contextmanager
def just_opened(qtbot: QtBot, qapp: QApplication, desk: FakeDesk, state_file: Path | None = None) -> Iterator[Ui]:
    """The window over this desk as soon as that is open: its pages are being built. It is closed in the end in the
    order that the program keeps."""

    @contextmanager
    def open_desk() -> Iterator[OpenedDesk]:
        yield OpenedDesk(desk)
        desk.close()

    machine = FakeMachine()
    program = Program(qapp, open_desk, state_file, machine)
    if state_file is None:
        program.theme.set_mode(ThemeMode.LIGHT)
    ui = Ui(qtbot, desk, program, machine)
    try:
        with qtbot.waitExposed(program.window):
            program.window.show()
        program.window.activateWindow()
        program.open()
        ui.until(lambda: program.window.rail.isEnabled())
        yield ui
    finally:
        program.window.close_now()
        program.close()
        bury(program.window, program.theme)


@contextmanager
def opened(qtbot: QtBot, qapp: QApplication, desk: FakeDesk, state_file: Path | None = None) -> Iterator[Ui]:
    """The same when everything is there."""
    with just_opened(qtbot, qapp, desk, state_file) as ui:
        ui.until(lambda: ui.associate.list.model.row_total() == desk.count)
        ui.until(lambda: ui.associate.list.chips.chip("all").text() != "All")  # counted behind the first rows
        ui.until(lambda: not ui.window._build_timer.isActive())
        ui.until(lambda: ui.window._last is not None)  # the first poll was answered
        ui.idle()
        yield ui


@pytest.fixture
def desk() -> FakeDesk:
    """2,000 devices, no job."""
    return FakeDesk()


@pytest.fixture
def ui(qtbot: QtBot, qapp: QApplication, desk: FakeDesk) -> Iterator[Ui]:
    """The window over ``desk``."""
    with opened(qtbot, qapp, desk) as it:
        yield it


@pytest.fixture
def background(qapp: QApplication) -> Iterator[Background]:
    """The door to the background, closed in the end."""
    door = Background(qapp)
    yield door
    door.close()


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    """The look, light."""
    look = Theme(qapp, ThemeMode.LIGHT)
    yield look
    look.set_mode(ThemeMode.LIGHT)
    bury(look)
