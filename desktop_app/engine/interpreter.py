"""How the engine's threads share the interpreter, which runs one of them at a time."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds after which a thread that has something to do takes the interpreter from another one. By default 5 ms: a
#: thread whose answer comes while a group is written would wait for a quarter of a call of 20 ms before it sends again.
SWITCH_S = 0.0005
#: When Python looks for garbage in a process that does nothing but work orders. It counts what is made and not freed
#: yet, which is what the engine holds: a few ten thousand small objects without any cycle among them.
COLLECTED_AFTER = (50_000, 10, 10)

_lock = threading.Lock()
_spared = 0
_before = gc.get_threshold()


def share_the_interpreter() -> None:
    """Sees to it that threads that wake do not wait long for the recorder."""
    sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))


@contextmanager
def collector_spares_the_program() -> Iterator[None]:
    """Inside, what is there already is not looked at for garbage: modules, statements, the schema.

    To look at all of it stops every thread for a tenth of a second, again and again, to find nothing. A window has
    rules of its own (:mod:`desktop_app.ui.interpreter`). May be used by several at once: the last one ends it.
    """
    global _spared, _before
    with _lock:
        if not _spared:
            _before = gc.get_threshold()
            gc.set_threshold(*COLLECTED_AFTER)
            gc.freeze()
        _spared += 1
    try:
        yield
    finally:
        with _lock:
            _spared -= 1
            if not _spared:
                gc.unfreeze()
                gc.set_threshold(*_before)
