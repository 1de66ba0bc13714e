"""Tables whose rows are fetched while they are looked at.

:class:`PagedModel` knows how many rows there are and fetches the pages that are painted; :class:`GrowingModel` does not
and appends a page when its end is scrolled into sight.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from PySide6.QtCore import QModelIndex, QObject, QTimer, Signal

from desktop_app.ui.background import Background, Cancel
from desktop_app.ui.widgets.rows import Column, Index, RowModel

Row = TypeVar("Row")
Loader = Callable[[Cancel], Sequence[Row | None]]

_MOST_IN_FLIGHT = 3


class PagedModel(RowModel, Generic[Row]):
    """Rows by number, in pages that are fetched when they are painted and kept while they are likely to be again.

    Signals:
        load_failed(Exception): a page could not be fetched; its rows stay empty until they are painted again.
    """

    load_failed = Signal(object)

    def __init__(
        self, columns: tuple[Column, ...], background: Background, parent: QObject, *, page_size: int, pages_kept: int
    ) -> None:
        super().__init__(columns, parent)
        self._background = background
        self._page_size, self._pages_kept = page_size, pages_kept
        self._total = 0
        self._pages: OrderedDict[int, Sequence[Row | None]] = OrderedDict()
        self._stale: set[int] = set()
        self._wanted: dict[int, None] = {}
        self._in_flight: set[int] = set()
        self._generation = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._fetch_wanted)

    def loader(self, first: int, count: int) -> Loader[Row]:
        """What fetches ``count`` rows from row ``first`` on. Called on the UI thread; what it returns is not."""
        raise NotImplementedError

    def row_total(self) -> int:
        return self._total

    def row_at(self, row: int) -> Row | None:
        """The row, or None while it is being fetched (and where it is gone)."""
        page, place = divmod(row, self._page_size)
        rows = self._pages.get(page)
        if rows is None:
            self._want(page)
            return None
        self._pages.move_to_end(page)
        if page in self._stale:
            self._want(page)
        return rows[place] if place < len(rows) else None

    def start_over(self, total: int, rows: Sequence[Row | None] = ()) -> None:
        """Other rows than before: all that was fetched is dropped.

        Args:
            rows: the first of them, where they are known; a page that they do not fill is fetched.
        """
        self.beginResetModel()
        self._forget()
        self._total = total
        for first in range(0, len(rows), self._page_size):
            page = rows[first : first + self._page_size]
            if len(page) == min(self._page_size, total - first):
                self._pages[first // self._page_size] = page
        self.endResetModel()

    def refresh(self) -> None:
        """The same rows have changed: what is painted is fetched again, and shown as it was until that is there."""
        self._stale.update(self._pages)
        self.refresh_cells()

    def refresh_cells(self) -> None:
        """What is painted is painted again from the rows that are there."""
        if self._total:
            self.dataChanged.emit(self.index(0, 0), self.index(self._total - 1, len(self.columns) - 1))

    def resize_rows(self, total: int) -> None:
        """Rows were added at, or taken from, the end."""
        if total > self._total:
            self.beginInsertRows(QModelIndex(), self._total, total - 1)
            self._stale.add(self._total // self._page_size)
            self._total = total
            self.endInsertRows()
        elif total < self._total:
            self.beginRemoveRows(QModelIndex(), total, self._total - 1)
            self._total = total
            self.endRemoveRows()

    @property
    def rows_kept(self) -> int:
        """How many rows are held in memory."""
        return sum(len(rows) for rows in self._pages.values())

    def _forget(self) -> None:
        self._generation += 1
        self._pages.clear()
        self._stale.clear()
        self._wanted.clear()
        self._in_flight.clear()

    def _want(self, page: int) -> None:
        if page in self._in_flight:
            return
        self._wanted.pop(page, None)
        self._wanted[page] = None
        if not self._timer.isActive():
            self._timer.start()

    def _fetch_wanted(self) -> None:
        """Fetches the pages painted last; what was only scrolled past is not fetched at all."""
        while self._wanted and len(self._in_flight) < _MOST_IN_FLIGHT:
            page, _ = self._wanted.popitem()
            self._fetch(page)
        if len(self._wanted) > _MOST_IN_FLIGHT:
            self._wanted = dict.fromkeys(list(self._wanted)[-_MOST_IN_FLIGHT:])

    def _fetch(self, page: int) -> None:
        first = page * self._page_size
        count = min(self._page_size, self._total - first)
        if count <= 0:
            return
        self._in_flight.add(page)
        self._stale.discard(page)
        generation = self._generation

        def done(rows: Sequence[Row | None]) -> None:
            if generation == self._generation:
                self._arrived(page, rows)

        def failed(error: Exception) -> None:
            if generation == self._generation:
                self._in_flight.discard(page)
                self.load_failed.emit(error)

        self._background.run(self.loader(first, count), done=done, failed=failed, owner=self)

    def _arrived(self, page: int, rows: Sequence[Row | None]) -> None:
        self._in_flight.discard(page)
        self._pages[page] = rows
        self._pages.move_to_end(page)
        while len(self._pages) > self._pages_kept:
            dropped, _ = self._pages.popitem(last=False)
            self._stale.discard(dropped)
        first = page * self._page_size
        last = min(first + self._page_size, self._total) - 1
        if last >= first:
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(self.columns) - 1))
        if self._wanted:
            self._fetch_wanted()


class GrowingModel(RowModel, Generic[Row]):
    """Rows of which more are fetched when the end is scrolled into sight.

    Signals:
        loaded(): the first page is there (also when it is empty).
        load_failed(Exception): a page could not be fetched.
    """

    loaded = Signal()
    load_failed = Signal(object)

    def __init__(self, columns: tuple[Column, ...], background: Background, parent: QObject, *, page_size: int) -> None:
        super().__init__(columns, parent)
        self._background = background
        self._page_size = page_size
        self._rows: list[Row] = []
        self._at_end = True
        self._generation = 0
        self._fetching = False

    def loader(self, rows: Sequence[Row], count: int) -> Callable[[Cancel], Sequence[Row]]:
        """What fetches ``count`` rows behind ``rows``. Called on the UI thread; what it returns is not."""
        raise NotImplementedError

    def row_total(self) -> int:
        return len(self._rows)

    def row_at(self, row: int) -> Row:
        """The row."""
        return self._rows[row]

    def reload(self) -> None:
        """Fetches from the beginning; what is shown stays until the answer is there."""
        self._generation += 1
        self._fetching = True
        generation = self._generation
        count = max(self._page_size, len(self._rows))

        def done(rows: Sequence[Row]) -> None:
            if generation == self._generation:
                self._fetching = False
                self._at_end = len(rows) < count
                self.take(rows)
                self.loaded.emit()

        self._background.run(self.loader((), count), done=done, failed=self._failing(generation), owner=self)

    def take(self, rows: Sequence[Row]) -> None:
        """Shows these rows. Rows that are the same ones as before are changed in place."""
        if [self.key_of_row(row) for row in rows] == [self.key_of_row(row) for row in self._rows]:
            changed = [place for place, row in enumerate(rows) if row != self._rows[place]]
            self._rows = list(rows)
            if changed:
                last = len(self.columns) - 1
                self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], last))
            return
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def key_of_row(self, row: Row) -> object:
        """What identifies a row."""
        raise NotImplementedError

    def key_of(self, row: int) -> object:
        return self.key_of_row(self._rows[row])

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and not self._at_end and not self._fetching

    def fetchMore(self, parent: Index) -> None:
        if not self.canFetchMore(parent):
            return
        self._fetching = True
        generation = self._generation

        def done(rows: Sequence[Row]) -> None:
            if generation != self._generation:
                return
            self._fetching = False
            self._at_end = len(rows) < self._page_size
            if rows:
                self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(rows) - 1)
                self._rows.extend(rows)
                self.endInsertRows()

        work = self.loader(self._rows, self._page_size)
        self._background.run(work, done=done, failed=self._failing(generation), owner=self)

    def _failing(self, generation: int) -> Callable[[Exception], None]:
        def failed(error: Exception) -> None:
            if generation == self._generation:
                self._fetching = False
                self._at_end = True
                self.load_failed.emit(error)

        return failed
