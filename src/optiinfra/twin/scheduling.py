"""How the engines differ in what they put into a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optiinfra.domain.engine_arguments import Engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RESERVED_TOKENS = 4_096  # SGLang's CLIP_MAX_NEW_TOKENS


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What a step may hold, and what a request needs to be admitted.

    `is_mixed`: prefills ride along with decodes (vLLM V1); else a step prefills or decodes, and
    prefills go first. `reserved_share`: admission leaves room for this share of the tokens that the
    running requests and the new one may still give (SGLang's new_token_ratio). `is_reserving`:
    blocks of the whole answer are taken on admission, so that nothing is ever preempted (TGI).
    Prefills wait for `min_steps_between` decode steps unless the queue holds `waiting_share` times
    the running requests (TGI's max_waiting_tokens and waiting_served_ratio).
    """

    is_mixed: bool = True
    reserved_share: float = 0.0
    is_reserving: bool = False
    min_steps_between: int = 0
    waiting_share: float = 0.0

    def to_array(self) -> NDArray[np.float64]:
        """For the compiled simulator, float64[5]."""
        return np.array(
            [
                float(self.is_mixed),
                self.reserved_share,
                float(self.is_reserving),
                float(self.min_steps_between),
                self.waiting_share,
            ]
        )


# vLLM, v1/core/sched/scheduler.py: running requests first, then the queue, one token budget.
VLLM_V1 = Scheduling()
# SGLang, srt/managers/scheduler.py and schedule_policy.py: a batch of prefills before any decode;
# the ratio of new tokens decays from 0.7 to 0.14 of it and stays there while nothing is retracted.
# The figures are from memory, verify them against the version in use.
SGLANG = Scheduling(is_mixed=False, reserved_share=0.7 * 0.14)
# TGI, router: the launcher's defaults of max_waiting_tokens and waiting_served_ratio; from memory,
# verify.
TGI = Scheduling(is_mixed=False, is_reserving=True, min_steps_between=20, waiting_share=0.3)

SCHEDULINGS = {Engine.VLLM: VLLM_V1, Engine.SGLANG: SGLANG, Engine.TGI: TGI}
