"""A small world in a real database: two carriers, three customers, a few plans, and the devices that a test wants."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count
from typing import Any

from sqlalchemy import Table, insert, select, update

from db.schema import (
    billing_credential,
    billing_service,
    customer,
    device,
    device_ownership,
    job,
    operator,
    operator_grant,
    rate_plan,
    service_provider,
    site,
    work_order,
    work_order_step,
)
from db.unit_of_work import Store
from desktop_app.association.check_digits import luhn_check_digit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = date(2026, 11, 24)
NORTHSTAR, HARBOR = 1, 2
NORTHWIND, FABRIKAM, ALPINE = 10, 11, 12
HEAD_OFFICE, DEPOT, FABRIKAM_SITE = 20, 21, 22
CREDENTIAL = 30
CARRIER_PLAN, HARBOR_PLAN, CARRIER_PACKAGE, CUSTOMER_PLAN = 40, 41, 42, 50
ADMIN, LIMITED, VIEWER = 70, 71, 72

MAPPING = {
    "version": 1,
    "providers": {
        "NORTHSTAR": {"provider_id": "12", "service_type_id": "3"},
        "HARBOR": {"provider_id": 13, "service_type_id": 3},
    },
    "plans": {
        "carrier:NORTHSTAR:IOT5": {"product_id": "101"},
        "carrier:NORTHSTAR:PACK5": {"package_id": "7"},
        "carrier:HARBOR:IOT5": {"product_id": "102"},
        "customer:FLEET": {"product_id": "103"},
    },
}


def iccid(number: int, digits: int = 19) -> str:
    """A valid ICCID for each number."""
    body = f"890126{number:0{digits - 7}d}"
    return body + luhn_check_digit(body)


class World:
    """Puts things into the database, and says what is in it. The clock of the store stands still at ``NOW``."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.clock = lambda _connection: NOW
        self._numbers = count(1)
        self._fill()

    def put(self, table: Table, *rows: dict[str, Any]) -> None:
        with self.store.begin() as uow:
            for row in rows:
                uow.connection.execute(insert(table), row)
            uow.commit()

    def change(self, table: Table, key: int, **values: Any) -> None:
        with self.store.begin() as uow:
            uow.connection.execute(update(table).where(table.c.id == key).values(**values))
            uow.commit()

    def rows(self, table: Table, **where: Any) -> list[Any]:
        order = table.c.id if "id" in table.c else next(iter(table.c))
        with self.store.read() as uow:
            conditions = [table.c[name] == value for name, value in where.items()]
            return list(uow.connection.execute(select(table).where(*conditions).order_by(order)))

    def device(self, **values: Any) -> int:
        """A device that fits everything, unless ``values`` say otherwise; its handle."""
        number = next(self._numbers)
        row: dict[str, Any] = {
            "id": 1000 + number,
            "service_provider_id": NORTHSTAR,
            "iccid": iccid(number),
            "imei": None,
            "msisdn": f"1274555{number:04}",
            "eid": None,
            "name": f"Device {number}",
            "status": "active",
            "activated_on": date(2026, 11, 1),
            "changed_at": NOW,
            **values,
        }
        row.setdefault("imei_14", row["imei"][:14] if row["imei"] else None)
        self.put(device, row)
        return int(row["id"])

    def iccid_of(self, device_id: int) -> str:
        return str(self.rows(device, id=device_id)[0].iccid)

    def own(
        self, device_id: int, customer_id: int = NORTHWIND, site_id: int | None = HEAD_OFFICE, **values: Any
    ) -> int:
        """An ownership that stands; its handle."""
        key = 5000 + next(self._numbers)
        self.put(
            device_ownership,
            {
                "id": key, "device_id": device_id, "customer_id": customer_id, "site_id": site_id, "state": "active",
                "effective_from": date(2026, 5, 1), "created_at": NOW, "changed_at": NOW, **values,
            },
        )  # fmt: skip
        return key

    def service(self, device_id: int, customer_id: int = NORTHWIND, **values: Any) -> int:
        """An active billing service; its handle."""
        key = 6000 + next(self._numbers)
        self.put(
            billing_service,
            {
                "id": key, "billing_credential_id": CREDENTIAL, "service_id": f"S{key}", "device_id": device_id,
                "customer_id": customer_id, "number": "1", "is_active": True, "effective_date": date(2026, 11, 1),
                "created_at": NOW, **values,
            },
        )  # fmt: skip
        return key

    def settle(self, work_order_id: int, step: str, state: str) -> None:
        """A step of a work order that stands in ``state``."""
        self.put(work_order_step, {"work_order_id": work_order_id, "step": step, "state": state, "attempts": 1})

    def order_of(self, device_id: int) -> Any:
        """The newest work order of the device."""
        return self.rows(work_order, device_id=device_id)[-1]

    def finish_job(self, state: str, **states: str) -> None:
        """Ends the only job by hand: each work order gets its state by its device's handle (``d1001="failed"``)."""
        (the_job,) = self.rows(job)
        counts = dict.fromkeys(("queued", "succeeded", "failed", "cancelled"), 0)
        for order in self.rows(work_order):
            after = states.get(f"d{order.device_id}", order.state)
            self.change(work_order, order.id, state=after, completed_at=NOW)
            if after in counts:
                counts[after] += 1
        self.change(job, the_job.id, state=state, finished_at=NOW, **counts)

    def _fill(self) -> None:
        self.put(
            service_provider,
            {"id": NORTHSTAR, "code": "NORTHSTAR", "name": "Northstar Mobile"},
            {"id": HARBOR, "code": "HARBOR", "name": "Harbor Wireless"},
        )
        self.put(
            billing_credential,
            {"id": CREDENTIAL, "code": "main", "name": "Main", "is_default": True, "mapping": MAPPING},
        )
        self.put(
            rate_plan,
            {"id": CARRIER_PLAN, "kind": "carrier", "code": "IOT5", "name": "IoT 5", "service_provider_id": NORTHSTAR},
            {"id": HARBOR_PLAN, "kind": "carrier", "code": "IOT5", "name": "IoT 5", "service_provider_id": HARBOR},
            {"id": CARRIER_PACKAGE, "kind": "carrier", "code": "PACK5", "name": "P5", "service_provider_id": NORTHSTAR},
            {
                "id": CUSTOMER_PLAN, "kind": "customer", "code": "FLEET", "name": "Fleet",
                "data_limit_bytes": 5_000_000_000, "data_pool": "north",
            },
        )  # fmt: skip
        for key, number, name in (
            (NORTHWIND, "10482", "Northwind Fleet"),
            (FABRIKAM, "20317", "Fabrikam Water"),
            (ALPINE, None, "Alpine Agri"),
        ):  # fmt: skip
            self.put(
                customer,
                {
                    "id": key, "account_number": number, "name": name, "search_name": name.casefold(),
                    "billing_customer_id": str(490 + key), "billing_credential_id": CREDENTIAL, "changed_at": NOW,
                },
            )  # fmt: skip
        self.put(
            site,
            {"id": HEAD_OFFICE, "customer_id": NORTHWIND, "code": "HO", "name": "Head office", "is_default": True,
             "billing_address_id": "700"},
            {"id": DEPOT, "customer_id": NORTHWIND, "code": "DEPOT", "name": "Depot", "billing_address_id": "701"},
            {"id": FABRIKAM_SITE, "customer_id": FABRIKAM, "code": "HO", "name": "Water works", "is_default": True,
             "billing_address_id": "702"},
        )  # fmt: skip
        self.put(
            operator,
            {"id": ADMIN, "login": "admin", "name": "Ada", "is_administrator": True, "created_at": NOW},
            {"id": LIMITED, "login": "limited", "name": "Lim", "created_at": NOW},
            {"id": VIEWER, "login": "viewer", "name": "Vi", "created_at": NOW},
        )
        self.put(
            operator_grant,
            {"operator_id": LIMITED, "right": "associate", "customer_id": NORTHWIND},
            {"operator_id": VIEWER, "right": "view"},
        )
