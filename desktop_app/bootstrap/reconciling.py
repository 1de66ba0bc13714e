"""Billing compared with the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from desktop_app.association.errors import EnvironmentFault, RequestRefused

if TYPE_CHECKING:
    from db.browse_billing import CredentialRecord
    from db.unit_of_work import Store
    from desktop_app.association.reconciling import KnownService, Reconciliation
    from desktop_app.bootstrap.desk import Opened


def reconcile(opened: Opened) -> dict[str, Reconciliation]:
    """Billing compared with the database, for each billing credential that this machine can open.

    Raises:
        RequestRefused: the operator is no administrator: the answer tells of every customer.
        EnvironmentFault: billing cannot be reached, or no credential can be opened.
    """
    from db import browse_billing
    from desktop_app.association.ports import LookupVerdict
    from desktop_app.association.reconciling import Sender, reconcile
    from desktop_app.association.states import OPEN_WORK_ORDERS

    if not opened.desk.capabilities().is_administrator:
        raise RequestRefused(
            "NOT_PERMITTED", "Only an administrator may compare all of billing.", "Ask an administrator to do it."
        )
    results = {}
    for credential in opened.billing.credentials():
        if credential.billing_credential_id in opened.billing.unopened():
            continue
        before = _known_services(opened.store, credential)
        answer = opened.billing.client(credential.billing_credential_id).list_services()
        if answer.verdict is not LookupVerdict.ANSWERED:
            raise EnvironmentFault(
                "BILLING_UNREACHABLE",
                answer.reason or f"Billing did not list its services for {credential.code}.",
                "Check address, network and credential, then try again.",
            )
        with opened.store.read() as uow:
            sent = browse_billing.references(uow, credential.billing_credential_id)
        senders = {one.reference: Sender(one.tracking_number, one.iccid, one.state in OPEN_WORK_ORDERS) for one in sent}
        after = _known_services(opened.store, credential)
        results[credential.code] = reconcile(answer.services, before, after, senders)
    if not results:
        raise EnvironmentFault(
            "NO_BILLING_CREDENTIAL",
            "No billing credential of this database can be opened on this machine.",
            "Store the credential's secret in the keyring of this user.",
        )
    return results


def _known_services(store: Store, credential: CredentialRecord) -> list[KnownService]:
    from db import browse_billing
    from desktop_app.association.reconciling import KnownService

    with store.read() as uow:
        return [KnownService(*one) for one in browse_billing.services(uow, credential.billing_credential_id)]
