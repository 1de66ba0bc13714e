"""What kills of a working process met, and how it is said at the end of a run of tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from desktop_app.association.states import StepState

#: Name of the property under which a test leaves what its kills met, see :meth:`Kills.as_dict`.
PROPERTY = "kills"


@dataclass(frozen=True)
class Moment:
    """How many work orders that are not final, and how many of their steps, are in each state."""

    orders: Counter[str]
    steps: Counter[str]


@dataclass
class Kills:
    """What kills met. Counted is a kill of a process that had an intent open.

    Attributes:
        killed: all kills.
        counted: those whose process had an intent open.
        met_by: for each state (``step intent``, ``work order running``) how many counted kills met it.
        rows: for each state how many rows they met in it.
    """

    killed: int = 0
    counted: int = 0
    met_by: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def met(self, own: Moment, everything: Moment) -> bool:
        """One kill.

        Args:
            own: what the process held that was killed.
            everything: what there is in the database.

        Returns:
            Whether it counts.
        """
        self.killed += 1
        if not own.steps[StepState.INTENT]:
            return False
        self.counted += 1
        for kind, counts in (("step", everything.steps), ("work order", everything.orders)):
            for state, count in counts.items():
                self.met_by[f"{kind} {state}"] += 1
                self.rows[f"{kind} {state}"] += count
        return True

    @property
    def kinds_of_steps(self) -> set[str]:
        """The states of steps that were met."""
        return {state for state in self.met_by if state.startswith("step ")}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, which pass from one test process to another."""
        return {
            "killed": self.killed, "counted": self.counted, "met_by": dict(self.met_by), "rows": dict(self.rows),
        }  # fmt: skip

    def add(self, values: Mapping[str, Any]) -> None:
        """Adds what another test met."""
        self.killed += values["killed"]
        self.counted += values["counted"]
        self.met_by.update(values["met_by"])
        self.rows.update(values["rows"])

    def lines(self) -> Iterator[str]:
        """A table for people."""
        yield f"{self.counted} kills of the working process while an intent of it was open (of {self.killed} kills)"
        yield f"{'what they met':<28}{'kills':>8}{'rows':>10}"
        for state, kills in sorted(self.met_by.items()):
            yield f"{state:<28}{kills:>8,}{self.rows[state]:>10,}"
