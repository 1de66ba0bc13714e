"""What an administrator of the database does now and then: procedures of the site, and text for the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from desktop_app.bootstrap.database import open_store, take_seat

if TYPE_CHECKING:
    from desktop_app.settings import Settings


def site_procedures(settings: Settings, operator: str | None, names: Mapping[str, str]) -> dict[str, str]:
    """Names procedures of the site, if any are given; which are in use then ("": the program's own).

    Raises:
        RequestRefused: see :func:`desktop_app.desk.procedures.use_procedures`.
        EnvironmentFault: the database cannot be used.
    """
    from desktop_app.desk.procedures import procedures_in_use, use_procedures

    with open_store(settings, []) as store:
        seat = take_seat(store, operator)
        if names:
            use_procedures(seat, names)
        return procedures_in_use(seat)


def procedures_text(dialect: str, schema: str | None) -> str:
    """The program's maintenance procedures as statements that create them."""
    from db.site_procedures import as_text

    return as_text(dialect, schema)


def roles_text(dialect: str, schema: str | None) -> str:
    """The statements that make the roles with which the program is used."""
    from db.roles import as_text

    return as_text(dialect, schema)
