"""The values that the business speaks in: what was asked, what the check found, and what is known of a device.

All are frozen. Device handles (``device_id``) are the store's keys: a desk hands them out and takes them back, people
and interfaces see ICCIDs, account numbers and tracking numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from desktop_app.association.check_digits import luhn_check_digit, luhn_sum


class ImportTable(StrEnum):
    """What existing data are taken over into, in the order in which they refer to one another."""

    SERVICE_PROVIDERS = "service_providers"
    BILLING_CREDENTIALS = "billing_credentials"  #: without any secret
    CUSTOMERS = "customers"
    SITES = "sites"
    RATE_PLANS = "rate_plans"
    CUSTOMER_DEFAULTS = "customer_defaults"  #: the default rate plan of a customer, which refer to each other
    DEVICES = "devices"
    OWNERSHIPS = "ownerships"  #: those that stand now
    BILLING_SERVICES = "billing_services"


class DeviceStatus(StrEnum):
    """Status of a device at its carrier."""

    INVENTORY = "inventory"  #: in stock, not activated
    TEST_READY = "test_ready"  #: may be used for tests, not billed by the carrier yet
    ACTIVE = "active"  #: in use
    SUSPENDED = "suspended"  #: barred for a time
    RETIRED = "retired"  #: taken out of use for good
    PURGED = "purged"  #: deleted at the carrier
    REPLACED = "replaced"  #: its number lives on another SIM


#: Only these may be associated with a customer.
ASSIGNABLE_STATUSES: frozenset[DeviceStatus] = frozenset(
    {DeviceStatus.INVENTORY, DeviceStatus.TEST_READY, DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED}
)


class PlanKind(StrEnum):
    """Whose price plan a rate plan is."""

    CARRIER = "carrier"  #: belongs to a service provider
    CUSTOMER = "customer"  #: belongs to a customer


class OwnershipAction(StrEnum):
    """What a work order does to the ownership of its device; frozen when it is built."""

    ASSIGN = "assign"  #: nobody owned it
    KEEP = "keep"  #: it is this customer's at this site already
    MOVE = "move"  #: this customer's, goes to another site; plans stay
    REASSIGN = "reassign"  #: another customer's until the effective date


class BillingAction(StrEnum):
    """What a work order does at the billing company; frozen when it is built."""

    NONE = "none"  #: billing was not asked for
    CREATE = "create"  #: a billing service is made
    KEEP = "keep"  #: this customer's active billing service is kept; plans' products go on it


def pack(ids: Iterable[int]) -> bytes:
    """Device handles packed as native 64-bit integers, 8 bytes each."""
    return array("q", ids).tobytes()


def unpack(packed: bytes) -> array[int]:
    """The handles in ``packed``, as an ``array('q')``."""
    ids = array("q")
    ids.frombytes(packed)
    return ids


class IdentifierKind(StrEnum):
    """What a device is known by. All are text, never numbers."""

    ICCID = "iccid"  #: of the SIM: 18 to 20 digits that begin with 89
    IMEI = "imei"  #: of the equipment: 15 digits, or 16 with its software version
    MSISDN = "msisdn"  #: the phone number, in E.164
    EID = "eid"  #: of an eSIM chip: 32 digits


class Reading(NamedTuple):
    """One way to read an identifier: the kind, and the digits that the database is searched for.

    For an IMEI these are the first 14, on which IMEI and IMEISV agree; for an MSISDN all but the plus.
    """

    kind: IdentifierKind
    value: str


class IdentifierWarning(StrEnum):
    """What is odd about an identifier that can be read all the same; the database decides."""

    CHECK_DIGIT = "check_digit"  #: its check digit is wrong, or left off
    ROUNDED = "rounded"  #: its check digit is wrong and its last digits are zeros, as spreadsheets leave them


class Identifier(NamedTuple):
    """A line that could be read.

    Attributes:
        kind, value: the surest reading, see :class:`Reading`.
        others: other kinds that it may be of: fifteen digits may be an IMEI or a phone number.
        warning: see :class:`IdentifierWarning`; None: nothing is odd.
    """

    kind: IdentifierKind
    value: str
    others: tuple[Reading, ...] = ()
    warning: IdentifierWarning | None = None

    @property
    def alternatives(self) -> tuple[Reading, ...]:
        """Other readings than the surest; what the database finds decides.

        An ICCID is searched with and without its check digit: suppliers differ, also for the same SIM.
        """
        if self.kind is not IdentifierKind.ICCID:
            return self.others
        digits, length = self.value, len(self.value)
        shorter = [digits[:-1]] if length > 18 and luhn_sum(digits) % 10 == 0 else []
        longer = [digits + luhn_check_digit(digits)] if length < 20 else []
        return tuple([Reading(IdentifierKind.ICCID, value) for value in (*shorter, *longer)])


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices a list shows. Empty fields do not filter.

    Attributes:
        text: searched in ICCID, IMEI, MSISDN, EID and name.
        statuses: any of these.
        service_providers: codes, any of these.
        owned: True only with an owner, False only without one, None both.
        customer: handle of the customer that owns the device.
        include_deleted: deleted and archived devices too.
    """

    text: str = ""
    statuses: tuple[DeviceStatus, ...] = ()
    service_providers: tuple[str, ...] = ()
    owned: bool | None = None
    customer: int | None = None
    include_deleted: bool = False


