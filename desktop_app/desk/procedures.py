"""Which maintenance procedures a site has of its own: shown, and named, for all engines of the database at once."""

from __future__ import annotations

from collections.abc import Mapping

from db import installation, operators
from db.site_procedures import Procedure, are_there
from db.unit_of_work import UnitOfWork
from desktop_app.association.errors import RequestRefused
from desktop_app.desk.seat import Seat


def procedures_in_use(seat: Seat) -> dict[str, str]:
    """Each procedure and the name of the site's own; "" where the program's statements are used."""
    with seat.store.read() as uow:
        seat.rights(uow)
        settings = uow.settings()
    return {one.value: str(getattr(settings, one.setting)) for one in Procedure}


def use_procedures(seat: Seat, names: Mapping[str, str]) -> None:
    """Names procedures of the site, from the next job that is finished on.

    Args:
        names: procedure → name of the site's own, such as ``dbo.MarkComplete``; "": the program's own again.

    Raises:
        RequestRefused: the operator is no administrator; no such procedure; no name of a procedure; or the database has
            no stored procedures. Nothing is changed.
    """
    unknown = [name for name in names if name not in set(Procedure)]
    if unknown:
        raise RequestRefused(
            "PROCEDURE_UNKNOWN",
            f"There is no maintenance procedure {unknown[0]!r}.",
            f"Name one of: {', '.join(Procedure)}.",
        )

    def write(uow: UnitOfWork) -> None:
        rights = seat.rights(uow)
        if not rights.is_administrator:
            raise RequestRefused(
                "NOT_PERMITTED", "Only an administrator may name procedures.", "Ask an administrator to do it."
            )
        if any(names.values()) and not are_there(uow):
            raise RequestRefused(
                "PROCEDURES_NOT_SUPPORTED",
                "A SQLite database has no stored procedures.",
                "Use this with SQL Server or PostgreSQL; the program's own do the same.",
            )
        for name, own in names.items():
            installation.write(uow, Procedure(name).setting, own)
            operators.audit(uow, rights, seat.acting, "use_procedure", name, {"name": own})

    seat.store.run(write)
