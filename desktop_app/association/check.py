"""Phase 2, the check: every rule on every device, all findings at once. It changes nothing.

What it says has a fingerprint. Submit checks again and goes on only where the fingerprint is still the same: the count
that was shown is the count that is submitted.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from desktop_app.association.errors import Cancelled, RequestRefused
from desktop_app.association.facts import AskedDevice, DeviceFacts, RatePlanFacts, Situation
from desktop_app.association.locating import NOT_LOCATED_TITLES, Locator, NotLocated
from desktop_app.association.model import (
    BillingAction,
    CheckReport,
    Finding,
    FindingGroup,
    Identifier,
    OwnershipAction,
    Severity,
)
from desktop_app.association.request import RequestFacts
from desktop_app.association.request_rules import REQUEST_RULES
from desktop_app.association.rules import DEVICE_RULES, About, Case, Odd, oddity

#: Devices between two questions whether the caller still wants the answer.
_CHUNK = 5_000


class Settled(NamedTuple):
    """What an earlier run of the same work order settled at billing: it stays, and is not looked at as one from before.

    Attributes:
        billing_service_id: handle of the billing service that it made or kept.
        billing: whether it made or kept it.
        effective_date: from when it is billed.
    """

    billing_service_id: int
    billing: BillingAction
    effective_date: date | None


class Ruling(NamedTuple):
    """What the rules say of a case: one for all devices of which the case is the same.

    Attributes:
        case: which.
        broken: place in the table and message of each rule that is broken, blocking ones first.
        billing_service_id: see :class:`Verdict`.
        signature: one line that two rulings share only where nothing else would be done; for the fingerprint.
    """

    case: Case
    broken: tuple[tuple[int, str], ...]
    billing_service_id: int | None
    signature: str

    @property
    def blocked(self) -> bool:
        """Whether a device of this case cannot be worked on."""
        return bool(self.broken) and DEVICE_RULES[self.broken[0][0]].severity is Severity.BLOCKED


class Verdict(NamedTuple):
    """What the check says of one device that was asked for.

    Attributes:
        line, asked_for: as asked; of several lines that name the same device the first.
        identifier: None: picked from a list.
        device: None: there is not exactly one.
        findings: blocking ones first where a device has both.
        ruling: what the rules say of it; None where there is no device.
    """

    line: int
    asked_for: str
    identifier: Identifier | None
    device: DeviceFacts | None
    findings: tuple[Finding, ...]
    ruling: Ruling | None

    @property
    def blocked(self) -> bool:
        """Whether it cannot be worked on."""
        return self.ruling is None or self.ruling.blocked

    @property
    def effective_date(self) -> date | None:
        """From when; None: it is not known."""
        return None if self.ruling is None else self.ruling.case.effective_date

    @property
    def ownership(self) -> OwnershipAction | None:
        """What is to be done to its ownership; None where there is no device."""
        return None if self.ruling is None else self.ruling.case.ownership

    @property
    def billing(self) -> BillingAction | None:
        """What is to be done at billing; None where there is no device."""
        return None if self.ruling is None else self.ruling.case.billing

    @property
    def carrier_plan(self) -> RatePlanFacts | None:
        """The carrier rate plan to be added; None: none is."""
        return None if self.ruling is None else self.ruling.case.carrier_plan

    @property
    def billing_service_id(self) -> int | None:
        """Handle of the billing service that is kept, or was made by an earlier run; None: none is."""
        return None if self.ruling is None else self.ruling.billing_service_id


#: A verdict of its six values: half the time of a call, which counts where there are a hundred thousand.
_verdict: Callable[[tuple[Any, ...]], Verdict] = partial(tuple.__new__, Verdict)


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The whole of the check: what is shown, and what the work order builder needs.

    Attributes:
        report: the answer for people.
        request: what was checked.
        verdicts: one for each device that was asked for, by line.
    """

    report: CheckReport
    request: RequestFacts
    verdicts: tuple[Verdict, ...]


