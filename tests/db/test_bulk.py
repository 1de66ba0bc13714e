"""Many rows at once, and temporary tables to join with."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Column, Date, Integer, Unicode, func, insert, inspect, select, text
from sqlalchemy.dialects import mssql
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from db import temporary
from db.bulk import insert_rows, update_rows
from db.dialects import is_among, is_any_of
from db.schema import billing_credential, customer, service_provider
from db.temporary import lines_table, temporary_ids, temporary_lines
from db.types import JsonText, UtcDateTime
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import EnvironmentFault

AT = datetime(2026, 11, 24, 14, 7, 31, 250, tzinfo=UTC)


def add_customers(uow: UnitOfWork, count: int) -> int:
    rows = ((number, f"K{number}", f"Kunde Ä {number}", f"kunde ä {number}", AT) for number in range(1, count + 1))
    return insert_rows(uow, customer, ["id", "account_number", "name", "search_name", "changed_at"], rows)


def test_rows_go_in_as_they_are(store: Store) -> None:
    with store.begin() as uow:
        assert add_customers(uow, 25_000) == 25_000
        uow.commit()
    with store.read() as uow:
        row = uow.connection.execute(select(customer).where(customer.c.id == 20_000)).one()
        count = uow.connection.scalar(select(func.count()).select_from(customer))
    assert count == 25_000
    assert (row.name, row.changed_at, row.is_active, row.tag) == ("Kunde Ä 20000", AT, True, "")


def test_every_type_is_converted_as_an_ordinary_insert_does(store: Store) -> None:
    mapping = {"plans": {"customer:A\tB\\N": {"product_id": "1"}}, "version": 1}
    columns = ["code", "name", "is_default", "mapping"]
    with store.begin() as uow:
        insert_rows(uow, billing_credential, columns, [("BULK", "x\ty\nz\\N", True, mapping)])
        uow.connection.execute(
            insert(billing_credential).values(code="ONE", name="x\ty\nz\\N", is_default=True, mapping=mapping)
        )
        statement = select(*(billing_credential.c[name] for name in columns[1:]))
        bulk, one = uow.connection.execute(statement).all()
    assert bulk == one
    assert bulk.mapping == mapping


def test_nothing_at_all_is_no_row(store: Store) -> None:
    with store.begin() as uow:
        assert insert_rows(uow, service_provider, ["code", "name"], []) == 0


def test_a_row_that_breaks_a_constraint_is_an_integrity_error(store: Store) -> None:
    rows = [("A", "A"), ("B", "B"), ("A", "again")]
    with store.begin() as uow:
        with pytest.raises(IntegrityError), uow.savepoint():
            insert_rows(uow, service_provider, ["code", "name"], rows)
        insert_rows(uow, service_provider, ["code", "name"], rows[1:])
        uow.commit()
    with store.read() as uow:
        assert set(uow.connection.execute(select(service_provider.c.code)).scalars()) == {"A", "B"}


def test_rows_are_updated_by_their_keys_with_every_type(store: Store) -> None:
    later = datetime(2026, 12, 1, 8, 30, tzinfo=UTC)
    columns = ["name", "tag", "is_active", "changed_at", "billing_customer_id"]
    with store.begin() as uow:
        add_customers(uow, 300)
        rows = [(f"New Ü {number}", "t", False, later, None, number) for number in range(1, 301, 2)]
        update_rows(uow, customer, ["id"], columns, rows)
        c = customer.c
        statement = select(c.name, c.tag, c.is_active, c.changed_at, c.billing_customer_id).order_by(c.id).limit(2)
        found = uow.connection.execute(statement).all()
        changed = uow.connection.scalar(select(func.count()).where(c.changed_at == later))
    assert found == [("New Ü 1", "t", False, later, None), ("Kunde Ä 2", "", True, AT, None)]
    assert changed == 150


@pytest.mark.postgres
def test_an_update_refuses_text_that_is_too_long(postgres_store: Store) -> None:
    """A cast to the column's own type would cut it in silence."""
    with postgres_store.begin() as uow:
        add_customers(uow, 1)
        with pytest.raises(DataError), uow.savepoint():
            update_rows(uow, customer, ["id"], ["account_number"], [("x" * 500, 1)])


@pytest.mark.postgres
def test_no_statement_keeps_the_plan_of_its_first_times(postgres_store: Store) -> None:
    """A plan of a table that was empty then reads it from end to end, until the server has looked at it anew."""
    count = select(func.count()).select_from(customer).where(customer.c.id == 7)
    with postgres_store.begin() as uow:
        for _ in range(20):
            uow.connection.execute(count)
            update_rows(uow, customer, ["id"], ["tag"], [("t", 7)])
        assert uow.connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


def test_an_error_of_whoever_makes_the_rows_comes_out_as_it_is(store: Store) -> None:
    def rows():
        yield ("A", "A")
        raise KeyError("mine")

    with store.begin() as uow:
        with pytest.raises(KeyError, match="mine"), uow.savepoint():
            insert_rows(uow, service_provider, ["code", "name"], rows())
        assert uow.connection.scalar(select(func.count()).select_from(service_provider)) == 0


@pytest.mark.postgres
def test_a_connection_lost_in_a_copy_is_a_fault(postgres_store: Store) -> None:
    def kill() -> None:
        copying = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'"
        with Store(postgres_store.url) as other, other.read() as killer:
            assert killer.connection.execute(text(copying)).scalars().all() == [True]

    def rows():
        for number in range(200_000):
            if number == 100_000:
                kill()
            yield (f"{number}", "x")

    with pytest.raises(EnvironmentFault) as caught:
        postgres_store.run(lambda uow: insert_rows(uow, service_provider, ["code", "name"], rows()))
    assert caught.value.code == "DATABASE_UNREACHABLE"
    with postgres_store.read() as uow:
        assert uow.connection.scalar(select(func.count()).select_from(service_provider)) == 0


