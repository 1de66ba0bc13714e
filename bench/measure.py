"""Figures, their baselines and their targets; and measuring two things in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should reach; one of the two bounds is given.

    Attributes:
        of_ratio: the bound is on figure ÷ baseline; False: on the figure itself, in its unit.
    """

    at_least: float | None = None
    at_most: float | None = None
    of_ratio: bool = True

    def is_met(self, value: float) -> bool:
        """Whether a ratio (or a figure) is within the bound."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is None or value <= self.at_most


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, beside its baseline.

    Attributes:
        topic: of the module that measured it.
        what: the figure, in words.
        unit: of figure and baseline: ``s``, ``ms``, ``a second``, ``bytes``.
        values: one for each repeat.
        baseline: the baseline, in words.
        baseline_values: one for each repeat, measured (or computed) right beside ``values``.
        target: None: only told.
        note: what must be known to read it.
    """

    topic: str
    what: str
    unit: str
    values: tuple[float, ...]
    baseline: str
    baseline_values: tuple[float, ...]
    target: Target | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median of the repeats."""
        return median(self.values)

    @property
    def baseline_value(self) -> float:
        """The median of the baseline's repeats."""
        return median(self.baseline_values)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Figure ÷ baseline of each repeat: both met the same noise."""
        return tuple(one / other for one, other in zip(self.values, self.baseline_values, strict=True))

    @property
    def ratio(self) -> float:
        """The median of :attr:`ratios`."""
        return median(self.ratios)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None: there is none."""
        if self.target is None:
            return None
        return self.target.is_met(self.ratio if self.target.of_ratio else self.value)

    def to_document(self) -> dict[str, Any]:
        """As JSON, every repeat in it."""
        return {
            "topic": self.topic,
            "what": self.what,
            "unit": self.unit,
            "value": self.value,
            "values": self.values,
            "baseline": self.baseline,
            "baseline_value": self.baseline_value,
            "baseline_values": self.baseline_values,
            "ratio": self.ratio,
            "ratios": self.ratios,
            "target": None
            if self.target is None
            else {
                "at_least": self.target.at_least,
                "at_most": self.target.at_most,
                "of": "ratio" if self.target.of_ratio else "figure",
            },
            "met": self.is_met,
            "note": self.note,
        }


def timed(work: Callable[..., object], *arguments: object) -> float:
    """Seconds that ``work`` takes with these arguments, without the garbage of what came before it."""
    gc.collect()
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def in_turns(repeats: int, *measures: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Measures several things in turns, so that all of them meet the same noise.

    Args:
        repeats: how often each.
        measures: each returns its value.

    Returns:
        For each of ``measures`` its values.
    """
    rounds = [[measure() for measure in measures] for _ in range(repeats)]
    return tuple(zip(*rounds, strict=True))
