"""Parsed rows become traces: checked, shifted to start at 0, and split by deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from optiinfra.adapters.traces.formats import Kind, Layout
from optiinfra.adapters.traces.limits import (
    MAX_DEPLOYMENTS,
    MAX_PREFIX_IDS,
    MAX_REQUESTS,
    MAX_SPAN_S,
    check_counts,
    check_deployments,
)
from optiinfra.adapters.traces.rows import Rows, find_first
from optiinfra.domain.errors import InputError
from optiinfra.domain.trace import PrefixHashes, Trace
from optiinfra.twin.workload.prefixes import fit_prefix_hashes, select_prefix_hashes

_UNITS_PER_S = {Kind.SECONDS: 1.0, Kind.MILLISECONDS: 1e3, Kind.INSTANT: 1e9}


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a file beside its rows."""

    file: str
    source: str
    is_synthetic: bool = False
    started_at: datetime | None = None  # of arrival 0 as the file counts
    prefix_block_tokens: int = 512
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Table:
    """All rows of a file, or some of them."""

    arrival_s: NDArray[np.float64]
    prompts: NDArray[np.int32]
    outputs: NDArray[np.int32]
    hashes: PrefixHashes | None

    def __getitem__(self, keep: NDArray[np.bool_]) -> _Table:
        hashes = None if self.hashes is None else select_prefix_hashes(self.hashes, keep)
        return _Table(self.arrival_s[keep], self.prompts[keep], self.outputs[keep], hashes)


