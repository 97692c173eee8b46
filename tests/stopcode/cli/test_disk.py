"""`stopcode disk`: what it says of an image, against other programs and known facts, whole, damaged and hostile."""

from __future__ import annotations

import io
import json
import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stopcode.cli.context import Context
from stopcode.cli.progress import PercentProgress
from stopcode.scan.disk import DiskImage
from tests.forensics.disk.images import converted, partitioned, qemu_img
from tests.forensics.disk.ntfs_disks import BASIC_DATA, MIB, gpt_disk, mbr_disk, ntfs_volume
from tests.forensics.disk.test_container import FORMATS
from tests.forensics.remote.server import Files, serving
from tests.parsers.disk import vhd_writer, vhdx_writer
from tests.stopcode.cli.disk_documents import checked, sha256, told, zeroed
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.scan.test_reads_only import traced

Give = Callable[[str], Path]
DISK = partitioned()
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")


def asked(*words: object) -> Any:
    return json.loads(subprocess.run([*map(str, words)], capture_output=True, check=True).stdout)


# -- containers -----------------------------------------------------------------------------------------------------


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("name", "kind", "format", "options"), [(f[0], f[1], f[2], f[3:]) for f in FORMATS])
def test_sizes_and_digest_are_those_that_qemu_tells(
    call: Stopcode, tmp_path: Path, name: str, kind: str, format: str, options: tuple[str, ...]
) -> None:
    path = converted(tmp_path, DISK, name, format, *options)
    document = told(call, path, "--sha256")
    info = json.loads(
        subprocess.run(
            ["qemu-img", "info", "-f", format, "--output=json", path], capture_output=True, check=True
        ).stdout
    )
    container = document["container"]
    assert (container["kind"], container["virtual_size"]) == (kind, info["virtual-size"])
    assert document["content"] == {"bytes": len(DISK), "sha256": sha256(DISK)}
    assert container["file_size"] == sum(file.stat().st_size for file in tmp_path.iterdir())
    if kind in ("VHDX", "VDI") or name == "dynamic.vhd":
        assert container["block_size"] == info.get("cluster-size", 2 * MIB)
    assert [(item["offset"], item["size"]) for item in document["partition_table"]["partitions"]] == [
        (MIB, len(DISK) - MIB)
    ]
    assert document["chain"] == document["windows"] == document["diagnostics"] == []


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "kind", "size", "digest"),
    [
        # Sizes and digests: data/README.md, by qemu-img and dissect.
        ("vhdx-log-replay.vhdx", "VHDX dynamic", 1 << 30, "3ba3b309425b7ff5e8e0199edceed952"),
        ("plaso/image.vhd", "VHD dynamic", 104_448, "c6db12a7db548e193c29420c1b4533e4"),
        ("plaso/image.qcow2", "QCOW2", 102_400, "a9c0220b1dadd1812fc4bbe137f495d2"),
        ("plaso/image.vmdk", "VMDK monolithicSparse", 102_400, "854c3db1c4a07a241e2ed9fbd8892adf"),
        ("plaso/image.E01", "E01", 102_400, "a9c0220b1dadd181"),
        ("dfvfs/ext2.vhd", "VHD dynamic", 4_212_736, "870be7ae16c1fa8faab05c6eb9205dc9"),
        ("dfvfs/windows_volume.qcow2", "QCOW2", 35_913_728, "44abe9deca9658f331a2bdba2deb5319"),
    ],
)
def test_real_images_are_what_is_known_of_them(
    call: Stopcode, unpacked: Give, name: str, kind: str, size: int, digest: str
) -> None:
    document = checked(call("disk", "-o", "json", "--sha256", unpacked(f"disks/{name}")).document)
    container = document["container"]
    assert f"{container['kind']} {container.get('subtype', '')}".strip() == kind
    assert container["virtual_size"] == document["content"]["bytes"] == size
    assert document["content"]["sha256"].startswith(digest)


