"""Maintenance procedures of the site: its own stored procedures, called instead of the program's statements.

A site names them in the installation settings, since all engines of one database must do the same. They are called when
a job's run is finished, each in a transaction of its own: one that fails takes nothing with it, also where its failure
dooms the transaction, as on SQL Server. The program's own three are made here as text, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column
from sqlalchemy.dialects import mssql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.visitors import replacement_traverse

from db import dialects, procedures
from db.engines import as_environment_fault, as_wrapped, first_line, is_retryable
from db.roles import OPERATOR

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Faults of the environment that trying again does not cure: they are the procedure's own.
_OWN_FAULTS = frozenset({"DATABASE_RIGHT_MISSING"})


class Procedure(StrEnum):
    """The three maintenance procedures, by the names that they have when they are made from the program's text."""

    ACROSS_PROVIDERS = "update_device_history_across_providers"
    CHANGES_COMPLETE = "mark_device_changes_complete"
    SERVICE_LINKS = "sync_device_service_links"

    @property
    def setting(self) -> str:
        """The installation setting that names the site's own."""
        return f"procedure_{self.value}"


class ProcedureFailed(Exception):
    """A procedure of the site did not do what it should; what the database says, in one line."""


def are_there(uow: UnitOfWork) -> bool:
    """Whether this kind of database has stored procedures at all."""
    return dialects.has_procedures(uow.dialect)


def of_the_site(uow: UnitOfWork) -> Mapping[Procedure, str]:
    """The procedures that the site has of its own, and what they are called. SQLite has none."""
    if not are_there(uow):
        return {}
    settings = uow.settings()
    return {one: name for one in Procedure if (name := str(getattr(settings, one.setting)))}


def call(uow: UnitOfWork, name: str, job_id: int) -> None:
    """Calls a procedure of the site with a job's handle as its one argument.

    Args:
        name: as the installation settings have it: letters, digits and underscores alone, in quotes or not.

    Raises:
        ProcedureFailed: it does not exist, may not be called, or failed; the transaction is not to be committed.
        sqlalchemy.exc.DBAPIError: a deadlock and the like (the whole is tried again), or the database cannot be used.
    """
    connection = uow.connection
    statement = dialects.call_of(connection, name)
    # What it sets in the session (a search path, a role, a time-out) would stay for whoever has the connection next:
    # it is replaced as soon as it is given back.
    connection.connection.invalidate(soft=True)
    try:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(statement, (job_id,))
            # What a procedure raises behind its first result is only told to whoever reads on.
            while cursor.nextset():
                pass
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error as error:
        wrapped = as_wrapped(connection, statement, error)
        fault = as_environment_fault(wrapped, connection.engine.url.render_as_string(hide_password=False))
        if is_retryable(wrapped) or (fault is not None and fault.code not in _OWN_FAULTS):
            raise wrapped from error
        raise ProcedureFailed(first_line(error) or type(error).__name__) from error


# --- the program's own, as text --------------------------------------------------------------------------------------


def as_text(dialect: str, schema: str | None = None, prefix: str = "association_") -> str:
    """The three procedures as statements that create them, with the same effect as the program's own.

    Args:
        dialect: ``mssql`` or ``postgresql``.
        schema: where they are made; None: ``dbo``, or ``public``.
        prefix: before their names.
    """
    if dialect == "mssql":
        return _HEAD + "\n".join(
            _MSSQL.format(
                name=f"[{schema or 'dbo'}].[{prefix}{one}]",
                body=_body(one, mssql.dialect(), _MSSQL_NAMES),  # type: ignore[no-untyped-call]
                role=OPERATOR,
            )
            for one in Procedure
        )
    return _HEAD + "\n".join(
        _POSTGRESQL.format(
            name=f"{schema or 'public'}.{prefix}{one}",
            body=_body(one, postgresql.dialect(), _POSTGRESQL_NAMES),  # type: ignore[no-untyped-call]
        )
        for one in Procedure
    )


_HEAD = """\
-- The three maintenance procedures of Device Association Desk, for a site that keeps its own.
-- The argument is the handle of a job (job.id). Each may run again at any time: a second run changes nothing.
-- They are called once named with:  db procedures --use NAME=SCHEMA.PROCEDURE

"""
_MSSQL_NAMES = {"of_job": "@job_id", "now": "@now"}
_POSTGRESQL_NAMES = {"of_job": "p_job_id", "now": "v_now"}
_MSSQL = """\
CREATE OR ALTER PROCEDURE {name} @job_id BIGINT AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @now DATETIME2(6) = SYSUTCDATETIME();
{body}
END;
GO
IF DATABASE_PRINCIPAL_ID(N'{role}') IS NOT NULL GRANT EXECUTE ON {name} TO [{role}];
GO
"""
_POSTGRESQL = """\
CREATE OR REPLACE PROCEDURE {name}(p_job_id bigint) LANGUAGE plpgsql AS $procedure$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
{body}
END;
$procedure$;
"""


def _body(one: Procedure, dialect: Dialect, names: Mapping[str, str]) -> str:
    statements: Any
    match one:
        case Procedure.ACROSS_PROVIDERS:
            statements = procedures.across_providers("job")
        case Procedure.CHANGES_COMPLETE:
            statements = (procedures.changes_complete(),)
        case Procedure.SERVICE_LINKS:
            statements = procedures.links_in_step("job")

    def named(element: Any, **_: Any) -> Any:
        if isinstance(element, BindParameter) and element.key in names:
            return literal_column(names[element.key], element.type)
        return None

    lines: list[str] = []
    for statement in statements:
        text = str(
            replacement_traverse(statement, {}, named).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        )
        lines += [f"    {line.rstrip()}" for line in text.splitlines()]
        lines[-1] += ";"
    return "\n".join(lines)
