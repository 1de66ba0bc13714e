"""From the request to the job: check, submit, retry, behind the desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from db import operators, restoring, retrying
from db.counters import Counters
from db.facts import Facts
from db.finishing import write_log
from db.master_data import MasterData
from db.submission import Submission
from desktop_app.association.check import CheckOutcome, check, refuse_blocked, refuse_blocked_request
from desktop_app.association.errors import Problem, RequestRefused
from desktop_app.association.facts import AskedDevice, OperatorRights, ReadLine, Right
from desktop_app.association.identifiers import (
    LONGEST_LINE,
    ReadLines,
    Unreadable,
    read_line,
    read_lines,
    refuse_unreadable,
)
from desktop_app.association.locating import Locator, NotLocated
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    BillingAction,
    CheckReport,
    DeviceSelection,
    FilteredDevices,
    PickedDevices,
    Submitted,
    pack,
    unpack,
)
from desktop_app.association.ports import DeviceIsTaken, FailedOrder
from desktop_app.association.recheck import Rechecked, recheck, renewed, request_of
from desktop_app.association.request import RequestFacts, find_provider, resolve
from desktop_app.association.states import JobState
from desktop_app.association.work_orders import Instructions, build, instructions_for
from desktop_app.desk.collector import collector_at_rest
from desktop_app.desk.jobs import frozen_instructions
from desktop_app.desk.protocol import IsCancelled, Located, LocatedLine, Retried, never
from desktop_app.desk.seat import Seat, job_not_found

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

T = TypeVar("T")

#: How often a submit is done again when another job takes one of its devices at the same moment.
_MOST_TRIES = 5
_MARK_LETTERS = "23456789abcdefghjkmnpqrstvwxyz"


#: A million objects that are freed in one go hold every other thread up.
_FREED_AT_ONCE = 10_000


def check_request(seat: Seat, request: AssociationRequest, cancelled: IsCancelled = never) -> CheckReport:
    """Every rule on every device, all findings at once; changes nothing.

    Raises:
        RequestRefused: no device, a line that cannot be read, an unknown customer, site, service provider or plan.
        Cancelled: ``cancelled`` said so.
    """
    with collector_at_rest(), seat.store.read() as uow:
        outcome = _check(uow, seat, request, cancelled)
        report, verdicts = outcome.report, list(outcome.verdicts)
        del outcome
        while verdicts:
            del verdicts[-_FREED_AT_ONCE:]
        return report


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
    try:
        refuse_blocked(outcome.report)
        _refuse_changed(outcome.report, fingerprint)
    except RequestRefused:
        # What has changed may be that the same submit came from elsewhere at the same moment, and was faster.
        first = submission.submitted(submission_key)
        if first is not None:
            return first
        raise
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


# --- retry -----------------------------------------------------------------------------------------------------------


def retry_job(seat: Seat, tracking_number: str, error_code: str = "") -> Retried:
    """Checks again what failed, was rejected or was cancelled, and queues what passes under the same tracking number.

    Args:
        error_code: only what has this error; "": all of it.

    What the check does not let through stays what it is, with the finding as its error. What is settled at billing is
    kept: no service is made twice.

    Raises:
        NotFound: there is no such job, or it may not be seen.
        RequestRefused: no right; the job is just being finished, or cancelled; what it asked for cannot be read; the
            request as a whole is blocked now; the database was restored so shortly ago that billing's search cannot
            be trusted yet.
    """
    with collector_at_rest():
        return _until_not_taken(lambda: seat.store.run(lambda uow: _retry(uow, seat, tracking_number, error_code)))


def _retry(uow: UnitOfWork, seat: Seat, tracking_number: str, error_code: str) -> Retried:
    rights = seat.rights(uow)
    job = retrying.find_job(uow, tracking_number)
    if job is None or not rights.may(Right.VIEW, job.customer_id):
        raise job_not_found(tracking_number)
    if job.state is JobState.FINISHING:
        raise RequestRefused("JOB_FINISHING", f"Job {tracking_number} is just being finished.", "Retry it in a moment.")
    if job.cancel_requested and not job.is_over:
        raise RequestRefused(
            "JOB_BEING_CANCELLED",
            f"Job {tracking_number} is being cancelled: what is queued in it now would be cancelled at once.",
            "Wait until it is over (calls in flight end, unknown outcomes are settled), then retry it.",
        )
    orders = retrying.failed_orders(uow, job.job_id, error_code)
    if not orders:
        return Retried(tracking_number, 0, 0, job.run_no)
    frozen = frozen_instructions(tracking_number, job.instructions)
    request = request_of(frozen, MasterData(uow), rights, uow.settings(), uow.today())
    refuse_blocked_request(request)
    instructions = renewed(frozen, request)
    if not job.is_over and instructions != frozen:
        raise RequestRefused(
            "JOB_STILL_RUNNING",
            f"What job {tracking_number} rests on (customer, site, plans or billing credential) was changed since it "
            "was submitted, and it is still running on what was there then.",
            "Wait until it is finished, then retry it.",
        )
    checked = recheck(request, _again(uow, orders), instructions, tracking_number)
    _refuse_just_restored(uow, job, checked)
    return _requeue(uow, seat, rights, job, instructions, checked)


def _refuse_just_restored(uow: UnitOfWork, job: retrying.RetriedJob, checked: Rechecked) -> None:
    """What the job of a restored backup orders may be at billing already, and not be found there yet."""
    if all(draft.billing_action in {None, BillingAction.NONE} for _order, draft in checked.passed):
        return
    until = restoring.not_found_before(uow, job.job_id)
    if until is not None:
        raise RequestRefused(
            "JUST_RESTORED",
            f"The database is a restored backup, and devices of job {job.tracking_number} may have been billed since "
            f"it was made: that they are not to be found at billing says nothing before {until:%Y-%m-%d %H:%M:%S} UTC. "
            "Nothing was queued.",
            "Retry it then: billing is asked before anything is ordered.",
        )


def _again(uow: UnitOfWork, orders: Sequence[FailedOrder]) -> list[tuple[FailedOrder, AskedDevice]]:
    """The work orders with what the database has for them now: by handle, or by line where no device was found."""
    facts = Facts(uow)
    by_handle = [order for order in orders if order.device_id is not None]
    known = facts.picked([order.device_id or 0 for order in by_handle], never)
    found = {
        order.line: asked._replace(line=order.line, asked_for=order.asked_for)
        for order, asked in zip(by_handle, known, strict=True)
    }
    lines = [
        ReadLine(order.line, order.asked_for, identifier)
        for order in orders
        if order.device_id is None and not isinstance(identifier := read_line(order.asked_for), Unreadable)
    ]
    found |= {asked.line: asked for asked in facts.asked(lines, never)}
    return [(order, found.get(order.line, AskedDevice(order.line, order.asked_for, None, ()))) for order in orders]


def _requeue(
    uow: UnitOfWork,
    seat: Seat,
    rights: OperatorRights,
    job: retrying.RetriedJob,
    instructions: Instructions,
    checked: Rechecked,
) -> Retried:
    requeued, blocked = len(checked.passed), len(checked.blocked)
    counters = Counters()
    retrying.queue_again(uow, counters, job.job_id, checked.passed)
    retrying.tell_again(uow, job.job_id, checked.blocked)
    run_no = job.run_no
    if requeued and not job.is_over:
        retrying.hold_open(uow, job)
    elif requeued:
        plan = instructions.customer_rate_plan
        run_no = retrying.reopen(
            uow,
            job,
            instructions.to_document(),
            account_number=instructions.account_number,
            data_limit_bytes=None if plan is None else plan.data_limit_bytes,
            data_pool=None if plan is None else plan.data_pool,
        )
    counts = {"requeued": requeued, "still_blocked": blocked, "run_no": run_no}
    write_log(
        uow,
        job.job_id,
        run_no,
        "retried",
        f"Retried by {rights.login}: {requeued:,} devices queued again, {blocked:,} still blocked by the check.",
        data=counts,
    )
    operators.audit(uow, rights, seat.acting, "retry", job.tracking_number, counts)
    if requeued:
        counters.write(uow)
    else:
        retrying.tell_of(uow, job.job_id)
    return Retried(job.tracking_number, requeued, blocked, run_no)


# --- shared ----------------------------------------------------------------------------------------------------------


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
        "Other jobs keep taking these devices at this very moment. Nothing was done.",
        "Wait a moment, look at the check again, then try again.",
    )


def _mark() -> str:
    """What ends the references of one job. Thirty bits of chance, and no letter that is mistaken for another."""
    return "".join(secrets.choice(_MARK_LETTERS) for _ in range(6))


def _check(uow: UnitOfWork, seat: Seat, request: AssociationRequest, cancelled: IsCancelled) -> CheckOutcome:
    rights = seat.rights(uow)
    facts = resolve(request, MasterData(uow), rights, uow.settings(), uow.today())
    asked, duplicates = _devices(uow, request.devices, facts, cancelled)
    return check(facts, _one_by_one(asked), duplicates, cancelled)


def _one_by_one(asked: list[AskedDevice]) -> Iterator[AskedDevice]:
    """The devices in their order, each of them let go with the next: see :data:`_FREED_AT_ONCE`."""
    asked.reverse()
    while asked:
        yield asked.pop()


def _devices(
    uow: UnitOfWork, selection: DeviceSelection, request: RequestFacts, cancelled: IsCancelled
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
            return facts.asked(read.asked, cancelled, request.service_providers_asked), read.duplicates
        case PickedDevices(packed):
            asked = facts.picked(unpack(packed), cancelled)
        case FilteredDevices(wanted, minus):
            asked = facts.filtered(wanted, unpack(minus), request.operator.visible_customers, cancelled)
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
        asked = Facts(uow).asked(read.asked, cancelled, locator.fits)
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
        one._replace(candidates=tuple([device for device in one.candidates if device.situation.owner_id in seen]))
        for one in asked
    )


def _problem_line(
    line: int, asked_for: str, code: str, message: str, what_to_do: str, candidates: tuple[str, ...] = ()
) -> LocatedLine:
    return LocatedLine(line, asked_for, Problem(code, message, what_to_do), None, candidates)


def _duplicate(line: int, asked_for: str, first: int, device_id: int | None) -> LocatedLine:
    problem = Problem("DUPLICATE", f"It is the device of line {first}.", "Nothing: it is taken once.")
    return LocatedLine(line, asked_for, problem, device_id)
