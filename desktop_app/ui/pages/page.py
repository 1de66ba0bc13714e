"""What the window asks of every page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Changes
    from desktop_app.ui.commands import Command


class Page(QWidget):
    """A page of the window. A page does what it needs of these and leaves the rest as it is here.

    It is made empty and stands in the window from then on; :meth:`build` fills it. A widget of a style sheet tells all
    that stands in it when it gets another parent: so what is to be filled is put in its place first.
    """

    def build(self) -> Iterator[None]:
        """Fills the page. Pauses after each part, so that the window answers between them; whoever needs the page at
        once goes through to the end. Called once; nothing else is asked of a page before it has ended."""
        yield from ()

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
