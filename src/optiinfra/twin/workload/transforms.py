"""A trace changed on purpose: its rate, its lengths. Every change leaves a note. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optiinfra.domain.trace import Trace
from optiinfra.twin.workload.prefixes import fit_prefix_hashes

_MAX_TOKENS = 10_000_000


def scale_rate(trace: Trace, factor: float) -> Trace:
    """The same requests arriving `factor` times as fast: every gap is divided by it."""
    _check_factor(factor)
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
    _check_factor(factor)
    if factor == 1.0:
        return trace
    prompts, outputs = (
        np.clip(np.rint(tokens * factor), 1, _MAX_TOKENS).astype(np.int32)
        for tokens in (trace.prompt_tokens, trace.output_tokens)
    )
    hashes = trace.prefix_hashes
    return replace(
        trace,
        prompt_tokens=prompts,
        output_tokens=outputs,
        prefix_hashes=None if hashes is None else fit_prefix_hashes(hashes, prompts),
        notes=(*trace.notes, f"prompts and outputs scaled by {factor:g}"),
    )


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


def _check_factor(factor: float) -> None:
    if not (np.isfinite(factor) and factor > 0):
        message = f"a scale factor is positive, not {factor}"
        raise ValueError(message)
