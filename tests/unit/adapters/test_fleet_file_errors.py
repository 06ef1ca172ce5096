"""Every way a fleet file can be wrong: one paragraph with file, line, field and what to do."""

from pathlib import Path

import pytest

from optiinfra.adapters.fleet_file import locate_error, read_fleet
from optiinfra.adapters.price_book import read_price_book
from optiinfra.domain.errors import InputError

BOOK = read_price_book()
GOOD = """\
customer:
  name: Example
  email: platform@example.com
slo:
  ttft_s: 1.0
  tpot_s: 0.03
  attainment_ratio: 0.95
limits:
  min_replicas: 2
deployments:
  - name: chat
    model: meta-llama/Llama-3.1-8B-Instruct
    engine: vllm
    gpu: H100-SXM
    replicas: 4
    arguments:
      max_num_seqs: 64
"""
OWN_GPU = """\
gpus:
  - name: Mine
    memory_mib: 49140
    memory_gb_per_s: 960
    bf16_tflops: 300
    link_gb_per_s: 32
    power_w: 300
"""


def refuse(folder: Path, text: str | bytes) -> InputError:
    path = folder / "fleet.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_fleet(path, price_book=BOOK)
    error = caught.value
    assert error.file == str(path)
    assert error.problem
    assert error.remedy
    assert error.exit_code == 2
    assert "\n" not in str(error)
    return error


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(GOOD)
    assert read_fleet(path, price_book=BOOK).deployments[0].name == "chat"


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        # Values of the wrong kind.
        ("ttft_s: 1.0", "ttft_s: '1.0'", 5, "slo.ttft_s", "Remove the quotes"),
        ("ttft_s: 1.0", "ttft_s: fast", 5, "slo.ttft_s", "the text 'fast'"),
        ("ttft_s: 1.0", "ttft_s: .nan", 5, "slo.ttft_s", "finite"),
        ("ttft_s: 1.0", "ttft_s: .inf", 5, "slo.ttft_s", "finite"),
        ("ttft_s: 1.0", "ttft_s: -1", 5, "slo.ttft_s", "greater than 0"),
        ("ttft_s: 1.0", "ttft_s: no", 5, "slo.ttft_s", "the text 'no'"),
        ("ttft_s: 1.0", "ttft_s: true", 5, "slo.ttft_s", "is True"),
        ("ttft_s: 1.0", "ttft_s:", 5, "slo.ttft_s", "neither for the fleet"),
        ("ttft_s: 1.0", "ttft_s: 1:30", 5, "slo.ttft_s", "the text '1:30'"),
        ("attainment_ratio: 0.95", "attainment_ratio: 95", 7, "slo.attainment_ratio", "equal to 1"),
        ("name: Example", 'name: ""', 2, "customer.name", "`name` is empty"),
        ("replicas: 4", "replicas: 4.5", 15, "deployments[0].replicas", "whole number"),
        ("replicas: 4", "replicas: 0", 15, "deployments[0].replicas", "greater than or equal to 1"),
        ("replicas: 4", "replicas: '4'", 15, "deployments[0].replicas", "Remove the quotes"),
        ("replicas: 4", f"replicas: {10**30}", 15, "deployments[0].replicas", "too many digits"),
        ("replicas: 4", "replicas: !!python/name:os.system", 15, "deployments[0].replicas", "tag"),
        ("name: chat", "name: 7", 11, "deployments[0].name", "in quotes"),
        ("platform@example.com", "nobody", 3, "customer.email", "platform@example.com"),
        ("engine: vllm", "engine: ollama", 13, "deployments[0].engine", "'vllm', 'sglang'"),
        ("min_replicas: 2", "max_replicas: 1", 9, "limits.max_replicas", "above max_replicas"),
        ("min_replicas: 2", "headroom_ratio: -1", 9, "limits.headroom_ratio", "greater than"),
        ("min_replicas: 2", "clouds: AWS", 9, "limits.clouds", "a list"),
        ("min_replicas: 2", "clouds: [AWZ]", 9, "limits.clouds[0]", "AWS"),
        ("min_replicas: 2", "gpus: [H1000]", 9, "limits.gpus[0]", "H100-SXM"),
        # Keys.
        ("tpot_s: 0.03", "tpot: 0.03", 6, "slo.tpot", "tpot_s"),
        ("tpot_s: 0.03", "", 4, "slo.tpot_s", "neither for the fleet"),
        ("replicas: 4", "replica: 4", 11, "deployments[0].replicas", "is missing"),
        ("    gpu: H100-SXM\n", "", 11, "deployments[0].gpu", "is missing"),
        ("    engine: vllm\n", "", 11, "deployments[0].engine", "Add engine"),
        ("    model: meta-llama/Llama-3.1-8B-Instruct\n", "", 11, "deployments[0].model", "Add"),
        ("replicas: 4", "replicas: 4\n    gpu: L4", 16, "deployments[0].gpu", "first in line 14"),
        ("customer:", "customers:", 1, "customers", "customer"),
        ("limits:\n", "limits: 3\nx:\n", 8, "limits", "keys with values"),
        # Flags.
        ("max_num_seqs: 64", "max_num_seq: 64", 17, "max_num_seq", "--max-num-seqs"),
        ("max_num_seqs: 64", "max_num_seqs: '64'", 17, "max_num_seqs", "without quotes"),
        ("max_num_seqs: 64", "max_num_seqs: 0", 17, "max_num_seqs", "1 or more"),
        ("max_num_seqs: 64", "max_num_seqs: 1.5", 17, "max_num_seqs", "whole number"),
        ("max_num_seqs: 64", "max_num_seqs: true", 17, "max_num_seqs", "whole number"),
        (
            "max_num_seqs: 64",
            "gpu_memory_utilization: 90",
            17,
            "gpu_memory_utilization",
            "share above 0",
        ),
        ("max_num_seqs: 64", "enable_prefix_caching: no", 17, "enable_prefix_caching", "true or"),
        ("max_num_seqs: 64", "cpu-offload-gb: 4", 17, "cpu-offload-gb", "not simulated"),
        ("max_num_seqs: 64", "chunked_prefill_size: 1", 17, "chunked_prefill_size", "vLLM calls"),
        (
            "max_num_seqs: 64",
            "max_num_seqs: 64\n      --max-num-seqs: 32",
            18,
            "--max-num-seqs",
            "says again",
        ),
        (
            "max_num_seqs: 64",
            "max_num_seqs: 64\n      max_num_batched_tokens: 32",
            18,
            "max_num_batched_tokens",
            "does not start",
        ),
        (
            "max_num_seqs: 64",
            "max_num_seqs: 9000",
            16,
            "max_num_batched_tokens",
            "below max_num_seqs (9000)",
        ),
        ("max_num_seqs: 64", "tensor-parallel-size: 5", 17, "tensor-parallel-size", "32 attention"),
        (
            "max_num_seqs: 64",
            "quantization: modelopt",
            16,
            "deployments[0].arguments",
            "config.json",
        ),
        # Names that are not known.
        ("H100-SXM", "H100-SMX", 14, "deployments[0].gpu", "H100-SXM"),
        ("H100-SXM", "A100", 14, "deployments[0].gpu", "A100-80-SXM"),
        ("Llama-3.1-8B-Instruct", "Llama-3.1-9B", 12, "deployments[0].model", "Llama-3.1-8B"),
        # Prices.
        ("H100-SXM", "H200-SXM", 14, "deployments[0].gpu", "price: unknown"),
        ("replicas: 4", "replicas: 4\n    cloud: AWS", 14, "deployments[0].gpu", "in AWS"),
        (
            "replicas: 4",
            "replicas: 4\n    purchase_option: spot",
            14,
            "deployments[0].gpu",
            "on-demand prices only",
        ),
        (
            "replicas: 4",
            "replicas: 4\n    instance_type: x9",
            16,
            "deployments[0].instance_type",
            "as x9",
        ),
        (
            "replicas: 4",
            "replicas: 4\n    price_usd_per_gpu_h: 0",
            16,
            "deployments[0].price_usd_per_gpu_h",
            "greater than 0",
        ),
        (
            "replicas: 4",
            "replicas: 4\n    price: free",
            16,
            "deployments[0].price",
            "'unknown'",
        ),
        (
            "replicas: 4",
            "replicas: 4\n    price: unknown\n    price_usd_per_gpu_h: 1",
            16,
            "deployments[0].price",
            "exclude each other",
        ),
        (
            "replicas: 4",
            "replicas: 4\n    price_usd_per_instance_h: 9",
            16,
            "deployments[0].price_usd_per_instance_h",
            "gpus_per_instance",
        ),
        (
            "max_num_seqs: 64",
            "tensor_parallel_size: 2\n    price_usd_per_gpu_h: 1\n    gpus_per_instance: 1",
            19,
            "deployments[0].gpus_per_instance",
            "takes 2 GPUs",
        ),
        # The engine's version.
        (
            "engine: vllm",
            "engine: vllm\n    engine_version: 0.6.3",
            14,
            "deployments[0].engine_version",
            "not simulated",
        ),
        (
            "engine: vllm",
            "engine: vllm\n    engine_version: nightly",
            14,
            "deployments[0].engine_version",
            "not a version",
        ),
    ],
)
def test_a_wrong_value(  # noqa: PLR0917  # pytest passes them by name
    tmp_path: Path, old: str, new: str, line: int, field: str, said: str
) -> None:
    assert GOOD.count(old) == 1
    error = refuse(tmp_path, GOOD.replace(old, new))
    known_places = ("deployments", "slo", "limits", "customer")
    place = field if field.startswith(known_places) else f"deployments[0].arguments.{field}"
    assert (error.line, error.field) == (line, place)
    assert said in str(error)


