"""Existing data, taken over row by row: which columns a table of them has, and what a cell may hold.

A row is judged here by what stands in it alone; whether what it names exists is the database's to say
(:mod:`desktop_app.association.import_faults`). Every wrong value is told with what to do, the other rows are kept.

An empty cell of a column that may be empty takes the value away. An empty cell of one that may not (a flag, a name)
leaves what is there, and gives a new row its default. A column that is not in the file is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from desktop_app.association import import_values as values
from desktop_app.association.errors import RequestRefused
from desktop_app.association.import_values import Iccid, WrongValue
from desktop_app.association.model import DeviceStatus, ImportTable


class RowFault(NamedTuple):
    """One value of one row that is not taken over; the row is left out with it.

    Attributes:
        line: of the file, from 1 for its first; of a SELECT: number of the row.
        column: which value; "" where it is the row as a whole.
        value: as it stands there.
        code: stable, upper case.
        message, what_to_do: one sentence each.
    """

    line: int
    column: str
    value: str
    code: str
    message: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class ImportColumn:
    """A column that is taken over.

    Attributes:
        name: in the file and in the database.
        read: a cell that is not empty, as a value; raises :class:`WrongValue`.
        needed: the file must have it, and no cell of it may be empty.
    """

    name: str
    read: Callable[[str], Any]
    needed: bool = False


def _needed(name: str, read: Callable[[str], Any]) -> ImportColumn:
    return ImportColumn(name, read, needed=True)


_flag, _date = values.flag, values.day
_CODE, _LONG_CODE = values.key(40), values.key(60)
_PROVIDER = _needed("service_provider", _CODE)
_ACCOUNT = _needed("account_number", _CODE)
_LIMITS = (ImportColumn("data_limit_bytes", values.whole(0, 2**63 - 1)), ImportColumn("data_pool", values.text(60)))
_IS_ACTIVE = ImportColumn("is_active", _flag)

#: The columns of each table. What is no column here is not taken over.
COLUMNS: Mapping[ImportTable, tuple[ImportColumn, ...]] = {
    ImportTable.SERVICE_PROVIDERS: (
        _needed("code", _CODE),
        ImportColumn("name", values.text(120)),
        _IS_ACTIVE,
    ),
    ImportTable.BILLING_CREDENTIALS: (
        _needed("code", _LONG_CODE),
        ImportColumn("name", values.text(120)),
        ImportColumn("is_default", _flag),
        _IS_ACTIVE,
        ImportColumn("mapping", values.mapping),
    ),
    ImportTable.CUSTOMERS: (
        _ACCOUNT,
        _needed("name", values.text(200)),
        ImportColumn("tag", values.text(80)),
        _IS_ACTIVE,
        ImportColumn("starts_on", _date),
        ImportColumn("contract_until", _date),
        ImportColumn("bill_cycle_day", values.whole(1, 28)),
        ImportColumn("billing_credential", _LONG_CODE),
        ImportColumn("billing_customer_id", values.text(40)),
    ),
    ImportTable.SITES: (
        _ACCOUNT,
        _needed("code", _CODE),
        ImportColumn("name", values.text(120)),
        ImportColumn("is_default", _flag),
        _IS_ACTIVE,
        ImportColumn("billing_address_id", values.text(40)),
    ),
    ImportTable.RATE_PLANS: (
        _needed("kind", values.choice("carrier", "customer")),
        ImportColumn("service_provider", _CODE),
        _needed("code", _LONG_CODE),
        ImportColumn("name", values.text(120)),
        ImportColumn("account_number", _CODE),
        *_LIMITS,
        _IS_ACTIVE,
    ),
    ImportTable.CUSTOMER_DEFAULTS: (_ACCOUNT, ImportColumn("default_customer_rate_plan", _LONG_CODE)),
    ImportTable.DEVICES: (
        _PROVIDER,
        _needed("iccid", values.iccid),
        ImportColumn("imei", values.imei),
        ImportColumn("msisdn", values.msisdn),
        ImportColumn("eid", values.eid),
        ImportColumn("name", values.text(120)),
        _needed("status", values.choice(*DeviceStatus)),
        ImportColumn("activated_on", _date),
        ImportColumn("is_deleted", _flag),
        ImportColumn("is_archived", _flag),
        ImportColumn("carrier_rate_plan", _LONG_CODE),
    ),
    ImportTable.OWNERSHIPS: (
        _PROVIDER,
        _needed("iccid", values.iccid),
        _ACCOUNT,
        ImportColumn("site", _CODE),
        ImportColumn("effective_from", _date),
        ImportColumn("customer_rate_plan", _LONG_CODE),
        *_LIMITS,
    ),
    ImportTable.BILLING_SERVICES: (
        _needed("billing_credential", _LONG_CODE),
        _needed("service_id", values.key(40)),
        _PROVIDER,
        _needed("iccid", values.iccid),
        _ACCOUNT,
        ImportColumn("number", values.text(40)),
        _IS_ACTIVE,
        ImportColumn("effective_date", _date),
        ImportColumn("ended_on", _date),
    ),
}

#: What names a row of a table: no two rows of a file may agree in it.
KEYS: Mapping[ImportTable, tuple[str, ...]] = {
    ImportTable.SERVICE_PROVIDERS: ("code",),
    ImportTable.BILLING_CREDENTIALS: ("code",),
    ImportTable.CUSTOMERS: ("account_number",),
    ImportTable.SITES: ("account_number", "code"),
    ImportTable.RATE_PLANS: ("kind", "service_provider", "code"),
    ImportTable.CUSTOMER_DEFAULTS: ("account_number",),
    ImportTable.DEVICES: ("service_provider", "iccid"),
    ImportTable.OWNERSHIPS: ("service_provider", "iccid"),
    ImportTable.BILLING_SERVICES: ("billing_credential", "service_id"),
}

#: Values that are made from others: for finding, and for comparing SIMs that are written in different lengths.
DERIVED: Mapping[ImportTable, tuple[tuple[str, str], ...]] = {
    ImportTable.CUSTOMERS: (("search_name", "name"),),
    ImportTable.DEVICES: (("iccid_shorter", "iccid"), ("iccid_longer", "iccid"), ("imei_14", "imei")),
    ImportTable.OWNERSHIPS: (("iccid_shorter", "iccid"), ("iccid_longer", "iccid")),
    ImportTable.BILLING_SERVICES: (("iccid_shorter", "iccid"), ("iccid_longer", "iccid")),
}
_DERIVE: Mapping[str, Callable[[Any], Any]] = {
    "search_name": lambda name: name.casefold()[:200],
    "imei_14": lambda imei: imei and imei[:14],
    "iccid_shorter": lambda iccid: iccid.shorter,
    "iccid_longer": lambda iccid: iccid.longer,
}


def plain_name(heading: str) -> str:
    """A heading as a column's name: ``Account Number`` is ``account_number``."""
    return heading.strip().lstrip("\ufeff").strip().casefold().replace(" ", "_").replace("-", "_")


