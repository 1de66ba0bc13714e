"""What an engine may do on a lease: while the machine's clocks are set, while it is stopped, and after it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from db.schema import job, work_order, work_order_step
from desktop_app.association.ports import LookupVerdict, PostResult, ServiceLookup, ServiceOrder, always
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import JobState, WorkOrderState
from desktop_app.engine.group import Item
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.leases import Lease
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import NotCalled, run
from tests.engine.conftest import World, wait_for
from tests.helpers.billing_ledger import CUT_AFTER, CUT_BEFORE, BillingLedger, OneLedger

LEASE_S, TIMEOUT_S = 30.0, 2.0
RULES = ProcessingRules(timedelta(seconds=5))
HOUR_S = 3_600.0


@dataclass
class Clocks:
    """The wall clock, which a person may set, and the lease clock, which nobody can."""

    wall: float = field(default_factory=time.time)
    lease: float = 1_000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.lease += seconds

    def set_wall(self, by: float) -> None:
        self.wall += by

    def new_lease(self, seconds: float) -> Lease:
        return Lease.lasting(seconds, lambda: self.lease, lambda: self.wall)

    def now(self, _connection: object = None) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)


@pytest.fixture
def clocks(world: World) -> Clocks:
    clocks = Clocks()
    world.store.clock = clocks.now
    return clocks


def recorder(world: World, clocks: Clocks, engine_id: str) -> Recorder:
    return Recorder(world.store, engine_id, RULES, lease_s=LEASE_S, new_lease=clocks.new_lease)


def take_back(world: World) -> None:
    Housekeeping(world.store, world.gateway, RULES).run_once(RULES)


def rows(world: World, number: str) -> list[Any]:
    """The work orders of the job and their steps, as they are written."""
    orders = world.orders(number)
    with world.store.read() as uow:
        ids = select(work_order.c.id).where(work_order.c.iccid.in_([row.iccid for row in orders]))
        return [
            uow.connection.execute(select(table).where(column.in_(ids)).order_by(column)).all()
            for table, column in ((work_order, work_order.c.id), (work_order_step, work_order_step.c.work_order_id))
        ]


def live(world: World, clocks: Clocks, engine_id: str, number: str) -> None:
    """An engine in virtual time, until the job is over."""
    one = recorder(world, clocks, engine_id)
    items: list[Item] = []
    for _ in range(200):
        take_back(world)
        recorded = one.record(items, 5)
        items = [run(order, world.ledger, TIMEOUT_S, lambda: False) for order in recorded.to_call]
        items += recorded.settled
        clocks.pass_by(1.0)
        if world.job(number).job.state is JobState.COMPLETED:
            return
    raise AssertionError("the job never came to an end")


class SlowToConnect(BillingLedger):
    """A billing company to which it takes a while to get through; then the right to send is asked for."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        self._meanwhile()
        return super().create_service(order, may_send)


def test_a_lease_that_ends_while_the_connection_is_made_is_not_posted_on(world: World, clocks: Clocks) -> None:
    world.submit(world.request(1))
    (in_hand,) = recorder(world, clocks, "one").record((), 1).to_call
    billing = SlowToConnect(lambda: clocks.pass_by(LEASE_S - TIMEOUT_S))
    assert run(in_hand, billing, TIMEOUT_S, lambda: False).result == NotCalled()
    assert billing.posts == 0


def test_an_answer_of_an_earlier_lease_of_the_same_engine_changes_nothing(world: World, clocks: Clocks) -> None:
    """A process that was stopped takes its own work orders back, and holds them anew when the old answer comes."""
    number = world.submit(world.request(1))
    one = recorder(world, clocks, "one")
    (in_hand,) = one.record((), 1).to_call
    late = run(in_hand, world.ledger, TIMEOUT_S, lambda: False)
    clocks.pass_by(LEASE_S + 1)
    take_back(world)
    clocks.pass_by(RULES.settle.total_seconds())
    (again,) = one.record((), 1).to_call
    assert again.held.epoch > in_hand.held.epoch
    before = rows(world, number)
    assert one.record([late], 0).to_call == ()
    assert rows(world, number) == before
    clocks.pass_by(LEASE_S + 1)
    live(world, clocks, "another", number)
    world.assert_sound()


def test_answers_of_an_earlier_and_of_this_lease_in_one_group_make_one_post(world: World, clocks: Clocks) -> None:
    """Both say that billing has nothing of what may have been sent; only the one may be posted on."""
    number = world.submit(world.request(1))
    one = recorder(world, clocks, "one")
    world.ledger.faults.append(CUT_BEFORE)
    (sent,) = one.record((), 1).to_call
    one.record([run(sent, world.ledger, TIMEOUT_S, lambda: False)], 0)
    clocks.pass_by(RULES.settle.total_seconds())
    (asked,) = one.record((), 1).to_call
    late = run(asked, world.ledger, TIMEOUT_S, lambda: False)
    clocks.pass_by(LEASE_S + 1)
    take_back(world)
    clocks.pass_by(RULES.settle.total_seconds())
    (again,) = one.record((), 1).to_call
    answer = run(again, world.ledger, TIMEOUT_S, lambda: False)
    assert world.ledger.searches == 2
    to_call = one.record([late, answer], 0).to_call
    assert [order.held for order in to_call] == [again.held]
    one.record([run(order, world.ledger, TIMEOUT_S, lambda: False) for order in to_call], 0)
    clocks.pass_by(LEASE_S + 1)
    live(world, clocks, "another", number)
    world.assert_sound()


