"""What the database holds of the billing companies: credentials, and the billing services made or known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select, true

from db.schema import billing_credential, billing_service, customer, device, job, work_order

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class CredentialRecord(NamedTuple):
    """A login at a billing company; its secret is in the keyring under ``code``."""

    billing_credential_id: int
    code: str
    name: str
    is_default: bool


class ServiceRecord(NamedTuple):
    """One billing service as the database knows it."""

    service_id: str
    billing_customer_id: str | None
    customer: str
    iccid: str
    number: str
    reference: str | None
    is_active: bool


class ReferenceRecord(NamedTuple):
    """One work order that may have made a billing service: what it sent as its reference, and how it stands."""

    reference: str
    tracking_number: str
    iccid: str
    state: str


def credentials(uow: UnitOfWork) -> list[CredentialRecord]:
    """All active credentials, the default one first."""
    rows = uow.connection.execute(
        select(
            billing_credential.c.id,
            billing_credential.c.code,
            billing_credential.c.name,
            billing_credential.c.is_default,
        )
        .where(billing_credential.c.is_active == true())
        .order_by(billing_credential.c.is_default.desc(), billing_credential.c.code)
    )
    return [CredentialRecord._make(row) for row in rows]


def credential_of_job(uow: UnitOfWork, tracking_number: str) -> int | None:
    """Handle of the credential that a job needs; None: it needs none, or there is no such job."""
    return uow.connection.execute(
        select(job.c.billing_credential_id).where(job.c.tracking_number == tracking_number)
    ).scalar_one_or_none()


def services(uow: UnitOfWork, billing_credential_id: int) -> list[ServiceRecord]:
    """All billing services of the credential, ended ones too."""
    rows = uow.connection.execute(
        select(
            billing_service.c.service_id,
            customer.c.billing_customer_id,
            customer.c.name,
            device.c.iccid,
            billing_service.c.number,
            billing_service.c.reference,
            billing_service.c.is_active,
        )
        .select_from(
            billing_service.join(customer, customer.c.id == billing_service.c.customer_id).join(
                device, device.c.id == billing_service.c.device_id
            )
        )
        .where(billing_service.c.billing_credential_id == billing_credential_id)
        .order_by(billing_service.c.id)
    )
    return [ServiceRecord._make(row) for row in rows]


def references(uow: UnitOfWork, billing_credential_id: int) -> list[ReferenceRecord]:
    """The references that work orders of the credential's jobs may have sent."""
    rows = uow.connection.execute(
        select(work_order.c.reference, job.c.tracking_number, work_order.c.iccid, work_order.c.state)
        .select_from(work_order.join(job, job.c.id == work_order.c.job_id))
        .where(job.c.billing_credential_id == billing_credential_id, work_order.c.reference.is_not(None))
    )
    return [ReferenceRecord._make(row) for row in rows]
