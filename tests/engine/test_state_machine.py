"""Whatever happens in whatever order, in virtual time: nothing is made twice, and nothing is lost.

Two engines take turns on a real database, before a billing company that misbehaves and whose search lags behind. They
end at any crash point, or sleep past their leases and wake again; meanwhile people submit, pause, resume, cancel, retry
and resolve. After every step :class:`~tests.helpers.promises.Promises` compares the database with the billing company's
own ledger, and in the end everything has to come to rest.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from db import steering
from db.schema import device_ownership, job, work_order, work_order_step
from db.unit_of_work import Store
from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import AssociationRequest, CarrierPlanChoice, PickedDevices, pack
from desktop_app.association.states import FINAL_JOBS, PauseCause, Step, StepState
from desktop_app.desk.requests import check_request, retry_job, submit_request
from desktop_app.desk.seat import Seat
from desktop_app.engine import crash_points
from tests.helpers.billing_ledger import (
    APPEARS_LATE,
    BUSY,
    CUT_AFTER,
    CUT_BEFORE,
    FAILED_AFTER,
    FAILED_BEFORE,
    GONE,
    REFUSED,
    TOO_LATE,
    Fault,
)
from tests.helpers.databases import Databases
from tests.helpers.jobs import day
from tests.helpers.promises import Promises
from tests.helpers.stores import migrated
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, Crashed, Time
from tests.helpers.world import World

DEVICES, MOST_JOBS = 6, 6
DAY_S = 86_400.0
#: Rounds after which a world that still moves has lost something.
MOST_ROUNDS = 400
#: ``make soak`` asks for many runs, each time others; else it is always the same ones.
EXAMPLES = int(os.environ.get("ASSOCIATION_TEST_MACHINE_EXAMPLES", "0"))
#: Whether a failure is made as short as it can be, which takes minutes.
SHRINKS = "ASSOCIATION_TEST_MACHINE_SHRINKS" in os.environ

ANSWERS: dict[str, Fault | None] = {
    "201": None,
    "201 again": None,
    "429": BUSY,
    "refused": REFUSED,
    "500 before": FAILED_BEFORE,
    "500 after": FAILED_AFTER,
    "cut before": CUT_BEFORE,
    "cut after": CUT_AFTER,
    "too late": TOO_LATE,
    "appears late": APPEARS_LATE,
    "gone": GONE,
}


class FilledWorld(World):
    """The small world in a database that has it already."""

    def _fill(self) -> None:
        return


def with_devices(url: str) -> None:
    """The schema, the small world, and a few devices in it."""
    migrated(url)
    with Store(url) as store:
        world = World(store)
        for _ in range(DEVICES):
            world.device()


class Ground:
    """One database file, and one store on it: each run of the machine begins with the same rows.

    The store stays, since what it has compiled is worth more than all the rest.
    """

    def __init__(self, store: Store, file: Path, template: Path) -> None:
        self.store = store
        self._file, self._template = file, template

    def afresh(self) -> Store:
        self.store.close()
        for ending in ("-wal", "-shm"):
            self._file.with_name(self._file.name + ending).unlink(missing_ok=True)
        shutil.copyfile(self._template, self._file)
        return self.store


@pytest.fixture
def ground(databases: Databases, tmp_path: Path) -> Iterator[Ground]:
    with databases.copy_of("six devices", with_devices) as url, Store(url) as store:
        file = Path(url.removeprefix("sqlite:///"))
        template = tmp_path / "template.db"
        shutil.copyfile(file, template)
        yield Ground(store, file, template)


@contextmanager
def ending_after(points: int | None) -> Iterator[None]:
    """The process ends at the crash point that it reaches as this one, from 1; None: it does not."""
    reached = 0

    def on_reached(where: str) -> None:
        nonlocal reached
        reached += 1
        if reached == points:
            raise Crashed(where)

    crash_points.on_reached = on_reached
    try:
        yield
    finally:
        crash_points.on_reached = crash_points._nothing


engines = st.sampled_from(["first", "second"])
crashes = st.one_of(st.none(), st.none(), st.integers(1, 6))
answers = st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=4)


class EngineMachine(RuleBasedStateMachine):
    """People, engines, time and a billing company, each of which may do anything next."""

    #: How often each rule did something, and what was met; over all runs of one test.
    histogram: ClassVar[Counter[str]] = Counter()

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.time = Time()
        self.world = FilledWorld(ground.afresh())
        self.world.store.clock = lambda _connection: self.time.now
        self.ledger = SilentLedger(self.time)
        self.promises = Promises(self.world, self.ledger)
        self.seat = Seat(self.world.store, "admin")
        self.engines: dict[str, VirtualEngine] = {}
        self.births = 0
        self.submissions = 0

    # --- people ------------------------------------------------------------------------------------------------------

    @initialize(number=st.integers(1, 3))
    def submit_a_first_job(self, number: int) -> None:
        """So that there is something to do from the beginning: devices with billing and both plans."""
        self.submit(set(range(number)), "10482", billed=True, carrier=True, plan=True, in_days=0)

    @precondition(lambda self: self.submissions < MOST_JOBS)
    @rule(
        devices=st.sets(st.integers(0, DEVICES - 1), min_size=1, max_size=4),
        customer=st.sampled_from(["10482", "10482", "20317"]),
        billed=st.sampled_from([True, True, True, False]),
        carrier=st.booleans(),
        plan=st.booleans(),
        in_days=st.sampled_from([0, 0, 0, 2]),
    )
    def submit(
        self, devices: set[int], customer: str, *, billed: bool, carrier: bool, plan: bool, in_days: int
    ) -> None:  # fmt: skip
        request = AssociationRequest(
            PickedDevices(pack(sorted(1001 + number for number in devices))),
            customer,
            create_billing_service=billed,
            carrier_rate_plans=(CarrierPlanChoice("IOT5", "NORTHSTAR"),) if carrier else (),
            customer_rate_plan="FLEET" if plan else None,
            effective_date=day((self.time.now - Time().now).days + in_days),
            reassign=True,
        )
        self.submissions += 1
        with self.unless_refused("submit"):
            report = check_request(self.seat, request)
            submit_request(self.seat, request, report.fingerprint, f"key-{self.submissions}")

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def pause(self, number: int) -> None:
        self.steer("pause", number, steering.pause_job)

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def resume(self, number: int) -> None:
        self.steer("resume", number, steering.resume_job)

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def cancel(self, number: int) -> None:
        self.steer("cancel", number, steering.cancel_job)

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def retry(self, number: int) -> None:
        jobs = self.world.rows(job)
        if number < len(jobs):
            with self.unless_refused("retry"):
                retry_job(self.seat, jobs[number].tracking_number)

    @precondition(lambda self: self.undecided())
    @rule(number=st.integers(0, 5))
    def resolve(self, number: int) -> None:
        """A person looks it up at billing, where nothing lags behind for people, and tells the truth."""
        orders = self.undecided()
        self.resolve_one(orders[number % len(orders)])

    def resolve_one(self, order: Any) -> None:
        (step, *_) = sorted(
            (row for row in self.world.rows(work_order_step, work_order_id=order.id) if row.state == StepState.UNKNOWN),
            key=lambda row: list(Step).index(Step(row.step)),
        )
        book: dict[str, Any] = {**self.ledger.services, **self.ledger.products}
        made = [billing_id for billing_id, one in book.items() if one.reference == step.reference]
        (its_job,) = self.world.rows(job, id=order.job_id)
        number, billing_id = its_job.tracking_number, made[0] if made else None
        with self.unless_refused("resolve"):
            self.world.store.run(lambda uow: steering.resolve(uow, number, order.iccid, billing_id, "ada"))

    def undecided(self) -> list[Any]:
        """Work orders that wait for a person."""
        return [row for row in self.world.rows(work_order, state="outcome_unknown") if row.check_at is None]

    @rule(device=st.integers(0, 1))
    def make_a_service_outside(self, device: int) -> None:
        """Somebody makes a service for the number at the billing company, once at most, without our reference."""
        billing_id = f"outside-{device}"
        if billing_id not in self.ledger.services:
            self.ledger.add_service(billing_id, "500", f"1274555{device + 1:04}")
            self.ledger.made_at[billing_id] = self.time.now
            self.count("service made outside")

    # --- engines -----------------------------------------------------------------------------------------------------

    @rule(name=engines, said=st.lists(answers, min_size=1, max_size=4), crash=crashes)
    def work_a_while(self, name: str, said: list[list[str]], crash: int | None) -> None:
        """Several rounds in a row; only the last calls are not recorded yet."""
        for number, of_round in enumerate(said, 1):
            self.work(name, 3, of_round, crash if number == len(said) else None)

    @rule(name=engines, room=st.integers(0, 4), said=answers, crash=crashes)
    def work_a_round(self, name: str, room: int, said: list[str], crash: int | None) -> None:
        """A group is recorded and work is claimed; then some of the calls are made, and not recorded yet."""
        self.work(name, room, said, crash)

    def work(self, name: str, room: int, said: list[str], crash: int | None) -> None:
        paused = {row.id for row in self.world.rows(job, state="paused")}
        cancelled = {row.id for row in self.world.rows(job, cancel_requested=True)}

        def do(engine: VirtualEngine) -> None:
            held = {row.id for row in self.world.rows(work_order, engine_id=engine.name)}
            self.count("recorded too late", len(set(engine.held()) - held))
            recorded = engine.record(room)
            assert not {order.order.job_id for order in recorded.to_call} & paused, "a paused job goes on"
            posts = [order for order in recorded.to_call if order.call and order.call.kind.startswith("post")]
            assert not {order.order.job_id for order in posts} & cancelled, "a cancelled job posts"
            for answer in said[: len(engine.to_call)]:
                self.count(f"answer: {answer}")
            engine.call([ANSWERS[answer] for answer in said])

        self.live(name, crash, "work", do)

    @rule(name=engines, crash=crashes)
    def keep_house(self, name: str, crash: int | None) -> None:
        self.live(name, crash, "keep house", lambda engine: self.count("house kept", engine.keep_house() > 0))

    @rule(seconds=st.sampled_from([SETTLE_S + 0.1, LEASE_S + 1]), crash=crashes)
    def sleep_while_the_other_keeps_house(self, seconds: float, crash: int | None) -> None:
        """The first engine sleeps past its leases with all that it holds; the second takes them back, and works on."""
        self.wait(seconds)
        self.keep_house("second", crash)
        self.work("second", 3, ["201", "201"], None)

    @rule(crash=crashes)
    def sleep_past_the_lease_and_wake(self, crash: int | None) -> None:
        """The first claims and sleeps; when it wakes in front of its calls the second has asked billing, and posted."""
        self.work("first", 3, [], None)
        if not self.engine("first").to_call:
            return
        self.wait(LEASE_S + 1)
        self.keep_house("second", None)
        self.wait(SETTLE_S + 0.1)
        for _ in range(2):
            self.work("second", 3, ["201", "201", "201"], None)
        self.live("first", crash, "woke in front of a call", lambda engine: engine.call([None] * 3))

    @rule(name=engines)
    def end_without_a_word(self, name: str) -> None:
        """The process is killed while it waits."""
        if (engine := self.engines.pop(name, None)) is not None and engine.held():
            self.count("killed with work in hand")

    @rule(silences=st.integers(1, 3))
    def stay_silent(self, silences: int) -> None:
        """The next searches stay without an answer."""
        self.ledger.silences = silences

    @rule(is_there=st.booleans())
    def come_and_go(self, is_there: bool) -> None:
        """The billing company cannot be reached, or can again."""
        self.ledger.is_there = is_there

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.3, 1.0, SETTLE_S / 2, SETTLE_S + 0.1, LEASE_S / 2, LEASE_S + 1, 600.0, DAY_S]))
    def wait(self, seconds: float) -> None:
        self.time.pass_by(seconds)

    # --- what holds --------------------------------------------------------------------------------------------------

    @invariant()
    def the_promise(self) -> None:
        self.promises.look()

    def teardown(self) -> None:
        """Everything runs to quiet: the engines so far never wake again, and a last one is left in peace."""
        crash_points.on_reached = crash_points._nothing
        self.ledger.is_there, self.ledger.silences = True, 0
        self.engines.clear()
        for row in self.world.rows(job, state="paused"):
            if row.pause_cause in {PauseCause.OPERATOR, PauseCause.THRESHOLD}:
                with self.world.store.begin() as uow:
                    steering.resume_job(uow, row.tracking_number, "ada")
                    uow.commit()
        self.count("scheduled", len(self.world.rows(device_ownership, state="scheduled")))
        self.run_to_quiet()
        self.promises.look_at_the_end()
        for order in self.undecided():
            self.count("left to a person")
            self.resolve_one(order)
        self.run_to_quiet()
        self.promises.look_at_the_end()
        for row in self.world.rows(work_order):
            self.count(f"ended: {row.state}")

    def run_to_quiet(self) -> None:
        """Works until nothing is due, and three further days have passed."""
        engine = self.engine("last")
        quiet_days = 0
        for _ in range(MOST_ROUNDS):
            done = engine.keep_house()
            recorded = engine.record(8)
            engine.call([None] * 8)
            if done or recorded.claimed or recorded.bulk or engine.held():
                quiet_days = 0
                self.time.pass_by(0.1)
            elif any(row.state not in FINAL_JOBS for row in self.world.rows(job)) and quiet_days < 1:
                self.time.pass_by(SETTLE_S)
                quiet_days += self.is_still()
            else:
                quiet_days += 1
                self.time.pass_by(DAY_S)
                if quiet_days > 3:
                    return
        raise AssertionError("something never comes to rest")

    def is_still(self) -> bool:
        """Whether every open work order waits for a person."""
        open_states = ("queued", "running", "waiting_retry", "outcome_unknown")
        undecided = {row.id for row in self.undecided()}
        return all(row.id in undecided for row in self.world.rows(work_order) if row.state in open_states)

    # --- small helpers -----------------------------------------------------------------------------------------------

    def engine(self, name: str) -> VirtualEngine:
        if name not in self.engines:
            self.births += 1
            self.engines[name] = VirtualEngine(self.world, self.time, self.ledger, f"{name}-{self.births}")
        return self.engines[name]

    def live(self, name: str, crash: int | None, what: str, do: Callable[[VirtualEngine], Any]) -> None:
        """An engine does something; it may end in the middle of it, with everything that it held in memory."""
        engine = self.engine(name)
        self.count(what)
        with ending_after(crash):
            try:
                do(engine)
            except Crashed as end:
                del self.engines[name]
                self.count(f"crash {end}")
                for row in self.world.rows(work_order_step):
                    if row.state in {StepState.INTENT, StepState.UNKNOWN}:
                        self.count(f"at a crash: {row.state}")

    def steer(self, what: str, number: int, do: Callable[[Any, str, str], Any]) -> None:
        jobs = self.world.rows(job)
        if number < len(jobs):
            with self.unless_refused(what):
                self.world.store.run(lambda uow: do(uow, jobs[number].tracking_number, "ada"))

    @contextmanager
    def unless_refused(self, what: str) -> Iterator[None]:
        try:
            yield
            self.count(what)
        except RequestRefused as refused:
            self.count(f"refused: {refused.code}")

    def count(self, what: str, times: int = 1) -> None:
        if times:
            self.histogram[what] += times


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_cancelled_job_asks_once_for_what_is_open_and_ends(ground: Ground) -> None:
    machine = EngineMachine(ground)
    machine.submit_a_first_job(2)
    machine.work("first", 3, ["cut after", "cut before"], None)
    machine.work("first", 3, [], None)
    machine.cancel(0)
    machine.wait(SETTLE_S + 0.1)
    machine.work("first", 3, ["201", "201"], None)
    machine.work("first", 3, [], None)
    assert (machine.ledger.searches, machine.ledger.posts, len(machine.ledger.services)) == (2, 2, 1)
    assert {(row.state, row.lease_epoch) for row in machine.world.rows(work_order)} == {("cancelled", 2)}
    machine.promises.look()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_cancelled_job_asks_for_nothing_that_is_not_open(ground: Ground) -> None:
    """On a service that is kept it would be looked what is there already; nothing is posted after that any more."""
    machine = EngineMachine(ground)
    machine.world.own(1001)
    machine.world.service(1001, service_id="S1")
    machine.submit_a_first_job(1)
    machine.work("first", 3, [], None)
    assert len(machine.engine("first").to_call) == 1
    machine.cancel(0)
    machine.work("first", 3, ["201"], None)
    for _ in range(2):
        machine.work("first", 3, ["201"], None)
    assert (machine.ledger.searches, machine.ledger.posts) == (0, 0)
    (order,) = machine.world.rows(work_order)
    assert (order.state, order.error_message) == ("cancelled", "Cancelled before anything was made at billing.")


def run_machine(ground: Ground, examples: int, steps: int, *, derandomize: bool = True) -> Counter[str]:
    """Runs the machine; what it met."""
    EngineMachine.histogram.clear()
    run_state_machine_as_test(
        lambda: EngineMachine(ground),  # type: ignore[arg-type]  # whatever makes a machine will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            print_blob=not derandomize,
            phases=[Phase.generate, Phase.shrink] if SHRINKS else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    met = Counter(EngineMachine.histogram)
    print(f"{met.total()} events in {examples} runs: {dict(met.most_common())}")
    return met


@pytest.mark.timeout(600)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whatever_happens_nothing_is_made_twice_or_lost(ground: Ground) -> None:
    met = run_machine(ground, 25, 30)
    assert met["at a crash: intent"], "no process ended while an intent was open"
    assert met["recorded too late"], "no engine woke after its lease"


@pytest.mark.crash
@pytest.mark.timeout(0)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whatever_happens_in_longer_lives(ground: Ground) -> None:
    met = run_machine(ground, EXAMPLES or 50, 60, derandomize=not EXAMPLES)
    # What is rarer (left to a person, scheduled) is printed: whether 50 runs come to it differs from place to place.
    for what in ("at a crash: intent", "at a crash: unknown", "recorded too late"):
        assert met[what], f"it never came to this: {what}"
