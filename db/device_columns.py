"""All devices by what they are searched and filtered by, in columns in memory: to find among a million in no time.

No index of a database finds a part of an identifier, and reading a million rows takes a second. So whoever lists
devices keeps this beside the database: about 110 bytes a device. It is filled once (:meth:`DeviceColumns.fill`), and
brought up to date by the change feed (``device.changed_at`` and ``revision``) before it is asked. What it answers is
what :mod:`db.device_filter` would answer, deleted and archived devices left out.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, combinations, compress, count, repeat
from operator import add, and_, or_
from typing import Any, NamedTuple

from desktop_app.association.errors import Cancelled
from desktop_app.association.model import DeviceFilter

#: Devices in one block: searching it takes less than a millisecond, in which no other thread gets its turn.
BLOCK = 4_096
_END = b"\n"
_SET = ord("1")
#: Of each digit the two planes that it is set in; and what tells for each plane whether a byte is.
_PAIRS = tuple(combinations(range(5), 2))
_BITS = tuple(
    bytes(b"01"[chr(byte) in "0123456789" and plane in _PAIRS[byte - 48]] for byte in range(256)) for plane in range(5)
)

IsCancelled = Callable[[], bool]


class Entry(NamedTuple):
    """One device as it is searched and filtered.

    Attributes:
        provider: code of the service provider.
        owner: handle of the customer, None: nobody's.
    """

    device_id: int
    iccid: str
    imei: str | None
    msisdn: str | None
    eid: str | None
    name: str | None
    is_deleted: bool
    is_archived: bool
    status: str
    provider: str
    owner: int | None


def _identifiers(iccid: str, imei: str | None, msisdn: str | None, eid: str | None) -> str:
    """What digits are searched in; the ICCID stands first."""
    return f"{iccid}\x1f{imei or ''}\x1f{msisdn or ''}\x1f{eid or ''}"


def _folded(name: str | None) -> str:
    """What any text is searched in."""
    return name.replace("\n", " ").lower() if name else ""


def _sum(identifiers: str, name: str) -> int:
    """Tells whether the texts of a device are others than before."""
    return (hash(identifiers) ^ hash(name)) & 0xFFFFFFFF


class Kind(NamedTuple):
    """What chips filter by."""

    status: str
    provider: str
    is_owned: bool


@dataclass(slots=True)
class _Late:
    """A device that came, or whose texts changed, after the block was made; it stands before the block's ``row``."""

    row: int
    iccid: str
    device_id: int
    identifiers: bytes
    name: bytes
    kind: int
    owner: int

    def __lt__(self, other: _Late) -> bool:
        return (self.row, self.iccid, self.device_id) < (other.row, other.iccid, other.device_id)


@dataclass(slots=True)
class _Block:
    """Devices in the order of their ICCIDs. A kind of 0: it is listed no more, or stands among the late ones.

    Attributes:
        iccids: one behind the other, each filled up with spaces to ``width`` bytes.
        digits: the identifiers, see :func:`_digit_planes`.
    """

    ids: array[int] = field(default_factory=lambda: array("q"))
    kinds: array[int] = field(default_factory=lambda: array("H"))
    owners: array[int] = field(default_factory=lambda: array("I"))
    sums: array[int] = field(default_factory=lambda: array("I"))
    iccids: bytes = b""
    width: int = 0
    digits: list[list[int]] = field(default_factory=list)
    names: bytes = b""
    gone: int = 0
    late: list[_Late] = field(default_factory=list)

    def iccid(self, row: int) -> bytes:
        """The ICCID in that row."""
        return self.iccids[row * self.width : (row + 1) * self.width].rstrip()

    def row_after(self, iccid: str) -> int:
        """The row before which a device with that ICCID would stand as the last of its equals."""
        return bisect_right(range(len(self.ids)), iccid.encode(), key=self.iccid)

    def row_of(self, iccid: str, device_id: int) -> int | None:
        """The row of a device; None: it is not here, or had another ICCID when the block was made."""
        sought, row = iccid.encode(), self.row_after(iccid) - 1
        while row >= 0 and self.iccid(row) == sought:
            if self.ids[row] == device_id:
                return row
            row -= 1
        return None


