"""Hours of resource metrics: rolled up day by day, from the samples as they are at that moment.

Writers leave a mark a customer and day with their samples. Rolling up takes marks and reads samples
in one statement, so in one snapshot: a mark that it sees came with samples that it sees, and a
writer that commits later leaves a mark that it does not see and the next run does. A day that is
not over is rolled up as far as it is, and again later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

MAX_DAYS: Final = 64  # of customers, in one transaction
MAX_ROWS: Final = 20_000  # that are given their series in one transaction
LAST_POSSIBLE: Final = (1 << 63) - 1
_TURN: Final = 7_263_018_244_115_903  # any constant that nobody else uses
# A mean of numbers beyond this could overflow, and then no day would be rolled up any more.
_LARGEST: Final = "1e290"

_ROLL_UP: Final = text(f"""
    WITH batch AS MATERIALIZED (
        SELECT DISTINCT customer_id, day FROM resource_rollup_marks WHERE id <= :last
        ORDER BY day, customer_id LIMIT :limit
    ), taken AS (
        DELETE FROM resource_rollup_marks m USING batch b
        WHERE m.customer_id = b.customer_id AND m.day = b.day
    ), hours AS (
        SELECT b.customer_id, b.day, m.series_id,
               extract(hour FROM m."timestamp" AT TIME ZONE 'UTC')::integer AS hour,
               count(*)::integer AS num_samples, avg(m.metric_value) AS value_mean,
               min(m.metric_value) AS value_min, max(m.metric_value) AS value_max
        FROM batch b JOIN resource_metrics m ON m.customer_id = b.customer_id
             AND m."timestamp" >= b.day::timestamp AT TIME ZONE 'UTC'
             AND m."timestamp" < (b.day + 1)::timestamp AT TIME ZONE 'UTC'
        WHERE m.series_id IS NOT NULL AND abs(m.metric_value) < {_LARGEST}
        GROUP BY 1, 2, 3, 4
    ), written AS (
        INSERT INTO resource_metric_days AS d (customer_id, series_id, day, hours, num_samples,
                                               value_mean, value_min, value_max)
        SELECT s.customer_id, s.series_id, s.day,
               coalesce(sum(1 << n.hour) FILTER (WHERE h.num_samples > 0), 0),
               array_agg(coalesce(h.num_samples, 0) ORDER BY n.hour),
               array_agg(coalesce(h.value_mean, 0) ORDER BY n.hour),
               array_agg(h.value_min ORDER BY n.hour), array_agg(h.value_max ORDER BY n.hour)
        FROM (SELECT DISTINCT customer_id, day, series_id FROM hours) s
             CROSS JOIN generate_series(0, 23) n (hour)
             LEFT JOIN hours h ON (h.customer_id, h.day, h.series_id, h.hour)
                                = (s.customer_id, s.day, s.series_id, n.hour)
        GROUP BY 1, 2, 3
        ON CONFLICT (customer_id, series_id, day) DO UPDATE
        SET hours = excluded.hours, num_samples = excluded.num_samples,
            value_mean = excluded.value_mean, value_min = excluded.value_min,
            value_max = excluded.value_max
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM written)""")  # noqa: S608
_COUNT_OPEN: Final = text("SELECT count(*) FROM resource_metrics WHERE series_id IS NULL")
_LAST_MARK: Final = text("SELECT coalesce(max(id), 0) FROM resource_rollup_marks")
_ADOPT: Final = text("""
    WITH batch AS MATERIALIZED (
        SELECT id, "timestamp", customer_id, agent_id, instance_id, resource_type, metric_name,
               unit, compute_series_id(customer_id, agent_id, instance_id, resource_type::text,
                                       metric_name, unit) AS series_id
        FROM resource_metrics WHERE series_id IS NULL ORDER BY "timestamp", id LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), made AS (
        INSERT INTO resource_series (customer_id, id, agent_id, instance_id, resource_type,
                                     metric_name, unit)
        SELECT DISTINCT customer_id, series_id, agent_id, instance_id, resource_type, metric_name,
               unit FROM batch
        ON CONFLICT DO NOTHING
    ), marked AS (
        INSERT INTO resource_rollup_marks (customer_id, day)
        SELECT DISTINCT customer_id, ("timestamp" AT TIME ZONE 'UTC')::date FROM batch
    ), adopted AS (
        UPDATE resource_metrics m SET series_id = b.series_id FROM batch b
        WHERE m.id = b.id AND m."timestamp" = b."timestamp" RETURNING 1
    )
    SELECT count(*) FROM adopted""")


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What one transaction did: days of customers, and days of series that these came to."""

    num_customer_days: int
    num_series_days: int


def bring_up_to_date(engine: Engine) -> tuple[int, int]:
    """Adopt and roll up what is there now, a transaction a batch; samples, and days of series.

    What comes meanwhile is left to the next run, so that it ends.
    """
    num_adopted = num_days = 0
    with engine.begin() as connection:
        num_open = connection.execute(_COUNT_OPEN).scalar_one()
    while num_adopted < num_open:
        with engine.begin() as connection:
            adopted = adopt_series(connection)
        if not adopted:
            break
        num_adopted += adopted
    with engine.begin() as connection:
        last = connection.execute(_LAST_MARK).scalar_one()
    is_done = False
    while not is_done:
        with engine.begin() as connection:
            done = roll_up(connection, last=last)
        num_days += done.num_series_days
        is_done = done.num_customer_days == 0
    return num_adopted, num_days


def roll_up(
    connection: Connection, *, last: int = LAST_POSSIBLE, limit: int = MAX_DAYS
) -> RolledUp:
    """Roll up marked days, the earliest first, in the caller's transaction.

    Only days with a mark of at most that number. One process at a time; others wait.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
    # A statement of its own, with a snapshot taken after the wait.
    days, series = connection.execute(_ROLL_UP, {"limit": min(limit, MAX_DAYS), "last": last}).one()
    return RolledUp(num_customer_days=days, num_series_days=series)


def adopt_series(connection: Connection, *, limit: int = MAX_ROWS) -> int:
    """Give rows that no bulk writer wrote their series; how many. Until it returns 0."""
    return int(connection.execute(_ADOPT, {"limit": min(limit, MAX_ROWS)}).scalar_one())
