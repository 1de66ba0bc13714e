"""Customers, sites, plans and billing credentials, as the business wants to know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, or_, select, true

from db.schema import billing_credential, customer, rate_plan, service_provider, site
from db.searching import starts_with
from desktop_app.association.facts import (
    CredentialFacts,
    CustomerFacts,
    PlanMapping,
    ProviderMapping,
    RatePlanFacts,
    ServiceProviderFacts,
    SiteFacts,
)
from desktop_app.association.model import PlanKind

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Names among which a suggestion is looked for.
_MOST_ALIKE = 200
#: Characters at the beginning that they share with what was asked.
_ALIKE = 3

_CUSTOMER = (
    customer.c.id,
    customer.c.name,
    customer.c.account_number,
    customer.c.is_active,
    customer.c.starts_on,
    customer.c.bill_cycle_day,
    customer.c.billing_credential_id,
    customer.c.billing_customer_id,
)


class MasterData:
    """One unit of work's view of the master data; see :class:`desktop_app.association.ports.MasterDataPort`."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._connection = uow.connection

    def customer(self, customer_id: int) -> CustomerFacts | None:
        """One customer by handle."""
        return next(iter(self._customers(customer.c.id == customer_id)), None)

    def customers_called(self, name: str) -> list[CustomerFacts]:
        """Customers of this account number, or of this name in any case of its letters."""
        return self._customers(or_(customer.c.account_number == name, customer.c.search_name == name.casefold()))

    def customers_like(self, name: str) -> list[CustomerFacts]:
        """Some customers whose name or account number begins alike, for a suggestion."""
        start = name[:_ALIKE]
        return self._customers(
            or_(starts_with(customer.c.search_name, start.casefold()), starts_with(customer.c.account_number, start)),
            most=_MOST_ALIKE,
        )

    def sites(self, customer_id: int) -> list[SiteFacts]:
        """All sites of the customer."""
        rows = self._connection.execute(
            select(site.c.id, site.c.code, site.c.name, site.c.is_default, site.c.is_active, site.c.billing_address_id)
            .where(site.c.customer_id == customer_id)
            .order_by(site.c.code)
        )
        return [SiteFacts(*row) for row in rows]

    def service_providers(self) -> list[ServiceProviderFacts]:
        """All service providers."""
        table = service_provider
        rows = self._connection.execute(
            select(table.c.id, table.c.code, table.c.name, table.c.is_active).order_by(table.c.code)
        )
        return [ServiceProviderFacts(*row) for row in rows]

    def rate_plans(self, kind: PlanKind, code: str | None = None) -> list[RatePlanFacts]:
        """Plans of the kind (and, in any case of its letters, of the code)."""
        return self._rate_plans(
            rate_plan.c.kind == kind.value, true() if code is None else func.lower(rate_plan.c.code) == code.lower()
        )

    def rate_plan(self, rate_plan_id: int) -> RatePlanFacts | None:
        """One plan by handle."""
        return next(iter(self._rate_plans(rate_plan.c.id == rate_plan_id)), None)

    def credential(self, billing_credential_id: int | None) -> CredentialFacts | None:
        """The billing credential; None as handle: the default one."""
        table = billing_credential
        which = table.c.is_default == true() if billing_credential_id is None else table.c.id == billing_credential_id
        row = self._connection.execute(
            select(table.c.id, table.c.code, table.c.name, table.c.is_active, table.c.mapping)
            .where(which)
            .order_by(table.c.is_active.desc(), table.c.id)
        ).first()
        if row is None:
            return None
        mapping: Mapping[str, Any] = row.mapping or {}
        return CredentialFacts(
            row.id,
            row.code,
            row.name,
            row.is_active,
            {code: _provider(entry) for code, entry in (mapping.get("providers") or {}).items()},
            {key: _plan(entry) for key, entry in (mapping.get("plans") or {}).items()},
        )

    def _customers(self, condition: ColumnElement[bool], most: int | None = None) -> list[CustomerFacts]:
        statement = select(*_CUSTOMER).where(condition).order_by(customer.c.id).limit(most)
        return [CustomerFacts(*row) for row in self._connection.execute(statement)]

    def _rate_plans(self, *conditions: ColumnElement[bool]) -> list[RatePlanFacts]:
        table = rate_plan
        rows = self._connection.execute(
            select(
                table.c.id,
                table.c.kind,
                table.c.code,
                table.c.name,
                table.c.service_provider_id,
                table.c.customer_id,
                table.c.data_limit_bytes,
                table.c.data_pool,
                table.c.is_active,
            )
            .where(*conditions)
            .order_by(table.c.code, table.c.id)
        )
        return [RatePlanFacts(row[0], PlanKind(row[1]), *row[2:]) for row in rows]


def _text(value: object) -> str | None:
    """An id of the billing company; a mapping that was written by hand may hold numbers."""
    return None if value is None or value == "" else str(value)


def _provider(entry: Mapping[str, object]) -> ProviderMapping:
    return ProviderMapping(_text(entry.get("provider_id")), _text(entry.get("service_type_id")))


def _plan(entry: Mapping[str, object]) -> PlanMapping:
    return PlanMapping(_text(entry.get("product_id")), _text(entry.get("package_id")))
