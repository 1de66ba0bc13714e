"""Which steps there are at billing, and which call comes next: a table for every standing of a step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from desktop_app.association.model import BillingAction
from desktop_app.association.states import Step, StepState
from desktop_app.association.steps import (
    POSTS,
    REFERENCE_LENGTH,
    BillingTerms,
    CallKind,
    NextCall,
    PlanAtBilling,
    StepRecord,
    next_call,
    post_of,
    refusal,
    settled_without_call,
    steps_at_billing,
)

SERVICE, CARRIER, CUSTOMER = Step.BILLING_SERVICE, Step.CARRIER_PLAN_PRODUCT, Step.CUSTOMER_PLAN_PRODUCT
S = StepState
BOTH = {CARRIER: PlanAtBilling(product_id="101"), CUSTOMER: PlanAtBilling(product_id="103")}
CREATE = BillingTerms(
    BillingAction.CREATE,
    reference="AJ-20261124-0042-7-7f3a9c",
    billing_customer_id="500",
    provider_id="12",
    number="12745550005",
    effective_date=date(2026, 11, 1),
    service_type_id="3",
    address_id="700",
    plans=BOTH,
    description="Connected device, Head office",
)
KEEP = CREATE._replace(action=BillingAction.KEEP, kept_service_id="S9")
PACKAGE = PlanAtBilling(package_id="7")


def records(**states: StepState) -> dict[Step, StepRecord]:
    return {Step(name): StepRecord(state, "S1", 1) for name, state in states.items()}


@pytest.mark.parametrize(
    ("terms", "steps"),
    [
        (BillingTerms(BillingAction.NONE, plans=BOTH), ()),
        (CREATE._replace(plans={}), (SERVICE,)),
        (CREATE, (SERVICE, CARRIER, CUSTOMER)),
        (CREATE._replace(plans={CUSTOMER: BOTH[CUSTOMER], CARRIER: BOTH[CARRIER]}), (SERVICE, CARRIER, CUSTOMER)),
        (CREATE._replace(plans={CUSTOMER: PACKAGE}), (SERVICE, CUSTOMER)),
        (KEEP, (SERVICE, CARRIER, CUSTOMER)),
    ],
)
def test_the_steps_at_billing_in_their_order(terms: BillingTerms, steps: tuple[Step, ...]) -> None:
    assert steps_at_billing(terms) == steps


POST, FIND = CallKind.POST_SERVICE, CallKind.FIND_SERVICE
POST_PRODUCT, FIND_PRODUCT = CallKind.POST_PRODUCT, CallKind.FIND_PRODUCT
LOOK_FIRST = CREATE._replace(lookup_first=True)


@pytest.mark.parametrize(
    ("terms", "before", "call", "step"),
    [
        # the service
        (CREATE, {}, POST, SERVICE),
        (CREATE, {SERVICE: S.NOT_SENT}, POST, SERVICE),
        (CREATE, {SERVICE: S.REFUSED}, POST, SERVICE),
        (CREATE, {SERVICE: S.INTENT}, FIND, SERVICE),
        (CREATE, {SERVICE: S.UNKNOWN}, FIND, SERVICE),
        # services made outside this program are looked for before the first POST, and only then
        (LOOK_FIRST, {}, FIND, SERVICE),
        (LOOK_FIRST, {SERVICE: S.REFUSED}, FIND, SERVICE),
        (LOOK_FIRST, {SERVICE: S.NOT_SENT}, POST, SERVICE),
        (LOOK_FIRST, {SERVICE: S.UNKNOWN}, FIND, SERVICE),
        # products, once the service is settled, one after the other
        (CREATE, {SERVICE: S.DONE}, POST_PRODUCT, CARRIER),
        (LOOK_FIRST, {SERVICE: S.DONE}, POST_PRODUCT, CARRIER),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.NOT_SENT}, POST_PRODUCT, CARRIER),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.INTENT}, FIND_PRODUCT, CARRIER),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.UNKNOWN}, FIND_PRODUCT, CARRIER),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.REFUSED}, POST_PRODUCT, CARRIER),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.DONE}, POST_PRODUCT, CUSTOMER),
        # a kept service has products that nobody here made: they are looked at first
        (KEEP, {SERVICE: S.KEPT}, FIND_PRODUCT, CARRIER),
        (KEEP, {SERVICE: S.KEPT, CARRIER: S.REFUSED}, FIND_PRODUCT, CARRIER),
        (KEEP, {SERVICE: S.KEPT, CARRIER: S.NOT_SENT}, POST_PRODUCT, CARRIER),
        (KEEP, {SERVICE: S.KEPT, CARRIER: S.KEPT}, FIND_PRODUCT, CUSTOMER),
    ],
)
def test_the_next_call(terms: BillingTerms, before: Mapping[Step, StepState], call: CallKind, step: Step) -> None:
    so_far = {of: StepRecord(state, "S1", 1) for of, state in before.items()}
    assert next_call(terms, so_far) == NextCall(call, step)


@pytest.mark.parametrize(
    ("terms", "before", "step", "call"),
    [
        (LOOK_FIRST, {SERVICE: S.NOT_SENT}, SERVICE, FIND),
        (CREATE, {SERVICE: S.NOT_SENT}, SERVICE, POST),
        (KEEP, {SERVICE: S.KEPT, CARRIER: S.NOT_SENT}, CARRIER, FIND_PRODUCT),
        (CREATE, {SERVICE: S.DONE, CARRIER: S.NOT_SENT}, CARRIER, POST_PRODUCT),
    ],
)
def test_what_was_not_sent_in_an_earlier_run_is_looked_up_as_if_it_had_never_been_begun(
    terms: BillingTerms, before: Mapping[Step, StepState], step: Step, call: CallKind
) -> None:
    so_far = {of: StepRecord(state, "S1", 1) for of, state in before.items()}
    assert next_call(terms, so_far, {step}) == NextCall(call, step)


@pytest.mark.parametrize(
    ("terms", "so_far"),
    [
        (BillingTerms(BillingAction.NONE), {}),
        (CREATE, records(billing_service=S.DONE, carrier_plan_product=S.DONE, customer_plan_product=S.KEPT)),
        (KEEP._replace(plans={}), records(billing_service=S.KEPT)),
    ],
)
def test_there_is_no_call_where_billing_is_settled(terms: BillingTerms, so_far: dict[Step, StepRecord]) -> None:
    assert next_call(terms, so_far) is None


@pytest.mark.parametrize("state", [S.INTENT, S.UNKNOWN])
@pytest.mark.parametrize("step", [SERVICE, CARRIER, CUSTOMER])
@pytest.mark.parametrize("terms", [CREATE, LOOK_FIRST, KEEP], ids=["create", "look first", "keep"])
def test_what_may_have_been_made_is_never_posted_again_unasked(
    terms: BillingTerms, step: Step, state: StepState
) -> None:
    earlier = {of: StepRecord(S.DONE, "S1") for of in steps_at_billing(terms) if of < step or of is SERVICE}
    call = next_call(terms, {**earlier, step: StepRecord(state)})
    assert call is not None
    assert call.step is step
    assert call.kind not in POSTS


def test_a_kept_service_is_settled_without_a_call() -> None:
    assert settled_without_call(KEEP, {}) == {SERVICE: StepRecord(S.KEPT, "S9")}
    assert settled_without_call(KEEP, {SERVICE: StepRecord(S.KEPT, "S9")}) == {}


@pytest.mark.parametrize(
    ("before", "settled"),
    [
        ({}, {}),
        ({SERVICE: S.INTENT}, {}),
        ({SERVICE: S.UNKNOWN}, {}),
        ({SERVICE: S.REFUSED}, {}),
        ({SERVICE: S.DONE}, {CARRIER: StepRecord(S.DONE, "S1")}),
        ({SERVICE: S.DONE, CARRIER: S.DONE}, {}),
    ],
)
def test_a_package_is_settled_with_the_service_that_it_came_with(
    before: Mapping[Step, StepState], settled: Mapping[Step, StepRecord]
) -> None:
    terms = CREATE._replace(plans={CARRIER: PACKAGE, CUSTOMER: BOTH[CUSTOMER]})
    so_far = {of: StepRecord(state, "S1", 1) for of, state in before.items()}
    assert settled_without_call(terms, so_far) == settled


@pytest.mark.parametrize(
    ("terms", "before", "code"),
    [
        (BillingTerms(BillingAction.NONE), {}, None),
        (CREATE, {}, None),
        (KEEP, {}, None),
        (CREATE._replace(plans={CARRIER: PACKAGE}), {}, None),
        (CREATE._replace(plans={CARRIER: PACKAGE, CUSTOMER: PACKAGE}), {}, None),  # the same one: it comes once
        (CREATE._replace(plans={CARRIER: PACKAGE, CUSTOMER: PlanAtBilling(package_id="8")}), {}, "TWO_PACKAGES"),
        (KEEP._replace(plans={CARRIER: PACKAGE}), {}, "PACKAGE_ON_KEPT_SERVICE"),
        # what is not there would never be found again
        (CREATE._replace(reference=""), {}, "INSTRUCTIONS_INCOMPLETE"),
        (CREATE._replace(number=""), {}, "INSTRUCTIONS_INCOMPLETE"),
        (CREATE._replace(billing_customer_id=""), {}, "INSTRUCTIONS_INCOMPLETE"),
        (CREATE._replace(provider_id=""), {}, "INSTRUCTIONS_INCOMPLETE"),
        (KEEP._replace(kept_service_id=None), {}, "INSTRUCTIONS_INCOMPLETE"),
        (CREATE._replace(number=""), {SERVICE: S.DONE}, None),
    ],
)
def test_terms_that_cannot_be_met_are_refused_before_anything_is_sent(
    terms: BillingTerms, before: Mapping[Step, StepState], code: str | None
) -> None:
    problem = refusal(terms, {of: StepRecord(state, "S1", 1) for of, state in before.items()})
    assert (None if problem is None else problem.code) == code
    assert problem is None or problem.what_to_do


def test_a_plan_that_became_a_package_after_its_service_was_made_is_not_said_to_be_there() -> None:
    """Its product was refused, and somebody mapped it to a package: that package was never sent."""
    terms = CREATE._replace(plans={CARRIER: PACKAGE, CUSTOMER: BOTH[CUSTOMER]})
    problem = refusal(terms, records(billing_service=S.DONE, carrier_plan_product=S.REFUSED))
    assert problem is not None
    assert problem.code == "PACKAGE_ON_KEPT_SERVICE"
    assert "package 7" in problem.message
    assert "service S1 was made without it" in problem.message
    assert refusal(terms, records(billing_service=S.DONE, carrier_plan_product=S.DONE)) is None
    # the service is not there yet: the package comes with it
    assert refusal(terms, records(billing_service=S.REFUSED)) is None


def test_what_is_posted() -> None:
    terms = CREATE._replace(plans={CARRIER: PACKAGE, CUSTOMER: BOTH[CUSTOMER]})
    service = terms.service_order()
    assert (service.reference, service.billing_customer_id, service.provider_id) == (CREATE.reference, "500", "12")
    assert (service.number, service.effective_date, service.service_type_id) == ("12745550005", date(2026, 11, 1), "3")
    assert (service.package_id, service.address_id) == ("7", "700")
    assert CREATE.service_order().package_id is None
    product = terms.product_order(CUSTOMER, "S1")
    assert (product.reference, product.service_id, product.product_id) == (f"{CREATE.reference}-customer", "S1", "103")
    assert product.effective_date == date(2026, 11, 1)


def test_a_package_has_no_product_of_its_own() -> None:
    with pytest.raises(ValueError, match="package"):
        CREATE._replace(plans={CARRIER: PACKAGE}).product_order(CARRIER, "S1")
    with pytest.raises(KeyError):
        CREATE._replace(plans={}).product_order(CARRIER, "S1")


def test_every_post_has_a_reference_of_its_own_that_fits() -> None:
    longest = CREATE._replace(reference="x" * REFERENCE_LENGTH)
    references = [longest.step_reference(step) for step in (SERVICE, CARRIER, CUSTOMER)]
    assert len(set(references)) == 3
    assert max(map(len, references)) == 60


@pytest.mark.parametrize("ids", [{}, {"product_id": "1", "package_id": "2"}, {"product_id": ""}])
def test_a_plan_is_one_thing_at_billing(ids: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a product or a package"):
        PlanAtBilling(**ids)


def test_the_post_of_each_step() -> None:
    assert [post_of(step) for step in (SERVICE, CARRIER, CUSTOMER)] == [POST, POST_PRODUCT, POST_PRODUCT]
