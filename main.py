"""Starts the program: the desktop without arguments, else the command line.

Nothing is imported here that the first window would have to wait for.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from multiprocessing import freeze_support


def _guard_streams() -> None:
    """A windowed program on Windows has no standard streams, and not every console knows every character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole run
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    freeze_support()
    _guard_streams()
    if sys.__stderr__ is not None:
        faulthandler.enable()

    from desktop_app.cli import main

    sys.exit(main())
