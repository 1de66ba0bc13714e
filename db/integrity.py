"""What must hold in a database, proved by looking: each rule that is broken is named, with an example and what to do.

Nothing is changed. All rules look at one snapshot, so they may be checked while jobs are running.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, false, func, inspect, not_, or_, select, true

from db import dialects, maintenance
from db.engines import sqlite_path
from db.maintenance import Standing
from db.schema import (
    billing_service,
    device,
    device_history,
    device_ownership,
    device_service_link,
    job,
    metadata,
    outbox_event,
    rate_plan,
    scheduled_plan_change,
    site,
    work_order,
    work_order_step,
)
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import BillingAction
from desktop_app.association.states import (
    BILLING_STEPS,
    FINAL_JOBS,
    OPEN_WORK_ORDERS,
    SETTLED_STEPS,
    JobState,
    Step,
    StepState,
    WorkOrderState,
)

if TYPE_CHECKING:
    from db.unit_of_work import Store, UnitOfWork


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that does not hold.

    Attributes:
        code: stable, upper case.
        message: one sentence: what is the matter.
        rows: how many rows (devices, work orders, jobs …) break it.
        example: one of them: an ICCID, a tracking number, a name.
        what_to_do: one sentence.
        is_advice: nothing is wrong; the database would only work better otherwise.
    """

    code: str
    message: str
    rows: int
    example: str
    what_to_do: str
    is_advice: bool = False


def check(store: Store) -> tuple[Violation, ...]:
    """Checks everything. Empty: all rules hold.

    A damaged file, or tables that are not those of this program, are told alone: no further answer could be trusted.

    Raises:
        EnvironmentFault: there is no database, or it cannot be reached.
    """
    found = maintenance.state(store)
    if found.standing is not Standing.CURRENT:
        return (_not_current(store, found),)
    path = sqlite_path(store.url)
    if path is not None and (damage := maintenance.damage(path)):
        return (
            Violation(
                "FILE_DAMAGED",
                f"The database file {path} is damaged.",
                len(damage),
                damage[0],
                "Stop every program that uses it, copy it away, and put the last backup in its place.",
            ),
        )
    with store.read() as uow:
        missing = tuple(_missing(uow))
        if any(violation.code == "TABLE_MISSING" for violation in missing):
            return missing
        return (*missing, *_foreign_keys(uow), *_rules(uow), *_statistics(uow), *_settings(uow), *_advice(uow))


def _not_current(store: Store, found: maintenance.DatabaseState) -> Violation:
    try:
        maintenance.require_current(store)
    except EnvironmentFault as fault:
        if found.standing is Standing.NOTHING:
            raise
        return Violation(fault.code, fault.message, 1, found.revision or "", fault.what_to_do)
    raise AssertionError("unreachable: only a current database is not refused")


# --- the tables themselves -------------------------------------------------------------------------------------------


def _missing(uow: UnitOfWork) -> Iterator[Violation]:
    """Tables, indexes and foreign keys that somebody took away; unique indexes hold rules that nothing else holds."""
    inspector = inspect(uow.connection)
    tables = set(inspector.get_table_names())
    yield from _named("TABLE_MISSING", "table", sorted(set(metadata.tables) - tables))
    if not set(metadata.tables) <= tables:
        return
    indexes = {index["name"] for found in inspector.get_multi_indexes().values() for index in found}
    wanted = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    yield from _named("INDEX_MISSING", "index", sorted(wanted - indexes))
    if dialects.names_foreign_keys(uow.connection):
        keys = {key["name"] for found in inspector.get_multi_foreign_keys().values() for key in found}
        wanted = {str(key.name) for table in metadata.tables.values() for key in table.foreign_key_constraints}
        yield from _named("FOREIGN_KEY_MISSING", "foreign key", sorted(wanted - keys))


def _named(code: str, what: str, names: list[str]) -> Iterator[Violation]:
    if names:
        yield Violation(
            code,
            f"The database has no {what} {', '.join(names)}.",
            len(names),
            names[0],
            "Somebody took it away outside this program: bring it back from a backup, or have it made as the migration "
            "does.",
        )


def _foreign_keys(uow: UnitOfWork) -> Iterator[Violation]:
    """SQLite takes rows without their parent from a program that has not switched foreign keys on; servers do not."""
    rows = dialects.rows_without_parent(uow.connection)
    if rows:
        yield Violation(
            "FOREIGN_KEY_BROKEN",
            "There are rows that refer to rows that do not exist.",
            len(rows),
            rows[0],
            "Another program wrote to the file: put the last backup in its place, or delete these rows.",
        )


# --- the rules -------------------------------------------------------------------------------------------------------

