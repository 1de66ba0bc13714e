"""What a re-read from billing says, for people and for programs."""

from __future__ import annotations

from typing import Any

from desktop_app.association.model import AtBilling, Reread, RereadService
from desktop_app.cli.output import Output


def show_reread(out: Output, answer: Reread) -> None:
    """Writes what billing says of each service, and what a person should look at besides."""
    out.line("\nRe-read from billing", "bold")
    if answer.services:
        out.table(
            ("Service", "Customer", "Number", "At billing"),
            [(one.service_id, one.customer, one.number, _in_words(one)) for one in answer.services],
        )
    elif not answer.not_permitted:
        out.line("There was no active billing service to ask for.")
    if answer.not_permitted:
        out.line(
            f"{answer.not_permitted:,} more are of customers for whom you may not associate; they were left alone."
        )
    if answer.orphans:
        out.line("\nActive at billing, and not in the database: find out whose they are", "bold")
        out.table(
            ("Service", "Number", "Reference"),
            [(one.service_id, one.number, one.reference) for one in answer.orphans],
        )


def reread_document(answer: Reread) -> dict[str, Any]:
    """A re-read as JSON."""
    return {"services": answer.services, "orphans": answer.orphans, "not_permitted": answer.not_permitted}


def _in_words(one: RereadService) -> str:
    match one.at_billing:
        case AtBilling.ACTIVE:
            return "active"
        case AtBilling.ENDED:
            return "ended there; it is ended here now too"
        case AtBilling.ABSENT:
            return "not listed for its customer; nothing was changed, look it up there"
        case AtBilling.IN_WORK:
            return f"job {one.tracking_number} is working on the device; nothing was changed"
