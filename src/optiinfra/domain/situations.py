"""A situation in which something was decided, as features, and how much two of them agree.

Each feature agrees with itself by 1 and with what has nothing to do with it by 0. A category agrees
when it is the same. A number lies on a scale of its own, most of them logarithmic, turned into an
angle x between 0 and pi; two numbers agree by the Fejer kernel of their angles' difference d,

    F(d) = (sin(n d / 2) / (n sin(d / 2))) ** 2,   n = ORDER + 1,

which is a positive sum of cosines: so a number can be written as 2 * ORDER + 1 coordinates whose
dot product with another's is their agreement. The dot product of two vectors of `to_vector` is the
sum over the features of weight times agreement, and nothing else; what is unknown on one side adds
nothing. The vectors find who may be near, `compare` says by which features, and exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from optiinfra.domain.engine_arguments import Engine
from optiinfra.domain.errors import InputError
from optiinfra.domain.prices import PurchaseOption

ORDER: Final = 5
MAX_CATEGORY_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Scale:
    """What a number is placed on: from `low` to `high`; beyond them it counts as the end."""

    low: float
    high: float
    weight: float = 1.0
    is_log: bool = True

    def compute_angle(self, value: float) -> float:
        """0 at the low end, pi at the high one."""
        kept = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(kept / self.low) / math.log(self.high / self.low)
        else:
            share = (kept - self.low) / (self.high - self.low)
        return math.pi * share


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of a category: `known` ones by their place, others by their hash into `num_others`."""

    num_others: int
    weight: float = 1.0
    known: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many coordinates it has."""
        return len(self.known) + self.num_others

    def compute_slot(self, word: str) -> int:
        """The coordinate of a word; two others may share one, which only `compare` can tell."""
        if word in self.known:
            return self.known.index(word)
        digest = hashlib.sha256(word.encode()).digest()
        return len(self.known) + int.from_bytes(digest[:4], "big") % self.num_others


SCALES: Final[Mapping[str, Scale]] = {
    "request_rate_per_s": Scale(0.01, 1_000),
    "prompt_tokens_mean": Scale(16, 131_072),
    "output_tokens_mean": Scale(4, 16_384),
    "index_of_dispersion": Scale(0.1, 1_000, weight=0.5),
    "num_parameters": Scale(1e8, 2e12),
    "num_replicas": Scale(1, 1_024),
    "tensor_parallel_size": Scale(1, 16, weight=0.5),
    "kv_cache_usage_ratio": Scale(0, 1, is_log=False),
    "slo_attainment_ratio": Scale(0, 1, is_log=False),
    "list_cost_usd_per_h": Scale(0.1, 10_000),
    "replicas_factor": Scale(1 / 16, 16),
    "list_cost_factor": Scale(1 / 16, 16),
}
_OPTIONS: Final = tuple(option.value for option in PurchaseOption)
VOCABULARIES: Final[Mapping[str, Vocabulary]] = {
    "action": Vocabulary(32, weight=2.0),
    "model_family": Vocabulary(32, weight=1.5),
    "gpu": Vocabulary(32, weight=1.5),
    "gpu_after": Vocabulary(32),
    "engine": Vocabulary(4, known=tuple(engine.value for engine in Engine)),
    "purchase_option": Vocabulary(4, known=_OPTIONS),
    "purchase_option_after": Vocabulary(4, weight=0.5, known=_OPTIONS),
}
DIMENSIONS: Final = len(SCALES) * (2 * ORDER + 1) + sum(v.size for v in VOCABULARIES.values())


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of the workload, of what serves it, and of the change; None: unknown.

    A `_factor` is after over before. InputError for a number that is not finite or not above zero
    where its scale is logarithmic, and for a category that is empty or too long.
    """

    request_rate_per_s: float | None = None
    prompt_tokens_mean: float | None = None
    output_tokens_mean: float | None = None
    index_of_dispersion: float | None = None
    num_parameters: float | None = None
    num_replicas: float | None = None
    tensor_parallel_size: float | None = None
    kv_cache_usage_ratio: float | None = None
    slo_attainment_ratio: float | None = None
    list_cost_usd_per_h: float | None = None
    replicas_factor: float | None = None
    list_cost_factor: float | None = None
    action: str | None = None
    model_family: str | None = None
    gpu: str | None = None
    gpu_after: str | None = None
    engine: str | None = None
    purchase_option: str | None = None
    purchase_option_after: str | None = None

    def __post_init__(self) -> None:
        for name, scale in SCALES.items():
            value = getattr(self, name)
            if value is not None and not _is_on(scale, value):
                raise InputError(
                    f"{name} of a situation is {value!r}.",
                    remedy="Give a finite number, above zero where it is a rate, a count or a cost;"
                    " leave it out where it is unknown.",
                )
        for name in VOCABULARIES:
            word = getattr(self, name)
            if word is not None and not (isinstance(word, str) and _is_word(word)):
                raise InputError(
                    f"{name} of a situation is {word!r}.",
                    remedy=f"Give 1 to {MAX_CATEGORY_LENGTH} characters, or leave it out.",
                )

    def list_known(self) -> dict[str, float | str]:
        """What is known, by the feature's name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much a feature agrees: 0 to 1, or None where it is unknown on one side.

    `contribution` is its part of the similarity; the parts add up to it.
    """

    feature: str
    asked: float | str | None
    remembered: float | str | None
    agreement: float | None
    contribution: float


