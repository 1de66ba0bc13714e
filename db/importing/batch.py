"""One batch of rows for one table: staged, resolved, then inserted and updated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    String,
    Table,
    Unicode,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from db.engines import first_line, is_data_error
from db.importing import devices, master, ownerships, spelling
from db.importing.services import BILLING_SERVICES
from db.importing.shape import Import, Part, Resolved, Staged, differs, never
from db.temporary import lines_table
from db.types import Key
from desktop_app.association.model import ImportTable

if TYPE_CHECKING:
    from db.unit_of_work import UnitOfWork

#: Line, then the values of the columns.
Row = tuple[int, tuple[Any, ...]]

#: Rows in one transaction: enough that its cost is theirs, few enough that nobody else waits for long.
BATCH = 20_000
#: What another desktop wrote between looking and writing is found at the second try.
_TRIES = 2
_LONGEST = 200

#: How each table is taken over.
PARTS: Mapping[ImportTable, Part] = {
    ImportTable.SERVICE_PROVIDERS: master.SERVICE_PROVIDERS,
    ImportTable.BILLING_CREDENTIALS: master.BILLING_CREDENTIALS,
    ImportTable.CUSTOMERS: master.CUSTOMERS,
    ImportTable.SITES: master.SITES,
    ImportTable.RATE_PLANS: master.RATE_PLANS,
    ImportTable.CUSTOMER_DEFAULTS: master.CUSTOMER_DEFAULTS,
    ImportTable.DEVICES: devices.DEVICES,
    ImportTable.OWNERSHIPS: ownerships.OWNERSHIPS,
    ImportTable.BILLING_SERVICES: BILLING_SERVICES,
}


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of the rows of a batch.

    Attributes:
        wrong: line, code and what it is about (see :mod:`desktop_app.association.import_faults`).
    """

    new: int = 0
    changed: int = 0
    same: int = 0
    wrong: tuple[tuple[int, str, str], ...] = ()

    def __add__(self, other: BatchOutcome) -> BatchOutcome:
        return BatchOutcome(
            self.new + other.new, self.changed + other.changed, self.same + other.same, self.wrong + other.wrong
        )


def import_batch(
    run: Callable[[Callable[[UnitOfWork], BatchOutcome]], BatchOutcome],
    table: ImportTable,
    columns: Sequence[str],
    rows: Sequence[Row],
    by: Import,
) -> BatchOutcome:
    """Takes over the rows of a batch; those that the database refuses are found by halving.

    Args:
        run: does the work in a transaction, and commits (or keeps it, on trial).
        columns: what the values of a row are, in order: a part of those that the table knows.
        rows: no two of them for the same thing.

    Raises:
        EnvironmentFault: the database cannot be used; nothing of this batch is in it.
    """
    refused: DBAPIError | None = None
    for _ in range(_TRIES):
        try:
            return run(lambda uow: _write(uow, table, columns, rows, by))
        except DBAPIError as error:
            if not is_data_error(error):
                raise
            refused = error
    if len(rows) == 1:
        why = first_line(refused.orig if refused is not None else None)
        return BatchOutcome(wrong=((rows[0][0], "REFUSED_BY_DATABASE", why[:_LONGEST]),))
    middle = len(rows) // 2
    return import_batch(run, table, columns, rows[:middle], by) + import_batch(run, table, columns, rows[middle:], by)


def _write(
    uow: UnitOfWork, table: ImportTable, columns: Sequence[str], rows: Sequence[Row], by: Import
) -> BatchOutcome:
    part = PARTS[table]
    staged = _stage(uow, part, columns, rows)
    spelling.as_here(uow, staged, part.names)
    resolved = part.resolve(uow, staged, by)
    outcome = _work_out(uow, f"outcome_{part.table.name}", resolved)
    counted = _count(uow, outcome)
    if resolved.before is not None and counted.changed:
        resolved.before(uow, outcome)
    if counted.changed:
        _update(uow, part.table, resolved, outcome)
    if counted.new:
        _insert(uow, part.table, resolved, outcome)
    if resolved.after is not None and counted.new + counted.changed:
        resolved.after(uow, outcome)
    return counted


