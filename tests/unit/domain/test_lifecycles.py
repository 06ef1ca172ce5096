"""Every lifecycle: each allowed pair, each forbidden pair, all states reachable, end states end."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from optiinfra.domain import lifecycles
from optiinfra.kit.lifecycle import IllegalTransitionError, Lifecycle

# Written out by hand a second time, from the meaning of the words.
ALLOWED = {
    "recommendation": {
        "pending": {"approved", "rejected"},
        "approved": {"executing"},
        "executing": {"completed", "failed", "rolled_back"},
    },
    "approval": {"pending": {"approved", "rejected"}},
    "optimization": {
        "queued": {"executing", "failed"},
        "executing": {"completed", "failed", "rolled_back"},
    },
    "workflow execution": {
        "pending": {"running", "cancelled"},
        "running": {"completed", "failed", "cancelled", "timeout"},
    },
    "workflow step": {
        "pending": {"running", "skipped"},
        "running": {"completed", "failed", "retrying"},
        "retrying": {"running", "failed"},
    },
    "customer": {"active": {"suspended", "churned"}, "suspended": {"active", "churned"}},
    "agent": {
        "starting": {"healthy", "degraded", "failed", "stopped"},
        "healthy": {"starting", "degraded", "failed", "stopped"},
        "degraded": {"starting", "healthy", "failed", "stopped"},
        "failed": {"starting", "healthy", "degraded", "stopped"},
        "stopped": {"starting"},
    },
}
ALL: list[Lifecycle[Any]] = [v for v in vars(lifecycles).values() if isinstance(v, Lifecycle)]
PAIRS = [(x, s, t) for x in ALL for s in type(x.initial) for t in type(x.initial)]


def test_every_lifecycle_is_walked() -> None:
    assert {lifecycle.name for lifecycle in ALL} == set(ALLOWED)


@pytest.mark.parametrize(
    ("lifecycle", "source", "target"), PAIRS, ids=[f"{x.name}-{s}-{t}" for x, s, t in PAIRS]
)
def test_a_change_is_allowed_or_refused(
    lifecycle: Lifecycle[Any], source: StrEnum, target: StrEnum
) -> None:
    if target.value in ALLOWED[lifecycle.name].get(source.value, set()):
        lifecycle.check(source=source, target=target)
    else:
        with pytest.raises(IllegalTransitionError):
            lifecycle.check(source=source, target=target)


@pytest.mark.parametrize("lifecycle", ALL, ids=lambda lifecycle: lifecycle.name)
def test_end_states_end(lifecycle: Lifecycle[Any]) -> None:
    assert lifecycle.terminal == {
        member for member in type(lifecycle.initial) if member.value not in ALLOWED[lifecycle.name]
    }
