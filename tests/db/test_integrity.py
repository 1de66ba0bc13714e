"""Each rule of the database broken on purpose is found, and named; in sound data nothing is found."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta

import pytest
from sqlalchemy import Connection, delete, insert, null, select, text, update

from db import integrity, maintenance
from db.engines import sqlite_path
from db.schema import (
    billing_service,
    device,
    device_history,
    device_ownership,
    device_service_link,
    installation_setting,
    job,
    outbox_event,
    rate_plan,
    scheduled_plan_change,
    site,
    work_order,
    work_order_step,
)
from db.unit_of_work import Store
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.states import JobState, WorkOrderState
from tests.helpers.databases import Databases
from tests.helpers.stores import demo_store, migrated

_wo, _own = work_order.c, device_ownership.c


@pytest.fixture
def demo(databases: Databases) -> Iterator[Store]:
    with demo_store(databases) as store:
        yield store


def test_sound_data_break_no_rule(demo: Store) -> None:
    assert integrity.check(demo) == ()


def test_an_empty_database_breaks_no_rule(store: Store) -> None:
    assert integrity.check(store) == ()


# --- each rule, broken -----------------------------------------------------------------------------------------------


def _one(connection: Connection, state: str = "succeeded", *, billed: bool = False) -> tuple[int, str, str]:
    """A work order in a state: its id, the job's tracking number, the ICCID."""
    row = connection.execute(
        select(_wo.id, job.c.tracking_number, _wo.iccid)
        .join(job, job.c.id == _wo.job_id)
        .where(_wo.state == state, _wo.billing_action == "create" if billed else _wo.billing_action.is_not(None))
        .order_by(_wo.id)
    ).first()
    assert row is not None
    return row[0], row[1], row[2]


def _copy_row(connection: Connection, table, key: int, **changes) -> None:
    row = connection.execute(select(table).where(table.c.id == key)).mappings().one()
    values = {name: value for name, value in row.items() if name != "id"}
    connection.execute(insert(table).values(**{**values, **changes}))


def _without_index(connection: Connection, name: str, table: str) -> None:
    del table
    connection.execute(text(f"DROP INDEX {name}"))


def two_owners(connection: Connection) -> str:
    _without_index(connection, "uq_device_ownership_active", "device_ownership")
    key, iccid = connection.execute(
        select(_own.id, device.c.iccid).join(device, device.c.id == _own.device_id).where(_own.state == "active")
    ).first() or (0, "")
    _copy_row(connection, device_ownership, key)
    return iccid


def two_owners_to_come(connection: Connection) -> str:
    _without_index(connection, "uq_device_ownership_scheduled", "device_ownership")
    key, iccid = connection.execute(
        select(_own.id, device.c.iccid).join(device, device.c.id == _own.device_id).where(_own.state == "scheduled")
    ).first() or (0, "")
    _copy_row(connection, device_ownership, key)
    return iccid


def two_open_work_orders(connection: Connection) -> str:
    _without_index(connection, "uq_work_order_open_device", "work_order")
    key, _number, iccid = _one(connection, "queued")
    _copy_row(connection, work_order, key, line=9_999)
    connection.execute(
        update(job).where(job.c.state == "paused").values(total=job.c.total + 1, queued=job.c.queued + 1)
    )
    return iccid


def two_services_for_one_work_order(connection: Connection) -> str:
    key, number, iccid = _one(connection, billed=True)
    service = connection.scalar(select(billing_service.c.id).where(billing_service.c.work_order_id == key))
    assert service is not None
    _copy_row(connection, billing_service, service, service_id="double", reference=None, is_active=False)
    return f"{number} {iccid}"


def succeeded_without_ownership(connection: Connection) -> str:
    key, number, iccid = _one(connection)
    connection.execute(update(device_ownership).where(_own.work_order_id == key).values(work_order_id=null()))
    return f"{number} {iccid}"


def succeeded_without_service(connection: Connection) -> str:
    key, number, iccid = _one(connection, billed=True)
    connection.execute(update(work_order).where(_wo.id == key).values(billing_service_id=null()))
    return f"{number} {iccid}"


