"""``db procedures`` and ``db roles``: what a database administrator needs of this program."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from desktop_app.association.errors import RequestRefused
from desktop_app.cli.call import Call


class Server(StrEnum):
    """A kind of server that has procedures and roles."""

    MSSQL = "mssql"
    POSTGRESQL = "postgresql"


Schema = Annotated[
    str | None, typer.Option(help="Where the tables are; else dbo, or public.", show_default=False, metavar="NAME")
]


def procedures(
    call: Call,
    dialect: Annotated[
        Server | None, typer.Option(help="Print the program's procedures as CREATE PROCEDURE.", show_default=False)
    ] = None,
    schema: Schema = None,
    use: Annotated[
        list[str] | None,
        typer.Option(
            help="Call the site's own instead, such as mark_device_changes_complete=dbo.MarkComplete; nothing behind "
            "the = : the program's own again.",
            metavar="NAME=PROCEDURE",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Show which of the three maintenance procedures are the site's own, name them, or print the program's as text.

    A procedure of the site is called with the handle of a job whenever a job's run is finished, by every engine of this
    database. Only an administrator names them.
    """
    from desktop_app.bootstrap import administering

    if dialect is not None and use:
        raise RequestRefused(
            "OPTIONS_TOGETHER",
            "--dialect prints and changes nothing; --use changes what is called.",
            "Give one of them at a time.",
        )
    if dialect is not None:
        return _print(call, administering.procedures_text(dialect.value, _schema(schema)))
    if schema is not None:
        raise RequestRefused(
            "OPTIONS_TOGETHER", "--schema goes with --dialect.", "Name the kind of server, too: --dialect mssql."
        )
    in_use = administering.site_procedures(call.settings, call.flags.operator, dict(map(_named, use or ())))
    call.out.document({"procedures": in_use})
    call.out.table(
        ["procedure", "called"], [[name, own or "the program's own statements"] for name, own in in_use.items()]
    )
    return 0


def roles(
    call: Call,
    dialect: Annotated[Server, typer.Option(help="Of which kind of server.", show_default=False)],
    schema: Schema = None,
) -> int:
    """Print the roles association_operator (works with the program) and association_reader (only looks) as SQL.

    An administrator of the server runs the text once, and again after an upgrade, and puts logins into the roles.
    """
    from desktop_app.bootstrap import administering

    return _print(call, administering.roles_text(dialect.value, _schema(schema)))


def _print(call: Call, text: str) -> int:
    call.out.document({"sql": text})
    if not call.out.as_json:
        print(text, end="")
    return 0


def _schema(name: str | None) -> str | None:
    if name is not None and not (name.isascii() and name.isidentifier()):
        raise RequestRefused(
            "SCHEMA_INVALID", f"{name!r} is no name of a schema.", "Use letters, digits and underscores."
        )
    return name


def _named(given: str) -> tuple[str, str]:
    name, sign, own = given.partition("=")
    if not sign:
        raise RequestRefused(
            "PROCEDURE_UNKNOWN",
            f"{given!r} does not say which procedure is called instead.",
            "Write it as NAME=SCHEMA.PROCEDURE, or NAME= for the program's own.",
        )
    return name.strip(), own.strip()
