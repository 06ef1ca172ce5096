"""Asking a Prometheus server, with limits on time, size and where the answer may come from."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from optiinfra.domain.errors import InputError

MAX_RESPONSE_BYTES = 64 * 2**20
DEADLINE_S = 60.0  # of one query, from the request to the last byte
Parameters = list[tuple[str, str | int | float | bool | None]]  # as httpx takes them
_TOO_MANY = "too many samples"  # what it says of a query beyond --query.max-samples
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class AnswerTooLargeError(InputError):
    """An answer that is too large for us or for Prometheus; a shorter range may do."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus server, or anything that answers as one. Redirects are not followed."""

    url: httpx.URL
    http: httpx.Client

    @property
    def name(self) -> str:
        """The address without user name, password and query."""
        return _name(self.url)

    def fetch(self, path: str, parameters: Parameters) -> Any:
        """The `data` of an answer of the HTTP API.

        Raises:
            InputError: cannot be reached, does not answer in time or as Prometheus, or says no;
                AnswerTooLargeError where that is the reason.
        """
        address = self.url.copy_with(path=self.url.path.rstrip("/") + path, query=None)
        try:
            status, body = self._read(address, parameters)
        except httpx.TimeoutException as error:
            raise self._make_error(
                "does not answer in time.",
                "Ask for a shorter range, or see whether it is overloaded.",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._make_error(
                f"cannot be reached ({type(error).__name__}: {error}).",
                "Check the address and that it can be reached from here.",
            ) from error
        return self._unwrap(status, body)

    def _read(self, address: httpx.URL, parameters: Parameters) -> tuple[int, bytes]:
        deadline_s = time.monotonic() + DEADLINE_S
        chunks: list[bytes] = []
        num_bytes = 0
        query = httpx.QueryParams(parameters)
        with self.http.stream("GET", address, params=query, follow_redirects=False) as response:
            if response.is_redirect:
                target = _name(response.url.join(response.headers.get("location", "")))
                raise self._make_error(
                    f"redirects to {target}.", "Redirects are not followed: give that address."
                )
            for chunk in response.iter_bytes(2**16):
                chunks.append(chunk)
                num_bytes += len(chunk)
                if num_bytes > MAX_RESPONSE_BYTES:
                    raise AnswerTooLargeError(
                        f"Prometheus at {self.name} answers with more than"
                        f" {MAX_RESPONSE_BYTES // 2**20} MiB.",
                        remedy="Ask for a shorter range or name the model.",
                    )
                if time.monotonic() > deadline_s:
                    raise self._make_error(
                        f"takes more than {DEADLINE_S:.0f} s to answer.", "Ask for a shorter range."
                    )
            return response.status_code, b"".join(chunks)

    def _unwrap(self, status: int, body: bytes) -> Any:
        if status in {401, 403}:
            raise self._make_error(
                f"refuses access (HTTP {status}).", "Give credentials: https://USER:PASSWORD@HOST."
            )
        try:
            answer = json.loads(body)
            is_success = answer["status"] == "success"
            data = answer["data"] if is_success else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._make_error(
                f"does not answer as Prometheus does (HTTP {status}).",
                "Give the address of its HTTP API, without /api/v1.",
            ) from error
        if not is_success and _TOO_MANY in str(answer.get("error")):
            raise AnswerTooLargeError(
                f"Prometheus at {self.name} says: {str(answer.get('error'))[:300]}.",
                remedy="Ask for a shorter range, or repair it.",
            )
        if not is_success:
            raise self._make_error(
                f"says: {str(answer.get('error'))[:300]}", "Ask for a shorter range, or repair it."
            )
        return data

    def _make_error(self, problem: str, remedy: str) -> InputError:
        return InputError(f"Prometheus at {self.name} {problem}", remedy=remedy)


def make_url(text: str) -> httpx.URL:
    """The address, checked.

    Raises:
        InputError: not an http or https address with a host.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(
            "the Prometheus address cannot be read.", remedy="Write http://HOST:9090."
        ) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError(
            f"the Prometheus address {_name(url)!r} is not http or https.",
            remedy="Write http://HOST:9090.",
        )
    return url


def make_http() -> httpx.Client:
    """A client with timeouts on every operation."""
    return httpx.Client(timeout=_TIMEOUT)


def _name(url: httpx.URL) -> str:
    return str(url.copy_with(username="", password="", query=None, fragment=None))
