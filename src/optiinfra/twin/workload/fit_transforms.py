"""A fitted workload changed on purpose, before anything is drawn from it. Pure.

The same changes as on a trace, with one difference: a fit keeps its clock. Twice the rate of a
trace is the same requests in half the time; of a fit it is twice the requests in every hour.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optiinfra.twin.workload.changes import LoadBurst, RegimeChange, TimeWarp, check_factor
from optiinfra.twin.workload.fit import WorkloadFit
from optiinfra.twin.workload.lengths import JointLengths
from optiinfra.twin.workload.rate import RateCurve

_MAX_TOKENS = 10_000_000
_SHARP_S = 1e-3  # within which a rate jumps, as a curve has no two rates at one instant


def scale_fit_rate(fit: WorkloadFit, factor: float) -> WorkloadFit:
    """`factor` times the requests at every hour; how they spread around the rate stays."""
    check_factor(factor)
    if factor == 1.0:
        return fit
    rate = replace(fit.rate, rate_per_s=fit.rate.rate_per_s * factor)
    return fit.with_note(f"rate scaled by {factor:g}", rate=rate)


def scale_fit_lengths(fit: WorkloadFit, factor: float) -> WorkloadFit:
    """Prompts and outputs `factor` times as long, at least 1 token; prefixes in proportion."""
    check_factor(factor)
    if factor == 1.0:
        return fit
    prompts, outputs = (
        np.clip(tokens * factor, 1.0, _MAX_TOKENS)
        for tokens in (fit.lengths.prompt_tokens, fit.lengths.output_tokens)
    )
    prefixes = fit.prefixes
    if prefixes is not None:
        upper = np.ceil(np.array(prefixes.upper_blocks) * factor).astype(np.int64)
        # classes that fall together stay a block apart: u[k] - k never falls
        apart = np.maximum.accumulate(upper - np.arange(upper.size)) + np.arange(upper.size)
        prefixes = replace(prefixes, upper_blocks=tuple(apart.tolist()))
    lengths = JointLengths(fit.lengths.prompt_levels, prompts, fit.lengths.output_levels, outputs)
    note = f"prompts and outputs scaled by {factor:g}"
    return fit.with_note(note, lengths=lengths, prefixes=prefixes)


def shift_fit_time(fit: WorkloadFit, shift_s: float) -> WorkloadFit:
    """The curve begun elsewhere: what was at t is at t + `shift_s`, around the span's end."""
    rate = fit.rate
    if not np.isfinite(shift_s):
        message = f"time is not shifted by {shift_s} s"
        raise ValueError(message)
    if shift_s % rate.span_s == 0:
        return fit
    turn_s = -shift_s % rate.span_s  # what comes around to second 0
    knots_s = _add_knots(rate, np.array([turn_s - _SHARP_S, turn_s]))
    moved_s = (knots_s + shift_s) % rate.span_s
    order = np.argsort(moved_s, kind="stable")
    shifted = _make_curve(moved_s[order], rate.compute_rate_per_s(knots_s)[order], rate.span_s)
    return fit.with_note(f"shifted by {shift_s:g} s, around the end", rate=shifted)


def warp_fit_time(fit: WorkloadFit, warp: TimeWarp) -> WorkloadFit:
    """The same requests, slower here and faster there: where time is stretched the rate falls."""
    rate = fit.rate
    if np.array_equal(warp.from_s, warp.to_s):
        return fit
    breaks = warp.from_s[(warp.from_s > 0) & (warp.from_s < rate.span_s)]
    knots_s = _add_knots(rate, np.concatenate((breaks - _SHARP_S, breaks)))
    speeds = np.append(np.diff(warp.to_s) / np.diff(warp.from_s), 1.0)
    after = np.searchsorted(warp.from_s, knots_s, side="right") - 1
    after[-1] = np.searchsorted(warp.from_s, rate.span_s) - 1  # the end belongs to what is before
    speed = speeds[after]
    span_s = float(warp.move(rate.span_s))
    warped = _make_curve(warp.move(knots_s), rate.compute_rate_per_s(knots_s) / speed, span_s)
    factor = rate.num_requests_expected / warped.num_requests_expected
    warped = replace(warped, rate_per_s=warped.rate_per_s * factor)
    return fit.with_note(warp.describe(), rate=warped)


def inject_fit_burst(fit: WorkloadFit, burst: LoadBurst) -> WorkloadFit:
    """The fit with `factor` times the rate for a while."""
    changed = _multiply_rate(fit.rate, burst.factor, burst.at_s, burst.ends_at_s)
    return fit.with_note(burst.describe(), rate=changed)


def change_fit_regime(fit: WorkloadFit, change: RegimeChange) -> WorkloadFit:
    """The fit with another rate and other lengths from an instant on."""
    rate = _multiply_rate(fit.rate, change.rate_factor, change.at_s, fit.rate.span_s)
    return fit.with_note(change.describe(), rate=rate, regimes=(*fit.regimes, change))


def _multiply_rate(rate: RateCurve, factor: float, start_s: float, end_s: float) -> RateCurve:
    """The curve with another level between two instants, with jumps at both."""
    if start_s >= rate.span_s:
        message = f"{start_s:g} s is after the end of the workload, {rate.span_s:g} s"
        raise ValueError(message)
    ends = [at for at in (start_s, end_s) if 0 < at < rate.span_s]
    knots_s = _add_knots(rate, np.array([*ends, *(at - _SHARP_S for at in ends)]))
    inside = (knots_s >= start_s) & ((knots_s < end_s) | (end_s >= rate.span_s))
    rates = rate.compute_rate_per_s(knots_s) * np.where(inside, factor, 1.0)
    return _make_curve(knots_s, rates, rate.span_s)


def _add_knots(rate: RateCurve, more_s: NDArray[np.float64]) -> NDArray[np.float64]:
    knots_s = np.concatenate(([0.0], rate.knot_s, [rate.span_s], more_s))
    return np.unique(knots_s[(knots_s >= 0) & (knots_s <= rate.span_s)])


def _make_curve(
    knots_s: NDArray[np.float64], rates: NDArray[np.float64], span_s: float
) -> RateCurve:
    """A curve of rising knots, the last of equal ones."""
    keep = np.append(np.diff(knots_s) > 0, True)
    return RateCurve(knots_s[keep], rates[keep], span_s)
