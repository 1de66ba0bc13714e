"""Fills an empty database with demo data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from db.demo.devices import draw_devices, ownerships, write_billing_services, write_devices, write_ownerships
from db.demo.master_data import LEAST_CUSTOMERS, write_master_data
from db.demo.past_jobs import plan_jobs, write_jobs, write_record
from db.dialects import count_rows_for_plans
from db.procedures import record_across_providers
from db.schema import billing_credential, customer, device, rate_plan, service_provider
from desktop_app.association.errors import RequestRefused

if TYPE_CHECKING:
    from db.unit_of_work import Store, UnitOfWork

#: The seed of the demo data, unless another one is asked for.
SEED = 20_261_124


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written: how many of each."""

    devices: int
    customers: int
    ownerships: int
    jobs: int
    work_orders: int


def generate(
    store: Store, devices: int = 100_000, *, seed: int = SEED, customers: int | None = None, today: date | None = None
) -> Generated:
    """Fills a database that has the schema and nothing in it, all or nothing.

    The same arguments on the same day give the same data.

    Args:
        devices: how many, at least 500.
        customers: how many, at least 40; None: as many as fit the devices, up to 500.
        today: the date that everything is dated back from; None: the business date.

    Raises:
        RequestRefused: there are devices or master data in it already.
        ValueError: too few devices or customers to show every case.
    """

    how_many = min(500, max(LEAST_CUSTOMERS, devices // 100)) if customers is None else customers

    def work(uow: UnitOfWork) -> Generated:
        _refuse_used(uow)
        uow.may_be_idle()  # millions of devices are made up before the first is written
        rng = Random(seed)
        day = today or uow.today()
        master = write_master_data(uow, rng, how_many, day)
        draft = draw_devices(rng, master, devices, day)
        jobs = plan_jobs(rng, master, draft, day)
        write_devices(uow, rng, master, draft)
        write_jobs(uow, master, draft, jobs)
        owned = list(ownerships(rng, master, draft, day))
        write_ownerships(uow, master, owned)
        write_billing_services(uow, rng, master, draft, owned)
        write_record(uow, draft, jobs, owned, master)
        record_across_providers(uow)
        return Generated(devices, how_many, len(owned), len(jobs), sum(len(one.lines) for one in jobs))

    done = store.run(work)
    _tell_planner(store)
    return done


def _refuse_used(uow: UnitOfWork) -> None:
    for table in (device, customer, service_provider, rate_plan, billing_credential):
        if uow.connection.scalar(select(func.count()).select_from(table)):
            raise RequestRefused(
                "DATABASE_NOT_EMPTY",
                "There are devices or master data in the database already; demo data go into an empty one only.",
                "Name a new database in DATABASE_URL, or another folder in DATA_DIR.",
            )


def _tell_planner(store: Store) -> None:
    """Tells the server how many rows there are now, so that its first queries are planned for them."""
    with store.begin() as uow:
        count_rows_for_plans(uow.connection)
        uow.commit()
