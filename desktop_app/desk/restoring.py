"""After the database was put back from a backup: what an administrator has done before anything else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from db import operators, restoring
from desktop_app.association.errors import RequestRefused
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.restoring import AfterRestore
    from db.unit_of_work import UnitOfWork


def after_restore(seat: Seat, settle_s: float) -> AfterRestore:
    """Has billing asked for whatever the backup has open, and moves numbers on, see :mod:`db.restoring`.

    Args:
        settle_s: how long after a POST billing is asked, unless the installation says something else.

    Raises:
        RequestRefused: the operator is no administrator; nothing is changed.
    """

    def write(uow: UnitOfWork) -> AfterRestore:
        rights = seat.rights(uow)
        if not rights.is_administrator:
            raise RequestRefused(
                "NOT_PERMITTED",
                "Only an administrator may say that the database is a restored backup.",
                "Ask an administrator to do it, before anything else is started on it.",
            )
        agreed = uow.settings().settle_s
        done = restoring.after_restore(
            uow, timedelta(seconds=settle_s if agreed is None else agreed), seat.acting or rights.login
        )
        operators.audit(
            uow, rights, seat.acting, "restored", "database",
            {"jobs": len(done.jobs), "asked": done.asked, "waits": done.waits, "last_number": done.last_number},
        )  # fmt: skip
        return done

    return seat.store.run(write)
