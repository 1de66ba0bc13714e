"""No command: the desktop."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from desktop_app.association.errors import AssociationError


def desktop(arguments: Sequence[str]) -> int:
    """Opens the window on the data folder's database; returns the exit code when it is closed.

    Args:
        arguments: ``--data-dir``, ``--database-url`` and ``--operator`` alone.
    """
    from desktop_app.bootstrap.desktop import run_desktop

    given = dict(_pairs(arguments))
    try:
        return run_desktop(
            {"data_dir": given.get("data-dir"), "database_url": given.get("database-url")},
            operator=given.get("operator"),
        )
    except AssociationError as error:
        from desktop_app.cli.output import Output  # the first window need not wait for what writes errors

        return Output(as_json=False).error(error)


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    pairs, rest = [], list(arguments)
    while rest:
        name, equals, value = rest.pop(0).removeprefix("--").partition("=")
        if not equals:
            if not rest:
                sys.stderr.write(f"The flag --{name} needs a value.\n")
                raise SystemExit(2)
            value = rest.pop(0)
        pairs.append((name, value))
    return pairs
