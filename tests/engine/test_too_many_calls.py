"""429: the account made too many calls, which says nothing about a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from db.schema import job, work_order
from desktop_app.association.ports import QUOTA_USED_UP, LookupVerdict, ServiceLookup
from desktop_app.association.retry import LONGEST_WAIT
from desktop_app.association.states import JobState, PauseCause
from desktop_app.engine.housekeeping import Housekeeping
from tests.engine.conftest import World as DeskWorld
from tests.engine.conftest import wait_for
from tests.helpers.billing_ledger import BUSY, CUT_AFTER, BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import RULES, SilentLedger, VirtualEngine
from tests.helpers.virtual_time import SETTLE_S, Time
from tests.helpers.world import NOW, World

DAY = timedelta(days=1)


@pytest.fixture
def small(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


def engine_on(small: World) -> tuple[VirtualEngine, Time, SilentLedger]:
    time = Time()
    small.store.clock = lambda _connection: time.now
    ledger = SilentLedger(time)
    return VirtualEngine(small, time, ledger, "an-engine"), time, ledger


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_however_often_billing_takes_no_further_call_no_device_fails(small: World) -> None:
    submit(small, *(small.device() for _ in range(3)), create_billing_service=True)
    engine, time, ledger = engine_on(small)
    for _ in range(60):
        engine.record(3)
        engine.call([BUSY] * 3)
        time.pass_by(LONGEST_WAIT.total_seconds() / 4)
    assert ledger.posts > 3 * RULES.retry.max_attempts  # type: ignore[operator]  # the rules of the test have a limit
    engine.record(0)
    orders = small.rows(work_order)
    assert {(order.state, order.error_code) for order in orders} == {("waiting_retry", "BILLING_BUSY")}
    assert {order.attempts for order in orders} == {0}
    for _ in range(3):
        time.pass_by(LONGEST_WAIT.total_seconds())
        engine.record(3)
        engine.call([None] * 3)
    engine.record(0)
    engine.record(0)
    assert {order.state for order in small.rows(work_order)} == {"succeeded"}
    assert_counters_equal_rows(small)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_one_that_is_refused_for_long_is_asked_for_seldom(small: World) -> None:
    """It may be over a limit of its own, and each refusal keeps the whole account waiting."""
    submit(small, small.device(), create_billing_service=True)
    engine, time, ledger = engine_on(small)
    asked_in_hour = []
    for _ in range(12):
        before, hour = ledger.posts, time.now + timedelta(hours=1)
        while time.now < hour:
            engine.record(1)
            engine.call([replace(BUSY, retry_after_s=1.0)])
            time.pass_by(20.0)
        asked_in_hour.append(ledger.posts - before)
    assert sum(asked_in_hour[2:]) / 10 == pytest.approx(12, abs=4), asked_in_hour  # about every five minutes
    assert max(asked_in_hour[2:]) < 30, asked_in_hour


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_used_up_day_pauses_the_job_until_there_is_room_again(small: World) -> None:
    """Billing asks to wait for a day: the device's first try is not its last one."""
    submit(small, small.device(), create_billing_service=True)
    engine, time, ledger = engine_on(small)
    engine.record(1)
    engine.call([replace(BUSY, retry_after_s=86_400.0)])
    engine.record(1)
    (its_job,), (order,) = small.rows(job), small.rows(work_order)
    assert (its_job.state, its_job.pause_cause, its_job.pause_reason) == ("paused", "quota", QUOTA_USED_UP)
    assert its_job.resume_at == NOW + DAY
    assert (order.state, order.attempts, order.error_code) == ("queued", 0, None)
    time.pass_by(DAY.total_seconds() - 1)
    engine.keep_house()
    assert small.rows(job)[0].state == "paused"
    time.pass_by(2)
    engine.keep_house()
    engine.record(1)
    engine.call([None])
    for _ in range(2):
        engine.record(1)
    assert [one.state for one in small.rows(work_order)] == ["succeeded"]
    assert ledger.posts == 2


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_quota_that_is_used_up_in_the_middle_of_a_search_pauses_the_job_like_any_other(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Billing can be reached, and has nothing to do with it: it is the quota, and it is known for how long."""
    submit(small, small.device(), create_billing_service=True)
    engine, time, ledger = engine_on(small)
    engine.record(1)
    engine.call([CUT_AFTER])
    engine.record(1)
    time.pass_by(SETTLE_S + 0.1)
    engine.record(1)
    ended = ServiceLookup(LookupVerdict.NOT_ASKED, reason=QUOTA_USED_UP, retry_after_s=3_600.0)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "find_services", lambda *_args, **_named: ended)
        engine.call([None])
    engine.record(1)
    (its_job,), (order,) = small.rows(job), small.rows(work_order)
    assert (its_job.state, its_job.pause_cause, its_job.pause_reason) == ("paused", "quota", QUOTA_USED_UP)
    assert its_job.resume_at == time.now + timedelta(hours=1)
    assert order.state == "outcome_unknown"
    time.pass_by(3_601)
    for _ in range(3):
        engine.keep_house()
        engine.record(1)
        engine.call([None])
    assert [one.state for one in small.rows(work_order)] == ["succeeded"]
    assert ledger.posts == 1


class Told(OneLedger):
    """A gateway whose governor makes of a 429 what the test says."""

    def __init__(self, ledger: BillingLedger, wait_s: float) -> None:
        super().__init__(ledger)
        self.went = 0
        self.limit.backed_off = self._back_off  # type: ignore[method-assign]
        self.limit.went_through = self._go_through  # type: ignore[method-assign]
        self.told: list[float | None] = []
        self._wait_s = wait_s

    def _back_off(self, retry_after_s: float | None) -> float:
        self.told.append(retry_after_s)
        return self._wait_s

    def _go_through(self) -> None:
        self.went += 1


def test_who_is_not_told_how_long_to_wait_goes_by_the_governor(world: DeskWorld) -> None:
    """Threads of a real engine tell the governor of every 429, and of what went through."""
    number = world.submit(world.request(2))
    world.gateway = gateway = Told(world.ledger, 0.0)
    world.ledger.faults.extend([replace(BUSY, retry_after_s=None)] * 3)
    world.work()
    assert world.job(number).job.state is JobState.COMPLETED
    assert gateway.told == [None] * 3
    assert gateway.went >= 2
    world.assert_sound()


def test_who_has_to_wait_long_by_the_governor_pauses_for_the_quota(world: DeskWorld) -> None:
    number = world.submit(world.request(1))
    world.gateway = Told(world.ledger, 500.0)
    world.ledger.faults.append(replace(BUSY, retry_after_s=None))
    engine = world.engine()
    engine.start()
    try:
        wait_for(lambda: world.job(number).job.state is JobState.PAUSED)
        assert world.job(number).job.pause_cause is PauseCause.QUOTA
    finally:
        engine.stop()


class BusyLedger(BillingLedger):
    """Answers a look whether it is there with 429."""

    def ping(self) -> LookupVerdict:
        return LookupVerdict.BUSY


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_look_that_is_one_call_too_many_tells_the_governor_and_the_person(small: World) -> None:
    submit(small, small.device(), create_billing_service=True)
    engine, time, _ledger = engine_on(small)
    engine.record(1)
    engine.call([replace(BUSY, retry_after_s=500.0)])
    engine.record(1)
    time.pass_by(501)
    gateway = Told(BusyLedger(), 1.0)
    Housekeeping(small.store, gateway, RULES, rng=Random(1)).run_once(RULES)
    (its_job,) = small.rows(job)
    assert (its_job.state, its_job.pause_reason, gateway.told) == ("paused", QUOTA_USED_UP, [None])
    assert its_job.resume_at > time.now
