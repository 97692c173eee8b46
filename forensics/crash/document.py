"""What was found, as the facts document writes it: one function for each part of a crash."""

from __future__ import annotations

from typing import Any

from forensics.crash.bugchecks import describe
from forensics.crash.case import CrashCase
from forensics.crash.context import CrashContext
from forensics.crash.entry import BugCheckCall
from forensics.crash.evidence import Evidence
from forensics.crash.fit import Fit
from forensics.crash.live import live_because
from forensics.crash.ntstatus import describe_status
from forensics.crash.stack import Frame, StackWalker
from forensics.crash.symbols import name_of
from forensics.crash.system_state import in_safe_mode, verifier_is_on
from forensics.facts import (
    BugCheckDict,
    CrashDict,
    DumpDict,
    FitDict,
    FrameDict,
    ModuleDict,
    UnloadedDict,
    Where,
    filetime_to_iso,
    hex64,
)
from parsers.dump.header import Attributes
from parsers.dump.modules import UnloadedDriver
from parsers.dump.open import Dump
from parsers.dump.secondary_names import secondary_name
from parsers.errors import ReadError

__all__ = [
    "bugcheck_dict", "context_dict", "dump_dict", "fit_dict", "frame_dict", "mark_live", "module_dict",
    "system_dict", "take_live", "take_times", "unloaded_dict",
]  # fmt: skip

#: Blobs of secondary data that the document lists (real dumps hold at most 42).
_MAX_STREAMS = 128
_TICKS = 10_000_000
#: Bits of Attributes that a reader wants to know of, in words. Source: Microsoft mindumpdef.h.
_TRAITS = (
    (Attributes.ENCRYPTED, "encrypted"),
    (Attributes.DECRYPTED, "decrypted"),
    (Attributes.FILTERED, "active"),
    (Attributes.LIVE_DUMP, "live"),
    (Attributes.HIBER_CRASH, "crash in hibernation"),
    (Attributes.EARLY_BOOT_CRASH, "early boot"),
    (Attributes.GENERATED_OFFLINE, "made offline"),
    (Attributes.INSUFFICIENT_DUMPFILE_SIZE, "page file too small"),
)
_PRODUCT = {1: "workstation", 2: "domain-controller", 3: "server"}


def dump_dict(dump: Dump, path: str, where: Where) -> DumpDict:
    """Return what is known of the file itself."""
    made: DumpDict = {
        "path": path,
        "kind": dump.kind,
        "size": dump.source.size,
        "complete": dump.complete,
        "where": where,
    }
    if dump.packed is not None:
        made["archive"] = dump.packed.kind
        if dump.packed.member:
            made["member"] = dump.packed.member
    if dump.header.comment:
        made["comment"] = dump.header.comment
    if dump.header.writer_message:
        made["writer"] = dump.header.writer_message
    if dump.header.attributes is not None:
        made["attributes"] = hex64(dump.header.attributes)
    traits = [word for bit, word in _TRAITS if dump.header.has_attribute(bit)]
    if traits:
        made["traits"] = traits
    streams = [
        {"tag": blob.tag, "name": secondary_name(blob.tag), "size": blob.size}
        for blob in dump.secondary()[:_MAX_STREAMS]
    ]
    if streams:
        made["streams"] = streams
    if dump.header.dump_type is not None:
        made["type"] = int(dump.header.dump_type)
    return made


def bugcheck_dict(code_raw: int, parameters: tuple[int | None, ...]) -> BugCheckDict:
    """Return the stop code with the meaning of its parameters."""
    info = describe(code_raw, parameters)
    made: BugCheckDict = {
        "code": hex64(info.code),
        "code_raw": hex64(code_raw),
        "name": info.name or "undocumented bug check",
        "parameters": [
            {"value": hex64(value or 0), "meaning": row.meaning}
            for value, row in zip(parameters, info.parameters, strict=True)
        ],
    }
    if info.case:
        made["case"] = info.case
    return made


def system_dict(dump: Dump) -> dict[str, Any]:
    """Return what the header tells of the system; the update revision is in no dump before build 26100."""
    header = dump.header
    found: dict[str, Any] = {}
    if header.minor_version is not None:
        found["kernel_build"] = header.minor_version
    if dump.reported_build is not None:
        found["build"] = dump.reported_build
    if header.build_revision is not None:
        found["ubr"] = header.build_revision
    if header.product_type is not None and header.product_type in _PRODUCT:
        found["product"] = _PRODUCT[header.product_type]
    if header.major_version == 0xC:
        found["checked"] = True
    if header.suite_mask is not None:
        found["suite_mask"] = hex64(header.suite_mask)
    if in_safe_mode(dump):
        found["safe_mode"] = True
    if verifier_is_on(dump):
        found["verifier"] = True
    lab = _build_lab(dump)
    if lab:
        found["lab"] = lab
    return found


def _build_lab(dump: Dump) -> str:
    """Return the kernel's own text of its build ("19041.1.amd64fre.vb_release.191206-1406"), "" when it is absent."""
    address = dump.kdbg.value("NtBuildLab") if dump.kdbg is not None else None
    if address is None:
        return ""
    try:
        raw = dump.memory.read_available(address, 64).partition(b"\0")[0]
    except ReadError:
        return ""
    text = raw.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and text[:1].isdigit() else ""


