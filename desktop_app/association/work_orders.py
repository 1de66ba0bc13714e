"""Phase 3, work orders: what the check let through (and what it did not) becomes one job and a work order a device.

What is common to all devices is frozen once in the job's instructions, so that the engine posts and records without
reading master data that may have changed since. Each work order freezes its device's facts, what is to be done with it,
and what was there before. A blocked device gets a work order too, in state ``rejected`` with its finding, so that a job
accounts for every device that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from desktop_app.association.check import CheckOutcome, Verdict
from desktop_app.association.errors import ErrorKind
from desktop_app.association.facts import (
    DeviceFacts,
    ProviderMapping,
    RatePlanFacts,
    SiteFacts,
)
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import JobDraft, WorkOrderDraft
from desktop_app.association.request import RequestFacts
from desktop_app.association.states import WorkOrderState

#: Of the instructions' document; a later program can tell what it reads.
VERSION = 1
#: Characters of an error that are kept.
LONGEST_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class PlanInstructions:
    """A rate plan to be added, and what it is at the billing company.

    Attributes:
        product_id, package_id: one of the two where billing was asked; both None where it was not.
        data_limit_bytes: None: no limit.
    """

    rate_plan_id: int
    code: str
    name: str
    product_id: str | None = None
    package_id: str | None = None
    data_limit_bytes: int | None = None
    data_pool: str | None = None


@dataclass(frozen=True, slots=True)
class BillingInstructions:
    """What all billing services of the job have in common; there is none where billing was not asked.

    Attributes:
        billing_credential_id, credential_code: which login; the secret is in the keyring under the code.
        billing_customer_id: billing's id of the customer.
        address_id: billing's id of the site's address.
        providers: handle of the service provider → billing's id of it and the service type.
        iccid_as_number: a device without MSISDN is billed under its ICCID.
        description: a sentence for the bill.
    """

    billing_credential_id: int
    credential_code: str
    billing_customer_id: str
    address_id: str
    providers: Mapping[int, ProviderMapping]
    iccid_as_number: bool = False
    description: str = ""

    def number(self, msisdn: str | None, iccid: str) -> str:
        """The number that a device's service is made for: its MSISDN (E.164 without the plus), or its ICCID."""
        return msisdn or (iccid if self.iccid_as_number else "")


