"""The log: a line of JSON for each event in ``DATA_DIR/logs``, and plain lines on standard error for the command line.

Everything passes one filter that takes secrets out, whoever logs it: the program, or a library through ``logging``.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

LOG_FILE = "association-desk.jsonl"
MAX_BYTES = 5_000_000
KEPT_FILES = 5
REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|authorization|subscription[-_ ]?key|api[-_ ]?key", re.IGNORECASE
)
#: Secrets inside texts: the password of a URL, an authorization header, ``password=…`` in whatever notation.
_SECRET_TEXTS = (
    re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE),
    re.compile(r"(?P<keep>\bAuthorization[\"']?\s*[:=]\s*[\"']?(?:\w+\s+)?)[^\s\"',;}]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:Basic|Bearer)\s+)[A-Za-z0-9+/=._~-]{16,}"),
    re.compile(
        r"""(?P<keep>(?:password|passwd|pwd|secret|token|subscription[-_ ]?key|api[-_ ]?key)["']?\s*[=:]\s*)"""
        r"""("[^"]*"|'[^']*'|[^\s"',;&}]+)""",
        re.IGNORECASE,
    ),
)

#: What this process has added to the root logger.
_handlers: list[logging.Handler] = []


def redacted(text: str) -> str:
    """The text without what looks like a secret in it."""
    for pattern in _SECRET_TEXTS:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    return text


def without_secrets(value: Any, name: str = "") -> Any:
    """The value without secrets: by the name it goes by, and inside its texts, however deep."""
    if name and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: without_secrets(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in value]
    return value


def _say_once(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Another handler's formatter leaves the finished text on the record; it is there already."""
    if event.get("message") == event.get("event"):
        event.pop("message", None)
    return event


def _take_secrets_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in list(event.items()):
        if not name.startswith("_"):
            event[name] = without_secrets(value, name)
    return event


class _SharedRotatingFile(logging.handlers.RotatingFileHandler):
    """A rotating log file that several processes may write at the same time.

    Another process may have moved the file away (then this one follows to the new file), or may hold it open where that
    forbids moving it (Windows: then this one goes on in the old file, and the move is tried again later).
    """

    def emit(self, record: logging.LogRecord) -> None:
        self._follow()
        super().emit(record)

    def _follow(self) -> None:
        if self.stream is None:
            return
        try:
            there = Path(self.baseFilename).stat()
        except FileNotFoundError:
            moved = True
        else:
            mine = os.fstat(self.stream.fileno())
            moved = (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)
        if moved:
            self.stream.close()
            self.stream = self._open()

    def doRollover(self) -> None:  # noqa: N802 - the name in the standard library
        try:
            super().doRollover()
        except OSError:
            if self.stream is None:
                self.stream = self._open()


def configure(folder: Path | None, level: str, *, to_stderr: bool) -> None:
    """Starts logging for this process; called again, it starts anew.

    Args:
        folder: where the log file goes, made if missing; None, or a folder that cannot be written: no file.
        level: what is shown on standard error, and whether the file holds DEBUG too. The file holds INFO in any case.
        to_stderr: whether this process has somebody who reads standard error.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    stop()
    root = logging.getLogger()
    shown = logging.getLevelNamesMapping()[level]
    root.setLevel(min(logging.INFO, shown))
    if folder is not None:
        handler = _file_handler(folder)
        if handler is not None:
            handler.setFormatter(_formatter(shared, structlog.processors.JSONRenderer(default=str, ensure_ascii=False)))
            _add(handler)
    if to_stderr and sys.stderr is not None:
        stream = logging.StreamHandler(sys.stderr)
        stream.setLevel(shown)
        stream.setFormatter(_formatter(shared, _plain(with_traces=level == "DEBUG")))
        _add(stream)
    # What these say at INFO is of no use to anybody here.
    for name in ("alembic", "sqlalchemy", "urllib3", "asyncio", "qasync"):
        logging.getLogger(name).setLevel(logging.WARNING)


def stop() -> None:
    """Closes the log's files."""
    while _handlers:
        handler = _handlers.pop()
        logging.getLogger().removeHandler(handler)
        handler.close()


def _add(handler: logging.Handler) -> None:
    _handlers.append(handler)
    logging.getLogger().addHandler(handler)


def _file_handler(folder: Path) -> logging.Handler | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _SharedRotatingFile(
            folder / LOG_FILE, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8", delay=True
        )
    except OSError:
        return None  # a full or read-only disk must not keep the program from saying what is wrong


def _formatter(shared: list[Any], renderer: Any) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _say_once,
            structlog.processors.format_exc_info,
            _take_secrets_out,
            renderer,
        ],
    )


def _plain(*, with_traces: bool) -> Any:
    """``WARNING: what happened (name=value, …)``; tracebacks are in the file, and here where they are asked for."""

    def render(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.pop("level", "")).upper()
        text = str(event.pop("event", ""))
        trace = event.pop("exception", "")
        for name in ("timestamp", "logger"):
            event.pop(name, None)
        rest = ", ".join(f"{name}={value}" for name, value in event.items())
        return f"{level}: {text}" + (f" ({rest})" if rest else "") + (f"\n{trace}" if trace and with_traces else "")

    return render
