"""Plans of the statements that the program really runs: which of them read a whole table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

from db.schema import metadata

#: Tables that grow without end; a statement that reads one from end to end takes longer every year.
LARGE = frozenset({
    "device", "device_ownership", "billing_service", "device_service_link", "job", "work_order", "work_order_step",
    "job_log", "device_history", "cross_provider_device_history", "scheduled_plan_change", "audit_entry",
})  # fmt: skip

#: Indexes of what is open; they do not grow.
FILTERED = frozenset(
    str(index.name)
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None and not index.unique
)


@dataclass
class Plans:
    """What was seen.

    Attributes:
        statements: how many were explained.
        scans: of each statement that reads a large table from end to end: the tables, and its text.
    """

    statements: int = 0
    scans: list[tuple[frozenset[str], str]] = field(default_factory=list)

    def whole_tables(self) -> set[str]:
        """The large tables that were read from end to end."""
        return set().union(*(tables for tables, _ in self.scans))


@contextmanager
def explained(where: Connection | Engine) -> Iterator[Plans]:
    """Explains every statement that is run there inside, with its own parameters, right before it is run."""
    plans = Plans()
    busy = False

    def explain(
        connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        nonlocal busy
        if busy or not statement.lstrip().startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")):
            return
        busy = True
        try:
            first = parameters[0] if executemany else parameters
            tables = _scanned(connection, statement, first)
        finally:
            busy = False
        plans.statements += 1
        if tables:
            plans.scans.append((tables, " ".join(statement.split())))

    event.listen(where, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(where, "before_cursor_execute", explain)


def _scanned(connection: Connection, statement: str, parameters: Any) -> frozenset[str]:
    if connection.dialect.name == "sqlite":
        # Of an INSERT it also tells how it looks for children without parents, which it does after a fault alone.
        selected = re.sub(r"^INSERT INTO [^()]*\([^()]*\) (?=SELECT)", "", statement)
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {selected}", parameters)
        return _sqlite_scans([str(row[3]) for row in rows], statement)
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    documents = json.loads(plan) if isinstance(plan, str) else plan
    return frozenset(_seq_scans(documents[0]["Plan"])) & LARGE


def _sqlite_scans(details: list[str], statement: str) -> frozenset[str]:
    """``SCAN x`` without an index reads the table, with one it reads the whole index: the same in the long run.

    A scan that a LIMIT ends, since the rows come in the wanted order already, is none.
    """
    names = {alias: table for table, alias in re.findall(r'"?(\w+)"? AS "?(\w+)"?', statement)}
    sorts = any("USE TEMP B-TREE FOR ORDER BY" in detail for detail in details)
    ends_early = " LIMIT " in statement and not sorts and "ORDER BY" in statement
    scans = (re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail) for detail in details)
    found = [str(match[1]) for match in scans if match and match[2] not in FILTERED]
    return frozenset() if ends_early else frozenset(names.get(name, name) for name in found) & LARGE


def _seq_scans(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _seq_scans(child)
