"""What one replica could be: within catalogue, limits and the engine's own rules."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.fleet import (
    make_architecture,
    make_arguments,
    make_deployment,
    make_fleet,
    make_gpu,
    make_offer,
    make_trace,
)

from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_defaults import resolve_arguments
from optiinfra.domain.engine_flags import ARGUMENT_FIELDS, diff_arguments, set_arguments
from optiinfra.domain.fleet import Deployment, Fleet, Limits
from optiinfra.domain.prices import Offer, PurchaseOption
from optiinfra.twin.shapes import RuledOut, Shape, describe, find_obstacle, list_shapes

TRACE = make_trace()
TWO_TYPES = (make_gpu(), make_gpu("L40S"))


def list_for(deployment: Deployment, **overrides: Any) -> tuple[list[Shape], list[RuledOut]]:
    return list_shapes(deployment, make_fleet(deployment, **overrides), TRACE)


def make_book(gpu: str, cloud: str, price: str, num_gpus: int, **overrides: Any) -> Offer:
    name = f"{cloud}-{gpu}-x{num_gpus}".lower()
    return make_offer(gpu, price, cloud=cloud, num_gpus=num_gpus, instance_type=name, **overrides)


def test_the_grid_of_batches_follows_vllms_rule() -> None:
    shapes, ruled_out = list_for(make_deployment())
    batches = [(s.arguments.max_num_seqs, s.arguments.max_num_batched_tokens) for s in shapes]
    plain = [b for b, s in zip(batches, shapes, strict=True) if not s.is_precision_changed]
    assert len(plain) == len(set(plain)) == 24  # 5 x 5 but for 1,024 sequences in 512 tokens
    assert all(tokens >= seqs for seqs, tokens in batches)
    assert (256, 2048) in plain
    assert ruled_out == []


@given(seqs=st.integers(1, 3_000), tokens=st.integers(1, 20_000))
def test_todays_batch_is_always_among_them_and_no_other_breaks_the_rule(
    seqs: int, tokens: int
) -> None:
    arguments = make_arguments(max_num_seqs=seqs, max_num_batched_tokens=tokens)
    shapes, _ = list_for(make_deployment(arguments=arguments))
    assert any(s.arguments == arguments for s in shapes)
    for shape in shapes:
        batch = shape.arguments.max_num_seqs, shape.arguments.max_num_batched_tokens
        assert batch[1] >= batch[0] or batch == (seqs, tokens)


def test_an_engine_without_a_flag_for_the_batch_keeps_it() -> None:
    arguments = make_arguments(engine=Engine.TGI, version="3.3", max_num_seqs=77)
    shapes, _ = list_for(make_deployment(arguments=arguments))
    assert {s.arguments.max_num_seqs for s in shapes} == {64, 77, 128, 256, 512, 1024}
    for shape in shapes:
        diff_arguments(arguments, shape.arguments)  # raises for a field without a flag


def test_only_precision_changes_change_precision_and_all_of_them_are_marked() -> None:
    deployment = make_deployment()
    shapes, _ = list_for(deployment, gpus=(*TWO_TYPES, make_gpu("A100-80-SXM")))
    own = deployment.arguments
    for shape in shapes:
        changed = (
            shape.arguments.quantization != own.quantization
            or shape.arguments.kv_cache_dtype != own.kv_cache_dtype
            or shape.arguments.dtype != own.dtype
        )
        assert shape.is_precision_changed == changed
    marked = [s.gpu.name for s in shapes if s.is_precision_changed]
    assert {name: marked.count(name) for name in marked} == {
        "H100-SXM": 3,
        "L40S": 2 * 3,  # without an offer, instances of any size are taken to exist
    }


def test_weights_that_are_narrow_already_are_left_alone() -> None:
    arguments = make_arguments(quantization="awq", kv_cache_dtype="fp8")
    shapes, _ = list_for(make_deployment(arguments=arguments))
    assert not any(s.is_precision_changed for s in shapes)


def test_another_gpu_type_gets_the_batch_said_explicitly() -> None:
    """Its engine would take other defaults, so what was assumed must be written out."""
    arguments = make_arguments(assumed=("max_num_seqs", "max_num_batched_tokens", "block_size"))
    deployment = make_deployment(arguments=arguments)
    shapes, _ = list_for(
        deployment, gpus=TWO_TYPES, offers=(make_offer(), make_offer("L40S", "1.00"))
    )

    def find(gpu: str) -> EngineArguments:
        return next(
            s.arguments
            for s in shapes
            if s.gpu.name == gpu
            and not s.is_precision_changed
            and (s.arguments.max_num_seqs, s.arguments.max_num_batched_tokens) == (256, 2048)
        )

    assert find("H100-SXM").assumed == arguments.assumed
    assert diff_arguments(arguments, find("H100-SXM")) == ()
    assert find("L40S").assumed == ("block_size",)
    flags = [(c.flag, c.after) for c in diff_arguments(arguments, find("L40S"))]
    assert flags == [("--max-num-seqs", "256"), ("--max-num-batched-tokens", "2048")]


@pytest.mark.parametrize("gpu", ["H100-SXM", "L40S"])
def test_a_default_that_moves_is_written_out(gpu: str) -> None:
    """SGLang derives its share of memory from GPU and chunk: what was simulated must be said."""
    arguments = resolve_arguments(
        Engine.SGLANG,
        version="0.5.5",
        given={"max_model_len": 8_192},
        gpu=make_gpu(),
        architecture=make_architecture(),
    )
    deployment = make_deployment(arguments=arguments)
    shapes, _ = list_for(deployment, gpus=TWO_TYPES)
    others = [s.arguments for s in shapes if s.gpu.name == gpu and s.arguments != arguments]
    assert others
    for changed in others:
        said = {name for name in ARGUMENT_FIELDS if name not in changed.assumed}
        started = resolve_arguments(
            Engine.SGLANG,
            version="0.5.5",
            given={name: getattr(changed, name) for name in said},
            gpu=make_gpu(gpu),
            architecture=deployment.model,
        )
        assert started == changed  # the engine, started so, is the one that was simulated


def test_limits_on_gpus_clouds_and_regions() -> None:
    deployment = make_deployment(offer=None)
    offers = (
        make_book("H100-SXM", "A", "3.00", 1, region="eu-1"),
        make_book("H100-SXM", "B", "2.00", 1, region="us-1"),
        make_book("H100-SXM", "C", "2.50", 1),
        make_book("H100-SXM", "D", "1.00", 1, purchase_option=PurchaseOption.SPOT),
        make_book("L40S", "A", "1.00", 1),
    )

    def list_offers(limits: Limits) -> set[tuple[str, str]]:
        shapes, _ = list_for(deployment, gpus=TWO_TYPES, offers=offers, limits=limits)
        return {(o.gpu, o.cloud) for s in shapes for o in s.offers}

    h100 = {("H100-SXM", cloud) for cloud in "ABC"}
    assert list_offers(Limits()) == {*h100, ("L40S", "A")}  # and never the spot offer
    assert list_offers(Limits(gpus=("H100-SXM",))) == h100
    assert list_offers(Limits(clouds=("B", "C"))) == h100 - {("H100-SXM", "A")}
    assert list_offers(Limits(regions=("eu-1",))) == {
        ("H100-SXM", "A"),
        ("H100-SXM", "C"),  # in every region
        ("L40S", "A"),
    }
    shapes, _ = list_for(
        deployment, gpus=TWO_TYPES, offers=offers, limits=Limits(gpus=("H100-SXM",))
    )
    assert {s.gpu.name for s in shapes} == {"H100-SXM"}


def test_the_customers_own_price_stands_for_todays_gpu() -> None:
    book = make_book("H100-SXM", "A", "1.00", 1)
    own = make_offer(price="9.00")
    shapes, _ = list_for(make_deployment(offer=own), offers=(book,))
    assert {s.offers for s in shapes} == {(own,)}
    spot = make_offer(price="0.50", purchase_option=PurchaseOption.SPOT)
    shapes, _ = list_for(make_deployment(offer=spot), offers=(book,))
    assert {s.offers for s in shapes} == {(book,)}


def test_offers_bill_whole_instances() -> None:
    shape = Shape(make_gpu(), make_arguments(), (make_book("H100-SXM", "A", "20.00", 8),))
    assert shape.find_cheapest_offer(1)[1] == Decimal("20.00")
    assert shape.find_cheapest_offer(8)[1] == Decimal("20.00")
    assert shape.find_cheapest_offer(9)[1] == Decimal("40.00")
    wide = Shape(make_gpu(), make_arguments(tensor_parallel_size=4), shape.offers)
    assert wide.find_cheapest_offer(3)[1] == Decimal("40.00")


def test_the_cheapest_offer_depends_on_the_count_and_smaller_instances_win_a_tie() -> None:
    offers = (make_book("H100-SXM", "A", "16.00", 8), make_book("H100-SXM", "B", "4.00", 1))
    shape = Shape(make_gpu(), make_arguments(), offers)
    assert [shape.find_cheapest_offer(n)[0] for n in (1, 3, 5, 8, 9)] == [
        offers[1],
        offers[1],
        offers[0],
        offers[0],
        offers[0] if Decimal("32.00") < 9 * Decimal("4.00") else offers[1],
    ]
    chosen, cost = shape.find_cheapest_offer(4)
    assert (chosen, cost) == (offers[1], Decimal("16.00"))
    # An instance too small for a replica is no offer; without any there is no price.
    wide = Shape(make_gpu(), make_arguments(tensor_parallel_size=2), offers[1:])
    assert wide.find_cheapest_offer(1) == (None, None)


def test_parallel_sizes_are_the_two_smallest_that_fit_and_todays_own() -> None:
    model = make_architecture("meta-llama/Llama-3.1-70B")
    offers = tuple(make_book("H100-SXM", "A", f"{2 * n}.00", n) for n in (1, 2, 4, 8))
    deployment = make_deployment(
        model=model, arguments=make_arguments(tensor_parallel_size=8), offer=None
    )
    shapes, _ = list_for(deployment, offers=offers)
    sizes = {s.arguments.tensor_parallel_size for s in shapes if not s.is_precision_changed}
    assert sizes == {2, 4, 8}
    shapes, ruled_out = list_for(deployment, offers=offers[:1])
    assert shapes == []
    assert ruled_out[0].what == "H100-SXM"
    assert "weights and reserve need" in ruled_out[0].reason


def test_ranks_of_all_data_parallel_groups_share_an_instance() -> None:
    arguments = make_arguments(data_parallel_size=4)
    offer = make_book("H100-SXM", "a", "32.00", 8)
    shapes, _ = list_for(make_deployment(arguments=arguments, offer=None), offers=(offer,))
    assert {s.arguments.tensor_parallel_size for s in shapes} == {1, 2}
    offer = make_book("H100-SXM", "a", "16.00", 4)
    shapes, _ = list_for(make_deployment(arguments=arguments, offer=None), offers=(offer,))
    assert {s.arguments.tensor_parallel_size for s in shapes} == {1}


def test_a_gpu_without_bfloat16_is_ruled_out_unless_the_engine_runs_in_half() -> None:
    types = (make_gpu("V100-32-SXM"),)
    shapes, ruled_out = list_for(make_deployment(), gpus=types)
    assert shapes == []
    assert ruled_out == [RuledOut("V100-32-SXM", "has no bfloat16")]
    half = make_deployment(arguments=make_arguments(dtype="float16"))
    shapes, ruled_out = list_for(half, gpus=types)
    assert shapes
    assert not ruled_out


def test_a_context_that_no_cache_holds_is_an_obstacle() -> None:
    """vLLM refuses to start when one context of max_model_len does not fit."""
    deployment = make_deployment()
    gpu = make_gpu("L4")
    arguments = set_arguments(deployment.arguments, max_model_len=131_072)
    obstacle = find_obstacle(deployment, gpu, arguments, TRACE)
    assert obstacle is not None
    assert "one context of max_model_len 131072 does not fit" in obstacle
    assert find_obstacle(deployment, make_gpu(), arguments, TRACE) is None
    unset = set_arguments(deployment.arguments, max_model_len=None)
    assert find_obstacle(deployment, gpu, unset, TRACE) == obstacle  # the model's own 131,072


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({}, "tp1 seqs256 tokens2048"),
        ({"tensor_parallel_size": 4, "quantization": "fp8"}, "tp4 seqs256 tokens2048 fp8"),
        ({"kv_cache_dtype": "fp8"}, "tp1 seqs256 tokens2048 kv-fp8"),
    ],
)
def test_shapes_are_named_by_what_a_candidate_may_change(
    overrides: dict[str, Any], words: str
) -> None:
    assert describe(make_arguments(**overrides)) == words


def test_the_order_is_fixed() -> None:
    deployment = make_deployment()
    fleet: Fleet = make_fleet(deployment, gpus=TWO_TYPES)
    assert list_shapes(deployment, fleet, TRACE) == list_shapes(deployment, fleet, TRACE)
