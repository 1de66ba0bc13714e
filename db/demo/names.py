"""Invented names. No carrier, no company and no number of this page exists."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice, product
from random import Random

MB = 1_000_000
KB = 1_000
GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Carrier:
    """A service provider of the demo data.

    Attributes:
        share: of the devices, in percent.
        iccid_prefix: 89, the country, the issuer.
        iccid_length: with its check digit.
        billing_provider_id: what the billing company calls it.
        plans: codes of the carrier rate plans that it offers.
    """

    code: str
    name: str
    share: int
    iccid_prefix: str
    iccid_length: int
    billing_provider_id: int
    plans: tuple[str, ...]


_ALL = ("TELEMETRY-500KB", "IOT-1MB-POOL", "IOT-5MB-POOL", "IOT-25MB-FLEX", "LTEM-10MB", "NBIOT-100KB")
CARRIERS: tuple[Carrier, ...] = (
    Carrier("NORTHSTAR", "Northstar Mobile", 38, "8901990", 19, 11, _ALL),
    Carrier("HARBOR", "Harbor Wireless", 24, "8901991", 19, 12, _ALL),
    Carrier("ATLAS", "Atlas Cellular IoT", 16, "8944992", 19, 13, _ALL),
    # Polar offers no pool of 5 MB: one plan for a selection of many carriers' devices does not fit them all.
    Carrier("POLAR", "Polar Telecom", 13, "8947993", 20, 14, tuple(code for code in _ALL if code != "IOT-5MB-POOL")),
    Carrier("MERIDIAN", "Meridian Connect", 9, "8949994", 20, 15, _ALL),
)
#: A carrier that went out of business: known, without devices, not to be chosen any more.
CLOSED_CARRIER = ("COBALT", "Cobalt Radio")


@dataclass(frozen=True, slots=True)
class Plan:
    """A rate plan of the demo data: its name, data limit in bytes and, where devices share it, its pool."""

    code: str
    name: str
    data_limit_bytes: int | None
    data_pool: str | None = None
    is_active: bool = True


CARRIER_PLANS: tuple[Plan, ...] = (
    Plan("TELEMETRY-500KB", "Telemetry 500 KB", 500 * KB),
    Plan("IOT-1MB-POOL", "IoT 1 MB Pool", 1 * MB, "1 MB pool"),
    Plan("IOT-5MB-POOL", "IoT 5 MB Pool", 5 * MB, "5 MB pool"),
    Plan("IOT-25MB-FLEX", "IoT 25 MB Flex", 25 * MB),
    Plan("LTEM-10MB", "LTE-M 10 MB", 10 * MB),
    Plan("NBIOT-100KB", "NB-IoT 100 KB", 100 * KB),
)
#: Each carrier had this one; nobody can choose it any more, some devices still have it.
RETIRED_CARRIER_PLAN = Plan("GPRS-CLASSIC", "GPRS Classic", 2 * MB, is_active=False)

CUSTOMER_PLANS: tuple[Plan, ...] = (
    Plan("DATA-1MB", "Data 1 MB", 1 * MB),
    Plan("DATA-5MB", "Data 5 MB", 5 * MB),
    Plan("DATA-50MB", "Data 50 MB", 50 * MB),
    Plan("DATA-1GB", "Data 1 GB", 1 * GB),
    Plan("POOL-10GB", "Shared pool 10 GB", 10 * GB, "Shared 10 GB"),
    Plan("DATA-2MB-OLD", "Data 2 MB (old)", 2 * MB, is_active=False),
)
#: Plans of the demo data that billing knows as a package, not as a product.
PACKAGED_PLANS = frozenset({"POOL-10GB"})
#: Plans of the demo data that billing does not know at all.
UNBILLED_PLANS = frozenset({"NBIOT-100KB"})


@dataclass(frozen=True, slots=True)
class Industry:
    """What a customer does, and what its devices are called."""

    word: str
    things: tuple[str, ...]


INDUSTRIES: tuple[Industry, ...] = (
    Industry("Fleet", ("Truck", "Van", "Trailer")),
    Industry("Energy", ("Meter", "Inverter", "Substation")),
    Industry("Water", ("Pump", "Flow meter", "Valve")),
    Industry("Agri", ("Soil probe", "Gate", "Weather mast")),
    Industry("Security", ("Alarm panel", "Camera", "Door")),
    Industry("Retail", ("Till", "Price display", "Freezer")),
    Industry("Health", ("Monitor", "Fridge", "Pendant")),
    Industry("Logistics", ("Container", "Pallet", "Scanner")),
    Industry("Lifts", ("Lift", "Escalator")),
    Industry("Vending", ("Vending machine", "Coffee machine")),
    Industry("Parking", ("Pay station", "Barrier")),
    Industry("Metering", ("Heat meter", "Gas meter")),
)

_STARTS = (
    "Lark", "Tarn", "Vex", "Brindle", "Oster", "Pell", "Quill", "Harrow", "Wren", "Thorn", "Ember", "Fen", "Gild",
    "Iver", "Kess", "Marl", "Norr", "Ravel", "Sorrel", "Umber",
)  # fmt: skip
_ENDS = (
    "moor",
    "holt",
    "ley",
    "combe",
    "by",
    "wick",
    "gate",
    "worth",
    "mere",
    "stead",
    "march",
    "brook",
    "dale",
    "fold",
)
_FORMS = ("Ltd", "GmbH", "SA", "B.V.", "Inc", "AB", "Oy", "SpA")


def company_names(rng: Random, count: int, taken: Collection[str]) -> Iterator[tuple[str, Industry]]:
    """Different names of companies, and what they do; none of those that are taken."""
    everything = [
        (f"{start}{end} {industry.word} {form}", industry)
        for start, end, industry, form in product(_STARTS, _ENDS, INDUSTRIES, _FORMS)
    ]
    chosen = rng.sample(everything, count + len(taken))
    return islice((one for one in chosen if one[0] not in taken), count)
