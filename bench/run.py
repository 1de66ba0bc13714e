"""One run of the bench: where its databases lie, how much of everything is measured, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.world import Worlds


@dataclass(frozen=True, slots=True)
class Run:
    """What every topic is given.

    Attributes:
        quick: about two minutes for everything; fewer devices, combinations and repeats.
        folder: scratch, on the disk that is measured.
        worlds: databases in that folder.
        say: tells a person what is being measured.
    """

    quick: bool
    folder: Path
    worlds: Worlds
    say: Callable[[str], None]

    @property
    def repeats(self) -> int:
        """How often something is measured that takes seconds."""
        return 2 if self.quick else 3
