"""Steering jobs: pause, resume, cancel, settle an unknown outcome; by a person, or by an engine that cannot go on.

Each is a compare-and-set on the job's state, so that every engine obeys it from its next claim on, and it outlasts any
restart. Work in flight is never broken off: a call that was sent is waited for and recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, exists, false, func, or_, select, true, update

from db.counters import Counters
from db.finishing import write_log
from db.schema import billing_credential, billing_service, job, work_order, work_order_step
from db.work import left_alone, parts, record_services
from desktop_app.association.errors import ASKED_IN_VAIN, NUMBER_TAKEN, NotFound, RequestRefused
from desktop_app.association.model import BillingAction
from desktop_app.association.states import JobState, PauseCause, Step, StepState, WorkOrderState, jobs_before

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_wo = work_order.c
_RUNNABLE = jobs_before(JobState.PAUSED)
#: Pauses that end by themselves.
_OWN_PAUSES = (PauseCause.ENVIRONMENT, PauseCause.QUOTA)


def pause_job(uow: UnitOfWork, tracking_number: str, by: str) -> None:
    """No further work order of the job is begun; calls in flight finish. Only a person ends it.

    A job that paused itself is from now on paused by the person.

    Args:
        by: login, for the job log.

    Raises:
        NotFound: there is no such job.
        RequestRefused: it is over, or paused by a person already.
    """
    job_id = _find(uow, tracking_number)
    paused = uow.connection.execute(
        update(job)
        .where(
            job.c.id == job_id,
            job.c.state.in_((*_RUNNABLE, JobState.PAUSED)),
            func.coalesce(job.c.pause_cause, "") != PauseCause.OPERATOR,
        )
        .values(
            state=JobState.PAUSED,
            pause_cause=PauseCause.OPERATOR,
            pause_reason=f"Paused by {by}."[:400],
            resume_at=None,
            changed_at=uow.now(),
            revision=job.c.revision + 1,
        )
    ).rowcount
    if not paused:
        raise _not_now(uow, job_id, "paused")
    write_log(uow, job_id, _run_no(uow, job_id), "paused", f"Paused by {by}.")


def resume_job(uow: UnitOfWork, tracking_number: str, by: str) -> None:
    """Ends a pause of any cause.

    Raises:
        NotFound: there is no such job.
        RequestRefused: it is not paused.
    """
    job_id = _find(uow, tracking_number)
    if not _resume(uow, job_id):
        raise _not_now(uow, job_id, "resumed")
    write_log(uow, job_id, _run_no(uow, job_id), "resumed", f"Resumed by {by}.")


def cancel_job(uow: UnitOfWork, tracking_number: str, by: str) -> int:
    """Cancels what is not begun. What was done stays done, calls in flight finish, unknown outcomes are still resolved.

    Returns:
        How many work orders were cancelled at once.

    Raises:
        NotFound: there is no such job.
        RequestRefused: it is over, or cancelled already.
    """
    job_id = _find(uow, tracking_number)
    now = uow.now()
    counters = Counters()
    cancelled = _cancel_unbegun(uow, counters, job_id, f" by {by}")
    uow.connection.execute(
        update(work_order)
        .where(_wo.job_id == job_id, _wo.state == WorkOrderState.WAITING_RETRY)
        .values(next_attempt_at=now, changed_at=now, revision=_wo.revision + 1)
    )
    # Once more where it ends something: what an engine found at billing while it was cancelled for the first time.
    is_new = true() if cancelled else job.c.cancel_requested == false()
    # The job's row comes after its work orders', as everywhere: otherwise this and an engine wait for each other.
    marked = uow.connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state.in_((*_RUNNABLE, JobState.PAUSED)), is_new)
        .values(cancel_requested=true(), changed_at=now, revision=job.c.revision + 1)
    ).rowcount
    if not marked:
        raise _not_now(uow, job_id, "cancelled")
    write_log(
        uow, job_id, _run_no(uow, job_id), "cancel_requested",
        f"Cancelled by {by}: {cancelled:,} devices were not begun; calls in flight finish, what was done stays done.",
    )  # fmt: skip
    counters.write(uow)
    # A pause that only a person ends is over with it: the unknown outcomes have to be asked for.
    uow.connection.execute(
        update(job)
        .where(
            job.c.id == job_id, job.c.state == JobState.PAUSED,
            job.c.pause_cause.in_((PauseCause.OPERATOR, PauseCause.THRESHOLD)),
        )
        .values(state=JobState.RUNNING, pause_cause=None, pause_reason=None)
    )  # fmt: skip
    return cancelled


def cancel_rest(uow: UnitOfWork, job_id: int) -> int:
    """For an engine: ends what a cancelled job has queued still, and the counters with it.

    A retry that came between a cancel's work orders and its mark on the job had queued devices that the cancel did not
    see. Those with billing end where they are claimed; nobody claims those without.

    Returns:
        How many.
    """
    counters = Counters()
    cancelled = _cancel_unbegun(uow, counters, job_id)
    counters.write(uow)
    return cancelled


def _cancel_unbegun(uow: UnitOfWork, counters: Counters, job_id: int, by: str = "") -> int:
    """Cancels the job's work orders for which nothing was made at billing; how many."""
    now = uow.now()
    _forget_what_was_only_found(uow, counters, job_id)
    # Where billing made something, or may have, an engine ends it, and says what stays there.
    at_billing = exists().where(
        work_order_step.c.work_order_id == _wo.id,
        work_order_step.c.state.in_((StepState.INTENT, StepState.UNKNOWN, StepState.DONE)),
    )
    cancelled = 0
    for state in (WorkOrderState.QUEUED, WorkOrderState.WAITING_RETRY):
        count = uow.connection.execute(
            update(work_order)
            .where(_wo.job_id == job_id, _wo.state == state, ~at_billing)
            .values(
                state=WorkOrderState.CANCELLED,
                next_attempt_at=None,
                error_kind=None,
                error_code="CANCELLED",
                error_message=f"Cancelled{by} before it was done."[:400],
                what_to_do="Retry the job to do it.",
                completed_at=now,
                changed_at=now,
                revision=_wo.revision + 1,
            )
        ).rowcount
        counters.moved(job_id, state, WorkOrderState.CANCELLED, count)
        cancelled += count
    return cancelled


