"""When something is tried again, and when it is given up: pure functions over stored instants.

Nothing here sleeps. A wait is an instant in the database, so that it also ends in a process that was started meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from desktop_app.association.errors import ErrorKind

#: Longest wait between two tries of the same thing, unless billing itself asks for a longer one.
LONGEST_WAIT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Limits of trying again.

    Attributes:
        max_attempts: tries of a work order in one run of its job; None: as many as its age allows.
        max_age: from the first try of the run, or since its job went on after a pause; later than that nothing is tried
            again.
        first_wait_s: upper bound of the first wait in seconds; doubled with each further try.
    """

    max_attempts: int | None = 8
    max_age: timedelta = timedelta(hours=24)
    first_wait_s: float = 1.0


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again, not before this instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again; ``reason`` is the end of a sentence that begins with what failed."""

    reason: str


def decide(
    kind: ErrorKind,
    attempt: int,
    first_at: datetime,
    now: datetime,
    rng: Random,
    *,
    retry_after_s: float | None = None,
    rules: RetryRules | None = None,
) -> RetryAt | GiveUp:
    """Whether a failed try is followed by another one, and when.

    Full jitter: the wait is drawn evenly from nothing to a bound that doubles with each try, so that a thousand devices
    that failed together do not come back together. A ``Retry-After`` is obeyed: it is waited for first, then jitter.

    Args:
        kind: of the error. ``TRANSIENT`` is tried again within the limits; ``ENVIRONMENT`` always (what failed is not
            the device's, and the pause of its job sets the pace); ``PERMANENT`` never.
        attempt: how many tries there were, this one included; from 1.
        first_at: instant of the first try of this run, or since the job went on after a pause.
        now: the instant of the decision.
        rng: source of the jitter.
        retry_after_s: seconds that the other side asked to wait.
        rules: the limits.

    Raises:
        ValueError: ``UNKNOWN``: what may have been done is asked for, never simply tried again.
    """
    if kind is ErrorKind.UNKNOWN:
        raise ValueError("An unknown outcome is resolved by asking billing, not by trying again.")
    if kind is ErrorKind.PERMANENT:
        return GiveUp("and trying again would not help")
    rules = rules or RetryRules()
    at = later(attempt, now, rng, retry_after_s=retry_after_s, rules=rules)
    limit = limit_reached(attempt, first_at, at, rules) if kind is ErrorKind.TRANSIENT else None
    return RetryAt(at) if limit is None else limit


def later(attempt: int, now: datetime, rng: Random, *, retry_after_s: float | None, rules: RetryRules) -> datetime:
    """The instant of the next try, whatever the limits say; arguments as those of :func:`decide`, tries from 0."""
    wait = min(LONGEST_WAIT, _doubled(rules.first_wait_s, max(attempt, 1) - 1)) * rng.random()
    return now + wait + timedelta(seconds=max(0.0, retry_after_s or 0.0))


def limit_reached(attempts: int, first_at: datetime, at: datetime, rules: RetryRules) -> GiveUp | None:
    """Why nothing is tried again at ``at`` after so many tries; None: it may be."""
    if rules.max_attempts is not None and attempts >= rules.max_attempts:
        return GiveUp("in one try" if attempts == 1 else f"in {attempts:,} tries")
    if at - first_at > rules.max_age:
        return GiveUp(f"for longer than {_hours(rules.max_age)}")
    return None


def ask_again_at(
    since: datetime, now: datetime, rng: Random, *, settle: timedelta, retry_after_s: float | None = None
) -> datetime:
    """When billing is asked again for an unknown outcome after it could not be asked now.

    The wait grows with the age of the question (about doubling it), so that no counter is needed; it is at least half
    the settle time, at most :data:`LONGEST_WAIT` or what billing asked for. There is no limit: an unknown outcome is
    never guessed.
    """
    bound = min(LONGEST_WAIT, max(settle, now - since, timedelta(seconds=1)))
    wait = bound / 2 + bound / 2 * rng.random()
    return now + max(wait, timedelta(seconds=max(0.0, retry_after_s or 0.0)))


def probe_at(attempts: int, now: datetime, rng: Random, *, first_wait_s: float = 2.0) -> datetime:
    """When a job that paused itself because of its environment looks whether that is back.

    Args:
        attempts: looks that were in vain so far; 0 when it has just paused.
    """
    bound = min(LONGEST_WAIT / 2, _doubled(first_wait_s, attempts))
    return now + bound / 2 + bound / 2 * rng.random()


def _doubled(seconds: float, times: int) -> timedelta:
    return timedelta(seconds=seconds * 2.0 ** min(times, 20))


def _hours(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return "an hour" if hours == 1 else f"{hours:g} hours"