@dataclass(slots=True)
class Assembly:
    """Collects the rows of one file; `is_sorted_here` files may have rows in any order."""

    layout: Layout
    origin: Origin
    is_sorted_here: bool = False
    _arrivals: list[NDArray[np.float64]] = field(default_factory=list)
    _prompts: list[NDArray[np.int32]] = field(default_factory=list)
    _outputs: list[NDArray[np.int32]] = field(default_factory=list)
    _num_ids: list[NDArray[np.int64]] = field(default_factory=list)
    _ids: list[Any] = field(default_factory=list)
    _deployments: list[Any] = field(default_factory=list)
    _num_requests: int = 0
    _num_prefix_ids: int = 0
    _first_arrival: float | int | None = None
    _last_arrival_s: float = 0.0

    def add(self, rows: Rows) -> None:
        """Check some rows and keep them.

        Raises:
            InputError: for the first wrong row, with its line and field.
        """
        self._num_requests += rows.num_rows
        if self._num_requests > MAX_REQUESTS:
            raise InputError(
                f"the trace has more than {MAX_REQUESTS:,} requests.",
                remedy="Cut it to the hours that matter.",
                file=rows.file,
            )
        layout = self.layout
        arrival_s = self._take_arrivals(rows)
        counts = [rows.get_numbers(name) for name in (layout.prompt_tokens, layout.output_tokens)]
        check_counts(rows, counts, (layout.prompt_tokens, layout.output_tokens))
        self._arrivals.append(arrival_s)
        self._prompts.append(counts[0].astype(np.int32))
        self._outputs.append(counts[1].astype(np.int32))
        self._take_prefixes(rows, counts[0])
        if layout.deployment is not None and layout.deployment in rows.columns:
            self._deployments.append(check_deployments(rows, layout.deployment))

    def finish(self) -> dict[str | None, Trace]:
        """The traces by deployment, in order of first arrival; one under None without that column.

        Raises:
            InputError: the file holds no request that can be simulated.
        """
        if not self._arrivals:
            raise InputError(
                "the trace is empty.", remedy="Give at least one request.", file=self.origin.file
            )
        arrival_s = np.concatenate(self._arrivals)
        prompts, outputs = np.concatenate(self._prompts), np.concatenate(self._outputs)
        hashes = self._join_prefixes()
        names, codes = self._join_deployments(arrival_s.size)
        if self.is_sorted_here:  # no such form has hashes or deployments
            order = np.argsort(arrival_s, kind="stable")
            arrival_s, prompts, outputs = arrival_s[order], prompts[order], outputs[order]
        everything = _Table(arrival_s, prompts, outputs, hashes)
        return {
            name: self._make_trace(name, everything if name is None else everything[codes == code])
            for code, name in enumerate(names)
        }

    def _take_arrivals(self, rows: Rows) -> NDArray[np.float64]:
        name = self.layout.arrival
        kind = next(column.kind for column in self.layout.columns if column.name == name)
        raw = rows.get_numbers(name)
        row = find_first(~np.isfinite(raw))
        if row is not None:
            raise rows.make_error(
                row, f"the arrival is {raw[row]}.", remedy=f"Write {kind}.", field=name
            )
        if self._first_arrival is None:
            self._first_arrival = raw.flat[0].item()
        if kind is Kind.INSTANT:
            # the difference of integers is exact; seconds since 1970 in float64 are not
            arrival_s = (raw - self._first_arrival) / _UNITS_PER_S[kind]
        else:
            arrival_s = raw / _UNITS_PER_S[kind]
        if not self.is_sorted_here:
            self._check_order(rows, arrival_s)
        start_s = 0.0 if kind is Kind.INSTANT else self._first_arrival / _UNITS_PER_S[kind]
        row = find_first(np.abs(arrival_s - start_s) > MAX_SPAN_S)
        if row is not None:
            raise rows.make_error(
                row,
                f"the request arrives {abs(float(arrival_s[row] - start_s)) / 86_400:.0f} days "
                "from the first.",
                remedy=f"At most {MAX_SPAN_S // 86_400} days are read. Is the time in seconds?",
                field=name,
            )
        return np.asarray(arrival_s, np.float64)

    def _check_order(self, rows: Rows, arrival_s: NDArray[np.float64]) -> None:
        before = np.concatenate(
            (arrival_s[:1] if not self._arrivals else [self._last_arrival_s], arrival_s[:-1])
        )
        row = find_first(arrival_s < before)
        if row is not None:
            raise rows.make_error(
                row,
                f"time goes back by {float(before[row] - arrival_s[row]):.9g} s.",
                remedy="Sort the file by arrival.",
                field=self.layout.arrival,
            )
        self._last_arrival_s = float(arrival_s[-1])

    def _take_prefixes(self, rows: Rows, prompts: NDArray[np.int64]) -> None:
        name = self.layout.prefix_hash
        if name is None:
            return
        if name not in rows.columns:  # JSON lines may start to have hashes later
            self._num_ids.append(np.zeros(rows.num_rows, np.int64))
            return
        lists = rows.columns[name]
        num_ids = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), np.int64)
        num_blocks = -(-prompts // self.origin.prefix_block_tokens)
        row = find_first(num_ids > num_blocks)
        if row is not None:
            raise rows.make_error(
                row,
                f"{num_ids[row]} ids for {prompts[row]} prompt tokens.",
                remedy=f"One id for each block of {self.origin.prefix_block_tokens} prompt tokens "
                "(`# prefix_block_tokens: N` above the header says otherwise).",
                field=name,
            )
        self._num_prefix_ids += int(num_blocks.sum())
        if self._num_prefix_ids > MAX_PREFIX_IDS:
            raise InputError(
                f"the prompts have more than {MAX_PREFIX_IDS:,} blocks.",
                remedy="Use larger blocks, or leave the column out.",
                file=rows.file,
                field=name,
            )
        flat = pc.list_flatten(lists)
        if flat.null_count:
            raise InputError("an id is null.", remedy="Write every id.", file=rows.file, field=name)
        self._num_ids.append(num_ids)
        self._ids.append(flat)

    def _join_prefixes(self) -> PrefixHashes | None:
        if not sum(len(flat) for flat in self._ids):
            return None
        encoded = pa.chunked_array(self._ids).dictionary_encode().unify_dictionaries()
        ids = np.concatenate([np.asarray(chunk.indices, np.int32) for chunk in encoded.chunks])
        offsets = np.zeros(self._num_requests + 1, np.int64)
        np.cumsum(np.concatenate(self._num_ids), out=offsets[1:])
        return PrefixHashes(offsets, ids, self.origin.prefix_block_tokens)

    def _join_deployments(self, num_rows: int) -> tuple[list[str | None], NDArray[np.int32]]:
        if not self._deployments:
            return [None], np.zeros(num_rows, np.int32)
        encoded = pa.chunked_array(self._deployments).dictionary_encode().combine_chunks()
        names = encoded.dictionary.to_pylist()
        if len(names) > MAX_DEPLOYMENTS:
            raise InputError(
                f"the trace names {len(names)} deployments.",
                remedy=f"At most {MAX_DEPLOYMENTS} are read.",
                file=self.origin.file,
                field=self.layout.deployment,
            )
        return names, np.asarray(encoded.indices, np.int32)

    def _make_trace(self, name: str | None, table: _Table) -> Trace:
        notes = list(self.origin.notes)
        for tokens, what in ((table.prompts, "prompt"), (table.outputs, "output")):
            if count := int((tokens == 0).sum()):
                notes.append(f"{count} of {tokens.size} requests left out: 0 {what} tokens")
        table = table[(table.prompts > 0) & (table.outputs > 0)]
        if not table.arrival_s.size:
            raise InputError(
                "no request has both prompt and output tokens.",
                remedy="Give at least one that has.",
                file=self.origin.file,
            )
        hashes = table.hashes
        if hashes is not None:
            hashes = fit_prefix_hashes(hashes, table.prompts)
            if missing := hashes.ids.size - cast("PrefixHashes", table.hashes).ids.size:
                notes.append(f"{missing} prompt blocks without an id are taken as shared by nobody")
        start_s = float(table.arrival_s[0])
        started_at = self._get_start()
        if started_at is not None:
            started_at += timedelta(seconds=start_s)
        return Trace(
            arrival_s=table.arrival_s - start_s,
            prompt_tokens=table.prompts,
            output_tokens=table.outputs,
            source=self.origin.source + (f" ({name})" if name is not None else ""),
            is_synthetic=self.origin.is_synthetic,
            started_at=started_at,
            prefix_hashes=hashes,
            notes=tuple(notes),
        )

    def _get_start(self) -> datetime | None:
        kinds = {column.name: column.kind for column in self.layout.columns}
        if kinds[self.layout.arrival] is Kind.INSTANT and self._first_arrival is not None:
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            return epoch + timedelta(microseconds=int(self._first_arrival) // 1000)
        return self.origin.started_at
