"""The same disk in every container that qemu-img writes."""

from __future__ import annotations

from pathlib import Path

from samples.tools import run
from samples.vhdx_stamp import stamp_vhdx

__all__ = ["FORMATS", "convert"]

#: Suffix -> (format of qemu-img, options). `force_size`: else the size of a VHD is rounded to a CHS geometry.
FORMATS = {
    ".vhdx": ("vhdx", "subformat=dynamic,block_size=1048576"),
    ".vhd": ("vpc", "subformat=dynamic,force_size=on"),
    ".fixed.vhd": ("vpc", "subformat=fixed,force_size=on"),
    ".vmdk": ("vmdk", "subformat=monolithicSparse"),
    ".qcow2": ("qcow2", "compat=1.1"),
    ".vdi": ("vdi", ""),
    ".raw": ("raw", ""),
}


def convert(raw: Path, target: Path, suffix: str) -> None:
    """Write a raw disk into a container; `suffix` is a key of FORMATS."""
    kind, options = FORMATS[suffix]
    run("qemu-img", "convert", "-f", "raw", "-O", kind, *(["-o", options] if options else []), raw, target)
    if suffix == ".vhdx":
        stamp_vhdx(target, target.name)