def _forget_what_was_only_found(uow: UnitOfWork, counters: Counters, job_id: int) -> None:
    """Where a look before the first POST found something for a person to decide on: as if nobody had looked.

    Nothing was sent, and what was found carries no reference of ours. After a retry it is looked for again, as one that
    was refused is; a step that stood as not sent would be posted at once. (No row is deleted: the role of operators may
    delete nothing.)
    """
    only_found = and_(work_order_step.c.state == StepState.UNKNOWN, work_order_step.c.intent_at.is_(None))
    unknown = select(_wo.id).where(
        _wo.job_id == job_id, _wo.state == WorkOrderState.OUTCOME_UNKNOWN, _wo.error_code == NUMBER_TAKEN
    )
    found = uow.connection.scalars(
        select(work_order_step.c.work_order_id).where(only_found, work_order_step.c.work_order_id.in_(unknown))
    ).all()
    for part in parts(found):
        count = uow.connection.execute(
            update(work_order)
            .where(_wo.id.in_(part), _wo.state == WorkOrderState.OUTCOME_UNKNOWN)
            .values(state=WorkOrderState.QUEUED, check_at=None, changed_at=uow.now(), revision=_wo.revision + 1)
        ).rowcount
        counters.moved(job_id, WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.QUEUED, count)
        uow.connection.execute(
            update(work_order_step)
            .where(only_found, work_order_step.c.work_order_id.in_(part))
            .values(state=StepState.REFUSED, finished_at=uow.now())
        )


