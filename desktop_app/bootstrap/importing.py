"""Existing data, taken over into the database of this installation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from desktop_app.association.model import ImportTable
from desktop_app.bootstrap.database import open_store, take_seat

if TYPE_CHECKING:
    from desktop_app.desk.importing import ImportReport as ImportReport  # noqa: PLC0414 - for whoever shows it
    from desktop_app.settings import Settings


def import_existing(
    settings: Settings,
    paths: Sequence[Path],
    table: ImportTable | None,
    rejects: Path | None,
    *,
    operator: str | None,
    dry_run: bool,
    reason: str,
    progress: Callable[[ImportTable, int], None],
) -> tuple[ImportReport, list[str]]:
    """Takes over files, workbooks, folders or what a mapping file selects from another database.

    Args:
        table: what a single file is for, where its name does not say so.
        rejects: where wrong rows are listed; None: beside the first path.
        operator: login to act for; None: the user of this machine.

    Raises:
        RequestRefused: a file that cannot be read or lacks a column; the operator is no administrator.
        EnvironmentFault: the database, or the one that is read from, cannot be used.
    """
    from desktop_app.desk.import_files import find_sources
    from desktop_app.desk.importing import import_data

    notices: list[str] = []
    with ExitStack() as opened:
        sources = find_sources(paths, table, opened)
        store = opened.enter_context(open_store(settings, notices))
        report = import_data(
            take_seat(store, operator),
            sources,
            rejects or _beside(paths[0]),
            dry_run=dry_run,
            reason=reason,
            progress=progress,
        )
    return report, notices


def _beside(path: Path) -> Path:
    return path / "import.rejects.csv" if path.is_dir() else path.with_name(f"{path.stem}.rejects.csv")
