"""Takes pictures of every page and state of the window, light and dark, in two sizes or scaled, without a screen.

Most of what is on them is real: a demo database, the billing sandbox, jobs. States that cannot be had at will (a job in
the middle, a database that is gone) come from the desk in memory that the tests use. With ``--guide`` the pictures of
the guide (light, 1440×900) are also put into docs/images.

    python scripts/screenshots.py [FOLDER] [--guide] [--scale 1.5] [--devices 20000] [--only PART-OF-A-NAME]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QCoreApplication, QEvent, QPoint, Qt  # noqa: E402
from PySide6.QtGui import QGuiApplication  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWidgets import QApplication, QDialog, QPushButton, QTabWidget, QWidget  # noqa: E402

from desktop_app.association.errors import EnvironmentFault  # noqa: E402
from desktop_app.association.states import JobState, WorkOrderState  # noqa: E402
from desktop_app.bootstrap import database, demonstration  # noqa: E402
from desktop_app.bootstrap.desk import open_desk  # noqa: E402
from desktop_app.bootstrap.machine import LocalMachine  # noqa: E402
from desktop_app.desk.machine import Machine  # noqa: E402
from desktop_app.desk.protocol import Desk  # noqa: E402
from desktop_app.settings import load  # noqa: E402
from desktop_app.ui.app import Opened, Program  # noqa: E402
from desktop_app.ui.bridge import POLL_KEY  # noqa: E402
from desktop_app.ui.main_window import ASSOCIATE, HISTORY, JOBS, SETTINGS  # noqa: E402
from desktop_app.ui.pages.associate import AssociatePage  # noqa: E402
from desktop_app.ui.pages.associate.check_flow import CheckState  # noqa: E402
from desktop_app.ui.pages.history import HistoryPage  # noqa: E402
from desktop_app.ui.pages.jobs import JobsPage  # noqa: E402
from desktop_app.ui.theme import ThemeMode  # noqa: E402
from tests.ui.fake_desk import FakeDesk  # noqa: E402
from tests.ui.fake_machine import FakeMachine  # noqa: E402
from tests.ui.views import LONG_TROUBLE, desk_with_jobs, use_server  # noqa: E402

SIZES = ((1440, 900), (1100, 700))
#: A laptop's screen of 1920 × 1200 at 150 %.
SCALED_SIZES = ((1280, 800),)
MODES = (ThemeMode.LIGHT, ThemeMode.DARK)
LONGEST_WAIT_S = 120.0
#: Pictures that the guide shows.
GUIDE = ("associate-pasted", "associate-options", "jobs-with-failures", "jobs-device", "history-by-device", "settings")


class Studio:
    """A window that is open, and the pictures taken of it."""

    def __init__(
        self,
        app: QApplication,
        out: Path,
        only: str,
        opening: Callable[[], AbstractContextManager[Opened]],
        machine: Machine | None = None,
    ):
        self._app, self._out, self._only = app, out, only
        self._sizes = SIZES if app.devicePixelRatio() == 1 else SCALED_SIZES
        self.taken = 0
        self.program = Program(app, opening, machine=machine)
        self.window = self.program.window

    def __enter__(self) -> Studio:
        self.window.show()
        self.program.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.window.close_now()
        self.program.close()
        for thing in (self.window, self.program.theme):
            thing.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    def until(self, condition: Callable[[], object]) -> None:
        """Waits, with the window alive, until the condition holds."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("The window did not come to the state that was to be shown.")
            self._app.processEvents()
            time.sleep(0.002)

    def rest(self, seconds: float = 0.35) -> None:
        """Lets the window come to rest."""
        deadline = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > deadline and self.program.background.is_idle(but=POLL_KEY))

    def picture(self, name: str, dialog: QWidget | None = None) -> None:
        """Takes the state in every theme and size, or a dialog in every theme."""
        if self._only not in name:
            return
        for mode in MODES:
            self.window._theme_picked(mode)
            for width, height in self._sizes if dialog is None else self._sizes[:1]:
                self.window.resize(width, height)
                self.rest()
                shown = (dialog or self.window).grab()
                kind = "dialog" if dialog is not None else f"{width}x{height}"
                shown.save(str(self._out / f"{name}-{mode}-{kind}.png"))
                self.taken += 1
        self.program.theme.set_mode(ThemeMode.LIGHT)
        self.window.resize(*self._sizes[0])
        self.rest()

    def dialog(self, name: str) -> QDialog:
        """The open dialog of that object name."""
        self.until(lambda: self.window.findChildren(QDialog, name))
        found = self.window.findChildren(QDialog, name)[0]
        self.rest()
        return found

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

    def focus(self, widget: QWidget) -> None:
        """Gives the focus to a widget, in a window that is active."""
        self.window.activateWindow()
        self.until(self.window.isActiveWindow)
        widget.setFocus()

    def choose_customer(self, text: str) -> None:
        """Types into the customer box and picks the first."""
        combo = self.associate.request.customer_combo
        self.focus(combo)
        QTest.keyClicks(combo, text)
        QTest.keyClick(combo, Qt.Key.Key_Return)
        self.until(lambda: self.associate.request.customer is not None)

    def until_checked(self) -> None:
        """Waits for the check's answer."""
        self.until(lambda: self.associate.flow.state in {CheckState.FRESH, CheckState.FAILED})
        self.rest()


