"""A connection to Redis or Valkey, and its errors as ours; the library is imported on demand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from optiinfra.domain.errors import PackageMissingError, StoreAwayError, StoreError

if TYPE_CHECKING:
    from redis import Redis

TIMEOUT_S: Final = 5.0
MAX_CONNECTIONS: Final = 50
_SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")
_CHECK: Final = "Check that the server runs and can be reached from here."


def connect(url: str, *, is_text: bool = True) -> Redis:
    """A client of that server, which connects when first used. StoreError for a URL it cannot use.

    redis://, rediss:// and unix:// are taken, and valkey:// for redis://. What comes back is text,
    or bytes unless `is_text`.
    """
    try:
        from redis import Redis
        from redis.backoff import ExponentialWithJitterBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise PackageMissingError("redis", purpose="Redis or Valkey") from error
    if urlsplit(url).scheme not in _SCHEMES:
        raise StoreError(
            f"The Redis URL does not begin with one of {', '.join(_SCHEMES)}.",
            remedy="Write it like redis://:password@host:6379/0.",
        )
    try:
        return Redis.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            decode_responses=is_text,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            max_connections=MAX_CONNECTIONS,
            retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2),
        )
    except ValueError as error:
        # The cause is not shown: a password may stand in what cannot be read.
        raise StoreError(
            "The Redis URL cannot be read.", remedy="Write it like redis://:password@host:6379/0."
        ) from error


def get_name(url: str) -> str:
    """Where the server is, without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise StoreError for whatever the library raises in the block."""
    from redis import exceptions

    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise StoreAwayError(f"Redis at {name} does not answer: {error}.", remedy=_CHECK) from error
    except exceptions.RedisError as error:
        raise StoreError(
            f"Redis at {name} refused: {error}.",
            remedy="Redis 7 or Valkey 8 is needed, with memory to spare and a user who may use"
            " streams and scripts.",
        ) from error
