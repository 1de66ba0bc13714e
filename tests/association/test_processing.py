"""What the answer of each call makes of a step and of its work order: the table that money hangs on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from desktop_app.association.errors import ASKED_IN_VAIN, ErrorKind
from desktop_app.association.model import BillingAction
from desktop_app.association.ports import (
    BillingProductFound,
    BillingServiceFound,
    LookupVerdict,
    PostResult,
    PostVerdict,
    ProductLookup,
    ServiceLookup,
)
from desktop_app.association.processing import (
    TEXT_LENGTH,
    Attempt,
    Decision,
    ProcessingRules,
    cancelled_between_steps,
    made_at_billing,
    released,
    settle,
)
from desktop_app.association.retry import RetryRules
from desktop_app.association.states import Step, StepState, WorkOrderState
from desktop_app.association.steps import BillingTerms, CallKind, NextCall, PlanAtBilling, StepRecord

S = StepState
W = WorkOrderState
SERVICE, CARRIER, CUSTOMER = Step.BILLING_SERVICE, Step.CARRIER_PLAN_PRODUCT, Step.CUSTOMER_PLAN_PRODUCT
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SENT_AT = NOW - timedelta(seconds=90)
SETTLE = timedelta(seconds=30)
RULES = ProcessingRules(SETTLE, RetryRules(max_attempts=3, first_wait_s=8.0))
ICCID, OURS, NUMBER = "8901260000000039590", "AJ-20261124-0042-7-7f3a9c", "12745550005"
TERMS = BillingTerms(
    BillingAction.CREATE,
    reference=OURS,
    billing_customer_id="500",
    provider_id="12",
    number=NUMBER,
    effective_date=date(2026, 11, 1),
    plans={CARRIER: PlanAtBilling(product_id="101"), CUSTOMER: PlanAtBilling(product_id="103")},
)
KEEP = TERMS._replace(action=BillingAction.KEEP, kept_service_id="S9")


def attempt(kind: CallKind, step: Step = SERVICE, **changes: Any) -> Attempt:
    at = Attempt(ICCID, NextCall(kind, step), TERMS, tries=1, first_at=NOW - timedelta(minutes=5))
    return at._replace(**changes)


def decide(at: Attempt, result: PostResult | ServiceLookup | ProductLookup) -> Decision:
    return settle(at, result, NOW, RULES, Random(1))


def problem_of(decision: Decision) -> Any:
    problem = decision.problem
    assert problem is not None
    assert ICCID in problem.message
    assert problem.what_to_do
    assert len(problem.message) <= TEXT_LENGTH
    return problem


# --- POST ------------------------------------------------------------------------------------------------------------

POST = attempt(CallKind.POST_SERVICE)
POST_PRODUCT = attempt(CallKind.POST_PRODUCT, CARRIER, service_id="S1")


@pytest.mark.parametrize("at", [POST, POST_PRODUCT], ids=["service", "product"])
def test_what_was_made_is_done_and_the_work_order_goes_on(at: Attempt) -> None:
    decision = decide(at, PostResult(PostVerdict.CREATED, "77", 201, '{"ok": true}'))
    assert decision == Decision(step_state=S.DONE, billing_id="77", http_status=201, answer='{"ok": true}')


@pytest.mark.parametrize("at", [POST, POST_PRODUCT], ids=["service", "product"])
@pytest.mark.parametrize(
    "result",
    [
        PostResult(PostVerdict.UNKNOWN, http_status=503, reason="Status 503."),
        PostResult(PostVerdict.UNKNOWN, reason="No answer in 30 s."),
        PostResult(PostVerdict.CREATED, None, 201, "{}"),  # made, and nobody knows under which id
        PostResult(PostVerdict.CREATED, "", 201, "{}"),
    ],
)
def test_no_clear_answer_is_parked_until_billing_can_be_asked(at: Attempt, result: PostResult) -> None:
    decision = decide(at, result)
    assert (decision.step_state, decision.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert decision.check_at == NOW + SETTLE
    assert not decision.post_again
    assert problem_of(decision).kind is ErrorKind.UNKNOWN


def test_a_refused_service_fails_the_device_with_billings_words() -> None:
    decision = decide(POST, PostResult(PostVerdict.REFUSED, http_status=422, answer="address_id is unknown"))
    assert (decision.step_state, decision.work_order_state) == (S.REFUSED, W.FAILED)
    problem = problem_of(decision)
    assert (problem.code, problem.kind) == ("BILLING_REFUSED", ErrorKind.PERMANENT)
    assert "address_id is unknown" in problem.message
    assert (decision.http_status, decision.answer) == (422, "address_id is unknown")


def test_a_refused_product_says_that_the_service_stays() -> None:
    decision = decide(POST_PRODUCT, PostResult(PostVerdict.REFUSED, http_status=400))
    problem = problem_of(decision)
    assert problem.code == "BILLING_REFUSED_PRODUCT"
    assert "product 101 on service S1" in problem.message
    assert "status 400" in problem.message
    assert "The service stays" in problem.message


@pytest.mark.parametrize(("tries", "state"), [(1, W.WAITING_RETRY), (2, W.WAITING_RETRY), (3, W.FAILED)])
def test_what_was_not_sent_is_tried_again_until_its_limit(tries: int, state: W) -> None:
    decision = decide(POST._replace(tries=tries), PostResult(PostVerdict.NOT_SENT))
    assert (decision.work_order_state, decision.step_state, decision.counts) == (state, S.NOT_SENT, True)
    assert problem_of(decision).code == "BILLING_NOT_REACHED"
    assert (decision.next_attempt_at is not None) == (state is W.WAITING_RETRY)
    assert ("in 3 tries" in problem_of(decision).message) == (state is W.FAILED)


BUSY = PostResult(PostVerdict.BUSY, http_status=429, reason="Too many calls.", retry_after_s=60.0)
LONG_AGO = NOW - timedelta(days=300)


@pytest.mark.parametrize("tries", [1, 1_000])
@pytest.mark.parametrize("at", [POST, POST_PRODUCT], ids=["service", "product"])
def test_too_many_calls_say_nothing_of_the_device(at: Attempt, tries: int) -> None:
    decision = decide(at._replace(tries=tries, first_at=LONG_AGO), BUSY)
    assert (decision.work_order_state, decision.step_state, decision.counts) == (W.WAITING_RETRY, S.NOT_SENT, False)
    assert decision.next_attempt_at is not None
    assert NOW + timedelta(seconds=60) <= decision.next_attempt_at <= NOW + timedelta(seconds=68)
    assert problem_of(decision).code == "BILLING_BUSY"
    assert decision.pause_reason is None


@pytest.mark.parametrize(("intents", "bound_s"), [(0, 1), (1, 1), (2, 2), (5, 16), (50, 600), (5_000, 600)])
def test_who_is_refused_again_and_again_asks_ever_more_seldom(intents: int, bound_s: int) -> None:
    """Each refusal keeps all calls of the account waiting; one that is over a limit of its own must not do so often."""
    waits = []
    for seed in range(200):
        result = replace(BUSY, retry_after_s=9.0)
        decision = settle(POST._replace(intents=intents), result, NOW, ProcessingRules(SETTLE), Random(seed))
        assert decision.next_attempt_at is not None
        waits.append((decision.next_attempt_at - NOW).total_seconds() - 9.0)
    assert 0 <= min(waits) < bound_s / 10
    assert bound_s * 0.9 < max(waits) <= bound_s


@pytest.mark.parametrize(("wait_s", "pauses"), [(None, False), (120.0, False), (120.1, True), (86_400.0, True)])
def test_who_has_to_wait_long_pauses_the_job_for_the_quota(wait_s: float | None, pauses: bool) -> None:
    decision = decide(POST, replace(BUSY, retry_after_s=wait_s))
    assert decision.work_order_state is (W.QUEUED if pauses else W.WAITING_RETRY)
    assert (decision.quota_wait_s, decision.counts) == (wait_s if pauses else None, False)
    assert bool(decision.pause_reason) == pauses
    asked = decide(FIND, ServiceLookup(LookupVerdict.BUSY, retry_after_s=wait_s))
    assert (asked.step_state, asked.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert (asked.quota_wait_s, bool(asked.pause_reason)) == (wait_s if pauses else None, pauses)


def test_what_did_not_reach_billing_says_so_and_what_stays() -> None:
    at = POST_PRODUCT._replace(tries=3)
    problem = problem_of(decide(at, PostResult(PostVerdict.NOT_SENT, reason="The connection was refused.")))
    assert problem.code == "BILLING_NOT_REACHED"
    assert "Billing service S1 stays" in problem.message


@pytest.mark.parametrize("tries", [1, 99])
def test_the_environment_is_never_the_devices_fault(tries: int) -> None:
    decision = decide(POST._replace(tries=tries), PostResult(PostVerdict.ENVIRONMENT, reason="No billing server."))
    assert (decision.step_state, decision.work_order_state) == (S.NOT_SENT, W.QUEUED)
    assert (decision.pause_reason, decision.problem, decision.counts) == ("No billing server.", None, False)


def test_a_pause_always_has_a_reason() -> None:
    assert decide(POST, PostResult(PostVerdict.ENVIRONMENT)).pause_reason


def test_long_answers_are_cut_to_what_the_columns_hold() -> None:
    decision = decide(POST, PostResult(PostVerdict.REFUSED, answer="x" * 5_000))
    assert len(decision.answer) == TEXT_LENGTH
    problem_of(decision)


# --- calls that were not made ----------------------------------------------------------------------------------------


def test_a_post_that_was_not_made_goes_back_into_the_queue() -> None:
    decision = released(POST)
    assert (decision.step_state, decision.work_order_state) == (S.NOT_SENT, W.QUEUED)
    assert (decision.problem, decision.counts) == (None, False)


def test_an_open_question_that_was_not_asked_stays_open_and_says_why() -> None:
    decision = released(attempt(CallKind.FIND_SERVICE, unknown_since=SENT_AT))
    assert (decision.step_state, decision.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert decision.check_at == SENT_AT, "it was due already"
    assert not decision.counts
    assert problem_of(decision).code == "BILLING_OUTCOME_UNKNOWN"


MADE_BEFORE = [
    ({}, None),
    ({SERVICE: StepRecord(S.KEPT, "S1")}, None),
    ({SERVICE: StepRecord(S.NOT_SENT)}, None),
    ({SERVICE: StepRecord(S.DONE, "S1")}, "billing service S1 was"),
    (
        {SERVICE: StepRecord(S.DONE, "S1"), CARRIER: StepRecord(S.DONE, "P1")},
        "billing service S1 was",
    ),
    (
        {
            SERVICE: StepRecord(S.KEPT, "S1"),
            CARRIER: StepRecord(S.KEPT, "P1"),
            CUSTOMER: StepRecord(S.DONE, "P2"),
        },
        "plan product P2 on billing service S1 was",
    ),
    (
        {
            SERVICE: StepRecord(S.KEPT, "S1"),
            CARRIER: StepRecord(S.DONE, "P1"),
            CUSTOMER: StepRecord(S.DONE, "P2"),
        },
        "plan products P1 and P2 on billing service S1 were",
    ),
]


@pytest.mark.parametrize(("steps", "made"), MADE_BEFORE)
def test_a_cancelled_device_says_what_stays_at_billing(steps: dict[Step, StepRecord], made: str | None) -> None:
    decision = cancelled_between_steps(made_at_billing(steps))
    assert decision.work_order_state is W.CANCELLED
    problem = decision.problem
    assert problem is not None
    if made is None:
        assert "before anything was made" in problem.message
    else:
        assert f"Cancelled after {made} made;" in problem.message
        assert f"end {made.rsplit(' ', 1)[0]} at billing" in problem.what_to_do


# --- what billing has: services --------------------------------------------------------------------------------------

FIND = attempt(CallKind.FIND_SERVICE, unknown_since=SENT_AT)
LOOK_FIRST = attempt(CallKind.FIND_SERVICE)


def service(service_id: str = "S1", **changes: Any) -> BillingServiceFound:
    found = BillingServiceFound(service_id, "500", NUMBER, OURS, is_active=True)
    return replace(found, **changes)


POST_AGAIN, ADOPT, PERSON = "post again", "adopt", "person"
NO_REFERENCE = {"reference": ""}


def verdict_of(decision: Decision) -> str:
    """What was decided, in one word; whatever it is, it is whole."""
    assert not decision.counts
    if decision.post_again:
        assert (decision.work_order_state, decision.problem, decision.billing_id) == (None, None, None)
        return POST_AGAIN
    if decision.work_order_state is None:
        assert decision.problem is None
        return f"{'keep' if decision.step_state is S.KEPT else ADOPT} {decision.billing_id}"
    assert (decision.step_state, decision.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert decision.check_at is None, "nobody asks again: a person decides"
    return f"{PERSON} {problem_of(decision).code}"


@pytest.mark.parametrize("at", [FIND, LOOK_FIRST], ids=["after a POST", "before the first"])
@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((), POST_AGAIN),
        # ours, active, the same customer's: the only thing that is adopted
        ((service(),), "adopt S1"),
        ((service(number="another"),), "adopt S1"),
        ((service(is_active=False),), "person BILLING_SERVICE_UNUSABLE"),
        ((service(billing_customer_id="501"),), "person BILLING_SERVICE_UNUSABLE"),
        # two candidates
        ((service(), service("S2")), "person BILLING_SERVICES_AMBIGUOUS"),
        ((service(), service("S2", is_active=False)), "person BILLING_SERVICES_AMBIGUOUS"),
        ((service(), service("S2", **NO_REFERENCE)), "person BILLING_SERVICES_AMBIGUOUS"),
        # a number alone
        ((service(**NO_REFERENCE),), "person BILLING_NUMBER_TAKEN"),
        ((service(reference="AJ-20260101-0001-1-000000"),), "person BILLING_NUMBER_TAKEN"),
        ((service(**NO_REFERENCE), service("S2", **NO_REFERENCE)), "person BILLING_NUMBER_TAKEN"),
        # ended services of the number are history
        ((service(**NO_REFERENCE, is_active=False),), POST_AGAIN),
        ((service(), service("S2", **NO_REFERENCE, is_active=False)), "adopt S1"),
        # neither reference nor number
        ((service(**NO_REFERENCE, number="another"),), POST_AGAIN),
        # the reference has to be the whole of it
        ((service(reference=f"{OURS}-carrier", number="another"),), POST_AGAIN),
        ((service(reference=OURS[:-1], number="another"),), POST_AGAIN),
    ],
)
def test_what_the_services_at_billing_say(at: Attempt, found: tuple[BillingServiceFound, ...], verdict: str) -> None:
    assert verdict_of(decide(at, ServiceLookup(LookupVerdict.ANSWERED, found))) == verdict


@pytest.mark.parametrize(("at", "step_state"), [(FIND, S.NOT_SENT), (LOOK_FIRST, None)])
def test_what_is_absent_is_marked_as_not_sent_only_if_it_was_begun(at: Attempt, step_state: S | None) -> None:
    assert decide(at, ServiceLookup(LookupVerdict.ANSWERED)).step_state is step_state


# --- what billing has: products --------------------------------------------------------------------------------------


def product(product_line: str = "P1", **changes: Any) -> BillingProductFound:
    found = BillingProductFound(product_line, "S1", "101", f"{OURS}-carrier", is_active=True)
    return replace(found, **changes)


AFTER_POST = attempt(CallKind.FIND_PRODUCT, CARRIER, service_id="S1", unknown_since=SENT_AT)
SAME_PRODUCT = TERMS._replace(
    plans={CARRIER: PlanAtBilling(product_id="101"), CUSTOMER: PlanAtBilling(product_id="101")}
)
SIBLING = f"{OURS}-customer"


@pytest.mark.parametrize(
    ("terms", "found", "verdict"),
    [
        (TERMS, (), POST_AGAIN),
        (TERMS, (product(),), "adopt P1"),
        (TERMS, (product(product_id="103"),), POST_AGAIN),
        (TERMS, (product(is_active=False),), "person BILLING_PRODUCTS_AMBIGUOUS"),
        (TERMS, (product(), product("P2")), "person BILLING_PRODUCTS_AMBIGUOUS"),
        (TERMS, (product(), product("P2", **NO_REFERENCE)), "person BILLING_PRODUCTS_AMBIGUOUS"),
        (TERMS, (product(), product("P2", **NO_REFERENCE, is_active=False)), "adopt P1"),
        (TERMS, (product(reference="AJ-1-carrier"),), "person BILLING_PRODUCTS_AMBIGUOUS"),
        # billing keeps no reference of products: the service that we made speaks for what is on it
        (TERMS, (product(**NO_REFERENCE),), "adopt P1"),
        (TERMS, (product(**NO_REFERENCE), product("P2", **NO_REFERENCE)), "person BILLING_PRODUCTS_AMBIGUOUS"),
        (TERMS, (product(**NO_REFERENCE, is_active=False),), POST_AGAIN),
        # but not a service that was there before, one that came with a package, or one with the product twice
        (KEEP, (product(**NO_REFERENCE),), "person BILLING_PRODUCTS_AMBIGUOUS"),
        (KEEP, (product(),), "adopt P1"),
        (
            TERMS._replace(plans={**TERMS.plans, CUSTOMER: PlanAtBilling(package_id="7")}),
            (product(**NO_REFERENCE),),
            "person BILLING_PRODUCTS_AMBIGUOUS",
        ),
        (SAME_PRODUCT, (product(**NO_REFERENCE),), "person BILLING_PRODUCTS_AMBIGUOUS"),
        # both plans are the same product at billing: the other's is not ours
        (SAME_PRODUCT, (product(reference=SIBLING),), POST_AGAIN),
        (SAME_PRODUCT, (product(), product("P2", reference=SIBLING)), "adopt P1"),
    ],
)
def test_what_the_products_at_billing_say_after_a_post(
    terms: BillingTerms, found: tuple[BillingProductFound, ...], verdict: str
) -> None:
    at = AFTER_POST._replace(terms=terms)
    assert verdict_of(decide(at, ProductLookup(LookupVerdict.ANSWERED, found))) == verdict


@pytest.mark.parametrize(
    ("terms", "found", "verdict"),
    [
        (KEEP, (), POST_AGAIN),
        (KEEP, (product(**NO_REFERENCE),), "keep P1"),
        (KEEP, (product(reference="AJ-1-carrier"),), "keep P1"),
        (KEEP, (product(**NO_REFERENCE, is_active=False),), POST_AGAIN),
        (KEEP, (product(**NO_REFERENCE, product_id="103"),), POST_AGAIN),
        (KEEP, (product(**NO_REFERENCE), product("P2", **NO_REFERENCE)), "keep P1"),
        # what this work order put there for its other plan was not there before
        (SAME_PRODUCT._replace(action=BillingAction.KEEP), (product(reference=SIBLING),), POST_AGAIN),
    ],
)
def test_what_is_on_a_kept_service_before_any_post_is_kept(
    terms: BillingTerms, found: tuple[BillingProductFound, ...], verdict: str
) -> None:
    at = AFTER_POST._replace(terms=terms, unknown_since=None)
    assert verdict_of(decide(at, ProductLookup(LookupVerdict.ANSWERED, found))) == verdict


# --- what is absent is not posted for ever ---------------------------------------------------------------------------

DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("tried", "age", "why"),
    [
        (1, timedelta(), None),
        (2, timedelta(), None),
        (3, timedelta(), "in 3 tries"),
        (4, timedelta(), "in 4 tries"),
        (1, DAY, None),
        (1, DAY + timedelta(microseconds=1), "for longer than 24 hours"),
    ],
)
@pytest.mark.parametrize("kind", [CallKind.FIND_SERVICE, CallKind.FIND_PRODUCT])
def test_what_never_gets_a_clear_answer_is_given_up_at_the_limits(
    kind: CallKind, tried: int, age: timedelta, why: str | None
) -> None:
    found, at = (ServiceLookup(LookupVerdict.ANSWERED), FIND) if kind is CallKind.FIND_SERVICE else (
        ProductLookup(LookupVerdict.ANSWERED), AFTER_POST,
    )  # fmt: skip
    assert at.unknown_since is not None
    decision = decide(at._replace(tries=tried + 1, first_at=at.unknown_since - age), found)
    assert (decision.step_state, decision.counts) == (S.NOT_SENT, False)
    assert decision.post_again == (why is None)
    if why is None:
        assert (decision.work_order_state, decision.problem) == (None, None)
        return
    assert decision.work_order_state is W.FAILED
    problem = problem_of(decision)
    assert problem.code == "BILLING_UNCLEAR"
    assert why in problem.message
    assert ("Billing service S1 stays" in problem.message) == (kind is CallKind.FIND_PRODUCT)


def test_what_nobody_asked_for_during_a_weekend_is_posted_again() -> None:
    """The first order was not clear, and then no engine ran: it was tried for a moment, not for three days."""
    friday = NOW - 3 * DAY
    at = FIND._replace(tries=2, first_at=friday, unknown_since=friday)
    assert decide(at, ServiceLookup(LookupVerdict.ANSWERED)).post_again


def test_what_is_there_is_adopted_past_every_limit() -> None:
    late = FIND._replace(tries=1_000, first_at=NOW - 300 * DAY)
    assert verdict_of(decide(late, ServiceLookup(LookupVerdict.ANSWERED, (service(),)))) == "adopt S1"


def test_a_look_before_the_first_post_has_no_such_limit() -> None:
    """Nothing was sent for the step so far: what was tried was another one's."""
    assert decide(LOOK_FIRST._replace(tries=1_000), ServiceLookup(LookupVerdict.ANSWERED)).post_again


