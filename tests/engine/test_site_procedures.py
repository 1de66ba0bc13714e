"""Maintenance procedures of the site: called instead of the program's statements, and never in anybody's way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlglot
from sqlalchemy import create_mock_engine, select, text

from db import installation, procedures, site_procedures
from db.dialects import call_of
from db.schema import (
    audit_entry,
    cross_provider_device_history,
    device,
    device_history,
    device_service_link,
    job,
    job_log,
    work_order,
)
from db.site_procedures import Procedure, as_text
from desktop_app.association.errors import RequestRefused
from desktop_app.association.states import JobState
from desktop_app.desk.procedures import procedures_in_use, use_procedures
from desktop_app.desk.seat import Seat
from desktop_app.engine import crash_points
from tests.engine.conftest import World
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.databases import PostgresDatabases
from tests.helpers.desks import ADMINISTRATOR, add_boss, desk_on
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import demo_store
from tests.helpers.tsql import objections_to_text

PROCEDURE_OF_THE_SITE = """
CREATE TABLE called (job_id bigint, by text);
CREATE PROCEDURE site_complete(the_job bigint) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO called VALUES (the_job, current_user);
    UPDATE device_history SET is_complete = true WHERE job_id = the_job;
END; $$;
CREATE PROCEDURE site_broken(the_job bigint) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO called VALUES (the_job, 'broken');
    RAISE EXCEPTION 'no room for job %', the_job;
END; $$;
CREATE SEQUENCE site_tries;
CREATE PROCEDURE site_deadlocks(the_job bigint) LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('site_tries') < 3 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
    INSERT INTO called VALUES (the_job, 'at last');
END; $$;
CREATE SCHEMA "Site";
CREATE PROCEDURE "Site"."MarkComplete"(the_job bigint) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO called VALUES (the_job, 'with capitals');
END; $$;
CREATE PROCEDURE site_sets(the_job bigint) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO called VALUES (the_job, 'set');
    SET search_path = pg_catalog;
    SET lock_timeout = 1;
    SET application_name = 'left by the site';
