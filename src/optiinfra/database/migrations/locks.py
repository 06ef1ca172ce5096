"""How long a schema change waits for locks that others hold, and how often it asks again.

Whoever waits for a strong lock keeps everybody behind it waiting as well. So nothing waits for one
longer than LOCK_TIMEOUT: well under the second after which PostgreSQL looks for a deadlock, and
under the one that a writer may be kept waiting.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError

from optiinfra.database.failures import get_sqlstate

LOCK_TIMEOUT: Final = "200ms"
MAINTENANCE_TIMEOUT: Final = "60s"  # for locks that stop no writer; autovacuum gives way in 1 s
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, *(5.0,) * 20)  # between attempts
_BUSY: Final = ("55P03", "40P01")  # a lock that was not had in time, a deadlock


def is_busy(error: DBAPIError) -> bool:
    """Whether others were in the way, so that it is worth asking again."""
    return error.orig is not None and get_sqlstate(error.orig) in _BUSY
