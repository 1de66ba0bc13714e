"""The window with many devices: how it searches, selects and scrolls, and how long it does not answer at most."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from bench.machine import ROOT
from bench.measure import Figure, Target
from bench.run import Run

TOPIC = "window, a session"


def measure(run: Run) -> list[Figure]:
    """One session of search, select, check, submit and watch, in a process of its own for each repeat."""
    count, job = (100_000, 5_000) if run.quick else (1_000_000, 20_000)
    told, bare = [], []
    for _ in range(1 if run.quick else 2):
        with run.worlds.fresh(count) as world:
            run.say(f"a session at the window with {count:,} devices")
            told.append(_in_child("bench.window_session", str(world.path), str(job)))
            bare.append(_in_child("bench.bare_table", str(world.path)))
    for one in told:
        run.say(f"longest stop: {1000 * one['gap_s']:.0f} ms in “{one['gap_phase']}” ({one['gap_where']})")
    devices = f"{count:,} devices"

    def of(name: str, scale: float = 1000) -> tuple[float, ...]:
        return tuple(scale * one[name] for one in told)

    def beside(name: str) -> tuple[float, ...]:
        return tuple(1000 * one[name] for one in bare)

    stops = "search, select, check, submit, watch"
    return [
        Figure(
            TOPIC, f"from the open desk to the first rows of {devices}", "ms", of("first_rows_s"),
            "a bare table on the same query", beside("first_rows_s"), Target(at_most=1.5),
        ),
        Figure(
            TOPIC, f"from the open desk until all {devices} are listed", "ms", of("all_listed_s"),
            "a bare table on the same query", beside("first_rows_s"), note="the first rows are on the screen by then",
        ),
        Figure(
            TOPIC, f"from the open desk until {devices} are found in memory", "s", of("prepared_s", 1),
            "the first rows", of("first_rows_s", 1), note="until then searching asks the database",
        ),
        Figure(
            TOPIC, f"search for a part of an identifier among {devices}: list, count and first page on the screen",
            "ms", of("search_s"), "LIKE over the same columns, count only", beside("like_s"),
            Target(at_most=200.0, of_ratio=False), "behind the debounce of 150 ms",
        ),
        Figure(
            TOPIC, f"filter {devices} by a chip: list, count and first page on the screen", "ms", of("chip_s"),
            "the same condition in SQL, count only", beside("chip_s"), Target(at_most=200.0, of_ratio=False),
        ),
        Figure(
            TOPIC, f"select all {devices}", "ms", of("select_all_s"), "Qt's own select-all on a bare table",
            beside("select_all_s"), Target(at_most=50.0, of_ratio=False),
        ),
        Figure(
            TOPIC, f"scroll frame, 95th percentile, while a job of {job:,} devices runs", "ms", of("frame_p95_s"),
            "a bare table, nothing running", beside("frame_p95_s"), Target(at_most=33.0, of_ratio=False),
        ),
        Figure(
            TOPIC, f"longest stop of the UI thread, {devices}: {stops}", "ms", of("gap_held_s"),
            "the same by the clock, other processes included", of("gap_s"), Target(at_most=100.0, of_ratio=False),
            "time in which this process had a core",
        ),
    ]  # fmt: skip


def _in_child(module: str, *arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
