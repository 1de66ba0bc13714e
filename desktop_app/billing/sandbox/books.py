"""What the sandbox's billing company knows: its catalogue, and every service and product that it ever made.

Everything is kept in memory with the indices that searches need; each change is one journal entry, and replaying the
entries gives the same books again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from desktop_app.billing.sandbox.journal import Entry

Fields = dict[str, Any]

#: Catalogue sections and the name of each one's id.
CATALOGUE: Mapping[str, str] = {
    "customers": "customer_id",
    "providers": "provider_id",
    "service_types": "service_type_id",
    "products": "product_id",
    "packages": "package_id",
    "package_products": "package_product_id",
    "addresses": "address_id",
}

#: A further section: services that there were before anybody used the sandbox. They are ordinary services, but nothing
#: that was made here: the ledger does not count them.
EARLIER_SERVICES = "services"
_EARLIER = 0.0  # made at

SERVICE = "service"
PRODUCT = "product"
_FIRST_ID = {SERVICE: 10_001, PRODUCT: 50_001}


def key_of(value: object) -> str:
    """An id as text: ``17``, ``"17"`` and ``" 17 "`` are the same id; "" for what is no id, such as 0."""
    if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 1):
        return ""
    return str(value).strip()


def as_id(key: str) -> int | str:
    """An id as Rev.io would write it: a number where it is one."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 16 else key


@dataclass(slots=True)
class Made:
    """A service or a product.

    Attributes:
        id: given by the sandbox, ascending.
        made_at: seconds since the epoch from which it exists; may lie ahead (it appears late).
        fields: as they are answered, in Rev.io's names.
    """

    id: int
    made_at: float
    fields: Fields


@dataclass(slots=True)
class Shelf:
    """All services, or all products, with the indices that searches use."""

    kind: str
    id_field: str
    indexed: tuple[str, ...]
    items: dict[int, Made] = field(default_factory=dict)
    index: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    young: list[int] = field(default_factory=list)
    next_id: int = 0

    def __post_init__(self) -> None:
        self.index = {name: defaultdict(list) for name in self.indexed}
        self.next_id = _FIRST_ID[self.kind]

    def put(self, made: Made) -> None:
        self.items[made.id] = made
        self.next_id = max(self.next_id, made.id + 1)
        self.young.append(made.id)
        for name in self.indexed:
            self.index[name][key_of(made.fields.get(name))].append(made.id)

    def existing(self, item_id: str, now: float) -> Made | None:
        """The item with that id, unless it has yet to appear."""
        made = self.items.get(int(item_id)) if item_id.isascii() and item_id.isdigit() else None
        return made if made is not None and made.made_at <= now else None

    def search(self, filters: Mapping[str, str], visible_until: float) -> list[Made]:
        """Items that match every filter and were made at or before ``visible_until``, by ascending id."""
        # what is visible once stays so: only what was hidden at the last search, or came since, is looked at
        self.young = [item for item in self.young if self.items[item].made_at > visible_until]
        hidden = set(self.young)
        pools = [self.index[name].get(value, []) for name, value in filters.items() if name in self.index]
        ids: Collection[int] = min(pools, key=len) if pools else self.items.keys()
        return [
            made
            for made in (self.items[item] for item in ids if item not in hidden)
            if all(key_of(made.fields.get(name)) == value for name, value in filters.items())
        ]


