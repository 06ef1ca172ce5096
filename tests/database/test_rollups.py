"""Series and their hours: every sample counted once, whenever it came and whoever wrote it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tests.factories.core import make_agent, make_customer
from tests.factories.resource_schema import make_resource_metric

from optiinfra.database import rollups
from optiinfra.database.bulk import copy_resource_samples
from optiinfra.database.driver import connecting
from optiinfra.database.engine import Database, Role, make_engine
from optiinfra.database.models import ResourceMetric, ResourceMetricDay, ResourceSeries
from optiinfra.database.repositories.resource_series import ResourceSeriesReader
from optiinfra.database.series import Series, compute_series_id
from optiinfra.domain.enums import ResourceType
from optiinfra.domain.errors import InputError

DAY = datetime(2026, 3, 1, tzinfo=UTC)
Samples = Sequence[tuple[Series, datetime, float]]


@pytest.fixture
def owners(database: Database) -> tuple[UUID, UUID]:
    """An agent and a customer."""
    with database.transaction() as session:
        return make_agent(session).id, make_customer(session).id


def make_series(owners: tuple[UUID, UUID], instance: str = "i-1") -> Series:
    return Series(owners[0], owners[1], instance, ResourceType.GPU, "utilization", "percent")


def write(url: str, samples: Samples) -> None:
    with connecting(url) as connection:
        copy_resource_samples(connection, samples, customers={s[0].customer_id for s in samples})


def roll_up_all(url: str) -> int:
    """How many days of series were written."""
    return rollups.bring_up_to_date(make_engine(url, is_pooled=False))[1]


def list_hours(database: Database, series: Series, *, num_days: int = 1) -> dict[int, tuple]:  # type: ignore[type-arg]
    """Number of samples, mean, lowest and highest by hours since DAY."""
    last = DAY.date() + timedelta(days=num_days - 1)
    with database.reading(role=Role.APP, customer_id=series.customer_id) as session:
        reader = ResourceSeriesReader(session, customer_id=series.customer_id)
        hours = reader.list_hours(compute_series_id(series), first=DAY.date(), last=last)
    return {
        round((hour.start - DAY) / timedelta(hours=1)): (
            hour.num_samples,
            hour.mean,
            hour.lowest,
            hour.highest,
        )
        for hour in hours
    }


NAMES = ("i-1", "ü", "1:a", "a1:", "a\x1f", " ", "\U0001f600", "x" * 100)


def test_python_and_postgresql_give_a_series_one_number(session: Session) -> None:
    query = text("SELECT compute_series_id(:customer, :agent, :instance, :kind, :metric, :unit)")
    numbers = set()
    for kind, instance, metric in product(ResourceType, NAMES, NAMES):
        series = Series(UUID(int=1), UUID(int=2**127), instance, kind, metric, "percent")
        values = {
            "customer": series.customer_id,
            "agent": series.agent_id,
            "instance": instance,
            "kind": kind.value,
            "metric": metric,
            "unit": series.unit,
        }
        number = session.execute(query, values).scalar_one()
        assert number == compute_series_id(series)
        numbers.add(number)
    assert len(numbers) == len(ResourceType) * len(NAMES) ** 2


def test_hours_are_the_samples_before_and_after_rolling_up(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    series = make_series(owners)
    rng = np.random.default_rng(3)
    times = sorted(float(t) for t in rng.uniform(0, 3 * 86_400, 500))
    samples = [(series, DAY + timedelta(seconds=t), float(rng.normal())) for t in times]
    write(fresh_url, samples)
    expected = {}
    for hour in range(72):
        values = [v for t, (_, _, v) in zip(times, samples, strict=True) if t // 3600 == hour]
        if values:
            mean = math.fsum(values) / len(values)
            expected[hour] = (len(values), pytest.approx(mean), min(values), max(values))
    assert list_hours(database, series, num_days=3) == expected
    assert roll_up_all(fresh_url) == 3
    assert list_hours(database, series, num_days=3) == expected


def test_a_late_sample_counts_before_and_after_its_day_is_rolled_up_again(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    series = make_series(owners)
    write(fresh_url, [(series, DAY, 1.0)])
    roll_up_all(fresh_url)
    write(fresh_url, [(series, DAY + timedelta(minutes=59), 3.0)])
    for _ in range(2):
        assert list_hours(database, series) == {0: (2, 2.0, 1.0, 3.0)}
        roll_up_all(fresh_url)


def test_what_a_writer_commits_while_days_are_rolled_up_is_not_lost(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    series = make_series(owners)
    write(fresh_url, [(series, DAY, 1.0)])
    with connecting(fresh_url) as writer:
        copy_resource_samples(writer, [(series, DAY, 5.0)], customers=[owners[1]])
        assert roll_up_all(fresh_url) == 1  # sees the first sample and its mark, not the second
    assert list_hours(database, series) == {0: (2, 3.0, 1.0, 5.0)}
    assert roll_up_all(fresh_url) == 1
    assert list_hours(database, series) == {0: (2, 3.0, 1.0, 5.0)}


def test_all_series_come_as_one_table_of_means(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    first, second = make_series(owners), make_series(owners, "i-2")
    write(
        fresh_url,
        [
            (first, DAY, 1.0),
            (first, DAY + timedelta(minutes=1), 2.0),
            (second, DAY + timedelta(hours=47), 7.0),
        ],
    )
    roll_up_all(fresh_url)
    write(fresh_url, [(second, DAY + timedelta(hours=30), 9.0)])
    with database.reading(role=Role.APP, customer_id=owners[1]) as session:
        reader = ResourceSeriesReader(session, customer_id=owners[1])
        found = reader.fetch_hourly_means(first=DAY.date(), last=DAY.date() + timedelta(days=1))
    by_number = dict(zip(found.series_ids.tolist(), found.mean, strict=True))
    assert found.start == DAY
    assert by_number[compute_series_id(first)][0] == 1.5
    assert by_number[compute_series_id(second)][47] == 7.0
    assert np.isnan(found.mean).sum() == 2 * 48 - 2
    assert found.pending_days == (date(2026, 3, 2),)


def test_latest_and_quantile_of_each_series(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    first, second = make_series(owners), make_series(owners, "i-2")
    many = [(first, DAY + timedelta(minutes=n), float(n)) for n in range(101)]
    write(fresh_url, [*many, (second, DAY - timedelta(days=40), 0.5)])
    with database.reading(role=Role.APP, customer_id=owners[1]) as session:
        reader = ResourceSeriesReader(session, customer_id=owners[1])
        latest = {sample.instance_id: sample for sample in reader.list_latest()}
        number = compute_series_id(first)
        p95 = reader.compute_quantile(number, 0.95, start=DAY, end=DAY + timedelta(days=1))
        none = reader.compute_quantile(number, 0.95, start=DAY - timedelta(days=1), end=DAY)
        assert reader.list_latest(limit=1) == list(
            sorted(latest.values(), key=lambda sample: sample.series_id)[:1]
        )
    assert (latest["i-1"].at, latest["i-1"].value) == (many[-1][1], 100.0)
    assert (latest["i-2"].value, latest["i-2"].resource_type) == (0.5, ResourceType.GPU)
    assert (p95, none) == (95.0, None)


def test_a_tenant_reads_no_series_of_another(
    fresh_url: str, database: Database, owners: tuple[UUID, UUID]
) -> None:
    with database.transaction() as session:
        other = make_customer(session).id
    series = make_series(owners)
    write(fresh_url, [(series, DAY, 1.0)])
    roll_up_all(fresh_url)
    with database.reading(role=Role.APP, customer_id=other) as session:
        reader = ResourceSeriesReader(session, customer_id=owners[1])  # asks for another's
        assert reader.list_latest() == []
        number = compute_series_id(series)
        assert reader.list_hours(number, first=DAY.date(), last=DAY.date()) == []
        assert reader.fetch_hourly_means(first=DAY.date(), last=DAY.date()).mean.size == 0
        assert session.execute(text("SELECT count(*) FROM resource_metric_hours")).scalar() == 0


def test_rows_that_no_writer_wrote_are_adopted(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for n in range(3):
        at = DAY + timedelta(hours=n)
        make_resource_metric(session, customer, agent, timestamp=at, instance_id=f"i-{n % 2}")
    connection = session.connection()
    assert rollups.adopt_series(connection, limit=2) == 2
    assert rollups.adopt_series(connection) == 1
    assert rollups.adopt_series(connection) == 0
    assert rollups.roll_up(connection) == rollups.RolledUp(1, 2)
    session.expire_all()
    numbers = set(session.scalars(select(ResourceSeries.id)))
    assert set(session.scalars(select(ResourceMetric.series_id))) == numbers
    days = {day.series_id: day for day in session.scalars(select(ResourceMetricDay))}
    assert sorted(sum(day.num_samples) for day in days.values()) == [1, 2]


def test_a_number_too_large_to_add_does_not_stop_the_others(session: Session) -> None:
    customer, agent = make_customer(session), make_agent(session)
    for value in (1.7e308, 1.7e308, 4.0):
        make_resource_metric(session, customer, agent, timestamp=DAY, metric_value=value)
    connection = session.connection()
    rollups.adopt_series(connection)
    rollups.roll_up(connection)
    day = session.scalars(select(ResourceMetricDay)).one()
    assert (day.num_samples[0], day.value_mean[0], day.hours) == (1, 4.0, 1)


@pytest.mark.parametrize("last", [date(2026, 2, 28), date(2028, 3, 1)])
def test_a_range_of_no_days_or_of_years_is_refused(session: Session, last: date) -> None:
    reader = ResourceSeriesReader(session, customer_id=make_customer(session).id)
    with pytest.raises(InputError, match="days"):
        reader.fetch_hourly_means(first=DAY.date(), last=last)
