"""One dump to one crash of the facts document.

Nothing here fails once the header is read: what is cut off or damaged becomes a sentence in `gaps` and a diagnostic,
and the rest is still told.
"""

from __future__ import annotations

from typing import Any, Literal

from forensics.crash.blame import blame
from forensics.crash.bucket import bucket_of
from forensics.crash.bugchecks import describe, masked
from forensics.crash.case import CrashCase
from forensics.crash.context import CrashContext, bugcheck_context, exception_record, fault_context
from forensics.crash.entry import BugCheckCall, bugcheck_call
from forensics.crash.evidence import Evidence
from forensics.crash.fit import Fit, examine
from forensics.crash.hardware import accused_part, whea_record
from forensics.crash.images import ImageFinder
from forensics.crash.machine_facts import machine_facts
from forensics.crash.ntstatus import describe_status
from forensics.crash.stack import Frame, StackWalker
from forensics.crash.symbols import symbol_of
from forensics.facts import (
    BugCheckDict,
    CrashDict,
    Culprit,
    DumpDict,
    FitDict,
    FrameDict,
    ModuleDict,
    UnloadedDict,
    filetime_to_iso,
    hex64,
    source,
)
from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.open import Dump, open_dump

__all__ = ["analyse", "trim"]

Where = Literal["memory-dmp", "minidump", "pagefile", "live-kernel", "wer", "file"]

#: Frames kept in the document; the walker itself goes on to its own limit.
_MAX_FRAMES = 128
_TICKS = 10_000_000
_PRODUCT = {1: "workstation", 2: "domain-controller", 3: "server"}


def analyse(
    source_: ByteSource,
    *,
    path: str,
    where: Where = "file",
    images: ImageFinder | None = None,
    diagnostics: Diagnostics,
    serials: bool = False,
) -> CrashDict:
    """Analyse a dump.

    Args:
        source_: the dump's bytes.
        path: what the document calls it: its path on the volume, or the file's name.
        where: what kind of place it was found in.
        images: the driver files of the dump's own disk, if there is one.
        diagnostics: told what is doubtful or missing.
        serials: give the machine's serial numbers too.

    Raises:
        FormatError: not a kernel dump.
        TruncatedError: cut before the end of the bug check's parameters.
        UnsupportedError: a user-mode minidump or a hibernation file.
        ReadError: the header itself cannot be read.

    """
    dump = open_dump(source_)
    header = dump.header
    code_raw = header.bug_check_code or 0
    parameters = tuple(value or 0 for value in header.bug_check_parameters)
    evidence = Evidence(dump, masked(code_raw), code_raw, parameters, images)
    crash: CrashDict = {
        "item": path,
        "dump": _dump_dict(dump, path, where),
        "bugcheck": _bugcheck_dict(code_raw, header.bug_check_parameters),
        "os": _os(dump),
        "machine": dump.machine,
        "gaps": [],
    }
    _times(crash, dump)
    if header.number_processors is not None:
        crash["processors"] = header.number_processors
    build = dump.reported_build or header.minor_version
    if build is not None:
        crash["build"] = build
    hardware = machine_facts(dump, serials=serials)
    if hardware:
        crash["hardware"] = hardware
    process = dump.process_name()
    if process is not None:
        crash["process"] = process
    _judge(crash, evidence, process)
    crash["bucket"] = bucket_of(crash)
    crash["modules"] = [_module(evidence, index) for index in range(len(evidence.modules.modules))]
    crash["module_count"] = len(evidence.modules.modules)
    crash["unloaded"] = [_unloaded(driver) for driver in evidence.modules.unloaded]
    crash["source"] = source("dump", path)
    crash["gaps"] += _gaps(dump, evidence, crash)
    _take_diagnostics(dump, path, diagnostics)
    # Later reads may have found that pages of the file are missing.
    crash["dump"]["complete"] = dump.complete
    return crash


