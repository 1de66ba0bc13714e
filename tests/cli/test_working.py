"""Jobs that are really worked on: the real engine, the real billing sandbox as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import delete, select, update

from db import installation, schema
from db.demo.cases import DemoJob, find_case
from desktop_app.association.errors import EnvironmentFault
from desktop_app.billing.launcher import find_sandbox, read_ledger, set_faults, stop
from desktop_app.billing.secrets import SANDBOX_LOGIN
from desktop_app.bootstrap import billing
from desktop_app.engine.engine import Engine
from tests.cli.conftest import ROOT, Program, Result
from tests.cli.test_requests import plans
from tests.helpers.sandboxes import sandbox_of

Listed = tuple[Program, Path, DemoJob]


@pytest.fixture(autouse=True)
def no_sandbox_left(data_dir: Path) -> Iterator[None]:
    yield
    address = find_sandbox(data_dir)
    if address is not None:
        stop(address, timeout_s=60)
    for process in billing._sandboxes:
        process.terminate()
        process.wait(60)
    billing._sandboxes.clear()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited in vain for: {what}"
        time.sleep(0.05)


def submit(program: Program, path: Path, job: DemoJob, *flags: str) -> Result:
    return program("associate", "--devices", path, "--customer", job.customer, *plans(job), *flags, "--json")


def test_associate_and_wait_works_on_the_job(listed: Listed) -> None:
    program, path, job = listed
    result = submit(program, path, job, "--wait")
    assert result.code == 1  # four were blocked
    assert list(result.json) == ["tracking_number", "submitted", "rejected", "state"]
    assert result.json["state"] == "partially_completed"
    shown = program("show", result.json["tracking_number"], "--json").json
    assert (shown["counts"]["succeeded"], shown["counts"]["rejected"]) == (36, 4)
    done = [order for order in shown["work_orders"] if order["state"] == "succeeded"]
    assert {order["proofs"]["processing_completed"] for order in done} == {"yes"}
    assert {order["proofs"]["billing_service_created"] for order in done} <= {"yes", "kept"}
    address = sandbox_of(program.data_dir)
    ledger = read_ledger(address)
    made = sum(order["proofs"]["billing_service_created"] == "yes" for order in done)
    assert (ledger["totals"]["services"], ledger["duplicates"]) == (made, [])


def test_all_that_succeeds_ends_with_0_and_says_so(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        lines = find_case(uow, "ready", 3)
    result = demo("associate", "--devices", "-", "--customer", "10482", "--wait", stdin="\n".join(lines).encode())
    assert result.code == 0
    assert "completed: 3 ok of 3 devices" in result.out
    assert find_sandbox(demo.data_dir) is None  # nothing was to be billed


def test_work_does_what_was_submitted_and_ends(listed: Listed) -> None:
    program, path, job = listed
    number = submit(program, path, job).json["tracking_number"]
    result = program("work", "--until-idle", "--workers", 4, "--json")
    assert result.code == 1
    assert {"tracking_number": number, "state": "partially_completed"} in result.json["jobs"]
    again = program("work", "--until-idle", "--json")
    assert (again.code, again.json) == (0, {"jobs": []})


def test_worker_ends_cleanly_when_it_is_told_to(listed: Listed) -> None:
    program, path, job = listed
    number = submit(program, path, job).json["tracking_number"]
    with program.running("work") as process:
        wait_for(lambda: program("show", number, "--json").json["state"] == "partially_completed", "the job")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert number in out


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(listed: Listed) -> None:
    program, path, job = listed
    # nothing is made at billing until the program has heard of the Ctrl+C
    with program.running("billing-sandbox", "--process-delay-ms", 3_600_000) as sandbox:
        address = sandbox_of(program.data_dir)
        call = ("associate", "--devices", path, "--customer", job.customer, *plans(job), "--wait")
        with program.running(*call, ASSOCIATION_WORKERS="2") as process:
            wait_for(lambda: "running" in program("jobs", "--limit", 1).out, "the job")
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stderr is not None
            err = ""
            while "Stopping" not in err and (line := process.stderr.readline()):
                err += line
            set_faults(address, reset=True)
            out, err = process.stdout.read(), err + process.stderr.read()
        assert process.returncode == 130, err
        number = next(line for line in out.splitlines() if line.startswith("AJ-"))[:16]
        assert f"show {number}" in err
        shown = program("show", number, "--json").json
        assert shown["counts"]["running"] == 0
        assert 0 < shown["counts"]["queued"] <= 36
        assert program("work", "--until-idle").code == 1
        assert program("show", number, "--json").json["counts"]["succeeded"] == 36
        assert read_ledger(address)["duplicates"] == []
        sandbox.send_signal(signal.SIGINT)
        assert "listens on http://127.0.0.1:" in sandbox.communicate(timeout=60)[0]


def test_ctrl_c_while_the_engine_starts_stops_it_too(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    program, path, job = listed
    start = Engine.start

    def interrupted(engine: Engine) -> None:
        start(engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "start", interrupted)
        result = submit(program, path, job, "--wait")
    assert result.code == 130
    number = program("jobs", "--limit", 1, "--json").json["jobs"][0]["tracking_number"]
    assert f"show {number}" in result.err
    assert program("work", "--until-idle").code == 1
    assert program("show", number, "--json").json["counts"]["succeeded"] == 36


def test_no_billing_server_pauses_the_job_and_ends_with_3(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    program, path, job = listed
    monkeypatch.setenv("ASSOCIATION_BILLING_URL", "http://127.0.0.1:9/v1")
    result = program("associate", "--devices", path, "--customer", job.customer, *plans(job), "--wait")
    assert result.code == 3
    assert "Paused (environment)" in result.out
    assert "127.0.0.1" in result.out
    number = next(line for line in result.out.splitlines() if line.startswith("AJ-"))[:16]
    shown = program("show", number, "--json").json
    assert (shown["state"], shown["counts"]["failed"]) == ("paused", 0)
    monkeypatch.delenv("ASSOCIATION_BILLING_URL")
    assert program("resume", number).code == 0
    assert program("work", "--until-idle").code == 1
    assert program("show", number, "--json").json["counts"]["succeeded"] == 36


def test_a_refused_engine_start_is_said_with_the_job_that_waits(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Engine) -> None:
        raise EnvironmentFault("DATABASE_RESTORED", "It is a backup. Nothing was changed.", "Run: db restored")

    monkeypatch.setattr(Engine, "start", refuse)
    program, path, job = listed
    result = submit(program, path, job, "--wait")
    number = program("jobs", "--limit", 1, "--json").json["jobs"][0]["tracking_number"]
    said = f"It is a backup. Job {number} is submitted and waits."
    assert (result.code, result.error["message"]) == (3, said)
    assert result.error["what_to_do"] == "Run: db restored"
    with program.store as store, store.begin() as uow:
        job_id = uow.connection.scalar(select(schema.job.c.id).where(schema.job.c.tracking_number == number))
        orders, over = schema.work_order, {"state": "cancelled"}
        uow.connection.execute(update(orders).where(orders.c.job_id == job_id, orders.c.state == "queued").values(over))
        uow.connection.execute(update(schema.job).where(schema.job.c.id == job_id).values(over))
        uow.commit()
    retried = program("retry", number, "--wait")
    assert retried.code == 3
    assert said in " ".join(retried.err.split())


def test_credential_without_its_secret_is_said_and_the_job_waits(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, path, job = listed
    monkeypatch.setenv("ASSOCIATION_BILLING_KIND", "revio")
    result = submit(program, path, job, "--wait")
    assert (result.code, result.error["code"]) == (3, "NO_KEYRING")
    assert "ASSOCIATION_BILLING_LOGIN" in result.error["what_to_do"]
    number = program("jobs", "--limit", 1, "--json").json["jobs"][0]["tracking_number"]
    assert number in result.error["message"]
    assert program("show", number, "--json").json["counts"]["queued"] == 36
    with program.running("work") as process:
        assert process.stderr is not None
        assert "left to others" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_refused_login_pauses_the_job(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    program, path, job = listed
    for name in ("LOGIN", "PASSWORD", "SUBSCRIPTION_KEY"):
        monkeypatch.setenv(f"ASSOCIATION_BILLING_{name}", "wrong-geheim")
    with program.store as store, store.read() as uow:
        code = uow.connection.execute(
            select(schema.billing_credential.c.code)
            .join(schema.customer, schema.customer.c.billing_credential_id == schema.billing_credential.c.id)
            .where(schema.customer.c.account_number == job.customer)
        ).scalar_one()
    monkeypatch.setenv("ASSOCIATION_BILLING_CREDENTIAL", code)
    result = submit(program, path, job, "--wait")
    assert (result.code, result.json["state"]) == (3, "paused")
    log = "".join(file.read_text() for file in (program.data_dir / "logs").iterdir())
    database = b"".join(file.read_bytes() for file in program.data_dir.glob("desk.db*"))
    assert "geheim" not in result.out + result.err + log
    assert b"geheim" not in database


def test_retry_does_what_failed_and_nothing_twice(listed: Listed) -> None:
    program, path, job = listed
    with program.store as store, store.begin() as uow:
        installation.write(uow, "max_attempts", 1)
        uow.commit()
    with program.running("billing-sandbox"):
        address = sandbox_of(program.data_dir)
        set_faults(address, next=["500-before"] * 4)  # too few for a pause: the company breaks at some orders only
        number = submit(program, path, job, "--wait").json["tracking_number"]
        failed = program("show", number, "--json").json["counts"]["failed"]
        assert failed == 4
        assert f"{failed:,} " in program("show", number).out
        set_faults(address, reset=True)
        retried = program("retry", number, "--wait", "--json")
        assert list(retried.json) == ["tracking_number", "requeued", "still_blocked", "run_no"]
        assert (retried.code, retried.json["requeued"], retried.json["still_blocked"]) == (1, failed, 4)
        again = program("show", number, "--json").json
        assert (again["run_no"], again["counts"]["failed"], again["counts"]["succeeded"]) == (2, 0, 36)
        assert read_ledger(address)["duplicates"] == []


def test_reconcile_finds_what_differs(listed: Listed) -> None:
    program, path, job = listed
    number = submit(program, path, job, "--wait").json["tracking_number"]
    agreed = program("reconcile", "--json")
    assert list(agreed.json) == ["at_billing", "in_database", "orphans", "duplicates", "missing"]
    assert (agreed.code, agreed.json["missing"], agreed.json["duplicates"]) == (0, [], [])
    assert agreed.json["at_billing"] == agreed.json["in_database"]
    made = next(
        order
        for order in program("show", number, "--json").json["work_orders"]
        if order["proofs"]["billing_service_created"] == "yes"
    )
    service_id = made["steps"][0]["billing_id"]
    with program.store as store, store.begin() as uow:
        row = select(schema.billing_service.c.id).where(schema.billing_service.c.service_id == service_id)
        lost = uow.connection.execute(row).scalar_one()
        uow.connection.execute(
            schema.work_order.update()
            .where(schema.work_order.c.billing_service_id == lost)
            .values(billing_service_id=None)
        )
        uow.connection.execute(
            delete(schema.device_service_link).where(schema.device_service_link.c.billing_service_id == lost)
        )
        uow.connection.execute(delete(schema.billing_service).where(schema.billing_service.c.id == lost))
        uow.commit()
    result = program("reconcile", "--json")
    assert result.code == 1
    (orphan,) = [one for one in result.json["orphans"] if one["tracking_number"]]
    assert (orphan["service_id"], orphan["tracking_number"], orphan["iccid"]) == (service_id, number, made["iccid"])
    assert service_id in program("reconcile").out
    assert program("reconcile", "--operator", "viewer", "--json").error["code"] == "NOT_PERMITTED"


def test_sandbox_that_was_killed_is_started_again(listed: Listed) -> None:
    program, path, job = listed
    assert submit(program, path, job, "--wait").code == 1
    address = sandbox_of(program.data_dir)
    os.kill(address.pid, signal.SIGKILL)
    wait_for(lambda: find_sandbox(program.data_dir) is None, "the end of the sandbox")
    assert program("reconcile", "--json").json["missing"] == []
    assert sandbox_of(program.data_dir).instance != address.instance


def test_demo_shows_the_whole_way(program: Program) -> None:
    result = program("demo", "--devices", 60)
    assert result.code == 0, result.out + result.err
    assert "Every device is accounted for; billing and database agree" in result.out
    (folder,) = program.data_dir.glob("demo-*")
    (path,) = folder.glob("AJ-*.csv")
    assert str(path) in result.out
    assert len(path.read_text(encoding="utf-8-sig").splitlines()) == 61
    stop(sandbox_of(folder), timeout_s=60)  # it would end with this process


@pytest.mark.slow
def test_selftest_finds_everything_in_order(program: Program) -> None:
    result = program.run("--selftest", "--json", QT_QPA_PLATFORM="offscreen")
    assert result.code == 0, result.out + result.err
    assert [step["name"] for step in result.json["steps"]] == ["database", "job", "window"]
    assert result.json["ok"]
    assert list(program.data_dir.iterdir()) == []


def test_desktop_cannot_be_asked_for_with_half_a_flag() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--data-dir"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 2
    assert "--data-dir" in done.stderr


def test_json_is_alone_on_standard_output_while_work_goes_on(listed: Listed) -> None:
    program, path, job = listed
    result = program.run("associate", "--devices", path, "--customer", job.customer, *plans(job), "--wait", "--json")
    assert json.loads(result.out)["state"] == "partially_completed"


# --- re-reading from billing -----------------------------------------------------------------------------------------


def end_at_billing(data_dir: Path, service_id: str) -> None:
    """What the billing company's people do: PUT Services/{id} with a date on which it was disconnected."""
    address = sandbox_of(data_dir)
    login = b64encode(f"{SANDBOX_LOGIN.login}:{SANDBOX_LOGIN.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Ocp-Apim-Subscription-Key": SANDBOX_LOGIN.subscription_key}
    body = json.dumps({"disconnected_date": datetime.now(UTC).date().isoformat()}).encode()
    call = Request(f"{address.url}/Services/{service_id}", body, headers, method="PUT")
    with urlopen(call, timeout=60) as answer:
        assert answer.status == 200


