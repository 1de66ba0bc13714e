"""The end of a job's run, on both kinds of database: one engine ends it, once, with what its rows say."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from db import finishing
from db.integrity import check
from db.schema import job, job_log, outbox_event, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association.states import JobState, Step, StepState, WorkOrderState
from desktop_app.engine.finishing import finish_due
from tests.helpers.jobs import apply_all, assert_counters_equal_rows, submit
from tests.helpers.world import NOW, World

W = WorkOrderState
NUMBER = "AJ-20261124-0001"


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def done_job(world: World, *, rejected: int = 0, fine: int = 1) -> int:
    """A job without billing of which every device is final, so that it waits to be finished; its handle."""
    devices = [world.device() for _ in range(fine)] + [world.device(is_deleted=True) for _ in range(rejected)]
    job_id = submit(world, *devices, reason="contract 7")
    apply_all(world, job_id)
    assert world.rows(job, id=job_id)[0].state == "finishing"
    return job_id


def begin(world: World, job_id: int) -> finishing.FinishingJob | None:
    return world.store.run(lambda uow: finishing.begin_finishing(uow, job_id))


def test_a_job_that_waits_is_read_with_what_its_end_needs(world: World) -> None:
    job_id = done_job(world, rejected=1, fine=2)
    world.change(job, job_id, started_at=NOW, cancel_requested=True, run_no=2)
    found = begin(world, job_id)
    assert found is not None
    assert (found.job_id, found.tracking_number, found.run_no, found.cancel_requested) == (job_id, NUMBER, 2, True)
    assert (found.customer, found.account_number, found.operator) == ("Northwind Fleet", "10482", "admin")
    assert (found.reason, found.submitted_at, found.started_at) == ("contract 7", NOW, NOW)
    assert found.counts == {**dict.fromkeys(W, 0), W.SUCCEEDED: 2, W.REJECTED: 1}


@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.FINISHING}))
def test_only_a_job_that_waits_for_it_is_finished(world: World, state: JobState) -> None:
    job_id = submit(world, world.device())
    world.change(job, job_id, state=state)
    with world.store.read() as uow:
        assert finishing.jobs_to_finish(uow) == []
    assert begin(world, job_id) is None
    world.store.run(lambda uow: finishing.end_job(uow, job_id, JobState.COMPLETED, {}))
    assert world.rows(job)[0].state == state


def test_the_oldest_job_is_finished_first(world: World) -> None:
    new, old = done_job(world), done_job(world)
    world.change(job, old, submitted_at=NOW - timedelta(days=1))
    with world.store.read() as uow:
        assert finishing.jobs_to_finish(uow) == [old, new]
        assert finishing.jobs_to_finish(uow, limit=1) == [old]


def test_counts_are_of_the_rows(world: World) -> None:
    one, other, third = (world.device() for _ in range(3))
    job_id = submit(world, one, other, third)
    submit(world, world.device())
    problem = {"error_code": "BILLING_REFUSED", "error_message": "Refused.", "what_to_do": "Correct it."}
    for device_id, state, values in ((one, "succeeded", {}), (other, "failed", problem), (third, "failed", problem)):
        world.change(work_order, world.order_of(device_id).id, state=state, **values)
    rows: list[tuple[int, str, str, int, bool]] = [
        (one, "billing_service", "done", 2, True),
        (one, "history", "done", 1, False),
        (other, "billing_service", "refused", 3, True),
        (third, "billing_service", "kept", 0, False),
    ]
    for device_id, step, state, attempts, sent in rows:
        row = {"work_order_id": world.order_of(device_id).id, "step": step, "state": state, "attempts": attempts}
        world.put(work_order_step, {**row, "intent_at": NOW if sent else None})
    with world.store.read() as uow:
        assert finishing.counts_of_rows(uow, job_id) == {W.SUCCEEDED: 1, W.FAILED: 2}
        assert finishing.cause_counts(uow, job_id) == [(W.FAILED, "BILLING_REFUSED", "Correct it.", 2)]
        counts, posts = finishing.step_counts(uow, job_id)
    assert posts == 5, "the tries of steps that were sent"
    assert counts == {
        (Step.BILLING_SERVICE, StepState.DONE): 1,
        (Step.BILLING_SERVICE, StepState.REFUSED): 1,
        (Step.BILLING_SERVICE, StepState.KEPT): 1,
        (Step.HISTORY, StepState.DONE): 1,
    }


def test_long_words_fit_into_the_log(world: World) -> None:
    job_id = submit(world, world.device())
    world.store.run(lambda uow: finishing.write_log(uow, job_id, 1, "test", "x" * 1_000, level="error", data={"a": 1}))
    line = world.rows(job_log)[-1]
    assert (line.at, line.level, line.event, line.data) == (NOW, "error", "test", {"a": 1})
    assert line.message == "x" * 400


# --- the whole of it, as an engine does it ---------------------------------------------------------------------------


def finish(world: World, *, notify: bool = True) -> int:
    return finish_due(world.store, notify=notify)


def test_a_job_ends_with_its_statistics_its_log_and_its_notification(world: World) -> None:
    done_job(world, rejected=1, fine=2)
    assert finish(world) == 1
    (row,) = world.rows(job)
    assert (row.state, row.finished_at) == ("partially_completed", NOW)
    assert (row.statistics["total"], row.statistics["succeeded"], row.statistics["rejected"]) == (3, 2, 1)
    assert row.statistics["steps"] == {"ownership": {"done": 2}, "history": {"done": 2}}
    assert [line.event for line in world.rows(job_log)][-2:] == ["procedures", "finished"]
    assert world.rows(job_log)[-1].message == "Partially completed: 2 of 3 devices."
    assert world.rows(job_log)[-2].data == {"across_providers": 0, "marked": 2, "links_opened": 0, "links_closed": 0}
    (event,) = world.rows(outbox_event)
    assert (event.state, event.next_attempt_at, event.run_no) == ("pending", NOW, 1)
    assert event.payload["event_id"] == event.event_id
    assert (event.payload["state"], event.payload["tracking_number"]) == ("partially_completed", NUMBER)
    assert event.payload["statistics"] == row.statistics
    assert check(world.store) == ()
    assert finish(world) == 0, "a second run finds nothing to do"
    assert len(world.rows(outbox_event)) == 1


def test_nobody_is_told_where_nobody_wants_to_know(world: World) -> None:
    done_job(world)
    finish(world, notify=False)
    assert world.rows(outbox_event) == []
    assert world.rows(job)[0].state == "completed"


def test_a_process_that_dies_in_it_leaves_all_of_it_to_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    done_job(world)

    def dies(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "add_event", dies)
        with pytest.raises(KeyboardInterrupt):
            finish(world)
    (row,) = world.rows(job)
    assert (row.state, row.finished_at, row.statistics) == ("finishing", None, None)
    assert world.rows(outbox_event) == []
    assert finish(world) == 1
    assert world.rows(job)[0].state == "completed"
    assert [line.event for line in world.rows(job_log)].count("finished") == 1
    assert check(world.store) == ()


def test_counters_that_were_wrong_are_put_right_and_it_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    job_id = done_job(world, fine=2)
    world.change(job, job_id, succeeded=1, failed=1)
    finish(world)
    assert_counters_equal_rows(world)
    (row,) = world.rows(job)
    assert (row.state, row.statistics["succeeded"]) == ("completed", 2)
    assert "counters_corrected" in [line.event for line in world.rows(job_log)]
    assert NUMBER in caplog.text
    assert check(world.store) == ()


def test_engines_that_finish_at_once_end_each_job_once(world: World) -> None:
    for _ in range(4):
        done_job(world)
    together = threading.Barrier(3)
    finished: list[int] = []

    def engine() -> None:
        together.wait()
        finished.append(finish(world))

    threads = [threading.Thread(target=engine) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(finished) == 4
    assert {row.state for row in world.rows(job)} == {"completed"}
    assert len(world.rows(outbox_event)) == 4
    assert [line.event for line in world.rows(job_log)].count("finished") == 4
    assert check(world.store) == ()
