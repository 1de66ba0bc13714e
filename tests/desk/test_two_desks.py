"""Two desks on one database, each with connections of its own, as on two machines: nobody is told too little, nothing
is done twice, and of two who do the same at once one wins and the other is told.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from db.demo.cases import pick_for_demo_job
from db.integrity import check
from db.schema import audit_entry, billing_service, customer, device, job, job_log, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association import rereading as association_rereading
from desktop_app.association import work_orders
from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import AskedLines, AssociationRequest, Submitted
from desktop_app.association.states import FINAL_JOBS, JobState, WorkOrderState
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import Changes, JobCounts
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool
from tests.helpers.billing_ledger import CUT_BEFORE, BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.desks import add_boss, desk_on
from tests.helpers.stores import demo_store, fresh_store
from tests.helpers.world import NORTHWIND, TODAY, World

PATIENCE_S = 60.0


class Gate:
    """Lets so many calls to billing through, and holds the others back until it is opened again."""

    def __init__(self, calls: float) -> None:
        self._changed = threading.Condition()
        self._left = calls

    def open(self, calls: float = math.inf) -> None:
        """From now on so many may pass, whatever was said before."""
        with self._changed:
            self._left = calls
            self._changed.notify_all()

    def pass_through(self) -> None:
        """Waits for one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._left > 0)
            self._left -= 1


@dataclass
class TwoDesks:
    """Anna's desk and Ben's, on one database and one billing company."""

    stores: tuple[Store, Store]
    anna: LocalDesk
    ben: LocalDesk
    ledger: BillingLedger

    def request(self, count: int) -> AssociationRequest:
        """A request for so many devices: one call to billing each."""
        with self.stores[0].read() as uow:
            request = pick_for_demo_job(uow, count, 0.0).request
        return replace(request, carrier_rate_plans=(), customer_rate_plan=None)

    def submit(self, request: AssociationRequest, key: str = "key") -> str:
        return self.anna.submit(request, self.anna.check(request).fingerprint, key).tracking_number

    def engine_of_anna(self) -> Engine:
        config = EngineConfig("desktop", timeout_s=2.0, settle_s=0.2, lease_s=600.0, first_wait_s=0.05)
        return Engine(self.stores[0], OneLedger(self.ledger), ThreadPool(2), config)

    def rows(self, table: Any, *conditions: Any) -> list[Any]:
        with self.stores[0].read() as uow:
            return list(uow.connection.execute(select(table).where(*conditions)))