def test_a_service_that_was_ended_at_billing_blocks_no_more_once_it_is_reread(demo: Program) -> None:
    with demo.store as store, store.read() as uow:
        (iccid,) = find_case(uow, "billed_to_another", 1)

    def check() -> Result:
        call = ("check", "--devices", "-", "--customer", "10482", "--create-billing-service", "--json")
        return demo(*call, "--effective-date", datetime.now(UTC).date(), stdin=iccid.encode())

    assert [one["code"] for one in check().json["findings"]] == ["BILLED_TO_ANOTHER"]
    assert "re-read from billing" in check().json["findings"][0]["what_to_do"]
    before = demo("device", iccid, "--json").json
    assert before["reread"] is None
    (service,) = (one for one in before["billing_services"] if one["is_active"])

    still = demo("device", iccid, "--re-read")
    assert still.code == 0
    assert f"\n{service['service_id']}  " in still.out[still.out.index("Re-read from billing") :]
    assert check().json["blocked"] == 1

    end_at_billing(demo.data_dir, service["service_id"])
    assert demo("device", iccid, "--re-read", "--operator", "viewer", "--json").error["code"] == "NOT_PERMITTED"
    reread = demo("device", iccid, "--re-read", "--json")
    assert reread.code == 0
    (told,) = reread.json["reread"]["services"]
    assert (told["service_id"], told["at_billing"]) == (service["service_id"], "ended")
    assert not any(one["is_active"] for one in reread.json["billing_services"])
    assert reread.json["history"][0]["event"] == "billing_service_ended"
    answer = check().json
    assert (answer["ready"] + answer["warnings"], answer["blocked"]) == (1, 0)
    assert "There was no active billing service to ask for." in demo("device", iccid, "--re-read").out
    assert demo("db", "check").code == 0


def test_a_billing_that_is_not_there_is_said(demo: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    with demo.store as store, store.read() as uow:
        (iccid,) = find_case(uow, "billed_to_another", 1)
    monkeypatch.setenv("ASSOCIATION_BILLING_URL", "http://127.0.0.1:9/v1")
    result = demo("device", iccid, "--re-read", "--json")
    assert (result.code, result.error["code"]) == (3, "BILLING_UNREACHABLE")
    assert "Nothing was changed." in result.error["message"]
