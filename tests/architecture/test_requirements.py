"""requirements.txt locks pyproject.toml: complete, pinned, hashed, and without addresses."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.architecture.repository import ROOT

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)")


def read_pins(name: str) -> dict[str, str]:
    """Pinned version of each package in a requirements file."""
    lines = (ROOT / name).read_text().splitlines()
    matches = [PIN.match(line) for line in lines if line and line[0] not in "# "]
    assert all(matches), f"{name} has a line that is not a pin"
    return {canonicalize_name(m["name"]): m["version"] for m in matches if m}


def list_direct_requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in every extra and group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [*project["project"]["dependencies"]]
    extras = project["project"]["optional-dependencies"]
    for group in (*extras.values(), *project["dependency-groups"].values()):
        lines.extend(group)
    return [Requirement(line) for line in lines]


def test_every_direct_dependency_is_pinned_within_its_specifier() -> None:
    pins = read_pins("requirements.txt")
    for requirement in list_direct_requirements():
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in requirements.txt: run `make lock`"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{name} {pins[name]} is outside {requirement.specifier}: run `make lock`"
        )


def test_every_pin_has_a_hash() -> None:
    for name in ("requirements.txt", "requirements-setup.txt"):
        blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", (ROOT / name).read_text())
        unhashed = [block for block in blocks if PIN.match(block) and "--hash=sha256:" not in block]
        assert not unhashed


def test_the_installer_is_the_locked_one() -> None:
    assert read_pins("requirements-setup.txt") == {"uv": read_pins("requirements.txt")["uv"]}


def test_the_lock_holds_no_address() -> None:
    for name in ("requirements.txt", "requirements-setup.txt"):
        assert "://" not in (ROOT / name).read_text()