@pytest.mark.parametrize(
    ("more", "line", "field", "said"),
    [
        ("rate_profile: [1, 2, 3]\n", 18, "rate_profile", "24"),
        (f"rate_profile: {[0] * 24}\n", 18, "rate_profile", "all of them 0"),
        ("rate_profile: [-1]\n", 18, "rate_profile[0]", "greater than"),
        ("prices:\n  - gpu: L40S\n", 19, "prices[0]", "has no price"),
        ("prices:\n  - gpu: L40\n    price_usd_per_gpu_h: 1\n", 19, "prices[0].gpu", "L40S"),
        (OWN_GPU.replace("Mine", "h100"), 19, "gpus[0].name", "the catalogue"),
        (OWN_GPU + OWN_GPU.removeprefix("gpus:\n"), 25, "gpus[1].name", "two gpus"),
        (OWN_GPU.replace("49140", "48"), 20, "gpus[0].memory_mib", "1024"),
        (OWN_GPU.replace("960", "'960'"), 21, "gpus[0].memory_gb_per_s", "Remove the quotes"),
        (OWN_GPU.replace("    power_w: 300\n", ""), 19, "gpus[0].power_w", "is missing"),
        ("deployment: []\n", 18, "deployment", "deployments"),
        ("---\ncustomer: {}\n", 18, None, "more than one"),
        ("\tx: 1\n", 18, None, "spaces"),
        ("x: [1, 2\n", 19, None, "not YAML"),
        ("x: *nowhere\n", 18, None, "not YAML"),
        ("? [a]\n: 1\n", 18, None, "not a word"),
        ("x: " + "[" * 50 + "]" * 50 + "\n", 18, None, "deeper than"),
        ("x: \x07\n", None, None, "control character"),
    ],
)
def test_a_wrong_section(
    tmp_path: Path, more: str, line: int | None, field: str | None, said: str
) -> None:
    error = refuse(tmp_path, GOOD + more)
    assert (error.line, error.field) == (line, field)
    assert said in str(error)


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "is empty"),
        (b"# only a comment\n", 1, "is empty"),
        (b"- a\n- b\n", 1, "not a list"),
        (b"just words\n", 1, "not a list"),
        (b"a: 1\nb: \xe9t\xe9\n", 2, "not UTF-8"),
        (b"a: 1\n\x00\x00", 2, "NUL byte"),
        (b"\x00" * 2_000_000, None, "larger than"),
        (b"[" * 100_000, 1, "deeper than"),
        (b"a: &a\n  b: *a\n", 1, "repeat too much"),
    ],
)
def test_what_is_no_fleet_file(tmp_path: Path, content: bytes, line: int | None, said: str) -> None:
    error = refuse(tmp_path, content)
    assert error.line == line
    assert said in str(error)


