"""Two roles with the least rights that the program works with, as text for whoever administers the server.

``association_operator`` is what desktops and workers log in with: it reads everything, writes what jobs write, makes
and changes no table, and deletes nothing anywhere. What is a record — history, its copies for other providers, the
job log, the audit — it can only add to; of a row of history the one mark ``is_complete`` is set later, and nothing
else of it can be changed. Master data and the rights of operators it only reads. ``association_reader`` only looks.

Both may make temporary tables, which the program asks its questions with. Migrations, imports and demo data are the
owner's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from db.schema import metadata

OPERATOR, READER = "association_operator", "association_reader"
_VERSION_TABLE = "alembic_version"

#: What the operator's role adds to, and which columns of it are changed later.
ADDED_TO: Mapping[str, tuple[str, ...]] = {
    "device_history": ("is_complete",),
    "cross_provider_device_history": (),
    "job_log": (),
    "audit_entry": (),
}
#: What it adds to and changes.
WRITTEN: frozenset[str] = frozenset(
    {
        "job", "work_order", "work_order_step", "device_ownership", "billing_service", "device_service_link",
        "scheduled_plan_change", "outbox_event", "engine", "quota_window",
        # the counters of tracking numbers stand here, beside what all engines agree on
        "installation_setting",
    }
)  # fmt: skip
#: What it changes and never adds to.
CHANGED: frozenset[str] = frozenset({"device"})


def as_text(dialect: str, schema: str | None = None) -> str:
    """The statements that make both roles and give them their rights; may be run again.

    Args:
        dialect: ``mssql`` or ``postgresql``.
        schema: of the tables; None: ``dbo``, or ``public``.
    """
    if dialect == "mssql":
        return _HEAD + _mssql(schema or "dbo")
    return _HEAD + _postgresql(schema or "public")


_HEAD = f"""\
-- Roles for Device Association Desk: {OPERATOR} works with the program, {READER} only looks.
-- Run as the owner of the tables, once, and again after each upgrade. No role makes, changes or deletes a table; none
-- deletes rows; history, job log and audit can only be added to.

"""


def _rights() -> Iterable[tuple[str, str, str]]:
    """What is granted to the operator's role besides reading: right, table, columns (\"\": all)."""
    for table in sorted(metadata.tables):
        if table in WRITTEN or table in ADDED_TO:
            yield "INSERT", table, ""
        if table in WRITTEN or table in CHANGED:
            yield "UPDATE", table, ""
        elif columns := ADDED_TO.get(table):
            yield "UPDATE", table, ", ".join(columns)


def _tables() -> list[str]:
    return [*sorted(metadata.tables), _VERSION_TABLE]


def _postgresql(schema: str) -> str:
    both = f"{OPERATOR}, {READER}"
    lines = [
        "DO $roles$",
        "DECLARE",
        "    wanted text;",
        "BEGIN",
        f"    FOREACH wanted IN ARRAY ARRAY['{OPERATOR}', '{READER}'] LOOP",
        "        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN",
        "            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);",
        "        END IF;",
        "        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), wanted);",
        "    END LOOP;",
        "END",
        "$roles$;",
        f'REVOKE CREATE ON SCHEMA "{schema}" FROM PUBLIC;',
        f'GRANT USAGE ON SCHEMA "{schema}" TO {both};',
    ]
    for table in _tables():
        name = f'"{schema}"."{table}"'
        lines += [f"REVOKE ALL ON {name} FROM PUBLIC, {both};", f"GRANT SELECT ON {name} TO {both};"]
    lines += [
        f'GRANT {right}{f" ({columns})" if columns else ""} ON "{schema}"."{table}" TO {OPERATOR};'
        for right, table, columns in _rights()
    ]
    lines += ["-- Then, for each login:  GRANT association_operator TO somebody;"]
    return "\n".join(lines) + "\n"


def _mssql(schema: str) -> str:
    lines = []
    for role in (OPERATOR, READER):
        lines += [f"IF DATABASE_PRINCIPAL_ID(N'{role}') IS NULL CREATE ROLE [{role}];", "GO"]
    for table in _tables():
        name = f"[{schema}].[{table}]"
        lines += [
            # What somebody gave by hand is taken back first, as far as it goes beyond what stands below.
            f"REVOKE INSERT, UPDATE, DELETE ON {name} FROM [{OPERATOR}];",
            f"REVOKE INSERT, UPDATE, DELETE ON {name} FROM [{READER}];",
            f"GRANT SELECT ON {name} TO [{OPERATOR}];",
            f"GRANT SELECT ON {name} TO [{READER}];",
        ]
    lines += [
        f"GRANT {right} ON [{schema}].[{table}]{f' ({columns})' if columns else ''} TO [{OPERATOR}];"
        for right, table, columns in _rights()
    ]
    lines += ["GO", "-- Then, for each user:  ALTER ROLE association_operator ADD MEMBER [somebody];"]
    return "\n".join(lines) + "\n"
