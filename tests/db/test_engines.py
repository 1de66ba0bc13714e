"""Opening a database: what is refused, and with which words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyodbc  # type: ignore[import-not-found]
import pytest
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from db.engines import RESTORE_FILE, as_environment_fault, is_retryable, open_engines, shown, sqlite_path
from db.maintenance import state, upgrade
from db.schema import service_provider
from db.unit_of_work import Store
from desktop_app.association.errors import DAMAGED, EnvironmentFault
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import migrated

# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "DATABASE_URL_INVALID"),
        ("desk.db", "DATABASE_URL_INVALID"),
        ("sqlite://", "DATABASE_URL_INVALID"),
        ("sqlite:///:memory:", "DATABASE_URL_INVALID"),
        ("sqlite:///file:desk.db?uri=true", "DATABASE_URL_INVALID"),
        ("postgresql+psycopg://host:port/desk", "DATABASE_URL_INVALID"),
        ("mysql+pymysql://host/desk", "DATABASE_KIND_UNKNOWN"),
        ("oracle://host/desk", "DATABASE_KIND_UNKNOWN"),
    ],
)
def test_a_url_that_means_nothing_here_is_refused(url: str, code: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        open_engines(url)
    assert caught.value.code == code
    assert caught.value.what_to_do


def test_opening_a_server_connects_to_nothing() -> None:
    for url in ("postgresql+psycopg://nowhere.invalid/desk", "mssql+pyodbc://nowhere.invalid/desk?driver=none"):
        engines = open_engines(url)
        assert engines.dialect == url.split("+")[0]
        engines.dispose()


def test_shown_never_holds_a_password() -> None:
    assert "geheim" not in shown("postgresql+psycopg://desk:geheim@host/desk")
    assert shown("sqlite:////srv/desk.db") == str(Path("/srv/desk.db"))


def test_a_relative_path_is_not_moved_by_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("sqlite:///desk.db") as store:
        upgrade(store)
        (tmp_path / "elsewhere").mkdir()
        store.engines.dispose()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.run(lambda uow: uow.connection.execute(insert(service_provider).values(code="A", name="A")))
    assert sqlite_path("sqlite:///desk.db") == tmp_path / "elsewhere" / "desk.db"
    assert not (tmp_path / "elsewhere" / "desk.db").exists()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as connection:
        assert connection.execute("SELECT code FROM service_provider").fetchall() == [("A",)]


@pytest.mark.parametrize("name", ["with space & 100%.db", "käse #1?.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    url = make_url("sqlite://").set(database=str(tmp_path / name)).render_as_string()
    migrated(url)
    assert [path.name for path in tmp_path.iterdir()] == [name]


# --- files that cannot be used ---------------------------------------------------------------------------------------


def _missing(path: Path) -> None:
    pass


def _missing_with_its_folder(path: Path) -> None:
    path.parent.rmdir()


def _folder(path: Path) -> None:
    path.mkdir()


def _a_letter(path: Path) -> None:
    path.write_text("Dear Sir or Madam, " * 200)


def _cut(path: Path) -> None:
    migrated(f"sqlite:///{path}")
    os.truncate(path, path.stat().st_size // 2 + 100)


def _overwritten(path: Path) -> None:
    migrated(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.seek(4096)  # behind the page that says that it is a database
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def _without_its_beginning(path: Path) -> None:
    migrated(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.write(bytes(100))


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (_missing, "DATABASE_MISSING"),
        (_missing_with_its_folder, "DATABASE_MISSING"),
        (_folder, "DATABASE_NOT_OPENED"),
        (_a_letter, "DATABASE_NOT_A_DATABASE"),
        (_without_its_beginning, "DATABASE_NOT_A_DATABASE"),
        (_cut, "DATABASE_DAMAGED"),
        (_overwritten, "DATABASE_DAMAGED"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, prepare: Callable[[Path], None], code: str) -> None:
    path = tmp_path / "folder" / "desk.db"
    path.parent.mkdir()
    prepare(path)
    with Store(f"sqlite:///{path}") as store:
        for begin in (store.read, store.begin):
            with pytest.raises(EnvironmentFault) as caught, begin() as uow:
                uow.connection.execute(select(service_provider)).all()
            assert caught.value.code == code
            assert str(path) in caught.value.message
            assert caught.value.what_to_do
            if caught.value.code in DAMAGED:  # a new, empty one in its place would be taken for it
                assert caught.value.what_to_do.endswith(RESTORE_FILE)
    if code == "DATABASE_MISSING":
        assert not path.exists(), "a mistyped path does not become a database"


def test_a_locked_file_is_named_by_reads_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    url = f"sqlite:///{path}"
    migrated(url)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, Store(url, lock_timeout_s=0.05) as store:
        holder.execute("PRAGMA locking_mode=EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("DELETE FROM service_provider")
        for begin in (store.read, store.begin):
            with pytest.raises(EnvironmentFault) as caught, begin() as uow:
                uow.settings()
            assert caught.value.code == "DATABASE_LOCKED"
        with pytest.raises(EnvironmentFault) as caught:
            state(store)
        assert caught.value.code == "DATABASE_LOCKED"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are set otherwise on Windows")
def test_a_file_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Seen through SQLite's own read-only mode, as the tests may run as a user whom no right stops."""
    path = tmp_path / "desk.db"
    migrated(f"sqlite:///{path}")
    with Store(f"sqlite:///{path}") as store, store.read() as uow:
        with pytest.raises(DBAPIError) as caught:
            uow.connection.execute(insert(service_provider).values(code="A", name="A"))
        fault = as_environment_fault(caught.value, store.url)
    assert fault is not None
    assert fault.code == "DATABASE_READ_ONLY"


