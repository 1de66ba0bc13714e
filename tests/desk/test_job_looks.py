"""What a job tells beside its counts: progress over time, what it waits for, its notification; and what a device's
work orders are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select, update

from db import finishing, outbox
from db.schema import audit_entry, device, job, job_log, outbox_event, work_order, work_order_step
from db.unit_of_work import UnitOfWork
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.model import AskedLines, AssociationRequest
from desktop_app.association.states import WorkOrderState
from desktop_app.desk.jobs import MOST_SLOTS, slot_of
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.protocol import JobFilter, JobProgress, Outcomes
from desktop_app.engine.finishing import finish_due
from desktop_app.engine.outbox import Sent, send_due
from tests.helpers.databases import Databases
from tests.helpers.desks import desk_on
from tests.helpers.stores import fresh_store
from tests.helpers.world import NOW, TODAY, World

NUMBER = "AJ-20261124-0001"


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.fixture
def desk(world: World) -> LocalDesk:
    return desk_on(world.store, "admin")


def submitted(world: World, desk: LocalDesk, count: int) -> list[int]:
    """The devices of a job that is queued."""
    devices = [world.device() for _ in range(count)]
    lines = tuple(world.iccid_of(key) for key in devices)
    request = AssociationRequest(AskedLines(lines), "10482", effective_date=TODAY, create_billing_service=True)
    assert desk.submit(request, desk.check(request).fingerprint, "key-1").tracking_number == NUMBER
    return devices


def change_job(world: World, **values: object) -> None:
    def do(uow: UnitOfWork) -> None:
        uow.connection.execute(update(job).values(**values))

    world.store.run(do)


def test_progress_counts_outcomes_by_time_from_the_start_of_the_run(world: World, desk: LocalDesk) -> None:
    devices = submitted(world, desk, 6)
    assert desk.job_progress(NUMBER) == JobProgress()
    begun = NOW - timedelta(minutes=5)
    change_job(world, started_at=begun, finished_at=begun + timedelta(seconds=170))
    after = (("succeeded", 0.4), ("succeeded", 4.999), ("failed", 5), ("cancelled", 62.5), ("succeeded", -1))
    for key, (state, seconds) in zip(devices, after, strict=False):
        world.change(work_order, world.order_of(key).id, state=state, completed_at=begun + timedelta(seconds=seconds))
    progress = desk.job_progress(NUMBER)
    assert (progress.begun_at, progress.slot_s, len(progress.slots)) == (begun, 5, 35)
    assert {place: slot for place, slot in enumerate(progress.slots) if slot != Outcomes()} == {
        0: Outcomes(succeeded=2),
        1: Outcomes(failed=1),
        12: Outcomes(cancelled=1),
    }


@pytest.mark.parametrize(
    "document", [{}, {"version": 99}, {"version": 1, "billing": 7}], ids=["none", "newer", "broken"]
)
def test_a_job_whose_instructions_cannot_be_read_is_seen_and_cancelled(
    world: World, desk: LocalDesk, document: object, tmp_path: Path
) -> None:
    first, second = submitted(world, desk, 2)
    cursor = desk.changes().cursor
    change_job(world, instructions=document, state="paused", pause_cause="environment", revision=2)
    (row,) = desk.jobs()
    assert (row.tracking_number, row.action, row.effective_date) == (NUMBER, "Cannot be read", None)
    assert [row.tracking_number for row in desk.changes(cursor).jobs] == [NUMBER]
    assert desk.job(NUMBER).options == ()
    assert desk.work_order(NUMBER, 1).proofs == desk.work_order_details(NUMBER)[0].proofs
    assert desk.export(NUMBER, tmp_path / "result.csv") == 2
    assert [order.action for order in desk.device(world.iccid_of(first)).work_orders] == ["Cannot be read"]
    desk.cancel(NUMBER)
    assert {world.order_of(key).state for key in (first, second)} == {"cancelled"}
    change_job(world, state="cancelled")
    for do in (desk.retry, desk.draft):
        with pytest.raises(RequestRefused) as caught:
            do(NUMBER)
        assert caught.value.code == "INSTRUCTIONS_UNREADABLE"


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 3_599, 90_000, 400 * 86_400])
def test_a_run_of_any_length_fits_into_the_slots(seconds: int) -> None:
    assert 0 <= seconds // slot_of(seconds) < MOST_SLOTS


def test_a_job_says_what_it_waits_for(world: World, desk: LocalDesk) -> None:
    first, second, third, _ = submitted(world, desk, 4)
    soon, later = NOW + timedelta(seconds=40), NOW + timedelta(seconds=90)
    world.change(work_order, world.order_of(first).id, state="outcome_unknown", check_at=later)
    world.change(work_order, world.order_of(second).id, state="outcome_unknown", check_at=None)
    world.change(work_order, world.order_of(third).id, state="waiting_retry", next_attempt_at=soon)
    change_job(world, queued=1, outcome_unknown=2, waiting_retry=1, state="running")
    row = desk.job(NUMBER).job
    assert (row.asks_at, row.retries_at, row.undecided, row.resume_at) == (later, soon, 1, None)
    assert desk.jobs() == (row,)
    change_job(world, state="paused", pause_cause="environment", resume_at=soon)
    assert desk.job(NUMBER).job.resume_at == soon


def test_a_dead_notification_is_told_and_can_be_sent_again(world: World, desk: LocalDesk) -> None:
    submitted(world, desk, 1)
    assert desk.job(NUMBER).notification is None
    with pytest.raises(RequestRefused, match="no notification that was given up"):
        desk.notify_again(NUMBER)
    world.store.run(lambda uow: finishing.add_event(uow, _job_id(uow), 1, f"{NUMBER}/1", {"run": 1}))
    (event,) = world.rows(outbox_event)
    world.change(
        outbox_event, event.id, state="dead", attempts=40, next_attempt_at=None, last_error="HTTP 500",
        created_at=NOW - timedelta(days=4),
    )  # fmt: skip
    change_job(world, run_no=2)  # it runs once more, and that has not ended
    told = desk.job(NUMBER).notification
    assert told is not None
    assert (told.state, told.run_no, told.attempts, told.last_error, told.due_at) == ("dead", 1, 40, "HTTP 500", None)
    desk.notify_again(NUMBER)
    again = desk.job(NUMBER).notification
    assert again is not None
    assert (again.state, again.attempts, again.due_at) == ("pending", 0, NOW)
    assert [entry.action for entry in world.rows(audit_entry)][-1] == "notify_again"
    assert world.rows(job_log)[-1].message == "The notification is sent again, says admin."
    with pytest.raises(RequestRefused):
        desk.notify_again(NUMBER)


def test_every_desk_is_told_of_a_notification_that_is_given_up(world: World, desk: LocalDesk) -> None:
    """It needs attention until it is sent again, or until it turns out that it was taken after all."""
    (key,) = submitted(world, desk, 1)
    world.finish_job("completed", **{f"d{key}": "succeeded"})
    world.store.run(lambda uow: finishing.add_event(uow, _job_id(uow), 1, f"{NUMBER}/1", {"run": 1}))
    cursor = desk.changes().cursor

    def told() -> list[tuple[bool, bool]]:
        """What a desk is told of the job since it last asked; it lists and counts the same."""
        nonlocal cursor
        changes = desk.changes(cursor)
        cursor = changes.cursor
        row = desk.job(NUMBER).job
        assert desk.jobs() == (row,)
        assert desk.jobs(JobFilter.ATTENTION) == ((row,) if row.needs_attention else ())
        assert desk.job_filter_counts()[JobFilter.ATTENTION] == row.needs_attention
        assert set(changes.jobs) <= {row}
        return [(job.needs_attention, job.not_announced) for job in changes.jobs]

    assert told() == []
    (claimed,) = world.store.run(lambda uow: outbox.claim_due_events(uow, uow.now()))
    world.change(outbox_event, claimed.row_id, claimed_until=None)
    for answer, is_told in (
        (Sent(taken=False, reason="Status 503."), []),  # it is sent again later: nothing to be told yet
        (Sent(taken=False, again=False, reason="Status 410."), [(True, True)]),
    ):
        world.change(outbox_event, claimed.row_id, next_attempt_at=NOW)
        assert send_due(world.store, lambda event_id, body, answer=answer: answer, Random(1)) == 1  # type: ignore[misc]
        assert told() == is_told

    desk.notify_again(NUMBER)
    assert told() == [(False, False)]
    assert send_due(world.store, lambda event_id, body: Sent(taken=False, again=False), Random(1)) == 1
    assert told() == [(True, True)]
    world.store.run(lambda uow: outbox.mark_sent(uow, claimed))  # a sender that had been suspended brought it through
    assert told() == [(False, False)]
    world.change(outbox_event, claimed.row_id, state="pending", next_attempt_at=NOW)
    lines = len(world.rows(job_log))

    def overtaken(event_id: str, body: bytes) -> Sent:
        """Another sender brings it through meanwhile."""
        world.store.run(lambda uow: outbox.mark_sent(uow, claimed))
        return Sent(taken=False, again=False, reason="Status 410.")

    assert send_due(world.store, overtaken, Random(1)) == 1
    assert told() == []
    assert len(world.rows(job_log)) == lines, "nobody says that it was not taken, since it was"


@pytest.mark.parametrize(
    ("states", "run_no", "needs_attention"),
    [
        (["dead"], 1, True),
        (["dead"], 2, True),  # it runs once more, and that has not ended
        (["dead", "pending"], 2, False),  # the run after it has ended too: what it came to is on its way
        (["sent", "dead"], 2, True),
        (["dead", "dead", "sent"], 3, False),
        (["sent"] * 9 + ["dead"], 11, True),
    ],
)
def test_the_last_notification_of_a_job_counts(
    world: World, desk: LocalDesk, states: list[str], run_no: int, needs_attention: bool
) -> None:
    submitted(world, desk, 1)
    for run, state in enumerate(states, start=1):
        world.store.run(
            lambda uow, run=run: finishing.add_event(uow, _job_id(uow), run, f"{NUMBER}/{run}", {})  # type: ignore[misc]
        )
        world.change(outbox_event, world.rows(outbox_event)[-1].id, state=state)
    change_job(world, run_no=run_no)
    detail = desk.job(NUMBER)
    assert detail.notification is not None
    assert (detail.job.needs_attention, detail.job.not_announced) == (needs_attention, needs_attention)
    assert (detail.notification.state == "dead") == needs_attention, "the window and the list say the same"


def _job_id(uow: UnitOfWork) -> int:
    return int(uow.connection.execute(select(func.max(job.c.id))).scalar_one())


def test_one_cause_is_retried_alone(world: World, desk: LocalDesk) -> None:
    refused, lost, fine = submitted(world, desk, 3)
    world.finish_job("partially_completed", **{f"d{refused}": "failed", f"d{lost}": "failed", f"d{fine}": "succeeded"})
    begun = NOW - timedelta(days=1)
    change_job(world, started_at=begun)
    for key, code in ((refused, "BILLING_REFUSED"), (lost, "BILLING_NOT_REACHED")):
        world.change(work_order, world.order_of(key).id, error_kind="transient", error_code=code)
    answer = desk.retry(NUMBER, "BILLING_NOT_REACHED")
    assert (answer.requeued, answer.still_blocked, answer.run_no) == (1, 0, 2)
    assert [world.order_of(key).state for key in (refused, lost, fine)] == ["failed", "queued", "succeeded"]
    assert desk.job(NUMBER).job.started_at is None  # the new run begins with its first device
    assert desk.retry(NUMBER, "NO_SUCH_CAUSE").requeued == 0


def test_a_devices_record_has_its_work_orders_of_all_jobs(world: World, desk: LocalDesk) -> None:
    one, other = submitted(world, desk, 2)
    world.change(work_order, world.order_of(one).id, state="failed", error_code="BILLING_REFUSED", error_message="No.")
    world.finish_job("failed", **{f"d{other}": "failed"})
    record = desk.device(world.iccid_of(one))
    (row,) = record.work_orders
    assert (row.tracking_number, row.line, row.state, row.action) == (
        NUMBER, 1, WorkOrderState.FAILED, "Associate + service",
    )  # fmt: skip
    assert row.error is not None
    assert (row.error.code, row.error.message) == ("BILLING_REFUSED", "No.")
    world.change(device, one, is_archived=False)
    with pytest.raises(NotFound):
        desk.job_progress("AJ-19990101-0001")


def test_a_later_run_has_statistics_of_its_own(world: World, desk: LocalDesk) -> None:
    first, second = submitted(world, desk, 2)
    world.finish_job("finishing", **{f"d{first}": "succeeded", f"d{second}": "succeeded"})
    begun = NOW - timedelta(seconds=30)
    change_job(world, run_no=2, started_at=begun, finished_at=None)
    world.change(work_order, world.order_of(first).id, completed_at=begun - timedelta(hours=1))
    world.change(work_order, world.order_of(second).id, completed_at=NOW)
    assert finish_due(world.store, notify=False) == 1
    told = desk.job(NUMBER).statistics
    assert (told["run_no"], told["succeeded"], told["seconds"], told["devices_per_minute"]) == (2, 2, 30.0, 2.0)


def test_who_settles_an_outcome_says_how_it_is_known(world: World, desk: LocalDesk) -> None:
    (one,) = submitted(world, desk, 1)
    order = world.order_of(one)
    world.change(work_order, order.id, state="outcome_unknown", check_at=None)
    world.put(
        work_order_step,
        {"work_order_id": order.id, "step": "billing_service", "state": "unknown", "attempts": 1, "intent_at": NOW},
    )
    change_job(world, queued=0, outcome_unknown=1, state="running")
    desk.resolve(NUMBER, world.iccid_of(one), None, " looked it up ")
    assert world.order_of(one).state == "queued"
    assert world.rows(job_log)[-1].message == f"Device {world.iccid_of(one)}: looked it up"
    (entry,) = (entry for entry in world.rows(audit_entry) if entry.action == "resolve")
    assert entry.detail == {"device": world.iccid_of(one), "service_id": None, "reason": "looked it up"}
