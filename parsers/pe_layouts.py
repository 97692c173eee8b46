"""The PE structures as construct declarations: the documentation of what `parsers.pe` reads with `struct`.

Not imported by the reader (construct costs start-up time); a test holds the two against each other on real files.

Source: Microsoft "PE Format" (MicrosoftDocs/win32: desktop-src/Debug/pe-format.md), "VS_FIXEDFILEINFO"
(desktop-src/api: verrsrc.h), "x64 exception handling" (MicrosoftDocs/cpp-docs:
docs/build/exception-handling-x64.md). All integers are little-endian.
"""

from __future__ import annotations

from construct import (
    Array,
    BitsInteger,
    BitStruct,
    Bytes,
    Const,
    CString,
    If,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64ul,
    Padding,
    Struct,
    this,
)

__all__ = [
    "CV_INFO_PDB70",
    "IMAGE_DATA_DIRECTORY",
    "IMAGE_DEBUG_DIRECTORY",
    "IMAGE_DOS_HEADER",
    "IMAGE_EXPORT_DIRECTORY",
    "IMAGE_NT_HEADERS",
    "IMAGE_SECTION_HEADER",
    "RUNTIME_FUNCTION",
    "UNWIND_INFO",
    "VS_FIXEDFILEINFO",
]

IMAGE_DOS_HEADER = Struct(
    "e_magic" / Const(b"MZ"),
    Padding(0x3A),
    "e_lfanew" / Int32ul,
)

IMAGE_DATA_DIRECTORY = Struct(
    "VirtualAddress" / Int32ul,
    "Size" / Int32ul,
)

_IMAGE_FILE_HEADER = Struct(
    "Machine" / Int16ul,
    "NumberOfSections" / Int16ul,
    "TimeDateStamp" / Int32ul,
    "PointerToSymbolTable" / Int32ul,
    "NumberOfSymbols" / Int32ul,
    "SizeOfOptionalHeader" / Int16ul,
    "Characteristics" / Int16ul,
)

_PE32_PLUS = 0x20B

#: PE32 (0x10B) has BaseOfData, and words of 4 bytes where PE32+ has 8.
_IMAGE_OPTIONAL_HEADER = Struct(
    "Magic" / Int16ul,
    "MajorLinkerVersion" / Int8ul,
    "MinorLinkerVersion" / Int8ul,
    "SizeOfCode" / Int32ul,
    "SizeOfInitializedData" / Int32ul,
    "SizeOfUninitializedData" / Int32ul,
    "AddressOfEntryPoint" / Int32ul,
    "BaseOfCode" / Int32ul,
    "BaseOfData" / If(this.Magic != _PE32_PLUS, Int32ul),
    "ImageBase32" / If(this.Magic != _PE32_PLUS, Int32ul),
    "ImageBase64" / If(this.Magic == _PE32_PLUS, Int64ul),
    "SectionAlignment" / Int32ul,
    "FileAlignment" / Int32ul,
    "MajorOperatingSystemVersion" / Int16ul,
    "MinorOperatingSystemVersion" / Int16ul,
    "MajorImageVersion" / Int16ul,
    "MinorImageVersion" / Int16ul,
    "MajorSubsystemVersion" / Int16ul,
    "MinorSubsystemVersion" / Int16ul,
    "Win32VersionValue" / Int32ul,
    "SizeOfImage" / Int32ul,
    "SizeOfHeaders" / Int32ul,
    "CheckSum" / Int32ul,
    "Subsystem" / Int16ul,
    "DllCharacteristics" / Int16ul,
    "StackAndHeap" / Bytes(lambda ctx: 32 if ctx.Magic == _PE32_PLUS else 16),
    "LoaderFlags" / Int32ul,
    "NumberOfRvaAndSizes" / Int32ul,
    "DataDirectory" / Array(lambda ctx: min(ctx.NumberOfRvaAndSizes, 16), IMAGE_DATA_DIRECTORY),
)

