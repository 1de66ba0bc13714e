"""Service providers, rate plans, billing credentials, customers, sites and operators of the demo data.

Customers of which something is missing on purpose stand first, in :data:`SPECIAL`, under fixed account numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from db.bulk import explicit_ids, insert_rows
from db.demo.names import (
    CARRIER_PLANS,
    CARRIERS,
    CLOSED_CARRIER,
    CUSTOMER_PLANS,
    INDUSTRIES,
    MB,
    PACKAGED_PLANS,
    RETIRED_CARRIER_PLAN,
    UNBILLED_PLANS,
    Industry,
    Plan,
    company_names,
)
from db.schema import (
    billing_credential,
    customer,
    operator,
    operator_grant,
    rate_plan,
    service_provider,
    site,
)

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

SERVICE_TYPE_ID = 3
_FIRST_BILLING_CUSTOMER = 700_001
_FIRST_ADDRESS = 400_001
_FIRST_PRODUCT = 101
_FIRST_PACKAGE = 7

#: Billing credentials: the default one; one whose mapping has gaps; one that is not active any more.
MAIN_CREDENTIAL, GAPPY_CREDENTIAL, CLOSED_CREDENTIAL = "demo", "demo-gaps", "demo-closed"


@dataclass(frozen=True, slots=True)
class SpecialCustomer:
    """A customer that is there for a reason.

    Attributes:
        case: what it is there for.
        account_number: None: it has none.
        sites: codes; the first is the default one, unless ``has_default`` says otherwise.
        credential: None: it has none of its own, the default one counts.
        starts_in: days from today until it starts; None: long ago.
        bill_cycle_day: None: not known.
        weight: how many devices it has, compared with the largest of the ordinary customers.
        plan: a customer rate plan that is reserved for it; None: it takes those that everybody may have.
    """

    case: str
    name: str
    account_number: str | None
    industry: Industry
    sites: tuple[str, ...] = ("MAIN", "DEPOT")
    has_default: bool = True
    has_address: bool = True
    is_active: bool = True
    is_billed: bool = True
    credential: str | None = MAIN_CREDENTIAL
    starts_in: int | None = None
    bill_cycle_day: int | None = None
    weight: float = 1.0
    plan: Plan | None = None


_FLEET, _ENERGY, _WATER, _AGRI, _SECURITY, _RETAIL, _HEALTH, _LOGISTICS, _LIFTS, _VENDING, _PARKING, _METERING = (
    INDUSTRIES
)
SPECIAL: tuple[SpecialCustomer, ...] = (
    # Everything is in order: jobs of the demo are for this one.
    SpecialCustomer(
        "main", "Larkmoor Fleet Ltd", "10482", _FLEET, ("MAIN", "NORTH", "SOUTH", "HARBOUR"), weight=8,
        plan=Plan("FLEET-50MB", "Larkmoor 50 MB", 50 * MB, "Larkmoor pool"),
    ),
    # A second one that is in order; the operator `limited` has rights on both.
    SpecialCustomer(
        "second", "Tarnholt Energy GmbH", "10517", _ENERGY, ("MAIN", "WEST"), bill_cycle_day=15, weight=6,
        plan=Plan("ENERGY-5MB", "Tarnholt 5 MB", 5 * MB, "Tarnholt pool"),
    ),
    # In order as well, but out of reach of the operator `limited`.
    SpecialCustomer("third", "Wrenmere Water SA", "10590", _WATER, weight=5, bill_cycle_day=1),
    SpecialCustomer("inactive", "Vexley Retail Inc", "10633", _RETAIL, is_active=False),
    SpecialCustomer("without_site", "Osterby Vending AB", "10741", _VENDING, sites=()),
    SpecialCustomer("without_default_site", "Pellworth Parking B.V.", "10806", _PARKING, has_default=False),
    SpecialCustomer("without_account_number", "Brindlecombe Lifts Oy", None, _LIFTS),
    SpecialCustomer("not_at_billing", "Emberdale Health SpA", "10955", _HEALTH, is_billed=False),
    SpecialCustomer("without_address", "Gildstead Agri Ltd", "11020", _AGRI, has_address=False),
    SpecialCustomer("mapping_with_gaps", "Thornwick Metering GmbH", "11138", _METERING, credential=GAPPY_CREDENTIAL),
    SpecialCustomer("credential_closed", "Marlgate Security SA", "11206", _SECURITY, credential=CLOSED_CREDENTIAL),
    SpecialCustomer("default_credential", "Sorrelby Logistics AB", "11377", _LOGISTICS, credential=None),
    SpecialCustomer("starts_later", "Quillmarch Energy Inc", "11490", _ENERGY, starts_in=60, weight=0),
)  # fmt: skip
#: Account numbers of the customers that the operator ``limited`` may associate with (and reassign between).
LIMITED_TO = ("10482", "10517", "11138")


@dataclass(slots=True)
class CustomerDraft:
    """A customer as devices are given to it.

    Attributes:
        is_billed: whether some of its devices have billing services; those of other credentials than the main one have
            none, since one sandbox plays the billing company of all credentials.
        site_ids, site_codes, site_names: of the active sites, the default one first.
    """

    customer_id: int
    name: str
    account_number: str | None
    credential_id: int | None
    industry: Industry
    weight: float
    is_billed: bool
    site_ids: list[int] = field(default_factory=list)
    site_codes: list[str] = field(default_factory=list)
    site_names: list[str] = field(default_factory=list)
    plan_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class MasterDraft:
    """What devices and jobs of the demo data refer to.

    Attributes:
        provider_ids: by carrier code.
        carrier_plans: carrier code → id and plan of those that it offers.
        retired_plan_ids: carrier code → id of the one that it offers no more.
        customer_plans: by id.
        credential_ids: by code.
        operator_ids: by login.
    """

    provider_ids: dict[str, int]
    carrier_plans: dict[str, list[tuple[int, Plan]]]
    retired_plan_ids: dict[str, int]
    customer_plans: dict[int, Plan]
    credential_ids: dict[str, int]
    customers: list[CustomerDraft]
    operator_ids: dict[str, int]

    def special(self, case: str) -> CustomerDraft:
        """The customer that is there for ``case``."""
        return self.customers[[one.case for one in SPECIAL].index(case)]


#: Fewer customers than that leave too few beside the special ones.
LEAST_CUSTOMERS = 40


def write_master_data(uow: UnitOfWork, rng: Random, customers: int, today: date) -> MasterDraft:
    """Writes everything but devices and what hangs on them.

    Raises:
        ValueError: fewer than :data:`LEAST_CUSTOMERS`.
    """
    if customers < LEAST_CUSTOMERS:
        raise ValueError(f"The demo data need at least {LEAST_CUSTOMERS} customers, not {customers}.")
    draft = MasterDraft({}, {}, {}, {}, {}, [], {})
    _providers(uow, draft)
    _credentials(uow, draft)
    rows = list(_customers(draft, rng, customers, today))
    columns = (
        "id", "account_number", "name", "search_name", "tag", "is_active", "starts_on", "contract_until",
        "bill_cycle_day", "billing_credential_id", "billing_customer_id", "changed_at",
    )  # fmt: skip
    at = uow.now()
    with explicit_ids(uow, customer):
        insert_rows(uow, customer, columns, ((*row, at) for row in rows))
    _sites(uow, draft, rng)
    _plans(uow, draft, rng)
    _operators(uow, draft, at)
    return draft


# --- providers, credentials ------------------------------------------------------------------------------------------


def _providers(uow: UnitOfWork, draft: MasterDraft) -> None:
    rows = [(number, carrier.code, carrier.name, True) for number, carrier in enumerate(CARRIERS, 1)]
    rows.append((len(rows) + 1, *CLOSED_CARRIER, False))
    with explicit_ids(uow, service_provider):
        insert_rows(uow, service_provider, ("id", "code", "name", "is_active"), rows)
    draft.provider_ids = {row[1]: row[0] for row in rows}


def product_ids() -> Iterator[tuple[str, str, int, int | None]]:
    """Key in a credential's mapping, name, billing's id of the product or package, and of the provider (if any)."""
    number = _FIRST_PRODUCT
    for carrier in CARRIERS:
        for plan in CARRIER_PLANS:
            if plan.code in carrier.plans and plan.code not in UNBILLED_PLANS:
                yield f"carrier:{carrier.code}:{plan.code}", plan.name, number, carrier.billing_provider_id
            number += 1
    for plan in (*CUSTOMER_PLANS, *(special.plan for special in SPECIAL if special.plan)):
        yield f"customer:{plan.code}", plan.name, number, None
        number += 1


def mapping(*, without_provider: str = "", without_plan: str = "") -> dict[str, Any]:
    """The mapping of a billing credential; of one with gaps, without a provider and a plan."""
    plans: dict[str, dict[str, str]] = {}
    for key, _name, number, _provider in product_ids():
        code = key.rsplit(":", 1)[1]
        if code != without_plan:
            is_package = code in PACKAGED_PLANS
            plans[key] = {"package_id": str(_FIRST_PACKAGE)} if is_package else {"product_id": str(number)}
    return {
        "version": 1,
        "providers": {
            carrier.code: {
                "provider_id": str(carrier.billing_provider_id),
                "service_type_id": str(SERVICE_TYPE_ID),
            }
            for carrier in CARRIERS
            if carrier.code != without_provider
        },
        "plans": plans,
    }


def _credentials(uow: UnitOfWork, draft: MasterDraft) -> None:
    rows: list[tuple[int, str, str, bool, bool, Mapping[str, Any]]] = [
        (1, MAIN_CREDENTIAL, "Demo billing account", True, True, mapping()),
        (
            2,
            GAPPY_CREDENTIAL,
            "Demo billing account with gaps",
            False,
            True,
            mapping(without_provider="POLAR", without_plan="DATA-5MB"),
        ),
        (3, CLOSED_CREDENTIAL, "Closed demo billing account", False, False, mapping()),
    ]
    columns = ("id", "code", "name", "is_default", "is_active", "mapping")
    with explicit_ids(uow, billing_credential):
        insert_rows(uow, billing_credential, columns, rows)
    draft.credential_ids = {row[1]: row[0] for row in rows}


# --- customers, sites ------------------------------------------------------------------------------------------------


def billing_customer_id(customer_id: int) -> str:
    """What the billing company calls a customer."""
    return str(_FIRST_BILLING_CUSTOMER + customer_id)


def billing_address_id(site_id: int) -> str:
    """What the billing company calls the address of a site."""
    return str(_FIRST_ADDRESS + site_id)


def _customers(draft: MasterDraft, rng: Random, count: int, today: date) -> Iterator[tuple[Any, ...]]:
    for number, special in enumerate(SPECIAL, 1):
        starts_on = today + timedelta(days=-3650 if special.starts_in is None else special.starts_in)
        credential_id = None if special.credential is None else draft.credential_ids[special.credential]
        draft.customers.append(
            CustomerDraft(
                number,
                special.name,
                special.account_number,
                credential_id,
                special.industry,
                special.weight,
                special.is_billed and special.credential in {MAIN_CREDENTIAL, None},
            )
        )
        yield (
            number, special.account_number, special.name, special.name.casefold(), special.industry.word,
            special.is_active, starts_on, today + timedelta(days=217 + 31 * number), special.bill_cycle_day,
            credential_id, billing_customer_id(number) if special.is_billed else None,
        )  # fmt: skip
    names = company_names(rng, count - len(SPECIAL), {special.name for special in SPECIAL})
    for number, (name, industry) in enumerate(names, len(SPECIAL) + 1):
        # 20000 to 99999, neighbours far apart; unique as long as there are fewer customers than numbers.
        account_number = str(20_000 + number * 7_919 % 80_000)
        starts_on = today - timedelta(days=rng.randint(1500, 3000))
        weight = 1.0 / (1 + rng.random() * 9)
        draft.customers.append(CustomerDraft(number, name, account_number, 1, industry, weight, is_billed=True))
        yield (
            number, account_number, name, name.casefold(), industry.word, rng.random() > 0.02, starts_on,
            today + timedelta(days=rng.randint(20, 1400)), rng.randint(1, 28), 1,
            billing_customer_id(number),
        )  # fmt: skip


_SITE_NAMES = {"MAIN": "Head office", "DEPOT": "Depot", "NORTH": "North yard", "SOUTH": "South yard",
               "HARBOUR": "Harbour", "WEST": "West plant", "EAST": "East plant", "LAB": "Workshop"}  # fmt: skip


def _sites(uow: UnitOfWork, draft: MasterDraft, rng: Random) -> None:
    rows: list[tuple[Any, ...]] = []
    codes = tuple(_SITE_NAMES)
    for number, one in enumerate(draft.customers):
        special = SPECIAL[number] if number < len(SPECIAL) else None
        wanted = special.sites if special else (codes[0], *rng.sample(codes[1:], rng.choice((0, 0, 1, 1, 2, 4))))
        for position, code in enumerate(wanted):
            site_id = len(rows) + 1
            is_default = position == 0 and (special is None or special.has_default)
            is_active = special is not None or position < 3
            address_id = billing_address_id(site_id) if special is None or special.has_address else None
            rows.append((site_id, one.customer_id, code, _SITE_NAMES[code], is_default, is_active, address_id))
            if is_active:
                one.site_ids.append(site_id)
                one.site_codes.append(code)
                one.site_names.append(_SITE_NAMES[code])
    columns = ("id", "customer_id", "code", "name", "is_default", "is_active", "billing_address_id")
    with explicit_ids(uow, site):
        insert_rows(uow, site, columns, rows)


# --- plans -----------------------------------------------------------------------------------------------------------


def _plans(uow: UnitOfWork, draft: MasterDraft, rng: Random) -> None:
    rows: list[tuple[Any, ...]] = []

    def add(kind: str, plan: Plan, provider_id: int | None, customer_id: int | None, pool: str | None) -> int:
        rows.append(
            (len(rows) + 1, kind, plan.code, plan.name, provider_id, customer_id, plan.data_limit_bytes, pool,
             plan.is_active)
        )  # fmt: skip
        return len(rows)

    for carrier in CARRIERS:
        provider_id = draft.provider_ids[carrier.code]
        offered = [plan for plan in CARRIER_PLANS if plan.code in carrier.plans]
        draft.carrier_plans[carrier.code] = [
            (add("carrier", plan, provider_id, None, _pool(carrier.name, plan.data_pool)), plan) for plan in offered
        ]
        draft.retired_plan_ids[carrier.code] = add("carrier", RETIRED_CARRIER_PLAN, provider_id, None, None)
    general = []
    for plan in CUSTOMER_PLANS:
        plan_id = add("customer", plan, None, None, plan.data_pool)
        draft.customer_plans[plan_id] = plan
        if plan.is_active:
            general.append(plan_id)
    for one, special in zip(draft.customers, SPECIAL, strict=False):
        if special.plan is not None:
            plan_id = add("customer", special.plan, None, one.customer_id, special.plan.data_pool)
            draft.customer_plans[plan_id] = special.plan
            one.plan_ids.append(plan_id)
    columns = ("id", "kind", "code", "name", "service_provider_id", "customer_id", "data_limit_bytes", "data_pool",
               "is_active")  # fmt: skip
    with explicit_ids(uow, rate_plan):
        insert_rows(uow, rate_plan, columns, rows)
    for one in draft.customers:
        one.plan_ids.extend(rng.sample(general, 2))
    defaults = [(one.customer_id, one.plan_ids[0]) for one in draft.customers]
    _set_default_plans(uow, defaults)


def _pool(carrier: str, pool: str | None) -> str | None:
    return None if pool is None else f"{carrier} {pool}"


def _set_default_plans(uow: UnitOfWork, defaults: list[tuple[int, int]]) -> None:
    uow.connection.execute(
        update(customer)
        .where(customer.c.id == bindparam("of_customer"))
        .values(default_customer_rate_plan_id=bindparam("plan")),
        [{"of_customer": customer_id, "plan": plan_id} for customer_id, plan_id in defaults],
    )


# --- operators -------------------------------------------------------------------------------------------------------


def _operators(uow: UnitOfWork, draft: MasterDraft, at: datetime) -> None:
    """Viewer, operator, limited; administrators are not made here: the first start makes one."""
    names = {"viewer": "Vera Viewer", "operator": "Otto Operator", "limited": "Lena Limited"}
    ids = select(operator.c.login, operator.c.id)
    there = set(uow.connection.scalars(select(operator.c.login)))  # whoever made the database is its administrator
    rows = [(login, name, False, True, at) for login, name in names.items() if login not in there]
    insert_rows(uow, operator, ("login", "name", "is_administrator", "is_active", "created_at"), rows)
    draft.operator_ids = {login: number for login, number in uow.connection.execute(ids) if login in names}
    grants: list[tuple[int, str, int | None]] = [
        (draft.operator_ids["viewer"], "view", None),
        (draft.operator_ids["operator"], "associate", None),
        (draft.operator_ids["operator"], "reassign", None),
    ]
    for one in draft.customers[: len(SPECIAL)]:
        if one.account_number in LIMITED_TO:
            grants += [(draft.operator_ids["limited"], right, one.customer_id) for right in ("associate", "reassign")]
    insert_rows(uow, operator_grant, ("operator_id", "right", "customer_id"), grants)
