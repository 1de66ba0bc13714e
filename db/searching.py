"""Searching for a part of a text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement

_ESCAPE = "\\"


def pattern(text: str) -> str:
    """The text as a part of a LIKE pattern: what it holds of wildcards stands for itself (``ESCAPE '\\'``)."""
    for special in (_ESCAPE, "%", "_", "["):  # [ is one on SQL Server
        text = text.replace(special, _ESCAPE + special)
    return text


def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether the column holds the text anywhere. Case is the caller's matter: compare what is folded alike."""
    return column.like(f"%{pattern(text)}%", escape=_ESCAPE)


def starts_with(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether the column begins with the text."""
    return column.like(f"{pattern(text)}%", escape=_ESCAPE)
