"""The mutants of ``make mutants`` follow the source: each applies, and names a test that is there."""

from __future__ import annotations

import pytest

from scripts.mutants import MUTANTS, ROOT, Mutant, mutated, run_tests


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_applies_to_the_source_of_today(mutant: Mutant) -> None:
    before = (ROOT / mutant.path).read_text(encoding="utf-8")
    after = mutated(before, mutant)
    assert after != before
    compile(after, mutant.path, "exec")


def test_the_tests_that_kill_are_there_with_their_parameters() -> None:
    named = dict.fromkeys(mutant.killed_by for mutant in MUTANTS)
    found = run_tests(ROOT, "--collect-only", *named)
    assert found.returncode == 0, found.stdout + found.stderr
