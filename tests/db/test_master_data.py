"""Customers, sites, plans and credentials, read from a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from db.master_data import MasterData
from db.schema import billing_credential, customer, rate_plan
from db.unit_of_work import Store
from desktop_app.association.facts import CustomerFacts, PlanMapping, ProviderMapping, RatePlanFacts, SiteFacts
from desktop_app.association.model import PlanKind
from tests.helpers.world import (
    ALPINE,
    CARRIER_PACKAGE,
    CARRIER_PLAN,
    CREDENTIAL,
    CUSTOMER_PLAN,
    FABRIKAM,
    HARBOR_PLAN,
    HEAD_OFFICE,
    NORTHWIND,
    World,
)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def master(world: World) -> Iterator[MasterData]:
    with world.store.read() as uow:
        yield MasterData(uow)


def test_a_customer_with_all_that_the_check_asks_for(world: World) -> None:
    world.change(customer, NORTHWIND, starts_on=date(2026, 1, 1), bill_cycle_day=15, is_active=False)
    with world.store.read() as uow:
        assert MasterData(uow).customer(NORTHWIND) == CustomerFacts(
            NORTHWIND, "Northwind Fleet", "10482", False, date(2026, 1, 1), 15, CREDENTIAL, "500"
        )
        assert MasterData(uow).customer(999) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [("10482", [NORTHWIND]), ("NORTHWIND fleet", [NORTHWIND]), ("Alpine Agri", [ALPINE]), ("Northwind", []), ("", [])],
)
def test_customers_called(master: MasterData, name: str, found: list[int]) -> None:
    assert [one.customer_id for one in master.customers_called(name)] == found


@pytest.mark.parametrize(
    ("name", "found"), [("Northwint", [NORTHWIND]), ("20399", [FABRIKAM]), ("zzz", []), ("%", []), ("___", [])]
)
def test_customers_like(master: MasterData, name: str, found: list[int]) -> None:
    assert [one.customer_id for one in master.customers_like(name)] == found


def test_sites(master: MasterData) -> None:
    assert [one.code for one in master.sites(NORTHWIND)] == ["DEPOT", "HO"]
    assert master.sites(NORTHWIND)[1] == SiteFacts(HEAD_OFFICE, "HO", "Head office", True, True, "700")
    assert master.sites(ALPINE) == []


def test_service_providers(master: MasterData) -> None:
    assert [(one.code, one.name, one.is_active) for one in master.service_providers()] == [
        ("HARBOR", "Harbor Wireless", True),
        ("NORTHSTAR", "Northstar Mobile", True),
    ]


def test_rate_plans(master: MasterData) -> None:
    assert [one.rate_plan_id for one in master.rate_plans(PlanKind.CARRIER)] == [
        CARRIER_PLAN, HARBOR_PLAN, CARRIER_PACKAGE,
    ]  # fmt: skip
    assert [one.rate_plan_id for one in master.rate_plans(PlanKind.CARRIER, "iot5")] == [CARRIER_PLAN, HARBOR_PLAN]
    assert master.rate_plans(PlanKind.CUSTOMER, "IOT5") == []
    assert master.rate_plan(CUSTOMER_PLAN) == RatePlanFacts(
        CUSTOMER_PLAN, PlanKind.CUSTOMER, "FLEET", "Fleet", None, None, 5_000_000_000, "north", True
    )
    assert master.rate_plan(999) is None


def test_a_credential_with_its_mapping(master: MasterData) -> None:
    credential = master.credential(CREDENTIAL)
    assert credential is not None
    assert (credential.code, credential.name, credential.is_active) == ("main", "Main", True)
    assert credential.providers["NORTHSTAR"] == ProviderMapping("12", "3")
    assert credential.providers["HARBOR"] == ProviderMapping("13", "3")  # numbers of a mapping written by hand
    assert credential.plans["carrier:NORTHSTAR:PACK5"] == PlanMapping(None, "7")
    assert credential.plans["customer:FLEET"] == PlanMapping("103", None)
    assert master.credential(None) == credential
    assert master.credential(999) is None


def test_a_mapping_with_nothing_in_it(world: World) -> None:
    world.put(billing_credential, {"id": 31, "code": "empty", "name": "Empty", "mapping": {"version": 1}})
    with world.store.read() as uow:
        credential = MasterData(uow).credential(31)
    assert credential is not None
    assert (credential.providers, credential.plans) == ({}, {})


def test_a_plan_that_is_reserved_and_one_that_is_over(world: World) -> None:
    world.change(rate_plan, CUSTOMER_PLAN, customer_id=NORTHWIND, is_active=False)
    with world.store.read() as uow:
        (plan,) = MasterData(uow).rate_plans(PlanKind.CUSTOMER)
    assert (plan.customer_id, plan.is_active) == (NORTHWIND, False)
