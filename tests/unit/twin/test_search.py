"""The search over replica counts, verdicts and the front, on services that are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.analysis import make_service
from tests.factories.fleet import (
    make_arguments,
    make_gpu,
    make_offer,
    make_slo,
    make_stand,
    make_trace,
)

from optiinfra.domain.analysis import Candidate, Service, Verdict
from optiinfra.domain.engine_arguments import EngineArguments
from optiinfra.domain.fleet import Limits
from optiinfra.domain.gpus import GPU
from optiinfra.twin.fewest import find_fewest
from optiinfra.twin.search import explore
from optiinfra.twin.shapes import Shape
from optiinfra.twin.stand import Stand
from optiinfra.twin.verdicts import explain_breach, judge_candidate, mark_front

SHAPE = Shape(make_gpu(), make_arguments(), (make_offer(),))
SLO = make_slo(attainment_ratio=0.9)
SERVICE = make_service(0.5)


def make_attaining(ratio: float, *, e2e_s: float = 1.0) -> Service:
    e2e = replace(SERVICE.e2e_s, p95=e2e_s)
    return replace(SERVICE, slo_attainment_ratio=ratio, e2e_s=e2e)


@dataclass(frozen=True)
class ScriptedStand(Stand):
    """Attains by the number of replicas as it is told."""

    attained: Callable[[int], float] = lambda _: 1.0

    def serve(
        self,
        gpu: GPU,
        arguments: EngineArguments,
        num_replicas: int,
        *,
        has_histograms: bool = False,
    ) -> Service:
        del gpu, arguments, has_histograms
        assert num_replicas >= 1
        return make_attaining(self.attained(num_replicas))


def script(attained: Callable[[int], float]) -> ScriptedStand:
    plain = make_stand(make_trace(), slo=SLO)
    return ScriptedStand(plain.architecture, plain.slo, plain.trace, attained=attained)


@given(fewest=st.integers(1, 200), limit=st.integers(0, 150))
def test_fewest_of_a_monotone_predicate_is_brute_force(fewest: int, limit: int) -> None:
    tried: list[int] = []

    def keeps(count: int) -> bool:
        tried.append(count)
        return count >= fewest

    brute = next((n for n in range(1, limit + 1) if n >= fewest), None)
    assert find_fewest(keeps, limit) == brute
    assert all(1 <= n <= limit for n in tried)
    assert len(tried) <= 3 + 2 * max(limit, 1).bit_length()


@given(kept=st.sets(st.integers(1, 40)), limit=st.integers(1, 40))
def test_fewest_of_any_predicate_keeps(kept: set[int], limit: int) -> None:
    found = find_fewest(lambda n: n in kept, limit)
    if found is None:
        assert not kept & {1, limit - 1, limit}
    else:
        assert found in kept
        assert 1 <= found <= limit


@given(
    fewest=st.integers(1, 12),
    min_replicas=st.integers(1, 6),
    extra=st.integers(0, 10),
)
def test_exploring_finds_the_fewest_with_one_to_lose(
    fewest: int, min_replicas: int, extra: int
) -> None:
    limits = Limits(min_replicas=min_replicas, max_replicas=min_replicas + extra)
    found = explore(SHAPE, script(lambda n: 1.0 if n >= fewest else 0.5), limits)
    counts = [c.configuration.num_replicas for c in found]
    assert all(limits.min_replicas <= n <= limits.max_replicas for n in counts)
    keepers = [c for c in found if c.verdict is Verdict.KEEPS_SLO]
    wanted = max(fewest + 1, min_replicas)
    if wanted <= limits.max_replicas and wanted > 1:
        assert [c.configuration.num_replicas for c in keepers] == [wanted]
        assert counts[1:] == ([wanted - 1] if wanted > min_replicas else [])
    else:
        assert keepers == []
        assert counts == [min_replicas]


@given(kept=st.sets(st.integers(1, 12)), extra=st.integers(0, 10))
def test_what_exploring_recommends_keeps_the_slo_even_where_more_is_not_better(
    kept: set[int], extra: int
) -> None:
    limits = Limits(min_replicas=2, max_replicas=2 + extra)
    found = explore(SHAPE, script(lambda n: float(n in kept)), limits)
    fewest = find_fewest(lambda n: n in kept, limits.max_replicas - 1)
    if fewest is not None:
        pairs = [n for n in range(fewest + 1, limits.max_replicas + 1) if {n, n - 1} <= kept]
        keepers = {c.configuration.num_replicas for c in found if c.verdict is Verdict.KEEPS_SLO}
        assert set(pairs[:1]) <= keepers
    for candidate in found:
        count = candidate.configuration.num_replicas
        is_kept = count in kept and count - 1 in kept
        assert (candidate.verdict is Verdict.KEEPS_SLO) == is_kept
        assert 2 <= count <= limits.max_replicas


@pytest.mark.parametrize(
    ("full", "lost", "is_changed", "verdict", "words"),
    [
        (0.95, 0.9, False, Verdict.KEEPS_SLO, "90.0% of requests with one replica lost"),
        (0.95, 0.9, True, Verdict.NEEDS_QUALITY_TEST, "changes the precision"),
        (0.95, 0.89, False, Verdict.BREAKS_SLO_ONE_LOST, "with one replica lost, "),
        (0.95, 0.89, True, Verdict.BREAKS_SLO_ONE_LOST, "with one replica lost, "),
        (0.95, None, False, Verdict.BREAKS_SLO_ONE_LOST, "one replica only"),
        (0.89, 0.95, False, Verdict.BREAKS_SLO, "89.0% meet both objectives"),
    ],
)
def test_verdicts(
    full: float, lost: float | None, *, is_changed: bool, verdict: Verdict, words: str
) -> None:
    shape = replace(SHAPE, is_precision_changed=is_changed)
    one_lost = None if lost is None else make_attaining(lost)
    candidate = judge_candidate(shape, 3, make_attaining(full), one_lost, SLO)
    assert candidate.verdict is verdict
    assert words in candidate.reason
    assert candidate.key == "H100-SXM x3 tp1 seqs256 tokens2048"
    assert candidate.configuration.list_cost_usd_per_h == Decimal("7.50")


@pytest.mark.parametrize(
    ("ttft", "tpot", "words"),
    [(0.6, 0.8, "60.0% of requests meet TTFT 1000 ms"), (0.8, 0.6, "60.0% of requests meet TPOT")],
)
def test_a_breach_names_the_objective_that_is_missed_most(
    ttft: float, tpot: float, words: str
) -> None:
    service = replace(SERVICE, ttft_attainment_ratio=ttft, tpot_attainment_ratio=tpot)
    assert explain_breach(service, SLO).startswith(words)


points = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.booleans()), max_size=12
)


def make_point(index: int, cost: int, e2e_s: int, **says: bool) -> Candidate:
    offers = (make_offer(price=str(cost)),) if says["has_price"] else ()
    full = make_attaining(1.0 if says["keeps"] else 0.1, e2e_s=float(e2e_s))
    shape = replace(SHAPE, offers=offers)
    made = judge_candidate(shape, 2, full, make_attaining(1.0), SLO)
    return replace(made, key=f"candidate {index}")


@given(points)
def test_the_front_is_what_none_beats_in_cost_and_latency(
    drawn: list[tuple[int, int, bool, bool]],
) -> None:
    made = [
        make_point(i, cost, e2e_s, keeps=keeps, has_price=has_price)
        for i, (cost, e2e_s, keeps, has_price) in enumerate(sorted(drawn))
    ]
    marked = mark_front(made)
    figures: Mapping[str, tuple[int, int]] = {
        c.key: (cost, e2e_s)
        for c, (cost, e2e_s, keeps, has_price) in zip(marked, sorted(drawn), strict=True)
        if keeps and has_price
    }
    front = {c.key for c in marked if c.is_on_front}
    assert front <= figures.keys()
    for key, (cost, e2e_s) in figures.items():
        is_beaten = any(
            (a <= cost and b <= e2e_s and (a, b) != (cost, e2e_s)) for a, b in figures.values()
        )
        if key in front:
            assert not is_beaten
        else:  # beaten, or the same as one that is on the front
            assert is_beaten or any(figures[other] == (cost, e2e_s) for other in front)
    assert [replace(c, is_on_front=False) for c in marked] == made
