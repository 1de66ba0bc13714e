"""Command line of the sandbox: ``python -m desktop_app.billing.sandbox --data-dir FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from desktop_app.billing.sandbox.faults import FAULTS, BadFault, parse_rates


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of the command line."""
    result = argparse.ArgumentParser(
        prog=prog,
        description="A billing company to work against, on loopback. Where it listens stands in sandbox.json.",
    )
    add = result.add_argument
    add("--data-dir", type=Path, required=True, help="folder of sandbox.json and the journal")
    add("--port", type=int, default=0, help="port on loopback (0: any)")
    add("--parent-pid", type=int, default=None, help="end when this process is gone")
    add("--accept-any", action="store_true", help="accept customers, providers and plans that no catalogue named")
    add("--reference-field", default="number2", help="field of a service that carries the client's reference")
    add("--product-reference-field", default="code_2", help="field of a product that carries the client's reference")
    speed = result.add_argument_group("speed")
    for name, what in (
        ("latency-ms", "added to every answer"),
        ("process-delay-ms", "between reading a POST and making what it asks for"),
        ("search-lag-ms", "lists do not show what is younger"),
    ):
        speed.add_argument(f"--{name}", type=float, default=0, help=what)
    speed.add_argument("--rate-per-minute", type=int, default=0, help="more calls than that get 429 (0: no limit)")
    faults = result.add_argument_group("faults", f"{', '.join(FAULTS)}; at run time: POST /_sandbox/faults")
    add = faults.add_argument
    add("--fault", action="append", default=[], metavar="FAULT=SHARE", help="share of POSTs, such as cut-after=0.01")
    add("--get-fault", action="append", default=[], metavar="FAULT=SHARE", help="share of GETs")
    add("--seed", type=int, default=1, help="of the faults' random numbers")
    add("--late-ms", type=float, default=30_000, help="how late a late answer comes")
    add("--appears-late-ms", type=float, default=1_000, help="how late a service appears")
    add("--appears-late-answer", choices=("500", "cut", "late"), default="500", help="what is answered meanwhile")
    add("--retry-after-s", type=int, default=1, help="Retry-After of a 429 fault")
    return result


def main(argv: Sequence[str] | None = None, prog: str = "billing-sandbox") -> int:
    """Runs a sandbox until it is stopped; returns the exit code."""
    given = vars(parser(prog).parse_args(argv))
    from desktop_app.billing.sandbox.server import Options, serve  # late: --help need not wait for the web server

    try:
        faults = {
            "rates": parse_rates(given.pop("fault")),
            "get_rates": parse_rates(given.pop("get_fault"), for_get=True),
        }
        names = ("port", "parent_pid", "accept_any", "reference_field", "product_reference_field")
        options = Options(data_dir=given.pop("data_dir").resolve(), **{name: given.pop(name) for name in names})
        options.faults.update(faults, **given)
        return serve(options)
    except BadFault as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
