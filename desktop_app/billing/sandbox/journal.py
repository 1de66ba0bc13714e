"""The sandbox's memory on disk: one JSON document a line, on disk before the answer that depends on it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class JournalDamaged(Exception):
    """A line before the last one cannot be read: the journal was changed by something else."""


class Journal:
    """Append-only file. Entries that arrive while an fsync is running share the next one."""

    def __init__(self, path: Path) -> None:
        """Opens ``path`` for appending; :meth:`replay` has to be read to its end first."""
        self._path = path
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._fd: int | None = None

    def replay(self) -> Iterator[Entry]:
        """Every entry in order; a torn last line (the process died while writing it) is cut off.

        Raises:
            JournalDamaged: a line that is not the last one is no JSON object.
        """
        if not self._path.exists():
            return
        with self._path.open("rb+") as file:
            number = 0
            start = 0
            while line := file.readline():
                number += 1
                entry = _parse(line)
                if entry is None:
                    if file.read(1):
                        raise JournalDamaged(f"{self._path}: line {number} is damaged.")
                    file.truncate(start)
                    return
                start = file.tell()
                yield entry

    async def append(self, entry: Entry) -> None:
        """Returns once the entry is on disk. Entries keep the order in which this was called."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        # shielded: a handler that is cancelled must not cancel the wait of the group it shares
        await asyncio.shield(done)

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, b"".join(line for line, _ in group))
            except OSError as error:
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in group:
                    if not done.done():
                        done.set_result(None)
        self._flusher = None

    def _write(self, data: bytes) -> None:
        if self._fd is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self._path, flags, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fsync(self._fd)

    def close(self) -> None:
        """Closes the file. Nothing may be waiting in :meth:`append`."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
