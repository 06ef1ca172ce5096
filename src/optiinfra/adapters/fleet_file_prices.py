"""Which price is in force for a deployment, and which offers its candidates may use.

The user's own price wins; else the price book's in the cloud and region that are stated or allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from optiinfra.adapters.fleet_file_schema import DeploymentSection, PriceSection
from optiinfra.adapters.fleet_file_yaml import Document, KeyPath
from optiinfra.adapters.price_book import PriceBook
from optiinfra.domain.fleet import Limits
from optiinfra.domain.gpus import GPU
from optiinfra.domain.prices import Offer, PurchaseOption, compute_list_cost_usd_per_h

OWN_CLOUD = "own"  # where the user names none
_PER_GPU_SIZES = (1, 2, 4, 8)  # instances assumed where a price is per GPU and no size is given
_FIELDS = ("price_usd_per_gpu_h", "price_usd_per_instance_h", "price")


@dataclass(frozen=True, slots=True)
class PriceInForce:
    """Today's offer, None when unknown, with a sentence where something was assumed."""

    offer: Offer | None
    assumed: tuple[str, ...] = ()


def check_price_keys(
    document: Document, path: KeyPath, section: DeploymentSection | PriceSection
) -> None:
    """At most one price, and an instance's price with its number of GPUs."""
    given = [name for name in _FIELDS if getattr(section, name, None) is not None]
    if len(given) > 1:
        raise document.refuse(
            (*path, given[1]), f"`{given[1]}` and `{given[0]}` exclude each other.",
            remedy="Keep one of the two.",
        )  # fmt: skip
    if given == ["price_usd_per_instance_h"] and section.gpus_per_instance is None:
        raise document.refuse(
            (*path, given[0]),
            "`price_usd_per_instance_h` needs `gpus_per_instance`.",
            remedy="Add how many GPUs the instance has, or give price_usd_per_gpu_h.",
        )
    if not given and isinstance(section, PriceSection):
        raise document.refuse(
            path, "This entry of `prices` has no price.",
            remedy="Add price_usd_per_gpu_h, or price_usd_per_instance_h and gpus_per_instance.",
        )  # fmt: skip


def make_own_offers(
    section: DeploymentSection | PriceSection,
    *,
    gpu: str,
    sizes: tuple[int, ...] = _PER_GPU_SIZES,
    purchase_option: PurchaseOption = PurchaseOption.ON_DEMAND,
) -> tuple[Offer, ...]:
    """The user's price as offers: one instance size, or every size where it is per GPU."""
    if section.price_usd_per_instance_h is not None and section.gpus_per_instance is not None:
        costs = {section.gpus_per_instance: _to_decimal(section.price_usd_per_instance_h)}
    elif section.price_usd_per_gpu_h is not None:
        each = _to_decimal(section.price_usd_per_gpu_h)
        counts = sizes if section.gpus_per_instance is None else (section.gpus_per_instance,)
        costs = {count: count * each for count in counts}
    else:
        return ()
    return tuple(
        Offer(
            gpu=gpu,
            cloud=section.cloud or OWN_CLOUD,
            instance_type=section.instance_type or f"{count}x {gpu}",
            num_gpus=count,
            list_cost_usd_per_h=cost,
            purchase_option=purchase_option,
            region=section.region,
        )
        for count, cost in costs.items()
    )


def _to_decimal(price: float) -> Decimal:
    """The price as it was written: the shortest decimal that reads as this float."""
    return Decimal(repr(price)) if price != int(price) else Decimal(int(price))


