"""A backup is put in the place of the database: whatever was done since it was made is not done again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from db.engines import sqlite_path
from db.integrity import check
from db.maintenance import backup
from db.schema import audit_entry, job, job_log, outbox_event, work_order, work_order_step
from db.steering import cancel_job, pause_job, resume_job
from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.ports import PostVerdict
from desktop_app.association.states import FINAL_JOBS, StepState
from desktop_app.desk.jobs import LocalJobs
from desktop_app.desk.requests import retry_job
from desktop_app.desk.restoring import after_restore
from desktop_app.desk.seat import Seat
from tests.helpers.billing_ledger import CUT_AFTER, Fault
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import SETTLE_S, Time
from tests.helpers.world import CREDENTIAL, World

PLANS: dict[str, Any] = {
    "create_billing_service": True,
    "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),),
    "customer_rate_plan": "FLEET",
}


class Restored:
    """A world in virtual time whose database can be put back to what it was."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.time = Time()
        self.ledger = SilentLedger(self.time)
        self.lives = 0
        self._kept = folder / "backup.db"
        world.store.clock = lambda _connection: self.time.now

    def engine(self) -> VirtualEngine:
        self.lives += 1
        return VirtualEngine(self.world, self.time, self.ledger, f"engine-{self.lives}")

    def live(self, engine: VirtualEngine, rounds: int = 40, faults: tuple[Fault | None, ...] = (None,) * 8) -> None:
        """Until every job is over, or so many rounds."""
        for _ in range(rounds):
            engine.keep_house()
            engine.record(8)
            engine.call(faults)
            self.time.pass_by(1)
            if not engine.held() and all(row.state in FINAL_JOBS for row in self.world.rows(job)):
                engine.keep_house()  # what has to be announced is
                return

    def keep(self) -> None:
        """Makes the backup."""
        backup(self.world.store, self._kept)

    def put_back(self) -> None:
        """The backup in the place of the database, as the guide has it."""
        path = sqlite_path(self.world.store.url)
        assert path is not None
        self.world.store.close()
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copyfile(self._kept, path)

    def tell(self) -> None:
        after_restore(Seat(self.world.store, "admin"), SETTLE_S)

    def assert_sound(self) -> None:
        assert self.ledger.twice() == []
        assert_counters_equal_rows(self.world)
        assert check(self.world.store) == ()


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def restored(world: World, tmp_path: Path) -> Restored:
    return Restored(world, tmp_path)


only_a_file = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@only_a_file
@pytest.mark.parametrize("faults", [(None,) * 8, (CUT_AFTER, None), (Fault(PostVerdict.NOT_SENT), None, None)])
@pytest.mark.parametrize("groups", range(6))
def test_what_was_ordered_after_the_backup_is_not_ordered_again(
    restored: Restored, groups: int, faults: tuple[Fault | None, ...]
) -> None:
    """The backup is made after so many groups: with nothing begun, services made, one product or both."""
    world = restored.world
    submit(world, *(world.device() for _ in range(3)), **PLANS)
    kept = world.device()
    world.own(kept)
    world.service(kept, billing_credential_id=CREDENTIAL, service_id="KEPT")
    restored.ledger.add_service("KEPT", "700002", "1")
    submit(world, kept, **PLANS)
    submit(world, world.device(), carrier_rate_plans=PLANS["carrier_rate_plans"])
    engine = restored.engine()
    for _ in range(groups):
        engine.record(8)
        engine.call(faults)
        restored.time.pass_by(0.2)
    restored.keep()
    restored.live(engine)
    assert {row.state for row in world.rows(job)} <= FINAL_JOBS
    made = restored.ledger.posts

    restored.put_back()
    restored.tell()
    restored.assert_sound()
    restored.live(restored.engine())
    assert {row.state for row in world.rows(work_order)} == {"succeeded"}
    assert restored.ledger.posts == made, "all of it was there"
    restored.assert_sound()


def test_what_waits_after_a_restore_is_not_said_to_have_failed(world: World) -> None:
    """Its service was made, so it is only looked up before its next order."""
    store = world.store
    time = Time()
    store.clock = lambda _connection: time.now
    submit(world, world.device(), **PLANS)
    engine = VirtualEngine(world, time, SilentLedger(time), "one")
    engine.record(1)
    engine.call([None])
    store.run(lambda uow: pause_job(uow, "AJ-20261124-0001", "ada"))
    engine.record(0)
    seat = Seat(store, "admin")
    assert after_restore(seat, SETTLE_S).waits == 1
    (cause,) = LocalJobs(seat).job("AJ-20261124-0001").causes
    assert cause.title.startswith("wait, since the database is a restored backup")


