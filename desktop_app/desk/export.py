"""A job's result as a file: CSV or .xlsx, there as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from db.browse_jobs import JobRecord, StepRecord, WorkOrderRecord
from desktop_app.association.errors import Cancelled, EnvironmentFault, RequestRefused
from desktop_app.association.model import CheckReport
from desktop_app.association.result_csv import COLUMNS, ResultRow, cells, write_csv, write_findings_csv
from desktop_app.association.states import WorkOrderState
from desktop_app.desk.jobs import every_work_order, find_job, proofs_of, terms_of
from desktop_app.desk.protocol import IsCancelled, never
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
        kind = path.suffix.lower()
        if kind not in {".csv", ".xlsx"}:
            raise RequestRefused(
                "EXPORT_KIND_UNKNOWN",
                f"A result cannot be written as {path.name!r}.",
                "Name a file that ends in .csv or .xlsx.",
            )
        with self._seat.store.read() as uow:
            job = find_job(self._seat, uow, tracking_number)
            if kind == ".xlsx" and job.counts[0] >= _MOST_SHEET_ROWS:
                raise RequestRefused(
                    "EXPORT_TOO_LARGE",
                    f"Job {job.tracking_number} has {job.counts[0]:,} rows; a sheet holds {_MOST_SHEET_ROWS - 1:,}.",
                    "Export it as .csv.",
                )
            rows = _not_cancelled(result_rows(job, every_work_order(uow, job)), cancelled)
            with _whole_or_not_at_all(path) as temporary:
                return _write_csv(rows, temporary) if kind == ".csv" else _write_xlsx(rows, temporary)

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


def _not_cancelled(rows: Iterator[ResultRow], cancelled: IsCancelled) -> Iterator[ResultRow]:
    for number, row in enumerate(rows):
        if number % 1_000 == 0 and cancelled():
            raise Cancelled
        yield row


def _write_csv(rows: Iterable[ResultRow], path: Path) -> int:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        return write_csv(rows, out)


def _write_xlsx(rows: Iterable[ResultRow], path: Path) -> int:
    """Identifiers as text, so that no digit of them is lost; the heading stays in view and can be filtered."""
    import xlsxwriter

    workbook = xlsxwriter.Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False})
    try:
        sheet = workbook.add_worksheet("Result")
        sheet.freeze_panes(1, 0)
        bold = workbook.add_format({"bold": True})
        for column, name in enumerate(COLUMNS):
            sheet.set_column(column, column, 24 if name in {"iccid", "asked_for", "eid", "customer"} else 16)
            sheet.write_string(0, column, name, bold)
        count = 0
        for count, row in enumerate(rows, 1):
            for column, cell in enumerate(cells(row)):
                if isinstance(cell, int):
                    sheet.write_number(count, column, cell)
                elif cell:
                    sheet.write_string(count, column, cell)
        sheet.autofilter(0, 0, count, len(COLUMNS) - 1)
        return count
    finally:
        workbook.close()


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
