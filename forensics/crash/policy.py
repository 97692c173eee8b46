"""Which modules may be blamed, and which only carry others: our own table, with the reason of each row.

Four classes: `ignore` (never blamed from a stack), `last` (only when nothing else is there: code that runs on behalf
of others), `maybe` (a driver of Windows with faults of its own: a third-party driver beside it is likelier), `normal`
(everything else). The idea of ordered owners is the public part of how the vendor's debugger chooses
(MicrosoftDocs/windows-driver-docs: specifying-module-and-function-owners.md); the rows are ours.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["FRAMEWORKS", "ModuleClass", "Policy", "blame_order", "policy_of"]

ModuleClass = Literal["ignore", "last", "maybe", "normal"]


class Policy(NamedTuple):
    """What the table says of a module."""

    kind: ModuleClass
    reason: str


_KERNEL = "the kernel: it runs everybody's requests, and stops the machine when it finds their damage"
_STORAGE_CLASS = "a class driver of Windows: it passes requests on to the port driver and the device below"
_NETWORK = "the network stack of Windows: it runs callouts and miniports of others"
_GRAPHICS = "the graphics kernel of Windows: it runs the display driver"
_USB = "the USB stack of Windows: it carries the function drivers' requests"

#: name, or beginning of a name ending in "*" -> class and reason.
_TABLE: dict[str, tuple[ModuleClass, str]] = {
    # never from a stack
    "ntoskrnl.exe": ("ignore", _KERNEL),
    "ntkrnlmp.exe": ("ignore", _KERNEL),
    "ntkrnlpa.exe": ("ignore", _KERNEL),
    "ntkrpamp.exe": ("ignore", _KERNEL),
    "ntkrla57.exe": ("ignore", _KERNEL),
    "hal.dll": ("ignore", "the hardware abstraction layer: it is on every interrupt's stack"),
    "halmacpi.dll": ("ignore", "the hardware abstraction layer: it is on every interrupt's stack"),
    "kdcom.dll": ("ignore", "debugger transport: it only runs when a debugger is asked"),
    "kd.dll": ("ignore", "debugger transport: it only runs when a debugger is asked"),
    "ci.dll": ("ignore", "code integrity: it only checks other images"),
    "bootvid.dll": ("ignore", "draws the boot screen"),
    "mcupdate*": ("ignore", "processor microcode"),
    "verifier.dll": ("ignore", "Driver Verifier: it reports others"),
    "verifierext.sys": ("ignore", "Driver Verifier: it reports others"),
    "pshed.dll": ("ignore", "platform error reporting: it reports the hardware"),
    "dump_*": ("ignore", "the copy of the storage stack that writes the dump"),
    "hiber_*": ("ignore", "the copy of the storage stack that writes the hibernation file"),
    "clipsp.sys": ("last", "licensing of Windows: obfuscated code that runs in many threads"),
    "werkernel.sys": ("ignore", "error reporting: it writes live dumps"),
    "crashdmp.sys": ("ignore", "writes the dump"),
    "dumpfve.sys": ("ignore", "encrypts the dump"),
    "ntdll.dll": ("ignore", "user-mode code of Windows"),
    # frameworks and stacks of Windows
    "wdf01000.sys": ("last", "the driver framework: it calls its clients' code and acts on their handles"),
    "wudfrd.sys": ("last", "the reflector of user-mode drivers"),
    "wdfldr.sys": ("last", "loads the driver framework"),
    "ntfs.sys": ("last", "the file system: it finds the damage that storage, filters or memory did"),
    "refs.sys": ("last", "the file system: it finds the damage that storage, filters or memory did"),
    "refsv1.sys": ("last", "the file system: it finds the damage that storage, filters or memory did"),
    "fastfat.sys": ("last", "the file system: it finds the damage that storage, filters or memory did"),
    "exfat.sys": ("last", "the file system: it finds the damage that storage, filters or memory did"),
    "fltmgr.sys": ("last", "the filter manager: it runs minifilters of others"),
    "fileinfo.sys": ("last", "a minifilter of Windows that every file operation passes"),
    "wof.sys": ("last", "a minifilter of Windows that every file operation passes"),
    "fvevol.sys": ("last", "volume encryption of Windows: every disk request passes it"),
    "rdyboost.sys": ("last", "a volume filter that every disk request passes"),
    "volsnap.sys": ("last", "a volume filter that every disk request passes"),
    "volume.sys": ("last", _STORAGE_CLASS),
    "volmgr.sys": ("last", _STORAGE_CLASS),
    "volmgrx.sys": ("last", _STORAGE_CLASS),
    "mountmgr.sys": ("last", _STORAGE_CLASS),
    "partmgr.sys": ("last", _STORAGE_CLASS),
    "disk.sys": ("last", _STORAGE_CLASS),
    "cdrom.sys": ("last", _STORAGE_CLASS),
    "classpnp.sys": ("last", _STORAGE_CLASS),
    "storport.sys": ("last", "the storage port: it runs the miniport driver of the controller"),
    "scsiport.sys": ("last", "the storage port: it runs the miniport driver of the controller"),
    "ataport.sys": ("last", "the storage port: it runs the miniport driver of the controller"),
    "acpi.sys": ("last", "the ACPI driver: it runs the firmware's tables and filters many devices"),
    "acpiex.sys": ("last", "the ACPI driver: it runs the firmware's tables and filters many devices"),
    "pci.sys": ("last", "the PCI bus driver: it owns every device's power and start requests"),
    "msisadrv.sys": ("last", "a bus driver of Windows"),
    "pdc.sys": ("last", "the power dependency coordinator: it waits for others"),
    "cng.sys": ("last", "cryptography for others"),
    "ksecdd.sys": ("last", "security support for others"),
    "tcpip.sys": ("last", _NETWORK),
    "ndis.sys": ("last", _NETWORK),
    "netio.sys": ("last", _NETWORK),
    "fwpkclnt.sys": ("last", _NETWORK),
    "afd.sys": ("last", _NETWORK),
    "tdx.sys": ("last", _NETWORK),
    "nsiproxy.sys": ("last", _NETWORK),
    "pacer.sys": ("last", _NETWORK),
    "wfplwfs.sys": ("last", _NETWORK),
    "vmswitch.sys": ("maybe", "the virtual switch of Hyper-V"),
    "nwifi.sys": ("last", "the wireless stack of Windows: it runs the miniport driver"),
    "wdiwifi.sys": ("last", "the wireless stack of Windows: it runs the miniport driver"),
    "netadaptercx.sys": ("last", "the network class extension: it runs its client drivers"),
    "win32k*": ("last", "the window manager: it runs on behalf of user processes and the display driver"),
    "cdd.dll": ("last", _GRAPHICS),
    "dxgkrnl.sys": ("last", _GRAPHICS),
    "dxgmms*": ("last", _GRAPHICS),
    "watchdog.sys": ("last", _GRAPHICS),
    "videoprt.sys": ("last", _GRAPHICS),
    "basicdisplay.sys": ("last", "the display driver of last resort"),
    "basicrender.sys": ("last", "the software renderer"),
    "ks.sys": ("last", "the streaming framework: it runs audio and video minidrivers"),
    "portcls.sys": ("last", "the audio port class: it runs the audio adapter's driver"),
    "hdaudbus.sys": ("last", "the audio bus driver of Windows"),
    "usbport.sys": ("last", _USB),
    "usbhub.sys": ("last", _USB),
    "usbhub3.sys": ("last", _USB),
    "usbxhci.sys": ("last", _USB),
    "usbehci.sys": ("last", _USB),
    "usbccgp.sys": ("last", _USB),
    "ucx01000.sys": ("last", _USB),
    "usbd.sys": ("last", _USB),
    "hidclass.sys": ("last", "the HID class driver: it runs its minidrivers"),
    "kbdclass.sys": ("last", "a class driver of Windows"),
    "mouclass.sys": ("last", "a class driver of Windows"),
    "bthport.sys": ("last", "the Bluetooth port driver: it runs transports of others"),
    "vmbus.sys": ("last", "the Hyper-V bus: it carries the integration drivers' requests"),
    "vmbkmcl.sys": ("last", "channel library of the Hyper-V bus"),
    "vmbkmclr.sys": ("last", "channel library of the Hyper-V bus"),
    "winhv.sys": ("last", "calls to the hypervisor for others"),
    "winhvr.sys": ("last", "calls to the hypervisor for others"),
    "hvservice.sys": ("last", "calls to the hypervisor for others"),
    "msrpc.sys": ("last", "remote procedure calls for others"),
    "wmilib.sys": ("last", "a library of Windows"),
    "clfs.sys": ("last", "the log file system: it finds damage in logs of others"),
    "tm.sys": ("last", "the transaction manager: it works for others"),
    # drivers of Windows that have faults of their own
    "vmstorfl.sys": ("maybe", "the Hyper-V storage filter of Windows"),
    "storvsc.sys": ("maybe", "the Hyper-V storage driver of Windows"),
    "netvsc.sys": ("maybe", "the Hyper-V network driver of Windows"),
    "vpci.sys": ("maybe", "the Hyper-V PCI driver of Windows"),
    "stornvme.sys": ("maybe", "the NVMe driver of Windows; firmware and the device are as likely"),
    "storahci.sys": ("maybe", "the SATA driver of Windows; firmware and the device are as likely"),
    "spaceport.sys": ("maybe", "storage spaces of Windows"),
    "mrxsmb*": ("maybe", "the SMB client of Windows"),
    "srv2.sys": ("maybe", "the SMB server of Windows"),
    "srvnet.sys": ("maybe", "the SMB server of Windows"),
    "rdbss.sys": ("maybe", "the network redirector library of Windows"),
    "http.sys": ("maybe", "the HTTP server of Windows"),
    "dfsc.sys": ("maybe", "the DFS client of Windows"),
    "mpio.sys": ("maybe", "multipath I/O of Windows; the vendor's DSM is as likely"),
    "clusdisk.sys": ("maybe", "the cluster disk driver of Windows"),
    "clusport.sys": ("maybe", "the cluster storage driver of Windows"),
    "csvfs.sys": ("maybe", "the cluster file system of Windows"),
    "csvflt.sys": ("maybe", "the cluster volume filter of Windows"),
    "amdppm.sys": ("maybe", "the AMD processor driver of Windows; firmware (ACPI) and the processor are as likely"),
    "intelppm.sys": ("maybe", "the Intel processor driver of Windows; firmware (ACPI) and the processor are as likely"),
    "processr.sys": ("maybe", "the processor driver of Windows; firmware and the processor are as likely"),
    "wdfilter.sys": ("maybe", "the file filter of Microsoft Defender: it is on many stacks only because it filters"),
    "wdnisdrv.sys": ("maybe", "the network filter of Microsoft Defender"),
    "luafv.sys": ("maybe", "a minifilter of Windows"),
    "cldflt.sys": ("maybe", "the cloud files minifilter of Windows"),
    "bindflt.sys": ("maybe", "the bind minifilter of Windows"),
    "wcifs.sys": ("maybe", "the container minifilter of Windows"),
    "usbstor.sys": ("maybe", "the USB storage driver of Windows; the device is as likely"),
    "uaspstor.sys": ("maybe", "the USB storage driver of Windows; the device is as likely"),
    "hdaudio.sys": ("maybe", "the HD audio driver of Windows"),
    "usbaudio.sys": ("maybe", "the USB audio driver of Windows; the device is as likely"),
    "bthusb.sys": ("maybe", "the Bluetooth USB driver of Windows; the device is as likely"),
    "vwifimp.sys": ("maybe", "the virtual Wi-Fi miniport of Windows"),
    "rasl2tp.sys": ("maybe", "a VPN driver of Windows"),
}
_PREFIXES = tuple((name[:-1], row) for name, row in _TABLE.items() if name.endswith("*"))
_NORMAL = Policy("normal", "not in the table of modules that carry others")

#: Frameworks whose clients stand right beside them on the stack, with what a client is called there.
FRAMEWORKS: dict[str, str] = {
    "wdf01000.sys": "client driver",
    "wudfrd.sys": "client driver",
    "storport.sys": "miniport",
    "scsiport.sys": "miniport",
    "ataport.sys": "miniport",
    "ndis.sys": "miniport, filter or protocol",
    "netio.sys": "callout driver",
    "fwpkclnt.sys": "callout driver",
    "fltmgr.sys": "minifilter",
    "ks.sys": "minidriver",
    "portcls.sys": "adapter driver",
    "tcpip.sys": "callout driver",
    "usbport.sys": "client driver",
    "usbhub.sys": "client driver",
    "usbhub3.sys": "client driver",
    "usbxhci.sys": "client driver",
    "usbehci.sys": "client driver",
    "usbccgp.sys": "client driver",
    "ucx01000.sys": "client driver",
    "hidclass.sys": "minidriver",
    "dxgkrnl.sys": "display driver",
    "dxgmms1.sys": "display driver",
    "dxgmms2.sys": "display driver",
    "watchdog.sys": "display driver",
    "videoprt.sys": "display driver",
    "nwifi.sys": "miniport",
    "wdiwifi.sys": "miniport",
    "netadaptercx.sys": "client driver",
    "bthport.sys": "transport driver",
}

_ORDER: dict[ModuleClass, int] = {"normal": 0, "maybe": 1, "last": 2, "ignore": 3}


def policy_of(name: str) -> Policy:
    """Return class and reason of a module by its base name."""
    lower = name.lower()
    row = _TABLE.get(lower)
    if row is None:
        row = next((row for prefix, row in _PREFIXES if lower.startswith(prefix)), None)
    return _NORMAL if row is None else Policy(*row)


def blame_order(kind: ModuleClass) -> int:
    """Return 0 for the class that is blamed first, 3 for the one that never is."""
    return _ORDER[kind]
