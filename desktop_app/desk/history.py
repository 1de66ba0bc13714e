"""What happened: facts by device, and finished jobs."""

from __future__ import annotations

from db import browse_devices, browse_history, browse_jobs
from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.association.model import IdentifierKind, Reading
from desktop_app.desk.jobs import job_row
from desktop_app.desk.protocol import HistoryFilter, HistoryRow, JobRow
from desktop_app.desk.seat import Seat


class LocalHistory:
    """Implements :class:`desktop_app.desk.protocol.HistoryDesk` on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def history(self, filter: HistoryFilter, limit: int = 200, before: int | None = None) -> tuple[HistoryRow, ...]:
        """Facts, newest first, by device. ``before``: the last ``history_id`` of the page before."""
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            text, device_ids = filter.text.strip(), None
            identifier = read_line(text) if text else None
            if identifier is not None and not isinstance(identifier, Unreadable):
                device_ids = browse_devices.ids_of(
                    uow, (Reading(identifier.kind, identifier.value), *identifier.alternatives)
                )
                if not device_ids and identifier.kind is IdentifierKind.MSISDN:
                    device_ids = None  # a few digits may as well be a part of a tracking number
            records = browse_history.history(
                uow,
                rights,
                device_ids=device_ids,
                text="" if device_ids is not None else text,
                since=filter.since,
                until=filter.until,
                operator_login=filter.operator,
                before=before,
                limit=limit,
            )
        return tuple(history_row(record) for record in records)

    def job_history(self, filter: HistoryFilter, limit: int = 200, offset: int = 0) -> tuple[JobRow, ...]:
        """Finished jobs, newest first."""
        with self._seat.store.read() as uow:
            records = browse_jobs.finished_jobs(
                uow,
                self._seat.rights(uow),
                text=filter.text,
                since=filter.since,
                until=filter.until,
                operator_login=filter.operator,
                limit=limit,
                offset=offset,
            )
        return tuple(job_row(record) for record in records)

    def operators(self) -> tuple[str, ...]:
        """Logins that appear in the history."""
        with self._seat.store.read() as uow:
            self._seat.rights(uow)
            return browse_history.operators(uow)


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
    )
