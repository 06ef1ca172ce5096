"""Targets of a list, a file and http_sd, asked for again: what changes, and what fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.unit.adapters.collectors.target_server import Pieces, answer, serving

from optiinfra.adapters.collectors import target_list
from optiinfra.adapters.collectors.addresses import read_networks
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.target_list import DiscoveryProblem, TargetList, TargetSources
from optiinfra.domain.errors import InputError

OURS, OTHERS = UUID(int=1), UUID(int=2)


def write(path: Path, *hosts: str, **fields: Any) -> None:
    path.write_text(json.dumps({"targets": [{"targets": list(hosts)}]} | fields))


def names(found: list[Any]) -> list[str]:
    return [target.name.removeprefix("http://").removesuffix("/metrics") for target in found]


def test_a_file_that_changes_and_one_that_breaks(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    write(path, "10.0.0.1:1", "10.0.0.2:1", allow_networks=["10.0.0.0/24"])

    async def run() -> None:
        listed = TargetList(TargetSources(path, ("10.0.0.9:1", "10.0.0.1:1"), (), OURS))
        fetcher = Fetcher(listed.rules)
        found = await listed.refresh(fetcher)
        assert names(found) == ["10.0.0.9:1", "10.0.0.1:1", "10.0.0.2:1"]
        assert {target.customer_id for target in found} == {OURS}
        assert listed.problems == {DiscoveryProblem.SAME_NAME: 1}
        write(path, "10.0.0.3:1", allow_networks=["10.0.1.0/24"])
        assert names(await listed.refresh(fetcher)) == ["10.0.0.9:1", "10.0.0.1:1", "10.0.0.3:1"]
        assert fetcher.rules.networks == read_networks(["10.0.1.0/24"])
        path.write_text("{")
        assert names(await listed.refresh(fetcher)) == ["10.0.0.9:1", "10.0.0.1:1", "10.0.0.3:1"]
        assert listed.problems[DiscoveryProblem.FILE] == 1
        await fetcher.close()

    asyncio.run(run())


def test_http_sd_that_changes_and_one_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    lists = iter(
        [
            answer(b'[{"targets": ["10.0.0.1:1"]}]'),
            answer(b'[{"targets": ["10.0.0.2:1"]}]'),
            answer(b"", status="500 Oh"),
            answer(b"<html>"),
        ]
    )
    answers: dict[str, Pieces | Callable[[], Pieces]] = {"/sd": lambda: next(lists)}

    async def run() -> list[list[str]]:
        async with serving(answers) as server:
            write(path, http_sd=[server.url("/sd")], customer_id=str(OTHERS))
            listed = TargetList(TargetSources(path, (), read_networks(["127.0.0.1"])))
            assert listed.customer_id == OTHERS
            fetcher = Fetcher(listed.rules)
            found = [names(await listed.refresh(fetcher)) for _ in range(4)]
            assert listed.problems == {DiscoveryProblem.HTTP_SD: 2}
            await fetcher.close()
        return found

    assert asyncio.run(run()) == [["10.0.0.1:1"], *([["10.0.0.2:1"]] * 3)]


def test_an_address_that_never_answered_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    write(path, "10.0.0.1:1", http_sd=["http://127.0.0.1:1/sd"])

    async def run() -> None:
        listed = TargetList(TargetSources(path, (), read_networks(["127.0.0.1"]), OURS))
        fetcher = Fetcher(listed.rules)
        assert names(await listed.refresh(fetcher)) == ["10.0.0.1:1"]
        assert listed.problems == {DiscoveryProblem.HTTP_SD: 1}
        await fetcher.close()

    asyncio.run(run())


def test_more_than_a_process_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_list, "MAX_TARGETS", 2)

    async def run() -> None:
        listed = TargetList(TargetSources(None, ("a:1", "b:1", "c:1"), (), OURS))
        fetcher = Fetcher(listed.rules)
        assert names(await listed.refresh(fetcher)) == ["a:1", "b:1"]
        assert listed.problems == {DiscoveryProblem.TOO_MANY: 1}
        await fetcher.close()

    asyncio.run(run())


def test_nobodys_targets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    write(path, "10.0.0.1:1")
    with pytest.raises(InputError, match="--customer"):
        TargetList(TargetSources(path))
