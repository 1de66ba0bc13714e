"""Who may do what: operators, their rights on customers, and the audit of what they did in another's name.

A right on a customer is ``view``, ``associate`` or ``reassign``; whoever holds any of them on a customer may see it. A
grant without customer is on all of them; an administrator holds every right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, insert, or_, select, true, update

from db.schema import audit_entry, operator, operator_grant
from desktop_app.association.facts import OperatorRights, Right

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


def find(uow: UnitOfWork, login: str) -> OperatorRights | None:
    """The active operator of this login (in any case of its letters), or None."""
    row = uow.connection.execute(
        select(operator.c.id, operator.c.login, operator.c.name, operator.c.is_administrator).where(
            operator.c.login == login.casefold(), operator.c.is_active == true()
        )
    ).one_or_none()
    if row is None:
        return None
    grants = uow.connection.execute(
        select(operator_grant.c.right, operator_grant.c.customer_id).where(operator_grant.c.operator_id == row.id)
    )
    return OperatorRights(
        operator_id=row.id,
        login=row.login,
        name=row.name,
        is_administrator=row.is_administrator,
        grants=frozenset((Right(right), customer_id) for right, customer_id in grants),
    )


def has_administrator(uow: UnitOfWork) -> bool:
    """Whether there is an active operator who may do everything."""
    administrators = select(func.count()).where(operator.c.is_administrator == true(), operator.c.is_active == true())
    return bool(uow.connection.execute(administrators).scalar_one())


def add_administrator(uow: UnitOfWork, login: str, name: str) -> bool:
    """Makes an operator who may do everything; one of this login who is there already may do everything from now on.

    Returns:
        False: there is one who is not active. Somebody has shut him out; nothing is changed.
    """
    key = login.casefold()
    there = uow.connection.execute(select(operator.c.id, operator.c.is_active).where(operator.c.login == key)).first()
    if there is None:
        uow.connection.execute(
            insert(operator).values(login=key, name=name, is_administrator=True, is_active=True, created_at=uow.now())
        )
        return True
    if there.is_active:
        uow.connection.execute(update(operator).where(operator.c.id == there.id).values(is_administrator=True))
    return bool(there.is_active)


def logins(uow: UnitOfWork) -> tuple[str, ...]:
    """The logins of all active operators, in order."""
    found = uow.connection.execute(
        select(operator.c.login).where(operator.c.is_active == true()).order_by(operator.c.login)
    )
    return tuple(found.scalars())


def sees(rights: OperatorRights, customer_id: ColumnElement[Any], *, or_nobody: bool = False) -> ColumnElement[bool]:
    """The condition that keeps rows of customers that the operator may see.

    Args:
        customer_id: the rows' column with the customer.
        or_nobody: rows without customer too.
    """
    if rights.visible_customers is None:
        return true()
    seen = customer_id.in_(
        select(operator_grant.c.customer_id).where(
            operator_grant.c.operator_id == rights.operator_id, operator_grant.c.customer_id.is_not(None)
        )
    )
    return or_(customer_id.is_(None), seen) if or_nobody else seen


def audit(
    uow: UnitOfWork,
    rights: OperatorRights,
    acting: str,
    action: str,
    subject: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Writes down who did what on whose rights.

    Args:
        acting: login of the person at the desk, where that is another one; "": the operator himself.
        action: such as ``act_for``, ``resolve``.
        subject: what it was done to, such as a tracking number.
    """
    uow.connection.execute(
        insert(audit_entry).values(
            at=uow.now(),
            operator_login=rights.login,
            acting_login=acting or rights.login,
            action=action,
            subject=subject,
            detail=dict(detail) if detail is not None else None,
        )
    )
