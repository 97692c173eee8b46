"""A Windows volume in memory, so that a test of a collector states its world in ten lines.

Hives are maps from key path to map from value name to data; an exception in place of a key's values or of a value's
data is raised by whoever reads there, as a damaged hive does. Files are maps from path to bytes or to an exception.
"""

from __future__ import annotations

import fnmatch
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forensics.collect import Machine, collect
from forensics.facts import Facts, Wants
from parsers.bytesource import BytesSource
from parsers.diagnostics import Diagnostics
from parsers.errors import FormatError, ReadError, StopcodeError, UnsupportedError

Data = int | str | list[str] | bytes | StopcodeError
Keys = Mapping[str, Mapping[str, Data] | StopcodeError]


@dataclass
class FakeValue:
    name: str
    held: Data
    offset: int = 0x2000

    def decoded(self) -> int | str | list[str] | bytes:
        if isinstance(self.held, StopcodeError):
            raise self.held
        return self.held

    @property
    def type_name(self) -> str:
        names = {int: "REG_DWORD", str: "REG_SZ", list: "REG_MULTI_SZ", bytes: "REG_BINARY"}
        return names[type(self.held)]

    @property
    def data(self) -> bytes:
        held = self.decoded()
        if isinstance(held, int):
            return held.to_bytes(8 if held >> 32 else 4, "little")
        if isinstance(held, bytes):
            return held
        texts = held if isinstance(held, list) else [held]
        return "".join(f"{text}\0" for text in texts).encode("utf-16-le") + b"\0\0" * isinstance(held, list)


