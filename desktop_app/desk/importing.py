"""Taking existing data over: read, judged row by row, written in batches; wrong rows are listed, the rest is kept.

Each batch is a transaction of its own: an import that is stopped has done what it has done, and a second run finds that
as the same. A trial (``dry_run``) is one transaction that is never committed.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from db import operators
from db.importing.batch import BATCH, BatchOutcome, import_batch
from db.importing.shape import Import
from db.importing.statistics import tell_planner
from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.association.import_faults import database_fault
from desktop_app.association.import_rows import KEYS, RowFault, RowReader, plain_name
from desktop_app.association.model import ImportTable
from desktop_app.association.result_csv import defused
from desktop_app.desk.import_files import ImportSource
from desktop_app.desk.seat import Seat

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Columns of the list of wrong rows.
REJECT_COLUMNS = ("table", "file", "line", "column", "value", "code", "message", "what_to_do")
#: Wrong values that a report names; all of them stand in the list.
_NAMED = 50

#: The column of the customers that can only be taken over when the rate plans are there.
DEFAULT_PLAN = "default_customer_rate_plan"

#: Called with the table and how many of its rows are done.
Progress = Callable[[ImportTable, int], None]


@dataclass(slots=True)
class TableReport:
    """What became of one file.

    Attributes:
        table: what it is for.
        file: its name.
        new, changed, same, wrong: rows.
        ignored_columns: what was not taken over.
    """

    table: ImportTable
    file: str
    new: int = 0
    changed: int = 0
    same: int = 0
    wrong: int = 0
    ignored_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """A wrong value, and where it stands."""

    table: ImportTable
    file: str
    line: int
    column: str
    value: str
    code: str
    message: str
    what_to_do: str


@dataclass(slots=True)
class ImportReport:
    """What an import did, or would do.

    Attributes:
        dry_run: nothing was kept.
        tables: one for each file.
        wrong_rows: how many rows were left out.
        wrong: the first of what is wrong with them.
        rejects: the list of everything that is wrong; None: nothing is.
    """

    dry_run: bool
    tables: list[TableReport] = field(default_factory=list)
    wrong_rows: int = 0
    wrong: list[Reject] = field(default_factory=list)
    rejects: Path | None = None


def import_data(
    seat: Seat,
    sources: Sequence[ImportSource],
    rejects: Path,
    *,
    dry_run: bool = False,
    reason: str = "",
    progress: Progress = lambda _table, _rows: None,
    batch: int = BATCH,
) -> ImportReport:
    """Takes over what the sources hold, in the order given.

    Args:
        rejects: where the list of wrong rows is written, if there are any.
        dry_run: does everything, and keeps nothing.
        reason: goes into the history.
        batch: rows in one transaction.

    Raises:
        RequestRefused: the operator is no administrator; a file lacks a column. Files before it are imported.
        EnvironmentFault: the database or a source cannot be used; batches before that are imported.
    """
    with seat.store.read() as uow:
        rights = seat.rights(uow)
    if not rights.is_administrator:
        raise RequestRefused(
            "NOT_PERMITTED", "Only an administrator may import existing data.", "Ask an administrator to do it."
        )
    report = ImportReport(dry_run)
    with ExitStack() as opened:
        # All headers are looked at before the first row is written.
        tables = [_Table(table, source, opened) for table, source in _with_defaults(sources)]
        listed = opened.enter_context(_RejectList(rejects))
        importing = _Importing(report, Import(rights.login, reason[:400]), progress, batch, listed)
        run = opened.enter_context(_transactions(seat, dry_run=dry_run))
        for table in tables:
            if table.is_there:
                importing.take(run, table)
    report.rejects = rejects if report.wrong_rows else None
    if not dry_run:
        seat.store.run(
            lambda uow: operators.audit(uow, rights, seat.acting, "import", "existing data", _summary(report))
        )
        tell_planner(seat.store, sum(one.new for one in report.tables))
    return report


Run = Callable[[Callable[["UnitOfWork"], BatchOutcome]], BatchOutcome]


@contextmanager
def _transactions(seat: Seat, *, dry_run: bool) -> Iterator[Run]:
    """What runs each batch: in a transaction of its own, or all in one that is given up in the end."""
    if not dry_run:
        yield seat.store.run
        return
    with seat.store.begin() as uow:
        uow.may_be_idle()  # the source is read in between, and may be another database that thinks

        def on_trial(work: Callable[[UnitOfWork], BatchOutcome]) -> BatchOutcome:
            with uow.savepoint():
                return work(uow)

        yield on_trial


def _with_defaults(sources: Sequence[ImportSource]) -> list[tuple[ImportTable, ImportSource]]:
    """Each source; and customers once more behind the rate plans, for the plan that is their default."""
    tables = [(source.table, source) for source in sources]
    tables += [(ImportTable.CUSTOMER_DEFAULTS, one) for one in sources if one.table is ImportTable.CUSTOMERS]
    order = list(ImportTable)
    return sorted(tables, key=lambda pair: order.index(pair[0]))


class _Table:
    """One file for one table, opened: its header is read and found good."""

    def __init__(self, table: ImportTable, source: ImportSource, opened: ExitStack) -> None:
        lines = source.lines()
        opened.callback(lines.close)
        _, header = next(lines, (0, ()))
        if not header:
            raise RequestRefused("FILE_EMPTY", f"{source.name} is empty.", "Its first row holds the columns' names.")
        self.table = table
        self.source = source
        self.lines = lines
        #: Whether the customers of this source are looked at again for the plan that is their default.
        self.is_second_look = table is not source.table
        self.is_there = not self.is_second_look or DEFAULT_PLAN in map(plain_name, header)
        self.reader = RowReader(table, header if self.is_there else (*KEYS[table], DEFAULT_PLAN))

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that are not taken over."""
        if self.is_second_look:
            return ()
        known = {DEFAULT_PLAN} if self.table is ImportTable.CUSTOMERS else set()
        return tuple(name for name in self.reader.ignored if name not in known)


