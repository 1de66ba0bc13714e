"""The process ends before and after every commit and every POST, in virtual time: nothing made twice, nothing lost.

What a process holds in memory is thrown away at the point; another one, made afresh, finds what is in the database. The
billing company's search lags behind what it makes, as long as the settle time allows.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from db.integrity import check
from db.schema import job, outbox_event, work_order
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.ports import (
    BillingProductFound,
    BillingServiceFound,
    PostResult,
    ProductLookup,
    ServiceLookup,
)
from desktop_app.association.processing import ProcessingRules
from desktop_app.association.retry import RetryRules
from desktop_app.association.states import FINAL_JOBS
from desktop_app.engine import crash_points
from desktop_app.engine.group import Item
from desktop_app.engine.housekeeping import Housekeeping
from desktop_app.engine.leases import Lease
from desktop_app.engine.outbox import Sent
from desktop_app.engine.recorder import Recorder
from desktop_app.engine.runner import run
from tests.helpers.billing_ledger import BUSY, CUT_AFTER, CUT_BEFORE, BillingLedger, Fault, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.jobs import assert_counters_equal_rows, submit
from tests.helpers.stores import fresh_store
from tests.helpers.world import NOW, World

ENGINE_FOLDER = Path(crash_points.__file__).parent
LAG_S, SETTLE_S, LEASE_S, TIMEOUT_S = 2.0, 3.0, 30.0, 5.0
#: More rounds than any life needs; one that goes on is one that has lost something.
MOST_ROUNDS = 300

COMMITS = ("record", "finish", "take-back", "bulk", "claim-events", "event", "send-to-finishing")
POINTS = [f"{side}-commit:{name}" for name in COMMITS for side in ("before", "after")]
POINTS += ["before-post", "after-post", "before-notify", "after-notify"]
FAULTS: dict[str, Fault | None] = {"answered": None, "cut after": CUT_AFTER, "cut before": CUT_BEFORE, "429": BUSY}


class Crashed(BaseException):
    """The process has ended here. No ``except Exception`` of the program may live on after it."""


@dataclass
class Time:
    """The only clock: of the database, of leases, of the billing company."""

    now: datetime = NOW

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def seconds(self) -> float:
        return self.now.timestamp()

    def lease(self, seconds: float) -> Lease:
        return Lease.lasting(seconds, self.seconds, self.seconds)


class LaggingLedger(BillingLedger):
    """A billing company whose search does not show what is younger than ``lag_s``."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time = time
        self.lag_s = LAG_S
        self.made_at: dict[str, datetime] = {}

    def _post(self, order: Any, book: dict[str, Any], may_send: Callable[[], bool]) -> PostResult:
        before = set(book)
        result = super()._post(order, book, may_send)
        self.made_at.update(dict.fromkeys(set(book) - before, self.time.now))
        return result

    def _shows(self, made: str) -> bool:
        return self.time.now - self.made_at[made] >= timedelta(seconds=self.lag_s)

    def find_services(self, billing_customer_id: str, *, reference: str = "", number: str = "") -> ServiceLookup:
        found = super().find_services(billing_customer_id, reference=reference, number=number)
        services: Sequence[BillingServiceFound] = found.services
        return ServiceLookup(found.verdict, tuple(one for one in services if self._shows(one.service_id)))

    def find_products(self, service_id: str) -> ProductLookup:
        found = super().find_products(service_id)
        products: Sequence[BillingProductFound] = found.products
        return ProductLookup(found.verdict, tuple(one for one in products if self._shows(one.service_product_id)))


