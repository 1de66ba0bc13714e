"""The roles: the program works with the operator's and looks with the reader's, and no record can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlglot
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import ProgrammingError

from db.integrity import check
from db.roles import ADDED_TO, CHANGED, OPERATOR, READER, WRITTEN, as_text
from db.schema import job, metadata, work_order
from db.site_procedures import Procedure
from db.site_procedures import as_text as procedures_text
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import DeviceFilter
from desktop_app.association.states import JobState, WorkOrderState
from desktop_app.desk.local import LocalDesk
from desktop_app.desk.procedures import use_procedures
from desktop_app.desk.protocol import DeviceColumn, HistoryFilter
from desktop_app.desk.seat import Seat
from tests.conftest import SERVERS
from tests.engine.conftest import World
from tests.helpers.billing_ledger import BillingLedger, OneLedger
from tests.helpers.databases import Databases
from tests.helpers.desks import ADMINISTRATOR, add_boss, desk_on
from tests.helpers.stores import demo_store

LOGINS = {OPERATOR: "desk_operator", READER: "desk_reader"}


PASSWORD = f"Desk-{uuid4()}"
#: What makes a login with nothing but a role.
MAKE_LOGIN = {
    "postgresql": ("DROP ROLE IF EXISTS {login}", "CREATE ROLE {login} LOGIN IN ROLE {role}"),
    "mssql": (
        "IF SUSER_ID(N'{login}') IS NOT NULL DROP LOGIN {login}",
        "CREATE LOGIN {login} WITH PASSWORD = N'{password}'",
        "CREATE USER {login} FOR LOGIN {login}",
        "ALTER ROLE {role} ADD MEMBER {login}",
    ),
}
ON_SERVERS = pytest.mark.parametrize("databases", SERVERS, indirect=True)
ON_POSTGRES = pytest.mark.parametrize("databases", SERVERS[:1], indirect=True)


@pytest.fixture
def owner(databases: Databases) -> Iterator[Store]:
    """Demo data on a server, with the roles and a login in each, opened as their owner."""
    dialect = databases.dialect
    with demo_store(databases) as store:
        add_boss(store)
        with store.begin() as uow:
            cursor = uow.connection.connection.cursor()
            for text_of_it in (as_text(dialect), as_text(dialect), procedures_text(dialect)):  # may be run again
                for batch in filter(str.strip, text_of_it.split("\nGO\n")):
                    cursor.execute(batch)
            for role, login in LOGINS.items():
                for statement in MAKE_LOGIN[dialect]:
                    cursor.execute(statement.format(role=role, login=login, password=PASSWORD))
            uow.commit()
        yield store


def logged_in(owner: Store, role: str) -> Store:
    """The same database, with nothing but the role's rights."""
    url = make_url(owner.url).set(username=LOGINS[role])
    if url.get_backend_name() == "mssql":
        url = url.set(password=PASSWORD)
    return Store(url.render_as_string(hide_password=False))


@pytest.fixture
def operator(owner: Store) -> Iterator[World]:
    """Desk and engine with the operator's role."""
    with logged_in(owner, OPERATOR) as store:
        ledger = BillingLedger()
        yield World(store, desk_on(store), ledger, OneLedger(ledger))


def look_around(desk: LocalDesk) -> None:
    """What a person looks at; some of it asks with temporary tables."""
    rows = desk.device_rows(desk.device_ids(DeviceFilter(), DeviceColumn.ICCID)[: 8 * 5])
    assert len(rows) == 5
    assert desk.locate([row.iccid for row in rows], rows[0].service_provider).asked == 5
    assert desk.device(rows[0].iccid, rows[0].service_provider).device.iccid == rows[0].iccid
    desk.prepare_search()
    assert desk.device_facets(DeviceFilter()).total
    assert desk.jobs()
    assert desk.history(HistoryFilter(), 5)
    assert desk.job_history(HistoryFilter(), 5)
    assert desk.changes("").cursor
    assert desk.settings()


def refused(store: Store, statement: str) -> bool:
    """Whether the database refuses it for want of a right."""
    try:
        with store.begin() as uow:
            uow.connection.execute(text(statement))
            uow.commit()
    except (EnvironmentFault, ProgrammingError) as error:
        if isinstance(error, EnvironmentFault) and error.code == "DATABASE_RIGHT_MISSING":
            return True
        raise
    return False


@ON_SERVERS
def test_desk_engine_and_procedures_work_with_the_operators_role(owner: Store, operator: World) -> None:
    use_procedures(
        Seat(operator.store, ADMINISTRATOR), {"sync_device_service_links": "association_sync_device_service_links"}
    )
    look_around(operator.desk)
    number = operator.submit(operator.request(30, blocked_share=0.1))
    operator.work()
    assert operator.job(number).job.state is JobState.PARTIALLY_COMPLETED
    assert operator.job(number).job.counts.failed == 0
    by_hand = operator.submit(operator.request(10, billing=False), "another-key")
    operator.desk.cancel(by_hand)
    operator.work()
    assert operator.job(by_hand).job.state is JobState.CANCELLED
    look_around(operator.desk)
    operator.assert_sound()
    with owner.read() as uow:
        failed = text("SELECT count(*) FROM job_log WHERE event = 'procedure_failed'")
        assert uow.connection.scalar(failed) == 0


