"""What the command line writes: JSON for programs, tables and sentences for people.

On a terminal there is colour, and tables fit its width; into a file or a pipe go plain lines that are never broken.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop_app.association.errors import AssociationError
from desktop_app.logs import redacted

if TYPE_CHECKING:
    from rich.console import Console


class Output:
    """Standard output and standard error of one command.

    Attributes:
        as_json: the result is one JSON document on standard output, and nothing else is.
        console: standard output; with ``as_json`` what people would read goes to standard error instead.
    """

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console  # late: neither the window nor the sandbox waits for it

        self.as_json = as_json
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self.console: Console = self._errors if as_json else Console(highlight=False, soft_wrap=True)

    @property
    def is_live(self) -> bool:
        """Whether a person watches: things may move."""
        return self.console.is_terminal

    def document(self, value: Any) -> None:
        """The command's result, for programs; nothing without ``--json``."""
        if self.as_json:
            print(json.dumps(to_json(value), ensure_ascii=False, indent=2))

    def line(self, text: str = "", style: str | None = None) -> None:
        """A line for people; the text is taken as it is."""
        if not self.as_json:
            self.console.print(text, style=style, markup=False)

    def note(self, text: str) -> None:
        """A line on standard error: what is good to know and not part of the result."""
        self._errors.print(text, style="dim", markup=False)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
        """A table for people.

        Args:
            right: headings of the columns with numbers.
        """
        if self.as_json:
            return
        texts = [[_text(cell) for cell in row] for row in rows]
        if self.is_live:
            from rich.table import Table
            from rich.text import Text

            table = Table(box=None, pad_edge=False, header_style="bold")
            for heading in headings:
                table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
            for row in texts:
                table.add_row(*map(Text, row))
            self.console.print(table, soft_wrap=False)
            return
        widths = [max(map(len, column)) for column in zip(headings, *texts, strict=True)]
        for row in [list(headings), *texts]:
            cells = [
                cell.rjust(width) if heading in right else cell.ljust(width)
                for cell, width, heading in zip(row, widths, headings, strict=True)
            ]
            self.console.print("  ".join(cells).rstrip(), markup=False)

    def fields(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values below one another; what has no value is left out."""
        shown = [(name, _text(value)) for name, value in pairs if _text(value)]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self.line(f"{name.ljust(width)}  {value}")

    def error(self, error: AssociationError) -> int:
        """Says what happened and what to do. Returns the exit code."""
        message, what_to_do = redacted(error.message), redacted(error.what_to_do)
        if self.as_json:
            print_error(error.code, message, what_to_do)
        else:
            self._errors.print("Error: ", style="bold red", end="")
            self._errors.print(message, markup=False)
            self._errors.print(what_to_do, markup=False)
        return error.exit_code


def print_error(code: str, message: str, what_to_do: str) -> None:
    """An error as JSON on standard output."""
    print(json.dumps({"error": {"code": code, "message": message, "what_to_do": what_to_do}}, ensure_ascii=False))


def to_json(value: Any) -> Any:
    """The value as JSON knows it: dataclasses as objects, dates and instants (UTC) as ISO texts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(inner) for inner in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value


def local_time(at: datetime | None) -> str:
    """An instant as this machine's clock shows it; "" for none."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def flush() -> None:
    """Writes out what is buffered; a reader that has gone away (``… | head``) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None  # or the interpreter tries once more when it ends


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local_time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value.value) if isinstance(value, Enum) else str(value)
