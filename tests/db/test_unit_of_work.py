"""The unit of work: what is kept, what is undone, what is done again, and what is said when the database is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, literal_column, select, text, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError

from db import installation, unit_of_work
from db.dialects import database_clock
from db.schema import installation_setting, operator, service_provider
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import EnvironmentFault
from tests.helpers.databases import Databases
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import fresh_store, migrated


def add_provider(uow: UnitOfWork, code: str) -> None:
    uow.connection.execute(insert(service_provider).values(code=code, name=code))


def add_providers(store: Store, *codes: str, then: Callable[[UnitOfWork], object] = UnitOfWork.commit) -> None:
    with store.begin() as uow:
        for code in codes:
            add_provider(uow, code)
        then(uow)


def providers(store: Store) -> list[str]:
    with store.read() as uow:
        return list(uow.connection.execute(select(service_provider.c.code).order_by(service_provider.c.id)).scalars())


# --- kept or undone --------------------------------------------------------------------------------------------------


def test_commit_keeps(store: Store) -> None:
    with store.begin() as uow:
        add_provider(uow, "NORTH")
        uow.commit()
    assert providers(store) == ["NORTH"]


def test_leaving_without_commit_rolls_back(store: Store) -> None:
    with store.begin() as uow:
        add_provider(uow, "NORTH")
    assert providers(store) == []


def test_an_error_rolls_back_and_comes_out_as_it_is(store: Store) -> None:
    with pytest.raises(KeyError, match="mine"):
        add_providers(store, "NORTH", then=lambda _: dict[str, int]()["mine"])
    assert providers(store) == []


def test_an_error_of_the_data_comes_out_as_it_is(store: Store) -> None:
    with pytest.raises(IntegrityError):
        add_providers(store, "NORTH", "NORTH")
    assert providers(store) == []


def test_commit_twice_raises(store: Store) -> None:
    with store.begin() as uow:
        add_provider(uow, "NORTH")
        uow.commit()
        with pytest.raises(RuntimeError, match="committed already"):
            uow.commit()
    assert providers(store) == ["NORTH"]


def test_nothing_can_be_done_after_commit(store: Store) -> None:
    with store.begin() as uow:
        uow.commit()
        with pytest.raises(InvalidRequestError):
            add_provider(uow, "NORTH")
    assert providers(store) == []


def test_savepoint_is_undone_alone(store: Store) -> None:
    with store.begin() as uow:
        add_provider(uow, "NORTH")
        with uow.savepoint():
            add_provider(uow, "HARBOR")
        with pytest.raises(IntegrityError), uow.savepoint():
            uow.connection.execute(
                insert(service_provider), [{"code": code, "name": ""} for code in ("ATLAS", "NORTH")]
            )
        with uow.savepoint():
            add_provider(uow, "POLAR")
        uow.commit()
    assert providers(store) == ["NORTH", "HARBOR", "POLAR"]


def test_a_write_inside_a_write_is_refused_before_it_waits_for_itself(store: Store) -> None:
    with store.begin(), pytest.raises(RuntimeError, match="inside a unit of work"), store.begin():
        pass
    with store.begin() as uow:  # the guard is lifted again
        add_provider(uow, "NORTH")
        uow.commit()
    assert providers(store) == ["NORTH"]


def test_a_read_sees_one_snapshot_and_waits_for_nobody(store: Store) -> None:
    count = select(func.count()).select_from(service_provider)
    with store.begin() as writer:
        add_provider(writer, "NORTH")
        with store.read() as reader:
            assert reader.connection.scalar(count) == 0
            writer.commit()
            # SQL Server: each statement has a snapshot of its own
            assert reader.connection.scalar(count) == (1 if store.engines.dialect == "mssql" else 0)
    assert providers(store) == ["NORTH"]


def test_a_file_is_read_without_the_right_to_write(databases: Databases, store: Store) -> None:
    if databases.dialect == "sqlite":
        with pytest.raises(EnvironmentFault), store.read() as uow:
            add_provider(uow, "NORTH")
    else:  # elsewhere it is rolled back
        with store.read() as uow:
            add_provider(uow, "NORTH")
    assert providers(store) == []


# --- time and settings -----------------------------------------------------------------------------------------------


def test_now_is_read_once_in_a_transaction(store: Store) -> None:
    reads: list[datetime] = []

    def clock(connection: Connection) -> datetime:
        reads.append(database_clock(connection) + timedelta(hours=len(reads)))
        return reads[-1]

    store.clock = clock
    with store.read() as uow:
        assert uow.now() == uow.now() == reads[0]
    with store.read() as uow:
        assert uow.now() == reads[1]
    assert len(reads) == 2


def test_now_is_the_databases_time_in_utc(store: Store) -> None:
    before = datetime.now(UTC)
    with store.read() as uow:
        now = uow.now()
    assert now.tzinfo is UTC
    assert before - timedelta(minutes=1) < now < datetime.now(UTC) + timedelta(minutes=1)


def test_today_is_the_date_where_the_business_is(store: Store) -> None:
    store.clock = lambda _: datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    with store.begin() as uow:
        assert uow.today().isoformat() == "2026-11-24"
        installation.write(uow, "time_zone", "Asia/Tokyo")
        uow.commit()
    with store.read() as uow:
        assert uow.today().isoformat() == "2026-11-25"


# --- done again ------------------------------------------------------------------------------------------------------


def test_run_commits_and_returns(store: Store) -> None:
    def work(uow: UnitOfWork) -> str:
        add_provider(uow, "NORTH")
        return "done"

    assert store.run(work) == "done"
    assert providers(store) == ["NORTH"]


def test_run_does_not_repeat_what_is_wrong(store: Store) -> None:
    calls = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        add_provider(uow, "NORTH")
        add_provider(uow, "NORTH")

    with pytest.raises(IntegrityError):
        store.run(work)
    assert calls == 1
    assert providers(store) == []


def _at_once(*works: Callable[[], object]) -> list[BaseException]:
    """Runs all at once; the errors that came out."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.postgres
