"""Jobs share the quota: a small job does not wait until a large one is done."""

from __future__ import annotations

from sqlalchemy import select

from db.schema import billing_service, device, job, work_order
from desktop_app.billing.governor import PacedGovernor
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool
from tests.engine.conftest import World, only, wait_for
from tests.helpers.billing_ledger import BillingLedger, OneLedger

WORKERS = 8
#: Calls that may come between the submit of a small job and the last of its first calls: those that are on their way,
#: one of the large job for each of the small one's, and two seconds' worth until the small job is claimed. Without
#: turns it would be all that the engine holds, 100 and more: minutes at 60 calls a minute.
MOST_BETWEEN = WORKERS + 2 * 5 + 30


class PacedLedger(OneLedger):
    """A gateway whose credential has a quota."""

    def __init__(self, ledger: BillingLedger, per_minute: int) -> None:
        super().__init__(ledger)
        self.paced = PacedGovernor(per_minute=per_minute)

    def governor(self, billing_credential_id: int) -> PacedGovernor:  # type: ignore[override]
        return self.paced


def test_five_devices_behind_a_large_job_are_called_among_the_next_calls(world: World) -> None:
    request = world.request(255)
    lines = request.devices.lines  # type: ignore[union-attr]
    with world.store.read() as uow:
        billed = set(uow.connection.scalars(select(device.c.iccid).join(billing_service)))
    few = [line for line in lines if line not in billed][-5:]
    large = world.submit(only(tuple(line for line in lines if line not in few), request), "large")
    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=30.0)
    # The quota is what holds the calls up; the large job's would last for most of a minute here.
    engine = Engine(world.store, PacedLedger(world.ledger, 900), ThreadPool(WORKERS), config)
    engine.start()
    try:
        wait_for(lambda: world.ledger.posts >= 20)
        small = world.submit(only(tuple(few), request), "small")
        before = world.ledger.posts
        engine.wake()
        with world.store.read() as uow:
            of_small = select(work_order.c.reference).join(job).where(job.c.tracking_number == small)
            references = set(uow.connection.scalars(of_small))
        assert len(references) == 5
        assert None not in references, "a service is kept: it is not called for"
        wait_for(lambda: references <= set(world.ledger.services_of_reference()))
        between = world.ledger.posts - before
        still_queued = world.job(large).job.counts.queued
    finally:
        engine.stop()
    assert between <= MOST_BETWEEN
    assert still_queued > 50, "the large job was nearly done: this shows nothing"
