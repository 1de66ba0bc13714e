"""From the request to the job: check, submit, retry, behind the desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from db import operators
from db.facts import Facts
from db.master_data import MasterData
from db.submission import Submission
from desktop_app.association.check import CheckOutcome, check, refuse_blocked
from desktop_app.association.errors import Problem, RequestRefused
from desktop_app.association.facts import AskedDevice, OperatorRights
from desktop_app.association.identifiers import LONGEST_LINE, ReadLines, read_lines, refuse_unreadable
from desktop_app.association.locating import Locator, NotLocated
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CheckReport,
    DeviceSelection,
    FilteredDevices,
    PickedDevices,
    Submitted,
    pack,
    unpack,
)
from desktop_app.association.ports import DeviceIsTaken
from desktop_app.association.request import find_provider, resolve
from desktop_app.association.work_orders import build, instructions_for
from desktop_app.desk.collector import collector_at_rest
from desktop_app.desk.protocol import IsCancelled, Located, LocatedLine, never
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

T = TypeVar("T")

#: How often a submit is done again when another job takes one of its devices at the same moment.
_MOST_TRIES = 5
_MARK_LETTERS = "23456789abcdefghjkmnpqrstvwxyz"


def check_request(seat: Seat, request: AssociationRequest, cancelled: IsCancelled = never) -> CheckReport:
    """Every rule on every device, all findings at once; changes nothing.

    Raises:
        RequestRefused: no device, a line that cannot be read, an unknown customer, site, service provider or plan.
        Cancelled: ``cancelled`` said so.
    """
    with collector_at_rest(), seat.store.read() as uow:
        return _check(uow, seat, request, cancelled).report


def submit_request(seat: Seat, request: AssociationRequest, fingerprint: str, submission_key: str) -> Submitted:
    """Checks again and registers the job, all or nothing.

    Args:
        fingerprint: of the check whose count was shown.
        submission_key: made by the caller, once for each intention, at most 64 characters; the same key again returns
            the first job.

    Raises:
        RequestRefused: as for :func:`check_request`; a finding that blocks the request as a whole; ``CHECK_CHANGED``
            where the check says something else now than the one that was shown.
    """
    if not 0 < len(submission_key) <= 64:
        raise RequestRefused(
            "SUBMISSION_KEY_INVALID", "A submission key has 1 to 64 characters.", "Make a new one for this submit."
        )
    with seat.store.read() as uow:
        first = Submission(uow).submitted(submission_key)
    if first is not None:
        return first
    tracking_number = seat.store.run(lambda uow: Submission(uow).next_tracking_number())
    with collector_at_rest():
        return _until_not_taken(
            lambda: seat.store.run(
                lambda uow: _submit(uow, seat, request, fingerprint, submission_key, tracking_number)
            )
        )


def _submit(
    uow: UnitOfWork,
    seat: Seat,
    request: AssociationRequest,
    fingerprint: str,
    submission_key: str,
    tracking_number: str,
) -> Submitted:
    submission = Submission(uow)
    first = submission.submitted(submission_key)
    if first is not None:
        return first
    outcome = _check(uow, seat, request, never)
    refuse_blocked(outcome.report)
    _refuse_changed(outcome.report, fingerprint)
    rights = outcome.request.operator
    acting = seat.acting or rights.login
    instructions = instructions_for(outcome.request, acting, _mark())
    submitted = submission.register(build(outcome, instructions, tracking_number, submission_key))
    operators.audit(
        uow,
        rights,
        seat.acting,
        "reassign" if request.reassign else "submit",
        tracking_number,
        {
            "customer": outcome.request.customer.account_number or outcome.request.customer.name,
            "submitted": submitted.submitted,
            "rejected": submitted.rejected,
            "reason": outcome.request.reason,
        },
    )
    return submitted


def _refuse_changed(report: CheckReport, fingerprint: str) -> None:
    if report.fingerprint != fingerprint:
        raise RequestRefused(
            "CHECK_CHANGED",
            f"The check says something else now: {report.ready:,} ready, {report.warnings:,} with a warning "
            f"and {report.blocked:,} blocked. Nothing was submitted.",
            "Look at the check again, then submit what it shows now.",
        )


def _until_not_taken(work: Callable[[], T]) -> T:
    """Does the work again where another job took one of its devices meanwhile; the check then says so."""
    for _ in range(_MOST_TRIES):
        try:
            return work()
        except DeviceIsTaken:
            continue
    raise RequestRefused(
        "DEVICES_BUSY",
        "Other jobs keep taking these devices at this very moment. Nothing was submitted.",
        "Wait a moment, look at the check again, then submit what it shows.",
    )


def _mark() -> str:
    """What ends the references of one job. Thirty bits of chance, and no letter that is mistaken for another."""
    return "".join(secrets.choice(_MARK_LETTERS) for _ in range(6))


def _check(uow: UnitOfWork, seat: Seat, request: AssociationRequest, cancelled: IsCancelled) -> CheckOutcome:
    rights = seat.rights(uow)
    facts = resolve(request, MasterData(uow), rights, uow.settings(), uow.today())
    asked, duplicates = _devices(uow, request.devices, rights, cancelled)
    return check(facts, asked, duplicates, cancelled)


def _devices(
    uow: UnitOfWork, selection: DeviceSelection, rights: OperatorRights, cancelled: IsCancelled
) -> tuple[list[AskedDevice], tuple[tuple[int, int], ...]]:
    """The devices of a selection, and the lines that were merged since they say the same.

    Raises:
        RequestRefused: there is none, or a line cannot be read.
    """
    facts = Facts(uow)
    asked: list[AskedDevice]
    match selection:
        case AskedLines(lines):
            read = read_lines(lines)
            refuse_unreadable(read)
            return facts.asked(read.asked, cancelled), read.duplicates
        case PickedDevices(packed):
            asked = facts.picked(unpack(packed), cancelled)
        case FilteredDevices(wanted, minus):
            asked = facts.filtered(wanted, unpack(minus), rights.visible_customers, cancelled)
    if not asked:
        raise RequestRefused("NO_DEVICES", "No device was chosen.", "Choose at least one device.")
    return asked, ()


# --- lines, before there is a request --------------------------------------------------------------------------------


def locate_lines(
    seat: Seat, lines: Sequence[str], service_provider: str | None = None, cancelled: IsCancelled = never
) -> Located:
    """Finds devices by pasted or imported lines. Bad lines are answered, not raised.

    Args:
        service_provider: code or name; None: each device's only one.

    Raises:
        NotFound: there is no such service provider.
        Cancelled: ``cancelled`` said so.
    """
    with collector_at_rest():
        return _locate(seat, read_lines(lines), lines, service_provider, cancelled)


def _locate(
    seat: Seat, read: ReadLines, lines: Sequence[str], service_provider: str | None, cancelled: IsCancelled
) -> Located:
    problems = [_problem_line(line, text, "UNREADABLE", *why[1:]) for line, text, why in read.unreadable]
    with seat.store.read() as uow:
        visible = seat.rights(uow).visible_customers
        providers = MasterData(uow).service_providers()
        wanted = None if service_provider is None else find_provider(service_provider, providers)
        locator = Locator({provider.service_provider_id: provider for provider in providers}, wanted)
        asked = Facts(uow).asked(read.asked, cancelled)
    first_lines: dict[int, int] = {}
    found_by_line: dict[int, int] = {}
    for one in asked if visible is None else _only_visible(asked, visible):
        found = locator.locate(one)
        if isinstance(found, NotLocated):
            code = "AMBIGUOUS" if found.code == "AMBIGUOUS" else "NOT_FOUND"
            candidates = locator.providers_of(one) if code == "AMBIGUOUS" else ()
            problems.append(_problem_line(one.line, one.asked_for, code, found.message, found.what_to_do, candidates))
            continue
        found_by_line[one.line] = found.device_id
        first = first_lines.setdefault(found.device_id, one.line)
        if first != one.line:
            problems.append(_duplicate(one.line, one.asked_for, first, found.device_id))
    problems += [
        _duplicate(line, lines[line - 1].strip()[:LONGEST_LINE], first, found_by_line.get(first))
        for line, first in read.duplicates
    ]
    problems.sort(key=lambda problem: problem.line)
    asked_lines = len(read.asked) + len(read.duplicates) + len(read.unreadable)
    return Located(asked_lines, pack(first_lines), tuple(problems))


def _only_visible(asked: Iterable[AskedDevice], customers: frozenset[int]) -> Iterator[AskedDevice]:
    seen = {None, *customers}
    return (
        one._replace(candidates=tuple([device for device in one.candidates if device.owner_id in seen]))
        for one in asked
    )


def _problem_line(
    line: int, asked_for: str, code: str, message: str, what_to_do: str, candidates: tuple[str, ...] = ()
) -> LocatedLine:
    return LocatedLine(line, asked_for, Problem(code, message, what_to_do), None, candidates)


def _duplicate(line: int, asked_for: str, first: int, device_id: int | None) -> LocatedLine:
    problem = Problem("DUPLICATE", f"It is the device of line {first}.", "Nothing: it is taken once.")
    return LocatedLine(line, asked_for, problem, device_id)
