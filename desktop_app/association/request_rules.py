"""The check's rules on a request as a whole: each a small pure function, and a table that gives it code and words.

A function answers with one sentence where its rule is broken, and None where it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from desktop_app.association.facts import Right
from desktop_app.association.request import RequestFacts


class RequestRule(NamedTuple):
    """A rule about the request as a whole; what it says counts for every device."""

    code: str
    title: str
    what_to_do: str
    broken: Callable[[RequestFacts], str | None]


def _not_permitted(request: RequestFacts) -> str | None:
    if request.operator.may(Right.ASSOCIATE, request.customer.customer_id):
        return None
    return f"{request.operator.name} may not associate devices with {request.customer.label}."


def _customer_inactive(request: RequestFacts) -> str | None:
    return None if request.customer.is_active else f"{request.customer.label} is not active."


def _site_missing(request: RequestFacts) -> str | None:
    if request.site is not None:
        return None
    if not request.sites:
        return f"{request.customer.label} has no site."
    return f"{request.customer.label} has no default site, and none was chosen."


def _site_inactive(request: RequestFacts) -> str | None:
    if request.site is None or request.site.is_active:
        return None
    return f"The site {request.site.name} of {request.customer.label} is not active."


def _customer_plan_inactive(request: RequestFacts) -> str | None:
    plan = request.customer_rate_plan
    return None if plan is None or plan.is_active else f"The customer rate plan “{plan.code}” is not offered any more."


def _customer_plan_of_another(request: RequestFacts) -> str | None:
    plan = request.customer_rate_plan
    if plan is None or plan.customer_id in {None, request.customer.customer_id}:
        return None
    return f"The customer rate plan “{plan.code}” is reserved for another customer than {request.customer.label}."


def _account_number_missing(request: RequestFacts) -> str | None:
    if not request.create_billing_service or request.customer.account_number:
        return None
    return f"{request.customer.label} has no account number."


def _credential_missing(request: RequestFacts) -> str | None:
    if not request.create_billing_service or request.credential is not None:
        return None
    return f"There is no billing credential for {request.customer.label}."


def _credential_inactive(request: RequestFacts) -> str | None:
    if not request.create_billing_service or request.credential is None or request.credential.is_active:
        return None
    return f"The billing credential {request.credential.name} is not active."


def _billing_customer_missing(request: RequestFacts) -> str | None:
    if not request.create_billing_service or request.customer.billing_customer_id:
        return None
    return f"{request.customer.label} is not linked to a customer at the billing company."


def _billing_address_missing(request: RequestFacts) -> str | None:
    if not request.create_billing_service or request.site is None or request.site.billing_address_id:
        return None
    return f"The site {request.site.name} has no address id of the billing company."


def _customer_plan_not_mapped(request: RequestFacts) -> str | None:
    plan = request.customer_rate_plan
    if not request.create_billing_service or plan is None or request.credential is None:
        return None
    if request.plan_mapping(plan).is_complete:
        return None
    return f"{request.credential.name} has no product and no package for the customer rate plan “{plan.code}”."


REQUEST_RULES: tuple[RequestRule, ...] = (
    RequestRule(
        "NOT_PERMITTED",
        "The operator may not do this",
        "Ask an administrator for the right to associate on this customer.",
        _not_permitted,
    ),
    RequestRule(
        "CUSTOMER_INACTIVE",
        "The customer is not active",
        "Choose another customer, or have this one activated first.",
        _customer_inactive,
    ),
    RequestRule(
        "SITE_MISSING",
        "The customer's site is not known",
        "Choose a site, or have a default site set for the customer.",
        _site_missing,
    ),
    RequestRule("SITE_INACTIVE", "The site is not active", "Choose another site of the customer.", _site_inactive),
    RequestRule(
        "CUSTOMER_PLAN_INACTIVE",
        "The customer rate plan is not offered any more",
        "Choose another customer rate plan.",
        _customer_plan_inactive,
    ),
    RequestRule(
        "CUSTOMER_PLAN_OF_ANOTHER",
        "The customer rate plan is another customer's",
        "Choose a customer rate plan of this customer.",
        _customer_plan_of_another,
    ),
    RequestRule(
        "ACCOUNT_NUMBER_MISSING",
        "The customer has no account number",
        "Enter the customer's account number, or ask without a billing service.",
        _account_number_missing,
    ),
    RequestRule(
        "BILLING_CREDENTIAL_MISSING",
        "The customer has no billing credential",
        "Give the customer a billing credential, or mark one as the default.",
        _credential_missing,
    ),
    RequestRule(
        "BILLING_CREDENTIAL_INACTIVE",
        "The billing credential is not active",
        "Activate it, or give the customer another one.",
        _credential_inactive,
    ),
    RequestRule(
        "BILLING_CUSTOMER_MISSING",
        "The customer is not known at billing",
        "Enter the billing company's id of this customer, or ask without a billing service.",
        _billing_customer_missing,
    ),
    RequestRule(
        "BILLING_ADDRESS_MISSING",
        "The site has no address at billing",
        "Enter the billing company's address id of the site, or choose another site.",
        _billing_address_missing,
    ),
    RequestRule(
        "CUSTOMER_PLAN_NOT_MAPPED",
        "The customer rate plan is not known at billing",
        "Add the plan to the billing credential's mapping, or choose another plan.",
        _customer_plan_not_mapped,
    ),
)