@dataclass(frozen=True, slots=True)
class AskedLines:
    """Devices as somebody typed, pasted, scanned or imported them: one identifier a line, line numbers from 1."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PickedDevices:
    """Devices picked from a list: :func:`pack`-ed handles, in the order in which they are numbered as lines."""

    packed: bytes


@dataclass(frozen=True, slots=True)
class FilteredDevices:
    """Every device that the filter matches at the time of the call, minus some handles."""

    filter: DeviceFilter
    minus: bytes = b""


DeviceSelection = AskedLines | PickedDevices | FilteredDevices


@dataclass(frozen=True, slots=True)
class CarrierPlanChoice:
    """A carrier rate plan by code, for the devices on one service provider.

    Attributes:
        plan: the plan's code.
        service_provider: the provider's code; None: the one provider that has a plan of this code.
    """

    plan: str
    service_provider: str | None = None


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What the operator asked.

    Attributes:
        devices: which devices.
        customer: account number, or exact name where it is unique, or the handle that a desk gave.
        site: code or exact name of the customer's site; None: its default site.
        service_provider: code; None: each device's only one.
        create_billing_service: make a billing service for each device (or keep the customer's).
        carrier_rate_plans: at most one for each service provider; empty: not asked for.
        customer_rate_plan: the plan's code; None: not asked for.
        effective_date: calendar date in the business time zone; None: each device's activation date.
        reassign: take devices over from other customers.
        reason: why, for the record; at most 400 characters.
    """

    devices: DeviceSelection
    customer: str | int
    site: str | None = None
    service_provider: str | None = None
    create_billing_service: bool = False
    carrier_rate_plans: tuple[CarrierPlanChoice, ...] = ()
    customer_rate_plan: str | None = None
    effective_date: date | None = None
    reassign: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InstallationSettings:
    """What all engines of one database must agree on; it is kept in the database.

    Attributes:
        time_zone: IANA name of the business time zone, in which effective dates are calendar dates.
        settle_s: seconds to wait after an unknown outcome before billing is asked; None: what the engine's own settings
            say for its kind of billing.
        max_attempts: tries of a work order before it fails.
        max_age_h: hours after the first try from which a work order is not tried again.
        furthest_ahead_days: an effective date further ahead than this is blocked.
        iccid_as_number: a device without MSISDN is billed under its ICCID.
        abort_failed_percent: a job pauses when more than this share of its finished devices failed; 100: never.
        abort_least_done: devices of a job that must be finished before that share means anything.
        procedure_update_device_history_across_providers, procedure_mark_device_changes_complete,
            procedure_sync_device_service_links: stored procedures of the site, such as ``dbo.MarkComplete``, which are
            called with a job's handle when its run is finished, instead of the program's own statements; "": none.
    """

    time_zone: str = "UTC"
    settle_s: float | None = None
    max_attempts: int = 8
    max_age_h: int = 24
    furthest_ahead_days: int = 90
    iccid_as_number: bool = False
    abort_failed_percent: int = 25
    abort_least_done: int = 100
    procedure_update_device_history_across_providers: str = ""
    procedure_mark_device_changes_complete: str = ""
    procedure_sync_device_service_links: str = ""


