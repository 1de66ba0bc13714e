"""What was written down for a day ahead and is due, on both kinds of database: done once, in order, to whom it is."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any

import pytest

from db import installation, schedule
from db.integrity import check
from db.schedule import Applied
from db.schema import (
    cross_provider_device_history,
    device,
    device_history,
    device_ownership,
    device_service_link,
    job,
    scheduled_plan_change,
)
from db.taking_back import TakenByAnother
from db.unit_of_work import Store
from desktop_app.association.model import CarrierPlanChoice
from tests.helpers.jobs import apply_all, day, submit
from tests.helpers.stores import wait_for_a_lock
from tests.helpers.world import (
    CARRIER_PACKAGE,
    CARRIER_PLAN,
    CUSTOMER_PLAN,
    DEPOT,
    FABRIKAM,
    HARBOR,
    HEAD_OFFICE,
    NORTHWIND,
    NOW,
    World,
)

CARRIER: dict[str, Any] = {"carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),)}
PLANS: dict[str, Any] = {**CARRIER, "customer_rate_plan": "FLEET"}
NOTHING = Applied(0, 0, 0, more=False)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def ask(world: World, *devices: int, **options: Any) -> int:
    """A job without billing, done: what lies ahead is written down. Its handle."""
    job_id = submit(world, *devices, **options)
    apply_all(world, job_id)
    world.change(job, job_id, state="completed", statistics=None)
    return job_id


def to_day(world: World, offset: int) -> None:
    """It is noon of so many days later."""
    now = NOW + timedelta(days=offset)
    world.store.clock = lambda _connection: now


def apply_due(world: World) -> Applied:
    return world.store.run(schedule.apply_due)


def any_due(world: World) -> bool:
    with world.store.read() as uow:
        return schedule.any_due(uow)


def owners(world: World, device_id: int) -> list[tuple[int, str, date, date | None]]:
    rows = sorted(world.rows(device_ownership, device_id=device_id), key=lambda row: (row.effective_from, row.id))
    return [(row.customer_id, row.state, row.effective_from, row.effective_to) for row in rows]


def plan_of(world: World, device_id: int) -> tuple[Any, ...]:
    """Customer rate plan, limit and pool of the ownership that stands."""
    (row,) = world.rows(device_ownership, device_id=device_id, state="active", is_deleted=False)
    return row.customer_rate_plan_id, row.data_limit_bytes, row.data_pool


def new_events(world: World, device_id: int, before: int) -> list[tuple[str, str]]:
    """Event and detail of the device's history after the first ``before`` rows."""
    return [(row.event, row.detail) for row in world.rows(device_history, device_id=device_id)[before:]]


def assert_sound(world: World) -> None:
    """No rule of the database is broken; jobs here end by hand and have no statistics."""
    assert [broken.code for broken in check(world.store) if broken.code != "STATISTICS_DIFFER"] == []


def change_of_plan(world: World, ownership_id: int, kind: str, plan: int, due: int, **values: Any) -> int:
    """A plan change that waits, as a job would have written it; its handle."""
    (row,) = world.rows(device_ownership, id=ownership_id)
    key = 8_000 + len(world.rows(scheduled_plan_change))
    world.put(
        scheduled_plan_change,
        {"id": key, "device_id": row.device_id, "device_ownership_id": ownership_id, "kind": kind, "due_on": day(due),
         "rate_plan_id": plan, "state": "pending", "created_at": NOW, **values},
    )  # fmt: skip
    return key


# --- ownerships begin ------------------------------------------------------------------------------------------------


def test_an_ownership_begins_on_its_day_with_its_plans_and_only_once(world: World) -> None:
    one = world.device()
    ask(world, one, effective_date=day(10), reason="New fleet", **PLANS)
    before = world.rows(device)[0]
    to_day(world, 9)
    assert not any_due(world)
    assert apply_due(world) == NOTHING

    to_day(world, 10)
    assert any_due(world)
    assert apply_due(world) == Applied(1, 2, 0, more=False)
    assert owners(world, one) == [(NORTHWIND, "active", day(10), None)]
    assert plan_of(world, one) == (CUSTOMER_PLAN, 5_000_000_000, "north")
    after = world.rows(device)[0]
    assert after.carrier_rate_plan_id == CARRIER_PLAN
    assert after.revision > before.revision
    assert new_events(world, one, 3) == [
        ("assigned", "As scheduled"),
        ("plan_change_applied", "Carrier rate plan IOT5"),
        ("plan_change_applied", "Customer rate plan FLEET"),
    ]
    row = world.rows(device_history)[-1]
    assert (row.operator_login, row.reason, row.effective_date, row.is_complete) == (
        "admin", "New fleet", day(10), True,
    )  # fmt: skip
    assert {(change.state, change.settled_at) for change in world.rows(scheduled_plan_change)} == {
        ("applied", NOW + timedelta(days=10))
    }
    assert not any_due(world)
    assert apply_due(world) == NOTHING
    assert_sound(world)