def resolve(uow: UnitOfWork, tracking_number: str, iccid: str, service_id: str | None, by: str) -> None:
    """A person settles what billing cannot tell.

    The step whose outcome is unknown becomes done under the id that exists at billing, or not sent; the work order is
    queued and goes on from there.

    Args:
        iccid: of the device.
        service_id: billing's id of what was made (of the service, or of the product on it); None: nothing was made.
        by: login, for the job log.

    Raises:
        NotFound: there is no such job, or no such device in it.
        RequestRefused: the device's outcome is not unknown, or the service is known as something else's; or nothing is
            said to be there while what was sent may still come into being, which nobody can see in billing's search.
    """
    job_id = _find(uow, tracking_number)
    now = uow.now()
    row = _the_open_one(uow, job_id, tracking_number, iccid)
    # A wait that follows a question which billing did not answer says nothing of what was sent.
    is_fresh = row.check_at is not None and row.check_at > now and row.error_code != ASKED_IN_VAIN
    if service_id is None and is_fresh:
        raise RequestRefused(
            "OUTCOME_TOO_FRESH",
            f"Billing may still act on what was sent for device {iccid} of job {tracking_number}: that it is not to be "
            f"found there says nothing before {row.check_at:%Y-%m-%d %H:%M:%S} UTC.",
            "Wait: billing is asked by itself then. What you do find there can be said now, by its id.",
        )
    step = uow.connection.execute(
        select(work_order_step.c.step)
        .where(
            work_order_step.c.work_order_id == row.id,
            work_order_step.c.state.in_((StepState.UNKNOWN, StepState.INTENT)),
        )
        .order_by(case({step: number for number, step in enumerate(Step)}, value=work_order_step.c.step))
    ).scalar()
    queued = 0
    if step is not None:
        queued = uow.connection.execute(
            update(work_order)
            .where(
                _wo.id == row.id,
                _wo.state == WorkOrderState.OUTCOME_UNKNOWN,
                _wo.lease_epoch == row.lease_epoch,
            )
            .values(
                state=WorkOrderState.QUEUED,
                check_at=None,
                error_kind=None,
                error_code=None,
                error_message=None,
                what_to_do=None,
                changed_at=now,
                revision=_wo.revision + 1,
            )
        ).rowcount
    if not queued:
        state = uow.connection.execute(select(_wo.state).where(_wo.id == row.id)).scalar_one()
        raise RequestRefused(
            "OUTCOME_NOT_UNKNOWN",
            f"Device {iccid} of job {tracking_number} is {state}: nothing is open that a person could settle.",
            "Look at the job again.",
        )
    assert step is not None
    answer = _settle_step(uow, row.id, Step(step), service_id, by)
    run_no = _run_no(uow, job_id)
    write_log(uow, job_id, run_no, "resolved", f"Device {iccid}, {step}: {answer}, says {by}.")
    counters = Counters()
    counters.moved(job_id, WorkOrderState.OUTCOME_UNKNOWN, WorkOrderState.QUEUED)
    counters.write(uow)


def _the_open_one(uow: UnitOfWork, job_id: int, tracking_number: str, iccid: str) -> Any:
    """The device's work order of unknown outcome, else any of it: the same SIM may be there on several providers."""
    rows = uow.connection.execute(
        select(_wo.id, _wo.state, _wo.lease_epoch, _wo.check_at, _wo.error_code)
        .where(_wo.job_id == job_id, _wo.iccid == iccid)
        .order_by(_wo.line)
    ).all()
    if not rows:
        raise NotFound(
            "DEVICE_NOT_IN_JOB", f"Job {tracking_number} has no device {iccid}.", "Name a device that the job shows."
        )
    unknown = [row for row in rows if row.state == WorkOrderState.OUTCOME_UNKNOWN]
    if len(unknown) > 1:
        raise RequestRefused(
            "DEVICE_AMBIGUOUS",
            f"Job {tracking_number} has device {iccid} on several service providers, and their outcomes are unknown.",
            "Wait until billing has told all but one of them, or end at billing what was made and cancel the job.",
        )
    return (unknown or rows)[0]


