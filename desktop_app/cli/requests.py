"""``check`` and ``associate``: from a list of devices to a job."""

from __future__ import annotations

import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from desktop_app.association.errors import RequestRefused
from desktop_app.association.model import (
    AskedLines,
    AssociationRequest,
    CarrierPlanChoice,
    CheckReport,
    Severity,
    Submitted,
    title_for,
)
from desktop_app.cli.call import Call, command
from desktop_app.cli.output import Output
from desktop_app.cli.watching import finish_job, how_to_go_on

if TYPE_CHECKING:
    from desktop_app.desk.protocol import Desk

Devices = Annotated[
    str,
    typer.Option(help="File of identifiers (one a line, CSV or .xlsx), or - for standard input.", metavar="FILE|-"),
]
Customer = Annotated[str, typer.Option(help="Account number, or the exact name where it is unique.")]
ServiceProvider = Annotated[
    str | None, typer.Option(help="Code of the service provider that the devices are on.", show_default=False)
]
Site = Annotated[
    str | None, typer.Option(help="Code or name of the site; the default site if none is named.", show_default=False)
]
Billing = Annotated[bool, typer.Option("--create-billing-service", help="Create a billing service for each device.")]
CarrierPlans = Annotated[
    list[str] | None,
    typer.Option(
        "--carrier-rate-plan",
        help="Carrier rate plan to add; once for each service provider.",
        metavar="[PROVIDER=]CODE",
        show_default=False,
    ),
]
CustomerPlan = Annotated[
    str | None,
    typer.Option("--customer-rate-plan", help="Customer rate plan to add.", metavar="CODE", show_default=False),
]
EffectiveDate = Annotated[
    str | None,
    typer.Option(
        help="When it starts; on each device's activation date if none is named.",
        metavar="YYYY-MM-DD",
        show_default=False,
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the record.", show_default=False)]
Reassign = Annotated[bool, typer.Option("--reassign", help="Take devices over from other customers.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    command(app, rich_help_panel="Associate devices")(check)
    command(app, rich_help_panel="Associate devices")(associate)


def check(
    call: Call,
    devices: Devices,
    customer: Customer,
    service_provider: ServiceProvider = None,
    site: Site = None,
    create_billing_service: Billing = False,
    carrier_rate_plan: CarrierPlans = None,
    customer_rate_plan: CustomerPlan = None,
    effective_date: EffectiveDate = None,
    reason: Reason = "",
    reassign: Reassign = False,
) -> int:
    """Say of every device whether it can be associated, and why not. Changes nothing.

    Ends with 0 if all devices are ready (warnings included), with 1 if some are blocked, with 2 if the request is
    refused as a whole.
    """
    with call.open() as opened:
        request = _request(
            opened.desk, devices, customer, service_provider, site, create_billing_service, carrier_rate_plan,
            customer_rate_plan, effective_date, reason, reassign,
        )  # fmt: skip
        report = opened.desk.check(request)
    call.out.document(_report_document(report))
    show_report(call.out, report)
    if report.request_blocked:
        return 2
    return 1 if report.blocked else 0


def associate(
    call: Call,
    devices: Devices,
    customer: Customer,
    service_provider: ServiceProvider = None,
    site: Site = None,
    create_billing_service: Billing = False,
    carrier_rate_plan: CarrierPlans = None,
    customer_rate_plan: CustomerPlan = None,
    effective_date: EffectiveDate = None,
    reason: Reason = "",
    reassign: Reassign = False,
    wait: Annotated[bool, typer.Option("--wait", help="Work on the job here until it is done.")] = False,
    submission_key: Annotated[
        str | None,
        typer.Option(help="Makes the call repeatable: the same key never makes a second job.", show_default=False),
    ] = None,
) -> int:
    """Check the devices and submit them as a job.

    What is blocked gets a rejected work order, so that the job accounts for every device. Without --wait the job is
    only submitted; an open desktop, or the command work, does it.
    """
    with call.open(engine="wait" if wait else None) as opened:
        desk = opened.desk
        request = _request(
            desk, devices, customer, service_provider, site, create_billing_service, carrier_rate_plan,
            customer_rate_plan, effective_date, reason, reassign,
        )  # fmt: skip
        report = desk.check(request)
        if report.request_blocked:
            first = next(finding for finding in report.findings if finding.line == 0)
            raise RequestRefused(first.code, first.message, first.what_to_do)
        show_report(call.out, report)
        submitted = desk.submit(request, report.fingerprint, submission_key or uuid4().hex)
        show_submitted(call.out, submitted)
        if not wait:
            call.out.document(_submitted_document(submitted, submitted.state))
            call.out.line(how_to_go_on(submitted.tracking_number))
            return 1 if submitted.rejected else 0
        code, job = finish_job(call, opened, submitted.tracking_number)
        call.out.document(_submitted_document(submitted, job.job.state))
        return code


# --- the request -----------------------------------------------------------------------------------------------------


def _request(
    desk: Desk,
    devices: str,
    customer: str,
    service_provider: str | None,
    site: str | None,
    create_billing_service: bool,
    carrier_rate_plans: list[str] | None,
    customer_rate_plan: str | None,
    effective_date: str | None,
    reason: str,
    reassign: bool,
) -> AssociationRequest:
    return AssociationRequest(
        # What is wrong with the other flags is said before a long list is read.
        effective_date=_date(effective_date),
        carrier_rate_plans=tuple(_plan_choice(text) for text in carrier_rate_plans or ()),
        devices=AskedLines(_lines(desk, devices)),
        customer=customer,
        site=site,
        service_provider=service_provider,
        create_billing_service=create_billing_service,
        customer_rate_plan=customer_rate_plan,
        reassign=reassign,
        reason=reason,
    )


def _lines(desk: Desk, devices: str) -> tuple[str, ...]:
    if devices != "-":
        return desk.read_devices_file(Path(devices).expanduser())
    content = sys.stdin.buffer.read()
    if not content.strip():
        raise RequestRefused(
            "NO_DEVICES", "Standard input names no device.", "Write one ICCID, IMEI, phone number or EID a line."
        )
    with tempfile.TemporaryDirectory(prefix="association-desk-") as folder:
        path = Path(folder) / "standard-input.csv"
        path.write_bytes(content)
        return desk.read_devices_file(path)


def _date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        if len(text.strip()) == len("2026-11-24"):
            return date.fromisoformat(text.strip())
    except ValueError:
        pass
    raise RequestRefused(
        "DATE_INVALID",
        f"The effective date {text!r} is no date.",
        "Write it as year-month-day, such as 2026-11-24, or leave it out for each device's activation date.",
    )


def _plan_choice(text: str) -> CarrierPlanChoice:
    provider, equals, code = text.partition("=")
    return CarrierPlanChoice(code.strip(), provider.strip()) if equals else CarrierPlanChoice(text.strip())


# --- the answer ------------------------------------------------------------------------------------------------------


def _report_document(report: CheckReport) -> dict[str, Any]:
    return {
        "ready": report.ready,
        "warnings": report.warnings,
        "blocked": report.blocked,
        "fingerprint": report.fingerprint,
        "findings": [
            {
                "line": finding.line,
                "asked_for": finding.asked_for,
                "iccid": finding.iccid,
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
                "what_to_do": finding.what_to_do,
            }
            for finding in report.findings
        ],
    }


def show_report(out: Output, report: CheckReport) -> None:
    """The three counts, the causes, and for each cause its first lines."""
    asked = report.ready + report.warnings + report.blocked
    out.line(
        f"{asked:,} devices: {report.ready:,} ready, {report.warnings:,} with warnings, {report.blocked:,} blocked"
        + (f"; {report.duplicates:,} lines named a device twice" if report.duplicates else ""),
        "bold",
    )
    for finding in report.findings:
        if finding.line == 0:
            out.line(f"  {_word(finding.severity)}  {finding.message} {finding.what_to_do}", _style(finding.severity))
    for group in report.groups:
        if not any(group.lines):  # about the request as a whole: said above
            continue
        out.line(
            f"  {_word(group.severity)}  {group.count:,} {title_for(group.count, group.title)}", _style(group.severity)
        )
        out.line(f"           {group.what_to_do} (lines {_lines_of(group.lines)})")


def _word(severity: Severity) -> str:
    return severity.value.ljust(7)


def _style(severity: Severity) -> str:
    return "red" if severity is Severity.BLOCKED else "yellow"


def _lines_of(lines: tuple[int, ...], most: int = 8) -> str:
    shown = ", ".join(f"{line:,}" for line in lines[:most])
    return shown + (f" and {len(lines) - most:,} more" if len(lines) > most else "")


def _submitted_document(submitted: Submitted, state: str) -> dict[str, Any]:
    return {
        "tracking_number": submitted.tracking_number,
        "submitted": submitted.submitted,
        "rejected": submitted.rejected,
        "state": state,
    }


def show_submitted(out: Output, submitted: Submitted) -> None:
    """The tracking number, and how many devices."""
    again = "" if submitted.is_new else " (submitted before under the same key)"
    counts = f"{submitted.submitted:,} devices submitted, {submitted.rejected:,} rejected"
    out.line(f"{submitted.tracking_number}: {counts}{again}", "bold")
