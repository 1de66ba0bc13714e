"""Billing compared with the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop_app.association.errors import EnvironmentFault, RequestRefused

if TYPE_CHECKING:
    from db.unit_of_work import Store
    from desktop_app.association.reconciling import KnownService, Reconciliation, Sender
    from desktop_app.bootstrap.desk import Opened


def reconcile(opened: Opened) -> dict[str, Reconciliation]:
    """Billing compared with the database, for each account at billing that this machine can open.

    Returns:
        Name of the account → what was found. Several billing credentials may be logins to one account.

    Raises:
        RequestRefused: the operator is no administrator: the answer tells of every customer.
        EnvironmentFault: billing cannot be reached, or no credential can be opened.
    """
    from desktop_app.association.ports import LookupVerdict
    from desktop_app.association.reconciling import reconcile

    if not opened.desk.capabilities().is_administrator:
        raise RequestRefused(
            "NOT_PERMITTED", "Only an administrator may compare all of billing.", "Ask an administrator to do it."
        )
    results = {}
    for account, credentials in _accounts(opened).items():
        before = _known_services(opened.store, credentials)
        answer = opened.billing.client(credentials[0]).list_services()
        if answer.verdict is not LookupVerdict.ANSWERED:
            raise EnvironmentFault(
                "BILLING_UNREACHABLE",
                answer.reason or f"Billing did not list the services of {account}.",
                "Check address, network and credential, then try again.",
            )
        senders = _senders(opened.store, credentials)
        results[account] = reconcile(answer.services, before, _known_services(opened.store, credentials), senders)
    if not results:
        raise EnvironmentFault(
            "NO_BILLING_CREDENTIAL",
            "No billing credential of this database can be opened on this machine.",
            "Store the credential's secret in the keyring of this user.",
        )
    return results


def _accounts(opened: Opened) -> dict[str, list[int]]:
    """Account at billing → handles of the credentials that open it."""
    accounts: dict[str, list[int]] = {}
    unopened = opened.billing.unopened()
    for credential in opened.billing.credentials():
        handle = credential.billing_credential_id
        if handle not in unopened:
            accounts.setdefault(opened.billing.account(handle), []).append(handle)
    return accounts


def _known_services(store: Store, credentials: Sequence[int]) -> list[KnownService]:
    from db import browse_billing
    from desktop_app.association.reconciling import KnownService

    with store.read() as uow:
        return [KnownService(*one) for handle in credentials for one in browse_billing.services(uow, handle)]


def _senders(store: Store, credentials: Sequence[int]) -> dict[str, Sender]:
    from db import browse_billing
    from desktop_app.association.reconciling import Sender
    from desktop_app.association.states import OPEN_WORK_ORDERS

    with store.read() as uow:
        return {
            one.reference: Sender(one.tracking_number, one.iccid, one.state in OPEN_WORK_ORDERS)
            for handle in credentials
            for one in browse_billing.references(uow, handle)
        }
