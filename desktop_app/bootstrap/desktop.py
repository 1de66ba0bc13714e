"""The desktop: the window, shown at once, and the desk that is opened behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

#: Settings by which one desk is told from another.
_TELLING = ("data_dir", "database_url")

if TYPE_CHECKING:
    from desktop_app.bootstrap.desk import Opened
    from desktop_app.settings import Settings
    from desktop_app.ui.trial import Tried


def run_desktop(flags: Mapping[str, Any], *, operator: str | None = None) -> int:
    """Shows the window at once, opens the database behind it, and returns when the window is closed.

    Args:
        flags: settings that the command line names.
        operator: login to act for; None: the user of this machine.
    """
    from desktop_app.bootstrap.machine import LocalMachine
    from desktop_app.folders import window_state_file
    from desktop_app.ui.app import run

    return run(
        lambda: _open_for_window(flags, operator), window_state_file(), _names(flags, operator), LocalMachine(flags)
    )


def _names(flags: Mapping[str, Any], operator: str | None) -> tuple[str, ...]:
    """What tells this desk from another one of the same user, known before the settings are read."""
    given = {name: str(flags.get(name) or os.environ.get(f"ASSOCIATION_{name.upper()}", "")) for name in _TELLING}
    return (*given.values(), operator or "")


@contextmanager
def _open_for_window(flags: Mapping[str, Any], operator: str | None) -> Iterator[Opened]:
    from desktop_app import logs, settings
    from desktop_app.bootstrap.desk import open_desk

    loaded = settings.load(flags)
    logs.configure(loaded.data_dir / "logs", loaded.log_level, to_stderr=True)
    with open_desk(loaded, operator=operator, engine="desktop") as opened:
        opened.start_engine()
        yield opened


def try_window(settings: Settings) -> Tried:
    """Opens the desktop where nobody sees it, and says what was seen of it."""
    from desktop_app.bootstrap.desk import open_desk
    from desktop_app.ui.trial import try_window

    return try_window(lambda: open_desk(settings, engine="desktop"))
