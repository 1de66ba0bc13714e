"""A form's fields to a URL and back, the ODBC driver that is taken, and passwords that are nowhere to be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc

from db.connections import (
    DatabaseConnection,
    DatabaseKind,
    LoginKind,
    connection_form,
    connection_url,
    needs_password,
    with_password,
)
from db.engines import best_driver, with_driver
from desktop_app.association.errors import RequestRefused

MSSQL, POSTGRESQL, SQLITE = DatabaseKind.MSSQL, DatabaseKind.POSTGRESQL, DatabaseKind.SQLITE
WINDOWS, PASSWORD = LoginKind.WINDOWS, LoginKind.PASSWORD
DRIVER = "ODBC Driver 18 for SQL Server"


@pytest.mark.parametrize(
    ("form", "url"),
    [
        (
            DatabaseConnection(MSSQL, server="sql1", database="desk", user="desk", driver=DRIVER),
            "mssql+pyodbc://desk@sql1/desk?Encrypt=yes&driver=ODBC+Driver+18+for+SQL+Server",
        ),
        (
            DatabaseConnection(MSSQL, server="sql1", instance="TELCO", database="desk", login=WINDOWS),
            "mssql+pyodbc://sql1\\TELCO/desk?Encrypt=yes",
        ),
        (
            DatabaseConnection(MSSQL, server="sql1", port=1444, database="desk", login=WINDOWS, trust_certificate=True),
            "mssql+pyodbc://sql1:1444/desk?Encrypt=yes&TrustServerCertificate=yes",
        ),
        (
            DatabaseConnection(
                MSSQL, server="sql1", database="desk", user="d", driver="FreeTDS", trust_certificate=True
            ),
            "mssql+pyodbc://d@sql1/desk?Encryption=require&driver=FreeTDS",
        ),
        (
            DatabaseConnection(POSTGRESQL, server="pg1", port=5433, database="desk", user="käse@home"),
            "postgresql+psycopg://k%C3%A4se%40home@pg1:5433/desk?sslmode=verify-full",
        ),
        (
            DatabaseConnection(POSTGRESQL, database="desk", user="d", encrypt=False, more={"host": "/run/postgresql"}),
            "postgresql+psycopg://d@/desk?host=%2Frun%2Fpostgresql&sslmode=prefer",
        ),
        (DatabaseConnection(SQLITE, path="/srv/desk.db"), "sqlite:////srv/desk.db"),
    ],
)
def test_a_form_is_a_url_and_back(form: DatabaseConnection, url: str) -> None:
    assert connection_url(form) == url
    assert connection_form(url) == form


NAMES = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() and "\\" not in text and "\0" not in text)


@given(
    NAMES, NAMES, st.sampled_from([MSSQL, POSTGRESQL]), st.booleans(), st.booleans(), st.none() | st.integers(1, 65535)
)
def test_any_name_comes_back(
    database: str, user: str, kind: DatabaseKind, encrypt: bool, trust: bool, port: int | None
) -> None:
    form = DatabaseConnection(
        kind,
        server="server.example",
        port=port,
        database=database,
        user=user,
        encrypt=encrypt,
        trust_certificate=trust and (encrypt or kind is MSSQL),
    )
    assert connection_form(connection_url(form)) == form


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (DatabaseConnection(SQLITE), "file"),
        (DatabaseConnection(MSSQL, database="desk", user="d"), "server"),
        (DatabaseConnection(MSSQL, server="sql1", user="d"), "database"),
        (DatabaseConnection(POSTGRESQL, server="pg1", database="desk", user=" "), "user"),
        (DatabaseConnection(MSSQL, server="sql1", database="desk", user="d", port=70_000), "port"),
        (DatabaseConnection(MSSQL, server="s", instance="I", port=1433, database="desk", user="d"), "instance"),
    ],
)
def test_what_is_missing_is_named(form: DatabaseConnection, word: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        connection_url(form)
    assert word in caught.value.message
    assert caught.value.what_to_do


@pytest.mark.parametrize("url", ["", "desk", "mysql://host/desk", "mssql+pyodbc://host:port/desk"])
def test_a_url_of_something_else_fills_no_form(url: str) -> None:
    with pytest.raises(RequestRefused):
        connection_form(url)


def test_a_password_is_put_in_and_never_comes_back() -> None:
    url = connection_url(DatabaseConnection(MSSQL, server="sql1", database="desk", user="desk", driver=DRIVER))
    assert needs_password(url)
    whole = with_password(url, "a;b}c{ d=@/")
    assert not needs_password(whole)
    assert make_url(whole).password == "a;b}c{ d=@/"
    assert "PWD={a;b}}c{ d=@/};" in MSDialect_pyodbc().create_connect_args(make_url(whole))[0][0]
    assert connection_url(connection_form(whole)) == url


@pytest.mark.parametrize(
    "url", ["mssql+pyodbc://sql1/desk", "sqlite:////srv/desk.db", "postgresql+psycopg://d:secret@pg1/desk"]
)
def test_not_every_connection_needs_a_password(url: str) -> None:
    assert not needs_password(url)


# --- drivers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "best"),
    [
        (["SQL Server", "ODBC Driver 17 for SQL Server", DRIVER, "FreeTDS"], DRIVER),
        (["ODBC Driver 17 for SQL Server", "FreeTDS"], "ODBC Driver 17 for SQL Server"),
        (["ODBC Driver 9 for SQL Server", "ODBC Driver 17 for SQL Server"], "ODBC Driver 17 for SQL Server"),
        (["SQL Server", "FreeTDS"], "FreeTDS"),
        ([], DRIVER),
    ],
)
def test_the_best_driver_of_the_machine_is_taken(installed: list[str], best: str) -> None:
    assert best_driver(installed) == best


@pytest.mark.parametrize(
    ("url", "connects_with"),
    [
        (
            "mssql+pyodbc://sql1/desk",
            (
                "DRIVER={FreeTDS};Server=sql1;Database=desk;Trusted_Connection=Yes;APP=association-desk;"
                "ClientCharset=UTF-8;Encryption=require;TDS_Version=7.4"
            ),
        ),
        (
            "mssql+pyodbc://d:p@sql1:1444/desk?driver=FreeTDS&encryption=off",
            (
                "DRIVER={FreeTDS};Server=sql1;Database=desk;UID=d;PWD=p;APP=association-desk;ClientCharset=UTF-8;"
                "TDS_Version=7.4;encryption=off;port=1444"
            ),
        ),
        (
            f"mssql+pyodbc://d:p@sql1:1444/desk?driver={DRIVER}&TrustServerCertificate=yes",
            (
                f"DRIVER={{{DRIVER}}};Server=sql1,1444;Database=desk;UID=d;PWD=p;APP=association-desk;Encrypt=yes;"
                "TrustServerCertificate=yes;UseFMTONLY=yes"
            ),
        ),
        ("mssql+pyodbc://?odbc_connect=DSN%3Ddesk", "DSN=desk"),
    ],
)
def test_what_a_url_leaves_out_is_filled_in(url: str, connects_with: str) -> None:
    made = with_driver(make_url(url), lambda: ["FreeTDS"])
    (text,), _ = MSDialect_pyodbc().create_connect_args(made)
    assert sorted(text.split(";")) == sorted(connects_with.split(";"))
