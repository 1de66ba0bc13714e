"""What is known: of operators, customers, plans, billing credentials and devices, as the database tells it.

The check looks at nothing else. Handles (``…_id``) are the store's keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from desktop_app.association.model import Identifier, PlanKind

# --- operators -------------------------------------------------------------------------------------------------------


class Right(StrEnum):
    """What an operator may do, on one customer or on all."""

    VIEW = "view"  #: see the customer, its devices and its jobs; whoever may do more may do this too
    ASSOCIATE = "associate"  #: connect devices with the customer
    REASSIGN = "reassign"  #: take devices from the customer, or take over devices for it


@dataclass(frozen=True, slots=True)
class OperatorRights:
    """An operator and what is granted to it.

    Attributes:
        operator_id: handle.
        login: case-folded name of the operating system's user.
        name: for people.
        is_administrator: may do everything on every customer.
        grants: pairs of right and customer; customer None: on all of them.
    """

    operator_id: int
    login: str
    name: str
    is_administrator: bool
    grants: frozenset[tuple[Right, int | None]]

    def may(self, right: Right, customer_id: int) -> bool:
        """Whether the right is held on the customer."""
        return self.is_administrator or any(
            right in {held, Right.VIEW} and whom in {None, customer_id} for held, whom in self.grants
        )

    @property
    def visible_customers(self) -> frozenset[int] | None:
        """Handles of the customers that may be seen; None: all of them."""
        if self.is_administrator or any(customer is None for _right, customer in self.grants):
            return None
        return frozenset(customer for _right, customer in self.grants if customer is not None)


# --- customers, plans, billing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceProviderFacts:
    """A service provider."""

    service_provider_id: int
    code: str
    name: str
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """A customer.

    Attributes:
        account_number: None: it has none.
        starts_on: nothing begins before this date; None: no such date.
        bill_cycle_day: 1 to 28: the day of the month on which its bill cycle begins; None: not known.
        billing_credential_id: None: the default one.
        billing_customer_id: the billing company's own id; None: not known there.
    """

    customer_id: int
    name: str
    account_number: str | None = None
    is_active: bool = True
    starts_on: date | None = None
    bill_cycle_day: int | None = None
    billing_credential_id: int | None = None
    billing_customer_id: str | None = None

    @property
    def label(self) -> str:
        """Name and account number, for sentences."""
        return f"{self.name} ({self.account_number})" if self.account_number else self.name


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A site of a customer. ``billing_address_id``: the billing company's id of its address, or None."""

    site_id: int
    code: str
    name: str
    is_default: bool = False
    is_active: bool = True
    billing_address_id: str | None = None


@dataclass(frozen=True, slots=True)
class RatePlanFacts:
    """A rate plan.

    Attributes:
        service_provider_id: of a carrier rate plan.
        customer_id: the only customer that may have this customer rate plan; None: every one.
        data_limit_bytes: None: no limit.
        data_pool: name of the pool that its devices share; None: none.
    """

    rate_plan_id: int
    kind: PlanKind
    code: str
    name: str
    service_provider_id: int | None = None
    customer_id: int | None = None
    data_limit_bytes: int | None = None
    data_pool: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class ProviderMapping:
    """What the billing company calls a service provider, and which service type its devices are billed as."""

    provider_id: str | None
    service_type_id: str | None

    @property
    def is_complete(self) -> bool:
        """Whether a billing service can be posted with it."""
        return bool(self.provider_id and self.service_type_id)


@dataclass(frozen=True, slots=True)
class PlanMapping:
    """What a rate plan is at the billing company: a product that is put on a service, or a package it is made with."""

    product_id: str | None = None
    package_id: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the plan can be billed."""
        return bool(self.product_id or self.package_id)


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """A login at a billing company. The secret is not here: it is in the keyring under ``code``.

    Attributes:
        providers: mapping by service provider's code.
        plans: mapping by ``carrier:PROVIDER:CODE`` or ``customer:CODE``.
    """

    billing_credential_id: int
    code: str
    name: str
    is_active: bool
    providers: Mapping[str, ProviderMapping]
    plans: Mapping[str, PlanMapping]


# --- devices ---------------------------------------------------------------------------------------------------------


class ActiveService(NamedTuple):
    """A billing service of a device that is billed now. ``work_order_id``: the one that made it, or None."""

    billing_service_id: int
    customer_id: int
    billing_credential_id: int
    service_id: str
    work_order_id: int | None


class Situation(NamedTuple):
    """What the rules look at of a device, and nothing by which one device is told from another.

    Of a hundred thousand devices most share a few of these, so that the rules are asked once for each of them.

    Attributes:
        status: a value of ``DeviceStatus``.
        activated_on: None: never activated.
        owner_id … owned_from: of the ownership that stands; all None where nobody owns the device.
        previous_end: first day after the last ownership that ended and was not the present owner's; None: none was.
        scheduled_from: first day of an ownership that is to come; None: none is.
        open_tracking_number: job of the open work order that holds the device; None: none does.
        services: billed now.
    """

    service_provider_id: int
    status: str
    activated_on: date | None
    is_deleted: bool
    is_archived: bool
    owner_id: int | None
    owner_name: str | None
    owner_site_id: int | None
    owned_from: date | None
    previous_end: date | None
    scheduled_from: date | None
    open_tracking_number: str | None
    services: tuple[ActiveService, ...] = ()


class DeviceFacts(NamedTuple):
    """Everything that the check and the work order need to know of one device.

    A tuple, not a dataclass: a hundred thousand of them are made in one check.

    Attributes:
        carrier_rate_plan_id: that it has now.
        ownership_id … data_pool: of the ownership that stands; all None where nobody owns the device.
        situation: what the rules look at; one object for all devices of which it is the same.
    """

    device_id: int
    iccid: str
    imei: str | None
    msisdn: str | None
    eid: str | None
    carrier_rate_plan_id: int | None
    ownership_id: int | None
    owner_account_number: str | None
    owner_credential_id: int | None
    customer_rate_plan_id: int | None
    data_limit_bytes: int | None
    data_pool: str | None
    situation: Situation


class ReadLine(NamedTuple):
    """One line that was asked for and could be read.

    Attributes:
        line: number of the line from 1; blank lines count.
        asked_for: the line as asked, without outer blanks, at most 64 characters.
        identifier: what it was read as.
    """

    line: int
    asked_for: str
    identifier: Identifier


class AskedDevice(NamedTuple):
    """One device that was asked for, and what the database has for it.

    Attributes:
        line, asked_for: as in :class:`ReadLine`; for a device picked from a list its position and ICCID.
        identifier: None for a device picked from a list.
        candidates: every device that one of the identifier's readings names; several on different service providers are
            the rule, not the exception.
    """

    line: int
    asked_for: str
    identifier: Identifier | None
    candidates: tuple[DeviceFacts, ...]
