"""The box in the header: finds commands, jobs, customers and devices, and does or shows what is picked (Ctrl+K)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QAction, QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QToolButton, QWidget

from desktop_app.ui import icons, theme, words
from desktop_app.ui.commands import Command
from desktop_app.ui.widgets.search_combo import Choice, SearchCombo

if TYPE_CHECKING:
    from desktop_app.desk.protocol import CustomerRow, Desk, DeviceRow, JobRow
    from desktop_app.ui.background import Background, Cancel

#: So many of each kind are listed.
MOST_OF_A_KIND = 4
#: A text with so many digits may be an identifier of a device.
_LEAST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Found:
    """What the desk has for a text."""

    jobs: tuple[JobRow, ...] = ()
    customers: tuple[CustomerRow, ...] = ()
    devices: tuple[DeviceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Shows:
    """What is done with what was found."""

    job: Callable[[JobRow], object]
    customer: Callable[[CustomerRow], object]
    device: Callable[[DeviceRow], object]


class CommandBox(SearchCombo):
    """The command box. Its list opens while a person types; Enter takes the first."""

    def __init__(
        self, background: Background, commands: Callable[[], Sequence[Command]], parent: QWidget | None = None
    ) -> None:
        """Args:
        commands: what can be run now, the nearest first.
        """
        super().__init__(
            parent,
            placeholder=QCoreApplication.translate("CommandBox", "Search or run a command     Ctrl+K"),
            accessible=QCoreApplication.translate("CommandBox", "Search or run a command"),
            name="commandBox",
        )
        self._background, self._commands = background, commands
        self._desk: Desk | None = None
        self._shows: Shows | None = None
        self._before: QWidget | None = None
        self.setProperty("kind", "command")
        self.set_list_width(440)
        self.setToolTip(self.tr("Finds commands, jobs, customers and devices (Ctrl+K)"))
        edit = self.lineEdit()
        assert edit is not None
        self._glass = QAction(self)
        edit.addAction(self._glass, QLineEdit.ActionPosition.LeadingPosition)
        for button in edit.findChildren(QToolButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setAccessibleName(self.accessibleName())
        self.searched.connect(self._look)
        self.chosen.connect(self._run)
        self._recolour()

    def open_desk(self, desk: Desk, shows: Shows) -> None:
        """From now on jobs, customers and devices are found too."""
        self._desk, self._shows = desk, shows

    def begin(self) -> None:
        """Takes the focus and lists what can be run. Esc gives the focus back."""
        if not self.hasFocus():
            self._before = QApplication.focusWidget()
        self.setFocus(Qt.FocusReason.ShortcutFocusReason)
        edit = self.lineEdit()
        assert edit is not None
        edit.selectAll()
        if not self.list_view().isVisible():
            self.showPopup()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange}:
            self._recolour()

    def _recolour(self) -> None:
        if getattr(self, "_glass", None) is not None:
            self._glass.setIcon(icons.icon("search", theme.active().muted))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self._leave()
        else:
            super().keyPressEvent(event)

    def _leave(self) -> None:
        before, self._before = self._before, None
        if before is not None and shiboken6.isValid(before) and before.isVisible():
            before.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.clearFocus()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        edit = self.lineEdit()
        if event.reason() is not Qt.FocusReason.ActiveWindowFocusReason and edit is not None:
            edit.clear()

    # --- finding ------------------------------------------------------------------------------------------------------

    def _look(self, text: str) -> None:
        matching = self._matching(text)
        desk = self._desk
        if desk is None or len(text) < 2:
            self.show_choices(text, matching)
            return
        self._background.run(
            lambda cancel: find(desk, text, cancel),
            done=lambda found: self.show_choices(text, (*self._of(found), *matching)),
            failed=lambda error: self.show_choices(text, matching),
            key="command_box",
            owner=self,
        )

    def _matching(self, text: str) -> tuple[Choice, ...]:
        """Commands that hold every word of the text."""
        wanted = text.casefold().split()
        return tuple(
            Choice(command, command.text, note=command.shown_keys)
            for command in self._commands()
            if command.text and command.can_run() and all(word in command.text.casefold() for word in wanted)
        )

    def _of(self, found: Found) -> tuple[Choice, ...]:
        jobs = (
            Choice(job, job.tracking_number, note=words.job_status(job).word, hint=job.customer) for job in found.jobs
        )
        customers = (Choice(row, row.name, note=row.account_number, hint=row.tag) for row in found.customers)
        devices = (
            Choice(row, row.iccid, note=row.service_provider, hint=row.customer or self.tr("no customer"))
            for row in found.devices
        )
        return (*jobs, *devices, *customers)

    def _run(self, choice: Choice | None) -> None:
        if choice is None:
            return
        self.choose(None)
        self._leave()
        from desktop_app.desk.protocol import CustomerRow, DeviceRow, JobRow  # the first window does not wait for it

        what, shows = choice.key, self._shows
        if isinstance(what, Command):
            what.run()
        elif shows is None:
            return
        elif isinstance(what, JobRow):
            shows.job(what)
        elif isinstance(what, CustomerRow):
            shows.customer(what)
        elif isinstance(what, DeviceRow):
            shows.device(what)


def find(desk: Desk, text: str, cancel: Cancel) -> Found:
    """Jobs, customers and devices for a text that a person typed; off the UI thread."""
    jobs = desk.jobs(text=text, limit=MOST_OF_A_KIND)
    customers = desk.customers(text, MOST_OF_A_KIND)
    devices: tuple[DeviceRow, ...] = ()
    if len(re.findall(r"\d", text)) >= _LEAST_DIGITS and not cancel():
        located = desk.locate([text], cancelled=cancel)
        devices = desk.device_rows(located.packed)
    return Found(jobs, customers, devices)
