"""Service providers, billing credentials (without secrets), customers, sites and rate plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    Integer,
    Table,
    Unicode,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from db.importing import spelling
from db.importing.shape import Import, Part, Resolved, Settling, Staged, Wrong
from db.schema import billing_credential, customer, rate_plan, service_provider, site
from db.types import JsonText

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_FLAG, _CODE, _LONG_CODE, _NAME = Boolean(create_constraint=False), Unicode(40), Unicode(60), Unicode(120)
_NO_MAPPING = {"version": 1, "providers": {}, "plans": {}}


# --- service providers and billing credentials -----------------------------------------------------------------------


def _service_providers(_uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target = service_provider.alias("target")
    values = Settling(staged, target)
    values.inserted["code"] = staged["code"]
    values.kept("name", staged["code"])
    values.kept("is_active", True)
    rows = staged.table.outerjoin(target, target.c.code == staged["code"])
    return Resolved(staged, rows, target, values.inserted, values.settled, ())


def _billing_credentials(_uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target = billing_credential.alias("target")
    values = Settling(staged, target)
    values.inserted["code"] = staged["code"]
    values.kept("name", staged["code"])
    values.kept("is_default", False)
    values.kept("is_active", True)
    values.kept("mapping", literal(_NO_MAPPING, JsonText()))
    rows = staged.table.outerjoin(target, target.c.code == staged["code"])
    other, row = billing_credential.alias("other"), staged.table.alias("row")
    wrong = []
    if staged.has("is_default"):
        in_the_way = and_(
            other.c.is_default == true(),
            other.c.code != staged["code"],
            not_(exists().where(row.c.code == other.c.code, row.c.is_default == false())),
        )
        before = and_(row.c.is_default == true(), row.c.line < staged.table.c.line)
        wrong = _one_default(staged, select(other.c.code).where(in_the_way), select(row.c.code).where(before))
    return Resolved(staged, rows, target, values.inserted, values.settled, wrong)


def _one_default(staged: Staged, taken: Any, before: Any) -> list[Wrong]:
    """There is one default: neither another one that is not given up in the same file, nor two rows that want to be."""
    is_default = staged["is_default"] == true()
    return [
        Wrong("DEFAULT_TWICE", and_(is_default, before.exists()), _smallest(before)),
        Wrong("DEFAULT_TAKEN", and_(is_default, taken.exists()), _smallest(taken)),
    ]


def _smallest(of: Any) -> Any:
    (column,) = of.selected_columns
    return of.with_only_columns(func.min(column)).scalar_subquery()


# --- customers and sites ---------------------------------------------------------------------------------------------


def _customers(uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target = customer.alias("target")
    values = Settling(staged, target)
    values.inserted["account_number"] = staged["account_number"]
    values.kept("name", staged["name"])
    values.kept("search_name", staged["search_name"])
    values.kept("tag", "")
    values.kept("is_active", True)
    values.free("starts_on", "contract_until", "bill_cycle_day", "billing_customer_id")
    values.reference("billing_credential_id", "billing_credential", billing_credential.c.id)
    rows = staged.table.outerjoin(target, target.c.account_number == staged["account_number"]).outerjoin(
        billing_credential, billing_credential.c.code == staged["billing_credential"]
    )
    now = literal(uow.now(), customer.c.changed_at.type)
    return Resolved(
        staged,
        rows,
        target,
        values.inserted,
        values.settled,
        (_unknown("BILLING_CREDENTIAL_UNKNOWN", staged, "billing_credential", billing_credential.c.id),),
        on_insert={"changed_at": now},
        on_change={"changed_at": now},
    )


def _unknown(code: str, staged: Staged, column: str, found: Any) -> Wrong:
    return Wrong(code, and_(staged[column].is_not(None), found.is_(None)))


def _customer_defaults(uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target = customer.alias("target")
    values = Settling(staged, target)
    values.reference("default_customer_rate_plan_id", "default_customer_rate_plan", rate_plan.c.id)
    rows = staged.table.outerjoin(target, target.c.account_number == staged["account_number"]).outerjoin(
        rate_plan,
        and_(
            rate_plan.c.kind == "customer",
            rate_plan.c.code == staged["default_customer_rate_plan"],
            or_(rate_plan.c.customer_id.is_(None), rate_plan.c.customer_id == target.c.id),
        ),
    )
    return Resolved(
        staged,
        rows,
        target,
        values.inserted,
        values.settled,
        (
            Wrong("CUSTOMER_UNKNOWN", target.c.id.is_(None)),
            _unknown("DEFAULT_RATE_PLAN_UNKNOWN", staged, "default_customer_rate_plan", rate_plan.c.id),
        ),
        on_change={"changed_at": literal(uow.now(), customer.c.changed_at.type)},
    )


def _sites(_uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target, owner = site.alias("target"), customer.alias("owner")
    values = Settling(staged, target)
    values.inserted |= {"customer_id": owner.c.id, "code": staged["code"]}
    values.kept("name", staged["code"])
    values.kept("is_default", False)
    values.kept("is_active", True)
    values.free("billing_address_id")
    rows = staged.table.outerjoin(owner, owner.c.account_number == staged["account_number"]).outerjoin(
        target, and_(target.c.customer_id == owner.c.id, target.c.code == staged["code"])
    )
    wrong = [Wrong("CUSTOMER_UNKNOWN", owner.c.id.is_(None))]
    if staged.has("is_default"):
        other, row = site.alias("other"), staged.table.alias("row")
        same_customer = row.c.account_number == staged["account_number"]
        in_the_way = and_(
            other.c.is_default == true(),
            other.c.customer_id == owner.c.id,
            other.c.code != staged["code"],
            not_(
                exists()
                .where(same_customer, row.c.code == other.c.code, row.c.is_default == false())
                .correlate(staged.table, other)
            ),
        )
        before = and_(same_customer, row.c.is_default == true(), row.c.line < staged.table.c.line)
        wrong += _one_default(staged, select(other.c.code).where(in_the_way), select(row.c.code).where(before))
    return Resolved(
        staged, rows, target, values.inserted, values.settled, wrong, before=_give_up_default if wrong[1:] else None
    )


def _give_up_default(uow: UnitOfWork, outcome: Table) -> None:
    """Sites that are the default no longer, first: the index that holds one default for each customer looks at once."""
    uow.connection.execute(
        update(site)
        .where(site.c.id == outcome.c.target_id, outcome.c.wrong.is_(None), outcome.c.is_default == false())
        .values(is_default=false())
    )


# --- rate plans ------------------------------------------------------------------------------------------------------


def _rate_plans(_uow: UnitOfWork, staged: Staged, _by: Import) -> Resolved:
    target = rate_plan.alias("target")
    values = Settling(staged, target)
    values.inserted |= {
        "kind": staged["kind"], "service_provider_id": service_provider.c.id, "code": staged["code"],
    }  # fmt: skip
    values.kept("name", staged["code"])
    values.reference("customer_id", "account_number", customer.c.id)
    values.free("data_limit_bytes", "data_pool")
    values.kept("is_active", True)
    rows = (
        staged.table.outerjoin(service_provider, service_provider.c.code == staged["service_provider"])
        .outerjoin(customer, customer.c.account_number == staged["account_number"])
        .outerjoin(
            target,
            and_(
                target.c.kind == staged["kind"],
                target.c.code == staged["code"],
                or_(staged["kind"] == "customer", target.c.service_provider_id == service_provider.c.id),
            ),
        )
    )
    return Resolved(
        staged,
        rows,
        target,
        values.inserted,
        values.settled,
        (
            _unknown("SERVICE_PROVIDER_UNKNOWN", staged, "service_provider", service_provider.c.id),
            _unknown("CUSTOMER_UNKNOWN", staged, "account_number", customer.c.id),
        ),
    )


SERVICE_PROVIDERS = Part(
    service_provider,
    {"code": _CODE, "name": _NAME, "is_active": _FLAG},
    _service_providers,
    [spelling.service_providers("code")],
)
BILLING_CREDENTIALS = Part(
    billing_credential,
    {"code": _LONG_CODE, "name": _NAME, "is_default": _FLAG, "is_active": _FLAG, "mapping": JsonText()},
    _billing_credentials,
    [spelling.billing_credentials("code")],
)
CUSTOMERS = Part(
    customer,
    {
        "account_number": _CODE,
        "name": Unicode(200),
        "search_name": Unicode(200),
        "tag": Unicode(80),
        "is_active": _FLAG,
        "starts_on": Date(),
        "contract_until": Date(),
        "bill_cycle_day": Integer(),
        "billing_credential": _LONG_CODE,
        "billing_customer_id": _CODE,
    },
    _customers,
    [spelling.customers(), spelling.billing_credentials()],
)
CUSTOMER_DEFAULTS = Part(
    customer,
    {"account_number": _CODE, "default_customer_rate_plan": _LONG_CODE},
    _customer_defaults,
    [spelling.customers(), spelling.customer_rate_plans("default_customer_rate_plan")],
)
SITES = Part(
    site,
    {
        "account_number": _CODE,
        "code": _CODE,
        "name": _NAME,
        "is_default": _FLAG,
        "is_active": _FLAG,
        "billing_address_id": _CODE,
    },
    _sites,
    [spelling.customers(), spelling.sites("code")],
    indexed=frozenset({"account_number"}),
)
RATE_PLANS = Part(
    rate_plan,
    {
        "kind": Unicode(10),
        "service_provider": _CODE,
        "code": _LONG_CODE,
        "name": _NAME,
        "account_number": _CODE,
        "data_limit_bytes": BigInteger(),
        "data_pool": _LONG_CODE,
        "is_active": _FLAG,
    },
    _rate_plans,
    [spelling.service_providers(), spelling.rate_plans(), spelling.customers()],
)
