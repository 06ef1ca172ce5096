"""Why single samples, or a whole target, could not be used. Counted, never guessed around."""

from __future__ import annotations

from enum import StrEnum


class ReadingProblem(StrEnum):
    """What was wrong with samples that were left out; the rest of their page was used."""

    NOT_FINITE = "not_finite"  # NaN or infinity
    TIMESTAMP_AHEAD = "timestamp_ahead"  # more than five minutes in the future, or no instant
    TIMESTAMP_OLD = "timestamp_old"  # more than an hour in the past; sent to us: more than 398 days
    DUPLICATE_SERIES = "duplicate_series"  # named before on the same page; the first one counts
    COUNTER_NEGATIVE = "counter_negative"
    COUNTER_RESET = "counter_reset"  # fell: counted from zero again
    BUCKETS_INCOMPLETE = "buckets_incomplete"  # no bucket +Inf: no quantiles
    BUCKET_DECREASES = "bucket_decreases"  # less at or below a higher edge: no quantiles
    UNKNOWN_SOURCE = "unknown_source"  # a page without a single name that is known


class TargetProblem(StrEnum):
    """Why nothing of a target could be read: it is unknown."""

    URL = "url"  # not an http or https address
    NOT_RESOLVED = "not_resolved"  # a name without an address
    ADDRESS = "address_not_allowed"
    REDIRECT = "redirect_not_allowed"
    UNREACHABLE = "unreachable"
    BROKEN_OFF = "broken_off"  # the answer ends early or is not HTTP
    DEADLINE = "deadline"
    TOO_LARGE = "too_large"
    STATUS = "http_status"
    CONTENT_TYPE = "content_type"
    CONTENT_CODING = "content_coding"
    UNEXPECTED = "unexpected"  # a fault of ours, which is logged; it stays with this target
    ENCODING = "encoding"  # from here on as PageProblem
    SYNTAX = "syntax"
    MEANING = "meaning"
    TOO_MANY_SERIES = "too_many_series"


class TargetError(Exception):
    """A target could not be read; the message is for people and holds no credentials."""

    def __init__(self, problem: TargetProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
