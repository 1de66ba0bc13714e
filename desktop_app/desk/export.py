"""Results, history and what is shown, as a file: CSV or .xlsx, there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from db.browse_history import HistoryRecord
from db.browse_jobs import JobRecord, StepRecord, WorkOrderRecord
from desktop_app.association.errors import Cancelled, EnvironmentFault, RequestRefused
from desktop_app.association.model import CheckReport
from desktop_app.association.result_csv import (
    COLUMNS,
    ResultRow,
    as_text,
    cells,
    defused,
    write_csv,
    write_findings_csv,
)
from desktop_app.association.states import WorkOrderState
from desktop_app.desk.history import ended_jobs, facts
from desktop_app.desk.jobs import PAGE, every_work_order, find_job, job_row, proofs_of, terms_of
from desktop_app.desk.protocol import HistoryFilter, IsCancelled, JobRow, never
from desktop_app.desk.seat import Seat

#: Rows of a sheet in the formats that spreadsheets read, the heading included.
_MOST_SHEET_ROWS = 1_048_576


class LocalExport:
    """The exporting part of :class:`desktop_app.desk.protocol.JobsDesk`, on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def export(self, tracking_number: str, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the job's result (.csv or .xlsx by the ending), whole or not at all.

        Returns:
            The number of rows.

        Raises:
            NotFound: there is no such job.
            RequestRefused: another ending, a folder that is not there, or more rows than a sheet holds.
            EnvironmentFault: the file cannot be written; what was there before is still there.
        """
        kind = _kind(path)
        with self._seat.store.read() as uow:
            uow.may_be_idle()  # the file may lie on a drive that is slow
            job = find_job(self._seat, uow, tracking_number)
            if kind == ".xlsx" and job.counts[0] >= _MOST_SHEET_ROWS:
                raise RequestRefused(
                    "EXPORT_TOO_LARGE",
                    f"Job {job.tracking_number} has {job.counts[0]:,} rows; a sheet holds {_MOST_SHEET_ROWS - 1:,}.",
                    "Export it as .csv.",
                )
            rows = map(cells, result_rows(job, every_work_order(uow, job)))
            return _write(COLUMNS, rows, path, cancelled)

    def export_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the facts that the filter lets through, newest first; page after page, however many there are.

        Returns, Raises: as :meth:`export`.
        """
        with self._seat.store.read() as uow:
            uow.may_be_idle()  # the file may lie on a drive that is slow
            rights = self._seat.rights(uow)

            def rows() -> Iterator[Sequence[str | int]]:
                before = None
                while page := facts(uow, rights, filter, PAGE, before):
                    yield from map(_fact_cells, page)
                    before = page[-1].history_id

            return _write(FACT_COLUMNS, rows(), path, cancelled)

    def export_job_history(self, filter: HistoryFilter, path: Path, cancelled: IsCancelled = never) -> int:
        """Writes the finished jobs that the filter lets through, the last finished first.

        Returns, Raises: as :meth:`export`.
        """
        with self._seat.store.read() as uow:
            uow.may_be_idle()  # the file may lie on a drive that is slow
            rights = self._seat.rights(uow)

            def rows() -> Iterator[Sequence[str | int]]:
                before = None
                while page := ended_jobs(uow, rights, filter, PAGE, before):
                    yield from (_job_cells(job_row(record)) for record in page)
                    before = page[-1].tracking_number

            return _write(JOB_COLUMNS, rows(), path, cancelled)

    def export_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str | int]], path: Path, cancelled: IsCancelled = never
    ) -> int:
        """Writes rows that are shown.

        Returns, Raises: as :meth:`export`.
        """
        return _write(columns, map(_safe, rows), path, cancelled)

    def export_check(self, report: CheckReport, path: Path) -> int:
        """Writes the findings of a check as CSV (UTF-8 with BOM), one a row, whole or not at all.

        Returns:
            The number of findings.

        Raises:
            RequestRefused: a folder that is not there.
            EnvironmentFault: the file cannot be written.
        """
        with (
            _whole_or_not_at_all(path) as temporary,
            temporary.open("w", encoding="utf-8-sig", newline="") as out,
        ):
            return write_findings_csv(report.findings, out)


def result_rows(
    job: JobRecord, pages: Iterable[Sequence[tuple[WorkOrderRecord, Sequence[StepRecord]]]]
) -> Iterator[ResultRow]:
    """The rows of a job's result by line."""
    terms = terms_of(job)
    for page in pages:
        for record, steps in page:
            proofs = proofs_of(record, steps, terms)
            yield ResultRow(
                tracking_number=job.tracking_number,
                line=record.line,
                asked_for=record.asked_for,
                iccid=record.iccid,
                imei=record.imei or "",
                msisdn=record.msisdn or "",
                service_provider=record.service_provider or "",
                customer=job.customer,
                account_number=job.account_number or "",
                site=job.site or "",
                state=WorkOrderState(record.state),
                device_found=proofs.device_found,
                operator_permitted=proofs.operator_permitted,
                billing_service_created=proofs.billing_service_created,
                ownership_updated=proofs.ownership_updated,
                rate_plans_assigned=proofs.rate_plans_assigned,
                history_recorded=proofs.history_recorded,
                processing_completed=proofs.processing_completed,
                billing_service_id=record.billing_service_id or "",
                effective_date=record.effective_date,
                attempts=record.attempts,
                error_code=record.error_code or "",
                error_message=record.error_message or "",
                what_to_do=record.what_to_do or "",
                started_at=record.started_at,
                completed_at=record.completed_at,
                eid=record.eid or "",
                carrier_rate_plan=record.carrier_rate_plan or "",
                customer_rate_plan=terms.customer_rate_plan,
                operator=job.operator_login,
                reason=job.reason,
                billing_answer=record.billing_answer or "",
            )


