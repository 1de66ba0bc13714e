"""Settings of this machine and this user.

Defaults, over which go the TOML file in the user's config folder, the environment (``ASSOCIATION_*``) and the command
line's flags. What all engines of one database must agree on (time zone, settle time, limits) is not here: it stands in
the database. Secrets are not here either: they are in the keyring of the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from desktop_app.association.errors import EnvironmentFault, RequestRefused
from desktop_app.folders import config_file, default_data_dir

ENVIRONMENT_PREFIX = "ASSOCIATION_"

#: A lease lasts at least so many times as long as one billing call may: the call waits its turn, then is made, then it
#: is recorded.
LEASE_FACTOR = 2.0


class BillingKind(StrEnum):
    """Which billing company. Both speak the same shapes; only defaults differ."""

    SANDBOX = "sandbox"  #: the billing server that comes with the program; started when needed
    REVIO = "revio"  #: Rev.io


#: Defaults that differ by kind: address, settle time, calls a minute and a day (0: no limit). Rev.io allows 500 and
#: 150,000 for all integrations of one account together; what is missing here is left to the others.
KIND_DEFAULTS: Mapping[BillingKind, Mapping[str, Any]] = {
    BillingKind.SANDBOX: {"billing_settle_s": 3.0, "rate_per_minute": 0, "rate_per_day": 0},
    BillingKind.REVIO: {
        "billing_url": "https://api.revioapi.com/v1",
        "billing_settle_s": 600.0,
        "rate_per_minute": 450,
        "rate_per_day": 135_000,
    },
}


class Settings(BaseSettings):
    """The settings in force. In the environment each has the prefix ``ASSOCIATION_`` and is written in capitals.

    Attributes:
        data_dir: folder of everything that the program writes: database, logs, exports of ``demo``, ``sandbox.json``.
        database_url: ``sqlite:///PATH``, ``postgresql+psycopg://…`` or ``mssql+pyodbc://…``; default: a file in
            ``data_dir``.
        billing_kind: which billing company.
        billing_url: address of its API; "" with the sandbox: the one that ``sandbox.json`` names, started if needed.
        billing_timeout_s: wall-clock seconds for one call: connect, send and read together.
        billing_settle_s: seconds after which an unanswered POST can be found by a search at the billing company.
        workers: calls to billing at a time.
        lease_s: seconds for which an engine holds a work order without renewing.
        billing_lookup_first: search for the number before the first POST, for services made outside the program; on up
            to 500 devices of a job.
        rate_per_minute, rate_per_day: calls allowed for each billing credential, searches too; 0: no limit.
        notify_url: where finished jobs are announced; "": nowhere.
        log_level: what is shown on standard error; the log file holds INFO and above in any case.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, validate_default=True
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    database_url: str = ""
    billing_kind: BillingKind = BillingKind.SANDBOX
    billing_url: str = ""
    billing_timeout_s: float = Field(default=10.0, gt=0, le=300)
    billing_settle_s: float = Field(default=0.0, ge=0, le=86_400)
    billing_lookup_first: bool = False
    workers: int = Field(default=16, ge=1, le=64)
    lease_s: float = Field(default=60.0, gt=0, le=3_600)
    rate_per_minute: int = Field(default=0, ge=0)
    rate_per_day: int = Field(default=0, ge=0)
    notify_url: str = ""
    log_level: str = "WARNING"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags over environment over the user's file over defaults."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file()))

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("billing_url", "notify_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        if not value:
            return ""
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address that begins with https:// or http://")
        if parts.username or parts.password:
            raise ValueError("must not hold a login or password; they belong into the keyring")
        return value.rstrip("/")

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        level = value.upper()
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level

    @model_validator(mode="after")
    def _defaults_by_kind(self) -> Settings:
        for name, value in KIND_DEFAULTS[self.billing_kind].items():
            if name not in self.model_fields_set or getattr(self, name) == "":
                object.__setattr__(self, name, value)
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{(self.data_dir / 'desk.db').as_posix()}")
        return self

    @model_validator(mode="after")
    def _lease_outlives_the_call(self) -> Settings:
        least = self.billing_timeout_s * LEASE_FACTOR
        if self.lease_s < least:
            raise ValueError(
                f"LEASE_S is {self.lease_s:g}, but must outlive a billing call by far: at least {least:g} with "
                f"BILLING_TIMEOUT_S {self.billing_timeout_s:g}"
            )
        return self

    @property
    def uses_embedded_default(self) -> bool:
        """Whether the database is the file in ``data_dir`` that the program makes by itself."""
        return self.database_url == f"sqlite:///{(self.data_dir / 'desk.db').as_posix()}"

    @property
    def database_shown(self) -> str:
        """The database as people are shown it: the file, or the URL without its password."""
        if self.database_url.startswith("sqlite:///"):
            return self.database_url.removeprefix("sqlite:///")
        parts = urlsplit(self.database_url)
        where = parts.netloc.rpartition("@")[2] or parts.netloc
        return f"{parts.scheme}://{where}{parts.path}"


def load(flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force.

    Args:
        flags: what the command line named, by the names of :class:`Settings`; None values are left out.

    Raises:
        RequestRefused: a value that cannot be used, or a file that cannot be read; it says which.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _refused(error, given) from error
    except (OSError, ValueError) as error:  # tomllib's error is a ValueError
        raise _unreadable(error) from error


def _refused(error: ValidationError, flags: Mapping[str, Any]) -> RequestRefused:
    """The first thing that is wrong, in words. A value is shown unless it may hold a password."""
    first = error.errors(include_url=False, include_context=False)[0]
    reason = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return RequestRefused("SETTING_INVALID", f"The settings do not fit together: {reason}.", "Change one of them.")
    name = str(first["loc"][0])
    source = _source(name, flags)
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return RequestRefused(
            "SETTING_UNKNOWN",
            f"There is no setting {name!r} ({source}).",
            f"Correct its name or take it out. Settings are: {known}.",
        )
    shown = "" if name.endswith("_url") else f" is {first['input']!r}"
    return RequestRefused(
        "SETTING_INVALID", f"The setting {name.upper()} ({source}){shown}: {_lower(reason)}.", "Correct its value."
    )


def _source(name: str, flags: Mapping[str, Any]) -> str:
    return fixed_by(name, flags) or f"file {config_file()}"


def fixed_by(name: str, flags: Mapping[str, Any]) -> str:
    """What sets this setting over the user's file, in words; "" where the file decides."""
    if flags.get(name) is not None:
        return f"--{name.replace('_', '-')}"
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    if any(key.upper() == variable and value for key, value in os.environ.items()):
        return f"environment variable {variable}"
    return ""


def save(changes: Mapping[str, Any]) -> Path:
    """Writes settings into the user's file and leaves the rest of it, comments too, as it is.

    Args:
        changes: values by the names of :class:`Settings`; None takes a setting out, so that its default is in force.

    Returns:
        The file.

    Raises:
        RequestRefused: a value that cannot be used, or a file that cannot be read; nothing was written.
        EnvironmentFault: the file cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = config_file()
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise _unreadable(error) from error
    for name, value in changes.items():
        if value is not None:
            document[name] = value
        elif name in document:
            del document[name]
    try:
        Settings(**document.unwrap())
    except ValidationError as error:
        raise _refused(error, {}) from error
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_text(tomlkit.dumps(document), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise EnvironmentFault(
            "SETTINGS_FILE_UNWRITABLE",
            f"The settings file {file} cannot be written ({error.strerror or type(error).__name__}).",
            "See to it that you may write there, and save again.",
        ) from error
    return file


def _unreadable(error: Exception) -> RequestRefused:
    return RequestRefused(
        "SETTINGS_FILE_UNREADABLE",
        f"The settings file {config_file()} cannot be read: {error}.",
        "Correct the file, or move it away to run on the defaults.",
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
