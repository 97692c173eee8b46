r"""The volume with the Windows folder: its hives, and what the paths in its registry mean on it.

Source of the path forms: MicrosoftDocs/windows-driver-docs (services' ImagePath is relative to `\SystemRoot` when it
begins with no backslash); of MountedDevices: libyal/winreg-kb, "Mounted devices" (12 bytes: disk signature and byte
offset; `DMIO:ID:` and the GUID of a GPT partition).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from forensics.disk.boot_store import BootStore, BootVolume, read_stores
from forensics.disk.hives import open_hive
from forensics.disk.tree import join, parts_of
from parsers.bytesource import pieces
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from parsers.registry import Hive

if TYPE_CHECKING:
    from forensics.collect.volume import FileTree, Reading

__all__ = ["Beside", "WindowsVolume"]

_NT_PREFIXES: Final = ("\\??\\", "\\\\?\\", "\\\\.\\", "\\dosdevices\\", "\\global??\\")
#: Variables that stand for folders of every Windows, where they are by default.
_VARIABLES: Final = {
    "%systemdrive%": "",
    "%programfiles%": "\\Program Files",
    "%programw6432%": "\\Program Files",
    "%programfiles(x86)%": "\\Program Files (x86)",
    "%commonprogramfiles%": "\\Program Files\\Common Files",
    "%commonprogramfiles(x86)%": "\\Program Files (x86)\\Common Files",
    "%programdata%": "\\ProgramData",
    "%allusersprofile%": "\\ProgramData",
    "%public%": "\\Users\\Public",
}
_SYSTEM_ROOT: Final = ("%systemroot%", "%windir%", "systemroot")
#: Hives that lie elsewhere than in System32/config.
_PLACES: Final = {"AMCACHE": "AppCompat\\Programs\\Amcache.hve"}
#: Hives of which nearly all is read, piece by piece in no order; up to how many bytes.
_READ_WHOLE: Final = ("SYSTEM",)
_SMALL_HIVE: Final = 32 << 20
_CURRENT_VERSION: Final = r"Microsoft\Windows NT\CurrentVersion"


@dataclass(frozen=True, slots=True)
class Beside:
    """Another volume of the same disk.

    Attributes:
        name: its drive ("D:") where MountedDevices names one, else "volume 2" by its place on the disk.
        label: its label.
        files: its files.
        identity: what MountedDevices calls it.

    """

    name: str
    label: str
    files: FileTree
    identity: bytes = b""


class WindowsVolume:
    r"""The volume with the Windows folder.

    Args:
        root: the Windows folder (`\Windows`).
        files: the volume's files.
        diagnostics: told of hives that were not written out cleanly, and of what their logs changed.
        identity: what MountedDevices calls this volume: disk signature and offset, or `DMIO:ID:` and a GUID; b"" when
            it is not known.
        beside: the other volumes of the disk; a drive's name is given to them here.
        partitions: what MountedDevices calls each partition of the disk.
        boot: the volumes that a firmware boots from.
        ahead: fetches together what readings need, where the image is remote.

    Attributes:
        identity, partitions: as given.

    """

    def __init__(
        self,
        root: str,
        files: FileTree,
        diagnostics: Diagnostics,
        identity: bytes = b"",
        beside: Sequence[Beside] = (),
        partitions: Sequence[bytes] = (),
        boot: Sequence[BootVolume] = (),
        ahead: Callable[[Iterable[Reading]], None] | None = None,
    ) -> None:
        self.root = root
        self.files = files
        self._diagnostics = diagnostics
        self.identity = identity
        self.partitions = partitions
        self._boot = boot
        self._ahead = ahead
        self._stores: list[BootStore] | None = None
        self._hives: dict[str, Hive] = {}
        self._devices: set[str] | None = None
        self._beside = beside
        self._others: list[tuple[Beside, set[str]]] | None = None

    def ahead(self, readings: Iterable[Reading]) -> None:
        """Say which readings will be made soon: of a remote image, what they need is then fetched together."""
        if self._ahead is not None:
            self._ahead(readings)

    def hive(self, name: str) -> Hive:
        """Return a hive of System32/config, or "AMCACHE"; with its logs replayed; the same one at every call.

        Raises:
            ReadError: there is no such file, or a place in it cannot be read.
            FormatError: it is no hive, or too damaged to be read.
            UnsupportedError: its file is stored in a way that is not read.

        """
        key = name.upper()
        kept = self._hives.get(key)
        if kept is None:
            path = f"{self.root}\\" + _PLACES.get(key, f"System32\\config\\{name}")
            if key in _READ_WHOLE and self._ahead is not None:
                self._foresee(path)
            kept = self._hives[key] = open_hive(self.files, path, key, self._diagnostics)
        return kept

    def _foresee(self, path: str) -> None:
        """Have a hive fetched whole; whoever opens it is told what is wrong with it."""
        with suppress(StopcodeError):
            self.ahead(pieces(self.files.open(path), _SMALL_HIVE))

    def resolve(self, image_path: str) -> str | None:
        r"""Return the path on this volume that a path in the registry means, or None when it is on another volume.

        Takes NT paths (`\??\C:\x`, `\SystemRoot\x`), DOS paths (`C:\x`), variables (`%SystemRoot%\x`), and paths
        relative to the Windows folder (`System32\drivers\x.sys`).
        """
        text = image_path.strip().strip('"').replace("/", "\\")
        lower = text.lower()
        for prefix in _NT_PREFIXES:
            if lower.startswith(prefix):
                return self._dos(text[len(prefix) :])
        if text.startswith("\\\\") or lower.startswith("\\device\\") or not text:
            return None
        first, _, rest = text.lstrip("\\").partition("\\")
        if first.lower() in _SYSTEM_ROOT:
            return _clean(f"{self.root}\\{rest}")
        if first.startswith("%"):
            folder = _VARIABLES.get(first.lower())
            return None if folder is None else _clean(f"{folder}\\{rest}")
        if text[1:2] == ":":
            return self._dos(text)
        if text.startswith("\\"):
            return _clean(text)
        return _clean(f"{self.root}\\{text}")

    def _dos(self, text: str) -> str | None:
        r"""Return the path of a DOS path (`C:\x`), or of one by a volume's GUID (`Volume{…}\x`)."""
        device, _, rest = text.partition("\\")
        if device.lower() in ("systemroot", "%systemroot%"):
            return _clean(f"{self.root}\\{rest}")
        return _clean(rest) if device.lower() in self._own_devices() else None

    def _own_devices(self) -> set[str]:
        """Return the names of this volume: the drive letter under which Windows ran, and what MountedDevices says."""
        if self._devices is None:
            self._devices = {self._system_letter(), *_devices(self._mounted(self.identity))}
        return self._devices

    def others(self) -> Sequence[Beside]:
        """Return the other volumes of the disk whose files can be read."""
        return [volume for volume, _devices in self._named()]

    def boot_stores(self) -> Sequence[BootStore] | None:
        """Return the disk's boot configuration stores; None when no volume of it is one that a firmware boots from."""
        if self._stores is None and self._boot:
            self._stores = read_stores(self._boot, self._diagnostics)
        return self._stores

    def elsewhere(self, image_path: str) -> tuple[Beside, str] | None:
        r"""Return the other volume that a path names (`D:\x`), and the path on it; None when no volume here has it."""
        text = image_path.strip().strip('"').replace("/", "\\")
        for prefix in _NT_PREFIXES:
            if text.lower().startswith(prefix):
                text = text[len(prefix) :]
                break
        device, _, rest = text.partition("\\")
        for volume, devices in self._named():
            if device.lower() in devices:
                return volume, _clean(rest)
        return None

    def _named(self) -> list[tuple[Beside, set[str]]]:
        """Return the other volumes under their drives' names, with all that they are called."""
        if self._others is None:
            self._others = []
            for volume in self._beside:
                devices = _devices(self._mounted(volume.identity)) - self._own_devices()
                if not volume.identity and len(volume.name) == 2:
                    # Collectors keep files by drive, and of the partition they tell nothing.
                    devices = {volume.name.lower()}
                drives = sorted(device for device in devices if len(device) == 2)
                named = replace(volume, name=drives[0].upper()) if drives else volume
                self._others.append((named, devices))
        return self._others

    def _system_letter(self) -> str:
        """Return the drive of `SystemRoot`; "c:" where it cannot be read."""
        try:
            key = self.hive("SOFTWARE").open_key(_CURRENT_VERSION)
            value = key.value("SystemRoot") if key is not None else None
            text = value.decoded() if value is not None else ""
        except StopcodeError:
            text = ""
        return text[:2].lower() if isinstance(text, str) and text[1:2] == ":" else "c:"

    def _mounted(self, identity: bytes) -> list[str]:
        if not identity:
            return []
        try:
            key = self.hive("SYSTEM").open_key("MountedDevices")
            return [value.name for value in key.values() if value.data == identity] if key is not None else []
        except StopcodeError:
            return []


def _devices(mounted: list[str]) -> set[str]:
    """Return the drives and volume names, in lower case, of names in MountedDevices."""
    found = set()
    for name in mounted:
        lower = name.lower()
        if lower.startswith("\\dosdevices\\"):
            found.add(lower[12:])
        elif lower.startswith("\\??\\volume"):
            found.add(lower[4:])
    return found


def _clean(path: str) -> str:
    r"""Return a path without empty, `.` and `..` parts; `..` at the top stays at the top, as in Windows."""
    kept: list[str] = []
    for part in parts_of(path):
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    return join(kept)