def _dump_dict(dump: Dump, path: str, where: Where) -> DumpDict:
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
    if dump.header.dump_type is not None:
        made["type"] = int(dump.header.dump_type)
    return made


def _bugcheck_dict(code_raw: int, parameters: tuple[int | None, ...]) -> BugCheckDict:
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


def _os(dump: Dump) -> dict[str, Any]:
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
    return found


def _times(crash: CrashDict, dump: Dump) -> None:
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


def _judge(crash: CrashDict, evidence: Evidence, process: str | None) -> None:
    """Find the contexts, walk the stacks, name the culprit."""
    walker = StackWalker(evidence)
    fault = fault_context(evidence)
    at_call = bugcheck_context(evidence)
    call = bugcheck_call(evidence, at_call) if at_call is not None else None
    call_frames: list[Frame] = []
    if at_call is not None:
        # The caller's dispatcher is not of interest where the fault's own registers are known: no scan there.
        call_frames = walker.walk(at_call, at_entry=call is not None, scan=fault is None)
    if fault is None:
        fault = _fault_on_the_way(evidence, call_frames)
        if fault is not None:
            call_frames = [frame for frame in call_frames if frame.confidence == "exact"]
    elif fault.origin == "trap-frame":
        fault = _with_all_registers(fault, call_frames)
    frames = walker.walk(fault) if fault is not None else call_frames
    record = exception_record(evidence)
    fit = examine(evidence, walker, fault, record)
    case = CrashCase(evidence, fault, call, record, frames, walker.words, process, fit)
    crash["culprit"] = blame(case)
    if fit is not None:
        crash["fit"] = _fit(fit)
    hardware = whea_record(evidence)
    if hardware is not None:
        crash["hardware_error"] = {
            "severity": hardware.severity,
            "accused": accused_part(evidence, hardware),
            "sections": [
                {"kind": section.kind, "primary": section.primary, "part": section.fru, **section.fields}
                for section in hardware.sections
            ],
        }
    if case.flipped_bits:
        crash["flipped_bits"] = [{"bit": bit, "where": where} for bit, where in dict.fromkeys(case.flipped_bits)]
    shown = fault or at_call
    if shown is not None:
        crash["context"] = _context(evidence, shown, case, call)
    crash["stack"] = [_frame(evidence, walker, frame) for frame in frames[:_MAX_FRAMES]]
    if fault is not None and call_frames:
        crash["bugcheck_stack"] = [_frame(evidence, walker, frame) for frame in call_frames[:_MAX_FRAMES]]


def _interrupted(frames: list[Frame]) -> list[Frame]:
    return [
        frame for frame in frames[1:] if frame.interrupted and frame.confidence == "exact" and frame.regs is not None
    ]


def _with_all_registers(fault: CrashContext, call_frames: list[Frame]) -> CrashContext:
    """Where exact unwinding reached the same trap frame, it knows the registers that the frame does not hold."""
    for frame in _interrupted(call_frames):
        if frame.ip == fault.ip and frame.sp == fault.sp and frame.regs is not None:
            return CrashContext(
                fault.ip, fault.sp, {**frame.regs.gprs, **fault.registers}, fault.origin, fault.address, fault.where,
                True, (*fault.checks, "unwinding from the bug check call leads to the same place"), fault.flags,
                fault.fault_address,
            )  # fmt: skip
    return fault


#: Bug checks that are raised by the trap of the faulting instruction itself.
_FROM_TRAPS = frozenset({0x0A, 0xD1, 0xD4, 0x50, 0xCC, 0xCD, 0xD5, 0xD6, 0xBE, 0xFC, 0x7F, 0x139, 0x1E})


def _fault_on_the_way(evidence: Evidence, call_frames: list[Frame]) -> CrashContext | None:
    """Return the interrupted place that exact unwinding from the bug check call came to, for bug checks of traps."""
    if evidence.code not in _FROM_TRAPS:
        return None
    for frame in _interrupted(call_frames):
        if frame.regs is not None:
            where = "machine frame that unwinding from the bug check call leads to"
            return CrashContext(frame.ip, frame.sp, dict(frame.regs.gprs), "machine-frame", None, where, True)
    return None


