"""A process that works off a database, to be killed: ``python -m tests.helpers.engine_process DATABASE BILLING …``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection

from db.unit_of_work import Store
from desktop_app.association.ports import RateGovernor
from desktop_app.billing.client import BillingClient
from desktop_app.billing.governor import PacedGovernor
from desktop_app.billing.secrets import SANDBOX_LOGIN
from desktop_app.engine.engine import Engine, EngineConfig
from desktop_app.engine.pool import ThreadPool


class OneServer:
    """A gateway to one billing server, whatever the credential."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = BillingClient("sandbox", url, SANDBOX_LOGIN, timeout_s=timeout_s)
        self._governor = PacedGovernor()

    def unopened(self) -> Collection[int]:
        return ()

    def client(self, billing_credential_id: int) -> BillingClient:
        return self._client

    def governor(self, billing_credential_id: int) -> RateGovernor:
        return self._governor

    def close(self) -> None:
        self._client.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database_url")
    parser.add_argument("billing_url")
    parser.add_argument("--timeout-s", type=float, required=True)
    parser.add_argument("--settle-s", type=float, required=True)
    parser.add_argument("--lease-s", type=float, required=True)
    parser.add_argument("--workers", type=int, default=8)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    gateway = OneServer(asked.billing_url, asked.timeout_s)
    config = EngineConfig("work", asked.timeout_s, asked.settle_s, asked.lease_s, first_wait_s=0.2)
    with Store(asked.database_url) as store:
        engine = Engine(store, gateway, ThreadPool(asked.workers), config)
        engine.start()
        print("working", flush=True)
        try:
            engine.wait_until_idle()
        finally:
            engine.stop()
            gateway.close()


if __name__ == "__main__":
    main()
