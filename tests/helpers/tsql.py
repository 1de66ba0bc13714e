"""What SQL Server would say to a statement, as far as that can be told without one.

A statement is compiled for ``mssql+pyodbc``, parsed as T-SQL by sqlglot, and looked through for what the server refuses
although it reads well, or takes and does otherwise than the other two servers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

import sqlglot
from sqlalchemy import Boolean
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.ddl import ExecutableDDLElement
from sqlalchemy.sql.functions import FunctionElement
from sqlglot import exp
from sqlglot.errors import SqlglotError

#: As connected to SQL Server 2016; unconnected it would write for 2005, which has no DATE.
DIALECT = MSDialect_pyodbc()
DIALECT.server_version_info = (13, 0, 0, 0)  # type: ignore[assignment]
DIALECT.default_schema_name = "dbo"
DIALECT._setup_version_attributes()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions that SQL Server 2016 has and that mean there what they mean elsewhere. GETDATE and CURRENT_TIMESTAMP are
#: not among them: they round to 1/300 of a second.
FUNCTIONS = _words(
    """
    abs avg cast coalesce convert count count_big db_id dense_rank eomonth exists iif in isnull len lower ltrim max min
    nullif object_id over partition rank replace right left round row_number rtrim scope_identity sign stuff substring
    sum sysutcdatetime upper values datediff dateadd charindex concat lag lead first_value last_value year month day
    """
)
#: Words that may stand before a bracket and are no functions.
_KEYWORDS = _words(
    """
    and as by case check column constraint else end from identity index insert into join key not nvarchar varchar
    decimal numeric datetime2 on or order output primary references select set table then top unique update using when
    where with include union all any having distinct foreign add delete except intersect default between like
    """
)
_STRINGS = re.compile(r"N?'(?:[^']|'')*'")
_NAMES = re.compile(r"\[[^\]]*\]|\"[^\"]*\"")
_POSTCOMPILE = re.compile(r"__\[POSTCOMPILE_[^\]]+\]")
#: What cannot be seen in the parsed tree, or is not told apart in it.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bLIMIT\b"), "LIMIT: SQL Server has TOP and OFFSET … FETCH"),
    (re.compile(r"\bMERGE\b"), "MERGE is not used: it is not atomic by itself"),
    (re.compile(r"\bNULLS\s+(FIRST|LAST)\b"), "NULLS FIRST/LAST: SQL Server sorts NULL first, always"),
    (re.compile(r"\bIS\s+(NOT\s+)?(TRUE|FALSE|[01])\b"), "IS TRUE: compare with = 1"),
    (re.compile(r"\b(TRUE|FALSE)\b"), "TRUE/FALSE: SQL Server has 1 and 0"),
    (re.compile(r"\bRETURNING\b"), "RETURNING: SQL Server has OUTPUT"),
    (re.compile(r"\bRECURSIVE\b"), "WITH RECURSIVE: SQL Server takes WITH alone"),
    (re.compile(r"\bILIKE\b|\bREGEXP\b|\bGLOB\b"), "no such comparison on SQL Server"),
    (re.compile(r"\bFILTER\s*\("), "FILTER (WHERE …): write sum(case(…))"),
    (re.compile(r"\bIS\s+(NOT\s+)?DISTINCT\s+FROM\b"), "IS DISTINCT FROM: not before SQL Server 2022"),
    (re.compile(r"\bTEMPORARY\b|\bTEMP\b"), "TEMPORARY: SQL Server names temporary tables with #"),
    (re.compile(r"\b(N?TEXT|DATETIME|SMALLDATETIME)\b"), "an outdated type: NVARCHAR(max), DATETIME2(6)"),
    (re.compile(r"(?<!N)\bVARCHAR\b"), "VARCHAR: compared with it, an index over NVARCHAR is not used"),
    (re.compile(r"\|\|"), "||: texts are put together with +"),
    (re.compile(r"::"), ":: is PostgreSQL's cast"),
    (re.compile(r"\bUSING\s*\("), "JOIN … USING: SQL Server has ON alone"),
    (re.compile(r"\bNATURAL\s+JOIN\b"), "NATURAL JOIN: SQL Server has ON alone"),
)


def objections(statement: ClauseElement, column_keys: list[str] | None = None) -> list[str]:
    """What SQL Server would refuse in the statement, or do otherwise than the other servers; empty: nothing.

    Args:
        column_keys: names of the parameters that it was executed with, for an INSERT or UPDATE without values.
    """
    try:
        text = compiled(statement, column_keys)
    except SQLAlchemyError as error:
        return [f"cannot be compiled: {error}"]
    return [*objections_to_text(text), *_of_types(statement)]


def compiled(statement: ClauseElement, column_keys: list[str] | None = None) -> str:
    """The statement as SQL Server gets it, with lists of one value."""
    if isinstance(statement, ExecutableDDLElement):
        return str(statement.compile(dialect=DIALECT)).strip()
    text = str(statement.compile(dialect=DIALECT, column_keys=column_keys))
    return _POSTCOMPILE.sub("1", text).strip()


def objections_to_text(text: str) -> list[str]:
    """As :func:`objections`, for T-SQL that is written already; several statements may stand in it."""
    plain = _NAMES.sub("x", _STRINGS.sub("''", text)).upper()
    found = [reason for pattern, reason in _WORDS if pattern.search(plain)]
    # Without an N a string loses what the code page of the database has not got.
    strings = [string for string in _STRINGS.findall(text) if not string.startswith("N")]
    found += [f"{string} needs an N before it" for string in strings if not string.isascii()]
    called = {name.lower() for name in re.findall(r"(?<![.#])\b([A-Z_][A-Z_0-9]*)\s*\(", _without_targets(plain))}
    found += [f"no function {name}() on SQL Server 2016" for name in sorted(called - FUNCTIONS - _KEYWORDS)]
    try:
        logging.disable(logging.WARNING)  # what it cannot parse it also warns of
        trees = [tree for tree in sqlglot.parse(text, dialect="tsql") if tree is not None]
    except SqlglotError as error:
        return [*found, f"cannot be parsed: {error}"]
    finally:
        logging.disable(logging.NOTSET)
    for tree in trees:
        found += _of_tree(tree)
    return list(dict.fromkeys(found))


def _without_targets(plain: str) -> str:
    """The statement without names that a bracket follows and that are tables: ``INSERT INTO job (…)``."""
    return re.sub(r"\b(INTO|TABLE|REFERENCES|ON|WITH|,)\s+([#A-Z_0-9.]+)\s*\(", r"\1 (", plain)


# --- the tree --------------------------------------------------------------------------------------------------------

_TRUTHS = (exp.Predicate, exp.Connector, exp.Not)
_FREE = (exp.Placeholder, exp.Parameter)
_VALUES = (exp.Column, exp.Literal, exp.Boolean, exp.Null, *_FREE)


def _of_tree(tree: exp.Expr) -> Iterator[str]:
    if isinstance(tree, exp.Command) and tree.this.upper() not in {"SET", "EXEC", "EXECUTE", "DECLARE", "IF"}:
        yield f"is not understood: {tree.sql()[:80]}"
    yield from _truths(tree)
    yield from _orders(tree)
    yield from _groups(tree)
    yield from _subqueries(tree)
    for node in tree.find_all(exp.In, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE):
        if isinstance(node.this, exp.Tuple):
            yield f"rows are not compared as a whole: {node.sql()[:80]}"
    for change in tree.find_all(exp.Update, exp.Delete):
        if isinstance(change.this, exp.Table) and change.this.alias:
            yield "the table of an UPDATE or DELETE takes no alias of its own"
    for count in tree.find_all(exp.Count):
        if isinstance(count.this, exp.Distinct) and len(count.this.expressions) > 1:
            yield "count(DISTINCT …) takes one column"
    yield from _hidden(tree)
    for values in tree.find_all(exp.Values):
        if len(values.expressions) > 1000:
            yield "VALUES takes 1,000 rows at most"


def _hidden(tree: exp.Expr) -> Iterator[str]:
    """Every server takes it, and none does what was meant: the row around it is not the one that is looked at."""
    for found in tree.find_all(exp.Exists):
        inner = _named_tables(found.this)
        around = found.find_ancestor(exp.Select, exp.Update, exp.Delete)
        while around is not None:
            for name in sorted(inner & _named_tables(around)):
                yield f"{name} inside EXISTS hides the {name} around it: correlate them, or give one another name"
            around = around.find_ancestor(exp.Select, exp.Update, exp.Delete)


def _named_tables(statement: exp.Expr) -> set[str]:
    """Tables that a statement itself names without an alias."""
    parts = [statement.this if isinstance(statement, exp.Update | exp.Delete) else None, statement.args.get("from_")]
    parts += [join.this for join in statement.args.get("joins") or ()]
    tables = [part.this if isinstance(part, exp.From) else part for part in parts]
    return {table.name for table in tables if isinstance(table, exp.Table) and not table.alias}


def _truths(tree: exp.Expr) -> Iterator[str]:
    """There are no boolean values: conditions stand where conditions belong, and nothing else stands there."""
    for node in tree.walk():
        if isinstance(node, _TRUTHS) and not _is_condition(node):
            yield f"a condition is no value: {node.sql(dialect='tsql')[:80]}"
        elif isinstance(node, _VALUES) and _is_condition(node):
            yield f"a value is no condition: {node.sql(dialect='tsql')[:80]}"


def _is_condition(node: exp.Expr) -> bool:
    """Whether the node stands where SQL Server wants a condition."""
    parent = node.parent
    if isinstance(parent, exp.Paren) or (isinstance(parent, exp.Escape) and node.arg_key == "this"):
        return _is_condition(parent)
    if isinstance(parent, exp.Where | exp.Having | exp.Connector | exp.Not):
        return True
    if isinstance(parent, exp.If):  # CASE WHEN condition THEN value; CASE value WHEN value THEN value
        is_simple_case = isinstance(parent.parent, exp.Case) and parent.parent.this is not None
        return node.arg_key == "this" and not is_simple_case
    if isinstance(parent, exp.Join):
        return node.arg_key == "on"
    if isinstance(parent, exp.CheckColumnConstraint | exp.Check):
        return True
    if isinstance(parent, exp.Update):  # SET column = value
        return isinstance(node, exp.EQ) and node.arg_key == "expressions"
    # IF EXISTS … at the top of a batch, an index's WHERE
    return parent is None or (isinstance(parent, exp.IndexParameters) and node.arg_key == "where")


def _orders(tree: exp.Expr) -> Iterator[str]:
    for order in tree.find_all(exp.Order):
        query = order.parent
        is_limited = isinstance(query, exp.Query) and bool(query.args.get("limit") or query.args.get("offset"))
        is_outermost = isinstance(query, exp.Query) and isinstance(query.parent, exp.Insert | None)
        if isinstance(query, exp.Query) and not is_limited and not is_outermost:
            yield "ORDER BY in a subquery needs TOP or OFFSET"
        for ordered in order.expressions:
            if not ordered.find(exp.Column, exp.AggFunc):
                yield f"ORDER BY takes no constant: {ordered.sql()[:80]}"
            elif isinstance(query, exp.Select) and query.args.get("distinct") and ordered.find(*_FREE):
                yield "ORDER BY with a parameter: never the same expression as in SELECT DISTINCT"


def _groups(tree: exp.Expr) -> Iterator[str]:
    for group in tree.find_all(exp.Group):
        for grouped in group.expressions:
            if grouped.find(*_FREE):
                yield f"GROUP BY with a parameter: never the same expression as in SELECT: {grouped.sql()[:80]}"
            if grouped.find(exp.Query):
                yield f"GROUP BY with a subquery: {grouped.sql()[:80]}"
            if not grouped.find(exp.Column):
                yield f"GROUP BY without a column: {grouped.sql()[:80]}"
    for aggregate in tree.find_all(exp.AggFunc):
        if aggregate.find(exp.Query):
            yield f"an aggregate over a subquery: {aggregate.sql()[:80]}"


def _subqueries(tree: exp.Expr) -> Iterator[str]:
    for query in tree.find_all(exp.Select):
        parent = query.parent
        if query.args.get("with_") and parent is not None and not isinstance(parent, exp.Insert):
            yield "WITH stands before the whole statement"
        if (isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join)) or isinstance(
            parent, exp.CTE
        ):
            if isinstance(parent, exp.CTE) and parent.args["alias"].columns:
                continue
            # A function without an alias has no name, though the parser gives it one.
            names = [each.alias_or_name if isinstance(each, exp.Column | exp.Alias) else "" for each in query.selects]
            if "" in names:
                yield f"a column of a derived table without a name: {query.sql()[:80]}"
            if len(names) != len({name.lower() for name in names}):
                yield f"a column of a derived table twice: {query.sql()[:80]}"


# --- what only the types tell ----------------------------------------------------------------------------------------


def _of_types(statement: ClauseElement) -> Iterable[str]:
    if isinstance(statement, CreateTable):
        return
    for node in visitors.iterate(statement):
        if isinstance(node, FunctionElement) and str(getattr(node, "name", "")).lower() in {"min", "max", "sum", "avg"}:
            arguments: Any = node.clauses
            if any(isinstance(argument.type, Boolean) for argument in arguments):
                yield f"{node} over a BIT"
