"""The process ends before and after every commit and every POST, in virtual time: nothing made twice, nothing lost.

What a process holds in memory is thrown away at the point; another one, made afresh, finds what is in the database. The
billing company's search lags behind what it makes, as long as the settle time allows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from db.schema import device_history, device_ownership, scheduled_plan_change, work_order, work_order_step
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.steps import PRODUCT_STEPS
from desktop_app.engine import crash_points
from desktop_app.engine.runner import run
from tests.helpers.billing_ledger import (
    APPEARS_LATE,
    BUSY,
    CUT_AFTER,
    CUT_BEFORE,
    FAILED_AFTER,
    FAILED_BEFORE,
    GONE,
    TOO_LATE,
    Fault,
)
from tests.helpers.databases import Databases
from tests.helpers.jobs import day, submit
from tests.helpers.stores import fresh_store
from tests.helpers.virtual_time import LEASE_S, SETTLE_S, TIMEOUT_S, Crashed, Scene, crashing_at
from tests.helpers.world import World

ENGINE_FOLDER = Path(crash_points.__file__).parent

COMMITS = ("record", "finish", "take-back", "bulk", "claim-events", "event", "send-to-finishing")
#: Those that write of no work order: looks whether billing is back, and what was written down for a day ahead.
COMMITS_BESIDE = ("claim-probes", "probe", "schedule")


def around(commits: Sequence[str]) -> list[str]:
    """The points on both sides of these commits."""
    return [f"{side}-commit:{name}" for name in commits for side in ("before", "after")]


POINTS = around(COMMITS)
POINTS += ["before-post", "after-post", "before-notify", "after-notify"]
FAULTS: dict[str, Fault | None] = {
    "201": None,
    "429": BUSY,
    "500 before": FAILED_BEFORE,
    "500 after": FAILED_AFTER,
    "cut before": CUT_BEFORE,
    "cut after": CUT_AFTER,
    "too late": TOO_LATE,
    "appears late": APPEARS_LATE,
}


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


def _cross(points: Sequence[str]) -> Iterator[Any]:
    """Every point with every fault; a third of them, in which each is met, whenever the tests run."""
    for row, point in enumerate(points):
        for column, fault in enumerate(FAULTS):
            yield pytest.param(point, fault, marks=() if (row + column) % 3 == 0 else pytest.mark.crash)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("point", "fault"), list(_cross(POINTS)))
def test_a_process_that_ends_at_any_point_bills_nothing_twice_and_loses_nothing(
    world: World, point: str, fault: str
) -> None:
    scene = scene_with_jobs(world)
    # Each second POST goes wrong: at the first time that these points are reached, most of it is still to come.
    scene.ledger.faults.extend([None, FAULTS[fault]] * 4)
    if point.endswith("take-back"):  # which only comes where a process ended before
        with crashing_at("after-post", 1), pytest.raises(Crashed):
            scene.live()
        scene.time.pass_by(LEASE_S + 1)
    with crashing_at(point, 1):
        crashes = scene.live_until_over()
    assert crashes == 1, "the point was never reached"
    scene.assert_sound()


#: The crash points behind a POST, and how many more POSTs, or groups, than the one that went wrong there are by then.
BEHIND_A_POST = {"after-post": 0, "before-post": 1, "before-commit:record": 0, "after-commit:record": 0}


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("of", ["service", "product"])
@pytest.mark.parametrize(("point", "fault"), list(_cross(list(BEHIND_A_POST))))
def test_a_process_that_ends_with_an_answer_in_hand(world: World, point: str, fault: str, of: str) -> None:
    """It ends right behind the POST that went wrong, before what became of it is recorded, or as soon as it is."""
    scene = scene_with_jobs(world)
    # Three work orders are in hand: three services first, of which the first group tells, then their products.
    post, group = (1, 2) if of == "service" else (4, 3)
    scene.ledger.faults.extend([*[None] * (post - 1), *[FAULTS[fault], None] * 4])
    with crashing_at(point, (group if "record" in point else post) + BEHIND_A_POST[point]):
        with pytest.raises(Crashed):
            scene.live()
        steps = [row for row in world.rows(work_order_step) if row.intent_at is not None]
        the_step = steps[0] if of == "service" else next(row for row in steps if row.step in PRODUCT_STEPS)
        assert (the_step.state == "intent") == (point != "after-commit:record")
        assert scene.ledger.posts >= post
        assert scene.live_until_over() == 0
    scene.assert_sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("point", "fault"), list(_cross(around(COMMITS_BESIDE))))
def test_a_process_that_ends_beside_its_work_orders_does_the_rest_once(world: World, point: str, fault: str) -> None:
    """Billing is not there at first, and one job is for the next day."""
    plans: dict[str, Any] = {
        "carrier_rate_plans": (CarrierPlanChoice("IOT5", "NORTHSTAR"),), "customer_rate_plan": "FLEET",
    }  # fmt: skip
    submit(world, world.device(), world.device(), create_billing_service=True, **plans)
    submit(world, tomorrows := world.device(), effective_date=day(1), **plans)
    scene = Scene(world)
    scene.ledger.faults.extend([GONE, None, FAULTS[fault], None, FAULTS[fault]])
    with crashing_at(point, 1):
        crashes = scene.live_until_over()
        assert {row.state for row in world.rows(scheduled_plan_change)} == {"pending"}
        scene.time.pass_by(86_400)
        crashes += scene.live_until_over()
    assert crashes == 1, "the point was never reached"
    scene.assert_sound()
    assert [row.state for row in world.rows(device_ownership, device_id=tomorrows)] == ["active"]
    assert [row.state for row in world.rows(scheduled_plan_change)] == ["applied", "applied"]
    said = [row.event for row in world.rows(device_history, device_id=tomorrows)]
    assert (said.count("assigned"), said.count("plan_change_applied")) == (1, 2)


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
    inside, outside = _statements(ENGINE_FOLDER / "crash_points.py", "then_reached", "commit")
    assert inside == ["result = work(uow)", "reached(f'before-commit:{point}')", "return result"]
    assert outside[-3:] == ["result = store.run(then_reached)", "reached(f'after-commit:{point}')", "return result"]


def _statements(path: Path, *functions: str) -> list[list[str]]:
    """The statements of each of these functions, as text."""
    found = {
        node.name: [ast.unparse(statement) for statement in node.body]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    return [found[name] for name in functions]


def test_every_commit_of_the_engine_is_crossed_with_the_faults() -> None:
    named = {
        ast.literal_eval(call.args[1])
        for path in sorted(ENGINE_FOLDER.glob("*.py"))
        for name, call, _ in _calls(path)
        if name == "commit" and isinstance(call.func, ast.Name) and path.name != "crash_points.py"
    }
    # Those left out write nothing of a work order or a job: signs of life, and a site's own procedures, which SQLite
    # has not (tests/engine/test_site_procedures.py). What is told of a job that nobody can open needs an engine that
    # cannot (tests/engine/test_left_alone.py).
    assert named == {*COMMITS, *COMMITS_BESIDE, "left-alone", "start", "stop", "seen", "site-procedure"}


#: What makes a POST that bills.
POSTING = ("create_service", "add_product")


def references(source: str, *names: str) -> list[str]:
    """Where one of these functions is reached: called, given on, bound to another name, imported, or asked for by text.

    A definition is none. What is put together while the program runs is not found.
    """
    found: list[str] = []
    if not re.search("|".join(names), source):  # as most have none, and a tree takes time
        return found
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                found += [name] if name in names else []
            case ast.MatchClass(kwd_attrs=attributes):
                found += [name for name in attributes if name in names]
            case _:
                pass
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("billing.create_service(order, may_send)", 1, id="called"),
        pytest.param("post = billing.create_service\npost(order, may_send)", 1, id="bound"),
        pytest.param("posts = {'service': billing.create_service, 'product': billing.add_product}", 2, id="collected"),
        pytest.param("partial(billing.add_product, order)(may_send)", 1, id="partial"),
        pytest.param("pool.submit(billing.add_product, order, may_send)", 1, id="given on"),
        pytest.param("pool.submit(call=billing.add_product)", 1, id="given on by name"),
        pytest.param("BillingClient.create_service(billing, order, may_send)", 1, id="of the class"),
        pytest.param("from billing import create_service as post\npost(order)", 1, id="imported under another name"),
        pytest.param("getattr(billing, 'create_service')(order, may_send)", 1, id="by text"),
        pytest.param("methodcaller('add_product', order, may_send)(billing)", 1, id="by text, later"),
        pytest.param("match billing:\n    case Client(add_product=post):\n        post(order)", 1, id="matched"),
        pytest.param("class Client:\n    def create_service(self) -> None: ...", 0, id="defined"),
        pytest.param('"""It calls create_service."""  # and add_product', 0, id="told of"),
        pytest.param("api.create_services()", 0, id="another name"),
    ],
)
def test_a_post_is_found_under_whatever_name_it_is_made(source: str, found: int) -> None:
    assert len(references(source, *POSTING)) == found


def test_every_post_of_the_program_is_made_by_the_runner_which_has_the_points() -> None:
    program = ENGINE_FOLDER.parent
    posts = [
        (path.relative_to(program).as_posix(), name)
        for path in sorted(program.rglob("*.py"))
        for name in references(path.read_text(encoding="utf-8"), *POSTING)
    ]
    assert sorted(posts) == [("engine/runner.py", "add_product"), ("engine/runner.py", "create_service")]
    # Nor does anybody go past the points to the function that makes these two.
    assert references((ENGINE_FOLDER / "runner.py").read_text(encoding="utf-8"), "_call") == ["_call"]
    (may_send, run_, call) = _statements(ENGINE_FOLDER / "runner.py", "may_send", "run", "_call")
    # Asked by the transport right before the first byte: the last thing that is done before a POST.
    assert may_send[-2:] == ["if not refused_here:\n    reached('before-post')", "return not refused_here"]
    asked = [line for line in call[-1].splitlines() if "create_service(" in line or "add_product(" in line]
    assert len(asked) == 2
    assert all(line.endswith(", may_send)") for line in asked)
    assert run_[-2:] == ["if call.kind in POSTS:\n    reached('after-post')", "return Outcome(in_hand, result)"]


def test_nothing_else_in_the_program_can_send() -> None:
    """The billing client, which the runner calls; the notification; the launcher, which steers the sandbox.

    The demonstration sends nothing: it tells how many there were.
    """
    program = ENGINE_FOLDER.parent
    sending = {
        path.relative_to(program).as_posix()
        for path in sorted(program.rglob("*.py"))
        if "sandbox" not in path.parts  # the other side
        if references(path.read_text(encoding="utf-8"), "POST", "PUT", "PATCH", "DELETE", "post", "patch")
    }
    assert sending == {"billing/client.py", "billing/launcher.py", "billing/notify.py", "cli/demo.py"}


def test_a_notification_has_its_points_on_both_sides() -> None:
    (send_due,) = _statements(ENGINE_FOLDER / "outbox.py", "send_due")
    lines = [line.strip() for line in send_due[-2].splitlines()]
    sent = lines.index("sent = send(event.event_id, body)")
    assert lines[sent - 1] == "reached('before-notify')"
    assert lines[sent + 1] == "reached('after-notify')"
    named = [
        f"{path.name}:{call.lineno}"
        for path in sorted(ENGINE_FOLDER.glob("*.py"))
        for name, call, _ in _calls(path)
        if name == "send" and isinstance(call.func, ast.Name)
    ]
    assert len(named) == 1
