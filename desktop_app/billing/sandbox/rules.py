"""What the sandbox's billing company accepts: each refusal is one plain sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from desktop_app.billing.sandbox.books import Books, Fields, Made, as_id, key_of

#: Longest texts, by field.
_TEXT = {"number": 255, "number2": 255, "description": 1000, "code_1": 500, "code_2": 500}
_STATUSES = ("PENDING", "ACTIVE", "DENIED", "DISCONNECTED")
_SERVICE_TEXTS = ("number", "number2", "description")
_PRODUCT_TEXTS = ("description", "code_1", "code_2")


class Refused(Exception):
    """The request is refused with this status and sentence; nothing was made."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class Rules:
    """Validates bodies against the books.

    ``accept_any``: ids that the catalogue does not know are accepted, for use without a catalogue.
    """

    def __init__(self, books: Books, *, accept_any: bool) -> None:
        self._books = books
        self._accept_any = accept_any

    def new_service(self, body: Fields) -> tuple[Fields, list[Fields]]:
        """Fields of the service to be made, and those of the products that its package brings.

        Raises:
            Refused: with the sentence.
        """
        customer = self._known("customers", body, "customer_id", required=True)
        provider = self._known("providers", body, "provider_id", required=True)
        service_type = self._known("service_types", body, "service_type_id")
        package = self._known("packages", body, "package_id")
        address = self._known("addresses", body, "address_id")
        self._same_provider("packages", package, "Package", provider)
        row = self._books.known("addresses", address) if address else None
        if row is not None and key_of(row.get("customer_id")) not in ("", customer):
            raise Refused(f"Address {address} does not belong to customer {customer}.")
        account = body.get("provider_account_id")
        if account is not None and (isinstance(account, bool) or not isinstance(account, int)):
            raise Refused("provider_account_id has to be a whole number.")
        effective = _date(body, "effective_date") or _today()
        activated = _date(body, "activated_date") or effective
        disconnected = _date(body, "disconnected_date")
        fields = {
            "customer_id": as_id(customer),
            "provider_id": as_id(provider),
            "service_type_id": as_id(service_type) if service_type else None,
            "package_id": as_id(package) if package else None,
            **{name: _text(body, name) for name in _SERVICE_TEXTS},
            "usage_plan_group_id": body.get("usage_plan_group_id"),
            "provider_account_id": account,
            "address_id": as_id(address) if address else None,
            "effective_date": effective,
            "activated_date": activated,
            "disconnected_date": disconnected,
        }
        products = [
            {
                **_product(link["product_id"], effective, activated, customer_id=fields["customer_id"]),
                "package_id": fields["package_id"],
                "description": link.get("description", ""),
            }
            for link in (self._books.products_of_package(package) if package else ())
        ]
        return fields, products

    def new_product(self, body: Fields, now: float) -> Fields:
        """Fields of the product to be put on a service.

        Raises:
            Refused: with the sentence.
        """
        service = self._service(body, now)
        if _is_over(service.fields):
            raise Refused(f"Service {service.id} is disconnected; products cannot be added to it.")
        product = self._known("products", body, "product_id", required=True)
        self._same_provider("products", product, "Product", key_of(service.fields["provider_id"]))
        if not isinstance(body.get("generate_proration"), bool):
            raise Refused("generate_proration is required, true or false.")
        effective = _date(body, "effective_date") or _today()
        fields = _product(product, effective, effective, customer_id=service.fields["customer_id"])
        fields["service_id"] = service.id
        fields["status"] = _status(body) or "ACTIVE"
        fields["rate"] = _rate(body)
        fields.update({name: _text(body, name) for name in _PRODUCT_TEXTS})
        return fields

    def changed_service(self, service: Made, body: Fields, products: list[Made]) -> Fields:
        """Fields to set on a service. A date changes only if all its products hold that date already.

        Raises:
            Refused: with the sentence.
        """
        change: Fields = {name: _text(body, name) for name in _SERVICE_TEXTS if name in body}
        for name in ("activated_date", "disconnected_date"):
            if name not in body:
                continue
            wanted = _date(body, name)
            own = "canceled_date" if name == "disconnected_date" else name
            if wanted != service.fields[name] and any(product.fields[own] != wanted for product in products):
                raise Refused(f"{name} can be changed only if all products of service {service.id} hold the same date.")
            change[name] = wanted
        return change

    def changed_product(self, product: Made, body: Fields, now: float) -> Fields:
        """Fields to set on a product.

        Raises:
            Refused: with the sentence.
        """
        service = self._service(body, now)
        if service.id != product.fields["service_id"]:
            raise Refused(f"Product {product.id} is not on service {service.id}.")
        wanted = self._known("products", body, "product_id", required=True)
        if wanted != key_of(product.fields["product_id"]):
            raise Refused(f"Product {product.id} has the product_id {product.fields['product_id']}, not {wanted}.")
        if not isinstance(body.get("generate_proration"), bool):
            raise Refused("generate_proration is required, true or false.")
        status, rate = _status(body), _rate(body)
        if status == "DISCONNECTED":
            raise Refused("status cannot be set to DISCONNECTED here.")
        if status and status != product.fields["status"] and rate is not None and rate != product.fields["rate"]:
            raise Refused("rate and status cannot be changed in one call.")
        change: Fields = {name: _text(body, name) for name in _PRODUCT_TEXTS if name in body}
        for name in ("effective_date", "activated_date", "canceled_date"):
            if name in body:
                change[name] = _date(body, name)
        if status:
            change["status"] = status
        if rate is not None:
            change["rate"] = rate
        return change

    def _service(self, body: Fields, now: float) -> Made:
        key = _id(body, "service_id", required=True)
        service = self._books.services.existing(key, now)
        if service is None:
            raise Refused(f"Service {key} does not exist.")
        return service

    def _known(self, section: str, body: Fields, name: str, *, required: bool = False) -> str:
        key = _id(body, name, required=required)
        if key and not self._accept_any and self._books.known(section, key) is None:
            what = name.removesuffix("_id").replace("_", " ").capitalize()
            raise Refused(f"{what} {key} does not exist.")
        return key

    def _same_provider(self, section: str, key: str, what: str, provider: str) -> None:
        row = self._books.known(section, key) if key else None
        if row is not None and key_of(row.get("provider_id")) not in ("", provider):
            raise Refused(f"{what} {key} belongs to provider {row['provider_id']}, not to provider {provider}.")


