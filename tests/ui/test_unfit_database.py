"""A database that does not fit the program: the window opens, says so and what to do, and touches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QLabel

from db.maintenance import REVISIONS, migrate, state
from db.unit_of_work import Store
from desktop_app import settings
from desktop_app.bootstrap.desk import open_desk
from desktop_app.ui.app import Program
from tests.ui.conftest import Ui, bury


@pytest.mark.parametrize(
    ("revision", "says", "what_to_do"),
    [
        (REVISIONS[0], "was made by an older version of this program", "Bring it up to date with: db upgrade"),
        ("0099", "was made by a newer version of this program", "Install the newer version"),
    ],
)
def test_the_window_says_what_to_do(qtbot, qapp, data_dir, tmp_path: Path, revision, says, what_to_do):
    url = f"sqlite:///{tmp_path}/shared.db"
    with Store(url) as store:
        migrate(store, REVISIONS[0])
        with store.begin() as uow:
            uow.connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
            uow.commit()
    program = Program(qapp, lambda: open_desk(settings.load({"database_url": url}), engine="desktop"))
    ui = Ui(qtbot, None, program)  # type: ignore[arg-type]
    try:
        with qtbot.waitExposed(program.window):
            program.window.show()
        program.open()
        ui.until(lambda: any(says in label.text() for label in program.window.findChildren(QLabel)))
        assert any(what_to_do in label.text() for label in program.window.findChildren(QLabel))
        assert not program.window.rail.isEnabled()
    finally:
        program.window.close()
        program.close()
        bury(program.window, program.theme)
    with Store(url) as store:
        assert state(store).revision == revision