_wo, _own, _service, _link = work_order.c, device_ownership.c, billing_service.c, device_service_link.c
_OPEN = sorted(OPEN_WORK_ORDERS)
_BILLED = (BillingAction.CREATE, BillingAction.KEEP)

_LOOK_UP = "Look these devices up at billing before their job goes on or is retried. "
_TELL = "Keep a copy of the database and report this as an error of the program, with the job log."
_MERGE = "Two programs wrote without the unique index, or somebody did by hand: end all but the right one."


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule, and the query for what breaks it: one row each, with a name for it in the column ``example``."""

    code: str
    message: str
    what_to_do: str
    broken: Select[Any]


def _devices_twice(*conditions: ColumnElement[bool], table: Any) -> Select[Any]:
    return (
        select(func.min(device.c.iccid).label("example"))
        .join_from(table, device, device.c.id == table.c.device_id)
        .where(*conditions)
        .group_by(table.c.device_id)
        .having(func.count() > 1)
    )


def _succeeded(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Work orders that succeeded and for which the conditions hold."""
    return (
        select(_named_order().label("example"))
        .join_from(work_order, job, job.c.id == _wo.job_id)
        .where(_wo.state == WorkOrderState.SUCCEEDED, *conditions)
    )


def _named_order() -> ColumnElement[Any]:
    return job.c.tracking_number + " " + _wo.iccid


