"""Shadow copies: a real volume, libvshadow as the judge, and volumes made for what that one has not."""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource, FileSource
from parsers.errors import FormatError, ReadError, StopcodeError
from parsers.limits import MAX_SHADOW_BLOCKS, MAX_SHADOW_COPIES
from parsers.vss import ShadowCopies, read_blocks, read_shadow_copies
from parsers.vss_volume import ShadowVolume
from tests.parsers.vss_writer import BLOCK, BLOCKS, DAY, FIRST, Store, guid, numbered, volume

SIZE = BLOCKS * BLOCK
OVERLAY, FORWARDER, UNUSED = 2, 1, 4
#: Blocks 100 and 101 changed before the second copy was made; 101, 102 and some sectors of 103 after it.
OLDER = Store(
    [
        (100, 0, 200, 0, 0),
        (101, 0, 201, 0x88, 0),
        (103, 0, 207, 0, 0),
        (110, 111, 0, FORWARDER, 0),  # what was in 110 is now in 111
        (112, 113, 0, FORWARDER, 0),  # what was in 112 came to 113, where it was overwritten
        (113, 0, 203, 0, 0),
        (114, 0, 0, UNUSED, 0),
    ]
)
NEWER = Store(
    [
        (101, 0, 204, 0, 0),
        (102, 0, 205, 0, 0),
        (103, 1, 206, OVERLAY, 0b101),
        (103, 1, 206, OVERLAY, 1 << 31),
        (115, 116, 0, FORWARDER, 0),
        (117, 1, 208, OVERLAY, 0b10),
        (117, 0, 209, 0, 0),
    ],
    unused={120, 121, 100},
    previously_unused={120, 116},
)
CURRENT = {
    100: numbered(100, 2), 101: numbered(101, 3), 102: numbered(102, 1), 103: numbered(103, 9),
    110: numbered(110, 7), 111: numbered(110, 0), 112: numbered(112, 7), 113: numbered(113, 7),
    115: numbered(115, 7), 116: numbered(115, 1), 117: numbered(117, 7),
    200: numbered(100, 0), 201: numbered(101, 0), 203: numbered(112, 0), 204: numbered(101, 1),
    205: numbered(102, 0), 206: numbered(103, 1), 207: numbered(103, 0), 208: numbered(117, 1), 209: numbered(117, 0),
}  # fmt: skip
TWO = bytes(volume([OLDER, NEWER], CURRENT))


def copies(data: bytes | bytearray) -> ShadowCopies:
    found = read_shadow_copies(BytesSource(data))
    assert found is not None
    return found


def content(data: bytes | bytearray, index: int) -> ShadowVolume:
    return ShadowVolume(BytesSource(data), copies(data).copies, index)


def block_of(shadow: ShadowVolume, number: int) -> bytes:
    return shadow.read_at(number * BLOCK, BLOCK)


def digest(shadow: ShadowVolume) -> str:
    made = hashlib.sha256()
    for at in range(0, shadow.size, 1 << 20):
        made.update(shadow.read_at(at, 1 << 20))
    return made.hexdigest()


def told_by_vshadowinfo(path: Path) -> list[tuple[str, str, str, datetime, int]]:
    """Return of each copy: its store, set and own identifier, when it was made, its attributes."""
    done = subprocess.run(["vshadowinfo", str(path)], capture_output=True, text=True, check=True)
    found = []
    for part in done.stdout.split("\nStore: ")[1:]:
        rows = dict(re.findall(r"^\t(.+?)\s*: (.+)$", part, re.MULTILINE))
        made = datetime.strptime(rows["Creation time"].split(".")[0] + " +0000", "%b %d, %Y %H:%M:%S %z")
        found.append(
            (
                rows["Identifier"],
                rows["Shadow copy set ID"],
                rows["Shadow copy ID"],
                made,
                int(rows["Attribute flags"], 16),
            )
        )
    return found


