"""Finding and starting sandboxes, also by several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.billing.launcher import (
    SandboxAddress,
    ensure_sandbox,
    find_sandbox,
    read_ledger,
    seed_catalogue,
    set_faults,
    stop,
)
from tests.billing.conftest import COMMAND
from tests.billing.raw_server import RawServer, answer
from tests.helpers.ports import closed_port, port_of_its_own
from tests.helpers.sandboxes import sandbox_of

RACER = """
import sys
from pathlib import Path
from desktop_app.billing.launcher import ensure_sandbox
command = [sys.executable, "-m", "desktop_app.billing.sandbox"]
address = ensure_sandbox(Path(sys.argv[1]), command=command, start_timeout_s=100)
print(address.pid, address.instance, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def patient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox, or whoever answers in its place, is not given up here because it stands still."""
    monkeypatch.setattr("desktop_app.billing.launcher._LOOK_S", 60.0)


def test_the_one_that_runs_is_found(start_sandbox: Callable[..., SandboxAddress], tmp_path: Path) -> None:
    first = start_sandbox(latency_ms=1)
    again = ensure_sandbox(tmp_path / "data", command=["never run"])
    assert again == first
    assert (first.process is not None, again.process) == (True, None)
    assert sandbox_of(tmp_path / "data") == first
    content = json.loads((tmp_path / "data" / "sandbox.json").read_text())
    assert content["url"] == first.url
    assert content["login"] == "demo@sandbox"


def test_options_reach_the_sandbox(start_sandbox: Callable[..., SandboxAddress]) -> None:
    address = start_sandbox(latency_ms=1, fault={"429": 0.25, "late": 0.5}, rate_per_minute=7, accept_any=False)
    settings = set_faults(address)
    assert (settings["latency_ms"], settings["rate_per_minute"]) == (1, 7)
    assert settings["rates"] == {"429": 0.25, "late": 0.5}


def test_processes_that_race_start_one(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    try:
        lines = [racer.stdout.readline() for racer in racers if racer.stdout]
        assert len(set(lines)) == 1
        pid, instance = lines[0].decode().split()
        address = sandbox_of(tmp_path)
        assert (address.pid, address.instance) == (int(pid), instance)
        # it goes on as long as one of them lives, whoever started it, and ends with the last
        for racer in racers[:-1]:
            racer.communicate(b"\n")
        time.sleep(1.2)  # two looks at its users
        assert sandbox_of(tmp_path) == address
        racers[-1].communicate(b"\n")
        while find_sandbox(tmp_path) is not None:
            time.sleep(0.05)
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()


def test_one_that_a_person_started_outlives_its_users(tmp_path: Path) -> None:
    by_hand = subprocess.Popen([*COMMAND, "--data-dir", str(tmp_path)])
    try:
        sandbox_of(tmp_path)
        racer = subprocess.run(
            [sys.executable, "-c", RACER, str(tmp_path)], input=b"\n", capture_output=True, check=True
        )
        assert int(racer.stdout.split()[0]) == by_hand.pid
        time.sleep(1.2)
        assert by_hand.poll() is None
        stop(sandbox_of(tmp_path), timeout_s=60)  # also one that is not our child
        by_hand.wait(60)
    finally:
        by_hand.kill()
        by_hand.wait()


def stale(tmp_path: Path, url: str) -> None:
    content = {
        "url": f"{url}/v1", "control_url": f"{url}/_sandbox", "pid": 1, "instance": "old",
        "started_at": "2026-11-24T08:00:00+00:00",
    }  # fmt: skip
    (tmp_path / "sandbox.json").write_text(json.dumps(content))


def test_an_address_that_a_dead_one_left_behind(tmp_path: Path) -> None:
    with closed_port() as port:
        stale(tmp_path, f"http://127.0.0.1:{port}")
        assert find_sandbox(tmp_path) is None
        address = ensure_sandbox(tmp_path, command=COMMAND, start_timeout_s=100)
    assert sandbox_of(tmp_path) == address
    stop(address)


@pytest.mark.parametrize(
    "body", [b'{"ok": true, "instance": "another"}', b"[]", b"<html>a printer</html>", b'{"ok": true}']
)
def test_an_address_where_another_server_listens_by_now(tmp_path: Path, body: bytes) -> None:
    with RawServer() as server:
        server.use(server.answers(answer("200 OK", body)))
        stale(tmp_path, f"http://127.0.0.1:{server.port}")
        assert find_sandbox(tmp_path) is None
        assert server.requests == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 1}', "null"])
def test_an_address_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox.json").write_text(content)
    assert find_sandbox(tmp_path) is None


def test_one_that_was_killed_is_started_again(start_sandbox: Callable[..., SandboxAddress]) -> None:
    first = start_sandbox()
    seed_catalogue(first, {"customers": [{"customer_id": 1}]})
    assert first.process is not None
    first.process.kill()
    first.process.wait()
    second = start_sandbox()
    assert second.instance != first.instance
    assert seed_catalogue(second, {})["customers"] == 1


def test_stopping_is_final_and_may_be_repeated(start_sandbox: Callable[..., SandboxAddress], tmp_path: Path) -> None:
    address = start_sandbox(port=port_of_its_own())  # nobody else listens there afterwards
    stop(address)
    stop(address)
    assert find_sandbox(tmp_path / "data") is None
    with pytest.raises(EnvironmentFault) as caught:
        read_ledger(address)
    assert caught.value.code == "SANDBOX_UNREACHABLE"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no such folder')", "exit code 1. It said: no such folder"),
        ("import time; time.sleep(60)", "did not answer within 0.5 s"),
    ],
)
def test_a_sandbox_that_does_not_start(tmp_path: Path, program: str, said: str) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        ensure_sandbox(
            tmp_path, command=[sys.executable, "-c", program], start_timeout_s=0.5 if "sleep" in program else 100
        )
    assert caught.value.code == "SANDBOX_NOT_STARTED"
    assert said in caught.value.message


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="No such file"):
        ensure_sandbox(tmp_path, command=["/nowhere/program"])


def test_what_the_sandbox_does_not_take_is_said(sandbox: SandboxAddress) -> None:
    with pytest.raises(EnvironmentFault, match="There is no section 'planets'"):
        seed_catalogue(sandbox, {"planets": []})
