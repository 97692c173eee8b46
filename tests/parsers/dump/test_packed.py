"""Dumps in archives: the same dump as the bare one, whatever packed it; bombs and damage end at a limit."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import lzx
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.dump import cabinet, packed
from parsers.dump.open import open_dump
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from tests.parsers import lzx_packer
from tests.parsers.dump.builder import server2019, write_x64

DUMP = write_x64(server2019(), 5)
LZX_BLOCKS = ((lzx_packer.ALIGNED, 70_000), (lzx_packer.PLAIN, 1_001), (lzx_packer.VERBATIM, 1 << 20))


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def checksum(data: bytes) -> int:
    """Of a data block behind its checksum, as the document says: the last bytes in the reverse order."""
    value = 0
    for at in range(0, len(data), 4):
        word = data[at : at + 4]
        value ^= int.from_bytes(word, "little" if len(word) == 4 else "big")
    return value


def sealed(content: bytes, size: int, extra: bytes) -> bytes:
    """A data block, with its checksum in two parts: of the content, and of its head."""
    head = struct.pack("<HH", len(content), size) + extra
    return struct.pack("<I", checksum(content) ^ checksum(head)) + head + content


def cab(*members: tuple[str, bytes], method: int = 1, reserve: int = 0) -> bytes:
    """One folder with every member, in blocks of 32 KiB; MSZIP blocks have the one before as history."""
    whole = b"".join(data for _name, data in members)
    extra = b"\xaa" * reserve
    if method & 15 == 3:
        parts = lzx_packer.packed(whole, method >> 8, LZX_BLOCKS, calls=len(whole))
        blocks = [sealed(content, size, extra) for content, size in parts]
    else:
        blocks, history = [], b""
        for at in range(0, len(whole), 0x8000):
            part = whole[at : at + 0x8000]
            stored = part
            if method == 1:
                squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=history)
                stored = b"CK" + squeeze.compress(part) + squeeze.flush()
                history = part
            blocks.append(sealed(stored, len(part), extra))
    names = b""
    offset = 0
    for name, data in members:
        names += struct.pack("<IIHHHH", len(data), offset, 0, 0x5921, 0x6000, 0x20) + name.encode() + b"\0"
        offset += len(data)
    extra = struct.pack("<HBB", 3, reserve, reserve) + b"\xbb" * 3 if reserve else b""
    files_at = 36 + len(extra) + 8 + reserve
    data_at = files_at + len(names)
    body = struct.pack("<IHH", data_at, len(blocks), method) + b"\xcc" * reserve + names + b"".join(blocks)
    size = 36 + len(extra) + len(body)
    head = struct.pack(
        "<4sIIIIIBBHHHHH", b"MSCF", 0, size, 0, files_at, 0, 3, 1, 1, len(members), 4 * bool(reserve), 7, 0
    )
    return head + extra + body


ARCHIVES = {
    "zip": zipped(("sysdata.xml", b"<x/>" * 9), ("Mini.dmp", DUMP)),
    "zip-stored": zipped(("Mini.dmp", DUMP), method=zipfile.ZIP_STORED),
    "zip-lzma": zipped(("Mini.dmp", DUMP), method=zipfile.ZIP_LZMA),
    "gz": gzip.compress(DUMP),
    "gz-two": gzip.compress(DUMP[:5000]) + gzip.compress(DUMP[5000:]),
    "xz": lzma.compress(DUMP),
    "cab": cab(("sysdata.xml", b"<x/>" * 9), ("Mini.dmp", DUMP)),
    "cab-stored": cab(("Mini.dmp", DUMP), method=0),
    "cab-reserve": cab(("Mini.dmp", DUMP), reserve=5),
    "cab-lzx": cab(("sysdata.xml", b"<x/>" * 9), ("Mini.dmp", DUMP), method=3 | 18 << 8),
}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_a_packed_dump_reads_as_the_bare_one(name: str) -> None:
    dump = open_dump(BytesSource(ARCHIVES[name]))
    assert dump.packed is not None
    assert dump.packed.kind == name.partition("-")[0]
    assert dump.packed.member == ("" if name.startswith(("gz", "xz")) else "Mini.dmp")
    assert dump.source.size == len(DUMP)
    assert dump.source.read_at(0, len(DUMP)) == DUMP
    assert dump.complete
    assert dump.modules() == open_dump(BytesSource(DUMP)).modules()
    assert dump.diagnostics.items == open_dump(BytesSource(DUMP)).diagnostics.items


@pytest.mark.peer("7zz")
@pytest.mark.parametrize("name", [name for name in sorted(ARCHIVES) if name.startswith("cab")])
def test_7zip_finds_the_same_in_the_cabinets_of_these_tests(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.cab").write_bytes(ARCHIVES[name])
    subprocess.run(["7zz", "x", "-y", "x.cab"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "Mini.dmp").read_bytes() == DUMP


@pytest.mark.peer("7zz")
@pytest.mark.parametrize("kind", ["zip", "gzip", "xz"])
def test_what_7zip_packs_is_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "Mini.dmp").write_bytes(DUMP)
    subprocess.run(["7zz", "a", f"-t{kind}", "x", "Mini.dmp"], cwd=tmp_path, check=True, capture_output=True)
    path = next(path for path in tmp_path.iterdir() if path.name.startswith("x"))
    dump = open_dump(BytesSource(path.read_bytes()))
    assert dump.source.read_at(0, len(DUMP)) == DUMP


@pytest.mark.parametrize("name", ["zip", "gz", "xz", "cab"])
def test_an_archive_without_a_dump_is_an_error(name: str) -> None:
    other = b"MZ" + bytes(50_000)
    data = {
        "zip": zipped(("a.dmp", other)),
        "gz": gzip.compress(other),
        "xz": lzma.compress(other),
        "cab": cab(("a", other)),
    }
    with pytest.raises(FormatError, match="holds no kernel dump"):
        open_dump(BytesSource(data[name]))


@pytest.mark.parametrize("name", ["gz", "xz", "cab", "cab-stored", "cab-lzx"])
@pytest.mark.parametrize("part", [0.5, 0.95])
def test_a_cut_archive_gives_the_dump_up_to_there(name: str, part: float) -> None:
    data = ARCHIVES[name]
    dump = open_dump(BytesSource(data[: int(len(data) * part)]))
    assert not dump.complete
    assert 0 < dump.source.size < len(DUMP)
    assert dump.source.read_at(0, dump.source.size) == DUMP[: dump.source.size]
    assert "dump.packed-damaged" in {item.code for item in dump.diagnostics.items}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_an_archive_with_a_dump_is_told_from_one_without_by_its_first_bytes(name: str) -> None:
    assert packed.holds_dump(BytesSource(ARCHIVES[name]))


def test_what_holds_no_dump_is_told_as_such() -> None:
    for data in (b"", b"PK", DUMP, b"x" * 5000, b"PK\3\4" + b"x" * 5000, zipped(("a.dmp", b"none of them")), zipped(),
                 gzip.compress(b"a disk" * 1000), gzip.compress(DUMP)[:12], b"MSCF\0\0\0\0" + bytes(100)):  # fmt: skip
        assert not packed.holds_dump(BytesSource(data))


def test_a_locked_dump_counts_so_that_the_reason_is_told() -> None:
    for name, counts in (("memory.dmp", True), ("letter.txt", False)):
        locked = bytearray(zipped((name, b"x" * 100)))
        for at in (6, locked.index(b"PK\1\2") + 8):
            locked[at] |= 1
        assert packed.holds_dump(BytesSource(locked)) is counts


def test_more_members_than_the_limit_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(*((f"{number}", b"x" * 10) for number in range(5)), ("late", DUMP))
    assert packed.holds_dump(BytesSource(data))
    monkeypatch.setattr(packed, "MAX_PACKED_MEMBERS", 5)
    assert not packed.holds_dump(BytesSource(data))


def test_a_block_with_another_checksum_is_damage_and_what_stands_before_it_is_read() -> None:
    for method in (0, 1, 3 | 15 << 8):
        data = bytearray(cab(("Mini.dmp", DUMP), method=method))
        data[-1] ^= 0x10
        dump = open_dump(BytesSource(data))
        assert not dump.complete
        assert dump.source.size > 0
        assert dump.source.size % 0x8000 == 0
        assert dump.source.read_at(0, dump.source.size) == DUMP[: dump.source.size]
        assert any("checksum" in item.message for item in dump.diagnostics.items)


def test_a_folder_is_unpacked_once_however_many_files_stand_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    unpack = lzx.Stream.unpack
    monkeypatch.setattr(lzx.Stream, "unpack", lambda *given: asked.append(given[2]) or unpack(*given))
    few = [(f"{number}", bytes([number]) * 40_000) for number in range(5)]
    open_dump(BytesSource(cab(*few, ("Mini.dmp", DUMP), method=3 | 15 << 8)))
    assert sum(asked) == 5 * 40_000 + len(DUMP)


def test_files_of_a_folder_in_another_order_than_in_the_cabinet_are_read_too() -> None:
    data = cab(("1", b"x" * 70_000), ("2", DUMP))
    first = data.index(struct.pack("<II", 70_000, 0))
    second = data.index(struct.pack("<II", len(DUMP), 70_000))
    swapped = data[:first] + data[second : second + 18] + data[first:second] + data[second + 18 :]
    members = [(name, b"".join(blocks)) for name, blocks in cabinet.read_cabinet(BytesSource(swapped))]
    assert members == [("2", DUMP), ("1", b"x" * 70_000)]


def test_a_dump_without_a_name_is_read() -> None:
    packed_dump = zipped(("Qno name", DUMP)).replace(b"Qno name", b"\0no name")
    dump = open_dump(BytesSource(packed_dump))
    assert dump.source.read_at(0, len(DUMP)) == DUMP


def test_several_dumps_are_told() -> None:
    dump = open_dump(BytesSource(zipped(("a.dmp", DUMP), ("b.dmp", DUMP))))
    assert dump.packed is not None
    assert dump.packed.member == "a.dmp"
    assert "dump.packed-others" in {item.code for item in dump.diagnostics.items}


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_a_bomb_ends_at_the_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_UNPACKED_DUMP", 3 << 20)
    monkeypatch.setattr(packed, "_IN_MEMORY", 1 << 20)
    bomb = DUMP + bytes(20 << 20)
    data = {"zip": zipped, "gz": gzip.compress, "xz": lzma.compress}[kind]
    source = BytesSource(data(("a.dmp", bomb)) if kind == "zip" else data(bomb))  # type: ignore[operator]
    tracemalloc.start()
    dump = open_dump(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dump.source.size == 3 << 20
    assert peak < 16 << 20
    assert "dump.packed-large" in {item.code for item in dump.diagnostics.items}


def test_a_dump_many_times_larger_than_its_archive_ends_at_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_ALWAYS", 1 << 20)
    monkeypatch.setattr(packed, "MAX_UNPACK_RATIO", 3)
    data = gzip.compress(DUMP + bytes(8 << 20))
    assert open_dump(BytesSource(data)).source.size == max(1 << 20, 3 * len(data))


def test_more_members_than_the_limit_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_PACKED_MEMBERS", 3)
    monkeypatch.setattr(cabinet, "MAX_PACKED_MEMBERS", 3)
    few = [(f"{number}", b"nothing here") for number in range(4)]
    for data in (zipped(*few, ("z", DUMP)), cab(*few, ("z", DUMP))):
        with pytest.raises(FormatError, match="holds no kernel dump"):
            open_dump(BytesSource(data))


def test_an_xz_that_asks_for_too_much_memory_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_XZ_MEMORY", 1 << 20)
    with pytest.raises(UnsupportedError, match="too much memory"):
        open_dump(BytesSource(lzma.compress(DUMP, preset=6)))


def test_what_is_not_read_says_what_to_do() -> None:
    with pytest.raises(UnsupportedError, match="Quantum") as caught:
        open_dump(BytesSource(cab(("a", DUMP), method=2 | 15 << 8)))
    assert caught.value.hint
    with pytest.raises(UnsupportedError, match="window of 14 bits"):
        open_dump(BytesSource(cab(("a", DUMP)).replace(struct.pack("<HH", 7, 1), struct.pack("<HH", 7, 3 | 14 << 8))))
    data = bytearray(zipped(("a.dmp", DUMP)))
    data[6] |= 1
    data[data.rindex(b"PK\1\2") + 8] |= 1
    with pytest.raises(UnsupportedError, match="encrypted"):
        open_dump(BytesSource(bytes(data)))


@pytest.mark.fuzz
@given(
    name=st.sampled_from(sorted(ARCHIVES)),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
)
def test_any_archive_gives_a_dump_or_an_error(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(ARCHIVES[name])
    for place, value in changes:
        # The tables are at the ends.
        at = int(place * 200) if value % 2 else int(place * len(data))
        data[at if value % 3 else -1 - at % len(data)] = value
    for content in (bytes(data), bytes(data[: int(len(data) * (changes[0][0] if changes else 1))])):
        try:
            packed.unpack(BytesSource(content), Diagnostics())
        except StopcodeError:
            continue
