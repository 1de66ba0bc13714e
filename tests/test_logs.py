"""The log: what goes into it, what never does, and that several processes may write it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from desktop_app import logs

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def log_stops() -> Iterator[None]:
    yield
    logs.stop()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / logs.LOG_FILE).read_text(encoding="utf-8").splitlines()]


def test_file_holds_json_and_standard_error_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(tmp_path, "WARNING", to_stderr=True)
    structlog.get_logger("desk").info("submitted", job="AJ-1")
    logging.getLogger("engine").warning("paused: %s", "no billing")
    first, second = lines(tmp_path)
    assert (first["event"], first["job"], first["level"], first["logger"]) == ("submitted", "AJ-1", "info", "desk")
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "paused: no billing"
    assert capsys.readouterr().err == "WARNING: paused: no billing\n"


def test_traceback_is_in_the_file_and_not_on_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(tmp_path, "WARNING", to_stderr=True)
    try:
        raise ValueError(f"password={SECRET}")
    except ValueError:
        logging.getLogger("cli").exception("failed")
    (line,) = lines(tmp_path)
    assert "ValueError" in line["exception"]
    assert SECRET not in json.dumps(line)
    assert capsys.readouterr().err == "ERROR: failed\n"


@pytest.mark.parametrize(
    "values",
    [
        {"event": "x", "password": SECRET},
        {"event": "x", "Ocp-Apim-Subscription-Key": SECRET},
        {"event": "x", "headers": {"Authorization": f"Basic {SECRET}"}},
        {"event": "x", "body": [f'{{"password": "{SECRET}"}}']},
        {"event": f"GET https://user:{SECRET}@billing.example/v1"},
        {"event": f"connected to postgresql+psycopg://desk:{SECRET}@host/desk"},
        {"event": f"Authorization: Bearer {SECRET}"},
        {"event": f"PWD={SECRET};UID=desk"},
        {"event": f"password = '{SECRET} with blanks'"},
    ],
)
def test_secrets_are_never_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any]) -> None:
    logs.configure(tmp_path, "DEBUG", to_stderr=True)
    structlog.get_logger("x").warning(**values)
    written = (tmp_path / logs.LOG_FILE).read_text() + capsys.readouterr().err
    assert SECRET not in written
    assert "with blanks" not in written
    assert logs.REDACTED in written


def test_ordinary_texts_stay_as_they_are() -> None:
    text = "Device 8988303000000012345 of https://billing.example/v1: basic service, secrets: none"
    assert logs.redacted("The token ring is at http://host:8080/path") == "The token ring is at http://host:8080/path"
    assert logs.redacted(text.replace("secrets: none", "")) == text.replace("secrets: none", "")


def test_log_file_rotates_and_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 2_000)
    logs.configure(tmp_path, "WARNING", to_stderr=False)
    other = logs._SharedRotatingFile(tmp_path / logs.LOG_FILE, maxBytes=2_000, backupCount=5, encoding="utf-8")
    try:
        for number in range(60):
            logging.getLogger("mine").info("line %d", number)
            other.emit(logging.makeLogRecord({"msg": f'{{"event": "other {number}"}}'}))
    finally:
        other.close()
    files = sorted(tmp_path.glob(f"{logs.LOG_FILE}*"))
    assert len(files) > 2
    assert max(file.stat().st_size for file in files) < 2_500
    newest = lines(tmp_path)
    assert newest[-1]["event"] == "other 59"
    assert "line 59" in [line["event"] for line in newest]


def test_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    logs.configure(tmp_path / "file" / "logs", "WARNING", to_stderr=False)
    logging.getLogger("x").warning("still here")
