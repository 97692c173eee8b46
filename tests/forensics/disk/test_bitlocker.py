"""BitLocker: nine real volumes against the digests that cryptsetup states, made ones against dislocker and libbde."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk.bitlocker import open_bitlocker
from forensics.disk.bitlocker_map import DecryptedVolume, Layout, Region
from forensics.disk.keys import RecoveryPassword, VolumeKeys
from forensics.disk.volumes import find_volumes
from parsers.bytesource import ByteSource, BytesSource, FileSource, WindowSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, LockedVolumeError, ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_BITLOCKER_MAP, MAX_BITLOCKER_METADATA, MAX_BITLOCKER_TRIES
from tests.forensics.disk.bitlocker_volumes import Way, bek_file, encrypt, places
from tests.forensics.disk.ntfs_disks import MIB, ntfs_volume

Give = Callable[[str], Path]
made = pytest.mark.peer("mkntfs", "wimlib-imagex")

PASSPHRASE = VolumeKeys(passphrases=("anaconda",))
BEK = "4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK"
#: From the README of the data: the volume, its method, its recovery password, and the SHA-256 of its plain content.
REAL = {
    "bitlk-aes-xts-128": (
        "AES-XTS-128",
        "235818-357951-253979-013365-241120-245575-342914-591910",
        "674e3a976927fd62f3fc26df2c695cac75b8d364e3b45393717efa971f16db0f",
    ),
    "bitlk-aes-xts-256": (
        "AES-XTS-256",
        "404558-436711-420860-678557-638220-018909-039941-695321",
        "5bb6ff5acbded10be990c6fa208ab479934a08bc2e88740a1aa2642af2f42025",
    ),
    "bitlk-aes-cbc-256": (
        "AES-CBC-256",
        "616319-601744-502117-534017-367994-176748-607299-663201",
        "35809d6db53c7ad8ff36195277b328370ea5df2c1f7003c20e07b64133d8800b",
    ),
    "bitlk-aes-cbc-elephant-128": (
        "AES-CBC-128 with diffuser",
        "529573-278784-259347-197835-171457-264044-610280-313269",
        "b18e4f956295bc0f327e551322261fb9c74ac0d3ce58bf3b806e98474e1619ea",
    ),
    "bitlk-aes-xts-128-4k": (
        "AES-XTS-128",
        "486552-140030-675719-163900-264671-413787-580239-152614",
        "b4c0416ae643537207413ed78d4bcadae697bb86a6262864ac00afda01312277",
    ),
    "bitlk-togo-aes-xts-128": (
        "AES-XTS-128",
        "243067-548680-059818-148852-287771-550088-628265-631653",
        "5954795eb41764b59a10d86c26fd3b43fb6d89f433c8edc1e8fd48067d198591",
    ),
}
STARTUP_KEY = "bbb68369d8f7badb2c2330349d9d0cf12e68f54eece25e718d2bb13feba23f7a"
CLEAR_KEY = "f574a5254d31e9f27dc4ee440290875886c6c569cf02dc100e91a5c0cddaa4e1"


def digest(source: ByteSource) -> str:
    whole = hashlib.sha256()
    for at in range(0, source.size, MIB):
        whole.update(source.read_at(at, MIB))
    return whole.hexdigest()


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_a_real_volume_opens_with_its_recovery_password_and_reads_as_cryptsetup_says(unpacked: Give, name: str) -> None:
    method, password, plain = REAL[name]
    with FileSource(unpacked(f"bitlocker/{name}.img")) as source:
        volume = open_bitlocker(source)
        assert (volume.method, volume.state, volume.suspended, volume.problems) == (method, "encrypted", False, [])
        opened = volume.open(VolumeKeys(recovery_passwords=(RecoveryPassword(password),)))
        assert opened.by is not None
        assert opened.by.kind == "recovery password"
        assert digest(opened.source) == plain


@pytest.mark.realdata
def test_a_real_volume_opens_with_its_passphrase(unpacked: Give) -> None:
    with FileSource(unpacked("bitlocker/bitlk-togo-aes-xts-128.img")) as source:
        _, volumes = find_volumes(source, 512, Diagnostics(), PASSPHRASE)
        assert volumes[0].encryption is not None
        assert volumes[0].encryption["opened_with"] == "passphrase {79E53500-F262-47B1-AE59-C3902329921F}"
        assert volumes[0].kind.startswith("FAT")


@pytest.mark.realdata
def test_a_real_volume_opens_with_the_key_file_that_its_lock_message_names(unpacked: Give, shared: Path) -> None:
    with FileSource(unpacked("bitlocker/bitlk-aes-xts-128-startup-key.img")) as source:
        volume = open_bitlocker(source)
        with pytest.raises(LockedVolumeError, match=BEK) as caught:
            volume.open(VolumeKeys())
        assert "recovery password {294BC732-F82F-404C-A2CE-D1094ED59506}" in caught.value.message
        opened = volume.open(VolumeKeys(beks=((shared / "data" / "bitlocker" / BEK).read_bytes(),)))
        assert str(opened.by) == f"startup key {BEK}"
        assert digest(opened.source) == STARTUP_KEY


@pytest.mark.realdata
def test_suspended_protection_opens_by_itself_and_is_said(unpacked: Give) -> None:
    with FileSource(unpacked("bitlocker/bitlk-aes-xts-128-clearkey-only.img")) as source:
        volume = open_bitlocker(source)
        assert volume.suspended
        assert digest(volume.open(VolumeKeys()).source) == CLEAR_KEY
        diagnostics = Diagnostics()
        find_volumes(source, 512, diagnostics)
        assert {"bitlocker.opened", "bitlocker.suspended"} <= {item.code for item in diagnostics.items}


@pytest.mark.realdata
def test_a_volume_whose_map_of_what_is_encrypted_was_wiped_is_never_read_as_if_all_of_it_were(unpacked: Give) -> None:
    # dissect.fve takes this one for encrypted throughout. Both copies of its map hold zeros.
    with FileSource(unpacked("bitlocker/bitlk-partially-encrypted-aes-cbc-128.img")) as source:
        volume = open_bitlocker(source)
        assert volume.state == "partly encrypted"
        with pytest.raises(FormatError, match="encrypted in part, and the map"):
            volume.open(VolumeKeys())


@pytest.mark.realdata
@pytest.mark.parametrize("damaged", [(0,), (0, 1), (1, 2), (0, 2)])
def test_any_sound_copy_of_the_metadata_is_enough(unpacked: Give, damaged: tuple[int, ...]) -> None:
    data = bytearray(unpacked("bitlocker/bitlk-aes-xts-128-clearkey-only.img").read_bytes())
    wanted = open_bitlocker(BytesSource(data)).open(VolumeKeys()).source.read_at(0, 4 * MIB)
    for number in damaged:
        data[places(data)[number] + 200] ^= 1
    volume = open_bitlocker(BytesSource(data))
    assert [problem[:6] for problem in volume.problems] == [f"copy {number + 1}" for number in damaged]
    assert volume.open(VolumeKeys()).source.read_at(0, 4 * MIB) == wanted


@pytest.mark.realdata
def test_without_a_sound_copy_the_volume_is_damaged_and_not_locked(unpacked: Give) -> None:
    data = bytearray(unpacked("bitlocker/bitlk-aes-xts-128-clearkey-only.img").read_bytes())
    for place in places(data):
        data[place + 200] ^= 1
    with pytest.raises(FormatError, match="every copy"):
        open_bitlocker(BytesSource(data))


@pytest.mark.realdata
def test_a_volume_that_was_cut_opens_and_ends_where_the_image_does(unpacked: Give) -> None:
    with FileSource(unpacked("bitlocker/bitlk-aes-xts-128-clearkey-only.img")) as source:
        whole = open_bitlocker(source).open(VolumeKeys()).source
        # Behind the first copy of the metadata and the sectors that were moved, in the middle of a sector.
        size = 0x2300000 + 100
        cut = open_bitlocker(WindowSource(source, 0, size))
        assert len(cut.problems) == 2
        opened = cut.open(VolumeKeys()).source
        assert opened.read_at(size - 1000, 800) == whole.read_at(size - 1000, 800)
        assert opened.read_at(size, 10) == b""
        with pytest.raises(ReadError):
            opened.read_at(size - 200, 200)


@pytest.mark.realdata
def test_metadata_that_was_changed_and_given_a_new_checksum_is_found_out(unpacked: Give) -> None:
    data = bytearray(unpacked("bitlocker/bitlk-aes-xts-128-clearkey-only.img").read_bytes())
    for place in places(data):
        size = struct.unpack_from("<H", data, place + 8)[0] * 16
        data[place + 16 : place + 24] = struct.pack("<Q", 0x100000)  # how far it is encrypted
        data[place + size + 4 : place + size + 8] = struct.pack("<I", zlib.crc32(data[place : place + size]))
    with pytest.raises(FormatError, match="changed by somebody"):
        open_bitlocker(BytesSource(data)).open(VolumeKeys())


@pytest.mark.realdata
@given(st.data())
def test_any_metadata_gives_a_volume_or_an_error_of_ours(unpacked: Give, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["bitlk-aes-xts-128-clearkey-only", "bitlk-partially-encrypted-aes-cbc-128"]))
    with FileSource(unpacked(f"bitlocker/{name}.img")) as source:
        head = bytearray(source.read_at(0, 512))
        place = places(head)[0]
        copy = bytearray(source.read_at(place, 0x1000))
    size = struct.unpack_from("<H", copy, 8)[0] * 16
    for _change in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, size - 1))
        new = data.draw(st.binary(min_size=1, max_size=4))
        copy[at : at + len(new)] = new
    copy[size + 4 : size + 8] = struct.pack("<I", zlib.crc32(copy[:size]))
    image = bytearray(4 * MIB)
    image[:512] = head
    image[0xB0:0xC8] = struct.pack("<3Q", 0x100000, data.draw(st.integers(0, 1 << 64 - 1)), 0x3FFFF0)
    image[0x100000 : 0x100000 + len(copy)] = copy
    try:
        volume = open_bitlocker(BytesSource(image))
        volume.described()
        volume.open(VolumeKeys(beks=(bek_file(Way(0x0200, UUID(int=1))),))).source.read_at(0, MIB)
    except StopcodeError:
        pass


class Counted(BytesSource):
    """Counts what is read."""

    asked = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked += length
        return super().read_at(offset, length)


def test_of_a_copy_of_the_metadata_no_more_is_read_than_windows_sets_aside() -> None:
    boot = bytearray(4096)
    boot[3:11] = b"-FVE-FS-"
    boot[0xA0:0xB0] = UUID("4967d63b-2e29-4ad8-8399-f6a339e3d001").bytes_le
    boot[0xB0:0xC8] = struct.pack("<3Q", 1024, 1024, 1024)
    header = struct.pack("<8sHHHHQII3QQ", b"-FVE-FS-", 0xFFFF, 2, 4, 4, 0, 0, 16, 0, 0, 0, 0)
    boot[1024 : 1024 + 64 + 48] = header + struct.pack("<IIII32x", 0xFFFFFFFF, 1, 48, 0xFFFFFFFF)
    source = Counted(bytes(boot).ljust(8 * MIB, b"\0"))
    with pytest.raises(FormatError):
        open_bitlocker(source)
    assert source.asked <= 512 + 3 * MAX_BITLOCKER_METADATA


# --- volumes of our own making


TPM = Way(0x0500, UUID("11111111-2222-3333-4444-555555555555"))
STARTUP = Way(0x0200, UUID("0a0b0c0d-2222-3333-4444-555555555555"))
RECOVERY = Way(0x0800, UUID("99999999-2222-3333-4444-555555555555"), REAL["bitlk-aes-xts-128"][1])
KEY = VolumeKeys(beks=(bek_file(STARTUP),))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An NTFS volume whose files lie below its first half."""
    files: dict[str, bytes | Path] = {
        f"folder {number % 7}/file {number}.bin": hashlib.shake_256(b"%d" % number).digest(3000 * (number + 1))
        for number in range(40)
    }
    return ntfs_volume(tmp_path_factory.mktemp("plain") / "volume.ntfs", files, mib=16).read_bytes()