def _settle_step(uow: UnitOfWork, work_order_id: int, step: Step, billing_id: str | None, by: str) -> str:
    """Writes what a person says of the step; what it said, in words."""
    at_step = (work_order_step.c.work_order_id == work_order_id, work_order_step.c.step == step)
    was_sent = uow.connection.execute(select(work_order_step.c.intent_at).where(*at_step)).scalar() is not None
    if billing_id is None:
        state, answer = StepState.NOT_SENT, "nothing was made"
    else:
        # What nobody here sent was made by somebody else, and is kept.
        state = StepState.DONE if was_sent else StepState.KEPT
        answer = f"{billing_id} exists"
    uow.connection.execute(
        update(work_order_step)
        .where(*at_step)
        .values(state=state, billing_id=billing_id, finished_at=uow.now(), answer=f"{answer}, says {by}"[:400])
    )
    if billing_id is not None and step is Step.BILLING_SERVICE:
        _take_service(uow, work_order_id, billing_id, was_sent=was_sent)
    return answer


def _take_service(uow: UnitOfWork, work_order_id: int, service_id: str, *, was_sent: bool) -> None:
    """The billing service that a person names is the work order's."""
    order = uow.connection.execute(
        select(
            _wo.iccid, _wo.msisdn, _wo.device_id, _wo.reference, job.c.billing_credential_id, job.c.customer_id
        ).where(_wo.id == work_order_id, job.c.id == _wo.job_id)
    ).one()
    reference = order.reference if was_sent else None
    _refuse_what_is_known(uow, order, service_id, reference)
    record_services(uow, [work_order_id])
    if not was_sent:
        # Products may be on it already: they are looked at before anything is posted, as on any service that is kept.
        uow.connection.execute(
            update(work_order).where(_wo.id == work_order_id).values(billing_action=BillingAction.KEEP)
        )


def _refuse_what_is_known(uow: UnitOfWork, order: Any, service_id: str, reference: str | None) -> None:
    service = billing_service.c
    known = uow.connection.execute(
        select(service.device_id, service.customer_id, service.reference, service.is_active).where(
            service.billing_credential_id == order.billing_credential_id, service.service_id == service_id
        )
    ).first()
    if known is None:
        return
    if known.device_id != order.device_id:
        code, matter = "SERVICE_OF_ANOTHER_DEVICE", "is known as another device's"
    elif known.customer_id != order.customer_id:
        code, matter = "SERVICE_OF_ANOTHER_CUSTOMER", "is known as another customer's"
    elif not known.is_active:
        code, matter = "SERVICE_ENDED", "is known as ended"
    elif None not in {known.reference, reference} and known.reference != reference:
        code, matter = "SERVICE_OF_ANOTHER_WORK_ORDER", f"is known under the reference {known.reference}"
    else:
        return
    raise RequestRefused(
        code,
        f"Billing service {service_id} {matter}, so it cannot be what was made for device {order.iccid}.",
        "Look the service up at billing again and name the right one.",
    )


# --- an engine's own pauses ------------------------------------------------------------------------------------------


def pause_for_environment(
    uow: UnitOfWork,
    job_id: int,
    reason: str,
    resume_at: datetime,
    cause: PauseCause = PauseCause.ENVIRONMENT,
    still: ColumnElement[bool] | None = None,
) -> bool:
    """The job pauses itself, says why, and looks at ``resume_at`` whether it can go on.

    Args:
        still: what must hold of the job besides; None: nothing.

    Returns:
        False where it is not running (any more): somebody else was faster.
    """
    paused = uow.connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state.in_(_RUNNABLE), true() if still is None else still)
        .values(
            state=JobState.PAUSED,
            pause_cause=cause,
            pause_reason=reason[:400],
            resume_at=resume_at,
            resume_attempts=job.c.resume_attempts + 1,
            changed_at=uow.now(),
            revision=job.c.revision + 1,
        )
    ).rowcount
    if paused:
        write_log(uow, job_id, _run_no(uow, job_id), "paused", f"Paused by itself: {reason}", level="warning")
    return bool(paused)


def resume_attempts(uow: UnitOfWork, job_id: int) -> int:
    """How often the job has paused itself, or looked in vain, since billing last did something for it."""
    return int(uow.connection.execute(select(job.c.resume_attempts).where(job.c.id == job_id)).scalar_one())