@pytest.mark.realdata
def test_a_log_that_was_replayed_is_told_with_its_entries(call: Stopcode, unpacked: Give) -> None:
    document = told(call, unpacked("disks/vhdx-log-replay.vhdx"))
    container = document["container"]
    assert container["log"] == {
        "state": "replayed", "entries": 2, "first": hex(80117443871106390), "last": hex(80117443871106391),
    }  # fmt: skip
    assert (container["block_size"], container["sector_size"]) == (32 * MIB, 512)
    held = container["allocation"]
    assert (held["blocks"], held["blocks_stored"], held["stored"]) == (32, 1, 32 * MIB)
    partitions = [
        (item["offset"] // 512, item["size"] // 512, item["type"]) for item in document["partition_table"]["partitions"]
    ]
    assert partitions == [(2048, 204_800, "83"), (206_848, 409_600, "83")]


@pytest.mark.realdata
def test_an_empty_disk_of_hyper_v_is_all_zeros_and_made_by_windows(call: Stopcode, unpacked: Give) -> None:
    document = told(call, unpacked("disks/hyperv2012r2-dynamic.vhd"))
    container = document["container"]
    assert (container["virtual_size"], container["creator"]) == (136_365_211_648, "win")
    assert container["allocation"]["zero"] == container["virtual_size"]
    assert (document["partition_table"], document["volumes"]) == (None, [])


#: Of each format the bytes of one of its blocks.
SPARSE = [
    ("d.vhd", "vpc", 2 * MIB, "-o", "force_size=on"),
    ("d.vdi", "vdi", MIB),
    ("plain.qcow2", "qcow2", 65_536),
    ("old.qcow2", "qcow2", 4096, "-o", "compat=0.10,cluster_size=4096"),
    ("packed.qcow2", "qcow2", 65_536, "-c"),
    ("sparse.vmdk", "vmdk", 65_536),
    ("stream.vmdk", "vmdk", 65_536, "-o", "subformat=streamOptimized"),
    ("split.vmdk", "vmdk", 65_536, "-o", "subformat=twoGbMaxExtentSparse"),
    ("flat.vmdk", "vmdk", None, "-o", "subformat=monolithicFlat"),
]


@pytest.mark.peer("qemu-img")
@pytest.mark.parametrize(("name", "format", "block", "options"), [(f[0], f[1], f[2], f[3:]) for f in SPARSE])
def test_as_much_of_a_disk_is_stored_as_qemu_maps(
    call: Stopcode, tmp_path: Path, name: str, format: str, block: int | None, options: tuple[str, ...]
) -> None:
    sparse = bytearray(40 * MIB + 512)
    sparse[: len(DISK)] = DISK
    sparse[30 * MIB] = 1
    path = converted(tmp_path, bytes(sparse), name, format, *options)
    mapped = asked("qemu-img", "map", "-f", format, "--output=json", path)
    container = told(call, path)["container"]
    held = container["allocation"]
    # qemu-img gives a VHD its own size, and looks into flat files for their holes.
    assert held["stored"] == sum(item["length"] for item in mapped if item["data"]) or name == "flat.vmdk"
    assert held["stored"] + held["zero"] == container["virtual_size"]
    assert container.get("block_size") == block
    if block is not None:
        assert 0 < held["blocks_stored"] < held["blocks"] == -(-container["virtual_size"] // block)


@pytest.mark.peer("qemu-img", "qemu-io")
def test_a_cluster_that_was_zeroed_hides_the_backing_file_and_reads_as_zeros(call: Stopcode, tmp_path: Path) -> None:
    converted(tmp_path, DISK, "base.qcow2", "qcow2")
    child = tmp_path / "child.qcow2"
    qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", child)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -z 64k 128k", "-c", "write -P 7 2M 64k", child],
        check=True, capture_output=True,
    )  # fmt: skip
    document = told(call, child, "--sha256")
    held = document["container"]["allocation"]
    assert (held["stored"], held["zero"], held["parent"]) == (65_536, 131_072, len(DISK) - 196_608)
    now = bytearray(DISK)
    now[65_536:196_608] = bytes(131_072)
    now[2 * MIB : 2 * MIB + 65_536] = b"\7" * 65_536
    assert document["content"]["sha256"] == sha256(bytes(now))


