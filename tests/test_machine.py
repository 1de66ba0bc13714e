"""This machine behind the window: what is in force, connections that are tried out and kept, what is fixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_app.association.errors import RequestRefused
from desktop_app.bootstrap import database
from desktop_app.bootstrap.machine import LocalMachine
from desktop_app.desk.machine import DatabaseForm, DatabaseKind
from desktop_app.folders import config_file
from desktop_app.settings import load

ON_SERVER = DatabaseForm(DatabaseKind.POSTGRESQL, "127.0.0.1", 1, "association", user="desk")


@pytest.fixture(autouse=True)
def no_settings_file() -> None:
    config_file().unlink(missing_ok=True)


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    return LocalMachine({"data_dir": tmp_path, "database_url": None})


def test_what_is_saved_is_in_force_and_what_is_fixed_says_by_what(
    machine: LocalMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.save_settings({"workers": 4, "notify_url": "https://newer.example/jobs"})
    monkeypatch.setenv("ASSOCIATION_WORKERS", "7")
    rows = machine.settings()
    assert (rows["workers"].value, rows["workers"].fixed_by) == (7, "environment variable ASSOCIATION_WORKERS")
    assert (rows["notify_url"].value, rows["notify_url"].fixed_by) == ("https://newer.example/jobs", "")


def test_the_file_of_this_machine_is_tried_out(machine: LocalMachine, tmp_path: Path) -> None:
    assert machine.database_form() == DatabaseForm()
    database.make_demo_data(load({"data_dir": tmp_path}), 500, 40)
    verdict = machine.test_database(machine.database_form(), "")
    assert verdict.ok
    assert "can be used" in verdict.message
    assert machine.credentials()[0].is_default
    assert all(verdict.ok for verdict in machine.test_billing({}))


def test_a_server_that_does_not_answer_is_said_and_can_be_kept(machine: LocalMachine) -> None:
    verdict = machine.test_database(ON_SERVER, "hush-hush")
    assert not verdict.ok
    assert "port 1 of 127.0.0.1" in verdict.message
    machine.save_database(ON_SERVER, "")
    assert machine.database_form() == ON_SERVER
    assert "hush" not in config_file().read_text()
    machine.save_database(DatabaseForm(), "")
    assert machine.database_form() == DatabaseForm()


def test_a_file_elsewhere_stays_the_database(machine: LocalMachine, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path.as_posix()}/elsewhere.db"
    machine.save_settings({"database_url": url})
    machine.save_database(machine.database_form(), "")
    assert load({"data_dir": tmp_path}).database_url == url
    assert "elsewhere.db" in machine.test_database(machine.database_form(), "").message


def test_a_named_instance_is_kept(machine: LocalMachine) -> None:
    form = DatabaseForm(
        DatabaseKind.SQL_SERVER, "sql01\\DESK", None, "association", windows_login=True, driver="FreeTDS"
    )
    machine.save_database(form, "")
    assert machine.database_form().server == "sql01\\DESK"
    assert machine.database_form().windows_login


def test_a_connection_that_something_fixes_is_not_saved(tmp_path: Path) -> None:
    fixed = LocalMachine({"data_dir": tmp_path, "database_url": "postgresql+psycopg://desk@elsewhere/association"})
    with pytest.raises(RequestRefused, match="--database-url"):
        fixed.save_database(ON_SERVER, "")
    assert not config_file().exists()