@made
@pytest.mark.peer("dislocker-file", "bdeinfo")
@pytest.mark.parametrize("method", ["AES-CBC-128", "AES-XTS-256"])
def test_a_made_volume_is_to_dislocker_and_libbde_what_it_is_to_us(plain: bytes, tmp_path: Path, method: str) -> None:
    image, bek, out = tmp_path / "volume.img", tmp_path / "key.bek", tmp_path / "out.img"
    image.write_bytes(encrypt(plain, [TPM, STARTUP], method=method))
    bek.write_bytes(bek_file(STARTUP))
    subprocess.run(["dislocker-file", "-V", image, "-f", bek, "--", out], check=True, capture_output=True)
    assert out.read_bytes() == plain
    told = subprocess.run(["bdeinfo", image], input=b"\n", check=False, capture_output=True).stdout.decode()
    with FileSource(image) as source:
        volume = open_bitlocker(source)
        assert volume.open(KEY).source.read_at(0, len(plain)) == plain
        assert volume.method == method
        for protector in volume.protectors:
            assert protector.identifier.lower() in told


@made
def test_pieces_of_any_place_and_length_are_those_of_the_whole(plain: bytes) -> None:
    source = open_bitlocker(BytesSource(encrypt(plain, [STARTUP], sector=4096))).open(KEY).source
    for offset, length in ((0, 10), (510, 4), (8190, 5000), (100_000, 300_001), (len(plain) - 7, 100), (0x1FFF, 2)):
        assert source.read_at(offset, length) == plain[offset : offset + length]


