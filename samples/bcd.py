r"""The boot configuration store of a machine: `\Boot\BCD` (generation 1) or `\EFI\Microsoft\Boot\BCD` (generation 2).

A BCD is a registry hive. Object ids, types and elements: Geoff Chappell's study of the boot configuration data
(notes/windows/boot/bcd), and the device element as in a real store of a GPT disk.
"""

from __future__ import annotations

import struct

from samples.hive import Key, Value, binary, multi, sz, write_hive
from samples.layout import DISK_ID, FIRST_SECTOR, SIGNATURE, SYSTEM_ID, WINDOWS_ID
from samples.machine import Machine
from samples.times import filetime

__all__ = ["bcd_store"]

_BOOTMGR = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
_MEMDIAG = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
_GLOBAL = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
_DEBUG = "{4636856e-540f-4170-a130-a84776f4c654}"
_EMS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
_BAD_MEMORY = "{5189b25c-5558-4bf2-bca4-289b11bd29e2}"
_LOADER_SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
_LOADER = "{d8f5c1b2-ff0e-11e9-8a4b-e8b1fc2f3a10}"
_RESUME = "{d8f5c1b1-ff0e-11e9-8a4b-e8b1fc2f3a10}"


def _partition(machine: Machine, which: str) -> Value:
    """Return the device element of a partition of the machine's own disk."""
    if machine.generation == 1:
        place = struct.pack("<Q8x", FIRST_SECTOR[which, 1] * 512)
        disk, style = struct.pack("<I12x", SIGNATURE), 1
    else:
        place, disk, style = (SYSTEM_ID if which == "system" else WINDOWS_ID).bytes_le, DISK_ID.bytes_le, 0
    return binary(struct.pack("<16xIIII16sII16s16x", 6, 0, 0x48, 0, place, 0, style, disk))


def _number(value: int) -> Value:
    return binary(struct.pack("<Q", value))


def _flag(value: bool) -> Value:
    return binary(bytes([value]))


def bcd_store(machine: Machine) -> bytes:
    """Return the store."""
    root = Key(time=filetime(machine.installed))
    root.set("Description", {"KeyName": "BCD00000000", "System": 1, "TreatAsSystem": 1, "GuidCache": binary(bytes(16))})
    efi = machine.generation == 2
    suffix = ".efi" if efi else ".exe"

    def put(guid: str, kind: int, elements: dict[int, Value]) -> None:
        root.set(f"Objects\\{guid}\\Description", {"Type": kind})
        for number, value in elements.items():
            root.set(f"Objects\\{guid}\\Elements\\{number:08x}", {"Element": value})

    manager = {
        0x11000001: _partition(machine, "system"),
        0x12000004: sz("Windows Boot Manager"),
        0x12000005: sz("en-US"),
        0x14000006: multi([_GLOBAL]),
        0x23000003: sz(_LOADER),
        0x23000006: sz(_RESUME),
        0x24000001: multi([_LOADER]),
        0x24000010: multi([_MEMDIAG]),
        0x25000004: _number(30),
    }
    if efi:
        manager[0x12000002] = sz("\\EFI\\Microsoft\\Boot\\bootmgfw.efi")
    put(_BOOTMGR, 0x10100002, manager)
    put(
        _LOADER,
        0x10200003,
        {
            0x11000001: _partition(machine, "windows"),
            0x12000002: sz(f"\\Windows\\system32\\winload{suffix}"),
            0x12000004: sz("Windows Server"),
            0x12000005: sz("en-US"),
            0x14000006: multi([_LOADER_SETTINGS]),
            0x16000009: _flag(value=False),
            0x21000001: _partition(machine, "windows"),
            0x22000002: sz("\\Windows"),
            0x23000003: sz(_RESUME),
            0x25000020: _number(1),
        },
    )
    put(
        _RESUME,
        0x10200004,
        {
            0x11000001: _partition(machine, "windows"),
            0x12000002: sz(f"\\Windows\\system32\\winresume{suffix}"),
            0x12000004: sz("Windows Resume Application"),
            0x21000001: _partition(machine, "windows"),
            0x22000002: sz("\\hiberfil.sys"),
        },
    )
    put(_GLOBAL, 0x20100000, {0x14000006: multi([_DEBUG, _EMS, _BAD_MEMORY])})
    put(_LOADER_SETTINGS, 0x20200003, {0x14000006: multi([_GLOBAL])})
    put(_DEBUG, 0x20100000, {0x15000011: _number(4)})
    put(_EMS, 0x20100000, {0x16000020: _flag(value=False)})
    put(_BAD_MEMORY, 0x20100000, {})
    memdiag = "\\EFI\\Microsoft\\Boot\\memtest.efi" if efi else "\\boot\\memtest.exe"
    put(_MEMDIAG, 0x10200005, {0x11000001: _partition(machine, "system"), 0x12000002: sz(memdiag)})
    return write_hive(root, "NewStoreRoot", time=filetime(machine.installed), file_name="\\Boot\\BCD")