def succeeded_without_history(connection: Connection) -> str:
    key, number, iccid = _one(connection)
    connection.execute(delete(device_history).where(device_history.c.work_order_id == key))
    return f"{number} {iccid}"


def succeeded_without_steps(connection: Connection) -> str:
    key, number, iccid = _one(connection)
    connection.execute(
        delete(work_order_step).where(work_order_step.c.work_order_id == key, work_order_step.c.step == "history")
    )
    return f"{number} {iccid}"


def succeeded_with_open_step(connection: Connection) -> str:
    key, number, iccid = _one(connection, billed=True)
    connection.execute(
        update(work_order_step)
        .where(work_order_step.c.work_order_id == key, work_order_step.c.step == "billing_service")
        .values(state="unknown")
    )
    return f"{number} {iccid}"


def _unbegun_with_step(connection: Connection, state: str) -> str:
    """The queued work order of the paused job, with a service step in a state."""
    key, number, iccid = _one(connection, "queued")
    connection.execute(
        insert(work_order_step).values(work_order_id=key, step="billing_service", state=state, attempts=1)
    )
    return f"{number} {iccid}"


def intent_of_nobody(connection: Connection) -> str:
    return _unbegun_with_step(connection, "intent")


def unknown_to_nobody(connection: Connection) -> str:
    return _unbegun_with_step(connection, "unknown")


def done_without_billing_id(connection: Connection) -> str:
    key, number, iccid = _one(connection, billed=True)
    connection.execute(
        update(work_order_step)
        .where(work_order_step.c.work_order_id == key, work_order_step.c.step == "customer_plan_product")
        .values(billing_id=null())
    )
    return f"{number} {iccid}"


def _reopened(connection: Connection, state: WorkOrderState) -> str:
    """The queued work order of the paused job in another state, with its counters."""
    key, number, iccid = _one(connection, "queued")
    connection.execute(update(work_order).where(_wo.id == key).values(state=state))
    connection.execute(
        update(job)
        .where(job.c.tracking_number == number)
        .values({job.c.queued: job.c.queued - 1, job.c[state.value]: job.c[state.value] + 1})
    )
    return f"{number} {iccid}"


def running_without_lease(connection: Connection) -> str:
    return _reopened(connection, WorkOrderState.RUNNING)


def waiting_for_ever(connection: Connection) -> str:
    return _reopened(connection, WorkOrderState.WAITING_RETRY)


def counters_differ(connection: Connection) -> str:
    _key, number, _iccid = _one(connection, "queued")
    connection.execute(update(job).where(job.c.tracking_number == number).values(queued=job.c.queued - 1))
    return number


def finished_with_open_work(connection: Connection) -> str:
    _key, number, _iccid = _one(connection, "queued")
    counts = connection.execute(
        select(job.c.total, *(job.c[state.value] for state in WorkOrderState)).where(job.c.tracking_number == number)
    ).one()
    statistics = {"total": counts[0], **dict(zip((state.value for state in WorkOrderState), counts[1:], strict=True))}
    connection.execute(
        update(job).where(job.c.tracking_number == number).values(state=JobState.FAILED, statistics=statistics)
    )
    return number


def statistics_differ(connection: Connection) -> str:
    _key, number, _iccid = _one(connection)
    connection.execute(update(job).where(job.c.tracking_number == number).values(statistics=null()))
    return number


def _linked(connection: Connection) -> tuple[int, int, str]:
    row = connection.execute(
        select(device_service_link.c.id, device_service_link.c.billing_service_id, device.c.iccid)
        .join(device, device.c.id == device_service_link.c.device_id)
        .where(device_service_link.c.closed_at.is_(None))
    ).first()
    assert row is not None
    return row[0], row[1], row[2]


def link_without_service(connection: Connection) -> str:
    _link, service, iccid = _linked(connection)
    connection.execute(update(billing_service).where(billing_service.c.id == service).values(is_active=False))
    return iccid


