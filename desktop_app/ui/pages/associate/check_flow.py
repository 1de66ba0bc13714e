"""From "something changed" to a fresh check, and from a fresh check to one job."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from PySide6.QtCore import QObject, QTimer, Signal

from desktop_app.association.model import AssociationRequest, CheckReport, Submitted
from desktop_app.desk.protocol import RequestsDesk
from desktop_app.ui.background import Background, Cancel, Lane
from desktop_app.ui.models.devices import Verdicts

DEBOUNCE_MS = 300


class CheckState(StrEnum):
    """Where the check stands."""

    WAITING = "waiting"  #: something is missing; there is nothing to check
    STALE = "stale"  #: something has changed; it runs again in a moment
    RUNNING = "running"  #: it runs
    FRESH = "fresh"  #: its answer is that of the request as it stands
    FAILED = "failed"  #: the request could not be checked; ``error`` says why


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer of a check.

    Attributes:
        request: what was checked; this is what is submitted.
        report: the answer.
        verdicts: the answer by device.
        at: when it came.
    """

    request: AssociationRequest
    report: CheckReport
    verdicts: Verdicts
    at: datetime


class CheckFlow(QObject):
    """Runs the check by itself, lets it go stale, and submits what was checked.

    Signals:
        changed(): ``state``, ``answer`` or ``error`` is another one.
    """

    changed = Signal()

    def __init__(self, desk: RequestsDesk, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._desk, self._background = desk, background
        self.state = CheckState.WAITING
        self.answer: Checked | None = None
        self.error: Exception | None = None
        self._compose: Callable[[], AssociationRequest | None] = lambda: None
        self._submission_key = ""
        self.is_submitting = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self.run_now)

    def request_changed(self, compose: Callable[[], AssociationRequest | None] | None) -> None:
        """The request is another one; ``compose`` makes it when typing and clicking rest. None: it is incomplete."""
        self._submission_key = ""
        self.error = None
        if compose is None:
            self._timer.stop()
            self._drop_running()
            self.answer = None
            self._become(CheckState.WAITING)
            return
        self._compose = compose
        self._drop_running()
        self._become(CheckState.STALE)
        self._timer.start()

    def run_now(self) -> None:
        """Checks at once."""
        self._timer.stop()
        request = self._compose()
        if request is None:
            return
        desk = self._desk

        def work(cancel: Cancel) -> Checked:
            report = desk.check(request, cancel)
            return Checked(request, report, Verdicts(report), datetime.now(UTC))

        self._background.run(work, done=self._checked, failed=self._failed, key="check", owner=self, lane=Lane.LONG)
        self._become(CheckState.RUNNING)

    def submit(self, done: Callable[[Submitted], None], failed: Callable[[Exception], None]) -> None:
        """Submits what was checked, once: pressing again, or trying again after an error, makes no second job."""
        if self.state is not CheckState.FRESH or self.answer is None or self.is_submitting:
            return
        desk, answer = self._desk, self.answer
        self._submission_key = self._submission_key or uuid.uuid4().hex
        key = self._submission_key
        self.is_submitting = True
        self.changed.emit()

        def submitted(result: Submitted) -> None:
            self.is_submitting = False
            self._submission_key = ""
            done(result)
            self.changed.emit()

        def refused(error: Exception) -> None:
            self.is_submitting = False
            failed(error)
            self.changed.emit()

        self._background.run(
            lambda cancel: desk.submit(answer.request, answer.report.fingerprint, key),
            done=submitted,
            failed=refused,
            owner=self,
            lane=Lane.LONG,
        )

    def _checked(self, answer: Checked) -> None:
        self.answer = answer
        self._submission_key = ""
        self._become(CheckState.FRESH)

    def _failed(self, error: Exception) -> None:
        self.answer = None
        self.error = error
        self._become(CheckState.FAILED)

    def _drop_running(self) -> None:
        self._background.drop("check")

    def _become(self, state: CheckState) -> None:
        self.state = state
        self.changed.emit()
