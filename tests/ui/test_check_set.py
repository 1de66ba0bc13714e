"""The set of checked devices against a plain set."""

from __future__ import annotations

import tracemalloc
from array import array

from hypothesis import given
from hypothesis import strategies as st

from desktop_app.association.model import unpack
from desktop_app.ui.models import check_set
from desktop_app.ui.models.check_set import CheckSet

devices = st.integers(1, 12)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "discard", "discard_shown"]), devices),
        st.tuples(st.sampled_from(["add_all", "discard_all", "update"]), st.integers(0, 3)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=25,
)
LISTS = (array("q"), array("q", range(1, 7)), array("q", [9, 3, 4]), array("q", range(1, 13)))


@given(steps)
def test_is_a_set(taken):
    ours, plain = CheckSet(), set()
    for what, value in taken:
        match what:
            case "add":
                ours.add(value)
                plain.add(value)
            case "discard":
                ours.discard(value)
                plain.discard(value)
            case "discard_shown":
                for shown in LISTS:
                    if value in shown and ours.holds(value, shown):
                        ours.discard_shown(value, shown)
                        plain.discard(value)
                        break
            case "add_all":
                ours.add_all(LISTS[value])
                plain |= set(LISTS[value])
            case "discard_all":
                ours.discard_all(LISTS[value])
                plain -= set(LISTS[value])
            case "update":
                ours.update(LISTS[value])
                plain |= set(LISTS[value])
            case _:
                ours.clear()
                plain.clear()
        assert len(ours) == len(plain)
        assert {device for device in range(14) if device in ours} == plain
        listed = list(unpack(ours.packed()))
        assert len(listed) == len(plain)
        assert set(listed) == plain
        assert list(ours.ids()) == listed
        for shown in LISTS:
            assert all(ours.holds(device, shown) == (device in plain) for device in shown)
            if (all_held := ours.holds_all(shown)) is not None:
                assert all_held == (len(shown) > 0 and set(shown) <= plain)


def test_devices_stay_in_the_order_of_the_list():
    checks = CheckSet()
    checks.add_all(array("q", [30, 10, 20]))
    checks.discard(10)
    checks.add(5)
    assert list(unpack(checks.packed())) == [30, 20, 5]


def taken() -> int:
    """Bytes that the module of the set has taken and not given back; other threads of this process take some too."""
    of_the_set = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, check_set.__file__)])
    return sum(trace.size for trace in of_the_set.traces)


def test_all_of_a_list_costs_nothing_and_a_million_devices_little():
    million = array("q", range(1, 1_000_001))
    checks = CheckSet()
    tracemalloc.start()
    try:
        checks.add_all(million)
        assert taken() < 1_000
        assert checks.holds(17, million)
        assert taken() < 1_000
        assert 17 in checks  # another list is shown: a hash of the whole is made now
        assert 0 < taken() / len(million) <= 150 - million.itemsize
    finally:
        tracemalloc.stop()


def test_handles_far_apart_and_close_together_behave_alike():
    for ids in (array("q", range(1, 2_000)), array("q", [7, 10**12, 5, 3 * 10**9])):
        checks = CheckSet()
        checks.add(10**6)
        checks.add_all(ids)
        other = ids[:]
        assert all(checks.holds(device, other) for device in other)
        assert checks.holds_all(other) is True
        checks.discard(ids[1])
        assert checks.holds_all(other) is False
        assert ids[1] not in checks
        assert 10**6 in checks
        assert 4 * 10**6 not in checks
        assert checks.ids() == array("q", [*(device for device in ids if device != ids[1]), 10**6])
        assert checks.packed() == checks.ids().tobytes()
        checks.add(ids[1])
        assert checks.holds_all(other) is True
        checks.discard_all(other)
        assert list(checks) == [10**6]
