"""Folders, zips and tars of collected files: whose layout it is, and that what was not collected is unknown."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.collect import Machine, collect
from forensics.disk import archive as archives
from forensics.disk import collection, layouts, open_image, zipped
from forensics.facts import Facts, Wants
from parsers.bytesource import first_bytes
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, NotCollectedError, NoWindowsError, ReadError, StopcodeError, UnsupportedError
from samples.hive import Key, write_hive
from stopcode.scan.lone import is_dump
from tests.forensics.disk.ntfs_disks import ntfs_volume, software, write_tree
from tests.forensics.world import pe_file

CONFIG = "Windows/System32/config"
DRIVERS = "Windows/System32/drivers"
VELOCIRAPTOR = Path("disks/velociraptor-collection.zip")


def system() -> bytes:
    top = Key()
    top.set("Select", {"Current": 1, "Default": 1, "LastKnownGood": 1})
    top.set("ControlSet001\\Control\\CrashControl", {"CrashDumpEnabled": 7})
    for name in ("there", "elsewhere"):
        top.set(f"ControlSet001\\Services\\{name}", {"Start": 0, "Type": 1})
    return write_hive(top, "ROOT", time=132_000_000_000_000_000)


TREE = {
    f"{CONFIG}/SYSTEM": system(),
    f"{CONFIG}/SOFTWARE": software(),
    f"{DRIVERS}/there.sys": pe_file((10, 0, 18362, 1)),
}
#: How each tool shows the tree, by what the report calls it.
LAYOUTS = {
    "KAPE": {"case/C/": TREE, "case/": {"2026-01-02T030405_CopyLog.csv": b"x"}},
    "Velociraptor": {
        "uploads/ntfs/%5C%5C.%5CC%3A/": {name: TREE[name] for name in TREE if "config" in name},
        "uploads/auto/C%3A/": {name: TREE[name] for name in TREE if "config" not in name},
        "": {"uploads.json": b"{}\n"},
    },
    "VM Inspector": {"device_0/": TREE, "": {"results.txt": b"x", "diskinfo.txt": b"x"}},
    "acquire": {"fs/C:/": TREE},
    "stopcode rescue": {"C/": TREE, "": {"manifest.json": b'{"schema": "stopcode/rescue-manifest/1"}'}},
    "folder": {"a/b/%SystemDrive%/": TREE},
}


def names_of(layout: str) -> dict[str, bytes]:
    return {above + name: data for above, files in LAYOUTS[layout].items() for name, data in files.items()}


def written(tmp_path: Path, files: dict[str, bytes], kind: str) -> Path:
    place = tmp_path / f"collected.{kind}"
    if kind == "folder":
        write_tree(place, dict(files))
    elif kind == "zip":
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in files.items():
                made.writestr(name, data)
    else:
        with tarfile.open(place, "w") as made_tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                made_tar.addfile(info, io.BytesIO(data))
    return place


def scan(place: Path, wants: Wants | None = None) -> tuple[Facts, Diagnostics, dict[str, object]]:
    diagnostics = Diagnostics()
    with open_image(place, diagnostics) as image:
        facts = collect(Machine(image.windows, wants or Wants(), diagnostics))
        return facts, diagnostics, image.describe()


def reasons(facts: Facts) -> dict[str, str]:
    return {gap["path"]: gap["reason"] for gap in facts["gaps"]}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_each_tools_layout_is_found_and_called_by_its_name(tmp_path: Path, layout: str, kind: str) -> None:
    facts, diagnostics, source = scan(written(tmp_path, names_of(layout), kind))
    assert (source["kind"], source["layout"]) == (kind, layout)
    assert facts["system"]["build"] == 18362
    assert [(driver["file"], driver.get("version")) for driver in facts["drivers"]] == [("there.sys", "10.0.18362.1")]
    assert "disk.collected" in [item.code for item in diagnostics.items]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_was_not_collected_is_unknown_and_never_absent(tmp_path: Path, kind: str) -> None:
    wants = Wants(files={r"%SystemRoot%\System32\drivers\gone.sys", r"%SystemRoot%\System32\drivers\the*.sys"})
    facts, _, _ = scan(written(tmp_path, dict(TREE), kind), wants)
    gaps = reasons(facts)
    assert not any(driver.get("missing") for driver in facts["drivers"])
    assert "not collected" in gaps["/drivers"]
    assert "not collected" in gaps[r"/files/%SystemRoot%\System32\drivers\gone.sys"]
    assert "/boot/driver_missing" in gaps
    assert "not collected" in gaps["/events"]
    assert "/boot/pending_xml" in gaps
    # What was found is told; whether there was more is not known.
    assert [item["path"] for item in facts["files"]] == [r"\Windows\System32\drivers\there.sys"]
    assert r"/files/%SystemRoot%\System32\drivers\the*.sys" in gaps
    assert any(path.startswith("/crashes") for path in gaps)


def test_of_a_mounted_volume_a_missing_file_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = written(tmp_path, dict(TREE), "folder")
    monkeypatch.setattr("os.path.ismount", lambda _path: True)
    facts, _, source = scan(place)
    assert facts["boot"]["driver_missing"] == ["elsewhere.sys"]
    assert "layout" not in source


def test_a_whole_copy_of_a_volume_is_told_from_collected_files_by_what_no_collector_takes(tmp_path: Path) -> None:
    place = written(tmp_path, dict(TREE), "folder")
    for name in collection._WHOLE_FOLDERS:
        (place / name.replace("\\", "/")).mkdir(parents=True, exist_ok=True)
    assert "elsewhere.sys" not in scan(place)[0]["boot"]["driver_missing"]
    for number in range(collection._WHOLE_DRIVERS):
        (place / DRIVERS / f"filler{number}.sys").write_bytes(b"")
    assert scan(place)[0]["boot"]["driver_missing"] == ["elsewhere.sys"]


def test_percent_signs_of_a_log_are_decoded_once(tmp_path: Path) -> None:
    files = names_of("Velociraptor")
    files["uploads/auto/C%3A/Windows/System32/winevt/Logs/A%254Operational.evtx"] = b"x"
    with open_image(written(tmp_path, files, "zip"), Diagnostics()) as image:
        assert image.windows.files.stat(r"\Windows\System32\winevt\Logs\A%4Operational.evtx") is not None


def test_a_file_kept_without_its_holes_is_not_taken_for_the_file(tmp_path: Path) -> None:
    files = names_of("Velociraptor")
    files["uploads/auto/C%3A/Windows/MEMORY.DMP"] = b"x"
    files["uploads/auto/C%3A/Windows/MEMORY.DMP.idx"] = b'{"ranges":[]}'
    with open_image(written(tmp_path, files, "zip"), Diagnostics()) as image, pytest.raises(NotCollectedError):
        image.windows.files.stat(r"\Windows\MEMORY.DMP")


def test_files_that_the_collector_cut_are_told(tmp_path: Path) -> None:
    files = names_of("Velociraptor")
    lines = [{"vfs_path": "C:\\a", "file_size": 10, "uploaded_size": 4}, {"vfs_path": "C:\\b", "file_size": 1}, [], 7]
    files["uploads.json"] = "\n".join(map(json.dumps, lines)).encode() + b"\n{"
    _, diagnostics, _ = scan(written(tmp_path, files, "zip"))
    told = next(item for item in diagnostics.items if item.code == "disk.collected-in-part")
    assert "1 files" in told.message
    assert "C:\\a (4 of 10 bytes)" in told.message


def test_shadow_copies_and_older_windows_are_not_the_machine(tmp_path: Path) -> None:
    old = {f"VSS1/C/{name}": data for name, data in TREE.items()}
    old |= {f"C/Windows.old/{name}": data for name, data in TREE.items()}
    with pytest.raises(NoWindowsError):
        scan(written(tmp_path, old, "zip"))


def test_another_drive_of_the_collection_is_found_by_its_letter(tmp_path: Path) -> None:
    files = names_of("KAPE") | {"case/D/pagefile.sys": b"x"}
    with open_image(written(tmp_path, files, "zip"), Diagnostics()) as image:
        found = image.windows.elsewhere(r"D:\pagefile.sys")
        assert found is not None
        assert (found[0].name, found[1]) == ("D:", r"\pagefile.sys")
        assert found[0].files.stat(found[1]) is not None


@pytest.mark.peer("wimlib-imagex", "mkntfs")
def test_a_disk_image_that_kape_wrote_is_a_collection_and_its_volumes_are_not_the_machines(tmp_path: Path) -> None:
    volume = ntfs_volume(tmp_path / "v.img", {f"C/{name}": data for name, data in TREE.items()}, mib=20)
    diagnostics = Diagnostics()
    with open_image(volume, diagnostics) as image:
        assert image.describe()["layout"] == "KAPE"
        assert image.volumes == []
        facts = collect(Machine(image.windows, Wants(), diagnostics))
    assert "not collected" in reasons(facts)["/drivers"]


# -- zips ---------------------------------------------------------------------------------------------------------


def test_a_zip_with_a_dump_among_collected_files_is_a_machine_and_one_with_a_dump_alone_is_a_dump(
    tmp_path: Path,
) -> None:
    dump = b"PAGEDU64" + bytes(100)
    both = written(tmp_path, dict(TREE) | {"Windows/MEMORY.DMP": dump}, "zip")
    assert not is_dump(str(both), first_bytes(both))
    alone = tmp_path / "alone.zip"
    with zipfile.ZipFile(alone, "w") as made:
        made.writestr("MEMORY.DMP", dump)
    assert is_dump(str(alone), first_bytes(alone))


@pytest.mark.parametrize(
    ("name", "said"), [("vm/disk.vhdx", "disk image, vm/disk.vhdx"), ("data.zip", "another archive"), ("a.txt", "KAPE")]
)
def test_a_zip_without_windows_says_what_it_holds(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(NoWindowsError) as caught:
        scan(written(tmp_path, {name: b"x"}, "zip"))
    assert said in caught.value.hint


def test_an_encrypted_zip_is_told(tmp_path: Path) -> None:
    place = written(tmp_path, {"Windows/a": b"secret"}, "zip")
    data = bytearray(place.read_bytes())
    # APPNOTE 4.4.4: bit 0 of the flags, in the local header and in the directory.
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    place.write_bytes(data)
    with pytest.raises(UnsupportedError, match="encrypted"):
        scan(place)


def test_members_that_lead_out_of_the_archive_are_passed_over_and_links_too(tmp_path: Path) -> None:
    place = written(tmp_path, dict(TREE) | {"../Windows/x": b"x", "Windows/a/" * 60: b""}, "zip")
    with zipfile.ZipFile(place, "a") as made:
        link = zipfile.ZipInfo("Windows/link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    diagnostics = Diagnostics()
    with open_image(place, diagnostics) as image, pytest.raises(NotCollectedError):
        image.windows.files.stat(r"\Windows\link")
    assert "archive.names" in [item.code for item in diagnostics.items]


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    place = written(tmp_path, dict(TREE) | {"Qno name": b"x"}, "zip")
    # A name ends at its first NUL.
    place.write_bytes(place.read_bytes().replace(b"Qno name", b"\0no name"))
    _, diagnostics, _ = scan(place)
    assert "archive.names" in [item.code for item in diagnostics.items]


def test_a_damaged_member_gives_an_error_and_no_bytes(tmp_path: Path) -> None:
    place = written(tmp_path, dict(TREE) | {"Windows/big.bin": bytes(range(256)) * 400}, "zip")
    data = bytearray(place.read_bytes())
    at = data.index(b"Windows/big.bin") + 60
    data[at : at + 8] = bytes(8)
    place.write_bytes(data)
    with open_image(place, Diagnostics()) as image:
        opened = image.windows.files.open(r"\Windows\big.bin")
        for _ in range(2):
            with pytest.raises(ReadError, match="damaged"):
                opened.read_at(0, 16)


def test_stored_and_packed_members_read_alike(tmp_path: Path) -> None:
    data = bytes(range(256)) * 300
    place = written(tmp_path, dict(TREE), "zip")
    with zipfile.ZipFile(place, "a") as made:
        made.writestr("Windows/stored", data, zipfile.ZIP_STORED)
        made.writestr("Windows/packed", data, zipfile.ZIP_DEFLATED)
    with open_image(place, Diagnostics()) as image:
        for name in ("stored", "packed"):
            opened = image.windows.files.open(f"\\Windows\\{name}")
            assert opened.size == len(data)
            assert (opened.read_at(500, 1000), opened.read_at(len(data) - 3, 9)) == (data[500:1500], data[-3:])


def test_what_a_zip_may_unpack_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = written(tmp_path, dict(TREE) | {"Windows/zeros": bytes(1 << 20)}, "zip")
    monkeypatch.setattr(zipped, "_IN_MEMORY", 1 << 16)
    with open_image(place, Diagnostics()) as image, pytest.raises(UnsupportedError, match="more than is believed"):
        image.windows.files.open(r"\Windows\zeros")
    monkeypatch.undo()
    monkeypatch.setattr(zipped, "MAX_ARCHIVE_UNPACKED", 1 << 19)
    with open_image(place, Diagnostics()) as image, pytest.raises(ReadError, match="would be unpacked"):
        image.windows.files.open(r"\Windows\zeros").read_at(0, 1)


@pytest.mark.parametrize(
    ("room", "limit"), [(archives, "MAX_ARCHIVE_MEMBERS"), (zipped, "MAX_ARCHIVE_DIRECTORY")], ids=["members", "bytes"]
)
def test_a_zip_with_too_many_members_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: object, limit: str
) -> None:
    monkeypatch.setattr(room, limit, 2)
    with pytest.raises(FormatError, match=r"too many|too large"):
        scan(written(tmp_path, dict(TREE), "zip"))


def test_the_search_for_a_windows_folder_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MAX_LAYOUT_FOLDERS", 3)
    files = {f"a{number}/x": b"x" for number in range(5)} | names_of("folder")
    with pytest.raises(NoWindowsError):
        scan(written(tmp_path, files, "zip"))


def test_no_more_of_a_collectors_list_is_read_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MAX_COLLECTION_LIST", 10)
    files = names_of("Velociraptor")
    files["uploads.json"] = json.dumps({"vfs_path": "C:\\a", "file_size": 10, "uploaded_size": 4}).encode()
    _, diagnostics, _ = scan(written(tmp_path, files, "zip"))
    assert "disk.collected-in-part" not in [item.code for item in diagnostics.items]


def test_a_cut_tar_gives_what_stands_before_the_cut(tmp_path: Path) -> None:
    place = written(tmp_path, dict(TREE) | {"Windows/a": bytes(5000), "Windows/b": b"x"}, "tar")
    data = place.read_bytes()
    place.write_bytes(data[: data.index(b"Windows/a") + 3000])
    facts, diagnostics, _ = scan(place)
    assert facts["system"]["build"] == 18362
    assert "archive.damaged" in [item.code for item in diagnostics.items]


@pytest.mark.realdata
def test_a_real_collection_of_velociraptor_without_windows_is_told(shared: Path) -> None:
    with pytest.raises(NoWindowsError):
        scan(shared / "data" / VELOCIRAPTOR)


@given(st.data())
def test_a_mutated_zip_gives_facts_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = tmp_path_factory.mktemp("z") / "m.zip"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in TREE.items():
            whole.writestr(name, content)
    mutated = bytearray(made.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory is behind the members: most of what can go wrong is there.
        at = len(mutated) - 1 - data.draw(st.integers(0, min(len(mutated) - 1, 500)))
        mutated[at] = data.draw(st.integers(0, 255))
    place.write_bytes(mutated)
    with contextlib.suppress(StopcodeError):
        scan(place)
