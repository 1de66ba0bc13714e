"""Several ``work`` processes on one PostgreSQL, while connections are cut and the server crashes and comes back.

Nothing is done twice and nothing is lost: by the billing company's own ledger, by the rows, and by ``db check``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from bench.world import fill
from db import operators
from db.integrity import check
from db.maintenance import upgrade
from db.schema import device_history, device_ownership, engine, job, work_order, work_order_step
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.model import AssociationRequest, CarrierPlanChoice, PickedDevices, pack
from desktop_app.association.states import FINAL_JOBS, StepState, WorkOrderState
from desktop_app.billing.launcher import SandboxAddress, ensure_sandbox, read_ledger, stop
from desktop_app.desk.requests import check_request, submit_request
from desktop_app.desk.seat import Seat
from tests.helpers.desks import ADMINISTRATOR
from tests.helpers.postgres import PostgresServer

ROOT = Path(__file__).parents[2]


Job = tuple[int, bool, bool]
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Size:
    """How much there is to do, by how many.

    Attributes:
        jobs: of each the number of devices, whether they are billed, and whether with both plans.
        kept_back: so many of the jobs, the last, wait for the last crash; if all else was over before we looked, a
            crash disturbs one of them.
        crashes: when so much of the work is done, the server crashes.
        cut_every_s: seconds between cuts, at least and at most.
        timeout_s, settle_s, lease_s: settings; what is left of a claim that was committed unseen is taken back when its
            lease ends.
        patience_s: a longer run has failed.
    """

    engines: int
    jobs: tuple[Job, ...]
    kept_back: int
    crashes: tuple[float, ...]
    cut_every_s: tuple[float, float]
    timeout_s: float
    settle_s: float
    lease_s: float
    patience_s: float

    @property
    def devices(self) -> int:
        return sum(count for count, _, _ in self.jobs)


SMALL = Size(
    2, ((90, True, False), (10, True, True), (400, False, True), (250, False, False), (250, False, False)), 1,
    (0.1,), (0.3, 0.6), 2.0, 2.0, 5.0, 100.0,
)  # fmt: skip
LARGE = Size(
    8,
    (
        *((500, True, False),) * 4,
        (100, True, True),
        *((3_000, False, True),) * 3,
        (4_900, False, False),
        *((200, False, False),) * 5,
        *((1_500, False, True),) * 2,
    ),
    2,
    (0.2, 0.6),
    (1.0, 2.0),
    5.0,
    3.0,
    15.0,
    300.0,
)


@dataclass
class Department:
    """One database, one billing company, and engines on both."""

    server: PostgresServer
    database: str
    store: Store
    sandbox: SandboxAddress
    data_dir: Path
    jobs: int = 0
    submitted: int = 0
    cut: int = 0
    crashes: int = 0

    def submit(self, jobs: Iterable[Job]) -> None:
        """Submits the jobs, each for devices of its own."""
        seat = Seat(self.store, ADMINISTRATOR)
        for count, is_billed, with_plans in jobs:
            first = self.submitted + 1
            request = AssociationRequest(
                PickedDevices(pack(range(first, first + count))),
                "10482",
                create_billing_service=is_billed,
                carrier_rate_plans=(CarrierPlanChoice("IOT5", "NORTHSTAR"),) if with_plans else (),
                customer_rate_plan="FLEET" if with_plans else None,
            )
            report = check_request(seat, request)
            assert report.submittable, report.groups
            submitted = submit_request(seat, request, report.fingerprint, str(uuid4()))
            assert submitted.submitted == count
            self.submitted += count
            self.jobs += 1

    @contextmanager
    def engine_process(self, number: int, size: Size) -> Iterator[subprocess.Popen[bytes]]:
        settings = {
            "DATABASE_URL": self.store.url,
            "DATA_DIR": str(self.data_dir / str(number)),
            "BILLING_URL": self.sandbox.url,
            "BILLING_TIMEOUT_S": str(size.timeout_s),
            "BILLING_SETTLE_S": str(size.settle_s),
            "LEASE_S": str(size.lease_s),
            "WORKERS": "4",
        }
        environment = {f"ASSOCIATION_{name}": value for name, value in settings.items()}
        environment["LOGNAME"] = ADMINISTRATOR  # who may open the database is whoever is logged in
        with self._told(number).open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "main.py"), "work"],
                stdout=subprocess.DEVNULL, stderr=told, env={**os.environ, **environment},
            )  # fmt: skip
        try:
            yield process
            process.terminate()
            # 1: a job of which a device did not succeed
            assert process.wait(60) in {0, 1}
        finally:
            process.kill()
            process.wait()

    def _told(self, number: int) -> Path:
        return self.data_dir / f"{number}.txt"

    def said(self) -> dict[str, str]:
        """What each engine said last."""
        return {path.name: path.read_text(encoding="utf-8")[-1_000:] for path in self.data_dir.glob("*.txt")}

    def states(self) -> Counter[str]:
        """Work orders by state."""
        with self.store.read() as uow:
            counts = select(work_order.c.state, func.count()).group_by(work_order.c.state)
            return Counter(dict(uow.connection.execute(counts).all()))

    def are_over(self) -> bool:
        """Whether every job that was submitted has ended."""
        with self.store.read() as uow:
            over = select(func.count()).where(job.c.state.in_(FINAL_JOBS))
            return uow.connection.execute(over).scalar_one() == self.jobs

    def engines(self) -> int:
        """How many engines have registered."""
        with self.store.read() as uow:
            return uow.connection.execute(select(func.count()).select_from(engine)).scalar_one()

    def crash(self) -> None:
        """The server is gone without a word, and back a moment later."""
        self.store.engines.dispose()
        self.server.stop(immediate=True)
        self.server.start()
        self.crashes += 1

    def work(self, size: Size, rng: random.Random) -> None:
        """Has the engines do all the work, and disturbs them."""
        until = time.monotonic() + size.patience_s
        crashes = [round(share * size.devices) for share in size.crashes]
        with ExitStack() as stack:
            processes = [stack.enter_context(self.engine_process(number, size)) for number in range(size.engines)]
            while self.engines() < size.engines:
                assert time.monotonic() < until, "the engines do not start"
                time.sleep(0.05)
            self.submit(size.jobs[: -size.kept_back])
            kept_back = list(size.jobs[-size.kept_back :])
            cut_at = 0.0
            while kept_back or not self.are_over():
                assert time.monotonic() < until, self.states()
                assert [process.poll() for process in processes] == [None] * size.engines, self.said()
                succeeded = self.states()[WorkOrderState.SUCCEEDED]
                if succeeded and time.monotonic() >= cut_at:
                    self.cut += self.server.cut_connections(self.database, rng.randint(1, 1 + size.engines // 2))
                    self.store.engines.dispose()  # ours may have been among them
                    cut_at = time.monotonic() + rng.uniform(*size.cut_every_s)
                is_over = self.are_over()
                if is_over and kept_back:  # it was over before we looked
                    self.submit([kept_back.pop(0)])
                if crashes and (is_over or succeeded >= crashes[0]):
                    crashes.pop(0)
                    self.crash()
                if not crashes:
                    self.submit(kept_back)
                    kept_back.clear()
                time.sleep(_LOOK_EVERY_S)

    def assert_each_device_was_done_once(self, size: Size) -> None:
        assert self.states() == {WorkOrderState.SUCCEEDED: size.devices}
        with self.store.read() as uow:
            for table, condition in (
                (device_history, device_history.c.event == "assigned"),
                (device_ownership, device_ownership.c.state == "active"),
            ):
                per_device = select(func.count().label("rows")).where(condition).group_by(table.c.device_id).subquery()
                each = select(func.count(), func.min(per_device.c.rows), func.max(per_device.c.rows))
                assert tuple(uow.connection.execute(each).one()) == (size.devices, 1, 1), table.name
            references = set(
                uow.connection.scalars(select(work_order.c.reference).where(work_order.c.billing_action == "create"))
            )
            products = _products_done(uow)
        ledger = read_ledger(self.sandbox)
        assert ledger["duplicates"] == []
        assert ledger["totals"]["without_reference"] == 0
        made = {reference: row["services"] for reference, row in ledger["references"].items() if row["services"]}
        assert made == dict.fromkeys(references, 1)
        assert len(made) == sum(count for count, is_billed, _ in size.jobs if is_billed)
        assert sum(row["products"] for row in ledger["references"].values()) == products
        assert check(self.store) == ()


def _products_done(uow: UnitOfWork) -> int:
    step = work_order_step.c
    done = select(func.count()).where(step.step.in_(("carrier_plan_product", "customer_plan_product")))
    return uow.connection.execute(done.where(step.state == StepState.DONE)).scalar_one()


@contextmanager
def department(size: Size, folder: Path) -> Iterator[Department]:
    # A commit that was answered outlives the crash of the server, though this one would give that up for speed (it is
    # set for our sessions); the crash of the machine is not played here.
    server = PostgresServer(max_connections="150", wal_writer_delay="10s")
    server.start()
    command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
    sandbox = ensure_sandbox(folder, command=command, accept_any=True)
    try:
        database = server.create_database()
        with Store(server.url(database)) as store:
            upgrade(store)
            store.run(lambda uow: fill(uow, size.devices))
            store.run(lambda uow: operators.add_administrator(uow, ADMINISTRATOR, "The boss"))
            yield Department(server, database, store, sandbox, folder)
    finally:
        stop(sandbox)
        server.close()


def run(size: Size, folder: Path, seed: int) -> None:
    with department(size, folder) as one:
        began = time.monotonic()
        one.work(size, random.Random(seed))
        taken = time.monotonic() - began
        one.assert_each_device_was_done_once(size)
        assert one.crashes == len(size.crashes)
        assert one.cut > 0
        print(f"{size.devices:,} by {size.engines} in {taken:.0f} s: {one.cut} cut, {one.crashes} crashes")


@pytest.mark.postgres
def test_engines_share_the_work_while_the_server_crashes(tmp_path: Path) -> None:
    run(SMALL, tmp_path, seed=1)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(500)
def test_eight_engines_do_twenty_thousand_devices_once_while_the_server_crashes(tmp_path: Path) -> None:
    assert (LARGE.engines, LARGE.devices) == (8, 20_000)
    run(LARGE, tmp_path, seed=2)
