"""What can be chosen for a request: customers, sites, service providers and rate plans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, true

from db.operators import sees
from db.schema import customer, device, device_ownership, rate_plan, service_provider, site
from db.searching import contains, starts_with
from db.temporary import temporary_ids
from desktop_app.association.facts import OperatorRights

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class CustomerRecord(NamedTuple):
    """One customer, with the facts that are shown under it."""

    customer_id: int
    account_number: str | None
    name: str
    tag: str
    is_active: bool
    devices: int
    contract_until: date | None
    default_site: str | None
    default_customer_rate_plan: str | None


class SiteRecord(NamedTuple):
    """One site."""

    code: str
    name: str
    is_default: bool


class ServiceProviderRecord(NamedTuple):
    """One service provider."""

    code: str
    name: str
    devices: int


class RatePlanRecord(NamedTuple):
    """One rate plan."""

    kind: str
    code: str
    name: str
    service_provider: str | None
    data_limit_bytes: int | None
    data_pool: str | None


def customers(uow: UnitOfWork, rights: OperatorRights, text: str, limit: int) -> list[CustomerRecord]:
    """Customers whose name, account number or tag holds the text, best first; "": all of them, by name.

    Best is the account number that was typed, then a name that begins so, then a word of a name that does, then the
    account number that begins so, then the rest; inactive ones come after active ones.
    """
    folded = text.strip().casefold()
    active_first = case((customer.c.is_active == true(), 0), else_=1)
    order: list[ColumnElement[Any]] = [active_first, customer.c.search_name, customer.c.id]
    found: ColumnElement[bool] = true()
    if folded:
        account, tag = func.lower(customer.c.account_number), func.lower(customer.c.tag)
        found = or_(contains(customer.c.search_name, folded), contains(account, folded), contains(tag, folded))
        rank = case(
            (account == folded, 0),
            (starts_with(customer.c.search_name, folded), 1),
            (contains(customer.c.search_name, f" {folded}"), 2),
            (starts_with(account, folded), 3),
            else_=4,
        )
        order.insert(1, rank)
    rows = uow.connection.execute(_customers().where(found, sees(rights, customer.c.id)).order_by(*order).limit(limit))
    return [CustomerRecord._make(row) for row in rows]


def customer_by_id(uow: UnitOfWork, rights: OperatorRights, customer_id: int) -> CustomerRecord | None:
    """One customer; None: there is none, or the operator may not see it."""
    row = uow.connection.execute(
        _customers().where(customer.c.id == customer_id, sees(rights, customer.c.id))
    ).one_or_none()
    return None if row is None else CustomerRecord._make(row)


def _customers() -> Select[Any]:
    count = (
        select(func.count())
        .where(
            device_ownership.c.customer_id == customer.c.id,
            device_ownership.c.state == "active",
            device_ownership.c.is_deleted == false(),
        )
        .correlate(customer)
        .scalar_subquery()
    )
    source = customer.outerjoin(site, and_(site.c.customer_id == customer.c.id, site.c.is_default == true())).outerjoin(
        rate_plan, rate_plan.c.id == customer.c.default_customer_rate_plan_id
    )
    return select(
        customer.c.id,
        customer.c.account_number,
        customer.c.name,
        customer.c.tag,
        customer.c.is_active,
        count,
        customer.c.contract_until,
        site.c.code,
        rate_plan.c.code,
    ).select_from(source)


def sites(uow: UnitOfWork, rights: OperatorRights, customer_id: int) -> list[SiteRecord]:
    """The customer's active sites, the default first."""
    rows = uow.connection.execute(
        select(site.c.code, site.c.name, site.c.is_default)
        .where(site.c.customer_id == customer_id, site.c.is_active == true(), sees(rights, site.c.customer_id))
        .order_by(case((site.c.is_default == true(), 0), else_=1), site.c.name, site.c.id)
    )
    return [SiteRecord._make(row) for row in rows]


def service_providers(uow: UnitOfWork) -> list[ServiceProviderRecord]:
    """All active service providers, with the devices on them that are neither deleted nor archived."""
    counts: dict[int, int] = dict(
        uow.connection.execute(
            select(device.c.service_provider_id, func.count())
            .where(device.c.is_deleted == false(), device.c.is_archived == false())
            .group_by(device.c.service_provider_id)
        ).all()
    )
    rows = uow.connection.execute(
        select(service_provider.c.id, service_provider.c.code, service_provider.c.name)
        .where(service_provider.c.is_active == true())
        .order_by(service_provider.c.name)
    )
    return [ServiceProviderRecord(row.code, row.name, counts.get(row.id, 0)) for row in rows]


def providers_of(uow: UnitOfWork, ids: Sequence[int]) -> dict[str, int]:
    """How many of these devices live on each service provider, by code."""
    wanted = temporary_ids(uow, ids, "chosen")
    rows = uow.connection.execute(
        select(service_provider.c.code, func.count())
        .select_from(
            wanted.join(device, device.c.id == wanted.c.id).join(
                service_provider, service_provider.c.id == device.c.service_provider_id
            )
        )
        .group_by(service_provider.c.code)
        .order_by(service_provider.c.code)
    )
    return dict(rows.all())


def rate_plans(
    uow: UnitOfWork, rights: OperatorRights, kind: str, service_provider_code: str | None, customer_id: int | None
) -> list[RatePlanRecord]:
    """Active plans of the kind.

    Args:
        service_provider_code: only carrier plans of this service provider; None: of all.
        customer_id: of the plans that are reserved for a customer only this one's; None: only those that are offered to
            everybody.
    """
    conditions: list[ColumnElement[bool]] = [rate_plan.c.kind == kind, rate_plan.c.is_active == true()]
    if kind == "carrier" and service_provider_code is not None:
        conditions.append(service_provider.c.code == service_provider_code)
    if kind == "customer":
        offered: ColumnElement[bool] = rate_plan.c.customer_id.is_(None)
        if customer_id is not None:
            own = and_(rate_plan.c.customer_id == customer_id, sees(rights, rate_plan.c.customer_id))
            offered = or_(offered, own)
        conditions.append(offered)
    rows = uow.connection.execute(
        select(
            rate_plan.c.kind,
            rate_plan.c.code,
            rate_plan.c.name,
            service_provider.c.code,
            rate_plan.c.data_limit_bytes,
            rate_plan.c.data_pool,
        )
        .select_from(rate_plan.outerjoin(service_provider, service_provider.c.id == rate_plan.c.service_provider_id))
        .where(*conditions)
        .order_by(service_provider.c.code, rate_plan.c.name, rate_plan.c.id)
    )
    return [RatePlanRecord._make(row) for row in rows]