@made
@pytest.mark.peer("dislocker-file")
def test_a_volume_whose_conversion_is_paused_is_read_on_both_sides(plain: bytes, tmp_path: Path) -> None:
    border = 3 * MIB
    data = encrypt(plain, [STARTUP], encrypted_to=border, states=(3, 1))
    assert data[border + MIB : border + MIB + 512] == plain[border + MIB : border + MIB + 512]
    volume = open_bitlocker(BytesSource(data))
    assert volume.state == "paused"
    assert volume.open(KEY).source.read_at(0, len(plain)) == plain
    image, bek, out = tmp_path / "volume.img", tmp_path / "key.bek", tmp_path / "out.img"
    image.write_bytes(data)
    bek.write_bytes(bek_file(STARTUP))
    subprocess.run(["dislocker-file", "-s", "-V", image, "-f", bek, "--", out], check=True, capture_output=True)
    # What it writes ends where the encrypted part does.
    assert out.read_bytes() == plain[:border]


@made
@pytest.mark.parametrize("state", [2, 5])
def test_a_volume_in_the_middle_of_being_converted_is_refused(plain: bytes, state: int) -> None:
    data = encrypt(plain, [STARTUP], encrypted_to=3 * MIB, states=(state, 4))
    with pytest.raises(UnsupportedError, match="converting"):
        open_bitlocker(BytesSource(data)).open(KEY)


