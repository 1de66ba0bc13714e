"""Jobs over the real client and real HTTP, beside a bare pool of ``requests`` sessions that post the same things.

The sandbox is the billing company of both: a process of its own that answers after L. It shares the cores with whoever
calls it.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import TYPE_CHECKING

import requests

from bench.billing import bare_pool
from bench.measure import Figure, timed
from bench.run import Run
from bench.world import ACTIVATED_ON
from desktop_app.association.ports import ServiceOrder
from desktop_app.association.states import JobState
from desktop_app.billing.secrets import open_login
from desktop_app.billing.shapes import ReferenceFields, service_body
from desktop_app.bootstrap import demonstration
from desktop_app.bootstrap.desk import open_desk
from desktop_app.settings import load

if TYPE_CHECKING:
    from desktop_app.billing.secrets import BillingLogin

TOPIC = "job with billing, over HTTP"
#: Latency in ms, concurrency, devices.
CELLS = ((50, 16, 1_200), (200, 32, 1_000))


def measure(run: Run) -> list[Figure]:
    """Devices a second of a job, and calls a second of the bare pool, in turns on one sandbox."""
    figures = []
    for latency_ms, concurrency, count in CELLS[:1] if run.quick else CELLS:
        name = f"L = {latency_ms} ms, C = {concurrency}, k = 1, {count:,} devices"
        jobs, pools = [], []
        for _ in range(run.repeats):
            run.say(f"{name}, over HTTP")
            job, pool = _rates(run, latency_ms, concurrency, count)
            jobs.append(job)
            pools.append(pool)
        figures += [
            Figure(
                TOPIC, name, "a second", tuple(jobs), "bare pool of requests sessions, same sandbox", tuple(pools),
                note="real client and real HTTP; the sandbox takes its own part of the cores, in both",
            ),
            Figure(
                TOPIC, name, "a second", tuple(jobs), "ideal: C ÷ L",
                (concurrency * 1000 / latency_ms,) * len(jobs),
            ),
        ]  # fmt: skip
    return figures


def _rates(run: Run, latency_ms: int, concurrency: int, count: int) -> tuple[float, float]:
    with run.worlds.fresh(count) as world:
        settings = load({"data_dir": world.path.parent, "rate_per_minute": 0, "workers": concurrency})
        tracking_number = world.submit(world.request(count, billing=True))
        with open_desk(settings, engine="wait") as opened:
            url = demonstration.set_sandbox_faults(opened, latency_ms=latency_ms)
            try:

                def work() -> None:
                    opened.start_engine()
                    while not opened.is_idle():
                        time.sleep(0.02)

                taken = timed(work)
                opened.stop_engine()
                job = opened.desk.job(tracking_number).job
                assert job.state is JobState.COMPLETED, job.state
                pool = _bare(f"{url}/Services", open_login("sandbox", "main", is_default=True), concurrency, count)
            finally:
                demonstration.stop_sandbox(opened)
    return count / taken, pool


def _bare(url: str, login: BillingLogin, concurrency: int, calls: int) -> float:
    """Calls a second of threads that each have a session, and post what the client posts of other devices."""
    sessions, numbers = threading.local(), itertools.count(1)

    def call() -> None:
        if not hasattr(sessions, "own"):
            sessions.own = requests.Session()
            sessions.own.auth = (login.login, login.password)
            sessions.own.headers.update({
                "Ocp-Apim-Subscription-Key": login.subscription_key, "Content-Type": "application/json",
            })  # fmt: skip
        number = next(numbers)
        order = ServiceOrder(f"bare-{number}", "500", "12", f"1305{number:07}", ACTIVATED_ON, "3")
        answer = sessions.own.post(url, data=service_body(order, ReferenceFields()), timeout=10)
        assert answer.status_code == 201, (answer.status_code, json.dumps(answer.json()))

    return bare_pool(call, calls, concurrency)
