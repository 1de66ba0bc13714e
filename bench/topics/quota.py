"""A job that the billing company's rate limit holds back: how much of the rate is used, and whether it is kept."""

from __future__ import annotations

import time

from bench.measure import Figure, Target, timed
from bench.run import Run
from desktop_app.association.states import JobState
from desktop_app.bootstrap import demonstration
from desktop_app.bootstrap.desk import open_desk
from desktop_app.settings import load

TOPIC = "rate limit"
PER_MINUTE = 1_200


def measure(run: Run) -> list[Figure]:
    """Calls a second of a job over the real sandbox, which refuses whatever comes too fast."""
    # The limit counts the calls of any 60 s: only a job that lasts longer meets it twice.
    count = PER_MINUTE // 4 if run.quick else PER_MINUTE * 3 // 2
    run.say(f"{count:,} devices at {PER_MINUTE:,} calls a minute, over the sandbox")
    with run.worlds.fresh(count) as world:
        settings = load({"data_dir": world.path.parent, "rate_per_minute": PER_MINUTE, "workers": 16})
        tracking_number = world.submit(world.request(count, billing=True))
        with open_desk(settings, engine="wait") as opened:
            demonstration.set_sandbox_faults(opened, rate_per_minute=PER_MINUTE)

            def work() -> None:
                opened.start_engine()
                while not opened.is_idle():
                    time.sleep(0.02)

            taken = timed(work)
            calls = demonstration.read_ledger(opened)["calls"]
            job = opened.desk.job(tracking_number).job
            demonstration.stop_sandbox(opened)
    assert job.state is JobState.COMPLETED, job.state
    refused = float(calls["429"])
    window = "a quarter of" if run.quick else "one and a half of"
    return [
        Figure(
            TOPIC, f"calls, {count:,} devices over the real client and sandbox", "a second", (calls["POST"] / taken,),
            "the allowed rate R", (PER_MINUTE / 60,), Target(at_least=0.98),
            f"it lasts for {window} a window of the limit; the governor's is 1 % longer than the server's",
        ),
        Figure(
            TOPIC, "answers 429 that we caused", "of them", (refused,), "calls", (float(calls["POST"]),),
            Target(at_most=0.0, of_ratio=False),
        ),
    ]  # fmt: skip
