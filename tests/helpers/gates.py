"""Where a test says who comes first: a statement of one connection waits until the test lets it through."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from db.unit_of_work import Store

#: Seconds that are waited at most; a test that waits so long has failed.
PATIENCE_S = 60.0


class Gate:
    """Before one statement of a store: closed until it is opened."""

    def __init__(self) -> None:
        self._reached, self._open = threading.Event(), threading.Event()

    def wait(self) -> None:
        """Until somebody stands before it.

        Raises:
            AssertionError: nobody came, for a long time.
        """
        assert self._reached.wait(PATIENCE_S), "the statement was never reached"

    def open(self) -> None:
        """Whoever stands before it goes on, and whoever comes later."""
        self._open.set()

    def _pass(self) -> None:
        self._reached.set()
        assert self._open.wait(PATIENCE_S), "the gate was never opened"


@contextmanager
def gate_before(store: Store, statement: str) -> Iterator[Gate]:
    """A gate before the first statement of the store that matches a pattern; open when the block ends.

    Args:
        store: of whom is to wait, and of nobody else.
        statement: matched at the beginning of the statement's text.
    """
    gate, pattern = Gate(), re.compile(statement)

    def before(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if pattern.match(text):
            gate._pass()

    event.listen(store.engines.write, "before_cursor_execute", before)
    try:
        yield gate
    finally:
        gate.open()
        event.remove(store.engines.write, "before_cursor_execute", before)
