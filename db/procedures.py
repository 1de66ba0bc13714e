"""The three maintenance procedures, as set-based statements that run everywhere.

*Update device history across providers*: the same SIM can live on several service providers (same ICCID, or same EID);
what happened to one of its devices is noted for the others. *Mark device changes complete*: the facts of a job are
whole. *Sync device-service links*: links say which active billing service a device has.

All three may run again at any time: a second run changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    false,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from db.schema import (
    billing_service,
    cross_provider_device_history,
    device,
    device_history,
    device_ownership,
    device_service_link,
    work_order,
)
from db.work import is_state

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_history = device_history.c
_link = device_service_link.c
_service = billing_service.c


def record_across_providers(
    uow: UnitOfWork, *, commit_token: str | None = None, job_id: int | None = None, at: datetime | None = None
) -> int:
    """*Update device history across providers*, for one batch of work orders, for a whole job, or for one instant.

    Args:
        commit_token: of a batch; or
        job_id: of a job; or
        at: instant of the history rows; none of them: for all history there is.

    Returns:
        How many rows were written.
    """
    scope: Scope = "all"
    if commit_token is not None:
        scope = "commit_token"
    elif job_id is not None:
        scope = "job"
    elif at is not None:
        scope = "instant"
    parameters = {"now": uow.now(), "token": commit_token, "of_job": job_id, "instant": at}
    return sum(_inserted(uow, statement, parameters) for statement in across_providers(scope))


Scope = Literal["commit_token", "job", "instant", "all"]


@cache
def across_providers(scope: Scope) -> tuple[Insert, ...]:
    """The statements of :func:`record_across_providers`.

    Their parameters are ``now``, and the scope's own: ``token``, ``of_job`` or ``instant``. The facts of a batch, or of
    a job, are those of its work orders.
    """
    this, other = device.alias("this"), device.alias("other")
    seen = cross_provider_device_history.c
    statements = []
    for matched_by in ("iccid", "eid"):
        is_same = and_(
            this.c[matched_by] == other.c[matched_by], other.c.id != this.c.id, other.c.is_deleted == false()
        )
        conditions = [not_(exists().where(seen.device_history_id == _history.id, seen.device_id == other.c.id))]
        if scope in {"commit_token", "job"}:
            # Devices first, their facts last: most devices are on one provider, and nothing of them is read.
            rows = (
                work_order.join(this, this.c.id == work_order.c.device_id)
                .join(other, is_same)
                .join(device_history, _history.work_order_id == work_order.c.id)
            )
        else:
            rows = device_history.join(this, this.c.id == _history.device_id).join(other, is_same)
        match scope:
            case "commit_token":
                conditions.append(work_order.c.commit_token == bindparam("token"))
            case "job":
                conditions.append(work_order.c.job_id == bindparam("of_job"))
            case "instant":
                conditions.append(_history.at == bindparam("instant"))
            case "all":
                pass
        if matched_by == "eid":
            conditions += [this.c.eid.is_not(None), this.c.iccid != other.c.iccid]
        statements.append(
            insert(cross_provider_device_history).from_select(
                ["device_history_id", "device_id", "matched_by", "recorded_at"],
                select(_history.id, other.c.id, literal(matched_by), bindparam("now", type_=seen.recorded_at.type))
                .select_from(rows)
                .where(*conditions),
            )
        )
    return tuple(statements)


def mark_device_changes_complete(uow: UnitOfWork, job_id: int) -> int:
    """*Mark device changes complete*: the job's history rows are whole.

    Returns:
        How many rows were marked.
    """
    return uow.connection.execute(changes_complete(), {"of_job": job_id}).rowcount


@cache
def changes_complete() -> Update:
    """The statement of :func:`mark_device_changes_complete`; its parameter is ``of_job``."""
    return (
        update(device_history)
        .where(_history.job_id == bindparam("of_job"), _history.is_complete == false())
        .values(is_complete=true())
    )


def sync_device_service_links(
    uow: UnitOfWork, job_id: int | None = None, *, devices: Select[Any] | None = None
) -> tuple[int, int]:
    """*Sync device-service links*: a link is open for each active service of a device's owner, or owner to come.

    Args:
        job_id: only devices of this job; or
        devices: only those whose handles this query gives; neither: all devices.

    Returns:
        How many links were closed, and how many were opened.
    """
    if devices is not None:
        close, open_ = _links(devices)
    else:
        close, open_ = links_in_step("all" if job_id is None else "job")
    parameters = {"now": uow.now(), "of_job": job_id}
    closed = uow.connection.execute(close, parameters).rowcount
    return closed, _inserted(uow, open_, parameters)


@cache
def links_in_step(scope: Literal["job", "all"]) -> tuple[Update, Insert]:
    """The statements of :func:`sync_device_service_links`: what closes links, and what opens them.

    Their parameters are ``now``, and for a job ``of_job``.
    """
    if scope == "all":
        return _links(None)
    return _links(select(work_order.c.device_id).where(work_order.c.job_id == bindparam("of_job")))


def _links(devices: Select[Any] | None) -> tuple[Update, Insert]:
    own = device_ownership.c
    now = bindparam("now", type_=_link.linked_at.type)

    def is_owned(state: str) -> ColumnElement[bool]:
        # The unique index on a device's ownership of one state is named by this; by the customer, who may own most of
        # the devices, it would take the square of the time.
        return exists().where(
            own.device_id == _service.device_id,
            is_state(own.state, state),
            own.is_deleted == false(),
            own.customer_id == _service.customer_id,
        )

    is_right = and_(_service.is_active == true(), or_(is_owned("active"), is_owned("scheduled")))

    def of_devices(device_id: Any) -> tuple[Any, ...]:
        return () if devices is None else (device_id.in_(devices),)

    close = (
        update(device_service_link)
        .where(
            _link.closed_at.is_(None),
            *of_devices(_link.device_id),
            not_(
                exists().where(_service.id == _link.billing_service_id, _service.device_id == _link.device_id, is_right)
            ),
        )
        .values(closed_at=now)
    )
    open_ = insert(device_service_link).from_select(
        ["device_id", "billing_service_id", "linked_at"],
        select(_service.device_id, _service.id, now).where(
            *of_devices(_service.device_id),
            # Nearly every service is linked, which is quick to see: asked first, its owner is not looked for.
            not_(
                exists().where(
                    _link.device_id == _service.device_id,
                    _link.billing_service_id == _service.id,
                    _link.closed_at.is_(None),
                )
            ),
            is_right,
        ),
    )
    return close, open_


def _inserted(uow: UnitOfWork, statement: Insert, parameters: Mapping[str, Any] | None = None) -> int:
    """How many rows an ``INSERT … SELECT`` wrote: unless it is asked for, only some drivers say so."""
    return uow.connection.execute(statement, parameters, execution_options={"preserve_rowcount": True}).rowcount
