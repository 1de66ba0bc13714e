"""The house: what the tests guard themselves against, and what the repository must not hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import psycopg
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import create_engine, make_url, text

from tests.helpers.databases import Databases
from tests.helpers.postgres import PostgresServer

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# ----------------------------------------------------------------------------------------------------- tests are strict

TRAPS = """
import os, threading, time, warnings
from pathlib import Path
import pytest
import tests.conftest

tests.conftest.THREAD_GRACE_S = 0.2

@pytest.fixture(scope="module")
def over():
    event = threading.Event()
    yield event
    event.set()

def test_thread(over):
    threading.Thread(target=over.wait).start()

def test_timer(qapp):
    from PySide6.QtCore import QTimer
    qapp.left = QTimer(qapp, interval=10_000)
    qapp.left.start()

def test_qt_warning(qapp):
    from PySide6.QtCore import qWarning
    qWarning("trap")

def test_warning():
    warnings.warn("trap")

def test_skip():
    pytest.skip("trap")

def test_skip_of_a_missing_server():
    pytest.skip("no SQL Server")

def test_stranger():
    assert "ASSOCIATION_WORKERS" not in os.environ
    assert not Path.home().joinpath("mine").exists()
    assert not str(Path.home()).startswith(os.environ["ASSOCIATION_TEST_HOME"])

def test_thread_that_ends():
    tests.conftest.THREAD_GRACE_S = 60  # however slowly
    threading.Thread(target=time.sleep, args=(0.01,)).start()

def test_pool(qapp, over):  # the last one: what it starts outlives it
    from PySide6.QtCore import QThreadPool
    tests.conftest.THREAD_GRACE_S = 0.2
    QThreadPool.globalInstance().start(over.wait)
"""


def test_traps_catch_what_they_are_for(tmp_path: Path) -> None:
    (tmp_path / "test_traps.py").write_text(TRAPS)
    (tmp_path / "mine").touch()
    surroundings = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "ASSOCIATION_WORKERS": "3",
        "ASSOCIATION_TEST_NO_SKIPS": "1",
        "ASSOCIATION_TEST_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    config = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        [*command, *config], env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    verdicts = set(re.findall(r"^(\w+) .*::(\w+)", done.stdout, re.MULTILINE))
    assert verdicts == {
        ("ERROR", "test_thread"),
        ("ERROR", "test_pool"),
        ("ERROR", "test_timer"),
        ("FAILED", "test_qt_warning"),
        ("FAILED", "test_warning"),
        ("FAILED", "test_skip"),
    }, done.stdout
    assert re.search(r"3 failed, 5 passed, 1 skipped, 3 errors", done.stdout), done.stdout


# ------------------------------------------------------------------------------------------------- databases to test on


def test_each_test_gets_a_database_of_its_own(databases: Databases) -> None:
    built: list[str] = []

    def build(url: str) -> None:
        built.append(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE thing (name VARCHAR(10))"))
            connection.execute(text("INSERT INTO thing VALUES ('first')"))
        engine.dispose()

    for _ in range(2):
        with databases.copy_of("house", build) as url:
            engine = create_engine(url)
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO thing VALUES ('second')"))
                assert connection.execute(text("SELECT name FROM thing")).scalars().all() == ["first", "second"]
            engine.dispose()
    assert len(built) == 1


def test_database_url_speaks_its_dialect(databases: Databases, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()
    assert make_url(database_url).get_backend_name() == databases.dialect


@pytest.mark.postgres
def test_postgres_server_can_go_and_come_back(postgres_server: PostgresServer, postgres_url: str) -> None:
    where = make_url(postgres_url).set(drivername="postgresql").render_as_string()
    with psycopg.connect(where) as connection:
        connection.execute("CREATE TABLE thing (name text)")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(where)
    postgres_server.start()
    with psycopg.connect(where) as connection:
        assert connection.execute("SELECT count(*) FROM thing").fetchone() == (0,)
    connection.close()


# ------------------------------------------------------------------------------------------------- what the repo holds


def _files_in_git() -> list[Path]:
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


#: Where packages come from is a matter of the machine that installs them. (In two parts, or this file would be found.)
REGISTRY_HOSTS = [
    f"{name}.{domain}"
    for name, domain in (
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"),
        ("debian", "org"), ("ubuntu", "com"), ("golang", "org"), ("crates", "io"), ("anaconda", "org"), ("ghcr", "io"),
    )
]  # fmt: skip


def test_no_file_names_a_package_registry() -> None:
    files = _files_in_git()
    assert files
    pattern = re.compile("|".join(re.escape(host) for host in REGISTRY_HOSTS).encode())
    named = {path.relative_to(ROOT): pattern.search(path.read_bytes()) for path in files}
    assert not {path: match.group() for path, match in named.items() if match}


def test_no_lock_file_that_records_addresses() -> None:
    locks = re.compile(r"(uv|poetry|pdm)\.lock|pylock.*\.toml|package-lock\.json|yarn\.lock")
    assert not [path for path in _files_in_git() if locks.fullmatch(path.name)]


def _pages() -> list[Path]:
    return [path for path in _files_in_git() if path.suffix == ".md"]


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in _pages()
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_pages_name_files_that_exist() -> None:
    roots = [ROOT, ROOT / "desktop_app", ROOT / "tests"]
    missing = [
        f"{page.name}: {name}"
        for page in _pages()
        for name in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|sh|toml|ya?ml|spec))`", page.read_text(encoding="utf-8"))
        if not any((root / name).exists() for root in roots)
    ]
    assert not missing


def _pins(name: str) -> dict[str, tuple[str, list[str]]]:
    """Name of each pinned package → its version and its hashes. Raises AssertionError on a line of any other form."""
    pins: dict[str, tuple[str, list[str]]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        parsed = Requirement(requirement)
        (pin,) = parsed.specifier
        assert pin.operator == "==", line
        pins[canonicalize_name(parsed.name)] = (pin.version, hashes)
    return pins


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned_by_hash(name: str) -> None:
    for package, (_, hashes) in _pins(name).items():
        assert hashes, f"{package} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), package


@pytest.mark.parametrize(("name", "extras"), [("requirements.txt", ()), ("requirements-dev.txt", ("dev",))])
def test_requirements_are_in_step_with_pyproject(name: str, extras: tuple[str, ...]) -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    pins = _pins(name)
    for line in wanted:
        requirement = Requirement(line)
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{name}: {requirement.name} {version}, asked for {requirement}"


#: Not imported by name: SQLAlchemy loads the drivers when a URL asks for them, zoneinfo the time zones.
LOADED_BY_OTHERS = {"psycopg", "pyodbc", "tzdata"}


def test_every_dependency_is_used() -> None:
    needed = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}
    graph = grimp.build_graph("desktop_app", "db", include_external_packages=True, cache_dir=None)
    imported = {
        canonicalize_name(distribution)
        for module, distributions in packages_distributions().items()
        if module in graph.modules
        for distribution in distributions
    }
    assert needed - imported - LOADED_BY_OTHERS == set()


def test_tests_run_on_the_versions_that_the_program_runs_on() -> None:
    dev = _pins("requirements-dev.txt")
    assert {name: dev.get(name) for name in _pins("requirements.txt")} == _pins("requirements.txt")
