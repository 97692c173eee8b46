"""What a driver file tells of itself: PE header fields and the version resource, read from a few KiB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from forensics.collect.machine import clip
from parsers.bytesource import ByteSource
from parsers.errors import FormatError, StopcodeError
from parsers.pe import PeImage
from parsers.pe_version import version_of

__all__ = ["MachineWord", "PeFacts", "machine_word", "read_pe"]

MachineWord = Literal["x64", "x86", "arm64", "other"]
_MACHINES: dict[int, MachineWord] = {0x8664: "x64", 0x14C: "x86", 0xAA64: "arm64"}
#: Characters of one string of a version resource that the document keeps.
_MAX_STRING = 256


@dataclass(frozen=True, slots=True)
class PeFacts:
    """Fields of one PE file.

    Attributes:
        machine: what it was built for.
        timestamp: TimeDateStamp (seconds since 1970, or a hash in reproducible builds).
        checksum: CheckSum of the optional header.
        size_of_image: in bytes, when loaded.
        version: FileVersion of VS_FIXEDFILEINFO, or None when the file has no version resource.
        product_version: ProductVersion of it.
        strings: CompanyName, FileDescription, OriginalFilename …
        offset: of VS_FIXEDFILEINFO in the file.
        build: third part of the version.
        problem: why the version resource, which is there, cannot be read; "" when it can or is not there.

    """

    machine: MachineWord
    timestamp: int
    checksum: int
    size_of_image: int
    version: str | None = None
    product_version: str | None = None
    strings: dict[str, str] = field(default_factory=dict)
    offset: int | None = None
    build: int | None = None
    problem: str = ""


def machine_word(number: int) -> MachineWord:
    """Return the word for a Machine field."""
    return _MACHINES.get(number, "other")


def read_pe(source: ByteSource) -> PeFacts:
    """Read a file's header fields and version.

    Raises:
        FormatError: not a PE file; an empty file too.
        ReadError: the header lies where the file cannot be read.

    """
    if source.size == 0:
        raise FormatError("PE", "the file is empty (0 bytes)")
    image = PeImage(source)
    fields = (machine_word(image.machine), image.timestamp, image.checksum, image.size_of_image)
    try:
        resource = version_of(image)
    except StopcodeError as error:
        return PeFacts(*fields, problem=error.message)
    if resource is None:
        return PeFacts(*fields)
    return PeFacts(
        *fields,
        version=str(resource.file_version),
        product_version=str(resource.product_version),
        strings={name: clip(text, _MAX_STRING) for name, text in resource.strings.items()},
        offset=resource.offset,
        build=resource.file_version.build,
    )
