"""Where the shipped files are: fonts, icons and style images, from a checkout and from a frozen program alike."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path


@cache
def resource_root() -> Path:
    """The ``resources`` folder.

    A frozen program (PyInstaller) unpacks it beside its libraries and names that place in ``sys._MEIPASS``.
    """
    frozen_at: str | None = getattr(sys, "_MEIPASS", None)
    root = Path(frozen_at) if frozen_at else Path(__file__).resolve().parents[2]
    return root / "resources"


def resource_path(*parts: str) -> Path:
    """The path of a shipped file such as ``resource_path("icons", "search.svg")``.

    Raises:
        FileNotFoundError: it is not shipped; a package without it is broken, so this is not passed over.
    """
    path = resource_root().joinpath(*parts)
    if not path.is_file():
        raise FileNotFoundError(f"The program's file {path} is missing. Install the program again.")
    return path
