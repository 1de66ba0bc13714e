"""What all engines of one database must agree on: read and written as one typed value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from db.schema import installation_setting
from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.association.model import InstallationSettings

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


def read(uow: UnitOfWork) -> InstallationSettings:
    """The settings as they stand; what was never set has its default.

    Raises:
        EnvironmentFault: a stored value cannot be read; nothing that depends on it may go on with a guess.
    """
    rows = uow.connection.execute(
        select(installation_setting.c.name, installation_setting.c.value).where(
            # counters of tracking numbers, and what a restored backup is marked with, stand here too
            installation_setting.c.name.in_(list(_PARSERS))
        )
    )
    values: dict[str, Any] = {}
    for name, stored in rows:
        try:
            values[name] = _PARSERS[name](stored)
        except ValueError as error:
            raise EnvironmentFault(
                "SETTING_INVALID",
                f"The installation setting {name} holds {stored!r}, which cannot be read: {error}.",
                f"Correct the row {name} of the table installation_setting.",
            ) from error
    return InstallationSettings(**values)


def write(uow: UnitOfWork, name: str, value: object) -> None:
    """Sets one of them for every engine of this database, from their next transaction on.

    Args:
        name: a field of :class:`InstallationSettings`.
        value: of the field's type, or its text.

    Raises:
        RequestRefused: no such setting, or no such value of it. Nothing is changed.
    """
    if name not in _PARSERS:
        raise RequestRefused(
            "SETTING_UNKNOWN", f"There is no installation setting {name!r}.", f"Use one of: {', '.join(_PARSERS)}."
        )
    stored = as_text(value)
    try:
        _PARSERS[name](stored)
    except ValueError as error:
        raise RequestRefused(
            "SETTING_INVALID",
            f"{stored!r} is no value for the installation setting {name}: {error}.",
            "Give another value; the old one stands.",
        ) from error
    put(uow, name, stored)


def put(uow: UnitOfWork, name: str, text: str) -> None:
    """Writes the row of this name, there or not; what is none of the settings stands here too (:func:`read`).

    Args:
        text: at most 400 characters.
    """
    table = installation_setting
    at = uow.now()
    change = update(table).where(table.c.name == name).values(value=text, changed_at=at)
    if uow.connection.execute(change).rowcount:
        return
    try:
        with uow.savepoint():
            uow.connection.execute(insert(table).values(name=name, value=text, changed_at=at))
    except IntegrityError:  # somebody else was first
        uow.connection.execute(change)


def as_text(value: object) -> str:
    """A setting's value as it is stored."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _time_zone(stored: str) -> str:
    try:
        return ZoneInfo(stored).key
    except (KeyError, ValueError, OSError) as error:  # unknown, or no name of a time zone at all
        raise ValueError("it is no time zone of the IANA list, such as Europe/Vienna") from error


def _flag(stored: str) -> bool:
    if stored not in {"true", "false"}:
        raise ValueError("it is neither true nor false")
    return stored == "true"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(stored: str) -> int:
        if not stored.isascii() or not stored.isdigit() or not least <= int(stored) <= most:
            raise ValueError(f"it is no whole number from {least} to {most}")
        return int(stored)

    return parse


def _seconds_or_none(stored: str) -> float | None:
    if not stored:
        return None
    try:
        seconds = float(stored)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise ValueError("it is no number of seconds from 0 to 86,400")
    return seconds


#: A procedure's name goes into a statement as it is: letters, digits and underscores alone, so nothing else gets in. A
#: part may stand in quotes: PostgreSQL takes capitals for small letters without them.
_PART = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_PROCEDURE = re.compile(rf"""(?:(?:{_PART}|"{_PART}")\.){{0,2}}(?:{_PART}|"{_PART}")""", re.ASCII)


def _procedure(stored: str) -> str:
    if stored and not _PROCEDURE.fullmatch(stored):
        raise ValueError(
            "it is no name of a procedure, such as dbo.MarkComplete (letters, digits and underscores; in quotes where "
            "PostgreSQL is to keep capitals)"
        )
    return stored


_PARSERS: dict[str, Callable[[str], Any]] = {
    "time_zone": _time_zone,
    "settle_s": _seconds_or_none,
    "max_attempts": _whole(1, 1000),
    "max_age_h": _whole(1, 24 * 365),
    "furthest_ahead_days": _whole(0, 3650),
    "iccid_as_number": _flag,
    "abort_failed_percent": _whole(0, 100),
    "abort_least_done": _whole(1, 1_000_000),
    "procedure_update_device_history_across_providers": _procedure,
    "procedure_mark_device_changes_complete": _procedure,
    "procedure_sync_device_service_links": _procedure,
}
assert list(_PARSERS) == [field.name for field in fields(InstallationSettings)]
