"""The database behind the commands: made, upgraded, filled, checked; and what is said when it cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import select, update

from db.open_jobs import IS_OPEN
from db.schema import job, operator
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.bootstrap.database import os_user
from desktop_app.cli.call import Call
from desktop_app.cli.work import _Seen
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.seat import Seat
from tests.cli.conftest import Program
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.desks import INSTALLATION, Bell


def test_first_start_makes_the_database_and_its_administrator(program: Program) -> None:
    result = program("db", "upgrade")
    assert result.code == 0
    assert f"You ({os_user()}) are the administrator" in result.err
    jobs = program("jobs")
    assert (jobs.code, jobs.err) == (0, "")


@pytest.mark.parametrize(("is_active", "said"), [(True, "are the administrator"), (False, "no active administrator")])
def test_who_is_an_operator_already_becomes_the_administrator_of_a_database_without_one(
    program: Program, is_active: bool, said: str
) -> None:
    """But not whom somebody has shut out."""
    program("db", "upgrade")
    with program.store as store:
        shut_out = update(operator).values(is_administrator=False, is_active=is_active)
        store.run(lambda uow: uow.connection.execute(shut_out))
    for expected in (said, "" if is_active else said):  # once; who cannot be helped is told each time
        result = program("db", "upgrade")
        assert result.code == 0
        assert expected in result.err
        assert bool(result.err) == bool(expected)
    with program.store as store:
        (there,) = store.run(lambda uow: uow.connection.execute(select(operator)).all())
    assert (there.login, there.is_administrator, there.is_active) == (os_user(), is_active, is_active)


def test_a_mistyped_folder_does_not_become_a_database(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "mistyped"
    for command in (("jobs",), ("show", "AJ-20261124-0001"), ("work", "--until-idle"), ("device", "8901")):
        result = program(*command, "--data-dir", folder, "--json")
        assert (result.code, result.error["code"]) == (3, "DATABASE_MISSING")
        assert str(folder) in result.error["message"]
        assert "--data-dir" in result.error["what_to_do"]
        assert "db upgrade" in result.error["what_to_do"]
    assert not list(tmp_path.rglob("*.db"))


def test_a_database_that_another_program_holds_is_waited_for_and_that_is_said(
    demo: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.unit_of_work.WAIT_IS_SAID_S", 0.05)
    with demo.store as store:
        number = next(iter(_open_jobs(store)))
    holder = sqlite3.connect(demo.data_dir / "desk.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    say_waiting = Call.say_waiting

    def say_and_let_go(call: Call) -> None:
        say_waiting(call)
        holder.rollback()

    monkeypatch.setattr(Call, "say_waiting", say_and_let_go)
    result = demo("cancel", number)
    holder.close()
    assert result.code == 0
    assert result.err.count("Waiting for the database: another program holds it.") == 1
    monkeypatch.setattr("db.unit_of_work.WAIT_IS_SAID_S", 60)
    assert "Waiting" not in demo("jobs").err


def _open_jobs(store: Store) -> list[str]:
    with store.read() as uow:
        return list(uow.connection.scalars(select(job.c.tracking_number).where(IS_OPEN)))


def test_upgrade_creates_and_then_has_nothing_to_do(program: Program) -> None:
    first = program("db", "upgrade", "--json").json
    assert (first["before"], first["backup"]) == (None, None)
    again = program("db", "upgrade", "--json").json
    assert again == {"before": first["after"], "after": first["after"], "backup": None}
    assert "up to date" in program("db", "upgrade").out


def test_upgrade_creates_a_database_elsewhere_too(program: Program, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    assert program("jobs", "--database-url", url, "--json").error["code"] == "DATABASE_MISSING"
    assert program("db", "upgrade", "--database-url", url).code == 0
    assert program("jobs", "--database-url", url, "--json").json == {"jobs": []}


def test_demo_data_go_into_an_empty_database_only(demo: Program) -> None:
    refused = demo("db", "demo", "--devices", 600, "--json")
    assert (refused.code, refused.error["code"]) == (2, "DATABASE_NOT_EMPTY")
    assert demo("db", "demo", "--if-empty", "--json").json["devices"] == 0


def test_demo_data_go_into_a_database_that_somebody_has_made(program: Program) -> None:
    assert program("db", "upgrade").code == 0
    assert program("jobs").code == 0, "who makes a database is its administrator"
    assert program("db", "demo", "--devices", 600, "--json").json["devices"] == 600
    assert program("db", "check").code == 0


def test_demo_data_do_not_go_among_master_data(program: Program, tmp_path: Path) -> None:
    (tmp_path / "service_providers.csv").write_text("code\nNORTHSTAR\n")
    assert program("db", "upgrade").code == 0
    assert program("db", "import", tmp_path / "service_providers.csv").code == 0
    refused = program("db", "demo", "--devices", 600, "--json")
    assert (refused.code, refused.error["code"]) == (2, "DATABASE_NOT_EMPTY")


def test_missing_damaged_locked_and_foreign_databases_are_said(program: Program, tmp_path: Path) -> None:
    def code_of(name: str) -> tuple[int, str]:
        result = program("jobs", "--database-url", f"sqlite:///{tmp_path}/{name}", "--json")
        return result.code, result.error["code"]

    (tmp_path / "text.db").write_bytes(b"this is no database at all, not by far" * 100)
    with sqlite3.connect(tmp_path / "foreign.db") as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    connection.close()
    assert code_of("missing.db") == (3, "DATABASE_MISSING")
    assert code_of("text.db") == (3, "DATABASE_NOT_A_DATABASE")
    assert code_of("foreign.db")[0] == 3
    assert code_of("no/folder.db")[0] == 3


def test_database_of_a_newer_program_is_refused(demo: Program) -> None:
    with sqlite3.connect(demo.data_dir / "desk.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    result = demo("jobs", "--json")
    assert result.code == 3
    assert "newer" in result.error["message"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("rubbish", "DATABASE_URL_INVALID"),
        ("mysql://host/x", "DATABASE_KIND_UNKNOWN"),
        ("postgresql+psycopg://user:geheim@127.0.0.1:9/desk", "DATABASE_UNREACHABLE"),
    ],
)
def test_url_that_leads_nowhere(program: Program, url: str, code: str) -> None:
    result = program("jobs", "--database-url", url, "--json")
    assert (result.code, result.error["code"]) == (3, code)
    assert "geheim" not in result.out + result.err


def test_data_folder_that_cannot_be_made(program: Program) -> None:
    (program.data_dir / "file").write_text("")
    result = program("db", "upgrade", "--data-dir", program.data_dir / "file" / "data", "--json")
    assert (result.code, result.error["code"]) == (3, "DATA_DIR_UNUSABLE")


def test_fault_in_the_program_is_called_one_and_leaves_its_trace_in_the_log(demo: Program) -> None:
    with sqlite3.connect(demo.data_dir / "desk.db") as connection:
        connection.execute("DROP TABLE job_log")
    connection.close()
    number = demo("jobs", "--limit", 1, "--json").json["jobs"][0]["tracking_number"]
    result = demo("show", number, "--json")
    assert (result.code, result.error["code"]) == (70, "INTERNAL_ERROR")
    assert "Traceback" not in result.err
    assert "Traceback" in (demo.data_dir / "logs" / "association-desk.jsonl").read_text()
    assert "job_log" in demo("db", "check").out


# --- who sits at the desk --------------------------------------------------------------------------------------------


def test_stranger_is_no_operator(demo: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "stranger")
    result = demo("jobs", "--json")
    assert (result.code, result.error["code"]) == (2, "OPERATOR_UNKNOWN")
    assert "stranger" in result.error["message"]


def test_only_an_administrator_acts_for_others(demo: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo("jobs", "--operator", "nobody", "--json").error["code"] == "OPERATOR_UNKNOWN"
    assert demo("jobs", "--operator", "limited", "--json").code == 0
    monkeypatch.setenv("LOGNAME", "operator")
    assert demo("jobs", "--json").code == 0
    refused = demo("jobs", "--operator", "limited", "--json")
    assert (refused.code, refused.error["code"]) == (2, "MAY_NOT_ACT_FOR_OTHERS")


def test_acting_for_another_is_written_down(demo: Program) -> None:
    assert demo("jobs", "--operator", "LIMITED").code == 0
    with sqlite3.connect(demo.data_dir / "desk.db") as connection:
        rows = connection.execute("SELECT operator_login, acting_login, action FROM audit_entry").fetchall()
    connection.close()
    assert rows[-1] == ("limited", os_user(), "act_for")


# --- settings and version --------------------------------------------------------------------------------------------


def test_wrong_setting_is_said_by_every_command(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSOCIATION_WORKERS", "many")
    result = program("jobs", "--json")
    assert (result.code, result.error["code"]) == (2, "SETTING_INVALID")
    assert "ASSOCIATION_WORKERS" in result.error["message"]


def test_version(program: Program) -> None:
    assert program("--version").out.startswith("Device Association Desk ")
    assert list(program("--version", "--json").json) == ["version"]


def test_flags_may_stand_before_the_command(program: Program, tmp_path: Path) -> None:
    result = program("--data-dir", tmp_path / "other", "--json", "db", "upgrade")
    assert result.json["before"] is None
    assert (tmp_path / "other" / "desk.db").exists()
    assert not (program.data_dir / "desk.db").exists()


def test_program_runs_as_a_process_of_its_own(demo: Program) -> None:
    result = demo.run("jobs", "--json")
    assert result.code == 0
    assert result.json["jobs"]
    assert result.err == ""


def test_a_restored_backup_is_said_and_what_was_done_is_told(demo: Program, tmp_path: Path) -> None:
    with demo.store as store:
        open_jobs = _open_jobs(store)
    said = demo("db", "restored", "--json").json
    assert set(said) == {"jobs", "asked", "waits", "last_number"}
    assert said["jobs"] == open_jobs
    assert said["asked"] > 0
    first = int(said["last_number"].rpartition("-")[2])
    assert first >= 600_000, "the minute is in it"
    assert first % 1_000 == 0
    assert demo("db", "check").code == 0
    again = demo("db", "restored")
    assert again.code == 0
    for word in (open_jobs[0], "billing is asked", "Tracking numbers of today", "reconcile", "BILLING_LOOKUP_FIRST"):
        assert word in again.out
    refused = demo("db", "restored", "--operator", "viewer", "--json")
    assert (refused.code, refused.error["code"]) == (2, "NOT_PERMITTED")
    missing = demo("db", "restored", "--data-dir", tmp_path / "mistyped", "--json")
    assert (missing.code, missing.error["code"]) == (3, "DATABASE_MISSING")


def test_a_worker_waits_for_a_database_but_not_for_a_damaged_one(demo: Program) -> None:
    found: list[EnvironmentFault] = []
    said: list[str] = []
    with demo.store as store:
        desk = LocalDesk(
            Seat(store, os_user()), INSTALLATION, billing=OneLedger(BillingLedger()), wake=Bell(), close=Bell(),
            damage=lambda: found[-1] if found else None,
        )  # fmt: skip
        out = SimpleNamespace(line=lambda text, _style: said.append(text))
        seen = _Seen(cast("Call", SimpleNamespace(out=out)), desk)
        found.append(EnvironmentFault("DATABASE_LOCKED", "It is locked.", "Wait."))
        seen.look(patiently=True)
        assert said == ["It is locked. Waiting for it."]
        found.append(EnvironmentFault("DATABASE_DAMAGED", "It is damaged.", "Put the backup in its place."))
        with pytest.raises(EnvironmentFault, match="damaged"):
            seen.look(patiently=True)


def test_no_worker_starts_on_a_damaged_database(demo: Program) -> None:
    path = demo.data_dir / "desk.db"
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_device_eid'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    result = demo("work", "--until-idle", "--json")
    assert (result.code, result.error["code"]) == (3, "DATABASE_DAMAGED")
    assert "db restored" in result.error["what_to_do"]
    refused = demo("db", "restored", "--json")
    assert (refused.code, refused.error["code"]) == (3, "DATABASE_DAMAGED"), "the backup may be damaged too"
