"""Named points around every commit and every POST at which a test may end the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from db.unit_of_work import Store, UnitOfWork

T = TypeVar("T")


def _nothing(_point: str) -> None:
    return


#: Called with the point's name. Only tests and the bench replace it.
on_reached: Callable[[str], None] = _nothing


def reached(point: str) -> None:
    """The program is at this point, such as ``before-commit:record``."""
    on_reached(point)


def commit(store: Store, point: str, work: Callable[[UnitOfWork], T]) -> T:
    """Every commit of the engine: the whole of ``work`` in one transaction, with a crash point on both sides.

    Args:
        point: what is committed, such as ``record``.
        work: may be called several times (see :meth:`Store.run`); it changes nothing but the database.
    """

    def then_reached(uow: UnitOfWork) -> T:
        result = work(uow)
        reached(f"before-commit:{point}")
        return result

    result = store.run(then_reached)
    reached(f"after-commit:{point}")
    return result