class DeviceColumns:
    """The columns. Whoever shares them between threads sees to it that one at a time uses them."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._firsts: list[str] = []  # of each block, the first ICCID
        self._newest = 0  # the greatest handle in the blocks
        self._kinds: list[Kind | None] = [None]
        self._kind_numbers: dict[tuple[str, str, bool], int] = {}
        self._owner_numbers: dict[int | None, int] = {None: 0}
        self._late: dict[int, tuple[int, _Late]] = {}
        self._totals: Counter[int] = Counter()
        self._last: tuple[str, list[Sequence[int]], list[list[_Late]]] | None = None

    def __len__(self) -> int:
        return self._totals.total()

    @property
    def late(self) -> int:
        """Devices that came or changed their texts since :meth:`fill`; many of them make it slow."""
        return len(self._late)

    # --- filling ------------------------------------------------------------------------------------------------------

    def fill(self, entries: Iterable[Sequence[Any]], cancelled: IsCancelled) -> None:
        """Takes all listed devices, each with the fields of an :class:`Entry`, by ICCID and then by handle.

        Raises:
            Cancelled: on the way; it holds a part of them then.
        """
        texts: list[str] = []
        names: list[str] = []
        block = _Block()
        for device_id, iccid, imei, msisdn, eid, name, _, _, status, provider, owner in entries:
            text, folded = _identifiers(iccid, imei, msisdn, eid), _folded(name)
            texts.append(text)
            names.append(folded)
            block.ids.append(device_id)
            block.kinds.append(self._kind_of(status, provider, owner))
            block.owners.append(self._owner_of(owner))
            block.sums.append(_sum(text, folded))
            if len(texts) == BLOCK:
                self._close(block, texts, names)
                texts, names, block = [], [], _Block()
                if cancelled():
                    raise Cancelled
        if texts or not self._blocks:
            self._close(block, texts, names)

    def _close(self, block: _Block, texts: list[str], names: list[str]) -> None:
        iccids = [text.partition("\x1f")[0] for text in texts]
        block.iccids, block.width = _even(iccids)
        block.digits = _digit_planes(texts)
        block.names = _lines(names)
        self._totals.update(block.kinds)
        self._firsts.append(iccids[0] if iccids else "")
        self._newest = max(self._newest, max(block.ids, default=0))
        self._blocks.append(block)

    def _kind_of(self, status: str, provider: str, owner: int | None) -> int:
        kind = (status, provider, owner is not None)
        number = self._kind_numbers.get(kind)
        if number is None:
            number = self._kind_numbers[kind] = len(self._kinds)
            self._kinds.append(Kind(*kind))
        return number

    def _owner_of(self, owner: int | None) -> int:
        number = self._owner_numbers.get(owner)
        if number is None:
            number = self._owner_numbers[owner] = len(self._owner_numbers)
        return number

    # --- changing -----------------------------------------------------------------------------------------------------

    def put(self, entry: Entry) -> None:
        """Takes a device that is new or may have changed."""
        late = self._late.pop(entry.device_id, None)
        if late is not None:
            self._blocks[late[0]].late.remove(late[1])
            self._totals[late[1].kind] -= 1
            self._last = None
        identifiers = _identifiers(entry.iccid, entry.imei, entry.msisdn, entry.eid)
        name = _folded(entry.name)
        is_listed = not entry.is_deleted and not entry.is_archived
        kind = self._kind_of(entry.status, entry.provider, entry.owner) if is_listed else 0
        place = self._place_of(entry)
        if place is not None:
            block, row = place
            is_same = block.sums[row] == _sum(identifiers, name)
            self._rewrite(block, row, kind if is_same else 0, self._owner_of(entry.owner))
            if is_same:
                return
            self._last = None
        if kind:
            self._last = None
            self._put_late(entry, identifiers, name, kind)

    def _place_of(self, entry: Entry) -> tuple[_Block, int] | None:
        """The block and the row of a device; where its ICCID is another one than before, all are looked through."""
        if entry.device_id > self._newest:
            return None
        likely = self._blocks[self._block_for(entry.iccid)]
        row = likely.row_of(entry.iccid, entry.device_id)
        if row is not None:
            return likely, row
        for block in self._blocks:
            if entry.device_id in block.ids:
                return block, block.ids.index(entry.device_id)
        return None

    def _block_for(self, iccid: str) -> int:
        return max(0, bisect_right(self._firsts, iccid) - 1)

    def _rewrite(self, block: _Block, row: int, kind: int, owner: int) -> None:
        before = block.kinds[row]
        block.owners[row] = owner
        if before == kind:
            return
        block.kinds[row] = kind
        if before:
            self._totals[before] -= 1
        if kind:
            self._totals[kind] += 1
        block.gone += (kind == 0) - (before == 0)

    def _put_late(self, entry: Entry, identifiers: str, name: str, kind: int) -> None:
        number = self._block_for(entry.iccid)
        block = self._blocks[number]
        row = block.row_after(entry.iccid)
        late = _Late(
            row, entry.iccid, entry.device_id, _lines([identifiers]), _lines([name]), kind, self._owner_of(entry.owner)
        )
        insort(block.late, late)
        self._late[entry.device_id] = number, late
        self._totals[kind] += 1

    # --- asking -------------------------------------------------------------------------------------------------------

    def ids(
        self, wanted: DeviceFilter, digits: str, visible: frozenset[int] | None, cancelled: IsCancelled
    ) -> array[int]:
        """Handles of the devices that the filter matches, by ICCID.

        Args:
            wanted: its ``include_deleted`` is not looked at.
            digits: the text as it is searched in identifiers; "": it is not.
            visible: customers whose devices may be seen, beside those of nobody; None: all of them.

        Raises:
            Cancelled: on the way.
        """
        rows_of, late_of = self._search(wanted.text.strip(), digits, cancelled)
        allowed = self._allowed(wanted)
        owners = self._allowed_owners(wanted.customer, visible)
        takes_all = len(allowed) == len(self._kinds) - 1 and owners is None
        found = array("q")
        for block, rows, late in zip(self._blocks, rows_of, late_of, strict=True):
            if cancelled():
                raise Cancelled
            if takes_all and not block.gone:
                taken: Sequence[int] = rows
            else:
                taken = _taken(block, rows, allowed, owners)
            if late:
                found.extend(_merged(block, taken, [one for one in late if _is_taken(one, allowed, owners)]))
            elif isinstance(taken, range):
                found.extend(block.ids)
            else:
                found.extend(map(block.ids.__getitem__, taken))
        return found

    def counts(
        self, wanted: DeviceFilter, digits: str, visible: frozenset[int] | None, cancelled: IsCancelled
    ) -> Mapping[Kind, int]:
        """How many devices of each kind the filter's text and customer match; see :meth:`ids`."""
        owners = self._allowed_owners(wanted.customer, visible)
        text = wanted.text.strip()
        if not text and owners is None:
            return self._named(self._totals)
        counted: Counter[int] = Counter()
        everything = frozenset(range(1, len(self._kinds)))
        for block, rows, late in zip(self._blocks, *self._search(text, digits, cancelled), strict=True):
            if cancelled():
                raise Cancelled
            taken = rows if owners is None else _taken(block, rows, everything, owners)
            counted.update(block.kinds if isinstance(taken, range) else map(block.kinds.__getitem__, taken))
            counted.update(one.kind for one in late if _is_taken(one, everything, owners))
        return self._named(counted)

    def _named(self, counts: Counter[int]) -> dict[Kind, int]:
        return {kind: counts[number] for number, kind in enumerate(self._kinds) if kind is not None and counts[number]}

    def _allowed(self, wanted: DeviceFilter) -> frozenset[int]:
        return frozenset(
            number
            for number, kind in enumerate(self._kinds)
            if kind is not None
            and (not wanted.statuses or kind.status in {status.value for status in wanted.statuses})
            and (not wanted.service_providers or kind.provider in wanted.service_providers)
            and (wanted.owned is None or kind.is_owned == wanted.owned)
        )

    def _allowed_owners(self, customer: int | None, visible: frozenset[int] | None) -> frozenset[int] | None:
        if customer is None and visible is None:
            return None
        return frozenset(
            number
            for owner, number in self._owner_numbers.items()
            if (customer is None or owner == customer) and (visible is None or owner is None or owner in visible)
        )

    # --- searching ----------------------------------------------------------------------------------------------------

    def _search(self, text: str, digits: str, cancelled: IsCancelled) -> tuple[list[Sequence[int]], list[list[_Late]]]:
        """For each block the rows, and those of the late ones, whose texts match. The last answer is kept: a list and
        its counts ask for the same."""
        if not text:
            return [range(len(block.ids)) for block in self._blocks], [block.late for block in self._blocks]
        if self._last is not None and self._last[0] == text:
            return self._last[1], self._last[2]
        name, number = text.lower().encode(), digits.encode()
        pairs = [_PAIRS[int(digit)] for digit in digits]
        rows_of: list[Sequence[int]] = []
        for block in self._blocks:
            if cancelled():
                raise Cancelled
            rows = _rows_of(_with_digits(block.digits, pairs), _rows_with(block.names, name), len(block.ids))
            rows_of.append(rows if len(rows) < len(block.ids) else range(len(block.ids)))
        late_of = [
            [one for one in block.late if name in one.name or (number and number in one.identifiers)]
            for block in self._blocks
        ]
        self._last = text, rows_of, late_of
        return rows_of, late_of


