r"""The SYSTEM hive of a machine.

Names, types and values follow real hives (Windows 10 1709, 1903; public test data of other tools) and Microsoft's
documentation; the times of keys are those of the machine's story, so that the same machine gives the same hive.
"""

from __future__ import annotations

import struct
import uuid

from samples.hive import Key, Value, binary, dword, multi, sz, write_hive
from samples.layout import FIRST_SECTOR, SIGNATURE, WINDOWS_ID
from samples.machine import Hardware, Machine
from samples.registry_control import put_control
from samples.registry_services import put_services
from samples.times import filetime

__all__ = ["system_hive"]

_SET = "ControlSet001"


def _devices(machine: Machine, enum: Key) -> None:
    disk_class = "{4d36e967-e325-11ce-bfc1-08002be10318}"
    if machine.generation == 1:
        name = "DiskVirtual_HD______________________________1.1.0___"
        enum.set(
            f"IDE\\{name}\\5&35dc7040&0&0.0.0",
            {
                "Capabilities": 0x60,
                "ClassGUID": disk_class,
                "DeviceDesc": "@disk.inf,%disk_devdesc%;Disk drive",
                "Driver": f"{disk_class}\\0000",
                "FriendlyName": "Virtual HD",
                "HardwareID": multi(
                    [f"IDE\\{name}", "IDE\\Virtual_HD______________________________1.1.0___", "GenDisk"]
                ),
                "LowerFilters": multi(["storflt"]),
                "Service": "disk",
            },
        )
        enum.set(
            "PCI\\VEN_8086&DEV_7111&SUBSYS_00000000&REV_01\\3&267a616a&0&39",
            {
                "ClassGUID": "{4d36e96a-e325-11ce-bfc1-08002be10318}",
                "DeviceDesc": "@mshdc.inf,%piix4%;Intel(R) 82371AB/EB PCI Bus Master IDE Controller",
                "Service": "intelide",
            },
        )
    else:
        enum.set(
            "SCSI\\Disk&Ven_Msft&Prod_Virtual_Disk\\000000",
            {
                "ClassGUID": disk_class,
                "DeviceDesc": "@disk.inf,%disk_devdesc%;Disk drive",
                "FriendlyName": "Microsoft Virtual Disk",
                "HardwareID": multi(["SCSI\\DiskMsft____Virtual_Disk____1.0_", "GenDisk"]),
                "Service": "disk",
            },
        )
    enum.set(
        "ACPI\\VMBus\\0",
        {"Service": "vmbus", "DeviceDesc": "@wvmbus.inf,%vmbus.DeviceDesc%;Microsoft Hyper-V Virtual Machine Bus"},
    )
    for number, (kind, service) in enumerate(
        (
            ("{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}", "storvsc"),
            ("{f8615163-df3e-46c5-913f-f2d2f965ed0e}", "netvsc"),
            ("{57164f39-9115-4e78-ab55-382f3bd5422d}", "vmicheartbeat"),
        )
    ):
        instance = uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine.host}-{number}")
        enum.set(f"VMBUS\\{kind}\\{{{instance}}}", {"Service": service})


def _hardware(machine: Machine, key: Key) -> None:
    last = machine.hardware[-1]
    key.values |= {"LastConfig": sz("{" + last.uuid + "}"), "LastId": dword(len(machine.hardware) - 1)}
    key.time = filetime(last.last)
    for number, hardware in enumerate(machine.hardware):
        key.set("{" + hardware.uuid + "}", _bios(machine, hardware, number), time=filetime(hardware.last))


def _bios(machine: Machine, hardware: Hardware, number: int) -> dict[str, Value | int | str]:
    gen1 = machine.generation == 1
    version = "090008" if gen1 else "Hyper-V UEFI Release v4.1" if hardware.azure else "Hyper-V UEFI Release v4.0"
    return {
        "BIOSReleaseDate": "12/07/2018" if gen1 else "11/26/2019",
        "BIOSVendor": "American Megatrends Inc." if gen1 else "Microsoft Corporation",
        "BIOSVersion": version,
        "BootDriverFlags": 0,
        "EnclosureType": 3,
        "Id": number,
        "LastUse": binary(struct.pack("<Q", filetime(hardware.last))),
        "SystemBiosVersion": multi(
            ["VRTUAL - 5001223", "BIOS Date: 12/07/18 15:46:29  Ver: 09.00.08"] if gen1 else ["VRTUAL - 1"]
        ),
        "SystemFamily": "Virtual Machine",
        "SystemManufacturer": "Microsoft Corporation",
        "SystemProductName": "Virtual Machine",
        "SystemSKU": "None" if gen1 else "Virtual Machine",
        "SystemVersion": "7.0" if gen1 else version,
    }  # fmt: skip


def system_hive(machine: Machine, *, sequence: tuple[int, int] = (87, 87)) -> bytes:
    """Return the SYSTEM hive."""
    root = Key(time=filetime(machine.touched))
    installed = filetime(machine.installed)
    root.set("Select", {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 1}, time=installed)
    put_services(machine, root.at(f"{_SET}\\Services"))
    control = root.at(f"{_SET}\\Control")
    control.time = filetime(machine.touched)
    put_control(machine, control)
    _devices(machine, root.at(f"{_SET}\\Enum"))
    _hardware(machine, root.at("HardwareConfig"))
    gen1 = machine.generation == 1
    root.set(
        "Setup",
        {
            "CloneTag": multi(["Sat Sep 15 07:12:58 2018"]),
            "CmdLine": "",
            "OOBEInProgress": 0,
            "OsLoaderPath": "\\",
            "RestartSetup": 0,
            "SetupPhase": 0,
            "SetupSupported": 1,
            "SetupType": 0,
            "SystemPartition": "\\Device\\HarddiskVolume1" if gen1 else "\\Device\\HarddiskVolume2",
            "SystemSetupInProgress": 0,
            "WorkingDirectory": "C:\\Windows\\Panther",
        },
    )
    root.set("Setup\\Status\\SysprepStatus", {"CleanupState": 2, "GeneralizationState": 7})
    mounted = root.at("MountedDevices")
    if gen1:
        mounted.values["\\DosDevices\\C:"] = binary(struct.pack("<IQ", SIGNATURE, FIRST_SECTOR["windows", 1] * 512))
    else:
        mounted.values["\\DosDevices\\C:"] = binary(b"DMIO:ID:" + WINDOWS_ID.bytes_le)
    return write_hive(
        root, "ROOT", time=installed, file_name="\\SystemRoot\\System32\\Config\\SYSTEM", sequence=sequence
    )
