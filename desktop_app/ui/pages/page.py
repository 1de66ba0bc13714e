"""What the window asks of every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Changes
    from desktop_app.ui.commands import Command


class Page(QWidget):
    """A page of the window. A page does what it needs of these and leaves the rest as it is here."""

    def title(self) -> str:
        """What stands in the header."""
        raise NotImplementedError

    def commands(self) -> tuple[Command, ...]:
        """What can be done on this page by a key or from the command box; the page has bound the keys itself."""
        return ()

    def shown(self) -> None:
        """The page was chosen: reads what may be old by now."""

    def refresh(self) -> None:
        """A person asked for fresh data."""

    def take_changes(self, changes: Changes) -> None:
        """Something has changed behind the desk, whether the page is in sight or not."""