def told_by_us(found: ShadowCopies) -> list[tuple[str, str, str, datetime, int]]:
    return [
        (
            str(copy.store), str(copy.set_id), str(copy.id),
            datetime(1601, 1, 1, tzinfo=UTC) + timedelta(seconds=copy.created // 10_000_000), copy.attributes,
        )
        for copy in found.copies
    ]  # fmt: skip


@pytest.mark.peer("vshadowinfo", "qemu-img")
@pytest.mark.realdata
def test_libvshadow_lists_the_same_copies_of_a_real_volume(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    raw = tmp_path / "v.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", unpacked("disks/plaso/vsstest.qcow2"), raw], check=True)
    source = FileSource(raw)
    found = read_shadow_copies(source)
    assert found is not None
    assert told_by_us(found) == told_by_vshadowinfo(raw)
    assert [copy.machine for copy in found.copies] == ["infinity", "infinity"]
    assert not found.problem
    # What libvshadow 20190323 reads of both copies.
    assert [digest(ShadowVolume(source, found.copies, index)) for index in (0, 1)] == [
        "c8ada35c641a68447640b250f35e623b7f619aaae26bd55a06b8d4c34ebed1da",
        "41f940d92a534dd8e940a4983d2a766bcb262373f9dc2006851e81fa3a1fa2f2",
    ]


@pytest.mark.peer("vshadowinfo")
def test_libvshadow_lists_the_same_copies_of_a_made_volume(tmp_path: Path) -> None:
    path = tmp_path / "v.raw"
    path.write_bytes(TWO)
    # It lists them as the catalog has them.
    assert told_by_us(copies(TWO)) == sorted(told_by_vshadowinfo(path), key=lambda copy: copy[3])
    assert [copy.created for copy in copies(TWO).copies] == [FIRST, FIRST + DAY]
    assert [copy.id for copy in copies(TWO).copies] == [UUID(bytes_le=guid(100)), UUID(bytes_le=guid(101))]


def test_each_copy_has_what_was_there_when_it_was_made() -> None:
    older, newer = content(TWO, 0), content(TWO, 1)
    assert [block_of(older, number) for number in (100, 101, 102, 103, 110, 112, 113)] == [
        numbered(100, 0), numbered(101, 0), numbered(102, 0), numbered(103, 0), numbered(110, 0), numbered(112, 0),
        numbered(113, 7),
    ]  # fmt: skip
    assert [block_of(newer, number) for number in (100, 101, 102, 115)] == [
        numbered(100, 2), numbered(101, 1), numbered(102, 0), numbered(115, 1),
    ]  # fmt: skip


def test_an_overlay_lies_over_single_sectors_of_the_newest_copy() -> None:
    new, now = numbered(103, 1), CURRENT[103]
    wanted = b"".join((new if sector in (0, 2, 31) else now)[sector * 512 : sector * 512 + 512] for sector in range(32))
    newer = content(TWO, 1)
    assert block_of(newer, 103) == wanted
    assert newer.read_at(103 * BLOCK + 500, 24) == wanted[500:524]
    base = numbered(117, 0)
    assert block_of(newer, 117) == base[:512] + numbered(117, 1)[512:1024] + base[1024:]


def test_places_that_held_nothing_are_zeros_in_the_newest_copy_alone() -> None:
    assert block_of(content(TWO, 1), 120) == bytes(BLOCK)
    assert block_of(content(TWO, 1), 121) == numbered(121, 0)
    assert block_of(content(TWO, 0), 120) == numbered(120, 0)


def test_libvshadow_reads_the_same_of_a_made_volume() -> None:
    # What libvshadow 20190323 reads of both copies.
    assert [digest(content(TWO, index)) for index in (0, 1)] == [
        "22b301aea6982a7adbf9736c26832e67477116a596844bad2266ab4b27fb6bfb",
        "68c3fa931929b28f7c8c97381cbcdf8cea4ed38643024f684ebeabdf63d46414",
    ]


@given(offset=st.integers(0, SIZE + 10), length=st.integers(0, 5 * BLOCK))
def test_any_stretch_of_a_copy_is_that_of_the_whole(offset: int, length: int) -> None:
    shadow = content(TWO, 1)
    assert shadow.read_at(offset, length) == shadow.read_at(0, SIZE)[offset : offset + length]