@dataclass
class Scene:
    """A world in virtual time, and the lives of the processes that work on it."""

    world: World
    settle_s: float = SETTLE_S
    time: Time = field(default_factory=Time)
    lives: int = 0
    announced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = LaggingLedger(self.time)
        self.world.store.clock = lambda _connection: self.time.now

    def live(self) -> None:
        """One process, from its start until every job is over (or it crashes)."""
        self.lives += 1
        engine_id = f"engine-{self.lives}"
        recorder, rules = self.recorder(engine_id), self.rules()
        housekeeping = Housekeeping(
            self.world.store, OneLedger(self.ledger), rules, engine_id=engine_id, send=self._send, rng=Random(1)
        )
        items: list[Item] = []
        for _ in range(MOST_ROUNDS):
            housekeeping.run_once(rules)
            recorded = recorder.record(items, 3)
            for job_id in recorded.bulk:
                while recorder.apply_bulk(job_id):
                    pass
            items = [run(order, self.ledger, TIMEOUT_S, lambda: False) for order in recorded.to_call]
            items += recorded.settled
            self.time.pass_by(0.1 if items else 1.0)
            if not items and self._is_over():
                housekeeping.run_once(rules)
                return
        raise AssertionError("something never came to an end")

    def rules(self) -> ProcessingRules:
        return ProcessingRules(timedelta(seconds=self.settle_s), RetryRules(first_wait_s=0.5))

    def recorder(self, engine_id: str) -> Recorder:
        return Recorder(
            self.world.store, engine_id, self.rules(), lease_s=LEASE_S, new_lease=self.time.lease, rng=Random(1)
        )

    def live_until_over(self) -> int:
        """Lives until no process crashes any more; how many crashed."""
        for crashes in count():
            try:
                self.live()
            except Crashed:
                continue
            return crashes
        raise AssertionError("unreachable")

    def _send(self, event_id: str, _body: bytes) -> Sent:
        self.announced.append(event_id)
        return Sent(taken=True)

    def _is_over(self) -> bool:
        is_announced = all(event.state == "sent" for event in self.world.rows(outbox_event))
        return is_announced and all(row.state in FINAL_JOBS for row in self.world.rows(job))

    def assert_sound(self) -> None:
        """Each device is done, each was billed once, and the database keeps its promises."""
        orders = self.world.rows(work_order)
        assert {order.state for order in orders} == {"succeeded"}
        assert self.ledger.twice() == []
        billed = [order.reference for order in orders if order.billing_action == "create"]
        assert sorted(self.ledger.services_of_reference()) == sorted(billed)
        assert sum(self.ledger.products_of_reference().values()) == 2 * len(billed)
        assert set(self.announced) == {f"{row.tracking_number}/1" for row in self.world.rows(job)}
        assert_counters_equal_rows(self.world)
        assert check(self.world.store) == ()


@contextmanager
def crashing_at(point: str, time: int) -> Iterator[None]:
    """The process ends when it reaches the point for that time, from 1; once."""
    reached = 0

    def on_reached(where: str) -> None:
        nonlocal reached
        reached += where == point
        if where == point and reached == time:
            raise Crashed(f"{point}, time {time}")

    crash_points.on_reached = on_reached
    try:
        yield
    finally:
        crash_points.on_reached = crash_points._nothing


def scene_with_jobs(world: World, settle_s: float = SETTLE_S) -> Scene:
    """A job of four devices with billing and both plans, and one of two devices without billing."""
    plans: dict[str, Any] = {
        "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),), "customer_rate_plan": "FLEET",
    }  # fmt: skip
    submit(world, *(world.device() for _ in range(4)), create_billing_service=True, **plans)
    submit(world, world.device(), world.device(), **plans)
    return Scene(world, settle_s)


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    with fresh_store(databases) as store:
        yield World(store)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_ends_at_any_point_bills_nothing_twice_and_loses_nothing(
    world: World, point: str, fault: str
) -> None:
    scene = scene_with_jobs(world)
    # Each second POST goes wrong, so that the crash comes before, between and after what is unknown.
    scene.ledger.faults.extend([None, FAULTS[fault]] * 4)
    if point.endswith("take-back"):  # which only comes where a process ended before
        with crashing_at("after-post", 1), pytest.raises(Crashed):
            scene.live()
        scene.time.pass_by(LEASE_S + 1)
    with crashing_at(point, 1):
        crashes = scene.live_until_over()
    assert crashes == 1, "the point was never reached"
    scene.assert_sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("point", ["before-commit:record", "after-commit:record", "before-post", "after-post"])
