"""Where things live and how large they are."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.repository import PACKAGE, ROOT, list_modules, list_texts

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
LONG_FUNCTIONS = {
    "src/optiinfra/cli/analyze.py:analyze": "its signature is the table of options",
    "src/optiinfra/cli/generate_trace.py:generate_trace": "its signature is the table of options",
    "src/optiinfra/twin/engine_simulator.py:advance": "one loop, compiled whole: calls "
    "inside it would cost what the compiler saves",
}
EXEMPT = "src/optiinfra/database/migrations/versions"
NAMELESS_NOUNS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def test_a_module_is_split_by_noun_at_400_lines() -> None:
    sizes = {
        str(path): text.count("\n")
        for path, text in list_texts().items()
        if path.suffix == ".py" and path.parts[0] in {"src", "tests", "benchmarks"}
    }
    too_long = {
        path: lines
        for path, lines in sizes.items()
        if lines > MAX_MODULE_LINES and not path.startswith(EXEMPT)
    }
    assert not too_long


def list_long_functions() -> dict[str, int]:
    """Lines of each function that does not fit a screen, by its place."""
    return {
        f"{path}:{node.name}": lines
        for path, tree in list_modules().items()
        if not path.is_relative_to(EXEMPT)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }


def test_a_function_fits_a_screen_or_is_listed_with_its_reason() -> None:
    assert set(list_long_functions()) == set(LONG_FUNCTIONS)


def test_every_folder_is_a_package_that_says_what_it_holds() -> None:
    folders = {path.parent for path in list_modules()}
    for folder in sorted(folders):
        if folder.is_relative_to("src/optiinfra/database/migrations"):
            continue
        init = ROOT / folder / "__init__.py"
        assert init.is_file(), f"{folder} has no __init__.py"
        assert ast.get_docstring(ast.parse(init.read_text())), f"{init} has no docstring"


def test_folders_are_two_levels_deep() -> None:
    deep = {
        path.parent
        for path in list_modules()
        if len(path.parent.relative_to("src/optiinfra").parts) > 2
        and not path.is_relative_to(EXEMPT)
    }
    assert not deep


def test_every_module_has_a_noun() -> None:
    nameless = [path for path in list_modules() if NAMELESS_NOUNS & set(path.stem.split("_"))]
    assert not nameless


def test_the_root_holds_only_what_a_newcomer_needs() -> None:
    allowed = {
        ".editorconfig", ".gitignore", ".pre-commit-config.yaml", ".python-version",
        "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md",
        "mkdocs.yml", "pyproject.toml", "requirements-setup.txt", "requirements.txt",
    }  # fmt: skip
    at_root = {path.name for path in list_texts() if len(path.parts) == 1}
    assert at_root <= allowed


def test_the_package_is_typed() -> None:
    assert Path(PACKAGE / "py.typed").is_file()
