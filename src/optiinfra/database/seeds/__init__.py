"""An example of everything: the same rows with the same ids and times, however often it is run."""

from __future__ import annotations

from optiinfra.database.seeds.planting import seed

__all__ = ["seed"]