# --- billing could not be asked --------------------------------------------------------------------------------------

UNANSWERED = [
    (FIND, ServiceLookup(LookupVerdict.RETRY, reason="Status 500.")),
    (AFTER_POST, ProductLookup(LookupVerdict.RETRY, reason="Status 500.")),
]


@pytest.mark.parametrize(("at", "result"), UNANSWERED)
@pytest.mark.parametrize("tries", [1, 1_000])
def test_an_open_question_is_asked_again_for_ever(
    at: Attempt, result: ServiceLookup | ProductLookup, tries: int
) -> None:
    decision = decide(at._replace(tries=tries, first_at=NOW - timedelta(days=300)), result)
    assert (decision.step_state, decision.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert decision.check_at is not None
    assert decision.check_at >= NOW + SETTLE / 2
    assert not decision.post_again
    assert (decision.counts, decision.pause_reason) == (False, None)
    assert "Status 500." in problem_of(decision).message
    assert problem_of(decision).code == ASKED_IN_VAIN, "told apart from one that was not asked for yet"


def test_an_open_question_waits_as_long_as_billing_asks() -> None:
    decision = decide(FIND, ServiceLookup(LookupVerdict.BUSY, retry_after_s=3_600.0))
    assert decision.check_at == NOW + timedelta(hours=1)


def test_a_question_that_meets_no_billing_stays_open_and_pauses_its_job() -> None:
    decision = decide(FIND, ServiceLookup(LookupVerdict.ENVIRONMENT, reason="No billing server."))
    assert (decision.step_state, decision.work_order_state) == (S.UNKNOWN, W.OUTCOME_UNKNOWN)
    assert decision.pause_reason == "No billing server."
    assert decision.check_at is not None


def test_a_look_before_the_first_post_leaves_nothing_open() -> None:
    gone = decide(LOOK_FIRST, ServiceLookup(LookupVerdict.ENVIRONMENT, reason="No billing server."))
    assert (gone.step_state, gone.work_order_state, gone.counts) == (None, W.QUEUED, False)
    assert gone.pause_reason == "No billing server."
    busy = decide(LOOK_FIRST._replace(tries=1_000), ServiceLookup(LookupVerdict.BUSY, retry_after_s=9.0))
    assert (busy.step_state, busy.work_order_state, busy.counts) == (None, W.WAITING_RETRY, False)
    assert problem_of(busy).code == "BILLING_BUSY"
    assert busy.next_attempt_at is not None
    assert busy.next_attempt_at >= NOW + timedelta(seconds=9)
    last = decide(LOOK_FIRST._replace(tries=3), ServiceLookup(LookupVerdict.RETRY, reason="Status 500."))
    assert last.work_order_state is W.FAILED
    assert problem_of(last).code == "BILLING_NOT_REACHED"


@pytest.mark.parametrize("verdict", list(LookupVerdict))
@pytest.mark.parametrize("at", [FIND, AFTER_POST], ids=["service", "product"])
def test_nothing_is_posted_before_billing_has_answered(at: Attempt, verdict: LookupVerdict) -> None:
    lookup: ServiceLookup | ProductLookup = ServiceLookup(verdict) if at is FIND else ProductLookup(verdict)
    assert decide(at, lookup).post_again == (verdict is LookupVerdict.ANSWERED)
