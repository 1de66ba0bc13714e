"""What the tests of the desk share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.unit_of_work import Store
from desktop_app.desk.local import LocalDesk
from tests.helpers.databases import Databases
from tests.helpers.desks import add_boss, desk_on
from tests.helpers.stores import demo_store


@pytest.fixture
def demo(databases: Databases) -> Iterator[Store]:
    """Demo data with an administrator, on SQLite and on PostgreSQL in turn."""
    with demo_store(databases) as store:
        add_boss(store)
        yield store


@pytest.fixture
def desk(demo: Store) -> LocalDesk:
    """The administrator's desk before the demo data."""
    return desk_on(demo)