def read_situation(document: Mapping[str, Any]) -> Situation:
    """The situation as `list_known` wrote it. Raises InputError for what no situation has."""
    unknown = sorted(document.keys() - SCALES.keys() - VOCABULARIES.keys())
    if unknown:
        raise InputError(
            f"a situation has no feature {unknown[0]!r}.", remedy="A newer program wrote it."
        )
    return Situation(**document)


def compare(asked: Situation, remembered: Situation) -> tuple[Agreement, ...]:
    """Feature by feature, the largest contribution first; unknown on both sides is left out.

    Contributions are shares of the weight of all that is known of what was asked: a situation
    agrees with itself by 1.
    """
    known, other = asked.list_known(), remembered.list_known()
    total = sum(get_weight(name) for name in known)
    found = []
    for name in [*SCALES, *VOCABULARIES]:
        if name not in known and name not in other:
            continue
        agreement = None
        if name in known and name in other:
            agreement = compute_agreement(name, known[name], other[name])
        part = 0.0 if agreement is None else get_weight(name) * agreement / total
        found.append(Agreement(name, known.get(name), other.get(name), agreement, part))
    return tuple(sorted(found, key=lambda each: -each.contribution))


def compute_similarities(asked: Situation, others: Sequence[Situation]) -> list[float]:
    """The sum of the contributions of `compare` for each of the others, and nothing besides."""
    known = asked.list_known()
    total = sum(get_weight(name) for name in known)
    angles = {n: SCALES[n].compute_angle(float(v)) for n, v in known.items() if n in SCALES}
    words = {name: value for name, value in known.items() if name in VOCABULARIES}
    found = []
    for other in others:
        agreed = 0.0
        for name, angle in angles.items():
            value = getattr(other, name)
            if value is not None:
                scale = SCALES[name]
                agreed += scale.weight * compute_fejer(abs(angle - scale.compute_angle(value)))
        for name, word in words.items():
            if getattr(other, name) == word:
                agreed += VOCABULARIES[name].weight
        found.append(agreed / total if total else 0.0)
    return found


def compute_agreement(name: str, one: float | str, other: float | str) -> float:
    """Of two values of a feature: 0 to 1."""
    if name in VOCABULARIES:
        return float(one == other)
    scale = SCALES[name]
    difference = abs(scale.compute_angle(float(one)) - scale.compute_angle(float(other)))
    return compute_fejer(difference)


def compute_fejer(angle: float) -> float:
    """The Fejer kernel of order ORDER, scaled to 1 at 0; 0 to 1 (L. Fejer, 1900)."""
    half, n = angle / 2, ORDER + 1
    if abs(math.sin(half)) < 1e-9:  # noqa: PLR2004 - where the quotient loses its digits
        return 1.0
    return (math.sin(n * half) / (n * math.sin(half))) ** 2


def get_weight(name: str) -> float:
    """Of a feature, in the similarity."""
    return VOCABULARIES[name].weight if name in VOCABULARIES else SCALES[name].weight


def to_vector(situation: Situation) -> list[float]:
    """DIMENSIONS coordinates; zeros where nothing is known."""
    vector: list[float] = []
    for name, scale in SCALES.items():
        value = getattr(situation, name)
        part = [0.0] * (2 * ORDER + 1)
        if value is not None:
            angle, root = scale.compute_angle(value), math.sqrt(scale.weight)
            part = [root * coordinate for coordinate in _expand(angle)]
        vector += part
    for name, vocabulary in VOCABULARIES.items():
        part = [0.0] * vocabulary.size
        word = getattr(situation, name)
        if word is not None:
            part[vocabulary.compute_slot(word)] = math.sqrt(vocabulary.weight)
        vector += part
    return vector


def _expand(angle: float) -> list[float]:
    """Coordinates whose dot product is the kernel: F(d) = 1/n (1 + 2 sum (1 - k/n) cos(k d))."""
    n = ORDER + 1
    coordinates = [math.sqrt(1 / n)]
    for k in range(1, n):
        root = math.sqrt(2 / n * (1 - k / n))
        coordinates += [root * math.cos(k * angle), root * math.sin(k * angle)]
    return coordinates


def _is_on(scale: Scale, value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and (value > 0 or (value == 0 and not scale.is_log))  # type: ignore[arg-type,operator]


def _is_word(word: str) -> bool:
    return 0 < len(word) <= MAX_CATEGORY_LENGTH and word.isprintable()
