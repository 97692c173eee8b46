from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopcode.rescue.names import archive_name, file_name, unique


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("MEMORY.DMP", "MEMORY.DMP"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("a\\b:c", "a_b_c"),
        ("CON", "_CON"),
        ("nul.dmp", "_nul.dmp"),
        ("com1 . ", "_com1"),
        ("-rf", "_-rf"),
        ("x\0\x1b[2J\u202e.dmp", "x__[2J_.dmp"),
        ("x. . .", "x"),
        ("%4Operational", "_4Operational"),
    ],
)
def test_hostile_names_become_one_harmless_component(text: str, name: str) -> None:
    assert file_name(text) == name


@given(st.text(max_size=400))
def test_any_name_is_one_component_that_a_host_takes(text: str) -> None:
    name = file_name(text)
    assert name
    assert name not in (".", "..")
    assert len(name.encode()) <= 255
    assert Path(name).name == name
    assert not set(name) & set('\\/:*?"<>|\0\n')
    assert file_name(name) == name


def test_a_long_name_keeps_its_suffix() -> None:
    assert file_name("ä" * 300 + ".dmp").endswith("ä.dmp")


def test_names_that_differ_in_case_alone_get_numbers_before_the_suffix() -> None:
    taken: set[str] = set()
    assert [unique(name, taken) for name in ("a.dmp", "A.DMP", "a.dmp", "b", "B", ".x")] == [
        "a.dmp", "A-2.DMP", "a-3.dmp", "b", "B-2", ".x",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["", "D:", "volume 2", "../x"]), st.text(max_size=60)), max_size=8))
def test_no_two_files_of_a_zip_have_one_name_and_none_leaves_it(places: list[tuple[str, str]]) -> None:
    taken: set[str] = set()
    names = [archive_name(volume, path, taken) for volume, path in places]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert not name.startswith("/")
        assert ".." not in name.split("/")


def test_a_zip_has_the_tree_that_collectors_of_artefacts_write() -> None:
    taken: set[str] = set()
    assert archive_name("", r"\Windows\System32\config\SYSTEM", taken) == "C/Windows/System32/config/SYSTEM"
    assert archive_name("D:", r"\pagefile.sys", taken) == "D/pagefile.sys"
