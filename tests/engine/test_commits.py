"""The process ends before and after the commit of what a person does: all of it is there, or nothing, and never twice.

Every commit of the program, an engine's too, goes through one place, which has a point on both sides.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import db
import desktop_app
from db.schema import engine, installation_setting, job, metadata, work_order
from desktop_app.association.errors import RequestRefused
from desktop_app.association.states import FINAL_JOBS, JobState
from tests.engine.conftest import World
from tests.helpers.billing_ledger import REFUSED
from tests.helpers.virtual_time import Crashed, crash

PROGRAM = (Path(db.__file__).parent, Path(desktop_app.__file__).parent)


@contextmanager
def ending(world: World, side: str, which: int) -> Iterator[None]:
    """The process ends at this side of a commit; ``which``: from 1."""
    nothing, world.store.on_commit = world.store.on_commit, crash(side, which)
    try:
        with pytest.raises(Crashed):
            yield
    finally:
        world.store.on_commit = nothing


def everything(world: World) -> dict[str, list[str]]:
    """All that the database holds, but for signs of life and which tracking numbers were given."""
    with world.store.read() as uow:
        return {
            table.name: sorted(map(repr, uow.connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
            if table not in {engine, installation_setting}
        }


def submitting(world: World) -> Callable[[], Any]:
    request = world.request(3)
    fingerprint = world.desk.check(request).fingerprint
    return lambda: world.desk.submit(request, fingerprint, "the-key")


def pausing(world: World) -> Callable[[], Any]:
    number = world.submit(world.request(3))
    return lambda: world.desk.pause(number)


def resuming(world: World) -> Callable[[], Any]:
    number = world.submit(world.request(3))
    world.desk.pause(number)
    return lambda: world.desk.resume(number)


def cancelling(world: World) -> Callable[[], Any]:
    number = world.submit(world.request(3))
    return lambda: world.desk.cancel(number)


def retrying(world: World) -> Callable[[], Any]:
    number = world.submit(world.request(3))
    world.ledger.faults.extend([REFUSED] * 3)
    world.work()
    return lambda: world.desk.retry(number)


def resolving(world: World) -> Callable[[], Any]:
    """A device of which a person is asked, since billing cannot tell."""
    number = world.submit(world.request(3))
    iccid = world.orders(number)[0].iccid
    world.desk.pause(number)
    with world.store.begin() as uow:
        of_job = select(job.c.id).where(job.c.tracking_number == number).scalar_subquery()
        (order_id,) = uow.connection.scalars(
            select(work_order.c.id).where(work_order.c.job_id == of_job, work_order.c.iccid == iccid)
        )
        uow.connection.execute(
            metadata.tables["work_order_step"].insert().values(
                work_order_id=order_id, step="billing_service", state="unknown", attempts=1, intent_at=uow.now()
            )
        )  # fmt: skip
        uow.connection.execute(
            update(work_order).where(work_order.c.id == order_id).values(
                state="outcome_unknown", error_kind="unknown", error_code="BILLING_OUTCOME_UNKNOWN",
                error_message="Nobody knows.", what_to_do="Look.",
            )
        )  # fmt: skip
        uow.connection.execute(update(job).where(job.c.id == of_job).values(queued=job.c.queued - 1, outcome_unknown=1))
        uow.commit()

    def resolve() -> None:
        world.desk.resolve(number, iccid, None, "looked it up")

    return resolve


#: What is done, and its commits; a submission commits its tracking number first, which nobody else gets.
ACTIONS = ((submitting, 2), (pausing, 1), (resuming, 1), (cancelling, 1), (retrying, 1), (resolving, 1))


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("action", "which", "is_last"),
    [
        pytest.param(action, which, which == last, id=f"{action.__name__}-{which}")
        for action, last in ACTIONS
        for which in range(1, last + 1)
    ],
)
def test_what_a_person_does_is_there_as_a_whole_or_not_at_all(
    world: World, action: Callable[[World], Callable[[], Any]], which: int, is_last: bool, side: str
) -> None:
    is_done = is_last and side == "after"
    others = {row.tracking_number for row in world.desk.jobs()}
    act = action(world)
    before = everything(world)
    with ending(world, side, which):
        act()
    behind = everything(world)
    assert (behind == before) == (not is_done)
    with suppress(RequestRefused):
        act()  # again, after a new start
    again = everything(world)
    assert (again == behind) == is_done, "it is done once"
    (number,) = {row.tracking_number for row in world.desk.jobs()} - others
    if world.job(number).job.state is JobState.PAUSED:
        world.desk.resume(number)
    world.work()
    assert world.job(number).job.state in FINAL_JOBS
    world.assert_sound()


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    """The program, but for demo data: each node of its syntax trees, and the file that it stands in."""
    for folder in PROGRAM:
        for path in sorted(folder.rglob("*.py")):
            if "demo" not in path.parts:
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    yield path.name, node


def _calls_of(method: str) -> set[tuple[str, str]]:
    return {
        (name, ast.unparse(node.func))
        for name, node in _nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
    }


def test_every_commit_of_the_program_goes_through_one_place() -> None:
    """The others are a connection's own settings, the units of work of an import, which call that place, and the
    migration, which has the same points."""
    assert _calls_of("commit") - {("engines.py", "connection.commit")} == {
        ("unit_of_work.py", "self.connection.commit"),
        ("unit_of_work.py", "uow.commit"),
        ("statistics.py", "uow.commit"),
        ("maintenance.py", "transaction.commit"),
    }


def test_nothing_is_committed_without_a_word() -> None:
    """A transaction of SQLAlchemy's commits where its block is left; a unit of work rolls back there."""
    assert _calls_of("begin") == {
        ("unit_of_work.py", "connection.begin"),
        ("maintenance.py", "connection.begin"),
        ("statistics.py", "store.begin"),
        ("importing.py", "seat.store.begin"),
    }
    word = re.compile(r"(^|;)\s*COMMIT\b|AUTOCOMMIT", re.IGNORECASE)
    texts = ((name, node.value) for name, node in _nodes() if isinstance(node, ast.Constant))
    assert not [(name, value) for name, value in texts if isinstance(value, str) and word.search(value)]


@pytest.mark.parametrize(
    ("file", "function", "committing", "told"),
    [
        ("unit_of_work.py", "commit", "self.connection.commit()", "self._store.on_commit"),
        ("maintenance.py", "_migrating", "transaction.commit()", "store.on_commit"),
    ],
)
def test_a_commit_has_a_point_on_both_sides(file: str, function: str, committing: str, told: str) -> None:
    (found,) = (
        node for name, node in _nodes() if name == file and isinstance(node, ast.FunctionDef) and node.name == function
    )
    lines = [line.strip() for line in ast.unparse(found).splitlines()]
    place = lines.index(committing)
    assert lines[place - 1] == f"{told}('before')"
    assert f"{told}('after')" in lines[place + 1 : place + 3]
