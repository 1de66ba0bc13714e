"""The strip at the lower edge: the connection, the age of the list, and the jobs that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from desktop_app.ui import icons, theme
from desktop_app.ui.palette import Tone
from desktop_app.ui.widgets.buttons import Button
from desktop_app.ui.widgets.labels import label
from desktop_app.ui.widgets.segmented_bar import SegmentedBar

if TYPE_CHECKING:
    from datetime import datetime

    from desktop_app.desk.protocol import Capabilities, Changes


class StatusBar(QFrame):
    """The status bar.

    Signals:
        show_jobs_pressed(): a person wants to see the jobs.
    """

    show_jobs_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "status")
        self.setFixedHeight(32)
        self._is_connected = True
        self._database = ""
        row = QHBoxLayout(self)
        row.setContentsMargins(18, 0, 12, 0)
        row.setSpacing(8)
        self._plug = QLabel()
        self._connection = label("", "small")
        self._connection.setObjectName("connectionLabel")
        self._age = label("", "small")
        self._work = label("", "small")
        self._work.setObjectName("workLabel")
        self._bar = SegmentedBar()
        self._bar.setFixedWidth(160)
        self._jobs = Button(self.tr("Show jobs  Ctrl+J"), kind="link", name="showJobsButton")
        self._jobs.clicked.connect(self.show_jobs_pressed)
        for part in (self._plug, self._connection, self._age):
            row.addWidget(part)
        row.addStretch(1)
        row.addWidget(self._work)
        row.addWidget(self._bar)
        row.addWidget(self._jobs)
        self._bar.hide()
        self._jobs.hide()
        self._plug.hide()

    def show_desk(self, capabilities: Capabilities) -> None:
        """The desk is open."""
        self._database = capabilities.database
        self._plug.show()
        self._jobs.show()
        self.show_connection(True, "")
        self._work.setText(self.tr("No jobs running"))

    def show_connection(self, is_connected: bool, why: str) -> None:
        """Whether the desk answers, and why not."""
        self._is_connected = is_connected
        shown = self.tr("Connected · {database}").format(database=self._database)
        self._connection.setText(shown if is_connected else self.tr("Not connected"))
        self._connection.setToolTip(why)
        self._recolour()

    def show_devices_as_of(self, when: datetime) -> None:
        """When the list of devices was read."""
        self._age.setText(self.tr("·  Devices as of {time} (F5)").format(time=when.strftime("%H:%M")))

    def show_work(self, changes: Changes) -> None:
        """The jobs that are not finished, summed up."""
        from desktop_app.ui import words  # the first window does not wait for it

        counts = changes.active
        self._bar.setVisible(changes.active_jobs > 0)
        if not changes.active_jobs:
            self._work.setText(self.tr("No jobs running"))
            return
        jobs = (
            self.tr("1 job active")
            if changes.active_jobs == 1
            else self.tr("{n} jobs active").format(n=words.number(changes.active_jobs))
        )
        text = self.tr("{jobs} · {done} of {total} done").format(
            jobs=jobs, done=words.number(counts.done), total=words.number(counts.total)
        )
        if counts.failed:
            text += " · " + self.tr("{n} failed").format(n=words.number(counts.failed))
        self._work.setText(text)
        self._bar.show_segments(words.job_segments(counts), counts.total, text)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._recolour()

    def _recolour(self) -> None:
        plug = getattr(self, "_plug", None)
        if plug is not None:
            colours = theme.active()
            name = "plug-connected" if self._is_connected else "plug-connected-x"
            ink = colours.ink(Tone.OK if self._is_connected else Tone.ERROR)
            plug.setPixmap(icons.pixmap(name, ink, 16, self.devicePixelRatioF()))
