"""What every test shares: the folder of real samples and how Hypothesis searches."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

DATA_VARIABLE = "OPTIINFRA_DATA"

# Deterministic by default: the same code gives the same examples, on every machine.
hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, print_blob=True
)
# HYPOTHESIS_PROFILE=explore looks further: new examples each run, many more of them.
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def _find_data_dir() -> Path | None:
    value = os.environ.get(DATA_VARIABLE)
    return Path(value) if value else None


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The folder that OPTIINFRA_DATA names; tests that use it are marked real_data."""
    folder = _find_data_dir()
    assert folder is not None, "a test that reads real data is marked real_data"
    return folder


def _drop_stale_machine_code() -> None:
    """Compiled functions are kept beside the source, and not renewed when one they call changes."""
    folder = Path(__file__).parent.parent / "src" / "optiinfra" / "twin"
    newest = max(path.stat().st_mtime for path in folder.rglob("*.py"))
    kept = [path for suffix in ("nbi", "nbc") for path in folder.rglob(f"*.{suffix}")]
    if any(path.stat().st_mtime < newest for path in kept):
        for path in kept:
            path.unlink(missing_ok=True)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a folder of real samples that is named but is not there."""
    del config
    _drop_stale_machine_code()
    folder = _find_data_dir()
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE} names {folder}, which is not a folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked real_data where there is no real data."""
    if _find_data_dir() is not None:
        return
    skip = pytest.mark.skip(reason=f"{DATA_VARIABLE} is not set: no real data to read")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly, at the end, which tests had no real data, no server, no pooler."""
    _tell_missing_servers(terminalreporter)
    _say_without_pooler(terminalreporter)
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "real_data" in getattr(report, "keywords", {})
    ]
    if not skipped or _find_data_dir() is not None:
        return
    loud = {"red": True, "bold": True}
    terminalreporter.write_sep("!", "NOT TESTED ON REAL DATA", **loud)
    terminalreporter.write_line(
        f"{len(skipped)} tests marked real_data were skipped. Set {DATA_VARIABLE} to the folder of "
        "real samples and run them again.",
        **loud,
    )
    for report in skipped:
        terminalreporter.write_line(f"  {report.nodeid}")


def _tell_missing_servers(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "system_servers" in getattr(report, "keywords", {})
    ]
    if skipped:
        loud = {"red": True, "bold": True}
        terminalreporter.write_sep("!", "NOT TESTED ON SERVERS OF THE SYSTEM", **loud)
        for report in skipped:
            terminalreporter.write_line(f"  {report.nodeid}: {report.longrepr[-1]}", **loud)


def _say_without_pooler(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "pgbouncer" in getattr(report, "keywords", {})
    ]
    if skipped:
        loud = {"red": True, "bold": True}
        terminalreporter.write_sep("!", "NOT TESTED BEHIND A POOLER", **loud)
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped: install pgbouncer and run them again.", **loud
        )
