"""Work orders in hand: what this engine holds in memory of each, between one commit and the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from db.work import ClaimedOrder, DueJob, Held, StepRow
from desktop_app.association.model import BillingAction
from desktop_app.association.processing import Attempt
from desktop_app.association.states import SETTLED_STEPS, Step, StepState
from desktop_app.association.steps import POSTS, BillingTerms, NextCall, PlanAtBilling
from desktop_app.association.work_orders import Instructions, PlanInstructions
from desktop_app.engine.leases import Lease

#: Services made outside this program are searched for before the first POST in jobs of up to this many devices: a
#: search is a call, and counts against the quota.
MOST_LOOKED_UP_FIRST = 500


@dataclass(frozen=True, slots=True)
class JobInHand:
    """What all work orders of a job have in common.

    Attributes:
        instructions: frozen at submit.
        lookup_first: search number and customer before the first POST.
        ask_first: look every step up before its first POST: the job comes from a restored backup.
    """

    job_id: int
    tracking_number: str
    run_no: int
    billing_credential_id: int | None
    instructions: Instructions
    lookup_first: bool
    ask_first: bool = False
    _plans: dict[int, Mapping[Step, PlanAtBilling]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(
        cls, due: DueJob, document: Mapping[str, Any], *, lookup_first: bool, ask_first: bool = False
    ) -> JobInHand:
        """Of a due job and the document of its instructions.

        Raises:
            ValueError: the instructions are of another version, or cannot be read.
        """
        return cls(
            due.job_id,
            due.tracking_number,
            due.run_no,
            due.billing_credential_id,
            Instructions.from_document(document),
            lookup_first,
            ask_first,
        )

    def terms(self, order: ClaimedOrder) -> BillingTerms:
        """What the work order asks of billing.

        Raises:
            ValueError: the frozen instructions lack what billing needs; nothing may be sent.
        """
        action = BillingAction(order.billing_action)
        billing = self.instructions.billing
        if action is BillingAction.NONE or billing is None:
            return BillingTerms(BillingAction.NONE)
        handle = order.service_provider_id or 0
        provider = billing.providers.get(handle)
        if provider is None or provider.provider_id is None:
            raise ValueError("the service provider has no id at billing")
        return BillingTerms(
            action=action,
            reference=order.reference,
            billing_customer_id=billing.billing_customer_id,
            provider_id=provider.provider_id,
            number=billing.number(order.msisdn, order.iccid),
            effective_date=order.effective_date,
            service_type_id=provider.service_type_id,
            address_id=billing.address_id,
            plans=self._plans_on(handle),
            kept_service_id=order.kept_service_id,
            lookup_first=self.lookup_first,
            ask_first=self.ask_first,
            description=billing.description,
        )

    def _plans_on(self, service_provider_id: int) -> Mapping[Step, PlanAtBilling]:
        """The plans that are added for the devices of a carrier; worked out for the first of them."""
        plans = self._plans.get(service_provider_id)
        if plans is None:
            asked: tuple[tuple[Step, PlanInstructions | None], ...] = (
                (Step.CARRIER_PLAN_PRODUCT, self.instructions.carrier_rate_plans.get(service_provider_id)),
                (Step.CUSTOMER_PLAN_PRODUCT, self.instructions.customer_rate_plan),
            )
            plans = self._plans[service_provider_id] = {
                step: PlanAtBilling(plan.product_id, plan.package_id) for step, plan in asked if plan is not None
            }
        return plans


class OrderInHand(NamedTuple):
    """A work order under this engine's lease. Frozen: a new one takes its place once a commit has succeeded.

    Attributes:
        job: of which job.
        order: as it was claimed.
        terms: what it asks of billing.
        steps: the rows of its steps, as they are committed.
        lease: until when this engine may act.
        call: the call that is due; None: only its local effects are left.
        tries: of the work order in this run, this claim included.
    """

    job: JobInHand
    order: ClaimedOrder
    terms: BillingTerms
    steps: Mapping[Step, StepRow]
    lease: Lease
    call: NextCall | None
    tries: int

    @property
    def held(self) -> Held:
        """The lease, as the database knows it."""
        return Held(self.order.work_order_id, self.order.job_id, self.order.epoch)

    @property
    def service_id(self) -> str | None:
        """Billing's id of the service that its products go on; None: there is none yet."""
        row = self.steps.get(Step.BILLING_SERVICE)
        return row.billing_id if row is not None and row.state in SETTLED_STEPS else None

    @property
    def open_since(self) -> datetime | None:
        """Since when the outcome that the call asks for is open; None: it is not, or the call is a POST of its own."""
        if self.call is None or self.call.kind in POSTS:
            return None
        row = self.steps.get(self.call.step)
        return row.intent_at if row is not None and row.state is StepState.UNKNOWN else None

    @property
    def asks_what_is_open(self) -> bool:
        """Whether its call asks for what billing may have made: that is asked even if nothing more may be posted."""
        return self.call is not None and self.call.kind not in POSTS and is_open(self.steps.get(self.call.step))

    @property
    def not_sent_before(self) -> frozenset[Step]:
        """Steps that were not sent before this run of the job; nothing was tried in it yet.

        One that a person has settled as absent is not among them: that was looked up by a person.
        """
        if self.order.attempts or not self.order.steps:
            return frozenset()
        return frozenset(
            step for step, row in self.order.steps.items() if row.state is StepState.NOT_SENT and not row.finished_at
        )

    def attempt(self) -> Attempt:
        """The circumstances of its call, for the decision what its answer means."""
        assert self.call is not None
        step = self.steps.get(self.call.step)
        return Attempt(
            device=self.order.iccid,
            call=self.call,
            terms=self.terms,
            tries=self.tries,
            first_at=self.order.started_at,
            service_id=self.service_id,
            unknown_since=self.open_since,
            intents=0 if step is None else step.attempts,
        )

    def going_on(self, steps: Mapping[Step, StepRow], call: NextCall | None, lease: Lease) -> OrderInHand:
        """The same work order after a commit: with these steps, this call and the renewed lease."""
        return OrderInHand(self.job, self.order, self.terms, steps, lease, call, self.tries)


def is_open(row: StepRow | None) -> bool:
    """Whether billing may have made what the step makes, and nobody knows yet."""
    return row is not None and row.state in {StepState.INTENT, StepState.UNKNOWN}