@only_a_file
def test_without_being_told_it_would_be_ordered_again(restored: Restored) -> None:
    """What the test above is about does happen."""
    submit(restored.world, restored.world.device(), create_billing_service=True)
    restored.keep()
    restored.live(restored.engine())
    restored.put_back()
    restored.live(restored.engine())
    assert restored.ledger.twice() != []


@only_a_file
def test_what_was_ordered_just_before_the_damage_is_waited_for(restored: Restored) -> None:
    """Billing's search does not show it yet."""
    submit(restored.world, restored.world.device(), create_billing_service=True)
    restored.keep()
    engine = restored.engine()
    engine.record(8)
    engine.call([None])
    restored.put_back()
    restored.tell()
    (order,) = restored.world.rows(work_order)
    assert order.check_at == restored.time.now + timedelta(seconds=SETTLE_S)
    restored.live(restored.engine())
    assert restored.ledger.posts == 1
    restored.assert_sound()


@only_a_file
@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_what_was_retried_after_the_backup_is_looked_up_when_it_is_retried_again(
    restored: Restored, state: str
) -> None:
    world = restored.world
    device = world.device(**({"status": "retired"} if state == "rejected" else {}))
    submit(world, device, world.device(), **PLANS)
    number = world.rows(job)[0].tracking_number
    refused: tuple[Fault | None, ...] = (Fault(PostVerdict.REFUSED), None)
    restored.live(restored.engine(), 10, refused if state == "failed" else (None,) * 2)
    assert sorted(row.state for row in world.rows(work_order)) != ["succeeded", "succeeded"]
    restored.keep()

    def retried() -> None:
        from db.schema import device as devices

        world.change(devices, device, status="active")
        retry_job(Seat(world.store, "admin"), number)
        restored.live(restored.engine())
        assert {row.state for row in world.rows(work_order)} == {"succeeded"}

    retried()
    events = {row.event_id for row in world.rows(outbox_event)}
    made = restored.ledger.posts
    restored.put_back()
    restored.tell()
    with pytest.raises(RequestRefused) as caught:
        retried()
    assert caught.value.code == "JUST_RESTORED"
    restored.time.pass_by(SETTLE_S)
    retried()
    assert restored.ledger.posts == made
    again = {row.event_id for row in world.rows(outbox_event)} - {f"{number}/1"}
    assert again
    assert not again & events
    restored.assert_sound()


@only_a_file
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_was_ordered_just_before_the_damage_is_not_retried_before_it_can_be_found(
    restored: Restored, *, is_cancelled: bool
) -> None:
    """Neither what the backup has as failed, nor what is cancelled after it was put in place."""
    world = restored.world
    device = world.device()
    submit(world, device, **PLANS)
    seat = Seat(world.store, "admin")
    number = world.rows(job)[0].tracking_number
    engine = restored.engine()
    if is_cancelled:  # the service is there, a product is not
        engine.record(8)
        engine.call((None,))
        world.store.run(lambda uow: pause_job(uow, number, "ada"))
        engine.record(8)
        restored.keep()
        world.store.run(lambda uow: resume_job(uow, number, "ada"))
    else:
        restored.live(engine, faults=(Fault(PostVerdict.REFUSED),))
        restored.keep()
        retry_job(seat, number)
    engine.record(8)
    engine.call((None,))
    made = restored.ledger.posts
    restored.put_back()
    restored.tell()
    again = restored.engine()
    if is_cancelled:
        world.store.run(lambda uow: cancel_job(uow, number, "ada"))
        again.record(8)
        again.keep_house()
    with pytest.raises(RequestRefused) as caught:
        retry_job(seat, number)
    assert caught.value.code == "JUST_RESTORED"
    assert f"{restored.time.now + timedelta(seconds=SETTLE_S):%Y-%m-%d %H:%M:%S} UTC" in caught.value.message
    restored.time.pass_by(SETTLE_S)
    retry_job(seat, number)
    restored.live(restored.engine())
    assert {row.state for row in world.rows(work_order)} == {"succeeded"}
    assert restored.ledger.posts == made + (1 if is_cancelled else 2), "the products that were not ordered yet"
    restored.assert_sound()