def test_what_is_taken_back_has_a_new_epoch(world: World, clocks: Clocks) -> None:
    world.submit(world.request(1))
    (in_hand,) = recorder(world, clocks, "one").record((), 1).to_call
    clocks.pass_by(LEASE_S + 1)
    take_back(world)
    with world.store.read() as uow:
        state, epoch = uow.connection.execute(
            select(work_order.c.state, work_order.c.lease_epoch).where(work_order.c.id == in_hand.held.work_order_id)
        ).one()
    assert (state, epoch) == (WorkOrderState.OUTCOME_UNKNOWN, in_hand.held.epoch + 1)


# --- somebody sets the clock -----------------------------------------------------------------------------------------


def test_a_wall_clock_set_forward_lets_others_take_over_and_this_engine_sends_nothing(
    world: World, clocks: Clocks
) -> None:
    number = world.submit(world.request(3))
    first = recorder(world, clocks, "first")
    held = first.record((), 3).to_call
    sent = run(held[0], world.ledger, TIMEOUT_S, lambda: False)
    clocks.set_wall(HOUR_S)
    assert [run(order, world.ledger, TIMEOUT_S, lambda: False).result for order in held[1:]] == [NotCalled()] * 2
    assert world.ledger.posts == 1
    live(world, clocks, "second", number)
    before = rows(world, number)
    assert first.record([sent], 0).to_call == ()
    assert rows(world, number) == before
    world.assert_sound()


def test_a_wall_clock_set_back_lengthens_no_right_to_send(world: World, clocks: Clocks) -> None:
    """Its leases seem to stand for another hour; on the clock that nobody sets they are over."""
    number = world.submit(world.request(2))
    first = recorder(world, clocks, "first")
    held = first.record((), 2).to_call
    sent = run(held[0], world.ledger, TIMEOUT_S, lambda: False)
    clocks.set_wall(-HOUR_S)
    clocks.pass_by(LEASE_S)
    late = run(held[1], world.ledger, TIMEOUT_S, lambda: False)
    assert late.result == NotCalled()
    assert world.ledger.posts == 1
    # In the database it still holds them: what it brings is recorded, and what it did not send is queued work again.
    first.record([sent, late], 0)
    live(world, clocks, "first", number)
    world.assert_sound()


def test_a_dead_engines_work_is_taken_over_after_the_wall_clock_was_set_back(world: World, clocks: Clocks) -> None:
    """Late, once the stored end has come, but all of it."""
    number = world.submit(world.request(2))
    for order in recorder(world, clocks, "dead").record((), 2).to_call:
        run(order, world.ledger, TIMEOUT_S, lambda: False)
    clocks.set_wall(-HOUR_S)
    take_back(world)
    assert world.job(number).job.counts.running == 2
    clocks.pass_by(HOUR_S + LEASE_S + 1)
    live(world, clocks, "another", number)
    world.assert_sound()


# --- searches that last for longer than a lease ----------------------------------------------------------------------


class LongSearches(BillingLedger):
    """A billing company whose lists have more and more pages until a test ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.last_page = threading.Event(), threading.Event()

    def find_services(
        self,
        billing_customer_id: str,
        *,
        reference: str = "",
        number: str = "",
        may_go_on: Callable[[], bool] = always,
    ) -> ServiceLookup:
        self.begun.set()
        while not self.last_page.wait(0.01):
            if not may_go_on():
                return ServiceLookup(LookupVerdict.NOT_ASKED, reason="It was not asked for the rest.")
        return super().find_services(billing_customer_id, reference=reference, number=number)


def order_of(world: World, number: str) -> Any:
    """The only work order of the job, as it is written."""
    rows = select(work_order).join(job, job.c.id == work_order.c.job_id).where(job.c.tracking_number == number)
    with world.store.read() as uow:
        return uow.connection.execute(rows).one()


@pytest.fixture
def searches(world: World) -> Iterator[LongSearches]:
    """A billing company to ask for the one device of the job whose POST got no answer."""
    ledger = LongSearches()
    world.ledger, world.gateway = ledger, OneLedger(ledger)
    ledger.faults.append(CUT_AFTER)
    yield ledger
    ledger.last_page.set()


def test_a_search_that_outlasts_its_lease_is_recorded(world: World, clocks: Clocks, searches: LongSearches) -> None:
    number = world.submit(world.request(1))
    engine = world.engine(settle_s=0.0, lease_s=LEASE_S, new_lease=clocks.new_lease)
    engine.start()
    try:
        assert searches.begun.wait(60)
        for _ in range(4):
            clocks.pass_by(LEASE_S / 2)
            wait_for(lambda: order_of(world, number).lease_until > clocks.now() + timedelta(seconds=LEASE_S * 0.9))
        searches.last_page.set()
        wait_for(lambda: world.job(number).job.state is JobState.COMPLETED)
    finally:
        searches.last_page.set()
        engine.stop()
    order = order_of(world, number)
    assert (order.lease_epoch, searches.searches) == (2, 1), "it was not taken back, and asked once"
    world.assert_sound()


def test_an_engine_that_stops_does_not_wait_for_the_further_pages_of_a_search(
    world: World, clocks: Clocks, searches: LongSearches
) -> None:
    number = world.submit(world.request(1))
    options = {"settle_s": 0.0, "lease_s": LEASE_S, "new_lease": clocks.new_lease}
    engine = world.engine(**options)  # type: ignore[arg-type]
    engine.start()
    try:
        assert searches.begun.wait(60)
        stops = threading.Thread(target=engine.stop)
        stops.start()
        stops.join(60)
        is_waiting = stops.is_alive()
    finally:
        searches.last_page.set()
        engine.stop()
    assert not is_waiting
    order = order_of(world, number)
    assert (order.state, order.engine_id) == (WorkOrderState.OUTCOME_UNKNOWN, None)
    assert order.check_at <= clocks.now(), "the next engine asks at once"
    world.work(**options)
    assert world.job(number).job.state is JobState.COMPLETED
    world.assert_sound()
