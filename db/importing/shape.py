"""What the tables of an import have in common: the staged rows, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ColumnElement, FromClause, String, Table, cast, func, literal, literal_column, null
from sqlalchemy.types import TypeEngine

from db.dialects import letter_by_letter
from db.importing.spelling import Names
from db.types import JsonText

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Import:
    """Who takes data over, and why: it goes into the history.

    Attributes:
        operator_login: on whose rights.
        reason: in words; "" for none.
    """

    operator_login: str
    reason: str = ""


class Wrong(NamedTuple):
    """A reason for which a row is left out.

    Attributes:
        code: as :mod:`desktop_app.association.import_faults` knows it.
        condition: true for such rows.
        about: a text that names what stands in the way; None: nothing to name.
        if_written: matters only where the row would be inserted or would change something.
    """

    code: str
    condition: ColumnElement[bool]
    about: ColumnElement[Any] | None = None
    if_written: bool = False


@dataclass(frozen=True)
class Staged:
    """The rows of a batch, in a temporary table.

    Attributes:
        table: the temporary table, with a column ``line``.
        types: the type of every column that a file may have.
    """

    table: Table
    types: Mapping[str, TypeEngine[Any]]

    def has(self, name: str) -> bool:
        """Whether the file has this column."""
        return name in self.table.c

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        """The column, or NULL of its type where the file does not have it."""
        if self.has(name):
            return self.table.c[name]
        return cast(null(), self.types[name])


@dataclass(frozen=True)
class Resolved:
    """How the rows of a batch are brought together with what is in the database.

    Attributes:
        staged: the rows as they are in the file.
        rows: these rows, each once, outer-joined with all they refer to.
        target: the row of the database that each is for; its ``id`` is NULL where there is none.
        inserted: what a new row gets, by column; nothing of it is changed later.
        settled: what a row gets, new or not; where it differs, the row is changed.
        wrong: reasons to leave a row out, the first that holds is told.
        on_insert, on_change: what is stamped on rows besides.
        extras: further values that are worked out before anything is written, for ``after``.
        before, after: what is executed around the writing, with the outcome's temporary table.
    """

    staged: Staged
    rows: FromClause
    target: Any
    inserted: Mapping[str, ColumnElement[Any]]
    settled: Mapping[str, ColumnElement[Any]]
    wrong: Sequence[Wrong]
    on_insert: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    on_change: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    extras: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    before: Callable[[UnitOfWork, Table], None] | None = None
    after: Callable[[UnitOfWork, Table], None] | None = None


class Settling:
    """Works out what the columns of a row become, by what the file has."""

    def __init__(self, staged: Staged, target: FromClause) -> None:
        self._staged, self._target = staged, target
        self.inserted: dict[str, ColumnElement[Any]] = {}
        self.settled: dict[str, ColumnElement[Any]] = {}

    def free(self, *names: str) -> None:
        """Columns that may be empty: they become what the file says, an empty cell too."""
        for name in names:
            if self._staged.has(name):
                self.settled[name] = self._staged[name]

    def reference(self, name: str, of: str, key: ColumnElement[Any]) -> None:
        """A foreign key that may be empty, found by the file's column ``of``."""
        if self._staged.has(of):
            self.settled[name] = key

    def kept(self, name: str, default: Any) -> None:
        """A column that may not be empty: an empty cell leaves what is there, or gives a new row its default."""
        kind = self._target.c[name].type
        of_new = default if isinstance(default, ColumnElement) else literal(default, kind)
        if self._staged.has(name):
            self.settled[name] = func.coalesce(self._staged[name], self._target.c[name], of_new, type_=kind)
        else:
            self.inserted[name] = of_new


def never() -> ColumnElement[bool]:
    """A condition that never holds, which may stand everywhere: SQL Server knows no false."""
    return literal_column("1") == literal_column("0")


def differs(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether two values differ, in capitals too, where no value equals no value alone."""
    if isinstance(one.type, String | JsonText):
        return letter_by_letter(one).is_distinct_from(letter_by_letter(other))
    return one.is_distinct_from(other)


@dataclass(frozen=True)
class Part:
    """How one table is taken over.

    Attributes:
        table: what is written.
        types: every column that a file (or its reader) may give, with its type.
        resolve: brings a batch together with the database.
        names: what the rows name, in an order in which each is spelled as here before another is looked for in it.
        indexed: columns of the batch by which its own rows are looked up again.
    """

    table: Table
    types: Mapping[str, TypeEngine[Any]]
    resolve: Callable[[UnitOfWork, Staged, Import], Resolved]
    names: Sequence[Names]
    indexed: frozenset[str] = frozenset()
