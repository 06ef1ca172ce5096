"""The report's file: whole or not there, and never in place of what is no file."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.factories.analysis import make_analysis

from optiinfra.domain.errors import InputError
from optiinfra.report import file as report_file
from optiinfra.report.file import ReportFile, check_report_path, write_report

NOW = datetime(2025, 3, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_file, "render_report", lambda *_, **__: "<p>page</p>")


def write(path: Path) -> ReportFile:
    return write_report(path, make_analysis(), {}, now=NOW)


def test_replaces_a_file_and_follows_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("old")
    link.symlink_to(target)
    assert write(link).size_bytes == 11
    assert link.is_symlink()
    assert target.read_text() == "<p>page</p>"
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(timeout=5)
    assert read == ["<p>page</p>"]
    assert pipe.is_fifo()
    check_report_path(pipe)


def test_nothing_is_left_of_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match="No space left") as caught:
        write(tmp_path / "report.html")
    assert caught.value.field == "--report"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("path", "said"), [(".", "a folder"), ("no/r.html", "does not exist")])
def test_a_bad_place_is_found_beforehand(tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_report_path(tmp_path / path)


def test_a_good_place_is_left_alone(tmp_path: Path) -> None:
    check_report_path(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
