"""The list of devices: packed handles in memory, rows fetched as they are painted, and a check set of its own."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from PySide6.QtCore import QObject, Qt, Signal

from desktop_app.association.model import CheckReport, unpack
from desktop_app.desk.protocol import DeviceColumn, DeviceRow, DevicesDesk
from desktop_app.ui import words
from desktop_app.ui.background import Background
from desktop_app.ui.models.check_set import CheckSet
from desktop_app.ui.models.paged import Loader, PagedModel
from desktop_app.ui.widgets.rows import EMPTY_CELL, Cell, Column, width_of

PAGE, PAGES_KEPT = 100, 60
CHECK_BOX, VERDICT = "checked", "verdict"
#: Columns that can be sorted by, and what the desk calls them.
SORTS = {
    "iccid": DeviceColumn.ICCID,
    "imei": DeviceColumn.IMEI,
    "msisdn": DeviceColumn.MSISDN,
    "eid": DeviceColumn.EID,
    "name": DeviceColumn.NAME,
    "status": DeviceColumn.STATUS,
    "service_provider": DeviceColumn.SERVICE_PROVIDER,
    "carrier_rate_plan": DeviceColumn.CARRIER_RATE_PLAN,
    "customer": DeviceColumn.CUSTOMER,
    "site": DeviceColumn.SITE,
    "activated_on": DeviceColumn.ACTIVATED,
}
#: Columns that are hidden until a person asks for them.
HIDDEN_AT_FIRST = frozenset({"status", "customer", "site", "name", "imei", "eid"})


class Verdict(StrEnum):
    """What the last check said of a device."""

    READY = "ready"
    WARNING = "warning"
    BLOCKED = "blocked"


_CODES = (None, Verdict.READY, Verdict.WARNING, Verdict.BLOCKED)
#: Handles are numbered in a row, mostly: up to this many times as many bytes as devices are spent on the gaps.
_GAPS = 8


class Verdicts:
    """The verdicts of one check, by device. Made off the UI thread; not changed after that.

    A byte a device, at the place of its handle. (A set of a million of them takes 64 MB, and is made in one go, in
    which no other thread of Python gets its turn.)
    """

    __slots__ = ("_codes", "_sparse")

    def __init__(self, report: CheckReport | None = None) -> None:
        self._codes = bytearray()
        self._sparse: dict[int, int] = {}
        if report is None:
            return
        of_code = [unpack(packed) for packed in (report.ready_ids, report.warning_ids, report.blocked_ids)]
        count = sum(len(ids) for ids in of_code)
        highest = max((device for ids in of_code for device in ids), default=0)
        if highest <= _GAPS * count:
            self._codes = bytearray(highest + 1)
        codes: bytearray | dict[int, int] = self._codes or self._sparse
        for code, ids in enumerate(of_code, start=1):
            for device in ids:
                codes[device] = code

    def of(self, device: int) -> Verdict | None:
        """The verdict on the device; None: it was not checked."""
        if self._codes:
            return _CODES[self._codes[device]] if device < len(self._codes) else None
        return _CODES[self._sparse.get(device, 0)]


class DeviceTableModel(PagedModel[DeviceRow]):
    """The devices that a filter matches, in order, with their check boxes and verdicts.

    The handles of all of them are held (8 bytes a device); rows only around what is looked at. Checks belong to
    devices, not to rows: they survive every filter.

    While only the beginning of a list is there (``is_whole`` is False), nothing is done with "all that is listed": that
    all is checked waits until the rest comes.

    Signals:
        checks_changed(): other devices are checked than before.
        check_all_changed(): ``check_all_waits`` is another.
    """

    checks_changed = Signal()
    check_all_changed = Signal()

    def __init__(self, desk: DevicesDesk, background: Background, parent: QObject) -> None:
        super().__init__(self._all_columns(), background, parent, page_size=PAGE, pages_kept=PAGES_KEPT)
        self._desk = desk
        self._ids: array[int] = array("q")
        self._is_whole = True
        self._check_all_waits = False
        self._checks = CheckSet()
        self._verdicts: Verdicts | None = None
        self._provider_names: Mapping[str, str] = {}
        self._status_of = {
            Verdict.READY: _cell_of(words.ready()),
            Verdict.WARNING: _cell_of(words.warning()),
            Verdict.BLOCKED: _cell_of(words.blocked()),
        }
        self._gone = Cell(self.tr("no longer there"), muted=True)

    def _all_columns(self) -> tuple[Column, ...]:
        verdict_width = max(width_of(status.word, strong=True, icon=True) for status in _verdict_statuses())
        return (
            Column(CHECK_BOX, "", 42),
            Column(VERDICT, self.tr("Check"), verdict_width),
            Column("iccid", self.tr("ICCID"), width_of("0" * 20), stretch=2),
            Column("msisdn", self.tr("MSISDN"), width_of("+00 000 000 0000"), stretch=2, rank=1),
            Column("service_provider", self.tr("Carrier"), 130, stretch=3, rank=2),
            Column("carrier_rate_plan", self.tr("Carrier rate plan"), 140, stretch=3, rank=4),
            Column("activated_on", self.tr("Activated"), width_of("2026-11-24 "), stretch=1, rank=3),
            Column("status", self.tr("Status"), 110, rank=5),
            Column("customer", self.tr("Customer"), 170, stretch=3, rank=5),
            Column("site", self.tr("Site"), 140, stretch=2, rank=6),
            Column("name", self.tr("Name"), 140, stretch=2, rank=6),
            Column("imei", self.tr("IMEI"), width_of("0" * 16), rank=6),
            Column("eid", self.tr("EID"), width_of("0" * 32), rank=7),
        )

    # --- which devices are listed -------------------------------------------------------------------------------------

    @property
    def ids(self) -> array[int]:
        """The handles of all devices that are listed, in order. Not to be changed."""
        return self._ids

    @property
    def is_whole(self) -> bool:
        """Whether the list is there as a whole, and not its beginning only."""
        return self._is_whole

    def list_devices(self, ids: array[int], rows: Sequence[DeviceRow] = (), *, is_whole: bool = True) -> None:
        """Lists these devices. The array must not be changed afterwards.

        Args:
            rows: of the first of them, where they are known; what is gone is left out.
            is_whole: False: more will follow (:meth:`list_rest`).
        """
        self.take_back_check_all()
        self._ids, self._is_whole = ids, is_whole
        # as many handles as it takes to meet all the rows; one that is gone among the last is fetched in vain
        self.start_over(len(ids), _in_order(ids[: len(rows)], rows))

    def list_rest(self, ids: array[int]) -> bool:
        """Lists all of these, which begin with those that are listed; nothing that is looked at moves.

        Returns:
            False: they do not begin so (devices have changed meanwhile), and nothing was done.
        """
        known = len(self._ids)
        if (ids if len(ids) == known else ids[:known]) != self._ids:
            return False
        if len(ids) > known:
            self._ids = ids  # else the same array stays, by which checks know that all of it is checked
        self._is_whole = True
        self.resize_rows(len(ids))
        if self._check_all_waits:
            self.take_back_check_all()
            self.check_all_listed()
        return True

    def loader(self, first: int, count: int) -> Loader[DeviceRow]:
        desk, wanted = self._desk, self._ids[first : first + count]
        return lambda cancel: _in_order(wanted, desk.device_rows(wanted.tobytes()))

    def device_at(self, row: int) -> int:
        """The handle of the device in that row."""
        return self._ids[row]

    # --- checks -------------------------------------------------------------------------------------------------------

    @property
    def checks(self) -> CheckSet:
        """The checked devices; changed through this model alone."""
        return self._checks

    def is_checked(self, row: int) -> bool:
        """Whether the device in that row is checked."""
        return self._checks.holds(self._ids[row], self._ids)

    def toggle(self, row: int) -> None:
        """Checks or unchecks the device in that row."""
        self.set_checked(row, row, not self.is_checked(row))

    def set_checked(self, first: int, last: int, checked: bool) -> None:
        """Checks or unchecks the devices in a range of rows, both ends included."""
        first, last = sorted((first, last))
        for row in range(first, last + 1):
            if checked:
                self._checks.add(self._ids[row])
            else:
                self._checks.discard_shown(self._ids[row], self._ids)
        self._checks_did_change(first, last)

    @property
    def check_all_waits(self) -> bool:
        """Whether all that is listed will be checked when the rest of the list comes."""
        return self._check_all_waits

    def check_all_listed(self) -> None:
        """Checks every device that is listed, scrolled to or not; where the rest of the list is still to come, then."""
        if not self._is_whole:
            if not self._check_all_waits:
                self._check_all_waits = True
                self.check_all_changed.emit()
        elif len(self._ids):
            self._checks.add_all(self._ids)
            self._checks_did_change()

    def take_back_check_all(self) -> None:
        """What waits to be checked with the rest of the list is not checked."""
        if self._check_all_waits:
            self._check_all_waits = False
            self.check_all_changed.emit()

    def uncheck_all_listed(self) -> None:
        """Unchecks every device that is listed. Nothing where that is not the whole list."""
        if self._is_whole:
            self._checks.discard_all(self._ids)
            self._checks_did_change()

    def check_devices(self, devices: Iterable[int]) -> None:
        """Checks these devices, listed or not."""
        self._checks.update(devices)
        self._checks_did_change()

    def uncheck_everything(self) -> None:
        """Unchecks every device, listed or not."""
        self.take_back_check_all()
        if len(self._checks):
            self._checks.clear()
            self._checks_did_change()

    def header_state(self) -> Qt.CheckState:
        """What the check box in the header shows: none, some, or all of the devices that are listed."""
        if not len(self._checks) or not len(self._ids):
            return Qt.CheckState.Unchecked
        if self._is_whole and self._checks.holds_all(self._ids):
            return Qt.CheckState.Checked
        return Qt.CheckState.PartiallyChecked

    def _checks_did_change(self, first: int = 0, last: int = -1) -> None:
        last = len(self._ids) - 1 if last < 0 else last
        if last >= first:
            self.dataChanged.emit(self.index(first, 0), self.index(last, 0))
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, 0)
        self.checks_changed.emit()

    # --- verdicts -----------------------------------------------------------------------------------------------------

    @property
    def has_verdicts(self) -> bool:
        """Whether the answer of a check is shown."""
        return self._verdicts is not None

    def show_verdicts(self, verdicts: Verdicts | None) -> None:
        """Shows the answer of a check beside the devices; None: there is none."""
        if verdicts is None and self._verdicts is None:
            return
        self._verdicts = verdicts
        if len(self._ids):
            self.dataChanged.emit(self.index(0, 1), self.index(len(self._ids) - 1, 1))

    # --- names --------------------------------------------------------------------------------------------------------

    def name_providers(self, names: Mapping[str, str]) -> None:
        """Service providers are shown by name from now on."""
        self._provider_names = names
        self.refresh_cells()

    def provider_name(self, code: str) -> str:
        """The name of a service provider."""
        return self._provider_names.get(code, code)

    # --- cells --------------------------------------------------------------------------------------------------------

    def cell(self, row: int, column: int) -> Cell:
        key = self.columns[column].key
        if key == CHECK_BOX:
            return _CHECKED if self.is_checked(row) else _UNCHECKED
        if key == VERDICT:
            verdict = self._verdicts.of(self._ids[row]) if self._verdicts else None
            return self._status_of[verdict] if verdict else EMPTY_CELL
        device = self.row_at(row)
        if device is None:
            is_fetched = row // PAGE in self._pages
            return self._gone if is_fetched and key == "iccid" else EMPTY_CELL
        match key:
            case "activated_on":
                return Cell(words.iso_day(device.activated_on), muted=True)
            case "status":
                if device.is_deleted or device.is_archived:
                    return Cell(self.tr("Deleted") if device.is_deleted else self.tr("Archived"), muted=True)
                return Cell(words.device_status(device.status))
            case "msisdn":
                return Cell(words.msisdn(device.msisdn))
            case "service_provider":
                return Cell(self.provider_name(device.service_provider))
            case "carrier_rate_plan":
                return Cell(device.carrier_rate_plan_name or device.carrier_rate_plan, muted=True)
            case "customer" | "site" | "name":
                return Cell(str(getattr(device, key)), muted=True)
            case _:
                return Cell(str(getattr(device, key)))


def _in_order(ids: array[int], rows: Iterable[DeviceRow]) -> list[DeviceRow | None]:
    """The rows by handle; None where one is missing."""
    found = {row.device_id: row for row in rows}
    return [found.get(device) for device in ids]


def _verdict_statuses() -> tuple[words.Status, ...]:
    return words.ready(), words.warning(), words.blocked()


def _cell_of(status: words.Status) -> Cell:
    return Cell(status.word, icon=status.icon, tone=status.tone, strong=status.strong)


_CHECKED, _UNCHECKED = Cell(checked=True), Cell(checked=False)