@pytest.fixture
def two(databases: Databases) -> Iterator[TwoDesks]:
    with demo_store(databases) as store, Store(store.url) as other:
        add_boss(store)
        ledger = BillingLedger()
        yield TwoDesks((store, other), desk_on(store, ledger=ledger), desk_on(other, ledger=ledger), ledger)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls answer that are made at the same moment; a refusal is an answer."""
    meet = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        meet.wait(PATIENCE_S)
        try:
            return call()
        except RequestRefused as refused:
            return refused

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def refusals(answers: list[Any]) -> list[str]:
    return [answer.code for answer in answers if isinstance(answer, RequestRefused)]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Watcher:
    """What one desk is told, asked as the window asks it."""

    def __init__(self, desk: LocalDesk) -> None:
        self._desk = desk
        self._cursor = desk.changes().cursor

    def look(self) -> Changes:
        changes = self._desk.changes(self._cursor)
        self._cursor = changes.cursor
        return changes

    def told_of(self, number: str) -> list[Any]:
        return [row for row in self.look().jobs if row.tracking_number == number]


# --- what the other desk does is seen --------------------------------------------------------------------------------


def test_a_desk_sees_and_steers_what_another_one_runs(two: TwoDesks) -> None:
    watcher = Watcher(two.ben)
    number = two.submit(two.request(150))
    assert [row.counts.queued for row in watcher.told_of(number)] == [150]
    gate = Gate(10)  # there is time to step in, however fast the one is and however slow the other
    two.ledger.on_post = gate.pass_through
    seen = [0]

    def is_seen() -> bool:
        seen.extend(row.counts.succeeded for row in watcher.told_of(number))
        return seen[-1] > 0

    def counts() -> JobCounts:
        return two.ben.job(number).job.counts

    engine = two.engine_of_anna()
    engine.start()
    try:
        wait_for(lambda: is_seen() and two.ledger.posts)
        assert seen == sorted(seen), "progress never goes back"
        two.ben.pause(number)
        assert two.anna.job(number).job.state is JobState.PAUSED
        wait_for(lambda: counts().running <= 2)  # what was not called yet is given back
        gate.open()
        wait_for(lambda: not counts().running)
        paused = counts()
        assert 0 < paused.succeeded < 150
        # some devices have a billing service already, and need no call
        assert paused.succeeded >= two.ledger.posts > 0, "calls in flight were finished, and no other one was begun"
        gate.open(10)
        two.ben.resume(number)
        wait_for(lambda: counts().succeeded > paused.succeeded)
        two.ben.cancel(number)
        wait_for(lambda: counts().running <= 2)
        gate.open()
        wait_for(lambda: two.ben.job(number).job.state in FINAL_JOBS)
    finally:
        gate.open()
        engine.stop()
    ended = counts()
    assert ended.succeeded + ended.cancelled == 150
    assert ended.cancelled > 0
    assert ended.succeeded >= two.ledger.posts
    assert two.ledger.twice() == []
    assert watcher.told_of(number)[-1].counts == ended
    assert check(two.stores[0]) == ()


@pytest.mark.postgres
@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_what_began_earlier_and_is_committed_later_is_told(two: TwoDesks) -> None:
    """Jobs, what changes of their work orders, and devices: the older instant becomes visible after the newer one."""
    first, second = two.submit(two.request(3), "first"), two.submit(two.request(3), "second")
    earlier, later = two.stores
    with later.read() as uow:
        clock = itertools.count()  # what lies between the two instants is not how long the machine stood still
        began = uow.now()
    for store in two.stores:
        store.clock = lambda _connection: began + timedelta(milliseconds=next(clock))
    watcher = Watcher(two.ben)
    watcher.look()
    with earlier.begin() as early:
        _change(early, first, device_id=1)
        with later.begin() as late:
            assert late.now() >= early.now()
            _change(late, second, device_id=2)
            late.commit()
        seen = watcher.look()
        assert [row.tracking_number for row in seen.jobs] == [second]
        assert seen.devices_changed
        early.commit()
    seen = watcher.look()
    assert [row.tracking_number for row in seen.jobs] == [first]
    assert seen.devices_changed
    nothing = watcher.look()
    assert (nothing.jobs, nothing.devices_changed) == ((), False)


def _change(uow: Any, number: str, device_id: int) -> None:
    at = uow.now()
    of_job = select(job.c.id).where(job.c.tracking_number == number).scalar_subquery()
    changed = {"changed_at": at, "revision": work_order.c.revision + 1}
    uow.connection.execute(update(work_order).where(work_order.c.job_id == of_job).values(**changed))
    uow.connection.execute(
        update(job).where(job.c.tracking_number == number).values(changed_at=at, revision=job.c.revision + 1)
    )
    uow.connection.execute(
        update(device).where(device.c.id == device_id).values(changed_at=at, revision=device.c.revision + 1)
    )


def test_a_submission_that_lasts_is_told_all_the_same(two: TwoDesks, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the instant at which it began, a job of a million devices would be too old to be told when it is there."""
    monkeypatch.setattr("db.unit_of_work.LONG_S", 0.0)  # every transaction is a long one
    request = two.request(3)
    shown = two.anna.check(request).fingerprint
    watcher = Watcher(two.ben)
    number = two.anna.submit(request, shown, "early").tracking_number
    assert watcher.told_of(number)
    with two.stores[0].read() as uow:
        (at,) = uow.connection.scalars(select(job.c.changed_at).where(job.c.tracking_number == number))
        (submitted_at,) = uow.connection.scalars(select(job.c.submitted_at).where(job.c.tracking_number == number))
    assert at > submitted_at


def test_a_retry_that_queues_nothing_is_told_too(two: TwoDesks) -> None:
    """Its findings are other ones now, and the job's log has a line more."""
    request = two.request(2)
    number = two.submit(request)
    with two.stores[0].begin() as uow:
        of_job = select(job.c.id).where(job.c.tracking_number == number).scalar_subquery()
        failed = {"state": "failed", "error_code": "X", "error_message": "X", "what_to_do": "X"}
        ids = uow.connection.scalars(select(work_order.c.device_id).where(work_order.c.job_id == of_job)).all()
        uow.connection.execute(update(work_order).where(work_order.c.job_id == of_job).values(**failed))
        uow.connection.execute(
            update(job).where(job.c.tracking_number == number).values(state="failed", queued=0, failed=2)
        )
        uow.connection.execute(update(device).where(device.c.id.in_(ids)).values(status="retired"))
        uow.commit()
    watcher = Watcher(two.ben)
    watcher.look()
    assert two.anna.retry(number).requeued == 0
    assert [row.tracking_number for row in watcher.look().jobs] == [number]


