"""Whether a store does its work, as found by having it do some."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """One store; `reason` says why it is not healthy, None is what is not known."""

    name: str
    where: str  # without secrets
    version: str | None = None
    latency_s: float | None = None  # of one write and one read of it
    reason: str | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether it took a write and gave it back."""
        return self.reason is None
