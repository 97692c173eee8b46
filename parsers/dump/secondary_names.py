"""Who writes which blob of secondary data, and what it holds, by its tag.

Source: a public table of tags whose symbols were read off the images of build 26100; what stands without a mark was
also seen in real dumps, by its content.
"""

from __future__ import annotations

__all__ = ["secondary_name"]

_NAMES: dict[str, tuple[str, str]] = {
    "54c84888-01d1-4c1e-bed6-282c98241303": ("Wdf01000", "log of one framework driver"),
    "f87e4a4c-c5a1-4d2f-bff0-d5de63a5e4c3": ("Wdf01000", "table of framework drivers"),
    "da82441d-7142-4bc1-b844-0807c5a4b67f": ("storport", "port driver"),
    "c939c73b-17dc-4a44-904c-e2d987f52649": ("storport", "paging device"),
    "270a33fd-3da6-460d-ba89-3c1bae21e39b": ("dxgkrnl", "display state"),
    "bc5c008f-1e3a-44d7-988d-86f6884c6758": ("mssmbios", "firmware tables (SMBIOS)"),
    "6c7ac389-4313-47dc-9f34-a8800a0fb56c": ("mssmbios", "processor in the registry"),
    "d03dc06f-d88e-44c5-ba2a-fae035172d19": ("mssmbios", "CPUID"),
    "e83b40d2-b0a0-4842-abea-71c9e3463dd1": ("mssmbios", "ACPI tables"),
    "9276c055-eb87-425c-b8b5-04e4d247f6cd": ("pci", "PCI configuration"),
    "2b4ae195-a64d-4f04-8ede-7e4f981bd42a": ("nt", "data named by drivers"),
    "0d910545-e694-4b15-870c-01625fb32a6f": ("nt", "data named by drivers"),
    "2b88b710-1c93-4f7c-b06c-655ecc50decc": ("nt", "event tracing buffers"),
    "f57308df-cc45-4e01-ad76-29a4ebb010ec": ("nt", "boot status"),
    "00afe9c4-940d-4213-8016-cd3719b5bc20": ("nt", "NTFS black box"),
    "b7631941-532a-4cd6-b1b1-edb5917d4557": ("nt", "PnP black box"),
    "80cc79cf-a719-4af1-bf97-fe29ff76ebc1": ("nt", "logon black box"),
    "4ee76bd8-3cf4-44a0-a0ac-3937643e37a3": ("nt", "code integrity black box"),
    "be84d651-a550-4367-8e63-ab792b631f94": ("nt", "path of an image"),
    "b0692a5e-6b7b-4073-8a7c-604e35032970": ("nt", "secure kernel"),
    "9282756a-ab95-4d24-a137-ecddc5de53f5": ("nt", "secure mode failures"),
    "0f1f53f3-561f-42e7-bdb4-ba8e66b726d5": ("nt", "feature configuration"),
    "65755a40-f146-43ea-8c91-36b85728fd35": ("crashdmp", "identity of the dump driver"),
    "00dae7ca-6833-45c5-b147-bdaed7b61fd6": ("hvservice", "hypervisor boot log"),
    "bf2297dc-34ba-11dc-868a-e19155d89593": ("nvlddmkm", "display driver"),
    "a5d4cd4e-c8ea-4f88-9e21-a73170a76a06": ("amdkmdag", "display driver"),
    "10ec8168-313c-488c-afea-272cd2094616": ("Realtek network", "driver log"),
}
#: Beginnings of tags that one writer numbers.
_FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("0f81ec00-9e5", "win32kbase", "trace log"),
    ("335d5e04-56", "win32kfull", "trace log"),
    ("21ba7b61-05f", "wdiwifi", "trace log"),
    ("67fc721a-285", "amdppm", "trace log"),
)


def secondary_name(tag: str) -> str:
    """Return "writer: content" of a tag (lower-case GUID), "" when it is not known."""
    known = _NAMES.get(tag)
    if known is None:
        known = next(((who, what) for start, who, what in _FAMILIES if tag.startswith(start)), None)
    return "" if known is None else f"{known[0]}: {known[1]}"
