"""The stack of a crash, frame by frame, each with the way it was found and how sure that is.

Methods, from the surest down (docs/crash.md tells them to the reader):

* `trap`: the registers of a CONTEXT or trap frame;
* `exact`: unwind data of the dump or of the identical file on the disk;
* `exact-chain`: the chain of frame pointers (ARM64, x86);
* `epilog`: no unwind data, but every way through the code to the function's end leads to this one slot;
* `inferred`: the word at the stack pointer after a jump to nowhere, or unwind data that something missing could
  contradict;
* `scan-call`: a stack word with a call before it; `scan-range`: a stack word in code whose own way to its
  function's end leads to a further one.

A frame is never surer than the one it was reached from: `exact` > `likely` > `guess`. A scan makes a `guess`, and so
is everything behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from forensics.crash.context import CrashContext
from forensics.crash.evidence import Evidence
from forensics.crash.layered_image import LayeredImage
from forensics.crash.scan import ReturnAddresses
from parsers.dump.modules import LoadedModule
from parsers.errors import ReadError, StopcodeError, UnsupportedError
from parsers.limits import MAX_STACK_FRAMES
from parsers.unwind.forward import ForwardSearch
from parsers.unwind.registers import REGISTER_NAMES, Registers
from parsers.unwind.x64 import unwind_frame

__all__ = ["Confidence", "Frame", "StackWalker"]

Confidence = Literal["exact", "likely", "guess"]
_RANK: dict[str, int] = {"exact": 0, "likely": 1, "guess": 2}
_USER_END = 0x0000_8000_0000_0000
#: Forward searches of one dump: they take about a millisecond each, and a hostile stack could ask for thousands.
_MAX_FORWARD = 200
#: Frames of one dump that nothing but their address speaks for: a list of hints, each word once.
_MAX_BY_RANGE = 16
#: Stack words that one gap is searched through.
_MAX_GAP_WORDS = 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        ip: instruction pointer; a return address except where `interrupted`.
        sp: stack pointer of the frame, behind its callee's return address.
        module: the module that holds `ip`, None when none does.
        method: see the module's docstring.
        confidence: see the module's docstring.
        image: where the unwind data that led to this frame came from; None where none was used.
        regs: the frame's registers, for x64.
        interrupted: `ip` has not run: the innermost frame, or one that a trap interrupted.
        trapped: the registers of an interrupted frame of ARM64 or x86, where a frame of the kernel's holds them.

    """

    ip: int
    sp: int
    module: LoadedModule | None
    method: str
    confidence: Confidence
    image: Literal["dump", "disk", "folder"] | None = None
    regs: Registers | None = None
    interrupted: bool = False
    trapped: Mapping[str, int] | None = None

    @property
    def registers(self) -> Mapping[str, int] | None:
        """The frame's registers by the names of a CONTEXT, as far as they are known; None where none are kept."""
        return self.regs.gprs if self.regs is not None else self.trapped


def _weaker(one: Confidence, other: Confidence) -> Confidence:
    return one if _RANK[one] >= _RANK[other] else other


