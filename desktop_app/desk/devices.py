"""Finding devices."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from db import browse_devices, browse_history, browse_jobs
from db.device_index import DeviceIndex
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.association.model import DeviceFilter, DeviceStatus, Identifier, PlanKind, Reading, unpack
from desktop_app.desk.device_files import read_devices_file
from desktop_app.desk.history import history_row
from desktop_app.desk.jobs import device_work_order_row
from desktop_app.desk.protocol import (
    BillingServiceRow,
    DeviceColumn,
    DeviceFacets,
    DeviceRecord,
    DeviceRow,
    FirstDevices,
    IsCancelled,
    Located,
    OwnershipRow,
    ScheduledChangeRow,
    never,
)
from desktop_app.desk.requests import locate_lines
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork
    from desktop_app.association.facts import OperatorRights

#: Up to so many devices that a filter matches are handed to the database to be sorted by another column than ICCID.
MOST_SORTED = 50_000


class LocalDevices:
    """Implements :class:`desktop_app.desk.protocol.DevicesDesk` on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._index = DeviceIndex()

    def prepare_search(self, cancelled: IsCancelled = never) -> None:
        """Reads what searching and filtering need to be quick; until that is done they ask the database."""
        with self._seat.store.read() as uow:
            self._index.fill(uow, cancelled)

    def device_ids(
        self, filter: DeviceFilter, sort: DeviceColumn, descending: bool = False, cancelled: IsCancelled = never
    ) -> bytes:
        """Packed handles of all devices that the filter matches, in order."""
        with self._seat.store.read() as uow:
            ids, _ = self._ids(uow, self._seat.rights(uow), filter, sort, descending, None, cancelled)
        return ids.tobytes()

    def first_devices(
        self,
        filter: DeviceFilter,
        sort: DeviceColumn,
        descending: bool = False,
        limit: int = 200,
        cancelled: IsCancelled = never,
    ) -> FirstDevices:
        """What a list begins with, as soon as that is known, with its rows."""
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            ids, is_all = self._ids(uow, rights, filter, sort, descending, limit, cancelled)
            records = browse_devices.device_rows(uow, rights, ids[:limit])
        return FirstDevices(ids.tobytes(), tuple(_device_row(record) for record in records), is_all)

    def _ids(
        self,
        uow: UnitOfWork,
        rights: OperatorRights,
        filter: DeviceFilter,
        sort: DeviceColumn,
        descending: bool,
        limit: int | None,
        cancelled: IsCancelled,
    ) -> tuple[array[int], bool]:
        """Handles in order, and whether they are all; with a ``limit`` only the first ones where these come sooner."""
        among = None
        if sort is DeviceColumn.ICCID or filter != DeviceFilter():
            among = self._index.ids(uow, rights, filter, cancelled)
        if among is not None and sort is DeviceColumn.ICCID:
            if descending:
                among.reverse()
            return among, True
        is_wide = filter == DeviceFilter()
        if among is not None and len(among) > MOST_SORTED:
            among, is_wide = None, True
        # Few matches in the order of a column are found by sorting them, rather than on the way through its index. By
        # ICCID all of them are read on that way, too.
        if limit is not None and among is None and (is_wide or sort is DeviceColumn.ICCID):
            first = browse_devices.first_ids(uow, rights, filter, sort.value, descending, limit, cancelled)
            if first is not None:
                return first, len(first) < limit
        return browse_devices.device_ids(uow, rights, filter, sort.value, descending, cancelled, among), True

    def device_rows(self, packed: bytes) -> tuple[DeviceRow, ...]:
        """The rows of these handles, in their order; a handle that is gone is left out. At most 1,000 at a time."""
        with self._seat.store.read() as uow:
            records = browse_devices.device_rows(uow, self._seat.rights(uow), unpack(packed))
        return tuple(_device_row(record) for record in records)

    def device_facets(self, filter: DeviceFilter, cancelled: IsCancelled = never) -> DeviceFacets:
        """Counts for the filter's chips."""
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            known = self._index.counts(uow, rights, filter, cancelled)
            if known is not None:
                counted = browse_devices.FacetRecord(*known)
            else:
                counted = browse_devices.device_facets(uow, rights, filter, cancelled)
        by_status = dict.fromkeys(DeviceStatus, 0)
        by_provider: dict[str, int] = {provider: 0 for _, provider, _ in counted.by}
        without_customer = matching = 0
        for (status, provider, is_owned), count in counted.by.items():
            fits_status = not filter.statuses or DeviceStatus(status) in filter.statuses
            fits_provider = not filter.service_providers or provider in filter.service_providers
            fits_owner = filter.owned is None or filter.owned == is_owned
            if fits_provider and fits_owner:
                by_status[DeviceStatus(status)] += count
            if fits_status and fits_owner:
                by_provider[provider] += count
            if fits_status and fits_provider and not is_owned:
                without_customer += count
            if fits_status and fits_provider and fits_owner:
                matching += count
        return DeviceFacets(counted.total, matching, by_status, by_provider, without_customer)

    def read_devices_file(self, path: Path) -> tuple[str, ...]:
        """The identifiers in a text, CSV or .xlsx file, one a line; the result CSV can be fed back."""
        return read_devices_file(path)

    def device(self, identifier: str, service_provider: str | None = None) -> DeviceRecord:
        """One device by any identifier.

        Raises:
            NotFound: unknown, or on several service providers and none was named.
        """
        read = read_line(identifier)
        if isinstance(read, Unreadable):
            raise RequestRefused(read.code, read.message, read.what_to_do)
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            found = browse_devices.find(uow, rights, readings(read))
            if service_provider is not None:
                found = [record for record in found if record.service_provider == service_provider]
            record = _the_one(found, identifier.strip(), service_provider)
            facts = [history_row(fact) for fact in browse_history.history(uow, rights, device_ids=[record.device_id])]
            facts += [
                history_row(fact, is_cross_provider=True)
                for fact in browse_history.elsewhere(uow, rights, record.device_id)
            ]
            return DeviceRecord(
                device=_device_row(record),
                ownerships=tuple(
                    OwnershipRow(
                        state=row.state,
                        customer=row.customer,
                        account_number=row.account_number or "",
                        site=row.site or "",
                        effective_from=row.effective_from,
                        effective_to=row.effective_to,
                        customer_rate_plan=row.customer_rate_plan or "",
                        data_limit_bytes=row.data_limit_bytes,
                        data_pool=row.data_pool or "",
                        customer_rate_plan_name=row.customer_rate_plan_name or "",
                    )
                    for row in browse_devices.ownerships(uow, rights, record.device_id)
                ),
                billing_services=tuple(
                    BillingServiceRow(*row[:-1], reference=row.reference or "")
                    for row in browse_devices.billing_services(uow, rights, record.device_id)
                ),
                scheduled_changes=tuple(
                    ScheduledChangeRow(
                        PlanKind(row.kind),
                        row.rate_plan,
                        row.due_on,
                        row.state,
                        row.tracking_number or "",
                        row.rate_plan_name,
                    )
                    for row in browse_devices.scheduled_changes(uow, rights, record.device_id)
                ),
                history=tuple(sorted(facts, key=lambda fact: (fact.at, fact.history_id), reverse=True)),
                open_tracking_number=browse_devices.open_tracking_number(uow, record.device_id),
                work_orders=tuple(
                    device_work_order_row(row)
                    for row in browse_jobs.work_orders_of_device(uow, rights, record.device_id)
                ),
            )

    def locate(
        self, lines: Sequence[str], service_provider: str | None = None, cancelled: IsCancelled = never
    ) -> Located:
        """Finds devices by pasted or imported lines. Bad lines are answered, not raised."""
        return locate_lines(self._seat, lines, service_provider, cancelled)


