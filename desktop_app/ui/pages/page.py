"""What the window asks of every page."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from desktop_app.desk.protocol import Changes


class Page(QWidget):
    """A page of the window. A page does what it needs of these and leaves the rest as it is here."""

    def title(self) -> str:
        """What stands in the header."""
        raise NotImplementedError

    def shown(self) -> None:
        """The page was chosen: reads what may be old by now."""

    def refresh(self) -> None:
        """A person asked for fresh data."""

    def take_changes(self, changes: Changes) -> None:
        """Something has changed behind the desk, whether the page is in sight or not."""