@pytest.mark.parametrize("time", [2, 3, 5, 8])
def test_the_same_holds_later_in_a_job(world: World, point: str, time: int) -> None:
    scene = scene_with_jobs(world)
    scene.ledger.faults.extend([CUT_AFTER, None, CUT_BEFORE] * 3)
    with crashing_at(point, time):
        assert scene.live_until_over() == 1
    scene.assert_sound()


def test_a_process_that_dies_again_and_again_gets_there(world: World) -> None:
    scene = scene_with_jobs(world)
    for number in range(1, 9):
        with crashing_at("after-post", 1 + number % 3):
            try:
                scene.live()
                break
            except Crashed:
                continue
    scene.live()
    assert scene.lives > 3
    scene.assert_sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_was_sent_at_the_end_of_a_lease_is_searched_for_after_the_settle_time(world: World) -> None:
    """The lease is over soon after, but the search does not show it yet."""
    scene = scene_with_jobs(world, settle_s=10.0)
    scene.ledger.lag_s = 9.0
    in_hand = scene.recorder("the-first").record((), 1).to_call[0]
    scene.time.pass_by(LEASE_S - TIMEOUT_S - 0.1)
    run(in_hand, scene.ledger, TIMEOUT_S, lambda: False)
    assert scene.ledger.posts == 1
    scene.time.pass_by(TIMEOUT_S + 0.2)  # nobody records the answer
    scene.live()
    scene.assert_sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_without_the_settle_time_these_tests_would_see_duplicates(world: World) -> None:
    """The promise is as long as the settle time: shorter than the search lags, and a service is made twice."""
    scene = scene_with_jobs(world, settle_s=0.0)
    scene.ledger.faults.extend([CUT_AFTER] * 4)
    scene.live()
    assert scene.ledger.twice()


def test_a_crash_before_the_commit_leaves_no_trace(world: World) -> None:
    scene = scene_with_jobs(world)
    before = world.rows(work_order)
    with crashing_at("before-commit:record", 1), pytest.raises(Crashed):
        scene.live()
    assert world.rows(work_order) == before
    assert scene.ledger.posts == 0


# --- every commit and every POST has its points ----------------------------------------------------------------------


def _calls(path: Path) -> Iterator[tuple[str, ast.Call, list[ast.AST]]]:
    """Every call in the file: the name that is called last, the call, and what it stands in."""

    def walk(node: ast.AST, around: list[ast.AST]) -> Iterator[tuple[str, ast.Call, list[ast.AST]]]:
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node, around
        for child in ast.iter_child_nodes(node):
            yield from walk(child, [*around, node])

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), [])


def test_the_engine_commits_in_one_place_with_a_point_on_both_sides() -> None:
    found = [
        f"{path.name}:{call.lineno}"
        for path in sorted(ENGINE_FOLDER.glob("*.py"))
        for name, call, _ in _calls(path)
        if isinstance(call.func, ast.Attribute)
        and (("store" in ast.unparse(call.func.value) and name in {"run", "begin"}) or name == "commit")
    ]
    (only,) = found
    assert only.startswith("crash_points.py")


def test_every_commit_of_the_engine_is_crossed_with_the_faults() -> None:
    named = {
        ast.literal_eval(call.args[1])
        for path in sorted(ENGINE_FOLDER.glob("*.py"))
        for name, call, _ in _calls(path)
        if name == "commit" and isinstance(call.func, ast.Name) and path.name != "crash_points.py"
    }
    # Those left out write nothing of a work order or a job: signs of life, and looks whether billing is back.
    assert named - set(COMMITS) == {"start", "stop", "seen", "claim-probes", "probe", "schedule"}
    assert set(COMMITS) <= named


def test_every_post_of_the_engine_is_made_by_the_runner_which_has_the_points() -> None:
    posts = {
        path.name
        for path in sorted(ENGINE_FOLDER.glob("*.py"))
        for name, _, _ in _calls(path)
        if name in {"create_service", "add_product"}
    }
    assert posts == {"runner.py"}
    points = {
        ast.literal_eval(call.args[0]) for name, call, _ in _calls(ENGINE_FOLDER / "runner.py") if name == "reached"
    }
    assert points == {"before-post", "after-post"}
