"""The billing companies, the sandbox among them, and where finished jobs are announced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_app.association.errors import EnvironmentFault
from desktop_app.settings import BillingKind, Settings

if TYPE_CHECKING:
    from db.browse_billing import CredentialRecord
    from db.unit_of_work import Store
    from desktop_app.association.ports import BillingPort
    from desktop_app.billing.client import BillingClient
    from desktop_app.billing.governor import PacedGovernor
    from desktop_app.billing.launcher import SandboxAddress
    from desktop_app.billing.secrets import BillingLogin
    from desktop_app.engine.outbox import Send

#: Seconds between two looks whether secrets have come into the keyring, and whether the sandbox is still there.
_SECRETS_LOOK_S = 30.0
_SANDBOX_LOOK_S = 3.0


class Billing:
    """The billing companies of one database, by the handle of their credential, opened when they are needed.

    Implements :class:`desktop_app.engine.housekeeping.BillingGateway`. With the kind ``sandbox`` and no address of its
    own, the sandbox of the data folder is found, or started and told what the database knows; it ends when every
    program that uses it has ended.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._lock = threading.RLock()
        self._sandbox: SandboxAddress | None = None
        self._clients: dict[int, BillingClient] = {}
        self._logins: dict[int, BillingLogin] = {}
        self._replaced: list[BillingClient] = []  # calls of theirs may be in flight
        self._governors: dict[int, PacedGovernor] = {}
        self._unopened: tuple[float, frozenset[int]] = (0.0, frozenset())
        self._look_again_at = 0.0

    def credentials(self) -> list[CredentialRecord]:
        """All credentials that are in use, the default one first."""
        from db import browse_billing

        with self._store.read() as uow:
            return browse_billing.credentials(uow)

    def unopened(self) -> frozenset[int]:
        """Handles of the credentials whose secret is not on this machine; looked at anew now and then."""
        from desktop_app.billing.secrets import can_open

        if self._settings.billing_kind is BillingKind.SANDBOX:
            return frozenset()  # it has one login, which is no secret
        with self._lock:
            if time.monotonic() >= self._unopened[0]:
                closed = (
                    one.billing_credential_id
                    for one in self.credentials()
                    if not can_open(self._settings.billing_kind, one.code, is_default=one.is_default)
                )
                self._unopened = (time.monotonic() + _SECRETS_LOOK_S, frozenset(closed))
            return self._unopened[1]

    def unopened_codes(self) -> list[str]:
        """The same by their codes, for people."""
        unopened = self.unopened()
        return [one.code for one in self.credentials() if one.billing_credential_id in unopened]

    def client(self, billing_credential_id: int) -> BillingPort:
        """The billing company as this credential sees it; after it was refused, with the secret that is here now.

        Raises:
            EnvironmentFault: its secret is not here, or the sandbox does not start.
        """
        known = self._clients.get(billing_credential_id)  # asked for before every call
        if known is not None and not known.is_refused and time.monotonic() < self._look_again_at:
            return known
        with self._lock:
            self._see_to_sandbox()
            known = self._clients.get(billing_credential_id)
            if known is None or known.is_refused:
                login = self._login(billing_credential_id)
                if known is None or login != self._logins[billing_credential_id]:
                    if known is not None:
                        self._replaced.append(known)
                    known = self._clients[billing_credential_id] = self._open(billing_credential_id, login)
                    self._logins[billing_credential_id] = login
            return known

    def _see_to_sandbox(self) -> None:
        """Looks now and then whether the sandbox is still there; a new one may listen elsewhere."""
        from desktop_app.billing.launcher import find_sandbox

        if time.monotonic() < self._look_again_at:
            return
        self._look_again_at = time.monotonic() + _SANDBOX_LOOK_S if not self._settings.billing_url else float("inf")
        if self._sandbox is not None and find_sandbox(self._settings.data_dir) is None:
            before, self._sandbox = self._sandbox, None
            if self.sandbox().url != before.url:
                self._clients.clear()

    def _open(self, billing_credential_id: int, login: BillingLogin) -> BillingClient:
        from desktop_app.billing.client import BillingClient
        from desktop_app.billing.governor import take

        governor = self.governor(billing_credential_id)
        return BillingClient(
            self._settings.billing_kind,
            self.url(),
            login,
            timeout_s=self._settings.billing_timeout_s,
            before_further_page=lambda may_go_on: take(governor, may_go_on),
        )

    def require(self, tracking_number: str) -> None:
        """Refuses where this machine cannot do what a job has at billing: it would wait for an engine that can.

        Raises:
            EnvironmentFault: the secret of the job's credential is not here; it says where it has to be.
        """
        from db import browse_billing

        with self._store.read() as uow:
            needed = browse_billing.credential_of_job(uow, tracking_number)
        if needed is not None:
            self.account(needed)

    def account(self, billing_credential_id: int) -> str:
        """The login behind the credential; several credentials may share one, and with it what billing lists.

        Raises:
            EnvironmentFault: its secret is not here.
        """
        return self._login(billing_credential_id).login

    def _login(self, billing_credential_id: int) -> BillingLogin:
        from desktop_app.billing.secrets import open_login

        credential = self._credential(billing_credential_id)
        return open_login(self._settings.billing_kind, credential.code, is_default=credential.is_default)

    def _credential(self, billing_credential_id: int) -> CredentialRecord:
        found = [one for one in self.credentials() if one.billing_credential_id == billing_credential_id]
        if not found:
            raise EnvironmentFault(
                "BILLING_CREDENTIAL_CLOSED",
                "The billing credential of this job is not in use any more.",
                "Have it put to use again; the job goes on by itself.",
            )
        return found[0]

    def governor(self, billing_credential_id: int) -> PacedGovernor:
        """How many calls the credential may make from this process."""
        from desktop_app.billing.governor import PacedGovernor

        known = self._governors.get(billing_credential_id)  # asked for before every call, and after it
        if known is not None:
            return known
        with self._lock:
            return self._governors.setdefault(
                billing_credential_id,
                PacedGovernor(per_minute=self._settings.rate_per_minute, per_day=self._settings.rate_per_day),
            )

    def url(self) -> str:
        """Address of the billing API."""
        return self._settings.billing_url or self.sandbox().url

    def sandbox(self) -> SandboxAddress:
        """The sandbox of the data folder, started if it does not run.

        Raises:
            EnvironmentFault: it does not start.
        """
        from db.demo.billing import billing_catalogue
        from desktop_app.billing import launcher

        with self._lock:
            if self._sandbox is None:
                address = launcher.ensure_sandbox(self._settings.data_dir, command=sandbox_command())
                with self._store.read() as uow:
                    catalogue = billing_catalogue(uow)
                launcher.seed_catalogue(address, catalogue)
                self._sandbox = address
                if address.process is not None:
                    _sandboxes.append(address.process)
            return self._sandbox

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            for client in [*self._clients.values(), *self._replaced]:
                client.close()
            self._clients.clear()
            self._replaced.clear()


