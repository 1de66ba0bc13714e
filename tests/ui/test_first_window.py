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
_SHOW = """
import json, sys
from contextlib import contextmanager
from desktop_app.cli import main
import desktop_app.bootstrap.desktop
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
names = json.loads(sys.argv[1])
print(json.dumps([name for name in names if name in sys.modules]))
program.window.stop()
program.close()
"""


def test_the_window_is_painted_before_anything_heavy_is_imported() -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", _SHOW, json.dumps(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
