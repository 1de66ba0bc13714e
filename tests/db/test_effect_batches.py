"""Batches of local effects, on both kinds of database: every action beside every other, whichever way it is claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Table, event, update

from db import schedule, work
from db.effects import DueBatch, HeldBatch, apply_effects
from db.integrity import check
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
from db.work import ClaimedOrder, Held, StepRow, StepWrite
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.states import Step, StepState, WorkOrderState
from desktop_app.engine.finishing import finish_due
from tests.helpers.databases import Databases
from tests.helpers.jobs import ENGINE, assert_counters_equal_rows, claim, day, submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import (
    CARRIER_PLAN,
    CUSTOMER_PLAN,
    DEPOT,
    FABRIKAM,
    HARBOR,
    HEAD_OFFICE,
    NORTHSTAR,
    NORTHWIND,
    NOW,
    World,
    iccid,
)

ACTIONS = ("assign", "keep", "move", "reassign")
PLANS: dict[str, Any] = {
    "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),),
    "customer_rate_plan": "FLEET",
}
AHEAD = 10


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def a_device_for(world: World, action: str, billing: str = "none") -> int:
    """A device on which the job's work order will do this."""
    one = world.device()
    if action == "keep":
        world.own(one)
    elif action == "move":
        world.own(one, site_id=DEPOT)
    elif action == "reassign":
        world.own(one, FABRIKAM, None, customer_rate_plan_id=CUSTOMER_PLAN)
    if billing == "keep":
        world.service(one)
    return one


def settle_billing(world: World, orders: list[ClaimedOrder]) -> None:
    """Billing made or kept everything that these work orders asked for."""
    with world.store.begin() as uow:
        for order in orders:
            is_kept = order.billing_action == "keep"
            service_id = order.kept_service_id or f"S{order.work_order_id}"
            state = StepState.KEPT if is_kept else StepState.DONE
            rows = {Step.BILLING_SERVICE: StepRow(state, 1, intent_at=NOW, finished_at=NOW, billing_id=service_id)}
            if world.rows(job, id=order.job_id)[0].customer_rate_plan_id:
                done = StepRow(StepState.DONE, 1, intent_at=NOW, finished_at=NOW, billing_id="P")
                rows |= {Step.CARRIER_PLAN_PRODUCT: done, Step.CUSTOMER_PLAN_PRODUCT: done}
            work.write_steps(
                uow, [StepWrite(order.work_order_id, step, row, order.epoch, True) for step, row in rows.items()]
            )
            if not is_kept:
                work.record_services(uow, [order.work_order_id])
        uow.commit()


def succeed(world: World, before: WorkOrderState, counts: dict[int, int]) -> None:
    """Writes the counters for work orders that succeeded."""
    from db.counters import Counters

    counters = Counters()
    for job_id, count in counts.items():
        counters.moved(job_id, before, WorkOrderState.SUCCEEDED, count)
    world.store.run(counters.write)


# --- every action, today and ahead, with and without plans, with every kind of billing -------------------------------

OWNERS: dict[tuple[str, bool], list[tuple[int, int | None, str]]] = {
    ("assign", False): [(NORTHWIND, HEAD_OFFICE, "active")],
    ("keep", False): [(NORTHWIND, HEAD_OFFICE, "active")],
    ("move", False): [(NORTHWIND, HEAD_OFFICE, "active")],
    ("reassign", False): [(NORTHWIND, HEAD_OFFICE, "active"), (FABRIKAM, None, "ended")],
    ("assign", True): [(NORTHWIND, HEAD_OFFICE, "scheduled")],
    ("keep", True): [(NORTHWIND, HEAD_OFFICE, "active")],
    ("move", True): [(NORTHWIND, DEPOT, "active"), (NORTHWIND, HEAD_OFFICE, "scheduled")],
    ("reassign", True): [(FABRIKAM, None, "active"), (NORTHWIND, HEAD_OFFICE, "scheduled")],
}
EVENTS = {
    ("assign", False): ["assigned"],
    ("keep", False): ["kept"],
    ("move", False): ["moved"],
    ("reassign", False): ["ended", "reassigned"],
    ("assign", True): ["scheduled"],
    ("keep", True): ["kept"],
    ("move", True): ["scheduled"],
    ("reassign", True): ["scheduled"],
}