class Books:
    """The catalogue, the services and the products."""

    def __init__(self, *, reference_field: str, product_reference_field: str) -> None:
        self.catalogue: dict[str, dict[str, Fields]] = {section: {} for section in CATALOGUE}
        self.services = Shelf(SERVICE, "service_id", ("customer_id", "number"))
        self.products = Shelf(PRODUCT, "service_product_id", ("service_id",))
        self._reference_field = reference_field
        self._product_reference_field = product_reference_field

    # -- changes: each gives the journal entry that replay() understands ------------------------------------------

    def make_service(self, fields: Fields, product_fields: Iterable[Fields], made_at: float) -> tuple[Made, Entry]:
        """A new service and the products of its package, at once."""
        service = self._make(self.services, fields, made_at)
        products = [
            self._make(self.products, {**product, "service_id": service.id}, made_at) for product in product_fields
        ]
        return service, {"op": "make", SERVICE: [_dump(service)], PRODUCT: [_dump(product) for product in products]}

    def make_product(self, fields: Fields, made_at: float) -> tuple[Made, Entry]:
        """A new product on a service."""
        product = self._make(self.products, fields, made_at)
        return product, {"op": "make", PRODUCT: [_dump(product)]}

    def change(self, shelf: Shelf, item_id: int, fields: Fields) -> Entry:
        """Sets fields of a service or a product that exists."""
        shelf.items[item_id].fields.update(fields)
        return {"op": "change", "kind": shelf.kind, "id": item_id, "fields": fields}

    def add_catalogue(self, sections: Mapping[str, list[Fields]]) -> Entry:
        """Adds to the catalogue; an id that is there is replaced. The caller has validated the sections.

        A service of the section ``services`` that is there is left alone: it may have changed since.
        """
        for section, rows in sections.items():
            if section == EARLIER_SERVICES:
                self._add_earlier_services(rows)
                continue
            shelf = self.catalogue[section]
            for row in rows:
                shelf[self._catalogue_key(section, row)] = row
        return {"op": "catalogue", "sections": dict(sections)}

    def replay(self, entry: Entry) -> None:
        """Applies one journal entry."""
        match entry:
            case {"op": "make"}:
                for shelf in (self.services, self.products):
                    for row in entry.get(shelf.kind, ()):
                        shelf.put(Made(row["id"], row["made_at"], row["fields"]))
            case {"op": "change", "kind": kind, "id": item_id, "fields": fields}:
                (self.services if kind == SERVICE else self.products).items[item_id].fields.update(fields)
            case {"op": "catalogue", "sections": sections}:
                self.add_catalogue(sections)
            case _:
                raise ValueError(f"unknown journal entry {entry.get('op')!r}")

    def _add_earlier_services(self, rows: Iterable[Fields]) -> None:
        for row in rows:
            service_id = int(key_of(row["service_id"]))
            if service_id not in self.services.items:
                effective = row.get("effective_date")
                fields = {**_BLANK_SERVICE, "activated_date": effective, **row, "service_id": service_id}
                self.services.put(Made(service_id, _EARLIER, fields))

    def _make(self, shelf: Shelf, fields: Fields, made_at: float) -> Made:
        made = Made(shelf.next_id, made_at, {shelf.id_field: shelf.next_id, **fields})
        shelf.put(made)
        return made

    @staticmethod
    def _catalogue_key(section: str, row: Fields) -> str:
        if section == "package_products":  # Rev.io numbers these links; demo data need not
            return f"{key_of(row.get('package_id'))}/{key_of(row.get('product_id'))}"
        return key_of(row.get(CATALOGUE[section]))

    # -- reading ---------------------------------------------------------------------------------------------------

    def known(self, section: str, item_id: str) -> Fields | None:
        """The catalogue's row with that id."""
        return self.catalogue[section].get(item_id)

    def products_of_package(self, package_id: str) -> list[Fields]:
        """The package's links to products, in the order in which they were added."""
        return [row for row in self.catalogue["package_products"].values() if key_of(row["package_id"]) == package_id]

    def ledger(self, reference: str | None = None) -> dict[str, Any]:
        """What was ever made, for each reference; ``reference`` restricts it to one.

        A service is a duplicate when its reference was used before; a product, when the same reference (or none) put
        the same product on the same service before. Products that a package brought along have no reference of their
        own and are counted beside their service.
        """
        now = time.time()
        references: dict[str, dict[str, Any]] = {}
        duplicates: list[dict[str, Any]] = []
        totals: Counter[str] = Counter({"services": 0, "products": 0, "not_yet_visible": 0, "without_reference": 0})
        posted: dict[tuple[str, ...], list[int]] = defaultdict(list)

        def row(name: str) -> dict[str, Any]:
            return references.setdefault(
                name, {"services": 0, "products": 0, "package_products": 0, "service_ids": [], "product_ids": []}
            )

        for service in self.services.items.values():
            if service.made_at == _EARLIER:
                continue
            name = str(service.fields.get(self._reference_field) or "")
            if reference is not None and name != reference:
                continue
            totals["services"] += 1
            totals["not_yet_visible"] += service.made_at > now
            totals["without_reference"] += not name
            if name:
                row(name)["services"] += 1
                row(name)["service_ids"].append(service.id)
                posted[SERVICE, name].append(service.id)
        for product in self.products.items.values():
            fields = product.fields
            name = str(fields.get(self._product_reference_field) or "")
            brought = bool(fields.get("package_id"))
            owner = self.services.items[int(fields["service_id"])].fields.get(self._reference_field) or ""
            if reference is not None and reference not in (name, owner if brought else name):
                continue
            totals["products"] += 1
            totals["not_yet_visible"] += product.made_at > now
            if brought:
                if owner:
                    row(str(owner))["package_products"] += 1
                continue
            totals["without_reference"] += not name
            if name:
                row(name)["products"] += 1
                row(name)["product_ids"].append(product.id)
            posted[PRODUCT, name, key_of(fields["service_id"]), key_of(fields["product_id"])].append(product.id)
        for what, ids in posted.items():
            if len(ids) > 1:
                duplicates.append({"kind": what[0], "reference": what[1], "ids": ids})
        return {"references": references, "totals": dict(totals), "duplicates": duplicates}


_BLANK_SERVICE: Fields = {
    "service_type_id": None,
    "package_id": None,
    "number": "",
    "number2": "",
    "description": "",
    "usage_plan_group_id": None,
    "provider_account_id": None,
    "address_id": None,
    "effective_date": None,
    "disconnected_date": None,
}


def _dump(made: Made) -> Entry:
    return {"id": made.id, "made_at": made.made_at, "fields": made.fields}
