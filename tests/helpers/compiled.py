"""What SQLAlchemy has compiled for one engine, it uses for all of that kind.

It keeps it by engine, and each test has an engine of its own: a quarter of the time of the engine's and the database's
tests went into compiling what was compiled for the test before.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

_compiled: dict[tuple[Any, ...], Any] = {}


class _ByKind:
    """A cache of one engine: the kind of its dialect stands in for the dialect, which the keys begin with."""

    def __init__(self, connection: Connection) -> None:
        dialect = connection.dialect
        self._kind = (dialect.name, dialect.driver, dialect.server_version_info, dialect.default_schema_name)

    def get(self, key: tuple[Any, ...]) -> Any:
        return _compiled.get((self._kind, *key[1:]))

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        _compiled[(self._kind, *key[1:])] = compiled


def share() -> None:
    """From now on, for every engine of this process."""
    if not event.contains(Engine, "engine_connect", _on_connect):
        event.listen(Engine, "engine_connect", _on_connect)


def _on_connect(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_ByKind(connection))
