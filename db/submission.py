"""Registering jobs: the tracking number, the job, its work orders, the first line of its log.

A submission is one transaction; only the tracking number is drawn before, in a short one of its own, so that nobody
waits for somebody else's hundred thousand work orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Unicode, cast, false, insert, select, update
from sqlalchemy.exc import IntegrityError

from db import installation
from db.bulk import insert_rows
from db.finishing import write_log
from db.schema import billing_service, installation_setting, job, work_order
from desktop_app.association.model import BillingAction, Submitted
from desktop_app.association.ports import DeviceIsTaken, JobDraft, WorkOrderDraft
from desktop_app.association.states import JobState, WorkOrderState

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Counters of the business dates stand among the installation's settings, under names that no setting has.
_COUNTER = "tracking_number."
#: Columns of a work order, in the order in which :func:`_rows` gives them.
_COLUMNS = ("job_id", *WorkOrderDraft._fields, "changed_at")


class Submission:
    """One unit of work's way to register jobs."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def submitted(self, submission_key: str) -> Submitted | None:
        """The job that this key made, or None."""
        row = self._uow.connection.execute(
            select(job.c.tracking_number, job.c.total, job.c.rejected, job.c.state).where(
                job.c.submission_key == submission_key
            )
        ).one_or_none()
        if row is None:
            return None
        return Submitted(row.tracking_number, row.total - row.rejected, row.rejected, row.state, is_new=False)

    def next_tracking_number(self) -> str:
        """A tracking number of the business date that was never given before: ``AJ-20261124-0042``.

        To be called in a unit of work of its own: whoever draws the next one waits until this one is committed.
        """
        day = f"{self._uow.today():%Y%m%d}"
        table = installation_setting
        count = update(table).where(table.c.name == f"{_COUNTER}{day}")
        one_more = count.values(value=cast(cast(table.c.value, Integer) + 1, Unicode(400)), changed_at=self._uow.now())
        if not self._uow.connection.execute(one_more).rowcount:
            first = insert(table).values(name=f"{_COUNTER}{day}", value="1", changed_at=self._uow.now())
            try:
                with self._uow.savepoint():
                    self._uow.connection.execute(first)
            except IntegrityError:  # somebody else began the day at the same moment
                self._uow.connection.execute(one_more)
        number = self._uow.connection.execute(select(table.c.value).where(table.c.name == f"{_COUNTER}{day}"))
        return f"AJ-{day}-{int(number.scalar_one()):04}"

    def move_on_tracking_numbers(self, step: int) -> str:
        """The last number that is taken for given today: a multiple of ``step``. Others go on behind it.

        The clock is in it, so that it is another one in another minute, whatever the database knows.

        Args:
            step: more than are given in a minute.
        """
        today = self._uow.today()
        day = f"{today:%Y%m%d}"
        table = installation_setting
        known = self._uow.connection.scalar(select(table.c.value).where(table.c.name == f"{_COUNTER}{day}"))
        # In UTC, from before the day begins anywhere: no change of clocks is in it.
        before = datetime.combine(today, time(), UTC) - timedelta(days=1)
        minutes = (self._uow.now() - before) // timedelta(minutes=1)
        last = (max(int(known or 0) // step, minutes) + 1) * step
        installation.put(self._uow, f"{_COUNTER}{day}", str(last))
        return f"AJ-{day}-{last:04}"

    def register(self, draft: JobDraft) -> Submitted:
        """Writes the job, its work orders and the first line of its log.

        Raises:
            DeviceIsTaken: somebody else was faster.
        """
        at = self._uow.now()
        rejected = sum(1 for one in draft.work_orders if one.state is WorkOrderState.REJECTED)
        submitted = len(draft.work_orders) - rejected
        try:
            job_id = self._insert_job(draft, submitted, rejected, at)
            insert_rows(self._uow, work_order, _COLUMNS, _rows(job_id, draft.work_orders, at))
        except IntegrityError as error:
            raise DeviceIsTaken(draft.tracking_number) from error
        refuse_ended_services(self._uow, job_id)
        if (latest := self._uow.latest()) != at:
            self._uow.connection.execute(update(job).where(job.c.id == job_id).values(changed_at=latest))
        write_log(
            self._uow,
            job_id,
            1,
            "submitted",
            f"{draft.operator_login} submitted {submitted:,} devices; {rejected:,} were rejected by the check.",
            data={"submitted": submitted, "rejected": rejected, "fingerprint": draft.fingerprint},
        )
        return Submitted(draft.tracking_number, submitted, rejected, JobState.QUEUED)

    def _insert_job(self, draft: JobDraft, submitted: int, rejected: int, at: datetime) -> int:
        result = self._uow.connection.execute(
            insert(job).values(
                tracking_number=draft.tracking_number,
                submission_key=draft.submission_key,
                state=JobState.QUEUED.value,
                customer_id=draft.customer_id,
                site_id=draft.site_id,
                account_number=draft.account_number,
                billing_credential_id=draft.billing_credential_id,
                customer_rate_plan_id=draft.customer_rate_plan_id,
                data_limit_bytes=draft.data_limit_bytes,
                data_pool=draft.data_pool,
                operator_id=draft.operator_id,
                operator_login=draft.operator_login,
                reason=draft.reason,
                fingerprint=draft.fingerprint,
                instructions=dict(draft.instructions),
                total=submitted + rejected,
                rejected=rejected,
                queued=submitted,
                submitted_at=at,
                changed_at=at,
            )
        )
        key = result.inserted_primary_key
        assert key is not None
        return int(key[0])


def refuse_ended_services(uow: UnitOfWork, job_id: int) -> None:
    """After work orders were queued: none of them may keep a billing service that somebody has just ended here.

    Whoever ends one waits for the rows that refer to it; so what this does not find is not ended any more.

    Raises:
        DeviceIsTaken: one does; the unit of work has to be rolled back and the devices be checked again.
    """
    ended = (
        select(work_order.c.id)
        .join(billing_service, billing_service.c.id == work_order.c.billing_service_id)
        .where(
            work_order.c.job_id == job_id,
            work_order.c.state == WorkOrderState.QUEUED,
            work_order.c.billing_action == BillingAction.KEEP,
            billing_service.c.is_active == false(),
        )
        .limit(1)
    )
    if uow.connection.execute(ended).first() is not None:
        raise DeviceIsTaken("a billing service that is kept")


def _rows(job_id: int, drafts: Iterable[WorkOrderDraft], at: datetime) -> Iterator[tuple[Any, ...]]:
    return ((job_id, *draft, at) for draft in drafts)
