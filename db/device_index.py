"""Keeps the columns of all devices beside the database, and up to date with it; one for each desk."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, false, select

from db.cancelling import cancellable
from db.device_columns import DeviceColumns, Entry, Kind
from db.device_filter import digits_of
from db.schema import device, device_ownership, service_provider
from desktop_app.association.facts import OperatorRights
from desktop_app.association.model import DeviceFilter

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: A list may be this old, in seconds; whoever shows it reads it again when devices have changed.
REFRESH_S = 1.0
#: Changes become visible when they are committed, which may be later than their time: so much is read again.
LAG = timedelta(seconds=10)
#: With so many devices that came or changed their texts since, everything is read anew.
MOST_LATE = 2_000
_CHUNK, _FETCHED = 1_000, 2_000

IsCancelled = Callable[[], bool]


class DeviceIndex:
    """Finds devices among a million in milliseconds, once it is filled. Any thread may use it."""

    def __init__(self) -> None:
        self._columns: DeviceColumns | None = None
        self._asking, self._filling = threading.Lock(), threading.Lock()
        self._seen_at: datetime | None = None
        self._recent: dict[int, int] = {}
        self._refreshed_at = 0.0

    # --- keeping it ---------------------------------------------------------------------------------------------------

    def fill(self, uow: UnitOfWork, cancelled: IsCancelled) -> None:
        """Reads all devices, if that was not done yet or if too much has come since: seconds for a million.

        Raises:
            Cancelled: on the way; what was there before is kept.
        """
        if not self._filling.acquire(blocking=False):
            return  # somebody is at it
        try:
            if not self.is_worn():
                return
            columns, seen_at = DeviceColumns(), uow.now()
            listed = and_(device.c.is_deleted == false(), device.c.is_archived == false())
            statement = _entries(listed).order_by(device.c.iccid, device.c.id)
            with cancellable(uow, cancelled):
                columns.fill(_read(uow, statement), cancelled)
            with self._asking:
                self._columns, self._seen_at, self._recent, self._refreshed_at = columns, seen_at, {}, 0.0
        finally:
            self._filling.release()

    def is_worn(self) -> bool:
        """Whether it is to be filled (again)."""
        return self._columns is None or self._columns.late > MOST_LATE

    def _refresh(self, uow: UnitOfWork, columns: DeviceColumns) -> None:
        """Takes what changed since; ``_asking`` is held."""
        began = time.monotonic()
        if began - self._refreshed_at < REFRESH_S:
            return
        assert self._seen_at is not None
        now = uow.now()
        changed: Any = uow.connection.execute(
            select(device.c.id, device.c.revision).where(device.c.changed_at >= self._seen_at - LAG)
        )
        revisions: dict[int, int] = dict(changed.all())
        new = [key for key, revision in revisions.items() if self._recent.get(key) != revision]
        for first in range(0, len(new), _CHUNK):
            for row in _read(uow, _entries(device.c.id.in_(new[first : first + _CHUNK]))):
                columns.put(Entry._make(row))
        self._recent = revisions
        self._seen_at, self._refreshed_at = now, began

    # --- asking -------------------------------------------------------------------------------------------------------

    def ids(
        self, uow: UnitOfWork, rights: OperatorRights, wanted: DeviceFilter, cancelled: IsCancelled
    ) -> array[int] | None:
        """Handles of the devices that the filter matches and the operator may see, by ICCID; None: ask the database.

        Raises:
            Cancelled: on the way.
        """
        if self._columns is None or wanted.include_deleted:
            return None
        with self._asking:
            self._refresh(uow, self._columns)
            return self._columns.ids(wanted, digits_of(wanted.text), rights.visible_customers, cancelled)

    def counts(
        self, uow: UnitOfWork, rights: OperatorRights, wanted: DeviceFilter, cancelled: IsCancelled
    ) -> tuple[int, dict[tuple[str, str, bool], int]] | None:
        """How many devices the operator may see, and how many of each status, service provider and ownership match the
        filter's text and customer; None: ask the database.

        Raises:
            Cancelled: on the way.
        """
        if self._columns is None or wanted.include_deleted:
            return None
        visible = rights.visible_customers
        with self._asking:
            self._refresh(uow, self._columns)
            within = self._columns.counts(wanted, digits_of(wanted.text), visible, cancelled)
            everything = self._columns.counts(DeviceFilter(), "", visible, cancelled)
        # whoever shows chips wants one for each service provider, also for one that has nothing
        shown = {_key(kind): within.get(kind, 0) for kind in everything}
        return sum(everything.values()), shown


def _key(kind: Kind) -> tuple[str, str, bool]:
    return kind.status, kind.provider, kind.is_owned


def _entries(condition: ColumnElement[bool]) -> Select[Any]:
    owned = and_(
        device_ownership.c.device_id == device.c.id,
        device_ownership.c.state == "active",
        device_ownership.c.is_deleted == false(),
    )
    return (
        select(
            device.c.id,
            device.c.iccid,
            device.c.imei,
            device.c.msisdn,
            device.c.eid,
            device.c.name,
            device.c.is_deleted,
            device.c.is_archived,
            device.c.status,
            service_provider.c.code,
            device_ownership.c.customer_id,
        )
        .select_from(
            device.join(service_provider, service_provider.c.id == device.c.service_provider_id).outerjoin(
                device_ownership, owned
            )
        )
        .where(condition)
    )


def _read(uow: UnitOfWork, statement: Select[Any]) -> Iterator[Sequence[Any]]:
    """Rows with the fields of an :class:`~db.device_columns.Entry`."""
    result = uow.connection.execute(statement.execution_options(yield_per=_FETCHED))
    for chunk in result.partitions():
        yield from chunk