def _product(product_id: object, effective: str, activated: str, *, customer_id: object) -> Fields:
    return {
        "customer_id": customer_id,
        "product_id": as_id(key_of(product_id)),
        "package_id": None,
        "service_id": None,
        "description": "",
        "code_1": "",
        "code_2": "",
        "rate": None,
        "status": "ACTIVE",
        "effective_date": effective,
        "activated_date": activated,
        "canceled_date": None,
    }


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _is_over(fields: Fields) -> bool:
    ended = fields["disconnected_date"]
    return ended is not None and ended <= _today()


def _id(body: Fields, name: str, *, required: bool) -> str:
    value = body.get(name)
    key = key_of(value)
    if not key:
        if value is not None and value != "":
            raise Refused(f"{name} is not an id.")
        if required:
            raise Refused(f"{name} is required.")
    return key


def _text(body: Fields, name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"{name} has to be text.")
    if len(value) > _TEXT[name]:
        raise Refused(f"{name} is longer than {_TEXT[name]} characters.")
    return value


def _date(body: Fields, name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    try:
        return datetime.fromisoformat(value).date().isoformat()
    except (ValueError, TypeError):
        raise Refused(f"{name} is not a date such as 2026-11-24.") from None


def _status(body: Fields) -> str | None:
    value = body.get("status")
    if value is None:
        return None
    if value not in _STATUSES:
        raise Refused(f"status has to be one of {', '.join(_STATUSES)}.")
    return str(value)


def _rate(body: Fields) -> float | None:
    value: Any = body.get("rate")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Refused("rate has to be a number, 0 or more.")
    return float(value)
