"""The locks fit pyproject.toml and name no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def locked(path: Path) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9_.-]+)==([^\s;\\]+)", line)
        if match:
            found.setdefault(canonicalize_name(match[1]), []).append((match[2], line))
    return found


def wanted(extra: str | None) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more: list[str] = project["optional-dependencies"][extra] if extra else []
    return [*project["dependencies"], *more]


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("run.txt", None),
        ("dev.txt", "dev"),
        ("bench.txt", "bench"),
        ("symbols.txt", "symbols"),
        ("remote.txt", "remote"),
    ],
)
def test_every_dependency_of_the_project_is_locked_within_its_bounds(name: str, extra: str | None) -> None:
    lock = locked(ROOT / "requirements" / name)
    for text in wanted(extra):
        requirement = Requirement(text)
        versions = lock.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not in {name}: run `make lock`"
        for version, _ in versions:
            assert requirement.specifier.contains(version), f"{requirement.name} {version} is outside {text}"


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes(path: Path) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", path.read_text())
    packages = [block for block in blocks if re.match(r"[A-Za-z0-9_.-]+==", block)]
    assert packages
    for block in packages:
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_an_address_or_a_development_build(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert not re.search(r"==[^\s;]*(dev|a|b|rc)\d", text)


def test_no_other_lock_file_is_committed() -> None:
    for name in ("uv.lock", "package-lock.json", "poetry.lock", "Pipfile.lock"):
        assert not list(ROOT.glob(f"**/{name}")), name
