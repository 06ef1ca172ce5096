"""Typed questions as SQL with bound parameters; names come from our own schemas only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from optiinfra.domain.metric_queries import (
    BUCKETS,
    QUANTILE_LEVELS,
    RangeQuery,
    Resolution,
    Selection,
    Statistic,
)
from optiinfra.domain.metric_tables import ColumnKind

SKETCH = "0.01, 0.5, 0.9, 0.95, 0.99, 0.999"  # accuracy and levels, as in 001_series.sql
_PLACES = {level: place for place, level in enumerate(QUANTILE_LEVELS, start=1)}
_PARAMETER_TYPES = {
    ColumnKind.TEXT: "String",
    ColumnKind.FLAG: "Bool",
    ColumnKind.INDEX: "Int16",
}
_ROLLUPS = {Resolution.HOUR: "hourly", Resolution.DAY: "daily"}
_STARTS = {
    Resolution.MINUTE: "toStartOfMinute(timestamp)",
    Resolution.HOUR: "toStartOfHour(timestamp)",
    Resolution.DAY: "toStartOfDay(timestamp)",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A statement and what is bound to it."""

    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)


def ask_range(query: RangeQuery) -> Question:
    """Columns: at, the groups, value, n; one row more than the limit, to tell that it was met."""
    source = find_source(query.selection, query.resolution, query.group_by)
    condition, parameters = _select(query.selection, source)
    groups = [f"toString({name})" if _is_text(query, name) else name for name in query.group_by]
    names = [f"g{place}" for place in range(len(groups))]
    is_total = query.resolution is Resolution.TOTAL
    at = "{start:Int64}" if is_total else f"toUnixTimestamp({_get_bucket(query, source)}) * 1000"
    columns = [f"{at} AS at", *(f"{g} AS {n}" for g, n in zip(groups, names, strict=True))]
    value, count = _aggregate(query.selection, query.statistic, source)
    keys = ", ".join(([] if is_total else ["at"]) + names)
    sql = (
        f"SELECT {', '.join(columns)}, {value} AS value, {count} AS n FROM {source}"
        f" WHERE {condition}"
        f"{f' GROUP BY {keys}' if keys else ''} HAVING n > 0"
        f" ORDER BY {', '.join(['at', *names])} LIMIT {query.limit + 1}"
    )
    return Question(sql, parameters)


def ask_latest(selection: Selection, group_by: tuple[str, ...], *, limit: int) -> Question:
    """Columns: at, the groups, value, n; the same of two values of one instant every time."""
    source = selection.table.value
    condition, parameters = _select(selection, source)
    kinds = selection.schema.dimensions
    groups = [
        f"{f'toString({name})' if kinds[name] is ColumnKind.TEXT else name} AS g{place}"
        for place, name in enumerate(group_by)
    ]
    names = [f"g{place}" for place in range(len(group_by))]
    measure = selection.measure
    columns = ["toUnixTimestamp64Milli(max(timestamp)) AS at", *groups]
    keys = ", ".join(names)
    sql = (
        f"SELECT {', '.join(columns)}, toFloat64(argMax({measure}, (timestamp, {measure})))"
        f" AS value, count() AS n FROM {source} WHERE {condition} AND {measure} IS NOT NULL"
        f"{f' GROUP BY {keys}' if names else ''} HAVING n > 0"
        f" ORDER BY {', '.join([*names, 'at'])} LIMIT {limit + 1}"
    )
    return Question(sql, parameters)


def ask_top(
    selection: Selection, *, dimension: str, statistic: Statistic, num_groups: int
) -> Question:
    """Columns: at, the group, value, n; the highest first, then by name."""
    query = RangeQuery(
        selection, statistic=statistic, resolution=Resolution.TOTAL, group_by=(dimension,)
    )
    question = ask_range(query)
    inner = question.sql.rpartition(" ORDER BY ")[0]
    sql = f"{inner} ORDER BY value DESC, g0 LIMIT {num_groups}"
    return Question(sql, question.parameters)


