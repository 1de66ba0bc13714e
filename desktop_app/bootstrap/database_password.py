"""The password of the database: from the environment or the keyring of the operating system, never from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop_app.settings import Settings

VARIABLE = "ASSOCIATION_DATABASE_PASSWORD"


def connect_url(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """The database URL to connect with: with its password in it, where one is needed. Never to be shown.

    The password is that of the URL, else that of ``ASSOCIATION_DATABASE_PASSWORD``, else what :func:`keep_password`
    left in the keyring. Where there is none, the URL is as it is: some servers let a user in without one.

    Raises:
        EnvironmentFault: the URL cannot be read.
    """
    from db import connections

    url = settings.database_url
    if not connections.needs_password(url):
        return url
    environ = os.environ if environ is None else environ
    password = environ.get(VARIABLE, "") or kept_password(url)
    return connections.with_password(url, password) if password else url


def kept_password(url: str) -> str:
    """What the keyring of this user holds for a database URL; "" where it holds nothing, or there is none."""
    from desktop_app.billing.secrets import open_secret

    return open_secret(_name(url))


def keep_password(url: str, password: str) -> None:
    """Keeps the password of a database URL in the keyring of this user.

    Raises:
        EnvironmentFault: there is no keyring here, or it takes nothing.
    """
    from desktop_app.billing.secrets import store_secret

    store_secret(_name(url), password)


def _name(url: str) -> str:
    from db.connections import login_shown

    return f"database {login_shown(url)}"
