"""Databases for tests, cheap to have many of: each test gets one of its own.

A database with something in it (the schema, demo data) is built once and copied for every test that wants it::

    def migrated(url: str) -> None:
        upgrade(url)            # and dispose of the engine: nobody may be connected when it is copied

    @pytest.fixture
    def store(databases):
        with databases.copy_of("migrated", migrated) as url:
            yield open_store(url)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from sqlalchemy import create_engine, make_url, text

from tests.helpers.postgres import PostgresServer

#: Names the SQL Server that the tests marked ``mssql`` run on: any database of it, with a login that may make and drop
#: databases.
MSSQL_URL = "ASSOCIATION_TEST_MSSQL_URL"

Build = Callable[[str], None]


class Databases(Protocol):
    """One kind of database server (or file), which makes databases and throws them away."""

    dialect: str  #: ``sqlite``, ``postgresql`` or ``mssql``

    def empty(self) -> AbstractContextManager[str]:
        """URL of a database with nothing in it; it is gone when the block ends."""

    def copy_of(self, name: str, build: Build) -> AbstractContextManager[str]:
        """URL of a copy of what ``build`` put into a database; it is gone when the block ends.

        ``build`` is called with a URL the first time that ``name`` is asked for, and must close every connection.
        """


class SqliteFiles:
    """Databases in files of one folder."""

    dialect = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._templates: dict[str, Path] = {}

    @contextmanager
    def empty(self) -> Iterator[str]:
        with self._folder_of_its_own() as folder:
            yield _sqlite_url(folder / "desk.db")

    @contextmanager
    def copy_of(self, name: str, build: Build) -> Iterator[str]:
        if name not in self._templates:
            template = self._folder / f"template-{name}.db"
            build(_sqlite_url(template))
            left = [path.name for path in self._folder.glob(f"{template.name}-*")]
            assert not left, f"{build} left connections open: {left}"
            self._templates[name] = template
        with self._folder_of_its_own() as folder:
            shutil.copyfile(self._templates[name], folder / "desk.db")
            yield _sqlite_url(folder / "desk.db")

    @contextmanager
    def _folder_of_its_own(self) -> Iterator[Path]:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


class PostgresDatabases:
    """Databases of one running PostgreSQL server."""

    dialect = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._templates: dict[str, str] = {}

    @contextmanager
    def empty(self) -> Iterator[str]:
        with self._copy("template0") as url:
            yield url

    @contextmanager
    def copy_of(self, name: str, build: Build) -> Iterator[str]:
        if name not in self._templates:
            template = self.server.create_database(prefix=f"template_{name}")
            build(self.server.url(template))
            self._templates[name] = template
        with self._copy(self._templates[name]) as url:
            yield url

    @contextmanager
    def _copy(self, template: str) -> Iterator[str]:
        database = self.server.create_database(template=template)
        try:
            yield self.server.url(database)
        finally:
            self.server.drop_database(database)


class MssqlDatabases:
    """Databases of a SQL Server that is there; each is made anew, as there is no cheap way to copy one."""

    dialect = "mssql"
    _numbers = count(1)

    def __init__(self, url: str) -> None:
        self._url = make_url(url)

    @contextmanager
    def empty(self) -> Iterator[str]:
        # Several processes test on one server, and a run that was killed leaves its databases there.
        name = f"desk_test_{os.getpid()}_{next(self._numbers)}"
        self._execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        try:
            is_off = f"SELECT 1 FROM sys.databases WHERE name = '{name}' AND is_read_committed_snapshot_on = 0"
            self._execute(f"IF EXISTS ({is_off}) EXEC ('ALTER DATABASE {name} SET READ_COMMITTED_SNAPSHOT ON')")
            yield self._url.set(database=name).render_as_string(hide_password=False)
        finally:
            self._execute(f"DROP DATABASE {name}")

    @contextmanager
    def copy_of(self, name: str, build: Build) -> Iterator[str]:
        with self.empty() as url:
            build(url)
            yield url

    def _execute(self, *statements: str) -> None:
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"