# --- two at once: one wins, the other is told ------------------------------------------------------------------------


def test_two_desks_submit_the_same_devices_at_once(two: TwoDesks) -> None:
    request = two.request(5)
    shown = two.anna.check(request).fingerprint
    answers = at_once(
        lambda: two.anna.submit(request, shown, "anna's"), lambda: two.ben.submit(request, shown, "ben's")
    )
    assert refusals(answers) == ["CHECK_CHANGED"]
    assert [answer.submitted for answer in answers if isinstance(answer, Submitted)] == [5]
    again = two.ben.check(request)
    assert {finding.code for finding in again.findings} == {"IN_OPEN_WORK_ORDER"}
    assert check(two.stores[0]) == ()


def test_one_key_from_two_desks_makes_one_job(two: TwoDesks) -> None:
    request = two.request(5)
    shown = two.anna.check(request).fingerprint
    answers = at_once(*(lambda desk=desk: desk.submit(request, shown, "the-key") for desk in (two.anna, two.ben)))
    assert len({answer.tracking_number for answer in answers}) == 1
    assert sorted(answer.is_new for answer in answers) == [False, True]
    assert len(two.rows(job, job.c.submission_key == "the-key")) == 1


def test_a_job_is_cancelled_once(two: TwoDesks) -> None:
    number = two.submit(two.request(20))
    answers = at_once(lambda: two.anna.cancel(number), lambda: two.ben.cancel(number))
    assert refusals(answers) == ["NOT_CANCELLED"]
    assert two.ben.job(number).job.counts.cancelled == 20
    assert _audited(two, "cancel", number) == 1


def test_a_job_is_retried_once(two: TwoDesks) -> None:
    number = two.submit(two.request(20))
    two.anna.cancel(number)
    engine = two.engine_of_anna()
    engine.start()
    try:
        wait_for(lambda: two.ben.job(number).job.state is JobState.CANCELLED)
    finally:
        engine.stop()
    answers = at_once(lambda: two.anna.retry(number), lambda: two.ben.retry(number))
    assert refusals(answers) == []
    assert sorted(answer.requeued for answer in answers) == [0, 20]
    assert {answer.run_no for answer in answers} == {2}, "one who finds nothing left to retry is told the run as it is"
    assert two.ben.job(number).job.counts.queued == 20
    assert check(two.stores[0]) == ()


def test_retry_and_cancel_at_once_leave_the_job_whole(two: TwoDesks) -> None:
    request = two.request(10)
    number = two.submit(request)
    with two.stores[0].begin() as uow:
        of_job = select(job.c.id).where(job.c.tracking_number == number).scalar_subquery()
        half = uow.connection.scalars(select(work_order.c.id).where(work_order.c.job_id == of_job).limit(5)).all()
        uow.connection.execute(update(work_order).where(work_order.c.id.in_(half)).values(state="failed"))
        uow.connection.execute(update(job).where(job.c.tracking_number == number).values(queued=5, failed=5))
        uow.commit()
    answers = at_once(lambda: two.anna.retry(number), lambda: two.ben.cancel(number))
    # Where the cancel came first nothing is left to run, and the retry is told that the job is just being finished.
    assert refusals(answers) in ([], ["JOB_FINISHING"])
    counts = two.ben.job(number).job.counts
    # Whoever came first: what was queued when it was cancelled is cancelled, and what was retried after that is queued.
    assert counts.queued + counts.cancelled + counts.failed == 10
    rows = [row.state for row in two.rows(work_order) if row.job_id == _job_id(two, number)]
    assert (counts.queued, counts.cancelled) == (rows.count("queued"), rows.count("cancelled"))


