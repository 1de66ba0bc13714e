"""Which devices a filter matches."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from db.device_filter import matches
from db.schema import device
from db.unit_of_work import Store
from desktop_app.association.model import DeviceFilter, DeviceStatus
from tests.helpers.world import FABRIKAM, HARBOR, NORTHWIND, World

ONE, TWO, THREE, FOUR = 1001, 1002, 1003, 1004


@pytest.fixture
def world(store: Store) -> World:
    world = World(store)
    world.device(iccid="8901260000000000777", name="Pump Ärö", imei="490154203237518")
    world.device(status="suspended", service_provider_id=HARBOR, name="100% _new_", msisdn="436641234567")
    world.device(status="inventory", name=None, eid="89049032123451234512345678901235")
    world.device(name="pump 2")
    world.own(ONE)
    world.own(TWO, FABRIKAM)
    world.own(THREE, FABRIKAM, is_deleted=True)
    world.own(THREE, FABRIKAM, state="ended")
    world.own(FOUR, FABRIKAM, state="scheduled")
    world.put(
        device,
        *(
            {**world.rows(device, id=FOUR)[0]._mapping, "id": key, "iccid": str(key), **gone}
            for key, gone in ((2001, {"is_deleted": True}), (2002, {"is_archived": True}))
        ),
    )
    return world


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (DeviceFilter(), [ONE, TWO, THREE, FOUR]),
        (DeviceFilter(include_deleted=True), [ONE, TWO, THREE, FOUR, 2001, 2002]),
        (DeviceFilter(statuses=(DeviceStatus.SUSPENDED, DeviceStatus.INVENTORY)), [TWO, THREE]),
        (DeviceFilter(service_providers=("HARBOR",)), [TWO]),
        (DeviceFilter(service_providers=("HARBOR", "NORTHSTAR")), [ONE, TWO, THREE, FOUR]),
        (DeviceFilter(service_providers=("NOBODY",)), []),
        # one that ended, was deleted or is to come is no owner
        (DeviceFilter(owned=True), [ONE, TWO]),
        (DeviceFilter(owned=False), [THREE, FOUR]),
        (DeviceFilter(customer=NORTHWIND), [ONE]),
        (DeviceFilter(customer=FABRIKAM), [TWO]),
        (DeviceFilter(customer=FABRIKAM, owned=False), []),
        # text: identifiers without blanks and dashes, names as they are
        (DeviceFilter(text="0000777"), [ONE]),
        (DeviceFilter(text="8901 2600-0000 0000 777"), [ONE]),
        (DeviceFilter(text="490154203237518"), [ONE]),
        (DeviceFilter(text="+43 664"), [TWO]),
        (DeviceFilter(text="89049032"), [THREE]),
        (DeviceFilter(text=" PUMP "), [ONE, FOUR]),
        (DeviceFilter(text="pump 2"), [FOUR]),
        (DeviceFilter(text="%"), [TWO]),
        (DeviceFilter(text="_new_"), [TWO]),
        (DeviceFilter(text="0%_"), []),
        (DeviceFilter(text="   "), [ONE, TWO, THREE, FOUR]),
        (DeviceFilter(text="pump", owned=True, statuses=(DeviceStatus.ACTIVE,)), [ONE]),
    ],
)
def test_filters(world: World, wanted: DeviceFilter, expected: list[int]) -> None:
    with world.store.read() as uow:
        ids = uow.connection.execute(select(device.c.id).where(matches(wanted)).order_by(device.c.id)).scalars()
        assert list(ids) == expected
