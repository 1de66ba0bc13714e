"""A PostgreSQL to measure on beside the embedded database: on the same disk, and as sure of what it has committed.

It is the one that the tests run on; only here it waits for the disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.run import Run
from bench.world import World, Worlds, build
from db.unit_of_work import Store
from tests.helpers.postgres import PostgresServer

#: What it is started with; everything else is as PostgreSQL has it by itself.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    # for indexes that are built over what is there; queries have nothing of it
    "maintenance_work_mem": "256MB",
}
#: What a figure must be read with.
DURABLE = (
    "SQLite with WAL and synchronous=FULL, PostgreSQL with fsync, synchronous_commit and full_page_writes on,"
    f" shared_buffers {SETTINGS['shared_buffers']}, over a Unix socket; both on the same disk"
)
#: Where a server that must not run as root can reach its data when the folder of the repository is closed to it.
_OPEN_TO_ALL = Path("/var/tmp")


class PostgresWorlds:
    """On a server: each number of devices is built once, and copied for everyone who wants one of it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._built: dict[int, str] = {}

    @contextmanager
    def fresh(self, devices: int) -> Iterator[World]:
        """A database of its own with that many devices; it is gone when the block ends."""
        if devices not in self._built:
            template = self._server.create_database(prefix=f"template_{devices}")
            build(self._server.url(template), devices)
            self._built[devices] = template
        name = self._server.create_database(template=self._built[devices])
        try:
            with Store(self._server.url(name)) as store:
                yield World(store, devices)
        finally:
            self._server.drop_database(name)

    def forget(self, devices: int) -> None:
        """Gives back the room that copies of this size are made from."""
        self._server.drop_database(self._built.pop(devices))


@contextmanager
def side_by_side(run: Run) -> Iterator[tuple[PostgresWorlds, Worlds]]:
    """Both kinds of databases on one disk; the server is gone when the block ends."""
    parent = run.folder if _may_be_entered(run.folder) else _OPEN_TO_ALL
    within = Path(tempfile.mkdtemp(prefix="desk-bench-", dir=parent))
    within.chmod(0o755)
    try:
        server = PostgresServer(within, **SETTINGS)
        try:
            server.start()
            on_one_disk = within.stat().st_dev == run.folder.stat().st_dev
            yield PostgresWorlds(server), run.worlds if on_one_disk else Worlds(within)
        finally:
            server.close()
    finally:
        shutil.rmtree(within)


def _may_be_entered(folder: Path) -> bool:
    """Whether somebody without rights of their own may: PostgreSQL does not run as root, so it is such a user then."""
    return os.geteuid() != 0 or all(one.stat().st_mode & 0o001 for one in (folder, *folder.resolve().parents))
