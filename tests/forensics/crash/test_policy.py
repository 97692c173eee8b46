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


def test_the_order_of_blame_is_normal_maybe_last_ignore() -> None:
    assert [blame_order(kind) for kind in ("normal", "maybe", "last", "ignore")] == [0, 1, 2, 3]
