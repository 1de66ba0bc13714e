"""The window: nav rail, header, pages, status bar. It opens at once and fills when the desk is there.

It comes in three steps, each painted before the next is imported: the empty window, what stands around the pages
(:meth:`MainWindow.build`), and what a person can do with it (:meth:`MainWindow.furnish`). PySide makes the enumerations
of a class when its name is first used, and those of ``Qt`` take a fifth of the time of a bare window: nothing that the
first step imports or calls may use them (``tests/ui/test_first_window.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QMainWindow

if TYPE_CHECKING:
    from PySide6.QtCore import QSettings
    from PySide6.QtWidgets import QHBoxLayout

    from desktop_app.desk.machine import Machine
    from desktop_app.desk.protocol import (
        Capabilities,
        Changes,
        CustomerRow,
        Desk,
        DeviceRow,
        JobRow,
        RequestDraft,
    )
    from desktop_app.ui.background import Background
    from desktop_app.ui.bridge import Bridge
    from desktop_app.ui.command_box import CommandBox
    from desktop_app.ui.commands import Command
    from desktop_app.ui.context import Context
    from desktop_app.ui.pages.page import Page
    from desktop_app.ui.taskbar import Taskbar
    from desktop_app.ui.theme import Theme, ThemeMode
    from desktop_app.ui.widgets.nav_rail import NavRail
    from desktop_app.ui.widgets.toast import Toast

ASSOCIATE, JOBS, HISTORY, SETTINGS = "associate", "jobs", "history", "settings"
PAGES = (ASSOCIATE, JOBS, HISTORY, SETTINGS)
DEFAULT_SIZE, LEAST_SIZE = (1440, 900), (1100, 700)
#: Between two parts of a page that is built the window answers; so long, in milliseconds, if nothing is waiting.
BUILD_MS = 2
#: Which jobs are at work is asked where a person closes the window, and where it closes when they are done: neither
#: replaces the other.
_CLOSE_KEY, _LOOK_KEY = "closing", "closing/look"


class MainWindow(QMainWindow):
    """The window.

    Attributes:
        restarts: the program is to start again when the window is closed.

    Signals:
        try_again(): the desk could not be opened, and a person asked to try again.
        theme_picked(ThemeMode): a person chose another look.
    """

    try_again = Signal()
    theme_picked = Signal(object)

    def __init__(self, background: Background, machine: Machine | None = None) -> None:
        """The empty window; see :meth:`build`."""
        super().__init__()
        self._background, self._machine = background, machine
        self.state: QSettings | None = None  #: where the pages keep what a person chose
        self._pages: dict[str, Page] = {}  # those that are whole
        self._begun: dict[str, tuple[Page, Iterator[None]]] = {}  # the others, and what is left to be built of them
        self._missed: dict[str, list[Changes]] = {}  # what came meanwhile
        self._bridge: Bridge | None = None
        self._context: Context | None = None
        self._finished: set[tuple[str, int]] = set()
        self._last: Changes | None = None
        self._may_close = False  # somebody has said so, or nothing needs to be asked
        self._close_when_done = False
        self.restarts = False
        self.setObjectName("mainWindow")
        self.setWindowTitle(self.tr("Device Association Desk"))
        self.setMinimumSize(*LEAST_SIZE)
        self.resize(*DEFAULT_SIZE)
        self._build_timer = QTimer(self)
        self._build_timer.setSingleShot(True)
        self._build_timer.setInterval(BUILD_MS)
        self._build_timer.timeout.connect(self._build_next)

    # --- building -----------------------------------------------------------------------------------------------------

    def build(self, theme: Theme) -> None:
        """Makes what stands around the pages, and says that the desk is being opened."""
        from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

        from desktop_app.ui.status_bar import StatusBar
        from desktop_app.ui.widgets.empty_state import EmptyState

        self._theme = theme
        middle = QWidget()
        whole = QVBoxLayout(middle)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        upper = QHBoxLayout()
        upper.setSpacing(0)
        self.rail = self._build_rail()
        upper.addWidget(self.rail)
        right = QVBoxLayout()
        right.setContentsMargins(16, 0, 16, 12)
        right.setSpacing(0)
        right.addLayout(self._build_header())
        self._stack = QStackedWidget()
        right.addWidget(self._stack, 1)
        upper.addLayout(right, 1)
        whole.addLayout(upper, 1)
        self.status = StatusBar()
        self.status.show_jobs_pressed.connect(lambda: self.show_page(JOBS))
        whole.addWidget(self.status)
        self.setCentralWidget(middle)
        self._opening = EmptyState("database")
        self._again = self._opening.add_button(self.tr("Try again"), self.try_again.emit, name="tryAgainButton")
        self._connect = self._opening.add_button(
            self.tr("Change the connection…"), self._change_connection, name="changeConnectionButton"
        )
        self._stack.addWidget(self._opening)
        self.show_opening()

    def furnish(self) -> None:
        """Makes what works before the desk is there: the command box and the keys. Safe to call twice."""
        _ = self.commands, self._own

    @cached_property
    def commands(self) -> CommandBox:
        """The command box in the header."""
        from desktop_app.ui.command_box import CommandBox

        box = CommandBox(self._background, self._commands_now)
        box.setFixedWidth(276)
        self._header.addWidget(box)
        self.setTabOrder(self.rail.button(SETTINGS), box)
        return box

    @cached_property
    def _taskbar(self) -> Taskbar:
        from desktop_app.ui.taskbar import Taskbar

        return Taskbar(lambda: int(self.winId()))

    @cached_property
    def toast(self) -> Toast:
        """Where messages go."""
        from desktop_app.ui.widgets.toast import Toast

        middle = self.centralWidget()
        assert middle is not None
        return Toast(middle)

    @cached_property
    def _own(self) -> tuple[Command, ...]:
        """The commands of the window itself; their keys work from now on."""
        from desktop_app.ui.commands import bind

        own = self._own_commands()
        bind(self, own, everywhere=True)
        return own

    def _own_commands(self) -> tuple[Command, ...]:
        from desktop_app.ui.commands import Command
        from desktop_app.ui.theme import ThemeMode

        group = self.tr("Everywhere")

        def go(text: str, page: str, *keys: str) -> Command:
            return Command(text, lambda: self.show_page(page), keys, group, can_run=self._is_open)

        def look(text: str, mode: ThemeMode) -> Command:
            return Command(text, lambda: self._theme_picked(mode), group=group)

        return (
            Command("", self.commands.begin, ("Ctrl+K",), group, explains=self.tr("Search, or run a command")),
            go(self.tr("Go to Associate"), ASSOCIATE, "Ctrl+1"),
            go(self.tr("Go to Jobs"), JOBS, "Ctrl+2", "Ctrl+J"),
            go(self.tr("Go to History"), HISTORY, "Ctrl+3"),
            go(self.tr("Go to Settings"), SETTINGS, "Ctrl+4", "Ctrl+,"),
            Command(self.tr("Read again what is shown"), self._refresh, ("F5",), group, can_run=self._is_open),
            look(self.tr("Light theme"), ThemeMode.LIGHT),
            look(self.tr("Dark theme"), ThemeMode.DARK),
            look(self.tr("Theme as the system"), ThemeMode.SYSTEM),
            Command(self.tr("Keyboard shortcuts and terms"), self.show_help, ("F1",), group),
            Command(self.tr("Close the window"), self.close, ("Ctrl+Q",), group),
        )

    def _commands_now(self) -> tuple[Command, ...]:
        """What can be run now: that of the page in sight first."""
        page = self._page_in_sight()
        return (*(page.commands() if page is not None else ()), *self._own)

    def _page_in_sight(self) -> Page | None:
        return next((page for page in self._pages.values() if page is self._stack.currentWidget()), None)

    def _is_open(self) -> bool:
        return self._context is not None

    def _build_rail(self) -> NavRail:
        from desktop_app.ui.widgets.nav_rail import NavRail

        rail = NavRail()
        rail.add(ASSOCIATE, "device-sim", self.tr("Associate"), "navAssociate")
        rail.add(JOBS, "progress-check", self.tr("Jobs"), "navJobs")
        rail.add(HISTORY, "history", self.tr("History"), "navHistory")
        rail.add_stretch()
        rail.add(SETTINGS, "settings", self.tr("Settings"), "navSettings")
        rail.picked.connect(self.show_page)
        rail.setEnabled(False)
        return rail

    def _build_header(self) -> QHBoxLayout:
        from PySide6.QtCore import Qt
        from PySide6.QtWidgets import QHBoxLayout, QLabel

        from desktop_app.ui.widgets.labels import label

        self._header = header = QHBoxLayout()
        header.setContentsMargins(0, 12, 0, 12)
        header.setSpacing(12)
        self._title = label(self.tr("Device Association Desk"), "title")
        self._title.setObjectName("pageTitle")
        self._title.setFixedHeight(32)
        header.addWidget(self._title)
        self.badge = QLabel()
        self.badge.setObjectName("environmentBadge")
        self.badge.setProperty("kind", "badge")
        self.badge.hide()
        header.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignVCenter)
        header.addStretch(1)
        return header

    # --- opening ------------------------------------------------------------------------------------------------------

    def show_opening(self) -> None:
        """The desk is being opened."""
        self._again.hide()
        self._connect.hide()
        self._opening.show_texts(self.tr("Opening the database…"), self.tr("This takes a moment."), "database")

    def show_trouble(self, error: Exception) -> None:
        """The desk could not be opened."""
        from desktop_app.ui import words

        trouble = words.trouble(error)
        self._opening.show_texts(trouble.message, trouble.what_to_do, "plug-connected-x")
        self._again.show()
        self._connect.setVisible(self._machine is not None)
        self._again.setFocus()
        self.status.show_connection(False, trouble.message)

    def _change_connection(self) -> None:
        from desktop_app.ui.pages.settings.connection import ConnectionDialog

        assert self._machine is not None
        ConnectionDialog.open_for(self, self._machine, self._background, self.try_again.emit, self.show_trouble)

    def open_desk(self, desk: Desk, capabilities: Capabilities, cursor: str, notices: tuple[str, ...] = ()) -> None:
        """The desk is there: builds the pages and begins to poll, from ``cursor`` on."""
        from desktop_app.ui import words
        from desktop_app.ui.bridge import Bridge
        from desktop_app.ui.command_box import Shows
        from desktop_app.ui.context import Context
        from desktop_app.ui.palette import Tone

        self.furnish()
        clock = words.Clock(capabilities.time_zone)
        self._context = Context(
            desk=desk,
            background=self._background,
            capabilities=capabilities,
            clock=clock,
            notify=self.toast.show_message,
            show_job=self.show_job,
            show_associate=lambda: self.show_page(ASSOCIATE),
            fill_in=self.fill_in,
            state=self.state,
            machine=self._machine,
        )
        self._show_badge(capabilities.environment)
        self.status.show_desk(capabilities)
        self.rail.setEnabled(True)
        self.commands.open_desk(
            desk,
            Shows(
                job=lambda job: self.show_job(job.tracking_number),
                customer=self._show_customer,
                device=self._show_device,
            ),
        )
        self._bridge = bridge = Bridge(desk, self._background, cursor, self)
        bridge.changed.connect(self._take_changes)
        bridge.connection_lost.connect(self._connection_lost)
        bridge.connection_found.connect(self._connection_found)
        bridge.start()
        self._build_timer.start()
        if notices:
            self.toast.show_message("\n".join(notices), Tone.INFO)

    def _built(self, key: str) -> Page:
        """The page with that key, whole; it is built when there is time for it, and the rest when it is wanted."""
        while key not in self._pages:
            self._build_part(key)
        return self._pages[key]

    def _build_part(self, key: str) -> None:
        """Builds the next part of a page that is not whole."""
        if key not in self._begun:
            assert self._context is not None
            page = self._empty_page(key, self._context)
            self._stack.addWidget(page)
            self._begun[key] = page, page.build()
            return
        page, rest = self._begun.pop(key)
        for _ in rest:
            self._begun[key] = page, rest
            return
        self._pages[key] = page
        for changes in self._missed.pop(key, ()):
            page.take_changes(changes)

    def _empty_page(self, key: str, context: Context) -> Page:
        """Pages are imported when they are made: the first window does not wait for them."""
        match key:
            case "associate":
                from desktop_app.ui.pages.associate import AssociatePage

                associate = AssociatePage(context)
                associate.list.listed.connect(self._devices_listed)
                associate.submitted.connect(self._submitted)
                return associate
            case "jobs":
                from desktop_app.ui.pages.jobs import JobsPage

                return JobsPage(context)
            case "history":
                from desktop_app.ui.pages.history import HistoryPage

                return HistoryPage(context)
            case _:
                from desktop_app.ui.pages.settings import SettingsPage

                settings = SettingsPage(context, self._theme.mode)
                settings.theme_picked.connect(self._theme_picked)
                settings.restart_pressed.connect(self._restart)
                return settings

    def _build_next(self) -> None:
        """Builds a part of a page, or shows the first page: one at a time, so that the window answers between them."""
        if ASSOCIATE in self._pages and self._page_in_sight() is None:
            self.show_page(ASSOCIATE)
        else:
            key = next((key for key in PAGES if key not in self._pages), None)
            if key is None:
                return
            self._build_part(key)
        self._build_timer.start()  # not after a part that failed: it would fail without end

    def _devices_listed(self) -> None:
        if self._context is not None:
            from datetime import UTC, datetime

            self.status.show_devices_as_of(self._context.clock.local(datetime.now(UTC)))

    def _show_badge(self, environment: str) -> None:
        self.badge.setText(environment)
        self.badge.setProperty("tone", "error" if environment == "PRODUCTION" else "warning")
        self.badge.setAccessibleName(self.tr("Environment: {name}").format(name=environment.capitalize()))
        self.badge.show()

    # --- pages --------------------------------------------------------------------------------------------------------

    def show_page(self, key: str) -> None:
        """Shows a page."""
        if self._context is None:
            return
        page = self._built(key)
        self._title.setText(page.title())
        self.rail.show_current(key)
        self._stack.setCurrentWidget(page)
        page.shown()

    def page(self, key: str) -> Page:
        """The page with that key: ``associate, jobs, history, settings``."""
        return self._built(key)

    def show_job(self, tracking_number: str) -> None:
        """Shows the Jobs page at one job."""
        from desktop_app.ui.pages.jobs import JobsPage

        self.show_page(JOBS)
        jobs = self._pages.get(JOBS)
        if isinstance(jobs, JobsPage):
            jobs.show_job(tracking_number)

    def _submitted(self, tracking_number: str) -> None:
        from desktop_app.ui.pages.jobs import JobsPage

        jobs = self._built(JOBS)
        if isinstance(jobs, JobsPage):
            jobs.submitted_here(tracking_number)

    def fill_in(self, draft: RequestDraft) -> None:
        """Shows the Associate page, filled in with a job's request for some of its devices."""
        from desktop_app.ui.pages.associate import AssociatePage

        self.show_page(ASSOCIATE)
        associate = self._pages.get(ASSOCIATE)
        if isinstance(associate, AssociatePage):
            associate.fill_in(draft)

    def _show_customer(self, row: CustomerRow) -> None:
        from desktop_app.ui.pages.associate import AssociatePage

        self.show_page(ASSOCIATE)
        associate = self._pages.get(ASSOCIATE)
        if isinstance(associate, AssociatePage):
            associate.request.choose_customer(row)

    def _show_device(self, row: DeviceRow) -> None:
        from desktop_app.ui.pages.device_record import DeviceRecordDialog

        assert self._context is not None
        DeviceRecordDialog.open_for(self, self._context, row)

    def show_help(self) -> None:
        """Opens the page of shortcuts and terms."""
        from desktop_app.ui.help import HelpDialog

        groups: dict[str, list[Command]] = {}
        by_page = [(self._pages[key].title(), self._pages[key].commands()) for key in PAGES if key in self._pages]
        for title, commands in [("", self._own), *by_page]:
            for command in commands:
                if command.keys:
                    groups.setdefault(command.group or title, []).append(command)
        HelpDialog(self, groups).open()

    def _refresh(self) -> None:
        page = self._page_in_sight()
        if page is not None:
            page.refresh()

    def _restart(self) -> None:
        self.restarts = True
        self.close()

    def _theme_picked(self, mode: ThemeMode) -> None:
        self._theme.set_mode(mode)
        if SETTINGS in self._pages or SETTINGS in self._begun:
            self._built(SETTINGS).show_mode(mode)  # type: ignore[attr-defined]
        self.theme_picked.emit(mode)

    # --- changes ------------------------------------------------------------------------------------------------------

    def _take_changes(self, changes: Changes) -> None:
        self._last = changes
        self._show_progress(changes)
        self.rail.button(JOBS).set_count(changes.active_jobs)
        self.status.show_work(changes)
        for page in self._pages.values():
            page.take_changes(changes)
        for key in self._begun:
            self._missed.setdefault(key, []).append(changes)
        for job in changes.jobs:
            self._tell_finished(job)

    def _tell_finished(self, job: JobRow) -> None:
        """Says once for each run that a job is over."""
        from desktop_app.association.states import FINAL_JOBS, JobState
        from desktop_app.ui import words
        from desktop_app.ui.palette import Tone

        if job.state not in FINAL_JOBS or job.ended_long_ago:
            return
        run = (job.tracking_number, job.run_no)
        if run in self._finished:
            return
        self._finished.add(run)
        counts = job.counts
        text = self.tr("{number} finished: {done} of {total} done").format(
            number=job.tracking_number, done=words.number(counts.succeeded), total=words.number(counts.total)
        )
        if counts.rejected:
            text += " · " + self.tr("{n} rejected").format(n=words.number(counts.rejected))
        if counts.failed:
            text += " · " + self.tr("{n} failed").format(n=words.number(counts.failed))
        tone = {JobState.COMPLETED: Tone.OK, JobState.CANCELLED: Tone.INFO}.get(job.state, Tone.WARNING)
        show: Callable[[], None] = lambda: self.show_job(job.tracking_number)  # noqa: E731 - one line, typed
        self.toast.show_message(text, tone, action=self.tr("Show job"), run=show)

    def _show_progress(self, changes: Changes) -> None:
        """In the title and on the button in the task bar, for when the window is not in sight."""
        from desktop_app.ui import words

        counts, jobs = changes.active, changes.active_jobs
        self._taskbar.show_jobs(jobs, counts.done, counts.total, counts.failed)
        title = [self.tr("Device Association Desk")]
        if self._close_when_done:
            title.insert(0, self.tr("closes when done"))
            self._ask_for_work(lambda left: None if left else self.close_now(), _LOOK_KEY)
        if jobs:
            percent = words.percent(counts.done, counts.total)
            running = self.tr("{percent} % of 1 job") if jobs == 1 else self.tr("{percent} % of {n} jobs")
            title.insert(0, running.format(percent=percent, n=words.number(jobs)))
        self.setWindowTitle(" · ".join(title))

    def _connection_lost(self, error: Exception) -> None:
        from desktop_app.ui import words
        from desktop_app.ui.palette import Tone

        trouble = words.trouble(error)
        self.status.show_connection(False, trouble.message)
        self.toast.show_message(f"{trouble.message} {trouble.what_to_do}", Tone.ERROR)

    def _connection_found(self) -> None:
        self.status.show_connection(True, "")

    # --- closing ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Asks nothing more; the first step of closing."""
        if self._bridge is not None:
            self._bridge.stop()
        for timer in self.findChildren(QTimer):
            timer.stop()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Closes at once, or first asks whether a job may be left: then the event is ignored and closing goes on when
        that is answered."""
        if not self._may_close and self._works_on_jobs():
            event.ignore()
            self._ask_for_work(self._close_or_ask, _CLOSE_KEY)
            return
        self.stop()
        super().closeEvent(event)

    def allow_close(self) -> None:
        """From now on closing asks nothing: the session or the process ends."""
        self._may_close = True

    def close_now(self) -> None:
        """Closes without a question."""
        self.allow_close()
        self.close()

    def _works_on_jobs(self) -> bool:
        may = self._context.capabilities if self._context is not None else None
        return may is not None and may.runs_engine and self._last is not None and self._last.active_jobs > 0

    def _ask_for_work(self, then: Callable[[tuple[JobRow, ...]], None], key: str) -> None:
        """Calls back with the jobs that the engine of this window is working on, of the same ``key`` the last time."""
        from desktop_app.desk.protocol import JobFilter
        from desktop_app.ui.closing import at_work

        assert self._context is not None
        desk = self._context.desk
        self._background.run(
            lambda cancel: at_work(desk.jobs(JobFilter.ACTIVE)),
            done=then,
            failed=lambda error: self.close_now(),  # the database is gone: nothing more can be done here
            key=key,
            owner=self,
        )

    def _close_or_ask(self, jobs: tuple[JobRow, ...]) -> None:
        from desktop_app.ui.closing import ClosingDialog

        if not jobs:
            self.close_now()
        elif self.findChild(ClosingDialog) is None:
            self.show_in_front()
            self._close_when_done = False
            dialog = ClosingDialog(self, jobs, close_now=self.close_now, close_later=self._close_later)
            dialog.rejected.connect(self._keep_open)
            dialog.open()

    def _close_later(self) -> None:
        from desktop_app.ui.palette import Tone

        self._close_when_done = True
        self.toast.show_message(
            self.tr("The window closes when the jobs that run now are done."),
            Tone.INFO,
            action=self.tr("Keep open"),
            run=self._keep_open,
        )
        if self._last is not None:
            self._show_progress(self._last)

    def _keep_open(self) -> None:
        self._close_when_done = self.restarts = False
        for key in (_CLOSE_KEY, _LOOK_KEY):  # an answer that is on its way must not close what stays open
            self._background.drop(key)
        if self._last is not None:
            self._show_progress(self._last)

    def show_in_front(self) -> None:
        """Brings the window to the front, as it was before it was minimised."""
        from PySide6.QtCore import Qt

        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()
