"""Stacks of a crash that an emulator really ran: every frame, exactly, from the dump or from the disk's own files."""

from __future__ import annotations

from pathlib import Path

import pefile
import pytest

from forensics.crash.images import FoundImage, same_build
from forensics.facts import CrashDict
from parsers.bytesource import BytesSource
from parsers.dump.modules import LoadedModule
from parsers.pe import PeImage
from tests.forensics.crash.chain import BAD, Chain, run
from tests.forensics.crash.machines import NT, POOL, WDF_BASE, context_x64, crash_of, trap_frame

pytestmark = pytest.mark.peer("x86_64-w64-mingw32-gcc")


class Folder:
    """The drivers' files as a disk holds them."""

    def __init__(self, chain: Chain) -> None:
        self.files = chain.files

    def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
        path = self.files.get(module.base)
        if path is None:
            return FoundImage("missing")
        image = PeImage(BytesSource(path.read_bytes()))
        return (
            FoundImage("same", "10.0.17763.771", image, str(path))
            if same_build(module, image)
            else FoundImage("different")
        )


def _crash(chain: Chain, folder: Folder | None = None) -> CrashDict:
    record = (0xC0000005).to_bytes(4, "little") + bytes(12) + chain.rip.to_bytes(8, "little")
    record += (2).to_bytes(8, "little") + (1).to_bytes(8, "little") + BAD.to_bytes(8, "little")
    chain.machine.put(POOL + 0x8000, chain.context)
    chain.machine.put(POOL + 0x9000, record.ljust(0x98, b"\0"))
    parameters = (0xFFFFFFFFC0000005, chain.rip, POOL + 0x9000, POOL + 0x8000)
    return crash_of(chain.machine, 0x7E, parameters, images=folder)


def _frames(crash: CrashDict) -> list[tuple[int, int]]:
    return [(int(frame["ip"], 16), int(frame["sp"], 16)) for frame in crash["stack"]]


@pytest.mark.parametrize("direct", [True, False])
def test_every_frame_is_exact_from_the_dumps_memory(tmp_path: Path, direct: bool) -> None:
    chain = run(tmp_path, direct=direct)
    crash = _crash(chain)
    assert _frames(crash) == chain.frames
    assert len(chain.frames) >= 7
    assert {frame["confidence"] for frame in crash["stack"]} == {"exact"}
    assert {frame.get("image") for frame in crash["stack"][1:]} == {"dump"}


def test_unwind_data_comes_from_the_disk_where_the_dump_has_no_code(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True, in_memory=False)
    crash = _crash(chain, Folder(chain))
    assert _frames(crash) == chain.frames
    assert {frame["confidence"] for frame in crash["stack"]} == {"exact"}
    assert {frame.get("image") for frame in crash["stack"][1:]} == {"disk"}
    versions = {module["name"]: (module["on_disk"], module["version"]) for module in crash["modules"]}
    assert versions["vmstorfl.sys"] == ("same", "10.0.17763.771")


def test_another_build_on_the_disk_gives_neither_frames_nor_version(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True, in_memory=False)
    for index in range(3):
        chain.machine.put(0xFFFFC08BDC0011F0 + 0x100 * index + 0x9C, b"\x11\x22\x33\x44")
    crash = _crash(chain, Folder(chain))
    assert all(module["on_disk"] == "different" and "version" not in module for module in crash["modules"])
    assert all(frame["confidence"] == "guess" for frame in crash["stack"][1:])


def test_the_driver_at_the_fault_is_blamed_high(tmp_path: Path) -> None:
    crash = _crash(run(tmp_path, direct=True))
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")
    assert any(f"a write to {BAD:#x}" in line for line in crash["culprit"]["because"])


def test_a_fault_in_the_kernel_is_passed_to_the_frameworks_client(tmp_path: Path) -> None:
    crash = _crash(run(tmp_path, direct=False))
    assert crash["stack"][0]["module"] == "ntoskrnl.exe"
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")


def test_a_build_that_only_a_store_keeps_unwinds_and_is_not_the_file_in_place(tmp_path: Path) -> None:
    class Stores(Folder):
        def find(self, module: LoadedModule, *, deep: bool = False) -> FoundImage:
            return super().find(module) if deep else FoundImage("different", path="\\Windows\\new.sys")

    chain = run(tmp_path, direct=True, in_memory=False)
    crash = _crash(chain, Stores(chain))
    assert _frames(crash) == chain.frames
    assert {module["on_disk"] for module in crash["modules"]} == {"different"}
    assert not any("version" in module for module in crash["modules"])


