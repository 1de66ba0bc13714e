"""Whatever happens in whatever order, in virtual time: nothing is made twice, and nothing is lost.

Two engines take turns on a real database, before a billing company that misbehaves and whose search lags behind. They
end at any crash point, or sleep past their leases and wake again; meanwhile people submit, reassign, pause, resume,
cancel, retry and resolve. After every step :class:`~tests.helpers.promises.Promises` compares the database with the
billing company's own ledger and with who owns each device, and in the end everything has to come to rest.
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
from hypothesis import HealthCheck, Phase, seed, settings
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
from db.integrity import check
from db.schema import (
    billing_service,
    device_history,
    device_ownership,
    job,
    scheduled_plan_change,
    work_order,
    work_order_step,
)
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.association.model import AssociationRequest, CarrierPlanChoice, PickedDevices, pack
from desktop_app.association.ports import PostVerdict
from desktop_app.association.states import (
    FINAL_JOBS,
    OPEN_WORK_ORDERS,
    JobState,
    PauseCause,
    Step,
    StepState,
    WorkOrderState,
)
from desktop_app.desk.requests import check_request, retry_job, submit_request
from desktop_app.desk.rereading import reread_billing
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
    OneLedger,
)
from tests.helpers.databases import Databases
from tests.helpers.jobs import day
from tests.helpers.owners import Owner
from tests.helpers.promises import Promises
from tests.helpers.stores import migrated
from tests.helpers.virtual_engine import SilentLedger, VirtualEngine
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, Crashed, Time
from tests.helpers.world import CUSTOMER_PLAN, DEPOT, FABRIKAM, FABRIKAM_SITE, HEAD_OFFICE, NORTHWIND, NOW, World

DEVICES, MOST_JOBS = 6, 8
#: Devices that have an owner from the beginning, the last of them also a plan change to come.
IMPORTED = {
    1004: Owner(NORTHWIND, HEAD_OFFICE),
    1005: Owner(FABRIKAM, FABRIKAM_SITE),
    1006: Owner(FABRIKAM, FABRIKAM_SITE),
}
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
#: Those that do not say whether anything was made.
UNCLEAR = sorted(answer for answer, fault in ANSWERS.items() if fault and fault.verdict is PostVerdict.UNKNOWN)
#: Steps of which billing may have acted, and work orders that can still find out.
IN_DOUBT, FINDING_OUT = {StepState.INTENT, StepState.UNKNOWN}, {"running", "outcome_unknown"}


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
        owned = {one: world.own(one, *owner, customer_rate_plan_id=CUSTOMER_PLAN) for one, owner in IMPORTED.items()}
        of = dict(zip(("device_id", "device_ownership_id"), list(owned.items())[-1], strict=True))
        to_come = {"kind": "customer", "rate_plan_id": CUSTOMER_PLAN, "due_on": day(1), "state": "pending"}
        world.put(scheduled_plan_change, {**of, **to_come, "created_at": NOW})


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


Beginning = Callable[["EngineMachine"], None]

numbers = st.integers(0, MOST_JOBS - 1)
engines = st.sampled_from(["first", "second"])
crashes = st.one_of(st.none(), st.none(), st.integers(1, 6))
unclear = st.sampled_from(UNCLEAR)
answers = st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=4)


class EngineMachine(RuleBasedStateMachine):
    """People, engines, time and a billing company, each of which may do anything next."""

    #: How often each rule did something, and what was met; over all runs of one test.
    histogram: ClassVar[Counter[str]] = Counter()

    def __init__(self, ground: Ground, beginning: Beginning = lambda _machine: None) -> None:
        super().__init__()
        self.beginning = beginning
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
        """A first job, of devices with billing and both plans; then what this life has to begin with."""
        self.submit(set(range(number)), NORTHWIND, billed=True, carrier=True, plan=True, in_days=0)
        self.beginning(self)

    @precondition(lambda self: self.submissions < MOST_JOBS)
    @rule(
        devices=st.sets(st.integers(0, DEVICES - 1), min_size=1, max_size=4),
        customer=st.sampled_from([NORTHWIND, NORTHWIND, FABRIKAM]),
        billed=st.sampled_from([True, True, True, False]),
        carrier=st.booleans(),
        plan=st.booleans(),
        in_days=st.sampled_from([0, 0, 0, 2]),
    )
    def submit(
        self, devices: set[int], customer: int, *, billed: bool, carrier: bool, plan: bool, in_days: int
    ) -> None:  # fmt: skip
        asked = sorted(1001 + number for number in devices)
        self.ask(asked, Owner(customer, None), billed=billed, carrier=carrier, plan=plan, in_days=in_days)

    @precondition(lambda self: self.submissions < MOST_JOBS and self.owned_and_free())
    @rule(
        what=st.sampled_from(["reassign", "reassign", "move", "plans"]),
        number=st.integers(0, DEVICES - 1),
        billed=st.booleans(),
        in_days=st.sampled_from([0, 0, 2]),
        is_worked=st.booleans(),
    )
    def ask_for_what_is_owned(self, what: str, number: int, billed: bool, in_days: int, is_worked: bool) -> None:
        """Rather for what has plan changes to come, or can be moved at all."""
        devices, stands = self.owned_and_free(), self.promises.owners.stands
        if what == "move":
            devices = [one for one in devices if stands[one].customer_id == NORTHWIND] or devices
        elif what == "reassign":
            to_come = {row.device_id for row in self.world.rows(scheduled_plan_change, state="pending")}
            devices = [one for one in devices if one in to_come] or devices
        self.ask_for(devices[number % len(devices)], what, billed=billed, in_days=in_days)
        if is_worked:
            self.work_to_the_end("second", ["201"])

    def ask_for(self, device: int, what: str, *, billed: bool, in_days: int) -> None:
        """The device goes to another customer, or to another site where its customer has two, or gets plans one day."""
        customer, site = self.promises.owners.stands[device]
        if what == "plans":
            self.ask([device], Owner(customer, site), billed=billed, carrier=True, plan=True, in_days=2)
        elif what == "move" and customer == NORTHWIND:
            owner = Owner(NORTHWIND, DEPOT if site == HEAD_OFFICE else HEAD_OFFICE)
            self.ask([device], owner, billed=billed, carrier=billed, plan=not billed, in_days=in_days)
        else:
            self.end_services(device)
            owner = Owner(FABRIKAM if customer == NORTHWIND else NORTHWIND, None)
            self.ask([device], owner, billed=billed, carrier=billed, plan=not billed, in_days=in_days)

    def ask(
        self, devices: list[int], owner: Owner, *, billed: bool, carrier: bool, plan: bool, in_days: int
    ) -> None:  # fmt: skip
        request = AssociationRequest(
            PickedDevices(pack(devices)),
            owner.customer_id,
            {HEAD_OFFICE: "HO", DEPOT: "DEPOT", FABRIKAM_SITE: "HO"}.get(owner.site_id or 0),
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

    def end_services(self, device: int) -> None:
        """Whoever is billed for the device has it ended at the billing company, and it is re-read from there."""
        services = self.world.rows(billing_service, device_id=device, is_active=True)
        for service in services:
            self.ledger.disconnect(service.service_id)
        if services:
            with self.unless_refused("re-read from billing"):
                billing = OneLedger(self.ledger)
                reread_billing(self.seat, billing, PickedDevices(pack([device])), sleep=self.time.pass_by)

    @precondition(lambda self: self.to_pause())
    @rule(number=numbers)
    def pause(self, number: int) -> None:
        self.steer("pause", self.to_pause(), number, steering.pause_job)

    @precondition(lambda self: self.to_resume())
    @rule(number=numbers)
    def resume(self, number: int) -> None:
        self.steer("resume", self.to_resume(), number, steering.resume_job)

    @precondition(lambda self: self.to_cancel())
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        self.steer("cancel", self.to_cancel(), number, steering.cancel_job)

    @precondition(lambda self: self.to_cancel())
    @rule(name=engines, said=st.lists(unclear, min_size=1, max_size=3), number=numbers, ask_first=st.booleans())
    def cancel_in_doubt(self, name: str, said: list[str], number: int, *, ask_first: bool) -> None:
        """What was sent has no clear answer, or is being asked for, when its job is cancelled."""
        self.work(name, 3, said, None)
        self.work(name, 0, [], None)
        if ask_first:
            self.wait(SETTLE_S + 0.1)
            self.work(name, 3, [], None)
        in_doubt = {row.work_order_id for row in self.world.rows(work_order_step) if row.state in IN_DOUBT}
        of_jobs = {row.job_id for row in self.world.rows(work_order) if row.id in in_doubt and row.state in FINDING_OUT}
        if jobs := [row for row in self.world.rows(job, cancel_requested=False) if row.id in of_jobs]:
            self.steer("cancel in doubt", jobs, number, steering.cancel_job)

    @precondition(lambda self: self.to_retry())
    @rule(number=numbers)
    def retry(self, number: int) -> None:
        self.retry_one_of(self.to_retry(), number)

    @precondition(lambda self: self.to_run_again())
    @rule(number=numbers)
    def retry_what_is_over(self, number: int) -> None:
        self.retry_one_of(self.to_run_again(), number)

    def retry_one_of(self, jobs: list[Any], number: int) -> None:
        its_job = jobs[number % len(jobs)]
        with self.unless_refused("retry"):
            retried = retry_job(self.seat, its_job.tracking_number)
            self.count("retry while it runs", retried.requeued > 0 and retried.run_no == its_job.run_no)
            self.count("retry after the end", retried.requeued > 0 and retried.run_no > its_job.run_no)

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

    # What people see, and choose from: as of the last look, of which all preconditions are asked.

    def undecided(self) -> list[Any]:
        """Work orders that wait for a person."""
        unknown = (row for row in self.promises.orders.values() if row.state == WorkOrderState.OUTCOME_UNKNOWN)
        return [row for row in unknown if row.check_at is None]

    def owned_and_free(self) -> list[int]:
        """Devices that somebody owns, without anything that is still to be done for them."""
        busy = {row.device_id for row in self.promises.orders.values() if row.state in OPEN_WORK_ORDERS}
        owners = self.promises.owners
        return sorted(set(owners.stands) - set(owners.to_come) - busy)

    def to_pause(self) -> list[Any]:
        return [row for row in self.jobs_at_work() if row.pause_cause != PauseCause.OPERATOR]

    def to_resume(self) -> list[Any]:
        return [row for row in self.promises.jobs if row.state == JobState.PAUSED]

    def to_cancel(self) -> list[Any]:
        """Those of which something was begun: of the others nothing could be made twice, or lost."""
        jobs = (row for row in self.jobs_at_work() if not row.cancel_requested)
        return [row for row in jobs if row.total > row.queued + row.rejected + row.cancelled]

    def to_retry(self) -> list[Any]:
        jobs = (row for row in self.promises.jobs if row.state != JobState.FINISHING)
        return [row for row in jobs if row.failed or row.rejected or row.cancelled]

    def to_run_again(self) -> list[Any]:
        return [row for row in self.to_retry() if row.state in FINAL_JOBS]

    def jobs_at_work(self) -> list[Any]:
        return [row for row in self.promises.jobs if row.state not in {*FINAL_JOBS, JobState.FINISHING}]

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
            self.count(f"claimed by the {name}", recorded.claimed)
            assert not {order.order.job_id for order in recorded.to_call} & paused, "a paused job goes on"
            posts = [order for order in recorded.to_call if order.call and order.call.kind.startswith("post")]
            assert not {order.order.job_id for order in posts} & cancelled, "a cancelled job posts"
            for answer in said[: len(engine.to_call)]:
                self.count(f"answer: {answer}")
            engine.call([ANSWERS[answer] for answer in said])

        self.live(name, crash, "work", do)

    @rule(name=engines, said=answers)
    def work_to_the_end(self, name: str, said: list[str]) -> None:
        """An engine in peace, but for the first answers: most jobs are over then, unless they are paused."""
        self.work(name, 6, said, None)
        for _ in range(2):
            while self.engine(name).held():
                self.work(name, 6, ["201"] * 6, None)
            self.wait(SETTLE_S + 0.1)
            self.work(name, 6, ["201"] * 6, None)
        self.keep_house(name, None)

    @rule(name=engines, crash=crashes)
    def keep_house(self, name: str, crash: int | None) -> None:
        held = [row for row in self.world.rows(work_order, state="running") if row.lease_until < self.time.now]
        self.count("lease expired", len(held))
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
        if undecided := self.undecided():
            for order in undecided:
                self.count("left to a person")
                self.resolve_one(order)
            self.run_to_quiet()
            self.promises.look_at_the_end()
        assert check(self.world.store) == ()
        for order in self.promises.orders.values():
            self.count(f"ended: {order.state}")
        for its_job in self.promises.jobs:
            self.count(f"job: {its_job.state}, run {its_job.run_no}")
        for row in self.world.rows(device_history):
            self.count(f"history: {row.event}")

    def run_to_quiet(self) -> None:
        """Works until nothing is due, and three further days have passed."""
        engine = self.engine("last")
        quiet_days, idle_s = 0, SETTLE_S
        for _ in range(MOST_ROUNDS):
            done = engine.keep_house()
            recorded = engine.record(8)
            engine.call([None] * 8)
            if done or recorded.claimed or recorded.bulk or engine.held():
                quiet_days, idle_s = 0, SETTLE_S
                self.time.pass_by(0.1)
            elif any(row.state not in FINAL_JOBS for row in self.world.rows(job)) and quiet_days < 1:
                self.time.pass_by(idle_s)
                quiet_days, idle_s = quiet_days + self.is_still(), 2 * idle_s
            else:
                quiet_days += 1
                self.time.pass_by(DAY_S)
                if quiet_days > 3:
                    return
        raise AssertionError("something never comes to rest")

    def is_still(self) -> bool:
        """Whether every open work order waits for a person."""
        open_states = ("queued", "running", "waiting_retry", "outcome_unknown")
        orders = [row for row in self.world.rows(work_order) if row.state in open_states]
        return all(row.state == "outcome_unknown" and row.check_at is None for row in orders)

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

    def steer(self, what: str, jobs: list[Any], number: int, do: Callable[[Any, str, str], Any]) -> None:
        which = jobs[number % len(jobs)].tracking_number
        with self.unless_refused(what):
            self.world.store.run(lambda uow: do(uow, which, "ada"))

    @contextmanager
    def unless_refused(self, what: str) -> Iterator[None]:
        try:
            yield
            self.count(what)
        except (RequestRefused, EnvironmentFault) as refused:
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
    machine.steer("cancel", machine.world.rows(job), 0, steering.cancel_job)
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
    machine.steer("cancel", machine.world.rows(job), 0, steering.cancel_job)
    machine.work("first", 3, ["201"], None)
    for _ in range(2):
        machine.work("first", 3, ["201"], None)
    assert (machine.ledger.searches, machine.ledger.posts) == (0, 0)
    (order,) = machine.world.rows(work_order)
    assert (order.state, order.error_message) == ("cancelled", "Cancelled before anything was made at billing.")


# --- how a life begins -----------------------------------------------------------------------------------------------
#
# Anything may happen afterwards, but these things do: how often chance comes to what needs several steps one after the
# other differs from place to place.


def billing_answers_in_every_way(machine: EngineMachine) -> None:
    """Billing answers in every way, to whatever is sent next; one device is asked for twice, and rejected."""
    machine.submit({0, 3, 4, 5}, NORTHWIND, billed=True, carrier=True, plan=True, in_days=0)
    for answer in sorted(ANSWERS, key="gone".__eq__):  # after which nothing more is sent
        machine.work("first", 1, [answer], None)
        machine.the_promise()
        machine.wait(1.0)


def engines_end_and_fall_asleep(machine: EngineMachine) -> None:
    """One ends with an open intent, one right after its call, and one sleeps past its lease."""
    machine.work("first", 3, [], None)
    machine.work("first", 3, ["201"], 1)
    machine.the_promise()
    machine.wait(LEASE_S + 1)
    machine.keep_house("second", None)
    machine.wait(SETTLE_S + 0.1)
    machine.sleep_past_the_lease_and_wake(None)
    machine.work("first", 3, [], None)  # who wakes also records, too late


def a_device_changes_hands(machine: EngineMachine) -> None:
    """From site to site, and to a customer and back; with plan changes to come, and with a billing service."""
    machine.work_to_the_end("first", ["201"])
    for device, what, billed, in_days in (
        (1004, "move", False, 0), (1006, "reassign", True, 0), (1006, "plans", False, 0), (1006, "reassign", False, 0),
        (1005, "reassign", False, 2),
    ):  # fmt: skip
        machine.the_promise()
        machine.ask_for(device, what, billed=billed, in_days=in_days)
        machine.work_to_the_end("second", ["201"])
    for _ in range(2):  # on the first of these days nothing changes hands
        machine.wait(DAY_S)
        machine.keep_house("second", None)
        machine.the_promise()


def jobs_are_steered(machine: EngineMachine) -> None:
    """Paused and resumed with calls in flight, then cancelled while it is not known what billing made of them."""
    machine.work("first", 3, ["201"], None)
    machine.the_promise()
    machine.pause(0)
    for name in ("first", "second"):
        machine.work(name, 3, ["201"], None)
    machine.the_promise()
    machine.resume(0)
    machine.the_promise()
    machine.cancel_in_doubt("second", ["cut after", "cut before", "too late"], 0, ask_first=False)


def what_failed_is_done_again(machine: EngineMachine) -> None:
    """A job is over with what failed, and is retried; so is one that was cancelled half-way."""
    machine.work_to_the_end("first", ["refused", "refused", "refused"])
    machine.the_promise()
    machine.retry_what_is_over(0)
    machine.work("first", 1, ["201"], None)
    machine.the_promise()
    machine.cancel(0)
    machine.work_to_the_end("first", [])
    machine.the_promise()
    machine.retry_what_is_over(0)


BEGINNINGS: tuple[Beginning, ...] = (
    billing_answers_in_every_way, engines_end_and_fall_asleep, a_device_changes_hands, jobs_are_steered,
    what_failed_is_done_again,
)  # fmt: skip

#: What every run of all beginnings has to come by.
MUST_BE_MET = (
    "submit", "claimed by the first", "claimed by the second", *(f"answer: {answer}" for answer in ANSWERS),
    "at a crash: intent", "lease expired", "recorded too late", "woke in front of a call",
    "pause", "resume", "cancel", "cancel in doubt", "retry after the end", "re-read from billing",
    "history: moved", "history: reassigned", "history: scheduled", "history: billing_service_ended",
    "history: plan_change_scheduled", "history: plan_change_dropped", "history: plan_change_applied",
    "ended: succeeded", "ended: cancelled", "ended: rejected",
)  # fmt: skip


def run_machine(ground: Ground, examples: int, steps: int, *, derandomize: bool = True) -> Counter[str]:
    """Runs the machine, with each beginning for its share of the examples; what it met.

    Raises:
        AssertionError: a promise was broken, or something of :data:`MUST_BE_MET` was not met.
    """
    EngineMachine.histogram.clear()
    for number, beginning in enumerate(BEGINNINGS):

        def machine(beginning: Beginning = beginning) -> EngineMachine:
            return EngineMachine(ground, beginning)

        run_state_machine_as_test(
            # Whatever makes a machine will do. By its own seed each beginning is gone on from in another way.
            seed(number)(machine) if derandomize else machine,  # type: ignore[arg-type]
            settings=settings(
                max_examples=-(-examples // len(BEGINNINGS)),
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
    missed = [what for what in MUST_BE_MET if not met[what]]
    assert not missed, f"it never came to this: {missed}"
    return met


@pytest.mark.timeout(600)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whatever_happens_nothing_is_made_twice_or_lost(ground: Ground) -> None:
    run_machine(ground, 25, 30)


@pytest.mark.crash
@pytest.mark.timeout(0)
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whatever_happens_in_longer_lives(ground: Ground) -> None:
    run_machine(ground, EXAMPLES or 50, 60, derandomize=not EXAMPLES)
