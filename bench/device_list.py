"""What the window's list of devices costs: ``python -m bench.device_list DATABASE``; prints JSON."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from db.unit_of_work import Store
from desktop_app.association.model import DeviceFilter, unpack
from desktop_app.bootstrap.database import os_user
from desktop_app.desk.devices import LocalDevices
from desktop_app.desk.protocol import DeviceColumn
from desktop_app.desk.seat import Seat
from desktop_app.ui.background import Background
from desktop_app.ui.models.devices import PAGE, DeviceTableModel

#: Digits from the middle of an identifier; some devices in a hundred have them.
PART = "417"
_LIKE = """
SELECT count(*) FROM device
WHERE iccid LIKE :part OR imei LIKE :part OR msisdn LIKE :part OR eid LIKE :part OR name LIKE :part
"""
#: Pages that are looked at on the way through the list.
PAGES = 200


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(path: Path) -> dict[str, float]:
    """Bytes a device, seconds of a filter with its first page, and seconds of the plain LIKE that counts."""
    app = QApplication(sys.argv[:1])
    background = Background(app)
    with Store(f"sqlite:///{path}") as store:
        desk = LocalDevices(Seat(store, os_user()))
        model = DeviceTableModel(desk, background, app)
        model.list_devices(unpack(desk.device_ids(DeviceFilter(text="8901260000"), DeviceColumn.ICCID))[:PAGE])
        _look_at(app, model, 0)  # everything that is made once is there

        before = resident_bytes()
        desk.prepare_search()
        model.list_devices(unpack(desk.device_ids(DeviceFilter(), DeviceColumn.ICCID)))
        model.check_all_listed()
        total = model.row_total()
        for row in range(0, total, max(1, total // PAGES)):
            _look_at(app, model, row)
        per_device = (resident_bytes() - before) / total

        start = time.perf_counter()
        found = desk.device_ids(DeviceFilter(text=PART), DeviceColumn.ICCID)
        desk.device_rows(found[: 8 * PAGE])
        filter_s = time.perf_counter() - start
    background.close()
    return {"bytes": per_device, "filter_s": filter_s, "like_s": like_seconds(path)}


def _look_at(app: QApplication, model: DeviceTableModel, row: int) -> None:
    """Paints a row, and waits until it is there."""
    while model.row_at(row) is None:
        for column in range(model.columnCount()):
            model.data(model.index(row, column), Qt.ItemDataRole.DisplayRole)
        app.processEvents()


def like_seconds(path: Path) -> float:
    """Seconds of the plain LIKE that counts."""
    connection = sqlite3.connect(path)
    start = time.perf_counter()
    connection.execute(_LIKE, {"part": f"%{PART}%"}).fetchone()
    taken = time.perf_counter() - start
    connection.close()
    return taken


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))))