@pytest.mark.parametrize("has_plans", [False, True], ids=["no plans", "both plans"])
@pytest.mark.parametrize("is_ahead", [False, True], ids=["today", "ahead"])
def test_each_action_does_what_it_says_beside_all_others(world: World, is_ahead: bool, has_plans: bool) -> None:
    devices: dict[tuple[str, str], int] = {}
    for billing in ("none", "create", "keep"):
        devices |= {(action, billing): a_device_for(world, action, billing) for action in ACTIONS}
        submit(
            world, *(devices[action, billing] for action in ACTIONS),
            key=billing, reassign=True, create_billing_service=billing != "none",
            effective_date=day(AHEAD if is_ahead else 0), **(PLANS if has_plans else {}),
        )  # fmt: skip
    first = min(row.id for row in world.rows(job))
    with world.store.begin() as uow:
        due = apply_effects(uow, DueBatch(first, 1, 4))
        uow.commit()
    assert due.refused == ()
    succeed(world, WorkOrderState.QUEUED, dict(due.succeeded))
    orders = claim(world)
    settle_billing(world, orders)
    with world.store.begin() as uow:
        leases = [Held(order.work_order_id, order.job_id, order.epoch) for order in orders]
        held = apply_effects(uow, HeldBatch(ENGINE, leases))
        uow.commit()
    assert held.refused == ()
    assert (due.claimed, held.claimed, len(held.succeeded)) == (4, 8, 2)
    succeed(world, WorkOrderState.RUNNING, dict(held.succeeded))

    for (action, billing), one in devices.items():
        _assert_done(world, one, action, billing, is_ahead=is_ahead, has_plans=has_plans)
    assert finish_due(world.store, notify=False) == 3
    assert {row.state for row in world.rows(job)} == {"completed"}
    assert_counters_equal_rows(world)
    assert check(world.store) == ()

    if is_ahead:
        world.store.clock = lambda _connection: NOW + timedelta(days=AHEAD)
        applied = world.store.run(schedule.apply_due)
        assert (applied.ownerships, applied.plan_changes, applied.dropped) == (9, 24 if has_plans else 0, 0)
        for one in devices.values():
            (row,) = world.rows(device_ownership, device_id=one, state="active")
            assert (row.customer_id, row.site_id) == (NORTHWIND, HEAD_OFFICE)
            assert row.customer_rate_plan_id == (CUSTOMER_PLAN if has_plans else None)
            assert world.rows(device, id=one)[0].carrier_rate_plan_id == (CARRIER_PLAN if has_plans else None)
        assert check(world.store) == ()


def _assert_done(world: World, one: int, action: str, billing: str, *, is_ahead: bool, has_plans: bool) -> None:
    case = f"{action}, billing {billing}"
    order = world.order_of(one)
    assert (order.ownership_action, order.billing_action, order.state) == (action, billing, "succeeded"), case
    owners = world.rows(device_ownership, device_id=one)
    assert Counter((row.customer_id, row.site_id, row.state) for row in owners) == Counter(OWNERS[action, is_ahead]), (
        case
    )

    local = "scheduled" if is_ahead else "done"
    steps = {"ownership": "kept" if action == "keep" else local, "history": "done"}
    events = list(EVENTS[action, is_ahead])
    if has_plans:
        steps |= {"carrier_rate_plan": local, "customer_rate_plan": local}
        events += ["plan_change_scheduled"] * 2 if is_ahead else ["carrier_plan_changed", "customer_plan_changed"]
    if billing != "none":
        steps["billing_service"] = "kept" if billing == "keep" else "done"
        events.append("billing_service_kept" if billing == "keep" else "billing_service_created")
        if has_plans:
            steps |= {"carrier_plan_product": "done", "customer_plan_product": "done"}
    assert {row.step: row.state for row in world.rows(work_order_step, work_order_id=order.id)} == steps, case
    assert Counter(row.event for row in world.rows(device_history, device_id=one)) == Counter(events), case

    links = world.rows(device_service_link, device_id=one)
    open_links = [row.billing_service_id for row in links if row.closed_at is None]
    assert open_links == ([] if billing == "none" else [order.billing_service_id]), case

    changes = world.rows(scheduled_plan_change, device_id=one)
    assert [row.kind for row in changes] == (["carrier", "customer"] if is_ahead and has_plans else []), case
    of = next((row.id for row in owners if row.state == "scheduled"), owners[0].id)
    assert {row.device_ownership_id for row in changes} <= {of}, case


# --- one way or the other --------------------------------------------------------------------------------------------

#: What differs between two databases, or says under which token and lease it was done.
_APART = {"id", "commit_token", "lease_epoch", "revision", "device_ownership_id", "prior_ownership_id"}
_EFFECTS: tuple[Table, ...] = (
    device_ownership, scheduled_plan_change, device_service_link, device_history, work_order_step, work_order, device,
)  # fmt: skip


