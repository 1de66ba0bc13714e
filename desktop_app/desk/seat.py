"""Who sits at a desk, on whose rights, and before which database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from db import operators
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.facts import OperatorRights

if TYPE_CHECKING:
    from db.unit_of_work import Store, UnitOfWork


@dataclass(frozen=True, slots=True)
class Seat:
    """What every part of a desk is built on.

    Attributes:
        store: the database.
        login: whose rights are used.
        acting: who sits there, where that is another one; else "".
    """

    store: Store
    login: str
    acting: str = ""

    def rights(self, uow: UnitOfWork) -> OperatorRights:
        """The rights as they stand now; they are asked for in every call, since somebody may take them away.

        Raises:
            RequestRefused: there is no such operator any more.
        """
        rights = operators.find(uow, self.login)
        if rights is None:
            raise operator_unknown(self.login)
        return rights


def operator_unknown(login: str) -> RequestRefused:
    """There is no active operator of this login."""
    return RequestRefused(
        "OPERATOR_UNKNOWN",
        f"There is no operator {login!r} in this database, or the operator is not active.",
        "Ask an administrator to add this login, or name another operator with --operator.",
    )


def no_right(right: str, customer: str) -> RequestRefused:
    """The operator lacks a right on a customer."""
    return RequestRefused(
        "NOT_PERMITTED",
        f"You do not hold the right to {right} for {customer}.",
        "Ask an administrator for the right, or somebody who holds it to do this.",
    )


def job_not_found(tracking_number: str) -> NotFound:
    """There is no such job, or the operator may not see it."""
    return NotFound(
        "JOB_NOT_FOUND",
        f"There is no job {tracking_number!r} that you may see.",
        "Check the tracking number; the command jobs, or the page Jobs, lists them.",
    )
