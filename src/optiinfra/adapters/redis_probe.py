"""A key written to Redis or Valkey and read back; it ends within a minute."""

from __future__ import annotations

import secrets

from optiinfra.domain.errors import PackageMissingError, StoreAwayError, StoreError

_TIMEOUT_S = 5.0


def probe(url: str) -> str:
    """The server's version, after it wrote and read back. Raises StoreError."""
    try:
        import redis
    except ImportError as error:
        raise PackageMissingError("redis", purpose="Redis or Valkey") from error
    word = secrets.token_hex(8)
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as client:
            client.set(f"optiinfra:probe:{word}", word, ex=60)
            found = client.getdel(f"optiinfra:probe:{word}")
            about = client.info("server")
    except redis.RedisError as error:
        raise StoreAwayError(
            f"Redis does not answer: {error}.",
            remedy="Start it with `optiinfra up`, or look at OPTIINFRA_REDIS_URL.",
        ) from error
    if found != word.encode():
        raise StoreError(
            "Redis did not give back what was written.", remedy="Look at its log and its memory."
        )
    valkey = about.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {about['redis_version']}"
