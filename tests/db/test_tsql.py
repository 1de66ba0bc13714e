"""The tests' eye for SQL Server: it sees what the server would refuse, and nothing in what is right."""

from __future__ import annotations

import pytest

from tests.helpers.tsql import objections_to_text


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
