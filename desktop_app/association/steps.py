"""Which steps a work order takes at the billing company, and which one is next.

The order is fixed: billing service → the carrier plan's product on it → the customer plan's product on it → the local
effects. A step makes at most one POST, and a step that is settled is never run again. A plan that billing sells as a
package goes into the POST that makes the service, and its product step is settled with that one. A billing service that
is kept is not posted; what is already active on it is kept as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from desktop_app.association.errors import Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import ProductOrder, ServiceOrder
from desktop_app.association.states import BILLING_STEPS, SETTLED_STEPS, Step, StepState

#: The steps that put a plan's product on the billing service, in order.
PRODUCT_STEPS: tuple[Step, ...] = (Step.CARRIER_PLAN_PRODUCT, Step.CUSTOMER_PLAN_PRODUCT)
_REFERENCE_ENDING = {Step.CARRIER_PLAN_PRODUCT: "-carrier", Step.CUSTOMER_PLAN_PRODUCT: "-customer"}
#: What must be there before a service is made or kept; one without our reference could never be found again.
_NEEDED: dict[BillingAction, tuple[str, ...]] = {
    BillingAction.CREATE: ("reference", "billing_customer_id", "provider_id", "number"),
    BillingAction.KEEP: ("kept_service_id",),
}
_SERVICE_ALONE = (Step.BILLING_SERVICE,)
#: Longest reference of a work order: with the ending of its products it still fits into 60 characters.
REFERENCE_LENGTH = 60 - max(len(ending) for ending in _REFERENCE_ENDING.values())


class CallKind(StrEnum):
    """One call to the billing company."""

    POST_SERVICE = "post_service"  #: make the billing service
    POST_PRODUCT = "post_product"  #: put one plan's product on it
    FIND_SERVICE = "find_service"  #: does billing have a service of our reference, or of the number?
    FIND_PRODUCT = "find_product"  #: does the service have the product?


#: The calls after which billing may have made something: they need a committed intent.
POSTS: frozenset[CallKind] = frozenset({CallKind.POST_SERVICE, CallKind.POST_PRODUCT})


@dataclass(frozen=True, slots=True)
class PlanAtBilling:
    """How billing sells a rate plan: as a product of its own, or as a package that comes with the service.

    Raises:
        ValueError: not exactly one of the two.
    """

    product_id: str | None = None
    package_id: str | None = None

    def __post_init__(self) -> None:
        if bool(self.product_id) == bool(self.package_id):
            raise ValueError("A plan is mapped to either a product or a package.")


class Written(Protocol):
    """What these functions look at of a step's row: :class:`StepRecord`, or the row itself."""

    @property
    def state(self) -> StepState:
        """See :class:`StepState`."""

    @property
    def billing_id(self) -> str | None:
        """What billing calls what the step made or found."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What is written of one step.

    Attributes:
        state: see :class:`StepState`.
        billing_id: what billing calls what the step made or found.
        attempts: intents so far.
    """

    state: StepState
    billing_id: str | None = None
    attempts: int = 0


class BillingTerms(NamedTuple):
    """What one work order asks of billing; frozen when it was built.

    Attributes:
        action: whether a service is made, kept, or nothing is asked.
        reference: ours, at most :data:`REFERENCE_LENGTH` characters; "" where nothing is made.
        billing_customer_id, provider_id, service_type_id, address_id: billing's ids.
        number: MSISDN in E.164 or the ICCID; text.
        effective_date: from when it is billed.
        plans: of the two plan steps those that were asked for.
        kept_service_id: billing's id of the service that is kept.
        lookup_first: search number and customer before the first POST, for services made outside this program.
        ask_first: look every step up before its first POST: the job comes from a restored backup.
        description: a sentence for the bill.
    """

    action: BillingAction
    reference: str = ""
    billing_customer_id: str = ""
    provider_id: str = ""
    number: str = ""
    effective_date: date = date.min
    service_type_id: str | None = None
    address_id: str | None = None
    plans: Mapping[Step, PlanAtBilling] = MappingProxyType({})
    kept_service_id: str | None = None
    lookup_first: bool = False
    ask_first: bool = False
    description: str = ""

    @property
    def package_id(self) -> str | None:
        """The package that goes into the POST of the service."""
        if not self.plans:
            return None
        return next((plan.package_id for plan in self.plans.values() if plan.package_id), None)

    def service_order(self) -> ServiceOrder:
        """What is posted to make the service."""
        return ServiceOrder(
            reference=self.reference,
            billing_customer_id=self.billing_customer_id,
            provider_id=self.provider_id,
            number=self.number,
            effective_date=self.effective_date,
            service_type_id=self.service_type_id,
            package_id=self.package_id,
            address_id=self.address_id,
            description=self.description,
        )

    def product_order(self, step: Step, service_id: str) -> ProductOrder:
        """What is posted to put the plan's product on the service.

        Raises:
            KeyError: the step was not asked for.
            ValueError: its plan is a package.
        """
        product_id = self.plans[step].product_id
        if product_id is None:
            raise ValueError(f"The plan of {step} is a package; it comes with the service.")
        return ProductOrder(
            reference=self.step_reference(step),
            service_id=service_id,
            product_id=product_id,
            effective_date=self.effective_date,
        )

    def step_reference(self, step: Step) -> str:
        """Our reference of one billing step: each step's POST has its own."""
        return self.reference + _REFERENCE_ENDING.get(step, "")


