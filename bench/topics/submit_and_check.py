"""The check and the submit of many devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import raw
from bench.measure import Figure, Target, in_turns, timed
from bench.run import Run
from bench.world import World

TOPIC = "check and submit"
_FACTS = """
SELECT asked.line, d.id, d.service_provider_id, d.iccid, d.imei, d.msisdn, d.eid, d.status, d.activated_on,
    d.is_deleted, d.is_archived, d.carrier_rate_plan_id, o.id, o.customer_id, c.name, o.site_id, o.account_number,
    o.billing_credential_id, o.effective_from, o.customer_rate_plan_id, o.data_limit_bytes, o.data_pool,
    (SELECT max(p.effective_to) FROM device_ownership AS p WHERE p.device_id = d.id AND p.state = 'ended'
        AND p.is_deleted = 0 AND (o.id IS NULL OR p.customer_id <> o.customer_id)),
    s.effective_from, j.tracking_number, b.id, b.customer_id, b.billing_credential_id, b.service_id, b.work_order_id
FROM asked JOIN device AS d ON {condition}
LEFT JOIN device_ownership AS o ON o.device_id = d.id AND o.state = 'active' AND o.is_deleted = 0
LEFT JOIN customer AS c ON c.id = o.customer_id
LEFT JOIN device_ownership AS s ON s.device_id = d.id AND s.state = 'scheduled' AND s.is_deleted = 0
LEFT JOIN work_order AS w ON w.device_id = d.id AND w.device_id IS NOT NULL
    AND w.state IN ('queued', 'running', 'waiting_retry', 'outcome_unknown')
LEFT JOIN job AS j ON j.id = w.job_id
LEFT JOIN billing_service AS b ON b.device_id = d.id AND b.is_active = 1
"""


def measure(run: Run) -> list[Figure]:
    """Check by handles and by pasted lines against the one query; submit against check and executemany."""
    count = 20_000 if run.quick else 100_000
    with run.worlds.fresh(count) as world:
        run.say(f"check of {count:,} devices")
        picked, pasted = world.request(count, billing=True, plans=True), world.lines(count)
        by_lines = world.request(count, billing=True, plans=True, selection=pasted)
        handles = [(number, number) for number in range(1, count + 1)]
        lines = list(enumerate(pasted.lines, 1))
        checks, by_handle, checks_of_lines, by_iccid = in_turns(
            run.repeats,
            lambda: timed(world.check, picked),
            lambda: timed(_query(world.path, "d.id = asked.key", handles)),
            lambda: timed(world.check, by_lines),
            lambda: timed(_query(world.path, "d.iccid = asked.key", lines)),
        )
    return [
        Figure(
            TOPIC, f"check of {count:,} devices picked in the list", "s", checks,
            "temporary table and the one query that reads the same facts", by_handle, Target(at_most=2.0),
        ),
        Figure(
            TOPIC, f"check of {count:,} pasted ICCIDs", "s", checks_of_lines,
            "the same by ICCID, lines taken as they are", by_iccid, Target(at_most=2.0),
            "reading the lines (check digits, other readings of each) is in the figure",
        ),
        _submit(run, count),
    ]  # fmt: skip


def _query(path: Path, condition: str, rows: list[tuple[int, Any]]) -> Callable[[], None]:
    def work() -> None:
        with raw.connected(path) as connection:
            connection.execute("BEGIN")
            connection.execute("CREATE TEMPORARY TABLE asked (line INTEGER PRIMARY KEY, key)")
            connection.executemany("INSERT INTO asked VALUES (?, ?)", rows)
            found = connection.execute(_FACTS.format(condition=condition)).fetchall()
            connection.execute("ROLLBACK")
        assert len(found) == len(rows)

    return work


def _submit(run: Run, count: int) -> Figure:
    submits, baselines = [], []
    for _ in range(run.repeats):
        run.say(f"submit of {count:,} devices")
        with run.worlds.fresh(count) as mine, run.worlds.fresh(count) as other:
            request = mine.request(count, billing=True, plans=True)
            fingerprint = mine.check(request)
            submits.append(timed(mine.submit, request, fingerprint))
            insert = _executemany(mine, other.path)
            baselines.append(timed(other.check, request) + timed(insert))
            raw.same_rows(mine.path, other.path)
    return Figure(
        TOPIC, f"submit of {count:,} devices", "s", tuple(submits), "the check, and executemany of the same rows",
        tuple(baselines), Target(at_most=2.0), "the re-check before the rows are written is in the figure",
    )  # fmt: skip


def _executemany(submitted: World, path: Path) -> Callable[[], None]:
    """What writes the rows that ``submitted`` has into another database; they are read before."""
    tables = ("job", "work_order", "job_log")
    with raw.connected(submitted.path) as connection:
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}

    def work() -> None:
        with raw.connected(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table, of_table in rows.items():
                marks = ", ".join("?" * len(of_table[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", of_table)
            connection.execute("COMMIT")

    return work