def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    migrated(f"sqlite:///{path}")
    with Store(f"sqlite:///{path}") as store:

        def fill(most_pages: int) -> None:
            with store.begin() as uow:
                uow.connection.exec_driver_sql(f"PRAGMA max_page_count={most_pages}")
                for number in range(5000):
                    uow.connection.execute(insert(service_provider).values(code=f"{number}", name="x" * 120))
                uow.commit()

        with pytest.raises(EnvironmentFault) as caught:
            fill(1)
        assert caught.value.code == "DISK_FULL"
        with store.read() as uow:
            assert uow.connection.execute(text("SELECT count(*) FROM service_provider")).scalar_one() == 0
        fill(1_000_000)


# --- what a session of PostgreSQL is told ----------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("of_the_database", "in_ours"),
    [
        ({}, {"lock_timeout": "30s", "idle_in_transaction_session_timeout": "5min"}),
        ({"synchronous_commit": "off"}, {"synchronous_commit": "on"}),
        # Both keep a commit over a crash of this server; how many standbys have it is the administrator's decision.
        ({"synchronous_commit": "local"}, {"synchronous_commit": "local"}),
        ({"synchronous_commit": "remote_apply"}, {"synchronous_commit": "remote_apply"}),
        (
            {"idle_in_transaction_session_timeout": "'90min'"},
            {"idle_in_transaction_session_timeout": "5min"},
        ),
        (
            {"idle_in_transaction_session_timeout": "'20s'"},
            {"idle_in_transaction_session_timeout": "20s"},
        ),
    ],
)
def test_what_the_database_sets_is_kept_where_it_is_as_safe(
    postgres_store: Store, of_the_database: dict[str, str], in_ours: dict[str, str]
) -> None:
    with postgres_store.begin() as uow:
        name = uow.connection.scalar(text("SELECT current_database()"))
        for setting, value in of_the_database.items():
            uow.connection.execute(text(f"ALTER DATABASE {name} SET {setting} = {value}"))
        uow.commit()
    postgres_store.engines.dispose()  # new sessions have the settings
    for begin in (postgres_store.read, postgres_store.begin):
        with begin() as uow:
            found = {setting: uow.connection.scalar(text(f"SHOW {setting}")) for setting in in_ours}
        assert found == in_ours


