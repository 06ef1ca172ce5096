"""What is read: an address, whose it is, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from optiinfra.adapters.collectors.page import Labels
from optiinfra.domain.samples import SampleKind, Series


@dataclass(frozen=True, slots=True)
class Target:
    """A page of metrics of one customer. `name` is stable and shown; it holds no credentials.

    `deployment_id` and `instance_id` are empty where they are not known. `labels`, sorted, are put
    on every series that has none of that name.
    """

    customer_id: UUID
    name: str
    url: str
    deployment_id: str = ""
    instance_id: str = ""
    labels: Labels = ()

    def make_series(self, metric: str, kind: SampleKind, labels: Labels) -> Series:
        """A series of this target; `labels` are sorted and hold those of the target."""
        return Series(
            self.customer_id,
            self.name,
            self.deployment_id,
            self.instance_id,
            metric,
            kind,
            labels,
        )
