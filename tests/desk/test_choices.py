"""What can be chosen for a request: customers best first, their sites, service providers, plans."""

from __future__ import annotations

from db.demo.cases import find_case
from db.unit_of_work import Store
from desktop_app.association.model import (
    AskedLines,
    DeviceFilter,
    FilteredDevices,
    PickedDevices,
    PlanKind,
    pack,
    unpack,
)
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import DeviceColumn
from tests.helpers.desks import desk_on


def test_customers_are_found_by_number_name_and_tag_best_first(desk: LocalDesk) -> None:
    everyone = desk.customers("", 1_000)
    some = next(one for one in everyone if one.account_number == "10482")
    assert desk.customers("10482")[0] == some
    assert desk.customers(some.name[:4].upper())[0].name.casefold().startswith(some.name[:4].casefold())
    second_word = some.name.split()[1]
    assert some in desk.customers(second_word.lower(), 1_000)
    tagged = next(one for one in everyone if one.tag)
    assert tagged in desk.customers(tagged.tag, 1_000)
    assert len(desk.customers("", 7)) == 7
    assert desk.customers("no such customer") == ()
    assert desk.customers("%") == ()


def test_active_customers_come_before_inactive_ones(desk: LocalDesk) -> None:
    actives = [one.is_active for one in desk.customers("", 1_000)]
    assert actives == sorted(actives, reverse=True)
    assert not all(actives)


def test_customer_brings_its_defaults_and_its_devices(desk: LocalDesk) -> None:
    (customer,) = desk.customers("10482")
    owned = unpack(
        desk.device_ids(DeviceFilter(customer=customer.customer_id, include_deleted=True), DeviceColumn.ICCID)
    )
    assert customer.devices == len(owned) > 0
    sites = desk.sites(customer.customer_id)
    assert customer.default_site == sites[0].code
    assert [site.is_default for site in sites] == [True] + [False] * (len(sites) - 1)
    plans = {plan.code for plan in desk.rate_plans(PlanKind.CUSTOMER, customer=customer.customer_id)}
    assert customer.default_customer_rate_plan in plans


def test_plans_fit_the_service_provider_and_the_customer(desk: LocalDesk) -> None:
    carrier = desk.rate_plans(PlanKind.CARRIER, service_provider="NORTHSTAR")
    assert carrier
    assert {plan.service_provider for plan in carrier} == {"NORTHSTAR"}
    assert len(desk.rate_plans(PlanKind.CARRIER)) > len(carrier)
    everybodys = desk.rate_plans(PlanKind.CUSTOMER)
    assert {plan.service_provider for plan in everybodys} == {""}
    (customer,) = desk.customers("10482")
    own = set(desk.rate_plans(PlanKind.CUSTOMER, customer=customer.customer_id))
    assert own >= set(everybodys)


def test_service_providers_count_their_devices(desk: LocalDesk) -> None:
    providers = desk.service_providers()
    facets = desk.device_facets(DeviceFilter())
    assert {one.code: one.devices for one in providers} == dict(facets.by_service_provider)


def test_providers_of_a_selection_of_any_kind(desk: LocalDesk, demo: Store) -> None:
    filter = DeviceFilter(text="1", owned=False)
    ids = unpack(desk.device_ids(filter, DeviceColumn.ICCID))
    picked = desk.providers_of(PickedDevices(ids.tobytes()))
    assert sum(picked.values()) == len(ids)
    assert desk.providers_of(FilteredDevices(filter)) == picked
    without = desk.providers_of(FilteredDevices(filter, minus=pack(ids[:3])))
    assert sum(without.values()) == len(ids) - 3
    with demo.read() as uow:
        lines = find_case(uow, "ready", 4)
    asked = desk.providers_of(AskedLines((*lines, "rubbish", lines[0])))
    assert sum(asked.values()) == 4


def test_limited_operator_chooses_among_its_customers(demo: Store) -> None:
    limited = desk_on(demo, "limited")
    seen = limited.customers("", 1_000)
    hidden = next(one for one in desk_on(demo).customers("", 1_000) if one not in seen and one.is_active)
    assert limited.customers(hidden.name) == ()
    assert limited.sites(hidden.customer_id) == ()
    reserved = set(desk_on(demo).rate_plans(PlanKind.CUSTOMER, customer=hidden.customer_id))
    everybodys = set(limited.rate_plans(PlanKind.CUSTOMER))
    assert set(limited.rate_plans(PlanKind.CUSTOMER, customer=hidden.customer_id)) == everybodys
    assert reserved >= everybodys
