"""The end of a job's run: the maintenance procedures, its statistics, its final state and its notification.

Procedures that the site has of its own are called first, each in its own transaction; one that fails is told in the
job's log and keeps nobody waiting. All else is one transaction, guarded by the compare-and-set finishing → final. A
process that dies in it leaves the job in ``finishing``; any engine does the whole of it again, and a second run of a
procedure changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from db import finishing, procedures, site_procedures
from db.counters import send_to_finishing
from db.finishing import FinishingJob
from db.site_procedures import Procedure, ProcedureFailed
from db.unit_of_work import Store, UnitOfWork
from desktop_app.association.completion import Cause, RunFacts, final_state, statistics
from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.states import JobState
from desktop_app.engine.crash_points import commit

_log = logging.getLogger(__name__)


def finish_due(store: Store, *, notify: bool) -> int:
    """Finishes every job that waits for it.

    Args:
        notify: whether finished jobs are announced to another system.

    Returns:
        How many were finished.
    """
    # Those of which nothing could ever run have nobody else who sends them on.
    commit(store, "send-to-finishing", send_to_finishing)
    with store.read() as uow:
        waiting = finishing.jobs_to_finish(uow)
        of_the_site = site_procedures.of_the_site(uow) if waiting else {}
    finished = 0
    for job_id in waiting:
        try:
            called = {one: _Called(name, _call(store, name, job_id)) for one, name in of_the_site.items()}

            def finish(uow: UnitOfWork, job_id: int = job_id, called: _Calls = called) -> bool:
                return _finish(uow, job_id, called, notify=notify)

            finished += commit(store, "finish", finish)
        except EnvironmentFault:
            raise
        except Exception:  # noqa: BLE001 - one job that cannot be finished must not hold up those behind it
            _log.exception("A job could not be finished; it is tried again")
    return finished


class _Called(NamedTuple):
    """A procedure of the site that was called.

    Attributes:
        error: what the database said; None: it worked.
    """

    name: str
    error: str | None


_Calls = Mapping[Procedure, _Called]


def _call(store: Store, name: str, job_id: int) -> str | None:
    """Calls a procedure of the site. A deadlock is tried again; what else it fails at is given back, to be told.

    Raises:
        EnvironmentFault: the database cannot be used; the job stays to be finished.
    """
    try:
        commit(store, "site-procedure", lambda uow: site_procedures.call(uow, name, job_id))
    except ProcedureFailed as error:
        _log.error("The procedure %s of the site failed: %s", name, error)
        return str(error)
    return None


def _run_procedures(uow: UnitOfWork, job: FinishingJob, called: _Calls) -> None:
    """Runs those that the site has not of its own, and tells of all in the job's log."""
    said: list[str] = []
    data: dict[str, Any] = {}
    if Procedure.ACROSS_PROVIDERS not in called:
        data["across_providers"] = procedures.record_across_providers(uow, job_id=job.job_id)
        said.append(f"{data['across_providers']:,} history rows for other providers")
    if Procedure.CHANGES_COMPLETE not in called:
        data["marked"] = procedures.mark_device_changes_complete(uow, job.job_id)
        said.append(f"{data['marked']:,} changes marked complete")
    if Procedure.SERVICE_LINKS not in called:
        closed, opened = procedures.sync_device_service_links(uow, job.job_id)
        data |= {"links_opened": opened, "links_closed": closed}
        said.append(f"{opened:,} links opened, {closed:,} closed")
    said += [f"{one.name} called" for one in called.values() if one.error is None]
    if said:
        text = f"Maintenance procedures: {', '.join(said)}."
        finishing.write_log(uow, job.job_id, job.run_no, "procedures", text, data=data)
    for procedure, one in called.items():
        if one.error is not None:
            finishing.write_log(
                uow, job.job_id, job.run_no, "procedure_failed",
                f"The site's procedure {one.name} failed: {one.error}",
                level="error", data={"procedure": procedure.value, "name": one.name},
            )  # fmt: skip


def _finish(uow: UnitOfWork, job_id: int, called: _Calls, *, notify: bool) -> bool:
    job = finishing.begin_finishing(uow, job_id)
    if job is None:
        return False
    counts = finishing.counts_of_rows(uow, job_id)
    if any(counts.get(state, 0) != count for state, count in job.counts.items()):
        # Not to be seen; if it ever is, the rows are right, and the log says that it happened.
        finishing.correct_counters(uow, job_id, counts)
        finishing.write_log(
            uow, job_id, job.run_no, "counters_corrected", "The counters did not equal the work orders.", level="error"
        )
        _log.error("The counters of job %s did not equal its work orders", job.tracking_number)
    _run_procedures(uow, job, called)
    state = final_state(counts, cancel_requested=job.cancel_requested)
    steps, calls = finishing.step_counts(uow, job_id)
    stats = statistics(
        RunFacts(
            run_no=job.run_no,
            counts=counts,
            steps=steps,
            causes=[Cause(*cause) for cause in finishing.cause_counts(uow, job_id)],
            billing_calls=calls,
            submitted_at=job.submitted_at,
            started_at=job.started_at,
            finished_at=uow.now(),
            ended_before=_ended_before(uow, job),
        )
    )
    finishing.end_job(uow, job_id, state, stats)
    done = stats["succeeded"]
    finishing.write_log(
        uow, job_id, job.run_no, "finished", f"{_said(state)}: {done} of {stats['total']} devices.", data=stats
    )
    if notify:
        event_id = f"{job.tracking_number}/{job.run_no}"
        finishing.add_event(uow, job_id, job.run_no, event_id, _payload(job, event_id, state, stats, uow))
    return True


def _ended_before(uow: UnitOfWork, job: FinishingJob) -> int:
    """A retry counts what it did itself."""
    if job.run_no == 1 or job.started_at is None:
        return 0
    return finishing.ended_before(uow, job.job_id, job.started_at)


def _said(state: JobState) -> str:
    return str(state).replace("_", " ").capitalize()


def _payload(
    job: FinishingJob, event_id: str, state: JobState, stats: Mapping[str, object], uow: UnitOfWork
) -> dict[str, Any]:
    """What the other system is told; the keys are an interface."""
    return {
        "version": 1,
        "event_id": event_id,
        "event": "job_finished",
        "tracking_number": job.tracking_number,
        "run_no": job.run_no,
        "state": str(state),
        "customer": job.customer,
        "account_number": job.account_number,
        "operator": job.operator,
        "reason": job.reason,
        "submitted_at": job.submitted_at.isoformat(),
        "finished_at": uow.now().isoformat(),
        "statistics": dict(stats),
    }
