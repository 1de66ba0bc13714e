"""Desks for tests."""

from __future__ import annotations

from db import operators
from db.unit_of_work import Store
from desktop_app.desk.administration import Installation
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.seat import Seat
from tests.helpers.billing_ledger import BillingLedger, OneLedger

ADMINISTRATOR = "boss"
INSTALLATION = Installation(
    environment="SANDBOX", database="desk.db", billing="", settings={"workers": "4"}, runs_engine=False, version="1"
)


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


def add_boss(store: Store) -> None:
    """Makes an administrator."""
    store.run(lambda uow: operators.add_administrator(uow, ADMINISTRATOR, "The boss"))


def desk_on(
    store: Store,
    login: str = ADMINISTRATOR,
    *,
    acting: str = "",
    wake: Bell | None = None,
    ledger: BillingLedger | None = None,
) -> LocalDesk:
    """A desk before a store, for an operator who is in it; and before a billing company, an empty one by default."""
    billing = OneLedger(ledger or BillingLedger())
    return LocalDesk(Seat(store, login, acting), INSTALLATION, billing=billing, wake=wake or Bell(), close=Bell())
