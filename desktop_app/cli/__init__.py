"""The command line: the commands, and no business rule in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

#: What starts the desktop may be followed by these alone.
_DESKTOP_FLAGS = ("--data-dir", "--database-url", "--operator")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        argv: the arguments behind the program's name; None: those of this process.

    Returns:
        The exit code: 0 all succeeded, 1 some devices failed or were rejected, 2 refused (bad input, no right),
        3 environment (database or billing unreachable), 70 a fault in the program.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Neither waits for the command line's own libraries: the window comes up in an instant, and the sandbox is part of
    # starting a job.
    if _starts_the_desktop(arguments):
        from desktop_app.cli.desktop import desktop

        return desktop(arguments)
    if arguments[0] == "billing-sandbox":
        from desktop_app.cli.sandbox import sandbox

        return sandbox(arguments[1:])
    from desktop_app.cli.app import run

    return run(arguments)


def _starts_the_desktop(arguments: Sequence[str]) -> bool:
    rest = list(arguments)
    while rest and rest[0].startswith(_DESKTOP_FLAGS):
        rest = rest[1 if "=" in rest[0] else 2 :]
    return not rest
