"""``reconcile``: billing compared with the database."""

from __future__ import annotations

import typer

from desktop_app.cli.call import Call, command


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    command(app, rich_help_panel="Run")(reconcile)


def reconcile(call: Call) -> int:
    """Compare billing with the database both ways: orphans, duplicates, missing. Changes nothing.

    Ends with 0 if both agree (services made outside the program are listed and do not count), else with 1.
    """
    from desktop_app.bootstrap import reconciling

    with call.open() as opened:
        results = reconciling.reconcile(opened)
    out = call.out
    out.document(
        {
            "at_billing": sum(result.at_billing for result in results.values()),
            "in_database": sum(result.in_database for result in results.values()),
            "orphans": _rows(results, "orphans"),
            "duplicates": _rows(results, "duplicates"),
            "missing": _rows(results, "missing"),
        }
    )
    for account, result in results.items():
        out.line(
            f"{account}: {result.at_billing:,} active services at billing, {result.in_database:,} in the database",
            "bold",
        )
        ours = [orphan for orphan in result.orphans if orphan.tracking_number]
        outside = len(result.orphans) - len(ours)
        if ours:
            out.line(f"\n{len(ours):,} are at billing and not recorded here", "red")
            out.table(
                ("Service", "Number", "Reference", "Job", "ICCID"),
                [(one.service_id, one.number, one.reference, one.tracking_number, one.iccid) for one in ours],
            )
        if result.duplicates:
            out.line(f"\n{len(result.duplicates):,} are at billing more than once", "red")
            out.table(
                ("Reference", "Number", "Services"),
                [(one.reference, one.number, ", ".join(one.service_ids)) for one in result.duplicates],
            )
        if result.missing:
            out.line(f"\n{len(result.missing):,} are active here and not so at billing", "red")
            out.table(
                ("Service", "At billing", "ICCID", "Number", "Customer"),
                [(one.service_id, one.at_billing, one.iccid, one.number, one.customer) for one in result.missing],
            )
        if outside:
            out.line(f"{outside:,} services at billing were made outside this program.")
        if result.agree:
            out.line("Billing and database agree.", "green")
    return 0 if all(result.agree for result in results.values()) else 1


def _rows(results: object, name: str) -> list[dict[str, object]]:
    from desktop_app.cli.output import to_json

    assert isinstance(results, dict)
    return [
        {"account": account, **to_json(row)} for account, result in results.items() for row in getattr(result, name)
    ]
