"""A change from one configuration to another, in words that can be carried out and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiinfra.domain.analysis import FlagChange
from optiinfra.domain.engine_flags import diff_arguments

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
    same_gpu = before.gpu == after.gpu
    if same_gpu and before.num_replicas != after.num_replicas:
        return (
            f"Serve {deployment} with {after.num_replicas} instead of {before.num_replicas} "
            f"replicas on {after.gpu}"
        )
    if same_gpu:
        return f"Run {deployment} with other engine arguments on {after.gpu}"
    return (
        f"Move {deployment} from {before.num_replicas} replicas on {before.gpu} to "
        f"{after.num_replicas} on {after.gpu}"
    )


def _describe_instance(configuration: Configuration) -> str | None:
    """Cloud and instance type, None without a price."""
    offer = configuration.offer
    return None if offer is None else f"{offer.cloud} {offer.instance_type}"
