"""The outbox: notifications that wait until the other system took them. Never lost; may come twice.

An event is claimed for a time, sent outside of any transaction, and marked. An engine that dies between sending and
marking leaves the claim to run out: the event is sent again, and its event id tells the receiver that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, Unicode, and_, cast, exists, or_, select, update

from db.schema import job, outbox_event
from db.work import is_state

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_event = outbox_event.c


@dataclass(frozen=True, slots=True)
class DueEvent:
    """A notification to be sent now.

    Attributes:
        row_id: handle.
        event_id: tracking number and run number of its job; the same whenever it is sent.
        job_id, run_no: of its job.
        payload: what is sent.
        attempts: sends so far, this one not counted.
        created_at: when the job ended.
    """

    row_id: int
    event_id: str
    job_id: int
    run_no: int
    payload: Mapping[str, Any]
    attempts: int
    created_at: datetime


def any_due(uow: UnitOfWork) -> bool:
    """Whether a notification is due that nobody is sending: read before anything is written for it."""
    return (
        uow.connection.execute(
            select(_event.id)
            .where(
                is_state(_event.state, "pending"),
                _event.next_attempt_at <= uow.now(),
                or_(_event.claimed_until.is_(None), _event.claimed_until < uow.now()),
            )
            .limit(1)
        ).first()
        is not None
    )


def claim_due_events(uow: UnitOfWork, claimed_until: datetime, limit: int = 10) -> list[DueEvent]:
    """Takes events that are due and that nobody is sending; until then nobody else does."""
    now = uow.now()
    due = (
        is_state(_event.state, "pending"),
        _event.next_attempt_at <= now,
        or_(_event.claimed_until.is_(None), _event.claimed_until < now),
    )
    rows = uow.connection.execute(
        select(
            _event.id, _event.event_id, _event.job_id, _event.run_no, _event.payload, _event.attempts, _event.created_at
        )
        .where(*due)
        .order_by(_event.next_attempt_at)
        .limit(limit)
    ).all()
    taken = []
    for row in rows:
        mine = uow.connection.execute(
            update(outbox_event).where(_event.id == row.id, *due).values(claimed_until=claimed_until)
        ).rowcount
        if mine:
            taken.append(DueEvent(*row))
    return taken


@dataclass(frozen=True, slots=True)
class EventOfJob:
    """The last notification of a job, whatever became of it. ``state``: pending, sent, dead."""

    state: str
    run_no: int
    attempts: int
    last_error: str | None
    next_attempt_at: datetime | None
    sent_at: datetime | None


def last_event_of(uow: UnitOfWork, job_id: int, tracking_number: str, run_no: int) -> EventOfJob | None:
    """The notification of the job's run, or of the one before where that has not ended; None: there is none."""
    row = uow.connection.execute(
        select(_event.state, _event.run_no, _event.attempts, _event.last_error, _event.next_attempt_at, _event.sent_at)
        .where(*_of_run(job_id, tracking_number, run_no))
        .order_by(_event.run_no.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else EventOfJob(*row)


def is_given_up() -> ColumnElement[bool]:
    """Whether the last notification of a job is dead: said of each job of a statement.

    It is the one of :func:`last_event_of`, found by its event id, which has an index: one or two rows for each job.
    """

    def of_run(run_no: ColumnElement[int]) -> ColumnElement[bool]:
        return _event.event_id == job.c.tracking_number + "/" + cast(run_no, Unicode(12))

    present, before = of_run(job.c.run_no), of_run(job.c.run_no - 1)
    return or_(
        exists().where(present, _event.state == "dead"),
        and_(job.c.run_no > 1, exists().where(before, _event.state == "dead"), ~exists().where(present)),
    )


def jobs_with_a_dead_one() -> Select[tuple[int]]:
    """Handles of the jobs of which any notification, of this run or another, was given up."""
    return select(_event.job_id).where(is_state(_event.state, "dead"))


def send_again(uow: UnitOfWork, job_id: int, tracking_number: str, run_no: int) -> bool:
    """Has the job's dead notification sent again, at once; False where it is not dead (any more)."""
    is_sent_again = bool(
        uow.connection.execute(
            update(outbox_event)
            .where(*_of_run(job_id, tracking_number, run_no), _event.state == "dead")
            .values(state="pending", attempts=0, next_attempt_at=uow.now(), claimed_until=None, created_at=uow.now())
        ).rowcount
    )
    if is_sent_again:
        _tell(uow, job_id)
    return is_sent_again


def _of_run(job_id: int, tracking_number: str, run_no: int) -> tuple[ColumnElement[bool], ...]:
    """By the event id, which has an index; the run before is meant too, for a job that runs once more."""
    return _event.event_id.in_([f"{tracking_number}/{run}" for run in (run_no - 1, run_no)]), _event.job_id == job_id


def mark_sent(uow: UnitOfWork, event: DueEvent) -> None:
    """The other system took it; it did even where another sender has given it up meanwhile."""
    if not _mark_sent(uow, event, "pending") and _mark_sent(uow, event, "dead"):
        _tell(uow, event.job_id)


def _mark_sent(uow: UnitOfWork, event: DueEvent, state: str) -> bool:
    return bool(
        uow.connection.execute(
            update(outbox_event)
            .where(_event.id == event.row_id, _event.state == state)
            .values(state="sent", attempts=_event.attempts + 1, sent_at=uow.now(), claimed_until=None, last_error=None)
        ).rowcount
    )


def mark_not_sent(uow: UnitOfWork, event: DueEvent, error: str, next_attempt_at: datetime | None) -> bool:
    """The other system did not take it.

    Args:
        error: why, for people.
        next_attempt_at: when it is sent again; None: never, it is dead and shown as such.

    Returns:
        False where another sender has said already what became of it: that counts.
    """
    is_marked = bool(
        uow.connection.execute(
            update(outbox_event)
            .where(_event.id == event.row_id, _event.state == "pending")
            .values(
                state="dead" if next_attempt_at is None else "pending",
                attempts=_event.attempts + 1,
                next_attempt_at=next_attempt_at,
                claimed_until=None,
                last_error=error[:400],
            )
        ).rowcount
    )
    if is_marked and next_attempt_at is None:
        _tell(uow, event.job_id)
    return is_marked


def _tell(uow: UnitOfWork, job_id: int) -> None:
    """Every desk is told that the job has changed. Its row comes after that of its event, as everywhere."""
    uow.connection.execute(
        update(job).where(job.c.id == job_id).values(changed_at=uow.latest(), revision=job.c.revision + 1)
    )