class _RejectList:
    """The list of wrong rows; its file is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> _RejectList:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Writes a line of the list."""
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8-sig", newline="")
                csv.writer(self._file, lineterminator="\r\n").writerow(REJECT_COLUMNS)
            csv.writer(self._file, lineterminator="\r\n").writerow(
                [reject.line if name == "line" else defused(str(getattr(reject, name))) for name in REJECT_COLUMNS]
            )
        except OSError as error:
            raise EnvironmentFault(
                "REJECTS_NOT_WRITTEN",
                f"The list of wrong rows cannot be written to {self._path} ({error.strerror or type(error).__name__}).",
                "Name another file with --rejects.",
            ) from error


class _Importing:
    """Takes one table after the other over, and counts."""

    def __init__(self, report: ImportReport, by: Import, progress: Progress, batch: int, listed: _RejectList) -> None:
        self._report, self._by, self._progress, self._batch, self._listed = report, by, progress, batch, listed
        self._left_out: dict[tuple[ImportTable, str], set[int]] = {}

    def take(self, run: Run, table: _Table) -> None:
        """Takes over the rows of one file."""
        reader, source = table.reader, table.source
        one = TableReport(table.table, source.name, ignored_columns=table.ignored)
        self._report.tables.append(one)
        # Customers that are looked at twice are told of once.
        left_out = self._left_out.setdefault((source.table, source.name), set())
        done = 0
        while lines := list(islice(table.lines, self._batch)):
            rows: list[tuple[int, tuple[Any, ...]]] = []
            for line, cells in lines:
                if table.is_second_look and line in left_out:
                    continue
                read = reader.read(line, cells)
                if isinstance(read, tuple):
                    rows.append((line, read))
                else:
                    self._leave_out(one, left_out, line, read)
            if rows:
                outcome = import_batch(run, table.table, reader.columns, rows, self._by)
                one.new += outcome.new
                one.changed += outcome.changed
                one.same += outcome.same
                values = dict(rows) if outcome.wrong else {}
                for line, code, about in outcome.wrong:
                    fault = database_fault(line, code, about, partial(reader.shown, values[line]))
                    self._leave_out(one, left_out, line, [fault])
            done += len(lines)
            self._progress(table.table, done)

    def _leave_out(self, one: TableReport, left_out: set[int], line: int, faults: Sequence[RowFault]) -> None:
        left_out.add(line)
        one.wrong += 1
        self._report.wrong_rows += 1
        for fault in faults:
            reject = Reject(one.table, one.file, *fault)
            self._listed.add(reject)
            if len(self._report.wrong) < _NAMED:
                self._report.wrong.append(reject)


def _summary(report: ImportReport) -> dict[str, object]:
    files = [
        {"table": str(one.table), "file": one.file, "new": one.new, "changed": one.changed, "wrong": one.wrong}
        for one in report.tables
    ]
    return {"files": files}
