"""Targets from files and from Prometheus' http_sd, and files that are none."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from tests.unit.adapters.collectors.target_server import answer, serving

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.discovery import (
    MAX_TARGETS,
    NOBODY,
    fetch_groups,
    read_target_file,
)
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.errors import InputError

CUSTOMER = UUID("550e8400-e29b-41d4-a716-446655440000")
GROUPS = [
    {
        "targets": ["10.0.0.1:8000", "10.0.0.2:8000"],
        "labels": {
            "deployment_id": "chat",
            "zone": "a",
            "__metrics_path__": "/m",
            "__scheme__": "https",
            "__param_module": "x y",
            "__meta_kubernetes_pod_name": "p",
        },
    }
]


def write(folder: Path, content: object, name: str = "targets.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_the_list_of_groups_that_prometheus_reads(tmp_path: Path) -> None:
    read = read_target_file(write(tmp_path, GROUPS))
    assert read.customer_id == NOBODY
    assert read.targets[1] == Target(
        NOBODY,
        "https://10.0.0.2:8000/m",
        "https://10.0.0.2:8000/m?module=x+y",
        "chat",
        "",
        (("zone", "a"),),
    )


def test_an_own_file(tmp_path: Path) -> None:
    write(tmp_path, GROUPS, "more.json")
    read = read_target_file(
        write(
            tmp_path,
            {
                "customer_id": str(CUSTOMER),
                "targets": [
                    {"url": "http://u:p@h:1/metrics?a=b", "deployment_id": "chat"},
                    {"url": "http://h:2/metrics", "name": "gpu", "instance_id": "i-1"},
                ],
                "file_sd": ["more.json"],
                "http_sd": ["http://sd/targets"],
                "allow_networks": ["10.0.0.0/8"],
                "redirect_hosts": ["other"],
            },
        )
    )
    assert [target.name for target in read.targets] == [
        "http://h:1/metrics",
        "gpu",
        "https://10.0.0.1:8000/m",
        "https://10.0.0.2:8000/m",
    ]
    assert read.targets[0].url == "http://u:p@h:1/metrics?a=b"
    assert read.targets[0].deployment_id == "chat"
    assert read.targets[1].instance_id == "i-1"
    assert {target.customer_id for target in read.targets} == {CUSTOMER}
    assert read.http_sd == ("http://sd/targets",)
    assert read.networks == (ip_network("10.0.0.0/8"),)
    assert read.redirect_hosts == {"other"}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"targets": [{"uri": "http://h/"}]}, "targets"),
        ({"aims": []}, "aims"),
        ({"allow_networks": ["10.0.0.1/8"]}, "10.0.0.1/8"),
        ({"customer_id": "me"}, "customer_id"),
        ({"targets": [{"url": "http://h/"}, {"url": "http://h/"}]}, "called http://h/"),
        ({"targets": [{"targets": ["h:1"] * MAX_TARGETS}, {"targets": ["g:1"]}]}, "10,001"),
        (7, "valid"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: object, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_target_file(write(tmp_path, content))


def test_a_file_that_is_not_json_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    path.write_text("[\n  {,}\n]")
    with pytest.raises(InputError) as caught:
        read_target_file(path)
    assert caught.value.line == 2


def fetch_sd(body: bytes) -> tuple[Target, ...]:
    async def run() -> tuple[Target, ...]:
        async with serving({"/sd": answer(body, kind="application/json")}) as server:
            fetcher = Fetcher(AddressRules(read_networks(["127.0.0.1"])))
            try:
                return await fetch_groups(fetcher, server.url("/sd"), CUSTOMER)
            finally:
                await fetcher.close()

    return asyncio.run(run())


def test_http_sd() -> None:
    assert [target.deployment_id for target in fetch_sd(json.dumps(GROUPS).encode())] == [
        "chat"
    ] * 2
    assert fetch_sd(b"[]") == ()


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'[{"targets": 1}]', b"[" * 100_000])
def test_http_sd_that_answers_something_else(body: bytes) -> None:
    with pytest.raises(InputError):
        fetch_sd(body)
