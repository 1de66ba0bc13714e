"""What is told of a run: one table for the terminal, and docs/benchmarks.md, both from the same document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Document = Mapping[str, Any]
_HEADINGS = ("figure", "measured", "baseline", "ratio", "target", "met")
_HEAD = """\
# Benchmarks

Written by `make bench`; whatever is changed here by hand is lost with the next run.

Measured on {date} at commit `{commit}`{changes}, in {minutes} minutes.
{processor}, {cores} cores, {memory_gb} GB, {system}, Python {python}, SQLite {sqlite}.
One `fdatasync` of 4 KB takes {sync_us:,} µs. Load (processes that want a core, over a minute): {load_before} before the
run, {load_after} after it.

## How to read it

The machine is small and shared, and its noise is as large as many a difference. So trust the ratios: a figure and its
baseline are measured in turns, in the same minutes, and the ratio is the median of the repeats (their smallest and
largest in brackets). Seconds and rates are medians too, and are those of this machine. Everything runs on the embedded
database (SQLite, WAL, `synchronous=FULL`), but for what says PostgreSQL.

L is what a call to billing takes, C how many are made at a time, k how many a device needs: 1 with a billing service
alone, 3 with two plans' products. Billing is a stand-in that sleeps for L, but for the jobs over HTTP and the
rate limit, which are measured over the real client and the sandbox. The jobs with billing are done by an engine
that has done a small job before, as one in a window or a worker has, from the instant at which they may be worked on
to their final state, maintenance procedures included; one row says what an engine's very first job is like. That it
is over is heard from the engine: to look for it again and again would keep its threads waiting. Where L is 20 ms, a
thread that wakes half a millisecond late is 2.5 % of it, so these are measured five times.
"""


def print_table(document: Document, console: Console) -> None:
    """The table, and how many targets are met."""
    table = Table(title=_title(document), caption=_count(document))
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in {"measured", "ratio"} else "left")
    topic = ""
    for figure in document["figures"]:
        if figure["topic"] != topic:
            topic = figure["topic"]
            table.add_section()
            table.add_row(f"[bold]{topic}[/bold]")
        table.add_row(*_cells(figure), style=None if figure["met"] is not False else "red")
    console.print(table)


def page(document: Document, picture: str) -> str:
    """docs/benchmarks.md, with the picture that lies beside it."""
    lines = [
        _HEAD.format(**_facts(document)),
        f"![How near jobs come to the ideal, and what a device costs as jobs grow]({picture})",
        "",
        f"## Figures: {_count(document)}",
    ]
    notes: list[str] = []
    topic = ""
    for figure in document["figures"]:
        if figure["topic"] != topic:
            topic = figure["topic"]
            lines += ["", f"### {topic[0].upper()}{topic[1:]}", "", f"| {' | '.join(_HEADINGS)} |"]
            lines.append("| --- | ---: | --- | ---: | --- | --- |")
        cells = _cells(figure)
        if figure["note"]:
            if figure["note"] not in notes:
                notes.append(figure["note"])
            cells[0] += f" ({notes.index(figure['note']) + 1})"
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Notes", ""]
    lines += [f"{number}. {note[0].upper()}{note[1:]}." for number, note in enumerate(notes, 1)]
    missed = [figure for figure in document["figures"] if figure["met"] is False]
    if missed:
        lines += ["", "## Targets that were missed", ""]
        lines += [f"- {_missed(figure)}" for figure in missed]
    if "topic_seconds" in document:  # a run of before does not say
        lines += ["", "## How long it took", "", "| topic | s |", "| --- | ---: |"]
        lines += [f"| {name.replace('_', ' ')} | {seconds:,} |" for name, seconds in document["topic_seconds"].items()]
    lines += ["", "## What was not measured", ""]
    lines += [f"- {left_out}" for left_out in document["not_measured"]]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _facts(document: Document) -> dict[str, Any]:
    machine = document["machine"]
    return {
        **machine,
        "date": machine["date"][:10],
        "commit": machine["commit"][:12],
        "changes": " (with changes that were not committed)" if machine["uncommitted_changes"] else "",
        "load_after": document["load_after"],
        "minutes": round(document["seconds"] / 60),
    }


def _title(document: Document) -> str:
    machine = document["machine"]
    return f"{machine['commit'][:12]} on {machine['cores']} cores, load {machine['load_before']}"


def _count(document: Document) -> str:
    with_target = [figure for figure in document["figures"] if figure["met"] is not None]
    return f"{sum(figure['met'] for figure in with_target)} of {len(with_target)} targets are met"


def _cells(figure: Mapping[str, Any]) -> list[str]:
    target = figure["target"]
    met = {None: "", True: "yes", False: "**no**"}[figure["met"]]
    return [
        figure["what"],
        f"{_number(figure['value'])} {figure['unit']}",
        f"{figure['baseline']}: {_number(figure['baseline_value'])}",
        _ratio(figure["ratios"], figure["ratio"]),
        "" if target is None else _bound(target, figure["unit"]),
        met,
    ]


def _missed(figure: Mapping[str, Any]) -> str:
    reached = f"{_number(figure['value'])} {figure['unit']}"
    if figure["target"]["of"] == "ratio":
        reached = f"{_ratio(figure['ratios'], figure['ratio'])} of the baseline"
    return f"{figure['topic']}, {figure['what']}: {reached}; target {_bound(figure['target'], figure['unit'])}"


def _ratio(ratios: Sequence[float], middle: float) -> str:
    digits = 3 if middle < 1 else 2
    if len(ratios) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(ratios):.{digits}f}–{max(ratios):.{digits}f})"


def _bound(target: Mapping[str, Any], unit: str) -> str:
    sign, bound = ("≥", target["at_least"]) if target["at_least"] is not None else ("≤", target["at_most"])
    return f"{sign} {_number(bound)}{'' if target['of'] == 'ratio' else ' ' + unit}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".")
