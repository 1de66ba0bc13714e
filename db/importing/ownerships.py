"""Ownerships that stand now. Nothing is taken from anybody: another owner, or a job at work, is told and left alone.

A new ownership writes a row of history (``assigned``), a changed one what changed (``moved``,
``customer_plan_changed``), so that the record of a device says when and by whom its owner came into this database. The
same SIM on other service providers is told of it, and the device's links with its billing services follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Table,
    Unicode,
    and_,
    case,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)

from db.importing import spelling
from db.importing.devices import DEVICE_KEY_TYPES, find_devices
from db.importing.shape import Import, Part, Resolved, Settling, Staged, Wrong, differs, never
from db.procedures import record_across_providers, sync_device_service_links
from db.schema import (
    customer,
    device,
    device_history,
    device_ownership,
    job,
    rate_plan,
    site,
    work_order,
)
from db.work import is_state
from desktop_app.association.states import OPEN_WORK_ORDERS

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_HISTORY = (
    "device_id", "customer_id", "at", "event", "detail", "effective_date", "operator_login", "reason", "is_complete",
)  # fmt: skip


def known_as(of: Any) -> ColumnElement[Any]:
    """A customer as people name it: by account number, else by name."""
    return func.coalesce(of.c.account_number, of.c.name)


def with_open_job(rows: FromClause, device_id: ColumnElement[Any]) -> tuple[FromClause, Wrong]:
    """The rows joined with the job that works on their device, and the reason not to change anything under it."""
    joined = rows.outerjoin(
        work_order, and_(work_order.c.device_id == device_id, work_order.c.state.in_(sorted(OPEN_WORK_ORDERS)))
    ).outerjoin(job, job.c.id == work_order.c.job_id)
    return joined, Wrong("IN_OPEN_JOB", work_order.c.id.is_not(None), job.c.tracking_number, if_written=True)


def after_writing(uow: UnitOfWork, outcome: Table) -> None:
    """What follows for the devices of rows that were written: their links, and a sign for whoever shows them."""
    row = outcome.c
    written = select(row.of_device).where(row.wrong.is_(None), or_(row.target_id.is_(None), row.is_changed == 1))
    sync_device_service_links(uow, devices=written)
    uow.connection.execute(
        update(device).where(device.c.id.in_(written)).values(changed_at=uow.now(), revision=device.c.revision + 1)
    )


def _ownerships(uow: UnitOfWork, staged: Staged, by: Import) -> Resolved:
    found = find_devices(staged)
    of_device, owner, holder = found.device, customer.alias("owner"), customer.alias("holder")
    target, to_come, ended = (device_ownership.alias(name) for name in ("target", "to_come", "ended"))
    comer = customer.alias("comer")
    plan = rate_plan.alias("plan")
    rows = (
        found.rows.outerjoin(owner, owner.c.account_number == staged["account_number"])
        .outerjoin(site, and_(site.c.customer_id == owner.c.id, site.c.code == staged["site"]))
        .outerjoin(plan, and_(plan.c.kind == "customer", plan.c.code == staged["customer_rate_plan"]))
        .outerjoin(target, _of_state(target, "active", of_device))
        .outerjoin(holder, holder.c.id == target.c.customer_id)
        .outerjoin(to_come, _of_state(to_come, "scheduled", of_device))
        .outerjoin(comer, comer.c.id == to_come.c.customer_id)
    )
    every_row, in_open_job = with_open_job(rows, of_device.c.id)
    begins = func.coalesce(staged["effective_from"], target.c.effective_from, of_device.c.activated_on, type_=Date())
    today = literal(uow.today(), Date())
    is_new = target.c.id.is_(None)
    last_end = and_(
        ended.c.device_id == of_device.c.id, is_state(ended.c.state, "ended"), ended.c.is_deleted == false(),
        ended.c.effective_to > begins,
    )  # fmt: skip

    values = Settling(staged, target)
    values.inserted |= {
        "device_id": of_device.c.id,
        "customer_id": owner.c.id,
        "state": literal("active", Unicode(10)),
        "is_deleted": false(),
    }
    values.settled["effective_from"] = begins
    values.reference("site_id", "site", site.c.id)
    _plan(staged, values, target, plan)
    # As a job freezes them: by what the customer is billed.
    values.inserted |= {
        "account_number": owner.c.account_number, "billing_credential_id": owner.c.billing_credential_id,
    }  # fmt: skip
    now = literal(uow.now(), device_ownership.c.created_at.type)
    plan_columns = [
        name for name in ("customer_rate_plan_id", "data_limit_bytes", "data_pool") if name in values.settled
    ]
    has_moved = differs(values.settled["site_id"], target.c.site_id) if staged.has("site") else never()
    has_new_plan = or_(never(), *(differs(values.settled[name], target.c[name]) for name in plan_columns))
    return Resolved(
        staged,
        every_row,
        target,
        values.inserted,
        values.settled,
        (
            *found.wrong,
            Wrong("CUSTOMER_UNKNOWN", owner.c.id.is_(None)),
            Wrong("SITE_UNKNOWN", and_(staged["site"].is_not(None), site.c.id.is_(None))),
            Wrong("CUSTOMER_RATE_PLAN_UNKNOWN", and_(staged["customer_rate_plan"].is_not(None), plan.c.id.is_(None))),
            Wrong("CUSTOMER_RATE_PLAN_OF_ANOTHER", plan.c.customer_id != owner.c.id),
            Wrong("OWNED_BY_ANOTHER", target.c.customer_id != owner.c.id, known_as(holder)),
            in_open_job,
            Wrong("OWNERSHIP_SCHEDULED", and_(is_new, to_come.c.id.is_not(None)), known_as(comer)),
            Wrong("EFFECTIVE_FROM_MISSING", begins.is_(None)),
            Wrong("BEGINS_AHEAD", begins > today, begins),
            Wrong("BEGINS_AFTER_ITS_END", begins > target.c.effective_to, target.c.effective_to),
            Wrong(
                "BEGINS_BEFORE_PREVIOUS_END",
                exists().where(last_end),
                select(func.max(ended.c.effective_to)).where(last_end).scalar_subquery(),
                if_written=True,
            ),
        ),
        on_insert={"created_at": now, "changed_at": now},
        on_change={"changed_at": now},
        extras={
            "of_device": of_device.c.id,
            "of_customer": owner.c.id,
            "site_name": site.c.name,
            "plan_code": plan.c.code,
            "has_moved": case((has_moved, 1), else_=0),
            "has_new_plan": case((has_new_plan, 1), else_=0),
        },
        after=lambda uow, outcome: _record(uow, outcome, by),
    )


def _of_state(alias: Any, state: str, of_device: Any) -> ColumnElement[bool]:
    # The unique index on a device's ownership of one state is named by this.
    return and_(alias.c.device_id == of_device.c.id, is_state(alias.c.state, state), alias.c.is_deleted == false())


def _plan(staged: Staged, values: Settling, target: Any, plan: Any) -> None:
    """The customer rate plan; limit and pool are the plan's, unless the file has them."""
    values.reference("customer_rate_plan_id", "customer_rate_plan", plan.c.id)
    for name in ("data_limit_bytes", "data_pool"):
        if staged.has(name):
            values.free(name)
        elif staged.has("customer_rate_plan"):
            values.settled[name] = case(
                (differs(plan.c.id, target.c.customer_rate_plan_id), plan.c[name]), else_=target.c[name]
            )