class RowReader:
    """Reads the rows of one file (or SELECT) for one table; remembers what came before, to find what comes twice.

    Attributes:
        columns: names of the values of a row, in order; what is made from others stands behind.
        ignored: columns of the file that are not taken over.
    """

    def __init__(self, table: ImportTable, header: Sequence[str]) -> None:
        """
        Args:
            header: the first row of the file.

        Raises:
            RequestRefused: a column is missing, or there twice.
        """
        names = [plain_name(name) for name in header]
        known = {column.name for column in COLUMNS[table]}
        _refuse_twice(table, [name for name in names if name in known])
        missing = [column.name for column in COLUMNS[table] if column.needed and column.name not in names]
        if missing:
            raise RequestRefused(
                "IMPORT_COLUMN_MISSING",
                f"The table {table} has no column {', '.join(missing)}; it has: {', '.join(filter(None, names))}.",
                "Add the column, or name it so in the first row; docs/importing.md lists the columns of each table.",
            )
        self._table = table
        self._columns = [(names.index(one.name), one) for one in COLUMNS[table] if one.name in names]
        present = [one.name for _, one in self._columns]
        self._derived = [(_DERIVE[name], present.index(of)) for name, of in DERIVED.get(table, ()) if of in present]
        derived = [name for name, of in DERIVED.get(table, ()) if of in present]
        self.columns: tuple[str, ...] = (*present, *derived)
        self.ignored: tuple[str, ...] = tuple(name for name in names if name and name not in known)
        self._iccid = present.index("iccid") if "iccid" in present else -1
        self._key = [present.index(name) for name in KEYS[table] if name in present]
        self._seen: dict[Any, int] = {}

    def read(self, line: int, cells: Sequence[str]) -> tuple[Any, ...] | list[RowFault]:
        """The row's values in the order of :attr:`columns`, or everything that is wrong with it."""
        row: list[Any] = []
        faults: list[RowFault] = []
        for position, column in self._columns:
            cell = cells[position].strip() if position < len(cells) else ""
            try:
                if cell:
                    row.append(column.read(cell))
                elif column.needed:
                    raise WrongValue("VALUE_MISSING", "It is empty.", "Fill it in.")
                else:
                    row.append(None)
            except WrongValue as wrong:
                row.append(None)
                faults.append(RowFault(line, column.name, cell, *wrong.args))
        faults = faults or _together(self._table, line, dict(zip(self.columns, row, strict=False)))
        if faults:
            return faults
        key = tuple([_comparable(row[position]) for position in self._key])
        first = self._seen.setdefault(key, line)
        if first != line:
            return [self._twice(line, first, row)]
        row += [derive(row[of]) for derive, of in self._derived]
        if self._iccid >= 0:
            row[self._iccid] = row[self._iccid].value
        return tuple(row)

    def shown(self, values: Sequence[Any], column: str) -> str:
        """A value of a row as a person knows it."""
        value = values[self.columns.index(column)] if column in self.columns else None
        return "" if value is None else str(value)

    def _twice(self, line: int, first: int, row: Sequence[Any]) -> RowFault:
        names = ", ".join(self.columns[position] for position in self._key)
        shown = ", ".join(_shown(row[position]) for position in self._key)
        return RowFault(
            line, names, shown, "ROW_TWICE", f"Line {first} is for the same {names} already.", "Leave one of them."
        )


