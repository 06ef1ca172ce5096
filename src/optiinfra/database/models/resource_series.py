"""Beside the specification's tables: series of resource metrics, and their hours rolled up."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    String,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from optiinfra.database.models.base import Base, CreatedMixin, make_enum_type
from optiinfra.domain.enums import ResourceType


class ResourceSeries(CreatedMixin, Base):
    """One metric of one resource of one instance, as one agent reports it."""

    __tablename__ = "resource_series"

    customer_id: Mapped[UUID] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, doc="a hash of all that it is"
    )
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    instance_id: Mapped[str] = mapped_column(String(255), doc="as the cloud names it")
    resource_type: Mapped[ResourceType] = mapped_column(
        make_enum_type(ResourceType, "resource_type")
    )
    metric_name: Mapped[str] = mapped_column(String(100))
    unit: Mapped[str] = mapped_column(String(50), doc="of its values, such as percent")


class ResourceMetricDay(Base):
    """24 hours of one series, in UTC; where an hour has no samples, its mean is 0."""

    __tablename__ = "resource_metric_days"
    __table_args__ = (
        ForeignKeyConstraint(
            ["customer_id", "series_id"],
            ["resource_series.customer_id", "resource_series.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(
            "hours > 0 AND hours < 1 << 24"
            " AND cardinality(num_samples) = 24 AND cardinality(value_mean) = 24"
            " AND cardinality(value_min) = 24 AND cardinality(value_max) = 24"
            " AND array_position(num_samples, NULL) IS NULL"
            " AND array_position(value_mean, NULL) IS NULL",
            name="check_hours_of_day",
        ),
        Index("ix_resource_metric_days_customer_day", "customer_id", "day"),
    )

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(primary_key=True)
    hours: Mapped[int] = mapped_column(doc="bit h is set where hour h has samples")
    num_samples: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    value_mean: Mapped[list[float]] = mapped_column(ARRAY(Double))
    value_min: Mapped[list[float | None]] = mapped_column(ARRAY(Double))
    value_max: Mapped[list[float | None]] = mapped_column(ARRAY(Double))


class ResourceRollupMark(Base):
    """A day of a customer that has samples which are not rolled up yet."""

    __tablename__ = "resource_rollup_marks"
    __table_args__ = (Index("ix_resource_rollup_marks_customer_id_day", "customer_id", "day"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    day: Mapped[date]
