"""Which symbol file belongs to an image: the CodeView entry of its debug directory.

The entry names the PDB that was written beside the image, by a GUID and an age: a PDB of the same name with another
GUID is of another build. It lies in `.rdata`, which a full dump holds and a small one mostly does not; the image's
file always has it.

Sources: Microsoft "PE Format", the section on the debug directory (MicrosoftDocs/win32:
desktop-src/Debug/pe-format.md); CV_INFO_PDB70 as pefile (`__CV_INFO_PDB70_format__`) and LLVM
(llvm/Object/CVDebugRecord.h, "RSDS") have it; the folders of a symbol server: Microsoft "Using SymStore".
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from parsers.errors import StopcodeError
from parsers.limits import MAX_PDB_NAME, MAX_PE_DEBUG_ENTRIES
from parsers.pe import DIRECTORY_DEBUG, PeImage

__all__ = ["CodeView", "codeview_of"]

#: IMAGE_DEBUG_DIRECTORY: Characteristics, TimeDateStamp, MajorVersion, MinorVersion, Type, SizeOfData,
#: AddressOfRawData (RVA), PointerToRawData (file offset).
_ENTRY = Struct("<IIHHIIII")
#: CV_INFO_PDB70: "RSDS", GUID (u32, u16, u16, eight bytes), age; the path follows, ended by a NUL.
_RSDS = Struct("<4sIHH8sI")
_TYPE_CODEVIEW = 2


class CodeView(NamedTuple):
    """The name of a symbol file.

    Attributes:
        guid: of the PDB, as 32 capital hex digits without hyphens, the way a symbol server writes it.
        age: of the PDB: how often it was written since it got its GUID.
        path: as the linker wrote it, a whole path in private builds.

    """

    guid: str
    age: int
    path: str

    @property
    def name(self) -> str:
        """Base name of the PDB ("ntkrnlmp.pdb")."""
        return self.path.replace("/", "\\").rpartition("\\")[2]

    @property
    def key(self) -> str:
        """Folder of the PDB on a symbol server: GUID and age, the latter in hex without leading zeros."""
        return f"{self.guid}{self.age:X}"


def codeview_of(image: PeImage) -> CodeView | None:
    """Return which PDB belongs to an image; None when it names none, or the place cannot be read."""
    rva, size = image.data_directory(DIRECTORY_DEBUG)
    if not rva or size < _ENTRY.size:
        return None
    try:
        table = image.read_rva(rva, min(size // _ENTRY.size, MAX_PE_DEBUG_ENTRIES) * _ENTRY.size)
    except StopcodeError:
        return None
    for at in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        *_rest, kind, length, data_rva, data_offset = _ENTRY.unpack_from(table, at)
        if kind != _TYPE_CODEVIEW or length <= _RSDS.size:
            continue
        found = _read(image, data_rva, data_offset, min(length, _RSDS.size + MAX_PDB_NAME))
        if found is not None:
            return found
    return None


def _read(image: PeImage, rva: int, offset: int, length: int) -> CodeView | None:
    """Return one entry, None when it is of another kind or cannot be read."""
    try:
        # Old linkers leave the data outside of every section: then only its place in the file is given.
        data = image.read_rva(rva, length) if rva else b""
        if not rva and image.layout == "file":
            data = image.source.read_at(offset, length)
    except StopcodeError:
        return None
    if len(data) <= _RSDS.size:
        return None
    signature, first, second, third, rest, age = _RSDS.unpack_from(data)
    if signature != b"RSDS":
        return None
    path = data[_RSDS.size :].partition(b"\0")[0].decode("utf-8", "backslashreplace")
    guid = f"{first:08X}{second:04X}{third:04X}{rest.hex().upper()}"
    return CodeView(guid, age, path) if path else None
