"""The window: nav rail, header, pages, status bar. It opens at once and fills when the desk is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.desk.protocol import Capabilities, Changes, Desk, JobRow, RequestDraft
from desktop_app.ui import words
from desktop_app.ui.background import Background
from desktop_app.ui.bridge import Bridge
from desktop_app.ui.context import Context
from desktop_app.ui.pages.page import Page
from desktop_app.ui.palette import Tone
from desktop_app.ui.status_bar import StatusBar
from desktop_app.ui.theme import Theme, ThemeMode
from desktop_app.ui.widgets.empty_state import EmptyState
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.nav_rail import NavRail
from desktop_app.ui.widgets.toast import Toast

ASSOCIATE, JOBS, HISTORY, SETTINGS = "associate", "jobs", "history", "settings"
PAGES = (ASSOCIATE, JOBS, HISTORY, SETTINGS)
DEFAULT_SIZE, LEAST_SIZE = (1440, 900), (1100, 700)


class MainWindow(QMainWindow):
    """The window.

    Signals:
        try_again(): the desk could not be opened, and a person asked to try again.
        theme_picked(ThemeMode): a person chose another look.
    """

    try_again = Signal()
    theme_picked = Signal(object)

    def __init__(self, background: Background, theme: Theme) -> None:
        super().__init__()
        self._background, self._theme = background, theme
        self._pages: dict[str, Page] = {}
        self._bridge: Bridge | None = None
        self._context: Context | None = None
        self._finished: set[tuple[str, int]] = set()
        self.setObjectName("mainWindow")
        self.setWindowTitle(self.tr("Device Association Desk"))
        self.setMinimumSize(*LEAST_SIZE)
        self.resize(*DEFAULT_SIZE)
        self._build()
        self._build_timer = QTimer(self)
        self._build_timer.setInterval(0)
        self._build_timer.timeout.connect(self._build_next)
        self.show_opening()

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
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
        self._stack.addWidget(self._opening)
        self.toast = Toast(middle)
        for keys, run in (
            ("Ctrl+1", lambda: self.show_page(ASSOCIATE)),
            ("Ctrl+2", lambda: self.show_page(JOBS)),
            ("Ctrl+3", lambda: self.show_page(HISTORY)),
            ("Ctrl+4", lambda: self.show_page(SETTINGS)),
            ("Ctrl+J", lambda: self.show_page(JOBS)),
            ("F5", self._refresh),
        ):
            QShortcut(QKeySequence(keys), self).activated.connect(run)

    def _build_rail(self) -> NavRail:
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
        header = QHBoxLayout()
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
        self._opening.show_texts(self.tr("Opening the database…"), self.tr("This takes a moment."), "database")

    def show_trouble(self, error: Exception) -> None:
        """The desk could not be opened."""
        trouble = words.trouble(error)
        self._opening.show_texts(trouble.message, trouble.what_to_do, "plug-connected-x")
        self._again.show()
        self._again.setFocus()
        self.status.show_connection(False, trouble.message)

    def open_desk(self, desk: Desk, capabilities: Capabilities, notices: tuple[str, ...] = ()) -> None:
        """The desk is there: builds the pages and begins to poll."""
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
        )
        self._show_badge(capabilities.environment)
        self.status.show_desk(capabilities)
        self.rail.setEnabled(True)
        self._bridge = bridge = Bridge(desk, self._background, self)
        bridge.changed.connect(self._take_changes)
        bridge.connection_lost.connect(self._connection_lost)
        bridge.connection_found.connect(self._connection_found)
        self.show_page(ASSOCIATE)
        bridge.start()
        self._build_timer.start()
        if notices:
            self.toast.show_message("\n".join(notices), Tone.INFO)

    def _built(self, key: str) -> Page:
        """The page with that key; it is built when it is wanted, or when there is time for it."""
        page = self._pages.get(key)
        if page is None:
            assert self._context is not None
            page = self._pages[key] = self._build_page(key, self._context)
            self._stack.addWidget(page)
        return page

    def _build_page(self, key: str, context: Context) -> Page:
        """Pages are imported when they are built: the first window does not wait for them."""
        match key:
            case "associate":
                from desktop_app.ui.pages.associate import AssociatePage

                associate = AssociatePage(context)
                associate.list.listed.connect(self._devices_listed)
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
                return settings

    def _build_next(self) -> None:
        """Builds one more page. One at a time, so that the window answers between them."""
        for key in PAGES:
            if key not in self._pages:
                self._built(key)
                return
        self._build_timer.stop()

    def _devices_listed(self) -> None:
        if self._context is not None:
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

    def fill_in(self, draft: RequestDraft) -> None:
        """Shows the Associate page, filled in with a job's request for some of its devices."""
        from desktop_app.ui.pages.associate import AssociatePage

        self.show_page(ASSOCIATE)
        associate = self._pages.get(ASSOCIATE)
        if isinstance(associate, AssociatePage):
            associate.fill_in(draft)

    def _refresh(self) -> None:
        page = self._stack.currentWidget()
        if isinstance(page, Page):
            page.refresh()

    def _theme_picked(self, mode: ThemeMode) -> None:
        self._theme.set_mode(mode)
        self.theme_picked.emit(mode)

    # --- changes ------------------------------------------------------------------------------------------------------

    def _take_changes(self, changes: Changes) -> None:
        self.rail.button(JOBS).set_count(changes.active_jobs)
        self.status.show_work(changes)
        for page in self._pages.values():
            page.take_changes(changes)
        for job in changes.jobs:
            self._tell_finished(job)

    def _tell_finished(self, job: JobRow) -> None:
        """Says once for each run that a job is over."""
        if job.state not in FINAL_JOBS:
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

    def _connection_lost(self, error: Exception) -> None:
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
        self.stop()
        super().closeEvent(event)