def _lines(texts: Sequence[str]) -> bytes:
    return "".join([f"{text}\n" for text in texts]).encode()


def _even(texts: Sequence[str]) -> tuple[bytes, int]:
    """The texts one behind the other, each filled up with spaces to the length of the longest; and that, in bytes."""
    lines = [text.encode() for text in texts]
    width = max(map(len, lines), default=0)
    return b"".join([line.ljust(width) for line in lines]), width


def _digit_planes(texts: Sequence[str]) -> list[list[int]]:
    """Where the digits stand in the texts: five planes, of each a number for every column of the texts, of each a bit
    for every text, that of the first one the highest.

    A digit is set in two of the planes (:data:`_PAIRS`), anything else in none. So AND of two numbers says at once
    which of a few thousand texts have that digit in that column. Looking for it in the texts takes ten times as long.
    """
    even, width = _even(texts)
    columns = [even[place::width] for place in range(width)]
    return [[int(column.translate(bits), 2) for column in columns] for bits in _BITS]


def _with_digits(planes: Sequence[Sequence[int]], pairs: Sequence[tuple[int, int]]) -> int:
    """The texts, a bit for each, that hold these digits one behind the other; none given: no text.

    All columns are gone through for one digit and then for the next: in C, many matches or few as there are.
    """
    found: Sequence[int] = ()
    for place, (one, other) in enumerate(pairs):
        found = list(map(and_, found, planes[one][place:])) if place else planes[one]
        found = list(map(and_, found, planes[other][place:]))
    return reduce(or_, found, 0)


