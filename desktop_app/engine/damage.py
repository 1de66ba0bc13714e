"""A database that is damaged: nothing of it can be trusted any more, so this engine does nothing more with it."""

from __future__ import annotations

import logging

from desktop_app.association.errors import DAMAGED, EnvironmentFault

_log = logging.getLogger(__name__)


class Damage:
    """What the threads of one engine know of it. Thread-safe: the first fault stays.

    Attributes:
        fault: what was found; None: nothing.
    """

    def __init__(self) -> None:
        self.fault: EnvironmentFault | None = None

    def is_meant_by(self, fault: EnvironmentFault) -> bool:
        """Whether the fault says that the database is damaged; kept if so."""
        if fault.code not in DAMAGED:
            return False
        if self.fault is None:
            self.fault = fault
            _log.critical("%s This engine does nothing more. %s", fault.message, fault.what_to_do)
        return True