def _orders(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(_named_order().label("example")).join_from(work_order, job, job.c.id == _wo.job_id).where(*conditions)


def _has_step(step: Step) -> ColumnElement[bool]:
    return exists().where(work_order_step.c.work_order_id == _wo.id, work_order_step.c.step == step)


def _has_a_step(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """The work order has such a step: few are, so they are looked for once, not for each work order."""
    return _wo.id.in_(select(work_order_step.c.work_order_id).where(*conditions))


def _miscounted() -> Select[Any]:
    """Jobs of which a counter is not the number of its work orders in that state."""
    counts = (
        select(
            _wo.job_id,
            func.count().label("total"),
            *(func.sum(case((_wo.state == state, 1), else_=0)).label(state.value) for state in WorkOrderState),
        )
        .group_by(_wo.job_id)
        .subquery("counts")
    )
    names = ("total", *(state.value for state in WorkOrderState))
    return (
        select(job.c.tracking_number.label("example"))
        .outerjoin_from(job, counts, counts.c.job_id == job.c.id)
        .where(or_(*(job.c[name] != func.coalesce(counts.c[name], 0) for name in names)))
    )


def _is_right() -> ColumnElement[bool]:
    """The service is active and its customer owns the device, now or soon: the device is linked with it."""
    return and_(
        _service.is_active == true(),
        exists().where(
            _own.device_id == _service.device_id,
            _own.customer_id == _service.customer_id,
            _own.state.in_(("active", "scheduled")),
            _own.is_deleted == false(),
        ),
    )


def _in_open_work(device_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Between a service's record and the local effects a link is not there yet, and need not be."""
    return exists().where(_wo.device_id == device_id, _wo.state.in_(_OPEN))


def _links_too_many() -> Select[Any]:
    right = exists().where(_service.id == _link.billing_service_id, _service.device_id == _link.device_id, _is_right())
    return (
        select(device.c.iccid.label("example"))
        .join_from(device_service_link, device, device.c.id == _link.device_id)
        .where(_link.closed_at.is_(None), not_(right), not_(_in_open_work(_link.device_id)))
    )


def _links_too_few() -> Select[Any]:
    linked = exists().where(
        _link.billing_service_id == _service.id, _link.device_id == _service.device_id, _link.closed_at.is_(None)
    )
    return (
        select(device.c.iccid.label("example"))
        .join_from(billing_service, device, device.c.id == _service.device_id)
        .where(_is_right(), not_(linked), not_(_in_open_work(_service.device_id)))
    )


def _the_rules() -> tuple[_Rule, ...]:
    step, change = work_order_step.c, scheduled_plan_change.c
    standing = (_own.state == "active", _own.is_deleted == false())
    return (
        _Rule(
            "TWO_OWNERS",
            "There are devices that two customers own.",
            _MERGE,
            _devices_twice(*standing, table=device_ownership),
        ),
        _Rule(
            "TWO_OWNERS_TO_COME",
            "There are devices with two scheduled owners.",
            _MERGE,
            _devices_twice(_own.state == "scheduled", _own.is_deleted == false(), table=device_ownership),
        ),
        _Rule(
            "TWO_OPEN_WORK_ORDERS",
            "There are devices in two open work orders.",
            "Cancel all but one of these jobs.",
            _devices_twice(_wo.state.in_(_OPEN), table=work_order),
        ),
        _Rule(
            "TWO_SERVICES_FOR_ONE_WORK_ORDER",
            "There are work orders that made two billing services.",
            "End all but one of these services at the billing company, then re-read from billing. " + _TELL,
            select(func.min(job.c.tracking_number + " " + _wo.iccid).label("example"))
            .join_from(billing_service, work_order, _wo.id == _service.work_order_id)
            .join(job, job.c.id == _wo.job_id)
            .group_by(_service.work_order_id)
            .having(func.count() > 1),
        ),
        _Rule(
            "SUCCEEDED_WITHOUT_OWNERSHIP",
            "There are work orders that succeeded without an ownership of their device.",
            _TELL,
            _succeeded(
                not_(
                    exists().where(
                        _own.device_id == _wo.device_id,
                        _own.customer_id == job.c.customer_id,
                        or_(_own.work_order_id == _wo.id, _own.id == _wo.prior_ownership_id),
                    )
                )
            ),
        ),
        _Rule(
            "SUCCEEDED_WITHOUT_SERVICE",
            "There are work orders that succeeded without the billing service that was asked for.",
            _TELL,
            _succeeded(
                _wo.billing_action.in_(_BILLED),
                not_(
                    exists().where(
                        _service.id == _wo.billing_service_id,
                        _service.device_id == _wo.device_id,
                        _service.customer_id == job.c.customer_id,
                    )
                ),
            ),
        ),
        _Rule(
            "SUCCEEDED_WITHOUT_HISTORY",
            "There are work orders that succeeded without a row in the device history.",
            _TELL,
            _succeeded(
                not_(
                    exists().where(
                        device_history.c.work_order_id == _wo.id,
                        device_history.c.device_id == _wo.device_id,
                        device_history.c.event != "failed",
                    )
                )
            ),
        ),
        _Rule(
            "SUCCEEDED_WITHOUT_STEPS",
            "There are work orders that succeeded without their steps on record.",
            _TELL,
            _succeeded(not_(and_(_has_step(Step.OWNERSHIP), _has_step(Step.HISTORY)))),
        ),
        _Rule(
            "SUCCEEDED_WITH_OPEN_STEP",
            "There are work orders that succeeded although one of their steps did not.",
            _TELL,
            _succeeded(exists().where(step.work_order_id == _wo.id, step.state.not_in(sorted(SETTLED_STEPS)))),
        ),
        # Open steps of work orders that succeeded are named above.
        _Rule(
            "INTENT_OF_NOBODY",
            "There are calls to billing that were about to be made, of work orders that no engine is running.",
            _LOOK_UP + _TELL,
            _orders(
                _has_a_step(step.state == StepState.INTENT),
                _wo.state.not_in((WorkOrderState.RUNNING, WorkOrderState.SUCCEEDED)),
            ),
        ),
        _Rule(
            "UNKNOWN_TO_NOBODY",
            "There are unknown outcomes at billing, of work orders that do not wait for billing to be asked.",
            _LOOK_UP + _TELL,
            _orders(
                _has_a_step(step.state == StepState.UNKNOWN),
                _wo.state.not_in((WorkOrderState.RUNNING, WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.SUCCEEDED)),
            ),
        ),
        _Rule(
            "DONE_WITHOUT_BILLING_ID",
            "There are work orders for which something was made or kept at billing, without billing's id of it.",
            _LOOK_UP + _TELL,
            _orders(
                _has_a_step(
                    step.step.in_(BILLING_STEPS),
                    step.state.in_((StepState.DONE, StepState.KEPT)),
                    func.coalesce(step.billing_id, "") == "",
                )
            ),
        ),
        _Rule(
            "RUNNING_WITHOUT_LEASE",
            "There are running work orders that no engine holds.",
            _TELL,
            _orders(_wo.state == WorkOrderState.RUNNING, or_(_wo.engine_id.is_(None), _wo.lease_until.is_(None))),
        ),
        _Rule(
            "WAITING_FOR_EVER",
            "There are work orders that wait for another try without a time for it.",
            _TELL,
            _orders(_wo.state == WorkOrderState.WAITING_RETRY, _wo.next_attempt_at.is_(None)),
        ),
        _Rule(
            "COUNTERS_DIFFER",
            "There are jobs whose counters are not the number of their work orders.",
            _TELL,
            _miscounted(),
        ),
        _Rule(
            "FINISHED_WITH_OPEN_WORK",
            "There are jobs that are over, or being finished, and have open work orders.",
            _TELL,
            select(job.c.tracking_number.label("example")).where(
                job.c.state.in_(sorted({*FINAL_JOBS, JobState.FINISHING})),
                exists().where(_wo.job_id == job.c.id, _wo.state.in_(_OPEN)),
            ),
        ),
        _Rule(
            "LINK_WITHOUT_SERVICE",
            "There are devices linked with a billing service that is not active, or not of their owner.",
            "The next job with these devices puts it right; if it does not: " + _TELL,
            _links_too_many(),
        ),
        _Rule(
            "SERVICE_WITHOUT_LINK",
            "There are devices that are not linked with their owner's active billing service.",
            "The next job with these devices puts it right; if it does not: " + _TELL,
            _links_too_few(),
        ),
        _Rule(
            "SITE_OF_ANOTHER_CUSTOMER",
            "There are devices at a site that is not their owner's.",
            "Move these devices to a site of their owner.",
            select(device.c.iccid.label("example"))
            .join_from(device_ownership, device, device.c.id == _own.device_id)
            .join(site, site.c.id == _own.site_id)
            .where(*standing, site.c.customer_id != _own.customer_id),
        ),
        _Rule(
            "OWNERSHIP_ENDS_BEFORE_IT_BEGINS",
            "There are ownerships that end before they begin.",
            "Correct the dates of these ownerships.",
            select(device.c.iccid.label("example"))
            .join_from(device_ownership, device, device.c.id == _own.device_id)
            .where(_own.effective_to < _own.effective_from),
        ),
        _Rule(
            "CARRIER_PLAN_OF_ANOTHER_PROVIDER",
            "There are devices with a carrier rate plan of another service provider.",
            "Give these devices a plan of their own service provider.",
            select(device.c.iccid.label("example"))
            .join_from(device, rate_plan, rate_plan.c.id == device.c.carrier_rate_plan_id)
            .where(or_(rate_plan.c.kind != "carrier", rate_plan.c.service_provider_id != device.c.service_provider_id)),
        ),
        _Rule(
            "PLAN_CHANGE_OF_ENDED_OWNERSHIP",
            "There are scheduled plan changes for owners that are no longer.",
            _TELL,
            select(device.c.iccid.label("example"))
            .join_from(scheduled_plan_change, device, device.c.id == change.device_id)
            .join(device_ownership, _own.id == change.device_ownership_id)
            .where(change.state == "pending", or_(_own.state == "ended", _own.device_id != change.device_id)),
        ),
        _Rule(
            "NOTIFICATION_WITHOUT_TIME",
            "There are notifications that wait to be sent without a time for it.",
            _TELL,
            select(outbox_event.c.event_id.label("example")).where(
                outbox_event.c.state == "pending", outbox_event.c.next_attempt_at.is_(None)
            ),
        ),
    )


def _rules(uow: UnitOfWork) -> Iterator[Violation]:
    for rule in _the_rules():
        broken = rule.broken.subquery("broken")
        rows, example = uow.connection.execute(
            select(func.count(), func.min(broken.c.example)).select_from(broken)
        ).one()
        if rows:
            yield Violation(rule.code, rule.message, rows, str(example or ""), rule.what_to_do)


def _statistics(uow: UnitOfWork) -> Iterator[Violation]:
    """The statistics of a job that is over say what its counters say."""
    counters = [job.c[state.value] for state in WorkOrderState]
    rows: Iterable[Any] = uow.connection.execute(
        select(job.c.tracking_number, job.c.statistics, job.c.total, *counters)
        .where(job.c.state.in_(sorted(FINAL_JOBS)))
        .order_by(job.c.id)
        .execution_options(yield_per=1_000)
    )
    differ = [
        number
        for number, statistics, total, *counts in rows
        if not statistics
        or statistics.get("total") != total
        or [statistics.get(state.value) for state in WorkOrderState] != counts
    ]
    if differ:
        yield Violation(
            "STATISTICS_DIFFER",
            "There are jobs that are over and whose statistics are not what their counters say.",
            len(differ),
            differ[0],
            _TELL,
        )


def _settings(uow: UnitOfWork) -> Iterator[Violation]:
    try:
        uow.settings()
    except EnvironmentFault as fault:
        yield Violation(fault.code, fault.message, 1, "", fault.what_to_do)


def _advice(uow: UnitOfWork) -> Iterator[Violation]:
    if dialects.readers_wait_for_writers(uow.connection):
        yield Violation(
            "READ_COMMITTED_SNAPSHOT_OFF",
            "Readers and writers of this database wait for each other.",
            1,
            "READ_COMMITTED_SNAPSHOT",
            "Have the administrator run, while nobody is connected: ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT "
            "ON",
            is_advice=True,
        )
