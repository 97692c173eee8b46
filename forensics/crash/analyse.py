"""One dump to one crash of the facts document.

Nothing here fails once the header is read: what is cut off or damaged becomes a sentence in `gaps` and a diagnostic,
and the rest is still told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forensics.crash.blame import blame
from forensics.crash.bucket import bucket_of
from forensics.crash.bugchecks import masked
from forensics.crash.case import CrashCase
from forensics.crash.context import CrashContext, bugcheck_context, exception_record, fault_context
from forensics.crash.document import (
    bugcheck_dict,
    context_dict,
    dump_dict,
    fit_dict,
    frame_dict,
    module_dict,
    system_dict,
    take_live,
    take_times,
    unloaded_dict,
)
from forensics.crash.entry import bugcheck_call
from forensics.crash.evidence import Evidence
from forensics.crash.fit import examine
from forensics.crash.hardware import accused_part, whea_record
from forensics.crash.images import ImageFinder
from forensics.crash.machine_facts import machine_facts
from forensics.crash.stack import Frame, StackWalker
from forensics.crash.symbols import without_symbols
from forensics.crash.threads import stuck_thread
from forensics.facts import (
    CrashDict,
    Culprit,
    DumpDict,
    Where,
    hex64,
    source,
)
from parsers.bytesource import ByteSource
from parsers.diagnostics import Diagnostics
from parsers.dump.open import Dump, open_dump

if TYPE_CHECKING:
    from forensics.crash.symbol_files import SymbolSource

__all__ = ["analyse", "trim"]

#: Frames kept in the document; the walker itself goes on to its own limit.
_MAX_FRAMES = 128
#: Frames kept of an older crash.
_TRIMMED_FRAMES = 32


def analyse(
    source_: ByteSource,
    *,
    path: str,
    where: Where = "file",
    images: ImageFinder | None = None,
    symbols: SymbolSource | None = None,
    diagnostics: Diagnostics,
    serials: bool = False,
) -> CrashDict:
    """Analyse a dump.

    Args:
        source_: the dump's bytes.
        path: what the document calls it: its path on the volume, or the file's name.
        where: what kind of place it was found in.
        images: the driver files of the dump's own disk, or of the analyst's folders.
        symbols: the analyst's symbol files.
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
    evidence = Evidence(dump, masked(code_raw), code_raw, parameters, images, symbols)
    crash: CrashDict = {
        "item": path,
        "dump": dump_dict(dump, path, where),
        "bugcheck": bugcheck_dict(code_raw, header.bug_check_parameters),
        "os": system_dict(dump),
        "machine": dump.machine,
        "gaps": [],
    }
    take_times(crash, dump)
    take_live(crash, dump)
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
    if dump.thread_address is not None:
        crash["thread"] = hex64(dump.thread_address)
    unnamed = _judge(crash, evidence, process)
    if unnamed:
        diagnostics.warning(
            "symbols.missing",
            f"without symbols: {'; '.join(unnamed)}",
            hint="put the PDBs there as name.pdb/GUIDage/name.pdb",
            source=path,
        )
    crash["bucket"] = bucket_of(crash)
    crash["modules"] = [module_dict(evidence, index) for index in range(len(evidence.modules.modules))]
    crash["module_count"] = len(evidence.modules.modules)
    crash["unloaded"] = [unloaded_dict(driver) for driver in evidence.modules.unloaded]
    crash["source"] = source("dump", path)
    crash["gaps"] += _gaps(dump, evidence, crash)
    _take_diagnostics(dump, path, diagnostics)
    # Later reads may have found that pages of the file are missing.
    crash["dump"]["complete"] = dump.complete
    return crash


