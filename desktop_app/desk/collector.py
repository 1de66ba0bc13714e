"""Rest for the garbage collector while very many small values are made that all live to the end of a call."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_resting = 0
_was_on = False


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keeps the collector off inside, in every thread; may be nested and be used by several threads at once.

    A check of a hundred thousand devices makes a million tuples and no cycle. The collector would look at all of them
    again and again, which took half of the check's time; and each of its looks stops every thread, the window's too,
    for a tenth of a second. What is not in a cycle is freed all the same.
    """
    global _resting, _was_on
    with _lock:
        if _resting == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _resting += 1
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if _resting == 0 and _was_on:
                gc.enable()
