"""``demo``: the whole way from a list of devices to the result CSV, with a billing company that misbehaves."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from desktop_app.association.model import Proof
from desktop_app.association.states import FINAL_JOBS, Step, StepState
from desktop_app.cli.call import Call, command
from desktop_app.cli.jobs import every_work_order
from desktop_app.cli.output import Output
from desktop_app.cli.requests import show_report, show_submitted
from desktop_app.cli.watching import progress, show_result, watch

if TYPE_CHECKING:
    from desktop_app.association.model import CheckReport
    from desktop_app.bootstrap.desk import Opened
    from desktop_app.desk.protocol import JobDetail, WorkOrderDetail

#: What goes wrong at the billing company, as shares of all POSTs.
FAULTS = {"429": 0.0015, "500-before": 0.01, "500-after": 0.01, "cut-after": 0.01, "late": 0.002, "appears-late": 0.005}
#: Of the devices that are asked for, so many are blocked on purpose.
BLOCKED_SHARE = 0.05
_PRODUCTS = (Step.CARRIER_PLAN_PRODUCT, Step.CUSTOMER_PLAN_PRODUCT)


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    command(app, rich_help_panel="Try out")(demo)


def demo(
    call: Call,
    devices: Annotated[int, typer.Option(help="Devices of the job.", min=20, max=100_000)] = 2_000,
) -> int:
    """Show the whole way: demo database, billing sandbox with faults, one job from the check to the result CSV.

    Everything happens in a fresh folder below the data folder. Ends with 0 if every device is accounted for and billing
    and database agree; devices that are blocked on purpose do not count against it.
    """
    from desktop_app.bootstrap import demonstration
    from desktop_app.bootstrap.database import make_demo_data
    from desktop_app.bootstrap.desk import open_desk

    out = call.out
    folder = call.settings.data_dir / f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    settings = demonstration.demo_settings(call.settings, folder)
    began = time.monotonic()
    out.line(f"Demo in {folder}", "bold")
    made, _ = make_demo_data(settings, devices * 12 + 1_000)
    assert made is not None
    out.line(f"Database: {made.devices:,} devices, {made.customers:,} customers, {made.jobs:,} past jobs")
    faults = {"rates": FAULTS, "latency_ms": 20, "search_lag_ms": 800, "late_ms": 5_000, "appears_late_ms": 900}
    with open_desk(settings, engine="wait") as opened:
        url = demonstration.set_sandbox_faults(opened, **faults)
        out.line(
            f"Billing sandbox: {url}, 20 ms a call, search 0.8 s behind, "
            + ", ".join(f"{share:.1%} {fault}" for fault, share in FAULTS.items())
        )
        picked = demonstration.pick_demo_job(opened, devices, BLOCKED_SHARE)
        out.line(f"Request: {devices:,} devices for customer {picked.customer}, billing service, both rate plans\n")
        report = opened.desk.check(picked.request)
        show_report(out, report)
        submitted = opened.desk.submit(picked.request, report.fingerprint, f"demo-{folder.name}")
        show_submitted(out, submitted)
        opened.start_engine()
        try:
            with progress(out, submitted.tracking_number) as show:
                watch(opened.desk, submitted.tracking_number, show)
        finally:
            opened.stop_engine()
        detail = opened.desk.job(submitted.tracking_number)
        out.line()
        show_result(out, detail)
        path = folder / f"{submitted.tracking_number}.csv"
        rows = opened.desk.export(submitted.tracking_number, path)
        _show_proofs(out, opened, submitted.tracking_number)
        wrong = _compare(out, opened, report, detail, devices, rows)
    out.line(f"\nResult CSV: {path}", "bold")
    out.line(f"Everything is kept in {folder}; look around with: --data-dir {folder}")
    out.document(
        {
            "tracking_number": submitted.tracking_number,
            "submitted": submitted.submitted,
            "rejected": submitted.rejected,
            "state": detail.job.state,
            "seconds": round(time.monotonic() - began, 1),
            "csv": path,
            "disagreements": wrong,
        }
    )
    for sentence in wrong:
        out.line(sentence, "red")
    if not wrong:
        out.line(
            f"Every device is accounted for; billing and database agree ({time.monotonic() - began:.0f} s).", "green"
        )
    return 1 if wrong else 0


def _compare(out: Output, opened: Opened, report: CheckReport, detail: JobDetail, asked: int, rows: int) -> list[str]:
    """Prints the sandbox's ledger beside the counts; gives what does not agree."""
    from desktop_app.bootstrap import demonstration

    orders = list(every_work_order(opened.desk, detail.job.tracking_number))
    kept = sum(group.count for group in report.groups if group.code == "BILLING_SERVICE_KEPT")
    expected = report.submittable - kept
    in_database = sum(bool(one.billing_service_id) and _is_done(one, Step.BILLING_SERVICE) for one in orders)
    products = sum(_is_done(one, step) for one in orders for step in _PRODUCTS)
    ledger = demonstration.read_ledger(opened)
    at_billing, duplicates = ledger["totals"], len(ledger["duplicates"])
    out.line()
    out.table(
        ("", "Expected", "In the database", "At billing"),
        [
            ("Devices asked for and accounted for", asked, len(orders), ""),
            ("Billing services made", expected, in_database, at_billing["services"]),
            ("Plan products put on them", "", products, at_billing["products"]),
            ("Made twice for one device", 0, "", duplicates),
        ],
        right=("Expected", "In the database", "At billing"),
    )
    calls = ledger["calls"]
    faults = ", ".join(f"{count:,} {fault}" for fault, count in sorted(calls["faults"].items())) or "none"
    out.line(f"{calls['POST']:,} POST and {calls['GET']:,} GET reached billing; it misbehaved with: {faults}")
    wrong = []
    if detail.job.state not in FINAL_JOBS:
        wrong.append(f"The job is not over: it is {detail.job.state.value}. {detail.job.pause_reason}")
    if not asked == detail.job.counts.done == len(orders) == rows:
        wrong.append(
            f"Of {asked:,} devices {detail.job.counts.done:,} are done, {len(orders):,} have a work order and {rows:,} "
            f"a row in the CSV."
        )
    if not expected == in_database == at_billing["services"]:
        wrong.append(
            f"{expected:,} billing services were expected, {in_database:,} are in the database and "
            f"{at_billing['services']:,} at billing."
        )
    if products != at_billing["products"]:
        wrong.append(f"{products:,} plan products are in the database and {at_billing['products']:,} at billing.")
    if duplicates:
        wrong.append(f"{duplicates:,} services or products were made twice.")
    if detail.job.counts.failed:
        wrong.append(f"{detail.job.counts.failed:,} devices failed although every fault passes by itself.")
    return wrong


def _show_proofs(out: Output, opened: Opened, tracking_number: str) -> None:
    """How many devices prove what, all of them counted."""
    counts: dict[str, Counter[Proof]] = {}
    for one in every_work_order(opened.desk, tracking_number):
        for field in fields(one.proofs):
            counts.setdefault(field.name, Counter())[getattr(one.proofs, field.name)] += 1
    shown = (Proof.YES, Proof.KEPT, Proof.SCHEDULED, Proof.NO)
    headings = tuple(proof.value.capitalize() for proof in shown)
    out.line()
    out.table(
        ("The seven proofs", *headings),
        [(name.replace("_", " ").capitalize(), *(count[proof] for proof in shown)) for name, count in counts.items()],
        right=headings,
    )


def _is_done(one: WorkOrderDetail, step: Step) -> bool:
    return any(row.step is step and row.state is StepState.DONE for row in one.steps)
