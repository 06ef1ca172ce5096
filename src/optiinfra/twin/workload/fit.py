"""A workload in figures, fitted to a trace, and streams made of it. Pure.

What is kept: the rate curve with the bursts around it, prompt and output lengths that belong
together, who shares how much of a prefix with whom. What is lost: that lengths of neighbours are
alike (correlations of 0.03 and 0.11 in Azure's conversation trace), that lengths change with the
time of day, and any order of a single user's requests beyond the sharing of prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from optiinfra.domain.trace import Trace
from optiinfra.twin.provenance import Provenance
from optiinfra.twin.workload.bursts import Bursts
from optiinfra.twin.workload.changes import RegimeChange
from optiinfra.twin.workload.dispersion import fit_bursts
from optiinfra.twin.workload.lengths import JointLengths, fit_lengths
from optiinfra.twin.workload.prefix_fit import PrefixFit, fit_prefixes
from optiinfra.twin.workload.rate import RateCurve, extend_rate, fit_rate
from optiinfra.twin.workload.stream import RequestStream


@dataclass(frozen=True)
class WorkloadFit:
    """Everything that a stream needs but its seed.

    `regimes` change lengths from an instant on; what they do to the rate is in the curve already.
    `notes` say what was done to the fit since.
    """

    rate: RateCurve
    bursts: Bursts
    lengths: JointLengths
    prefixes: PrefixFit | None
    provenance: Provenance
    regimes: tuple[RegimeChange, ...] = ()
    notes: tuple[str, ...] = ()

    def make_stream(
        self, *, seed: int, span_s: float | None = None, num_requests: int | None = None
    ) -> RequestStream:
        """Requests like those of the trace, over its span or another one.

        A longer span repeats the curve by whole weeks or days, see `extend_rate`. Without
        `num_requests` there are as many as the rate makes, give or take chance; with it, exactly so
        many, at that rate: the span follows unless it is given, and then the rate follows.
        """
        rate = self.rate
        if span_s is None and num_requests is not None:
            span_s = num_requests / rate.rate_per_s_mean
        if span_s is not None:
            rate = extend_rate(rate, span_s)
        return RequestStream(
            rate=rate,
            lengths=self.lengths,
            seed=seed,
            source=f"generated after {self.provenance.source}",
            bursts=self.bursts,
            prefixes=self.prefixes,
            regimes=self.regimes,
            num_requests=num_requests,
            notes=(*self.provenance.notes, *self.notes),
        )

    def with_note(self, note: str, **changes: object) -> WorkloadFit:
        """The fit with some fields replaced and a note of it."""
        return replace(self, notes=(*self.notes, note), **changes)  # type: ignore[arg-type]


def fit_workload(trace: Trace) -> WorkloadFit:
    """The figures of a trace. Raises ValueError for fewer than 100 requests or no span."""
    rate, bin_s = fit_rate(trace.arrival_s)
    return WorkloadFit(
        rate=rate,
        bursts=fit_bursts(trace.arrival_s, rate, bin_s / 2),
        lengths=fit_lengths(trace.prompt_tokens, trace.output_tokens),
        prefixes=fit_prefixes(trace),
        provenance=Provenance(
            source=trace.source,
            digest=trace.digest,
            num_rows=trace.num_requests,
            span_s=trace.span_s,
            started_at=None if trace.started_at is None else trace.started_at.isoformat(),
            is_synthetic=trace.is_synthetic,
            notes=trace.notes,
        ),
    )
