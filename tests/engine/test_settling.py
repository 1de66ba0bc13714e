"""What a person settles, or cancels, while an engine has still questions for billing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from db import steering
from db.integrity import check
from db.schema import job, work_order
from db.unit_of_work import UnitOfWork
from desktop_app.association.errors import RequestRefused
from tests.helpers.billing_ledger import CUT_BEFORE
from tests.helpers.databases import Databases
from tests.helpers.jobs import submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import SETTLE_S, Time
from tests.helpers.world import World

NUMBER = "AJ-20261124-0001"


class Scene:
    """One engine that the test moves, in virtual time."""

    def __init__(self, world: World) -> None:
        self.world, self.time = world, Time()
        world.store.clock = lambda _connection: self.time.now
        self.ledger = SilentLedger(self.time)
        self.engine = VirtualEngine(world, self.time, self.ledger, "engine")

    def go_on(self) -> None:
        """What is due is called and recorded; nothing becomes due meanwhile."""
        for _ in range(4):
            self.engine.keep_house()
            self.engine.record(4)
            self.engine.call([None] * 4)

    def absent(self, uow: UnitOfWork) -> None:
        steering.resolve(uow, NUMBER, self.order().iccid, None, "ada")

    def order(self) -> Any:
        return self.world.rows(work_order)[0]


@pytest.fixture
def scene(databases: Databases) -> Iterator[Scene]:
    with fresh_store(databases) as store:
        yield Scene(World(store))


def test_what_billing_never_tells_is_settled_by_a_person_at_any_time(scene: Scene) -> None:
    """Each question in vain puts the next one off; what was sent is older than the settle time all the same."""
    submit(scene.world, scene.world.device(), create_billing_service=True)
    scene.engine.record(1)
    scene.engine.call([CUT_BEFORE])
    scene.engine.record(0)
    scene.ledger.silences = 10**9
    with pytest.raises(RequestRefused) as refused:
        scene.world.store.run(scene.absent)
    assert refused.value.code == "OUTCOME_TOO_FRESH", "the one wait that means something"
    scene.time.pass_by(SETTLE_S)
    for _ in range(5):
        scene.go_on()
        order = scene.order()
        assert (order.state, order.error_code) == ("outcome_unknown", "BILLING_CANNOT_BE_ASKED")
        assert order.check_at > scene.time.now, "billing is asked later again"
        with scene.world.store.begin() as uow:
            scene.absent(uow)  # and not committed
        scene.time.pass_by((order.check_at - scene.time.now).total_seconds())
    scene.go_on()
    scene.world.store.run(scene.absent)
    scene.ledger.silences = 0
    scene.go_on()
    scene.go_on()
    assert (scene.world.rows(job)[0].state, len(scene.ledger.services)) == ("completed", 1)
    assert check(scene.world.store) == ()
