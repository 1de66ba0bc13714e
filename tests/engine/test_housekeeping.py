"""What is done beside work orders may wait for a server: it holds up neither the rest nor the end of an engine."""

from __future__ import annotations

import math
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import select, update

from db import finishing, outbox
from db.schema import job, outbox_event
from desktop_app.association.ports import LookupVerdict
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.states import JobState, PauseCause
from desktop_app.engine import outbox as announcing
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.outbox import Sent, send_due
from tests.engine.conftest import World, only, wait_for
from tests.helpers.billing_ledger import BillingLedger, OneLedger

RULES = ProcessingRules(timedelta(seconds=5))


class CountedLedger(BillingLedger):
    """Counts how often it is asked whether it is there.

    Attributes:
        looks: how often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.meanwhile = lambda: None

    def ping(self) -> LookupVerdict:
        self.looks += 1
        self.meanwhile()
        return super().ping()


def paused_jobs(world: World, count: int) -> list[str]:
    """So many jobs that paused themselves, and look now whether billing is back; their tracking numbers."""
    request = world.request(count)
    lines = request.devices.lines  # type: ignore[union-attr]
    numbers = [world.submit(only((line,), request), line) for line in lines]
    with world.store.begin() as uow:
        uow.connection.execute(
            update(job)
            .where(job.c.tracking_number.in_(numbers))
            .values(state=JobState.PAUSED, pause_cause=PauseCause.ENVIRONMENT, resume_at=uow.now())
        )
        uow.commit()
    return numbers


def test_jobs_of_one_credential_share_a_look_whether_billing_is_back(world: World) -> None:
    """A look at a server that does not answer lasts as long as a call, and counts against the quota."""
    numbers = paused_jobs(world, 4)
    billing = CountedLedger()
    billing.is_there = False
    housekeeping = Housekeeping(world.store, OneLedger(billing), RULES)
    housekeeping.run_once(RULES)
    assert billing.looks == 1
    assert {world.job(number).job.state for number in numbers} == {JobState.PAUSED}
    billing.is_there = True
    wait_for(lambda: housekeeping.run_once(RULES) and world.job(numbers[0]).job.state is not JobState.PAUSED)


def test_an_engine_that_stops_announces_no_further_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did not begin is nobody's: the next engine sends it at once."""
    world.submit(world.request(1))
    with world.store.begin() as uow:
        (job_id,) = uow.connection.scalars(select(job.c.id).order_by(job.c.id.desc()).limit(1))
        for run_no in (1, 2, 3):
            finishing.add_event(uow, job_id, run_no, f"event/{run_no}", {"run": run_no})
        uow.commit()
    monkeypatch.setattr(announcing, "LONGEST_S", math.inf)  # all in one go, however slow
    sent: list[str] = []

    def send(event_id: str, _body: bytes) -> Sent:
        sent.append(event_id)
        return Sent(taken=True)

    assert send_due(world.store, send, Random(1), lambda: bool(sent)) == 1
    with world.store.read() as uow:
        states = uow.connection.execute(
            select(outbox_event.c.state, outbox_event.c.claimed_until).where(outbox_event.c.event_id.like("event/%"))
        ).all()
        assert outbox.any_due(uow)
    assert sorted(states, key=str) == [("pending", None), ("pending", None), ("sent", None)]
    assert send_due(world.store, send, Random(1)) == 2
    assert sorted(sent) == ["event/1", "event/2", "event/3"]
