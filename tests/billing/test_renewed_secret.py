"""A secret that is renewed while the program runs opens billing from then on."""

from __future__ import annotations

import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.ports import LookupVerdict
from desktop_app.bootstrap.billing import Billing
from desktop_app.settings import BillingKind, Settings
from tests.helpers.databases import Databases
from tests.helpers.stores import fresh_store
from tests.helpers.world import CREDENTIAL, World

PASSWORD = "ASSOCIATION_BILLING_PASSWORD"
EMPTY = b'{"ok": true, "has_more": false, "record_count": 0, "records": []}'


class Company(ThreadingHTTPServer):
    """A billing company that knows one password, and refuses every other."""

    daemon_threads = False
    password = "the old one"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Company)
        login = b64decode(self.headers["Authorization"].split()[1]).decode()
        status, body = (200, EMPTY) if login.endswith(f":{self.server.password}") else (401, b"{}")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def running(company: Company) -> Iterator[str]:
    thread = threading.Thread(target=company.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{company.server_port}/v1"
    finally:
        company.shutdown()
        thread.join()
        company.server_close()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_renewed_secret_is_used_without_a_new_start(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the guide says it: have the secret renewed, then Resume, whose look has to be let in."""
    for name, value in (("LOGIN", "me@company"), ("PASSWORD", Company.password), ("SUBSCRIPTION_KEY", "key-12345")):
        monkeypatch.setenv(f"ASSOCIATION_BILLING_{name}", value)
    company = Company(("127.0.0.1", 0), Handler)
    with fresh_store(databases) as store, running(company) as url:
        World(store)
        settings = Settings(
            billing_kind=BillingKind.REVIO, billing_url=url, data_dir=tmp_path, database_url=store.url
        )  # fmt: skip
        billing = Billing(settings, store)
        try:
            first = billing.client(CREDENTIAL)
            assert first.ping() is LookupVerdict.ANSWERED
            company.password = "the new one"
            assert first.ping() is LookupVerdict.ENVIRONMENT
            assert billing.client(CREDENTIAL) is first, "the same secret would be refused as well"
            assert first.ping() is LookupVerdict.ENVIRONMENT
            monkeypatch.setenv(PASSWORD, company.password)
            second = billing.client(CREDENTIAL)
            assert second.ping() is LookupVerdict.ANSWERED
            assert billing.client(CREDENTIAL) is second
            # What was refused once and is let in again needs no other secret.
            company.password = "another one"
            assert second.ping() is LookupVerdict.ENVIRONMENT
            company.password = "the new one"
            assert billing.client(CREDENTIAL).ping() is LookupVerdict.ANSWERED
            # One that is gone is said to be.
            company.password = "another one"
            assert second.ping() is LookupVerdict.ENVIRONMENT
            monkeypatch.delenv(PASSWORD)
            with pytest.raises(EnvironmentFault):
                billing.client(CREDENTIAL)
        finally:
            billing.close()
