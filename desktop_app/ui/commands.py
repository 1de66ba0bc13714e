"""What a person can do by a key or from the command box; each thing is declared once: words, keys, what it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget


def always() -> bool:
    """A command that can be run at any time."""
    return True


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be done.

    Attributes:
        text: what it does, as a person would say it; "" keeps it out of the command box (its keys mean something only
            where they are pressed).
        run: does it, on the UI thread.
        keys: such as ``Ctrl+F``; several do the same, the first is shown beside the command, all of them on the page of
            shortcuts. None: reached by the command box alone.
        group: heading on the page of shortcuts; "": that of the page.
        explains: what the keys do, on the page of shortcuts, where ``text`` is empty.
        can_run: whether it can be run now.
    """

    text: str
    run: Callable[[], object]
    keys: tuple[str, ...] = ()
    group: str = ""
    explains: str = ""
    can_run: Callable[[], bool] = always

    @property
    def shown_keys(self) -> str:
        """The first of its keys, in the words of this platform; "" without keys."""
        return self.all_keys[0] if self.keys else ""

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Its keys in the words of this platform; a second Enter, that of the number pad, is the same to a person."""
        spoken = (QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText) for keys in self.keys)
        return tuple(dict.fromkeys(keys.replace("Return", "Enter") for keys in spoken))


def bind(widget: QWidget, commands: Iterable[Command], *, everywhere: bool = False) -> None:
    """Makes the keys of the commands work.

    Args:
        widget: where: while it or what stands in it has the focus.
        everywhere: in its whole window.
    """
    context = Qt.ShortcutContext.WindowShortcut if everywhere else Qt.ShortcutContext.WidgetWithChildrenShortcut
    for command in commands:
        for keys in command.keys:
            shortcut = QShortcut(QKeySequence(keys), widget)
            shortcut.setContext(context)
            shortcut.activated.connect(lambda command=command: command.run() if command.can_run() else None)
