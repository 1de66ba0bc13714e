"""What a person settles, or cancels, while an engine has still questions for billing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import update

from db import steering
from db.integrity import check
from db.schema import billing_service, job, work_order, work_order_step
from db.unit_of_work import UnitOfWork
from desktop_app.association.errors import RequestRefused
from desktop_app.desk.requests import retry_job
from desktop_app.desk.seat import Seat
from desktop_app.engine.recorder import Recorder
from tests.helpers.billing_ledger import BUSY, CUT_AFTER, CUT_BEFORE, GONE, NOT_REACHED, Fault
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import RULES, SilentLedger, VirtualEngine
from tests.helpers.virtual_time import LAG_S, LEASE_S, SETTLE_S, Time
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

    def cancel(self) -> int:
        return self.world.store.run(lambda uow: steering.cancel_job(uow, NUMBER, "ada"))

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


# --- cancelled while a call is made ----------------------------------------------------------------------------------

COME_TO_NOTHING = {
    "not reached": NOT_REACHED,
    "too many calls": BUSY,
    "the quota is used up": replace(BUSY, retry_after_s=86_400.0),
    "billing is gone": GONE,
}
nothing = pytest.mark.parametrize("fault", COME_TO_NOTHING.values(), ids=COME_TO_NOTHING.keys())


def assert_it_is_over(scene: Scene, message: str) -> None:
    """At once: nobody waits until it would be tried again, for a whole day where the quota is used up."""
    scene.engine.record(1)
    assert (scene.order().state, scene.order().error_code) == ("cancelled", "CANCELLED")
    assert message in scene.order().error_message
    scene.engine.keep_house()
    assert scene.world.rows(job)[0].state == "cancelled"
    assert_counters_equal_rows(scene.world)
    assert check(scene.world.store) == ()


@nothing
def test_a_call_that_came_to_nothing_is_cancelled_with_its_job(scene: Scene, fault: Fault) -> None:
    submit(scene.world, scene.world.device(), create_billing_service=True)
    scene.engine.record(1)
    assert scene.cancel() == 0
    scene.engine.call([fault])
    assert_it_is_over(scene, "before anything was made")
    assert retry_job(Seat(scene.world.store, "admin"), NUMBER).requeued == 1, "its device is free"
    for _ in range(3):
        scene.go_on()
    assert (scene.world.rows(job)[0].state, len(scene.ledger.services)) == ("completed", 1)


@nothing
def test_what_was_made_before_such_a_call_is_told_and_gone_on_from(scene: Scene, fault: Fault) -> None:
    submit(scene.world, scene.world.device(), create_billing_service=True, customer_rate_plan="FLEET")
    scene.engine.record(1)
    scene.engine.call([None])
    scene.engine.record(1)
    assert scene.cancel() == 0
    scene.engine.call([fault])
    (made,) = scene.ledger.services
    assert_it_is_over(scene, f"Cancelled after billing service {made} was made")
    assert retry_job(Seat(scene.world.store, "admin"), NUMBER).requeued == 1
    for _ in range(3):
        scene.go_on()
    assert scene.world.rows(job)[0].state == "completed"
    assert (list(scene.ledger.services), len(scene.ledger.products)) == ([made], 1)


def test_what_may_be_at_billing_is_never_cancelled_by_a_search_that_came_to_nothing(scene: Scene) -> None:
    """Whatever its row says, or does not say: here it is not known since when it is open."""
    submit(scene.world, scene.world.device(), create_billing_service=True)
    scene.engine.record(1)
    scene.engine.call([CUT_AFTER])
    scene.engine.record(0)
    (step,) = scene.world.rows(work_order_step)
    with scene.world.store.begin() as uow:
        uow.connection.execute(update(work_order_step).values(intent_at=None))
        uow.commit()
    scene.cancel()
    scene.time.pass_by(SETTLE_S + LAG_S)
    scene.ledger.silences = 1
    scene.engine.record(1)
    scene.engine.call([None])
    scene.engine.record(0)
    assert scene.order().state in {"waiting_retry", "outcome_unknown"}
    assert [row.state for row in scene.world.rows(work_order_step)] == [step.state] == ["unknown"]


# --- found at billing before anything was sent -----------------------------------------------------------------------


def looked_up_first(scene: Scene) -> None:
    """A device whose number is taken by a service from outside; an engine that looks before its first POST."""
    submit(scene.world, scene.world.device(), create_billing_service=True)
    scene.engine.recorder = Recorder(
        scene.world.store, "engine", RULES, lease_s=LEASE_S, lookup_first=True, new_lease=scene.time.lease,
        rng=Random(1),
    )  # fmt: skip
    scene.ledger.add_service("outside", "500", scene.order().msisdn)
    scene.ledger.made_at["outside"] = scene.time.now
    scene.time.pass_by(LAG_S)


def assert_cancelled_for_good(scene: Scene) -> None:
    scene.go_on()
    assert (scene.world.rows(job)[0].state, scene.order().state) == ("cancelled", "cancelled")
    assert (scene.order().error_code, scene.ledger.posts) == ("CANCELLED", 0)
    assert {row.state for row in scene.world.rows(work_order_step)} <= {"refused"}, "nothing is open, or not sent"
    assert_counters_equal_rows(scene.world)
    assert check(scene.world.store) == ()


def assert_looked_up_again(scene: Scene) -> None:
    """After a retry: a step that stood as not sent would be posted without a look."""
    assert retry_job(Seat(scene.world.store, "admin"), NUMBER).requeued == 1
    scene.go_on()
    assert (scene.order().error_code, scene.ledger.posts) == ("BILLING_NUMBER_TAKEN", 0)


def test_a_cancelled_job_does_not_wait_for_a_person_where_nothing_was_sent(scene: Scene) -> None:
    looked_up_first(scene)
    scene.go_on()
    assert scene.order().error_code == "BILLING_NUMBER_TAKEN"
    assert scene.cancel() == 1
    assert_cancelled_for_good(scene)
    assert_looked_up_again(scene)


def test_what_was_only_found_is_looked_up_before_each_post_until_there_is_one(scene: Scene) -> None:
    """Also where the job was paused before the look was made, in a second try."""
    looked_up_first(scene)
    scene.go_on()
    assert scene.cancel() == 1
    scene.go_on()
    assert retry_job(Seat(scene.world.store, "admin"), NUMBER).requeued == 1
    scene.ledger.silences = 1
    scene.engine.record(1)
    scene.engine.call([None])
    scene.engine.record(0)
    scene.time.pass_by(60)
    scene.engine.keep_house()
    scene.engine.record(1)
    scene.world.store.run(lambda uow: steering.pause_job(uow, NUMBER, "ada"))
    scene.time.pass_by(LEASE_S * 0.7)  # it is not called any more, and given back
    scene.engine.record(0)
    assert (scene.order().state, scene.order().attempts) == ("queued", 1)
    scene.world.store.run(lambda uow: steering.resume_job(uow, NUMBER, "ada"))
    scene.go_on()
    assert (scene.order().error_code, scene.ledger.posts) == ("BILLING_NUMBER_TAKEN", 0)


def test_what_is_found_when_the_job_is_cancelled_already_is_cancelled_too(scene: Scene) -> None:
    looked_up_first(scene)
    scene.engine.record(1)
    scene.engine.call([None])  # and not recorded yet
    assert scene.cancel() == 0
    assert_cancelled_for_good(scene)
    assert_looked_up_again(scene)


def test_what_was_found_while_the_job_was_being_cancelled_is_cancelled_by_a_second_one(scene: Scene) -> None:
    """An engine that read the job before it was cancelled parks for a person what it found."""
    looked_up_first(scene)
    scene.go_on()
    scene.world.change(job, scene.world.rows(job)[0].id, cancel_requested=True)
    assert scene.cancel() == 1
    assert_cancelled_for_good(scene)
    with pytest.raises(RequestRefused, match="is cancelled; it cannot be cancelled now"):
        scene.cancel()


def test_what_carries_our_reference_waits_for_a_person_also_in_a_cancelled_job(scene: Scene) -> None:
    """It was made by us, and nobody here knows of it: by a database that was put back from a backup, say."""
    looked_up_first(scene)
    order = scene.order()
    scene.ledger.add_service("ours", "500", order.msisdn, reference=order.reference)
    scene.ledger.made_at["ours"] = scene.time.now
    scene.time.pass_by(LAG_S)
    scene.go_on()
    assert scene.order().error_code == "BILLING_SERVICES_AMBIGUOUS"
    assert scene.cancel() == 0
    scene.go_on()
    assert (scene.order().state, len(scene.world.rows(work_order_step))) == ("outcome_unknown", 1)


def test_a_service_from_outside_is_not_ours_for_a_post_that_failed_in_an_earlier_run(scene: Scene) -> None:
    """Else it would be recorded as made by us, under a reference that it does not carry."""
    looked_up_first(scene)
    order = scene.order()
    scene.world.put(
        work_order_step,
        {"work_order_id": order.id, "step": "billing_service", "state": "not_sent", "attempts": 1,
         "intent_at": scene.time.now},
    )  # fmt: skip
    scene.go_on()
    assert scene.order().error_code == "BILLING_NUMBER_TAKEN"
    scene.world.store.run(lambda uow: steering.resolve(uow, NUMBER, order.iccid, "outside", "ada"))
    assert (scene.world.rows(work_order_step)[0].state, scene.order().billing_action) == ("kept", "keep")
    assert scene.world.rows(billing_service)[0].reference is None
    scene.go_on()
    assert (scene.world.rows(job)[0].state, scene.ledger.posts) == ("completed", 0)
