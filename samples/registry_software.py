"""The SOFTWARE hive of a machine."""

from __future__ import annotations

import uuid

from samples.hive import Key, expand, qword, sz, write_hive
from samples.machine import Machine
from samples.times import filetime, unix

__all__ = ["software_hive"]


def _packages(machine: Machine, servicing: Key) -> None:
    packages = servicing.at("Packages")
    for update in machine.updates:
        moment = filetime(update.installed)
        packages.set(
            update.package,
            {
                "CurrentState": update.state,
                "InstallClient": "UpdateAgentLCU" if "RollupFix" in update.package else "WindowsUpdateAgent",
                "InstallLocation": "\\\\?\\C:\\Windows\\CbsTemp\\",
                "InstallName": f"{update.package}.mum",
                "InstallTimeHigh": moment >> 32,
                "InstallTimeLow": moment & 0xFFFFFFFF,
                "InstallUser": "S-1-5-18",
                "SelfUpdate": 0,
                "Visibility": 1,
            },
            time=moment,
        )
    servicing.set(
        "SessionsPending", {"Exclusive": 0, "TotalSessionPhases": 0}, time=filetime(machine.updates[-1].installed)
    )


def software_hive(machine: Machine, *, sequence: tuple[int, int] = (212, 212)) -> bytes:
    """Return the SOFTWARE hive."""
    root = Key(time=filetime(machine.touched))
    level = max(update.installed for update in machine.updates)
    root.set(
        "Microsoft\\Windows NT\\CurrentVersion",
        {
            "BaseBuildRevisionNumber": 1,
            "BuildBranch": machine.lab.split(".")[3],
            "BuildGUID": "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "BuildLab": ".".join((machine.lab.split(".")[0], *machine.lab.split(".")[3:])),
            "BuildLabEx": machine.lab,
            "CompositionEditionID": "ServerDatacenter",
            "CurrentBuild": str(machine.build),
            "CurrentBuildNumber": str(machine.build),
            "CurrentMajorVersionNumber": 10,
            "CurrentMinorVersionNumber": 0,
            "CurrentType": "Multiprocessor Free",
            "CurrentVersion": "6.3",
            "EditionID": "ServerDatacenter",
            "EditionSubManufacturer": "",
            "EditionSubstring": "",
            "EditionSubVersion": "",
            "InstallationType": "Server",
            "InstallDate": unix(machine.installed),
            "InstallTime": qword(filetime(machine.installed)),
            "PathName": "C:\\Windows",
            "ProductName": machine.product,
            "RegisteredOrganization": "",
            "RegisteredOwner": "Windows User",
            "ReleaseId": machine.release,
            "SoftwareType": "System",
            "SystemRoot": "C:\\Windows",
            "UBR": machine.ubr,
        },
        time=filetime(level),
    )
    _packages(machine, root.at("Microsoft\\Windows\\CurrentVersion\\Component Based Servicing"))
    current = root.at("Microsoft\\Windows\\CurrentVersion")
    current.values |= {
        "ProgramFilesDir": sz("C:\\Program Files"),
        "CommonFilesDir": sz("C:\\Program Files\\Common Files"),
    }
    current.set("Setup\\State", {"ImageState": "IMAGE_STATE_COMPLETE"})
    current.set("WindowsUpdate\\Auto Update", {"AcceleratedInstallRequired": 0})
    current.set("Policies\\System", {"EnableLUA": 1, "ConsentPromptBehaviorAdmin": 5})
    root.set(
        "Microsoft\\Windows\\Windows Error Reporting",
        {"MachineID": str(uuid.uuid5(uuid.NAMESPACE_DNS, machine.host)).upper()},
    )
    root.set(
        "Microsoft\\Virtual Machine\\Guest\\Parameters",
        {
            "HostName": "hv-fra-07.corp.example",
            "PhysicalHostName": "HV-FRA-07",
            "PhysicalHostNameFullyQualified": "hv-fra-07.corp.example",
            "VirtualMachineName": machine.virtual_name,
        },
    )
    root.set(
        "Microsoft\\Windows NT\\CurrentVersion\\ProfileList",
        {"ProfilesDirectory": expand("%SystemDrive%\\Users"), "Default": expand("%SystemDrive%\\Users\\Default")},
    )
    root.set(
        "Microsoft\\Windows NT\\CurrentVersion\\Winlogon",
        {
            "Shell": "explorer.exe",
            "Userinit": "C:\\Windows\\system32\\userinit.exe,",
            "DefaultDomainName": machine.domain,
        },
    )
    return write_hive(
        root,
        "ROOT",
        time=filetime(machine.installed),
        file_name="\\SystemRoot\\System32\\Config\\SOFTWARE",
        sequence=sequence,
    )
