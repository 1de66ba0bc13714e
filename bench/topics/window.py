"""The window: how soon it is there, and what a device costs in its list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from bench.machine import ROOT
from bench.measure import Figure, Target, in_turns
from bench.run import Run

TOPIC = "window"
_WINDOWS = ("program", "furnished", "bare")


def measure(run: Run) -> list[Figure]:
    """First paint against a bare window of PySide6; memory and times of a list of many devices."""
    count = 100_000 if run.quick else 1_000_000
    with run.worlds.fresh(1_000) as world:
        run.say("the first window")
        folder = world.path.parent
        for what in _WINDOWS:
            _first_paint(what, folder)  # from here on all have their bytecode
        ours, furnished, bare = in_turns(
            3 if run.quick else 7, *(partial(_first_paint, what, folder) for what in _WINDOWS)
        )
    with run.worlds.fresh(count) as world:
        run.say(f"a list of {count:,} devices")
        told = [_in_child("bench.device_list", str(world.path)) for _ in range(run.repeats)]
    table = [one["bytes"] for one in told]
    found = [one["filter_s"] * 1000 for one in told]
    return [
        Figure(
            TOPIC, "first paint, from the start of the process", "s", ours, "a bare window of PySide6", bare,
            Target(at_most=1.5), "without a screen (Qt's offscreen platform)",
        ),
        Figure(
            TOPIC, "rail, header and “Opening the database…” painted, from the start of the process", "s", furnished,
            "a bare window of PySide6", bare,
        ),
        Figure(
            TOPIC, f"memory of the list, {count:,} devices, all checked, scrolled through", "bytes a device",
            tuple(table), "an array of their handles", (8.0,) * len(table), Target(at_most=150.0, of_ratio=False),
            "growth of the process's resident memory; what is searched in and caches of the database included",
        ),
        Figure(
            TOPIC, f"filter by part of any identifier among {count:,}: count and first page", "ms", tuple(found),
            "LIKE over the same columns, count only", tuple(one["like_s"] * 1000 for one in told),
            Target(at_most=200.0, of_ratio=False),
        ),
    ]  # fmt: skip


def _first_paint(what: str, folder: Path) -> float:
    began = time.monotonic()
    return float(_in_child("bench.first_paint", what, str(began), str(folder))["seconds"])


def _in_child(module: str, *arguments: str) -> dict[str, float]:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program does not compile itself at every start
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told
