"""The check's rules on a device: each a small pure function, and a table that gives it code, severity and words.

A function answers with one sentence where its rule is broken, and None where it holds. Sentences do not repeat the
device's ICCID: it stands beside them wherever they are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import NamedTuple

from desktop_app.association.facts import ActiveService, DeviceFacts, RatePlanFacts, Right, Situation
from desktop_app.association.model import (
    ASSIGNABLE_STATUSES,
    BillingAction,
    Identifier,
    IdentifierKind,
    IdentifierWarning,
    OwnershipAction,
    Severity,
)
from desktop_app.association.request import RequestFacts, bill_cycle_start, bill_cycles_between


class Odd(NamedTuple):
    """What is odd about the identifier by which a device was asked for."""

    kind: IdentifierKind
    warning: IdentifierWarning


class Case(NamedTuple):
    """What a device that was found is like, and what the request comes to for it.

    Nothing in it tells one device from another: the rules are asked once for all devices of which it is the same.

    Attributes:
        device: what the rules look at of it.
        has_msisdn: whether it has a phone number.
        odd: see :func:`oddity`.
        effective_date: the chosen date or its activation date; None: it was never activated.
        ownership, billing: what is to be done.
        own_services: active billing services of the request's customer, but for the settled one.
        foreign_services: active billing services of other customers.
        carrier_plan: the carrier rate plan to be added; None: not asked for, or its service provider has none.
        settled_service_id: handle of the billing service that an earlier run of this work order made or kept.
    """

    device: Situation
    has_msisdn: bool
    odd: Odd | None
    effective_date: date | None
    ownership: OwnershipAction
    billing: BillingAction
    own_services: tuple[ActiveService, ...]
    foreign_services: tuple[ActiveService, ...]
    carrier_plan: RatePlanFacts | None
    settled_service_id: int | None = None


class About(Enum):
    """What a rule looks at; a device that has nothing of it cannot break the rule, and the rule is not asked."""

    DEVICE = "device"  #: any device
    OWNER = "owner"  #: devices with an owner
    SERVICES = "services"  #: devices with a billing service, active or settled by this work order


class DeviceRule(NamedTuple):
    """A rule about one device.

    Attributes:
        about: see :class:`About`.
        applies: whether the rule means anything for this request; asked once, not for each device.
    """

    code: str
    severity: Severity
    title: str
    what_to_do: str
    broken: Callable[[Case, RequestFacts], str | None]
    applies: Callable[[RequestFacts], bool] = lambda _request: True
    about: About = About.DEVICE


# --- the device itself -----------------------------------------------------------------------------------------------


def _deleted(case: Case, _request: RequestFacts) -> str | None:
    return "The device is deleted." if case.device.is_deleted else None


def _archived(case: Case, _request: RequestFacts) -> str | None:
    return "The device is archived." if case.device.is_archived else None


def _status(case: Case, _request: RequestFacts) -> str | None:
    status = case.device.status
    return None if status in ASSIGNABLE_STATUSES else f"Its status is {status}."


def oddity(identifier: Identifier | None, device: DeviceFacts) -> Odd | None:
    """What is odd about the identifier by which the device was asked for; None: nothing is.

    Args:
        identifier: None: the device was picked from a list.
    """
    if identifier is None or identifier.warning is None:
        return None
    if identifier.kind is IdentifierKind.ICCID and identifier.value != device.iccid:
        return None  # found with its check digit put right: nothing is odd about it
    return Odd(identifier.kind, identifier.warning)


def _check_digit(case: Case, _request: RequestFacts) -> str | None:
    if case.odd is None:
        return None
    kind = case.odd.kind.upper()
    if case.odd.warning is IdentifierWarning.ROUNDED:
        return f"Its {kind} ends with zeros, as spreadsheets leave them, and its check digit is wrong."
    return f"The check digit of its {kind} is wrong; a device with exactly this one exists."


# --- its owner -------------------------------------------------------------------------------------------------------


def _owner(case: Case, request: RequestFacts) -> str:
    owner_id = case.device.owner_id
    if owner_id is None or not request.may_see(owner_id):
        return "another customer"
    return case.device.owner_name or "another customer"


def _owned_by_another(case: Case, request: RequestFacts) -> str | None:
    if case.ownership is not OwnershipAction.REASSIGN or request.reassign:
        return None
    return f"It belongs to {_owner(case, request)}."


def _reassign_not_permitted(case: Case, request: RequestFacts) -> str | None:
    owner_id = case.device.owner_id
    if case.ownership is not OwnershipAction.REASSIGN or not request.reassign or owner_id is None:
        return None
    for customer_id, name in (
        (owner_id, _owner(case, request)),
        (request.customer.customer_id, request.customer.label),
    ):
        if not request.operator.may(Right.REASSIGN, customer_id):
            return f"It belongs to {_owner(case, request)}, and {request.operator.name} may not reassign on {name}."
    return None


def _taken_over(case: Case, request: RequestFacts) -> str | None:
    if case.ownership is not OwnershipAction.REASSIGN or not request.reassign:
        return None
    when = f" on {case.effective_date}" if case.effective_date else ""
    return f"It belongs to {_owner(case, request)} and is taken over{when}."


def _moves(case: Case, request: RequestFacts) -> str | None:
    if case.ownership is not OwnershipAction.MOVE or request.site is None:
        return None
    before = request.sites.get(case.device.owner_site_id or 0)
    return (
        f"It moves from {before.name} to {request.site.name}." if before else f"It gets the site {request.site.name}."
    )


def _ownership_scheduled(case: Case, _request: RequestFacts) -> str | None:
    since = case.device.scheduled_from
    return None if since is None else f"A change of its ownership is scheduled for {since} already."


def _in_open_work_order(case: Case, _request: RequestFacts) -> str | None:
    number = case.device.open_tracking_number
    return None if number is None else f"Job {number} is working on it."


# --- billing ---------------------------------------------------------------------------------------------------------


def _billed_to_another(case: Case, _request: RequestFacts) -> str | None:
    if not case.foreign_services:
        return None
    services = ", ".join(service.service_id for service in case.foreign_services)
    return f"Another customer is billed for it (billing service {services})."


def _several_services(case: Case, _request: RequestFacts) -> str | None:
    if len(case.own_services) + (case.settled_service_id is not None) < 2:
        return None
    services = ", ".join(service.service_id for service in case.device.services if service not in case.foreign_services)
    return f"This customer is billed for it several times (billing services {services})."


def _service_of_another_credential(case: Case, request: RequestFacts) -> str | None:
    if request.credential is None:
        return None
    other = [
        service.service_id
        for service in case.own_services
        if service.billing_credential_id != request.credential.billing_credential_id
    ]
    return f"Its billing service {other[0]} is billed through another credential." if other else None


def _service_kept(case: Case, _request: RequestFacts) -> str | None:
    if case.billing is not BillingAction.KEEP or case.settled_service_id is not None or not case.own_services:
        return None
    return f"It has the billing service {case.own_services[0].service_id} already; that one is kept."


def _settled_service_ended(case: Case, _request: RequestFacts) -> str | None:
    settled = case.settled_service_id
    if settled is None or any(service.billing_service_id == settled for service in case.device.services):
        return None
    return "The billing service that this work order made or kept was ended since."


def _msisdn_missing(case: Case, request: RequestFacts) -> str | None:
    if case.has_msisdn or case.billing is not BillingAction.CREATE or case.settled_service_id is not None:
        return None
    return None if request.settings.iccid_as_number else "It has no MSISDN to be billed under."


def _provider_not_mapped(case: Case, request: RequestFacts) -> str | None:
    if request.provider_mapping(case.device.service_provider_id).is_complete or request.credential is None:
        return None
    name = request.service_providers[case.device.service_provider_id].name
    return f"{request.credential.name} has no provider id and service type for {name}."


# --- rate plans ------------------------------------------------------------------------------------------------------


def _carrier_plan_not_offered(case: Case, request: RequestFacts) -> str | None:
    if case.carrier_plan is not None:
        return None
    name = request.service_providers[case.device.service_provider_id].name
    # plans of several service providers may bear the same code
    codes = " or ".join(dict.fromkeys(f"“{plan.code}”" for plan in request.carrier_rate_plans.values()))
    return f"{name} does not offer {codes}."


def _carrier_plan_inactive(case: Case, _request: RequestFacts) -> str | None:
    plan = case.carrier_plan
    return None if plan is None or plan.is_active else f"The carrier rate plan “{plan.code}” is not offered any more."


def _carrier_plan_not_mapped(case: Case, request: RequestFacts) -> str | None:
    plan = case.carrier_plan
    if plan is None or request.credential is None or request.plan_mapping(plan).is_complete:
        return None
    return f"{request.credential.name} has no product and no package for the carrier rate plan “{plan.code}”."


def _packages(case: Case, request: RequestFacts) -> list[str]:
    plans = (case.carrier_plan, request.customer_rate_plan)
    return [plan.code for plan in plans if plan is not None and request.plan_mapping(plan).package_id]


def _two_packages(case: Case, request: RequestFacts) -> str | None:
    packages = _packages(case, request)
    if len(packages) < 2:
        return None
    return f"Both plans, “{packages[0]}” and “{packages[1]}”, are packages at billing, and a service takes only one."


def _package_needs_new_service(case: Case, request: RequestFacts) -> str | None:
    if case.billing is not BillingAction.KEEP:
        return None
    packages = _packages(case, request)
    if not packages:
        return None
    return f"“{packages[0]}” is a package at billing: it comes with a new service only, and this device keeps its own."


# --- the effective date ----------------------------------------------------------------------------------------------


def _no_activation_date(case: Case, _request: RequestFacts) -> str | None:
    return "It was never activated, so that it has no activation date." if case.effective_date is None else None


def _before_previous_ownership(case: Case, request: RequestFacts) -> str | None:
    device, day = case.device, case.effective_date
    if day is None:
        return None
    if device.previous_end is not None and day < device.previous_end:
        return f"The effective date {day} lies before the end of its previous ownership on {device.previous_end}."
    takes_over = request.reassign and case.ownership is OwnershipAction.REASSIGN
    if takes_over and device.owned_from is not None and day < device.owned_from:
        return f"The effective date {day} lies before {device.owned_from}, when {_owner(case, request)} got it."
    return None


def _before_customer_start(case: Case, request: RequestFacts) -> str | None:
    day, start = case.effective_date, request.customer.starts_on
    if day is None or start is None or day >= start:
        return None
    return f"The effective date {day} lies before the start of {request.customer.label} on {start}."


def _before_bill_cycle(case: Case, request: RequestFacts) -> str | None:
    day, cycle_day = case.effective_date, request.customer.bill_cycle_day
    if day is None or cycle_day is None or day > request.today:
        return None
    months = bill_cycles_between(day, request.today, cycle_day)
    if months == 0:
        return None
    cycle = bill_cycle_start(request.today, cycle_day)
    back = "1 month" if months == 1 else f"{months} months"
    return f"The effective date {day} lies {back} before the customer's current bill cycle, which began on {cycle}."


def _too_far_ahead(case: Case, request: RequestFacts) -> str | None:
    day = case.effective_date
    if day is None or day <= request.furthest_ahead:
        return None
    return f"The effective date {day} lies more than {request.settings.furthest_ahead_days} days ahead."


# --- the table -------------------------------------------------------------------------------------------------------


def _with_billing(request: RequestFacts) -> bool:
    return request.create_billing_service


def _with_carrier_plan(request: RequestFacts) -> bool:
    return bool(request.carrier_rate_plans)


def _with_billed_carrier_plan(request: RequestFacts) -> bool:
    return request.create_billing_service and bool(request.carrier_rate_plans)


def _with_billed_plan(request: RequestFacts) -> bool:
    return request.create_billing_service and bool(request.carrier_rate_plans or request.customer_rate_plan)


def _with_two_billed_plans(request: RequestFacts) -> bool:
    return request.create_billing_service and bool(request.carrier_rate_plans and request.customer_rate_plan)


_BLOCKED, _WARNING = Severity.BLOCKED, Severity.WARNING

#: In the order in which findings of one device are told; the first blocking one becomes its work order's error.
DEVICE_RULES: tuple[DeviceRule, ...] = (
    DeviceRule("DELETED", _BLOCKED, "are deleted", "Take it out of the list, or have the device restored.", _deleted),
    DeviceRule(
        "ARCHIVED", _BLOCKED, "are archived", "Take it out of the list, or have it taken out of the archive.", _archived
    ),
    DeviceRule(
        "STATUS_NOT_ASSIGNABLE",
        _BLOCKED,
        "have a status that cannot be associated",
        "Take it out of the list; only inventory, test ready, active and suspended devices can be associated.",
        _status,
    ),
    DeviceRule(
        "OWNED_BY_ANOTHER",
        _BLOCKED,
        "belong to another customer",
        "Take it out of the list, or choose to reassign devices of other customers.",
        _owned_by_another,
        lambda request: not request.reassign,
        about=About.OWNER,
    ),
    DeviceRule(
        "REASSIGN_NOT_PERMITTED",
        _BLOCKED,
        "belong to a customer from whom they may not be taken",
        "Ask somebody who holds the right to reassign on both customers.",
        _reassign_not_permitted,
        lambda request: request.reassign,
        about=About.OWNER,
    ),
    DeviceRule(
        "IN_OPEN_WORK_ORDER",
        _BLOCKED,
        "are worked on by another job",
        "Wait until that job is finished, or cancel it there.",
        _in_open_work_order,
    ),
    DeviceRule(
        "OWNERSHIP_SCHEDULED",
        _BLOCKED,
        "have a scheduled change of ownership",
        "Wait until that change has happened, then ask again.",
        _ownership_scheduled,
    ),
    DeviceRule(
        "BILLED_TO_ANOTHER",
        _BLOCKED,
        "are billed to another customer",
        "Have that service ended at the billing company and re-read from billing, then ask again.",
        _billed_to_another,
        about=About.SERVICES,
    ),
    DeviceRule(
        "SEVERAL_BILLING_SERVICES",
        _BLOCKED,
        "are billed several times",
        "Have all but one of these services ended at the billing company and re-read from billing, then ask again.",
        _several_services,
        _with_billing,
        about=About.SERVICES,
    ),
    DeviceRule(
        "SERVICE_OF_ANOTHER_CREDENTIAL",
        _BLOCKED,
        "are billed through another credential",
        "Ask without rate plans, or have that service ended at the billing company and re-read from billing.",
        _service_of_another_credential,
        _with_billed_plan,
        about=About.SERVICES,
    ),
    DeviceRule(
        "BILLING_SERVICE_ENDED",
        _BLOCKED,
        "have a billing service that was ended since",
        "Submit the device again in a new request.",
        _settled_service_ended,
        _with_billing,
        about=About.SERVICES,
    ),
    DeviceRule(
        "MSISDN_MISSING",
        _BLOCKED,
        "have no MSISDN",
        "Have the MSISDN entered, or ask without a billing service.",
        _msisdn_missing,
        _with_billing,
    ),
    DeviceRule(
        "PROVIDER_NOT_MAPPED",
        _BLOCKED,
        "are on a service provider that billing does not know",
        "Add the service provider to the billing credential's mapping, or ask without a billing service.",
        _provider_not_mapped,
        _with_billing,
    ),
    DeviceRule(
        "CARRIER_PLAN_NOT_OFFERED",
        _BLOCKED,
        "cannot take the carrier rate plan",
        "Choose a carrier rate plan of the device's service provider.",
        _carrier_plan_not_offered,
        _with_carrier_plan,
    ),
    DeviceRule(
        "CARRIER_PLAN_INACTIVE",
        _BLOCKED,
        "cannot take the carrier rate plan: it is not offered any more",
        "Choose another carrier rate plan.",
        _carrier_plan_inactive,
        _with_carrier_plan,
    ),
    DeviceRule(
        "CARRIER_PLAN_NOT_MAPPED",
        _BLOCKED,
        "cannot take the carrier rate plan: billing does not know it",
        "Add the plan to the billing credential's mapping, or choose another plan.",
        _carrier_plan_not_mapped,
        _with_billed_carrier_plan,
    ),
    DeviceRule(
        "TWO_PACKAGES",
        _BLOCKED,
        "cannot take both plans: each is a package at billing",
        "Choose plans of which only one is a package at billing.",
        _two_packages,
        _with_two_billed_plans,
    ),
    DeviceRule(
        "PACKAGE_NEEDS_NEW_SERVICE",
        _BLOCKED,
        "keep their billing service, and the plan needs a new one",
        "Choose a plan that is a product at billing, or have the service ended there and re-read from billing.",
        _package_needs_new_service,
        _with_billed_plan,
        about=About.SERVICES,
    ),
    DeviceRule(
        "NO_ACTIVATION_DATE",
        _BLOCKED,
        "have no activation date",
        "Choose an effective date.",
        _no_activation_date,
        lambda request: request.effective_date is None,
    ),
    DeviceRule(
        "BEFORE_PREVIOUS_OWNERSHIP",
        _BLOCKED,
        "would start before their previous ownership ended",
        "Choose a later effective date.",
        _before_previous_ownership,
    ),
    DeviceRule(
        "BEFORE_CUSTOMER_START",
        _BLOCKED,
        "would start before the customer did",
        "Choose a later effective date.",
        _before_customer_start,
        lambda request: request.customer.starts_on is not None,
    ),
    DeviceRule(
        "TOO_FAR_AHEAD",
        _BLOCKED,
        "would start too far ahead",
        "Choose an earlier effective date.",
        _too_far_ahead,
    ),
    DeviceRule(
        "TAKEN_OVER",
        _WARNING,
        "are taken over from another customer",
        "Nothing, if this is meant; else take it out of the list.",
        _taken_over,
        lambda request: request.reassign,
        about=About.OWNER,
    ),
    DeviceRule(
        "MOVES_SITE",
        _WARNING,
        "move to another site",
        "Nothing, if this is meant; else choose its site.",
        _moves,
        about=About.OWNER,
    ),
    DeviceRule(
        "BILLING_SERVICE_KEPT",
        _WARNING,
        "have a billing service already",
        "Nothing: it is kept, no second one is made, and plans go on it.",
        _service_kept,
        _with_billing,
        about=About.SERVICES,
    ),
    DeviceRule(
        "BEFORE_BILL_CYCLE",
        _WARNING,
        "start before the customer's current bill cycle",
        "Nothing, if billing back is meant; else choose a later effective date.",
        _before_bill_cycle,
        lambda request: request.customer.bill_cycle_day is not None,
    ),
    DeviceRule(
        "CHECK_DIGIT",
        _WARNING,
        "were asked for with a wrong check digit",
        "Compare the identifier with its source.",
        _check_digit,
    ),
)