def test_exports_name_the_functions_that_they_begin(tmp_path: Path) -> None:
    crash = _crash(run(tmp_path, direct=False))
    symbols = [frame.get("symbol", "") for frame in crash["stack"]]
    assert symbols[0].startswith("nt!RtlHelper+0x")
    assert symbols[-1].startswith("nt!KiStartSystemThread+0x")
    # `deeper` and `invoke` are exported by nobody: the nearest export before them would be a wrong name.
    assert not any(symbol.startswith("vmstorfl!EvtIoctl") for symbol in symbols[1:2])
    inner = [frame for frame in crash["stack"] if frame["module"] == "Wdf01000.sys"][:3]
    assert all("symbol" not in frame for frame in inner)


def test_a_trap_frame_gives_the_same_stack_as_the_context(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True)
    rsp = chain.frames[0][1]
    place = (rsp - 0x190) & ~0xF
    chain.machine.put(place, trap_frame(chain.rip, rsp, fault=BAD, rdx=BAD))
    # The bug check call came later, so deeper on the stack; a frame below it would be dead.
    chain.machine.put(place - 0x800, trap_frame(chain.rip, rsp, fault=BAD))
    call = context_x64(NT + 0x1000, place - 0x200)
    crash = crash_of(chain.machine, 0xD1, (BAD, 2, 1, chain.rip), context=call)
    assert crash["context"]["address"] == f"{place:#x}"
    assert crash["context"]["origin"] == "trap-frame"
    assert _frames(crash) == chain.frames
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")


def test_without_a_function_table_the_code_itself_leads_to_the_caller(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True)
    for index, module in enumerate(chain.modules):
        if module.name != "ntoskrnl.exe":
            chain.machine.put(0xFFFFC08BDC0011F0 + 0x100 * index + 0x10, bytes(12))
            chain.machine.put(module.base, bytes(0x400))
    crash = _crash(chain)
    assert _frames(crash) == chain.frames
    by_code = [frame["method"] for frame in crash["stack"] if frame["method"] == "epilog"]
    assert len(by_code) >= 5
    assert {frame["confidence"] for frame in crash["stack"]} == {"exact"}


def test_a_word_that_no_function_holds_ends_what_is_sure(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True)
    # The return address into the framework is overwritten by an address in its header gap, where no function is.
    sp = next(sp for ip, sp in chain.frames if WDF_BASE <= ip < WDF_BASE + 0x100000)
    chain.machine.put(sp - 8, (WDF_BASE + 0x1FF0).to_bytes(8, "little"))
    crash = _crash(chain)
    sure = _sure(crash)
    assert all(frame in chain.frames for frame in sure)
    assert len(sure) < len(chain.frames)


def test_a_return_address_behind_no_call_ends_what_is_sure(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=True)
    # One byte further than the true one: in the same function, but no call ends there.
    ip, sp = next(frame for frame in chain.frames if WDF_BASE <= frame[0] < WDF_BASE + 0x100000)
    chain.machine.put(sp - 8, (ip + 1).to_bytes(8, "little"))
    crash = _crash(chain)
    third = next(frame for frame in crash["stack"] if int(frame["sp"], 16) == sp)
    assert (third["ip"], third["method"], third["confidence"]) == (f"{ip + 1:#x}", "inferred", "likely")
    behind = crash["stack"][crash["stack"].index(third) :]
    assert all(frame["confidence"] != "exact" for frame in behind)


def test_unwind_data_of_a_version_that_is_not_read_is_told(tmp_path: Path) -> None:
    chain = run(tmp_path, direct=False)
    pe = pefile.PE(str(chain.files[NT]))
    for row in pe.DIRECTORY_ENTRY_EXCEPTION:
        place = NT + row.struct.UnwindData
        first = pe.get_data(row.struct.UnwindData, 1)[0]
        chain.machine.put(place, bytes([first & ~7 | 3]))
    crash = _crash(chain)
    assert any("unwind data of ntoskrnl.exe has a version that is not read" in gap for gap in crash["gaps"])
    assert crash["stack"][1]["method"] != "exact"


def _sure(crash: CrashDict) -> list[tuple[int, int]]:
    every = zip(crash["stack"], _frames(crash), strict=True)
    return [place for frame, place in every if frame["confidence"] == "exact"]
