"""What every command has in common: its flags, its settings, how it ends.

A command is a function whose first parameter is a :class:`Call`; :func:`command` gives it the common flags and turns
what it raises into sentences and exit codes.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from desktop_app import logs, settings
from desktop_app.association.errors import AssociationError, EnvironmentFault
from desktop_app.cli.output import Output, flush

if TYPE_CHECKING:
    from desktop_app.bootstrap.desk import Opened

_log = logging.getLogger(__name__)

#: A fault in the program itself: neither the data nor the machine.
INTERNAL_ERROR = 70
#: Stopped by Ctrl+C, as shells say it.
INTERRUPTED = 130

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of database, logs and exports.", show_default=False, metavar="FOLDER")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="Another database than the one in the data folder.", show_default=False)
]
Operator = Annotated[
    str | None,
    typer.Option(help="Act for another operator (administrators only; it is written down).", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for programs.")]


@dataclass(slots=True)
class Flags:
    """The common flags as they were given before the command."""

    data_dir: Path | None = None
    database_url: str | None = None
    operator: str | None = None
    as_json: bool = False


@dataclass
class Call:
    """One call of one command.

    Attributes:
        name: of the command, as it is typed.
        out: where it writes.
        flags: the common ones.
        overrides: settings that the command's own flags name.
    """

    name: str
    out: Output
    flags: Flags
    overrides: dict[str, Any] = field(default_factory=dict)
    _said_waiting: bool = field(default=False, init=False)

    @functools.cached_property
    def settings(self) -> settings.Settings:
        """The settings in force; logging starts with them."""
        loaded = settings.load(
            {"data_dir": self.flags.data_dir, "database_url": self.flags.database_url, **self.overrides}
        )
        logs.configure(loaded.data_dir / "logs", loaded.log_level, to_stderr=True)
        return loaded

    @contextmanager
    def open(self, **options: Any) -> Iterator[Opened]:
        """The database and a desk before it, closed in the end; options as of ``bootstrap.desk.open_desk``.

        No database is made here: on a new one there is nothing to look at and nothing to work on.
        """
        from desktop_app.bootstrap.desk import open_desk

        options = {"makes_database": False, "on_wait": self.say_waiting, **options}
        with open_desk(self.settings, operator=self.flags.operator, **options) as opened:
            for notice in opened.notices:
                self.out.note(notice)
            yield opened

    def say_waiting(self) -> None:
        """Says once that the database is waited for. May be called from any thread."""
        if not self._said_waiting:
            self._said_waiting = True
            self.out.note("Waiting for the database: another program holds it.")


def command(app: typer.Typer, name: str | None = None, **options: Any) -> Callable[[Callable[..., int]], Any]:
    """Makes a function a command: adds the common flags, and ends it with its exit code whatever it raises.

    Args:
        app: what the command belongs to.
        name: as it is typed; None: the function's.
        options: of ``typer.Typer.command``.
    """

    def decorate(function: Callable[..., int]) -> Any:
        typed = name or function.__name__.replace("_", "-")
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        common = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, annotation, default in (
                ("as_json", AsJson, False),
                ("operator", Operator, None),
                ("data_dir", DataDir, None),
                ("database_url", DatabaseUrl, None),
            )
        ]
        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

        @functools.wraps(function)
        def run(**given: Any) -> int:
            before: Flags = given.pop("context").obj or Flags()
            flags = Flags(
                data_dir=given.pop("data_dir") or before.data_dir,
                database_url=given.pop("database_url") or before.database_url,
                operator=given.pop("operator") or before.operator,
                as_json=given.pop("as_json") or before.as_json,
            )
            call = Call(typed, Output(flags.as_json), flags)
            return guarded(call, lambda: function(call, **given))

        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([context, *keyword_only, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *keyword_only, *common)}
        app.command(typed, help=_paragraphs(function), **options)(run)
        return function

    return decorate


def _paragraphs(function: Callable[..., object]) -> str:
    """The function's text with each paragraph in one line: the help breaks lines where its own width wants it."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n"))


def guarded(call: Call, work: Callable[[], int]) -> int:
    """Does the work; every error becomes sentences and an exit code."""
    try:
        code = work()
        flush()
        return code
    except AssociationError as error:
        if isinstance(error, EnvironmentFault):
            _log.info("%s: %s: %s", call.name, error.code, error.message)
        return call.out.error(error)
    except KeyboardInterrupt:
        call.out.note("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        flush()
        return 0
    except Exception as error:  # noqa: BLE001 - the last door before the user: a traceback helps nobody there
        return _internal_error(call, error)
    finally:
        logs.stop()


def _internal_error(call: Call, error: Exception) -> int:
    _log.error("%s: internal error", call.name, exc_info=error)
    fault = AssociationError(
        "INTERNAL_ERROR",
        f"The program failed at something it should have handled ({type(error).__name__}: {error}).",
        "Nothing that was recorded is lost. Please report it with the log file; the command may be tried again.",
    )
    call.out.error(fault)
    return INTERNAL_ERROR
