"""Writing a trace in our own CSV form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from optiinfra.domain.trace import PrefixHashes, Trace


def write_csv(trace: Trace, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the trace so that `read_traces` gives the same columns, digest included.

    `metadata` becomes `# key: value` lines above the header, such as `synthetic: seed 7`; start,
    block size and notes are added from the trace.
    """
    comments = dict(metadata or {})
    if trace.is_synthetic:
        comments.setdefault("synthetic", "yes")
    if trace.started_at is not None:
        comments["started_at"] = trace.started_at.isoformat()
    columns = {
        "arrival_s": pa.array(trace.arrival_s),
        "prompt_tokens": pa.array(trace.prompt_tokens),
        "output_tokens": pa.array(trace.output_tokens),
    }
    if trace.prefix_hashes is not None:
        comments["prefix_block_tokens"] = str(trace.prefix_hashes.block_tokens)
        columns["prefix_hash"] = _join_ids(trace.prefix_hashes)
    lines = [f"# {key}: {value}" for key, value in comments.items()]
    lines += [f"# note: {note}" for note in trace.notes if not note.startswith("synthetic: ")]
    if any(len(line.splitlines()) != 1 for line in lines):
        message = "metadata and notes are single lines"
        raise ValueError(message)
    with path.open("wb") as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode())
        stream.write((",".join(columns) + "\n").encode())
        pa_csv.write_csv(
            pa.table(columns),
            stream,
            pa_csv.WriteOptions(include_header=False, quoting_style="none"),
        )


def _join_ids(hashes: PrefixHashes) -> pa.Array:
    offsets = pa.array(hashes.offsets.astype(np.int32))  # at most 100 M ids are ever read
    texts = pa.array(hashes.ids).cast(pa.string())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, texts), " ")