#: Sandboxes that this process started. They end with it; nobody waits for them.
_sandboxes: list[subprocess.Popen[bytes]] = []


def notifier(settings: Settings) -> Send | None:
    """What announces finished jobs to the newer system; None where there is none."""
    from desktop_app.billing.notify import NotifyVerdict, send_notification
    from desktop_app.billing.secrets import open_notify_secret
    from desktop_app.engine.outbox import Sent

    if not settings.notify_url:
        return None

    def send(event_id: str, body: bytes) -> Sent:
        result = send_notification(
            settings.notify_url, body, open_notify_secret(), event_id, settings.billing_timeout_s
        )
        return Sent(
            taken=result.verdict is NotifyVerdict.TAKEN,
            again=result.verdict is NotifyVerdict.AGAIN,
            reason=result.reason,
            retry_after_s=result.retry_after_s,
        )

    return send


# --- the sandbox -----------------------------------------------------------------------------------------------------


def run_sandbox(arguments: Sequence[str], announce: Callable[[str, str], None]) -> int:
    """Runs the billing sandbox in this process until it is stopped; returns the exit code.

    Args:
        arguments: of its own command line, ``--data-dir`` among them.
        announce: told its address and the file where that stands, once it listens.
    """
    from desktop_app.billing.launcher import ADDRESS_FILE
    from desktop_app.billing.sandbox.__main__ import main, parser

    given = parser("billing-sandbox").parse_args(arguments)
    address_file = Path(given.data_dir).resolve() / ADDRESS_FILE
    ended = threading.Event()

    def wait_and_announce() -> None:
        while not ended.wait(0.05):
            try:
                content = json.loads(address_file.read_text())
            except (OSError, ValueError):
                continue
            if content.get("pid") == os.getpid():
                announce(content["url"], str(address_file))
                return

    announcer = threading.Thread(target=wait_and_announce, name="announce-sandbox")
    announcer.start()
    try:
        return main(arguments)
    finally:
        ended.set()
        announcer.join()


def sandbox_command() -> list[str]:
    """What starts a billing sandbox: the frozen program itself, or this Python with the program's start file."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "billing-sandbox"]
    return [sys.executable, str(Path(__file__).parents[2] / "main.py"), "billing-sandbox"]
