"""The crash of the sample machine: which modules were loaded where, and the dump of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pefile

from samples import crash
from samples.drivers import Driver, build, symbols
from samples.dumps import Dump, write_dump
from samples.kernel import Module, State, context, lay_out
from samples.machine import Stop
from samples.memory import Memory
from samples.times import filetime

__all__ = ["ACTORS", "CrashedMachine", "benchmark_dumps", "crash_machine", "lab_of"]

NT, HAL, WDF, FILTER = 0xFFFFF80226A00000, 0xFFFFF80226961000, 0xFFFFF80A5E6A0000, 0xFFFFF80A5F2C0000
#: Files with code of their own: the crash runs through them.
ACTORS = {"ntoskrnl.exe": NT, "Wdf01000.sys": WDF, "vmstorfl.sys": FILTER}
_OTHERS_FROM = 0xFFFFF80A5E800000
#: 4 GiB as Hyper-V lays it out below a generation 1 machine.
_RUNS = ((0x1, 0x9E), (0x100, 0xF7EF0), (0x100000, 0x8000))
_PROCESSES = (
    (4, "System"), (88, "Registry"), (296, "smss.exe"), (408, "csrss.exe"), (484, "csrss.exe"), (492, "wininit.exe"),
    (548, "winlogon.exe"), (620, "services.exe"), (636, "lsass.exe"), (760, "svchost.exe"), (812, "svchost.exe"),
)  # fmt: skip
_UNLOADED = (
    ("WdBoot.sys", 0xFFFFF80A5F900000, 0xFFFFF80A5F910000),
    ("hwpolicy.sys", 0xFFFFF80A5F920000, 0xFFFFF80A5F930000),
)


def lab_of(build: int) -> str:
    """Return NtBuildLab of a build."""
    branch = {17763: "rs5_release.180914-1434", 14393: "rs1_release.160715-1616"}[build]
    return f"{build}.1.amd64fre.{branch}" if build == 17763 else f"{build}.0.amd64fre.{branch}"


@dataclass(frozen=True)
class CrashedMachine:
    """A machine whose memory can be dumped.

    Attributes:
        dump: what the header says.
        memory: the pages.
        stop: the bug check.
        run: what the emulator did, the truth of the stack.
        modules: the loaded modules.

    """

    dump: Dump
    memory: Memory
    stop: Stop
    run: crash.Crash
    modules: Sequence[Module]


def _module(path: Path, base: int, name: str) -> Module:
    image = pefile.PE(data=path.read_bytes(), fast_load=True)
    optional = image.OPTIONAL_HEADER
    table = optional.DATA_DIRECTORY[3]
    # "System32/drivers/…" below a Windows folder; a lone file counts as a driver.
    parts = path.parts
    below = parts[parts.index("System32") :] if "System32" in parts else ("System32", "drivers", name)
    return Module(
        name, "\\SystemRoot\\" + "\\".join(below), base, optional.SizeOfImage, image.FILE_HEADER.TimeDateStamp,
        optional.CheckSum,
        optional.AddressOfEntryPoint, (table.VirtualAddress, table.Size),
    )  # fmt: skip


def _place(files: Sequence[Path]) -> dict[str, int]:
    """Give every module its base: the kernel and the HAL first, as the loader lists them."""
    bases = {"ntoskrnl.exe": NT, "hal.dll": HAL}
    taken = _OTHERS_FROM
    for file in files:
        if file.name in ACTORS:
            bases.setdefault(file.name, ACTORS[file.name])
        elif file.name not in bases:
            bases[file.name] = taken
            taken += 0x20000
    return bases


def crash_machine(
    files: Sequence[Path],
    drivers: Mapping[str, Driver],
    *,
    booted: datetime,
    lived: timedelta,
    in_memory: Sequence[str] = ("ntoskrnl.exe", "Wdf01000.sys"),
    boot_id: int = 41,
) -> CrashedMachine:
    """Run the crash and lay out the machine's memory.

    Args:
        files: loaded modules in load order, ntoskrnl.exe and hal.dll first.
        drivers: how the actors were built, by name: their static symbols come from there.
        booted: when the kernel started.
        lived: how long it ran until the crash.
        in_memory: actors whose whole image is in the dump; of the others only the headers and the code, so that a
            reader needs the file on the disk to unwind through them.
        boot_id: boots counted.

    """
    bases = _place(files)
    modules = [_module(file, bases[file.name], file.name) for file in files]
    images = {ACTORS[file.name]: crash.mapped(file) for file in files if file.name in ACTORS}
    names = {name: {symbol: ACTORS[name] + rva for symbol, rva in symbols(drivers[name]).items()} for name in ACTORS}
    kernel = names["ntoskrnl.exe"]
    run = crash.run(images, names["Wdf01000.sys"] | names["vmstorfl.sys"], kernel)
    memory = Memory()
    for file in files:
        if file.name not in ACTORS:
            continue
        data, base = images[ACTORS[file.name]], ACTORS[file.name]
        image = pefile.PE(data=file.read_bytes(), fast_load=True)
        whole = file.name in in_memory
        memory.write(base, data[:0x1000])
        for section in image.sections:
            code = bool(section.Characteristics & 0x20000000)
            if (whole or code) and section.SizeOfRawData:
                end = section.VirtualAddress + section.Misc_VirtualSize
                memory.write(base + section.VirtualAddress, data[section.VirtualAddress : end], code=code)
    memory.write(crash.STACK_LOW, run.stack)
    for address, data in run.pool.items():
        memory.write(address, data)
    stop = Stop(0x7E, run.parameters)
    time = booted + lived
    uptime = int(lived.total_seconds() * 10_000_000)
    state = State(
        run.registers, crash.BAD_ADDRESS, (stop.code, stop.parameters), filetime(time), uptime, _PROCESSES, _UNLOADED,
        _RUNS, boot_id=boot_id,
    )  # fmt: skip
    lay_out(memory, kernel, modules, state)
    dump = Dump(
        stop.code, stop.parameters, context(run.registers), kernel["KeBugCheckEx"], kernel["KdDebuggerDataBlock"],
        kernel["PsLoadedModuleList"], kernel["PsActiveProcessHead"], filetime(time), uptime, runs=_RUNS,
        boot_id=boot_id,
    )  # fmt: skip
    return CrashedMachine(dump, memory, stop, run, modules)


def _actors() -> dict[str, Driver]:
    lab = (("@BUILD_LAB@", lab_of(17763)),)
    return {
        "ntoskrnl.exe": Driver("ntoskrnl.exe", "10.0.17763.1757", source="ntoskrnl", replace=lab),
        "Wdf01000.sys": Driver("Wdf01000.sys", "1.27.17763.1", source="Wdf01000"),
        "vmstorfl.sys": Driver("vmstorfl.sys", "10.0.17763.771", source="vmstorfl"),
    }  # fmt: skip


def benchmark_machine(folder: Path) -> CrashedMachine:
    """Build the drivers into a folder, and crash the machine with all of them in memory."""
    drivers = _actors() | {"hal.dll": Driver("hal.dll", "10.0.17763.1")}
    files = []
    for name in ("ntoskrnl.exe", "hal.dll", "Wdf01000.sys", "vmstorfl.sys"):
        path = folder / name
        build(drivers[name], path)
        files.append(path)
    booted = datetime.fromisoformat("2021-03-10T02:14:05+00:00")
    return crash_machine(files, drivers, booted=booted, lived=timedelta(seconds=21.4), in_memory=tuple(ACTORS))


def benchmark_dumps(folder: Path) -> dict[str, Path]:
    """Write a full (type 1) and a bitmap (type 5) dump of 48 MB of the machine's memory."""
    machine = benchmark_machine(folder)
    # A full dump has at most 42 runs: fill the holes between the pages, and up to the size wanted.
    numbers = sorted(machine.memory.pages)
    for number in (*range(numbers[0], numbers[0] + 0x400), *range(numbers[1], numbers[1] + 0x2C00)):
        machine.memory.pages.setdefault(number, bytearray(number.to_bytes(4, "little") * 1024))
    written = {}
    for name, kind in (("full", 1), ("bitmap", 5)):
        written[name] = folder / f"{name}.dmp"
        write_dump(written[name], replace(machine.dump), machine.memory, kind)
    return written
