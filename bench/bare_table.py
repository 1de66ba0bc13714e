"""What the window's list is measured against: a bare table of Qt on the same queries, everything on the UI thread.

``python -m bench.bare_table DATABASE`` prints JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QApplication, QTableView

from bench.device_list import like_seconds

_Index = QModelIndex | QPersistentModelIndex
_IDS = "SELECT id FROM device WHERE is_deleted = 0 AND is_archived = 0 ORDER BY iccid, id"
_CHIP = """
SELECT count(*) FROM device
WHERE is_deleted = 0 AND is_archived = 0 AND service_provider_id = (SELECT max(id) FROM service_provider)
"""
_PAGE = 100
_ROWS = """
SELECT d.id, d.iccid, d.msisdn, p.name, r.name, d.activated_on
FROM device d JOIN service_provider p ON p.id = d.service_provider_id
LEFT JOIN rate_plan r ON r.id = d.carrier_rate_plan_id WHERE d.id IN ({})
"""
_FRAMES = 240


class BareModel(QAbstractTableModel):
    """Handles in order; a page of rows is read when it is painted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection
        self._ids = array("q", (key for (key,) in connection.execute(_IDS)))
        self._pages: dict[int, list[tuple[object, ...]]] = {}

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's
        return 0 if parent.isValid() else len(self._ids)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: N802, B008 - Qt's
        return 0 if parent.isValid() else 5

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        page, place = divmod(index.row(), _PAGE)
        if page not in self._pages:
            ids = self._ids[page * _PAGE : (page + 1) * _PAGE].tolist()
            rows = self._connection.execute(_ROWS.format(",".join("?" * len(ids))), ids)
            by_id = {row[0]: row[1:] for row in rows}
            self._pages[page] = [by_id[key] for key in ids]
        return self._pages[page][place][index.column()]


def measure(path: Path) -> dict[str, float]:
    """Seconds: from nothing to the first rows painted, of Qt's select-all, of a frame, and of two counts in SQL."""
    app = QApplication(sys.argv[:1])
    connection = sqlite3.connect(path)
    began = time.perf_counter()
    view = QTableView()
    view.setModel(BareModel(connection))
    view.resize(900, 700)
    view.show()
    app.processEvents()
    first_rows_s = time.perf_counter() - began
    select_all_s = _timed(view.selectAll)
    view.clearSelection()
    frames = []
    for number in range(_FRAMES):
        start = time.perf_counter()
        view.verticalScrollBar().setValue(number * 3)
        view.viewport().repaint()
        app.processEvents()
        frames.append(time.perf_counter() - start)
    chip_s = _timed(lambda: connection.execute(_CHIP).fetchone())
    connection.close()
    return {
        "first_rows_s": first_rows_s,
        "select_all_s": select_all_s,
        "frame_p95_s": quantiles(frames, n=20)[-1],
        "chip_s": chip_s,
        "like_s": like_seconds(path),
    }


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))))
