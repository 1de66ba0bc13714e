"""What an engine asks of the interpreter is given back in the end."""

from __future__ import annotations

import gc

import pytest

from desktop_app.bootstrap.desk import open_desk
from desktop_app.engine.interpreter import COLLECTED_AFTER, collector_spares_the_program
from desktop_app.settings import load


def test_the_collector_spares_what_is_there_and_looks_at_it_again_afterwards() -> None:
    before = gc.get_threshold()
    cycle: list[object] = []
    cycle.append(cycle)
    with collector_spares_the_program():
        assert gc.get_threshold() == COLLECTED_AFTER
        assert gc.get_freeze_count() > 1_000
        assert not any(one is cycle for one in gc.get_objects())
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
    assert any(one is cycle for one in gc.get_objects())
    cycle.clear()


def test_of_several_who_use_it_the_last_one_ends_it() -> None:
    before = gc.get_threshold()
    one, other = collector_spares_the_program(), collector_spares_the_program()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold() == COLLECTED_AFTER
    assert gc.get_freeze_count() > 1_000
    other.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


@pytest.mark.usefixtures("data_dir")
def test_a_worker_has_it_so_while_its_engine_runs() -> None:
    before = gc.get_threshold()
    with open_desk(load(), engine="work") as opened:
        assert gc.get_threshold() == before
        opened.start_engine()
        assert gc.get_threshold() == COLLECTED_AFTER
        opened.stop_engine()
        assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
        opened.start_engine()
        assert gc.get_threshold() == COLLECTED_AFTER
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
