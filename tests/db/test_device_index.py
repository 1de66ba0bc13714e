"""Searching in memory: it answers what the database answers, and keeps up with it."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from db import browse_devices, device_columns, device_index, operators
from db.device_index import DeviceIndex
from db.schema import device, device_ownership
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import Cancelled
from desktop_app.association.facts import OperatorRights
from desktop_app.association.model import DeviceFilter, DeviceStatus
from tests.helpers.databases import Databases
from tests.helpers.stores import demo_store


def not_cancelled() -> bool:
    return False


@pytest.fixture
def demo(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Demo data, in blocks that are small enough for many of them."""
    monkeypatch.setattr(device_columns, "BLOCK", 97)
    monkeypatch.setattr(device_index, "REFRESH_S", 0.0)
    with demo_store(databases) as store:
        yield store


def rights_of(uow: UnitOfWork, login: str) -> OperatorRights:
    rights = operators.find(uow, login)
    assert rights is not None
    return rights


def asked(uow: UnitOfWork, rights: OperatorRights, wanted: DeviceFilter) -> array[int]:
    return browse_devices.device_ids(uow, rights, wanted, "iccid", False, not_cancelled)


def assert_same(index: DeviceIndex, store: Store, wanted: DeviceFilter, login: str = "operator") -> array[int]:
    """List and counts are those of the database; the list."""
    with store.read() as uow:
        rights = rights_of(uow, login)
        ids, counts = index.ids(uow, rights, wanted, not_cancelled), index.counts(uow, rights, wanted, not_cancelled)
        assert ids == asked(uow, rights, wanted), wanted
        facets = browse_devices.device_facets(uow, rights, wanted, not_cancelled)
        assert counts is not None
        assert counts[0] == facets.total
        assert {kind: count for kind, count in counts[1].items() if count} == facets.by
    return ids


def filled(store: Store) -> DeviceIndex:
    index = DeviceIndex()
    with store.read() as uow:
        index.fill(uow, not_cancelled)
    return index


@pytest.mark.parametrize("login", ["operator", "limited"])
def test_every_filter_gives_what_the_database_gives(demo: Store, login: str) -> None:
    index = filled(demo)
    with demo.read() as uow:
        rows = uow.connection.execute(select(device.c.iccid, device.c.imei, device.c.msisdn, device.c.name)).all()
        owner = uow.connection.execute(select(device_ownership.c.customer_id).limit(1)).scalar_one()
    chance = random.Random(7)
    texts = ["", "8", "89", "417", "nothing of it", "no%such_", "x\ny", "+1 (2", rows[0].iccid[-5:], " "]
    for row in chance.sample(rows, 12):
        whole = chance.choice([value for value in row if value])
        start = chance.randrange(len(whole))
        texts.append(whole[start : start + chance.randint(1, 7)])
        texts.append(f"{row.iccid[:4]} {row.iccid[4:8]}-{row.iccid[8:11]}")
    found = set()
    for text in texts:
        for chips in (
            DeviceFilter(),
            DeviceFilter(statuses=(DeviceStatus.ACTIVE, DeviceStatus.RETIRED), owned=False),
            DeviceFilter(owned=True, service_providers=("NORTHSTAR",)),
            DeviceFilter(customer=owner),
            DeviceFilter(service_providers=("NOBODY",)),
        ):
            wanted = DeviceFilter(text, chips.statuses, chips.service_providers, chips.owned, chips.customer)
            found.add(len(assert_same(index, demo, wanted, login)))
    assert len(found) > 20  # many different answers were compared


