"""Looking: ``jobs``, ``show``, ``device``, and ``export``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from desktop_app.association.model import PickedDevices, pack
from desktop_app.association.states import JobState, StepState, WorkOrderState
from desktop_app.cli.call import Call, command
from desktop_app.cli.output import local_time
from desktop_app.cli.rereading import reread_document, show_reread
from desktop_app.cli.watching import show_causes
from desktop_app.desk.protocol import JobFilter

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Desk, JobCounts, JobRow, NotificationRow, WorkOrderDetail

Tracking = Annotated[str, typer.Argument(help="Tracking number, such as AJ-20261124-0042.", metavar="TRACKING")]

#: Work orders that are read at a time.
_PAGE = 2_000


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, rich_help_panel="Look")(jobs)
    command(app, rich_help_panel="Look")(show)
    command(app, rich_help_panel="Look")(device)
    command(app, rich_help_panel="Look")(export)


def jobs(
    call: Call,
    which: Annotated[JobFilter, typer.Option("--only", help="Which jobs.")] = JobFilter.ALL,
    search: Annotated[str, typer.Option(help="A part of tracking number or customer.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(help="At most so many, the newest.", min=1)] = 50,
) -> int:
    """List jobs, newest first."""
    with call.open() as opened:
        rows = opened.desk.jobs(which, search, limit)
    call.out.document({"jobs": [job_document(row) for row in rows]})
    if not rows:
        call.out.line("There are no such jobs.")
        return 0
    call.out.table(
        ("Tracking no.", "State", "Customer", "Action", "Done", "Devices", "Failed", "Rejected", "Submitted"),
        [
            (
                row.tracking_number,
                _state(row) + (" !" if row.needs_attention else ""),
                row.customer,
                row.action,
                row.counts.done,
                row.counts.total,
                row.counts.failed,
                row.counts.rejected,
                row.submitted_at,
            )
            for row in rows
        ],
        right=("Done", "Devices", "Failed", "Rejected"),
    )
    return 0


def show(
    call: Call,
    tracking_number: Tracking,
    state: Annotated[
        list[WorkOrderState] | None, typer.Option(help="Only devices in this state; repeatable.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every device, not only what needs a look.")] = False,
) -> int:
    """Show one job with its work orders, steps and proofs.

    Ends with 0 if all devices succeeded or the job still runs, with 1 if some failed or were rejected.
    """
    with call.open() as opened:
        desk = opened.desk
        detail = desk.job(tracking_number)
        job = detail.job
        if call.out.as_json:
            wanted = set(state or WorkOrderState)
            call.out.document(
                {
                    "tracking_number": job.tracking_number,
                    "state": job.state,
                    "run_no": job.run_no,
                    "counts": _counts(job.counts),
                    "work_orders": [
                        _work_order_document(one)
                        for one in every_work_order(desk, job.tracking_number)
                        if one.work_order.state in wanted
                    ],
                }
            )
            return _code(job)
        call.out.line(f"{job.tracking_number}  {_state(job)}", "bold")
        call.out.fields(
            [
                ("Customer", f"{job.customer} ({job.account_number})" if job.account_number else job.customer),
                ("Site", detail.site),
                ("Action", job.action),
                *(
                    (("Options", option) if not number else ("", option))
                    for number, option in enumerate(detail.options)
                ),
                ("Effective date", job.effective_date or "each device's activation date"),
                ("Operator", job.operator),
                ("Reason", job.reason),
                ("Submitted", local_time(job.submitted_at)),
                ("Finished", local_time(job.finished_at)),
                ("Run", job.run_no if job.run_no > 1 else ""),
                ("Paused", job.pause_reason),
                ("Notification", _given_up(detail.notification)),
                ("Devices", ", ".join(f"{n:,} {name}" for name, n in _counts(job.counts).items() if n)),
            ]
        )
        show_causes(call.out, detail)
        _show_devices(call, desk, job, state, every)
        return _code(job)


def _given_up(notification: NotificationRow | None) -> str:
    """That nobody took the notification of the job's end; else nothing is worth a word."""
    if notification is None or notification.state != "dead":
        return ""
    why = f" ({notification.last_error.rstrip('.')})" if notification.last_error else ""
    return f"tries: {notification.attempts}; it is not sent any more{why}; notify-again sends it again"


