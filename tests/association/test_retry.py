"""When something is tried again: every kind of error, and each limit at its border."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from desktop_app.association.errors import ErrorKind
from desktop_app.association.retry import LONGEST_WAIT, GiveUp, RetryAt, RetryRules, ask_again_at, decide, probe_at

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULES = RetryRules(max_attempts=4, max_age=timedelta(hours=2), first_wait_s=8.0)


class Dice(Random):
    """Always throws the same."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def random(self) -> float:
        return self._share


def seconds(verdict: RetryAt | GiveUp) -> float:
    assert isinstance(verdict, RetryAt)
    return (verdict.at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("attempt", "share", "retry_after_s", "waits"),
    [
        (1, 0.0, None, 0.0),  # full jitter begins at nothing …
        (1, 0.5, None, 4.0),
        (1, 1.0, None, 8.0),  # … and ends at a bound
        (2, 1.0, None, 16.0),  # that doubles with each try
        (3, 1.0, None, 32.0),
        (1, 0.5, 60.0, 64.0),  # what billing asks for is waited for first, then jitter
        (1, 0.0, 900.0, 900.0),  # even longer than any wait of our own
        (1, 0.0, -5.0, 0.0),
    ],
)
def test_a_transient_error_is_tried_again_later(
    attempt: int, share: float, retry_after_s: float | None, waits: float
) -> None:
    verdict = decide(
        ErrorKind.TRANSIENT, attempt, NOW, NOW, Dice(share), retry_after_s=retry_after_s, rules=RULES
    )  # fmt: skip
    assert seconds(verdict) == waits


def test_no_wait_of_our_own_is_longer_than_the_longest() -> None:
    rules = RetryRules(max_attempts=10_000, max_age=timedelta(days=10_000))
    verdict = decide(ErrorKind.TRANSIENT, 9_999, NOW, NOW, Dice(1.0), rules=rules)
    assert seconds(verdict) == LONGEST_WAIT.total_seconds()


@pytest.mark.parametrize(
    ("kind", "attempt", "age", "reason"),
    [
        (ErrorKind.TRANSIENT, 3, timedelta(), None),
        (ErrorKind.TRANSIENT, 4, timedelta(), "in 4 tries"),
        (ErrorKind.TRANSIENT, 5, timedelta(), "in 5 tries"),
        (ErrorKind.TRANSIENT, 1, timedelta(hours=2), None),
        (ErrorKind.TRANSIENT, 1, timedelta(hours=2, microseconds=1), "for longer than 2 hours"),
        (ErrorKind.ENVIRONMENT, 4_000, timedelta(days=400), None),
        (ErrorKind.PERMANENT, 1, timedelta(), "and trying again would not help"),
    ],
)
def test_it_is_given_up_at_its_limit_and_not_before(
    kind: ErrorKind, attempt: int, age: timedelta, reason: str | None
) -> None:
    verdict = decide(kind, attempt, NOW - age, NOW, Dice(0.0), rules=RULES)
    assert verdict == (RetryAt(NOW) if reason is None else GiveUp(reason))


def test_where_tries_have_no_limit_their_age_has_one() -> None:
    rules = RetryRules(max_attempts=None, max_age=timedelta(days=3))
    at_last = NOW - timedelta(days=3)
    assert decide(ErrorKind.TRANSIENT, 5_000, at_last, NOW, Dice(0.0), rules=rules) == RetryAt(NOW)
    later = NOW + timedelta(seconds=1)
    assert decide(ErrorKind.TRANSIENT, 1, at_last, later, Dice(0.0), rules=rules) == GiveUp("for longer than 72 hours")


def test_a_wait_that_ends_after_the_limit_is_not_begun() -> None:
    first_at = NOW - timedelta(hours=2) + timedelta(seconds=30)
    verdict = decide(ErrorKind.TRANSIENT, 1, first_at, NOW, Dice(0.0), retry_after_s=31, rules=RULES)
    assert isinstance(verdict, GiveUp)


def test_an_hour_is_said_as_one() -> None:
    rules = RetryRules(max_age=timedelta(hours=1))
    verdict = decide(ErrorKind.TRANSIENT, 1, NOW - timedelta(hours=2), NOW, Dice(0.0), rules=rules)
    assert verdict == GiveUp("for longer than an hour")


def test_an_unknown_outcome_is_never_simply_tried_again() -> None:
    with pytest.raises(ValueError, match="asking billing"):
        decide(ErrorKind.UNKNOWN, 1, NOW, NOW, Dice(0.0))


@pytest.mark.parametrize(
    ("age_s", "share", "retry_after_s", "waits"),
    [
        (0, 0.0, None, 1.5),  # half the settle time at the least
        (0, 1.0, None, 3.0),
        (40, 0.0, None, 20.0),  # it grows with the age of the question
        (40, 1.0, None, 40.0),
        (1_000_000, 1.0, None, 600.0),  # up to the longest wait
        (0, 1.0, 45.0, 45.0),  # unless billing asks for more
        (0, 1.0, 1.0, 3.0),
    ],
)
def test_an_open_question_is_asked_again(age_s: float, share: float, retry_after_s: float | None, waits: float) -> None:
    since = NOW - timedelta(seconds=age_s)
    settle = timedelta(seconds=3)
    at = ask_again_at(since, NOW, Dice(share), settle=settle, retry_after_s=retry_after_s)
    assert (at - NOW).total_seconds() == waits


def test_a_question_without_any_settle_time_is_not_asked_in_a_busy_loop() -> None:
    at = ask_again_at(NOW, NOW, Dice(0.0), settle=timedelta())
    assert at == NOW + timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("attempts", "share", "waits"),
    [(0, 0.0, 1.0), (0, 1.0, 2.0), (1, 1.0, 4.0), (4, 1.0, 32.0), (50, 1.0, 300.0), (50, 0.0, 150.0)],
)
def test_a_job_that_paused_itself_looks_less_and_less_often(attempts: int, share: float, waits: float) -> None:
    assert (probe_at(attempts, NOW, Dice(share)) - NOW).total_seconds() == waits
