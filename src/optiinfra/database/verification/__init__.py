"""Where a live schema differs from what the migrations make and from what the models expect."""

from __future__ import annotations

from optiinfra.database.verification.comparison import compare_catalogues
from optiinfra.database.verification.difference import Difference
from optiinfra.database.verification.scratch import PREFIX as SCRATCH_PREFIX
from optiinfra.database.verification.verifying import compare_catalogue, verify

__all__ = [
    "SCRATCH_PREFIX",
    "Difference",
    "compare_catalogue",
    "compare_catalogues",
    "verify",
]
