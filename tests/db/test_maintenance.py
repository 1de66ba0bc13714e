"""Migrations, backups, and databases that are not this program's own."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text

from db import installation, maintenance
from db.dialects import wait_for_migrations
from db.engines import sqlite_path
from db.integrity import check
from db.maintenance import HEAD, REVISIONS, DatabaseState, Standing, Upgraded, migrate, require_current, state, upgrade
from db.schema import metadata, service_provider
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import InstallationSettings
from tests.helpers.databases import Databases
from tests.helpers.stores import demo_store
from tests.helpers.virtual_time import Crashed, crash

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_store(database_url: str):
    with Store(database_url) as store:
        yield store


# --- the chain -------------------------------------------------------------------------------------------------------


def test_the_known_revisions_are_the_chain(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'desk.db'}") as store:
        upgrade(store)
        with store.engines.write.connect() as connection:
            script = ScriptDirectory.from_config(maintenance._config(connection))
    chain = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(chain)) == REVISIONS
    assert script.get_current_head() == HEAD


def test_nothing_becomes_the_schema(empty_store: Store) -> None:
    assert state(empty_store) == DatabaseState(Standing.NOTHING)
    assert upgrade(empty_store) == Upgraded(None, HEAD)
    assert state(empty_store) == DatabaseState(Standing.CURRENT, HEAD)
    require_current(empty_store)
    assert upgrade(empty_store) == Upgraded(HEAD, HEAD)


def test_up_down_up(empty_store: Store) -> None:
    upgrade(empty_store)
    first = _catalogue(empty_store)
    assert migrate(empty_store, "base") == HEAD
    assert state(empty_store).standing is Standing.NOTHING
    assert set(_catalogue(empty_store)) <= {"alembic_version", "alembic_version_pkc"}
    assert migrate(empty_store, HEAD) is None
    assert _catalogue(empty_store) == first


def test_every_revision_goes_up_and_down_with_data_in_it(databases: Databases) -> None:
    with demo_store(databases) as store:
        catalogues, rows = {HEAD: _catalogue(store)}, _rows(store)
        for revision in reversed(REVISIONS[:-1]):
            migrate(store, revision)
            catalogues[revision] = _catalogue(store)
        for revision in REVISIONS[1:]:
            migrate(store, revision)
            assert _catalogue(store) == catalogues[revision]
        assert _rows(store) == rows
        assert check(store) == ()


def _rows(store: Store) -> dict[str, list[str]]:
    """All that is in the database."""
    with store.read() as uow:
        return {
            name: sorted(map(str, uow.connection.execute(select(table)))) for name, table in metadata.tables.items()
        }


def test_head_is_the_schema(empty_store: Store, databases: Databases) -> None:
    """By Alembic's comparison, and by the server's own description of every table, index and constraint."""
    upgrade(empty_store)
    with empty_store.engines.write.connect() as connection:
        options = {"compare_type": True, "compare_server_default": databases.dialect != "sqlite"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    migrated = _catalogue(empty_store)
    migrated = {name: what for name, what in migrated.items() if not name.startswith("alembic_version")}
    with databases.empty() as url, Store(url) as other:
        if (path := sqlite_path(url)) is not None:
            path.touch()
        metadata.create_all(other.engines.write)
        assert migrated == _catalogue(other)
    assert {f"table {name}" for name in metadata.tables} <= set(migrated)


def _catalogue(store: Store) -> dict[str, str]:
    """Every table, index and constraint as the server describes it."""
    with store.engines.read.connect() as connection:
        if store.engines.dialect == "sqlite":
            rows = connection.execute(
                text("SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_autoindex%'")
            )
            return {str(name).replace("table alembic", "alembic"): _in_any_order(str(sql)) for name, sql in rows}
        return _postgresql_catalogue(connection)


def _in_any_order(sql: str) -> str:
    """One statement with its lines sorted: in which order a table's foreign keys are written means nothing, and where
    tables refer to each other in a circle it is not always the same."""
    return " ".join(sorted(" ".join(line.split()).rstrip(",").rstrip() for line in sql.splitlines()))


def _postgresql_catalogue(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        text("""
            SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL
            SELECT conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
            UNION ALL
            SELECT 'table ' || table_name, string_agg(
                concat_ws(
                    ' ', column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity
                ), ', ' ORDER BY column_name)
            FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name
        """)
    )
    return {str(name).replace("table alembic", "alembic"): str(what) for name, what in rows}


def test_a_new_database_holds_the_settings_as_the_program_means_them(empty_store: Store) -> None:
    upgrade(empty_store)
    with empty_store.read() as uow:
        rows = uow.connection.execute(text("SELECT name, value FROM installation_setting")).all()
        assert uow.settings() == InstallationSettings()
    expected = InstallationSettings()
    meant = {name: installation.as_text(getattr(expected, name)) for name in expected.__slots__}
    assert dict(rows).items() <= meant.items()  # one that came later has no row until it is set


def test_a_start_on_an_up_to_date_database_does_not_load_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    with Store(url) as store:
        upgrade(store)
    program = (
        "import sys; from db.maintenance import upgrade, require_current; from db.unit_of_work import Store\n"
        f"with Store({url!r}) as store: require_current(store); print(upgrade(store).backup_path)\n"
        "assert not [name for name in sys.modules if name.startswith(('alembic', 'mako'))]"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


STARTED = (
    "import sys; from db.maintenance import upgrade; from db.unit_of_work import Store\n"
    "print('ready', flush=True); sys.stdin.read(1)\n"
    "with Store(sys.argv[1]) as store: done = upgrade(store); print(done.before, done.after, done.backup_path)"
)


def _upgraded_by_several_processes(url: str, count: int) -> list[tuple[str, str, str]]:
    """What so many processes did that upgraded the same database at the same moment: before, after, backup."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STARTED, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, answers
    return [tuple(out.split()) for out, _ in answers]  # type: ignore[misc]


