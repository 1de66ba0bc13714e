"""``work``: a headless worker."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from desktop_app.association.errors import DAMAGED, EnvironmentFault
from desktop_app.association.states import FINAL_JOBS, JobState
from desktop_app.cli.call import Call, command
from desktop_app.cli.watching import exit_code, show_result

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Desk, JobRow

#: Seconds between two looks at what changed.
_LOOK_S = 0.25


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    command(app, rich_help_panel="Run")(work)


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
    with call.open(engine="work") as opened, _asked_to_stop() as stop:
        seen = _Seen(call, opened.desk)
        opened.start_engine()
        for code in opened.billing.unopened_codes():
            call.out.note(f"The billing credential {code!r} cannot be opened here; its jobs are left to others.")
        call.out.line("Working until nothing is left to do." if until_idle else "Working; Ctrl+C ends it.")
        try:
            while not stop.wait(_LOOK_S):
                idle = until_idle and opened.is_idle()
                seen.look(patiently=not until_idle)
                if idle:
                    break
        finally:
            opened.stop_engine()
        seen.look()
    call.out.document({"jobs": [{"tracking_number": one.tracking_number, "state": one.state} for one in seen.jobs]})
    return max((exit_code(job) for job in seen.jobs if _has_ended(job)), default=0)


class _Seen:
    """The jobs that changed since it was made; says how each ended or that it paused."""

    def __init__(self, call: Call, desk: Desk) -> None:
        self._out = call.out
        self._desk = desk
        self._cursor = desk.changes().cursor
        self._jobs: dict[str, JobRow] = {}
        self._lost = False

    @property
    def jobs(self) -> list[JobRow]:
        """How they stood when they were seen last."""
        return list(self._jobs.values())

    def look(self, *, patiently: bool = False) -> None:
        """Looks once.

        Args:
            patiently: a database that cannot be used is said once, and waited for.
        """
        try:
            changes = self._desk.changes(self._cursor)
            ended = [self._desk.job(job.tracking_number) for job in changes.jobs if self._is_news(job)]
        except EnvironmentFault as fault:
            if not patiently or fault.code in DAMAGED:  # waiting does not mend it
                raise
            if not self._lost:
                self._out.line(f"{fault.message} Waiting for it.", "yellow")
            self._lost = True
            return
        self._lost = False
        self._cursor = changes.cursor
        self._jobs |= {job.tracking_number: job for job in changes.jobs}
        for job in ended:
            show_result(self._out, job)

    def _is_news(self, job: JobRow) -> bool:
        """Whether the job has ended, or paused, since it was seen last."""
        before = self._jobs.get(job.tracking_number)
        return _has_ended(job) and (before is None or (before.state, before.run_no) != (job.state, job.run_no))


def _has_ended(job: JobRow) -> bool:
    return job.state in FINAL_JOBS or job.state is JobState.PAUSED


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