def _rows_with(text: bytes, needle: bytes) -> Iterable[int]:
    """The lines of a text that hold the needle, from 0; a line may come again."""
    if _END in needle:
        return ()
    before = text.split(needle)
    del before[-1]
    return accumulate(map(bytes.count, before, repeat(_END)))


def _rows_of(bits: int, others: Iterable[int], total: int) -> array[int]:
    """The rows whose bit is set, and others, in order."""
    if not bits:
        return array("H", dict.fromkeys(others))
    marks = bytearray(format(bits, f"0{total}b").encode())
    for row in others:
        marks[row] = _SET
    before = marks.split(b"1")
    del before[-1]
    return array("H", map(add, accumulate(map(len, before)), count()))


def _taken(block: _Block, rows: Sequence[int], allowed: frozenset[int], owners: frozenset[int] | None) -> Sequence[int]:
    """Of these rows those of an allowed kind and owner."""
    kinds = block.kinds if isinstance(rows, range) else map(block.kinds.__getitem__, rows)
    taken = list(compress(rows, map(allowed.__contains__, kinds)))
    if owners is not None:
        of = block.owners.__getitem__
        taken = list(compress(taken, map(owners.__contains__, map(of, taken))))
    return taken


def _is_taken(one: _Late, allowed: frozenset[int], owners: frozenset[int] | None) -> bool:
    return one.kind in allowed and (owners is None or one.owner in owners)


def _merged(block: _Block, rows: Sequence[int], late: Iterable[_Late]) -> list[int]:
    """Handles of these rows with the late ones where they belong."""
    ids: list[int] = []
    done = 0
    for one in late:
        upto = bisect_left(rows, one.row)
        ids.extend(block.ids[row] for row in rows[done:upto])
        ids.append(one.device_id)
        done = upto
    ids.extend(block.ids[row] for row in rows[done:])
    return ids
