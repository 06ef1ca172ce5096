"""Offers: what an instance with GPUs costs per hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class PurchaseOption(StrEnum):
    """How an instance is bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class Offer:
    """A list price for one instance type. `region` None means every region of the cloud.

    `num_gpus` GPUs come in one instance and are billed together, whether used or not.
    `as_of` is None for a price the user gave.
    """

    gpu: str
    cloud: str
    instance_type: str
    num_gpus: int
    list_cost_usd_per_h: Decimal
    purchase_option: PurchaseOption = PurchaseOption.ON_DEMAND
    region: str | None = None
    as_of: date | None = None
    source: str = "fleet file"

    def __post_init__(self) -> None:
        if self.num_gpus < 1 or not self.list_cost_usd_per_h.is_finite():
            message = "an offer has at least one GPU and a finite price"
            raise ValueError(message)
        if self.list_cost_usd_per_h <= 0:
            message = "a price is positive"
            raise ValueError(message)


def compute_num_instances(*, num_replicas: int, gpus_per_replica: int, offer: Offer) -> int:
    """Whole instances needed for the replicas; a replica never spans two instances.

    Raises ValueError when a replica needs more GPUs than the instance has.
    """
    replicas_per_instance = offer.num_gpus // gpus_per_replica
    if replicas_per_instance < 1:
        message = (
            f"{offer.instance_type} has {offer.num_gpus} GPUs, a replica needs {gpus_per_replica}"
        )
        raise ValueError(message)
    return -(-num_replicas // replicas_per_instance)


def compute_list_cost_usd_per_h(
    *, num_replicas: int, gpus_per_replica: int, offer: Offer
) -> Decimal:
    """List cost of the replicas per hour: whole instances times their price."""
    num_instances = compute_num_instances(
        num_replicas=num_replicas, gpus_per_replica=gpus_per_replica, offer=offer
    )
    return num_instances * offer.list_cost_usd_per_h