def test_the_business_time_zone_says_which_day_it_is(world: World) -> None:
    ask(world, world.device(), effective_date=day(1))
    world.store.run(lambda uow: installation.write(uow, "time_zone", "Asia/Tokyo"))
    world.store.clock = lambda _connection: NOW.replace(hour=14, minute=59)
    assert not any_due(world)
    world.store.clock = lambda _connection: NOW.replace(hour=15)
    assert apply_due(world).ownerships == 1


def test_another_owner_ends_with_its_plan_its_changes_and_its_link(world: World) -> None:
    one = world.device()
    old = world.own(one, FABRIKAM, None, customer_rate_plan_id=CUSTOMER_PLAN, data_limit_bytes=7, data_pool="p")
    ask(world, one, effective_date=day(10), reassign=True)
    service = world.service(one, FABRIKAM)
    world.put(device_service_link, {"device_id": one, "billing_service_id": service, "linked_at": NOW})
    later = change_of_plan(world, old, "customer", CUSTOMER_PLAN, 30)
    before = len(world.rows(device_history))

    to_day(world, 10)
    assert apply_due(world) == Applied(1, 0, 0, more=False)
    assert owners(world, one) == [
        (FABRIKAM, "ended", date(2026, 5, 1), day(10)), (NORTHWIND, "active", day(10), None),
    ]  # fmt: skip
    (ended,) = world.rows(device_ownership, id=old)
    assert (ended.customer_rate_plan_id, ended.data_limit_bytes, ended.data_pool) == (None, None, None)
    assert plan_of(world, one) == (None, None, None), "another customer's plan does not come along"
    assert world.rows(scheduled_plan_change, id=later)[0].state == "cancelled"
    assert world.rows(device_service_link)[0].closed_at is not None
    assert new_events(world, one, before) == [
        ("ended", "Taken over by 10482"),
        ("reassigned", "As scheduled"),
        ("plan_change_dropped", "Customer rate plan FLEET, the device was reassigned"),
    ]
    by_event = {row.event: row.customer_id for row in world.rows(device_history)[before:]}
    assert by_event == {"ended": FABRIKAM, "reassigned": NORTHWIND, "plan_change_dropped": FABRIKAM}
    assert_sound(world)


def test_the_same_customers_plan_and_changes_come_along_to_its_other_site(world: World) -> None:
    one = world.device()
    old = world.own(one, customer_rate_plan_id=CUSTOMER_PLAN, data_limit_bytes=7, data_pool="p")
    ask(world, one, site="DEPOT", effective_date=day(10))
    later = change_of_plan(world, old, "customer", CUSTOMER_PLAN, 30, data_limit_bytes=9)
    before = len(world.rows(device_history))

    to_day(world, 10)
    assert apply_due(world) == Applied(1, 0, 0, more=False)
    (ended, new) = sorted(world.rows(device_ownership), key=lambda row: row.effective_from)
    assert (ended.id, ended.state, ended.site_id, ended.effective_to) == (old, "ended", HEAD_OFFICE, day(10))
    assert (new.state, new.site_id) == ("active", DEPOT)
    assert plan_of(world, one) == (CUSTOMER_PLAN, 7, "p")
    assert new_events(world, one, before) == [("moved", "As scheduled")], "nobody took it over"
    assert world.rows(scheduled_plan_change, id=later)[0].device_ownership_id == new.id

    to_day(world, 30)
    assert apply_due(world) == Applied(0, 1, 0, more=False)
    assert plan_of(world, one) == (CUSTOMER_PLAN, 9, None)
    assert_sound(world)


def test_links_of_the_same_customers_service_stay_open(world: World) -> None:
    one = world.device()
    world.own(one)
    service = world.service(one)
    world.put(device_service_link, {"device_id": one, "billing_service_id": service, "linked_at": NOW})
    ask(world, one, site="DEPOT", effective_date=day(10))
    to_day(world, 10)
    apply_due(world)
    assert world.rows(device_service_link)[0].closed_at is None
    assert_sound(world)


