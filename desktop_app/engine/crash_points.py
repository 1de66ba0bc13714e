"""Named points around every commit and every POST at which a test may end the process."""

from __future__ import annotations

from collections.abc import Callable


def _nothing(_point: str) -> None:
    return


#: Called with the point's name. Only tests replace it.
on_reached: Callable[[str], None] = _nothing


def reached(point: str) -> None:
    """The program is at this point, such as ``before-commit:record``."""
    on_reached(point)
