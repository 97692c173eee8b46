"""Whole disks whose logs were damaged: each gives a state that there once was, and says when it is not the last.

The SYSTEM hive of a made NTFS volume is dirty: two logs of two entries each bring it from state 0 to state 4, which two
services on pages of their own tell. A VHDX is dirty too: its log has two block tables, and with the last of them the
hive of state 4 appears. What is damaged are the logs and what decides about them; hives and data have no checksums.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.collect import Machine, collect
from forensics.disk import open_image
from forensics.facts import Wants
from parsers.diagnostics import Diagnostic, Diagnostics
from parsers.errors import StopcodeError
from samples.hive import Key, binary, write_hive
from tests.forensics.disk.ntfs_disks import MIB, mbr_disk, ntfs_volume, software
from tests.forensics.world import gaps, named, pe_file
from tests.parsers.disk import vhdx_writer
from tests.parsers.registry.logs import differences, dirty, entry, new_log

pytestmark = [pytest.mark.fuzz, pytest.mark.peer("mkntfs", "wimlib-imagex")]
CONFIG = "Windows/System32/config"
WORDS = ("boot", "system", "auto", "demand", "disabled")
LAST = 4


def hive(state: int) -> bytes:
    top = Key()
    top.set("Select", {"Current": 1})
    top.set("ControlSet001\\Services\\first", {"Start": state, "Type": 1})
    top.set("ControlSet001\\Services\\g", {"Between": binary(bytes(9000))})
    top.set("ControlSet001\\Services\\second", {"Start": state, "Type": 1})
    return write_hive(top, "ROOT", time=132_000_000_000_000_000)


HIVES = [hive(state) for state in range(LAST + 1)]
ENTRIES = [
    entry(8 + n, len(HIVES[0]) - 4096, differences(HIVES[n], HIVES[n + 1], 512))
    for n in range(LAST)
]  # fmt: skip
LOGS = [new_log(HIVES[0], ENTRIES[:2], sequence=8), new_log(HIVES[0], ENTRIES[2:], sequence=10)]


def volume(place: Path, system: bytes, logs: Sequence[bytes] = ()) -> Path:
    files: dict[str, bytes | Path] = {
        f"{CONFIG}/SYSTEM": system,
        f"{CONFIG}/SOFTWARE": software(),
        "Windows/System32/ntoskrnl.exe": pe_file((10, 0, 18362, 720)),
    }
    files |= {f"{CONFIG}/SYSTEM.LOG{number}": log for number, log in enumerate(logs, 1)}
    return mbr_disk(place.with_suffix(".raw"), [ntfs_volume(place, files, mib=4)], slack=0)


def state_of(place: Path) -> tuple[int, list[Diagnostic]]:
    """Return the state that both services tell, -1 for a gap in its place, and what is said of the disk."""
    said = Diagnostics()
    with open_image(place, said) as image:
        facts = collect(Machine(image.windows, Wants(), said))
    services = facts["services"]
    if not services:
        assert "/services" in gaps(facts)
        return -1, said.items
    first, second = (WORDS.index(named(services, name, "name")["start"]) for name in ("first", "second"))
    assert first == second
    return first, said.items


def spoiled(data: bytearray, places: Sequence[tuple[int, int]], draw: st.DataObject) -> None:
    """Change bytes, or blank or repeat sectors, in stretches of the data, each (offset, length)."""
    for _ in range(draw.draw(st.integers(1, 5))):
        start, length = draw.draw(st.sampled_from(places))
        at = start + draw.draw(st.integers(0, length - 1))
        what = draw.draw(st.sampled_from(["byte", "byte", "bit", "zeros", "sector", "rest"]))
        sector = at // 512 * 512
        if what == "byte":
            data[at] = draw.draw(st.integers(0, 255))
        elif what == "bit":
            data[at] ^= 1 << draw.draw(st.integers(0, 7))
        elif what == "zeros":
            data[sector : sector + 512] = bytes(512)
        elif what == "sector":
            other = start + draw.draw(st.integers(0, (length - 1) // 512)) * 512
            data[sector : sector + 512] = data[other : other + 512]
        else:
            data[at : start + length] = bytes(start + length - at)


def begins(data: bytes | bytearray, magic: bytes, at: int, number: int) -> bool:
    """Whether an entry begins so: with its magic, and its number at a place."""
    return data[: len(magic)] == magic and data[at : at + 4] == number.to_bytes(4, "little")


@pytest.fixture(scope="module")
def dirty_hive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """A disk with a dirty hive, and where its logs and its base block lie."""
    place = volume(tmp_path_factory.mktemp("hive") / "v.img", dirty(HIVES[0]), LOGS)
    disk = place.read_bytes()
    parts = [LOGS[0], LOGS[1], dirty(HIVES[0])]
    assert all(disk.count(part) == 1 for part in parts)
    lengths = (len(LOGS[0]), len(LOGS[1]), 512)
    return place, [(disk.index(part), length) for part, length in zip(parts, lengths, strict=True)]


def test_the_sound_disk_tells_the_last_state(dirty_hive: tuple[Path, object]) -> None:
    state, said = state_of(dirty_hive[0])
    assert state == LAST
    assert ("hive.log-replayed", "info") in [(item.code, item.severity) for item in said]


@given(draw=st.data())
def test_damaged_logs_of_a_hive_give_a_state_that_was_and_say_when_it_is_not_the_last(
    dirty_hive: tuple[Path, list[tuple[int, int]]], draw: st.DataObject
) -> None:
    place, parts = dirty_hive
    disk = bytearray(place.read_bytes())
    spoiled(disk, parts, draw)
    damaged = place.with_name("damaged.raw")
    damaged.write_bytes(disk)
    try:
        state, said = state_of(damaged)
    except StopcodeError:
        return
    told = [item.code for item in said if item.severity != "info" and item.code.startswith("hive.")]
    # Where an entry no longer begins as one, or as that of an older run, the log ends there: nothing shows otherwise.
    starts = [parts[state // 2][0] + LOGS[state // 2].index(ENTRIES[state])] if 0 <= state < LAST else []
    assert state == LAST or told or any(not begins(disk[at:], b"HvLE", 12, 8 + state) for at in starts)


@pytest.fixture(scope="module")
def dirty_vhdx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VHDX whose log has two block tables behind the one in the file, which shows the hive of state 0."""
    folder = tmp_path_factory.mktemp("vhdx")
    disks = [volume(folder / f"v{state}.img", HIVES[state]).read_bytes() for state in (0, 2, LAST)]
    parts = vhdx_writer.vhdx(b"".join(disks), seed=4)
    count = len(disks[0]) // MIB
    tables = [parts.table[8 * count * n : 8 * count * (n + 1)].ljust(4096, b"\0") for n in range(3)]
    end = vhdx_writer.DATA_AT + len(parts.blocks)
    parts.metadata = vhdx_writer.metadata(len(disks[0]), MIB, 512, None)
    parts.table = tables[0]
    parts.headers = [vhdx_writer.header(5), vhdx_writer.header(6, log=vhdx_writer.SESSION)]
    parts.log = vhdx_writer.log(
        {
            n * 0x2000: vhdx_writer.log_entry(100 + n, 0, [(vhdx_writer.TABLE_AT, tables[n + 1])], flushed=end)
            for n in range(2)
        }
    )
    (folder / "sound.vhdx").write_bytes(parts.file())
    return folder / "sound.vhdx"


def test_the_sound_vhdx_shows_the_last_state(dirty_vhdx: Path) -> None:
    state, said = state_of(dirty_vhdx)
    assert state == LAST
    assert [item.severity for item in said if item.code == "vhdx.log-replayed"] == ["info"]


@given(draw=st.data())
def test_a_damaged_log_of_a_vhdx_gives_a_state_that_was_and_says_when_it_is_not_the_last(
    dirty_vhdx: Path, draw: st.DataObject
) -> None:
    file = bytearray(dirty_vhdx.read_bytes())
    spoiled(file, [(vhdx_writer.LOG_AT, 0x4000), (0x10000, 4096), (0x20000, 4096)], draw)
    damaged = dirty_vhdx.with_name("damaged.vhdx")
    damaged.write_bytes(file)
    try:
        state, said = state_of(damaged)
    except StopcodeError:
        return
    told = [item for item in said if item.code in ("vhdx.log-dirty", "vhdx.one-header") or item.severity == "warning"]
    start = file[vhdx_writer.LOG_AT + 0x2000 :][:64]
    gone = not begins(start, b"loge", 16, 101) or start[32:48] != vhdx_writer.SESSION.bytes_le
    assert state == LAST or gone or [item for item in told if item.code.startswith("vhdx.")]
