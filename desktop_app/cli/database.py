"""``db``: the database itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from desktop_app.cli.call import Call, command
from desktop_app.cli.importing import import_
from desktop_app.cli.procedures import procedures, roles

#: Jobs that are named in a sentence.
_MOST_NAMED = 10


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    db = typer.Typer(help="The database: create or upgrade it, fill it, check it.", no_args_is_help=True)
    app.add_typer(db, name="db", rich_help_panel="Run")
    command(db)(upgrade)
    command(db)(demo)
    command(db)(check)
    command(db)(restored)
    command(db, "import")(import_)
    command(db)(procedures)
    command(db)(roles)


def upgrade(call: Call) -> int:
    """Create the database, or bring it up to this program; a SQLite file is copied first."""
    from desktop_app.bootstrap import database

    done, notices = database.upgrade_database(call.settings, call.say_waiting)
    call.out.document({"before": done.before, "after": done.after, "backup": done.backup_path})
    if done.before == done.after:
        call.out.line(f"The database is up to date (revision {done.after}).")
    elif done.before is None:
        call.out.line(f"The database was created (revision {done.after}).")
    else:
        call.out.line(f"The database was upgraded from revision {done.before} to {done.after}.")
    if done.backup_path is not None:
        call.out.line(f"Its copy from before is {done.backup_path}")
    for notice in notices:
        call.out.note(notice)
    return 0


def demo(
    call: Call,
    devices: Annotated[int, typer.Option(help="How many devices.", min=500)] = 100_000,
    customers: Annotated[int | None, typer.Option(help="How many customers.", min=40, show_default=False)] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing if there are devices already.")] = False,
) -> int:
    """Fill an empty database with demo data: invented carriers, customers and devices."""
    from desktop_app.bootstrap import database

    made, notices = database.make_demo_data(call.settings, devices, customers, only_if_empty=if_empty)
    for notice in notices:
        call.out.note(notice)
    if made is None:
        call.out.document({"devices": 0, "customers": 0, "ownerships": 0, "jobs": 0, "work_orders": 0})
        call.out.line("There are devices in the database already; nothing was added.")
        return 0
    call.out.document(made)
    call.out.line(
        f"{made.devices:,} demo devices, {made.customers:,} customers, {made.ownerships:,} ownerships and "
        f"{made.jobs:,} past jobs are in {call.settings.database_shown}"
    )
    return 0


def check(call: Call) -> int:
    """Check schema and rules: what must hold of every row, and which rows break it. Changes nothing.

    Ends with 0 if all rules hold, else with 1.
    """
    from desktop_app.bootstrap import database

    violations = database.check_database(call.settings)
    broken = [one for one in violations if not one.is_advice]
    call.out.document({"ok": not broken, "violations": violations})
    for one in violations:
        example = f", such as {one.example}" if one.example else ""
        rows = "" if one.is_advice else f" ({one.rows:,}{example})"
        call.out.line(f"{one.code}: {one.message}{rows}", "yellow" if one.is_advice else "red")
        call.out.line(f"  {one.what_to_do}")
    if not broken:
        call.out.line("The database is sound: every rule holds.", "green")
    return 1 if broken else 0


def restored(call: Call) -> int:
    """After a backup was put in the place of the database, before anything else is started on it.

    Whatever is open in the backup may have been ordered since it was made: billing is asked before anything more is
    ordered. Tracking numbers and runs go on where none was given. Only an administrator may do this; doing it again
    does no harm.
    """
    from desktop_app.bootstrap import database

    done = database.restored_database(call.settings, call.flags.operator)
    call.out.document(done)
    out = call.out
    out.line(f"{len(done.jobs):,} jobs are open in this backup{_named(done.jobs)}.")
    out.line(f"  {done.asked:,} devices: billing is asked whether it has what was to be ordered next.")
    out.line(f"  {done.waits:,} devices: what comes next is looked up at billing first.")
    out.line(f"Tracking numbers of today go on behind {done.last_number}.")
    out.line("What was submitted after the backup is gone, but for what it made at billing:", "yellow")
    out.line(
        "  List that with: reconcile. Until it is settled, set BILLING_LOOKUP_FIRST before devices are submitted anew."
    )
    return 0


def _named(numbers: Sequence[str]) -> str:
    shown = ", ".join(numbers[:_MOST_NAMED])
    more = f" and {len(numbers) - _MOST_NAMED:,} more" if len(numbers) > _MOST_NAMED else ""
    return f": {shown}{more}" if numbers else ""
