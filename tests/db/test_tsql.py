"""The tests' eye for SQL Server: it sees what the server would refuse, and nothing in what is right."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, Table, Unicode, UniqueConstraint
from sqlalchemy.schema import CreateIndex, CreateTable

from db.maintenance import HEAD
from db.schema import metadata
from db.types import UtcDateTime
from tests.helpers.tsql import DIALECT, objections, objections_to_text

TABLES = pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("SELECT id FROM job LIMIT 5", "LIMIT"),
        ("SELECT FROM WHERE", "parsed"),
        ("SELECT id FROM job WHERE is_active IS 1", "IS TRUE"),
        ("SELECT id FROM job WHERE is_active", "no condition"),
        ("SELECT id FROM job WHERE id = 1 AND is_active", "no condition"),
        ("SELECT id FROM job JOIN site ON is_default", "no condition"),
        ("SELECT CASE WHEN is_default THEN 1 ELSE 0 END AS x FROM site", "no condition"),
        ("SELECT a = b AS same FROM job", "no value"),
        ("SELECT EXISTS (SELECT 1 FROM site) AS has FROM job", "no value"),
        ("SELECT CASE WHEN a = 1 THEN b = 2 ELSE 0 END AS x FROM job", "no value"),
        ("SELECT id FROM job WHERE (a = 1) = 1", "no value"),
        ("UPDATE job SET is_active = (a = b)", "no value"),
        ("SELECT id FROM job WHERE (a, b) IN ((1, 2))", "as a whole"),
        ("SELECT id FROM job WHERE (a, b) > (1, 2)", "as a whole"),
        ("SELECT a FROM (SELECT a FROM job ORDER BY a) AS x", "needs TOP"),
        ("SELECT a FROM job WHERE a IN (SELECT b FROM site ORDER BY b)", "needs TOP"),
        ("SELECT a FROM job ORDER BY a NULLS LAST", "NULLS"),
        ("SELECT a FROM job ORDER BY ?", "constant"),
        ("SELECT coalesce(a, ?) AS x, count(*) AS n FROM job GROUP BY coalesce(a, ?)", "GROUP BY with a parameter"),
        ("SELECT count(*) AS n FROM job GROUP BY (SELECT max(id) FROM site)", "GROUP BY with a subquery"),
        ("SELECT count(*) AS n FROM job GROUP BY 1", "without a column"),
        ("SELECT sum(CASE WHEN EXISTS (SELECT 1 FROM site) THEN 1 ELSE 0 END) AS n FROM job", "over a subquery"),
        ("SELECT x.a FROM (SELECT count(*) FROM job) AS x", "without a name"),
        ("SELECT x.a FROM (SELECT job.id, site.id FROM job JOIN site ON job.site_id = site.id) AS x", "twice"),
        ("SELECT * FROM (SELECT * FROM (WITH c AS (SELECT 1 AS a) SELECT a FROM c) AS y) AS z", "before the whole"),
        ("SELECT count(DISTINCT a, b) AS n FROM job", "one column"),
        ("SELECT a || b AS x FROM job", "put together"),
        ("SELECT CAST(a AS VARCHAR(10)) AS x FROM job", "VARCHAR"),
        ("SELECT a FROM job WHERE b = 'Käse'", "needs an N"),
        ("SELECT substr(a, 1) AS x FROM job", "substr()"),
        ("SELECT greatest(a, b) AS x FROM job", "greatest()"),
        ("SELECT a FROM job WHERE at > GETDATE()", "getdate()"),
        ("SELECT sum(a) FILTER (WHERE b = 1) AS n FROM job", "FILTER"),
        ("CREATE TEMPORARY TABLE t (id INT)", "TEMPORARY"),
        ("CREATE TABLE t (at DATETIME)", "outdated"),
        ("UPDATE job AS j SET a = 1", "alias"),
        (
            "UPDATE job SET a = 1 WHERE EXISTS (SELECT 1 FROM s WHERE EXISTS (SELECT 1 FROM x, job WHERE x.a = job.a))",
            "hides the job",
        ),
        ("MERGE INTO job USING site ON job.id = site.id WHEN MATCHED THEN DELETE;", "MERGE"),
    ],
)
def test_what_sql_server_refuses_is_seen(statement: str, word: str) -> None:
    assert any(word in objection for objection in objections_to_text(statement)), objections_to_text(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT TOP 5 id FROM job WITH (UPDLOCK, READPAST) WHERE is_active = 1 ORDER BY id DESC",
        "SELECT id FROM job ORDER BY id OFFSET 10 ROWS FETCH FIRST 5 ROWS ONLY",
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM site WHERE NOT (a = 1 OR b IS NULL)) THEN 1 ELSE 0 END AS x FROM job",
        "SELECT CASE state WHEN 'a' THEN 1 ELSE 0 END AS x FROM job",
        "SELECT a FROM job WHERE a IN (SELECT TOP 5 b FROM site ORDER BY b)",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b DESC) AS n FROM job",
        "INSERT INTO job (a, b) OUTPUT inserted.id VALUES (?, ?)",
        "INSERT INTO job (a, b) SELECT site.a, ? AS x FROM site WHERE site.b LIKE ? ESCAPE '\\'",
        "UPDATE job SET a = ?, b = site.b FROM job JOIN site ON site.id = job.site_id WHERE job.state = ?",
        "DELETE FROM job WHERE EXISTS (SELECT 1 FROM site WHERE site.id = job.site_id)",
        "WITH c AS (SELECT a AS x FROM job) SELECT x, count(*) AS n FROM c GROUP BY x HAVING count(*) > 1",
        "SELECT a FROM job WHERE b = N'Käse || Brot LIMIT 3'",
        "SELECT SYSUTCDATETIME()",
    ],
)
def test_what_is_right_is_left_alone(statement: str) -> None:
    assert objections_to_text(statement) == []


# --- tables ----------------------------------------------------------------------------------------------------------


@TABLES
def test_tables_and_indexes_can_be_made(table: Table) -> None:
    assert objections(CreateTable(table)) == []
    for index in table.indexes:
        assert objections(CreateIndex(index)) == []


@TABLES
def test_no_index_is_wider_than_sql_server_takes(table: Table) -> None:
    """900 bytes for the primary key, by which the rows lie; 1,700 for any other index."""
    widths = {BigInteger: 8, Integer: 4, Boolean: 1, Date: 3, UtcDateTime: 8}

    def width(columns: Iterable[Column[Any]]) -> int:
        return sum(
            2 * (column.type.length or 4000)
            if isinstance(column.type, Unicode)
            else next(size for kind, size in widths.items() if isinstance(column.type, kind))
            for column in columns
        )

    assert width(table.primary_key.columns) <= 900
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            assert width(constraint.columns) <= 1700, constraint.name
    for index in table.indexes:
        assert width(index.columns) <= 1700, index.name


def test_every_migration_can_be_run() -> None:
    """Upwards, from nothing to the head."""
    config = Config()
    config.set_main_option("script_location", "db:migrations")
    script, written = ScriptDirectory.from_config(config), io.StringIO()
    with EnvironmentContext(config, script) as surroundings:
        surroundings.configure(
            dialect_name="mssql",
            as_sql=True,
            output_buffer=written,
            literal_binds=True,
            destination_rev=HEAD,
            fn=lambda revision, _context: script._upgrade_revs(HEAD, revision),
        )
        dialect: Any = surroundings.get_context().dialect
        dialect.server_version_info = DIALECT.server_version_info
        dialect._setup_version_attributes()
        dialect.default_schema_name = "dbo"
        surroundings.run_migrations()
    batches = [batch.strip() for batch in written.getvalue().split("GO\n") if batch.strip()]
    # Alembic's own table, and what it writes around inserts in scripts alone.
    batches = [batch for batch in batches if "alembic_version" not in batch and "IDENTITY_INSERT" not in batch]
    assert len(batches) > 50
    assert [(batch, each) for batch in batches for each in objections_to_text(batch)] == []