class Severity(StrEnum):
    """What a finding means for its device."""

    BLOCKED = "blocked"  #: the device is not worked on; it gets a rejected work order
    WARNING = "warning"  #: the device is worked on; somebody should know


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict on one device, or (``line`` 0) on the request as a whole.

    Attributes:
        line: number of the line from 1; 0 for the request.
        asked_for: the line as it was asked.
        iccid: the device's ICCID; "" where no device was found.
        code: the rule, stable, upper case.
        severity: see :class:`Severity`.
        message: one sentence: what is the matter.
        what_to_do: one sentence: what a person can do.
        device_id: handle, or None.
    """

    line: int
    asked_for: str
    iccid: str
    code: str
    severity: Severity
    message: str
    what_to_do: str
    device_id: int | None = None


#: Titles of causes go on where "2 devices" ends; one device wants another form of their first word.
_SINGULAR = {
    "are": "is",
    "have": "has",
    "were": "was",
    "belong": "belongs",
    "wait": "waits",
    "keep": "keeps",
    "live": "lives",
    "move": "moves",
    "start": "starts",
    "need": "needs",
    "do": "does",
}


def title_for(count: int, title: str) -> str:
    """A cause's title as it goes on behind that many devices: "have no MSISDN", for one "has no MSISDN"."""
    first, space, rest = title.partition(" ")
    return f"{_SINGULAR.get(first, first)}{space}{rest}" if count == 1 else title


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """All findings of one rule.

    Attributes:
        code, severity: the rule.
        title: a short sentence without the count, such as "are owned by another customer".
        what_to_do: one sentence.
        count: devices (or 1 for the request).
        packed: :func:`pack`-ed handles of those devices that were found.
        lines: the line numbers.
    """

    code: str
    severity: Severity
    title: str
    what_to_do: str
    count: int
    packed: bytes = b""
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The answer of the check. ``ready + warnings + blocked`` is the number of devices that were asked for.

    Attributes:
        ready: devices without a finding.
        warnings: devices with warnings only.
        blocked: devices with at least one blocking finding; with a blocking finding on the request: all of them.
        fingerprint: of the request and of every verdict; submit stops if it has changed.
        findings: all of them, by line.
        groups: the same by cause, blocked first, then by count.
        duplicates: lines that named a device (or an identifier) named before; merged into the first.
        ready_ids, warning_ids, blocked_ids: :func:`pack`-ed handles, for a list that shows the verdicts.
    """

    ready: int
    warnings: int
    blocked: int
    fingerprint: str
    findings: tuple[Finding, ...] = ()
    groups: tuple[FindingGroup, ...] = ()
    duplicates: int = 0
    ready_ids: bytes = field(default=b"", repr=False)
    warning_ids: bytes = field(default=b"", repr=False)
    blocked_ids: bytes = field(default=b"", repr=False)

    @property
    def submittable(self) -> int:
        """Devices that a submit would work on."""
        return self.ready + self.warnings

    @property
    def request_blocked(self) -> bool:
        """Whether the request as a whole is refused."""
        return any(finding.line == 0 and finding.severity is Severity.BLOCKED for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Submitted:
    """Answer of a submit.

    Attributes:
        tracking_number: such as ``AJ-20261124-0042``.
        submitted: work orders that will be worked on.
        rejected: work orders of blocked devices.
        state: the job's state.
        is_new: False where the submission key was known: the job of the first submit is returned.
    """

    tracking_number: str
    submitted: int
    rejected: int
    state: str
    is_new: bool = True


#: Findings that may be gone once the device's billing services were re-read from billing.
REREAD_FINDINGS: frozenset[str] = frozenset(
    {
        "BILLED_TO_ANOTHER",
        "SEVERAL_BILLING_SERVICES",
        "SERVICE_OF_ANOTHER_CREDENTIAL",
        "BILLING_SERVICE_ENDED",
        "PACKAGE_NEEDS_NEW_SERVICE",
    }
)


class AtBilling(StrEnum):
    """What a re-read says of a billing service that the database has as active."""

    ACTIVE = "active"  #: billing has it as active too; nothing was changed
    ENDED = "ended"  #: it was ended at billing; from now on it is ended here too
    ABSENT = "absent"  #: billing does not list it where it should be; nothing was changed, a person looks it up there
    IN_WORK = "in_work"  #: a job is working on its device; nothing was changed


@dataclass(frozen=True, slots=True)
class RereadService:
    """One billing service of a device, re-read from billing. Texts are "" where nothing is known.

    Attributes:
        iccid, service_provider: of its device.
        service_id: billing's id.
        customer: whom the database has it billed to.
        at_billing: see :class:`AtBilling`.
        tracking_number: of the job that is working on the device, for ``IN_WORK``.
    """

    iccid: str
    service_provider: str
    service_id: str
    customer: str
    number: str
    at_billing: AtBilling
    tracking_number: str = ""


@dataclass(frozen=True, slots=True)
class OrphanService:
    """A service that is active at billing under a device's number, and not so in the database. It is never adopted."""

    iccid: str
    service_id: str
    number: str
    reference: str


@dataclass(frozen=True, slots=True)
class Reread:
    """Answer of a re-read from billing.

    Attributes:
        services: those that the database had as active, by device; none of a customer that may not be worked for.
        orphans: what a person should look at besides.
        not_permitted: how many services were left alone since the operator may not associate for their customers.
    """

    services: tuple[RereadService, ...] = ()
    orphans: tuple[OrphanService, ...] = ()
    not_permitted: int = 0

    def count(self, at_billing: AtBilling) -> int:
        """How many services billing says this of."""
        return sum(1 for service in self.services if service.at_billing is at_billing)

    @property
    def is_whole(self) -> bool:
        """Whether billing was asked for every service, and could tell of each."""
        told = self.count(AtBilling.ACTIVE) + self.count(AtBilling.ENDED)
        return told == len(self.services) and not self.not_permitted


class Proof(StrEnum):
    """What one proof says."""

    YES = "yes"
    NO = "no"
    KEPT = "kept"
    SCHEDULED = "scheduled"
    NOT_REQUESTED = "not requested"


@dataclass(frozen=True, slots=True)
class Proofs:
    """The seven proofs of one device of a job, in the order of the export."""

    device_found: Proof
    operator_permitted: Proof
    billing_service_created: Proof
    ownership_updated: Proof
    rate_plans_assigned: Proof
    history_recorded: Proof
    processing_completed: Proof