@dataclass
class FakeKey:
    name: str
    path: str
    held: dict[str, FakeValue] = field(default_factory=dict)
    children: dict[str, FakeKey] = field(default_factory=dict)
    damage: StopcodeError | None = None
    last_written: int = 0
    offset: int = 0x1020

    def _sound(self) -> None:
        if self.damage is not None:
            raise self.damage

    def subkeys(self) -> Iterator[FakeKey]:
        for child in self.children.values():
            if child.name == "!":
                assert child.damage is not None
                raise child.damage
            yield child

    def subkey(self, name: str) -> FakeKey | None:
        self._sound()
        return self.children.get(name.lower())

    def values(self) -> Iterator[FakeValue]:
        self._sound()
        yield from self.held.values()

    def value(self, name: str) -> FakeValue | None:
        self._sound()
        return self.held.get(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        value = self.value(name)
        return default if value is None else value.decoded()


class FakeHive:
    def __init__(self, keys: Keys, times: Mapping[str, int]) -> None:
        self.root = FakeKey("ROOT", "")
        for path, values in keys.items():
            key = self.root
            for part in filter(None, path.split("\\")):
                below = f"{key.path}\\{part}".lstrip("\\")
                key = key.children.setdefault(part.lower(), FakeKey(part, below))
            if isinstance(values, StopcodeError):
                key.damage = values
            else:
                key.held = {name.lower(): FakeValue(name, data) for name, data in values.items()}
            key.last_written = times.get(path, 0)

    def open_key(self, path: str) -> FakeKey | None:
        key: FakeKey | None = self.root
        for part in path.split("\\"):
            key = key.subkey(part) if key is not None else None
        return key


@dataclass(frozen=True)
class FakeStat:
    path: str
    size: int
    modified: int = 0
    is_dir: bool = False
    wof: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("\\")[2]


class FakeFiles:
    def __init__(self, files: Mapping[str, bytes | StopcodeError], times: Mapping[str, int]) -> None:
        self._files = {path.lower(): (path, data) for path, data in files.items()}
        self._times = times

    def _stat(self, path: str, data: bytes | StopcodeError) -> FakeStat:
        size = len(data) if isinstance(data, bytes) else 4096
        return FakeStat(path, size, self._times.get(path, 0), wof=isinstance(data, UnsupportedError))

    def stat(self, path: str) -> FakeStat | None:
        found = self._files.get(path.lower())
        return self._stat(*found) if found is not None else None

    def open(self, path: str) -> BytesSource:
        if path.lower() not in self._files:
            raise ReadError(f"no such file: {path}")
        data = self._files[path.lower()][1]
        if isinstance(data, StopcodeError):
            raise data
        return BytesSource(data)

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> list[FakeStat]:
        found = self._files.get(path.lower())
        if found is not None and isinstance(found[1], StopcodeError):
            if damage is None:
                raise found[1]
            damage.append(found[1])
        lower = path.lower() + "\\"
        return [
            self._stat(*item)
            for key, item in self._files.items()
            if key.startswith(lower) and "\\" not in key[len(lower) :]
        ]

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> list[FakeStat]:
        parts = pattern.lower().split("\\")
        return [
            self._stat(*item)
            for key, item in self._files.items()
            if len(key.split("\\")) == len(parts)
            and all(fnmatch.fnmatchcase(name, part) for name, part in zip(key.split("\\"), parts, strict=True))
        ]


@dataclass(frozen=True)
class FakeVolume:
    name: str
    files: FakeFiles
    label: str = ""


class FakeWindows:
    root = "\\Windows"

    def __init__(
        self,
        hives: Mapping[str, Keys],
        files: Mapping[str, bytes | StopcodeError],
        times: Mapping[str, int],
        others: Sequence[FakeVolume] = (),
    ) -> None:
        self._hives = hives
        self._times = times
        self._others = others
        self.files = FakeFiles(files, times)

    def ahead(self, readings: object) -> None:
        pass

    def others(self) -> Sequence[FakeVolume]:
        return self._others

    def elsewhere(self, image_path: str) -> tuple[FakeVolume, str] | None:
        path = image_path.removeprefix("\\??\\")
        return next(((item, path[2:]) for item in self._others if path[:2].lower() == item.name.lower()), None)

    identity = b""
    partitions = ()

    def boot_stores(self) -> None:
        return None

    def hive(self, name: str) -> FakeHive:
        if name not in self._hives:
            raise FormatError("regf", "not a registry hive", offset=0, expected="regf", found="0000")
        return FakeHive(self._hives[name], self._times)

    def resolve(self, image_path: str) -> str | None:
        text = image_path.replace("/", "\\")
        if text.startswith("\\??\\"):
            text = text[4:]
        lower = text.lower()
        for prefix in ("\\systemroot\\", "%systemroot%\\", "%windir%\\"):
            if lower.startswith(prefix):
                return f"\\Windows\\{text[len(prefix) :]}"
        if lower.startswith("system32\\"):
            return f"\\Windows\\{text}"
        if text[1:3] == ":\\":
            return text[2:] if lower[0] == "c" else None
        return text if text.startswith("\\windows") else None


SELECT: Keys = {"Select": {"Current": 1, "Default": 1}}
CURRENT = r"Microsoft\Windows NT\CurrentVersion"
SERVER_2019: Keys = {
    CURRENT: {
        "ProductName": "Windows Server 2019 Standard",
        "EditionID": "ServerStandard",
        "InstallationType": "Server",
        "CurrentBuild": "17763",
        "CurrentBuildNumber": "17763",
        "CurrentMajorVersionNumber": 10,
        "CurrentMinorVersionNumber": 0,
        "UBR": 1757,
        "ReleaseId": "1809",
        "InstallDate": 1_600_000_000,
    },
    r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages": {},
}
STORFLT: Keys = {
    r"ControlSet001\Services\storflt": {
        "Type": 1,
        "Start": 0,
        "ErrorControl": 1,
        "Group": "Extended Base",
        "ImagePath": r"System32\drivers\vmstorfl.sys",
    }
}


def scan(
    *,
    system: Keys | None = SELECT,
    software: Keys | None = SERVER_2019,
    components: Keys | None = None,
    files: Mapping[str, bytes | StopcodeError] | None = None,
    wants: Wants | None = None,
    times: Mapping[str, int] | None = None,
    others: Sequence[FakeVolume] = (),
) -> tuple[Facts, Diagnostics]:
    """Collect the facts of a made-up machine; a hive that is None is zeroed."""
    given = (("SYSTEM", system), ("SOFTWARE", software), ("COMPONENTS", components))
    hives = {name: keys for name, keys in given if keys is not None}
    if system is not None:
        hives["SYSTEM"] = {**SELECT, "ControlSet001\\Services": {}, **system}
    diagnostics = Diagnostics()
    windows = FakeWindows(hives, files or {}, times or {}, others)
    return collect(Machine(windows, wants or Wants(), diagnostics)), diagnostics  # type: ignore[arg-type]


def gaps(facts: Facts) -> dict[str, str]:
    return {gap["path"]: gap["reason"] for gap in facts["gaps"]}


def named(items: list[Any], name: str, key: str) -> Any:
    """The one item of that name."""
    found = [item for item in items if item[key] == name]
    assert len(found) == 1, f"{name}: {len(found)} of {[item[key] for item in items]}"
    return found[0]


def pe_file(version: tuple[int, int, int, int] | None = (10, 0, 17763, 771), *, company: str = "Example") -> bytes:
    """A PE32+ file with one section, and a version resource in it where a version is given."""
    resource = _resource(version, company) if version is not None else b""
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0x5C0FFEE0, 0, 0, 240, 0x2022)
    optional = struct.pack("<HBBIIIII", 0x20B, 14, 0, 0, 0x200, 0, 0, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0x140000000, 0x1000, 0x200, 10, 0, 10, 0, 10, 0, 0, 0x2000, 0x200,
                            0x1CAFE, 1, 0)  # fmt: skip
    optional += struct.pack("<QQQQII", 0x40000, 0x1000, 0x100000, 0x1000, 0, 16)
    directories = [(0, 0)] * 16
    if resource:
        directories[2] = (0x1000, len(resource))
    optional += b"".join(struct.pack("<II", *entry) for entry in directories)
    raw = (len(resource) + 0x1FF) & ~0x1FF
    section = b".rsrc\0\0\0" + struct.pack("<IIIIIIHHI", max(len(resource), 1), 0x1000, raw, 0x200, 0, 0, 0, 0,
                                           0x40000040)  # fmt: skip
    return (dos + coff + optional + section).ljust(0x200, b"\0") + resource.ljust(raw, b"\0")


