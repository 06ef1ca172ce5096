"""Addresses of ClickHouse: what is refused before anything is connected, and what is not shown."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from optiinfra.adapters.clickhouse.connection import connect, describe, translated
from optiinfra.domain.errors import (
    InputError,
    PackageMissingError,
    StoreAwayError,
    StoreError,
)


@pytest.mark.parametrize("url", ["mysql://host/x", "http://host/a-b", "host:8123"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="OPTIINFRA_CLICKHOUSE_URL"):
        connect(url)


def test_a_missing_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect.driver", None)
    with pytest.raises(PackageMissingError, match=r"clickhouse-connect.*optiinfra\[stores\]"):
        connect("http://127.0.0.1:1/x")


@pytest.mark.filterwarnings("ignore")
def test_nobody_there_is_away_and_the_password_is_not_told() -> None:
    with pytest.raises(StoreAwayError) as error:
        connect("http://user:secret-word@127.0.0.1:1/optiinfra")
    assert "127.0.0.1:1" in str(error.value)
    assert "secret-word" not in str(error.value)
    assert describe("http://user:secret-word@host:1/db") == "http://host:1/db"


@pytest.mark.parametrize(("code", "kind"), [(159, StoreAwayError), (62, StoreError)])
def test_what_may_be_otherwise_in_a_while_is_worth_another_try(
    code: int, kind: type[StoreError]
) -> None:
    with pytest.raises(StoreError) as error, translated("http://host:1/x"):
        raise DatabaseError("Code: it said so", code=code)
    assert type(error.value) is kind


def test_nothing_else_needs_the_packages_of_the_stores() -> None:
    code = (
        "import sys; sys.modules.update(chdb=None, clickhouse_connect=None, pandas=None);"
        "import optiinfra.bootstrap, optiinfra.cli.main, optiinfra.ports.metric_store"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
