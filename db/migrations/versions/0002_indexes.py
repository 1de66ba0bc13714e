"""Indexes for what is asked while many desktops work on years of jobs: history by person, job and customer, open jobs.

Nothing but indexes: programs of revision 0001 would work on it as well, but they do not know that.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

_OPEN_JOBS = text("state IN ('queued', 'running', 'paused', 'finishing')")


def upgrade() -> None:
    """The old index of a job's history goes; the new one has the instant besides."""
    op.drop_index("ix_device_history_job_id", "device_history")
    op.create_index("ix_device_history_job_id", "device_history", ["job_id", "at"])
    op.create_index("ix_device_history_customer_id", "device_history", ["customer_id", "at"])
    op.create_index("ix_device_history_operator_login", "device_history", ["operator_login", "at"])
    op.create_index("ix_job_finished_at", "job", ["finished_at"])
    op.create_index("ix_job_operator_login", "job", ["operator_login", "finished_at"])
    op.create_index(
        "ix_job_open", "job", ["state"],
        sqlite_where=_OPEN_JOBS, postgresql_where=_OPEN_JOBS, mssql_where=_OPEN_JOBS,
    )  # fmt: skip


def downgrade() -> None:
    """As it was."""
    for name in ("ix_job_open", "ix_job_operator_login", "ix_job_finished_at"):
        op.drop_index(name, "job")
    for name in ("operator_login", "customer_id", "job_id"):
        op.drop_index(f"ix_device_history_{name}", "device_history")
    op.create_index("ix_device_history_job_id", "device_history", ["job_id"])
