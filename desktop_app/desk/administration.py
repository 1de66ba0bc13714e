"""The desk itself: what may be done here, what changed, and the settings in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from db import browse_devices, browse_jobs
from desktop_app.association.facts import Right
from desktop_app.desk.jobs import job_row
from desktop_app.desk.protocol import Capabilities, Changes, JobCounts
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: What a transaction wrote may become visible so much later than the instant it wrote: so far back is read again.
LAG = timedelta(seconds=10)
#: A cursor of devices is moved forward when it is older than this; what lies between is summed in each call.
_DEVICES_SPAN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Installation:
    """What the desk shows of how it was set up; no secrets.

    Attributes:
        environment: "SANDBOX" or "PRODUCTION".
        database: such as a file's name.
        billing: address of the billing API.
        settings: names and values, in words.
        runs_engine: whether work is done in this process.
        version: of the program.
    """

    environment: str
    database: str
    billing: str
    settings: Mapping[str, str]
    runs_engine: bool
    version: str


class LocalAdministration:
    """Implements :class:`desktop_app.desk.protocol.AdministrationDesk` on a database."""

    def __init__(self, seat: Seat, installation: Installation) -> None:
        self._seat = seat
        self._installation = installation

    def capabilities(self) -> Capabilities:
        """What may be done here."""
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            time_zone, today = uow.settings().time_zone, uow.today()
        held = {right for right, _ in rights.grants}
        return Capabilities(
            operator=rights.login,
            acting=self._seat.acting,
            is_administrator=rights.is_administrator,
            may_associate=rights.is_administrator or Right.ASSOCIATE in held,
            may_reassign=rights.is_administrator or Right.REASSIGN in held,
            environment=self._installation.environment,
            database=self._installation.database,
            billing=self._installation.billing,
            runs_engine=self._installation.runs_engine,
            time_zone=time_zone,
            today=today,
            version=self._installation.version,
        )

    def changes(self, cursor: str = "") -> Changes:
        """What changed since the cursor; an empty one: nothing but a fresh cursor and the sums.

        Rows carry the instant of their transaction, which is not the order in which transactions become visible; so the
        last ten seconds are read again each time, and what the cursor knows of them (by revision) is dropped.
        """
        known = _Cursor.read(cursor)
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            active_jobs, sums = browse_jobs.active_sums(uow, rights)
            now = uow.now()
            since = (known.read_at if known is not None else now) - LAG
            revisions = browse_jobs.job_revisions_since(uow, rights, since)
            changed = known is not None and any(known.jobs.get(number) != n for number, n in revisions.items())
            records = browse_jobs.jobs_changed_since(uow, rights, since) if changed else []
            devices, devices_changed = _devices(uow, known.devices if known is not None else None, now)
        return Changes(
            cursor=_Cursor(now, revisions, devices).write(),
            jobs=tuple(
                job_row(record)
                for record in records
                if known is not None and known.jobs.get(record.tracking_number) != record.revision
            ),
            devices_changed=devices_changed,
            active_jobs=active_jobs,
            active=JobCounts(*sums),
        )

    def settings(self) -> Mapping[str, str]:
        """The settings in force, in words, without secrets."""
        with self._seat.store.read() as uow:
            self._seat.rights(uow)
            agreed = uow.settings()
        shared = {
            "time zone": agreed.time_zone,
            "settle time (s)": "by billing kind" if agreed.settle_s is None else f"{agreed.settle_s:g}",
            "attempts at most": str(agreed.max_attempts),
            "furthest effective date (days ahead)": str(agreed.furthest_ahead_days),
        }
        return {**self._installation.settings, **shared}


@dataclass(frozen=True, slots=True)
class _DevicesSeen:
    """How the devices stood: the newest change, and the revisions summed of those changed at ``since`` or later."""

    since: datetime
    newest: datetime | None
    revisions: int


def _devices(uow: UnitOfWork, known: _DevicesSeen | None, now: datetime) -> tuple[_DevicesSeen, bool]:
    """How the devices stand, and whether that differs from what is known."""
    since = known.since if known is not None else now - LAG
    seen = _DevicesSeen(since, *browse_devices.newest_change(uow, since))
    changed = known is not None and seen != known
    if now - since > _DEVICES_SPAN:
        since = now - LAG
        seen = _DevicesSeen(since, *browse_devices.newest_change(uow, since))
    return seen, changed


@dataclass(frozen=True, slots=True)
class _Cursor:
    """What a caller of :meth:`LocalAdministration.changes` has seen; to the caller it is a text without meaning."""

    read_at: datetime
    jobs: Mapping[str, int]
    devices: _DevicesSeen

    def write(self) -> str:
        newest = self.devices.newest
        return json.dumps(
            [
                self.read_at.isoformat(),
                self.jobs,
                self.devices.since.isoformat(),
                None if newest is None else newest.isoformat(),
                self.devices.revisions,
            ],
            separators=(",", ":"),
        )

    @classmethod
    def read(cls, text: str) -> _Cursor | None:
        """The cursor, or None for an empty one and for one that an older program wrote."""
        try:
            read_at, jobs, since, newest, revisions = json.loads(text)
            return cls(_instant(read_at), jobs, _DevicesSeen(_instant(since), newest and _instant(newest), revisions))
        except (ValueError, TypeError):
            return None


def _instant(text: Any) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