@dataclass(frozen=True, slots=True)
class Probe:
    """A job that paused itself and looks whether it can go on.

    Attributes:
        job_id: handle.
        billing_credential_id: at whose billing company it looks; None: it needs none.
        attempts: looks so far.
    """

    job_id: int
    billing_credential_id: int | None
    attempts: int


def any_probe_due(uow: UnitOfWork, unopened: Collection[int] = ()) -> bool:
    """Whether a job that paused itself may look: read before anything is written for it.

    Args:
        unopened: see :func:`claim_probes`.
    """
    statement = select(job.c.id).where(
        job.c.state == JobState.PAUSED, job.c.pause_cause.in_(_OWN_PAUSES), job.c.resume_at <= uow.now()
    )
    if unopened:
        needed = job.c.billing_credential_id
        statement = statement.where(or_(needed.is_(None), needed.not_in(sorted(unopened))))
    return uow.connection.execute(statement.limit(1)).first() is not None


def claim_probes(uow: UnitOfWork, unopened: Collection[int], until: datetime, limit: int = 10) -> list[Probe]:
    """Jobs that may look now; until ``until`` no other engine looks for them.

    Args:
        unopened: handles of billing credentials that this engine cannot open: left to others.
    """
    due = and_(
        job.c.state == JobState.PAUSED,
        job.c.pause_cause.in_(_OWN_PAUSES),
        job.c.resume_at <= uow.now(),
    )
    rows = uow.connection.execute(
        select(job.c.id, job.c.billing_credential_id, job.c.resume_attempts).where(due).order_by(job.c.resume_at)
    ).all()
    probes: list[Probe] = []
    for row in rows:
        if len(probes) == limit or row.billing_credential_id in unopened:
            continue
        if uow.connection.execute(update(job).where(job.c.id == row.id, due).values(resume_at=until)).rowcount:
            probes.append(Probe(*row))
    return probes


def end_probe(uow: UnitOfWork, job_id: int, look_again_at: datetime | None, reason: str = "") -> None:
    """What a look came to.

    Args:
        look_again_at: None: the environment is back, the job goes on.
        reason: what is still wrong.
    """
    if look_again_at is None:
        if _resume(uow, job_id, _OWN_PAUSES):
            write_log(uow, job_id, _run_no(uow, job_id), "resumed", "Goes on by itself: billing can be reached again.")
        return
    uow.connection.execute(
        update(job)
        .where(job.c.id == job_id, job.c.state == JobState.PAUSED, job.c.pause_cause.in_(_OWN_PAUSES))
        .values(
            resume_at=look_again_at,
            resume_attempts=job.c.resume_attempts + 1,
            pause_reason=func.coalesce(reason[:400] or None, job.c.pause_reason),
            changed_at=uow.now(),
            revision=job.c.revision + 1,
        )
    )


# --- jobs that nobody can open ---------------------------------------------------------------------------------------

#: How long nothing is done for a job before it is said that nobody can; and when it is looked at again.
PATIENCE = timedelta(minutes=1)


def any_left_alone(uow: UnitOfWork, unopened: Collection[int]) -> bool:
    """Whether :func:`tell_left_alone` has something to tell: read before anything is written for it."""
    return bool(unopened) and bool(
        left_alone(uow, unopened, uow.now() - PATIENCE)
        or uow.connection.execute(select(job.c.id).where(*_unlooked(uow, unopened)).limit(1)).first()
    )