# ------------------------------------------------------------------------------------------------- on the demo database


def demo_pictures(studio: Studio, opened: Callable[[], Opened]) -> None:
    """The main job from the first picture to the history, on real data."""
    page = studio.associate
    model = page.list.model
    studio.until(lambda: model.row_total() > 0)
    studio.rest(1.0)
    studio.picture("associate-start")

    combo = page.request.customer_combo
    studio.focus(combo)
    QTest.keyClicks(combo, "fleet")
    studio.until(lambda: combo.list_view().isVisible())
    studio.rest()
    if not studio._only or studio._only in "associate-popup":
        for mode in MODES:
            studio.program.theme.set_mode(mode)
            studio.rest()
            studio.window.grab().save(str(studio._out / f"associate-popup-{mode}-1440x900.png"))
            studio.taken += 1
        studio.program.theme.set_mode(ThemeMode.LIGHT)
    QTest.keyClick(combo, Qt.Key.Key_Escape)
    combo.clearEditText()

    page.list.search.setText("8944 0000 77")
    page.list.chips.chip("active").click()
    page.list.chips.chip("unowned").click()
    studio.until(lambda: model.row_total() == 0)
    studio.rest()
    studio.picture("associate-nomatch")
    page.list.search.clear()
    page.list._clear_chips()
    studio.until(lambda: model.row_total() > 0)

    job = demonstration.pick_demo_job(opened(), 37, 0.1)  # type: ignore[arg-type]
    lines = list(job.request.devices.lines)  # type: ignore[union-attr]
    desk: Desk = opened().desk
    customer = job.request.customer
    assert isinstance(customer, str)
    QGuiApplication.clipboard().setText("\n".join([*lines, "8944000000000000077", lines[0], "rubbish"]))
    page.paste()
    dialog = studio.dialog("pasteDialog")
    studio.picture("paste-dialog", dialog)
    dialog.findChild(QWidget, "pasteFind").click()  # type: ignore[union-attr]
    studio.until(lambda: len(model.checks) > 0)
    studio.choose_customer(customer)
    page.request.billing_check.setChecked(True)
    studio.until_checked()
    studio.picture("associate-pasted")
    page.list.info.findChild(QWidget, "showLinesButton").click()  # type: ignore[union-attr]
    dialog = studio.dialog("linesDialog")
    studio.picture("lines-dialog", dialog)
    dialog.accept()

    page.list.info.hide()
    page.list.show_all()
    page.request.carrier_check.setChecked(True)
    page.request.customer_check.setChecked(True)
    studio.rest()
    for plans in page.request._carrier_plans._combos.values():
        places = [plans.findData(choice.plan) for choice in job.request.carrier_rate_plans]
        plans.setCurrentIndex(max([*places, 0]))
    plan = page.request.customer_plan_combo
    plan.setCurrentIndex(max(0, plan.findData(job.request.customer_rate_plan)))
    studio.until_checked()
    studio.picture("associate-options")

    page.submit()
    studio.until(lambda: "submitted" in page.list.info.texts()[0])
    studio.rest()
    studio.picture("associate-submitted")
    page.list.info.hide()

    number = desk.jobs()[0].tracking_number
    studio.window.show_job(number)
    studio.until(lambda: desk.job(number).job.finished_at is not None)
    studio.rest(1.0)
    studio.window.toast.hide()
    studio.picture("jobs-finished")
    failed = next((row for row in desk.jobs() if row.counts.failed), None)
    if failed is not None:
        studio.window.show_job(failed.tracking_number)
        studio.rest(0.8)
        studio.picture("jobs-with-failures")
    studio.window.show_job(number)
    studio.rest(0.8)
    studio.jobs.detail.chips.chip("done").click()
    studio.rest()
    studio.jobs.detail.device_opened.emit(desk.work_orders(number, (WorkOrderState.SUCCEEDED,), limit=1)[0].line)
    studio.until(studio.jobs.device.isVisible)
    studio.rest()
    studio.picture("jobs-device")

    studio.window.show_page(HISTORY)
    studio.rest(0.6)
    studio.history.period.setCurrentIndex(3)
    studio.rest(0.6)
    studio.picture("history-by-job")
    studio.history.chips.chip("device").click()
    studio.history.search.setText(desk.work_orders(number, (WorkOrderState.SUCCEEDED,), limit=1)[0].iccid)
    studio.rest(0.8)
    studio.picture("history-by-device")
    studio.history.search.setText("8944000077")
    studio.rest(0.8)
    studio.picture("history-empty")
    studio.window.show_page(SETTINGS)
    studio.rest(0.6)
    studio.picture("settings")

    studio.window.show_page(ASSOCIATE)
    page._open_device(model.device_at(3))
    studio.picture("device-record", studio.dialog("deviceRecordDialog"))
    studio.dialog("deviceRecordDialog").accept()


