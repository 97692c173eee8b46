"""The Control key of a machine: names, crash settings, session manager, device classes."""

from __future__ import annotations

import struct

from samples.hive import Key, binary, dword, expand, multi, sz
from samples.machine import Machine
from samples.times import filetime

__all__ = ["put_control"]

_CLASSES = {
    "{4d36e967-e325-11ce-bfc1-08002be10318}": ("DiskDrive", "Disk drives", ["partmgr"], ["EhStorClass"]),
    "{71a27cdd-812a-11d0-bec7-08002be2092f}": (
        "Volume", "Storage volumes", ["volsnap"], ["fvevol", "iorate", "rdyboost"],
    ),
    "{4d36e96b-e325-11ce-bfc1-08002be10318}": ("Keyboard", "Keyboards", ["kbdclass"], []),
    "{4d36e96f-e325-11ce-bfc1-08002be10318}": ("Mouse", "Mice and other pointing devices", ["mouclass"], []),
    "{4d36e97b-e325-11ce-bfc1-08002be10318}": ("SCSIAdapter", "Storage controllers", [], []),
    "{4d36e96a-e325-11ce-bfc1-08002be10318}": ("hdc", "IDE ATA/ATAPI controllers", [], []),
    "{4d36e965-e325-11ce-bfc1-08002be10318}": ("CDROM", "DVD/CD-ROM drives", [], []),
    "{4d36e972-e325-11ce-bfc1-08002be10318}": ("Net", "Network adapters", [], []),
    "{4d36e97d-e325-11ce-bfc1-08002be10318}": ("System", "System devices", [], []),
}  # fmt: skip
_GROUPS = (
    "System Reserved", "EMS", "WdfLoadGroup", "Boot Bus Extender", "System Bus Extender", "SCSI miniport", "Port",
    "Primary Disk", "SCSI Class", "SCSI CDROM Class", "FSFilter Infrastructure", "FSFilter System",
    "FSFilter Bottom", "FSFilter Copy Protection", "FSFilter Security Enhancer", "FSFilter Open File",
    "FSFilter Physical Quota Management", "FSFilter Virtualization", "FSFilter Encryption", "FSFilter Compression",
    "FSFilter Imaging", "FSFilter HSM", "FSFilter Cluster File System", "FSFilter System Recovery",
    "FSFilter Quota Management", "FSFilter Content Screener", "FSFilter Continuous Backup", "FSFilter Replication",
    "FSFilter Anti-Virus", "FSFilter Undelete", "FSFilter Activity Monitor", "FSFilter Top", "Filter",
    "Boot File System", "Base", "Pointer Port", "Keyboard Port", "Pointer Class", "Keyboard Class", "Video Init",
    "Video", "Video Save", "File System", "Streams Drivers", "NDIS Wrapper", "COM Infrastructure", "Event Log",
    "ProfSvc_Group", "AudioGroup", "UIGroup", "MS_WindowsLocalValidation", "PlugPlay", "Cryptography", "PNP_TDI",
    "NDIS", "TDI", "iSCSI", "NetBIOSGroup", "ShellSvcGroup", "SchedulerGroup", "SpoolerGroup", "SmartCardGroup",
    "NetworkProvider", "MS_WindowsRemoteValidation", "NetDDEGroup", "Parallel arbitrator", "Extended Base",
    "PCI Configuration", "MS Transactions",
)  # fmt: skip