def _stage(uow: UnitOfWork, part: Part, columns: Sequence[str], rows: Sequence[Row]) -> Staged:
    table = lines_table(
        uow,
        f"import_{part.table.name}",
        [
            Column("line", Integer, primary_key=True),
            *(Column(name, part.types[name], index=name in part.indexed) for name in columns),
        ],
        ((line, *values) for line, values in rows),
    )
    return Staged(table, part.types)


def _work_out(uow: UnitOfWork, name: str, resolved: Resolved) -> Table:
    """What becomes of each row, into a temporary table; nothing of the database is changed yet."""
    target = resolved.target.c
    changes = [differs(value, target[name]) for name, value in resolved.settled.items()]
    is_changed = and_(target.id.is_not(None), or_(*changes)) if changes else never()
    is_written = or_(target.id.is_(None), is_changed)
    reasons = [(and_(one.condition, is_written) if one.if_written else one.condition, one) for one in resolved.wrong]
    values = {**resolved.inserted, **resolved.settled, **resolved.extras}
    outcome = lines_table(
        uow,
        name,
        [
            Column("line", Integer, primary_key=True),
            Column("target_id", Key),
            Column("wrong", Unicode(40)),
            Column("about", Unicode(_LONGEST)),
            Column("is_changed", Integer),
            *(Column(key, _kind(value)) for key, value in values.items()),
        ],
        (),
    )
    uow.connection.execute(
        insert(outcome).from_select(
            ["line", "target_id", "wrong", "about", "is_changed", *values],
            select(
                resolved.staged.table.c.line,
                target.id,
                _first([(condition, literal(one.code, Unicode(40))) for condition, one in reasons]),
                _first([(condition, _text(one.about)) for condition, one in reasons]),
                case((is_changed, 1), else_=0),
                *values.values(),
            ).select_from(resolved.rows),
        )
    )
    return outcome


def _first(cases: Sequence[tuple[ColumnElement[bool], ColumnElement[Any]]]) -> ColumnElement[Any]:
    return case(*cases, else_=null()) if cases else null()


def _kind(value: ColumnElement[Any]) -> TypeEngine[Any]:
    """The value's type, fit for a temporary table: one that comes from there has its collation already."""
    kind: TypeEngine[Any] = value.type
    return Unicode(kind.length) if isinstance(kind, String) else kind


def _text(about: ColumnElement[Any] | None) -> ColumnElement[Any]:
    return literal("", Unicode(_LONGEST)) if about is None else cast(about, Unicode(_LONGEST))


def _count(uow: UnitOfWork, outcome: Table) -> BatchOutcome:
    row = outcome.c
    right = row.wrong.is_(None)

    def number_of(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((and_(*conditions), 1), else_=0)), 0)

    new, changed, same = uow.connection.execute(
        select(
            number_of(right, row.target_id.is_(None)),
            number_of(right, row.is_changed == 1),
            number_of(right, row.target_id.is_not(None), row.is_changed == 0),
        )
    ).one()
    wrong = uow.connection.execute(
        select(row.line, row.wrong, row.about).where(row.wrong.is_not(None)).order_by(row.line)
    )
    return BatchOutcome(
        int(new), int(changed), int(same), tuple((line, code, about or "") for line, code, about in wrong)
    )


def _update(uow: UnitOfWork, table: Table, resolved: Resolved, outcome: Table) -> None:
    row = outcome.c
    uow.connection.execute(
        update(table)
        .where(table.c.id == row.target_id, row.wrong.is_(None), row.is_changed == 1)
        .values({**{name: row[name] for name in resolved.settled}, **resolved.on_change})
    )


def _insert(uow: UnitOfWork, table: Table, resolved: Resolved, outcome: Table) -> None:
    row = outcome.c
    columns = [*resolved.inserted, *resolved.settled]
    uow.connection.execute(
        insert(table).from_select(
            [*columns, *resolved.on_insert],
            select(*(row[name] for name in columns), *resolved.on_insert.values())
            .where(row.wrong.is_(None), row.target_id.is_(None))
            .order_by(row.line),
        )
    )
