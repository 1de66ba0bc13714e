"""Every statement that ``db`` executes in a test, held against SQL Server.

A statement written tomorrow is caught by the test that executes it first; on SQLite, PostgreSQL or SQL Server, it does
not matter which. What tests execute themselves is theirs. See :mod:`tests.helpers.tsql`.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, String, Unicode, event
from sqlalchemy.engine.interfaces import ExecuteStyle
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.elements import _IdentifiedClause

from db import temporary
from tests.helpers.tsql import objections

_DB = str(Path(temporary.__file__).parent)
_SQLALCHEMY = str(Path(sys.modules["sqlalchemy"].__file__ or "").parent)
_REFLECTION = str(Path(_SQLALCHEMY, "engine", "reflection.py"))
#: What is written for one server each stands here, and is not executed on another.
_OF_ONE_SERVER = str(Path(_DB, "dialects.py"))
#: Parameters that SQL Server takes in one statement.
MOST_PARAMETERS = 2_100

_captured: deque[tuple[ClauseElement, list[str] | None, str]] = deque()
_too_long: deque[str] = deque()
_judged: dict[object, list[str]] = {}


def start() -> None:
    """From now on statements are captured, in every thread of this process."""
    if not event.contains(Engine, "before_cursor_execute", _on_execute):
        event.listen(Engine, "before_cursor_execute", _on_execute)


def take() -> list[str]:
    """What SQL Server would object to in the statements since the last call, with the statement and where it is."""
    found = list(_too_long)
    _too_long.clear()
    while _captured:
        statement, column_keys, where = _captured.popleft()
        found += [f"{where}: {objection}\n    {_shown(statement)}" for objection in _judge(statement, column_keys)]
    return found


def _on_execute(_conn: Connection, _cursor: Any, _text: str, parameters: Any, context: Any, many: bool) -> None:
    compiled = context.compiled
    if compiled is None or isinstance(compiled.statement, _IdentifiedClause):
        return  # written for the driver; a savepoint
    is_one = not many and context.execute_style is not ExecuteStyle.INSERTMANYVALUES
    is_too_long = is_one and len(parameters) > MOST_PARAMETERS
    if hasattr(compiled, "held_against_sql_server") and not is_too_long:
        return
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((_SQLALCHEMY, "<")):
        if frame.f_code.co_filename == _REFLECTION:
            return  # SQLAlchemy has its own questions for each server
        frame = frame.f_back
    file = frame.f_code.co_filename if frame is not None else ""
    if not file.startswith(_DB) or file == _OF_ONE_SERVER:
        return
    where = f"{Path(file).relative_to(Path(_DB).parent)}:{frame.f_lineno}"
    if is_too_long:
        _too_long.append(f"{where}: {len(parameters)} parameters are more than SQL Server takes")
    compiled.held_against_sql_server = True
    _captured.append((compiled.statement, getattr(compiled, "column_keys", None), where))


def _judge(statement: ClauseElement, column_keys: list[str] | None) -> list[str]:
    cache_key = statement._generate_cache_key()
    key = (cache_key.key, tuple(column_keys or ())) if cache_key is not None else _shown(statement)
    if key not in _judged:
        _judged[key] = objections(_as_on_sql_server(statement), column_keys)
    return _judged[key]


def _as_on_sql_server(statement: ClauseElement) -> ClauseElement:
    """Temporary tables are other tables there: the DDL of theirs is looked at."""
    if isinstance(statement, CreateTable) and "TEMPORARY" in statement.element._prefixes:
        table = statement.element
        columns = [
            Column(
                column.name,
                Unicode(column.type.length) if isinstance(column.type, String) else column.type,
                primary_key=column.primary_key,
                nullable=column.nullable,
            )
            for column in table.columns
        ]
        return CreateTable(temporary._table("mssql", table.name.removeprefix("tmp_"), columns))
    return statement


def _shown(statement: ClauseElement) -> str:
    return " ".join(str(statement).split())[:2000]