def test_two_units_that_deadlock_are_both_done(postgres_store: Store) -> None:
    """Each holds the row that the other wants; the server ends one of them, and `run` does it again."""
    with postgres_store.begin() as uow:
        add_provider(uow, "A")
        add_provider(uow, "B")
        uow.connection.execute(text(f"ALTER DATABASE {_database(uow)} SET deadlock_timeout = '50ms'"))
        uow.commit()
    postgres_store.engines.dispose()  # new connections have the setting
    both_hold_one, one_is_done = threading.Barrier(2), threading.Event()
    tries: list[str] = []

    def renamed(mine: str, others: str) -> Callable[[UnitOfWork], None]:
        def work(uow: UnitOfWork) -> None:
            tries.append(mine)
            if tries.count(mine) > 1:
                assert one_is_done.wait(60)  # or it could take the row again before the other one has woken up
            _append(uow, mine, mine)
            if tries.count(mine) == 1:
                both_hold_one.wait(timeout=60)
            _append(uow, others, mine)

        return work

    def done(mine: str, others: str) -> None:
        postgres_store.run(renamed(mine, others))
        one_is_done.set()

    assert not _at_once(lambda: done("A", "B"), lambda: done("B", "A"))
    assert len(tries) == 3
    with postgres_store.read() as uow:
        names = uow.connection.execute(select(service_provider.c.name)).scalars()
        assert [sorted(name[1:]) for name in names] == [["A", "B"], ["A", "B"]]


def _append(uow: UnitOfWork, code: str, letter: str) -> None:
    table = service_provider
    uow.connection.execute(
        update(table).where(table.c.code == code).values(name=table.c.name + literal_column(f"'{letter}'"))
    )


def _database(uow: UnitOfWork) -> str:
    return str(uow.connection.scalar(text("SELECT current_database()")))


@pytest.mark.postgres
def test_serialisation_failure_is_done_again(postgres_store: Store) -> None:
    with postgres_store.begin() as uow:
        add_provider(uow, "A")
        uow.commit()
    tries = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        uow.connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        uow.connection.execute(select(service_provider)).all()
        if tries == 1:  # somebody else is faster
            other = threading.Thread(target=lambda: postgres_store.run(lambda uow: _append(uow, "A", "1")))
            other.start()
            other.join()
        _append(uow, "A", "2")

    postgres_store.run(work)
    assert tries == 2
    with postgres_store.read() as uow:
        assert uow.connection.scalar(select(service_provider.c.name)) == "A12"


@pytest.mark.postgres
def test_a_lock_that_is_never_released_is_named(postgres_store: Store) -> None:
    with Store(postgres_store.url, lock_timeout_s=0.05) as store:
        store.run(lambda uow: add_provider(uow, "A"))
        with postgres_store.begin() as holder:
            _append(holder, "A", "1")
            with pytest.raises(EnvironmentFault) as caught:
                store.run(lambda uow: _append(uow, "A", "2"))
        assert caught.value.code == "DATABASE_BUSY"