class NextCall(NamedTuple):
    """The call that a work order needs next, and the step that it is for."""

    kind: CallKind
    step: Step


def refusal(terms: BillingTerms, records: Mapping[Step, Written] = MappingProxyType({})) -> Problem | None:
    """What makes these terms impossible, so that nothing may be sent; None where they can be met.

    A package comes with the POST that makes the service, and with nothing else: where the service is there already, and
    was made without it (a mapping that was a product when it was made), it cannot be added.

    Args:
        records: what is written so far.
    """
    service = records.get(Step.BILLING_SERVICE)
    has_service = _is_settled(service)
    incomplete = [name for name in _NEEDED.get(terms.action, ()) if not getattr(terms, name)]
    if incomplete and not has_service:
        return Problem(
            "INSTRUCTIONS_INCOMPLETE",
            f"What billing needs is not all there: {', '.join(incomplete)}.",
            "Complete the mapping of the billing credential, then submit the device again.",
        )
    if not terms.plans:
        return None
    packages = {plan.package_id for plan in terms.plans.values() if plan.package_id}
    if len(packages) > 1:
        return Problem(
            "TWO_PACKAGES",
            f"Both plans are packages at billing ({', '.join(sorted(packages))}), and a billing service takes one.",
            "Choose plans of which at most one is a package, or map one of them to a product.",
        )
    if terms.action is BillingAction.KEEP and packages:
        return _package_too_late(min(packages), f"service {terms.kept_service_id} is kept")
    if service is not None and has_service:
        for step, plan in terms.plans.items():
            # Its step would have been settled with the service; one that was begun by itself was a product then.
            if plan.package_id and step in records and not _is_settled(records[step]):
                return _package_too_late(plan.package_id, f"service {service.billing_id} was made without it")
    return None


def _package_too_late(package_id: str, why: str) -> Problem:
    return Problem(
        "PACKAGE_ON_KEPT_SERVICE",
        f"The plan is package {package_id} at billing, which comes with a new service only, and {why}.",
        "Map the plan to a product, or add the package at billing by hand and ask without this plan.",
    )


def steps_at_billing(terms: BillingTerms) -> tuple[Step, ...]:
    """The billing steps that the work order has, in order."""
    if terms.action is BillingAction.NONE:
        return ()
    if not terms.plans:
        return _SERVICE_ALONE
    return tuple([step for step in BILLING_STEPS if step is Step.BILLING_SERVICE or step in terms.plans])


def settled_without_call(terms: BillingTerms, records: Mapping[Step, Written]) -> dict[Step, StepRecord]:
    """The billing steps that are settled now without a call: the kept service, and plans that came with a package.

    Args:
        records: what is written so far, with the outcome that is about to be written.

    Returns:
        Only steps that are not settled in ``records``.
    """
    settled: dict[Step, StepRecord] = {}
    service = records.get(Step.BILLING_SERVICE)
    if terms.action is BillingAction.KEEP and not _is_settled(service):
        service = settled[Step.BILLING_SERVICE] = StepRecord(StepState.KEPT, terms.kept_service_id)
    if service is not None and _is_settled(service):
        for step, plan in terms.plans.items():
            if plan.package_id and not _is_settled(records.get(step)):
                settled[step] = StepRecord(StepState.DONE, service.billing_id)
    return settled


def next_call(
    terms: BillingTerms, records: Mapping[Step, Written], anew: Collection[Step] = frozenset()
) -> NextCall | None:
    """The next call; None where every billing step is settled and only the local effects are left.

    A step with an open intent or an unknown outcome is asked for, never posted. On a kept service, where services may
    have been made outside this program, and in a restored backup, a step that was never sent is looked up before its
    first POST.

    Args:
        records: what is written so far, :func:`settled_without_call` included.
        anew: steps that were not sent in an earlier run of the job: since then somebody else may have made what they
            make, so they are looked up as if they had never been begun.
    """
    for step in steps_at_billing(terms):
        record = records.get(step)
        if _is_settled(record):
            continue
        is_service = step is Step.BILLING_SERVICE
        find = CallKind.FIND_SERVICE if is_service else CallKind.FIND_PRODUCT
        if record is not None and record.state in {StepState.INTENT, StepState.UNKNOWN}:
            return NextCall(find, step)
        never_sent = record is None or record.state is StepState.REFUSED or step in anew
        look_first = terms.lookup_first if is_service else terms.action is BillingAction.KEEP
        if never_sent and (look_first or terms.ask_first):
            return NextCall(find, step)
        return NextCall(CallKind.POST_SERVICE if is_service else CallKind.POST_PRODUCT, step)
    return None


def post_of(step: Step) -> CallKind:
    """The POST of a billing step."""
    return CallKind.POST_SERVICE if step is Step.BILLING_SERVICE else CallKind.POST_PRODUCT


def _is_settled(record: Written | None) -> bool:
    return record is not None and record.state in SETTLED_STEPS