def _judge(crash: CrashDict, evidence: Evidence, process: str | None) -> list[str]:
    """Find the contexts, walk the stacks, name the culprit; return which modules of the stack have no symbols."""
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
    stuck = stuck_thread(evidence, walker.words) if fault is None else None
    frames = call_frames
    if fault is not None:
        frames = walker.walk(fault)
    elif stuck is not None:
        frames = walker.walk(stuck.context)
    record = exception_record(evidence)
    fit = examine(evidence, walker, fault, record)
    case = CrashCase(evidence, fault, call, record, frames, walker.words, process, fit)
    if stuck is not None:
        case.stack_of = stuck.words
    crash["culprit"] = blame(case)
    crash["gaps"] += case.gaps + walker.gaps(frames)
    if fit is not None:
        crash["fit"] = fit_dict(fit)
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
    shown = fault or (stuck.context if stuck is not None else at_call)
    if shown is not None:
        crash["context"] = context_dict(evidence, shown, case, call if stuck is None else None)
    crash["stack"] = [frame_dict(evidence, walker, frame) for frame in frames[:_MAX_FRAMES]]
    if frames is not call_frames and call_frames:
        crash["bugcheck_stack"] = [frame_dict(evidence, walker, frame) for frame in call_frames[:_MAX_FRAMES]]
    return without_symbols(evidence, frames[:_MAX_FRAMES])


def _interrupted(frames: list[Frame]) -> list[Frame]:
    return [
        frame
        for frame in frames[1:]
        if frame.interrupted and frame.confidence == "exact" and frame.registers is not None
    ]


def _with_all_registers(fault: CrashContext, call_frames: list[Frame]) -> CrashContext:
    """Where exact unwinding reached the same trap frame, it knows the registers that the frame does not hold."""
    for frame in _interrupted(call_frames):
        if frame.ip == fault.ip and frame.sp == fault.sp and frame.registers is not None:
            checks = (*fault.checks, "unwinding from the bug check call leads to the same place")
            return replace(fault, registers={**frame.registers, **fault.registers}, checks=checks)
    return fault


#: Bug checks that are raised by the trap of the faulting instruction itself.
_FROM_TRAPS = frozenset({0x0A, 0xD1, 0xD4, 0x50, 0xCC, 0xCD, 0xD5, 0xD6, 0xBE, 0xFC, 0x7F, 0x139, 0x1E})


def _fault_on_the_way(evidence: Evidence, call_frames: list[Frame]) -> CrashContext | None:
    """Return the interrupted place that exact unwinding from the bug check call came to, for bug checks of traps."""
    if evidence.code not in _FROM_TRAPS:
        return None
    for frame in _interrupted(call_frames):
        if frame.registers is not None:
            what = "trap frame" if evidence.dump.machine == "arm64" else "machine frame"
            where = f"{what} that unwinding from the bug check call leads to"
            return CrashContext(frame.ip, frame.sp, dict(frame.registers), "machine-frame", None, where, True)
    return None


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

    For the older crashes of a disk with many dumps; `module_count` still tells how many were loaded, and `left_out`
    which other lists are not whole: what is not in them was not looked at, which is another thing than not there.
    """
    culprit: Culprit | None = crash.get("culprit")
    named = {frame["module"] for frame in (*crash.get("stack", []), *crash.get("bugcheck_stack", []))}
    if culprit is not None:
        named.add(culprit["module"])
    lower = {name.lower() for name in named if name is not None}
    small: CrashDict = {**crash}
    small["modules"] = [module for module in crash.get("modules", []) if module["name"].lower() in lower]
    left_out = [name for name in ("unloaded", "bugcheck_stack") if crash.get(name)]
    small["stack"] = crash.get("stack", [])[:_TRIMMED_FRAMES]
    if len(crash.get("stack", [])) > _TRIMMED_FRAMES:
        left_out.append("stack")
    if crash.get("unloaded"):
        small.pop("unloaded")
    dump = crash.get("dump")
    if dump is not None and "streams" in dump:
        kept: DumpDict = {**dump}
        kept.pop("streams")
        small["dump"] = kept
    small.pop("bugcheck_stack", None)
    context = crash.get("context")
    if context is not None:
        small["context"] = {key: value for key, value in context.items() if key != "registers"}
    if left_out:
        small["left_out"] = left_out
    return small
