"""``--selftest``: whether this installation works, from the window to the result CSV; also in the frozen program."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop_app import __version__, logs
from desktop_app.association.errors import AssociationError
from desktop_app.association.states import JobState
from desktop_app.cli.watching import watch

if TYPE_CHECKING:
    from desktop_app.bootstrap.desk import Opened
    from desktop_app.cli.call import Call
    from desktop_app.settings import Settings

#: Devices of the job.
_DEVICES = 50


@dataclass(slots=True)
class _Step:
    name: str
    ok: bool = False
    detail: str = ""
    seconds: float = 0.0


class _Failed(Exception):
    """A step did not come to what it should."""


def selftest(call: Call) -> int:
    """Tries out database, billing, job, export and window in a folder of its own, which is removed if all is well.

    Ends with 0 if everything works, else with 3.
    """
    from desktop_app.bootstrap.demonstration import demo_settings
    from desktop_app.settings import load

    folder = Path(tempfile.mkdtemp(prefix="association-desk-selftest-"))
    # Nothing is written to the folder that a person works in, not even a log.
    settings = demo_settings(load({"data_dir": folder}), folder)
    logs.configure(folder / "logs", settings.log_level, to_stderr=True)
    steps: list[_Step] = []

    def do(name: str, work: Callable[[], str]) -> None:
        if steps and not steps[-1].ok:
            return
        step = _Step(name)
        steps.append(step)
        began = time.monotonic()
        try:
            step.detail = work()
            step.ok = True
        except AssociationError as error:
            step.detail = f"{error.message} {error.what_to_do}"
        except Exception as error:  # noqa: BLE001 - whatever is wrong is this command's answer
            step.detail = f"{type(error).__name__}: {error}"
        step.seconds = round(time.monotonic() - began, 2)
        call.out.line(f"{'ok    ' if step.ok else 'FAILED'}  {name}: {step.detail}", None if step.ok else "red")

    do("database", lambda: _make_database(settings))
    do("job", lambda: _do_job(settings, folder))
    do("window", lambda: _show_window(settings))
    ok = all(step.ok for step in steps)
    call.out.document(
        {
            "ok": ok,
            "version": __version__,
            "frozen": bool(getattr(sys, "frozen", False)),
            "steps": steps,
            "folder": None if ok else folder,
        }
    )
    logs.stop()
    if ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        call.out.line(f"What is left to look at is in {folder}")
    return 0 if ok else 3


def _make_database(settings: Settings) -> str:
    from desktop_app.bootstrap import database

    made, _ = database.make_demo_data(settings, 1_000)
    assert made is not None
    broken = [one for one in database.check_database(settings) if not one.is_advice]
    if broken:
        raise _Failed(f"{len(broken)} rules are broken, such as: {broken[0].message}")
    return f"{made.devices:,} devices, {made.customers:,} customers"


def _do_job(settings: Settings, folder: Path) -> str:
    from desktop_app.bootstrap import demonstration
    from desktop_app.bootstrap.desk import open_desk

    with open_desk(settings, engine="wait") as opened:
        job = _submit_and_wait(opened)
        path = folder / "result.csv"
        rows = opened.desk.export(job["tracking_number"], path)
        ledger = demonstration.read_ledger(opened)
        demonstration.stop_sandbox(opened)
    if rows != _DEVICES or not path.read_bytes().startswith(b"\xef\xbb\xbf"):
        raise _Failed(f"The result CSV has {rows} rows; {_DEVICES} devices were asked for.")
    if ledger["duplicates"] or ledger["totals"]["services"] == 0:
        raise _Failed(
            f"Billing made {ledger['totals']['services']} services, {len(ledger['duplicates'])} of them twice."
        )
    return (
        f"{job['succeeded']} devices associated, {ledger['totals']['services']} services at billing, {rows} rows of CSV"
    )


def _submit_and_wait(opened: Opened) -> dict[str, Any]:
    from desktop_app.bootstrap import demonstration

    request = demonstration.pick_demo_job(opened, _DEVICES, 0.1).request
    desk = opened.desk
    submitted = desk.submit(request, desk.check(request).fingerprint, "selftest")
    opened.start_engine()
    try:
        job = watch(desk, submitted.tracking_number, lambda _job: None)
    finally:
        opened.stop_engine()
    if job.state is not JobState.PARTIALLY_COMPLETED or job.counts.succeeded != submitted.submitted:
        raise _Failed(f"The job ended as {job.state.value}: {job.counts.succeeded} of {submitted.submitted} succeeded.")
    return {"tracking_number": job.tracking_number, "succeeded": job.counts.succeeded}


def _show_window(settings: Settings) -> str:
    from desktop_app.bootstrap.desktop import try_window

    seen = try_window(settings)
    if not seen.is_good:
        raise _Failed(f"{seen.trouble or 'It did not list the devices in time.'} ({seen})")
    return f"{seen.width}×{seen.height}, lists {seen.devices:,} devices"
