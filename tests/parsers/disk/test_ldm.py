"""Dynamic disks: databases that Windows wrote, with ldmtool and libldm's own tests as the judges."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import ByteSource
from parsers.disk import ldm_layouts
from parsers.disk.ldm import DynamicDisk, DynamicVolume, read_dynamic_disk
from parsers.disk.partitions import read_partitions
from parsers.errors import FormatError, StopcodeError, UnsupportedError
from parsers.limits import MAX_LDM_DATABASE
from tests.parsers.disk.ldm_disks import GROUPS, DynamicImage, dynamic_disk, names, on_one_disk

KINDS = {"simple": "simple", "spanned": "spanned", "striped": "striped", "mirrored": "mirrored", "RAID5": "raid5"}


def read(image: ByteSource) -> DynamicDisk:
    table = read_partitions(image)
    assert table is not None
    return read_dynamic_disk(image, table)


def volume(disk: DynamicDisk, name: str) -> DynamicVolume:
    return next(volume for volume in disk.volumes if volume.name == name)


def places(volume: DynamicVolume) -> list[tuple[str, int, int, int]]:
    return [(part.disk, part.offset, part.at, part.size) for copy in volume.copies for part in copy]


#: What libldm's tests say: which volume lies on the disks that are called by its kind.
@pytest.mark.parametrize(
    ("windows", "kind", "name"),
    [
        ("2003r2", "simple", "Volume1"),
        ("2003r2", "spanned", "Volume2"),
        ("2003r2", "striped", "Stripe1"),
        ("2003r2", "mirrored", "Volume3"),
        ("2003r2", "raid5", "Raid1"),
        ("2008r2", "spanned", "Volume1"),
        ("2008r2", "striped", "Volume2"),
        ("2008r2", "mirrored", "Volume3"),
        ("2008r2", "raid5", "Volume4"),
    ],
)
def test_each_volume_lies_on_the_disks_that_were_made_for_it(windows: str, kind: str, name: str) -> None:
    disks = [read(dynamic_disk(disk)) for disk in names() if disk.startswith(f"{windows}-{kind}-")]
    assert {disk.group_id for disk in disks} == {GROUPS[windows]}
    assert not any(disk.problems for disk in disks)
    for disk in disks:
        found = volume(disk, name)
        assert found.kind == kind
        assert {part.disk for copy in found.copies for part in copy} == {each.name for each in disks}
        assert {part.disk for copy in found.copies for part in copy if part.here} == {disk.name}


def ask(images: list[Path], *questions: str) -> list[Any]:
    """Return what ldmtool answers to each question, after it has scanned the images."""
    lines = "\n".join([f"scan {' '.join(map(str, images))}", *questions])
    done = subprocess.run(["ldmtool"], input=lines, capture_output=True, text=True, check=False)
    answers = [part for part in done.stdout.split("ldm> ") if part.strip()]
    found = []
    for answer in answers:
        # A prompt is followed by the question where that is echoed.
        begin = min((at for at in (answer.find("\n{"), answer.find("\n[")) if at >= 0), default=0)
        found.append(json.loads(answer[begin:]))
    return found[1:]


@pytest.mark.peer("ldmtool")
@pytest.mark.parametrize("windows", ["2003r2", "2008r2"])
def test_ldmtool_tells_the_same_of_every_volume_and_disk(windows: str, tmp_path: Path) -> None:
    ours = [name for name in names() if name.startswith(windows)]
    images = [dynamic_disk(name).write(tmp_path / name) for name in ours]
    disks = [read(dynamic_disk(name)) for name in ours]
    group = GROUPS[windows]
    (told,) = ask(images, f"show diskgroup {group}")
    assert sorted(told["disks"]) == sorted(disks[0].disks)
    assert sorted(told["volumes"]) == sorted(each.name for each in disks[0].volumes)
    assert told["name"] == disks[0].group
    volumes = ask(images, *(f"show volume {group} {name}" for name in told["volumes"]))
    parts = {name for each in volumes for name in each["partitions"]}
    known = {each["name"]: each for each in ask(images, *(f"show partition {group} {name}" for name in sorted(parts)))}
    starts = {each["name"]: each for each in ask(images, *(f"show disk {group} {disk.name}" for disk in disks))}
    for disk in disks:
        assert starts[disk.name]["guid"] == str(disk.id)
        for theirs in volumes:
            found = volume(disk, theirs["name"])
            assert (KINDS[theirs["type"]], theirs["size"] * 512, theirs["guid"], theirs["hint"]) == (
                found.kind, found.size, str(found.guid), found.drive,
            )  # fmt: skip
            stretches = {
                (known[name]["disk"], known[name]["start"] * 512, known[name]["size"] * 512)
                for name in theirs["partitions"]
            }
            data_start = starts[disk.name]["data-start"] * 512
            assert stretches == {
                (part.disk, part.offset - (data_start if part.here else 0), part.size)
                for copy in found.copies
                for part in copy
            }


@pytest.mark.peer("ldmtool")
def test_a_volume_that_was_extended_on_its_disk_has_two_parts_there(tmp_path: Path) -> None:
    image = on_one_disk(dynamic_disk("2003r2-spanned-2"))
    found = volume(read(image), "Volume2")
    half = 48128 * 512
    assert places(found) == [("Disk3", 63 * 512, 0, half), ("Disk3", 63 * 512 + half, half, half)]
    path = image.write(tmp_path / "disk")
    group = GROUPS["2003r2"]
    theirs, *parts = ask(
        [path], f"show volume {group} Volume2", *(f"show partition {group} {name}-01" for name in ("Disk3", "Disk2"))
    )
    assert (theirs["type"], theirs["size"]) == ("spanned", 96256)
    assert [(part["disk"], part["start"], part["size"]) for part in parts] == [
        ("Disk3", 0, 48128),
        ("Disk3", 48128, 48128),
    ]


def test_the_declared_layouts_read_what_the_reader_reads() -> None:
    image = dynamic_disk("2008r2-mirrored-2")
    disk = read(image)
    private = ldm_layouts.PRIVHEAD.parse(image.read_at(image.find(b"PRIVHEAD"), 512))
    assert private.disk_id.rstrip(b"\0").decode() == str(disk.id)
    assert private.group_name.rstrip(b"\0").decode() == disk.group
    assert (private.data_start, private.data_size) == (65570, 36797)
    assert (private.config_start, private.config_size) == (34, 2048)
    contents = ldm_layouts.TOCBLOCK.parse(image.read_at((private.config_start + 2) * 512, 512))
    config = contents.regions[0]
    assert (config.name.rstrip(b"\0"), contents.regions[1].name.rstrip(b"\0")) == (b"config", b"log")
    place = (private.config_start + config.start) * 512
    database = ldm_layouts.VMDB.parse(image.read_at(place, 512))
    assert database.group_id.rstrip(b"\0").decode() == disk.group_id
    assert (database.volumes, database.disks, database.state) == (len(disk.volumes), len(disk.disks), 1)
    kinds = []
    for number in range(database.last_record - 4):
        at = place + database.first_record + number * database.record_size
        head = ldm_layouts.VBLK_HEAD.parse(image.read_at(at, 16))
        if head.pieces and not head.piece:
            kinds.append(ldm_layouts.VBLK_RECORD.parse(image.read_at(at + 16, 8)).type)
    assert (kinds.count(0x51), kinds.count(0x32), kinds.count(0x33)) == (
        database.volumes, database.components, database.parts,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["2003r2-simple-1", "2008r2-raid5-2"])
def test_copies_stand_in_for_a_damaged_private_header_and_table_of_contents(name: str) -> None:
    whole = read(dynamic_disk(name))
    image = dynamic_disk(name)
    table = read_partitions(image)
    assert table is not None
    metadata = [item for item in table.partitions if item.type.startswith("5808")]
    first = metadata[0].offset + metadata[0].size - 512 if metadata else 6 * 512
    image.put(first, bytes(512))
    image.put(image.find(b"TOCBLOCK"), b"BLOCKTOC")
    found = read(image)
    assert found.problems == ["the first private header is damaged; a copy of it was used"]
    assert (found.name, found.volumes) == (whole.name, whole.volumes)


def test_a_change_that_was_under_way_is_told() -> None:
    image = dynamic_disk("2003r2-simple-1")
    image.put(image.find(b"VMDB") + 0x10, b"\0\x02")
    assert any("under way" in problem for problem in read(image).problems)


def test_a_damaged_record_is_told_and_the_others_are_read() -> None:
    image = dynamic_disk("2003r2-simple-1")
    # The name of Volume2 becomes longer than its record.
    image.replace(b"\x07Volume2", b"\xffVolume2")
    disk = read(image)
    assert volume(disk, "Volume1").kind == "simple"
    assert not [each for each in disk.volumes if each.name.startswith("Volume2")]
    assert any("ends in a field" in problem for problem in disk.problems)
    assert any("as many records" in problem for problem in disk.problems)


def test_a_record_of_which_a_piece_is_missing_is_told() -> None:
    image = dynamic_disk("2003r2-simple-1")
    image.put(image.find(b"\x05Disk2$") - 27 + 14, b"\0\x03")  # three pieces, says the first; there are two
    assert any("not whole" in problem for problem in read(image).problems)


def test_a_second_record_of_one_number_is_told_and_passed_over() -> None:
    image = dynamic_disk("2008r2-mirrored-1")
    plain = read(image)
    start = image.find(b"VMDB")
    last, length, first = struct.unpack(">III", image.read_at(start + 4, 12))
    slots = [start + at for at in range(first, last * length, length)]
    records = [image.read_at(at, length) for at in slots]
    free = [at for at, record in zip(slots, records, strict=True) if record[14:16] == bytes(2)]
    used = [record for record in records if record[14:16] != bytes(2)]
    assert len(free) >= len(used)
    for number, (at, record) in enumerate(zip(free, used, strict=False)):
        # Pieces of one record have the same number of a group.
        group = 0x10000 + int.from_bytes(record[8:12], "big")
        image.put(at, b"VBLK" + (1000 + number).to_bytes(4, "big") + group.to_bytes(4, "big") + record[12:])
    found = read(image)
    assert (found.volumes, found.disks) == (plain.volumes, plain.disks)
    assert any("one number" in problem for problem in found.problems)


def test_a_database_that_claims_too_much_is_refused() -> None:
    image = dynamic_disk("2003r2-simple-1")
    sectors = MAX_LDM_DATABASE // 512 + 1
    for at in (6, 102_208, 102_399):
        image.put(at * 512 + 0x12B, (1000).to_bytes(8, "big") + sectors.to_bytes(8, "big"))
    with pytest.raises(FormatError, match="bytes of the database"):
        read(image)


def test_a_database_has_no_more_records_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    image = dynamic_disk("2003r2-simple-1")
    monkeypatch.setattr("parsers.disk.ldm.MAX_LDM_RECORDS", 5)
    with pytest.raises(FormatError, match="number of records"):
        read(image)


def test_another_version_is_refused() -> None:
    image = dynamic_disk("2003r2-simple-1")
    image.put(image.find(b"VMDB") + 0x12, b"\0\x05")
    with pytest.raises(UnsupportedError, match="version 5"):
        read(image)


def test_a_disk_without_any_of_it_is_refused() -> None:
    image = dynamic_disk("2003r2-simple-1")
    bare = DynamicImage({0: image.read_at(0, 512)})
    with pytest.raises(FormatError, match="no private header"):
        read(bare)


@pytest.mark.fuzz
@given(data=st.data())
def test_damaged_databases_give_a_disk_or_an_error(data: st.DataObject) -> None:
    image = dynamic_disk(data.draw(st.sampled_from(["2003r2-raid5-1", "2008r2-mirrored-2"])))
    spots = [image.find(word) for word in (b"PRIVHEAD", b"TOCBLOCK", b"VMDB", b"VBLK")]
    for _ in range(data.draw(st.integers(1, 8))):
        spot = data.draw(st.sampled_from(spots)) + data.draw(st.integers(0, 511))
        image.put(spot, data.draw(st.sampled_from([b"\0", b"\xff", b"\x7f\xff", b"\xff" * 8, b"\0" * 8, b"\x04"])))
    try:
        found = read(image)
    except StopcodeError:
        return
    for each in found.volumes:
        assert each.size >= 0
