"""Chunks of a stream, cut and joined. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from optiinfra.domain.trace import PrefixHashes, RequestChunk


def resize_chunks(chunks: Iterable[RequestChunk], max_requests: int) -> Iterator[RequestChunk]:
    """The same requests, `max_requests` in each chunk but the last, which may hold fewer."""
    waiting: list[RequestChunk] = []
    num_waiting = 0
    for chunk in chunks:
        waiting.append(chunk)
        num_waiting += chunk.num_requests
        while num_waiting >= max_requests:
            cut = waiting[-1].num_requests - (num_waiting - max_requests)
            # all waiting chunks but the last are smaller than what is asked, so the cut is in it
            yield join_chunks([*waiting[:-1], _slice_chunk(waiting[-1], 0, cut)])
            num_waiting -= max_requests
            rest = _slice_chunk(waiting[-1], cut, waiting[-1].num_requests)
            waiting = [rest] if num_waiting else []
    if waiting:
        yield join_chunks(waiting)


def join_chunks(chunks: list[RequestChunk]) -> RequestChunk:
    """Chunks that follow each other as one."""
    if len(chunks) == 1:
        return chunks[0]
    hashes = [chunk.prefix_hashes for chunk in chunks]
    return RequestChunk(
        arrival_s=np.concatenate([chunk.arrival_s for chunk in chunks]),
        prompt_tokens=np.concatenate([chunk.prompt_tokens for chunk in chunks]),
        output_tokens=np.concatenate([chunk.output_tokens for chunk in chunks]),
        first_request=chunks[0].first_request,
        prefix_hashes=_join_hashes([some for some in hashes if some is not None]),
    )


def _slice_chunk(chunk: RequestChunk, start: int, stop: int) -> RequestChunk:
    hashes = chunk.prefix_hashes
    if hashes is not None:
        offsets = hashes.offsets[start : stop + 1]
        ids = hashes.ids[offsets[0] : offsets[-1]]
        hashes = PrefixHashes(offsets - offsets[0], ids, hashes.block_tokens)
    return RequestChunk(
        arrival_s=chunk.arrival_s[start:stop],
        prompt_tokens=chunk.prompt_tokens[start:stop],
        output_tokens=chunk.output_tokens[start:stop],
        first_request=chunk.first_request + start,
        prefix_hashes=hashes,
    )


def _join_hashes(parts: list[PrefixHashes]) -> PrefixHashes | None:
    if not parts:
        return None
    starts = np.cumsum([0, *(int(part.offsets[-1]) for part in parts[:-1])])
    offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts, strict=True)]
    end = starts[-1] + parts[-1].offsets[-1]
    ids = np.concatenate([part.ids for part in parts])
    return PrefixHashes(np.append(np.concatenate(offsets), end), ids, parts[0].block_tokens)
