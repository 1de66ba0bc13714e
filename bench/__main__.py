"""``python -m bench [--quick] [--only TOPIC] [--page FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = PAGE.with_suffix(".svg")
#: In the order in which they are measured and told: first what noise moves most, last what fills the disk.
TOPICS = (
    "billed_job",
    "http_job",
    "quota",
    "no_op_orders",
    "unbilled_job",
    "submit_and_check",
    "recovery",
    "window",
    "window_session",
    "growth",
    "importing",
    "servers",
    "history",
)
NOT_MEASURED = (
    "SQL Server.",
    "Several engines on one database, and networks: billing and database are on this machine.",
    "A machine with more cores: threads of one Python process share one, here as there.",
    "A screen: the window is drawn by Qt's offscreen platform, without a graphics card or a display's refresh.",
)


def main() -> int:
    """Measures, prints, and keeps what was measured."""
    parser = argparse.ArgumentParser(prog="bench", description="How fast the program is, each figure by its baseline.")
    parser.add_argument("--quick", action="store_true", help="about two minutes; the page is left as it is")
    parser.add_argument("--only", action="append", choices=TOPICS, help="one topic; the page is left as it is")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page from an earlier run's JSON; no run")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 180)
    if given.page is not None:
        return _tell(json.loads(given.page.read_text(encoding="utf-8")), console, page=True)
    _forget_the_person()
    document = _measured(given.only or TOPICS, quick=given.quick, console=console)
    told = _tell(document, console, page=not given.quick and not given.only and not document["failed"])
    for failed in document["failed"]:
        console.print(f"[red]Not measured: {failed['topic']}[/red]\n{failed['error']}", highlight=False)
    return 1 if document["failed"] else told


def _tell(document: dict[str, Any], console: Console, *, page: bool) -> int:
    from bench import plot, report

    report.print_table(document, console)
    if page:
        PICTURE.write_text(plot.draw(document["figures"]), encoding="utf-8")
        PAGE.write_text(report.page(document, PICTURE.name), encoding="utf-8")
        console.print(f"Written: {PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")
    return 0


def _measured(topics: tuple[str, ...] | list[str], *, quick: bool, console: Console) -> dict[str, Any]:
    from importlib import import_module

    from bench import machine
    from bench.run import Run
    from bench.world import Worlds

    # On the disk of the repository: a temporary folder may be memory, which makes every commit free.
    folder = RESULTS / f"scratch-{os.getpid()}"
    folder.mkdir(parents=True)
    began = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/dim]  {what}", highlight=False)

    document: dict[str, Any] = {
        "machine": machine.facts(folder),
        "quick": quick,
        "figures": [],
        "topic_seconds": {},
        "failed": [],
        "not_measured": NOT_MEASURED,
    }
    kept = RESULTS / f"{document['machine']['date'].replace(':', '')}-{document['machine']['commit'][:12]}.json"
    try:
        run = Run(quick, folder, Worlds(folder), say)
        for topic in topics:
            start = time.monotonic()
            try:
                figures = import_module(f"bench.topics.{topic}").measure(run)
                document["figures"] += [figure.to_document() for figure in figures]
            except Exception:  # noqa: BLE001 - whatever goes wrong in one, the others are measured and kept
                document["failed"].append({"topic": topic, "error": traceback.format_exc()})
                say(f"{topic} failed")
            document["topic_seconds"][topic] = round(time.monotonic() - start)
            document |= {"seconds": round(time.monotonic() - began), "load_after": machine.load()}
            # After each of them: a run that is broken off has told something, too.
            kept.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    finally:
        shutil.rmtree(folder)
    console.print(f"Kept in {kept.relative_to(ROOT)}")
    return document


def _forget_the_person() -> None:
    """Settings of whoever runs this stay out of it."""
    for name in [name for name in os.environ if name.startswith(("ASSOCIATION_", "XDG_"))]:
        del os.environ[name]
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    os.environ["XDG_CONFIG_HOME"] = str(RESULTS / "no-settings")


if __name__ == "__main__":
    sys.exit(main())
