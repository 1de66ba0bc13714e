"""A billing company that gives no clear answer: jobs pause instead of hammering it, and a bad order ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from db import steering
from db.schema import job, work_order, work_order_step
from desktop_app.association.ports import LookupVerdict, PostResult, PostVerdict, ServiceLookup, ServiceOrder
from desktop_app.engine.breaker import AT_ONCE, DEVICES, FORGOTTEN_AFTER, Breakers
from tests.helpers.billing_ledger import FAILED_BEFORE
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import RULES, SilentLedger, VirtualEngine
from tests.helpers.virtual_time import SETTLE_S, Time
from tests.helpers.world import NOW, World

POOL = 4


class Broken(SilentLedger):
    """Answers 500 to orders for some references, and makes nothing of them.

    Attributes:
        is_bad: whether the order with this reference ends so.
        posted: how often each reference was posted.
    """

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.is_bad: Callable[[str], bool] = lambda _reference: True
        self.posted: dict[str, int] = {}

    def create_service(self, order: ServiceOrder, may_send: Callable[[], bool]) -> PostResult:
        self.posted[order.reference] = self.posted.get(order.reference, 0) + 1
        if self.is_bad(order.reference):
            self.faults.clear()
            self.faults.append(FAILED_BEFORE)
        return super().create_service(order, may_send)


class Play:
    """One engine, one job of ``devices`` devices, and a clock that goes on with each round."""

    def __init__(self, world: World, devices: int, *, lookup_first: bool = False) -> None:
        self.world, self.time = world, Time()
        submit(world, *(world.device() for _ in range(devices)), create_billing_service=True)
        world.store.clock = lambda _connection: self.time.now
        self.billing = Broken(self.time)
        self.engine = VirtualEngine(world, self.time, self.billing, "an-engine", lookup_first=lookup_first)

    def rounds(self, count: int, seconds: float = 1.0) -> None:
        """So many rounds, ``seconds`` apart."""
        for _ in range(count):
            self.engine.keep_house()
            self.engine.record(POOL)
            self.engine.call([None] * POOL)
            self.time.pass_by(seconds)

    def until(self, is_there: Callable[[], bool], seconds: float = 1.0) -> None:
        for _ in range(500):
            if is_there():
                return
            self.rounds(1, seconds)
        raise AssertionError("it never came to that")

    @property
    def job(self) -> Any:
        return self.world.rows(job)[0]

    def states(self) -> set[str]:
        return {order.state for order in self.world.rows(work_order)}


on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@on_sqlite
def test_a_company_that_breaks_at_every_order_is_not_hammered_and_no_device_fails(world: World) -> None:
    """Its searches work, so that each look says that it is there; it is tried less and less often, one at a time."""
    play = Play(world, 30)
    play.until(lambda: play.job.state == "paused")
    assert play.job.pause_cause == "environment"
    assert "devices in a row" in play.job.pause_reason
    assert "As the test asked." in play.job.pause_reason
    at_first = play.billing.posts
    assert at_first <= DEVICES + 2 * POOL - 1
    play.rounds(120, seconds=5.0)
    assert play.billing.posts - at_first <= 10
    assert "failed" not in play.states()
    assert max(order.attempts for order in world.rows(work_order)) == 1, "rather one that was not tried so far"
    play.billing.is_bad = lambda _reference: False
    play.until(lambda: play.job.state == "completed")
    assert play.states() == {"succeeded"}
    assert play.billing.twice() == []
    assert_counters_equal_rows(world)


@on_sqlite
def test_the_one_that_is_tried_is_alone_from_its_search_to_its_order(world: World) -> None:
    play = Play(world, 40, lookup_first=True)
    play.until(lambda: play.job.state == "paused")
    play.until(lambda: play.job.state == "running")
    posts = play.billing.posts
    play.engine.record(POOL)  # its search was made; nothing else is begun beside its order
    assert len(play.engine.held()) == 1
    play.engine.call([None])
    assert play.billing.posts == posts + 1


@on_sqlite
def test_a_single_bad_order_ends_at_its_limit_and_holds_nobody_up(world: World) -> None:
    play = Play(world, 12)
    bad = world.rows(work_order)[3].reference
    play.billing.is_bad = lambda reference: reference == bad
    play.until(lambda: play.job.state == "partially_completed")
    (failed,) = (order for order in world.rows(work_order) if order.state == "failed")
    assert (failed.reference, failed.error_code) == (bad, "BILLING_UNCLEAR")
    assert f"in {RULES.retry.max_attempts} tries" in failed.error_message
    assert play.billing.posted[bad] == failed.attempts == RULES.retry.max_attempts
    assert [step.state for step in world.rows(work_order_step, work_order_id=failed.id)] == ["not_sent"]
    assert sum(play.billing.posted.values()) == 11 + RULES.retry.max_attempts


@on_sqlite
def test_bad_orders_that_come_first_do_not_keep_the_good_ones_waiting(world: World) -> None:
    """The breaker opens on them; what was not tried yet is tried next, and closes it."""
    play = Play(world, 40)
    bad = {order.reference for order in world.rows(work_order)[: DEVICES + 2]}
    play.billing.is_bad = bad.__contains__
    play.until(lambda: play.job.state == "paused")
    play.until(lambda: play.job.succeeded == 40 - len(bad))
    play.until(lambda: play.job.state == "partially_completed", seconds=30.0)
    assert {order.reference for order in world.rows(work_order) if order.state == "failed"} == bad


@on_sqlite
def test_a_company_that_answers_no_search_pauses_jobs_that_search_first(world: World) -> None:
    play = Play(world, DEVICES, lookup_first=True)
    play.billing.is_bad = lambda _reference: False
    play.billing.silences = 2 * DEVICES
    play.until(lambda: play.job.state == "paused")
    assert (play.job.pause_cause, play.billing.posts) == ("environment", 0)
    assert "No answer, as the test asked." in play.job.pause_reason
    play.until(lambda: play.job.state == "completed")
    assert play.states() == {"succeeded"}


UNCLEAR = PostResult(PostVerdict.UNKNOWN, http_status=500)
CREATED = PostResult(PostVerdict.CREATED, "1", 201)
REFUSED = PostResult(PostVerdict.REFUSED, http_status=422)
TOO_MANY = PostResult(PostVerdict.BUSY, http_status=429)


def opens(*heard: tuple[float, int, PostResult | ServiceLookup]) -> bool:
    """Whether the breaker is open after what was heard: at which second, of which work order, and what."""
    breakers = Breakers()
    for seconds, work_order_id, result in heard:
        breakers.heard(30, work_order_id, result, NOW + timedelta(seconds=seconds))
    assert not breakers.is_open(31), "another credential has nothing to do with it"
    return breakers.is_open(30)


def each(count: int, result: PostResult | ServiceLookup = UNCLEAR, seconds: float = 0.5) -> Any:
    return [(number * seconds, number, result) for number in range(count)]


@pytest.mark.parametrize(
    ("heard", "is_open"),
    [
        (each(DEVICES - 1), False),
        (each(DEVICES), True),
        # errors that come back at once may be faster than what works; so many are not
        (each(AT_ONCE - 1, seconds=0.0), False),
        (each(AT_ONCE, seconds=0.0), True),
        # one device alone is its own matter, however often
        ([(number, 1, UNCLEAR) for number in range(99)], False),
        # one clear answer is enough, a refusal too; a 429 is none
        ([*each(4), (9, 9, CREATED), *each(4)], False),
        ([*each(4), (9, 9, REFUSED), *each(4)], False),
        ([*each(4), (9, 9, TOO_MANY), (10, 10, UNCLEAR)], True),
        ([*each(9), (9, 9, CREATED)], False),
        ([*each(9), (9, 9, TOO_MANY)], True),
        # a search that is answered says nothing of orders
        ([*each(9), (9, 9, ServiceLookup(LookupVerdict.ANSWERED))], True),
        (each(DEVICES, ServiceLookup(LookupVerdict.RETRY)), True),
        ([*each(9, ServiceLookup(LookupVerdict.RETRY)), (9, 9, ServiceLookup(LookupVerdict.ANSWERED))], False),
        ([*each(9, ServiceLookup(LookupVerdict.RETRY)), (9, 9, CREATED)], False),
        ([*each(3), *each(3, ServiceLookup(LookupVerdict.RETRY))], False),
    ],
)
def test_when_it_opens(heard: Any, is_open: bool) -> None:
    assert opens(*heard) == is_open


@on_sqlite
def test_what_is_tried_and_then_not_called_keeps_nobody_waiting(world: World) -> None:
    """A person pauses the job while the only work order that is tried waits to be called."""
    play = Play(world, 12)
    play.until(lambda: play.job.state == "paused")
    play.billing.is_bad = lambda _reference: False
    while play.job.state == "paused":
        play.time.pass_by(1.0)
        play.engine.keep_house()
    play.engine.record(POOL)
    assert len(play.engine.to_call) == 1
    tried_at = play.time.now
    with world.store.begin() as uow:
        steering.pause_job(uow, play.job.tracking_number, "admin")
        uow.commit()
    play.engine.record(POOL)
    play.engine.record(POOL)
    with world.store.begin() as uow:
        steering.resume_job(uow, play.job.tracking_number, "admin")
        uow.commit()
    play.until(lambda: play.job.succeeded > 0)
    assert play.time.now - tried_at < timedelta(seconds=SETTLE_S), "it was not waited for until its lease ended"


def an_open_one() -> Breakers:
    breakers = Breakers()
    for seconds, work_order_id, result in each(DEVICES):
        breakers.heard(30, work_order_id, result, NOW + timedelta(seconds=seconds))
    assert breakers.any_open(NOW)
    return breakers


def test_only_what_becomes_of_the_one_that_is_tried_lets_another_be_tried() -> None:
    breakers, until = an_open_one(), NOW + timedelta(seconds=60)
    breakers.tries(30, 7, until)
    assert not breakers.may_try(30, NOW)
    breakers.not_tried(30, 8)
    breakers.heard(30, 9, UNCLEAR, NOW)
    assert not breakers.may_try(30, NOW)
    breakers.heard(30, 7, ServiceLookup(LookupVerdict.ANSWERED), NOW)
    assert breakers.may_try(30, NOW), "it goes on from there, and is tried again with its order"
    breakers.tries(30, 7, until)
    breakers.not_tried(30, 7)
    assert breakers.may_try(30, NOW)
    breakers.tries(30, 7, until)
    assert breakers.may_try(30, until), "whatever became of it"


def test_one_of_which_nothing_unclear_is_heard_any_more_closes() -> None:
    """Its jobs may be over, and those that come may order nothing: no order would ever close it."""
    breakers = an_open_one()
    assert breakers.any_open(NOW + FORGOTTEN_AFTER)
    assert not breakers.any_open(NOW + FORGOTTEN_AFTER + timedelta(seconds=DEVICES))
    assert not breakers.is_open(30)
