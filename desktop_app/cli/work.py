"""``work``: a headless worker."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.cli.call import Call, command
from desktop_app.cli.watching import exit_code, show_result

if TYPE_CHECKING:
    from desktop_app.desk.protocol import JobRow

#: Seconds between two looks at what changed.
_LOOK_S = 0.25


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    command(app)(work)


def work(
    call: Call,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no open work order is left, parked ones included.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Calls to billing at a time.", show_default=False)] = None,
) -> int:
    """Work on whatever is due, for ever or until nothing is left to do.

    Ctrl+C and SIGTERM end it cleanly: what is in flight is finished and recorded, everything else stays in the queue.
    Ends with 0, or with 1 if a job that ended meanwhile has devices that did not succeed, or with 3 if a job waits for
    billing or the database.
    """
    if workers is not None:
        call.overrides["workers"] = workers
    ended: dict[str, JobRow] = {}
    with call.open(engine="work") as opened, _asked_to_stop() as stop:
        desk = opened.desk
        cursor = desk.changes().cursor
        opened.start_engine()
        call.out.line("Working; Ctrl+C ends it." if not until_idle else "Working until nothing is left to do.")
        try:
            while not stop.wait(_LOOK_S):
                idle = until_idle and opened.is_idle()
                changes = desk.changes(cursor)
                cursor = changes.cursor
                for job in changes.jobs:
                    _follow(call, desk, job, ended)
                if idle:
                    break
        finally:
            opened.stop_engine()
        waiting = [job for job in desk.jobs(limit=1_000) if job.state is JobState.PAUSED] if until_idle else []
    call.out.document(
        {"jobs": [{"tracking_number": job.tracking_number, "state": job.state} for job in ended.values()]}
    )
    return max((exit_code(job) for job in [*ended.values(), *waiting]), default=0)


def _follow(call: Call, desk: Any, job: JobRow, ended: dict[str, JobRow]) -> None:
    """Says how a job ended, or that it paused; keeps those that ended."""
    known = ended.get(job.tracking_number)
    if job.state in FINAL_JOBS:
        ended[job.tracking_number] = job
        if known is None or known.run_no != job.run_no:
            show_result(call.out, desk.job(job.tracking_number))
    elif job.state is JobState.PAUSED:
        call.out.line(f"{job.tracking_number} paused: {job.pause_reason}", "yellow")


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set when the process is asked to end; inside, that does not break anything off."""
    asked = threading.Event()
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), lambda *_: asked.set()) for name in names}
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
