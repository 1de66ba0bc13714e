"""Steering jobs: pause, resume, cancel, settle an unknown outcome; with rights, and written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from db import browse_jobs, operators, outbox, steering
from db.finishing import write_log
from desktop_app.association.errors import NotFound, RequestRefused
from desktop_app.association.facts import Right
from desktop_app.association.identifiers import Unreadable, read_line
from desktop_app.desk.jobs import find_job
from desktop_app.desk.seat import Seat, no_right

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


class LocalSteering:
    """The steering half of :class:`desktop_app.desk.protocol.JobsDesk`, on a database.

    Every engine obeys what stands in the database; ``wake`` only makes the one in this process look at once.
    """

    def __init__(self, seat: Seat, wake: Callable[[], None]) -> None:
        self._seat = seat
        self._wake = wake

    def pause(self, tracking_number: str) -> None:
        """No further work order of the job is begun; calls in flight finish."""
        self._steer("pause", tracking_number, steering.pause_job)

    def resume(self, tracking_number: str) -> None:
        """Ends a pause of any cause."""
        self._steer("resume", tracking_number, steering.resume_job)

    def cancel(self, tracking_number: str) -> None:
        """Cancels what is not begun. What was done stays done; unknown outcomes are still resolved."""
        self._steer("cancel", tracking_number, steering.cancel_job)

    def resolve(self, tracking_number: str, iccid: str, service_id: str | None, reason: str = "") -> None:
        """A person settles an unknown outcome: the id that exists at billing, or None: nothing was made.

        Args:
            reason: how the person knows; it is written down.

        Raises:
            NotFound: there is no such job, or it has no such device.
            RequestRefused: the device's outcome is not unknown, or the id is none.
        """
        why = reason.strip()[:300]
        if service_id is not None and not 0 < len(service_id.strip()) <= 40:
            raise RequestRefused(
                "SERVICE_ID_INVALID", f"{service_id!r} is no id of a billing service.", "Copy the id from billing."
            )

        def settle(uow: UnitOfWork, number: str, by: str) -> None:
            job = find_job(self._seat, uow, number)
            steering.resolve(uow, number, self._iccid_in(uow, number, iccid), service_id and service_id.strip(), by)
            if why:
                write_log(uow, job.job_id, job.run_no, "resolved", f"Device {iccid}: {why}")

        detail: dict[str, object] = {"device": iccid, "service_id": service_id}
        self._steer("resolve", tracking_number, settle, detail | ({"reason": why} if why else {}))

    def notify_again(self, tracking_number: str) -> None:
        """Sends the notification of the job's end again, which nobody took and which is not sent any more.

        Raises:
            NotFound: there is no such job.
            RequestRefused: its notification is not dead.
        """

        def send(uow: UnitOfWork, number: str, by: str) -> None:
            job = find_job(self._seat, uow, number)
            if not outbox.send_again(uow, job.job_id, number, job.run_no):
                raise RequestRefused(
                    "NOTIFICATION_NOT_DEAD",
                    f"Job {number} has no notification that was given up.",
                    "Look at the job again: it may have been sent meanwhile.",
                )
            write_log(uow, job.job_id, job.run_no, "notification_again", f"The notification is sent again, says {by}.")

        self._steer("notify_again", tracking_number, send)

    def _steer(
        self,
        action: str,
        tracking_number: str,
        work: Callable[[UnitOfWork, str, str], object],
        detail: dict[str, object] | None = None,
    ) -> None:
        def do(uow: UnitOfWork) -> None:
            job = find_job(self._seat, uow, tracking_number)
            rights = self._seat.rights(uow)
            if not rights.may(Right.ASSOCIATE, job.customer_id):
                raise no_right("associate devices", job.customer)
            work(uow, job.tracking_number, self._seat.acting or rights.login)
            operators.audit(uow, rights, self._seat.acting, action, job.tracking_number, detail)

        self._seat.store.run(do)
        self._wake()

    def _iccid_in(self, uow: UnitOfWork, number: str, identifier: str) -> str:
        """The ICCID as the job holds it, for one that was written with blanks or without its check digit."""
        read = read_line(identifier)
        if isinstance(read, Unreadable):
            raise RequestRefused(read.code, read.message, read.what_to_do)
        job = find_job(self._seat, uow, number)
        for value in (read.value, *(reading.value for reading in read.alternatives)):
            if browse_jobs.work_order_lines_of(uow, job.job_id, value):
                return value
        raise NotFound(
            "DEVICE_NOT_IN_JOB",
            f"Job {number} has no device {identifier.strip()}.",
            "Name a device of the job by its ICCID, as the command show lists them.",
        )
