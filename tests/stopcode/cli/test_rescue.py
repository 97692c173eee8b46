"""`stopcode rescue`: what is listed, and that what is taken is what lay on the disk."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forensics.collect.test_crashes import dump
from tests.forensics.collect.test_dump_places import carried, fragmented
from tests.forensics.disk.ntfs_disks import MIB, mbr_disk, ntfs_volume, software
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder

REST = random.Random(9).randbytes(1 << 20)
LIVE = "Windows/LiveKernelReports/WATCHDOG/live.dmp"
WER = "ProgramData/Microsoft/Windows/WER/ReportQueue/Kernel_d1/1.dmp"
OLD, NEW, NEWER = "2021-02-19T10:00:00Z", "2021-02-20T10:00:00Z", "2021-02-21T10:00:00Z"


def put(folder: Path, **unused: bytes) -> Path:
    files = {
        "pagefile.sys": carried(NEWER, REST),
        "Windows/MEMORY.DMP": dump(NEW),
        "Windows/Minidump/1.dmp": dump(OLD),
        WER: dump(OLD),
        LIVE: dump("2021-02-18T10:00:00Z"),
        "DUMP1a2b.tmp": carried("2021-02-17T10:00:00Z", REST),
        "Users/alice/x.txt": b"alice on SRV-ONE",
        "Users/Public/y": b"",
        "Windows/ntbtlog.txt": "\ufeffLoaded by SRV-ONE for alice".encode("utf-16-le"),
    }
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return put(windows_folder(tmp_path / "image", hostname="SRV-ONE"))


def test_every_dump_is_listed_newest_first_with_its_place(image: Path, call: Stopcode) -> None:
    done = call("rescue", image, "-o", "json")
    assert done.code == 0
    rows = [(row["n"], row["path"], row["where"], row["time"][:10]) for row in done.document["dumps"]]
    assert rows[:2] == [
        (1, r"\pagefile.sys", "pagefile", "2021-02-21"),
        (2, r"\Windows\MEMORY.DMP", "memory-dmp", "2021-02-20"),
    ]
    assert {row[2] for row in rows} == {"pagefile", "memory-dmp", "minidump", "wer", "live-kernel", "dump-tmp"}
    assert [row.get("latest") for row in done.document["dumps"]] == [True, False, False, False, False, False]
    assert next(row for row in done.document["dumps"] if row["where"] == "wer")["copy_of"] == r"\Windows\Minidump\1.dmp"
    assert all(row["code"] == "0xd1" and row["complete"] for row in done.document["dumps"])
    table = call("rescue", image)
    assert "inside a page file" in table.out
    assert "0xD1" in table.out


def test_all_dumps_are_copied_out_byte_for_byte(image: Path, tmp_path: Path, call: Stopcode) -> None:
    done = call("rescue", image, "--dump", "all", "--to", tmp_path / "out", "-o", "json")
    assert done.code == 0
    copies = {Path(row["to"]).name: row for row in done.document["copied"]}
    expected = {
        "pagefile.sys.dmp": carried(NEWER, b""),
        "MEMORY.DMP": dump(NEW),
        "1.dmp": dump(OLD),
        "1-2.dmp": dump(OLD),
        "live.dmp": dump("2021-02-18T10:00:00Z"),
        "DUMP1a2b.tmp.dmp": carried("2021-02-17T10:00:00Z", b""),
    }
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == expected
    assert {name: row["sha256"] for name, row in copies.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in expected.items()
    }


def test_one_dump_has_the_same_name_whether_all_or_one_are_taken(image: Path, tmp_path: Path, call: Stopcode) -> None:
    rows = call("rescue", image, "-o", "json").document["dumps"]
    wer = next(row["n"] for row in rows if row["where"] == "wer")
    small = next(row["n"] for row in rows if row["where"] == "minidump")
    assert call("rescue", image, "--dump", max(wer, small), "--to", tmp_path / "out").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1-2.dmp"]


def test_nothing_is_written_over_and_the_others_are_still_taken(image: Path, tmp_path: Path, call: Stopcode) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "MEMORY.DMP").write_bytes(b"mine")
    done = call("rescue", image, "--dump", "1", "--dump", "2", "--to", out)
    assert done.code == 4
    assert "exists" in done.err
    assert (out / "MEMORY.DMP").read_bytes() == b"mine"
    assert (out / "pagefile.sys.dmp").exists()
    assert call("rescue", image, "--dump", "2", "--to", out).code == 3


def test_a_dump_that_is_cut_is_copied_and_told(image: Path, tmp_path: Path, call: Stopcode) -> None:
    cut = carried(NEWER, b"")[:-0x2000]
    (image / "pagefile.sys").write_bytes(cut)
    done = call("rescue", image, "--dump", "1", "--to", tmp_path / "out")
    assert done.code == 4
    assert "cut or damaged" in done.out
    assert (tmp_path / "out" / "pagefile.sys.dmp").read_bytes() == cut


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dump", "7"], "there are 6"),
        (["--dump", "0"], "no such dump"),
        (["--dump", "x"], "no such dump"),
        (["--dump", "1", "--redact"], "a dump is memory"),
        (["--redact"], "--redact needs"),
        (["--to", "x"], "--to needs"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused(
    image: Path, tmp_path: Path, call: Stopcode, words: list[str], says: str
) -> None:
    more = [] if "--to" in words else ["--to", str(tmp_path / "out")] if words != ["--redact"] else []
    done = call("rescue", image, *words, *more)
    assert done.code == 2
    assert says in done.err


def test_nothing_is_written_into_evidence_and_beside_it_only_when_told(
    image: Path, tmp_path: Path, call: Stopcode, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(image.rglob("*"))
    for inside in (image, image / "Windows", image / "new"):
        done = call("rescue", image, "--dump", "1", "--to", inside)
        assert done.code == 2
        assert "never written to" in done.err
    monkeypatch.chdir(tmp_path)
    done = call("rescue", image, "--dump", "1")
    assert done.code == 2
    assert "--to ." in done.err
    assert sorted(image.rglob("*")) == before
    assert call("rescue", image, "--dump", "1", "--to", ".").code == 0
    assert (tmp_path / "pagefile.sys.dmp").exists()
    assert sorted(image.rglob("*")) == before


def test_a_disk_without_a_dump_says_why(tmp_path: Path, call: Stopcode) -> None:
    done = call("rescue", windows_folder(tmp_path / "image"))
    assert done.code == 0
    assert "No dump is on this disk." in done.out


def test_the_sample_whose_dump_went_with_the_temporary_disk_says_so(
    built: Callable[[str], Path], call: Stopcode
) -> None:
    done = call("rescue", built("ws2019-no-dump.vhdx"))
    assert "D: is the temporary disk" in done.out
    assert "0x7e" in done.out


def test_files_go_into_a_zip_with_their_digests_and_the_same_files_give_the_same_zip(
    image: Path, tmp_path: Path, call: Stopcode
) -> None:
    for name in ("a", "b"):
        done = call("rescue", image, "--support", "--files", r"Users\**", "--to", tmp_path / name, "-o", "json")
        assert done.code == 0
    first, second = (next((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert first.name == "rescue-image.zip"
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as packed:
        manifest = json.loads(packed.read("manifest.json"))
        assert {item["name"] for item in manifest["files"]} == set(packed.namelist()) - {"manifest.json"}
        for item in manifest["files"]:
            data = packed.read(item["name"])
            assert hashlib.sha256(data).hexdigest() == item["sha256"]
            assert data == (image / item["path"].lstrip("\\").replace("\\", "/")).read_bytes()
    assert "C/Windows/System32/config/SYSTEM" in {item["name"] for item in manifest["files"]}


def test_an_unpacked_zip_is_an_image_for_scan(image: Path, tmp_path: Path, call: Stopcode) -> None:
    call("rescue", image, "--support", "--files", r"Windows\System32\drivers\*", "--to", tmp_path / "a")
    with zipfile.ZipFile(next((tmp_path / "a").iterdir())) as packed:
        packed.extractall(tmp_path / "unpacked")
    facts = call("scan", "-o", "json", tmp_path / "unpacked" / "C").document["facts"]
    assert facts["system"]["hostname"] == "SRV-ONE"


def test_with_redact_no_name_of_the_machine_is_left_in_the_zip(image: Path, tmp_path: Path, call: Stopcode) -> None:
    done = call("rescue", image, "--support", "--files", r"Users\**", "--redact", "--to", tmp_path / "a", "-o", "json")
    assert done.code == 0
    archive = next((tmp_path / "a").iterdir())
    assert archive.name == "rescue-redacted.zip"
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            data = packed.read(name)
            for secret in ("SRV-ONE", "alice"):
                for encoding in ("utf-8", "utf-16-le"):
                    assert secret.lower().encode(encoding) not in data.lower()
                assert secret.lower() not in name.lower()
        assert packed.read("C/Users/USER1/x.txt") == b"USER1 on HOST"
        left = {item["path"] for item in json.loads(packed.read("manifest.json"))["left_out"]}
    assert r"\Windows\System32\config\SYSTEM" in left
    assert r"\Windows\Minidump\1.dmp" in left


def test_redact_refuses_where_the_names_are_not_known(tmp_path: Path, call: Stopcode) -> None:
    image = put(windows_folder(tmp_path / "image", zeroed=("SYSTEM",)))
    done = call("rescue", image, "--files", r"Users\**", "--redact", "--to", tmp_path / "a")
    assert done.code == 3
    assert "nothing can be cleaned" in done.err
    assert not (tmp_path / "a").exists()


def test_a_pattern_without_a_file_is_told_and_makes_the_run_partial(
    image: Path, tmp_path: Path, call: Stopcode
) -> None:
    done = call(
        "rescue", image, "--files", r"Windows\no.txt", "--files", r"Windows\ntbtlog.txt", "--to", tmp_path / "a"
    )
    assert done.code == 4
    assert r"Windows\no.txt: not collected" in done.out


@pytest.mark.peer("mkntfs", "wimlib-imagex", "ntfscp")
@pytest.mark.realdata
def test_real_dumps_come_off_a_fragmented_disk_as_they_were(
    tmp_path: Path, unpacked: Callable[[str], Path], call: Stopcode
) -> None:
    names = ("triage_x64.dmp", "082325-12593-01.dmp", "7e_1.dmp", "triage_arm64.dmp")
    real = [unpacked(f"dumps/{name}").read_bytes() for name in names]
    files: dict[str, bytes | Path] = {
        "Windows/System32/config/SYSTEM": unpacked("hives/win10-1903/SYSTEM"),
        "Windows/System32/config/SOFTWARE": software(),
        "Windows/Minidump/082325-12593-01.dmp": real[1],
        "filler.bin": b"x",
        LIVE: real[2],
        WER: real[3],
    }
    volume = ntfs_volume(tmp_path / "v.img", files, mib=96)
    fragmented(volume, "pagefile.sys", real[0] + random.Random(4).randbytes(3 * MIB))
    disk = mbr_disk(tmp_path / "evidence.img", [volume])
    before = disk.stat().st_mtime_ns
    done = call("rescue", disk, "--dump", "all", "--to", tmp_path / "out", "-o", "json")
    assert {Path(row["to"]).name for row in done.document["copied"]} == {
        "pagefile.sys.dmp", "082325-12593-01.dmp", "live.dmp", "1.dmp",
    }  # fmt: skip
    out = tmp_path / "out"
    assert (out / "pagefile.sys.dmp").read_bytes() == real[0]
    assert (out / "082325-12593-01.dmp").read_bytes() == real[1]
    assert (out / "live.dmp").read_bytes() == real[2]
    assert (out / "1.dmp").read_bytes() == real[3]
    assert disk.stat().st_mtime_ns == before
