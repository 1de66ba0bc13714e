"""What happened: facts by device, and finished jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db import browse_devices, browse_history, browse_jobs
from desktop_app.association.facts import OperatorRights
from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.association.model import IdentifierKind, Reading
from desktop_app.desk.jobs import job_row
from desktop_app.desk.protocol import HistoryFilter, HistoryRow, JobRow
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class LocalHistory:
    """Implements :class:`desktop_app.desk.protocol.HistoryDesk` on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def history(self, filter: HistoryFilter, limit: int = 200, before: int | None = None) -> tuple[HistoryRow, ...]:
        """Facts, newest first, by device. ``before``: the last ``history_id`` of the page before."""
        with self._seat.store.read() as uow:
            records = facts(uow, self._seat.rights(uow), filter, limit, before)
        return tuple(history_row(record) for record in records)

    def job_history(self, filter: HistoryFilter, limit: int = 200, before: str | None = None) -> tuple[JobRow, ...]:
        """Finished jobs, the last finished first. ``before``: the last tracking number of the page before."""
        with self._seat.store.read() as uow:
            records = ended_jobs(uow, self._seat.rights(uow), filter, limit, before)
        return tuple(job_row(record) for record in records)

    def operators(self) -> tuple[str, ...]:
        """Logins that appear in the history."""
        with self._seat.store.read() as uow:
            self._seat.rights(uow)
            return browse_history.operators(uow)


def facts(
    uow: UnitOfWork, rights: OperatorRights, filter: HistoryFilter, limit: int, before: int | None = None
) -> list[browse_history.HistoryRecord]:
    """A page of the facts that the filter lets through, newest first."""
    text, device_ids = _meant(uow, filter)
    return browse_history.history(
        uow,
        rights,
        device_ids=device_ids,
        text=text,
        customer_id=filter.customer,
        since=filter.since,
        until=filter.until,
        operator_login=filter.operator,
        before=before,
        limit=limit,
    )


def ended_jobs(
    uow: UnitOfWork, rights: OperatorRights, filter: HistoryFilter, limit: int, before: str | None = None
) -> list[browse_jobs.JobRecord]:
    """A page of the finished jobs that the filter lets through, the last finished first."""
    text, device_ids = _meant(uow, filter)
    return browse_jobs.finished_jobs(
        uow,
        rights,
        text=text,
        device_ids=device_ids,
        customer_id=filter.customer,
        since=filter.since,
        until=filter.until,
        operator_login=filter.operator,
        before=before,
        limit=limit,
    )


def _meant(uow: UnitOfWork, filter: HistoryFilter) -> tuple[str, list[int] | None]:
    """The text that is to be searched, or the handles of the devices that it names."""
    text = filter.text.strip()
    identifier = read_line(text) if text else None
    if identifier is None or isinstance(identifier, Unreadable):
        return text, None
    ids = browse_devices.ids_of(uow, (Reading(identifier.kind, identifier.value), *identifier.alternatives))
    if not ids and identifier.kind is IdentifierKind.MSISDN:
        return text, None  # a few digits may as well be a part of a tracking number
    return "", ids


def history_row(record: browse_history.HistoryRecord, *, is_cross_provider: bool = False) -> HistoryRow:
    """A stored fact as it is shown."""
    return HistoryRow(
        history_id=record.history_id,
        at=record.at,
        iccid=record.iccid,
        event=record.event,
        detail=record.detail,
        customer=record.customer or "",
        tracking_number=record.tracking_number or "",
        operator=record.operator_login,
        reason=record.reason,
        effective_date=record.effective_date,
        service_provider=record.service_provider,
        is_cross_provider=is_cross_provider,
        told=_told(record),
    )


def _told(record: browse_history.HistoryRecord) -> str:
    """Its detail with the name of the rate plan that it is about, where that is known, instead of the code."""
    plan, comma, rest = record.detail.partition(",")
    for kind, code, name in record.rate_plans:
        if plan == f"{kind.capitalize()} rate plan {code}":
            return f"{kind.capitalize()} rate plan {name}{comma}{rest}"
    return record.detail