def _resource(version: tuple[int, int, int, int], company: str) -> bytes:
    fixed = struct.pack(
        "<13I", 0xFEEF04BD, 0x10000, version[0] << 16 | version[1], version[2] << 16 | version[3],
        version[0] << 16 | version[1], version[2] << 16 | version[3], 0x3F, 0, 0x40004, 3, 7, 0, 0,
    )  # fmt: skip
    text = f"{company}\0".encode("utf-16-le")
    string = _node("CompanyName", len(company) + 1, 1, text, b"")
    table = _node("040904B0", 0, 1, b"", string)
    strings = _node("StringFileInfo", 0, 1, b"", table)
    data = _node("VS_VERSION_INFO", len(fixed), 0, fixed, strings)
    directory = b""
    for number, target in ((16, 0x80000018), (1, 0x80000030), (0x409, 0x48)):
        directory += struct.pack("<IIHHHHII", 0, 0, 0, 0, 0, 1, number, target)
    return directory + struct.pack("<IIII", 0x1000 + 0x58, len(data), 0, 0) + data


def _node(key: str, length: int, kind: int, value: bytes, children: bytes) -> bytes:
    head = f"{key}\0".encode("utf-16-le")
    head += b"\0" * (-(6 + len(head)) % 4)
    body = head + value
    if children:
        body += b"\0" * (-(6 + len(body)) % 4)
    return struct.pack("<HHH", 6 + len(body + children), length, kind) + body + children