@pytest.fixture
def two_worlds(databases: Databases) -> Iterator[tuple[World, World]]:
    with fresh_store(databases) as one, fresh_store(databases) as other:
        yield World(one), World(other)


def test_work_that_was_claimed_first_comes_to_the_same_as_work_that_is_done_at_once(
    two_worlds: tuple[World, World],
) -> None:
    for world, claims in zip(two_worlds, (False, True), strict=True):
        asked = [
            (day(ahead), plans, [a_device_for(world, action) for action in ACTIONS])
            for ahead, plans in product((0, AHEAD), ({}, PLANS))
        ]
        for number, (when, plans, devices) in enumerate(asked):
            job_id = submit(world, *devices, key=f"{number}", reassign=True, effective_date=when, **plans)
            with world.store.begin() as uow:
                batch: DueBatch | HeldBatch = DueBatch(job_id, 1, len(ACTIONS))
                if claims:
                    _lease(uow.connection, job_id)
                    batch = HeldBatch(ENGINE, [Held(row.id, job_id, 1) for row in _orders(uow.connection, job_id)])
                applied = apply_effects(uow, batch)
                uow.commit()
            assert (dict(applied.succeeded), applied.refused) == ({job_id: len(ACTIONS)}, ())
    one, other = (_dump(world) for world in two_worlds)
    assert one == other


def _orders(connection: Any, job_id: int) -> list[Any]:
    return list(connection.execute(work_order.select().where(work_order.c.job_id == job_id)))


def _lease(connection: Any, job_id: int) -> None:
    """What a claim does to work orders, which leaves out those without billing."""
    values = {"state": "running", "engine_id": ENGINE, "lease_epoch": 1, "lease_until": NOW, "started_at": NOW}
    connection.execute(update(work_order).where(work_order.c.job_id == job_id).values(**values))


def _dump(world: World) -> dict[str, list[str]]:
    return {
        table.name: sorted(
            str({name: value for name, value in row._mapping.items() if name not in _APART})
            for row in world.rows(table)
        )
        for table in _EFFECTS
    }


# --- many ------------------------------------------------------------------------------------------------------------


def test_no_statement_takes_more_than_sql_server_does_however_many_are_refused(world: World) -> None:
    """2,100 parameters: a batch of thousands, of which every device was deleted since it was checked."""
    count = 2_200
    ids = list(range(20_000, 20_000 + count))
    with world.store.begin() as uow:
        uow.connection.execute(
            device.insert(),
            [
                {"id": key, "service_provider_id": NORTHSTAR, "iccid": iccid(key), "status": "active",
                 "activated_on": day(-9), "changed_at": NOW}
                for key in ids
            ],
        )  # fmt: skip
        uow.commit()
    job_id = submit(world, *ids)
    with world.store.begin() as uow:
        uow.connection.execute(update(device).where(device.c.id >= ids[0]).values(is_deleted=True))
        uow.commit()
    most = 0

    def look(_connection: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, many: bool) -> None:
        nonlocal most
        most = max(most, 0 if many else len(parameters))

    event.listen(world.store.engines.write, "before_cursor_execute", look)
    with world.store.begin() as uow:
        applied = apply_effects(uow, DueBatch(job_id, 1, count))
        uow.commit()
    assert len(applied.refused) == count
    assert applied.succeeded == {}
    assert 0 < most < 2_100
    assert {row.commit_token for row in world.rows(work_order)} == {None}


def test_one_batch_of_several_jobs_counts_each(world: World) -> None:
    first = submit(world, *(world.device() for _ in range(2)), create_billing_service=True)
    second = submit(world, world.device(), create_billing_service=True)
    world.device(iccid=world.iccid_of(world.rows(work_order, job_id=second)[0].device_id), service_provider_id=HARBOR)
    orders = claim(world)
    settle_billing(world, orders)
    with world.store.begin() as uow:
        applied = apply_effects(
            uow, HeldBatch(ENGINE, [Held(order.work_order_id, order.job_id, order.epoch) for order in orders])
        )
        uow.commit()
    assert dict(applied.succeeded) == {first: 2, second: 1}
    succeed(world, WorkOrderState.RUNNING, dict(applied.succeeded))
    assert [row._mapping["succeeded"] for row in world.rows(job)] == [2, 1]
    facts = len(world.rows(device_history, job_id=second))
    assert len(world.rows(cross_provider_device_history)) == facts > 0
