"""`boot`, `storage`, `security`: states of the machine that are one map each.

Fields that no collector gives yet stand in the facts' gaps ("not collected"), so they are unknown.
"""

from __future__ import annotations

from signatures.kinds import DATE_TIME, INTEGER, PATH, TEXT, VERSION, enum_of
from signatures.predicates.base import Field, flag
from signatures.predicates.family import MapFamily

__all__ = ["BOOT", "SECURITY", "STORAGE"]

BOOT = MapFamily(
    name="boot",
    section="boot",
    noun="boot",
    fields={
        "firmware": Field(enum_of("bios", "uefi"), "firmware"),
        "bcd": Field(enum_of("ok", "missing", "damaged"), "boot configuration"),
        "default_device": Field(enum_of("ok", "other", "unknown", "missing"), "default device"),
        "option": Field(TEXT, "boot option", listed="any"),
        "progress": Field(enum_of("never", "loader", "kernel", "drivers", "session", "logon"), "progress"),
        "last_boot": Field(DATE_TIME, "last boot"),
        "driver_missing": Field(TEXT, "missing boot-start driver", listed="any"),
        "safe_mode": flag("safe mode"),
        "recovery_sequence": flag("recovery sequence"),
        "pending_operations": Field(INTEGER, "number of pending file operations"),
        "pending_xml": flag("pending.xml of servicing"),
        "sessions_pending": Field(INTEGER, "number of open servicing sessions"),
        "reboot_pending": flag("servicing waits for a reboot"),
        "hypervisor_launch": Field(enum_of("auto", "off"), "hypervisor launch"),
        "hibernation": Field(enum_of("none", "hibernated", "resumed"), "hibernation"),
    },
)

STORAGE = MapFamily(
    name="storage",
    section="storage",
    noun="storage",
    fields={
        "controller": Field(TEXT, "controller", listed="any"),
        "disks": Field(INTEGER, "number of disks"),
        "bus": Field(TEXT, "bus"),
        "partition_style": Field(enum_of("mbr", "gpt"), "partition style"),
        "bitlocker": Field(enum_of("off", "on", "suspended", "unknown"), "BitLocker"),
        "free_bytes": Field(INTEGER, "free bytes"),
        "dirty": flag("dirty"),
        "volume": Field(TEXT, "volume"),
        "pool": Field(TEXT, "storage pool"),
        "san_policy": Field(TEXT, "SAN policy"),
        "vhd_chain": Field(INTEGER, "length of the chain of virtual disks"),
    },
)

SECURITY = MapFamily(
    name="security",
    section="security",
    noun="security",
    fields={
        "product": Field(TEXT, "security product", listed="any"),
        "vendor": Field(TEXT, "vendor"),
        "version": Field(VERSION, "version"),
        "secure_boot": Field(enum_of("on", "off"), "Secure Boot"),
        "hvci": Field(enum_of("on", "off"), "memory integrity"),
        "credential_guard": Field(enum_of("on", "off"), "Credential Guard"),
        "lsa_ppl": Field(enum_of("on", "off"), "LSA protection"),
        "sbat": Field(TEXT, "SBAT level"),
        "channel_file": Field(PATH, "channel file"),
    },
)
