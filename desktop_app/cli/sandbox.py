"""``billing-sandbox``: the billing server that comes with the program."""

from __future__ import annotations

from collections.abc import Sequence

from desktop_app import settings
from desktop_app.association.errors import AssociationError
from desktop_app.cli.output import Output


def sandbox(arguments: Sequence[str]) -> int:
    """Runs the sandbox until it is stopped; returns the exit code.

    Args:
        arguments: of the sandbox's own command line; ``--data-dir`` is taken from the settings where it is missing.
    """
    from desktop_app.bootstrap.billing import run_sandbox

    own = [argument for argument in arguments if argument != "--json"]
    out = Output(as_json=len(own) < len(arguments))
    try:
        if not any(argument.split("=")[0] == "--data-dir" for argument in own) and not {"--help", "-h"} & set(own):
            own += ["--data-dir", str(settings.load().data_dir)]
        return run_sandbox(own, announce=lambda url, file: _announce(out, url, file))
    except AssociationError as error:
        return out.error(error)


def _announce(out: Output, url: str, address_file: str) -> None:
    out.document({"url": url, "address_file": address_file})
    out.line(f"The billing sandbox listens on {url} (Ctrl+C ends it; {address_file} says where it is).")