def _sqlite_store(path: Path, lock_timeout_s: float) -> Store:
    migrated(f"sqlite:///{path}")
    return Store(f"sqlite:///{path}", lock_timeout_s=lock_timeout_s)


def test_a_writer_waits_for_the_one_before(tmp_path: Path) -> None:
    with _sqlite_store(tmp_path / "desk.db", 60) as store:
        holds, done = threading.Event(), threading.Event()

        def holder() -> None:
            with store.begin() as uow:
                add_provider(uow, "FIRST")
                holds.set()
                assert not done.wait(0.2)
                uow.commit()

        def waiter() -> None:
            holds.wait()
            store.run(lambda uow: add_provider(uow, "SECOND"))
            done.set()

        assert not _at_once(holder, waiter)
        assert providers(store) == ["FIRST", "SECOND"]


def test_reading_then_writing_loses_no_update_on_a_file(sqlite_store: Store) -> None:
    add_providers(sqlite_store, "COUNTER")
    sqlite_store.run(lambda uow: uow.connection.execute(update(service_provider).values(name="0")))

    def count() -> None:
        for _ in range(25):

            def one_more(uow: UnitOfWork) -> None:
                now = int(uow.connection.scalar(select(service_provider.c.name)) or 0)
                uow.connection.execute(update(service_provider).values(name=str(now + 1)))

            sqlite_store.run(one_more)

    assert not _at_once(count, count, count, count)
    with sqlite_store.read() as uow:
        assert uow.connection.scalar(select(service_provider.c.name)) == "100"


def test_run_tries_again_while_a_file_is_busy(tmp_path: Path) -> None:
    with _sqlite_store(tmp_path / "desk.db", 60) as store:
        tries = 0

        def work(uow: UnitOfWork) -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                # Somebody writes behind the back of a transaction that began with a read: SQLITE_BUSY_SNAPSHOT.
                uow.connection.exec_driver_sql("COMMIT")
                uow.connection.exec_driver_sql("BEGIN DEFERRED")
                uow.connection.execute(select(service_provider)).all()
                with Store(store.url) as other:
                    other.run(lambda uow: add_provider(uow, f"OTHER-{tries}"))
            add_provider(uow, "MINE")

        store.run(work)
        assert tries == 3
        assert providers(store) == ["OTHER-1", "OTHER-2", "MINE"]


def test_a_file_that_stays_locked_is_named(tmp_path: Path) -> None:
    with _sqlite_store(tmp_path / "desk.db", 0.05) as store, Store(store.url) as other:
        calls = 0

        def work(uow: UnitOfWork) -> None:
            nonlocal calls
            calls += 1

        with other.begin(), pytest.raises(EnvironmentFault) as caught:
            store.run(work)
        assert caught.value.code == "DATABASE_LOCKED"
        assert str(tmp_path / "desk.db") in caught.value.message
        assert calls == 0


def test_run_gives_up_in_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retryable error that comes every time ends as a fault, not in an endless loop."""
    monkeypatch.setattr(unit_of_work, "MOST_TRIES", 3)
    calls = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        raise _busy(uow)

    with pytest.raises(EnvironmentFault) as caught:
        store.run(work)
    assert calls == 3
    assert caught.value.code in {"DATABASE_BUSY", "DATABASE_LOCKED"}


def _busy(uow: UnitOfWork) -> Exception:
    import sqlite3

    import psycopg
    from sqlalchemy.exc import DBAPIError

    original: Exception
    if uow.dialect == "sqlite":
        original = sqlite3.OperationalError("database is locked")
        original.sqlite_errorcode = sqlite3.SQLITE_BUSY
    else:
        original = psycopg.errors.DeadlockDetected("deadlock detected")
    return DBAPIError("UPDATE …", None, original)


# --- a server that goes away -----------------------------------------------------------------------------------------


def kill(uow: UnitOfWork) -> None:
    """Ends the connection from the server's side."""
    process = uow.connection.scalar(text("SELECT pg_backend_pid()"))
    with Store(uow.connection.engine.url.render_as_string(hide_password=False)) as other, other.read() as killer:
        killer.connection.execute(text("SELECT pg_terminate_backend(:id)"), {"id": process})


