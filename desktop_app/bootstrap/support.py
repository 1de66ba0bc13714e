"""The support bundle: what somebody who helps has to know of this installation, in one .zip.

Whatever goes in passes the filter of the log, which takes secrets out, and loses the identifiers of devices but for
their last four digits: the bundle leaves the house.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from desktop_app import __version__
from desktop_app.association.errors import AssociationError, EnvironmentFault
from desktop_app.bootstrap.database_password import connect_url
from desktop_app.logs import without_secrets
from desktop_app.settings import Settings

#: So many digits in a row identify a device: an MSISDN has at least ten.
_IDENTIFIER = re.compile(r"\d{6,}(?=\d{4}(?!\d))")
_NEWEST_JOBS = 20
_TOLD_PACKAGES = ("sqlalchemy", "pyodbc", "psycopg", "pyside6-essentials", "requests", "qasync", "keyring")


def masked(text: str) -> str:
    """The text with all but the last four digits of long numbers left out."""
    return _IDENTIFIER.sub("…", text)


def write_bundle(settings: Settings, path: Path) -> int:
    """Writes the bundle, whole or not at all; returns its size in bytes.

    A database that cannot be opened does not keep the rest out: why it cannot stands in its place.

    Raises:
        EnvironmentFault: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as bundle:
            _put(bundle, "about.json", _about())
            _put(bundle, "settings.json", {**settings.model_dump(mode="json"), "database_url": settings.database_shown})
            _put(bundle, "database.json", _database(settings))
            for file in sorted((settings.data_dir / "logs").glob("*.jsonl*")):
                _put_text(bundle, f"logs/{file.name}", file.read_text(encoding="utf-8", errors="replace"))
        beside.replace(path)
        return path.stat().st_size
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise EnvironmentFault(
            "FILE_UNWRITABLE",
            f"The file {path} cannot be written ({error.strerror or type(error).__name__}).",
            "Choose another place.",
        ) from error


def _put(bundle: zipfile.ZipFile, name: str, content: Mapping[str, Any]) -> None:
    _put_text(bundle, name, json.dumps(without_secrets(content), indent=1, default=str, ensure_ascii=False))


def _put_text(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    bundle.writestr(name, masked(str(without_secrets(text))))


def _about() -> dict[str, Any]:
    return {
        "program": __version__,
        "frozen": bool(getattr(sys, "frozen", False)),
        "python": sys.version,
        "system": platform.platform(),
        "written_at": datetime.now(UTC).isoformat(),
        "packages": {name: _version(name) for name in _TOLD_PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return packages.version(name)
    except packages.PackageNotFoundError:  # a frozen program does not carry it for every package
        return "?"


def _database(settings: Settings) -> dict[str, Any]:
    from db import integrity, maintenance, support
    from db.unit_of_work import Store

    try:
        with Store(connect_url(settings)) as store:
            standing = maintenance.state(store)
            told: dict[str, Any] = {"dialect": store.engines.dialect, "revision": standing}
            told["findings"] = [
                {"code": found.code, "message": found.message, "rows": found.rows} for found in integrity.check(store)
            ]
            with store.read() as uow:
                told["rows"] = support.table_sizes(uow)
                told["newest_jobs"] = support.newest_jobs(uow, _NEWEST_JOBS)
            return told
    except AssociationError as error:
        return {"trouble": {"code": error.code, "message": str(error)}}
