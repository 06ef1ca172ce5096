"""Which targets there are: a file of targets, Prometheus' file_sd and http_sd.

A file is JSON: either Prometheus' list of groups, or an object with `targets` (groups, or single
ones with `url`), `file_sd`, `http_sd`, `allow_networks`, `redirect_hosts` and `customer_id`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from optiinfra.adapters.collectors.addresses import Network, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.target import Target
from optiinfra.adapters.text_file import read_text_file
from optiinfra.domain.errors import InputError

MAX_TARGETS = 10_000
NOBODY = UUID(int=0)  # where a file names no customer; nothing of it can be stored
_MAX_BYTES = 8 * 2**20
_META = re.compile(r"__.*")


class _Group(BaseModel):
    """A group as in Prometheus' file_sd and http_sd."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    targets: list[str] = Field(max_length=MAX_TARGETS)
    labels: dict[str, str] = Field(default_factory=dict, max_length=64)


class _Single(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    name: str | None = None
    deployment_id: str = ""
    instance_id: str = ""
    labels: dict[str, str] = Field(default_factory=dict, max_length=64)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    customer_id: UUID = NOBODY
    targets: list[_Single | _Group] = Field(default_factory=list, max_length=MAX_TARGETS)
    file_sd: list[str] = Field(default_factory=list, max_length=100)
    http_sd: list[str] = Field(default_factory=list, max_length=100)
    allow_networks: list[str] = Field(default_factory=list, max_length=1_000)
    redirect_hosts: list[str] = Field(default_factory=list, max_length=1_000)


@dataclass(frozen=True, slots=True)
class TargetFile:
    """What a file of targets says; `http_sd` are addresses to ask for more."""

    customer_id: UUID
    targets: tuple[Target, ...]
    http_sd: tuple[str, ...]
    networks: tuple[Network, ...]
    redirect_hosts: frozenset[str]


def read_target_file(path: Path) -> TargetFile:
    """The targets of a file and of those it names.

    Raises:
        InputError: not such a file, or more than 10,000 targets.
    """
    content = _load(path)
    try:
        read = _File.model_validate({"targets": content} if isinstance(content, list) else content)
    except ValidationError as error:
        raise _translate(error, str(path)) from error
    targets = []
    for entry in read.targets:
        if isinstance(entry, _Group):
            targets += _expand(entry, read.customer_id)
        else:
            targets.append(_make_target(read.customer_id, entry))
    for name in read.file_sd:
        other = path.parent / name
        targets += read_groups(_load(other), read.customer_id, source=str(other))
    return TargetFile(
        read.customer_id,
        _check(targets, str(path)),
        tuple(read.http_sd),
        read_networks(read.allow_networks),
        frozenset(read.redirect_hosts),
    )


def read_groups(content: Any, customer_id: UUID, *, source: str) -> tuple[Target, ...]:
    """The targets of Prometheus' list of groups.

    Raises:
        InputError: not such a list, or more than 10,000 targets.
    """
    if not isinstance(content, list):
        raise InputError(
            "This is not a list of groups.",
            remedy='Write [{"targets": ["HOST:PORT"], "labels": {}}].',
            file=source,
        )
    try:
        groups = [_Group.model_validate(group) for group in content]
    except ValidationError as error:
        raise _translate(error, source) from error
    targets = [target for group in groups for target in _expand(group, customer_id)]
    return _check(targets, source)


async def fetch_groups(fetcher: Fetcher, url: str, customer_id: UUID) -> tuple[Target, ...]:
    """The targets that an http_sd address lists.

    Raises:
        TargetError: it cannot be had.
        InputError: it does not answer with such a list.
    """
    fetched = await fetcher.fetch(url)
    source = make_name(url)
    try:
        content = json.loads(fetched.body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "The answer is not JSON.", remedy="Give an http_sd address.", file=source
        ) from error
    return read_groups(content, customer_id, source=source)


def make_name(url: str) -> str:
    """An address without user name, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _expand(group: _Group, customer_id: UUID) -> list[Target]:
    """A target for each address, with the labels that Prometheus reads for itself heeded."""
    labels = group.labels
    scheme = labels.get("__scheme__", "http")
    path = labels.get("__metrics_path__", "/metrics")
    query = {
        name.removeprefix("__param_"): value
        for name, value in labels.items()
        if name.startswith("__param_")
    }
    own = {name: value for name, value in labels.items() if not _META.fullmatch(name)}
    made = []
    for host in group.targets:
        url = host if "://" in host else f"{scheme}://{host}{path}"
        if query:
            url += f"?{urlencode(query)}"
        made.append(_make(customer_id, url, None, own))
    return made


def _make_target(customer_id: UUID, single: _Single) -> Target:
    labels = dict(single.labels)
    labels |= {"deployment_id": single.deployment_id} if single.deployment_id else {}
    labels |= {"instance_id": single.instance_id} if single.instance_id else {}
    return _make(customer_id, single.url, single.name, labels)


def _make(customer_id: UUID, url: str, name: str | None, labels: Mapping[str, str]) -> Target:
    own = dict(labels)
    deployment_id, instance_id = own.pop("deployment_id", ""), own.pop("instance_id", "")
    return Target(
        customer_id, name or make_name(url), url, deployment_id, instance_id,
        tuple(sorted(own.items())),
    )  # fmt: skip


def _check(targets: Sequence[Target], source: str) -> tuple[Target, ...]:
    if len(targets) > MAX_TARGETS:
        raise InputError(
            f"{len(targets):,} targets are more than {MAX_TARGETS:,}.",
            remedy="Share them among processes.",
            file=source,
        )
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            raise InputError(
                f"two targets are called {target.name}.",
                remedy="Give each a `name` of its own.",
                file=source,
            )
        seen.add(target.name)
    return tuple(targets)


def _load(path: Path) -> Any:
    text = read_text_file(path, what="file of targets", max_bytes=_MAX_BYTES)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The file of targets is not JSON: {error}.",
            remedy="See docs/collectors.md for its form.",
            file=str(path),
            line=getattr(error, "lineno", None),
        ) from error


def _translate(error: ValidationError, source: str) -> InputError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return InputError(
        f"{first['msg']}.",
        remedy="See docs/collectors.md for the form of a file of targets.",
        file=source,
        field=place or None,
    )