def put_control(machine: Machine, control: Key) -> None:
    """Write the key."""
    touched = filetime(machine.touched)
    gen1 = machine.generation == 1
    partition = "multi(0)disk(0)rdisk(0)partition(2)" if gen1 else "multi(0)disk(0)rdisk(0)partition(4)"
    control.values |= {
        "CurrentUser": sz("USERNAME"),
        "BootDriverFlags": dword(0),
        "DirtyShutdownCount": dword(sum(1 for session in machine.sessions if session.clean is False)),
        "EarlyStartServices": multi(
            ["RpcSs", "Power", "BrokerInfrastructure", "SystemEventsBroker", "DcomLaunch", "RpcEptMapper"]
        ),
        "FirmwareBootDevice": sz("multi(0)disk(0)rdisk(0)partition(1)"),
        "LastBootShutdown": dword(int(machine.crash is None)),
        "LastBootSucceeded": dword(1),
        "SystemBootDevice": sz(partition),
        "SystemStartOptions": sz(" NOEXECUTE=OPTOUT  NOVGA"),
        "WaitToKillServiceTimeout": sz("5000"),
    }
    control.set(
        "ComputerName\\ComputerName", {"": "mnmsrvc", "ComputerName": machine.host}, time=filetime(machine.installed)
    )
    control.set(
        "ProductOptions",
        {
            "ProductType": "ServerNT",
            "ProductSuite": multi(["Terminal Server", "DataCenter"]),
            "OSProductPfn": "Microsoft.Windows.8.x19-99481",
        },
    )
    control.set(
        "Windows",
        {
            "CSDBuildNumber": machine.ubr,
            "CSDReleaseType": 0,
            "CSDVersion": 0,
            "ComponentizedBuild": 1,
            "Directory": expand("%SystemRoot%"),
            "ErrorMode": 0,
            "FullProcessInformationSID": binary(bytes.fromhex("010600000000000550000000" + "00" * 20)),
            "NoInteractiveServices": 1,
            "ShellErrorMode": 1,
            "ShutdownTime": binary(struct.pack("<Q", filetime(machine.shutdown))),
            "SystemDirectory": expand("%SystemRoot%\\system32"),
        },
        time=filetime(machine.shutdown),
    )
    control.set(
        "CrashControl",
        {
            "AutoReboot": 1,
            "CrashDumpEnabled": 7,
            "DisplayParameters": 0,
            "DumpFile": expand("%SystemRoot%\\MEMORY.DMP"),
            "DumpFilters": multi(["dumpfve.sys"]),
            "DumpLogLevel": 0,
            "LogEvent": 1,
            "MinidumpDir": expand("%SystemRoot%\\Minidump"),
            "MinidumpsCount": 50,
            "Overwrite": 1,
        },
    )
    control.set(
        "TimeZoneInformation",
        {
            "ActiveTimeBias": -60 & 0xFFFFFFFF,
            "Bias": -60 & 0xFFFFFFFF,
            "DaylightBias": -60 & 0xFFFFFFFF,
            "DaylightName": "@tzres.dll,-321",
            "DaylightStart": binary(bytes.fromhex("00000300050002000000000000000000")),
            "DynamicDaylightTimeDisabled": 0,
            "StandardBias": 0,
            "StandardName": "@tzres.dll,-322",
            "StandardStart": binary(bytes.fromhex("00000a00050003000000000000000000")),
            "TimeZoneKeyName": "W. Europe Standard Time",
        },
    )
    manager = control.set(
        "Session Manager",
        {
            "AutoChkTimeout": 8,
            "BootExecute": multi(["autocheck autochk *"]),
            "CriticalSectionTimeout": 2592000,
            "ExcludeFromKnownDlls": multi([]),
            "NumberOfInitialSessions": 2,
            "ObjectDirectories": multi(["\\Windows", "\\RPC Control"]),
            "ProtectionMode": 1,
            "SETUPEXECUTE": multi([]),
        },
        time=touched,
    )
    manager.set(
        "Memory Management",
        {
            "ClearPageFileAtShutdown": 0,
            "ExistingPageFiles": multi(["\\??\\" + machine.page_file.replace("?:", "C:")]),
            "LargeSystemCache": 0,
            "PagedPoolSize": 0,
            "PagingFiles": multi([machine.page_file]),
            "PhysicalAddressExtension": 1,
        },
    )
    manager.set(
        "Environment",
        {
            "ComSpec": expand("%SystemRoot%\\system32\\cmd.exe"),
            "OS": "Windows_NT",
            "NUMBER_OF_PROCESSORS": "2",
            "PROCESSOR_ARCHITECTURE": "AMD64",
            "windir": expand("%SystemRoot%"),
            "Path": expand("%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem"),
        },
    )
    manager.set("Power", {"HiberbootEnabled": 0})
    control.set("Power", {"HibernateEnabled": 0, "CsEnabled": 0})
    control.set("ServiceGroupOrder", {"List": multi(_GROUPS)})
    control.set("Terminal Server", {"fDenyTSConnections": 0, "TSEnabled": 1})
    control.set(
        "Terminal Server\\WinStations\\RDP-Tcp",
        {
            "PortNumber": 3389,
            "UserAuthentication": 1,
            "LanAdapter": 0,
            "fEnableWinStation": 1,
            "MaxInstanceCount": 0xFFFFFFFF,
        },
    )
    control.set("SafeBoot\\Minimal\\sermouse.sys", {"": "Driver"})
    control.set("SafeBoot\\Minimal\\storflt", {"": "Driver"})
    control.set("Lsa", {"LmCompatibilityLevel": 3, "Security Packages": multi(['""']), "ProductType": 7})
    control.set("Nls\\CodePage", {"ACP": "1252", "OEMCP": "850"})
    control.set("SecureBoot", {"AvailableUpdates": 0})
    for guid, (name, text, upper, lower) in _CLASSES.items():
        key = control.set(f"Class\\{guid}", {"": text, "Class": name})
        if upper:
            key.values["UpperFilters"] = multi(upper)
        if lower:
            key.values["LowerFilters"] = multi(lower)