def test_what_begins_is_noted_for_the_same_sim_on_another_service_provider(world: World) -> None:
    one = world.device()
    twin = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR)
    ask(world, one, effective_date=day(10), service_provider="NORTHSTAR")
    before = len(world.rows(cross_provider_device_history))
    to_day(world, 10)
    apply_due(world)
    noted = world.rows(cross_provider_device_history)[before:]
    assigned = world.rows(device_history)[-1]
    assert [(row.device_id, row.device_history_id) for row in noted] == [(twin, assigned.id)]


def test_a_deleted_ownership_never_begins(world: World) -> None:
    one = world.device()
    world.own(one, state="scheduled", effective_from=day(1), is_deleted=True)
    to_day(world, 5)
    assert not any_due(world)
    assert apply_due(world) == NOTHING


# --- plans change ----------------------------------------------------------------------------------------------------


def test_plans_of_a_kept_ownership_change_on_their_day(world: World) -> None:
    one = world.device()
    world.own(one)
    ask(world, one, effective_date=day(3), **PLANS)
    before = len(world.rows(device_history))
    to_day(world, 3)
    assert apply_due(world) == Applied(0, 2, 0, more=False)
    assert plan_of(world, one) == (CUSTOMER_PLAN, 5_000_000_000, "north")
    assert world.rows(device)[0].carrier_rate_plan_id == CARRIER_PLAN
    assert [event for event, _ in new_events(world, one, before)] == ["plan_change_applied"] * 2


def test_of_several_changes_the_one_that_is_due_last_stands(world: World) -> None:
    one = world.device()
    own = world.own(one)
    change_of_plan(world, own, "carrier", CARRIER_PACKAGE, 4)
    change_of_plan(world, own, "carrier", CARRIER_PLAN, 2)
    change_of_plan(world, own, "customer", CUSTOMER_PLAN, 3, data_limit_bytes=1)
    change_of_plan(world, own, "customer", CUSTOMER_PLAN, 3, data_limit_bytes=2)  # the same day: what was asked last
    change_of_plan(world, own, "customer", CUSTOMER_PLAN, 9, data_limit_bytes=3)
    to_day(world, 5)
    assert apply_due(world) == Applied(0, 4, 0, more=False)
    assert world.rows(device)[0].carrier_rate_plan_id == CARRIER_PACKAGE
    assert plan_of(world, one) == (CUSTOMER_PLAN, 2, None)
    assert [change.state for change in world.rows(scheduled_plan_change)] == ["applied"] * 4 + ["pending"]


@pytest.mark.parametrize("gone", [{"state": "ended", "effective_to": day(1)}, {"is_deleted": True}])
def test_a_change_of_an_ownership_that_is_gone_is_dropped_and_said(world: World, gone: dict[str, Any]) -> None:
    one = world.device()
    old = world.own(one)
    change_of_plan(world, old, "carrier", CARRIER_PLAN, 2)
    change_of_plan(world, old, "customer", CUSTOMER_PLAN, 2)
    world.change(device_ownership, old, **gone)
    world.own(one, FABRIKAM, None, effective_from=day(1))
    to_day(world, 2)
    assert apply_due(world) == Applied(0, 0, 2, more=False)
    assert world.rows(device)[0].carrier_rate_plan_id is None
    assert plan_of(world, one) == (None, None, None)
    assert sorted(new_events(world, one, 0)) == [
        ("plan_change_dropped", "Carrier rate plan IOT5, its ownership has ended"),
        ("plan_change_dropped", "Customer rate plan FLEET, its ownership has ended"),
    ]
    assert {row.customer_id for row in world.rows(device_history)} == {NORTHWIND}
    assert not any_due(world)


def test_a_change_waits_for_the_ownership_that_it_was_made_for(world: World) -> None:
    one = world.device()
    world.own(one, FABRIKAM, None)
    ask(world, one, effective_date=day(10), reassign=True, **CARRIER)
    (change,) = world.rows(scheduled_plan_change)
    world.change(scheduled_plan_change, change.id, due_on=day(2))
    to_day(world, 5)
    assert apply_due(world) == NOTHING
    to_day(world, 10)
    assert apply_due(world) == Applied(1, 1, 0, more=False)


# --- days on which no engine ran -------------------------------------------------------------------------------------


