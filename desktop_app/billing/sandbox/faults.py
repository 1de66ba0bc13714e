"""How the sandbox misbehaves: by rate, by request header, or for the next requests; and how fast it is."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

#: Every fault, and whether a GET can have it too. A fault that is called "after" or "late" has made what was asked for.
FAULTS: Mapping[str, bool] = {
    "429": True,  # refused before processing, with Retry-After
    "500-before": True,  # 500, nothing was made
    "500-after": False,  # 500, it was made
    "cut-before": True,  # the connection is cut, nothing was made
    "cut-after": False,  # it was made, the connection is cut without a byte of answer
    "late": True,  # it was made; the answer comes after ``late_ms``, or never if the client leaves
    "appears-late": False,  # answered as ``appears_late_answer`` says; it comes into being ``appears_late_ms`` later
}
_LATE_ANSWERS = ("500", "cut", "late")


class BadFault(ValueError):
    """A fault or a setting that does not exist, or a value out of range."""


@dataclass(slots=True)
class Faults:
    """Settings of misbehaviour; all times in milliseconds. Changed at run time with :meth:`change`.

    Attributes:
        rates: share of POSTs and PUTs, 0 to 1, that get a fault, by fault.
        get_rates: the same for GETs.
        next: faults of the next POSTs and PUTs, in order, before any rate is looked at ("" for none).
        seed: of the random numbers; the same sequence of requests gets the same faults.
        latency_ms: added to every answer.
        process_delay_ms: between reading a POST and making what it asks for; a change holds for those that wait too.
        search_lag_ms: lists do not show what is younger.
        rate_per_minute: calls in any 60 s, else 429 with Retry-After; 0 for no limit.
        retry_after_s: the Retry-After of a "429" fault.
        refuse_logins: status (401, 403) for every call, as if the credential were locked; 0 for none.
        ignore_filters: lists ignore every ``search.`` parameter.
    """

    rates: dict[str, float] = field(default_factory=dict)
    get_rates: dict[str, float] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)
    seed: int = 1
    latency_ms: float = 0
    process_delay_ms: float = 0
    search_lag_ms: float = 0
    late_ms: float = 30_000
    appears_late_ms: float = 1_000
    appears_late_answer: str = "500"
    rate_per_minute: int = 0
    retry_after_s: int = 1
    refuse_logins: int = 0
    ignore_filters: bool = False
    given: Counter[str] = field(default_factory=Counter, repr=False)
    _random: random.Random = field(init=False, repr=False)
    _recent: deque[float] = field(default_factory=deque, init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def change(self, settings: Mapping[str, Any]) -> None:
        """Changes what is named, all or nothing; ``{"reset": true}`` goes back to the well-behaved server first.

        Raises:
            BadFault: a name, a fault or a value that does not exist or is out of range.
        """
        wanted = dict(settings)
        base = type(self)() if wanted.pop("reset", False) else self
        checked = {name: _checked(name, value) for name, value in wanted.items()}
        for name in _SETTINGS:
            setattr(self, name, checked.get(name, getattr(base, name)))
        if "seed" in checked or base is not self:
            self._random = random.Random(self.seed)

    def settings(self) -> dict[str, Any]:
        """The settings as :meth:`change` takes them."""
        return {name: getattr(self, name) for name in _SETTINGS}

    def draw(self, *, is_get: bool, header: str) -> str:
        """The fault of this request, "" for none: the header's, else the next one waiting, else by rate.

        Raises:
            BadFault: the header names none, or one that a GET cannot have.
        """
        if header:
            fault = _fault(header, for_get=is_get)
        elif self.next and not is_get:
            fault = self.next.pop(0)
        else:
            fault = self._by_rate(self.get_rates if is_get else self.rates)
        if fault:
            self.given[fault] += 1
        return fault

    def _by_rate(self, rates: Mapping[str, float]) -> str:
        if not rates:
            return ""
        number = self._random.random()
        for fault in sorted(rates):
            number -= rates[fault]
            if number < 0:
                return fault
        return ""

    def over_limit(self, now: float | None = None) -> int:
        """Counts a call against ``rate_per_minute``: 0 if it may pass, else whole seconds until one may."""
        if not self.rate_per_minute:
            return 0
        now = time.monotonic() if now is None else now
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) < self.rate_per_minute:
            self._recent.append(now)
            return 0
        self.given["rate limit"] += 1
        return max(1, int(self._recent[0] + 60 - now + 0.999))


_SETTINGS = tuple(f.name for f in fields(Faults) if f.init and f.name != "given")


def parse_rates(pairs: list[str], *, for_get: bool = False) -> dict[str, float]:
    """``["429=0.02", "cut-after=0.01"]`` as rates.

    Raises:
        BadFault: one of them is no such pair.
    """
    rates: dict[str, Any] = {}
    for pair in pairs:
        name, _, share = pair.partition("=")
        try:
            rates[name] = float(share)
        except ValueError:
            raise BadFault(f"{pair!r} is not FAULT=SHARE, such as 429=0.02.") from None
    return _rates(rates, for_get=for_get)


def _fault(name: object, *, for_get: bool = False) -> str:
    if name not in FAULTS or not isinstance(name, str):
        raise BadFault(f"There is no fault {name!r}; there are {', '.join(FAULTS)}.")
    if for_get and not FAULTS[name]:
        raise BadFault(f"A GET cannot have the fault {name!r}.")
    return name


def _rates(value: object, *, for_get: bool) -> dict[str, float]:
    if not isinstance(value, dict):
        raise BadFault("Rates are an object of fault and share.")
    for name, share in value.items():
        _fault(name, for_get=for_get)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise BadFault(f"The share of {name!r} has to be between 0 and 1.")
    if sum(value.values()) > 1:
        raise BadFault("The shares add up to more than 1.")
    return value


def _checked(name: str, value: object) -> object:
    match name:
        case "rates" | "get_rates":
            return _rates(value, for_get=name == "get_rates")
        case "next":
            if not isinstance(value, list):
                raise BadFault("'next' is a list of faults.")
            return [fault and _fault(fault) for fault in value]
        case "appears_late_answer":
            if value not in _LATE_ANSWERS:
                raise BadFault(f"'appears_late_answer' is one of {', '.join(_LATE_ANSWERS)}.")
            return value
        case "refuse_logins":
            if value not in (0, 401, 403):
                raise BadFault("'refuse_logins' is 0, 401 or 403.")
            return value
        case "ignore_filters":
            if not isinstance(value, bool):
                raise BadFault("'ignore_filters' is true or false.")
            return value
        case "seed" | "rate_per_minute" | "retry_after_s":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise BadFault(f"{name!r} is a whole number, 0 or more.")
            return value
        case _:
            return _milliseconds(name, value)


def _milliseconds(name: str, value: object) -> object:
    if name not in _SETTINGS:
        raise BadFault(f"There is no setting {name!r}; there are {', '.join(_SETTINGS)}.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3_600_000:
        raise BadFault(f"{name!r} is a time in milliseconds, up to an hour.")
    return value
