"""Existing devices from a CSV file: read, judged, resolved and written, beside the bare insert of the same rows."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import Figure, Target, timed
from bench.run import Run
from db import operators
from db.demo import identifiers
from db.maintenance import upgrade
from db.unit_of_work import Store
from desktop_app.association.model import ImportTable
from desktop_app.desk.import_files import CsvFile
from desktop_app.desk.importing import import_data
from desktop_app.desk.seat import Seat

TOPIC = "import"
_COLUMNS = ("service_provider", "iccid", "imei", "msisdn", "eid", "name", "status", "activated_on")


def measure(run: Run) -> list[Figure]:
    """Seconds for a file of devices that are all new, and for the same file again."""
    count = 50_000 if run.quick else 1_000_000
    path = run.folder / "devices.csv"
    write_devices(path, count)
    new, again, bare = [], [], []
    for repeat in range(1 if not run.quick else run.repeats):
        run.say(f"an import of {count:,} devices")
        mine, theirs = run.folder / f"import-{repeat}.db", run.folder / f"bare-{repeat}.db"
        for database in (mine, theirs):
            with Store(f"sqlite:///{database}") as store:
                prepare(store)
        with Store(f"sqlite:///{mine}") as store:
            new.append(timed(import_devices, store, path, count, 0))
            again.append(timed(import_devices, store, path, 0, count))
        bare.append(timed(insert_by_hand, theirs, path))
        for database in (mine, theirs):
            database.unlink()
    path.unlink()
    in_minutes = Target(at_most=300 * count / 1_000_000, of_ratio=False)
    baseline = "csv.reader and one executemany, nothing looked at, one transaction, same table and indexes"
    return [
        Figure(
            TOPIC, f"import of {count:,} new devices", "s", tuple(new), baseline, tuple(bare), in_minutes,
            "every value judged, references resolved, 20,000 rows a transaction",
        ),
        Figure(
            TOPIC, f"the same file again, {count:,} devices the same", "s", tuple(again), baseline, tuple(bare),
            in_minutes,
        ),
    ]  # fmt: skip


def write_devices(path: Path, count: int) -> None:
    """A CSV file of that many devices."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for number in range(1, count + 1):
            writer.writerow(
                ("NORTHSTAR", identifiers.iccid("890126", 19, number), identifiers.imei(number),
                 identifiers.msisdn(number), identifiers.eid(number), f"Device {number}", "active", "2026-10-01")
            )  # fmt: skip


def prepare(store: Store) -> None:
    """The schema, an administrator and a service provider."""
    upgrade(store)
    store.run(lambda uow: operators.add_administrator(uow, "boss", "Whoever measures"))
    with store.begin() as uow:
        uow.connection.exec_driver_sql("INSERT INTO service_provider (code, name) VALUES ('NORTHSTAR', 'Northstar')")
        uow.commit()


def import_devices(store: Store, path: Path, new: int, same: int) -> None:
    """Imports the file; so many of its rows must be new, and so many the same."""
    report = import_data(Seat(store, "boss"), [CsvFile(ImportTable.DEVICES, path)], path.with_suffix(".rejects.csv"))
    (one,) = report.tables
    assert (one.new, one.changed, one.same, one.wrong) == (new, 0, same, 0), one


def insert_by_hand(database: Path, path: Path) -> None:
    """The same rows, as fast as the driver takes them."""
    at = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with closing(sqlite3.connect(database)) as connection, path.open(encoding="utf-8", newline="") as file:
        connection.execute("PRAGMA synchronous=FULL")
        rows = csv.reader(file)
        next(rows)
        connection.executemany(
            "INSERT INTO device (service_provider_id, iccid, imei, imei_14, msisdn, eid, name, status, activated_on, "
            "changed_at) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((row[1], row[2], row[2][:14], *row[3:], at) for row in rows),
        )
        connection.commit()