def service_without_link(connection: Connection) -> str:
    link, _service, iccid = _linked(connection)
    connection.execute(delete(device_service_link).where(device_service_link.c.id == link))
    return iccid


def _owned(connection: Connection) -> tuple[int, str, int]:
    row = connection.execute(
        select(_own.id, device.c.iccid, _own.customer_id)
        .join(device, device.c.id == _own.device_id)
        .where(_own.state == "active", _own.site_id.is_not(None))
    ).first()
    assert row is not None
    return row[0], row[1], row[2]


def site_of_another_customer(connection: Connection) -> str:
    key, iccid, customer_id = _owned(connection)
    other = connection.scalar(select(site.c.id).where(site.c.customer_id != customer_id))
    connection.execute(update(device_ownership).where(_own.id == key).values(site_id=other))
    return iccid


def ownership_ends_before_it_begins(connection: Connection) -> str:
    key, iccid, _customer = _owned(connection)
    begins = connection.scalar(select(_own.effective_from).where(_own.id == key))
    assert begins is not None
    connection.execute(update(device_ownership).where(_own.id == key).values(effective_to=begins - timedelta(days=1)))
    return iccid


def carrier_plan_of_another_provider(connection: Connection) -> str:
    row = connection.execute(select(device.c.id, device.c.iccid, device.c.service_provider_id)).first()
    assert row is not None
    other = connection.scalar(
        select(rate_plan.c.id).where(
            rate_plan.c.kind == "carrier", rate_plan.c.service_provider_id != row.service_provider_id
        )
    )
    connection.execute(update(device).where(device.c.id == row.id).values(carrier_rate_plan_id=other))
    return str(row.iccid)


def plan_change_of_ended_ownership(connection: Connection) -> str:
    row = connection.execute(
        select(_own.id, _own.device_id, device.c.iccid, _own.created_at)
        .join(device, device.c.id == _own.device_id)
        .where(_own.state == "ended")
    ).first()
    assert row is not None
    plan = connection.scalar(select(rate_plan.c.id).where(rate_plan.c.kind == "customer"))
    connection.execute(
        insert(scheduled_plan_change).values(
            device_id=row.device_id, device_ownership_id=row.id, kind="customer", rate_plan_id=plan,
            due_on=date(2027, 1, 1), state="pending", created_at=row.created_at,
        )
    )  # fmt: skip
    return str(row.iccid)


def notification_without_time(connection: Connection) -> str:
    event = connection.scalar(select(outbox_event.c.event_id).order_by(outbox_event.c.id))
    connection.execute(
        update(outbox_event).where(outbox_event.c.event_id == event).values(state="pending", sent_at=null())
    )
    return str(event)


def setting_invalid(connection: Connection) -> str:
    connection.execute(
        update(installation_setting).where(installation_setting.c.name == "max_attempts").values(value="many")
    )
    return ""


def index_missing(connection: Connection) -> str:
    _without_index(connection, "uq_work_order_open_device", "work_order")
    return "uq_work_order_open_device"


BREAKERS: tuple[Callable[[Connection], str], ...] = (
    two_owners, two_owners_to_come, two_open_work_orders, two_services_for_one_work_order, succeeded_without_ownership,
    succeeded_without_service, succeeded_without_history, succeeded_without_steps, succeeded_with_open_step,
    intent_of_nobody, unknown_to_nobody, done_without_billing_id, running_without_lease, waiting_for_ever,
    counters_differ, finished_with_open_work, statistics_differ, link_without_service, service_without_link,
    site_of_another_customer, ownership_ends_before_it_begins, carrier_plan_of_another_provider,
    plan_change_of_ended_ownership, notification_without_time, setting_invalid, index_missing,
)  # fmt: skip