@made
def test_wrong_keys_are_told_by_the_protectors_that_they_were_tried_at(plain: bytes) -> None:
    volume = open_bitlocker(BytesSource(encrypt(plain, [TPM, STARTUP, RECOVERY])))
    other = Way(0x0200, UUID(int=5))
    wrong = Way(0x0200, STARTUP.guid, key=bytes(32))
    password = RecoveryPassword(REAL["bitlk-aes-xts-256"][1])
    with pytest.raises(LockedVolumeError) as caught:
        volume.open(VolumeKeys(beks=(bek_file(other), bek_file(wrong)), recovery_passwords=(password,)))
    told = caught.value.message
    assert "protectors: TPM + PIN {11111111-2222-3333-4444-555555555555}; startup key 0A0B0C0D" in told
    tried = told.partition("tried: ")[2]
    assert "BEK file of another volume (00000000-0000-0000-0000-000000000005.BEK)" in tried
    assert "recovery password {99999999-2222-3333-4444-555555555555}" in tried
    assert f"startup key {str(STARTUP.guid).upper()}.BEK" in tried
    assert password.digits not in told + caught.value.hint


@made
def test_of_a_table_of_many_passwords_only_that_of_this_volume_is_tried(
    plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dissect.fve.bde.key as module

    volume = open_bitlocker(BytesSource(encrypt(plain, [RECOVERY])))
    stretched: list[bytes] = []
    real = module.stretch
    monkeypatch.setattr(module, "stretch", lambda key, salt: stretched.append(key) or real(key, salt))
    others = [RecoveryPassword(REAL["bitlk-aes-xts-256"][1], (str(UUID(int=number)),)) for number in range(500)]
    mine = RecoveryPassword(RECOVERY.password, (str(RECOVERY.guid).upper(),))
    opened = volume.open(VolumeKeys(recovery_passwords=(*others, mine)))
    assert opened.source.read_at(0, 512) == plain[:512]
    assert len(stretched) == 1


@made
def test_only_so_many_passphrases_are_tried(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import dissect.fve.bde.key as module

    stretched: list[bytes] = []
    phrase = Way(0x2000, UUID(int=9), "right")
    volume = open_bitlocker(BytesSource(encrypt(plain, [phrase])))
    monkeypatch.setattr(module, "stretch", lambda key, _salt: stretched.append(key) or bytes(32))
    with pytest.raises(LockedVolumeError, match=f"no more than {MAX_BITLOCKER_TRIES}"):
        volume.open(VolumeKeys(passphrases=tuple(f"wrong {number}" for number in range(50))))
    assert len(stretched) == MAX_BITLOCKER_TRIES


@made
def test_a_key_that_fits_and_gives_no_file_system_opens_nothing(plain: bytes) -> None:
    data = encrypt(hashlib.shake_256(b"noise").digest(0x2000) + plain[0x2000:], [STARTUP])
    with pytest.raises(FormatError, match="does not begin as a file system"):
        open_bitlocker(BytesSource(data)).open(KEY)


# --- volumes that are converted piece by piece


def test_pieces_are_read_by_the_map_of_what_is_encrypted_and_never_by_a_guess() -> None:
    # Encrypted pieces are shown by a cipher that inverts. The map covers bytes 0x1000 to 0x6000, in pieces of 0x1000.
    stored = bytes(range(256)) * 0x80
    region = Region(0x1000, 0x5000, 0x1000, b"\x15")
    layout = Layout(512, 0, 0, ((0x3000, 0x200),), None, (region,))
    volume = DecryptedVolume(BytesSource(stored), layout, lambda data, _sector: bytes(255 - value for value in data))
    inverted = bytes(255 - value for value in stored)
    expected = bytearray(stored)
    for piece in (0, 2, 4):
        at = 0x1000 * (piece + 1)
        expected[at : at + 0x1000] = inverted[at : at + 0x1000]
    expected[0x3000:0x3200] = bytes(0x200)
    for offset, length in ((0x1000, 0x5000), (0x1FFF, 2), (0x2800, 0x1000), (0x30FF, 0x300), (0x5FFF, 1)):
        assert volume.read_at(offset, length) == expected[offset : offset + length]
    for place in (0xFFF, 0x6000):
        with pytest.raises(ReadError, match="map does not tell"):
            volume.read_at(place, 1)


def test_a_map_larger_than_any_disk_needs_is_refused() -> None:
    from forensics.disk.bitlocker_map import read_regions

    count = 8000
    header = struct.pack("<8sHHIIIIIIIQQ", b"FVE-EOW\0", 0x38, 0x38 + 8 * count & 0xFFFF, 512, 512, 0x800000, 512, 0,
                         count, 0, 0, 0)  # fmt: skip
    offsets = struct.pack(f"<{count}Q", *([0x20000] * count))
    information = header + offsets
    check = zlib.crc32(information)
    information = header[:36] + struct.pack("<I", check) + header[40:] + offsets
    bitmap = struct.pack("<10sHIIQQQIIII", b"FVE-EOWBM\0", 0x3C, 0x100000, 0, 0, 0x800000, 0, 512, 1024, 512, 0)
    head = bitmap.ljust(512, b"\0")
    head = head[:56] + struct.pack("<I", zlib.crc32(head)) + head[60:]
    record = struct.pack("<10sHIIQII", b"FVE-EOWBR\0", 0x24, 512, 8, 1, 0, 0).ljust(512, b"\0")
    record = record[:32] + struct.pack("<I", zlib.crc32(record)) + record[36:]
    data = information.ljust(0x20000, b"\0") + (head + record + record).ljust(0x100000, b"\0")
    with pytest.raises(StopcodeError, match=str(MAX_BITLOCKER_MAP)):
        read_regions(BytesSource(data), [0], 512)