def tell_left_alone(uow: UnitOfWork, unopened: Collection[int]) -> int:
    """Jobs whose billing credential no engine opens pause themselves and say so, instead of waiting for their turn.

    An engine that can open it, here or on another machine, looks at their billing company when they are due to look, as
    after any pause of their own, and they go on.

    Args:
        unopened: handles of the billing credentials that this engine cannot open.

    Returns:
        How many were told of.
    """
    told = 0
    again, since = uow.now() + PATIENCE, uow.now() - PATIENCE
    for job_id in left_alone(uow, unopened, since):
        # By the job's row: an engine that has taken something of it since has changed it.
        is_left_alone = and_(job.c.running == 0, job.c.changed_at < since)
        reason = _nobody_opens(uow, job_id)
        told += pause_for_environment(uow, job_id, reason, again, still=is_left_alone)
    for job_id in uow.connection.scalars(select(job.c.id).where(*_unlooked(uow, unopened)).order_by(job.c.id)).all():
        reason = _nobody_opens(uow, job_id)
        told += uow.connection.execute(
            update(job)
            .where(job.c.id == job_id, *_unlooked(uow, unopened))
            .values(
                pause_cause=PauseCause.ENVIRONMENT,
                pause_reason=reason[:400],
                resume_at=again,
                changed_at=uow.now(),
                revision=job.c.revision + 1,
            )
        ).rowcount
    return told


def _unlooked(uow: UnitOfWork, unopened: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    """Of a job that paused itself and should have looked long ago: nobody has who can open its credential."""
    return (
        job.c.state == JobState.PAUSED,
        job.c.pause_cause.in_(_OWN_PAUSES),
        job.c.resume_at < uow.now() - PATIENCE,
        job.c.billing_credential_id.in_(sorted(unopened)),
    )


def _nobody_opens(uow: UnitOfWork, job_id: int) -> str:
    code = uow.connection.execute(
        select(billing_credential.c.code).where(
            billing_credential.c.id == job.c.billing_credential_id, job.c.id == job_id
        )
    ).scalar_one()
    return (
        f"No engine that runs can open the billing credential {code}: none of them has its secret. Put the secret into "
        "the keyring of a machine on which the program runs, or start the program where it is."
    )


# --- small helpers ---------------------------------------------------------------------------------------------------


def _resume(uow: UnitOfWork, job_id: int, causes: Sequence[PauseCause] = tuple(PauseCause)) -> bool:
    is_paused = (job.c.id == job_id, job.c.state == JobState.PAUSED, job.c.pause_cause.in_(causes))
    # Nothing was tried meanwhile: what is tried again is not given up for its age after a pause of a weekend.
    uow.connection.execute(
        update(work_order)
        .where(
            _wo.job_id == job_id,
            _wo.state.in_((WorkOrderState.QUEUED, WorkOrderState.WAITING_RETRY, WorkOrderState.OUTCOME_UNKNOWN)),
            _wo.attempts > 0,
            exists().where(*is_paused),
        )
        .values(started_at=None, changed_at=uow.now(), revision=_wo.revision + 1)
    )
    return bool(
        uow.connection.execute(
            update(job)
            .where(*is_paused)
            .values(
                state=case((job.c.started_at.is_(None), JobState.QUEUED), else_=JobState.RUNNING),
                pause_cause=None,
                pause_reason=None,
                resume_at=None,
                changed_at=uow.now(),
                revision=job.c.revision + 1,
            )
        ).rowcount
    )


def _find(uow: UnitOfWork, tracking_number: str) -> int:
    """The job's handle. Its state is tested where it is written: until then it may move on."""
    found = uow.connection.execute(select(job.c.id).where(job.c.tracking_number == tracking_number)).scalar()
    if found is None:
        raise NotFound(
            "JOB_NOT_FOUND", f"There is no job {tracking_number}.", "Look up its tracking number in the list of jobs."
        )
    return int(found)


def _run_no(uow: UnitOfWork, job_id: int) -> int:
    """The job's run, after something of it was written: until then a retry may begin another one."""
    return int(uow.connection.execute(select(job.c.run_no).where(job.c.id == job_id)).scalar_one())


def _not_now(uow: UnitOfWork, job_id: int, what: str) -> RequestRefused:
    """As the job stands now, which it may have come to while it was waited for."""
    number, state = uow.connection.execute(select(job.c.tracking_number, job.c.state).where(job.c.id == job_id)).one()
    return RequestRefused(
        f"NOT_{what.upper()}", f"Job {number} is {state}; it cannot be {what} now.", "Look at the job again."
    )
