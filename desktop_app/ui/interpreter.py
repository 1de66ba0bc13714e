"""How the UI thread and the others share the interpreter, which runs one of them at a time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: How long a busy thread keeps the interpreter while the UI thread waits for it (5 ms by default).
SWITCH_INTERVAL_S = 0.001
#: The same while the UI thread paints, when it is the others that wait: as long as a frame takes. A frame that is
#: interrupted at every turn of theirs takes three times as long, and what they do is not done sooner.
FRAME_S = 0.004
#: When Python looks for garbage. Never by itself among all that lives: that stops every thread, for half a second while
#: a million devices are checked. It is done when nothing else is (:data:`desktop_app.ui.app.COLLECT_MS`).
COLLECTED_AFTER = (5_000, 10, 1_000_000)


def share_the_interpreter() -> None:
    """Sees to it that no thread of this process, nor the search for garbage, holds the UI thread up."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECTED_AFTER)


@contextmanager
def painting() -> Iterator[None]:
    """While the UI thread paints what takes milliseconds, it is hardly ever interrupted."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(max(FRAME_S, before))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