@pytest.mark.parametrize("content", [None, b"", b"no disk at all\n" * 999], ids=["none", "empty", "text"])
def test_what_is_no_disk_is_refused(call: Stopcode, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "d.txt"
    if content is not None:
        path.write_bytes(content)
    done = call("disk", "-o", "json", path)
    assert (done.code, done.out) == (3, "")
    assert call("disk", tmp_path).code == call("disk", "").code == 3
    assert call("disk").code == call("disk", path, path).code == 2


# -- partitions, volumes, Windows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("disks")
    volume = ntfs_volume(folder / "v.img", {"a.txt": b"x"}, mib=8, label="Data")
    return {
        "MBR": mbr_disk(folder / "mbr.img", [volume, volume]),
        "GPT": gpt_disk(folder / "gpt.img", [(volume, BASIC_DATA), (volume, ESP)]),
    }


made = pytest.mark.peer("mkntfs", "wimlib-imagex")


@made
@pytest.mark.peer("7zz")
@pytest.mark.parametrize("scheme", ["MBR", "GPT"])
def test_partitions_are_those_that_7zip_lists(call: Stopcode, disks: dict[str, Path], scheme: str) -> None:
    words = ["7zz", "l", "-slt", f"-t{scheme}", str(disks[scheme])]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    head, _, rest = listed.partition("----------\n")
    theirs = [dict(re.findall(r"^(\w+) = (.+)$", block, re.MULTILINE)) for block in rest.split("\n\n")]
    # 7-Zip lists what lies behind the last partition of an MBR too.
    theirs = [item for item in theirs if item.get("Primary") == "+" or "ID" in item]
    document = told(call, disks[scheme])
    ours = document["partition_table"]
    assert [(item["offset"], item["size"]) for item in ours["partitions"]] == [
        (int(item["Offset"]), int(item["Size"])) for item in theirs
    ]
    assert len(theirs) == 2
    if scheme == "GPT":
        assert [item["guid"] for item in ours["partitions"]] == [item["ID"].lower() for item in theirs]
        assert f"ID = {ours['disk_id']}" in head
        assert [item["type_name"] for item in ours["partitions"]] == ["basic data", "EFI system"]
        assert ours["copies"] == {"first": "ok", "second": "ok", "before_end": 0}
    for volume, partition in zip(document["volumes"], ours["partitions"], strict=True):
        assert (volume["offset"], volume["partition"]) == (partition["offset"], partition["number"])
        assert (volume["filesystem"], volume["label"], volume["cluster_size"]) == ("NTFS", "Data", 4096)
    assert 'NTFS "Data"' in call("disk", disks[scheme]).out


@made
def test_each_copy_of_a_gpt_is_told_damaged_missing_or_far_from_the_end(
    call: Stopcode, disks: dict[str, Path], tmp_path: Path
) -> None:
    data = disks["GPT"].read_bytes()

    def copies(changed: bytes) -> Any:
        (tmp_path / "d.img").write_bytes(changed)
        table = told(call, tmp_path / "d.img")["partition_table"]
        assert len(table["partitions"]) == 2
        return tuple(table["copies"].values())

    assert copies(data + bytes(MIB)) == ("ok", "ok", MIB)
    assert "1.0 MiB (1,048,576 bytes) before the disk's end" in call("disk", tmp_path / "d.img").out
    assert copies(data[:-512] + bytes(512)) == ("ok", "missing", 0)
    assert copies(zeroed(data, [[512 + 16, 4]])) == ("damaged", "ok", 0)


@pytest.mark.realdata
def test_a_locked_volume_is_an_answer_and_a_key_opens_it(
    call: Stopcode, unpacked: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked("bitlocker/bitlk-togo-aes-xts-128.img")
    monkeypatch.delenv("STOPCODE_PASSPHRASE", raising=False)
    (volume,) = told(call, path)["volumes"]
    encryption = volume["encryption"]
    assert (encryption["method"], encryption["locked"]) == ("AES-XTS-128", True)
    assert {item["kind"] for item in encryption["protectors"]} == {"passphrase", "recovery password"}
    assert encryption["identifier"] == "DCA1850A-0EF6-4ECE-8ACB-9F42CA63BDD1"
    assert "locked; protectors: passphrase, recovery password" in call("disk", path).out
    monkeypatch.setenv("STOPCODE_PASSPHRASE", "anaconda")
    (volume,) = told(call, path)["volumes"]
    assert not volume["encryption"]["locked"]
    assert volume["filesystem"].startswith("FAT")


def test_the_windows_of_a_disk_is_told_and_little_is_read_for_it(call: Stopcode, built: Give) -> None:
    document = told(call, built("ws2019-failed.vhdx"))
    (windows,) = document["windows"]
    assert (windows["product"], windows["version"]) == ("Windows Server 2019 Datacenter", "10.0.17763.1757")
    assert (windows["root"], windows["chosen"], windows["lacks"]) == ("\\Windows", True, [])
    assert document["volumes"][windows["volume"]]["role"] == "windows"
    assert document["stats"]["bytes_read"] < 4 * MIB


# -- reading all of it ----------------------------------------------------------------------------------------------


def test_the_digest_is_streamed_and_tells_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "d.vhdx"
    path.write_bytes(vhdx_writer.vhdx(DISK, absent=[1]).file())
    told: list[tuple[int, int]] = []
    with DiskImage(str(path)) as disk:
        disk.add_digest(lambda done, total: told.append((done, total)))
    steps = [done for done, _ in told]
    assert steps == sorted(set(steps))
    assert told[-1] == (len(DISK), len(DISK))
    assert max(after - before for before, after in zip([0, *steps], steps, strict=False)) <= MIB


def test_the_line_that_counts_up_is_drawn_for_a_person_alone_and_gone_at_the_end() -> None:
    for watched in (True, False):
        err = io.StringIO()
        with PercentProgress(Context(io.StringIO(), err, progress=watched), "SHA-256 of a\x1bb") as progress:
            for done in range(1001):
                progress(done, 1000)
        drawn = err.getvalue().split("\r\x1b[K")
        assert drawn == (["", *(f"{n:3} %  SHA-256 of a\\x1bb" for n in range(101)), ""] if watched else [""])


def test_an_interruption_leaves_what_was_known_before(
    call: Stopcode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.img"
    path.write_bytes(DISK)

    def interrupted(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PercentProgress, "_draw", interrupted)
    done = call("disk", "-o", "json", "--sha256", path)
    assert done.code == 130
    assert "content" not in checked(done.document)
    assert done.document["partition_table"]


@pytest.mark.peer("strace")
def test_nothing_is_written_or_changed(tmp_path: Path) -> None:
    image = tmp_path / "image" / "d.vhdx"
    image.parent.mkdir()
    image.write_bytes(vhdx_writer.vhdx(DISK).file())
    before = (sha256(image.read_bytes()), image.stat().st_mtime_ns, image.parent.stat().st_mtime_ns)
    for form in ("table", "json"):
        assert traced(tmp_path / "calls", tmp_path / "cache", "disk", "--sha256", "-o", form, image) == []
    assert before == (sha256(image.read_bytes()), image.stat().st_mtime_ns, image.parent.stat().st_mtime_ns)
    assert [entry.name for entry in image.parent.iterdir()] == ["d.vhdx"]


def test_the_result_never_replaces_the_image(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "d.img"
    path.write_bytes(DISK)
    assert call("disk", path, "--output", path).code == 2
    assert path.read_bytes() == DISK


def test_a_disk_at_an_address_is_read_by_ranges_and_its_signature_is_not_told(call: Stopcode) -> None:
    with serving() as server:
        assert isinstance(server, Files)
        server.files["/d.vhd"] = vhd_writer.sparse(DISK)
        done = call("disk", "-o", "json", "--sha256", server.address("/d.vhd", "sig=s3cret"))
        assert done.code == 0, done.err
        document = checked(done.document)
        assert document["content"]["sha256"] == sha256(DISK)
        assert document["container"]["path"] == server.address("/d.vhd")
        assert "s3cret" not in done.out + done.err