def device(
    call: Call,
    identifier: Annotated[str, typer.Argument(help="ICCID, IMEI, phone number or EID.", metavar="IDENTIFIER")],
    service_provider: Annotated[
        str | None, typer.Option(help="Where the same SIM is on several.", show_default=False)
    ] = None,
    re_read: Annotated[
        bool, typer.Option("--re-read", help="First ask billing whether its billing services were ended there.")
    ] = False,
) -> int:
    """Show one device with its owners, billing services and history.

    With --re-read it ends with 1 if billing could not tell of every service.
    """
    reread = None
    with call.open() as opened:
        record = opened.desk.device(identifier, service_provider)
        if re_read:
            reread = opened.desk.reread_billing(PickedDevices(pack([record.device.device_id])))
            record = opened.desk.device(record.device.iccid, record.device.service_provider)
    row = record.device
    call.out.document(
        {
            "device": {
                "iccid": row.iccid, "imei": row.imei, "msisdn": row.msisdn, "eid": row.eid, "name": row.name,
                "status": row.status, "service_provider": row.service_provider,
                "carrier_rate_plan": row.carrier_rate_plan, "customer": row.customer, "site": row.site,
                "activated_on": row.activated_on, "is_deleted": row.is_deleted, "is_archived": row.is_archived,
            },
            "open_tracking_number": record.open_tracking_number or None,
            "ownerships": record.ownerships,
            "billing_services": record.billing_services,
            "scheduled_changes": record.scheduled_changes,
            "history": record.history,
            "reread": None if reread is None else reread_document(reread),
        }
    )  # fmt: skip
    out = call.out
    out.line(f"{row.iccid}  {row.status.value}", "bold")
    out.fields(
        [
            ("Service provider", row.service_provider),
            ("Carrier rate plan", row.carrier_rate_plan),
            ("IMEI", row.imei),
            ("MSISDN", row.msisdn and f"+{row.msisdn.removeprefix('+')}"),
            ("EID", row.eid),
            ("Name", row.name),
            ("Activated", row.activated_on),
            ("Customer", row.customer or "none"),
            ("Site", row.site),
            ("Worked on by", record.open_tracking_number),
            ("", "deleted" if row.is_deleted else "archived" if row.is_archived else ""),
        ]
    )
    if record.ownerships:
        out.line("\nOwners", "bold")
        out.table(
            ("State", "Customer", "Site", "From", "To", "Customer rate plan", "Data limit"),
            [
                (one.state, one.customer, one.site, one.effective_from, one.effective_to, one.customer_rate_plan,
                 _bytes(one.data_limit_bytes))
                for one in record.ownerships
            ],
        )  # fmt: skip
    if record.billing_services:
        out.line("\nBilling services", "bold")
        out.table(
            ("Service", "Customer", "Number", "Active", "From", "Ended", "Reference"),
            [
                (
                    one.service_id,
                    one.customer,
                    one.number,
                    one.is_active,
                    one.effective_date,
                    one.ended_on,
                    one.reference,
                )
                for one in record.billing_services
            ],
        )
    if record.scheduled_changes:
        out.line("\nScheduled plan changes", "bold")
        out.table(
            ("Due", "Kind", "Rate plan", "State", "Job"),
            [(one.due_on, one.kind, one.rate_plan, one.state, one.tracking_number) for one in record.scheduled_changes],
        )
    if record.history:
        out.line("\nHistory", "bold")
        out.table(
            ("When", "What", "Detail", "Customer", "Job", "Operator", "Service provider"),
            [
                (one.at, one.event.replace("_", " "), one.detail, one.customer, one.tracking_number, one.operator,
                 one.service_provider if one.is_cross_provider else "")
                for one in record.history
            ],
        )  # fmt: skip
    if reread is not None:
        show_reread(out, reread)
    return 0 if reread is None or reread.is_whole else 1


def export(
    call: Call,
    tracking_number: Tracking,
    path: Annotated[Path, typer.Option("-o", "--output", help="File ending in .csv or .xlsx.", metavar="FILE")],
) -> int:
    """Write a job's result: one row for each device that was asked for, with its proofs."""
    with call.open() as opened:
        rows = opened.desk.export(tracking_number, path)
    path = path.expanduser().absolute()
    call.out.document({"tracking_number": tracking_number.upper(), "path": path, "rows": rows})
    call.out.line(f"{rows:,} rows written to {path}")
    return 0


