"""What tracked files may say: no machine's address, the project's own words, all pages listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import yaml
from tests.architecture.repository import ROOT, list_modules, list_texts

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w+")

# The "not" column of docs/glossary.md, where no library has the word for itself. The edges may say
# more: adapters name what a foreign format calls it, and people are shown percent and milliseconds.
EDGES = ("adapters", "cli", "report")
FOREIGN_WORDS = {
    "pod": "replica",
    "pods": "replicas",
    "vm": "instance",
    "vms": "instances",
    "suggestion": "recommendation",
    "suggestions": "recommendations",
    "spend": "cost",
    "evicted": "preempted",
    "percentage": "ratio in 0..1",
    "pct": "ratio in 0..1",
}
# Columns that the specification names keep their names in the models.
COLUMNS_OF_THE_SPECIFICATION = {"latency_ms", "p95_latency_ms"}
FOREIGN_UNITS = {"ms": "s", "gb": "bytes", "mb": "bytes", "gbps": "bytes_per_s"}


def list_registry_hosts() -> set[str]:
    """Hosts of the package registry, as pip knows them."""
    index = import_module("pip._internal.models.index").PyPI
    return {index.netloc, index.file_storage_domain}


def walk_identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that a module gives to things, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno


def split_words(identifier: str) -> list[str]:
    """Lower-case words of a snake_case or CamelCase name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identifier).lower().strip("_").split("_")


def test_no_tracked_file_names_a_registry() -> None:
    hosts = list_registry_hosts()
    naming = [str(path) for path, text in list_texts().items() if any(h in text for h in hosts)]
    assert not naming


def test_no_tracked_file_holds_a_path_of_one_machine() -> None:
    found = [
        f"{path}: {match.group()}"
        for path, text in list_texts().items()
        for match in MACHINE_PATH.finditer(text)
        if path.name not in {"requirements.txt", "requirements-setup.txt"}
    ]
    assert not found


def test_things_have_the_projects_own_words() -> None:
    foreign = []
    for path, tree in list_modules().items():
        if any(path.is_relative_to(f"src/optiinfra/{edge}") for edge in EDGES):
            continue
        for identifier, line in walk_identifiers(tree):
            if identifier in COLUMNS_OF_THE_SPECIFICATION:
                continue
            words = split_words(identifier)
            foreign += [
                f"{path}:{line} {identifier}: say {FOREIGN_WORDS[word]}"
                for word in words
                if word in FOREIGN_WORDS
            ]
            if words[-1] in FOREIGN_UNITS and len(words) > 1:
                foreign.append(f"{path}:{line} {identifier}: use {FOREIGN_UNITS[words[-1]]}")
    assert not foreign


def list_nav_pages(entry: object) -> Iterator[str]:
    """Pages under an entry of mkdocs' navigation."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for below in entry.values():
            yield from list_nav_pages(below)
    elif isinstance(entry, list):
        for below in entry:
            yield from list_nav_pages(below)


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    pages = {
        str(path.relative_to("docs"))
        for path in list_texts()
        if path.is_relative_to("docs") and path.suffix == ".md"
    }
    assert set(list_nav_pages(navigation)) == pages


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted(Path(ROOT / "docs/adr").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    assert re.search(r"(?m)^## \[Unreleased\]$", (ROOT / "CHANGELOG.md").read_text())