@ON_SERVERS
def test_what_was_only_found_at_billing_is_cancelled_with_the_operators_role(operator: World) -> None:
    """Nobody's row is deleted for it."""
    number = operator.submit(operator.request(1))
    with operator.store.read() as uow:
        wanted = select(job.c.instructions, work_order.c.msisdn, work_order.c.iccid).where(
            job.c.tracking_number == number, work_order.c.job_id == job.c.id
        )
        instructions, msisdn, iccid = uow.connection.execute(wanted).one()
    outside = msisdn or iccid
    operator.ledger.add_service("outside", instructions["billing"]["customer_id"], outside)
    operator.work(lookup_first=True)
    (row,) = operator.orders(number)
    assert row.error is not None
    assert (row.state, row.error.code) == (WorkOrderState.OUTCOME_UNKNOWN, "BILLING_NUMBER_TAKEN")
    operator.desk.cancel(number)
    operator.work()
    assert operator.job(number).job.state is JobState.CANCELLED
    assert [service for service in operator.ledger.services.values() if service.number == outside] == [
        operator.ledger.services["outside"]
    ]
    operator.assert_sound()


@ON_POSTGRES
def test_a_record_can_be_added_to_and_not_changed(owner: Store) -> None:
    with logged_in(owner, OPERATOR) as store:
        for table, columns in ADDED_TO.items():
            names = [column.name for column in metadata.tables[table].columns]
            assert refused(store, f"DELETE FROM {table}")
            assert refused(store, f"TRUNCATE {table}")
            for name in names:
                statement = f'UPDATE {table} SET "{name}" = "{name}" WHERE false'
                assert refused(store, statement) is (name not in columns), statement
        for table in metadata.tables:
            assert refused(store, f'DELETE FROM "{table}"'), table
            adds, changes = table in WRITTEN or table in ADDED_TO, table in WRITTEN or table in CHANGED
            assert refused(store, f'INSERT INTO "{table}" SELECT * FROM "{table}" WHERE false') is not adds, table
            if table not in ADDED_TO:
                first = next(iter(metadata.tables[table].columns)).name
                statement = f'UPDATE "{table}" SET "{first}" = "{first}" WHERE false'
                assert refused(store, statement) is not changes, table
        for statement in ("DROP TABLE job_log", "ALTER TABLE device ADD x int", "CREATE TABLE mine (x int)"):
            assert refused(store, statement), statement
        assert refused(store, "UPDATE alembic_version SET version_num = '0'")


@ON_SERVERS
def test_a_reader_looks(owner: Store) -> None:
    with logged_in(owner, READER) as store:
        look_around(desk_on(store))
        assert check(store) == ()
        assert refused(store, "UPDATE job SET reason = reason")
        assert refused(store, "DELETE FROM job_log")


@ON_POSTGRES
def test_a_reader_changes_nothing(owner: Store) -> None:
    with logged_in(owner, READER) as store:
        for table in metadata.tables:
            first = next(iter(metadata.tables[table].columns)).name
            assert refused(store, f'DELETE FROM "{table}"'), table
            assert refused(store, f'INSERT INTO "{table}" SELECT * FROM "{table}" WHERE false'), table
            assert refused(store, f'UPDATE "{table}" SET "{first}" = "{first}" WHERE false'), table
        assert refused(store, "CREATE TABLE mine (x int)")
        assert refused(store, f"CALL association_{Procedure.CHANGES_COMPLETE}(1)")


def test_every_table_is_decided_upon() -> None:
    named = {*ADDED_TO, *WRITTEN, *CHANGED}
    only_read = set(metadata.tables) - named
    assert named <= set(metadata.tables)
    assert only_read == {
        "service_provider", "billing_credential", "rate_plan", "customer", "site", "operator", "operator_grant",
    }  # fmt: skip


def test_the_text_for_sql_server_is_t_sql_and_gives_the_same_rights() -> None:
    written = as_text("mssql")
    made = [line for line in written.splitlines() if line.startswith("IF ")]
    assert len(made) == 2
    for line in made:
        assert sqlglot.parse(line, dialect="tsql")
    rest = "\n".join(line for line in written.splitlines() if line not in {*made, "GO"})
    assert len(sqlglot.parse(rest, dialect="tsql")) > 3 * len(metadata.tables)
    granted = {line for line in written.splitlines() if line.startswith("GRANT") and OPERATOR in line}
    assert "GRANT UPDATE ON [dbo].[device_history] (is_complete) TO [association_operator];" in granted
    assert not [line for line in written.splitlines() if line.startswith("GRANT") and "DELETE" in line]
    plain = {line.replace("[dbo].", "").replace("[", "").replace("]", "") for line in granted}
    for table, columns in ADDED_TO.items():
        updates = [line for line in plain if line.startswith("GRANT UPDATE") and f"ON {table} " in line]
        assert len(updates) == len(columns)
    readers = [line for line in written.splitlines() if line.startswith("GRANT") and READER in line]
    assert all(line.startswith("GRANT SELECT ON ") for line in readers)
