"""A trace changed on purpose: rate, lengths, time, bursts. Every change leaves a note. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.changes import LoadBurst, RegimeChange, TimeWarp, check_factor
from optiinfra.twin.workload.prefixes import (
    append_prefix_hashes,
    fit_prefix_hashes,
    take_prefix_hashes,
)

_MAX_TOKENS = 10_000_000


def scale_rate(trace: Trace, factor: float) -> Trace:
    """The same requests arriving `factor` times as fast: every gap is divided by it."""
    check_factor(factor)
    if factor == 1.0:
        return trace
    return replace(
        trace,
        arrival_s=trace.arrival_s / factor,
        notes=(*trace.notes, f"arrivals scaled: {factor:g} times the rate"),
    )


def scale_lengths(trace: Trace, factor: float) -> Trace:
    """The same arrivals with prompts and outputs `factor` times as long, rounded, at least 1.

    Prefix hashes follow: a shorter prompt loses its last blocks and the rest stays shared; the
    blocks added to a longer one are shared by nobody.
    """
    check_factor(factor)
    if factor == 1.0:
        return trace
    scaled = scale_tokens(trace, factor, factor)
    return replace(scaled, notes=(*trace.notes, f"prompts and outputs scaled by {factor:g}"))


def cap_lengths(trace: Trace, max_tokens: int) -> Trace:
    """The same requests, none longer than `max_tokens` in all: prompts lose what is too much.

    An output longer than that is cut to `max_tokens` - 1. Raises ValueError below 2 tokens.
    """
    if max_tokens < 2:  # noqa: PLR2004 - one prompt token and one output token
        raise ValueError("a request has at least two tokens")
    outputs = np.minimum(trace.output_tokens, max_tokens - 1)
    prompts = np.minimum(trace.prompt_tokens, max_tokens - outputs)
    num_cut = int(((prompts < trace.prompt_tokens) | (outputs < trace.output_tokens)).sum())
    if num_cut == 0:
        return trace
    hashes = trace.prefix_hashes
    return replace(
        trace,
        prompt_tokens=prompts,
        output_tokens=outputs,
        prefix_hashes=None if hashes is None else fit_prefix_hashes(hashes, prompts),
        notes=(*trace.notes, f"{num_cut} requests cut to {max_tokens} tokens"),
    )


def shift_time(trace: Trace, shift_s: float) -> Trace:
    """The same day begun elsewhere: what came at t comes at t + `shift_s`, around the span's end.

    A negative shift is an earlier time. The span stays, but for the gap before the first request.
    """
    if not np.isfinite(shift_s):
        message = f"time is not shifted by {shift_s} s"
        raise ValueError(message)
    if trace.span_s == 0 or shift_s % trace.span_s == 0:
        return trace
    moved_s = (trace.arrival_s + shift_s) % trace.span_s
    order = np.argsort(moved_s, kind="stable")
    return _take(trace, order, moved_s[order], f"shifted by {shift_s:g} s, around the end")


def warp_time(trace: Trace, warp: TimeWarp) -> Trace:
    """The same requests, slower here and faster there."""
    if np.array_equal(warp.from_s, warp.to_s):
        return trace
    return replace(
        trace, arrival_s=warp.move(trace.arrival_s), notes=(*trace.notes, warp.describe())
    )


def inject_burst(trace: Trace, burst: LoadBurst, rng: np.random.Generator) -> Trace:
    """The trace with more requests, or fewer, for a while.

    Added requests have the lengths of requests drawn from that while, come at even random instants
    in it, and share no prefix with anybody; the trace is synthetic from then on. Below a factor of
    1 each request stays by chance.
    Raises ValueError where nothing arrives in that while or nothing would be left.
    """
    inside = (trace.arrival_s >= burst.at_s) & (trace.arrival_s < burst.ends_at_s)
    num_inside = int(inside.sum())
    if num_inside == 0:
        message = f"no request comes between {burst.at_s:g} s and {burst.ends_at_s:g} s"
        raise ValueError(message)
    note = burst.describe()
    if burst.factor <= 1:
        keep = ~inside | (rng.random(trace.num_requests) < burst.factor)
        if not keep.any():
            message = "no request would be left"
            raise ValueError(message)
        kept = np.flatnonzero(keep)
        return _take(trace, kept, trace.arrival_s[kept], note)
    num_added = round(num_inside * (burst.factor - 1))
    like = rng.choice(np.flatnonzero(inside), num_added)
    end_s = min(burst.ends_at_s, trace.span_s)
    all_s = np.concatenate((trace.arrival_s, rng.uniform(burst.at_s, end_s, num_added)))
    hashes = trace.prefix_hashes
    prompts = trace.prompt_tokens[like]
    more = replace(
        trace,
        arrival_s=np.concatenate((trace.arrival_s, np.full(num_added, trace.span_s))),
        prompt_tokens=np.concatenate((trace.prompt_tokens, prompts)),
        output_tokens=np.concatenate((trace.output_tokens, trace.output_tokens[like])),
        is_synthetic=True,
        prefix_hashes=None if hashes is None else append_prefix_hashes(hashes, prompts),
    )
    order = np.argsort(all_s, kind="stable")
    return _take(more, order, all_s[order], note)


def change_regime(trace: Trace, change: RegimeChange) -> Trace:
    """The trace as it is until then, and after that at another rate and with other lengths.

    A rate factor of 2 halves the gaps after the change, so the trace ends earlier.
    """
    after = trace.arrival_s >= change.at_s
    moved_s = change.at_s + (trace.arrival_s - change.at_s) / change.rate_factor
    changed = scale_tokens(
        trace,
        np.where(after, change.prompt_factor, 1.0),
        np.where(after, change.output_factor, 1.0),
    )
    return replace(
        changed,
        arrival_s=np.where(after, moved_s, trace.arrival_s),
        notes=(*trace.notes, change.describe()),
    )


def scale_tokens(
    trace: Trace,
    prompt_factor: float | NDArray[np.float64],
    output_factor: float | NDArray[np.float64],
) -> Trace:
    """The trace with lengths times factors, one for all or one a request; prefixes follow."""
    prompts = scale_counts(trace.prompt_tokens, prompt_factor)
    hashes = trace.prefix_hashes
    return replace(
        trace,
        prompt_tokens=prompts,
        output_tokens=scale_counts(trace.output_tokens, output_factor),
        prefix_hashes=None if hashes is None else fit_prefix_hashes(hashes, prompts),
    )


def scale_counts(
    tokens: NDArray[np.int32], factor: float | NDArray[np.float64]
) -> NDArray[np.int32]:
    """Token counts times a factor, rounded, from 1 to 10 million."""
    return np.asarray(np.clip(np.rint(tokens * factor), 1, _MAX_TOKENS), np.int32)


def _take(
    trace: Trace, requests: NDArray[np.int64], arrival_s: NDArray[np.float64], note: str
) -> Trace:
    """Some requests of a trace in another order and at other times, the first of them at 0."""
    hashes = trace.prefix_hashes
    return replace(
        trace,
        arrival_s=arrival_s - arrival_s[0],
        prompt_tokens=trace.prompt_tokens[requests],
        output_tokens=trace.output_tokens[requests],
        prefix_hashes=None if hashes is None else take_prefix_hashes(hashes, requests),
        notes=(*trace.notes, note),
    )
