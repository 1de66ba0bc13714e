"""Rev.io's shapes: what is sent, and how an answer is read. No network here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from desktop_app.association.ports import BillingProductFound, BillingServiceFound, ProductOrder, ServiceOrder

#: Retry-After is believed up to a day.
_LONGEST_RETRY_AFTER_S = 86_400.0
#: Keys under which error bodies keep their sentence, in the order in which they are tried; none is documented.
_SENTENCES = ("message", "error_message", "error", "errors", "detail", "title", "Message")
_OVER = frozenset({"DISCONNECTED", "DENIED", "INACTIVE", "CANCELED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class ReferenceFields:
    """Where our reference stands: no field is made for it.

    Attributes:
        service: field of a service. ``number2`` ("a network-level identifier") is not on the bill; if it is
            ``description``, the order's own description is not sent.
        product: field of a product. ``code_2`` (a provisioning code) is not on the bill, as ``description`` is;
            "" sends none.
    """

    service: str = "number2"
    product: str = "code_2"


def service_body(order: ServiceOrder, references: ReferenceFields) -> bytes:
    """The body of POST Services."""
    body: dict[str, Any] = {
        "customer_id": _id(order.billing_customer_id),
        "provider_id": _id(order.provider_id),
        "number": order.number,
        "effective_date": order.effective_date.isoformat(),
    }
    for name, value in (
        ("service_type_id", order.service_type_id),
        ("package_id", order.package_id),
        ("address_id", order.address_id),
    ):
        if value:
            body[name] = _id(value)
    if order.description:
        body["description"] = order.description
    body[references.service] = order.reference
    return json.dumps(body).encode()


def product_body(order: ProductOrder, references: ReferenceFields) -> bytes:
    """The body of POST ServiceProduct."""
    body: dict[str, Any] = {
        "service_id": _id(order.service_id),
        "product_id": _id(order.product_id),
        "effective_date": order.effective_date.isoformat(),
        "generate_proration": order.generate_proration,
    }
    if references.product:
        body[references.product] = order.reference
    return json.dumps(body).encode()


def created_id(body: Any) -> str | None:
    """The id in the answer to a create, or None if it has no readable one.

    The ``Location`` header is no substitute: the documentation's own example names another id there.
    """
    if not isinstance(body, dict) or body.get("ok", True) is not True:
        return None
    return id_text(body.get("id"))


def id_text(value: object) -> str | None:
    """An id as text of at most 40 characters; None for what is none (nothing, 0, true, text with blanks in it)."""
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value <= 0):
        return None
    text = str(value).strip()
    return text if 0 < len(text) <= 40 and text.isprintable() and " " not in text and text != "0" else None


def is_same_id(one: str, other: str) -> bool:
    """Whether two ids are the same: numbers are compared as numbers, since billing writes ``017`` as 17."""
    digits = f"{one}{other}"
    return one == other or (bool(one and other) and digits.isascii() and digits.isdigit() and int(one) == int(other))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        records: as billing sent them.
        has_more: billing says that there is another page.
        record_count: how many entries billing counts; None: it does not say.
    """

    records: tuple[dict[str, Any], ...]
    has_more: bool
    record_count: int | None = None

    def is_whole(self, so_far: int) -> bool:
        """Whether the page has the entries that billing counts: its own, or (elsewhere) those of all pages.

        Args:
            so_far: entries of this page and all before it.
        """
        count = self.record_count
        return (
            count is None
            or count in {len(self.records), so_far}
            or (self.has_more and bool(self.records) and count > so_far)
        )


def page(body: Any) -> Page | None:
    """The page in an answer, or None if it is none."""
    if not isinstance(body, dict) or body.get("ok", True) is not True:
        return None
    records, has_more = body.get("records"), body.get("has_more")
    if not isinstance(records, list) or not isinstance(has_more, bool):
        return None
    if not all(isinstance(record, dict) for record in records):
        return None
    count = body.get("record_count")
    return Page(tuple(records), has_more, count if isinstance(count, int) and not isinstance(count, bool) else None)


def service_found(record: Mapping[str, Any], references: ReferenceFields, now: datetime) -> BillingServiceFound | None:
    """A service out of a list, or None if it has no readable id."""
    service_id = id_text(record.get("service_id"))
    if service_id is None:
        return None
    return BillingServiceFound(
        service_id=service_id,
        billing_customer_id=id_text(record.get("customer_id")) or "",
        number=_text(record.get("number")),
        reference=_text(record.get(references.service)),
        is_active=_is_active(record, "disconnected_date", now),
    )


def product_found(record: Mapping[str, Any], references: ReferenceFields, now: datetime) -> BillingProductFound | None:
    """A product out of a list, or None if it has no readable id."""
    service_product_id = id_text(record.get("service_product_id"))
    if service_product_id is None:
        return None
    return BillingProductFound(
        service_product_id=service_product_id,
        service_id=id_text(record.get("service_id")) or "",
        product_id=id_text(record.get("product_id")) or "",
        reference=_text(record.get(references.product)) if references.product else "",
        is_active=_is_active(record, "canceled_date", now),
    )


def sentence(body: bytes) -> str:
    """What an error body says: its sentence if it is JSON and has one, else the body as text."""
    text = body[:65_536].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(4):  # sentences are found nested, and in lists
        if isinstance(found, list) and found:
            found = found[0]
        elif isinstance(found, dict):
            key = next((name for name in _SENTENCES if found.get(name)), None)
            if key is None:
                return text
            found = found[key]
        else:
            break
    return found if isinstance(found, str) else text


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks to wait: Retry-After as seconds or as a date, measured against the answer's own Date.

    Nonsense counts as no Retry-After.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until = _http_date(text)
        if until is None:
            return None
        seconds = (until - (_http_date(headers.get("date", "")) or now)).total_seconds()
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _id(value: str) -> int | str:
    """Rev.io's ids are numbers; another server's need not be."""
    return int(value) if value.isascii() and value.isdigit() and (value == "0" or value[0] != "0") else value


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, bool | dict | list) else str(value).strip()


def _is_active(record: Mapping[str, Any], end_field: str, now: datetime) -> bool:
    if _text(record.get("status")).upper() in _OVER:
        return False
    end = _text(record.get(end_field))
    if not end:
        return True
    try:
        ends = datetime.fromisoformat(end)
    except ValueError:
        return False  # an end is set, whenever that is
    if ends.tzinfo is None:
        ends = ends.replace(tzinfo=UTC)
    return ends > now