@pytest.mark.postgres
def test_a_killed_connection_is_a_fault_and_the_next_one_works(postgres_store: Store) -> None:
    def killed(uow: UnitOfWork) -> None:
        kill(uow)
        add_provider(uow, "HARBOR")

    with pytest.raises(EnvironmentFault) as caught:
        add_providers(postgres_store, "NORTH", then=killed)
    assert caught.value.code == "DATABASE_UNREACHABLE"
    assert providers(postgres_store) == []


@pytest.mark.postgres
def test_a_connection_killed_at_commit_is_a_fault(postgres_store: Store) -> None:
    calls = 0

    def work(uow: UnitOfWork) -> None:
        nonlocal calls
        calls += 1
        add_provider(uow, "NORTH")
        kill(uow)

    with pytest.raises(EnvironmentFault) as caught:
        postgres_store.run(work)
    assert caught.value.code == "DATABASE_UNREACHABLE"
    assert calls == 1, "whether a lost commit was done is not known: it is never simply done again"
    assert providers(postgres_store) == []


@pytest.mark.postgres
def test_a_server_that_stops_midway_is_a_fault_until_it_is_back(
    postgres_server: PostgresServer, postgres_store: Store
) -> None:
    store = postgres_store

    def stopped(uow: UnitOfWork) -> None:
        postgres_server.stop()
        add_provider(uow, "HARBOR")

    try:
        with pytest.raises(EnvironmentFault) as midway:
            add_providers(store, "NORTH", then=stopped)
        with pytest.raises(EnvironmentFault) as away:
            providers(store)
    finally:
        postgres_server.start()
    assert midway.value.code == away.value.code == "DATABASE_UNREACHABLE"
    assert "cannot be reached" in away.value.message
    assert providers(store) == []
    store.run(lambda uow: add_provider(uow, "POLAR"))
    assert providers(store) == ["POLAR"]


# --- installation settings -------------------------------------------------------------------------------------------


def test_settings_written_are_read(store: Store) -> None:
    with store.begin() as uow:
        before = installation.read(uow)
        installation.write(uow, "furthest_ahead_days", 30)
        installation.write(uow, "iccid_as_number", True)
        installation.write(uow, "settle_s", 2.5)
        uow.commit()
    with store.read() as uow:
        after = uow.settings()
    assert (before.furthest_ahead_days, before.iccid_as_number, before.settle_s) == (90, False, None)
    assert (after.furthest_ahead_days, after.iccid_as_number, after.settle_s) == (30, True, 2.5)


def test_a_setting_without_a_row_has_its_default_and_can_be_written(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(installation_setting.delete())
        assert installation.read(uow).max_attempts == 8
        installation.write(uow, "max_attempts", 5)
        assert installation.read(uow).max_attempts == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("settle_s", "-1"),
        ("settle_s", "soon"),
        ("settle_s", "nan"),
        ("max_attempts", 0),
        ("max_age_h", "1.5"),
        ("furthest_ahead_days", -1),
        ("furthest_ahead_days", "²"),
        ("iccid_as_number", "yes"),
        ("abort_failed_percent", 101),
        ("no_such_setting", "1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(sqlite_store: Store, name: str, value: object) -> None:
    from desktop_app.association.errors import RequestRefused

    with sqlite_store.begin() as uow:
        before = installation.read(uow)
        with pytest.raises(RequestRefused) as caught:
            installation.write(uow, name, value)
        assert name in caught.value.message
        assert installation.read(uow) == before


def test_a_stored_value_that_cannot_be_read_stops_what_depends_on_it(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(
            update(installation_setting).where(installation_setting.c.name == "time_zone").values(value="Nowhere")
        )
        uow.commit()
    with pytest.raises(EnvironmentFault) as caught, store.read() as uow:
        uow.today()
    assert caught.value.code == "SETTING_INVALID"
    assert "time_zone" in caught.value.message


def test_naive_instants_are_refused(store: Store) -> None:
    from sqlalchemy.exc import StatementError

    values = {"login": "a", "name": "A", "created_at": datetime(2026, 1, 1)}  # noqa: DTZ001 - what must not happen
    with pytest.raises(StatementError, match="no time zone"), store.begin() as uow:
        uow.connection.execute(insert(operator).values(values))


def test_instants_come_back_as_they_went_in(store: Store, databases: Databases) -> None:
    at = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
    with fresh_store(databases) as other, other.begin() as uow:
        uow.connection.execute(
            insert(operator).values(
                login="a", name="A", created_at=at.astimezone(tz=datetime.now().astimezone().tzinfo)
            )
        )
        assert uow.connection.scalar(select(operator.c.created_at)) == at