def test_processes_that_start_at_once_make_one_database(database_url: str) -> None:
    done = _upgraded_by_several_processes(database_url, 2)
    assert {after for _, after, _ in done} == {HEAD}
    assert [before for before, _, _ in done].count("None") == 1, "one has made it, the other found it"
    with Store(database_url) as store:
        require_current(store)


def test_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    with Store(database_url) as store:
        migrate(store, REVISIONS[0])
        _fill(store)
    done = _upgraded_by_several_processes(database_url, 2)
    assert {after for _, after, _ in done} == {HEAD}
    assert [before for before, _, _ in done].count(REVISIONS[0]) == 1
    path = sqlite_path(database_url)
    copies = [copy for _, _, copy in done if copy != "None"]
    assert len(copies) == (0 if path is None else 1), "whoever migrated has made a copy, and nobody else"
    with Store(database_url) as store, store.read() as uow:
        assert uow.connection.execute(text("SELECT count(*) FROM device_history")).scalar_one() == 2


@contextmanager
def _waiting_for_the_lock(store: Store, work: Callable[[], None]) -> Iterator[Connection]:
    """``work`` waits in a thread for the lock of migrations, which is held inside on a connection that commits."""
    thread = threading.Thread(target=work)
    with store.engines.write.begin() as connection:
        wait_for_migrations(connection)
        thread.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not connection.scalar(waiting):
            assert thread.is_alive()
        yield connection
    thread.join()


@pytest.mark.postgres
def test_desktops_take_turns_to_migrate(postgres_url: str) -> None:
    """While one holds the lock, the other waits and then finds nothing left to do."""
    with Store(postgres_url) as one, Store(postgres_url) as other:
        done: list[Upgraded] = []
        with _waiting_for_the_lock(one, lambda: done.append(upgrade(other))):
            assert not done
        assert done == [Upgraded(None, HEAD)]
        require_current(one)


@pytest.mark.postgres
def test_a_desktop_that_waited_for_a_newer_one_is_told(postgres_store: Store) -> None:
    migrate(postgres_store, REVISIONS[0])
    told: list[str] = []

    def late() -> None:
        with Store(postgres_store.url) as other:
            try:
                upgrade(other)
            except EnvironmentFault as fault:
                told.append(fault.code)

    with _waiting_for_the_lock(postgres_store, late) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    assert told == ["DATABASE_TOO_NEW"]
    assert state(postgres_store) == DatabaseState(Standing.NEW, "0099")


# --- a later migration -----------------------------------------------------------------------------------------------

