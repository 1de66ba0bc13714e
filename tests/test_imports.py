"""Imports only point down: the table that says so, held over the whole code, and no cycle.

Window, command line and web service talk to the desk's protocols and to nothing below them. The business knows no Qt,
no SQL and no HTTP. SQL stands in ``db`` alone, the HTTP client in ``desktop_app.billing`` alone, Qt in the window and
in the engine's thread pool. ``desktop_app.bootstrap`` alone names everyone.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest

from tests.helpers.import_rule import ImportRule, import_cycle

ROOT = Path(__file__).parents[1]
BUSINESS = "desktop_app.association"

RULE = ImportRule(
    parts={
        "product": ["desktop_app"],  # name and version
        "words": [
            f"{BUSINESS}.model", f"{BUSINESS}.states", f"{BUSINESS}.errors", f"{BUSINESS}.facts",
            f"{BUSINESS}.check_digits",  # arithmetic; an identifier's other readings are made by it
        ],
        "ports": [f"{BUSINESS}.ports"],
        "business": [BUSINESS],
        "database": ["db"],
        "demo data": ["db.demo"],
        "billing": ["desktop_app.billing"],
        "sandbox": ["desktop_app.billing.sandbox"],
        "engine": ["desktop_app.engine"],
        "qt pool": ["desktop_app.engine.qt_pool"],
        "protocol": ["desktop_app.desk.protocol", "desktop_app.desk.machine"],
        "desk": ["desktop_app.desk"],
        "settings": ["desktop_app.settings", "desktop_app.logs", "desktop_app.folders"],
        "window": ["desktop_app.ui"],
        "command line": ["desktop_app.cli"],
        "bootstrap": ["desktop_app.bootstrap"],
    },
    may_import={
        "product": [],
        "words": [],
        "ports": ["words"],
        "business": ["words", "ports"],
        "database": ["words", "ports"],
        "demo data": ["words", "ports", "business", "database"],
        "billing": ["words", "ports"],
        "sandbox": [],  # the other side of the wire shares no code with this one
        "engine": ["words", "ports", "business", "database"],
        "qt pool": ["engine"],
        "protocol": ["words"],
        "desk": ["protocol", "words", "ports", "business", "database", "engine", "settings"],
        "settings": ["product", "words"],
        "window": ["product", "protocol", "words"],
        "command line": ["product", "protocol", "words", "settings", "bootstrap"],
        "bootstrap": [
            "product", "words", "ports", "business", "database", "demo data", "billing", "sandbox", "engine", "qt pool",
            "protocol", "desk", "settings", "window", "command line",
        ],
    },
    libraries={
        "stdnum": ["business"],
        "phonenumbers": ["business"],
        "sqlalchemy": ["database", "demo data"],
        "alembic": ["database"],
        "sqlite3": ["database"],
        "pyodbc": ["database"],
        "http": ["billing"],
        "requests": ["billing"],
        "urllib3": ["billing"],
        "socket": ["billing", "sandbox", "database"],
        "ssl": ["billing"],
        "starlette": ["sandbox"],
        "uvicorn": ["sandbox"],
        "PySide6": ["window", "qt pool"],
        "shiboken6": ["window"],
        "qasync": ["desktop_app.ui.background"],  # the one module that awaits the desk
        "typer": ["command line"],
        "rich": ["command line"],
        "humanize": ["command line", "window"],
        "pydantic": ["settings"],
        "pydantic_settings": ["settings"],
        "platformdirs": ["settings"],
        "structlog": ["settings"],
        "tomlkit": ["settings"],
        "keyring": ["billing"],
        "python_calamine": ["desk"],
        "xlsxwriter": ["desk"],
    },
)  # fmt: skip


@cache
def the_code(with_typing: bool = True) -> grimp.ImportGraph:
    return grimp.build_graph(
        "desktop_app",
        "db",
        include_external_packages=True,
        exclude_type_checking_imports=not with_typing,
        cache_dir=None,
    )


def test_imports_only_point_down() -> None:
    assert RULE.breaches(the_code()) == []


def test_no_module_imports_itself_in_a_circle() -> None:
    assert import_cycle(the_code(with_typing=False)) == []


def test_every_name_in_the_table_is_used() -> None:
    assert not {name for name in RULE.libraries if not _importers(name)}
    parts = {RULE.part_of(module) for module in the_code().modules}
    assert not set(RULE.parts) - parts


def _importers(library: str) -> set[str]:
    graph = the_code()
    return {
        importer
        for module in graph.modules
        if module == library or module.startswith(library + ".")
        for importer in graph.find_modules_that_directly_import(module)
    }


def test_sandbox_shares_no_code_with_the_program() -> None:
    graph = the_code()
    inside = {"desktop_app.billing.sandbox"} | graph.find_descendants("desktop_app.billing.sandbox")
    used = {imported for module in inside for imported in graph.find_modules_directly_imported_by(module)} - inside
    assert not {module for module in used if module.split(".")[0] in {"desktop_app", "db"}}


def test_main_starts_the_command_line_and_nothing_else() -> None:
    imported = {
        name
        for node in ast.walk(ast.parse((ROOT / "main.py").read_text(encoding="utf-8")))
        for name in _names_imported(node)
    }
    assert {name for name in imported if name.split(".")[0] in {"desktop_app", "db"}} == {"desktop_app.cli"}


def _names_imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def test_no_import_hides_in_a_string() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("desktop_app", "db")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"__import__", "importlib.import_module", "import_module"}
    ]
    assert not hidden


# ------------------------------------------------------------------------------------ the check itself, on made-up code

MADE_UP = {
    "__init__": "",
    "window": "from madeup import rules",
    "rules": "",
    "store": "import sqlite3\n\ndef save():\n    import requests",
    "hidden": "def late():\n    from madeup import store",
    "typed": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from madeup.store import save",
    "stranger": "",
    "one": "import madeup.two",
    "two": "def late():\n    from madeup import three",
    "three": "from madeup.one import nothing",
}


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> grimp.ImportGraph:
    (tmp_path / "madeup").mkdir()
    for name, text in MADE_UP.items():
        (tmp_path / "madeup" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return grimp.build_graph("madeup", include_external_packages=True, cache_dir=None)


def test_forbidden_imports_are_found(made_up: grimp.ImportGraph) -> None:
    rule = ImportRule(
        parts={
            "root": ["madeup"],
            "upper": ["madeup.window", "madeup.hidden", "madeup.typed"],
            "lower": ["madeup.rules"],
            "store": ["madeup.store"],
            "ring": ["madeup.one", "madeup.two", "madeup.three"],
        },
        may_import={"root": [], "upper": ["lower"], "lower": [], "store": [], "ring": []},
        libraries={"requests": ["upper"]},
    )
    assert rule.breaches(made_up) == [
        "madeup.hidden line 2 imports madeup.store",
        "madeup.store line 4 imports requests",
        "madeup.typed line 4 imports madeup.store",
    ]


def test_unknown_modules_are_found(made_up: grimp.ImportGraph) -> None:
    known = [f"madeup.{name}" for name in MADE_UP if name not in {"__init__", "stranger"}]
    rule = ImportRule(parts={"all": known}, may_import={"all": []}, libraries={"requests": ["all"]})
    assert rule.breaches(made_up) == ["madeup belongs to no part", "madeup.stranger belongs to no part"]


def test_a_cycle_is_found(made_up: grimp.ImportGraph) -> None:
    cycle = import_cycle(made_up)
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"madeup.one", "madeup.two", "madeup.three"}


#: Beside db.dialects: what is of a server itself, as its docstring says.
OF_A_SERVER = {"dialects", "engines", "connections", "trying", "roles", "site_procedures"}


def test_servers_are_told_apart_in_one_module() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "db").rglob("*.py"))
        if path.stem not in OF_A_SERVER and path.parent.name != "versions"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and node.value in {"sqlite", "postgresql", "mssql"})
        or (isinstance(node, ast.ImportFrom) and str(node.module).startswith("sqlalchemy.dialects"))
    ]
    assert found == []
