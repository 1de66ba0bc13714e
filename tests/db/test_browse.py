"""Queries behind the desk that are worth a look of their own: wildcards, cancelling in the middle, who sees what."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Integer, bindparam, literal, select

from db import browse_billing, browse_devices, operators
from db.cancelling import all_ids, cancellable
from db.schema import customer, device
from db.searching import contains, starts_with
from db.unit_of_work import Store
from desktop_app.association.errors import Cancelled
from desktop_app.association.facts import Right
from desktop_app.association.model import DeviceFilter, IdentifierKind, Reading
from tests.helpers.databases import Databases
from tests.helpers.stores import demo_store


@pytest.fixture
def demo(databases: Databases) -> Iterator[Store]:
    with demo_store(databases) as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "part", "holds", "begins"),
    [
        ("100% water", "100%", True, True),
        ("1000 water", "100%", False, False),
        ("a_b", "a_b", True, True),
        ("axb", "a_b", False, False),
        ("x[y]z", "[y]", True, False),
        ("back\\slash", "\\s", True, False),
        ("plain", "", True, True),
    ],
)
def test_wildcards_stand_for_themselves(store: Store, text: str, part: str, holds: bool, begins: bool) -> None:
    with store.read() as uow:
        row = uow.connection.execute(
            select(contains(bindparam("text", text), part), starts_with(bindparam("text", text), part))
        ).one()
    assert (bool(row[0]), bool(row[1])) == (holds, begins)


def test_read_is_cancelled_between_its_parts(demo: Store) -> None:
    asked = count()
    with demo.read() as uow, pytest.raises(Cancelled):
        all_ids(uow, select(device.c.id), lambda: next(asked) > 0)
    with demo.read() as uow:  # the connection is as good as new
        assert len(all_ids(uow, select(device.c.id), lambda: False)) == 2_000


def test_sqlite_is_cancelled_in_the_middle_of_a_statement(tmp_path: Path) -> None:
    """Other servers are asked between the parts."""
    endless = select(literal(1, Integer).label("n")).cte("endless", recursive=True)
    endless = endless.union_all(select(endless.c.n + 1))
    asked = count()
    (tmp_path / "empty.db").touch()
    with (
        Store(f"sqlite:///{tmp_path}/empty.db") as store,
        store.read() as uow,
        pytest.raises(Cancelled),
        cancellable(uow, lambda: next(asked) > 3),
    ):
        uow.connection.execute(select(endless.c.n).where(endless.c.n < 0)).all()
    assert next(asked) > 3


def test_sqlite_is_cancelled_while_handles_are_fetched(tmp_path: Path) -> None:
    """The driver itself is asked for them; what it says is heard all the same."""
    endless = select(literal(1, Integer).label("n")).cte("endless", recursive=True)
    endless = endless.union_all(select(endless.c.n + 1))
    asked = count()
    (tmp_path / "empty.db").touch()
    with Store(f"sqlite:///{tmp_path}/empty.db") as store, store.read() as uow, pytest.raises(Cancelled):
        all_ids(uow, select(endless.c.n).where(endless.c.n == 1), lambda: next(asked) > 3)


def test_rights_decide_which_rows_are_seen(demo: Store) -> None:
    with demo.read() as uow:
        everyone = set(uow.connection.execute(select(customer.c.id)).scalars())
        for login in ("viewer", "operator", "limited"):
            rights = operators.find(uow, login.upper())
            assert rights is not None
            seen = set(
                uow.connection.execute(select(customer.c.id).where(operators.sees(rights, customer.c.id))).scalars()
            )
            assert seen == {one for one in everyone if rights.may(Right.VIEW, one)}
            assert seen == everyone if rights.visible_customers is None else seen == rights.visible_customers
        assert operators.find(uow, "nobody") is None


def test_devices_without_owner_are_everybodys(demo: Store) -> None:
    with demo.read() as uow:
        limited = operators.find(uow, "limited")
        assert limited is not None
        shown = browse_devices.device_ids(uow, limited, DeviceFilter(owned=False), "iccid", False, lambda: False)
        operator = operators.find(uow, "operator")
        assert operator is not None
        free = browse_devices.device_ids(uow, operator, DeviceFilter(owned=False), "iccid", False, lambda: False)
    assert list(shown) == list(free)
    assert free


def test_first_reading_that_finds_a_device_wins(demo: Store) -> None:
    with demo.read() as uow:
        rights = operators.find(uow, "operator")
        assert rights is not None
        some = browse_devices.device_rows(uow, rights, [1])[0]
        readings = [Reading(IdentifierKind.ICCID, "8900000000000000000"), Reading(IdentifierKind.ICCID, some.iccid)]
        assert some in browse_devices.find(uow, rights, readings)
        assert 1 in browse_devices.ids_of(uow, readings)
        assert browse_devices.find(uow, rights, readings[:1]) == []


def test_billing_services_belong_to_one_credential_each(demo: Store) -> None:
    with demo.read() as uow:
        credentials = browse_billing.credentials(uow)
        assert [one.is_default for one in credentials].count(True) == 1
        assert credentials[0].is_default
        found = [
            (one.billing_credential_id, service.service_id)
            for one in credentials
            for service in browse_billing.services(uow, one.billing_credential_id)
        ]
        assert len(set(found)) == len(found) > 0
        assert browse_billing.credential_of_job(uow, "AJ-1") is None