def test_an_unknown_outcome_is_resolved_once(two: TwoDesks) -> None:
    request = two.request(1)
    number = two.submit(request)
    two.ledger.faults.append(CUT_BEFORE)
    with two.stores[0].begin() as uow:
        order_id, iccid = uow.connection.execute(
            select(work_order.c.id, work_order.c.iccid).where(work_order.c.job_id == _job_id(two, number))
        ).one()
        uow.connection.execute(
            update(work_order).where(work_order.c.id == order_id).values(state=WorkOrderState.OUTCOME_UNKNOWN)
        )
        uow.connection.execute(
            insert(work_order_step).values(
                work_order_id=order_id, step="billing_service", state="unknown", attempts=1, intent_at=uow.now()
            )
        )
        uow.connection.execute(
            update(job).where(job.c.tracking_number == number).values(state="running", queued=0, outcome_unknown=1)
        )
        uow.commit()
    answers = at_once(lambda: two.anna.resolve(number, iccid, None), lambda: two.ben.resolve(number, iccid, "4711"))
    assert refusals(answers) == ["OUTCOME_NOT_UNKNOWN"]
    (step,) = two.rows(work_order_step, work_order_step.c.work_order_id == order_id)
    anna_won = answers[0] is None
    assert (step.state, step.billing_id) == (("not_sent", None) if anna_won else ("done", "4711"))
    assert len(two.rows(job_log, job_log.c.event == "resolved", job_log.c.job_id == _job_id(two, number))) == 1
    assert _audited(two, "resolve", number) == 1


def test_a_pause_and_a_resume_of_two_people_are_both_written_down(two: TwoDesks) -> None:
    number = two.submit(two.request(2))
    assert refusals(at_once(lambda: two.anna.pause(number), lambda: two.ben.pause(number))) == ["NOT_PAUSED"]
    assert refusals(at_once(lambda: two.anna.resume(number), lambda: two.ben.resume(number))) == ["NOT_RESUMED"]
    assert two.ben.job(number).job.state is JobState.QUEUED
    assert _audited(two, "pause", number) == _audited(two, "resume", number) == 1


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.mark.parametrize("first", ["reread", "submit"])
def test_a_service_that_is_ended_while_a_job_is_submitted_is_not_kept_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Both have looked before either has written; whoever writes second sees what the first one has done."""
    ledger = BillingLedger()
    device_id, service_id = billed_device(world, ledger)
    with Store(world.store.url) as other:
        other.clock = world.store.clock
        anna, ben = desk_on(world.store, "admin", ledger=ledger), desk_on(other, "admin", ledger=ledger)
        request = AssociationRequest(
            AskedLines((world.iccid_of(device_id),)), "10482", effective_date=TODAY, create_billing_service=True
        )
        shown = anna.check(request)
        assert [finding.code for finding in shown.findings] == ["BILLING_SERVICE_KEPT"]
        ledger.disconnect(service_id)
        has_looked, may_write = threading.Event(), threading.Event()

        def stop_between(work: Callable[..., Any]) -> Callable[..., Any]:
            def stopped(*arguments: Any) -> Any:
                has_looked.set()
                may_write.wait(0.5)  # on SQLite the other one cannot write before this one has
                return work(*arguments)

            return stopped

        def submit() -> Any:
            return anna.submit(request, shown.fingerprint, "key")

        def reread() -> Any:
            return ben.reread_billing(AskedLines((world.iccid_of(device_id),)))

        slow, quick = (submit, reread) if first == "reread" else (reread, submit)
        if slow is submit:
            monkeypatch.setattr("desktop_app.desk.requests.build", stop_between(work_orders.build))
        else:
            monkeypatch.setattr("db.rereading.record_across_providers", lambda *_, **__: None)
            monkeypatch.setattr("desktop_app.desk.rereading.judge", stop_between(association_rereading.judge))
        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(slow)
            assert has_looked.wait(PATIENCE_S)
            answers = at_once(quick)
            may_write.set()
            answers += at_once(lambda: going.result(PATIENCE_S))
        assert refusals(answers) in ([], ["CHECK_CHANGED"])
        (service,) = world.rows(billing_service)
        orders = world.rows(work_order)
        assert service.is_active == bool(orders), "ended, or kept by a job, and never both"


def billed_device(world: World, ledger: BillingLedger) -> tuple[int, str]:
    """A device of the customer with an active billing service, known on both sides: handle and billing's id."""
    device_id = world.device()
    world.own(device_id)
    (row,) = world.rows(device, id=device_id)
    key = world.service(device_id, number=row.msisdn)
    (service,) = world.rows(billing_service, id=key)
    (owner,) = world.rows(customer, id=NORTHWIND)
    ledger.add_service(service.service_id, owner.billing_customer_id, row.msisdn, service.reference or "")
    return device_id, service.service_id


# --- small helpers ---------------------------------------------------------------------------------------------------


def _job_id(two: TwoDesks, number: str) -> int:
    return int(two.rows(job, job.c.tracking_number == number)[0].id)


def _audited(two: TwoDesks, action: str, number: str) -> int:
    return len(two.rows(audit_entry, audit_entry.c.action == action, audit_entry.c.subject == number))