def test_a_volume_that_never_had_copies_says_so() -> None:
    assert read_shadow_copies(BytesSource(bytes(SIZE))) is None
    assert read_shadow_copies(BytesSource(bytes(512))) is None
    assert copies(volume([], {})) == ShadowCopies(())


def changed(offset: int, data: bytes) -> bytearray:
    made = bytearray(TWO)
    made[offset : offset + len(data)] = data
    return made


def test_a_catalog_that_leads_in_circles_gives_what_was_read_of_it() -> None:
    found = copies(changed(11 * BLOCK + 40, struct.pack("<Q", 10 * BLOCK)))
    assert len(found.copies) == 2
    assert "circles" in found.problem


def test_a_store_whose_copy_the_catalog_does_not_name_makes_the_list_doubtful() -> None:
    # The entry that names the newer copy is damaged; that of its store stands.
    at = 10 * BLOCK + 128
    assert TWO[at] == 2
    found = copies(changed(at, b"\x12"))
    assert len(found.copies) == 1
    assert "does not name" in found.problem


def test_a_damaged_store_is_told_and_the_others_are_listed() -> None:
    data = changed(20 * BLOCK, bytes(16))
    found = copies(data)
    assert [bool(copy.problem) for copy in found.copies] == [True, False]
    assert found.copies[0].created == FIRST
    assert block_of(content(data, 1), 101) == numbered(101, 1)
    with pytest.raises(FormatError, match="is damaged"):
        content(data, 0)


def test_an_older_copy_is_not_read_without_the_newer_ones() -> None:
    with pytest.raises(FormatError):
        content(changed(31 * BLOCK, bytes(16)), 0)


def test_a_block_that_the_volume_has_not_is_an_error() -> None:
    descriptor = struct.pack("<QQQII", 100 * BLOCK, 0, SIZE, 0, 0)
    shadow = content(changed(21 * BLOCK + 128, descriptor), 0)
    assert block_of(shadow, 101) == numbered(101, 0)
    with pytest.raises(ReadError, match="ends before"):
        block_of(shadow, 100)


def test_the_tables_of_all_copies_together_have_no_more_blocks_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="too long"):
        list(read_blocks(BytesSource(TWO), 10 * BLOCK, 2, 1))
    monkeypatch.setattr("parsers.vss_volume.MAX_SHADOW_BLOCKS", 3)
    assert block_of(content(TWO, 1), 101) == numbered(101, 1)
    with pytest.raises(FormatError, match="too long"):
        content(TWO, 0)
    assert MAX_SHADOW_BLOCKS * 508 * BLOCK > 32e9


def test_a_volume_has_no_more_copies_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsers.vss.MAX_SHADOW_COPIES", 1)
    assert copies(TWO).problem
    assert MAX_SHADOW_COPIES >= 512


def test_a_header_of_another_version_is_told() -> None:
    assert "version 9" in copies(changed(0x1E10, b"\x09")).problem


@pytest.mark.fuzz
@given(data=st.data())
def test_damaged_tables_give_copies_or_an_error(data: st.DataObject) -> None:
    made = bytearray(TWO)
    for _ in range(data.draw(st.integers(1, 12))):
        base = data.draw(st.sampled_from([0x1E00, 10 * BLOCK, 11 * BLOCK, *(n * BLOCK for n in range(20, 36))]))
        at = base + data.draw(st.integers(0, 500))
        piece = data.draw(
            st.sampled_from([b"\0", b"\xff", b"\xff" * 8, b"\0" * 8, struct.pack("<Q", 10 * BLOCK), b"\x03"])
        )
        made[at : at + len(piece)] = piece
    source = BytesSource(made)
    try:
        found = read_shadow_copies(source)
        if found is not None and found.copies:
            ShadowVolume(source, found.copies, data.draw(st.integers(0, len(found.copies) - 1))).read_at(0, SIZE)
    except StopcodeError:
        pass