# --- temporary tables ------------------------------------------------------------------------------------------------


def test_lines_are_joined(store: Store) -> None:
    with store.begin() as uow:
        add_customers(uow, 5_000)
        uow.commit()
    with store.read() as uow:
        asked = temporary_lines(uow, ((line, f"K{line * 2}") for line in range(1, 3_001)))
        found = (
            select(asked.c.line, customer.c.id)
            .join_from(asked, customer, customer.c.account_number == asked.c.identifier, isouter=True)
            .order_by(asked.c.line)
        )
        rows = uow.connection.execute(found).all()
    assert len(rows) == 3_000
    assert rows[0] == (1, 2)
    assert rows[2_499] == (2_500, 5_000)
    assert rows[2_500] == (2_501, None)


def test_ids_stand_there_once(store: Store) -> None:
    with store.read() as uow:
        ids = temporary_ids(uow, [3, 1, 3, 2**40, 1])
        assert sorted(uow.connection.execute(select(ids.c.id)).scalars()) == [1, 3, 2**40]


def test_columns_are_the_callers_own(store: Store) -> None:
    columns: list[Column[Any]] = [
        Column("line", Integer, primary_key=True),
        Column("code", Unicode(10), index=True),
        Column("on_day", Date),
        Column("at", UtcDateTime, nullable=True),
        Column("facts", JsonText),
    ]
    rows = [(1, "A", date(2026, 1, 31), AT, {"a": [1]}), (2, "B", None, None, None)]
    with store.read() as uow:
        table = lines_table(uow, "facts", columns, rows)
        assert uow.connection.execute(select(table).order_by(table.c.line)).all() == rows


def test_a_name_used_again_holds_the_new_rows(store: Store) -> None:
    with store.read() as uow:
        first = temporary_lines(uow, [(1, "A"), (2, "B")])
        second = temporary_lines(uow, [(1, "C")])
        other = temporary_lines(uow, [(1, "D")], name="others")
        assert second is first, "statements over it are compiled once"
        assert uow.connection.execute(select(second.c.identifier)).scalars().all() == ["C"]
        assert uow.connection.execute(select(other.c.identifier)).scalars().all() == ["D"]


def test_other_columns_under_a_used_name_are_another_table(store: Store) -> None:
    with store.read() as uow:
        temporary_ids(uow, [1], name="things")
        lines = temporary_lines(uow, [(1, "A")], name="things")
        assert uow.connection.execute(select(lines)).all() == [(1, "A")]


@pytest.mark.parametrize("commit", [True, False])
def test_nothing_is_left_when_the_unit_of_work_ends(store: Store, commit: bool) -> None:
    with store.begin() as uow:
        temporary_ids(uow, range(1000))
        temporary_ids(uow, range(1000), name="others")
        with pytest.raises(IntegrityError), uow.savepoint():
            temporary_lines(uow, [(1, "A"), (1, "B")], name="inner")
        if commit:
            uow.commit()
    with store.begin() as uow:  # the same connection, from the pool
        assert not inspect(uow.connection).get_temp_table_names()
        temporary_ids(uow, range(1000))
        uow.commit()


def test_two_units_of_work_do_not_see_each_others_lines(store: Store) -> None:
    with store.read() as one, store.read() as other:
        mine, yours = temporary_ids(one, [1]), temporary_ids(other, [2])
        assert one.connection.execute(select(mine.c.id)).scalars().all() == [1]
        assert other.connection.execute(select(yours.c.id)).scalars().all() == [2]


def test_a_name_that_is_none_is_refused(store: Store) -> None:
    with store.read() as uow, pytest.raises(ValueError, match="no name"):
        temporary_ids(uow, [], name="ids; DROP TABLE job")


def test_on_sql_server_it_is_a_session_table_in_the_databases_collation() -> None:
    table = temporary._table("mssql", "lines", temporary._LINES)
    dialect = mssql.dialect()
    ddl = str(CreateTable(table).compile(dialect=dialect))
    assert "CREATE TABLE [#tmp_lines]" in ddl
    assert "identifier NVARCHAR(64) COLLATE DATABASE_DEFAULT" in ddl
    assert "CONSTRAINT" not in ddl, "names of constraints are shared by all sessions' temporary tables"
    assert "IDENTITY" not in ddl
    (index,) = table.indexes
    assert "ON [#tmp_lines]" in str(CreateIndex(index).compile(dialect=dialect))


# --- handles as one parameter ---


@pytest.mark.parametrize("handles", [[], [3], [2, 3, 5, 9_000_000_000_000], list(range(1, 2_500))])
def test_rows_are_found_by_handles_that_are_one_parameter(store: Store, handles: list[int]) -> None:
    with store.begin() as uow:
        add_customers(uow, 6)
        uow.commit()
    those = select(customer.c.id).where(is_among(customer.c.id, "ids"), is_any_of(customer.c.tag, "", "x"))
    with store.read() as uow:
        found = set(uow.connection.scalars(those, {"ids": handles}))
        assert found == set(handles) & set(range(1, 7))
        assert not uow.connection.scalars(those.where(customer.c.tag == "x"), {"ids": handles}).all()


def test_on_sql_server_handles_are_rendered_as_values() -> None:
    those = select(customer.c.id).where(is_among(customer.c.id, "ids"))
    text_of_it = str(those.compile(dialect=mssql.dialect()))
    assert "customer.id IN (__[POSTCOMPILE_ids])" in text_of_it
