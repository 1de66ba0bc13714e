"""``db import``, ``db procedures`` and ``db roles`` as a person types them."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Program

GOOD = "8901260000000009008"


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def test_a_folder_is_imported_and_wrong_rows_are_listed_beside_it(program: Program, tmp_path: Path) -> None:
    files = write(
        tmp_path / "old",
        service_providers="code\nN\n",
        devices=f"service_provider,iccid,status,colour\nN,{GOOD},active,red\nX,{GOOD},active,red\n",
        notes="not,a,table\n",
    )
    tried = program("db", "import", files, "--dry-run", "--json")
    assert tried.code == 1
    assert tried.json["dry_run"] is True
    assert [one["new"] for one in tried.json["tables"]] == [1, 1]
    done = program("db", "import", files)
    assert done.code == 1
    assert "service_provider 'X'" in done.out
    assert "not taken over: colour" in done.out
    assert str(files / "import.rejects.csv") in done.out
    assert "SERVICE_PROVIDER_UNKNOWN" in (files / "import.rejects.csv").read_text(encoding="utf-8-sig")
    again = program("db", "import", files / "devices.csv", "--json", "--rejects", tmp_path / "list.csv").json
    assert again["tables"][0] == {
        "table": "devices", "file": "devices.csv", "new": 0, "changed": 0, "same": 1, "wrong": 1,
        "ignored_columns": ["colour"],
    }  # fmt: skip
    assert again["rejects"] == str(tmp_path / "list.csv")
    assert again["wrong"][0]["line"] == 3
    (files / "devices.csv").write_text(f"service_provider,iccid,status\nN,{GOOD},active\n", encoding="utf-8")
    assert program("db", "import", files).code == 0
    assert program("db", "check").code == 0


def test_what_cannot_be_imported_is_refused(program: Program, tmp_path: Path) -> None:
    strange = write(tmp_path / "x", gadgets="code\nN\n") / "gadgets.csv"
    for arguments, code in (
        ((tmp_path / "devices.csv",), "FILE_UNREADABLE"),
        ((strange,), "IMPORT_TABLE_UNKNOWN"),
        ((tmp_path / "x",), "NOTHING_TO_IMPORT"),
        ((strange, "--table", "gadgets"), "IMPORT_TABLE_UNKNOWN"),
        ((strange, "--table", "devices"), "IMPORT_COLUMN_MISSING"),
    ):
        result = program("db", "import", *arguments, "--json")
        assert (result.code, result.error["code"]) == (2, code), arguments
    assert program("db", "import", strange, "--table", "service-providers").code == 0


def test_procedures_and_roles_are_printed_for_the_administrator_of_a_server(program: Program) -> None:
    for dialect, word in (("mssql", "CREATE OR ALTER PROCEDURE [crm]."), ("postgresql", "PROCEDURE crm.association_")):
        printed = program("db", "procedures", "--dialect", dialect, "--schema", "crm")
        assert printed.code == 0
        assert printed.out.count(word) == 3
        roles = program("db", "roles", "--dialect", dialect, "--json").json["sql"]
        assert "association_operator" in roles
        assert "association_reader" in roles
    assert (
        program("db", "roles", "--dialect", "mssql", "--schema", "x]; DROP", "--json").error["code"] == "SCHEMA_INVALID"
    )
    assert program("db", "procedures", "--json").json["procedures"] == {
        "update_device_history_across_providers": "",
        "mark_device_changes_complete": "",
        "sync_device_service_links": "",
    }
    refused = program("db", "procedures", "--use", "mark_device_changes_complete=dbo.x", "--json")
    assert (refused.code, refused.error["code"]) == (2, "PROCEDURES_NOT_SUPPORTED")
    assert program("db", "procedures", "--use", "nothing", "--json").error["code"] == "PROCEDURE_UNKNOWN"
    for together in (("--dialect", "mssql", "--use", "mark_device_changes_complete=dbo.x"), ("--schema", "crm")):
        refused = program("db", "procedures", *together, "--json")
        assert (refused.code, refused.error["code"]) == (2, "OPTIONS_TOGETHER")