# ------------------------------------------------------------------------------------ states that cannot be had at will


@dataclass
class Memory:
    """The desk in memory, opened."""

    desk: Desk
    notices: tuple[str, ...] = ()


def list_pictures(studio: Studio) -> None:
    """The choice of columns, carriers and states, and the calendar."""
    page = studio.associate
    for name in ("columnsButton", "carrierFilterButton", "statusFilterButton"):
        button = studio.window.findChild(QPushButton, name)
        assert button is not None
        menu = button.menu()
        menu.popup(studio.window.mapToGlobal(QPoint(200, 120)))
        studio.picture(f"menu-{name.removesuffix('Button')}", menu)
        menu.close()
    page.request.on_date_radio.setChecked(True)
    edit = page.request.date_edit
    QTest.mouseClick(edit, Qt.MouseButton.LeftButton, pos=QPoint(edit.width() - 12, edit.height() // 2))
    studio.until(edit.calendarWidget().isVisible)
    studio.picture("calendar", edit.calendarWidget())
    edit.calendarWidget().window().close()
    page.request.on_activation_radio.setChecked(True)


def window_pictures(studio: Studio) -> None:
    """What belongs to no page: the command box, the page of shortcuts, the question before closing."""
    box = studio.window.commands
    for name, text in (("command-box", ""), ("command-box-found", "fleet")):
        studio.focus(box)
        box.begin()
        QTest.keyClicks(box, text)
        studio.until(lambda: box.list_view().isVisible())
        studio.picture(name, box.window())
        box.clearEditText()
        QTest.keyClick(box, Qt.Key.Key_Escape)
        QTest.keyClick(box, Qt.Key.Key_Escape)
    studio.window.show_help()
    dialog = studio.dialog("helpDialog")
    studio.picture("help-shortcuts", dialog)
    tabs = dialog.findChild(QTabWidget, "helpTabs")
    assert tabs is not None
    tabs.setCurrentIndex(1)
    studio.picture("help-terms", dialog)
    dialog.reject()
    settings_pictures(studio)
    studio.window.close()
    dialog = studio.dialog("closingDialog")
    studio.picture("closing-dialog", dialog)
    dialog.reject()


def settings_pictures(studio: Studio) -> None:
    """Settings that can be changed, a secret that is missing, and a connection that does not work."""
    studio.window.show_page(SETTINGS)
    studio.rest(0.6)
    studio.window.findChild(QPushButton, "testBillingButton").click()  # type: ignore[union-attr]
    studio.rest()
    studio.picture("settings-production")
    studio.window.findChild(QPushButton, "changeDatabaseButton").click()  # type: ignore[union-attr]
    dialog = studio.dialog("connectionDialog")
    dialog.findChild(QPushButton, "testConnectionButton").click()  # type: ignore[union-attr]
    studio.rest()
    studio.picture("connection-dialog", dialog)
    dialog.reject()
    store = next(one for one in studio.window.findChildren(QPushButton) if one.text() == "Store secret…")
    store.click()
    dialog = studio.dialog("credentialDialog")
    studio.picture("credential-dialog", dialog)
    dialog.reject()
    studio.window.show_page(ASSOCIATE)


def memory_machine() -> FakeMachine:
    """A machine of a department, whose server does not answer."""
    machine = FakeMachine()
    use_server(machine)
    return machine


def memory_pictures(studio: Studio, desk: FakeDesk) -> None:
    """Jobs in the middle, a confirmation, and a desk that is gone."""
    page = studio.associate
    studio.until(lambda: page.list.model.row_total() == desk.count)
    studio.rest(0.6)
    list_pictures(studio)
    window_pictures(studio)
    running = next(number for number, job in desk.jobs_by_number.items() if job.row.counts.running)
    studio.window.show_job(running)
    studio.rest(0.8)
    for _ in range(3):  # so that there is a speed
        desk.set_orders(running, {WorkOrderState.SUCCEEDED: 12})
        studio.rest(1.2)
    studio.picture("jobs-running")
    paused = next(number for number, job in desk.jobs_by_number.items() if job.row.state is JobState.PAUSED)
    studio.window.show_job(paused)
    studio.rest(0.8)
    studio.picture("jobs-paused")
    undecided = next(number for number, job in desk.jobs_by_number.items() if job.row.undecided)
    studio.window.show_job(undecided)
    studio.rest(0.8)
    studio.picture("jobs-undecided")
    studio.jobs.detail.resolve()
    dialog = studio.dialog("resolveDialog")
    studio.picture("resolve-dialog", dialog)
    dialog.reject()
    studio.window.show_job(next(iter(desk.notifications)))
    studio.rest(0.8)
    studio.picture("jobs-not-notified")
    studio.window.show_page(ASSOCIATE)
    page.list.model.check_all_listed()
    studio.choose_customer("northw")
    studio.until_checked()
    studio.picture("associate-all")
    page.submit()
    dialog = studio.dialog("confirmDialog")
    studio.picture("confirm-dialog", dialog)
    dialog.reject()
    page.list.model.uncheck_everything()
    desk.fail_with = EnvironmentFault(
        "DATABASE_UNREACHABLE", "The database cannot be reached.", "Look at the network; it goes on by itself."
    )
    studio.until(lambda: studio.window.toast.isVisible())
    studio.rest()
    studio.picture("connection-lost")
    desk.fail_with = None


def trouble_pictures(studio: Studio) -> None:
    """A database that cannot be opened."""
    studio.until(lambda: studio.window._again.isVisible())
    studio.picture("database-trouble")


@contextmanager
def refuse() -> Iterator[Opened]:
    """Opens nothing."""
    if not Path("/").is_file():
        raise LONG_TROUBLE
    yield Memory(FakeDesk(1))


def main() -> int:
    """Takes the pictures; ends with 0 when all were taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "screenshots")
    parser.add_argument("--guide", action="store_true", help="put the pictures of the guide into docs/images")
    parser.add_argument("--scale", default="1", help="1.5 is a screen at 150 %%; the window has one size then")
    parser.add_argument("--devices", type=int, default=20_000)
    parser.add_argument("--only", default="", help="take only pictures whose name holds this")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ["QT_SCALE_FACTOR"] = given.scale  # Qt reads it when it starts
    app = QApplication(sys.argv[:1])
    folder = Path(tempfile.mkdtemp(prefix="desk-screenshots-"))
    taken = 0
    box: list[Opened] = []

    @contextmanager
    def open_demo() -> Iterator[Opened]:
        with open_desk(settings, engine="desktop") as opened:
            opened.start_engine()
            box.append(opened)
            yield opened
            demonstration.stop_sandbox(opened)

    @contextmanager
    def open_memory() -> Iterator[Opened]:
        yield Memory(desk)

    try:
        settings = demonstration.demo_settings(load({}), folder)
        database.make_demo_data(settings, given.devices)
        with Studio(app, given.folder, given.only, open_demo, LocalMachine({"data_dir": folder})) as studio:
            studio.until(lambda: bool(box) and studio.window.rail.isEnabled())
            demo_pictures(studio, lambda: box[0])
            taken += studio.taken
        desk = desk_with_jobs()
        with Studio(app, given.folder, given.only, open_memory, memory_machine()) as studio:
            studio.until(studio.window.rail.isEnabled)
            memory_pictures(studio, desk)
            taken += studio.taken
        with Studio(app, given.folder, given.only, refuse, memory_machine()) as studio:
            trouble_pictures(studio)
            taken += studio.taken
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if given.guide:
        images = ROOT / "docs" / "images"
        images.mkdir(parents=True, exist_ok=True)
        for name in GUIDE:
            shutil.copyfile(given.folder / f"{name}-light-1440x900.png", images / f"{name}.png")
    print(f"{taken} pictures in {given.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
