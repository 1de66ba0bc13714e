"""A connection that is tried out: each thing that is in the way is named, and nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from db import trying
from db.unit_of_work import Store
from tests.helpers.ports import closed_port
from tests.helpers.stores import migrated


def tried(url: str) -> tuple[str, bool, bool]:
    """Code, works, wants an upgrade."""
    verdict = trying.test_connection(url)
    assert verdict.message
    assert "geheim" not in verdict.message + verdict.what_to_do
    assert bool(verdict.what_to_do) != verdict.works
    return verdict.code, verdict.works, verdict.wants_upgrade


def changed(url: str, **change: Any) -> str:
    return make_url(url).set(**change).render_as_string(hide_password=False)


def test_a_database_that_can_be_used(store: Store) -> None:
    assert tried(store.url) == ("OK", True, False)


def test_a_database_without_tables(database_url: str) -> None:
    assert tried(database_url) == ("DATABASE_EMPTY", False, True)


def test_a_database_of_another_version(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        uow.commit()
    assert tried(store.url) == ("DATABASE_TOO_NEW", False, False)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert tried(f"sqlite:///{tmp_path}/new/desk.db") == ("DATABASE_EMPTY", False, True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "desk.db").write_text("Dear Sir or Madam, " * 200)
    assert tried(f"sqlite:///{tmp_path}/desk.db")[0] == "DATABASE_NOT_A_DATABASE"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are set otherwise on Windows")
def test_a_file_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as a user whom no right stops, so the question is answered for it."""
    migrated(f"sqlite:///{tmp_path}/desk.db")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert tried(f"sqlite:///{tmp_path}/desk.db") == ("DATABASE_READ_ONLY", False, False)


@pytest.mark.parametrize("url", ["", "desk.db", "mysql://host/desk"])
def test_a_url_that_means_nothing_here(url: str) -> None:
    assert tried(url)[0] in {"DATABASE_URL_INVALID", "DATABASE_KIND_UNKNOWN"}


# --- servers ---------------------------------------------------------------------------------------------------------


DRIVER = "ODBC Driver 18 for SQL Server"
SERVERS = ("postgresql+psycopg://desk:geheim@{}/desk", "mssql+pyodbc://desk:geheim@{}/desk?driver=" + __file__)


@pytest.mark.parametrize("url", SERVERS)
def test_a_server_that_nobody_knows(url: str) -> None:
    assert tried(url.format("nowhere.invalid"))[0] == "DATABASE_HOST_UNKNOWN"


@pytest.mark.parametrize("url", SERVERS)
def test_a_port_that_is_closed(url: str) -> None:
    with closed_port() as port:
        assert tried(url.format(f"127.0.0.1:{port}"))[0] == "DATABASE_PORT_CLOSED"


def test_a_driver_that_is_not_there() -> None:
    verdict = trying.test_connection("mssql+pyodbc://desk:geheim@nowhere.invalid/desk?driver=ODBC+Driver+99")
    assert verdict.code == "DATABASE_DRIVER_MISSING"
    assert "ODBC Driver 99" in verdict.message
    assert DRIVER in verdict.what_to_do


@pytest.mark.postgres
def test_a_login_and_a_database_that_are_refused(postgres_store: Store) -> None:
    assert tried(changed(postgres_store.url, database="none"))[0] == "DATABASE_NOT_THERE"
    assert tried(changed(postgres_store.url, username="stranger"))[0] == "DATABASE_LOGIN_REFUSED"


@pytest.mark.postgres
def test_a_login_without_the_rights_of_an_operator(postgres_store: Store) -> None:
    def execute(*statements: str) -> None:
        with postgres_store.begin() as uow:
            for statement in statements:
                uow.connection.execute(text(statement))
            uow.commit()

    url = changed(postgres_store.url, username="looker")
    execute("DROP ROLE IF EXISTS looker", "CREATE ROLE looker LOGIN")
    try:
        assert tried(url)[0] == "DATABASE_RIGHT_MISSING"
        execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
        verdict = trying.test_connection(url)
        assert verdict.code == "DATABASE_RIGHT_MISSING"
        assert "INSERT on job" in verdict.message
        execute("GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO looker")
        assert tried(url) == ("OK", True, False)
    finally:
        execute("DROP OWNED BY looker", "DROP ROLE looker")


@pytest.mark.postgres
def test_a_login_that_may_not_make_the_tables(postgres_url: str) -> None:
    with Store(postgres_url) as store, store.begin() as uow:
        uow.connection.execute(text("DROP ROLE IF EXISTS guest"))
        uow.connection.execute(text("CREATE ROLE guest LOGIN"))
        uow.commit()
    assert tried(changed(postgres_url, username="guest")) == ("DATABASE_EMPTY", False, False)
    with Store(postgres_url) as store, store.begin() as uow:
        uow.connection.execute(text("DROP ROLE guest"))
        uow.commit()
