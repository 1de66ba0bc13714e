"""Time between two stored instants, in the words of each database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class whole_seconds(FunctionElement[int]):  # noqa: N801 - it is written like the functions of the database
    """``whole_seconds(from, to)``: whole seconds from one stored instant to a later one."""

    name = "whole_seconds"
    type = BigInteger()
    inherit_cache = True

    def __init__(self, begin: ColumnElement[Any], end: ColumnElement[Any]) -> None:
        super().__init__(begin, end)


@compiles(whole_seconds)
@compiles(whole_seconds, "sqlite")
def _sqlite(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"(CAST(strftime('%s', {end}) AS INTEGER) - CAST(strftime('%s', {begin}) AS INTEGER))"


@compiles(whole_seconds, "postgresql")
def _postgresql(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"CAST(floor(extract(epoch FROM ({end}) - ({begin}))) AS BIGINT)"


@compiles(whole_seconds, "mssql")
def _mssql(element: whole_seconds, compiler: Any, **given: Any) -> str:
    begin, end = (compiler.process(clause, **given) for clause in element.clauses)
    return f"DATEDIFF(second, {begin}, {end})"
