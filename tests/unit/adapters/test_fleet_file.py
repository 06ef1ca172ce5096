"""A fleet file read and resolved: defaults, prices, offers and the digest."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from optiinfra.adapters.fleet_file import read_fleet
from optiinfra.adapters.fleet_file_schema import FleetSection
from optiinfra.adapters.price_book import PriceBook, read_price_book
from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.fleet import Fleet, SLOTarget
from optiinfra.domain.gpu_datasheets import GPUS
from optiinfra.domain.prices import PurchaseOption

EXAMPLE = Path(__file__).parents[3] / "examples" / "fleet.yaml"
BOOK = read_price_book()


def make_fleet(**changes: Any) -> dict[str, Any]:
    deployment = {
        "name": "chat",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "engine": "vllm",
        "engine_version": "0.19.0",
        "gpu": "H100-SXM",
        "replicas": 4,
        **changes.pop("deployment", {}),
    }
    return {
        "customer": {"name": "Example", "email": "platform@example.com"},
        "slo": {"ttft_s": 1.0, "tpot_s": 0.03, "attainment_ratio": 0.95},
        "deployments": [{k: v for k, v in deployment.items() if v is not None}],
        **changes,
    }


def read(folder: Path, values: dict[str, Any], book: PriceBook = BOOK) -> Fleet:
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return read_fleet(path, price_book=book)


def test_the_example_is_the_demo_fleet() -> None:
    fleet = read_fleet(EXAMPLE, price_book=BOOK)
    (deployment,) = fleet.deployments
    assert deployment.slo == SLOTarget(ttft_s=1.0, tpot_s=0.03, attainment_ratio=0.95)
    assert (deployment.gpu.name, deployment.num_replicas) == ("H100-SXM", 4)
    assert deployment.model.name == "meta-llama/Llama-3.1-8B-Instruct"
    assert deployment.arguments.engine is Engine.VLLM
    assert deployment.arguments.max_num_seqs == 1024
    assert deployment.offer is not None
    assert deployment.offer.as_of == date(2025, 3, 7)
    assert any("--max-num-seqs 1024" in sentence for sentence in deployment.assumed)
    assert any("4.78 USD per GPU and hour" in sentence for sentence in deployment.assumed)
    assert fleet.gpus == GPUS
    assert len(fleet.digest) == 64


def test_the_demo_asks_for_more_than_one_replica_of_every_size_on_offer() -> None:
    fleet = read_fleet(EXAMPLE, price_book=BOOK)
    sizes = {offer.num_gpus for offer in fleet.offers if offer.gpu == "H100-SXM"}
    assert sizes == {1, 2, 4, 8}


def test_every_omitted_value_is_assumed_and_said(tmp_path: Path) -> None:
    fleet = read(tmp_path, make_fleet(deployment={"engine_version": None}))
    (deployment,) = fleet.deployments
    assert deployment.arguments.version == "0.19.0"
    assert "max_num_batched_tokens" in deployment.arguments.assumed
    assert "No engine_version is given: vLLM 0.19.0 is assumed." in deployment.assumed
    assert fleet.limits.min_replicas == 2


@pytest.mark.parametrize("spelling", ["max_num_seqs", "--max-num-seqs", "max-num-seqs"])
def test_flags_in_any_spelling(tmp_path: Path, spelling: str) -> None:
    fleet = read(tmp_path, make_fleet(deployment={"arguments": {spelling: 64}}))
    arguments = fleet.deployments[0].arguments
    assert arguments.max_num_seqs == 64
    assert "max_num_seqs" not in arguments.assumed


def test_a_command_instead_of_keys(tmp_path: Path) -> None:
    command = (
        "vllm serve meta-llama/Llama-3.1-8B-Instruct \\\n"
        "  --max-num-seqs=128 --no-enable-prefix-caching -tp 2 --enforce-eager --port 8000"
    )
    fleet = read(
        tmp_path,
        make_fleet(deployment={"engine": None, "model": None, "command": command}),
    )
    (deployment,) = fleet.deployments
    assert deployment.arguments.tensor_parallel_size == 2
    assert not deployment.arguments.has_prefix_caching
    assert "Without effect on the simulation: --port." in deployment.assumed
    assert any("--enforce-eager" in sentence for sentence in deployment.assumed)
    assert deployment.offer is not None
    assert deployment.offer.num_gpus % 2 == 0


def test_other_engines_flags(tmp_path: Path) -> None:
    sglang = {
        "engine": "sglang",
        "engine_version": "0.5.5",
        "arguments": {"mem_fraction_static": 0.8, "disable_radix_cache": True},
    }
    arguments = read(tmp_path, make_fleet(deployment=sglang)).deployments[0].arguments
    assert (arguments.gpu_memory_utilization, arguments.has_prefix_caching) == (0.8, False)
    tgi = {
        "engine": "tgi",
        "engine_version": "3.3.6",
        "arguments": {"num_shard": 2, "quantize": "eetq", "PREFIX_CACHING": False},
    }
    arguments = read(tmp_path, make_fleet(deployment=tgi)).deployments[0].arguments
    assert (arguments.tensor_parallel_size, arguments.quantization) == (2, "int8")
    assert not arguments.has_prefix_caching


def test_a_version_is_taken_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    text = yaml.safe_dump(make_fleet()).replace("engine_version: 0.19.0", "engine_version: 0.20")
    path.write_text(text)
    assert read_fleet(path, price_book=BOOK).deployments[0].arguments.version == "0.20"


def test_an_old_version_takes_the_oldest_known_defaults_and_says_so(tmp_path: Path) -> None:
    deployment = read(tmp_path, make_fleet(deployment={"engine_version": "0.9.2"})).deployments[0]
    assert any("The defaults of vLLM 0.11 stand for" in s for s in deployment.assumed)


def test_a_model_by_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 16,
        "vocab_size": 32000,
        "quantization_config": {"quant_method": "awq"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    deployment = {
        "model": "tuned/config.json",
        "arguments": {"quantization": "compressed-tensors", "max_model_len": 8192},
    }
    (read_one,) = read(tmp_path, make_fleet(deployment=deployment)).deployments
    assert read_one.model.name == "tuned"
    assert read_one.model.native_quantization == "awq"
    assert any("beyond the 4096 positions" in sentence for sentence in read_one.assumed)


def test_a_deployments_own_slo_stands_over_the_fleets(tmp_path: Path) -> None:
    fleet = read(tmp_path, make_fleet(deployment={"slo": {"ttft_s": 0.5}}))
    assert fleet.deployments[0].slo == SLOTarget(ttft_s=0.5, tpot_s=0.03, attainment_ratio=0.95)


def test_the_users_price_wins_and_replaces_the_books(tmp_path: Path) -> None:
    fleet = read(tmp_path, make_fleet(deployment={"price_usd_per_gpu_h": 2.1}))
    (deployment,) = fleet.deployments
    assert deployment.offer is not None
    assert deployment.offer.list_cost_usd_per_h == Decimal("2.1")
    assert deployment.offer.as_of is None
    mine = {o.num_gpus: o.list_cost_usd_per_h for o in fleet.offers if o.gpu == "H100-SXM"}
    assert mine == {n: n * Decimal("2.1") for n in (1, 2, 4, 8)}
    assert any(offer.gpu == "T4" and offer.as_of for offer in fleet.offers)
    assert "A price per GPU is taken for instances of 1, 2, 4 and 8 GPUs" in fleet.assumed[0]


def test_an_instances_price_is_not_divided(tmp_path: Path) -> None:
    price = {"price_usd_per_instance_h": 20, "gpus_per_instance": 8, "cloud": "mine"}
    fleet = read(tmp_path, make_fleet(deployment=price))
    mine = [offer for offer in fleet.offers if offer.gpu == "H100-SXM"]
    assert [(o.num_gpus, o.list_cost_usd_per_h, o.cloud) for o in mine] == [
        (8, Decimal(20), "mine")
    ]


def test_prices_of_other_gpus(tmp_path: Path) -> None:
    prices = [{"gpu": "l40s", "cloud": "mine", "price_usd_per_gpu_h": 1.1}]
    fleet = read(tmp_path, make_fleet(prices=prices, limits={"clouds": ["mine"]}, deployment={
        "cloud": "novonimbus"}))  # fmt: skip
    assert {offer.gpu for offer in fleet.offers} == {"L40S"}
    assert fleet.deployments[0].cloud == "NovoNimbus"


def test_a_price_under_prices_stands_for_a_deployment_too(tmp_path: Path) -> None:
    prices = [{"gpu": "H100-SXM", "price_usd_per_gpu_h": 3}]
    offer = read(tmp_path, make_fleet(prices=prices)).deployments[0].offer
    assert offer is not None
    assert offer.list_cost_usd_per_h == Decimal(3)


def test_an_unknown_price(tmp_path: Path) -> None:
    (deployment,) = read(tmp_path, make_fleet(deployment={"price": "unknown"})).deployments
    assert deployment.offer is None
    assert any("break-even" in sentence for sentence in deployment.assumed)


def test_spot_counts_today_but_not_for_candidates(tmp_path: Path) -> None:
    spot = {"purchase_option": "spot", "price_usd_per_gpu_h": 1.5}
    fleet = read(tmp_path, make_fleet(deployment=spot))
    assert fleet.deployments[0].purchase_option is PurchaseOption.SPOT
    assert all(offer.purchase_option is PurchaseOption.ON_DEMAND for offer in fleet.offers)
    assert all(offer.as_of for offer in fleet.offers if offer.gpu == "H100-SXM")


def test_limits_choose_clouds_and_gpus(tmp_path: Path) -> None:
    limits = {"clouds": ["aws"], "gpus": ["t4", "a10g"], "max_replicas": 8}
    fleet = read(tmp_path, make_fleet(limits=limits, deployment={"price": "unknown"}))
    assert fleet.limits.clouds == ("AWS",)
    assert fleet.limits.gpus == ("T4", "A10G")
    assert {gpu.name for gpu in fleet.gpus} == {"T4", "A10G"}
    assert {(offer.cloud, offer.gpu) for offer in fleet.offers} == {("AWS", "T4"), ("AWS", "A10G")}


def test_the_cheapest_offer_of_each_size_is_kept(tmp_path: Path) -> None:
    fleet = read(tmp_path, make_fleet())
    keys = [(o.gpu, o.cloud, o.region, o.num_gpus) for o in fleet.offers]
    assert len(set(keys)) == len(keys)
    (a10g,) = [o for o in fleet.offers if o.gpu == "A10G" and o.num_gpus == 1]
    assert a10g.instance_type == "g5.xlarge"


def test_an_instance_type_by_name(tmp_path: Path) -> None:
    deployment = {"gpu": "A10G", "cloud": "AWS", "instance_type": "g5.8xlarge"}
    offer = read(tmp_path, make_fleet(deployment=deployment)).deployments[0].offer
    assert offer is not None
    assert offer.list_cost_usd_per_h == Decimal("2.45")


def test_a_gpu_by_its_datasheet(tmp_path: Path) -> None:
    gpus = [
        {
            "name": "My-GPU",
            "memory_mib": 49_140,
            "memory_gb_per_s": 960,
            "bf16_tflops": 300,
            "fp8_tflops": 600,
            "link_gb_per_s": 32,
            "power_w": 300,
        }
    ]
    deployment = {"gpu": "My-GPU", "price_usd_per_gpu_h": 1}
    fleet = read(tmp_path, make_fleet(gpus=gpus, deployment=deployment))
    gpu = fleet.deployments[0].gpu
    assert gpu.memory_bytes == 49_140 * 2**20
    assert gpu.achievable_flops_ratio == 0.59  # of L40S, the nearest
    assert "L40S" in gpu.source
    assert "My-GPU reaches the same shares of its peaks as L40S." in fleet.assumed
    assert fleet.gpus[0] is gpu
    assert {offer.num_gpus for offer in fleet.offers if offer.gpu == "My-GPU"} == {1, 2, 4, 8}


def test_rate_profile(tmp_path: Path) -> None:
    assert read(tmp_path, make_fleet()).rate_profile == ()
    assert len(read(tmp_path, make_fleet(rate_profile=[1, *[2.5] * 23])).rate_profile) == 24


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        """
customer: {name: Example, email: platform@example.com}
slo: &fast {ttft_s: 1, tpot_s: 3e-2, attainment_ratio: .95}
deployments:
  - &chat
    name: chat
    model: Qwen/Qwen3-8B
    engine: vllm
    gpu: h100
    replicas: 2
  - <<: *chat
    name: batch
    slo: *fast
