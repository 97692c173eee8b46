"""The keys of a machine's services."""

from __future__ import annotations

from samples.hive import Key, dword, expand, multi, sz
from samples.machine import Machine
from samples.services import Service, load

__all__ = ["put_services"]

_ALTITUDES = {
    "FileInfo": ("FileInfo", "40500"), "Wof": ("Wof", "40700"), "luafv": ("luafv", "135000"),
    "FileCrypt": ("FileCrypt Instance", "141100"), "storqosflt": ("storqosflt", "244000"),
    "CldFlt": ("CldFlt", "180451"), "WdFilter": ("WdFilter Instance", "328010"), "wcifs": ("wcifs Instance", "189900"),
    "npsvctrig": ("npsvctrig", "46000"), "MsSecFlt": ("MsSecFlt Instance", "385600"),
}  # fmt: skip
_DISPLAY = {
    "storflt": "@wstorflt.inf,%service_desc%;Microsoft Hyper-V Storage Accelerator",
    "storvsc": "@wstorvsc.inf,%storvsc.SVCDESC%;Microsoft Hyper-V Storage Controller",
    "vmbus": "@wvmbus.inf,%vmbus.SVCDESC%;Virtual Machine Bus",
    "Wdf01000": "@%SystemRoot%\\system32\\drivers\\Wdf01000.sys,-1000",
    "disk": "@disk.inf,%disk_ServiceDesc%;Disk Driver",
    "partmgr": "@%SystemRoot%\\system32\\drivers\\partmgr.sys,-100",
    "Tcpip": "@%SystemRoot%\\system32\\tcpipcfg.dll,-50003",
    "Dhcp": "@%SystemRoot%\\system32\\dhcpcore.dll,-100",
    "EventLog": "@%SystemRoot%\\system32\\wevtsvc.dll,-200",
    "TermService": "@%SystemRoot%\\System32\\termsrv.dll,-268",
}
_OWNERS = {"storflt": ["wstorflt.inf"], "storvsc": ["wstorvsc.inf"], "vmbus": ["wvmbus.inf"], "disk": ["disk.inf"]}


def _service(services: Key, service: Service) -> None:
    key = services.at(service.name)
    key.values |= {"Type": dword(service.type), "Start": dword(service.start), "ErrorControl": dword(service.error)}
    if service.image:
        key.values["ImagePath"] = expand(service.image)
    if service.group:
        key.values["Group"] = sz(service.group)
    if service.tag is not None:
        key.values["Tag"] = dword(service.tag)
    if service.depends:
        key.values["DependOnService"] = multi(service.depends)
    if not service.is_driver:
        account = "LocalSystem"
        if "LocalService" in service.image:
            account = "NT AUTHORITY\\LocalService"
        elif "NetworkService" in service.image:
            account = "NT AUTHORITY\\NetworkService"
        key.values["ObjectName"] = sz(account)
    key.values["DisplayName"] = sz(_DISPLAY.get(service.name, service.name))
    if service.name in _OWNERS:
        key.values["Owners"] = multi(_OWNERS[service.name])
    if service.override is not None:
        key.set("StartOverride", {"0": service.override})
    if service.name in _ALTITUDES:
        instance, altitude = _ALTITUDES[service.name]
        key.set("Instances", {"DefaultInstance": instance})
        key.set(f"Instances\\{instance}", {"Altitude": altitude, "Flags": 0})


def _parameters(machine: Machine, services: Key) -> None:
    services.set(
        "Tcpip\\Parameters",
        {
            "Hostname": machine.host,
            "NV Hostname": machine.host,
            "Domain": machine.domain,
            "NV Domain": machine.domain,
            "DataBasePath": expand("%SystemRoot%\\System32\\drivers\\etc"),
            "IPEnableRouter": 0,
        },
    )
    # Servers keep disks of a shared bus offline until told otherwise.
    services.set("partmgr\\Parameters", {"SanPolicy": 2})
    services.set("mountmgr", {"NoAutoMount": 0})
    services.set(
        "EventLog\\System", {"File": expand("%SystemRoot%\\System32\\winevt\\Logs\\System.evtx"), "MaxSize": 20971520}
    )
    services.set("LanmanServer\\Parameters", {"EnableAuthenticateUserSharing": 0, "SMB1": 0})
    services.set("Netlogon\\Parameters", {"DisablePasswordChange": 0, "MaximumPasswordAge": 30})
    services.set("W32Time\\TimeProviders\\VMICTimeProvider", {"Enabled": 1, "InputProvider": 1})


def put_services(machine: Machine, services: Key) -> None:
    """Write the key of every service and of what is kept below some."""
    for service in load():
        _service(services, service)
    _parameters(machine, services)
