"""The owner speaks ClickHouse's HTTP protocol: the client that servers have works unchanged."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pyarrow as pa
import pytest
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from prometheus_client.parser import text_string_to_metric_families

from optiinfra.adapters.collectors.addresses import AddressRules, read_networks
from optiinfra.adapters.collectors.fetching import Fetcher
from optiinfra.adapters.collectors.scraper import Scraper, TargetState, TargetStatus
from optiinfra.adapters.collectors.target import Target
from optiinfra.domain.samples import SampleBatch
from optiinfra.embedded.owner.request_body import BodyError, make_decompressor, read_body
from optiinfra.embedded.owner.starting import start_owner, stop_owner
from optiinfra.embedded.owner_state import OwnerPlaces, OwnerState

pytestmark = pytest.mark.timeout(300)  # the first test starts the owner


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("owner")


@pytest.fixture(scope="module")
def owner(home: Path) -> Iterator[OwnerState]:
    yield start_owner(home, has_postgres=False)
    stop_owner(home)


@pytest.fixture(scope="module")
def password(owner: OwnerState, home: Path) -> str:
    del owner
    return OwnerPlaces(home).get_password()


@pytest.fixture
def client(owner: OwnerState, password: str) -> Iterator[Client]:
    """As anybody would make one: with compression, sessions and all else at their defaults."""
    made = get_client(host="127.0.0.1", port=owner.port, username="optiinfra", password=password)
    made.command("DROP TABLE IF EXISTS t")
    made.command("CREATE TABLE t (a Int32, b String) ENGINE MergeTree ORDER BY a")
    yield made
    made.close()


ROWS = [(1, "it's"), (2, "b\\\n\t"), (3, "ü")]


def test_native_and_arrow_in_and_out(client: Client) -> None:
    client.insert("t", ROWS[:2], column_names=["a", "b"])
    client.insert_arrow("t", pa.table({"a": pa.array([3], pa.int32()), "b": [ROWS[2][1]]}))
    assert client.query("SELECT * FROM t ORDER BY a").result_rows == ROWS
    arrow = client.query_arrow("SELECT * FROM t ORDER BY a", use_strings=True)
    assert [tuple(row.values()) for row in arrow.to_pylist()] == ROWS
    assert client.command("SELECT count() FROM t") == 3
    assert client.query("SELECT * FROM t LIMIT 0").column_names == ("a", "b")


def test_parameters_are_bound_and_not_pasted(client: Client) -> None:
    client.insert("t", ROWS, column_names=["a", "b"])
    for number, text in ROWS:
        found = client.query("SELECT a FROM t WHERE b = {b:String}", parameters={"b": text})
        assert found.result_rows == [(number,)]
    long = "x" * 20_000  # sent as a form
    assert client.query("SELECT {b:String}", parameters={"b": long}).result_rows == [(long,)]
    evil = "' OR 1 = 1 --"
    assert (
        client.query("SELECT a FROM t WHERE b = {b:String}", parameters={"b": evil}).result_rows
        == []
    )


def test_settings_are_of_one_request(client: Client) -> None:
    name = "max_block_size"
    asked = client.query(f"SELECT getSetting('{name}')", settings={name: 77}).result_rows
    assert asked == [(77,)]
    assert client.query(f"SELECT getSetting('{name}')").result_rows != [(77,)]


def test_errors_come_with_their_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="nothing_of_that_name") as error:
        client.query("SELECT * FROM nothing_of_that_name")
    assert error.value.code == 60
    with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED"):
        client.query("SELECT sleep(2)", settings={"max_execution_time": 1})


def test_a_failed_insert_keeps_nothing_and_leaves_no_file(client: Client, home: Path) -> None:
    with pytest.raises(DatabaseError):
        client.raw_insert("t", ["a", "b"], b'1,"x"\nno number,"y"\n', fmt="CSV")
    assert client.command("SELECT count() FROM t") == 0
    assert list((home / "owner" / "scratch").iterdir()) == []


@pytest.mark.parametrize("compression", [None, "gzip", "lz4"])
def test_raw_inserts(client: Client, compression: str | None) -> None:
    data = b"1,one\n2,two\n"
    if compression == "gzip":
        data = gzip.compress(data)
    elif compression == "lz4":
        import lz4.frame

        data = lz4.frame.compress(data)
    client.raw_insert("t", ["a", "b"], data, fmt="CSV", compression=compression)
    assert client.query("SELECT * FROM t ORDER BY a").result_rows == [(1, "one"), (2, "two")]


def ask(owner: OwnerState, **options: Any) -> httpx.Response:
    return httpx.request(
        options.pop("method", "POST"), f"http://127.0.0.1:{owner.port}/", timeout=30, **options
    )


def test_plain_http_as_with_curl(owner: OwnerState, password: str, client: Client) -> None:
    del client
    auth = ("optiinfra", password)
    assert ask(owner, content="SELECT 1 + 1", auth=auth).text == "2\n"
    assert ask(owner, params={"query": "SELECT 3"}, method="GET", auth=auth).text == "3\n"
    key = {"X-ClickHouse-User": "optiinfra", "X-ClickHouse-Key": password}
    assert ask(owner, content="SELECT 4", headers=key).text == "4\n"
    done = ask(
        owner, content="INSERT INTO t (a, b) FORMAT JSONEachRow\n" + json.dumps({"a": 1}), auth=auth
    )
    assert done.status_code == 200
    assert json.loads(done.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    ask(owner, content="INSERT INTO t VALUES (2, 'x')", auth=auth)
    ask(owner, params={"query": "INSERT INTO t FORMAT CSV"}, content="3,y\n", auth=auth)
    counted = ask(owner, content="SELECT count() FROM t FORMAT TSV", auth=auth)
    assert counted.text == "3\n"


def test_reading_by_get_cannot_write(owner: OwnerState, password: str) -> None:
    for statement in ("CREATE TABLE g (a Int8) ENGINE Memory", "DROP TABLE IF EXISTS t"):
        done = ask(owner, method="GET", params={"query": statement}, auth=("optiinfra", password))
        assert done.headers["X-ClickHouse-Exception-Code"] == "164", done.text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth": ("optiinfra", "wrong")},
        {"auth": ("default", "")},
        {"headers": {"Authorization": "Basic not-base64"}},
        {"headers": {"Authorization": "Bearer wrong"}},
        {"headers": {"api-key": ""}},
        {"params": {"password": "ü"}},
    ],
)
def test_nobody_enters_without_the_password(owner: OwnerState, options: dict[str, Any]) -> None:
    done = ask(owner, content="SELECT 1", **options)
    assert done.status_code == 403
    assert done.headers["X-ClickHouse-Exception-Code"] == "516"


def test_the_user_counts_too(owner: OwnerState, password: str) -> None:
    assert ask(owner, content="SELECT 1", auth=("somebody", password)).status_code == 403


def test_it_listens_on_loopback_alone(owner: OwnerState) -> None:
    wanted = f":{owner.port:04X}"
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(wanted)
    ]
    assert listening == [f"0100007F{wanted}"]


def read(chunks: list[bytes], directory: Path, *, query: str = "", encoding: str = "") -> Any:
    import asyncio

    async def give() -> Any:
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_body(give(), encoding=encoding, query=query, directory=directory))


@pytest.mark.parametrize(
    "head",
    [
        "INSERT INTO t FORMAT CSV\n",
        "insert into `a``b`.`c d` (`x y`, z)\n SETTINGS async_insert = 0 FORMAT CSV \r\n",
        'INSERT INTO TABLE db.t ("a", b) FORMAT CSV\n',
    ],
)
def test_data_is_told_from_the_statement_wherever_chunks_end(tmp_path: Path, head: str) -> None:
    data = b"1,FORMAT CSV\n2,x\n"
    whole = head.encode() + data
    for cut in range(1, len(whole)):
        body = read([whole[:cut], whole[cut:]], tmp_path)
        assert body.data is not None
        assert body.data.read_bytes() == data
        assert " FROM INFILE '" in body.sql
        body.data.unlink()


def test_other_statements_are_left_alone(tmp_path: Path) -> None:
    for statement in (
        "SELECT 'INSERT INTO t FORMAT CSV\n1'",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t VALUES (1, 'FORMAT CSV\n')",
    ):
        body = read([statement.encode()], tmp_path)
        assert (body.sql, body.data) == (statement, None)
    assert list(tmp_path.iterdir()) == []


def test_bombs_and_unknown_compression_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optiinfra.embedded.owner import request_body

    monkeypatch.setattr(request_body, "MAX_DATA_BYTES", 1 << 20)
    monkeypatch.setattr(request_body, "MAX_SQL_BYTES", 1 << 18)
    bomb = gzip.compress(b"INSERT INTO t FORMAT CSV\n" + b"1" * (4 << 20))
    with pytest.raises(BodyError, match="too large"):
        read([bomb], tmp_path, encoding="gzip")
    with pytest.raises(BodyError, match="bytes"):
        read([b"SELECT " + b"1" * (1 << 19)], tmp_path)
    with pytest.raises(BodyError, match="br is not known"):
        make_decompressor("br")
    assert list(tmp_path.iterdir()) == []


def test_our_own_page_is_read_by_prometheus_client_and_by_our_scraper(
    owner: OwnerState, password: str, client: Client
) -> None:
    client.query("SELECT 1")
    address = f"http://127.0.0.1:{owner.port}/metrics"
    assert httpx.get(address).status_code == 403
    answer = httpx.get(address, auth=("optiinfra", password))
    families = list(text_string_to_metric_families(answer.text))
    values = {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
    ends = ("stores", "total", "seconds", "bytes", "info", "fds")
    assert [f.name for f in families if not f.name.endswith(ends) and f.type != "counter"] == []
    assert values["optiinfra_owner_requests_total 2xx clickhouse"] >= 1
    assert values["optiinfra_owner_requests_total 4xx metrics"] >= 1
    assert values["optiinfra_owner_request_seconds_count clickhouse"] >= 1
    assert values["optiinfra_owner_stores clickhouse"] == 1
    assert values["optiinfra_owner_stores postgresql"] == 0  # this one was started without
    assert values["optiinfra_owner_restarts_total valkey"] == 0
    assert values["optiinfra_process_resident_memory_bytes"] > 0

    async def scrape() -> TargetState:
        rules = AddressRules(read_networks(["127.0.0.1"]))
        scraper = Scraper(Fetcher(rules), take, time.time_ns)
        url = address.replace("://", f"://optiinfra:{password}@")
        scraper.set_targets([Target(UUID(int=7), "owner", url)])
        await scraper.scrape_once()
        await scraper.close()
        return scraper.states[0]

    async def take(_batch: SampleBatch) -> None:
        pass

    state = asyncio.run(scrape())
    assert (state.status, state.message) == (TargetStatus.HEALTHY, "")
