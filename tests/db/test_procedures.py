"""The three maintenance procedures, on both kinds of database: what they write, once however often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from db import procedures
from db.integrity import check
from db.schema import cross_provider_device_history, device_history, device_ownership, device_service_link, job
from db.unit_of_work import Store
from tests.helpers.jobs import apply_all, day, submit
from tests.helpers.world import FABRIKAM, HARBOR, HEAD_OFFICE, NORTHWIND, NOW, World

EID = "89049032000001000000001234567801"


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def fact(world: World, device_id: int, event: str = "assigned", **values: Any) -> int:
    """A history row; its handle."""
    key = 9_000 + len(world.rows(device_history))
    world.put(
        device_history,
        {"id": key, "device_id": device_id, "at": NOW, "event": event, "operator_login": "admin", **values},
    )  # fmt: skip
    return key


def across(world: World, **which: Any) -> int:
    written: int = world.store.run(lambda uow: procedures.record_across_providers(uow, **which))
    return written


def noted(world: World) -> list[tuple[int, int, str]]:
    return sorted(
        (row.device_history_id, row.device_id, row.matched_by) for row in world.rows(cross_provider_device_history)
    )


# --- update device history across providers --------------------------------------------------------------------------


def test_the_same_sim_is_known_by_its_iccid_or_its_eid(world: World) -> None:
    one = world.device(eid=EID)
    iccid = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR)
    eid = world.device(eid=EID, service_provider_id=HARBOR)
    world.device(service_provider_id=HARBOR)
    first, second = fact(world, one), fact(world, one, "moved")
    assert across(world) == 4
    assert noted(world) == [
        (first, iccid, "iccid"),
        (first, eid, "eid"),
        (second, iccid, "iccid"),
        (second, eid, "eid"),
    ]
    assert across(world) == 0, "a second run changes nothing"


def test_what_is_the_same_by_both_is_noted_once(world: World) -> None:
    one = world.device(eid=EID)
    both = world.device(iccid=world.iccid_of(one), eid=EID, service_provider_id=HARBOR)
    written = fact(world, one)
    assert across(world) == 1
    assert noted(world) == [(written, both, "iccid")]


def test_devices_without_an_eid_are_not_the_same(world: World) -> None:
    fact(world, world.device())
    world.device(service_provider_id=HARBOR)
    assert across(world) == 0


def test_a_deleted_device_is_told_nothing_but_its_own_past_is_told(world: World) -> None:
    one = world.device()
    deleted = world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR, is_deleted=True)
    fact(world, one)
    old = fact(world, deleted)
    assert across(world) == 1
    assert noted(world) == [(old, one, "iccid")]


def test_only_what_was_asked_for_is_noted(world: World) -> None:
    one, other = world.device(), world.device()
    for device_id in (one, other):
        world.device(iccid=world.iccid_of(device_id), service_provider_id=HARBOR)
    first = submit(world, one, service_provider="NORTHSTAR")
    second = submit(world, other, service_provider="NORTHSTAR")
    of_first = fact(world, one, job_id=first, work_order_id=world.order_of(one).id)
    of_second = fact(world, other, job_id=second, work_order_id=world.order_of(other).id, at=NOW + timedelta(seconds=1))
    assert across(world, commit_token="none") == 0
    assert across(world, job_id=first) == 1
    assert [row[0] for row in noted(world)] == [of_first]
    assert across(world, at=NOW) == 0
    assert across(world, at=NOW + timedelta(seconds=1)) == 1
    assert [row[0] for row in noted(world)] == [of_first, of_second]


# --- mark device changes complete ------------------------------------------------------------------------------------


def test_the_facts_of_one_job_are_marked_as_whole(world: World) -> None:
    first, second = submit(world, world.device()), submit(world, world.device())
    apply_all(world, first)
    apply_all(world, second)
    assert world.store.run(lambda uow: procedures.mark_device_changes_complete(uow, first)) == 1
    assert {row.job_id: row.is_complete for row in world.rows(device_history)} == {first: True, second: False}
    assert world.store.run(lambda uow: procedures.mark_device_changes_complete(uow, first)) == 0


# --- sync device-service links ---------------------------------------------------------------------------------------


def sync(world: World, job_id: int | None = None) -> tuple[int, int]:
    """How many links were closed, and how many opened."""
    counts: tuple[int, int] = world.store.run(lambda uow: procedures.sync_device_service_links(uow, job_id))
    return counts


def link(world: World, device_id: int, service_id: int) -> None:
    world.put(device_service_link, {"device_id": device_id, "billing_service_id": service_id, "linked_at": NOW})


def open_links(world: World) -> set[tuple[int, int]]:
    return {(row.device_id, row.billing_service_id) for row in world.rows(device_service_link) if row.closed_at is None}


@pytest.mark.parametrize("was_linked", [False, True], ids=["no link", "a link"])
@pytest.mark.parametrize(
    ("owner", "service", "is_linked"),
    [
        ({}, {}, True),
        ({"state": "scheduled", "effective_from": day(5)}, {}, True),
        ({}, {"is_active": False}, False),
        ({"customer_id": FABRIKAM}, {}, False),
        ({"state": "ended", "effective_to": day(0)}, {}, False),
        ({"is_deleted": True}, {}, False),
        (None, {}, False),
    ],
)
def test_a_link_is_open_for_each_active_service_of_the_owner_or_the_owner_to_come(
    world: World, owner: dict[str, Any] | None, service: dict[str, Any], is_linked: bool, was_linked: bool
) -> None:
    one = world.device()
    if owner is not None:
        values = {"customer_id": NORTHWIND, "site_id": HEAD_OFFICE, **owner}
        world.own(one, **{**values, "site_id": None if values["customer_id"] == FABRIKAM else HEAD_OFFICE})
    made = world.service(one, **service)
    if was_linked:
        link(world, one, made)
    assert sync(world) == (int(was_linked and not is_linked), int(is_linked and not was_linked))
    assert open_links(world) == ({(one, made)} if is_linked else set())
    assert sync(world) == (0, 0), "a second run changes nothing"
    assert [broken.code for broken in check(world.store)] == []


def test_several_services_have_a_link_each_and_a_foreign_device_none(world: World) -> None:
    one, other = world.device(), world.device()
    for device_id in (one, other):
        world.own(device_id)
    first, second = world.service(one), world.service(one)
    link(world, other, first)  # somebody wrote it by hand
    assert sync(world) == (1, 2)
    assert open_links(world) == {(one, first), (one, second)}


def test_only_the_devices_of_the_job_are_looked_at(world: World) -> None:
    mine, other = world.device(), world.device()
    job_id = submit(world, mine)
    for device_id in (mine, other):
        world.own(device_id)
    made = world.service(mine)
    world.service(other)
    stale = world.service(other, is_active=False)
    link(world, other, stale)
    assert sync(world, job_id) == (0, 1)
    assert open_links(world) == {(mine, made), (other, stale)}
    assert sync(world) == (1, 1)


def test_a_link_that_was_closed_is_opened_as_a_new_one(world: World) -> None:
    one = world.device()
    own = world.own(one)
    made = world.service(one)
    assert sync(world) == (0, 1)
    world.change(device_ownership, own, state="ended", effective_to=day(0))
    assert sync(world) == (1, 0)
    world.change(device_ownership, own, state="active", effective_to=None)
    assert sync(world) == (0, 1)
    rows = world.rows(device_service_link, billing_service_id=made)
    assert [row.closed_at is None for row in rows] == [False, True], "what was is kept"


def test_the_procedures_may_run_in_any_state_of_a_job(world: World) -> None:
    """A process that dies between them leaves the job to be finished: the next one does all of them again."""
    one = world.device()
    world.device(iccid=world.iccid_of(one), service_provider_id=HARBOR)
    job_id = submit(world, one, service_provider="NORTHSTAR")
    apply_all(world, job_id)
    assert world.rows(job)[0].state == "finishing"
    with world.store.begin() as uow:
        procedures.record_across_providers(uow, job_id=job_id)
        assert procedures.mark_device_changes_complete(uow, job_id) == 1
        procedures.sync_device_service_links(uow, job_id)
        # dies: nothing is committed
    assert not world.rows(device_history)[0].is_complete
    assert len(noted(world)) == 1, "its batch has noted it already"
    for marked in (1, 0):
        with world.store.begin() as uow:
            assert procedures.record_across_providers(uow, job_id=job_id) == 0
            assert procedures.mark_device_changes_complete(uow, job_id) == marked
            assert procedures.sync_device_service_links(uow, job_id) == (0, 0)
            uow.commit()
