"""What can be chosen for a request."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

from db import browse_choices, browse_devices
from db.browse_choices import CustomerRecord
from desktop_app.association.model import AskedLines, DeviceSelection, PickedDevices, PlanKind, unpack
from desktop_app.desk.devices import LocalDevices
from desktop_app.desk.protocol import CustomerRow, IsCancelled, RatePlanRow, ServiceProviderRow, SiteRow, never
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class LocalChoices:
    """The looking half of :class:`desktop_app.desk.protocol.RequestsDesk`, on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def customers(self, text: str, limit: int = 50) -> tuple[CustomerRow, ...]:
        """Customers whose name, account number or tag holds the text, best first; only those that may be seen."""
        with self._seat.store.read() as uow:
            records = browse_choices.customers(uow, self._seat.rights(uow), text, limit)
        return tuple(customer_row(record) for record in records)

    def sites(self, customer: int) -> tuple[SiteRow, ...]:
        """The customer's active sites, the default first."""
        with self._seat.store.read() as uow:
            return tuple(SiteRow(*record) for record in browse_choices.sites(uow, self._seat.rights(uow), customer))

    def service_providers(self) -> tuple[ServiceProviderRow, ...]:
        """All active service providers."""
        with self._seat.store.read() as uow:
            self._seat.rights(uow)
            return tuple(ServiceProviderRow(*record) for record in browse_choices.service_providers(uow))

    def providers_of(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Mapping[str, int]:
        """How many devices of the selection live on each service provider (by code)."""
        if isinstance(devices, AskedLines):
            located = LocalDevices(self._seat).locate(devices.lines, cancelled=cancelled)
            devices = PickedDevices(located.packed)
        with self._seat.store.read() as uow:
            return browse_choices.providers_of(uow, self._handles(uow, devices, cancelled))

    def rate_plans(
        self, kind: PlanKind, service_provider: str | None = None, customer: int | None = None
    ) -> tuple[RatePlanRow, ...]:
        """Active plans that fit the service provider, or the customer."""
        with self._seat.store.read() as uow:
            rights = self._seat.rights(uow)
            return tuple(
                RatePlanRow(
                    kind=PlanKind(record.kind),
                    code=record.code,
                    name=record.name,
                    service_provider=record.service_provider or "",
                    data_limit_bytes=record.data_limit_bytes,
                    data_pool=record.data_pool or "",
                )
                for record in browse_choices.rate_plans(uow, rights, kind.value, service_provider, customer)
            )

    def _handles(self, uow: UnitOfWork, devices: DeviceSelection, cancelled: IsCancelled) -> array[int]:
        rights = self._seat.rights(uow)
        if isinstance(devices, PickedDevices):
            return unpack(devices.packed)
        assert not isinstance(devices, AskedLines)
        left_out = frozenset(unpack(devices.minus))
        ids = browse_devices.device_ids(uow, rights, devices.filter, "iccid", False, cancelled)
        return array("q", (key for key in ids if key not in left_out)) if left_out else ids


def customer_row(record: CustomerRecord) -> CustomerRow:
    """A stored customer as it is listed."""
    return CustomerRow(
        customer_id=record.customer_id,
        account_number=record.account_number or "",
        name=record.name,
        tag=record.tag,
        is_active=record.is_active,
        devices=record.devices,
        contract_until=record.contract_until,
        default_site=record.default_site,
        default_customer_rate_plan=record.default_customer_rate_plan,
    )