"""
    )
    fleet = read_fleet(path, price_book=BOOK)
    assert [d.name for d in fleet.deployments] == ["chat", "batch"]
    assert fleet.deployments[1].slo.tpot_s == 0.03
    assert fleet.deployments[1].gpu.name == "H100-SXM"


def test_the_digest_knows_values_only(tmp_path: Path) -> None:
    values = make_fleet()
    plain = read(tmp_path, values)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = elsewhere / "other.yaml"
    path.write_text("# a comment\n" + yaml.safe_dump(values, sort_keys=True))
    assert read_fleet(path, price_book=BOOK).digest == plain.digest
    assert read(tmp_path, make_fleet(deployment={"replicas": 5})).digest != plain.digest
    said = make_fleet(deployment={"arguments": {"max_num_seqs": 1024}})
    assert read(tmp_path, said).digest != plain.digest  # its diff would be another


@given(replicas=st.integers(1, 64), seqs=st.integers(1, 1024), ttft_s=st.floats(0.01, 100))
def test_values_arrive_as_written(
    tmp_path_factory: pytest.TempPathFactory, replicas: int, seqs: int, ttft_s: float
) -> None:
    values = make_fleet(deployment={"replicas": replicas, "arguments": {"max_num_seqs": seqs}})
    values["slo"]["ttft_s"] = ttft_s
    (deployment,) = read(tmp_path_factory.getbasetemp(), values).deployments
    assert deployment.num_replicas == replicas
    assert deployment.arguments.max_num_seqs == seqs
    assert deployment.slo.ttft_s == ttft_s


def list_keys(section: type[BaseModel]) -> set[str]:
    keys = set(section.model_fields)
    for field in section.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= list_keys(part)
    return keys


def test_every_key_is_documented() -> None:
    text = (EXAMPLE.parents[1] / "docs" / "fleet-file.md").read_text()
    missing = [key for key in sorted(list_keys(FleetSection)) if f"`{key}`" not in text]
    assert not missing


def test_a_region_that_no_price_names_is_said(tmp_path: Path) -> None:
    price = {"gpu": "H100-SXM", "region": "eu-1", "price_usd_per_gpu_h": 3.0}
    values = make_fleet(limits={"regions": ["eu-1", "eu-9"]}, prices=[price])
    text = " ".join(read(tmp_path, values).assumed)
    assert "No price names the region eu-9:" in text


def test_a_models_note_is_said_once(tmp_path: Path) -> None:
    deployment = {"model": "deepseek-ai/DeepSeek-V3", "gpu": "H200-SXM", "price": "unknown",
                  "arguments": {"tensor_parallel_size": 8}}  # fmt: skip
    fleet = read(tmp_path, make_fleet(deployment=deployment))
    assert fleet.deployments[0].model.notes
    assert "multi-token" not in " ".join(fleet.deployments[0].assumed)  # the analysis adds it