END; $$;
"""


@pytest.fixture(scope="module")
def on_postgres(postgres_server: PostgresServer) -> PostgresDatabases:
    return PostgresDatabases(postgres_server)


@pytest.fixture
def server(on_postgres: PostgresDatabases) -> Iterator[World]:
    """Demo data on PostgreSQL, with procedures of a site."""
    with demo_store(on_postgres) as store:
        add_boss(store)
        run(store, PROCEDURE_OF_THE_SITE)
        ledger = BillingLedger()
        yield World(store, desk_on(store), ledger, OneLedger(ledger))


def run(store: Any, statements: str) -> None:
    """Runs statements as a script, as an administrator does it."""
    with store.begin() as uow:
        uow.connection.connection.cursor().execute(statements)
        uow.commit()


def seat(world: World) -> Seat:
    return Seat(world.store, ADMINISTRATOR)


def log_of(world: World) -> list[tuple[str, str, str]]:
    with world.store.read() as uow:
        rows = uow.connection.execute(
            select(job_log.c.level, job_log.c.event, job_log.c.message).order_by(job_log.c.id)
        )
        return [tuple(row) for row in rows if row.event.startswith("procedure")]


def called(world: World) -> list[str]:
    with world.store.read() as uow:
        return list(uow.connection.scalars(text("SELECT by FROM called")))


@pytest.mark.postgres
def test_the_sites_own_is_called_with_the_job_instead_of_the_programs(server: World) -> None:
    use_procedures(seat(server), {"mark_device_changes_complete": "public.site_complete"})
    number = server.submit(server.request(5, billing=False))
    server.work()
    with server.store.read() as uow:
        job_id = uow.connection.scalar(select(job.c.id).where(job.c.tracking_number == number))
        assert uow.connection.execute(text("SELECT job_id FROM called")).scalars().all() == [job_id]
        complete = select(device_history.c.is_complete).where(device_history.c.job_id == job_id)
        assert set(uow.connection.scalars(complete)) == {True}
    ((level, event, message),) = log_of(server)[-1:]
    assert (level, event) == ("info", "procedures")
    assert "public.site_complete called" in message
    assert "marked complete" not in message
    server.assert_sound()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("name", "said"),
    [("site_broken", "no room for job"), ("site_missing", "site_missing"), ("pg_catalog.now", "now")],
)
def test_one_that_fails_is_told_in_the_jobs_log_and_keeps_nobody_waiting(server: World, name: str, said: str) -> None:
    use_procedures(seat(server), {"mark_device_changes_complete": name})
    number = server.submit(server.request(3, billing=False))
    server.work()
    assert server.job(number).job.state is JobState.COMPLETED
    assert called(server) == [], "what it had done is undone"
    assert [(level, event) for level, event, _ in log_of(server)[-2:]] == [
        ("info", "procedures"),
        ("error", "procedure_failed"),
    ]
    assert said in log_of(server)[-1][2]


@pytest.mark.postgres
def test_a_name_in_quotes_keeps_its_capitals(server: World) -> None:
    use_procedures(seat(server), {"mark_device_changes_complete": '"Site"."MarkComplete"'})
    number = server.submit(server.request(3, billing=False))
    server.work()
    assert server.job(number).job.state is JobState.COMPLETED
    assert called(server) == ["with capitals"]


def test_a_name_in_quotes_is_the_same_name_on_sql_server() -> None:
    engine = create_mock_engine("mssql+pyodbc://", lambda *_: None)
    names = 'dbo."MarkComplete"', "dbo.MarkComplete", '"crm"."dbo"."MarkComplete"'
    assert [call_of(engine, name) for name in names] == [  # type: ignore[arg-type]
        "EXEC [dbo].[MarkComplete] ?",
        "EXEC [dbo].[MarkComplete] ?",
        "EXEC [crm].[dbo].[MarkComplete] ?",
    ]


@pytest.mark.postgres
def test_what_one_sets_in_its_session_stays_with_nobody(server: World) -> None:
    use_procedures(seat(server), {"mark_device_changes_complete": "site_sets"})
    sessions = text(
        "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('application_name')"
    )
    with server.store.read() as uow:
        before = uow.connection.execute(sessions).one()
    number = server.submit(server.request(3, billing=False))
    server.work()
    assert server.job(number).job.state is JobState.COMPLETED
    assert called(server) == ["set"]
    with ExitStack() as all_at_once:
        opened = [all_at_once.enter_context(server.store.engines.write.connect()) for _ in range(8)]
        assert {one.execute(sessions).one() for one in opened} == {before}


@pytest.mark.postgres
def test_one_that_meets_a_deadlock_is_called_again(server: World) -> None:
    use_procedures(seat(server), {"sync_device_service_links": "site_deadlocks"})
    number = server.submit(server.request(3, billing=False))
    server.work()
    assert server.job(number).job.state is JobState.COMPLETED
    assert called(server) == ["at last"]
    assert [level for level, _, _ in log_of(server)[-1:]] == ["info"]


@pytest.mark.postgres
def test_the_programs_own_as_text_do_what_the_program_does(server: World) -> None:
    """Made from the text, called by the engine, and compared with what the statements leave to be done: nothing."""
    run(server.store, as_text("postgresql"))
    use_procedures(seat(server), {one.value: f"public.association_{one}" for one in Procedure})
    with server.store.begin() as uow:  # what the procedures have to find
        uow.connection.execute(device_service_link.delete())
        uow.commit()
    number = server.submit(server.request(40))
    with server.store.begin() as uow:
        job_id = uow.connection.scalar(select(job.c.id).where(job.c.tracking_number == number))
        assert job_id is not None
        of_job = select(device).join(work_order).where(work_order.c.job_id == job_id)
        one = uow.connection.execute(of_job.order_by(work_order.c.line)).first()
        assert one is not None
        uow.connection.execute(
            device.insert().values(
                service_provider_id=1 + one.service_provider_id % 2, iccid=one.iccid, status="active",
                changed_at=uow.now(),
            )
        )  # fmt: skip
        uow.commit()
    server.work()
    assert [level for level, _, _ in log_of(server)[-1:]] == ["info"]
    with server.store.begin() as uow:
        told = cross_provider_device_history
        mine = select(told.c.device_history_id, told.c.device_id, told.c.matched_by).join(device_history)
        mine = mine.where(device_history.c.job_id == job_id).order_by(told.c.device_history_id, told.c.device_id)
        by_groups = uow.connection.execute(mine).all()
        assert "iccid" in {row.matched_by for row in by_groups}
        # The groups had told all of it: what the procedure finds is seen where nothing is told.
        uow.connection.execute(told.delete())
        site_procedures.call(uow, f"public.association_{Procedure.ACROSS_PROVIDERS}", job_id)
        assert uow.connection.execute(mine).all() == by_groups
        links = select(device_service_link).where(device_service_link.c.closed_at.is_(None))
        assert uow.connection.execute(links).all()
        assert procedures.record_across_providers(uow, job_id=job_id) == 0
        assert procedures.mark_device_changes_complete(uow, job_id) == 0
        assert procedures.sync_device_service_links(uow, job_id) == (0, 0)


def test_the_text_for_sql_server_is_t_sql() -> None:
    text_of_it = as_text("mssql", schema="billing")
    batches = [batch for batch in text_of_it.split("\nGO\n") if batch.strip()]
    for one, grant in zip(Procedure, batches[1::2], strict=True):
        assert grant.startswith("IF DATABASE_PRINCIPAL_ID(N'association_operator') IS NOT NULL GRANT EXECUTE ON ")
        assert grant.endswith(f" [billing].[association_{one}] TO [association_operator];")
        assert sqlglot.parse(grant, dialect="tsql")
    for one, batch in zip(Procedure, batches[::2], strict=True):
        assert f"CREATE OR ALTER PROCEDURE [billing].[association_{one}] @job_id BIGINT AS" in batch
        assert ":of_job" not in batch
        body = batch.partition("@now DATETIME2(6) = SYSUTCDATETIME();\n")[2].rpartition("END;")[0]
        assert body.count("@job_id") == {"mark_device_changes_complete": 1}.get(one.value, 2)
        assert objections_to_text(body) == []


def test_nothing_but_a_name_gets_into_a_statement(world: World) -> None:
    strange: tuple[str, ...] = (
        "x; DROP TABLE device",
        "dbo.x(1)",
        "a.b.c.d",
        "[dbo].[x]",
        'a"b',
        "x y",
        "ü",
        "x\n",
        "1x",
        ".x",
        "x" * 64,
    )
    strange += '"x', 'x"', '""', '"x"."', '"x;"', '"x".y"', "'x'"
    for name in strange:
        for procedure in Procedure:
            with pytest.raises(RequestRefused) as refused, world.store.begin() as uow:
                installation.write(uow, procedure.setting, name)
            assert refused.value.code == "SETTING_INVALID", name


def test_only_an_administrator_of_a_server_names_them(world: World) -> None:
    with pytest.raises(RequestRefused) as refused:
        use_procedures(Seat(world.store, "limited"), {"mark_device_changes_complete": "x"})
    assert refused.value.code == "NOT_PERMITTED"
    with pytest.raises(RequestRefused) as refused:
        use_procedures(seat(world), {"something_else": "x"})
    assert refused.value.code == "PROCEDURE_UNKNOWN"
    if world.store.engines.dialect == "sqlite":
        with pytest.raises(RequestRefused) as refused:
            use_procedures(seat(world), {"mark_device_changes_complete": "x"})
        assert refused.value.code == "PROCEDURES_NOT_SUPPORTED"
    else:
        use_procedures(seat(world), {"mark_device_changes_complete": "dbo.x"})
        assert procedures_in_use(seat(world))["mark_device_changes_complete"] == "dbo.x"
        with world.store.read() as uow:
            (written,) = uow.connection.execute(select(audit_entry).where(audit_entry.c.action == "use_procedure"))
        assert (written.subject, written.detail) == ("mark_device_changes_complete", {"name": "dbo.x"})
        use_procedures(seat(world), {"mark_device_changes_complete": ""})
    assert set(procedures_in_use(seat(world)).values()) == {""}


@pytest.mark.postgres
def test_a_process_that_dies_after_the_procedure_leaves_the_job_to_be_finished(
    server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a site's procedure does is committed before the job ends: it is called again, and the job is not lost."""
    use_procedures(seat(server), {"mark_device_changes_complete": "site_complete"})
    number = server.submit(server.request(3, billing=False))
    died: list[str] = []

    def die_once(point: str) -> None:
        if point == "after-commit:site-procedure" and not died:
            died.append(point)
            raise RuntimeError("the process dies")

    monkeypatch.setattr(crash_points, "on_reached", die_once)
    server.work()
    assert died
    assert server.job(number).job.state is JobState.COMPLETED
    with server.store.read() as uow:
        assert uow.connection.scalar(text("SELECT count(*) FROM called")) == 2
    server.assert_sound()
