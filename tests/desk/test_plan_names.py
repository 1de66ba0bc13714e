"""People read the names of rate plans, programs their codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from db.schema import device_history
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.desk.protocol import DeviceRecord, HistoryFilter, HistoryRow
from desktop_app.ui import words
from tests.helpers.databases import Databases
from tests.helpers.desks import desk_on
from tests.helpers.jobs import apply_all, day, submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import NORTHWIND, NOW, World

PLANS: dict[str, Any] = {
    "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),),
    "customer_rate_plan": "FLEET",
}


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


def record_of(world: World, device: int) -> DeviceRecord:
    return desk_on(world.store, "admin").device(world.iccid_of(device))


def about_plans(facts: tuple[HistoryRow, ...]) -> set[tuple[str, str]]:
    """What is stored, and what people read."""
    return {(fact.detail, words.history_event(fact)) for fact in facts if "plan" in fact.event}


def test_plans_that_are_in_force(world: World) -> None:
    one = world.device()
    apply_all(world, submit(world, one, **PLANS))
    record = record_of(world, one)
    assert (record.device.carrier_rate_plan, record.device.carrier_rate_plan_name) == ("IOT5", "IoT 5")
    (owner,) = record.ownerships
    assert (owner.customer_rate_plan, owner.customer_rate_plan_name) == ("FLEET", "Fleet")
    told = {
        ("Carrier rate plan IOT5", "Carrier rate plan changed: IoT 5"),
        ("Customer rate plan FLEET", "Customer rate plan changed: Fleet"),
    }
    assert about_plans(record.history) == told
    assert about_plans(desk_on(world.store, "admin").history(HistoryFilter())) == told


def test_plans_that_are_to_come(world: World) -> None:
    one = world.device()
    apply_all(world, submit(world, one, effective_date=day(10), **PLANS))
    record = record_of(world, one)
    assert {(change.rate_plan, change.rate_plan_name) for change in record.scheduled_changes} == {
        ("IOT5", "IoT 5"),
        ("FLEET", "Fleet"),
    }
    assert about_plans(record.history) == {
        ("Carrier rate plan IOT5", "Plan change scheduled: Carrier rate plan IoT 5"),
        ("Customer rate plan FLEET", "Plan change scheduled: Customer rate plan Fleet"),
    }


def test_a_plan_of_which_only_the_code_is_on_record_keeps_it(world: World) -> None:
    one = world.device()
    world.put(
        device_history,
        {
            "id": 1, "device_id": one, "customer_id": NORTHWIND, "at": NOW, "event": "carrier_plan_changed",
            "detail": "Carrier rate plan OLD7", "operator_login": "admin", "reason": "", "is_complete": True,
        },
    )  # fmt: skip
    assert about_plans(record_of(world, one).history) == {("Carrier rate plan OLD7", "Carrier rate plan changed: OLD7")}
