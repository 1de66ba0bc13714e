"""The schema on the server that these tests have not got, and what every table keeps to."""

from __future__ import annotations

import pytest
from sqlalchemy import CheckConstraint, Table, Unicode
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateIndex, CreateTable

from db.schema import metadata
from db.types import JsonText, UtcDateTime

TABLES = {
    "service_provider", "device", "device_ownership", "customer", "site", "billing_credential", "billing_service",
    "device_service_link", "rate_plan", "job", "work_order", "work_order_step", "job_log", "device_history",
    "cross_provider_device_history", "scheduled_plan_change", "operator", "operator_grant", "outbox_event",
    "audit_entry", "engine", "quota_window", "installation_setting",
}  # fmt: skip


def test_the_tables_are_there() -> None:
    assert set(metadata.tables) >= TABLES


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_table_can_be_made_on_sql_server(table: Table) -> None:
    dialect = mssql.dialect()
    ddl = str(CreateTable(table).compile(dialect=dialect))
    assert "DATETIME2(6)" in ddl or not any(isinstance(column.type, UtcDateTime) for column in table.c)
    assert "NVARCHAR(max)" in ddl or not any(isinstance(column.type, JsonText) for column in table.c)
    assert ("IDENTITY" in ddl) == ("id" in table.c and not isinstance(table.c.id.type, Unicode))
    for index in table.indexes:
        statement = str(CreateIndex(index).compile(dialect=dialect))
        assert (" WHERE " in statement) == (index.dialect_kwargs.get("mssql_where") is not None)
        # A filter there is a plain comparison: no OR, no function, no NOT.
        assert " OR " not in statement
        assert "NOT (" not in statement


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_what_is_the_same_for_every_table(table: Table) -> None:
    for constraint in table.constraints:
        assert constraint.name, f"a constraint of {table.name} has no name, so no migration can change it"
    for column in table.c:
        if isinstance(column.type, Unicode):
            assert column.type.length, f"{column} needs a length to be indexed on SQL Server"
    names = [index.name for index in table.indexes] + [constraint.name for constraint in table.constraints]
    assert len(names) == len(set(names))
    # PostgreSQL cuts names at 63 bytes without a word, and then two may be the same.
    assert all(len(str(name)) <= 63 for name in names)


def test_filters_are_the_same_on_all_servers() -> None:
    for table in metadata.tables.values():
        for index in table.indexes:
            filters = {index.dialect_kwargs.get(f"{server}_where") for server in ("sqlite", "postgresql", "mssql")}
            assert len(filters) == 1, index.name


def test_unique_indexes_over_what_may_be_null_are_filtered() -> None:
    """SQL Server takes one NULL only in a unique index."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if index.unique and any(column.nullable for column in index.columns):
                condition = str(index.dialect_kwargs["mssql_where"])
                assert "IS NOT NULL" in condition or "kind" in condition, index.name


def test_checks_name_their_columns_in_standard_quotes() -> None:
    for table in metadata.tables.values():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                assert "`" not in str(constraint.sqltext)
                assert "[" not in str(constraint.sqltext)
