"""One customer out of one database and into another, or out of the world."""

from __future__ import annotations

from optiinfra.database.transfer.exporting import export_customer
from optiinfra.database.transfer.importing import import_customer
from optiinfra.database.transfer.purging import purge_customer
from optiinfra.database.transfer.report import Transfer

__all__ = ["Transfer", "export_customer", "import_customer", "purge_customer"]
