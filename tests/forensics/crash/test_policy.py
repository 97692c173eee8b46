from __future__ import annotations

import pytest

from forensics.crash import policy
from forensics.crash.policy import FRAMEWORKS, blame_order, policy_of


def test_every_row_has_a_reason_and_a_lower_case_name() -> None:
    for name, (_kind, reason) in policy._TABLE.items():
        assert name == name.lower()
        assert len(reason) > 8


def test_every_framework_is_passed_over() -> None:
    assert all(policy_of(name).kind == "last" for name in FRAMEWORKS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ntoskrnl.exe", "ignore"),
        ("NTOSKRNL.EXE", "ignore"),
        ("dump_storport.sys", "ignore"),
        ("hiber_stornvme.sys", "ignore"),
        ("mcupdate_GenuineIntel.dll", "ignore"),
        ("WDF01000.sys", "last"),
        ("win32kbase.sys", "last"),
        ("dxgmms2.sys", "last"),
        ("vmstorfl.sys", "maybe"),
        ("storvsc.sys", "maybe"),
        ("nvlddmkm.sys", "normal"),
        ("iaStorAC.sys", "normal"),
    ],
)
def test_modules_have_their_class(name: str, kind: str) -> None:
    assert policy_of(name).kind == kind


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("ignore", "ntoskrnl.exe ntkrnlmp.exe hal.dll kdcom.dll ci.dll"),
        (
            "last",
            "ntfs.sys fltmgr.sys tcpip.sys ndis.sys netio.sys fwpkclnt.sys win32k.sys win32kfull.sys dxgkrnl.sys "
            "dxgmms1.sys watchdog.sys storport.sys classpnp.sys disk.sys partmgr.sys volmgr.sys acpi.sys pci.sys "
            "Wdf01000.sys ks.sys portcls.sys usbport.sys USBXHCI.sys UsbHub3.sys ucx01000.sys vmbus.sys winhvr.sys",
        ),
        (
            "maybe",
            "stornvme.sys storahci.sys storvsc.sys netvsc.sys vmstorfl.sys mrxsmb.sys mrxsmb20.sys srv2.sys http.sys "
            "amdppm.sys intelppm.sys",
        ),
    ],
)
def test_the_modules_that_everybody_meets_are_in_the_table(kind: str, names: str) -> None:
    assert {name: policy_of(name).kind for name in names.split()} == dict.fromkeys(names.split(), kind)


@pytest.mark.parametrize(
    "name",
    ["storport.sys", "scsiport.sys", "ataport.sys", "ndis.sys", "tcpip.sys", "netio.sys", "fwpkclnt.sys", "usbport.sys",
     "USBXHCI.SYS", "UsbHub3.sys", "ucx01000.sys", "ks.sys", "portcls.sys", "fltmgr.sys", "dxgkrnl.sys", "dxgmms2.sys",
     "watchdog.sys", "Wdf01000.sys"],
)  # fmt: skip
def test_what_runs_others_on_the_stack_passes_the_blame(name: str) -> None:
    assert name.lower() in FRAMEWORKS


def test_the_order_of_blame_is_normal_maybe_last_ignore() -> None:
    assert [blame_order(kind) for kind in ("normal", "maybe", "last", "ignore")] == [0, 1, 2, 3]