@pytest.mark.parametrize("breaker", BREAKERS, ids=lambda breaker: breaker.__name__)
def test_a_broken_rule_is_named(demo: Store, breaker: Callable[[Connection], str]) -> None:
    with demo.begin() as uow:
        example = breaker(uow.connection)
        uow.commit()
    found = {violation.code: violation for violation in integrity.check(demo)}
    also = {"INDEX_MISSING"} if breaker.__name__.startswith(("two_owners", "two_open")) else set()
    assert set(found) == {breaker.__name__.upper(), *also}
    violation = found[breaker.__name__.upper()]
    assert violation.rows == 1
    assert violation.example == example
    assert violation.message.endswith(".")
    assert violation.what_to_do
    assert not violation.is_advice


def test_open_work_in_a_job_that_is_being_finished_is_named(demo: Store) -> None:
    """No engine claims it there, and the job is never finished."""
    with demo.begin() as uow:
        _key, number, _iccid = _one(uow.connection, "queued")
        uow.connection.execute(update(job).where(job.c.tracking_number == number).values(state=JobState.FINISHING))
        uow.commit()
    (violation,) = integrity.check(demo)
    assert (violation.code, violation.example) == ("FINISHED_WITH_OPEN_WORK", number)


def test_every_rule_has_a_test_that_breaks_it() -> None:
    rules = {rule.code for rule in integrity._the_rules()}
    assert rules <= {breaker.__name__.upper() for breaker in BREAKERS}


# --- the tables and the file -----------------------------------------------------------------------------------------


def test_a_missing_table_is_told_alone(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(text("DROP TABLE quota_window"))
        uow.commit()
    (violation,) = integrity.check(store)
    assert (violation.code, violation.example) == ("TABLE_MISSING", "quota_window")


def test_a_row_without_its_parent_is_named(demo: Store) -> None:
    path = sqlite_path(demo.url)
    if path is None:  # a server takes no such row; but somebody may drop the constraint
        with demo.begin() as uow:
            uow.connection.execute(text("ALTER TABLE device_history DROP CONSTRAINT fk_device_history_device_id"))
            uow.commit()
        (violation,) = integrity.check(demo)
        assert (violation.code, violation.example) == ("FOREIGN_KEY_MISSING", "fk_device_history_device_id")
        return
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE device_history SET device_id = 999999 WHERE work_order_id IS NULL AND id < 50")
    (violation,) = integrity.check(demo)
    assert violation.code == "FOREIGN_KEY_BROKEN"
    assert violation.example.startswith("device_history ")


def test_a_damaged_file_is_told_alone(tmp_path) -> None:
    path = tmp_path / "desk.db"
    migrated(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ix_device_history_at'").fetchone()[
            0
        ]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute("PRAGMA journal_mode=DELETE")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    with Store(f"sqlite:///{path}") as store:
        (violation,) = integrity.check(store)
    assert violation.code == "FILE_DAMAGED"
    assert "last backup" in violation.what_to_do


def test_another_schema_is_told_alone(store: Store) -> None:
    with store.begin() as uow:
        uow.connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        uow.commit()
    (violation,) = integrity.check(store)
    assert (violation.code, violation.example) == ("DATABASE_TOO_NEW", "0099")


def test_no_database_is_a_fault_and_makes_none(tmp_path) -> None:
    with Store(f"sqlite:///{tmp_path / 'desk.db'}") as store, pytest.raises(EnvironmentFault) as caught:
        integrity.check(store)
    assert caught.value.code == "DATABASE_MISSING"
    assert not list(tmp_path.iterdir())


def test_the_check_changes_nothing(demo: Store, databases: Databases) -> None:
    if databases.dialect != "sqlite":
        # A transaction that writes nothing gets no number, so the next number to be given is the same afterwards.
        next_number = text("SELECT pg_snapshot_xmax(pg_current_snapshot())")
        with demo.read() as uow:
            number = uow.connection.scalar(next_number)
        integrity.check(demo)
        with demo.read() as uow:
            assert uow.connection.scalar(next_number) == number
        return
    path = sqlite_path(demo.url)
    assert path is not None
    demo.engines.dispose()
    before = path.read_bytes()
    integrity.check(demo)
    demo.engines.dispose()
    assert path.read_bytes() == before
    assert maintenance.damage(path) == ()
