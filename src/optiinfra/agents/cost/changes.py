"""A change from one configuration to another, in words that can be carried out and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiinfra.domain.analysis import FlagChange
from optiinfra.domain.engine_flags import diff_arguments
from optiinfra.domain.prices import PurchaseOption

if TYPE_CHECKING:
    from optiinfra.domain.analysis import Configuration


def list_changes(before: Configuration, after: Configuration) -> tuple[FlagChange, ...]:
    """GPU, instance and replicas first, then the engine's flags; () for equal configurations."""
    pairs = [
        ("gpu", before.gpu, after.gpu),
        ("instance", _describe_instance(before), _describe_instance(after)),
        ("replicas", str(before.num_replicas), str(after.num_replicas)),
    ]
    changes = [FlagChange(flag=flag, before=a, after=b) for flag, a, b in pairs if a != b]
    return (*changes, *diff_arguments(before.arguments, after.arguments))


def invert(change: tuple[FlagChange, ...]) -> tuple[FlagChange, ...]:
    """The change that goes back, in the opposite order."""
    return tuple(
        FlagChange(flag=line.flag, before=line.after, after=line.before)
        for line in reversed(change)
    )


def describe_title(deployment: str, before: Configuration, after: Configuration) -> str:
    """One line that says what to do."""
    old, new = before.num_replicas, after.num_replicas
    noun = "replica" if old == 1 else "replicas"
    old_size, new_size = (_describe_size(c.arguments.num_gpus) for c in (before, after))
    if before.gpu != after.gpu:
        if old_size == new_size == _describe_size(1):
            old_size = new_size = ""
        return (
            f"Move {deployment} from {old} {noun}{old_size} on {before.gpu} to "
            f"{new}{new_size} on {after.gpu}"
        )
    if old_size != new_size:
        noun = "replica" if new == 1 else "replicas"
        return (
            f"Serve {deployment} with {new} {noun}{new_size} instead of {old}{old_size} "
            f"on {after.gpu}"
        )
    if old != new:
        return f"Serve {deployment} with {new} instead of {old} {noun} on {after.gpu}"
    if before.arguments == after.arguments:
        return (
            f"Run the {new} {noun} of {deployment} on {_describe_instance(after)} instead of "
            f"{_describe_instance(before)}"
        )
    return f"Run {deployment} with other engine arguments on {after.gpu}"


def _describe_size(num_gpus: int) -> str:
    """GPUs of one replica, to stand behind a number of replicas."""
    return f" of {num_gpus} GPU{'' if num_gpus == 1 else 's'}"


def _describe_instance(configuration: Configuration) -> str | None:
    """Cloud, instance type, and region and purchase option where named; None without a price."""
    offer = configuration.offer
    if offer is None:
        return None
    words = [offer.cloud, offer.instance_type]
    if offer.region is not None:
        words.append(f"in {offer.region}")
    if offer.purchase_option is not PurchaseOption.ON_DEMAND:
        words.append(f"({offer.purchase_option.value.replace('_', ' ')})")
    return " ".join(words)
