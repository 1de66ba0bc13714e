"""What holds for every test: it meets no trace of the person who runs it, and leaves nothing running behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.helpers import captured, compiled
from tests.helpers.databases import MSSQL_URL, Databases, MssqlDatabases, PostgresDatabases, SqliteFiles
from tests.helpers.kills import PROPERTY, Kills
from tests.helpers.postgres import PostgresServer, scratch_folder

# Reasons that a skip may have even where skips are refused (ASSOCIATION_TEST_NO_SKIPS=1, as in .ci/run).
ALLOWED_SKIPS = ("no SQL Server",)
#: Seconds that a thread may take to end after its test, on a machine that may stand still for a while.
THREAD_GRACE_S = 60.0

HOME = Path(tempfile.mkdtemp(prefix="desk-home-"))

# A shell starts what it runs in the background deaf to Ctrl+C, and so would be every program that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_the_person() -> None:
    """Settings, folders, keyring and screen of whoever runs the tests: out of reach before anything is imported."""
    for name in [name for name in os.environ if name.startswith("ASSOCIATION_")]:
        if not name.startswith("ASSOCIATION_TEST_"):
            del os.environ[name]
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        del os.environ[name]
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"):
        os.environ[name] = str(HOME)
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"  # as on a machine without one
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


_forget_the_person()

# No test is timed, nor is what draws its data; a run that must be repeatable does not roll dice.
hypothesis_settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="ASSOCIATION_TEST_NO_SKIPS" in os.environ,
)
hypothesis_settings.load_profile("house")

compiled.share()


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the kills of a working process met, of a run that went well too."""
    kills = Kills()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, values in report.user_properties:
                    if name == PROPERTY:
                        kills.add(values)
    if kills.killed:
        terminalreporter.section("kills")
        for line in kills.lines():
            terminalreporter.line(line)


# ------------------------------------------------------------------------------------------------------- no silent skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure where every test has to run."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ASSOCIATION_TEST_NO_SKIPS") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            report.outcome = "failed"
            report.longrepr = f"A skip is a failure here: {reason}"


# ------------------------------------------------------------------------------------------------------ nothing left on


@pytest.fixture(autouse=True)
def nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that leaves a thread, a task of Qt's pool or an active QTimer behind."""
    uses_qt = "qapp" in request.fixturenames
    threads_before = set(threading.enumerate())
    timers_before = set(_active_timers()) if uses_qt else set()
    yield
    left = _left_threads(threads_before)
    if "PySide6.QtCore" in sys.modules:
        from PySide6.QtCore import QThreadPool

        if not QThreadPool.globalInstance().waitForDone(int(THREAD_GRACE_S * 1000)):
            left.append("a task in Qt's global thread pool")
    if uses_qt:
        left += [text for key, text in _active_timers().items() if key not in timers_before]
    assert not left, f"left running after the test: {', '.join(left)}"


def _left_threads(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + THREAD_GRACE_S
    for thread in set(threading.enumerate()) - before:
        # Python's view of a thread that Qt's pool made: it cannot be joined, and 3.11 lists it after its end.
        if not isinstance(thread, threading._DummyThread):
            thread.join(max(0.0, deadline - time.monotonic()))
    return [
        repr(thread) for thread in set(threading.enumerate()) - before if not isinstance(thread, threading._DummyThread)
    ]


def _active_timers() -> dict[int, str]:
    """Every QTimer that runs, by address."""
    import gc

    import shiboken6
    from PySide6.QtCore import QTimer

    return {
        id(thing): f"QTimer {thing.objectName()!r} of {thing.parent()!r} ({thing.interval()} ms)"
        for thing in gc.get_objects()
        if isinstance(thing, QTimer) and shiboken6.isValid(thing) and thing.isActive()
    }


# ----------------------------------------------------------------------------------------- every statement on all three


@pytest.fixture(autouse=True)
def statements_that_sql_server_takes() -> Iterator[None]:
    """Fails the test in which ``db`` executes what SQL Server would refuse, see :mod:`tests.helpers.captured`."""
    captured.start()
    yield
    objections = captured.take()
    assert not objections, "SQL Server would not take this:\n" + "\n".join(objections)


# ------------------------------------------------------------------------------------------------------------ databases


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is ``DATA_DIR`` for this test and the processes it starts."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ASSOCIATION_DATA_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL, one for each test process."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of an empty database of its own on PostgreSQL. Mark such a test with ``postgres``."""
    with PostgresDatabases(postgres_server).empty() as url:
        yield url


SERVERS = [pytest.param("postgresql", marks=pytest.mark.postgres), pytest.param("mssql", marks=pytest.mark.mssql)]


@pytest.fixture(scope="session", params=["sqlite", *SERVERS])
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Each kind of database in turn, see :mod:`tests.helpers.databases`; SQL Server with ``-m mssql`` alone."""
    if request.param == "mssql":
        url = os.environ.get(MSSQL_URL)
        if not url:
            pytest.skip(f"no SQL Server: {MSSQL_URL} names none")
        yield MssqlDatabases(url)
        return
    if request.param == "postgresql":
        yield PostgresDatabases(request.getfixturevalue("postgres_server"))
        return
    folder = scratch_folder("desk-sqlite-")
    yield SqliteFiles(folder)
    shutil.rmtree(folder)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """URL of an empty database of its own, on each kind of server in turn."""
    with databases.empty() as url:
        yield url