LATER = """
from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
before = import_module("db.migrations.versions.0001_initial")


def upgrade():
    with op.batch_alter_table("device", copy_from=before.device) as batch:
        batch.add_column(sa.Column("colour", sa.Unicode(20), nullable=False, server_default="blue"))
        batch.alter_column("name", type_=sa.Unicode(200), existing_type=sa.Unicode(120))


def downgrade():
    with op.batch_alter_table("device", copy_from=before.device) as batch:
        batch.alter_column("name", type_=sa.Unicode(120), existing_type=sa.Unicode(200))
    if op.get_bind().dialect.name != "sqlite":
        op.drop_column("device", "colour")
"""


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with one more migration, which builds a table anew that others refer to."""
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "db" / "migrations", folder)
    (folder / "versions" / "0003_later.py").write_text(LATER)

    def config(connection: Connection) -> Any:
        made = original(connection)
        made.set_main_option("script_location", str(folder))
        return made

    original = maintenance._config
    monkeypatch.setattr(maintenance, "_config", config)
    monkeypatch.setattr(maintenance, "REVISIONS", ("0001", "0002", "0003"))
    monkeypatch.setattr(maintenance, "HEAD", "0003")


def _fill(store: Store) -> None:
    with store.begin() as uow:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        uow.connection.execute(insert(service_provider).values(id=1, code="A", name="A"))
        device = metadata.tables["device"]
        history = metadata.tables["device_history"]
        for number in (1, 2):
            values = {"id": number, "service_provider_id": 1, "iccid": f"89{number}", "status": "active"}
            uow.connection.execute(insert(device).values(**values, changed_at=at))
            uow.connection.execute(
                insert(history).values(device_id=number, at=at, event="assigned", operator_login="x")
            )
        uow.commit()


def test_an_old_database_is_copied_and_brought_up(store: Store, later: None, databases: Databases) -> None:
    _fill(store)
    before = _catalogue(store)
    assert state(store) == DatabaseState(Standing.OLD, "0002")
    with pytest.raises(EnvironmentFault) as caught:
        require_current(store)
    assert caught.value.code == "DATABASE_TOO_OLD"
    assert "db upgrade" in caught.value.what_to_do

    done = upgrade(store)

    assert (done.before, done.after) == ("0002", "0003")
    with store.read() as uow:
        assert uow.connection.execute(text("SELECT colour FROM device")).scalars().all() == ["blue", "blue"]
        assert uow.connection.execute(text("SELECT count(*) FROM device_history")).scalar_one() == 2
    after = _catalogue(store)
    device_table = re.compile(r"\bdevice\b|alembic")
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert {name for name in changed if not device_table.search(name)} == set(), "other tables are as they were"
    assert {name for name in before if "ix_" in name or "uq_" in name} <= set(after), "no index is lost"
    path = sqlite_path(store.url)
    if path is None:
        assert done.backup_path is None
    else:
        assert done.backup_path is not None
        assert done.backup_path.parent == path.parent
        with Store(f"sqlite:///{done.backup_path}") as copy:
            assert _catalogue(copy) == before
            assert state(copy) == DatabaseState(Standing.OLD, "0002")
        with pytest.raises(Exception, match="FOREIGN KEY"), store.begin() as uow:  # they are on again
            uow.connection.execute(text("DELETE FROM device"))


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    store: Store, later: None, tmp_path: Path, databases: Databases
) -> None:
    script = tmp_path / "migrations" / "versions" / "0003_later.py"
    script.write_text(LATER.replace("def downgrade", "    op.execute('DELETE FROM no_such_table')\n\n\ndef downgrade"))
    _fill(store)
    before = _catalogue(store)
    with pytest.raises(Exception, match="no_such_table"):
        upgrade(store)
    assert _catalogue(store) == before
    assert state(store).revision == "0002"
    with store.read() as uow:
        assert uow.connection.execute(text("SELECT count(*) FROM device_history")).scalar_one() == 2


def test_a_migration_that_orphans_rows_is_undone(tmp_path: Path, later: None) -> None:
    script = tmp_path / "migrations" / "versions" / "0003_later.py"
    script.write_text(LATER.replace("def downgrade", "    op.execute('DELETE FROM device')\n\n\ndef downgrade"))
    with Store(f"sqlite:///{tmp_path / 'desk.db'}") as store:
        migrate(store, "0002")
        _fill(store)
        with pytest.raises(AssertionError, match="without its parent"):
            upgrade(store)
        assert state(store).revision == "0002"
        with store.read() as uow:
            assert uow.connection.execute(text("SELECT count(*) FROM device")).scalar_one() == 2


# --- not for this program --------------------------------------------------------------------------------------------


def test_a_database_of_a_newer_program_is_refused_untouched(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        uow.commit()
    assert state(store) == DatabaseState(Standing.NEW, "0099")
    for work in (require_current, upgrade):
        with pytest.raises(EnvironmentFault) as caught:
            work(store)
        assert caught.value.code == "DATABASE_TOO_NEW"
        assert "0099" in caught.value.message
        assert "newer version" in caught.value.what_to_do
    assert state(store).revision == "0099"


@pytest.mark.parametrize("version", [None, "3a5f0c1d2e4b", "0001"])
def test_a_database_of_another_program_is_refused_untouched(empty_store: Store, version: str | None) -> None:
    if (path := sqlite_path(empty_store.url)) is not None:
        path.touch()
    with empty_store.begin() as uow:
        uow.connection.execute(text("CREATE TABLE job (title VARCHAR(10))"))
        if version is not None:
            uow.connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            uow.connection.execute(text(f"INSERT INTO alembic_version VALUES ('{version}')"))
        uow.commit()
    assert state(empty_store).standing is Standing.FOREIGN
    for work in (require_current, upgrade):
        with pytest.raises(EnvironmentFault) as caught:
            work(empty_store)
        assert caught.value.code == "DATABASE_NOT_A_DATABASE"
    assert state(empty_store).standing is Standing.FOREIGN


def test_work_without_a_database_is_refused_and_makes_none(empty_store: Store) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        require_current(empty_store)
    assert caught.value.code == "DATABASE_MISSING"
    assert "db upgrade" in caught.value.what_to_do
    assert state(empty_store).standing is Standing.NOTHING


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'new' / 'folder' / 'desk.db'}") as store:
        upgrade(store)
        require_current(store)


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Store(f"sqlite:///{tmp_path / 'file' / 'desk.db'}") as store, pytest.raises(EnvironmentFault) as caught:
        upgrade(store)
    assert caught.value.code == "DATABASE_NOT_MADE"
    assert str(tmp_path / "file" / "desk.db") in caught.value.message


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_that_ends_around_the_commit_of_a_migration_leaves_all_of_it_or_nothing(
    empty_store: Store, side: str
) -> None:
    migrate(empty_store, "0001")
    _fill(empty_store)
    catalogue, rows = _catalogue(empty_store), _rows(empty_store)
    nothing, empty_store.on_commit = empty_store.on_commit, crash(side, 1)
    with pytest.raises(Crashed):
        upgrade(empty_store)
    empty_store.on_commit = nothing
    if side == "before":
        assert state(empty_store) == DatabaseState(Standing.OLD, "0001")
        assert (_catalogue(empty_store), _rows(empty_store)) == (catalogue, rows)
    else:
        assert state(empty_store) == DatabaseState(Standing.CURRENT, HEAD)
    assert upgrade(empty_store).after == HEAD
    assert check(empty_store) == ()
    path = sqlite_path(empty_store.url)
    if path is not None:
        assert maintenance.damage(path) == ()


# --- damage and backups ----------------------------------------------------------------------------------------------


def _with_damage(path: Path) -> None:
    """A file that opens, and whose version can be read, with one page of a table destroyed."""
    with Store(f"sqlite:///{path}") as store:
        migrate(store, "0001")
        _fill(store)
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'device_history'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute("PRAGMA journal_mode=DELETE")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))


def test_a_damaged_file_is_not_migrated(tmp_path: Path, later: None) -> None:
    path = tmp_path / "desk.db"
    _with_damage(path)
    before = path.read_bytes()
    with Store(f"sqlite:///{path}") as store, pytest.raises(EnvironmentFault) as caught:
        upgrade(store)
    assert caught.value.code == "DATABASE_DAMAGED"
    assert "last backup" in caught.value.what_to_do
    assert path.read_bytes() == before
    assert list(tmp_path.glob("desk*.db")) == [path], "and no copy of it is taken for a backup"


def test_a_file_is_looked_through_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    _with_damage(path)
    size = path.stat().st_size
    with Store(f"sqlite:///{path}") as store:
        maintenance.require_sound(store, size - 1)
        with pytest.raises(EnvironmentFault) as caught:
            maintenance.require_sound(store, size)
    assert caught.value.code == "DATABASE_DAMAGED"
    for said in ("-wal and -shm", "last backup", "db restored"):
        assert said in caught.value.what_to_do


def test_damage_is_told(tmp_path: Path) -> None:
    _with_damage(tmp_path / "damaged.db")
    assert maintenance.damage(tmp_path / "damaged.db")
    (tmp_path / "letter.db").write_text("Dear Sir or Madam, " * 100)
    assert maintenance.damage(tmp_path / "letter.db")
    with Store(f"sqlite:///{tmp_path / 'sound.db'}") as store:
        upgrade(store)
    assert maintenance.damage(tmp_path / "sound.db") == ()
    with pytest.raises(EnvironmentFault) as caught:
        maintenance.damage(tmp_path / "missing.db")
    assert caught.value.code == "DATABASE_MISSING"


def test_a_backup_is_whole_while_others_write(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'desk.db'}") as store:
        upgrade(store)
        _fill(store)
        with store.begin() as uow:  # not committed: not in the copy
            uow.connection.execute(insert(service_provider).values(code="B", name="B"))
            copy = maintenance.backup(store, tmp_path / "copy.db")
            uow.commit()
        with pytest.raises(ValueError, match="cannot copy"):
            maintenance.backup(store, copy)
    assert {path.name for path in tmp_path.iterdir()} == {"desk.db", "copy.db"}, "no log beside the copy"
    with Store(f"sqlite:///{copy}") as other, other.read() as uow:
        assert uow.connection.execute(select(service_provider.c.code)).scalars().all() == ["A"]


FULL_DISK = (
    "import resource, sys; from db.maintenance import upgrade; from db.unit_of_work import Store\n"
    "from desktop_app.association.errors import EnvironmentFault\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # no file can grow beyond it
    "with Store(sys.argv[1]) as store:\n"
    "    try: upgrade(store)\n"
    "    except EnvironmentFault as fault: print(fault.code, fault.what_to_do)"
)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
def test_a_disk_that_is_full_of_the_copy_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with Store(f"sqlite:///{path}") as store:
        migrate(store, REVISIONS[0])
        _fill(store)
    before = path.read_bytes()
    assert len(before) > 100_000
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, f"sqlite:///{path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("BACKUP_FAILED See that there is room on the disk"), done.stderr
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["desk.db"], "nothing that could be taken for a copy"


def test_a_copy_put_back_in_its_place_works(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    with Store(f"sqlite:///{path}") as store:
        migrate(store, REVISIONS[0])
        _fill(store)
        first = upgrade(store)
        assert first.backup_path is not None
        assert re.fullmatch(r"desk\.schema-0001\.\d{8}T\d{12}\.db", first.backup_path.name)
        with store.begin() as uow:
            uow.connection.execute(text("DELETE FROM device_history"))
            uow.commit()
    shutil.copyfile(first.backup_path, path)
    with Store(f"sqlite:///{path}") as store:
        assert state(store) == DatabaseState(Standing.OLD, REVISIONS[0])
        second = upgrade(store)
        assert second.backup_path not in {None, first.backup_path}, "one copy never replaces another"
        require_current(store)
        with store.read() as uow:
            assert uow.connection.execute(text("SELECT count(*) FROM device_history")).scalar_one() == 2


def test_a_backup_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'desk.db'}") as store:
        upgrade(store)
        with pytest.raises(EnvironmentFault) as caught:
            maintenance.backup(store, tmp_path / "no folder" / "copy.db")
    assert caught.value.code == "BACKUP_FAILED"
    _with_damage(tmp_path / "damaged.db")
    with Store(f"sqlite:///{tmp_path / 'damaged.db'}") as store:
        with pytest.raises(EnvironmentFault) as caught:
            maintenance.backup(store, tmp_path / "copy.db")
        assert caught.value.code in {"DATABASE_DAMAGED", "BACKUP_FAILED"}
    assert not (tmp_path / "copy.db").exists()
