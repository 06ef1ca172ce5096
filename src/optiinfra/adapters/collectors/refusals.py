"""Why something that was sent to us is not taken, with what HTTP says for it."""

from __future__ import annotations

from enum import IntEnum

from optiinfra.domain.errors import InputError


class Refusal(IntEnum):
    """The HTTP status that tells a sender what to do; none of these is worth a retry."""

    BAD_CONTENT = 400
    TOO_LARGE = 413
    UNSUPPORTED_TYPE = 415


class RefusedError(InputError):
    """A request that is refused whole."""

    def __init__(self, refusal: Refusal, problem: str) -> None:
        super().__init__(problem, remedy="Send Prometheus remote write 1.0 or OTLP metrics.")
        self.refusal = refusal
