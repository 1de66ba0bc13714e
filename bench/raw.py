"""The baselines in SQL: what somebody would write by hand for the same rows, and nothing around it.

They write what a job leaves behind, with the same durability (WAL, ``synchronous=FULL``) and the same constraints, but
decide nothing, check nothing and could not go on after a crash. :func:`same_rows` holds them to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.world import CREDENTIAL, CUSTOMER, SITE

#: Work orders in one commit, as the engine has them.
GROUP = 256
_ANSWER = '{"ok":true}'


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as the program has its own."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-32000",
            "wal_autocheckpoint=4000",
        ):
            connection.execute(f"PRAGMA {pragma}")
        yield connection
    finally:
        connection.close()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


# --- work orders with a call to billing ------------------------------------------------------------------------------


def work_off_in_groups(path: Path, tracking_number: str) -> None:
    """Every work order of a job without plans: intents of one group and outcomes of the one before in one commit."""
    with connected(path) as connection:
        job_id, operator, reason = connection.execute(
            "SELECT id, operator_login, reason FROM job WHERE tracking_number = ?", [tracking_number]
        ).fetchone()
        orders = connection.execute(
            "SELECT id, device_id, msisdn, effective_date, reference FROM work_order WHERE job_id = ? ORDER BY line",
            [job_id],
        ).fetchall()
        groups = [orders[start : start + GROUP] for start in range(0, len(orders), GROUP)]
        before: list[tuple[Any, ...]] = []
        for group in [*groups, []]:
            connection.execute("BEGIN IMMEDIATE")
            if before:
                _record(connection, job_id, operator, reason, before)
            if group:
                _intend(connection, job_id, group)
            connection.execute("COMMIT")
            before = group
        _finish(connection, job_id)


def _intend(connection: sqlite3.Connection, job_id: int, group: list[tuple[Any, ...]]) -> None:
    now = _now()
    until = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%Y-%m-%d %H:%M:%S.%f")
    connection.executemany(
        "UPDATE work_order SET state = 'running', engine_id = 'raw', lease_epoch = lease_epoch + 1, lease_until = ?,"
        " started_at = ?, changed_at = ?, revision = revision + 1 WHERE id = ? AND state = 'queued'",
        [(until, now, now, order[0]) for order in group],
    )
    connection.executemany(
        "INSERT INTO work_order_step (work_order_id, step, state, reference, attempts, lease_epoch, intent_at)"
        " VALUES (?, 'billing_service', 'intent', ?, 1, 1, ?)",
        [(order[0], order[4], now) for order in group],
    )
    connection.execute(
        "UPDATE job SET state = 'running', queued = queued - ?, running = running + ? WHERE id = ?",
        [len(group), len(group), job_id],
    )


def _record(
    connection: sqlite3.Connection, job_id: int, operator: str, reason: str, group: list[tuple[Any, ...]]
) -> None:
    now, ids = _now(), [order[0] for order in group]
    connection.executemany(
        "UPDATE work_order_step SET state = 'done', finished_at = ?, http_status = 201, billing_id = ?, answer = ?"
        " WHERE work_order_id = ? AND step = 'billing_service'",
        [(now, str(key), _ANSWER, key) for key in ids],
    )
    connection.executemany(
        "INSERT INTO billing_service (id, billing_credential_id, service_id, reference, device_id, customer_id, number,"
        " is_active, effective_date, work_order_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        [
            (key, CREDENTIAL, str(key), reference, device_id, CUSTOMER, number, effective, key, now)
            for key, device_id, number, effective, reference in group
        ],
    )
    connection.executemany(
        "INSERT INTO work_order_step (work_order_id, step, state, attempts, lease_epoch, finished_at)"
        " VALUES (?, ?, 'done', 1, 1, ?)",
        [(key, step, now) for key in ids for step in ("ownership", "history")],
    )
    connection.executemany(
        "INSERT INTO device_ownership (device_id, customer_id, site_id, account_number, billing_credential_id, state,"
        " is_deleted, effective_from, work_order_id, created_at, changed_at)"
        " VALUES (?, ?, ?, '10482', ?, 'active', 0, ?, ?, ?, ?)",
        [(order[1], CUSTOMER, SITE, CREDENTIAL, order[3], order[0], now, now) for order in group],
    )
    connection.executemany(
        "UPDATE device SET changed_at = ?, revision = revision + 1 WHERE id = ?", [(now, order[1]) for order in group]
    )
    connection.executemany(
        "INSERT INTO device_service_link (device_id, billing_service_id, linked_at) VALUES (?, ?, ?)",
        [(order[1], order[0], now) for order in group],
    )
    connection.executemany(
        "INSERT INTO device_history (device_id, customer_id, job_id, work_order_id, at, event, detail, effective_date,"
        " operator_login, reason, is_complete) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        [
            (order[1], CUSTOMER, job_id, order[0], now, event, detail, order[3], operator, reason)
            for order in group
            for event, detail in (
                ("assigned", "Site Head office"), ("billing_service_created", f"Billing service {order[0]}"),
            )
        ],
    )  # fmt: skip
    connection.execute(f"{_ACROSS} WHERE history.work_order_id BETWEEN ? AND ?", [now, ids[0], ids[-1]])
    connection.executemany(
        "UPDATE work_order SET state = 'succeeded', billing_service_id = ?, billing_answer = ?, engine_id = NULL,"
        " lease_until = NULL, attempts = 1, commit_token = ?, completed_at = ?, changed_at = ?, revision = revision + 1"
        " WHERE id = ? AND state = 'running' AND lease_epoch = 1",
        [(key, _ANSWER, now, now, now, key) for key in ids],
    )
    connection.execute(
        "UPDATE job SET running = running - ?, succeeded = succeeded + ?, changed_at = ? WHERE id = ?",
        [len(group), len(group), now, job_id],
    )


#: Twins by EID alone: there are no others in this world, and its maker knows that.
_ACROSS = """
INSERT INTO cross_provider_device_history (device_history_id, device_id, matched_by, recorded_at)
SELECT history.id, other.id, 'eid', ?
FROM device_history AS history
JOIN device AS this ON this.id = history.device_id
JOIN device AS other ON other.eid = this.eid AND other.id <> this.id
"""


def _finish(connection: sqlite3.Connection, job_id: int) -> None:
    now = _now()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO job_log (job_id, run_no, at, level, event, message) VALUES (?, 1, ?, 'info', ?, ?)",
        [(job_id, now, event, event) for event in ("procedures", "finished")],
    )
    connection.execute("UPDATE job SET state = 'completed', finished_at = ? WHERE id = ?", [now, job_id])
    connection.execute("COMMIT")


# --- a job without billing -------------------------------------------------------------------------------------------


def work_off_at_once(path: Path, tracking_number: str) -> None:
    """Every work order of a job without billing and with both plans: one transaction, one statement for each fact."""
    with connected(path) as connection:
        (job_id,) = connection.execute("SELECT id FROM job WHERE tracking_number = ?", [tracking_number]).fetchone()
        now = _now()
        values = {"job": job_id, "now": now}
        connection.execute("BEGIN IMMEDIATE")
        for statement in _AT_ONCE:
            connection.execute(statement, values)
        connection.execute(f"{_ACROSS} WHERE history.job_id = ?", [now, job_id])
        connection.execute("COMMIT")
        _finish(connection, job_id)


def _step(step: str) -> str:
    return f"""
        INSERT INTO work_order_step (work_order_id, step, state, attempts, lease_epoch, finished_at)
        SELECT id, '{step}', 'done', 1, 1, :now FROM work_order WHERE job_id = :job AND state = 'succeeded'
    """


def _history(event: str, detail: str, join: str) -> str:
    return f"""
        INSERT INTO device_history (device_id, customer_id, job_id, work_order_id, at, event, detail, effective_date,
            operator_login, reason, is_complete)
        SELECT w.device_id, j.customer_id, j.id, w.id, :now, '{event}', {detail}, w.effective_date, j.operator_login,
            j.reason, 1
        FROM work_order AS w JOIN job AS j ON j.id = w.job_id JOIN {join}
        WHERE w.job_id = :job AND w.state = 'succeeded'
    """


_AT_ONCE = (
    """
        UPDATE work_order SET state = 'succeeded', lease_epoch = 1, attempts = 1, commit_token = 'raw',
            started_at = :now, completed_at = :now, changed_at = :now, revision = revision + 1
        WHERE job_id = :job AND state = 'queued'
    """,
    *(_step(step) for step in ("ownership", "carrier_rate_plan", "customer_rate_plan", "history")),
    """
        INSERT INTO device_ownership (device_id, customer_id, site_id, account_number, billing_credential_id, state,
            is_deleted, effective_from, customer_rate_plan_id, data_limit_bytes, data_pool, work_order_id, created_at,
            changed_at)
        SELECT w.device_id, j.customer_id, j.site_id, j.account_number, j.billing_credential_id, 'active', 0,
            w.effective_date, j.customer_rate_plan_id, j.data_limit_bytes, j.data_pool, w.id, :now, :now
        FROM work_order AS w JOIN job AS j ON j.id = w.job_id
        WHERE w.job_id = :job AND w.state = 'succeeded'
    """,
    """
        UPDATE device SET carrier_rate_plan_id = w.carrier_rate_plan_id, changed_at = :now,
            revision = device.revision + 1
        FROM work_order AS w
        WHERE w.job_id = :job AND w.state = 'succeeded' AND device.id = w.device_id
    """,
    _history("assigned", "'Site ' || s.name", "site AS s ON s.id = j.site_id"),
    _history(
        "carrier_plan_changed", "'Carrier rate plan ' || p.code", "rate_plan AS p ON p.id = w.carrier_rate_plan_id"
    ),
    _history(
        "customer_plan_changed", "'Customer rate plan ' || p.code", "rate_plan AS p ON p.id = j.customer_rate_plan_id"
    ),
    """
        UPDATE job SET state = 'running', queued = 0, succeeded = total, started_at = :now, changed_at = :now
        WHERE id = :job
    """,
)


# --- held to it ------------------------------------------------------------------------------------------------------

#: Of each table how many rows of each kind, and how full they are.
_COUNTS = {
    "work_order": "state, count(*), sum(attempts), count(billing_service_id), count(billing_answer)",
    "work_order_step": "step, state, count(*), sum(attempts), count(intent_at), count(finished_at), count(billing_id)",
    "device_ownership": "state, count(*), count(customer_rate_plan_id), count(work_order_id)",
    "device_history": "event, is_complete, count(*), sum(length(detail)), count(DISTINCT device_id)",
    "billing_service": "is_active, count(*), count(reference)",
    "device_service_link": "closed_at, count(*)",
    "cross_provider_device_history": "matched_by, count(*)",
    "device": "status, count(*), sum(revision), count(carrier_rate_plan_id)",
    "job": "state, total, queued, running, succeeded, count(*)",
    "job_log": "event, level, count(*)",
}


def same_rows(one: Path, other: Path) -> None:
    """That both databases hold the same rows, by number and kind.

    Raises:
        AssertionError: they do not; the comparison would be worth nothing.
    """
    with connected(one) as first, connected(other) as second:
        for table, columns in _COUNTS.items():
            kinds = columns.partition(", count")[0].partition(", sum")[0]
            statement = f"SELECT {columns} FROM {table} GROUP BY {kinds} ORDER BY {kinds}"
            mine, theirs = (connection.execute(statement).fetchall() for connection in (first, second))
            assert mine == theirs, (table, mine, theirs)
