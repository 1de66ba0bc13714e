"""Settings: where they come from, which goes over which, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop_app.association.errors import RequestRefused
from desktop_app.folders import config_file
from desktop_app.settings import BillingKind, Settings, fixed_by, load, save


@pytest.fixture(autouse=True)
def no_settings_file() -> None:
    config_file().unlink(missing_ok=True)


def write_file(text: str) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(text)


def test_defaults_need_nothing() -> None:
    settings = load()
    assert settings.database_url == f"sqlite:///{settings.data_dir.as_posix()}/desk.db"
    assert settings.uses_embedded_default
    assert settings.billing_kind is BillingKind.SANDBOX
    assert settings.billing_settle_s == 3


def test_flags_go_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_file("workers = 3\nlease_s = 90\nlog_level = 'info'\n")
    monkeypatch.setenv("ASSOCIATION_WORKERS", "5")
    monkeypatch.setenv("ASSOCIATION_LEASE_S", "70")
    settings = load({"workers": 7, "data_dir": tmp_path, "database_url": None})
    assert (settings.workers, settings.lease_s, settings.log_level) == (7, 70, "INFO")
    assert settings.data_dir == tmp_path
    assert settings.database_url == f"sqlite:///{tmp_path.as_posix()}/desk.db"


def test_kind_decides_defaults_and_what_is_named_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSOCIATION_BILLING_KIND", "revio")
    assert load().billing_settle_s == 600
    assert load().rate_per_minute == 450
    assert load().billing_url.startswith("https://")
    monkeypatch.setenv("ASSOCIATION_BILLING_SETTLE_S", "45")
    monkeypatch.setenv("ASSOCIATION_BILLING_URL", "https://billing.example/v1/")
    assert load().billing_settle_s == 45
    assert load().billing_url == "https://billing.example/v1"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WORKERS", "many", "ASSOCIATION_WORKERS"),
        ("WORKERS", "0", "WORKERS"),
        ("BILLING_KIND", "stripe", "'sandbox' or 'revio'"),
        ("BILLING_URL", "ftp://billing", "https://"),
        ("NOTIFY_URL", "https://user:secret@host/", "keyring"),
        ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
        ("LEASE_S", "12", "at least 20 with BILLING_TIMEOUT_S 10"),
        ("BILLING_TIMEOUT_S", "0", "BILLING_TIMEOUT_S"),
    ],
)
def test_value_that_cannot_be_used_is_named_with_its_source(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"ASSOCIATION_{variable}", value)
    with pytest.raises(RequestRefused) as refused:
        load()
    assert refused.value.code == "SETTING_INVALID"
    assert said in refused.value.message
    assert "secret" not in refused.value.message


def test_unknown_name_in_the_file_is_refused_with_those_that_are_known() -> None:
    write_file("worker = 3\n")
    with pytest.raises(RequestRefused) as refused:
        load()
    assert "'worker'" in refused.value.message
    assert "workers" in refused.value.what_to_do


def test_file_that_is_no_toml_is_refused() -> None:
    write_file("workers: 3\n")
    with pytest.raises(RequestRefused) as refused:
        load()
    assert refused.value.code == "SETTINGS_FILE_UNREADABLE"
    assert str(config_file()) in refused.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////srv/desk.db", "/srv/desk.db"),
        ("postgresql+psycopg://user:secret@host:5432/desk", "postgresql+psycopg://host:5432/desk"),
    ],
)
def test_database_is_shown_without_its_password(url: str, shown: str) -> None:
    settings = Settings(database_url=url)
    assert settings.database_shown == shown
    assert not settings.uses_embedded_default


def test_what_is_saved_is_in_force_and_the_rest_of_the_file_stays() -> None:
    write_file("# ours\nworkers = 3  # a small machine\nlog_level = 'info'\n")
    save({"workers": 8, "notify_url": "https://newer.example/jobs"})
    text = config_file().read_text()
    assert "# ours" in text
    assert "workers = 8  # a small machine" in text
    assert (load().workers, load().log_level, load().notify_url) == (8, "INFO", "https://newer.example/jobs")
    save({"workers": None})
    assert load().workers == Settings().workers == 16


def test_what_cannot_be_used_is_not_saved() -> None:
    write_file("workers = 3\n")
    with pytest.raises(RequestRefused, match="WORKERS"):
        save({"workers": 0, "log_level": "DEBUG"})
    with pytest.raises(RequestRefused, match="LEASE_S"):
        save({"billing_timeout_s": 50.0})
    assert config_file().read_text() == "workers = 3\n"
    write_file("workers = = 3\n")
    with pytest.raises(RequestRefused, match="cannot be read"):
        save({"workers": 4})


def test_an_emptied_address_is_the_usual_one() -> None:
    save({"billing_kind": "revio", "billing_url": ""})
    assert load().billing_url == "https://api.revioapi.com/v1"


def test_what_is_fixed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fixed_by("workers", {}) == ""
    monkeypatch.setenv("ASSOCIATION_WORKERS", "5")
    assert fixed_by("workers", {}) == "environment variable ASSOCIATION_WORKERS"
    assert fixed_by("data_dir", {"data_dir": "/somewhere", "workers": None}) == "--data-dir"