@dataclass(frozen=True, slots=True)
class Instructions:
    """What is common to all work orders of a job, frozen when it is submitted; stored in ``job.instructions``.

    Attributes:
        customer_id, customer_name, account_number: whose the devices become.
        site_id, site_code, site_name: where.
        billing: None: billing was not asked for.
        service_providers: handle → (code, name), of every provider that there was.
        carrier_rate_plans: handle of the service provider → its plan; empty: not asked for.
        customer_rate_plan: None: not asked for.
        service_provider: code of the one that was asked for; None: each device's only one.
        effective_date: the chosen date; None: each device's activation date. A work order holds its own.
        reassign: devices are taken over from other customers.
        reason: for the record.
        operator_login, acting_login: on whose rights, and who sat at the desk.
        reference_mark: ends every reference of this job, so that no other database, and no restored backup, ever makes
            the same one.
    """

    customer_id: int
    customer_name: str
    account_number: str | None
    site_id: int
    site_code: str
    site_name: str
    billing: BillingInstructions | None
    service_providers: Mapping[int, tuple[str, str]]
    carrier_rate_plans: Mapping[int, PlanInstructions]
    customer_rate_plan: PlanInstructions | None
    service_provider: str | None
    effective_date: date | None
    reassign: bool
    reason: str
    operator_login: str
    acting_login: str
    reference_mark: str

    def reference(self, tracking_number: str, line: int) -> str:
        """The reference of one work order's POSTs: the same in every run of the job, and never another's."""
        return f"{tracking_number}-{line}-{self.reference_mark}"

    def to_document(self) -> dict[str, Any]:
        """As JSON: keys of mappings are texts, dates are ISO texts."""
        billing = self.billing
        return {
            "version": VERSION,
            "customer": {"id": self.customer_id, "name": self.customer_name, "account_number": self.account_number},
            "site": {"id": self.site_id, "code": self.site_code, "name": self.site_name},
            "billing": None
            if billing is None
            else {
                "credential": {"id": billing.billing_credential_id, "code": billing.credential_code},
                "customer_id": billing.billing_customer_id,
                "address_id": billing.address_id,
                "providers": {
                    str(handle): {"provider_id": mapping.provider_id, "service_type_id": mapping.service_type_id}
                    for handle, mapping in billing.providers.items()
                },
                "iccid_as_number": billing.iccid_as_number,
                "description": billing.description,
            },
            "service_providers": {
                str(handle): {"code": code, "name": name} for handle, (code, name) in self.service_providers.items()
            },
            "carrier_rate_plans": {
                str(handle): _plan_document(plan) for handle, plan in self.carrier_rate_plans.items()
            },
            "customer_rate_plan": None if self.customer_rate_plan is None else _plan_document(self.customer_rate_plan),
            "service_provider": self.service_provider,
            "effective_date": None if self.effective_date is None else self.effective_date.isoformat(),
            "reassign": self.reassign,
            "reason": self.reason,
            "operator": {"login": self.operator_login, "acting": self.acting_login},
            "reference_mark": self.reference_mark,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Instructions:
        """What :meth:`to_document` gave.

        Raises:
            ValueError: of another version, or it cannot be read.
        """
        try:
            return cls._read(document)
        except (LookupError, TypeError, AttributeError) as error:  # a key is missing, a value is of another kind
            raise ValueError(
                f"The instructions of this job cannot be read ({type(error).__name__}: {error})."
            ) from error

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> Instructions:
        if document["version"] != VERSION:
            raise ValueError(f"Job instructions of version {document['version']!r}; this program reads {VERSION}.")
        billing = document["billing"]
        effective_date = document["effective_date"]
        customer_rate_plan = document["customer_rate_plan"]
        return cls(
            customer_id=document["customer"]["id"],
            customer_name=document["customer"]["name"],
            account_number=document["customer"]["account_number"],
            site_id=document["site"]["id"],
            site_code=document["site"]["code"],
            site_name=document["site"]["name"],
            billing=None
            if billing is None
            else BillingInstructions(
                billing_credential_id=billing["credential"]["id"],
                credential_code=billing["credential"]["code"],
                billing_customer_id=billing["customer_id"],
                address_id=billing["address_id"],
                providers={int(handle): ProviderMapping(**mapping) for handle, mapping in billing["providers"].items()},
                iccid_as_number=billing["iccid_as_number"],
                description=billing["description"],
            ),
            service_providers={
                int(handle): (provider["code"], provider["name"])
                for handle, provider in document["service_providers"].items()
            },
            carrier_rate_plans={
                int(handle): PlanInstructions(**plan) for handle, plan in document["carrier_rate_plans"].items()
            },
            customer_rate_plan=None if customer_rate_plan is None else PlanInstructions(**customer_rate_plan),
            service_provider=document["service_provider"],
            effective_date=None if effective_date is None else date.fromisoformat(effective_date),
            reassign=document["reassign"],
            reason=document["reason"],
            operator_login=document["operator"]["login"],
            acting_login=document["operator"]["acting"],
            reference_mark=document["reference_mark"],
        )


def _plan_document(plan: PlanInstructions) -> dict[str, Any]:
    return {
        "rate_plan_id": plan.rate_plan_id,
        "code": plan.code,
        "name": plan.name,
        "product_id": plan.product_id,
        "package_id": plan.package_id,
        "data_limit_bytes": plan.data_limit_bytes,
        "data_pool": plan.data_pool,
    }


# --- the builder -----------------------------------------------------------------------------------------------------


def instructions_for(request: RequestFacts, acting_login: str, reference_mark: str) -> Instructions:
    """Freezes what is common to all devices of a request that the check let through as a whole.

    Args:
        acting_login: who sat at the desk.
        reference_mark: a few random letters and digits.
    """
    site = request.site
    assert site is not None, "the check lets no request through without a site"
    return Instructions(
        customer_id=request.customer.customer_id,
        customer_name=request.customer.name,
        account_number=request.customer.account_number,
        site_id=site.site_id,
        site_code=site.code,
        site_name=site.name,
        billing=_billing(request, site) if request.create_billing_service else None,
        service_providers={
            handle: (provider.code, provider.name) for handle, provider in request.service_providers.items()
        },
        carrier_rate_plans={handle: _plan(request, plan) for handle, plan in request.carrier_rate_plans.items()},
        customer_rate_plan=None if request.customer_rate_plan is None else _plan(request, request.customer_rate_plan),
        service_provider=None if request.service_provider is None else request.service_provider.code,
        effective_date=request.effective_date,
        reassign=request.reassign,
        reason=request.reason,
        operator_login=request.operator.login,
        acting_login=acting_login,
        reference_mark=reference_mark,
    )


def _billing(request: RequestFacts, site: SiteFacts) -> BillingInstructions:
    credential, customer = request.credential, request.customer
    # the check lets no request for billing through without them
    assert credential is not None
    assert customer.billing_customer_id is not None
    assert site.billing_address_id is not None
    mappings = {handle: request.provider_mapping(handle) for handle in request.service_providers}
    return BillingInstructions(
        billing_credential_id=credential.billing_credential_id,
        credential_code=credential.code,
        billing_customer_id=customer.billing_customer_id,
        address_id=site.billing_address_id,
        providers={handle: mapping for handle, mapping in mappings.items() if mapping.is_complete},
        iccid_as_number=request.settings.iccid_as_number,
        description=f"Connected device, {site.name}",
    )


def _plan(request: RequestFacts, plan: RatePlanFacts) -> PlanInstructions:
    mapping = request.plan_mapping(plan)  # empty where billing was not asked for
    return PlanInstructions(
        rate_plan_id=plan.rate_plan_id,
        code=plan.code,
        name=plan.name,
        product_id=None if mapping.package_id else mapping.product_id,
        package_id=mapping.package_id,
        data_limit_bytes=plan.data_limit_bytes,
        data_pool=plan.data_pool,
    )


def build(outcome: CheckOutcome, instructions: Instructions, tracking_number: str, submission_key: str) -> JobDraft:
    """One job and its work orders.

    Args:
        outcome: of a check without blocking finding on the request.
        instructions: :func:`instructions_for` its request.
        tracking_number: of the job.
        submission_key: of the submit.
    """
    request = outcome.request
    plan = request.customer_rate_plan
    return JobDraft(
        tracking_number=tracking_number,
        submission_key=submission_key,
        fingerprint=outcome.report.fingerprint,
        customer_id=instructions.customer_id,
        site_id=instructions.site_id,
        account_number=instructions.account_number,
        billing_credential_id=None if instructions.billing is None else instructions.billing.billing_credential_id,
        customer_rate_plan_id=None if plan is None else plan.rate_plan_id,
        data_limit_bytes=None if plan is None else plan.data_limit_bytes,
        data_pool=None if plan is None else plan.data_pool,
        operator_id=request.operator.operator_id,
        operator_login=request.operator.login,
        reason=request.reason,
        instructions=instructions.to_document(),
        work_orders=[work_order(verdict, instructions, tracking_number) for verdict in outcome.verdicts],
    )


def work_order(verdict: Verdict, instructions: Instructions, tracking_number: str) -> WorkOrderDraft:
    """The work order of one device: queued, or rejected with the finding that blocks it."""
    device = verdict.device
    if device is None or verdict.blocked:
        return _rejected(verdict)
    posts = verdict.billing is BillingAction.CREATE or (
        verdict.billing is BillingAction.KEEP and bool(verdict.carrier_plan or instructions.customer_rate_plan)
    )
    return WorkOrderDraft(
        verdict.line,
        verdict.asked_for,
        device.device_id,
        WorkOrderState.QUEUED,
        device.situation.service_provider_id,
        device.iccid,
        device.imei,
        device.msisdn,
        device.eid,
        verdict.effective_date,
        verdict.ownership,
        device.ownership_id,
        None if verdict.carrier_plan is None else verdict.carrier_plan.rate_plan_id,
        verdict.billing,
        verdict.billing_service_id,
        instructions.reference(tracking_number, verdict.line) if posts else None,
        _before(device),
        None,
        None,
        None,
        None,
    )


def _rejected(verdict: Verdict) -> WorkOrderDraft:
    device = verdict.device
    finding = verdict.findings[0]
    return WorkOrderDraft(
        verdict.line,
        verdict.asked_for,
        None if device is None else device.device_id,
        WorkOrderState.REJECTED,
        None if device is None else device.situation.service_provider_id,
        "" if device is None else device.iccid,
        None if device is None else device.imei,
        None if device is None else device.msisdn,
        None if device is None else device.eid,
        verdict.effective_date,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        ErrorKind.PERMANENT,
        finding.code,
        _cut(finding.message),
        finding.what_to_do,
    )


def _cut(sentence: str) -> str:
    """A sentence that names long names, as long as it can be kept."""
    return sentence if len(sentence) <= LONGEST_MESSAGE else f"{sentence[: LONGEST_MESSAGE - 1]}…"


def _before(device: DeviceFacts) -> dict[str, Any]:
    """What an undo would have to bring back: the owner, its plan, and the carrier rate plan."""
    if device.ownership_id is None:
        return {"carrier_rate_plan_id": device.carrier_rate_plan_id, "ownership": None}
    owned_from = device.situation.owned_from
    return {
        "carrier_rate_plan_id": device.carrier_rate_plan_id,
        "ownership": {
            "id": device.ownership_id,
            "customer_id": device.situation.owner_id,
            "site_id": device.situation.owner_site_id,
            "account_number": device.owner_account_number,
            "billing_credential_id": device.owner_credential_id,
            "effective_from": None if owned_from is None else owned_from.isoformat(),
            "customer_rate_plan_id": device.customer_rate_plan_id,
            "data_limit_bytes": device.data_limit_bytes,
            "data_pool": device.data_pool,
        },
    }
