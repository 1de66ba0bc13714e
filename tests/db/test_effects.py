"""The local effects of work orders, on both kinds of database: what each action does, today and on a day ahead."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from db import effects, work
from db.effects import DueBatch, HeldBatch, apply_effects
from db.schema import (
    cross_provider_device_history,
    device,
    device_history,
    device_ownership,
    device_service_link,
    job,
    scheduled_plan_change,
    work_order,
    work_order_step,
)
from db.unit_of_work import Store
from db.work import Held
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.states import Step, StepState
from tests.helpers.jobs import ENGINE, apply_all, assert_counters_equal_rows, claim, day, submit, write_step
from tests.helpers.world import (
    CARRIER_PLAN,
    CUSTOMER_PLAN,
    DEPOT,
    FABRIKAM,
    HARBOR,
    HEAD_OFFICE,
    NORTHWIND,
    TODAY,
    World,
)

PLANS: dict[str, Any] = {
    "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),),
    "customer_rate_plan": "FLEET",
}
AHEAD = day(10)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def ownerships(world: World, device_id: int) -> list[Any]:
    """Of the device, the earliest first."""
    return sorted(world.rows(device_ownership, device_id=device_id), key=lambda row: row.effective_from)


def events(world: World, device_id: int) -> list[str]:
    return [row.event for row in world.rows(device_history, device_id=device_id)]


def steps(world: World, device_id: int) -> dict[str, str]:
    return {row.step: row.state for row in world.rows(work_order_step, work_order_id=world.order_of(device_id).id)}


# --- ownership -------------------------------------------------------------------------------------------------------


def test_assign_makes_the_ownership_that_the_job_asked_for(world: World) -> None:
    one = world.device()
    apply_all(world, submit(world, one, effective_date=day(-2), reason="New fleet"))
    (owned,) = ownerships(world, one)
    order = world.order_of(one)
    assert (owned.customer_id, owned.site_id, owned.account_number) == (NORTHWIND, HEAD_OFFICE, "10482")
    assert (owned.state, owned.is_deleted, owned.effective_from) == ("active", False, day(-2))
    assert (owned.billing_credential_id, owned.work_order_id) == (world.rows(job)[0].billing_credential_id, order.id)
    assert (owned.customer_rate_plan_id, owned.data_limit_bytes) == (None, None)
    (fact,) = world.rows(device_history)
    assert (fact.event, fact.detail, fact.effective_date) == ("assigned", "Site Head office", day(-2))
    assert (fact.operator_login, fact.reason, fact.customer_id) == ("admin", "New fleet", NORTHWIND)
    assert steps(world, one) == {"ownership": "done", "history": "done"}
    assert (order.state, order.engine_id, order.lease_until) == ("succeeded", None, None)
    assert order.completed_at is not None
    assert world.rows(device)[0].revision == 2
    assert_counters_equal_rows(world)


def test_today_is_not_ahead_and_tomorrow_is(world: World) -> None:
    today, tomorrow = world.device(), world.device()
    apply_all(world, submit(world, today, effective_date=TODAY))
    apply_all(world, submit(world, tomorrow, effective_date=day(1)))
    assert ownerships(world, today)[0].state == "active"
    assert ownerships(world, tomorrow)[0].state == "scheduled"


def test_assign_ahead_is_scheduled_with_its_plans_as_changes(world: World) -> None:
    one = world.device()
    apply_all(world, submit(world, one, effective_date=AHEAD, **PLANS))
    (owned,) = ownerships(world, one)
    assert (owned.state, owned.effective_from, owned.customer_rate_plan_id) == ("scheduled", AHEAD, None)
    assert world.rows(device)[0].carrier_rate_plan_id is None
    changes = world.rows(scheduled_plan_change)
    assert [(c.kind, c.rate_plan_id, c.due_on, c.state, c.device_ownership_id) for c in changes] == [
        ("carrier", CARRIER_PLAN, AHEAD, "pending", owned.id),
        ("customer", CUSTOMER_PLAN, AHEAD, "pending", owned.id),
    ]
    assert (changes[1].data_limit_bytes, changes[1].data_pool) == (5_000_000_000, "north")
    assert events(world, one) == ["scheduled", "plan_change_scheduled", "plan_change_scheduled"]
    assert steps(world, one) == {
        "ownership": "scheduled", "carrier_rate_plan": "scheduled", "customer_rate_plan": "scheduled",
        "history": "done",
    }  # fmt: skip


def test_kept_ownership_stays_as_it_is_and_takes_the_plans(world: World) -> None:
    one = world.device()
    owned = world.own(one, account_number="OLD")
    apply_all(world, submit(world, one, **PLANS))
    (after,) = ownerships(world, one)
    assert (after.id, after.site_id, after.account_number, after.effective_from) == (
        owned, HEAD_OFFICE, "OLD", date(2026, 5, 1),
    )  # fmt: skip
    assert (after.customer_rate_plan_id, after.data_limit_bytes, after.data_pool) == (
        CUSTOMER_PLAN, 5_000_000_000, "north",
    )  # fmt: skip
    assert world.rows(device)[0].carrier_rate_plan_id == CARRIER_PLAN
    assert events(world, one) == ["kept", "carrier_plan_changed", "customer_plan_changed"]
    assert steps(world, one)["ownership"] == "kept"


def test_kept_ownership_ahead_schedules_plan_changes_on_itself(world: World) -> None:
    one = world.device()
    owned = world.own(one)
    apply_all(world, submit(world, one, effective_date=AHEAD, **PLANS))
    (after,) = ownerships(world, one)
    assert (after.id, after.state, after.customer_rate_plan_id) == (owned, "active", None)
    assert {change.device_ownership_id for change in world.rows(scheduled_plan_change)} == {owned}


def test_plans_that_the_device_has_already_are_kept_without_a_history_row(world: World) -> None:
    one = world.device(carrier_rate_plan_id=CARRIER_PLAN)
    world.own(one, customer_rate_plan_id=CUSTOMER_PLAN, data_limit_bytes=5_000_000_000, data_pool="north")
    apply_all(world, submit(world, one, **PLANS))
    assert steps(world, one) == {
        "ownership": "kept", "carrier_rate_plan": "kept", "customer_rate_plan": "kept", "history": "done",
    }  # fmt: skip
    assert events(world, one) == ["kept"]


def test_the_same_plan_with_another_limit_is_a_change(world: World) -> None:
    one = world.device()
    world.own(one, customer_rate_plan_id=CUSTOMER_PLAN, data_limit_bytes=None, data_pool="north")
    apply_all(world, submit(world, one, customer_rate_plan="FLEET"))
    assert steps(world, one)["customer_rate_plan"] == "done"
    assert ownerships(world, one)[0].data_limit_bytes == 5_000_000_000


def test_move_goes_to_the_other_site_and_keeps_the_plans(world: World) -> None:
    one = world.device()
    owned = world.own(one, customer_rate_plan_id=CUSTOMER_PLAN, data_pool="mine")
    apply_all(world, submit(world, one, site="DEPOT"))
    (after,) = ownerships(world, one)
    assert (after.id, after.site_id, after.account_number) == (owned, DEPOT, "10482")
    assert (after.customer_rate_plan_id, after.data_pool) == (CUSTOMER_PLAN, "mine")
    assert events(world, one) == ["moved"]


def test_move_ahead_leaves_the_device_where_it_is_until_then(world: World) -> None:
    one = world.device()
    owned = world.own(one)
    apply_all(world, submit(world, one, site="DEPOT", effective_date=AHEAD))
    before, after = ownerships(world, one)
    assert (before.id, before.state, before.site_id, before.effective_to) == (owned, "active", HEAD_OFFICE, AHEAD)
    assert (after.state, after.site_id, after.effective_from) == ("scheduled", DEPOT, AHEAD)
    assert events(world, one) == ["scheduled"]


def test_reassign_ends_the_old_ownership_with_all_that_hangs_on_it(world: World) -> None:
    one, bystander = world.device(), world.device()
    old = world.own(one, FABRIKAM, None, customer_rate_plan_id=CUSTOMER_PLAN, data_limit_bytes=1, data_pool="p")
    service = world.service(one, FABRIKAM, is_active=False)
    other_service = world.service(bystander, FABRIKAM)
    for of, made in ((one, service), (bystander, other_service)):
        world.put(
            device_service_link,
            {"device_id": of, "billing_service_id": made, "linked_at": world.rows(device)[0].changed_at},
        )
    change = {
        "device_id": one, "device_ownership_id": old, "kind": "customer", "rate_plan_id": CUSTOMER_PLAN,
        "due_on": AHEAD, "state": "pending", "created_at": world.rows(device)[0].changed_at,
    }  # fmt: skip
    world.put(scheduled_plan_change, change)
    apply_all(world, submit(world, one, reassign=True, customer_rate_plan="FLEET"))

    before, after = ownerships(world, one)
    assert (before.id, before.state, before.effective_to) == (old, "ended", TODAY)
    assert (before.customer_rate_plan_id, before.data_limit_bytes, before.data_pool) == (None, None, None)
    assert (after.customer_id, after.state, after.customer_rate_plan_id) == (NORTHWIND, "active", CUSTOMER_PLAN)
    assert world.rows(scheduled_plan_change)[0].state == "cancelled"
    closed = {link.device_id: link.closed_at is not None for link in world.rows(device_service_link)}
    assert closed == {one: True, bystander: False}
    assert events(world, one) == ["plan_change_dropped", "ended", "reassigned", "customer_plan_changed"]
    by_event = {row.event: row for row in world.rows(device_history, device_id=one)}
    assert by_event["ended"].customer_id == FABRIKAM
    assert by_event["ended"].detail == "Taken over by 10482"
    assert by_event["plan_change_dropped"].customer_id == FABRIKAM
    assert by_event["reassigned"].customer_id == NORTHWIND


def test_reassign_leaves_the_link_with_a_service_of_the_new_owner(world: World) -> None:
    """Whatever services of others there are elsewhere."""
    one, elsewhere = world.device(), world.device()
    world.own(one, FABRIKAM, None)
    world.own(elsewhere, FABRIKAM, None)
    for device_id, customer_id in ((one, NORTHWIND), (elsewhere, FABRIKAM)):
        service = world.service(device_id, customer_id)
        world.put(
            device_service_link,
            {"device_id": device_id, "billing_service_id": service, "linked_at": world.rows(device)[0].changed_at},
        )
    apply_all(world, submit(world, one, reassign=True))
    assert [(link.device_id, link.closed_at) for link in world.rows(device_service_link)] == [
        (one, None),
        (elsewhere, None),
    ]


def test_reassign_ahead_lets_the_old_owner_stand_until_then(world: World) -> None:
    one = world.device()
    old = world.own(one, FABRIKAM, None, customer_rate_plan_id=CUSTOMER_PLAN)
    apply_all(world, submit(world, one, reassign=True, effective_date=AHEAD, **PLANS))
    before, after = ownerships(world, one)
    assert (before.id, before.state, before.effective_to) == (old, "active", AHEAD)
    assert before.customer_rate_plan_id == CUSTOMER_PLAN
    assert (after.customer_id, after.state) == (NORTHWIND, "scheduled")
    assert {change.device_ownership_id for change in world.rows(scheduled_plan_change)} == {after.id}


# --- one batch of everything -----------------------------------------------------------------------------------------


def test_one_batch_does_to_each_device_what_its_work_order_says(world: World) -> None:
    assigned, kept, moved, taken = (world.device() for _ in range(4))
    world.own(kept)
    world.own(moved, site_id=DEPOT)
    world.own(taken, FABRIKAM, None)
    applied = apply_all(world, submit(world, assigned, kept, moved, taken, reassign=True))
    assert sum(applied.succeeded.values()) == 4
    assert [events(world, one)[-1] for one in (assigned, kept, moved, taken)] == [
        "assigned", "kept", "moved", "reassigned",
    ]  # fmt: skip
    assert_counters_equal_rows(world)


def test_facts_are_noted_for_the_same_sim_on_another_service_provider(world: World) -> None:
    one = world.device(eid="89049032000001000000001234567801")
    same_iccid = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR)
    same_eid = world.device(eid="89049032000001000000001234567801", service_provider_id=HARBOR)
    world.device(eid="89049032000001000000001234567801", service_provider_id=HARBOR, is_deleted=True)
    world.device()
    apply_all(world, submit(world, one, service_provider="NORTHSTAR"))
    noted = {(row.device_id, row.matched_by) for row in world.rows(cross_provider_device_history)}
    assert noted == {(same_iccid, "iccid"), (same_eid, "eid")}


# --- what is not true any more ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["owned since", "deleted since", "archived since"])
def test_a_work_order_whose_facts_changed_is_refused_alone(world: World, change: str) -> None:
    one, fine = world.device(), world.device()
    job_id = submit(world, one, fine)
    if change == "owned since":
        world.own(one, FABRIKAM, None)
    else:
        world.change(device, one, **{"is_deleted" if change == "deleted since" else "is_archived": True})
    applied = apply_all(world, job_id)
    (refused,) = applied.refused
    assert (refused.work_order_id, refused.device) == (world.order_of(one).id, world.iccid_of(one))
    assert applied.succeeded == {job_id: 1}
    assert world.order_of(one).state == "queued"
    assert world.order_of(one).commit_token is None
    assert events(world, one) == []
    assert steps(world, one) == {}
    assert world.order_of(fine).state == "succeeded"


@pytest.mark.parametrize("site", [None, "DEPOT"], ids=["keep", "move"])
def test_an_ownership_that_ended_since_the_check_is_neither_kept_nor_moved(world: World, site: str | None) -> None:
    one = world.device()
    owned = world.own(one)
    job_id = submit(world, one, site=site)
    world.change(device_ownership, owned, state="ended", effective_to=TODAY)
    assert [refused.device for refused in apply_all(world, job_id).refused] == [world.iccid_of(one)]


# --- under a lease ---------------------------------------------------------------------------------------------------


def billed(world: World, *devices: int, **options: Any) -> list[work.ClaimedOrder]:
    """Claimed work orders whose billing service is made and recorded."""
    submit(world, *devices, create_billing_service=True, **options)
    orders = claim(world)
    for number, order in enumerate(orders):
        write_step(world, order, Step.BILLING_SERVICE, StepState.DONE, billing_id=f"S{number}", attempts=1)
        with world.store.begin() as uow:
            work.record_services(uow, [order.work_order_id])
            uow.commit()
    return orders


def apply_held(world: World, orders: list[work.ClaimedOrder], engine: str = ENGINE) -> effects.Applied:
    leases = [Held(order.work_order_id, order.job_id, order.epoch) for order in orders]
    with world.store.begin() as uow:
        applied = apply_effects(uow, HeldBatch(engine, leases))
        uow.commit()
    return applied


def test_a_made_billing_service_is_linked_and_stands_in_the_history(world: World) -> None:
    one = world.device()
    orders = billed(world, one)
    assert sum(apply_held(world, orders).succeeded.values()) == 1
    (link,) = world.rows(device_service_link)
    assert (link.device_id, link.billing_service_id, link.closed_at) == (
        one, world.order_of(one).billing_service_id, None,
    )  # fmt: skip
    assert events(world, one) == ["assigned", "billing_service_created"]
    assert world.rows(device_history)[1].detail == "Billing service S0"


def test_a_kept_billing_service_is_not_linked_twice(world: World) -> None:
    one = world.device()
    world.own(one)
    service = world.service(one)
    world.put(
        device_service_link,
        {"device_id": one, "billing_service_id": service, "linked_at": world.rows(device)[0].changed_at},
    )
    submit(world, one, create_billing_service=True)
    (order,) = claim(world)
    assert (order.billing_action, order.kept_service_id) == ("keep", f"S{service}")
    write_step(world, order, Step.BILLING_SERVICE, StepState.KEPT, billing_id=order.kept_service_id)
    apply_held(world, [order])
    assert len(world.rows(device_service_link)) == 1
    assert events(world, one) == ["kept", "billing_service_kept"]


@pytest.mark.parametrize("stale", ["another engine", "an older epoch"])
def test_a_lease_that_is_not_held_applies_nothing(world: World, stale: str) -> None:
    one = world.device()
    (order,) = billed(world, one)
    engine = "somebody" if stale == "another engine" else ENGINE
    with world.store.begin() as uow:
        epoch = order.epoch - (stale == "an older epoch")
        applied = apply_effects(uow, HeldBatch(engine, [Held(order.work_order_id, order.job_id, epoch)]))
        uow.commit()
    assert applied.succeeded == {}
    assert applied.refused == ()
    assert ownerships(world, one) == []
    assert world.order_of(one).state == "running"


def test_a_batch_of_lines_takes_only_what_is_queued(world: World) -> None:
    one, cancelled = world.device(), world.device()
    job_id = submit(world, one, cancelled)
    world.change(work_order, world.order_of(cancelled).id, state="cancelled")
    with world.store.begin() as uow:
        applied = apply_effects(uow, DueBatch(job_id, 1, 100))
        uow.commit()
    assert applied.succeeded == {job_id: 1}
    assert ownerships(world, cancelled) == []


def test_due_lines_are_the_next_ones(world: World) -> None:
    devices = [world.device() for _ in range(5)]
    job_id = submit(world, *devices)
    with world.store.read() as uow:
        assert effects.due_lines(uow, job_id, 2) == (1, 2)
        assert effects.due_lines(uow, job_id, 100) == (1, 5)
    apply_all(world, job_id)
    with world.store.read() as uow:
        assert effects.due_lines(uow, job_id, 100) is None


def test_leaving_without_commit_leaves_nothing(world: World) -> None:
    one = world.device()
    job_id = submit(world, one, **PLANS)
    with world.store.begin() as uow:
        apply_effects(uow, DueBatch(job_id, 1, 1))
    assert ownerships(world, one) == []
    assert world.rows(device_history) == []
    assert world.order_of(one).state == "queued"
