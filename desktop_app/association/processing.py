"""What the answer of one call makes of a step and of its work order: pure decisions without clock, database or network.

The rule that money hangs on stands in :func:`resolve_service` and :func:`resolve_product`: what billing may have made
is asked for, and adopted only if it is active, the same customer's and carries our reference. A number alone, or more
than one candidate, is a person's decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from desktop_app.association.errors import ASKED_IN_VAIN, NUMBER_TAKEN, ErrorKind, Problem
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import (
    QUOTA_USED_UP,
    BillingProductFound,
    BillingServiceFound,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ServiceLookup,
)
from desktop_app.association.retry import RetryAt, RetryRules, ask_again_at, decide, later, limit_reached
from desktop_app.association.states import Step, StepState, WorkOrderState
from desktop_app.association.steps import PRODUCT_STEPS, BillingTerms, NextCall, Written

CallResult = PostResult | ServiceLookup | ProductLookup

#: Longest text that an error's columns hold.
TEXT_LENGTH = 400
#: From so many seconds of waiting for the quota on, its jobs are paused and say so.
QUOTA_PAUSE_S = 120.0
_RESOLVE = "Look it up at billing, then settle it: it exists (with its service id), or it is absent."


@dataclass(frozen=True, slots=True)
class ProcessingRules:
    """Limits and waits.

    Attributes:
        settle: how long after an unanswered POST billing is asked for it: longer than sending, processing and the lag
            of billing's search together.
        retry: limits of trying again.
    """

    settle: timedelta
    retry: RetryRules = field(default_factory=RetryRules)


class Attempt(NamedTuple):
    """The circumstances of one call.

    Attributes:
        device: ICCID, for the texts.
        call: what was called, for which step.
        terms: what the work order asks of billing.
        service_id: the billing service that the product is for, if it is for one.
        tries: tries of the work order in this run of its job, this one included.
        first_at: instant of its first try in this run.
        unknown_since: since when the step's outcome is open; None where it was never sent.
        intents: of the step so far, this one included, also those that were not sent, and those of earlier runs; 0
            where it was only looked up.
    """

    device: str
    call: NextCall
    terms: BillingTerms
    tries: int
    first_at: datetime
    service_id: str | None = None
    unknown_since: datetime | None = None
    intents: int = 0


class Decision(NamedTuple):
    """What is written of one call.

    Attributes:
        step_state: the step's new state; None: nothing is written of the step (it was never sent).
        work_order_state: the work order's new state; None: it goes on, with its next step or with ``post_again``.
        post_again: billing does not have it: renew the intent and POST.
        billing_id: what billing calls what was made or found.
        http_status, answer: what billing said.
        next_attempt_at: for ``WAITING_RETRY``.
        check_at: for ``OUTCOME_UNKNOWN``: when billing is asked; None: a person decides.
        problem: what is shown of it.
        pause_reason: the environment failed, or the quota is used up: the job pauses and says this.
        quota_wait_s: it is the quota, for so many seconds.
        counts: whether it was a try of the device (a call that was never made is none, nor is one too many).
    """

    step_state: StepState | None = None
    work_order_state: WorkOrderState | None = None
    post_again: bool = False
    billing_id: str | None = None
    http_status: int | None = None
    answer: str = ""
    next_attempt_at: datetime | None = None
    check_at: datetime | None = None
    problem: Problem | None = None
    pause_reason: str | None = None
    quota_wait_s: float | None = None
    counts: bool = True


def settle(attempt: Attempt, result: CallResult, now: datetime, rules: ProcessingRules, rng: Random) -> Decision:
    """What the answer of a call makes of its step and its work order.

    Args:
        attempt: the circumstances.
        result: the billing client's answer.
        now: instant of the decision, not before the end of the call.
        rules: limits and waits.
        rng: source of jitter.
    """
    if isinstance(result, PostResult):
        return _settle_post(attempt, result, now, rules, rng)
    if result.verdict is LookupVerdict.ANSWERED:
        if isinstance(result, ServiceLookup):
            decision = resolve_service(attempt, result.services)
        else:
            decision = resolve_product(attempt, result.products)
        return _within_limits(decision, attempt, rules) if decision.post_again else decision
    return _settle_unanswered_lookup(attempt, result, now, rules, rng)


def released(attempt: Attempt) -> Decision:
    """A call that this engine did not make (its lease was about to end, its job was paused): queued work again."""
    posted = attempt.unknown_since is not None
    return Decision(
        # An open question stays one; an intent of ours that was not used is marked as never sent.
        step_state=StepState.UNKNOWN if posted else StepState.NOT_SENT,
        work_order_state=WorkOrderState.OUTCOME_UNKNOWN if posted else WorkOrderState.QUEUED,
        check_at=attempt.unknown_since,
        problem=outcome_unknown(attempt.device, "It has not been asked yet.") if posted else None,
        counts=False,
    )


class Made(NamedTuple):
    """What a work order made at billing before it ended, in words.

    Attributes:
        what: such as ``billing service 4711``.
        verb: ``was`` or ``were``.
    """

    what: str
    verb: str


def made_at_billing(steps: Mapping[Step, Written]) -> Made | None:
    """What stays at billing of these steps; None: nothing was made, at most something kept.

    A service that was made is named alone: whatever is on it ends with it.
    """
    service = steps.get(Step.BILLING_SERVICE)
    if service is not None and service.state is StepState.DONE:
        return Made(f"billing service {service.billing_id}", "was")
    products = [
        str(record.billing_id)
        for step in PRODUCT_STEPS
        if (record := steps.get(step)) is not None and record.state is StepState.DONE
    ]
    if not products:
        return None
    kept = "" if service is None else f" on billing service {service.billing_id}"
    if len(products) == 1:
        return Made(f"plan product {products[0]}{kept}", "was")
    return Made(f"plan products {' and '.join(products)}{kept}", "were")


def not_answering(decision: Decision, reason: str, devices: int) -> Decision:
    """The same where it is the billing company that gives nobody a clear answer: its job pauses.

    It stays a try of the device: with one device at a time in ever longer pauses, its limits last for hours, and a job
    of which only such devices are left still ends.

    Args:
        reason: what became of the last call.
        devices: so many got no clear answer, one after the other.
    """
    return decision._replace(
        pause_reason=_cut(f"Billing gave no clear answer for {devices} devices in a row. {reason}".strip())
    )


def cancelled_between_steps(made: Made | None) -> Decision:
    """A work order of a cancelled job that would need a further POST: it ends here, and says what stays done.

    Args:
        made: what it made at billing before; None: nothing.
    """
    if made is None:
        problem = Problem("CANCELLED", "Cancelled before anything was made at billing.", "Retry the job to do it.")
    else:
        problem = Problem(
            "CANCELLED",
            f"Cancelled after {made.what} {made.verb} made; that stays, the device was not associated.",
            f"Retry the job to go on from there, or end {made.what} at billing.",
        )
    return Decision(work_order_state=WorkOrderState.CANCELLED, problem=problem, counts=False)


# --- POST ------------------------------------------------------------------------------------------------------------


def _settle_post(attempt: Attempt, result: PostResult, now: datetime, rules: ProcessingRules, rng: Random) -> Decision:
    said = Decision(http_status=result.http_status, answer=_cut(result.answer))
    match result.verdict:
        case PostVerdict.CREATED if result.billing_id:
            # Written out: nearly all answers are this one, and a copy takes much longer.
            return Decision(StepState.DONE, None, False, result.billing_id, said.http_status, said.answer)
        case PostVerdict.REFUSED:
            return said._replace(
                step_state=StepState.REFUSED, work_order_state=WorkOrderState.FAILED,
                problem=_refused(attempt, result),
            )  # fmt: skip
        case PostVerdict.NOT_SENT:
            return _try_again(said._replace(step_state=StepState.NOT_SENT), attempt, result.reason, now, rules, rng)
        case PostVerdict.BUSY:
            return _too_many_calls(said._replace(step_state=StepState.NOT_SENT), attempt, result, now, rules, rng)
        case PostVerdict.ENVIRONMENT:
            return said._replace(
                step_state=StepState.NOT_SENT, work_order_state=WorkOrderState.QUEUED,
                pause_reason=_cut(result.reason or "Billing cannot be reached."), counts=False,
            )  # fmt: skip
        case PostVerdict.UNKNOWN | PostVerdict.CREATED:  # made, but nobody said under which id
            return said._replace(
                step_state=StepState.UNKNOWN, work_order_state=WorkOrderState.OUTCOME_UNKNOWN,
                check_at=now + rules.settle, problem=outcome_unknown(attempt.device, result.reason),
            )  # fmt: skip


def outcome_unknown(device: str, reason: str) -> Problem:
    """Billing may have acted for the device and nobody knows."""
    return Problem(
        "BILLING_OUTCOME_UNKNOWN",
        _cut(f"Billing gave no clear answer for device {device} and may have acted. {reason}".strip()),
        "Nothing to do now: billing is asked by itself as soon as its search can be trusted.",
        ErrorKind.UNKNOWN,
    )


def _asked_in_vain(device: str, reason: str) -> Problem:
    return Problem(
        ASKED_IN_VAIN,
        _cut(f"Billing may have acted for device {device}, and could not be asked yet. {reason}".strip()),
        "Nothing to do now: billing is asked again by itself. Who can look it up there may settle it: it exists (with "
        "its id), or it is absent.",
        ErrorKind.UNKNOWN,
    )


def _refused(attempt: Attempt, result: PostResult) -> Problem:
    because = result.answer or result.reason or f"status {result.http_status}"
    if attempt.call.step is Step.BILLING_SERVICE:
        return Problem(
            "BILLING_REFUSED",
            _cut(f"Billing refused the service for device {attempt.device}: {because}"),
            "Correct what billing names (at billing, or in the credential's mapping), then retry the job.",
        )
    product = attempt.terms.plans[attempt.call.step].product_id
    return Problem(
        "BILLING_REFUSED_PRODUCT",
        _cut(
            f"Billing refused product {product} on service {attempt.service_id} of device {attempt.device}: {because} "
            f"The service stays; the device was not associated."
        ),
        "Correct the plan's product in the credential's mapping, then retry the job: it goes on from there.",
    )


def _try_again(
    decision: Decision, attempt: Attempt, reason: str, now: datetime, rules: ProcessingRules, rng: Random
) -> Decision:
    code, what = "BILLING_NOT_REACHED", "The call did not reach billing"
    verdict = decide(ErrorKind.TRANSIENT, attempt.tries, attempt.first_at, now, rng, rules=rules.retry)
    if isinstance(verdict, RetryAt):
        return decision._replace(
            work_order_state=WorkOrderState.WAITING_RETRY,
            next_attempt_at=verdict.at,
            problem=_tried_again(code, what, attempt, reason),
        )
    return decision._replace(
        work_order_state=WorkOrderState.FAILED,
        problem=Problem(
            code,
            _cut(f"{what} for device {attempt.device} {verdict.reason}.{_stays(attempt)}"),
            "Retry the job when billing can be reached; it goes on where it stood.",
            ErrorKind.TRANSIENT,
        ),
    )


def _too_many_calls(
    decision: Decision,
    attempt: Attempt,
    result: PostResult | ServiceLookup | ProductLookup,
    now: datetime,
    rules: ProcessingRules,
    rng: Random,
) -> Decision:
    """The account made too many calls, perhaps other programs' ones: no limit of the device's is used up by it.

    An order waits longer each time: it may be over a limit of its own, and each refusal keeps all other calls waiting.
    """
    decision = decision._replace(counts=False)
    wait_s = _long_quota_wait(result)
    if wait_s is not None:
        return decision._replace(
            work_order_state=WorkOrderState.QUEUED, pause_reason=QUOTA_USED_UP, quota_wait_s=wait_s
        )
    at = later(attempt.intents, now, rng, retry_after_s=result.retry_after_s, rules=rules.retry)
    return decision._replace(
        work_order_state=WorkOrderState.WAITING_RETRY,
        next_attempt_at=at,
        problem=_tried_again("BILLING_BUSY", "Billing took no further call", attempt, result.reason),
    )


def _stays(attempt: Attempt) -> str:
    """What is added to the end of a work order that has a service at billing."""
    return "" if attempt.service_id is None else f" Billing service {attempt.service_id} stays."


def _long_quota_wait(result: PostResult | ServiceLookup | ProductLookup) -> float | None:
    """For how many seconds the jobs of the credential pause; None: they only wait."""
    wait_s = result.retry_after_s or 0.0
    return wait_s if wait_s > QUOTA_PAUSE_S else None


def _tried_again(code: str, what: str, attempt: Attempt, reason: str) -> Problem:
    return Problem(
        code,
        _cut(f"{what} for device {attempt.device}. {reason}".strip()),
        "Nothing to do now: it is tried again by itself.",
        ErrorKind.TRANSIENT,
    )


# --- lookups ---------------------------------------------------------------------------------------------------------


def _settle_unanswered_lookup(
    attempt: Attempt, result: ServiceLookup | ProductLookup, now: datetime, rules: ProcessingRules, rng: Random
) -> Decision:
    environment = result.verdict is LookupVerdict.ENVIRONMENT
    pause = _cut(result.reason or "Billing cannot be reached.") if environment else None
    if attempt.unknown_since is None:  # it was looked up before its first POST: nothing is open
        if environment:
            return Decision(work_order_state=WorkOrderState.QUEUED, pause_reason=pause, counts=False)
        if result.verdict is LookupVerdict.BUSY:
            return _too_many_calls(Decision(), attempt, result, now, rules, rng)
        return _try_again(Decision(), attempt, result.reason, now, rules, rng)
    quota_wait_s = _long_quota_wait(result) if result.verdict is LookupVerdict.BUSY else None
    return Decision(
        step_state=StepState.UNKNOWN,
        work_order_state=WorkOrderState.OUTCOME_UNKNOWN,
        check_at=ask_again_at(attempt.unknown_since, now, rng, settle=rules.settle, retry_after_s=result.retry_after_s),
        problem=_asked_in_vain(attempt.device, result.reason),
        pause_reason=pause if quota_wait_s is None else QUOTA_USED_UP,
        quota_wait_s=quota_wait_s,
        counts=False,
    )


def resolve_service(attempt: Attempt, found: Sequence[BillingServiceFound]) -> Decision:
    """What billing's services of the customer, by our reference and by the number, say about the step.

    Adopted is the only candidate if it is active, the same customer's and carries our reference. None: POST. Anything
    else is parked for a person.
    """
    terms = attempt.terms
    ours = [service for service in found if service.reference == terms.reference]
    by_number = [
        service for service in found if service.number == terms.number and service.is_active and service not in ours
    ]
    if not ours and not by_number:
        return _absent(attempt)
    if len(ours) == 1 and not by_number:
        service = ours[0]
        if service.is_active and service.billing_customer_id == terms.billing_customer_id:
            return Decision(step_state=StepState.DONE, billing_id=service.service_id, counts=False)
        matter = "is not active any more" if not service.is_active else "belongs to another customer"
        return _for_a_person(
            "BILLING_SERVICE_UNUSABLE",
            f"Billing has service {service.service_id} with the reference of device {attempt.device}, but it {matter}.",
        )
    names = ", ".join(service.service_id for service in [*ours, *by_number][:5])
    if ours:
        return _for_a_person(
            "BILLING_SERVICES_AMBIGUOUS",
            f"Billing has several services that may be the one of device {attempt.device}: {names}.",
        )
    return _for_a_person(
        NUMBER_TAKEN,
        f"Billing has service {names} for number {terms.number} of device {attempt.device}, without our reference.",
    )


def resolve_product(attempt: Attempt, found: Sequence[BillingProductFound]) -> Decision:
    """What the products on the billing service say about the step.

    On a kept service that was looked at before any POST, an active product is kept. After a POST, adopted is what is
    active and carries our reference. Where billing keeps no reference of products, the service speaks for them: on a
    service that this work order made, the only active product of this id can be nobody else's.
    """
    terms, step = attempt.terms, attempt.call.step
    product_id = terms.plans[step].product_id
    # What the other plan put there is the other plan's, even where both are the same product.
    siblings = {terms.step_reference(other) for other in PRODUCT_STEPS if other is not step}
    same = [product for product in found if product.product_id == product_id and product.reference not in siblings]
    active = [product for product in same if product.is_active]
    if attempt.unknown_since is None:
        if active:
            return Decision(step_state=StepState.KEPT, billing_id=active[0].service_product_id, counts=False)
        return _absent(attempt)
    ours = [product for product in same if product.reference == terms.step_reference(step)]
    others = [product for product in active if product not in ours]
    if not ours and not others:
        return _absent(attempt)
    if not ours and len(others) == 1 and not others[0].reference and _speaks_for_its_products(terms, step):
        return Decision(step_state=StepState.DONE, billing_id=others[0].service_product_id, counts=False)
    if len(ours) == 1 and not others and ours[0].is_active:
        return Decision(step_state=StepState.DONE, billing_id=ours[0].service_product_id, counts=False)
    names = ", ".join(product.service_product_id for product in [*ours, *others][:5])
    return _for_a_person(
        "BILLING_PRODUCTS_AMBIGUOUS",
        f"Service {attempt.service_id} of device {attempt.device} has product {product_id} as {names}; "
        f"it cannot be told whether that is ours.",
    )


def _speaks_for_its_products(terms: BillingTerms, step: Step) -> bool:
    """Whether a product without a reference on the work order's service can only be this step's."""
    product_id = terms.plans[step].product_id
    return (
        terms.action is BillingAction.CREATE
        and terms.package_id is None
        and not any(plan.product_id == product_id for other, plan in terms.plans.items() if other is not step)
    )


def _absent(attempt: Attempt) -> Decision:
    """Billing does not have it: the intent is renewed and it is posted."""
    state = None if attempt.unknown_since is None else StepState.NOT_SENT
    return Decision(step_state=state, post_again=True, counts=False)


def _within_limits(absent: Decision, attempt: Attempt, rules: ProcessingRules) -> Decision:
    """Posted again is what billing does not have, unless that was done too often, or for too long.

    It was asked when what was sent could not come into being any more: to give up here loses nothing.
    """
    if attempt.unknown_since is None:
        return absent
    # This one only asked, and it is no fault of the device if nobody asked for days.
    limit = limit_reached(attempt.tries - 1, attempt.first_at, attempt.unknown_since, rules.retry)
    if limit is None:
        return absent
    return absent._replace(
        work_order_state=WorkOrderState.FAILED,
        post_again=False,
        problem=Problem(
            "BILLING_UNCLEAR",
            f"Billing gave no clear answer for device {attempt.device} {limit.reason}; it was asked each time and does "
            f"not have it.{_stays(attempt)}",
            "Have billing look at what is wrong with this order, then retry the job: it goes on where it stood.",
            ErrorKind.TRANSIENT,
        ),
    )


def _for_a_person(code: str, message: str) -> Decision:
    return Decision(
        step_state=StepState.UNKNOWN,
        work_order_state=WorkOrderState.OUTCOME_UNKNOWN,
        check_at=None,
        problem=Problem(code, _cut(message), _RESOLVE, ErrorKind.UNKNOWN),
        counts=False,
    )


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 1] + "…"
