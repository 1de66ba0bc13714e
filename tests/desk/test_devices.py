"""Lists of devices, their counts, and one device whole."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise, product

import pytest

from db.demo.cases import find_case
from db.unit_of_work import Store
from desktop_app.association.errors import Cancelled, NotFound, RequestRefused
from desktop_app.association.model import DeviceFilter, DeviceStatus, pack, unpack
from desktop_app.desk import devices
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import DeviceColumn, DeviceRow
from tests.helpers.desks import desk_on


def rows(
    desk: LocalDesk, filter: DeviceFilter, sort: DeviceColumn = DeviceColumn.ICCID, *, descending: bool = False
) -> list[DeviceRow]:
    ids = unpack(desk.device_ids(filter, sort, descending))
    return [row for at in range(0, len(ids), 1000) for row in desk.device_rows(pack(ids[at : at + 1000]))]


def iccids_of(store: Store, case: str, limit: int = 5) -> tuple[str, ...]:
    with store.read() as uow:
        return find_case(uow, case, limit)


def test_order_is_by_the_column_and_what_has_no_value_comes_last(desk: LocalDesk) -> None:
    for sort in DeviceColumn:
        for descending in (False, True):
            _check_order(rows(desk, DeviceFilter(), sort, descending=descending), sort, descending)


def _check_order(shown: list[DeviceRow], sort: DeviceColumn, descending: bool) -> None:
    attribute = {"activated": "activated_on", "carrier_rate_plan": "carrier_rate_plan_name"}.get(sort.value, sort.value)
    values = [getattr(row, attribute) for row in shown]
    filled = [value for value in values if value not in {"", None}]
    assert all(value in {"", None} for value in values[len(filled) :])
    if sort is DeviceColumn.CUSTOMER:  # by its folded name
        filled = [value.casefold() for value in filled]
    assert all((a >= b) if descending else (a <= b) for a, b in pairwise(filled)), sort
    same = [(a.iccid, b.iccid) for a, b in pairwise(shown) if getattr(a, attribute) == getattr(b, attribute)]
    assert sort is DeviceColumn.ICCID or all(a <= b for a, b in same), sort


def test_list_holds_every_device_once_and_neither_deleted_nor_archived_ones(desk: LocalDesk) -> None:
    shown = rows(desk, DeviceFilter())
    assert len({row.device_id for row in shown}) == len(shown)
    assert not [row for row in shown if row.is_deleted or row.is_archived]
    everything = rows(desk, DeviceFilter(include_deleted=True))
    assert [row for row in everything if row.is_deleted]
    assert [row for row in everything if row.is_archived]
    assert len(everything) == 2_000


def test_rows_come_in_the_order_of_their_handles_and_what_is_gone_is_left_out(desk: LocalDesk) -> None:
    ids = list(unpack(desk.device_ids(DeviceFilter(), DeviceColumn.ICCID)))[:5]
    shuffled = [ids[3], 999_999_999, ids[0], ids[4]]
    assert [row.device_id for row in desk.device_rows(pack(shuffled))] == [ids[3], ids[0], ids[4]]
    with pytest.raises(ValueError, match="1000"):
        desk.device_rows(pack(range(1_001)))


@pytest.mark.parametrize("login", ["boss", "limited"])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_list_begins_with_its_first_devices(demo: Store, login: str, in_memory: bool) -> None:
    desk = desk_on(demo, login)
    if in_memory:
        desk.prepare_search()
    in_parts = set()
    filters = DeviceFilter(), DeviceFilter(text="417"), DeviceFilter(statuses=(DeviceStatus.SUSPENDED,), owned=True)
    for sort, descending, filter in product(DeviceColumn, (False, True), filters):
        everything = desk.device_ids(filter, sort, descending)
        for limit in (3, 1_000):
            first = desk.first_devices(filter, sort, descending, limit)
            assert first.packed == (everything if first.is_all else everything[: 8 * limit]), (sort, filter)
            assert first.is_all or len(first.packed) == 8 * limit
            assert first.rows == desk.device_rows(everything[: 8 * limit])
            if not first.is_all:
                in_parts.add(sort)
                assert sort is DeviceColumn.ICCID or filter == DeviceFilter()  # few are sorted at once
    # where an index gives the first ones; in memory all are found by ICCID as soon as the first ones
    assert in_parts == {DeviceColumn.ICCID, DeviceColumn.MSISDN, DeviceColumn.EID} - (
        {DeviceColumn.ICCID} if in_memory else set()
    )


def test_many_that_are_found_in_memory_are_not_sorted_for_the_first_ones(
    desk: LocalDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    filter, sort = DeviceFilter(statuses=(DeviceStatus.ACTIVE,)), DeviceColumn.MSISDN
    desk.prepare_search()
    assert desk.first_devices(filter, sort, limit=9).is_all
    monkeypatch.setattr(devices, "MOST_SORTED", 20)
    first = desk.first_devices(filter, sort, limit=9)
    assert not first.is_all
    assert first.packed == desk.device_ids(filter, sort)[: 8 * 9]


def test_first_devices_go_on_with_those_that_have_no_value(desk: LocalDesk) -> None:
    everything = rows(desk, DeviceFilter(), DeviceColumn.EID)
    filled = sum(1 for row in everything if row.eid)
    assert 0 < filled < 990
    first = desk.first_devices(DeviceFilter(), DeviceColumn.EID, limit=filled + 9)
    assert not first.is_all
    assert list(first.rows) == everything[: filled + 9]


def test_facets_count_what_each_chip_would_show(desk: LocalDesk) -> None:
    filters = [
        DeviceFilter(),
        DeviceFilter(statuses=(DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED)),
        DeviceFilter(statuses=(DeviceStatus.ACTIVE,), service_providers=("NORTHSTAR",), owned=False),
        DeviceFilter(text="890199", owned=True),
    ]
    for filter in filters:
        facets = desk.device_facets(filter)
        assert facets.matching == len(rows(desk, filter))
        assert facets.total == len(rows(desk, DeviceFilter()))
        without_status = Counter(row.status for row in rows(desk, _but(filter, "statuses", ())))
        assert {status: count for status, count in facets.by_status.items() if count} == without_status
        without_provider = Counter(row.service_provider for row in rows(desk, _but(filter, "service_providers", ())))
        assert {code: count for code, count in facets.by_service_provider.items() if count} == without_provider
        assert facets.without_customer == len(rows(desk, _but(filter, "owned", False)))


def _but(filter: DeviceFilter, name: str, value: object) -> DeviceFilter:
    values = {field: getattr(filter, field) for field in DeviceFilter.__slots__} | {name: value}
    return DeviceFilter(**values)


def test_long_reads_can_be_cancelled(desk: LocalDesk) -> None:
    with pytest.raises(Cancelled):
        desk.device_ids(DeviceFilter(), DeviceColumn.ICCID, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        desk.device_facets(DeviceFilter(), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        desk.first_devices(DeviceFilter(), DeviceColumn.ICCID, cancelled=lambda: True)
    assert desk.device_ids(DeviceFilter(), DeviceColumn.ICCID)


def test_limited_operator_sees_free_devices_and_those_of_customers_it_may_see(demo: Store) -> None:
    limited = desk_on(demo, "limited")
    seen = {customer.name for customer in limited.customers("", 1000)}
    everyone = {customer.name for customer in desk_on(demo).customers("", 1000)}
    assert seen
    assert seen < everyone
    shown = rows(limited, DeviceFilter())
    assert {row.customer for row in shown} <= seen | {""}
    assert limited.device_facets(DeviceFilter()).total == len(shown)
    (hidden,) = iccids_of(demo, "owned_by_another", 1)
    visible = desk_on(demo).device(hidden).device
    if visible.customer not in seen:
        with pytest.raises(NotFound):
            limited.device(hidden)
        assert not limited.device_rows(pack([visible.device_id]))


# --- one device ------------------------------------------------------------------------------------------------------


def test_device_by_any_identifier(desk: LocalDesk, demo: Store) -> None:
    row = next(row for row in rows(desk, DeviceFilter(owned=True)) if row.msisdn and row.imei and row.eid)
    spaced = f"{row.iccid[:4]} {row.iccid[4:]}"
    for identifier in (row.iccid, spaced, row.imei, f"+{row.msisdn}"):
        assert desk.device(identifier).device == row


def test_record_of_a_device_tells_owner_service_and_history(desk: LocalDesk, demo: Store) -> None:
    (iccid,) = iccids_of(demo, "service_kept", 1)
    record = desk.device(iccid)
    (active,) = [ownership for ownership in record.ownerships if ownership.state == "active"]
    assert active.customer == record.device.customer
    assert [service for service in record.billing_services if service.is_active]
    assert record.history
    assert all(isinstance(fact.effective_date, date | None) for fact in record.history)
    newest_first = [fact.at for fact in record.history]
    assert newest_first == sorted(newest_first, reverse=True)


def test_device_that_is_worked_on_says_by_which_job(desk: LocalDesk, demo: Store) -> None:
    (iccid,) = iccids_of(demo, "in_open_work_order", 1)
    number = desk.device(iccid).open_tracking_number
    assert iccid in {order.iccid for order in desk.work_orders(number)}


def test_sim_on_two_providers_needs_the_provider(desk: LocalDesk, demo: Store) -> None:
    (iccid,) = iccids_of(demo, "on_two_providers", 1)
    with pytest.raises(NotFound, match="several service providers") as refused:
        desk.device(iccid)
    providers = [row.service_provider for row in rows(desk, DeviceFilter(text=iccid))]
    assert all(provider in refused.value.message for provider in providers)
    assert desk.device(iccid, providers[0]).device.service_provider == providers[0]


def test_what_is_no_identifier_and_what_is_unknown_is_said(desk: LocalDesk) -> None:
    with pytest.raises(RequestRefused) as rounded:
        desk.device("8.90126E+18")
    assert rounded.value.code == "ROUNDED_BY_SPREADSHEET"
    with pytest.raises(NotFound) as unknown:
        desk.device("89999990000000000003")
    assert unknown.value.code == "DEVICE_NOT_FOUND"