class StackWalker:
    """Walks stacks of one dump.

    Attributes:
        machine: "x64", "arm64" or "x86".
        words: judges single addresses.
        unsupported: names of modules whose unwind data has a version that is not read.

    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.machine = evidence.dump.machine
        self.words = ReturnAddresses(evidence)
        self.unsupported: set[str] = set()
        self._images: dict[int, LayeredImage] = {}
        self._searches: dict[tuple[int, int], ForwardSearch] = {}
        self._callers: dict[tuple[int, int, bool], Registers | None] = {}
        self._forward_left = _MAX_FORWARD
        self._by_range: set[int] = set()

    # -- the walk -------------------------------------------------------------------------------------------------

    def walk(self, context: CrashContext, *, at_entry: bool = False, scan: bool = True) -> list[Frame]:
        """Return the frames from a context outward.

        Args:
            context: where to begin.
            at_entry: the instruction pointer is known to be a function's first instruction, so that the word at the
                stack pointer is its return address.
            scan: bridge gaps by a scan; else end where certainty does.

        """
        machine = self._evidence.dump.machine
        if machine == "x64":
            return self._walk_x64(context, at_entry=at_entry, scan=scan)
        if machine == "arm64":
            from forensics.crash.stack_arm64 import walk_arm64

            return walk_arm64(self._evidence, self, context)
        if machine == "x86":
            from forensics.crash.stack_x86 import walk_x86

            return walk_x86(self._evidence, self, context, scan=scan)
        return [Frame(context.ip, context.sp, self._evidence.modules.at(context.ip), "trap", "exact", interrupted=True)]

    def _walk_x64(self, context: CrashContext, *, at_entry: bool, scan: bool) -> list[Frame]:
        gprs = {name: value for name, value in context.registers.items() if name in REGISTER_NAMES}
        gprs["rsp"] = context.sp
        regs = Registers(context.ip, gprs)
        modules = self._evidence.modules
        frames = [Frame(context.ip, context.sp, modules.at(context.ip), "trap", "exact", regs=regs, interrupted=True)]
        seen = {(context.ip, context.sp)}
        while len(frames) < MAX_STACK_FRAMES:
            following = self._at_entry(frames[-1]) if at_entry and len(frames) == 1 else None
            following = following or self._step(frames[-1], first=len(frames) == 1, scan=scan)
            if following is None or following.ip == 0 or (following.ip, following.sp) in seen:
                break
            former = following.module is None and modules.unloaded_at(following.ip) is not None
            if following.ip < _USER_END or (following.module is None and not following.interrupted and not former):
                break
            seen.add((following.ip, following.sp))
            frames.append(following)
        return frames

    def _at_entry(self, frame: Frame) -> Frame | None:
        """Take the return address of a function that has not run its first instruction."""
        word = self._evidence.word(frame.sp)
        if word is None or frame.regs is None or not self.words.is_possible(word):
            return None
        regs = frame.regs.copy()
        regs.rip, regs.rsp = word, frame.sp + 8
        return Frame(word, regs.rsp, self._evidence.modules.at(word), "exact", frame.confidence, regs=regs)

    def _step(self, frame: Frame, *, first: bool, scan: bool) -> Frame | None:
        regs = frame.regs
        if regs is None:
            return None
        module = self._evidence.modules.at(frame.ip if frame.interrupted else frame.ip - 1)
        if module is None:
            return self._from_nowhere(frame, scan=scan) if first else None
        found = self._unwound(frame, regs, module)
        if found is not None:
            return found if found.ip else None
        found = self._by_epilog(frame, regs, module)
        if found is None and scan:
            found = self._scan(frame)
        return found

    def _make(
        self, regs: Registers, method: str, confidence: Confidence, below: Frame, *,
        image: Literal["dump", "disk", "folder"] | None = None, interrupted: bool = False,
    ) -> Frame:  # fmt: skip
        module = self._evidence.modules.at(regs.rip)
        confidence = _weaker(confidence, below.confidence)
        return Frame(regs.rip, regs.rsp, module, method, confidence, image, regs, interrupted)

    def gaps(self, frames: list[Frame]) -> list[str]:
        """Return sentences: what kept the walk from going on."""
        found = [
            f"the unwind data of {name} has a version that is not read: its frames are found in other ways"
            for name in sorted(self.unsupported)
        ]
        last, known = (frames[-1] if frames else None), self._evidence.stack
        if last is not None and self._evidence.word(last.sp) is None and (known is None or last.sp != known[1]):
            found.append(f"the stack goes on at {last.sp:#x}, which is not in the dump")
        return found

    # -- exact ------------------------------------------------------------------------------------------------------

    def image_of(self, module: LoadedModule) -> LayeredImage:
        """Return a module as the unwinder sees it."""
        image = self._images.get(module.base)
        if image is None:
            found = self._evidence.searched(module)
            mapped = None if found.image is not None else self._evidence.mapped_image(module)
            image = LayeredImage(module, self._evidence.memory, mapped, found.image, found.kind, self.machine)
            self._images[module.base] = image
        return image

    def _unwound(self, frame: Frame, regs: Registers, module: LoadedModule) -> Frame | None:
        """One step by unwind data; None when it is not at hand or contradicts the stack."""
        image = self.image_of(module)
        if not image.has_table:
            return None
        image.used_file = False
        try:
            step = unwind_frame(regs, image, self._evidence.memory, interrupted=frame.interrupted)
        except UnsupportedError:
            self.unsupported.add(module.name)
            return None
        except StopcodeError:
            return None
        if step.regs.rip >= _USER_END and not self._evidence.is_code(step.regs.rip):
            former = (
                step.certain and step.function_rva is not None and self._evidence.modules.unloaded_at(step.regs.rip)
            )
            return self._make(step.regs, "exact", "exact", frame, image=image.source) if former else None
        sure: Confidence = "exact" if step.certain else "likely"
        method = "exact" if step.certain else "inferred"
        if step.function_rva is None and not self._leaf_is_sure(step.regs.rip):
            sure, method = "likely", "inferred"
        source = image.source
        of = self._evidence.modules.at(step.regs.rip)
        if not step.trap and of is not None and not self._may_return_to(step.regs.rip, of):
            # The slot is right, but what stands in it is no return address: the stack was written over.
            sure, method = "likely", "inferred"
        return self._make(step.regs, method, sure, frame, image=source, interrupted=step.trap)

    def _may_return_to(self, address: int, module: LoadedModule) -> bool:
        """Tell whether neither the function table nor the bytes before an address disprove that a call led there."""
        covered = self.words.is_covered(address, self.image_of(module))
        return covered is not False and self.words.call_before(address) is not False

    def _leaf_is_sure(self, address: int) -> bool:
        # No row covers the place: a leaf function, or code outside every function; a call before the word decides.
        return self.words.call_before(address) is True

    # -- without unwind data ----------------------------------------------------------------------------------------

    def _search(self, pointer: int) -> ForwardSearch | None:
        around = self._evidence.stack_around(pointer)
        if around is None:
            return None
        search = self._searches.get(around)
        if search is None:
            search = ForwardSearch(
                self._evidence.memory,
                self._evidence.code_bytes,
                low=around[0],
                high=around[1],
                accept=self.words.is_possible,
            )
            self._searches[around] = search
        return search

    def _forward(self, regs: Registers, *, interrupted: bool) -> Registers | None:
        key = (regs.rip, regs.rsp, len(regs.gprs) == 1)
        if key not in self._callers:
            if self._forward_left <= 0 or not self._evidence.code_bytes(regs.rip, 1):
                return None
            search = self._search(regs.rsp)
            if search is None:
                return None
            self._forward_left -= 1
            try:
                self._callers[key] = search.caller(regs, interrupted=interrupted)
            except StopcodeError:
                self._callers[key] = None
        return self._callers[key]

    def _by_epilog(self, frame: Frame, regs: Registers, module: LoadedModule) -> Frame | None:
        """One step by the way to the function's end.

        The kernel's trap and exception stubs do not return by an epilog, and without symbols they cannot be told
        from other code of the kernel: there the step is `likely` at most.
        """
        if not frame.interrupted and self.words.is_covered(frame.ip, self.image_of(module)) is False:
            # The function table is there and no function holds the place: it is no return address at all.
            return None
        caller = self._forward(regs, interrupted=frame.interrupted)
        if caller is None:
            return None
        of = self._evidence.modules.at(caller.rip)
        if of is None or self.words.is_covered(caller.rip, self.image_of(of)) is False:
            return None
        sure: Confidence = "likely" if self._evidence.modules.is_kernel(module) else "exact"
        return self._make(caller, "epilog", sure, frame)

    def _from_nowhere(self, frame: Frame, *, scan: bool) -> Frame | None:
        """The caller of an instruction pointer that no module holds: a call through a bad pointer left it at Rsp."""
        word = self._evidence.word(frame.sp)
        if word is not None and frame.regs is not None and self.words.is_possible(word):
            regs = frame.regs.copy()
            regs.rip, regs.rsp = word, frame.sp + 8
            # Where no call is seen before it, the jump to nowhere may have been a return, and the word anything.
            return self._make(regs, "inferred", "likely" if self.words.call_before(word) else "guess", frame)
        return self._scan(frame) if scan else None

    def _scan(self, frame: Frame) -> Frame | None:
        """The first word above that a call precedes, or whose own way out leads to a further possible word."""
        around = self._evidence.stack_around(frame.sp)
        if around is None:
            return None
        low, high = frame.sp & -8, min(around[1], frame.sp + 8 * _MAX_GAP_WORDS)
        try:
            data = self._evidence.memory.read_available(low, max(high - low, 0))
        except ReadError:
            return None
        modules = self._evidence.modules
        by_range: Registers | None = None
        for at in range(0, len(data) - 7, 8):
            word = int.from_bytes(data[at : at + 8], "little")
            if word < _USER_END:
                continue
            module = modules.at(word)
            if module is None or not self.words.is_possible(word):
                continue
            if self.words.is_covered(word, self.image_of(module)) is False:
                continue
            regs = Registers(word, {"rsp": low + at + 8})
            if self.words.call_before(word):
                return self._make(regs, "scan-call", "guess", frame)
            if self._forward(regs, interrupted=False) is not None:
                return self._make(regs, "scan-range", "guess", frame)
            if by_range is None and word not in self._by_range and not self._evidence.code_bytes(word, 1):
                # Nothing of this code is in the dump: nothing proves the word, nothing disproves it either.
                by_range = regs
        if by_range is None or len(self._by_range) >= _MAX_BY_RANGE:
            return None
        self._by_range.add(by_range.rip)
        return self._make(by_range, "scan-range", "guess", frame)
