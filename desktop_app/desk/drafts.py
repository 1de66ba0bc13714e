"""The request of a job once more, for the devices that it did not do: to be changed and submitted again."""

from __future__ import annotations

from collections.abc import Sequence

from db import browse_choices, browse_devices
from desktop_app.association.model import CarrierPlanChoice
from desktop_app.association.states import WorkOrderState
from desktop_app.desk.choices import customer_row
from desktop_app.desk.jobs import find_job, frozen_instructions
from desktop_app.desk.protocol import DRAFTED, RequestDraft
from desktop_app.desk.seat import Seat, job_not_found


class LocalDrafts:
    """The drafting part of :class:`desktop_app.desk.protocol.JobsDesk`, on a database."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def draft(
        self, tracking_number: str, states: Sequence[WorkOrderState] = DRAFTED, error_code: str = ""
    ) -> RequestDraft:
        """The job's request for those of its devices that are in these states, by cause where one is named.

        Raises:
            NotFound: there is no such job, or it may not be seen.
            RequestRefused: what it asked for cannot be read.
        """
        with self._seat.store.read() as uow:
            job = find_job(self._seat, uow, tracking_number)
            customer = browse_choices.customer_by_id(uow, self._seat.rights(uow), job.customer_id)
            ids, left_out = browse_devices.ids_in_job(uow, job.job_id, [state.value for state in states], error_code)
        if customer is None:
            raise job_not_found(tracking_number)
        asked = frozen_instructions(tracking_number, job.instructions)
        providers = asked.service_providers
        return RequestDraft(
            tracking_number=job.tracking_number,
            packed=ids.tobytes(),
            left_out=left_out,
            customer=customer_row(customer),
            site=asked.site_code,
            service_provider=asked.service_provider,
            create_billing_service=asked.billing is not None,
            carrier_rate_plans=tuple(
                CarrierPlanChoice(plan.code, providers[handle][0]) for handle, plan in asked.carrier_rate_plans.items()
            ),
            customer_rate_plan=None if asked.customer_rate_plan is None else asked.customer_rate_plan.code,
            effective_date=asked.effective_date,
            reassign=asked.reassign,
            reason=asked.reason,
        )