@dataclass(frozen=True, slots=True)
class PriceResolver:
    """Finds prices for the deployments of one fleet file. `own` are the entries of `prices`."""

    document: Document
    book: PriceBook
    limits: Limits
    own: tuple[Offer, ...]

    def get_price(
        self, section: DeploymentSection, path: KeyPath, *, gpu: GPU, gpus_per_replica: int
    ) -> PriceInForce:
        """Today's price; InputError where the book has none and the user gave none."""
        if section.price == "unknown":
            return PriceInForce(None, ("Its price is unknown, so break-even prices are given.",))
        option = PurchaseOption(section.purchase_option)
        own = make_own_offers(
            section, gpu=gpu.name, sizes=(gpus_per_replica,), purchase_option=option
        )
        if own:
            self._check_size(own[0], path, gpus_per_replica)
            return PriceInForce(own[0])
        if option is not PurchaseOption.ON_DEMAND:
            raise self._refuse(
                section, path, f"No {option.value} price of {gpu.name} is known: the price book "
                "has on-demand prices only.",
            )  # fmt: skip
        fitting = [
            offer
            for offer in self._list_matching(section, gpu)
            if offer.num_gpus >= gpus_per_replica
        ]
        if not fitting:
            raise self._refuse(section, path, self._explain_missing(section, gpu, gpus_per_replica))
        cheapest = min(
            fitting,
            key=lambda o: (
                compute_list_cost_usd_per_h(
                    num_replicas=section.replicas, gpus_per_replica=gpus_per_replica, offer=o
                ),
                o.num_gpus,
                o.cloud,
                o.instance_type,
            ),
        )
        if section.instance_type is not None or cheapest.cloud == OWN_CLOUD:
            return PriceInForce(cheapest)
        per_gpu = cheapest.list_cost_usd_per_h / cheapest.num_gpus
        place = f"in {section.cloud}" if section.cloud else "in any allowed cloud"
        return PriceInForce(
            cheapest,
            (
                f"The cheapest on-demand offer for {gpu.name} {place} stands for its price: "
                f"{cheapest.cloud} {cheapest.instance_type}, {per_gpu:.2f} USD per GPU and hour"
                + (f" of {cheapest.as_of.isoformat()}." if cheapest.as_of else "."),
            ),
        )

    def _list_matching(self, section: DeploymentSection, gpu: GPU) -> tuple[Offer, ...]:
        """The user's `prices` for this GPU and place, else the book's."""
        clouds = (section.cloud,) if section.cloud else self.limits.clouds
        regions = (section.region,) if section.region else self.limits.regions
        own = tuple(
            offer
            for offer in self.own
            if offer.gpu == gpu.name and is_allowed(offer, clouds=clouds, regions=regions)
        )
        offers = own or self.book.list_offers(gpu.name, clouds=clouds, regions=regions)
        if section.instance_type is not None:
            offers = tuple(o for o in offers if o.instance_type == section.instance_type)
        return offers

    def _explain_missing(self, section: DeploymentSection, gpu: GPU, gpus_per_replica: int) -> str:
        """Why no offer fits."""
        cloud = section.cloud or ", ".join(self.limits.clouds)
        parts = [
            f"of {gpu.name}",
            f"as {section.instance_type}" if section.instance_type else "",
            f"in {cloud}" if cloud else "",
            f"with {gpus_per_replica} GPUs in one instance" if gpus_per_replica > 1 else "",
        ]
        where = " ".join(part for part in parts if part)
        return f"The price book ({self.book.source}) has no on-demand price {where}."

    def _refuse(self, section: DeploymentSection, path: KeyPath, problem: str) -> Exception:
        """A missing price."""
        key = "instance_type" if section.instance_type else "gpu"
        return self.document.refuse(
            (*path, key),
            problem,
            remedy="Give price_usd_per_gpu_h, or price_usd_per_instance_h with gpus_per_instance, "
            "or write `price: unknown` to get break-even prices.",
        )

    def _check_size(self, offer: Offer, path: KeyPath, gpus_per_replica: int) -> None:
        """A replica fits into one instance."""
        if offer.num_gpus < gpus_per_replica:
            raise self.document.refuse(
                (*path, "gpus_per_instance"),
                f"A replica takes {gpus_per_replica} GPUs, the instance has {offer.num_gpus}.",
                remedy="A replica never spans two instances: mend the one or the other.",
            )


def is_allowed(offer: Offer, *, clouds: tuple[str, ...], regions: tuple[str, ...]) -> bool:
    """Whether the place of a user's own offer is allowed; an unnamed place always is."""
    lower = {cloud.lower() for cloud in (*clouds, OWN_CLOUD)}
    return (not clouds or offer.cloud.lower() in lower) and (
        not regions or offer.region is None or offer.region in regions
    )


def list_candidate_offers(
    book: PriceBook, *, own: Iterable[Offer], limits: Limits, gpus: Iterable[GPU]
) -> tuple[Offer, ...]:
    """On-demand offers for candidates, the cheapest of each size and place.

    For a GPU type that the user priced, his own offers replace the book's.
    """
    own = tuple(o for o in own if o.purchase_option is PurchaseOption.ON_DEMAND)
    cheapest: dict[tuple[str, str, str, int], Offer] = {}
    for gpu in gpus:
        offers = tuple(
            o
            for o in own
            if o.gpu == gpu.name and is_allowed(o, clouds=limits.clouds, regions=limits.regions)
        )
        offers = offers or book.list_offers(gpu.name, clouds=limits.clouds, regions=limits.regions)
        for offer in offers:
            key = (offer.gpu, offer.cloud, offer.region or "", offer.num_gpus)
            known = cheapest.get(key)
            rank = (offer.list_cost_usd_per_h, offer.instance_type)
            if known is None or rank < (known.list_cost_usd_per_h, known.instance_type):
                cheapest[key] = offer
    return tuple(cheapest[key] for key in sorted(cheapest))
