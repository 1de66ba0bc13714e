"""The support bundle leaves the house: it holds what helps, no secret, and no identifier of a device."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.bootstrap import database
from desktop_app.bootstrap.support import masked, write_bundle
from desktop_app.logs import LOG_FILE
from desktop_app.settings import Settings, load


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data folder with demo data and a log that somebody wrote too much into."""
    made = load({"data_dir": tmp_path_factory.mktemp("data"), "notify_url": "https://newer.example/jobs"})
    database.make_demo_data(made, 500, 40)
    (made.data_dir / "logs").mkdir(exist_ok=True)
    lines = ({"event": "POST", "password": "hush-hush"}, {"event": "ICCID 8901260000000000123 failed, token=abcdefgh"})
    (made.data_dir / "logs" / LOG_FILE).write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return made


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        return {name: bundle.read(name).decode() for name in bundle.namelist()}


def test_it_holds_what_helps(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    assert write_bundle(settings, path) == path.stat().st_size > 0
    files = contents(path)
    assert set(files) == {"about.json", "settings.json", "database.json", f"logs/{LOG_FILE}"}
    told = json.loads(files["database.json"])
    assert told["rows"]["device"] == 500
    assert told["findings"] == []
    assert told["newest_jobs"][0]["tracking_number"].startswith("AJ-")
    assert told["newest_jobs"][0]["log"]
    assert json.loads(files["settings.json"])["notify_url"] == "https://newer.example/jobs"
    assert "sqlalchemy" in json.loads(files["about.json"])["packages"]


def test_no_secret_and_no_identifier_is_in_it(settings: Settings, tmp_path: Path) -> None:
    write_bundle(settings, tmp_path / "bundle.zip")
    whole = "\n".join(contents(tmp_path / "bundle.zip").values())
    assert "hush-hush" not in whole
    assert "abcdefgh" not in whole
    assert "…0123 failed" in whole
    assert not re.search(r"\d{10}", whole)


def test_a_damaged_database_does_not_keep_the_rest_out(tmp_path: Path) -> None:
    settings = load({"data_dir": tmp_path})
    (tmp_path / "desk.db").write_bytes(b"no database at all" * 1000)
    write_bundle(settings, tmp_path / "bundle.zip")
    assert json.loads(contents(tmp_path / "bundle.zip")["database.json"])["trouble"]["code"]


def test_a_place_that_cannot_be_written_is_said(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_bundle(settings, tmp_path / "missing" / "bundle.zip")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("8901260000000000123", "…0123"),
        ("+12745550005", "+…0005"),
        ("AJ-20261124-0042", "AJ-20261124-0042"),
        ("2026-11-24T10:00:00.123456", "2026-11-24T10:00:00.123456"),
    ],
)
def test_long_numbers_keep_their_last_four_digits(text: str, left: str) -> None:
    assert masked(text) == left
