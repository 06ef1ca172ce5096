"""How long a change of the schema waits for locks that others hold, and how often it asks again.

Whoever waits for a strong lock keeps everybody behind it waiting as well. So nothing waits for one
longer than LOCK_TIMEOUT: well under the second after which PostgreSQL looks for a deadlock, and
under the one that a writer may be kept waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from optiinfra.database.failures import get_sqlstate

LOCK_TIMEOUT: Final = "200ms"
MAINTENANCE_TIMEOUT: Final = "60s"  # for locks that stop no writer; autovacuum gives way in 1 s
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, *(5.0,) * 20)  # between attempts
_BUSY: Final = ("55P03", "40P01")  # a lock that was not had in time, a deadlock
Done = TypeVar("Done")


def is_busy(error: DBAPIError) -> bool:
    """Whether others were in the way, so that it is worth asking again."""
    return error.orig is not None and get_sqlstate(error.orig) in _BUSY


def insist(action: Callable[[], Done]) -> Done:
    """What `action` returns, as soon as nobody is in its way; its last error after all attempts.

    It must leave nothing behind when it fails, or be of use when it is run again.
    """
    for pause_s in PAUSES_S:
        try:
            return action()
        except DBAPIError as error:
            if not is_busy(error):
                raise
        time.sleep(pause_s)
    return action()
