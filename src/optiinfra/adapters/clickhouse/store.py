"""The metric store on ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any, Self

from optiinfra.adapters.clickhouse.arrow_rows import make_arrow_table, pack_rows
from optiinfra.adapters.clickhouse.connection import (
    MAX_INSERT_S,
    connect,
    describe,
    translated,
)
from optiinfra.adapters.clickhouse.migrating import find_version, list_migrations, migrate
from optiinfra.adapters.clickhouse.questions import (
    Question,
    ask_latest,
    ask_quantile,
    ask_range,
    ask_top,
)
from optiinfra.domain.errors import InputError, StoreError
from optiinfra.domain.metric_queries import (
    MAX_GROUPS,
    QUANTILE_LEVELS,
    MetricPoint,
    RangeQuery,
    Resolution,
    Selection,
    Statistic,
)
from optiinfra.domain.metric_tables import MAX_ROWS, MetricRows, MetricTable

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClickHouseStore:
    """A `MetricStore` by one client; its methods may be called from any thread."""

    def __init__(self, client: Client, *, url: str) -> None:
        self.client = client
        self.where = describe(url)
        self._url = url

    def insert(self, rows: MetricRows, *, token: str) -> None:
        """Keep the rows, once however often they come with this token."""
        self.insert_table(rows.table, make_arrow_table(rows), token=token)

    def insert_table(self, table: MetricTable, rows: pa.Table, *, token: str) -> None:
        """Keep rows that are an Arrow table already, in one block, so that the token covers all.

        ClickHouse remembers the tokens of the last 10,000 blocks of a table and of its rollups.
        """
        if not rows.num_rows:
            return
        if rows.num_rows > MAX_ROWS:
            raise InputError(
                f"{rows.num_rows} rows are more than one block holds.",
                remedy=f"Send at most {MAX_ROWS} at once.",
            )
        block = pack_rows(rows)
        settings = {
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_insert_block_size": 2 * MAX_ROWS,
            "min_insert_block_size_rows": 2 * MAX_ROWS,
            "min_insert_block_size_bytes": 0,
            "max_insert_threads": 1,
            "optimize_on_insert": 0,  # what the views make has each key once already
            "async_insert": 0,
            "max_execution_time": MAX_INSERT_S,
        }
        with self._asked() as client:
            client.insert_arrow(table.value, block, settings=settings)

    def list_range(self, query: RangeQuery) -> list[MetricPoint]:
        """Points in order of time, then group; buckets without samples are left out."""
        self._check_statistic(query.selection, query.statistic)
        points = self._list_points(ask_range(query))
        if len(points) > query.limit:
            raise InputError(
                f"The answer has more than {query.limit} points.",
                remedy="Narrow the range, group by less, or ask for larger buckets.",
            )
        return points

    def list_latest(
        self, selection: Selection, *, group_by: tuple[str, ...] = ()
    ) -> list[MetricPoint]:
        """The last measured value of each group in the selection, at its own instant."""
        RangeQuery(
            selection, group_by=group_by, resolution=Resolution.TOTAL
        )  # refuses unknown dimensions
        points = self._list_points(ask_latest(selection, group_by, limit=MAX_GROUPS))
        if len(points) > MAX_GROUPS:
            raise InputError(
                f"The answer has more than {MAX_GROUPS} groups.", remedy="Group by less."
            )
        return points

    def find_quantile(self, selection: Selection, *, level: float) -> float | None:
        """A quantile of all samples; exact from raw rows, within 1 % from the rollups."""
        if not 0 <= level <= 1:
            raise InputError(f"{level} is no quantile.", remedy="Give a level in 0..1.")
        question = ask_quantile(selection, level=float(level))
        with self._asked() as client:
            value, count = client.query(question.sql, parameters=question.parameters).result_rows[0]
        return float(value) if count else None

    def list_top(
        self, selection: Selection, *, dimension: str, statistic: Statistic, num_groups: int
    ) -> list[MetricPoint]:
        """The groups whose statistic over the whole selection is highest, highest first."""
        self._check_statistic(selection, statistic)
        if not 1 <= num_groups <= MAX_GROUPS:
            raise InputError(
                f"{num_groups} groups cannot be asked for.", remedy=f"Ask for 1 to {MAX_GROUPS}."
            )
        question = ask_top(
            selection, dimension=dimension, statistic=statistic, num_groups=num_groups
        )
        return self._list_points(question)

    def migrate(self) -> list[str]:
        """Bring the schema to this release; the names of the migrations applied now."""
        with self._asked() as client:
            return migrate(client)

    def is_current(self) -> bool:
        """Whether the schema is this release's."""
        with self._asked() as client:
            return find_version(client) == list_migrations()[-1].version

    def get_server_version(self) -> str:
        """Of ClickHouse."""
        with self._asked() as client:
            return str(client.command("SELECT version()"))

    def close(self) -> None:
        """Let go of the client."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check_statistic(self, selection: Selection, statistic: Statistic) -> None:
        if statistic in QUANTILE_LEVELS and selection.measure not in selection.schema.sketched:
            known = ", ".join(sorted(selection.schema.sketched))
            raise InputError(
                f"{selection.table.value} keeps no quantiles of {selection.measure} by time.",
                remedy=f"Ask `find_quantile`, or for one of {known}.",
            )

    def _list_points(self, question: Question) -> list[MetricPoint]:
        """Answers whose columns are at, the groups, value, n."""
        with self._asked() as client:
            answer = client.query(question.sql, parameters=question.parameters)
        return _make_points(answer.result_columns) if answer.result_columns else []

    @contextmanager
    def _asked(self) -> Iterator[Client]:
        with translated(self._url):
            yield self.client


def open_store(url: str, *, is_migrated: bool = True) -> ClickHouseStore:
    """The store at a URL, its schema checked. Raises StoreError.

    Without `is_migrated` the schema may be missing, as it is before `migrate`.
    """
    store = ClickHouseStore(connect(url), url=url)
    if is_migrated and not store.is_current():
        store.close()
        raise StoreError(
            f"The schema of the metric store at {store.where} is not this release's.",
            remedy="Run `optiinfra up`, which brings it there.",
        )
    return store


def _make_points(columns: Sequence[Sequence[Any]]) -> list[MetricPoint]:
    """By column and not by row, which takes two thirds of the time in Python."""
    at, *groups, values, counts = columns
    instants = {instant: _EPOCH + timedelta(milliseconds=instant) for instant in set(at)}
    shared: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # few groups: less for the collector
    keys = (shared.setdefault(key, key) for key in zip(*groups, strict=True))
    at_each = map(instants.__getitem__, at)
    rows = zip(at_each, keys if groups else repeat((), len(values)), values, counts, strict=True)
    return list(map(MetricPoint._make, rows))
