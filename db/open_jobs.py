"""Jobs that are not over. They are few among all the jobs there ever were, and asked for many times a second."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, literal_column

from db.schema import OPEN_JOBS, job
from desktop_app.association.states import FINAL_JOBS, JobState

assert set(OPEN_JOBS) == {state.value for state in JobState} - {state.value for state in FINAL_JOBS}


def is_open(jobs: FromClause) -> ColumnElement[bool]:
    """The condition word by word as the filtered index ``ix_job_open`` has it: with bound values, or as ``NOT IN`` of
    the final states, it means the same and reads the whole table.

    Args:
        jobs: the table of jobs, or an alias of it.
    """
    return jobs.c.state.in_([literal_column(f"'{state}'") for state in OPEN_JOBS])


#: Of the table itself.
IS_OPEN: ColumnElement[bool] = is_open(job)
