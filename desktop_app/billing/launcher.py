"""Finds the billing sandbox of a data folder, or starts one, and talks to its control side."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from desktop_app.association.errors import EnvironmentFault
from desktop_app.billing.transport import CallFailed, Transport

#: Where a sandbox listens stands in this file of the data folder while it runs.
ADDRESS_FILE = "sandbox.json"
_LOG = Path("billing-sandbox", "sandbox.log")
_FOLDER_IN_USE = 75  # exit code of a sandbox that found another one on its folder
#: So long a look may take; whoever gets no answer looks again.
_LOOK_S = 5.0
#: So long anything else may take: a catalogue is on disk before it is answered, and a disk can be slow.
_CALL_S = 60.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class SandboxAddress:
    """A sandbox that answered.

    Attributes:
        url: what ``BILLING_URL`` would be.
        control_url: of the sandbox's own routes.
        pid: its process.
        instance: made anew by each start.
        started_at: UTC.
        process: the child process, if it was started by this one.
    """

    url: str
    control_url: str
    pid: int
    instance: str
    started_at: datetime
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False, compare=False)


def find_sandbox(data_dir: Path) -> SandboxAddress | None:
    """The living sandbox of the folder, or None. A file that a dead one left behind counts for nothing."""
    try:
        content = json.loads((data_dir / ADDRESS_FILE).read_text())
        address = SandboxAddress(
            url=str(content["url"]),
            control_url=str(content["control_url"]),
            pid=int(content["pid"]),
            instance=str(content["instance"]),
            started_at=datetime.fromisoformat(content["started_at"]),
        )
        health = _control(address, "GET", "/health", timeout_s=_LOOK_S)
    except (OSError, ValueError, KeyError, TypeError, EnvironmentFault):
        return None
    return address if health.get("instance") == address.instance else None


def ensure_sandbox(
    data_dir: Path, *, command: Sequence[str], start_timeout_s: float = 30.0, **options: Any
) -> SandboxAddress:
    """The living sandbox of the folder; started as a child process if there is none.

    Several processes may do this at the same time: one sandbox comes of it, since a sandbox that finds another one on
    its folder leaves. It ends by itself when every process that asked for it here is gone.

    Args:
        data_dir: the folder; made if needed.
        command: what starts a sandbox: ``[sys.executable, "main.py", "billing-sandbox"]``, or the frozen program.
        start_timeout_s: how long a start may take.
        options: its options as on its command line, such as ``latency_ms=50`` or ``fault={"429": 0.01}``; used only if
            it is started here.

    Raises:
        EnvironmentFault: it does not start.
    """
    until = time.monotonic() + start_timeout_s
    data_dir.mkdir(parents=True, exist_ok=True)
    child: subprocess.Popen[bytes] | None = None
    try:
        while time.monotonic() < until:
            found = find_sandbox(data_dir)
            if found is not None and _joined(found):
                if child is None or child.pid != found.pid:
                    return found
                started, child = child, None
                return SandboxAddress(
                    found.url, found.control_url, found.pid, found.instance, found.started_at, started
                )
            if child is None:
                child = _start(data_dir, command, options)
            elif child.poll() is not None:
                if child.returncode != _FOLDER_IN_USE:
                    raise _not_started(data_dir, f"it ended at once with exit code {child.returncode}")
                child = None  # another one is starting, or ending: look again, then try again
                time.sleep(10 * _POLL_S)
            time.sleep(_POLL_S)
        raise _not_started(data_dir, f"it did not answer within {start_timeout_s:g} s")
    finally:
        if child is not None:
            _end(child)


def stop(address: SandboxAddress, *, timeout_s: float = 10.0) -> None:
    """Stops the sandbox and waits until it is gone. One that is gone already is fine.

    Raises:
        EnvironmentFault: it does not end, and is not ours to kill.
    """
    with contextlib.suppress(EnvironmentFault):
        _control(address, "POST", "/stop", timeout_s=_LOOK_S)
    if address.process is not None:
        try:
            address.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(address.process)
        return
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            if _control(address, "GET", "/health", timeout_s=_LOOK_S).get("instance") != address.instance:
                return
        except EnvironmentFault:
            return
        time.sleep(_POLL_S)
    raise EnvironmentFault(
        "SANDBOX_DOES_NOT_STOP",
        f"The billing sandbox (process {address.pid}) does not stop.",
        "End that process by hand.",
    )


def seed_catalogue(address: SandboxAddress, catalogue: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """Adds to what the sandbox's billing company knows; an id that is there already is replaced.

    Args:
        catalogue: sections ``customers`` (``customer_id``, …), ``providers`` (``provider_id``), ``service_types``
            (``service_type_id``), ``products`` (``product_id``, ``provider_id``), ``packages`` (``package_id``,
            ``provider_id``), ``package_products`` (``package_id``, ``product_id``), ``addresses`` (``address_id``,
            ``customer_id``) and ``services`` that were there before (``service_id``, ``customer_id``, ``provider_id``,
            ``number``, …; one that is there already is left alone), each a list of rows in Rev.io's names.

    Returns:
        How many rows each section holds now.

    Raises:
        EnvironmentFault: it cannot be reached, or does not take this catalogue.
    """
    answer = _control(address, "POST", "/catalogue", {name: list(map(dict, rows)) for name, rows in catalogue.items()})
    return {name: count for name, count in answer.items() if name != "ok"}


def set_faults(address: SandboxAddress, **settings: Any) -> dict[str, Any]:
    """Changes how the sandbox misbehaves and how fast it is, from the next request on.

    Args:
        settings: ``rates={"500-after": 0.02}``, ``get_rates``, ``next=["cut-after"]``, ``latency_ms``,
            ``search_lag_ms``, ``process_delay_ms``, ``late_ms``, ``appears_late_ms``, ``rate_per_minute``,
            ``refuse_logins=401``, ``ignore_filters=True``, ``seed``; ``reset=True`` goes back to good behaviour first.

    Returns:
        All settings as they are now.

    Raises:
        EnvironmentFault: it cannot be reached, or does not take these settings.
    """
    return _control(address, "POST", "/faults", settings)


def read_ledger(address: SandboxAddress, *, reference: str | None = None) -> dict[str, Any]:
    """What the sandbox ever made.

    Returns:
        ``references``: reference → ``services``, ``products``, ``package_products`` (counts), ``service_ids``,
        ``product_ids``; ``totals``: ``services``, ``products``, ``not_yet_visible``, ``without_reference``;
        ``duplicates``: list of ``kind``, ``reference``, ``ids``; ``calls`` since its start: ``GET``, ``POST``,
        ``PUT``, ``429``, ``faults``.

    Raises:
        EnvironmentFault: it cannot be reached.
    """
    return _control(address, "GET", "/ledger", query={"reference": reference} if reference is not None else {})


def _joined(address: SandboxAddress) -> bool:
    """Whether the sandbox knows now that this process uses it."""
    try:
        _control(address, "POST", "/users", {"pid": os.getpid()}, timeout_s=_LOOK_S)
    except EnvironmentFault:
        return False
    return True


def _start(data_dir: Path, command: Sequence[str], options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    arguments = [*command, "--data-dir", str(data_dir), "--parent-pid", str(os.getpid()), *_arguments(options)]
    try:
        with _log(data_dir) as log:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # a Ctrl+C is for the program that started it, which decides when the sandbox ends
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
    except OSError as error:
        raise _not_started(data_dir, error.strerror or type(error).__name__) from error


def _arguments(options: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, Mapping):
            for fault, share in value.items():
                arguments += [flag, f"{fault}={share}"]
        elif value is not False and value is not None:
            arguments += [flag, str(value)]
    return arguments


def _log(data_dir: Path) -> IO[bytes]:
    path = data_dir / _LOG
    path.parent.mkdir(exist_ok=True)
    return path.open("ab")


def _not_started(data_dir: Path, why: str) -> EnvironmentFault:
    said = ""
    with contextlib.suppress(OSError):
        lines = (data_dir / _LOG).read_text(errors="replace").strip().splitlines()
        said = f" It said: {lines[-1][:300]}" if lines else ""
    return EnvironmentFault(
        "SANDBOX_NOT_STARTED",
        f"The billing sandbox does not start: {why}.{said}",
        f"Look into {data_dir / _LOG}, or give the address of a billing server (BILLING_URL).",
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child process, and waits for it."""
    if sys.platform == "win32":
        child.terminate()
    else:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _control(
    address: SandboxAddress,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str] | None = None,
    timeout_s: float = _CALL_S,
) -> dict[str, Any]:
    transport = Transport(address.control_url, timeout_s=timeout_s)
    try:
        answer = transport.call(method, path, query=query, body=None if body is None else json.dumps(body).encode())
    except CallFailed as failed:
        raise EnvironmentFault(
            "SANDBOX_UNREACHABLE",
            f"The billing sandbox at {address.url} {failed.reason}.",
            "Start it again: open the program, or run billing-sandbox.",
        ) from failed
    finally:
        transport.close()
    found = answer.json()
    if answer.status != 200 or not isinstance(found, dict):
        said = found.get("message", "") if isinstance(found, dict) else ""
        raise EnvironmentFault(
            "SANDBOX_REFUSED",
            f"The billing sandbox at {address.url} answered {answer.status} to {path}. {said}".strip(),
            "Correct what was sent.",
        )
    return found
