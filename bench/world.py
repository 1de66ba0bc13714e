"""A database to measure on: one customer, two carriers, and as many devices as a job wants, all of them assignable.

Every fiftieth device has a twin with the same EID on the other carrier, so that the procedures across providers have
something to write.
"""

from __future__ import annotations

import gc
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Table, insert, select

from bench.billing import OneCompany
from db import operators, steering
from db.bulk import indexes_at_rest, insert_rows
from db.demo import identifiers
from db.dialects import count_rows_for_plans
from db.engines import sqlite_path
from db.maintenance import upgrade
from db.schema import billing_credential, customer, device, job, rate_plan, service_provider, site
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
    DeviceSelection,
    PickedDevices,
    pack,
)
from desktop_app.association.ports import BillingPort
from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.bootstrap.database import os_user
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.seat import Seat
from desktop_app.engine import crash_points
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.interpreter import collector_spares_the_program
from desktop_app.engine.pool import ThreadPool

FIRST_CARRIER, SECOND_CARRIER = 1, 2
CUSTOMER, SITE, CREDENTIAL = 1, 1, 1
CARRIER_PLAN, CUSTOMER_PLAN = 1, 2
TWIN_EVERY = 50
#: Seconds between two looks at a job of which nothing is heard.
LOOK_S = 30.0
#: When every device was activated: the effective date of every job.
_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(days=20)
ACTIVATED_ON = _AT.date()
_DEVICE = (
    "id", "service_provider_id", "iccid", "imei", "imei_14", "msisdn", "eid", "name", "status", "activated_on",
    "is_deleted", "is_archived", "changed_at", "revision",
)  # fmt: skip


class World:
    """A database with ``devices`` devices, and what a job is made of.

    Attributes:
        store: the database.
        devices: how many; their handles count from 1.
        seat: from which it is checked, submitted and looked at.
    """

    def __init__(self, store: Store, devices: int) -> None:
        self.store, self.devices = store, devices
        self.seat = Seat(store, os_user())

    @property
    def path(self) -> Path:
        """The file of the embedded database."""
        path = sqlite_path(self.store.url)
        assert path is not None, "this world is on a server"
        return path

    def request(
        self,
        count: int,
        *,
        billing: bool = False,
        plans: bool = False,
        first: int = 1,
        selection: DeviceSelection | None = None,
    ) -> AssociationRequest:
        """A request for ``count`` devices from handle ``first`` on, or for another selection."""
        return AssociationRequest(
            selection or PickedDevices(pack(range(first, first + count))),
            "10482",
            create_billing_service=billing,
            carrier_rate_plans=(CarrierPlanChoice("IOT5", "NORTHSTAR"),) if plans else (),
            customer_rate_plan="FLEET" if plans else None,
            reason="Benchmark",
        )

    def lines(self, count: int) -> AskedLines:
        """The first ``count`` devices as they would be pasted."""
        return AskedLines(tuple(_iccid(number) for number in range(1, count + 1)))

    def check(self, request: AssociationRequest) -> str:
        """Checks, and gives the fingerprint; every device must be ready."""
        report = check_request(self.seat, request)
        assert report.submittable, report.groups
        assert not report.blocked, report.groups
        return report.fingerprint

    def submit(self, request: AssociationRequest, fingerprint: str | None = None) -> str:
        """Submits (after a check, where no fingerprint is given); the tracking number."""
        seen = fingerprint if fingerprint is not None else self.check(request)
        return submit_request(self.seat, request, seen, str(uuid.uuid4())).tracking_number

    def engine(self, billing: BillingPort, concurrency: int) -> Engine:
        """An engine over that billing company. Whoever starts it stops it."""
        config = EngineConfig("work", timeout_s=10.0, settle_s=3.0, lease_s=60.0)
        return Engine(self.store, OneCompany(billing), ThreadPool(concurrency), config)

    def work_off(
        self, tracking_number: str, billing: BillingPort, concurrency: int, *, after: str | None = None
    ) -> float:
        """Runs the job to its end; seconds until its final state. All its devices must succeed.

        Args:
            after: another job that the engine does first: it is an engine that runs already then, and the time counts
                from the instant at which the job may be worked on. None: the time counts from the engine's start.
        """
        login = os_user()
        if after is not None:
            self.store.run(lambda uow: steering.pause_job(uow, tracking_number, login))
        engine = self.engine(billing, concurrency)
        gc.collect()
        with collector_spares_the_program(), self._rung_when_a_job_ends() as ended:  # as in a process that works
            start = time.perf_counter()
            engine.start()
            try:
                if after is not None:
                    assert self._state_in_the_end(after, ended) is JobState.COMPLETED
                    start = time.perf_counter()
                    self.store.run(lambda uow: steering.resume_job(uow, tracking_number, login))
                    engine.wake()
                state = self._state_in_the_end(tracking_number, ended)
                taken = time.perf_counter() - start
            finally:
                engine.stop()
        assert state is JobState.COMPLETED, state
        return taken

    @contextmanager
    def _rung_when_a_job_ends(self) -> Iterator[threading.Event]:
        """An event that is set whenever the engine has finished a job.

        Nobody has to look at the database for it, which would keep the engine's threads waiting for the interpreter.
        """
        ended = threading.Event()

        def look(point: str) -> None:
            if point == "after-commit:finish":
                ended.set()

        before, crash_points.on_reached = crash_points.on_reached, look
        try:
            yield ended
        finally:
            crash_points.on_reached = before

    def _state_in_the_end(self, tracking_number: str, ended: threading.Event) -> JobState:
        """Waits until the job is over, or has paused itself, which no job here should."""
        while True:
            ended.wait(LOOK_S)
            ended.clear()
            with self.store.read() as uow:
                row = uow.connection.execute(select(job.c.state).where(job.c.tracking_number == tracking_number)).one()
            if (state := JobState(row.state)) in FINAL_JOBS or state is JobState.PAUSED:
                return state


