"""What a billing sandbox has to know so that it and a database agree: read from the database, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from db.schema import (
    billing_credential,
    billing_service,
    customer,
    device,
    rate_plan,
    service_provider,
    site,
)

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: What comes with a package: one product, numbered from here.
_FIRST_PACKAGED_PRODUCT = 9_000

Rows = list[dict[str, Any]]


def billing_catalogue(uow: UnitOfWork) -> dict[str, Rows]:
    """Customers, addresses, providers, service types, products, packages and services as the billing company has them.

    Returns:
        Sections of rows in Rev.io's names, plain JSON, as ``seed_catalogue`` of the sandbox takes them. ``services``
        are those that the database knows of already.
    """
    mappings: list[dict[str, Any]] = list(
        uow.connection.execute(select(billing_credential.c.mapping).order_by(billing_credential.c.id)).scalars()
    )
    at_billing: dict[str, dict[str, str]] = {}
    plans: dict[str, dict[str, str]] = {}
    for mapping in mappings:
        at_billing |= {code: entry for code, entry in mapping["providers"].items() if code not in at_billing}
        plans |= {key: entry for key, entry in mapping["plans"].items() if key not in plans}
    provider_ids = {code: entry["provider_id"] for code, entry in at_billing.items()}
    return {
        **_parties(uow),
        **_providers(uow, at_billing),
        **_plans(uow, provider_ids, plans),
        "services": list(_services(uow, provider_ids)),
    }


def _parties(uow: UnitOfWork) -> dict[str, Rows]:
    customers = uow.connection.execute(
        select(customer.c.billing_customer_id, customer.c.name, customer.c.account_number)
        .where(customer.c.billing_customer_id.is_not(None))
        .order_by(customer.c.id)
    )
    addresses = uow.connection.execute(
        select(site.c.billing_address_id, customer.c.billing_customer_id, site.c.name)
        .join(customer, customer.c.id == site.c.customer_id)
        .where(site.c.billing_address_id.is_not(None), customer.c.billing_customer_id.is_not(None))
        .order_by(site.c.id)
    )
    return {
        "customers": [
            {"customer_id": customer_id, "name": name, "account_number": account_number}
            for customer_id, name, account_number in customers
        ],
        "addresses": [
            {"address_id": address_id, "customer_id": customer_id, "line_1": name}
            for address_id, customer_id, name in addresses
        ],
    }


def _providers(uow: UnitOfWork, at_billing: dict[str, dict[str, str]]) -> dict[str, Rows]:
    names = dict(uow.connection.execute(select(service_provider.c.code, service_provider.c.name)).all())
    service_types = sorted({entry["service_type_id"] for entry in at_billing.values()})
    return {
        "providers": [
            {"provider_id": entry["provider_id"], "name": names.get(code, code)} for code, entry in at_billing.items()
        ],
        "service_types": [
            {"service_type_id": service_type_id, "description": "M2M line"} for service_type_id in service_types
        ],
    }


def _plans(uow: UnitOfWork, provider_ids: dict[str, str], plans: dict[str, dict[str, str]]) -> dict[str, Rows]:
    names = dict(uow.connection.execute(select(rate_plan.c.code, rate_plan.c.name)).all())
    sections: dict[str, Rows] = {"products": [], "packages": [], "package_products": []}
    for key, entry in plans.items():
        kind, *provider, code = key.split(":")
        row: dict[str, Any] = {"description": names.get(code, code)}
        if kind == "carrier":
            row["provider_id"] = provider_ids[provider[0]]
        if "product_id" in entry:
            sections["products"].append({"product_id": entry["product_id"], **row})
            continue
        package_id = entry["package_id"]
        product_id = str(_FIRST_PACKAGED_PRODUCT + len(sections["packages"]) + 1)
        sections["packages"].append({"package_id": package_id, **row})
        sections["products"].append({"product_id": product_id, **row})
        sections["package_products"].append({"package_id": package_id, "product_id": product_id, **row})
    return sections


def _services(uow: UnitOfWork, provider_ids: dict[str, str]) -> Iterator[dict[str, Any]]:
    service = billing_service.c
    rows = uow.connection.execute(
        select(
            service.service_id,
            customer.c.billing_customer_id,
            service_provider.c.code,
            service.number,
            service.reference,
            service.effective_date,
            service.ended_on,
        )
        .join(customer, customer.c.id == service.customer_id)
        .join(device, device.c.id == service.device_id)
        .join(service_provider, service_provider.c.id == device.c.service_provider_id)
        .where(customer.c.billing_customer_id.is_not(None))
        .order_by(service.id)
    )
    for service_id, customer_id, provider, number, reference, effective_date, ended_on in rows:
        if provider in provider_ids:
            yield {
                "service_id": service_id,
                "customer_id": customer_id,
                "provider_id": provider_ids[provider],
                "number": number,
                "number2": reference or "",
                "effective_date": effective_date.isoformat(),
                "disconnected_date": None if ended_on is None else ended_on.isoformat(),
            }