def test_what_changes_is_found_as_it_is_now(demo: Store) -> None:
    index = filled(demo)
    everything = assert_same(index, demo, DeviceFilter())
    first, renamed, gone, moved, owned, last = (everything[place] for place in (0, 120, 200, 300, 400, -1))
    with demo.begin() as uow:
        provider = uow.connection.execute(select(device.c.service_provider_id).where(device.c.id == first)).scalar_one()
        for key, values in (
            (renamed, {"name": "Pump Ä 417"}),
            (gone, {"is_archived": True}),
            (moved, {"iccid": "8999999999999999994", "imei": None}),
            (owned, {"status": "retired"}),
            (last, {"msisdn": "4917012345678"}),
        ):
            _touch(uow, key, **values)
        uow.connection.execute(
            update(device_ownership).where(device_ownership.c.device_id == owned).values(state="ended")
        )
        uow.connection.execute(
            insert(device).values(
                service_provider_id=provider, iccid="8900000000000000000", name="Pump ä", status="active",
                changed_at=uow.now(),
            )
        )  # fmt: skip
        uow.commit()
    for wanted in (
        DeviceFilter(),
        DeviceFilter("4917012345678"),
        DeviceFilter("89999999999"),
        DeviceFilter("890000000000"),
        DeviceFilter(statuses=(DeviceStatus.RETIRED,), owned=False),
        DeviceFilter("8"),
    ):
        assert_same(index, demo, wanted)
    assert len(assert_same(index, demo, DeviceFilter())) == len(everything)
    with demo.read() as uow:  # letters are folded as they are in every language
        pumps = index.ids(uow, rights_of(uow, "operator"), DeviceFilter("pump Ä"), not_cancelled)
    assert pumps is not None
    assert len(pumps) == 2

    with demo.begin() as uow:  # and back again
        _touch(uow, renamed, name=None)
        _touch(uow, gone, is_archived=False)
        _touch(uow, moved, is_deleted=True)
        uow.commit()
    for wanted in (DeviceFilter(), DeviceFilter("pump"), DeviceFilter("99999999"), DeviceFilter("8")):
        assert_same(index, demo, wanted)


def _touch(uow: UnitOfWork, key: int, **values: object) -> None:
    uow.connection.execute(
        update(device).where(device.c.id == key).values(changed_at=uow.now(), revision=device.c.revision + 1, **values)
    )


def test_it_is_filled_again_when_much_has_come(demo: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_index, "MOST_LATE", 3)
    index = filled(demo)
    assert index.is_worn() is False
    everything = assert_same(index, demo, DeviceFilter())
    with demo.begin() as uow:
        for key in everything[5:10]:
            _touch(uow, key, name="again")
        uow.commit()
    assert len(assert_same(index, demo, DeviceFilter("again"))) == 5
    assert index.is_worn()
    with demo.read() as uow:
        index.fill(uow, not_cancelled)
    assert not index.is_worn()
    assert_same(index, demo, DeviceFilter("again"))


def test_until_it_is_filled_the_database_is_asked(demo: Store) -> None:
    index = DeviceIndex()
    with demo.read() as uow:
        rights = rights_of(uow, "operator")
        with pytest.raises(Cancelled):
            index.fill(uow, lambda: True)
        assert index.ids(uow, rights, DeviceFilter("8"), not_cancelled) is None
        assert index.counts(uow, rights, DeviceFilter("8"), not_cancelled) is None
        index.fill(uow, not_cancelled)
        assert index.ids(uow, rights, DeviceFilter("8", include_deleted=True), not_cancelled) is None
        with pytest.raises(Cancelled):
            index.ids(uow, rights, DeviceFilter("8"), lambda: True)


def test_what_was_committed_late_is_not_missed(demo: Store) -> None:
    index = filled(demo)
    everything = assert_same(index, demo, DeviceFilter())
    with demo.begin() as uow:  # its time lies before the last look at the database
        uow.connection.execute(
            update(device)
            .where(device.c.id == everything[7])
            .values(name="late", changed_at=uow.now() - timedelta(seconds=5), revision=device.c.revision + 1)
        )
        uow.commit()
    assert list(assert_same(index, demo, DeviceFilter("late"))) == [everything[7]]