def check(
    request: RequestFacts,
    asked: Iterable[AskedDevice],
    duplicates: Sequence[tuple[int, int]] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> CheckOutcome:
    """Checks a request.

    Args:
        request: resolved.
        asked: the devices, by line.
        duplicates: (line, first line) of lines that were merged before, since they say the same.
        cancelled: asked now and then.

    Raises:
        Cancelled: ``cancelled`` said so.
    """
    judge = Judge(request)
    verdicts: list[Verdict] = []
    first_lines: dict[int, int] = {}
    merged = list(duplicates)
    for number, one in enumerate(asked):
        if number % _CHUNK == 0 and cancelled():
            raise Cancelled
        verdict = judge.asked(one)
        if verdict.device is not None:
            first = first_lines.setdefault(verdict.device.device_id, one.line)
            if first != one.line:
                merged.append((one.line, first))
                continue
        verdicts.append(verdict)
    report = _report(request, judge.request_findings(), verdicts, sorted(merged))
    return CheckOutcome(report, request, tuple(verdicts))


def refuse_blocked(report: CheckReport) -> None:
    """Raises where the request as a whole cannot be submitted.

    Raises:
        RequestRefused: it has a blocking finding on the request; the error tells all of them.
    """
    _refuse([finding for finding in report.findings if finding.line == 0 and finding.severity is Severity.BLOCKED])


def refuse_blocked_request(request: RequestFacts) -> None:
    """The same, before any device is looked at.

    Raises:
        RequestRefused: as for :func:`refuse_blocked`.
    """
    _refuse(Judge(request).request_findings())


def _refuse(blocking: Sequence[Finding]) -> None:
    if blocking:
        message = " ".join(finding.message for finding in blocking)
        raise RequestRefused(blocking[0].code, message, blocking[0].what_to_do)


# --- one device ------------------------------------------------------------------------------------------------------


class Judge:
    """Applies the rules of one request to devices."""

    def __init__(self, request: RequestFacts) -> None:
        self._request = request
        self._customer_id = request.customer.customer_id
        self._site_id = None if request.site is None else request.site.site_id
        self._locator = Locator(request.service_providers, request.service_provider)
        self._fits = self._locator.fits
        self._billing = BillingAction.CREATE if request.create_billing_service else BillingAction.NONE
        self._rules = {
            (has_owner, has_services): _rules_about(
                request,
                About.DEVICE,
                *((About.OWNER,) if has_owner else ()),
                *((About.SERVICES,) if has_services else ()),
            )
            for has_owner in (False, True)
            for has_services in (False, True)
        }
        # By the situation's address, which is faster than by its dozen values: a ruling keeps its situation alive.
        self._rulings: dict[tuple[int, bool, Odd | None, Settled | None], Ruling] = {}

    def request_findings(self) -> list[Finding]:
        """Findings on the request as a whole."""
        return [
            Finding(0, "", "", rule.code, Severity.BLOCKED, message, rule.what_to_do)
            for rule in REQUEST_RULES
            if (message := rule.broken(self._request)) is not None
        ]

    def asked(self, asked: AskedDevice, settled: Settled | None = None) -> Verdict:
        """The verdict on a device that was asked for.

        Args:
            settled: by an earlier run of the same work order.
        """
        line, asked_for, identifier, candidates = asked
        if len(candidates) == 1 and candidates[0].situation.service_provider_id in self._fits:
            device = candidates[0]  # as nearly all of them are: nothing has to be chosen
        else:
            located = self._locator.locate(asked)
            if isinstance(located, NotLocated):
                code, message, what_to_do = located
                finding = Finding(line, asked_for, "", code, Severity.BLOCKED, message, what_to_do)
                return Verdict(line, asked_for, identifier, None, (finding,), None)
            device = located
        odd = None if identifier is None or identifier.warning is None else oddity(identifier, device)
        situation, has_msisdn = device.situation, bool(device.msisdn)
        key = (id(situation), has_msisdn, odd, settled)
        ruling = self._rulings.get(key)
        if ruling is None:
            ruling = self._rulings[key] = self._ruling(situation, has_msisdn, odd, settled)
        findings = _findings(line, asked_for, device, ruling.broken) if ruling.broken else ()
        return _verdict((line, asked_for, identifier, device, findings, ruling))

    def _ruling(self, device: Situation, has_msisdn: bool, odd: Odd | None, settled: Settled | None) -> Ruling:
        request = self._request
        settled_id = None if settled is None else settled.billing_service_id
        others = [service for service in device.services if service.billing_service_id != settled_id]
        own = tuple([service for service in others if service.customer_id == self._customer_id])
        foreign = tuple([service for service in others if service.customer_id != self._customer_id])
        billing = self._billing
        effective_date = request.effective_date or device.activated_on
        if settled is not None:
            billing, effective_date = settled.billing, settled.effective_date
        elif own and billing is BillingAction.CREATE:
            billing = BillingAction.KEEP
        case = Case(
            device,
            has_msisdn,
            odd,
            effective_date,
            self._ownership(device),
            billing,
            own,
            foreign,
            request.carrier_rate_plans.get(device.service_provider_id),
            settled_id,
        )
        rules = self._rules[device.owner_id is not None, bool(device.services) or settled is not None]
        broken = tuple([(rank, message) for rank, is_broken in rules if (message := is_broken(case, request))])
        kept = own and billing is BillingAction.KEEP and settled is None
        billing_service_id = own[0].billing_service_id if kept else settled_id
        return Ruling(case, broken, billing_service_id, _signature(case, broken, billing_service_id))

    def _ownership(self, device: Situation) -> OwnershipAction:
        if device.owner_id is None:
            return OwnershipAction.ASSIGN
        if device.owner_id != self._customer_id:
            return OwnershipAction.REASSIGN
        return OwnershipAction.KEEP if device.owner_site_id == self._site_id else OwnershipAction.MOVE


def _rules_about(request: RequestFacts, *about: About) -> list[tuple[int, Callable[[Case, RequestFacts], str | None]]]:
    """The rules that mean anything for this request, each with its place in the table."""
    return [
        (rank, rule.broken) for rank, rule in enumerate(DEVICE_RULES) if rule.about in about and rule.applies(request)
    ]


def _findings(line: int, asked_for: str, device: DeviceFacts, broken: Sequence[tuple[int, str]]) -> tuple[Finding, ...]:
    return tuple(
        [
            Finding(
                line,
                asked_for,
                device.iccid,
                rule.code,
                rule.severity,
                message,
                rule.what_to_do,
                device.device_id,
            )
            for rule, message in ((DEVICE_RULES[rank], message) for rank, message in broken)
        ]
    )


_TITLES = (
    NOT_LOCATED_TITLES
    | {rule.code: rule.title for rule in REQUEST_RULES}
    | {rule.code: rule.title for rule in DEVICE_RULES}
)
_RANK = {code: rank for rank, code in enumerate(_TITLES)}


# --- the report ------------------------------------------------------------------------------------------------------


def _report(
    request: RequestFacts,
    on_request: Sequence[Finding],
    verdicts: Sequence[Verdict],
    duplicates: Sequence[tuple[int, int]],
) -> CheckReport:
    all_blocked = bool(on_request)
    ready_ids, warning_ids, blocked_ids = array("q"), array("q"), array("q")
    findings = list(on_request)
    blocked = warnings = 0
    for verdict in verdicts:
        on_device = verdict.findings
        if all_blocked or (on_device and verdict.blocked):
            blocked += 1
            ids = blocked_ids
        elif on_device:
            warnings += 1
            ids = warning_ids
        else:
            ids = ready_ids
        if on_device:
            findings.extend(on_device)
        if verdict.device is not None:
            ids.append(verdict.device.device_id)
    return CheckReport(
        ready=len(verdicts) - blocked - warnings,
        warnings=warnings,
        blocked=blocked,
        fingerprint=fingerprint(request, on_request, verdicts),
        findings=tuple(findings),
        groups=_groups(findings),
        duplicates=len(duplicates),
        ready_ids=ready_ids.tobytes(),
        warning_ids=warning_ids.tobytes(),
        blocked_ids=blocked_ids.tobytes(),
    )


def _groups(findings: Iterable[Finding]) -> tuple[FindingGroup, ...]:
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    groups = [
        FindingGroup(
            code=code,
            severity=same[0].severity,
            title=_TITLES[code],
            what_to_do=same[0].what_to_do,
            count=len(same),
            packed=array("q", [f.device_id for f in same if f.device_id is not None]).tobytes(),
            lines=tuple([finding.line for finding in same if finding.line]),
        )
        for code, same in by_code.items()
    ]
    groups.sort(
        key=lambda group: (group.severity is not Severity.BLOCKED, bool(group.lines), -group.count, _RANK[group.code])
    )
    return tuple(groups)


def fingerprint(request: RequestFacts, on_request: Sequence[Finding], verdicts: Iterable[Verdict]) -> str:
    """Of what was asked and of every verdict: 64 hexadecimal digits, the same in every process.

    The order of the lines, and the reason, do not count: they change nothing that is done.
    """
    asked = (
        request.customer.customer_id,
        request.site.site_id if request.site else None,
        request.service_provider.service_provider_id if request.service_provider else None,
        request.create_billing_service,
        sorted(plan.rate_plan_id for plan in request.carrier_rate_plans.values()),
        request.customer_rate_plan.rate_plan_id if request.customer_rate_plan else None,
        request.credential.billing_credential_id if request.credential else None,
        str(request.effective_date),
        request.reassign,
        [finding.code for finding in on_request],
    )
    devices: dict[str, list[int]] = defaultdict(list)  # by what is done with them
    lines: list[str] = []  # that name no device
    for _line, asked_for, identifier, device, findings, ruling in verdicts:
        if device is None or ruling is None:
            who = asked_for if identifier is None else ":".join(identifier[:2])
            lines.append(f"{who}|{findings[0].code}")
        else:
            devices[ruling.signature].append(device.device_id)
    digest = sha256(repr(asked).encode())
    for signature in sorted(devices):
        digest.update(f"\n{signature}\n".encode())
        ids = sorted(devices[signature])
        for first in range(0, len(ids), _CHUNK):  # a million in one call would hold every other thread up
            joined = ",".join(map(str, ids[first : first + _CHUNK]))
            digest.update(f"{',' if first else ''}{joined}".encode())
    digest.update("\n".join(["", *sorted(lines)]).encode())
    return digest.hexdigest()


def _signature(case: Case, broken: Sequence[tuple[int, str]], billing_service_id: int | None) -> str:
    day, plan = case.effective_date, case.carrier_plan
    numbers = (
        case.device.owner_id,
        billing_service_id,
        None if day is None else day.toordinal(),
        None if plan is None else plan.rate_plan_id,
    )
    codes = ",".join([DEVICE_RULES[rank].code for rank, _message in broken])
    return f"{numbers}|{codes}|{case.ownership}|{case.billing}"