@pytest.mark.postgres
def test_what_may_be_idle_is_not_ended_and_only_that(postgres_store: Store) -> None:
    asked = text("SHOW idle_in_transaction_session_timeout")
    with postgres_store.begin() as uow:
        uow.may_be_idle()
        assert uow.connection.scalar(asked) == "0"
    with postgres_store.begin() as uow:
        assert uow.connection.scalar(asked) == "5min"


@pytest.mark.postgres
def test_what_was_committed_outlives_a_crash_of_a_server_that_gives_that_up_for_speed() -> None:
    server = PostgresServer(synchronous_commit="off", wal_writer_delay="10s")
    try:
        server.start()
        with Store(server.url(server.create_database())) as store:
            upgrade(store)
            store.run(lambda uow: uow.connection.execute(insert(service_provider).values(code="A", name="A")))
            store.engines.dispose()
            server.stop(immediate=True)
            server.start()
            with store.read() as uow:
                assert uow.connection.scalars(select(service_provider.c.code)).all() == ["A"]
    finally:
        server.close()


# --- which error is which --------------------------------------------------------------------------------------------

ODBC = "[Microsoft][ODBC Driver 18 for SQL Server]"


@pytest.mark.parametrize(
    ("state_", "words", "retryable", "code"),
    [
        ("40001", f"{ODBC}[SQL Server]Transaction was deadlocked. (1205) (SQLExecDirectW)", True, "DATABASE_BUSY"),
        ("42000", f"{ODBC}[SQL Server]Snapshot isolation aborted. (3960) (SQLExecDirectW)", True, "DATABASE_BUSY"),
        ("42000", f"{ODBC}[SQL Server]Lock request time out exceeded. (1222) (SQLExecDirectW)", True, "DATABASE_BUSY"),
        ("08S01", f"{ODBC}Communication link failure (10054) (SQLExecDirectW)", False, "DATABASE_UNREACHABLE"),
        ("HYT00", f"{ODBC}Login timeout expired (0) (SQLDriverConnect)", False, "DATABASE_UNREACHABLE"),
        ("28000", f"{ODBC}[SQL Server]Login failed for user 'desk'. (18456)", False, "DATABASE_LOGIN_REFUSED"),
        ("42000", f'{ODBC}[SQL Server]Cannot open database "desk". (4060)', False, "DATABASE_NOT_THERE"),
        ("42000", f"{ODBC}[SQL Server]The transaction log is full. (9002)", False, "DISK_FULL"),
        ("42000", f"{ODBC}[SQL Server]INSERT permission was denied. (229)", False, "DATABASE_RIGHT_MISSING"),
        ("HYT00", f"{ODBC}[SQL Server]Lock request time out exceeded. (1222) (SQLExecDirectW)", True, "DATABASE_BUSY"),
        ("42000", f"{ODBC}[SQL Server]Snapshot: metadata changed. (3961) (SQLExecDirectW)", True, "DATABASE_BUSY"),
        ("42000", f"{ODBC}[SQL Server]The service has encountered an error. (40197)", False, "DATABASE_UNREACHABLE"),
        ("42000", f"{ODBC}[SQL Server]The service is currently busy. (40501)", False, "DATABASE_UNREACHABLE"),
        ("HY000", f"{ODBC}[SQL Server]Database is not currently available. (40613)", False, "DATABASE_UNREACHABLE"),
        ("HY000", f"{ODBC}[SQL Server]The session is in the kill state. (596)", False, "DATABASE_UNREACHABLE"),
        ("08S01", "[FreeTDS][SQL Server]Write to the server failed (20006)", False, "DATABASE_UNREACHABLE"),
        (
            "01000",
            "[unixODBC][Driver Manager]Can't open lib : file not found (0)",
            False,
            "DATABASE_DRIVER_MISSING",
        ),
        ("IM002", "[Microsoft][ODBC Driver Manager] Data source name not found (0)", False, "DATABASE_DRIVER_MISSING"),
        ("08001", f"{ODBC}SSL Provider: certificate verify failed:self-signed", False, "DATABASE_CERTIFICATE_REFUSED"),
        ("08001", f"{ODBC}SSL Provider: unsupported protocol (0)", False, "DATABASE_ENCRYPTION_FAILED"),
        (
            "42000",
            f"{ODBC}[SQL Server]Deadlock. (1205) (SQLExecDirectW); [01000] End. (3621)",
            True,
            "DATABASE_BUSY",
        ),
        ("23000", f"{ODBC}[SQL Server]The duplicate key value is (1205). (2627) (SQLExecDirectW)", False, None),
        ("42000", f"{ODBC}[SQL Server]Could not find stored procedure 'x'. (2812)", False, None),
        ("42S02", f"{ODBC}[SQL Server]Invalid object name 'x'. (208)", False, None),
    ],
)
def test_errors_of_sql_server_are_told_apart(state_: str, words: str, retryable: bool, code: str | None) -> None:
    error = OperationalError("SELECT 1", None, pyodbc.OperationalError(state_, words))
    fault = as_environment_fault(error, "mssql+pyodbc://desk:geheim@host/desk")
    assert is_retryable(error) is retryable
    assert (fault.code if fault else None) == code
    assert fault is None or "geheim" not in fault.message + fault.what_to_do


