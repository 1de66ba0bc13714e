"""A damaged database: no engine starts on it, and the one that meets it does nothing more with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from db import engine_rows
from db.engines import sqlite_path
from db.maintenance import backup
from db.schema import engine as engine_table
from db.schema import job, work_order
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.restoring import after_restore
from desktop_app.desk.seat import Seat
from desktop_app.engine import engine as engine_module
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool
from tests.engine.conftest import World, wait_for
from tests.helpers.desks import ADMINISTRATOR, INSTALLATION, Bell

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def destroy(store: Store, name: str) -> None:
    """Overwrites the first page of a table or an index in the file, under whoever has it open."""
    path = sqlite_path(store.url)
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def states(store: Store, tracking_number: str) -> set[str]:
    of_the_job = select(work_order.c.state).join(job, job.c.id == work_order.c.job_id)
    with store.read() as uow:
        return set(uow.connection.scalars(of_the_job.where(job.c.tracking_number == tracking_number)))


def test_no_engine_starts_on_a_damaged_file(world: World) -> None:
    """The page is of an index that no engine reads or writes."""
    world.submit(world.request(4))
    destroy(world.store, "ix_device_eid")
    engine = world.engine()
    with pytest.raises(EnvironmentFault) as caught:
        engine.start()
    assert caught.value.code == "DATABASE_DAMAGED"
    assert "db restored" in caught.value.what_to_do
    assert world.ledger.posts == 0
    with world.store.read() as uow:
        assert uow.connection.execute(select(engine_table)).all() == []


def test_no_engine_starts_on_a_backup_before_it_was_told_so(world: World, tmp_path: Path) -> None:
    number = world.submit(world.request(4))
    copy = backup(world.store, tmp_path / "copy.db")
    with Store(f"sqlite:///{copy}") as store:
        config = EngineConfig("work", timeout_s=2.0, settle_s=0.2, lease_s=30.0)
        with pytest.raises(EnvironmentFault) as caught:
            Engine(store, world.gateway, ThreadPool(1), config).start()
        assert caught.value.code == "DATABASE_RESTORED"
        assert "db restored" in caught.value.what_to_do
        assert states(store, number) == {"queued"}
        after_restore(Seat(store, ADMINISTRATOR), 0.2)
        engine = Engine(store, world.gateway, ThreadPool(1), config)
        engine.start()
        engine.stop()
    world.work()  # the database itself is none
    assert states(world.store, number) == {"succeeded"}


@pytest.mark.parametrize(
    ("kind", "last_one", "is_looked_at"),
    [("work", "stopped", False), ("work", "crashed", True), ("desktop", "crashed", True), ("wait", "crashed", False)],
)
def test_a_large_file_is_looked_through_after_an_unclean_end(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, last_one: str, is_looked_at: bool
) -> None:
    monkeypatch.setattr(engine_module, "LOOKED_AT_BYTES", 1)
    with world.store.begin() as uow:
        now = uow.now()
        uow.connection.execute(
            insert(engine_table).values(
                id="last", host="here", process_id=1, kind="work", started_at=now, seen_at=now - engine_rows.RUNS,
                stopped_at=now if last_one == "stopped" else None,
            )
        )  # fmt: skip
        uow.commit()
    destroy(world.store, "ix_device_eid")
    config = EngineConfig(kind, timeout_s=2.0, settle_s=0.2, lease_s=30.0)
    engine = Engine(world.store, world.gateway, ThreadPool(1), config)
    if is_looked_at:
        with pytest.raises(EnvironmentFault):
            engine.start()
    else:
        engine.start()
        engine.stop()


def test_a_server_is_not_asked_how_the_last_engine_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(engine_rows, "was_left_running", asked.append)
    monkeypatch.setattr(engine_module, "sqlite_path", lambda _url: None)
    engine = world.engine()
    engine.start()
    engine.stop()
    assert asked == []


def test_an_engine_that_meets_damage_does_nothing_more_and_the_desk_says_so(world: World) -> None:
    """What is damaged is met by the first device that is recorded: the page is of an index of the history."""
    store = Store(world.store.url)
    engine = Engine(store, world.gateway, ThreadPool(4), EngineConfig("work", 2.0, 0.2, 30.0))
    desk = LocalDesk(
        Seat(world.store, ADMINISTRATOR), INSTALLATION, billing=world.gateway, wake=Bell(), close=Bell(),
        damage=lambda: engine.damage,
    )  # fmt: skip
    engine.start()
    try:
        desk.changes()
        destroy(world.store, "ix_device_history_at")
        number = world.submit(world.request(30))
        engine.wake()
        wait_for(lambda: engine.damage is not None)
        with pytest.raises(EnvironmentFault) as caught:
            desk.changes()
        assert caught.value.code == "DATABASE_DAMAGED"
        wait_for(lambda: not any(thread.is_alive() for thread in engine._threads))
        # What could not be recorded is not said to be done, nor is any of it given back to be done again.
        assert states(world.store, number) <= {"queued", "running"}
        another = world.submit(world.request(5), key="another")
        engine.wake()
    finally:
        engine.stop()
        store.close()
    assert world.ledger.posts > 0
    assert world.ledger.twice() == []
    assert states(world.store, number) <= {"queued", "running"}
    assert states(world.store, another) == {"queued"}
    with world.store.read() as uow:
        assert uow.connection.scalars(select(engine_table.c.stopped_at)).all() == [None], "nothing more is written"
