"""Codes and account numbers in the database's own spelling.

SQL Server takes ``acme`` for ``ACME``, the other servers do not. So that an import makes the same everywhere, and never
a second thing whose code differs in capitals alone, what names something is read as the database has it already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Select, and_, select, update

from db.schema import billing_credential, customer, rate_plan, service_provider, site
from db.temporary import lines_table

if TYPE_CHECKING:
    from db.importing.shape import Staged
    from db.unit_of_work import UnitOfWork

#: Columns of a file that name something together, the last of them within the others, and how they are spelled here.
Names = tuple[tuple[str, ...], Select[Any]]

_OF_PROVIDER = rate_plan.c.service_provider_id == service_provider.c.id


def service_providers(column: str = "service_provider") -> Names:
    """Codes of service providers."""
    return (column,), select(service_provider.c.code)


def billing_credentials(column: str = "billing_credential") -> Names:
    """Codes of billing credentials."""
    return (column,), select(billing_credential.c.code)


def customers() -> Names:
    """Account numbers."""
    return ("account_number",), select(customer.c.account_number).where(customer.c.account_number.is_not(None))


def sites(column: str) -> Names:
    """Codes of sites, each of a customer."""
    return ("account_number", column), select(customer.c.account_number, site.c.code).join(
        site, site.c.customer_id == customer.c.id
    )


def carrier_rate_plans(column: str) -> Names:
    """Codes of carrier rate plans, each of a service provider."""
    return ("service_provider", column), select(service_provider.c.code, rate_plan.c.code).join(rate_plan, _OF_PROVIDER)


def customer_rate_plans(column: str) -> Names:
    """Codes of customer rate plans."""
    return (column,), select(rate_plan.c.code).where(rate_plan.c.kind == "customer")


def rate_plans() -> Names:
    """Codes of rate plans of both kinds."""
    return ("kind", "service_provider", "code"), select(
        rate_plan.c.kind, service_provider.c.code, rate_plan.c.code
    ).outerjoin(service_provider, _OF_PROVIDER)


def as_here(uow: UnitOfWork, staged: Staged, names: Sequence[Names]) -> None:
    """Gives the staged rows the database's spelling of what they name, where only capitals are different."""
    for columns, known in names:
        if staged.has(columns[-1]):
            _respell(uow, staged, columns, known)


def _respell(uow: UnitOfWork, staged: Staged, columns: Sequence[str], known: Select[Any]) -> None:
    last = staged.table.c[columns[-1]]
    asked = select(*(staged[name].label(name) for name in columns)).where(last.is_not(None))
    unknown = uow.connection.execute(asked.except_(known)).all()
    if not unknown:
        return
    here = {_folded(row): row[-1] for row in uow.connection.execute(known)}
    found = [(number, *row, here[_folded(row)]) for number, row in enumerate(unknown) if _folded(row) in here]
    if not found:
        return
    table = lines_table(
        uow,
        f"spelling_{staged.table.name.lstrip('#')}_{columns[-1]}",
        [
            Column("number", staged.table.c.line.type, primary_key=True),
            *(Column(f"of_{name}", staged.types[name]) for name in columns),
            Column("here", staged.types[columns[-1]]),
        ],
        found,
    )
    same = (staged[name].is_not_distinct_from(table.c[f"of_{name}"]) for name in columns)
    uow.connection.execute(update(staged.table).where(and_(*same)).values({columns[-1]: table.c.here}))


def _folded(row: Iterable[Any]) -> tuple[str, ...]:
    return tuple("" if value is None else str(value).casefold() for value in row)
