"""The bench keeps what it has measured, whatever happens, and measures the same things on both kinds of database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench import __main__ as bench
from bench import report
from bench.billing import bare_pool
from bench.measure import Figure, Target
from bench.run import Run
from bench.servers import PostgresWorlds
from bench.topics import history, servers
from bench.world import Worlds
from tests.helpers.postgres import PostgresServer


def figure(topic: str) -> Figure:
    return Figure(topic, "a thing", "ms", (2.0, 4.0), "another", (1.0, 2.0), Target(at_most=3.0))


def test_a_topic_that_fails_loses_nothing_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_run: Run) -> list[Figure]:
        raise RuntimeError("the disk is full")

    monkeypatch.setitem(sys.modules, "bench.topics.one", SimpleNamespace(measure=lambda _run: [figure("one")]))
    monkeypatch.setitem(sys.modules, "bench.topics.two", SimpleNamespace(measure=fails))
    monkeypatch.setitem(sys.modules, "bench.topics.three", SimpleNamespace(measure=lambda _run: [figure("three")]))
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    document = bench._measured(("one", "two", "three"), quick=True, console=Console(quiet=True))
    assert [one["topic"] for one in document["figures"]] == ["one", "three"]
    assert [one["topic"] for one in document["failed"]] == ["two"]
    assert "the disk is full" in document["failed"][0]["error"]
    (kept,) = tmp_path.iterdir()  # the scratch folder is gone
    assert json.loads(kept.read_text(encoding="utf-8"))["failed"] == document["failed"]
    page = report.page(document, "picture.svg")
    assert "| a thing | 3 ms | another: 1.5 | 2.00 (2.00–2.00) | ≤ 3 | yes |" in page
    assert "| three | 0 |" in page


def test_a_call_that_fails_is_no_fast_call() -> None:
    def refused() -> None:
        raise ConnectionRefusedError

    with pytest.raises(RuntimeError, match="bare pool"):
        bare_pool(refused, 10, 2)


@pytest.mark.postgres
def test_both_databases_do_the_same(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims and records on both; and every page of the history holds the very same facts (the topic compares them)."""
    monkeypatch.setattr(servers, "GROUPS", 1)
    monkeypatch.setattr(history, "PAGES", 3)
    monkeypatch.setattr(history, "REPEATS", 1)
    postgres, sqlite, past = PostgresWorlds(postgres_server), Worlds(tmp_path), history.Past(400, 8_000, 10, 2_000)
    with postgres.fresh(400) as one, sqlite.fresh(400) as other:
        costs = servers._in_turns(one, other)
    assert all(set(cost) == set(servers.PARTS) and min(cost.values()) > 0 for cost in costs)
    with postgres.fresh(400) as one, sqlite.fresh(400) as other:
        for world in (one, other):
            history.make(world, past)
        names = list(history.asked(past, Random(1)))
        figures = [history._figure(one, other, past, name) for name in names]
    assert len(figures) == len(names) == 9
    postgres.forget(400)
