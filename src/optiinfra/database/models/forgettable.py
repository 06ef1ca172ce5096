"""Beside the specification's tables: what processes share and may be forgotten at any time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from optiinfra.database.models.base import IN_TRANSIT, Base


class CacheEntry(Base):
    """A value that was computed, until its time is over. Unlogged: empty after a crash."""

    __tablename__ = "cache_entries"
    __table_args__ = ({"prefixes": ["UNLOGGED"], "info": {IN_TRANSIT: True}},)

    key: Mapped[str] = mapped_column(String(240), primary_key=True, doc="with whose it is")
    customer_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("customers.id", ondelete="CASCADE"), index=True, doc="NULL: nobody's alone"
    )
    value: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RateBucket(Base):
    """A bucket of tokens that is not full. Unlogged: all are full after a crash."""

    __tablename__ = "rate_buckets"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    full_at_us: Mapped[int] = mapped_column(
        BigInteger, index=True, doc="when it will be full again, microseconds since 1970"
    )
