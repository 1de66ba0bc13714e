"""The statements that run all the time use indexes, on SQLite and on PostgreSQL, with rows enough for it to matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import case, delete, exists, func, insert, make_url, select, text, update

from bench import large
from bench.world import CREDENTIAL, fill
from db import (
    browse_devices,
    browse_history,
    browse_jobs,
    counters,
    engine_rows,
    finishing,
    operators,
    procedures,
    retrying,
    steering,
    taking_back,
    work,
)
from db.bulk import explicit_ids
from db.dialects import count_rows_for_plans
from db.effects import DueBatch, HeldBatch, apply_effects, due_lines
from db.facts import Facts
from db.maintenance import upgrade
from db.schema import device, device_ownership, job, operator, rate_plan, site, work_order, work_order_step
from db.taking_back import take_back
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.errors import ErrorKind, Problem
from desktop_app.association.facts import OperatorRights, ReadLine
from desktop_app.association.identifiers import read_line
from desktop_app.association.model import AssociationRequest, DeviceFilter, IdentifierKind, PickedDevices, Reading, pack
from desktop_app.association.states import WorkOrderState
from desktop_app.bootstrap.database import os_user
from desktop_app.desk.history import LocalHistory
from desktop_app.desk.protocol import HistoryFilter
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.databases import Databases
from tests.helpers.plans import explained

DEVICES, CUSTOMERS, JOBS, ORDERS = 28_000, 200, 2_000, 400
NOW = datetime.now(UTC)
PROBLEM = Problem("LEFT_OPEN", "Left open.", "Wait.", ErrorKind.UNKNOWN)
RIGHTS = OperatorRights(1, "boss", "The boss", is_administrator=True, grants=frozenset())


def with_a_long_past(url: str) -> None:
    """A database with enough in it that no planner likes to read all of it."""
    with Store(url) as store:
        upgrade(store)

        def make(uow: UnitOfWork) -> None:
            fill(uow, DEVICES)
            large.customers(uow, 2, CUSTOMERS - 1)
            large.owners(uow, devices=DEVICES, customers=CUSTOMERS, credential=CREDENTIAL)
            large.past_jobs(uow, JOBS - 4, customers=CUSTOMERS, orders=8, devices=DEVICES)
            large.past_jobs(uow, 4, first=JOBS - 3, customers=CUSTOMERS, orders=ORDERS, devices=DEVICES)
            large.past_history(uow, 40_000, jobs=JOBS, customers=CUSTOMERS, devices=DEVICES)
            owned = select(device_ownership.c.id).where(device_ownership.c.device_id == work_order.c.device_id)
            a_plan = select(func.min(rate_plan.c.id)).scalar_subquery()
            of_open = select(work_order.c.id).where(work_order.c.job_id > JOBS - 4)
            uow.connection.execute(delete(work_order_step).where(work_order_step.c.work_order_id.in_(of_open)))
            # The last jobs are open: each device is in one open work order at most.
            for job_id, state in zip(range(JOBS - 3, JOBS + 1), _OPEN, strict=True):
                uow.connection.execute(
                    update(work_order)
                    .where(work_order.c.job_id == job_id)
                    .values(
                        state=state, billing_action="create", effective_date=date(2026, 1, 1), engine_id="other",
                        lease_until=NOW - timedelta(minutes=1), next_attempt_at=NOW - timedelta(minutes=1),
                        check_at=NOW - timedelta(minutes=1),
                        ownership_action=case((work_order.c.line % 2 == 0, "reassign"), else_="keep"),
                        prior_ownership_id=owned.scalar_subquery(), carrier_rate_plan_id=a_plan,
                    )
                )  # fmt: skip
                uow.connection.execute(
                    update(job)
                    .where(job.c.id == job_id)
                    .values(
                        state="running",
                        succeeded=0,
                        finished_at=None,
                        changed_at=NOW,
                        customer_rate_plan_id=a_plan,
                        **{state: ORDERS},
                    )
                )
            count_rows_for_plans(uow.connection)

        store.run(make)


_OPEN = ("queued", "running", "waiting_retry", "outcome_unknown")


@pytest.fixture(scope="module")
def past(databases: Databases) -> Iterator[Store]:
    with databases.copy_of("long_past", with_a_long_past) as url, Store(url) as store:
        yield store


def _due(job_id: int, **counts: int) -> work.DueJob:
    every = {"queued": 0, "waiting_retry": 0, "outcome_unknown": 0} | counts
    return work.DueJob(job_id, "AJ", 1, CREDENTIAL, False, ORDERS, **every)


def _lines(uow: UnitOfWork, count: int) -> list[ReadLine]:
    lines = uow.connection.execute(select(device.c.iccid).order_by(device.c.id).limit(count)).scalars()
    return [ReadLine(number, text, read_line(text)) for number, text in enumerate(lines, 1)]  # type: ignore[arg-type]


def _history(**filter: Any) -> Callable[[UnitOfWork], object]:
    return lambda uow: browse_history.history(uow, RIGHTS, **filter)


def _first(uow: UnitOfWork, sort: str, *, descending: bool = False) -> None:
    found = browse_devices.first_ids(uow, RIGHTS, DeviceFilter(), sort, descending, 200, lambda: False)
    assert found is not None
    assert len(found) == 200


def _record(uow: UnitOfWork) -> None:
    claimed = work.claim(uow, "me", _due(JOBS - 3, queued=ORDERS), 100, UNTIL)
    assert claimed
    held = [work.Held(one.work_order_id, one.job_id, one.epoch) for one in claimed]
    ids = [one.work_order_id for one in held]
    assert work.hold(uow, "me", held, UNTIL) == set(held)
    writes = [
        work.OrderWrite(key, WorkOrderState.FAILED if key == ids[0] else WorkOrderState.RUNNING, 1, problem=PROBLEM)
        for key in ids
    ]
    work.write_orders(uow, "me", writes, UNTIL)
    work.record_services(uow, ids)
    apply_effects(uow, HeldBatch("me", held))


def _apply_at_once(uow: UnitOfWork) -> None:
    of_job = work_order.c.job_id == JOBS - 3
    uow.connection.execute(update(work_order).where(of_job).values(billing_action="none"))
    lines = due_lines(uow, JOBS - 3, 5_000)
    assert lines is not None
    apply_effects(uow, DueBatch(JOBS - 3, *lines))


def _finish(uow: UnitOfWork) -> None:
    procedures.record_across_providers(uow, job_id=7)
    procedures.mark_device_changes_complete(uow, 7)
    procedures.sync_device_service_links(uow, 7)
    finishing.counts_of_rows(uow, 7)
    finishing.step_counts(uow, 7)
    finishing.cause_counts(uow, 7)


A_MONTH = {"since": NOW - timedelta(days=400), "until": NOW - timedelta(days=370)}
UNTIL = NOW + timedelta(minutes=1)
HOT: dict[str, Callable[[UnitOfWork], object]] = {
    "due jobs": lambda uow: work.due_jobs(uow),
    "claim, queued": lambda uow: work.claim(uow, "me", _due(JOBS - 3, queued=ORDERS), 100, UNTIL),
    "claim, due retries": lambda uow: work.claim(uow, "me", _due(JOBS - 1, waiting_retry=ORDERS), 100, UNTIL),
    "claim, due unknown outcomes": lambda uow: work.claim(uow, "me", _due(JOBS, outcome_unknown=ORDERS), 100, UNTIL),
    "is a lease over": taking_back.any_expired,
    "record": _record,
    "local effects without billing": _apply_at_once,
    "finish": _finish,
    "jobs to finish": finishing.jobs_to_finish,
    "take back": lambda uow: take_back(uow, UNTIL, PROBLEM, 100),
    "is a look due": steering.any_probe_due,
    "is a look due that can be made here": lambda uow: steering.any_probe_due(uow, [1]),
    "is a job left alone": lambda uow: steering.any_left_alone(uow, [1]),
    "is a job to be finished": counters.any_to_finish,
    "is anything left": lambda uow: engine_rows.is_idle(uow),
    "jobs that changed": lambda uow: browse_jobs.job_revisions_since(uow, RIGHTS, NOW - timedelta(seconds=10)),
    "rows of jobs that changed": lambda uow: browse_jobs.jobs_changed_since(uow, RIGHTS, NOW - timedelta(seconds=10)),
    "sums of active jobs": lambda uow: browse_jobs.active_sums(uow, RIGHTS),
    "did devices change": lambda uow: browse_devices.newest_change(uow, NOW - timedelta(seconds=10)),
    "jobs": lambda uow: browse_jobs.jobs(uow, RIGHTS, "all", "", 50, 0),
    "active jobs": lambda uow: browse_jobs.jobs(uow, RIGHTS, "active", "", 50, 0),
    "a job": lambda uow: browse_jobs.find_job(uow, RIGHTS, "AJ-20240101-10007"),
    "causes of a job": lambda uow: browse_jobs.causes(uow, 7),
    "first work orders of a job": lambda uow: browse_jobs.work_orders(uow, 7, limit=100),
    "work orders of a job, next page": lambda uow: browse_jobs.work_orders(uow, 7, after_line=200, limit=100),
    "work orders of a job in a state": lambda uow: browse_jobs.work_orders(uow, 7, states=["failed"], limit=100),
    "a work order": lambda uow: browse_jobs.work_order_by_line(uow, 7, 12),
    "steps of a page": lambda uow: browse_jobs.steps_between(uow, 7, 1, 100),
    "failed work orders": lambda uow: retrying.failed_orders(uow, 7),
    "history": _history(),
    "history, next page": _history(before=1_000),
    "history of a device": _history(device_ids=[77]),
    "history of a job": _history(text="AJ-20240101-10007"),
    "history of a customer": _history(text="customer 17"),
    "history of an operator": _history(operator_login="operator-7"),
    "history of a period": _history(**A_MONTH),
    "history of a period, an operator": _history(operator_login="operator-7", **A_MONTH),
    "history of a period, a customer": _history(text="customer 17", **A_MONTH),
    "operators": browse_history.operators,
    "finished jobs, next page": lambda uow: browse_jobs.finished_jobs(
        uow, RIGHTS, before="AJ-20240101-10007", limit=50
    ),
    "finished jobs of a customer": lambda uow: browse_jobs.finished_jobs(uow, RIGHTS, customer_id=17, limit=50),
    "finished jobs about a device": lambda uow: browse_jobs.finished_jobs(uow, RIGHTS, device_ids=[77], limit=50),
    "outcomes of a job over time": lambda uow: browse_jobs.outcomes(uow, 7, NOW - timedelta(days=800), 60),
    "history of a chosen customer": _history(customer_id=17),
    "work orders of a device": lambda uow: browse_jobs.work_orders_of_device(uow, RIGHTS, 77),
    "first devices by ICCID": lambda uow: _first(uow, "iccid"),
    "last devices by ICCID": lambda uow: _first(uow, "iccid", descending=True),
    "first devices by MSISDN": lambda uow: _first(uow, "msisdn"),
    "last devices by EID": lambda uow: _first(uow, "eid", descending=True),
    "a device by ICCID": lambda uow: browse_devices.find(uow, RIGHTS, [Reading(IdentifierKind.ICCID, "8901")]),
    "a device by IMEI": lambda uow: browse_devices.find(uow, RIGHTS, [Reading(IdentifierKind.IMEI, "35")]),
    "a device by MSISDN": lambda uow: browse_devices.find(uow, RIGHTS, [Reading(IdentifierKind.MSISDN, "1201")]),
    "owners of a device": lambda uow: browse_devices.ownerships(uow, RIGHTS, 77),
    "services of a device": lambda uow: browse_devices.billing_services(uow, RIGHTS, 77),
    "schedule of a device": lambda uow: browse_devices.scheduled_changes(uow, RIGHTS, 77),
    "open job of a device": lambda uow: browse_devices.open_tracking_number(uow, 77),
    "history of a device elsewhere": lambda uow: browse_history.elsewhere(uow, RIGHTS, 77),
    "check of picked devices": lambda uow: Facts(uow).picked(list(range(1, 501)), lambda: False),
    "check of lines": lambda uow: Facts(uow).asked(_lines(uow, 500), lambda: False),
}
AT_THE_DESK: dict[str, Callable[[LocalHistory], object]] = {
    "finished jobs": lambda desk: desk.job_history(HistoryFilter(), limit=50),
    "finished jobs of a period": lambda desk: desk.job_history(
        HistoryFilter(since=A_MONTH["since"], until=A_MONTH["until"]), limit=50
    ),
    "finished jobs of an operator": lambda desk: desk.job_history(HistoryFilter(operator="operator-7"), limit=50),
}
#: Which jobs the devices of a check are in: PostgreSQL rather reads 2,000 jobs at once than 500 of them one by one.
NOT_WORTH_AN_INDEX = dict.fromkeys(("check of picked devices", "check of lines"), frozenset({"job"}))


@pytest.mark.parametrize("what", HOT)
def test_a_hot_query_reads_no_table_from_end_to_end(past: Store, what: str) -> None:
    with past.begin() as uow, explained(uow.connection) as plans:
        if uow.dialect == "postgresql":  # no disk with a head that has to be moved
            uow.connection.execute(text("SET LOCAL random_page_cost = 1.1"))
        HOT[what](uow)
    assert plans.statements
    assert [scan for scan in plans.scans if not scan[0] <= NOT_WORTH_AN_INDEX.get(what, frozenset())] == []


@pytest.mark.parametrize("what", AT_THE_DESK)
def test_a_list_of_the_desk_reads_no_table_from_end_to_end(past: Store, what: str) -> None:
    with explained(past.engines.read) as plans:
        AT_THE_DESK[what](LocalHistory(Seat(past, os_user())))
    assert plans.statements
    assert plans.scans == []


def test_a_submission_reads_no_table_from_end_to_end(past: Store) -> None:
    """The check before it, and all that is written."""
    with past.read() as uow:
        in_work = exists().where(work_order.c.device_id == device.c.id, work_order.c.state.in_(_OPEN))
        devices = list(uow.connection.scalars(select(device.c.id).where(~in_work).limit(500)))
    with past.begin() as uow:
        for table in (site, operator, job, work_order):
            with explicit_ids(uow, table):
                pass  # its rows were made with ids of their own: numbering goes on behind them
        uow.connection.execute(insert(site).values(customer_id=17, code="HO", name="HO", is_default=True))
        operators.add_administrator(uow, "submitter", "Submitter")
        uow.commit()
    url = make_url(past.url)
    if past.engines.dialect == "postgresql":  # no disk with a head that has to be moved
        url = url.update_query_dict({"options": "-c random_page_cost=1.1"})
    with Store(url.render_as_string(hide_password=False)) as store:
        seat = Seat(store, "submitter")
        request = AssociationRequest(PickedDevices(pack(devices)), 17, effective_date=NOW.date(), reassign=True)
        report = check_request(seat, request)
        with explained(store.engines.write) as plans:
            done = submit_request(seat, request, report.fingerprint, "a submission")
    assert done.submitted, report.groups
    assert plans.statements
    assert [scan for scan in plans.scans if not scan[0] <= {"job"}] == []
