"""Notifications as a wake-up: whoever waits looks again, notified or not."""

from __future__ import annotations

import threading
import time
from typing import Final

import psycopg
from psycopg import sql

from optiinfra.database.address import get_connect_arguments, parse_url
from optiinfra.database.driver import make_plain_url

POLL_S: Final = 0.25  # how long a lost notification, or a pooler that passes none, can cost


class Listener:
    """A connection of its own that hears one channel; threads take turns on it."""

    def __init__(self, url: str, channel: str) -> None:
        self._address = parse_url(url)
        self._channel = channel
        self._connection: psycopg.Connection | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Hear from now on what is notified; where that fails, waiting is polling."""
        with self._lock:
            self._open()

    def wait(self, timeout_s: float) -> None:
        """Return when something was notified since the last call, or after that time at most."""
        end = time.monotonic() + min(timeout_s, POLL_S)
        with self._lock:
            try:
                self._open()
                if self._connection is not None:
                    for _ in self._connection.notifies(
                        timeout=max(0.0, end - time.monotonic()), stop_after=1
                    ):
                        return
            except psycopg.Error:
                self._drop()
        left = end - time.monotonic()
        if left > 0:
            time.sleep(left)

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    def _open(self) -> None:
        if self._connection is not None and not self._connection.closed:
            return
        try:
            self._connection = psycopg.connect(
                make_plain_url(self._address),
                password=self._address.password,
                autocommit=True,
                **get_connect_arguments(self._address),
            )
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
