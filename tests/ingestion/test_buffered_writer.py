"""What is acknowledged is kept, once, in bounded space, whatever the store and the process do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.ingestion.sinks import CUSTOMER, NOW_MS, FakeSink, make_batch

from optiinfra.adapters.ingestion import BufferedWriter, IngestionLimits
from optiinfra.domain.errors import ConflictError, InputError, StoreError, StoreFullError
from optiinfra.domain.metric_tables import MetricTable, make_rows

NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
AGAIN = "the same batch"
SIZE_OF_BATCH = 3_000  # bytes on disk, rather too many
QUICK = IngestionLimits(
    max_rows=100, max_age_s=0.05, full_wait_s=0.05, first_backoff_s=0.01, max_backoff_s=0.02
)


def open_writer(sink: FakeSink, directory: Path, limits: IngestionLimits = QUICK) -> BufferedWriter:
    return BufferedWriter(sink, directory, limits=limits, now=lambda: NOW)


@pytest.fixture
def sink() -> Iterator[FakeSink]:
    made = FakeSink()
    yield made
    made.is_away.clear()


def test_rows_arrive_in_blocks_by_number_and_by_age(sink: FakeSink, tmp_path: Path) -> None:
    with open_writer(sink, tmp_path) as writer:
        for place in range(25):
            assert writer.append(make_batch(10 * place))
        assert writer.flush(timeout_s=10)
        assert sink.list_values() == list(range(250))
        assert max(table.num_rows for table in sink.blocks.values()) <= 100
        writer.append(make_batch(250))  # and nothing more: its age sends it
        assert writer.flush(timeout_s=10)
    assert sink.list_values() == list(range(260))


def test_a_lone_row_is_sent_when_it_is_old(sink: FakeSink, tmp_path: Path) -> None:
    with open_writer(sink, tmp_path) as writer:
        writer.append(make_batch(0, size=1))
        with writer._changed:
            assert writer._changed.wait_for(lambda: writer._sent == 1, timeout=10)


def test_nothing_is_lost_while_the_store_is_away(sink: FakeSink, tmp_path: Path) -> None:
    sink.is_away.set()
    with open_writer(sink, tmp_path) as writer:
        for place in range(30):
            writer.append(make_batch(10 * place))
        assert not writer.flush(timeout_s=0.1)
        state = writer.get_state()
        assert state.last_error == "The store is away. Wait."
        assert state.waiting_bytes > 0
        sink.is_away.clear()
        assert writer.flush(timeout_s=10)
        assert writer.get_state().waiting_bytes == 0
        assert writer.get_state().last_error is None
    assert sink.list_values() == list(range(300))


def test_what_waits_at_the_end_is_sent_by_the_next(sink: FakeSink, tmp_path: Path) -> None:
    sink.is_away.set()
    writer = open_writer(sink, tmp_path)
    writer.append(make_batch(0))
    writer.close(timeout_s=0.05)
    sink.is_away.clear()
    with open_writer(sink, tmp_path) as writer:
        assert writer.flush(timeout_s=10)
    assert sink.list_values() == list(range(10))


def test_space_is_bounded_and_nothing_is_half_kept(sink: FakeSink, tmp_path: Path) -> None:
    sink.is_away.set()
    limits = IngestionLimits(
        max_rows=100, max_age_s=60, full_wait_s=1, max_waiting_bytes=60_000, max_backoff_s=0.1
    )
    with open_writer(sink, tmp_path, limits) as writer:
        num_kept = 0
        while writer.get_state().waiting_bytes + SIZE_OF_BATCH <= limits.max_waiting_bytes:
            writer.append(make_batch(10 * num_kept))
            num_kept += 1
        with pytest.raises(StoreFullError, match="wait for the metric store"):
            writer.append(make_batch(0))
        assert 5 < num_kept < 50
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= 60_000
        sink.is_away.clear()
        writer.append(make_batch(10 * num_kept))  # waits for room, and has it
        assert writer.flush(timeout_s=10)
    assert sink.list_values() == list(range(10 * num_kept + 10))


def test_a_batch_that_is_sent_again_counts_once(sink: FakeSink, tmp_path: Path) -> None:
    for _ in range(3):
        with open_writer(sink, tmp_path) as writer:
            assert writer.append(make_batch(0), token=AGAIN) is (not sink.blocks)
            assert not writer.append(make_batch(0), token=AGAIN)
            assert writer.flush(timeout_s=10)
            assert writer.get_state().num_repeated_batches >= 1
    assert sink.list_values() == list(range(10))


def test_numbers_of_blocks_are_never_given_twice(sink: FakeSink, tmp_path: Path) -> None:
    for place in range(4):
        with open_writer(sink, tmp_path) as writer:
            writer.append(make_batch(10 * place))
            assert writer.flush(timeout_s=10)
    assert sink.list_values() == list(range(40))


def test_a_frame_that_was_not_finished_is_left_out(sink: FakeSink, tmp_path: Path) -> None:
    sink.is_away.set()
    patient = IngestionLimits(max_age_s=60)
    writer = open_writer(sink, tmp_path, patient)
    for place in range(2):
        writer.append(make_batch(10 * place))
    [open_block] = tmp_path.rglob("*.open")
    cut = open_block.read_bytes()[:-1]
    writer.close(timeout_s=0)
    for path in tmp_path.rglob("*.sealed"):
        path.unlink()
    open_block.write_bytes(cut)
    open_writer(sink, tmp_path).close(timeout_s=0)  # found by one who could not send it either
    sink.is_away.clear()
    with open_writer(sink, tmp_path) as writer:
        assert writer.flush(timeout_s=10)
    assert sink.list_values() == list(range(10))


def test_what_the_store_refuses_is_set_aside_and_holds_up_nothing(
    sink: FakeSink, tmp_path: Path
) -> None:
    sink.failures = [StoreError("No.", remedy="")] * QUICK.max_refusals
    with open_writer(sink, tmp_path) as writer:
        writer.append(make_batch(0))
        assert writer.flush(timeout_s=10)
        writer.append(make_batch(10))
        assert writer.flush(timeout_s=10)
        assert writer.get_state().num_refused_rows == 10
    assert sink.list_values() == list(range(10, 20))
    assert len(list(tmp_path.rglob("*.refused"))) == 1


def test_a_block_altered_on_disk_is_set_aside(sink: FakeSink, tmp_path: Path) -> None:
    sink.is_away.set()
    writer = open_writer(sink, tmp_path)
    writer.append(make_batch(0))
    writer.close(timeout_s=0.2)
    [block] = [*tmp_path.rglob("*.sealed"), *tmp_path.rglob("*.open")]
    data = bytearray(block.read_bytes())
    data[-20] ^= 1
    block.rename(block.with_suffix(".sealed"))
    block.with_suffix(".sealed").write_bytes(data)
    sink.is_away.clear()
    with open_writer(sink, tmp_path) as writer:
        assert writer.flush(timeout_s=10)
    assert sink.list_values() == []
    assert len(list(tmp_path.rglob("*.refused"))) == 1


def test_a_second_writer_is_refused(sink: FakeSink, tmp_path: Path) -> None:
    with (
        open_writer(sink, tmp_path),
        pytest.raises(ConflictError, match="Another process writes series"),
    ):
        open_writer(sink, tmp_path)
    open_writer(sink, tmp_path).close()


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=-400)])
def test_instants_far_off_are_refused(sink: FakeSink, tmp_path: Path, ahead: timedelta) -> None:
    rows = make_rows(
        MetricTable.COST,
        timestamp=np.array([NOW_MS, NOW_MS + ahead // timedelta(milliseconds=1)]),
        customer_id=CUSTOMER,
        columns={},
    )
    with open_writer(sink, tmp_path) as writer:
        with pytest.raises(InputError, match="cost_metrics_ts"):
            writer.append(rows)
        assert writer.get_state().num_appended_rows == 0