IMAGE_NT_HEADERS = Struct(
    "Signature" / Const(b"PE\0\0"),
    "FileHeader" / _IMAGE_FILE_HEADER,
    "OptionalHeader" / _IMAGE_OPTIONAL_HEADER,
)

IMAGE_SECTION_HEADER = Struct(
    "Name" / Bytes(8),
    "VirtualSize" / Int32ul,
    "VirtualAddress" / Int32ul,
    "SizeOfRawData" / Int32ul,
    "PointerToRawData" / Int32ul,
    "PointerToRelocations" / Int32ul,
    "PointerToLinenumbers" / Int32ul,
    "NumberOfRelocations" / Int16ul,
    "NumberOfLinenumbers" / Int16ul,
    "Characteristics" / Int32ul,
)

IMAGE_EXPORT_DIRECTORY = Struct(
    "Characteristics" / Int32ul,
    "TimeDateStamp" / Int32ul,
    "MajorVersion" / Int16ul,
    "MinorVersion" / Int16ul,
    "Name" / Int32ul,
    "Base" / Int32ul,
    "NumberOfFunctions" / Int32ul,
    "NumberOfNames" / Int32ul,
    "AddressOfFunctions" / Int32ul,
    "AddressOfNames" / Int32ul,
    "AddressOfNameOrdinals" / Int32ul,
)

IMAGE_DEBUG_DIRECTORY = Struct(
    "Characteristics" / Int32ul,
    "TimeDateStamp" / Int32ul,
    "MajorVersion" / Int16ul,
    "MinorVersion" / Int16ul,
    "Type" / Int32ul,
    "SizeOfData" / Int32ul,
    "AddressOfRawData" / Int32ul,
    "PointerToRawData" / Int32ul,
)

#: The entry of type 2 (IMAGE_DEBUG_TYPE_CODEVIEW).
CV_INFO_PDB70 = Struct(
    "CvSignature" / Const(b"RSDS"),
    "Data1" / Int32ul,
    "Data2" / Int16ul,
    "Data3" / Int16ul,
    "Data4" / Bytes(8),
    "Age" / Int32ul,
    "PdbFileName" / CString("utf8"),
)

VS_FIXEDFILEINFO = Struct(
    "dwSignature" / Const(0xFEEF04BD, Int32ul),
    "dwStrucVersion" / Int32ul,
    "dwFileVersionMS" / Int32ul,
    "dwFileVersionLS" / Int32ul,
    "dwProductVersionMS" / Int32ul,
    "dwProductVersionLS" / Int32ul,
    "dwFileFlagsMask" / Int32ul,
    "dwFileFlags" / Int32ul,
    "dwFileOS" / Int32ul,
    "dwFileType" / Int32ul,
    "dwFileSubtype" / Int32ul,
    "dwFileDateMS" / Int32ul,
    "dwFileDateLS" / Int32ul,
)

RUNTIME_FUNCTION = Struct(
    "BeginAddress" / Int32ul,
    "EndAddress" / Int32ul,
    "UnwindInfoAddress" / Int32ul,
)

UNWIND_INFO = Struct(
    "header" / BitStruct("Flags" / BitsInteger(5), "Version" / BitsInteger(3)),
    "SizeOfProlog" / Int8ul,
    "CountOfCodes" / Int8ul,
    "frame" / BitStruct("FrameOffset" / BitsInteger(4), "FrameRegister" / BitsInteger(4)),
    "UnwindCode"
    / Array(
        this.CountOfCodes,
        Struct("CodeOffset" / Int8ul, "op" / BitStruct("OpInfo" / BitsInteger(4), "UnwindOp" / BitsInteger(4))),
    ),
    "padding" / If(this.CountOfCodes % 2, Bytes(2)),
    "chained" / If(lambda ctx: ctx.header.Flags & 4, RUNTIME_FUNCTION),
)