@only_a_file
def test_what_needs_no_billing_is_retried_at_once(restored: Restored) -> None:
    world = restored.world
    submit(world, world.device())
    number = world.rows(job)[0].tracking_number
    world.store.run(lambda uow: cancel_job(uow, number, "ada"))
    restored.live(restored.engine())
    restored.keep()
    restored.put_back()
    restored.tell()
    assert retry_job(Seat(world.store, "admin"), number).requeued == 1
    restored.live(restored.engine())
    restored.assert_sound()


@only_a_file
def test_no_number_is_given_twice(restored: Restored) -> None:
    world = restored.world
    submit(world, world.device(), create_billing_service=True)
    restored.keep()
    restored.live(restored.engine())
    for _ in range(3):
        submit(world, world.device())
    restored.live(restored.engine(), 10)
    numbers = {row.tracking_number for row in world.rows(job)}
    events = {row.event_id for row in world.rows(outbox_event)}
    assert len(events) == len(numbers) == 4
    for _ in range(3):  # the same backup, which knows nothing of the last time either
        restored.time.pass_by(60)
        restored.put_back()
        restored.tell()
        before = {row.tracking_number for row in world.rows(job)}
        submit(world, world.device())
        restored.live(restored.engine())
        given = {row.tracking_number for row in world.rows(job)} - before
        announced = {row.event_id for row in world.rows(outbox_event)}
        assert (len(given), len(announced)) == (1, 2)
        assert not given & numbers
        assert not announced & events
        assert {row.state for row in world.rows(job)} <= FINAL_JOBS
        numbers |= given
        events |= announced


def test_each_open_state_waits_for_billing(world: World) -> None:
    """On every database; what needs no billing, and what is over, stays as it is. Once more changes nothing more."""
    time = Time()
    world.store.clock = lambda _connection: time.now
    ledger = SilentLedger(time)
    submit(world, world.device())
    submit(world, *(world.device() for _ in range(4)), create_billing_service=True)
    engine = VirtualEngine(world, time, ledger, "one")
    engine.record(3)
    engine.call([Fault(PostVerdict.REFUSED), Fault(PostVerdict.NOT_SENT), CUT_AFTER])
    engine.record(0)
    submit(world, *(world.device() for _ in range(2)), create_billing_service=True)
    VirtualEngine(world, time, ledger, "two").record(1)
    with world.store.begin() as uow:
        uow.connection.execute(update(job).where(job.c.id == world.rows(job)[2].id).values(state="paused"))
        uow.commit()
    before = {row.id: row.state for row in world.rows(work_order)}
    assert set(before.values()) == {"succeeded", "failed", "waiting_retry", "outcome_unknown", "queued", "running"}
    seat = Seat(world.store, "admin")
    numbers = []
    for _ in range(2):
        done = after_restore(seat, SETTLE_S)
        assert (len(done.jobs), done.asked, done.waits) == (2, 5, 0)
        numbers.append(done.last_number)
        after = {row.id: row for row in world.rows(work_order)}
        for key, was in before.items():
            state = was if was in {"succeeded", "failed"} else "outcome_unknown"
            assert after[key].state == state
            if state == "outcome_unknown":
                assert after[key].check_at == time.now + timedelta(seconds=SETTLE_S)
                assert after[key].engine_id is None
        assert [row.state for row in world.rows(work_order_step)].count(StepState.UNKNOWN) == 5
        assert_counters_equal_rows(world)
        assert check(world.store) == ()
    assert [row.state for row in world.rows(job)][2] == "paused"
    assert numbers == ["AJ-20261124-2161000", "AJ-20261124-2162000"]
    assert {row.event for row in world.rows(job_log, level="warning")} == {"restored"}
    assert [row.action for row in world.rows(audit_entry)][-2:] == ["restored"] * 2
    # What was running is nobody's any more.
    engine.record(0)
    assert_counters_equal_rows(world)


def test_only_an_administrator_may_say_so(world: World) -> None:
    submit(world, world.device(), create_billing_service=True)
    with pytest.raises(RequestRefused) as caught:
        after_restore(Seat(world.store, "limited"), SETTLE_S)
    assert caught.value.code == "NOT_PERMITTED"
    assert [row.state for row in world.rows(work_order)] == ["queued"]
