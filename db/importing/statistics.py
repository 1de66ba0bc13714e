"""What follows a large import: the server is told how many rows there are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from db.dialects import count_rows_for_plans

if TYPE_CHECKING:
    from db.unit_of_work import Store

#: From so many new rows on, the plans that fitted before fit no longer.
_MANY = 10_000


def tell_planner(store: Store, new_rows: int) -> None:
    """Has the server look at its tables, where many rows came in; SQL Server keeps count by itself."""
    if new_rows < _MANY:
        return
    with store.begin() as uow:
        count_rows_for_plans(uow.connection)
        uow.commit()
