"""YAML of a fleet file as plain values with the line of every key, within limits.

The YAML is that of version 1.2 where 1.1 surprises: `no` and `on` are words, `1:30` and dates are
text, `1e-3` is a number. Keys may not repeat, tags are refused, and aliases may not blow it up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError

KeyPath = tuple[str | int, ...]

_MAX_DEPTH = 20
_MAX_NODES = 50_000
_MAX_DIGITS = 18
_TEXT_KEYS = frozenset({"engine_version"})  # 0.20 is a version, not the number 0.2
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(slots=True)
class Document:
    """A fleet file's values, and where each key stands."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def find_line(self, path: KeyPath) -> int | None:
        """Line of a key, or of the nearest section around it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())

    def refuse(self, path: KeyPath, problem: str, *, remedy: str) -> InputError:
        """An error at a key."""
        return InputError(
            problem,
            remedy=remedy,
            file=self.file,
            line=self.find_line(path),
            field=format_path(path) or None,
        )


def format_path(path: KeyPath) -> str:
    """`deployments[0].slo.ttft_s` for a path of keys and indices."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """The values of one YAML document; InputError with file and line."""
    document = Document(file=str(path))
    text = read_text_file(path, what="fleet file")
    try:
        _check_depth(text, document)
        node = _Loader(text).get_single_node()
    except yaml.YAMLError as error:
        raise _translate(error, document.file) from error
    if node is None:
        raise InputError(
            "The fleet file is empty.",
            remedy="Copy examples/fleet.yaml and fill in your own values.",
            file=document.file,
            line=1,
        )
    if not isinstance(node, yaml.MappingNode):
        raise InputError(
            "The fleet file must hold keys at its top level, not a list or a word.",
            remedy="Begin with `customer:`, `slo:` and `deployments:`, as in examples/fleet.yaml.",
            file=document.file,
            line=_get_line(node),
        )
    document.lines[()] = _get_line(node)
    document.values = _Constructor(document).construct_mapping(node, ())
    return document


def _check_depth(text: str, document: Document) -> None:
    """Refuse deep nesting and a second document before anything recursive runs."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _get_line(event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > _MAX_DEPTH:
            problem = f"The fleet file is nested deeper than {_MAX_DEPTH} levels."
            raise InputError(problem, remedy="Flatten it.", file=document.file, line=line)
        if documents > 1:
            problem = "The fleet file holds more than one YAML document."
            remedy = "Remove the line `---`, or put the second fleet into its own file."
            raise InputError(problem, remedy=remedy, file=document.file, line=line)


def _get_line(thing: yaml.Node | yaml.Event) -> int:
    """The line, from 1, where a node or an event begins."""
    mark = thing.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _translate(error: yaml.YAMLError, file: str) -> InputError:
    """PyYAML's error as ours."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else None
    problem = getattr(error, "problem", None) or str(error)
    remedy = "Compare it with examples/fleet.yaml."
    if "'\\t'" in problem:
        problem, remedy = "a tab stands where YAML allows only spaces", "Indent with spaces."
    elif isinstance(error, yaml.reader.ReaderError):
        problem, remedy = "it holds a control character", "Remove it, or save it as plain text."
    return InputError(f"This is not YAML: {problem}.", remedy=remedy, file=file, line=line)


class _Constructor:
    """Builds plain values from nodes, counting them, and notes the lines."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.num_nodes = 0

    def _refuse(self, node: yaml.Node, path: KeyPath, problem: str, remedy: str) -> InputError:
        """An error at a node."""
        return InputError(
            problem,
            remedy=remedy,
            file=self.document.file,
            line=_get_line(node),
            field=format_path(path) or None,
        )

    def construct(self, node: yaml.Node, path: KeyPath) -> Any:
        """Any node as dict, list, text, number, truth or None."""
        self.num_nodes += 1
        if self.num_nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise self._refuse(
                node, (), "The fleet file's aliases repeat too much.", "Write the values out."
            )
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.document.lines[(*path, index)] = _get_line(item)
                items.append(self.construct(item, (*path, index)))
            return items
        return self._construct_scalar(node, path)

    def construct_mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """Keys are text and stand once; `<<` brings keys that are not given here."""
        values: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                is_list = isinstance(value_node, yaml.SequenceNode)
                merged.extend(value_node.value if is_list else [value_node])
                continue
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key, str):
                raise self._refuse(key_node, path, "A key is not a word.", "Write a word.")
            here = (*path, key)
            if key in values:
                first = self.document.lines[here]
                problem = f"`{key}` stands twice; first in line {first}."
                raise self._refuse(key_node, here, problem, "Keep one of the two.")
            self.document.lines[here] = _get_line(key_node)
            values[key] = self.construct(value_node, here)
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                raise self._refuse(source, path, "`<<` needs keys.", "Refer to a section.")
            self.num_nodes += 1
            lines = dict(self.document.lines)
            brought = self.construct(source, path)
            self.document.lines |= lines  # where a key is given here, its own line counts
            values = brought | values
        return values

    def _construct_scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        """A plain scalar by its YAML 1.2 type; quoted ones and versions are text."""
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind == "str" or (path and path[-1] in _TEXT_KEYS and kind != "null"):
            return text
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        if kind == "int" and len(text) <= _MAX_DIGITS:
            return int(text)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        problem = "A number has too many digits." if kind == "int" else f"A tag `{node.tag}`."
        raise self._refuse(node, path, problem, "Write a plain value.")
