"""A fleet file, read, checked and resolved: `read_fleet`. docs/fleet-file.md explains its keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from optiinfra.adapters.fleet_file_deployment import DeploymentResolver
from optiinfra.adapters.fleet_file_prices import (
    PriceResolver,
    check_price_keys,
    list_candidate_offers,
    make_own_offers,
)
from optiinfra.adapters.fleet_file_schema import (
    DeploymentSection,
    FleetSection,
    GPUSection,
    PriceSection,
    parse_fleet_section,
)
from optiinfra.adapters.fleet_file_yaml import (
    Document,
    KeyPath,
    format_path,
    read_document,
)
from optiinfra.adapters.price_book import PriceBook
from optiinfra.domain.errors import InputError
from optiinfra.domain.fleet import Deployment, Fleet, Limits
from optiinfra.domain.gpu_catalogue import find_gpu, get_nearest_gpu, list_close_gpu_names
from optiinfra.domain.gpu_datasheets import GPUS
from optiinfra.domain.gpus import GPU
from optiinfra.domain.prices import Offer

_PROFILE_LENGTHS = (24, 168)  # hours of a day, of a week
_NOT_IN_DIGEST = frozenset({"source", "notes", "digest"})  # prose, and the digest itself


def read_fleet(path: Path, *, price_book: PriceBook) -> Fleet:
    """The fleet that a YAML file describes; InputError with file, line and field.

    Every omitted value is resolved, and said in `assumed`. The digest depends on the resolved
    values alone, not on comments, the order of keys or where the file lies.
    """
    document = read_document(path)
    section = parse_fleet_section(document)
    return _FleetResolver(document, section, price_book, path).resolve()


def locate_error(error: InputError, path: Path) -> None:
    """Give an error about a deployment, found after reading, the file and line it is about.

    The rest of the program knows deployments by name, `deployments.chat.slo`, and no lines.
    """
    names = (error.field or "").removeprefix("deployments.")
    if error.line is not None or names == error.field:
        return
    try:
        document = read_document(path)
    except InputError:
        return
    for index, section in enumerate(document.values["deployments"]):
        name = str(section["name"])
        rest: KeyPath = ("slo",) if names == f"{name}.slo" else ()
        if names != name and not rest:
            continue
        here: KeyPath = ("deployments", index, *rest)
        if rest and here not in document.lines and rest in document.lines:
            here = rest  # the promise of the whole fleet
        error.file, error.line = document.file, document.find_line(here)
        error.field = format_path(here)


def compute_fleet_digest(fleet: Fleet) -> str:
    """SHA-256, in hex, of the fleet's values as canonical JSON."""
    text = json.dumps(_to_plain(asdict(fleet)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _to_plain(value: Any) -> Any:
    """A value as JSON has it. Sentences are left out; the names of assumed arguments are not."""
    if isinstance(value, dict):
        left_out = _NOT_IN_DIGEST | (set() if "max_num_seqs" in value else {"assumed"})
        return {key: _to_plain(item) for key, item in value.items() if key not in left_out}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, (str, int, float)) or value is None:
        return value
    return str(value)


class _FleetResolver:
    """Resolves one file's sections, top to bottom."""

    def __init__(
        self, document: Document, section: FleetSection, book: PriceBook, path: Path
    ) -> None:
        self.document = document
        self.section = section
        self.book = book
        self.path = path
        self.assumed: list[str] = []

    def resolve(self) -> Fleet:
        """The whole fleet."""
        self._check_names()
        own_gpus = {
            entry.name: self._make_gpu(entry, ("gpus", index))
            for index, entry in enumerate(self.section.gpus)
        }
        limits = self._make_limits(own_gpus)
        own_offers = self._list_own_offers(own_gpus)
        resolver = DeploymentResolver(
            document=self.document,
            folder=self.path.parent,
            slo=self.section.slo,
            prices=PriceResolver(
                document=self.document, book=self.book, limits=limits, own=own_offers
            ),
        )
        deployments: list[Deployment] = []
        for index, entry in enumerate(self.section.deployments):
            here: KeyPath = ("deployments", index)
            gpu = self._get_gpu(entry.gpu, (*here, "gpu"), own_gpus)
            deployments.append(resolver.resolve(entry, here, gpu=gpu))
            if entry.purchase_option == "on_demand":
                own_offers += make_own_offers(entry, gpu=gpu.name)
        self._note_sizes()
        self._note_regions()
        gpus = tuple(
            gpu for gpu in (*own_gpus.values(), *GPUS) if not limits.gpus or gpu.name in limits.gpus
        )
        fleet = Fleet(
            customer=self.section.customer.name,
            email=self.section.customer.email,
            deployments=tuple(deployments),
            limits=limits,
            gpus=gpus,
            offers=list_candidate_offers(self.book, own=own_offers, limits=limits, gpus=gpus),
            digest="",
            source=self.path.name,
            rate_profile=self._get_rate_profile(),
            assumed=tuple(self.assumed),
        )
        return replace(fleet, digest=compute_fleet_digest(fleet))

    def _check_names(self) -> None:
        """Deployments and own GPUs have names of their own."""
        for key in ("deployments", "gpus"):
            seen: set[str] = set()
            for index, entry in enumerate(getattr(self.section, key)):
                if entry.name in seen:
                    raise self.document.refuse(
                        (key, index, "name"),
                        f"`{entry.name}` is the name of two {key}.",
                        remedy="Give each its own name.",
                    )
                seen.add(entry.name)

    def _make_gpu(self, entry: GPUSection, path: KeyPath) -> GPU:
        """A GPU by its datasheet; what kernels reach is that of the nearest catalogue type."""
        if find_gpu(entry.name) is not None:
            raise self.document.refuse(
                (*path, "name"),
                f"`{entry.name}` is a GPU type of the catalogue.",
                remedy="Remove the entry, or give it another name.",
            )
        nearest = get_nearest_gpu(
            memory_bytes_per_s=entry.memory_gb_per_s * 1e9,
            bf16_flops=entry.bf16_tflops * 1e12,
            has_fp8=entry.fp8_tflops is not None,
            has_bf16=entry.has_bf16,
        )
        flops, bandwidth = entry.achievable_flops_ratio, entry.achievable_bandwidth_ratio
        source = "datasheet figures in the fleet file"
        if flops is None or bandwidth is None:
            source += f"; achievable shares of {nearest.name}, the nearest GPU type"
            self.assumed.append(
                f"{entry.name} reaches the same shares of its peaks as {nearest.name}."
            )
        return GPU(
            name=entry.name,
            memory_bytes=entry.memory_mib * 2**20,
            memory_bytes_per_s=entry.memory_gb_per_s * 1e9,
            bf16_flops=entry.bf16_tflops * 1e12,
            link_bytes_per_s=entry.link_gb_per_s * 1e9,
            power_w=entry.power_w,
            achievable_flops_ratio=nearest.achievable_flops_ratio if flops is None else flops,
            achievable_bandwidth_ratio=(
                nearest.achievable_bandwidth_ratio if bandwidth is None else bandwidth
            ),
            fp8_flops=None if entry.fp8_tflops is None else entry.fp8_tflops * 1e12,
            has_bf16=entry.has_bf16,
            is_nvlink=entry.is_nvlink,
            source=source,
        )

    def _get_gpu(self, name: str, path: KeyPath, own: dict[str, GPU]) -> GPU:
        """The user's own GPU type, else the catalogue's."""
        gpu = own.get(name) or find_gpu(name)
        if gpu is None:
            close = ", ".join([*get_close_matches(name, own), *list_close_gpu_names(name)])
            raise self.document.refuse(
                path,
                f"No GPU type is called '{name}' without doubt.",
                remedy=f"Closest: {close}. Any other can be given by its datasheet under `gpus`.",
            )
        return gpu

    def _make_limits(self, own_gpus: dict[str, GPU]) -> Limits:
        """Limits with names as the catalogue and the price book have them."""
        limits = self.section.limits
        if limits.min_replicas > limits.max_replicas:
            is_given = "max_replicas" in limits.model_fields_set
            raise self.document.refuse(
                ("limits", "max_replicas" if is_given else "min_replicas"),
                f"min_replicas ({limits.min_replicas}) is above max_replicas "
                f"({limits.max_replicas}).",
                remedy="Mend the one or the other.",
            )
        return Limits(
            min_replicas=limits.min_replicas,
            max_replicas=limits.max_replicas,
            headroom_ratio=limits.headroom_ratio,
            clouds=tuple(
                self._get_cloud(name, ("limits", "clouds", index))
                for index, name in enumerate(limits.clouds)
            ),
            regions=tuple(limits.regions),
            gpus=tuple(
                self._get_gpu(name, ("limits", "gpus", index), own_gpus).name
                for index, name in enumerate(limits.gpus)
            ),
        )

    def _get_cloud(self, name: str, path: KeyPath) -> str:
        """The cloud as the price book or the file itself spells it."""
        own = [entry.cloud for entry in self.section.prices]
        own += [entry.cloud for entry in self.section.deployments]
        known = {*self.book.clouds, *(cloud for cloud in own if cloud)}
        by_lower = {cloud.lower(): cloud for cloud in sorted(known)}
        if name.lower() not in by_lower:
            close = get_close_matches(name.lower(), by_lower, n=3) or sorted(by_lower)
            raise self.document.refuse(
                path,
                f"No price is known in a cloud called '{name}'.",
                remedy=f"Known: {', '.join(by_lower[c] for c in close)}. Prices of another cloud "
                "go under `prices`.",
            )
        return by_lower[name.lower()]

    def _list_own_offers(self, own_gpus: dict[str, GPU]) -> tuple[Offer, ...]:
        """The entries of `prices` as offers."""
        offers: list[Offer] = []
        for index, entry in enumerate(self.section.prices):
            path: KeyPath = ("prices", index)
            check_price_keys(self.document, path, entry)
            gpu = self._get_gpu(entry.gpu, (*path, "gpu"), own_gpus)
            offers.extend(make_own_offers(entry, gpu=gpu.name))
        return tuple(offers)

    def _note_sizes(self) -> None:
        """Say that a price per GPU stands for instances of several sizes."""
        sections: list[PriceSection | DeploymentSection] = [
            *self.section.prices,
            *self.section.deployments,
        ]
        if any(s.price_usd_per_gpu_h is not None and s.gpus_per_instance is None for s in sections):
            self.assumed.append(
                "A price per GPU is taken for instances of 1, 2, 4 and 8 GPUs; give "
                "gpus_per_instance where GPUs are rented in one size only."
            )

    def _note_regions(self) -> None:
        """Say that a region which no price names restricts nothing."""
        named = {*self.book.regions, *(entry.region for entry in self.section.prices)}
        named |= {entry.region for entry in self.section.deployments}
        unknown = [region for region in self.section.limits.regions if region not in named]
        if unknown:
            self.assumed.append(
                f"No price names the region {' or '.join(unknown)}: prices without a region count "
                "for every region, so check that what is proposed is sold there."
            )

    def _get_rate_profile(self) -> tuple[float, ...]:
        """Relative hourly rates of a day or a week, () when not given."""
        profile = self.section.rate_profile
        if not profile:
            return ()
        if len(profile) not in _PROFILE_LENGTHS or not any(profile):
            raise self.document.refuse(
                ("rate_profile",),
                f"`rate_profile` has {len(profile)} rates"
                + ("." if any(profile) else ", all of them 0."),
                remedy="Give 24 (hours of a day) or 168 (of a week, from Monday) relative rates.",
            )
        return tuple(float(rate) for rate in profile)
