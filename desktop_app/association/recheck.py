"""A retry: what failed, was rejected or cancelled is checked again, and queued again where the check lets it through.

The job keeps what was asked: customer, site, plans, credential, dates. What those are at billing is read anew, so that
a mapping that was corrected meanwhile counts. What a work order has settled at billing already is kept and never done
again: neither does its own billing service count as one from before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

from desktop_app.association.check import Judge, Settled
from desktop_app.association.errors import ErrorKind
from desktop_app.association.facts import AskedDevice, OperatorRights, RatePlanFacts
from desktop_app.association.model import InstallationSettings
from desktop_app.association.ports import FailedOrder, MasterDataPort, WorkOrderDraft
from desktop_app.association.request import RequestFacts
from desktop_app.association.states import WorkOrderState
from desktop_app.association.work_orders import Instructions, instructions_for, work_order


class Rechecked(NamedTuple):
    """What the check says of the work orders of a retry.

    Attributes:
        passed: to be queued again, with everything that is frozen in them renewed.
        blocked: to stay as they are, with the finding as their error.
    """

    passed: list[tuple[FailedOrder, WorkOrderDraft]]
    blocked: list[tuple[FailedOrder, WorkOrderDraft]]


def request_of(
    instructions: Instructions,
    master: MasterDataPort,
    operator: OperatorRights,
    settings: InstallationSettings,
    today: date,
) -> RequestFacts:
    """The request of a job, as its master data stand now.

    Args:
        operator: who retries; rights are theirs, not the first operator's.
    """
    customer = master.customer(instructions.customer_id)
    assert customer is not None, "a customer with jobs is never removed"
    sites = {site.site_id: site for site in master.sites(customer.customer_id)}
    providers = {provider.service_provider_id: provider for provider in master.service_providers()}
    plan = instructions.customer_rate_plan
    billing = instructions.billing
    return RequestFacts(
        operator=operator,
        customer=customer,
        site=sites.get(instructions.site_id),
        sites=sites,
        service_provider=next(
            (provider for provider in providers.values() if provider.code == instructions.service_provider), None
        ),
        service_providers=providers,
        create_billing_service=billing is not None,
        carrier_rate_plans={
            provider_id: _rate_plan(master, carrier_plan.rate_plan_id)
            for provider_id, carrier_plan in instructions.carrier_rate_plans.items()
        },
        customer_rate_plan=None if plan is None else _rate_plan(master, plan.rate_plan_id),
        credential=None if billing is None else master.credential(billing.billing_credential_id),
        effective_date=instructions.effective_date,
        reassign=instructions.reassign,
        reason=instructions.reason,
        settings=settings,
        today=today,
        furthest_ahead=today + timedelta(days=settings.furthest_ahead_days),
    )


def _rate_plan(master: MasterDataPort, rate_plan_id: int) -> RatePlanFacts:
    plan = master.rate_plan(rate_plan_id)
    assert plan is not None, "a rate plan in a job is never removed"
    return plan


def renewed(instructions: Instructions, request: RequestFacts) -> Instructions:
    """The job's instructions as they would be frozen now; who asked, and the mark of its references, stay."""
    return replace(
        instructions_for(request, instructions.acting_login, instructions.reference_mark),
        operator_login=instructions.operator_login,
    )


def recheck(
    request: RequestFacts,
    orders: Iterable[tuple[FailedOrder, AskedDevice]],
    instructions: Instructions,
    tracking_number: str,
) -> Rechecked:
    """Checks work orders again.

    Args:
        request: :func:`request_of` the job, without blocking finding on it as a whole.
        orders: with what the database has for each now.
        instructions: :func:`renewed`.
    """
    judge = Judge(request)
    outcome = Rechecked([], [])
    lines: dict[int, int] = {}
    for order, asked in orders:
        verdict = judge.asked(asked, _settled(order, asked))
        draft = work_order(verdict, instructions, tracking_number)
        device_id = draft.device_id
        if draft.state is WorkOrderState.REJECTED:
            outcome.blocked.append((order, draft))
        elif device_id is not None and lines.setdefault(device_id, order.line) != order.line:
            outcome.blocked.append((order, _same_as(draft, lines[device_id])))
        else:
            outcome.passed.append((order, draft))
    return outcome


def _settled(order: FailedOrder, asked: AskedDevice) -> Settled | None:
    """What the work order has at billing already: as recorded with it, or with the service itself."""
    service_id = order.settled_service_id
    if service_id is None:
        made = [
            service.billing_service_id
            for device in asked.candidates
            for service in device.situation.services
            if service.work_order_id == order.work_order_id
        ]
        service_id = made[0] if made else None
    if service_id is None or order.billing_action is None:
        return None
    return Settled(service_id, order.billing_action, order.effective_date)


def _same_as(draft: WorkOrderDraft, line: int) -> WorkOrderDraft:
    return draft._replace(
        state=WorkOrderState.REJECTED,
        error_kind=ErrorKind.PERMANENT,
        error_code="DUPLICATE",
        error_message=f"It is the device of line {line}.",
        what_to_do="Nothing: it is done there.",
    )
