"""A job in a few lines of plain text, for a ticket or a mail."""

from __future__ import annotations

from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.desk.protocol import JobDetail, JobsDesk
from desktop_app.ui import words
from desktop_app.ui.words import translate

#: Devices that are named for each cause.
MOST_NAMED = 10


def summary(desk: JobsDesk, tracking_number: str, clock: words.Clock) -> str:
    """What was asked, what came of it, and why; asks the desk, so it is called off the UI thread."""
    detail = desk.job(tracking_number)
    lines = [*_head(detail, clock), *_counts(detail)]
    for cause in detail.causes:
        said = words.devices_that(cause.count, cause.title)
        lines.append(f"- {said} ({cause.code}). {cause.what_to_do}".rstrip())
        found = desk.work_orders(tracking_number, (cause.state,), cause.code, MOST_NAMED)
        names = ", ".join(order.iccid or order.asked_for for order in found)
        if cause.count > len(found):
            rest = words.number(cause.count - len(found))
            names += translate("summary", " and {n} more").format(n=rest)
        lines.append(f"  {names}")
    return "\n".join(lines) + "\n"


def _head(detail: JobDetail, clock: words.Clock) -> list[str]:
    job = detail.job
    state = words.job_status(job).word
    run = translate("summary", ", run {n}").format(n=job.run_no) if job.run_no > 1 else ""
    account = f" ({job.account_number})" if job.account_number else ""
    site = f", {detail.site}" if detail.site else ""
    effective = words.day(job.effective_date) or translate("summary", "each device's activation date")
    submitted = translate("summary", "{time} by {operator}").format(
        time=clock.minute(job.submitted_at), operator=job.operator
    )
    facts = [
        (translate("summary", "Job"), f"{job.tracking_number}, {state}{run}"),
        (translate("summary", "Customer"), f"{job.customer}{account}{site}"),
        (translate("summary", "Asked for"), "; ".join((job.action, *detail.options))),
        (translate("summary", "Effective"), effective),
        (translate("summary", "Reason"), job.reason),
        (translate("summary", "Submitted"), submitted),
        (translate("summary", "Finished"), clock.minute(job.finished_at) if job.state in FINAL_JOBS else ""),
    ]
    if job.state is JobState.PAUSED:
        cause = words.pause_cause(job.pause_cause)
        facts.append((translate("summary", "Paused"), " ".join(filter(None, (f"{cause}.", job.pause_reason)))))
    return [f"{name}: {value}" for name, value in facts if value]


def _counts(detail: JobDetail) -> list[str]:
    counts = detail.job.counts
    told = (
        (counts.succeeded, translate("summary", "done")),
        (counts.failed, translate("summary", "failed")),
        (counts.rejected, translate("summary", "rejected")),
        (counts.outcome_unknown, translate("summary", "of unknown outcome")),
        (counts.cancelled, translate("summary", "cancelled")),
        (counts.queued + counts.running + counts.waiting_retry, translate("summary", "open")),
    )
    shown = ", ".join(f"{words.number(count)} {word}" for count, word in told if count)
    return [f"{translate('summary', 'Devices')}: {words.number(counts.total)} ({shown})"]
