"""Clients that ask an engine for completions at the same time and measure what they get."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

NS_PER_S = 10**9
_WORDS = ("river", "copper", "signal", "winter", "garden", "market", "engine", "paper", "island")
_PREFIX = "data:"


@dataclass(frozen=True, slots=True)
class Load:
    """`num_clients` ask one after the other until `num_requests` are asked."""

    num_clients: int
    num_requests: int
    num_prompt_words: int
    num_output_tokens: int
    seed: int = 1

    def list_prompts(self) -> list[str]:
        """Prompts of which no two begin alike, so that no prefix cache serves them."""
        rng = random.Random(self.seed)
        return [
            " ".join([str(rng.randrange(10**9)), *rng.choices(_WORDS, k=self.num_prompt_words)])
            for _ in range(self.num_requests)
        ]


@dataclass(frozen=True, slots=True)
class Answer:
    """One request as its client saw it; instants are Unix nanoseconds."""

    sent_at_ns: int
    first_token_at_ns: int
    ended_at_ns: int
    num_prompt_tokens: int
    num_output_tokens: int

    @property
    def ttft_s(self) -> float:
        """From sending to the first token."""
        return (self.first_token_at_ns - self.sent_at_ns) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Measured:
    """What the clients measured, all requests together."""

    answers: tuple[Answer, ...]

    @property
    def elapsed_s(self) -> float:
        """From the first request sent to the last answer's end."""
        ended_at_ns = max(answer.ended_at_ns for answer in self.answers)
        return (ended_at_ns - min(answer.sent_at_ns for answer in self.answers)) / NS_PER_S

    @property
    def mean_ttft_s(self) -> float:
        """Mean over the requests."""
        return sum(answer.ttft_s for answer in self.answers) / len(self.answers)

    @property
    def num_output_tokens(self) -> int:
        """As the engine says at the end of each answer, which the client pays for."""
        return sum(answer.num_output_tokens for answer in self.answers)

    @property
    def num_prompt_tokens(self) -> int:
        """Likewise."""
        return sum(answer.num_prompt_tokens for answer in self.answers)

    @property
    def output_tokens_per_s(self) -> float:
        """Of all requests together, from the first sent to the last ended."""
        return self.num_output_tokens / self.elapsed_s


@dataclass(slots=True)
class Clients:
    """Clients of one server; `num_in_flight` is how many requests are sent and not yet answered."""

    url: str
    model: str
    num_in_flight: int = 0
    _answers: list[Answer] = field(default_factory=list)

    async def run(self, load: Load) -> Measured:
        """Put the load on; an answer that is not whole fails the test."""
        prompts = iter(load.list_prompts())
        self._answers = []
        # A connection a request: llama.cpp closes those that are kept.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(
                limits=limits, headers={"Connection": "close"}, timeout=300.0, trust_env=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(load.num_clients):
                group.create_task(self._ask_all(client, prompts, load.num_output_tokens))
        return Measured(tuple(self._answers))

    async def _ask_all(
        self, client: httpx.AsyncClient, prompts: Iterator[str], num_output_tokens: int
    ) -> None:
        for prompt in prompts:
            self.num_in_flight += 1
            try:
                self._answers.append(await self._ask(client, prompt, num_output_tokens))
            finally:
                self.num_in_flight -= 1

    async def _ask(self, client: httpx.AsyncClient, prompt: str, num_output_tokens: int) -> Answer:
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": num_output_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        sent_at_ns, first_at_ns = time.time_ns(), 0
        usage: dict[str, int] = {}
        async with client.stream("POST", f"{self.url}/v1/completions", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                text = line.removeprefix(_PREFIX).strip()
                if text in {line, "[DONE]"}:
                    continue
                event = json.loads(text)
                assert "error" not in event, event
                if event["choices"] and not first_at_ns:
                    first_at_ns = time.time_ns()
                usage = event.get("usage") or usage
        assert first_at_ns, "the answer has no token"
        return Answer(
            sent_at_ns,
            first_at_ns,
            time.time_ns(),
            int(usage["prompt_tokens"]),
            int(usage["completion_tokens"]),
        )
