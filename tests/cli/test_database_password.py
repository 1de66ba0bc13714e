"""The password of the database: where it comes from, and that it is in no file."""

from __future__ import annotations

from pathlib import Path

import keyring
import keyring.backend
import pytest
from sqlalchemy import make_url

from desktop_app.association.errors import EnvironmentFault
from desktop_app.bootstrap.database_password import connect_url, keep_password
from desktop_app.settings import Settings

URL = "mssql+pyodbc://desk@sql1:1444/desk?driver=ODBC+Driver+18+for+SQL+Server"


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    ring = Ring()
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    monkeypatch.setattr(keyring, "set_password", ring.set_password)
    return ring


def settings(tmp_path: Path, url: str) -> Settings:
    return Settings(data_dir=tmp_path, database_url=url)


def password(url: str) -> str | None:
    return make_url(url).password


def test_the_environment_goes_before_the_keyring(tmp_path: Path, ring: Ring) -> None:
    keep_password(URL, "of the ring")
    given = {"ASSOCIATION_DATABASE_PASSWORD": "of the; environment@"}
    assert password(connect_url(settings(tmp_path, URL), given)) == "of the; environment@"
    assert password(connect_url(settings(tmp_path, URL), {})) == "of the ring"


def test_it_is_the_same_for_another_driver_and_not_for_another_server(tmp_path: Path, ring: Ring) -> None:
    keep_password(URL, "geheim")
    assert (
        password(connect_url(settings(tmp_path, "mssql+pyodbc://desk@sql1:1444/desk?driver=FreeTDS"), {})) == "geheim"
    )
    for other in ("mssql+pyodbc://desk@sql2:1444/desk", "mssql+pyodbc://other@sql1:1444/desk"):
        assert connect_url(settings(tmp_path, other), {}) == other


@pytest.mark.parametrize(
    "url", ["sqlite:////srv/desk.db", "mssql+pyodbc://sql1/desk", "postgresql+psycopg://desk:own@pg1/desk"]
)
def test_what_needs_no_password_gets_none(tmp_path: Path, ring: Ring, url: str) -> None:
    assert connect_url(settings(tmp_path, url), {"ASSOCIATION_DATABASE_PASSWORD": "geheim"}) == url


def test_without_a_keyring_the_server_is_asked_without_one(tmp_path: Path) -> None:
    assert connect_url(settings(tmp_path, URL), {}) == URL


def test_a_url_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        connect_url(settings(tmp_path, "nonsense"), {})
    assert caught.value.code == "DATABASE_URL_INVALID"