def _record(uow: UnitOfWork, outcome: Table, by: Import) -> None:
    row = outcome.c
    is_new = row.target_id.is_(None)
    site_said = func.coalesce(literal("Site ", Unicode(10)) + row.site_name, literal("", Unicode(10)))
    plan_said = func.coalesce(
        literal("Customer rate plan ", Unicode(30)) + row.plan_code, literal("No customer rate plan", Unicode(30))
    )
    facts: tuple[tuple[str, ColumnElement[Any], ColumnElement[bool]], ...] = (
        ("assigned", site_said, is_new),
        ("moved", site_said, and_(row.is_changed == 1, row.has_moved == 1)),
        (
            "customer_plan_changed",
            plan_said,
            or_(and_(is_new, row.plan_code.is_not(None)), and_(row.is_changed == 1, row.has_new_plan == 1)),
        ),
    )
    for event, detail, when in facts:
        uow.connection.execute(
            insert(device_history).from_select(
                _HISTORY,
                select(
                    row.of_device,
                    row.of_customer,
                    literal(uow.now(), device_history.c.at.type),
                    literal(event, Unicode(32)),
                    case(
                        (detail == "", literal("Imported", Unicode(20))),
                        else_=literal("Imported: ", Unicode(20)) + detail,
                    ),
                    row.effective_from,
                    literal(by.operator_login, Unicode(120)),
                    literal(by.reason, Unicode(400)),
                    true(),
                )
                .where(row.wrong.is_(None), when)
                .order_by(row.line),
            )
        )
    after_writing(uow, outcome)
    record_across_providers(uow, at=uow.now())


OWNERSHIPS = Part(
    device_ownership,
    {
        **DEVICE_KEY_TYPES,
        "account_number": Unicode(40),
        "site": Unicode(40),
        "effective_from": Date(),
        "customer_rate_plan": Unicode(60),
        "data_limit_bytes": BigInteger(),
        "data_pool": Unicode(60),
    },
    _ownerships,
    [
        spelling.service_providers(),
        spelling.customers(),
        spelling.sites("site"),
        spelling.customer_rate_plans("customer_rate_plan"),
    ],
)
