"""NTFS volumes that mkntfs, wimlib, ntfscp and Windows wrote, with ntfscat, ntfsinfo and dissect.ntfs as judges."""

from __future__ import annotations

import random
import re
import struct
import subprocess
from pathlib import Path

import pytest
from dissect.ntfs import NTFS
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource, FileSource
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_NTFS_RECORDS_KEPT
from parsers.ntfs import BootSector, NtfsVolume, index, layouts
from parsers.ntfs import volume as volumes
from parsers.ntfs.record import STANDARD_INFORMATION
from parsers.ntfs.volume import ROOT
from tests.forensics.disk.ntfs_disks import ntfs_volume, run
from tests.parsers.ntfs.volumes import (
    RECORD,
    Patched,
    at,
    children,
    content,
    data_attribute,
    every_file,
    opened,
    record_of,
    sized,
    survey,
    taken_apart,
)
from tests.parsers.registry.walk import Give

made = pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp", "ntfscat", "ntfsinfo")
WOF = struct.pack("<IHHIIII", 0x80000017, 16, 0, 1, 2, 1, 0)


def noise(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume with small, large, empty and strangely named files, and one folder of five hundred."""
    folder = tmp_path_factory.mktemp("ntfs")
    files: dict[str, bytes | Path] = {
        f"drivers/file{number:03d}.sys": noise(number * 11, number) for number in range(500)
    }
    files |= {
        "large.bin": noise(3_000_001),
        "empty.txt": b"",
        "Größe/Ключ/ファイル.txt": b"found",
        "Größe/ÿ µ ı.txt": b"letters whose upper case is elsewhere",
        "a long name with spaces.and.dots.txt": b"long",
        "deep/" + "/".join(f"level{number}" for number in range(40)) + "/bottom.txt": b"bottom",
        "later.bin": noise(40_000, 3),
    }
    place = ntfs_volume(folder / "volume.img", files, mib=32, label="Größe")
    packed = folder / "packed"
    packed.write_bytes(WOF)
    compact = folder / "compact"
    compact.write_bytes(bytes(50_000))
    run("ntfscp", "-f", "-q", place, compact, "/compact.exe")
    run("ntfscp", "-f", "-q", "-a", "0xC0", place, packed, "/compact.exe")
    stream = folder / "stream"
    for number in range(24):
        stream.write_bytes(noise(700 + number, number))
        run("ntfscp", "-f", "-q", "-N", f"stream with a long name {number}", place, stream, "/later.bin")
    return place


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A volume whose files are stored with LZNT1."""
    folder = tmp_path_factory.mktemp("lznt1")
    place = folder / "volume.img"
    with place.open("wb") as target:
        target.truncate(16 << 20)
    run("mkntfs", "-F", "-Q", "-C", "-c", "4096", "-s", "512", "-p", "2048", "-H", "255", "-S", "63", place)
    text = b"".join(b"line %d of a text that can be made smaller\n" % number for number in range(9_000))
    files = {
        "text": text,
        "mixed": text[:150_000] + noise(100_000) + bytes(200_000) + text[:70_001],
        "zeros": bytes(300_000),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
        run("ntfscp", "-f", "-q", place, folder / name, f"/{name}")
    return place, files


@made
def test_every_file_has_the_bytes_that_ntfscat_prints(volume: Path) -> None:
    ntfs = opened(volume)
    compared = 0
    for path, record in every_file(ntfs):
        if record.number % 17 and not path.startswith(("/Gr", "/deep", "/large", "/later")):
            continue
        theirs = subprocess.run(["ntfscat", "-f", "-i", str(record.number), volume], capture_output=True, check=True)
        assert content(ntfs, record) == theirs.stdout, path
        compared += 1
    assert compared > 30


@made
def test_dissect_finds_the_same_files_with_the_same_bytes(volume: Path) -> None:
    ours = {path.lstrip("/"): record for path, record in every_file(opened(volume))}
    assert len(ours) == 508
    ntfs = opened(volume)
    with volume.open("rb") as file:
        theirs = NTFS(file)
        for path, record in ours.items():
            other = theirs.mft.get(path)
            assert other.segment == record.number
            assert other.open().read() == content(ntfs, record), path
        assert (theirs.volume_name, theirs.serial) == (ntfs.label, ntfs.boot.serial)


@made
def test_every_name_is_found_through_the_index_whatever_its_case(volume: Path) -> None:
    ntfs = opened(volume)
    for folder in (ntfs.record(ROOT), at(ntfs, "/drivers"), at(ntfs, "/Größe")):
        for entry in children(ntfs, folder):
            for name in (entry.name, entry.name.upper() if entry.name.isascii() else entry.name):
                found = ntfs.index(folder).find(name.encode("utf-16-le"), ntfs.fold)
                assert found is not None
                assert found.reference == entry.reference
        assert ntfs.index(folder).find("nothing like it".encode("utf-16-le"), ntfs.fold) is None
    assert at(ntfs, "/GRÖßE/ключ/ファイル.TXT").number == at(ntfs, "/Größe/Ключ/ファイル.txt").number


@made
def test_a_name_is_looked_up_without_reading_the_whole_folder(volume: Path) -> None:
    source = FileSource(volume)
    ntfs = NtfsVolume(source)
    drivers = at(ntfs, "/drivers")
    whole = ntfs.stream(drivers, 0xA0, "$I30")
    assert whole is not None
    assert whole.size > 50_000
    before = source.bytes_read
    assert ntfs.index(drivers).find("file321.sys".encode("utf-16-le"), ntfs.fold) is not None
    assert source.bytes_read - before <= 3 * 4096


@made
def test_sizes_times_and_serial_number_are_those_that_ntfsinfo_prints(volume: Path) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/large.bin")
    printed = run("ntfsinfo", "-f", "-v", "-i", str(record.number), volume).decode()
    assert f"Data size:\t\t {ntfs.stream(record).size}" in printed  # type: ignore[union-attr]
    standard = record.find(STANDARD_INFORMATION)
    assert standard is not None
    assert standard.value is not None
    modified = int.from_bytes(standard.value[8:16], "little")
    written = re.search(r"File Altered Time:\s+\w+ \w+ +\d+ (\d\d):(\d\d):(\d\d) \d+", printed)
    assert written is not None
    assert modified // 10_000_000 % 60 == int(written.group(3))
    whole = run("ntfsinfo", "-f", "-m", volume).decode()
    assert "Volume Name: Größe" in whole
    assert ntfs.label == "Größe"


@made
def test_a_file_of_many_streams_is_put_together_from_its_extension_records(volume: Path) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/later.bin")
    assert record.find(0x20) is not None, "the file has no list of attributes"
    assert content(ntfs, record) == noise(40_000, 3)
    for number in range(24):
        assert content(ntfs, record, f"stream with a long name {number}") == noise(700 + number, number)


@made
def test_a_file_compressed_by_the_wof_driver_shows_its_tag(volume: Path) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/compact.exe")
    assert ntfs.reparse_tag(record) == 0x80000017
    assert ntfs.reparse_tag(at(ntfs, "/large.bin")) is None


@made
def test_compressed_files_are_unpacked_from_any_place(compressed: tuple[Path, dict[str, bytes]]) -> None:
    place, files = compressed
    ntfs = opened(place)
    chosen = random.Random(7)
    for name, data in files.items():
        record = at(ntfs, name)
        source = ntfs.stream(record)
        assert source is not None
        first = record.attributes[-1] if record.find(0x80) is None else record.find(0x80)
        assert first is not None
        assert first.flags & 0xFF, f"{name} is not compressed"
        assert source.read_at(0, source.size) == data
        for _ in range(60):
            offset = chosen.randrange(len(data))
            length = chosen.randrange(1, 150_000)
            assert source.read_at(offset, length) == data[offset : offset + length]
        theirs = subprocess.run(["ntfscat", "-f", "-i", str(record.number), place], capture_output=True, check=True)
        assert theirs.stdout == data


@made
def test_damaged_compressed_data_are_an_error_or_other_bytes_but_never_endless(
    compressed: tuple[Path, dict[str, bytes]],
) -> None:
    place, files = compressed
    ntfs = opened(place)
    attribute = at(ntfs, "text").find(0x80)
    assert attribute is not None
    where = (ntfs._runs(attribute)[0].lcn or 0) * ntfs.boot.cluster
    for seed in range(40):
        damaged = opened(place, {where + seed * 37: noise(9, seed)})
        try:
            assert len(content(damaged, at(ntfs, "text"))) == len(files["text"])
        except FormatError:
            continue


@made
def test_what_was_never_written_reads_as_zeros(volume: Path) -> None:
    # A file that Windows extends keeps what the disk held before behind its initialized size.
    ntfs = opened(volume)
    record = at(ntfs, "/large.bin")
    place = data_attribute(volume, record, ntfs) + 0x38
    data = content(ntfs, record)
    for initialized in (0, 1, 4096, 1_000_000, 2_999_999):
        shorter = opened(volume, {place: struct.pack("<Q", initialized)})
        read = content(shorter, at(shorter, "/large.bin"))
        assert read == data[:initialized] + bytes(len(data) - initialized)
    copy = volume.with_name("copy.img")
    copy.write_bytes(bytes(Patched(volume, {place: struct.pack("<Q", 1_000_000)})._data))
    printed = subprocess.run(["ntfscat", "-f", "-i", str(record.number), copy], capture_output=True, check=True).stdout
    copy.unlink()
    assert printed == data[:1_000_000] + bytes(len(data) - 1_000_000)


@made
def test_a_torn_record_is_an_error_of_its_file_alone(volume: Path) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/large.bin")
    offset = ntfs.boot.mft * ntfs.boot.cluster + record.number * 1024
    torn = opened(volume, {offset + 510: b"\x77\x77"})
    with pytest.raises(FormatError, match="torn"):
        torn.record(record.number)
    assert content(torn, at(torn, "/empty.txt")) == b""


@made
def test_a_damaged_first_record_of_the_table_is_read_from_its_copy(volume: Path) -> None:
    boot = BootSector.parse(volume.read_bytes()[:512])
    ntfs = opened(volume, {boot.mft * boot.cluster: bytes(1024)})
    assert ntfs.used_mirror
    assert content(ntfs, at(ntfs, "/large.bin")) == noise(3_000_001)
    with pytest.raises(FormatError):
        opened(volume, {boot.mft * boot.cluster: bytes(1024), boot.mirror * boot.cluster: bytes(1024)})


@made
def test_a_reference_to_a_record_that_was_used_again_is_not_followed(volume: Path) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/large.bin")
    assert ntfs.record(record.number | record.sequence << 48) == record
    with pytest.raises(FormatError, match="another file"):
        ntfs.record(record.number | (record.sequence + 1) << 48)


@made
def test_blocks_of_a_folder_that_form_a_loop_end_in_an_error(volume: Path) -> None:
    raw = volume.read_bytes()
    drivers = at(opened(volume), "/drivers").number
    looped = 0
    for place in (match.start() for match in re.finditer(b"INDX", raw)):
        first, _length, _allocated, flags = struct.unpack_from("<IIIB", raw, place + 24)
        if place % 4096 or not flags & 1:
            continue
        # A node with blocks below it: its first entry is made to name the node itself.
        entry = place + 24 + first
        size = int.from_bytes(raw[entry + 8 : entry + 10], "little")
        ntfs = opened(volume, {entry + size - 8: raw[place + 16 : place + 24]})
        with pytest.raises(FormatError, match="loop"):
            list(ntfs.index(ntfs.record(drivers)).entries())
        with pytest.raises(FormatError, match="loop"):
            ntfs.index(ntfs.record(drivers)).find(b"a\0", ntfs.fold)
        looped += 1
    assert looped


@made
def test_the_root_of_an_index_that_claims_clusters_and_any_size_is_refused(volume: Path) -> None:
    ntfs = opened(volume)
    folder = at(ntfs, "/drivers")
    offset = ntfs.boot.mft * ntfs.boot.cluster + folder.number * RECORD
    head, attributes = taken_apart(volume.read_bytes(), offset)
    name = "$I30".encode("utf-16-le")
    away = struct.pack("<IIBBHHHQQHB5xQQQ", 0x90, 0, 1, 4, 64, 0, 0, 0, 0xFFFFFFFFFFFFFFFF, 72, 0, 0, 1 << 50, 0) + name
    attributes[0x90] = sized(away + bytes(8))
    hostile = opened(volume, {offset: record_of(head, list(attributes.values()))})
    with pytest.raises(FormatError, match="without an index"):
        hostile.index(at(hostile, "/drivers"))


def listed(ntfs: NtfsVolume, folder: int) -> tuple[list[str], FormatError | None]:
    """The names that a folder's index gives, and what it raised behind them."""
    names: list[str] = []
    try:
        names.extend(entry.name for entry in ntfs.index(ntfs.record(folder)).entries())
    except FormatError as error:
        return names, error
    return names, None


@made
def test_a_damaged_block_of_a_folder_is_an_error_and_not_a_shorter_folder(volume: Path) -> None:
    raw = volume.read_bytes()
    blocks = [place for place in (match.start() for match in re.finditer(b"INDX", raw)) if not place % 4096]
    ntfs = opened(volume, {blocks[-1] + 510: b"\x99\x99"})
    whole = opened(volume)
    errors = 0
    for folder in (ROOT, at(whole, "/drivers").number):
        names = [entry.name for entry in whole.index(whole.record(folder)).entries()]
        sound, error = listed(ntfs, folder)
        if error is None:
            assert sound == names
            continue
        errors += 1
        assert "1 block of" in error.message
        # One block is lost, and what stands in the others is not.
        assert 0 < len(names) - len(sound) < 60
        assert [name for name in names if name in set(sound)] == sound
    assert errors == 1


@made
def test_each_damaged_block_of_a_folder_costs_its_own_entries_alone(volume: Path) -> None:
    raw = volume.read_bytes()
    whole = opened(volume)
    drivers = at(whole, "/drivers").number
    names = {entry.name for entry in whole.index(whole.record(drivers)).entries()}
    lost: list[set[str]] = []
    for place in (match.start() for match in re.finditer(b"INDX", raw)):
        ntfs = opened(volume, {place + 510: b"\x99\x99"})
        lost.append(names - set(listed(ntfs, drivers)[0]))
    small = sorted(filter(None, lost), key=len)
    assert len(small) > 3
    assert sum(len(part) for part in small[:-1]) == len(set().union(*small[:-1]))


@made
def test_more_entries_than_the_limit_are_refused(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ntfs = opened(volume)
    folder = at(ntfs, "/drivers")
    monkeypatch.setattr(index, "MAX_FOLDER_ENTRIES", 100)
    with pytest.raises(FormatError, match="too many"):
        list(ntfs.index(folder).entries())


@made
def test_a_deeper_index_than_the_limit_is_refused(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ntfs = opened(volume)
    folder = at(ntfs, "/drivers")
    monkeypatch.setattr(index, "MAX_NTFS_INDEX_DEPTH", 0)
    with pytest.raises(FormatError, match="loop"):
        list(ntfs.index(folder).entries())
    with pytest.raises(FormatError, match="loop"):
        ntfs.index(folder).find(b"f\0", ntfs.fold)


@made
def test_longer_lists_of_attributes_and_more_extensions_than_the_limits_are_refused(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ntfs = opened(volume)
    record = at(ntfs, "/later.bin")
    with monkeypatch.context() as patch:
        patch.setattr(volumes, "MAX_NTFS_EXTENSIONS", 0)
        names = [f"stream with a long name {number}" for number in range(24)]
        elsewhere = next(name for name in names if record.find(0x80, name) is None)
        with pytest.raises(FormatError, match="extension"):
            ntfs.stream(record, 0x80, elsewhere)
    monkeypatch.setattr(volumes, "MAX_ATTRIBUTE_LIST", 16)
    with pytest.raises(FormatError, match="too long"):
        ntfs.stream(record)


@made
def test_no_more_records_are_kept_than_the_limit(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_NTFS_RECORDS_KEPT >= 1000
    monkeypatch.setattr(volumes, "MAX_NTFS_RECORDS_KEPT", 10)
    ntfs = opened(volume)
    assert len(list(every_file(ntfs))) == 508
    assert len(ntfs._records) == 10


@made
def test_an_encrypted_file_is_called_that(volume: Path) -> None:
    ntfs = opened(volume)
    place = data_attribute(volume, at(ntfs, "/large.bin"), ntfs) + 0xC
    secret = opened(volume, {place: struct.pack("<H", 0x4000)})
    with pytest.raises(UnsupportedError, match="EFS"):
        secret.stream(at(secret, "/large.bin"))


@made
def test_a_volume_that_ends_early_gives_an_error_where_it_ends(volume: Path) -> None:
    data = volume.read_bytes()
    ntfs = opened(volume)
    record = at(ntfs, "/large.bin")
    attribute = record.find(0x80)
    assert attribute is not None
    first = ntfs._runs(attribute)[0]
    assert first.lcn is not None
    cut = NtfsVolume(BytesSource(data[: first.lcn * 4096 + 8192]))
    source = cut.stream(at(cut, "/large.bin"))
    assert source is not None
    assert source.read_at(0, 8192) == noise(3_000_001)[:8192]
    with pytest.raises(ReadError, match="behind the end"):
        source.read_at(0, 8193)


@made
@pytest.mark.parametrize(("sector", "cluster"), [(512, 512), (512, 2048), (512, 65536), (4096, 4096), (1024, 4096)])
def test_other_sizes_of_sectors_and_clusters_are_read(tmp_path: Path, sector: int, cluster: int) -> None:
    files: dict[str, bytes | Path] = {f"folder/{number}.bin": noise(number * 300, number) for number in range(120)}
    place = ntfs_volume(tmp_path / "v.img", files, mib=16, sector=sector, cluster=cluster, start=256)
    ntfs = opened(place)
    found = {path: content(ntfs, record) for path, record in every_file(ntfs)}
    assert found == {f"/folder/{number}.bin": noise(number * 300, number) for number in range(120)}
    assert ntfs.index(at(ntfs, "/folder")).find("77.BIN".encode("utf-16-le"), ntfs.fold) is not None


@pytest.mark.realdata
@pytest.mark.peer("ntfscat")
def test_a_volume_that_windows_wrote_has_the_bytes_that_ntfscat_prints(unpacked: Give) -> None:
    place = unpacked("disks/tiny-ntfs.dd")
    ntfs = opened(place)
    compared = 0
    for path, record in every_file(ntfs):
        theirs = subprocess.run(["ntfscat", "-f", "-i", str(record.number), place], capture_output=True, check=True)
        assert content(ntfs, record) == theirs.stdout, path
        compared += 1
    assert compared >= 1
    assert not ntfs.dirty


@made
def test_the_declared_layouts_read_what_the_reader_reads(volume: Path) -> None:
    data = volume.read_bytes()
    ntfs = opened(volume)
    boot = layouts.BOOT_SECTOR.parse(data)
    assert (boot.mft_lcn, boot.mftmirr_lcn, boot.volume_serial_number) == (
        ntfs.boot.mft, ntfs.boot.mirror, ntfs.boot.serial,
    )  # fmt: skip
    assert 1 << -boot.clusters_per_mft_record == ntfs.boot.record
    assert boot.number_of_sectors * boot.bytes_per_sector == ntfs.boot.size
    for name in ("/large.bin", "/drivers", "/later.bin"):
        record = at(ntfs, name)
        start = ntfs.boot.mft * ntfs.boot.cluster + record.number * ntfs.boot.record
        raw = volumes_record(data, start)
        head = layouts.FILE_RECORD.parse(raw)
        assert (head.magic, head.sequence_number, bool(head.flags & 2)) == (b"FILE", record.sequence, record.is_dir)
        place = head.attrs_offset
        for attribute in record.attributes:
            declared = layouts.ATTRIBUTE_HEADER.parse(raw[place:])
            assert (declared.type, declared.flags) == (attribute.type, attribute.flags)
            if declared.non_resident:
                rest = layouts.NON_RESIDENT.parse(raw[place + 16 :])
                assert (rest.lowest_vcn, rest.highest_vcn, rest.data_size, rest.initialized_size) == (
                    attribute.lowest, attribute.highest, attribute.size, attribute.initialized,
                )  # fmt: skip
                assert raw[place + rest.mapping_pairs_offset : place + declared.length] == attribute.pairs
            else:
                rest = layouts.RESIDENT.parse(raw[place + 16 :])
                value = raw[place + rest.value_offset :][: rest.value_length]
                assert value == attribute.value
                if attribute.type == 0x30:
                    mine = index.file_name(value, 0, 0)
                    other = layouts.FILE_NAME.parse(value)
                    assert struct.pack(f"<{len(other.file_name)}H", *other.file_name) == mine.units
                    assert (other.data_size, other.last_data_change_time) == (mine.size, mine.modified)
                if attribute.type == 0x90:
                    root = layouts.INDEX_ROOT.parse(value)
                    entry = layouts.INDEX_ENTRY.parse(value[16 + root.index.entries_offset :])
                    assert root.index_block_size == 4096
                    assert entry.length >= 16
                if attribute.type == 0x20:
                    listed = layouts.ATTRIBUTE_LIST_ENTRY.parse(value)
                    assert listed.type == ntfs._listed(attribute)[0][0]
                    assert listed.mft_reference == ntfs._listed(attribute)[0][2]
            place += declared.length
    block = layouts.INDEX_BLOCK.parse(data[data.index(b"INDX\x28\0") :][:4096])
    assert block.index.entries_offset >= 16


def volumes_record(data: bytes, start: int) -> bytes:
    """A record with its sector ends put back, by hand."""
    raw = bytearray(data[start : start + 1024])
    at_sequence = int.from_bytes(raw[4:6], "little")
    for sector in range(2):
        raw[sector * 512 + 510 : sector * 512 + 512] = raw[at_sequence + 2 + 2 * sector : at_sequence + 4 + 2 * sector]
    return bytes(raw)


@given(st.binary(max_size=4096))
def test_any_bytes_give_a_volume_or_an_error(data: bytes) -> None:
    for beginning in (data, b"\xeb\x52\x90NTFS    \0\x02\x08" + data):
        try:
            survey(NtfsVolume(BytesSource(beginning)))
        except StopcodeError:
            continue


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small volume, so that mutations hit."""
    folder = tmp_path_factory.mktemp("little")
    files: dict[str, bytes | Path] = {
        f"folder {number % 3}/{number}.txt": noise(number * 97, number) for number in range(90)
    }
    return ntfs_volume(folder / "v.img", files, mib=2, cluster=4096)


@made
@pytest.mark.fuzz
@given(data=st.data())
def test_a_mutated_volume_is_walked_to_its_end(little: Path, data: st.DataObject) -> None:
    whole = little.read_bytes()
    boot = BootSector.parse(whole[:512])
    table = boot.mft * boot.cluster
    blocks = [match.start() for match in re.finditer(b"INDX", whole)]
    patches: dict[int, bytes] = {}
    for _ in range(data.draw(st.integers(1, 8))):
        base = data.draw(st.sampled_from([0, table, table + 5 * 1024, table + 64 * 1024, *blocks]))
        patches[base + data.draw(st.integers(0, 2047))] = data.draw(st.binary(min_size=1, max_size=4))
    try:
        entries, _errors = survey(opened(little, patches))
    except StopcodeError:
        return
    assert entries < 5_000