class MakesWorlds(Protocol):
    """Makes databases of one kind."""

    def fresh(self, devices: int) -> AbstractContextManager[World]:
        """A database of its own with that many devices; it is gone when the block ends."""


class Worlds:
    """In files: each number of devices is built once, and copied for everyone who wants one of it."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: on the disk that is measured; what is made in it is removed by whoever made the folder.
        """
        self._folder = folder
        self._built: dict[int, Path] = {}

    @contextmanager
    def fresh(self, devices: int) -> Iterator[World]:
        """A database of its own with that many devices; it is gone when the block ends."""
        template = self._built.get(devices) or self._build(devices)
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir()
        try:
            path = folder / "desk.db"
            shutil.copyfile(template, path)
            with Store(f"sqlite:///{path}") as store:
                yield World(store, devices)
        finally:
            shutil.rmtree(folder)

    def _build(self, devices: int) -> Path:
        path = self._folder / f"template-{devices}.db"
        build(f"sqlite:///{path}", devices)
        self._built[devices] = path
        return path


def build(url: str, devices: int) -> None:
    """Puts the schema and a world with that many devices into an empty database."""
    with Store(url) as store:
        upgrade(store)
        store.run(lambda uow: fill(uow, devices))


def fill(uow: UnitOfWork, devices: int) -> None:
    def put(table: Table, *rows: dict[str, Any]) -> None:
        for row in rows:
            uow.connection.execute(insert(table), row)

    mapping = {
        "version": 1,
        "providers": {
            "NORTHSTAR": {"provider_id": "12", "service_type_id": "3"},
            "HARBOR": {"provider_id": "13", "service_type_id": "3"},
        },
        "plans": {"carrier:NORTHSTAR:IOT5": {"product_id": "101"}, "customer:FLEET": {"product_id": "103"}},
    }
    put(
        service_provider,
        {"id": FIRST_CARRIER, "code": "NORTHSTAR", "name": "Northstar Mobile"},
        {"id": SECOND_CARRIER, "code": "HARBOR", "name": "Harbor Wireless"},
    )
    put(billing_credential, {"id": CREDENTIAL, "code": "main", "name": "Main", "is_default": True, "mapping": mapping})
    put(
        rate_plan,
        {"id": CARRIER_PLAN, "kind": "carrier", "code": "IOT5", "name": "IoT 5", "service_provider_id": FIRST_CARRIER},
        {"id": CUSTOMER_PLAN, "kind": "customer", "code": "FLEET", "name": "Fleet", "data_limit_bytes": 5_000_000_000},
    )
    put(
        customer,
        {
            "id": CUSTOMER, "account_number": "10482", "name": "Northwind Fleet", "search_name": "northwind fleet",
            "billing_customer_id": "500", "billing_credential_id": CREDENTIAL, "changed_at": _AT,
        },
    )  # fmt: skip
    put(
        site,
        {"id": SITE, "customer_id": CUSTOMER, "code": "HO", "name": "Head office", "is_default": True,
         "billing_address_id": "700"},
    )  # fmt: skip
    operators.add_administrator(uow, os_user(), "Whoever measures")
    with indexes_at_rest(uow, device):
        insert_rows(uow, device, _DEVICE, _devices(devices))
    count_rows_for_plans(uow.connection)  # as after a large import


def _devices(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        yield _device(number, FIRST_CARRIER, _iccid(number), identifiers.eid(number), identifiers.msisdn(number))
    for twin, number in enumerate(range(TWIN_EVERY, count + 1, TWIN_EVERY), 1):
        other = identifiers.iccid("890127", 19, number)
        yield _device(count + twin, SECOND_CARRIER, other, identifiers.eid(number), None)


def _iccid(number: int) -> str:
    return identifiers.iccid("890126", 19, number)


def _device(handle: int, carrier: int, iccid: str, eid: str, msisdn: str | None) -> tuple[Any, ...]:
    imei = identifiers.imei(handle)
    return (
        handle, carrier, iccid, imei, imei[:14], msisdn, eid, f"Device {handle}", "active", ACTIVATED_ON, False, False,
        _AT, 1,
    )  # fmt: skip
