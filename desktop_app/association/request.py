"""Phase 1, the request: what the operator named, found in the master data.

A name that is not there, or that is not clear, refuses the whole request, with what is near to it. What is there but
not fit (an inactive customer, a plan that billing does not know) is for the check to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches

from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.facts import (
    CredentialFacts,
    CustomerFacts,
    OperatorRights,
    PlanMapping,
    ProviderMapping,
    RatePlanFacts,
    Right,
    ServiceProviderFacts,
    SiteFacts,
)
from desktop_app.association.model import AssociationRequest, CarrierPlanChoice, InstallationSettings, PlanKind
from desktop_app.association.ports import MasterDataPort

#: Longest reason that is kept.
LONGEST_REASON = 400
#: An effective date before it has a wrong year.
EARLIEST_DATE = date(2000, 1, 1)
#: Names that an error suggests.
_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """A request with all its names resolved, and everything about it that the rules look at.

    Attributes:
        operator: on whose rights.
        customer: whose the devices are to become.
        site: where; None: none was named and the customer has no default site.
        sites: all sites of the customer, by handle.
        service_provider: None: each device's only one.
        service_providers: all of them, by handle.
        create_billing_service: billing was asked for.
        carrier_rate_plans: handle of the service provider → plan; empty: not asked for.
        customer_rate_plan: None: not asked for.
        credential: None: billing was not asked for, or there is no credential for the customer.
        effective_date: None: each device's activation date.
        reassign: devices may be taken over from other customers.
        reason: for the record.
        settings: what all engines of the database agree on.
        today: business date.
        furthest_ahead: the last effective date that is taken.
    """

    operator: OperatorRights
    customer: CustomerFacts
    site: SiteFacts | None
    sites: Mapping[int, SiteFacts]
    service_provider: ServiceProviderFacts | None
    service_providers: Mapping[int, ServiceProviderFacts]
    create_billing_service: bool
    carrier_rate_plans: Mapping[int, RatePlanFacts]
    customer_rate_plan: RatePlanFacts | None
    credential: CredentialFacts | None
    effective_date: date | None
    reassign: bool
    reason: str
    settings: InstallationSettings
    today: date
    furthest_ahead: date

    @property
    def service_providers_asked(self) -> frozenset[int]:
        """Handles of the service providers on which the devices may be."""
        one = self.service_provider
        return frozenset(self.service_providers if one is None else {one.service_provider_id})

    def provider_mapping(self, service_provider_id: int) -> ProviderMapping:
        """What billing calls the service provider; empty where it does not know it."""
        provider = self.service_providers[service_provider_id]
        return (self.credential.providers if self.credential else {}).get(provider.code, ProviderMapping(None, None))

    def plan_mapping(self, plan: RatePlanFacts) -> PlanMapping:
        """What billing calls the plan; empty where it does not know it."""
        key = f"customer:{plan.code}"
        if plan.service_provider_id is not None:
            key = f"carrier:{self.service_providers[plan.service_provider_id].code}:{plan.code}"
        return (self.credential.plans if self.credential else {}).get(key, PlanMapping())

    def may_see(self, customer_id: int) -> bool:
        """Whether the operator may be told of this customer."""
        return self.operator.may(Right.VIEW, customer_id)


def resolve(
    request: AssociationRequest,
    master: MasterDataPort,
    operator: OperatorRights,
    settings: InstallationSettings,
    today: date,
) -> RequestFacts:
    """Finds everything that the request names.

    Args:
        master: what customers, sites, plans and credentials there are.
        operator: on whose rights; a customer that may not be seen is not found.
        today: business date.

    Raises:
        NotFound: an unknown customer, site, service provider or plan; it suggests what is near.
        RequestRefused: a name that several bear, two carrier plans for one service provider, a reason that is too long,
            an effective date that must be a slip.
    """
    if request.effective_date is not None and request.effective_date < EARLIEST_DATE:
        raise RequestRefused(
            "EFFECTIVE_DATE_IMPLAUSIBLE",
            f"The effective date {request.effective_date} lies before {EARLIEST_DATE}.",
            "Check its year.",
        )
    if len(request.reason) > LONGEST_REASON:
        raise RequestRefused(
            "REASON_TOO_LONG",
            f"The reason has {len(request.reason)} characters; at most {LONGEST_REASON} are kept.",
            "Shorten it.",
        )
    customer = _customer(request.customer, master, operator)
    sites = master.sites(customer.customer_id)
    providers = {provider.service_provider_id: provider for provider in master.service_providers()}
    provider = None if request.service_provider is None else find_provider(request.service_provider, providers.values())
    return RequestFacts(
        operator=operator,
        customer=customer,
        site=_site(request.site, sites, customer),
        sites={site.site_id: site for site in sites},
        service_provider=provider,
        service_providers=providers,
        create_billing_service=request.create_billing_service,
        carrier_rate_plans=_carrier_plans(request.carrier_rate_plans, provider, providers, master),
        customer_rate_plan=_customer_plan(request.customer_rate_plan, customer, master),
        credential=master.credential(customer.billing_credential_id) if request.create_billing_service else None,
        effective_date=request.effective_date,
        reassign=request.reassign,
        reason=request.reason.strip(),
        settings=settings,
        today=today,
        furthest_ahead=today + timedelta(days=settings.furthest_ahead_days),
    )


# --- names -----------------------------------------------------------------------------------------------------------


def _customer(wanted: str | int, master: MasterDataPort, operator: OperatorRights) -> CustomerFacts:
    if isinstance(wanted, int):
        found = [customer] if (customer := master.customer(wanted)) else []
    else:
        named = wanted.strip()
        found = master.customers_called(named)
        # an account number is exact; a name is only asked where it is none
        found = [customer for customer in found if customer.account_number == named] or found
    found = [customer for customer in found if operator.may(Right.VIEW, customer.customer_id)]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(sorted(customer.account_number or "no account number" for customer in found))
        raise RequestRefused(
            "CUSTOMER_AMBIGUOUS",
            f"{len(found)} customers are called “{wanted}” ({numbers}).",
            "Name the customer by its account number.",
        )
    if isinstance(wanted, int):
        raise NotFound(
            "CUSTOMER_UNKNOWN", "This customer does not exist, or you may not see it.", "Choose another customer."
        )
    near = [near for near in master.customers_like(wanted.strip()) if operator.may(Right.VIEW, near.customer_id)]
    names = [customer.name for customer in near] + [customer.account_number or "" for customer in near]
    raise _unknown(
        "CUSTOMER_UNKNOWN",
        f"There is no customer with the account number or name “{wanted}”, or you may not see it.",
        wanted,
        names,
        "Check the account number, or ask an administrator for the right on this customer.",
    )


def _site(wanted: str | None, sites: Sequence[SiteFacts], customer: CustomerFacts) -> SiteFacts | None:
    if wanted is None:
        return next((site for site in sites if site.is_default), None)
    folded = wanted.strip().casefold()
    found = [site for site in sites if site.code.casefold() == folded]
    found = found or [site for site in sites if site.name.casefold() == folded]
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestRefused(
            "SITE_AMBIGUOUS",
            f"{len(found)} sites of {customer.label} are called “{wanted}”.",
            f"Name the site by its code: {', '.join(site.code for site in found)}.",
        )
    codes = [site.code for site in sites if site.is_active]
    raise _unknown(
        "SITE_UNKNOWN",
        f"{customer.label} has no site “{wanted}”.",
        wanted,
        codes + [site.name for site in sites if site.is_active],
        f"Its sites are: {_some(codes)}." if codes else "It has no site at all; add one first.",
    )


def find_provider(wanted: str, providers: Iterable[ServiceProviderFacts]) -> ServiceProviderFacts:
    """The service provider of this code or name, in any case of its letters.

    Raises:
        NotFound: there is none.
    """
    folded = wanted.strip().casefold()
    known = list(providers)
    for provider in known:
        if folded in {provider.code.casefold(), provider.name.casefold()}:
            return provider
    codes = [provider.code for provider in known]
    raise _unknown(
        "SERVICE_PROVIDER_UNKNOWN",
        f"There is no service provider “{wanted}”.",
        wanted,
        codes + [provider.name for provider in known],
        f"The service providers are: {_some(codes)}.",
    )


def _carrier_plans(
    choices: Sequence[CarrierPlanChoice],
    asked: ServiceProviderFacts | None,
    providers: Mapping[int, ServiceProviderFacts],
    master: MasterDataPort,
) -> dict[int, RatePlanFacts]:
    chosen: dict[int, RatePlanFacts] = {}
    for choice in choices:
        plan = _carrier_plan(choice, asked, providers, master)
        provider = _provider_of(plan, providers)
        first = chosen.setdefault(provider.service_provider_id, plan)
        if first.rate_plan_id != plan.rate_plan_id:
            raise RequestRefused(
                "TWO_CARRIER_PLANS",
                f"Two carrier rate plans are chosen for {provider.name}: “{first.code}” and “{plan.code}”.",
                "Choose one carrier rate plan for each service provider.",
            )
    return chosen


def _carrier_plan(
    choice: CarrierPlanChoice,
    asked: ServiceProviderFacts | None,
    providers: Mapping[int, ServiceProviderFacts],
    master: MasterDataPort,
) -> RatePlanFacts:
    found = master.rate_plans(PlanKind.CARRIER, choice.plan.strip())
    if choice.service_provider is not None:
        named = find_provider(choice.service_provider, providers.values())
        return _plan_of(named, choice.plan, found, providers, master)
    if asked is not None:  # its own plan is meant, if it has one of this code
        found = [plan for plan in found if plan.service_provider_id == asked.service_provider_id] or found
    if len(found) == 1:
        return found[0]
    if found:
        codes = sorted(f"{_provider_of(plan, providers).code}={plan.code}" for plan in found)
        raise RequestRefused(
            "CARRIER_PLAN_AMBIGUOUS",
            f"{len(found)} service providers have a carrier rate plan “{choice.plan}”.",
            f"Name it with its service provider: {_some(codes)}.",
        )
    raise _carrier_plan_unknown(choice.plan, asked, master)


def _plan_of(
    provider: ServiceProviderFacts,
    wanted: str,
    found: Sequence[RatePlanFacts],
    providers: Mapping[int, ServiceProviderFacts],
    master: MasterDataPort,
) -> RatePlanFacts:
    """The plan of this code that the named service provider has."""
    for plan in found:
        if plan.service_provider_id == provider.service_provider_id:
            return plan
    if not found:
        raise _carrier_plan_unknown(wanted, provider, master)
    others = _some([_provider_of(plan, providers).name for plan in found])
    raise NotFound(
        "CARRIER_PLAN_OF_ANOTHER_PROVIDER",
        f"The carrier rate plan “{wanted}” belongs to {others}, not to {provider.name}.",
        f"Choose a plan of {provider.name}: {_some(_carrier_codes(provider, master)) or 'it has none'}.",
    )


def _carrier_plan_unknown(wanted: str, provider: ServiceProviderFacts | None, master: MasterDataPort) -> NotFound:
    known = _carrier_codes(provider, master)
    return _unknown(
        "CARRIER_PLAN_UNKNOWN",
        f"There is no carrier rate plan “{wanted}”" + (f" of {provider.name}." if provider else "."),
        wanted,
        known,
        f"The plans are: {_some(known)}." if known else "No carrier rate plan is known there.",
    )


def _carrier_codes(provider: ServiceProviderFacts | None, master: MasterDataPort) -> list[str]:
    """Codes of the plans that are offered, by one service provider or by any."""
    return sorted(
        {
            plan.code
            for plan in master.rate_plans(PlanKind.CARRIER)
            if plan.is_active and (provider is None or plan.service_provider_id == provider.service_provider_id)
        }
    )


def _provider_of(plan: RatePlanFacts, providers: Mapping[int, ServiceProviderFacts]) -> ServiceProviderFacts:
    assert plan.service_provider_id is not None, "a carrier rate plan has a service provider"
    return providers[plan.service_provider_id]


def _customer_plan(wanted: str | None, customer: CustomerFacts, master: MasterDataPort) -> RatePlanFacts | None:
    if wanted is None:
        return None
    found = list(master.rate_plans(PlanKind.CUSTOMER, wanted.strip()))
    if found:
        return found[0]
    codes = [
        plan.code
        for plan in master.rate_plans(PlanKind.CUSTOMER)
        if plan.is_active and plan.customer_id in {None, customer.customer_id}
    ]
    raise _unknown(
        "CUSTOMER_PLAN_UNKNOWN",
        f"There is no customer rate plan “{wanted}”.",
        wanted,
        codes,
        f"The plans are: {_some(codes)}." if codes else "No customer rate plan is known.",
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _unknown(code: str, message: str, wanted: str, known: Iterable[str], otherwise: str) -> NotFound:
    """The refusal of an unknown name, with the names that are near to it."""
    by_folded = {name.casefold(): name for name in known if name}
    near = get_close_matches(wanted.strip().casefold(), by_folded, n=_SUGGESTIONS, cutoff=0.6)
    if near:
        names = [f"“{by_folded[folded]}”" for folded in near]
        return NotFound(code, message, f"Did you mean {' or '.join(names)}? {otherwise}")
    return NotFound(code, message, otherwise)


# --- dates -----------------------------------------------------------------------------------------------------------


def bill_cycle_start(on: date, day: int) -> date:
    """First day of the bill cycle that ``on`` lies in; the cycle begins on ``day`` (1 to 28) of each month."""
    if on.day >= day:
        return on.replace(day=day)
    return (on.replace(day=1) - timedelta(days=1)).replace(day=day)


def bill_cycles_between(early: date, late: date, day: int) -> int:
    """How many bill cycles (months) lie between those of the two dates; 0: the same one."""
    return _bill_cycle(late, day) - _bill_cycle(early, day)


def _bill_cycle(on: date, day: int) -> int:
    return on.year * 12 + on.month - (on.day < day)