#: The columns of exported facts; other programs read the file: new ones are added at the end.
FACT_COLUMNS = (
    "at", "iccid", "service_provider", "event", "detail", "customer", "tracking_number", "operator", "reason",
    "effective_date",
)  # fmt: skip
#: The columns of exported jobs, likewise.
JOB_COLUMNS = (
    "tracking_number", "state", "run_no", "customer", "account_number", "action", "devices", "succeeded", "failed",
    "rejected", "cancelled", "operator", "reason", "effective_date", "submitted_at", "started_at", "finished_at",
)  # fmt: skip


def _fact_cells(fact: HistoryRecord) -> tuple[str | int, ...]:
    return _safe(
        (
            fact.at, fact.iccid, fact.service_provider, fact.event, fact.detail, fact.customer, fact.tracking_number,
            fact.operator_login, fact.reason, fact.effective_date,
        )
    )  # fmt: skip


def _job_cells(job: JobRow) -> tuple[str | int, ...]:
    counts = job.counts
    return _safe(
        (
            job.tracking_number, job.state.value, job.run_no, job.customer, job.account_number, job.action,
            counts.total, counts.succeeded, counts.failed, counts.rejected, counts.cancelled, job.operator, job.reason,
            job.effective_date, job.submitted_at, job.started_at, job.finished_at,
        )
    )  # fmt: skip


def _safe(values: Iterable[object]) -> tuple[str | int, ...]:
    """Whole numbers as they are, instants in UTC, and texts that no spreadsheet runs as a formula."""
    return tuple(value if isinstance(value, int) else defused(as_text(value)) for value in values)


def _kind(path: Path) -> str:
    """The ending, which says how it is written."""
    kind = path.suffix.lower()
    if kind not in {".csv", ".xlsx"}:
        raise RequestRefused(
            "EXPORT_KIND_UNKNOWN",
            f"It cannot be written as {path.name!r}.",
            "Name a file that ends in .csv or .xlsx.",
        )
    return kind


def _write(
    columns: Sequence[str], rows: Iterable[Sequence[str | int]], path: Path, cancelled: IsCancelled = never
) -> int:
    """Writes a table whose cells are safe; the number of rows, without the heading."""
    kind = _kind(path)
    with _whole_or_not_at_all(path) as temporary:
        watched = _not_cancelled(rows, cancelled)
        return _write_csv(columns, watched, temporary) if kind == ".csv" else _write_xlsx(columns, watched, temporary)


def _not_cancelled(rows: Iterable[Sequence[str | int]], cancelled: IsCancelled) -> Iterator[Sequence[str | int]]:
    for number, row in enumerate(rows):
        if number % 1_000 == 0 and cancelled():
            raise Cancelled
        yield row


def _write_csv(columns: Sequence[str], rows: Iterable[Sequence[str | int]], path: Path) -> int:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        return write_csv(columns, rows, out)


def _write_xlsx(columns: Sequence[str], rows: Iterable[Sequence[str | int]], path: Path) -> int:
    """Identifiers as text, so that no digit of them is lost; the heading stays in view and can be filtered."""
    import xlsxwriter

    workbook = xlsxwriter.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
    try:
        sheet = workbook.add_worksheet("Result")
        sheet.freeze_panes(1, 0)
        bold = workbook.add_format({"bold": True})
        for column, name in enumerate(columns):
            sheet.set_column(column, column, 24 if name in _WIDE_COLUMNS else 16)
            sheet.write_string(0, column, name, bold)
        count = 0
        for count, row in enumerate(rows, 1):
            if count == _MOST_SHEET_ROWS:
                raise RequestRefused(
                    "EXPORT_TOO_LARGE",
                    f"There are more than the {_MOST_SHEET_ROWS - 1:,} rows that a sheet holds.",
                    "Export it as .csv, or choose a shorter period.",
                )
            for column, cell in enumerate(row):
                if isinstance(cell, int):
                    sheet.write_number(count, column, cell)
                elif cell:
                    sheet.write_string(count, column, cell)
        sheet.autofilter(0, 0, count, len(columns) - 1)
        return count
    finally:
        workbook.close()


_WIDE_COLUMNS = frozenset({"iccid", "asked_for", "eid", "customer", "detail", "What", "Customer"})


@contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[Path]:
    """A file to write to, beside ``path``. It takes the place of ``path`` if the block ends well, else it goes away."""
    path = path.expanduser().absolute()
    temporary = path.with_name(f".{path.stem[:40]}-{uuid4().hex[:8]}{path.suffix}")
    try:
        if not path.parent.is_dir():
            raise RequestRefused(
                "FOLDER_NOT_FOUND", f"There is no folder {path.parent}.", "Make the folder, or name another one."
            )
        if path.is_dir():
            raise RequestRefused("EXPORT_IS_FOLDER", f"{path} is a folder.", "Name a file in it.")
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentFault(
            "EXPORT_FAILED",
            f"The file {path} cannot be written ({error.strerror or type(error).__name__}).",
            "Close it where it is open, or name a folder that this user may write to and that has room.",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