def test_errors_of_data_and_program_are_no_faults(store: Store) -> None:
    for kind, statement in (
        (IntegrityError, "INSERT INTO service_provider (code, name) VALUES ('A', NULL)"),
        ((ProgrammingError, OperationalError), "SELECT * FROM no_such_table"),
        ((ProgrammingError, OperationalError), "SELEKT 1"),
    ):
        with pytest.raises(kind), store.begin() as uow:
            uow.connection.execute(text(statement))


@pytest.mark.postgres
def test_errors_of_postgresql_are_told_apart(postgres_store: Store) -> None:
    with pytest.raises(DataError), postgres_store.begin() as uow:
        uow.connection.execute(text("SELECT 1 / 0"))
    with pytest.raises(ProgrammingError), postgres_store.begin() as uow:
        uow.connection.exec_driver_sql("SELECT %s", (1, 2))


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"database": "no_such_database"}, "DATABASE_NOT_THERE", "no_such_database"),
        ({"username": "stranger", "password": "geheim"}, "DATABASE_LOGIN_REFUSED", "stranger"),
        ({"query": {"host": "127.0.0.1", "port": "1"}}, "DATABASE_UNREACHABLE", "refused"),
        ({"query": {"host": "nowhere.invalid"}}, "DATABASE_UNREACHABLE", "nowhere.invalid"),
    ],
)
def test_a_postgresql_that_cannot_be_used_is_named(
    postgres_store: Store, change: dict[str, object], code: str, word: str
) -> None:
    url = make_url(postgres_store.url).set(**change).render_as_string(hide_password=False)  # type: ignore[arg-type]
    with Store(url) as store:
        with pytest.raises(EnvironmentFault) as caught:
            state(store)
        assert caught.value.code == code
        assert word in caught.value.message
        assert "geheim" not in caught.value.message
        with pytest.raises(EnvironmentFault) as caught, store.begin():
            pass
        assert caught.value.code == code


@pytest.mark.postgres
def test_a_right_that_is_missing_is_named(postgres_store: Store) -> None:
    with postgres_store.begin() as uow:
        uow.connection.execute(text("DROP ROLE IF EXISTS reader"))
        uow.connection.execute(text("CREATE ROLE reader LOGIN"))
        uow.connection.execute(text("GRANT SELECT ON service_provider TO reader"))
        uow.commit()
    url = make_url(postgres_store.url).set(username="reader").render_as_string()
    with Store(url) as store, store.read() as uow:
        assert uow.connection.execute(text("SELECT * FROM service_provider")).all() == []
    with Store(url) as store:
        with pytest.raises(EnvironmentFault) as caught:
            store.run(lambda uow: uow.connection.execute(insert(service_provider).values(code="A", name="A")))
        assert caught.value.code == "DATABASE_RIGHT_MISSING"
        assert "service_provider" in caught.value.message
    with postgres_store.begin() as uow:
        uow.connection.execute(text("DROP OWNED BY reader"))
        uow.connection.execute(text("DROP ROLE reader"))
        uow.commit()
