"""Jobs share the quota: a small job does not wait until a large one is done."""

from __future__ import annotations

from sqlalchemy import select

from db.schema import billing_service, device, job, work_order
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool
from tests.engine.conftest import LEASE_S, World, only, wait_for
from tests.helpers.billing_ledger import BillingLedger, OneLedger

#: Devices of the small job, and the calls after which each of them was called: one of the large job comes between two.
FEW = 5
CALLS = 2 * FEW


class Quota:
    """A governor that lets so many calls through as the test says, and then none for a while.

    Attributes:
        left: how many are let through from now on.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def try_take(self, calls: int = 1) -> float:
        if not self.left:
            return 60.0
        self.left -= 1
        return 0.0

    def backed_off(self, retry_after_s: float) -> None:
        raise AssertionError("nobody asks to wait here")


class PacedLedger(OneLedger):
    """A gateway whose credential has a quota."""

    def __init__(self, ledger: BillingLedger, quota: Quota) -> None:
        super().__init__(ledger)
        self.quota = quota

    def governor(self, billing_credential_id: int) -> Quota:  # type: ignore[override]
        return self.quota


def test_five_devices_behind_a_large_job_are_called_among_the_next_calls(world: World) -> None:
    request = world.request(255)
    lines = request.devices.lines  # type: ignore[union-attr]
    with world.store.read() as uow:
        billed = set(uow.connection.scalars(select(device.c.iccid).join(billing_service)))
    few = [line for line in lines if line not in billed][-FEW:]
    large = world.submit(only(tuple(line for line in lines if line not in few), request), "large")
    config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=LEASE_S)
    quota = Quota(20)
    engine = Engine(world.store, PacedLedger(world.ledger, quota), ThreadPool(8), config)
    engine.start()
    try:
        wait_for(lambda: world.ledger.posts == 20)
        # More calls of the large job wait for the quota, when the small one comes, than will be let through.
        wait_for(lambda: len(engine._calls) > CALLS)
        assert world.job(large).job.counts.running > CALLS
        small = world.submit(only(tuple(few), request), "small")
        engine.wake()
        wait_for(lambda: len(engine._calls.jobs()) == 2)
        assert world.job(small).job.counts.running == FEW
        with world.store.read() as uow:
            of_small = select(work_order.c.reference).join(job).where(job.c.tracking_number == small)
            references = set(uow.connection.scalars(of_small))
        assert len(references) == FEW
        assert None not in references, "a service is kept: it is not called for"
        quota.left = CALLS
        wait_for(lambda: world.ledger.posts == 20 + CALLS)
        called = set(world.ledger.services_of_reference())
    finally:
        engine.stop()
    assert references <= called
