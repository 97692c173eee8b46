"""The rules of hives on made ones: types, names, big data, broken links, limits, and any bytes at all."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.bytesource import BytesSource
from parsers.errors import FormatError, StopcodeError, TruncatedError
from parsers.limits import MAX_HIVE_BLOCKS, MAX_HIVE_BYTES, MAX_REGISTRY_VALUE
from parsers.registry import Hive, decode, keys, layouts
from parsers.registry.base_block import checksum
from samples.hive import Key as Branch
from samples.hive import Value as Leaf
from samples.hive import write_hive
from tests.parsers.registry.walk import Give, every_key, open_hive, sound, survey


def hive_of(top: Branch, **more: object) -> bytes:
    return write_hive(top, "ROOT", time=132_000_000_000_000_000, **more)  # type: ignore[arg-type]


def small() -> bytes:
    top = Branch()
    for number in range(12):
        top.set(f"Select\\Key{number}", {"Number": number, "Text": f"text {number}", "": "unnamed"})
    top.set(
        "Services\\storflt", {"ImagePath": "System32\\drivers\\vmstorfl.sys", "Start": 0, "Blob": Leaf(3, b"x" * 99)}
    )
    top.set("Services\\big", {"Data": Leaf(3, bytes(range(256)) * 200)})
    return hive_of(top)


SMALL = small()


def opened(data: bytes) -> Hive:
    return Hive(BytesSource(data))


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def place_of(data: bytes, path: str) -> int:
    key = opened(data).open_key(path)
    assert key is not None
    return key.offset


def test_keys_and_values_are_found_whatever_the_case() -> None:
    key = opened(SMALL).open_key("SERVICES\\STORFLT")
    assert key is not None
    assert key.name == "storflt"
    assert key.value("imagepath") is not None
    assert key.value("nothing") is None
    assert opened(SMALL).open_key("Services\\nothing\\below") is None


def test_the_unnamed_value_has_the_empty_name() -> None:
    key = opened(SMALL).open_key("Select\\Key3")
    assert key is not None
    value = key.value("")
    assert value is not None
    assert value.decoded() == "unnamed"


def test_data_in_many_segments_are_put_together() -> None:
    key = opened(SMALL).open_key("Services\\big")
    assert key is not None
    value = key.value("Data")
    assert value is not None
    assert value.size == 51_200
    assert value.data == bytes(range(256)) * 200


def test_a_name_with_other_letters_is_stored_in_two_bytes_and_found() -> None:
    top = Branch()
    top.set("Größe\\Ключ", {"Значение": "привет", "Größe": 5})
    hive = opened(hive_of(top))
    key = hive.open_key("GRÖßE\\КЛЮЧ")
    assert key is not None
    assert {value.name: value.decoded() for value in key.values()} == {"Значение": "привет", "Größe": 5}


def test_lists_of_lists_of_keys_are_walked_through() -> None:
    top = Branch()
    for number in range(1_700):
        top.at(f"Many\\k{number:05d}")
    hive = opened(hive_of(top))
    many = hive.open_key("Many")
    assert many is not None
    assert [key.name for key in many.subkeys()] == [f"k{number:05d}" for number in range(1_700)]
    assert many.subkey("K01699") is not None


@pytest.mark.parametrize(
    ("kind", "data", "meaning"),
    [
        (1, "abc\0".encode("utf-16-le"), "abc"),
        (1, "abc".encode("utf-16-le"), "abc"),
        (1, "abc\0rubbish".encode("utf-16-le"), "abc"),
        (2, b"a\0b\0c", "ab"),
        (1, b"\x00\xd8", "\ufffd"),
        (7, "a\0b\0\0".encode("utf-16-le"), ["a", "b"]),
        (7, "a\0b\0".encode("utf-16-le"), ["a", "b"]),
        (7, "a\0b".encode("utf-16-le"), ["a", "b"]),
        (7, b"", []),
        (7, b"\0\0", []),
        # A file to delete, then one to replace: the pairs stay pairs.
        (7, "\\??\\C:\\a\0\0\\??\\C:\\b\0!\\??\\C:\\c\0\0".encode("utf-16-le"),
         ["\\??\\C:\\a", "", "\\??\\C:\\b", "!\\??\\C:\\c"]),
        (7, "\\??\\C:\\a\0\0\0".encode("utf-16-le"), ["\\??\\C:\\a", ""]),
        (4, b"\x01\x02\0\0", 513),
        (5, b"\0\0\x02\x01", 513),
        (11, b"\xff" * 8, 2**64 - 1),
        (3, b"\x01\x02", b"\x01\x02"),
        (0, b"", b""),
        (0xFFFF0010, b"12345678", b"12345678"),
    ],
)  # fmt: skip
def test_each_type_means_what_windows_means_by_it(kind: int, data: bytes, meaning: object) -> None:
    assert decode(kind, data) == meaning


@pytest.mark.parametrize(("kind", "data"), [(4, b"\x01\x02"), (4, b""), (11, b"\0" * 4), (5, b"\0" * 5)])
def test_a_number_of_another_length_is_no_number(kind: int, data: bytes) -> None:
    with pytest.raises(FormatError, match="another length"):
        decode(kind, data)


def test_types_without_a_name_are_told_by_number() -> None:
    top = Branch()
    top.set("Key", {"Stamp": Leaf(0xFFFF0010, b"12345678")})
    key = opened(hive_of(top)).open_key("Key")
    assert key is not None
    value = key.value("Stamp")
    assert value is not None
    assert value.type_name == "REG_0xFFFF0010"


def test_a_key_that_names_another_parent_is_not_believed() -> None:
    at = place_of(SMALL, "Services\\storflt")
    hive = opened(patched(SMALL, at + 0x10, struct.pack("<I", 0x20)))
    services = hive.open_key("Services")
    assert services is not None
    below, errors = sound(services.subkeys())
    assert [key.name for key in below] == ["big"]
    assert "another parent" in str(errors[0])
    with pytest.raises(FormatError, match="not found"):
        services.subkey("storflt")


def test_a_list_that_leads_back_to_the_root_ends() -> None:
    hive = opened(SMALL)
    services = hive.open_key("Services")
    assert services is not None
    names = int.from_bytes(SMALL[services.offset + 0x1C : services.offset + 0x20], "little")
    looped = patched(SMALL, 4096 + names + 4 + 4, struct.pack("<I", hive.root_cell))
    # The root is made to name Services as its parent, so that nothing but the loop is wrong.
    looped = patched(looped, hive.root.offset + 0x10, struct.pack("<I", services.offset - 4 - 4096))
    keys_seen, _values, damage = survey(opened(looped))
    assert keys_seen < 20
    assert damage == 1


def test_a_key_that_stands_twice_in_a_list_is_given_once() -> None:
    hive = opened(SMALL)
    select = hive.open_key("Select")
    assert select is not None
    at = 4096 + int.from_bytes(SMALL[select.offset + 0x1C : select.offset + 0x20], "little") + 4
    doubled = patched(SMALL, at + 4 + 8, SMALL[at + 4 : at + 12])
    changed = opened(doubled).open_key("Select")
    assert changed is not None
    below, errors = sound(changed.subkeys())
    assert [key.name for key in below] == ["Key0"]
    assert "twice" in str(errors[0])


def test_a_value_that_stands_twice_in_a_list_is_given_once() -> None:
    at = place_of(SMALL, "Select\\Key1")
    values = 4096 + int.from_bytes(SMALL[at + 0x28 : at + 0x2C], "little") + 4
    key = opened(patched(SMALL, values + 4, SMALL[values : values + 4])).open_key("Select\\Key1")
    assert key is not None
    held, errors = sound(key.values())
    assert len(held) == 1
    assert "twice" in str(errors[0])


def test_a_count_that_the_list_does_not_have_is_told_behind_the_keys() -> None:
    at = place_of(SMALL, "Select")
    select = opened(patched(SMALL, at + 0x14, struct.pack("<I", 13))).open_key("Select")
    assert select is not None
    below, errors = sound(select.subkeys())
    assert len(below) == 12
    assert "another length" in str(errors[0])


def test_a_free_cell_is_not_read_as_a_key() -> None:
    at = place_of(SMALL, "Services\\storflt")
    size = struct.unpack_from("<i", SMALL, at - 4)[0]
    services = opened(patched(SMALL, at - 4, struct.pack("<i", -size))).open_key("Services")
    assert services is not None
    _below, errors = sound(services.subkeys())
    assert "free" in str(errors[0])


def test_an_offset_out_of_the_hive_is_an_error_of_its_key_alone() -> None:
    for offset in (0x7FFFFFF8, 0xFFFFFFF8, 0x80000020, 0x21, 0):
        at = place_of(SMALL, "Services\\storflt")
        key = opened(patched(SMALL, at + 0x28, struct.pack("<I", offset))).open_key("Services\\storflt")
        assert key is not None
        with pytest.raises(FormatError):
            list(key.values())


def test_the_data_of_one_value_can_be_damaged_alone() -> None:
    key = opened(SMALL).open_key("Services\\storflt")
    assert key is not None
    value = key.value("Blob")
    assert value is not None
    damaged = opened(patched(SMALL, value.offset + 4, struct.pack("<I", 1 << 20))).open_key("Services\\storflt")
    assert damaged is not None
    by_name = {value.name: value for value in damaged.values()}
    with pytest.raises(FormatError, match="size is impossible"):
        _ = by_name["Blob"].data
    assert by_name["Start"].decoded() == 0


def test_longer_data_than_the_limit_are_refused() -> None:
    key = opened(SMALL).open_key("Services\\storflt")
    assert key is not None
    value = key.value("Blob")
    assert value is not None
    long = opened(patched(SMALL, value.offset + 4, struct.pack("<I", MAX_REGISTRY_VALUE + 1)))
    found = long.open_key("Services\\storflt")
    assert found is not None
    changed = found.value("Blob")
    assert changed is not None
    with pytest.raises(FormatError, match="too long"):
        _ = changed.data


def test_more_hive_than_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="out of range"):
        opened(patched(SMALL, 0x28, struct.pack("<I", MAX_HIVE_BYTES + 4096)))


def test_deeper_keys_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_HIVE_DEPTH", 3)
    top = Branch()
    top.at("one\\two\\three\\four")
    hive = opened(hive_of(top))
    assert hive.open_key("one\\two\\three") is not None
    with pytest.raises(FormatError, match="too deep"):
        hive.open_key("one\\two\\three\\four")


def test_no_more_blocks_are_kept_than_the_limit() -> None:
    top = Branch()
    top.set("Key", {f"Value{number}": Leaf(3, bytes([number % 251]) * 16_000) for number in range(1_300)})
    hive = opened(hive_of(top))
    assert sum(len(value.data) for _, key in every_key(hive.root) for value in key.values()) == 1_300 * 16_000
    assert len(hive.cells._blocks) == MAX_HIVE_BLOCKS


def test_a_version_that_is_not_known_is_refused() -> None:
    for offset, word in ((0x14, 2), (0x20, 2)):
        with pytest.raises(FormatError, match="version"):
            opened(patched(SMALL, offset, struct.pack("<I", word)))


def test_the_checksum_avoids_the_two_values_that_mean_none() -> None:
    assert checksum(bytes(512)) == 1
    assert checksum(b"\xff\xff\xff\xff" + bytes(508)) == 0xFFFFFFFE
    assert opened(SMALL).header_valid


@pytest.mark.realdata
def test_the_declared_layouts_read_what_the_reader_reads(unpacked: Give) -> None:
    path = unpacked("hives/win81/SYSTEM")
    data = path.read_bytes()
    hive = open_hive(path)
    base = layouts.BASE_BLOCK.parse(data)
    assert (base.primary_sequence, base.secondary_sequence) == (hive.primary_sequence, hive.secondary_sequence)
    assert (base.minor_version, base.root_cell, base.last_written) == (
        hive.minor_version, hive.root_cell, hive.last_written,
    )  # fmt: skip
    assert base.checksum == checksum(data)
    assert 4096 + base.hive_bins_size == hive.cells.end
    assert layouts.HIVE_BIN.parse(data[4096:]).offset == 0
    services = hive.open_key("ControlSet001\\Services")
    assert services is not None
    lists = layouts.KEY_NODE.parse(data[services.offset : services.offset + 512])
    index = layouts.SUBKEY_INDEX.parse(data[4096 + lists.subkey_list + 4 :][:0x10000])
    assert index.signature == b"lh"
    assert [4096 + item.key + 4 for item in index.elements] == [key.offset for key in services.subkeys()]
    for key, element in zip(services.subkeys(), index.elements, strict=True):
        node = layouts.KEY_NODE.parse(data[key.offset : key.offset + 512])
        assert layouts.CELL.parse(data[key.offset - 4 : key.offset]).size < 0
        assert (node.name.decode("latin-1"), node.last_written) == (key.name, key.last_written)
        assert 4096 + node.parent + 4 == services.offset
        assert element.hint == keys.name_hash(key.name)
        values = list(key.values())
        assert node.value_count == len(values)
        for value in values:
            record = layouts.KEY_VALUE.parse(data[value.offset : value.offset + 512])
            assert (record.name.decode("latin-1"), record.type) == (value.name, value.type)
            assert record.data_size & 0x7FFFFFFF == value.size


@pytest.mark.parametrize("new", [b"\xff\xff\xff\xff", b"\0\0\0\0"])
def test_a_key_with_the_hash_of_another_name_is_listed_and_not_said_to_be_missing(new: bytes) -> None:
    services = opened(SMALL).open_key("Services")
    assert services is not None
    node = layouts.KEY_NODE.parse(SMALL[services.offset : services.offset + 512])
    place = SMALL.index(keys.name_hash("storflt").to_bytes(4, "little"), 4096 + node.subkey_list)
    hive = opened(patched(SMALL, place, new))
    top = hive.open_key("Services")
    assert top is not None
    assert [key.name for key in top.subkeys()] == ["big", "storflt"]
    for _again in range(2):
        with pytest.raises(FormatError, match="is listed with the hash of another name"):
            hive.open_key("services\\STORFLT\\Parameters")
    assert hive.open_key("Services\\big") is not None
    assert hive.open_key("Services\\nothing") is None


def test_a_damaged_key_beside_does_not_hide_that_another_is_missing() -> None:
    data = patched(SMALL, place_of(SMALL, "Services\\big"), b"xx")
    assert opened(data).open_key("Services\\nothing") is None
    with pytest.raises(FormatError, match="big was not found"):
        opened(data).open_key("Services\\big")


@given(st.binary(max_size=8192))
def test_any_bytes_give_a_hive_or_an_error(data: bytes) -> None:
    for beginning in (data, b"regf" + data, SMALL[:4096] + data):
        try:
            survey(opened(beginning))
        except StopcodeError:
            continue


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=12))
def test_a_mutated_hive_is_walked_to_its_end(changes: list[tuple[int, bytes]]) -> None:
    data = SMALL
    for offset, new in changes:
        data = patched(data, offset, new)[: len(SMALL)]
    try:
        keys_seen, values, _damage = survey(opened(data))
    except StopcodeError:
        return
    # No link can be followed twice: there are never more than there is room for.
    assert keys_seen <= len(data) // 80
    assert values <= len(data) // 24


@given(st.integers(0, len(SMALL)))
def test_a_hive_cut_anywhere_gives_what_is_left(end: int) -> None:
    try:
        survey(opened(SMALL[:end]))
    except (FormatError, TruncatedError):
        assert end <= 4096 + 4096


@pytest.mark.realdata
@pytest.mark.fuzz
@given(st.data())
def test_a_mutated_real_hive_is_walked_to_its_end(unpacked: Give, data: st.DataObject) -> None:
    sound_bytes = bytearray(unpacked("hives/bcd/BCD-regipy").read_bytes())
    for _ in range(data.draw(st.integers(1, 40))):
        sound_bytes[data.draw(st.integers(0, len(sound_bytes) - 1))] = data.draw(st.integers(0, 255))
    try:
        keys_seen, _, _ = survey(opened(bytes(sound_bytes)))
    except StopcodeError:
        return
    assert keys_seen <= 500
