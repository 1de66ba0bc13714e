"""What a job has to say of itself: why it is paused, what it does not know, and that nobody took its notification.

The last of these may wait: it stands in a bar of its own, which the owner puts where it wants it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause
from desktop_app.desk.protocol import JobRow, NotificationRow
from desktop_app.ui import words
from desktop_app.ui.models.jobs import GOES_ON
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.info_bar import InfoBar


class Notices(QWidget):
    """Bars over the devices of a job; those that do not apply are not there.

    Signals:
        resolve_pressed(): a person decides what became of the devices that billing cannot tell of.
        notify_pressed(): the notification is to be sent again.
    """

    resolve_pressed = Signal()
    notify_pressed = Signal()

    def __init__(self, clock: words.Clock, *, may_act: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._clock, self._may_act = clock, may_act
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.pause, self.unknown = self._bar("pauseBar"), self._bar("unknownBar")
        for bar in (self.pause, self.unknown):
            column.addWidget(bar)
        self.notification = self._bar("notificationBar")  # Tab comes to it where its owner puts it
        if may_act:
            button = self.unknown.add_action(self.tr("Resolve…"), self.resolve_pressed.emit, "resolveButton")
            button.hide()
            self._resolve = button
            self.notification.add_action(self.tr("Send again"), self.notify_pressed.emit, "notifyAgainButton")
        self.hide()

    def _bar(self, name: str) -> InfoBar:
        bar = InfoBar(Tone.WARNING)
        bar.setObjectName(name)
        bar.hide()
        return bar

    def show_job(self, job: JobRow) -> None:
        """How the job stands."""
        self._show_pause(job)
        self._show_unknown(job)
        self._fit()

    def show_notification(self, notification: NotificationRow | None) -> None:
        """What became of the notification of its end; only one that is not sent any more is worth a word."""
        is_dead = notification is not None and notification.state == "dead"
        self.notification.setVisible(is_dead)
        if notification is not None and is_dead:
            why = f" ({notification.last_error.rstrip('.')})" if notification.last_error else ""
            text = self.tr(
                "It was tried {n} times and is not sent any more{why}. Devices and billing are not touched by that. "
                "See that the other system takes notifications, then send it again."
            ).format(n=words.number(notification.attempts), why=why)
            self.notification.show_message(
                self.tr("The other system was not told that this job ended."), text, Tone.WARNING
            )

    def _show_pause(self, job: JobRow) -> None:
        is_paused = job.state is JobState.PAUSED
        self.pause.setVisible(is_paused)
        if not is_paused:
            return
        rest = self.tr("Resume it when it may go on.")
        if job.pause_cause in GOES_ON:
            rest = self.tr("It goes on by itself.")
            if job.resume_at is not None:
                rest = self.tr("It goes on by itself and looks again at {time}.").format(
                    time=self._clock.soon(job.resume_at, datetime.now(UTC))
                )
        elif job.pause_cause is PauseCause.THRESHOLD:
            rest = self.tr("Look at the causes below. Resume it if they are no reason to stop, else cancel it.")
        title = self.tr("Paused: {cause}.").format(cause=words.pause_cause(job.pause_cause))
        tone = Tone.INFO if job.pause_cause is PauseCause.OPERATOR else Tone.WARNING
        self.pause.show_message(title, " ".join(filter(None, (job.pause_reason, rest))), tone)

    def _show_unknown(self, job: JobRow) -> None:
        count, undecided = job.counts.outcome_unknown, job.undecided
        is_open = count > 0 and job.state not in FINAL_JOBS
        self.unknown.setVisible(is_open)
        if not is_open:
            return
        asked = count - undecided
        parts = []
        if asked and job.state is JobState.PAUSED:
            parts.append(
                self.tr("Billing is asked about {n} as soon as the job goes on.").format(n=words.number(asked))
            )
        elif asked and job.asks_at is not None:
            at = self._clock.soon(job.asks_at, datetime.now(UTC))
            parts.append(
                self.tr("Billing is asked about {n} at {time}; nothing is ordered again before that.").format(
                    n=words.number(asked), time=at
                )
            )
        if undecided:
            parts.append(
                self.tr("Billing cannot tell of {n}: look there and say what you found.").format(
                    n=words.number(undecided)
                )
            )
        title = self.tr("1 outcome is unknown.") if count == 1 else self.tr("{n} outcomes are unknown.")
        tone = Tone.WARNING if undecided else Tone.INFO
        self.unknown.show_message(title.format(n=words.number(count)), " ".join(parts), tone)
        if self._may_act:
            self._resolve.setVisible(undecided > 0)

    def _fit(self) -> None:
        self.setVisible(any(not bar.isHidden() for bar in (self.pause, self.unknown)))
