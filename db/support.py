"""What a database tells somebody who helps: sizes, and how the newest jobs went. No row of a device is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from db.schema import job, job_log, metadata

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

_COUNTERS = ("total", "rejected", "queued", "running", "waiting_retry", "outcome_unknown", "succeeded", "failed")
_OF_A_JOB = ("tracking_number", "state", "pause_cause", "pause_reason", "run_no", *_COUNTERS, "cancelled")


def table_sizes(uow: UnitOfWork) -> dict[str, int]:
    """Rows in each table."""
    return {
        table.name: uow.connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in metadata.sorted_tables
    }


def newest_jobs(uow: UnitOfWork, limit: int) -> list[dict[str, Any]]:
    """The newest jobs with their counters and their log, as plain values."""
    columns = [job.c[name] for name in (*_OF_A_JOB, "submitted_at", "started_at", "finished_at")]
    jobs = uow.connection.execute(select(job.c.id, *columns).order_by(job.c.id.desc()).limit(limit)).mappings().all()
    told = []
    for row in jobs:
        lines = uow.connection.execute(
            select(job_log.c.at, job_log.c.run_no, job_log.c.level, job_log.c.event, job_log.c.message)
            .where(job_log.c.job_id == row["id"])
            .order_by(job_log.c.id)
        ).mappings()
        told.append({**{name: row[name] for name in row if name != "id"}, "log": [dict(line) for line in lines]})
    return told
