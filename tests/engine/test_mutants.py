"""The mutants of ``make mutants`` follow the source: each applies, and names a test that is there."""

from __future__ import annotations

import pytest

from scripts.mutants import MUTANTS, ROOT, Mutant, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_applies_to_the_source_of_today(mutant: Mutant) -> None:
    before = (ROOT / mutant.path).read_text(encoding="utf-8")
    after = mutated(before, mutant)
    assert after != before
    compile(after, mutant.path, "exec")
    path, test = mutant.killed_by.split("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")