def ask_quantile(selection: Selection, *, level: float) -> Question:
    """One row: the quantile, and the number of samples; from the rollups where they hold it."""
    statistic = next((s for s, known in QUANTILE_LEVELS.items() if known == level), None)
    source = find_source(selection, Resolution.TOTAL)
    if statistic is None or selection.measure not in selection.schema.sketched:
        source = selection.table.value
    condition, parameters = _select(selection, source)
    if source == selection.table.value:
        value, count = (
            f"quantileExact({level!r})({selection.measure})",
            f"count({selection.measure})",
        )
    else:
        assert statistic is not None  # noqa: S101 - or the source were the raw table
        value, count = _aggregate(selection, statistic, source)
    return Question(f"SELECT {value}, {count} FROM {source} WHERE {condition}", parameters)


def find_source(
    selection: Selection, resolution: Resolution, group_by: tuple[str, ...] = ()
) -> str:
    """The coarsest table that can answer exactly."""
    level = resolution
    if level is Resolution.TOTAL:
        aligned = (r for r in (Resolution.DAY, Resolution.HOUR) if selection.is_aligned(BUCKETS[r]))
        level = next(aligned, Resolution.MINUTE)
    if level is Resolution.MINUTE:
        return selection.table.value
    rollup = f"{selection.table.value.removesuffix('_ts')}_{_ROLLUPS[level]}"
    is_summarized = selection.schema.summarized_by.issuperset({*group_by, *selection.where})
    return f"{rollup}_summary" if is_summarized else rollup


def _is_text(query: RangeQuery, name: str) -> bool:
    return query.selection.schema.dimensions[name] is ColumnKind.TEXT


def _get_bucket(query: RangeQuery, source: str) -> str:
    return _STARTS[query.resolution] if source == query.selection.table.value else "bucket"


def _select(selection: Selection, source: str) -> tuple[str, dict[str, Any]]:
    is_raw = source == selection.table.value
    at = "timestamp" if is_raw else "bucket"
    conditions = [
        "customer_id = {customer:UUID}",
        f"{at} >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')",
        f"{at} < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC')",
    ]
    parameters: dict[str, Any] = {
        "customer": str(selection.customer_id),
        "start": round(selection.start.timestamp() * 1000),
        "end": round(selection.end.timestamp() * 1000),
    }
    for place, (name, value) in enumerate(selection.where.items()):
        kind = selection.schema.dimensions[name]
        conditions.append(f"{name} = {{w{place}:{_PARAMETER_TYPES[kind]}}}")
        parameters[f"w{place}"] = bool(value) if kind is ColumnKind.FLAG else value
    return " AND ".join(conditions), parameters


def _aggregate(selection: Selection, statistic: Statistic, source: str) -> tuple[str, str]:
    """The value, and the number of samples, of what was grouped.

    From raw rows it is the aggregate that the rollups hold, so both give the same to the last bit.
    """
    measure = selection.measure
    is_raw = source == selection.table.value
    is_whole = selection.schema.measures[measure] is ColumnKind.COUNT
    count = f"count({measure})" if is_raw else f"sum({measure}_count)"
    argument = measure if is_whole else f"toDecimal128({measure}, 9)"
    total = f"toFloat64(sum({argument if is_raw else f'{measure}_sum'}))"
    match statistic:
        case Statistic.COUNT:
            value = f"toFloat64({count})"
        case Statistic.SUM:
            value = total
        case Statistic.MEAN:
            value = f"{total} / {count}"
        case Statistic.MIN | Statistic.MAX:
            column = measure if is_raw else f"{measure}_{statistic.value}"
            value = f"toFloat64({statistic.value}({column}))"
        case _:
            function, column = "quantilesDD", measure
            if not is_raw:
                function, column = "quantilesDDMerge", f"{measure}_sketch"
            value = f"{function}({SKETCH})({column})[{_PLACES[statistic]}]"
    return value, count
