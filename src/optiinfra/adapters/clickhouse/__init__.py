"""The metric store on ClickHouse: a server, or chDB in this process, by the same client."""

from optiinfra.adapters.clickhouse.migrating import migrate
from optiinfra.adapters.clickhouse.store import ClickHouseStore, open_store

__all__ = ["ClickHouseStore", "migrate", "open_store"]