# --- documents -------------------------------------------------------------------------------------------------------


def every_work_order(desk: Desk, tracking_number: str) -> Iterator[WorkOrderDetail]:
    """All work orders of a job by line, each whole."""
    offset = 0
    while page := desk.work_order_details(tracking_number, _PAGE, offset):
        yield from page
        offset += len(page)


def job_document(job: JobRow) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "tracking_number": job.tracking_number,
        "state": job.state,
        "pause_cause": job.pause_cause,
        "pause_reason": job.pause_reason,
        "run_no": job.run_no,
        "customer": job.customer,
        "account_number": job.account_number,
        "action": job.action,
        "counts": _counts(job.counts),
        "operator": job.operator,
        "reason": job.reason,
        "effective_date": job.effective_date,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "needs_attention": job.needs_attention,
        "not_announced": job.not_announced,
    }


def _work_order_document(one: WorkOrderDetail) -> dict[str, Any]:
    error = one.work_order.error
    return {
        "iccid": one.work_order.iccid,
        "state": one.work_order.state,
        "proofs": one.proofs,
        "steps": [
            {
                "step": step.step,
                "state": step.state,
                "attempts": step.attempts,
                "reference": step.reference,
                "billing_id": step.billing_id,
                "http_status": step.http_status,
                "answer": step.answer,
            }
            for step in one.steps
        ],
        "error": None
        if error is None
        else {"code": error.code, "message": error.message, "what_to_do": error.what_to_do},
    }


def _counts(counts: JobCounts) -> dict[str, int]:
    return {
        "total": counts.total,
        "rejected": counts.rejected,
        "queued": counts.queued,
        "running": counts.running,
        "waiting_retry": counts.waiting_retry,
        "outcome_unknown": counts.outcome_unknown,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }


def _code(job: JobRow) -> int:
    return 1 if job.counts.failed or job.counts.rejected or job.counts.cancelled else 0


def _state(job: JobRow) -> str:
    state = job.state.value.replace("_", " ")
    paused = job.pause_cause.value if job.state is JobState.PAUSED and job.pause_cause else ""
    why = ", ".join(filter(None, (paused, "not announced" if job.not_announced else "")))
    return f"{state} ({why})" if why else state


def _bytes(count: int | None) -> str:
    import humanize

    return "" if count is None else humanize.naturalsize(count, binary=True)


def _show_devices(call: Call, desk: Desk, job: JobRow, states: list[WorkOrderState] | None, every: bool) -> None:
    """The devices that need a look, or those in the states that were asked for, or all."""
    calm = {WorkOrderState.SUCCEEDED, WorkOrderState.QUEUED, WorkOrderState.RUNNING}
    wanted = set(states) if states else set(WorkOrderState) - (set() if every else calm)
    shown = [one for one in every_work_order(desk, job.tracking_number) if one.work_order.state in wanted]
    if not shown:
        return
    call.out.line()
    call.out.table(
        ("Line", "ICCID", "State", "Proofs", "Steps", "Attempts", "What happened", "What to do"),
        [
            (
                one.work_order.line,
                one.work_order.iccid or one.work_order.asked_for,
                one.work_order.state,
                _proofs(one),
                " ".join(
                    f"{step.step.value}={step.state.value}"
                    for step in one.steps
                    if step.state is not StepState.NOT_REQUESTED
                ),
                one.work_order.attempts,
                one.work_order.error.message if one.work_order.error else "",
                one.work_order.error.what_to_do if one.work_order.error else "",
            )
            for one in shown
        ],
        right=("Line", "Attempts"),
    )
    call.out.line(
        "Proofs, in order: device found, operator permitted, billing service created, ownership updated, rate plans "
        "assigned, history recorded, processing completed (y yes, n no, k kept, s scheduled, - not requested)."
    )


def _proofs(one: WorkOrderDetail) -> str:
    proofs = one.proofs
    letters = {"yes": "y", "no": "n", "kept": "k", "scheduled": "s", "not requested": "-"}
    return "".join(
        letters[proof.value]
        for proof in (
            proofs.device_found, proofs.operator_permitted, proofs.billing_service_created, proofs.ownership_updated,
            proofs.rate_plans_assigned, proofs.history_recorded, proofs.processing_completed,
        )
    )  # fmt: skip
