"""Steering jobs: ``retry``, ``pause``, ``resume``, ``cancel``, ``resolve``, ``notify-again``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from desktop_app.association.errors import RequestRefused
from desktop_app.cli.call import Call, command
from desktop_app.cli.jobs import Tracking
from desktop_app.cli.watching import finish_job, how_to_go_on

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Desk


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for function in (retry, pause, resume, cancel, resolve, notify_again):
        command(app, rich_help_panel="Steer jobs")(function)


def retry(
    call: Call,
    tracking_number: Tracking,
    wait: Annotated[bool, typer.Option("--wait", help="Work on the job here until it is done.")] = False,
) -> int:
    """Check again what failed or was rejected, and queue what passes now."""
    with call.open(engine="wait" if wait else None) as opened:
        retried = opened.desk.retry(tracking_number)
        call.out.document(
            {
                "tracking_number": retried.tracking_number,
                "requeued": retried.requeued,
                "still_blocked": retried.still_blocked,
                "run_no": retried.run_no,
            }
        )
        call.out.line(
            f"{retried.tracking_number}: {retried.requeued:,} devices queued again, {retried.still_blocked:,} still "
            f"blocked (run {retried.run_no})",
            "bold",
        )
        if wait and retried.requeued:
            return finish_job(call, opened, retried.tracking_number)[0]
        if retried.requeued:
            call.out.line(how_to_go_on(retried.tracking_number))
        return 1 if retried.still_blocked else 0


def pause(call: Call, tracking_number: Tracking) -> int:
    """Begin no further device of a job; calls in flight finish."""
    with call.open() as opened:
        opened.desk.pause(tracking_number)
        return _say_state(call, opened.desk, tracking_number)


def resume(call: Call, tracking_number: Tracking) -> int:
    """End a pause, whatever its cause."""
    with call.open() as opened:
        opened.desk.resume(tracking_number)
        return _say_state(call, opened.desk, tracking_number)


def cancel(call: Call, tracking_number: Tracking) -> int:
    """Cancel what is not begun; what was done stays done, unknown outcomes are still resolved."""
    with call.open() as opened:
        opened.desk.cancel(tracking_number)
        return _say_state(call, opened.desk, tracking_number)


def resolve(
    call: Call,
    tracking_number: Tracking,
    iccid: Annotated[str, typer.Argument(help="The device.", metavar="ICCID")],
    exists: Annotated[
        str | None, typer.Option(help="It was made: its id at billing.", metavar="SERVICE_ID", show_default=False)
    ] = None,
    absent: Annotated[bool, typer.Option("--absent", help="Nothing was made; it is posted again.")] = False,
    reason: Annotated[str, typer.Option(help="How you know; it is written down.", show_default=False)] = "",
) -> int:
    """Settle an unknown outcome that billing cannot tell; it is written down who said so."""
    if (exists is None) == (not absent):
        raise RequestRefused(
            "RESOLVE_HOW",
            "It is not said how the outcome is settled.",
            "Name one of --exists SERVICE_ID (it was made) and --absent (nothing was made).",
        )
    with call.open() as opened:
        opened.desk.resolve(tracking_number, iccid, exists, reason)
        return _say_state(call, opened.desk, tracking_number)


def notify_again(call: Call, tracking_number: Tracking) -> int:
    """Send the notification of a job's end again, which nobody took and which was given up."""
    with call.open() as opened:
        opened.desk.notify_again(tracking_number)
        job = opened.desk.job(tracking_number).job
    call.out.document({"tracking_number": job.tracking_number, "state": job.state, "not_announced": job.not_announced})
    call.out.line(f"{job.tracking_number}: the notification is sent again, by an open window or by a worker.")
    return 0


def _say_state(call: Call, desk: Desk, tracking_number: str) -> int:
    job = desk.job(tracking_number).job
    call.out.document({"tracking_number": job.tracking_number, "state": job.state})
    call.out.line(f"{job.tracking_number} is {job.state.value.replace('_', ' ')}.")
    return 0
