"""Which devices a filter matches: the one condition for lists, counts and requests."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select, true

from db.schema import device, device_ownership, service_provider
from db.searching import contains
from desktop_app.association.model import DeviceFilter

#: What people write into identifiers to read them better.
_SEPARATORS = re.compile(r"[\s.()/+\u00a0\u2009\u202f\u2010-\u2015-]+")


def matches(wanted: DeviceFilter) -> ColumnElement[bool]:
    """The condition on ``device`` that keeps what the filter matches. It joins nothing and multiplies no rows.

    The text is searched in ICCID, IMEI, MSISDN and EID without its blanks and dashes, and in the name as it is, in any
    case of its letters.
    """
    conditions: list[ColumnElement[bool]] = []
    if not wanted.include_deleted:
        conditions += [device.c.is_deleted == false(), device.c.is_archived == false()]
    if wanted.statuses:
        conditions.append(device.c.status.in_([status.value for status in wanted.statuses]))
    if wanted.service_providers:
        conditions.append(
            device.c.service_provider_id.in_(
                select(service_provider.c.id).where(service_provider.c.code.in_(wanted.service_providers))
            )
        )
    if wanted.customer is not None:
        conditions.append(_is_owned(wanted.customer))
    if wanted.owned is not None:
        conditions.append(_is_owned() if wanted.owned else not_(_is_owned()))
    if wanted.text.strip():
        conditions.append(_holds(wanted.text.strip()))
    return and_(true(), *conditions)


def _is_owned(customer_id: int | None = None) -> ColumnElement[bool]:
    owner = device_ownership.alias()
    conditions = [owner.c.device_id == device.c.id, owner.c.state == "active", owner.c.is_deleted == false()]
    if customer_id is not None:
        conditions.append(owner.c.customer_id == customer_id)
    return exists().where(*conditions).correlate(device)


def digits_of(text: str) -> str:
    """The text as it is searched in identifiers, without blanks and dashes; "" where it holds anything but digits."""
    digits = _SEPARATORS.sub("", text)
    return digits if digits.isascii() and digits.isdigit() else ""


def _holds(text: str) -> ColumnElement[bool]:
    found = [contains(func.lower(device.c.name), text.lower())]
    digits = digits_of(text)
    if digits:
        found += [contains(column, digits) for column in (device.c.iccid, device.c.imei, device.c.msisdn, device.c.eid)]
    return or_(*found)