def test_a_billion_laughs(tmp_path: Path) -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(9):
        text += f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n"
    assert "repeat too much" in str(refuse(tmp_path, text))


def test_two_deployments_of_one_name(tmp_path: Path) -> None:
    error = refuse(tmp_path, GOOD + GOOD[GOOD.index("  - name") :])
    assert (error.line, error.field) == (18, "deployments[1].name")


def test_no_deployment(tmp_path: Path) -> None:
    error = refuse(tmp_path, GOOD[: GOOD.index("deployments:")] + "deployments: []\n")
    assert (error.line, error.field) == (10, "deployments")


def test_several_errors_are_counted(tmp_path: Path) -> None:
    text = GOOD.replace("ttft_s: 1.0", "ttft_s: x").replace("replicas: 4", "replicas: x")
    error = refuse(tmp_path, text)
    assert error.line == 5
    assert "(1 more after it.)" in str(error)


def test_a_folder_or_nothing_is_no_fleet_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an ordinary file"):
        read_fleet(tmp_path, price_book=BOOK)
    with pytest.raises(InputError, match="cannot be read"):
        read_fleet(tmp_path / "none.yaml", price_book=BOOK)


COMMAND = """\
customer: {name: Example, email: platform@example.com}
slo: {ttft_s: 1, tpot_s: 0.03, attainment_ratio: 0.95}
deployments:
  - name: chat
    gpu: H100-SXM
    replicas: 2
    command: >-
      vllm serve meta-llama/Llama-3.1-8B-Instruct
      --max-num-seqs 64
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("--max-num-seqs 64", "--max-num-sequences 64", 7, "command", "--max-num-seqs"),
        ("--max-num-seqs 64", "--speculative-config '{}'", 7, "command", "speculative"),
        ("--max-num-seqs 64", "-tp 5", 7, "command", "32 attention heads"),
        ("vllm serve", "ollama run", 7, "command", "does not start an engine"),
        ("meta-llama/Llama-3.1-8B-Instruct", "/models/llama", 7, "command", "local folder"),
        ("meta-llama/Llama-3.1-8B-Instruct", "someone/else", 7, "command", "no model"),
        ("meta-llama/Llama-3.1-8B-Instruct", "", 7, "command", "names no model"),
        ("    gpu:", "    engine: tgi\n    gpu:", 5, "engine", "starts vllm"),
        ("    gpu:", "    model: Qwen/Qwen3-8B\n    gpu:", 5, "model", "Remove `model`"),
        ("    gpu:", "    arguments: {max_num_seqs: 1}\n    gpu:", 5, "arguments", "exclude"),
    ],
)
def test_a_wrong_command(  # noqa: PLR0917  # pytest passes them by name
    tmp_path: Path, old: str, new: str, line: int, field: str, said: str
) -> None:
    error = refuse(tmp_path, COMMAND.replace(old, new, 1))
    assert (error.line, error.field) == (line, f"deployments[0].{field}")
    assert said in str(error)


def test_a_local_model_needs_the_key(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        COMMAND.replace("meta-llama/Llama-3.1-8B-Instruct", "/models/llama").replace(
            "    gpu:", "    model: meta-llama/Llama-3.1-8B\n    gpu:"
        )
    )
    fleet = read_fleet(path, price_book=BOOK)
    assert fleet.deployments[0].model.name == "meta-llama/Llama-3.1-8B"


def test_a_models_config_names_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    path = tmp_path / "fleet.yaml"
    path.write_text(GOOD.replace("meta-llama/Llama-3.1-8B-Instruct", "./config.json"))
    with pytest.raises(InputError) as caught:
        read_fleet(path, price_book=BOOK)
    assert caught.value.file == str(tmp_path / "config.json")
    assert caught.value.field == "model_type"


def test_a_bad_value_in_a_list_has_the_lists_name(tmp_path: Path) -> None:
    error = refuse(tmp_path, f"rate_profile: [1, -1]\n{GOOD}")
    assert (error.line, error.field) == (1, "rate_profile[1]")
    assert "`rate_profile[1]` should be greater" in error.problem


def test_an_empty_list_of_deployments(tmp_path: Path) -> None:
    error = refuse(tmp_path, GOOD.partition("deployments:")[0] + "deployments: []\n")
    assert error.problem == "`deployments` is empty."


@pytest.mark.parametrize(
    ("field", "own_slo", "line", "said"),
    [
        ("deployments.chat", "", 11, "deployments[0]"),
        ("deployments.chat.slo", "", 4, "slo"),
        ("deployments.chat.slo", "    slo:\n      ttft_s: 0.5\n", 18, "deployments[0].slo"),
        ("deployments.other", "", None, "deployments.other"),
        ("--report", "", None, "--report"),
    ],
)
def test_what_is_found_later_gets_its_line(
    tmp_path: Path, *, field: str, own_slo: str, line: int | None, said: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(GOOD + own_slo)
    error = InputError("No.", remedy="Do.", file="fleet.yaml", field=field)
    locate_error(error, path)
    assert (error.line, error.field) == (line, said)
    assert error.file == ("fleet.yaml" if line is None else str(path))