def _context(evidence: Evidence, context: CrashContext, case: CrashCase, call: BugCheckCall | None) -> dict[str, Any]:
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
    if evidence.cr2 is not None:
        found["cr2"] = hex64(evidence.cr2)
    data = evidence.code_bytes(context.ip, 16)
    if data:
        found["code"] = data.hex(" ")
    if case.record is not None:
        address, record = case.record
        found["exception"] = {
            "at": hex64(address),
            "code": describe_status(record.code),
            "address": hex64(record.address),
            "information": [hex64(value) for value in record.information],
        }
    return found


def _fit(fit: Fit) -> FitDict:
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


def _frame(evidence: Evidence, walker: StackWalker, frame: Frame) -> FrameDict:
    made: FrameDict = {
        "ip": hex64(frame.ip),
        "sp": hex64(frame.sp),
        "module": frame.module.name if frame.module is not None else None,
        "method": frame.method,
        "confidence": frame.confidence,
    }
    if frame.module is not None:
        made["offset"] = hex64(frame.ip - frame.module.base)
        symbol = symbol_of(evidence, walker, frame)
        if symbol is not None:
            made["symbol"] = symbol
    if frame.image is not None:
        made["image"] = frame.image
    return made


def _module(evidence: Evidence, index: int) -> ModuleDict:
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


def _unloaded(driver: Any) -> UnloadedDict:
    made: UnloadedDict = {"name": driver.name, "start": hex64(driver.start), "end": hex64(driver.end)}
    if driver.time is not None:
        time = filetime_to_iso(driver.time)
        if time is not None:
            made["time"] = time
    return made


def _gaps(dump: Dump, evidence: Evidence, crash: CrashDict) -> list[str]:
    """Say in sentences what the dump does not tell."""
    gaps = []
    if not dump.complete:
        gaps.append("the dump is cut or damaged: what lay behind the cut is missing")
    if dump.header.is_encrypted:
        gaps.append("the dump is encrypted: only its header was read")
    if not evidence.modules.modules:
        gaps.append("the list of loaded modules is not in the dump: no address could be named")
    if "context" not in crash:
        gaps.append("no processor context is in the dump: there is no stack")
    elif not crash["context"]["fault"] and evidence.code in (*_FROM_TRAPS, 0x7E, 0x8E, 0x3B):
        gaps.append("the registers at the fault are not in the dump: the stack is that of the bug check call")
    if "process" not in crash:
        gaps.append("the current process is not in the dump")
    if dump.header.bug_check_code is None:
        gaps.append("the header holds no bug check code")
    return gaps


def _take_diagnostics(dump: Dump, path: str, diagnostics: Diagnostics) -> None:
    for item in dump.diagnostics.items:
        diagnostics.add(item.severity, item.code, item.message, hint=item.hint, source=item.source or path)


def trim(crash: CrashDict) -> CrashDict:
    """Return a crash without what only the newest one needs: modules that neither the stack nor the verdict names.

    For the older crashes of a disk with many dumps; `module_count` still tells how many were loaded.
    """
    culprit: Culprit | None = crash.get("culprit")
    named = {frame["module"] for frame in (*crash.get("stack", []), *crash.get("bugcheck_stack", []))}
    if culprit is not None:
        named.add(culprit["module"])
    lower = {name.lower() for name in named if name is not None}
    small: CrashDict = {**crash}
    small["modules"] = [module for module in crash.get("modules", []) if module["name"].lower() in lower]
    small["stack"] = crash.get("stack", [])[:32]
    small["unloaded"] = []
    small.pop("bugcheck_stack", None)
    context = crash.get("context")
    if context is not None:
        small["context"] = {key: value for key, value in context.items() if key != "registers"}
    return small
