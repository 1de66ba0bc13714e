"""What the tests of the command line share: the real program on a real SQLite file, in this process or in its own."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from db.demo.cases import DemoJob, pick_for_demo_job
from db.unit_of_work import Store
from desktop_app.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which has to be one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error that ``--json`` put on standard output."""
        (error,) = self.json.values()
        assert set(error) == {"code", "message", "what_to_do"}
        assert all(error.values())
        return dict(error)


@dataclass(frozen=True, slots=True)
class Program:
    """The command line, on the data folder of the test."""

    data_dir: Path

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Result:
        """Runs a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main([str(argument) for argument in arguments])
        finally:
            sys.stdin = before
        return Result(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Starts a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment},
        )

    @contextmanager
    def running(self, *arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A command as a process of its own, which is gone in the end."""
        with self.start(*arguments, **environment) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def run(self, *arguments: object, **environment: str) -> Result:
        """Runs a command as a process of its own."""
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=100)
        return Result(process.returncode, out, err)

    @property
    def store(self) -> Store:
        """The data folder's database; to be closed."""
        return Store(f"sqlite:///{self.data_dir}/desk.db")

    def pick(self, count: int = 40, blocked_share: float = 0.1) -> DemoJob:
        """Devices of the demo data for a job, some of them blocked."""
        with self.store as store, store.read() as uow:
            return pick_for_demo_job(uow, count, blocked_share)


@pytest.fixture
def program(data_dir: Path) -> Program:
    """The program on an empty data folder."""
    return Program(data_dir)


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with demo data, made by the program itself."""
    folder = tmp_path_factory.mktemp("demo")
    assert Program(folder)("db", "demo", "--devices", 2_000, "--data-dir", folder).code == 0
    return folder / "desk.db"


@pytest.fixture
def demo(program: Program, demo_database: Path) -> Program:
    """The program on a data folder with demo data."""
    shutil.copyfile(demo_database, program.data_dir / "desk.db")
    return program


@pytest.fixture
def listed(demo: Program, tmp_path: Path) -> tuple[Program, Path, DemoJob]:
    """The program on demo data, and a file that lists devices for a job."""
    job = demo.pick()
    path = tmp_path / "devices.txt"
    path.write_text("\n".join(job.lines) + "\n", encoding="utf-8")
    return demo, path, job
