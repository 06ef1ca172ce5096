"""Shapes: what one replica could be. The catalogue's GPUs times parallel sizes times arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiinfra.domain.engine_defaults import get_defaults
from optiinfra.domain.engine_flags import ARGUMENT_FIELDS, FLAGS, set_arguments
from optiinfra.domain.prices import PurchaseOption, compute_list_cost_usd_per_h
from optiinfra.twin.memory import compute_memory_plan
from optiinfra.twin.replicas import DoesNotFitError, check_fit

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from optiinfra.domain.engine_arguments import EngineArguments
    from optiinfra.domain.fleet import Deployment, Fleet
    from optiinfra.domain.gpus import GPU
    from optiinfra.domain.prices import Offer
    from optiinfra.domain.trace import Trace

# Values tried for the two arguments that shape a batch, beside the deployment's own.
MAX_NUM_SEQS = (64, 128, 256, 512, 1024)
MAX_NUM_BATCHED_TOKENS = (512, 1024, 2048, 4096, 8192)
TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)
MAX_RANKS_TRIED = 2  # parallel sizes tried on a GPU type, from the smallest that fits


@dataclass(frozen=True, slots=True)
class Shape:
    """One replica's GPU and arguments, with the offers it can be bought under (none: no price)."""

    gpu: GPU
    arguments: EngineArguments
    offers: tuple[Offer, ...]
    is_precision_changed: bool = False

    def find_cheapest_offer(self, num_replicas: int) -> tuple[Offer | None, Decimal | None]:
        """Offer and list cost per hour of that many replicas; (None, None) without a price."""
        costs = [
            (
                compute_list_cost_usd_per_h(
                    num_replicas=num_replicas,
                    gpus_per_replica=self.arguments.num_gpus,
                    offer=offer,
                ),
                offer.num_gpus,  # at one price, more instances: fewer replicas share one's fate
                offer.cloud,
                offer.instance_type,
                offer,
            )
            for offer in self.offers
            if offer.num_gpus >= self.arguments.num_gpus
        ]
        if not costs:
            return None, None
        cheapest = min(costs, key=lambda entry: entry[:4])
        return cheapest[-1], cheapest[0]


@dataclass(frozen=True, slots=True)
class RuledOut:
    """A configuration that was never simulated, and why."""

    what: str
    reason: str


def list_shapes(
    deployment: Deployment, fleet: Fleet, trace: Trace
) -> tuple[list[Shape], list[RuledOut]]:
    """Shapes worth simulating, in a fixed order, and those that cannot serve the model at all.

    Every shape keeps today's precision, except those marked, which need a quality test.
    """
    shapes: list[Shape] = []
    ruled_out: list[RuledOut] = []
    for gpu in fleet.gpus:
        if fleet.limits.gpus and gpu.name not in fleet.limits.gpus:
            continue
        offers = _list_offers(gpu, deployment, fleet)
        if deployment.arguments.dtype == "bfloat16" and not gpu.has_bf16:
            ruled_out.append(RuledOut(gpu.name, "has no bfloat16"))
            continue
        sizes, reason = _list_parallel_sizes(gpu, deployment, offers, trace)
        if not sizes:
            ruled_out.append(RuledOut(gpu.name, reason))
            continue
        for size in sizes:
            base = _set_changed(deployment, gpu, tensor_parallel_size=size)
            for arguments in _vary_batch(base, deployment, gpu):
                _add_shape(Shape(gpu, arguments, offers), deployment, trace, shapes, ruled_out)
            for arguments in _vary_precision(base, deployment, gpu):
                shape = Shape(gpu, arguments, offers, is_precision_changed=True)
                _add_shape(shape, deployment, trace, shapes, ruled_out)
    return shapes, ruled_out


def find_obstacle(
    deployment: Deployment, gpu: GPU, arguments: EngineArguments, trace: Trace
) -> str | None:
    """Why a replica of this shape would not start or not serve the trace; None when it would."""
    try:
        plan = compute_memory_plan(deployment.model, gpu, arguments)
        check_fit(trace, plan, arguments)
    except DoesNotFitError as error:
        return str(error)
    context = arguments.max_model_len or deployment.model.max_position_embeddings
    if plan.kv_capacity_tokens < context:
        return (
            f"the KV cache holds {plan.kv_capacity_tokens} tokens, one context of max_model_len "
            f"{context} does not fit and the engine would not start; set a smaller max_model_len "
            "in the fleet file if your users never need more"
        )
    return None


def _add_shape(
    shape: Shape,
    deployment: Deployment,
    trace: Trace,
    shapes: list[Shape],
    ruled_out: list[RuledOut],
) -> None:
    obstacle = find_obstacle(deployment, shape.gpu, shape.arguments, trace)
    if obstacle is None:
        shapes.append(shape)
    else:
        ruled_out.append(RuledOut(f"{shape.gpu.name} {describe(shape.arguments)}", obstacle))


def describe(arguments: EngineArguments) -> str:
    """Short, stable name of the arguments that a candidate may change."""
    words = [
        f"tp{arguments.tensor_parallel_size}",
        f"seqs{arguments.max_num_seqs}",
        f"tokens{arguments.max_num_batched_tokens}",
    ]
    if arguments.quantization:
        words.append(arguments.quantization)
    if arguments.kv_cache_dtype != "auto":
        words.append(f"kv-{arguments.kv_cache_dtype}")
    return " ".join(words)


