"""Waiting until the engines of a database have nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from db import engine_rows
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault

_POLL_S = 0.02


def wait_until_idle(store: Store, is_cancelled: Callable[[], bool] = lambda: False, *, announces: bool = False) -> bool:
    """Waits until nothing is left that an engine could do, parked work included.

    Args:
        announces: whether notifications are sent, too.

    Returns:
        False: it was cancelled before.
    """
    while not is_cancelled():
        try:
            with store.read() as uow:
                if engine_rows.is_idle(uow, announces=announces):
                    return True
        except EnvironmentFault:
            pass  # the engine meets it too, and goes on when the database is back
        time.sleep(_POLL_S)
    return False
