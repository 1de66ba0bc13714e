"""Watching a job while it is worked on: a bar on a terminal, a line now and then otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import title_for
from desktop_app.association.states import FINAL_JOBS, JobState, PauseCause, WorkOrderState
from desktop_app.cli.output import Output

if TYPE_CHECKING:
    from desktop_app.bootstrap.desk import Opened
    from desktop_app.cli.call import Call
    from desktop_app.desk.protocol import Desk, JobCounts, JobDetail, JobRow

#: Seconds between two looks at the database, and between two lines where there is no terminal.
_LOOK_S = 0.1
_LINE_S = 5.0

Show = Callable[["JobRow"], None]


def finish_job(call: Call, opened: Opened, tracking_number: str) -> tuple[int, JobDetail]:
    """Works on a job in this process until it is over, with live progress.

    Returns:
        The exit code: 0 all succeeded, 1 some failed or were rejected, or the job waits for a person; 3 the job paused
        itself since billing or the database cannot be reached. And the job as it stands.

    Raises:
        EnvironmentFault: this machine cannot open the job's billing credential, or no engine starts on the database;
            the job stays in the queue.
    """
    desk, out = opened.desk, call.out
    try:
        with _waits(tracking_number):
            opened.billing.require(tracking_number)
            opened.start_engine()
        with progress(out, tracking_number) as show:
            job = watch(desk, tracking_number, show)
    except KeyboardInterrupt:
        out.note(f"Stopping; what is in flight is finished first. Nothing is lost. {how_to_go_on(tracking_number)}")
        raise
    finally:
        opened.stop_engine()
    detail = desk.job(tracking_number)
    show_result(out, detail)
    return exit_code(job), detail


@contextmanager
def _waits(tracking_number: str) -> Iterator[None]:
    """What is in the way of working on the job is said with what became of it: it is in the queue by now."""
    try:
        yield
    except EnvironmentFault as fault:
        so_far = fault.message.removesuffix("Nothing was changed.").rstrip()
        raise EnvironmentFault(
            fault.code, f"{so_far} Job {tracking_number} is submitted and waits.", fault.what_to_do
        ) from fault


def watch(desk: Desk, tracking_number: str, show: Show) -> JobRow:
    """Shows the job's row whenever it changes, until nothing more happens by itself.

    That is when it is over, when a person paused it, or when it paused itself: a command does not wait for hours.
    """
    cursor = desk.changes().cursor
    job = desk.job(tracking_number).job
    while True:
        show(job)
        if job.state in FINAL_JOBS or job.state is JobState.PAUSED:
            return job
        time.sleep(_LOOK_S)
        changes = desk.changes(cursor)
        cursor = changes.cursor
        job = next((row for row in changes.jobs if row.tracking_number == job.tracking_number), job)


def exit_code(job: JobRow) -> int:
    """What the command line ends with for a job that it waited for."""
    if job.state is JobState.PAUSED:
        return 3 if job.pause_cause in {PauseCause.ENVIRONMENT, PauseCause.QUOTA} else 1
    return 0 if job.state is JobState.COMPLETED else 1


def how_to_go_on(tracking_number: str) -> str:
    """What a person types to have a submitted job worked on."""
    return f"The desktop goes on with it, or the command: work; see how it stands with: show {tracking_number}"


# --- progress --------------------------------------------------------------------------------------------------------


@contextmanager
def progress(out: Output, tracking_number: str) -> Iterator[Show]:
    """Something to call with the job's row whenever it changes."""
    if out.as_json:
        yield lambda _job: None
    elif out.is_live:
        with _bar(out, tracking_number) as show:
            yield show
    else:
        yield _Lines(out)


@contextmanager
def _bar(out: Output, tracking_number: str) -> Iterator[Show]:
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", style="bold"),
        TextColumn("{task.fields[bar]}"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=out.console, refresh_per_second=10) as bar:
        task = bar.add_task(tracking_number, total=None, counts="", bar="")

        def show(job: JobRow) -> None:
            bar.update(
                task, total=job.counts.total, completed=job.counts.done, counts=_counts(job), bar=_segments(job.counts)
            )

        yield show


def _segments(counts: JobCounts, width: int = 30) -> str:
    """A bar in rich's markup: what succeeded, failed, ended otherwise, waits, and is still to come."""
    parts = (
        ("green", counts.succeeded),
        ("red", counts.failed),
        ("yellow", counts.rejected + counts.cancelled),
        ("blue", counts.running + counts.waiting_retry + counts.outcome_unknown),
    )
    drawn, reached, cells = "", 0, 0
    for colour, count in parts:
        reached += count
        upto = round(width * reached / max(1, counts.total))
        # A few that failed are seen too, however many succeeded.
        length = max(upto - cells, 1 if count and cells < width else 0)
        drawn += f"[{colour}]{'━' * length}[/]"
        cells += length
    return f"{drawn}[dim]{'━' * (width - cells)}[/]"


class _Lines:
    """A plain line when the state changes, and every few seconds."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._state = ""
        self._next_at = 0.0

    def __call__(self, job: JobRow) -> None:
        now = time.monotonic()
        if job.state.value == self._state and now < self._next_at:
            return
        self._state, self._next_at = job.state.value, now + _LINE_S
        self._out.line(f"{job.state.value}: {job.counts.done:,} of {job.counts.total:,} done; {_counts(job)}")


def _counts(job: JobRow) -> str:
    counts = job.counts
    parts = [f"{counts.succeeded:,} ok"]
    for number, word in (
        (counts.failed, "failed"),
        (counts.rejected, "rejected"),
        (counts.cancelled, "cancelled"),
        (counts.waiting_retry, "tried again later"),
        (counts.outcome_unknown, "asking billing"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    return ", ".join(parts)


# --- the end ---------------------------------------------------------------------------------------------------------

_STYLES = {
    JobState.COMPLETED: "green",
    JobState.PARTIALLY_COMPLETED: "yellow",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
}


def show_result(out: Output, detail: JobDetail) -> None:
    """How the job ended, and why devices did not succeed."""
    job = detail.job
    state = job.state.value.replace("_", " ")
    out.line(f"{job.tracking_number} {state}: {_counts(job)} of {job.counts.total:,} devices", _STYLES.get(job.state))
    if job.state is JobState.PAUSED:
        cause = job.pause_cause.value if job.pause_cause else ""
        out.line(f"  Paused ({cause}): {job.pause_reason}")
        if job.pause_cause in {PauseCause.ENVIRONMENT, PauseCause.QUOTA}:
            out.line(
                f"  It goes on by itself while the desktop or the command work runs; {job.counts.open:,} devices wait."
            )
        else:
            out.line(f"  A person ends the pause: resume {job.tracking_number}")
    show_causes(out, detail)


def show_causes(out: Output, detail: JobDetail) -> None:
    """Why devices of a job did not succeed, grouped."""
    if not detail.causes:
        return
    out.table(
        ("Devices", "State", "What", "What to do"),
        [
            (cause.count, cause.state.value, f"{title_for(cause.count, cause.title)} ({cause.code})", cause.what_to_do)
            for cause in detail.causes
        ],
        right=("Devices",),
    )
    failed = sum(cause.count for cause in detail.causes if cause.state is WorkOrderState.FAILED)
    if failed and detail.job.state in FINAL_JOBS:
        out.line(f"Try the failed ones again with: retry {detail.job.tracking_number} --wait")
