"""What the tests of the database share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.unit_of_work import Store
from tests.helpers.databases import Databases, PostgresDatabases, SqliteFiles
from tests.helpers.postgres import PostgresServer
from tests.helpers.stores import fresh_store


@pytest.fixture
def store(databases: Databases) -> Iterator[Store]:
    """A database with the schema and no rows, on SQLite and on PostgreSQL in turn."""
    with fresh_store(databases) as opened:
        yield opened


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    """Databases on SQLite alone."""
    return SqliteFiles(tmp_path_factory.mktemp("sqlite-alone"))


@pytest.fixture
def sqlite_store(sqlite_databases: SqliteFiles) -> Iterator[Store]:
    """A database with the schema and no rows, on SQLite alone."""
    with fresh_store(sqlite_databases) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer) -> PostgresDatabases:
    """Databases on PostgreSQL alone. Mark such a test with ``postgres``."""
    return PostgresDatabases(postgres_server)


@pytest.fixture
def postgres_store(postgres_databases: PostgresDatabases) -> Iterator[Store]:
    """A database with the schema and no rows, on PostgreSQL alone. Mark such a test with ``postgres``."""
    with fresh_store(postgres_databases) as opened:
        yield opened