def _list_offers(gpu: GPU, deployment: Deployment, fleet: Fleet) -> tuple[Offer, ...]:
    """On-demand offers of the GPU within the limits; today's own price stands for today's GPU."""
    own = deployment.offer
    if (
        own is not None
        and own.gpu == gpu.name
        and own.purchase_option is PurchaseOption.ON_DEMAND
        and own.as_of is None
    ):
        return (own,)
    return tuple(
        offer
        for offer in fleet.offers
        if offer.gpu == gpu.name
        and offer.purchase_option is PurchaseOption.ON_DEMAND
        and (not fleet.limits.clouds or offer.cloud in fleet.limits.clouds)
        and (
            not fleet.limits.regions or offer.region is None or offer.region in fleet.limits.regions
        )
    )


def _list_parallel_sizes(
    gpu: GPU, deployment: Deployment, offers: tuple[Offer, ...], trace: Trace
) -> tuple[list[int], str]:
    """The smallest tensor parallel sizes that serve the model and today's own, or why none."""
    largest = max((offer.num_gpus for offer in offers), default=8)
    own = deployment.arguments.tensor_parallel_size
    sizes: list[int] = []
    reason = f"no instance with {own} GPUs is sold"
    for size in sorted({*TENSOR_PARALLEL_SIZES, own}):
        num_gpus = size * deployment.arguments.data_parallel_size
        if num_gpus > largest or deployment.model.num_attention_heads % size:
            continue
        arguments = _set_changed(deployment, gpu, tensor_parallel_size=size)
        smallest = _vary_batch(arguments, deployment, gpu)[0]
        obstacle = find_obstacle(deployment, gpu, smallest, trace)
        if obstacle is not None:
            reason = obstacle
        elif len(sizes) < MAX_RANKS_TRIED or (size == own and gpu == deployment.gpu):
            sizes.append(size)
    return sizes, reason


def _set_changed(deployment: Deployment, gpu: GPU, **values: int) -> EngineArguments:
    """Today's arguments with values set; on another GPU, with other defaults, the batch is said.

    So is what was left to the engine and what it would now set otherwise, such as the share of
    memory that SGLang derives from GPU, ranks and chunk.
    """
    own = deployment.arguments
    said = () if gpu.name == deployment.gpu.name else ("max_num_seqs", "max_num_batched_tokens")
    changed = {
        name: value for name, value in values.items() if name in said or getattr(own, name) != value
    }
    arguments = set_arguments(own, **changed)
    if not arguments.assumed:
        return arguments
    today = _get_defaults(deployment, deployment.gpu, own)
    then = _get_defaults(deployment, gpu, arguments)
    moved = [
        flag.field
        for flag in FLAGS[own.engine]
        if flag.field in arguments.assumed and today[flag.field] != then[flag.field]
    ]
    return set_arguments(arguments, **{name: getattr(arguments, name) for name in moved})


def _get_defaults(deployment: Deployment, gpu: GPU, arguments: EngineArguments) -> dict[str, Any]:
    """What the engine sets itself where only the arguments that are not assumed are given."""
    given = {
        name: getattr(arguments, name) for name in ARGUMENT_FIELDS if name not in arguments.assumed
    }
    return get_defaults(
        arguments.engine,
        version=arguments.version,
        gpu=gpu,
        architecture=deployment.model,
        given=given,
    )


def _vary_batch(base: EngineArguments, deployment: Deployment, gpu: GPU) -> list[EngineArguments]:
    """The grid of batch arguments, smallest memory first, with the deployment's own among them.

    An argument for which the engine has no flag keeps its value.
    """
    spelled = {flag.field for flag in FLAGS[base.engine]}
    own_seqs, own_tokens = base.max_num_seqs, base.max_num_batched_tokens
    all_seqs = {own_seqs, *MAX_NUM_SEQS} if "max_num_seqs" in spelled else {own_seqs}
    all_tokens = (
        {own_tokens, *MAX_NUM_BATCHED_TOKENS}
        if "max_num_batched_tokens" in spelled
        else {own_tokens}
    )
    grid = {
        (seqs, tokens)
        for seqs in all_seqs
        for tokens in all_tokens
        if tokens >= seqs or (seqs, tokens) == (own_seqs, own_tokens)  # vLLM refuses fewer
    }
    varied: list[EngineArguments] = []
    for seqs, tokens in sorted(grid):
        values = {"max_num_seqs": seqs, "max_num_batched_tokens": tokens}
        values = {name: value for name, value in values.items() if name in spelled}
        size = base.tensor_parallel_size
        varied.append(_set_changed(deployment, gpu, tensor_parallel_size=size, **values))
    return varied


def _vary_precision(
    arguments: EngineArguments, deployment: Deployment, gpu: GPU
) -> list[EngineArguments]:
    """Weights and KV cache in fp8 where the GPU computes in it and today's are wider."""
    if gpu.fp8_flops is None:
        return []
    is_wide = not (arguments.quantization or deployment.model.native_quantization)
    is_kv_wide = arguments.kv_cache_dtype == "auto"
    changes: list[EngineArguments] = []
    if is_wide:
        changes.append(set_arguments(arguments, quantization="fp8"))
    if is_kv_wide:
        changes.append(set_arguments(arguments, kv_cache_dtype="fp8"))
    if is_wide and is_kv_wide:
        changes.append(set_arguments(arguments, quantization="fp8", kv_cache_dtype="fp8"))
    return changes