def take_times(crash: CrashDict, dump: Dump) -> None:
    """Put the time of the crash, the uptime and the time of the boot into a crash, as far as they are sane."""
    header = dump.header
    time = filetime_to_iso(header.system_time) if header.system_time else None
    if time is not None:
        crash["time"] = time
    if header.system_up_time is None or header.system_up_time >> 56:
        return
    crash["uptime_s"] = round(header.system_up_time / _TICKS, 3)
    if header.system_time and time is not None and header.system_up_time < header.system_time:
        booted = filetime_to_iso(header.system_time - header.system_up_time)
        if booted is not None:
            crash["booted_at"] = booted


def take_live(crash: CrashDict, dump: Dump) -> None:
    """Mark a crash as a live report where the dump itself says so: by Attributes, or by the code."""
    if live_because(dump.header) is not None:
        mark_live(crash)


def mark_live(crash: CrashDict) -> None:
    """Say that Windows wrote this dump without stopping: it is no crash, and so never the latest one."""
    crash["live"], crash["latest"] = True, False
    crash["latest_because"] = "it is a live report: Windows wrote it and ran on"


def context_dict(
    evidence: Evidence, context: CrashContext, case: CrashCase, call: BugCheckCall | None
) -> dict[str, Any]:
    """Return the registers that the crash shows, where they came from and what speaks for them."""
    found: dict[str, Any] = {
        "ip": hex64(context.ip),
        "sp": hex64(context.sp),
        "place": evidence.modules.label(context.ip),
        "fault": context.is_fault,
        "origin": context.origin,
        "where": context.where,
        "registers": {name: hex64(value) for name, value in context.registers.items()},
        "checks": list(context.checks) if context.is_fault else list(call.checks) if call is not None else [],
    }
    if context.address is not None:
        found["address"] = hex64(context.address)
    if context.file_offset is not None:
        found["file_offset"] = context.file_offset
    if context.flags is not None:
        found["flags"] = hex64(context.flags)
    if context.fault_address is not None:
        found["fault_address"] = hex64(context.fault_address)
    if context.syndrome is not None and context.syndrome.value:
        found["esr"] = {"value": hex64(context.syndrome.value), "means": context.syndrome.words}
    if evidence.cr2 is not None:
        found["cr2"] = hex64(evidence.cr2)
    data = evidence.code_bytes(context.ip, 16)
    if data:
        found["code"] = data.hex(" ")
    if case.fit is not None and case.fit.instruction is not None and context is case.fault:
        found["instruction"] = case.fit.instruction.text
    if case.record is not None:
        address, record = case.record
        found["exception"] = {
            "at": hex64(address),
            "code": describe_status(record.code),
            "address": hex64(record.address),
            "information": [hex64(value) for value in record.information],
        }
    return found


def fit_dict(fit: Fit) -> FitDict:
    """Return what the instruction says of the fault."""
    made: FitDict = {
        "verdict": fit.verdict,
        "agrees": list(fit.agrees),
        "doubts": list(fit.doubts),
        "misfits": [misfit.text for misfit in fit.misfits],
    }
    instruction = fit.instruction
    if instruction is not None:
        made["instruction"] = instruction.text
        made["code"] = instruction.data.hex(" ")
        made["accesses"] = [
            {
                "operand": access.text,
                "address": None if access.address is None else hex64(access.address),
                "size": access.size,
                "kinds": [kind for kind, is_so in (("read", access.reads), ("write", access.writes)) if is_so],
            }
            for access in instruction.accesses
        ]
    if fit.reported is not None:
        address = fit.reported.address
        made["reported"] = {"where": fit.reported.where, "address": None if address is None else hex64(address)}
        if fit.reported.kind is not None:
            made["reported"]["kind"] = fit.reported.kind
        if fit.reported.irql is not None:
            made["reported"]["irql"] = fit.reported.irql
    return made


def frame_dict(evidence: Evidence, walker: StackWalker, frame: Frame) -> FrameDict:
    """Return one frame of a stack."""
    made: FrameDict = {
        "ip": hex64(frame.ip),
        "sp": hex64(frame.sp),
        "module": frame.module.name if frame.module is not None else None,
        "method": frame.method,
        "confidence": frame.confidence,
    }
    if frame.module is not None:
        made["offset"] = hex64(frame.ip - frame.module.base)
        name = name_of(evidence, walker, frame)
        if name is not None:
            made["symbol"] = name.symbol
            if name.line:
                made["line"] = name.line
            if name.inlined:
                made["inlined"] = list(name.inlined)
    former = evidence.modules.unloaded_at(frame.ip)
    if former is not None:
        made["unloaded"] = former.name
        made["offset"] = hex64(frame.ip - former.start)
    if frame.image is not None:
        made["image"] = frame.image
    return made


def module_dict(evidence: Evidence, index: int) -> ModuleDict:
    """Return one loaded module, joined with what the disk has for it."""
    module = evidence.modules.modules[index]
    found = evidence.found(module)
    made: ModuleDict = {
        "name": module.name,
        "base": hex64(module.base),
        "size": module.size_of_image,
        "on_disk": found.status,
    }
    if module.path:
        made["path"] = module.path
    # 0 = not known (the header page was not in memory), which is another thing than a stamp of zero.
    if module.timestamp:
        made["timestamp"] = hex64(module.timestamp)
    if module.checksum:
        made["checksum"] = hex64(module.checksum)
    if found.status == "same" and found.version is not None:
        made["version"] = found.version
    if found.path is not None:
        made["disk_path"] = found.path
    return made


def unloaded_dict(driver: UnloadedDriver) -> UnloadedDict:
    """Return one row of the table of unloaded drivers."""
    made: UnloadedDict = {"name": driver.name, "start": hex64(driver.start), "end": hex64(driver.end)}
    if driver.time is not None:
        time = filetime_to_iso(driver.time)
        if time is not None:
            made["time"] = time
    return made
