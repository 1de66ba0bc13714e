"""``db import``: existing data from files or another database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import ImportTable
from desktop_app.cli.call import Call
from desktop_app.cli.output import Output

if TYPE_CHECKING:
    from desktop_app.bootstrap.importing import ImportReport

#: Seconds between two lines of progress where there is no terminal.
_LINE_S = 5.0
#: Wrong rows that are shown; all stand in the list.
_SHOWN = 10


def import_(
    call: Call,
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="CSV files named after their table (devices.csv), workbooks with a sheet for each table, a folder of "
            "CSV files, or a mapping file (.toml) that selects from another database.",
            metavar="PATH…",
        ),
    ],
    table: Annotated[
        str | None, typer.Option(help="The table of a single file with another name.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and keep nothing.")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="Where wrong rows are listed; else beside the first file.", metavar="FILE", show_default=False
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Goes into the history of imported ownerships.")] = "",
) -> int:
    """Import existing data: service providers, billing credentials (without secrets), customers, sites, rate plans,
    devices, ownerships and billing services.

    Rows are inserted or updated by what names them (code, account number, ICCID at a service provider); a second run
    changes only what changed. Wrong rows are listed with line, value and what to do, and left out; all others are kept.

    Ends with 0 if every row was taken over, 1 if some are wrong, 2 if nothing could be read.
    """
    from desktop_app.bootstrap.importing import import_existing

    with _progress(call.out) as progress:
        report, notices = import_existing(
            call.settings,
            paths,
            _table(table),
            rejects,
            operator=call.flags.operator,
            dry_run=dry_run,
            reason=reason,
            progress=progress,
        )
    for notice in notices:
        call.out.note(notice)
    call.out.document(report)
    _show(call.out, report)
    return 1 if report.wrong_rows else 0


def _table(name: str | None) -> ImportTable | None:
    if name is None:
        return None
    word = name.casefold().replace("-", "_")
    if word not in set(ImportTable):
        raise RequestRefused(
            "IMPORT_TABLE_UNKNOWN", f"{name!r} is no table.", f"Name one of: {', '.join(ImportTable)}."
        )
    return ImportTable(word)


def _show(out: Output, report: ImportReport) -> None:
    out.table(
        ["table", "new", "changed", "same", "wrong", "from"],
        [[one.table, one.new, one.changed, one.same, one.wrong, one.file] for one in report.tables],
        right=["new", "changed", "same", "wrong"],
    )
    for one in report.tables:
        if one.ignored_columns:
            out.line(f"Columns of {one.file} that are not taken over: {', '.join(one.ignored_columns)}")
    for reject in report.wrong[:_SHOWN]:
        where = f"{reject.file}, line {reject.line}"
        value = f"{reject.column} {reject.value!r}: " if reject.column else ""
        out.line(f"{where}: {value}{reject.message} {reject.what_to_do}", "red")
    if report.rejects is not None:
        rows = "1 row is wrong" if report.wrong_rows == 1 else f"{report.wrong_rows:,} rows are wrong"
        out.line(f"{rows} and left out; all of them are listed in {report.rejects}", "red")
    if report.dry_run:
        out.line("This was a trial: nothing was kept.", "yellow")


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[ImportTable, int], None]]:
    """Something to call with a table and how many of its rows are done."""
    began = time.monotonic()
    if out.is_live:
        with out.console.status("Importing…") as status:
            yield lambda table, rows: status.update(f"{table}: {rows:,} rows, {time.monotonic() - began:.0f} s")
        return
    told = began

    def tell(table: ImportTable, rows: int) -> None:
        nonlocal told
        if time.monotonic() >= told + _LINE_S:
            told = time.monotonic()
            out.note(f"{table}: {rows:,} rows, {told - began:.0f} s")

    yield tell