def readings(identifier: Identifier) -> tuple[Reading, ...]:
    """Every way to read an identifier, the surest first."""
    return (Reading(identifier.kind, identifier.value), *identifier.alternatives)


def _the_one(
    found: Sequence[browse_devices.DeviceRecord], asked_for: str, service_provider: str | None
) -> browse_devices.DeviceRecord:
    if not found:
        where = f" on {service_provider}" if service_provider else ""
        raise NotFound(
            "DEVICE_NOT_FOUND",
            f"There is no device {asked_for!r}{where} that you may see.",
            "Compare the identifier with its source.",
        )
    if len(found) > 1:
        providers = ", ".join(record.service_provider for record in found)
        raise NotFound(
            "DEVICE_AMBIGUOUS",
            f"The device {asked_for!r} is on several service providers: {providers}.",
            "Name one of them with --service-provider.",
        )
    return found[0]


def _device_row(record: browse_devices.DeviceRecord) -> DeviceRow:
    return DeviceRow(
        device_id=record.device_id,
        iccid=record.iccid,
        imei=record.imei or "",
        msisdn=record.msisdn or "",
        eid=record.eid or "",
        name=record.name or "",
        status=DeviceStatus(record.status),
        service_provider=record.service_provider,
        carrier_rate_plan=record.carrier_rate_plan or "",
        carrier_rate_plan_name=record.carrier_rate_plan_name or "",
        customer=record.customer or "",
        site=record.site or "",
        activated_on=record.activated_on,
        is_deleted=record.is_deleted,
        is_archived=record.is_archived,
    )
