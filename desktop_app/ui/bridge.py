"""The one bridge between what happens behind the desk and the window: it polls, and tells once what has changed.

Nothing behind the desk knows of the window: no callback, no signal, no object of Qt crosses. The bridge asks
``desk.changes(cursor)`` off the UI thread, one call at a time, and emits ONE signal for all that has changed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from desktop_app.association.errors import AssociationError

if TYPE_CHECKING:
    from desktop_app.desk.protocol import AdministrationDesk, Changes
    from desktop_app.ui.background import Background

POLL_MS = 66  #: about fifteen times a second
POLL_BROKEN_MS = 1_000
POLL_KEY = "changes"  #: of the call that is nearly always under way


class Bridge(QObject):
    """Polls the desk while the window is open.

    Signals:
        changed(Changes): jobs or devices have changed, or the sums over the jobs that run.
        connection_lost(Exception): the desk does not answer, or now for another cause; asked again every second.
        connection_found(): it answers again.
    """

    changed = Signal(object)
    connection_lost = Signal(object)
    connection_found = Signal()

    def __init__(self, desk: AdministrationDesk, background: Background, cursor: str, parent: QObject) -> None:
        """``cursor``: of before anything that is shown was read; what changes in between is told too."""
        super().__init__(parent)
        self._desk, self._background, self._cursor = desk, background, cursor
        self._last: Changes | None = None
        self._lost_by = ""
        self._stopped = True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._poll)

    @property
    def last(self) -> Changes | None:
        """The last answer."""
        return self._last

    def start(self) -> None:
        """Begins to poll."""
        self._stopped = False
        self._poll()

    def stop(self) -> None:
        """Stops; nothing is emitted any more."""
        self._stopped = True
        self._timer.stop()

    def _poll(self) -> None:
        if self._stopped:
            return
        desk, cursor = self._desk, self._cursor
        self._background.run(
            lambda cancel: desk.changes(cursor), done=self._answered, failed=self._failed, key=POLL_KEY, owner=self
        )

    def _answered(self, changes: Changes) -> None:
        if self._stopped:
            return
        before, self._last, self._cursor = self._last, changes, changes.cursor
        if self._lost_by:
            self._lost_by = ""
            self.connection_found.emit()
        sums_changed = before is None or (before.active, before.active_jobs) != (changes.active, changes.active_jobs)
        if changes.jobs or changes.devices_changed or sums_changed:
            self.changed.emit(changes)
        self._timer.start(POLL_MS)

    def _failed(self, error: Exception) -> None:
        if self._stopped:
            return
        cause = error.code if isinstance(error, AssociationError) else type(error).__name__
        if cause != self._lost_by:
            self._lost_by = cause
            self.connection_lost.emit(error)
        self._timer.start(POLL_BROKEN_MS)
