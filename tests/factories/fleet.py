"""Test data: fleets, their parts, and traffic. Every price and promise here is made up."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optiinfra.domain.architecture_catalogue import get_architecture
from optiinfra.domain.architectures import Architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.fleet import Deployment, Fleet, Limits, SLOTarget
from optiinfra.domain.gpu_catalogue import get_gpu
from optiinfra.domain.gpus import GPU
from optiinfra.domain.prices import Offer
from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.stand import Stand
from optiinfra.twin.step_time import StepTimeModel
from optiinfra.twin.workload import generate_conversation


def make_gpu(name: str = "H100-SXM", **overrides: Any) -> GPU:
    """A GPU of the catalogue, or one that differs from it."""
    return replace(get_gpu(name), **overrides)


def make_architecture(name: str = "meta-llama/Llama-3.1-8B", **overrides: Any) -> Architecture:
    return replace(get_architecture(name), **overrides)


def make_arguments(**overrides: Any) -> EngineArguments:
    values: dict[str, Any] = {
        "engine": Engine.VLLM,
        "version": "0.19.0",
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "gpu_memory_utilization": 0.9,
        "max_model_len": 16_384,
    }
    return EngineArguments(**{**values, **overrides})


def make_offer(gpu: str = "H100-SXM", price: str = "2.50", **overrides: Any) -> Offer:
    """One GPU an instance, at the customer's own price for it."""
    values: dict[str, Any] = {
        "gpu": gpu,
        "cloud": "my-cloud",
        "instance_type": f"one-{gpu.lower()}",
        "num_gpus": 1,
        "list_cost_usd_per_h": Decimal(price),
    }
    return Offer(**{**values, **overrides})


def make_slo(**overrides: Any) -> SLOTarget:
    return SLOTarget(**{"ttft_s": 1.0, "tpot_s": 0.03, "attainment_ratio": 0.95, **overrides})


def make_deployment(**overrides: Any) -> Deployment:
    values: dict[str, Any] = {
        "name": "chat",
        "model": make_architecture(),
        "gpu": make_gpu(),
        "num_replicas": 4,
        "arguments": make_arguments(),
        "slo": make_slo(),
        "offer": make_offer(),
    }
    return Deployment(**{**values, **overrides})


def make_fleet(*deployments: Deployment, **overrides: Any) -> Fleet:
    """A fleet whose candidates may use an H100; the digest is of everything else in it."""
    values: dict[str, Any] = {
        "customer": "Example Company",
        "email": "platform@example.com",
        "deployments": deployments or (make_deployment(),),
        "limits": Limits(max_replicas=16),
        "gpus": (make_gpu(),),
        "offers": (make_offer(),),
    }
    values |= overrides
    digest = hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()
    return Fleet(**{"digest": digest, **values})


def make_trace(
    arrival_s: ArrayLike = (0.0, 1.0, 2.0, 3.0),
    prompt_tokens: ArrayLike = 100,
    output_tokens: ArrayLike = 10,
    *,
    prefix_hashes: PrefixHashes | None = None,
    **overrides: Any,
) -> Trace:
    """A trace of these columns; a single length stands for all requests."""
    arrivals = np.asarray(arrival_s, np.float64)
    prompts, outputs = (
        np.ascontiguousarray(np.broadcast_to(np.asarray(column, np.int32), arrivals.shape))
        for column in (prompt_tokens, output_tokens)
    )
    values: dict[str, Any] = {"source": "requests.csv", "prefix_hashes": prefix_hashes}
    return Trace(arrivals, prompts, outputs, **{**values, **overrides})


def make_conversation(
    rate_per_s: float = 8.0, *, num_requests: int = 600, seed: int = 0, **overrides: Any
) -> Trace:
    """A short generated conversation: enough requests to tell one from two replicas."""
    return generate_conversation(
        seed=seed, num_requests=num_requests, rate_per_s=rate_per_s, **overrides
    )


def make_stand(trace: Trace | None = None, **overrides: Any) -> Stand:
    values: dict[str, Any] = {
        "architecture": make_architecture(),
        "slo": make_slo(),
        "trace": trace if trace is not None else make_conversation(),
    }
    return Stand(**{**values, **overrides})


def make_step_time_model(**overrides: float) -> StepTimeModel:
    """A step that costs nothing but what the overrides say."""
    zero = StepTimeModel(
        fixed_s=0.0,
        per_sequence_s=0.0,
        dense_weights_s=0.0,
        routed_weights_s=0.0,
        expert_miss_ratio=0.0,
        expert_tokens_factor=1.0,
        per_token_s=0.0,
        per_logit_s=0.0,
        per_context_token_s=0.0,
        per_attention_pair_s=0.0,
        communication_fixed_s=0.0,
        communication_per_token_s=0.0,
    )
    return replace(zero, **overrides)


def make_poisson_arrivals(
    rng: np.random.Generator, *, rate_per_s: float, num_requests: int
) -> NDArray[np.float64]:
    """Instants of a Poisson stream, the first at 0."""
    arrival_s = np.cumsum(rng.exponential(1.0 / rate_per_s, num_requests))
    return np.asarray(arrival_s - arrival_s[0], np.float64)
