"""What the first window waits for: nothing that it can do without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Packages that take long to import, and are not needed to paint a window.
HEAVY = (
    "sqlalchemy", "requests", "urllib3", "alembic", "pydantic", "pydantic_settings", "keyring", "structlog", "typer",
    "rich", "phonenumbers", "xlsxwriter", "asyncio", "qasync", "ssl", "concurrent.futures", "subprocess",
    "desktop_app.association.model", "desktop_app.desk.protocol", "desktop_app.ui.pages.associate",
    "desktop_app.ui.pages.jobs",
)  # fmt: skip
#: The empty window does not even wait for these, nor for the enumerations of ``Qt``.
LATER = (
    "desktop_app.ui.theme", "desktop_app.ui.icons", "desktop_app.ui.words", "desktop_app.ui.command_box",
    "desktop_app.association.states", "desktop_app.desk.machine", "PySide6.QtSvg", "PySide6.QtNetwork", "zoneinfo",
    "hashlib",
)  # fmt: skip
_SHOW = """
import json, sys
from contextlib import contextmanager
from desktop_app.cli import main
import desktop_app.bootstrap.desktop
import PySide6.QtCore
from PySide6.QtWidgets import QApplication
from desktop_app.ui.app import Program

@contextmanager
def refuse():
    raise RuntimeError
    yield

app = QApplication(sys.argv[:1])
program = Program(app, refuse)
program.window.show()
app.processEvents()
assert program.window.isVisible()
late = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
late += ["Qt"] if "Qt" in vars(PySide6.QtCore) else []
program.furnish()
app.processEvents()
assert program.window.rail.isVisible()
names = json.loads(sys.argv[1])
print(json.dumps(late + [name for name in names if name in sys.modules]))
program.window.stop()
program.close()
"""


def test_the_window_is_painted_before_anything_heavy_is_imported() -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", _SHOW, json.dumps(HEAVY), json.dumps(LATER)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
