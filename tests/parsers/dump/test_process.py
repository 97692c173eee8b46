"""Where the image name stands in an EPROCESS of each Windows, after published listings of its kernels."""

from __future__ import annotations

import pytest

from parsers.dump.process import image_name_offset

#: Machine, build, sizeof EPROCESS, ImageFileName: ntdiff's listings of types, and volatility's.
PUBLISHED = (
    ("x64", 7601, 0x4D0, 0x2E0),
    ("x64", 9200, 0x660, 0x438),
    ("x64", 9600, 0x6B8, 0x438),
    ("x64", 10240, 0x798, 0x448),
    ("x64", 10586, 0x788, 0x450),
    ("x64", 14393, 0x7B0, 0x450),
    ("x64", 15063, 0x818, 0x450),
    ("x64", 17763, 0x850, 0x450),
    ("x64", 19041, 0xA40, 0x5A8),
    ("x64", 26100, 0x840, 0x338),
    ("x86", 2600, 0x260, 0x174),
    ("x86", 7601, 0x2C0, 0x16C),
    ("x86", 9600, 0x2F8, 0x170),
    ("x86", 14393, 0x388, 0x174),
)


@pytest.mark.parametrize(("machine", "build", "size", "offset"), PUBLISHED)
def test_the_size_of_the_structure_tells_the_offset(machine: str, build: int, size: int, offset: int) -> None:
    assert image_name_offset(machine, size, build) == (offset, False)


@pytest.mark.parametrize(("machine", "build", "size", "offset"), [row for row in PUBLISHED if row[0] == "x64"])
def test_where_the_size_is_not_known_the_build_of_x64_is_a_guess(
    machine: str, build: int, size: int, offset: int
) -> None:
    assert image_name_offset(machine, size + 0x1000, build) == (offset, True)
    assert image_name_offset(machine, None, build) == (offset, True)


def test_what_no_listing_names_is_not_known() -> None:
    assert image_name_offset("x86", 0x999, 19041) is None
    assert image_name_offset("x64", None, 3790) is None
    assert image_name_offset("arm64", 0x999, 26100) is None
    assert image_name_offset("ia64", 0x850, 17763) is None
