"""Which devices are checked: a set of handles of its own, made for a million of them."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Iterator
from itertools import filterfalse

#: Handles are numbered in a row, mostly: up to this many times as many bytes as devices are spent on the gaps.
_GAPS = 8


class _Marks:
    """Which handles are in a list, a byte each: a set of a million takes 64 times as much, and longer to make."""

    __slots__ = ("_marks",)

    def __init__(self, ids: array[int], highest: int) -> None:
        self._marks = marks = bytearray(highest + 1)
        for key in ids:
            marks[key] = 1

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and 0 <= key < len(self._marks) and self._marks[key] == 1


def _members(ids: array[int]) -> Container[int]:
    highest = max(ids, default=0)
    return _Marks(ids, highest) if ids and highest <= _GAPS * len(ids) and min(ids) >= 0 else frozenset(ids)


class CheckSet:
    """A set of device handles in which "all of this list" costs nothing.

    A list that was checked as a whole is kept as it is (``_base``), with what was unchecked after that and what was
    checked beside it; a hash of the list is only made when somebody asks about a device outside the list that is
    shown. Nothing here knows which devices a filter shows, so the checks survive filtering.
    """

    __slots__ = ("_base", "_base_hash", "_minus", "_plus", "_whole")

    def __init__(self) -> None:
        self._base: array[int] = array("q")
        self._base_hash: Container[int] | None = frozenset()
        self._minus: set[int] = set()
        self._plus: dict[int, None] = {}  # in the order in which they were checked
        self._whole: tuple[array[int], bool] | None = None  # a list, and whether all of it is checked

    def __len__(self) -> int:
        return len(self._base) - len(self._minus) + len(self._plus)

    def __contains__(self, device: int) -> bool:
        return device in self._plus or (device not in self._minus and device in self._hash())

    def __iter__(self) -> Iterator[int]:
        minus = self._minus
        yield from ((device for device in self._base if device not in minus) if minus else self._base)
        yield from self._plus

    def _hash(self) -> Container[int]:
        if self._base_hash is None:
            self._base_hash = _members(self._base)
        return self._base_hash

    def holds(self, device: int, shown: array[int]) -> bool:
        """Whether ``device``, one of the list ``shown``, is checked; quick where that list was checked as a whole."""
        if shown is self._base:
            return device not in self._minus
        return device in self

    def holds_all(self, shown: array[int]) -> bool | None:
        """Whether all of ``shown`` are checked; None where finding out would take long."""
        if not len(shown):
            return False
        if shown is self._base:
            return not self._minus
        if len(shown) > max(len(self), 5_000):
            return False if len(shown) > len(self) else None
        if self._whole is None or self._whole[0] is not shown:
            self._whole = shown, all(device in self for device in shown)
        return self._whole[1]

    def add(self, device: int) -> None:
        """Checks one device."""
        self._whole = None
        if device in self._minus:
            self._minus.discard(device)
        elif device not in self:
            self._plus[device] = None

    def discard(self, device: int) -> None:
        """Unchecks one device."""
        self._whole = None
        if device in self._plus:
            del self._plus[device]
        elif device in self._hash():
            self._minus.add(device)

    def discard_shown(self, device: int, shown: array[int]) -> None:
        """Unchecks one device of the list ``shown``; quick where that list was checked as a whole."""
        self._whole = None
        if shown is self._base:
            self._minus.add(device)
        else:
            self.discard(device)

    def add_all(self, devices: array[int]) -> None:
        """Checks a whole list. The list must not be changed afterwards."""
        self._whole = None
        if not len(self):
            self._base, self._base_hash, self._minus, self._plus = devices, None, set(), {}
        elif devices is self._base:
            self._minus.clear()
        else:
            inside = _members(devices)
            outside = {device: None for device in self if device not in inside}
            self._base, self._base_hash, self._minus, self._plus = devices, inside, set(), outside

    def update(self, devices: Iterable[int]) -> None:
        """Checks some devices."""
        for device in devices:
            self.add(device)

    def discard_all(self, devices: array[int]) -> None:
        """Unchecks a whole list."""
        self._whole = None
        if devices is self._base:
            self._base, self._base_hash, self._minus = array("q"), frozenset(), set()
            return
        gone = _members(devices)
        left = array("q", (device for device in self if device not in gone))
        self._base, self._base_hash, self._minus, self._plus = left, None, set(), {}

    def clear(self) -> None:
        """Unchecks everything."""
        self._whole = None
        self._base, self._base_hash, self._minus, self._plus = array("q"), frozenset(), set(), {}

    def packed(self) -> bytes:
        """The handles, 8 bytes each: as listed, then those that were checked one by one."""
        if not self._minus and not self._plus:
            return self._base.tobytes()
        return self.ids().tobytes()

    def ids(self) -> array[int]:
        """The handles in that order, as an array of its own."""
        ids = array("q", filterfalse(self._minus.__contains__, self._base)) if self._minus else self._base[:]
        ids.extend(self._plus)
        return ids
