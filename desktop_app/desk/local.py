"""The desk in this process, on a database."""

from __future__ import annotations

from collections.abc import Callable

from desktop_app.association.errors import EnvironmentFault
from desktop_app.association.model import AssociationRequest, CheckReport, DeviceSelection, Reread, Submitted
from desktop_app.desk.administration import Installation, LocalAdministration
from desktop_app.desk.choices import LocalChoices
from desktop_app.desk.devices import LocalDevices
from desktop_app.desk.drafts import LocalDrafts
from desktop_app.desk.export import LocalExport
from desktop_app.desk.history import LocalHistory
from desktop_app.desk.jobs import LocalJobs
from desktop_app.desk.protocol import Changes, IsCancelled, Retried, never
from desktop_app.desk.requests import check_request, retry_job, submit_request
from desktop_app.desk.rereading import reread_billing
from desktop_app.desk.seat import Seat
from desktop_app.desk.steering import LocalSteering
from desktop_app.engine.gateway import BillingGateway


class LocalDesk(
    LocalDevices,
    LocalChoices,
    LocalJobs,
    LocalDrafts,
    LocalSteering,
    LocalExport,
    LocalHistory,
    LocalAdministration,
):
    """Implements :class:`desktop_app.desk.protocol.Desk`; each part in a module of its own."""

    def __init__(
        self,
        seat: Seat,
        installation: Installation,
        *,
        billing: BillingGateway,
        wake: Callable[[], None],
        close: Callable[[], None],
        damage: Callable[[], EnvironmentFault | None] = lambda: None,
    ) -> None:
        """Starts nothing.

        Args:
            seat: who sits here, before which database.
            installation: what is shown of how it was set up.
            billing: the billing companies, for what is re-read from them.
            wake: makes the engine of this process, if there is one, look for work at once.
            close: ends what was started for this desk.
            damage: that the engine of this process found the database damaged, and does nothing more.
        """
        LocalDevices.__init__(self, seat)
        LocalSteering.__init__(self, seat, wake)
        LocalAdministration.__init__(self, seat, installation)
        self._billing = billing
        self._close = close
        self._damage = damage

    def check(self, request: AssociationRequest, cancelled: IsCancelled = never) -> CheckReport:
        """Every rule on every device, all findings at once; changes nothing."""
        return check_request(self._seat, request, cancelled)

    def submit(self, request: AssociationRequest, fingerprint: str, submission_key: str) -> Submitted:
        """Re-checks and registers the job, all or nothing."""
        submitted = submit_request(self._seat, request, fingerprint, submission_key)
        self._wake()
        return submitted

    def retry(self, tracking_number: str, error_code: str = "") -> Retried:
        """Re-checks what failed or was rejected and queues again what passes, under the same tracking number."""
        retried = retry_job(self._seat, tracking_number.strip().upper(), error_code)
        self._wake()
        return retried

    def reread_billing(self, devices: DeviceSelection, cancelled: IsCancelled = never) -> Reread:
        """Asks billing for the devices' active billing services and ends here those that were ended there."""
        return reread_billing(self._seat, self._billing, devices, cancelled)

    def changes(self, cursor: str = "") -> Changes:
        """What changed since the cursor.

        Raises:
            EnvironmentFault: the engine of this process has given up a damaged database, whatever can be read of it.
        """
        if (damage := self._damage()) is not None:
            raise EnvironmentFault(damage.code, damage.message, damage.what_to_do)
        return super().changes(cursor)

    def close(self) -> None:
        """Ends what the desk runs. Nothing is lost: the database is the queue."""
        self._close()