def test_days_are_caught_up_in_the_order_of_their_dates(world: World) -> None:
    """The old owner's change was due while it still stood: its carrier plan is the device's and stays."""
    one = world.device()
    old = world.own(one, FABRIKAM, None)
    ask(world, one, effective_date=day(10), reassign=True)
    change_of_plan(world, old, "carrier", CARRIER_PLAN, 9)
    change_of_plan(world, old, "carrier", CARRIER_PACKAGE, 10)
    before = len(world.rows(device_history))

    to_day(world, 40)
    assert apply_due(world) == Applied(1, 1, 0, more=False)
    assert world.rows(device)[0].carrier_rate_plan_id == CARRIER_PLAN
    assert [change.state for change in world.rows(scheduled_plan_change)] == ["applied", "cancelled"]
    assert [event for event, _ in new_events(world, one, before)] == [
        "plan_change_applied", "ended", "reassigned", "plan_change_dropped",
    ]  # fmt: skip
    assert owners(world, one) == [
        (FABRIKAM, "ended", date(2026, 5, 1), day(10)), (NORTHWIND, "active", day(10), None),
    ]  # fmt: skip
    assert_sound(world)


def test_what_is_too_much_for_one_transaction_comes_in_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(schedule, "_IN_ONE_STATEMENT", 2)
    devices = [world.device() for _ in range(5)]
    ask(world, *devices[:2], effective_date=day(1))
    ask(world, *devices[2:], effective_date=day(2), **CARRIER)
    to_day(world, 9)
    assert apply_due(world) == Applied(5, 0, 0, more=True)
    assert apply_due(world) == Applied(0, 3, 0, more=True)
    assert apply_due(world) == NOTHING
    assert {row.state for row in world.rows(device_ownership)} == {"active"}
    assert {row.carrier_rate_plan_id for row in world.rows(device)[2:]} == {CARRIER_PLAN}


def test_one_day_of_many_devices_is_done_to_each_as_it_stands(world: World) -> None:
    fresh, moved, taken = world.device(), world.device(), world.device()
    world.own(moved, site_id=DEPOT)
    world.own(taken, FABRIKAM, None, customer_rate_plan_id=CUSTOMER_PLAN)
    ask(world, fresh, moved, taken, effective_date=day(10), reassign=True, **PLANS)
    to_day(world, 10)
    assert apply_due(world) == Applied(3, 6, 0, more=False)
    for one in (fresh, moved, taken):
        assert owners(world, one)[-1] == (NORTHWIND, "active", day(10), None)
        assert plan_of(world, one) == (CUSTOMER_PLAN, 5_000_000_000, "north")
    assert_sound(world)


# --- two engines -----------------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_two_engines_that_find_the_same_day_do_it_once(postgres_store: Store) -> None:
    """The second one has seen what is due, waits for the first one, and finds that it was done."""
    world = World(postgres_store)
    one, kept = world.device(), world.device()
    world.own(one, FABRIKAM, None)
    world.own(kept)
    ask(world, one, effective_date=day(10), reassign=True)
    ask(world, kept, effective_date=day(10), **PLANS)
    before = len(world.rows(device_history))
    to_day(world, 10)

    late: list[object] = []

    def second() -> None:
        try:
            late.append(apply_due(world))
        except TakenByAnother:
            late.append(TakenByAnother)

    thread = threading.Thread(target=second)
    with world.store.begin() as uow:
        assert schedule.apply_due(uow) == Applied(1, 2, 0, more=False)
        thread.start()
        wait_for_a_lock(world.store)
        assert late == [], "it waits"
        uow.commit()
    thread.join()
    assert late in ([TakenByAnother], [NOTHING])
    assert [row.event for row in world.rows(device_history)[before:]] == [
        "ended", "reassigned", "plan_change_applied", "plan_change_applied",
    ]  # fmt: skip
    assert apply_due(world) == NOTHING
    assert_sound(world)


@pytest.mark.postgres
def test_what_is_applied_while_the_device_is_reassigned_is_not_told_as_dropped(postgres_store: Store) -> None:
    """The job has seen the plan change wait; then an engine applies it, and only then the job ends the ownership."""
    world = World(postgres_store)
    one = world.device()
    old = world.own(one, FABRIKAM, None)
    change = change_of_plan(world, old, "carrier", CARRIER_PLAN, 0)
    job_id = submit(world, one, reassign=True)
    before = len(world.rows(device_history))

    thread = threading.Thread(target=lambda: apply_all(world, job_id))
    with world.store.begin() as uow:
        assert schedule.apply_due(uow) == Applied(0, 1, 0, more=False)
        thread.start()
        wait_for_a_lock(world.store)
        uow.commit()
    thread.join()
    assert world.rows(scheduled_plan_change, id=change)[0].state == "applied"
    assert [event for event, _ in new_events(world, one, before)] == ["plan_change_applied", "ended", "reassigned"]
    assert_sound(world)
