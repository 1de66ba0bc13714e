"""The commands, put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from desktop_app import __version__
from desktop_app.cli import database, demo, jobs, reconcile, requests, selftest, steering, work
from desktop_app.cli.call import AsJson, Call, DatabaseUrl, DataDir, Flags, Operator, guarded
from desktop_app.cli.output import Output, flush, print_error

_ABOUT = (
    "Connects devices (SIMs) to customers: checks, bills, records and proves each one.\n\n"
    "Without a command the desktop opens.\n\n"
    "Exit codes: 0 all succeeded; 1 some devices failed or were rejected; 2 refused (bad input, no right); "
    "3 environment (database or billing unreachable)."
)

app = typer.Typer(
    name="association-desk",
    help=_ABOUT,
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
    run_selftest: Annotated[
        bool, typer.Option("--selftest", help="Try out window, database, billing and export in a folder of its own.")
    ] = False,
    as_json: AsJson = False,
    operator: Operator = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What may stand before the command."""
    flags = Flags(data_dir=data_dir, database_url=database_url, operator=operator, as_json=as_json)
    context.obj = flags
    if version:
        out = Output(as_json)
        out.document({"version": __version__})
        out.line(f"Device Association Desk {__version__}")
        raise typer.Exit(0)
    if run_selftest:
        call = Call("--selftest", Output(as_json), flags)
        raise typer.Exit(guarded(call, lambda: selftest.selftest(call)))
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for part in (requests, jobs, steering, work, reconcile, demo, database):
    part.register(app)


@app.command(
    "billing-sandbox",
    rich_help_panel="Run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def billing_sandbox(context: typer.Context) -> int:
    """The billing server that comes with the program, until it is stopped (see its own --help)."""
    from desktop_app.cli.sandbox import sandbox

    return sandbox(context.args)


def run(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit code."""
    try:
        code = app(args=list(arguments), prog_name=_program(), standalone_mode=False)
        flush()
        return int(code or 0)
    except typer.TyperException as error:  # what was typed cannot be understood
        what_to_do = f"See: {_program()} {_command_of(arguments)}--help"
        if "--json" in arguments:
            print_error("USAGE", error.format_message(), what_to_do)
        else:
            sys.stderr.write(f"{error.format_message()}\n{what_to_do}\n")
        return 2
    except typer.Abort:
        return 1


def _program() -> str:
    name = Path(sys.argv[0]).name
    return f"python {name}" if name.endswith(".py") else name


def _command_of(arguments: Sequence[str]) -> str:
    names = [argument for argument in arguments if not argument.startswith("-")]
    known = {info.name for info in app.registered_commands} | {info.name for info in app.registered_groups}
    return f"{names[0]} " if names and names[0] in known else ""
