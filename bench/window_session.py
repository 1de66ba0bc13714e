"""A session at the real window over a real database: how often and how long it stops, and how it scrolls.

``python -m bench.window_session DATABASE JOB`` prints JSON. DATABASE is one of :mod:`bench.world`, JOB the number of
devices that are submitted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QPushButton

from bench.billing import BillingOfLatency, OneCompany
from bench.watchdog import Watchdog
from db.unit_of_work import Store
from desktop_app.bootstrap.database import os_user
from desktop_app.desk.administration import Installation
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import Desk
from desktop_app.desk.seat import Seat
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.qt_pool import QtPool
from desktop_app.ui.app import Program
from desktop_app.ui.bridge import POLL_KEY
from desktop_app.ui.interpreter import share_the_interpreter
from desktop_app.ui.main_window import ASSOCIATE, JOBS
from desktop_app.ui.pages.associate import AssociatePage
from desktop_app.ui.pages.associate.check_flow import CheckState

if TYPE_CHECKING:
    from array import array

    from desktop_app.ui.models.devices import DeviceTableModel
    from desktop_app.ui.pages.associate.device_view import DeviceTable

#: Digits from the middle of an identifier.
PART = "417"
LATENCY_S, WORKERS = 0.02, 32
LONGEST_WAIT_S = 300.0
FRAMES = 240


@dataclass
class Opened:
    """What the program opens."""

    desk: Desk
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a session told; seconds, and for ``gap_…`` see :class:`bench.watchdog.Gap`."""

    gap_s: float
    gap_held_s: float
    gap_phase: str
    gap_where: str
    first_rows_s: float
    all_listed_s: float
    prepared_s: float
    select_all_s: float
    search_s: float
    chip_s: float
    frame_p95_s: float
    frames: int


class Screen(QObject):
    """Tells which list of devices was painted last, with its first row."""

    def __init__(self, table: DeviceTable) -> None:
        super().__init__(table)
        self._model = table.devices()
        self._painted: array[int] | None = None
        table.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's
        if event.type() is QEvent.Type.Paint:
            has_rows = self._model.row_total() > 0 and self._model.row_at(0) is not None
            self._painted = self._model.ids if has_rows else None
        return False

    def shows_list(self) -> bool:
        """Whether what is listed now is on the screen."""
        return self._painted is self._model.ids


@contextmanager
def desk_at_work(store: Store) -> Iterator[Desk]:
    """A desk before the database, and an engine behind it that has its calls answered after :data:`LATENCY_S`."""
    company = OneCompany(BillingOfLatency(LATENCY_S))
    config = EngineConfig("desktop", timeout_s=10.0, settle_s=3.0, lease_s=60.0)
    engine = Engine(store, company, QtPool(WORKERS), config)
    shown = Installation("SANDBOX", "desk.db", "", {}, True, "1")
    engine.start()
    try:
        yield LocalDesk(Seat(store, os_user()), shown, billing=company, wake=engine.wake, close=lambda: None)
    finally:
        engine.stop()


