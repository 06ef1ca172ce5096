"""A process that appends batches until it is killed: `python -m tests.ingestion.appending ...`.

    appending.py DATA_DIR FIRST

Prints the number of every batch when it was acknowledged. Batch n holds 100 values from 100 n on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.ingestion.sinks import make_batch

from optiinfra.adapters.clickhouse import open_store
from optiinfra.adapters.ingestion import BufferedWriter, IngestionLimits

SIZE = 100


def main() -> None:
    """Append until killed."""
    directory, number = Path(sys.argv[1]), int(sys.argv[2])
    store = open_store(f"chdb://{directory / 'chdb'}", is_migrated=False)
    store.migrate()
    limits = IngestionLimits(max_rows=2_000, max_age_s=0.2)
    writer = BufferedWriter(store, directory / "journal", limits=limits)
    while True:
        writer.append(make_batch(number * SIZE, SIZE), token=f"batch {number}")
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main()
