"""After an engine died with thousands of work orders in hand: what is done before the first one is claimed again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from db.schema import device, job, work_order
from db.taking_back import MOST_TAKEN_BACK
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import JobState, WorkOrderState
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.recorder import Recorder
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import NORTHSTAR, NOW, TODAY, World

#: Statements until the first work order is claimed; as many for 40 that were left as for 40,000.
MOST_STATEMENTS = 30
RULES = ProcessingRules(timedelta(seconds=5))


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


def left_by_a_dead_engine(world: World, count: int) -> int:
    """A job of so many devices that an engine held when it died; its handle."""
    first = 1_000_000
    world.put(
        device,
        *(
            {
                "id": first + number, "service_provider_id": NORTHSTAR, "iccid": f"8901260{number:012}",
                "msisdn": f"1274{number:07}", "status": "active", "activated_on": TODAY, "changed_at": NOW,
            }
            for number in range(count)
        ),
    )  # fmt: skip
    job_id = submit(world, *range(first, first + count), create_billing_service=True)
    with world.store.begin() as uow:
        uow.connection.execute(
            update(work_order)
            .where(work_order.c.job_id == job_id)
            .values(
                state=WorkOrderState.RUNNING, engine_id="dead", lease_epoch=1, lease_until=NOW - timedelta(seconds=1)
            )
        )
        uow.connection.execute(
            update(job).where(job.c.id == job_id).values(state=JobState.RUNNING, queued=0, running=count)
        )
        uow.commit()
    return job_id


def statements_before_the_first_claim(world: World) -> int:
    """How many statements a fresh engine executes until it holds its first work order."""
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = world.store.engines.write
    event.listen(engine, "before_cursor_execute", count)
    try:
        Housekeeping(world.store, OneLedger(BillingLedger()), RULES).run_once(RULES)
        claimed = Recorder(world.store, "fresh", RULES, lease_s=60.0).record((), 8)
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert len(claimed.to_call) == 8
    return len(statements)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("count", [40, 2 * MOST_TAKEN_BACK + 10])
def test_the_first_claim_does_not_wait_for_everything_to_be_taken_back(world: World, count: int) -> None:
    """One batch is taken back, then work begins; the rest follows batch by batch, however much it is."""
    job_id = left_by_a_dead_engine(world, count)
    assert statements_before_the_first_claim(world) <= MOST_STATEMENTS
    with world.store.read() as uow:
        row = uow.connection.execute(select(job.c.running, job.c.queued).where(job.c.id == job_id)).one()
    taken_back = min(count, MOST_TAKEN_BACK)
    assert (row.queued, row.running) == (taken_back - 8, count - taken_back + 8)
    assert_counters_equal_rows(world)
