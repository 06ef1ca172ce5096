"""Open models known by their Hugging Face names, from their published config.json."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from optiinfra.domain.architectures import Architecture
from optiinfra.domain.architectures_dense import DENSE
from optiinfra.domain.architectures_experts import EXPERTS
from optiinfra.domain.architectures_latent import LATENT
from optiinfra.domain.errors import InputError

ARCHITECTURES: tuple[Architecture, ...] = (*DENSE, *EXPERTS, *LATENT)

# Names under which the same repository was published before, or is mirrored.
_ALIASES = MappingProxyType(
    {
        "zhipuai/glm-5": "zai-org/GLM-5",
        "zhipuai/glm-4.5": "zai-org/GLM-4.5",
        "zhipuai/glm-4.5-air": "zai-org/GLM-4.5-Air",
        "meta-llama/meta-llama-3.1-8b": "meta-llama/Llama-3.1-8B",
        "meta-llama/meta-llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/meta-llama-3.1-70b": "meta-llama/Llama-3.1-70B",
        "meta-llama/meta-llama-3.1-70b-instruct": "meta-llama/Llama-3.1-70B-Instruct",
        "meta-llama/meta-llama-3.1-405b": "meta-llama/Llama-3.1-405B",
        "meta-llama/meta-llama-3.1-405b-instruct": "meta-llama/Llama-3.1-405B-Instruct",
    }
)
# Ends of names of quantised copies, and the format of their weights.
_QUANTIZED_ENDS = (
    ("-nvfp4", "fp4"),
    ("-mxfp4", "fp4"),
    ("-fp4", "fp4"),
    ("-fp8-dynamic", "fp8"),
    ("-fp8", "fp8"),
    ("-gptq-int4", "gptq"),
    ("-awq", "awq"),
    ("-quantized.w8a8", "int8"),
    ("-quantized.w4a16", "int4"),
)
# Publishers whose quantised copies keep the name of the model behind their own.
_QUANTIZERS = ("nvidia", "redhatai", "neuralmagic")
_BY_LOWER_NAME = MappingProxyType({a.name.lower(): a for a in ARCHITECTURES})


def find_architecture(name: str) -> Architecture | None:
    """The model of that Hugging Face name, or None.

    Case does not matter; the organisation may be left out where that is unambiguous.
    """
    lower = name.strip().lower()
    lower = _ALIASES.get(lower, lower).lower()
    if lower in _BY_LOWER_NAME:
        return _BY_LOWER_NAME[lower]
    if "/" not in lower:
        matches = [a for key, a in _BY_LOWER_NAME.items() if key.split("/")[1] == lower]
        return matches[0] if len(matches) == 1 else None
    return _find_quantized(name.strip(), lower)


def _find_quantized(name: str, lower: str) -> Architecture | None:
    """A quantised copy by its own publisher or by one of those who publish copies, or None."""
    publisher, tail = lower.split("/", 1)
    for end, quantization in _QUANTIZED_ENDS:
        if tail.endswith(end):
            tail = tail.removesuffix(end)
            own = _ALIASES.get(f"{publisher}/{tail}", f"{publisher}/{tail}").lower()
            base = _BY_LOWER_NAME.get(own)
            if base is None and publisher in _QUANTIZERS:
                base = find_architecture(tail)
            if base is None:
                return None
            return replace(
                base,
                name=name,
                native_quantization=quantization,
                source=f"{base.source} (a copy in {quantization}, by its name)",
            )
    return None


def list_close_model_names(name: str) -> tuple[str, ...]:
    """Up to three catalogue names that look like `name`, closest first."""
    lower = name.strip().lower()
    by_tail = {key.split("/")[1]: a.name for key, a in _BY_LOWER_NAME.items()}
    return tuple(by_tail[key] for key in get_close_matches(lower.split("/")[-1], by_tail, n=3))


def get_architecture(name: str) -> Architecture:
    """The model of that Hugging Face name; InputError with the closest names."""
    architecture = find_architecture(name)
    if architecture is None:
        close = list_close_model_names(name)
        hint = f"Closest: {', '.join(close)}. " if close else ""
        raise InputError(
            f"The catalogue has no model '{name}'.",
            remedy=f"{hint}Any other model can be given by the path of its config.json.",
            field="model",
        )
    return architecture