class Session:
    """The session, step by step; each step is a phase of the watchdog."""

    def __init__(self, app: QApplication, program: Program, dog: Watchdog) -> None:
        self._app, self._program, self._dog = app, program, dog

    @property
    def page(self) -> AssociatePage:
        page = self._program.window.page(ASSOCIATE)
        assert isinstance(page, AssociatePage)
        return page

    @property
    def model(self) -> DeviceTableModel:
        return self.page.list.model

    def until(self, condition: Callable[[], object]) -> None:
        """Turns the event loop until the condition holds."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the window did not get on from: {self._dog.phase}")
            self._app.processEvents()
            time.sleep(0.0005)

    def rest(self, seconds: float = 0.3) -> None:
        """Lets what was begun end."""
        over = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > over and self._program.background.is_idle(but=POLL_KEY))

    def run(self, job: int) -> Told:
        """All of it."""
        phase = self._dog
        phase.phase = "open"
        self.until(self._program.window.rail.isEnabled)
        began = time.perf_counter()
        self.until(self._is_page_shown)  # asked for sooner it would be built in one go
        self.screen = Screen(self.page.list.table)
        self.until(self.screen.shows_list)
        first_rows_s = time.perf_counter() - began
        self.until(lambda: self.model.is_whole)
        all_listed_s = time.perf_counter() - began
        phase.phase = "prepare the search"
        self.until(lambda: self.page.list.facets is not None)
        self.until(lambda: "devices/prepare" not in self._program.background.keys)
        prepared_s = time.perf_counter() - began
        self.rest(1.0)
        everything = self.model.row_total()

        phase.phase = "search"
        search_s = self._search(PART, lambda: 0 < self.model.row_total() < everything)
        phase.phase = "clear search"
        self._search("", lambda: self.model.row_total() == everything)
        phase.phase = "filter by a chip"
        began = time.perf_counter()
        self._rarest_carrier().trigger()
        self.until(lambda: self.model.row_total() < everything and self.model.is_whole and self.screen.shows_list())
        chip_s = time.perf_counter() - began
        self.page.list._clear_chips()
        self.until(lambda: self.model.row_total() == everything)
        self.rest()

        phase.phase = "select all"
        began = time.perf_counter()
        self.model.check_all_listed()
        select_all_s = time.perf_counter() - began
        self.rest()
        phase.phase = "check everything"
        self._choose_customer()
        self.until(lambda: self.page.flow.state is CheckState.FRESH)
        self.rest()
        phase.phase = "clear selection"
        self.model.uncheck_everything()
        self.rest()

        phase.phase = "select and check"
        self.model.set_checked(0, job - 1, True)
        self.page.request.billing_check.setChecked(True)
        self.until(lambda: self.page.flow.state is CheckState.FRESH)
        phase.phase = "submit"
        self._submit()
        self.until(lambda: "submitted" in self.page.list.info.texts()[0])
        phase.phase = "scroll while the job runs"
        frames = self._scroll()
        phase.phase = "watch"
        self._program.window.show_page(JOBS)
        self.rest(2.0)
        worst = phase.worst()
        return Told(
            worst.seconds, worst.held_s, worst.phase, worst.where, first_rows_s, all_listed_s, prepared_s,
            select_all_s, search_s, chip_s, quantiles(frames, n=20)[-1], len(frames),
        )  # fmt: skip

    def _search(self, text: str, found: Callable[[], bool]) -> float:
        """Types it; seconds from the end of the debounce until list and first page are there."""
        field = self.page.list.search
        field.setFocus()
        field.setText(text)
        began = time.perf_counter() + self.page.list._timer.interval() / 1000
        self.until(lambda: found() and self.model.is_whole and self.screen.shows_list())
        taken = time.perf_counter() - began
        self.rest()
        return taken

    def _is_page_shown(self) -> bool:
        page = self._program.window.findChild(AssociatePage)
        return page is not None and page.isVisible()

    def _rarest_carrier(self) -> QAction:
        facets = self.page.list.facets
        assert facets is not None
        counts = facets.by_service_provider
        return self.page.list._carrier_menu.actions()[sorted(counts).index(min(counts, key=counts.__getitem__))]

    def _choose_customer(self) -> None:
        combo = self.page.request.customer_combo
        self._program.window.activateWindow()
        combo.setFocus()
        QTest.keyClicks(combo, "nor")
        QTest.keyClick(combo, Qt.Key.Key_Return)
        self.until(lambda: self.page.request.customer is not None)

    def _submit(self) -> None:
        self.until(self.page.submit_button.isEnabled)
        self.page.submit()
        self.until(lambda: self.page.flow.is_submitting or self._confirmation() is not None)
        dialog = self._confirmation()
        if dialog is not None:
            yes = [one for one in dialog.findChildren(QPushButton) if one.text().startswith("Submit")]
            yes[0].click()

    def _confirmation(self) -> QDialog | None:
        shown = self._program.window.findChildren(QDialog, "confirmDialog")
        return shown[0] if shown and shown[0].isVisible() else None

    def _scroll(self) -> list[float]:
        """Seconds of each frame: the list scrolled by three rows and painted."""
        bar, viewport = self.page.list.table.verticalScrollBar(), self.page.list.table.viewport()
        frames = []
        for number in range(FRAMES):
            began = time.perf_counter()
            bar.setValue(number * 3)
            viewport.repaint()
            self._app.processEvents()
            frames.append(time.perf_counter() - began)
            over = began + 0.016
            self.until(lambda over=over: time.perf_counter() > over)  # type: ignore[misc]
        return frames


def session(app: QApplication, store: Store, job: int) -> tuple[Told, Watchdog]:
    """Opens the window over the database, goes through the session, and closes it."""

    @contextmanager
    def opening() -> Iterator[Opened]:
        with desk_at_work(store) as desk:
            yield Opened(desk)

    program = Program(app, opening)
    dog = Watchdog(app)
    try:
        dog.phase = "open"
        with dog:
            program.show()
            program.open()
            told = Session(app, program, dog).run(job)
    finally:
        program.window.close_now()
        program.close()
        for thing in (program.window, program.theme):
            thing.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    return told, dog


def main(path: Path, job: int) -> dict[str, object]:
    """The session on a database of its own; what it told, and the worst stop of each phase."""
    app = QApplication(sys.argv[:1])
    share_the_interpreter()
    with Store(f"sqlite:///{path}") as store:
        told, dog = session(app, store, job)
    phases = dict.fromkeys(gap.phase for gap in dog.gaps)
    worst = {phase: [round(1000 * getattr(dog.worst(phase), one)) for one in ("seconds", "held_s")] for phase in phases}
    where = {phase: dog.worst(phase).where for phase in phases}
    return {**{name: getattr(told, name) for name in Told.__dataclass_fields__}, "phases_ms": worst, "where": where}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