def _refuse_twice(table: ImportTable, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestRefused(
            "IMPORT_COLUMN_TWICE",
            f"The table {table} has the column {twice[0]} twice.",
            "Take one of them out, or give it another name.",
        )


def _together(table: ImportTable, line: int, row: Mapping[str, Any]) -> list[RowFault]:
    """What is wrong with values that are right by themselves."""
    if table is ImportTable.RATE_PLANS:
        provider = row.get("service_provider")
        if row["kind"] == "carrier" and not provider:
            return [
                RowFault(
                    line, "service_provider", "", "VALUE_MISSING", "A carrier rate plan belongs to a service provider.",
                    "Fill in the code of the service provider.",
                )
            ]  # fmt: skip
        if row["kind"] == "customer" and provider:
            return [
                RowFault(
                    line, "service_provider", str(provider), "VALUE_OUT_OF_PLACE",
                    "A customer rate plan belongs to no service provider.",
                    "Leave it empty, or make it a carrier plan.",
                )
            ]  # fmt: skip
    if table is ImportTable.BILLING_SERVICES:
        begun, ended = row.get("effective_date"), row.get("ended_on")
        if begun and ended and ended < begun:
            return [
                RowFault(
                    line, "ended_on", str(ended), "ENDS_BEFORE_IT_BEGINS", f"It begins on {begun}.",
                    "Correct one of the two dates.",
                )
            ]  # fmt: skip
    return []


def _comparable(value: Any) -> Any:
    """What decides whether two rows are for the same thing: no server tells capitals apart in all places."""
    if isinstance(value, Iccid):
        return value.shorter or value.value
    return value.casefold() if isinstance(value, str) else value


def _shown(value: Any) -> str:
    return value.value if isinstance(value, Iccid) else "" if value is None else str(value)
