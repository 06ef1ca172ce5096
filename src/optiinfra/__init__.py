"""OptiInfra: cheaper ways to serve large language models that keep what users were promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiinfra.bootstrap import analyze as analyze
    from optiinfra.domain.analysis import Analysis as Analysis

__all__ = ["Analysis", "analyze"]


def __getattr__(name: str) -> Any:
    """Import the main job when it is first asked for, and not before."""
    if name == "analyze":
        from optiinfra.bootstrap import analyze

        return analyze
    if name == "Analysis":
        from optiinfra.domain.analysis import Analysis

        return Analysis
    raise AttributeError(f"module 'optiinfra' has no attribute {name!r}")
