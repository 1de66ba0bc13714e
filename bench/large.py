"""A long past, made inside the database: jobs, work orders, steps and history by the million, in a few statements.

Rows are whole and hang together as far as queries look at them; they did not come about by work, so ``db check`` would
not be content with them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from desktop_app.association.work_orders import VERSION

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: How many operators have submitted the jobs.
OPERATORS = 50
#: How long the past is.
SPAN = timedelta(days=730)
#: When it began: the same in every database that this process makes.
BEGAN = datetime.now(UTC).replace(microsecond=0) - SPAN

#: Of every job: without billing and plans. The reason is as long as what a job with both would have besides.
_INSTRUCTIONS = json.dumps({
    "version": VERSION, "customer": {"id": 1, "name": "Northwind Fleet", "account_number": "10482"},
    "site": {"id": None, "code": None, "name": None}, "billing": None, "service_providers": {},
    "carrier_rate_plans": {}, "customer_rate_plan": None, "service_provider": None, "effective_date": None,
    "reassign": False, "reason": "Past " * 150, "operator": {"login": "operator", "acting": ""},
    "reference_mark": "past",
})  # fmt: skip
_ACTIONS = "CASE WHEN n % 4 = 0 THEN 'billing_service_created' WHEN n % 4 = 1 THEN 'assigned' ELSE 'kept' END"


def customers(uow: UnitOfWork, first: int, count: int) -> None:
    """``count`` customers with handles and account numbers from ``first`` on."""
    _run(
        uow, count, "customer (id, account_number, name, search_name, changed_at)",
        f"{first} + n, CAST(70000 + {first} + n AS VARCHAR(40)), 'Customer ' || CAST({first} + n AS VARCHAR(20)),"
        f" 'customer ' || CAST({first} + n AS VARCHAR(20)), {_at(uow, '0')}",
    )  # fmt: skip


def owners(uow: UnitOfWork, *, devices: int, customers: int, credential: int) -> None:
    """Each device belongs to a customer since long ago, has a billing service, a link to it and a change to come.

    Args:
        devices, customers: how many there are; their handles count from 1.
        credential: handle of the billing credential.
    """
    customer, long_ago = f"1 + n % {customers}", "CAST('2024-01-01' AS DATE)" if _is_server(uow) else "'2024-01-01'"
    at = _at(uow, "0")
    _run(
        uow, devices,
        "device_ownership (device_id, customer_id, state, effective_from, created_at, changed_at)",
        f"1 + n, {customer}, 'active', {long_ago}, {at}, {at}",
    )  # fmt: skip
    _run(
        uow, devices,
        "billing_service (billing_credential_id, service_id, device_id, customer_id, number, effective_date,"
        " created_at)",
        f"{credential}, CAST(n AS VARCHAR(10)), 1 + n, {customer}, CAST(n AS VARCHAR(10)), {long_ago}, {at}",
    )  # fmt: skip
    _run(
        uow, 1, "device_service_link (device_id, billing_service_id, linked_at)",
        f"s.device_id, s.id, {at}", "CROSS JOIN billing_service AS s",
    )  # fmt: skip
    _run(
        uow, 1,
        "scheduled_plan_change (device_id, device_ownership_id, kind, rate_plan_id, due_on, state, created_at)",
        f"o.device_id, o.id, 'customer', (SELECT min(id) FROM rate_plan), {long_ago}, 'applied', {at}",
        "CROSS JOIN device_ownership AS o",
    )  # fmt: skip


def past_jobs(uow: UnitOfWork, count: int, *, first: int = 1, customers: int, orders: int, devices: int) -> None:
    """``count`` finished jobs of ``orders`` work orders each, every one with the steps ``ownership`` and ``history``.

    Args:
        first: handle of the first of them; no other jobs may be made before or between, so that handles have no gap.
        customers, devices: how many there are; their handles count from 1.
    """
    at = _at(uow, f"n * {SPAN.total_seconds() / count:.6f}")
    number = f"{first} + n"
    _run(
        uow, count,
        "job (tracking_number, submission_key, state, customer_id, operator_id, operator_login, reason, fingerprint,"
        " instructions, total, succeeded, submitted_at, started_at, finished_at, changed_at)",
        f"'AJ-20240101-' || CAST(10000 + {number} AS VARCHAR(10)), 'past-' || CAST({number} AS VARCHAR(10)),"
        f" 'completed', 1 + ({number}) % {customers}, (SELECT min(id) FROM operator),"
        f" 'operator-' || CAST(({number}) % {OPERATORS} AS VARCHAR(10)), 'Past', '', '{_INSTRUCTIONS}',"
        f" {orders}, {orders}, {at}, {at}, {at}, {at}",
    )  # fmt: skip
    # One device after the other, but never twice in one job.
    _run(
        uow, count * orders,
        "work_order (job_id, line, asked_for, device_id, state, service_provider_id, iccid, billing_action,"
        " completed_at, changed_at)",
        f"{first} + n / {orders}, 1 + n % {orders}, d.iccid, d.id, 'succeeded', d.service_provider_id, d.iccid,"
        f" 'none', {_at(uow, '0')}, {_at(uow, '0')}",
        f"JOIN device AS d ON d.id = 1 + n % {devices}",
    )  # fmt: skip
    for step in ("ownership", "history"):
        _run(
            uow, 1, "work_order_step (work_order_id, step, state, attempts)",
            f"w.id, '{step}', 'done', 1", f"CROSS JOIN work_order AS w WHERE w.job_id >= {first}",
        )  # fmt: skip


def past_history(
    uow: UnitOfWork, rows: int, *, jobs: int, customers: int, devices: int, part: tuple[int, int] | None = None
) -> None:
    """``rows`` facts, evenly over the devices, the jobs in their order, and the time; some are told elsewhere too.

    Args:
        jobs, customers, devices: how many there are; their handles count from 1.
        part: only the facts from the one number to before the other, counted from 0: one transaction with all of many
            millions takes as much disk again. All parts have to be made, in their order.
    """
    begin, end = part or (0, rows)
    job_number = f"(CAST(n AS BIGINT) * {jobs} / {rows})"
    _run(
        uow, end - begin,
        "device_history (device_id, customer_id, job_id, at, event, detail, operator_login, reason, is_complete)",
        f"1 + n % {devices}, 1 + {job_number} % {customers}, 1 + {job_number},"
        f" {_at(uow, f'n * {SPAN.total_seconds() / rows:.9f}')}, {_ACTIONS}, 'Generated',"
        f" 'operator-' || CAST({job_number} % {OPERATORS} AS VARCHAR(10)), 'Past', {_true(uow)}",
        first=begin,
    )  # fmt: skip
    if end < rows:
        return
    _run(
        uow, min(rows, devices) // 2,
        "cross_provider_device_history (device_history_id, device_id, matched_by, recorded_at)",
        f"1 + n, 2 + n, 'eid', {_at(uow, '0')}",
    )  # fmt: skip


def _run(uow: UnitOfWork, count: int, into: str, values: str, joined: str = "", first: int = 0) -> None:
    """``INSERT … SELECT`` over ``count`` numbers ``n`` from ``first`` on, in this order."""
    if _is_server(uow):
        numbers = f"(SELECT n FROM generate_series({first}, {first + count - 1}) AS n) AS numbers"
        # Whoever makes the past knows that what it refers to is there; looking at each row takes most of the time.
        uow.connection.execute(text("SET LOCAL session_replication_role = replica"))
        statement = f"INSERT INTO {into} SELECT {values} FROM {numbers} {joined} ORDER BY n"
        uow.connection.exec_driver_sql(statement.replace("%", "%%"))
        uow.connection.execute(text("SET LOCAL session_replication_role = origin"))
        return
    last = first + count - 1
    numbers = f"WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
    uow.connection.exec_driver_sql(f"INSERT INTO {into} {numbers} SELECT {values} FROM numbers {joined}")


def _at(uow: UnitOfWork, seconds: str) -> str:
    """The instant so many seconds after the past began, as the database stores it."""
    began = int(BEGAN.timestamp())
    if _is_server(uow):
        return f"to_timestamp({began} + ({seconds}))"
    return f"strftime('%Y-%m-%d %H:%M:%f000', {began} + ({seconds}), 'unixepoch')"


def _true(uow: UnitOfWork) -> str:
    return "true" if _is_server(uow) else "1"


def _is_server(uow: UnitOfWork) -> bool:
    return uow.dialect == "postgresql"
